/* Faults of processors that leak data by speculation: which ones this CPU has, and what is done about each. */
#ifndef X86_BUGS_H
#define X86_BUGS_H

#include <lib/compiler.h>
#include <lib/types.h>

enum cpu_bug {
	BUG_MELTDOWN, BUG_SPECTRE_V1, BUG_SPECTRE_V2, BUG_SSB, BUG_L1TF, BUG_MDS, BUG_TAA, BUG_ITLB_MULTIHIT, BUG_SRBDS,
	BUG_MMIO_STALE, BUG_RETBLEED, NR_CPU_BUGS
};

void cpu_bugs_detect(void); /* => after the vendor, family and model are known */
bool cpu_bug(enum cpu_bug b);
bool mitigations_off(void); /* "mitigations=off" */
struct seq_buf;
/* Name of the file and text of /sys/devices/system/cpu/vulnerabilities, in Linux's words. */
const char *cpu_bug_name(enum cpu_bug b);
void cpu_bug_show(struct seq_buf *s, enum cpu_bug b);

#endif
