/* against.c - the header beside another copy of it, such as one of an older revision.

   Both are compiled here, eplb.h too, so that they are by the same command: side.c, which has one function,
   with the header in its folder, by the environment's CC (or cc) with the flags of the benchmark, into a
   library that is loaded at once. Then both plan the same loads in the same memory, in turn, each going
   first in every other repetition. A time is that of as many plannings as take LEAST_SECONDS, over their
   number. Printed for each preset:
     us/layer  median microseconds per layer: of the header, of the other
     new/old   the header's time / the other's in the same repetition: median and quartiles
     gap       as for the presets, by this header's eplb_evaluate: of the header's plan, of the other's
     plans     the same in every slot of phy2log, or in how many they differ */
#define _XOPEN_SOURCE 700
#include "bench.h"
#include "side.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER "eplb.h"
#define SOURCE "tests/bench/side.c"

#define LEAST_SECONDS 1e-3

enum { MAX_PLANNINGS = 1000, MAX_FOLDER = 256, MAX_PATH = MAX_FOLDER + 16, MAX_COMMAND = 4096, MAX_LINE = 512 };

enum { NEW, OLD, NUM_SIDES };

struct bench_sides {
    void *library[NUM_SIDES];
    side_function *plan[NUM_SIDES];
    const char *header[NUM_SIDES]; /* its path */
};

typedef struct compared_preset {
    int32_t preset;
    char skipped[64]; /* why, or "" */
    int plannings;    /* for one time */
    bench_times times[NUM_SIDES];
    bench_times ratio; /* no seconds, but those of the one over those of the other */
    bench_quality quality[NUM_SIDES];
    size_t slots_differ;
} compared_preset;

typedef struct compared_run {
    const bench_sides *sides;
    bench_case at;
    int32_t *new_phy2log; /* [L, R] */
    compared_preset preset[EPLB_NUM_PRESETS];
} compared_run;

const char against_csv_head[] =
    "shape,layers,experts,replicas,groups,nodes,gpus,samples,sd,planner,repetitions,us_per_layer,"
    "us_per_layer_of_other,ratio,ratio_q1,ratio_q3,gap,gap_of_other,slots_differ\n";

/* --------------------------------------------------------------------------------- compilation */

typedef struct work_folder { /* for one compilation */
    char path[MAX_FOLDER], header[MAX_PATH], library[MAX_PATH], log[MAX_PATH];
} work_folder;

static work_folder open_folder(void)
{
    work_folder folder;
    const char *parent = getenv("TMPDIR");
    int length = snprintf(folder.path, MAX_FOLDER, "%s/eplb_bench_XXXXXX", parent && *parent ? parent : "/tmp");
    if (length >= MAX_FOLDER || !mkdtemp(folder.path)) fail(folder.path, "no temporary folder can be made");
    snprintf(folder.header, MAX_PATH, "%s/eplb.h", folder.path);
    snprintf(folder.library, MAX_PATH, "%s/side.so", folder.path);
    snprintf(folder.log, MAX_PATH, "%s/log", folder.path);
    return folder;
}

static void remove_folder(const work_folder *folder)
{
    unlink(folder->header);
    unlink(folder->library);
    unlink(folder->log);
    rmdir(folder->path);
}

static const char *compiler(void)
{
    const char *cc = getenv("CC");
    return cc && *cc ? cc : "cc";
}

/* Returns whether it does. */
static int compiles(const work_folder *folder)
{
    char command[MAX_COMMAND];
    int length = snprintf(command, sizeof command, "%s %s -fPIC -shared -I'%s' -o '%s' " SOURCE " 2>'%s'", compiler(),
                          bench_flags, folder->path, folder->library, folder->log);
    return length < MAX_COMMAND && system(command) == 0;
}

/* The first line that tells of an error, or else the first line. */
static void find_error(char *error, const char *log)
{
    char line[MAX_LINE];
    FILE *f = fopen(log, "r");
    error[0] = '\0';
    if (!f) return;
    while (!strstr(error, "error") && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (!*error || strstr(line, "error")) memcpy(error, line, sizeof line);
    }
    fclose(f);
}

static int is_readable(const char *path)
{
    FILE *f = fopen(path, "r");
    int readable = f && fgetc(f) != EOF; /* a folder opens, too */
    if (f) fclose(f);
    return readable;
}

/* The library of one side. */
static void *load_side(const char *header)
{
    char real[PATH_MAX], error[MAX_LINE], why[2 * MAX_LINE];
    void *library = NULL;
    work_folder folder;

    if (!is_readable(header) || !realpath(header, real)) fail(header, "cannot be read");
    folder = open_folder();
    if (symlink(real, folder.header) != 0 || !compiles(&folder)) {
        find_error(error, folder.log);
    } else {
        library = dlopen(folder.library, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(error, sizeof error, "%s", dlerror());
    }
    remove_folder(&folder);
    if (!library) {
        snprintf(why, sizeof why, "%.*s does not make a library of it: %s", MAX_LINE / 2, compiler(), error);
        fail(header, why);
    }
    return library;
}

static side_function *find_function(void *library, const char *header)
{
    side_function *function;
    void *symbol = dlsym(library, "side_plan");
    if (!symbol) fail(header, "the library has no function");
    memcpy(&function, &symbol, sizeof function); /* C has no cast for this */
    return function;
}

bench_sides *open_sides(const char *other)
{
    bench_sides *sides = (bench_sides *)allocate(1, sizeof *sides);
    if (access(SOURCE, R_OK) != 0) fail(SOURCE, "not here: run this from the root of the repository");
    sides->header[NEW] = HEADER;
    sides->header[OLD] = other;
    for (int side = NUM_SIDES; side-- > 0;) { /* the other first, as it may fail */
        sides->library[side] = load_side(sides->header[side]);
        sides->plan[side] = find_function(sides->library[side], sides->header[side]);
    }
    printf("new: " HEADER "; old: %s; both by %s %s -fPIC -shared\n\n", other, compiler(), bench_flags);
    return sides;
}

void close_sides(bench_sides *sides)
{
    for (int side = 0; side < NUM_SIDES; side++) dlclose(sides->library[side]);
    free(sides);
}

/* ----------------------------------------------------------------------------------- comparison */

static void plan_side(const compared_run *run, int side, int32_t preset, int32_t num_layers)
{
    const bench_case *at = &run->at;
    baseline_arrays out = {at->plan.phy2log, at->plan.phyrank, at->plan.logcnt, at->plan.log2phy,
                           at->plan.log2phy_width};
    size_t bytes = at->scratch_bytes;
    eplb_result r = run->sides->plan[side](preset, &at->shape, at->problem.num_samples, num_layers, at->weight, &out,
                                           at->scratch, &bytes);
    if (r != EPLB_OK) fail(run->sides->header[side], eplb_result_name(r));
}

/* Seconds for one planning, of several in a row. */
static double time_side(const compared_run *run, int side, int32_t preset, int32_t num_layers, int plannings)
{
    double start = now();
    for (int i = 0; i < plannings; i++) plan_side(run, side, preset, num_layers);
    return (now() - start) / plannings;
}

/* Returns whether the side knows the preset. */
static int make_room_for(compared_run *run, int side, int32_t preset)
{
    const bench_case *at = &run->at;
    size_t bytes = 0;
    eplb_result r =
        run->sides->plan[side](preset, &at->shape, at->problem.num_samples, 0, at->weight, NULL, NULL, &bytes);
    if (r == EPLB_ERR_OPTION) return 0;
    if (r != EPLB_OK) fail(run->sides->header[side], eplb_result_name(r));
    make_room_of(&run->at, bytes);
    return 1;
}

/* What is not measured: what one of the headers does not know, or is too slow, by the time of one layer. */
static void probe(compared_run *run, compared_preset *preset, double limit)
{
    for (int side = 0; side < NUM_SIDES && !*preset->skipped; side++) {
        double estimate;
        if (!make_room_for(run, side, preset->preset)) {
            snprintf(preset->skipped, sizeof preset->skipped, "not in %s", side == NEW ? "new" : "old");
            return;
        }
        estimate = time_side(run, side, preset->preset, 1, 1) * run->at.shape.num_layers;
        if (estimate > limit)
            snprintf(preset->skipped, sizeof preset->skipped, "about %.3g s for one repetition", estimate);
    }
}

/* Plans once with each, and returns the width that these plans need. */
static int32_t compare(compared_run *run, compared_preset *preset)
{
    eplb_options options = preset_options(preset->preset);
    size_t slots = (size_t)run->at.shape.num_layers * (size_t)run->at.shape.num_replicas;
    int32_t *phy2log = run->at.plan.phy2log, width = 1;
    double slower = 0.0;

    make_room(&run->at, &options);
    for (int side = 0; side < NUM_SIDES; side++) {
        double seconds = time_side(run, side, preset->preset, run->at.shape.num_layers, 1);
        int32_t needed = width_needed(&run->at);
        slower = seconds > slower ? seconds : slower;
        width = needed > width ? needed : width;
        preset->quality[side] = judge_case(&run->at, &options);
        if (side == NEW) memcpy(run->new_phy2log, phy2log, slots * sizeof *phy2log);
    }
    for (size_t s = 0; s < slots; s++) preset->slots_differ += phy2log[s] != run->new_phy2log[s];
    preset->plannings = MAX_PLANNINGS;
    if (slower * MAX_PLANNINGS > LEAST_SECONDS) preset->plannings = (int)(LEAST_SECONDS / slower) + 1;
    return width;
}

static void time_pair(compared_run *run, compared_preset *preset, int rep)
{
    for (int i = 0; i < NUM_SIDES; i++) {
        int side = (i + rep) % NUM_SIDES;
        preset->times[side].seconds[rep] =
            time_side(run, side, preset->preset, run->at.shape.num_layers, preset->plannings);
    }
    preset->ratio.seconds[rep] = preset->times[NEW].seconds[rep] / preset->times[OLD].seconds[rep];
}

/* ------------------------------------------------------------------------------------- printing */

static void print_comparison(const compared_run *run, const compared_preset *preset)
{
    const bench_times *ratio = &preset->ratio, *times = preset->times;
    const bench_quality *quality = preset->quality;
    double us = 1e6 / run->at.shape.num_layers;
    printf("%-13s %12.2f %12.2f %8.3f %10.3f %10.3f %8.3f%% %8.3f%%  ", eplb_preset_name(preset->preset),
           times[NEW].median * us, times[OLD].median * us, ratio->median, ratio->q1, ratio->q3, quality[NEW].gap * 100,
           quality[OLD].gap * 100);
    if (preset->slots_differ == 0) printf("the same\n");
    else
        printf("%lu of %lu slots differ\n", (unsigned long)preset->slots_differ,
               (unsigned long)run->at.shape.num_layers * (unsigned long)run->at.shape.num_replicas);
}

static void print_csv(const compared_run *run, const compared_preset *preset, const bench_shape *shape, double sd,
                      const bench_settings *set)
{
    const baseline_shape *is = &run->at.shape;
    const bench_times *ratio = &preset->ratio;
    double us = 1e6 / is->num_layers;
    fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%d,%g,%s,%d,%.4f,%.4f,%.4f,%.4f,%.4f,%.6f,%.6f,%lu\n", shape->name,
            (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes,
            (int)is->num_gpus, set->samples, sd, eplb_preset_name(preset->preset), set->reps,
            preset->times[NEW].median * us, preset->times[OLD].median * us, ratio->median, ratio->q1, ratio->q3,
            preset->quality[NEW].gap, preset->quality[OLD].gap, (unsigned long)preset->slots_differ);
}

static void print_results(compared_run *run, const bench_shape *shape, double sd, const bench_settings *set)
{
    printf("%-13s %12s %12s %8s %10s %10s %9s %9s  %s\n", "planner", "us/layer new", "us/layer old", "new/old",
           "quartile 1", "quartile 3", "gap new", "gap old", "plans");
    for (int p = 0; p < EPLB_NUM_PRESETS; p++) {
        compared_preset *preset = &run->preset[p];
        if (*preset->skipped) {
            printf("%-13s skipped: %s\n", eplb_preset_name(p), preset->skipped);
            continue;
        }
        finish_times(&preset->times[NEW], set->reps);
        finish_times(&preset->times[OLD], set->reps);
        finish_times(&preset->ratio, set->reps);
        print_comparison(run, preset);
        if (set->csv) print_csv(run, preset, shape, sd, set);
    }
    printf("\n");
}

void bench_against(const bench_sides *sides, const bench_shape *shape, double sd, const bench_settings *set)
{
    compared_run *run = (compared_run *)allocate(1, sizeof *run);
    baseline_shape is = timed_shape(shape, set);
    int32_t width = 1;

    print_shape(shape, &is, set->samples, sd);
    run->sides = sides;
    run->at = open_case(&is, set->samples, sd);
    run->new_phy2log = (int32_t *)allocate((size_t)is.num_layers * (size_t)is.num_replicas, sizeof(int32_t));
    for (int p = 0; p < EPLB_NUM_PRESETS; p++) {
        compared_preset *preset = &run->preset[p];
        preset->preset = p;
        probe(run, preset, set->limit);
        if (!*preset->skipped) {
            int32_t needed = compare(run, preset);
            width = needed > width ? needed : width;
        }
    }
    run->at.plan.log2phy_width = width;
    for (int rep = 0; rep < set->reps; rep++) {
        for (int p = 0; p < EPLB_NUM_PRESETS; p++) {
            if (!*run->preset[p].skipped) time_pair(run, &run->preset[p], rep);
        }
    }
    print_results(run, shape, sd, set);
    close_case(&run->at);
    free(run->new_phy2log);
    free(run);
}
