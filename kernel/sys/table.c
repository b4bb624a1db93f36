/*
 * The system-call table. Functions are found by weak reference, so that defining sys_NAME anywhere in kernel/sys
 * makes the call live; the rest answers ENOSYS and is logged once by name.
 */
#include <kernel/printk.h>
#include <lib/bitops.h>
#include <uapi/errno.h>
#include <proc/task.h>
#include <sys/syscall.h>

#define SYSCALL(nr, name) extern long sys_##name(u64, u64, u64, u64, u64, u64) __attribute__((weak));
#include <sys/table.h>
#undef SYSCALL

#define SYSCALL(nr, name) [nr] = #name,
const char *const syscall_names[NR_SYSCALLS] = {
#include <sys/table.h>
};
#undef SYSCALL

#define SYSCALL(nr, name) [nr] = sys_##name,
syscall_fn syscall_table[NR_SYSCALLS] = {
#include <sys/table.h>
};
#undef SYSCALL

static u64 logged[(NR_SYSCALLS + 63) / 64];

/* The number is still in the caller's saved registers. */
static long sys_ni(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	(void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
	u64 nr = arch_user_regs(&current->thread.arch)->orig_rax;
	if (nr < NR_SYSCALLS && !(__atomic_fetch_or(&logged[nr / 64], 1ull << (nr % 64), __ATOMIC_RELAXED) >> (nr % 64) & 1))
		pr_info("%s[%d]: system call %llu (%s) is not implemented\n", current->thread.comm,
			current->pid, (unsigned long long)nr, syscall_names[nr] ?: "?");
	return -ENOSYS;
}

void syscall_init(void)
{
	for (unsigned i = 0; i < NR_SYSCALLS; i++)
		if (!syscall_table[i])
			syscall_table[i] = sys_ni;
}
