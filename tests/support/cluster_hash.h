/* cluster_hash.h - one number for clusters as they are, as plan_hash.h has them for equal GPUs: plans of all presets, fresh
   and from a plan in force, with slots locked and the loss of GPUs survived; their reports, floats by their bits; and exact
   shares. When it changes on purpose, the plan version rises, or the history of eplb.h says so. Include after
   cluster_cases.h and plan_hash.h. */
#ifndef CLUSTER_HASH_H
#define CLUSTER_HASH_H

/* Random cases 1 .. that many, of which some have too few slots and count for nothing. */
#define HASH_CLUSTERS  \
    {                  \
        100, 400, 1500 \
    }
#define HASH_CLUSTERS_EXPECTED                                                                   \
    {                                                                                            \
        UINT64_C(0x951ed48f8f9bac7f), UINT64_C(0x86487ae6f6ee3506), UINT64_C(0x8a85d6eba73d1cd9) \
    }

/* What eplb_evaluate says of the plan, and fair shares of the first sample's loads, which are whole. */
static inline uint64_t hash_cluster_use(uint64_t hash, cluster_case *c, uint64_t seed)
{
    eplb_layer_report report[MOST_LAYERS];
    size_t bytes = 0, share_bytes = 0, L = (size_t)c->p.num_layers;
    int32_t field[8 * MOST_LAYERS], count[MOST_LAYERS * MOST_EXPERTS];
    CHECK(eplb_scratch_size(&c->p, &c->o, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    CHECK(eplb_share_scratch_size(&c->p, &share_bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    bytes = bytes > share_bytes ? bytes : share_bytes;
    void *scratch = test_alloc(bytes);
    CHECK(eplb_evaluate(&c->p, &c->o, c->load, &c->plan, report, NULL, scratch, bytes) == EPLB_OK, "seed %llu",
          (unsigned long long)seed);
    memcpy(field, report, L * sizeof *report); /* eight fields of 4 bytes each */
    hash = hash_ints(hash, field, 8 * L);
    for (size_t i = 0; i < plan_experts(&c->p); i++) count[i] = (int32_t)c->load[i];
    CHECK(eplb_share(&c->p, c->phy2log, count, EPLB_SHARE_FAIR, c->there, NULL, scratch, bytes) == EPLB_OK, "seed %llu",
          (unsigned long long)seed);
    free(scratch);
    return hash_ints(hash, c->there, plan_slots(&c->p));
}

/* Where more is locked than can be, a case counts by its error. */
static inline uint64_t hash_clusters(uint64_t hash, uint64_t first, uint64_t last)
{
    static cluster_case c;
    for (uint64_t seed = first; seed <= last; seed++) {
        if (!draw_case(&c, seed)) continue;
        hash_fill(seed, c.load, (size_t)c.p.num_samples * plan_experts(&c.p));
        int32_t result = plan_with_library(&c.p, &c.o, c.load, &c.plan);
        CHECK(result == EPLB_OK || (result == EPLB_ERR_PLAN && c.p.locked), "seed %llu: %s", (unsigned long long)seed,
              eplb_result_name(result));
        hash = hash_ints(hash, &result, 1);
        if (result != EPLB_OK) continue;
        hash = hash_ints(hash, c.phy2log, plan_slots(&c.p));
        hash = hash_ints(hash, c.phyrank, plan_slots(&c.p));
        hash = hash_ints(hash, c.logcnt, plan_experts(&c.p));
        hash = hash_cluster_use(hash, &c, seed);
    }
    return hash;
}

#endif
