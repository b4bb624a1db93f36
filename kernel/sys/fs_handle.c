/*
 * name_to_handle_at(2), open_by_handle_at(2). A handle is three words, as Linux's for tmpfs: which instance it is of, and the inode's
 * number, which an instance never gives again.
 */
#include <fs/fdtable.h>
#include <fs/handle.h>
#include <fs/internal.h>
#include <lib/string.h>
#include <x86/uaccess.h>

#define HANDLE_MAX 128

struct handle_head { u32 bytes; s32 type; };

static long put_handle(const struct path *p, struct handle_head __user *uh, s32 __user *umnt)
{
	struct inode *i = p->dentry->inode;
	struct handle_body b = handle_of(i);
	struct handle_head h;

	if (!i->super->ops->by_number)
		return -EOPNOTSUPP;
	if (copy_from_user(&h, uh, sizeof(h)))
		return -EFAULT;
	if (h.bytes > HANDLE_MAX)
		return -EINVAL;
	bool fits = h.bytes >= sizeof(b);
	h = (struct handle_head){ sizeof(b), fits ? HANDLE_TYPE : 255 };
	if (put_user((s32)p->mnt->id, umnt) || copy_to_user(uh, &h, sizeof(h)) || (fits && copy_to_user(uh + 1, &b, sizeof(b))))
		return -EFAULT;
	return fits ? 0 : -EOVERFLOW;
}

long sys_name_to_handle_at(int dirfd, const char __user *name, struct handle_head __user *uh, s32 __user *umnt, int flags)
{
	struct path p;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	int err = user_path(dirfd, name, (flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0), &p);
	if (err)
		return err;
	long r = put_handle(&p, uh, umnt);
	path_put(&p);
	return r;
}

/* The mount a descriptor lies in, referenced. ERR_PTR(-EBADF) */
static struct mount *mount_of(int fd)
{
	struct path p;
	struct mount *m;

	if (fd == AT_FDCWD) {
		fs_get_cwd(current->fs, &p);
		m = p.mnt;
		mnt_get(m);
		path_put(&p);
		return m;
	}
	struct fd f = fdget(fd);
	if (!fd_file(f))
		return ERR_PTR(-EBADF);
	m = fd_file(f)->path.mnt;
	mnt_get(m);
	fdput(f);
	return m;
}

/* What open(2) does with a path: through a descriptor for the place, which then becomes the one for the file. */
static long open_place(const struct path *p, int flags)
{
	struct file *f = path_open(p, O_PATH);
	long fd = IS_ERR(f) ? PTR_ERR(f) : fd_open_file(f, flags & O_CLOEXEC);

	if (fd < 0)
		return fd;
	f = do_filp_open((int)fd, "", (flags & ~(O_CREAT | O_EXCL | __O_TMPFILE)) | O_LARGEFILE, 0, LOOKUP_EMPTY);
	if (IS_ERR(f)) {
		close_fd((unsigned)fd);
		return PTR_ERR(f);
	}
	return fd_replace_file(f, (unsigned)fd, flags & O_CLOEXEC);
}

static long open_handle(struct mount *m, const struct handle_head *h, const struct handle_body *b, int flags)
{
	struct path p;

	if (h->type != HANDLE_TYPE || h->bytes < sizeof(*b) || b->instance != handle_instance(m->super))
		return -ESTALE;
	int err = path_by_number(m, (u64)b->ino_high << 32 | b->ino, &p);
	if (err)
		return err;
	long fd = open_place(&p, flags);
	path_put(&p);
	return fd;
}

long sys_open_by_handle_at(int fd, const struct handle_head __user *uh, int flags)
{
	struct handle_head h;
	struct handle_body b = { 0 };

	if (!capable(CAP_DAC_READ_SEARCH))
		return -EPERM;
	if (copy_from_user(&h, uh, sizeof(h)))
		return -EFAULT;
	if (!h.bytes || h.bytes > HANDLE_MAX)
		return -EINVAL;
	if (copy_from_user(&b, uh + 1, min_t(u64, h.bytes, sizeof(b))))
		return -EFAULT;
	struct mount *m = mount_of(fd);
	if (IS_ERR(m))
		return PTR_ERR(m);
	long r = open_handle(m, &h, &b, flags);
	mnt_put(m);
	return r;
}
