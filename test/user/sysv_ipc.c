// DEBUG: -
// VARIANTS: musl
/* System V semaphores, message queues and shared memory. */
#include "check.h"
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; };

TEST(semaphores)
{
	int id = semget(IPC_PRIVATE, 3, 0600), st;
	union semun u;
	unsigned short v[3] = { 1, 2, 3 };

	REQUIRE(id >= 0);
	u.array = v;
	CHECK_OK(semctl(id, 0, SETALL, u));
	CHECK_EQ(semctl(id, 2, GETVAL), 3);
	struct sembuf both[2] = { { 0, -1, 0 }, { 1, -3, IPC_NOWAIT } };
	CHECK_ERRNO(semop(id, both, 2), EAGAIN);
	CHECK_EQ(semctl(id, 0, GETVAL), 1); /* all or nothing */
	both[1].sem_op = -2;
	CHECK_OK(semop(id, both, 2));
	CHECK_EQ(semctl(id, 1, GETVAL), 0);
	struct sembuf far = { 9, 1, 0 };
	CHECK_ERRNO(semop(id, &far, 1), EFBIG);
	struct timespec t = { 0, 10000000 };
	struct sembuf down = { 0, -1, 0 };
	CHECK_ERRNO(semtimedop(id, &down, 1, &t), EAGAIN);
	pid_t p = fork();
	if (!p) {
		struct sembuf up = { 2, -1, SEM_UNDO };
		semop(id, &up, 1); /* 2, and back to 3 when we end */
		if (semctl(id, 2, GETVAL) != 2)
			_exit(1);
		struct sembuf wake = { 0, 1, 0 };
		usleep(20000);
		semop(id, &wake, 1);
		_exit(0);
	}
	CHECK_OK(semop(id, &down, 1));
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 0);
	CHECK_EQ(semctl(id, 2, GETVAL), 3);
	CHECK_EQ(semctl(id, 0, GETPID), getpid());
	struct semid_ds ds;
	u.buf = &ds;
	CHECK_OK(semctl(id, 0, IPC_STAT, u));
	CHECK_EQ(ds.sem_nsems, 3);
	p = fork();
	if (!p) {
		semop(id, &down, 1);
		_exit(errno);
	}
	usleep(20000);
	CHECK_EQ(semctl(id, 0, GETNCNT), 1);
	CHECK_OK(semctl(id, 0, IPC_RMID));
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(WEXITSTATUS(st), EIDRM);
	CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
}

TEST(messages)
{
	struct { long type; char text[32]; } m = { 3, "three" }, r;
	int id = msgget(0x1234, IPC_CREAT | IPC_EXCL | 0600), st;

	REQUIRE(id >= 0);
	CHECK_ERRNO(msgget(0x1234, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
	CHECK_EQ(msgget(0x1234, 0), id);
	CHECK_OK(msgsnd(id, &m, 6, 0));
	m.type = 1;
	strcpy(m.text, "one");
	CHECK_OK(msgsnd(id, &m, 4, 0));
	CHECK_ERRNO(msgrcv(id, &r, 2, 0, 0), E2BIG);
	CHECK_EQ(msgrcv(id, &r, 32, -2, 0), 4);
	CHECK_EQ(r.type, 1);
	CHECK_ERRNO(msgrcv(id, &r, 32, 1, IPC_NOWAIT), ENOMSG);
	CHECK_EQ(msgrcv(id, &r, 32, 0, 0), 6);
	CHECK_STR(r.text, "three");
	m.type = 0;
	CHECK_ERRNO(msgsnd(id, &m, 4, 0), EINVAL);
	pid_t p = fork();
	if (!p) {
		m.type = 7;
		usleep(20000);
		msgsnd(id, &m, 4, 0);
		_exit(0);
	}
	CHECK_EQ(msgrcv(id, &r, 32, 7, 0), 4);
	waitpid(p, &st, 0);
	struct msqid_ds ds;
	CHECK_OK(msgctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.msg_qnum, 0);
	CHECK_EQ(ds.msg_lspid, p);
	CHECK_OK(msgctl(id, IPC_RMID, NULL));
	CHECK_ERRNO(msgget(0x1234, 0), ENOENT);
}

TEST(shared_memory)
{
	int id = shmget(IPC_PRIVATE, 10000, 0600), st;
	struct shmid_ds ds;

	REQUIRE(id >= 0);
	char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
	REQUIRE(a != (void *)-1 && b != (void *)-1);
	strcpy(a, "seen");
	CHECK_STR(b, "seen");
	CHECK_KILLED(SIGSEGV, b[0] = 1);
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 2);
	CHECK_EQ(ds.shm_segsz, 10000);
	pid_t p = fork();
	if (!p) {
		struct shmid_ds d;
		if (shmctl(id, IPC_STAT, &d) || d.shm_nattch != 4)
			_exit(1);
		strcpy(a + 5000, "child");
		_exit(0);
	}
	CHECK_EQ(waitpid(p, &st, 0), p);
	CHECK_EQ(st, 0);
	CHECK_STR(b + 5000, "child");
	CHECK_OK(shmdt(b));
	CHECK_ERRNO(shmdt(b), EINVAL);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_STR(a, "seen"); /* until the last detach */
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_OK(shmdt(a));
	CHECK_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
}

/* What another mapping took of an attach is not the attach's any more: shmdt leaves it alone. */
TEST(detach_leaves_others)
{
	int id = shmget(IPC_PRIVATE, 16384, 0600);
	struct shmid_ds ds;

	REQUIRE(id >= 0);
	char *a = shmat(id, NULL, 0);
	REQUIRE(a != (void *)-1);
	REQUIRE(mmap(a + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == a + 4096);
	strcpy(a + 4096, "mine");
	CHECK_OK(munmap(a, 4096));
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 1);
	CHECK_OK(shmdt(a)); /* though its first page is gone */
	CHECK_STR(a + 4096, "mine");
	CHECK_KILLED(SIGSEGV, a[8192] = 1);
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_nattch, 0);
	CHECK_ERRNO(shmdt(a), EINVAL);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_OK(munmap(a + 4096, 4096));
}

/* /proc/PID/maps tells a segment by its key and its number. */
TEST(segment_in_maps)
{
	int id = shmget(0x5e9, 4096, IPC_CREAT | 0600);
	char *a = shmat(id, NULL, 0), line[256], want[64], name[64] = "", deleted[16] = "";
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start, ino = 0;

	REQUIRE(id >= 0 && a != (void *)-1 && f);
	snprintf(want, sizeof(want), "/SYSV%08x", 0x5e9);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%*x %*s %*x %*s %lu %63s %15s", &start, &ino, name, deleted) > 1 && start == (unsigned long)a)
			break;
	}
	fclose(f);
	CHECK_EQ(ino, (unsigned long)id);
	CHECK_STR(name, want);
	CHECK_STR(deleted, "(deleted)");
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
	CHECK_OK(shmdt(a));
}

TEST_FORK(segment_refusals)
{
	struct rlimit none = { 0, 0 };
	struct shmid_ds ds;
	int id;

	CHECK_ERRNO(shmget(IPC_PRIVATE, 1ul << 63, 0600), EINVAL);
	CHECK_OK(setgid(1000));
	CHECK_OK(setuid(1000));
	id = shmget(IPC_PRIVATE, 4096, 0600);
	REQUIRE(id >= 0);
	CHECK_ERRNO((long)shmat(id, (void *)-4096l, 0), EINVAL);
	CHECK_OK(shmctl(id, IPC_STAT, &ds));
	ds.shm_perm.uid = -1;
	CHECK_ERRNO(shmctl(id, IPC_SET, &ds), EINVAL);
	CHECK_OK(shmctl(id, SHM_LOCK, NULL));
	CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
	CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
	CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
	CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST_MAIN
