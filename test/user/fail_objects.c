// TIMEOUT: 120
// BOOT: --smp 4 --memory 1G
/*
 * System V objects, message queues, locks of files, leases, asynchronous I/O, terminals, pipes and the texts of /proc, with every allocation
 * made to fail in turn (fail.h). A message is queued or not, a semaphore's value is as the answer says, a lock is held or not.
 */
#include "fail.h"
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/uio.h>

static int fd = -1, fd2 = -1, id = -1, pair[2];

static int keep(int f)
{
	fd = f;
	return fail_of(f);
}
static int u_close(int err)
{
	return err ? 0 : close(fd);
}

/* ---- System V ---- */

static int c_shmget(void) { return fail_of(id = shmget(IPC_PRIVATE, 3 * P, 0600)); }
static int u_shmget(int err) { return err ? 0 : shmctl(id, IPC_RMID, NULL); }
static char *at;
static int c_shmat(void)
{
	at = shmat(id, NULL, 0);
	return fail_of((long)at);
}
static int u_shmat(int err)
{
	struct shmid_ds ds;
	int bad = shmctl(id, IPC_STAT, &ds) || ds.shm_nattch != !err;

	if (!err) {
		at[2 * P] = 1;
		bad |= shmdt(at);
	}
	return shmctl(id, IPC_RMID, NULL) || bad;
}
static int c_semget(void) { return fail_of(id = semget(IPC_PRIVATE, 3, 0600)); }
static int u_semget(int err) { return err ? 0 : semctl(id, 0, IPC_RMID); }
static int c_semop(void)
{
	struct sembuf op[70]; /* more than the ones kept on the stack */

	for (int i = 0; i < 70; i++)
		op[i] = (struct sembuf){ i % 3, 1, SEM_UNDO };
	return fail_of(semop(id, op, 70));
}
static int u_semop(int err)
{
	int v = semctl(id, 0, GETVAL) + semctl(id, 1, GETVAL) + semctl(id, 2, GETVAL);

	return semctl(id, 0, IPC_RMID) || v != (err ? 0 : 70);
}
/* The child's undo takes its 1 back when it leaves, or nothing was done. */
static int c_undo(void)
{
	struct sembuf op = { 0, 1, SEM_UNDO };

	return fail_of(semop(id, &op, 1));
}
static int u_undo(int err)
{
	int v = semctl(id, 0, GETVAL);

	return semctl(id, 0, IPC_RMID) || v != !err;
}
static int c_setall(void)
{
	unsigned short v[3] = { 4, 5, 6 };

	return fail_of(semctl(id, 0, SETALL, v));
}
static int u_setall(int err)
{
	int v = semctl(id, 0, GETVAL) + semctl(id, 1, GETVAL) + semctl(id, 2, GETVAL);

	return semctl(id, 0, IPC_RMID) || v != (err ? 0 : 15);
}
static int c_msgget(void) { return fail_of(id = msgget(IPC_PRIVATE, 0600)); }
static int u_msgget(int err) { return err ? 0 : msgctl(id, IPC_RMID, NULL); }
static struct { long type; char text[5000]; } message = { 1, "text" };
static int c_msgsnd(void) { return fail_of(msgsnd(id, &message, sizeof message.text, IPC_NOWAIT)); }
static int u_msgsnd(int err)
{
	struct msqid_ds ds;
	int bad = msgctl(id, IPC_STAT, &ds) || ds.msg_qnum != !err || ds.msg_cbytes != (err ? 0 : sizeof message.text);

	return msgctl(id, IPC_RMID, NULL) || bad;
}
/* ---- POSIX message queues ---- */

#define Q "/fail"
static struct mq_attr shape = { .mq_maxmsg = 4, .mq_msgsize = 3000 };
static int c_mq_open(void) { return keep(mq_open(Q, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &shape)); }
static int u_mq_open(int err)
{
	bool made = !mq_unlink(Q); /* Linux leaves the queue when there is no memory to open it */

	return err ? 0 : close(fd) || !made;
}
static int c_mq_send(void) { return fail_of(mq_send(fd, message.text, 3000, 1)); }
static int u_mq_send(int err)
{
	struct mq_attr a;
	int bad = mq_getattr(fd, &a) || a.mq_curmsgs != !err;

	return u_mq_open(0) || bad;
}
/* ---- locks and leases ---- */

#define FILE_ "/tmp/fail.lock"
static int set_file(void)
{
	int err = keep(open(FILE_, O_RDWR | O_CREAT, 0600));

	return err ? err : fail_of(fd2 = open(FILE_, O_RDWR));
}
static int drop_file(int bad)
{
	close(fd2);
	return unlink(FILE_) || close(fd) || bad;
}
static int lock(int f, int cmd, int type, off_t from, off_t n)
{
	struct flock l = { .l_type = type, .l_start = from, .l_len = n };

	return fail_of(fcntl(f, cmd, &l));
}
/* Whose is the byte, asked by another description? */
static bool is_locked(off_t from)
{
	struct flock l = { .l_type = F_WRLCK, .l_start = from, .l_len = 1 };

	return !fcntl(fd2, 36 /* F_OFD_GETLK */, &l) && l.l_type != F_UNLCK;
}
static int c_flock(void) { return fail_of(flock(fd, LOCK_EX | LOCK_NB)); }
static int u_flock(int err)
{
	bool got = !flock(fd2, LOCK_EX | LOCK_NB);

	return drop_file(got != !!err);
}
static int c_lock(void) { return lock(fd, F_SETLK, F_WRLCK, 0, 10); }
static int c_ofd_lock(void) { return lock(fd, 37 /* F_OFD_SETLK */, F_WRLCK, 0, 10); }
static int u_lock(int err) { return drop_file(is_locked(3) == !!err); }
static int set_locked(void)
{
	int err = set_file();

	return err ? err : lock(fd, F_SETLK, F_WRLCK, 0, 10);
}
static int c_unlock(void) { return lock(fd, F_SETLK, F_UNLCK, 4, 2); } /* parts it in two */
static int u_unlock(int err) { return drop_file(!is_locked(3) || is_locked(4) != !!err || !is_locked(6)); }
static int c_weaken(void) { return lock(fd, F_SETLK, F_RDLCK, 4, 2); }
static int u_weaken(int err)
{
	(void)err;
	return drop_file(!is_locked(3) || !is_locked(4) || !is_locked(6));
}
static int set_one(void) { return keep(open(FILE_, O_RDWR | O_CREAT, 0600)); }
static int c_lease(void) { return fail_of(fcntl(fd, F_SETLEASE, F_WRLCK)); }
static int u_lease(int err)
{
	bool held = fcntl(fd, F_GETLEASE) == F_WRLCK;

	return unlink(FILE_) || close(fd) || held == !!err;
}
static int set_directory(void) { return keep(open("/tmp", O_RDONLY | O_DIRECTORY)); }
static int c_dnotify(void) { return fail_of(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT)); }
static int set_pipe(void) { return fail_of(pipe(pair)); }
static int c_pipe(void) { return fail_of(pipe(pair)); }
static int u_pipe(int err) { return err ? 0 : close(pair[0]) || close(pair[1]); }
static int u_pipe_there(int err)
{
	(void)err;
	return u_pipe(0);
}
static int c_async(void) { return fail_of(fcntl(pair[0], F_SETFL, O_ASYNC)); }
static int c_resize(void) { return fail_of(fcntl(pair[0], F_SETPIPE_SZ, 1 << 18)); }
static int u_resize(int err)
{
	int size = fcntl(pair[0], F_GETPIPE_SZ);

	return u_pipe(0) || size != (err ? 1 << 16 : 1 << 18);
}
static int c_fill(void)
{
	long n;

	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	n = write(pair[1], &message, 5000);
	return n < 0 ? errno : 0;
}
static int c_tee(void)
{
	int other[2], err = fail_of(pipe(other));
	long n;

	if (err)
		return err;
	if (write(pair[1], "hello", 5) != 5)
		err = errno;
	else if ((n = tee(pair[0], other[1], 5, 0)) != 5)
		err = errno;
	else if ((n = vmsplice(other[1], &(struct iovec){ &message, 100 }, 1, 0)) < 0)
		err = errno;
	close(other[0]);
	close(other[1]);
	return err;
}

/* ---- asynchronous I/O ---- */

static aio_context_t aio;
static int c_setup(void)
{
	aio = 0;
	return fail_of(syscall(SYS_io_setup, 20, &aio));
}
static int u_setup(int err) { return err ? aio != 0 : syscall(SYS_io_destroy, aio); }
static int set_aio(void)
{
	int err = c_setup();

	return err ? err : keep(eventfd(0, 0));
}
static struct iocb io;
static int submit(int op)
{
	struct iocb *v[1] = { &io };

	io = (struct iocb){ .aio_lio_opcode = op, .aio_fildes = fd, .aio_buf = (unsigned long)&message, .aio_nbytes = 8, .aio_data = 5 };
	if (op == 5 /* poll */)
		io.aio_buf = 1, io.aio_nbytes = 0;
	return fail_of(syscall(SYS_io_submit, aio, 1, v));
}
static int c_submit_write(void)
{
	message.type = 1;
	return submit(IOCB_CMD_PWRITE);
}
static int c_submit_poll(void) { return submit(5); }
/* Its event comes, or none. */
static int u_submit(int err)
{
	struct io_event e;
	long n;

	if (io.aio_lio_opcode == 5 && !err && write(fd, &(uint64_t){ 1 }, 8) != 8)
		err = EIO;
	n = syscall(SYS_io_getevents, aio, !err, 1, &e, &(struct timespec){ 1, 0 });
	return syscall(SYS_io_destroy, aio) || close(fd) || n != !err;
}

/* ---- terminals ---- */

static int c_ptmx(void) { return keep(open("/dev/ptmx", O_RDWR | O_NOCTTY)); }
static int c_openpty(void)
{
	int err = 0, zero = 0, n;
	char name[32];

	TRY(fd = open("/dev/ptmx", O_RDWR | O_NOCTTY));
	TRY(ioctl(fd, TIOCSPTLCK, &zero));
	TRY(ioctl(fd, TIOCGPTN, &n));
	snprintf(name, sizeof name, "/dev/pts/%d", n);
	TRY(fd2 = open(name, O_RDWR | O_NOCTTY));
	close(fd2);
out:
	if (err)
		close(fd);
	return err;
}

/* ---- the texts of /proc ---- */

static const char *path;
static int c_read(void)
{
	static char text[8192];
	long n = 0;
	int err = 0, f;

	TRY(f = open(path, O_RDONLY));
	TRY(n = read(f, text, sizeof text));
	if (!n)
		err = EPROTO;
out:
	close(f);
	return err;
}
static int c_list(void)
{
	static char text[8192];
	int err = 0, f;

	TRY(f = open(path, O_RDONLY | O_DIRECTORY));
	TRY(syscall(SYS_getdents64, f, text, sizeof text));
out:
	close(f);
	return err;
}

/* A text that was read once and has grown a lot since. */
static int set_grown(void)
{
	static char text[8192];

	path = "/proc/self/maps";
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof text) < 0)
		return errno;
	at = mmap(NULL, 400 * P, PROT_READ, ANON, -1, 0);
	for (int i = 0; i < 400; i += 2)
		mprotect(at + i * P, P, RW);
	return 0;
}
static int c_reread(void)
{
	char c;

	return pread(fd, &c, 1, 0) == 1 ? 0 : errno;
}
static int u_reread(int err)
{
	char c;
	int bad = pread(fd, &c, 1, 10) != 1; /* the old text is no more, the new one can be made */

	(void)err;
	return munmap(at, 400 * P) || close(fd) || bad;
}

static const struct fail_case grown[] = {
	FAIL("text that has grown", set_grown, c_reread, u_reread),
};

static const struct fail_case sysv[] = {
	FAIL("shmget", NULL, c_shmget, u_shmget, .also = { ENOSPC }),
	FAIL("shmat", c_shmget, c_shmat, u_shmat),
	FAIL("semget", NULL, c_semget, u_semget, .also = { ENOSPC }),
	FAIL("semop", c_semget, c_semop, u_semop),
	FAIL("undo", c_semget, c_undo, u_undo, .child = true),
	FAIL("SETALL", c_semget, c_setall, u_setall, .loose = true),
	FAIL("msgget", NULL, c_msgget, u_msgget, .also = { ENOSPC }),
	FAIL("msgsnd", c_msgget, c_msgsnd, u_msgsnd),
};

static const struct fail_case queues[] = {
	FAIL("mq_open", NULL, c_mq_open, u_mq_open, .also = { ENOSPC }),
	FAIL("mq_send", c_mq_open, c_mq_send, u_mq_send),
};

static const struct fail_case locks[] = {
	FAIL("flock", set_file, c_flock, u_flock, .also = { ENOLCK }),
	FAIL("lock", set_file, c_lock, u_lock, .also = { ENOLCK }),
	FAIL("lock of the description", set_file, c_ofd_lock, u_lock, .also = { ENOLCK }),
	FAIL("unlock inside", set_locked, c_unlock, u_unlock, .also = { ENOLCK }),
	FAIL("weaken inside", set_locked, c_weaken, u_weaken, .also = { ENOLCK }),
	FAIL("lease", set_one, c_lease, u_lease),
};

static int u_dir(int err)
{
	(void)err;
	return close(fd);
}

static const struct fail_case files[] = {
	FAIL("F_NOTIFY", set_directory, c_dnotify, u_dir),
	FAIL("pipe", NULL, c_pipe, u_pipe),
	FAIL("O_ASYNC", set_pipe, c_async, u_pipe_there),
	FAIL("F_SETPIPE_SZ", set_pipe, c_resize, u_resize),
	FAIL("write to a pipe", set_pipe, c_fill, u_pipe_there, .also = { EFAULT }),
	FAIL("tee", set_pipe, c_tee, u_pipe_there),
	FAIL("io_setup", NULL, c_setup, u_setup, .also = { EAGAIN }),
	FAIL("io_submit", set_aio, c_submit_write, u_submit, .also = { EAGAIN }),
	FAIL("io_submit of a poll", set_aio, c_submit_poll, u_submit, .also = { EAGAIN }),
	FAIL("ptmx", NULL, c_ptmx, u_close, .also = { ENOSPC }),
	FAIL("openpty", NULL, c_openpty, u_close, .also = { ENOSPC }),
};

TEST(sysv_objects)
{
	FAIL_FAMILY(sysv);
}

TEST(message_queues)
{
	FAIL_FAMILY(queues);
}

TEST(locks_of_files)
{
	FAIL_FAMILY(locks);
}

TEST(other_files)
{
	FAIL_FAMILY(files);
}

TEST(texts)
{
	static const char *const names[] = { "/proc/self/maps", "/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/numa_maps",
		"/proc/self/status", "/proc/self/stat", "/proc/self/statm", "/proc/self/pagemap", "/proc/self/cmdline", "/proc/self/environ",
		"/proc/self/auxv", "/proc/self/mountinfo", "/proc/self/mounts", "/proc/self/limits", "/proc/self/fdinfo/0", "/proc/self/io",
		"/proc/self/pagetables", "/proc/meminfo", "/proc/vmstat", "/proc/slabinfo", "/proc/zoneinfo", "/proc/buddyinfo",
		"/proc/pagetypeinfo", "/proc/vmallocinfo", "/proc/interrupts", "/proc/stat", "/proc/cpuinfo", "/proc/kpagecount",
		"/proc/sysvipc/sem", "/proc/sys/kernel/hostname", "/sys/devices/system/node/node0/meminfo" };
	static const char *const dirs[] = { "/proc", "/proc/self/fd", "/proc/self/task", "/proc/self/map_files", "/proc/self/ns", "/proc/sys/vm",
		"/sys/devices/system/cpu", "/dev/pts" };
	struct fail_case read_it = FAIL("", NULL, c_read, NULL), list_it = FAIL("", NULL, c_list, NULL);

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		path = read_it.name = names[i];
		fail_case(&read_it);
	}
	for (unsigned i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		path = list_it.name = dirs[i];
		fail_case(&list_it);
	}
	FAIL_FAMILY(grown);
}

int main(int argc, char **argv)
{
	return fail_main(argc, argv);
}
