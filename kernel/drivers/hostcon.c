/*
 * The host channel of test runs: "hostcon=0xPORT" names three byte-wide ports of QEMU's isa-debugcon: PORT standard output,
 * PORT + 1 standard error, PORT + 2 control. They appear as /dev/hostout, /dev/hosterr, /dev/hostctl. Without the word on
 * the command line no port is touched. A write is one REP OUTSB per kernel buffer; there is no flow control: the
 * emulator waits for its reader. hostcon_write_* work in any context; a panic uses them.
 */
#include <drivers/drivers.h>
#include <fs/fs.h>
#include <kernel/cmdline.h>
#include <kernel/printk.h>
#include <kernel/mutex.h>
#include <lib/string.h>
#include <x86/io.h>

#define HOSTCON_MAJOR 240 /* local use */
#define CHUNK 1024

static u16 port; /* 0: absent */
static bool looked;

/* A panic before hostcon_init must find the port too. */
static u16 find_port(void)
{
	if (!looked) {
		u64 v = cmdline_u64("hostcon", 0);

		port = v >= 0x100 && v < 0xfffd ? (u16)v : 0;
		looked = true;
	}
	return port;
}

bool hostcon_present(void)
{
	return find_port() != 0;
}

void hostcon_write_ctl(const char *s)
{
	if (find_port())
		outsb(port + 2, s, strlen(s));
}

void hostcon_write_out(const char *s, u64 n)
{
	if (find_port())
		outsb(port, s, n);
}

static DEFINE_MUTEX(port_mutex);

static s64 hostcon_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	u16 to = port + (u16)(f->inode->rdev & 0xff);
	u8 buf[CHUNK];
	s64 done = 0;

	while (from->count) {
		u64 want = min_t(u64, from->count, sizeof(buf)), n = copy_from_iter(buf, from, want);

		mutex_lock(&port_mutex); /* a chunk is not mixed with another CPU's */
		outsb(to, buf, n);
		mutex_unlock(&port_mutex);
		done += n;
		if (n < want)
			return done ? done : -EFAULT;
	}
	return done;
}

static const struct file_ops hostcon_ops = { .write = hostcon_write };

void hostcon_init(void)
{
	static const char *const names[3] = { "hostout", "hosterr", "hostctl" };

	if (!hostcon_present())
		return;
	for (u32 i = 0; i < 3; i++) {
		int err = chrdev_register(HOSTCON_MAJOR, i, 1, names[i], 0622, &hostcon_ops, NULL);

		if (err)
			pr_err("hostcon: /dev/%s: error %d", names[i], err);
	}
}
