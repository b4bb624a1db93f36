// TIMEOUT: 60
/* mm_numa on a machine with one node: the calls work and refuse the same. */
#include "mm_numa.c"
