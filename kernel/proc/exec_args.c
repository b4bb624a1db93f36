/*
 * The strings of an execve: argv and envp gathered into one kernel buffer, back to back.
 *
 * Each user string is copied once, straight to its place; the buffer doubles when one does not fit.
 * Limits are execve(2)'s: a quarter of the stack limit (at least 128 KiB, at most 6 MiB) for strings
 * and pointers together, 128 KiB for one string.
 */
#include <lib/string.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/exec.h>
#include <x86/uaccess.h>

#define MAX_ARG_STRLEN 131072u
#define ARG_MIN 131072u /* always allowed */
#define ARG_MOST (6u << 20) /* three quarters of the default stack limit */

static void *big_alloc(u64 n)
{
	return n <= 65536 ? kmalloc(n, GFP_KERNEL) : vmalloc(n);
}

static void big_free(void *p, u64 n)
{
	if (n <= 65536)
		kfree(p);
	else
		vfree(p);
}

static int strings_reserve(struct exec *x, u64 more)
{
	u64 cap = x->cap ?: 2048;
	char *p;

	if (likely(x->len + more <= x->cap))
		return 0;
	while (cap < x->len + more)
		cap *= 2;
	p = big_alloc(cap);
	if (!p)
		return -ENOMEM;
	memcpy(p, x->strings, x->len);
	if (x->strings)
		big_free(x->strings, x->cap);
	x->strings = p;
	x->cap = cap;
	return 0;
}

/* Room for strings and their pointers together; the stack must hold both (execve(2), "Limits"). */
static int strings_check(struct exec *x)
{
	u64 words = (max_t(u64, x->argc, 1) + x->envc) * sizeof(u64);
	return x->len + words > x->limit ? -E2BIG : 0;
}

static int add_user_string(struct exec *x, const char __user *s)
{
	for (;;) {
		u64 room = x->cap - x->len;
		if (room > 0) {
			u64 n = min_t(u64, room, MAX_ARG_STRLEN);
			s64 r = strncpy_from_user(x->strings + x->len, s, n);
			if (r < 0)
				return -EFAULT;
			if ((u64)r < n) {
				x->len += r + 1;
				return 0;
			}
			if (n == MAX_ARG_STRLEN)
				return -E2BIG;
		}
		/* it did not fit: more room, and once more from the start */
		if (x->cap >= 2 * (u64)ARG_MOST)
			return -E2BIG;
		int err = strings_reserve(x, max_t(u64, x->cap, 2048));
		if (err)
			return err;
	}
}

static int add_user_strings(struct exec *x, const char __user *const __user *list, u64 *count)
{
	const char __user *s;
	int err;

	for (; list; list++) {
		if (get_user(s, list))
			return -EFAULT;
		if (!s)
			break;
		err = add_user_string(x, s);
		if (err)
			return err;
		++*count;
		err = strings_check(x);
		if (err)
			return err;
		if ((*count & 255) == 0 && fatal_signal_pending_current())
			return -ERESTARTNOHAND;
	}
	return 0;
}

static int add_kernel_strings(struct exec *x, const char *const *list, u64 *count)
{
	for (; *list; list++, ++*count) {
		u64 n = strlen(*list) + 1;
		if (n > MAX_ARG_STRLEN || strings_reserve(x, n))
			return -E2BIG;
		memcpy(x->strings + x->len, *list, n);
		x->len += n;
	}
	return 0;
}

static void set_limit(struct exec *x)
{
	u64 limit = current->signal->rlim[RLIMIT_STACK].rlim_cur / 4;
	x->limit = max_t(u64, min_t(u64, limit, ARG_MOST), ARG_MIN);
}

int exec_strings_user(struct exec *x, const char __user *const __user *argv,
			     const char __user *const __user *envp)
{
	int err;

	set_limit(x);
	err = add_user_strings(x, argv, &x->argc);
	if (err)
		return err;
	if (!x->argc) { /* as Linux since 5.18: programs rely on argv[0] being there */
		const char *const empty[] = { "", NULL };
		err = add_kernel_strings(x, empty, &x->argc);
	}
	x->args_len = x->len;
	return err ?: add_user_strings(x, envp, &x->envc);
}

int exec_strings_kernel(struct exec *x, const char *const *argv, const char *const *envp)
{
	int err;

	set_limit(x);
	err = add_kernel_strings(x, argv, &x->argc);
	x->args_len = x->len;
	return err ?: add_kernel_strings(x, envp, &x->envc);
}

/* "#!": the interpreter, its argument and the script's name take the place of argv[0]. */
int exec_strings_script(struct exec *x, const struct script_line *l)
{
	u64 old = strlen(x->strings) + 1, name = strlen(x->script_name) + 1;
	u64 new = l->path_len + 1 + (l->arg ? l->arg_len + 1 : 0) + name;
	int err = strings_reserve(x, new);
	char *p;

	if (err)
		return err;
	memmove(x->strings + new, x->strings + old, x->len - old);
	p = x->strings;
	memcpy(p, l->path, l->path_len);
	p[l->path_len] = 0;
	p += l->path_len + 1;
	if (l->arg) {
		memcpy(p, l->arg, l->arg_len);
		p[l->arg_len] = 0;
		p += l->arg_len + 1;
		x->argc++;
	}
	memcpy(p, x->script_name, name);
	x->argc++;
	x->len += new - old;
	x->args_len += new - old;
	return strings_check(x);
}

void exec_strings_free(struct exec *x)
{
	if (x->strings)
		big_free(x->strings, x->cap);
	x->strings = NULL;
}
