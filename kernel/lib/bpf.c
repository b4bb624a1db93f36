/*
 * Classic BPF programs over an array of words.
 *
 * bpf_check admits a program once; bpf_run then needs no checks of its own, for these reasons:
 *  - jumps go forward and land inside, and the last instruction is a return: it ends;
 *  - loads are of whole words inside the input;
 *  - scratch words are read only when every way to the read has written them (a bit mask per instruction, combined at joins,
 *    which come after their jumps because these go forward), so nothing of the stack is shown;
 *  - constants that would divide by zero or shift too far are refused; a division by an index of zero ends with 0.
 */
#include <lib/bpf.h>
#include <lib/string.h>

/* Instruction classes and fields, as in the BSD paper */
#define LD 0x00
#define LDX 0x01
#define ST 0x02
#define STX 0x03
#define ALU 0x04
#define JMP 0x05
#define RET 0x06
#define MISC 0x07
#define IMM 0x00
#define ABS 0x20
#define MEM 0x60
#define LEN 0x80
#define K 0x00
#define X 0x08
#define RET_A 0x10
#define SCRATCH 16

enum { ADD = 0x00, SUB = 0x10, MUL = 0x20, DIV = 0x30, OR = 0x40, AND = 0x50, LSH = 0x60, RSH = 0x70, NEG = 0x80, XOR = 0xa0 };
enum { JA = 0x00, JEQ = 0x10, JGT = 0x20, JGE = 0x30, JSET = 0x40 };
#define TAX 0x00
#define TXA 0x80

static bool alu_ok(const struct bpf_insn *i)
{
	switch (i->code & ~(ALU | X)) {
	case DIV:
		return i->code & X || i->k;
	case LSH: case RSH:
		return i->code & X || i->k < 32;
	case NEG:
		return !(i->code & X);
	case ADD: case SUB: case MUL: case OR: case AND: case XOR:
		return true;
	}
	return false;
}

/* One instruction by itself; @left: instructions behind it. */
static bool insn_ok(const struct bpf_insn *i, u32 left, u32 words)
{
	switch (i->code & 7) {
	case LD:
		return i->code == (LD | ABS) ? !(i->k & 3) && i->k / 4 < words :
		       i->code == (LD | LEN) || i->code == (LD | IMM) || (i->code == (LD | MEM) && i->k < SCRATCH);
	case LDX:
		return i->code == (LDX | LEN) || i->code == (LDX | IMM) || (i->code == (LDX | MEM) && i->k < SCRATCH);
	case ST: case STX:
		return i->code <= STX && i->k < SCRATCH;
	case ALU:
		return alu_ok(i);
	case JMP:
		if (i->code == (JMP | JA))
			return i->k < left;
		return ((i->code & ~(JMP | X)) == JEQ || (i->code & ~(JMP | X)) == JGT || (i->code & ~(JMP | X)) == JGE ||
			(i->code & ~(JMP | X)) == JSET) && i->jt < left && i->jf < left;
	case RET:
		return i->code == (RET | K) || i->code == (RET | RET_A);
	default:
		return i->code == (MISC | TAX) || i->code == (MISC | TXA);
	}
}

/* @masks[i]: scratch words written on every way to instruction i; all ones where none came yet. */
static bool scratch_ok(const struct bpf_insn *prog, u32 len, u16 *masks)
{
	u16 valid = 0;

	memset(masks, 0xff, len * sizeof(*masks));
	for (u32 n = 0; n < len; n++) {
		const struct bpf_insn *i = prog + n;

		valid &= masks[n];
		switch (i->code & 7) {
		case ST: case STX:
			valid |= (u16)(1u << i->k);
			break;
		case LD: case LDX:
			if ((i->code & 0xe0) == MEM && !(valid >> i->k & 1))
				return false;
			break;
		case JMP:
			if (i->code == (JMP | JA)) {
				masks[n + 1 + i->k] &= valid;
			} else {
				masks[n + 1 + i->jt] &= valid;
				masks[n + 1 + i->jf] &= valid;
			}
			valid = 0xffff;
			break;
		case RET:
			valid = 0xffff;
			break;
		}
	}
	return true;
}

bool bpf_check(const struct bpf_insn *prog, u32 len, u32 words)
{
	static u16 masks[BPF_MAXINSNS]; /* callers take turns: seccomp holds its mutex */

	if (!len || len > BPF_MAXINSNS)
		return false;
	for (u32 n = 0; n < len; n++)
		if (!insn_ok(prog + n, len - n - 1, words))
			return false;
	return (prog[len - 1].code & 7) == RET && scratch_ok(prog, len, masks);
}

static u32 alu(u16 op, u32 a, u32 b)
{
	switch (op) {
	case ADD:
		return a + b;
	case SUB:
		return a - b;
	case MUL:
		return a * b;
	case DIV:
		return a / b;
	case OR:
		return a | b;
	case AND:
		return a & b;
	case LSH:
		return b < 32 ? a << b : 0;
	case RSH:
		return b < 32 ? a >> b : 0;
	case XOR:
		return a ^ b;
	}
	return -a;
}

static bool jump(u16 op, u32 a, u32 b)
{
	return op == JEQ ? a == b : op == JGT ? a > b : op == JGE ? a >= b : (a & b) != 0;
}

u32 bpf_run(const struct bpf_insn *i, const u32 *data, u32 words)
{
	u32 a = 0, x = 0, mem[SCRATCH];

	for (;; i++) {
		u32 operand = i->code & X ? x : i->k;

		switch (i->code & 7) {
		case LD: case LDX: {
			u32 v = (i->code & 0xe0) == ABS ? data[i->k / 4] : (i->code & 0xe0) == LEN ? words * 4 :
				(i->code & 0xe0) == MEM ? mem[i->k] : i->k;
			*((i->code & 7) == LD ? &a : &x) = v;
			break;
		}
		case ST:
			mem[i->k] = a;
			break;
		case STX:
			mem[i->k] = x;
			break;
		case ALU:
			if ((i->code & 0xf0) == DIV && !operand)
				return 0;
			a = alu(i->code & 0xf0, a, operand);
			break;
		case JMP:
			i += i->code == (JMP | JA) ? i->k : jump(i->code & 0xf0, a, operand) ? i->jt : i->jf;
			break;
		case RET:
			return i->code & RET_A ? a : i->k;
		default:
			if (i->code & TXA)
				a = x;
			else
				x = a;
		}
	}
}
