/*
 * Files in flight over local sockets, and the collector of those that nobody can receive any more.
 *
 * A file in a message is held by the message. A socket whose only holders are messages in queues of sockets of which the same is
 * true can never be reached again: a cycle, which reference counts do not free. The collector finds them (mark and sweep
 * over the sockets in flight, a graph with an edge from a socket to each socket in its queue):
 *	1. a candidate is a socket all of whose file's references are messages;
 *	2. take off, for each candidate, the references from other candidates' queues. What has some left is held from outside;
 *	3. everything reachable from such a one is alive as well;
 *	4. the queues of the others are emptied: that takes the last references away.
 *
 * flight_mutex guards `inflight`, the list of flying sockets, and the moment a message's files go to or leave it, so counts and
 * queues are looked at together. Why a candidate is dead when step 4 comes: it could be reached only through a message in a queue; receiving
 * or peeking it takes a descriptor of that queue's socket, and then that one is no candidate, or a reference was taken from it after
 * it was looked at; but taking a file out of a message (or a copy of it) waits for flight_mutex.
 *
 * Files of sockets thrown away unread are put by a worker, not by the closing thread: a chain of sockets, each in the
 * queue of the next, would otherwise be closed in as many nested calls.
 *
 * Locks: flight_mutex -> sock->lock of a listener -> sock->lock of one that waits for its accept.
 */
#include <fs/fdtable.h>
#include <kernel/kthread.h>
#include <kernel/printk.h>
#include <mm/check.h>
#include <mm/slab.h>
#include <proc/cred.h>
#include <proc/impl.h>
#include <proc/task.h>
#include "unix_impl.h"

static DEFINE_MUTEX(flight_mutex);
static LIST_HEAD(flying); /* (flight_mutex) sockets in flight, by gc_link */
static u32 nr_flying; /* (flight_mutex; read without) */

static DEFINE_SPINLOCK(dead_lock);
static LIST_HEAD(dead); /* (dead_lock) messages whose files are to be put */

/* ---- counting ---- */

bool unix_may_fly(void)
{
	const struct cred *c = current_cred();

	return READ_ONCE(c->user->inflight) <= (s64)min_t(u64, current->signal->rlim[RLIMIT_NOFILE].rlim_cur, S32_MAX) ||
	       capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN);
}

void unix_fly(struct unix_msg *m)
{
	m->user = user_get(current_cred()->user);
	__atomic_fetch_add(&m->user->inflight, (s32)m->nfds, __ATOMIC_RELAXED);
	m->nsocks = 0;
	for (u32 i = 0; i < m->nfds; i++)
		m->nsocks += file_sock(m->fds[i]) != NULL;
	if (likely(!m->nsocks))
		return;
	mutex_lock(&flight_mutex);
	for (u32 i = 0; i < m->nfds; i++) {
		struct unix_sock *s = file_sock(m->fds[i]);

		if (!s || s->inflight++)
			continue;
		s->file = m->fds[i];
		list_add_tail(&s->gc_link, &flying);
		nr_flying++;
	}
	mutex_unlock(&flight_mutex);
}

static void land_sockets(struct unix_msg *m)
{
	for (u32 i = 0; i < m->nfds; i++) {
		struct unix_sock *s = file_sock(m->fds[i]);

		if (!s || --s->inflight)
			continue;
		list_del_init(&s->gc_link);
		nr_flying--;
	}
}

void unix_land(struct unix_msg *m, struct scm *to)
{
	if (m->nsocks) {
		mutex_lock(&flight_mutex);
		land_sockets(m);
	}
	to->fds = m->fds;
	to->nfds = m->nfds;
	m->fds = NULL;
	m->nfds = 0;
	if (m->nsocks)
		mutex_unlock(&flight_mutex);
	m->nsocks = 0;
	__atomic_fetch_sub(&m->user->inflight, (s32)to->nfds, __ATOMIC_RELAXED);
	user_put(m->user);
	m->user = NULL;
}

void unix_peek_files(struct unix_msg *m, struct scm *to)
{
	if (m->nsocks)
		mutex_lock(&flight_mutex);
	for (u32 i = 0; i < m->nfds; i++)
		to->fds[i] = file_get(m->fds[i]);
	to->nfds = m->nfds;
	if (m->nsocks)
		mutex_unlock(&flight_mutex);
}

/* ---- messages nobody will read ---- */

static struct thread *dead_worker; /* the thread in put_dead */

static void put_all_dead(void)
{
	for (;;) {
		struct unix_msg *m = NULL;

		spin_lock(&dead_lock);
		if (!list_empty(&dead)) {
			m = list_first_entry(&dead, struct unix_msg, link);
			list_del(&m->link);
		}
		spin_unlock(&dead_lock);
		if (!m)
			return;
		unix_msg_free(m); /* a socket it closes adds what is in its queue here */
	}
}
/* Looks for cycles once behind all of them, not after each socket: many would make that quadratic. */
static void put_dead(struct work *w)
{
	(void)w;
	WRITE_ONCE(dead_worker, current_thread());
	put_all_dead();
	WRITE_ONCE(dead_worker, NULL);
	unix_collect(); /* what it finds schedules the work again */
}
static struct work dead_work = WORK_INIT(put_dead);

void unix_msg_discard(struct unix_msg *m)
{
	if (!m->nsocks) {
		unix_msg_free(m);
		return;
	}
	spin_lock(&dead_lock);
	list_add_tail(&m->link, &dead);
	spin_unlock(&dead_lock);
	schedule_work(&dead_work);
}

/* ---- the collector; => flight_mutex ---- */

/* Calls fn for every socket in flight in the queue of @s, and in those of the connections that wait at it. */
static void for_each_held(struct unix_sock *s, void (*fn)(struct unix_sock *, struct list_head *), struct list_head *arg)
{
	struct unix_sock *waiting;
	struct unix_msg *m;

	spin_lock(&s->lock);
	list_for_each_entry(m, &s->queue, link)
		for (u32 i = 0; m->nsocks && i < m->nfds; i++)
			if (file_sock(m->fds[i]))
				fn(file_sock(m->fds[i]), arg);
	list_for_each_entry(waiting, &s->backlog, backlog_link)
		for_each_held(waiting, fn, arg); /* these have no backlog: one level */
	spin_unlock(&s->lock);
}

static void take_off(struct unix_sock *s, struct list_head *arg)
{
	(void)arg;
	s->gc_refs--;
}

static void revive(struct unix_sock *s, struct list_head *live)
{
	if (!s->gc_candidate)
		return;
	s->gc_candidate = false;
	list_move_tail(&s->gc_link, live);
}

static void strip(struct unix_sock *s, struct list_head *hit)
{
	struct unix_sock *waiting;
	struct unix_msg *m, *n;

	spin_lock(&s->lock);
	list_for_each_entry_safe(m, n, &s->queue, link)
		if (m->nsocks) {
			s->queued -= unix_msg_cost(m);
			list_move_tail(&m->link, hit);
		}
	list_for_each_entry(waiting, &s->backlog, backlog_link)
		strip(waiting, hit);
	spin_unlock(&s->lock);
}

static void mark(struct list_head *live)
{
	struct unix_sock *s, *n;

	list_for_each_entry(s, &flying, gc_link) {
		s->gc_refs = s->inflight;
		s->gc_candidate = READ_ONCE(s->file->refs) == (s64)s->inflight;
	}
	list_for_each_entry(s, &flying, gc_link)
		if (s->gc_candidate)
			for_each_held(s, take_off, NULL);
	list_for_each_entry_safe(s, n, &flying, gc_link)
		if (!s->gc_candidate || s->gc_refs > 0) {
			s->gc_candidate = false;
			list_move_tail(&s->gc_link, live);
		}
	list_for_each_entry(s, live, gc_link)
		for_each_held(s, revive, live); /* adds at the end: they are come to */
}

void unix_collect(void)
{
	struct unix_sock *s;
	struct unix_msg *m, *n;
	LIST_HEAD(live);
	LIST_HEAD(hit);

	if (likely(!READ_ONCE(nr_flying)) || READ_ONCE(dead_worker) == current_thread())
		return;
	mutex_lock(&flight_mutex);
	mark(&live);
	list_for_each_entry(s, &flying, gc_link)
		strip(s, &hit);
	list_splice(&live, &flying);
	mutex_unlock(&flight_mutex);
	list_for_each_entry_safe(m, n, &hit, link)
		unix_msg_discard(m);
}

u64 unix_check(void)
{
	struct unix_sock *s;
	u64 bad = 0, n = 0;

	mutex_lock(&flight_mutex);
	list_for_each_entry(s, &flying, gc_link) {
		n++;
		if (!s->inflight || READ_ONCE(s->file->refs) < (s64)s->inflight) {
			pr_err("check: unix: socket %p: %u in flight, its file %p has %lld references\n", s, s->inflight, s->file,
			       (long long)s->file->refs);
			bad++;
		}
	}
	if (n != nr_flying) {
		pr_err("check: unix: nr_flying is %u, %llu are listed\n", nr_flying, n);
		bad++;
	}
	mutex_unlock(&flight_mutex);
	return bad;
}
