/*
 * CPU features: what CPUID offers, minus what the command line switches off, is what the kernel uses.
 *
 * Nothing is ever probed by trying: some machines hang on a reserved control-register bit instead of
 * raising #GP, and read unknown MSRs as zero. cpu_detect() runs once on the boot CPU; cpu_enable()
 * brings the control registers of every CPU to the same state; a CPU that lacks a feature in use is
 * not brought up (cpu_matches_boot).
 *
 * References: Intel SDM vol. 2A CPUID; vol. 3A 2.5 (control registers), 4.1 (paging features),
 * 11.12 (PAT); vol. 4 (MSRs).
 */
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/assert.h>
#include <lib/string.h>
#include <x86/mce.h>
#include <x86/cpu.h>
#include <x86/desc.h>
#include <x86/layout.h>
#include <x86/fpu.h>
#include <x86/bugs.h>
#include <x86/machine.h>
#include <x86/pti.h>

#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NE (1ull << 5)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_CD (1ull << 30)
#define CR0_NW (1ull << 29)

#define CR4_TSD (1ull << 2)
#define CR4_DE (1ull << 3)
#define CR4_PAE (1ull << 5)
#define CR4_MCE (1ull << 6)
#define CR4_PGE (1ull << 7)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP (1ull << 11)
#define CR4_LA57 (1ull << 12)
#define CR4_FSGSBASE (1ull << 16)
#define CR4_PCIDE (1ull << 17)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_SMEP (1ull << 20)
#define CR4_SMAP (1ull << 21)
#define CR4_PKE (1ull << 22)

#define MSR_EFER 0xc0000080
#define EFER_SCE (1ull << 0)
#define EFER_LME (1ull << 8)
#define EFER_NXE (1ull << 11)
#define MSR_PAT 0x277
#define MSR_MISC_ENABLE 0x1a0

struct cpu_features cpu_features;
static u32 leaf1_edx, max_leaf, max_ext;

static bool off(const char *word)
{
	return cmdline_has(word);
}

static void detect_names(void)
{
	struct cpu_features *f = &cpu_features;
	u32 r[4];

	cpuid(0, 0, r);
	max_leaf = r[0];
	memcpy(f->vendor, &r[1], 4);
	memcpy(f->vendor + 4, &r[3], 4);
	memcpy(f->vendor + 8, &r[2], 4);
	cpuid(0x80000000, 0, r);
	max_ext = r[0] >= 0x80000000 ? r[0] : 0;
	for (u32 i = 0; i < 3 && max_ext >= 0x80000004; i++) {
		cpuid(0x80000002 + i, 0, r);
		memcpy(f->model + 16 * i, r, 16);
	}
	if (!f->model[0])
		strscpy(f->model, "unknown", sizeof(f->model));
	cpuid(1, 0, r);
	f->stepping = r[0] & 15;
	f->model_nr = r[0] >> 4 & 15;
	f->family = r[0] >> 8 & 15;
	if (f->family == 15)
		f->family += r[0] >> 20 & 255;
	if (f->family >= 6)
		f->model_nr |= (r[0] >> 16 & 15) << 4;
}

static void detect_basic(struct cpu_features *f)
{
	u32 r[4];

	cpuid(1, 0, r);
	leaf1_edx = r[3];
	f->pge = r[3] >> 13 & 1 && !off("nopge");
	f->pat = r[3] >> 16 & 1;
	f->pcid = f->pge && r[2] >> 17 & 1 && !off("nopcid");
	f->x2apic = r[2] >> 21 & 1 && !off("nox2apic");
	f->tsc_deadline = r[2] >> 24 & 1 && !off("notscdeadline");
	f->xsave = r[2] >> 26 & 1 && !off("noxsave");
	f->avx = f->xsave && r[2] >> 28 & 1 && !off("noavx");
	f->rdrand = r[2] >> 30 & 1 && !off("nordrand");
	f->monitor = r[2] >> 3 & 1 && !off("nomonitor");
	f->hypervisor = r[2] >> 31 & 1;
	f->phys_bits = 36;
	f->virt_bits = 48;
	if (max_leaf >= 6) {
		cpuid(6, 0, r);
		f->arat = r[0] >> 2 & 1;
	}
}

static void detect_extended(struct cpu_features *f)
{
	u32 r[4];

	if (max_leaf >= 7) {
		cpuid(7, 0, r);
		f->fsgsbase = r[1] & 1 && !off("nofsgsbase");
		f->smep = r[1] >> 7 & 1 && !off("nosmep");
		f->erms = r[1] >> 9 & 1;
		f->invpcid = f->pcid && r[1] >> 10 & 1 && !off("noinvpcid");
		f->avx2 = f->avx && r[1] >> 5 & 1;
		f->avx512 = f->avx2 && r[1] >> 16 & 1 && !off("noavx512");
		f->rdseed = r[1] >> 18 & 1;
		f->smap = r[1] >> 20 & 1 && !off("nosmap");
		f->umip = r[2] >> 2 & 1 && !off("noumip");
		f->pku = r[2] >> 3 & 1 && !off("nopku");
		f->rdpid = r[2] >> 22 & 1;
		f->fsrm = r[3] >> 4 & 1;
	}
	if (f->xsave && max_leaf >= 13) {
		cpuid(13, 1, r);
		f->xsaveopt = r[0] & 1 && !off("noxsaveopt");
		f->xsavec = r[0] >> 1 & 1;
		cpuid(13, 0, r);
		f->pku = f->pku && r[0] >> 9 & 1; /* PKRU must be part of a thread's state */
	} else {
		f->pku = false;
	}
	if (max_ext >= 0x80000001) {
		cpuid(0x80000001, 0, r);
		f->nx = r[3] >> 20 & 1;
		f->gb_pages = r[3] >> 26 & 1 && !off("nogbpages");
		f->rdtscp = r[3] >> 27 & 1;
	}
	if (max_ext >= 0x80000007) {
		cpuid(0x80000007, 0, r);
		f->tsc_invariant = r[3] >> 8 & 1;
	}
	if (max_ext >= 0x80000008) {
		cpuid(0x80000008, 0, r);
		f->phys_bits = (u8)r[0];
		f->virt_bits = (u8)(r[0] >> 8);
	}
}

void cpu_detect(void)
{
	struct cpu_features *f = &cpu_features;

	detect_names();
	detect_basic(f);
	detect_extended(f);
	if (!f->nx)
		panic("This CPU has no NX bit; Quoin needs it");
	cpu_bugs_detect();
	pti_choose();
	f->la57 = read_cr4() & CR4_LA57; /* as the loader left it; it cannot change in long mode */
}

void cpu_enable(void)
{
	const struct cpu_features *f = &cpu_features;
	u64 cr4 = read_cr4() & (CR4_PAE | CR4_MCE | CR4_LA57);

	/* IA32_MISC_ENABLE bit 34 hides NX on some Intel machines; firmware that boots us with
	 * EFER.NXE on has not set it, so it is left alone. */
	wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~1ull) | EFER_SCE | EFER_NXE);
	cr4 |= CR4_DE | CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	cr4 |= f->umip ? CR4_UMIP : 0;
	cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
	cr4 |= f->xsave ? CR4_OSXSAVE : 0;
	cr4 |= f->smep ? CR4_SMEP : 0;
	cr4 |= f->smap ? CR4_SMAP : 0;
	cr4 |= f->pku ? CR4_PKE : 0;
	if (leaf1_edx >> 14 & leaf1_edx >> 7 & 1) /* MCA, MCE */
		mce_cpu_init();
	if (leaf1_edx >> 7 & 1)
		cr4 |= CR4_MCE;
	write_cr4(cr4); /* PGE off for a moment: every translation is gone */
	cr4 |= f->pge ? CR4_PGE : 0;
	/* PCIDE may only be set while CR3 bits 0-11 are 0 (SDM vol. 3A 4.10.1). */
	if (f->pcid) {
		write_cr3(read_cr3() & ~0xfffull);
		cr4 |= CR4_PCIDE;
	}
	write_cr4(cr4);
	u64 cr0 = read_cr0() & ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW);
	write_cr0(cr0 | CR0_WP | CR0_NE | CR0_MP | CR0_AM);
	if (f->pat) {
		wrmsr(MSR_PAT, PAT_VALUE);
		VERIFY3U(rdmsr(MSR_PAT), ==, PAT_VALUE); /* one meaning of an entry on all CPUs */
		write_cr3(read_cr3());
	}
	syscall_msr_init();
	asm volatile("mov %0, %%dr7" ::"r"(0x400ull));
}

/* Every word of CPUID that a feature in use was taken from. */
static void feature_words(u32 w[8])
{
	u32 r[4];

	memset(w, 0, 8 * sizeof(*w));
	cpuid(1, 0, r);
	w[0] = r[2] & ~(1u << 27); /* OSXSAVE mirrors CR4 */
	w[1] = r[3] & ~(1u << 9); /* the APIC may be off still */
	if (max_leaf >= 7) {
		cpuid(7, 0, r);
		w[2] = r[1];
		w[3] = r[2] & ~(1u << 4); /* OSPKE */
	}
	if (max_ext >= 0x80000001) {
		cpuid(0x80000001, 0, r);
		w[4] = r[3] & ~(1u << 11); /* SYSCALL: some CPUs show it in long mode only */
	}
	if (max_leaf >= 13) {
		cpuid(13, 0, r);
		w[5] = r[0];
		cpuid(13, 1, r);
		w[6] = r[0];
	}
}

bool cpu_matches_boot(void)
{
	static u32 boot[8];
	u32 mine[8];

	if (smp_processor_id() == 0) {
		feature_words(boot);
		return true;
	}
	feature_words(mine);
	for (int i = 0; i < 8; i++)
		if (boot[i] & ~mine[i])
			return false;
	return true;
}

extern const struct smap_site { s32 where; u32 modrm; } __smap_sites_start[], __smap_sites_end[];

/* => interrupts off, one CPU. The text is read-only where it runs, so it is reached by the direct map. */
void smap_patch(void)
{
	if (!cpu_has(smap))
		return;
	for (const struct smap_site *s = __smap_sites_start; s < __smap_sites_end; s++) {
		u64 va = (u64)&s->where + (u64)(s64)s->where;
		u8 *p = phys_to_virt(kimage_to_phys((void *)va));

		p[1] = 0x01;
		p[2] = (u8)s->modrm;
		p[0] = 0x0f;
	}
	u32 r[4];
	cpuid(0, 0, r); /* serialises: no stale instruction bytes are in the pipeline */
}

u32 cpu_hwcap(void)
{
	return leaf1_edx;
}
