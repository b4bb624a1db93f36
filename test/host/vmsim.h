/*
 * vmsim.h - included before everything else (CFLAGS -include) when the virtual half of mm/ is compiled for the host: the page
 * array and the direct map become arrays of the test program, so that struct page and page tables are real and only the
 * CPU is simulated.
 */
#ifndef TEST_HOST_VMSIM_H
#define TEST_HOST_VMSIM_H

#include "x86/layout.h"
#undef PAGE_ARRAY_BASE
extern char sim_page_array[];
#define PAGE_ARRAY_BASE ((unsigned long)sim_page_array)

#endif
