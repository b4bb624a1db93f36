/*
 * Memory devices: /dev/null, zero, full, random, urandom, kmsg (major 1, as Linux numbers them).
 *
 * random and urandom are the same generator: it is seeded before the first program runs and never blocks. kmsg reads one log
 * record at a time from an own position and writes records at the level given in front ("<N>", else notice).
 */
#include <drivers/drivers.h>
#include <fs/fs.h>
#include <fs/poll.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/cred.h>
#include <proc/task.h>
#include <x86/uaccess.h>

static s64 null_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	return 0;
}

static s64 null_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	u64 n = from->count;

	iov_advance(from, n);
	return (s64)n;
}

static loff_t null_llseek(struct file *f, loff_t off, int whence)
{
	return f->pos = 0;
}

static s64 zero_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	u64 want = to->count, done = 0;

	/* in pieces: a fatal signal ends a read of gigabytes */
	while (done < want) {
		u64 step = min_t(u64, want - done, 1 << 20), n = zero_to_iter(to, step);

		done += n;
		if (n < step)
			return done ? (s64)done : -EFAULT;
		if (done < want && signal_pending_current())
			break;
	}
	return (s64)done;
}

/* Private: plain anonymous memory. Shared: an object in memory of its own, as for MAP_ANONYMOUS. */
static int zero_mmap(struct file *f, struct vma *v)
{
	struct file *shm;

	if (!(v->flags & VM_SHARED))
		return 0;
	shm = shmem_zero_file(v->end - v->start, v->flags);
	if (IS_ERR(shm))
		return (int)PTR_ERR(shm);
	vma_file_put(v->file);
	v->file = shm;
	return vma_file_mmap(shm, v);
}

static s64 full_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	return -ENOSPC;
}

static s64 random_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	u8 buf[256];
	s64 done = 0;

	while (to->count) {
		u64 want = min_t(u64, to->count, sizeof(buf)), n;

		get_random_bytes(buf, want);
		n = copy_to_iter(to, buf, want);
		done += n;
		if (n < want) {
			done = done ? done : -EFAULT;
			break;
		}
		if (to->count && signal_pending_current())
			break;
	}
	memset(buf, 0, sizeof(buf));
	OPTIMIZER_HIDE_VAR(done);
	return done;
}

static s64 random_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	u8 buf[256];
	s64 done = 0;

	while (from->count) {
		u64 want = min_t(u64, from->count, sizeof(buf)), n = copy_from_iter(buf, from, want);

		random_add(buf, n);
		done += n;
		if (n < want)
			return done ? done : -EFAULT;
	}
	return done;
}

/* --- kmsg ------------------------------------------------------------------------------------------ */

struct kmsg_reader {
	struct mutex lock;
	u64 seq; /* (lock) next record to read */
	char line[4200]; /* (lock) */
};

static int kmsg_open(struct inode *i, struct file *f)
{
	struct kmsg_reader *r;

	if (!(f->fmode & FMODE_READ))
		return 0;
	r = kzalloc(sizeof(*r), GFP_KERNEL);
	if (!r)
		return -ENOMEM;
	mutex_init(&r->lock);
	r->seq = log_first_seq();
	f->private = r;
	return 0;
}

static void kmsg_release(struct inode *i, struct file *f)
{
	kfree(f->private);
}

static s64 kmsg_read_locked(struct kmsg_reader *r, struct iov_iter *to)
{
	u64 seq = r->seq;
	size_t n;

	if (seq < log_first_seq()) { /* overwritten: say it once, then go on with the oldest */
		r->seq = log_first_seq();
		return -EPIPE;
	}
	n = log_read_kmsg(&seq, r->line, sizeof(r->line));
	if (!n)
		return -EAGAIN;
	if (n > to->count)
		return -EINVAL;
	r->seq = seq;
	return copy_to_iter(to, r->line, n) == n ? (s64)n : -EFAULT;
}

static s64 kmsg_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct kmsg_reader *r = f->private;
	s64 n;

	if (!r)
		return -EBADF;
	for (;;) {
		int err = mutex_lock_interruptible(&r->lock);

		if (err)
			return -ERESTARTSYS;
		n = kmsg_read_locked(r, to);
		mutex_unlock(&r->lock);
		if (n != -EAGAIN || (f->flags & O_NONBLOCK))
			return n;
		err = wait_event_interruptible(log_wait, log_next_seq() > READ_ONCE(r->seq));
		if (err)
			return err;
	}
}

static s64 kmsg_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	char line[512], *text = line;
	u64 all = from->count, n = min_t(u64, all, sizeof(line) - 1);
	int level = LOG_NOTICE;

	if (copy_from_iter(line, from, n) < n)
		return -EFAULT;
	iov_advance(from, from->count);
	line[n] = '\0';
	if (n >= 3 && line[0] == '<') {
		int v = 0;
		char *p = line + 1;

		for (; *p >= '0' && *p <= '9' && v < 1000; p++)
			v = v * 10 + *p - '0';
		if (*p == '>' && p > line + 1) {
			level = v & 7;
			text = p + 1;
		}
	}
	n = strlen(text);
	while (n && text[n - 1] == '\n')
		text[--n] = '\0';
	if (n)
		printk(level, "%s", text);
	return (s64)all;
}

static loff_t kmsg_llseek(struct file *f, loff_t off, int whence)
{
	struct kmsg_reader *r = f->private;

	if (!r)
		return -EBADF;
	if (off)
		return -ESPIPE;
	switch (whence) {
	case 0: /* SEEK_SET */
		r->seq = log_first_seq();
		return 0;
	case 2: /* SEEK_END */
	case 3: /* SEEK_DATA: after the last clear; nothing clears */
		r->seq = whence == 2 ? log_next_seq() : log_first_seq();
		return 0;
	}
	return -EINVAL;
}

static u32 kmsg_poll(struct file *f, struct poll_table *pt)
{
	struct kmsg_reader *r = f->private;

	poll_wait(f, &log_wait, pt);
	if (!r)
		return POLLOUT | POLLWRNORM;
	return (log_next_seq() > READ_ONCE(r->seq) ? POLLIN | POLLRDNORM : 0) | POLLOUT | POLLWRNORM;
}

static const struct file_ops null_ops = { .read = null_read, .write = null_write, .llseek = null_llseek };
static const struct file_ops zero_ops = {
	.read = zero_read, .write = null_write, .llseek = null_llseek, .mmap = zero_mmap,
};
static const struct file_ops full_ops = { .read = zero_read, .write = full_write, .llseek = null_llseek };
/* random(4). The pool is full from the start and is never emptied, so what changes the count changes nothing. */
#define RNDGETENTCNT 0x80045200u
#define RNDADDTOENTCNT 0x40045201u
#define RNDADDENTROPY 0x40085203u
#define RNDZAPENTCNT 0x5204u
#define RNDCLEARPOOL 0x5206u
#define RNDRESEEDCRNG 0x5207u
#define POOL_BITS 256

static long add_entropy(const s32 __user *u)
{
	u8 chunk[64];
	s32 head[2]; /* bits claimed, bytes */

	if (copy_from_user(head, u, sizeof(head)))
		return -EFAULT;
	if (head[0] < 0 || head[1] < 0)
		return -EINVAL;
	const u8 __user *from = (const u8 __user *)(u + 2);
	for (s32 n; head[1] > 0; head[1] -= n, from += n) {
		n = min(head[1], (s32)sizeof(chunk));
		if (copy_from_user(chunk, from, (u64)n))
			return -EFAULT;
		random_add(chunk, (size_t)n);
		if (signal_pending_current())
			break;
	}
	return 0;
}

static long random_ioctl(struct file *f, u32 cmd, u64 arg)
{
	s32 n;

	(void)f;
	switch (cmd) {
	case RNDGETENTCNT:
		return put_user((s32)POOL_BITS, (s32 __user *)arg);
	case RNDADDTOENTCNT:
		if (!capable(CAP_SYS_ADMIN))
			return -EPERM;
		if (get_user(n, (s32 __user *)arg))
			return -EFAULT;
		return n < 0 ? -EINVAL : 0;
	case RNDADDENTROPY:
		return capable(CAP_SYS_ADMIN) ? add_entropy((const s32 __user *)arg) : -EPERM;
	case RNDZAPENTCNT:
	case RNDCLEARPOOL:
	case RNDRESEEDCRNG:
		return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
	}
	return -ENOTTY;
}

static const struct file_ops random_ops = {
	.read = random_read, .write = random_write, .llseek = null_llseek, .ioctl = random_ioctl,
};
static const struct file_ops kmsg_ops = {
	.read = kmsg_read, .write = kmsg_write, .llseek = kmsg_llseek, .poll = kmsg_poll, .open = kmsg_open,
	.release = kmsg_release,
};

void mem_devices_init(void)
{
	static const struct {
		u32 minor, mode;
		const char *name;
		const struct file_ops *ops;
	} devices[] = {
		{ 3, 0666, "null", &null_ops }, { 5, 0666, "zero", &zero_ops }, { 7, 0666, "full", &full_ops },
		{ 8, 0666, "random", &random_ops }, { 9, 0666, "urandom", &random_ops },
		{ 11, 0644, "kmsg", &kmsg_ops },
	};

	for (u32 i = 0; i < ARRAY_SIZE(devices); i++) {
		int err = chrdev_register(1, devices[i].minor, 1, devices[i].name, devices[i].mode, devices[i].ops,
					  NULL);

		if (err)
			pr_err("mem: /dev/%s: error %d", devices[i].name, err);
	}
}
