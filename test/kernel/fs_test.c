/*
 * Names, walks, mounts and descriptors from inside: what system calls cannot see.
 */
#include <fs/fdtable.h>
#include <fs/internal.h>
#include <fs/tmpfs.h>
#include <kernel/ktest.h>
#include <kernel/kthread.h>
#include <kernel/rcu.h>
#include <kernel/wait.h>
#include <lib/printf.h>
#include <lib/string.h>
#include <mm/failinject.h>
#include <mm/slab.h>
#include <sched/thread.h>

#define HERE AT_FDCWD
#define ROOM "/ktest-fs"

static int make(const char *name, const char *text)
{
	struct file *f = kernel_open(name, O_CREAT | O_RDWR | O_TRUNC, 0644);
	loff_t pos = 0;

	if (IS_ERR(f))
		return PTR_ERR(f);
	s64 n = kernel_write(f, text, strlen(text), &pos);

	file_put(f);
	return n < 0 ? (int)n : 0;
}

static int find(const char *name, u32 flags)
{
	struct path p;
	int err = path_lookup(HERE, name, flags, &p);

	if (!err)
		path_put(&p);
	return err;
}

static u64 names_now(void)
{
	rcu_barrier();
	return dentry_count();
}

/* Names of every length, found by the walk's word-wise hash and by the byte-wise one. */
KTEST(fs_names)
{
	u64 before = names_now();
	char path[300];

	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	for (u32 len = 1; len <= NAME_MAX; len += len < 80 ? 1 : 25) {
		char *name = path + snprintf(path, sizeof(path), ROOM "/");
		for (u32 i = 0; i < len; i++)
			name[i] = 'a' + (i * 7 + len) % 26;
		name[len] = 0;
		KCHECK_EQ(make(path, "x"), 0);
		KCHECK_EQ(find(path, 0), 0);
		struct path dir;
		KCHECK_EQ(path_lookup(HERE, ROOM, 0, &dir), 0);
		struct dentry *d = dentry_lookup(dir.dentry, name, len);
		KCHECK(d && d->name.len == len && d->name.hash == name_hash(name, len));
		if (d)
			dentry_put(d);
		path_put(&dir);
		name[len - 1] ^= 1;
		KCHECK_EQ(find(path, 0), -ENOENT);
		name[len - 1] ^= 1;
		KCHECK_EQ(do_unlinkat(HERE, path), 0);
		KCHECK_EQ(find(path, 0), -ENOENT);
	}
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
	KCHECK_EQ(names_now(), before);
}

/* Names that differ in one letter, wherever it is, have different hashes. */
KTEST(fs_name_hash)
{
	char name[24];
	u32 hash[26];

	for (u32 len = 1; len <= sizeof(name); len++)
		for (u32 at = 0; at < len; at++) {
			memset(name, 'x', sizeof(name));
			for (u32 i = 0; i < ARRAY_SIZE(hash); i++) {
				name[at] = 'a' + i;
				hash[i] = name_hash(name, len);
				for (u32 k = 0; k < i; k++)
					KCHECK(hash[k] != hash[i]);
			}
		}
}

/* Short and long names change places; what was open keeps its name; names can be written back as paths. */
KTEST(fs_renames)
{
	static const char *const names[] = { "s", "exactly-seven", "a-name-of-thirty-nine-characters-length",
					     "a-name-that-is-too-long-to-lie-inside-the-dentry-itself-so-it-is-elsewhere" };
	char a[200], b[200], buf[256];

	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	KCHECK_EQ(do_mkdirat(HERE, ROOM "/d", 0755), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		for (unsigned k = 0; k < ARRAY_SIZE(names); k++) {
			snprintf(a, sizeof(a), ROOM "/%s", names[i]);
			snprintf(b, sizeof(b), ROOM "/d/%s", names[k]);
			KCHECK_EQ(make(a, "1"), 0);
			KCHECK_EQ(make(b, "22"), 0);
			struct file *f = kernel_open(a, O_RDONLY, 0), *g = kernel_open(b, O_RDONLY, 0);
			KCHECK_EQ(do_renameat2(HERE, a, HERE, b, RENAME_EXCHANGE), 0);
			KCHECK(!strcmp(path_name(&f->path, buf, sizeof(buf)), b));
			KCHECK(!strcmp(path_name(&g->path, buf, sizeof(buf)), a));
			KCHECK_EQ(do_renameat2(HERE, a, HERE, b, 0), 0);
			KCHECK(!strcmp(path_name(&g->path, buf, sizeof(buf)), b));
			KCHECK(dentry_unlinked(f->path.dentry));
			KCHECK_EQ(f->inode->nlink, 0);
			KCHECK_EQ(find(a, 0), -ENOENT);
			KCHECK_EQ(find(b, 0), 0);
			file_put(f);
			file_put(g);
			KCHECK_EQ(do_unlinkat(HERE, b), 0);
		}
	KCHECK_EQ(do_rmdirat(HERE, ROOM "/d"), 0);
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
}

/* Both modes of the walk say the same about the same tree. */
KTEST(fs_walk_modes)
{
	static const char *const paths[] = { "", "/", "/d", "/d/", "/d/.", "/d/..", "/d/../d/f", "/f", "/f/", "/f/x", "/l", "/l/", "/ld", "/ld/f",
					     "/ld/", "/abs", "/abs/f", "/loop", "/loop/x", "/none", "/none/x", "/d/none", "/d//f", "/dangling",
					     "/chain", "/chain/../f" };
	char path[100];

	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	KCHECK_EQ(do_mkdirat(HERE, ROOM "/d", 0755), 0);
	KCHECK_EQ(make(ROOM "/f", "x"), 0);
	KCHECK_EQ(make(ROOM "/d/f", "x"), 0);
	do_symlinkat("f", HERE, ROOM "/l");
	do_symlinkat("d", HERE, ROOM "/ld");
	do_symlinkat(ROOM "/d", HERE, ROOM "/abs");
	do_symlinkat("loop", HERE, ROOM "/loop");
	do_symlinkat("nowhere", HERE, ROOM "/dangling");
	do_symlinkat("ld/../abs", HERE, ROOM "/chain");
	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++)
		for (u32 flags = 0; flags <= LOOKUP_FOLLOW; flags += LOOKUP_FOLLOW) {
			struct walk w;
			struct path at[2] = { { NULL, NULL }, { NULL, NULL } };
			int err[2];
			snprintf(path, sizeof(path), ROOM "%s", paths[i]);
			for (int rcu = 0; rcu < 2; rcu++) {
				err[rcu] = walk_start(&w, HERE, path, flags, rcu);
				const char *s = path;
				while (!err[rcu]) {
					err[rcu] = walk_links(&w, s);
					if (err[rcu])
						break;
					s = walk_last(&w);
					err[rcu] = PTR_ERR_OR_ZERO(s);
					if (!s)
						break;
				}
				if (!err[rcu]) /* as path_lookup: a trailing slash wants a directory */
					err[rcu] = w.flags & LOOKUP_DIRECTORY && !dentry_is_dir(w.path.dentry) ? -ENOTDIR : walk_legitimize(&w);
				if (!err[rcu])
					at[rcu] = w.path;
				walk_abort(&w);
			}
			if (err[0] != err[1] || at[0].dentry != at[1].dentry)
				ktest_fail(__FILE__, __LINE__, "%s flags %u: %d and %d, %p and %p", path, flags, err[0], err[1], at[0].dentry, at[1].dentry);
		}
	static const char *const all[] = { "/d/f", "/l", "/ld", "/abs", "/loop", "/dangling", "/chain", "/f" };
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		snprintf(path, sizeof(path), ROOM "%s", all[i]);
		KCHECK_EQ(do_unlinkat(HERE, path), 0);
	}
	KCHECK_EQ(do_rmdirat(HERE, ROOM "/d"), 0);
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
}

/* Pages of tmpfs files: holes cost nothing, what is freed comes back, the account is exact at rest. */
KTEST(fs_tmpfs_account)
{
	struct kstatfs st;
	char buf[64];

	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	KCHECK_EQ(do_mount("none", ROOM, "tmpfs", 0, "size=40k"), 0);
	struct file *f = kernel_open(ROOM "/f", O_CREAT | O_RDWR, 0600);
	KCHECK(!IS_ERR(f));
	struct super *s = f->path.mnt->super;
	loff_t pos = 5 * PAGE_SIZE - 2;

	KCHECK_EQ(kernel_write(f, "abcd", 4, &pos), 4); /* two pages behind a hole */
	vfs_statfs(s, &st);
	KCHECK_EQ(st.blocks - st.bfree, 2);
	pos = 0;
	KCHECK_EQ(kernel_read(f, buf, sizeof(buf), &pos), sizeof(buf));
	KCHECK(!memchr_inv(buf, 0, sizeof(buf)));
	vfs_statfs(s, &st);
	KCHECK_EQ(st.blocks - st.bfree, 2); /* reading a hole makes no page */
	KCHECK_EQ(do_fallocate(f, 0, 0, 10 * PAGE_SIZE), 0);
	vfs_statfs(s, &st);
	KCHECK_EQ(st.bfree, 0);
	pos = 10 * PAGE_SIZE;
	KCHECK_EQ(kernel_write(f, "x", 1, &pos), -ENOSPC);
	KCHECK_EQ(do_ftruncate(f, 1), 0);
	vfs_statfs(s, &st);
	KCHECK_EQ(st.blocks - st.bfree, 1);
	KCHECK_EQ(do_umount(ROOM, 0), -EBUSY);
	file_put(f);
	KCHECK_EQ(do_umount(ROOM, 0), 0);
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
}

/* A round of everything that allocates, with the Nth allocation failing: an errno each time, nothing left behind. */
static int one_round(void)
{
	int err = do_mkdirat(HERE, ROOM "/d", 0755), r;

	if (err)
		return err;
	err = make(ROOM "/d/a-name-that-is-too-long-to-lie-inside-of-the-dentry", "text");
	if (!err)
		err = do_symlinkat("a", HERE, ROOM "/d/l");
	if (!err)
		err = do_renameat2(HERE, ROOM "/d/l", HERE, ROOM "/m-too-long-to-lie-inside-of-the-dentry-as-well", 0);
	if (!err)
		err = do_linkat(HERE, ROOM "/d/a-name-that-is-too-long-to-lie-inside-of-the-dentry", HERE, ROOM "/n", 0);
	if (!err)
		err = do_mount("none", ROOM "/d", "tmpfs", 0, NULL);
	if (!err && (r = do_umount(ROOM "/d", 0)))
		ktest_fail(__FILE__, __LINE__, "umount: %d", r);
	return err;
}

static void clean_round(void)
{
	do_unlinkat(HERE, ROOM "/n");
	do_unlinkat(HERE, ROOM "/m-too-long-to-lie-inside-of-the-dentry-as-well");
	do_unlinkat(HERE, ROOM "/d/l");
	do_unlinkat(HERE, ROOM "/d/a-name-that-is-too-long-to-lie-inside-of-the-dentry");
	do_rmdirat(HERE, ROOM "/d");
}

KTEST(fs_out_of_memory)
{
	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	KCHECK_EQ(one_round(), 0);
	clean_round();
	u64 before = names_now();

	for (u64 n = 1; n < 200; n++) {
		fail_nth_arm(current_thread(), n);
		int err = one_round();
		bool fired = !fail_nth_left();
		fail_nth_arm(NULL, 0);
		clean_round();
		if (err && err != -ENOMEM && err != -ENOSPC)
			ktest_fail(__FILE__, __LINE__, "failure of allocation %llu gives %d", n, err);
		if (!fired)
			break;
	}
	KCHECK_EQ(names_now(), before);
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
}

/* Walkers against renamers on all CPUs, in RCU mode only: a name that always exists is always found or the walk says -ECHILD. */
static s32 walkers;
static bool walk_stop;
static u64 found, again;
static DEFINE_WAIT_QUEUE(walk_end_wait);

static int note_inode(struct inode *i, struct mount *m, void *arg)
{
	return S_ISREG(i->mode) ? 0 : -EISDIR;
}

static int walker(void *arg)
{
	current->fs = fs_share(arg); /* kernel threads have no root of their own */
	while (!READ_ONCE(walk_stop)) {
		int err = path_lookup_rcu(HERE, ROOM "/d/always", 0, note_inode, NULL);
		if (!err)
			__atomic_fetch_add(&found, 1, __ATOMIC_RELAXED);
		else if (err == -ECHILD)
			__atomic_fetch_add(&again, 1, __ATOMIC_RELAXED);
		else
			ktest_fail(__FILE__, __LINE__, "a name that is always there: %d", err);
		cond_resched();
	}
	__atomic_fetch_sub(&walkers, 1, __ATOMIC_RELEASE);
	wake_up_all(&walk_end_wait);
	return 0;
}

KTEST(fs_walk_against_rename)
{
	char a[64], b[64];

	KCHECK_EQ(do_mkdirat(HERE, ROOM, 0755), 0);
	KCHECK_EQ(do_mkdirat(HERE, ROOM "/d", 0755), 0);
	KCHECK_EQ(make(ROOM "/d/always", "x"), 0);
	walk_stop = false;
	for (int i = 0; i < 3; i++) {
		__atomic_fetch_add(&walkers, 1, __ATOMIC_RELAXED);
		KCHECK(kthread_run(walker, current->fs, -1, "walker"));
	}
	for (int i = 0; i < 20000; i++) {
		snprintf(a, sizeof(a), ROOM "/d/n%d", i % 50);
		snprintf(b, sizeof(b), ROOM "/d/m%d", i % 37);
		make(a, "y");
		do_renameat2(HERE, a, HERE, i & 1 ? b : ROOM "/d/always", 0);
		if (i % 64 == 0)
			cond_resched();
	}
	walk_stop = true;
	wait_event(walk_end_wait, !__atomic_load_n(&walkers, __ATOMIC_ACQUIRE));
	KCHECK(found > 0);
	for (int i = 0; i < 50; i++) {
		snprintf(a, sizeof(a), ROOM "/d/n%d", i);
		do_unlinkat(HERE, a);
		snprintf(a, sizeof(a), ROOM "/d/m%d", i);
		do_unlinkat(HERE, a);
	}
	KCHECK_EQ(do_unlinkat(HERE, ROOM "/d/always"), 0);
	KCHECK_EQ(do_rmdirat(HERE, ROOM "/d"), 0);
	KCHECK_EQ(do_rmdirat(HERE, ROOM), 0);
}
