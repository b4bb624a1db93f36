/*
 * Readiness. file_ops->poll returns the ready events and, when pt is given, calls poll_wait on each queue that will be
 * woken with event bits as key (wake_up_poll) when that changes.
 */
#ifndef FS_POLL_H
#define FS_POLL_H

#include <fs/fs.h>

struct poll_table { void (*queue)(struct poll_table *pt, struct file *f, wait_queue_t *q); u32 key; };
static inline void poll_wait(struct file *f, wait_queue_t *q, struct poll_table *pt)
{
	if (pt && pt->queue)
		pt->queue(pt, f, q);
}
static inline u32 vfs_poll(struct file *f, struct poll_table *pt)
{
	return f->ops->poll ? f->ops->poll(f, pt) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

/* file_ops->fasync of files whose poll registers all that changes: a signal goes out with each wake-up. */
int poll_fasync(int fd, struct file *f, int on);

/* Called when the last reference to a watched file goes away, before its release. => may sleep */
void epoll_release_file(struct file *f);
/*
 * The file that @epfile watches under the number @fd; of several (a number is used again while the first file is open
 * elsewhere) the one after @skip others. => may sleep. To be compared, not used: no reference. ERR_PTR: -EINVAL when @epfile is
 * no epoll, -ENOENT.
 */
const struct file *epoll_target(struct file *epfile, s32 fd, u32 skip);

#endif
