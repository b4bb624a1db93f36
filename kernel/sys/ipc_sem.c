/*
 * System V semaphore sets (semget(2), semop(2), semctl(2)).
 *
 * A set is under its object's mutex. semop is all or nothing: the operations are tried on the values,
 * undone when one cannot proceed, and the caller sleeps on the set's wait queue until something
 * changed; each sleeper tries for itself.
 *
 * SEM_UNDO adjustments are kept per undo list (a process, or those that share one by CLONE_SYSVSEM)
 * and set: sem_undo entries hang on their list, hold a reference to the set, and are applied when the
 * last user of the list exits. Lock order: set mutex -> undo list's lock (a leaf).
 */
#include <fs/procfs.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/ipc.h>
#include <sys/util.h>
#include <uapi/errno.h>

#define SEM_UNDO 0x1000
#define SEM_VALUE_MAX 32767
#define GETPID 11
#define GETVAL 12
#define GETALL 13
#define GETNCNT 14
#define GETZCNT 15
#define SETVAL 16
#define SETALL 17
#define SEM_STAT 18
#define SEM_INFO 19
#define SEM_STAT_ANY 20

struct sem { s32 val; pid_t pid; u32 ncnt, zcnt; };
struct sem_set {
	struct ipc_object ipc;
	u32 n; /* (I) */
	s64 otime, ctime;
	wait_queue_t wait;
	struct sem sem[];
};
struct sem_undo {
	struct list_head link; /* (list lock) */
	struct sem_set *set; /* (I) reference */
	s16 adj[]; /* (set's mutex) */
};
struct undo_list { s32 refs; spinlock_t lock; struct list_head entries; };
struct sembuf { u16 num; s16 op, flags; };

static void sem_free(struct ipc_object *o)
{
	kfree(container_of(o, struct sem_set, ipc));
}
static struct ipc_table sems = IPC_TABLE_INIT(sems, sem_free);
LOCK_DECLARE(sems);

static s64 seconds(void)
{
	return ktime_real_ns() / NSEC_PER_SEC;
}

/* ---- sets ---- */

static struct ipc_object *make_set(void *arg)
{
	int n = *(int *)arg;
	struct sem_set *s;

	if (n <= 0)
		return ERR_PTR(-EINVAL);
	if ((u64)sems.used >= ipc_limits.semmni)
		return ERR_PTR(-ENOSPC);
	s = kzalloc(sizeof(*s) + n * sizeof(struct sem), GFP_KERNEL);
	if (!s)
		return ERR_PTR(-ENOMEM);
	s->n = n;
	s->ctime = seconds();
	init_wait_queue(&s->wait);
	return &s->ipc;
}

static int check_set(struct ipc_object *o, void *arg)
{
	return *(int *)arg > (int)container_of(o, struct sem_set, ipc)->n ? -EINVAL : 0;
}

long sys_semget(s32 key, int n, int flags)
{
	if (n < 0 || (u64)n > ipc_limits.semmsl)
		return -EINVAL;
	return ipc_get(&sems, key, flags, make_set, &n, check_set);
}

/* ---- undo ---- */

static struct undo_list *own_undo_list(void)
{
	struct undo_list *l = current->sem_undo;

	if (l)
		return l;
	l = kzalloc(sizeof(*l), GFP_KERNEL);
	if (!l)
		return NULL;
	l->refs = 1;
	spin_lock_init(&l->lock);
	INIT_LIST_HEAD(&l->entries);
	current->sem_undo = l;
	return l;
}

int sem_undo_share(struct task *child)
{
	struct undo_list *l = own_undo_list();

	if (!l)
		return -ENOMEM;
	__atomic_fetch_add(&l->refs, 1, __ATOMIC_RELAXED);
	child->sem_undo = l;
	return 0;
}

static struct sem_undo *find_undo(struct undo_list *l, struct sem_set *s)
{
	struct sem_undo *u, *found = NULL;

	spin_lock(&l->lock);
	list_for_each_entry(u, &l->entries, link)
		if (u->set == s) {
			found = u;
			break;
		}
	spin_unlock(&l->lock);
	return found;
}

/* Entries for sets that were removed are of no use any more: a process that goes on making sets would collect them. */
static void prune_undo(struct undo_list *l)
{
	struct sem_undo *u, *n;
	LIST_HEAD(gone);

	spin_lock(&l->lock);
	list_for_each_entry_safe(u, n, &l->entries, link)
		if (READ_ONCE(u->set->ipc.gone)) /* for good; sleepers in it look at that before their entry */
			list_move(&u->link, &gone);
	spin_unlock(&l->lock);
	list_for_each_entry_safe(u, n, &gone, link) {
		ipc_put(&sems, &u->set->ipc);
		kfree(u);
	}
}

/* The running process' adjustments for a set, made when missing. => set's mutex held; NULL: no memory */
static struct sem_undo *get_undo(struct sem_set *s)
{
	struct undo_list *l = own_undo_list();
	struct sem_undo *u = l ? find_undo(l, s) : NULL;

	if (!l || u)
		return u;
	prune_undo(l);
	u = kzalloc(sizeof(*u) + s->n * sizeof(s16), GFP_KERNEL);
	if (!u)
		return NULL;
	u->set = s;
	__atomic_fetch_add(&s->ipc.refs, 1, __ATOMIC_RELAXED);
	spin_lock(&l->lock);
	list_add(&u->link, &l->entries);
	spin_unlock(&l->lock);
	return u;
}

static void apply_undo(struct sem_undo *u)
{
	struct sem_set *s = u->set;

	mutex_lock(&s->ipc.lock);
	if (!s->ipc.gone) {
		for (u32 i = 0; i < s->n; i++) {
			if (!u->adj[i])
				continue;
			s->sem[i].val = clamp(s->sem[i].val + u->adj[i], 0, SEM_VALUE_MAX);
			s->sem[i].pid = current->tgid;
		}
		s->otime = seconds();
		wake_up_all(&s->wait);
	}
	ipc_unlock(&sems, &s->ipc);
	kfree(u);
}

void sem_undo_exit(struct task *t)
{
	struct undo_list *l = t->sem_undo;
	struct sem_undo *u, *n;

	if (likely(!l))
		return;
	t->sem_undo = NULL;
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL))
		return;
	list_for_each_entry_safe(u, n, &l->entries, link)
		apply_undo(u);
	kfree(l);
}

/* ---- semop ---- */

/* Tries all. 0 done, 1 must wait (blocked at *at), or -ERANGE, -EFBIG. => mutex */
static int try_ops(struct sem_set *s, const struct sembuf *ops, u32 n, struct sem_undo *u, u32 *at)
{
	int r = 0;
	u32 i;

	for (i = 0; i < n; i++) {
		struct sem *m = &s->sem[ops[i].num];
		s32 v = m->val + ops[i].op;

		if ((!ops[i].op && m->val) || v < 0) {
			r = 1;
			break;
		}
		if (v > SEM_VALUE_MAX) {
			r = -ERANGE;
			break;
		}
		if (ops[i].flags & SEM_UNDO) {
			s32 adj = u->adj[ops[i].num] - ops[i].op;
			if (adj < -SEM_VALUE_MAX - 1 || adj > SEM_VALUE_MAX) {
				r = -ERANGE;
				break;
			}
			u->adj[ops[i].num] = (s16)adj;
		}
		m->val = v;
	}
	*at = i;
	if (!r) {
		for (i = 0; i < n; i++)
			s->sem[ops[i].num].pid = current->tgid;
		return 0;
	}
	while (i--) {
		s->sem[ops[i].num].val -= ops[i].op;
		if (ops[i].flags & SEM_UNDO)
			u->adj[ops[i].num] += ops[i].op;
	}
	return r;
}

/* Sleeps with the mutex dropped and taken again. 0, -EIDRM, -EINTR, -EAGAIN (time over) */
static int sem_sleep(struct sem_set *s, const struct sembuf *op, u64 deadline)
{
	u32 *count = op->op ? &s->sem[op->num].ncnt : &s->sem[op->num].zcnt;
	bool late = false;
	DEFINE_WAIT(w);

	++*count;
	prepare_to_wait(&s->wait, &w, TASK_INTERRUPTIBLE);
	mutex_unlock(&s->ipc.lock);
	if (!signal_pending_current())
		late = schedule_until(deadline);
	finish_wait(&s->wait, &w);
	mutex_lock(&s->ipc.lock);
	--*count;
	return s->ipc.gone ? -EIDRM : signal_pending_current() ? -EINTR : late ? -EAGAIN : 0;
}

static int run_ops(struct sem_set *s, const struct sembuf *ops, u32 n, u64 deadline)
{
	struct sem_undo *u = NULL;
	bool undo = false, late = false;
	u32 at;
	int r;

	for (u32 i = 0; i < n; i++) {
		if (ops[i].num >= s->n)
			return -EFBIG;
		undo |= ops[i].flags & SEM_UNDO;
	}
	if (undo) {
		u = get_undo(s);
		if (!u)
			return -ENOMEM;
	}
	for (;;) {
		r = try_ops(s, ops, n, u, &at);
		if (r <= 0)
			break;
		if (late || ops[at].flags & IPC_NOWAIT)
			return -EAGAIN;
		r = sem_sleep(s, &ops[at], deadline);
		if (r == -EAGAIN)
			late = true; /* one last try */
		else if (r)
			return r;
	}
	if (!r) {
		s->otime = seconds();
		wake_up_all(&s->wait);
	}
	return r;
}

static long do_semop(s32 id, const struct sembuf __user *uops, u32 n, u64 deadline)
{
	struct sembuf fast[16], *ops = fast;
	bool alters = false;
	long r;

	if (n > ipc_limits.semopm)
		return -E2BIG;
	if (!n || id < 0)
		return -EINVAL;
	if (n > ARRAY_SIZE(fast)) {
		ops = kmalloc(n * sizeof(*ops), GFP_KERNEL);
		if (!ops)
			return -ENOMEM;
	}
	r = copy_from_user(ops, uops, n * sizeof(*ops)) ? -EFAULT : 0;
	for (u32 i = 0; !r && i < n; i++)
		alters |= ops[i].op != 0;
	if (!r) {
		struct ipc_object *o = ipc_lock_id(&sems, id, alters ? 2 : 4);
		r = PTR_ERR_OR_ZERO(o);
		if (!r) {
			r = run_ops(container_of(o, struct sem_set, ipc), ops, n, deadline);
			ipc_unlock(&sems, o);
		}
	}
	if (ops != fast)
		kfree(ops);
	return r;
}

long sys_semop(s32 id, const struct sembuf __user *uops, u64 n)
{
	return do_semop(id, uops, (u32)min_t(u64, n, U32_MAX), U64_MAX);
}

long sys_semtimedop(s32 id, const struct sembuf __user *uops, u64 n, const void __user *uts)
{
	u64 ns, deadline = U64_MAX;

	if (uts) {
		int err = get_timespec_ns(&ns, uts);
		if (err)
			return err;
		deadline = ns_add_sat(ktime_ns(), ns);
	}
	return do_semop(id, uops, (u32)min_t(u64, n, U32_MAX), deadline);
}

/* ---- semctl ---- */

struct semid_user { struct ipc_perm_user perm; s64 otime; u64 unused1; s64 ctime; u64 unused2; u64 nsems; u64 unused3[2]; };
_Static_assert(sizeof(struct semid_user) == 104, "ABI");
struct seminfo_user { s32 map, mni, mns, mnu, msl, opm, ume, usz, vmx, aem; };

static long sem_info(int cmd, struct seminfo_user __user *u)
{
	struct seminfo_user i = { .map = 1024000000, .mni = ipc_limits.semmni, .mns = ipc_limits.semmns, .mnu = 1024000000,
		.msl = ipc_limits.semmsl, .opm = ipc_limits.semopm, .ume = ipc_limits.semopm, .usz = 20, .vmx = SEM_VALUE_MAX, .aem = SEM_VALUE_MAX };

	mutex_lock(&sems.lock);
	s32 high = sems.highest;
	if (cmd == SEM_INFO) {
		i.usz = sems.used;
		i.aem = 0;
		for (s32 k = 0; k < sems.nslots; k++)
			if (sems.slot[k])
				i.aem += container_of(sems.slot[k], struct sem_set, ipc)->n;
	}
	mutex_unlock(&sems.lock);
	return copy_to_user(u, &i, sizeof(i)) ? -EFAULT : high;
}

static long sem_stat(s32 id, int cmd, struct semid_user __user *u)
{
	struct semid_user s = { 0 };
	s32 real = 0;
	struct ipc_object *o = cmd == IPC_STAT ? ipc_lock_id(&sems, id, 4) :
					       ipc_lock_slot(&sems, id, cmd == SEM_STAT ? 4 : 0, &real);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct sem_set *set = container_of(o, struct sem_set, ipc);
	ipc_perm_to_user(o, &s.perm);
	s.otime = set->otime;
	s.ctime = set->ctime;
	s.nsems = set->n;
	ipc_unlock(&sems, o);
	return copy_to_user(u, &s, sizeof(s)) ? -EFAULT : real;
}

/* A set value makes earlier adjustments void (semctl(2)): of this process at least those of its own list. */
static void clear_adjustment(struct sem_set *s, u32 num, bool all)
{
	struct undo_list *l = current->sem_undo;
	struct sem_undo *u = l ? find_undo(l, s) : NULL;

	for (u32 i = 0; u && i < s->n; i++)
		if (all || i == num)
			u->adj[i] = 0;
}

static long sem_all(struct sem_set *s, int cmd, u16 __user *u)
{
	u16 *v = kmalloc(s->n * sizeof(u16), GFP_KERNEL);
	long r = 0;

	if (!v)
		return -ENOMEM;
	if (cmd == GETALL) {
		for (u32 i = 0; i < s->n; i++)
			v[i] = (u16)s->sem[i].val;
		r = copy_to_user(u, v, s->n * sizeof(u16)) ? -EFAULT : 0;
	} else {
		r = copy_from_user(v, u, s->n * sizeof(u16)) ? -EFAULT : 0;
		for (u32 i = 0; !r && i < s->n; i++)
			if (v[i] > SEM_VALUE_MAX)
				r = -ERANGE;
		for (u32 i = 0; !r && i < s->n; i++) {
			s->sem[i].val = v[i];
			s->sem[i].pid = current->tgid;
		}
		if (!r)
			clear_adjustment(s, 0, true);
	}
	kfree(v);
	return r;
}

static long sem_one(struct sem_set *s, u32 num, int cmd, s32 arg)
{
	struct sem *m = &s->sem[num];

	if (num >= s->n)
		return -EINVAL;
	switch (cmd) {
	case GETVAL:
		return m->val;
	case GETPID:
		return m->pid;
	case GETNCNT:
		return m->ncnt;
	case GETZCNT:
		return m->zcnt;
	}
	if (arg < 0 || arg > SEM_VALUE_MAX)
		return -ERANGE;
	m->val = arg;
	m->pid = current->tgid;
	clear_adjustment(s, num, false);
	return 0;
}

static long sem_values(s32 id, int num, int cmd, u64 arg)
{
	struct ipc_object *o = ipc_lock_id(&sems, id, cmd == SETVAL || cmd == SETALL ? 2 : 4);
	long r;

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct sem_set *s = container_of(o, struct sem_set, ipc);
	if (cmd == GETALL || cmd == SETALL)
		r = sem_all(s, cmd, (u16 __user *)arg);
	else
		r = num < 0 ? -EINVAL : sem_one(s, num, cmd, (s32)arg);
	if (!r && (cmd == SETVAL || cmd == SETALL)) {
		s->ctime = seconds();
		wake_up_all(&s->wait);
	}
	ipc_unlock(&sems, o);
	return r;
}

static long sem_change(s32 id, const struct semid_user *u)
{
	struct ipc_object *o = ipc_lock_id(&sems, id, 0);

	if (IS_ERR(o))
		return PTR_ERR(o);
	struct sem_set *s = container_of(o, struct sem_set, ipc);
	int err = ipc_may_change(o);
	if (!err && u) {
		err = ipc_set_perm(o, &u->perm);
		if (!err)
			s->ctime = seconds();
	} else if (!err) {
		ipc_remove(&sems, o);
		wake_up_all(&s->wait);
	}
	ipc_unlock(&sems, o);
	return err;
}

long sys_semctl(s32 id, int num, int cmd, u64 arg)
{
	struct semid_user u;

	if (id < 0)
		return -EINVAL;
	switch (cmd) {
	case IPC_INFO:
	case SEM_INFO:
		return sem_info(cmd, (struct seminfo_user __user *)arg);
	case IPC_STAT:
	case SEM_STAT:
	case SEM_STAT_ANY:
		return sem_stat(id, cmd, (struct semid_user __user *)arg);
	case GETALL:
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
	case SETVAL:
	case SETALL:
		return sem_values(id, num, cmd, arg);
	case IPC_SET:
		if (copy_from_user(&u, (void __user *)arg, sizeof(u)))
			return -EFAULT;
		return sem_change(id, &u);
	case IPC_RMID:
		return sem_change(id, NULL);
	}
	return -EINVAL;
}

/* ---- /proc ---- */

static void show_one(struct seq_buf *s, struct ipc_object *o)
{
	struct sem_set *q = container_of(o, struct sem_set, ipc);

	seq_printf(s, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lld %10lld\n", o->key, o->id, o->mode & 0777, q->n, o->uid, o->gid, o->cuid,
		   o->cgid, (long long)q->otime, (long long)q->ctime);
}

static void show_all(struct seq_buf *s, void *arg)
{
	(void)arg;
	seq_puts(s, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
	ipc_show(&sems, s, show_one);
}

void ipc_sem_proc_init(void)
{
	static const struct proc_file files[] = {
		{ .path = "sysvipc/sem", .mode = 0444, .show = show_all },
		{ .path = "sys/kernel/sem_next_id", .mode = 0644, .show = ipc_next_id_show, .write = ipc_next_id_write, .arg = &sems },
	};

	proc_add_table(files, ARRAY_SIZE(files));
}
