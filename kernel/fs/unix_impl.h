/* What unix.c and unix_data.c share. */
#ifndef KERNEL_FS_UNIX_IMPL_H
#define KERNEL_FS_UNIX_IMPL_H

#include <fs/unix.h>

#define UNIX_BUF 212992u

void sock_get(struct unix_sock *s);
void sock_put(struct unix_sock *s);
struct ucred_k unix_my_cred(void);
void unix_close(struct unix_sock *s); /* => the caller keeps its reference */
void unix_drop_queue(struct unix_sock *s);
void unix_wake_all(struct unix_sock *s);
struct unix_sock *unix_peer_get(struct unix_sock *s);
struct unix_addr *unix_addr_get(struct unix_sock *s);
struct unix_sock *unix_find_dgram(const struct sockaddr_un_k *a, u32 len); /* referenced; ERR_PTR */

#endif
