/* fuzz.h - what the fuzz targets share: numbers out of the fuzzer's bytes, and what a target says when
   something does not hold. A target defines LLVMFuzzerTestOneInput; libFuzzer calls it with ever new
   bytes, and replay.c with those that are kept in tests/fuzz/corpus. Include after eplb.h and test.h. */
#ifndef FUZZ_H
#define FUZZ_H

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_HOLDS(holds)                                                              \
    do {                                                                               \
        if (!(holds)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

/* The bytes of an input, and behind their end what they hash to, so that few of them make a large
   problem. */
typedef struct fuzz_input {
    const uint8_t *at, *end;
    uint64_t state;
} fuzz_input;

static inline fuzz_input fuzz_begin(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, data + size, size};
    for (size_t i = 0; i < size; i++) in.state = (in.state ^ data[i]) * UINT64_C(1099511628211);
    return in;
}

static inline int32_t fuzz_byte(fuzz_input *in)
{
    return in->at < in->end ? *in->at++ : (int32_t)(test_next(&in->state) & 255);
}

/* lo .. hi, which are at most 2^16 apart. */
static inline int32_t fuzz_range(fuzz_input *in, int32_t lo, int32_t hi)
{
    int32_t x = fuzz_byte(in);
    if (hi - lo > 255) x = x << 8 | fuzz_byte(in);
    return lo + x % (hi - lo + 1);
}

static inline int fuzz_one_in(fuzz_input *in, int32_t n) { return fuzz_range(in, 1, n) == n; }

static inline uint32_t fuzz_bits(fuzz_input *in)
{
    uint32_t x = 0;
    for (int i = 0; i < 4; i++) x = x << 8 | (uint32_t)fuzz_byte(in);
    return x;
}

static inline int32_t fuzz_any_int(fuzz_input *in)
{
    uint32_t bits = fuzz_bits(in);
    int32_t x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline float fuzz_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

enum {
    FUZZ_LOADS_SMALL,  /* 0 .. 15: ties and exact sums */
    FUZZ_LOADS_MIDDLE, /* magnitudes from 2^-30 to 2^30, and 0 */
    FUZZ_LOADS_FINITE, /* anything that is allowed, denormals and FLT_MAX too */
    FUZZ_LOADS_ANY,    /* any bits: mostly not allowed */
    FUZZ_NUM_LOADS
};

static inline float fuzz_load(fuzz_input *in, int kind)
{
    uint32_t bits;
    switch (kind) {
    case FUZZ_LOADS_SMALL: return (float)(fuzz_byte(in) & 15);
    case FUZZ_LOADS_MIDDLE:
        bits = fuzz_bits(in);
        return bits % 8 == 0 ? 0.0f : fuzz_float((bits >> 9) | (97 + bits % 61) << 23);
    case FUZZ_LOADS_FINITE:
        bits = fuzz_bits(in) & 0x7fffffffu;
        return fuzz_float(bits < 0x7f800000u ? bits : bits & 0x3fffffffu);
    default: return fuzz_float(fuzz_bits(in));
    }
}

static inline float *fuzz_loads(fuzz_input *in, size_t count, int kind)
{
    float *load = (float *)test_alloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++) load[i] = fuzz_load(in, kind);
    return load;
}

/* Memory of exactly the given size at some address, filled with a byte. */
typedef struct fuzz_memory {
    void *block;
    unsigned char *at;
    size_t size;
} fuzz_memory;

static inline fuzz_memory fuzz_scratch(fuzz_input *in, size_t size)
{
    fuzz_memory m;
    size_t offset = (size_t)fuzz_range(in, 0, 63);
    m.block = test_alloc(offset + size);
    m.at = (unsigned char *)m.block + offset;
    m.size = size;
    memset(m.block, fuzz_byte(in), offset + size);
    test_forget(m.block, offset + size);
    return m;
}

/* A problem that is valid, of at most 96 slots a layer. */
static inline eplb_problem fuzz_problem(fuzz_input *in)
{
    eplb_problem p = EPLB_ZERO_INIT;
    int32_t N = fuzz_range(in, 1, 4), G = N * fuzz_range(in, 1, 4), R = G * fuzz_range(in, 1, 6);
    int32_t K = N * fuzz_range(in, 1, R / N < 4 ? R / N : 4);
    p.num_layers = fuzz_range(in, 1, 3);
    p.num_replicas = R;
    p.num_gpus = G;
    p.num_nodes = N;
    p.num_groups = K;
    p.num_experts = K * fuzz_range(in, 1, R / K);
    p.num_samples = fuzz_one_in(in, 3) ? fuzz_range(in, 2, 5) : fuzz_range(in, 0, 1);
    return p;
}

static inline eplb_packing fuzz_packing(fuzz_input *in)
{
    eplb_packing how = EPLB_ZERO_INIT;
    how.init = fuzz_range(in, 0, EPLB_NUM_INITS - 1);
    how.refine = fuzz_range(in, 0, EPLB_NUM_REFINEMENTS - 1);
    how.max_swaps = fuzz_range(in, 0, 50);
    how.heavy_packs = fuzz_range(in, 0, 4);
    how.num_candidates = fuzz_range(in, 0, 4);
    how.noise = fuzz_range(in, 0, EPLB_NUM_NOISES - 1);
    how.noise_scale = (float)fuzz_range(in, 0, 128) / 64.0f;
    how.select = fuzz_range(in, 0, EPLB_NUM_SELECTIONS - 1);
    return how;
}

/* Options that are valid for the problem. */
static inline eplb_options fuzz_options(fuzz_input *in, const eplb_problem *p)
{
    eplb_options o = EPLB_ZERO_INIT;
    int32_t drawn = fuzz_range(in, 0, 2 * EPLB_PRESET_VLLM); /* the other presets; any options; VLLM */
    if (drawn < EPLB_PRESET_VLLM || drawn == 2 * EPLB_PRESET_VLLM) {
        FUZZ_HOLDS(eplb_options_preset(drawn < EPLB_PRESET_VLLM ? drawn : EPLB_PRESET_VLLM, &o) == EPLB_OK);
    } else {
        o.replication = fuzz_range(in, 0, EPLB_NUM_REPLICATIONS - 1);
        o.fixup_steps = fuzz_range(in, 0, 3);
        o.group_packing = fuzz_packing(in);
        o.gpu_packing = fuzz_packing(in);
        o.effort = fuzz_range(in, 0, 8);
        o.allow_duplicates = fuzz_range(in, 0, 1);
    }
    o.policy = fuzz_range(in, 0, EPLB_NUM_POLICIES - 1);
    o.seed = fuzz_bits(in);
    if (fuzz_one_in(in, 3))
        o.max_replicas = (p->num_replicas + p->num_experts - 1) / p->num_experts + fuzz_range(in, 0, 2);
    return o;
}

static inline size_t fuzz_samples(const eplb_problem *p) { return p->num_samples ? (size_t)p->num_samples : 1; }

#endif
