/* memfd_create(2) and file seals (fcntl(2), F_ADD_SEALS). */
#include <fs/internal.h>
#include <fs/memfd.h>
#include <lib/string.h>
#include <mm/hugetlb.h>

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)

int do_memfd_create(const char *name, u32 flags)
{
	char full[NAME_MAX + 1] = "memfd:";

	if (strlen(name) > NAME_MAX - 6)
		return -EINVAL;
	strlcat(full, name, sizeof(full));
	struct hstate *h = NULL;
	struct file *f;

	if (flags & MFD_HUGETLB && !(h = hstate_of_log(flags >> MFD_HUGE_SHIFT & MFD_HUGE_MASK)))
		return -ENODEV;
	f = h ? hugetlb_file_create(h, full, 0, false) : shmem_file_create(shm_mount, full, 0, 0);

	if (IS_ERR(f))
		return PTR_ERR(f);
	f->inode->seals = F_SEAL_SEAL;
	f->inode->flags &= ~I_NOSEALS;
	f->inode->mode = S_IFREG | 0777;
	if (flags & MFD_ALLOW_SEALING)
		f->inode->seals = 0;
	return fd_open_file(f, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
}

int file_add_seals(struct file *f, u32 seals)
{
	struct inode *i = f->inode;
	int err = 0;

	if (!(f->fmode & FMODE_WRITE))
		return -EPERM;
	if (seals & ~(u32)ALL_SEALS)
		return -EINVAL;
	if (!S_ISREG(i->mode) || !(i->mapping.flags & (MAPPING_SHMEM | MAPPING_HUGE)))
		return -EINVAL;
	if (i->flags & I_NOSEALS)
		return -EPERM;
	down_write(&i->rwsem);
	if (i->seals & F_SEAL_SEAL) {
		err = -EPERM;
	} else if (seals & F_SEAL_WRITE && !(i->seals & F_SEAL_WRITE)) {
		/* From now on no writable shared mapping can be made; one that exists forbids the seal. */
		s32 none = 0;
		if (!try_cmpxchg(&i->mapping.writable, &none, -1))
			err = -EBUSY;
	}
	if (!err)
		i->seals |= seals;
	up_write(&i->rwsem);
	return err;
}

int file_get_seals(struct file *f)
{
	struct inode *i = f->inode;

	if (!S_ISREG(i->mode) || !(i->mapping.flags & (MAPPING_SHMEM | MAPPING_HUGE)))
		return -EINVAL;
	return i->flags & I_NOSEALS ? F_SEAL_SEAL : i->seals;
}
