/* POSIX message queues: kernel/fs/mqueue.c; the calls are decoded in kernel/sys/mqueue.c. */
#ifndef FS_MQUEUE_H
#define FS_MQUEUE_H

#include <fs/fs.h>

#define MQ_PRIO_MAX 32768
#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD 2

struct mq_attr { s64 flags, maxmsg, msgsize, curmsgs, reserved[4]; };
struct mq_notify { s32 how, sig; u64 value; };
struct mq_limits { u64 queues_max, msg_max, msgsize_max, msg_default, msgsize_default; };
extern struct mq_limits mq_limits; /* /proc/sys/fs/mqueue */

void mqueue_init(void);
/* A new descriptor (close-on-exec) or -errno. @attr NULL: the default sizes. */
int mq_open(const char *name, u32 oflags, u32 mode, const struct mq_attr *attr);
int mq_unlink(const char *name);
bool file_is_mq(const struct file *f);
/* @deadline of the monotonic clock, U64_MAX: none. 0 or bytes; -EAGAIN, -ETIMEDOUT, -EMSGSIZE, -ERESTARTSYS... => may sleep */
int mq_send(struct file *f, const void __user *buf, u64 len, u32 prio, u64 deadline);
s64 mq_receive(struct file *f, void __user *buf, u64 len, u32 __user *prio, u64 deadline);
int mq_set_notify(struct file *f, const struct mq_notify *n); /* NULL: no more. 0, -EBUSY */
void mq_get_attr(struct file *f, struct mq_attr *a);

#endif
