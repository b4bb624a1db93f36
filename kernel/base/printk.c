/*
 * The kernel log.
 *
 * A ring of records in static memory, usable from the first instruction: header, text, padding to 8
 * bytes; a record never wraps (a filler record with length 0 marks the unused end). seq numbers records;
 * the oldest are overwritten. log_lock (innermost of all locks, irqs off) protects the ring only and
 * is held for a copy of one record.
 *
 * Consoles are fed outside of it: whoever printed becomes the feeder if nobody is (console_busy), and
 * feeds until no record is left, re-checking after it stepped down, so that a record printed by a
 * CPU that found the feeder busy is never forgotten. A printk inside a console's write, or in an NMI
 * that interrupted the feeder, only stores.
 *
 * In a panic the locks are broken: the panicking CPU owns the machine (the others have stopped) and
 * prints directly.
 */
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <kernel/time.h>
#include <kernel/wait.h>
#include <lib/printf.h>
#include <lib/string.h>

#define LOG_SIZE (128u * 1024)
#define LINE_MAX 1000

struct record {
	u64 seq;
	u64 ts_ns;
	u16 len; /* text bytes; 0: filler up to the end of the ring */
	u8 level;
	u8 pad;
	u32 size; /* of all, multiple of 8 */
	char text[];
};

static u8 ring[LOG_SIZE] __aligned(8);
static u32 head, tail; /* (log_lock) offsets of the next and of the oldest record */
static u64 first_seq, next_seq; /* (log_lock) */
static DEFINE_SPINLOCK(log_lock);

static struct console *consoles;
static u32 console_busy; /* (a) somebody feeds */
static u64 console_seq; /* (console_busy) next record to show */
int console_loglevel = 7;
DEFINE_WAIT_QUEUE(log_wait);
static u32 log_wake_pending;

/* Like spin_lock_irqsave but never waits for a CPU that stopped inside: a panic goes on without. */
static void ring_lock(u64 *flags)
{
	*flags = local_irq_save();
	preempt_disable();
	while (__atomic_exchange_n(&log_lock.locked, 1, __ATOMIC_ACQUIRE)) {
		if (READ_ONCE(panic_in_progress))
			return;
		spin_poll();
	}
}

static void ring_unlock(u64 flags)
{
	__atomic_store_n(&log_lock.locked, 0, __ATOMIC_RELEASE);
	local_irq_restore(flags);
	/* no reschedule here: printk may be called with the run queue locked */
	preempt_enable_no_resched();
}

static struct record *at(u32 off)
{
	return (struct record *)(ring + off);
}

static u32 after(u32 off)
{
	off += at(off)->size;
	return off >= LOG_SIZE ? 0 : off;
}

static void drop_oldest(void)
{
	if (at(tail)->len)
		first_seq = at(tail)->seq + 1;
	tail = after(tail);
}

/* Makes room for @size bytes in one piece at head. */
static void make_room(u32 size)
{
	if (LOG_SIZE - head < size) {
		while (first_seq != next_seq && tail >= head)
			drop_oldest();
		at(head)->len = 0;
		at(head)->size = LOG_SIZE - head;
		head = 0;
	}
	while (first_seq != next_seq && tail >= head && tail < head + size)
		drop_oldest();
	if (first_seq == next_seq)
		tail = head;
}

static void store(int level, u64 ts, const char *text, u32 len)
{
	u32 size = ALIGN((u32)sizeof(struct record) + len, 8u);
	struct record *r;
	u64 flags;

	ring_lock(&flags);
	make_room(size);
	r = at(head);
	r->seq = next_seq++;
	r->ts_ns = ts;
	r->len = len;
	r->level = level;
	r->size = size;
	memcpy(r->text, text, len);
	head += size;
	/* a header must always fit at head */
	if (LOG_SIZE - head < sizeof(struct record)) {
		r->size += LOG_SIZE - head;
		head = 0;
	}
	ring_unlock(flags);
}

/* Copies record @*seq (or the oldest after it) out. False when there is none. */
static bool fetch(u64 *seq, struct record *hdr, char *text)
{
	bool found = false;
	u64 flags;
	u32 off;

	ring_lock(&flags);
	if (*seq < first_seq)
		*seq = first_seq;
	if (*seq < next_seq) {
		for (off = tail; !at(off)->len || at(off)->seq != *seq;)
			off = after(off);
		*hdr = *at(off);
		memcpy(text, at(off)->text, hdr->len);
		found = true;
	}
	ring_unlock(flags);
	return found;
}

static int stamp(char *buf, size_t size, u64 ns)
{
	return scnprintf(buf, size, "[%5llu.%06llu] ", ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000);
}

/* The feeder's buffers, owned with console_busy: kernel stacks are small. */
static struct record feed_rec;
static char feed_text[LINE_MAX];
static char feed_line[LINE_MAX + 40];

static int format_fed(void)
{
	int n = stamp(feed_line, sizeof(feed_line), feed_rec.ts_ns);

	memcpy(feed_line + n, feed_text, feed_rec.len);
	n += feed_rec.len;
	feed_line[n++] = '\n';
	return n;
}

/* Feeds the consoles until nothing is left; see the theory above for why no record stays behind. */
static void feed_consoles(void)
{
	preempt_disable();
	while (READ_ONCE(console_seq) != READ_ONCE(next_seq) && !xchg(&console_busy, 1)) {
		while (fetch(&console_seq, &feed_rec, feed_text)) {
			console_seq++;
			if (feed_rec.level >= console_loglevel)
				continue;
			int n = format_fed();

			for (struct console *c = READ_ONCE(consoles); c; c = c->next)
				c->write(c, feed_line, n);
		}
		smp_store_release(&console_busy, 0);
		smp_mb(); /* step down before looking again: a printer saw us busy only if we see its record */
	}
	preempt_enable_no_resched();
}

static void emit(int level, const char *text, int len)
{
	u64 ts = ktime_ns();

	/* one record a line */
	while (len > 0) {
		const char *nl = memchr(text, '\n', len);
		int n = nl ? (int)(nl - text) : len;

		store(level, ts, n ? text : " ", n ? n : 1);
		text += n + 1;
		len -= n + 1;
	}
	WRITE_ONCE(log_wake_pending, 1);
	if (consoles)
		feed_consoles();
}

void printk(int level, const char *fmt, ...)
{
	char text[LINE_MAX];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vscnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	emit(level & 7, text, n);
}

/* "quiet" and "loglevel=N"; the command line is known before the first console. */
static void read_options(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	if (cmdline_has("quiet"))
		console_loglevel = LOG_WARN;
	if (cmdline_has("debug"))
		console_loglevel = LOG_DEBUG + 1;
	console_loglevel = (int)cmdline_u64("loglevel", (u64)console_loglevel);
}

void console_register(struct console *c)
{
	struct console **end;
	u64 seq = 0;

	read_options();
	while (xchg(&console_busy, 1))
		spin_poll();
	while (seq < console_seq && fetch(&seq, &feed_rec, feed_text)) {
		seq++;
		if (feed_rec.level < console_loglevel)
			c->write(c, feed_line, format_fed());
	}
	c->next = NULL;
	for (end = &consoles; *end; end = &(*end)->next)
		;
	WRITE_ONCE(*end, c);
	smp_store_release(&console_busy, 0);
	feed_consoles();
}

static u64 panic_seq; /* first record of the panic itself */

/* Shows the last @n records before the panic whatever their level, for consoles that were quiet. */
void printk_panic_tail(u64 n)
{
	u64 seq = panic_seq > n ? panic_seq - n : 0, end = panic_seq;

	while (seq < end && fetch(&seq, &feed_rec, feed_text)) {
		int len = format_fed();

		seq++;
		for (struct console *c = consoles; c; c = c->next)
			c->write(c, feed_line, len);
	}
}

/* The panicking CPU takes everything over. Called by panic.c with the others stopped. */
void printk_panic_enter(void)
{
	log_lock.locked = 0;
	console_busy = 0;
	console_loglevel = 8;
	panic_seq = next_seq;
	for (struct console *c = consoles; c; c = c->next)
		if (c->panic_enter)
			c->panic_enter(c);
}

size_t log_read(u64 *seq, char *buf, size_t size)
{
	struct record r;
	char text[LINE_MAX];
	size_t n;

	if (!fetch(seq, &r, text))
		return 0;
	++*seq;
	n = scnprintf(buf, size, "<%d>[%5llu.%06llu] ", r.level, r.ts_ns / NSEC_PER_SEC,
		      r.ts_ns % NSEC_PER_SEC / 1000);
	if (n + r.len + 1 > size)
		r.len = size > n + 1 ? size - n - 1 : 0;
	memcpy(buf + n, text, r.len);
	n += r.len;
	if (n < size)
		buf[n++] = '\n';
	return n;
}

size_t log_read_kmsg(u64 *seq, char *buf, size_t size)
{
	struct record r;
	char text[LINE_MAX];
	size_t n;

	if (!fetch(seq, &r, text))
		return 0;
	++*seq;
	n = scnprintf(buf, size, "%d,%llu,%llu,-;", r.level, r.seq, r.ts_ns / 1000);
	for (u32 i = 0; i < r.len && n + 5 < size; i++) {
		u8 c = text[i];

		/* control characters as \xHH, so that a record stays one line */
		if (c < 32 || c == 127 || c == '\\')
			n += scnprintf(buf + n, size - n, "\\x%02x", c);
		else
			buf[n++] = c;
	}
	buf[n++] = '\n';
	return n;
}

u64 log_first_seq(void)
{
	return READ_ONCE(first_seq);
}

u64 log_next_seq(void)
{
	return READ_ONCE(next_seq);
}

void printk_tick(void)
{
	if (unlikely(READ_ONCE(log_wake_pending))) {
		WRITE_ONCE(log_wake_pending, 0);
		wake_up_all(&log_wait);
	}
}
