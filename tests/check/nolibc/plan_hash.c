/* plan_hash.c - tests/test_plan_hash.c for machines without a libc: 0 when the plans are those of every
   other machine. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "tests/support/test.h"
#include "tests/support/planning.h"
#include "tests/support/random_problem.h"
#include "tests/support/share_cases.h"
#include "tests/support/transfer_cases.h"
#include "tests/support/follow_oracle.h"
#include "tests/support/follow_cases.h"
#include "tests/support/switch_cases.h"
#include "tests/support/plan_hash.h"
#include "tests/support/share_hash.h"
#include "tests/support/transfer_hash.h"
#include "tests/support/follow_hash.h"
#include "tests/support/switch_hash.h"

int plan_hash_differs(void);
int plan_hash_differs(void)
{
#ifdef FEW
    CHECK(hash_random_problems(HASH_PROBLEMS_FEW) == HASH_EXPECTED_FEW, "few");
    CHECK(hash_shares(HASH_SHARES_FEW) == HASH_SHARES_EXPECTED_FEW, "few shares");
    CHECK(hash_transfers(HASH_TRANSFERS_FEW) == HASH_TRANSFERS_EXPECTED_FEW, "few transfers");
    CHECK(hash_follow(HASH_FOLLOWED_FEW) == HASH_FOLLOWED_EXPECTED_FEW, "few from the plan in force");
    CHECK(hash_switches(HASH_SWITCHES_FEW) == HASH_SWITCHES_EXPECTED_FEW, "few switches");
#else
    CHECK(hash_random_problems(HASH_PROBLEMS) == HASH_EXPECTED, "all");
    CHECK(hash_shares(HASH_SHARES) == HASH_SHARES_EXPECTED, "all shares");
    CHECK(hash_transfers(HASH_TRANSFERS) == HASH_TRANSFERS_EXPECTED, "all transfers");
    CHECK(hash_follow(HASH_FOLLOWED) == HASH_FOLLOWED_EXPECTED, "all from the plan in force");
    CHECK(hash_switches(HASH_SWITCHES) == HASH_SWITCHES_EXPECTED, "all switches");
#endif
    return test_failed != 0 || test_passed == 0;
}
