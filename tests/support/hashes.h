/* hashes.h - all numbers that must be the same from every compiler, on every processor and at every optimisation level:
   over plans of every preset, exact shares, transfers, plans made from the plan in force, what switches gain, and
   clusters whose GPUs are not alike.
   Include after eplb.h and test.h. */
#ifndef HASHES_H
#define HASHES_H

#include "planning.h"
#include "random_problem.h"
#include "share_cases.h"
#include "transfer_cases.h"
#include "follow_oracle.h"
#include "follow_cases.h"
#include "switch_cases.h"
#include "cluster_cases.h"
#include "plan_hash.h"
#include "share_hash.h"
#include "transfer_hash.h"
#include "follow_hash.h"
#include "switch_hash.h"
#include "cluster_hash.h"

enum { HASH_FEW, HASH_SOME, HASH_ALL, HASH_NUM_SIZES };

typedef struct hash_row {
    const char *of;
    uint64_t (*continued)(uint64_t hash, uint64_t first, uint64_t last);
    uint64_t last[HASH_NUM_SIZES], expected[HASH_NUM_SIZES];
} hash_row;

/* Checks the hash of so many cases, and those of the fewer on the way there. */
static inline void check_hash(const hash_row *row, int size)
{
    uint64_t hash = HASH_START, done = 0;
    for (int s = HASH_FEW; s <= size; s++) {
        hash = row->continued(hash, done + 1, row->last[s]);
        done = row->last[s];
        CHECK(hash == row->expected[s], "%016llx of %d cases, see %s_hash.h", (unsigned long long)hash, (int)done,
              row->of);
    }
    printf("  %s hash %016llx of %d cases\n", row->of, (unsigned long long)hash, (int)done);
}

static inline void check_hashes(int size)
{
    static const hash_row rows[] = {{"plan", hash_random_problems, HASH_PROBLEMS, HASH_EXPECTED},
                                    {"share", hash_shares, HASH_SHARES, HASH_SHARES_EXPECTED},
                                    {"transfer", hash_transfers, HASH_TRANSFERS, HASH_TRANSFERS_EXPECTED},
                                    {"follow", hash_follow, HASH_FOLLOWED, HASH_FOLLOWED_EXPECTED},
                                    {"switch", hash_switches, HASH_SWITCHES, HASH_SWITCHES_EXPECTED},
                                    {"cluster", hash_clusters, HASH_CLUSTERS, HASH_CLUSTERS_EXPECTED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_hash(&rows[i], size);
    CHECK(EPLB_PLAN_VERSION == HASH_PLAN_VERSION, "a new plan version needs new hashes");
}

#endif
