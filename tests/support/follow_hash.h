/* follow_hash.h - one number for plans made from the plan in force, as plan_hash.h has them for others. When it changes on
   purpose, the plan version rises, as there. Include after follow_cases.h and plan_hash.h. */
#ifndef FOLLOW_HASH_H
#define FOLLOW_HASH_H

/* Random problems 1 .. that many, without limits and with them. */
#define HASH_FOLLOWED \
    {                 \
        60, 240, 800  \
    }
#define HASH_FOLLOWED_EXPECTED                                                                   \
    {                                                                                            \
        UINT64_C(0x2cc94b4f7ec27d2a), UINT64_C(0xaa07384f646b405e), UINT64_C(0x80076a4c9be65318) \
    }

/* A plan in force that cannot be followed counts by its error. */
static inline uint64_t hash_follow_case(uint64_t hash, const follow_case *c)
{
    const eplb_problem *p = &c->r.problem;
    eplb_plan plan = plan_alloc(p, plan_full_width(p));
    int32_t result = plan_with_library(p, &c->r.options, c->r.weight, &plan);
    hash = hash_ints(hash, &result, 1);
    if (result == EPLB_OK) {
        hash = hash_ints(hash, plan.phy2log, plan_slots(p));
        hash = hash_ints(hash, plan.phyrank, plan_slots(p));
        hash = hash_ints(hash, plan.logcnt, plan_experts(p));
    }
    CHECK(result == EPLB_OK || result == EPLB_ERR_PLAN, FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c), eplb_result_name(result));
    plan_free(&plan);
    return hash;
}

static inline uint64_t hash_follow(uint64_t hash, uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        for (int what = FOLLOW_FREE; what <= FOLLOW_LIMITED; what++) {
            random_problem r = random_problem_make(seed);
            hash_fill_loads(&r);
            follow_case c = follow_case_of(r, what);
            hash = hash_follow_case(hash, &c);
            follow_case_free(&c);
        }
    }
    return hash;
}

#endif
