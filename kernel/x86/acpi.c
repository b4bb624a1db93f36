/*
 * ACPI tables: found from the hand-off's RSDP, checked (length, checksum, entry bounds), and boiled
 * down to struct acpi_info. No table is trusted beyond its own length, and a bad one is skipped with
 * a line in the log. Where there is none the machine is one CPU with PICs and no HPET.
 *
 * What firmware does wrong and what we do: an XSDT that is missing or bad falls back to the RSDT;
 * processors may be listed twice, disabled, with id 0xff, and the boot CPU need not be the first nor
 * have id 0: numbers are ours (boot CPU 0, then the order of the MADT), duplicates are dropped.
 *
 * References: ACPI 6.4: 5.2.5 RSDP, 5.2.7 RSDT, 5.2.8 XSDT, 5.2.9 FADT, 5.2.12 MADT, 5.2.16 SRAT,
 * 5.2.17 SLIT; PCI Firmware 3.2 table 4-2 MCFG; IA-PC HPET 1.0a 3.2.4.
 */
#include <boot/handoff.h>
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <lib/string.h>
#include <mm/alloc.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>

struct sdt {
	char sig[4];
	u32 len;
	u8 revision, checksum;
	char oem[6], oem_table[8];
	u32 oem_revision, creator, creator_revision;
} __packed;
_Static_assert(sizeof(struct sdt) == 36, "ACPI header");

struct acpi_info acpi = { .lapic_phys = 0xfee00000, .pic_present = true };
static u32 apic_ids[MAX_CPUS];

#define MAX_TABLES 64
static const struct sdt *tables[MAX_TABLES];
static u32 nr_tables;
static const struct handoff *handoff;

u32 acpi_cpu_apic_id(int cpu)
{
	return apic_ids[cpu];
}

void acpi_drop_cpu(int cpu)
{
	for (u32 i = (u32)cpu; i + 1 < acpi.nr_cpus; i++) {
		apic_ids[i] = apic_ids[i + 1];
		cpu_set_node((int)i, cpu_to_node((int)i + 1));
	}
	acpi.nr_cpus--;
}

/* Unaligned little-endian fields of a table. */
static u16 get16(const void *p, u32 off)
{
	u16 v;
	memcpy(&v, (const char *)p + off, 2);
	return v;
}
static u32 get32(const void *p, u32 off)
{
	u32 v;
	memcpy(&v, (const char *)p + off, 4);
	return v;
}
static u64 get64(const void *p, u32 off)
{
	u64 v;
	memcpy(&v, (const char *)p + off, 8);
	return v;
}
static u8 get8(const void *p, u32 off)
{
	return ((const u8 *)p)[off];
}

/* Is [pa, pa+len) inside one piece of the direct map? */
static bool in_direct(u64 pa, u64 len)
{
	const char *p = phys_to_virt(handoff->regions);
	u64 at = pa;

	for (u32 i = 0; i < handoff->nr_regions && at < pa + len; i++, p += handoff->region_size) {
		const struct handoff_region *r = (const void *)p;
		u64 end = r->base + r->npages * PAGE_SIZE;
		if (r->flags & HANDOFF_REGION_DIRECT && at >= r->base && at < end)
			at = end;
	}
	return at >= pa + len;
}

static const void *map_phys(u64 pa, u64 len)
{
	if (!pa || pa + len < pa || pa >> 52)
		return NULL;
	return in_direct(pa, len) ? phys_to_virt(pa) : early_ioremap(pa, len, CACHE_WB);
}

static bool checksum_ok(const void *p, u32 len)
{
	u8 sum = 0;

	for (u32 i = 0; i < len; i++)
		sum += ((const u8 *)p)[i];
	return sum == 0;
}

static const struct sdt *map_table(u64 pa)
{
	const struct sdt *t = map_phys(pa, sizeof(*t));

	if (!t)
		return NULL;
	if (t->len < sizeof(*t) || t->len > SZ_1M * 4) {
		pr_warn("acpi: table at %#llx has length %u\n", pa, t->len);
		return NULL;
	}
	t = map_phys(pa, t->len);
	if (t && !checksum_ok(t, t->len)) {
		pr_warn("acpi: table %.4s at %#llx has a bad checksum\n", t->sig, pa);
		return NULL;
	}
	return t;
}

static bool load_root(u64 pa, bool wide)
{
	const struct sdt *root = map_table(pa);
	u32 step = wide ? 8 : 4;

	if (!root || memcmp(root->sig, wide ? "XSDT" : "RSDT", 4) != 0)
		return false;
	for (u32 off = sizeof(*root); off + step <= root->len && nr_tables < MAX_TABLES; off += step) {
		const struct sdt *t = map_table(wide ? get64(root, off) : get32(root, off));
		if (t)
			tables[nr_tables++] = t;
	}
	return nr_tables > 0;
}

static bool load_tables(u64 rsdp_pa)
{
	const void *rsdp = map_phys(rsdp_pa, 20);

	if (!rsdp || memcmp(rsdp, "RSD PTR ", 8) != 0 || !checksum_ok(rsdp, 20))
		return false;
	if (get8(rsdp, 15) >= 2) {
		rsdp = map_phys(rsdp_pa, 36);
		if (rsdp && checksum_ok(rsdp, 36) && get64(rsdp, 24) && load_root(get64(rsdp, 24), true))
			return true;
	}
	return rsdp && get32(rsdp, 16) && load_root(get32(rsdp, 16), false);
}

/* A checked table by signature, mapped; NULL when there is none. */
static const void *acpi_find_table(const char sig[4], u32 *len)
{
	for (u32 i = 0; i < nr_tables; i++)
		if (memcmp(tables[i]->sig, sig, 4) == 0) {
			*len = tables[i]->len;
			return tables[i];
		}
	return NULL;
}

static void add_cpu(u32 id, u32 flags)
{
	if (!(flags & 1) || id == 0xffffffff) /* Enabled; "online capable" CPUs would have to be plugged in */
		return;
	for (u32 i = 0; i < acpi.nr_cpus; i++)
		if (apic_ids[i] == id)
			return;
	if (acpi.nr_cpus == MAX_CPUS) {
		pr_once(LOG_WARN, "acpi: more than %d CPUs, the others stay off\n", MAX_CPUS);
		return;
	}
	apic_ids[acpi.nr_cpus++] = id;
}

static void add_override(const void *e)
{
	if (acpi.nr_overrides == ARRAY_SIZE(acpi.overrides) || get8(e, 2) != 0)
		return;
	u16 flags = get16(e, 8);
	/* 0 "conforms to the bus" is edge, active high on ISA */
	acpi.overrides[acpi.nr_overrides++] = (struct acpi_override){
		.isa_irq = get8(e, 3), .gsi = get32(e, 4),
		.level = (flags >> 2 & 3) == 3, .active_low = (flags & 3) == 3,
	};
}

static void madt_entry(const void *e, u8 type, u8 len)
{
	if (type == 0 && len >= 8 && get8(e, 3) != 0xff) {
		add_cpu(get8(e, 3), get32(e, 4));
	} else if (type == 9 && len >= 16) {
		add_cpu(get32(e, 4), get32(e, 8));
	} else if (type == 1 && len >= 12 && acpi.nr_ioapics < ARRAY_SIZE(acpi.ioapics)) {
		acpi.ioapics[acpi.nr_ioapics++] =
			(struct acpi_ioapic){ get8(e, 2), get32(e, 8), get32(e, 4) };
	} else if (type == 2 && len >= 10) {
		add_override(e);
	} else if (type == 4 && len >= 6) {
		acpi.nmi_lint |= 1u << (get8(e, 5) & 1);
	} else if (type == 5 && len >= 12) {
		acpi.lapic_phys = get64(e, 4);
	}
}

static void read_madt(void)
{
	u32 len, off;
	const void *t = acpi_find_table("APIC", &len);

	acpi.nr_cpus = 1; /* the boot CPU is number 0 whatever the table says */
	apic_ids[0] = apic_id();
	if (!t || len < 44)
		return;
	acpi.lapic_phys = get32(t, 36);
	acpi.pic_present = get32(t, 40) & 1;
	for (off = 44; off + 2 <= len;) {
		const char *e = (const char *)t + off;
		u8 n = get8(e, 1);

		if (n < 2 || off + n > len)
			break;
		madt_entry(e, get8(e, 0), n);
		off += n;
	}
}

/* Proximity domains are sparse numbers; nodes are dense. */
static u32 domains[MAX_NODES];
static int nr_domains;

static int node_of_domain(u32 domain)
{
	for (int i = 0; i < nr_domains; i++)
		if (domains[i] == domain)
			return i;
	if (nr_domains == MAX_NODES)
		return 0;
	domains[nr_domains] = domain;
	return nr_domains++;
}

static void set_cpu_node(u32 id, u32 domain)
{
	for (u32 cpu = 0; cpu < acpi.nr_cpus; cpu++)
		if (apic_ids[cpu] == id)
			cpu_set_node((int)cpu, node_of_domain(domain));
}

static void srat_entry(const void *e, u8 type, u8 len, u8 revision)
{
	if (type == 1 && len >= 40 && get32(e, 28) & 1) {
		u32 domain = revision > 1 ? get32(e, 2) : get8(e, 2);
		u64 base = get64(e, 8), n = get64(e, 16);
		if (n && base + n > base) {
			node_add_range(node_of_domain(domain), base, n);
			if (get32(e, 28) & 2)	/* ACPI 6.4 table 5.60: hot pluggable */
				node_mark_hotplug(node_of_domain(domain), base);
		}
	} else if (type == 0 && len >= 16 && get32(e, 4) & 1) {
		u32 domain = get8(e, 2);
		if (revision > 1)
			domain |= (get32(e, 8) & 0xffffff00u);
		set_cpu_node(get8(e, 3), domain);
	} else if (type == 2 && len >= 24 && get32(e, 12) & 1) {
		set_cpu_node(get32(e, 8), get32(e, 4));
	}
}

static void read_srat(void)
{
	u32 len, off;
	const struct sdt *t = acpi_find_table("SRAT", &len);

	if (!t || cmdline_has("nonuma"))
		return;
	for (off = 48; off + 2 <= len;) {
		const char *e = (const char *)t + off;
		u8 n = get8(e, 1);

		if (n < 2 || off + n > len)
			break;
		srat_entry(e, get8(e, 0), n, t->revision);
		off += n;
	}
}

static void read_slit(void)
{
	u32 len;
	const void *t = acpi_find_table("SLIT", &len);

	for (int a = 0; a < MAX_NODES; a++)
		for (int b = 0; b < MAX_NODES; b++)
			node_distance[a][b] = a == b ? 10 : 20;
	if (!t || len < 44)
		return;
	u64 n = get64(t, 36);
	if (n > 256 || 44 + n * n > len)
		return;
	for (int a = 0; a < nr_domains; a++)
		for (int b = 0; b < nr_domains; b++) {
			if (domains[a] >= n || domains[b] >= n)
				continue;
			u8 d = get8(t, (u32)(44 + domains[a] * n + domains[b]));
			/* below 10 is reserved, and only a node itself is at 10 */
			if (d >= 10 && (a == b) == (d == 10))
				node_distance[a][b] = d;
		}
}

static struct acpi_reg get_reg(const void *t, u32 off)
{
	return (struct acpi_reg){ get8(t, off), get8(t, off + 1), get64(t, off + 4) };
}

/* \_S5 of the DSDT: Name(_S5_, Package() { SLP_TYPa, SLP_TYPb, ... }), ACPI 6.4 chapter 20 for the bytes. */
static void read_s5(const struct sdt *dsdt)
{
	const u8 *p = (const u8 *)dsdt, *end = p + dsdt->len - 16;

	for (p += sizeof(*dsdt); p < end; p++) {
		if (memcmp(p, "_S5_", 4) != 0 || p[4] != 0x12)
			continue;
		const u8 *q = p + 5;
		q += (*q >> 6) + 1; /* PkgLength */
		q++; /* NumElements */
		u8 v[2] = { 0, 0 };
		for (int i = 0; i < 2 && q < end; i++) {
			if (*q == 0x0a) { /* BytePrefix */
				v[i] = q[1];
				q += 2;
			} else { /* ZeroOp, OneOp */
				v[i] = *q == 1;
				q++;
			}
		}
		acpi.slp_typ5a = v[0];
		acpi.slp_typ5b = v[1];
		acpi.have_s5 = true;
		return;
	}
}

static void read_fadt(void)
{
	u32 len;
	const struct sdt *t = acpi_find_table("FACP", &len);

	if (!t || len < 116)
		return;
	acpi.pm1a_control = get32(t, 64);
	acpi.pm1b_control = get32(t, 68);
	acpi.pm_timer_port = get8(t, 91) == 4 ? get32(t, 76) : 0;
	u32 flags = get32(t, 112);
	acpi.pm_timer_32bit = flags >> 8 & 1;
	acpi.reset_supported = flags >> 10 & 1 && len >= 129;
	if (t->revision >= 2) {
		u16 boot = get16(t, 109);
		acpi.no_i8042 = !(boot >> 1 & 1);
		acpi.no_cmos_rtc = boot >> 5 & 1;
	}
	if (acpi.reset_supported) {
		acpi.reset = get_reg(t, 116);
		acpi.reset_value = get8(t, 128);
	}
	if (len >= 220 && get64(t, 212) && get8(t, 208) == 1 && !acpi.pm_timer_port)
		acpi.pm_timer_port = (u32)get64(t, 212);
	u64 dsdt = len >= 148 && get64(t, 140) ? get64(t, 140) : get32(t, 40);
	const struct sdt *d = dsdt ? map_table(dsdt) : NULL;
	if (d && memcmp(d->sig, "DSDT", 4) == 0 && d->len > 64)
		read_s5(d);
}

static void read_hpet(void)
{
	u32 len;
	const void *t = acpi_find_table("HPET", &len);

	if (t && len >= 56 && get8(t, 40) == 0 && !cmdline_has("nohpet"))
		acpi.hpet_phys = get64(t, 44);
}

static void read_mcfg(void)
{
	u32 len;
	const void *t = acpi_find_table("MCFG", &len);

	for (u32 off = 44; t && off + 16 <= len && acpi.nr_mcfg < ARRAY_SIZE(acpi.mcfg); off += 16)
		acpi.mcfg[acpi.nr_mcfg++] = (struct acpi_mcfg){
			get64(t, off), get16(t, off + 8), get8(t, off + 10), get8(t, off + 11),
		};
}

void acpi_init(const struct handoff *h)
{
	handoff = h;
	if (!h->rsdp || cmdline_has("noacpi") || !load_tables(h->rsdp))
		pr_notice("acpi: no tables: one CPU, no HPET\n");
	read_madt();
	read_srat();
	read_slit();
	read_fadt();
	read_hpet();
	read_mcfg();
	if (nr_tables)
		pr_info("acpi: %u tables, %u CPUs, %d nodes, %u IOAPICs%s\n", nr_tables, acpi.nr_cpus,
			max(nr_domains, 1), acpi.nr_ioapics, acpi.hpet_phys ? ", HPET" : "");
}
