/* cli.h - what the rooms of the program `eplb` share, room by room. What is not here is private to its room.
   Every room includes it first, since it asks for POSIX.

     main.c                 commands, and what --help says
     common.c               progress, errors, memory, numbers
     arguments.c            arguments and settings
     source.c               files of loads, and which reader they go to
     text.c                 what the readers of CSV and JSON share
     csv.c, json.c, npy.c   a reader each
     plan.c                 planning, and the library's errors in words
     replay.c               replaying
     print.c                tables, summaries, bars
     draw.c                 pictures: heat map and chart
     write.c                JSON, CSV, output files
     library.c              eplb.h, compiled */
#ifndef CLI_H
#define CLI_H

#define _XOPEN_SOURCE 700 /* POSIX 2008 and realpath */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eplb.h"

#if defined(__GNUC__) || defined(__clang__)
#define ENDS_PROGRAM(format_at, args_at) __attribute__((noreturn, format(printf, format_at, args_at)))
#else
#define ENDS_PROGRAM(format_at, args_at)
#endif

/* ----------------------------------------------------------------------------------- common.c */

enum { STATUS_OK = 0, STATUS_OUTPUT = 1, STATUS_INPUT = 2 };

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

/* One line on a terminal, redrawn in place, for work that takes long; progress_clear removes it. */
void progress_show(const char *what, size_t done, size_t total);
void progress_clear(void);

/* Ends the program with one line on standard error. */
void fail(int status, const char *format, ...) ENDS_PROGRAM(2, 3);

/* The same when the beginning of the line, the place, is printed. */
void fail_rest(int status, const char *format, va_list args) ENDS_PROGRAM(2, 0);

/* Zeroed memory; both end the program when there is none. grow doubles an array of *room items. */
void *allocate(size_t count, size_t item_bytes);
void *grow(void *block, size_t *room, size_t item_bytes);

/* Whole numbers that fill begin .. end, and a product; false when the value does not fit. */
bool is_digit(char c);
bool parse_digits(const char *begin, const char *end, uint64_t *value);
bool parse_integer(const char *begin, const char *end, int64_t *value);
bool multiply_fits(size_t a, size_t b, size_t *product);

/* 0.5 ^ x for x >= 0. */
double half_to_the(double x);

/* -------------------------------------------------------------------------------- arguments.c */

typedef struct arguments { /* what main was given; `at` is the one looked at */
    int    count;
    char **text;
    int    at;
} arguments;

typedef struct settings { /* what eplb plan or eplb replay was asked for */
    const char *input;
    const char *json, *csv, *svg;        /* output paths, NULL = none */
    int32_t     replicas, gpus, nodes, groups, max_replicas;
    int32_t     policy;
    int32_t     preset[EPLB_NUM_PRESETS];
    int32_t     num_presets;             /* 1 for plan */
    int32_t     effort;                  /* -1: as the preset has it */
    double      half_life;               /* in samples; 0 = all count alike */
    uint64_t    seed;
    int32_t     first_layer, last_layer; /* plan; last -1: all */
    int32_t     show;                    /* plan: layer to draw, -1: none */
    int32_t     window, history;         /* replay, in samples; history 0: as long as the window */
    bool        quiet;
} settings;

/* What the command's arguments ask for; ends the program when they are wrong. */
settings parse_plan_arguments(arguments *a);
settings parse_replay_arguments(arguments *a);

/* As --policy has it. */
const char *policy_name(int32_t policy);

/* ----------------------------------------------------------------------------------- source.c */

typedef struct source { /* a file read as a whole */
    const char *name;   /* for messages */
    char       *bytes;  /* size of them and a 0, so that number parsing stops */
    size_t      size;
} source;

enum { MIN_DIMS = 2, MAX_DIMS = 3 }; /* of a file's array: [L, E] or [T, L, E] */

typedef struct loads {
    int32_t  num_samples, num_layers, num_experts;
    float   *weight; /* [T, L, E], finite, >= 0 */
    int64_t *step;   /* [T] as the file names the samples; NULL: it does not */
} loads;

/* The loads of a file, or of its bytes; end the program when they are wrong. */
loads read_loads(const char *path);
loads parse_loads(const source *from);
void  free_loads(loads *table);

#define QUOTE_BYTES 32
typedef struct quote {
    char text[QUOTE_BYTES + 4];
} quote;

/* Begin .. end for a message, shortened. */
quote quoted(const char *begin, const char *end);

/* ------------------------------------------------------------------------------------- text.c */

typedef struct text_reader {
    const source *from;
    const char   *line_begin;
    size_t        line;  /* 1-based */
    float        *value; /* the loads in the order of the file */
    size_t        num_values, values_room;
} text_reader;

typedef struct text_field { /* without the blanks around it */
    const char *begin, *end;
} text_field;

/* Ends the program with the place, at `at` in this line, and what is wrong there. */
void text_fail(const text_reader *r, size_t line, const char *at, const char *format, ...) ENDS_PROGRAM(4, 5);

/* White space within a line, and with the ends of lines. */
bool is_blank(char c);
bool is_space(char c);

/* Where the text begins, after a byte order mark. */
const char *text_begin(const source *from);

/* What C and other programs write for numbers that are not finite. */
bool field_is_not_finite(const text_field *field);

/* Appends the load in a field to the reader's; ends the program when it is none. */
void text_add_load(text_reader *r, const text_field *field);

/* A table of this shape, still without its loads. */
loads text_table(const text_reader *r, size_t num_samples, size_t num_layers, size_t num_experts);

/* ----------------------------------------------------------------------- csv.c, json.c, npy.c */

loads read_csv(const source *from);
loads read_json(const source *from);
loads read_npy(const source *from);

/* Whether the first byte is that of .npy, with which no text starts. */
bool npy_begins(const source *from);

/* ------------------------------------------------------------------------------------- plan.c */

typedef struct layer_result {
    eplb_layer_report before, after; /* experts in order; the plan */
    double            microseconds;  /* of planning */
} layer_result;

typedef struct planning { /* a problem, its plan and what there is to say of it */
    eplb_problem  problem;
    eplb_options  options;
    float        *sample_weight;           /* [T] in options, or NULL */
    int32_t       first_layer, num_layers; /* what was planned */
    eplb_plan     plan;                    /* whole arrays, filled for these layers */
    layer_result *result;                  /* [num_layers] */
    float        *gpu_before, *gpu_after;  /* [num_layers, G] */
    int32_t      *list_start, *list;       /* [E], [R] for write_log2phy */
    size_t        scratch_bytes;
} planning;

/* Over the layers planned: sums of loads, of slots and of time. */
typedef struct plan_totals {
    double    mean, before, after, bound, microseconds;
    int32_t   max_replicas;
    long long duplicates;
} plan_totals;

/* Plans the layers asked for, and scores them before and after. */
planning    make_plan(const settings *s, const loads *table);
void        free_planning(planning *p);
plan_totals total_of_plan(const planning *p);

/* What a plan is made from, by the settings; make_sample_weight gives NULL when all samples count alike. */
eplb_problem make_problem(const settings *s, const loads *table);
eplb_options make_options(const settings *s, int32_t preset);
float       *make_sample_weight(const settings *s, int32_t num_samples);

/* The plan there is without a planner. */
void plan_in_order(int32_t *phy2log, int32_t num_replicas, int32_t num_experts);

/* Ends the program, in the words of the command line, unless the library's result is EPLB_OK. */
void check_result(const eplb_problem *problem, const eplb_options *options, const float *weight,
                  eplb_result result);

/* The name of the policy that EPLB_POLICY_AUTO comes to. */
const char *policy_used(const eplb_problem *problem, int32_t policy);

/* A load as a part of a larger one, balancedness for one. */
double load_share(double load, double larger);

/* ----------------------------------------------------------------------------------- replay.c */

typedef struct score { /* of a plan on a window, summed over layers; mean over the window's samples */
    double mean, most; /* load of a GPU, and of the most loaded one in each sample */
} score;

typedef struct trial { /* one plan */
    score  own, next;
    double microseconds; /* of planning all layers */
} trial;

typedef struct replay {
    const float *weight;                        /* the trace, [samples, L, E] */
    eplb_problem problem;                       /* num_samples is the window's */
    int32_t      num_plans;                     /* of each series: windows that have a next one */
    int32_t      history;                       /* samples that a plan is made from; fewer at first */
    int32_t      num_series;
    const char  *name[1 + EPLB_NUM_PRESETS];
    eplb_options options[1 + EPLB_NUM_PRESETS]; /* of each series; 0: those that the bound is under */
    eplb_options scoring;                       /* those with a bound that costs little */
    float       *sample_weight;                 /* [history] or NULL */
    int32_t     *in_order, *phy2log;            /* [L, R] the experts in order; the plan being tried */
    trial       *trial;                         /* [num_plans, num_series] */
    double      *bound;                         /* [num_plans] of score.most on the next window */
    eplb_layer_report *report;                  /* [L] of score_plan */
    void        *scratch;
    size_t       scratch_bytes;
} replay;

/* Play_trace makes and scores all plans of a replay. */
replay make_replay(const settings *s, const loads *table);
void   play_trace(replay *r);
void   free_replay(replay *r);

/* Plan i of a series, and a series' loads summed and the median of its times. */
const trial *trial_of(const replay *r, int32_t i, int32_t series);
trial        total_of_series(const replay *r, int32_t series);

/* Balancedness by a score, and the best that any plan could have: on the window after plan i, and on all. */
double score_balancedness(score s);
double replay_next_bound(const replay *r, int32_t i);
double replay_total_bound(const replay *r);

/* What the file calls the first sample of the window that plan i was made at the end of. */
long long replay_first_step(const replay *r, const loads *table, int32_t i);

/* ------------------------------------------------------------------------------------ print.c */

/* Of a plan: what it was made from, its layers and their total, and the GPUs of one layer. */
void print_summary(FILE *out, const planning *p, const settings *s);
void print_table(FILE *out, const planning *p, bool only_total);
void print_bars(FILE *out, const planning *p, int32_t layer);

/* Of a replay: what it was made from, its windows, and its series. */
void print_replay_summary(FILE *out, const replay *r, const settings *s, int32_t num_samples);
void print_windows(FILE *out, const replay *r);
void print_series(FILE *out, const replay *r);

/* ------------------------------------------------------------------------------------- draw.c */

/* An SVG: the load of each GPU in each layer; balancedness over the windows. */
void draw_heat_map(FILE *out, const planning *p, const settings *s);
void draw_chart(FILE *out, const replay *r, const settings *s, const loads *table);

/* ------------------------------------------------------------------------------------ write.c */

/* Whether this path, which may be NULL, is standard output. */
bool to_stdout(const char *path);

/* All files asked for; ends the program, leaving none, when one cannot be written. */
void write_plan(const planning *p, const settings *s);
void write_replay(const replay *r, const settings *s, const loads *table);

#endif
