/* test_cuda_alone.cpp - what the GPU does by the CPU's own functions, a layer by one thread: plans with effort, from a
   plan in force, for clusters as they are; and reports of plans. All are the CPU's in every number.

   The same source runs on the emulation (make test) and on a GPU (make cuda builds it by nvcc).
   usage: test_cuda_alone [random problems of each kind] */
#include "eplb_cuda.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "follow_oracle.h"
#include "follow_cases.h"
#include "cluster_cases.h"
#include "device.h"
#include "device_plan.h"

#ifdef EMULATED_CUDA
enum { NUM_RANDOM = 200 }; /* a few seconds */
#else
enum { NUM_RANDOM = 4000 };
#endif

static long num_planned, num_bad_in_force, num_reports, num_refused_reports;

/* ---------------------------------------------------------------------------------- on the device */

struct device_case : device_plan {
    eplb_problem problem; /* locked on the device */
    eplb_options options; /* sample_weight, previous_phy2log on the device */
    device_block weight, sample_weight, previous, locked, scratch;
};

static size_t num_loads(const eplb_problem &problem) { return num_samples(problem) * plan_experts(&problem); }

static device_case device_make(const eplb_problem &problem, const eplb_options &options, const float *weight,
                               int32_t width, size_t scratch_offset)
{
    device_case d;
    size_t bytes = 0, slots = plan_slots(&problem);
    d.problem = problem;
    d.options = options;
    d.weight = device_copy(weight, num_loads(problem) * sizeof(float));
    d.sample_weight =
        device_copy(options.sample_weight ? options.sample_weight : weight, num_samples(problem) * sizeof(float));
    if (options.sample_weight) d.options.sample_weight = static_cast<const float *>(device_at(d.sample_weight));
    d.previous =
        options.previous_phy2log ? device_copy(options.previous_phy2log, slots * sizeof(int32_t)) : device_alloc(1, 0);
    if (options.previous_phy2log) d.options.previous_phy2log = device_ints(d.previous);
    d.locked = problem.locked ? device_copy(problem.locked, slots) : device_alloc(1, 0);
    if (problem.locked) d.problem.locked = static_cast<const uint8_t *>(device_at(d.locked));
    eplb_result r = eplb_cuda_scratch_size(&d.problem, &d.options, &bytes);
    CHECK(r == EPLB_OK && bytes >= 1, "scratch size: %s", eplb_result_name(r));
    d.scratch = device_alloc(bytes, scratch_offset);
    static_cast<device_plan &>(d) = device_make_plan(problem, width);
    return d;
}

static void device_done(const device_case &d)
{
    const device_block *all[] = {&d.weight, &d.sample_weight, &d.previous, &d.locked, &d.scratch};
    device_done_blocks(all, sizeof all / sizeof *all);
    device_done_plan(d);
}

static const float *device_weight(const device_case &d) { return static_cast<const float *>(device_at(d.weight)); }

static eplb_result device_enqueue(const device_case &d, cudaStream_t stream)
{
#ifdef EMULATED_CUDA
    emulated_counts before = emulated_calls();
#endif
    eplb_result r = eplb_cuda_rebalance(&d.problem, &d.options, device_weight(d), &d.plan, device_at(d.scratch),
                                        d.scratch.bytes, stream);
#ifdef EMULATED_CUDA
    CHECK(emulated_calls().others == before.others, "the runtime was asked for more than launches");
    CHECK(r == EPLB_OK || emulated_calls().launches == before.launches, "nothing was enqueued");
#endif
    return r;
}

/* ------------------------------------------------------------------------------------ on the CPU */

static eplb_result plan_layer(const eplb_problem &problem, const eplb_options &options, const float *weight,
                              const eplb_plan *plan, int32_t layer)
{
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(&problem, &options, &bytes);
    if (r != EPLB_OK) return r;
    void *scratch = test_alloc(bytes);
    r = eplb_rebalance_layers(&problem, &options, weight, plan, scratch, bytes, layer, 1);
    free(scratch);
    return r;
}

/* The layer's loads, all zero. */
static float *without_load(const eplb_problem &problem, const float *weight, int32_t layer)
{
    size_t E = static_cast<size_t>(problem.num_experts), n = num_loads(problem);
    float *copy = static_cast<float *>(test_alloc(n * sizeof(float)));
    for (size_t i = 0; i < n; i++)
        copy[i] = i / E % static_cast<size_t>(problem.num_layers) == static_cast<size_t>(layer) ? 0.0f : weight[i];
    return copy;
}

/* What eplb_cuda.h says of a layer, whatever is wrong with it; but for log2phy_width, which is wide enough. */
static eplb_result expect_layer(const eplb_problem &problem, const eplb_options &options, const float *weight,
                                const eplb_plan *plan, int32_t layer)
{
    eplb_problem free_problem = problem;
    eplb_options free_options = options;
    eplb_result r = plan_layer(problem, options, weight, plan, layer);
    if (r == EPLB_OK) return r;
    if (r == EPLB_ERR_PLAN) {
        free_problem.locked = NULL;
        free_options.previous_phy2log = NULL;
        num_bad_in_force++;
        CHECK(plan_layer(free_problem, free_options, weight, plan, layer) == EPLB_OK, "without the plan in force");
        return r;
    }
    float *even = without_load(problem, weight, layer);
    free_options.sample_weight = r == EPLB_ERR_OPTION ? NULL : options.sample_weight;
    expect_layer(problem, free_options, even, plan, layer);
    free(even);
    return r;
}

/* ------------------------------------------------------------------------------------- comparisons */

/* Whether the plan on the device is the CPU's, and each layer's status. */
static void check_plan(const device_case &d, const eplb_problem &problem, const eplb_options &options,
                       const float *weight, const char *what)
{
    eplb_plan expected = plan_with_status(problem, d.plan.log2phy_width);
    eplb_plan found = plan_with_status(problem, d.plan.log2phy_width);
    for (int32_t layer = 0; layer < problem.num_layers; layer++)
        expected.layer_status[layer] = expect_layer(problem, options, weight, &expected, layer);
    device_fetch_plan(d, &found);
    const char *difference = plan_difference(&problem, &expected, &found);
    CHECK(!difference, "%s: %s differs", what, difference);
    CHECK(plan_same_ints(expected.layer_status, found.layer_status, static_cast<size_t>(problem.num_layers)),
          "%s: status", what);
    num_planned += problem.num_layers;
    plan_free_all(&expected);
    plan_free_all(&found);
}

static bool same_bits(float a, float b) { return memcmp(&a, &b, sizeof a) == 0; }

static bool same_report(const eplb_layer_report &a, const eplb_layer_report &b)
{
    return same_bits(a.max_load, b.max_load) && same_bits(a.mean_load, b.mean_load)
           && same_bits(a.balancedness, b.balancedness) && same_bits(a.lower_bound, b.lower_bound)
           && same_bits(a.replica_balancedness, b.replica_balancedness) && a.max_logcnt == b.max_logcnt
           && a.num_duplicates == b.num_duplicates && a.num_split_groups == b.num_split_groups;
}

/* eplb_evaluate of one layer by itself; its own result. */
static eplb_result evaluate_layer(const eplb_problem &problem, const eplb_options &options, const float *weight,
                                  const int32_t *phy2log, int32_t layer, eplb_layer_report *report, float *gpu_load)
{
    eplb_problem one = problem;
    eplb_options own = options;
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t E = static_cast<size_t>(problem.num_experts), bytes = 0, at = static_cast<size_t>(layer);
    size_t first_slot = at * static_cast<size_t>(problem.num_replicas);
    float *load = static_cast<float *>(test_alloc(num_samples(problem) * E * sizeof(float)));
    int32_t *slots = plan_ints(static_cast<size_t>(problem.num_replicas));
    one.num_layers = 1;
    if (problem.locked) one.locked = problem.locked + first_slot;
    if (options.previous_phy2log) own.previous_phy2log = options.previous_phy2log + first_slot;
    for (size_t t = 0; t < num_samples(problem); t++)
        memcpy(load + t * E, weight + (t * static_cast<size_t>(problem.num_layers) + at) * E, E * sizeof(float));
    memcpy(slots, phy2log + first_slot, static_cast<size_t>(problem.num_replicas) * sizeof(int32_t));
    plan.phy2log = slots;
    eplb_result r = eplb_scratch_size(&one, &own, &bytes);
    if (r == EPLB_OK) {
        void *scratch = test_alloc(bytes);
        r = eplb_evaluate(&one, &own, load, &plan, report, gpu_load, scratch, bytes);
        free(scratch);
    }
    free(load);
    free(slots);
    return r;
}

struct device_reports {
    device_block report, gpu_load, status, scratch;
};

static device_reports device_make_reports(const device_case &d)
{
    device_reports r;
    size_t bytes = 0, L = static_cast<size_t>(d.problem.num_layers);
    eplb_result result = eplb_cuda_evaluate_scratch_size(&d.problem, &d.options, &bytes);
    CHECK(result == EPLB_OK && bytes >= 1, "scratch size: %s", eplb_result_name(result));
    r.report = device_alloc(L * sizeof(eplb_layer_report), 0);
    r.gpu_load = device_alloc(L * static_cast<size_t>(d.problem.num_gpus) * sizeof(float), 0);
    r.status = device_alloc(L * sizeof(int32_t), 0);
    r.scratch = device_alloc(bytes, 3);
    return r;
}

static eplb_result device_enqueue_reports(const device_case &d, const device_reports &r, cudaStream_t stream)
{
#ifdef EMULATED_CUDA
    emulated_counts before = emulated_calls();
#endif
    eplb_result result = eplb_cuda_evaluate(&d.problem, &d.options, device_weight(d), &d.plan,
                                            static_cast<eplb_layer_report *>(device_at(r.report)),
                                            static_cast<float *>(device_at(r.gpu_load)), device_ints(r.status),
                                            device_at(r.scratch), r.scratch.bytes, stream);
#ifdef EMULATED_CUDA
    CHECK(emulated_calls().others == before.others, "the runtime was asked for more than launches");
#endif
    return result;
}

static void device_done_reports(const device_reports &r)
{
    CHECK(device_free(r.report) && device_free(r.gpu_load) && device_free(r.status) && device_free(r.scratch),
          "a block of reports was written beside");
}

/* Whether the reports on the device are the CPU's, of the plan that is there. */
static void check_reports(const device_reports &r, const eplb_problem &problem, const eplb_options &options,
                          const float *weight, const int32_t *phy2log, const char *what)
{
    size_t L = static_cast<size_t>(problem.num_layers), G = static_cast<size_t>(problem.num_gpus);
    eplb_layer_report *found = static_cast<eplb_layer_report *>(test_alloc(L * sizeof *found));
    float *gpu_load = static_cast<float *>(test_alloc(L * G * sizeof(float)));
    float *own_load = static_cast<float *>(test_alloc(G * sizeof(float)));
    int32_t *status = plan_ints(L);
    device_fetch(found, r.report);
    device_fetch(gpu_load, r.gpu_load);
    device_fetch(status, r.status);
    for (size_t layer = 0; layer < L; layer++) {
        eplb_layer_report expected = EPLB_ZERO_INIT;
        memset(own_load, 0, G * sizeof(float));
        eplb_result result =
            evaluate_layer(problem, options, weight, phy2log, static_cast<int32_t>(layer), &expected, own_load);
        CHECK(status[layer] == result, "%s: layer %d is %s", what, (int)layer, eplb_result_name(status[layer]));
        CHECK(same_report(found[layer], expected), "%s: report of layer %d", what, (int)layer);
        CHECK(memcmp(own_load, gpu_load + layer * G, G * sizeof(float)) == 0, "%s: loads of layer %d", what,
              (int)layer);
        num_reports += result == EPLB_OK;
        num_refused_reports += result != EPLB_OK;
    }
    free(found);
    free(gpu_load);
    free(own_load);
    free(status);
}

/* Evaluates the plan that is on the device. */
static void check_evaluate(const device_case &d, const eplb_problem &problem, const eplb_options &options,
                           const float *weight, const char *what)
{
    device_reports r = device_make_reports(d);
    int32_t *phy2log = plan_ints(plan_slots(&problem));
    eplb_result result = device_enqueue_reports(d, r, NULL);
    CHECK(result == EPLB_OK, "%s: %s", what, eplb_result_name(result));
    must(cudaDeviceSynchronize());
    device_fetch(phy2log, d.phy2log);
    check_reports(r, problem, options, weight, phy2log, what);
    device_done_reports(r);
    free(phy2log);
}

/* Plans on both and compares, and so with the reports of the plan, and of one that was changed by chance. */
static void check_same(const eplb_problem &problem, const eplb_options &options, const float *weight, uint64_t seed,
                       const char *what)
{
    uint64_t state = seed ^ UINT64_C(0x616c6f6e65);
    size_t slots = plan_slots(&problem);
    int32_t *changed = plan_ints(slots);
    device_case d = device_make(problem, options, weight, plan_full_width(&problem),
                                static_cast<size_t>(test_range(&state, 0, 255)));
    emulated_seed(seed);
    eplb_result r = device_enqueue(d, NULL);
    CHECK(r == EPLB_OK, "%s: %s", what, eplb_result_name(r));
    must(cudaDeviceSynchronize());
    check_plan(d, problem, options, weight, what);
    check_evaluate(d, problem, options, weight, what);
    device_fetch(changed, d.phy2log);
    for (int times = test_range(&state, 1, 4); times > 0; times--) {
        size_t at = static_cast<size_t>(test_range(&state, 0, static_cast<int32_t>(slots) - 1));
        changed[at] = test_range(&state, -1, problem.num_experts - (test_range(&state, 0, 5) ? 1 : 0));
    }
    device_set(d.phy2log, changed);
    check_evaluate(d, problem, options, weight, what);
    device_done(d);
    free(changed);
}

/* -------------------------------------------------------------------------------------- random ones */

/* Effort, samples, weights of samples, shares. */
static void test_effort(uint64_t count)
{
    char what[240];
    for (uint64_t seed = 1; seed <= count; seed++) {
        random_problem r = random_problem_make(seed + 7000);
        uint64_t state = seed;
        int32_t T = seed % 4 == 0 ? 16 : r.problem.num_samples ? r.problem.num_samples : 1;
        float *sample_weight = static_cast<float *>(test_alloc(static_cast<size_t>(T) * sizeof(float)));
        if (T == 16) {
            r.problem.num_samples = T;
            free(r.weight);
            r.weight = random_loads(&state, T * r.problem.num_layers, r.problem.num_experts);
        }
        for (int32_t t = 0; t < T; t++)
            sample_weight[t] = test_range(&state, 0, 3) ? random_unit(&state) + 0.001f : 0.0f;
        sample_weight[test_range(&state, 0, T - 1)] = 0.5f;
        for (int32_t t = 1; seed % 3 == 0 && t < T; t++) {
            size_t row = plan_experts(&r.problem), at = static_cast<size_t>(t) * row;
            if (test_range(&state, 0, 1))
                memcpy(r.weight + at, r.weight + at - row, row * sizeof(float)); /* they count as one */
        }
        if (r.options.effort == 0) r.options.effort = test_range(&state, 1, 40);
        if (test_range(&state, 0, 1)) r.options.sample_weight = sample_weight;
        if (test_range(&state, 0, 7) == 0) r.options.shares = EPLB_PLAN_FOR_EXACT;
        snprintf(what, sizeof what, RANDOM_FORMAT " effort %d", RANDOM_ARGS(&r), (int)r.options.effort);
        check_same(r.problem, r.options, r.weight, seed, what);
        free(sample_weight);
        random_problem_free(&r);
    }
}

static void test_in_force(uint64_t count, int kind)
{
    char what[320];
    for (uint64_t seed = 1; seed <= count; seed++) {
        follow_case c = follow_case_make(seed + 20000, kind);
        snprintf(what, sizeof what, FOLLOW_FORMAT, FOLLOW_ARGS(&c));
        check_same(c.r.problem, c.r.options, c.r.weight, seed, what);
        follow_case_free(&c);
    }
}

static void test_clusters(uint64_t count)
{
    char what[80];
    long odd = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        cluster_case *c = static_cast<cluster_case *>(test_alloc(sizeof *c));
        size_t bytes;
        if (draw_case(c, seed) && eplb_scratch_size(&c->p, &c->o, &bytes) == EPLB_OK) {
            snprintf(what, sizeof what, "cluster, seed %d", (int)seed);
            check_same(c->p, c->o, c->load, seed, what);
            odd++;
        }
        free(c);
    }
    CHECK(odd * 2 > static_cast<long>(count), "%ld clusters", odd);
}

/* ------------------------------------------------------------------------------------ chosen shapes */

static eplb_problem problem_of(int32_t L, int32_t E, int32_t R, int32_t K, int32_t N, int32_t G)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers = L;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_groups = K;
    problem.num_nodes = N;
    problem.num_gpus = G;
    return problem;
}

static float *lognormal_loads(uint64_t seed, size_t count)
{
    float *weight = static_cast<float *>(test_alloc(count * sizeof(float)));
    for (size_t i = 0; i < count; i++) weight[i] = random_lognormal(&seed);
    return weight;
}

static eplb_options preset_options(int32_t preset)
{
    eplb_options options = EPLB_ZERO_INIT;
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
    return options;
}

static void check_shape(eplb_problem problem, int32_t preset, const char *what)
{
    float *weight = lognormal_loads(11, num_loads(problem));
    check_same(problem, preset_options(preset), weight, 11, what);
    free(weight);
}

/* DEFAULT and BEST on shapes in use; more layers than are in flight; more GPUs than fit one argument. */
static void test_shapes(void)
{
    eplb_problem problem = problem_of(2, 256, 288, 8, 4, 32);
    check_shape(problem, EPLB_PRESET_DEFAULT, "256 experts, groups");
    check_shape(problem, EPLB_PRESET_BEST, "256 experts, groups, BEST");
    problem = problem_of(1, 256, 288, 1, 1, 32);
    check_shape(problem, EPLB_PRESET_DEFAULT, "256 experts");
    problem.num_samples = 16;
    check_shape(problem, EPLB_PRESET_DEFAULT, "256 experts, 16 samples");
    check_shape(problem_of(600, 4, 8, 1, 1, 4), EPLB_PRESET_DEFAULT, "600 layers");

    int32_t *slots = plan_ints(400);
    for (int32_t g = 0; g < 400; g++) slots[g] = g % 7 ? 2 : 1;
    problem = problem_of(2, 500, 800, 1, 1, 400);
    problem.gpu_slots = slots;
    check_shape(problem, EPLB_PRESET_DEEPSEEK, "400 GPUs");
    free(slots);
}

/* NULL stands for DEFAULT. */
static void test_no_options(void)
{
    eplb_problem problem = problem_of(2, 12, 16, 4, 2, 8);
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    float *weight = lognormal_loads(3, num_loads(problem));
    device_case d = device_make(problem, options, weight, 5, 0);
    size_t bytes = 0;
    CHECK(eplb_cuda_scratch_size(&problem, NULL, &bytes) == EPLB_OK && bytes == d.scratch.bytes, "bytes");
    CHECK(eplb_cuda_rebalance(&problem, NULL, device_weight(d), &d.plan, device_at(d.scratch), bytes, NULL) == EPLB_OK,
          "NULL");
    must(cudaDeviceSynchronize());
    check_plan(d, problem, options, weight, "NULL");
    device_done(d);
    free(weight);
}

/* Loads, weights of samples and plans in force that are none: each layer says what is wrong with it, and is planned. */
static void test_bad_input(void)
{
    static const uint32_t bad_bits[] = {0x7FC00000u, 0x7F800000u, 0xBF800000u};
    for (int what = 0; what < 8; what++) {
        eplb_problem problem = problem_of(4, 12, 16, 4, 2, 8);
        eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
        problem.num_samples = 3;
        float *weight = lognormal_loads(5, num_loads(problem)), sample_weight[3] = {1.0f, 2.0f, 3.0f};
        int32_t *previous = plan_ints(plan_slots(&problem));
        uint8_t *locked = static_cast<uint8_t *>(test_alloc(plan_slots(&problem)));
        for (int32_t i = 0; i < 4 * 16; i++) {
            previous[i] = i % 16 % 12;
            locked[i] = i % 5 == 0;
        }
        options.sample_weight = sample_weight;
        options.previous_phy2log = what & 4 ? previous : NULL;
        for (int i = 0; i < 3; i++)
            memcpy(&weight[static_cast<size_t>(i) * (4 * 12 + 12) + 7], &bad_bits[i], sizeof(float));
        if (what & 1) sample_weight[1] = -1.0f;
        if (what & 2) problem.locked = what & 4 ? locked : NULL;
        previous[3] = 12;      /* with a bad load */
        previous[3 * 16] = -2; /* with good ones */
        check_same(problem, options, weight, 5, "bad input");
        free(weight);
        free(previous);
        free(locked);
    }
    CHECK(num_bad_in_force > 0, "no plan in force was bad");
}

/* Where log2phy is too narrow all else is complete, and what fits is there. */
static void test_narrow_width(void)
{
    for (int32_t width = -1; width <= 3; width++) {
        eplb_problem problem = problem_of(3, 12, 24, 1, 1, 8);
        eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
        float *weight = lognormal_loads(17, num_loads(problem));
        int32_t room = width > 0 ? width : 0;
        device_case d = device_make(problem, options, weight, room ? room : 1, 0);
        eplb_plan whole = plan_with_status(problem, 13), found = plan_with_status(problem, room ? room : 1);
        d.plan.log2phy_width = width;
        CHECK(device_enqueue(d, NULL) == EPLB_OK, "width %d", (int)width);
        must(cudaDeviceSynchronize());
        device_fetch_plan(d, &found);
        CHECK(plan_with_library(&problem, &options, weight, &whole) == EPLB_OK, "width 13");
        CHECK(plan_same_ints(whole.phy2log, found.phy2log, 3 * 24) && plan_same_ints(whole.logcnt, found.logcnt, 3 * 12)
                  && plan_same_ints(whole.phyrank, found.phyrank, 3 * 24),
              "width %d", (int)width);
        for (int32_t layer = 0; layer < 3; layer++) {
            int narrow = 0;
            for (int32_t e = layer * 12; e < layer * 12 + 12; e++) {
                narrow |= whole.logcnt[e] > width;
                for (int32_t i = 0; i < room; i++)
                    CHECK(found.log2phy[e * room + i] == whole.log2phy[e * 13 + i], "width %d, expert %d", (int)width,
                          (int)e);
            }
            CHECK(found.layer_status[layer] == (narrow ? EPLB_ERR_WIDTH : EPLB_OK), "width %d", (int)width);
        }
        device_done(d);
        plan_free_all(&whole);
        plan_free_all(&found);
        free(weight);
    }
}

static void test_refused(void)
{
    eplb_problem problem = problem_of(3, 12, 16, 4, 2, 8);
    eplb_options options = preset_options(EPLB_PRESET_BEST), bad;
    float *weight = lognormal_loads(5, num_loads(problem));
    device_case d = device_make(problem, options, weight, 5, 0), other;
    device_reports r = device_make_reports(d);
    size_t bytes = 4711;

    other = d, other.scratch.bytes--;
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_SCRATCH_SIZE, "short scratch");
    other = d, other.plan.phy2log = NULL;
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_NULL, "phy2log");
    other = d, other.options.max_moves = -2;
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_OPTION, "max_moves");
    other = d, other.problem.survive = 77;
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_OPTION, "survive");
    other = d, other.problem.locked = static_cast<const uint8_t *>(device_at(d.locked));
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_NULL, "locked without a plan in force");
    other = d, other.plan.log2phy_width = INT32_MAX, other.problem.num_layers = 1 << 29, other.scratch.bytes = SIZE_MAX;
    CHECK(device_enqueue(other, NULL) == EPLB_ERR_OVERFLOW, "log2phy that does not fit memory");

    other = d, other.plan.phy2log = NULL;
    CHECK(device_enqueue_reports(other, r, NULL) == EPLB_ERR_NULL, "reports of no plan");
    other = d, other.problem.num_gpus = 7;
    CHECK(device_enqueue_reports(other, r, NULL) == EPLB_ERR_DIVIDE, "reports, 7 GPUs");
    CHECK(eplb_cuda_evaluate(&problem, &options, NULL, &d.plan, static_cast<eplb_layer_report *>(device_at(r.report)),
                             NULL, NULL, device_at(r.scratch), r.scratch.bytes, NULL)
              == EPLB_ERR_NULL,
          "no weight");
    CHECK(eplb_cuda_evaluate(&problem, &options, device_weight(d), NULL,
                             static_cast<eplb_layer_report *>(device_at(r.report)), NULL, NULL, device_at(r.scratch),
                             r.scratch.bytes, NULL)
              == EPLB_ERR_NULL,
          "no plan");
    CHECK(eplb_cuda_evaluate(&problem, &options, device_weight(d), &d.plan, NULL, NULL, NULL, device_at(r.scratch),
                             r.scratch.bytes, NULL)
              == EPLB_ERR_NULL,
          "no report");
    CHECK(eplb_cuda_evaluate(&problem, &options, device_weight(d), &d.plan,
                             static_cast<eplb_layer_report *>(device_at(r.report)), NULL, NULL, device_at(r.scratch),
                             r.scratch.bytes - 1, NULL)
              == EPLB_ERR_SCRATCH_SIZE,
          "short scratch of reports");
    bad = options, bad.policy = 77;
    CHECK(eplb_cuda_evaluate_scratch_size(&problem, &bad, &bytes) == EPLB_ERR_OPTION && bytes == 4711, "policy");
    CHECK(eplb_cuda_evaluate_scratch_size(&problem, &options, NULL) == EPLB_ERR_NULL, "bytes");
    CHECK(eplb_cuda_evaluate_scratch_size(NULL, &options, &bytes) == EPLB_ERR_NULL, "problem");
#ifdef EMULATED_CUDA
    emulated_fail_launch(0);
    CHECK(eplb_cuda_rebalance(&d.problem, &d.options, device_weight(d), &d.plan, device_at(d.scratch), d.scratch.bytes,
                              NULL)
              == EPLB_ERR_CUDA,
          "a launch");
    CHECK(cudaGetLastError() == cudaSuccess, "the error was taken off the record");
#endif
    device_done_reports(r);
    device_done(d);
    free(weight);
}

/* Scratch is that of the layers in flight. */
static void test_scratch_size(void)
{
    eplb_problem problem = problem_of(1, 12, 16, 4, 2, 8);
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    size_t one = 0, many = 0, most = 0;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &one) == EPLB_OK, "one layer");
    problem.num_layers = 256;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &many) == EPLB_OK && many <= 256 * one, "256 layers");
    problem.num_layers = 100000;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &most) == EPLB_OK && most == many, "100000 layers");
}

/* ------------------------------------------------------------------------------------------ graphs */

/* Captured once: the plan in force is evaluated, and then planned from, in place. Each replay does so for the loads that
   are there, from the plan that is there. */
static void test_capture(void)
{
    eplb_problem problem = problem_of(5, 12, 16, 4, 2, 8);
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    size_t loads = num_loads(problem), slots = plan_slots(&problem);
    float *weight = lognormal_loads(1, loads);
    int32_t *in_force = plan_ints(slots);
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    long moved = 0;
    for (size_t i = 0; i < slots; i++) in_force[i] = static_cast<int32_t>(i % 16 % 12);
    options.previous_phy2log = in_force;
    options.policy = EPLB_POLICY_GLOBAL;
    options.max_moves = 3;
    device_case d = device_make(problem, options, weight, 5, 13);
    device_reports r = device_make_reports(d);
    d.options.previous_phy2log = d.plan.phy2log;
    must(cudaStreamCreate(&stream));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(device_enqueue_reports(d, r, stream) == EPLB_OK, "capture of reports");
    CHECK(device_enqueue(d, stream) == EPLB_OK, "capture of plans");
    must(cudaStreamEndCapture(stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    device_case captured = d;
    memset(&d.plan, 0, sizeof d.plan); /* nothing of the call's arguments is read again */
    memset(&d.problem, 0, sizeof d.problem);
    memset(&d.options, 0, sizeof d.options);
    device_set(captured.phy2log, in_force);
    for (uint64_t seed = 2; seed <= 5; seed++) {
        free(weight);
        weight = lognormal_loads(seed, loads);
        device_set(captured.weight, weight);
        must(cudaGraphLaunch(exec, stream));
        must(cudaStreamSynchronize(stream));
        check_reports(r, problem, options, weight, in_force, "replay");
        check_plan(captured, problem, options, weight, "replay");
        int32_t *now = plan_ints(slots);
        device_fetch(now, captured.phy2log);
        moved += !plan_same_ints(now, in_force, slots);
        memcpy(in_force, now, slots * sizeof(int32_t));
        free(now);
    }
    CHECK(moved > 0, "no replay moved an expert");
    must(cudaGraphExecDestroy(exec));
    must(cudaGraphDestroy(graph));
    must(cudaStreamDestroy(stream));
    device_done_reports(r);
    device_done(captured);
    free(weight);
    free(in_force);
}

/* A cluster is read during the call only: what is replayed is of the cluster that was captured. */
static void test_captured_cluster(void)
{
    eplb_problem problem = problem_of(3, 12, 24, 4, 2, 8), captured;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    float *weight = lognormal_loads(8, num_loads(problem));
    int32_t slots[] = {3, 3, 1, 3, 2, 3, 3, 3}, nodes[] = {0, 0, 0, 1, 1, 1, 1, 1}, other_slots[8], other_nodes[8];
    float speeds[] = {1.0f, 1.0f, 2.0f, 1.0f, 1.5f, 1.0f, 1.0f, 1.0f}, other_speeds[8];
    int32_t *phy2log = plan_ints(plan_slots(&problem));
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    problem.gpu_slots = slots;
    problem.gpu_speed = speeds;
    problem.gpu_node = nodes;
    device_case d = device_make(problem, options, weight, 13, 1);
    device_reports r = device_make_reports(d);
    captured = problem;
    memcpy(other_slots, slots, sizeof slots);
    memcpy(other_speeds, speeds, sizeof speeds);
    memcpy(other_nodes, nodes, sizeof nodes);
    d.problem.gpu_slots = other_slots;
    d.problem.gpu_speed = other_speeds;
    d.problem.gpu_node = other_nodes;
    must(cudaStreamCreate(&stream));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(device_enqueue(d, stream) == EPLB_OK, "capture of plans");
    CHECK(device_enqueue_reports(d, r, stream) == EPLB_OK, "capture of reports");
    must(cudaStreamEndCapture(stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    for (int32_t g = 0; g < 8; g++) {
        other_slots[g] = 3;
        other_speeds[g] = 4.0f;
        other_nodes[g] = g / 4;
    }
    must(cudaGraphLaunch(exec, stream));
    must(cudaStreamSynchronize(stream));
    check_plan(d, captured, options, weight, "captured cluster");
    device_fetch(phy2log, d.phy2log);
    check_reports(r, captured, options, weight, phy2log, "captured cluster");
    must(cudaGraphExecDestroy(exec));
    must(cudaGraphDestroy(graph));
    must(cudaStreamDestroy(stream));
    device_done_reports(r);
    device_done(d);
    free(phy2log);
    free(weight);
}

/* Searches that end when their steps do: a warp takes more of them than a thread, whose plan it is to be. */
static void test_out_of_steps(void)
{
    eplb_problem problem = problem_of(1, 40, 48, 1, 1, 12);
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    options.effort = INT32_MAX;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        float *weight = lognormal_loads(seed, num_loads(problem));
        check_same(problem, options, weight, seed, "out of steps");
        free(weight);
    }
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : static_cast<uint64_t>(NUM_RANDOM);
    test_effort(count);
    test_in_force(count, FOLLOW_FREE);
    test_in_force(count, FOLLOW_LIMITED);
    test_clusters(count);
    test_shapes();
    test_out_of_steps();
    test_no_options();
    test_bad_input();
    test_narrow_width();
    test_refused();
    test_scratch_size();
    test_capture();
    test_captured_cluster();
    CHECK(num_refused_reports > 0, "no report was refused");
    printf("%ld layers planned, %ld from a plan in force that is none; %ld reports, %ld refused\n", num_planned,
           num_bad_in_force, num_reports, num_refused_reports);
    return test_report("test_cuda_alone");
}
