/*
 * Advisory locks: flock(2), POSIX record locks and open-file-description locks (fcntl(2)).
 *
 * A lock is (kind, owner, range, shared or exclusive) on an inode's list. Owners: the open file for flock and OFD locks, the
 * descriptor table for POSIX locks (which is why any close by the process drops them). flock locks conflict only with flock locks;
 * POSIX and OFD locks with each other. One owner's record locks never overlap: setting a range cuts and merges what he has there.
 *
 * One spinlock for all: locking calls are rare next to what they protect, and /proc/locks and the deadlock search need a view of
 * everything. Waiters sleep on the inode's queue and look again when any lock of it went. A POSIX waiter is
 * listed with the owner it waits for; a new waiter whose chain of such edges leads to itself gets EDEADLK.
 */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>

enum lock_kind { KIND_FLOCK, KIND_POSIX, KIND_OFD };

struct file_lock {
	struct list_head link; /* inode->flocks */
	struct list_head all; /* /proc/locks */
	struct inode *inode;
	void *owner;
	s64 start, end; /* inclusive; S64_MAX: to the end of the file, wherever that is */
	pid_t pid;
	u8 kind, type; /* F_RDLCK, F_WRLCK */
};
struct waiter {
	struct list_head link;
	void *owner, *blocker;
};

static DEFINE_SPINLOCK(locks_lock);
static LIST_HEAD(all_locks);
static LIST_HEAD(waiters);
static struct kmem_cache *lock_cache;

void locks_init(void)
{
	lock_cache = kmem_cache_create("file_lock", sizeof(struct file_lock), 0, SLAB_PANIC, NULL);
}

static void lock_insert(struct file_lock *l)
{
	list_add_tail(&l->link, &l->inode->flocks);
	list_add_tail(&l->all, &all_locks);
}

static void lock_delete(struct file_lock *l)
{
	list_del(&l->link);
	list_del(&l->all);
	kmem_cache_free(lock_cache, l);
}

static bool overlaps(const struct file_lock *a, const struct file_lock *b)
{
	return a->start <= b->end && b->start <= a->end;
}

static bool conflicts(const struct file_lock *a, const struct file_lock *b)
{
	if (a->owner == b->owner || (a->kind == KIND_FLOCK) != (b->kind == KIND_FLOCK))
		return false;
	return (a->type == F_WRLCK || b->type == F_WRLCK) && overlaps(a, b);
}

static struct file_lock *find_conflict(const struct file_lock *want)
{
	struct file_lock *l;

	list_for_each_entry(l, &want->inode->flocks, link)
		if (conflicts(l, want))
			return l;
	return NULL;
}

/* Would waiting for @blocker close a circle? */
static bool deadlocks(void *me, void *blocker)
{
	for (int depth = 0; depth < 64; depth++) {
		struct waiter *w;
		void *next = NULL;
		if (blocker == me)
			return true;
		list_for_each_entry(w, &waiters, link)
			if (w->owner == blocker)
				next = w->blocker;
		if (!next)
			return false;
		blocker = next;
	}
	return false;
}

/* Sleeps until something changed about the locks that hinder @want. => locks_lock; dropped and taken again */
static int wait_for(const struct file_lock *want, const struct file_lock *blocker)
{
	struct inode *i = want->inode;
	struct waiter w = { .owner = want->owner, .blocker = blocker->owner };
	bool posix = want->kind == KIND_POSIX;
	int err = 0;

	if (posix && deadlocks(want->owner, blocker->owner))
		return -EDEADLK;
	if (posix)
		list_add(&w.link, &waiters);
	DEFINE_WAIT(e);
	prepare_to_wait(&i->lease_wait, &e, TASK_INTERRUPTIBLE);
	spin_unlock(&locks_lock);
	if (signal_pending_current())
		err = -ERESTARTSYS;
	else
		schedule();
	finish_wait(&i->lease_wait, &e);
	spin_lock(&locks_lock);
	if (posix)
		list_del(&w.link);
	return err;
}

/* ---- flock ---- */

static bool drop_flock(struct inode *i, void *owner)
{
	struct file_lock *l;

	list_for_each_entry(l, &i->flocks, link)
		if (l->kind == KIND_FLOCK && l->owner == owner) {
			lock_delete(l);
			return true;
		}
	return false;
}

static bool has_flock(struct inode *i, void *owner, int type)
{
	struct file_lock *l;

	list_for_each_entry(l, &i->flocks, link)
		if (l->kind == KIND_FLOCK && l->owner == owner)
			return l->type == type;
	return false;
}

int do_flock(struct file *f, int cmd)
{
	struct inode *i = f->inode;
	int op = cmd & ~LOCK_NB, err = 0;
	struct file_lock *want, *c;

	if (op == LOCK_UN) {
		spin_lock(&locks_lock);
		drop_flock(i, f);
		spin_unlock(&locks_lock);
		wake_up_all(&i->lease_wait);
		return 0;
	}
	if (op != LOCK_SH && op != LOCK_EX)
		return -EINVAL;
	want = kmem_cache_alloc(lock_cache, GFP_KERNEL);
	if (!want)
		return -ENOLCK;
	*want = (struct file_lock){ .inode = i, .owner = f, .end = S64_MAX, .pid = current->tgid, .kind = KIND_FLOCK,
				    .type = op == LOCK_EX ? F_WRLCK : F_RDLCK };
	spin_lock(&locks_lock);
	if (has_flock(i, f, want->type))
		goto free;
	bool had = drop_flock(i, f); /* a change of kind is not atomic: flock(2) */
	while (!err && (c = find_conflict(want)))
		err = cmd & LOCK_NB ? -EAGAIN : wait_for(want, c);
	if (!err) {
		lock_insert(want);
		want = NULL;
	}
	if (had)
		wake_up_all(&i->lease_wait);
free:
	spin_unlock(&locks_lock);
	if (want)
		kmem_cache_free(lock_cache, want);
	return err;
}

/* ---- record locks ---- */

/* The owner's locks where @new goes: cut, merged into new, or removed. @spare is used up (set NULL) when one is split. */
static void make_place(struct file_lock *new, struct file_lock **spare)
{
	struct file_lock *l, *n;

	list_for_each_entry_safe(l, n, &new->inode->flocks, link) {
		if (l->kind != new->kind || l->owner != new->owner)
			continue;
		if (l->type == new->type) { /* neighbours too become one */
			if (l->start > (new->end == S64_MAX ? S64_MAX : new->end + 1) || (l->end != S64_MAX && l->end + 1 < new->start))
				continue;
			new->start = min(new->start, l->start);
			new->end = max(new->end, l->end);
			lock_delete(l);
			continue;
		}
		if (!overlaps(l, new))
			continue;
		if (l->start < new->start && l->end > new->end) {
			struct file_lock *right = *spare;
			*spare = NULL;
			*right = *l;
			right->start = new->end + 1;
			l->end = new->start - 1;
			lock_insert(right);
		} else if (l->start < new->start) {
			l->end = new->start - 1;
		} else if (l->end > new->end) {
			l->start = new->end + 1;
		} else {
			lock_delete(l);
		}
	}
}

static int set_record(struct file_lock *new, bool wait)
{
	struct file_lock *spare = kmem_cache_alloc(lock_cache, GFP_KERNEL), *c;
	struct inode *i = new->inode;
	int err = 0;

	if (!spare)
		return -ENOLCK;
	spin_lock(&locks_lock);
	while (new->type != F_UNLCK && !err && (c = find_conflict(new)))
		err = wait ? wait_for(new, c) : -EAGAIN;
	if (!err) {
		make_place(new, &spare);
		if (new->type != F_UNLCK)
			lock_insert(new);
	}
	spin_unlock(&locks_lock);
	if (spare)
		kmem_cache_free(lock_cache, spare);
	if (!err)
		wake_up_all(&i->lease_wait);
	return err;
}

static int range_from_user(struct file *f, const struct flock_k *u, struct file_lock *l)
{
	s64 start = u->l_start, base;

	switch (u->l_whence) {
	case SEEK_SET:
		base = 0;
		break;
	case SEEK_CUR:
		base = f->pos;
		break;
	case SEEK_END:
		base = f->inode->size;
		break;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, start, &start))
		return -EOVERFLOW;
	if (start < 0)
		return -EINVAL;
	if (u->l_len > 0) {
		if (__builtin_add_overflow(start, u->l_len - 1, &l->end))
			return -EOVERFLOW;
	} else if (u->l_len < 0) {
		if (start + u->l_len < 0)
			return -EINVAL;
		l->end = start - 1;
		start += u->l_len;
	} else {
		l->end = S64_MAX;
	}
	l->start = start;
	return 0;
}

/* F_GETLK tells of the conflicting lock that begins first. */
static void get_record(struct file_lock *want, struct flock_k *u)
{
	struct file_lock *c = NULL, *l;

	spin_lock(&locks_lock);
	list_for_each_entry(l, &want->inode->flocks, link)
		if (conflicts(l, want) && (!c || l->start < c->start))
			c = l;
	if (!c) {
		u->l_type = F_UNLCK;
	} else {
		u->l_type = c->type;
		u->l_whence = SEEK_SET;
		u->l_start = c->start;
		u->l_len = c->end == S64_MAX ? 0 : c->end - c->start + 1;
		u->l_pid = c->kind == KIND_OFD ? -1 : c->pid;
	}
	spin_unlock(&locks_lock);
}

int do_fcntl_lock(int fd, struct file *f, u32 cmd, struct flock_k *u)
{
	bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW, get = cmd == F_GETLK || cmd == F_OFD_GETLK;

	if (u->l_type != F_RDLCK && u->l_type != F_WRLCK && (u->l_type != F_UNLCK || get))
		return -EINVAL;
	if (ofd && u->l_pid)
		return -EINVAL;
	struct file_lock *l = kmem_cache_alloc(lock_cache, GFP_KERNEL);

	if (!l)
		return -ENOLCK;
	*l = (struct file_lock){ .inode = f->inode, .owner = ofd ? (void *)f : (void *)current->files, .pid = current->tgid,
				 .kind = ofd ? KIND_OFD : KIND_POSIX, .type = u->l_type };
	int err = range_from_user(f, u, l);

	if (!err && !get && ((l->type == F_RDLCK && !(f->fmode & FMODE_READ)) || (l->type == F_WRLCK && !(f->fmode & FMODE_WRITE))))
		err = -EBADF;
	if (!err && get)
		get_record(l, u);
	else if (!err)
		err = set_record(l, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
	/* Once inserted it may be gone already: another thread's lock swallowed it. So not l->type. */
	if (err || get || u->l_type == F_UNLCK)
		kmem_cache_free(lock_cache, l);
	return err;
}

/* ---- closing ---- */

static void remove_owned(struct inode *i, void *owner, bool posix)
{
	struct file_lock *l, *n;
	bool any = false;

	spin_lock(&locks_lock);
	list_for_each_entry_safe(l, n, &i->flocks, link)
		if (l->owner == owner && (l->kind == KIND_POSIX) == posix) {
			lock_delete(l);
			any = true;
		}
	spin_unlock(&locks_lock);
	if (any)
		wake_up_all(&i->lease_wait);
}

void locks_remove_posix(struct file *f, void *owner)
{
	remove_owned(f->inode, owner, true);
}

void locks_remove_file(struct file *f)
{
	remove_owned(f->inode, f, false);
}

void locks_show(struct seq_buf *b)
{
	static const char *const kinds[] = { "FLOCK", "POSIX", "OFDLCK" };
	struct file_lock *l;
	int n = 0;

	spin_lock(&locks_lock);
	list_for_each_entry(l, &all_locks, all) {
		seq_printf(b, "%d: %-6s ADVISORY  %-5s %d %02x:%02x:%llu %lld ", ++n, kinds[l->kind], l->type == F_WRLCK ? "WRITE" : "READ",
			   l->kind == KIND_OFD ? -1 : l->pid, (u32)(l->inode->super->dev >> 20), l->inode->super->id,
			   (unsigned long long)l->inode->ino, (long long)l->start);
		if (l->end == S64_MAX)
			seq_puts(b, "EOF\n");
		else
			seq_printf(b, "%lld\n", (long long)l->end);
	}
	spin_unlock(&locks_lock);
}
