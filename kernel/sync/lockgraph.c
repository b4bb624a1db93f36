/*
 * The graph of lock classes (lockcheck.c has the theory).
 *
 * Nodes are classes, an edge says "taken while held". An edge is met a million times and new once: a table of all pairs
 * answers the first question without a lock, and everything expensive (a breadth-first search for the way back, for
 * interrupt handlers upstream and interrupts-on downstream) is done when it is new, under one lock of the checker's own, which spins
 * without answering anybody: nothing is waited for under it.
 */
#include "lockgraph.h"

#ifdef LOCKCHECK
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <lib/atomic.h>
#include <lib/string.h>
#include <x86/cpu.h>

#define COMPLAINTS 24u
#define PATH_MAX_EDGES 12u

struct complaint {
	enum lock_complaint kind;
	u16 a, b;
	u16 path[PATH_MAX_EDGES]; /* edges, 0 at the end */
	u64 ip;
	struct lock_trace at;
};

struct lock_info lock_infos[LOCK_CLASSES];
struct lock_edge lock_edges[LOCK_EDGES];
u32 lock_classes = 1, lock_edges_nr = 1;
static u16 edge_of[LOCK_CLASSES][LOCK_CLASSES]; /* (a) */
static u32 graph_busy;
static struct complaint complaints[COMPLAINTS];
static u32 found, printed; /* complaints; (graph), printed by whoever got printing */
static u32 printing;
u64 lock_complaints_real, lock_complaints_planted;

/* => irqs off */
static void graph_lock(void)
{
	while (__atomic_exchange_n(&graph_busy, 1, __ATOMIC_ACQUIRE))
		cpu_relax();
}
static void graph_unlock(void)
{
	__atomic_store_n(&graph_busy, 0, __ATOMIC_RELEASE);
}

/* --- classes --------------------------------------------------------------------------------------- */

/* "p->lock pipe.c" is the class of expression "&p->lock" in pipe.c. */
static bool is_named(const char *full, const char *name, const char *file)
{
	size_t n = strlen(name);

	return !strncmp(full, name, n) && (*file ? full[n] == ' ' && !strcmp(full + n + 1, file) : !full[n]);
}

static u16 find_class(const char *name, const char *file)
{
	for (u32 i = 1; i < lock_classes; i++)
		if (!strcmp(lock_infos[i].name, name) && !strcmp(lock_infos[i].file, file))
			return (u16)i;
	return 0;
}

static u16 new_class(const char *name, const char *file)
{
	struct lock_info *c = &lock_infos[lock_classes];

	if (lock_classes == LOCK_CLASSES)
		return 0;
	c->name = name;
	c->file = file;
	for (u32 i = 0; i < lock_ranks_nr; i++)
		if (is_named(lock_ranks[i].name, name, file)) {
			c->rank = lock_ranks[i].rank;
			c->nest = lock_ranks[i].nest;
		}
	smp_store_release(&lock_classes, lock_classes + 1);
	return (u16)(c - lock_infos);
}

u16 lock_class(const char *name, const char *file)
{
	u64 flags = local_irq_save();
	u16 class;

	name += *name == '&';
	graph_lock();
	class = find_class(name, file) ?: new_class(name, file);
	graph_unlock();
	local_irq_restore(flags);
	return class;
}

/* --- searching ------------------------------------------------------------------------------------- */

/* => graph locked */
static u16 came_by[LOCK_CLASSES]; /* the edge a class was reached by */
static u16 queue[LOCK_CLASSES];

/*
 * Walks from @from along the edges (or against them), the nearest first, until stop(class, arg). Returns that class or 0.
 * came_by leads back.
 */
static u16 search(u16 from, bool backwards, bool (*stop)(u16 class, u16 arg), u16 arg)
{
	u32 head = 0, tail = 0;

	memset(came_by, 0, sizeof(came_by));
	came_by[from] = (u16)-1;
	queue[tail++] = from;
	while (head < tail) {
		u16 c = queue[head++];

		if (stop(c, arg))
			return c;
		for (u16 e = backwards ? lock_infos[c].in : lock_infos[c].out; e;
		     e = backwards ? lock_edges[e].next_in : lock_edges[e].next_out) {
			u16 to = backwards ? lock_edges[e].from : lock_edges[e].to;

			if (!came_by[to]) {
				came_by[to] = e;
				queue[tail++] = to;
			}
		}
	}
	return 0;
}

static bool is_class(u16 class, u16 arg)
{
	return class == arg;
}
static bool is_met(u16 class, u16 mask)
{
	return lock_infos[class].met & mask;
}

#define BIT_OF(met) (1u << (met))
#define ANY_IRQ (BIT_OF(MET_IRQ) | BIT_OF(MET_IRQ_SHARED))
#define ANY_ON (BIT_OF(MET_IRQS_ON) | BIT_OF(MET_IRQS_ON_SHARED))

/* --- complaints ------------------------------------------------------------------------------------ */

static bool is_planted(u16 class)
{
	return lock_infos[class].name && !strncmp(lock_infos[class].name, "planted", 7);
}

/* Once for each kind and pair. => graph locked */
static void new_complaint(const struct complaint *new)
{
	struct complaint *c = &complaints[found];

	for (u32 i = 0; i < found; i++)
		if (complaints[i].kind == new->kind && complaints[i].a == new->a && complaints[i].b == new->b)
			return;
	if (is_planted(new->a))
		lock_complaints_planted++;
	else
		lock_complaints_real++;
	if (found == COMPLAINTS)
		return;
	*c = *new;
	backtrace_save(c->at.ip, LOCK_TRACE);
	WRITE_ONCE(found, found + 1);
}

void lock_complain(enum lock_complaint kind, u16 class, u64 ip)
{
	graph_lock();
	new_complaint(&(struct complaint){ .kind = kind, .a = class, .ip = ip });
	graph_unlock();
}

bool lock_complaints_wait(void)
{
	return READ_ONCE(printed) != READ_ONCE(found);
}

static void print_name(u64 ip, const char *before)
{
	char name[128];

	if (ksym_format(name, sizeof(name), ip - 1))
		pr_err("locks:   %s%s", before, name);
}

static void print_trace(const struct lock_trace *t)
{
	for (u32 i = 0; i < LOCK_TRACE && t->ip[i]; i++)
		print_name(t->ip[i], "  ");
}

static void print_edge(const struct lock_edge *e)
{
	pr_err("locks:  '%s %s' taken under '%s %s'", lock_infos[e->to].name, lock_infos[e->to].file,
	       lock_infos[e->from].name, lock_infos[e->from].file);
	print_name(e->held_ip, "which was taken by ");
	print_trace(&e->at);
}

static void print_met(u16 class, unsigned mask, const char *what)
{
	const struct lock_info *c = &lock_infos[class];

	for (unsigned m = 0; m < MET_NR; m++)
		if (mask & c->met & BIT_OF(m)) {
			pr_err("locks:  '%s %s' %s", c->name, c->file, what);
			print_trace(&c->met_at[m]);
		}
}

static void print_complaint(const struct complaint *c)
{
	static const char *const what[LOCK_COMPLAINTS] = {
		[LOCK_CYCLE] = "cycle: the second is taken under the first, and the other way round",
		[LOCK_SAME] = "two of one class, and no rule for their order",
		[LOCK_AGAIN] = "taken again by its holder",
		[LOCK_RANK] = "the second is taken under the first, against the order of docs/locking.md",
		[LOCK_IRQ] = "the first is taken in interrupts, the second is held with interrupts on and is, or comes, under it",
		[LOCK_NOT_HELD] = "released by one who does not hold it",
		[LOCK_LEFT] = "still held in user mode or at a thread's end",
		[LOCK_SPIN_SLEEP] = "held by a thread that sleeps",
		[LOCK_UNNAMED] = "neither declared nor initialised",
	};
	const struct lock_info *a = &lock_infos[c->a], *b = &lock_infos[c->b];

	pr_err("locks: %s%s: '%s %s'%s%s%s%s%s", is_planted(c->a) ? "(planted) " : "", what[c->kind], a->name ?: "?",
	       a->file ?: "", c->b ? ", '" : "", c->b ? b->name : "", c->b ? " " : "", c->b ? b->file : "", c->b ? "'" : "");
	if (c->ip)
		print_name(c->ip, "at ");
	if (c->kind == LOCK_IRQ) {
		print_met(c->a, ANY_IRQ, "taken in an interrupt");
		print_met(c->b, ANY_ON, "held with interrupts on");
	}
	for (u32 i = 0; i < PATH_MAX_EDGES && c->path[i]; i++)
		print_edge(&lock_edges[c->path[i]]);
	if (!c->path[0])
		print_trace(&c->at);
}

void lock_complaints_print(void)
{
	if (xchg(&printing, 1))
		return;
	while (lock_complaints_wait()) {
		print_complaint(&complaints[printed]);
		kernel_taint(TAINT_WARN);
		WRITE_ONCE(printed, printed + 1);
	}
	smp_store_release(&printing, 0);
}

u64 lock_check(void)
{
	return READ_ONCE(lock_complaints_real);
}

/* --- events ---------------------------------------------------------------------------------------- */

static void path_add(struct complaint *c, u16 e)
{
	for (u32 i = 0; i < PATH_MAX_EDGES; i++)
		if (!c->path[i]) {
			c->path[i] = e;
			return;
		}
}

/* The way the last forward search took to @to. */
static void path_add_forward(struct complaint *c, u16 to)
{
	u16 way[PATH_MAX_EDGES];
	u32 n = 0;

	for (u16 e; (e = came_by[to]) != (u16)-1 && n < PATH_MAX_EDGES; to = lock_edges[e].from)
		way[n++] = e;
	while (n)
		path_add(c, way[--n]);
}

/* The way the last backward search took, from where it ended to where it began. */
static void path_add_backward(struct complaint *c, u16 from)
{
	for (u16 e; (e = came_by[from]) != (u16)-1; from = lock_edges[e].to)
		path_add(c, e);
}

/*
 * An interrupt handler's lock at @up or above it, one that is held with interrupts on at @down or below it; @e is the
 * edge between them, 0 when they are one. Readers on both sides of one rwlock do not wait for each other.
 */
static void check_irq(u16 up, u16 e, u16 down)
{
	struct complaint c = { .kind = LOCK_IRQ };

	c.a = search(up, true, is_met, ANY_IRQ);
	if (!c.a)
		return;
	path_add_backward(&c, c.a);
	if (e)
		path_add(&c, e);
	c.b = search(down, false, is_met, ANY_ON);
	if (!c.b || (c.a == c.b && !(lock_infos[c.a].met & (BIT_OF(MET_IRQ) | BIT_OF(MET_IRQS_ON)))))
		return;
	path_add_forward(&c, c.b);
	new_complaint(&c);
}

void lock_met(u16 class, unsigned how_met)
{
	struct lock_info *c = &lock_infos[class];

	graph_lock();
	if (!(c->met & BIT_OF(how_met))) {
		backtrace_save(c->met_at[how_met].ip, LOCK_TRACE);
		__atomic_fetch_or(&c->met, (u8)BIT_OF(how_met), __ATOMIC_RELAXED);
		check_irq(class, 0, class);
	}
	graph_unlock();
}

static u16 new_edge(const struct lock_held *h, u16 class)
{
	struct lock_edge *e = &lock_edges[lock_edges_nr];

	if (lock_edges_nr == LOCK_EDGES)
		return 0;
	*e = (struct lock_edge){ .from = h->class, .to = class, .next_out = lock_infos[h->class].out,
				 .next_in = lock_infos[class].in, .held_ip = h->ip };
	backtrace_save(e->at.ip, LOCK_TRACE);
	lock_infos[h->class].out = lock_infos[class].in = (u16)(e - lock_edges);
	smp_store_release(&lock_edges_nr, lock_edges_nr + 1);
	return (u16)(e - lock_edges);
}

static void check_new_edge(u16 e, u16 from, u16 to)
{
	const struct lock_info *a = &lock_infos[from], *b = &lock_infos[to];
	struct complaint c = { .kind = LOCK_RANK, .a = from, .b = to, .path = { e } };

	if (search(to, false, is_class, from)) {
		c.kind = LOCK_CYCLE;
		path_add_forward(&c, from);
		new_complaint(&c);
	} else if (a->rank && b->rank && a->rank > b->rank) {
		new_complaint(&c);
	}
	check_irq(from, e, to);
}

/* Two of one class. */
static void same_class(const struct lock_held *h, const void *lock, unsigned how)
{
	unsigned nest = lock_infos[h->class].nest;

	if (h->lock == lock) {
		if (!(how & h->how & LOCK_SHARED) || (how & LOCK_SLEEPS))
			lock_complain(LOCK_AGAIN, h->class, h->ip);
	} else if (nest != NEST_RULE && (nest != NEST_ADDRESS || (u64)h->lock > (u64)lock)) {
		lock_complain(LOCK_SAME, h->class, h->ip);
	}
}

void lock_edge_note(const struct lock_held *h, u16 class, const void *lock, unsigned how)
{
	u16 e = READ_ONCE(edge_of[h->class][class]);

	if (h->class == class)
		same_class(h, lock, how);
	if (unlikely(!e && h->class != class && h->class && class)) {
		graph_lock();
		e = edge_of[h->class][class];
		if (!e) {
			e = new_edge(h, class);
			check_new_edge(e, h->class, class);
			WRITE_ONCE(edge_of[h->class][class], e);
		}
		graph_unlock();
	}
	__atomic_fetch_add(&lock_edges[e].count, 1, __ATOMIC_RELAXED);
}

#endif
