/*
 * prctl(PR_SET_MM): where a process' text, data, heap, arguments and environment lie, as /proc and brk(2) are told. For programs
 * that restore others, and for those that change their title. PR_SET_MM_EXE_FILE is not offered (EINVAL).
 *
 * A change is made on a copy of the values, looked at as a whole, and put back under the mm's lock.
 */
#include <lib/string.h>
#include <mm/mm.h>
#include <proc/impl.h>
#include <sys/util.h>
#include <x86/uaccess.h>

enum { SET_START_STACK = 5, SET_BRK = 7, SET_AUXV = 12, SET_MAP = 14, MAP_SIZE = 15 };

/* struct prctl_mm_map. The places, in the order of the single operations but for brk and stack, which they have swapped. */
struct mm_map {
	u64 start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end;
	u64 auxv;
	u32 auxv_size;
	s32 exe_fd;
};
_Static_assert(sizeof(struct mm_map) == 104, "ABI");
#define NR_PLACES 11

static void read_places(const struct mm *mm, struct mm_map *m)
{
	*m = (struct mm_map){
		.start_code = mm->start_code, .end_code = mm->end_code, .start_data = mm->start_data, .end_data = mm->end_data,
		.start_brk = mm->start_brk, .brk = mm->brk, .start_stack = mm->start_stack, .arg_start = mm->arg_start,
		.arg_end = mm->arg_end, .env_start = mm->env_start, .env_end = mm->env_end, .exe_fd = -1,
	};
}

static void write_places(struct mm *mm, const struct mm_map *m)
{
	mm->start_code = m->start_code;
	mm->end_code = m->end_code;
	mm->start_data = m->start_data;
	mm->end_data = m->end_data;
	mm->start_brk = m->start_brk;
	mm->brk = m->brk;
	mm->start_stack = m->start_stack;
	mm->arg_start = m->arg_start;
	mm->arg_end = m->arg_end;
	mm->env_start = m->env_start;
	mm->env_end = m->env_end;
}

static bool places_make_sense(const struct mm *mm, const struct mm_map *m)
{
	const u64 *place = &m->start_code;

	for (u32 i = 0; i < NR_PLACES; i++)
		if (place[i] < mm->mmap_min || place[i] >= TASK_SIZE_DEFAULT)
			return false;
	return m->start_code < m->end_code && m->start_data <= m->end_data && m->start_brk <= m->brk &&
	       m->arg_start <= m->arg_end && m->env_start <= m->env_end &&
	       m->brk - m->start_brk + m->end_data - m->start_data <= mm->rlimit_data;
}

/* The vector as the program gives it, ended by AT_NULL whatever it says. */
static int get_auxv(u64 auxv[], u64 size, u64 from, u64 n)
{
	memset(auxv, 0, size);
	if (n > size)
		return -EINVAL;
	if (copy_from_user(auxv, (const void __user *)from, n))
		return -EFAULT;
	auxv[size / 8 - 2] = auxv[size / 8 - 1] = 0;
	return 0;
}

static int commit(struct mm *mm, const struct mm_map *m, const u64 *auxv)
{
	bool ok = places_make_sense(mm, m);

	if (ok)
		write_places(mm, m);
	if (ok && auxv)
		memcpy(mm->auxv, auxv, sizeof(mm->auxv));
	return ok ? 0 : -EINVAL;
}

static long set_map(struct mm *mm, u64 from, u64 size)
{
	u64 auxv[ARRAY_SIZE(mm->auxv)];
	struct mm_map m;
	int err = 0;

	if (size != sizeof(m))
		return -EINVAL;
	if (copy_from_user(&m, (const void __user *)from, sizeof(m)))
		return -EFAULT;
	if (m.exe_fd != -1 || !m.auxv != !m.auxv_size)
		return -EINVAL;
	if (m.auxv_size)
		err = get_auxv(auxv, sizeof(auxv), m.auxv, m.auxv_size);
	if (err)
		return err;
	down_write(&mm->lock);
	err = commit(mm, &m, m.auxv_size ? auxv : NULL);
	mm_up_write(mm);
	return err;
}

static long set_auxv(struct mm *mm, u64 from, u64 n)
{
	u64 auxv[ARRAY_SIZE(mm->auxv)];
	int err = get_auxv(auxv, sizeof(auxv), from, n);

	if (err)
		return err;
	down_write(&mm->lock);
	memcpy(mm->auxv, auxv, sizeof(auxv));
	mm_up_write(mm);
	return 0;
}

static long set_place(struct mm *mm, u64 op, u64 addr)
{
	static const u8 place_of[] = { 0, 0, 1, 2, 3, 6, 4, 5, 7, 8, 9, 10 }; /* by operation, 1..11 */
	struct mm_map m;
	int err = -EINVAL;

	if (!op || op >= ARRAY_SIZE(place_of) || addr >= TASK_SIZE_DEFAULT || addr < mm->mmap_min)
		return -EINVAL;
	down_write(&mm->lock);
	read_places(mm, &m);
	(&m.start_code)[place_of[op]] = addr;
	if (places_make_sense(mm, &m)) /* what a program is shown to have must be there; text and heap need not */
		err = (op == SET_START_STACK || op > SET_BRK) && !vma_find(mm, addr) ? -EFAULT : commit(mm, &m, NULL);
	mm_up_write(mm);
	return err;
}

long prctl_set_mm(u64 op, u64 addr, u64 n, u64 zero)
{
	struct mm *mm = current->thread.mm;

	if (zero || (n && op != SET_AUXV && op != SET_MAP && op != MAP_SIZE))
		return -EINVAL;
	if (op == MAP_SIZE)
		return put_user((u32)sizeof(struct mm_map), (u32 __user *)addr);
	if (op == SET_MAP)
		return set_map(mm, addr, n);
	if (!capable(CAP_SYS_RESOURCE))
		return -EPERM;
	return op == SET_AUXV ? set_auxv(mm, addr, n) : set_place(mm, op, addr);
}
