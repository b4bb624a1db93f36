/*
 * profile.c - a plugin for QEMU 7.2's TCG: what the guest executes, by function and caller.
 *
 *	-plugin profile.so,out=FILE[,syms=FILE][,mark=NAME:HEX]...
 *
 * It counts instructions between two marks, the no-ops 0f 1f 84 00 31 4f 55 51 and ... 32 4f 55 51
 * (MARK_START and MARK_STOP of bench.h), and charges each to a node of a calling-context tree.  At the
 * end the tree goes to FILE, a line a node: "CALLS INSTRUCTIONS outer;inner;innermost".
 *
 * Contexts without registers: this version of the interface cannot read registers, but it tells the
 * address of each memory access, and the access of a CALL or RET is at the stack pointer.  So a call
 * stores (return address, node of the caller) under the address of its stack slot, and a return looks
 * its own slot up.  That follows the guest through context switches, as every stack has addresses of
 * its own; a return to an address that no call left there (a new thread) starts at the root.
 *
 * An exception or interrupt in the kernel begins at one of the stubs of idt_stubs; the slot of the
 * interrupted RIP is found from the stub's first push (SDM vol. 3A 6.14.2: the CPU aligns the frame to
 * 16, so RIP's slot is 8 modulo 16) and IRET finds it again.  A jump into another function replaces
 * the node (a tail call).  Everything in the lower half of the address space is "[user]".
 *
 * mark=NAME:HEX reports how many instructions had been executed when code that begins with these
 * bytes was first reached, as a line "NAME COUNT" of FILE; it needs no symbols.
 *
 * Several CPUs take turns in one thread of the host (-icount): each has a place of its own in the tree,
 * and nothing here is locked.  QEMU's interface is declared here as far as it is used
 * (docs/devel/tcg-plugins of QEMU, interface version 1).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- QEMU's interface, version 1 ---- */

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_trans_fn)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*exec_fn)(unsigned vcpu, void *data);
typedef void (*mem_fn)(unsigned vcpu, qemu_plugin_meminfo_t, uint64_t vaddr, void *data);
enum { CB_NO_REGS = 0, INLINE_ADD_U64 = 0, MEM_RW = 3 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans_fn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, exec_fn, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_fn, int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int op, void *ptr, uint64_t imm);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_fn, int flags, int rw, void *data);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

/* ---- symbols ---- */

struct symbol {
	uint64_t addr;
	char name[96];
};

static struct symbol *symbols;
static size_t nsymbols;
static uint64_t stubs, stubs_end;	/* idt_stubs */

enum { USER = -1, UNKNOWN = -2, ROOT = -3 };

static const char *name_of(int func)
{
	return func >= 0 ? symbols[func].name : func == USER ? "[user]" : "[unknown]";
}

/* => index of the function that contains the address */
static int function_at(uint64_t addr)
{
	size_t lo = 0, hi = nsymbols;

	if (!(addr >> 63))
		return USER;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (symbols[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? (int)lo - 1 : UNKNOWN;
}

/* Lines "ADDRESS NAME", ascending. */
static bool read_symbols(const char *path)
{
	FILE *f = fopen(path, "r");
	struct symbol s;

	if (!f)
		return false;
	while (fscanf(f, "%" SCNx64 " %95s", &s.addr, s.name) == 2) {
		if (nsymbols % 1024 == 0)
			symbols = realloc(symbols, (nsymbols + 1024) * sizeof *symbols);
		if (stubs && !stubs_end)
			stubs_end = s.addr;
		if (!strcmp(s.name, "idt_stubs"))
			stubs = s.addr;
		symbols[nsymbols++] = s;
	}
	fclose(f);
	if (stubs && !stubs_end)
		stubs_end = stubs + 256 * 16;
	return nsymbols != 0;
}

/* ---- the tree ---- */

struct node {
	int func;
	struct node *parent, *child, *next;
	uint64_t calls, insns;
};

static struct node root = { .func = ROOT };

static struct node *child_of(struct node *parent, int func)
{
	struct node *n;

	for (n = parent->child; n; n = n->next)
		if (n->func == func)
			return n;
	n = calloc(1, sizeof *n);
	n->func = func;
	n->parent = parent;
	n->next = parent->child;
	parent->child = n;
	return n;
}

/* ---- stack slots: an open hash table, the newest entry of an address wins ---- */

struct slot {
	uint64_t addr, target;
	struct node *caller;
};

enum { SLOT_BITS = 20 };
static struct slot slots[1 << SLOT_BITS];

/* Slots that collide overwrite each other: addresses are 8 apart, so a 8 MiB window is free of that. */
static struct slot *slot_at(uint64_t addr)
{
	return &slots[(addr >> 3 ^ addr >> 23) & ((1 << SLOT_BITS) - 1)];
}

/* ---- following the guest ---- */

enum ending { PLAIN, CALL, RET, IRET };

struct block {
	uint64_t start, after;	/* the first instruction; what follows the last one */
	int func;
	enum ending ending;
	bool stub;		/* begins at an IDT stub */
};

static uint64_t executed;	/* instructions so far, counted by the translated code */
static uint64_t charged;	/* of them, already seen by charge() */
static bool counting;
static const char *out_path;

enum { MAX_CPUS = 64 };

struct cpu {
	struct node *here;	/* the function it is in; NULL: it has not executed anything */
	const struct block *last;
	uint64_t access_at;	/* stack slot of the ending just executed, or 0 */
};

static struct cpu cpus[MAX_CPUS];
static struct cpu *running;	/* whose instructions are being executed */

static void charge(void)
{
	if (counting && running)
		running->here->insns += executed - charged;
	charged = executed;
}

static struct cpu *cpu_of(unsigned vcpu)
{
	struct cpu *c = &cpus[vcpu % MAX_CPUS];

	if (!c->here)
		c->here = &root;
	return c;
}

/* A function that calls itself is one node. */
static void enter(struct cpu *c, struct node *parent, int func)
{
	c->here = parent->func == func ? parent : child_of(parent, func);
	if (counting)
		c->here->calls++;
}

static void return_to(struct cpu *c, const struct block *b)
{
	struct slot *s = slot_at(c->access_at);

	if (s->addr == c->access_at && (s->target == b->start || !s->target)) {
		c->here = s->caller;
		if (c->here->func != b->func)
			c->here = child_of(c->here->parent, b->func);
	} else {
		enter(c, &root, b->func);
	}
}

static void on_block(unsigned vcpu, void *data)
{
	const struct block *b = data;
	struct cpu *c = cpu_of(vcpu);
	const struct block *last = c->last;

	charge();
	running = c;
	if (b->func == USER) {
		if (c->here->func != USER)
			c->here = child_of(&root, USER);
	} else if (!last || last->func == USER) {
		enter(c, &root, b->func);
	} else if (b->stub) {
		/* the store of the stub's first push will tell the slot: on_stub_push() */
		enter(c, c->here, b->func);
	} else if (last->ending == CALL && c->access_at) {
		*slot_at(c->access_at) = (struct slot){ c->access_at, last->after, c->here };
		enter(c, c->here, b->func);
	} else if ((last->ending == RET || last->ending == IRET) && c->access_at) {
		return_to(c, b);
	} else if (c->here->func != b->func) {
		enter(c, c->here->parent ? c->here->parent : &root, b->func);
	}
	c->last = b;
	c->access_at = 0;
}

static void on_stack(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	const struct block *b = data;
	struct cpu *c = cpu_of(vcpu);

	if (!c->access_at && qemu_plugin_mem_is_store(info) == (b->ending == CALL))
		c->access_at = vaddr;
}

/* The stub has been entered as a child of what it interrupted. */
static void on_stub_push(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *data)
{
	uint64_t rip_slot = vaddr + (vaddr % 16 ? 16 : 8);
	struct node *above = cpu_of(vcpu)->here->parent;

	(void)data;
	if (qemu_plugin_mem_is_store(info) && above && above != &root)
		*slot_at(rip_slot) = (struct slot){ rip_slot, 0, above };
}

static void on_start(unsigned vcpu, void *data)
{
	(void)vcpu, (void)data;
	charge();
	counting = true;
}

static void on_stop(unsigned vcpu, void *data)
{
	(void)vcpu, (void)data;
	charge();
	counting = false;
}

/* ---- translation ---- */

struct mark {
	char name[32];
	uint8_t bytes[32];
	size_t len;
	uint64_t reached;
};

static struct mark marks[8];
static size_t nmarks;

static void on_mark(unsigned vcpu, void *data)
{
	struct mark *m = data;
	FILE *f;

	(void)vcpu;
	if (m->reached)
		return;
	m->reached = executed + 1;
	f = fopen(out_path, "a");
	if (f) {
		fprintf(f, "%s %" PRIu64 "\n", m->name, m->reached);
		fclose(f);
	}
}

static void look_for_marks(struct qemu_plugin_tb *tb, size_t n)
{
	uint8_t bytes[256];
	size_t len = 0;

	for (size_t i = 0; i < n && len < sizeof bytes - 16; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		memcpy(bytes + len, qemu_plugin_insn_data(insn), qemu_plugin_insn_size(insn));
		len += qemu_plugin_insn_size(insn);
	}
	for (struct mark *m = marks; m < marks + nmarks; m++) {
		size_t cmp = len < m->len ? len : m->len;

		/* a block may be shorter than the pattern, but not so short that it says nothing */
		if (!m->reached && cmp >= 8 && !memcmp(bytes, m->bytes, cmp))
			qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, 0), on_mark,
							       CB_NO_REGS, m);
	}
}

static enum ending ending_of(const uint8_t *code, size_t len)
{
	size_t i = 0;

	if (len == 2 && code[0] == 0x48 && code[1] == 0xcf)
		return IRET;
	while (i < len && (code[i] == 0xf3 || code[i] == 0xf2 || code[i] == 0x3e || code[i] == 0x65 ||
			   (code[i] & 0xf0) == 0x40))
		i++;
	if (i >= len)
		return PLAIN;
	if (code[i] == 0xc3 || code[i] == 0xc2)
		return RET;
	if (code[i] == 0xe8 || (code[i] == 0xff && i + 1 < len && (code[i + 1] >> 3 & 7) == 2))
		return CALL;
	return PLAIN;
}

static void look_for_marker(struct qemu_plugin_insn *insn)
{
	static const uint8_t marker[] = { 0x0f, 0x1f, 0x84, 0x00, 0x31, 0x4f, 0x55, 0x51 };
	const uint8_t *code = qemu_plugin_insn_data(insn);

	if (qemu_plugin_insn_size(insn) != sizeof marker || memcmp(code, marker, 4) ||
	    memcmp(code + 5, marker + 5, 3))
		return;
	if (code[4] == 0x31)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_start, CB_NO_REGS, NULL);
	else if (code[4] == 0x32)
		qemu_plugin_register_vcpu_insn_exec_cb(insn, on_stop, CB_NO_REGS, NULL);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *final = qemu_plugin_tb_get_insn(tb, n - 1);
	struct block *b;

	(void)id;
	for (size_t i = 0; i < n; i++)
		qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(tb, i), INLINE_ADD_U64,
							   &executed, 1);
	if (nmarks)
		look_for_marks(tb, n);
	if (!nsymbols)
		return;
	b = calloc(1, sizeof *b);
	b->start = qemu_plugin_tb_vaddr(tb);
	b->after = qemu_plugin_insn_vaddr(final) + qemu_plugin_insn_size(final);
	b->func = function_at(b->start);
	b->stub = b->start >= stubs && b->start < stubs_end && !(b->start & 15);
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, CB_NO_REGS, b);
	if (b->func == USER) {
		for (size_t i = 0; i < n; i++)
			look_for_marker(qemu_plugin_tb_get_insn(tb, i));
		return;
	}
	if (b->stub)
		qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, 0), on_stub_push, CB_NO_REGS,
						 MEM_RW, NULL);
	b->ending = ending_of(qemu_plugin_insn_data(final), qemu_plugin_insn_size(final));
	if (b->ending)
		/* 7.2 confuses the filter for loads with that for stores: take both and look */
		qemu_plugin_register_vcpu_mem_cb(final, on_stack, CB_NO_REGS, MEM_RW, b);
}

/* ---- the result ---- */

static void write_node(FILE *f, const struct node *n, char *path, size_t len)
{
	size_t at = len;

	if (n->func != ROOT)
		at += snprintf(path + len, 4096 - len, "%s%s", len ? ";" : "", name_of(n->func));
	if (at >= 4000)
		return;
	if (n->insns)
		fprintf(f, "%" PRIu64 " %" PRIu64 " %s\n", n->calls, n->insns, path);
	for (const struct node *c = n->child; c; c = c->next) {
		write_node(f, c, path, at);
		path[at] = 0;
	}
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *data)
{
	static char path[4200];
	FILE *f = fopen(out_path, "a");

	(void)id, (void)data;
	charge();
	if (!f)
		return;
	if (nsymbols)
		write_node(f, &root, path, 0);
	fclose(f);
}

static bool add_mark(const char *text)
{
	const char *colon = strchr(text, ':');
	struct mark *m = &marks[nmarks];

	if (!colon || nmarks == sizeof marks / sizeof *marks)
		return false;
	snprintf(m->name, sizeof m->name, "%.*s", (int)(colon - text), text);
	for (const char *p = colon + 1; p[0] && p[1] && m->len < sizeof m->bytes; p += 2)
		if (sscanf(p, "%2hhx", &m->bytes[m->len++]) != 1)
			return false;
	nmarks++;
	return m->len >= 8;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	bool ok = true;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			out_path = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "syms=", 5))
			ok &= read_symbols(argv[i] + 5);
		else if (!strncmp(argv[i], "mark=", 5))
			ok &= add_mark(argv[i] + 5);
		else
			ok = false;
	}
	if (!ok || !out_path) {
		fprintf(stderr, "profile.so: out=FILE[,syms=FILE][,mark=NAME:HEX]\n");
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	return 0;
}
