/*
 * The decode half of the NUMA calls, and the thread's own policy. Node masks are arrays of 64-bit words; what lies beyond the
 * nodes the kernel can have must be zero. The rest is in mm/mempolicy.c.
 */
#include <kernel/rcu.h>
#include <mm/mempolicy.h>
#include <mm/migrate.h>
#include <proc/impl.h>
#include <proc/ptrace.h>
#include <proc/task.h>
#include <x86/uaccess.h>

struct mempolicy *thread_policy(void)
{
	return &current->mempolicy;
}

u32 *thread_interleave(void)
{
	return &current->interleave;
}

void thread_bound_oom(u64 nodes)
{
	current->oom_nodes = nodes;
}

/* Reads a mask of @maxnode - 1 bits. 0, -EINVAL, -EFAULT. */
static int get_nodes(u64 *nodes, const u64 __user *mask, u64 maxnode)
{
	u64 bits = maxnode - 1, words;

	*nodes = 0;
	if (!bits || !mask)
		return 0;
	if (bits > PAGE_SIZE * 8)
		return -EINVAL;
	words = (bits + 63) / 64;
	for (u64 i = words; i-- > 0;) {
		u64 w;

		if (get_user(w, mask + i))
			return -EFAULT;
		if (i == words - 1 && bits % 64)
			w &= (1ull << bits % 64) - 1;
		if (!i)
			*nodes = w;
		else if (w)
			return -EINVAL;
	}
	return 0;
}

static u64 nr_node_ids(void)
{
	return 64 - (u64)__builtin_clzll(node_online_map);
}

/* Writes as many words as the caller has room for. */
static int put_nodes(u64 __user *mask, u64 maxnode, u64 nodes)
{
	u64 len = ((maxnode - 1 + 63) & ~63ull) / 8;

	if (len > 8) {
		if (len > PAGE_SIZE)
			return -EINVAL;
		if (clear_user(mask + 1, len - 8))
			return -EFAULT;
		len = 8;
	}
	return copy_to_user(mask, &nodes, len) ? -EFAULT : 0;
}

static unsigned mode_of(int mode) { return (unsigned)mode & ~MPOL_MODE_FLAGS; }
static unsigned flags_of(int mode) { return (unsigned)mode & MPOL_MODE_FLAGS; }

/* What the mode word alone can be wrong about. */
static int check_mode(int mode)
{
	unsigned f = flags_of(mode);

	if (mode_of(mode) >= MPOL_MAX || (f & MPOL_F_STATIC_NODES && f & MPOL_F_RELATIVE_NODES))
		return -EINVAL;
	return f & MPOL_F_NUMA_BALANCING && mode_of(mode) != MPOL_BIND ? -EINVAL : 0;
}

long sys_set_mempolicy(int mode, const u64 __user *mask, u64 maxnode)
{
	struct mempolicy p;
	u64 nodes;
	int err = check_mode(mode);

	if (!err)
		err = get_nodes(&nodes, mask, maxnode);
	if (!err)
		err = mpol_make(&p, mode_of(mode), flags_of(mode), nodes);
	if (err)
		return err;
	if (p.mode != MPOL_DEFAULT)
		WRITE_ONCE(mempolicy_used, true);
	spin_lock(&current->alloc_lock);
	current->mempolicy = p;
	current->interleave = 0;
	spin_unlock(&current->alloc_lock);
	return 0;
}

long sys_mbind(u64 start, u64 len, u64 mode, const u64 __user *mask, u64 maxnode, u32 flags)
{
	bool none = mode_of((int)mode) == MPOL_DEFAULT;
	struct mempolicy p;
	u64 nodes;
	int err = check_mode((int)mode);

	if (!err)
		err = get_nodes(&nodes, mask, maxnode);
	if (err)
		return err;
	if (flags & ~(MPOL_MF_STRICT | MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if (flags & MPOL_MF_MOVE_ALL && !capable(CAP_SYS_NICE))
		return -EPERM;
	err = mpol_make(&p, mode_of((int)mode), flags_of((int)mode), nodes);
	if (err)
		return err;
	return do_mbind(current->thread.mm, start, len, &p, none ? flags & ~MPOL_MF_STRICT : flags, none);
}

long sys_set_mempolicy_home_node(u64 start, u64 len, u64 node, u64 flags)
{
	if (start & ~PAGE_MASK || flags || node >= MAX_NODES || !(node_online_map >> node & 1))
		return -EINVAL;
	return do_set_home_node(current->thread.mm, start, len, (int)node);
}

/* The policy that get_mempolicy is asked for. 0 or -EFAULT. */
static int policy_asked(u64 addr, u32 flags, struct mempolicy *p)
{
	struct mm *mm = current->thread.mm;
	struct vma *v;
	int err = 0;

	*p = (struct mempolicy){ .home = NUMA_NO_NODE };
	if (!(flags & MPOL_F_ADDR)) {
		*p = current->mempolicy;
		return 0;
	}
	down_read(&mm->lock);
	v = vma_at(mm, addr);
	if (!v)
		err = -EFAULT;
	else
		vma_policy_at(v, addr, p);
	up_read(&mm->lock);
	return err;
}

static int interleave_turn(const struct mempolicy *p)
{
	u64 nodes = p->nodes;

	for (u64 k = current->interleave % (u64)__builtin_popcountll(nodes); k; k--)
		nodes &= nodes - 1;
	return __builtin_ctzll(nodes);
}

long sys_get_mempolicy(s32 __user *policy, u64 __user *mask, u64 maxnode, u64 addr, u64 flags)
{
	struct mempolicy p;
	int value, err;
	u64 nodes;

	if (mask && maxnode < nr_node_ids())
		return -EINVAL;
	if (flags & ~(u64)(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		if (flags & (MPOL_F_NODE | MPOL_F_ADDR))
			return -EINVAL;
		if (policy && put_user(0, policy))
			return -EFAULT;
		return mask ? put_nodes(mask, maxnode, node_online_map) : 0;
	}
	if (!(flags & MPOL_F_ADDR) && addr)
		return -EINVAL;
	err = policy_asked(addr, (u32)flags, &p);
	if (err)
		return err;
	value = p.mode | p.flags;
	if (flags & MPOL_F_NODE) {
		if (flags & MPOL_F_ADDR)
			value = mm_node_of(current->thread.mm, addr);
		else
			value = p.mode == MPOL_INTERLEAVE ? interleave_turn(&p) : -EINVAL;
		if (value < 0)
			return value;
	}
	if (policy && put_user(value, policy))
		return -EFAULT;
	nodes = p.flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES) ? p.user_nodes : p.nodes;
	return mask ? put_nodes(mask, maxnode, nodes) : 0;
}

/* The process a caller may rearrange, and its address space. 0: the caller. */
static struct mm *mm_to_move(pid_t pid, int *err)
{
	struct task *t = pid ? task_find_get(pid) : current;
	struct mm *mm = NULL;

	*err = -ESRCH;
	if (!t)
		return NULL;
	*err = t == current ? 0 : ptrace_may_attach(t);
	if (!*err) {
		mm = task_mm_get(t);
		*err = mm ? 0 : -EINVAL;
	}
	if (pid)
		task_put(t);
	return mm;
}

static int one_page(struct mm *mm, struct migration *m, u64 i, const u64 __user *pages, const s32 __user *nodes, u32 flags, s32 *status)
{
	s32 node = -1;
	u64 addr;

	if (get_user(addr, pages + i) || (nodes && get_user(node, nodes + i)))
		return -EFAULT;
	if (nodes && (node < 0 || node >= MAX_NODES || !(node_online_map >> node & 1)))
		return -ENODEV;
	*status = addr < TASK_SIZE_MAX ? mm_move_page(mm, m, addr, node, flags & MPOL_MF_MOVE_ALL) : -EFAULT;
	return 0;
}

long sys_move_pages(pid_t pid, u64 n, const u64 __user *pages, const s32 __user *nodes, s32 __user *status, int flags)
{
	struct migration *m = NULL;
	long stayed = 0;
	struct mm *mm;
	int err;

	if ((u32)flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((u32)flags & MPOL_MF_MOVE_ALL && !capable(CAP_SYS_NICE))
		return -EPERM;
	mm = mm_to_move(pid, &err);
	if (!mm)
		return err;
	if (nodes && !(m = migration_alloc()))
		err = -ENOMEM;
	for (u64 i = 0; i < n && !err; i++) {
		s32 st;

		err = one_page(mm, m, i, pages, nodes, (u32)flags, &st);
		if (err)
			break;
		/* pages that could not be moved are counted; those that are not there are only reported */
		stayed += nodes && (st == -EBUSY || st == -ENOMEM);
		if ((status || !nodes) && put_user(st, status + i))
			err = -EFAULT;
		if (fatal_signal_pending_current())
			err = -EINTR;
	}
	if (m)
		migration_free(m);
	mm_put(mm);
	return err ? err : stayed;
}

long sys_migrate_pages(pid_t pid, u64 maxnode, const u64 __user *old_mask, const u64 __user *new_mask)
{
	u64 from, to;
	struct mm *mm;
	s64 r;
	int err = get_nodes(&from, old_mask, maxnode);

	if (!err)
		err = get_nodes(&to, new_mask, maxnode);
	if (err)
		return err;
	mm = mm_to_move(pid, &err);
	if (!mm)
		return err;
	if (to & ~node_online_map && !capable(CAP_SYS_NICE))
		r = -EPERM;
	else if (!(to & node_online_map))
		r = -EINVAL;
	else
		r = mm_migrate_nodes(mm, from, to & node_online_map, capable(CAP_SYS_NICE));
	mm_put(mm);
	return r;
}
