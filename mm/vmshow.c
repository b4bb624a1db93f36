/*
 * What /proc tells about an address space: maps, smaps, numa_maps, status, statm, pagemap. The text is Linux's, blank for blank.
 */
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <mm/mempolicy.h>
#include "run.h"

struct usage { /* bytes, but pss << PSS_SHIFT */
	u64 rss, pss, pss_dirty, pss_anon, pss_file, pss_shmem;
	u64 shared_clean, shared_dirty, private_clean, private_dirty;
	u64 referenced, anonymous, lazy_free, anon_huge, shmem_huge, locked, shared_huge, private_huge;
	u64 pages, mapmax, node[MAX_NODES];
	u64 pool_pages, pool_anon, pool_dirty; /* of a pool, in its page size */
};
#define PSS_SHIFT 12

static const char *vma_label(const struct vma *v, char *buf, u64 n)
{
	const struct mm *mm = v->mm;

	if (v->file)
		return vma_file_path(v->file, buf, n) < 0 ? "" : buf;
	if (v->ops && v->ops->name)
		return v->ops->name((struct vma *)v);
	if (v->special_name)
		return v->special_name;
	if (v->start <= mm->brk && v->end >= mm->start_brk && mm->brk != mm->start_brk)
		return "[heap]";
	if (v->start <= mm->start_stack && v->end >= mm->start_stack)
		return "[stack]";
	return NULL;
}

static void show_header(struct seq_buf *s, const struct vma *v, char *buf)
{
	u64 dev = 0, ino = 0, off = 0;
	size_t line = s->len;
	const char *name;

	if (v->file) {
		vma_file_ids(v->file, &dev, &ino);
		off = v->pgoff << PAGE_SHIFT;
	}
	seq_printf(s, "%08llx-%08llx %c%c%c%c %08llx %02llx:%02llx %llu ", v->start, v->end, v->flags & VM_READ ? 'r' : '-',
		   v->flags & VM_WRITE ? 'w' : '-', v->flags & VM_EXEC ? 'x' : '-', v->flags & VM_MAYSHARE ? 's' : 'p', off,
		   dev >> 20, dev & 0xfffff, ino);
	name = vma_label(v, buf, PAGE_SIZE);
	if (name && *name) {
		seq_pad_to(s, line, 72);
		seq_putc(s, ' ');
		if (v->file)
			seq_escape(s, name, "\n");
		else
			seq_puts(s, name);
	}
	seq_putc(s, '\n');
}

/* --- smaps --- */

static void count_page(struct usage *u, const struct vma *v, struct page *p, pte_t e, u64 size)
{
	struct page *head = page_head(p);
	s32 maps = max(READ_ONCE(head->mapcount), 1);
	u64 pss = (size << PSS_SHIFT) / maps;
	bool dirty = pte_dirty(e) || page_flag(head, PG_DIRTY), anon = page_of_process(head);

	u->rss += size;
	u->pss += pss;
	if (dirty)
		u->pss_dirty += pss;
	if (anon)
		u->pss_anon += pss;
	else if (page_flag(head, PG_SWAPBACKED))
		u->pss_shmem += pss;
	else
		u->pss_file += pss;
	if (maps > 1)
		*(dirty ? &u->shared_dirty : &u->shared_clean) += size;
	else
		*(dirty ? &u->private_dirty : &u->private_clean) += size;
	if (pte_young(e) || page_flag(head, PG_REFERENCED))
		u->referenced += size;
	if (anon)
		u->anonymous += size;
	if (page_type(head) == PT_ANON && !dirty && page_flag(head, PG_LAZYFREE))
		u->lazy_free += size;
	u->pages += size >> PAGE_SHIFT;
	u->mapmax = max(u->mapmax, (u64)maps);
	u->node[page_node(head) & (MAX_NODES - 1)] += size >> PAGE_SHIFT;
	if (v->flags & VM_LOCKED)
		u->locked += pss;
}

static void count_table(struct usage *u, const struct vma *v, pte_t *entry, u64 n)
{
	spinlock_t *lock = pt_lock_of(entry);

	spin_lock(lock);
	for (; n; n--, entry++) {
		pte_t e = pte_read(entry);

		if (pte_has_page(e))
			count_page(u, v, pte_frame(e), e, PAGE_SIZE);
	}
	spin_unlock(lock);
}

/* Pages of a pool are in no other sum than their own. numa_maps counts them in their own size. */
static void count_pool(struct usage *u, const struct vma *v)
{
	u64 size = vma_page_size(v);

	for (u64 a = v->start; a < v->end; a += size) {
		pte_t *entry = hugetlb_entry(v, a), e = { 0 };
		struct page *p;

		if (entry)
			e = pte_read(entry);
		if (!pte_has_page(e))
			continue;
		p = pte_frame(e);
		*(READ_ONCE(p->mapcount) > 1 ? &u->shared_huge : &u->private_huge) += size;
		u->pool_pages++;
		u->pool_anon += page_type(p) == PT_ANON;
		u->pool_dirty += pte_dirty(e);
		u->mapmax = max(u->mapmax, (u64)max(READ_ONCE(p->mapcount), 1));
		u->node[page_node(p) & (MAX_NODES - 1)]++;
	}
}

/* The pages of a run are shared or not each by itself. */
static void count_huge(struct usage *u, const struct vma *v, struct page *p, pmd_t e)
{
	if (vma_anonymous(v)) {
		count_page(u, v, p, e, PMD_SIZE);
		u->anon_huge += PMD_SIZE;
		return;
	}
	for (unsigned i = 0; i < HPAGE_PAGES; i++)
		count_page(u, v, p + i, e, PAGE_SIZE);
	u->shmem_huge += PMD_SIZE;
}

/* => m read */
static void count_vma(struct usage *u, const struct vma *v)
{
	u64 addr, next;

	if (v->flags & VM_HUGETLB) {
		count_pool(u, v);
		return;
	}
	for (addr = v->start; addr < v->end; addr = next) {
		pmd_t *pmd = pt_pmd(v->mm, addr), e;

		next = min((addr | ((pmd ? PMD_SIZE : PUD_SIZE) - 1)) + 1, v->end);
		if (!pmd)
			continue;
		e = pte_read(pmd);
		if (pmd_huge(e) && pte_has_page(e)) {
			count_huge(u, v, pte_frame(e), e);
		} else if (pmd_has_table(e)) {
			count_table(u, v, table_of(e) + pte_index(addr), (next - addr) >> PAGE_SHIFT);
		}
	}
}

/* As "%-16s%8llu kB\n", which is most of what smaps is made of. */
static void line(struct seq_buf *s, const char *name, u64 bytes)
{
	char text[] = "                         kB\n"; /* columns of 16 and 8 */
	u64 kb = bytes >> 10, n = strlen(name);
	char *digit = text + 24;

	if (unlikely(n > 16 || kb > 99999999)) {
		seq_printf(s, "%-16s%8llu kB\n", name, kb);
		return;
	}
	memcpy(text, name, n);
	do
		*--digit = (char)('0' + kb % 10);
	while (kb /= 10);
	seq_write(s, text, sizeof(text) - 1);
}

static void show_usage(struct seq_buf *s, const struct usage *u, bool rollup)
{
	line(s, "Rss:", u->rss);
	line(s, "Pss:", u->pss >> PSS_SHIFT);
	line(s, "Pss_Dirty:", u->pss_dirty >> PSS_SHIFT);
	if (rollup) {
		line(s, "Pss_Anon:", u->pss_anon >> PSS_SHIFT);
		line(s, "Pss_File:", u->pss_file >> PSS_SHIFT);
		line(s, "Pss_Shmem:", u->pss_shmem >> PSS_SHIFT);
	}
	line(s, "Shared_Clean:", u->shared_clean);
	line(s, "Shared_Dirty:", u->shared_dirty);
	line(s, "Private_Clean:", u->private_clean);
	line(s, "Private_Dirty:", u->private_dirty);
	line(s, "Referenced:", u->referenced);
	line(s, "Anonymous:", u->anonymous);
	line(s, "LazyFree:", u->lazy_free);
	line(s, "AnonHugePages:", u->anon_huge);
	line(s, "ShmemPmdMapped:", u->shmem_huge);
	line(s, "FilePmdMapped:", 0);
	line(s, "Shared_Hugetlb:", u->shared_huge);
	line(s, "Private_Hugetlb:", u->private_huge);
	line(s, "Swap:", 0);
	line(s, "SwapPss:", 0);
	line(s, "Locked:", u->locked >> PSS_SHIFT);
}

static const struct { u64 flag; char name[3]; } flag_names[] = {
	{ VM_READ, "rd" }, { VM_WRITE, "wr" }, { VM_EXEC, "ex" }, { VM_SHARED, "sh" }, { VM_MAYREAD, "mr" },
	{ VM_MAYWRITE, "mw" }, { VM_MAYEXEC, "me" }, { VM_MAYSHARE, "ms" }, { VM_GROWSDOWN, "gd" },
	{ VM_UFFD_MISSING, "um" }, { VM_PFNMAP, "pf" }, { VM_UFFD_WP, "uw" }, { VM_LOCKED, "lo" }, { VM_IO, "io" },
	{ VM_SEQ_READ, "sr" }, { VM_RAND_READ, "rr" }, { VM_DONTCOPY, "dc" }, { VM_DONTEXPAND, "de" },
	{ VM_LOCKONFAULT, "lf" }, { VM_ACCOUNT, "ac" }, { VM_NORESERVE, "nr" }, { VM_HUGETLB, "ht" },
	{ VM_SYNC, "sf" }, { VM_WIPEONFORK, "wf" }, { VM_DONTDUMP, "dd" }, { 0, "sd" }, { VM_MIXEDMAP, "mm" }, { VM_HUGEPAGE, "hg" },
	{ VM_NOHUGEPAGE, "nh" }, { VM_MERGEABLE, "mg" }, { VM_UFFD_MINOR, "ui" },
};

static void show_flags(struct seq_buf *s, const struct vma *v)
{
	seq_puts(s, "VmFlags: ");
	for (unsigned i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (flag_names[i].flag ? v->flags & flag_names[i].flag : !(v->flags & VM_SOFTTRACK)) {
			seq_write(s, flag_names[i].name, 2);
			seq_putc(s, ' ');
		}
	seq_putc(s, '\n');
}

static bool any_huge_range(const struct vma *v)
{
	u64 base = (v->start + PMD_SIZE - 1) & PMD_MASK;

	if (vma_anonymous(v))
		return base >= v->start && huge_eligible(v, base);
	return run_fits(v, base) && run_wanted(v->mapping, vma_index(v, base), v);
}

static void show_smap(struct seq_buf *s, const struct vma *v, char *buf)
{
	struct usage u = { 0 };

	count_vma(&u, v);
	show_header(s, v, buf);
	line(s, "Size:", v->end - v->start);
	line(s, "KernelPageSize:", vma_page_size(v));
	line(s, "MMUPageSize:", vma_page_size(v));
	show_usage(s, &u, false);
	seq_printf(s, "THPeligible:    %d\n", any_huge_range(v));
	if (cpu_has(pku))
		seq_printf(s, "ProtectionKey:  %8u\n", (unsigned)(v->flags >> VM_PKEY_SHIFT));
	show_flags(s, v);
}

static void show_rollup(struct mm *mm, struct seq_buf *s)
{
	struct usage u = { 0 };
	struct vma *v, *last = NULL;
	size_t line = s->len;

	for_each_vma(v, mm) {
		count_vma(&u, v);
		last = v;
	}
	seq_printf(s, "%08llx-%08llx ---p 00000000 00:00 0 ", last ? list_first_entry(&mm->vma_list, struct vma, list)->start : 0,
		   last ? last->end : 0);
	seq_pad_to(s, line, 72);
	seq_puts(s, " [rollup]\n");
	show_usage(s, &u, true);
}

static void show_nodes(struct seq_buf *s, const struct usage *u, u64 page_size)
{
	if (u->mapmax > 1)
		seq_printf(s, " mapmax=%llu", u->mapmax);
	for (int n = 0; n < MAX_NODES; n++)
		if (u->node[n])
			seq_printf(s, " N%d=%llu", n, u->node[n]);
	seq_printf(s, " kernelpagesize_kB=%llu", page_size >> 10);
}

static void show_numa(struct seq_buf *s, const struct vma *v, char *buf, const struct mempolicy *task)
{
	struct mempolicy own;
	char policy[160];
	struct usage u = { 0 };
	const char *name = vma_label(v, buf, PAGE_SIZE);

	count_vma(&u, v);
	if (!vma_policy_at(v, v->start, &own))
		own = task ? *task : (struct mempolicy){ 0 };
	mpol_text(&own, policy, sizeof(policy));
	seq_printf(s, "%08llx %s", v->start, policy);
	if (v->file && name && *name) {
		seq_puts(s, " file=");
		seq_escape(s, name, "\n\t= ");
	} else if (name && !strcmp(name, "[heap]")) {
		seq_puts(s, " heap");
	} else if (name && !strcmp(name, "[stack]")) {
		seq_puts(s, " stack");
	}
	if (v->flags & VM_HUGETLB)
		seq_puts(s, " huge");
	if (u.pool_pages) {
		if (u.pool_anon)
			seq_printf(s, " anon=%llu", u.pool_anon);
		if (u.pool_dirty)
			seq_printf(s, " dirty=%llu", u.pool_dirty);
		if (u.pool_pages != u.pool_anon && u.pool_pages != u.pool_dirty)
			seq_printf(s, " mapped=%llu", u.pool_pages);
		show_nodes(s, &u, vma_page_size(v));
	} else if (u.pages) {
		if (u.anonymous)
			seq_printf(s, " anon=%llu", u.anonymous >> PAGE_SHIFT);
		if (u.shared_dirty + u.private_dirty)
			seq_printf(s, " dirty=%llu", (u.shared_dirty + u.private_dirty) >> PAGE_SHIFT);
		if (u.pages != u.anonymous >> PAGE_SHIFT && u.pages != (u.shared_dirty + u.private_dirty) >> PAGE_SHIFT)
			seq_printf(s, " mapped=%llu", u.pages);
		show_nodes(s, &u, PAGE_SIZE);
	}
	seq_putc(s, '\n');
}

int mm_maps_show(struct mm *mm, struct seq_buf *s, int detail, const struct mempolicy *task)
{
	char *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	struct vma *v;

	if (!buf) {
		s->nomem = true;
		return -ENOMEM;
	}
	down_read(&mm->lock);
	if (detail == 2) {
		show_rollup(mm, s);
	} else {
		for (v = vma_find(mm, s->at); v; v = vma_next(v)) {
			size_t begin = s->len;

			if (detail == 0)
				show_header(s, v, buf);
			else if (detail == 1)
				show_smap(s, v, buf);
			else
				show_numa(s, v, buf, task);
			if (s->overflow) {
				seq_cut(s, begin, v->start);
				break;
			}
		}
	}
	up_read(&mm->lock);
	kfree(buf);
	return 0;
}

/* --- files --- */

struct file *mm_mapped_file(struct mm *mm, u64 start, u64 end)
{
	struct file *f = NULL;

	down_read(&mm->lock);
	struct vma *v = vma_find(mm, start);
	if (v && v->start == start && v->end == end && v->file)
		f = vma_file_get(v->file);
	up_read(&mm->lock);
	return f;
}

bool mm_next_mapped(struct mm *mm, u64 from, u64 *start, u64 *end)
{
	down_read(&mm->lock);
	struct vma *v = vma_find(mm, from);
	while (v && (!v->file || v->start < from))
		v = vma_next(v);
	if (v) {
		*start = v->start;
		*end = v->end;
	}
	up_read(&mm->lock);
	return v;
}

/* --- totals --- */

void mm_status_show(struct mm *mm, struct seq_buf *s)
{
	u64 anon = mm_rss(mm, RSS_ANON), file = mm_rss(mm, RSS_FILE), shmem = mm_rss(mm, RSS_SHMEM);
	u64 rss = anon + file + shmem, total = mm->total_vm, text, lib;

	text = (PAGE_ALIGN(mm->end_code) - (mm->start_code & PAGE_MASK)) >> PAGE_SHIFT;
	text = min(text, mm->exec_vm);
	lib = mm->exec_vm - text;
#define KB(name, pages) seq_printf(s, name ":\t%8llu kB\n", (u64)(pages) << 2)
	KB("VmPeak", max(mm->hiwater_vm, total));
	KB("VmSize", total);
	KB("VmLck", mm->locked_vm);
	KB("VmPin", 0ull); /* what a driver charges a process for; nobody does */
	KB("VmHWM", max(mm->hiwater_rss, rss));
	KB("VmRSS", rss);
	KB("RssAnon", anon);
	KB("RssFile", file);
	KB("RssShmem", shmem);
	KB("VmData", mm->data_vm);
	KB("VmStk", mm->stack_vm);
	KB("VmExe", text);
	KB("VmLib", lib);
	KB("VmPTE", mm->pgtables_bytes >> PAGE_SHIFT);
	KB("VmSwap", mm_rss(mm, RSS_SWAP));
	KB("HugetlbPages", max(READ_ONCE(mm->hugetlb_pages), 0ll));
#undef KB
}

void mm_statm(struct mm *mm, u64 v[7])
{
	v[0] = mm->total_vm;
	v[2] = mm_rss(mm, RSS_FILE) + mm_rss(mm, RSS_SHMEM);
	v[1] = v[2] + mm_rss(mm, RSS_ANON);
	v[3] = (PAGE_ALIGN(mm->end_code) - (mm->start_code & PAGE_MASK)) >> PAGE_SHIFT;
	v[4] = 0;
	v[5] = mm->data_vm + mm->stack_vm;
	v[6] = 0;
}

/* --- pagemap, clear_refs --- */

#define PM_PRESENT (1ull << 63)
#define PM_FILE (1ull << 61)
#define PM_UFFD_WP (1ull << 57)
#define PM_EXCLUSIVE (1ull << 56)
#define PM_SOFT_DIRTY (1ull << 55)

/* The page of an address nobody maps, as far as it goes. */
static u64 pagemap_entry(struct vma *v, u64 addr)
{
	u64 out = v->flags & VM_SOFTTRACK ? 0 : PM_SOFT_DIRTY;
	pmd_t *pmd = pt_pmd(v->mm, addr), e;
	struct page *p, *head;

	if (!pmd) {
		pud_t *pud = pt_pud(v->mm, addr);

		if (!pud || !pmd_huge(e = pte_read(pud)))
			return pud && pte_marker(e) ? out | PM_UFFD_WP : out;
		p = pte_frame(e) + ((addr & (PUD_SIZE - 1)) >> PAGE_SHIFT);
	} else if (pmd_huge(e = pte_read(pmd))) {
		p = pte_frame(e) + pte_index(addr);
	} else {
		if (!pmd_has_table(e))
			return pte_marker(e) ? out | PM_UFFD_WP : out;
		pte_t *entry = table_of(e) + pte_index(addr);

		spin_lock(pt_lock_of(entry)); /* or it may be empty while its page is moved */
		e = pte_read(entry);
		spin_unlock(pt_lock_of(entry));
		if (!pte_mapped(e))
			return pte_marker(e) ? out | PM_UFFD_WP : out;
		p = pte_frame(e);
	}
	out |= PM_PRESENT | page_to_pfn(p);
	if (pte_soft_dirty(e.v))
		out |= PM_SOFT_DIRTY;
	if (e.v & PTE_UFFD_WP)
		out |= PM_UFFD_WP;
	if (e.v & PTE_SPECIAL)
		return out;
	head = page_head(p);
	if (page_type(head) == PT_FILE)
		out |= PM_FILE;
	if (READ_ONCE(head->mapcount) == 1)
		out |= PM_EXCLUSIVE;
	return out;
}

int mm_pagemap_read(struct mm *mm, u64 first_page, u64 n, u64 *out)
{
	struct vma *v;

	down_read(&mm->lock);
	v = vma_find(mm, first_page << PAGE_SHIFT);
	for (u64 i = 0; i < n; i++) {
		u64 addr = (first_page + i) << PAGE_SHIFT;

		while (v && v->end <= addr)
			v = vma_next(v);
		out[i] = v && v->start <= addr ? pagemap_entry(v, addr) : 0;
	}
	up_read(&mm->lock);
	return 0;
}

int mm_clear_refs(struct mm *mm, int what)
{
	struct vma *v;

	if (what < 1 || what > 5)
		return -EINVAL;
	if (what == 5) {
		mm->hiwater_rss = 0;
		return 0;
	}
	down_write(&mm->lock);
	for_each_vma(v, mm) {
		if (v->flags & (VM_HUGETLB | VM_PFNMAP))
			continue; /* as Linux: their entries are their owners' */
		if (what == 4)
			softdirty_clear(v);
		else if (what == 1 || (what == 2) == !v->file)
			age_range(v, v->start, v->end);
	}
	mm_up_write(mm);
	return 0;
}
