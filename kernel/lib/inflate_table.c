/*
 * inflate_table.c - decoding tables from code lengths (RFC 1951 3.2.2); their form is described in inflate.c.
 */
#include "inflate_impl.h"

#define MAX_CODE	15

static const uint16_t length_base[29] = {
	3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
	131, 163, 195, 227, 258,
};
static const uint8_t length_extra[29] = {
	0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
};
static const uint16_t dist_base[30] = {
	1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
	2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
};

static uint32_t reverse(uint32_t code, uint32_t len)
{
	uint32_t r = 0;

	while (len--) {
		r = r << 1 | (code & 1);
		code >>= 1;
	}
	return r;
}

static uint32_t lit_entry(uint32_t sym)
{
	if (sym < 256)
		return E_LITERAL | sym << 16;
	if (sym == 256)
		return E_SPECIAL | E_END;
	if (sym > 285)
		return E_SPECIAL;
	return (uint32_t)length_base[sym - 257] << 16 | (uint32_t)length_extra[sym - 257] << 8;
}

static uint32_t dist_entry(uint32_t sym)
{
	if (sym > 29)
		return E_SPECIAL;
	return (uint32_t)dist_base[sym] << 16 | (sym < 4 ? 0 : (sym / 2 - 1) << 8);
}

/* Code-length symbols are plain values. */
static uint32_t plain_entry(uint32_t sym)
{
	return sym << 16;
}

struct table {
	uint32_t *entries;
	uint32_t root;			/* index bits of the main table */
	uint32_t room;			/* entries there are */
	uint32_t (*entry)(uint32_t sym);
};

/* Count codes per length and check that they form a prefix code. */
static bool count_codes(const uint8_t *lengths, uint32_t n, uint16_t *count)
{
	int32_t left = 1;
	uint32_t i, used;

	for (i = 0; i <= MAX_CODE; i++)
		count[i] = 0;
	for (i = 0; i < n; i++)
		count[lengths[i]]++;
	for (i = 1; i <= MAX_CODE; i++) {
		left = left * 2 - count[i];
		if (left < 0)
			return false;
	}
	/* Incomplete is allowed for no code at all and for a single one of one bit. */
	used = n - count[0];
	return !left || !used || (used == 1 && count[1]);
}

/* Index bits of the subtable that starts with a code of `len` bits. */
static uint32_t subtable_bits(const uint16_t *count, uint32_t len, uint32_t root)
{
	int32_t left = 1 << (len - root);
	uint32_t bits = len - root;

	while (bits + root < MAX_CODE) {
		left -= count[bits + root];
		if (left <= 0)
			break;
		bits++;
		left <<= 1;
	}
	return bits;
}

static bool build(const struct table *t, const uint8_t *lengths, uint32_t n)
{
	uint16_t count[MAX_CODE + 1], first[MAX_CODE + 2], sorted[NR_LIT];
	uint32_t i, k, len, code = 0, rev, e, prefix = ~0u, sub = 0, sub_bits = 0;
	uint32_t used = 1u << t->root, total;

	if (!count_codes(lengths, n, count))
		return false;
	first[1] = 0;
	for (len = 1; len <= MAX_CODE; len++)
		first[len + 1] = first[len] + count[len];
	total = first[MAX_CODE + 1];
	for (i = 0; i < n; i++)
		if (lengths[i])
			sorted[first[lengths[i]]++] = (uint16_t)i;
	for (i = 0; i < used; i++)
		t->entries[i] = E_SPECIAL;

	for (len = 1, i = 0; i < total; i++, code++) {
		while (!count[len]) {
			len++;
			code <<= 1;
		}
		e = t->entry(sorted[i]);
		rev = reverse(code, len);
		if (len <= t->root) {
			for (k = rev; k < 1u << t->root; k += 1u << len)
				t->entries[k] = e | len;
		} else {
			if ((rev & ((1u << t->root) - 1)) != prefix) {
				prefix = rev & ((1u << t->root) - 1);
				sub = used;
				sub_bits = subtable_bits(count, len, t->root);
				used += 1u << sub_bits;
				if (used > t->room)
					return false;
				t->entries[prefix] = E_SPECIAL | E_SUB | sub << 16 |
						     sub_bits << 8 | t->root;
			}
			for (k = rev >> t->root; k < 1u << sub_bits; k += 1u << (len - t->root))
				t->entries[sub + k] = e | (len - t->root);
		}
		count[len]--;
	}
	return true;
}

bool inflate_lit_table(struct inflate *w, const uint8_t *lengths, uint32_t n)
{
	struct table t = { w->lit, LIT_ROOT, INFLATE_LIT_ENTRIES, lit_entry };

	return build(&t, lengths, n);
}

bool inflate_dist_table(struct inflate *w, const uint8_t *lengths, uint32_t n)
{
	struct table t = { w->dist, DIST_ROOT, INFLATE_DIST_ENTRIES, dist_entry };

	return build(&t, lengths, n);
}

bool inflate_length_table(struct inflate *w, const uint8_t *lengths, uint32_t n)
{
	struct table t = { w->lit, LENGTH_ROOT, INFLATE_LIT_ENTRIES, plain_entry };

	return build(&t, lengths, n);
}
