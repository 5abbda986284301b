/* test_window.c - collecting samples: the window as a ring beside a plain list of all that was pushed,
   the view beside the same array built by hand, tokens by slot beside naive sums; and every error of
   these functions, with everything unchanged and guards around it.

   usage: test_window [SEED [COUNT]]: random case i has seed SEED + i */
#include <math.h>

#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

enum { GUARD = 64, SIZE_IS_64_BITS = sizeof(size_t) > 4 };

/* ------------------------------------------------------------------------- windows and histories */

/* A window in memory of its own that starts at any address and has guards on both sides. */
typedef struct guarded_window {
    eplb_window window;
    unsigned char *block;
    size_t front, bytes; /* guard and offset before the memory; the memory */
} guarded_window;

static unsigned char pattern(size_t i) { return (unsigned char)(i * 37 + (i >> 8) * 11 + 5); }

static guarded_window window_make(int32_t L, int32_t E, int32_t capacity, float decay, size_t offset)
{
    guarded_window g;
    memset(&g, 0, sizeof g);
    eplb_result r = eplb_window_size(L, E, capacity, &g.bytes);
    CHECK(r == EPLB_OK, "size of %d %d %d: %s", (int)L, (int)E, (int)capacity, eplb_result_name(r));
    g.front = GUARD + offset;
    g.block = (unsigned char *)test_alloc(g.front + g.bytes + GUARD);
    for (size_t i = 0; i < g.front + g.bytes + GUARD; i++) g.block[i] = pattern(i);
    r = eplb_window_init(&g.window, L, E, capacity, decay, g.block + g.front, g.bytes);
    CHECK(r == EPLB_OK, "window of %d %d %d: %s", (int)L, (int)E, (int)capacity, eplb_result_name(r));
    return g;
}

static int window_guards_hold(const guarded_window *g)
{
    for (size_t i = 0; i < g->front; i++)
        if (g->block[i] != pattern(i)) return 0;
    for (size_t i = g->front + g->bytes; i < g->front + g->bytes + GUARD; i++)
        if (g->block[i] != pattern(i)) return 0;
    return 1;
}

static void window_free(guarded_window *g)
{
    CHECK(window_guards_hold(g), "wrote outside the window's memory");
    free(g->block);
}

/* All that was ever pushed, oldest first; each holds load. */
typedef struct history {
    int32_t L, E, num;
    float *weight; /* [num, L, E] */
} history;

static history history_make(uint64_t *state, int32_t L, int32_t E, int32_t num)
{
    history h = {L, E, num, NULL};
    h.weight = random_loads(state, num * L, E);
    for (int32_t i = 0; i < num; i++) h.weight[(size_t)i * (size_t)L * (size_t)E] += 1.0f;
    return h;
}

static const float *history_row(const history *h, int32_t i)
{
    return h->weight + (size_t)i * (size_t)h->L * (size_t)h->E;
}

/* What a sample counts for that others followed, each step rounded. */
static float aged(float decay, int32_t age)
{
    volatile float weight = 1.0f;
    for (int32_t i = 0; i < age; i++) weight = weight * decay;
    return weight;
}

/* The [T, L, E] and [T] that a ring of the capacity shows after the first `pushed` rows of a history;
   returns T. Row r has the last push whose number leaves the remainder r. */
static int32_t history_view(const history *h, int32_t pushed, int32_t capacity, float decay, float *weight,
                            float *sample_weight)
{
    size_t row_size = (size_t)h->L * (size_t)h->E;
    int32_t T = pushed < capacity ? pushed : capacity;
    for (int32_t r = 0; r < T; r++) {
        int32_t last = pushed - 1;
        while (last % capacity != r) last--;
        memcpy(weight + (size_t)r * row_size, history_row(h, last), row_size * sizeof(float));
        sample_weight[r] = aged(decay, pushed - 1 - last);
    }
    return T;
}

static int same_floats(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(a[i] >= b[i] && a[i] <= b[i])) return 0;
    return 1;
}

/* A view that sets every one of its fields shows it. */
static void spoil_view(eplb_problem *problem, eplb_options *options, const float **weight)
{
    memset(problem, 0x55, sizeof *problem);
    memset(options, 0x55, sizeof *options);
    options->sample_weight = NULL;
    *weight = NULL;
}

static float random_decay(uint64_t *state)
{
    static const float decay[] = {0.0f, 1.0f, 0.5f, 0.9786f, 0.1f, 1e-6f, 1e-30f};
    return decay[test_range(state, 0, 6)];
}

/* ------------------------------------------------------------------------------------------ ring */

#define RING_FORMAT "seed %llu push %d"
#define RING_ARGS   (unsigned long long)seed, (int)pushed

/* After each push the window shows the same as the list, and a view leaves all else in its outputs. */
static void test_ring(uint64_t seed)
{
    uint64_t state = seed;
    int32_t L = test_range(&state, 1, 3), E = test_range(&state, 1, 9);
    int32_t capacity = test_range(&state, 1, 6), num = test_range(&state, 1, 20);
    float given = random_decay(&state), decay = given > 0.0f ? given : 1.0f;
    size_t row_size = (size_t)L * (size_t)E;
    history h = history_make(&state, L, E, num);
    guarded_window g = window_make(L, E, capacity, given, (size_t)test_range(&state, 0, 80));
    float *weight = (float *)test_alloc((size_t)capacity * row_size * sizeof(float));
    float *sample_weight = (float *)test_alloc((size_t)capacity * sizeof(float));
    CHECK(g.window.num_samples == 0 && g.window.next == 0, "seed %llu: new", (unsigned long long)seed);

    for (int32_t pushed = 1; pushed <= num; pushed++) {
        eplb_problem problem, other_fields;
        eplb_options options, other_options;
        const float *seen;
        spoil_view(&problem, &options, &seen);
        memcpy(&other_fields, &problem, sizeof problem);
        memcpy(&other_options, &options, sizeof options);
        eplb_result push = eplb_window_push(&g.window, history_row(&h, pushed - 1));
        eplb_result view = eplb_window_view(&g.window, &problem, &options, &seen);
        CHECK(push == EPLB_OK && view == EPLB_OK, RING_FORMAT ": %s, %s", RING_ARGS, eplb_result_name(push),
              eplb_result_name(view));

        int32_t T = history_view(&h, pushed, capacity, decay, weight, sample_weight);
        CHECK(g.window.num_samples == T && g.window.next == pushed % capacity, RING_FORMAT ": next %d", RING_ARGS,
              (int)g.window.next);
        CHECK(same_floats(seen, weight, (size_t)T * row_size), RING_FORMAT ": the samples", RING_ARGS);
        CHECK(same_floats(options.sample_weight, sample_weight, (size_t)T), RING_FORMAT ": their weights", RING_ARGS);

        other_fields.num_layers = L;
        other_fields.num_experts = E;
        other_fields.num_samples = T;
        other_options.sample_weight = options.sample_weight;
        CHECK(memcmp(&problem, &other_fields, sizeof problem) == 0, RING_FORMAT ": the problem", RING_ARGS);
        CHECK(memcmp(&options, &other_options, sizeof options) == 0, RING_FORMAT ": the options", RING_ARGS);
    }
    free(weight);
    free(sample_weight);
    free(h.weight);
    window_free(&g);
}

/* The memory may start anywhere: the size suffices, nothing beside it is written, and what is shown is
   the same. */
static void test_any_address(void)
{
    enum { L = 2, E = 5, CAPACITY = 3, NUM = 5 };
    uint64_t state = 1;
    history h = history_make(&state, L, E, NUM);
    float weight[CAPACITY * L * E], sample_weight[CAPACITY];
    history_view(&h, NUM, CAPACITY, 0.75f, weight, sample_weight);
    for (size_t offset = 0; offset < 2 * EPLB_SCRATCH_ALIGN; offset++) {
        guarded_window g = window_make(L, E, CAPACITY, 0.75f, offset);
        unsigned char *memory = g.block + g.front;
        eplb_problem problem;
        eplb_options options;
        const float *seen;
        spoil_view(&problem, &options, &seen);
        for (int32_t i = 0; i < NUM; i++)
            CHECK(eplb_window_push(&g.window, history_row(&h, i)) == EPLB_OK, "offset %d", (int)offset);
        CHECK(eplb_window_view(&g.window, &problem, &options, &seen) == EPLB_OK, "offset %d", (int)offset);
        CHECK(same_floats(seen, weight, CAPACITY * L * E)
                  && same_floats(options.sample_weight, sample_weight, CAPACITY),
              "offset %d", (int)offset);
        CHECK((const unsigned char *)seen >= memory
                  && (const unsigned char *)(options.sample_weight + CAPACITY) <= memory + g.bytes,
              "offset %d: outside the memory", (int)offset);
        window_free(&g);
    }
    free(h.weight);
}

/* What a sample counts for, k pushes later: exactly 2^-k for a decay of 1/2, down to the smallest
   float and 0 after it; within k roundings of decay^k for any other. */
static void test_decay(void)
{
    enum { CAPACITY = 160 };
    static const float decays[] = {0.5f, 0.9786f, 0.999f, 0.3f};
    const float load = 1.0f;
    for (size_t d = 0; d < sizeof decays / sizeof decays[0]; d++) {
        guarded_window g = window_make(1, 1, CAPACITY, decays[d], 3);
        for (int32_t i = 0; i < CAPACITY; i++) CHECK(eplb_window_push(&g.window, &load) == EPLB_OK, "push %d", (int)i);
        for (int32_t age = 0; age < CAPACITY; age++) {
            double seen = (double)g.window.sample_weight[CAPACITY - 1 - age];
            double exact = pow((double)decays[d], age);
            if (d == 0) CHECK(fabs(seen - (age < 150 ? exact : 0.0)) <= 0.0, "age %d: %g", (int)age, seen);
            else CHECK(fabs(seen - exact) <= exact * age * 6e-8 + 1.5e-45 * age, "age %d: %g", (int)age, seen);
        }
        window_free(&g);
    }
}

/* Samples without load, at any place among others and however many: the window is as without them. So is
   one that has had no other, which is empty. */
static void test_idle_samples(uint64_t seed)
{
    uint64_t state = seed;
    int32_t L = test_range(&state, 1, 3), E = test_range(&state, 1, 9), num = test_range(&state, 0, 9);
    int32_t capacity = test_range(&state, 1, 6);
    float decay = random_decay(&state), *idle = random_loads(&state, L, E);
    static const int32_t idle_count[3 * 9];
    history h = history_make(&state, L, E, num);
    guarded_window busy = window_make(L, E, capacity, decay, 0), both = window_make(L, E, capacity, decay, 0);
    for (int32_t i = 0; i < L * E; i++) idle[i] = i % 2 ? -0.0f : 0.0f;
    for (int32_t i = 0; i <= num; i++) {
        for (int32_t idles = test_range(&state, 0, 300); idles > 0; idles--)
            CHECK((idles % 2 ? eplb_window_push(&both.window, idle) : eplb_window_push_counts(&both.window, idle_count))
                      == EPLB_OK,
                  "seed %llu", (unsigned long long)seed);
        if (i == num) break;
        CHECK(eplb_window_push(&busy.window, history_row(&h, i)) == EPLB_OK, "seed %llu", (unsigned long long)seed);
        CHECK(eplb_window_push(&both.window, history_row(&h, i)) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    }
    CHECK(both.window.num_samples == busy.window.num_samples && both.window.next == busy.window.next,
          "seed %llu: %d samples", (unsigned long long)seed, (int)both.window.num_samples);
    CHECK(same_floats(both.window.weight, busy.window.weight, (size_t)busy.window.num_samples * (size_t)L * (size_t)E)
              && same_floats(both.window.sample_weight, busy.window.sample_weight, (size_t)busy.window.num_samples),
          "seed %llu: other samples or weights", (unsigned long long)seed);
    free(idle);
    free(h.weight);
    window_free(&busy);
    window_free(&both);
}

/* Starting afresh, by init or by the two fields, forgets all samples. */
static void test_starting_afresh(void)
{
    const float old[2] = {1.0f, 2.0f}, new_load[2] = {7.0f, 8.0f};
    const float newest = 1.0f;
    guarded_window g = window_make(1, 2, 3, 0.5f, 0);
    for (int by_init = 0; by_init < 2; by_init++) {
        while (g.window.num_samples < 3 || g.window.next != 1)
            CHECK(eplb_window_push(&g.window, old) == EPLB_OK, "push");
        if (by_init) CHECK(eplb_window_init(&g.window, 1, 2, 3, 0.5f, g.block + g.front, g.bytes) == EPLB_OK, "init");
        else g.window.num_samples = g.window.next = 0;
        CHECK(eplb_window_push(&g.window, new_load) == EPLB_OK, "afresh, by init %d", by_init);
        CHECK(g.window.num_samples == 1 && g.window.next == 1, "afresh, by init %d", by_init);
        CHECK(same_floats(g.window.weight, new_load, 2) && same_floats(g.window.sample_weight, &newest, 1),
              "afresh, by init %d", by_init);
    }
    window_free(&g);
}

/* ---------------------------------------------------------------------------------------- counts */

/* The nearest float to a count, the even one of two: 24 bits and a power of two, by whole numbers. */
static float nearest_float(int32_t count)
{
    uint32_t kept = (uint32_t)count, lost = 0, power = 0;
    while (kept >> power >= 1u << 24) power++;
    lost = kept & ((1u << power) - 1);
    kept >>= power;
    if (power > 0 && (lost > 1u << (power - 1) || (lost == 1u << (power - 1) && (kept & 1)))) kept++;
    return ldexpf((float)kept, (int)power);
}

static void test_counts(void)
{
    static const int32_t count[] = {0,        1,        16777215, 16777216,   16777217,   16777218,
                                    16777219, 33554434, 33554435, 2147483583, 2147483584, INT32_MAX};
    static const float nearest[] = {0.0f,        1.0f,        16777215.0f, 16777216.0f,   16777216.0f,   16777218.0f,
                                    16777220.0f, 33554432.0f, 33554436.0f, 2147483520.0f, 2147483648.0f, 2147483648.0f};
    static const float half_and_one[] = {0.5f, 1.0f};
    enum { N = sizeof count / sizeof count[0], MANY = 1000 };
    guarded_window g = window_make(2, N / 2, 2, 0.5f, 1);
    CHECK(eplb_window_push_counts(&g.window, count) == EPLB_OK, "counts");
    CHECK(eplb_window_push_counts(&g.window, count) == EPLB_OK, "counts again");
    for (int i = 0; i < N; i++) {
        CHECK(same_floats(&g.window.weight[i], &nearest[i], 1), "%d gives %.9g", (int)count[i],
              (double)g.window.weight[i]);
        CHECK(same_floats(&g.window.weight[N + i], &nearest[i], 1), "%d gives %.9g in the second row", (int)count[i],
              (double)g.window.weight[N + i]);
    }
    CHECK(g.window.num_samples == 2 && g.window.next == 0, "next %d", (int)g.window.next);
    CHECK(same_floats(g.window.sample_weight, half_and_one, 2), "%g", (double)g.window.sample_weight[0]);
    window_free(&g);

    uint64_t state = 2;
    int32_t many[MANY];
    for (int i = 0; i < MANY; i++) many[i] = (int32_t)(test_next(&state) >> 33) >> test_range(&state, 0, 8);
    g = window_make(1, MANY, 1, 0.0f, 0);
    CHECK(eplb_window_push_counts(&g.window, many) == EPLB_OK, "many counts");
    for (int i = 0; i < MANY; i++) {
        float want = nearest_float(many[i]);
        CHECK(same_floats(&g.window.weight[i], &want, 1), "%d gives %.9g", (int)many[i], (double)g.window.weight[i]);
    }
    window_free(&g);
}

/* -------------------------------------------------------------------------------------- planning */

/* The plan for a window's view is that for the same samples in an array built by hand. */
static void test_view_plans(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = seed ^ UINT64_C(0x5A5A5A5A);
    int32_t L = r.problem.num_layers, E = r.problem.num_experts;
    int32_t capacity = test_range(&state, 1, 5), num = test_range(&state, 1, 9);
    float given = random_decay(&state), decay = given > 0.0f ? given : 1.0f;
    size_t row_size = (size_t)L * (size_t)E;
    history h = history_make(&state, L, E, num);
    guarded_window g = window_make(L, E, capacity, given, 5);
    float *weight = (float *)test_alloc((size_t)capacity * row_size * sizeof(float));
    float *sample_weight = (float *)test_alloc((size_t)capacity * sizeof(float));
    eplb_problem by_hand = r.problem, viewed = r.problem;
    eplb_options options_by_hand = r.options, options_viewed = r.options;
    const float *seen = NULL;

    for (int32_t i = 0; i < num; i++)
        CHECK(eplb_window_push(&g.window, history_row(&h, i)) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    by_hand.num_samples = history_view(&h, num, capacity, decay, weight, sample_weight);
    options_by_hand.sample_weight = sample_weight;
    viewed.num_layers = viewed.num_experts = viewed.num_samples = -1;
    CHECK(eplb_window_view(&g.window, &viewed, &options_viewed, &seen) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    CHECK(memcmp(&viewed, &by_hand, sizeof viewed) == 0, RANDOM_FORMAT ": other fields", RANDOM_ARGS(&r));

    eplb_plan a = plan_alloc(&by_hand, plan_full_width(&by_hand));
    eplb_plan b = plan_alloc(&by_hand, plan_full_width(&by_hand));
    eplb_result ra = plan_with_library(&by_hand, &options_by_hand, weight, &a);
    eplb_result rb = plan_with_library(&viewed, &options_viewed, seen, &b);
    CHECK(ra == EPLB_OK && rb == EPLB_OK, RANDOM_FORMAT ": %s, %s", RANDOM_ARGS(&r), eplb_result_name(ra),
          eplb_result_name(rb));
    const char *where = plan_difference(&by_hand, &a, &b);
    CHECK(where == NULL, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), where);
    plan_free(&a);
    plan_free(&b);
    free(weight);
    free(sample_weight);
    free(h.weight);
    window_free(&g);
    random_problem_free(&r);
}

/* With a decay that makes all but the newest sample vanish, the plan is that for the newest alone;
   without options it is not. */
static void test_decay_reaches_the_plan(void)
{
    enum { L = 4, E = 12, NUM = 5, CAPACITY = 3 };
    uint64_t state = 7;
    guarded_window g = window_make(L, E, CAPACITY, 1e-30f, 0);
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options, plain;
    float load[L * E];
    const float *seen = NULL;
    problem.num_layers = L;
    problem.num_experts = E;
    problem.num_replicas = 16;
    problem.num_gpus = 8;
    eplb_options_preset(EPLB_PRESET_DEEPSEEK, &options);
    plain = options;

    eplb_plan newest = plan_alloc(&problem, 5), whole = plan_alloc(&problem, 5);
    eplb_plan even = plan_alloc(&problem, 5);
    for (int i = 0; i < NUM; i++) {
        for (int j = 0; j < L * E; j++) load[j] = (float)test_range(&state, 1, 1000);
        CHECK(eplb_window_push(&g.window, load) == EPLB_OK, "push %d", i);
    }
    CHECK(plan_with_library(&problem, &plain, load, &newest) == EPLB_OK, "the newest alone");
    CHECK(eplb_window_view(&g.window, &problem, &options, &seen) == EPLB_OK, "view");
    CHECK(plan_with_library(&problem, &options, seen, &whole) == EPLB_OK, "the whole window");
    CHECK(eplb_window_view(&g.window, &problem, NULL, &seen) == EPLB_OK, "view without options");
    CHECK(plan_with_library(&problem, &plain, seen, &even) == EPLB_OK, "all samples alike");
    CHECK(plan_difference(&problem, &newest, &whole) == NULL, "decay 1e-30 is not the newest alone");
    CHECK(plan_difference(&problem, &newest, &even) != NULL, "older samples never count");
    plan_free(&newest);
    plan_free(&whole);
    plan_free(&even);
    window_free(&g);
}

/* ------------------------------------------------------------------------- counts of the experts */

typedef struct served { /* tokens by slot under some plan */
    eplb_problem problem;
    eplb_plan plan;
    int32_t *slot_count; /* [L, R] */
    int32_t *count;      /* [L, E] */
    int64_t *naive;      /* [L, E] */
} served;

/* Any map of slots to experts, with some experts in no slot and some slots empty; now and then many
   tokens. */
static served served_make(uint64_t *state)
{
    served s;
    memset(&s, 0, sizeof s);
    s.problem.num_layers = test_range(state, 1, 4);
    s.problem.num_experts = test_range(state, 1, 20);
    s.problem.num_replicas = s.problem.num_experts + test_range(state, 0, 20);
    size_t slots = plan_slots(&s.problem), experts = plan_experts(&s.problem);
    int32_t kind = test_range(state, 0, 3);
    int32_t most = kind == 0 ? INT32_MAX / 4 - 1 : kind == 1 ? INT32_MAX / 20 : 5000;
    s.plan.phy2log = plan_ints(slots);
    s.slot_count = plan_ints(slots);
    s.count = plan_ints(experts);
    s.naive = (int64_t *)test_alloc(experts * sizeof(int64_t));
    for (size_t i = 0; i < slots; i++) {
        s.plan.phy2log[i] = test_range(state, 0, 7) ? test_range(state, 0, s.problem.num_experts - 1) : -1;
        s.slot_count[i] = test_range(state, 0, 3) ? test_range(state, 0, most) : 0;
    }
    for (size_t i = 0; i < experts; i++) {
        size_t layer = i / (size_t)s.problem.num_experts, R = (size_t)s.problem.num_replicas;
        int32_t expert = (int32_t)(i % (size_t)s.problem.num_experts);
        s.naive[i] = 0;
        for (size_t slot = layer * R; slot < layer * R + R; slot++)
            s.naive[i] += s.plan.phy2log[slot] == expert ? s.slot_count[slot] : 0;
    }
    return s;
}

static void served_free(served *s)
{
    free(s->plan.phy2log);
    free(s->slot_count);
    free(s->count);
    free(s->naive);
}

/* 1 when the sums fit, 0 when one does not. */
static int test_logical_counts(uint64_t seed)
{
    uint64_t state = seed;
    served s = served_make(&state);
    size_t experts = plan_experts(&s.problem);
    int fits = 1, equal = 1;
    eplb_result r = eplb_logical_counts(&s.problem, &s.plan, s.slot_count, s.count);
    for (size_t i = 0; i < experts; i++) {
        fits &= s.naive[i] <= INT32_MAX;
        equal &= s.count[i] == s.naive[i];
    }
    CHECK(r == (fits ? EPLB_OK : EPLB_ERR_OVERFLOW), "seed %llu: %s", (unsigned long long)seed, eplb_result_name(r));
    CHECK(fits ? equal : plan_is_unwritten(s.count, experts), "seed %llu: the sums", (unsigned long long)seed);
    served_free(&s);
    return fits;
}

/* One fault in a random place is found, whatever stands after it, and nothing is written. */
static void test_bad_served(uint64_t seed)
{
    uint64_t state = seed;
    served s = served_make(&state);
    int32_t slots = (int32_t)plan_slots(&s.problem), at = test_range(&state, 0, slots - 1);
    size_t experts = plan_experts(&s.problem);
    int bad_plan = test_range(&state, 0, 1), low = test_range(&state, 0, 1);
    eplb_result want = bad_plan ? EPLB_ERR_PLAN : EPLB_ERR_NEGATIVE;
    for (int32_t i = 0; i < slots; i++) s.slot_count[i] /= 100; /* no sum overflows */
    if (bad_plan) s.plan.phy2log[at] = low ? (test_range(&state, 0, 1) ? -2 : INT32_MIN) : s.problem.num_experts;
    else s.slot_count[at] = low ? INT32_MIN : -1;
    eplb_result r = eplb_logical_counts(&s.problem, &s.plan, s.slot_count, s.count);
    CHECK(r == want, "seed %llu slot %d: %s", (unsigned long long)seed, (int)at, eplb_result_name(r));
    CHECK(plan_is_unwritten(s.count, experts), "seed %llu slot %d", (unsigned long long)seed, (int)at);
    served_free(&s);
}

/* Sums of exactly INT32_MAX are counted and those of one more are not, in the first layer and in the
   last, from one slot or from many, beside experts that have as many tokens. */
static void test_count_limits(void)
{
    enum { L = 3, E = 3, R = 6, LARGE = INT32_MAX };
    static const int32_t good[L * R] = {
        LARGE,     0, LARGE, 0, 0,     LARGE, /* the layer has 3 * (2^31 - 1) */
        LARGE - 1, 1, 5,     0, LARGE, 0,     LARGE / 2, LARGE / 2 + 1, LARGE - 7, 3, 4, 0};
    static const int32_t sum[L * E] = {LARGE, LARGE, LARGE, LARGE, 5, LARGE, LARGE, LARGE, 0};
    int32_t phy2log[L * R] = {0, 0, 1, 1, 1, 2, 0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 1, 2};
    int32_t slot_count[L * R], count[L * E];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    problem.num_layers = L;
    problem.num_experts = E;
    problem.num_replicas = R;
    plan.phy2log = phy2log;
    eplb_result r = eplb_logical_counts(&problem, &plan, good, count);
    CHECK(r == EPLB_OK && plan_same_ints(count, sum, L * E), "%s", eplb_result_name(r));

    for (int i = 0; i < L * R; i++) { /* one more in any slot of a full expert */
        int at = i / R * E + phy2log[i], full = sum[at] == LARGE;
        if (good[i] == LARGE) continue;
        memcpy(slot_count, good, sizeof good);
        memset(count, 0x33, sizeof count);
        slot_count[i]++;
        r = eplb_logical_counts(&problem, &plan, slot_count, count);
        CHECK(r == (full ? EPLB_ERR_OVERFLOW : EPLB_OK), "slot %d: %s", i, eplb_result_name(r));
        CHECK(count[at] == (full ? 0x33333333 : sum[at] + 1), "slot %d: %d", i, (int)count[at]);
    }
    for (int i = 0; i < L * R; i++) { /* six times the most for one expert in each layer */
        slot_count[i] = LARGE;
        phy2log[i] = 0;
    }
    r = eplb_logical_counts(&problem, &plan, slot_count, count);
    CHECK(r == EPLB_ERR_OVERFLOW, "%s", eplb_result_name(r));
}

/* The whole way: experts' tokens are split over the slots of a plan, counted back and pushed; the
   window shows what it would had the tokens been pushed themselves. */
static void test_whole_way(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = seed;
    size_t slots = plan_slots(&r.problem), experts = plan_experts(&r.problem);
    eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    int32_t *slot_count = plan_ints(slots), *count = plan_ints(experts), *tokens = plan_ints(experts);
    guarded_window g = window_make(r.problem.num_layers, r.problem.num_experts, 1, 0.0f, 0);
    CHECK(plan_with_library(&r.problem, &r.options, r.weight, &plan) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    for (size_t i = 0; i < slots; i++) slot_count[i] = 0;
    for (size_t i = 0; i < experts; i++) {
        size_t layer = i / (size_t)r.problem.num_experts * (size_t)r.problem.num_replicas;
        int32_t *slot = plan.log2phy + i * (size_t)plan.log2phy_width;
        tokens[i] = test_range(&state, 0, 9);
        for (int32_t t = 0; t < tokens[i]; t++)
            slot_count[layer + (size_t)slot[test_range(&state, 0, plan.logcnt[i] - 1)]]++;
    }
    CHECK(eplb_logical_counts(&r.problem, &plan, slot_count, count) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    CHECK(plan_same_ints(count, tokens, experts), RANDOM_FORMAT ": tokens", RANDOM_ARGS(&r));
    CHECK(eplb_window_push_counts(&g.window, count) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    for (size_t i = 0; i < experts; i++) {
        float want = (float)tokens[i];
        CHECK(same_floats(&g.window.weight[i], &want, 1), RANDOM_FORMAT ": in the window", RANDOM_ARGS(&r));
    }
    plan_free(&plan);
    free(slot_count);
    free(count);
    free(tokens);
    window_free(&g);
    random_problem_free(&r);
}

/* ----------------------------------------------------------------------------------------- sizes */

/* One less of anything needs no more. */
static void check_monotone(int32_t layers, int32_t experts, int32_t capacity)
{
    size_t bytes = 0, smaller = 0;
    CHECK(eplb_window_size(layers, experts, capacity, &bytes) == EPLB_OK, "size");
    for (int which = 0; which < 3; which++) {
        eplb_result r =
            eplb_window_size(layers - (which == 0), experts - (which == 1), capacity - (which == 2), &smaller);
        CHECK(r == EPLB_OK ? smaller <= bytes : r == EPLB_ERR_COUNT, "%d %d %d: %lu", (int)layers, (int)experts,
              (int)capacity, (unsigned long)smaller);
    }
}

static void test_sizes(void)
{
    static const int32_t bad[] = {0, -1, INT32_MIN};
    size_t bytes = 77;
    for (int i = 0; i < 3; i++)
        CHECK(eplb_window_size(bad[i], 1, 1, &bytes) == EPLB_ERR_COUNT
                  && eplb_window_size(1, bad[i], 1, &bytes) == EPLB_ERR_COUNT
                  && eplb_window_size(1, 1, bad[i], &bytes) == EPLB_ERR_COUNT && bytes == 77,
              "count %d", (int)bad[i]);
    CHECK(eplb_window_size(1, 1, 1, NULL) == EPLB_ERR_NULL, "nowhere to put the size");
    CHECK(eplb_window_size(INT32_MAX, INT32_MAX, INT32_MAX, &bytes) == EPLB_ERR_OVERFLOW && bytes == 77, "2^95 bytes");
    CHECK(eplb_window_size(INT32_MAX, INT32_MAX, 2, &bytes) == EPLB_ERR_OVERFLOW && bytes == 77, "2^65 bytes");
    eplb_result r = eplb_window_size(INT32_MAX, INT32_MAX, 1, &bytes); /* 2^64 - 2^34 and a little */
    CHECK(r == (SIZE_IS_64_BITS ? EPLB_OK : EPLB_ERR_OVERFLOW), "%s", eplb_result_name(r));
    r = eplb_window_size(32768, 32768, 1, &bytes); /* 2^32 */
    CHECK(r == (SIZE_IS_64_BITS ? EPLB_OK : EPLB_ERR_OVERFLOW), "%s", eplb_result_name(r));

    /* No less than the arrays need, little more, and more for more of anything. */
    for (int32_t layers = 1; layers <= 61; layers += 12)
        for (int32_t experts = 1; experts <= 256; experts += 51)
            for (int32_t capacity = 1; capacity <= 64; capacity += 9) {
                size_t arrays = ((size_t)layers * (size_t)experts + 1) * (size_t)capacity * sizeof(float);
                CHECK(eplb_window_size(layers, experts, capacity, &bytes) == EPLB_OK && bytes >= arrays
                          && bytes <= arrays + 3 * EPLB_SCRATCH_ALIGN,
                      "%d %d %d: %lu", (int)layers, (int)experts, (int)capacity, (unsigned long)bytes);
                check_monotone(layers, experts, capacity);
            }
}

/* ---------------------------------------------------------------------------------------- errors */

enum { L = 2, E = 3, R = 4, CAPACITY = 3, MEMORY = 1024 };

/* All that the functions write, with guards between, in one block that is compared as a whole. */
typedef struct world {
    unsigned char guard0[GUARD];
    eplb_window window; /* of two samples in memory */
    unsigned char guard1[GUARD];
    unsigned char memory[MEMORY];
    unsigned char guard2[GUARD];
    eplb_window other; /* not yet a window */
    unsigned char guard3[GUARD];
    unsigned char other_memory[MEMORY];
    unsigned char guard4[GUARD];
    eplb_problem problem;
    eplb_options options;
    const float *weight;
    unsigned char guard5[GUARD];
    int32_t count[L * E];
    unsigned char guard6[GUARD];
} world;

static world now, before;
static float load[L * E] = {1, 2, 3, 4, 5, 6};
static size_t window_bytes;

static void renew_world(void)
{
    unsigned char *bytes = (unsigned char *)&now;
    for (size_t i = 0; i < sizeof now; i++) bytes[i] = pattern(i);
    CHECK(eplb_window_size(L, E, CAPACITY, &window_bytes) == EPLB_OK && window_bytes < MEMORY, "%lu bytes",
          (unsigned long)window_bytes);
    eplb_result r = eplb_window_init(&now.window, L, E, CAPACITY, 0.5f, now.memory + 1, window_bytes);
    CHECK(r == EPLB_OK, "%s", eplb_result_name(r));
    for (int i = 0; i < 2; i++) CHECK(eplb_window_push(&now.window, load) == EPLB_OK, "push %d", i);
    memcpy(&before, &now, sizeof now);
}

static void refused(const char *what, eplb_result got, eplb_result want)
{
    CHECK(got == want, "%s: %s, not %s", what, eplb_result_name(got), eplb_result_name(want));
    CHECK(memcmp(&now, &before, sizeof now) == 0, "%s: something was written", what);
    memcpy(&now, &before, sizeof now);
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static eplb_result init_with(int32_t layers, int32_t experts, int32_t capacity, float decay)
{
    return eplb_window_init(&now.other, layers, experts, capacity, decay, now.other_memory, MEMORY);
}

static void test_init_errors(void)
{
    static const uint32_t bad_decay[] = {0xBF800000u, 0x80000001u, 0x3F800001u, 0x40000000u, 0x7F800000u,
                                         0xFF800000u, 0x7FC00000u, 0xFFC00000u, 0x7F800001u};
    static const uint32_t good_decay[] = {0u, 0x80000000u, 1u, 0x00800000u, 0x3F000000u, 0x3F7FFFFFu, 0x3F800000u};
    renew_world();
    refused("window NULL", eplb_window_init(NULL, L, E, 1, 1, now.other_memory, MEMORY), EPLB_ERR_NULL);
    refused("memory NULL", eplb_window_init(&now.other, L, E, 1, 1, NULL, MEMORY), EPLB_ERR_NULL);
    refused("no layer", init_with(0, E, 1, 1), EPLB_ERR_COUNT);
    refused("no expert", init_with(L, 0, 1, 1), EPLB_ERR_COUNT);
    refused("no capacity", init_with(L, E, 0, 1), EPLB_ERR_COUNT);
    refused("negative capacity", init_with(L, E, -1, 1), EPLB_ERR_COUNT);
    refused("too large", init_with(INT32_MAX, INT32_MAX, INT32_MAX, 1), EPLB_ERR_OVERFLOW);
    for (size_t i = 0; i < sizeof bad_decay / sizeof bad_decay[0]; i++)
        refused("decay", init_with(L, E, 1, from_bits(bad_decay[i])), EPLB_ERR_OPTION);
    for (size_t bytes = 0; bytes < window_bytes; bytes++) {
        eplb_result r = eplb_window_init(&now.other, L, E, CAPACITY, 1, now.other_memory, bytes);
        refused("memory too small", r, EPLB_ERR_SCRATCH_SIZE);
    }
    for (size_t i = 0; i < sizeof good_decay / sizeof good_decay[0]; i++) {
        float good = from_bits(good_decay[i]), want = good > 0.0f ? good : 1.0f;
        CHECK(init_with(L, E, CAPACITY, good) == EPLB_OK, "decay %g", (double)good);
        CHECK(same_floats(&now.other.decay, &want, 1), "decay %g", (double)now.other.decay);
        CHECK(eplb_window_push(&now.other, load) == EPLB_OK, "decay %g", (double)good);
    }
}

/* Windows that eplb_window_init cannot have made. */
static eplb_result spoil_window(eplb_window *w, int how)
{
    switch (how) {
    case 0: w->weight = NULL; return EPLB_ERR_NULL;
    case 1: w->sample_weight = NULL; return EPLB_ERR_NULL;
    case 2: memset(w, 0, sizeof *w); return EPLB_ERR_NULL;
    case 3: w->num_layers = 0; return EPLB_ERR_COUNT;
    case 4: w->num_experts = -1; return EPLB_ERR_COUNT;
    case 5: w->capacity = 0; return EPLB_ERR_COUNT;
    case 6: w->capacity = 1; return EPLB_ERR_COUNT; /* fewer than it holds */
    case 7: w->num_samples = -1; return EPLB_ERR_COUNT;
    case 8: w->num_samples = CAPACITY + 1; return EPLB_ERR_COUNT;
    case 9: w->next = -1; return EPLB_ERR_COUNT;
    case 10:
        w->next = CAPACITY;
        w->num_samples = CAPACITY;
        return EPLB_ERR_COUNT;
    case 11: w->next = 0; return EPLB_ERR_COUNT; /* a third row that was never filled */
    case 12: w->decay = 0.0f; return EPLB_ERR_OPTION;
    case 13: w->decay = 1.5f; return EPLB_ERR_OPTION;
    case 14: w->decay = -0.5f; return EPLB_ERR_OPTION;
    case 15: w->decay = from_bits(0x7FC00000u); return EPLB_ERR_OPTION;
    default: return EPLB_OK;
    }
}

static void test_spoilt_windows(void)
{
    int32_t count[L * E] = {0};
    for (int how = 0;; how++) {
        renew_world();
        eplb_result want = spoil_window(&now.window, how);
        if (want == EPLB_OK) break;
        memcpy(&before, &now, sizeof now);
        refused("push", eplb_window_push(&now.window, load), want);
        refused("push_counts", eplb_window_push_counts(&now.window, count), want);
        refused("view", eplb_window_view(&now.window, &now.problem, &now.options, &now.weight), want);
    }
}

static void test_push_errors(void)
{
    static const struct {
        uint32_t bits;
        eplb_result want;
    } bad[] = {
        {0x7FC00000u, EPLB_ERR_NAN},      {0xFFC00001u, EPLB_ERR_NAN},      {0x7F800001u, EPLB_ERR_NAN},
        {0x7F800000u, EPLB_ERR_INFINITE}, {0xFF800000u, EPLB_ERR_INFINITE}, {0xBF800000u, EPLB_ERR_NEGATIVE},
        {0x80000001u, EPLB_ERR_NEGATIVE},
    };
    renew_world();
    refused("window NULL", eplb_window_push(NULL, load), EPLB_ERR_NULL);
    refused("load NULL", eplb_window_push(&now.window, NULL), EPLB_ERR_NULL);
    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++)
        for (int at = 0; at < L * E; at++) {
            float spoilt[L * E];
            memcpy(spoilt, load, sizeof load);
            memcpy(&spoilt[at], &bad[b].bits, sizeof spoilt[at]);
            refused("bad load", eplb_window_push(&now.window, spoilt), bad[b].want);
        }
    refused("window NULL", eplb_window_push_counts(NULL, now.count), EPLB_ERR_NULL);
    refused("count NULL", eplb_window_push_counts(&now.window, NULL), EPLB_ERR_NULL);
    for (int at = 0; at < L * E; at++) {
        int32_t spoilt[L * E] = {3, 1, 4, 1, 5, 9};
        spoilt[at] = -1;
        refused("count -1", eplb_window_push_counts(&now.window, spoilt), EPLB_ERR_NEGATIVE);
        spoilt[at] = INT32_MIN;
        refused("lowest count", eplb_window_push_counts(&now.window, spoilt), EPLB_ERR_NEGATIVE);
    }
    float zeros[L * E];
    for (int i = 0; i < L * E; i++) zeros[i] = -0.0f;
    CHECK(eplb_window_push(&now.window, zeros) == EPLB_OK, "-0 counts as 0");
}

static void test_view_errors(void)
{
    renew_world();
    refused("window NULL", eplb_window_view(NULL, &now.problem, &now.options, &now.weight), EPLB_ERR_NULL);
    refused("problem NULL", eplb_window_view(&now.window, NULL, &now.options, &now.weight), EPLB_ERR_NULL);
    refused("weight NULL", eplb_window_view(&now.window, &now.problem, &now.options, NULL), EPLB_ERR_NULL);
    CHECK(eplb_window_init(&now.window, L, E, CAPACITY, 0, now.memory, MEMORY) == EPLB_OK, "init");
    memcpy(&before, &now, sizeof now);
    refused("empty", eplb_window_view(&now.window, &now.problem, &now.options, &now.weight), EPLB_ERR_COUNT);
}

static void test_logical_counts_errors(void)
{
    int32_t phy2log[L * R] = {0, 1, 2, 0, 2, 1, 0, 1}, slot_count[L * R] = {1, 2, 3, 4, 5, 6, 7, 8};
    const int alone[L * R] = {0, 1, 1, 0, 1, 0, 1, 0}; /* slots whose expert is in no other */
    eplb_problem good = EPLB_ZERO_INIT, bad;
    eplb_plan plan = EPLB_ZERO_INIT, no_plan = EPLB_ZERO_INIT;
    good.num_layers = L;
    good.num_experts = E;
    good.num_replicas = R;
    plan.phy2log = phy2log;
    renew_world();
    refused("problem NULL", eplb_logical_counts(NULL, &plan, slot_count, now.count), EPLB_ERR_NULL);
    refused("plan NULL", eplb_logical_counts(&good, NULL, slot_count, now.count), EPLB_ERR_NULL);
    refused("phy2log NULL", eplb_logical_counts(&good, &no_plan, slot_count, now.count), EPLB_ERR_NULL);
    refused("slot_count NULL", eplb_logical_counts(&good, &plan, NULL, now.count), EPLB_ERR_NULL);
    refused("count NULL", eplb_logical_counts(&good, &plan, slot_count, NULL), EPLB_ERR_NULL);
    for (int32_t count = -1; count <= 0; count++) {
        bad = good;
        bad.num_layers = count;
        refused("no layer", eplb_logical_counts(&bad, &plan, slot_count, now.count), EPLB_ERR_COUNT);
        bad = good;
        bad.num_experts = count;
        refused("no expert", eplb_logical_counts(&bad, &plan, slot_count, now.count), EPLB_ERR_COUNT);
        bad = good;
        bad.num_replicas = count;
        refused("no slot", eplb_logical_counts(&bad, &plan, slot_count, now.count), EPLB_ERR_COUNT);
    }
    bad = good;
    bad.num_replicas = E - 1;
    refused("too few slots", eplb_logical_counts(&bad, &plan, slot_count, now.count), EPLB_ERR_TOO_FEW);
    if (!SIZE_IS_64_BITS) { /* where size_t has 64 bits, no two counts overflow it */
        bad.num_layers = bad.num_replicas = INT32_MAX;
        refused("too large", eplb_logical_counts(&bad, &plan, slot_count, now.count), EPLB_ERR_OVERFLOW);
    }
    for (int at = 0; at < L * R; at++) {
        int32_t expert = phy2log[at], tokens = slot_count[at];
        phy2log[at] = E;
        refused("no such expert", eplb_logical_counts(&good, &plan, slot_count, now.count), EPLB_ERR_PLAN);
        phy2log[at] = -2;
        refused("expert -2", eplb_logical_counts(&good, &plan, slot_count, now.count), EPLB_ERR_PLAN);
        phy2log[at] = expert;
        slot_count[at] = -1;
        refused("tokens -1", eplb_logical_counts(&good, &plan, slot_count, now.count), EPLB_ERR_NEGATIVE);
        slot_count[at] = INT32_MAX;
        if (!alone[at])
            refused("overflow", eplb_logical_counts(&good, &plan, slot_count, now.count), EPLB_ERR_OVERFLOW);
        slot_count[at] = tokens;
    }
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int count = argc > 2 ? atoi(argv[2]) : 300, fitted = 0;

    test_sizes();
    test_any_address();
    test_decay();
    test_starting_afresh();
    test_counts();
    test_decay_reaches_the_plan();
    test_count_limits();
    test_init_errors();
    test_spoilt_windows();
    test_push_errors();
    test_view_errors();
    test_logical_counts_errors();
    for (int i = 0; i < count; i++) {
        test_ring(seed + (uint64_t)i);
        test_idle_samples(seed + (uint64_t)i);
        test_view_plans(seed + (uint64_t)i);
        test_whole_way(seed + (uint64_t)i);
        test_bad_served(seed + (uint64_t)i);
        fitted += test_logical_counts(seed + (uint64_t)i);
    }
    CHECK(count < 100 || (fitted > count / 2 && fitted < count), "%d of %d sums fitted", fitted, count);
    return test_report("test_window");
}
