/*
 * Files through the page cache: the read, write and mmap of regular files.
 *
 * Reading copies page by page under a reference on each; where a file in memory has no page there is a hole, and zeros are
 * given without making one. Writing holds the inode's rwsem. A page that is filled whole is copied first and put into the cache
 * then: nobody ever sees it unfinished, and it need not be zeroed before. A page that exists is written in place (readers may
 * see parts of the new data, as everywhere).
 *
 * No page lock is held while user memory is touched, so a write from a mapping of the same file cannot deadlock.
 */
#include <fs/filemap.h>
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/alloc.h>

/* The page at @index where the cache has none: read, or NULL for a hole or an error (*err). Referenced. */
static struct page *read_missing(struct mapping *m, u64 index, int *err)
{
	return m->ops && m->ops->read_page ? mapping_get(m, index, false, false, err) : NULL;
}

/* One page's part of a read: what lies in the page @p (NULL: a hole), up to @size and the end of @to. Bytes, short on a fault. */
static u64 read_part(struct page *p, u64 pos, u64 size, struct iov_iter *to, u64 *want)
{
	u64 off = pos & (PAGE_SIZE - 1);

	*want = min3(PAGE_SIZE - off, size - pos, to->count);
	return p ? copy_to_iter(to, page_address(p) + off, *want) : zero_to_iter(to, *want);
}

s64 generic_file_read(struct file *f, struct iov_iter *to, loff_t *ppos)
{
	struct inode *i = f->inode;
	struct mapping *m = &i->mapping;
	u64 pos = *ppos, start = pos, size = READ_ONCE(i->size), want;
	struct page *pages[MAPPING_RUN];
	int err = 0;

	while (pos < size && to->count && !err) {
		u64 index = pos >> PAGE_SHIFT, last = (min(size, pos + to->count) - 1) >> PAGE_SHIFT;
		unsigned n = min_t(u64, last - index + 1, MAPPING_RUN);

		if (n > 1) {
			n = mapping_find_run(m, index, n, pages);
		} else {
			pages[0] = mapping_find(m, index);
			n = pages[0] != NULL;
		}
		if (unlikely(!n)) {
			pages[0] = read_missing(m, index, &err);
			if (err)
				break;
			n = 1;
		}
		for (unsigned k = 0; k < n; k++) {
			/* not up to date: allocated ahead, a hole still; or it failed */
			if (unlikely(pages[k] && !page_flag(pages[k], PG_UPTODATE))) {
				err = err ?: page_flag(pages[k], PG_HWPOISON) ? -EIO : 0;
				page_put(pages[k]);
				pages[k] = NULL;
			}
			if (likely(!err)) {
				u64 done = read_part(pages[k], pos, size, to, &want);

				pos += done;
				if (unlikely(done < want))
					err = -EFAULT;
			}
			if (pages[k])
				page_put(pages[k]);
		}
	}
	*ppos = pos;
	file_accessed(f);
	return pos > start ? (s64)(pos - start) : err;
}

/* A page not yet in the cache, filled with @n bytes at @off (the whole page, but for the end of a short copy). Bytes copied or -errno. */
static s64 write_fresh(struct mapping *m, u64 index, struct iov_iter *from)
{
	struct page *p = alloc_page(GFP_USER);

	if (!p)
		return -ENOMEM;
	u64 done = copy_from_iter(page_address(p), from, PAGE_SIZE);
	if (done < PAGE_SIZE)
		memset(page_address(p) + done, 0, PAGE_SIZE - done);
	page_set_flag(p, PG_UPTODATE);
	int err = done ? mapping_insert(m, index, p) : -EFAULT;
	if (err == -EEXIST) { /* a fault was faster: its page stays */
		struct page *q = mapping_find(m, index);
		if (q) {
			memcpy(page_address(q), page_address(p), done);
			page_set_flag(q, PG_DIRTY);
			page_put(q);
			err = 0;
		}
	}
	page_put(p);
	return err ? err : (s64)done;
}

static s64 write_piece(struct mapping *m, u64 pos, u64 n, struct iov_iter *from, filemap_charge_fn charge)
{
	u64 off = pos & (PAGE_SIZE - 1);
	struct page *p = mapping_find(m, pos >> PAGE_SHIFT);
	int err = 0;

	if (!p) {
		err = charge ? charge(m->host) : 0;
		if (err)
			return err;
		if (n == PAGE_SIZE && !(m->runs && run_wanted(m, pos >> PAGE_SHIFT, NULL)))
			return write_fresh(m, pos >> PAGE_SHIFT, from);
	} else if (unlikely(!page_flag(p, PG_UPTODATE))) { /* allocated ahead, or bad */
		page_put(p);
		p = NULL;
	}
	if (!p) {
		p = mapping_get(m, pos >> PAGE_SHIFT, true, false, &err);
		if (!p)
			return err == -EHWPOISON ? -EIO : err ? err : -ENOMEM;
	}
	u64 done = copy_from_iter(page_address(p) + off, from, n);
	page_set_flag(p, PG_DIRTY);
	page_put(p);
	return done ? (s64)done : -EFAULT;
}

s64 filemap_write_locked(struct inode *i, struct iov_iter *from, u64 pos, u64 count, filemap_charge_fn charge)
{
	u64 start = pos;
	s64 r = 0;

	while (count) {
		u64 n = min(PAGE_SIZE - (pos & (PAGE_SIZE - 1)), count);
		r = write_piece(&i->mapping, pos, n, from, charge);
		if (r <= 0)
			break;
		pos += r;
		count -= r;
		if (pos > (u64)i->size)
			inode_set_size(i, pos);
	}
	return pos > start ? (s64)(pos - start) : r;
}

int generic_file_mmap(struct file *f, struct vma *v)
{
	v->ops = &filemap_vma_ops;
	v->mapping = &f->inode->mapping;
	file_accessed(f);
	return 0;
}
