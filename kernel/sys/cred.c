/*
 * Identities: set*id(2) as the manuals state them, supplementary groups, capabilities.
 *
 * Each setter prepares a copy of the credentials, changes it, applies the capability effects of
 * changing between root and others (capabilities(7)), and commits.
 */
#include <lib/sort.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/impl.h>
#include <x86/uaccess.h>

#define SECBIT_NO_SETUID_FIXUP 4u
#define CAP_FS_MASK ((1ull << CAP_CHOWN) | (1ull << CAP_DAC_OVERRIDE) | (1ull << CAP_DAC_READ_SEARCH) | \
	(1ull << CAP_FOWNER) | (1ull << CAP_FSETID) | (1ull << CAP_LINUX_IMMUTABLE) | (1ull << CAP_MKNOD))
#define NO_ID (~0u)

static bool may_setuid(void) { return capable(CAP_SETUID); }
static bool may_setgid(void) { return capable(CAP_SETGID); }

/* capabilities(7), "Effect of user ID changes on capabilities" */
static void fix_capabilities(struct cred *new, const struct cred *old)
{
	bool was_root = !old->uid || !old->euid || !old->suid;
	bool is_root = !new->uid || !new->euid || !new->suid;

	if (new->securebits & SECBIT_NO_SETUID_FIXUP)
		return;
	if (was_root && !is_root) {
		if (!current->keep_caps)
			new->cap_permitted = new->cap_effective = 0;
		new->cap_ambient = 0;
	}
	if (!old->euid && new->euid)
		new->cap_effective = 0;
	if (old->euid && !new->euid)
		new->cap_effective = new->cap_permitted;
}

static int switch_user(struct cred *new, const struct cred *old)
{
	if (new->uid == old->uid)
		return 0;
	struct user *u = user_find(new->uid);
	if (!u)
		return -EAGAIN;
	user_put(new->user);
	new->user = u;
	return 0;
}

static long commit_uids(struct cred *new)
{
	const struct cred *old = current->cred;
	int err = switch_user(new, old);

	if (err) {
		cred_abort(new);
		return err;
	}
	fix_capabilities(new, old);
	cred_commit(new);
	return 0;
}

long sys_getuid(void) { return current->cred->uid; }
long sys_geteuid(void) { return current->cred->euid; }
long sys_getgid(void) { return current->cred->gid; }
long sys_getegid(void) { return current->cred->egid; }

long sys_setuid(uid_t uid)
{
	struct cred *n;

	if (uid == NO_ID)
		return -EINVAL;
	n = cred_prepare();
	if (!n)
		return -ENOMEM;
	if (may_setuid()) {
		n->uid = n->suid = uid;
	} else if (uid != n->uid && uid != n->suid) {
		cred_abort(n);
		return -EPERM;
	}
	n->euid = n->fsuid = uid;
	return commit_uids(n);
}

long sys_setreuid(uid_t r, uid_t e)
{
	struct cred *n = cred_prepare();

	if (!n)
		return -ENOMEM;
	const struct cred *o = current->cred;
	if ((r != NO_ID && r != o->uid && r != o->euid && !may_setuid()) ||
	    (e != NO_ID && e != o->uid && e != o->euid && e != o->suid && !may_setuid())) {
		cred_abort(n);
		return -EPERM;
	}
	if (r != NO_ID)
		n->uid = r;
	if (e != NO_ID)
		n->euid = e;
	if (r != NO_ID || (e != NO_ID && e != o->uid))
		n->suid = n->euid;
	n->fsuid = n->euid;
	return commit_uids(n);
}

static bool one_of_uids(uid_t u, const struct cred *o)
{
	return u == NO_ID || u == o->uid || u == o->euid || u == o->suid;
}

long sys_setresuid(uid_t r, uid_t e, uid_t s)
{
	struct cred *n = cred_prepare();

	if (!n)
		return -ENOMEM;
	const struct cred *o = current->cred;
	if (!(one_of_uids(r, o) && one_of_uids(e, o) && one_of_uids(s, o)) && !may_setuid()) {
		cred_abort(n);
		return -EPERM;
	}
	if (r != NO_ID)
		n->uid = r;
	if (e != NO_ID)
		n->euid = e;
	if (s != NO_ID)
		n->suid = s;
	n->fsuid = n->euid;
	return commit_uids(n);
}

long sys_getresuid(uid_t __user *r, uid_t __user *e, uid_t __user *s)
{
	const struct cred *c = current->cred;
	return put_user(c->uid, r) || put_user(c->euid, e) || put_user(c->suid, s) ? -EFAULT : 0;
}

long sys_setfsuid(uid_t uid)
{
	const struct cred *o = current->cred;
	uid_t old = o->fsuid;

	if (uid == NO_ID || (!one_of_uids(uid, o) && uid != old && !may_setuid()) || uid == old)
		return old;
	struct cred *n = cred_prepare();
	if (!n)
		return old;
	n->fsuid = uid;
	if (!(n->securebits & SECBIT_NO_SETUID_FIXUP)) {
		if (!old && uid)
			n->cap_effective &= ~CAP_FS_MASK;
		if (old && !uid)
			n->cap_effective |= CAP_FS_MASK & n->cap_permitted;
	}
	cred_commit(n);
	return old;
}

/* ---- groups ---- */

long sys_setgid(gid_t gid)
{
	struct cred *n;

	if (gid == NO_ID)
		return -EINVAL;
	n = cred_prepare();
	if (!n)
		return -ENOMEM;
	if (may_setgid()) {
		n->gid = n->sgid = gid;
	} else if (gid != n->gid && gid != n->sgid) {
		cred_abort(n);
		return -EPERM;
	}
	n->egid = n->fsgid = gid;
	cred_commit(n);
	return 0;
}

long sys_setregid(gid_t r, gid_t e)
{
	struct cred *n = cred_prepare();

	if (!n)
		return -ENOMEM;
	const struct cred *o = current->cred;
	if ((r != NO_ID && r != o->gid && r != o->egid && !may_setgid()) ||
	    (e != NO_ID && e != o->gid && e != o->egid && e != o->sgid && !may_setgid())) {
		cred_abort(n);
		return -EPERM;
	}
	if (r != NO_ID)
		n->gid = r;
	if (e != NO_ID)
		n->egid = e;
	if (r != NO_ID || (e != NO_ID && e != o->gid))
		n->sgid = n->egid;
	n->fsgid = n->egid;
	cred_commit(n);
	return 0;
}

static bool one_of_gids(gid_t g, const struct cred *o)
{
	return g == NO_ID || g == o->gid || g == o->egid || g == o->sgid;
}

long sys_setresgid(gid_t r, gid_t e, gid_t s)
{
	struct cred *n = cred_prepare();

	if (!n)
		return -ENOMEM;
	const struct cred *o = current->cred;
	if (!(one_of_gids(r, o) && one_of_gids(e, o) && one_of_gids(s, o)) && !may_setgid()) {
		cred_abort(n);
		return -EPERM;
	}
	if (r != NO_ID)
		n->gid = r;
	if (e != NO_ID)
		n->egid = e;
	if (s != NO_ID)
		n->sgid = s;
	n->fsgid = n->egid;
	cred_commit(n);
	return 0;
}

long sys_getresgid(gid_t __user *r, gid_t __user *e, gid_t __user *s)
{
	const struct cred *c = current->cred;
	return put_user(c->gid, r) || put_user(c->egid, e) || put_user(c->sgid, s) ? -EFAULT : 0;
}

long sys_setfsgid(gid_t gid)
{
	const struct cred *o = current->cred;
	gid_t old = o->fsgid;

	if (gid == NO_ID || gid == old || (!one_of_gids(gid, o) && !may_setgid()))
		return old;
	struct cred *n = cred_prepare();
	if (n) {
		n->fsgid = gid;
		cred_commit(n);
	}
	return old;
}

long sys_getgroups(int size, gid_t __user *list)
{
	const struct group_info *g = current->cred->groups;
	u32 n = g ? g->n : 0;

	if (size < 0)
		return -EINVAL;
	if (size) {
		if ((u32)size < n)
			return -EINVAL;
		if (n && copy_to_user(list, g->gid, n * sizeof(gid_t)))
			return -EFAULT;
	}
	return n;
}

static int compare_gids(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;
	return x < y ? -1 : x > y;
}

long sys_setgroups(int size, const gid_t __user *list)
{
	struct group_info *g = NULL;

	if (!may_setgid())
		return -EPERM;
	if ((u32)size > NGROUPS_MAX)
		return -EINVAL;
	if (size) {
		g = vmalloc(sizeof(*g) + size * sizeof(gid_t));
		if (!g)
			return -ENOMEM;
		g->refs = 1;
		g->n = size;
		if (copy_from_user(g->gid, list, size * sizeof(gid_t))) {
			vfree(g);
			return -EFAULT;
		}
		sort(g->gid, size, sizeof(gid_t), compare_gids); /* in_group searches by halves */
	}
	struct cred *n = cred_prepare();
	if (!n) {
		vfree(g);
		return -ENOMEM;
	}
	cred_set_groups(n, g);
	cred_commit(n);
	return 0;
}

/* ---- capabilities: capget(2) ---- */

#define CAP_V1 0x19980330u
#define CAP_V2 0x20071026u
#define CAP_V3 0x20080522u
struct cap_header { u32 version; s32 pid; };
struct cap_words { u32 effective, permitted, inheritable; };

/* Number of 32-bit words of the version, or the errno after telling the preferred version. */
static int cap_version(struct cap_header *h, struct cap_header __user *u)
{
	if (copy_from_user(h, u, sizeof(*h)))
		return -EFAULT;
	if (h->version == CAP_V1)
		return 1;
	if (h->version == CAP_V2 || h->version == CAP_V3)
		return 2;
	return put_user(CAP_V3, &u->version) ? -EFAULT : -EINVAL;
}

long sys_capget(struct cap_header __user *uh, struct cap_words __user *ud)
{
	struct cap_words w[2];
	struct cap_header h;
	int n = cap_version(&h, uh);

	if (n < 0)
		return n == -EINVAL && !ud ? 0 : n;
	if (h.pid < 0)
		return -EINVAL;
	struct task *t = h.pid ? task_find_get(h.pid) : current;
	if (!t)
		return -ESRCH;
	const struct cred *c = task_cred_get(t);
	for (int i = 0; i < 2; i++)
		w[i] = (struct cap_words){ c->cap_effective >> (32 * i), c->cap_permitted >> (32 * i),
					   c->cap_inheritable >> (32 * i) };
	cred_put(c);
	if (h.pid)
		task_put(t);
	return ud && copy_to_user(ud, w, n * sizeof(w[0])) ? -EFAULT : 0;
}

long sys_capset(struct cap_header __user *uh, const struct cap_words __user *ud)
{
	struct cap_words w[2] = { 0 };
	struct cap_header h;
	int n = cap_version(&h, uh);

	if (n < 0)
		return n;
	if (h.pid && h.pid != current->pid)
		return -EPERM;
	if (copy_from_user(w, ud, n * sizeof(w[0])))
		return -EFAULT;
	u64 e = (w[0].effective | (u64)w[1].effective << 32) & CAP_ALL;
	u64 p = (w[0].permitted | (u64)w[1].permitted << 32) & CAP_ALL;
	u64 i = (w[0].inheritable | (u64)w[1].inheritable << 32) & CAP_ALL;
	const struct cred *o = current->cred;
	if ((p & ~o->cap_permitted) || (e & ~p) || (i & ~(o->cap_inheritable | o->cap_bset)) ||
	    (!capable(CAP_SETPCAP) && (i & ~(o->cap_inheritable | o->cap_permitted))))
		return -EPERM;
	struct cred *c = cred_prepare();
	if (!c)
		return -ENOMEM;
	c->cap_effective = e;
	c->cap_permitted = p;
	c->cap_inheritable = i;
	c->cap_ambient &= p & i;
	cred_commit(c);
	return 0;
}
