/*
 * F_NOTIFY (fcntl(2)): a signal when something happens in a directory, inotify's ancestor.
 *
 * A mark belongs to an open directory and to the descriptor table it was made from: closing any descriptor of that file in that table
 * removes it, so none outlives its file. All marks are on one list: there are few. They count in fsnotify_watches, which is what
 * the hooks look at. One shot unless DN_MULTISHOT.
 *
 * Locks: dn_lock -> the table's (making a mark); signals are sent under dn_lock (tasklist_lock, sighand->lock).
 */
#include <fs/dnotify.h>
#include <fs/internal.h>
#include <mm/slab.h>

#define DN_ACCESS 1u
#define DN_MODIFY 2u
#define DN_CREATE 4u
#define DN_DELETE 8u
#define DN_RENAME 16u
#define DN_ATTRIB 32u
#define DN_MULTISHOT 0x80000000u
#define SI_POLL_MSG 3
#define BAND_MSG 0x400u

struct mark {
	struct list_head link;
	struct file *file; /* (I) no reference */
	struct files *table; /* (I) only compared */
	int fd;
	u32 events; /* FS_* */
	bool multishot;
};

u64 dnotify_enable = 1;
u32 dnotify_marks;
static LIST_HEAD(marks); /* (dn_lock) */
static DEFINE_SPINLOCK(dn_lock);

static u32 events_of(u32 dn)
{
	return (dn & DN_ACCESS ? FS_ACCESS : 0) | (dn & DN_MODIFY ? FS_MODIFY : 0) | (dn & DN_ATTRIB ? FS_ATTRIB : 0) |
	       (dn & DN_CREATE ? FS_CREATE | FS_MOVED_TO : 0) | (dn & DN_DELETE ? FS_DELETE | FS_MOVED_FROM : 0) |
	       (dn & DN_RENAME ? FS_MOVED_FROM : 0);
}

/* => dn_lock */
static void mark_end(struct mark *m)
{
	list_del(&m->link);
	dnotify_marks--;
	__atomic_fetch_sub(&fsnotify_watches, 1, __ATOMIC_RELAXED);
	kfree(m);
}

void dnotify_event(const struct inode *dir, u32 mask)
{
	struct mark *m, *n;

	spin_lock(&dn_lock);
	list_for_each_entry_safe(m, n, &marks, link) {
		if (m->file->inode != dir || !(m->events & mask))
			continue;
		file_send_sigio(m->file, m->fd, SI_POLL_MSG, POLLIN | POLLRDNORM | BAND_MSG);
		if (!m->multishot)
			mark_end(m);
	}
	spin_unlock(&dn_lock);
}

void dnotify_close(const struct file *f, const struct files *table)
{
	struct mark *m, *n;

	spin_lock(&dn_lock);
	list_for_each_entry_safe(m, n, &marks, link)
		if (m->file == f && m->table == table)
			mark_end(m);
	spin_unlock(&dn_lock);
}

static struct mark *mark_of(const struct file *f, const struct files *table)
{
	struct mark *m;

	list_for_each_entry(m, &marks, link)
		if (m->file == f && m->table == table)
			return m;
	return NULL;
}

/* A new mark is *fresh, which is NULL then. => dn_lock, and the table's, so that a close comes before or after */
static void mark_set(int fd, struct file *f, u32 what, struct mark **fresh)
{
	struct mark *m = mark_of(f, current->files);

	if (!m) {
		m = *fresh;
		*fresh = NULL;
		m->file = f;
		m->table = current->files;
		list_add(&m->link, &marks);
		dnotify_marks++;
		__atomic_fetch_add(&fsnotify_watches, 1, __ATOMIC_RELAXED);
	}
	m->fd = fd;
	m->events |= events_of(what);
	m->multishot |= !!(what & DN_MULTISHOT);
}

int dnotify_set(int fd, struct file *f, u32 what)
{
	struct mark *fresh;

	if (!dnotify_enable)
		return -EINVAL;
	if (!(what & ~DN_MULTISHOT)) {
		dnotify_close(f, current->files);
		return 0;
	}
	if (!S_ISDIR(f->inode->mode))
		return -ENOTDIR;
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL);
	if (!fresh)
		return -ENOMEM;
	if (!f->owner_pid)
		f->owner_pid = current->tgid;
	struct files *table = current->files;
	spin_lock(&dn_lock);
	spin_lock(&table->lock);
	if ((u32)fd < table->t->max && table->t->fd[fd] == f) /* else another thread has closed it, and looked for marks already */
		mark_set(fd, f, what, &fresh);
	spin_unlock(&table->lock);
	spin_unlock(&dn_lock);
	kfree(fresh);
	return 0;
}
