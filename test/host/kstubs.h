/* kstubs.h - see kstubs.c. */
#ifndef TEST_HOST_KSTUBS_H
#define TEST_HOST_KSTUBS_H

#include "check.h"

/* Messages above it (LOG_*) are not printed. */
extern int stub_log_level;

#endif
