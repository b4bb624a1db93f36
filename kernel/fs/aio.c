/*
 * Asynchronous I/O (aio(7) in its old, native form): contexts, rings, requests.
 *
 * A context is named by the address of its ring, which is memory of a file without a name mapped into the process: libraries read
 * events there without a system call, moving `head`. What they write there is not trusted: the kernel keeps its own tail and
 * number of slots, and takes head modulo those.
 *
 * Room: a request is only taken when its event will fit: requests on their way plus events not yet taken are less than the slots.
 *
 * Files here are in memory, so reading, writing and syncing are done when they are submitted, as Linux does without O_DIRECT;
 * only waiting for readiness (aio_poll.c) goes on afterwards. A request that does is on ctx->active; who takes it off ends it.
 *
 * Contexts hang on the mm that made them, are not inherited, and are given up at its end (mm->dtor), after the mappings: the ring's
 * pages are the file's, which the context holds.
 *
 * Locks: mm_contexts lock (list) and ctx->lock are spinlocks, leaves; ctx->read_mutex is held over copies to user memory.
 */
#include <fs/aio.h>
#include <fs/internal.h>
#include <fs/procfs.h>
#include <kernel/cpumask.h>
#include <kernel/time.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <uapi/mman.h>
#include <x86/uaccess.h>

#define RING_MAGIC 0xa10a10a1u
#define EVENTS_MAX (0x10000000u / sizeof(struct io_event_k))

/* What user space sees; the events follow. Neither header nor event crosses a page. */
struct aio_ring { u32 id, nr, head, tail, magic, compat_features, incompat_features, header_length; };
_Static_assert(sizeof(struct aio_ring) == sizeof(struct io_event_k) && !(PAGE_SIZE % sizeof(struct io_event_k)), "ABI, no straddling");

struct aio_context {
	s32 refs; /* (a) the mm's list, requests, calls */
	bool dead; /* (lock) */
	u64 id; /* (I) */
	struct list_head link; /* (contexts_lock) */
	spinlock_t lock;
	struct list_head active; /* (lock) */
	u32 inflight; /* (lock) requests whose event is not posted */
	u32 tail; /* (lock) */
	u32 slots; /* (I) */
	u32 asked; /* (I) what it counts in aio_nr */
	struct mutex read_mutex; /* one reader at a time */
	wait_queue_t wait; /* for events */
	struct file *file; /* (I) the ring's */
	u32 npages; /* (I) */
	struct page *pages[]; /* (I) referenced */
};
struct mm_contexts { struct list_head list; };

static DEFINE_SPINLOCK(contexts_lock); /* all lists, aio_nr */
static u64 aio_nr, aio_max_nr = 65536;

static struct aio_ring *ring_of(struct aio_context *c)
{
	return page_address(c->pages[0]);
}

static struct io_event_k *slot_of(struct aio_context *c, u32 i)
{
	const u32 per_page = PAGE_SIZE / sizeof(struct io_event_k);

	i++; /* the header is as large as one event */
	return (struct io_event_k *)page_address(c->pages[i / per_page]) + i % per_page;
}

/* ---- life of a context ---- */

void aio_context_put(struct aio_context *c)
{
	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (u32 i = 0; i < c->npages && c->pages[i]; i++)
		page_put(c->pages[i]);
	if (c->file)
		file_put(c->file);
	kvfree(c);
}

/* Off the list: nobody finds it any more, nothing new is taken; then what waits is given up. => it was on the list */
static void context_kill(struct aio_context *c)
{
	struct aio_request *r;

	spin_lock(&c->lock);
	c->dead = true;
	spin_unlock(&c->lock);
	for (;;) {
		spin_lock(&c->lock);
		r = list_first_entry_or_null(&c->active, struct aio_request, link);
		if (r)
			list_del_init(&r->link);
		spin_unlock(&c->lock);
		if (!r)
			break;
		aio_poll_cancel(r, false);
	}
	wake_up_all(&c->wait);
	spin_lock(&contexts_lock);
	aio_nr -= c->asked;
	spin_unlock(&contexts_lock);
	aio_context_put(c);
}

static void contexts_exit(struct mm *mm)
{
	struct mm_contexts *m = mm->aio;
	struct aio_context *c, *n;

	if (!m)
		return;
	list_for_each_entry_safe(c, n, &m->list, link)
		context_kill(c);
	kfree(m);
	mm->aio = NULL;
}

/* The process' list, made at first use. NULL: no memory */
static struct mm_contexts *contexts_of(struct mm *mm)
{
	struct mm_contexts *fresh, *m = __atomic_load_n((struct mm_contexts **)&mm->aio, __ATOMIC_ACQUIRE);

	if (m)
		return m;
	fresh = kmalloc(sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return NULL;
	INIT_LIST_HEAD(&fresh->list);
	spin_lock(&contexts_lock);
	if (!mm->aio) {
		mm->dtor = contexts_exit;
		__atomic_store_n(&mm->aio, (void *)fresh, __ATOMIC_RELEASE);
		fresh = NULL;
	}
	spin_unlock(&contexts_lock);
	kfree(fresh);
	return mm->aio;
}

static struct aio_context *context_alloc(u32 npages)
{
	u64 size = sizeof(struct aio_context) + npages * sizeof(struct page *);
	struct aio_context *c = kvmalloc(size, GFP_KERNEL | GFP_ZERO);

	if (!c)
		return NULL;
	c->refs = 1;
	c->npages = npages;
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->active);
	INIT_LIST_HEAD(&c->link);
	mutex_init(&c->read_mutex);
	init_wait_queue(&c->wait);
	return c;
}

/* Pages of the ring's file, and its mapping in the process. */
static int ring_make(struct aio_context *c)
{
	struct aio_ring *ring;
	int err = 0;

	c->file = shmem_file_create(shm_mount, "[aio]", c->npages * PAGE_SIZE, 0);
	if (IS_ERR(c->file)) {
		err = PTR_ERR(c->file);
		c->file = NULL;
		return err;
	}
	for (u32 i = 0; i < c->npages; i++) {
		c->pages[i] = mapping_get(&c->file->inode->mapping, i, true, false, &err);
		if (!c->pages[i])
			return err;
	}
	c->slots = c->npages * (PAGE_SIZE / sizeof(struct io_event_k)) - 1;
	s64 at = do_mmap(current->thread.mm, c->file, 0, c->npages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (at < 0)
		return (int)at;
	c->id = (u64)at;
	ring = ring_of(c);
	*ring = (struct aio_ring){ .nr = c->slots, .magic = RING_MAGIC, .compat_features = 1, .header_length = sizeof(*ring) };
	return 0;
}

/* Counts the context and makes it findable. */
static int context_publish(struct aio_context *c, struct mm_contexts *m)
{
	int err = 0;

	spin_lock(&contexts_lock);
	if (aio_nr + c->asked > aio_max_nr) {
		err = -EAGAIN;
	} else {
		aio_nr += c->asked;
		list_add(&c->link, &m->list);
	}
	spin_unlock(&contexts_lock);
	return err;
}

int aio_setup(u32 nr, u64 *id)
{
	/* as Linux counts: for every CPU some, twice as many, and one that separates head from tail */
	u64 events = max_t(u64, nr, nr_cpus * 4) * 2;
	struct mm_contexts *m;
	struct aio_context *c;
	int err;

	if (events > EVENTS_MAX)
		return -EINVAL;
	if (nr > aio_max_nr)
		return -EAGAIN;
	m = contexts_of(current->thread.mm);
	c = m ? context_alloc((u32)(((events + 2) * sizeof(struct io_event_k) + sizeof(struct aio_ring) + PAGE_SIZE - 1) / PAGE_SIZE)) : NULL;
	if (!c)
		return -ENOMEM;
	c->asked = nr;
	err = ring_make(c);
	*id = c->id;
	if (!err)
		err = context_publish(c, m);
	if (err && c->id)
		do_munmap(current->thread.mm, c->id, c->npages * PAGE_SIZE);
	if (err)
		aio_context_put(c);
	return err;
}

static struct aio_context *find(u64 id, bool remove)
{
	struct mm_contexts *m = __atomic_load_n((struct mm_contexts **)&current->thread.mm->aio, __ATOMIC_ACQUIRE);
	struct aio_context *c, *found = NULL;

	if (!m)
		return NULL;
	spin_lock(&contexts_lock);
	list_for_each_entry(c, &m->list, link)
		if (!found && c->id == id)
			found = c;
	if (found && remove)
		list_del_init(&found->link); /* the list's reference goes to the caller */
	else if (found)
		__atomic_fetch_add(&found->refs, 1, __ATOMIC_RELAXED);
	spin_unlock(&contexts_lock);
	return found;
}

struct aio_context *aio_find(u64 id)
{
	return find(id, false);
}

int aio_destroy(u64 id)
{
	struct aio_context *c = find(id, true);

	if (!c)
		return -EINVAL;
	do_munmap(current->thread.mm, c->id, c->npages * PAGE_SIZE);
	context_kill(c);
	return 0;
}

u32 aio_capacity(const struct aio_context *c)
{
	return c->slots;
}

/* ---- requests ---- */

/* Events in the ring that nobody took. => c->lock or read_mutex for a lower bound */
static u32 waiting(struct aio_context *c)
{
	u32 head = READ_ONCE(ring_of(c)->head) % c->slots;

	return (READ_ONCE(c->tail) + c->slots - head) % c->slots;
}

struct aio_request *aio_request_new(struct aio_context *c)
{
	struct aio_request *r = kzalloc(sizeof(*r), GFP_KERNEL);
	bool room;

	if (!r)
		return ERR_PTR(-ENOMEM);
	spin_lock(&c->lock);
	room = !c->dead && c->inflight + waiting(c) < c->slots - 1;
	c->inflight += room;
	spin_unlock(&c->lock);
	if (!room) {
		kfree(r);
		return ERR_PTR(-EAGAIN);
	}
	r->refs = 1;
	r->ctx = c;
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	INIT_LIST_HEAD(&r->link);
	return r;
}

void aio_request_put(struct aio_request *r)
{
	if (__atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (r->file)
		file_put(r->file);
	if (r->eventfd)
		file_put(r->eventfd);
	kfree(r->poll);
	aio_context_put(r->ctx);
	kfree(r);
}

void aio_drop(struct aio_request *r)
{
	spin_lock(&r->ctx->lock);
	r->ctx->inflight--;
	spin_unlock(&r->ctx->lock);
	aio_request_put(r);
}

void aio_complete(struct aio_request *r, s64 res)
{
	struct aio_context *c = r->ctx;

	spin_lock(&c->lock);
	*slot_of(c, c->tail) = (struct io_event_k){ .data = r->data, .obj = r->iocb, .res = res };
	WRITE_ONCE(c->tail, (c->tail + 1) % c->slots);
	__atomic_store_n(&ring_of(c)->tail, c->tail, __ATOMIC_RELEASE); /* the event before it */
	c->inflight--;
	spin_unlock(&c->lock);
	if (r->eventfd)
		eventfd_signal(r->eventfd, 1);
	wake_up_all(&c->wait);
	aio_request_put(r);
}

void aio_activate(struct aio_request *r)
{
	spin_lock(&r->ctx->lock);
	list_add_tail(&r->link, &r->ctx->active);
	spin_unlock(&r->ctx->lock);
}

bool aio_deactivate(struct aio_request *r)
{
	spin_lock(&r->ctx->lock);
	bool mine = !list_empty(&r->link);
	list_del_init(&r->link);
	spin_unlock(&r->ctx->lock);
	return mine;
}

struct aio_request *aio_find_active(struct aio_context *c, u64 iocb)
{
	struct aio_request *r, *found = NULL;

	spin_lock(&c->lock);
	list_for_each_entry(r, &c->active, link)
		if (!found && r->iocb == iocb)
			found = r;
	if (found)
		__atomic_fetch_add(&found->refs, 1, __ATOMIC_RELAXED);
	spin_unlock(&c->lock);
	return found;
}

/* ---- events ---- */

/* What is there, up to @nr. */
static long take(struct aio_context *c, long nr, struct io_event_k __user *to)
{
	long n = 0;

	mutex_lock(&c->read_mutex);
	for (u32 left = waiting(c); n < nr && left; left--, n++) {
		u32 head = READ_ONCE(ring_of(c)->head) % c->slots;
		struct io_event_k e = *slot_of(c, head);

		if (copy_to_user(&to[n], &e, sizeof(e))) {
			n = n ?: -EFAULT;
			break;
		}
		__atomic_store_n(&ring_of(c)->head, (head + 1) % c->slots, __ATOMIC_RELEASE);
	}
	mutex_unlock(&c->read_mutex);
	return n;
}

long aio_read_events(struct aio_context *c, long min, long nr, struct io_event_k __user *to, u64 deadline)
{
	long n = 0, r;
	int err = 0;

	for (;;) {
		r = take(c, nr - n, to + n);
		if (r < 0)
			return n ?: r;
		n += r;
		if (n >= min || err || !deadline)
			break;
		err = wait_event_interruptible_until(c->wait, waiting(c) || READ_ONCE(c->dead), deadline);
		if (!err && READ_ONCE(c->dead))
			err = -EINVAL;
	}
	return n || err == -ETIME ? n : err == -ERESTARTSYS ? -EINTR : err;
}

static const struct proc_file aio_files[] = {
	SYSCTL_U64("sys/fs/aio-max-nr", aio_max_nr, 0, U32_MAX),
	{ .path = "sys/fs/aio-nr", .mode = 0444, .show = sysctl_show, .arg = &(struct sysctl){ &aio_nr, 0, 0 } },
};

void aio_init(void)
{
	proc_add_table(aio_files, ARRAY_SIZE(aio_files));
}
