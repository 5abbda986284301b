/* transfers.c - the host's part of a rebalance, for one shape: a plan by DEEPSEEK, its GPUs and slots named after
   those of the plan in force, which expert comes from where, and in which round. The plan in force is DEEPSEEK's for
   the sample before; loads vary from sample to sample as elsewhere in the benchmark. All are timed in turn within
   each repetition. Printed for each:
     time      milliseconds for all layers: median, and the quartiles as the spread
     vs plan   time / that of a plan alone in the same repetition: median and quartiles
   and how many slots change, moves and rounds, each for a layer. */
#include "bench.h"

#include <stdlib.h>

enum { PLAN_ALONE, PLAN_FOLLOWING, TRANSFERS_DUPLEX, TRANSFERS_ONE_PEER, ALL_DUPLEX, ALL_ONE_PEER, NUM_PARTS };

static const char *const part_names[NUM_PARTS] = {
    "plan alone",        "plan from the one in force", "transfers even, duplex", "transfers dealt, one peer",
    "all, even, duplex", "all, dealt, one peer"};
static const char *const part_codes[NUM_PARTS] = {"plan",       "follow",      "transfers_duplex", "transfers_one_peer",
                                                  "all_duplex", "all_one_peer"};

static const eplb_transfer_options duplex = {EPLB_SOURCES_EVEN, EPLB_ROUNDS_DUPLEX, 0};
static const eplb_transfer_options one_peer = {EPLB_SOURCES_DEALT, EPLB_ROUNDS_ONE_PEER, 0};

const char transfers_csv_head[] = "shape,layers,experts,replicas,groups,nodes,gpus,sd,part,repetitions,ms,ms_q1,ms_q3,"
                                  "time_vs_plan,time_vs_plan_q1,time_vs_plan_q3\n";

typedef struct transfers_run { /* everything for one shape */
    bench_case at;             /* two samples, of which the second is planned */
    const float *weight;       /* [L, E] the second */
    int32_t *in_force;         /* [L, R] */
    eplb_transfer *transfer;   /* [L R] */
    size_t num_transfers;
    eplb_options alone, following;
    bench_times times[NUM_PARTS], ratio[NUM_PARTS];
} transfers_run;

static size_t num_slots(const transfers_run *run)
{
    return (size_t)run->at.shape.num_layers * (size_t)run->at.shape.num_replicas;
}

static void plan_loads(const transfers_run *run, const eplb_options *options, const float *weight)
{
    eplb_result r =
        eplb_rebalance(&run->at.problem, options, weight, &run->at.plan, run->at.scratch, run->at.scratch_bytes);
    if (r != EPLB_OK) fail("eplb_rebalance", eplb_result_name(r));
}

static void list_transfers(transfers_run *run, const eplb_transfer_options *how)
{
    eplb_result r = eplb_transfers(&run->at.problem, run->in_force, run->at.plan.phy2log, how, run->transfer,
                                   num_slots(run), &run->num_transfers, run->at.scratch, run->at.scratch_bytes);
    if (r != EPLB_OK) fail("eplb_transfers", eplb_result_name(r));
}

static void open_run(transfers_run *run, const bench_shape *shape, const bench_settings *set)
{
    baseline_shape is = timed_shape(shape, set);
    size_t bytes = 0;

    run->at = open_case(&is, 2, set->sd[0]);
    run->at.problem.num_samples = 1;
    run->weight = run->at.weight + (size_t)is.num_layers * (size_t)is.num_experts;
    run->in_force = (int32_t *)allocate(num_slots(run), sizeof(int32_t));
    run->transfer = (eplb_transfer *)allocate(num_slots(run), sizeof(eplb_transfer));
    run->alone = preset_options(EPLB_PRESET_DEEPSEEK);
    run->following = run->alone;
    run->following.previous_phy2log = run->in_force;
    make_room(&run->at, &run->alone);
    make_room(&run->at, &run->following);
    if (eplb_transfers_scratch_size(&run->at.problem, &bytes) != EPLB_OK)
        fail("eplb_transfers_scratch_size", "refused the shape");
    make_room_of(&run->at, bytes);
    plan_loads(run, &run->alone, run->at.weight);
    for (size_t slot = 0; slot < num_slots(run); slot++) run->in_force[slot] = run->at.plan.phy2log[slot];
}

static void close_run(transfers_run *run)
{
    close_case(&run->at);
    free(run->in_force);
    free(run->transfer);
    free(run);
}

/* Transfers are timed for the plan that the part before has made. */
static void do_part(transfers_run *run, int part)
{
    if (part == PLAN_ALONE) plan_loads(run, &run->alone, run->weight);
    if (part == PLAN_FOLLOWING || part == ALL_DUPLEX || part == ALL_ONE_PEER)
        plan_loads(run, &run->following, run->weight);
    if (part == TRANSFERS_DUPLEX || part == ALL_DUPLEX) list_transfers(run, &duplex);
    if (part == TRANSFERS_ONE_PEER || part == ALL_ONE_PEER) list_transfers(run, &one_peer);
}

static int num_rounds(const transfers_run *run)
{
    int rounds = 0;
    for (size_t i = 0; i < run->num_transfers; i++) /* in a layer by round */
        if (i + 1 == run->num_transfers || run->transfer[i].layer != run->transfer[i + 1].layer)
            rounds += (int)run->transfer[i].round + 1;
    return rounds;
}

static int num_moves(const transfers_run *run)
{
    int moves = 0;
    for (size_t i = 0; i < run->num_transfers; i++)
        moves += run->transfer[i].kind == EPLB_TRANSFER_SAME_NODE || run->transfer[i].kind == EPLB_TRANSFER_OTHER_NODE;
    return moves;
}

static void print_changes(transfers_run *run)
{
    double layers = run->at.shape.num_layers;
    plan_loads(run, &run->following, run->weight);
    list_transfers(run, &one_peer);
    printf("a layer's slots that change %.1f of %d, moves %.1f, rounds one peer %.1f",
           (double)run->num_transfers / layers, (int)run->at.shape.num_replicas, num_moves(run) / layers,
           num_rounds(run) / layers);
    list_transfers(run, &duplex);
    printf(", duplex %.1f\n", num_rounds(run) / layers);
}

static void print_part(const transfers_run *run, int part, const bench_shape *shape, const bench_settings *set)
{
    const baseline_shape *is = &run->at.shape;
    const bench_times *times = &run->times[part], *ratio = &run->ratio[part];
    printf("%-28s %9.3f  %9.3f  %9.3f  %8.2f  %9.2f  %9.2f\n", part_names[part], times->median * 1e3, times->q1 * 1e3,
           times->q3 * 1e3, ratio->median, ratio->q1, ratio->q3);
    if (set->csv)
        fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%g,%s,%d,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f\n", shape->name,
                (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups,
                (int)is->num_nodes, (int)is->num_gpus, set->sd[0], part_codes[part], set->reps, times->median * 1e3,
                times->q1 * 1e3, times->q3 * 1e3, ratio->median, ratio->q1, ratio->q3);
}

void bench_transfers(const bench_shape *shape, const bench_settings *set)
{
    transfers_run *run = (transfers_run *)allocate(1, sizeof *run);

    open_run(run, shape, set);
    print_shape(shape, &run->at.shape, 1, set->sd[0]);
    print_changes(run);
    for (int rep = 0; rep < set->reps; rep++) {
        for (int part = 0; part < NUM_PARTS; part++) {
            double start = now();
            do_part(run, part);
            run->times[part].seconds[rep] = now() - start;
            run->ratio[part].seconds[rep] = run->times[part].seconds[rep] / run->times[PLAN_ALONE].seconds[rep];
        }
    }
    printf("%-28s %9s %10s %10s   %s quartile 1 quartile 3\n", "part", "ms", "quartile 1", "quartile 3", "vs plan");
    for (int part = 0; part < NUM_PARTS; part++) {
        finish_times(&run->times[part], set->reps);
        finish_times(&run->ratio[part], set->reps);
        print_part(run, part, shape, set);
    }
    printf("\n");
    close_run(run);
}
