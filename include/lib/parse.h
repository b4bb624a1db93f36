/*
 * parse.h - numbers and words from text: command line, /proc writes, mount options.
 */
#ifndef LIB_PARSE_H
#define LIB_PARSE_H

#include "lib/compiler.h"

/* The whole string is one number, perhaps with one newline after it.  Base 0 takes 0x, 0 and
 * decimal.  => 0, -EINVAL or -ERANGE; *res only written on success. */
int __must_check kstrtoull(const char *s, unsigned int base, u64 *res);
int __must_check kstrtoll(const char *s, unsigned int base, s64 *res);
int __must_check kstrtouint(const char *s, unsigned int base, u32 *res);
int __must_check kstrtoint(const char *s, unsigned int base, s32 *res);

/* A number at the start of s; *end is the first character after it (s itself when none). */
u64 parse_u64(const char *s, const char **end, unsigned int base);
/* A number with an optional K, M, G, T suffix (powers of 1024). */
u64 memparse(const char *s, const char **end);

/*
 * The kernel command line is words parted by blanks; a word is "flag" or "key=value", and
 * double quotes keep blanks in a value.  The last of several equal keys counts.
 */
bool cmdline_str_has(const char *cmdline, const char *word);
/* Copies the value of key=value. => its length, -ENOENT, or -E2BIG when buf is too small. */
int cmdline_str_get(const char *cmdline, const char *key, char *buf, size_t size);
/* The value as number with optional size suffix, or `otherwise`. */
u64 cmdline_str_u64(const char *cmdline, const char *key, u64 otherwise);

#endif
