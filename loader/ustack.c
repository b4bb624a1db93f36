/*
 * Initial user stack: one pass that computes addresses, one that writes bytes. The layout is the
 * picture in loader/ustack.h. Nothing is looked at twice and nothing can fail while writing, so
 * exec can do all checks before it gives up the old program.
 */
#include <loader/ustack.h>

#define OWN_AUX 4u		/* RANDOM, EXECFN, PLATFORM, NULL */

/* Take `n` bytes below *addr; false when they are not there. */
static bool take(uint64_t *addr, uint64_t bottom, uint64_t n)
{
	if (n > *addr - bottom)
		return false;
	*addr -= n;
	return true;
}

bool ustack_plan(const struct ustack *us, struct ustack_plan *plan)
{
	uint64_t at = us->top, bottom = us->top - us->room;
	uint64_t words;

	if (us->room > us->top || us->argc > us->args_len || us->envc > us->envs_len)
		return false;
	if (!take(&at, bottom, 8 + __builtin_strlen(us->execfn) + 1))
		return false;
	plan->execfn = at;
	plan->env_end = at;
	if (!take(&at, bottom, us->envs_len))
		return false;
	plan->env_start = at;
	plan->arg_end = at;
	if (!take(&at, bottom, us->args_len))
		return false;
	plan->arg_start = at;
	if (!take(&at, bottom, us->jitter) ||
	    !take(&at, bottom, __builtin_strlen(us->platform) + 1))
		return false;
	plan->platform = at;
	if (!take(&at, bottom, USTACK_RANDOM_SIZE))
		return false;
	plan->random = at;

	/* argc, argv + NULL, envp + NULL: bounded by string lengths, so this cannot overflow. */
	words = 1 + us->argc + 1 + us->envc + 1;
	plan->auxv_len = ((uint64_t)us->nr_aux + OWN_AUX) * sizeof(struct ustack_aux);
	if (!take(&at, bottom, plan->auxv_len) || !take(&at, bottom, words * 8) ||
	    !take(&at, bottom, at & 15))
		return false;
	plan->sp = at;
	plan->size = us->top - at;
	plan->argv = at + 8;
	plan->envp = plan->argv + (us->argc + 1) * 8;
	plan->auxv = plan->envp + (us->envc + 1) * 8;
	return true;
}

static uint8_t *put(uint8_t *p, uint64_t v)
{
	__builtin_memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

/* Write the addresses of `n` strings that lie back to back from user address `at`, then NULL. */
static uint8_t *put_pointers(uint8_t *p, const char *strings, uint64_t n, uint64_t at)
{
	uint64_t len;

	while (n--) {
		p = put(p, at);
		len = __builtin_strlen(strings) + 1;
		strings += len;
		at += len;
	}
	return put(p, 0);
}

static uint8_t *put_aux(uint8_t *p, uint64_t type, uint64_t value)
{
	return put(put(p, type), value);
}

static void copy_to(const struct ustack_plan *plan, uint8_t *out, uint64_t at, const void *from,
		    uint64_t len)
{
	if (len)
		__builtin_memcpy(out + (at - plan->sp), from, len);
}

void ustack_write(const struct ustack *us, const struct ustack_plan *plan, void *out)
{
	uint8_t *base = out, *p;
	uint64_t execfn_len = __builtin_strlen(us->execfn) + 1;
	uint32_t i;

	p = put(base, us->argc);
	p = put_pointers(p, us->args, us->argc, plan->arg_start);
	p = put_pointers(p, us->envs, us->envc, plan->env_start);
	for (i = 0; i < us->nr_aux; i++)
		p = put_aux(p, us->aux[i].type, us->aux[i].value);
	p = put_aux(p, USTACK_AT_RANDOM, plan->random);
	p = put_aux(p, USTACK_AT_EXECFN, plan->execfn);
	p = put_aux(p, USTACK_AT_PLATFORM, plan->platform);
	p = put_aux(p, USTACK_AT_NULL, 0);

	/* Gaps (alignment, jitter, the top word) may hold old bytes of the buffer: clear them. */
	__builtin_memset(p, 0, plan->random - plan->sp - (uint64_t)(p - base));
	copy_to(plan, base, plan->random, us->random, USTACK_RANDOM_SIZE);
	copy_to(plan, base, plan->platform, us->platform, __builtin_strlen(us->platform) + 1);
	p = base + (plan->platform - plan->sp) + __builtin_strlen(us->platform) + 1;
	__builtin_memset(p, 0, plan->arg_start - plan->sp - (uint64_t)(p - base));
	copy_to(plan, base, plan->arg_start, us->args, us->args_len);
	copy_to(plan, base, plan->env_start, us->envs, us->envs_len);
	copy_to(plan, base, plan->execfn, us->execfn, execfn_len);
	__builtin_memset(base + (plan->execfn - plan->sp) + execfn_len, 0, 8);
}
