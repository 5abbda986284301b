/* plan_hash.h - one number for many plans: those of every preset on a problem, and on random problems.
   Include after eplb.h, test.h, planning.h and random_problem.h.

   Shapes and options come from random_problem.h, which takes them from integers; the loads are made
   here, from integers too, since floating point in a test may come out otherwise elsewhere. */
#ifndef PLAN_HASH_H
#define PLAN_HASH_H

#define HASH_START UINT64_C(14695981039346656037)

/* FNV-1a over the integers of an array. */
static inline uint64_t hash_ints(uint64_t hash, const int32_t *a, size_t count)
{
    for (size_t i = 0; i < count; i++) hash = (hash ^ (uint32_t)a[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Every preset with the policy, cap and seed of base; what is the caller's word for the problem. */
static inline uint64_t hash_presets(uint64_t hash, const eplb_problem *problem, const eplb_options *base,
                                    const float *weight, uint64_t what)
{
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        eplb_plan plan = plan_alloc(problem, plan_full_width(problem));
        CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
        options.policy = base->policy;
        options.max_replicas = base->max_replicas;
        options.seed = base->seed;
        eplb_result result = plan_with_library(problem, &options, weight, &plan);
        CHECK(result == EPLB_OK, "problem %llu, preset %d: %s", (unsigned long long)what, (int)preset,
              eplb_result_name(result));
        hash = hash_ints(hash, plan.phy2log, plan_slots(problem));
        hash = hash_ints(hash, plan.phyrank, plan_slots(problem));
        hash = hash_ints(hash, plan.logcnt, plan_experts(problem));
        plan_free(&plan);
    }
    return hash;
}

/* Few values with many ties, token counts, or magnitudes far apart: all exact in float32. */
static inline void hash_fill(uint64_t seed, float *load, size_t count)
{
    uint64_t state = seed;
    int kind = test_range(&state, 0, 2);
    for (size_t i = 0; i < count; i++) {
        int32_t value = test_range(&state, 0, (1 << 24) - 1);
        if (kind == 0) value %= 7;
        else if (kind == 1) value >>= test_range(&state, 8, 14);
        else value >>= test_range(&state, 0, 20);
        load[i] = (float)value;
    }
}

static inline void hash_fill_loads(random_problem *r)
{
    size_t T = r->problem.num_samples ? (size_t)r->problem.num_samples : 1;
    hash_fill(r->seed, r->weight, T * plan_experts(&r->problem));
}

/* The plans of random problems 1 .. that many, as hashes.h has them: few, some and all. When they change on purpose,
   EPLB_PLAN_VERSION rises and they follow. */
enum { HASH_PLAN_VERSION = 4 };
#define HASH_PROBLEMS  \
    {                  \
        100, 400, 1500 \
    }
#define HASH_EXPECTED                                                                            \
    {                                                                                            \
        UINT64_C(0x28ac56047ab06507), UINT64_C(0xa3774285e0abc28b), UINT64_C(0x6a8bb03704a7df76) \
    }

/* DEFAULT for a window that is too long to be searched as it is: 65 to 128 steps, the later ones counting for more. */
static inline uint64_t hash_long_window(uint64_t hash, const random_problem *r)
{
    uint64_t state = r->seed;
    eplb_problem problem = r->problem;
    eplb_options options;
    problem.num_samples = test_range(&state, EPLB_MOST_SAMPLES + 1, 2 * EPLB_MOST_SAMPLES);
    size_t T = (size_t)problem.num_samples, n = T * plan_experts(&problem);
    float *load = (float *)test_alloc((T + n) * sizeof *load), *share = load + n;
    eplb_plan plan = plan_alloc(&problem, plan_full_width(&problem));

    hash_fill(r->seed, load, n);
    for (size_t t = 0; t < T; t++) share[t] = (float)(t * t + 1);
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &options) == EPLB_OK, "problem %llu", (unsigned long long)r->seed);
    options.policy = r->options.policy;
    options.sample_weight = share;
    eplb_result result = plan_with_library(&problem, &options, load, &plan);
    CHECK(result == EPLB_OK, "problem %llu, %d steps: %s", (unsigned long long)r->seed, (int)problem.num_samples,
          eplb_result_name(result));
    hash = hash_ints(hash, plan.phy2log, plan_slots(&problem));
    plan_free(&plan);
    free(load);
    return hash;
}

/* The hash goes on over problems first .. last, every 25th with a long window besides. */
static inline uint64_t hash_random_problems(uint64_t hash, uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        random_problem r = random_problem_make(seed);
        hash_fill_loads(&r);
        hash = hash_presets(hash, &r.problem, &r.options, r.weight, seed);
        if (seed % 25 == 0) hash = hash_long_window(hash, &r);
        random_problem_free(&r);
    }
    return hash;
}

#endif
