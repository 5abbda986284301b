/* mpi_rebalance.c - one plan made by many ranks: each counts the tokens of its own GPUs, one all-reduce sums the
   counts, each plans its share of the layers, and one all-gather gives every rank the whole plan. Then a step is served
   by it: in each layer all ranks learn what waits on which GPU, and each solves the same shares and quotas by itself.

       mpirun -np 4 mpi_rebalance [--verify] [LAYERS EXPERTS REPLICAS GPUS NODES SAMPLES]

   --verify: rank 0 plans all layers alone as well, and hashes tell on how many ranks the plan is that one. However many
   ranks the GPUs are divided among, their counts are the same, and so is the plan. */
#include <inttypes.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

enum { MOST_RANKS = 1024 };

static int rank, num_ranks;
static eplb_problem problem; /* the same on every rank */
static void *scratch;
static size_t scratch_bytes;

static void must(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "mpi_rebalance: rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void must_be_ok(eplb_result r) { must(r == EPLB_OK, eplb_result_name(r)); }

static void *zeroes(int64_t count) /* numbers of four bytes */
{
    void *array = calloc((size_t)count, 4);
    must(array != NULL && count <= INT32_MAX, "too large a problem"); /* MPI's counts are ints */
    return array;
}

/* Of num layers or GPUs rank r has first_of(num, r) up to first_of(num, r + 1). */
static int32_t first_of(int32_t num, int r) { return (int32_t)((int64_t)num * r / num_ranks); }

/* Each rank has its part of all [num, width]; afterwards each has the whole. */
static void gather(int32_t *all, int32_t num, int32_t width)
{
    static int start[MOST_RANKS], length[MOST_RANKS];
    for (int r = 0; r < num_ranks; r++) {
        start[r] = first_of(num, r) * width;
        length[r] = first_of(num, r + 1) * width - start[r];
    }
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, length, start, MPI_INT32_T, MPI_COMM_WORLD);
}

static uint64_t hash(uint64_t h, const int32_t *value, int64_t count) /* FNV-1a, of words */
{
    for (int64_t i = 0; i < count; i++) h = (h ^ (uint32_t)value[i]) * UINT64_C(0x100000001B3);
    return h;
}

/* Prints a hash, and on how many ranks it is what rank 0 expects. Returns whether on all. */
static int agree(const char *what, uint64_t mine, uint64_t expected)
{
    int agreeing;
    MPI_Bcast(&expected, 1, MPI_UINT64_T, 0, MPI_COMM_WORLD);
    agreeing = mine == expected;
    MPI_Allreduce(MPI_IN_PLACE, &agreeing, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("%s %016" PRIx64 " on %d of %d ranks\n", what, expected, agreeing, num_ranks);
    return agreeing == num_ranks;
}

static uint32_t mix(uint32_t a, uint32_t b)
{
    a = (a ^ b ^ a >> 16) * 0x9E3779B1u;
    return a ^ a >> 15;
}

/* Adds the tokens of this rank's GPUs in a layer of a step to count: rows of experts, stride apart. It stands for the
   router: tokens are doubled up to 8 times, about lognormal with sd 1, drift a little and differ a little by GPU. */
static void count_tokens(int32_t step, int32_t layer, int32_t *count, int32_t stride)
{
    for (int32_t gpu = first_of(problem.num_gpus, rank); gpu < first_of(problem.num_gpus, rank + 1); gpu++) {
        for (int32_t e = 0; e < problem.num_experts; e++) {
            uint32_t hot = mix(mix(1, (uint32_t)layer), (uint32_t)e), drift = mix(hot, (uint32_t)step);
            uint32_t tokens = 8;
            for (int bit = 24; bit < 32; bit++) tokens <<= hot >> bit & 1;
            tokens = tokens * (90 + drift % 20) * (90 + mix(drift, (uint32_t)gpu) % 20) / 10000;
            count[gpu * stride + e] += (int32_t)tokens;
        }
    }
}

/* A step after those that were planned for, a layer at a time, as tokens come to it. Returns the hash of all quotas. */
static uint64_t serve_step(int32_t *phy2log)
{
    int32_t experts = problem.num_experts, replicas = problem.num_replicas, gpus = problem.num_gpus, most, i;
    int32_t *source_count = zeroes((int64_t)gpus * experts), *quota = zeroes((int64_t)gpus * replicas);
    int32_t *slot_count = zeroes(replicas), *count = zeroes(experts);
    float *load = zeroes(experts);
    double mean = 0, equal = 0, exact = 0, kept = 0;
    uint64_t quotas = 0;
    eplb_problem one = problem;
    one.num_layers = one.num_samples = 1;
    for (int32_t layer = 0; layer < problem.num_layers; layer++, phy2log += replicas) {
        eplb_layer_report report;
        eplb_plan plan = EPLB_ZERO_INIT;
        plan.phy2log = phy2log;
        memset(source_count, 0, (size_t)(gpus * experts) * sizeof *source_count);
        memset(count, 0, (size_t)experts * sizeof *count);
        count_tokens(problem.num_samples, layer, source_count, experts);
        gather(source_count, gpus, experts);
        for (i = 0; i < gpus * experts; i++) count[i % experts] += source_count[i];
        for (i = 0; i < experts; i++) load[i] = (float)count[i];

        must_be_ok(eplb_share(&one, phy2log, count, EPLB_SHARE_LEAST_MAX, slot_count, &most, scratch, scratch_bytes));
        must_be_ok(eplb_share_sources(&one, phy2log, source_count, slot_count, quota, scratch, scratch_bytes));
        must_be_ok(eplb_evaluate(&one, NULL, load, &plan, &report, NULL, scratch, scratch_bytes));
        mean += (double)report.mean_load, equal += (double)report.max_load, exact += most;
        for (i = 0; i < replicas; i++) kept += quota[i / (replicas / gpus) * replicas + i];
        quotas = hash(quotas, quota, (int64_t)gpus * replicas);
    }
    if (rank == 0)
        printf("a step later: balancedness %.4f with equal shares, %.4f with exact ones; %.1f %% of tokens stay on a "
               "GPU\n",
               mean / equal, mean / exact, 100 * kept / (mean * gpus));
    free(source_count), free(quota), free(slot_count), free(count), free(load);
    return quotas;
}

/* Loads [T, L, E], the same on all ranks: integers are summed, so it cannot show in which order ranks are added. */
static void sum_counts(int32_t *count, float *load, int32_t num)
{
    int32_t *row = count;
    for (int32_t step = 0; step < problem.num_samples; step++)
        for (int32_t layer = 0; layer < problem.num_layers; layer++, row += problem.num_experts)
            count_tokens(step, layer, row, 0);
    MPI_Allreduce(MPI_IN_PLACE, count, num, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
    for (int32_t i = 0; i < num; i++) load[i] = (float)count[i];
}

/* Plans this rank's layers and gathers the plan; says what it took the slowest rank. */
static void plan_together(const float *load, const eplb_plan *plan)
{
    double ms[2], began = MPI_Wtime();
    int32_t first = first_of(problem.num_layers, rank), next = first_of(problem.num_layers, rank + 1);
    clock_t busy = clock();
    must_be_ok(eplb_rebalance_layers(&problem, NULL, load, plan, scratch, scratch_bytes, first, next - first));
    ms[0] = 1e3 * (double)(clock() - busy) / CLOCKS_PER_SEC;
    gather(plan->phy2log, problem.num_layers, problem.num_replicas);
    ms[1] = 1e3 * (MPI_Wtime() - began);
    MPI_Allreduce(MPI_IN_PLACE, ms, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d ranks plan %d layers of %d experts: %.2f ms of a core for the busiest, all have the plan after %.2f "
               "ms\n",
               num_ranks, (int)problem.num_layers, (int)problem.num_experts, ms[0], ms[1]);
}

int main(int argc, char **argv)
{
    int32_t shape[6] = {12, 64, 80, 16, 2, 4};
    size_t bytes;
    eplb_plan plan = EPLB_ZERO_INIT, alone = EPLB_ZERO_INIT;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &num_ranks);
    int verify = argc > 1 && strcmp(argv[1], "--verify") == 0, agrees = 1;
    must(argc == 1 + verify || argc == 7 + verify, "takes [--verify] [LAYERS EXPERTS REPLICAS GPUS NODES SAMPLES]");
    must(num_ranks <= MOST_RANKS, "more ranks than MOST_RANKS");
    for (int i = 0; i < 6 && argc == 7 + verify; i++) shape[i] = (int32_t)strtol(argv[1 + verify + i], NULL, 10);
    problem.num_layers = shape[0], problem.num_experts = shape[1], problem.num_replicas = shape[2];
    problem.num_gpus = shape[3], problem.num_nodes = shape[4], problem.num_samples = shape[5];

    must_be_ok(eplb_scratch_size(&problem, NULL, &scratch_bytes));
    must_be_ok(eplb_share_scratch_size(&problem, &bytes));
    if (scratch_bytes < bytes) scratch_bytes = bytes;
    scratch = zeroes((int64_t)(scratch_bytes / 4 + 1));
    int64_t num_loads = (int64_t)shape[5] * shape[0] * shape[1], num_slots = (int64_t)shape[0] * shape[2];
    int32_t *count = zeroes(num_loads);
    float *load = zeroes(num_loads);
    plan.phy2log = zeroes(num_slots), alone.phy2log = zeroes(num_slots);

    sum_counts(count, load, (int32_t)num_loads);
    plan_together(load, &plan);
    if (verify && rank == 0) must_be_ok(eplb_rebalance(&problem, NULL, load, &alone, scratch, scratch_bytes));
    uint64_t planned = hash(0, plan.phy2log, num_slots), quotas = serve_step(plan.phy2log);
    if (verify) agrees = agree("the plan of one alone is", planned, hash(0, alone.phy2log, num_slots));
    if (verify) agrees &= agree("the quotas of rank 0 are", quotas, quotas);
    free(scratch), free(count), free(load), free(plan.phy2log), free(alone.phy2log);
    MPI_Finalize();
    return !agrees;
}
