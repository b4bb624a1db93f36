/* Structures of the file system calls. Layouts are Linux's x86-64 ABI. */
#ifndef UAPI_FSABI_H
#define UAPI_FSABI_H

#include <lib/types.h>

struct ustat64 { /* struct stat */
	u64 st_dev, st_ino, st_nlink;
	u32 st_mode, st_uid, st_gid, pad0;
	u64 st_rdev;
	s64 st_size, st_blksize, st_blocks;
	u64 st_atime, st_atime_nsec, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec;
	s64 unused[3];
};
_Static_assert(sizeof(struct ustat64) == 144, "struct stat");

struct statx_ts { s64 tv_sec; u32 tv_nsec; s32 pad; };
struct statx_k {
	u32 stx_mask, stx_blksize;
	u64 stx_attributes;
	u32 stx_nlink, stx_uid, stx_gid;
	u16 stx_mode, pad0;
	u64 stx_ino, stx_size, stx_blocks, stx_attributes_mask;
	struct statx_ts stx_atime, stx_btime, stx_ctime, stx_mtime;
	u32 stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor;
	u64 stx_mnt_id;
	u32 stx_dio_mem_align, stx_dio_offset_align;
	u64 spare[12];
};
_Static_assert(sizeof(struct statx_k) == 256, "struct statx");
#define STATX_BASIC_STATS 0x7ffu
#define STATX_BTIME 0x800u
#define STATX_MNT_ID 0x1000u
#define STATX_RESERVED 0x80000000u
#define STATX_ATTR_IMMUTABLE 0x10u
#define STATX_ATTR_APPEND 0x20u
#define STATX_ATTR_MOUNT_ROOT 0x2000u
#define AT_STATX_FORCE_SYNC 0x2000
#define AT_STATX_DONT_SYNC 0x4000
#define AT_STATX_SYNC_TYPE 0x6000
#define AT_RECURSIVE 0x8000

struct statfs_k {
	s64 f_type, f_bsize;
	u64 f_blocks, f_bfree, f_bavail, f_files, f_ffree;
	s32 f_fsid[2];
	s64 f_namelen, f_frsize, f_flags, f_spare[4];
};
_Static_assert(sizeof(struct statfs_k) == 120, "struct statfs");

struct flock_k { s16 l_type, l_whence; s32 pad; s64 l_start, l_len; s32 l_pid, pad2; };
_Static_assert(sizeof(struct flock_k) == 32, "struct flock");
struct f_owner_ex_k { s32 type, pid; };
#define F_OWNER_TID 0
#define F_OWNER_PID 1
#define F_OWNER_PGRP 2
#define F_EXLCK 4
#define F_SHLCK 8
#define LOCK_MAND 32

struct open_how { u64 flags, mode, resolve; };
#define RESOLVE_NO_XDEV 1
#define RESOLVE_NO_MAGICLINKS 2
#define RESOLVE_NO_SYMLINKS 4
#define RESOLVE_BENEATH 8
#define RESOLVE_IN_ROOT 16
#define RESOLVE_CACHED 32

struct timespec_k { s64 sec, nsec; };
#define UTIME_NOW ((1l << 30) - 1l)
#define UTIME_OMIT ((1l << 30) - 2l)

#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4
#define RWF_NOWAIT 8
#define RWF_APPEND 16
#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_MORE 4
#define SPLICE_F_GIFT 8
#define CLOSE_RANGE_UNSHARE 2
#define CLOSE_RANGE_CLOEXEC 4
#define XATTR_CREATE 1
#define XATTR_REPLACE 2
#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536
#define XATTR_LIST_MAX 65536

#define FIONBIO 0x5421
#define FIONREAD 0x541b
#define FIOCLEX 0x5451
#define FIONCLEX 0x5450
#define FIOASYNC 0x5452
#define FIOQSIZE 0x5460
#define PATH_MAX 4096
#define NAME_MAX 255
#define MAX_RW_COUNT (0x7fffffffull & ~4095ull)
#define UIO_MAXIOV 1024

#endif
