/* test_exact.c - plans for exact shares against all plans, where those are few; never worse on the samples than the
   plan that the search begins with; the same from any scratch; hashed. Errors. */
#include "eplb.h"
#include "test.h"
#include <math.h>

enum { E = 8, G = 4, SLOTS = 12, T = 3, SETS = 1 << E, CASES = 40 };

typedef struct small_case {
    eplb_problem problem;
    eplb_options options;
    float weight[T * E];
} small_case;

static small_case make_case(uint64_t seed)
{
    small_case c = {{1, E, SLOTS, 0, 0, G, T, ALIKE}, {0}, {0}};
    double mean[E];
    eplb_options_preset(EPLB_PRESET_DEFAULT, &c.options);
    c.options.shares = EPLB_PLAN_FOR_EXACT;
    for (int e = 0; e < E; e++) mean[e] = 20 * exp(0.8 * (double)test_range(&seed, -100, 100) / 50.0);
    for (int i = 0; i < T * E; i++) c.weight[i] = (float)floor(mean[i % E] * (double)test_range(&seed, 60, 140));
    return c;
}

/* --------------------------------------------------------------------------------- all plans */

/* held [G]: the experts of each GPU, a bit each. The heaviest GPU of each sample where shares are exact, summed: the
   most, over sets of GPUs, that lives nowhere else, by their number. */
static double score_of(double (*sum)[T], const int *held)
{
    double score = 0, most[T] = {0};
    for (int set = 1; set < 1 << G; set++) {
        int outside = 0, size = 0;
        for (int gpu = 0; gpu < G; gpu++) {
            size += set >> gpu & 1;
            outside |= set >> gpu & 1 ? 0 : held[gpu];
        }
        for (int t = 0; t < T; t++) most[t] = fmax(most[t], sum[(SETS - 1) & ~outside][t] / size);
    }
    for (int t = 0; t < T; t++) score += most[t];
    return score;
}

static void sum_sets(const small_case *c, double (*sum)[T])
{
    for (int set = 0; set < SETS; set++)
        for (int t = 0; t < T; t++) {
            sum[set][t] = 0;
            for (int e = 0; e < E; e++) sum[set][t] += set >> e & 1 ? (double)c->weight[t * E + e] : 0;
        }
}

static double best_score(double (*sum)[T])
{
    int list[SETS], n = 0, held[G];
    double best = INFINITY;
    for (int set = 0; set < SETS; set++) {
        int size = 0;
        for (int e = 0; e < E; e++) size += set >> e & 1;
        if (size == SLOTS / G) list[n++] = set;
    }
    for (int a = 0; a < n; a++)
        for (int b = a; b < n; b++)
            for (int d = b; d < n; d++)
                for (int f = d; f < n; f++) {
                    held[0] = list[a], held[1] = list[b], held[2] = list[d], held[3] = list[f];
                    if ((held[0] | held[1] | held[2] | held[3]) == SETS - 1) best = fmin(best, score_of(sum, held));
                }
    return best;
}

/* ------------------------------------------------------------------------------------- plans */

static void plan_case(const small_case *c, const eplb_options *options, int32_t *phy2log, int fill)
{
    eplb_plan plan = {0};
    size_t bytes = 0;
    CHECK(eplb_scratch_size(&c->problem, options, &bytes) == EPLB_OK, "size");
    unsigned char *scratch = test_alloc(bytes);
    memset(scratch, fill, bytes);
    plan.phy2log = phy2log;
    CHECK(eplb_rebalance(&c->problem, options, c->weight, &plan, scratch, bytes) == EPLB_OK, "plan");
    free(scratch);
}

static double score_plan(double (*sum)[T], const int32_t *phy2log, int *duplicates)
{
    int held[G] = {0};
    *duplicates = 0;
    for (int i = 0; i < SLOTS; i++) {
        *duplicates += held[i / (SLOTS / G)] >> phy2log[i] & 1;
        held[i / (SLOTS / G)] |= 1 << phy2log[i];
    }
    return score_of(sum, held);
}

static void test_small_cases(void)
{
    static double sum[SETS][T];
    double excess = 0, worst = 0;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (int i = 0; i < CASES; i++) {
        small_case c = make_case((uint64_t)i);
        eplb_options start = c.options;
        int32_t planned[SLOTS], again[SLOTS], packed[SLOTS];
        int duplicates;
        double score, over;
        sum_sets(&c, sum);
        plan_case(&c, &c.options, planned, 0);
        plan_case(&c, &c.options, again, 0xA5);
        CHECK(memcmp(planned, again, sizeof planned) == 0, "case %d: scratch changes the plan", i);
        score = score_plan(sum, planned, &duplicates);
        CHECK(duplicates == 0, "case %d: %d duplicates", i, duplicates);
        over = score / best_score(sum) - 1;
        CHECK(over > -1e-9, "case %d: better than the best by %g", i, -over);
        excess += over / CASES;
        worst = fmax(worst, over);
        start.effort = 0;
        start.max_replicas = 2;
        plan_case(&c, &start, packed, 0);
        double before = score_plan(sum, packed, &duplicates);
        CHECK(duplicates > 0 || score <= before * (1 + 1e-6), "case %d: %g, before the search %g", i, score, before);
        for (int k = 0; k < SLOTS; k++) hash = (hash ^ (uint64_t)planned[k]) * UINT64_C(1099511628211);
    }
    printf("  above the best of all plans: %.2f %% on average, %.2f %% at worst\n", 100 * excess, 100 * worst);
    CHECK(excess < 0.001 && worst < 0.01, "%g, %g", excess, worst);
    CHECK(hash == UINT64_C(0xCF7C42D6FC12CF7B), "0x%016llX", (unsigned long long)hash);
}

/* Which half of the slots has the first expert of a group. */
static int32_t first_node(const int32_t *phy2log, int32_t slots, int32_t group, int32_t group_size)
{
    int32_t i = 0;
    while (i < slots && phy2log[i] / group_size != group) i++;
    return i / (slots / 2);
}

/* Nodes, caps, one sample, duplicates: all that a plan must hold, and the cap. */
static void test_shapes(void)
{
    enum { LAYERS = 2, MANY = 32, ROWS = 5, ALL = 48 };
    static float weight[ROWS * LAYERS * MANY];
    uint64_t state = 7, hash = UINT64_C(14695981039346656037);
    for (int i = 0; i < 24; i++) {
        eplb_problem p = {LAYERS, MANY, ALL, 4, i % 2 ? 2 : 1, 8, i % 3 ? ROWS : 1, ALIKE};
        eplb_options o;
        eplb_plan plan = {0};
        int32_t phy2log[LAYERS * ALL], count[LAYERS * MANY];
        size_t bytes = 0;
        for (int k = 0; k < ROWS * LAYERS * MANY; k++)
            weight[k] = (float)(test_range(&state, 0, 40) * test_range(&state, 0, 40));
        eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
        o.shares = EPLB_PLAN_FOR_EXACT;
        o.allow_duplicates = i % 4 == 3;
        o.max_replicas = i % 5 == 4 ? 2 : 0;
        plan.phy2log = phy2log;
        plan.logcnt = count;
        CHECK(eplb_scratch_size(&p, &o, &bytes) == EPLB_OK, "size");
        void *scratch = test_alloc(bytes);
        CHECK(eplb_rebalance(&p, &o, weight, &plan, scratch, bytes) == EPLB_OK, "shape %d", i);
        CHECK(eplb_rebalance(&p, &o, weight, &plan, scratch, bytes - 1) == EPLB_ERR_SCRATCH_SIZE, "shape %d", i);
        free(scratch);
        for (int k = 0; k < LAYERS * ALL; k++) {
            int32_t e = phy2log[k];
            CHECK(i % 2 == 0
                      || first_node(phy2log + k / ALL * ALL, ALL, e / (MANY / 4), MANY / 4) == k % ALL / (ALL / 2),
                  "shape %d: a group on both nodes", i);
            hash = (hash ^ (uint64_t)e) * UINT64_C(1099511628211);
        }
        for (int k = 0; k < LAYERS * MANY; k++)
            CHECK(o.max_replicas == 0 || count[k] <= o.max_replicas, "shape %d: expert %d", i, k);
        for (int k = 0; k < LAYERS * ALL; k++) count[k / ALL * MANY + phy2log[k]]--;
        for (int k = 0; k < LAYERS * MANY; k++) CHECK(count[k] == 0, "shape %d: expert %d", i, k);
    }
    CHECK(hash == UINT64_C(0xF172F42BF838E0A8), "0x%016llX", (unsigned long long)hash);
}

static void test_errors(void)
{
    static const int32_t bad[] = {-1, EPLB_NUM_PLAN_FORS, INT32_MIN, INT32_MAX};
    for (int i = 0; i < 4; i++) {
        small_case c = make_case(1);
        eplb_diagnosis why;
        eplb_plan plan = {0};
        size_t bytes = 0;
        c.options.shares = bad[i];
        CHECK(eplb_scratch_size(&c.problem, &c.options, &bytes) == EPLB_ERR_OPTION, "%d", (int)bad[i]);
        CHECK(eplb_diagnose(&c.problem, &c.options, c.weight, &plan, NULL, 0, &why) == EPLB_ERR_OPTION
                  && strcmp(why.field, "options.shares") == 0,
              "%s", why.field);
    }
}

int main(void)
{
    test_small_cases();
    test_shapes();
    test_errors();
    return test_report("test_exact");
}
