/*
 * ptshow.c - /proc/PID/pagetables: the page tables of one process as text.
 *
 *	levels N
 *	tables L5 N L4 N L3 N L2 N L1 N			table pages of each level (L1 has 4 KiB entries); those the machine has
 *	pages 4k N 2M N 1G N special N			entries that map a page, by size; special: zero page, vDSO, devices
 *	L4 START-END FLAGS USED				a table of 512 GiB an entry ... indented by level: what it covers, entries in use
 *	  L3 START-END FLAGS USED
 *	    L2 START-END FLAGS USED
 *	      4k START-END FLAGS N			N neighbouring entries with equal flags, whatever frames they map
 *
 * FLAGS: r or - (present), w, x, u, A, D, s (special), n (mapped, no right), p (write-protected for userfaultfd), m (a marker). Accessed and
 * dirty bits move while a process runs; they are of the first entry of a range and do not end one. Walked with mm->lock held for reading, which keeps tables from
 * going away; entries are read once each, without their locks.
 */
#include <lib/seq_buf.h>
#include "vm.h"

struct walk {
	struct seq_buf *s; /* NULL: counting only */
	u64 tables[6], pages[3], special; /* pages by size */
	unsigned top;
	/* the range being collected */
	u64 start, end, n;
	pte_t first;
	unsigned shift;
};

static const char *const size_names[] = { "4k", "2M", "1G" };

static unsigned level_of(unsigned shift)
{
	return (shift - PAGE_SHIFT) / 9 + 1;
}

static void put_flags(struct seq_buf *s, pte_t e)
{
	char f[10];
	bool mapped = pte_mapped(e);

	f[0] = pte_present(e) ? 'r' : '-';
	f[1] = mapped && pte_write(e) ? 'w' : '-';
	f[2] = mapped && !(e.v & PTE_NX) ? 'x' : '-';
	f[3] = mapped && e.v & PTE_U ? 'u' : '-';
	f[4] = mapped && pte_young(e) ? 'A' : '-';
	f[5] = mapped && pte_dirty(e) ? 'D' : '-';
	f[6] = e.v & PTE_SPECIAL ? 's' : '-';
	f[7] = !mapped ? 'm' : !pte_present(e) ? 'n' : e.v & PTE_UFFD_WP ? 'p' : '-';
	f[8] = 0;
	seq_puts(s, f);
}

static void indent(struct walk *w, unsigned level)
{
	for (unsigned i = level; i < w->top; i++)
		seq_puts(w->s, "  ");
}

static void end_range(struct walk *w)
{
	if (w->s && w->n) {
		indent(w, level_of(w->shift) - 1);
		seq_printf(w->s, "%s %012llx-%012llx ", size_names[level_of(w->shift) - 1], w->start, w->end);
		put_flags(w->s, w->first);
		seq_printf(w->s, " %llu\n", w->n);
	}
	w->n = 0;
}

static void leaf(struct walk *w, u64 addr, pte_t e, unsigned shift)
{
	u64 differ = ~(PTE_ADDR_MASK | PTE_A | PTE_D);

	if (pte_has_page(e))
		w->pages[level_of(shift) - 1]++;
	else if (pte_mapped(e))
		w->special++;
	if (w->n && (w->end != addr || w->shift != shift || (w->first.v ^ e.v) & differ))
		end_range(w);
	if (!w->n) {
		w->start = addr;
		w->first = e;
		w->shift = shift;
	}
	w->end = addr + (1ull << shift);
	w->n++;
}

/* @table has entries of @shift bits and begins at @base. */
static void table(struct walk *w, const pte_t *t, pte_t self, unsigned shift, u64 base, unsigned n)
{
	unsigned used = 0;

	w->tables[level_of(shift)]++;
	end_range(w);
	if (w->s) {
		for (unsigned i = 0; i < n; i++)
			used += !pte_none(pte_read(&t[i]));
		indent(w, level_of(shift));
		seq_printf(w->s, "L%u %012llx-%012llx ", level_of(shift), base, base + ((u64)n << shift));
		put_flags(w->s, self);
		seq_printf(w->s, " %u\n", used);
	}
	for (unsigned i = 0; i < n && !(w->s && w->s->overflow); i++) {
		pte_t e = pte_read(&t[i]);
		u64 addr = base + ((u64)i << shift);

		if (pte_none(e))
			continue;
		if (shift > PAGE_SHIFT && pmd_has_table(e))
			table(w, table_of(e), e, shift - 9, addr, PTRS);
		else
			leaf(w, addr, e, shift);
	}
	end_range(w);
}

static void walk(struct walk *w, struct mm *mm)
{
	bool five = mm->root != mm->pgd;

	w->top = five ? 5 : 4;
	table(w, mm->root, pte_make(0, PTE_P | PTE_W | PTE_U | PTE_A), five ? PGDIR5_SHIFT : PGDIR_SHIFT, 0, PTRS / 2);
}

void mm_pagetables_show(struct mm *mm, struct seq_buf *s)
{
	struct walk count = { .s = NULL }, text = { .s = s };

	down_read(&mm->lock);
	walk(&count, mm);
	seq_printf(s, "levels %u\ntables", count.top);
	for (unsigned l = count.top; l; l--)
		seq_printf(s, " L%u %llu", l, count.tables[l]);
	seq_printf(s, "\npages 4k %llu 2M %llu 1G %llu special %llu\n", count.pages[0], count.pages[1], count.pages[2], count.special);
	walk(&text, mm);
	up_read(&mm->lock);
}
