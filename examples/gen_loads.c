/* gen_loads.c - writes synthetic expert loads with the shape of a large model, as CSV.

   gen_loads [--layers L] [--experts E] [--steps T] [--seed N] [--wander STEPS] > loads.csv

   The defaults, 58 layers x 256 experts, give examples/data/loads_58x256.csv. The statistics are
   those measured on published loads of DeepSeek-V3 and R1: log load about normal with sd 0.68 and
   a heavier top; per layer the largest load is 3 to 13 times the mean, 6.8 on average; the top
   1 / 4 / 8 / 32 experts take 2.7 / 7.4 / 12.2 / 31 %; the blocks of 32 consecutive experts, each
   layer's sorted by share, take 18.6 15.1 13.3 12.1 11.3 10.3 10.1 9.2 %. From step to step the
   log load drifts as AR(1), as it does in steady traffic. With --wander it drifts slowly besides, so that half of
   what an expert was is forgotten after so many steps, as traffic changes: plans made from it age.

   Every layer draws from a generator of its own, so layer l of step t is the same however many
   layers or steps are asked for. Loads are rounded to whole tokens, far coarser than what the
   last bits of libm's exp, log and cos can change. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_PER_EXPERT 10000 /* mean load; each row sums to this times E, but for rounding */
#define BLOCK_SIZE        32    /* experts that share a block's effect */

/* The log load of an expert is normal of sd BODY_SD, plus its block's effect, plus drift: together
   about 0.68. The hottest expert of a layer gets up to HOT_MAX on top, which is the heavier top:
   a lognormal alone gives it 2.1 % of the load. */
#define BODY_SD      0.58
#define BLOCK_SD     0.24
#define HOT_MAX      0.60
#define DRIFT_SD     0.26 /* of one step; also AR(1)'s stationary sd */
#define DRIFT_MEMORY 0.60 /* correlation of a step's drift with that of the step before */
#define WANDER_SD    0.50 /* of the slow drift; AR(1) as well */

static const double TWO_PI = 6.283185307179586;

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in (0, 1), never 0: its logarithm is taken. */
static double uniform(uint64_t *state) { return ((double)(next_random(state) >> 11) + 0.5) / 9007199254740992.0; }

/* Standard normal (Box and Muller 1958). */
static double normal(uint64_t *state)
{
    double radius = sqrt(-2.0 * log(uniform(state)));
    return radius * cos(TWO_PI * uniform(state));
}

/* What stays of a layer from step to step: one log load per expert. */
static void draw_layer(uint64_t *random, double *log_load, long num_experts)
{
    double block = 0;
    long hottest = 0;
    for (long e = 0; e < num_experts; e++) {
        if (e % BLOCK_SIZE == 0) block = BLOCK_SD * normal(random);
        log_load[e] = BODY_SD * normal(random) + block;
        if (log_load[e] > log_load[hottest]) hottest = e;
    }
    log_load[hottest] += HOT_MAX * uniform(random);
}

/* AR(1): memory is the correlation with the step before, 0 for the first step, which draws from the stationary
   distribution. */
static void advance_drift(uint64_t *random, double *drift, long num_experts, double sd, double memory)
{
    double fresh = sd * sqrt(1 - memory * memory);
    for (long e = 0; e < num_experts; e++) drift[e] = memory * drift[e] + fresh * normal(random);
}

/* A layer routes the same number of tokens in every step: the row is scaled to it. */
static void print_row(long step, long layer, const double *log_load, const double *drift, const double *slow,
                      long num_experts)
{
    double sum = 0;
    for (long e = 0; e < num_experts; e++) sum += exp(log_load[e] + drift[e] + slow[e]);
    double scale = (double)TOKENS_PER_EXPERT * (double)num_experts / sum;
    printf("%ld,%ld", step, layer);
    for (long e = 0; e < num_experts; e++) printf(",%.0f", floor(exp(log_load[e] + drift[e] + slow[e]) * scale + 0.5));
    printf("\n");
}

static void print_head(long num_layers, long num_experts, long num_steps, unsigned long long seed, long wander)
{
    printf("# synthetic expert loads in whole tokens; shaped like published loads of DeepSeek-V3 and R1\n");
    printf("# gen_loads --layers %ld --experts %ld --steps %ld --seed %llu", num_layers, num_experts, num_steps, seed);
    if (wander > 0) printf(" --wander %ld", wander);
    printf("\n");
    printf("step,layer");
    for (long e = 0; e < num_experts; e++) printf(",e%ld", e);
    printf("\n");
}

static int generate(long num_layers, long num_experts, long num_steps, unsigned long long seed, long wander)
{
    size_t cells = (size_t)num_layers * (size_t)num_experts;    /* at most 1e9: main */
    double *log_load = (double *)calloc(cells, sizeof(double)); /* [L, E] */
    double *drift = (double *)calloc(cells, sizeof(double));    /* [L, E] */
    double *slow = (double *)calloc(cells, sizeof(double));     /* [L, E] */
    uint64_t *random = (uint64_t *)calloc((size_t)num_layers, sizeof(uint64_t));
    int status = log_load && drift && slow && random ? 0 : 1;
    if (status) {
        fprintf(stderr, "gen_loads: out of memory\n");
    } else {
        double memory = wander > 0 ? pow(0.5, 1.0 / (double)wander) : 0;
        print_head(num_layers, num_experts, num_steps, seed, wander);
        for (long t = 0; t < num_steps; t++) {
            for (long l = 0; l < num_layers; l++) {
                size_t row = (size_t)l * (size_t)num_experts;
                if (t == 0) {
                    uint64_t mixer = seed ^ ((uint64_t)l << 32);
                    random[l] = next_random(&mixer); /* layers' generators start far apart */
                    draw_layer(&random[l], log_load + row, num_experts);
                }
                advance_drift(&random[l], drift + row, num_experts, DRIFT_SD, t == 0 ? 0 : DRIFT_MEMORY);
                if (wander > 0) advance_drift(&random[l], slow + row, num_experts, WANDER_SD, t == 0 ? 0 : memory);
                print_row(t, l, log_load + row, drift + row, slow + row, num_experts);
            }
        }
    }
    free(log_load);
    free(drift);
    free(slow);
    free(random);
    return status;
}

/* A whole number lowest .. highest; anything else ends the program. */
static unsigned long long parse_count(const char *option, const char *text, unsigned long long lowest,
                                      unsigned long long highest)
{
    char *end = NULL;
    unsigned long long value = 0;
    errno = 0;
    if (text && *text >= '0' && *text <= '9') value = strtoull(text, &end, 10);
    if (!end || *end || errno || value < lowest || value > highest) {
        fprintf(stderr, "gen_loads: %s needs a whole number from %llu to %llu\n", option, lowest, highest);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    long num_layers = 58, num_experts = 256, num_steps = 1, wander = 0;
    unsigned long long seed = 3;
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--layers") == 0) {
            num_layers = (long)parse_count(argv[i], value, 1, 10000);
        } else if (strcmp(argv[i], "--experts") == 0) {
            num_experts = (long)parse_count(argv[i], value, 1, 100000);
        } else if (strcmp(argv[i], "--steps") == 0) {
            num_steps = (long)parse_count(argv[i], value, 1, 1000000);
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = parse_count(argv[i], value, 0, UINT64_MAX);
        } else if (strcmp(argv[i], "--wander") == 0) {
            wander = (long)parse_count(argv[i], value, 0, 1000000);
        } else {
            fprintf(stderr,
                    "usage: gen_loads [--layers L] [--experts E] [--steps T] [--seed N] [--wander STEPS] > FILE\n");
            return 2;
        }
    }
    int status = generate(num_layers, num_experts, num_steps, seed, wander);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("gen_loads: standard output");
        return 1;
    }
    return status;
}
