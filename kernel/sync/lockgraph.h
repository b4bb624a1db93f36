/* Inside the lock-order checker: classes, edges, complaints. Theory: lockcheck.c; the graph: lockgraph.c. */
#ifndef SYNC_LOCKGRAPH_H
#define SYNC_LOCKGRAPH_H

#include <kernel/lockcheck.h>

#ifdef LOCKCHECK

#define LOCK_CLASSES 320u
#define LOCK_EDGES 4000u
#define LOCK_TRACE 10u /* return addresses kept of a first sighting */

/* How a class was met; a trace of the first time is kept for each. */
enum { MET_IRQ, MET_IRQ_SHARED, MET_IRQS_ON, MET_IRQS_ON_SHARED, MET_NR };

enum lock_nest {
	NEST_NONE,
	NEST_ADDRESS, /* two of the class in ascending order of address */
	NEST_RULE, /* two of the class by a rule of its own, which docs/locking.md gives */
};
struct lock_rank {
	const char *name; /* "expression file" or the name of a static lock */
	u8 rank; /* 1 is outermost */
	u8 nest; /* enum lock_nest */
};
extern const struct lock_rank lock_ranks[]; /* docs/locking.md has the same */
extern const u32 lock_ranks_nr;

struct lock_trace {
	u64 ip[LOCK_TRACE];
};
struct lock_info {
	const char *name, *file; /* (I) */
	u16 rank; /* (I) 0: not in the table */
	u8 nest; /* (I) enum lock_nest */
	u8 met; /* (a) bits MET_*; set under the graph lock */
	u16 out, in; /* (graph) first edge from and to here */
	u64 taken, contended; /* (a) */
	struct lock_trace met_at[MET_NR];
};
struct lock_edge {
	u16 from, to; /* (I) */
	u16 next_out, next_in; /* (graph) */
	u32 count; /* (a) */
	u64 held_ip; /* (I) who had taken "from" */
	struct lock_trace at; /* (I) who took "to" */
};
extern struct lock_info lock_infos[LOCK_CLASSES]; /* 0 is no class */
extern struct lock_edge lock_edges[LOCK_EDGES]; /* 0 is no edge */
extern u32 lock_classes, lock_edges_nr; /* used, the first included */

enum lock_complaint {
	LOCK_CYCLE, LOCK_SAME, LOCK_AGAIN, LOCK_RANK, LOCK_IRQ, LOCK_NOT_HELD, LOCK_LEFT, LOCK_SPIN_SLEEP, LOCK_UNNAMED,
	LOCK_COMPLAINTS
};

/* All of these: => irqs off, inside the checker (this CPU's own use of locks is not watched) */
/* @class was taken while @h is held: a new edge is looked at from all sides. */
void lock_edge_note(const struct lock_held *h, u16 class, const void *lock, unsigned how);
void lock_met(u16 class, unsigned how_met); /* first time of a MET_* */
void lock_complain(enum lock_complaint kind, u16 class, u64 ip);
void lock_complaints_print(void); /* => no spinning lock held */
bool lock_complaints_wait(void);

#endif
#endif
