/* What uname(2) tells. nodename and domainname change under no lock: readers may see a torn name, as each is one string copy. */
#ifndef PROC_UTS_H
#define PROC_UTS_H

#include <lib/types.h>

struct uts_name { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };
extern struct uts_name uts_name;

#endif
