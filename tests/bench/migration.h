/* migration.h - what the parts of the benchmark of migration share; migration.c is the program, curve.c, service.c and
   rows.c its modes, traffic.c the loads, plot.c draws. The clock, memory and the rest are the other benchmark's. */
#ifndef MIGRATION_H
#define MIGRATION_H

#include "bench.h"

typedef struct migration_settings {
    const char *trace; /* NULL = generated loads alone */
    FILE *csv;         /* NULL = none */
    FILE *svg;         /* NULL = none; of the curve */
    uint64_t seed;     /* of generated loads */
    int iterations;
    int quick; /* a few layers, and a part of the settings */
} migration_settings;

/* -------------------------------------------------------------------------------------- traffic */

typedef struct traffic { /* loads in time, cut into windows */
    const char *name;
    int32_t num_layers, num_experts;
    int num_windows, steps; /* steps in a window */
    float *step;            /* [num_windows * steps, L, E] */
    float *window;          /* [num_windows, L, E] sums over each one's steps */
} traffic;

size_t traffic_size(const traffic *t); /* L * E */

/* A trace as the command line program reads it, with one comment or header line for each that has no numbers; the
   steps after the last whole window are left out. */
traffic read_traffic(const char *path, int steps);

/* Lognormal loads whose logarithm varies about its mean with an AR(1) from window to window; one step a window. */
traffic steady_traffic(int32_t num_layers, int32_t num_experts, int num_windows, uint64_t seed);
void close_traffic(traffic *t);

typedef struct chat { /* tokens of iterations of a forward pass, of traffic that drifts and now and then changes */
    int32_t num_layers, num_experts;
    uint64_t random;
    int iteration;
    double *lasting, *topic, *drift; /* [L, E] parts of the log load */
    double *mean;                    /* [L, E] tokens expected */
} chat;

chat open_chat(int32_t num_layers, int32_t num_experts, uint64_t seed);
void close_chat(chat *c);

/* Sets count [L, E] to the tokens of the next iteration. */
void next_iteration(chat *c, int32_t *count);

/* ----------------------------------------------------------------------------------------- plot */

typedef struct plot { /* a panel of a picture; lengths are in pixels */
    double left, top, width, height;
    double first, last; /* of the horizontal axis */
    double low, high;   /* of the vertical one */
    int squares;        /* the horizontal axis is that of square roots */
} plot;

void open_picture(FILE *svg, int width, int height, const char *title);
void close_picture(FILE *svg);
double plot_x(const plot *p, double x);
double plot_y(const plot *p, double y);
void plot_text(FILE *svg, double x, double y, const char *anchor, const char *style, const char *text);
void plot_rule(FILE *svg, double x1, double y1, double x2, double y2, const char *style);

/* Ticks are at most so many, at round values; or at those given. */
void plot_vertical_axis(FILE *svg, const plot *p, const char *title);
void plot_horizontal_axis(FILE *svg, const plot *p, const double *ticks, int num_ticks, const char *title);
void plot_curve(FILE *svg, const plot *p, const double *x, const double *y, int n, const char *colour,
                const char *dashes);

/* A filled dot, or a ring. */
void plot_mark(FILE *svg, double x, double y, const char *colour, int filled);

/* ---------------------------------------------------------------------------------------- modes */

void measure_curve(const migration_settings *set);
void measure_service(const migration_settings *set);
void measure_rows(const migration_settings *set);

#endif
