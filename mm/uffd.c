/*
 * userfaultfd: contexts, sleepers, events. Filling pages is in uffd_fill.c, the file in kernel/fs/userfaultfd.c.
 *
 * A VMA is registered when v->uffd is set and one of VM_UFFD_* says for what: missing pages, writes to protected entries
 * (PTE_UFFD_WP), pages that are cached but not mapped (minor). Such a fault puts a struct uffd_wait, which lives on its stack, on
 * the context's list, looks at the entry once more, releases m and sleeps. Whoever fills the page stores the entry first and then
 * looks for sleepers: both take u->lock in between, so either the sleeper sees the entry or the filler sees the sleeper.
 *
 * Waking takes the sleeper off its list under u->lock and sets done under it; the sleeper takes the lock once more before its
 * stack goes away. A woken thread simply faults again: the table has the truth.
 *
 * Events (fork, remap, remove, unmap) are told by the thread that changed the address space, after it released m; it sleeps until
 * the reader has taken the message. From the moment of the change until then u->changing is raised and filling refuses with EAGAIN: a
 * reader must not fill what it does not yet know is gone. What unmap and remap have to tell is collected in
 * mm->uffd_pending (m write), what fork has to tell in the child's.
 *
 * Life: a context has one reference for its file, one for each sleeper, event and message about it. VMAs have none: closing the
 * file takes it out of them. mm->uffd_count lets munmap know that there is nothing to look for.
 *
 * Locks: m -> u->lock -> run queues. u->lock is not taken in interrupts.
 */
#include <uapi/poll.h>
#include <mm/uffd.h>
#include "vm.h"

struct uffd_wait {
	struct list_head link; /* (u->lock) */
	struct uffd_msg msg;
	struct thread *thread;
	struct uffd *fork; /* event: the child's context */
	bool done; /* (u->lock to set) */
};

struct uffd_pending {
	struct uffd_pending *next;
	struct uffd *u, *fork; /* referenced */
	struct uffd_msg msg;
};

struct uffd *uffd_create(struct mm *mm, u32 flags, u32 features)
{
	struct uffd *u = kzalloc(sizeof(*u), GFP_KERNEL);

	if (!u)
		return NULL;
	u->refs = 1;
	u->mm = mm;
	u->flags = flags;
	u->features = features;
	spin_lock_init(&u->lock);
	INIT_LIST_HEAD(&u->pending);
	INIT_LIST_HEAD(&u->seen);
	INIT_LIST_HEAD(&u->events);
	init_wait_queue(&u->fd_wait);
	mm_grab(mm);
	__atomic_fetch_add(&mm->uffd_count, 1, __ATOMIC_RELAXED);
	return u;
}

static inline void uffd_get(struct uffd *u)
{
	__atomic_fetch_add(&u->refs, 1, __ATOMIC_RELAXED);
}

void uffd_put(struct uffd *u)
{
	if (__atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL))
		return;
	__atomic_fetch_sub(&u->mm->uffd_count, 1, __ATOMIC_RELAXED);
	mm_drop(u->mm);
	kfree(u);
}

static void change_begin(struct uffd *u)
{
	__atomic_fetch_add(&u->changing, 1, __ATOMIC_SEQ_CST);
}

static void change_end(struct uffd *u)
{
	__atomic_fetch_sub(&u->changing, 1, __ATOMIC_SEQ_CST);
}

/* --- sleeping --- */

/* False when the context is closed: nobody would answer. */
static bool enqueue(struct uffd *u, struct uffd_wait *w, struct list_head *list)
{
	spin_lock(&u->lock);
	w->done = u->released;
	if (!w->done)
		list_add_tail(&w->link, list);
	spin_unlock(&u->lock);
	return !w->done;
}

static void sleep_until_done(struct uffd_wait *w, unsigned state)
{
	for (;;) {
		set_current_state(state);
		if (READ_ONCE(w->done))
			break;
		if (state == TASK_INTERRUPTIBLE ? signal_pending_current() : fatal_signal_pending_current())
			break;
		schedule();
	}
	set_current_state(TASK_RUNNING);
}

/* The waker is done with @w, or never will know it. True when it was woken. */
static bool dequeue(struct uffd *u, struct uffd_wait *w)
{
	bool done;

	spin_lock(&u->lock);
	done = w->done;
	if (!done)
		list_del(&w->link);
	spin_unlock(&u->lock);
	return done;
}

/* => u->lock */
static void wake_one(struct uffd_wait *w)
{
	struct thread *t = w->thread;

	list_del(&w->link);
	WRITE_ONCE(w->done, true);
	wake_thread(t, TASK_NORMAL, 0);
}

static void wake_list(struct list_head *list, u64 start, u64 end)
{
	struct uffd_wait *w, *n;

	list_for_each_entry_safe(w, n, list, link)
		if (w->msg.pagefault.address >= start && w->msg.pagefault.address < end)
			wake_one(w);
}

void uffd_wake(struct uffd *u, u64 start, u64 end)
{
	spin_lock(&u->lock);
	wake_list(&u->pending, start, end);
	wake_list(&u->seen, start, end);
	spin_unlock(&u->lock);
}

/* --- faults --- */

static pte_t read_locked(pte_t *entry)
{
	spinlock_t *lock = pt_lock_of(entry);
	pte_t e;

	spin_lock(lock);
	e = pte_read(entry);
	spin_unlock(lock);
	return e;
}

/* Is the reason to wait still there? An entry is empty for a moment while its page is moved, but not under the table's
 * lock. => m read, queued */
static bool must_wait(struct vma *v, u64 addr, u64 reason)
{
	bool pool = v->flags & VM_HUGETLB;
	pmd_t *pmd = pool ? hugetlb_entry(v, addr) : pt_pmd(v->mm, addr), e;

	if (!pmd)
		return true;
	e = read_locked(pmd);
	if (!pool && pmd_has_table(e))
		e = read_locked(table_of(e) + pte_index(addr));
	if (reason == VM_UFFD_WP)
		return pte_mapped(e) && e.v & PTE_UFFD_WP;
	return pte_vacant(e);
}

int uffd_fault(struct fault *f, u64 reason)
{
	struct uffd_wait w = { .thread = current_thread() };
	struct mm *mm = f->vma->mm;
	struct uffd *u = f->vma->uffd;
	s32 id = uffd_current_id();

	if (id < 0 || u->features & UFFD_FEATURE_SIGBUS || (u->flags & UFFD_USER_MODE_ONLY && !(f->flags & FAULT_USER)))
		return FR_SIGBUS;
	w.msg.event = UFFD_EVENT_PAGEFAULT;
	w.msg.pagefault.address = u->features & UFFD_FEATURE_EXACT_ADDRESS ? f->real_addr : f->addr;
	w.msg.pagefault.flags = f->flags & FAULT_WRITE ? UFFD_PAGEFAULT_FLAG_WRITE : 0;
	if (reason == VM_UFFD_WP)
		w.msg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_WP;
	if (reason == VM_UFFD_MINOR)
		w.msg.pagefault.flags |= UFFD_PAGEFAULT_FLAG_MINOR;
	if (u->features & UFFD_FEATURE_THREAD_ID)
		w.msg.pagefault.ptid = id;
	uffd_get(u);
	if (enqueue(u, &w, &u->pending) && must_wait(f->vma, f->addr, reason)) {
		up_read(&mm->lock);
		wake_up_poll(&u->fd_wait, POLLIN);
		/* a copy in the kernel cannot be left for a handler: only a kill ends it */
		sleep_until_done(&w, f->flags & FAULT_USER ? TASK_INTERRUPTIBLE : TASK_KILLABLE);
	} else {
		up_read(&mm->lock);
	}
	dequeue(u, &w);
	uffd_put(u);
	return FR_UNLOCKED;
}

int uffd_file_fault(struct fault *f)
{
	struct vma *v = f->vma;
	struct page *p;

	if (f->pgoff >= (READ_ONCE(v->mapping->size) + PAGE_SIZE - 1) >> PAGE_SHIFT)
		return FR_OK; /* beyond the end: SIGBUS as ever */
	p = mapping_find(v->mapping, f->pgoff);
	if (p) {
		page_put(p);
		return v->flags & VM_UFFD_MINOR ? uffd_fault(f, VM_UFFD_MINOR) : FR_OK;
	}
	return v->flags & VM_UFFD_MISSING ? uffd_fault(f, VM_UFFD_MISSING) : FR_OK;
}

/* --- messages --- */

bool uffd_has_message(struct uffd *u)
{
	bool any;

	spin_lock(&u->lock);
	any = !list_empty(&u->pending) || !list_empty(&u->events);
	spin_unlock(&u->lock);
	return any;
}

bool uffd_take_message(struct uffd *u, struct uffd_msg *m, struct uffd **fork)
{
	struct uffd_wait *w = NULL;

	*fork = NULL;
	spin_lock(&u->lock);
	if (!list_empty(&u->pending)) {
		w = list_first_entry(&u->pending, struct uffd_wait, link);
		list_move_tail(&w->link, &u->seen);
		*m = w->msg;
	} else {
		/* a fork whose descriptor is being made keeps its place, but is nobody else's */
		list_for_each_entry(w, &u->events, link)
			if (w->msg.event)
				break;
		if (&w->link == &u->events) {
			w = NULL;
		} else {
			*m = w->msg;
			if (w->fork) {
				*fork = w->fork;
				uffd_get(w->fork);
				w->msg.event = 0;
			} else {
				wake_one(w);
			}
		}
	}
	spin_unlock(&u->lock);
	return w;
}

void uffd_fork_taken(struct uffd *u, struct uffd *fork, bool ok)
{
	struct uffd_wait *w;

	spin_lock(&u->lock);
	list_for_each_entry(w, &u->events, link) {
		if (w->fork != fork)
			continue;
		if (ok)
			wake_one(w);
		else
			w->msg.event = UFFD_EVENT_FORK;
		break;
	}
	spin_unlock(&u->lock);
	if (!ok)
		uffd_put(fork);
}

/* Takes @u out of every VMA of @mm. => m write */
static void detach_locked(struct mm *mm, struct uffd *u)
{
	struct vma *v;

	for (v = vma_find(mm, 0); v; v = vma_next(v)) {
		if (v->uffd != u)
			continue;
		uffd_clear_vma(v);
		v = vma_try_merge(v);
	}
}

static void detach(struct mm *mm, struct uffd *u)
{
	if (!mm_get_not_zero(mm))
		return;
	down_write(&mm->lock);
	detach_locked(mm, u);
	mm_up_write(mm);
	mm_put(mm);
}

/* Tells an event and waits until it is read. Takes over the references and ends the change. => no locks */
static void tell(struct uffd *u, const struct uffd_msg *msg, struct uffd *fork)
{
	struct uffd_wait w = { .msg = *msg, .thread = current_thread(), .fork = fork };
	bool told = false;

	if (enqueue(u, &w, &u->events)) {
		wake_up_poll(&u->fd_wait, POLLIN);
		sleep_until_done(&w, TASK_KILLABLE);
		told = dequeue(u, &w) && !READ_ONCE(u->released);
	}
	if (fork) {
		if (!told)
			detach(fork->mm, fork);
		uffd_put(fork); /* the reader took its own */
	}
	change_end(u);
	uffd_put(u);
}

void uffd_release(struct uffd *u)
{
	spin_lock(&u->lock);
	WRITE_ONCE(u->released, true);
	spin_unlock(&u->lock);
	detach(u->mm, u);
	spin_lock(&u->lock);
	wake_list(&u->pending, 0, ~0ull);
	wake_list(&u->seen, 0, ~0ull);
	while (!list_empty(&u->events))
		wake_one(list_first_entry(&u->events, struct uffd_wait, link));
	spin_unlock(&u->lock);
	wake_up_poll(&u->fd_wait, POLLHUP);
	uffd_put(u);
}

/* --- what address-space calls have to tell --- */

static int pend(struct mm *mm, struct uffd *u, struct uffd *fork, struct uffd_msg msg)
{
	struct uffd_pending *p = kmalloc(sizeof(*p), GFP_KERNEL), **at = &mm->uffd_pending;

	if (!p)
		return -ENOMEM;
	*p = (struct uffd_pending){ .u = u, .fork = fork, .msg = msg };
	while (*at)
		at = &(*at)->next;
	*at = p;
	uffd_get(u);
	change_begin(u);
	return 0;
}

static void tell_all(struct uffd_pending *p)
{
	struct uffd_pending *next;

	for (; p; p = next) {
		next = p->next;
		tell(p->u, &p->msg, p->fork);
		kfree(p);
	}
}

void uffd_tell(struct mm *mm)
{
	struct uffd_pending *p = mm->uffd_pending;

	mm->uffd_pending = NULL;
	mm_up_write(mm);
	tell_all(p);
}

int uffd_unmap_prep(struct mm *mm, struct vma *v, u64 start, u64 end)
{
	struct uffd_msg msg = { .event = UFFD_EVENT_UNMAP, .remove = { start, end } };
	struct uffd_pending *p;

	for (; v && v->start < end; v = vma_next(v)) {
		struct uffd *u = v->uffd;

		if (!u || !(u->features & UFFD_FEATURE_EVENT_UNMAP))
			continue;
		for (p = mm->uffd_pending; p; p = p->next)
			if (p->u == u && p->msg.event == msg.event && p->msg.remove.start == start && p->msg.remove.end == end)
				break;
		if (!p && pend(mm, u, NULL, msg))
			return -ENOMEM;
	}
	return 0;
}

int uffd_remap(struct vma *new, u64 from, u64 len)
{
	struct uffd_msg msg = { .event = UFFD_EVENT_REMAP, .remap = { from, new->start, len } };
	struct uffd *u = new->uffd;

	if (u->features & UFFD_FEATURE_EVENT_REMAP && !pend(new->mm, u, NULL, msg))
		return 0;
	uffd_clear_vma(new);
	return u->features & UFFD_FEATURE_EVENT_REMAP ? -ENOMEM : 0;
}

void uffd_remove(struct vma *v, u64 start, u64 end)
{
	struct uffd_msg msg = { .event = UFFD_EVENT_REMOVE, .remove = { start, end } };
	struct mm *mm = v->mm;
	struct uffd *u = v->uffd;

	uffd_get(u);
	change_begin(u);
	up_read(&mm->lock);
	tell(u, &msg, NULL);
	down_read(&mm->lock);
}

int uffd_fork(struct vma *n, struct mm *child)
{
	struct uffd *u = n->uffd, *new;
	struct uffd_pending *p;

	if (!(u->features & UFFD_FEATURE_EVENT_FORK)) {
		n->uffd = NULL;
		n->flags &= ~VM_UFFD;
		return 0;
	}
	for (p = child->uffd_pending; p; p = p->next)
		if (p->u == u)
			break;
	if (!p) {
		new = uffd_create(child, u->flags, u->features);
		if (new && pend(child, u, new, (struct uffd_msg){ .event = UFFD_EVENT_FORK })) {
			uffd_put(new);
			new = NULL;
		}
		if (!new) {
			n->uffd = NULL;
			n->flags &= ~VM_UFFD;
			return -ENOMEM;
		}
	} else {
		new = p->fork;
	}
	n->uffd = new;
	return 0;
}

void uffd_fork_done(struct mm *child, bool ok)
{
	struct uffd_pending *p = child->uffd_pending, *next;

	child->uffd_pending = NULL;
	if (ok) {
		tell_all(p);
		return;
	}
	for (; p; p = next) {
		next = p->next;
		detach(child, p->fork);
		uffd_put(p->fork);
		change_end(p->u);
		uffd_put(p->u);
		kfree(p);
	}
}
