/*
 * Iterator over "newc" cpio archives in memory, as an initrd holds them: several archives one
 * after the other, with zero bytes between them. Pure; entries point into the caller's buffer.
 */
#ifndef QUOIN_LOADER_CPIO_H
#define QUOIN_LOADER_CPIO_H

#include <stdint.h>

enum cpio_status {
	CPIO_ENTRY,		/* *entry is filled */
	CPIO_END,		/* nothing left but zeroes */
	CPIO_FOREIGN,		/* between archives something else begins at reader->pos, a
				 * compressed archive perhaps: the caller may look and set pos */
	CPIO_BAD_MAGIC,		/* inside an archive: no header where one must be */
	CPIO_BAD_FIELD,		/* a header field is not hexadecimal, or the name has no end */
	CPIO_OVERRUN,		/* header, name or data reach past the end of the buffer */
};

struct cpio_entry {
	const char *name;	/* NUL terminated, not empty */
	uint32_t name_len;	/* without the NUL */
	const uint8_t *data;	/* file contents or symlink target, not NUL terminated */
	uint32_t data_len;
	uint32_t ino, mode, uid, gid, nlink, mtime;
	uint32_t dev_major, dev_minor;		/* with ino: the identity of hard links */
	uint32_t rdev_major, rdev_minor;
};

struct cpio_reader {
	const uint8_t *buf;
	uint64_t len;
	uint64_t pos;		/* next byte to read; names the place after an error */
	uint64_t base;		/* start of the current archive: padding counts from here */
	uint32_t in_archive;
};

/* Start reading `len` bytes at `buf`. */
void cpio_init(struct cpio_reader *r, const void *buf, uint64_t len);

/*
 * Advance to the next entry; trailers and padding are passed over.
 * => after an error the reader stays where it is and gives the same error again
 */
enum cpio_status cpio_next(struct cpio_reader *r, struct cpio_entry *entry);

/* A short reason for people: "bad header field". */
const char *cpio_status_text(enum cpio_status status);

#endif
