/*
 * The decode half of the memory system calls: types, descriptors, user buffers and the checks Linux makes before it looks at the
 * address space. The rest is do_* in mm/.
 */
#include <fs/fdtable.h>
#include <kernel/rcu.h>
#include <mm/hugetlb.h>
#include <mm/slab.h>
#include <proc/ptrace.h>
#include <proc/task.h>
#include <x86/cpu.h>
#include <x86/uaccess.h>

#define IOV_MAX 1024

static inline struct mm *cur_mm(void)
{
	return current->thread.mm;
}

/* Anonymous memory from a pool: a file of it that nobody else can open. */
static long mmap_pool(u64 addr, u64 len, u64 prot, u64 flags)
{
	struct hstate *h = hstate_of_log(flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK);
	struct file *f;
	s64 ret;

	if (!h)
		return -EINVAL;
	len = ALIGN(len, hstate_bytes(h));
	if (!len)
		return -EINVAL;
	f = hugetlb_file_create(h, "anon_hugepage", len, false);
	if (IS_ERR(f))
		return PTR_ERR(f);
	ret = do_mmap(cur_mm(), f, addr, len, prot, flags, 0);
	file_put(f);
	return ret;
}

long sys_mmap(u64 addr, u64 len, u64 prot, u64 flags, u32 fd, u64 off)
{
	unsigned shift;
	struct fd f;
	s64 ret = 0;

	if (unlikely(off & ~PAGE_MASK))
		return -EINVAL;
	flags &= 0xffffffff;
	if (likely(flags & MAP_ANONYMOUS)) {
		if (unlikely(flags & MAP_HUGETLB))
			return mmap_pool(addr, len, prot, flags);
		return do_mmap(cur_mm(), NULL, addr, len, prot, flags, off >> PAGE_SHIFT);
	}
	f = fdget(fd);
	if (!fd_file(f))
		return -EBADF;
	shift = vma_file_huge_shift(fd_file(f));
	if (unlikely(shift))
		len = ALIGN(len, 1ull << shift);
	else if (unlikely(flags & MAP_HUGETLB))
		ret = -EINVAL;
	if (likely(!ret))
		ret = do_mmap(cur_mm(), fd_file(f), addr, len, prot, flags, off >> PAGE_SHIFT);
	fdput(f);
	return ret;
}

long sys_munmap(u64 addr, u64 len)
{
	return do_munmap(cur_mm(), addr, len);
}

long sys_mprotect(u64 addr, u64 len, u64 prot)
{
	return do_mprotect(cur_mm(), addr, len, prot, -1);
}

long sys_mremap(u64 addr, u64 old_len, u64 new_len, u64 flags, u64 new_addr)
{
	return do_mremap(cur_mm(), addr, old_len, new_len, flags, new_addr);
}

/* MADV_HWPOISON, MADV_SOFT_OFFLINE: Linux looks at the range first, then at the right to do it. */
static long poison(u64 addr, u64 len, bool soft)
{
	u64 end = addr + ALIGN(len, PAGE_SIZE);

	if (addr & ~PAGE_MASK || end < addr || (len && end == addr))
		return -EINVAL;
	if (end == addr)
		return 0;
	return capable(CAP_SYS_ADMIN) ? do_poison(cur_mm(), addr, end, soft) : -EPERM;
}

long sys_madvise(u64 addr, u64 len, int advice)
{
	if (unlikely(advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE))
		return poison(addr, len, advice == MADV_SOFT_OFFLINE);
	return do_madvise(cur_mm(), addr, len, advice);
}

long sys_brk(u64 brk)
{
	return do_brk(cur_mm(), brk);
}

long sys_msync(u64 addr, u64 len, int flags)
{
	u64 end = addr + ((len + PAGE_SIZE - 1) & PAGE_MASK);

	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC) || addr & ~PAGE_MASK)
		return -EINVAL;
	if (flags & MS_ASYNC && flags & MS_SYNC)
		return -EINVAL;
	if (end < addr)
		return -ENOMEM;
	return end == addr ? 0 : do_msync(cur_mm(), addr, len, flags);
}

long sys_mincore(u64 addr, u64 len, u8 __user *vec)
{
	u64 npages = (len >> PAGE_SHIFT) + !!(len & ~PAGE_MASK);
	u8 buf[256];

	if (addr & ~PAGE_MASK)
		return -EINVAL;
	if (!access_ok((void __user *)addr, len))
		return -ENOMEM;
	if (!access_ok(vec, npages))
		return -EFAULT;
	while (npages) {
		u64 n = min(npages, (u64)sizeof(buf));
		u64 known = do_mincore(cur_mm(), addr, n, buf);

		if (copy_to_user(vec, buf, known))
			return -EFAULT;
		if (known < n)
			return -ENOMEM; /* a hole: what was before it is told */
		addr += n << PAGE_SHIFT;
		vec += n;
		npages -= n;
	}
	return 0;
}

long sys_mlock(u64 addr, u64 len)
{
	return do_mlock(cur_mm(), addr, len, VM_LOCKED, true);
}

long sys_mlock2(u64 addr, u64 len, int flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return do_mlock(cur_mm(), addr, len, VM_LOCKED | (flags & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0), true);
}

long sys_munlock(u64 addr, u64 len)
{
	return do_mlock(cur_mm(), addr, len, 0, false);
}

long sys_mlockall(int flags)
{
	if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
		return -EINVAL;
	return do_mlockall(cur_mm(), flags);
}

long sys_munlockall(void)
{
	return do_mlockall(cur_mm(), -1);
}

/* Only the one shape that ever was of use: a new offset for a shared mapping, in place. */
long sys_remap_file_pages(u64 start, u64 size, u64 prot, u64 pgoff, u64 flags)
{
	struct mm *mm = cur_mm();
	struct file *file = NULL;
	struct vma *v;
	s64 ret = -EINVAL;
	u64 rights = 0;

	if (prot)
		return -EINVAL;
	start &= PAGE_MASK;
	size &= PAGE_MASK;
	if (start + size <= start || pgoff + (size >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	down_read(&mm->lock);
	v = vma_at(mm, start);
	if (v && v->flags & VM_SHARED && v->file && start + size <= v->end) {
		file = vma_file_get(v->file);
		rights = v->flags & (VM_READ | VM_WRITE | VM_EXEC);
		flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE | (flags & MAP_NONBLOCK) | (v->flags & VM_LOCKED ? MAP_LOCKED : 0);
	}
	up_read(&mm->lock);
	if (file) {
		ret = do_mmap(mm, file, start, size, rights, flags, pgoff);
		vma_file_put(file);
	}
	return ret < 0 ? ret : 0;
}

/* --- protection keys --- */

long sys_pkey_mprotect(u64 addr, u64 len, u64 prot, int pkey)
{
	/* a key no address space ever gives out is refused below; -1 is plain mprotect */
	return do_mprotect(cur_mm(), addr, len, prot, pkey < -1 ? INT_MAX : pkey);
}

long sys_pkey_alloc(u64 flags, u64 rights)
{
	if (flags || rights & ~(u64)(PKEY_DISABLE_ACCESS | PKEY_DISABLE_WRITE))
		return -EINVAL;
	return do_pkey_alloc(cur_mm(), rights);
}

long sys_pkey_free(int pkey)
{
	return do_pkey_free(cur_mm(), pkey);
}

/* --- process_vm_readv, process_vm_writev --- */

/* Copies in an array of segments, @local ones of this process. kmalloc'ed, NULL with *err; nothing for count 0. */
static struct iovec_k *get_vec(const void __user *uvec, u64 n, bool local, int *err)
{
	struct iovec_k *v;
	u64 total = 0;

	*err = n > IOV_MAX ? -EINVAL : 0;
	if (!n || *err)
		return NULL;
	*err = -ENOMEM;
	v = kmalloc(n * sizeof(*v), GFP_KERNEL);
	if (!v)
		return NULL;
	*err = -EFAULT;
	if (copy_from_user(v, uvec, n * sizeof(*v)))
		goto bad;
	*err = -EINVAL;
	for (u64 i = 0; i < n; i++) {
		if ((s64)v[i].len < 0 || (s64)(total + v[i].len) < 0)
			goto bad;
		total += v[i].len;
	}
	*err = -EFAULT;
	for (u64 i = 0; local && i < n; i++) {
		if (!access_ok((void __user *)v[i].base, v[i].len))
			goto bad;
	}
	*err = 0;
	return v;
bad:
	kfree(v);
	return NULL;
}

/* Moves bytes between one remote stretch and our segments from (*seg, *off) on. Bytes or -errno. */
static s64 copy_remote(struct mm *mm, u64 addr, u64 len, struct iovec_k *l, u64 nl, u64 *seg, u64 *off, bool write, void *page)
{
	u64 done = 0;

	while (done < len && *seg < nl) {
		u64 n = min3(len - done, l[*seg].len - *off, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
		void __user *mine = (void __user *)(l[*seg].base + *off);
		s64 got;

		if (!n) {
			++*seg;
			*off = 0;
			continue;
		}
		if (write && copy_from_user(page, mine, n))
			return done ? (s64)done : -EFAULT;
		got = mm_access(mm, addr + done, page, n, write, false);
		if (got <= 0)
			return done ? (s64)done : got;
		if (!write && copy_to_user(mine, page, got))
			return done ? (s64)done : -EFAULT;
		done += got;
		*off += got;
	}
	return done;
}

static s64 copy_vectors(struct mm *mm, struct iovec_k *l, u64 nl, struct iovec_k *r, u64 nr, bool write)
{
	void *page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	u64 seg = 0, off = 0;
	s64 done = 0, n = 0;

	if (!page)
		return -ENOMEM;
	for (u64 i = 0; i < nr && seg < nl; i++) {
		n = copy_remote(mm, r[i].base, r[i].len, l, nl, &seg, &off, write, page);
		if (n < 0)
			break;
		done += n;
		if ((u64)n < r[i].len)
			break;
	}
	kfree(page);
	return done ? done : n < 0 ? n : 0;
}

static u64 vec_total(const struct iovec_k *v, u64 n)
{
	u64 total = 0;

	for (u64 i = 0; i < n; i++)
		total += v[i].len;
	return total;
}

static long process_vm_rw(pid_t pid, const void __user *lvec, u64 nl, const void __user *rvec, u64 nr, u64 flags, bool write)
{
	struct iovec_k *l, *r = NULL;
	struct task *t = NULL;
	struct mm *mm = NULL;
	long ret = -EINVAL;
	int err;

	if (flags)
		return -EINVAL;
	l = get_vec(lvec, nl, true, &err);
	if (err)
		return err;
	if (!l || !vec_total(l, nl)) { /* nothing to move: the other side is not looked at */
		ret = 0;
		goto out;
	}
	r = get_vec(rvec, nr, false, &err);
	ret = err;
	if (err || !l || !r)
		goto out;
	ret = -ESRCH;
	t = task_find_get(pid);
	if (!t)
		goto out;
	ret = -EPERM;
	if (ptrace_may_attach(t))
		goto out;
	ret = -ESRCH;
	mm = task_mm_get(t);
	if (!mm)
		goto out;
	ret = copy_vectors(mm, l, nl, r, nr, write);
	mm_put(mm);
out:
	if (t)
		task_put(t);
	kfree(r);
	kfree(l);
	return ret;
}

long sys_process_vm_readv(pid_t pid, const void __user *lvec, u64 nl, const void __user *rvec, u64 nr, u64 flags)
{
	return process_vm_rw(pid, lvec, nl, rvec, nr, flags, false);
}

long sys_process_vm_writev(pid_t pid, const void __user *lvec, u64 nl, const void __user *rvec, u64 nr, u64 flags)
{
	return process_vm_rw(pid, lvec, nl, rvec, nr, flags, true);
}

/* --- membarrier --- */

#define MB_GLOBAL 1u
#define MB_GLOBAL_EXPEDITED 2u
#define MB_REGISTER_GLOBAL_EXPEDITED 4u
#define MB_PRIVATE_EXPEDITED 8u
#define MB_REGISTER_PRIVATE_EXPEDITED 16u
#define MB_PRIVATE_EXPEDITED_SYNC_CORE 32u
#define MB_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE 64u
#define MB_PRIVATE_EXPEDITED_RSEQ 128u
#define MB_REGISTER_PRIVATE_EXPEDITED_RSEQ 256u
#define MB_ALL 511u
#define MB_FLAG_CPU 1u

static void barrier_ipi(void *arg)
{
	smp_mb(); /* and the return from interrupt serialises the core */
}

static void barrier_on(u64 cpus)
{
	smp_mb();
	preempt_disable();
	smp_call_mask(cpus & cpu_online_mask, barrier_ipi, NULL, true);
	preempt_enable();
	smp_mb();
}

/* A restartable sequence the CPU is in is aborted before it goes on. */
static void rseq_ipi(void *arg)
{
	struct thread *t = current_thread();

	smp_mb();
	if (t->mm == arg && thread_test_flag(t, TIF_RSEQ))
		sched_rseq_switch(t);
}

static long rseq_barrier(struct mm *mm, int cpu)
{
	u64 cpus = READ_ONCE(mm->tlb.cpus) & cpu_online_mask;

	if (cpu >= 0)
		cpus &= cpu < MAX_CPUS ? 1ull << cpu : 0;
	smp_mb();
	preempt_disable();
	smp_call_mask(cpus, rseq_ipi, mm, true);
	preempt_enable();
	smp_mb();
	return 0;
}

long sys_membarrier(int cmd, u32 flags, int cpu)
{
	struct mm *mm = cur_mm();

	if (flags && (cmd != MB_PRIVATE_EXPEDITED_RSEQ || flags != MB_FLAG_CPU))
		return -EINVAL;
	switch (cmd) {
	case 0:
		return MB_ALL;
	case MB_GLOBAL:
		synchronize_rcu(); /* every CPU passes a context switch */
		return 0;
	case MB_GLOBAL_EXPEDITED:
		barrier_on(~0ull);
		return 0;
	case MB_REGISTER_GLOBAL_EXPEDITED:
	case MB_REGISTER_PRIVATE_EXPEDITED:
	case MB_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE:
	case MB_REGISTER_PRIVATE_EXPEDITED_RSEQ:
		__atomic_fetch_or(&mm->membarrier_state, (u32)cmd, __ATOMIC_RELAXED);
		return 0;
	case MB_PRIVATE_EXPEDITED:
	case MB_PRIVATE_EXPEDITED_SYNC_CORE:
		if (!(READ_ONCE(mm->membarrier_state) & (u32)cmd << 1))
			return -EPERM;
		barrier_on(READ_ONCE(mm->tlb.cpus));
		return 0;
	case MB_PRIVATE_EXPEDITED_RSEQ:
		if (!(READ_ONCE(mm->membarrier_state) & MB_REGISTER_PRIVATE_EXPEDITED_RSEQ))
			return -EPERM;
		return rseq_barrier(mm, flags & MB_FLAG_CPU ? cpu : -1);
	default:
		return -EINVAL;
	}
}
