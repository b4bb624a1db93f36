/*
 * The doors through which exec and the memory manager reach files (proc/task.h, mm/mm.h).
 *
 * A program that runs cannot be written (ETXTBSY): exec_open denies writers, and the open file keeps them denied until
 * file_allow_write or its last reference, which mappings and mm->exe_file hold.
 */
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <lib/string.h>

/* ---- exec ---- */

static int exec_checks(struct file *f)
{
	struct inode *i = f->inode;

	if (!S_ISREG(i->mode) || f->path.mnt->flags & MS_NOEXEC)
		return -EACCES;
	int err = inode_permission(i, MAY_EXEC);

	return err ? err : inode_deny_write(i);
}

struct file *exec_open(int dirfd, const char *path, int flags)
{
	u32 lookup = (flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0);
	struct path p;

	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return ERR_PTR(-EINVAL);
	int err = path_lookup(dirfd, path, lookup, &p);
	if (err)
		return ERR_PTR(err);
	struct file *f = S_ISLNK(p.dentry->inode->mode) ? ERR_PTR(-ELOOP) :
			 S_ISREG(p.dentry->inode->mode) ? path_open(&p, O_RDONLY) : ERR_PTR(-EACCES);

	path_put(&p);
	if (IS_ERR(f))
		return f;
	err = exec_checks(f);
	if (err) {
		file_put(f);
		return ERR_PTR(err);
	}
	f->fmode |= FMODE_DENYWRITE | FMODE_EXEC;
	return f;
}

s64 exec_read(struct file *f, void *buf, u64 n, u64 off)
{
	loff_t pos = off;

	return kernel_read(f, buf, n, &pos);
}

void exec_attr(struct file *f, struct exec_attr *a)
{
	struct inode *i = f->inode;

	a->uid = i->uid;
	a->gid = i->gid;
	a->mode = i->mode;
	a->nosuid = f->path.mnt->flags & MS_NOSUID;
	a->size = i->size;
}

int file_allow_write(struct file *f)
{
	if (f->fmode & FMODE_DENYWRITE) {
		f->fmode &= ~FMODE_DENYWRITE;
		__atomic_fetch_add(&f->inode->writers, 1, __ATOMIC_RELEASE);
	}
	return 0;
}

/* ---- mmap ---- */

struct file *vma_file_get(struct file *f)
{
	return file_get(f);
}

void vma_file_put(struct file *f)
{
	file_put(f);
}

void vma_file_modified(struct file *f)
{
	f->inode->mtime = f->inode->ctime = current_time();
}

int vma_file_mmap(struct file *f, struct vma *v)
{
	return f->ops->mmap(f, v);
}

/* Seals of memfds against shared mappings (fcntl(2), F_ADD_SEALS): one that cannot be made writable later is allowed. */
static int seal_checks(struct file *f, u64 prot, u64 *may)
{
	u32 seals = f->inode->seals;

	if (!(f->fmode & FMODE_WRITE))
		return 0;
	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
		if (prot & PROT_WRITE)
			return -EPERM;
		*may &= ~VM_MAYWRITE;
	}
	return 0;
}

int vma_file_check(struct file *f, u64 prot, u64 flags, u64 *may)
{
	u32 mode = f->fmode;
	bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;

	*may = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
	if (shared) {
		if (prot & PROT_WRITE && !(mode & FMODE_WRITE))
			return -EACCES;
		if (f->inode->flags & I_APPEND && mode & FMODE_WRITE)
			return -EACCES;
		if (!(mode & FMODE_WRITE))
			*may &= ~VM_MAYWRITE;
	}
	if (!(mode & FMODE_READ))
		return -EACCES;
	if (f->path.mnt->flags & MS_NOEXEC || f->inode->super->noexec) {
		if (prot & PROT_EXEC)
			return -EPERM;
		*may &= ~VM_MAYEXEC;
	}
	if (!f->ops->mmap)
		return -ENODEV;
	return shared && f->inode->seals ? seal_checks(f, prot, may) : 0;
}

u64 vma_file_size_max(struct file *f)
{
	u32 type = f->inode->mode & S_IFMT;

	return type == S_IFREG || type == S_IFBLK || type == S_IFSOCK ? S64_MAX : U64_MAX;
}

unsigned vma_file_huge_shift(struct file *f)
{
	return unlikely(f->ops->huge_shift) ? f->ops->huge_shift(f) : 0;
}

int vma_file_may_punch(struct file *f)
{
	return READ_ONCE(f->inode->seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) ? -EPERM : 0;
}

struct mapping *vma_file_mapping(struct file *f)
{
	return unlikely(f->ops->mapping) ? f->ops->mapping(f) : &f->inode->mapping;
}

int vma_file_path(struct file *f, char *buf, u64 n)
{
	char *s = path_name(&f->path, buf, n);

	if (IS_ERR(s))
		return PTR_ERR(s);
	memmove(buf, s, strlen(s) + 1);
	return 0;
}

void vma_file_ids(struct file *f, u64 *dev, u64 *ino)
{
	*dev = f->inode->super->dev;
	*ino = f->inode->ino;
}

/* ---- memory with a file's face ---- */

struct file *shmem_file_create(struct mount *m, const char *name, u64 size, u32 flags)
{
	struct inode *i = tmpfs_inode(m->super, NULL, S_IFREG | 0777, 0);

	if (!i)
		return ERR_PTR(-ENOMEM);
	i->nlink = 0;
	if (flags & I_ACCOUNTED && vm_charge(current->thread.mm, size >> PAGE_SHIFT)) {
		inode_put(i);
		return ERR_PTR(-ENOMEM);
	}
	i->flags |= flags;
	inode_set_size(i, size);
	return inode_file(m, i, name, 0, NULL, O_RDWR | O_LARGEFILE);
}

struct file *shmem_named_file(const char *name, u64 size, u64 vmflags)
{
	/* promised like private memory, but once for all who map it */
	return shmem_file_create(shm_mount, name, size, vmflags & VM_NORESERVE ? 0 : I_ACCOUNTED);
}

struct file *shmem_zero_file(u64 size, u64 vmflags)
{
	return shmem_named_file("dev/zero", size, vmflags);
}
