/*
 * Building the address space of a new program: nobody runs in it yet, so nothing here is seen by
 * anybody until exec_commit.
 *
 * Placement: ET_EXEC where it is linked; position-independent programs at the PIE base; the
 * interpreter just below mmap_base, above all that mmap will place; the vDSO above the stack when
 * there is room. Segments are mapped from the file page by page (private, copy-on-write); the part
 * of a last page beyond the file's bytes is zeroed here, the rest of .bss is anonymous memory.
 */
#include <kernel/random.h>
#include <lib/err.h>
#include <lib/string.h>
#include <loader/ustack.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/exec.h>
#include <x86/cpu.h>

#define ADDR_NO_RANDOMIZE 0x40000u
#define ADDR_COMPAT_LAYOUT 0x200000u
#define READ_IMPLIES_EXEC 0x400000u

#define AT_PHDR 3
#define AT_PHENT 4
#define AT_PHNUM 5
#define AT_PAGESZ 6
#define AT_BASE 7
#define AT_FLAGS 8
#define AT_ENTRY 9
#define AT_UID 11
#define AT_EUID 12
#define AT_GID 13
#define AT_EGID 14
#define AT_HWCAP 16
#define AT_CLKTCK 17
#define AT_SECURE 23
#define AT_HWCAP2 26
#define AT_SYSINFO_EHDR 33
#define AT_MINSIGSTKSZ 51
#define HWCAP2_FSGSBASE 2

static u64 segment_vmflags(const struct elf_segment *s)
{
	u64 f = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

	if (s->flags & ELF_R)
		f |= VM_READ;
	if (s->flags & ELF_W)
		f |= VM_WRITE | VM_ACCOUNT;
	if (s->flags & ELF_X)
		f |= VM_EXEC;
	return f;
}

/* One PT_LOAD: file pages, the zeroed tail of the last one, anonymous rest. */
static int map_segment(struct mm *mm, struct exec_binary *b, const struct elf_segment *s)
{
	u64 flags = segment_vmflags(s);
	u64 start = (s->vaddr + b->bias) & PAGE_MASK;
	u64 file_end = s->vaddr + b->bias + s->filesz, end = s->vaddr + b->bias + s->memsz;
	u64 mapped = ALIGN(file_end, PAGE_SIZE);
	s64 r;

	if (s->filesz) {
		r = mm_map_exec(mm, b->file, start, mapped - start, flags, s->offset >> PAGE_SHIFT);
		if (r < 0)
			return (int)r;
	} else {
		mapped = start;
	}
	if (end > file_end && s->filesz && (file_end & ~PAGE_MASK) && (s->flags & ELF_W)) {
		u64 n = mapped - file_end;
		r = mm_access(mm, file_end, page_address(zero_page), n, true, true);
		if (r != (s64)n)
			return r < 0 ? (int)r : -EFAULT;
	}
	end = ALIGN(end, PAGE_SIZE);
	if (end > mapped) {
		r = mm_map_exec(mm, NULL, mapped, end - mapped, flags, 0);
		if (r < 0)
			return (int)r;
	}
	return 0;
}

static int map_binary(struct mm *mm, struct exec_binary *b)
{
	struct elf_segment s;
	u32 i = 0;
	int err = 0;

	while (!err && elf_next_load(&b->img, &i, &s))
		err = map_segment(mm, b, &s);
	return err;
}

static int place_program(struct exec *x)
{
	struct exec_binary *b = &x->prog;

	b->bias = 0;
	if (b->img.pie) {
		u64 base = ALIGN(mm_random_pie_base(x->randomize), b->img.align);
		b->bias = base - b->img.start;
	}
	return b->img.end + b->bias < x->mm->start_stack - 128 * SZ_1M ? 0 : -ENOMEM;
}

static int place_interpreter(struct exec *x)
{
	struct exec_binary *b = &x->interp;
	u64 len = b->img.end - b->img.start;

	b->bias = 0;
	if (!b->img.pie)
		return 0;
	if (x->mm->mmap_bottomup) {
		b->bias = ALIGN(x->mm->mmap_base, b->img.align) - b->img.start;
		return 0;
	}
	if (len > x->mm->mmap_base - PAGE_SIZE)
		return -ENOMEM;
	b->bias = ALIGN_DOWN(x->mm->mmap_base - len, b->img.align) - b->img.start;
	return 0;
}

static void note_code_and_data(struct mm *mm, const struct exec_binary *b)
{
	mm->start_code = b->img.code_start + b->bias;
	mm->end_code = b->img.code_end + b->bias;
	mm->start_data = b->img.data_start + b->bias;
	mm->end_data = b->img.data_end + b->bias;
}

/* ---- the stack ---- */

static u32 fill_aux(const struct exec *x, struct ustack_aux *a)
{
	const struct cred *c = x->cred ?: current->cred;
	const struct exec_binary *p = &x->prog;
	u32 n = 0;
#define AUX(t, v) a[n++] = (struct ustack_aux){ t, v }
	if (x->mm->vdso)
		AUX(AT_SYSINFO_EHDR, x->mm->vdso);
	AUX(AT_MINSIGSTKSZ, signal_frame_max());
	AUX(AT_HWCAP, cpu_hwcap());
	AUX(AT_PAGESZ, PAGE_SIZE);
	AUX(AT_CLKTCK, USER_HZ);
	AUX(AT_PHDR, p->img.phdr_vaddr ? p->img.phdr_vaddr + p->bias : 0);
	AUX(AT_PHENT, ELF_PHDR_SIZE);
	AUX(AT_PHNUM, p->img.phnum);
	AUX(AT_BASE, x->interp.file ? x->interp.img.start + x->interp.bias : 0);
	AUX(AT_FLAGS, 0);
	AUX(AT_ENTRY, p->img.entry + p->bias);
	AUX(AT_UID, c->uid);
	AUX(AT_EUID, c->euid);
	AUX(AT_GID, c->gid);
	AUX(AT_EGID, c->egid);
	AUX(AT_SECURE, x->secure);
	AUX(AT_HWCAP2, cpu_has(fsgsbase) ? HWCAP2_FSGSBASE : 0);
#undef AUX
	return n;
}

static int write_stack(struct exec *x, const struct ustack *us, const struct ustack_plan *plan)
{
	struct mm *mm = x->mm;
	bool small = plan->size <= 65536;
	void *buf = small ? kmalloc(plan->size, GFP_KERNEL) : vmalloc(plan->size);
	int err = 0;

	if (!buf)
		return -ENOMEM;
	ustack_write(us, plan, buf);
	for (u64 done = 0; !err && done < plan->size;) {
		s64 r = mm_access(mm, plan->sp + done, (char *)buf + done, plan->size - done, true, true);
		if (r <= 0)
			err = r == -ENOMEM ? -ENOMEM : -E2BIG; /* the stack may not grow so far */
		else
			done += r;
	}
	memset(mm->auxv, 0, sizeof(mm->auxv));
	memcpy(mm->auxv, (char *)buf + (plan->auxv - plan->sp), min_t(u64, plan->auxv_len, sizeof(mm->auxv)));
	if (small)
		kfree(buf);
	else
		vfree(buf);
	mm->start_stack = x->sp = plan->sp;
	mm->arg_start = plan->arg_start;
	mm->arg_end = plan->arg_end;
	mm->env_start = plan->env_start;
	mm->env_end = plan->env_end;
	return err;
}

static int build_stack(struct exec *x)
{
	struct ustack_aux aux[20];
	struct ustack_plan plan;
	struct ustack us = {
		.top = x->stack_top,
		.room = max_t(u64, min_t(u64, current->signal->rlim[RLIMIT_STACK].rlim_cur, 64 << 20), 256 << 10),
		.jitter = x->randomize ? get_random_u32() & 0x1ff0 : 0,
		.args = x->strings,
		.args_len = x->args_len,
		.argc = x->argc,
		.envs = x->strings + x->args_len,
		.envs_len = x->len - x->args_len,
		.envc = x->envc,
		.execfn = x->execfn,
		.platform = "x86_64",
		.aux = aux,
	};

	us.nr_aux = fill_aux(x, aux);
	get_random_bytes(us.random, sizeof(us.random));
	if (!ustack_plan(&us, &plan))
		return -E2BIG;
	return write_stack(x, &us, &plan);
}

/* ---- */

void rlimits_to_mm(struct task *t, struct mm *mm)
{
	const struct rlimit *r = t->signal->rlim;

	mm->rlimit_as = r[RLIMIT_AS].rlim_cur;
	mm->rlimit_data = r[RLIMIT_DATA].rlim_cur;
	mm->rlimit_stack = r[RLIMIT_STACK].rlim_cur;
	mm->rlimit_memlock = r[RLIMIT_MEMLOCK].rlim_cur;
	mm->may_lock_unlimited = t->cred->cap_effective >> CAP_IPC_LOCK & 1;
}

int exec_build(struct exec *x)
{
	struct task *t = current;
	struct mm *mm = mm_alloc();
	int err;

	if (!mm)
		return -ENOMEM;
	mm_publish(mm);
	x->mm = mm;
	x->randomize = !(t->personality & ADDR_NO_RANDOMIZE);
	mm->personality_norandom = !x->randomize;
	rlimits_to_mm(t, mm);
	err = mm_setup_layout(mm, mm->rlimit_stack, x->randomize, t->personality & ADDR_COMPAT_LAYOUT, &x->stack_top);
	if (!err)
		err = place_program(x);
	if (!err)
		err = map_binary(mm, &x->prog);
	if (!err)
		err = mm_set_brk_start(mm, x->prog.img.brk + x->prog.bias, x->randomize);
	if (!err && x->interp.file)
		err = place_interpreter(x);
	if (!err && x->interp.file)
		err = map_binary(mm, &x->interp);
	if (!err)
		err = vdso_map(mm, x->stack_top, x->randomize);
	if (!err)
		err = build_stack(x);
	if (err)
		return err;
	const struct exec_binary *first = x->interp.file ? &x->interp : &x->prog;
	x->entry = first->img.entry + first->bias;
	note_code_and_data(mm, &x->prog);
	mm->exe_file = vma_file_get(x->prog.file);
	return 0;
}
