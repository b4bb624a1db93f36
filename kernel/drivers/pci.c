/*
 * PCI enumeration and configuration (drivers/pci.h).
 *
 * Buses are found from bus 0 of each segment through the bridges, as the firmware numbered them; nothing is renumbered or
 * assigned. A BAR's size is read back from all-ones with decoding off (PCI Local Bus 3.0, 6.2.5.1).
 */
#include <drivers/drivers.h>
#include <drivers/pci.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <uapi/errno.h>
#include <x86/acpi.h>
#include <x86/io.h>

#define REG_VENDOR 0x00
#define REG_COMMAND 0x04
#define REG_STATUS 0x06
#define REG_CLASS 0x08
#define REG_HEADER 0x0e
#define REG_BAR0 0x10
#define REG_SECONDARY 0x19
#define REG_SUBSYSTEM 0x2c
#define REG_CAPS 0x34
#define REG_IRQ 0x3c

#define CMD_IO 0x1
#define CMD_MEMORY 0x2
#define CMD_MASTER 0x4
#define CMD_NO_INTX 0x400
#define STATUS_CAPS 0x10
#define CAP_MSI 0x05
#define CAP_MSIX 0x11

LIST_HEAD(pci_devices);
static DEFINE_SPINLOCK(port_lock);

/* --- configuration space --------------------------------------------------------------------------- */

/* Mapped configuration space, 1 MiB a bus, mapped when first used (at boot only). */
static void *ecam[256]; /* segment 0 */

static volatile u8 *ecam_bus(u16 segment, u8 bus)
{
	if (segment)
		return NULL;
	for (u32 i = 0; !ecam[bus] && i < acpi.nr_mcfg; i++) {
		const struct acpi_mcfg *m = &acpi.mcfg[i];

		if (m->segment == 0 && bus >= m->bus_start && bus <= m->bus_end)
			ecam[bus] = ioremap(m->phys + ((u64)bus << 20), 1 << 20, CACHE_UC);
	}
	return ecam[bus];
}

static volatile u8 *ecam_at(struct pci_dev *d, unsigned off)
{
	volatile u8 *base = ecam_bus(d->segment, d->bus);

	return base ? base + ((u32)d->dev << 15 | (u32)d->fn << 12 | off) : NULL;
}

/* Ports CF8h/CFCh: selects the double word, returns its data port. => port_lock */
static u16 select(struct pci_dev *d, unsigned off)
{
	outl(0xcf8, 0x80000000u | (u32)d->bus << 16 | (u32)d->dev << 11 | (u32)d->fn << 8 | (off & 0xfc));
	return 0xcfc + (off & 3);
}

#define CONFIG_ACCESS(bits, in, out, memread, memwrite)                                      \
	u##bits pci_read##bits(struct pci_dev *d, unsigned off)                              \
	{                                                                                    \
		volatile u8 *p = ecam_at(d, off);                                            \
		u##bits v = (u##bits)~0u;                                                    \
		u64 flags;                                                                   \
                                                                                             \
		if (p)                                                                       \
			return memread(p);                                                   \
		if (off >= 256)                                                              \
			return v;                                                            \
		spin_lock_irqsave(&port_lock, flags);                                        \
		v = in(select(d, off));                                                      \
		spin_unlock_irqrestore(&port_lock, flags);                                   \
		return v;                                                                    \
	}                                                                                    \
	void pci_write##bits(struct pci_dev *d, unsigned off, u##bits v)                     \
	{                                                                                    \
		volatile u8 *p = ecam_at(d, off);                                            \
		u64 flags;                                                                   \
                                                                                             \
		if (p) {                                                                     \
			memwrite(p, v);                                                      \
			return;                                                              \
		}                                                                            \
		if (off >= 256)                                                              \
			return;                                                              \
		spin_lock_irqsave(&port_lock, flags);                                        \
		out(select(d, off), v);                                                      \
		spin_unlock_irqrestore(&port_lock, flags);                                   \
	}
CONFIG_ACCESS(8, inb, outb, readb, writeb)
CONFIG_ACCESS(16, inw, outw, readw, writew)
CONFIG_ACCESS(32, inl, outl, readl, writel)

/* --- finding devices ------------------------------------------------------------------------------- */

unsigned pci_find_cap(struct pci_dev *d, u8 id, unsigned after)
{
	unsigned off;

	if (!(pci_read16(d, REG_STATUS) & STATUS_CAPS))
		return 0;
	off = pci_read8(d, after ? after + 1 : REG_CAPS) & 0xfc;
	for (int i = 0; i < 48 && off >= 0x40; i++) { /* the list may be broken: 48 fit into 192 bytes */
		if (pci_read8(d, off) == id)
			return off;
		off = pci_read8(d, off + 1) & 0xfc;
	}
	return 0;
}

/* Returns how many registers the BAR takes. => decoding off */
static unsigned read_bar(struct pci_dev *d, unsigned i)
{
	struct pci_bar *b = &d->bar[i];
	unsigned reg = REG_BAR0 + 4 * i;
	u32 low = pci_read32(d, reg), high = 0, mask, mask_high = ~0u;
	u64 m;

	b->io = low & 1;
	b->mem64 = !b->io && (low & 6) == 4 && i < 5;
	b->prefetch = !b->io && (low & 8);
	pci_write32(d, reg, ~0u);
	mask = pci_read32(d, reg);
	pci_write32(d, reg, low);
	if (b->mem64) {
		high = pci_read32(d, reg + 4);
		pci_write32(d, reg + 4, ~0u);
		mask_high = pci_read32(d, reg + 4);
		pci_write32(d, reg + 4, high);
	}
	if (!mask)
		return b->mem64 ? 2 : 1;
	if (b->io) {
		b->base = low & 0xfffc;
		b->size = (u16)(~(mask & 0xfffc) + 1);
		return 1;
	}
	m = (u64)(b->mem64 ? mask_high : ~0u) << 32 | (mask & ~0xfu);
	b->base = (u64)high << 32 | (low & ~0xfu);
	b->size = ~m + 1;
	return b->mem64 ? 2 : 1;
}

static void read_bars(struct pci_dev *d)
{
	unsigned n = (d->header_type & 0x7f) == 0 ? 6 : (d->header_type & 0x7f) == 1 ? 2 : 0;
	u16 command = pci_read16(d, REG_COMMAND);

	/* the host bridge and display may be in use right now: their decoding stays on */
	bool keep = d->class_code >> 16 == 6 || d->class_code >> 16 == 3;

	if (!keep)
		pci_write16(d, REG_COMMAND, command & ~(CMD_IO | CMD_MEMORY));
	for (unsigned i = 0; i < n;)
		i += read_bar(d, i);
	if (!keep)
		pci_write16(d, REG_COMMAND, command);
}

static void scan_bus(u16 segment, u8 bus, int depth);

static void add_function(const struct pci_dev *at, u32 id, int depth)
{
	struct pci_dev *d = kzalloc(sizeof(*d), GFP_KERNEL);
	u32 class;

	if (!d) {
		pr_err("pci: out of memory");
		return;
	}
	*d = *at;
	d->vendor = (u16)id;
	d->device = (u16)(id >> 16);
	class = pci_read32(d, REG_CLASS);
	d->class_code = class >> 8;
	d->revision = (u8)class;
	d->header_type = pci_read8(d, REG_HEADER);
	if ((d->header_type & 0x7f) == 0) {
		d->subvendor = pci_read16(d, REG_SUBSYSTEM);
		d->subdevice = pci_read16(d, REG_SUBSYSTEM + 2);
	}
	d->irq_line = pci_read8(d, REG_IRQ);
	d->irq_pin = pci_read8(d, REG_IRQ + 1);
	d->msi_cap = (u16)pci_find_cap(d, CAP_MSI, 0);
	d->msix_cap = (u16)pci_find_cap(d, CAP_MSIX, 0);
	read_bars(d);
	list_add_tail(&d->link, &pci_devices);
	pr_debug("pci: %02x:%02x.%x %04x:%04x class %06x", d->bus, d->dev, d->fn, d->vendor, d->device,
		 d->class_code);
	if ((d->header_type & 0x7f) == 1) {
		u8 secondary = pci_read8(d, REG_SECONDARY);

		if (secondary > d->bus) /* else not numbered by the firmware, or a loop */
			scan_bus(d->segment, secondary, depth + 1);
	}
}

static void scan_bus(u16 segment, u8 bus, int depth)
{
	if (depth > 32)
		return;
	for (u8 dev = 0; dev < 32; dev++) {
		u8 functions = 1;

		for (u8 fn = 0; fn < functions; fn++) {
			struct pci_dev at = { .segment = segment, .bus = bus, .dev = dev, .fn = fn };
			u32 id = pci_read32(&at, REG_VENDOR);

			if ((u16)id == 0xffff || !id)
				continue;
			if (fn == 0 && (pci_read8(&at, REG_HEADER) & 0x80))
				functions = 8;
			add_function(&at, id, depth);
		}
	}
}

void pci_init(void)
{
	struct pci_dev *d;
	u32 n = 0;

	scan_bus(0, 0, 0);
	for_each_pci_dev(d)
		n++;
	if (n)
		pr_info("pci: %u functions, configuration by %s", n, ecam[0] ? "memory" : "ports");
}

struct pci_dev *pci_find_class(struct pci_dev *from, u32 class_code, u32 mask)
{
	struct list_head *l = from ? from->link.next : pci_devices.next;

	for (; l != &pci_devices; l = l->next) {
		struct pci_dev *d = list_entry(l, struct pci_dev, link);

		if ((d->class_code & mask) == (class_code & mask))
			return d;
	}
	return NULL;
}

struct pci_dev *pci_find_id(struct pci_dev *from, u16 vendor, u16 device)
{
	struct list_head *l = from ? from->link.next : pci_devices.next;

	for (; l != &pci_devices; l = l->next) {
		struct pci_dev *d = list_entry(l, struct pci_dev, link);

		if (d->vendor == vendor && d->device == device)
			return d;
	}
	return NULL;
}

/* --- for drivers ----------------------------------------------------------------------------------- */

void pci_enable(struct pci_dev *d, bool bus_master)
{
	u16 command = pci_read16(d, REG_COMMAND) | CMD_IO | CMD_MEMORY;

	pci_write16(d, REG_COMMAND, bus_master ? command | CMD_MASTER : command & ~CMD_MASTER);
}

void *pci_map_bar(struct pci_dev *d, unsigned bar)
{
	if (bar >= 6 || d->bar[bar].io || !d->bar[bar].size || !d->bar[bar].base)
		return NULL;
	return ioremap(d->bar[bar].base, d->bar[bar].size, CACHE_UC);
}

unsigned pci_msi_count(struct pci_dev *d)
{
	if (d->msix_cap)
		return (pci_read16(d, d->msix_cap + 2) & 0x7ff) + 1;
	return d->msi_cap ? 1 : 0;
}

static void no_intx(struct pci_dev *d)
{
	pci_write16(d, REG_COMMAND, pci_read16(d, REG_COMMAND) | CMD_NO_INTX);
}

/* MSI-X (PCI Local Bus 3.0, 6.8.2): a table of address, data and mask in one of the BARs. */
static int msix_request(struct pci_dev *d, unsigned n, u64 addr, u32 data)
{
	u32 where = pci_read32(d, d->msix_cap + 4);
	volatile u8 *e;

	if (!d->msix_table) {
		const struct pci_bar *b = &d->bar[min(where & 7, 5u)];

		if (b->io || !b->size)
			return -ENODEV;
		d->msix_table = ioremap(b->base + (where & ~7u), pci_msi_count(d) * 16ull, CACHE_UC);
		if (!d->msix_table)
			return -ENOMEM;
		for (unsigned i = 0; i < pci_msi_count(d); i++)
			writel((u8 *)d->msix_table + 16 * i + 12, 1); /* masked until asked for */
	}
	e = (volatile u8 *)d->msix_table + 16ull * n;
	writel(e, (u32)addr);
	writel(e + 4, (u32)(addr >> 32));
	writel(e + 8, data);
	writel(e + 12, 0);
	pci_write16(d, d->msix_cap + 2, (pci_read16(d, d->msix_cap + 2) | 0x8000) & ~0x4000);
	return 0;
}

static void msi_program(struct pci_dev *d, u64 addr, u32 data)
{
	u16 control = pci_read16(d, d->msi_cap + 2);
	bool wide = control & 0x80;

	pci_write32(d, d->msi_cap + 4, (u32)addr);
	if (wide)
		pci_write32(d, d->msi_cap + 8, (u32)(addr >> 32));
	pci_write16(d, d->msi_cap + (wide ? 12 : 8), (u16)data);
	pci_write16(d, d->msi_cap + 2, (control & ~0x70) | 1); /* one message, on */
}

struct message { struct pci_dev *d; unsigned n; }; /* for the life of the kernel, as its interrupt */

/* Another CPU: the data, the vector, stays, so one store of the low address word does it. */
static void message_move(void *arg, u64 addr)
{
	struct message *m = arg;

	if (m->d->msix_cap)
		writel((volatile u8 *)m->d->msix_table + 16ull * m->n, (u32)addr);
	else
		pci_write32(m->d, m->d->msi_cap + 4, (u32)addr);
}

int pci_msi_request(struct pci_dev *d, unsigned n, irq_handler_t fn, void *arg, const char *name)
{
	u64 addr;
	u32 data;
	int err;

	if (n >= pci_msi_count(d))
		return -ENODEV;
	err = irq_request_msi(fn, arg, name, &addr, &data);
	if (err)
		return err;
	if (d->msix_cap)
		err = msix_request(d, n, addr, data);
	else
		msi_program(d, addr, data);
	if (err)
		return err;
	no_intx(d);
	struct message *m = kmalloc(sizeof(*m), GFP_KERNEL);
	if (m) { /* without it the interrupt stays where it is */
		*m = (struct message){ d, n };
		irq_set_msi_writer(data, message_move, m);
	}
	return 0;
}
