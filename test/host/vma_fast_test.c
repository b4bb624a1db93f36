// SOURCES: mm/vmatree.c kernel/lib/rbtree.c test/host/simcpu.c
// ARGS: 30000
// PLANT_ARGS: 30000
// PLANT: mm/vmalock.h: if (likely(__atomic_load_n(&f->vma->gen, __ATOMIC_ACQUIRE) == f->gen)) => if (1)
// PLANT: mm/vmalock.h: READ_ONCE(v->wlock) != __atomic_load_n(&mm->write_seq, __ATOMIC_ACQUIRE); => 1;
// PLANT: mm/vm.h: __atomic_fetch_add(&v->gen, 1, __ATOMIC_SEQ_CST); => ;
/*
 * Faults without mm->lock (mm/vmalock.h) beside a writer, under ThreadSanitizer.
 *
 * The table is an array: one entry a page, one pt_lock for 64.  Every VMA has a colour; a fault puts its VMA's colour into
 * the entry, found by the tree, vma_fast_begin and fault_lock, as a real one puts a page.  The writer inserts, erases, resizes,
 * splits, joins and recolours as the rules want: vma_write_lock, the change, then the entries under their lock (rule W), then
 * mm_end_write.  So an entry is empty or has the colour of the VMA that covers it whenever the writer is outside: a fault
 * that used what it read of a VMA that changed would leave another.  VMAs freed are used again at once (type-stable), now and
 * then their memory goes back after a grace period.
 */
#include <kernel/rcu.h>
#include <mm/vmatree.h>
#include "mm/vmalock.h"
#include <sched.h>
#include "simcpu.h"

enum { CPUS = 4, PAGES = 256, PER_LOCK = 64, MAX_LEN = 12 };

DEFINE_PER_CPU(u64, tlb_answered);
u64 direct_map_base;

static struct mm mm = { .write_seq = 1 };
static u64 entry[PAGES];			/* (its pt_lock) colour, 0 none */
static spinlock_t pt_lock[PAGES / PER_LOCK];
static struct vma *owner[PAGES];		/* the writer's model */
static struct vma *spare;			/* writer's, linked by ->private */
static u64 rounds, colours;
static u64 done, looked;			/* (a) faults that ended, all */
static bool over;

static u64 addr_of(u64 page) { return (page + 16) << PAGE_SHIFT; }
static u64 page_of(u64 addr) { return (addr >> PAGE_SHIFT) - 16; }

/* ---- a fault ---- */

static void fault(void)
{
	u64 page = sim_rand_below(PAGES), colour;
	struct fault f = { .addr = addr_of(page), .fast = true };

	__atomic_fetch_add(&looked, 1, __ATOMIC_RELAXED);
	preempt_disable();
	f.answers = tlb_answers();
	f.vma = vma_find_fast(&mm, f.addr);
	if (f.vma && vma_fast_begin(&f, &mm)) {
		colour = READ_ONCE(f.vma->pgoff);
		if (sim_rand_below(8) == 0)
			sched_yield();
		if (fault_lock(&f, &pt_lock[page / PER_LOCK])) {
			entry[page] = colour;
			spin_unlock(&pt_lock[page / PER_LOCK]);
			__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
		}
	}
	preempt_enable();
}

/* ---- the writer ---- */

/* Fast faults meet it only by its fields, whose plain stores here gen keeps apart from them; the sanitizer cannot know. */
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static struct vma *new_vma(u64 start, u64 end)
{
	struct vma *v = spare;

	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	if (v)
		spare = v->private;
	else
		v = calloc(1, sizeof(*v));
	v->gen++;
	v->wlock = mm.write_seq;
	v->flags = 0;
	v->list = (struct list_head){ NULL, NULL };
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	WRITE_ONCE(v->start, start);
	WRITE_ONCE(v->end, end);
	WRITE_ONCE(v->pgoff, ++colours);
	__atomic_store_n(&v->mm, &mm, __ATOMIC_RELEASE);
	return v;
}

struct gone {
	struct rcu_head rcu;
	struct vma *v;
};

static void free_late(struct rcu_head *h)
{
	struct gone *g = container_of(h, struct gone, rcu);

	free(g->v);
	free(g);
}

static void free_vma(struct vma *v)
{
	struct gone *g;

	WRITE_ONCE(v->mm, NULL);
	if (sim_rand_below(16)) {
		v->private = spare;
		spare = v;
		return;
	}
	g = malloc(sizeof(*g));
	g->v = v;
	call_rcu(&g->rcu, free_late);
}

/* Rule W: after the VMAs are locked and changed, what the table holds follows, under its lock. */
static void set_entries(u64 from, u64 to, u64 colour)
{
	for (u64 p = from; p < to; p++) {
		spin_lock(&pt_lock[p / PER_LOCK]);
		if (entry[p])
			entry[p] = colour;
		spin_unlock(&pt_lock[p / PER_LOCK]);
	}
}

static void own(struct vma *v, u64 from, u64 to)
{
	for (u64 p = from; p < to; p++)
		owner[p] = v;
}

static void op_insert(u64 at)
{
	u64 n = 0;
	struct vma *v;

	while (at + n < PAGES && !owner[at + n] && n < MAX_LEN)
		n++;
	if (!n)
		return;
	v = new_vma(addr_of(at), addr_of(at + n));
	vmatree_insert(&mm, v);
	if (sim_rand_below(2))
		WRITE_ONCE(mm.last, v);
	own(v, at, at + n);
}

static void op_erase(struct vma *v)
{
	u64 s = page_of(v->start), e = page_of(v->end);

	vma_write_lock(v);
	own(NULL, s, e);
	vmatree_erase(&mm, v);
	set_entries(s, e, 0);
	free_vma(v);
}

static void op_shrink(struct vma *v)
{
	u64 s = page_of(v->start), e = page_of(v->end), cut;

	if (e - s < 2)
		return;
	cut = s + 1 + sim_rand_below(e - s - 1);
	vma_write_lock(v);
	own(NULL, cut, e);
	vmatree_resize(&mm, v, v->start, addr_of(cut));
	set_entries(cut, e, 0);
}

static void op_recolour(struct vma *v)
{
	vma_write_lock(v);
	if (sim_rand_below(4) == 0)
		sched_yield();
	WRITE_ONCE(v->pgoff, ++colours);
	set_entries(page_of(v->start), page_of(v->end), v->pgoff);
}

static void op_split(struct vma *v)
{
	u64 s = page_of(v->start), e = page_of(v->end), cut;
	struct vma *n;

	if (e - s < 2)
		return;
	cut = s + 1 + sim_rand_below(e - s - 1);
	n = new_vma(addr_of(cut), addr_of(e));
	vma_write_lock(v);
	vmatree_split(&mm, v, n);
	own(n, cut, e);
	set_entries(cut, e, n->pgoff);
}

static void op_join(struct vma *v)
{
	struct vma *n = vma_next(v);
	u64 s, e;

	if (!n || n->start != v->end)
		return;
	s = page_of(n->start);
	e = page_of(n->end);
	vma_write_lock(v);
	vma_write_lock(n);
	own(v, s, e);
	vmatree_join(&mm, v, n);
	set_entries(s, e, v->pgoff);
	free_vma(n);
}

/* With all VMAs free for faults, no entry may have a colour that is not its VMA's. */
static void compare(void)
{
	for (u64 p = 0; p < PAGES; p++) {
		spin_lock(&pt_lock[p / PER_LOCK]);
		if (entry[p] && (!owner[p] || entry[p] != owner[p]->pgoff)) {
			CHECK(!"an entry of a VMA that was");
			printf("  page %llu has %llx\n", p, entry[p]);
		}
		spin_unlock(&pt_lock[p / PER_LOCK]);
	}
}

static void writer(void)
{
	for (u64 i = 0; i < rounds && !check_failed_now; i++) {
		u64 at = sim_rand_below(PAGES);
		struct vma *v = owner[at];

		if (!v)
			op_insert(at);
		else
			switch (sim_rand_below(6)) {
			case 0: op_erase(v); break;
			case 1: op_shrink(v); break;
			case 2: op_split(v); break;
			case 3: op_join(v); break;
			default: op_recolour(v); break;
			}
		mm_end_write(&mm);
		if (i % 16 == 0)
			compare();
		sim_pass();
	}
	rcu_barrier();
	WRITE_ONCE(over, true);
}

static void faults(void)
{
	while (!READ_ONCE(over)) {
		fault();
		sim_pass();
	}
}

static void cpu(int n)
{
	n ? faults() : writer();
}

static void faults_beside_a_writer(void)
{
	struct finding f;

	vmatree_init(&mm);
	for (int i = 0; i < PAGES / PER_LOCK; i++)
		spin_lock_init(&pt_lock[i]);
	sim_run(cpu);
	CHECK_EQ(vmatree_check(&mm, &f), 0);
	compare();
	CHECK(done > 100 && looked > done);
}

int main(int argc, char **argv)
{
	rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 30000;
	sim_start(CPUS);
	RUN(faults_beside_a_writer);
	return check_done();
}
