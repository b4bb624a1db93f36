/*
 * The kernel command line. Words are separated by blanks; a word may be quoted with "..." around its value, as in
 * name="a b". Everything after a bare "--" belongs to init. Of several words with one name the last counts. The text is
 * never changed after boot, so lookups need no lock.
 */
#include <kernel/cmdline.h>
#include <lib/string.h>
#include <uapi/errno.h>

char kernel_cmdline[4096];

void cmdline_init(const char *s, size_t n)
{
	if (n >= sizeof(kernel_cmdline))
		n = sizeof(kernel_cmdline) - 1;
	memcpy(kernel_cmdline, s, n);
	kernel_cmdline[n] = '\0';
	/* the loader's text comes from a file: line ends are blanks */
	for (char *p = kernel_cmdline; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
}

/* Next word from *pos: [start, end), NULL at the end or at "--". Quotes protect blanks. */
static const char *next_word(const char **pos, const char **end)
{
	const char *p = *pos, *start;
	bool quoted = false;

	while (*p == ' ')
		p++;
	if (!*p)
		return NULL;
	for (start = p; *p && (*p != ' ' || quoted); p++)
		if (*p == '"')
			quoted = !quoted;
	*end = *pos = p;
	if (p - start == 2 && start[0] == '-' && start[1] == '-')
		return NULL;
	return start;
}

/* Value of the last @word (empty for a bare one) and its length; NULL when absent. */
static const char *find(const char *word, size_t *len, bool need_value)
{
	const char *pos = kernel_cmdline, *start, *end, *found = NULL;
	size_t n = strlen(word);

	while ((start = next_word(&pos, &end))) {
		if ((size_t)(end - start) < n || strncmp(start, word, n) != 0)
			continue;
		if (start[n] == '=' && start + n < end) {
			found = start + n + 1;
			*len = end - found;
			if (*len >= 2 && found[0] == '"' && end[-1] == '"') {
				found++;
				*len -= 2;
			}
		} else if (start + n == end && !need_value) {
			found = end;
			*len = 0;
		}
	}
	return found;
}

bool cmdline_has(const char *word)
{
	size_t len;

	return find(word, &len, false) != NULL;
}

int cmdline_get(const char *word, char *buf, size_t n)
{
	size_t len;
	const char *v = find(word, &len, true);

	if (!v || !n)
		return -ENOENT;
	if (len >= n)
		len = n - 1;
	memcpy(buf, v, len);
	buf[len] = '\0';
	return (int)len;
}

static int digit(char c, int base)
{
	int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;

	return d < base ? d : -1;
}

u64 cmdline_u64(const char *word, u64 otherwise)
{
	char buf[32], *p = buf;
	int base = 10;
	u64 v = 0;

	if (cmdline_get(word, buf, sizeof(buf)) <= 0)
		return otherwise;
	if (p[0] == '0' && (p[1] | 32) == 'x') {
		base = 16;
		p += 2;
	}
	if (digit(*p, base) < 0)
		return otherwise;
	for (; digit(*p, base) >= 0; p++)
		v = v * base + digit(*p, base);
	switch (*p | 32) {
	case 'g':
		return v << 30;
	case 'm':
		return v << 20;
	case 'k':
		return v << 10;
	}
	return v;
}
