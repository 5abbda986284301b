/* switch_hash.h - one number for what switches gain, as plan_hash.h has them for plans: reports and verdicts, floats by
   their bits. When it changes on purpose, the history of eplb.h says so. Include after switch_cases.h and plan_hash.h. */
#ifndef SWITCH_HASH_H
#define SWITCH_HASH_H

#define HASH_SWITCHES  \
    {                  \
        100, 400, 1500 \
    }
#define HASH_SWITCHES_EXPECTED                                                                   \
    {                                                                                            \
        UINT64_C(0x44df8dcdcf2834e6), UINT64_C(0xded6aedcad56c4b4), UINT64_C(0x14da763d96199b8a) \
    }

static inline uint64_t hash_switches(uint64_t hash, uint64_t first, uint64_t last)
{
    static eplb_switch s[SWITCH_MOST_LAYERS];
    for (uint64_t seed = first; seed <= last; seed++) {
        switch_case c = switch_case_make(seed);
        size_t L = (size_t)c.problem.num_layers;
        int32_t field[8 * SWITCH_MOST_LAYERS];
        c.how.in_force_score = seed % 2 ? c.score : NULL;
        CHECK(switch_with_library(&c, s) == EPLB_OK, SWITCH_FORMAT, SWITCH_ARGS(&c));
        memcpy(field, s, L * sizeof *s); /* eight fields of 4 bytes each */
        hash = hash_ints(hash, field, 8 * L);
        switch_case_free(&c);
    }
    return hash;
}

#endif
