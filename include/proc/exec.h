/* What one execve is made of while it is prepared. Private to kernel/proc/exec*.c. */
#ifndef PROC_EXEC_H
#define PROC_EXEC_H

#include <loader/elf.h>
#include <loader/script.h>
#include <proc/impl.h>

#define EXEC_HEAD 512

struct exec_binary {
	struct file *file; /* reference, writes denied */
	struct elf_image img;
	void *phdrs; /* heap, when they are not in head */
	u32 head_len;
	u8 head[EXEC_HEAD]; /* the file's first bytes */
	u64 bias; /* load address - link address */
};

struct exec {
	const char *path; /* of the file being opened: the caller's, or path_buf */
	const char *execfn; /* what the caller asked for: AT_EXECFN */
	const char *script_name; /* how an interpreter can open the file: execfn, later path */
	char *strings; /* argv strings, then envp strings, each with NUL */
	u64 len, cap, args_len, argc, envc, limit;
	struct exec_binary prog, interp;
	struct exec_attr attr;
	struct mm *mm;
	u64 stack_top, entry, sp;
	struct cred *cred; /* NULL: stays as it is */
	bool secure; /* AT_SECURE */
	bool randomize;
	struct sighand *sighand; /* prepared when the old one is shared with other processes */
	struct files *files; /* likewise */
	char path_buf[SCRIPT_LINE_MAX];
};

/* exec_args.c. 0 or -errno; what they allocate is freed by exec_strings_free. */
int exec_strings_user(struct exec *x, const char __user *const __user *argv, const char __user *const __user *envp);
int exec_strings_kernel(struct exec *x, const char *const *argv, const char *const *envp);
int exec_strings_script(struct exec *x, const struct script_line *l); /* replaces argv[0] */
void exec_strings_free(struct exec *x);

/* exec_image.c: builds x->mm; the caller frees it on failure */
int exec_build(struct exec *x);

/* exec_cred.c: x->cred and x->secure from the file's bits and capability rules */
int exec_creds(struct exec *x);

#endif
