/*
 * Extended attributes in memory, for file systems without a place of their own for them: a list on the inode, under its rwsem.
 * As on Linux' tmpfs the namespaces are trusted.* and security.*; user.* and system.* are not supported (xattr(7)).
 */
#include <fs/internal.h>
#include <lib/string.h>
#include <mm/slab.h>

struct xattr {
	struct xattr *next;
	u32 len;
	const char *name;
	u8 value[];
};

static bool supported(const char *name)
{
	return str_has_prefix(name, "trusted.") || str_has_prefix(name, "security.");
}

static struct xattr **find(struct inode *i, const char *name)
{
	struct xattr **pp = (struct xattr **)&i->xattrs;

	while (*pp && !streq((*pp)->name, name))
		pp = &(*pp)->next;
	return pp;
}

static void xattr_free(struct xattr *x)
{
	kfree(x->name);
	kvfree(x);
}

s64 simple_getxattr(struct inode *i, const char *name, void *buf, u64 n)
{
	s64 r = -ENODATA;

	if (!supported(name))
		return -EOPNOTSUPP;
	struct xattr *x = *find(i, name);

	if (x) {
		r = x->len;
		if (n && n < x->len)
			r = -ERANGE;
		else if (n)
			memcpy(buf, x->value, x->len);
	}
	return r;
}

int simple_setxattr(struct inode *i, const char *name, const void *buf, u64 n, int flags)
{
	if (!supported(name))
		return -EOPNOTSUPP;
	struct xattr **pp = find(i, name), *old = *pp;

	if (old && flags & XATTR_CREATE)
		return -EEXIST;
	if (!old && flags & XATTR_REPLACE)
		return -ENODATA;
	struct xattr *x = kvmalloc(sizeof(*x) + n, GFP_KERNEL);
	const char *copy = x ? kstrdup(name, GFP_KERNEL) : NULL;

	if (!copy) {
		kvfree(x);
		return -ENOMEM;
	}
	x->len = n;
	x->name = copy;
	memcpy(x->value, buf, n);
	x->next = old ? old->next : NULL;
	*pp = x;
	if (old)
		xattr_free(old);
	i->ctime = current_time();
	return 0;
}

s64 simple_listxattr(struct inode *i, char *buf, u64 n)
{
	s64 used = 0;

	for (struct xattr *x = i->xattrs; x; x = x->next) {
		u64 len = strlen(x->name) + 1;
		if (str_has_prefix(x->name, "trusted.") && !capable(CAP_SYS_ADMIN))
			continue;
		if (n) {
			if (used + len > n)
				return -ERANGE;
			memcpy(buf + used, x->name, len);
		}
		used += len;
	}
	return used;
}

int simple_removexattr(struct inode *i, const char *name)
{
	if (!supported(name))
		return -EOPNOTSUPP;
	struct xattr **pp = find(i, name), *x = *pp;

	if (!x)
		return -ENODATA;
	*pp = x->next;
	xattr_free(x);
	i->ctime = current_time();
	return 0;
}

void simple_xattrs_free(struct inode *i)
{
	struct xattr *x = i->xattrs;

	i->xattrs = NULL;
	while (x) {
		struct xattr *next = x->next;
		xattr_free(x);
		x = next;
	}
}
