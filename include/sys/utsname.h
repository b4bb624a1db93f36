/* uname(2): also read by /proc/sys/kernel and /proc/version. */
#ifndef SYS_UTSNAME_H
#define SYS_UTSNAME_H

struct utsname { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };
extern struct utsname uts;

#endif
