/*
 * Inodes: one object per file, with its page cache inside.
 *
 * refs counts names and open files. The last inode_put lets the file system forget the file (evict_inode), drops the
 * pages, and frees the memory after a grace period: a path walk under RCU looks at mode, owner and ops without a reference.
 * Objects rest in the slab constructed: locks free, lists empty, mapping empty; inode_new sets the rest.
 *
 * i->rwsem protects what a directory contains and what chmod, chown, truncate and write change. Times, size and mode are
 * also read without it; each is one aligned word or tolerates a mixture (struct timespec64 may be torn between
 * second and nanosecond for one reader, as everywhere).
 */
#include <fs/inotify.h>
#include <fs/internal.h>
#include <fs/pipe.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>

static struct kmem_cache *inode_cache;

const struct inode_ops empty_inode_ops;
static const struct file_ops empty_file_ops;

static void inode_ctor(void *p)
{
	struct inode *i = p;

	memset(i, 0, sizeof(*i));
	spin_lock_init(&i->lock);
	init_rwsem(&i->rwsem);
	mapping_init(&i->mapping, NULL, i, 0);
	INIT_LIST_HEAD(&i->flocks);
	INIT_LIST_HEAD(&i->sb_link);
	init_wait_queue(&i->lease_wait);
}

void inode_cache_init(void)
{
	inode_cache = kmem_cache_create("inode", sizeof(struct inode), 64, SLAB_PANIC | SLAB_HWCACHE_ALIGN | SLAB_RECLAIM, inode_ctor);
}

struct timespec64 current_time(void)
{
	u64 ns = ktime_real_ns();

	return (struct timespec64){ (s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC) };
}

static void inode_set_special(struct inode *i, u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:
		i->fops = &pipe_fops;
		break;
	case S_IFCHR:
		i->fops = &chrdev_fops;
		break;
	case S_IFBLK:
		i->fops = &blkdev_fops;
		break;
	case S_IFSOCK:
		i->fops = &nosock_fops;
		break;
	default:
		i->fops = &empty_file_ops;
	}
}

#define INO_BATCH 1024

/*
 * The root of a file system, made before all others, is number 1. The others come from numbers this CPU has taken a batch of,
 * common to all file systems, so that making files on several CPUs writes no line they share but once a batch.
 */
static u64 next_ino(struct super *s)
{
	static u64 batches;
	static DEFINE_PER_CPU(u64, ino);
	u64 n;

	if (unlikely(!READ_ONCE(s->root)) && !__atomic_exchange_n(&s->root_numbered, true, __ATOMIC_RELAXED))
		return 1;
	preempt_disable();
	n = this_cpu_read(ino);
	if (unlikely(!(n % INO_BATCH)))
		n = __atomic_add_fetch(&batches, 1, __ATOMIC_RELAXED) * INO_BATCH;
	this_cpu_write(ino, n + 1);
	preempt_enable();
	return n;
}

struct inode *inode_new(struct super *s, u32 mode)
{
	struct inode *i = kmem_cache_alloc(inode_cache, GFP_KERNEL);
	const struct cred *c = current_cred();

	if (!i)
		return NULL;
	i->mode = mode;
	i->uid = c->fsuid;
	i->gid = c->fsgid;
	i->flags = 0;
	i->ops = &empty_inode_ops;
	inode_set_special(i, mode);
	i->super = s;
	i->link = NULL;
	i->nlink = 1;
	i->refs = 1;
	i->ino = next_ino(s);
	i->rdev = 0;
	i->size = 0;
	i->mapping.size = 0;
	i->mapping.ops = NULL;
	i->mapping.flags = 0;
	i->mapping.writable = 0;
	i->blocks = 0;
	i->atime = i->mtime = i->ctime = i->btime = current_time();
	i->writers = 0;
	i->private = NULL;
	i->xattrs = NULL;
	i->pipe = NULL;
	i->seals = 0;
	i->generation = 0;
	i->watches = NULL;
	i->leases = NULL;
	return i;
}

void inode_init_owner(struct inode *i, struct inode *dir)
{
	if (!(dir->mode & S_ISGID))
		return;
	i->gid = dir->gid;
	if (S_ISDIR(i->mode))
		i->mode |= S_ISGID;
	else if ((i->mode & (S_ISGID | 0010)) == (S_ISGID | 0010) && !in_group(dir->gid) && !capable(CAP_FSETID))
		i->mode &= ~S_ISGID;
}


void inode_get(struct inode *i)
{
	ASSERT3S(i->refs, >, 0);
	__atomic_fetch_add(&i->refs, 1, __ATOMIC_RELAXED);
}

static void inode_free_rcu(struct rcu_head *h)
{
	struct inode *i = container_of(h, struct inode, rcu);

	kfree(i->link);
	kmem_cache_free(inode_cache, i);
}

static noinline void inode_evict(struct inode *i)
{
	const struct super_ops *ops = i->super->ops;

	if (unlikely(i->watches))
		fsnotify_inode_gone(i);
	if (ops->evict_inode)
		ops->evict_inode(i);
	if (mapping_holds(&i->mapping)) {
		mapping_destroy(&i->mapping);
		mapping_init(&i->mapping, NULL, i, 0);
	}
	if (unlikely(i->xattrs))
		simple_xattrs_free(i);
	if (ops->free_inode)
		ops->free_inode(i);
	ASSERT(list_empty(&i->flocks));
	call_rcu(&i->rcu, inode_free_rcu);
}

void inode_put(struct inode *i)
{
	ASSERT3S(i->refs, >, 0);
	if (__atomic_sub_fetch(&i->refs, 1, __ATOMIC_ACQ_REL) == 0)
		inode_evict(i);
}

/* ---- times ---- */

/* relatime: the access time moves when it is not after the last change, or a day old (mount(8)). */
static bool atime_needed(const struct inode *i, u32 mnt_flags, struct timespec64 *now)
{
	if (i->flags & I_NOATIME || mnt_flags & (MS_NOATIME | MS_RDONLY) || (mnt_flags & MS_NODIRATIME && S_ISDIR(i->mode)))
		return false;
	if (mnt_flags & MS_STRICTATIME) {
		*now = current_time();
		return true;
	}
	const struct timespec64 *a = &i->atime, *m = &i->mtime, *c = &i->ctime;
	bool old = a->sec < m->sec || a->sec < c->sec || (a->sec == m->sec && a->nsec <= m->nsec) ||
		   (a->sec == c->sec && a->nsec <= c->nsec);
	*now = current_time();
	return old || now->sec - a->sec >= 24 * 3600;
}

void touch_atime(const struct path *p)
{
	struct inode *i = p->dentry->inode;
	struct timespec64 now;

	if (atime_needed(i, READ_ONCE(p->mnt->flags) | READ_ONCE(p->mnt->super->flags), &now))
		i->atime = now;
}

void file_modified(struct file *f)
{
	struct inode *i = f->inode;
	u32 mode = i->mode;

	i->mtime = i->ctime = current_time();
	if (unlikely(mode & (S_ISUID | S_ISGID)) && S_ISREG(mode) && !capable(CAP_FSETID)) {
		mode &= ~S_ISUID;
		if (mode & 0010)
			mode &= ~S_ISGID;
		i->mode = mode;
	}
}

/* ---- writers against running programs (ETXTBSY) ---- */

static int count_unless(s32 *v, bool negative, int delta)
{
	s32 n = READ_ONCE(*v);

	do {
		if (negative ? n < 0 : n > 0)
			return -ETXTBSY;
	} while (!try_cmpxchg(v, &n, n + delta));
	return 0;
}

int inode_get_write(struct inode *i)
{
	return count_unless(&i->writers, true, 1);
}

void inode_put_write(struct inode *i)
{
	__atomic_fetch_sub(&i->writers, 1, __ATOMIC_RELEASE);
}

int inode_deny_write(struct inode *i)
{
	return count_unless(&i->writers, false, -1);
}
