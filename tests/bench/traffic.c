/* traffic.c - loads in time for the benchmark of migration: a trace from a file, or generated ones. What the generated
   ones are like is measured on published loads of DeepSeek-V3 and R1: the log load is about normal, of sd 0.68 with a
   heavier top, and between windows of some 100 forward passes it varies by an AR(1) of sd 0.26 and correlation 0.6,
   which is a total variation of 0.09; where traffic changes the total variation is 0.3. */
#include "migration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_SD      0.68
#define DRIFT_SD     0.26
#define DRIFT_MEMORY 0.60 /* from a window to the next */

/* ---------------------------------------------------------------------------------------- chat

   A layer's log load is the sum of what lasts, of what its present traffic is like, and of drift. Traffic changes from
   one iteration to the next, in all layers, every CHANGE iterations. Tokens are drawn about their expected number, as
   the normal distribution has it that comes next to Poisson's. */

enum {
    ROUTED_TOKENS = 32768, /* of a layer in an iteration: 4096 tokens, 8 experts each */
    BLOCK = 32,            /* neighbours that share an effect */
    WINDOW = 100,          /* iterations that DRIFT_MEMORY is about */
    HELD = 20,             /* iterations in which drift stays as it is */
    CHANGE = 1500
};

#define BLOCK_SD   0.24
#define TOPIC_SD   0.50 /* what changes with the traffic; with BLOCK_SD and LASTING_SD, LOAD_SD */
#define LASTING_SD 0.39
#define HOT_MOST   0.60 /* what the hottest expert of a layer has on top, at most */

size_t traffic_size(const traffic *t) { return (size_t)t->num_layers * (size_t)t->num_experts; }

static void advance_drift(double *drift, size_t n, double memory, uint64_t *random)
{
    double fresh = DRIFT_SD * sqrt(1.0 - memory * memory);
    for (size_t i = 0; i < n; i++) drift[i] = memory * drift[i] + fresh * next_normal(random);
}

/* ----------------------------------------------------------------------------------- a trace's file */

enum { MAX_LINE = 1 << 16 };

/* The numbers of a line "step,layer,e0,.."; returns how many, 0 for a line of words. */
static int read_numbers(const char *line, double *number, int most)
{
    int n = 0;
    while (n < most) {
        char *end;
        number[n] = strtod(line, &end);
        if (end == line) return n;
        n++;
        if (*end != ',') return n;
        line = end + 1;
    }
    return n;
}

/* Rows as they stand: layers in order, steps in order. Returns the number of rows and sets num_experts. */
static size_t read_rows(FILE *f, float **load, int32_t *num_experts, int32_t *num_layers)
{
    char *line = (char *)allocate(MAX_LINE, 1);
    double *number = (double *)allocate(MAX_LINE, sizeof *number);
    size_t rows = 0, room = 0;
    while (fgets(line, MAX_LINE, f)) {
        int n = read_numbers(line, number, MAX_LINE);
        if (n < 3) continue;
        *num_experts = n - 2;
        *num_layers = (int32_t)number[1] < *num_layers ? *num_layers : (int32_t)number[1] + 1;
        if (rows == room) {
            room = room ? 2 * room : 1024;
            *load = (float *)realloc(*load, room * (size_t)*num_experts * sizeof(float));
            if (!*load) fail("memory", "ran out");
        }
        for (int e = 0; e < *num_experts; e++) (*load)[rows * (size_t)*num_experts + (size_t)e] = (float)number[2 + e];
        rows++;
    }
    free(line);
    free(number);
    return rows;
}

static void sum_windows(traffic *t)
{
    size_t n = traffic_size(t);
    t->window = (float *)allocate((size_t)t->num_windows * n, sizeof(float));
    for (size_t step = 0; step < (size_t)t->num_windows * (size_t)t->steps; step++) {
        for (size_t i = 0; i < n; i++) t->window[step / (size_t)t->steps * n + i] += t->step[step * n + i];
    }
}

traffic read_traffic(const char *path, int steps)
{
    traffic t = {"trace", 0, 0, 0, steps, NULL, NULL};
    FILE *f = fopen(path, "r");
    size_t rows;
    if (!f) fail(path, "cannot be read");
    rows = read_rows(f, &t.step, &t.num_experts, &t.num_layers);
    fclose(f);
    if (rows == 0 || rows % (size_t)t.num_layers != 0) fail(path, "is no trace: a row for each step and layer");
    t.num_windows = (int)(rows / (size_t)t.num_layers) / steps;
    if (t.num_windows < 3) fail(path, "has fewer than three windows");
    sum_windows(&t);
    return t;
}

traffic steady_traffic(int32_t num_layers, int32_t num_experts, int num_windows, uint64_t seed)
{
    traffic t = {"generated", num_layers, num_experts, num_windows, 1, NULL, NULL};
    size_t n = traffic_size(&t);
    double *base = (double *)allocate(n, sizeof *base), *drift = (double *)allocate(n, sizeof *drift);
    t.step = (float *)allocate((size_t)num_windows * n, sizeof(float));
    for (size_t i = 0; i < n; i++) base[i] = LOAD_SD * next_normal(&seed);
    for (size_t w = 0; w < (size_t)num_windows; w++) {
        advance_drift(drift, n, w == 0 ? 0.0 : DRIFT_MEMORY, &seed);
        for (size_t i = 0; i < n; i++) t.step[w * n + i] = (float)exp(base[i] + drift[i]);
    }
    free(base);
    free(drift);
    sum_windows(&t);
    return t;
}

void close_traffic(traffic *t)
{
    free(t->step);
    free(t->window);
}

/* ------------------------------------------------------------------------------ iterations of a chat */

/* The hottest expert of a layer gets some on top. */
static void draw_lasting(chat *c)
{
    double block = 0.0;
    for (size_t layer = 0; layer < (size_t)c->num_layers; layer++) {
        double *lasting = c->lasting + layer * (size_t)c->num_experts;
        size_t hottest = 0;
        for (size_t e = 0; e < (size_t)c->num_experts; e++) {
            if (e % BLOCK == 0) block = BLOCK_SD * next_normal(&c->random);
            lasting[e] = block + LASTING_SD * next_normal(&c->random);
            hottest = lasting[e] > lasting[hottest] ? e : hottest;
        }
        lasting[hottest] += HOT_MOST * next_uniform(&c->random);
    }
}

chat open_chat(int32_t num_layers, int32_t num_experts, uint64_t seed)
{
    chat c = {num_layers, num_experts, seed, 0, NULL, NULL, NULL, NULL};
    size_t n = (size_t)num_layers * (size_t)num_experts;
    c.lasting = (double *)allocate(n, sizeof(double));
    c.topic = (double *)allocate(n, sizeof(double));
    c.drift = (double *)allocate(n, sizeof(double));
    c.mean = (double *)allocate(n, sizeof(double));
    draw_lasting(&c);
    advance_drift(c.drift, n, 0.0, &c.random);
    return c;
}

void close_chat(chat *c)
{
    free(c->lasting);
    free(c->topic);
    free(c->drift);
    free(c->mean);
}

static void expect_tokens(chat *c)
{
    size_t experts = (size_t)c->num_experts;
    for (size_t first = 0; first < (size_t)c->num_layers * experts; first += experts) {
        double sum = 0.0;
        for (size_t i = first; i < first + experts; i++) {
            c->mean[i] = exp(c->lasting[i] + c->topic[i] + c->drift[i]);
            sum += c->mean[i];
        }
        for (size_t i = first; i < first + experts; i++) c->mean[i] *= ROUTED_TOKENS / sum;
    }
}

void next_iteration(chat *c, int32_t *count)
{
    size_t n = (size_t)c->num_layers * (size_t)c->num_experts;
    if (c->iteration % CHANGE == 0) {
        for (size_t i = 0; i < n; i++) c->topic[i] = TOPIC_SD * next_normal(&c->random);
    }
    if (c->iteration % HELD == 0) {
        advance_drift(c->drift, n, pow(DRIFT_MEMORY, (double)HELD / WINDOW), &c->random);
        expect_tokens(c);
    }
    for (size_t i = 0; i < n; i++) {
        double tokens = c->mean[i] + sqrt(c->mean[i]) * next_normal(&c->random);
        count[i] = tokens > 0.0 ? (int32_t)lrint(tokens) : 0;
    }
    c->iteration++;
}
