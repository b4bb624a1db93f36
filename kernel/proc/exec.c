/*
 * execve: a new program in an old process.
 *
 * The new image is built completely beside the old one: file checked, strings copied, address space
 * made, segments mapped, stack written, credentials and private tables prepared. All of that can
 * fail, and then the caller gets an errno and has lost nothing. exec_commit comes last and cannot
 * fail: it swaps the address space, handlers and credentials, closes descriptors, and points the
 * saved registers at the new entry. Between the two stands de_thread, which ends the other threads;
 * it gives up only when the whole group is being killed, and then this thread dies too.
 *
 *   exec_args.c    argv and envp into one kernel buffer
 *   here           the file, through "#!" lines up to five deep, and the ELF interpreter
 *   exec_image.c   the new mm: segments, brk, stack, vDSO
 *   exec_cred.c    set-user-ID bits and capabilities
 *   dethread.c     the other threads
 *
 * Formats are parsed by loader/ (pure). Cost: one buffer of strings, one write into the new stack;
 * files are mapped, never read beyond their headers.
 */
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/err.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <proc/exec.h>
#include <proc/ptrace.h>
#include <uapi/fcntl.h>
#include <x86/fpu.h>
#include <x86/ptrace.h>
#include <x86/tlb.h>
#include <x86/uaccess.h>

#define AT_FDCWD_ (-100)
#define SCRIPT_DEPTH 5

static s64 read_at(struct file *f, void *buf, u64 n, u64 off)
{
	s64 r = exec_read(f, buf, n, off);
	return r >= 0 && (u64)r == n ? 0 : r < 0 ? r : -ENOEXEC;
}

/* Header and program headers of one ELF file. => b->phdrs to be freed when they are not in b->head */
static int parse_elf(struct exec_binary *b)
{
	const void *ph;

	if (elf_parse_header(b->head, b->head_len, &b->img) != ELF_OK)
		return -ENOEXEC;
	u64 n = (u64)b->img.phnum * ELF_PHDR_SIZE;
	if (b->img.phoff <= b->head_len && n <= b->head_len - b->img.phoff) {
		ph = b->head + b->img.phoff;
	} else {
		b->phdrs = kmalloc(n, GFP_KERNEL);
		if (!b->phdrs)
			return -ENOMEM;
		s64 r = read_at(b->file, b->phdrs, n, b->img.phoff);
		if (r)
			return (int)r;
		ph = b->phdrs;
	}
	return elf_parse_segments(ph, TASK_SIZE_MAX, &b->img) == ELF_OK ? 0 : -ENOEXEC;
}

static int open_binary(struct exec_binary *b, int dirfd, const char *path, int flags)
{
	b->file = exec_open(dirfd, path, flags);
	if (IS_ERR(b->file)) {
		int err = PTR_ERR(b->file);
		b->file = NULL;
		return err;
	}
	s64 n = exec_read(b->file, b->head, sizeof(b->head), 0);
	if (n < 0)
		return (int)n;
	b->head_len = (u32)n;
	return 0;
}

static void close_binary(struct exec_binary *b)
{
	kfree(b->phdrs);
	b->phdrs = NULL;
	if (b->file)
		file_put(b->file); /* the last reference, perhaps that of a running program, lets writers in again */
	b->file = NULL;
}

static int open_elf_interpreter(struct exec *x)
{
	struct elf_image *img = &x->prog.img;
	char *name = kmalloc(img->interp_len, GFP_KERNEL);
	int err;

	if (!name)
		return -ENOMEM;
	err = (int)read_at(x->prog.file, name, img->interp_len, img->interp_offset);
	if (!err && name[img->interp_len - 1])
		err = -ENOEXEC;
	if (!err)
		err = open_binary(&x->interp, AT_FDCWD_, name, 0);
	kfree(name);
	if (err)
		return err;
	err = parse_elf(&x->interp);
	if (err == -ENOEXEC)
		return -ELIBBAD;
	return err ?: x->interp.img.has_interp ? -EINVAL : 0;
}

/* Follows "#!" to a real program. x->path becomes the interpreter's. */
static int exec_open_all(struct exec *x, int dirfd, int flags)
{
	struct script_line l;
	int err;

	for (int depth = 0;; depth++) {
		err = open_binary(&x->prog, dirfd, x->path, flags);
		if (err)
			return err;
		const u8 *h = x->prog.head;
		if (x->prog.head_len < 2 || h[0] != '#' || h[1] != '!')
			break;
		if (depth == SCRIPT_DEPTH)
			return -ELOOP;
		if (!script_parse(h, x->prog.head_len, &l))
			return -ENOEXEC;
		/* named by a descriptor that exec closes, it could not be opened by its interpreter (execveat(2)) */
		if (dirfd != AT_FDCWD_ && x->path[0] != '/' && fd_get_cloexec((unsigned)dirfd))
			return -ENOENT;
		err = exec_strings_script(x, &l);
		if (err)
			return err;
		memcpy(x->path_buf, l.path, l.path_len);
		x->path_buf[l.path_len] = 0;
		x->path = x->script_name = x->path_buf;
		close_binary(&x->prog);
		dirfd = AT_FDCWD_;
		flags = 0;
	}
	exec_attr(x->prog.file, &x->attr);
	err = parse_elf(&x->prog);
	if (!err && x->prog.img.has_interp)
		err = open_elf_interpreter(x);
	return err;
}

/* Tables shared with other processes become private; threads of the own group will be gone. */
static int exec_unshare(struct exec *x)
{
	struct task *t = current;

	if (t->files && __atomic_load_n((s32 *)t->files, __ATOMIC_RELAXED) > 1) { /* refs is its first field */
		struct files *files = files_dup(t->files);
		if (IS_ERR(files))
			return PTR_ERR(files);
		x->files = files;
	}
	if (READ_ONCE(t->sighand->refs) > 1) {
		x->sighand = sighand_alloc();
		if (!x->sighand)
			return -ENOMEM;
	}
	return 0;
}

/* ---- commit: nothing below fails ---- */

static void swap_mm(struct task *t, struct mm *mm)
{
	struct mm *old = t->thread.mm;

	spin_lock_irq(&t->alloc_lock);
	t->thread.mm = mm;
	t->thread.active_mm = mm;
	tlb_switch_mm(old, mm);
	spin_unlock_irq(&t->alloc_lock);
	if (old)
		mm_put(old);
}

static void swap_sighand(struct task *t, struct sighand *fresh)
{
	struct sighand *old = t->sighand;

	if (READ_ONCE(old->refs) > 1) {
		tasklist_write_lock();
		spin_lock(&old->lock);
		memcpy(fresh->action, old->action, sizeof(fresh->action));
		rcu_assign_pointer(t->sighand, fresh);
		spin_unlock(&old->lock);
		tasklist_write_unlock();
		sighand_put(old);
	} else if (fresh) {
		sighand_put(fresh);
	}
	flush_signal_handlers(t, false);
}

static void reset_task(struct task *t, const struct exec *x)
{
	const char *base = strrchr(x->execfn, '/');

	task_set_comm(t, base ? base + 1 : x->execfn);
	t->flags &= ~(PF_FORKNOEXEC | PF_KTHREAD);
	thread_clear_flag(&t->thread, TIF_DISPATCH);
	t->exit_signal = SIGCHLD;
	t->sas_sp = t->sas_size = 0;
	t->sas_flags = 0;
	t->robust_list = NULL;
	t->futex_wait = NULL; /* PI locks may be taken again */
	t->clear_child_tid = t->set_child_tid = NULL;
	t->rseq = 0;
	thread_clear_flag(&t->thread, TIF_RSEQ);
	t->restart.fn = NULL;
	t->keep_caps = 0;
	t->dumpable = !x->secure;
	if (x->secure)
		t->pdeath_signal = 0;
	arch_debug_clear();
	fpu_exec(); /* FS and GS: arch_start_user */
}

static void exec_commit(struct exec *x)
{
	struct task *t = current;
	struct files *old_files = NULL;

	if (t->thread.mm)
		task_mm_release(t, t->thread.mm);
	rlimits_to_mm(t, x->mm);
	swap_mm(t, x->mm);
	x->mm = NULL;
	if (x->files) {
		spin_lock_irq(&t->alloc_lock);
		old_files = t->files;
		t->files = x->files;
		spin_unlock_irq(&t->alloc_lock);
		files_put(old_files);
		x->files = NULL;
	}
	swap_sighand(t, x->sighand);
	x->sighand = NULL;
	posix_timers_exit(t->signal);
	reset_task(t, x);
	if (x->cred) {
		cred_commit(x->cred);
		t->dumpable = !x->secure;
		x->cred = NULL;
	}
	files_close_on_exec(t->files);
	arch_start_user(arch_user_regs(&t->thread.arch), x->entry, x->sp);
}

static void exec_free(struct exec *x)
{
	exec_strings_free(x);
	close_binary(&x->prog);
	if (x->interp.file)
		file_allow_write(x->interp.file); /* only the program itself stays protected (open(2), ETXTBSY) */
	close_binary(&x->interp);
	if (x->mm)
		mm_put(x->mm);
	if (x->cred)
		cred_abort(x->cred);
	if (x->files)
		files_put(x->files);
	if (x->sighand)
		sighand_put(x->sighand);
}

/* Everything after the strings are there. */
static int exec_run(struct exec *x, int dirfd, int flags)
{
	int err;

	err = exec_open_all(x, dirfd, flags);
	if (err)
		return err;
	err = exec_creds(x);
	if (err)
		return err;
	err = exec_build(x);
	if (err)
		return err;
	err = exec_unshare(x);
	if (err)
		return err;
	pid_t old_pid = current->pid;
	err = de_thread();
	if (err)
		return err;
	exec_commit(x);
	ptrace_event(PTRACE_EVENT_EXEC, (u64)old_pid);
	return 0;
}

static void exec_init(struct exec *x, const char *path, const char *execfn)
{
	/* the two head buffers and path_buf need no clearing */
	memset(x, 0, offsetof(struct exec, prog));
	x->path = path;
	x->execfn = x->script_name = execfn;
	x->prog.file = x->interp.file = NULL;
	x->prog.phdrs = x->interp.phdrs = NULL;
	x->interp.bias = 0;
	memset(&x->attr, 0, offsetof(struct exec, path_buf) - offsetof(struct exec, attr));
}

/* A file given by descriptor is named by it: AT_EXECFN, and what a script's interpreter opens. */
static char *name_by_fd(int dirfd, const char *path)
{
	u64 n = strlen(path) + 32;
	char *s = kmalloc(n, GFP_KERNEL);

	if (s)
		snprintf(s, n, *path ? "/dev/fd/%d/%s" : "/dev/fd/%d", dirfd, path);
	return s;
}

long do_execve(int dirfd, const char *path, const char __user *const __user *argv,
	       const char __user *const __user *envp, int flags)
{
	bool by_fd = dirfd != AT_FDCWD_ && path[0] != '/';
	const char *execfn = by_fd ? name_by_fd(dirfd, path) : path;
	struct exec x;
	int err;

	if (!execfn)
		return -ENOMEM;
	exec_init(&x, path, execfn);
	err = exec_strings_user(&x, argv, envp);
	if (!err)
		err = exec_run(&x, dirfd, flags);
	exec_free(&x);
	if (by_fd)
		kfree(execfn);
	return err;
}

int exec_kernel(const char *path, const char *const *argv, const char *const *envp)
{
	struct exec x;
	int err;

	exec_init(&x, path, path);
	err = exec_strings_kernel(&x, argv, envp);
	if (!err)
		err = exec_run(&x, AT_FDCWD_, 0);
	exec_free(&x);
	return err;
}
