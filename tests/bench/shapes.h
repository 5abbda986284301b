/* shapes.h - the shapes and loads of the GPU's benchmarks. */
#ifndef EPLB_BENCH_SHAPES_H
#define EPLB_BENCH_SHAPES_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

struct bench_shape {
    const char *name; /* _g: global policy, _h: hierarchical */
    int32_t L, E, R, K, N, G;
};

static const bench_shape bench_shapes[] = {
    {"58x256x288x32_g", 58, 256, 288, 1, 1, 32},   {"58x256x288x32_h", 58, 256, 288, 8, 4, 32},
    {"58x256x320x64_g", 58, 256, 320, 1, 1, 64},   {"94x512x576x96_h", 94, 512, 576, 8, 4, 96},
    {"94x512x640x320_g", 94, 512, 640, 1, 1, 320}, {"16x1024x2048x512_g", 16, 1024, 2048, 1, 1, 512},
};

static inline eplb_problem shape_problem(const bench_shape &shape)
{
    eplb_problem problem = {};
    problem.num_layers = shape.L;
    problem.num_experts = shape.E;
    problem.num_replicas = shape.R;
    problem.num_groups = shape.K;
    problem.num_nodes = shape.N;
    problem.num_gpus = shape.G;
    return problem;
}

/* splitmix64 (Steele, Lea, Flood 2014) in (0, 1). */
static inline double next_uniform(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (static_cast<double>(z >> 11) + 0.5) / 9007199254740992.0;
}

/* By Box and Muller 1958. */
static inline double next_normal(uint64_t *state)
{
    double radius = std::sqrt(-2.0 * std::log(next_uniform(state)));
    return radius * std::cos(6.283185307179586 * next_uniform(state));
}

static inline std::vector<float> lognormal_loads(size_t count)
{
    std::vector<float> load(count);
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++) load[i] = static_cast<float>(std::exp(next_normal(&state)));
    return load;
}

#endif
