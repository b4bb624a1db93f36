/*
 * The line discipline: editing, echo, signals and flow control between a driver and the readers and writers (termios(3)).
 *
 * Input bytes go through tty_input one by one into a ring. In canonical mode a line becomes readable when its delimiter
 * arrives: delim marks the byte, canon_head moves behind it. ^D is stored as a marked NUL that a reader swallows, which is
 * how an empty line of it reads as end of file. Bytes between canon_head and in_head are still being edited.
 * Output goes through opost into a second ring that the driver drains; echo uses the same ring and is dropped when it is full.
 */
#include <drivers/tty.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <proc/impl.h>
#include <proc/signal.h>
#include <proc/task.h>

#define RING(i) ((i) & (TTY_BUF - 1))
#define C_EOF 0
#define CTRL_CHAR(c) ((c) < 32 || (c) == 127)

static bool l_flag(const struct tty *t, u32 f) { return t->termios.lflag & f; }
static bool i_flag(const struct tty *t, u32 f) { return t->termios.iflag & f; }
static bool o_flag(const struct tty *t, u32 f) { return t->termios.oflag & f; }
static bool is_cc(const struct tty *t, u8 c, int which) { return c == t->termios.cc[which] && c != 0; }

static bool delim_test(const struct tty *t, u32 i) { return t->delim[RING(i) / 64] >> (i & 63) & 1; }
static void delim_put(struct tty *t, u32 i, bool on)
{
	u64 bit = 1ull << (i & 63);

	if (on)
		t->delim[RING(i) / 64] |= bit;
	else
		t->delim[RING(i) / 64] &= ~bit;
}

/* Output ring ------------------------------------------------------------------------------------------------------ */

static u32 out_room(const struct tty *t) { return TTY_BUF - tty_out_used(t); }

u32 tty_out_peek(struct tty *t, const u8 **p)
{
	u32 at = RING(t->out_tail), n = min_t(u32, tty_out_used(t), TTY_BUF - at);

	*p = t->out + at;
	return t->stopped ? 0 : n;
}

void tty_out_skip(struct tty *t, u32 n)
{
	t->out_tail += n;
}

void tty_out_wake(struct tty *t)
{
	wake_up_key(&t->write_wait, TASK_NORMAL, 0, 0, POLLOUT | POLLWRNORM);
}

static void out_raw(struct tty *t, u8 c)
{
	t->out[RING(t->out_head++)] = c;
}

/* One byte through output processing. False when there is no room for what it becomes. */
static bool out_post(struct tty *t, u8 c)
{
	u32 room = out_room(t);

	if (!o_flag(t, OPOST)) {
		if (room < 1)
			return false;
		out_raw(t, c);
		return true;
	}
	if (room < 8)
		return false;
	switch (c) {
	case '\n':
		if (o_flag(t, ONLRET))
			t->column = 0;
		if (o_flag(t, ONLCR)) {
			t->column = 0;
			out_raw(t, '\r');
		}
		break;
	case '\r':
		if (o_flag(t, ONOCR) && t->column == 0)
			return true;
		if (o_flag(t, OCRNL))
			c = '\n';
		t->column = 0;
		break;
	case '\t': {
		u32 n = 8 - (t->column & 7);

		t->column += n;
		if ((t->termios.oflag & TABDLY) == XTABS) {
			while (n--)
				out_raw(t, ' ');
			return true;
		}
		break;
	}
	case '\b':
		if (t->column)
			t->column--;
		break;
	default:
		if (o_flag(t, OLCUC) && c >= 'a' && c <= 'z')
			c -= 32;
		if (!CTRL_CHAR(c) && !(i_flag(t, IUTF8) && (c & 0xc0) == 0x80))
			t->column++;
	}
	out_raw(t, c);
	return true;
}

/* Echo and editing --------------------------------------------------------------------------------------------------- */

static void echo(struct tty *t, u8 c)
{
	if (l_flag(t, ECHOCTL) && CTRL_CHAR(c) && c != '\t' && c != '\n') {
		out_post(t, '^');
		out_post(t, c ^ 0x40);
	} else {
		out_post(t, c);
	}
}

static void echo_input(struct tty *t, u8 c)
{
	if (t->in_head == t->canon_head)
		t->canon_column = t->column;
	echo(t, c);
}

static bool utf8_tail(const struct tty *t, u8 c) { return i_flag(t, IUTF8) && (c & 0xc0) == 0x80; }

/* Width on the screen of what an input byte was echoed as. */
static u32 echo_width(const struct tty *t, u8 c)
{
	if (CTRL_CHAR(c))
		return l_flag(t, ECHOCTL) ? 2 : 0;
	return utf8_tail(t, c) ? 0 : 1;
}

static void rub_out(struct tty *t, u32 width)
{
	while (width--) {
		out_post(t, '\b');
		out_post(t, ' ');
		out_post(t, '\b');
	}
}

/* Columns of the line so far up to @end: needed to rub out a tab. */
static u32 line_column(const struct tty *t, u32 end)
{
	u32 col = t->canon_column;

	for (u32 i = t->canon_head; i != end; i++) {
		u8 c = t->in[RING(i)];
		col += c == '\t' ? 8 - (col & 7) : echo_width(t, c);
	}
	return col;
}

/* Removes the last character of the line being edited. False when there is none. */
static bool erase_one(struct tty *t)
{
	u8 c;

	if (t->in_head == t->canon_head)
		return false;
	do {
		c = t->in[RING(--t->in_head)];
	} while (utf8_tail(t, c) && t->in_head != t->canon_head);
	if (!l_flag(t, ECHO))
		return true;
	if (!l_flag(t, ECHOE))
		echo(t, t->termios.cc[VERASE]);
	else if (c == '\t') {
		u32 to = line_column(t, t->in_head);

		while (t->column > to)
			out_post(t, '\b');
	} else
		rub_out(t, echo_width(t, c));
	return true;
}

static bool is_word(u8 c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 128; }

static void erase_word(struct tty *t)
{
	bool seen = false;

	while (t->in_head != t->canon_head) {
		bool w = is_word(t->in[RING(t->in_head - 1)]);

		if (!w && seen)
			break;
		seen |= w;
		erase_one(t);
	}
}

static void erase_line(struct tty *t)
{
	if (l_flag(t, ECHO) && !(l_flag(t, ECHOK) && l_flag(t, ECHOKE) && l_flag(t, ECHOE))) {
		t->in_head = t->canon_head;
		echo(t, t->termios.cc[VKILL]);
		if (l_flag(t, ECHOK))
			out_post(t, '\n');
		return;
	}
	while (erase_one(t))
		;
}

static void reprint(struct tty *t)
{
	echo(t, t->termios.cc[VREPRINT]);
	out_post(t, '\n');
	t->canon_column = t->column;
	for (u32 i = t->canon_head; i != t->in_head; i++)
		echo(t, t->in[RING(i)]);
}

static void put_byte(struct tty *t, u8 c, bool delim)
{
	t->in[RING(t->in_head)] = c;
	delim_put(t, t->in_head, delim);
	t->in_head++;
}

static void end_line(struct tty *t, u8 c)
{
	put_byte(t, c, true);
	t->canon_head = t->in_head;
}

/* One byte in canonical mode that is neither signal nor flow control. */
static void canon_byte(struct tty *t, u8 c)
{
	bool ext = l_flag(t, IEXTEN);

	if (is_cc(t, c, VERASE)) {
		erase_one(t);
	} else if (ext && is_cc(t, c, VWERASE)) {
		erase_word(t);
	} else if (is_cc(t, c, VKILL)) {
		erase_line(t);
	} else if (ext && is_cc(t, c, VLNEXT)) {
		t->lnext = true;
		if (l_flag(t, ECHO) && l_flag(t, ECHOCTL)) {
			out_post(t, '^');
			out_post(t, '\b');
		}
	} else if (ext && is_cc(t, c, VREPRINT) && l_flag(t, ECHO)) {
		reprint(t);
	} else if (c == '\n') {
		if (l_flag(t, ECHO) || l_flag(t, ECHONL))
			out_post(t, '\n');
		end_line(t, c);
	} else if (is_cc(t, c, VEOF)) {
		end_line(t, C_EOF);
	} else if (is_cc(t, c, VEOL) || (ext && is_cc(t, c, VEOL2))) {
		if (l_flag(t, ECHO))
			echo_input(t, c);
		end_line(t, c);
	} else if (tty_input_room(t) > 1) { /* one place is kept for the delimiter */
		if (l_flag(t, ECHO))
			echo_input(t, c);
		put_byte(t, c, false);
	} else if (i_flag(t, IMAXBEL)) {
		out_post(t, '\a');
	}
}

/* Signal a byte stands for, 0 none. */
static int signal_of(const struct tty *t, u8 c)
{
	if (!l_flag(t, ISIG))
		return 0;
	return is_cc(t, c, VINTR) ? SIGINT : is_cc(t, c, VQUIT) ? SIGQUIT : is_cc(t, c, VSUSP) ? SIGTSTP : 0;
}

static void input_signal(struct tty *t, u8 c)
{
	if (!l_flag(t, NOFLSH)) {
		t->in_tail = t->canon_head = t->in_head;
		t->out_tail = t->out_head;
	}
	if (l_flag(t, ECHO))
		echo(t, c);
}

/* Handles ^S and ^Q. True when the byte was one. */
static bool flow_control(struct tty *t, u8 c)
{
	if (!i_flag(t, IXON))
		return false;
	if (is_cc(t, c, VSTART)) {
		t->stopped = false;
		return true;
	}
	if (is_cc(t, c, VSTOP)) {
		t->stopped = true;
		return true;
	}
	if (t->stopped && i_flag(t, IXANY))
		t->stopped = false;
	return false;
}

/* One received byte. Returns the signal to send, or 0. */
static int input_byte(struct tty *t, u8 c)
{
	if (i_flag(t, ISTRIP))
		c &= 0x7f;
	if (t->lnext) {
		t->lnext = false;
		if (l_flag(t, ECHO))
			echo_input(t, c);
		if (tty_input_room(t) > 1)
			put_byte(t, c, false);
		return 0;
	}
	if (flow_control(t, c))
		return 0;
	int sig = signal_of(t, c);
	if (sig) {
		input_signal(t, c);
		return sig;
	}
	if (c == '\r') {
		if (i_flag(t, IGNCR))
			return 0;
		if (i_flag(t, ICRNL))
			c = '\n';
	} else if (c == '\n' && i_flag(t, INLCR)) {
		c = '\r';
	}
	if (i_flag(t, IUCLC) && l_flag(t, IEXTEN) && c >= 'A' && c <= 'Z')
		c += 32;
	if (l_flag(t, ICANON)) {
		canon_byte(t, c);
		return 0;
	}
	if (tty_input_room(t)) {
		if (l_flag(t, ECHO))
			echo_input(t, c);
		put_byte(t, c, false);
		t->canon_head = t->in_head;
	}
	return 0;
}

void tty_input(struct tty *t, const u8 *s, u32 n)
{
	u64 flags;

	while (n) {
		int sig = 0;
		struct pid *pgrp = NULL;

		spin_lock_irqsave(&t->lock, flags);
		while (n && !sig) {
			sig = input_byte(t, *s++);
			n--;
		}
		if (sig && t->pgrp) {
			pgrp = t->pgrp;
			__atomic_fetch_add(&pgrp->refs, 1, __ATOMIC_RELAXED);
		}
		bool ready = tty_input_available(t);
		t->drv->kick(t);
		spin_unlock_irqrestore(&t->lock, flags);
		if (ready)
			wake_up_key(&t->read_wait, TASK_NORMAL, 0, 0, POLLIN | POLLRDNORM);
		tty_out_wake(t);
		if (pgrp) {
			send_sig_pgrp(sig, pgrp);
			pid_put(pgrp);
		}
	}
}

/* Reading ------------------------------------------------------------------------------------------------------------ */

u32 tty_input_room(struct tty *t)
{
	return TTY_BUF - (t->in_head - t->in_tail);
}

u32 tty_input_available(struct tty *t)
{
	return l_flag(t, ICANON) ? t->canon_head - t->in_tail : t->in_head - t->in_tail;
}

/* Takes up to @n bytes into @buf, one line at most in canonical mode. *eof: a lone ^D was consumed. lock held */
static u32 take_input(struct tty *t, u8 *buf, u32 n, bool *line_done)
{
	u32 got = 0, avail = tty_input_available(t);
	bool canon = l_flag(t, ICANON);

	*line_done = false;
	while (avail-- && (got < n || (canon && delim_test(t, t->in_tail) && t->in[RING(t->in_tail)] == C_EOF))) {
		u8 c = t->in[RING(t->in_tail)];
		bool d = canon && delim_test(t, t->in_tail);

		t->in_tail++;
		if (!(d && c == C_EOF))
			buf[got++] = c;
		if (d) {
			*line_done = true;
			break;
		}
	}
	return got;
}

/* Copies what is there to the user. Bytes, -EFAULT, or -EAGAIN when there was nothing; *done: the read is complete. */
static s64 read_some(struct tty *t, struct iov_iter *to, bool *done)
{
	u8 buf[256];
	s64 total = 0;
	u64 flags;

	*done = false;
	while (to->count && !*done) {
		spin_lock_irqsave(&t->lock, flags);
		bool any = tty_input_available(t);
		u32 n = any ? take_input(t, buf, min_t(u64, to->count, sizeof(buf)), done) : 0;
		spin_unlock_irqrestore(&t->lock, flags);
		if (!any)
			return total ?: -EAGAIN;
		if (n && copy_to_iter(to, buf, n) != n)
			return total ?: -EFAULT;
		total += n;
	}
	*done = true;
	return total;
}

static bool read_dead(struct tty *t, u32 gen)
{
	return READ_ONCE(t->gen) != gen || (t->link && READ_ONCE(t->other_closed));
}

/* How long and for how many bytes a raw read waits. */
struct read_goal { u32 min; u64 timeout; bool per_byte; };

static struct read_goal read_goal(struct tty *t, u64 count)
{
	u8 min = t->termios.cc[VMIN], time = t->termios.cc[VTIME];
	struct read_goal g = { 1, 0, false };

	if (l_flag(t, ICANON))
		return g;
	g.timeout = time * 100 * NSEC_PER_MSEC;
	g.per_byte = min > 0;
	g.min = min_t(u64, min, count);
	return g;
}

s64 tty_ldisc_read(struct tty *t, struct file *f, struct iov_iter *to, u32 gen)
{
	struct read_goal g = read_goal(t, to->count);
	u64 deadline = !g.per_byte && g.timeout ? ktime_ns() + g.timeout : ~0ull;
	s64 total = 0, r;
	bool done;

	if (!to->count)
		return 0;
	r = mutex_lock_interruptible(&t->read_mutex) ? -ERESTARTSYS : 0;
	if (r)
		return r;
	for (;;) {
		r = read_some(t, to, &done);
		if (r >= 0)
			total += r;
		if (r > 0 && g.per_byte && g.timeout)
			deadline = ktime_ns() + g.timeout;
		if (t->drv->unthrottle && r > 0)
			t->drv->unthrottle(t);
		if (done || (r < 0 && r != -EAGAIN))
			break;
		bool canon = l_flag(t, ICANON);
		r = 0;
		if (canon ? total > 0 : (u64)total >= g.min && (total || !g.timeout))
			break;
		if (READ_ONCE(t->gen) != gen || (t->link && READ_ONCE(t->other_closed))) {
			r = t->is_master ? -EIO : 0;
			break;
		}
		if (f->flags & O_NONBLOCK) {
			r = -EAGAIN;
			break;
		}
		r = wait_event_interruptible_until(t->read_wait, tty_input_available(t) || read_dead(t, gen) || l_flag(t, ICANON) != canon, deadline);
		if (r == -ETIME) {
			r = 0;
			break;
		}
		if (r)
			break;
	}
	mutex_unlock(&t->read_mutex);
	return total ?: r;
}

/* Writing ------------------------------------------------------------------------------------------------------------ */

/* Bytes of @buf that went into the output ring. */
static u32 write_some(struct tty *t, const u8 *buf, u32 n)
{
	u64 flags;
	u32 i = 0;

	spin_lock_irqsave(&t->lock, flags);
	while (i < n) {
		if (!out_post(t, buf[i])) {
			t->drv->kick(t);
			if (!out_post(t, buf[i]))
				break;
		}
		i++;
	}
	t->drv->kick(t);
	spin_unlock_irqrestore(&t->lock, flags);
	return i;
}

s64 tty_ldisc_write(struct tty *t, struct file *f, struct iov_iter *from, u32 gen)
{
	u8 buf[512];
	s64 total = 0, r = 0;

	if (mutex_lock_interruptible(&t->write_mutex))
		return -ERESTARTSYS;
	while (from->count && !r) {
		u32 n = copy_from_iter(buf, from, min_t(u64, from->count, sizeof(buf))), at = 0;

		if (!n) {
			r = -EFAULT;
			break;
		}
		while (at < n) {
			if (READ_ONCE(t->gen) != gen || (t->link && READ_ONCE(t->other_closed))) {
				r = -EIO;
				break;
			}
			u32 done = write_some(t, buf + at, n - at);
			at += done;
			total += done;
			if (at == n)
				break;
			r = f->flags & O_NONBLOCK ? -EAGAIN : 0;
			if (!r)
				r = wait_event_interruptible(t->write_wait, out_room(t) > TTY_BUF / 4 || read_dead(t, gen));
			if (r)
				break;
		}
	}
	mutex_unlock(&t->write_mutex);
	return total ?: r;
}

void tty_flush_input(struct tty *t)
{
	u64 flags;

	spin_lock_irqsave(&t->lock, flags);
	t->in_tail = t->canon_head = t->in_head;
	t->lnext = false;
	spin_unlock_irqrestore(&t->lock, flags);
	if (t->drv->unthrottle)
		t->drv->unthrottle(t);
}

void tty_flush_output(struct tty *t)
{
	u64 flags;

	spin_lock_irqsave(&t->lock, flags);
	t->out_tail = t->out_head;
	spin_unlock_irqrestore(&t->lock, flags);
	tty_out_wake(t);
}

/* Switching between canonical and raw keeps what was typed: leaving makes it all readable, entering makes it a line. */
void tty_termios_changed(struct tty *t, u32 old_lflag)
{
	if ((old_lflag ^ t->termios.lflag) & ICANON) {
		t->canon_head = t->in_head;
		if (l_flag(t, ICANON))
			memset(t->delim, 0, sizeof(t->delim));
	}
	if (!i_flag(t, IXON))
		t->stopped = false;
}
