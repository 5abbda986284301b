/* device_plan.h - plans in device memory, and on the host with a status of each layer. Include after planning.h and
   device.h. */
#ifndef DEVICE_PLAN_H
#define DEVICE_PLAN_H

struct device_plan { /* the arrays of a plan, each between guards */
    device_block phy2log, phyrank, logcnt, log2phy, status;
    eplb_plan plan;
};

static inline size_t num_samples(const eplb_problem &problem)
{
    return problem.num_samples ? static_cast<size_t>(problem.num_samples) : 1;
}

static inline device_plan device_make_plan(const eplb_problem &problem, int32_t width)
{
    device_plan d;
    d.phy2log = device_alloc(plan_slots(&problem) * sizeof(int32_t), 0);
    d.phyrank = device_alloc(plan_slots(&problem) * sizeof(int32_t), 0);
    d.logcnt = device_alloc(plan_experts(&problem) * sizeof(int32_t), 0);
    d.log2phy = device_alloc(plan_experts(&problem) * static_cast<size_t>(width) * sizeof(int32_t), 0);
    d.status = device_alloc(static_cast<size_t>(problem.num_layers) * sizeof(int32_t), 0);
    d.plan.phy2log = device_ints(d.phy2log);
    d.plan.phyrank = device_ints(d.phyrank);
    d.plan.logcnt = device_ints(d.logcnt);
    d.plan.log2phy = device_ints(d.log2phy);
    d.plan.log2phy_width = width;
    d.plan.layer_status = device_ints(d.status);
    return d;
}

static inline void device_fetch_plan(const device_plan &d, const eplb_plan *to)
{
    device_fetch(to->phy2log, d.phy2log);
    device_fetch(to->phyrank, d.phyrank);
    device_fetch(to->logcnt, d.logcnt);
    device_fetch(to->log2phy, d.log2phy);
    device_fetch(to->layer_status, d.status);
}

/* Frees blocks, and holds that nothing was written beside them. */
static inline void device_done_blocks(const device_block *const *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) CHECK(device_free(*blocks[i]), "block %d was written beside", (int)i);
}

static inline void device_done_plan(const device_plan &d)
{
    const device_block *all[] = {&d.phy2log, &d.phyrank, &d.logcnt, &d.log2phy, &d.status};
    device_done_blocks(all, sizeof all / sizeof *all);
}

static inline eplb_plan plan_with_status(const eplb_problem &problem, int32_t width)
{
    eplb_plan plan = plan_alloc(&problem, width);
    plan.layer_status = plan_ints(static_cast<size_t>(problem.num_layers));
    return plan;
}

static inline void plan_free_all(eplb_plan *plan)
{
    free(plan->layer_status);
    plan_free(plan);
}

#endif
