/*
 * Credentials. A struct cred never changes while anybody else may see it: to change, a task prepares
 * a copy, edits it, and commits; fork and threads share by reference. The old one is freed by RCU, so
 * another task's credentials may be read under rcu_read_lock without a reference.
 *
 * Each cred also holds its struct user: the counters that limits per user are checked against.
 * Users are found in a small hash under users_lock.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/hash.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/impl.h>

#define USER_HASH_BITS 6
static DEFINE_SPINLOCK(users_lock);
static struct hlist_head user_hash[1 << USER_HASH_BITS]; /* (users_lock) */
static struct user user_of_root = { .refs = 1 };
static struct kmem_cache *cred_cache;

struct cred init_cred = {
	.refs = 1,
	.cap_effective = CAP_ALL,
	.cap_permitted = CAP_ALL,
	.cap_bset = CAP_ALL,
	.user = &user_of_root,
};

void cred_init(void)
{
	cred_cache = kmem_cache_create("cred", sizeof(struct cred), 0, SLAB_PANIC, NULL);
	VERIFY(!spread_init(&user_of_root.processes));
	spread_add(&user_of_root.processes, 1);
	hlist_add_head(&user_of_root.hash, &user_hash[hash_32(0, USER_HASH_BITS)]);
}

/* ---- users ---- */

static struct user *user_alloc(uid_t uid)
{
	struct user *u = kzalloc(sizeof(*u), GFP_KERNEL);

	if (u && spread_init(&u->processes)) {
		kfree(u);
		return NULL;
	}
	if (u) {
		u->refs = 1;
		u->uid = uid;
	}
	return u;
}

static void user_free(struct user *u)
{
	if (u)
		spread_fini(&u->processes);
	kfree(u);
}

struct user *user_get(struct user *u)
{
	__atomic_fetch_add(&u->refs, 1, __ATOMIC_RELAXED);
	return u;
}

static struct user *user_lookup_locked(uid_t uid)
{
	struct user *u;

	hlist_for_each_entry(u, &user_hash[hash_32(uid, USER_HASH_BITS)], hash)
		if (u->uid == uid)
			return user_get(u);
	return NULL;
}

struct user *user_find(uid_t uid)
{
	struct user *u, *fresh;
	u64 flags;

	spin_lock_irqsave(&users_lock, flags);
	u = user_lookup_locked(uid);
	spin_unlock_irqrestore(&users_lock, flags);
	if (u)
		return u;
	fresh = user_alloc(uid);
	if (!fresh)
		return NULL;
	spin_lock_irqsave(&users_lock, flags);
	u = user_lookup_locked(uid); /* somebody else may have been quicker */
	if (!u) {
		hlist_add_head(&fresh->hash, &user_hash[hash_32(uid, USER_HASH_BITS)]);
		u = fresh;
		fresh = NULL;
	}
	spin_unlock_irqrestore(&users_lock, flags);
	user_free(fresh);
	return u;
}

void user_put(struct user *u)
{
	u64 flags;
	s32 n = READ_ONCE(u->refs);

	/* Not the last: no lock. The last must go under the lock, because lookups revive. */
	while (n > 1)
		if (try_cmpxchg(&u->refs, &n, n - 1))
			return;
	spin_lock_irqsave(&users_lock, flags);
	bool last = __atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL) == 0;
	if (last)
		hlist_del(&u->hash);
	spin_unlock_irqrestore(&users_lock, flags);
	if (last)
		user_free(u);
}

/* ---- credentials ---- */

const struct cred *current_cred(void)
{
	return current->cred;
}

const struct cred *cred_get(const struct cred *c)
{
	__atomic_fetch_add(&((struct cred *)c)->refs, 1, __ATOMIC_RELAXED);
	return c;
}

static void groups_put(struct group_info *g)
{
	if (g && __atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) == 0)
		vfree(g);
}

static void cred_free_rcu(struct rcu_head *h)
{
	struct cred *c = container_of(h, struct cred, rcu);

	groups_put(c->groups);
	user_put(c->user);
	kmem_cache_free(cred_cache, c);
}

void cred_put(const struct cred *cc)
{
	struct cred *c = (struct cred *)cc;

	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		call_rcu(&c->rcu, cred_free_rcu);
}

struct cred *cred_prepare(void)
{
	const struct cred *old = current->cred;
	struct cred *c = kmem_cache_alloc(cred_cache, GFP_KERNEL);

	if (!c)
		return NULL;
	*c = *old;
	c->refs = 1;
	if (c->groups)
		__atomic_fetch_add(&c->groups->refs, 1, __ATOMIC_RELAXED);
	user_get(c->user);
	return c;
}

void cred_abort(struct cred *c)
{
	groups_put(c->groups);
	user_put(c->user);
	kmem_cache_free(cred_cache, c);
}

void cred_set_groups(struct cred *c, struct group_info *g)
{
	groups_put(c->groups);
	c->groups = g;
}

/* Gives up the dumpable state and the parent-death signal when the identity changes (prctl(2)). */
static void identity_changed(struct task *t, const struct cred *old, const struct cred *new)
{
	if (old->euid == new->euid && old->egid == new->egid && old->fsuid == new->fsuid &&
	    old->fsgid == new->fsgid && !(new->cap_permitted & ~old->cap_permitted))
		return;
	t->dumpable = 0;
	t->pdeath_signal = 0;
}

void cred_commit(struct cred *c)
{
	struct task *t = current;
	const struct cred *old = t->cred;

	identity_changed(t, old, c);
	if (c->user != old->user) {
		spread_add(&c->user->processes, 1);
		spread_add(&old->user->processes, -1);
	}
	rcu_assign_pointer(t->cred, c);
	if (t->thread.mm) /* mm cannot ask: capabilities are this layer's */
		WRITE_ONCE(t->thread.mm->may_lock_unlimited, c->cap_effective >> CAP_IPC_LOCK & 1);
	cred_put(old);
}

const struct cred *task_cred_get(struct task *t)
{
	const struct cred *c;
	s32 n;

	rcu_read_lock();
	for (;;) {
		c = rcu_dereference(t->cred);
		n = READ_ONCE(c->refs);
		while (n > 0)
			if (try_cmpxchg(&((struct cred *)c)->refs, &n, n + 1))
				goto got;
	}
got:
	rcu_read_unlock();
	return c;
}

bool capable(int cap)
{
	struct task *t = current;

	if (!(t->cred->cap_effective >> cap & 1))
		return false;
	t->flags |= PF_SUPERPRIV;
	return true;
}

bool commit_privileged(void)
{
	return capable(CAP_SYS_ADMIN);
}

bool in_group(gid_t g)
{
	const struct cred *c = current->cred;
	const struct group_info *gi = c->groups;

	if (g == c->fsgid)
		return true;
	if (!gi)
		return false;
	u32 lo = 0, hi = gi->n; /* sorted by setgroups */
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		if (gi->gid[mid] == g)
			return true;
		if (gi->gid[mid] < g)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}
