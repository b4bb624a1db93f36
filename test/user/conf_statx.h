/*
 * conf_statx.h - struct statx by itself: <linux/stat.h> and <sys/stat.h> do not go together.
 */
#ifndef CONF_STATX_H
#define CONF_STATX_H

#include <stdint.h>

struct conf_statx {
	uint32_t stx_mask, stx_blksize;
	uint64_t stx_attributes;
	uint32_t stx_nlink, stx_uid, stx_gid;
	uint16_t stx_mode, pad1;
	uint64_t stx_ino, stx_size, stx_blocks, stx_attributes_mask;
	struct { int64_t sec; uint32_t nsec; int32_t pad; } stx_atime, stx_btime, stx_ctime, stx_mtime;
	uint32_t stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor;
	uint64_t stx_mnt_id, more[13];
};

#endif
