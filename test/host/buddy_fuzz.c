// SOURCES: mm/buddy.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* Two bytes an operation on a zone of 1,000 pages; the checker runs after each. */
#include "check.h"
#include <mm/buddy.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { START = 3, END = 1003 };

static struct page map[1024] __aligned(64);
static u8 mts[2], used[END];
static u64 sections[1] = { 1 };
static struct buddy b;

static void report(const char *what, u64 pfn, u64 is, u64 should)
{
	printf("pfn %llu: %s: is %llx, should be %llx\n", pfn, what, is, should);
	abort();
}

static void take(u64 pfn, u64 n)
{
	for (; n; n--, pfn++) {
		if (used[pfn])
			abort();
		used[pfn] = 1;
		map[pfn].flags = (u64)PT_ANON << PG_TYPE_SHIFT;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(map, 0, sizeof(map));
	memset(used, 0, sizeof(used));
	memset(mts, MT_MOVABLE, sizeof(mts));
	buddy_init(&b, map, START, END, 0, mts, sections);
	buddy_free_range(&b, START, END);
	for (; size >= 2; data += 2, size -= 2) {
		u64 pfn = START + data[1] * 4ull % (END - START), n = 0;
		struct page *p;

		switch (data[0] & 3) {
		case 0:
			p = buddy_alloc(&b, data[1] % 10, data[0] / 4 % 3);
			if (p)
				take((u64)(p - map), 1ull << data[1] % 10);
			break;
		case 1:
			while (n < data[0] / 4u + 1 && pfn + n < END && used[pfn + n])
				used[pfn + n++] = 0;
			buddy_free_range(&b, pfn, pfn + n);
			break;
		case 2:
			n = min(data[0] / 4ull + 1, END - pfn);
			if (buddy_take_range(&b, pfn, n))
				take(pfn, n);
			break;
		default:
			buddy_set_mobility(&b, pfn, data[0] / 4 % MT_NR);
		}
		buddy_check_one(&b, report);
	}
	return 0;
}
