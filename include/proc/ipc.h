/*
 * What the three kinds of System V IPC objects share: numbers, keys, owners, permissions (svipc(7)).
 *
 * An object is found in its kind's table under the table's mutex, which is also held while one is made or removed; the
 * finder takes a reference and the object's own mutex, and looks at `gone`. Lock order: table mutex -> object mutex.
 */
#ifndef PROC_IPC_H
#define PROC_IPC_H

#include <kernel/mutex.h>
#include <lib/seq_buf.h>
#include <proc/impl.h>

#define IPC_CREAT 01000
#define IPC_EXCL 02000
#define IPC_NOWAIT 04000
#define IPC_RMID 0
#define IPC_SET 1
#define IPC_STAT 2
#define IPC_INFO 3
#define IPC_PRIVATE 0
#define IPC_MAX 32000
#define IPC_SEQ_SHIFT 15
#define IPC_SLOTS (1 << IPC_SEQ_SHIFT)
#define IPC_SEQ_MASK 0xffff

/* /proc/sys/kernel/{shmmax,...}: read without a lock, each checked when something is made. */
struct ipc_limits {
	u64 shmmax, shmall, shmmni; /* bytes of a segment, pages of all, segments */
	u64 msgmax, msgmnb, msgmni; /* bytes of a message, of a queue; queues */
	u64 semmsl, semmns, semopm, semmni; /* per set, of all, per call, sets */
};
extern struct ipc_limits ipc_limits;
extern u64 hugetlb_shm_group; /* sysctl: who besides CAP_IPC_LOCK may have SHM_HUGETLB */

struct ipc_object {
	s32 refs; /* (a) one of the table's */
	s32 id, key; /* (I) */
	uid_t uid, cuid; /* (lock) */
	gid_t gid, cgid;
	u32 mode; /* (lock) */
	bool gone; /* (lock) removed */
	struct mutex lock;
};
struct ipc_table {
	struct mutex lock;
	struct ipc_object **slot; /* (lock) grows */
	s32 nslots, used, highest;
	u16 seq;
	s32 next_id; /* the next object's number, -1: any (sysctl kernel.*_next_id) */
	void (*free)(struct ipc_object *o);
};
#define IPC_TABLE_INIT(n, f) { .lock = MUTEX_INIT((n).lock), .next_id = -1, .free = f }

struct ipc_perm_user { s32 key; u32 uid, gid, cuid, cgid; u32 mode; u16 seq, pad2; u32 pad3; u64 unused[2]; };
_Static_assert(sizeof(struct ipc_perm_user) == 48, "ABI");

/* semget and the like: finds by key or makes one by @make (returns it with refs 0, or ERR_PTR). The id or -errno. */
long ipc_get(struct ipc_table *t, s32 key, int flags, struct ipc_object *(*make)(void *arg), void *arg,
	     int (*check)(struct ipc_object *o, void *arg));
/* Referenced and locked; ERR_PTR: -EINVAL no such, -EIDRM, -EACCES. @mask as in MAY_*: 4 read, 2 write, 0 no check */
struct ipc_object *ipc_lock_id(struct ipc_table *t, s32 id, u32 mask);
/* The same for *_STAT of /proc-like tools, by slot. */
struct ipc_object *ipc_lock_slot(struct ipc_table *t, s32 slot, u32 mask, s32 *id);
void ipc_unlock(struct ipc_table *t, struct ipc_object *o); /* and drops the reference */
void ipc_put(struct ipc_table *t, struct ipc_object *o);
int ipc_may_change(struct ipc_object *o); /* IPC_SET, IPC_RMID: owner, creator or CAP_SYS_ADMIN */
void ipc_remove(struct ipc_table *t, struct ipc_object *o); /* => locked; marks it gone, the number is free */
/* /proc/sysvipc: calls @show for each object, locked; the table is locked meanwhile. */
void ipc_show(struct ipc_table *t, struct seq_buf *s, void (*show)(struct seq_buf *s, struct ipc_object *o));
/* /proc/sys/kernel/{shm,msg,sem}_next_id: proc_file->show and ->write with the table as argument. */
void ipc_next_id_show(struct seq_buf *s, void *table);
int ipc_next_id_write(const char *text, u64 n, void *table);
void ipc_msg_proc_init(void), ipc_sem_proc_init(void), ipc_shm_proc_init(void); /* their files there */
void ipc_perm_to_user(const struct ipc_object *o, struct ipc_perm_user *p);
int ipc_set_perm(struct ipc_object *o, const struct ipc_perm_user *p); /* 0, -EINVAL: no such user or group. => the object's lock */

#endif
