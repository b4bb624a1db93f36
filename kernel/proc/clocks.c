/*
 * Clocks by number, for the system calls: clock_getres(2) lists them. All wall clocks are the
 * monotonic one plus an offset; CPU-time clocks read the scheduler's exact run times, and clock
 * numbers made from a pid (clock_getcpuclockid(3)) encode it as ~pid << 3.
 */
#include <kernel/cpumask.h>
#include <lib/compiler.h>
#include <proc/usage.h>

#define CPUCLOCK_PERTHREAD 4
#define CPUCLOCK_MASK 3
#define CPUCLOCK_PROF 0
#define CPUCLOCK_VIRT 1
#define CPUCLOCK_SCHED 2
#define TAI 11

DEFINE_WAIT_QUEUE(clock_set_wait);
s64 tai_offset_ns;

static u64 cpu_clock_of(struct task *t, int kind, bool thread)
{
	u64 ut, st;

	if (kind == CPUCLOCK_SCHED)
		return thread ? sched_runtime_ns(&t->thread) : group_runtime(t);
	if (thread)
		task_cputime(t, &ut, &st);
	else
		group_cputime(t, &ut, &st);
	return kind == CPUCLOCK_VIRT ? ut : ut + st;
}

/* A thread's clock may be read within its process only (clock_gettime(2)). */
static int cpu_clock_read(s32 id, u64 *ns)
{
	pid_t pid = ~(id >> 3);
	bool thread = id & CPUCLOCK_PERTHREAD;
	int err = -EINVAL;

	if ((id & CPUCLOCK_MASK) == 3)
		return -EINVAL;
	struct task *t = pid ? task_find_get(pid) : current;
	if (!t)
		return -EINVAL;
	if (thread ? same_thread_group(t, current) : thread_group_leader(t) || !pid) {
		if (ns)
			*ns = cpu_clock_of(t, id & CPUCLOCK_MASK, thread);
		err = 0;
	}
	if (pid)
		task_put(t);
	return err;
}

int clock_read(s32 id, u64 *ns)
{
	switch (id) {
	case 0: /* REALTIME */
	case 5: /* REALTIME_COARSE */
	case 8: /* REALTIME_ALARM */
		*ns = ktime_real_ns();
		return 0;
	case TAI:
		*ns = ktime_real_ns() + (u64)READ_ONCE(tai_offset_ns);
		return 0;
	case 4: /* MONOTONIC_RAW */
		*ns = ktime_raw_ns();
		return 0;
	case 1: /* MONOTONIC */
	case 6: /* MONOTONIC_COARSE */
	case 7: /* BOOTTIME: the machine does not suspend */
	case 9:
		*ns = ktime_ns();
		return 0;
	case 2:
		*ns = group_runtime(current);
		return 0;
	case 3:
		*ns = sched_runtime_ns(&current->thread);
		return 0;
	}
	return id < 0 ? cpu_clock_read(id, ns) : -EINVAL;
}

int clock_check(s32 id)
{
	if (id < 0)
		return cpu_clock_read(id, NULL);
	return id <= 9 || id == TAI ? 0 : -EINVAL;
}

bool clock_is_real(s32 id)
{
	return id == 0 || id == 5 || id == 8 || id == TAI;
}

bool clock_is_cpu(s32 id)
{
	return id < 0 || id == 2 || id == 3;
}

u64 clock_to_mono(s32 id, u64 abs_ns)
{
	if (!clock_is_real(id) || abs_ns == S64_MAX)
		return abs_ns;
	s64 m = (s64)abs_ns - READ_ONCE(realtime_offset_ns) - (id == TAI ? READ_ONCE(tai_offset_ns) : 0);
	return m > 0 ? m : 0;
}

u64 cpu_time_earliest(u64 left, s32 n)
{
	u64 parallel = clamp_t(s32, n, 1, nr_cpus);
	return ktime_ns() + max_t(u64, left / parallel, TICK_NS);
}

void clock_was_set(void)
{
	vdso_update();
	posix_timers_clock_set();
	timerfd_clock_set();
	wake_up_all(&clock_set_wait);
}
