/*
 * syslog(2): the kernel log for dmesg and klogd.
 *
 * Reading (READ) consumes from one global position and waits; READ_ALL shows the last records that fit and changes nothing.
 * Clearing only moves the mark from which READ_ALL shows. Everything but reading sizes needs CAP_SYSLOG or CAP_SYS_ADMIN,
 * as with dmesg_restrict 0.
 */
#include <kernel/mutex.h>
#include <kernel/printk.h>
#include <lib/compiler.h>
#include <mm/slab.h>
#include <proc/cred.h>
#include <x86/uaccess.h>

enum { LOG_CLOSE, LOG_OPEN, LOG_READ, LOG_READ_ALL, LOG_READ_CLEAR, LOG_CLEAR, LOG_CONSOLE_OFF, LOG_CONSOLE_ON,
       LOG_CONSOLE_LEVEL, LOG_SIZE_UNREAD, LOG_SIZE_BUFFER };

#define LINE 1100
#define BUFFER_SIZE (128 * 1024)

static DEFINE_MUTEX(syslog_mutex);
static u64 read_seq, clear_seq; /* (syslog_mutex) */
static int saved_level = -1; /* (syslog_mutex) console_loglevel before CONSOLE_OFF */

/* Copies records from *seq on while they fit. => bytes, or -EFAULT */
static long copy_records(u64 *seq, char __user *buf, u64 len, char *line)
{
	u64 done = 0;

	for (;;) {
		u64 next = *seq;
		size_t n = log_read(&next, line, LINE);

		if (!n || done + n > len)
			return (long)done;
		if (copy_to_user(buf + done, line, n))
			return done ? (long)done : -EFAULT;
		done += n;
		*seq = next;
	}
}

/* The first record from which on everything fits into @len bytes. */
static u64 tail_start(u64 seq, u64 len, char *line)
{
	u64 total = 0, first = seq, at = seq;
	size_t n;

	while ((n = log_read(&at, line, LINE)))
		total += n;
	for (at = first; total > len && (n = log_read(&at, line, LINE)); first = at)
		total -= n;
	return first;
}

static u64 unread(char *line)
{
	u64 seq = read_seq, total = 0;
	size_t n;

	while ((n = log_read(&seq, line, LINE)))
		total += n;
	return total;
}

static long read_wait(char __user *buf, u64 len, char *line)
{
	for (;;) {
		long n;
		int err = mutex_lock_interruptible(&syslog_mutex);

		if (err)
			return -ERESTARTSYS;
		n = copy_records(&read_seq, buf, len, line);
		mutex_unlock(&syslog_mutex);
		if (n)
			return n;
		if (log_next_seq() > READ_ONCE(read_seq)) /* the next record is longer than the buffer */
			return -EINVAL;
		err = wait_event_interruptible(log_wait, log_next_seq() > READ_ONCE(read_seq));
		if (err)
			return err;
	}
}

static long set_console(int type, int level)
{
	if (type == LOG_CONSOLE_LEVEL) {
		if (level < 1 || level > 8)
			return -EINVAL;
		console_loglevel = level;
		saved_level = -1;
	} else if (type == LOG_CONSOLE_OFF) {
		if (saved_level < 0)
			saved_level = console_loglevel;
		console_loglevel = 1;
	} else if (saved_level >= 0) {
		console_loglevel = saved_level;
		saved_level = -1;
	}
	return 0;
}

static long with_line(int type, char __user *buf, int len, char *line)
{
	long r = 0;
	u64 seq;

	if (type == LOG_READ)
		return read_wait(buf, (u64)len, line);
	mutex_lock(&syslog_mutex);
	switch (type) {
	case LOG_READ_ALL:
	case LOG_READ_CLEAR:
		seq = tail_start(clear_seq, (u64)len, line);
		r = copy_records(&seq, buf, (u64)len, line);
		if (type == LOG_READ_CLEAR && r >= 0)
			clear_seq = log_next_seq();
		break;
	case LOG_CLEAR:
		clear_seq = log_next_seq();
		break;
	case LOG_SIZE_UNREAD:
		r = (long)unread(line);
		break;
	default:
		r = set_console(type, len);
		break;
	}
	mutex_unlock(&syslog_mutex);
	return r;
}

long sys_syslog(int type, char __user *buf, int len)
{
	char *line;
	long r;

	if (type < LOG_CLOSE || type > LOG_SIZE_BUFFER)
		return -EINVAL;
	if (type != LOG_READ_ALL && type != LOG_SIZE_BUFFER && !capable(CAP_SYSLOG) && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (type == LOG_CLOSE || type == LOG_OPEN)
		return 0;
	if (type == LOG_SIZE_BUFFER)
		return BUFFER_SIZE;
	if (type >= LOG_READ && type <= LOG_READ_CLEAR) {
		if (!buf || len < 0)
			return -EINVAL;
		if (!len)
			return 0;
		if (!access_ok(buf, (u64)len))
			return -EFAULT;
	}
	line = kmalloc(LINE, GFP_KERNEL);
	if (!line)
		return -ENOMEM;
	r = with_line(type, buf, len, line);
	kfree(line);
	return r;
}
