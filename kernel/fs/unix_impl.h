/* What unix.c and unix_data.c share. */
#ifndef KERNEL_FS_UNIX_IMPL_H
#define KERNEL_FS_UNIX_IMPL_H

#include <fs/unix.h>

#define UNIX_BUF 212992u

void sock_put(struct unix_sock *s);
struct ucred_k unix_my_cred(void);
void unix_close(struct unix_sock *s); /* => the caller keeps its reference */
void unix_drop_queue(struct unix_sock *s);
struct unix_sock *unix_peer_get(struct unix_sock *s);
struct unix_addr *unix_addr_get(struct unix_sock *s);
struct unix_sock *unix_find_dgram(const struct sockaddr_un_k *a, u32 len); /* referenced; ERR_PTR */


/* In unix_data.c. */
static inline u32 unix_msg_cost(const struct unix_msg *m) { return m->len + 512u; /* what an empty message counts against the limit */ }
void unix_msg_free(struct unix_msg *m); /* with what it carries */

/* In unix_gc.c. */
/* The files of a message are in flight from now on, => not queued yet. */
void unix_fly(struct unix_msg *m);
/* They are no longer: handed to @to, which owns them then. */
void unix_land(struct unix_msg *m, struct scm *to);
/* References to them for @to, whose array has room. */
void unix_peek_files(struct unix_msg *m, struct scm *to);
/* Frees a message nobody will read; its sockets are closed by a worker. => m is not queued */
void unix_msg_discard(struct unix_msg *m);
/* Frees sockets that only messages in their own queues hold. Called when a socket was closed. => may sleep */
void unix_collect(void);

#endif
