/* parse.c - numbers and command-line words from text. */
#include "lib/parse.h"
#include "lib/ctype.h"
#include "lib/err.h"
#include "lib/overflow.h"
#include "lib/string.h"

static unsigned int digit_value(char c)
{
	if (isdigit((u8)c))
		return (unsigned int)(c - '0');
	if (isalpha((u8)c))
		return (unsigned int)(tolower((u8)c) - 'a') + 10;
	return 255;
}

/* Takes the prefix of base 0 and 16; returns where the digits begin. */
static const char *parse_base(const char *s, unsigned int *base)
{
	bool hex = s[0] == '0' && (s[1] | 0x20) == 'x' && isxdigit((u8)s[2]);

	if (hex && (*base == 0 || *base == 16)) {
		*base = 16;
		return s + 2;
	}
	if (*base == 0)
		*base = s[0] == '0' ? 8 : 10;
	return s;
}

/* => how many digits; *over when the value did not fit. */
static size_t parse_digits(const char *s, unsigned int base, u64 *v, bool *over)
{
	size_t n = 0;

	*v = 0;
	*over = false;
	for (; digit_value(s[n]) < base; n++)
		if (check_mul_overflow(*v, (u64)base, v) ||
		    check_add_overflow(*v, (u64)digit_value(s[n]), v))
			*over = true;
	return n;
}

int kstrtoull(const char *s, unsigned int base, u64 *res)
{
	bool over;
	size_t n;
	u64 v;

	if (*s == '+')
		s++;
	s = parse_base(s, &base);
	n = parse_digits(s, base, &v, &over);
	if (!n)
		return -EINVAL;
	s += n;
	if (*s == '\n')
		s++;
	if (*s)
		return -EINVAL;
	if (over)
		return -ERANGE;
	*res = v;
	return 0;
}

int kstrtoll(const char *s, unsigned int base, s64 *res)
{
	bool minus = *s == '-';
	u64 v;
	int err = kstrtoull(s + minus, base, &v);

	if (err)
		return minus && s[1] == '+' ? -EINVAL : err;
	if (minus && s[1] == '+')
		return -EINVAL;
	if (v > (u64)S64_MAX + minus)
		return -ERANGE;
	*res = (s64)(minus ? 0 - v : v);
	return 0;
}

#define KSTRTO(name, type, wide, from)						\
int name(const char *s, unsigned int base, type *res)				\
{										\
	wide v;									\
	int err = from(s, base, &v);						\
										\
	if (err)								\
		return err;							\
	if ((wide)(type)v != v)							\
		return -ERANGE;							\
	*res = (type)v;								\
	return 0;								\
}

KSTRTO(kstrtouint, u32, u64, kstrtoull)
KSTRTO(kstrtoint, s32, s64, kstrtoll)

u64 parse_u64(const char *s, const char **end, unsigned int base)
{
	const char *digits = parse_base(s, &base);
	bool over;
	u64 v;
	size_t n = parse_digits(digits, base, &v, &over);

	if (end)
		*end = n ? digits + n : s;
	return over ? U64_MAX : v;
}

u64 memparse(const char *s, const char **end)
{
	static const char suffix[] = "kmgtpe";
	const char *e, *p;
	u64 v = parse_u64(s, &e, 0);

	p = e != s && *e ? strchr(suffix, tolower((u8)*e)) : NULL;
	if (p) {
		if (check_mul_overflow(v, 1ULL << (10 * (p - suffix + 1)), &v))
			v = U64_MAX;
		e++;
	}
	if (end)
		*end = e;
	return v;
}

/* Next word of the command line: its start and length; *s moves behind it. */
static const char *next_word(const char **s, size_t *len)
{
	const char *start = skip_spaces(*s), *p = start;
	bool quoted = false;

	for (; *p && (quoted || !isspace((u8)*p)); p++)
		if (*p == '"')
			quoted = !quoted;
	*len = (size_t)(p - start);
	*s = p;
	return *len ? start : NULL;
}

bool cmdline_str_has(const char *cmdline, const char *word)
{
	size_t n = strlen(word), len;
	const char *w;

	while ((w = next_word(&cmdline, &len)))
		if (len == n && !strncmp(w, word, n))
			return true;
	return false;
}

int cmdline_str_get(const char *cmdline, const char *key, char *buf, size_t size)
{
	size_t n = strlen(key), len, vlen = 0, out = 0;
	const char *w, *value = NULL;

	while ((w = next_word(&cmdline, &len))) {
		if (len > n && w[n] == '=' && !strncmp(w, key, n)) {
			value = w + n + 1;
			vlen = len - n - 1;
		}
	}
	if (!value)
		return -ENOENT;
	for (size_t i = 0; i < vlen; i++) {
		if (value[i] == '"')
			continue;
		if (out + 1 >= size)
			return -E2BIG;
		buf[out++] = value[i];
	}
	if (!size)
		return -E2BIG;
	buf[out] = '\0';
	return (int)out;
}

u64 cmdline_str_u64(const char *cmdline, const char *key, u64 otherwise)
{
	char buf[32];
	const char *end;
	int n = cmdline_str_get(cmdline, key, buf, sizeof(buf));
	u64 v;

	if (n <= 0)
		return otherwise;
	v = memparse(buf, &end);
	return *end || end == buf ? otherwise : v;
}
