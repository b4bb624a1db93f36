/*
 * Numbers of threads, processes, groups and sessions.
 *
 * struct pid ties a number to the tasks that use it, one list a kind. A number is given while its slot in the table of numbers
 * is empty: taking it is one compare-and-swap of the slot, giving it back one store, looking it up three loads. The table
 * is a tree of pages, 512 to 1, made as numbers are first given and never freed: 8 bytes for each number ever used.
 *
 * Which number comes next: numbers are given in order, so that one is not used again soon. A CPU takes them from the cursor, one
 * by one as long as RUN_IDLE_NS lie between them: programs see numbers rise as they expect. When it makes tasks faster than that
 * it takes runs, doubling up to RUN numbers: CPUs that fork side by side write no common line then (a run is four lines of the
 * table). What is left of a run after a pause is given up when others have moved the cursor. So numbers of one CPU rise, and
 * numbers of two CPUs can be out of order by RUN each, for as long as both are that fast. A run is a hint, not a right: who wants a
 * certain number (set_tid) or has gone through all in vain tries slots anywhere, so fork fails only when all are taken.
 * 1 is kept for init, and after the first round numbers below RESERVED_PIDS are not given any more.
 *
 * Locks: the lists change inside tasklist_lock under the pid's lock, and are walked while it is read or under RCU; the cursor
 * under cursor_lock; the table with compare-and-swap. Lookups are lock-free: pids are freed by RCU.
 *
 * Life: pid_alloc (one reference: the attachments') -> attached -> the last pid_detach empties the slot and drops that
 * reference -> freed when tasks that were born with it, pidfds and terminals have dropped theirs.
 */
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <kernel/time.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <mm/slab.h>
#include <proc/impl.h>

#define RESERVED_PIDS 300
#define PID_MAX_DEFAULT 32768
#define PID_MAX_LIMIT (4 << 20)
#define RUN 32
#define RUN_IDLE_NS NSEC_PER_MSEC

#define NODE_BITS 9
#define NODE_SLOTS (1 << NODE_BITS) /* a page of pointers */
#define TOP_SLOTS (PID_MAX_LIMIT >> 2 * NODE_BITS)
struct leaf { struct pid *pid[NODE_SLOTS]; };
struct inner { struct leaf *leaf[NODE_SLOTS]; };

struct run {
	pid_t next, end; /* what is left */
	pid_t last; /* given last, 0 none */
	pid_t size; /* of the run */
	u64 used; /* when it was given, ns */
};

s32 pid_max = PID_MAX_DEFAULT;
static struct inner *top[TOP_SLOTS]; /* nodes appear (a) and stay */
static DEFINE_PER_CPU(struct run, this_run);
static DEFINE_SPINLOCK(cursor_lock);
static pid_t cursor = 2; /* (cursor_lock) the next run begins here */
static struct kmem_cache *pid_cache;

void pid_init(void)
{
	pid_cache = kmem_cache_create("pid", sizeof(struct pid), 64, SLAB_PANIC, NULL);
}

int pid_set_max(s32 n)
{
	if (n <= RESERVED_PIDS || n > PID_MAX_LIMIT)
		return -EINVAL;
	WRITE_ONCE(pid_max, n);
	return 0;
}

pid_t pid_last(void)
{
	const struct run *best = NULL;

	for (int cpu = 0; cpu < nr_cpus; cpu++) {
		const struct run *r = per_cpu_ptr(&this_run, cpu);
		if (r->last && (!best || r->used > best->used))
			best = r;
	}
	return best ? best->last : 0;
}

/* ---- the table ---- */

static inline struct leaf *leaf_of(pid_t nr)
{
	struct inner *n = (u32)nr < PID_MAX_LIMIT ? rcu_dereference(top[nr >> 2 * NODE_BITS]) : NULL;

	return n ? rcu_dereference(n->leaf[nr >> NODE_BITS & (NODE_SLOTS - 1)]) : NULL;
}

/* Makes the node that *@at points to. False: no memory. */
static bool grow(void **at)
{
	void *node, *none = NULL;

	if (READ_ONCE(*at))
		return true;
	node = kzalloc(PAGE_SIZE, GFP_KERNEL);
	if (!node)
		return false;
	if (!try_cmpxchg(at, &none, node))
		kfree(node);
	return true;
}

/* The slot of @nr, which is below the limit; NULL: no memory. => may sleep */
static struct pid **slot_make(pid_t nr)
{
	struct leaf *l = leaf_of(nr);

	if (unlikely(!l)) {
		if (!grow((void **)&top[nr >> 2 * NODE_BITS]) ||
		    !grow((void **)&top[nr >> 2 * NODE_BITS]->leaf[nr >> NODE_BITS & (NODE_SLOTS - 1)]))
			return NULL;
		l = leaf_of(nr);
	}
	return &l->pid[nr & (NODE_SLOTS - 1)];
}

struct pid *pid_find(pid_t nr)
{
	struct leaf *l = leaf_of(nr);

	return l ? rcu_dereference(l->pid[nr & (NODE_SLOTS - 1)]) : NULL;
}

/* What is in the table at the first number >= *@from that is taken, which *@from then is; NULL: nothing more. => RCU */
static struct pid *pid_next(pid_t *from)
{
	for (u64 nr = (u32)*from; nr < PID_MAX_LIMIT; nr++) {
		struct leaf *l = leaf_of((pid_t)nr);
		struct pid *p = l ? rcu_dereference(l->pid[nr & (NODE_SLOTS - 1)]) : NULL;

		if (p) {
			*from = (pid_t)nr;
			return p;
		}
		if (!l)
			nr |= NODE_SLOTS - 1;
	}
	return NULL;
}

struct task *process_next(pid_t *from)
{
	struct pid *p;

	for (; (p = pid_next(from)); ++*from) {
		struct task *t = pid_task(p, PIDK_TGID);
		if (t) {
			++*from;
			return t;
		}
	}
	return NULL;
}

u64 pid_check(void)
{
	struct pid *p;
	u64 bad = 0;

	rcu_read_lock();
	for (pid_t nr = 0; (p = pid_next(&nr)); nr++) {
		if (p->nr == nr && READ_ONCE(p->refs) >= 0)
			continue;
		pr_err("pid_check: entry %d: number is %d, references %d\n", nr, p->nr, p->refs);
		bad++;
	}
	rcu_read_unlock();
	return bad;
}

/* ---- giving numbers ---- */

static void run_take(struct run *r)
{
	s32 limit = READ_ONCE(pid_max);

	r->size = r->size ? min(2 * r->size, RUN) : 1;
	spin_lock(&cursor_lock);
	if (cursor >= limit)
		cursor = RESERVED_PIDS;
	r->next = cursor;
	r->end = min(r->size < RUN ? cursor + r->size : (cursor | (RUN - 1)) + 1, limit);
	WRITE_ONCE(cursor, r->end);
	spin_unlock(&cursor_lock);
}

static pid_t next_number(u64 now)
{
	preempt_disable();
	struct run *r = this_cpu_ptr(&this_run);
	if (now - r->used > RUN_IDLE_NS) {
		r->size = 0;
		if (r->end != READ_ONCE(cursor))
			r->next = r->end;
	}
	if (r->next >= r->end)
		run_take(r);
	pid_t nr = r->last = r->next++;
	r->used = now;
	preempt_enable();
	return nr;
}

/* 0, -EEXIST, -ENOMEM. Complete before others can find it: the swap orders. */
static int place(struct pid *p, pid_t nr)
{
	struct pid **slot = slot_make(nr), *none = NULL;

	if (unlikely(!slot))
		return -ENOMEM;
	p->nr = nr;
	return !READ_ONCE(*slot) && try_cmpxchg(slot, &none, p) ? 0 : -EEXIST;
}

/* Runs came round without a free number: are there any at all? */
static noinline int place_anywhere(struct pid *p)
{
	int err = -EEXIST;

	for (pid_t nr = RESERVED_PIDS; nr < READ_ONCE(pid_max) && err == -EEXIST; nr++)
		err = place(p, nr);
	return err == -EEXIST ? -EAGAIN : err;
}

static int place_next(struct pid *p, u64 now)
{
	int err = -EEXIST;

	for (s32 tries = 0; err == -EEXIST; tries++) {
		if (unlikely(tries > READ_ONCE(pid_max)))
			return place_anywhere(p);
		err = place(p, next_number(now));
	}
	return err;
}

struct pid *pid_alloc(pid_t want, u64 now)
{
	struct pid *p = kmem_cache_alloc(pid_cache, GFP_KERNEL);
	int err;

	if (unlikely(!p))
		return ERR_PTR(-ENOMEM);
	p->refs = 1;
	spin_lock_init(&p->lock);
	for (int k = 0; k < NR_PIDK; k++)
		INIT_HLIST_HEAD(&p->tasks[k]);
	init_wait_queue(&p->poll_wait);
	if (likely(!want))
		err = place_next(p, now);
	else
		err = want < READ_ONCE(pid_max) ? place(p, want) : -EINVAL;
	if (likely(!err))
		return p;
	kmem_cache_free(pid_cache, p);
	return ERR_PTR(err);
}

static void pid_free_rcu(struct rcu_head *h)
{
	kmem_cache_free(pid_cache, container_of(h, struct pid, rcu));
}

void pid_put(struct pid *p)
{
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) == 0)
		call_rcu(&p->rcu, pid_free_rcu);
}

/* Nobody is attached any more: the number is free for others. */
static void pid_retire(struct pid *p)
{
	__atomic_store_n(&leaf_of(p->nr)->pid[p->nr & (NODE_SLOTS - 1)], NULL, __ATOMIC_RELEASE);
	pid_put(p);
}

void pid_free_unused(struct pid *p)
{
	pid_retire(p);
}

struct task *pid_task(struct pid *p, enum pid_kind kind)
{
	return pid_task_entry(READ_ONCE(p->tasks[kind].first), kind);
}

/* Nobody else knows a new number's lists. */
void pid_attach_own(struct task *t, struct pid *p, bool leader)
{
	ASSERT(tasklist_held());
	if (leader) {
		t->pids[PIDK_TGID] = p;
		hlist_add_head_rcu(&t->pid_links[PIDK_TGID], &p->tasks[PIDK_TGID]);
	}
	hlist_add_head_rcu(&t->pid_links[PIDK_PID], &p->tasks[PIDK_PID]);
}

void pid_attach(struct task *t, enum pid_kind kind, struct pid *p)
{
	ASSERT(tasklist_held());
	spin_lock(&p->lock);
	rcu_assign_pointer(t->pids[kind], p);
	hlist_add_head_rcu(&t->pid_links[kind], &p->tasks[kind]);
	spin_unlock(&p->lock);
}

/* Ends the use of @p by @t as the kinds @first to @last. The one who leaves all lists empty gives the number back. */
static void detach(struct task *t, struct pid *p, enum pid_kind first, enum pid_kind last)
{
	bool used = false;

	ASSERT(tasklist_held());
	spin_lock(&p->lock);
	for (int k = first; k <= (int)last; k++)
		hlist_del_rcu(&t->pid_links[k]);
	for (int k = 0; k < NR_PIDK; k++)
		used |= !hlist_empty(&p->tasks[k]);
	spin_unlock(&p->lock);
	if (!used)
		pid_retire(p);
}

void pid_detach(struct task *t, enum pid_kind kind)
{
	struct pid *p = t->pids[kind];

	if (!p)
		return;
	WRITE_ONCE(t->pids[kind], NULL);
	detach(t, p, kind, kind);
}

void pid_detach_own(struct task *t, bool leader)
{
	struct pid *p = t->pids[PIDK_PID];

	if (leader)
		WRITE_ONCE(t->pids[PIDK_TGID], NULL);
	/* pids[PIDK_PID] is kept until the task is freed */
	detach(t, p, PIDK_PID, leader ? PIDK_TGID : PIDK_PID);
}

/* exec by a thread: the two swap their thread numbers. */
void pid_exchange(struct task *a, struct task *b)
{
	struct pid *pa = a->pids[PIDK_PID], *pb = b->pids[PIDK_PID];

	ASSERT(READ_ONCE(tasklist_lock.state) == -1);
	hlist_del_rcu(&a->pid_links[PIDK_PID]);
	hlist_del_rcu(&b->pid_links[PIDK_PID]);
	rcu_assign_pointer(a->pids[PIDK_PID], pb);
	rcu_assign_pointer(b->pids[PIDK_PID], pa);
	hlist_add_head_rcu(&a->pid_links[PIDK_PID], &pb->tasks[PIDK_PID]);
	hlist_add_head_rcu(&b->pid_links[PIDK_PID], &pa->tasks[PIDK_PID]);
	swap(a->pid, b->pid);
}

/* exec by a thread: @to takes @from's place in the list of the pid. */
void pid_transfer(struct task *from, struct task *to, enum pid_kind kind)
{
	struct pid *p = from->pids[kind];

	if (!p)
		return;
	hlist_add_head_rcu(&to->pid_links[kind], &p->tasks[kind]);
	rcu_assign_pointer(to->pids[kind], p);
	hlist_del_rcu(&from->pid_links[kind]);
	WRITE_ONCE(from->pids[kind], NULL);
}
