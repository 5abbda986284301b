/* test_cuda.cpp - the GPU's plan is the CPU's in every number, and what else eplb_cuda.h promises.

   The same source runs on the emulation (make test) and on a GPU (make cuda builds it by nvcc).
   usage: test_cuda [plans.txt [random problems]] */
#include "eplb_cuda.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "golden.h"
#include "device.h"
#include "device_plan.h"

#include <float.h>
#include <math.h>

#ifdef EMULATED_CUDA
enum { NUM_RANDOM = 200, NUM_EXTREME = 200, NUM_SWAPS = 24, EVERY = 0 }; /* a few seconds */
#else
enum { NUM_RANDOM = 20000, NUM_EXTREME = 2000, NUM_SWAPS = 600, EVERY = 1 };
#endif

/* --------------------------------------------------------------------------------- one problem */

/* A problem on the device: everything a call needs, and its plan. */
struct device_problem : device_plan {
    eplb_problem problem;
    eplb_options options; /* its sample_weight on the device */
    device_block weight, sample_weight, scratch;
};

static device_problem device_make(const eplb_problem &problem, const eplb_options &options, const float *weight,
                                  int32_t width, size_t scratch_offset)
{
    device_problem d;
    size_t bytes = 1, samples = num_samples(problem);
    d.problem = problem;
    d.options = options;
    d.weight = device_copy(weight, samples * plan_experts(&problem) * sizeof(float));
    d.sample_weight = device_copy(options.sample_weight ? options.sample_weight : weight, samples * sizeof(float));
    if (options.sample_weight) d.options.sample_weight = static_cast<const float *>(device_at(d.sample_weight));
    eplb_result r = eplb_cuda_scratch_size(&problem, &d.options, &bytes);
    CHECK(r == EPLB_OK && bytes >= 1, "scratch size: %s", eplb_result_name(r));
    d.scratch = device_alloc(bytes, scratch_offset);
    static_cast<device_plan &>(d) = device_make_plan(problem, width);
    return d;
}

static void device_done(const device_problem &d)
{
    const device_block *all[] = {&d.weight, &d.sample_weight, &d.scratch};
    device_done_blocks(all, sizeof all / sizeof *all);
    device_done_plan(d);
}

/* Enqueues the plan; nothing but launches may happen. */
static eplb_result device_enqueue(const device_problem &d, cudaStream_t stream)
{
#ifdef EMULATED_CUDA
    emulated_counts before = emulated_calls();
#endif
    eplb_result r = eplb_cuda_rebalance(&d.problem, &d.options, static_cast<const float *>(device_at(d.weight)),
                                        &d.plan, device_at(d.scratch), d.scratch.bytes, stream);
#ifdef EMULATED_CUDA
    emulated_counts after = emulated_calls();
    CHECK(after.others == before.others, "the runtime was asked for more than launches");
    CHECK(r != EPLB_OK || (after.launches > before.launches && after.launches <= before.launches + 4), "launches");
    CHECK(r != EPLB_OK || emulated_last_stream() == stream, "in another stream");
#endif
    return r;
}

/* Whether the plan on the device is the CPU's for these loads, each layer marked as well. */
static void check_plan(const device_problem &d, const eplb_options &host_options, const float *weight, const char *what)
{
    eplb_plan expected = plan_with_status(d.problem, d.plan.log2phy_width);
    eplb_plan found = plan_with_status(d.problem, d.plan.log2phy_width);
    eplb_result r = plan_with_library(&d.problem, &host_options, weight, &expected);
    CHECK(r == EPLB_OK, "%s: the CPU says %s", what, eplb_result_name(r));
    device_fetch_plan(d, &found);
    const char *difference = plan_difference(&d.problem, &expected, &found);
    CHECK(!difference, "%s: %s differs", what, difference);
    for (int32_t layer = 0; layer < d.problem.num_layers; layer++)
        CHECK(found.layer_status[layer] == EPLB_OK && expected.layer_status[layer] == EPLB_OK, "%s: layer %d", what,
              (int)layer);
    plan_free_all(&expected);
    plan_free_all(&found);
}

/* Plans on both and compares. */
static void check_same(const eplb_problem &problem, const eplb_options &options, const float *weight, int32_t width,
                       size_t scratch_offset, const char *what)
{
    device_problem d = device_make(problem, options, weight, width, scratch_offset);
    eplb_result r = device_enqueue(d, NULL);
    CHECK(r == EPLB_OK, "%s: %s", what, eplb_result_name(r));
    must(cudaDeviceSynchronize());
    check_plan(d, options, weight, what);
    device_done(d);
}

/* ------------------------------------------------------------------------------- the same plans */

enum { NUM_ON_DEVICE = EPLB_PRESET_VLLM }; /* presets before it, without their search */

static eplb_options preset_options(int32_t preset)
{
    eplb_options options = EPLB_ZERO_INIT;
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
    options.effort = 0;
    return options;
}

/* Every layer of them, or the first of each. */
static void test_golden_shapes(const char *path, int every)
{
    FILE *file = fopen(path, "r");
    char word[64], what[160];
    int cases = 0;
    CHECK(file != NULL, "cannot open %s", path);
    while (file && golden_word(file, word)) {
        if (strcmp(word, "case") != 0) continue;
        golden_case c = golden_read_case(file);
        cases++;
        if (!every) c.problem.num_layers = 1;
        int alone = c.problem.num_groups == 1 && c.problem.num_nodes == 1; /* both policies are the global one */
        for (int32_t preset = 0; preset < NUM_ON_DEVICE; preset++) {
            for (int32_t policy = alone ? EPLB_POLICY_GLOBAL : EPLB_POLICY_AUTO; policy <= EPLB_POLICY_GLOBAL;
                 policy += EPLB_POLICY_GLOBAL) {
                eplb_options options = preset_options(preset);
                options.policy = policy;
                options.seed = golden_seed;
                snprintf(what, sizeof what, "%s, %s, policy %d", c.name, eplb_preset_name(preset), (int)policy);
                check_same(c.problem, options, c.weight, plan_full_width(&c.problem), 0, what);
            }
        }
        free(c.weight);
    }
    if (file) fclose(file);
    CHECK(cases == 15, "%d cases", cases);
}

/* Weights of the samples, as often as not; one time in four a sample counts nothing. */
static float *random_sample_weight(uint64_t *state, const eplb_problem &problem)
{
    size_t samples = num_samples(problem);
    float *weight = static_cast<float *>(test_alloc(samples * sizeof(float)));
    for (size_t t = 0; t < samples; t++) weight[t] = test_range(state, 0, 3) ? random_unit(state) + 0.001f : 0.0f;
    weight[test_range(state, 0, static_cast<int32_t>(samples) - 1)] = 0.5f;
    return weight;
}

static void test_random_problems(uint64_t count)
{
    char what[240];
    for (uint64_t seed = 1; seed <= count; seed++) {
        random_problem r = random_problem_make(seed);
        uint64_t state = seed;
        float *sample_weight = random_sample_weight(&state, r.problem);
        r.options.effort = 0;
        r.options.sample_weight = test_range(&state, 0, 1) ? sample_weight : NULL;
        snprintf(what, sizeof what, RANDOM_FORMAT, RANDOM_ARGS(&r));
        emulated_seed(seed);
        check_same(r.problem, r.options, r.weight, plan_full_width(&r.problem),
                   static_cast<size_t>(test_range(&state, 0, 255)), what);
        free(sample_weight);
        random_problem_free(&r);
    }
}

/* Loads at the ends of float32, which are scaled or vanish in sums. */
static void test_extreme_loads(uint64_t count)
{
    static const float values[] = {0.0f, -0.0f, 1.4012985e-45f, 1e-40f, FLT_MIN, 1e-20f,
                                   1.0f, 3.0f,  1e20f,          1e38f,  FLT_MAX};
    char what[240];
    for (uint64_t seed = 1; seed <= count; seed++) {
        random_problem r = random_problem_make(seed + 1000000);
        uint64_t state = seed;
        int32_t first = test_range(&state, 0, 9), last = test_range(&state, first + 1, 10);
        size_t loads = num_samples(r.problem) * plan_experts(&r.problem);
        for (size_t i = 0; i < loads; i++) r.weight[i] = values[test_range(&state, first, last)];
        r.options.effort = 0;
        snprintf(what, sizeof what, RANDOM_FORMAT ", values %d to %d", RANDOM_ARGS(&r), (int)first, (int)last);
        check_same(r.problem, r.options, r.weight, plan_full_width(&r.problem), 0, what);
        random_problem_free(&r);
    }
}

struct shape {
    int32_t L, E, R, K, N, G;
};

static eplb_problem problem_of(const shape &s)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers = s.L;
    problem.num_experts = s.E;
    problem.num_replicas = s.R;
    problem.num_groups = s.K;
    problem.num_nodes = s.N;
    problem.num_gpus = s.G;
    return problem;
}

static float *lognormal_loads(uint64_t seed, size_t count)
{
    float *weight = static_cast<float *>(test_alloc(count * sizeof(float)));
    for (size_t i = 0; i < count; i++) weight[i] = random_lognormal(&seed);
    return weight;
}

/* Every width of lanes, the ends of the limits, and the shapes in use: each with every preset, or with every other. */
static void test_large_shapes(int every)
{
    static const shape shapes[] = {{1, 256, 288, 8, 4, 32},     {2, 256, 288, 1, 1, 32},    {1, 256, 320, 1, 1, 64},
                                   {1, 512, 640, 1, 1, 320},    {1, 512, 576, 8, 1, 96},    {1, 1024, 2048, 1, 1, 1024},
                                   {1, 1024, 2048, 1, 1, 16},   {1, 2048, 2048, 1, 1, 2},   {1, 512, 2048, 1, 1, 512},
                                   {1, 2048, 4096, 2048, 2, 4}, {1, 64, 2048, 64, 64, 1024}};
    static const int32_t presets[] = {EPLB_PRESET_DEEPSEEK, EPLB_PRESET_ZIGZAG,      EPLB_PRESET_SWAP_MAX_MIN,
                                      EPLB_PRESET_HYBRID,   EPLB_PRESET_MULTI_START, EPLB_PRESET_SWAP_MAX_ANY,
                                      EPLB_PRESET_L2,       EPLB_PRESET_HILL_CLIMB};
    char what[160];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape &s = shapes[i];
        eplb_problem problem = problem_of(s);
        float *weight = lognormal_loads(i, plan_experts(&problem));
        for (size_t j = 0; j < sizeof presets / sizeof *presets; j++) {
            if (!every && (i + j) % 2) continue;
            eplb_options options = preset_options(presets[j]);
            options.gpu_packing.max_swaps = options.gpu_packing.max_swaps < 4 ? options.gpu_packing.max_swaps : 4;
            options.group_packing.max_swaps = options.gpu_packing.max_swaps;
            snprintf(what, sizeof what, "%s on %d slots of %d GPUs", eplb_preset_name(presets[j]), (int)s.R, (int)s.G);
            check_same(problem, options, weight, 16 < plan_full_width(&problem) ? plan_full_width(&problem) : 16, 0,
                       what);
        }
        free(weight);
    }
}

/* Packs as many as the lanes of a kernel hold, and one more, for each of the kernels. */
static void test_widths(void)
{
    static const int32_t packs[] = {1, 2, 31, 32, 33, 127, 128, 129, 383, 384, 385, 1023, 1024};
    char what[80];
    for (size_t i = 0; i < sizeof packs / sizeof *packs; i++) {
        shape s = {1, packs[i], 2 * packs[i], 1, 1, packs[i]};
        eplb_problem problem = problem_of(s);
        float *weight = lognormal_loads(i, plan_experts(&problem));
        snprintf(what, sizeof what, "%d GPUs", (int)packs[i]);
        check_same(problem, preset_options(EPLB_PRESET_DEEPSEEK), weight, plan_full_width(&problem), 0, what);
        free(weight);
    }
}

/* Loads for swaps of every kind to look for: lognormal ones, many that tie, a few giants that no swap can help, one
   pack far lighter than all, nearly even ones. */
static float swap_load(uint64_t *state, int32_t kind, int32_t e)
{
    float u = random_unit(state);
    switch (kind) {
    case 0: return random_lognormal(state);
    case 1: return static_cast<float>(1 + test_range(state, 0, 5));
    case 2: return test_range(state, 0, 9) == 0 ? 50.0f + u : 1.0f + u;
    case 3: return e < 4 ? 0.001f * u : 3.0f + u;
    default: return 1.0f + 0.01f * u;
    }
}

/* Swaps on more packs than there is room to keep the best of every pair, and on fewer; until none is left, and by
   several candidates. */
static void test_swaps(uint64_t count)
{
    static const int32_t refines[] = {EPLB_REFINE_L2, EPLB_REFINE_PAIR_SCAN, EPLB_REFINE_MAX_TO_ANY,
                                      EPLB_REFINE_MAX_MIN};
    char what[80];
    for (uint64_t seed = 1; seed <= count; seed++) {
        uint64_t state = seed;
        int32_t kind = static_cast<int32_t>(seed % 5), room = test_range(&state, 2, seed % 7 == 0 ? 40 : 5);
        int32_t gpus = seed % 3 == 0 ? test_range(&state, 2, 60) : test_range(&state, 70, 140);
        if (gpus * room > 1024) gpus = 1024 / room;
        shape s = {1, gpus * room - test_range(&state, 0, gpus), gpus * room, 1, 1, gpus};
        eplb_problem problem = problem_of(s);
        eplb_options options = preset_options(EPLB_PRESET_L2);
        float *weight = static_cast<float *>(test_alloc(plan_experts(&problem) * sizeof(float)));
        for (int32_t e = 0; e < s.E; e++) weight[e] = swap_load(&state, kind, e);
        options.gpu_packing.refine = refines[seed / 2 % 4];
        options.gpu_packing.max_swaps = 150;
        options.gpu_packing.heavy_packs = test_range(&state, 0, 8);
        options.gpu_packing.num_candidates = seed % 4 == 0 ? 3 : 1;
        options.gpu_packing.noise_scale = 0.05f;
        snprintf(what, sizeof what, "swaps, seed %d", (int)seed);
        check_same(problem, options, weight, plan_full_width(&problem), 0, what);
        free(weight);
    }
}

/* Steps of repair that count on the one before: where one expert has most of the load, the spare slots
   given by Sainte-Lague leave it several short. */
static void test_fixups(void)
{
    int repaired = 0;
    char what[80];
    for (uint64_t seed = 1; seed <= 150; seed++) {
        uint64_t state = seed;
        int32_t experts = test_range(&state, 10, 40), each = test_range(&state, 2, 10);
        shape s = {2, experts, experts * each, 1, 1, experts};
        eplb_problem problem = problem_of(s);
        eplb_options options = preset_options(EPLB_PRESET_HYBRID);
        float *weight = lognormal_loads(seed, plan_experts(&problem));
        eplb_plan one = plan_alloc(&problem, plan_full_width(&problem)),
                  all = plan_alloc(&problem, plan_full_width(&problem));
        for (int32_t i = 0; i < 2 * experts; i++) weight[i] = i % experts == 3 ? 1000.0f : 100.0f * random_unit(&state);
        CHECK(plan_with_library(&problem, &options, weight, &one) == EPLB_OK, "one step");
        options.fixup_steps = 30;
        CHECK(plan_with_library(&problem, &options, weight, &all) == EPLB_OK, "30 steps");
        repaired += !plan_same_ints(one.logcnt, all.logcnt, plan_experts(&problem));
        snprintf(what, sizeof what, "fixups, seed %d", (int)seed);
        check_same(problem, options, weight, plan_full_width(&problem), 0, what);
        plan_free(&one);
        plan_free(&all);
        free(weight);
    }
    CHECK(repaired >= 15, "%d problems took more than one step", repaired);
}

/* ------------------------------------------------------------------------------------- bad input */

static const shape small_shape = {5, 12, 16, 4, 2, 8};

static void test_bad_loads(void)
{
    static const uint32_t bad_bits[] = {0x7FC00000u, 0xFF800001u, 0x7F800000u, 0xFF800000u, 0xBF800000u, 0x80000001u};
    static const eplb_result results[] = {EPLB_ERR_NAN,      EPLB_ERR_NAN,      EPLB_ERR_INFINITE,
                                          EPLB_ERR_INFINITE, EPLB_ERR_NEGATIVE, EPLB_ERR_NEGATIVE};
    eplb_problem problem = problem_of(small_shape);
    problem.num_samples = 3;
    size_t E = 12, L = 5;
    for (uint64_t round = 0; round < 60; round++) {
        uint64_t state = round;
        size_t first = static_cast<size_t>(test_range(&state, 0, 5)),
               layer = static_cast<size_t>(test_range(&state, 0, 4));
        eplb_options options = preset_options(static_cast<int32_t>(round) % NUM_ON_DEVICE);
        float *weight = lognormal_loads(round, 3 * L * E), *even = lognormal_loads(round, 3 * L * E);
        for (size_t t = 0; t < 3; t++)
            for (size_t e = 0; e < E; e++) even[(t * L + layer) * E + e] = 1.0f;
        /* A second bad load, later by sample though earlier by expert, is not the one that is named. */
        float *at = weight + (1 * L + layer) * E + 7, *later = weight + (2 * L + layer) * E + 3;
        memcpy(at, &bad_bits[first], sizeof *at);
        memcpy(later, &bad_bits[(first + 2) % 6], sizeof *later);
        device_problem d = device_make(problem, options, weight, 5, 0);
        eplb_plan expected = plan_with_status(problem, 5), found = plan_with_status(problem, 5);
        CHECK(device_enqueue(d, NULL) == EPLB_OK, "bad loads are found later");
        must(cudaDeviceSynchronize());
        device_fetch_plan(d, &found);
        CHECK(plan_with_library(&problem, &options, even, &expected) == EPLB_OK, "even");
        CHECK(!plan_difference(&problem, &expected, &found), "round %d: %s", (int)round,
              plan_difference(&problem, &expected, &found));
        for (size_t l = 0; l < L; l++)
            CHECK(found.layer_status[l] == (l == layer ? results[first] : EPLB_OK), "round %d, layer %d: %s",
                  (int)round, (int)l, eplb_result_name(found.layer_status[l]));
        CHECK(plan_with_library(&problem, &options, weight, &expected) == results[first], "the CPU names another");
        device_done(d);
        plan_free_all(&expected);
        plan_free_all(&found);
        free(weight);
        free(even);
    }
}

static void test_bad_sample_weights(void)
{
    static const float bad[][3] = {{1.0f, -1.0f, 1.0f}, {0.0f, 0.0f, -0.0f}, {INFINITY, 1.0f, 1.0f}, {1.0f, 1.0f, NAN}};
    eplb_problem problem = problem_of(small_shape);
    problem.num_samples = 3;
    float *weight = lognormal_loads(1, 3 * 5 * 12), *even = lognormal_loads(1, 3 * 5 * 12);
    for (size_t i = 0; i < 3 * 5 * 12; i++) even[i] = 1.0f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        eplb_options options = preset_options(EPLB_PRESET_DEEPSEEK), host_options = options;
        options.sample_weight = bad[i];
        device_problem d = device_make(problem, options, weight, 5, 0);
        eplb_plan expected = plan_with_status(problem, 5), found = plan_with_status(problem, 5);
        CHECK(device_enqueue(d, NULL) == EPLB_OK, "found later");
        must(cudaDeviceSynchronize());
        device_fetch_plan(d, &found);
        CHECK(plan_with_library(&problem, &host_options, even, &expected) == EPLB_OK, "even");
        CHECK(!plan_difference(&problem, &expected, &found), "bad weights %d", (int)i);
        for (size_t l = 0; l < 5; l++)
            CHECK(found.layer_status[l] == EPLB_ERR_OPTION, "bad weights %d, layer %d", (int)i, (int)l);
        device_done(d);
        plan_free_all(&expected);
        plan_free_all(&found);
    }
    free(weight);
    free(even);
}

/* A width that is too narrow for some layers: those say so, and log2phy holds what fits. */
static void test_narrow_width(void)
{
    eplb_problem problem = problem_of(small_shape);
    eplb_options options = preset_options(EPLB_PRESET_DEEPSEEK);
    float *weight = lognormal_loads(3, 5 * 12);
    for (size_t e = 0; e < 12; e++)
        weight[2 * 12 + e] = e == 4 ? 1000.0f : 1.0f; /* layer 2 wants three replicas of one expert */
    for (int32_t width = 0; width <= 3; width++) {
        int32_t room = width ? width : 1, narrow = 0;
        device_problem d = device_make(problem, options, weight, room, 0);
        eplb_plan wide = plan_with_status(problem, 5), found = plan_with_status(problem, room);
        d.plan.log2phy_width = width;
        CHECK(device_enqueue(d, NULL) == EPLB_OK, "found later");
        must(cudaDeviceSynchronize());
        device_fetch_plan(d, &found);
        CHECK(plan_with_library(&problem, &options, weight, &wide) == EPLB_OK, "wide");
        CHECK(plan_same_ints(wide.phy2log, found.phy2log, 5 * 16) && plan_same_ints(wide.phyrank, found.phyrank, 5 * 16)
                  && plan_same_ints(wide.logcnt, found.logcnt, 5 * 12),
              "width %d: the rest is complete", (int)width);
        for (size_t l = 0; l < 5; l++) {
            int32_t most = 0;
            for (size_t e = l * 12; e < (l + 1) * 12; e++) {
                most = wide.logcnt[e] > most ? wide.logcnt[e] : most;
                for (size_t rank = 0; rank < static_cast<size_t>(width); rank++)
                    CHECK(found.log2phy[e * static_cast<size_t>(width) + rank] == wide.log2phy[e * 5 + rank],
                          "width %d", (int)width);
            }
            narrow += most > width;
            CHECK(found.layer_status[l] == (most > width ? EPLB_ERR_WIDTH : EPLB_OK), "width %d, layer %d: %s",
                  (int)width, (int)l, eplb_result_name(found.layer_status[l]));
        }
        CHECK(width == 0 ? narrow == 5 : width == 2 ? narrow >= 1 : 1, "width %d: %d layers", (int)width, (int)narrow);
        device_done(d);
        plan_free_all(&wide);
        plan_free_all(&found);
    }
    free(weight);
}

/* A call with what the CPU refuses or the kernels are not made for: one error, and nothing happens. */
static void check_refused(const device_problem &d, eplb_result want, const char *what)
{
    eplb_plan found = plan_with_status(d.problem, d.plan.log2phy_width);
    eplb_result r = device_enqueue(d, NULL);
    CHECK(r == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    must(cudaDeviceSynchronize());
    device_fetch_plan(d, &found);
    for (size_t i = 0; i < plan_slots(&d.problem); i++)
        CHECK(found.phy2log[i] == static_cast<int32_t>(0xC3C3C3C3u), "%s: something was written", what);
    plan_free_all(&found);
}

static void check_size_refused(const shape &s, int32_t candidates, eplb_result want)
{
    eplb_problem problem = problem_of(s);
    eplb_options options = preset_options(EPLB_PRESET_DEEPSEEK);
    size_t bytes = 4711;
    float weight = 1.0f;
    int32_t phy2log = 0;
    eplb_plan plan = EPLB_ZERO_INIT;
    options.gpu_packing.num_candidates = candidates;
    plan.phy2log = &phy2log;
    eplb_result r = eplb_cuda_scratch_size(&problem, &options, &bytes);
    CHECK(r == want && bytes == 4711, "%d slots of %d GPUs: %s", (int)s.R, (int)s.G, eplb_result_name(r));
    r = eplb_cuda_rebalance(&problem, &options, &weight, &plan, &weight, 0, NULL);
    CHECK(r == want, "%d slots of %d GPUs: %s", (int)s.R, (int)s.G, eplb_result_name(r));
}

static void test_shapes_beyond(void)
{
    static const shape too_large[] = {{1, 256, 2050, 1, 1, 2},
                                      {1, 2049, 2049, 1, 1, 1},
                                      {1, 8, 2048, 1, 1, 2048},
                                      {1, 2056, 4112, 2056, 4, 4},
                                      {1, 4096, 4096, 4096, 2048, 2048}};
    static const shape many = {1 << 20, 8, 16, 1, 1, 2};
    for (size_t i = 0; i < sizeof too_large / sizeof *too_large; i++)
        check_size_refused(too_large[i], 1, EPLB_ERR_DEVICE_SHAPE);
    check_size_refused(many, 1 << 11, EPLB_ERR_DEVICE_SHAPE);
}

static void test_refused(void)
{
    eplb_problem problem = problem_of(small_shape);
    eplb_options options = preset_options(EPLB_PRESET_ENSEMBLE);
    float *weight = lognormal_loads(5, 5 * 12);
    device_problem good = device_make(problem, options, weight, 5, 0), d = good;
    size_t bytes = 4711;

    d.options.effort = -1;
    check_refused(d, EPLB_ERR_OPTION, "effort");
    d = good, d.options.max_moves = 1;
    check_refused(d, EPLB_ERR_OPTION, "limits without effort");
    d = good, d.options.gpu_packing.refine = 77;
    check_refused(d, EPLB_ERR_OPTION, "refine");
    d = good, d.scratch.bytes--;
    check_refused(d, EPLB_ERR_SCRATCH_SIZE, "short scratch");
    d = good, d.scratch.bytes = 0;
    check_refused(d, EPLB_ERR_SCRATCH_SIZE, "no scratch");
    d = good, d.problem.num_gpus = 7;
    check_refused(d, EPLB_ERR_DIVIDE, "GPUs that do not divide");
    d = good, d.problem.num_experts = 0;
    CHECK(eplb_cuda_scratch_size(&d.problem, &d.options, &bytes) == EPLB_ERR_COUNT && bytes == 4711, "no experts");
    d = good, d.plan.phy2log = NULL;
    check_refused(d, EPLB_ERR_NULL, "phy2log");
    d = good, d.plan.log2phy_width = INT32_MAX;
    d.problem.num_layers = 1 << 29, d.options = preset_options(EPLB_PRESET_DEEPSEEK), d.scratch.bytes = SIZE_MAX;
    CHECK(eplb_cuda_rebalance(&d.problem, &d.options, d.options.sample_weight, &d.plan, device_at(d.scratch), SIZE_MAX,
                              NULL)
              == EPLB_ERR_NULL,
          "weight");
    CHECK(device_enqueue(d, NULL) == EPLB_ERR_OVERFLOW, "log2phy that does not fit memory");

    const float *w = static_cast<const float *>(device_at(good.weight));
    void *scratch = device_at(good.scratch);
    bytes = good.scratch.bytes;
    CHECK(eplb_cuda_rebalance(NULL, &good.options, w, &good.plan, scratch, bytes, NULL) == EPLB_ERR_NULL, "problem");
    CHECK(eplb_cuda_rebalance(&problem, &good.options, NULL, &good.plan, scratch, bytes, NULL) == EPLB_ERR_NULL,
          "weight");
    CHECK(eplb_cuda_rebalance(&problem, &good.options, w, NULL, scratch, bytes, NULL) == EPLB_ERR_NULL, "plan");
    CHECK(eplb_cuda_rebalance(&problem, &good.options, w, &good.plan, NULL, bytes, NULL) == EPLB_ERR_NULL, "scratch");
    CHECK(eplb_cuda_scratch_size(&problem, &good.options, NULL) == EPLB_ERR_NULL, "bytes");
    CHECK(eplb_cuda_scratch_size(NULL, &good.options, &bytes) == EPLB_ERR_NULL, "problem");

#ifdef EMULATED_CUDA
    for (int after = 0; after < 4; after++) { /* layers, groups, replicate, GPUs */
        emulated_fail_launch(after);
        CHECK(device_enqueue(good, NULL) == EPLB_ERR_CUDA, "launch %d", after);
        CHECK(cudaGetLastError() == cudaSuccess, "the error was taken off the record");
    }
#endif
    CHECK(device_enqueue(good, NULL) == EPLB_OK, "the next call is well again");
    must(cudaDeviceSynchronize());
    check_plan(good, options, weight, "after errors");
    device_done(good);
    free(weight);
}

/* Any output but phy2log may be left out. */
static void test_left_out(void)
{
    for (int mask = 0; mask < 16; mask++) {
        eplb_problem problem = problem_of(small_shape);
        eplb_options options = preset_options(mask % 2 ? EPLB_PRESET_DEEPSEEK : EPLB_PRESET_MULTI_START);
        float *weight = lognormal_loads(9, 5 * 12);
        device_problem d = device_make(problem, options, weight, 5, 0);
        eplb_plan all = d.plan, expected = plan_with_status(problem, 5), found = plan_with_status(problem, 5);
        d.plan.phyrank = mask & 1 ? all.phyrank : NULL;
        d.plan.logcnt = mask & 2 ? all.logcnt : NULL;
        d.plan.log2phy = mask & 4 ? all.log2phy : NULL;
        d.plan.layer_status = mask & 8 ? all.layer_status : NULL;
        CHECK(device_enqueue(d, NULL) == EPLB_OK, "mask %d", mask);
        must(cudaDeviceSynchronize());
        device_fetch_plan(d, &found);
        CHECK(plan_with_library(&problem, &options, weight, &expected) == EPLB_OK, "mask %d", mask);
        CHECK(plan_same_ints(expected.phy2log, found.phy2log, 5 * 16), "mask %d", mask);
        CHECK(!(mask & 1) || plan_same_ints(expected.phyrank, found.phyrank, 5 * 16), "mask %d", mask);
        CHECK(!(mask & 2) || plan_same_ints(expected.logcnt, found.logcnt, 5 * 12), "mask %d", mask);
        CHECK(!(mask & 4) || plan_same_ints(expected.log2phy, found.log2phy, 5 * 12 * 5), "mask %d", mask);
        CHECK(!(mask & 8) || plan_same_ints(expected.layer_status, found.layer_status, 5), "mask %d", mask);
        device_done(d);
        plan_free_all(&expected);
        plan_free_all(&found);
        free(weight);
    }
}

/* ----------------------------------------------------------------------------- streams and graphs */

static void test_scratch_size(void)
{
    eplb_problem problem = problem_of(small_shape);
    eplb_options options = preset_options(EPLB_PRESET_DEEPSEEK);
    size_t small, more;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &small) == EPLB_OK && small >= 1, "small");
    problem.num_layers *= 10;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &more) == EPLB_OK && more > small, "layers");
    small = more;
    options.gpu_packing.num_candidates = 8;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &more) == EPLB_OK && more > small, "candidates");
}

/* Captured once, replayed with other loads, each time the plan of those loads; in a stream of its own. */
static void test_capture(void)
{
    static const int32_t presets[] = {EPLB_PRESET_DEEPSEEK, EPLB_PRESET_ENSEMBLE, EPLB_PRESET_HYBRID, EPLB_PRESET_L2};
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        eplb_problem problem = problem_of(small_shape);
        eplb_options options = preset_options(presets[i]);
        size_t loads = plan_experts(&problem);
        float *weight = lognormal_loads(1, loads);
        device_problem d = device_make(problem, options, weight, 5, 13);
        cudaStream_t stream;
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        must(cudaStreamCreate(&stream));
        CHECK(device_enqueue(d, stream) == EPLB_OK, "stream");
        must(cudaStreamSynchronize(stream));
        check_plan(d, options, weight, "other stream");
        must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
        CHECK(device_enqueue(d, stream) == EPLB_OK, "capture");
        must(cudaStreamEndCapture(stream, &graph));
        must(cudaGraphInstantiate(&exec, graph, 0));
        device_problem captured = d;
        memset(&d.plan, 0, sizeof d.plan); /* nothing of the call's arguments is read again */
        memset(&d.problem, 0, sizeof d.problem);
        for (uint64_t seed = 2; seed <= 5; seed++) {
            free(weight);
            weight = lognormal_loads(seed, loads);
            device_set(d.weight, weight);
            must(cudaGraphLaunch(exec, stream));
            must(cudaStreamSynchronize(stream));
            check_plan(captured, options, weight, "replay");
        }
        must(cudaGraphExecDestroy(exec));
        must(cudaGraphDestroy(graph));
        must(cudaStreamDestroy(stream));
        device_done(d);
        free(weight);
    }
}

int main(int argc, char **argv)
{
    test_golden_shapes(argc > 1 ? argv[1] : "tests/golden/plans.txt", EVERY || argc > 2);
    uint64_t count =
        argc > 2 ? strtoull(argv[2], NULL, 10) : static_cast<uint64_t>(NUM_RANDOM); /* the others as many more */
    test_random_problems(count);
    test_extreme_loads(NUM_EXTREME * count / NUM_RANDOM);
    test_large_shapes(EVERY || argc > 2);
    test_widths();
    test_swaps(NUM_SWAPS * count / NUM_RANDOM);
    test_fixups();
    test_bad_loads();
    test_bad_sample_weights();
    test_narrow_width();
    test_shapes_beyond();
    test_refused();
    test_left_out();
    test_scratch_size();
    test_capture();
    return test_report("test_cuda");
}
