/* shares.c - what exact shares cost and gain, for one shape: eplb_share for the tokens of a step, under a plan that
   DEEPSEEK made from the mean of a window before it, beside the straightforward planner's time for that mean. Loads
   vary from sample to sample as elsewhere in the benchmark; the step is the sample after the window, in whole
   tokens. All are timed in turn within each repetition. Printed for each way to share:
     time      microseconds per layer: median, and the quartiles as the spread
     balance   mean / maximum GPU load in the step, mean over the layers
     vs base   median time / median time of the baseline */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

enum {
    WINDOW = 16,
    TOKENS_PER_EXPERT = 256,       /* on average, in a step */
    NUM_WAYS = EPLB_NUM_SHARES + 1 /* and the baseline, which shares nothing */
};

static const char *const way_names[NUM_WAYS] = {"least_max", "fair", "baseline"};

const char shares_csv_head[] = "shape,layers,experts,replicas,groups,nodes,gpus,sd,way,repetitions,us_per_layer,"
                               "us_per_layer_q1,us_per_layer_q3,balancedness,time_vs_baseline\n";

typedef struct shares_run { /* everything for one shape */
    bench_case at;
    float *mean;         /* [L, E] of the window */
    int32_t *count;      /* [L, E] of the step */
    int32_t *phy2log;    /* [L, R] the plan in force */
    int32_t *slot_count; /* [L, R] */
    int32_t *most;       /* [L] */
    double balance[NUM_WAYS];
    bench_times times[NUM_WAYS];
} shares_run;

static size_t num_loads(const shares_run *run)
{
    return (size_t)run->at.shape.num_layers * (size_t)run->at.shape.num_experts;
}

/* The step's loads, as so many tokens for each expert of a layer on average. */
static void count_tokens(shares_run *run)
{
    size_t experts = (size_t)run->at.shape.num_experts;
    const float *step = run->at.weight + WINDOW * num_loads(run);
    for (size_t first = 0; first < num_loads(run); first += experts) {
        double sum = 0.0;
        for (size_t e = first; e < first + experts; e++) sum += (double)step[e];
        for (size_t e = first; e < first + experts; e++)
            run->count[e] = (int32_t)lrint((double)step[e] / sum * (double)experts * TOKENS_PER_EXPERT);
    }
}

static double layer_mean(const shares_run *run, ptrdiff_t layer)
{
    const int32_t *count = run->count + layer * run->at.shape.num_experts;
    double sum = 0.0;
    for (ptrdiff_t e = 0; e < run->at.shape.num_experts; e++) sum += count[e];
    return sum / run->at.shape.num_gpus;
}

/* Equal shares of the same step under the same plan. */
static double equal_most(const shares_run *run, ptrdiff_t layer)
{
    const baseline_shape *is = &run->at.shape;
    const int32_t *phy2log = run->phy2log + layer * is->num_replicas;
    const int32_t *count = run->count + layer * is->num_experts;
    double *share = (double *)allocate((size_t)is->num_experts, sizeof *share), most = 0.0;
    for (ptrdiff_t slot = 0; slot < is->num_replicas; slot++) share[phy2log[slot]]++;
    for (ptrdiff_t e = 0; e < is->num_experts; e++) share[e] = count[e] / share[e];
    for (ptrdiff_t gpu = 0, slot = 0; gpu < is->num_gpus; gpu++) {
        double load = 0.0;
        for (; slot < (gpu + 1) * (is->num_replicas / is->num_gpus); slot++) load += share[phy2log[slot]];
        most = load > most ? load : most;
    }
    free(share);
    return most;
}

static void share_once(shares_run *run, int way)
{
    if (way < EPLB_NUM_SHARES) {
        eplb_result r = eplb_share(&run->at.problem, run->phy2log, run->count, way, run->slot_count, run->most,
                                   run->at.scratch, run->at.scratch_bytes);
        if (r != EPLB_OK) fail("eplb_share", eplb_result_name(r));
    } else {
        baseline_arrays out = {run->at.plan.phy2log, run->at.plan.phyrank, run->at.plan.logcnt, run->at.plan.log2phy,
                               run->at.plan.log2phy_width};
        if (baseline_plan(&run->at.shape, run->mean, &out) != 0) fail("baseline", "out of memory");
    }
}

static void judge_shares(shares_run *run)
{
    for (int way = 0; way < NUM_WAYS; way++) {
        share_once(run, way);
        for (ptrdiff_t l = 0; l < run->at.shape.num_layers; l++) {
            double most = way < EPLB_NUM_SHARES ? run->most[l] : equal_most(run, l);
            run->balance[way] += layer_mean(run, l) / most / run->at.shape.num_layers;
        }
    }
}

static void open_run(shares_run *run, const bench_shape *shape, const bench_settings *set)
{
    baseline_shape is = timed_shape(shape, set);
    eplb_options deepseek = preset_options(EPLB_PRESET_DEEPSEEK);
    size_t bytes = 0, slots = (size_t)is.num_layers * (size_t)is.num_replicas;

    run->at = open_case(&is, WINDOW + 1, set->sd[0]);
    run->mean = (float *)allocate(num_loads(run), sizeof(float));
    run->count = (int32_t *)allocate(num_loads(run), sizeof(int32_t));
    run->phy2log = (int32_t *)allocate(slots, sizeof(int32_t));
    run->slot_count = (int32_t *)allocate(slots, sizeof(int32_t));
    run->most = (int32_t *)allocate((size_t)is.num_layers, sizeof(int32_t));
    for (size_t i = 0; i < WINDOW * num_loads(run); i++) run->mean[i % num_loads(run)] += run->at.weight[i] / WINDOW;
    count_tokens(run);
    run->at.problem.num_samples = WINDOW;
    make_room(&run->at, &deepseek);
    plan_case(&run->at, "deepseek", &deepseek, is.num_layers);
    for (size_t i = 0; i < slots; i++) run->phy2log[i] = run->at.plan.phy2log[i];
    if (eplb_share_scratch_size(&run->at.problem, &bytes) != EPLB_OK)
        fail("eplb_share_scratch_size", "refused the shape");
    make_room_of(&run->at, bytes);
}

static void close_run(shares_run *run)
{
    close_case(&run->at);
    free(run->mean);
    free(run->count);
    free(run->phy2log);
    free(run->slot_count);
    free(run->most);
    free(run);
}

static void print_way(const shares_run *run, int way, const bench_shape *shape, const bench_settings *set)
{
    const baseline_shape *is = &run->at.shape;
    const bench_times *times = &run->times[way];
    double us = 1e6 / is->num_layers, ratio = times->median / run->times[NUM_WAYS - 1].median;
    printf("%-14s %9.2f  %9.2f  %9.2f  %8.4f  %7.3f\n", way_names[way], times->median * us, times->q1 * us,
           times->q3 * us, run->balance[way], ratio);
    if (set->csv)
        fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%g,%s,%d,%.4f,%.4f,%.4f,%.6f,%.4f\n", shape->name, (int)is->num_layers,
                (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes, (int)is->num_gpus,
                set->sd[0], way_names[way], set->reps, times->median * us, times->q1 * us, times->q3 * us,
                run->balance[way], ratio);
}

void bench_shares(const bench_shape *shape, const bench_settings *set)
{
    shares_run *run = (shares_run *)allocate(1, sizeof *run);

    open_run(run, shape, set);
    judge_shares(run);
    for (int rep = 0; rep < set->reps; rep++) {
        for (int way = 0; way < NUM_WAYS; way++) {
            double start = now();
            share_once(run, way);
            run->times[way].seconds[rep] = now() - start;
        }
    }
    print_shape(shape, &run->at.shape, WINDOW, set->sd[0]);
    printf("way to share    us/layer quartile 1 quartile 3   balance  vs base\n");
    for (int way = 0; way < NUM_WAYS; way++) {
        finish_times(&run->times[way], set->reps);
    }
    for (int way = 0; way < NUM_WAYS; way++) print_way(run, way, shape, set);
    printf("\n");
    close_run(run);
}
