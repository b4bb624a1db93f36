/*
 * Moving data between files without user memory: splice, tee, vmsplice, sendfile, copy_file_range.
 *
 * Into a pipe from a cached file the page itself goes (one more reference, not mergeable: a pipe never writes into it);
 * everything else is read into a fresh page first. Out of a pipe the slot's page is written by the target's write.
 * Room in the pipe is waited for before data is taken from the source, so that an interrupted call loses nothing.
 */
#include <fs/internal.h>
#include <fs/pipe.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <mm/slab.h>

static inline void wake_readers(struct pipe *p)
{
	wake_up_poll(&p->rd_wait, POLLIN | POLLRDNORM);
}

static inline void wake_writers(struct pipe *p)
{
	wake_up_poll(&p->wr_wait, POLLOUT | POLLWRNORM);
}

/* ---- into a pipe ---- */

/* One piece of a file as a page: *off and bytes (0 end), or -errno. The page is referenced. */
static s64 piece_of_file(struct file *in, loff_t *pos, u64 len, struct page **page, u32 *off)
{
	struct inode *i = in->inode;
	u64 at = *pos, in_page = at & (PAGE_SIZE - 1);

	if (S_ISREG(i->mode) && in->ops->read == generic_file_read) {
		u64 size = READ_ONCE(i->size);
		*page = at < size ? mapping_find(&i->mapping, at >> PAGE_SHIFT) : NULL;
		if (*page && unlikely(!page_flag(*page, PG_UPTODATE))) {
			page_put(*page); /* allocated ahead, or bad: reading knows */
			*page = NULL;
		}
		if (*page) {
			*off = in_page;
			len = min3(len, PAGE_SIZE - in_page, size - at);
			*pos += len;
			return len;
		}
	}
	*page = alloc_page(GFP_KERNEL);
	if (!*page)
		return -ENOMEM;
	*off = 0;
	s64 n = kernel_read(in, page_address(*page), min_t(u64, len, PAGE_SIZE), pos);

	if (n <= 0)
		page_put(*page);
	return n;
}

/* => pipe lock not held; returns with it held on 0 */
static int lock_with_room(struct pipe *p, bool nonblock)
{
	mutex_lock(&p->lock);
	int err = pipe_wait_writable(p, nonblock);

	if (err)
		mutex_unlock(&p->lock);
	if (err == -EPIPE)
		send_signal(SIGPIPE, NULL, current, false);
	return err;
}

static s64 file_to_pipe(struct file *in, loff_t *pos, struct pipe *p, u64 len, bool nonblock)
{
	s64 done = 0, n = 0;

	while (len) {
		struct page *page;
		u32 off;
		n = lock_with_room(p, nonblock || done);
		if (n)
			break;
		mutex_unlock(&p->lock); /* the source may sleep for long */
		n = piece_of_file(in, pos, len, &page, &off);
		if (n <= 0)
			break;
		s64 err = lock_with_room(p, false);
		if (err) {
			page_put(page);
			n = err;
			break;
		}
		pipe_push(p, page, off, n, 0);
		mutex_unlock(&p->lock);
		wake_readers(p);
		done += n;
		len -= n;
		if (!S_ISREG(in->inode->mode))
			break; /* what there was; more might have to be waited for */
	}
	return done ? done : n;
}

/* ---- out of a pipe ---- */

static s64 pipe_to_file(struct pipe *p, struct file *out, loff_t *pos, u64 len, bool nonblock)
{
	s64 done = 0, n = 0;

	mutex_lock(&p->lock);
	while (len) {
		n = pipe_wait_readable(p, nonblock || done);
		if (n || pipe_empty(p))
			break;
		struct pipe_buf *b = pipe_slot(p, p->tail);
		u64 piece = min_t(u64, b->len, len);
		n = kernel_write(out, page_address(b->page) + b->off, piece, pos);
		if (n <= 0)
			break;
		b->off += n;
		b->len -= n;
		done += n;
		len -= n;
		if (!b->len)
			pipe_pop(p);
		wake_writers(p);
		if ((u64)n < piece)
			break;
	}
	mutex_unlock(&p->lock);
	return done ? done : n;
}

/* ---- pipe to pipe ---- */

static void lock_pipes(struct pipe *a, struct pipe *b)
{
	mutex_lock(a < b ? &a->lock : &b->lock);
	mutex_lock(a < b ? &b->lock : &a->lock);
}

/* Both sides ready, both locked; 0, or -errno with none locked. *eof: nothing more comes. */
static int lock_ready(struct pipe *in, struct pipe *out, bool nonblock, bool *eof)
{
	for (;;) {
		mutex_lock(&in->lock);
		int err = pipe_wait_readable(in, nonblock);
		*eof = !err && pipe_empty(in);
		mutex_unlock(&in->lock);
		if (err || *eof)
			return err;
		err = lock_with_room(out, nonblock);
		if (err)
			return err;
		mutex_unlock(&out->lock);
		lock_pipes(in, out);
		if (!pipe_empty(in) && !pipe_full(out))
			return 0;
		mutex_unlock(&in->lock);
		mutex_unlock(&out->lock);
	}
}

/* Slots from one pipe to the other; @keep: copies (tee). */
static s64 pipe_to_pipe(struct pipe *in, struct pipe *out, u64 len, bool nonblock, bool keep)
{
	s64 done = 0;
	bool eof;

	if (in == out)
		return -EINVAL;
	int err = lock_ready(in, out, nonblock, &eof);
	if (err || eof)
		return err;
	for (u32 k = in->tail; len && k != in->head && !pipe_full(out) && out->readers; k++) {
		struct pipe_buf *b = pipe_slot(in, k);
		u64 n = min_t(u64, b->len, len);
		pipe_page_get(b);
		b->flags &= ~PIPE_BUF_CAN_MERGE; /* two owners now */
		pipe_push(out, b->page, b->off, n, b->flags);
		done += n;
		len -= n;
		if (keep)
			continue;
		b->off += n;
		b->len -= n;
		if (!b->len)
			pipe_pop(in);
	}
	mutex_unlock(&in->lock);
	mutex_unlock(&out->lock);
	wake_readers(out);
	if (!keep)
		wake_writers(in);
	return done;
}

s64 do_splice(struct file *in, loff_t *inpos, struct file *out, loff_t *outpos, u64 len, u32 flags)
{
	struct pipe *pin = file_pipe(in), *pout = file_pipe(out);
	bool nonblock = flags & SPLICE_F_NONBLOCK;

	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE))
		return -EBADF;
	if ((pin && inpos) || (pout && outpos))
		return -ESPIPE;
	if (pin && pout)
		return pipe_to_pipe(pin, pout, len, nonblock || (in->flags | out->flags) & O_NONBLOCK, false);
	if (pin) {
		if (outpos && !(out->fmode & FMODE_PWRITE))
			return -EINVAL;
		if (out->flags & O_APPEND || !out->ops->write)
			return -EINVAL;
		return pipe_to_file(pin, out, outpos ?: &out->pos, len, nonblock || in->flags & O_NONBLOCK);
	}
	if (pout) {
		if (inpos && !(in->fmode & FMODE_PREAD))
			return -EINVAL;
		if (!in->ops->read || S_ISDIR(in->inode->mode))
			return -EINVAL;
		return file_to_pipe(in, inpos ?: &in->pos, pout, len, nonblock || out->flags & O_NONBLOCK);
	}
	return -EINVAL;
}

s64 do_tee(struct file *in, struct file *out, u64 len, u32 flags)
{
	struct pipe *pin = file_pipe(in), *pout = file_pipe(out);

	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE))
		return -EBADF;
	if (!pin || !pout)
		return -EINVAL;
	return pipe_to_pipe(pin, pout, len, flags & SPLICE_F_NONBLOCK || (in->flags | out->flags) & O_NONBLOCK, true);
}

/*
 * vmsplice: the pages go into the pipe as they are, pinned, so what the program writes to them later is what a reader gets (vmsplice(2)). A gift
 * is treated the same: nothing takes a page away from its owner.
 */
s64 do_vmsplice(struct file *f, struct iov_iter *it, u32 flags)
{
	loff_t pos = 0;

	if (file_pipe(f) && f->fmode & FMODE_WRITE)
		return pipe_push_user(f, it, flags & SPLICE_F_NONBLOCK);

	u32 was = f->flags;

	if (!file_pipe(f))
		return -EBADF;
	if (flags & SPLICE_F_NONBLOCK)
		f->flags |= O_NONBLOCK;
	s64 n = vfs_read(f, it, &pos);

	f->flags = was;
	return n;
}

/* ---- file to file ---- */

s64 do_sendfile(struct file *out, struct file *in, loff_t *inpos, u64 count)
{
	s64 done = 0, n = 0;

	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE))
		return -EBADF;
	if (inpos && !(in->fmode & FMODE_PREAD))
		return -ESPIPE;
	if (!in->ops->read || !out->ops->write || S_ISFIFO(in->inode->mode) || S_ISSOCK(in->inode->mode) || S_ISDIR(in->inode->mode) || out->flags & O_APPEND)
		return -EINVAL;
	if (file_pipe(out))
		return file_to_pipe(in, inpos ?: &in->pos, file_pipe(out), count, out->flags & O_NONBLOCK);
	loff_t *pos = inpos ?: &in->pos;

	while (count) {
		struct page *page;
		loff_t at = *pos;
		u32 off;
		n = piece_of_file(in, &at, count, &page, &off);
		if (n <= 0)
			break;
		s64 w = kernel_write(out, page_address(page) + off, n, &out->pos);
		page_put(page);
		if (w <= 0) {
			n = w;
			break;
		}
		*pos += w; /* what was not written was not taken */
		done += w;
		count -= w;
		if (w < n || signal_pending_current())
			break;
	}
	return done ? done : n;
}

static int copy_range_checks(struct file *in, loff_t inpos, struct file *out, loff_t outpos, u64 len)
{
	s64 end;

	if (S_ISDIR(in->inode->mode) || S_ISDIR(out->inode->mode))
		return -EISDIR;
	if (!S_ISREG(in->inode->mode) || !S_ISREG(out->inode->mode))
		return -EINVAL;
	if (!(in->fmode & FMODE_READ) || !(out->fmode & FMODE_WRITE) || out->flags & O_APPEND)
		return -EBADF;
	if (in->inode->super != out->inode->super)
		return -EXDEV;
	if (inpos < 0 || outpos < 0 || __builtin_add_overflow(inpos, (s64)len, &end) ||
	    __builtin_add_overflow(outpos, (s64)len, &end))
		return -EOVERFLOW;
	if (in->inode == out->inode && inpos < outpos + (s64)len && outpos < inpos + (s64)len)
		return -EINVAL;
	return 0;
}

s64 do_copy_file_range(struct file *in, loff_t inpos, struct file *out, loff_t outpos, u64 len)
{
	s64 done = 0, n = 0;

	len = min(len, MAX_RW_COUNT);
	int err = copy_range_checks(in, inpos, out, outpos, len);
	if (err)
		return err;
	while (len) {
		struct page *page;
		u32 off;
		n = piece_of_file(in, &inpos, len, &page, &off);
		if (n <= 0)
			break;
		n = kernel_write(out, page_address(page) + off, n, &outpos);
		page_put(page);
		if (n <= 0)
			break;
		done += n;
		len -= n;
		if (fatal_signal_pending_current())
			break;
	}
	return done ? done : n;
}
