/*
 * Pipes: a ring of page buffers between writers and readers.
 *
 * Slots tail..head-1 are full. A slot owns one reference on its page; a writer may append to the last slot while
 * PIPE_BUF_CAN_MERGE is set (pages that came in by splice may not be changed). Of a page that vmsplice put in it owns a pin. A write of at most one page goes
 * into one slot, which is what makes it atomic (pipe(7), PIPE_BUF).
 * Locking: pipe->lock protects everything; it is a sleeping lock because user memory is copied under it.
 */
#ifndef FS_PIPE_H
#define FS_PIPE_H

#include <fs/fs.h>

#define PIPE_BUF_CAN_MERGE 1u
#define PIPE_BUF_PACKET 2u
#define PIPE_BUF_PINNED 4u /* a page of user memory (vmsplice), pinned for long; may be a part of a huge page */
#define PIPE_DEF_SLOTS 16u
#define PIPE_MAX_SIZE (1u << 20)
extern u64 pipe_max_size; /* sysctl fs.pipe-max-size: bytes, for those without CAP_SYS_RESOURCE */
#define PIPE_ATOMIC 4096u

struct pipe_buf {
	struct page *page;
	u32 off, len;
	u32 flags;
};
struct pipe {
	struct mutex lock;
	wait_queue_t rd_wait, wr_wait;
	u32 head, tail; /* (lock) free-running */
	u32 slots; /* (lock) power of two */
	u32 readers, writers; /* (lock) open ends */
	u32 r_opens, w_opens; /* (lock) ever opened: FIFO rendezvous */
	u32 files; /* (inode->lock) open files of either kind: the pipe is freed with the last */
	bool polled; /* (lock) somebody polls: wake on every change, for edge triggers */
	struct page *spare; /* (lock) an empty page kept for the next write */
	struct pipe_buf *bufs; /* (lock) */
	struct pipe_buf inline_bufs[PIPE_DEF_SLOTS];
};

static inline u32 pipe_used(const struct pipe *p) { return p->head - p->tail; }
static inline bool pipe_empty(const struct pipe *p) { return READ_ONCE(p->head) == READ_ONCE(p->tail); }
static inline bool pipe_full(const struct pipe *p) { return READ_ONCE(p->head) - READ_ONCE(p->tail) >= READ_ONCE(p->slots); }
static inline struct pipe_buf *pipe_slot(struct pipe *p, u32 i) { return &p->bufs[i & (p->slots - 1)]; }

extern const struct file_ops pipe_fops;
/* The pipe behind an open file (either end or a FIFO), or NULL. */
struct pipe *file_pipe(struct file *f);
/* FIFO inodes: file_ops->open. Blocks as fifo(7) says. */
int fifo_open(struct inode *i, struct file *f);
/* Two files; flags O_CLOEXEC|O_NONBLOCK|O_DIRECT. 0 or -errno. */
int pipe_create(struct file *out[2], u32 flags);
/* fcntl F_SETPIPE_SZ / F_GETPIPE_SZ: bytes or -errno. */
long pipe_set_size(struct pipe *p, u64 bytes);
long pipe_get_size(struct pipe *p);
/* For splice: drop the oldest slot / add a page (takes over the reference). => lock held */
void pipe_pop(struct pipe *p);
void pipe_push(struct pipe *p, struct page *page, u32 off, u32 len, u32 flags);
/* Wait until there is data / room, dropping and retaking the lock. 0, -EAGAIN (nonblock), -ERESTARTSYS; readable also at
 * end of file (no writers): then 0 with an empty pipe; writable with no readers: -EPIPE. => lock held */
int pipe_wait_readable(struct pipe *p, bool nonblock);
/* vmsplice: the pages of user memory themselves go in, pinned; waits for room once. Bytes or -errno. => not locked */
s64 pipe_push_user(struct file *f, struct iov_iter *from, bool nonblock);
void pipe_page_get(const struct pipe_buf *b); /* one more of what the slot owns of its page */
int pipe_wait_writable(struct pipe *p, bool nonblock);

#endif
