// SOURCES: test/host/kstubs.c kernel/sync/rcu.c
// CFLAGS: -DHOST_TEST -DDEBUG -fno-sanitize=all -fsanitize=thread
/*
 * simcpu.c - see simcpu.h.
 */
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <kernel/cpumask.h>
#include <kernel/kthread.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include "simcpu.h"

enum { MAX_SIM = 8, SYS_ARCH_PRCTL = 158, ARCH_SET_GS_BASE = 0x1001 };

extern char __start_percpu[], __stop_percpu[];	/* CPU 0's variables, and the template of the others' */
DECLARE_PER_CPU(u32, cpu_in_idle);

static __thread u64 seed;
static void (*sim_fn)(int cpu);
static int users;		/* CPUs of sim_run; the next one is the RCU thread's */
static u64 running;		/* (a) CPUs whose threads look for requests */
static int arrived;		/* (a) CPUs that began */

/* A request to run fn(arg); the sender waits until left is empty. */
static struct request {
	void (*fn)(void *arg);
	void *arg;
	u64 left;		/* (a) CPUs that have not done it */
} request[MAX_SIM];		/* of each sender */

static void make_cpu(int cpu)
{
	size_t len = (size_t)(__stop_percpu - __start_percpu), off = (uintptr_t)__start_percpu & 4095;
	char *copy = aligned_alloc(4096, ALIGN(len + off, 4096));

	memcpy(copy + off, __start_percpu, len);
	percpu_delta[cpu] = (u64)(copy + off) - (u64)__start_percpu;
	per_cpu(this_percpu_delta, cpu) = percpu_delta[cpu];
	per_cpu(this_cpu_number, cpu) = (u32)cpu;
}

static void become(int cpu)
{
	if (syscall(SYS_ARCH_PRCTL, ARCH_SET_GS_BASE, percpu_delta[cpu]))
		abort();
	seed = check_seed + (u64)cpu * 7919;
}

u64 sim_rand_below(u64 n)
{
	u64 z = (seed += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	return (z ^ (z >> 29)) % n;
}

/* ---- running ---- */

void sim_start(int n)
{
	users = n;
	nr_cpus = n + 1;
	for (int cpu = 1; cpu < nr_cpus; cpu++)
		make_cpu(cpu);
	cpu_online_mask = cpu_present_mask = (1ull << nr_cpus) - 1;
	for (int cpu = 0; cpu < n; cpu++)
		per_cpu(cpu_in_idle, cpu) = 1;
	seed = check_seed;
	rcu_init();
}

static void *cpu_main(void *arg)
{
	int cpu = (int)(uintptr_t)arg;

	become(cpu);
	WRITE_ONCE(per_cpu(cpu_in_idle, cpu), 0);
	smp_mb();
	__atomic_fetch_or(&running, cpumask_of(cpu), __ATOMIC_ACQ_REL);
	__atomic_fetch_add(&arrived, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < users)
		sched_yield();
	sim_fn(cpu);
	__atomic_fetch_and(&running, ~cpumask_of(cpu), __ATOMIC_ACQ_REL);
	sim_poll();	/* who still saw us running */
	__atomic_store_n(&per_cpu(cpu_in_idle, cpu), 1, __ATOMIC_RELEASE);
	return NULL;
}

void sim_run(void (*fn)(int cpu))
{
	pthread_t t[MAX_SIM];

	sim_fn = fn;
	arrived = 0;
	for (int cpu = 0; cpu < users; cpu++)
		if (pthread_create(&t[cpu], NULL, cpu_main, (void *)(uintptr_t)cpu))
			abort();
	for (int cpu = 0; cpu < users; cpu++)
		pthread_join(t[cpu], NULL);
}

void sim_poll(void)
{
	u64 self = cpumask_of(smp_processor_id());

	for (int i = 0; i < nr_cpus; i++) {
		if (!(__atomic_load_n(&request[i].left, __ATOMIC_ACQUIRE) & self))
			continue;
		request[i].fn(request[i].arg);
		__atomic_fetch_and(&request[i].left, ~self, __ATOMIC_ACQ_REL);
	}
}

void sim_pass(void)
{
	sim_poll();
	rcu_note_context_switch();
}

void smp_call_mask(u64 mask, void (*fn)(void *), void *arg, bool wait)
{
	struct request *r = &request[smp_processor_id()];

	r->fn = fn;
	r->arg = arg;
	mask &= ~cpumask_of(smp_processor_id());
	__atomic_store_n(&r->left, mask, __ATOMIC_RELEASE);
	/* whoever stopped running does not look any more; always waiting is right, if slow */
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_and(&r->left, __atomic_load_n(&running, __ATOMIC_ACQUIRE), __ATOMIC_ACQ_REL);
		sim_poll();
		sched_yield();
	}
}

/* ---- what the kernel's parts call ---- */

void spin_poll(void) { sched_yield(); }

void spin_lock_slow(spinlock_t *l)
{
	while (__atomic_exchange_n(&l->locked, 1, __ATOMIC_ACQUIRE))
		spin_poll();
}

void schedule(void)
{
	sim_pass();
	usleep(200);
}

bool schedule_until(u64 deadline)
{
	schedule();
	return true;
}

void set_current_state(unsigned state) {}
bool signal_pending_current(void) { return false; }
bool fatal_signal_pending_current(void) { return false; }
u64 ktime_ns(void) { return 0; }
void resched_cpu(int cpu) {}
void ktimer_init(struct ktimer *t, void (*func)(struct ktimer *)) { t->func = func; }
void ktimer_start(struct ktimer *t, u64 expires) { t->func(t); }
void prepare_to_wait(wait_queue_t *q, struct wait_entry *e, unsigned state) {}
void finish_wait(wait_queue_t *q, struct wait_entry *e) {}
int wait_autoremove(struct wait_entry *e, unsigned mode, int sync, u64 key) { return 0; }
void __wake_up(wait_queue_t *q, unsigned mode, int n, int sync, u64 key) {}
__weak void kfree(const void *p) { free((void *)p); }

static int (*rcu_fn)(void *);

static void *rcu_thread_main(void *arg)
{
	become(users);
	__atomic_fetch_or(&running, cpumask_of(users), __ATOMIC_ACQ_REL);
	rcu_fn(arg);
	return NULL;
}

struct thread *kthread_run(int (*fn)(void *), void *arg, int cpu, const char *fmt, ...)
{
	pthread_t t;

	rcu_fn = fn;
	return pthread_create(&t, NULL, rcu_thread_main, arg) ? NULL : (struct thread *)1;
}
