/*
 * System V IPC, the common part: tables of objects, keys, permissions. include/proc/ipc.h tells the
 * life of an object.
 */
#include <lib/err.h>
#include <lib/parse.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <proc/ipc.h>

struct ipc_limits ipc_limits = {
	.shmmax = ~0ull - (1ull << 24), .shmall = ~0ull - (1ull << 24), .shmmni = 4096,
	.msgmax = 8192, .msgmnb = 16384, .msgmni = IPC_MAX,
	.semmsl = 32000, .semmns = 1024000000, .semopm = 500, .semmni = IPC_MAX,
};

static int permission(const struct ipc_object *o, u32 mask)
{
	const struct cred *c = current->cred;
	u32 mode = o->mode;

	if (!mask)
		return 0;
	if (c->euid == o->uid || c->euid == o->cuid)
		mode >>= 6;
	else if (c->egid == o->gid || c->egid == o->cgid || in_group(o->gid) || in_group(o->cgid))
		mode >>= 3;
	return (mask & ~mode & 7) == 0 || capable(CAP_IPC_OWNER) ? 0 : -EACCES;
}

/* ---- table; => t->lock ---- */

/* Makes room for slot @least at least: doubles, so that a table filled one by one is copied seldom. */
static int grow(struct ipc_table *t, s32 least)
{
	s32 n = t->nslots ?: 16;
	struct ipc_object **p;

	while (n <= least)
		n *= 2;
	p = kvmalloc(n * sizeof(*p), GFP_KERNEL | GFP_ZERO);
	if (!p)
		return -ENOMEM;
	if (t->slot)
		memcpy(p, t->slot, t->nslots * sizeof(*p));
	kvfree(t->slot);
	t->slot = p;
	t->nslots = n;
	return 0;
}

/* First free slot from @from on, in a table that grows; -ENOSPC, -ENOMEM */
static s32 free_slot(struct ipc_table *t, s32 from)
{
	s32 i = from;

	while (i < t->nslots && t->slot[i])
		i++;
	if (i >= IPC_SLOTS)
		return -ENOSPC;
	int err = i < t->nslots ? 0 : grow(t, i);
	return err ?: i;
}

/* A number asked for by sysctl decides slot and sequence; a slot in use gives way to the next free one (Linux's rule). */
static int insert(struct ipc_table *t, struct ipc_object *o, s32 key, u32 mode)
{
	const struct cred *c = current->cred;
	s32 asked = t->next_id;

	if (t->used >= IPC_MAX)
		return -ENOSPC;
	s32 i = free_slot(t, asked < 0 ? 0 : asked & (IPC_SLOTS - 1));
	if (i < 0)
		return i;
	t->next_id = -1;
	if (likely(asked < 0))
		t->seq = (t->seq + 1) & IPC_SEQ_MASK;
	t->slot[i] = o;
	t->used++;
	t->highest = max(t->highest, i);
	o->refs = 1;
	o->id = (asked < 0 ? t->seq : asked >> IPC_SEQ_SHIFT) << IPC_SEQ_SHIFT | i;
	o->key = key;
	o->uid = o->cuid = c->euid;
	o->gid = o->cgid = c->egid;
	o->mode = mode & 0777;
	o->gone = false;
	mutex_init(&o->lock);
	return o->id;
}

static struct ipc_object *find_key(struct ipc_table *t, s32 key)
{
	for (s32 i = 0; i < t->nslots; i++)
		if (t->slot[i] && t->slot[i]->key == key)
			return t->slot[i];
	return NULL;
}

static long make_new(struct ipc_table *t, s32 key, int flags, struct ipc_object *(*make)(void *), void *arg)
{
	struct ipc_object *o = make(arg);

	if (IS_ERR(o))
		return PTR_ERR(o);
	int id = insert(t, o, key, flags);
	if (id < 0)
		t->free(o);
	return id;
}

static u32 wanted_access(int flags)
{
	return (flags >> 6 | flags >> 3 | flags) & 7;
}

static long get_locked(struct ipc_table *t, s32 key, int flags, struct ipc_object *(*make)(void *), void *arg,
		       int (*check)(struct ipc_object *, void *))
{
	struct ipc_object *o = key == IPC_PRIVATE ? NULL : find_key(t, key);

	if (!o) {
		if (key != IPC_PRIVATE && !(flags & IPC_CREAT))
			return -ENOENT;
		return make_new(t, key, flags, make, arg);
	}
	if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL))
		return -EEXIST;
	int err = check ? check(o, arg) : 0;
	if (!err)
		err = permission(o, wanted_access(flags));
	return err ?: o->id;
}

long ipc_get(struct ipc_table *t, s32 key, int flags, struct ipc_object *(*make)(void *), void *arg,
	     int (*check)(struct ipc_object *, void *))
{
	mutex_lock(&t->lock);
	long r = get_locked(t, key, flags, make, arg, check);
	mutex_unlock(&t->lock);
	return r;
}

/* ---- references ---- */

void ipc_put(struct ipc_table *t, struct ipc_object *o)
{
	if (__atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) == 0)
		t->free(o);
}

static struct ipc_object *lock_found(struct ipc_table *t, struct ipc_object *o, u32 mask)
{
	int err;

	mutex_lock(&o->lock);
	err = o->gone ? -EIDRM : permission(o, mask);
	if (!err)
		return o;
	ipc_unlock(t, o);
	return ERR_PTR(err);
}

struct ipc_object *ipc_lock_id(struct ipc_table *t, s32 id, u32 mask)
{
	s32 i = id & (IPC_SLOTS - 1);
	struct ipc_object *o = NULL;

	mutex_lock(&t->lock);
	if (id >= 0 && i < t->nslots && t->slot[i] && t->slot[i]->id == id) {
		o = t->slot[i];
		__atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
	}
	mutex_unlock(&t->lock);
	return o ? lock_found(t, o, mask) : ERR_PTR(-EINVAL);
}

struct ipc_object *ipc_lock_slot(struct ipc_table *t, s32 i, u32 mask, s32 *id)
{
	struct ipc_object *o = NULL;

	mutex_lock(&t->lock);
	if (i >= 0 && i < t->nslots && t->slot[i]) {
		o = t->slot[i];
		*id = o->id;
		__atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
	}
	mutex_unlock(&t->lock);
	return o ? lock_found(t, o, mask) : ERR_PTR(-EINVAL);
}

void ipc_unlock(struct ipc_table *t, struct ipc_object *o)
{
	mutex_unlock(&o->lock);
	ipc_put(t, o);
}

int ipc_may_change(struct ipc_object *o)
{
	uid_t e = current->cred->euid;
	return e == o->uid || e == o->cuid || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

/* The object's lock is let go for the table's, which comes first in order; `gone` keeps others away meanwhile. */
void ipc_remove(struct ipc_table *t, struct ipc_object *o)
{
	o->gone = true;
	mutex_unlock(&o->lock);
	mutex_lock(&t->lock);
	t->slot[o->id & (IPC_SLOTS - 1)] = NULL;
	t->used--;
	while (t->highest > 0 && !t->slot[t->highest])
		t->highest--;
	mutex_unlock(&t->lock);
	ipc_put(t, o); /* the table's */
	mutex_lock(&o->lock); /* the caller still has one */
}

void ipc_perm_to_user(const struct ipc_object *o, struct ipc_perm_user *p)
{
	*p = (struct ipc_perm_user){ .key = o->key, .uid = o->uid, .gid = o->gid, .cuid = o->cuid, .cgid = o->cgid,
				     .mode = o->mode, .seq = (u16)(o->id >> IPC_SEQ_SHIFT) };
}

int ipc_set_perm(struct ipc_object *o, const struct ipc_perm_user *p)
{
	if (p->uid == (u32)-1 || p->gid == (u32)-1)
		return -EINVAL;
	o->uid = p->uid;
	o->gid = p->gid;
	o->mode = (o->mode & ~0777u) | (p->mode & 0777);
	return 0;
}

void ipc_init(void)
{
	/* tables are static and grow with use */
}

/* ---- /proc ---- */

void ipc_show(struct ipc_table *t, struct seq_buf *s, void (*show)(struct seq_buf *s, struct ipc_object *o))
{
	mutex_lock(&t->lock);
	for (s32 i = 0; i < t->nslots; i++) {
		struct ipc_object *o = t->slot[i];

		if (!o)
			continue;
		mutex_lock(&o->lock);
		if (!permission(o, 4))
			show(s, o);
		mutex_unlock(&o->lock);
	}
	mutex_unlock(&t->lock);
}

void ipc_next_id_show(struct seq_buf *s, void *table)
{
	seq_printf(s, "%d\n", ((struct ipc_table *)table)->next_id);
}

int ipc_next_id_write(const char *text, u64 n, void *table)
{
	struct ipc_table *t = table;
	const char *end;
	bool minus = n && *text == '-';
	u64 v = parse_u64(text + minus, &end, 10);

	if (end == text + minus || v > S32_MAX)
		return -EINVAL;
	mutex_lock(&t->lock);
	t->next_id = minus ? -1 : (s32)v;
	mutex_unlock(&t->lock);
	return 0;
}
