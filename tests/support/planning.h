/* planning.h - what the tests of whole plans share: memory for a plan, a call of the library with
   exactly the scratch it asks for, and comparison. Include after eplb.h and test.h. */
#ifndef PLANNING_H
#define PLANNING_H

/* What outputs hold before a call: no valid id, so an entry that was never written shows. */
enum { PLAN_UNWRITTEN = -77 };

static inline int32_t *plan_ints(size_t count)
{
    int32_t *p = (int32_t *)test_alloc(count * sizeof(int32_t));
    for (size_t i = 0; i < count; i++) p[i] = PLAN_UNWRITTEN;
    return p;
}

static inline size_t plan_slots(const eplb_problem *problem)
{
    return (size_t)problem->num_layers * (size_t)problem->num_replicas;
}

static inline size_t plan_experts(const eplb_problem *problem)
{
    return (size_t)problem->num_layers * (size_t)problem->num_experts;
}

/* A width that any plan fits: every expert has a replica, so one has at most R - E + 1. */
static inline int32_t plan_full_width(const eplb_problem *problem)
{
    return problem->num_replicas - problem->num_experts + 1;
}

static inline eplb_plan plan_alloc(const eplb_problem *problem, int32_t log2phy_width)
{
    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = plan_ints(plan_slots(problem));
    plan.phyrank = plan_ints(plan_slots(problem));
    plan.logcnt = plan_ints(plan_experts(problem));
    plan.log2phy = plan_ints(plan_experts(problem) * (size_t)log2phy_width);
    plan.log2phy_width = log2phy_width;
    return plan;
}

static inline void plan_free(eplb_plan *plan)
{
    free(plan->phy2log);
    free(plan->phyrank);
    free(plan->logcnt);
    free(plan->log2phy);
}

/* Whether nothing was written to a run of a plan's entries. */
static inline int plan_is_unwritten(const int32_t *a, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != PLAN_UNWRITTEN) return 0;
    return 1;
}

static inline int plan_same_ints(const int32_t *a, const int32_t *b, size_t count)
{
    return memcmp(a, b, count * sizeof(int32_t)) == 0;
}

/* How many of the slots hold an expert. */
static inline int32_t plan_copies(const int32_t *slots, int32_t count, int32_t expert)
{
    int32_t copies = 0;
    for (int32_t i = 0; i < count; i++) copies += slots[i] == expert;
    return copies;
}

/* The first array in which two plans of the same width differ, by name; NULL when they are equal. */
static inline const char *plan_difference(const eplb_problem *problem, const eplb_plan *a, const eplb_plan *b)
{
    if (!plan_same_ints(a->phy2log, b->phy2log, plan_slots(problem))) return "phy2log";
    if (!plan_same_ints(a->phyrank, b->phyrank, plan_slots(problem))) return "phyrank";
    if (!plan_same_ints(a->logcnt, b->logcnt, plan_experts(problem))) return "logcnt";
    if (!plan_same_ints(a->log2phy, b->log2phy, plan_experts(problem) * (size_t)a->log2phy_width)) return "log2phy";
    return NULL;
}

/* eplb_rebalance with scratch of its own, not a byte more than asked for. */
static inline eplb_result plan_with_library(const eplb_problem *problem, const eplb_options *options,
                                            const float *weight, const eplb_plan *plan)
{
    size_t bytes = 0;
    eplb_result result = eplb_scratch_size(problem, options, &bytes);
    if (result != EPLB_OK) return result;
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    result = eplb_rebalance(problem, options, weight, plan, scratch, bytes);
    free(scratch);
    return result;
}

#endif
