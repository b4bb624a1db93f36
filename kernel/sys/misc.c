/* The rest: names, limits, prctl, system information, reboot, random bytes, the log. */
#include <kernel/cpumask.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <lib/err.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/usage.h>
#include <sys/util.h>
#include <proc/uts.h>
#include <x86/cpu.h>
#include <fs/fdtable.h>

/* ---- names ---- */

struct uts_name uts_name = {
	.sysname = "Linux", /* what programs built for this ABI look for */
	.nodename = "quoin",
	.release = "6.1.0-quoin",
	.version = "#1 SMP PREEMPT Quoin",
	.machine = "x86_64",
	.domainname = "(none)",
};
static DEFINE_MUTEX(uts_lock);

long sys_uname(struct uts_name __user *u)
{
	struct uts_name copy;

	mutex_lock(&uts_lock);
	copy = uts_name;
	mutex_unlock(&uts_lock);
	return copy_to_user(u, &copy, sizeof(copy)) ? -EFAULT : 0;
}

static long set_name(char *field, const char __user *name, int len)
{
	char buf[65] = { 0 };

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len > 64)
		return -EINVAL;
	if (copy_from_user(buf, name, len))
		return -EFAULT;
	mutex_lock(&uts_lock);
	memcpy(field, buf, sizeof(buf));
	mutex_unlock(&uts_lock);
	return 0;
}

long sys_sethostname(const char __user *name, int len)
{
	return set_name(uts_name.nodename, name, len);
}

long sys_setdomainname(const char __user *name, int len)
{
	return set_name(uts_name.domainname, name, len);
}

/* ---- limits ---- */

/* The stack and address-space limits are looked at by mm, in its own fields. */
static void limits_changed(struct task *t, int res)
{
	struct mm *mm = task_mm_get(t);

	if (mm) {
		rlimits_to_mm(t, mm);
		mm_put(mm);
	}
	if (res == RLIMIT_CPU)
		cpu_limits_start(t);
}

static int do_prlimit(struct task *t, u32 res, const struct rlimit *new, struct rlimit *old)
{
	struct task *leader = t->group_leader;
	int err = 0;

	if (res >= RLIM_NLIMITS)
		return -EINVAL;
	if (new && new->rlim_cur > new->rlim_max)
		return -EINVAL;
	if (new && res == RLIMIT_NOFILE && new->rlim_max > nr_open_max)
		return -EPERM;
	spin_lock_irq(&leader->alloc_lock);
	struct rlimit *r = &t->signal->rlim[res];
	if (old)
		*old = *r;
	if (new) {
		if (new->rlim_max > r->rlim_max && !capable(CAP_SYS_RESOURCE))
			err = -EPERM;
		else
			*r = *new;
	}
	spin_unlock_irq(&leader->alloc_lock);
	if (!err && new)
		limits_changed(t, res);
	return err;
}

long sys_getrlimit(u32 res, struct rlimit __user *u)
{
	struct rlimit r;
	int err = do_prlimit(current, res, NULL, &r);

	return err ?: copy_to_user(u, &r, sizeof(r)) ? -EFAULT : 0;
}

long sys_setrlimit(u32 res, const struct rlimit __user *u)
{
	struct rlimit r;

	if (copy_from_user(&r, u, sizeof(r)))
		return -EFAULT;
	return do_prlimit(current, res, &r, NULL);
}

static bool may_prlimit(struct task *t)
{
	const struct cred *me = current->cred, *c;

	if (same_thread_group(t, current))
		return true;
	rcu_read_lock();
	c = rcu_dereference(t->cred);
	bool same = me->uid == c->euid && me->uid == c->suid && me->uid == c->uid && me->gid == c->egid &&
		    me->gid == c->sgid && me->gid == c->gid;
	rcu_read_unlock();
	return same || capable(CAP_SYS_RESOURCE);
}

long sys_prlimit64(pid_t pid, u32 res, const struct rlimit __user *unew, struct rlimit __user *uold)
{
	struct rlimit new, old;

	if (unew && copy_from_user(&new, unew, sizeof(new)))
		return -EFAULT;
	struct task *t = pid ? task_find_get(pid) : current;
	if (!t)
		return -ESRCH;
	int err = may_prlimit(t) ? do_prlimit(t, res, unew ? &new : NULL, uold ? &old : NULL) : -EPERM;
	if (pid)
		task_put(t);
	if (!err && uold && copy_to_user(uold, &old, sizeof(old)))
		err = -EFAULT;
	return err;
}

/* ---- system information ---- */

struct sysinfo_user {
	s64 uptime;
	u64 loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	u64 totalhigh, freehigh;
	u32 mem_unit;
};
_Static_assert(sizeof(struct sysinfo_user) == 112, "ABI");
u64 nr_shmem_pages(void);

long sys_sysinfo(struct sysinfo_user __user *u)
{
	struct sysinfo_user s = { .mem_unit = 1 };

	s.uptime = (ktime_ns() + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
	for (int i = 0; i < 3; i++)
		s.loads[i] = avenrun[i] << (16 - 11);
	s.totalram = nr_total_pages() * PAGE_SIZE;
	s.freeram = nr_free_pages() * PAGE_SIZE;
	s.sharedram = nr_shmem_pages() * PAGE_SIZE;
	s.procs = (u16)min(spread_sum(&nr_tasks), (s64)65535);
	return copy_to_user(u, &s, sizeof(s)) ? -EFAULT : 0;
}

long sys_getcpu(u32 __user *cpu, u32 __user *node, void __user *unused)
{
	int c = smp_processor_id(); /* may be stale at once, as the manual says */

	if (cpu && put_user((u32)c, cpu))
		return -EFAULT;
	return node && put_user((u32)cpu_to_node(c), node) ? -EFAULT : 0;
}

#define GRND_NONBLOCK 1u
#define GRND_RANDOM 2u
#define GRND_INSECURE 4u

long sys_getrandom(void __user *buf, u64 n, u32 flags)
{
	u8 block[256];
	u64 done = 0;

	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & (GRND_INSECURE | GRND_RANDOM)) == (GRND_INSECURE | GRND_RANDOM))
		return -EINVAL;
	n = min_t(u64, n, S32_MAX & PAGE_MASK);
	while (done < n) {
		u64 part = min_t(u64, n - done, sizeof(block));
		get_random_bytes(block, part);
		u64 left = copy_to_user((char __user *)buf + done, block, part);
		done += part - left;
		if (left) {
			memset(block, 0, sizeof(block));
			return done ? (long)done : -EFAULT;
		}
		if (done >= 65536 && signal_pending_current())
			break;
	}
	memset(block, 0, sizeof(block));
	return (long)done;
}

/* ---- reboot(2) ---- */

#define REBOOT_MAGIC1 0xfee1deadu
#define REBOOT_RESTART 0x01234567u
#define REBOOT_HALT 0xcdef0123u
#define REBOOT_CAD_ON 0x89abcdefu
#define REBOOT_CAD_OFF 0u
#define REBOOT_POWER_OFF 0x4321fedcu
#define REBOOT_RESTART2 0xa1b2c3d4u

bool ctrl_alt_del_reboots = true;
long sys_sync(void);

long sys_reboot(u32 magic1, u32 magic2, u32 cmd, const char __user *arg)
{
	static const u32 magic[] = { 672274793, 85072278, 369367448, 537993216 };
	bool known = false;

	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	for (unsigned i = 0; i < ARRAY_SIZE(magic); i++)
		known |= magic2 == magic[i];
	if (magic1 != REBOOT_MAGIC1 || !known)
		return -EINVAL;
	switch (cmd) {
	case REBOOT_RESTART:
	case REBOOT_RESTART2:
		pr_notice("reboot: restarting\n");
		machine_reboot();
	case REBOOT_HALT:
		pr_notice("reboot: halted\n");
		machine_halt();
	case REBOOT_POWER_OFF:
		pr_notice("reboot: power down\n");
		machine_poweroff();
	case REBOOT_CAD_ON:
		ctrl_alt_del_reboots = true;
		return 0;
	case REBOOT_CAD_OFF:
		ctrl_alt_del_reboots = false;
		return 0;
	}
	return -EINVAL;
}

/* ---- personality, arch_prctl ---- */

long sys_personality(u32 p)
{
	u32 old = current->personality;

	if (p != 0xffffffff)
		current->personality = p;
	return old;
}

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012

long sys_arch_prctl(int op, u64 addr)
{
	struct thread *t = &current->thread;

	switch (op) {
	case ARCH_SET_FS:
	case ARCH_SET_GS:
		if (addr >= TASK_SIZE_MAX)
			return -EPERM;
		if (op == ARCH_SET_FS)
			arch_set_fsbase(t, addr);
		else
			arch_set_gsbase(t, addr);
		return 0;
	case ARCH_GET_FS:
		return put_user(arch_get_fsbase(t), (u64 __user *)addr);
	case ARCH_GET_GS:
		return put_user(arch_get_gsbase(t), (u64 __user *)addr);
	case ARCH_GET_CPUID:
		return 1; /* CPUID is never made to fault */
	case ARCH_SET_CPUID:
		return -ENODEV;
	}
	return -EINVAL;
}
