/*
 * Asynchronous I/O contexts (io_setup(2)): kernel/fs/aio.c keeps contexts, their rings and requests, aio_poll.c the one kind of
 * request that is not done when it is submitted, kernel/sys/aio.c decodes.
 */
#ifndef FS_AIO_H
#define FS_AIO_H

#include <fs/fs.h>

struct aio_context;
struct io_event_k { u64 data, obj; s64 res, res2; };

struct aio_request {
	s32 refs; /* (a) being active, each queued work */
	struct aio_context *ctx; /* (I) referenced */
	struct list_head link; /* (ctx->lock) active: it may be cancelled */
	struct file *file; /* (I) referenced, NULL: none yet */
	struct file *eventfd; /* (I) told of the end; referenced or NULL */
	u64 data, iocb; /* (I) what the program named it */
	void *poll; /* aio_poll.c's */
};

/* A context of at least @nr events in the running process; *id is its ring's address. -EINVAL, -EAGAIN, -ENOMEM */
int aio_setup(u32 nr, u64 *id);
int aio_destroy(u64 id); /* 0, -EINVAL; what still waits is given up */
struct aio_context *aio_find(u64 id); /* referenced; NULL */
void aio_context_put(struct aio_context *c);
u32 aio_capacity(const struct aio_context *c); /* events the ring can hold */
/* With room for its event reserved. ERR_PTR: -EAGAIN no room, -ENOMEM. Ended by aio_complete or aio_drop. */
struct aio_request *aio_request_new(struct aio_context *c);
void aio_complete(struct aio_request *r, s64 res); /* posts the event and drops the active reference. => may sleep */
void aio_drop(struct aio_request *r); /* never was one: gives the room back */
void aio_request_put(struct aio_request *r);
/* From one to @nr events into @to, waiting for @min until @deadline (0: not at all). How many, -EFAULT, -EINTR when none */
long aio_read_events(struct aio_context *c, long min, long nr, struct io_event_k __user *to, u64 deadline);

/* Cancellation: being on the list of active requests decides who ends one. */
void aio_activate(struct aio_request *r);
bool aio_deactivate(struct aio_request *r); /* false: another does, or did */
struct aio_request *aio_find_active(struct aio_context *c, u64 iocb); /* one reference more; NULL */

/* Waits for readiness. 0: it is on its way, whatever comes of it; -ENOMEM, -EINVAL: it has too many queues. */
int aio_poll(struct aio_request *r, u32 events);
void aio_poll_cancel(struct aio_request *r, bool post); /* => deactivated by the caller; may sleep */

bool eventfd_signal(struct file *f, u64 n); /* false: not an eventfd */
bool is_eventfd(const struct file *f);
void aio_init(void); /* its sysctls */

#endif
