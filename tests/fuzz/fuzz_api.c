/* fuzz_api.c - the whole interface, with arguments of every kind: valid, nearly valid and wild, with
   scratch of any size, address and content. Whatever comes in, a call returns; on an error nothing was
   written; a plan is complete and consistent, whatever the scratch; nothing is read or written beside
   the caller's arrays, which the address sanitizer sees. */
#include <float.h>

#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "fuzz.h"
#include "plain.h"

/* Wild: an argument of any value in place of a usual one, now and then. */
static void fuzz_derail(fuzz_input *in, int32_t *field)
{
    if (fuzz_one_in(in, 2)) *field = fuzz_any_int(in);
    else if (*field > INT32_MIN + 2 && *field < INT32_MAX - 2) *field += fuzz_range(in, -2, 2);
}

static void fuzz_derail_problem(fuzz_input *in, eplb_problem *p)
{
    int32_t *field[7];
    field[0] = &p->num_layers;
    field[1] = &p->num_experts;
    field[2] = &p->num_replicas;
    field[3] = &p->num_groups;
    field[4] = &p->num_nodes;
    field[5] = &p->num_gpus;
    field[6] = &p->num_samples;
    for (int32_t i = fuzz_range(in, 1, 3); i > 0; i--) fuzz_derail(in, field[fuzz_range(in, 0, 6)]);
}

static void fuzz_derail_packing(fuzz_input *in, eplb_packing *how)
{
    int32_t *field[7];
    field[0] = &how->init;
    field[1] = &how->refine;
    field[2] = &how->max_swaps;
    field[3] = &how->heavy_packs;
    field[4] = &how->num_candidates;
    field[5] = &how->noise;
    field[6] = &how->select;
    if (fuzz_one_in(in, 4)) how->noise_scale = fuzz_load(in, FUZZ_LOADS_ANY);
    else fuzz_derail(in, field[fuzz_range(in, 0, 6)]);
}

static void fuzz_derail_options(fuzz_input *in, eplb_options *o)
{
    int32_t *field[7];
    field[0] = &o->policy;
    field[1] = &o->replication;
    field[2] = &o->fixup_steps;
    field[3] = &o->max_replicas;
    field[4] = &o->effort;
    field[5] = &o->allow_duplicates;
    field[6] = &o->engine;
    if (fuzz_one_in(in, 2)) fuzz_derail_packing(in, fuzz_one_in(in, 2) ? &o->group_packing : &o->gpu_packing);
    else fuzz_derail(in, field[fuzz_range(in, 0, 6)]);
}

/* Calls that take long are not wrong, but no use here. */
static int fuzz_packing_is_quick(const eplb_packing *how) { return how->max_swaps <= 100 && how->num_candidates <= 64; }

static int fuzz_is_quick(const eplb_problem *p, const eplb_options *o)
{
    return p->num_layers <= 8 && p->num_replicas <= 128 && p->num_samples <= 8 && o->effort <= 40
           && o->fixup_steps <= 100 && fuzz_packing_is_quick(&o->group_packing)
           && fuzz_packing_is_quick(&o->gpu_packing);
}

/* ----------------------------------------------------------------------------------- rebalance */

typedef struct fuzz_case {
    eplb_problem problem;
    eplb_options options;
    float *weight, *sample_weight;
    eplb_plan plan; /* with room for any result; what the calls are given */
    int32_t room;   /* columns of log2phy that there is memory for */
    size_t bytes;   /* of scratch, as asked for */
} fuzz_case;

static int fuzz_nothing_written(const fuzz_case *c)
{
    size_t slots = plan_slots(&c->problem), experts = plan_experts(&c->problem);
    return plan_is_unwritten(c->plan.phy2log, slots) && plan_is_unwritten(c->plan.phyrank, slots)
           && plan_is_unwritten(c->plan.logcnt, experts)
           && plan_is_unwritten(c->plan.log2phy, experts * (size_t)c->room);
}

/* Every expert has as many slots as its count says, at the places that log2phy names. */
static void fuzz_check_layer(const fuzz_case *c, const eplb_plan *plan, size_t layer)
{
    size_t E = (size_t)c->problem.num_experts, R = (size_t)c->problem.num_replicas;
    size_t W = (size_t)plan->log2phy_width, slots = 0;
    const int32_t *phy2log = plan->phy2log + layer * R, *phyrank = plan->phyrank + layer * R;
    for (size_t e = 0; e < E; e++) {
        int32_t count = plan->logcnt[layer * E + e];
        const int32_t *place = plan->log2phy + (layer * E + e) * W;
        FUZZ_HOLDS(count >= 1 && (size_t)count <= W);
        FUZZ_HOLDS(c->options.max_replicas == 0 || count <= c->options.max_replicas);
        for (size_t i = 0; i < W; i++) {
            FUZZ_HOLDS((place[i] == -1) == (i >= (size_t)count));
            if (i >= (size_t)count) continue;
            FUZZ_HOLDS(place[i] >= 0 && (size_t)place[i] < R);
            FUZZ_HOLDS(phy2log[place[i]] == (int32_t)e && phyrank[place[i]] == (int32_t)i);
            slots++;
        }
    }
    FUZZ_HOLDS(slots == R);
}

static void fuzz_check_reports(fuzz_input *in, const fuzz_case *c)
{
    size_t L = (size_t)c->problem.num_layers, gpus = L * (size_t)c->problem.num_gpus;
    eplb_layer_report *report = (eplb_layer_report *)test_alloc(2 * L * sizeof *report);
    float *gpu_load = (float *)test_alloc(2 * gpus * sizeof *gpu_load);
    fuzz_memory scratch = fuzz_scratch(in, c->bytes);
    memset(report, 0, 2 * L * sizeof *report);
    FUZZ_HOLDS(eplb_evaluate(&c->problem, &c->options, c->weight, &c->plan, report, gpu_load, scratch.at, scratch.size)
               == EPLB_OK);
    FUZZ_HOLDS(plain_evaluate(&c->problem, &c->options, c->weight, &c->plan, report + L, gpu_load + gpus, scratch.at,
                              scratch.size)
               == EPLB_OK);
    FUZZ_HOLDS(memcmp(report, report + L, L * sizeof *report) == 0);
    FUZZ_HOLDS(memcmp(gpu_load, gpu_load + gpus, gpus * sizeof *gpu_load) == 0);
    for (size_t l = 0; l < L; l++) {
        FUZZ_HOLDS(report[l].lower_bound >= 0.0f && report[l].lower_bound <= report[l].max_load);
        FUZZ_HOLDS(report[l].mean_load <= report[l].max_load && report[l].max_load <= FLT_MAX);
        FUZZ_HOLDS(report[l].balancedness > 0.0f && report[l].balancedness <= 1.0f);
        FUZZ_HOLDS(report[l].replica_balancedness > 0.0f && report[l].replica_balancedness <= 1.0f);
        FUZZ_HOLDS(report[l].num_duplicates >= 0 && report[l].max_logcnt >= 1);
    }
    free(report);
    free(gpu_load);
    free(scratch.block);
}

/* The plan is what other scratch, another partition of the layers and no vectors give. */
static void fuzz_check_plan(fuzz_input *in, const fuzz_case *c)
{
    int32_t L = c->problem.num_layers, split = fuzz_range(in, 0, L);
    eplb_plan other = plan_alloc(&c->problem, c->plan.log2phy_width);
    fuzz_memory scratch = fuzz_scratch(in, c->bytes);
    for (size_t layer = 0; layer < (size_t)L; layer++) fuzz_check_layer(c, &c->plan, layer);
    FUZZ_HOLDS(
        eplb_rebalance_layers(&c->problem, &c->options, c->weight, &other, scratch.at, scratch.size, split, L - split)
        == EPLB_OK);
    FUZZ_HOLDS(eplb_rebalance_layers(&c->problem, &c->options, c->weight, &other, scratch.at, scratch.size, 0, split)
               == EPLB_OK);
    FUZZ_HOLDS(plan_difference(&c->problem, &c->plan, &other) == NULL);
    FUZZ_HOLDS(plain_rebalance(&c->problem, &c->options, c->weight, &other, scratch.at, scratch.size) == EPLB_OK);
    FUZZ_HOLDS(plan_difference(&c->problem, &c->plan, &other) == NULL);
    plan_free(&other);
    free(scratch.block);
    fuzz_check_reports(in, c);
}

/* A call with scratch that may be short, layers that may not exist and a log2phy that may be narrow. */
static void fuzz_call(fuzz_input *in, fuzz_case *c)
{
    size_t bytes = fuzz_one_in(in, 4) ? (size_t)fuzz_range(in, 0, 65535) : c->bytes;
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    int32_t first = 0, count = c->problem.num_layers, whole = !fuzz_one_in(in, 4);
    eplb_diagnosis why;
    eplb_result result, diagnosed;

    if (fuzz_one_in(in, 4)) c->plan.log2phy_width = fuzz_range(in, -1, c->room);
    if (!whole) {
        first = fuzz_one_in(in, 2) ? fuzz_any_int(in) : fuzz_range(in, 0, 3);
        count = fuzz_one_in(in, 2) ? fuzz_any_int(in) : fuzz_range(in, 0, 3);
    }
    result = eplb_rebalance_layers(&c->problem, &c->options, c->weight, &c->plan, scratch.at, bytes, first, count);
    diagnosed = eplb_diagnose(&c->problem, &c->options, c->weight, &c->plan, scratch.at, bytes, &why);
    FUZZ_HOLDS(diagnosed == why.result && why.bytes_needed == c->bytes);
    FUZZ_HOLDS((diagnosed == EPLB_OK) == (why.field[0] == '\0'));
    if (whole) FUZZ_HOLDS(result == diagnosed);
    if (bytes < c->bytes) FUZZ_HOLDS(result == EPLB_ERR_SCRATCH_SIZE);
    if (result == EPLB_ERR_WIDTH) FUZZ_HOLDS(!whole || (why.layer >= 0 && why.width_needed > c->plan.log2phy_width));
    else if (result != EPLB_OK) FUZZ_HOLDS(fuzz_nothing_written(c));
    else if (whole) fuzz_check_plan(in, c);
    free(scratch.block);
}

/* A problem that is wrong or too large to plan here: the same error from every call, before any array
   is looked at. */
static void fuzz_call_without_arrays(const fuzz_case *c, eplb_result sized)
{
    eplb_result expected = sized == EPLB_OK ? EPLB_ERR_SCRATCH_SIZE : sized;
    int32_t slot = PLAN_UNWRITTEN;
    float load = 1.0f;
    unsigned char scratch[1];
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_diagnosis why;
    eplb_layer_report report = EPLB_ZERO_INIT;
    plan.phy2log = &slot;
    FUZZ_HOLDS(eplb_rebalance(&c->problem, &c->options, &load, &plan, scratch, 1) == expected);
    FUZZ_HOLDS(eplb_diagnose(&c->problem, &c->options, &load, &plan, scratch, 1, &why) == expected);
    FUZZ_HOLDS(why.result == expected && why.field[0] != '\0');
    FUZZ_HOLDS(eplb_evaluate(&c->problem, &c->options, &load, &plan, &report, NULL, scratch, 1) == expected);
    FUZZ_HOLDS(slot == PLAN_UNWRITTEN);
}

static void fuzz_rebalance(fuzz_input *in)
{
    fuzz_case c;
    eplb_result sized;
    c.problem = fuzz_problem(in);
    c.options = fuzz_options(in, &c.problem);
    c.bytes = 0;
    if (fuzz_one_in(in, 4)) fuzz_derail_problem(in, &c.problem);
    if (fuzz_one_in(in, 4)) fuzz_derail_options(in, &c.options);
    sized = eplb_scratch_size(&c.problem, &c.options, &c.bytes);
    FUZZ_HOLDS(sized == EPLB_OK ? c.bytes > 1 : c.bytes == 0);
    if (sized != EPLB_OK || !fuzz_is_quick(&c.problem, &c.options)) {
        fuzz_call_without_arrays(&c, sized);
        return;
    }
    FUZZ_HOLDS(c.bytes <= EPLB_SCRATCH_BOUND_SAMPLES(c.problem.num_experts, c.problem.num_replicas, c.problem.num_gpus,
                                                     fuzz_samples(&c.problem)));
    c.weight =
        fuzz_loads(in, fuzz_samples(&c.problem) * plan_experts(&c.problem), fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
    c.sample_weight = fuzz_loads(in, fuzz_samples(&c.problem), fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
    if (fuzz_one_in(in, 3)) c.options.sample_weight = c.sample_weight;
    c.room = plan_full_width(&c.problem);
    c.plan = plan_alloc(&c.problem, c.room);
    sized = eplb_scratch_size(&c.problem, &c.options, &c.bytes);
    if (sized == EPLB_OK) fuzz_call(in, &c);
    else FUZZ_HOLDS(sized == EPLB_ERR_OPTION && c.options.sample_weight);
    free(c.weight);
    free(c.sample_weight);
    plan_free(&c.plan);
}

/* -------------------------------------------------------------------------------------- steps */

static void fuzz_pack(fuzz_input *in)
{
    int32_t rows = fuzz_range(in, 0, 3), m = fuzz_range(in, 1, 12), n = m * fuzz_range(in, 1, 12);
    eplb_packing how = fuzz_packing(in);
    uint64_t seed = fuzz_bits(in);
    size_t bytes = 0;
    if (fuzz_one_in(in, 4)) fuzz_derail(in, fuzz_one_in(in, 2) ? &n : &m);
    if (fuzz_one_in(in, 4)) fuzz_derail_packing(in, &how);
    eplb_result sized = eplb_packing_scratch_size(n, m, &how, &bytes);
    if (sized != EPLB_OK || n > 200 || !fuzz_packing_is_quick(&how)) return;
    size_t count = (size_t)rows * (size_t)n;
    float *weight = fuzz_loads(in, count, fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
    int32_t *pack = plan_ints(count), *rank = plan_ints(count);
    if (fuzz_one_in(in, 4)) bytes = (size_t)fuzz_range(in, 0, 65535);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    eplb_result result = eplb_balanced_packing(weight, rows, n, m, &how, seed, pack, rank, scratch.at, bytes);
    if (result != EPLB_OK) FUZZ_HOLDS(plan_is_unwritten(pack, count) && plan_is_unwritten(rank, count));
    for (size_t i = 0; result == EPLB_OK && i < count; i++) {
        size_t row = i - i % (size_t)n;
        FUZZ_HOLDS(pack[i] >= 0 && pack[i] < m && rank[i] >= 0 && rank[i] < n / m);
        for (size_t j = row; j < i; j++) /* no two items are in one place */
            FUZZ_HOLDS(pack[i] != pack[j] || rank[i] != rank[j]);
    }
    free(weight);
    free(pack);
    free(rank);
    free(scratch.block);
}

static void fuzz_replicate(fuzz_input *in)
{
    int32_t rows = fuzz_range(in, 0, 3), num_log = fuzz_range(in, 1, 60);
    int32_t num_phy = num_log + fuzz_range(in, 0, 60), rule = fuzz_range(in, 0, 2);
    int32_t fixup_steps = fuzz_one_in(in, 8) ? -1 : fuzz_range(in, 0, 5);
    size_t bytes = 0;
    if (fuzz_one_in(in, 4)) fuzz_derail(in, fuzz_one_in(in, 2) ? &num_log : &num_phy);
    if (eplb_replicate_scratch_size(num_log, num_phy, &bytes) != EPLB_OK || num_phy > 200) return;
    size_t phys = (size_t)rows * (size_t)num_phy, logs = (size_t)rows * (size_t)num_log;
    float *weight = fuzz_loads(in, logs, fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
    int32_t *phy2log = plan_ints(phys), *rank = plan_ints(phys), *cnt = plan_ints(logs);
    if (fuzz_one_in(in, 4)) bytes = (size_t)fuzz_range(in, 0, 65535);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    eplb_result result = eplb_replicate_experts(weight, rows, num_log, num_phy, rule, fixup_steps, phy2log, rank, cnt,
                                                scratch.at, bytes);
    if (result != EPLB_OK)
        FUZZ_HOLDS(plan_is_unwritten(phy2log, phys) && plan_is_unwritten(rank, phys) && plan_is_unwritten(cnt, logs));
    for (size_t i = 0; result == EPLB_OK && i < phys; i++) {
        size_t row = i / (size_t)num_phy, slot = i % (size_t)num_phy;
        FUZZ_HOLDS(phy2log[i] >= 0 && phy2log[i] < num_log);
        FUZZ_HOLDS(slot >= (size_t)num_log || (phy2log[i] == (int32_t)slot && rank[i] == 0));
        FUZZ_HOLDS(rank[i] >= 0 && rank[i] < cnt[row * (size_t)num_log + (size_t)phy2log[i]]);
    }
    free(weight);
    free(phy2log);
    free(rank);
    free(cnt);
    free(scratch.block);
}

/* ------------------------------------------------------------------------------------ samples */

static void fuzz_view(const eplb_window *w)
{
    eplb_problem p = EPLB_ZERO_INIT;
    eplb_options o = EPLB_ZERO_INIT;
    const float *weight = NULL;
    int32_t slots[24];
    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = slots;
    if (eplb_window_view(w, &p, &o, &weight) != EPLB_OK) {
        FUZZ_HOLDS(w->num_samples == 0 && p.num_layers == 0 && !weight && !o.sample_weight);
        return;
    }
    FUZZ_HOLDS(p.num_layers == w->num_layers && p.num_experts == w->num_experts && p.num_samples == w->num_samples);
    p.num_gpus = 2;
    p.num_replicas = 12;
    o.effort = 2;
    FUZZ_HOLDS(plan_with_library(&p, &o, weight, &plan) == EPLB_OK);
}

static void fuzz_window(fuzz_input *in)
{
    int32_t L = fuzz_range(in, 1, 2), E = fuzz_range(in, 1, 12), capacity = fuzz_range(in, 1, 5);
    float decay = fuzz_one_in(in, 2) ? fuzz_load(in, FUZZ_LOADS_ANY) : (float)fuzz_byte(in) / 255.0f;
    size_t bytes = 0, n = (size_t)L * (size_t)E;
    eplb_window w;
    if (fuzz_one_in(in, 8)) {
        fuzz_derail(in, fuzz_one_in(in, 2) ? &capacity : fuzz_one_in(in, 2) ? &L : &E);
        eplb_window_size(L, E, capacity, &bytes);
        return;
    }
    FUZZ_HOLDS(eplb_window_size(L, E, capacity, &bytes) == EPLB_OK);
    fuzz_memory memory = fuzz_scratch(in, fuzz_one_in(in, 8) ? (size_t)fuzz_range(in, 0, 1023) : bytes);
    memset(&w, 0, sizeof w);
    eplb_result result = eplb_window_init(&w, L, E, capacity, decay, memory.at, memory.size);
    FUZZ_HOLDS(result == EPLB_OK || result == EPLB_ERR_OPTION || memory.size < bytes);
    for (int32_t push = fuzz_range(in, 0, 12); result == EPLB_OK && push > 0; push--) {
        eplb_window before = w;
        eplb_result pushed;
        if (fuzz_one_in(in, 2)) {
            float *load = fuzz_loads(in, n, fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
            pushed = eplb_window_push(&w, load);
            free(load);
        } else {
            int32_t *count = plan_ints(n), wild = fuzz_one_in(in, 4);
            for (size_t i = 0; i < n; i++) count[i] = wild ? fuzz_any_int(in) : fuzz_range(in, 0, 1000);
            pushed = eplb_window_push_counts(&w, count);
            free(count);
        }
        FUZZ_HOLDS(pushed == EPLB_OK || memcmp(&w, &before, sizeof w) == 0);
        fuzz_view(&w);
    }
    free(memory.block);
}

static void fuzz_counts(fuzz_input *in)
{
    eplb_problem p = fuzz_problem(in);
    eplb_plan plan = EPLB_ZERO_INIT;
    int32_t wild = fuzz_one_in(in, 4), derailed = fuzz_one_in(in, 4);
    size_t slots = plan_slots(&p), experts = plan_experts(&p);
    int32_t *phy2log = plan_ints(slots), *served = plan_ints(slots), *count = plan_ints(experts);
    int64_t total = 0;
    for (size_t i = 0; i < slots; i++) {
        phy2log[i] = derailed && fuzz_one_in(in, 16) ? fuzz_any_int(in) : fuzz_range(in, 0, p.num_experts - 1);
        served[i] = wild ? fuzz_any_int(in) & (fuzz_one_in(in, 64) ? -1 : INT32_MAX) : fuzz_byte(in);
        if (phy2log[i] != -1) /* an empty slot's tokens are no expert's */
            total += served[i];
    }
    plan.phy2log = phy2log;
    if (eplb_logical_counts(&p, &plan, served, count) == EPLB_OK) {
        for (size_t i = 0; i < experts; i++) {
            FUZZ_HOLDS(count[i] >= 0);
            total -= count[i];
        }
        FUZZ_HOLDS(total == 0);
    } else {
        FUZZ_HOLDS((wild || derailed) && plan_is_unwritten(count, experts));
    }
    free(phy2log);
    free(served);
    free(count);
}

static void fuzz_names(fuzz_input *in)
{
    int32_t number = fuzz_one_in(in, 2) ? fuzz_any_int(in) : fuzz_range(in, -64, 63);
    eplb_options o;
    FUZZ_HOLDS(eplb_result_name(number) != NULL);
    FUZZ_HOLDS((eplb_preset_name(number) != NULL) == (eplb_options_preset(number, &o) == EPLB_OK));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    switch (fuzz_range(&in, 0, 15)) {
    case 0: fuzz_pack(&in); break;
    case 1: fuzz_replicate(&in); break;
    case 2: fuzz_window(&in); break;
    case 3: fuzz_counts(&in); break;
    case 4: fuzz_names(&in); break;
    default: fuzz_rebalance(&in); break;
    }
    return 0;
}
