/*
 * The name cache: a hash table from (directory, name) to dentry.
 *
 * Concepts. A dentry is one name. It is hashed while the name can be found; it holds a reference on its parent from birth to
 * death. For file systems that live in memory (tmpfs, devfs) the cache is the directory: names are PINNED (one more
 * reference) and directories COMPLETE, so that a miss is an answer. For others (procfs) unused names wait on an LRU.
 *
 * Readers walk under RCU without references or locks. What they read of a dentry (parent, name, inode, hashed or not) changes
 * only while d->seq is odd, under d->lock. A reader takes seq, compares parent and name, takes what it wants, and compares
 * seq again. The memory of a dentry, of a long name and of an inode is freed a grace period late, so every pointer read stays
 * readable; seq tells whether it meant something.
 *
 * A miss needs more care than a hit: a rename moves an entry to another chain, and a reader standing on it follows
 * that other chain to its end. So every rename makes rename_seq odd around its work (this also makes "old name gone, new name
 * not yet there" invisible), and a miss counts only when rename_seq did not change. Freed entries keep their next pointer.
 *
 * References: refs counts users; 0 is cached and unused; -1 is dead, exchanged for 0 under d->lock, after which nobody
 * can get a reference (dentry_get_live fails), so the killer owns the memory and needs no lock to take it apart.
 *
 * Locks: d->lock -> bucket lock, lru_lock. Never two d->locks, except in a rename (rename_lock held, so only one pair at
 * a time; parents' locks are taken alone, after). Children lists change under the parent's d->lock.
 * Rejected: a lock per directory for lookups (a shared cache line in every path), reference counts during the walk (likewise).
 */
#include <fs/internal.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/shrinker.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>

#define NR_BUCKET_LOCKS 256u
#define LRU_MAX 16384u

struct long_name { struct rcu_head rcu; char text[]; };

seqcount_t rename_seq;
DEFINE_MUTEX(rename_mutex);
static DEFINE_SPINLOCK(rename_lock); /* writers of rename_seq */

static struct kmem_cache *dentry_cache;
struct hlist_head *dcache_buckets;
u32 dcache_shift;
static spinlock_t bucket_locks[NR_BUCKET_LOCKS];

static DEFINE_SPINLOCK(lru_lock);
static LIST_HEAD(lru); /* (lru_lock) newest first */
static u64 lru_count; /* (lru_lock) */

static u64 unused_names(void)
{
	return READ_ONCE(lru_count);
}

/* Names that were used since they were last looked at stay for this time: twice around takes them all. */
static u64 drop_names(u64 n)
{
	return shrink_dcache(2 * n);
}

static struct shrinker dcache_shrinker = { .name = "dentry", .count = unused_names, .scan = drop_names };

static void dentry_ctor(void *p)
{
	struct dentry *d = p;

	memset(d, 0, sizeof(*d));
	d->refs = -1;
	spin_lock_init(&d->lock);
	INIT_LIST_HEAD(&d->children);
	INIT_LIST_HEAD(&d->sibling);
	INIT_LIST_HEAD(&d->lru);
}

void dcache_init(void)
{
	u64 n = roundup_pow_of_two(clamp_t(u64, nr_total_pages() / 16, 4096, 1u << 20));
	unsigned order = ilog2(n * sizeof(*dcache_buckets) >> PAGE_SHIFT);

	dentry_cache = kmem_cache_create("dentry", sizeof(struct dentry), 64, SLAB_PANIC | SLAB_HWCACHE_ALIGN | SLAB_RECLAIM,
					 dentry_ctor);
	dcache_buckets = get_free_pages(GFP_KERNEL | GFP_ZERO | GFP_NOFAIL, order);
	dcache_shift = 64 - ilog2(n);
	for (u32 i = 0; i < NR_BUCKET_LOCKS; i++)
		spin_lock_init(&bucket_locks[i]);
	shrinker_register(&dcache_shrinker);
}

static inline spinlock_t *bucket_lock(u64 b)
{
	return &bucket_locks[b % NR_BUCKET_LOCKS];
}

/* The same value the walk computes word by word: all whole words, then the rest, perhaps empty. */
u32 name_hash(const char *name, u32 len)
{
	u64 h = 0, w = 0;

	for (; len >= 8; len -= 8, name += 8)
		h = hash_mix(h, get_unaligned_le64(name));
	for (u32 i = 0; i < len; i++)
		w |= (u64)(u8)name[i] << (8 * i);
	return name_fold(hash_mix(h, w));
}

/* ---- seq: what RCU readers see changes only in between. => d->lock held ---- */

static inline void seq_begin(struct dentry *d)
{
	WRITE_ONCE(d->seq, d->seq + 1);
	smp_wmb();
}

static inline void seq_end(struct dentry *d)
{
	smp_store_release(&d->seq, d->seq + 1);
}

/* ---- finding ---- */

bool dentry_long_name_equal(const struct dentry *d, const struct qstr *q, u32 seq)
{
	const char *name = READ_ONCE(d->name.name);

	smp_rmb();
	/* The pointer may only be followed for this length when both belong together. */
	return READ_ONCE(d->seq) == seq && !(seq & 1) && name_equal(name, q->name, q->len);
}

bool dentry_get_live(struct dentry *d)
{
	s32 r = READ_ONCE(d->refs);

	do {
		if (unlikely(r < 0))
			return false;
	} while (!try_cmpxchg(&d->refs, &r, r + 1));
	return true;
}

struct dentry *dentry_find(struct dentry *parent, const struct qstr *q)
{
	for (;;) {
		u32 rseq = smp_load_acquire(&rename_seq.seq), seq = 0;
		rcu_read_lock();
		struct dentry *d = dentry_find_rcu(parent, q, &seq);
		bool got = d && dentry_get_live(d);
		rcu_read_unlock();
		if (got && READ_ONCE(d->seq) == seq && !(seq & 1) && READ_ONCE(d->flags) & DENTRY_HASHED)
			return d;
		if (got)
			dentry_put(d);
		else if (!d && READ_ONCE(rename_seq.seq) == rseq && !(rseq & 1))
			return NULL;
		spin_poll();
	}
}

struct dentry *dentry_lookup(struct dentry *parent, const char *name, u32 len)
{
	struct qstr q = { name, len, name_hash(name, len) };

	return dentry_find(parent, &q);
}

/* ---- birth ---- */

static bool name_set(struct dentry *d, const struct qstr *q)
{
	char *to = d->iname;

	if (q->len < DNAME_INLINE) {
		memset(d->iname, 0, DNAME_INLINE);
	} else {
		struct long_name *l = kzalloc(sizeof(*l) + ALIGN(q->len + 1, 8), GFP_KERNEL);
		if (!l)
			return false;
		to = l->text;
	}
	memcpy(to, q->name, q->len);
	d->name = (struct qstr){ to, q->len, q->hash };
	return true;
}

static void name_free(struct dentry *d)
{
	if (d->name.name != d->iname)
		kfree_rcu(container_of((char(*)[])(uintptr_t)d->name.name, struct long_name, text), rcu);
}

struct dentry *dentry_alloc_q(struct dentry *parent, const struct qstr *q)
{
	struct dentry *d = kmem_cache_alloc(dentry_cache, GFP_KERNEL);

	if (!d)
		return NULL;
	if (!name_set(d, q)) {
		kmem_cache_free(dentry_cache, d);
		return NULL;
	}
	d->flags = 0;
	d->inode = NULL;
	d->mounted = 0;
	d->private = NULL;
	d->next_pos = 2; /* after . and .. */
	d->version = 0;
	if (parent) {
		dentry_get(parent);
		d->parent = parent;
		d->super = parent->super;
	} else {
		d->parent = d;
		d->super = NULL;
	}
	WRITE_ONCE(d->refs, 1);
	return d;
}

struct dentry *dentry_alloc(struct dentry *parent, const char *name, u32 len)
{
	struct qstr q = { name, len, name_hash(name, len) };

	return dentry_alloc_q(parent, &q);
}

static u32 inode_dentry_flags(const struct inode *i)
{
	return !i ? 0 : S_ISDIR(i->mode) ? DENTRY_DIR : S_ISLNK(i->mode) ? DENTRY_SYMLINK : 0;
}

static void hash_insert(struct dentry *d)
{
	u64 b = dcache_bucket(d->parent, d->name.hash);

	spin_lock(bucket_lock(b));
	hlist_add_head_rcu(&d->hash, &dcache_buckets[b]);
	spin_unlock(bucket_lock(b));
}

static void hash_remove(struct dentry *d)
{
	u64 b = dcache_bucket(d->parent, d->name.hash);

	spin_lock(bucket_lock(b));
	hlist_del_rcu(&d->hash);
	spin_unlock(bucket_lock(b));
}

static void list_into_parent(struct dentry *d)
{
	struct dentry *p = d->parent;

	spin_lock(&p->lock);
	d->dir_pos = p->next_pos++;
	list_add_tail(&d->sibling, &p->children);
	spin_unlock(&p->lock);
}

static void list_out_of_parent(struct dentry *d, struct dentry *p)
{
	if (p == d)
		return;
	spin_lock(&p->lock);
	if (!list_empty(&d->sibling)) {
		list_del_init(&d->sibling);
		p->version++;
	}
	spin_unlock(&p->lock);
}

void dentry_add(struct dentry *d, struct inode *i)
{
	bool fresh = !(d->flags & DENTRY_HASHED);

	if (fresh && d->parent != d)
		list_into_parent(d);
	spin_lock(&d->lock);
	seq_begin(d);
	d->inode = i;
	d->flags |= inode_dentry_flags(i) | DENTRY_HASHED;
	if (fresh)
		hash_insert(d);
	seq_end(d);
	spin_unlock(&d->lock);
}

void dentry_pin(struct dentry *d)
{
	dentry_get(d);
	spin_lock(&d->lock);
	d->flags |= DENTRY_PINNED;
	spin_unlock(&d->lock);
}

void dentry_add_pinned(struct dentry *d, struct inode *i)
{
	ASSERT(!(d->flags & DENTRY_HASHED));
	WRITE_ONCE(d->refs, d->refs + 1); /* nobody else knows it yet */
	d->flags |= DENTRY_PINNED | (S_ISDIR(i->mode) ? DENTRY_COMPLETE : 0);
	dentry_add(d, i);
}

struct dentry *dentry_add_child(struct dentry *dir, const char *name, struct inode *i)
{
	struct qstr q = { name, strlen(name), name_hash(name, strlen(name)) };
	struct dentry *d = ERR_PTR(-EEXIST);

	down_write(&dir->inode->rwsem);
	struct dentry *old = dentry_find(dir, &q);
	if (old && old->inode)
		goto out;
	d = old ?: dentry_alloc_q(dir, &q);
	if (!d) {
		d = ERR_PTR(-ENOMEM);
		goto out;
	}
	if (old) {
		dentry_add(d, i);
		dentry_pin(d);
	} else {
		dentry_add_pinned(d, i);
	}
	old = NULL;
	i = NULL;
	if (S_ISDIR(d->inode->mode))
		dir->inode->nlink++;
	dir->inode->mtime = dir->inode->ctime = current_time();
	dentry_put(d); /* the pin stays */
out:
	up_write(&dir->inode->rwsem);
	if (old)
		dentry_put(old);
	if (i)
		inode_put(i);
	return d;
}

/* ---- death ---- */

static void dentry_free_rcu(struct rcu_head *h)
{
	kmem_cache_free(dentry_cache, container_of(h, struct dentry, rcu));
}

static void lru_del_locked(struct dentry *d)
{
	spin_lock(&lru_lock);
	if (d->flags & DENTRY_LRU) {
		list_del_init(&d->lru);
		d->flags &= ~DENTRY_LRU;
		lru_count--;
	}
	spin_unlock(&lru_lock);
}

/* Ends a dentry unless somebody got a reference meanwhile. => d->lock held, refs 0 seen; releases the lock; returns the parent,
 * whose reference is the caller's now, or NULL */
static struct dentry *dentry_kill(struct dentry *d)
{
	s32 none = 0;
	struct dentry *parent = d->parent;
	struct inode *i = d->inode;

	/* dentry_get_live takes no lock: it may have revived the dentry since the caller saw 0 */
	if (!try_cmpxchg(&d->refs, &none, -1)) {
		spin_unlock(&d->lock);
		return NULL;
	}
	seq_begin(d);
	if (d->flags & DENTRY_HASHED) {
		d->flags &= ~DENTRY_HASHED;
		hash_remove(d);
	}
	d->inode = NULL;
	seq_end(d);
	if (d->flags & DENTRY_LRU)
		lru_del_locked(d);
	spin_unlock(&d->lock);
	list_out_of_parent(d, parent);
	if (i)
		inode_put(i);
	name_free(d);
	call_rcu(&d->rcu, dentry_free_rcu);
	return parent == d ? NULL : parent;
}

/* Keeps a name whose last user left. => d->lock held, released */
static void dentry_retain(struct dentry *d)
{
	bool full = false;

	d->flags |= DENTRY_USED;
	if (!(d->flags & DENTRY_LRU)) {
		spin_lock(&lru_lock);
		d->flags |= DENTRY_LRU;
		list_add(&d->lru, &lru);
		full = ++lru_count > LRU_MAX;
		spin_unlock(&lru_lock);
	}
	spin_unlock(&d->lock);
	if (unlikely(full))
		shrink_dcache(LRU_MAX / 16);
}

/* One reference less by a compare-and-exchange unless it is the last. */
static inline bool put_unless_last(struct dentry *d)
{
	s32 r = READ_ONCE(d->refs);

	while (r > 1)
		if (try_cmpxchg(&d->refs, &r, r - 1))
			return true;
	return false;
}

static noinline void dentry_put_last(struct dentry *d)
{
	do {
		/* Our own reference keeps the memory until the lock is held. */
		spin_lock(&d->lock);
		if (__atomic_sub_fetch(&d->refs, 1, __ATOMIC_ACQ_REL) > 0) {
			spin_unlock(&d->lock);
			return;
		}
		if (d->flags & DENTRY_HASHED && !(d->flags & DENTRY_NOCACHE)) {
			dentry_retain(d);
			return;
		}
		d = dentry_kill(d);
	} while (d && !put_unless_last(d));
}

void dentry_put(struct dentry *d)
{
	if (!put_unless_last(d))
		dentry_put_last(d);
}

void dentry_get(struct dentry *d)
{
	ASSERT3S(d->refs, >=, 0);
	__atomic_fetch_add(&d->refs, 1, __ATOMIC_RELAXED);
}

void dentry_drop(struct dentry *d)
{
	spin_lock(&d->lock);
	u32 pinned = d->flags & DENTRY_PINNED;
	if (d->flags & DENTRY_HASHED) {
		seq_begin(d);
		d->flags &= ~DENTRY_HASHED;
		hash_remove(d);
		seq_end(d);
	}
	d->flags &= ~DENTRY_PINNED;
	spin_unlock(&d->lock);
	list_out_of_parent(d, d->parent);
	if (pinned)
		dentry_put(d);
}

u64 shrink_dcache(u64 n)
{
	u64 freed = 0;

	while (n--) {
		struct dentry *d = NULL;
		spin_lock(&lru_lock);
		if (!list_empty(&lru)) {
			d = list_last_entry(&lru, struct dentry, lru);
			list_move(&d->lru, &lru);
			if (!spin_trylock(&d->lock)) { /* order is d->lock first */
				spin_unlock(&lru_lock);
				continue;
			}
		}
		spin_unlock(&lru_lock);
		if (!d)
			break;
		/* The lock pins d: only a killer that holds it makes it dead, and takes it off the list. */
		if (d->refs > 0)
			lru_del_locked(d);
		if (d->refs != 0 || d->flags & DENTRY_USED) {
			d->flags &= ~DENTRY_USED;
			spin_unlock(&d->lock);
			continue;
		}
		d = dentry_kill(d);
		freed++;
		if (d)
			dentry_put(d);
	}
	return freed;
}

/* A referenced live child, or NULL when there is none. */
static struct dentry *first_child(struct dentry *d)
{
	for (;;) {
		spin_lock(&d->lock);
		struct dentry *c = list_first_entry_or_null(&d->children, struct dentry, sibling);
		bool got = c && dentry_get_live(c);
		spin_unlock(&d->lock);
		if (!c || got)
			return c;
		spin_poll(); /* its killer is about to take it off the list */
	}
}

void dentry_kill_tree(struct dentry *root)
{
	struct dentry *d = root, *c;

	for (;;) {
		while ((c = first_child(d)))
			d = c;
		if (d == root)
			break;
		struct dentry *parent = d->parent;
		dentry_drop(d);
		dentry_put(d);
		d = parent; /* referenced since we came down through it */
	}
	dentry_drop(root);
	dentry_put(root);
}

void dentry_mark_mounted(struct dentry *d, int delta)
{
	spin_lock(&d->lock);
	d->mounted += delta;
	if (d->mounted)
		d->flags |= DENTRY_MOUNTED;
	else
		d->flags &= ~DENTRY_MOUNTED;
	spin_unlock(&d->lock);
}

/* ---- renaming ---- */

static void name_swap(struct dentry *a, struct dentry *b)
{
	bool a_long = a->name.name != a->iname, b_long = b->name.name != b->iname;
	char tmp[DNAME_INLINE];

	swap(a->name, b->name);
	memcpy(tmp, a->iname, DNAME_INLINE);
	memcpy(a->iname, b->iname, DNAME_INLINE);
	memcpy(b->iname, tmp, DNAME_INLINE);
	if (!b_long)
		a->name.name = a->iname;
	if (!a_long)
		b->name.name = b->iname;
}

static void lock_two(struct dentry *a, struct dentry *b)
{
	spin_lock(a < b ? &a->lock : &b->lock);
	spin_lock(a < b ? &b->lock : &a->lock);
}

/* Swaps place and name of two dentries; each ends up hashed when the other was, or always with @both. */
static void dentry_swap(struct dentry *d, struct dentry *t, bool both)
{
	struct dentry *dp = d->parent, *tp = t->parent;

	spin_lock(&rename_lock);
	write_seqbegin(&rename_seq);
	lock_two(d, t);
	seq_begin(d);
	seq_begin(t);
	hash_remove(d);
	if (t->flags & DENTRY_HASHED)
		hash_remove(t);
	name_swap(d, t);
	d->parent = tp;
	t->parent = dp;
	hash_insert(d);
	if (both)
		hash_insert(t);
	else
		t->flags &= ~DENTRY_HASHED;
	seq_end(t);
	seq_end(d);
	spin_unlock(&t->lock);
	spin_unlock(&d->lock);
	list_out_of_parent(t, tp);
	if (dp != tp || both) { /* within a directory a name keeps its place: readdir sees it once */
		list_out_of_parent(d, dp);
		list_into_parent(d);
	}
	if (both)
		list_into_parent(t);
	write_seqend(&rename_seq);
	spin_unlock(&rename_lock);
}

void dentry_move(struct dentry *d, struct dentry *target)
{
	dentry_swap(d, target, false);
	if (target->flags & DENTRY_PINNED)
		dentry_drop(target);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
	dentry_swap(a, b, true);
}

bool dentry_is_under(const struct dentry *d, const struct dentry *ancestor)
{
	bool r = false;

	rcu_read_lock();
	for (;; d = READ_ONCE(d->parent)) {
		if (d == ancestor) {
			r = true;
			break;
		}
		if (d == READ_ONCE(d->parent))
			break;
	}
	rcu_read_unlock();
	return r;
}

/* ---- checking ---- */

u64 dentry_count(void)
{
	return kmem_cache_active(dentry_cache);
}

static u64 check_one(const struct dentry *d, u64 b)
{
	u64 bad = 0;

	if (!(d->flags & DENTRY_HASHED) || dcache_bucket(d->parent, d->name.hash) != b) {
		pr_err("dcache: %p \"%s\" in chain %llu, belongs to %llu, flags %#x\n", d, d->name.name, b,
		       dcache_bucket(d->parent, d->name.hash), d->flags);
		bad++;
	}
	if (READ_ONCE(d->refs) < 0 || d->seq & 1 || READ_ONCE(d->parent->refs) <= 0) {
		pr_err("dcache: %p \"%s\" refs %d seq %u, parent's refs %d\n", d, d->name.name, d->refs, d->seq, d->parent->refs);
		bad++;
	}
	if (d->inode && READ_ONCE(d->inode->refs) <= 0) {
		pr_err("dcache: %p \"%s\" holds inode %llu with refs %d\n", d, d->name.name, d->inode->ino, d->inode->refs);
		bad++;
	}
	if (name_hash(d->name.name, d->name.len) != d->name.hash || strlen(d->name.name) != d->name.len) {
		pr_err("dcache: %p \"%s\": length is %u, should be %zu; hash is %#x, should be %#x\n", d, d->name.name, d->name.len,
		       strlen(d->name.name), d->name.hash, name_hash(d->name.name, d->name.len));
		bad++;
	}
	return bad;
}

/* Chains against dentries. A bucket's lock keeps its entries where they are. */
u64 dcache_check(void)
{
	u64 bad = 0;

	for (u64 b = 0; b < 1ull << (64 - dcache_shift); b++) {
		struct dentry *d;
		if (!READ_ONCE(dcache_buckets[b].first))
			continue;
		spin_lock(bucket_lock(b));
		hlist_for_each_entry(d, &dcache_buckets[b], hash)
			bad += check_one(d, b);
		spin_unlock(bucket_lock(b));
	}
	return bad;
}
