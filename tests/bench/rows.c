/* rows.c - what it costs that vLLM 0.33.0 chooses an expert's replica by the row of a token alone, row x 2654435769 mod
   2^32 mod the number of replicas, which stand in order of their slots; and what helps. An expert's tokens are spread
   evenly over the rows of a rank's batch. DEFAULT plans after each window, on its steps; each way is scored on the sum of
   that window and on each step of the next one:
     equal          equal shares: what plans are made for
     by row         the same plans, served by row
     GPUs in order  likewise, and each layer's GPUs change places while that lowers its heaviest GPU in the window, or
                    the sum of squares: where equal shares would be as even, the busiest replicas come where there is most
                    room. No plan in force is heeded, whose slots such an order does not keep
     two replicas   max_replicas 2, served by row: two replicas take turns
   Printed: balancedness, sum of means / sum of maxima over layers and windows. */
#include "migration.h"

#include <stdlib.h>
#include <string.h>

enum { EQUAL, BY_ROW, IN_ORDER, TWO_REPLICAS, NUM_ROW_WAYS };
enum { NUM_ROWS = 5, TRACE_STEPS = 16, MOST_ROUNDS = 8 };

static const char *const row_way_names[NUM_ROW_WAYS] = {"equal", "by row", "GPUs in order", "two replicas"};
static const int rows_of_a_rank[NUM_ROWS] = {8, 16, 32, 64, 128};

typedef struct row_score {
    double mean, most;
} row_score;

typedef struct rows_run { /* everything for one shape */
    const traffic *loads;
    eplb_problem problem;  /* of a layer of one step */
    double *part;          /* [G + 1, G] of an expert's tokens that one of so many replicas serves, by its rank */
    int32_t *phy2log;      /* [R] */
    int32_t *moved;        /* [R] */
    int32_t *count, *rank; /* [E] */
    double *gpu;           /* [G] */
    row_score own[NUM_ROW_WAYS], next[NUM_ROW_WAYS];
} rows_run;

/* By so many rows of a rank's batch; 0: equal shares. */
static void share_by_rows(rows_run *run, int rows)
{
    uint32_t G = (uint32_t)run->problem.num_gpus;
    for (uint32_t count = 1; count <= G; count++) {
        double *part = run->part + (size_t)count * G;
        for (uint32_t rank = 0; rank < count; rank++) part[rank] = rows ? 0.0 : 1.0 / count;
        for (int row = 0; row < rows; row++) part[(uint32_t)row * UINT32_C(2654435769) % count] += 1.0 / rows;
    }
}

static row_score score_load(rows_run *run, const int32_t *phy2log, const float *load)
{
    int32_t R = run->problem.num_replicas, G = run->problem.num_gpus, E = run->problem.num_experts;
    row_score score = {0.0, 0.0};
    memset(run->count, 0, (size_t)E * sizeof *run->count);
    memset(run->rank, 0, (size_t)E * sizeof *run->rank);
    memset(run->gpu, 0, (size_t)G * sizeof *run->gpu);
    for (int32_t slot = 0; slot < R; slot++) run->count[phy2log[slot]]++;
    for (int32_t slot = 0; slot < R; slot++) {
        int32_t e = phy2log[slot];
        run->gpu[slot / (R / G)] += (double)load[e] * run->part[run->count[e] * G + run->rank[e]++];
    }
    for (int32_t g = 0; g < G; g++) {
        score.mean += run->gpu[g] / G;
        score.most = run->gpu[g] > score.most ? run->gpu[g] : score.most;
    }
    return score;
}

static double squares(const rows_run *run)
{
    double sum = 0.0;
    for (int32_t g = 0; g < run->problem.num_gpus; g++) sum += run->gpu[g] * run->gpu[g];
    return sum;
}

static void swap_gpus(const rows_run *run, int32_t *phy2log, int32_t a, int32_t b)
{
    int32_t S = run->problem.num_replicas / run->problem.num_gpus;
    for (int32_t i = 0; i < S; i++) {
        int32_t e = phy2log[a * S + i];
        phy2log[a * S + i] = phy2log[b * S + i];
        phy2log[b * S + i] = e;
    }
}

static void order_gpus(rows_run *run, int32_t *phy2log, const float *load)
{
    double most = score_load(run, phy2log, load).most, least = squares(run);
    int changed = 1;
    for (int round = 0; changed && round < MOST_ROUNDS; round++) {
        changed = 0;
        for (int32_t a = 0; a < run->problem.num_gpus; a++)
            for (int32_t b = a + 1; b < run->problem.num_gpus; b++) {
                swap_gpus(run, phy2log, a, b);
                double now_most = score_load(run, phy2log, load).most, now_squares = squares(run);
                if (now_most < most * (1 - 1e-9)
                    || (now_most < most * (1 + 1e-9) && now_squares < least * (1 - 1e-9))) {
                    most = now_most;
                    least = now_squares;
                    changed = 1;
                } else {
                    swap_gpus(run, phy2log, a, b);
                }
            }
    }
}

/* -------------------------------------------------------------------------------------- windows */

/* Sets phy2log by the steps of a window, from the layer's loads in its first one on. */
static void plan_layer(rows_run *run, const float *step, int32_t max_replicas)
{
    eplb_problem problem = run->problem;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    eplb_plan plan = {run->phy2log, NULL, NULL, NULL, 0, NULL};
    size_t bytes = 0, E = (size_t)problem.num_experts;
    float *weight = (float *)allocate((size_t)run->loads->steps * E, sizeof *weight);
    problem.num_samples = run->loads->steps;
    options.max_replicas = max_replicas;
    for (size_t t = 0; t < (size_t)run->loads->steps; t++)
        memcpy(weight + t * E, step + t * traffic_size(run->loads), E * sizeof *weight);
    eplb_result r = eplb_scratch_size(&problem, &options, &bytes);
    void *scratch = allocate(bytes, 1);
    if (r == EPLB_OK) r = eplb_rebalance(&problem, &options, weight, &plan, scratch, bytes);
    if (r != EPLB_OK) fail("eplb_rebalance", eplb_result_name(r));
    free(scratch);
    free(weight);
}

static void add_score(row_score *sum, row_score more)
{
    sum->mean += more.mean;
    sum->most += more.most;
}

static void score_way(rows_run *run, int way, const int32_t *phy2log, const float *window, const float *next)
{
    add_score(&run->own[way], score_load(run, phy2log, window));
    for (int t = 0; t < run->loads->steps; t++)
        add_score(&run->next[way], score_load(run, phy2log, next + (size_t)t * traffic_size(run->loads)));
}

static void measure_layer(rows_run *run, int rows, int w, int32_t layer)
{
    size_t n = traffic_size(run->loads), first = (size_t)layer * (size_t)run->problem.num_experts;
    size_t steps = (size_t)run->loads->steps, slots = (size_t)run->problem.num_replicas;
    const float *window = run->loads->window + (size_t)w * n + first;
    const float *step = run->loads->step + (size_t)w * steps * n + first, *next = step + steps * n;
    plan_layer(run, step, 0);
    share_by_rows(run, 0);
    score_way(run, EQUAL, run->phy2log, window, next);
    share_by_rows(run, rows);
    score_way(run, BY_ROW, run->phy2log, window, next);
    memcpy(run->moved, run->phy2log, slots * sizeof *run->moved);
    order_gpus(run, run->moved, window);
    score_way(run, IN_ORDER, run->moved, window, next);
    plan_layer(run, step, 2);
    score_way(run, TWO_REPLICAS, run->phy2log, window, next);
}

static void print_rows(const rows_run *run, int rows, FILE *csv)
{
    printf("%9d ", rows);
    for (int way = 0; way < NUM_ROW_WAYS; way++) {
        double own = run->own[way].mean / run->own[way].most, next = run->next[way].mean / run->next[way].most;
        printf("   %.4f %.4f", own, next);
        if (csv)
            fprintf(csv, "%s,%d,%d,%d,%d,%s,%.6f,%.6f\n", run->loads->name, (int)run->problem.num_experts,
                    (int)run->problem.num_replicas, (int)run->problem.num_gpus, rows, row_way_names[way], own, next);
    }
    printf("\n");
    fflush(stdout);
}

static void measure_shape(const traffic *loads, int32_t num_replicas, int32_t num_gpus, FILE *csv)
{
    rows_run run;
    memset(&run, 0, sizeof run);
    run.loads = loads;
    run.problem.num_layers = 1;
    run.problem.num_experts = loads->num_experts;
    run.problem.num_replicas = num_replicas;
    run.problem.num_gpus = num_gpus;
    run.phy2log = (int32_t *)allocate((size_t)num_replicas, sizeof(int32_t));
    run.moved = (int32_t *)allocate((size_t)num_replicas, sizeof(int32_t));
    run.count = (int32_t *)allocate((size_t)loads->num_experts, sizeof(int32_t));
    run.rank = (int32_t *)allocate((size_t)loads->num_experts, sizeof(int32_t));
    run.gpu = (double *)allocate((size_t)num_gpus, sizeof(double));
    run.part = (double *)allocate(((size_t)num_gpus + 1) * (size_t)num_gpus, sizeof(double));
    printf("\n%s, %d experts, %d slots, %d GPUs: own window, next window\n     rows ", loads->name,
           (int)loads->num_experts, (int)num_replicas, (int)num_gpus);
    for (int way = 0; way < NUM_ROW_WAYS; way++) printf("%16s", row_way_names[way]);
    printf("\n");
    for (int i = 0; i < NUM_ROWS; i++) {
        memset(run.own, 0, sizeof run.own);
        memset(run.next, 0, sizeof run.next);
        for (int w = 0; w + 1 < loads->num_windows; w++)
            for (int32_t layer = 0; layer < loads->num_layers; layer++)
                measure_layer(&run, rows_of_a_rank[i], w, layer);
        print_rows(&run, rows_of_a_rank[i], csv);
    }
    free(run.phy2log);
    free(run.moved);
    free(run.count);
    free(run.rank);
    free(run.gpu);
    free(run.part);
}

void measure_rows(const migration_settings *set)
{
    traffic loads;
    if (set->csv) fprintf(set->csv, "loads,experts,slots,gpus,rows,way,own,next\n");
    if (set->trace) {
        loads = read_traffic(set->trace, TRACE_STEPS);
        measure_shape(&loads, loads.num_experts / 4 * 5, 8, set->csv);
        measure_shape(&loads, loads.num_experts / 2 * 3, 16, set->csv);
        close_traffic(&loads);
    }
    loads = steady_traffic(set->quick ? 1 : 8, 256, set->quick ? 2 : 9, set->seed);
    measure_shape(&loads, 288, 32, set->csv);
    if (!set->quick) measure_shape(&loads, 320, 64, set->csv);
    close_traffic(&loads);
}
