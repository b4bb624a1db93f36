/*
 * The boot order: one call a line, each with what it needs behind it and what works after it.
 *
 * kernel_main() runs on the boot stack with interrupts off and becomes the boot CPU's idle thread.
 * init_thread() is a kernel thread: it may sleep, brings up the other CPUs and the devices, fills the
 * root file system, makes process 1, and ends.
 */
#include <boot/handoff.h>
#include <drivers/drivers.h>
#include <fs/aio.h>
#include <fs/devpts.h>
#include <fs/mqueue.h>
#include <fs/fs.h>
#include <fs/hugetlbfs.h>
#include <fs/procfs.h>
#include <fs/sysfs.h>
#include <kernel/cmdline.h>
#include <kernel/kthread.h>
#include <kernel/ktest.h>
#include <kernel/printk.h>
#include <kernel/random.h>
#include <kernel/rcu.h>
#include <kernel/time.h>
#include <lib/assert.h>
#include <mm/alloc.h>
#include <mm/hugetlb.h>
#include <mm/ksm.h>
#include <mm/mm.h>
#include <mm/shrinker.h>
#include <mm/slab.h>
#include <mm/vmalloc.h>
#include <proc/ipc.h>
#include <proc/task.h>
#include <sys/syscall.h>
#include <x86/mce.h>
#include <x86/acpi.h>
#include <x86/apic.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/desc.h>
#include <x86/machine.h>
#include <x86/pti.h>

static void check_handoff(const struct handoff *h)
{
	if (h->magic != HANDOFF_MAGIC)
		panic("not started by Quoin's loader");
	if (h->version != HANDOFF_VERSION || h->size < sizeof(*h))
		panic("the loader speaks version %u (%u bytes) of the hand-off, this kernel version %u (%zu)",
		      h->version, h->size, HANDOFF_VERSION, sizeof(*h));
}

static void banner(const struct handoff *h)
{
	pr_notice("Quoin, image at %#llx (slide %#llx), direct map at %#llx\n", (u64)h->kernel_virt,
		  (u64)h->kernel_slide, (u64)h->direct_virt);
	pr_info("command line: %s\n", kernel_cmdline);
	pr_info("cpu: %s, %s family %u model %u stepping %u\n", cpu_features.model, cpu_features.vendor,
		cpu_features.family, cpu_features.model_nr, cpu_features.stepping);
}

static void unpack_root(const struct handoff *h)
{
	int r = h->initrd_len ? initrd_unpack(phys_to_virt(h->initrd), h->initrd_len) : -ENOENT;

	if (r)
		pr_err("initrd: cannot be unpacked, error %d\n", r);
}

static int init_thread(void *arg)
{
	const struct handoff *h = arg;

	rcu_init();			/* callbacks run */
	smp_init(h);			/* all CPUs */
	clock_sources_init();		/* the clock the command line asks for */
	sysfs_cpus_init();		/* their directories */
	workqueue_init();		/* deferred work */
	shrinker_init();		/* working sets of caches are measured */
	mce_init();			/* memory that fails while the kernel runs is given up */
	fbcon_init(h);			/* text on the screen */
	pci_init();			/* buses */
	serial_init();			/* ttyS0 by interrupts */
	keyboard_init();
	hostcon_init();			/* the test host's channel */
	tty_init();			/* terminals, /dev/console */
	proc_irq_init();		/* /proc/irq */
	mem_devices_init();		/* /dev/null and friends */
	hugetlb_init();			/* pools of huge pages, while memory is whole */
	hugetlbfs_init();
	khugepaged_start();		/* small pages become large */
	ksm_start();			/* equal pages become one */
	unpack_root(h);			/* files */
	mm_release_boot_memory();	/* the hand-off, initrd and boot stack of the loader are gone */
	if (cmdline_has("plant_wx"))
		pgtable_plant_wx();	/* a test: must not get past the next line */
	if (pgtable_audit_wx())
		panic("a kernel mapping is writable and executable");
	if (cmdline_has("ktest"))
		ktest_main();
	int err = run_init();		/* process 1, on a stack of its own */
	if (err)
		panic("init: cannot be made: error %d", err);
	return 0;
}

void __noreturn kernel_main(const struct handoff *h)
{
	percpu_boot_init();		/* this_cpu_*, per_cpu */
	pgtable_note_handoff(h);	/* phys_to_virt */
	clock_early_init();		/* time stamps */
	sched_init();			/* current: the idle thread */
	gdt_init_boot();		/* segments, IST stacks */
	idt_init();
	idt_load();			/* exceptions are reported */
	cmdline_init(phys_to_virt(h->cmdline), h->cmdline_len);
	serial_early_init();		/* printk is seen */
	check_handoff(h);
	cpu_detect();			/* cpu_has */
	banner(h);
	cpu_enable();			/* control registers */
	smap_patch();
	pti_patch();			/* the entry code, when the CPU needs isolation */
	gdt_init_again();
	fpu_init();
	page_ops_init();		/* clear_page, copy_page */
	panic_set_memory_map(h);
	random_init(h->entropy, sizeof(h->entropy), h->entropy_good * 8);
	bootmem_init(h);		/* bootmem_alloc */
	pgtable_init(h);		/* kmap_range; the loader's identity part is gone */
	acpi_init(h);			/* CPUs, nodes, timers, interrupt controllers are known */
	clock_init();			/* ktime_ns is right */
	mm_init_physical(h);		/* alloc_pages */
	pgtable_late();
	kmem_init();			/* kmalloc */
	pgtable_choose_vmalloc(h);
	vmalloc_init();			/* vmalloc, ioremap, kernel stacks */
	pti_init();			/* root_alloc */
	apic_init();			/* interrupts reach us */
	ioapic_init();
	clock_event_init();		/* clock_event_program */
	ktimer_cpu_init();		/* timers */
	efi_rt_init(h);
	clock_realtime_init();		/* the date */
	mm_init();			/* address spaces */
	syscall_init();
	proc_init();			/* tasks, kthread_run */
	vfs_init();			/* files: an empty root */
	procfs_init();			/* /proc and /sys can be mounted */
	devpts_init();
	mqueue_init();
	ipc_msg_proc_init();		/* /proc/sysvipc */
	ipc_sem_proc_init();
	ipc_shm_proc_init();
	aio_init();			/* /proc/sys/fs/aio-nr */
	userfaultfd_init();		/* /dev/userfaultfd */
	memtype_init();			/* caching types are checked */
	proc_kpage_init();		/* /proc/kpagecount */
	local_irq_enable();
	VERIFY(kthread_run(init_thread, (void *)h, -1, "init"));
	idle_loop();
}
