/* main.c - the program `eplb`: plans expert placement for loads in a file. Here are its commands, and what
   --help says.

   eplb plan LOADS --replicas R --gpus G [...]                  see eplb --help
   eplb replay TRACE --replicas R --gpus G --window W [...]

   Loads come as CSV, JSON or NumPy .npy, from a file or standard input. The whole file is read and
   checked before anything is planned, and everything is planned before anything is written: a
   wrong file or option is answered by one line on standard error and leaves no output behind.

   Exit status: 0 done; 1 out of memory, or the output could not be written; 2 wrong arguments or
   wrong input. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where tables go: a plan or picture on standard output stands alone. */
static FILE *table_output(const settings *s)
{
    return to_stdout(s->json) || to_stdout(s->csv) || to_stdout(s->svg) ? stderr : stdout;
}

/* plan and score. */
static int run_plan(arguments *a, int command)
{
    settings        s    = parse_arguments(a, command);
    feed            from = feed_open(&s);
    plan_map        own;
    const plan_map *map  = map_in_force(&s, &from, &own);
    planning        p    = command == COMMAND_SCORE ? make_score(&s, &from, map) : make_plan(&s, &from, map);
    FILE           *out  = table_output(&s);
    doubt_shape(&s, &from);
    write_plan(&p, &s);
    if (!s.quiet)
        print_summary(out, &p, &s);
    print_table(out, &p, s.quiet);
    if (s.show >= 0)
        print_bars(out, &p, s.show);
    free_planning(&p);
    map_free(&own);
    feed_close(&from);
    free(s.inputs);
    return STATUS_OK;
}

static int run_replay(arguments *a)
{
    settings        s    = parse_arguments(a, COMMAND_REPLAY);
    feed            from = feed_open(&s);
    plan_map        own;
    const plan_map *map  = map_in_force(&s, &from, &own);
    replay          r    = make_replay(&s, &from, map);
    FILE           *out  = table_output(&s);
    play_trace(&r);
    doubt_shape(&s, &from);
    write_replay(&r, &s);
    if (!s.quiet) {
        print_replay_summary(out, &r, &s);
        print_windows(out, &r);
    }
    print_series(out, &r);
    free_replay(&r);
    map_free(&own);
    feed_close(&from);
    free(s.inputs);
    return STATUS_OK;
}

/* A name for one of the library's numbers; "?" for one that is newer than the list of names. */
#define NAME_OF(names, value) name_of(names, (int32_t)(sizeof(names) / sizeof *(names)), value)
static const char *name_of(const char *const *names, int32_t num_names, int32_t value)
{
    return value >= 0 && value < num_names ? names[value] : "?";
}

#define PRESET_ROW "%-12s %-7s %-14s %-5s %-10s %-12s %-9s %-6s %s%s\n"

static void print_preset(const char *name, const eplb_options *options)
{
    static const char *const INITS[]        = {"LPT", "zigzag"};
    static const char *const REFINEMENTS[]  = {"none", "max-min", "pair-scan", "max-to-any", "L2"};
    static const char *const NOISES[]       = {"centred", "ramp"};
    static const char *const SELECTIONS[]   = {"max load", "spread", "variance"};
    static const char *const REPLICATIONS[] = {"D'Hondt", "hybrid"};
    const eplb_packing      *gpu = &options->gpu_packing, *group = &options->group_packing;
    bool swapping = gpu->refine != EPLB_REFINE_NONE, scan = gpu->refine == EPLB_REFINE_PAIR_SCAN;
    bool several  = gpu->num_candidates > 1;
    char heavy[16] = "all", refine[48], swaps[32] = "-", candidates[16] = "1";
    char noise[48] = "-", effort[16] = "-", fixup[32] = "";
    if (gpu->heavy_packs > 0)
        snprintf(heavy, sizeof heavy, "%d", (int)gpu->heavy_packs);
    snprintf(refine, sizeof refine, "%s%s%s%s", NAME_OF(REFINEMENTS, gpu->refine), scan ? "(" : "",
             scan ? heavy : "", scan ? ")" : "");
    if (swapping && group->max_swaps != gpu->max_swaps)
        snprintf(swaps, sizeof swaps, "%d, %d", (int)group->max_swaps, (int)gpu->max_swaps);
    else if (swapping)
        snprintf(swaps, sizeof swaps, "%d", (int)gpu->max_swaps);
    if (several) {
        snprintf(candidates, sizeof candidates, "%d", (int)gpu->num_candidates);
        snprintf(noise, sizeof noise, "%s %g", NAME_OF(NOISES, gpu->noise), (double)gpu->noise_scale);
    }
    if (options->effort > 0)
        snprintf(effort, sizeof effort, "%d", (int)options->effort);
    if (options->fixup_steps > 0)
        snprintf(fixup, sizeof fixup, ", fix-up %d", (int)options->fixup_steps);
    printf(PRESET_ROW, name, NAME_OF(INITS, gpu->init), refine, swaps, candidates, noise,
           several ? NAME_OF(SELECTIONS, gpu->select) : "-", effort,
           NAME_OF(REPLICATIONS, options->replication), fixup);
}

static int run_presets(void)
{
    printf(PRESET_ROW, "preset", "initial", "refinement", "swaps", "candidates", "noise", "selection",
           "effort", "replication", "");
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        if (eplb_options_preset(preset, &options) == EPLB_OK)
            print_preset(eplb_preset_name(preset), &options);
    }
    printf("Two numbers of swaps: groups to nodes, replicas to GPUs. Effort: searches that improve it.\n");
    return STATUS_OK;
}

static const char USAGE[] = "usage: eplb plan LOADS --replicas R --gpus G [options]\n"
                            "       eplb replay TRACE --replicas R --gpus G --window W [options]\n"
                            "       eplb presets | --help | --version\n";

static int run_help(void)
{
    fputs(USAGE, stdout);
    fputs("\n"
          "Plans on which GPUs the experts of a mixture-of-experts model and their replicas live, so that\n"
          "the most loaded GPU carries as little as possible. Balancedness is mean / largest load of a GPU;\n"
          "with several samples, the sum of their means / the sum of their largest loads.\n"
          "\n"
          "plan prints for each layer, and in total:\n"
          "  before, after  balancedness with the experts in order, the spare slots given to the first of\n"
          "                 them, and with the plan\n"
          "  bound          no plan has a better balancedness than this\n"
          "  gap %          the largest load of a GPU above the least possible\n"
          "  max replicas   the most replicas that an expert has\n"
          "  twice          slots whose expert is in an earlier slot of the same GPU too\n"
          "  time us        what planning took, in microseconds\n"
          "\n"
          "replay cuts a trace into windows of W samples, and leaves what is left over at its end. At the\n"
          "end of each window but the last it makes a plan, and scores it on each sample of that window\n"
          "and of the next. It prints for each preset, and for the experts in order as above:\n"
          "  own, next      balancedness on the window that has just ended, and on the next one\n"
          "  bound          the best that any plan could have on the next window, were its load constant\n"
          "  time us        the median of what planning all layers took, in microseconds\n"
          "\n"
          "LOADS and TRACE are a file, or - for standard input:\n"
          "  CSV            rows are layers, columns experts; or rows `step,layer,e0,e1,...` under such\n"
          "                 a header, in any order: a sample is a step. Blank lines and lines that start\n"
          "                 with # are skipped.\n"
          "  JSON           arrays of numbers, [layers, experts] or [samples, layers, experts]\n"
          "  NumPy .npy     [layers, experts] or [samples, layers, experts] of f4, f8, i4 or i8\n"
          "\n",
          stdout);
    fputs("  --replicas R     slots in a layer over all GPUs: a multiple of G, no less than the experts\n"
          "  --gpus G         GPUs\n"
          "  --nodes N        nodes, of G / N GPUs each (1)\n"
          "  --groups K       groups of experts that the router picks together (1)\n"
          "  --preset NAME    how to plan; `eplb presets` lists them (default); for replay one or more, as\n"
          "                   in default,deepseek,l2\n"
          "  --effort N       searches that improve each plan, in the place of the preset's\n"
          "  --policy P       hierarchical: a group stays on one node; global: it need not; auto: the\n"
          "                   first when N divides K (auto)\n"
          "  --max-replicas N no expert has more replicas than this; 0 is no limit (0)\n"
          "  --half-life X    plan for samples that count for half as much every X samples back; without\n"
          "                   it all count alike\n"
          "  --seed S         of the noise and the searches that some presets use (0)\n"
          "  --quiet          only the totals\n"
          "\n",
          stdout);
    fputs("Of plan alone:\n"
          "  --layers A-B     only these layers, or only A\n"
          "  --json FILE      write the plan as JSON\n"
          "  --csv FILE       write the plan as CSV, a row `layer,slot,node,gpu,expert,replica` a slot\n"
          "  --svg FILE       draw the load of each GPU in each layer, before and after, as a heat map\n"
          "  --show LAYER     draw the load of each GPU in this layer, before and after, as bars\n"
          "\n"
          "Of replay alone:\n"
          "  --window W       samples in a window\n"
          "  --history H      samples that a plan is made from, the last ones known; fewer at first, where\n"
          "                   fewer are known (W)\n"
          "  --csv FILE       write a row `window,first_step,preset,own,next,bound,microseconds` a plan;\n"
          "                   window and first_step are those that the plan was made at the end of\n"
          "  --svg FILE       draw balancedness on the next window over the windows, a line a preset\n"
          "\n"
          "One FILE may be -, which is standard output; the table then goes to standard error. Output files\n"
          "appear whole or not at all. Exit status: 0 done; 1 out of memory, or the output could not be\n"
          "written; 2 wrong arguments or wrong input, told in one line.\n",
          stdout);
    return STATUS_OK;
}

/* The command that was meant, if one is near; else NULL. */
static const char *nearest_command(const char *text)
{
    static const char *const COMMANDS[] = {"plan", "score", "replay", "presets", "help", "--help", "--version"};
    nearest                  found      = {NULL, 0};
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        take_nearest(&found, text, text + strlen(text), COMMANDS[i]);
    return found.name;
}

static bool is_help(const char *text)
{
    return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

static int run_command(const char *command, arguments *a)
{
    if (is_help(command) || strcmp(command, "help") == 0)
        return run_help();
    for (int i = a->at; i < a->count && strcmp(a->text[i], "--") != 0; i++) {
        if (is_help(a->text[i]))
            return run_help();
    }
    if (strcmp(command, "plan") == 0)
        return run_plan(a, COMMAND_PLAN);
    if (strcmp(command, "score") == 0)
        return run_plan(a, COMMAND_SCORE);
    if (strcmp(command, "replay") == 0)
        return run_replay(a);
    if (a->at < a->count && (strcmp(command, "presets") == 0 || strcmp(command, "--version") == 0))
        fail(STATUS_INPUT, "unexpected '%s' after %s; try 'eplb --help'", a->text[a->at], command);
    if (strcmp(command, "presets") == 0)
        return run_presets();
    if (strcmp(command, "--version") == 0) {
        printf("eplb %s (plan version %d)\n", EPLB_VERSION_STRING, EPLB_PLAN_VERSION);
        return STATUS_OK;
    }
    if (nearest_command(command))
        fail(STATUS_INPUT, "unknown command '%s'; did you mean '%s'?", command, nearest_command(command));
    fail(STATUS_INPUT, "unknown command '%s'; try 'eplb --help'", command);
}

int main(int argc, char **argv)
{
    arguments a = {argc, argv, 2};
    if (argc < 2) {
        fputs(USAGE, stderr);
        return STATUS_INPUT;
    }
    int status = run_command(argv[1], &a);
    if (fflush(stdout) != 0 || ferror(stdout))
        fail(STATUS_OUTPUT, "standard output: %s", strerror(errno));
    return status;
}
