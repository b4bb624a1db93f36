/*
 * The real-time queue: a list per priority and a bitmap. FIFO threads run until they sleep, yield or a higher priority
 * appears; RR threads also go behind their equals when their slice is over. The running thread is not in the lists.
 */
#include "rq.h"

void rt_init(struct rt_queue *q)
{
	q->bitmap[0] = q->bitmap[1] = 0;
	q->queued = 0;
	for (int i = 0; i < RT_PRIOS; i++)
		INIT_LIST_HEAD(&q->list[i]);
}

static unsigned slot_of(const struct thread *t)
{
	return RT_PRIOS - 1 - sched_rt_prio(t);
}

void rt_insert(struct rt_queue *q, struct thread *t, bool head)
{
	unsigned i = slot_of(t);

	if (head)
		list_add(&t->rt_link, &q->list[i]);
	else
		list_add_tail(&t->rt_link, &q->list[i]);
	q->bitmap[i / 64] |= 1ull << (i % 64);
	q->queued++;
}

void rt_erase(struct rt_queue *q, struct thread *t)
{
	unsigned i = slot_of(t);

	list_del_init(&t->rt_link);
	if (list_empty(&q->list[i]))
		q->bitmap[i / 64] &= ~(1ull << (i % 64));
	q->queued--;
}

struct thread *rt_first(struct rt_queue *q)
{
	unsigned i;

	if (!q->queued)
		return NULL;
	i = q->bitmap[0] ? __builtin_ctzll(q->bitmap[0]) : 64 + __builtin_ctzll(q->bitmap[1]);
	return list_first_entry(&q->list[i], struct thread, rt_link);
}
