/*
 * System V message queues (msgget(2), msgop(2), msgctl(2)).
 *
 * All of a queue is under its object's mutex. A sleeper waits on the queue's wait queue without the
 * mutex, holding a reference; whoever adds, takes or removes wakes all, and each looks for itself.
 */
#include <fs/procfs.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/ipc.h>
#include <x86/uaccess.h>

#define MSG_NOERROR 010000
#define MSG_EXCEPT 020000
#define MSG_COPY 040000
#define MSG_STAT 11
#define MSG_INFO 12
#define MSG_STAT_ANY 13

struct msg { struct list_head link; s64 type; u64 len; u8 text[]; };
struct msg_queue {
	struct ipc_object ipc;
	struct list_head msgs;
	u64 bytes, count, max_bytes;
	s64 stime, rtime, ctime;
	pid_t lspid, lrpid;
	wait_queue_t wait;
};

static void msg_free(struct ipc_object *o)
{
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);
	struct msg *m, *n;

	list_for_each_entry_safe(m, n, &q->msgs, link)
		kfree(m);
	kfree(q);
}
static struct ipc_table msgs = IPC_TABLE_INIT(msgs, msg_free);
LOCK_DECLARE(msgs);

static s64 seconds(void)
{
	return ktime_real_ns() / NSEC_PER_SEC;
}

static struct ipc_object *make_queue(void *arg)
{
	struct msg_queue *q;

	if ((u64)msgs.used >= ipc_limits.msgmni)
		return ERR_PTR(-ENOSPC);
	q = kzalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&q->msgs);
	init_wait_queue(&q->wait);
	q->max_bytes = ipc_limits.msgmnb;
	q->ctime = seconds();
	return &q->ipc;
}

long sys_msgget(s32 key, int flags)
{
	return ipc_get(&msgs, key, flags, make_queue, NULL, NULL);
}

/* Sleeps once with the lock dropped; 0 with the lock taken again, or -EIDRM, -EINTR with it dropped and no reference. */
static int msg_sleep(struct msg_queue *q)
{
	DEFINE_WAIT(w);

	prepare_to_wait(&q->wait, &w, TASK_INTERRUPTIBLE);
	mutex_unlock(&q->ipc.lock);
	if (!signal_pending_current())
		schedule();
	finish_wait(&q->wait, &w);
	mutex_lock(&q->ipc.lock);
	int err = q->ipc.gone ? -EIDRM : signal_pending_current() ? -ERESTARTNOHAND : 0;
	if (err)
		ipc_unlock(&msgs, &q->ipc);
	return err;
}

long sys_msgsnd(s32 id, const void __user *ubuf, u64 len, int flags)
{
	s64 type;

	if (get_user(type, (s64 __user *)ubuf))
		return -EFAULT;
	if (len > ipc_limits.msgmax || id < 0 || type < 1)
		return -EINVAL;
	struct msg *m = kmalloc(sizeof(*m) + len, GFP_KERNEL);
	if (!m)
		return -ENOMEM;
	m->type = type;
	m->len = len;
	if (copy_from_user(m->text, (char __user *)ubuf + 8, len)) {
		kfree(m);
		return -EFAULT;
	}
	struct ipc_object *o = ipc_lock_id(&msgs, id, 2);
	if (IS_ERR(o)) {
		kfree(m);
		return PTR_ERR(o);
	}
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);
	while (q->bytes + len > q->max_bytes || q->count + 1 > q->max_bytes) {
		int err = -EAGAIN;
		if (flags & IPC_NOWAIT)
			ipc_unlock(&msgs, o);
		else
			err = msg_sleep(q);
		if (err) {
			kfree(m);
			return err;
		}
	}
	list_add_tail(&m->link, &q->msgs);
	q->bytes += len;
	q->count++;
	q->lspid = current->tgid;
	q->stime = seconds();
	wake_up_all(&q->wait);
	ipc_unlock(&msgs, o);
	return 0;
}

/* msgop(2): the first of a type, the first but of a type, the lowest up to -type, or (MSG_COPY) the n-th. */
static struct msg *choose(struct msg_queue *q, s64 type, int flags)
{
	struct msg *m, *best = NULL;
	s64 n = 0;

	list_for_each_entry(m, &q->msgs, link) {
		if (flags & MSG_COPY) {
			if (n++ == type)
				return m;
		} else if (!type || (type > 0 && (m->type == type) == !(flags & MSG_EXCEPT))) {
			return m;
		} else if (type < 0 && m->type <= -type && (!best || m->type < best->type)) {
			best = m;
		}
	}
	return best;
}

static long receive(struct msg_queue *q, struct msg *m, void __user *ubuf, u64 len, int flags)
{
	u64 n = min(len, m->len);

	if (m->len > len && !(flags & MSG_NOERROR))
		return -E2BIG;
	if (put_user(m->type, (s64 __user *)ubuf) || copy_to_user((char __user *)ubuf + 8, m->text, n))
		return -EFAULT;
	if (!(flags & MSG_COPY)) {
		list_del(&m->link);
		q->bytes -= m->len;
		q->count--;
		q->lrpid = current->tgid;
		q->rtime = seconds();
		kfree(m);
		wake_up_all(&q->wait);
	}
	return (long)n;
}

long sys_msgrcv(s32 id, void __user *ubuf, u64 len, s64 type, int flags)
{
	struct ipc_object *o;
	struct msg *m;
	long r;

	if (id < 0 || (s64)len < 0 || ((flags & MSG_COPY) && (!(flags & IPC_NOWAIT) || (flags & MSG_EXCEPT))))
		return -EINVAL;
	o = ipc_lock_id(&msgs, id, 4);
	if (IS_ERR(o))
		return PTR_ERR(o);
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);
	while (!(m = choose(q, type, flags))) {
		r = -ENOMSG;
		if (flags & IPC_NOWAIT)
			ipc_unlock(&msgs, o);
		else
			r = msg_sleep(q);
		if (r)
			return r;
	}
	r = receive(q, m, ubuf, len, flags);
	ipc_unlock(&msgs, o);
	return r;
}

struct msqid_user {
	struct ipc_perm_user perm;
	s64 stime, rtime, ctime;
	u64 cbytes, qnum, qbytes;
	s32 lspid, lrpid;
	u64 unused[2];
};
_Static_assert(sizeof(struct msqid_user) == 120, "ABI");
struct msginfo_user { s32 pool, map, max, mnb, mni, ssz, tql; u16 seg; };

static long msg_info(int cmd, struct msginfo_user __user *u)
{
	struct msginfo_user i = { .max = ipc_limits.msgmax, .mnb = ipc_limits.msgmnb, .mni = ipc_limits.msgmni, .ssz = 16, .seg = 0xffff };

	mutex_lock(&msgs.lock);
	s32 high = msgs.highest;
	if (cmd == MSG_INFO)
		i.pool = msgs.used;
	mutex_unlock(&msgs.lock);
	return copy_to_user(u, &i, sizeof(i)) ? -EFAULT : high;
}

static long msg_stat(s32 id, int cmd, struct msqid_user __user *u)
{
	struct msqid_user s = { 0 };
	s32 real = 0;
	struct ipc_object *o = cmd == IPC_STAT ? ipc_lock_id(&msgs, id, 4) :
					       ipc_lock_slot(&msgs, id, cmd == MSG_STAT ? 4 : 0, &real);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);
	ipc_perm_to_user(o, &s.perm);
	s.stime = q->stime;
	s.rtime = q->rtime;
	s.ctime = q->ctime;
	s.cbytes = q->bytes;
	s.qnum = q->count;
	s.qbytes = q->max_bytes;
	s.lspid = q->lspid;
	s.lrpid = q->lrpid;
	ipc_unlock(&msgs, o);
	return copy_to_user(u, &s, sizeof(s)) ? -EFAULT : real;
}

static long msg_change(s32 id, int cmd, const struct msqid_user *s)
{
	struct ipc_object *o = ipc_lock_id(&msgs, id, 0);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);
	int err = ipc_may_change(o);
	if (!err && cmd == IPC_SET) {
		if (s->qbytes > ipc_limits.msgmnb && !capable(CAP_SYS_RESOURCE)) {
			err = -EPERM;
		} else if (!(err = ipc_set_perm(o, &s->perm))) {
			q->max_bytes = s->qbytes;
			q->ctime = seconds();
		}
	} else if (!err) {
		ipc_remove(&msgs, o);
	}
	wake_up_all(&q->wait);
	ipc_unlock(&msgs, o);
	return err;
}

long sys_msgctl(s32 id, int cmd, struct msqid_user __user *u)
{
	struct msqid_user s;

	if (id < 0 || cmd < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
	case MSG_INFO:
		return msg_info(cmd, (struct msginfo_user __user *)u);
	case IPC_STAT:
	case MSG_STAT:
	case MSG_STAT_ANY:
		return msg_stat(id, cmd, u);
	case IPC_SET:
		if (copy_from_user(&s, u, sizeof(s)))
			return -EFAULT;
		return msg_change(id, cmd, &s);
	case IPC_RMID:
		return msg_change(id, cmd, NULL);
	}
	return -EINVAL;
}

/* ---- /proc ---- */

static void show_one(struct seq_buf *s, struct ipc_object *o)
{
	struct msg_queue *q = container_of(o, struct msg_queue, ipc);

	seq_printf(s, "%10d %10d  %4o  %10llu %10llu %5d %5d %5u %5u %5u %5u %10lld %10lld %10lld\n", o->key, o->id, o->mode & 0777,
		   (unsigned long long)q->bytes, (unsigned long long)q->count, q->lspid, q->lrpid, o->uid, o->gid, o->cuid, o->cgid,
		   (long long)q->stime, (long long)q->rtime, (long long)q->ctime);
}

static void show_all(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_puts(s, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n");
	ipc_show(&msgs, s, show_one);
}

void ipc_msg_proc_init(void)
{
	static const struct proc_file files[] = {
		{ .path = "sysvipc/msg", .mode = 0444, .show = show_all },
		{ .path = "sys/kernel/msg_next_id", .mode = 0644, .show = ipc_next_id_show, .write = ipc_next_id_write, .arg = &msgs },
	};

	proc_add_table(files, ARRAY_SIZE(files));
}
