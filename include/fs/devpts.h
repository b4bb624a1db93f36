/* devpts: one node per pseudo terminal, in every mount of it (there is one instance). */
#ifndef FS_DEVPTS_H
#define FS_DEVPTS_H

#include <lib/types.h>

void devpts_init(void); /* registers the file system */
int devpts_add(u32 index, u64 rdev); /* owned by the running task's fs ids, mode 0620 */
void devpts_remove(u32 index);

#endif
