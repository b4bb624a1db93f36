/*
 * string.h - memory and C strings.
 *
 * memcpy, memset, memmove and memcmp go through the compiler's builtins, so constant small
 * sizes become a few moves; the rest calls kernel/lib/string.c.  Copies into a bounded buffer
 * use strscpy, which says when it had to cut.  On the host libc's own functions serve.
 */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include "lib/compiler.h"

#ifdef HOST_TEST
#include <string.h>
#include <strings.h>
#define strlcpy	quoin_strlcpy
#else
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *p, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strchrnul(const char *s, int c);
char *strstr(const char *s, const char *what);
size_t strspn(const char *s, const char *accept);
size_t strcspn(const char *s, const char *reject);
char *strpbrk(const char *s, const char *accept);
char *strsep(char **s, const char *delims);

#define memcpy(to, from, n)	__builtin_memcpy(to, from, n)
#define memmove(to, from, n)	__builtin_memmove(to, from, n)
#define memset(to, c, n)	__builtin_memset(to, c, n)
#define memcmp(a, b, n)		__builtin_memcmp(a, b, n)
#define strlen(s)		__builtin_strlen(s)
#endif

/* Copies at most size - 1 bytes and ends the string.
 * => the length copied, or -E2BIG when it was cut (or size is 0). */
ssize_t strscpy(char *to, const char *from, size_t size);
/* The same with BSD's result: the length of `from`. */
size_t strlcpy(char *to, const char *from, size_t size);
size_t strlcat(char *to, const char *from, size_t size);
/* First byte in [p, p+n) that is not c, or NULL. */
void *memchr_inv(const void *p, int c, size_t n);
/* First character that is not white space. */
char *skip_spaces(const char *s);
/* Cuts trailing white space in place and returns the first character that is not white. */
char *strim(char *s);
/* Length of `prefix` when s begins with it, else 0. */
size_t str_has_prefix(const char *s, const char *prefix);

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

#endif
