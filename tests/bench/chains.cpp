/* chains.cpp - what the kernels' threads wait for one after the other, counted without a GPU.

     chains [--layers L] [--samples T] [--shape NAME] [--beside FILE]

   For each preset and shape of bench_cuda, or for one shape, over its layers, or a few of them, of lognormal loads, sd 1:
   launches of a call, and the longest chain of a block of each, summed over the launches: barriers, and functions of a
   warp (shuffles, votes, reductions, __syncwarp) as tests/emulated counts them; and steps, the basic blocks of code as
   the host's compiler makes it (trace-pc) on the way through a block that has the most. Then the launches one by one,
   barriers + functions + steps. On up to FEW_GPUS GPUs also from a plan in force, DEFAULT's for loads from which those
   planned for have strayed, each by itself, lognormally, sd 0.3: with slots kept, and with few moves of each kind;
   DEFAULT without the last GPU, and where every third GPU has a speed of 0.8, afresh and from that plan; and what a
   report of it takes.
   FILE is another version's output; its launches, barriers, functions and steps stand beside. */
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "eplb_cuda.h"

#include "shapes.h"

#include <map>

enum { FEW_GPUS = 32 };

static void must(bool is_well, const char *what)
{
    if (is_well) return;
    fprintf(stderr, "chains: %s\n", what);
    exit(1);
}

/* Called at each basic block of eplb_cuda.cu. */
extern "C" void __sanitizer_cov_trace_pc(void) { emulated_step(); }

struct total {
    int launches;
    long barriers, functions, steps;
};

/* The totals of another version, by shape and preset. */
static std::map<std::string, total> read_totals(const char *path)
{
    std::map<std::string, total> totals;
    char line[512], shape[64], preset[64];
    total t;
    FILE *file = fopen(path, "r");
    must(file != NULL, "cannot read the file to stand beside");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%63s %63s %d %ld %ld %ld", shape, preset, &t.launches, &t.barriers, &t.functions, &t.steps)
            == 6)
            totals[std::string(shape) + " " + preset] = t;
    fclose(file);
    return totals;
}

/* One call, and the chains of its launches; none where the version refuses it. */
static std::vector<emulated_chain> run_call(const eplb_problem &problem, const eplb_options &options,
                                            const std::vector<float> &load)
{
    size_t slots = static_cast<size_t>(problem.num_layers) * static_cast<size_t>(problem.num_replicas), bytes;
    size_t experts = static_cast<size_t>(problem.num_layers) * static_cast<size_t>(problem.num_experts);
    int32_t width = problem.num_replicas - problem.num_experts + 1;
    std::vector<int32_t> phy2log(slots), phyrank(slots), logcnt(experts), log2phy(experts * static_cast<size_t>(width));
    std::vector<emulated_chain> chains(EMULATED_MAX_CHAINS);
    eplb_plan plan = {};
    plan.phy2log = phy2log.data();
    plan.phyrank = phyrank.data();
    plan.logcnt = logcnt.data();
    plan.log2phy = log2phy.data();
    plan.log2phy_width = width;
    if (eplb_cuda_scratch_size(&problem, &options, &bytes) != EPLB_OK) return std::vector<emulated_chain>();
    std::vector<unsigned char> scratch(bytes);
    emulated_seed(1);
    emulated_chains(chains.data());
    must(eplb_cuda_rebalance(&problem, &options, load.data(), &plan, scratch.data(), bytes, NULL) == EPLB_OK,
         emulated_complaint());
    chains.resize(static_cast<size_t>(emulated_chains(chains.data())));
    return chains;
}

/* Microseconds on an H200, as version 0.1.0 took them there, as its floors were, and as log2phy is filled now: see
   README.md for how far that may be trusted. */
static double reckoned(const bench_shape &shape, const total &t)
{
    double rows = static_cast<double>(shape.L) * shape.E, width = shape.R - shape.E + 1;
    double time = 3.1 + 0.8 * (t.launches - 1) + 0.34 * rows * width * sizeof(int32_t) / 1e6;
    return time + 0.37 * static_cast<double>(t.barriers) + 0.0356 * static_cast<double>(t.steps);
}

static void print_chains(const bench_shape &shape, const char *what, const std::vector<emulated_chain> &chains,
                         const std::map<std::string, total> &beside)
{
    total t = {0, 0, 0, 0};
    if (chains.empty()) return;
    for (const emulated_chain &chain : chains) {
        t.launches++;
        t.barriers += chain.barriers;
        t.functions += chain.warp_functions;
        t.steps += chain.steps;
    }
    printf("%-20s %-14s %8d %8ld %9ld %9ld", shape.name, what, t.launches, t.barriers, t.functions, t.steps);
    if (EPLB_VERSION_NUMBER >= 200) printf(" %9.1f", reckoned(shape, t));
    auto other = beside.find(std::string(shape.name) + " " + what);
    if (other != beside.end())
        printf(" | %8d %8ld %9ld %9ld", other->second.launches, other->second.barriers, other->second.functions,
               other->second.steps);
    printf("   ");
    for (const emulated_chain &chain : chains)
        printf(" %ld+%ld+%ld", chain.barriers, chain.warp_functions, chain.steps);
    printf("\n");
    fflush(stdout);
}

static eplb_options options_of(const bench_shape &shape, int32_t preset)
{
    eplb_options options = {};
    must(eplb_options_preset(preset, &options) == EPLB_OK, "preset");
    options.policy = shape.N > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    return options;
}

static size_t num_loads(const bench_shape &shape, int32_t samples)
{
    return static_cast<size_t>(samples) * static_cast<size_t>(shape.L) * static_cast<size_t>(shape.E);
}

static eplb_problem problem_of(const bench_shape &shape, int32_t samples)
{
    eplb_problem problem = shape_problem(shape);
    problem.num_samples = samples;
    return problem;
}

static void print_preset(const bench_shape &shape, int32_t preset, int32_t samples,
                         const std::map<std::string, total> &beside)
{
    eplb_options options = options_of(shape, preset);
    print_chains(shape, eplb_preset_name(preset),
                 run_call(problem_of(shape, samples), options, lognormal_loads(num_loads(shape, samples))), beside);
}

#if EPLB_VERSION_NUMBER >= 200 /* what others are asked for, too */

/* The plan in force. */
static std::vector<int32_t> plan_before(const bench_shape &shape, int32_t samples)
{
    eplb_problem problem = problem_of(shape, samples);
    eplb_options options = options_of(shape, EPLB_PRESET_DEFAULT);
    std::vector<int32_t> phy2log(static_cast<size_t>(shape.L) * static_cast<size_t>(shape.R));
    eplb_plan plan = {};
    size_t bytes = 0;
    plan.phy2log = phy2log.data();
    must(eplb_scratch_size(&problem, &options, &bytes) == EPLB_OK, "scratch size");
    std::vector<unsigned char> scratch(bytes);
    must(eplb_rebalance(&problem, &options, lognormal_loads(num_loads(shape, samples)).data(), &plan, scratch.data(),
                        bytes)
             == EPLB_OK,
         "the plan in force");
    return phy2log;
}

/* Loads for which the plan in force was not made. */
static std::vector<float> strayed_loads(const bench_shape &shape, int32_t samples)
{
    std::vector<float> load = lognormal_loads(num_loads(shape, samples));
    uint64_t state = 77;
    for (float &x : load) x *= static_cast<float>(std::exp(0.3 * next_normal(&state)));
    return load;
}

static void print_in_force(const bench_shape &shape, int32_t samples, const std::map<std::string, total> &beside)
{
    static const struct {
        const char *name;
        int32_t preset, moves, gpu_moves;
        float price;
    } cases[] = {
        {"deepseek+kept", EPLB_PRESET_DEEPSEEK, 0, 0, 0.0f}, {"vllm+kept", EPLB_PRESET_VLLM, 0, 0, 0.0f},
        {"default+kept", EPLB_PRESET_DEFAULT, 0, 0, 0.0f},   {"default+moves", EPLB_PRESET_DEFAULT, 20, 0, 0.0f},
        {"default+gpu", EPLB_PRESET_DEFAULT, 20, 2, 0.0f},   {"default+price", EPLB_PRESET_DEFAULT, 0, 0, 0.004f}};
    std::vector<int32_t> in_force = plan_before(shape, samples);
    std::vector<float> load = strayed_loads(shape, samples);
    for (const auto &c : cases) {
        eplb_options options = options_of(shape, c.preset);
        options.previous_phy2log = in_force.data();
        options.max_moves = c.moves;
        options.max_gpu_moves = c.gpu_moves;
        options.move_cost = c.price;
        print_chains(shape, c.name, run_call(problem_of(shape, samples), options, load), beside);
    }
}

/* GPUs that are not alike. */
static void print_unlike(const bench_shape &shape, int32_t samples, const std::map<std::string, total> &beside)
{
    static const struct {
        const char *name;
        bool is_lost, has_speeds, follows;
    } cases[] = {{"default+lost", true, false, false},
                 {"default+speeds", false, true, false},
                 {"lost+moves", true, false, true},
                 {"speeds+moves", false, true, true}};
    std::vector<int32_t> in_force = plan_before(shape, samples);
    std::vector<int32_t> slots(static_cast<size_t>(shape.G), shape.R / shape.G);
    std::vector<float> speed(static_cast<size_t>(shape.G), 1.0f);
    slots.back() = 0;
    for (size_t gpu = 0; gpu < speed.size(); gpu += 3) speed[gpu] = 0.8f;
    for (const auto &c : cases) {
        eplb_problem problem = problem_of(shape, samples);
        eplb_options options = options_of(shape, EPLB_PRESET_DEFAULT);
        if (c.is_lost) problem.gpu_slots = slots.data();
        if (c.has_speeds) problem.gpu_speed = speed.data();
        if (c.follows) options.previous_phy2log = in_force.data();
        if (c.follows) options.max_moves = 20;
        print_chains(shape, c.name, run_call(problem, options, strayed_loads(shape, samples)), beside);
    }
}

static void print_report(const bench_shape &shape, int32_t samples, const std::map<std::string, total> &beside)
{
    eplb_problem problem = problem_of(shape, samples);
    eplb_options options = options_of(shape, EPLB_PRESET_DEFAULT);
    std::vector<int32_t> phy2log = plan_before(shape, samples);
    std::vector<eplb_layer_report> report(static_cast<size_t>(shape.L));
    std::vector<emulated_chain> chains(EMULATED_MAX_CHAINS);
    eplb_plan plan = {};
    size_t bytes = 0;
    plan.phy2log = phy2log.data();
    must(eplb_cuda_evaluate_scratch_size(&problem, &options, &bytes) == EPLB_OK, "scratch size");
    std::vector<unsigned char> scratch(bytes);
    emulated_seed(1);
    emulated_chains(chains.data());
    must(eplb_cuda_evaluate(&problem, &options, strayed_loads(shape, samples).data(), &plan, report.data(), NULL, NULL,
                            scratch.data(), bytes, NULL)
             == EPLB_OK,
         emulated_complaint());
    chains.resize(static_cast<size_t>(emulated_chains(chains.data())));
    print_chains(shape, "report", chains, beside);
}

static void print_others(const bench_shape &shape, int32_t samples, const std::map<std::string, total> &beside)
{
    if (shape.G > FEW_GPUS) return;
    print_in_force(shape, samples, beside);
    print_unlike(shape, samples, beside);
    print_report(shape, samples, beside);
}

#else
static void print_others(const bench_shape &, int32_t, const std::map<std::string, total> &) {}
#endif

int main(int argc, char **argv)
{
    std::map<std::string, total> beside;
    std::string only;
    int32_t layers = 0, samples = 1;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--layers") == 0) layers = atoi(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--samples") == 0) samples = atoi(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--shape") == 0) only = argv[i + 1];
        else if (i + 1 < argc && strcmp(argv[i], "--beside") == 0) beside = read_totals(argv[i + 1]);
        else return fprintf(stderr, "usage: chains [--layers L] [--samples T] [--shape NAME] [--beside FILE]\n"), 2;
    }
    printf("%-20s %-14s %8s %8s %9s %9s%s%s\n", "shape", "preset", "launches", "barriers", "functions", "steps",
           EPLB_VERSION_NUMBER >= 200 ? "  reckoned" : "",
           beside.empty() ? "" : " | the other's: launches, barriers, functions, steps");
    for (bench_shape shape : bench_shapes) {
        if (!only.empty() && only != shape.name) continue;
        if (layers > 0) shape.L = layers;
        for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) print_preset(shape, preset, samples, beside);
        print_others(shape, samples, beside);
    }
    return 0;
}
