/*
 * UMIP: SGDT, SIDT, SLDT, STR and SMSW raise #GP in user mode (SDM vol. 3A 2.5, CR4.UMIP), because their results tell where kernel structures
 * lie. A few programs use them all the same, so their effect is imitated with values that tell nothing, as Linux 6.1 does:
 *
 *	SGDT, SIDT	limit 0 and a base in the kernel's half that is nobody's
 *	SMSW		a CR0 as every 64-bit kernel has it
 *	SLDT, STR	no LDT; the selector of a task segment
 *
 * Only what the five need is decoded: legacy prefixes and REX, 0F 00 or 0F 01, and one ModRM operand (SDM vol. 2A 2.1, 2.2), in 64-bit code;
 * there is no other user code. A ModRM that is none of them is left to the caller, who sends SIGSEGV.
 */
#include <kernel/printk.h>
#include <lib/string.h>
#include <sched/thread.h>
#include <uapi/signal.h>
#include <x86/cpu.h>
#include <x86/machine.h>
#include <x86/uaccess.h>

#define DUMMY_GDT_BASE 0xfffffffffffe0000ull
#define DUMMY_IDT_BASE 0xffffffffffff0000ull
#define DUMMY_CR0 0x80050033u /* PE MP ET NE WP AM PG */
#define DUMMY_TASK 0x40u
#define INSN_MAX 15

enum what { SLDT, STR, SGDT, SIDT, SMSW, NONE };
static const char *const names[] = { "SLDT", "STR", "SGDT", "SIDT", "SMSW" };

struct insn {
	u8 b[INSN_MAX];
	unsigned n, at; /* bytes there are, bytes used */
	u8 rex, seg, modrm;
	bool opsize, addr32;
};

static u64 *reg(struct pt_regs *r, unsigned nr)
{
	u64 *const regs[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
				&r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	return regs[nr];
}

/* One more byte; past the end 0, and i->at says so. */
static u8 next(struct insn *i)
{
	u8 b = i->at < i->n ? i->b[i->at] : 0;

	i->at++;
	return b;
}

static s64 displacement(struct insn *i, unsigned bytes)
{
	u32 v = 0;

	for (unsigned k = 0; k < bytes; k++)
		v |= (u32)next(i) << 8 * k;
	return bytes == 1 ? (s8)v : (s32)v;
}

/* Everything up to ModRM. Which of the five it is. */
static enum what decode(struct insn *i)
{
	static const enum what by_reg[2][8] = {
		{ SLDT, STR, NONE, NONE, NONE, NONE, NONE, NONE },
		{ SGDT, SIDT, NONE, NONE, SMSW, NONE, NONE, NONE },
	};
	enum what w;
	u8 b, op;

	for (;;) {
		b = next(i);
		if (b == 0x66)
			i->opsize = true;
		else if (b == 0x67)
			i->addr32 = true;
		else if (b == 0x64 || b == 0x65)
			i->seg = b;
		else if (b != 0xf2 && b != 0xf3 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26)
			break;
	}
	if ((b & 0xf0) == 0x40) {
		i->rex = b;
		b = next(i);
	}
	op = next(i);
	if (b != 0x0f || op > 1)
		return NONE;
	i->modrm = next(i);
	w = by_reg[op][i->modrm >> 3 & 7];
	return (w == SGDT || w == SIDT) && i->modrm >> 6 == 3 ? NONE : w;
}

static u64 segment_base(const struct insn *i)
{
	if (!i->seg)
		return 0;
	return i->seg == 0x64 ? arch_get_fsbase(current_thread()) : arch_get_gsbase(current_thread());
}

/* The address of a memory operand (SDM vol. 2A tables 2-2, 2-3). */
static u64 effective_address(struct insn *i, struct pt_regs *regs)
{
	unsigned mod = i->modrm >> 6, rm = i->modrm & 7;
	bool rip = false;
	u64 a = 0;

	if (rm == 4) {
		u8 sib = next(i);
		unsigned index = (sib >> 3 & 7) | (i->rex & 2) << 2, base = sib & 7;

		if (index != 4)
			a = *reg(regs, index) << (sib >> 6);
		if (base == 5 && !mod)
			a += (u64)displacement(i, 4);
		else
			a += *reg(regs, base | (i->rex & 1) << 3);
	} else if (rm == 5 && !mod) {
		a = (u64)displacement(i, 4);
		rip = true;
	} else {
		a = *reg(regs, rm | (i->rex & 1) << 3);
	}
	if (mod == 1 || mod == 2)
		a += (u64)displacement(i, mod == 1 ? 1 : 4);
	if (rip)
		a += regs->rip + i->at;
	if (i->addr32)
		a = (u32)a;
	return a + segment_base(i);
}

static void set_register(const struct insn *i, struct pt_regs *regs, u64 v)
{
	u64 *r = reg(regs, (i->modrm & 7) | (i->rex & 1) << 3);

	if (i->opsize && !(i->rex & 8))
		*r = (*r & ~0xffffull) | (u16)v;
	else
		*r = v;
}

static bool store(struct pt_regs *regs, u64 addr, const void *data, unsigned n)
{
	struct arch_thread *a = &current_thread()->arch;

	if (!copy_to_user((void __user *)addr, data, n))
		return true;
	a->trap_nr = 14;
	a->error_code = 6; /* a write by user mode */
	a->fault_addr = addr;
	trap_user_signal(regs, SIGSEGV, SEGV_MAPERR, addr);
	return false;
}

/* A program may do it in a loop. */
static void tell(const struct pt_regs *regs, const char *name)
{
	static u32 told;

	if (__atomic_fetch_add(&told, 1, __ATOMIC_RELAXED) < 20)
		pr_warn("umip: %s ip:%llx sp:%llx: %s instruction cannot be used by applications: imitated\n", current_thread()->comm,
			regs->rip, regs->rsp, name);
}

bool umip_emulate(struct pt_regs *regs)
{
	struct insn i = { .n = INSN_MAX };
	u64 value, base, addr;
	u8 table[10];
	enum what w;

	i.n -= (unsigned)copy_from_user(i.b, (const void __user *)regs->rip, INSN_MAX);
	w = decode(&i);
	if (w == NONE || i.at > i.n)
		return false;
	tell(regs, names[w]);
	value = w == SMSW ? DUMMY_CR0 : w == STR ? DUMMY_TASK : 0;
	if (i.modrm >> 6 == 3) {
		set_register(&i, regs, value);
	} else {
		addr = effective_address(&i, regs);
		if (i.at > i.n)
			return false;
		base = w == SGDT ? DUMMY_GDT_BASE : DUMMY_IDT_BASE;
		memset(table, 0, sizeof(table));
		memcpy(table + 2, &base, 8);
		if (!store(regs, addr, w == SGDT || w == SIDT ? (void *)table : &value, w == SGDT || w == SIDT ? 10 : 2))
			return true; /* it has its signal */
	}
	regs->rip += i.at;
	return true;
}
