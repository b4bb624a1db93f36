/*
 * sysfuzz_calls.h - which calls sysfuzz makes, and of what kind each argument is:
 *
 *	f file descriptor	d directory descriptor or AT_FDCWD	p pointer	P pointer, or NULL half the time
 *	s path			l length				n small number	b flags: some random bits
 *	x anything		i process or thread			g signal	t timespec or timeval
 *	v iovec array		c number of them			a address of pages	L length in pages
 *	o offset		k clock					m file mode	u user or group
 *	A advice		D mremap/mmap flags			R protection	q fcntl command
 *	I ioctl request		F futex operation			C prctl option	O open flags
 *	Q clone flags		K key or id of System V IPC		T ptrace request	S socket family	y socket type
 *	r resource		z bit mask of CPUs or nodes (pointer to 8 bytes)
 *	E epoll_ctl operation	M message header			N name of a message queue, a memory object, an attribute
 *	0 zero
 *
 * A name twice in the table comes twice as often. Calls that only root may make with effect, and that would end the test rather than find
 * anything (reboot, the clocks), are made by the unprivileged children only.
 */
#ifndef SYSFUZZ_CALLS_H
#define SYSFUZZ_CALLS_H

#include <sys/syscall.h>

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

struct call {
	const char *name;
	short nr;
	bool root_never;
	const char *args;
};
#define C(name, args) { #name, SYS_##name, false, args }
#define U(name, args) { #name, SYS_##name, true, args }

static const struct call calls[] = {
	/* memory: more than once, it has most state */
	C(mmap, "aLRDfo"), C(mmap, "aLRDfo"), C(mmap, "aLRDfo"), C(munmap, "aL"), C(munmap, "aL"), C(mprotect, "aLR"),
	C(mprotect, "aLR"), C(mremap, "aLLDa"), C(mremap, "aLLDa"), C(madvise, "aLA"), C(madvise, "aLA"), C(madvise, "aLA"),
	C(brk, "x"), C(msync, "aLb"), C(mincore, "aLp"), C(mlock, "aL"), C(mlock2, "aLb"), C(munlock, "aL"), C(mlockall, "b"),
	C(munlockall, ""), C(remap_file_pages, "aL0nb"), C(pkey_alloc, "0n"), C(pkey_free, "n"), C(pkey_mprotect, "aLRn"),
	C(mbind, "aLnzxb"), C(set_mempolicy, "nzx"), C(get_mempolicy, "PPxab"), C(migrate_pages, "ixzz"), C(move_pages, "icppPb"),
	C(set_mempolicy_home_node, "aLn0"), C(process_vm_readv, "ivcvc0"), C(process_vm_writev, "ivcvc0"), C(process_madvise, "fvcA0"),
	C(process_mrelease, "f0"), C(memfd_create, "Nb"), C(memfd_secret, "b"), C(userfaultfd, "b"), C(membarrier, "bbn"),
	C(personality, "x"), C(modify_ldt, "npl"), C(arch_prctl, "xp"), C(shmget, "Klb"), C(shmat, "Kab"), C(shmat, "Kab"), C(shmdt, "a"),
	C(shmctl, "KnP"),
	/* files */
	C(read, "fpl"), C(read, "fpl"), C(write, "fpl"), C(write, "fpl"), C(open, "sOm"), C(openat, "dsOm"), C(openat2, "dspl"), C(close, "f"),
	C(creat, "sm"), C(stat, "sp"), C(lstat, "sp"), C(fstat, "fp"), C(newfstatat, "dspb"), C(statx, "dsbbp"), C(lseek, "fon"),
	C(pread64, "fplo"), C(pwrite64, "fplo"), C(readv, "fvc"), C(writev, "fvc"), C(preadv, "fvcoo"), C(pwritev, "fvcoo"),
	C(preadv2, "fvcoob"), C(pwritev2, "fvcoob"), C(access, "sn"), C(faccessat2, "dsnb"), C(pipe, "p"), C(pipe2, "pb"),
	C(dup, "f"), C(dup2, "ff"), C(dup3, "ffb"), C(close_range, "ffb"), C(fcntl, "fqx"), C(fcntl, "fqp"), C(fcntl, "fqn"), C(flock, "fn"),
	C(ioctl, "fIp"), C(ioctl, "fIp"), C(ioctl, "fIn"), C(fsync, "f"), C(fdatasync, "f"), C(syncfs, "f"), C(sync_file_range, "foob"),
	C(truncate, "so"), C(ftruncate, "fo"), C(fallocate, "fboo"), C(fadvise64, "foon"), C(readahead, "fol"), C(getdents, "fpl"),
	C(getdents64, "fpl"), C(getcwd, "pl"), C(chdir, "s"), C(fchdir, "f"), C(rename, "ss"), C(renameat2, "dsdsb"), C(mkdir, "sm"),
	C(mkdirat, "dsm"), C(rmdir, "s"), C(link, "ss"), C(linkat, "dsdsb"), C(unlink, "s"), C(unlinkat, "dsb"), C(symlink, "ss"),
	C(symlinkat, "sds"), C(readlink, "spl"), C(readlinkat, "dspl"), C(chmod, "sm"), C(fchmod, "fm"), C(fchmodat, "dsm"), C(chown, "suu"),
	C(fchown, "fuu"), C(lchown, "suu"), C(fchownat, "dsuub"), C(umask, "m"), C(mknod, "smn"), C(mknodat, "dsmn"), C(utime, "sP"),
	C(utimes, "sP"), C(utimensat, "dsPb"), C(futimesat, "dsP"), C(statfs, "sp"), C(fstatfs, "fp"), C(ustat, "np"), C(sysfs, "npp"),
	C(setxattr, "sNplb"), C(getxattr, "sNpl"), C(fsetxattr, "fNplb"), C(fgetxattr, "fNpl"), C(listxattr, "spl"), C(flistxattr, "fpl"),
	C(removexattr, "sN"), C(fremovexattr, "fN"), C(name_to_handle_at, "dsppb"), C(open_by_handle_at, "dpO"), C(chroot, "s"),
	U(mount, "sssbP"), U(umount2, "sb"), U(pivot_root, "ss"), C(open_tree, "dsb"), U(move_mount, "dsdsb"), C(fsopen, "Nb"),
	C(fsconfig, "fnppn"), C(fsmount, "fbb"), C(fspick, "dsb"), U(mount_setattr, "dsbpl"), C(sendfile, "ffPl"), C(splice, "fPfPlb"),
	C(tee, "fflb"), C(vmsplice, "fvcb"), C(copy_file_range, "fPfPlb"), C(inotify_init1, "b"), C(inotify_add_watch, "fsb"),
	C(inotify_rm_watch, "fn"), C(select, "nPPPt"), C(pselect6, "nPPPtP"), C(poll, "pct"), C(ppoll, "pctPl"), C(epoll_create1, "b"),
	C(epoll_ctl, "fEfp"), C(epoll_ctl, "fEfp"), C(epoll_wait, "fpnn"), C(epoll_pwait, "fpnnPl"), C(epoll_pwait2, "fpntPl"),
	C(eventfd2, "nb"), C(signalfd4, "fplb"), C(timerfd_create, "kb"), C(timerfd_settime, "fbpP"), C(timerfd_gettime, "fp"),
	C(io_setup, "np"), C(io_submit, "acp"), C(io_getevents, "annpt"), C(io_cancel, "app"), C(io_destroy, "a"), C(mq_open, "NOmP"),
	C(mq_unlink, "N"), C(mq_timedsend, "fplnt"), C(mq_timedreceive, "fplPt"), C(mq_notify, "fP"), C(mq_getsetattr, "fPP"),
	C(fanotify_init, "bb"), C(quotactl, "nsnp"), C(sync, ""),
	/* sockets */
	C(socket, "Syn"), C(socketpair, "Synp"), C(connect, "fpl"), C(accept4, "fPPb"), C(bind, "fpl"), C(listen, "fn"), C(sendto, "fplbPl"),
	C(recvfrom, "fplbPP"), C(sendmsg, "fMb"), C(sendmsg, "fMb"), C(recvmsg, "fMb"), C(recvmsg, "fMb"), C(sendmmsg, "fMcb"), C(recvmmsg, "fMcbt"),
	C(shutdown, "fn"), C(getsockname, "fpp"), C(getpeername, "fpp"), C(setsockopt, "fnnpl"), C(getsockopt, "fnnpp"),
	/* processes and signals */
	C(clone, "QPPPP"), C(clone, "QPPPP"), C(fork, ""), C(vfork, ""), C(clone3, "pl"), C(execve, "sPP"), C(execveat, "dsPPb"), C(exit, "n"),
	C(wait4, "iPbP"), C(waitid, "niPbP"), C(kill, "ig"), C(tkill, "ig"), C(tgkill, "iig"), C(pidfd_open, "ib"), C(pidfd_send_signal, "fgP0"),
	C(pidfd_getfd, "ff0"), C(rt_sigaction, "gPPl"), C(rt_sigprocmask, "nPPl"), C(rt_sigpending, "pl"), C(rt_sigtimedwait, "pPtl"),
	C(rt_sigqueueinfo, "igp"), C(rt_tgsigqueueinfo, "iigp"), C(sigaltstack, "PP"), C(getpriority, "ni"), C(setpriority, "nin"),
	C(sched_setparam, "ip"), C(sched_getparam, "ip"), C(sched_setscheduler, "inp"), C(sched_setattr, "ipb"), C(sched_getattr, "iplb"),
	C(sched_setaffinity, "ilz"), C(sched_getaffinity, "ilp"), C(sched_rr_get_interval, "ip"), C(sched_yield, ""), C(getrlimit, "rp"),
	C(setrlimit, "rp"), C(prlimit64, "irPP"), C(getrusage, "np"), C(times, "p"), C(ptrace, "Tiap"), C(ptrace, "Tiap"), C(setpgid, "ii"),
	C(getpgid, "i"), C(setsid, ""), C(getsid, "i"), C(setuid, "u"), C(setgid, "u"), C(setreuid, "uu"), C(setresuid, "uuu"),
	C(setresgid, "uuu"), C(getgroups, "np"), C(setgroups, "np"), C(setfsuid, "u"), C(capget, "pp"), C(capset, "pp"), C(prctl, "Cxxxx"),
	C(prctl, "Cpnnn"), C(prctl, "Cnnnn"), C(seccomp, "nbp"), C(unshare, "Q"), C(setns, "fb"), C(kcmp, "iinff"), C(set_tid_address, "p"),
	C(set_robust_list, "pl"), C(get_robust_list, "ipp"), C(rseq, "plbx"), C(ioprio_set, "nin"), C(ioprio_get, "ni"),
	C(restart_syscall, ""), C(getcpu, "PPP"), C(uname, "p"), C(sysinfo, "p"), C(getrandom, "plb"), C(syslog, "npl"), U(sethostname, "pl"),
	/* time */
	C(futex, "pFntpn"), C(futex, "pFntpn"), C(futex, "pFnnpn"), C(futex_waitv, "pcbtk"), C(nanosleep, "tP"), C(clock_nanosleep, "kbtP"),
	C(clock_gettime, "kp"), C(clock_getres, "kp"), U(clock_settime, "kt"), U(settimeofday, "tP"), U(adjtimex, "p"), U(clock_adjtime, "kp"),
	C(gettimeofday, "PP"), C(getitimer, "np"), C(setitimer, "npP"), C(alarm, "n"), C(timer_create, "kPp"), C(timer_settime, "nbpP"),
	C(timer_gettime, "np"), C(timer_getoverrun, "n"), C(timer_delete, "n"),
	/* System V IPC */
	C(semget, "Knb"), C(semop, "Kpc"), C(semtimedop, "Kpct"), C(semctl, "KnnP"), C(msgget, "Kb"), C(msgsnd, "Kplb"), C(msgrcv, "Kplnb"),
	C(msgctl, "KnP"),
	/* refused, or not there: refused cleanly */
	U(reboot, "xxxp"), U(swapon, "sb"), U(swapoff, "s"), C(iopl, "n"), C(ioperm, "lln"), U(init_module, "pls"), U(kexec_load, "xlpb"),
	C(bpf, "npl"), C(perf_event_open, "pinfb"), C(io_uring_setup, "np"), C(add_key, "ssplx"), C(keyctl, "nxxxx"), C(vhangup, ""),
	C(uselib, "s"), C(acct, "P"), C(lookup_dcookie, "xpl"), C(rt_sigsuspend, "pl"), C(pause, ""),
};
#undef C
#undef U
#define NCALLS (sizeof calls / sizeof *calls)

#endif
