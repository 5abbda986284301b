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

int main(void)
{
    test_slots(4, 2, 2000);
    test_slots(16, 8, 300);
    test_slots(64, 16, 300);
    test_slots(256, 36, 260);
    for (int kind = 0; kind < NUM_LOADS; kind++) {
        count_steps(32, 64, 16, 1, kind, EPLB_PRESET_BEST);
        count_steps(64, 72, 8, 1, kind, EPLB_PRESET_BEST);
        count_steps(128, 256, 128, 1, kind, EPLB_PRESET_BEST);
        count_steps(256, 36000, 36, 1, kind, EPLB_PRESET_DEFAULT);
    }
    CHECK(looked_at_in_all > 0, "nothing was counted");
    return test_report("test_bounded");
}
