/* /proc/cpuinfo: Linux's text for a CPU, with Linux's names of the CPUID bits. */
#include <kernel/percpu.h>
#include <kernel/time.h>
#include <lib/compiler.h>
#include <lib/seq_buf.h>
#include <mm/alloc.h>
#include <x86/acpi.h>
#include <x86/cpu.h>

/* One string a CPUID word: the names of bits 0-31, "-" where there is none. */
static const char *const names_1_edx =
	"fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx "
	"fxsr sse sse2 ss ht tm ia64 pbe";
static const char *const names_1_ecx =
	"pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca "
	"sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor";
static const char *const names_7_ebx =
	"fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq "
	"rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl";
static const char *const names_7_ecx =
	"- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme "
	"avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd - -";
static const char *const names_7_edx =
	"- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - tsxldtrk - "
	"pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 - - flush_l1d arch_capabilities - -";
static const char *const names_e1_edx =
	"- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow";
static const char *const names_e1_ecx =
	"lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp "
	"fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx - -";
static const char *const names_d1_eax = "xsaveopt xsavec xgetbv1 xsaves";

static void show_word(struct seq_buf *s, u32 bits, const char *names)
{
	while (*names) {
		const char *end = names;

		while (*end && *end != ' ')
			end++;
		if (bits & 1 && *names != '-') {
			seq_putc(s, ' ');
			seq_write(s, names, (size_t)(end - names));
		}
		bits >>= 1;
		names = *end ? end + 1 : end;
	}
}

/* A bit whose feature the kernel does not use is not shown, as Linux clears it. */
static u32 without(u32 word, int bit, bool used)
{
	return used ? word : word & ~(1u << bit);
}

static void show_flags(struct seq_buf *s)
{
	const struct cpu_features *f = &cpu_features;
	u32 r[4], max, ext;

	cpuid(0, 0, r);
	max = r[0];
	cpuid(0x80000000, 0, r);
	ext = r[0];
	cpuid(1, 0, r);
	show_word(s, r[3], names_1_edx);
	if (ext >= 0x80000001) {
		u32 e[4];
		cpuid(0x80000001, 0, e);
		show_word(s, e[3], names_e1_edx);
		if (f->tsc_invariant)
			seq_puts(s, " constant_tsc nonstop_tsc");
		show_word(s, e[2], names_e1_ecx);
	}
	u32 ecx = without(r[2], 17, f->pcid);
	ecx = without(ecx, 21, f->x2apic);
	ecx = without(ecx, 24, f->tsc_deadline);
	ecx = without(ecx, 26, f->xsave);
	show_word(s, without(ecx, 28, f->avx), names_1_ecx);
	if (max >= 7) {
		cpuid(7, 0, r);
		u32 ebx = without(r[1], 0, f->fsgsbase);
		ebx = without(ebx, 7, f->smep);
		ebx = without(ebx, 10, f->invpcid);
		show_word(s, without(ebx, 20, f->smap), names_7_ebx);
		u32 ecx7 = without(without(r[2], 3, f->pku), 4, f->pku);
		show_word(s, without(without(ecx7, 2, f->umip), 16, f->la57), names_7_ecx);
		show_word(s, r[3], names_7_edx);
	}
	if (max >= 13 && f->xsave) {
		cpuid(13, 1, r);
		show_word(s, r[0], names_d1_eax);
	}
}

void cpuinfo_show(struct seq_buf *s, int cpu)
{
	const struct cpu_features *f = &cpu_features;
	u32 r[4];

	seq_printf(s, "processor\t: %d\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n", cpu, f->vendor,
		   f->family, f->model_nr);
	seq_printf(s, "model name\t: %s\nstepping\t: %u\n", f->model, f->stepping);
	seq_printf(s, "cpu MHz\t\t: %llu.%03llu\n", tsc_khz / 1000, tsc_khz % 1000);
	seq_printf(s, "physical id\t: %d\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\n", cpu);
	seq_printf(s, "apicid\t\t: %u\ninitial apicid\t: %u\n", acpi_cpu_apic_id(cpu), acpi_cpu_apic_id(cpu));
	cpuid(0, 0, r);
	seq_printf(s, "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:", r[0]);
	show_flags(s);
	cpuid(1, 0, r);
	seq_printf(s, "\nbugs\t\t:\nbogomips\t: %llu.%02llu\nclflush size\t: %u\ncache_alignment\t: 64\n",
		   tsc_khz / 500, tsc_khz / 5 % 100, (r[1] >> 8 & 255) * 8);
	seq_printf(s, "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n", f->phys_bits,
		   f->virt_bits);
}
