/* test_plan_hash.c - one hash over the plans of every preset on random problems, one over exact shares, one over
   transfers, one over plans made from the plan in force and one over what switches gain. They must be the same from every
   compiler, on every processor and at every optimisation level. */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "share_cases.h"
#include "transfer_cases.h"
#include "follow_oracle.h"
#include "follow_cases.h"
#include "switch_cases.h"
#include "plan_hash.h"
#include "share_hash.h"
#include "transfer_hash.h"
#include "follow_hash.h"
#include "switch_hash.h"

int main(void)
{
    uint64_t hash = hash_random_problems(HASH_PROBLEMS), few = hash_random_problems(HASH_PROBLEMS_FEW);
    printf("  plan hash %016llx (%016llx), plan version %d\n", (unsigned long long)hash,
           (unsigned long long)few, EPLB_PLAN_VERSION);
    CHECK(hash == HASH_EXPECTED && few == HASH_EXPECTED_FEW, "see plan_hash.h");
    uint64_t shares = hash_shares(HASH_SHARES), few_shares = hash_shares(HASH_SHARES_FEW);
    printf("  share hash %016llx (%016llx)\n", (unsigned long long)shares, (unsigned long long)few_shares);
    CHECK(shares == HASH_SHARES_EXPECTED && few_shares == HASH_SHARES_EXPECTED_FEW, "see share_hash.h");
    uint64_t moves = hash_transfers(HASH_TRANSFERS), few_moves = hash_transfers(HASH_TRANSFERS_FEW);
    printf("  transfer hash %016llx (%016llx)\n", (unsigned long long)moves, (unsigned long long)few_moves);
    CHECK(moves == HASH_TRANSFERS_EXPECTED && few_moves == HASH_TRANSFERS_EXPECTED_FEW, "see transfer_hash.h");
    uint64_t followed = hash_follow(HASH_FOLLOWED), few_followed = hash_follow(HASH_FOLLOWED_FEW);
    printf("  follow hash %016llx (%016llx)\n", (unsigned long long)followed, (unsigned long long)few_followed);
    CHECK(followed == HASH_FOLLOWED_EXPECTED && few_followed == HASH_FOLLOWED_EXPECTED_FEW, "see follow_hash.h");
    uint64_t switches = hash_switches(HASH_SWITCHES), few_switches = hash_switches(HASH_SWITCHES_FEW);
    printf("  switch hash %016llx (%016llx)\n", (unsigned long long)switches, (unsigned long long)few_switches);
    CHECK(switches == HASH_SWITCHES_EXPECTED && few_switches == HASH_SWITCHES_EXPECTED_FEW, "see switch_hash.h");
    CHECK(EPLB_PLAN_VERSION == HASH_PLAN_VERSION, "a new plan version needs new hashes");
    return test_report("test_plan_hash");
}
