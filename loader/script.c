/*
 * Parser of the "#!" line.
 *
 * What may be cut off at the end of the 256 bytes decides between success and failure: running a
 * truncated interpreter path would run the wrong program, so the path must be seen to end (by a
 * blank, a NUL, the newline or the end of a short file). A truncated argument is harmless: the
 * interpreter can read the line itself. Linux keeps byte 255 of its buffer out of a line without
 * newline, and so do we.
 */
#include <loader/script.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static uint32_t skip_blanks(const char *s, uint32_t i, uint32_t end)
{
	while (i < end && is_blank(s[i]))
		i++;
	return i;
}

/* First blank or NUL in [i, end), else end. */
static uint32_t word_end(const char *s, uint32_t i, uint32_t end)
{
	while (i < end && s[i] && !is_blank(s[i]))
		i++;
	return i;
}

/* Where the line ends: newline, end of file, or the last usable byte of a long line. */
static uint32_t line_end(const char *s, uint32_t len, bool *cut)
{
	uint32_t i;

	*cut = false;
	for (i = 2; i < len; i++)
		if (s[i] == '\n')
			return i;
	if (len < SCRIPT_LINE_MAX)
		return len;
	*cut = true;
	return SCRIPT_LINE_MAX - 1;
}

bool script_parse(const void *buf, uint64_t len, struct script_line *out)
{
	const char *s = buf;
	uint32_t n = len < SCRIPT_LINE_MAX ? (uint32_t)len : SCRIPT_LINE_MAX;
	uint32_t end, start, stop, arg, arg_end;
	bool cut;

	if (n < 2 || s[0] != '#' || s[1] != '!')
		return false;
	end = line_end(s, n, &cut);
	start = skip_blanks(s, 2, end);
	stop = word_end(s, start, end);
	if (stop == start || (cut && stop == end))
		return false;
	*out = (struct script_line){ .path = s + start, .path_len = stop - start };
	/* A NUL ends the line for a program that reads it as a string. */
	if (stop == end || !s[stop])
		return true;
	while (is_blank(s[end - 1]))
		end--;
	arg = skip_blanks(s, stop, end);
	for (arg_end = arg; arg_end < end && s[arg_end]; arg_end++)
		;
	if (arg_end > arg) {
		out->arg = s + arg;
		out->arg_len = arg_end - arg;
	}
	return true;
}
