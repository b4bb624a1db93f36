// BOOT: --smp 4 --memory 512M
/* /proc/irq: device interrupts go where they are told to; what makes no sense is refused. That they arrive there is in test/kernel. */
#include "check.h"
#include <dirent.h>
#include <fcntl.h>

static int put(int irq, const char *file, const char *text)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/irq/%d/%s", irq, file);
	int fd = open(path, O_WRONLY), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static char *get(int irq, const char *file)
{
	static char text[64];
	char path[64];
	snprintf(path, sizeof(path), "/proc/irq/%d/%s", irq, file);
	int fd = open(path, O_RDONLY), n = fd < 0 ? 0 : (int)read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* Some interrupt of a device: every machine has a serial port or a keyboard. 0: none. */
static int some_irq(void)
{
	struct dirent *e;
	DIR *d = opendir("/proc/irq");
	int irq = 0;

	while (d && (e = readdir(d)))
		if (atoi(e->d_name) > 0)
			irq = atoi(e->d_name);
	closedir(d);
	return irq;
}

TEST(every_one_has_a_line)
{
	char line[256], want[16];
	int irq = some_irq(), found = 0;
	FILE *f = fopen("/proc/interrupts", "r");

	REQUIRE(irq && f);
	snprintf(want, sizeof(want), "%3d:", irq);
	while (fgets(line, sizeof(line), f))
		found |= !strncmp(line, want, strlen(want));
	CHECK(found);
	fclose(f);
}

TEST(masks_lists_and_refusals)
{
	int irq = some_irq();

	REQUIRE(irq > 0);
	for (int cpu = 3; cpu >= 0; cpu--) {
		char text[8];

		snprintf(text, sizeof(text), "%d\n", cpu);
		CHECK_EQ(put(irq, "smp_affinity_list", text), 0);
		text[1] = 0;
		CHECK(!strcmp(get(irq, "smp_affinity_list"), text));
		CHECK(!strcmp(get(irq, "effective_affinity_list"), text));
	}
	CHECK_EQ(put(irq, "smp_affinity", "6"), 0);
	CHECK(!strcmp(get(irq, "smp_affinity"), "6"));
	CHECK(!strcmp(get(irq, "smp_affinity_list"), "1-2"));
	CHECK_EQ(put(irq, "smp_affinity", "0"), -EINVAL);
	CHECK_EQ(put(irq, "smp_affinity", "x"), -EINVAL);
	CHECK_EQ(put(irq, "smp_affinity", "f0"), -EINVAL); /* no such CPU is there */
	CHECK_EQ(put(irq, "smp_affinity_list", "3-1"), -EINVAL);
	CHECK_EQ(put(irq, "smp_affinity_list", "1,,2"), -EINVAL);
	CHECK(!strcmp(get(irq, "smp_affinity"), "6"));
	CHECK_EQ(put(irq, "smp_affinity_list", "0-3"), 0);
	CHECK(!strcmp(get(irq, "smp_affinity"), "f"));
}

TEST_MAIN
