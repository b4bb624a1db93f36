/*
 * memfd_secret(2): memory only its owners can see.
 *
 * The pages of such a file are taken out of the direct map when they are first mapped, so that no kernel code that is led astray
 * reaches them; copies on behalf of a thread go through its own mapping and work, access from outside (pins, ptrace,
 * process_vm_readv) is refused by VM_SECRET. They are never written out, dumped or moved (migration leaves pages alone whose mapping has a free_page),
 * are locked, and count against RLIMIT_MEMLOCK. The size is set once. A page comes back into the direct map and is cleared when
 * the file's last user is gone.
 *
 * As in Linux 6.1 it is there only with secretmem.enable=1 on the command line: it splits the direct map's large pages.
 */
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <kernel/cmdline.h>
#include <lib/string.h>
#include <x86/cpu.h>
#include <x86/pgtable.h>

#define PG_SECRET PG_PRIVATE1 /* out of the direct map */

static DEFINE_MUTEX(direct_map_mutex); /* splitting large pages of it */

static int set_visible(struct page *p, bool on)
{
	int err;

	mutex_lock(&direct_map_mutex);
	err = direct_map_set_present((u64)page_address(p), on);
	mutex_unlock(&direct_map_mutex);
	return err;
}

static void secret_free_page(struct mapping *m, struct page *p)
{
	if (!page_flag(p, PG_SECRET))
		return;
	VERIFY(!set_visible(p, true)); /* it was split when it went */
	page_clear_flag(p, PG_SECRET);
	clear_page(page_address(p));
}

static const struct mapping_ops secret_mapping_ops = { .free_page = secret_free_page };

static int secret_fault(struct fault *f)
{
	int r = filemap_vma_ops.fault(f);

	if (r || page_test_and_set_flag(f->page, PG_SECRET))
		return r;
	if (!set_visible(f->page, false))
		return FR_OK;
	page_clear_flag(f->page, PG_SECRET);
	page_put(f->page);
	f->page = NULL;
	return FR_OOM;
}

static const struct vma_ops secret_vma_ops = { .fault = secret_fault };

static int secret_mmap(struct file *f, struct vma *v)
{
	struct mm *mm = v->mm;

	if (!(v->flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if (!(v->flags & VM_LOCKED)) {
		u64 n = (v->end - v->start) >> PAGE_SHIFT;

		if (!mm->may_lock_unlimited && mm->locked_vm + n > mm->rlimit_memlock >> PAGE_SHIFT)
			return -EAGAIN;
	}
	generic_file_mmap(f, v);
	v->ops = &secret_vma_ops;
	v->flags |= VM_LOCKED | VM_DONTDUMP | VM_SECRET;
	return 0;
}

static int secret_setattr(struct inode *i, struct iattr *a)
{
	return a->valid & ATTR_SIZE && i->size ? -EINVAL : generic_setattr(i, a);
}

static const struct inode_ops secret_iops = { .setattr = secret_setattr };
static const struct file_ops secret_fops = { .mmap = secret_mmap };

static bool enabled(void)
{
	char word[4];

	return cmdline_get("secretmem.enable", word, sizeof(word)) > 0 && (word[0] == '1' || word[0] == 'y' || word[0] == 'Y');
}

long sys_memfd_secret(u32 flags)
{
	struct inode *i;
	struct file *f;

	if (!enabled())
		return -ENOSYS;
	if (flags & ~(u32)O_CLOEXEC)
		return -EINVAL;
	i = tmpfs_inode(shm_mount->super, NULL, S_IFREG | 0600, 0);
	if (!i)
		return -ENOMEM;
	i->nlink = 0;
	i->ops = &secret_iops;
	i->fops = &secret_fops;
	i->mapping.ops = &secret_mapping_ops;
	i->mapping.flags = MAPPING_SHMEM;
	f = inode_file(shm_mount, i, "secretmem", 0, NULL, O_RDWR | O_LARGEFILE);
	if (IS_ERR(f))
		return PTR_ERR(f);
	return fd_open_file(f, flags & O_CLOEXEC);
}
