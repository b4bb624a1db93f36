/*
 * Serial ports: 16550 UARTs at the four ISA addresses.
 *
 * The first port doubles as a console from the first instruction on: polled output, no memory, no interrupts. Later each
 * port that is really there becomes a terminal line ttyS0..3: received bytes go to the terminal layer from the interrupt,
 * sent bytes wait in a ring that the transmit interrupt empties into the FIFO. Console and terminal share the port under
 * its lock; console output is polled and goes first.
 *
 * A UART is there when its scratch register keeps two values and loopback brings back the modem lines (National
 * Semiconductor PC16550D, sections 8.3, 8.6 and 8.8). On a machine without ports the bus reads FFh everywhere.
 */
#include <drivers/drivers.h>
#include <kernel/irq.h>
#include <kernel/printk.h>
#include <kernel/spinlock.h>
#include <x86/cpu.h>
#include <x86/io.h>

#define REG_DATA 0
#define REG_IER 1 /* with DLAB: divisor, high half */
#define REG_IIR 2 /* write: FIFO control */
#define REG_LCR 3
#define REG_MCR 4
#define REG_LSR 5
#define REG_MSR 6
#define REG_SCRATCH 7

#define IER_RX 0x01
#define IER_TX 0x02
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS_OUT2 0x0b /* OUT2 gates the interrupt line on PCs */
#define MCR_LOOP 0x10
#define LSR_DR 0x01
#define LSR_THRE 0x20
#define FIFO_ENABLE_CLEAR 0x07
#define FIFO_DEPTH 16
#define SPIN_LIMIT 100000 /* polls until a stuck transmitter is given up */

#define TX_RING 4096u
#define NR_PORTS 4

struct port {
	spinlock_t lock;
	u16 base;
	u8 irq;
	bool present, started;
	u8 ier; /* (lock) */
	u32 head, tail; /* (lock) of the ring; free running */
	u8 ring[TX_RING];
	struct tty_backend backend;
};

static struct port ports[NR_PORTS] = {
	{ .lock = SPINLOCK_INIT, .base = 0x3f8, .irq = 4 },
	{ .lock = SPINLOCK_INIT, .base = 0x2f8, .irq = 3 },
	{ .lock = SPINLOCK_INIT, .base = 0x3e8, .irq = 4 },
	{ .lock = SPINLOCK_INIT, .base = 0x2e8, .irq = 3 },
};
LOCK_DECLARE(ports);

static bool probe(struct port *p)
{
	u8 mcr, msr;

	for (u32 v = 0x5a; v; v = v == 0x5a ? 0xa5 : 0) {
		outb(p->base + REG_SCRATCH, (u8)v);
		if (inb(p->base + REG_SCRATCH) != v)
			return false;
	}
	mcr = inb(p->base + REG_MCR);
	outb(p->base + REG_MCR, MCR_LOOP | 0x0a); /* RTS and OUT2 come back as CTS and DCD */
	msr = inb(p->base + REG_MSR) & 0xf0;
	outb(p->base + REG_MCR, mcr);
	return msr == 0x90;
}

/* => port locked or not yet shared */
static void set_line(struct port *p, u8 lcr, u16 divisor)
{
	outb(p->base + REG_LCR, lcr | LCR_DLAB);
	outb(p->base + REG_DATA, (u8)divisor);
	outb(p->base + REG_IER, (u8)(divisor >> 8));
	outb(p->base + REG_LCR, lcr);
}

static void set_ier(struct port *p, u8 ier)
{
	if (p->ier != ier) {
		p->ier = ier;
		outb(p->base + REG_IER, ier);
	}
}

static void setup(struct port *p)
{
	outb(p->base + REG_IER, 0);
	set_line(p, LCR_8N1, 1); /* 115200 */
	outb(p->base + REG_IIR, FIFO_ENABLE_CLEAR);
	outb(p->base + REG_MCR, MCR_DTR_RTS_OUT2);
}

/* --- console --------------------------------------------------------------------------------------- */

static void wait_empty(struct port *p)
{
	for (u32 i = 0; i < SPIN_LIMIT && !(inb(p->base + REG_LSR) & LSR_THRE); i++)
		cpu_relax();
}

static void console_write(struct console *c, const char *s, size_t n)
{
	struct port *p = &ports[0];
	u32 room = 0;
	u64 flags;

	spin_lock_irqsave(&p->lock, flags);
	for (size_t i = 0; i < n; i++) {
		if (room < 2) { /* a line end is two bytes */
			wait_empty(p);
			room = FIFO_DEPTH;
		}
		if (s[i] == '\n') {
			outb(p->base + REG_DATA, '\r');
			room--;
		}
		outb(p->base + REG_DATA, (u8)s[i]);
		room--;
	}
	__spin_release(&p->lock);
	local_irq_restore(flags);
	preempt_enable_no_resched(); /* a console may be written with the run queue locked */
}

static void console_panic(struct console *c)
{
	spin_lock_init(&ports[0].lock);
}

static struct console serial_console = { .name = "ttyS0", .write = console_write, .panic_enter = console_panic };

void serial_early_init(void)
{
	struct port *p = &ports[0];

	p->present = probe(p);
	if (!p->present)
		return;
	setup(p);
	console_register(&serial_console);
}

/* --- terminal line --------------------------------------------------------------------------------- */

/* Moves bytes from the ring to the FIFO. => lock held, transmitter empty */
static void fill_fifo(struct port *p)
{
	for (int i = 0; i < FIFO_DEPTH && p->tail != p->head; i++)
		outb(p->base + REG_DATA, p->ring[p->tail++ % TX_RING]);
	set_ier(p, p->tail == p->head ? IER_RX : IER_RX | IER_TX);
}

static u32 line_write(struct tty_backend *b, const u8 *s, u32 n)
{
	struct port *p = b->private;
	u32 done = 0;
	u64 flags;

	spin_lock_irqsave(&p->lock, flags);
	while (done < n && p->head - p->tail < TX_RING)
		p->ring[p->head++ % TX_RING] = s[done++];
	if (done && (inb(p->base + REG_LSR) & LSR_THRE))
		fill_fifo(p);
	else if (done)
		set_ier(p, IER_RX | IER_TX);
	spin_unlock_irqrestore(&p->lock, flags);
	return done;
}

/* c_cflag: CSIZE 30h, CSTOPB 40h, PARENB 100h, PARODD 200h. */
static void line_set_termios(struct tty_backend *b, u32 cflag, u32 speed)
{
	struct port *p = b->private;
	u8 lcr = (u8)((cflag >> 4 & 3) | (cflag & 0x40 ? 0x04 : 0));
	u64 flags;

	if (cflag & 0x100)
		lcr |= cflag & 0x200 ? 0x08 : 0x18;
	if (!speed || speed > 115200)
		return;
	spin_lock_irqsave(&p->lock, flags);
	wait_empty(p);
	set_line(p, lcr, (u16)(115200 / speed));
	outb(p->base + REG_IER, p->ier); /* the divisor went through the same address */
	spin_unlock_irqrestore(&p->lock, flags);
}

static void service(struct port *p)
{
	u8 buf[64];
	u32 n = 0;
	bool wake = false;

	spin_lock(&p->lock);
	while (n < sizeof(buf) && (inb(p->base + REG_LSR) & LSR_DR))
		buf[n++] = inb(p->base + REG_DATA);
	if ((p->ier & IER_TX) && (inb(p->base + REG_LSR) & LSR_THRE)) {
		fill_fifo(p);
		wake = p->head - p->tail < TX_RING / 2;
	}
	spin_unlock(&p->lock);
	if (n)
		tty_backend_input(&p->backend, buf, n);
	if (wake)
		tty_backend_wakeup(&p->backend);
}

/* One handler for the ports that share a line; edge-triggered, so until none asks. */
static void serial_interrupt(void *arg)
{
	u8 irq = (u8)(u64)arg;
	bool again = true;

	for (int turns = 0; again && turns < 64; turns++) {
		again = false;
		for (int i = 0; i < NR_PORTS; i++) {
			struct port *p = &ports[i];

			if (p->started && p->irq == irq && !(inb(p->base + REG_IIR) & 1)) {
				service(p);
				again = true;
			}
		}
	}
}

static void start(struct port *p, int n)
{
	static const char *const names[NR_PORTS] = { "ttyS0", "ttyS1", "ttyS2", "ttyS3" };

	p->backend = (struct tty_backend){ .name = names[n], .major = 4, .minor = 64 + (u32)n,
					   .write = line_write, .set_termios = line_set_termios, .private = p };
	if (tty_backend_register(&p->backend))
		return;
	spin_lock_irq(&p->lock);
	p->started = true;
	set_ier(p, IER_RX);
	spin_unlock_irq(&p->lock);
}

void serial_init(void)
{
	bool requested[16] = { false };

	for (int i = 0; i < NR_PORTS; i++) {
		struct port *p = &ports[i];

		if (i > 0) {
			p->present = probe(p);
			if (p->present)
				setup(p);
		}
		if (!p->present)
			continue;
		if (!requested[p->irq]) {
			int err = irq_request_isa(p->irq, serial_interrupt, (void *)(u64)p->irq, "serial");

			if (err) {
				pr_err("serial: interrupt %u: error %d", p->irq, err);
				continue;
			}
			requested[p->irq] = true;
		}
		start(p, i);
	}
}
