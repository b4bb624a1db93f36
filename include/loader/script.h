/*
 * The "#!" line of a script, by Linux's rules: only the first SCRIPT_LINE_MAX bytes count, the
 * interpreter's path ends at a blank, and all the rest of the line is at most one argument.
 */
#ifndef QUOIN_LOADER_SCRIPT_H
#define QUOIN_LOADER_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#define SCRIPT_LINE_MAX 256u

struct script_line {
	const char *path;		/* into the caller's buffer, not NUL terminated */
	uint32_t path_len;		/* never 0 */
	const char *arg;		/* NULL when there is none */
	uint32_t arg_len;
};

/*
 * Parse the first `len` bytes of a file (more than SCRIPT_LINE_MAX are ignored).
 * => returns false when it is no script, or when its interpreter path is missing or may have been
 *    cut off: ENOEXEC for exec
 */
bool script_parse(const void *buf, uint64_t len, struct script_line *out);

#endif
