/*
 * Waiting for readiness as an asynchronous request: a poll whose sleeper is a request.
 *
 * Its entries hang on the file's wait queues until it ends. A wake-up, in any context, queues work; the work asks the file anew and
 * ends the request when it is ready, else the next wake-up brings it back. Each queued work holds a reference on the request: a
 * wake-up may queue it once more while it runs, and even while the request ends.
 *
 * Who takes the request off its context's list (aio_deactivate) ends it: the work, a cancel, or the end of the context.
 */
#include <fs/aio.h>
#include <fs/poll.h>
#include <kernel/kthread.h>
#include <mm/slab.h>

#define HOOKS 4 /* queues a file may have; a terminal has two */

struct poll_hook { struct wait_entry wait; wait_queue_t *queue; };
struct aio_wait {
	struct poll_table pt; /* first: hook_file finds the rest */
	struct aio_request *r;
	struct work work;
	u32 events; /* (I) */
	u32 n; /* (I) once queued */
	bool too_many;
	struct poll_hook hook[HOOKS];
};

static void kick(struct aio_wait *w)
{
	__atomic_fetch_add(&w->r->refs, 1, __ATOMIC_RELAXED);
	if (!schedule_work(&w->work))
		__atomic_fetch_sub(&w->r->refs, 1, __ATOMIC_RELAXED); /* not the last one: the entry that called us is there */
}

static int woken(struct wait_entry *e, unsigned mode, int sync, u64 key)
{
	struct aio_wait *w = e->private;

	(void)mode, (void)sync;
	if (key && !(key & w->events))
		return 0;
	kick(w);
	return 1;
}

static void hook_file(struct poll_table *pt, struct file *f, wait_queue_t *q)
{
	struct aio_wait *w = (struct aio_wait *)pt;

	(void)f;
	if (w->n == HOOKS) {
		w->too_many = true;
		return;
	}
	struct poll_hook *h = &w->hook[w->n++];
	h->queue = q;
	h->wait = (struct wait_entry){ .func = woken, .private = w };
	INIT_LIST_HEAD(&h->wait.link);
	add_wait_queue(q, &h->wait);
}

static void unhook(struct aio_wait *w)
{
	for (u32 i = 0; i < w->n; i++)
		remove_wait_queue(w->hook[i].queue, &w->hook[i].wait);
}

static void look(struct work *work)
{
	struct aio_wait *w = container_of(work, struct aio_wait, work);
	struct aio_request *r = w->r;
	u32 ready = vfs_poll(r->file, NULL) & w->events;

	if (ready && aio_deactivate(r)) {
		unhook(w);
		aio_complete(r, ready);
	}
	aio_request_put(r);
}

void aio_poll_cancel(struct aio_request *r, bool post)
{
	unhook(r->poll);
	if (post)
		aio_complete(r, 0);
	else
		aio_drop(r);
}

int aio_poll(struct aio_request *r, u32 events)
{
	struct aio_wait *w = kzalloc(sizeof(*w), GFP_KERNEL);
	u32 ready;

	if (!w)
		return -ENOMEM;
	r->poll = w;
	w->r = r;
	w->events = events | POLLERR | POLLHUP;
	w->pt.queue = hook_file;
	w->pt.key = w->events;
	work_init(&w->work, look);
	ready = vfs_poll(r->file, &w->pt) & w->events;
	if (w->too_many || ready) { /* not active yet: it is ours alone */
		unhook(w);
		if (ready)
			aio_complete(r, ready);
		return ready ? 0 : -EINVAL;
	}
	__atomic_fetch_add(&r->refs, 1, __ATOMIC_RELAXED); /* it may end at any moment from here on */
	aio_activate(r);
	ready = vfs_poll(r->file, NULL) & w->events; /* what came before could not end it */
	if (ready && aio_deactivate(r)) {
		unhook(w);
		aio_complete(r, ready);
	}
	aio_request_put(r);
	return 0;
}
