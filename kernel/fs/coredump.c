/*
 * Writing a core file (core(5)): an ELF file with one note segment, which has the registers of every thread and what the process
 * was, and one load segment for each mapping, of which so much is in the file as coredump_filter says.
 *
 * The mappings are taken down first, as the note about files and the headers must agree with what follows. All threads of the
 * group stand still; another process that shares the memory may change it meanwhile, and then the file shows both.
 * Pages that were never touched are left out: holes of the file, zeroes for who reads it.
 */
#include <fs/internal.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/mm.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/coredump.h>
#include <proc/usage.h>
#include <proc/uts.h>
#include <x86/ptrace.h>

#define NT_PRSTATUS 1
#define NT_FPREGSET 2
#define NT_PRPSINFO 3
#define NT_AUXV 6
#define NT_SIGINFO 0x53494749
#define NT_FILE 0x46494c45
#define NT_X86_XSTATE 0x202
#define ET_CORE 4
#define EM_X86_64 62
#define PT_LOAD 1
#define PT_NOTE 4
#define PN_XNUM 0xffff

struct ehdr { u8 ident[16]; u16 type, machine; u32 version; u64 entry, phoff, shoff; u32 flags; u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx; };
struct phdr { u32 type, flags; u64 offset, vaddr, paddr, filesz, memsz, align; };
struct nhdr { u32 namesz, descsz, type; };

struct prstatus {
	s32 signo, code, error;
	s16 cursig, pad;
	u64 pending, held;
	s32 pid, ppid, pgrp, sid;
	struct { s64 sec, usec; } utime, stime, cutime, cstime;
	u64 regs[27];
	s32 fpvalid, pad2;
};
struct prpsinfo {
	char state, sname, zombie, nice;
	u32 pad;
	u64 flags;
	u32 uid, gid;
	s32 pid, ppid, pgrp, sid;
	char fname[16], args[80];
};
_Static_assert(sizeof(struct ehdr) == 64 && sizeof(struct phdr) == 56, "ABI");
_Static_assert(sizeof(struct prstatus) == 336 && sizeof(struct prpsinfo) == 136, "ABI");

struct area { u64 start, end, flags, in_file, pgoff; u32 name; /* offset in names, 0: no file */ };

struct dump {
	struct mm *mm;
	struct file *f;
	loff_t pos;
	u64 limit;
	u8 *notes; /* grows */
	u64 notes_len, notes_room;
	struct area *areas;
	u32 nr_areas;
	char *names;
	u64 names_len;
	u8 *page;
};

/* ---- what goes in ---- */

static bool filter_has(u32 filter, int bit)
{
	return filter >> bit & 1;
}

/* How much of a mapping: bits 0 and 1 anonymous private and shared, 2 and 3 files, 4 ELF headers. */
static u64 dumped_size(const struct vma *v, u32 filter)
{
	u64 all = v->end - v->start;

	if (v->flags & (VM_IO | VM_DONTDUMP | VM_PFNMAP | VM_SECRET))
		return 0;
	if (!v->file && v->ops) /* the kernel's own pages: vDSO */
		return all;
	if (v->flags & VM_SHARED)
		return filter_has(filter, v->mapping && !(v->mapping->flags & MAPPING_SHMEM) ? 3 : 1) ? all : 0;
	if ((!v->file || v->anon) && filter_has(filter, 0))
		return all;
	if (!v->file)
		return 0;
	if (filter_has(filter, 2))
		return all;
	return filter_has(filter, 4) && !v->pgoff && v->flags & VM_READ ? PAGE_SIZE : 0;
}

#define NAMES_ROOM (256 << 10)

static u32 note_name(struct dump *d, struct vma *v)
{
	char *to = d->names + d->names_len;

	if (!v->file || NAMES_ROOM - d->names_len < PATH_MAX || vma_file_path(v->file, to, PATH_MAX))
		return 0;
	u32 at = (u32)d->names_len;
	d->names_len += strlen(to) + 1;
	return at;
}

static bool take_areas(struct dump *d)
{
	u32 filter = current->signal->coredump_filter, n = 0;
	struct vma *v;

	down_read(&d->mm->lock);
	d->areas = vzalloc((d->mm->nr_vmas + 1) * sizeof(*d->areas));
	d->names = vzalloc(NAMES_ROOM);
	d->names_len = 1;
	if (d->areas && d->names) {
		for_each_vma(v, d->mm) {
			if (n == d->mm->nr_vmas)
				break;
			d->areas[n++] = (struct area){ v->start, v->end, v->flags, dumped_size(v, filter), v->pgoff, note_name(d, v) };
		}
	}
	d->nr_areas = n;
	up_read(&d->mm->lock);
	return d->areas && d->names;
}

/* ---- notes ---- */

static bool add(struct dump *d, const void *p, u64 n)
{
	u64 padded = ALIGN(n, 4);

	if (d->notes_len + padded > d->notes_room)
		return false;
	if (p)
		memcpy(d->notes + d->notes_len, p, n);
	memset(d->notes + d->notes_len + n, 0, padded - n);
	d->notes_len += padded;
	return true;
}

/* The descriptor may be filled in afterwards, at the address returned. */
static void *note(struct dump *d, const char *name, u32 type, const void *desc, u64 n)
{
	struct nhdr h = { (u32)strlen(name) + 1, (u32)n, type };

	if (!add(d, &h, sizeof(h)) || !add(d, name, h.namesz))
		return NULL;
	u8 *at = d->notes + d->notes_len;
	return add(d, desc, n) ? at : NULL;
}

static void put_time(void *to, u64 ns)
{
	s64 t[2] = { (s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC / 1000) };

	memcpy(to, t, sizeof(t));
}

static bool note_status(struct dump *d, struct task *t, const siginfo_t *info)
{
	struct prstatus s = {
		.signo = info->si_signo, .code = info->si_code, .error = info->si_errno, .cursig = (s16)info->si_signo,
		.pending = t->pending.set, .held = t->blocked, .pid = t->pid, .ppid = task_ppid(t), .pgrp = task_pgid(t),
		.sid = task_sid(t), .fpvalid = 1,
	};
	u64 u, k;

	if (thread_group_leader(t))
		group_cputime(t, &u, &k);
	else
		task_cputime(t, &u, &k);
	put_time(&s.utime, u);
	put_time(&s.stime, k);
	put_time(&s.cutime, t->signal->cutime);
	put_time(&s.cstime, t->signal->cstime);
	arch_ptrace_get_regs(&t->thread, s.regs);
	return note(d, "CORE", NT_PRSTATUS, &s, sizeof(s));
}

static bool note_vectors(struct dump *d, struct task *t)
{
	void *at = note(d, "CORE", NT_FPREGSET, NULL, FPREGS_SIZE), *x = note(d, "LINUX", NT_X86_XSTATE, NULL, arch_xstate_size());

	if (!at || !x)
		return false;
	arch_get_xstate(&t->thread, x);
	memcpy(at, x, FPREGS_SIZE);
	return true;
}

static bool note_process(struct dump *d)
{
	struct task *t = current;
	struct prpsinfo p = {
		.sname = 'R', .nice = (char)t->thread.nice, .flags = t->flags, .uid = t->cred->uid, .gid = t->cred->gid,
		.pid = t->tgid, .ppid = task_ppid(t), .pgrp = task_pgid(t), .sid = task_sid(t),
	};
	s64 n = mm_access(d->mm, d->mm->arg_start, p.args, min_t(u64, d->mm->arg_end - d->mm->arg_start, sizeof(p.args) - 1), false, true);

	for (s64 i = 0; i < n; i++)
		if (!p.args[i])
			p.args[i] = ' ';
	memcpy(p.fname, t->thread.comm, sizeof(p.fname));
	return note(d, "CORE", NT_PRPSINFO, &p, sizeof(p));
}

/* NT_FILE: a count, the page size, start, end and page offset of each mapping of a file; then their names. */
static bool note_files(struct dump *d)
{
	u64 n = 0, size = 16, *to;
	char *names;

	for (u32 i = 0; i < d->nr_areas; i++)
		if (d->areas[i].name) {
			n++;
			size += 24 + strlen(d->names + d->areas[i].name) + 1;
		}
	to = note(d, "CORE", NT_FILE, NULL, size);
	if (!to)
		return false;
	*to++ = n;
	*to++ = PAGE_SIZE;
	names = (char *)(to + 3 * n);
	for (u32 i = 0; i < d->nr_areas; i++) {
		const struct area *a = &d->areas[i];
		if (!a->name)
			continue;
		*to++ = a->start;
		*to++ = a->end;
		*to++ = a->pgoff;
		u64 len = strlen(d->names + a->name) + 1;
		memcpy(names, d->names + a->name, len);
		names += len;
	}
	return true;
}

static u64 auxv_size(const struct mm *mm)
{
	u32 n = 0;

	while (n + 2 < ARRAY_SIZE(mm->auxv) && mm->auxv[n])
		n += 2;
	return (n + 2) * sizeof(u64);
}

static bool make_notes(struct dump *d, const siginfo_t *info)
{
	u64 threads = (u64)READ_ONCE(current->signal->nr_threads);
	struct task *o;
	siginfo_t si;

	d->notes_room = 4096 + NAMES_ROOM + d->nr_areas * 24ull + threads * (1024 + FPREGS_SIZE + arch_xstate_size());
	d->notes = vzalloc(d->notes_room);
	if (!d->notes)
		return false;
	siginfo_copy(&si, info);
	siginfo_clear_rest(&si);
	if (!note_status(d, current, info) || !note_process(d) || !note(d, "CORE", NT_SIGINFO, &si, sizeof(si)) ||
	    !note(d, "CORE", NT_AUXV, d->mm->auxv, auxv_size(d->mm)) || !note_files(d) || !note_vectors(d, current))
		return false;
	/* the others wait in coredump_join: none leaves the list before we are done */
	for_each_thread(o, current)
		if (o != current && !(o->flags & PF_EXITING) && !(note_status(d, o, info) && note_vectors(d, o)))
			break; /* no room: the dump goes without the rest */
	return true;
}

/* ---- the file ---- */

static bool emit(struct dump *d, const void *p, u64 n)
{
	if ((u64)d->pos + n > d->limit)
		return false;
	while (n) {
		s64 done = kernel_write(d->f, p, n, &d->pos);
		if (done <= 0)
			return false;
		p = (const char *)p + done;
		n -= (u64)done;
	}
	return true;
}

static bool emit_headers(struct dump *d)
{
	u64 at = sizeof(struct ehdr) + (d->nr_areas + 1) * sizeof(struct phdr), data = ALIGN(at + d->notes_len, PAGE_SIZE);
	struct ehdr e = {
		.ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 }, .type = ET_CORE, .machine = EM_X86_64, .version = 1,
		.phoff = sizeof(e), .ehsize = sizeof(e), .phentsize = sizeof(struct phdr), .phnum = (u16)(d->nr_areas + 1),
	};
	struct phdr p = { .type = PT_NOTE, .offset = at, .filesz = d->notes_len, .align = 4 };

	if (!emit(d, &e, sizeof(e)) || !emit(d, &p, sizeof(p)))
		return false;
	for (u32 i = 0; i < d->nr_areas; i++) {
		const struct area *a = &d->areas[i];
		p = (struct phdr){ .type = PT_LOAD, .offset = data, .vaddr = a->start, .filesz = a->in_file, .memsz = a->end - a->start,
				   .align = PAGE_SIZE };
		p.flags = (a->flags & VM_READ ? 4 : 0) | (a->flags & VM_WRITE ? 2 : 0) | (a->flags & VM_EXEC ? 1 : 0);
		if (!emit(d, &p, sizeof(p)))
			return false;
		data += a->in_file;
	}
	return emit(d, d->notes, d->notes_len);
}

static bool emit_area(struct dump *d, const struct area *a)
{
	u8 resident;

	for (u64 addr = a->start; addr < a->start + a->in_file; addr += PAGE_SIZE) {
		if ((u64)d->pos + PAGE_SIZE > d->limit || fatal_signal_pending_current())
			return false;
		if (do_mincore(d->mm, addr, 1, &resident) != 1 || !(resident & 1) ||
		    mm_access(d->mm, addr, d->page, PAGE_SIZE, false, true) != (s64)PAGE_SIZE)
			d->pos += PAGE_SIZE;
		else if (!emit(d, d->page, PAGE_SIZE))
			return false;
	}
	return true;
}

/* core(5), "Naming of core dump files" */
static void make_name(char *to, u64 room, int sig)
{
	struct task *t = current;
	u64 n = 0;
	bool pid_in = false;

	for (const char *p = core_pattern; *p && n + 72 < room; p++) {
		if (*p != '%' || !p[1]) {
			to[n++] = *p;
			continue;
		}
		switch (*++p) {
		case '%': to[n++] = '%'; break;
		case 'p': case 'P': n += (u64)snprintf(to + n, room - n, "%d", t->tgid), pid_in = true; break;
		case 'i': case 'I': n += (u64)snprintf(to + n, room - n, "%d", t->pid); break;
		case 'u': n += (u64)snprintf(to + n, room - n, "%u", t->cred->uid); break;
		case 'g': n += (u64)snprintf(to + n, room - n, "%u", t->cred->gid); break;
		case 'd': n += (u64)snprintf(to + n, room - n, "%u", t->dumpable); break;
		case 's': n += (u64)snprintf(to + n, room - n, "%d", sig); break;
		case 't': n += (u64)snprintf(to + n, room - n, "%llu", (unsigned long long)(ktime_real_ns() / NSEC_PER_SEC)); break;
		case 'h': n += (u64)snprintf(to + n, room - n, "%s", uts_name.nodename); break;
		case 'e': n += (u64)snprintf(to + n, room - n, "%s", t->thread.comm); break;
		case 'c': n += (u64)snprintf(to + n, room - n, "%llu", (unsigned long long)rlimit_current(RLIMIT_CORE)); break;
		}
	}
	if (core_uses_pid && !pid_in)
		n += (u64)snprintf(to + n, room - n, ".%d", t->tgid);
	to[n] = 0;
}

/* A regular file of the user's own with one name, emptied. NULL: none to be had. */
static struct file *open_core(const char *name)
{
	struct file *f = do_filp_open(AT_FDCWD, name, O_CREAT | O_RDWR | O_NOFOLLOW | O_LARGEFILE, 0600, 0);
	struct iattr a = { .valid = ATTR_SIZE };

	if (IS_ERR(f))
		return NULL;
	if (S_ISREG(f->inode->mode) && f->inode->nlink == 1 && f->inode->uid == current_cred()->fsuid && !notify_change(&f->path, &a))
		return f;
	file_put(f);
	return NULL;
}

static bool write_all(struct dump *d)
{
	bool ok = emit_headers(d);

	d->pos = ALIGN(d->pos, PAGE_SIZE);
	for (u32 i = 0; ok && i < d->nr_areas; i++)
		ok = emit_area(d, &d->areas[i]);
	if (ok && d->f->inode->size < d->pos) { /* it ends in a hole */
		struct iattr a = { .valid = ATTR_SIZE, .size = (u64)d->pos };
		ok = !notify_change(&d->f->path, &a);
	}
	return ok;
}

bool coredump_write(const siginfo_t *info)
{
	struct dump d = { .mm = current->thread.mm, .limit = rlimit_current(RLIMIT_CORE) };
	char *name = kmalloc(PATH_MAX, GFP_KERNEL);
	bool ok = false;

	d.page = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (name && d.page && *core_pattern && *core_pattern != '|' && take_areas(&d) && make_notes(&d, info)) {
		make_name(name, PATH_MAX, info->si_signo);
		d.f = open_core(name);
		ok = d.f != NULL; /* a file cut short by the limit is a dump too */
		if (ok) {
			(void)write_all(&d);
			file_put(d.f);
		}
	}
	vfree(d.notes);
	vfree(d.names);
	vfree(d.areas);
	kfree(d.page);
	kfree(name);
	return ok;
}
