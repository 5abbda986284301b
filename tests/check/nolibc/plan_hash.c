/* plan_hash.c - tests/test_plan_hash.c for machines without a libc: 0 when the plans are those of every
   other machine. HASH_SIZE says over how many cases. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "tests/support/test.h"
#include "tests/support/hashes.h"

int plan_hash_differs(void);
int plan_hash_differs(void)
{
    check_hashes(HASH_SIZE);
    return test_failed != 0 || test_passed == 0;
}
