// SOURCES: mm/buddy.c mm/bootmem.c mm/section.c mm/zone.c mm/pcp.c mm/pcp_look.c mm/page.c mm/slab.c
// SOURCES: mm/magazine.c mm/kmem.c mm/kmem_cache.c mm/pagedebug.c mm/movable.c mm/kmalloc.c mm/arena.c mm/vmalloc.c mm/kstack.c mm/check.c
// SOURCES: mm/compact.c mm/failinject.c mm/vmstat.c mm/show.c kernel/lib/string.c kernel/lib/seq_buf.c
// SOURCES: kernel/lib/rbtree.c kernel/lib/bitmap.c kernel/lib/xarray.c kernel/lib/parse.c
// SOURCES: test/host/kstubs.c
// CFLAGS: -DHOST_TEST -DDEBUG -include test/host/physsim.h -Wno-format -fno-sanitize=alignment
/*
 * phys_machine.c - see phys_machine.h.  What is weak here, a program may have better.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <kernel/current.h>
#include <kernel/printk.h>
#include <kernel/rcu.h>
#include <kernel/wait.h>
#include <lib/err.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <lib/xarray.h>
#include <mm/check.h>
#include <mm/failinject.h>
#include <mm/kstack.h>
#include <mm/migrate.h>
#include <mm/mm.h>
#include <mm/section.h>
#include <mm/show.h>
#include <mm/slab_impl.h>
#include <mm/vmalloc.h>
#include <mm/vmstat.h>
#include <x86/cpu.h>
#include <x86/tlb.h>
#include "kstubs.h"
#include "phys_machine.h"

/* No pools of huge pages here; their lines in the text files are missing. */
void hugetlb_meminfo_show(struct seq_buf *s) {}
void hugetlb_node_meminfo_show(struct seq_buf *s, int node) {}
void hugetlb_vmstat_show(struct seq_buf *s) {}

/* The host's calls: its header and ours name the same constants. */
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int munmap(void *addr, size_t len);
int memfd_create(const char *name, unsigned int flags);
int ftruncate(int fd, off_t len);

/* ---- what the machine and the rest of the kernel would be ---- */

u64 direct_map_base = DIRECT_MAP_PLACE, kimage_slide;
static pgd_t pgd_page[512];
pgd_t *kernel_pgd = pgd_page;
pgd_t *kernel_pgd_entry(u64 va) { return pgd_page + pgd_index(va); }
u64 overcommit_memory, overcommit_ratio = 50;
static int phys;

bool cmdline_has(const char *w __unused) { return false; }
bool fail_marked(void) { return false; }

const char *slabdebug = "on";

int cmdline_get(const char *w, char *b, size_t n)
{
	return streq(w, "slabdebug") ? (int)strscpy(b, slabdebug, n) : -ENOENT;
}

u64 cmdline_u64(const char *w __unused, u64 otherwise) { return otherwise; }

__weak void smp_call_mask(u64 m __unused, void (*fn)(void *) __unused, void *a __unused, bool w __unused) {}
void pgtable_count_direct(u64 n[3]) { n[0] = n[1] = n[2] = 0; }
bool kimage_part(unsigned i, const char **name, u64 *first, u64 *last) { return false; }
void tlb_stats_sum(struct tlb_stats *s) { memset(s, 0, sizeof(*s)); }
u64 nr_file_pages(void) { return 0; }
u64 nr_shmem_pages(void) { return 0; }
struct mm *mm_next(struct mm *prev __unused, bool (*wanted)(const struct mm *) __unused) { return NULL; }
u64 vm_committed(void) { return 0; }
u64 vm_commit_limit(void) { return nr_total_pages() / 2; }
__weak void __wake_up(wait_queue_t *q __unused, unsigned m __unused, int n __unused, int s __unused,
	       u64 k __unused) {}
__weak void prepare_to_wait(wait_queue_t *q __unused, struct wait_entry *e __unused, unsigned s __unused) {}
__weak void finish_wait(wait_queue_t *q __unused, struct wait_entry *e __unused) {}
__weak int wait_autoremove(struct wait_entry *e __unused, unsigned m __unused, int s __unused,
		    u64 k __unused) { return 0; }
__weak void schedule(void) { panic("deadlock on a page lock"); }

/* No user memory here: ranges are taken where all is free. */
struct migration *migration_alloc(void) { return (struct migration *)1; }
bool page_movable(const struct page *p __unused) { return false; }
int migrate_page(struct migration *m __unused, struct page *p __unused, struct page *to __unused) { return -EBUSY; }
u64 mm_rss(const struct mm *mm __unused, int kind __unused) { return 0; }
u64 lru_pages(int node __unused, int kind __unused) { return 0; }
void lru_vmstat_show(struct seq_buf *m __unused, int node __unused, const char *indent __unused) {}

static struct rcu_head *rcu_list;

__weak void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *))
{
	head->func = func;
	head->next = rcu_list;
	rcu_list = head;
}

__weak void rcu_barrier(void)
{
	while (rcu_list) {
		struct rcu_head *h = rcu_list;

		rcu_list = h->next;
		h->func(h);
	}
}

int kmap_range(u64 va, u64 pa, u64 len, u64 prot __unused, bool large __unused)
{
	if (fail_alloc())
		return -ENOMEM;
	if (mmap((void *)va, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, phys,
		 (off_t)pa) != (void *)va)
		panic("mmap at %llx", va);
	return 0;
}

void kunmap_range(u64 va, u64 len, bool free_tables __unused)
{
	munmap((void *)va, len);
}

/* The mappings are the kernel's to know; a stack's pages carry their own address. */
static u64 stack_pa[64][4];

u64 kva_to_phys(u64 va)
{
	u64 slot = (va - KSTACK_AREA) / KSTACK_SLOT, k = (va & (KSTACK_SIZE - 1)) >> PAGE_SHIFT;

	return stack_pa[slot][k];
}

/* ---- the machine ---- */

struct handoff_region regions[32];
u32 nregions;

static void region(u64 base, u64 end, u32 type)
{
	regions[nregions++] = (struct handoff_region){
		base, (end - base) >> PAGE_SHIFT, type, HANDOFF_REGION_DIRECT,
	};
}

void machine_boot(void)
{
	struct handoff_region *copy;
	struct handoff h;
	u64 base = direct_map_base;

	phys = memfd_create("phys", 0);
	VERIFY(phys >= 0 && !ftruncate(phys, PHYS_SIZE));
	VERIFY(mmap((void *)base, PHYS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, phys, 0) == (void *)base);
	region(0, 0xa0000, HANDOFF_MEM_USABLE);
	region(0x100000, 8 * MIB, HANDOFF_MEM_USABLE);
	region(8 * MIB, 9 * MIB, HANDOFF_MEM_ACPI_NVS);
	region(9 * MIB, 100 * MIB, HANDOFF_MEM_USABLE);
	region(100 * MIB, 104 * MIB, HANDOFF_MEM_KERNEL);
	region(104 * MIB, 300 * MIB, HANDOFF_MEM_USABLE);
	region(300 * MIB, 310 * MIB, HANDOFF_MEM_LOADER);
	region(310 * MIB, 500 * MIB, HANDOFF_MEM_USABLE);
	region(510 * MIB, 650 * MIB, HANDOFF_MEM_USABLE);
	region(650 * MIB, 655 * MIB, HANDOFF_MEM_BOOT_SERVICES);
	region(655 * MIB, 656 * MIB, HANDOFF_MEM_RUNTIME_DATA);
	region(656 * MIB, 690 * MIB + 0x3000, HANDOFF_MEM_USABLE);
	copy = phys_to_virt(300 * MIB);
	memcpy(copy, regions, sizeof(regions));
	h = (struct handoff){
		.regions = 300 * MIB, .nr_regions = nregions, .region_size = sizeof(regions[0]),
		.stack = 301 * MIB, .stack_len = 16384, .trampoline = 0x8000,
	};
	node_add_range(0, 0, 384 * MIB);
	node_add_range(1, 384 * MIB, 400 * MIB);
	bootmem_init(&h);
	mm_init_physical(&h);
	kmem_init();
	vmalloc_init();
	memset(copy, 0xee, sizeof(regions));	/* the hand-off may go */
}

u64 quiet_free(void)
{
	rcu_barrier();
	kmem_reap_all();
	pcp_drain_all();
	return nr_free_pages();
}
