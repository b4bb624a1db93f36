/* Words of the kernel command line. */
#ifndef KERNEL_CMDLINE_H
#define KERNEL_CMDLINE_H

#include <lib/types.h>

extern char kernel_cmdline[4096]; /* as given; immutable after boot */
void cmdline_init(const char *s, size_t n);
/* True when the bare word, or word=..., is there. */
bool cmdline_has(const char *word);
/* Value of the last word=value into buf; length or -ENOENT. "--" ends the kernel's part. */
int cmdline_get(const char *word, char *buf, size_t n);
u64 cmdline_u64(const char *word, u64 otherwise); /* accepts 0x, K, M, G */

#endif
