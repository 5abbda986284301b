/* test_cuda_share.cpp - exact shares by the GPU are eplb_share's and eplb_share_sources' in every number, and what
   else eplb_cuda.h promises of them.

   The same source runs on the emulation (make test) and on a GPU (make cuda builds it by nvcc).
   usage: test_cuda_share [random cases [wide ones]] */
#include "eplb_cuda.h"
#include "test.h"
#include "planning.h"
#include "device.h"
#include "share_cases.h"

#ifdef EMULATED_CUDA
enum { NUM_RANDOM = 200, NUM_WIDE = 6 }; /* a few seconds */
#else
enum { NUM_RANDOM = 20000, NUM_WIDE = 1000 };
#endif

/* A case on the device: everything both calls need, and what they write. */
struct device_shares {
    share_case host;
    int32_t *source_count; /* [L, G, E] */
    device_block phy2log, count, source, given, slot_count, most, quota, status, scratch;
};

static size_t num_layers(const share_case &c) { return static_cast<size_t>(c.problem.num_layers); }

static size_t num_quotas(const share_case &c)
{
    return plan_slots(&c.problem) * static_cast<size_t>(c.problem.num_gpus);
}

static size_t num_sources(const share_case &c)
{
    return plan_experts(&c.problem) * static_cast<size_t>(c.problem.num_gpus);
}

/* Takes the case over. */
static device_shares device_make(const share_case &c, size_t scratch_offset)
{
    device_shares d;
    size_t bytes = 0, slots = plan_slots(&c.problem) * sizeof(int32_t);
    uint64_t state = c.seed + 1;
    d.host = c;
    d.source_count = share_random_sources(&state, &c);
    CHECK(eplb_cuda_share_scratch_size(&c.problem, &bytes) == EPLB_OK && bytes >= 1, "scratch size");
    d.phy2log = device_copy(c.phy2log, slots);
    d.count = device_copy(c.count, plan_experts(&c.problem) * sizeof(int32_t));
    d.source = device_copy(d.source_count, num_sources(c) * sizeof(int32_t));
    d.given = device_alloc(slots, 0);
    d.slot_count = device_alloc(slots, 0);
    d.most = device_alloc(num_layers(c) * sizeof(int32_t), 0);
    d.quota = device_alloc(num_quotas(c) * sizeof(int32_t), 0);
    d.status = device_alloc(num_layers(c) * sizeof(int32_t), 0);
    d.scratch = device_alloc(bytes, scratch_offset);
    return d;
}

static void device_done(device_shares *d)
{
    const device_block *all[] = {&d->phy2log, &d->count, &d->source, &d->given,  &d->slot_count,
                                 &d->most,    &d->quota, &d->status, &d->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(device_free(*all[i]), "block %d was written beyond its ends", static_cast<int>(i));
    free(d->source_count);
    share_case_free(&d->host);
}

static eplb_result device_share(const device_shares &d, int32_t how, cudaStream_t stream)
{
    return eplb_cuda_share(&d.host.problem, device_ints(d.phy2log), device_ints(d.count), how,
                           device_ints(d.slot_count), device_ints(d.most), device_ints(d.status), device_at(d.scratch),
                           d.scratch.bytes, stream);
}

static eplb_result device_sources(const device_shares &d, cudaStream_t stream)
{
    return eplb_cuda_share_sources(&d.host.problem, device_ints(d.phy2log), device_ints(d.source), device_ints(d.given),
                                   device_ints(d.quota), device_ints(d.status), device_at(d.scratch), d.scratch.bytes,
                                   stream);
}

/* One layer of a case, by itself. */
static share_case layer_of(const share_case &c, ptrdiff_t layer)
{
    share_case one = c;
    one.problem.num_layers = 1;
    one.phy2log += layer * c.problem.num_replicas;
    one.count += layer * c.problem.num_experts;
    return one;
}

/* What the CPU says of each layer alone; zeros in those that it refuses. */
static void expect_shares(const share_case &c, int32_t how, int32_t *slot_count, int32_t *most, int32_t *status)
{
    for (ptrdiff_t l = 0; l < c.problem.num_layers; l++) {
        share_case one = layer_of(c, l);
        int32_t *slots = slot_count + l * c.problem.num_replicas;
        status[l] = share_with_library(&one, how, slots, most + l);
        if (status[l] == EPLB_OK) continue;
        most[l] = 0;
        memset(slots, 0, static_cast<size_t>(c.problem.num_replicas) * sizeof(int32_t));
    }
}

static void expect_quotas(const share_case &c, const int32_t *source, const int32_t *given, int32_t *quota,
                          int32_t *status)
{
    ptrdiff_t R = c.problem.num_replicas, E = c.problem.num_experts, G = c.problem.num_gpus;
    for (ptrdiff_t l = 0; l < c.problem.num_layers; l++) {
        share_case one = layer_of(c, l);
        status[l] = share_sources_with_library(&one, source + l * G * E, given + l * R, quota + l * G * R);
        if (status[l] != EPLB_OK) memset(quota + l * G * R, 0, static_cast<size_t>(G * R) * sizeof(int32_t));
    }
}

static bool device_same(const device_block &found, const int32_t *expected, size_t n)
{
    int32_t *copy = plan_ints(n);
    device_fetch(copy, found);
    bool same = plan_same_ints(expected, copy, n);
    free(copy);
    return same;
}

/* What the last device_share left. */
static void check_shares(const device_shares &d, int32_t how, const char *what)
{
    const share_case &c = d.host;
    size_t slots = plan_slots(&c.problem), L = num_layers(c);
    int32_t *slot_count = plan_ints(slots), *most = plan_ints(L), *status = plan_ints(L);
    expect_shares(c, how, slot_count, most, status);
    CHECK(device_same(d.status, status, L), "%s %d: status", what, static_cast<int>(c.seed));
    CHECK(device_same(d.slot_count, slot_count, slots), "%s %d: shares", what, static_cast<int>(c.seed));
    CHECK(device_same(d.most, most, L), "%s %d: most", what, static_cast<int>(c.seed));
    free(slot_count);
    free(most);
    free(status);
}

/* What the last device_sources left, of these shares. */
static void check_quotas(const device_shares &d, const int32_t *given, const char *what)
{
    const share_case &c = d.host;
    int32_t *quota = plan_ints(num_quotas(c)), *status = plan_ints(num_layers(c));
    expect_quotas(c, d.source_count, given, quota, status);
    CHECK(device_same(d.status, status, num_layers(c)), "%s %d: status of sources", what, static_cast<int>(c.seed));
    CHECK(device_same(d.quota, quota, num_quotas(c)), "%s %d: quotas", what, static_cast<int>(c.seed));
    free(quota);
    free(status);
}

/* Both ways to share, and the quotas of both. */
static void check_case(const device_shares &d, const char *what)
{
    int32_t *given = plan_ints(plan_slots(&d.host.problem));
    for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
        CHECK(device_share(d, how, NULL) == EPLB_OK, "%s: enqueued", what);
        must(cudaDeviceSynchronize());
        check_shares(d, how, what);
        device_fetch(given, d.slot_count);
        device_set(d.given, given);
        CHECK(device_sources(d, NULL) == EPLB_OK, "%s: sources enqueued", what);
        must(cudaDeviceSynchronize());
        check_quotas(d, given, what);
    }
    free(given);
}

static void test_random_cases(uint64_t count)
{
    for (uint64_t seed = 1; seed <= count; seed++) {
        device_shares d = device_make(share_case_make(seed, seed % 8 ? 12 : 40, seed % 3 ? 6 : 12), seed % 64);
        emulated_seed(seed);
        check_case(d, "random");
        device_done(&d);
    }
}

/* Up to 512 GPUs: many warps, and more experts in several slots than a block has threads. */
static void test_wide_cases(uint64_t count)
{
    for (uint64_t seed = 1; seed <= count; seed++) {
        device_shares d = device_make(share_case_make(seed, 512, seed % 2 ? 3 : 8), seed % 64);
        emulated_seed(seed);
        check_case(d, "wide");
        device_done(&d);
    }
}

static void spoil_counts(uint64_t *state, share_case *c);

/* GPUs that are dead, have fewer slots or are slower, nodes of any size: some of these, or all. */
struct odd_gpus {
    int32_t slots[128], node[128];
    float speed[128];
};

static void make_odd(uint64_t seed, odd_gpus *odd, eplb_problem *p)
{
    uint64_t state = seed ^ 0x6f6464;
    int32_t what = test_range(&state, 1, 7), S = p->num_replicas / p->num_gpus, N = p->num_nodes ? p->num_nodes : 1;
    int32_t left = p->num_replicas, node = 0;
    for (int32_t g = 0; g < p->num_gpus; g++) {
        odd->slots[g] = test_range(&state, 0, 3) ? S : test_range(&state, 0, 1) ? 0 : test_range(&state, 0, S);
        if (left - S + odd->slots[g] < p->num_experts) odd->slots[g] = S;
        left -= S - odd->slots[g];
        odd->speed[g] = 0.25f * static_cast<float>(test_range(&state, 1, 8));
        if (node < N - 1 && test_range(&state, 0, 2) == 0) node++;
        odd->node[g] = node;
    }
    if (what & 1) p->gpu_slots = odd->slots;
    if (what & 2) p->gpu_speed = odd->speed;
    if ((what & 4) || p->num_gpus % N != 0) p->gpu_node = odd->node;
}

/* Layers of which some are refused, as experts with tokens are in no slot that may be used. */
static void test_odd_cases(uint64_t count)
{
    int32_t seen[2] = {0, 0};
    for (uint64_t seed = 1; seed <= count; seed++) {
        odd_gpus odd;
        share_case c = share_case_make(seed, seed % 8 ? 12 : 128, seed % 3 ? 6 : 12);
        uint64_t state = seed;
        make_odd(seed, &odd, &c.problem);
        device_shares d = device_make(c, seed % 64);
        int32_t *status = plan_ints(num_layers(c));
        emulated_seed(seed);
        check_case(d, "odd");
        device_fetch(status, d.status);
        for (size_t l = 0; l < num_layers(c); l++) seen[status[l] != EPLB_OK]++;
        spoil_counts(&state, &d.host);
        device_set(d.phy2log, d.host.phy2log);
        device_set(d.count, d.host.count);
        check_case(d, "odd and spoilt");
        free(status);
        device_done(&d);
    }
    CHECK(seen[0] > 50 && seen[1] > 50, "%d layers are shared, %d refused", seen[0], seen[1]);
}

/* Every expert has a slot, and tokens of one magnitude but for a few. */
static share_case large_case(uint64_t seed, int32_t L, int32_t E, int32_t R, int32_t N, int32_t G)
{
    share_case c = share_case_alloc(seed, L, E, R, N, G);
    uint64_t state = seed;
    for (ptrdiff_t l = 0; l < L; l++) share_fill_plan(&state, &c.problem, c.phy2log + l * R);
    for (ptrdiff_t i = 0; i < static_cast<ptrdiff_t>(L) * E; i++)
        c.count[i] = share_random_count(&state, SHARE_SOME_TOKENS, E);
    return c;
}

/* In shared memory, just so, and in scratch; few slots on many GPUs, and many on one. */
static void test_shapes(void)
{
    static const int32_t shapes[][5] = {{3, 256, 288, 4, 32},    {2, 256, 320, 8, 64},    {1, 512, 640, 1, 320},
                                        {2, 512, 640, 1, 128},   {2, 1024, 2048, 8, 512}, {1, 300, 1200, 1, 300},
                                        {1, 64, 4096, 16, 16},   {1, 1000, 1000, 1, 1},   {2, 1, 64, 1, 64},
                                        {1, 2048, 2048, 1, 2048}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int32_t *s = shapes[i];
        device_shares d = device_make(large_case(i + 1, s[0], s[1], s[2], s[3], s[4]), i);
        check_case(d, "shape");
        device_done(&d);
    }
}

/* As many tokens as int32_t counts, in each layer. */
static void test_most_tokens(void)
{
    share_case c = large_case(13, 3, 5, 8, 2, 4);
    int32_t status[3] = {1, 1, 1};
    for (ptrdiff_t i = 0; i < 3 * 5; i++) c.count[i] = INT32_MAX / 5 + (i % 5 == 4 ? INT32_MAX % 5 : 0);
    device_shares d = device_make(c, 5);
    check_case(d, "most tokens");
    device_fetch(status, d.status);
    CHECK(!status[0] && !status[1] && !status[2], "2^31 - 1 tokens are accepted");
    device_done(&d);
}

/* Scratch is asked for only where a layer does not fit shared memory, and then for each layer. */
static void test_scratch_size(void)
{
    eplb_problem small = EPLB_ZERO_INIT, large = EPLB_ZERO_INIT;
    size_t bytes = 0, more = 0;
    small.num_layers = 58, small.num_experts = 256, small.num_replicas = 288, small.num_gpus = 32;
    large.num_layers = 1, large.num_experts = 1024, large.num_replicas = 2048, large.num_gpus = 512;
    CHECK(eplb_cuda_share_scratch_size(&small, &bytes) == EPLB_OK && bytes == 1, "%d bytes", static_cast<int>(bytes));
    CHECK(eplb_cuda_share_scratch_size(&large, &bytes) == EPLB_OK && bytes > 1, "large");
    large.num_layers = 7;
    CHECK(eplb_cuda_share_scratch_size(&large, &more) == EPLB_OK && more == 7 * bytes, "layers");
}

/* --------------------------------------------------------------------------------------- errors */

enum { BAD_L = 4 };

/* Layers of a case with all experts in slots; 5 experts, 8 slots, 4 GPUs. */
static device_shares small_shares(uint64_t seed) { return device_make(large_case(seed, BAD_L, 5, 8, 2, 4), 3); }

/* Each layer but the third is spoilt, in all ways, two ways at once among them. */
static void test_bad_counts(void)
{
    for (int fault = 0; fault < 8; fault++) {
        device_shares d = small_shares(7);
        int32_t *phy2log = d.host.phy2log, *count = d.host.count;
        for (ptrdiff_t l = 0; l < BAD_L; l++) {
            if (l == 2) continue;
            if (fault == 0 || fault == 5) phy2log[l * 8 + 7] = 5;
            if (fault == 1) phy2log[l * 8] = -2;
            if (fault == 2 || fault == 5 || fault == 6) count[l * 5 + 4] = -1;
            for (ptrdiff_t slot = 0; slot < 8 && (fault == 3 || fault == 6); slot++)
                phy2log[l * 8 + slot] = phy2log[l * 8 + slot] == 1 ? -1 : phy2log[l * 8 + slot];
            count[l * 5 + 1] = fault == 3 || fault == 6 ? 1 : count[l * 5 + 1];
            for (ptrdiff_t e = 0; e < 5 && fault >= 4 && fault != 5 && fault != 6; e++)
                count[l * 5 + e] = fault == 4 ? INT32_MAX : INT32_MAX / 5 + (e == 0 ? 3 : 0);
        }
        device_set(d.phy2log, phy2log);
        device_set(d.count, count);
        for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
            CHECK(device_share(d, how, NULL) == EPLB_OK, "fault %d", fault);
            must(cudaDeviceSynchronize());
            check_shares(d, how, "bad counts");
        }
        device_done(&d);
    }
}

/* Spoils something of what eplb_cuda_share reads, one to three times. */
static void spoil_counts(uint64_t *state, share_case *c)
{
    int32_t E = c->problem.num_experts;
    for (int times = test_range(state, 1, 3); times > 0; times--) {
        int32_t slot = test_range(state, 0, static_cast<int32_t>(plan_slots(&c->problem)) - 1);
        int32_t expert = test_range(state, 0, static_cast<int32_t>(plan_experts(&c->problem)) - 1);
        switch (test_range(state, 0, 4)) {
        case 0: c->phy2log[slot] = test_range(state, 0, 1) ? E : INT32_MIN; break;
        case 1: c->count[expert] = test_range(state, 0, 1) ? -1 : INT32_MIN; break;
        case 2: c->count[expert] = INT32_MAX; break;
        case 3: c->count[expert] = c->count[expert] / 2 + 1; break; /* no slot may hold it */
        default: c->phy2log[slot] = -1; break;
        }
    }
}

/* Small layers, and such as many warps read. */
static void test_spoilt_counts(void)
{
    int32_t seen[3] = {0, 0, 0};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        device_shares d = device_make(seed % 8 ? share_case_make(seed, 8, 4) : share_case_make(seed, 128, 6), 0);
        int32_t *status = plan_ints(num_layers(d.host));
        uint64_t state = seed;
        spoil_counts(&state, &d.host);
        device_set(d.phy2log, d.host.phy2log);
        device_set(d.count, d.host.count);
        for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
            CHECK(device_share(d, how, NULL) == EPLB_OK, "seed %d", static_cast<int>(seed));
            must(cudaDeviceSynchronize());
            check_shares(d, how, "spoilt counts");
        }
        device_fetch(status, d.status);
        for (size_t l = 0; l < num_layers(d.host); l++) {
            seen[0] += status[l] == EPLB_ERR_PLAN;
            seen[1] += status[l] == EPLB_ERR_NEGATIVE;
            seen[2] += status[l] == EPLB_ERR_OVERFLOW;
        }
        free(status);
        device_done(&d);
    }
    for (int i = 0; i < 3; i++) CHECK(seen[i] > 0, "status %d was never seen", i);
}

/* Spoils something of what eplb_cuda_share_sources reads, one to three times. */
static void spoil_sources(uint64_t *state, device_shares *d, int32_t *given)
{
    share_case *c = &d->host;
    int32_t E = c->problem.num_experts;
    for (int times = test_range(state, 1, 3); times > 0; times--) {
        int32_t slot = test_range(state, 0, static_cast<int32_t>(plan_slots(&c->problem)) - 1);
        int32_t source = test_range(state, 0, static_cast<int32_t>(num_sources(*c)) - 1);
        switch (test_range(state, 0, 7)) {
        case 0: c->phy2log[slot] = E; break;
        case 1: c->phy2log[slot] = -2; break;
        case 2: c->phy2log[slot] = -1; break;
        case 3: given[slot] = -1; break;
        case 4: given[slot] = test_range(state, 0, 1) ? INT32_MAX : given[slot] / 2 + 1; break;
        case 5: d->source_count[source] = -1; break;
        case 6: d->source_count[source] = INT32_MAX; break;
        default: d->source_count[source] = d->source_count[source] / 2 + 1; break;
        }
    }
}

static void test_bad_sources(void)
{
    int32_t seen[4] = {0, 0, 0, 0};
    for (uint64_t seed = 1; seed <= 300; seed++) {
        device_shares d = device_make(seed % 8 ? share_case_make(seed, 8, 4) : share_case_make(seed, 128, 6), 0);
        size_t slots = plan_slots(&d.host.problem), L = num_layers(d.host);
        int32_t *given = plan_ints(slots), *status = plan_ints(L);
        uint64_t state = seed;
        CHECK(share_with_library(&d.host, EPLB_SHARE_FAIR, given, NULL) == EPLB_OK, "seed %d", static_cast<int>(seed));
        spoil_sources(&state, &d, given);
        device_set(d.phy2log, d.host.phy2log);
        device_set(d.source, d.source_count);
        device_set(d.given, given);
        CHECK(device_sources(d, NULL) == EPLB_OK, "seed %d", static_cast<int>(seed));
        must(cudaDeviceSynchronize());
        check_quotas(d, given, "bad sources");
        device_fetch(status, d.status);
        for (size_t l = 0; l < L; l++) {
            seen[0] += status[l] == EPLB_ERR_PLAN;
            seen[1] += status[l] == EPLB_ERR_NEGATIVE;
            seen[2] += status[l] == EPLB_ERR_OVERFLOW;
            seen[3] += status[l] == EPLB_ERR_SHARES;
        }
        free(given);
        free(status);
        device_done(&d);
    }
    for (int i = 0; i < 4; i++) CHECK(seen[i] > 0, "status %d was never seen", i);
}

/* A call that is refused enqueues nothing. */
static void check_refused(const eplb_problem *p, const device_shares &d, size_t bytes, eplb_result want,
                          const char *what)
{
    int32_t *plan = device_ints(d.phy2log), *out = device_ints(d.slot_count);
    CHECK(eplb_cuda_share(p, plan, device_ints(d.count), 0, out, NULL, NULL, device_at(d.scratch), bytes, NULL) == want,
          "%s", what);
    CHECK(eplb_cuda_share_sources(p, plan, device_ints(d.source), device_ints(d.given), device_ints(d.quota), NULL,
                                  device_at(d.scratch), bytes, NULL)
              == want,
          "sources: %s", what);
}

static void test_refused(void)
{
    device_shares d = small_shares(9);
    eplb_problem p = d.host.problem;
    int32_t *plan = device_ints(d.phy2log), *count = device_ints(d.count), *out = device_ints(d.slot_count);
    void *scratch = device_at(d.scratch);
    size_t bytes = 4711;
    check_refused(NULL, d, d.scratch.bytes, EPLB_ERR_NULL, "problem");
    check_refused(&p, d, d.scratch.bytes - 1, EPLB_ERR_SCRATCH_SIZE, "short scratch");
    p.num_experts = 9;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_TOO_FEW, "experts");
    p = d.host.problem, p.num_gpus = 3;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_DIVIDE, "GPUs");
    p = d.host.problem, p.num_layers = 0;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_COUNT, "layers");
    CHECK(eplb_cuda_share_scratch_size(&p, &bytes) == EPLB_ERR_COUNT && bytes == 4711, "layers");
    float speed[4] = {1, 1, 2, 1};
    int32_t node[4] = {0, 0, 0, 1}, slots[4] = {2, 2, 0, 2};
    p = d.host.problem, p.gpu_speed = speed;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_SCRATCH_SIZE, "speeds that differ need more");
    speed[3] = 0;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_COUNT, "a speed that is none");
    speed[2] = speed[3] = 1;
    CHECK(eplb_cuda_share_scratch_size(&p, &bytes) == EPLB_OK && bytes == d.scratch.bytes, "speeds that do not");
    p = d.host.problem, p.gpu_slots = slots;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_SCRATCH_SIZE, "a dead GPU");
    slots[1] = 3;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_COUNT, "more slots than there are");
    p = d.host.problem, p.num_nodes = 2, p.gpu_node = node;
    check_refused(&p, d, d.scratch.bytes, EPLB_ERR_SCRATCH_SIZE, "nodes that differ");
    p = d.host.problem;
    CHECK(eplb_cuda_share_scratch_size(&p, NULL) == EPLB_ERR_NULL, "bytes");
    CHECK(eplb_cuda_share_scratch_size(NULL, &bytes) == EPLB_ERR_NULL, "problem");
    for (int32_t how = -1; how <= EPLB_NUM_SHARES; how += EPLB_NUM_SHARES + 1)
        CHECK(device_share(d, how, NULL) == EPLB_ERR_OPTION, "how %d", static_cast<int>(how));
    bytes = d.scratch.bytes;
    CHECK(eplb_cuda_share(&p, NULL, count, 0, out, NULL, NULL, scratch, bytes, NULL) == EPLB_ERR_NULL, "plan");
    CHECK(eplb_cuda_share(&p, plan, NULL, 0, out, NULL, NULL, scratch, bytes, NULL) == EPLB_ERR_NULL, "count");
    CHECK(eplb_cuda_share(&p, plan, count, 0, NULL, NULL, NULL, scratch, bytes, NULL) == EPLB_ERR_NULL, "out");
    CHECK(eplb_cuda_share(&p, plan, count, 0, out, NULL, NULL, NULL, bytes, NULL) == EPLB_ERR_NULL, "scratch");
#ifdef EMULATED_CUDA
    emulated_fail_launch(0);
    CHECK(device_share(d, 0, NULL) == EPLB_ERR_CUDA && cudaGetLastError() == cudaSuccess, "launch");
    emulated_fail_launch(0);
    CHECK(device_sources(d, NULL) == EPLB_ERR_CUDA && cudaGetLastError() == cudaSuccess, "launch of sources");
    long launches = emulated_calls().launches, others = emulated_calls().others;
    CHECK(device_share(d, 0, NULL) == EPLB_OK && emulated_calls().launches == launches + 1, "one launch");
    CHECK(emulated_calls().others == others, "and nothing else");
#endif
    CHECK(eplb_cuda_share(&p, plan, count, 1, out, NULL, NULL, scratch, d.scratch.bytes, NULL) == EPLB_OK, "no most");
    must(cudaDeviceSynchronize());
    int32_t *expected = plan_ints(plan_slots(&p));
    CHECK(share_with_library(&d.host, 1, expected, NULL) == EPLB_OK
              && device_same(d.slot_count, expected, plan_slots(&p)),
          "shares without most and status");
    free(expected);
    device_done(&d);
}

/* Both calls captured once, the second with what the first leaves, and replayed with other counts. */
static void test_capture(void)
{
    device_shares d = small_shares(11);
    int32_t *given = plan_ints(plan_slots(&d.host.problem));
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    must(cudaStreamCreate(&stream));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(device_share(d, EPLB_SHARE_FAIR, stream) == EPLB_OK, "captured");
    CHECK(eplb_cuda_share_sources(&d.host.problem, device_ints(d.phy2log), device_ints(d.source),
                                  device_ints(d.slot_count), device_ints(d.quota), NULL, device_at(d.scratch),
                                  d.scratch.bytes, stream)
              == EPLB_OK,
          "captured");
    must(cudaStreamEndCapture(stream, &graph));
    must(cudaGraphInstantiate(&exec, graph, 0));
    for (uint64_t seed = 1; seed <= 4; seed++) {
        uint64_t state = seed;
        for (size_t i = 0; i < plan_experts(&d.host.problem); i++)
            d.host.count[i] = share_random_count(&state, SHARE_SOME_TOKENS, 5);
        free(d.source_count);
        d.source_count = share_random_sources(&state, &d.host);
        device_set(d.count, d.host.count);
        device_set(d.source, d.source_count);
        must(cudaGraphLaunch(exec, stream));
        must(cudaStreamSynchronize(stream));
        check_shares(d, EPLB_SHARE_FAIR, "replay");
        device_fetch(given, d.slot_count);
        check_quotas(d, given, "replay");
    }
    must(cudaGraphExecDestroy(exec));
    must(cudaGraphDestroy(graph));
    must(cudaStreamDestroy(stream));
    free(given);
    device_done(&d);
}

int main(int argc, char **argv)
{
    test_random_cases(argc > 1 ? strtoull(argv[1], NULL, 10) : static_cast<uint64_t>(NUM_RANDOM));
    test_wide_cases(argc > 2 ? strtoull(argv[2], NULL, 10) : static_cast<uint64_t>(NUM_WIDE));
    test_odd_cases(argc > 1 ? strtoull(argv[1], NULL, 10) : static_cast<uint64_t>(NUM_RANDOM));
    test_shapes();
    test_most_tokens();
    test_scratch_size();
    test_bad_counts();
    test_spoilt_counts();
    test_bad_sources();
    test_refused();
    test_capture();
    return test_report("test_cuda_share");
}
