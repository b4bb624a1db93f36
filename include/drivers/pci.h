/*
 * PCI: the functions found on all buses, their configuration space, base addresses and messages.
 *
 * Configuration space is reached through the memory window ACPI's MCFG names where there is one (PCI Express Base 7.2.2),
 * else through ports CF8h/CFCh (PCI Local Bus 3.2.2.3.2). The list is complete after pci_init and never changes.
 */
#ifndef DRIVERS_PCI_H
#define DRIVERS_PCI_H

#include <kernel/irq.h>
#include <lib/list.h>

struct pci_bar {
	u64 base; /* physical address or first port */
	u64 size; /* bytes, 0: absent */
	bool io, mem64, prefetch;
};
struct pci_dev {
	struct list_head link; /* (I) pci_devices, in bus order */
	u16 segment;
	u8 bus, dev, fn;
	u16 vendor, device, subvendor, subdevice;
	u32 class_code; /* class << 16 | subclass << 8 | interface */
	u8 revision, header_type, irq_line, irq_pin;
	struct pci_bar bar[6]; /* (I) */
	u16 msi_cap, msix_cap; /* offsets, 0: absent */
	void *msix_table; /* mapped by the first pci_msix_request */
};
extern struct list_head pci_devices;
#define for_each_pci_dev(d) list_for_each_entry(d, &pci_devices, link)

u8 pci_read8(struct pci_dev *d, unsigned off);
u16 pci_read16(struct pci_dev *d, unsigned off);
u32 pci_read32(struct pci_dev *d, unsigned off);
void pci_write8(struct pci_dev *d, unsigned off, u8 v);
void pci_write16(struct pci_dev *d, unsigned off, u16 v);
void pci_write32(struct pci_dev *d, unsigned off, u32 v);
/* Next device after @from (NULL: first) with this class code under @mask, or these ids. NULL: no more. */
struct pci_dev *pci_find_class(struct pci_dev *from, u32 class_code, u32 mask);
struct pci_dev *pci_find_id(struct pci_dev *from, u16 vendor, u16 device);
/* Offset of a capability (with vendor-specific ones: the next after @after), 0 when absent. */
unsigned pci_find_cap(struct pci_dev *d, u8 id, unsigned after);
/* Memory and port decoding on, bus mastering as asked. */
void pci_enable(struct pci_dev *d, bool bus_master);
/* Maps a memory BAR uncached. NULL when absent or out of memory. */
void *pci_map_bar(struct pci_dev *d, unsigned bar);
/* Message @n of the device calls @fn: MSI-X when it has it, else MSI for n 0. 0, -ENODEV (no messages), -ENOSPC, -ENOMEM. */
int pci_msi_request(struct pci_dev *d, unsigned n, irq_handler_t fn, void *arg, const char *name);
unsigned pci_msi_count(struct pci_dev *d); /* messages it can send: MSI-X table size, 1 with MSI, 0 */

#endif
