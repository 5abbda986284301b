/* bench_cuda.cu - times every preset on a GPU, beside the library's own CPU time and beside a floor.

     bench_cuda [--layers L] [--write FOLDER]

   For each shape, loads are lognormal, sd 1. Printed for each preset, in microseconds for all layers:
     cpu     eplb_rebalance, one thread
     stream  one eplb_cuda_rebalance between two events in an idle stream
     graph   the same captured, a replay between two events
     back    replays back to back, each one's share of the time: what the device is busy
   All but back are medians, of fewer calls where one takes long. Presets with effort, which a thread plans for each
   layer, are left out where the CPU takes more than SLOW_LAYER for one; default_16 is DEFAULT for 16 samples.
   evaluate is eplb_cuda_evaluate of the last plan made, held to eplb_evaluate's reports. The floor is the chain of dependent LPT steps alone, by one warp for each
   node of each layer: a minimum over the warp, a vote, an addition. Every plan is held to the CPU's.
   Then the same for exact shares of whole tokens under DEEPSEEK's plan, least_max and fair, and for their sources.
   --write leaves loads and DEEPSEEK's plans for pytorch_gpu.py, which times the same in PyTorch. */
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "eplb_cuda.h"

#include "shapes.h"

#include <algorithm>
#include <chrono>

enum { REPS = 101, CPU_REPS = 5, MAX_BLOCK = 32, SAMPLES = 16 };

static const float SLOW_LAYER = 5000.0f, LONGEST = 2000000.0f; /* microseconds: of a layer, of the calls for a median */

static void must(cudaError_t error)
{
    if (error == cudaSuccess) return;
    fprintf(stderr, "bench_cuda: %s\n", cudaGetErrorString(error));
    exit(1);
}

static void must(eplb_result result)
{
    if (result == EPLB_OK) return;
    fprintf(stderr, "bench_cuda: %s\n", eplb_result_name(result));
    exit(1);
}

template <class T> static T *device(size_t count)
{
    void *p;
    must(cudaMalloc(&p, count * sizeof(T)));
    return static_cast<T *>(p);
}

static float median(std::vector<float> times)
{
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

/* --------------------------------------------------------------------------------------- the floor */

struct chain_arguments {
    uint32_t *out;
    int32_t steps;
};

static __global__ void chain(chain_arguments a)
{
    uint32_t bits = threadIdx.x;
    for (int32_t i = 0; i < a.steps; i++) {
        uint32_t least = __reduce_min_sync(0xFFFFFFFFu, bits);
        if (__ffs(static_cast<int>(__ballot_sync(0xFFFFFFFFu, bits == least))) - 1 == static_cast<int>(threadIdx.x))
            bits = __float_as_uint(__fadd_rn(__uint_as_float(bits), 1.0f));
    }
    a.out[blockIdx.x * MAX_BLOCK + threadIdx.x] = bits;
}

/* Microseconds from one event to another around what run enqueues. */
template <class Run> static float time_once(cudaStream_t stream, cudaEvent_t start, cudaEvent_t end, Run run)
{
    float ms = 0.0f;
    must(cudaEventRecord(start, stream));
    run();
    must(cudaEventRecord(end, stream));
    must(cudaEventSynchronize(end));
    must(cudaEventElapsedTime(&ms, start, end));
    return 1000.0f * ms;
}

template <class Run>
static float time_median(cudaStream_t stream, cudaEvent_t start, cudaEvent_t end, Run run, int reps = REPS)
{
    std::vector<float> times;
    for (int i = 0; i < reps; i++) times.push_back(time_once(stream, start, end, run));
    return median(times);
}

/* --------------------------------------------------------------------------------------- one shape */

struct bench_run {
    bench_shape shape;
    eplb_problem problem;
    std::vector<float> load;
    float *d_load;
    eplb_plan d_plan;
    cudaStream_t stream;
    cudaEvent_t start, end;
};

static bench_run make_run(const bench_shape &shape)
{
    bench_run r = {};
    size_t L = static_cast<size_t>(shape.L), R = static_cast<size_t>(shape.R), E = static_cast<size_t>(shape.E);
    r.shape = shape;
    r.problem = shape_problem(shape);
    r.load = lognormal_loads(SAMPLES * L * E); /* most rows are of the first sample */
    r.d_load = device<float>(r.load.size());
    must(cudaMemcpy(r.d_load, r.load.data(), r.load.size() * sizeof(float), cudaMemcpyHostToDevice));
    r.d_plan.phy2log = device<int32_t>(L * R);
    r.d_plan.phyrank = device<int32_t>(L * R);
    r.d_plan.logcnt = device<int32_t>(L * E);
    r.d_plan.log2phy_width = shape.R - shape.E + 1;
    r.d_plan.log2phy = device<int32_t>(L * E * static_cast<size_t>(r.d_plan.log2phy_width));
    must(cudaStreamCreate(&r.stream));
    must(cudaEventCreate(&r.start));
    must(cudaEventCreate(&r.end));
    return r;
}

static void free_run(const bench_run &r)
{
    must(cudaFree(r.d_load));
    must(cudaFree(r.d_plan.phy2log));
    must(cudaFree(r.d_plan.phyrank));
    must(cudaFree(r.d_plan.logcnt));
    must(cudaFree(r.d_plan.log2phy));
    must(cudaStreamDestroy(r.stream));
    must(cudaEventDestroy(r.start));
    must(cudaEventDestroy(r.end));
}

/* The CPU's plan, all four arrays of it; microseconds of the median. */
static float plan_on_cpu(const bench_run &r, const eplb_options &options, std::vector<int32_t> *phy2log)
{
    size_t slots = static_cast<size_t>(r.shape.L) * static_cast<size_t>(r.shape.R), bytes;
    size_t experts = static_cast<size_t>(r.shape.L) * static_cast<size_t>(r.shape.E);
    std::vector<int32_t> phyrank(slots), logcnt(experts);
    std::vector<int32_t> log2phy(experts * static_cast<size_t>(r.d_plan.log2phy_width));
    std::vector<float> times;
    eplb_plan plan = {};
    phy2log->resize(slots);
    plan.phy2log = phy2log->data();
    plan.phyrank = phyrank.data();
    plan.logcnt = logcnt.data();
    plan.log2phy = log2phy.data();
    plan.log2phy_width = r.d_plan.log2phy_width;
    must(eplb_scratch_size(&r.problem, &options, &bytes));
    std::vector<unsigned char> scratch(bytes);
    for (int i = 0; i < CPU_REPS; i++) {
        auto start = std::chrono::steady_clock::now();
        must(eplb_rebalance(&r.problem, &options, r.load.data(), &plan, scratch.data(), bytes));
        times.push_back(std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    return median(times);
}

struct device_times {
    float stream, graph, back; /* microseconds */
};

/* One call in an idle stream, as a graph, and graphs back to back. */
template <class Run> static device_times time_call(const bench_run &r, Run call)
{
    device_times us;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    float first = time_once(r.stream, r.start, r.end, call);
    int reps = first * REPS <= LONGEST ? REPS : static_cast<int>(LONGEST / first) | 1;
    must(cudaStreamBeginCapture(r.stream, cudaStreamCaptureModeGlobal));
    call();
    must(cudaStreamEndCapture(r.stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    auto replay = [&] { must(cudaGraphLaunch(exec, r.stream)); };
    us.stream = time_median(r.stream, r.start, r.end, call, reps);
    us.graph = time_median(r.stream, r.start, r.end, replay, reps);
    us.back = time_once(r.stream, r.start, r.end,
                        [&] {
                            for (int i = 0; i < reps; i++) replay();
                        })
              / static_cast<float>(reps);
    must(cudaGraphExecDestroy(exec));
    must(cudaGraphDestroy(graph));
    return us;
}

static void print_times(const char *name, float cpu, const device_times &us)
{
    printf("  %-14s %10.1f %10.1f %10.1f %10.1f %8.0f\n", name, cpu, us.stream, us.graph, us.back, cpu / us.graph);
}

static void write_file(const std::string &path, const void *data, size_t bytes)
{
    FILE *file = fopen(path.c_str(), "wb");
    if (!file || fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        fprintf(stderr, "bench_cuda: cannot write %s\n", path.c_str());
        exit(1);
    }
}

static void bench_preset(const bench_run &r, int32_t preset, const char *name, const char *folder)
{
    eplb_options options = {};
    size_t bytes, slots = static_cast<size_t>(r.shape.L) * static_cast<size_t>(r.shape.R);
    std::vector<int32_t> expected, found(slots);
    must(eplb_options_preset(preset, &options));
    options.policy = r.shape.N > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    float cpu = plan_on_cpu(r, options, &expected);
    if (options.effort > 0 && cpu > SLOW_LAYER * static_cast<float>(r.shape.L)) {
        printf("  %-14s %10.1f  left out: long\n", name, cpu);
        return;
    }

    must(eplb_cuda_scratch_size(&r.problem, &options, &bytes));
    unsigned char *scratch = device<unsigned char>(bytes);
    device_times us = time_call(
        r, [&] { must(eplb_cuda_rebalance(&r.problem, &options, r.d_load, &r.d_plan, scratch, bytes, r.stream)); });
    must(cudaMemcpy(found.data(), r.d_plan.phy2log, slots * sizeof(int32_t), cudaMemcpyDeviceToHost));
    if (found != expected) {
        fprintf(stderr, "bench_cuda: %s differs from the CPU\n", name);
        exit(1);
    }
    print_times(name, cpu, us);
    if (folder && preset == EPLB_PRESET_DEEPSEEK) {
        std::string base = std::string(folder) + "/" + r.shape.name;
        write_file(base + ".loads", r.load.data(), r.load.size() / SAMPLES * sizeof(float));
        write_file(base + ".plan", found.data(), slots * sizeof(int32_t));
    }
    must(cudaFree(scratch));
}

static std::vector<int32_t> fetched(const int32_t *from, size_t n)
{
    std::vector<int32_t> copy(n);
    must(cudaMemcpy(copy.data(), from, n * sizeof(int32_t), cudaMemcpyDeviceToHost));
    return copy;
}

template <class Run> static float time_on_cpu(Run run)
{
    std::vector<float> times;
    for (int i = 0; i < CPU_REPS; i++) {
        auto start = std::chrono::steady_clock::now();
        run();
        times.push_back(std::chrono::duration<float, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    return median(times);
}

/* ------------------------------------------------------------------------------------- evaluate */

static void bench_evaluate(const bench_run &r)
{
    size_t L = static_cast<size_t>(r.shape.L), slots = L * static_cast<size_t>(r.shape.R), bytes, d_bytes;
    eplb_options options = {};
    eplb_plan plan = {};
    options.policy = r.shape.N > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    must(eplb_scratch_size(&r.problem, &options, &bytes));
    must(eplb_cuda_evaluate_scratch_size(&r.problem, &options, &d_bytes));
    std::vector<unsigned char> scratch(bytes);
    std::vector<int32_t> phy2log = fetched(r.d_plan.phy2log, slots);
    std::vector<eplb_layer_report> report(L), found(L);
    plan.phy2log = phy2log.data();
    float cpu = time_on_cpu([&] {
        must(eplb_evaluate(&r.problem, &options, r.load.data(), &plan, report.data(), NULL, scratch.data(), bytes));
    });
    eplb_layer_report *d_report = device<eplb_layer_report>(L);
    unsigned char *d_scratch = device<unsigned char>(d_bytes);
    device_times us = time_call(r, [&] {
        must(eplb_cuda_evaluate(&r.problem, &options, r.d_load, &r.d_plan, d_report, NULL, NULL, d_scratch, d_bytes,
                                r.stream));
    });
    must(cudaMemcpy(found.data(), d_report, L * sizeof found[0], cudaMemcpyDeviceToHost));
    if (memcmp(found.data(), report.data(), L * sizeof found[0]) != 0) {
        fprintf(stderr, "bench_cuda: reports differ from the CPU\n");
        exit(1);
    }
    print_times("evaluate", cpu, us);
    must(cudaFree(d_report));
    must(cudaFree(d_scratch));
}

/* --------------------------------------------------------------------------------------- shares */

struct bench_shares { /* of one shape: on the host, and the same on the device */
    std::vector<int32_t> phy2log, count, source, slot_count, quota;
    int32_t *d_phy2log, *d_count, *d_source, *d_slot_count, *d_quota;
};

/* A step's tokens: not those that the plan was made for, some half as many and some twice; 256 for each expert. Those
   of an expert wait on all GPUs, about as many on each. */
static void count_tokens(const bench_run &r, bench_shares *s)
{
    size_t E = static_cast<size_t>(r.shape.E), G = static_cast<size_t>(r.shape.G), experts = r.load.size() / SAMPLES;
    uint64_t state = 2;
    s->count.resize(experts);
    s->source.resize(experts * G);
    for (size_t layer = 0; layer < experts; layer += E) {
        double sum = 0.0;
        for (size_t e = layer; e < layer + E; e++) sum += static_cast<double>(r.load[e]);
        for (size_t e = layer; e < layer + E; e++) {
            double step = std::exp2(2.0 * next_uniform(&state) - 1.0) * static_cast<double>(r.load[e]);
            int32_t n = static_cast<int32_t>(256.0 * static_cast<double>(E) * step / sum);
            s->count[e] = n;
            for (size_t gpu = 0; gpu < G; gpu++) {
                int32_t parts = static_cast<int32_t>(G), i = static_cast<int32_t>(gpu);
                s->source[layer * G + gpu * E + e - layer] = n / parts + (i < n % parts);
            }
        }
    }
}

static int32_t *sent(const std::vector<int32_t> &from)
{
    int32_t *copy = device<int32_t>(from.size());
    must(cudaMemcpy(copy, from.data(), from.size() * sizeof(int32_t), cudaMemcpyHostToDevice));
    return copy;
}

static void must_equal(const std::vector<int32_t> &expected, const int32_t *found, const char *what)
{
    if (fetched(found, expected.size()) == expected) return;
    fprintf(stderr, "bench_cuda: %s differ from the CPU\n", what);
    exit(1);
}

static void time_shares(const bench_run &r, bench_shares *s)
{
    size_t bytes, d_bytes;
    must(eplb_share_scratch_size(&r.problem, &bytes));
    must(eplb_cuda_share_scratch_size(&r.problem, &d_bytes));
    std::vector<unsigned char> scratch(bytes);
    unsigned char *d_scratch = device<unsigned char>(d_bytes);
    for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
        float cpu = time_on_cpu([&] {
            must(eplb_share(&r.problem, s->phy2log.data(), s->count.data(), how, s->slot_count.data(), NULL,
                            scratch.data(), bytes));
        });
        device_times us = time_call(r, [&] {
            must(eplb_cuda_share(&r.problem, s->d_phy2log, s->d_count, how, s->d_slot_count, NULL, NULL, d_scratch,
                                 d_bytes, r.stream));
        });
        must_equal(s->slot_count, s->d_slot_count, "shares");
        print_times(how == EPLB_SHARE_FAIR ? "fair" : "least_max", cpu, us);
    }
    float cpu = time_on_cpu([&] {
        must(eplb_share_sources(&r.problem, s->phy2log.data(), s->source.data(), s->slot_count.data(), s->quota.data(),
                                scratch.data(), bytes));
    });
    device_times us = time_call(r, [&] {
        must(eplb_cuda_share_sources(&r.problem, s->d_phy2log, s->d_source, s->d_slot_count, s->d_quota, NULL,
                                     d_scratch, d_bytes, r.stream));
    });
    must_equal(s->quota, s->d_quota, "quotas");
    print_times("sources", cpu, us);
    must(cudaFree(d_scratch));
}

static void bench_share_calls(const bench_run &r)
{
    size_t slots = static_cast<size_t>(r.shape.L) * static_cast<size_t>(r.shape.R);
    bench_shares s;
    eplb_options deepseek = {};
    must(eplb_options_preset(EPLB_PRESET_DEEPSEEK, &deepseek));
    deepseek.policy = r.shape.N > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    plan_on_cpu(r, deepseek, &s.phy2log);
    count_tokens(r, &s);
    s.slot_count.resize(slots);
    s.quota.resize(slots * static_cast<size_t>(r.shape.G));
    s.d_phy2log = sent(s.phy2log);
    s.d_count = sent(s.count);
    s.d_source = sent(s.source);
    s.d_slot_count = device<int32_t>(slots);
    s.d_quota = device<int32_t>(s.quota.size());
    time_shares(r, &s);
    for (int32_t *p : {s.d_phy2log, s.d_count, s.d_source, s.d_slot_count, s.d_quota}) must(cudaFree(p));
}

static float measure_floor(const bench_run &r)
{
    int32_t rows = r.shape.L * r.shape.N;
    chain_arguments a = {device<uint32_t>(static_cast<size_t>(rows) * MAX_BLOCK), r.shape.R / r.shape.N};
    void *arguments[1] = {&a};
    float us = time_median(r.stream, r.start, r.end, [&] {
        must(cudaLaunchKernel(chain, dim3(static_cast<unsigned>(rows)), dim3(MAX_BLOCK), arguments, 0, r.stream));
    });
    must(cudaFree(a.out));
    return us;
}

int main(int argc, char **argv)
{
    const char *folder = NULL;
    int32_t layers = 0;
    cudaDeviceProp device_is;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--layers") == 0) layers = atoi(argv[i + 1]);
        else if (i + 1 < argc && strcmp(argv[i], "--write") == 0) folder = argv[i + 1];
        else return fprintf(stderr, "usage: bench_cuda [--layers L] [--write FOLDER]\n"), 2;
    }
    must(cudaGetDeviceProperties(&device_is, 0));
    printf("%s\n", device_is.name);
    for (bench_shape shape : bench_shapes) {
        if (layers > 0) shape.L = layers;
        bench_run r = make_run(shape);
        printf("\n%s, floor %.1f us\n  %-14s %10s %10s %10s %10s %8s\n", shape.name, measure_floor(r), "preset",
               "cpu us", "stream us", "graph us", "back us", "times");
        for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++)
            bench_preset(r, preset, eplb_preset_name(preset), folder);
        r.problem.num_samples = SAMPLES;
        bench_preset(r, EPLB_PRESET_DEFAULT, "default_16", NULL);
        r.problem.num_samples = 1;
        bench_evaluate(r);
        bench_share_calls(r);
        free_run(r);
    }
    return 0;
}
