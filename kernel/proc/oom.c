/*
 * Out of memory.
 *
 * The victim is the process with the largest footprint (resident pages and page tables), moved by oom_score_adj in thousandths of
 * all memory; -1000 and PID 1 are spared. When a NUMA policy left the thread no other nodes, processes bound to other nodes are spared too. One victim at a time: whoever runs out while one is dying waits for it.
 */
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <mm/alloc.h>
#include <mm/failinject.h>
#include <mm/mm.h>
#include <mm/vmstat.h>
#include <proc/oom.h>
#include <proc/task.h>

#define VICTIM_WAIT_NS (20 * NSEC_PER_MSEC)
#define VICTIM_GONE_NS (2 * NSEC_PER_SEC) /* by then its memory is free, or somebody else holds it */

u64 panic_on_oom, oom_kill_allocating_task;
static u64 last_kill; /* (oom_mutex) */

static DEFINE_MUTEX(oom_mutex);

static s64 footprint(const struct mm *mm)
{
	s64 n = mm->pgtables_bytes >> PAGE_SHIFT;

	for (int i = 0; i < NR_RSS; i++)
		n += mm_rss(mm, i);
	return n;
}

static bool spared(struct task *t)
{
	return t->pid == 1 || t->flags & PF_KTHREAD || t->signal->oom_score_adj <= -1000;
}

/* Pages, weighed; negative where oom_score_adj takes more off than there are. */
static s64 weight(struct task *t, const struct mm *mm)
{
	return footprint(mm) + t->signal->oom_score_adj * (s64)nr_total_pages() / 1000;
}

/* Weighed pages; negative: not to be chosen. */
static s64 badness(struct task *t, const struct mm *mm)
{
	return spared(t) ? -1 : max(weight(t, mm), (s64)1);
}

long oom_score(struct task *t)
{
	struct mm *mm = task_mm_get(t);
	s64 points = 0, all = (s64)nr_total_pages();

	if (!mm)
		return 0;
	if (!spared(t))
		points = (1000 + weight(t, mm) * 1000 / all) * 2 / 3;
	mm_put(mm);
	return (long)max(points, (s64)0);
}

/* The victim, referenced. *dying: one is on its way out already. */
static struct task *choose(u64 nodes, bool *dying)
{
	struct task *t, *best = NULL;
	s64 most = 0;

	/* it may have left the list of those with memory, and still be giving it back */
	*dying = READ_ONCE(oom_victims) > 0 && ktime_ns() - last_kill < VICTIM_GONE_NS;
	if (*dying)
		return NULL;
	rcu_read_lock();
	for_each_process(t) {
		struct mm *mm = READ_ONCE(t->thread.mm);
		s64 points;

		if (!mm || t->exit_state)
			continue;
		if (mm->flags & MMF_OOM_VICTIM) {
			*dying = true;
			break;
		}
		/* bound to other nodes: its end would give us nothing */
		if (nodes && t->mempolicy.mode == MPOL_BIND && !(t->mempolicy.nodes & nodes))
			continue;
		points = badness(t, mm);
		if (points > most) {
			most = points;
			best = t;
		}
	}
	if (best && !*dying)
		task_get(best);
	rcu_read_unlock();
	return *dying ? NULL : best;
}

static void kill_victim(struct task *t)
{
	struct mm *mm = task_mm_get(t);

	if (!mm)
		return;
	if (!(__atomic_fetch_or(&mm->flags, MMF_OOM_VICTIM, __ATOMIC_RELAXED) & MMF_OOM_VICTIM))
		__atomic_fetch_add(&oom_victims, 1, __ATOMIC_RELAXED);
	last_kill = ktime_ns();
	count_vm_event(OOM_KILL);
	pr_err("Out of memory: Killed process %d (%s) total-vm:%llukB, anon-rss:%llukB, file-rss:%llukB, shmem-rss:%llukB, "
	       "UID:%u pgtables:%llukB oom_score_adj:%d\n",
	       t->tgid, t->thread.comm, mm->total_vm << 2, mm_rss(mm, RSS_ANON) << 2, mm_rss(mm, RSS_FILE) << 2,
	       mm_rss(mm, RSS_SHMEM) << 2, t->cred->uid, mm->pgtables_bytes >> 10, t->signal->oom_score_adj);
	mm_put(mm);
	send_signal(SIGKILL, NULL, t, true);
}

static void wait_a_little(void)
{
	set_current_state(TASK_KILLABLE);
	schedule_until(ktime_ns() + VICTIM_WAIT_NS);
}

/* A page can be had now (on one of the nodes; 0: any). */
static bool memory_again(u64 nodes)
{
	struct page *p = NULL;

	if (!nodes)
		p = alloc_page(GFP_USER | GFP_NOWARN);
	for (int n = 0; n < MAX_NODES && !p; n++)
		if (nodes >> n & 1)
			p = alloc_pages_node(n, GFP_USER | GFP_NOWARN | GFP_THISNODE, 0);
	if (p)
		free_pages(p, 0);
	return p;
}

bool fail_marked(void)
{
	return current->make_it_fail;
}

void oom_kill(void)
{
	u64 nodes = current->oom_nodes;
	struct task *victim;
	bool dying = false;

	current->oom_nodes = 0;

	if (fatal_signal_pending_current())
		return;
	/* It may have come back meanwhile, or allocations are made to fail: then nobody needs to die. */
	if (READ_ONCE(fail_nth_armed))
		return;
	if (memory_again(nodes))
		return;
	if (!mutex_trylock(&oom_mutex)) {
		wait_a_little();
		return;
	}
	if (panic_on_oom == 2 || (panic_on_oom && !nodes))
		panic("Out of memory: %s panic_on_oom is enabled", panic_on_oom == 2 ? "compulsory" : "system-wide");
	if (oom_kill_allocating_task && !spared(current))
		task_get(victim = current);
	else
		victim = choose(nodes, &dying);
	if (victim) {
		kill_victim(victim);
		task_put(victim);
	} else if (!dying) {
		pr_err("Out of memory and no killable processes...\n");
	}
	mutex_unlock(&oom_mutex);
	if (!fatal_signal_pending_current())
		wait_a_little();
}
