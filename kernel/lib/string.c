/*
 * string.c - memory and C strings for the kernel and the EFI application.
 *
 * Copies and fills up to 64 bytes are a handful of 8-byte moves that overlap in the middle, all
 * loads before all stores, so one body serves memcpy and memmove.  Longer ones are `rep movsq`
 * with an overlapping last word: one instruction a word, and the fast-string microcode where
 * the CPU has it (Intel SDM 1, 7.3.9.3).  Copying backwards never sets DF, which an interrupt
 * would inherit: it is a loop.  strlen looks at aligned words, so it reads past the end of the
 * string but never into another page.
 *
 * On the host the functions are built as quoin_NAME for their test.
 */
#include "lib/string.h"
#include "lib/ctype.h"
#include "lib/err.h"

#ifdef HOST_TEST
#define Q(name) quoin_##name
#define NO_ASAN __attribute__((no_sanitize("address")))
void *Q(memcpy)(void *restrict to, const void *restrict from, size_t n);
void *Q(memmove)(void *to, const void *from, size_t n);
void *Q(memset)(void *to, int c, size_t n);
int Q(memcmp)(const void *a, const void *b, size_t n);
void *Q(memchr)(const void *p, int c, size_t n);
size_t Q(strlen)(const char *s);
size_t Q(strnlen)(const char *s, size_t max);
int Q(strcmp)(const char *a, const char *b);
int Q(strncmp)(const char *a, const char *b, size_t n);
char *Q(strchr)(const char *s, int c);
char *Q(strrchr)(const char *s, int c);
char *Q(strchrnul)(const char *s, int c);
char *Q(strstr)(const char *s, const char *what);
size_t Q(strspn)(const char *s, const char *accept);
size_t Q(strcspn)(const char *s, const char *reject);
char *Q(strpbrk)(const char *s, const char *accept);
char *Q(strsep)(char **s, const char *delims);
#else
#define Q(name) name
#define NO_ASAN
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#endif

/* Unaligned words of memory whose type is anybody's. */
#define LOAD(type, p) ({ type __v; __builtin_memcpy(&__v, (p), sizeof(__v)); __v; })
#define STORE(type, p, v) do { type __v = (v); __builtin_memcpy((p), &__v, sizeof(__v)); } while (0)

/* n <= 64; the areas may overlap. */
static __always_inline void copy_small(u8 *to, const u8 *from, size_t n)
{
	if (n > 32) {
		u64 a = LOAD(u64, from), b = LOAD(u64, from + 8);
		u64 c = LOAD(u64, from + 16), d = LOAD(u64, from + 24);
		u64 e = LOAD(u64, from + n - 32), f = LOAD(u64, from + n - 24);
		u64 g = LOAD(u64, from + n - 16), h = LOAD(u64, from + n - 8);

		STORE(u64, to, a);
		STORE(u64, to + 8, b);
		STORE(u64, to + 16, c);
		STORE(u64, to + 24, d);
		STORE(u64, to + n - 32, e);
		STORE(u64, to + n - 24, f);
		STORE(u64, to + n - 16, g);
		STORE(u64, to + n - 8, h);
	} else if (n > 16) {
		u64 a = LOAD(u64, from), b = LOAD(u64, from + 8);
		u64 c = LOAD(u64, from + n - 16), d = LOAD(u64, from + n - 8);

		STORE(u64, to, a);
		STORE(u64, to + 8, b);
		STORE(u64, to + n - 16, c);
		STORE(u64, to + n - 8, d);
	} else if (n >= 8) {
		u64 a = LOAD(u64, from), b = LOAD(u64, from + n - 8);

		STORE(u64, to, a);
		STORE(u64, to + n - 8, b);
	} else if (n >= 4) {
		u32 a = LOAD(u32, from), b = LOAD(u32, from + n - 4);

		STORE(u32, to, a);
		STORE(u32, to + n - 4, b);
	} else if (n) {
		u8 a = from[0], b = from[n >> 1], c = from[n - 1];

		to[0] = a;
		to[n >> 1] = b;
		to[n - 1] = c;
	}
}

/* n > 8; forwards, so `to` must not lie inside the source. */
static __always_inline void copy_forward(u8 *to, const u8 *from, size_t n)
{
	u64 tail = LOAD(u64, from + n - 8);
	u8 *last = to + n - 8;
	size_t words = n >> 3;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) :: "memory");
	STORE(u64, last, tail);
}

__used void *Q(memcpy)(void *restrict to, const void *restrict from, size_t n)
{
	if (n <= 64)
		copy_small(to, from, n);
	else
		copy_forward(to, from, n);
	return to;
}

__used void *Q(memmove)(void *to, const void *from, size_t n)
{
	u8 *t = to;
	const u8 *f = from;

	if (n <= 64) {
		copy_small(t, f, n);
	} else if ((uintptr_t)t - (uintptr_t)f >= n) {
		copy_forward(t, f, n);
	} else {
		u64 head = LOAD(u64, f);

		for (; n > 8; n -= 8)
			STORE(u64, t + n - 8, LOAD(u64, f + n - 8));
		STORE(u64, t, head);
	}
	return to;
}

__used void *Q(memset)(void *to, int c, size_t n)
{
	u64 v = (u8)c * 0x0101010101010101ULL;
	u8 *p = to;

	if (n >= 8) {
		u8 *last = p + n - 8;

		if (n <= 32) {
			STORE(u64, p, v);
			if (n > 16) {
				STORE(u64, p + 8, v);
				STORE(u64, last - 8, v);
			}
			STORE(u64, last, v);
		} else {
			size_t words = n >> 3;

			__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(v) : "memory");
			STORE(u64, last, v);
		}
	} else if (n >= 4) {
		STORE(u32, p, (u32)v);
		STORE(u32, p + n - 4, (u32)v);
	} else if (n) {
		p[0] = (u8)c;
		p[n >> 1] = (u8)c;
		p[n - 1] = (u8)c;
	}
	return to;
}

__used int Q(memcmp)(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n >= 8; n -= 8, p += 8, q += 8) {
		u64 x = LOAD(u64, p), y = LOAD(u64, q);

		if (x != y)
			return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
	}
	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

void *Q(memchr)(const void *p, int c, size_t n)
{
	for (const u8 *s = p; n; n--, s++)
		if (*s == (u8)c)
			return (void *)(uintptr_t)s;
	return NULL;
}

/* Bit 7 of each byte of the result is set for the zero bytes, up to and with the first. */
static __always_inline u64 zero_bytes(u64 w)
{
	return (w - 0x0101010101010101ULL) & ~w & 0x8080808080808080ULL;
}

__used NO_ASAN size_t Q(strlen)(const char *s)
{
	const u64 *p = (const u64 *)((uintptr_t)s & ~(uintptr_t)7);
	unsigned int skip = ((uintptr_t)s & 7) * 8;
	u64 z = zero_bytes(*p | ((1ULL << skip) - 1));

	while (!z)
		z = zero_bytes(*++p);
	return (size_t)((const char *)p + (__builtin_ctzll(z) >> 3) - s);
}

size_t Q(strnlen)(const char *s, size_t max)
{
	size_t n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

int Q(strcmp)(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (u8)*a - (u8)*b;
}

int Q(strncmp)(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if (*a != *b || !*a)
			return (u8)*a - (u8)*b;
	return 0;
}

char *Q(strchrnul)(const char *s, int c)
{
	while (*s && *s != (char)c)
		s++;
	return (char *)(uintptr_t)s;
}

char *Q(strchr)(const char *s, int c)
{
	char *p = Q(strchrnul)(s, c);

	return *p == (char)c ? p : NULL;
}

char *Q(strrchr)(const char *s, int c)
{
	const char *found = NULL;

	do {
		if (*s == (char)c)
			found = s;
	} while (*s++);
	return (char *)(uintptr_t)found;
}

char *Q(strstr)(const char *s, const char *what)
{
	size_t n = Q(strlen)(what);

	for (;; s++) {
		if (!Q(strncmp)(s, what, n))
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

size_t Q(strspn)(const char *s, const char *accept)
{
	size_t n = 0;

	while (s[n] && Q(strchr)(accept, s[n]))
		n++;
	return n;
}

size_t Q(strcspn)(const char *s, const char *reject)
{
	size_t n = 0;

	while (s[n] && !Q(strchr)(reject, s[n]))
		n++;
	return n;
}

char *Q(strpbrk)(const char *s, const char *accept)
{
	s += Q(strcspn)(s, accept);
	return *s ? (char *)(uintptr_t)s : NULL;
}

char *Q(strsep)(char **s, const char *delims)
{
	char *start = *s, *end;

	if (!start)
		return NULL;
	end = Q(strpbrk)(start, delims);
	if (end)
		*end++ = '\0';
	*s = end;
	return start;
}

ssize_t strscpy(char *to, const char *from, size_t size)
{
	size_t n = Q(strnlen)(from, size);

	if (!size)
		return -E2BIG;
	if (n == size) {
		Q(memcpy)(to, from, n - 1);
		to[n - 1] = '\0';
		return -E2BIG;
	}
	Q(memcpy)(to, from, n + 1);
	return (ssize_t)n;
}

size_t strlcpy(char *to, const char *from, size_t size)
{
	size_t n = Q(strlen)(from);

	if (size) {
		size_t take = n < size ? n : size - 1;

		Q(memcpy)(to, from, take);
		to[take] = '\0';
	}
	return n;
}

size_t strlcat(char *to, const char *from, size_t size)
{
	size_t n = Q(strnlen)(to, size);

	return n + (n == size ? Q(strlen)(from) : strlcpy(to + n, from, size - n));
}

void *memchr_inv(const void *p, int c, size_t n)
{
	const u8 *s = p;
	u64 v = (u8)c * 0x0101010101010101ULL;

	for (; n >= 8 && LOAD(u64, s) == v; n -= 8)
		s += 8;
	for (; n; n--, s++)
		if (*s != (u8)c)
			return (void *)(uintptr_t)s;
	return NULL;
}

char *skip_spaces(const char *s)
{
	while (isspace((u8)*s))
		s++;
	return (char *)(uintptr_t)s;
}

char *strim(char *s)
{
	size_t n = Q(strlen)(s);

	while (n && isspace((u8)s[n - 1]))
		n--;
	s[n] = '\0';
	return skip_spaces(s);
}

size_t str_has_prefix(const char *s, const char *prefix)
{
	size_t n = Q(strlen)(prefix);

	return Q(strncmp)(s, prefix, n) == 0 ? n : 0;
}
