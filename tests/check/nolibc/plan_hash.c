/* plan_hash.c - tests/test_plan_hash.c for machines without a libc: 0 when the plans are those of every
   other machine. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "tests/support/test.h"
#include "tests/support/planning.h"
#include "tests/support/random_problem.h"
#include "tests/support/share_cases.h"
#include "tests/support/transfer_cases.h"
#include "tests/support/plan_hash.h"
#include "tests/support/share_hash.h"
#include "tests/support/transfer_hash.h"

int plan_hash_differs(void);
int plan_hash_differs(void)
{
#ifdef FEW
    CHECK(hash_random_problems(HASH_PROBLEMS_FEW) == HASH_EXPECTED_FEW, "few");
    CHECK(hash_shares(HASH_SHARES_FEW) == HASH_SHARES_EXPECTED_FEW, "few shares");
    CHECK(hash_transfers(HASH_TRANSFERS_FEW) == HASH_TRANSFERS_EXPECTED_FEW, "few transfers");
#else
    CHECK(hash_random_problems(HASH_PROBLEMS) == HASH_EXPECTED, "all");
    CHECK(hash_shares(HASH_SHARES) == HASH_SHARES_EXPECTED, "all shares");
    CHECK(hash_transfers(HASH_TRANSFERS) == HASH_TRANSFERS_EXPECTED, "all transfers");
#endif
    return test_failed != 0 || test_passed == 0;
}
