// SOURCES: kernel/lib/string.c kernel/lib/printf.c kernel/lib/seq_buf.c
// SOURCES: kernel/lib/sort.c kernel/lib/hash.c kernel/lib/parse.c
// CFLAGS: -DHOST_TEST -DDEBUG
/* The small pure modules, against libc. */
#include "check.h"
#include "lib/err.h"
#include "lib/hash.h"
#include "lib/math64.h"
#include "lib/parse.h"
#include "lib/printf.h"
#include "lib/seq_buf.h"
#include "lib/sort.h"
#include "lib/string.h"

void *quoin_memcpy(void *restrict to, const void *restrict from, size_t n);
void *quoin_memmove(void *to, const void *from, size_t n);
void *quoin_memset(void *to, int c, size_t n);
int quoin_memcmp(const void *a, const void *b, size_t n);
size_t quoin_strlen(const char *s);
char *quoin_strstr(const char *s, const char *what);
char *quoin_strrchr(const char *s, int c);
int quoin_strcmp(const char *a, const char *b);

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void test_memory(void)
{
	static u8 a[700], b[700];

	for (int round = 0; round < 40000; round++) {
		size_t n = check_rand_below(round & 1 ? 70 : 300);
		size_t from = check_rand_below(300), to = check_rand_below(300);

		for (size_t i = 0; i < sizeof(a); i++)
			a[i] = b[i] = (u8)(check_seed >> (i & 31)) + (u8)i;
		switch (round % 3) {
		case 0:
			memmove(a + to, a + from, n);
			quoin_memmove(b + to, b + from, n);
			break;
		case 1:
			memset(a + to, (int)from, n);
			quoin_memset(b + to, (int)from, n);
			break;
		default:
			memcpy(a + 350 + to % 50, a + from % 50, n);
			quoin_memcpy(b + 350 + to % 50, b + from % 50, n);
		}
		CHECK_OR_RETURN(memcmp(a, b, sizeof(a)) == 0);
		b[check_rand_below(64)] ^= 1 << (round & 7);
		CHECK(sign(memcmp(a, b, 64)) == sign(quoin_memcmp(a, b, 64)));
		CHECK(sign(memcmp(a, b, n)) == sign(quoin_memcmp(a, b, n)));
	}
}

static void test_strings(void)
{
	char buf[16];

	for (size_t off = 0; off < 16; off++) {
		for (size_t n = 0; n < 40; n++) {
			char s[64] = { 0 };

			memset(s + off, 'x' | 0x80, n);
			CHECK_EQ(quoin_strlen(s + off), n);
		}
	}
	CHECK(quoin_strstr("hello world", "o w") != NULL);
	CHECK(quoin_strstr("hello", "lo!") == NULL);
	CHECK(quoin_strrchr("a/b/c", '/')[1] == 'c');
	CHECK(quoin_strcmp("a", "b") < 0 && quoin_strcmp("\xff", "a") > 0);
	CHECK_EQ(strscpy(buf, "hello", sizeof(buf)), 5);
	CHECK_EQ(strscpy(buf, "hello", 5), -E2BIG);
	CHECK_STR(buf, "hell");
	CHECK_EQ(strlcpy(buf, "abcdef", 4), 6);
	CHECK_STR(buf, "abc");
	CHECK_EQ(strlcat(buf, "xyz", 5), 6);
	CHECK_STR(buf, "abcx");
	CHECK(memchr_inv("aaaaaaaaaaab", 'a', 12) != NULL);
	CHECK(memchr_inv("aaaaaaaaaaaa", 'a', 12) == NULL);
	strcpy(buf, "  hi there \n");
	CHECK_STR(strim(buf), "hi there");
	CHECK_EQ(str_has_prefix("foobar", "foo"), 3);
}

#define SAME(...) do {								\
	char sa[128], sb[128];							\
	int na = (snprintf)(sa, sizeof(sa), __VA_ARGS__);			\
	int nb = quoin_snprintf(sb, sizeof(sb), __VA_ARGS__);			\
	CHECK_STR(sb, sa);							\
	CHECK_EQ(nb, na);							\
} while (0)

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat"
static void test_printf_flags(void)
{
	static const char *flags[] = { "", "-", "0", "+", " ", "#", "#0", "-#", "+0", "-+" };
	static const char *sizes[] = { "", "1", "8", "12.5", ".0", ".3", "20.12", "5.0" };
	static const char *types[] = { "lld", "llu", "llx", "llX", "llo", "hhd", "hu", "hx", "d", "u" };
	static const s64 values[] = { 0, 1, -1, 42, 255, 65536, S64_MIN, S64_MAX, -12345678901LL };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++)
			for (size_t k = 0; k < ARRAY_SIZE(types); k++)
				for (size_t v = 0; v < ARRAY_SIZE(values); v++) {
					char f[32];

					(snprintf)(f, sizeof(f), "<%%%s%s%s>", flags[i], sizes[j],
						   types[k]);
					SAME(f, values[v]);
				}
}
#pragma clang diagnostic pop

static void test_printf(void)
{
	char b[32];

	SAME("%s|%10s|%-10s|%.3s|%.*s", "abc", "abc", "abc", "abcdef", 2, "xyz");
	SAME("%c%c%5c%-5c|", 'a', 'b', 'c', 'd');
	SAME("100%% %zu %zd %ld %lu %jd", (size_t)5, (ssize_t)-5, -7L, 7UL, (intmax_t)9);
	SAME("%*d|%-*d|", 6, 42, 6, 42);
	SAME("%*d|", -6, 42);
	quoin_snprintf(b, sizeof(b), "%p", (void *)0x1234abcdUL);
	CHECK_STR(b, "0x000000001234abcd");
	CHECK_EQ(quoin_snprintf(b, 4, "abcdef"), 6);
	CHECK_STR(b, "abc");
	CHECK_EQ(quoin_snprintf(NULL, 0, "%d", 12345), 5);
	CHECK_EQ(scnprintf(b, 4, "%s", "abcdef"), 3);
}

static void test_seq_buf(void)
{
	char b[17];
	struct seq_buf m;

	seq_buf_init(&m, b, sizeof(b));
	seq_printf(&m, "%d-%s", 12, "ab");
	seq_putc(&m, '!');
	CHECK_EQ(m.len, 6);
	seq_escape(&m, "a b\\", " ");
	CHECK(memcmp(b, "12-ab!a\\040b\\134", 16) == 0);
	CHECK(!m.overflow && m.len == 16);
	seq_puts(&m, "more than fits");
	CHECK(m.overflow);
	CHECK_EQ(m.len, 17);
}

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static void test_sort(void)
{
	u64 a[200], b[200];

	for (int round = 0; round < 500; round++) {
		size_t n = check_rand_below(200);

		for (size_t i = 0; i < n; i++)
			a[i] = b[i] = check_rand_below(100);
		sort(a, n, sizeof(a[0]), by_value);
		qsort(b, n, sizeof(b[0]), by_value);
		CHECK_OR_RETURN(memcmp(a, b, n * sizeof(a[0])) == 0);
	}
}

static void test_hash(void)
{
	/* The test vector of the SipHash paper, appendix A. */
	u64 key[2] = { 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL };
	u8 data[15];

	for (int i = 0; i < 15; i++)
		data[i] = (u8)i;
	CHECK_EQ(siphash(data, 15, key), 0xa129ca6149be45e5ULL);
	CHECK(hash_name("ab", 2, 0) != hash_name("ba", 2, 0));
	CHECK(hash_name("a", 1, 0) != hash_name("aa", 2, 0));
	CHECK(hash_name("abcdefgh", 8, 0) != hash_name("abcdefgi", 8, 0));
	CHECK_EQ(mul_u64_u64_div_u64(1ULL << 63, 10, 1ULL << 62), 20);
	CHECK_EQ(mul_u64_u64_div_u64(1ULL << 63, 10, 1), U64_MAX);
	CHECK_EQ(int_sqrt(99), 9);
}

static void test_parse(void)
{
	const char *line = "root=/dev/sda quiet mem=64M name=\"a b\" mem=0x80M  x= last";
	u64 u;
	s64 s;
	s32 i;
	char buf[8];

	CHECK(kstrtoull("123\n", 10, &u) == 0 && u == 123);
	CHECK(kstrtoull("0x1F", 0, &u) == 0 && u == 31);
	CHECK(kstrtoull("017", 0, &u) == 0 && u == 15);
	CHECK_EQ(kstrtoull("", 10, &u), -EINVAL);
	CHECK_EQ(kstrtoull("12x", 10, &u), -EINVAL);
	CHECK_EQ(kstrtoull("18446744073709551616", 10, &u), -ERANGE);
	CHECK(kstrtoull("18446744073709551615", 10, &u) == 0 && u == U64_MAX);
	CHECK(kstrtoll("-9223372036854775808", 10, &s) == 0 && s == S64_MIN);
	CHECK_EQ(kstrtoll("9223372036854775808", 10, &s), -ERANGE);
	CHECK_EQ(kstrtoint("2147483648", 10, &i), -ERANGE);
	CHECK(kstrtoint("-5", 10, &i) == 0 && i == -5);
	CHECK(cmdline_str_has(line, "quiet") && !cmdline_str_has(line, "qui") && cmdline_str_has(line, "last"));
	CHECK_EQ(cmdline_str_u64(line, "mem", 0), 128ULL << 20);
	CHECK_EQ(cmdline_str_u64(line, "none", 7), 7);
	CHECK_EQ(cmdline_str_get(line, "name", buf, sizeof(buf)), 3);
	CHECK_STR(buf, "a b");
	CHECK_EQ(cmdline_str_get(line, "root", buf, sizeof(buf)), -E2BIG);
	CHECK_EQ(cmdline_str_get(line, "x", buf, sizeof(buf)), 0);
	CHECK_EQ(cmdline_str_get(line, "y", buf, sizeof(buf)), -ENOENT);
}

int main(void)
{
	RUN(test_memory);
	RUN(test_strings);
	RUN(test_printf_flags);
	RUN(test_printf);
	RUN(test_seq_buf);
	RUN(test_sort);
	RUN(test_hash);
	RUN(test_parse);
	return check_done();
}
