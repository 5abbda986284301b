/* share_hash.h - one number for exact shares, as plan_hash.h has them for plans: everything in it is integers. When it
   changes on purpose, the history of eplb.h says so. Include after share_cases.h and plan_hash.h. */
#ifndef SHARE_HASH_H
#define SHARE_HASH_H

/* The shares of random cases 1 .. that many, both ways, and the quotas by GPU of origin. */
#define HASH_SHARES    \
    {                  \
        100, 400, 1500 \
    }
#define HASH_SHARES_EXPECTED                                                                     \
    {                                                                                            \
        UINT64_C(0x450e0a72d32559b3), UINT64_C(0xe7e12f0d5528b08f), UINT64_C(0xbc0502ddd5784887) \
    }

static inline uint64_t hash_share_case(uint64_t hash, const share_case *c)
{
    size_t L = (size_t)c->problem.num_layers, quotas = plan_slots(&c->problem) * (size_t)c->problem.num_gpus;
    uint64_t state = c->seed;
    int32_t *shares = plan_ints(plan_slots(&c->problem)), *most = plan_ints(L), *quota = plan_ints(quotas);
    int32_t *source = share_random_sources(&state, c);
    for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
        eplb_result result = share_with_library(c, how, shares, most);
        CHECK(result == EPLB_OK, "case %llu: %s", (unsigned long long)c->seed, eplb_result_name(result));
        hash = hash_ints(hash, shares, plan_slots(&c->problem));
        hash = hash_ints(hash, most, L);
        result = share_sources_with_library(c, source, shares, quota);
        CHECK(result == EPLB_OK, "case %llu: %s", (unsigned long long)c->seed, eplb_result_name(result));
        hash = hash_ints(hash, quota, quotas);
    }
    free(shares);
    free(most);
    free(quota);
    free(source);
    return hash;
}

static inline uint64_t hash_shares(uint64_t hash, uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        share_case c = share_case_make(seed, seed % 8 == 0 ? 64 : 16, 8);
        hash = hash_share_case(hash, &c);
        share_case_free(&c);
    }
    return hash;
}

#endif
