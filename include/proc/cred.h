/* Credentials: immutable while shared (copy, change, commit), freed by RCU. */
#ifndef PROC_CRED_H
#define PROC_CRED_H

#include <kernel/rcu.h>
#include <proc/spread.h>
#include <lib/list.h>
#include <lib/types.h>

#define NGROUPS_MAX 65536
struct group_info { s32 refs; u32 n; gid_t gid[]; };
/* What all processes of one real user share, for limits. Found by number; freed with the last reference. */
struct user {
	s32 refs; /* (a) */
	uid_t uid; /* (I) */
	struct spread processes; /* its threads */
	s32 sigpending, inflight; /* (a) queued signals; files in messages of local sockets */
	u64 mq_bytes; /* (a) */
	struct hlist_node hash;
};
struct cred {
	s32 refs; /* (a) */
	uid_t uid, suid, euid, fsuid;
	gid_t gid, sgid, egid, fsgid;
	u64 cap_effective, cap_permitted, cap_inheritable, cap_bset, cap_ambient;
	u32 securebits;
	struct group_info *groups; /* NULL: none */
	struct user *user; /* of uid */
	struct rcu_head rcu;
};
#define CAP_CHOWN 0
#define CAP_DAC_OVERRIDE 1
#define CAP_DAC_READ_SEARCH 2
#define CAP_FOWNER 3
#define CAP_FSETID 4
#define CAP_KILL 5
#define CAP_SETGID 6
#define CAP_SETUID 7
#define CAP_SETPCAP 8
#define CAP_IPC_LOCK 14
#define CAP_IPC_OWNER 15
#define CAP_SYS_CHROOT 18
#define CAP_SYS_PTRACE 19
#define CAP_SYS_ADMIN 21
#define CAP_SYS_BOOT 22
#define CAP_SYS_NICE 23
#define CAP_SYS_RESOURCE 24
#define CAP_SYS_TIME 25
#define CAP_SYS_TTY_CONFIG 26
#define CAP_MKNOD 27
#define CAP_SYSLOG 34
#define CAP_LINUX_IMMUTABLE 9
#define CAP_NET_BIND_SERVICE 10
#define CAP_NET_BROADCAST 11
#define CAP_NET_ADMIN 12
#define CAP_NET_RAW 13
#define CAP_SYS_MODULE 16
#define CAP_SYS_RAWIO 17
#define CAP_SYS_PACCT 20
#define CAP_SETFCAP 31
#define CAP_WAKE_ALARM 35
#define CAP_BLOCK_SUSPEND 36
#define CAP_CHECKPOINT_RESTORE 40
#define CAP_LAST CAP_CHECKPOINT_RESTORE
#define CAP_ALL ((1ull << (CAP_LAST + 1)) - 1)

bool capable(int cap); /* of the running task */
bool in_group(gid_t g); /* fsgid or supplementary, of the running task */
const struct cred *current_cred(void); /* no reference; valid until the task changes it */
struct cred *cred_prepare(void); /* a private copy of current's, or NULL */
void cred_commit(struct cred *c);
void cred_abort(struct cred *c);
void cred_put(const struct cred *c);
const struct cred *cred_get(const struct cred *c);
struct task;
const struct cred *task_cred_get(struct task *t); /* of any referenced task */
extern struct cred init_cred; /* uid 0, all capabilities; never freed */

#endif
