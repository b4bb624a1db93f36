/*
 * Text files: the text is made at the first read (or a read at offset 0), kept with the open file, and served in parts.
 * The buffer starts at one page and grows until the text fits. A source of much text gives it in pieces (lib/seq_buf.h): then the buffer has
 * one of them, which begins at `start` in the file, and the next is made when it is asked for. A read from before it begins anew.
 */
#include <fs/procfs.h>
#include <lib/parse.h>
#include <lib/string.h>
#include <mm/slab.h>

#define TEXT_FIRST 4000u
#define TEXT_MAX (64u << 20)
#define TEXT_WRITE_MAX 4095u

struct text_file {
	struct text_source src; /* (I) */
	struct mutex lock; /* text */
	char *buf;
	u64 start, len, size;
	u64 next; /* where the source goes on, when there is more */
	bool made, more;
};

int text_open(struct file *f, const struct text_source *src)
{
	struct text_file *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return -ENOMEM;
	t->src = *src;
	mutex_init(&t->lock);
	f->private = t;
	return 0;
}

void text_release(struct inode *i, struct file *f)
{
	(void)i;
	struct text_file *t = f->private;

	if (t) {
		kvfree(t->buf);
		kfree(t);
	}
}

/* The piece that begins at @at of the source and at @start of the file. => t->lock held */
static int text_make(struct text_file *t, u64 at, u64 start)
{
	u64 size = t->size ?: TEXT_FIRST;

	t->made = false; /* and there may be no buffer either, when this fails */
	for (;;) {
		struct seq_buf s;

		if (!t->buf) {
			t->buf = kvmalloc(size, GFP_KERNEL);
			if (!t->buf)
				return -ENOMEM;
			t->size = size;
		}
		seq_buf_init(&s, t->buf, t->size);
		s.at = at;
		if (t->src.show)
			t->src.show(&s, t->src.arg);
		t->len = s.len;
		t->more = s.more;
		t->next = s.at;
		if (s.nomem)
			return -ENOMEM;
		if (!s.overflow)
			break;
		kvfree(t->buf);
		t->buf = NULL;
		size = t->size * 4;
		t->size = 0;
		if (size > TEXT_MAX)
			return -ENOMEM;
	}
	t->start = start;
	t->made = true;
	return 0;
}

/* Copies what the buffer has from *@pos on. 0 or -EFAULT. => t->lock held */
static int text_copy(struct text_file *t, struct iov_iter *to, loff_t *pos)
{
	u64 off = (u64)*pos - t->start, n, got;

	if (off >= t->len)
		return 0;
	n = min_t(u64, t->len - off, to->count);
	got = copy_to_iter(to, t->buf + off, n);
	*pos += got;
	return got == n ? 0 : -EFAULT;
}

s64 text_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct text_file *t = f->private;
	loff_t begin = *pos;
	int r = 0;

	mutex_lock(&t->lock);
	if (!t->made || *pos == 0 || (u64)*pos < t->start)
		r = text_make(t, 0, 0);
	while (!r && to->count) {
		r = text_copy(t, to, pos);
		if (r || !to->count || !t->more || fatal_signal_pending_current())
			break;
		r = text_make(t, t->next, t->start + t->len);
	}
	mutex_unlock(&t->lock);
	return *pos > begin ? *pos - begin : r;
}

s64 text_write(struct file *f, struct iov_iter *from, loff_t *pos)
{
	struct text_file *t = f->private;
	u64 n = from->count;

	if (!t->src.write)
		return -EACCES;
	if (n > TEXT_WRITE_MAX)
		return -EINVAL;
	char *buf = kmalloc(n + 1, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	s64 r = -EFAULT;
	if (copy_from_iter(buf, from, n) == n) {
		buf[n] = 0;
		r = t->src.write(buf, n, t->src.arg);
	}
	kfree(buf);
	if (!r)
		*pos += n;
	return r ?: (s64)n;
}

loff_t text_llseek(struct file *f, loff_t off, int whence)
{
	return fixed_size_llseek(f, off, whence, 0, 0x7fffffffffffffffll);
}

void sysctl_show(struct seq_buf *s, void *arg)
{
	struct sysctl *c = arg;

	seq_printf(s, "%llu\n", (unsigned long long)READ_ONCE(*c->value));
}

int sysctl_write(const char *text, u64 n, void *arg)
{
	struct sysctl *c = arg;
	u64 v = 0;
	bool any = false;

	while (n && (*text == ' ' || *text == '\t'))
		text++, n--;
	for (; n && *text >= '0' && *text <= '9'; text++, n--) {
		if (v > (~0ull - 9) / 10)
			return -EINVAL;
		v = v * 10 + (*text - '0');
		any = true;
	}
	if (!any || (n && *text != '\n' && *text != ' ') || v < c->min || v > c->max)
		return -EINVAL;
	WRITE_ONCE(*c->value, v);
	return 0;
}
