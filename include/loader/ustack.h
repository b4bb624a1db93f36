/*
 * The initial user stack of a new program (x86-64 psABI 3.4.1), computed and written purely.
 *
 * From the top down, as Linux lays it out:
 *
 *   top - 8       eight zero bytes
 *                 the program's file name, for AT_EXECFN
 *                 environment strings, then argument strings below them, in order
 *                 a gap of `jitter` bytes (stack colouring / ASLR, the caller's choice)
 *                 platform string ("x86_64"), 16 random bytes
 *                 a gap so that sp is a multiple of 16
 *                 auxiliary vector, ends with AT_NULL
 *                 envp[], NULL
 *                 argv[], NULL
 *   sp            argc
 *
 * Use: fill struct ustack, ustack_plan computes every address, the caller provides plan->size
 * bytes for [plan->sp, top), ustack_write fills them.
 */
#ifndef QUOIN_LOADER_USTACK_H
#define QUOIN_LOADER_USTACK_H

#include <stdbool.h>
#include <stdint.h>

#define USTACK_AT_NULL		0u
#define USTACK_AT_PLATFORM	15u
#define USTACK_AT_RANDOM	25u
#define USTACK_AT_EXECFN	31u

#define USTACK_RANDOM_SIZE	16u

struct ustack_aux {
	uint64_t type, value;
};

struct ustack {
	uint64_t top;			/* end of the stack area, a multiple of 16 */
	uint64_t room;			/* bytes that may be used below it */
	uint64_t jitter;		/* extra bytes between strings and tables */
	const char *args;		/* argc strings with their NULs, back to back */
	uint64_t args_len;
	uint64_t argc;
	const char *envs;		/* envc strings likewise */
	uint64_t envs_len;
	uint64_t envc;
	const char *execfn;		/* NUL terminated, as are the next */
	const char *platform;
	const struct ustack_aux *aux;	/* without RANDOM, EXECFN, PLATFORM, NULL: added here */
	uint32_t nr_aux;
	uint8_t random[USTACK_RANDOM_SIZE];
};

struct ustack_plan {
	uint64_t sp;			/* initial stack pointer, 16-byte aligned */
	uint64_t size;			/* top - sp */
	uint64_t argv, envp, auxv;	/* addresses of the tables */
	uint64_t auxv_len;		/* bytes, with AT_NULL */
	uint64_t random, platform;
	uint64_t arg_start, arg_end;	/* the strings: /proc/PID/cmdline */
	uint64_t env_start, env_end;	/* /proc/PID/environ */
	uint64_t execfn;
};

/*
 * Compute all addresses.
 * => returns false when it does not fit into us->room: E2BIG for exec
 */
bool ustack_plan(const struct ustack *us, struct ustack_plan *plan);

/*
 * Write the stack's bytes [plan->sp, us->top) to `out`, plan->size of them.
 * => args and envs hold as many NULs as argc and envc say
 */
void ustack_write(const struct ustack *us, const struct ustack_plan *plan, void *out);

#endif
