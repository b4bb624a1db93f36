/* Drivers: brought up in this order by kernel/main.c. Each says nothing and does nothing when its device is absent. */
#ifndef DRIVERS_DRIVERS_H
#define DRIVERS_DRIVERS_H

#include <lib/types.h>

struct handoff;
struct tty_backend;
void serial_early_init(void); /* COM1 polled console, before memory */
void fbcon_init(const struct handoff *h); /* the screen as a console and as tty1; after vfs_init, before keyboard_init */
/* tty1's line for keyboards (NULL without a screen), and whether programs want application cursor keys. */
struct tty_backend *fbcon_backend(void);
bool fbcon_app_cursor(void);
void pci_init(void);
void serial_init(void); /* interrupts; ttyS0.. */
void keyboard_init(void); /* i8042 */
void hostcon_init(void); /* "hostcon=0xPORT": /dev/hostout, hosterr, hostctl on three debug ports */
void hostcon_write_ctl(const char *s); /* any context, also panic; no-op when absent */
void hostcon_write_out(const char *s, u64 n);
bool hostcon_present(void);

/* Console devices as the terminal layer (kernel/drivers/tty) sees them. Output and input of one terminal line. */
struct tty_backend {
	const char *name; /* "ttyS0", "tty1" */
	u32 major, minor;
	/* Sends up to n bytes, returns how many were taken; calls tty_backend_wakeup when there is room again. Any context. */
	u32 (*write)(struct tty_backend *b, const u8 *s, u32 n);
	void (*set_termios)(struct tty_backend *b, u32 cflag, u32 speed);
	void (*winsize)(struct tty_backend *b, u16 *rows, u16 *cols);
	void *tty; /* owned by the terminal layer once registered */
	void *private;
};
int tty_backend_register(struct tty_backend *b);
void tty_backend_input(struct tty_backend *b, const u8 *s, u32 n); /* received bytes; hard interrupt context is fine */
void tty_backend_wakeup(struct tty_backend *b);
void tty_init(void); /* line discipline, /dev/tty, console, ptmx */
void mem_devices_init(void); /* null zero full random urandom kmsg mem-less */

#endif
