/*
 * System V shared memory (shmget(2), shmop(2), shmctl(2)): segments are memory files.
 *
 * Each attach opens a small file of its own over the segment, so that a read-only attach stays
 * read-only whatever mprotect asks for, and the mapping's open and close count the attaches: fork
 * and splits add, unmapping, exec and exit subtract. A segment marked for removal goes with the last.
 *
 * Locks: mm lock (close is called under it) -> table mutex, segment mutex (ipc.h).
 */
#include <fs/procfs.h>
#include <fs/fs.h>
#include <lib/err.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/hugetlb.h>
#include <mm/slab.h>
#include <proc/ipc.h>
#include <x86/uaccess.h>

#define SHM_RDONLY 010000
#define SHM_RND 020000
#define SHM_REMAP 040000
#define SHM_EXEC 0100000
#define SHM_HUGETLB 04000
#define SHM_NORESERVE 010000
#define SHM_HUGE_SHIFT 26
#define SHM_HUGE_MASK 63
#define SHM_DEST 01000u
#define SHM_LOCKED 02000u
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define SHM_STAT 13
#define SHM_INFO 14
#define SHM_STAT_ANY 15
#define SHM_SIZE_MAX (1ull << 46) /* what an address space could hold, whatever shmmax says */

struct shm_segment {
	struct ipc_object ipc;
	struct file *file; /* (I) the memory */
	u64 size; /* (I) as asked for */
	s64 nattch; /* (ipc.lock) */
	s64 atime, dtime, ctime;
	pid_t cpid, lpid;
};

#define PAGES(bytes) (ALIGN(bytes, PAGE_SIZE) >> PAGE_SHIFT)
static u64 shm_pages; /* (a) of all segments */

static void shm_free(struct ipc_object *o)
{
	struct shm_segment *s = container_of(o, struct shm_segment, ipc);

	__atomic_fetch_sub(&shm_pages, PAGES(s->size), __ATOMIC_RELAXED);
	file_put(s->file);
	kfree(s);
}
static struct ipc_table shms = IPC_TABLE_INIT(shms, shm_free);
LOCK_DECLARE(shms);

static s64 seconds(void)
{
	return ktime_real_ns() / NSEC_PER_SEC;
}

/* ---- segments ---- */

u64 hugetlb_shm_group;

struct segment_wanted {
	u64 size;
	int flags;
	s32 key;
	struct hstate *h; /* a pool's pages, for who may lock memory or is in hugetlb_shm_group */
};

static struct file *segment_file(struct segment_wanted *w)
{
	char name[16];

	snprintf(name, sizeof(name), "SYSV%08x", (u32)w->key); /* what /proc/PID/maps shows */
	if (!w->h)
		return shmem_named_file(name, ALIGN(w->size, PAGE_SIZE), w->flags & SHM_NORESERVE ? VM_NORESERVE : 0);
	if (!capable(CAP_IPC_LOCK) && !in_group((gid_t)hugetlb_shm_group))
		return ERR_PTR(-EPERM);
	return hugetlb_file_create(w->h, name, ALIGN(w->size, hstate_bytes(w->h)), !(w->flags & SHM_NORESERVE));
}

static struct ipc_object *make_segment(void *arg)
{
	struct segment_wanted *w = arg;
	u64 size = w->size;
	struct shm_segment *s;

	if (!size || size > ipc_limits.shmmax || size > S64_MAX)
		return ERR_PTR(-EINVAL);
	if (size > SHM_SIZE_MAX)
		return ERR_PTR(-ENOMEM);
	if ((u64)shms.used >= ipc_limits.shmmni || shm_pages + PAGES(size) > ipc_limits.shmall)
		return ERR_PTR(-ENOSPC);
	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return ERR_PTR(-ENOMEM);
	s->file = segment_file(w);
	if (IS_ERR(s->file)) {
		int err = PTR_ERR(s->file);
		kfree(s);
		return ERR_PTR(err);
	}
	s->size = size;
	__atomic_fetch_add(&shm_pages, PAGES(size), __ATOMIC_RELAXED);
	s->ctime = seconds();
	s->cpid = current->tgid;
	return &s->ipc;
}

static int check_size(struct ipc_object *o, void *arg)
{
	return ((struct segment_wanted *)arg)->size > container_of(o, struct shm_segment, ipc)->size ? -EINVAL : 0;
}

long sys_shmget(s32 key, u64 size, int flags)
{
	struct segment_wanted w = { .size = size, .flags = flags, .key = key };

	if (flags & SHM_HUGETLB) {
		w.h = hstate_of_log(flags >> SHM_HUGE_SHIFT & SHM_HUGE_MASK);
		if (!w.h)
			return -EINVAL;
	}
	return ipc_get(&shms, key, flags, make_segment, &w, check_size);
}

/* ---- attaches ---- */

static struct shm_segment *segment_of(const struct vma *v)
{
	return v->file->private;
}

static void attach_counted(struct shm_segment *s)
{
	mutex_lock(&s->ipc.lock);
	s->nattch++;
	s->atime = seconds();
	s->lpid = current->tgid;
	mutex_unlock(&s->ipc.lock);
}

static void shm_vma_open(struct vma *v)
{
	attach_counted(segment_of(v));
}

static void shm_vma_close(struct vma *v)
{
	struct shm_segment *s = segment_of(v);

	__atomic_fetch_add(&s->ipc.refs, 1, __ATOMIC_RELAXED);
	mutex_lock(&s->ipc.lock);
	s->dtime = seconds();
	s->lpid = current->tgid;
	if (--s->nattch == 0 && (s->ipc.mode & SHM_DEST) && !s->ipc.gone)
		ipc_remove(&shms, &s->ipc);
	ipc_unlock(&shms, &s->ipc);
}

static int shm_vma_fault(struct fault *f)
{
	return filemap_vma_ops.fault(f); /* the memory file's pages are v->mapping's */
}

static int shm_may_split(struct vma *v, u64 addr)
{
	return v->flags & VM_HUGETLB ? hugetlb_may_split(v, addr) : 0;
}

static const struct vma_ops shm_vma_ops = { .may_split = shm_may_split, .open = shm_vma_open, .close = shm_vma_close, .fault = shm_vma_fault, .map_cached = true };

static int shm_file_mmap(struct file *f, struct vma *v)
{
	struct shm_segment *s = f->private;
	int err = s->file->ops->mmap(s->file, v);

	if (err)
		return err;
	v->ops = &shm_vma_ops;
	attach_counted(s);
	return 0;
}

static void shm_file_release(struct inode *i, struct file *f)
{
	struct shm_segment *s = f->private;

	ipc_put(&shms, &s->ipc);
}

static unsigned shm_huge_shift(struct file *f)
{
	return vma_file_huge_shift(((struct shm_segment *)f->private)->file);
}

static struct mapping *shm_mapping(struct file *f)
{
	return vma_file_mapping(((struct shm_segment *)f->private)->file);
}

static const struct file_ops shm_file_ops = { .huge_shift = shm_huge_shift, .mapping = shm_mapping, .mmap = shm_file_mmap, .release = shm_file_release };

/* A file over the segment; takes over the caller's reference of it, also on failure. */
static struct file *attach_file(struct shm_segment *s, bool readonly)
{
	struct file *f = file_clone(s->file, &shm_file_ops, readonly ? O_RDONLY : O_RDWR);

	if (IS_ERR(f)) {
		ipc_put(&shms, &s->ipc);
		return f;
	}
	WRITE_ONCE(f->inode->ino, (u64)s->ipc.id); /* the same each time: /proc/PID/maps tells the segment by it */
	f->private = s;
	return f;
}

/* The address space an attach takes: whole pages, of the segment's size. */
static u64 attached_size(const struct shm_segment *s)
{
	unsigned shift = vma_file_huge_shift(s->file);

	return ALIGN(s->size, 1ull << (shift ? shift : PAGE_SHIFT));
}

static s64 map_segment(struct file *f, u64 size, u64 addr, int flags)
{
	u64 prot = PROT_READ, mflags = MAP_SHARED;

	if (!(flags & SHM_RDONLY))
		prot |= PROT_WRITE;
	if (flags & SHM_EXEC)
		prot |= PROT_EXEC;
	if (addr)
		mflags |= flags & SHM_REMAP ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	s64 r = do_mmap(current->thread.mm, f, addr, size, prot, mflags, 0);
	return r == -EEXIST ? -EINVAL : r;
}

long sys_shmat(s32 id, u64 addr, int flags)
{
	if (addr & ~PAGE_MASK) {
		if (!(flags & SHM_RND))
			return -EINVAL;
		addr &= PAGE_MASK;
		if (!addr && (flags & SHM_REMAP))
			return -EINVAL;
	} else if (!addr && (flags & SHM_REMAP)) {
		return -EINVAL;
	}
	u32 mask = 4 | (flags & SHM_RDONLY ? 0 : 2) | (flags & SHM_EXEC ? 1 : 0);
	struct ipc_object *o = ipc_lock_id(&shms, id, mask);
	if (IS_ERR(o))
		return PTR_ERR(o);
	struct shm_segment *s = container_of(o, struct shm_segment, ipc);
	u64 size = attached_size(s);
	mutex_unlock(&o->lock); /* the reference goes to the file */
	if (!(flags & SHM_REMAP) && addr + size < addr) {
		ipc_put(&shms, o);
		return -EINVAL;
	}
	struct file *f = attach_file(s, flags & SHM_RDONLY);
	if (IS_ERR(f))
		return PTR_ERR(f);
	s64 r = map_segment(f, size, addr, flags);
	file_put(f);
	return r;
}

/* ---- shmdt: what is left of one attach, which may have been cut, and mapped over in part ---- */

struct detach {
	struct munmap_pick pick;
	u64 addr;
	struct file *file; /* the attach's own; NULL until its first mapping is found */
};

static bool detach_wants(struct munmap_pick *p, struct vma *v)
{
	struct detach *d = container_of(p, struct detach, pick);

	if (v->ops != &shm_vma_ops || v->start - (v->pgoff << PAGE_SHIFT) != d->addr)
		return false;
	if (!d->file) {
		d->file = v->file;
		p->end = d->addr + attached_size(segment_of(v));
	}
	return v->file == d->file;
}

long sys_shmdt(u64 addr)
{
	struct detach d = { .pick = { .wanted = detach_wants, .end = TASK_SIZE_MAX }, .addr = addr };

	return addr & ~PAGE_MASK ? -EINVAL : do_munmap_picked(current->thread.mm, addr, &d.pick);
}

/* ---- shmctl ---- */

struct shmid_user {
	struct ipc_perm_user perm;
	u64 segsz;
	s64 atime, dtime, ctime;
	s32 cpid, lpid;
	u64 nattch, unused[2];
};
_Static_assert(sizeof(struct shmid_user) == 112, "ABI");
struct shm_limits { u64 max, min, mni, seg, all, unused[4]; };
struct shm_info_user { s32 used_ids, pad; u64 tot, rss, swp, swap_attempts, swap_successes; };

static long shm_info(int cmd, void __user *u)
{
	struct shm_limits l = { ipc_limits.shmmax, 1, ipc_limits.shmmni, ipc_limits.shmmni, ipc_limits.shmall, { 0 } };
	struct shm_info_user i = { 0 };

	mutex_lock(&shms.lock);
	s32 high = shms.highest;
	i.used_ids = shms.used;
	for (s32 k = 0; k < shms.nslots; k++) {
		if (!shms.slot[k])
			continue;
		struct shm_segment *s = container_of(shms.slot[k], struct shm_segment, ipc);
		i.tot += ALIGN(s->size, PAGE_SIZE) >> PAGE_SHIFT;
		i.rss += s->file->inode->mapping.nrpages;
	}
	mutex_unlock(&shms.lock);
	if (cmd == IPC_INFO)
		return copy_to_user(u, &l, sizeof(l)) ? -EFAULT : high;
	return copy_to_user(u, &i, sizeof(i)) ? -EFAULT : high;
}

static long shm_stat(s32 id, int cmd, struct shmid_user __user *u)
{
	struct shmid_user d = { 0 };
	s32 real = 0;
	struct ipc_object *o = cmd == IPC_STAT ? ipc_lock_id(&shms, id, 4) :
					       ipc_lock_slot(&shms, id, cmd == SHM_STAT ? 4 : 0, &real);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct shm_segment *s = container_of(o, struct shm_segment, ipc);
	ipc_perm_to_user(o, &d.perm);
	d.segsz = s->size;
	d.atime = s->atime;
	d.dtime = s->dtime;
	d.ctime = s->ctime;
	d.cpid = s->cpid;
	d.lpid = s->lpid;
	d.nattch = s->nattch;
	ipc_unlock(&shms, o);
	return copy_to_user(u, &d, sizeof(d)) ? -EFAULT : real;
}

/* Removal waits for the last detach; till then the segment has no key and says so in its mode. */
static void remove_segment(struct shm_segment *s)
{
	s->ipc.mode |= SHM_DEST;
	s->ipc.key = IPC_PRIVATE;
	if (!s->nattch)
		ipc_remove(&shms, &s->ipc);
}

/* A segment counts alone against the limit: what one user locks in several is not added up. */
static int may_lock(const struct shm_segment *s)
{
	u64 limit = current->thread.mm->rlimit_memlock;

	if (capable(CAP_IPC_LOCK))
		return 0;
	return !limit ? -EPERM : PAGES(s->size) > limit >> PAGE_SHIFT ? -ENOMEM : 0;
}

static long shm_change(s32 id, int cmd, const struct shmid_user *u)
{
	struct ipc_object *o = ipc_lock_id(&shms, id, 0);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct shm_segment *s = container_of(o, struct shm_segment, ipc);
	int err = (cmd == SHM_LOCK || cmd == SHM_UNLOCK) && capable(CAP_IPC_LOCK) ? 0 : ipc_may_change(o);
	if (!err && cmd == SHM_LOCK)
		err = may_lock(s);
	if (!err) {
		switch (cmd) {
		case IPC_SET:
			err = ipc_set_perm(o, &u->perm);
			if (!err)
				s->ctime = seconds();
			break;
		case IPC_RMID:
			remove_segment(s);
			break;
		case SHM_LOCK: /* memory files are never swapped out */
			o->mode |= SHM_LOCKED;
			break;
		case SHM_UNLOCK:
			o->mode &= ~SHM_LOCKED;
			break;
		}
	}
	ipc_unlock(&shms, o);
	return err;
}

long sys_shmctl(s32 id, int cmd, void __user *arg)
{
	struct shmid_user u;

	if (id < 0 || cmd < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
	case SHM_INFO:
		return shm_info(cmd, arg);
	case IPC_STAT:
	case SHM_STAT:
	case SHM_STAT_ANY:
		return shm_stat(id, cmd, arg);
	case IPC_SET:
		if (copy_from_user(&u, arg, sizeof(u)))
			return -EFAULT;
		return shm_change(id, cmd, &u);
	case IPC_RMID:
	case SHM_LOCK:
	case SHM_UNLOCK:
		return shm_change(id, cmd, NULL);
	}
	return -EINVAL;
}

/* ---- /proc ---- */

static void show_one(struct seq_buf *s, struct ipc_object *o)
{
	struct shm_segment *q = container_of(o, struct shm_segment, ipc);

	seq_printf(s, "%10d %10d  %4o %21llu %5d %5d  %5lld %5u %5u %5u %5u %10lld %10lld %10lld %21llu %21u\n", o->key, o->id,
		   o->mode & 03777, (unsigned long long)q->size, q->cpid, q->lpid, (long long)q->nattch, o->uid, o->gid, o->cuid, o->cgid,
		   (long long)q->atime, (long long)q->dtime, (long long)q->ctime,
		   (unsigned long long)q->file->inode->mapping.nrpages << PAGE_SHIFT, 0);
}

static void show_all(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_puts(s, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n");
	ipc_show(&shms, s, show_one);
}

void ipc_shm_proc_init(void)
{
	static const struct proc_file files[] = {
		{ .path = "sysvipc/shm", .mode = 0444, .show = show_all },
		{ .path = "sys/kernel/shm_next_id", .mode = 0644, .show = ipc_next_id_show, .write = ipc_next_id_write, .arg = &shms },
	};

	proc_add_table(files, ARRAY_SIZE(files));
}
