/* bench.h - what the parts of the benchmark share: shapes, settings, loads, planning and the clock.
   common.c has these; bench.c is the program, heading.c its first lines, stages.c, fits.c, torch.c,
   against.c, shares.c and transfers.c are modes of it. */
#ifndef BENCH_H
#define BENCH_H

#include "eplb.h"
#include "baseline.h"

#include <stdio.h>

enum {
    MAX_REPS = 1001,
    MAX_SAMPLES = 1024,
    MAX_SDS = 8,
    QUICK_LAYERS = 2,
    QUICK_EXPERTS = 256 /* a quick run leaves larger shapes out */
};

enum { /* what is measured */
       BENCH_PRESETS,
       BENCH_EFFORTS,
       BENCH_STAGES,
       BENCH_FITS,
       BENCH_AGAINST,
       BENCH_SHARES,
       BENCH_TRANSFERS
};

typedef struct bench_shape {
    const char *name; /* _g: global policy, _h: hierarchical */
    baseline_shape is;
    int charted; /* over effort */
} bench_shape;

typedef struct bench_settings {
    int mode;               /* BENCH_* */
    const char *only_shape; /* NULL = all */
    const char *other;      /* path of a header to compare with */
    FILE *csv;              /* NULL = none */
    FILE *chart;            /* over effort */
    double limit;           /* seconds for one repetition of one planner */
    int samples;
    double sd[MAX_SDS]; /* of the loads' logarithm, for presets, here and against another header */
    int num_sds;
    int reps;
    int quick;
    int torch; /* beside the presets */
} bench_settings;

typedef struct bench_case { /* loads, and the memory to plan them in */
    baseline_shape shape;
    eplb_problem problem;
    float *weight;  /* [T, L, E] */
    eplb_plan plan; /* all arrays, log2phy as wide as any plan needs */
    void *scratch;
    size_t scratch_bytes;
} bench_case;

typedef struct bench_quality { /* of a plan: mean over its layers, as eplb_evaluate reports it */
    double balancedness;
    double gap; /* maximum GPU load / lower bound - 1 */
} bench_quality;

typedef struct bench_times { /* of the repetitions of one thing */
    double seconds[MAX_REPS];
    double q1, median, q3; /* once they are all there */
} bench_times;

/* The processor, the compilers and their flags. */
void print_heading(void);
extern const char bench_flags[];

/* The line over the table of a shape. */
void print_shape(const bench_shape *shape, const baseline_shape *is, int num_samples, double sd);

/* Ends the program. */
void fail(const char *what, const char *why);

/* Zeroed memory; it never fails to the caller. */
void *allocate(size_t count, size_t size);

/* Seconds of this thread's own, so that nothing is charged for what else the machine is doing. */
double now(void);

/* Sorts the seconds and fills in the quartiles. */
void finish_times(bench_times *times, int reps);

/* splitmix64 (Steele, Lea, Flood 2014), in (0, 1]. */
double next_uniform(uint64_t *state);

/* Standard normal, by Box and Muller 1958. */
double next_normal(uint64_t *state);

/* The options of a preset. Its policy suits all shapes: global where there is one node. */
eplb_options preset_options(int32_t preset);

/* A shape with as many layers as are timed. */
baseline_shape timed_shape(const bench_shape *shape, const bench_settings *set);

/* Loads with standard deviation sd of their logarithm, and all memory but scratch. */
bench_case open_case(const baseline_shape *shape, int num_samples, double sd);
void close_case(bench_case *c);

/* Scratch becomes large enough for these options too, or for so many bytes. */
void make_room(bench_case *c, const eplb_options *options);
void make_room_of(bench_case *c, size_t bytes);

/* Plans the first num_layers layers. */
void plan_case(const bench_case *c, const char *name, const eplb_options *options, int32_t num_layers);

/* How good the plan of the case is; these options, or such that need more scratch, have room in it. */
bench_quality judge_case(const bench_case *c, const eplb_options *options);

/* The narrowest log2phy that the plan of the case fits. */
int32_t width_needed(const bench_case *c);

/* Where the time of a layer goes, for one shape. */
void bench_stages(const bench_shape *shape, const bench_settings *set);
extern const char stages_csv_head[];

/* How the time of a layer grows. */
void bench_fits(const bench_settings *set);
extern const char fits_csv_head[];

/* This header beside another one, for one shape; both are compiled first, and a failure to do so ends the
   program. */
typedef struct bench_sides bench_sides;
bench_sides *open_sides(const char *other_path);
void close_sides(bench_sides *sides);
void bench_against(const bench_sides *sides, const bench_shape *shape, double sd, const bench_settings *set);
extern const char against_csv_head[];

/* What exact shares cost and gain, for one shape. */
void bench_shares(const bench_shape *shape, const bench_settings *set);
extern const char shares_csv_head[];

/* What the host does for a rebalance takes, for one shape. */
void bench_transfers(const bench_shape *shape, const bench_settings *set);
extern const char transfers_csv_head[];

/* The reference algorithm in PyTorch, on the loads of a case whose plan is DEEPSEEK's at this moment.
   Returns NULL, or why it is left out. A plan other than that one ends the program. */
const char *time_torch(const bench_case *c, int reps, bench_times *times);

#endif
