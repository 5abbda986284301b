/* switch_hash.h - one number for what switches gain, as plan_hash.h has them for plans: reports and verdicts, floats by
   their bits. When it changes on purpose, the history of eplb.h says so. Include after switch_cases.h and plan_hash.h. */
#ifndef SWITCH_HASH_H
#define SWITCH_HASH_H

enum { HASH_SWITCHES = 1500, HASH_SWITCHES_FEW = 100 };
#define HASH_SWITCHES_EXPECTED     UINT64_C(0x14da763d96199b8a)
#define HASH_SWITCHES_EXPECTED_FEW UINT64_C(0x44df8dcdcf2834e6)

static inline uint64_t hash_switches(uint64_t count)
{
    static eplb_switch s[SWITCH_MOST_LAYERS];
    uint64_t           hash = HASH_START;
    for (uint64_t seed = 1; seed <= count; seed++) {
        switch_case c = switch_case_make(seed);
        size_t      L = (size_t)c.problem.num_layers;
        int32_t     field[8 * SWITCH_MOST_LAYERS];
        c.how.in_force_score = seed % 2 ? c.score : NULL;
        CHECK(switch_with_library(&c, s) == EPLB_OK, SWITCH_FORMAT, SWITCH_ARGS(&c));
        memcpy(field, s, L * sizeof *s); /* eight fields of 4 bytes each */
        hash = hash_ints(hash, field, 8 * L);
        switch_case_free(&c);
    }
    return hash;
}

#endif
