// BOOT: --smp 4 --memory 1G --numa 4
// TIMEOUT: 60
/* mm_numa on four nodes. */
#include "mm_numa.c"
