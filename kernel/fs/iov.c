/*
 * Moving bytes between kernel buffers and where a call's data is: one user buffer (nearly always), a user vector, or kernel memory.
 * The first segment lives in the iterator itself, so the common case touches nothing else.
 */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>
#include <x86/uaccess.h>

static inline void advance_in_segment(struct iov_iter *it, u64 n)
{
	it->base += n;
	it->seg_left -= n;
	it->count -= n;
}

/* Steps over finished segments. => it->count is not 0 */
static void next_segment(struct iov_iter *it)
{
	while (!it->seg_left && it->nr > 1) {
		it->iov++;
		it->nr--;
		it->base = it->iov->base;
		it->seg_left = it->iov->len;
	}
}

enum iov_op { IOV_TO, IOV_FROM, IOV_ZERO };

/* Bytes moved within one segment. */
static inline u64 move_piece(struct iov_iter *it, void *k, u64 n, enum iov_op op)
{
	u64 left = 0;

	if (unlikely(it->kernel)) {
		if (op == IOV_TO)
			memcpy((void *)it->base, k, n);
		else if (op == IOV_FROM)
			memcpy(k, (void *)it->base, n);
		else
			memset((void *)it->base, 0, n);
	} else {
		left = op == IOV_TO ? copy_to_user((void __user *)it->base, k, n) :
		       op == IOV_FROM ? copy_from_user(k, (void __user *)it->base, n) : clear_user((void __user *)it->base, n);
	}
	advance_in_segment(it, n - left);
	return n - left;
}

static noinline u64 move_slow(struct iov_iter *it, void *k, u64 n, enum iov_op op)
{
	u64 done = 0;

	n = min(n, it->count);
	while (done < n) {
		next_segment(it);
		u64 piece = min(n - done, it->seg_left);
		u64 r = move_piece(it, k ? (u8 *)k + done : NULL, piece, op);
		done += r;
		if (r < piece || !piece)
			break;
	}
	return done;
}

u64 iov_segment(struct iov_iter *it, u64 *base)
{
	next_segment(it);
	*base = it->base;
	return min(it->seg_left, it->count);
}

u64 copy_to_iter(struct iov_iter *it, const void *from, u64 n)
{
	if (likely(n <= it->seg_left))
		return move_piece(it, (void *)from, n, IOV_TO);
	return move_slow(it, (void *)from, n, IOV_TO);
}

u64 copy_from_iter(void *to, struct iov_iter *it, u64 n)
{
	if (likely(n <= it->seg_left))
		return move_piece(it, to, n, IOV_FROM);
	return move_slow(it, to, n, IOV_FROM);
}

u64 zero_to_iter(struct iov_iter *it, u64 n)
{
	if (likely(n <= it->seg_left))
		return move_piece(it, NULL, n, IOV_ZERO);
	return move_slow(it, NULL, n, IOV_ZERO);
}

void iov_advance(struct iov_iter *it, u64 n)
{
	n = min(n, it->count);
	while (n) {
		next_segment(it);
		u64 piece = min(n, it->seg_left);
		advance_in_segment(it, piece);
		n -= piece;
		if (!piece)
			return;
	}
}

s64 iov_import(struct iov_iter *it, const void __user *uvec, u64 nr, struct iovec_k **heap)
{
	u64 total = 0;

	*heap = NULL;
	*it = (struct iov_iter){ .nr = 1 };
	if (nr > UIO_MAXIOV)
		return -EINVAL;
	if (!nr)
		return 0;
	struct iovec_k *v = kmalloc(nr * sizeof(*v), GFP_KERNEL);

	if (!v)
		return -ENOMEM;
	if (copy_from_user(v, uvec, nr * sizeof(*v))) {
		kfree(v);
		return -EFAULT;
	}
	for (u64 i = 0; i < nr; i++) {
		if ((s64)v[i].len < 0 || !access_ok((void __user *)v[i].base, v[i].len)) {
			s64 err = (s64)v[i].len < 0 ? -EINVAL : -EFAULT;
			kfree(v);
			return err;
		}
		v[i].len = min(v[i].len, MAX_RW_COUNT - total);
		total += v[i].len;
	}
	*heap = v;
	*it = (struct iov_iter){ false, nr, v, v[0].base, v[0].len, total };
	return total;
}
