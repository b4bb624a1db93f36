/*
 * /proc/kpagecount and /proc/kpageflags: one u64 for every page frame, for who reads /proc/PID/pagemap. Read at multiples of 8.
 * A snapshot of each frame by itself: nothing is locked.
 */
#include <fs/fs.h>
#include <fs/procfs.h>
#include <lib/string.h>
#include <mm/page.h>

#define KPF(bit) (1ull << (bit))
enum { /* Linux's include/uapi/linux/kernel-page-flags.h, as in proc(5) */
	KPF_LOCKED, KPF_ERROR, KPF_REFERENCED, KPF_UPTODATE, KPF_DIRTY, KPF_LRU, KPF_ACTIVE, KPF_SLAB, KPF_WRITEBACK, KPF_RECLAIM,
	KPF_BUDDY, KPF_MMAP, KPF_ANON, KPF_SWAPCACHE, KPF_SWAPBACKED, KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL, KPF_HUGE,
	KPF_UNEVICTABLE, KPF_HWPOISON, KPF_NOPAGE, KPF_KSM, KPF_THP, KPF_OFFLINE, KPF_ZERO_PAGE, KPF_IDLE, KPF_PGTABLE,
};

static const struct { u8 ours, theirs; } same[] = {
	{ PG_LOCKED, KPF_LOCKED }, { PG_ERROR, KPF_ERROR }, { PG_REFERENCED, KPF_REFERENCED }, { PG_UPTODATE, KPF_UPTODATE },
	{ PG_DIRTY, KPF_DIRTY }, { PG_LRU, KPF_LRU }, { PG_ACTIVE, KPF_ACTIVE }, { PG_WRITEBACK, KPF_WRITEBACK },
	{ PG_UNEVICTABLE, KPF_UNEVICTABLE }, { PG_HUGETLB, KPF_HUGE }, { PG_HWPOISON, KPF_HWPOISON },
};

static bool mapped_type(enum page_type t) { return t == PT_ANON || t == PT_FILE || t == PT_KSM; }

static u64 page_kpageflags(struct page *p)
{
	struct page *head = page_head(p);
	enum page_type type = page_type(head);
	u64 out = 0;

	if (head == zero_page)
		return KPF(KPF_ZERO_PAGE);
	for (unsigned i = 0; i < ARRAY_SIZE(same); i++)
		if (page_flag(head, same[i].ours))
			out |= KPF(same[i].theirs);
	if (page_flag(p, PG_HEAD))
		out |= KPF(KPF_COMPOUND_HEAD);
	if (head != p)
		out |= KPF(KPF_COMPOUND_TAIL);
	switch (type) {
	case PT_FREE:
		out |= KPF(KPF_BUDDY);
		break;
	case PT_SLAB:
		out |= KPF(KPF_SLAB);
		break;
	case PT_TABLE:
		out |= KPF(KPF_PGTABLE);
		break;
	case PT_ANON:
		out |= KPF(KPF_ANON);
		if (!page_flag(head, PG_LAZYFREE))
			out |= KPF(KPF_SWAPBACKED);
		if (page_flag(head, PG_HEAD) && page_order(head) == PMD_SHIFT - PAGE_SHIFT && !page_flag(head, PG_HUGETLB))
			out |= KPF(KPF_THP);
		break;
	case PT_KSM:
		out |= KPF(KPF_ANON) | KPF(KPF_KSM);
		break;
	case PT_FILE:
		if (page_flag(head, PG_SWAPBACKED))
			out |= KPF(KPF_SWAPBACKED);
		if (page_flag(head, PG_RUN))
			out |= KPF(KPF_THP);
		break;
	default:
		break;
	}
	if (mapped_type(type) && READ_ONCE(head->mapcount) > 0)
		out |= KPF(KPF_MMAP);
	return out;
}

static u64 page_kpagecount(struct page *p)
{
	struct page *head = page_head(p);
	enum page_type type = page_type(head);

	return mapped_type(type) && READ_ONCE(head->mapcount) > 0 ? READ_ONCE(head->mapcount) : 0;
}

static s64 kpage_read(struct iov_iter *to, loff_t *pos, u64 (*fn)(struct page *p), u64 none)
{
	s64 done = 0;

	if (*pos & 7 || to->count & 7)
		return -EINVAL;
	while (to->count && (u64)*pos / 8 < max_pfn) {
		u64 buf[64], first = *pos / 8, n = min3((u64)ARRAY_SIZE(buf), to->count / 8, max_pfn - first), got;

		for (u64 i = 0; i < n; i++)
			buf[i] = pfn_valid(first + i) ? fn(pfn_to_page(first + i)) : none;
		got = copy_to_iter(to, buf, n * 8);
		*pos += got;
		done += got;
		if (got < n * 8)
			return done ? done : -EFAULT;
	}
	return done;
}

static s64 count_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	return kpage_read(to, pos, page_kpagecount, 0);
}

static s64 flags_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	return kpage_read(to, pos, page_kpageflags, KPF(KPF_NOPAGE));
}

static const struct file_ops count_fops = { .read = count_read, .llseek = text_llseek };
static const struct file_ops flags_fops = { .read = flags_read, .llseek = text_llseek };
static const struct proc_file files[] = {
	{ .path = "kpagecount", .mode = 0400, .fops = &count_fops },
	{ .path = "kpageflags", .mode = 0400, .fops = &flags_fops },
};

void proc_kpage_init(void)
{
	proc_add_table(files, ARRAY_SIZE(files));
}
