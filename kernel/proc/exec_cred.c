/*
 * What exec does to credentials: set-user-ID and set-group-ID bits, and capabilities(7),
 * "Transformation of capabilities during execve()". Files have no capabilities of their own here,
 * so with P the process, F the file (empty, or full when root's rules apply):
 *
 *     P'(ambient)     = privileged program ? 0 : P(ambient)
 *     P'(permitted)   = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
 *     P'(effective)   = F(effective) ? P'(permitted) : P'(ambient)
 *
 * In nearly every exec nothing changes, and then no copy is made.
 */
#include <proc/exec.h>
#include <proc/task.h>
#include <uapi/stat.h>

#define SECBIT_NOROOT 1u

struct wanted {
	uid_t euid;
	gid_t egid;
	u64 permitted, effective, ambient;
};

/* A tracer without CAP_SYS_PTRACE must not get hold of a program with more rights than its own (execve(2)). */
static bool traced_by_lesser(void)
{
	bool lesser;

	if (likely(!current->ptrace) || capable(CAP_SETUID))
		return false;
	tasklist_read_lock();
	lesser = current->ptrace && !(current->parent->cred->cap_effective >> CAP_SYS_PTRACE & 1);
	tasklist_read_unlock();
	return lesser;
}

static void set_id_bits(const struct exec *x, const struct cred *c, struct wanted *w)
{
	const struct exec_attr *a = &x->attr;

	if (a->nosuid || current->no_new_privs || traced_by_lesser())
		return;
	if (a->mode & S_ISUID)
		w->euid = a->uid;
	/* without the group's execute bit S_ISGID means mandatory locking (stat(2) of old) */
	if ((a->mode & (S_ISGID | 010)) == (S_ISGID | 010))
		w->egid = a->gid;
}

static void capabilities(const struct cred *c, struct wanted *w)
{
	bool root = !(c->securebits & SECBIT_NOROOT) && (w->euid == 0 || c->uid == 0);
	bool setid = w->euid != c->euid || w->egid != c->egid;
	u64 file = root ? CAP_ALL : 0;

	w->ambient = setid ? 0 : c->cap_ambient;
	w->permitted = (c->cap_inheritable & file) | (file & c->cap_bset) | w->ambient;
	w->effective = root && w->euid == 0 ? w->permitted : w->ambient;
}

int exec_creds(struct exec *x)
{
	const struct cred *c = current->cred;
	struct wanted w = { .euid = c->euid, .egid = c->egid };

	set_id_bits(x, c, &w);
	capabilities(c, &w);
	x->secure = c->uid != w.euid || c->gid != w.egid ||
		    (c->uid != 0 && (w.effective & ~w.ambient));
	if (w.euid == c->euid && w.egid == c->egid && c->suid == w.euid && c->fsuid == w.euid &&
	    c->sgid == w.egid && c->fsgid == w.egid && w.permitted == c->cap_permitted &&
	    w.effective == c->cap_effective && w.ambient == c->cap_ambient)
		return 0;
	x->cred = cred_prepare();
	if (!x->cred)
		return -ENOMEM;
	x->cred->euid = x->cred->suid = x->cred->fsuid = w.euid;
	x->cred->egid = x->cred->sgid = x->cred->fsgid = w.egid;
	x->cred->cap_permitted = w.permitted;
	x->cred->cap_effective = w.effective;
	x->cred->cap_ambient = w.ambient;
	return 0;
}
