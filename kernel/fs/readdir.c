/*
 * Reading directories. File systems emit entries one by one into a dir_sink, which builds the records of getdents(2) in a kernel
 * page and copies them out when the page is full, so that an entry costs some dozens of instructions and no user access.
 *
 * Directories that live in the name cache share one implementation: children stand in the parent's list in the order of dir_pos, which only grows, so a
 * position means "the first entry with dir_pos >= pos" whatever was made or removed meanwhile: entries that stay
 * are seen exactly once. A reading ends at the position that was next when it began (f->ra_pos), or it could chase new names for ever. A cursor in the open file remembers the entry to go on with; it is good while the directory's
 * version (count of removals) is the same, and saves the search from the start of the list.
 */
#include <fs/internal.h>
#include <fs/readdir.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

#define SINK_BUF 4096u
#define REC64 19u /* bytes before the name of struct linux_dirent64 */
#define MAX_REC 280u /* with a name of 255 bytes */
#define REC_OLD 18u /* of struct linux_dirent; the type stands in the last byte */

struct dir_sink {
	u8 *buf; /* kernel page; 8 bytes of slack behind it */
	u32 used; /* bytes in buf */
	u32 room; /* bytes of buf that may be used: it is no longer than what the reader has left */
	u8 __user *to; /* where buf goes */
	u64 left; /* user bytes from there */
	s64 done; /* copied out */
	u64 first, next; /* position of the first entry in buf, and of what follows the last */
	int err;
	bool old;
};

/* Whole records among the first bytes were returned, and the next call begins with the one after them. */
static bool sink_broke(struct dir_sink *s, u32 copied)
{
	u32 at = 0, end;

	while (at < s->used && (end = at + *(u16 *)(s->buf + at + 16)) <= copied) {
		s->first = *(u64 *)(s->buf + at + 8);
		at = end;
	}
	s->done += at;
	s->used = s->room = 0;
	s->err = -EFAULT;
	return false;
}

static bool sink_flush(struct dir_sink *s)
{
	u64 left;

	if (!s->used)
		return true;
	left = copy_to_user(s->to, s->buf, s->used);
	if (unlikely(left))
		return sink_broke(s, s->used - left);
	s->to += s->used;
	s->left -= s->used;
	s->done += s->used;
	s->used = 0;
	s->room = (u32)min_t(u64, s->left, SINK_BUF);
	s->first = s->next;
	return true;
}

/* Room for the next record, by copying out what there is. */
static noinline bool sink_more(struct dir_sink *s, u32 reclen)
{
	if (s->err)
		return false;
	if (reclen > s->left - s->used) {
		if (!s->used && !s->done)
			s->err = -EINVAL; /* not even one fits */
		return false;
	}
	return sink_flush(s);
}

static inline void copy_name(u8 *to, const char *name, u32 len)
{
	if (likely(len >= 8)) {
		u32 i = 0;
		do {
			put_unaligned_le64(get_unaligned_le64(name + i), to + i);
			i += 8;
		} while (i + 8 <= len);
		put_unaligned_le64(get_unaligned_le64(name + len - 8), to + len - 8);
		return;
	}
	if (len & 4)
		put_unaligned_le32(get_unaligned_le32(name), to);
	if (len & 2)
		put_unaligned_le16(get_unaligned_le16(name + (len & 4)), to + (len & 4));
	if (len & 1)
		to[len - 1] = name[len - 1];
}

bool dir_emit(struct dir_sink *s, const char *name, u32 len, u64 ino, u8 type, u64 next_pos)
{
	u32 head = unlikely(s->old) ? REC_OLD : REC64;
	u32 reclen = ALIGN(head + len + 1 + (s->old ? 1 : 0), 8);

	if (unlikely(s->used + reclen > s->room) && !sink_more(s, reclen))
		return false;
	u8 *rec = s->buf + s->used;

	*(u64 *)rec = ino;
	*(u64 *)(rec + 8) = next_pos;
	*(u64 *)(rec + reclen - 8) = 0; /* the end of the name and what is after it */
	*(u16 *)(rec + 16) = reclen;
	if (likely(!s->old))
		rec[18] = type;
	copy_name(rec + head, name, len);
	if (unlikely(s->old))
		rec[reclen - 1] = type;
	s->used += reclen;
	s->next = next_pos;
	return true;
}

s64 do_getdents(struct file *f, void __user *to, u64 n, bool old)
{
	struct inode *i = f->inode;

	if (!f->ops->iterate)
		return -ENOTDIR;
	struct dir_sink s = { .buf = kmalloc(SINK_BUF, GFP_KERNEL), .to = to, .left = n, .room = (u32)min_t(u64, n, SINK_BUF), .old = old };
	bool shared = file_pos_shared(f);

	if (!s.buf)
		return -ENOMEM;
	if (shared)
		mutex_lock(&f->pos_lock);
	s.first = s.next = f->pos;
	down_read(&i->rwsem);
	int err = i->flags & I_DEAD ? -ENOENT : f->ops->iterate(f, &s);
	up_read(&i->rwsem);
	if (!err && !i->ops->getattr)
		file_accessed(f);
	sink_flush(&s);
	if (unlikely(s.err == -EFAULT))
		f->pos = s.first;
	if (shared)
		mutex_unlock(&f->pos_lock);
	kfree(s.buf);
	if (s.done)
		return s.done;
	return s.err ? s.err : err;
}

/* ---- directories of the name cache ---- */

static inline u8 mode_type(u32 mode)
{
	return mode >> 12 & 15; /* DT_* are the type bits of the mode */
}

static inline bool is_pinned(const struct dentry *d) { return d->inode && d->flags & DENTRY_PINNED; }

/*
 * The directory's rwsem keeps what is pinned (all that exists in a file system of this kind) in the list of children. It does not
 * keep the others, names that do not exist and what /proc makes on the fly: these leave it under the directory's lock
 * whenever they are reclaimed. So a walk steps from pinned to pinned, over the others with the lock held.
 */
struct dentry *pinned_child_after(struct dentry *dir, struct dentry *after)
{
	struct list_head *l = after ? &after->sibling : &dir->children;
	struct dentry *d = NULL;

	spin_lock(&dir->lock);
	while ((l = l->next) != &dir->children) {
		d = list_entry(l, struct dentry, sibling);
		if (is_pinned(d))
			break;
		d = NULL;
	}
	spin_unlock(&dir->lock);
	return d;
}

/* First pinned child at or after pos. => directory rwsem and lock */
static struct dentry *seek_child(struct dentry *dir, struct file *f, u64 pos)
{
	struct dentry *d;

	if (f->cursor && f->cursor_version == dir->version) {
		d = f->cursor;
		if (d->dir_pos == pos)
			return d;
	}
	list_for_each_entry(d, &dir->children, sibling)
		if (d->dir_pos >= pos && is_pinned(d))
			return d;
	return NULL;
}

/* Copies out what is buffered when the next record might not fit behind it. => directory lock, dropped meanwhile */
static inline bool make_room(struct dir_sink *s, struct dentry *dir)
{
	bool ok;

	if (likely(s->used + MAX_REC <= SINK_BUF))
		return true;
	spin_unlock(&dir->lock);
	ok = sink_flush(s);
	spin_lock(&dir->lock);
	return ok;
}

/* Emits children from the one at f->pos on. => directory rwsem */
static void emit_children(struct file *f, struct dir_sink *s, struct dentry *dir)
{
	u64 pos = f->pos;
	struct dentry *d;

	spin_lock(&dir->lock);
	d = seek_child(dir, f, pos);
	if (!d)
		goto out;
	f->cursor = NULL;
	list_for_each_entry_from(d, &dir->children, sibling) {
		if (unlikely(!is_pinned(d)))
			continue;
		if (unlikely(d->dir_pos >= f->ra_pos))
			break;
		pos = d->dir_pos;
		if (!make_room(s, dir) ||
		    !dir_emit(s, d->name.name, d->name.len, d->inode->ino, mode_type(d->inode->mode), pos + 1)) {
			f->cursor = d;
			f->cursor_version = dir->version;
			f->pos = pos;
			goto out;
		}
	}
	f->pos = pos + 1;
out:
	spin_unlock(&dir->lock);
}

static int dcache_iterate(struct file *f, struct dir_sink *s)
{
	struct dentry *dir = f->path.dentry;

	if (f->pos == 0 || !f->ra_pos)
		f->ra_pos = dir->next_pos;
	if (f->pos == 0) {
		if (!dir_emit(s, ".", 1, dir->inode->ino, DT_DIR, 1))
			return 0;
		f->pos = 1;
	}
	if (f->pos == 1) {
		rcu_read_lock();
		u64 up = READ_ONCE(dir->parent)->inode->ino;
		rcu_read_unlock();
		if (!dir_emit(s, "..", 2, up, DT_DIR, 2))
			return 0;
		f->pos = 2;
	}
	emit_children(f, s, dir);
	return 0;
}

static s64 dir_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	return -EISDIR;
}

static loff_t dcache_dir_llseek(struct file *f, loff_t off, int whence)
{
	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return fixed_size_llseek(f, off, whence, 0, S64_MAX);
}

static int dir_fsync(struct file *f, bool datasync)
{
	return 0;
}

const struct file_ops dcache_dir_fops = {
	.read = dir_read,
	.llseek = dcache_dir_llseek,
	.iterate = dcache_iterate,
	.fsync = dir_fsync,
};
