/*
 * Local sockets (unix(7)): stream, datagram, seqpacket.
 *
 * A message sits in the receiver's queue until it is read; the sender's limit is what its peer has not read yet.
 * Life cycle: free -> (bind) -> (listen | connect) -> closed (file released: queue emptied, peer told) -> freed with the last
 * reference. A connected socket holds a reference on its peer, so ->peer stays valid as long as the socket.
 * Files in messages, and cycles of them: kernel/fs/unix_gc.c.
 * Locks: connect_mutex (names, state changes, peers) -> sock->lock (queue, counters, flags; a leaf, never two at once).
 */
#ifndef FS_UNIX_H
#define FS_UNIX_H

#include <fs/fs.h>
#include <fs/poll.h>
#include <uapi/socket.h>

struct unix_addr { s32 refs; u32 len; struct sockaddr_un_k sun; }; /* len counts the family; refs (a) */

struct unix_msg {
	struct list_head link; /* (receiver->lock) */
	u32 len, off; /* off: (receiver->read_mutex) */
	u32 nfds, nsocks; /* nsocks: how many of the files are local sockets */
	struct file **fds; /* owned; (flight_mutex when nsocks) */
	struct user *user; /* whose files in flight these count as; NULL without files */
	struct ucred_k cred;
	struct unix_addr *from; /* referenced; NULL unnamed */
	u8 data[];
};

enum unix_state { US_FREE, US_LISTEN, US_CONNECTED };
struct unix_sock {
	s32 refs; /* (a) */
	u16 type;
	u8 state; /* (connect_mutex) */
	u8 shut; /* (lock) RCV_SHUT | SND_SHUT */
	bool closed, passcred; /* (lock) */
	s32 error; /* (lock) SO_ERROR */
	spinlock_t lock;
	wait_queue_t wait; /* data, connections, hang-up: the owner sleeps here */
	wait_queue_t space; /* senders to this socket sleep here */
	struct list_head queue; /* (lock) messages, oldest first */
	u32 queued, limit; /* (lock) bytes; limit also (connect_mutex), read racily: a connected stream's is its peer's sndbuf */
	struct unix_sock *peer; /* (connect_mutex; stable while connected for streams) referenced */
	struct mutex read_mutex; /* one reader of a stream at a time */
	struct list_head backlog; /* (lock) sockets waiting for accept */
	struct list_head backlog_link;
	u32 nbacklog, max_backlog;
	struct unix_addr *addr; /* (connect_mutex) */
	struct inode *inode; /* bound file, referenced */
	struct hlist_node name_hash; /* (connect_mutex) */
	struct ucred_k peercred;
	struct file *file; /* (flight_mutex) the open file, while in flight */
	struct list_head gc_link; /* (flight_mutex) in flight: all such */
	u32 inflight; /* (flight_mutex) messages that hold the file */
	s32 gc_refs;
	bool gc_candidate;
	u64 rcvtimeo, sndtimeo; /* ns, 0 for ever */
	u32 sndbuf, rcvbuf;
};
#define RCV_SHUT 1
#define SND_SHUT 2

extern const struct file_ops unix_fops;
struct scm { struct file **fds; u32 nfds; bool has_cred; struct ucred_k cred; };
struct recv_info { struct unix_addr *from; struct scm scm; u32 flags; u64 full_len; }; /* owned by the caller afterwards */

struct file *unix_socket_file(int type, u32 oflags); /* ERR_PTR */
struct unix_sock *file_sock(struct file *f); /* NULL: not a socket */
int unix_pair(struct file *out[2], int type, u32 oflags);
int unix_bind(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len);
int unix_listen(struct unix_sock *s, int backlog);
int unix_connect(struct unix_sock *s, const struct sockaddr_un_k *a, u32 len, bool nonblock);
struct file *unix_accept(struct unix_sock *s, u32 oflags, bool nonblock); /* ERR_PTR */
void unix_set_sndbuf(struct unix_sock *s, u32 bytes); /* SO_SNDBUF: what a stream may have on its way. => may sleep */
int unix_shutdown(struct unix_sock *s, int how);
/* @scm's files are taken over on success. Bytes or -errno; raises SIGPIPE unless MSG_NOSIGNAL. */
s64 unix_send(struct unix_sock *s, struct iov_iter *from, u32 flags, const struct sockaddr_un_k *to, u32 tolen, struct scm *scm);
s64 unix_recv(struct unix_sock *s, struct iov_iter *to, u32 flags, struct recv_info *info);
bool unix_may_fly(void); /* may another file be sent? Each user may have RLIMIT_NOFILE of them in flight */
u64 unix_check(void); /* sockets in flight */
void unix_addr_put(struct unix_addr *a);

#endif
