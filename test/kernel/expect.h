/* A checker must find what is wrong, and nothing when it is right again. */
#ifndef TEST_KERNEL_EXPECT_H
#define TEST_KERNEL_EXPECT_H

#include <kernel/ktest.h>
#include <kernel/printk.h>

/* Damages one field for the time of a check. */
#define EXPECT_COMPLAINT(field, wrong, check)                                       \
	do {                                                                        \
		__typeof__(field) right_ = (field);                                 \
		pr_notice("check_test: %s is made wrong\n", #field);                \
		(field) = (__typeof__(field))(wrong);                               \
		u64 found_ = (check);                                               \
		(field) = right_;                                                   \
		if (!found_)                                                        \
			ktest_fail(__FILE__, __LINE__, "%s was wrong and %s did not find it", #field, #check); \
		KCHECK_EQ(check, 0);                                                \
	} while (0)

#endif
