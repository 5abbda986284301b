/* fuzz_share.c - exact shares and quotas by GPU of origin of any plan and counts, right or wrong: an error is the one
   that a naive reading finds, and leaves everything as it was; shares are whole, least, proved and fair. Likewise
   evaluation under them, of any loads. */
#include <math.h>

#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "share_cases.h"
#include "fuzz.h"

static int32_t fuzz_tokens(fuzz_input *in, int kind)
{
    int32_t any;
    switch (kind) {
    case 0: return fuzz_byte(in) & 3;
    case 1: return fuzz_range(in, 0, 4000);
    case 2: return fuzz_one_in(in, 3) ? 0 : (int32_t)(fuzz_bits(in) & 0xffffff);
    default: any = fuzz_any_int(in); return any < 0 && !fuzz_one_in(in, 8) ? (any + 1) * -1 : any;
    }
}

/* Mostly what a plan may be. */
static share_case fuzz_share_case(fuzz_input *in)
{
    int32_t N = fuzz_range(in, 1, 3), G = N * fuzz_range(in, 1, 4), R = G * fuzz_range(in, 1, 5);
    int32_t E = fuzz_range(in, 1, R), wrong = fuzz_one_in(in, 8), empty = fuzz_range(in, 0, 2),
            kind = fuzz_range(in, 0, 3);
    share_case c = share_case_alloc(0, fuzz_range(in, 1, 2), E, R, N, G);
    for (size_t i = 0; i < plan_slots(&c.problem); i++) {
        c.phy2log[i] = fuzz_range(in, empty ? 0 : -1, E - 1);
        if (wrong && fuzz_one_in(in, 40)) c.phy2log[i] = fuzz_any_int(in);
    }
    for (ptrdiff_t i = 0; i < (ptrdiff_t)plan_experts(&c.problem); i++) {
        int held = plan_copies(c.phy2log + i / E * R, R, (int32_t)(i % E)) > 0;
        c.count[i] = held || (wrong && fuzz_one_in(in, 8)) ? fuzz_tokens(in, kind) : 0;
    }
    return c;
}

/* Layer by layer, what stands first: ids, negative counts, experts without a slot, the sum. */
static eplb_result fuzz_expected(const share_case *c)
{
    int32_t E = c->problem.num_experts, R = c->problem.num_replicas;
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        const int32_t *phy2log = c->phy2log + l * R, *count = c->count + l * E;
        int64_t sum = 0;
        for (int32_t slot = 0; slot < R; slot++)
            if (phy2log[slot] < -1 || phy2log[slot] >= E) return EPLB_ERR_PLAN;
        for (int32_t e = 0; e < E; e++) {
            if (count[e] < 0) return EPLB_ERR_NEGATIVE;
            sum += count[e];
        }
        for (int32_t e = 0; e < E; e++)
            if (count[e] > 0 && plan_copies(phy2log, R, e) == 0) return EPLB_ERR_PLAN;
        if (sum > INT32_MAX) return EPLB_ERR_OVERFLOW;
    }
    return EPLB_OK;
}

static void fuzz_prove(fuzz_input *in, const share_case *c, const int32_t *most, size_t bytes)
{
    int32_t G = c->problem.num_gpus, num[2], tokens[2];
    uint8_t proving[2 * SHARE_MOST_GPUS];
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_share_proof(&c->problem, c->phy2log, c->count, proving, num, tokens, scratch.at, bytes) == EPLB_OK);
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        const int32_t *phy2log = c->phy2log + l * c->problem.num_replicas,
                      *count = c->count + l * c->problem.num_experts;
        FUZZ_HOLDS(num[l] > 0 && share_only_on(&c->problem, phy2log, count, proving + l * G) == tokens[l]);
        FUZZ_HOLDS(((int64_t)tokens[l] + num[l] - 1) / num[l] == most[l]);
    }
    free(scratch.block);
}

static void fuzz_quotas(fuzz_input *in, const share_case *c, const int32_t *shares, size_t bytes)
{
    ptrdiff_t G = c->problem.num_gpus, R = c->problem.num_replicas, E = c->problem.num_experts;
    uint64_t state = fuzz_bits(in);
    int32_t *source = share_random_sources(&state, c), *quota = plan_ints(plan_slots(&c->problem) * (size_t)G);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_share_sources(&c->problem, c->phy2log, source, shares, quota, scratch.at, bytes) == EPLB_OK);
    for (ptrdiff_t i = 0; i < c->problem.num_layers * R; i++) {
        int64_t sum = 0;
        for (ptrdiff_t gpu = 0; gpu < G; gpu++) sum += quota[(i / R * G + gpu) * R + i % R];
        FUZZ_HOLDS(sum == shares[i]);
    }
    for (ptrdiff_t i = 0; i < c->problem.num_layers * G * E; i++) {
        int64_t sum = 0;
        for (ptrdiff_t slot = 0; slot < R; slot++) {
            int32_t sent = quota[i / E * R + slot];
            FUZZ_HOLDS(sent >= 0);
            sum += c->phy2log[i / E / G * R + slot] == i % E ? sent : 0;
        }
        FUZZ_HOLDS(sum == source[i]);
    }
    free(scratch.block);
    free(source);
    free(quota);
}

static void fuzz_both_ways(fuzz_input *in, const share_case *c, size_t bytes)
{
    size_t slots = plan_slots(&c->problem);
    int32_t R = c->problem.num_replicas, least_most[2], most[2];
    int32_t *shares = plan_ints(slots);
    for (int32_t how = 0; how < EPLB_NUM_SHARES; how++) {
        fuzz_memory scratch = fuzz_scratch(in, bytes);
        FUZZ_HOLDS(
            eplb_share(&c->problem, c->phy2log, c->count, how, shares, how ? most : least_most, scratch.at, bytes)
            == EPLB_OK);
        free(scratch.block);
        for (int32_t l = 0; l < c->problem.num_layers; l++) {
            const int32_t *phy2log = c->phy2log + l * R;
            FUZZ_HOLDS(!share_fault(&c->problem, phy2log, c->count + l * c->problem.num_experts, shares + l * R));
            FUZZ_HOLDS(how == EPLB_SHARE_LEAST_MAX || share_unfair_gpu(&c->problem, phy2log, shares + l * R) == -1);
            FUZZ_HOLDS(how == EPLB_SHARE_LEAST_MAX || most[l] == least_most[l]);
        }
    }
    fuzz_prove(in, c, least_most, bytes);
    fuzz_quotas(in, c, shares, bytes);
    free(shares);
}

static void fuzz_refused(fuzz_input *in, const share_case *c, eplb_result expected, size_t bytes)
{
    size_t slots = plan_slots(&c->problem);
    int32_t *shares = plan_ints(slots), most[2] = {PLAN_UNWRITTEN, PLAN_UNWRITTEN};
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_share(&c->problem, c->phy2log, c->count, EPLB_SHARE_FAIR, shares, most, scratch.at, bytes)
               == expected);
    FUZZ_HOLDS(plan_is_unwritten(shares, slots) && plan_is_unwritten(most, 2));
    free(scratch.block);
    free(shares);
}

/* Sample by sample, layer by layer, the loads; then the plans. */
static eplb_result fuzz_expected_of_loads(const share_case *c, const float *weight)
{
    int32_t E = c->problem.num_experts, R = c->problem.num_replicas;
    for (int32_t i = 0; i < c->problem.num_samples * c->problem.num_layers * E; i++) {
        if (isnan(weight[i])) return EPLB_ERR_NAN;
        if (isinf(weight[i])) return EPLB_ERR_INFINITE;
        if (weight[i] < 0) return EPLB_ERR_NEGATIVE;
    }
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        for (int32_t slot = 0; slot < R; slot++)
            if (c->phy2log[l * R + slot] < -1 || c->phy2log[l * R + slot] >= E) return EPLB_ERR_PLAN;
        for (int32_t e = 0; e < E; e++)
            if (plan_copies(c->phy2log + l * R, R, e) == 0) return EPLB_ERR_PLAN;
    }
    return EPLB_OK;
}

/* With exact shares the heaviest GPU has no less than the mean, and nobody more than all. */
static void fuzz_evaluate(fuzz_input *in, share_case *c, size_t bytes)
{
    float balancedness[2], max_load[2];
    c->problem.num_samples = fuzz_range(in, 1, 3);
    size_t n = plan_experts(&c->problem) * (size_t)c->problem.num_samples;
    float *weight = fuzz_loads(in, n, fuzz_range(in, 0, FUZZ_NUM_LOADS - 1));
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    memset(balancedness, 0, sizeof balancedness);
    memset(max_load, 0, sizeof max_load);
    eplb_result expected = fuzz_expected_of_loads(c, weight);
    FUZZ_HOLDS(eplb_evaluate_shares(&c->problem, c->phy2log, weight, balancedness, max_load, scratch.at, bytes)
               == expected);
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        if (expected != EPLB_OK) FUZZ_HOLDS(!(balancedness[l] > 0) && !(max_load[l] > 0));
        else
            FUZZ_HOLDS(balancedness[l] <= 1 && (double)balancedness[l] * c->problem.num_gpus >= 1 - 1e-6
                       && max_load[l] >= 0);
    }
    free(scratch.block);
    free(weight);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    share_case c = fuzz_share_case(&in);
    eplb_result expected = fuzz_expected(&c);
    size_t bytes = 0;
    FUZZ_HOLDS(eplb_share_scratch_size(&c.problem, &bytes) == EPLB_OK);
    if (expected == EPLB_OK) fuzz_both_ways(&in, &c, bytes);
    else fuzz_refused(&in, &c, expected, bytes);
    fuzz_evaluate(&in, &c, bytes);
    share_case_free(&c);
    return 0;
}
