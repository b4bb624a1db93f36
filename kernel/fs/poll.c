/*
 * poll and select: one pass over the files that queues the caller on everything that can change their readiness, then
 * sleep and look again until something is ready, the time is over or a signal comes.
 *
 * A wake-up sets ->triggered before it wakes, and the sleeper clears it before it looks: an event between the look and
 * the sleep is seen by the test of ->triggered after the state was set (full barrier in set_current_state), so none is lost.
 * Entries hold a reference on their file, because another thread may close the descriptor meanwhile.
 */
#include <fs/fdtable.h>
#include <fs/poll.h>
#include <fs/pollsys.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/task.h>
#include <x86/uaccess.h>

#define POLL_INLINE 8
#define POLL_CHUNK 60
#define POLL_ALWAYS (POLLERR | POLLHUP)

struct poll_entry {
	struct wait_entry wait;
	wait_queue_t *queue;
	struct file *file;
	u32 key;
};
struct poll_chunk {
	struct poll_chunk *next;
	u32 n;
	struct poll_entry e[POLL_CHUNK];
};
struct poll_sleep {
	struct poll_table pt; /* first: the queue function finds the rest */
	struct thread *thread;
	u32 triggered; /* (a) */
	s32 error;
	u32 n;
	struct poll_chunk *more;
	struct poll_entry e[POLL_INLINE];
};

static int poll_woken(struct wait_entry *w, unsigned mode, int sync, u64 key)
{
	struct poll_entry *e = container_of(w, struct poll_entry, wait);
	struct poll_sleep *s = w->private;

	if (key && !(key & e->key))
		return 0;
	WRITE_ONCE(s->triggered, 1);
	smp_mb(); /* pairs with set_current_state in poll_sleep_until */
	return wake_thread(s->thread, mode, sync);
}

static struct poll_entry *poll_entry_new(struct poll_sleep *s)
{
	if (s->n < POLL_INLINE)
		return &s->e[s->n++];
	if (!s->more || s->more->n == POLL_CHUNK) {
		struct poll_chunk *c = kmalloc(sizeof(*c), GFP_KERNEL);

		if (!c) {
			s->error = -ENOMEM;
			return NULL;
		}
		c->n = 0;
		c->next = s->more;
		s->more = c;
	}
	return &s->more->e[s->more->n++];
}

static void poll_enqueue(struct poll_table *pt, struct file *f, wait_queue_t *q)
{
	struct poll_sleep *s = container_of(pt, struct poll_sleep, pt);
	struct poll_entry *e = poll_entry_new(s);

	if (!e)
		return;
	e->file = file_get(f);
	e->queue = q;
	e->key = pt->key;
	e->wait = (struct wait_entry){ .func = poll_woken, .thread = s->thread, .private = s };
	INIT_LIST_HEAD(&e->wait.link);
	add_wait_queue(q, &e->wait);
}

static void poll_entry_end(struct poll_entry *e)
{
	remove_wait_queue(e->queue, &e->wait);
	file_put(e->file);
}

static void poll_begin(struct poll_sleep *s)
{
	s->pt.queue = poll_enqueue;
	s->pt.key = 0;
	s->thread = current_thread();
	s->triggered = 0;
	s->error = 0;
	s->n = 0;
	s->more = NULL;
}

static void poll_end(struct poll_sleep *s)
{
	for (u32 i = 0; i < s->n; i++)
		poll_entry_end(&s->e[i]);
	while (s->more) {
		struct poll_chunk *c = s->more;

		for (u32 i = 0; i < c->n; i++)
			poll_entry_end(&c->e[i]);
		s->more = c->next;
		kfree(c);
	}
}

/* True when the time was over. */
static bool poll_sleep_until(struct poll_sleep *s, u64 deadline)
{
	bool timeout = false;

	set_current_state(TASK_INTERRUPTIBLE);
	if (!READ_ONCE(s->triggered))
		timeout = schedule_until(deadline);
	set_current_state(TASK_RUNNING);
	WRITE_ONCE(s->triggered, 0);
	smp_mb(); /* cleared before the files are looked at again */
	return timeout;
}

static u32 poll_one(struct poll_table *pt, s32 fd, u32 events, bool *bad)
{
	struct fd f = fdget(fd);

	if (!fd_file(f)) {
		*bad = true;
		return POLLNVAL;
	}
	u32 want = events | POLL_ALWAYS;
	pt->key = want;
	u32 got = vfs_poll(fd_file(f), pt) & want;
	fdput(f);
	return got;
}

int do_poll(struct pollfd_k *fds, u32 n, u64 deadline)
{
	struct poll_sleep s;
	int count = 0;
	bool timeout = deadline == 0, bad;

	poll_begin(&s);
	if (timeout)
		s.pt.queue = NULL;
	for (;;) {
		for (u32 i = 0; i < n; i++) {
			u32 ev = 0;

			if (fds[i].fd >= 0)
				ev = poll_one(&s.pt, fds[i].fd, fds[i].events, &bad);
			fds[i].revents = ev;
			if (ev) {
				count++;
				s.pt.queue = NULL;
			}
		}
		s.pt.queue = NULL;
		if (count || timeout)
			break;
		if (s.error || signal_pending_current()) {
			count = s.error ?: -ERESTARTNOHAND;
			break;
		}
		timeout = poll_sleep_until(&s, deadline);
	}
	poll_end(&s);
	return count;
}

#define SEL_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SEL_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SEL_EX (POLLPRI)

/* One word of 64 descriptors. Number of ready bits or -EBADF. */
static int select_word(struct poll_sleep *s, u32 base, const u64 in[3], u64 out[3])
{
	u64 all = in[0] | in[1] | in[2];
	int count = 0;

	out[0] = out[1] = out[2] = 0;
	while (all) {
		u32 b = __builtin_ctzll(all);
		u64 bit = 1ull << b;
		bool bad = false;
		u32 want = ((in[0] & bit) ? SEL_IN : 0) | ((in[1] & bit) ? SEL_OUT : 0) | ((in[2] & bit) ? SEL_EX : 0);
		u32 ev = poll_one(&s->pt, base + b, want, &bad);

		all &= ~bit;
		if (bad)
			return -EBADF;
		if ((in[0] & bit) && (ev & SEL_IN))
			out[0] |= bit, count++;
		if ((in[1] & bit) && (ev & SEL_OUT))
			out[1] |= bit, count++;
		if ((in[2] & bit) && (ev & SEL_EX))
			out[2] |= bit, count++;
		if (count)
			s->pt.queue = NULL;
	}
	return count;
}

int do_select(u32 nfds, u64 *in[3], u64 *out[3], u64 deadline)
{
	struct poll_sleep s;
	int count = 0;
	bool timeout = deadline == 0;

	poll_begin(&s);
	if (timeout)
		s.pt.queue = NULL;
	for (;;) {
		for (u32 w = 0; w * 64 < nfds; w++) {
			u64 mask = nfds - w * 64 >= 64 ? ~0ull : (1ull << (nfds - w * 64)) - 1;
			u64 i[3], o[3];

			for (int k = 0; k < 3; k++)
				i[k] = in[k][w] & mask;
			int r = select_word(&s, w * 64, i, o);
			if (r < 0) {
				count = r;
				goto done;
			}
			for (int k = 0; k < 3; k++)
				out[k][w] = o[k];
			count += r;
		}
		s.pt.queue = NULL;
		if (count || timeout)
			break;
		if (s.error || signal_pending_current()) {
			count = s.error ?: -ERESTARTNOHAND;
			break;
		}
		timeout = poll_sleep_until(&s, deadline);
	}
done:
	poll_end(&s);
	return count;
}
