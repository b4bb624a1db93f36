/* hugetlbfs: files whose pages come from a pool of huge pages (mm/hugetlb.h). */
#ifndef FS_HUGETLBFS_H
#define FS_HUGETLBFS_H

void hugetlbfs_init(void); /* registers the file system. => pools exist */

#endif
