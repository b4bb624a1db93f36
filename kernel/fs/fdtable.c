/*
 * Descriptor tables.
 *
 * A table of 64 lives inside struct files; a larger one is a separate block of arrays that replaces it (old ones are freed a
 * grace period later, since fdget_shared reads without a lock). Objects of the slab rest with all slots NULL and all bits clear,
 * so that fork copies only what is open.
 *
 * The lowest free descriptor is found from next_fd (nothing is free below it) in two steps: the first word that is not full, by the
 * bitmap of full words, then the first clear bit in it. A descriptor is reserved (bit set, slot NULL) until fd_install.
 *
 * While files->refs is 1 only the running thread can change the table, so lookups take no reference: close(2) cannot
 * come between. Shared: a reference unless the count was 0, and the slot looked at again (see file.c).
 * Locks: files->lock, a leaf; nothing is put under it.
 */
#include <fs/dnotify.h>
#include <fs/fdtable.h>
#include <fs/internal.h>
#include <lib/bitops.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

#define FD_INLINE 64u
u64 nr_open_max = 1u << 20; /* sysctl fs.nr_open */

static struct kmem_cache *files_cache;

static void files_ctor(void *p)
{
	struct files *fs = p;

	memset(fs, 0, sizeof(*fs));
	spin_lock_init(&fs->lock);
	fs->inline_table.max = FD_INLINE;
	fs->inline_table.fd = fs->inline_fd;
	fs->inline_table.open = fs->inline_open;
	fs->inline_table.cloexec = fs->inline_cloexec;
	fs->inline_table.full = fs->inline_full;
	fs->t = &fs->inline_table;
}

static struct files *files_alloc(void)
{
	struct files *fs = kmem_cache_alloc(files_cache, GFP_KERNEL);

	if (fs) {
		fs->refs = 1;
		fs->next_fd = 0;
	}
	return fs;
}

struct files *files_init(void)
{
	if (!files_cache)
		files_cache = kmem_cache_create("files", sizeof(struct files), 64, SLAB_PANIC | SLAB_HWCACHE_ALIGN, files_ctor);
	return files_alloc();
}

/* ---- tables ---- */

static struct fdtable *table_alloc(u32 max)
{
	u32 words = max / 64, tops = DIV_ROUND_UP(words, 64);
	struct fdtable *t = kmalloc(sizeof(*t), GFP_KERNEL);
	void *mem = t ? kvmalloc(max * sizeof(struct file *) + (2 * words + tops) * sizeof(u64), GFP_KERNEL) : NULL;

	if (!mem) {
		kfree(t);
		return NULL;
	}
	memset(mem, 0, max * sizeof(struct file *) + (2 * words + tops) * sizeof(u64));
	t->max = max;
	t->fd = mem;
	t->open = (u64 *)(t->fd + max);
	t->cloexec = t->open + words;
	t->full = t->cloexec + words;
	return t;
}

static void table_free(struct fdtable *t)
{
	kvfree(t->fd);
	kfree(t);
}

static void table_free_rcu(struct rcu_head *h)
{
	table_free(container_of(h, struct fdtable, rcu));
}

static void table_copy(struct fdtable *to, const struct fdtable *from)
{
	u32 words = from->max / 64;

	memcpy(to->fd, from->fd, from->max * sizeof(struct file *));
	memcpy(to->open, from->open, words * sizeof(u64));
	memcpy(to->cloexec, from->cloexec, words * sizeof(u64));
	memcpy(to->full, from->full, DIV_ROUND_UP(words, 64) * sizeof(u64));
}

/* Room for @fd. => files->lock, dropped meanwhile; look again */
static int table_grow(struct files *fs, u32 fd)
{
	u32 max = roundup_pow_of_two(max_t(u32, fd + 1, 256));

	if (fd >= nr_open_max)
		return -EMFILE;
	spin_unlock(&fs->lock);
	struct fdtable *t = table_alloc(max), *old;

	spin_lock(&fs->lock);
	if (!t)
		return -ENOMEM;
	old = fs->t;
	if (old->max >= max) { /* another thread was faster */
		table_free(t);
		return 0;
	}
	table_copy(t, old);
	rcu_assign_pointer(fs->t, t);
	if (old != &fs->inline_table)
		call_rcu(&old->rcu, table_free_rcu);
	return 0;
}

/* ---- bits. => files->lock ---- */

static inline void bit_take(struct fdtable *t, u32 fd, bool cloexec)
{
	u32 w = fd / 64;

	t->open[w] |= 1ull << (fd % 64);
	if (cloexec)
		t->cloexec[w] |= 1ull << (fd % 64);
	else
		t->cloexec[w] &= ~(1ull << (fd % 64));
	if (unlikely(t->open[w] == ~0ull))
		t->full[w / 64] |= 1ull << (w % 64);
}

static inline void bit_drop(struct files *fs, u32 fd)
{
	struct fdtable *t = fs->t;
	u32 w = fd / 64;

	t->open[w] &= ~(1ull << (fd % 64));
	t->full[w / 64] &= ~(1ull << (w % 64));
	if (fd < fs->next_fd)
		fs->next_fd = fd;
}

static inline bool bit_open(const struct fdtable *t, u32 fd)
{
	return fd < t->max && t->open[fd / 64] >> (fd % 64) & 1;
}

/* First free descriptor >= from, or max. */
static u32 bit_find(const struct fdtable *t, u32 from)
{
	u32 w = from / 64, words = t->max / 64;

	if (from >= t->max)
		return from;
	u64 free = ~t->open[w] & (~0ull << (from % 64));

	if (likely(free))
		return w * 64 + __builtin_ctzll(free);
	for (w++; w < words; w = (w | 63) + 1) {
		u64 notfull = ~t->full[w / 64] & (~0ull << (w % 64));
		if (!notfull)
			continue;
		w = w / 64 * 64 + __builtin_ctzll(notfull);
		return w < words ? w * 64 + __builtin_ctzll(~t->open[w]) : t->max;
	}
	return t->max;
}

/* ---- lookup ---- */

static struct file *get_rcu(struct files *fs, unsigned fd)
{
	for (;;) {
		struct fdtable *t = rcu_dereference(fs->t);
		if (fd >= t->max)
			return NULL;
		struct file *f = READ_ONCE(t->fd[fd]);
		if (!f)
			return NULL;
		s32 r = READ_ONCE(f->refs);
		while (r > 0 && !try_cmpxchg(&f->refs, &r, r + 1))
			;
		if (r > 0 && likely(READ_ONCE(t->fd[fd]) == f && rcu_dereference(fs->t) == t))
			return f;
		if (r > 0) { /* ours for a moment only: it is some other open file now */
			rcu_read_unlock();
			file_put(f);
			rcu_read_lock();
		}
	}
}

struct fd fdget_shared(struct files *fs, unsigned fd)
{
	rcu_read_lock();
	struct file *f = get_rcu(fs, fd);
	rcu_read_unlock();
	return (struct fd){ f ? (u64)f | 1 : 0 };
}

struct file *fget(unsigned fd)
{
	struct file *f = fd_file(fdget_shared(current->files, fd));

	if (f && f->fmode & FMODE_PATH) {
		file_put(f);
		return NULL;
	}
	return f;
}

struct file *fget_task(struct task *t, unsigned fd)
{
	struct files *fs = task_files_get(t);

	if (!fs)
		return NULL;
	struct file *f = fd_file(fdget_shared(fs, fd));

	files_put(fs);
	return f;
}

/* ---- taking and giving ---- */

static int alloc_locked(struct files *fs, u32 from, bool cloexec)
{
	u64 limit = current->signal->rlim[RLIMIT_NOFILE].rlim_cur;

	for (;;) {
		u32 fd = bit_find(fs->t, max(from, fs->next_fd));
		if (fd >= limit)
			return -EMFILE;
		if (unlikely(fd >= fs->t->max)) {
			int err = table_grow(fs, fd);
			if (err)
				return err;
			continue;
		}
		bit_take(fs->t, fd, cloexec);
		if (from <= fs->next_fd)
			fs->next_fd = fd + 1;
		return fd;
	}
}

int fd_alloc(u32 oflags, u32 from)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock);
	int fd = alloc_locked(fs, from, oflags & O_CLOEXEC);
	spin_unlock(&fs->lock);
	return fd;
}

void fd_install(int fd, struct file *f)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock); /* the table may be copied by table_grow */
	ASSERT(bit_open(fs->t, fd) && !fs->t->fd[fd]);
	rcu_assign_pointer(fs->t->fd[fd], f);
	spin_unlock(&fs->lock);
}

void fd_release(int fd)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock);
	bit_drop(fs, fd);
	spin_unlock(&fs->lock);
}

long fd_install_pair(struct file *f[2], u32 oflags, s32 __user *fds)
{
	s32 fd[2] = { fd_alloc(oflags, 0), -1 };
	long err = fd[0];

	if (fd[0] < 0)
		goto put_files;
	err = fd[1] = fd_alloc(oflags, 0);
	if (fd[1] < 0)
		goto free_first;
	err = -EFAULT;
	if (copy_to_user(fds, fd, sizeof(fd)))
		goto free_second;
	/* commit: no failure below */
	fd_install(fd[0], f[0]);
	fd_install(fd[1], f[1]);
	return 0;

free_second:
	fd_release(fd[1]);
free_first:
	fd_release(fd[0]);
put_files:
	file_put(f[0]);
	file_put(f[1]);
	return err;
}

int fd_open_file(struct file *f, u32 oflags)
{
	int fd = fd_alloc(oflags, 0);

	if (fd < 0)
		file_put(f);
	else
		fd_install(fd, f);
	return fd;
}

/* ---- closing ---- */

static int file_close(struct file *f, struct files *fs)
{
	int err = unlikely(f->ops->flush) ? f->ops->flush(f) : 0;

	if (unlikely(f->inode && !list_empty(&f->inode->flocks)))
		locks_remove_posix(f, fs);
	if (unlikely(READ_ONCE(dnotify_marks)))
		dnotify_close(f, fs);
	file_put(f);
	return err;
}

/* The file of an open descriptor, taken out of the table; NULL. => files->lock */
static struct file *take_out(struct files *fs, u32 fd)
{
	struct fdtable *t = fs->t;
	struct file *f = fd < t->max ? t->fd[fd] : NULL;

	if (f) {
		WRITE_ONCE(t->fd[fd], NULL);
		bit_drop(fs, fd);
	}
	return f;
}

int close_fd(unsigned fd)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock);
	struct file *f = take_out(fs, fd);
	spin_unlock(&fs->lock);
	return f ? file_close(f, fs) : -EBADF;
}

u32 files_next_open(struct files *fs, u32 from)
{
	u32 r = ~0u;

	spin_lock(&fs->lock);
	struct fdtable *t = fs->t;
	for (u32 w = from / 64; w < t->max / 64; w++) {
		u64 bits = t->open[w];
		if (w == from / 64)
			bits &= ~0ull << (from % 64);
		while (bits && !t->fd[w * 64 + __builtin_ctzll(bits)])
			bits &= bits - 1; /* reserved only */
		if (bits) {
			r = w * 64 + __builtin_ctzll(bits);
			break;
		}
	}
	spin_unlock(&fs->lock);
	return r;
}

/* dup2, dup3: @to names f's file too; what was there is closed. */
int fd_replace_file(struct file *f, unsigned to, u32 oflags)
{
	struct files *fs = current->files;
	struct file *old;
	int err = -EBADF;

	if (to >= current->signal->rlim[RLIMIT_NOFILE].rlim_cur)
		goto put;
	spin_lock(&fs->lock);
	while (to >= fs->t->max) {
		err = table_grow(fs, to);
		if (err)
			goto fail;
	}
	old = fs->t->fd[to];
	if (!old && bit_open(fs->t, to)) { /* another thread is opening it: dup2(2), EBUSY */
		err = -EBUSY;
		goto fail;
	}
	bit_take(fs->t, to, oflags & O_CLOEXEC);
	rcu_assign_pointer(fs->t->fd[to], f);
	spin_unlock(&fs->lock);
	if (old)
		file_close(old, fs);
	return to;
fail:
	spin_unlock(&fs->lock);
put:
	file_put(f);
	return err;
}

int fd_replace(unsigned from, unsigned to, u32 oflags)
{
	struct file *f = fd_file(fdget_shared(current->files, from)); /* O_PATH too */

	return f ? fd_replace_file(f, to, oflags) : -EBADF;
}

int fd_get_cloexec(unsigned fd)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock);
	int r = fd < fs->t->max ? fs->t->cloexec[fd / 64] >> (fd % 64) & 1 : 0;
	spin_unlock(&fs->lock);
	return r;
}

void fd_set_cloexec(unsigned fd, bool on)
{
	struct files *fs = current->files;

	spin_lock(&fs->lock);
	if (bit_open(fs->t, fd))
		bit_take(fs->t, fd, on);
	spin_unlock(&fs->lock);
}

/* ---- whole tables ---- */

static u32 highest_open(const struct fdtable *t)
{
	for (u32 w = t->max / 64; w--;)
		if (t->open[w])
			return w * 64 + 64;
	return 0;
}

/*
 * Descriptors below @limit only; the rest stays closed in the copy. -EMFILE when those open no longer fit below
 * fs.nr_open (in whole words, as the table has them), which was lowered since.
 */
static struct files *files_copy(struct files *from, u32 limit)
{
	struct files *fs = files_alloc();

	if (!fs)
		return ERR_PTR(-ENOMEM);
	spin_lock(&from->lock);
	u32 top;
	while ((top = min(highest_open(from->t), limit)) > fs->t->max) {
		spin_unlock(&from->lock);
		bool fits = top <= ALIGN(nr_open_max, 64);
		struct fdtable *t = fits ? table_alloc(roundup_pow_of_two(top)) : NULL;
		if (!t) {
			files_put(fs);
			return ERR_PTR(fits ? -ENOMEM : -EMFILE);
		}
		if (fs->t != &fs->inline_table)
			table_free(fs->t);
		fs->t = t;
		spin_lock(&from->lock);
	}
	for (u32 w = 0; w * 64 < top; w++) {
		u64 bits = from->t->open[w];
		if (top - w * 64 < 64)
			bits &= ~(~0ull << (top - w * 64));
		for (u64 b = bits; b; b &= b - 1) {
			u32 fd = w * 64 + __builtin_ctzll(b);
			struct file *f = from->t->fd[fd];
			if (unlikely(!f)) { /* reserved by another thread: free in the copy */
				bits &= ~(1ull << (fd % 64));
				continue;
			}
			fs->t->fd[fd] = file_get(f);
		}
		fs->t->open[w] = bits;
		fs->t->cloexec[w] = from->t->cloexec[w] & bits;
		if (bits == ~0ull)
			fs->t->full[w / 64] |= 1ull << (w % 64);
	}
	fs->next_fd = bit_find(fs->t, 0);
	spin_unlock(&from->lock);
	return fs;
}

struct files *files_dup(struct files *f)
{
	return files_copy(f, ~0u);
}

struct files *files_share(struct files *f)
{
	__atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

static void files_close_all(struct files *fs)
{
	struct fdtable *t = fs->t;

	for (u32 w = 0; w < t->max / 64; w++) {
		while (t->open[w]) {
			u32 fd = w * 64 + __builtin_ctzll(t->open[w]);
			struct file *f = t->fd[fd];
			t->fd[fd] = NULL;
			t->open[w] &= t->open[w] - 1;
			if (f)
				file_close(f, fs);
		}
		t->cloexec[w] = 0;
	}
	t->full[0] = 0;
}

void files_put(struct files *fs)
{
	if (__atomic_sub_fetch(&fs->refs, 1, __ATOMIC_ACQ_REL))
		return;
	files_close_all(fs);
	if (fs->t != &fs->inline_table) {
		struct fdtable *in = &fs->inline_table;
		table_free(fs->t);
		memset(in->fd, 0, in->max * sizeof(*in->fd)); /* it stopped being used half full */
		in->open[0] = in->cloexec[0] = in->full[0] = 0;
		fs->t = in;
	}
	kmem_cache_free(files_cache, fs);
}

/* => exec: the table is not shared any more */
void files_close_on_exec(struct files *fs)
{
	for (u32 w = 0; w < fs->t->max / 64; w++) {
		u64 bits;
		while ((bits = fs->t->open[w] & fs->t->cloexec[w])) {
			u32 fd = w * 64 + __builtin_ctzll(bits);
			spin_lock(&fs->lock);
			struct file *f = take_out(fs, fd);
			fs->t->cloexec[w] &= ~(1ull << (fd % 64));
			spin_unlock(&fs->lock);
			if (f)
				file_close(f, fs);
		}
	}
}

/* close_range(2) */
int fd_close_range(u32 first, u32 last, bool unshare, bool cloexec)
{
	struct files *fs = current->files;

	if (unshare && READ_ONCE(fs->refs) > 1) {
		/* What would be closed need not be copied when it is the end of the table. */
		struct files *mine = files_copy(fs, !cloexec && last >= READ_ONCE(fs->t)->max ? first : ~0u);
		if (IS_ERR(mine))
			return PTR_ERR(mine);
		spin_lock(&current->alloc_lock);
		current->files = mine;
		spin_unlock(&current->alloc_lock);
		files_put(fs);
		fs = mine;
	}
	for (u32 fd = first; (fd = files_next_open(fs, fd)) <= last && fd != ~0u; fd++) {
		spin_lock(&fs->lock);
		struct file *f = NULL;
		if (!cloexec)
			f = take_out(fs, fd);
		else if (bit_open(fs->t, fd))
			bit_take(fs->t, fd, true);
		spin_unlock(&fs->lock);
		if (f)
			file_close(f, fs);
	}
	return 0;
}
