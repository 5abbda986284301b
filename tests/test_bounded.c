/* test_bounded.c - no shape runs away: the same layer with few slots, and with more and more, to far
   beyond an expert on every GPU; loads of every kind, one sample and several. What the search looks at is
   counted, not timed, and held against the bound that eplb.h states. */
#include <stdint.h>
static int64_t looked_at, looked_at_in_all; /* pairs: since it was last set to 0; ever */
#define EPLB_P_ON_STEPS(count) (looked_at += (count), looked_at_in_all += (count))
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

enum { LOADS_LOGNORMAL, LOADS_ONE_HEAVY, LOADS_POWERS, LOADS_TWO_LEVELS, LOADS_SORTED, LOADS_ALIKE, NUM_LOADS };

static float draw(uint64_t *state, int kind, int32_t e)
{
    switch (kind) {
    case LOADS_ONE_HEAVY: return e == 3 ? 100000.0f : (float)(1 + e % 3);
    case LOADS_POWERS: return (float)((uint32_t)1 << e % 20);
    case LOADS_TWO_LEVELS: return e % 2 ? 10.0f : 1.0f;
    case LOADS_SORTED: return (float)(e + 1);
    case LOADS_ALIKE: return 1.0f;
    default: return random_lognormal(state);
    }
}

/* What one search may look at in a node, the move at hand included, and parting duplicates before it. */
static int64_t most_steps(int64_t E, int64_t R) { return (1 << 20) + 64 * E * R + 2 * E * R + R * R; }

static int64_t count_steps(int32_t E, int32_t R, int32_t G, int32_t T, int kind, int32_t preset)
{
    uint64_t state = (uint64_t)kind + 1;
    float *weight = (float *)test_alloc((size_t)E * (size_t)T * sizeof *weight);
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    eplb_layer_report packed, improved;
    size_t bytes, bytes_packed;
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_gpus = G;
    problem.num_samples = T;
    for (int32_t i = 0; i < E * T; i++)
        weight[i] = draw(&state, kind, i % E) * (T > 1 ? 1.0f + 0.3f * random_unit(&state) : 1.0f);
    eplb_plan plan = plan_alloc(&problem, R);
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset");
    CHECK(eplb_scratch_size(&problem, &options, &bytes) == EPLB_OK, "size");
    int32_t effort = options.effort;
    options.effort = 0;
    CHECK(eplb_scratch_size(&problem, &options, &bytes_packed) == EPLB_OK, "size");
    bytes = bytes > bytes_packed ? bytes : bytes_packed;
    void *scratch = test_alloc(bytes);

    CHECK(eplb_rebalance(&problem, &options, weight, &plan, scratch, bytes) == EPLB_OK, "pack");
    CHECK(eplb_evaluate(&problem, &options, weight, &plan, &packed, NULL, scratch, bytes) == EPLB_OK, "pack");
    options.effort = effort;
    looked_at = 0;
    CHECK(eplb_rebalance(&problem, &options, weight, &plan, scratch, bytes) == EPLB_OK, "improve");
    int64_t steps = looked_at;
    CHECK(eplb_evaluate(&problem, &options, weight, &plan, &improved, NULL, scratch, bytes) == EPLB_OK, "improve");
    CHECK(steps <= most_steps(E, R), "E %d R %d G %d T %d loads %d %s: %lld steps, of %lld", (int)E, (int)R, (int)G,
          (int)T, kind, eplb_preset_name(preset), (long long)steps, (long long)most_steps(E, R));
    if (R > E * G && T == 1) /* where nothing has to be parted */
        CHECK(improved.max_load <= packed.max_load * 1.000001f, "E %d R %d G %d loads %d: %g, packed %g", (int)E,
              (int)R, (int)G, kind, (double)improved.max_load, (double)packed.max_load);
    free(weight);
    free(scratch);
    plan_free(&plan);
    return steps;
}

/* The rule that no expert is twice on a GPU cannot be kept beyond E x G slots, and is lifted. */
static void test_slots(int32_t E, int32_t G, int32_t last)
{
    int64_t most = 0;
    for (int32_t S = (E + G - 1) / G; S <= last; S = S < E - 1 ? S + 1 + S / 3 : S < E + 1 ? S + 1 : S * 4)
        for (int kind = 0; kind < NUM_LOADS; kind++)
            for (int32_t T = 1; T <= 4; T += 3) {
                int64_t steps = count_steps(E, S * G, G, T, kind, EPLB_PRESET_DEFAULT);
                most = steps > most ? steps : most;
            }
    printf("  %d experts, %d GPUs, up to %d slots: %lld pairs looked at, at most\n", (int)E, (int)G, (int)(last * G),
           (long long)most);
}

/* Trying all plans of few slots, without an incumbent to begin with. Whether they were more than may be tried. */
static int count_tries(int kind)
{
    float weight[12];
    uint64_t state = (uint64_t)kind + 1;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_p_planning all;
    eplb_p_search *s = &all.search;
    size_t bytes = 0;
    problem.num_layers = 1;
    problem.num_experts = 12;
    problem.num_replicas = 16;
    problem.num_gpus = 4;
    for (int32_t e = 0; e < 12; e++) weight[e] = draw(&state, kind, e);
    eplb_plan plan = plan_alloc(&problem, 16);
    CHECK(eplb_scratch_size(&problem, NULL, &bytes) == EPLB_OK, "size");
    void *scratch = test_alloc(bytes);
    eplb_p_call call = eplb_p_call_of(&problem, NULL, weight, &plan, scratch, bytes);
    CHECK(eplb_p_prepare(&call, &all) == EPLB_OK, "prepare");

    eplb_p_layer *l = &all.planner.layer;
    int64_t best = INT32_MAX;
    eplb_p_weigh_layer(l, weight, 0);
    eplb_p_place_groups(&all.planner);
    eplb_p_place_experts(&all.planner, 0);
    eplb_p_node_part part = eplb_p_node_part_of(l, 0);
    eplb_p_enter_phase(&all.planner.shared, all.planner.search_bytes);
    eplb_p_open_node(s, l, &part);
    s->apart = 1;
    s->close = 0;
    s->steps = INT64_MAX;
    looked_at = 0;
    int tried_all = eplb_p_try_all(s, &best);
    CHECK(looked_at <= (1 << 16) + 16 * 4, "loads %d: %lld GPUs looked at", kind, (long long)looked_at);
    CHECK(tried_all || looked_at >= 1 << 16, "loads %d: given up after %lld", kind, (long long)looked_at);
    eplb_p_leave_phases(&all.planner.shared);
    free(scratch);
    plan_free(&plan);
    return !tried_all;
}

int main(void)
{
    int given_up = 0;
    test_slots(4, 2, 2000);
    test_slots(10, 4, 4);
    test_slots(16, 8, 300);
    test_slots(64, 16, 300);
    test_slots(256, 36, 260);
    for (int kind = 0; kind < NUM_LOADS; kind++) {
        count_steps(32, 64, 16, 1, kind, EPLB_PRESET_BEST);
        count_steps(64, 72, 8, 1, kind, EPLB_PRESET_BEST);
        count_steps(128, 256, 128, 1, kind, EPLB_PRESET_BEST);
        count_steps(256, 36000, 36, 1, kind, EPLB_PRESET_DEFAULT);
    }
    for (int kind = 0; kind < NUM_LOADS; kind++) given_up += count_tries(kind);
    CHECK(given_up > 0, "all plans were tried");
    CHECK(looked_at_in_all > 0, "nothing was counted");
    return test_report("test_bounded");
}
