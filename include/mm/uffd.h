/*
 * userfaultfd: a program's own pager. Faults in registered ranges become messages of a file; whoever reads it fills the
 * pages (copy, zero, continue) or lifts the write protection and lets the faulting thread go on. mm/uffd.c has the theory.
 */
#ifndef MM_UFFD_H
#define MM_UFFD_H

#include <kernel/wait.h>
#include <mm/mm.h>

/* What a reader gets; Linux's struct uffd_msg. */
struct uffd_msg {
	u8 event;
	u8 reserved1;
	u16 reserved2;
	u32 reserved3;
	union {
		struct { u64 flags, address; u32 ptid; } pagefault;
		struct { u32 ufd; } fork;
		struct { u64 from, to, len; } remap;
		struct { u64 start, end; } remove;
		u64 words[3];
	};
};
_Static_assert(sizeof(struct uffd_msg) == 32, "ABI");

#define UFFD_EVENT_PAGEFAULT 0x12
#define UFFD_EVENT_FORK 0x13
#define UFFD_EVENT_REMAP 0x14
#define UFFD_EVENT_REMOVE 0x15
#define UFFD_EVENT_UNMAP 0x16
#define UFFD_PAGEFAULT_FLAG_WRITE 1u
#define UFFD_PAGEFAULT_FLAG_WP 2u
#define UFFD_PAGEFAULT_FLAG_MINOR 4u

#define UFFD_FEATURE_PAGEFAULT_FLAG_WP (1u << 0)
#define UFFD_FEATURE_EVENT_FORK (1u << 1)
#define UFFD_FEATURE_EVENT_REMAP (1u << 2)
#define UFFD_FEATURE_EVENT_REMOVE (1u << 3)
#define UFFD_FEATURE_MISSING_HUGETLBFS (1u << 4)
#define UFFD_FEATURE_MISSING_SHMEM (1u << 5)
#define UFFD_FEATURE_EVENT_UNMAP (1u << 6)
#define UFFD_FEATURE_SIGBUS (1u << 7)
#define UFFD_FEATURE_THREAD_ID (1u << 8)
#define UFFD_FEATURE_MINOR_HUGETLBFS (1u << 9)
#define UFFD_FEATURE_MINOR_SHMEM (1u << 10)
#define UFFD_FEATURE_EXACT_ADDRESS (1u << 11)
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1u << 12)
#define UFFD_FEATURES 0x1fffu /* all of the above: all that Linux 6.1 has */
#define UFFD_INITIALIZED (1u << 31) /* UFFDIO_API was called; no feature has this bit */
#define UFFD_USER_MODE_ONLY 1u /* in uffd->flags, beside O_* */

#define VM_UFFD (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR)

struct uffd {
	s32 refs; /* (a) the file, sleepers, messages about it */
	s32 changing; /* (a) changes of the address space the reader was not told of yet: filling says EAGAIN */
	struct mm *mm; /* (I) counted, not used: its contents may be gone */
	u32 flags; /* (I) */
	u32 features; /* (a) set once */
	bool released; /* (lock to set) the file is closed */
	spinlock_t lock;
	struct list_head pending, seen, events; /* (lock) struct uffd_wait: faults not yet read, faults read, events not yet read */
	wait_queue_t fd_wait; /* readers and pollers */
};

/* A new context of one reference for @mm, or NULL. */
struct uffd *uffd_create(struct mm *mm, u32 flags, u32 features);
void uffd_put(struct uffd *u);
/* The file is closed: its ranges are plain memory again, sleepers go on. Drops the file's reference. => may sleep */
void uffd_release(struct uffd *u);
bool uffd_has_message(struct uffd *u);
/* Takes the next message. False: none. A fork message also gives the child's context (referenced): put a descriptor for it into
 * *m, then uffd_fork_taken, which wakes the forking thread; @ok false puts the message back. */
bool uffd_take_message(struct uffd *u, struct uffd_msg *m, struct uffd **fork);
void uffd_fork_taken(struct uffd *u, struct uffd *fork, bool ok);

/* Ranges. => page-aligned and below TASK_SIZE_MAX. 0 or -errno; *pool: some of it are huge pages of a pool. */
int uffd_register(struct uffd *u, u64 start, u64 end, u64 vmflags, bool *pool);
int uffd_unregister(struct uffd *u, u64 start, u64 end);
void uffd_wake(struct uffd *u, u64 start, u64 end);

/* Filling. Bytes done, or -errno when none were. => takes m of the context's mm; may fault on @src */
enum uffd_fill { UFFD_COPY, UFFD_ZERO, UFFD_CONTINUE };
s64 uffd_fill(struct uffd *u, enum uffd_fill kind, u64 dst, u64 src, u64 len, bool wp);
int uffd_protect(struct uffd *u, u64 start, u64 len, bool wp);
/* Inside: the registered VMA all of the range lies in, or NULL; is a filling allowed now? => m read */
struct vma *uffd_target(struct mm *mm, u64 start, u64 len);
int uffd_check_target(struct uffd *u, enum uffd_fill kind, u64 dst, u64 len, bool wp, struct vma **vp);
/* One page of a pool, of *size. 0 or -errno. => no locks */
int uffd_fill_pool(struct uffd *u, enum uffd_fill kind, u64 dst, u64 src, u64 len, bool wp, u64 *size);

/* Hooks. uffd_fault: the fault waits for its page. FR_SIGBUS with m still held, or FR_UNLOCKED: m was released. => m read */
int uffd_fault(struct fault *f, u64 reason);
/* A missing entry of a registered shared memory object. FR_OK: go on as usual; else as uffd_fault. => m read */
int uffd_file_fault(struct fault *f);
/* The fault of an entry that is neither empty nor maps a page: a marker. FR_*, as uffd_fault. => m read */
int uffd_marker_fault(struct fault *f, pte_t *entry, pte_t e);
/* fork: the protection of @from that its entries did not bring to @to. 0 or -ENOMEM. => m write, nobody knows the child */
int uffd_copy_marks(struct vma *to, struct vma *from);
/* Clears the protection bits, and markers, of the entries in [start, end). => m write, or nobody else knows the mm */
void uffd_strip(struct vma *v, u64 start, u64 end);
void uffd_clear_vma(struct vma *v); /* no longer registered. => m write */
int uffd_unmap_prep(struct mm *mm, struct vma *v, u64 start, u64 end); /* 0 or -ENOMEM. => m write; the unmapping cannot fail afterwards */
int uffd_remap(struct vma *new, u64 from, u64 len); /* @new has what was at @from. 0 or -ENOMEM: not registered any more */
/* Tells the reader, who may then change the range; m is released meanwhile and taken again. => m read */
void uffd_remove(struct vma *v, u64 start, u64 end);
int uffd_fork(struct vma *n, struct mm *child); /* n: the child's copy */
void uffd_fork_done(struct mm *child, bool ok); /* after the parent's m was released: waits for the readers */
void uffd_tell(struct mm *mm); /* sends what mm->uffd_pending has. => no locks */

/* Releases m, then tells readers what was unmapped or moved under it. */
static inline void mm_unlock_write(struct mm *mm)
{
	if (unlikely(mm->uffd_pending)) {
		uffd_tell(mm);
		return;
	}
	mm_up_write(mm);
}

/* Door to proc: number of the running task for messages; -1 when it is on its way out and must not wait. */
s32 uffd_current_id(void);

#endif
