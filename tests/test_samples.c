/* test_samples.c - samples without load count for nothing: any number of them, put in anywhere and with
   any weight, leave each preset's plan and each figure of a report as they are, bit for bit, whichever
   layers hold no load in the other samples. With effort, samples that are equal and follow one another count as one:
   the plan is that of one of each, its weight the sum of theirs.

   usage: test_samples [SEED [COUNT]]: random case i has seed SEED + i */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

enum { MOST_LAYERS = 5, MOST_SAMPLES = 12 };

/* The plan and the reports of one call each. */
typedef struct outcome {
    eplb_plan plan;
    eplb_layer_report *report;
    float *gpu_load;
} outcome;

static outcome outcome_make(const eplb_problem *problem, const eplb_options *options, const float *weight)
{
    outcome o;
    size_t bytes = 0, layers = (size_t)problem->num_layers;
    o.plan = plan_alloc(problem, plan_full_width(problem));
    o.report = (eplb_layer_report *)test_alloc(layers * sizeof *o.report);
    o.gpu_load = (float *)test_alloc(layers * (size_t)problem->num_gpus * sizeof *o.gpu_load);
    CHECK(plan_with_library(problem, options, weight, &o.plan) == EPLB_OK, "plan");
    CHECK(eplb_scratch_size(problem, options, &bytes) == EPLB_OK, "size");
    void *scratch = test_alloc(bytes);
    CHECK(eplb_evaluate(problem, options, weight, &o.plan, o.report, o.gpu_load, scratch, bytes) == EPLB_OK,
          "evaluate");
    free(scratch);
    return o;
}

static void outcome_free(outcome *o)
{
    plan_free(&o->plan);
    free(o->report);
    free(o->gpu_load);
}

/* A few samples, of which now and then one holds no load in some layer; the first holds some. */
static float *draw_samples(uint64_t *state, const eplb_problem *problem)
{
    size_t L = (size_t)problem->num_layers, E = (size_t)problem->num_experts;
    float *weight = random_loads(state, problem->num_samples * problem->num_layers, problem->num_experts);
    for (size_t row = 0; row < (size_t)problem->num_samples * L; row++)
        if (test_range(state, 0, 3) == 0) memset(weight + row * E, 0, E * sizeof *weight);
    weight[0] += 1.0f;
    return weight;
}

static void check_case(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = seed ^ UINT64_C(0xC0FFEE);
    eplb_problem few = r.problem, many;
    size_t row = (size_t)few.num_layers * (size_t)few.num_experts;
    float few_weight[4], many_weight[MOST_SAMPLES];
    int weighted = test_range(&state, 0, 1);
    few.num_samples = test_range(&state, 1, 4);
    float *load = draw_samples(&state, &few);
    float *more = (float *)test_alloc(MOST_SAMPLES * row * sizeof *more);
    many = few;
    many.num_samples = 0;
    for (int32_t t = 0; t <= few.num_samples; t++) {
        for (int32_t idle = test_range(&state, 0, 1); idle > 0; idle--) {
            many_weight[many.num_samples] = random_unit(&state) * 4.0f;
            memset(more + (size_t)many.num_samples++ * row, 0, row * sizeof *more);
        }
        if (t == few.num_samples) break;
        few_weight[t] = t == 0 || test_range(&state, 0, 3) ? random_unit(&state) + 0.001f : 0.0f;
        many_weight[many.num_samples] = few_weight[t];
        memcpy(more + (size_t)many.num_samples++ * row, load + (size_t)t * row, row * sizeof *more);
    }
    r.options.sample_weight = weighted ? few_weight : NULL;
    outcome a = outcome_make(&few, &r.options, load);
    r.options.sample_weight = weighted ? many_weight : NULL;
    outcome b = outcome_make(&many, &r.options, more);
    const char *where = plan_difference(&few, &a.plan, &b.plan);
    CHECK(where == NULL, RANDOM_FORMAT ", %d samples, then %d: %s", RANDOM_ARGS(&r), (int)few.num_samples,
          (int)many.num_samples, where);
    CHECK(memcmp(a.report, b.report, (size_t)few.num_layers * sizeof *a.report) == 0, RANDOM_FORMAT ": the report",
          RANDOM_ARGS(&r));
    CHECK(memcmp(a.gpu_load, b.gpu_load, (size_t)few.num_layers * (size_t)few.num_gpus * sizeof(float)) == 0,
          RANDOM_FORMAT ": loads of GPUs", RANDOM_ARGS(&r));
    for (int32_t layer = 0; layer < few.num_layers; layer++)
        CHECK(a.report[layer].lower_bound >= a.report[layer].mean_load, RANDOM_FORMAT ": layer %d", RANDOM_ARGS(&r),
              (int)layer);
    outcome_free(&a);
    outcome_free(&b);
    free(load);
    free(more);
    random_problem_free(&r);
}

/* Samples are planned for as so many copies of each in another unit, the last ones first, some with other signs of their
   zeros and some behind a step without load. Units, weights and numbers of copies are powers of two, and the loads of
   several samples whole numbers, so that all sums are exact. */
static void check_copies(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = seed ^ UINT64_C(0xC0B1E5);
    eplb_problem few = r.problem, many;
    size_t row = plan_experts(&few);
    float unit = random_power((float)test_range(&state, -8, 8)), few_weight[3], many_weight[2 * 3 * 8], *load, *more;
    few.num_samples = test_range(&state, 1, 3);
    if (r.options.effort == 0) r.options.effort = test_range(&state, 1, 6);
    r.options.shares = test_range(&state, 0, 3) == 0 ? EPLB_PLAN_FOR_EXACT : EPLB_PLAN_FOR_EQUAL;
    load = random_loads(&state, few.num_samples * few.num_layers, few.num_experts);
    for (size_t i = 0; few.num_samples > 1 && i < (size_t)few.num_samples * row; i++)
        load[i] = (float)test_range(&state, 0, 20);
    more = (float *)test_alloc(2 * 3 * 8 * row * sizeof *more);
    many = few;
    many.num_samples = 0;
    for (int32_t t = 0; t < few.num_samples; t++) {
        int32_t copies = 1 << test_range(&state, 0, 3), from = few.num_samples - 1 - t;
        float weight = 0.25f * (float)(1 << test_range(&state, 0, 3));
        few_weight[from] = weight * (float)copies;
        for (int32_t copy = 0; copy < copies; copy++) {
            if (test_range(&state, 0, 3) == 0) {
                many_weight[many.num_samples] = 1.0f;
                memset(more + (size_t)many.num_samples++ * row, 0, row * sizeof *more);
            }
            float *to = more + (size_t)many.num_samples * row;
            memcpy(to, load + (size_t)from * row, row * sizeof *more);
            for (size_t i = 0; i < row; i++) to[i] = to[i] > 0.0f ? to[i] * unit : copy % 2 == 1 ? -to[i] : to[i];
            many_weight[many.num_samples++] = weight;
        }
    }
    r.options.sample_weight = few_weight;
    outcome a = outcome_make(&few, &r.options, load);
    r.options.sample_weight = many_weight;
    outcome b = outcome_make(&many, &r.options, more);
    const char *where = plan_difference(&few, &a.plan, &b.plan);
    CHECK(where == NULL, RANDOM_FORMAT ", %d samples, then %d: %s", RANDOM_ARGS(&r), (int)few.num_samples,
          (int)many.num_samples, where);
    outcome_free(&a);
    outcome_free(&b);
    free(load);
    free(more);
    random_problem_free(&r);
}

/* Plateaus: in each sample a few experts are equally heavy, so that no replica lowers its maximum by itself. Others are
   light, expert 0 the lightest; from sample to sample they stay as they are, or change places. */
enum { PLATEAU_LIGHT = 64, PLATEAU_GPUS = 8, PLATEAU_SAMPLES = 8, PLATEAU_MOST = PLATEAU_LIGHT + 8 };

typedef struct plateau {
    int32_t num_heavy, num_spare, num_samples;
    float factor;
    int turned; /* whether the light ones change places */
} plateau;

static int is_heavy(const plateau *p, int32_t e) { return e % 9 == 4 && e / 9 < p->num_heavy; }

static void plateau_loads(const plateau *p, float *load)
{
    for (int32_t t = 0; t < p->num_samples; t++)
        for (int32_t e = 0, light = 0; e < PLATEAU_LIGHT + p->num_heavy; e++) {
            int32_t place =
                is_heavy(p, e) || light == 0 || !p->turned ? light : 1 + (light + 5 * t) % (PLATEAU_LIGHT - 1);
            *load++ = p->factor * (float)(is_heavy(p, e) ? 1000 : 1 + place);
            light += !is_heavy(p, e);
        }
}

/* Each further replica goes to the expert whose loads per replica, over all samples, have the largest sum of squares;
   the first on ties. */
static void naive_replicas(const plateau *p, const float *load, int32_t *count)
{
    double squares[PLATEAU_MOST] = {0};
    int32_t E = PLATEAU_LIGHT + p->num_heavy;
    for (int32_t i = 0; i < p->num_samples * E; i++) squares[i % E] += (double)load[i] * (double)load[i];
    for (int32_t e = 0; e < E; e++) count[e] = 1;
    for (int32_t spare = p->num_spare; spare > 0; spare--) {
        int32_t best = 0;
        for (int32_t e = 1; e < E; e++)
            if (squares[e] / (count[e] * count[e]) > squares[best] / (count[best] * count[best])) best = e;
        count[best]++;
    }
}

static void plan_plateau(const plateau *p, int32_t preset, const float *load, int32_t *count)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    problem.num_layers = 1;
    problem.num_experts = PLATEAU_LIGHT + p->num_heavy;
    problem.num_replicas = problem.num_experts + p->num_spare;
    problem.num_gpus = PLATEAU_GPUS;
    problem.num_samples = p->num_samples;
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset");
    outcome o = outcome_make(&problem, &options, load);
    memcpy(count, o.plan.logcnt, (size_t)problem.num_experts * sizeof *count);
    outcome_free(&o);
}

/* As many replicas of heavy experts as GPUs, or twice as many, so that none is better off with fewer: the counts are
   those of the naive rule, and no light expert has a second replica. */
static void check_plateau(const plateau *p, int32_t preset)
{
    static float load[PLATEAU_SAMPLES * PLATEAU_MOST];
    int32_t expected[PLATEAU_MOST], count[PLATEAU_MOST];
    plateau_loads(p, load);
    naive_replicas(p, load, expected);
    plan_plateau(p, preset, load, count);
    for (int32_t e = 0; e < PLATEAU_LIGHT + p->num_heavy; e++)
        CHECK(count[e] == expected[e] && (count[e] == 1 || is_heavy(p, e)),
              "%s, %d heavy, %d spare, %d samples, times %g, turned %d: expert %d has %d replicas, not %d",
              eplb_preset_name(preset), (int)p->num_heavy, (int)p->num_spare, (int)p->num_samples, (double)p->factor,
              p->turned, (int)e, (int)count[e], (int)expected[e]);
}

static void test_plateaus(void)
{
    static const float factors[] = {1.0f, 100.0f, 1000000.0f};
    for (int32_t preset = EPLB_PRESET_DEFAULT; preset <= EPLB_PRESET_BEST; preset += EPLB_PRESET_BEST)
        for (int32_t heavy = 2; heavy <= 8; heavy *= 2)
            for (int32_t T = 1; T <= PLATEAU_SAMPLES; T *= 2)
                for (int i = 0; i < 3 * 2 * 2; i++) {
                    plateau p = {heavy, (1 + i / 6) * PLATEAU_GPUS - heavy, T, factors[i % 3], i / 3 % 2};
                    check_plateau(&p, preset);
                }
}

/* A ring of which all but the first two steps are still empty, under a half-life. */
static void test_ring_not_yet_full(void)
{
    enum { E = 4, T = 200 };
    static float weight[T * E] = {10, 11, 12, 30, 9, 13, 11, 28};
    float sample_weight[T], age = 1.0f;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = 5;
    problem.num_gpus = 1;
    problem.num_samples = 2;
    for (int t = T; t-- > 0; age *= 0.5f) sample_weight[t] = age;
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "%d", (int)preset);
        options.sample_weight = sample_weight + T - 2;
        problem.num_samples = 2;
        outcome real = outcome_make(&problem, &options, weight);
        problem.num_samples = 60; /* the weights of 200 would have vanished */
        options.sample_weight = sample_weight + T - 60;
        outcome ring = outcome_make(&problem, &options, weight);
        CHECK(plan_difference(&problem, &real.plan, &ring.plan) == NULL, "%s", eplb_preset_name(preset));
        CHECK(memcmp(real.report, ring.report, sizeof *real.report) == 0, "%s", eplb_preset_name(preset));
        CHECK(real.plan.logcnt[3] == 2, "%s", eplb_preset_name(preset));
        outcome_free(&real);
        outcome_free(&ring);
    }
}

/* A long window: its scratch is that of EPLB_MOST_SAMPLES; idle steps between the others, whatever they would
   count for, change nothing in what is merged; where each of few enough steps comes eight times, none is merged with
   another; and where all but the newest vanish, it is the newest alone. */
static void test_long_windows(void)
{
    enum { E = 24, R = 32, LONG = 1000 };
    float *weight = (float *)test_alloc(3 * LONG * E * sizeof *weight);
    float *sample_weight = (float *)test_alloc(2 * LONG * sizeof *sample_weight);
    float *spread = weight + LONG * E;
    uint64_t state = 3;
    size_t of_most, of_long;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_gpus = 8;
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &options) == EPLB_OK, "preset");
    problem.num_samples = EPLB_MOST_SAMPLES;
    CHECK(eplb_scratch_size(&problem, &options, &of_most) == EPLB_OK, "size");
    problem.num_samples = LONG;
    CHECK(eplb_scratch_size(&problem, &options, &of_long) == EPLB_OK, "size");
    CHECK(of_long == of_most && of_long <= EPLB_SCRATCH_BOUND_SAMPLES(E, R, 8, LONG), "%d bytes, then %d", (int)of_most,
          (int)of_long);

    for (int i = 0; i < LONG * E; i++) weight[i] = random_lognormal(&state);
    for (int t = 0; t < LONG; t++) sample_weight[t] = 0.25f + random_unit(&state);
    options.sample_weight = sample_weight;
    problem.num_samples = LONG / 2;
    outcome dense = outcome_make(&problem, &options, weight);
    memset(spread, 0, LONG * E * sizeof *spread);
    for (int t = 0; t < LONG / 2; t++) {
        memcpy(spread + 2 * t * E, weight + t * E, E * sizeof *spread);
        sample_weight[LONG + 2 * t] = sample_weight[t];
        sample_weight[LONG + 2 * t + 1] = 3.0f; /* of a step without load */
    }
    options.sample_weight = sample_weight + LONG;
    problem.num_samples = LONG;
    outcome sparse = outcome_make(&problem, &options, spread);
    CHECK(plan_difference(&problem, &dense.plan, &sparse.plan) == NULL, "idle steps between");
    outcome_free(&dense);
    outcome_free(&sparse);

    for (int i = 0; i < LONG * E; i++) spread[i] = (float)(int32_t)(8.0f * weight[i / (8 * E) * E + i % E]);
    for (int t = 0; t < LONG / 8; t++) memcpy(spread + (LONG + t) * E, spread + 8 * t * E, E * sizeof *spread);
    options.sample_weight = NULL;
    outcome eightfold = outcome_make(&problem, &options, spread);
    problem.num_samples = LONG / 8;
    outcome once = outcome_make(&problem, &options, spread + LONG * E);
    CHECK(plan_difference(&problem, &eightfold.plan, &once.plan) == NULL, "each eight times");
    outcome_free(&eightfold);
    outcome_free(&once);

    options.sample_weight = sample_weight;
    for (int t = 0; t < LONG; t++) sample_weight[t] = t == LONG - 1 ? 1.0f : 1e-10f;
    problem.num_samples = LONG;
    outcome with = outcome_make(&problem, &options, weight);
    options.sample_weight = NULL;
    problem.num_samples = 1;
    outcome alone = outcome_make(&problem, &options, weight + (LONG - 1) * E);
    CHECK(plan_difference(&problem, &with.plan, &alone.plan) == NULL, "the newest alone");
    outcome_free(&with);
    outcome_free(&alone);
    free(weight);
    free(sample_weight);
}

/* The bound takes off for rounding what one sample costs, however many there are. */
static void test_bound_of_many_samples(void)
{
    enum { E = 16, R = 16, T = 100000 };
    float *weight = (float *)test_alloc((size_t)E * T * sizeof *weight);
    uint64_t state = 1;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_gpus = R; /* the heaviest expert is the bound */
    problem.num_samples = T;
    for (int i = 0; i < E * T; i++) weight[i] = random_lognormal(&state) + (i % E == 5 ? 3.0f : 0.0f);
    CHECK(eplb_options_preset(EPLB_PRESET_DEEPSEEK, &options) == EPLB_OK, "preset");
    outcome o = outcome_make(&problem, &options, weight);
    double heaviest = 0;
    for (int t = 0; t < T; t++) heaviest += (double)weight[t * E + 5] / T;
    CHECK((double)o.report[0].lower_bound >= heaviest * (1 - 1e-6), "bound %.9g, heaviest expert %.9g",
          (double)o.report[0].lower_bound, heaviest);
    CHECK((double)o.report[0].lower_bound <= heaviest, "bound %.9g, heaviest expert %.9g",
          (double)o.report[0].lower_bound, heaviest);
    outcome_free(&o);
    free(weight);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int count = argc > 2 ? atoi(argv[2]) : 2000;
    test_ring_not_yet_full();
    test_bound_of_many_samples();
    test_long_windows();
    test_plateaus();
    for (int i = 0; i < count; i++) check_case(seed + (uint64_t)i);
    for (int i = 0; i < count; i++) check_copies(seed + (uint64_t)i);
    return test_report("test_samples");
}
