// SOURCES: test/host/phys_machine.c
/* The same with objects going through the magazines, as in a kernel without object checking. */
#define SLABDEBUG "off"
#include "physmem_test.c"
