/*
 * Text files: the whole text is made at the first read (or a read at offset 0), kept with the open file, and served in pieces.
 * The buffer starts at one page and doubles until the text fits.
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
	u64 len, size;
	bool made;
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

/* => t->lock held */
static int text_make(struct text_file *t)
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
		if (t->src.show)
			t->src.show(&s, t->src.arg);
		t->len = s.len;
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
	t->made = true;
	return 0;
}

s64 text_read(struct file *f, struct iov_iter *to, loff_t *pos)
{
	struct text_file *t = f->private;
	s64 r = 0;

	mutex_lock(&t->lock);
	if (!t->made || *pos == 0)
		r = text_make(t);
	if (!r && (u64)*pos < t->len) {
		u64 n = min_t(u64, t->len - *pos, to->count);
		u64 got = copy_to_iter(to, t->buf + *pos, n);

		r = got || !n ? (s64)got : -EFAULT;
		*pos += got;
	}
	mutex_unlock(&t->lock);
	return r;
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
