/*
 * Protection keys: 16 numbers an address space gives out, written into the entries of the mappings they are set on. What a thread may do
 * with the pages of a key is in its own PKRU register and changes without a system call (SDM vol. 3A 4.6.2).
 *
 * Key 0 is what every mapping has by default, and is given out from the start. One key, taken at the first
 * mprotect or mmap with PROT_EXEC alone, makes such mappings execute-only: no thread that keeps the default PKRU may read
 * with it, and fetching instructions is not subject to keys. It cannot be freed.
 *
 * The entries carry the key like any other right: vm_prot() has it from VMA's flags, mprotect changes it with a flush.
 */
#include <x86/fpu.h>
#include "vm.h"

#define NR_PKEYS 16

void pkeys_init(struct mm *mm)
{
	mm->pkey_map = cpu_has(pku) ? 1 : 0;
	mm->pkey_exec_only = cpu_has(pku) ? -1 : 0;
}

bool pkey_allocated(const struct mm *mm, int pkey)
{
	return (u32)pkey < NR_PKEYS && pkey != mm->pkey_exec_only && mm->pkey_map >> pkey & 1;
}

/* A free key, or -1. */
static int take_key(struct mm *mm)
{
	if (!cpu_has(pku) || mm->pkey_map == 0xffff)
		return -1;
	int key = __builtin_ctz(~(u32)mm->pkey_map);

	mm->pkey_map |= 1u << key;
	return key;
}

static void set_rights(int key, u32 rights)
{
	pkru_write((pkru_read() & ~(3u << 2 * key)) | rights << 2 * key);
}

int do_pkey_alloc(struct mm *mm, u32 rights)
{
	int key;

	down_write(&mm->lock);
	key = take_key(mm);
	if (key >= 0)
		set_rights(key, rights);
	mm_up_write(mm);
	return key < 0 ? -ENOSPC : key;
}

int do_pkey_free(struct mm *mm, int pkey)
{
	int err = -EINVAL;

	down_write(&mm->lock);
	if (pkey_allocated(mm, pkey)) {
		mm->pkey_map &= ~(1u << pkey);
		err = 0;
	}
	mm_up_write(mm);
	return err;
}

int pkey_exec_only(struct mm *mm)
{
	int key = mm->pkey_exec_only;

	if (!cpu_has(pku))
		return 0;
	if (key < 0) {
		key = take_key(mm);
		if (key < 0)
			return 0;
		mm->pkey_exec_only = key;
	} else if (pkru_read() >> 2 * key & PKEY_DISABLE_ACCESS) {
		return key;
	}
	set_rights(key, PKEY_DISABLE_ACCESS);
	return key;
}

bool pkey_permits(const struct vma *v, bool write)
{
	if (!cpu_has(pku))
		return true;
	return !(pkru_read() >> 2 * vma_pkey(v) & (PKEY_DISABLE_ACCESS | (write ? PKEY_DISABLE_WRITE : 0)));
}

u32 mm_pkey_at(struct mm *mm, u64 addr)
{
	struct vma *v;
	u32 key = 0;

	down_read(&mm->lock);
	v = vma_at(mm, addr);
	if (v)
		key = vma_pkey(v);
	up_read(&mm->lock);
	return key;
}
