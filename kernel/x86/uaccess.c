/*
 * User copies: range checks, and the choice between string moves and vector registers.
 *
 * Vector copies pay from about a page on, in instructions as well as in time. They use the live
 * registers of the user, so nothing may switch context in between: they run in chunks with
 * preemption and page faults off; a chunk that meets a missing page is done again by string moves,
 * which may sleep, and brings the page in for the next chunk.
 */
#include <kernel/preempt.h>
#include <lib/string.h>
#include <uapi/errno.h>
#include <x86/cpu.h>
#include <x86/uaccess.h>

u64 copy_user_avx(void *to, const void *from, u64 n);
u64 copy_user_avx512(void *to, const void *from, u64 n);
u64 clear_user_raw(void *to, u64 n);
s64 strncpy_user_raw(char *to, const char *from, u64 n);
s64 strnlen_user_raw(const char *s, u64 n);
int user_cmpxchg_raw(u32 *p, u32 expect, u32 new, u32 *old);
int user_xchg_raw(u32 *p, u32 new, u32 *old);
int user_xadd_raw(u32 *p, u32 add, u32 *old);

#define VECTOR_MIN COPY_SMALL
#define VECTOR_UNIT 512 /* what the vector copies do multiples of */
#define VECTOR_CHUNK 8192

/* @n: multiple of VECTOR_UNIT, VECTOR_CHUNK at most */
static __always_inline u64 copy_chunk(void *to, const void *from, u64 n)
{
	u64 left;

	preempt_disable();
	pagefault_disable();
	if (cpu_has(avx512))
		left = copy_user_avx512(to, from, n);
	else
		left = copy_user_avx(to, from, n);
	pagefault_enable();
	preempt_enable();
	return unlikely(left) ? copy_user(to, from, n) : 0;
}

static noinline u64 copy_chunks(void *to, const void *from, u64 n)
{
	while (n >= VECTOR_MIN) {
		u64 chunk = min_t(u64, n, VECTOR_CHUNK) & ~(VECTOR_UNIT - 1ull);
		u64 left = copy_chunk(to, from, chunk);

		if (unlikely(left))
			return n - chunk + left;
		to = (char *)to + chunk;
		from = (const char *)from + chunk;
		n -= chunk;
	}
	return n ? copy_user(to, from, n) : 0;
}

/* Most of what is large is a page. */
static noinline u64 copy_large(void *to, const void *from, u64 n)
{
	if (likely(n <= VECTOR_CHUNK && !(n % VECTOR_UNIT)))
		return copy_chunk(to, from, n);
	return copy_chunks(to, from, n);
}

static __always_inline u64 copy_any(void *to, const void *from, u64 n)
{
	if (n >= VECTOR_MIN && cpu_has(avx))
		return copy_large(to, from, n);
	return copy_user(to, from, n);
}

u64 copy_to_user_any(void __user *to, const void *from, u64 n)
{
	if (unlikely(!access_ok(to, n)))
		return n;
	return copy_any(to, from, n);
}

static noinline u64 zero_rest(char *to, u64 n, u64 left)
{
	memset(to + (n - left), 0, left);
	return left;
}

u64 copy_from_user_any(void *to, const void __user *from, u64 n)
{
	u64 left = n;

	if (likely(access_ok(from, n)))
		left = copy_any(to, from, n);
	return likely(!left) ? 0 : zero_rest(to, n, left);
}

u64 clear_user(void __user *to, u64 n)
{
	if (unlikely(!access_ok(to, n)))
		return n;
	return clear_user_raw(to, n);
}

s64 strncpy_from_user(char *to, const char __user *from, u64 n)
{
	u64 a = (u64)from;

	if (unlikely(a >= TASK_SIZE_MAX))
		return -EFAULT;
	u64 room = TASK_SIZE_MAX - a;
	s64 len = strncpy_user_raw(to, from, min(n, room));
	/* No NUL up to the end of user space: the next byte would have faulted. */
	return unlikely(len == (s64)room && room < n) ? -EFAULT : len;
}

s64 strnlen_user(const char __user *s, u64 n)
{
	u64 a = (u64)s;

	if (unlikely(a >= TASK_SIZE_MAX))
		return 0;
	u64 room = TASK_SIZE_MAX - a;
	s64 len = strnlen_user_raw(s, min(n, room));
	return unlikely(len > (s64)room) ? 0 : len;
}

int user_cmpxchg_u32(u32 __user *p, u32 expect, u32 new, u32 *old)
{
	if (unlikely(!access_ok(p, 4) || (u64)p & 3))
		return -EFAULT;
	return user_cmpxchg_raw(p, expect, new, old);
}

int user_atomic_op_u32(u32 __user *p, int op, u32 arg, u32 *old)
{
	u32 v, seen;
	int r;

	if (unlikely(!access_ok(p, 4) || (u64)p & 3))
		return -EFAULT;
	if (op == 0)
		return user_xchg_raw(p, arg, old);
	if (op == 1)
		return user_xadd_raw(p, arg, old);
	if (op > 4 || op < 0)
		return -ENOSYS;
	r = get_user(v, p);
	while (!r) {
		u32 want = op == 2 ? v | arg : op == 3 ? v & ~arg : v ^ arg;

		r = user_cmpxchg_raw(p, v, want, &seen);
		if (r || seen == v)
			break;
		v = seen;
	}
	*old = v;
	return r;
}
