/*
 * Terminals (termios(3), tty_ioctl(4)).
 *
 * struct tty is one terminal: settings, an input ring with the line discipline's state, an output ring that a driver
 * drains, and the session and foreground group that own it. Drivers are console back ends (drivers.h) and pseudo terminals.
 *
 * Locks: tty->lock (irq-safe) protects rings, discipline state, settings and hang-up generation; tty->read_mutex makes
 * readers take turns; tty_mutex protects controlling-terminal relations (tty->session, signal->tty). Order: tty_mutex ->
 * read_mutex -> tasklist_lock -> tty->lock. Signals to the foreground group are sent after tty->lock was dropped.
 */
#ifndef DRIVERS_TTY_H
#define DRIVERS_TTY_H

#include <fs/fs.h>
#include <fs/poll.h>
#include <kernel/mutex.h>
#include <proc/task.h>
#include <uapi/termios.h>

#define TTY_BUF 4096u

struct tty;
struct tty_driver {
	/* Takes bytes from the output ring (tty_out_peek/skip) while it can. => tty->lock held, irqs off */
	void (*kick)(struct tty *t);
	/* Reader made room in the input ring. May be NULL. => no locks */
	void (*unthrottle)(struct tty *t);
	void (*set_termios)(struct tty *t);
	void (*last_close)(struct tty *t);
	void (*destroy)(struct tty *t); /* last reference is gone; NULL: kfree */
};

struct tty {
	spinlock_t lock;
	s32 refs; /* (a) open files, plus one for static terminals, plus one while it has a session */
	u32 major, minor;
	u32 opens; /* (tty_mutex) open files */
	const struct tty_driver *drv;
	void *driver_data;
	struct termios_k termios; /* (lock) */
	struct termios_k locked; /* (lock) bits of termios that cannot be changed, TIOCSLCKTRMIOS */
	u32 ispeed, ospeed;
	struct winsize_k winsize; /* (lock) */
	u32 gen; /* (lock) raised by a hang-up: files opened before are dead */
	bool stopped; /* (lock) output stopped by ^S or TCOOFF */
	bool exclusive, is_master, pty_locked, other_closed, packet;
	struct tty *link; /* (I) other side of a pty */
	u32 index;
	struct pid *session, *pgrp; /* (tty_mutex writes, lock too) referenced */

	u8 in[TTY_BUF]; /* (lock) */
	u64 delim[TTY_BUF / 64]; /* (lock) this byte ends a line */
	u32 in_head, in_tail, canon_head; /* (lock) free-running */
	u32 column, canon_column; /* (lock) output column, and where input began */
	bool lnext, erasing; /* (lock) */

	u8 out[TTY_BUF]; /* (lock) */
	u32 out_head, out_tail; /* (lock) free-running */

	struct mutex read_mutex, write_mutex;
	wait_queue_t read_wait, write_wait;
};

struct tty_file { struct tty *tty; u32 gen; };

extern struct mutex tty_mutex;
extern const struct file_ops tty_fops;

struct tty *tty_alloc(const struct tty_driver *drv, u32 major, u32 minor);
void tty_get(struct tty *t);
void tty_put(struct tty *t);
/* Makes an open file refer to @t. 0 or -errno. */
int tty_attach_file(struct tty *t, struct file *f);
/*
 * The caller's session or process group (PIDK_SID, PIDK_PGID), from any thread: only the leader of a thread group has them.
 * => to compare with. Its parent may move it to another group: what it points to is looked at under tasklist_lock.
 */
struct pid *tty_own_pid(enum pid_kind kind);
/* Session leader without a terminal gets this one. => tty_mutex held */
void tty_set_controlling(struct tty *t);
void tty_drop_session(struct tty *t);
void tty_hangup(struct tty *t); /* => thread context */

/* Line discipline (tty_ldisc.c). */
void tty_input(struct tty *t, const u8 *s, u32 n); /* received bytes; any context */
s64 tty_ldisc_read(struct tty *t, struct file *f, struct iov_iter *to, u32 gen);
s64 tty_ldisc_write(struct tty *t, struct file *f, struct iov_iter *from, u32 gen);
u32 tty_input_available(struct tty *t); /* bytes a read would return now; lock held */
u32 tty_input_room(struct tty *t);
void tty_flush_input(struct tty *t);
void tty_flush_output(struct tty *t);
void tty_termios_changed(struct tty *t, u32 old_lflag); /* lock held */
static inline u32 tty_out_used(const struct tty *t) { return t->out_head - t->out_tail; }
/* Contiguous bytes waiting for the driver; 0 when stopped. lock held */
u32 tty_out_peek(struct tty *t, const u8 **p);
void tty_out_skip(struct tty *t, u32 n);
void tty_out_wake(struct tty *t); /* writers may go on; any context, lock not held */

long tty_ioctl(struct file *f, u32 cmd, u64 arg);
/* A background process touches its terminal: 0 go on, or -errno after the signal. sig SIGTTIN or SIGTTOU. */
int tty_check_background(struct tty *t, int sig);
int pty_init(void);
long pty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg); /* -ENOIOCTLCMD: not a pty request */
#define ENOIOCTLCMD 515

#endif
