/*
 * User FPU and vector state.
 *
 * While a thread runs its state is in the registers; a switch away saves it (XSAVEOPT where there is
 * one: parts in their initial state or unchanged since the last XRSTOR are not written), a switch to
 * a thread loads it, unless the registers of this CPU still hold it: kernel threads and the idle
 * thread leave them alone, so that "user, idle, same user" loads nothing. fpu_owner says whose state
 * the registers hold; the save area's last CPU is in the thread.
 *
 * Kernel code uses vector registers only inside routines that put back what they touch.
 *
 * A save area is in the standard (not compacted) format, the one Linux gives to signal handlers:
 * 512 bytes of FXSAVE, 64 bytes of header, then the parts at CPUID's offsets (SDM vol. 1 13.4).
 * Its header bytes beyond XSTATE_BV must be 0, hence the memset of new areas.
 */
#include <kernel/current.h>
#include <kernel/preempt.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <sched/thread.h>
#include <uapi/errno.h>
#include <x86/cpu.h>
#include <x86/fpu.h>
#include <x86/ptrace.h>
#include <x86/irqflags.h>
#include <x86/machine.h>
#include <x86/uaccess.h>

#define XFEATURE_X87 1u
#define XFEATURE_SSE 2u
#define XFEATURE_AVX 4u
#define XFEATURE_AVX512 0xe0u
#define XFEATURE_PKRU 0x200u
#define FXSAVE_SIZE 512u
#define XSAVE_HEADER 64u
#define FCW_INIT 0x37f
#define MXCSR_INIT 0x1f80

/* Linux's marks in a signal frame: struct _fpx_sw_bytes at byte 464, and 4 bytes after the end. */
#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define SW_BYTES 464

struct sw_bytes {
	u32 magic1, extended_size;
	u64 xfeatures;
	u32 xstate_size;
	u32 padding[7];
};
_Static_assert(sizeof(struct sw_bytes) == 48, "signal frame");

u32 fpu_size = FXSAVE_SIZE;
u64 fpu_xcr0 = XFEATURE_X87 | XFEATURE_SSE;
/* What a new program starts with: all parts in their initial state but MXCSR, FCW and PKRU. */
static u8 init_area[3072] __aligned(64);
static DEFINE_PER_CPU(struct thread *, fpu_owner);

int xsave_user(void *area, u64 mask);
int xrstor_user(const void *area, u64 mask);
int fxsave_user(void *area);
int fxrstor_user(const void *area);

void fpu_cpu_init(void)
{
	asm volatile("clts\n\tfninit");
	u32 mxcsr = MXCSR_INIT;
	asm volatile("ldmxcsr %0" ::"m"(mxcsr));
	if (cpu_has(xsave))
		asm volatile("xsetbv" ::"c"(0), "a"((u32)fpu_xcr0), "d"((u32)(fpu_xcr0 >> 32)));
	this_cpu_write(fpu_owner, NULL);
}

void fpu_init(void)
{
	u32 r[4];

	if (cpu_has(xsave)) {
		cpuid(13, 0, r);
		u64 offered = r[0] | (u64)r[3] << 32;
		if (cpu_has(avx) && offered & XFEATURE_AVX)
			fpu_xcr0 |= XFEATURE_AVX;
		else
			cpu_features.avx = cpu_features.avx2 = cpu_features.avx512 = false;
		if (cpu_has(avx512) && (offered & XFEATURE_AVX512) == XFEATURE_AVX512)
			fpu_xcr0 |= XFEATURE_AVX512;
		else
			cpu_features.avx512 = false;
		if (cpu_has(pku)) {
			fpu_xcr0 |= XFEATURE_PKRU;
			cpuid(13, 9, r);
			VERIFY(r[1] + sizeof(u32) <= sizeof(init_area));
			*(u32 *)(init_area + r[1]) = PKRU_DEFAULT;
			*(u64 *)(init_area + FXSAVE_SIZE) = XFEATURE_PKRU;
		}
	}
	*(u16 *)init_area = FCW_INIT;
	*(u32 *)(init_area + 24) = MXCSR_INIT;
	fpu_cpu_init();
	if (cpu_has(xsave)) {
		cpuid(13, 0, r); /* EBX: bytes for the parts now enabled in XCR0 */
		fpu_size = (u32)ALIGN(r[1], 64u);
	}
}

static void save(void *area)
{
	u32 lo = (u32)fpu_xcr0, hi = (u32)(fpu_xcr0 >> 32);

	if (cpu_has(xsaveopt))
		asm volatile("xsaveopt64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
	else if (cpu_has(xsave))
		asm volatile("xsave64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

static void load(const void *area)
{
	u32 lo = (u32)fpu_xcr0, hi = (u32)(fpu_xcr0 >> 32);

	if (cpu_has(xsave))
		asm volatile("xrstor64 (%0)" ::"r"(area), "a"(lo), "d"(hi) : "memory");
	else
		asm volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

/* The area of a thread is good, its registers may still be, on the CPU it last ran on. */
void fpu_switch(struct thread *prev, struct thread *next)
{
	if (prev->arch.fpu) {
		save(prev->arch.fpu);
		prev->arch.fpu_cpu = this_cpu_read(this_cpu_number);
		this_cpu_write(fpu_owner, prev);
	}
	if (!next->arch.fpu)
		return;
	if (this_cpu_read(fpu_owner) == next && next->arch.fpu_cpu == this_cpu_read(this_cpu_number))
		return;
	load(next->arch.fpu);
	this_cpu_write(fpu_owner, next);
}

u32 pkru_read(void)
{
	u32 v;

	asm volatile("rdpkru" : "=a"(v) : "c"(0) : "edx");
	return v;
}

void pkru_write(u32 pkru)
{
	asm volatile("wrpkru" ::"a"(pkru), "c"(0), "d"(0) : "memory");
}

void fpu_init_thread(void *area)
{
	memset(area, 0, fpu_size);
	memcpy(area, init_area, sizeof(init_area) < fpu_size ? sizeof(init_area) : fpu_size);
	fpu_exec();
}

void fpu_fork(void *dst_area)
{
	/* XSAVE writes of the header only XSTATE_BV; XRSTOR wants zeroes behind it. */
	if (cpu_has(xsave))
		memset((char *)dst_area + FXSAVE_SIZE, 0, XSAVE_HEADER);
	u32 lo = (u32)fpu_xcr0, hi = (u32)(fpu_xcr0 >> 32);
	if (cpu_has(xsave)) /* not XSAVEOPT: it may leave out what only the parent's area holds */
		asm volatile("xsave64 (%0)" ::"r"(dst_area), "a"(lo), "d"(hi) : "memory");
	else
		asm volatile("fxsave64 (%0)" ::"r"(dst_area) : "memory");
}

void fpu_exec(void)
{
	load(init_area);
}

static u32 frame_state_size(void)
{
	u32 r[4];

	if (!cpu_has(xsave))
		return FXSAVE_SIZE;
	static u32 size;
	if (!size) {
		cpuid(13, 0, r);
		size = r[1];
	}
	return size;
}

u32 fpu_frame_size(void)
{
	return frame_state_size() + (cpu_has(xsave) ? 4 : 0);
}

int fpu_save_frame(void __user *p)
{
	u32 size = frame_state_size();

	if (!access_ok(p, fpu_frame_size()) || (u64)p & (cpu_has(xsave) ? 63 : 15))
		return -EFAULT;
	if (!cpu_has(xsave))
		return fxsave_user(p);
	/* The software bytes are the last of the 512, the header follows them: one copy for both. XSAVE writes only XSTATE_BV
	 * of the header, and none of the software bytes (SDM vol. 1 13.7). */
	struct { struct sw_bytes sw; u64 header[XSAVE_HEADER / 8]; } fill = { .sw = {
		.magic1 = FP_XSTATE_MAGIC1, .extended_size = size + 4,
		.xfeatures = fpu_xcr0, .xstate_size = size,
	} };
	if (copy_to_user((char *)p + SW_BYTES, &fill, sizeof(fill)) || xsave_user(p, fpu_xcr0))
		return -EFAULT;
	return put_user((u32)FP_XSTATE_MAGIC2, (u32 __user *)((char *)p + size));
}

/* Is it a frame with all our parts, as fpu_save_frame makes it? Else only the first 512 bytes count. */
static bool frame_is_extended(const char __user *p, struct sw_bytes *sw)
{
	u32 magic2;

	if (!cpu_has(xsave) || copy_from_user(sw, p + SW_BYTES, sizeof(*sw)))
		return false;
	if (sw->magic1 != FP_XSTATE_MAGIC1 || sw->xstate_size > frame_state_size() ||
	    sw->xstate_size < FXSAVE_SIZE + XSAVE_HEADER || sw->xstate_size > sw->extended_size)
		return false;
	return !get_user(magic2, (const u32 __user *)(p + sw->xstate_size)) && magic2 == FP_XSTATE_MAGIC2;
}

int fpu_restore_frame(const void __user *p)
{
	const char *f = p;
	int r;

	if (!p) {
		fpu_exec();
		return 0;
	}
	if (!access_ok(p, fpu_frame_size())) {
		fpu_exec();
		return -EFAULT;
	}
	bool aligned = !((u64)p & 63);
	struct sw_bytes sw;
	if (aligned && frame_is_extended(f, &sw)) {
		/* Parts the frame does not have become initial; the CPU checks the rest and refuses with #GP. */
		if (~sw.xfeatures & fpu_xcr0)
			fpu_exec();
		r = xrstor_user(p, fpu_xcr0 & sw.xfeatures);
	} else {
		u8 legacy[FXSAVE_SIZE] __aligned(16);
		if (copy_from_user(legacy, p, sizeof(legacy))) {
			fpu_exec();
			return -EFAULT;
		}
		fpu_exec();
		r = fxrstor_user(legacy); /* #GP on reserved MXCSR bits */
	}
	if (r) {
		fpu_exec();
		return -EINVAL;
	}
	return 0;
}

/* ---- for tracers and core dumps ---- */

#define MXCSR_MASK 0xffffu

u32 arch_xstate_size(void)
{
	return frame_state_size();
}

/* Parts that XSTATE_BV leaves out are in their initial state, whatever the area holds (SDM vol. 1 13.6). */
static void fill_initial_parts(u8 *buf, u64 present)
{
	u32 r[4];

	if (!(present & XFEATURE_X87)) {
		u32 mxcsr = *(u32 *)(buf + 24), mask = *(u32 *)(buf + 28);
		memcpy(buf, init_area, 160);
		*(u32 *)(buf + 24) = mxcsr;
		*(u32 *)(buf + 28) = mask;
	}
	if (!(present & XFEATURE_SSE))
		memset(buf + 160, 0, 256);
	if (!(present & (XFEATURE_SSE | XFEATURE_AVX)))
		*(u32 *)(buf + 24) = MXCSR_INIT;
	for (u32 i = 2; i < 63; i++) {
		if (!(fpu_xcr0 >> i & 1) || present >> i & 1)
			continue;
		cpuid(13, i, r);
		memset(buf + r[1], 0, r[0]);
	}
}

void arch_get_xstate(struct thread *t, void *buf)
{
	u64 flags = local_irq_save();
	bool live = t == current_thread();

	if (live) {
		this_cpu_write(fpu_owner, NULL); /* the area and XSAVEOPT's idea of it part here */
		save(t->arch.fpu);
	}
	memcpy(buf, t->arch.fpu, frame_state_size());
	if (live)
		load(t->arch.fpu);
	local_irq_restore(flags);
	if (cpu_has(xsave)) {
		u64 *h = (u64 *)((u8 *)buf + FXSAVE_SIZE);
		fill_initial_parts(buf, h[0]);
		memset((u8 *)buf + SW_BYTES, 0, sizeof(struct sw_bytes));
		*(u64 *)((u8 *)buf + SW_BYTES) = fpu_xcr0; /* where debuggers look for it */
	}
}

int arch_set_fpregs(struct thread *t, const void *buf)
{
	u8 *area = t->arch.fpu;

	if (*(const u32 *)((const u8 *)buf + 24) & ~MXCSR_MASK)
		return -EINVAL;
	memcpy(area, buf, SW_BYTES);
	if (cpu_has(xsave))
		*(u64 *)(area + FXSAVE_SIZE) |= XFEATURE_X87 | XFEATURE_SSE;
	t->arch.fpu_cpu = ~0u; /* no CPU's registers hold it now */
	return 0;
}

int arch_set_xstate(struct thread *t, const void *buf)
{
	const u64 *h = (const u64 *)((const u8 *)buf + FXSAVE_SIZE);

	if (!cpu_has(xsave))
		return arch_set_fpregs(t, buf);
	if (h[0] & ~fpu_xcr0 || *(const u32 *)((const u8 *)buf + 24) & ~MXCSR_MASK)
		return -EINVAL;
	for (u32 i = 1; i < XSAVE_HEADER / 8; i++)
		if (h[i])
			return -EINVAL;
	memcpy(t->arch.fpu, buf, frame_state_size());
	t->arch.fpu_cpu = ~0u;
	return 0;
}
