/*
 * Pipes and FIFOs (pipe(7), fifo(7)). Structure and locking: include/fs/pipe.h.
 *
 * Wake-ups: readers are woken when the pipe stops being empty, and by every write once anybody polled it; writers when it
 * stops being full (epoll(7): what an edge is). The waker usually sleeps next, so the wake-up is a hand-over.
 * A spare page is kept so that a ping-pong of small messages allocates nothing.
 */
#include <fs/fdtable.h>
#include <fs/pipe.h>
#include <fs/poll.h>
#include <fs/pseudo.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define PIPEFS_MAGIC 0x50495045
static struct pseudo_fs pipefs = PSEUDO_FS("pipe", PIPEFS_MAGIC);

static struct pipe *pipe_alloc(void)
{
	struct pipe *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return NULL;
	mutex_init(&p->lock);
	init_wait_queue(&p->rd_wait);
	init_wait_queue(&p->wr_wait);
	p->slots = PIPE_DEF_SLOTS;
	if (unlikely(pipe_max_size < PIPE_DEF_SLOTS * PAGE_SIZE) && !capable(CAP_SYS_RESOURCE))
		p->slots = roundup_pow_of_two(max_t(u64, pipe_max_size / PAGE_SIZE, 1));
	p->bufs = p->inline_bufs;
	return p;
}

static void pipe_free(struct pipe *p)
{
	while (!pipe_empty(p))
		pipe_pop(p);
	if (p->spare)
		page_put(p->spare);
	if (p->bufs != p->inline_bufs)
		kfree(p->bufs);
	kfree(p);
}

void pipe_pop(struct pipe *p)
{
	struct pipe_buf *b = pipe_slot(p, p->tail);

	if (b->flags & PIPE_BUF_PINNED)
		mm_unpin_pages(&b->page, 1, PIN_LONGTERM);
	else if (!p->spare && READ_ONCE(b->page->refcount) == 1 && (b->flags & PIPE_BUF_CAN_MERGE))
		p->spare = b->page;
	else
		page_put(b->page);
	b->page = NULL;
	WRITE_ONCE(p->tail, p->tail + 1);
}

void pipe_page_get(const struct pipe_buf *b)
{
	if (b->flags & PIPE_BUF_PINNED)
		mm_pin_again(b->page, PIN_LONGTERM);
	else
		page_get(b->page);
}

void pipe_push(struct pipe *p, struct page *page, u32 off, u32 len, u32 flags)
{
	*pipe_slot(p, p->head) = (struct pipe_buf){ page, off, len, flags };
	WRITE_ONCE(p->head, p->head + 1);
}

static inline void pipe_wake_readers(struct pipe *p)
{
	wake_up_sync_poll(&p->rd_wait, POLLIN | POLLRDNORM);
}
static inline void pipe_wake_writers(struct pipe *p)
{
	wake_up_sync_poll(&p->wr_wait, POLLOUT | POLLWRNORM);
}

int pipe_wait_readable(struct pipe *p, bool nonblock)
{
	while (pipe_empty(p) && p->writers) {
		if (nonblock)
			return -EAGAIN;
		mutex_unlock(&p->lock);
		int r = wait_event_interruptible(p->rd_wait, !pipe_empty(p) || !READ_ONCE(p->writers));
		mutex_lock(&p->lock);
		if (r)
			return r;
	}
	return 0;
}

int pipe_wait_writable(struct pipe *p, bool nonblock)
{
	for (;;) {
		if (!p->readers)
			return -EPIPE;
		if (!pipe_full(p))
			return 0;
		if (nonblock)
			return -EAGAIN;
		mutex_unlock(&p->lock);
		int r = wait_event_interruptible(p->wr_wait, !pipe_full(p) || !READ_ONCE(p->readers));
		mutex_lock(&p->lock);
		if (r)
			return r;
	}
}

static s64 pipe_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	(void)pos;
	struct pipe *p = f->private;
	s64 done = 0;
	bool was_full = false, slept = false;

	if (!to->count)
		return 0;
	mutex_lock(&p->lock);
	while (to->count) {
		if (pipe_empty(p)) {
			if (done)
				break;
			int r = pipe_wait_readable(p, f->flags & O_NONBLOCK);
			slept = true;
			if (r) {
				done = r;
				break;
			}
			if (pipe_empty(p))
				break; /* no writers: end of file */
		}
		struct pipe_buf *b = pipe_slot(p, p->tail);
		u64 want = min_t(u64, b->len, to->count);
		u64 got = copy_to_iter(to, page_address(b->page) + b->off, want);
		bool packet = b->flags & PIPE_BUF_PACKET;

		done += got;
		b->off += got;
		b->len = packet && got == want ? 0 : b->len - got;
		if (got < want) {
			if (!done)
				done = -EFAULT;
			break;
		}
		if (!b->len) {
			was_full |= pipe_full(p);
			pipe_pop(p);
		}
		if (packet)
			break;
	}
	/* Who was woken and left something wakes the next. Who was not must not: it would be an edge to epoll. */
	bool more = slept && !pipe_empty(p) && wait_queue_active(&p->rd_wait);
	mutex_unlock(&p->lock);
	if (was_full) /* not with each read: room where there was room is no edge (as Linux; writes differ) */
		pipe_wake_writers(p);
	if (more && done > 0)
		wake_up_poll(&p->rd_wait, POLLIN | POLLRDNORM);
	return done;
}

/* Appends to the last slot when all of the odd tail of a small write fits there. Bytes taken or -EFAULT. */
static s64 pipe_merge(struct pipe *p, struct iov_iter *from)
{
	struct pipe_buf *b = pipe_slot(p, p->head - 1);
	u64 n = from->count & (PAGE_SIZE - 1);

	if (!n || !(b->flags & PIPE_BUF_CAN_MERGE) || b->off + b->len + n > PAGE_SIZE)
		return 0;
	u64 got = copy_from_iter(page_address(b->page) + b->off + b->len, from, n);
	b->len += got;
	return got < n ? -EFAULT : (s64)got;
}

/* One more slot from user memory. Bytes or -errno. */
static s64 pipe_fill(struct pipe *p, struct iov_iter *from, u32 flags)
{
	struct page *page = p->spare;
	u64 n = min_t(u64, from->count, PAGE_SIZE);

	if (!page) {
		page = alloc_page(GFP_KERNEL);
		if (!page)
			return -ENOMEM;
	}
	p->spare = NULL;
	u64 got = copy_from_iter(page_address(page), from, n);
	if (got)
		pipe_push(p, page, 0, got, flags);
	else
		p->spare = page;
	return got < n ? (got ? (s64)got : -EFAULT) : (s64)got;
}

static s64 pipe_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	(void)pos;
	struct pipe *p = f->private;
	bool nonblock = f->flags & O_NONBLOCK, was_empty = false, slept = false;
	u32 slot_flags = f->flags & O_DIRECT ? PIPE_BUF_PACKET : PIPE_BUF_CAN_MERGE;
	s64 done = 0, r = 0;

	if (!from->count)
		return 0;
	mutex_lock(&p->lock);
	was_empty = pipe_empty(p);
	if (!p->readers)
		r = -EPIPE;
	else if (!was_empty && slot_flags == PIPE_BUF_CAN_MERGE)
		r = pipe_merge(p, from);
	if (r > 0)
		done = r;
	while (r >= 0 && from->count) {
		if (pipe_full(p) || !p->readers) {
			if (was_empty || p->polled) { /* let readers make room */
				mutex_unlock(&p->lock);
				pipe_wake_readers(p);
				mutex_lock(&p->lock);
			}
			r = pipe_wait_writable(p, nonblock);
			slept = true;
			was_empty = pipe_empty(p);
			if (r)
				break;
		}
		r = pipe_fill(p, from, slot_flags);
		if (r > 0)
			done += r;
	}
	bool wake = (was_empty && !pipe_empty(p)) || (p->polled && done);
	bool room = slept && !pipe_full(p) && wait_queue_active(&p->wr_wait);
	mutex_unlock(&p->lock);
	if (wake)
		pipe_wake_readers(p);
	if (room && done)
		wake_up_poll(&p->wr_wait, POLLOUT | POLLWRNORM);
	if (r == -EPIPE)
		send_signal(SIGPIPE, NULL, current, false);
	return done ? done : r;
}

/* One more slot: the page itself that the next bytes are in. Bytes or -errno. */
static s64 pipe_push_page(struct pipe *p, struct iov_iter *from)
{
	u64 addr, n = iov_segment(from, &addr);
	u32 off = addr & ~PAGE_MASK;
	struct page *page;
	s64 err;

	n = min(n, PAGE_SIZE - off);
	err = mm_pin_pages(current->thread.mm, addr & PAGE_MASK, 1, PIN_LONGTERM, &page);
	if (err < 0)
		return err;
	pipe_push(p, page, off, n, PIPE_BUF_PINNED);
	iov_advance(from, n);
	return (s64)n;
}

s64 pipe_push_user(struct file *f, struct iov_iter *from, bool nonblock)
{
	struct pipe *p = f->private;
	s64 done = 0, r;

	if (!from->count)
		return 0;
	mutex_lock(&p->lock);
	r = pipe_wait_writable(p, nonblock || f->flags & O_NONBLOCK);
	while (!r && from->count && !pipe_full(p)) {
		s64 n = pipe_push_page(p, from);

		if (n <= 0)
			r = n;
		else
			done += n;
	}
	mutex_unlock(&p->lock);
	if (done)
		pipe_wake_readers(p);
	if (r == -EPIPE)
		send_signal(SIGPIPE, NULL, current, false);
	return done ? done : r;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
	struct pipe *p = f->private;
	u32 ev = 0;

	WRITE_ONCE(p->polled, true);
	if (f->fmode & FMODE_READ)
		poll_wait(f, &p->rd_wait, pt);
	if (f->fmode & FMODE_WRITE)
		poll_wait(f, &p->wr_wait, pt);
	smp_mb(); /* pairs with wake_up_key: queued before the state is read */
	if (f->fmode & FMODE_READ) {
		if (!pipe_empty(p))
			ev |= POLLIN | POLLRDNORM;
		if (!READ_ONCE(p->writers) && READ_ONCE(p->w_opens) != (u32)f->ra_pos)
			ev |= POLLHUP;
	}
	if (f->fmode & FMODE_WRITE) {
		if (!pipe_full(p))
			ev |= POLLOUT | POLLWRNORM;
		if (!READ_ONCE(p->readers))
			ev |= POLLERR;
	}
	return ev;
}

#define FIONREAD 0x541B
static long pipe_ioctl(struct file *f, u32 cmd, u64 arg)
{
	struct pipe *p = f->private;
	s32 n = 0;

	if (cmd != FIONREAD)
		return -ENOTTY;
	mutex_lock(&p->lock);
	for (u32 i = p->tail; i != p->head; i++)
		n += pipe_slot(p, i)->len;
	mutex_unlock(&p->lock);
	return put_user(n, (s32 __user *)arg);
}

/* One open file less; the last one frees the pipe. => not locked; the caller does not touch the pipe afterwards */
static void pipe_put(struct inode *i, struct pipe *p)
{
	spin_lock(&i->lock);
	bool last = --p->files == 0;
	if (last)
		i->pipe = NULL;
	spin_unlock(&i->lock);
	if (last)
		pipe_free(p);
}

static void pipe_release(struct inode *i, struct file *f)
{
	struct pipe *p = f->private;

	if (!p)
		return;
	mutex_lock(&p->lock);
	if (f->fmode & FMODE_READ)
		p->readers--;
	if (f->fmode & FMODE_WRITE)
		p->writers--;
	bool edge = !p->readers != !p->writers;
	mutex_unlock(&p->lock);
	/* the other end may close at this moment: the pipe lasts because this file still counts */
	if (edge) {
		wake_up_key(&p->rd_wait, TASK_NORMAL, 0, 0, POLLIN | POLLRDNORM | POLLHUP | POLLERR);
		wake_up_key(&p->wr_wait, TASK_NORMAL, 0, 0, POLLOUT | POLLWRNORM | POLLHUP | POLLERR);
	}
	pipe_put(i, p);
}

const struct file_ops pipe_fops = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.fasync = poll_fasync,
	.ioctl = pipe_ioctl,
	.open = fifo_open,
	.release = pipe_release,
};

struct pipe *file_pipe(struct file *f)
{
	return f->ops == &pipe_fops ? f->private : NULL;
}

int pipe_create(struct file *out[2], u32 flags)
{
	struct pipe *p = pipe_alloc();

	if (!p)
		return -ENOMEM;
	out[0] = pseudo_file(&pipefs, S_IFIFO | 0600, &pipe_fops, O_RDONLY | (flags & O_NONBLOCK));
	if (IS_ERR(out[0])) {
		pipe_free(p);
		return PTR_ERR(out[0]);
	}
	out[1] = file_clone(out[0], &pipe_fops, O_WRONLY | (flags & (O_NONBLOCK | O_DIRECT)));
	if (IS_ERR(out[1])) {
		file_put(out[0]); /* private is still NULL: release does nothing */
		pipe_free(p);
		return PTR_ERR(out[1]);
	}
	/* commit: no failure below */
	p->readers = p->writers = p->r_opens = p->w_opens = 1;
	p->files = 2;
	for (int i = 0; i < 2; i++) {
		out[i]->fmode |= FMODE_STREAM;
		out[i]->fmode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE);
		out[i]->private = p;
	}
	out[0]->ra_pos = 0; /* writers were seen: hang-up counts from the start */
	out[0]->inode->pipe = p;
	return 0;
}

/* The pipe of a FIFO inode with one more file counted, made when there is none. NULL: out of memory. */
static struct pipe *fifo_attach(struct inode *i)
{
	struct pipe *fresh = pipe_alloc(), *p;

	if (!fresh)
		return NULL;
	spin_lock(&i->lock);
	if (!i->pipe) {
		i->pipe = fresh;
		fresh = NULL;
	}
	p = i->pipe;
	p->files++;
	spin_unlock(&i->lock);
	if (fresh)
		pipe_free(fresh);
	return p;
}

/* Waits until the other side was opened since @count was read. => pipe locked; 0 or -ERESTARTSYS */
static int fifo_wait_peer(struct pipe *p, wait_queue_t *q, u32 *opens, u32 count)
{
	int r = 0;

	while (!r && *opens == count) {
		mutex_unlock(&p->lock);
		r = wait_event_interruptible(*q, READ_ONCE(*opens) != count);
		mutex_lock(&p->lock);
	}
	return r;
}

/* @anonymous: opened again through /proc/PID/fd, which never waits for the other side. */
static int fifo_open_read(struct pipe *p, struct file *f, bool anonymous)
{
	p->r_opens++;
	if (p->readers++ == 0)
		wake_up_all(&p->wr_wait);
	f->ra_pos = ~0ull;
	if (p->writers || anonymous)
		return 0;
	if (f->flags & O_NONBLOCK) {
		f->ra_pos = p->w_opens; /* no hang-up before a writer was there */
		return 0;
	}
	return fifo_wait_peer(p, &p->rd_wait, &p->w_opens, p->w_opens);
}

static int fifo_open_write(struct pipe *p, struct file *f, bool anonymous)
{
	if ((f->flags & O_NONBLOCK) && !p->readers && !anonymous)
		return -ENXIO;
	p->w_opens++;
	if (p->writers++ == 0)
		wake_up_all(&p->rd_wait);
	return p->readers || anonymous ? 0 : fifo_wait_peer(p, &p->wr_wait, &p->r_opens, p->r_opens);
}

int fifo_open(struct inode *i, struct file *f)
{
	struct pipe *p = fifo_attach(i);
	bool anonymous = i->super->magic == PIPEFS_MAGIC;
	u32 rw = f->fmode & (FMODE_READ | FMODE_WRITE);
	int r = 0;

	if (!p)
		return -ENOMEM;
	f->fmode |= FMODE_STREAM;
	f->fmode &= ~(FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE);
	mutex_lock(&p->lock);
	if (rw == FMODE_READ) {
		r = fifo_open_read(p, f, anonymous);
		if (r)
			p->readers--;
	} else if (rw == FMODE_WRITE) {
		u32 before = p->writers;
		r = fifo_open_write(p, f, anonymous);
		if (r && p->writers > before)
			p->writers--;
	} else {
		p->readers++, p->writers++, p->r_opens++, p->w_opens++;
		f->ra_pos = ~0ull;
		wake_up_all(&p->rd_wait);
		wake_up_all(&p->wr_wait);
	}
	if (!r) {
		f->private = p;
		f->ops = &pipe_fops;
		mutex_unlock(&p->lock);
		return 0;
	}
	mutex_unlock(&p->lock);
	wake_up_all(rw == FMODE_READ ? &p->wr_wait : &p->rd_wait);
	pipe_put(i, p);
	return r;
}

u64 pipe_max_size = PIPE_MAX_SIZE;

long pipe_get_size(struct pipe *p)
{
	return (long)READ_ONCE(p->slots) * PAGE_SIZE;
}

long pipe_set_size(struct pipe *p, u64 bytes)
{
	if (bytes > (1u << 31))
		return -EINVAL;
	u64 slots = roundup_pow_of_two(max_t(u64, DIV_ROUND_UP(bytes, PAGE_SIZE), 1));

	if (slots * PAGE_SIZE > pipe_max_size && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	struct pipe_buf *bufs = kcalloc(slots, sizeof(*bufs), GFP_KERNEL);

	if (!bufs)
		return -ENOMEM;
	mutex_lock(&p->lock);
	u32 used = pipe_used(p);
	if (used > slots) {
		mutex_unlock(&p->lock);
		kfree(bufs);
		return -EBUSY;
	}
	for (u32 i = 0; i < used; i++)
		bufs[i] = *pipe_slot(p, p->tail + i);
	struct pipe_buf *old = p->bufs;
	p->bufs = bufs;
	p->slots = slots;
	p->tail = 0;
	p->head = used;
	mutex_unlock(&p->lock);
	if (old != p->inline_bufs)
		kfree(old);
	wake_up_all(&p->wr_wait);
	return slots * PAGE_SIZE;
}
