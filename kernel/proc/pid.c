/*
 * Numbers of threads, processes, groups and sessions.
 *
 * struct pid ties a number to the tasks that use it, one list a kind. Numbers come from an id
 * allocator, cyclically, so that a number is not used again soon; 1 is kept for init, and after the
 * first round numbers below RESERVED_PIDS are not given any more.
 *
 * Locks: the lists change under tasklist_lock (write) and are walked under it or under RCU; the
 * number allocator and the hash chains change under pid_lock, with interrupts off, because it nests
 * in tasklist_lock. Lookups are lock-free: pids are freed by RCU.
 *
 * Life: pid_alloc (one reference: the attachments') -> attached -> the last pid_detach takes it out
 * of the hash, gives the number back and drops that reference -> freed when tasks that were born
 * with it, pidfds and terminals have dropped theirs.
 *
 * Cost: allocation is one look per level of the bitmap tree and a list insertion; lookup one hash
 * and a chain of on average n/4096.
 */
#include <lib/assert.h>
#include <lib/err.h>
#include <lib/ida.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/impl.h>

#define PID_HASH_BITS 12
#define RESERVED_PIDS 300
#define PID_MAX_DEFAULT 32768
#define PID_MAX_LIMIT (4 << 20)

s32 pid_max = PID_MAX_DEFAULT;
static DEFINE_SPINLOCK(pid_lock);
static struct hlist_head pid_hash[1 << PID_HASH_BITS]; /* (pid_lock; RCU) */
static struct ida pid_ida; /* (pid_lock) */
static u64 pid_storage[IDA_WORDS(PID_MAX_DEFAULT)];
static pid_t last_pid;
static struct kmem_cache *pid_cache;

static inline struct hlist_head *hash_of(pid_t nr)
{
	return &pid_hash[(u32)nr & ((1 << PID_HASH_BITS) - 1)];
}

void pid_init(void)
{
	pid_cache = kmem_cache_create("pid", sizeof(struct pid), 64, SLAB_PANIC, NULL);
	ida_init(&pid_ida, pid_storage, PID_MAX_DEFAULT);
	VERIFY(ida_take(&pid_ida, 0) == 0);
	pid_ida.next = 2;
}

/* The allocator's storage is as large as pid_max at its greatest; growing copies what is taken. */
int pid_set_max(s32 n)
{
	u64 *storage = NULL, flags;
	struct ida bigger;

	if (n <= RESERVED_PIDS || n > PID_MAX_LIMIT)
		return -EINVAL;
	if (n > pid_ida.size) {
		storage = vzalloc(IDA_WORDS((u64)n) * 8);
		if (!storage)
			return -ENOMEM;
		ida_init(&bigger, storage, n);
	}
	spin_lock_irqsave(&pid_lock, flags);
	if (storage && n > pid_ida.size) {
		for (u32 i = 0; i < pid_ida.size; i++)
			if (ida_taken(&pid_ida, i))
				VERIFY(ida_take(&bigger, i) == 0);
		bigger.next = pid_ida.next;
		u64 *old = pid_ida.level[0];
		pid_ida = bigger;
		storage = old == pid_storage ? NULL : old;
	}
	pid_max = n;
	spin_unlock_irqrestore(&pid_lock, flags);
	vfree(storage);
	return 0;
}

pid_t pid_last(void)
{
	return READ_ONCE(last_pid);
}

static int take_number(pid_t want)
{
	int nr;

	if (want) {
		nr = want < pid_max ? ida_take(&pid_ida, want) : -EINVAL;
		return nr < 0 ? (nr == -EBUSY ? -EEXIST : nr) : want;
	}
	if (pid_ida.next < RESERVED_PIDS) { /* first round */
		nr = ida_alloc_range(&pid_ida, pid_ida.next, pid_max);
		pid_ida.next = nr + 1;
	} else {
		nr = ida_alloc_cyclic(&pid_ida, RESERVED_PIDS, pid_max);
	}
	if (nr < 0)
		return -EAGAIN;
	last_pid = nr;
	return nr;
}

struct pid *pid_alloc(pid_t want)
{
	struct pid *p = kmem_cache_alloc(pid_cache, GFP_KERNEL);
	u64 flags;

	if (unlikely(!p))
		return ERR_PTR(-ENOMEM);
	p->refs = 1;
	for (int k = 0; k < NR_PIDK; k++)
		INIT_HLIST_HEAD(&p->tasks[k]);
	init_wait_queue(&p->poll_wait);
	spin_lock_irqsave(&pid_lock, flags);
	int nr = take_number(want);
	if (likely(nr > 0)) {
		p->nr = nr;
		hlist_add_head_rcu(&p->hash, hash_of(nr));
	}
	spin_unlock_irqrestore(&pid_lock, flags);
	if (unlikely(nr < 0)) {
		kmem_cache_free(pid_cache, p);
		return ERR_PTR(nr);
	}
	return p;
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
	u64 flags;

	spin_lock_irqsave(&pid_lock, flags);
	hlist_del_rcu(&p->hash);
	ida_free(&pid_ida, p->nr);
	spin_unlock_irqrestore(&pid_lock, flags);
	pid_put(p);
}

void pid_free_unused(struct pid *p)
{
	pid_retire(p);
}

struct pid *pid_find(pid_t nr)
{
	struct pid *p;

	hlist_for_each_entry_rcu(p, hash_of(nr), hash)
		if (p->nr == nr)
			return p;
	return NULL;
}

struct task *pid_task(struct pid *p, enum pid_kind kind)
{
	return pid_task_entry(READ_ONCE(p->tasks[kind].first), kind);
}

void pid_attach(struct task *t, enum pid_kind kind, struct pid *p)
{
	ASSERT3S(tasklist_lock.state, ==, -1);
	rcu_assign_pointer(t->pids[kind], p);
	hlist_add_head_rcu(&t->pid_links[kind], &p->tasks[kind]);
}

void pid_detach(struct task *t, enum pid_kind kind)
{
	struct pid *p = t->pids[kind];

	ASSERT3S(tasklist_lock.state, ==, -1);
	if (!p)
		return;
	hlist_del_rcu(&t->pid_links[kind]);
	if (kind != PIDK_PID) /* that one is kept until the task is freed */
		WRITE_ONCE(t->pids[kind], NULL);
	for (int k = 0; k < NR_PIDK; k++)
		if (!hlist_empty(&p->tasks[k]))
			return;
	pid_retire(p);
}

/* exec by a thread: the two swap their thread numbers. */
void pid_exchange(struct task *a, struct task *b)
{
	struct pid *pa = a->pids[PIDK_PID], *pb = b->pids[PIDK_PID];

	ASSERT3S(tasklist_lock.state, ==, -1);
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
