/*
 * Faults of processors that leak data by speculation.
 *
 * A CPU has one unless its vendor, its model or IA32_ARCH_CAPABILITIES (SDM vol. 4, MSR 10AH) says that it has not. The lists of
 * models are those that Intel and AMD publish; where a list is not certain the CPU counts as affected. What is said in /sys is what
 * is true here: Quoin has page-table isolation and no other mitigation, so everything else that the CPU has is "Vulnerable".
 * In a virtual machine the hypervisor decides what these words of the CPU say.
 */
#include <kernel/cmdline.h>
#include <kernel/cpumask.h>
#include <lib/seq_buf.h>
#include <lib/string.h>
#include <x86/bugs.h>
#include <x86/cpu.h>

#define MSR_ARCH_CAPABILITIES 0x10a
#define CAP_RDCL_NO (1ull << 0)
#define CAP_SSB_NO (1ull << 4)
#define CAP_MDS_NO (1ull << 5)
#define CAP_PSCHANGE_MC_NO (1ull << 6)
#define CAP_TSX_CTRL (1ull << 7)
#define CAP_TAA_NO (1ull << 8)
#define CAP_SBDR_SSDP_NO (1ull << 13)
#define CAP_FBSDP_NO (1ull << 14)
#define CAP_PSDP_NO (1ull << 15)

static u32 bugs; /* bit per enum cpu_bug; immutable after detection */
static bool ibpb; /* the CPU has the barrier, which we do not use */

bool cpu_bug(enum cpu_bug b)
{
	return bugs >> b & 1;
}

bool mitigations_off(void)
{
	char word[8];

	return cmdline_get("mitigations", word, sizeof(word)) > 0 && !strcmp(word, "off");
}

static void has_not(u32 mask)
{
	bugs &= ~mask;
}

#define B(x) (1u << BUG_##x)
#define INTEL_ONLY (B(MELTDOWN) | B(L1TF) | B(MDS) | B(TAA) | B(ITLB_MULTIHIT) | B(SRBDS) | B(MMIO_STALE))

/* Models of family 6 in order cores and early ones that speculate nothing, or not over these limits. */
static bool intel_in_order(u32 model)
{
	static const u8 models[] = { 0x1c, 0x26, 0x27, 0x35, 0x36 }; /* Bonnell, Saltwell */

	return memchr(models, (int)model, sizeof(models));
}

static bool intel_small_core(u32 model)
{
	static const u8 models[] = { 0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x5c, 0x5d, 0x5f, 0x6e, 0x75, 0x7a, 0x86, 0x96, 0x9c };

	return memchr(models, (int)model, sizeof(models));
}

/* Client and server parts with a shared buffer for RDRAND (SRBDS), and those with the faults of fill buffers by MMIO. */
static bool srbds_model(u32 model)
{
	static const u8 models[] = { 0x3a, 0x3c, 0x45, 0x46, 0x3d, 0x47, 0x4e, 0x5e, 0x8e, 0x9e };

	return memchr(models, (int)model, sizeof(models));
}

static bool mmio_model(u32 model)
{
	static const u8 models[] = { 0x3f, 0x4f, 0x56, 0x4e, 0x55, 0x5e, 0x66, 0x6a, 0x6c, 0x7e, 0x86, 0x8c, 0x8d, 0x8e, 0x96, 0x9c,
				     0x9e, 0xa5, 0xa6, 0xa7 };

	return memchr(models, (int)model, sizeof(models));
}

static bool retbleed_model(u32 model)
{
	static const u8 models[] = { 0x4e, 0x55, 0x5e, 0x66, 0x7e, 0x8a, 0x8e, 0x9e, 0xa5, 0xa6, 0xa7 };

	return memchr(models, (int)model, sizeof(models));
}

static void detect_intel(u32 family, u32 model, u64 caps, bool rtm)
{
	if (family != 6)
		return;
	if (intel_in_order(model)) {
		bugs = 0;
		return;
	}
	if (intel_small_core(model))
		has_not(B(L1TF) | B(MDS) | B(ITLB_MULTIHIT));
	if (caps & CAP_RDCL_NO)
		has_not(B(MELTDOWN) | B(L1TF));
	if (caps & CAP_SSB_NO)
		has_not(B(SSB));
	if (caps & CAP_MDS_NO)
		has_not(B(MDS));
	if (caps & CAP_PSCHANGE_MC_NO)
		has_not(B(ITLB_MULTIHIT));
	if (caps & CAP_TAA_NO || !(rtm || caps & CAP_TSX_CTRL))
		has_not(B(TAA));
	if (!srbds_model(model))
		has_not(B(SRBDS));
	if ((caps & CAP_SBDR_SSDP_NO && caps & CAP_FBSDP_NO && caps & CAP_PSDP_NO) || !mmio_model(model))
		has_not(B(MMIO_STALE));
	if (!retbleed_model(model))
		has_not(B(RETBLEED));
}

static void detect_amd(u32 family, u32 ext_ebx)
{
	has_not(INTEL_ONLY);
	if (ext_ebx >> 26 & 1) /* SSB_NO */
		has_not(B(SSB));
	if (family < 0x15 || family > 0x18)
		has_not(B(RETBLEED));
}

void cpu_bugs_detect(void)
{
	const struct cpu_features *f = &cpu_features;
	u32 r[4], leaf7[4] = { 0 }, ext[4] = { 0 };
	u64 caps = 0;

	bugs = (1u << NR_CPU_BUGS) - 1;
	cpuid(0, 0, r);
	if (r[0] >= 7)
		cpuid(7, 0, leaf7);
	cpuid(0x80000000, 0, r);
	if (r[0] >= 0x80000008)
		cpuid(0x80000008, 0, ext);
	ibpb = leaf7[3] >> 26 & 1 || ext[1] >> 12 & 1;
	if (leaf7[3] >> 29 & 1)
		caps = rdmsr(MSR_ARCH_CAPABILITIES);
	if (!strcmp(f->vendor, "AuthenticAMD") || !strcmp(f->vendor, "HygonGenuine"))
		detect_amd(f->family, ext[1]);
	else if (!strcmp(f->vendor, "GenuineIntel"))
		detect_intel(f->family, f->model_nr, caps, leaf7[1] >> 11 & 1);
	else
		has_not(B(TAA) | B(SRBDS) | B(MMIO_STALE) | B(RETBLEED));
}

const char *cpu_bug_name(enum cpu_bug b)
{
	static const char *const names[NR_CPU_BUGS] = {
		[BUG_MELTDOWN] = "meltdown", [BUG_SPECTRE_V1] = "spectre_v1", [BUG_SPECTRE_V2] = "spectre_v2",
		[BUG_SSB] = "spec_store_bypass", [BUG_L1TF] = "l1tf", [BUG_MDS] = "mds", [BUG_TAA] = "tsx_async_abort",
		[BUG_ITLB_MULTIHIT] = "itlb_multihit", [BUG_SRBDS] = "srbds", [BUG_MMIO_STALE] = "mmio_stale_data",
		[BUG_RETBLEED] = "retbleed",
	};

	return names[b];
}

void cpu_bug_show(struct seq_buf *s, enum cpu_bug b)
{
	const char *smt = cpu_has(hypervisor) ? "; SMT Host state unknown" : ""; /* one thread a core is all we know of */

	if (b == BUG_MELTDOWN && cpu_has(pti))
		seq_puts(s, "Mitigation: PTI\n");
	else if (!cpu_bug(b))
		seq_puts(s, "Not affected\n");
	else if (b == BUG_SPECTRE_V2)
		seq_printf(s, "Vulnerable%s, STIBP: disabled\n", ibpb ? ", IBPB: disabled" : "");
	else if (b == BUG_ITLB_MULTIHIT)
		seq_puts(s, "Processor vulnerable\n");
	else if (b == BUG_MDS || b == BUG_TAA || b == BUG_MMIO_STALE)
		seq_printf(s, "Vulnerable%s\n", smt);
	else
		seq_puts(s, "Vulnerable\n");
}
