/*
 * The kernel log: a ring of records, written from any context, drained to every console and /dev/kmsg.
 */
#ifndef KERNEL_PRINTK_H
#define KERNEL_PRINTK_H

#include <lib/compiler.h>
#include <lib/types.h>

#define LOG_EMERG 0
#define LOG_ERR 3
#define LOG_WARN 4
#define LOG_NOTICE 5
#define LOG_INFO 6
#define LOG_DEBUG 7

void printk(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define pr_err(...) printk(LOG_ERR, __VA_ARGS__)
#define pr_warn(...) printk(LOG_WARN, __VA_ARGS__)
#define pr_notice(...) printk(LOG_NOTICE, __VA_ARGS__)
#define pr_info(...) printk(LOG_INFO, __VA_ARGS__)
#define pr_debug(...) printk(LOG_DEBUG, __VA_ARGS__)
#define pr_once(level, ...)                                   \
	do {                                                  \
		static bool __once;                           \
		if (!__atomic_exchange_n(&__once, true, __ATOMIC_RELAXED)) \
			printk(level, __VA_ARGS__);           \
	} while (0)

/* A console is a sink for log text (and panics); write must work with interrupts off, from any context. */
struct console {
	const char *name;
	void (*write)(struct console *c, const char *s, size_t n);
	void (*panic_enter)(struct console *c); /* break locks; may be NULL */
	struct console *next;
};
void console_register(struct console *c); /* replays the log to it */
extern int console_loglevel; /* records with level < this go to consoles; "quiet" and "loglevel=" set it */

/* Reading the ring for /dev/kmsg, syslog(2) and panics. @seq advances; returns bytes, 0 when there is nothing new. */
size_t log_read(u64 *seq, char *buf, size_t size);
u64 log_first_seq(void);
u64 log_next_seq(void);

void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn, cold));
struct pt_regs;
void panic_regs(struct pt_regs *regs, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn, cold));
/* Prints a symbolised backtrace from a frame pointer (regs' or the caller's when NULL). */
void backtrace(const struct pt_regs *regs);
/*
 * Return addresses on the stack [low, top) of a thread that was switched out at @ksp, the innermost first. It may wake meanwhile:
 * then they are old or mixed. => how many; any context, the stack stays
 */
u32 backtrace_waiting(u64 low, u64 top, u64 ksp, u64 *ips, u32 max);
/* Return addresses of the caller's callers, the nearest first; 0 ends them when there is room. Returns how many. => any context */
unsigned backtrace_save(u64 *ip, unsigned max);
/* Name+offset of a kernel text address into buf ("do_fork+0x12/0x80"). */
int ksym_format(char *buf, size_t n, u64 addr);
/* Oops: a fault in kernel mode on behalf of one task: prints, and kills that task; panics in interrupt context or with oops=panic. */
void oops(struct pt_regs *regs, const char *what) __attribute__((noreturn, cold));
extern bool panic_in_progress;
/* /proc/sys/kernel/tainted, Linux's bits: what a report of a fault of the kernel's leaves behind. */
#define TAINT_DIE 7
#define TAINT_WARN 9
extern u64 kernel_tainted;
void kernel_taint(int bit); /* => any context */
/* Keeps a copy of the memory map for panics. */
struct handoff;
void panic_set_memory_map(const struct handoff *h);
/* Doors to x86. smp_panic_stop sends an NMI to every other running CPU (no-op before there are any); the NMI handler first
 * calls panic_other_cpu(regs), which returns when no panic is in progress, else prints that CPU's state in turn and halts. */
void smp_panic_stop(void);
void panic_other_cpu(struct pt_regs *regs);
/* One record in the form of /dev/kmsg ("6,12,345678,-;text\n"). */
size_t log_read_kmsg(u64 *seq, char *buf, size_t size);
/* Called at the end of timer interrupts: wakes readers of the log (printk itself cannot wake: it runs under any lock). */
void printk_tick(void);
struct wait_queue;
extern struct wait_queue log_wait;

#endif
