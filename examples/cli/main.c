/* main.c - the program `eplb`: plans expert placement for loads in files. Here are its commands, and what
   --help says.

   eplb plan LOADS.. --replicas R --gpus G [...]                see eplb --help
   eplb score LOADS.. --map PLAN --gpus G [...]
   eplb replay LOADS.. --replicas R --gpus G --window W [...]
   eplb transfers OLD NEW --gpus G [...]
   eplb check PLAN --gpus G [...]
   eplb convert FILE.. --write FORMAT=FILE [...]

   Loads come as CSV, JSON or from NumPy, from files or standard input. Everything is read, checked and
   planned before anything is written: a wrong file or option is answered by one line on standard error
   and leaves no output behind.

   Exit status: 0 done; 1 out of memory, or the output could not be written; 2 wrong arguments or
   wrong input; 3 a plan that may not be put in force. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where tables go: a plan or picture on standard output stands alone. */
static FILE *table_output(const settings *s) { return any_to_stdout(s) ? stderr : stdout; }

static void free_settings(settings *s)
{
    free_cluster(&s->cluster);
    free(s->inputs);
}

/* score --adrs. */
static int run_adrs(settings *s)
{
    feed from = feed_open(s);
    plan_map map = map_read(s->reading.map, &s->reading);
    adrs_score a = make_adrs_score(s, &from, &map);
    doubt_map(&from, NULL);
    write_adrs(&a, s);
    print_adrs(table_output(s), &a);
    map_free(&map);
    feed_close(&from);
    free_settings(s);
    return *a.wrong ? STATUS_FAULT : STATUS_OK;
}

/* plan and score. */
static int run_plan(arguments *a, int command)
{
    settings s = parse_arguments(a, command);
    if (s.adrs) return run_adrs(&s);
    feed from = feed_open(&s);
    plan_map own;
    const plan_map *map = map_in_force(&s, &from, &own);
    planning p = command == COMMAND_SCORE ? make_score(&s, &from, map) : make_plan(&s, &from, map);
    FILE *out = table_output(&s);
    doubt_shape(&s, &from);
    doubt_map(&from, map);
    write_plan(&p, &s);
    if (!s.quiet) print_summary(out, &p, &s);
    print_table(out, &p, s.quiet);
    print_balances(out, &p);
    if (s.show >= 0) print_bars(out, &p, s.show);
    free_planning(&p);
    map_free(&own);
    feed_close(&from);
    free_settings(&s);
    return STATUS_OK;
}

static int run_replay(arguments *a)
{
    settings s = parse_arguments(a, COMMAND_REPLAY);
    feed from = feed_open(&s);
    plan_map own;
    const plan_map *map = map_in_force(&s, &from, &own);
    replay r = make_replay(&s, &from, map);
    FILE *out = table_output(&s);
    play_trace(&r);
    doubt_shape(&s, &from);
    doubt_map(&from, map);
    write_replay(&r, &s);
    if (!s.quiet) {
        print_replay_summary(out, &r, &s);
        print_windows(out, &r);
    }
    print_series(out, &r);
    free_replay(&r);
    map_free(&own);
    feed_close(&from);
    free_settings(&s);
    return STATUS_OK;
}

static int run_transfers(arguments *a)
{
    settings s = parse_arguments(a, COMMAND_TRANSFERS);
    moving m = make_moving(&s);
    write_moves(&m, &s);
    print_moves(table_output(&s), &m, &s);
    free_moving(&m);
    free_settings(&s);
    return STATUS_OK;
}

static int run_check(arguments *a)
{
    settings s = parse_arguments(a, COMMAND_CHECK);
    checking c = make_checking(&s);
    bool fine = c.fault.reason == EPLB_FAULT_NONE;
    write_check(&c, &s);
    if (!s.quiet) print_check(table_output(&s), &c);
    free_checking(&c);
    free_settings(&s);
    return fine ? STATUS_OK : STATUS_FAULT;
}

static int run_convert(arguments *a)
{
    settings s = parse_arguments(a, COMMAND_CONVERT);
    convert(&s);
    free_settings(&s);
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
    static const char *const INITS[] = {"LPT", "zigzag"};
    static const char *const REFINEMENTS[] = {"none", "max-min", "pair-scan", "max-to-any", "L2"};
    static const char *const NOISES[] = {"centred", "ramp"};
    static const char *const SELECTIONS[] = {"max load", "spread", "variance"};
    static const char *const REPLICATIONS[] = {"D'Hondt", "hybrid"};
    const eplb_packing *gpu = &options->gpu_packing, *group = &options->group_packing;
    bool scan = gpu->refine == EPLB_REFINE_PAIR_SCAN, several = gpu->num_candidates > 1;
    bool two_refine = group->refine != gpu->refine, two_swaps = group->max_swaps != gpu->max_swaps;
    char heavy[16] = "all", refine[48], swaps[32] = "-", candidates[16] = "1";
    char noise[48] = "-", effort[16] = "-", fixup[32] = "";
    if (gpu->heavy_packs > 0) snprintf(heavy, sizeof heavy, "%d", (int)gpu->heavy_packs);
    snprintf(refine, sizeof refine, "%s%s%s%s%s%s", two_refine ? NAME_OF(REFINEMENTS, group->refine) : "",
             two_refine ? ", " : "", NAME_OF(REFINEMENTS, gpu->refine), scan ? "(" : "", scan ? heavy : "",
             scan ? ")" : "");
    if (two_refine || two_swaps) snprintf(swaps, sizeof swaps, "%d, %d", (int)group->max_swaps, (int)gpu->max_swaps);
    else if (gpu->refine != EPLB_REFINE_NONE) snprintf(swaps, sizeof swaps, "%d", (int)gpu->max_swaps);
    if (several) {
        snprintf(candidates, sizeof candidates, "%d", (int)gpu->num_candidates);
        snprintf(noise, sizeof noise, "%s %g", NAME_OF(NOISES, gpu->noise), (double)gpu->noise_scale);
    }
    if (options->effort > 0) snprintf(effort, sizeof effort, "%d", (int)options->effort);
    if (options->fixup_steps > 0) snprintf(fixup, sizeof fixup, ", fix-up %d", (int)options->fixup_steps);
    if (options->engine == EPLB_ENGINE_VLLM) snprintf(fixup, sizeof fixup, ", as vLLM");
    printf(PRESET_ROW, name, NAME_OF(INITS, gpu->init), refine, swaps, candidates, noise,
           several ? NAME_OF(SELECTIONS, gpu->select) : "-", effort, NAME_OF(REPLICATIONS, options->replication),
           fixup);
}

static int run_presets(void)
{
    printf(PRESET_ROW, "preset", "initial", "refinement", "swaps", "candidates", "noise", "selection", "effort",
           "replication", "");
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        if (eplb_options_preset(preset, &options) == EPLB_OK) print_preset(eplb_preset_name(preset), &options);
    }
    printf("Where there are two, the first is of groups to nodes, the second of replicas to GPUs.\n"
           "Effort: searches that improve the plan.\n"
           "As vLLM: in its arithmetic, and slots are kept as it does.\n");
    return STATUS_OK;
}

static const char USAGE[] = "usage: eplb plan LOADS.. --replicas R --gpus G [options]\n"
                            "       eplb score LOADS.. --map PLAN --gpus G [options]\n"
                            "       eplb replay LOADS.. --replicas R --gpus G --window W [options]\n"
                            "       eplb transfers OLD NEW --gpus G [options]\n"
                            "       eplb check PLAN --gpus G [options]\n"
                            "       eplb convert FILE.. --write FORMAT=FILE [options]\n"
                            "       eplb presets | formats | --help | --version\n";

static const char HELP_COMMANDS[] =
    "\n"
    "Plans on which GPUs the experts of a mixture-of-experts model and their replicas live, so that\n"
    "the most loaded GPU carries as little as possible. Balancedness is mean / largest load of a GPU;\n"
    "with several samples, the sum of their means / the sum of their largest loads. Samples without\n"
    "load count for nothing: with or without them, plans and scores are the same.\n"
    "\n"
    "plan prints for each layer, and in total:\n"
    "  before, after  balancedness before planning and with the plan. Before are the experts in order,\n"
    "                 the spare slots given to the first of them, or the plan of --map or --previous\n"
    "  bound          no plan has a better balancedness than this\n"
    "  gap %          the largest load of a GPU above the least possible\n"
    "  max replicas   the most replicas that an expert has\n"
    "  twice          slots whose expert is in an earlier slot of the same GPU too\n"
    "  empty, changed with --previous: slots without an expert, and with another one than before\n"
    "  moves          with --previous: experts that a GPU gets and did not hold; those that no GPU held\n"
    "                 any more do not count\n"
    "  time us        what planning took, in microseconds\n"
    "and below, where there are any, groups whose experts are on several nodes, under the hierarchical\n"
    "policy: as few as can be where the slots of nodes do not do for whole ones; with limits on moves\n"
    "also those of the plan in force that have not come together yet, whose gap may be below 0.\n"
    "\n"
    "score plans nothing. It prints the balancedness of the plan of --map, the same figures, and:\n"
    "  empty          slots without an expert\n"
    "The bound is that of the policy asked for: a plan that does not keep to it may have a gap below 0.\n"
    "With --shares exact or vllm, balancedness under these shares stands beside that under equal ones.\n"
    "score --adrs judges the plan as the ADRS task on EPLB does instead: mean / largest load of a slot,\n"
    "and of a GPU, layers summed before they are divided. It is not valid where slots are empty, or an\n"
    "expert with load has none.\n"
    "\n"
    "replay cuts a trace into windows of W samples, and leaves what is left over at its end. At the\n"
    "end of each window but the last it makes a plan from the last samples with load, and scores it on\n"
    "each sample of that window and of the next. Windows without load are left out, as if the trace\n"
    "went on without them. It prints for each preset, and for the experts in order as above or the\n"
    "plan of --map, which stay as they are:\n"
    "  own, next      balancedness on the window that has just ended, and on the next one; with\n"
    "                 --shares exact, exact own and exact next, and with vllm the same\n"
    "  bound          the best that any plan could have on the next window, were its load constant\n"
    "                 and shared equally\n"
    "  moves, changed %  where each plan starts from the one before: moves in a layer, and the part of\n"
    "                 the slots with another expert than before, mean over the plans from the second on\n"
    "  time us        the median of what planning all layers took, in microseconds\n"
    "\n";

static const char HELP_MOVES[] =
    "transfers lists what has to be sent where, and when, for plan NEW to take over from plan OLD, both\n"
    "as for --map. It prints for each layer, and in total:\n"
    "  same GPU       slots filled from another slot of their GPU\n"
    "  same node, other node  those filled over a link, from a GPU of their node or of another\n"
    "  lost           those whose expert no GPU holds\n"
    "  rounds         in each of which a GPU sends one expert and gets one; in total, their sum\n"
    "  most sends, most gets  over links, of one GPU in a layer\n"
    "  --sources S      even: the least busy holder, of the same node first; dealt: as vLLM does (even)\n"
    "  --rounds R       duplex: a GPU sends one and gets one; one-peer: it talks with one other, as in\n"
    "                   vLLM (duplex)\n"
    "  --max-per-round N  transfers in a round; 0 is no limit (0)\n"
    "  --in-place       no slot is overwritten before it has been read, with one staging slot on a few\n"
    "                   GPUs: slot R + g of GPU g\n"
    "\n"
    "check says whether a plan may be put in force, and if not, where it is wrong: ids, experts that are\n"
    "missing or have too many replicas, duplicates, groups on two nodes; and with --previous, experts\n"
    "that stay on a GPU but not in their slot, and moves beyond the limits.\n"
    "\n"
    "From the plan in force:\n"
    "  --previous PLAN  of plan, what to start from, with the fewest moves that as good a plan needs; of\n"
    "                   check, what to compare with. Experts that no GPU holds any more are loaded,\n"
    "                   which counts for nothing\n"
    "  --from-previous  of replay: each plan starts from the one before, the first from none. So it is\n"
    "                   with any limit or price below, which are of plan, check and replay, and need\n"
    "                   effort\n"
    "  --max-moves N    moves in a layer: experts that a GPU gets and did not hold; 0 is no limit here\n"
    "                   and below, -1 is none (0)\n"
    "  --max-gpu-moves N   into one GPU in a layer, and out of one (0)\n"
    "  --max-pair-moves N  from one GPU to one other in a layer (0)\n"
    "  --max-node-moves N  into one node from others in a layer, and out of one (0)\n"
    "  --move-cost C    by how much each move must lower the load of the heaviest GPU, in mean loads of\n"
    "                   a GPU (0); no condition of check\n"
    "\n";

static const char HELP_CONVERT[] =
    "convert writes a plan, or loads, in other formats; `eplb formats` lists them. A format is asked for\n"
    "by --write, and what it cannot hold is refused:\n"
    "  --write FORMAT=FILE  of plan and convert: the plan, or the loads, in this format; several times\n"
    "                   for several\n"
    "\n";

static const char HELP_FILES[] =
    "LOADS are one file or several, such as one of each rank, which are summed; - is standard input:\n"
    "  CSV            lines that start with # are skipped, as are blank ones. Without a header rows are\n"
    "                 layers and columns experts. A header names columns that identify - step, layer,\n"
    "                 expert, rank, as they are or as layer_id, LayerIdx, .. - and after them loads:\n"
    "                   step,layer,e0,e1,..        a row for each layer of each step, in any order\n"
    "                   step,layer,expert,count    a row for each expert that has a load\n"
    "                   step,layer,expert          a row for each token that an expert got\n"
    "                 A missing step is one sample, a missing layer one layer; ranks are summed.\n"
    "  JSON           arrays of numbers; objects that hold one under --key; or one object a line\n"
    "  NumPy          .npy of integers or floats, or .npz of one array, or of several by --key\n"
    "Arrays are [experts], [layers, experts] or [samples, layers, experts], unless --axes says else.\n"
    "\n"
    "  --axes LETTERS   what the dimensions of the array are, a letter each: T samples, L layers,\n"
    "                   E experts, G GPUs, S slots of a GPU, P slots of all GPUs, K the experts that a\n"
    "                   token went to, whose numbers are ids, N tokens. LTE is [layers, samples,\n"
    "                   experts], LGS [layers, GPUs, slots of a GPU]. Loads of GPUs are summed\n"
    "  --format NAME    the loads are in this format of `eplb formats`; some are told by their names\n"
    "  --map PLAN       the plan in force: JSON that plan --json wrote, arrays of experts, [layers,\n"
    "                   slots], in JSON or .npy, where -1 is an empty slot, or a plan of an engine. By\n"
    "                   it counts of slots (P, or G and S) become loads of experts; plan, score and\n"
    "                   replay compare with it. [samples, layers, slots] is a plan for each sample, of\n"
    "                   which the last is in force\n"
    "  --dead LIST      the slots of these GPUs hold nothing, whatever a plan says, and may not be used,\n"
    "                   as in 3 or 0,4-7\n"
    "  --key NAME       where the array is: of JSON objects, as in stats.load, or of an .npz\n"
    "  --experts E      how many experts there are, where the file has only ids (the largest id + 1)\n"
    "  --steps A-B      only these samples, or only A, as the file numbers them\n"
    "  --layers A-B     of plan and score: only these layers, or only A, as the file numbers them\n"
    "\n";

static const char HELP_PROBLEM[] =
    "  --replicas R     slots in a layer over all GPUs: a multiple of G, no less than the experts; of\n"
    "                   score, those of the plan\n"
    "  --gpus G         GPUs\n"
    "  --nodes N        nodes, of G / N GPUs each (1)\n"
    "  --groups K       groups of experts that the router picks together (1)\n"
    "  --policy P       hierarchical: a group stays on one node; global: it need not; auto: the\n"
    "                   first when N divides K (auto)\n"
    "  --max-replicas N no expert has more replicas than this; 0 is no limit (0)\n"
    "\n"
    "Of clusters whose GPUs are not alike; a LIST is numbers such as 9,9,7, or @FILE with them:\n"
    "  --gpu-slots LIST slots of each GPU that may be used, its first ones; 0 is a dead GPU\n"
    "  --gpu-speed LIST of each GPU; its load counts divided by that\n"
    "  --gpu-node LIST  node of each GPU, from 0 on, ascending; nodes may be of any size\n"
    "  --survive WHAT   of plan, replay and check: gpu, or node: an expert with two replicas or more has\n"
    "                   them where the loss of any one leaves one, and as many as can have two (none)\n"
    "\n"
    "Of plan and replay:\n"
    "  --preset NAME    how to plan; `eplb presets` lists them (default); for replay one or more, as\n"
    "                   in default,deepseek,l2\n"
    "  --effort N       searches that improve each plan, in the place of the preset's\n"
    "  --for SHARES     equal, or exact: how the replicas of an expert will share its load (equal)\n"
    "  --half-life X    plan for samples that count for half as much every X samples with load back;\n"
    "                   without it all count alike\n"
    "  --seed S         of the noise and the searches that some presets use (0)\n"
    "\n"
    "Of replay:\n"
    "  --window W       samples in a window\n"
    "  --history H      samples with load that a plan is made from, the last ones known; fewer at first,\n"
    "                   where fewer are known (W)\n"
    "  --every N        plan at the end of every N-th window with load only, and keep the plan in\n"
    "                   between; with never, keep the first to the end (1). The age of a plan is for\n"
    "                   how many windows it has been kept\n"
    "\n"
    "Of score and replay:\n"
    "  --shares LIST    equal: an expert's replicas serve equal parts of its load; exact: in each sample\n"
    "                   they serve what makes the heaviest GPU lightest, as eplb_share has it; vllm:\n"
    "                   what vLLM 0.33 sends them by the rows of tokens; or several, as in equal,exact\n"
    "                   (equal). For exact, loads that are not whole tokens, or more than 2^31 - 1 in a\n"
    "                   layer, are multiplied by the power of two that brings their sum just under 2^31\n"
    "  --rows N         of --shares vllm: tokens of a rank in a step, over which an expert's are spread\n"
    "\n"
    "Of score:\n"
    "  --balancedness LIST  also as engines log it, mean over the samples with load: vllm, the sum over\n"
    "                   layers of means of GPUs / that of the largest loads, 0 without load; sglang, the\n"
    "                   mean over layers of (mean + 1e-5) / (largest + 1e-5), 1 without\n"
    "  --adrs           two figures, by the rules of the ADRS task; all samples are one workload, or\n"
    "                   with --window W each W of them. Of plans in time, each is for the next workload\n"
    "\n";

static const char HELP_OUTPUT[] =
    "  --quiet          only the totals; of check, nothing\n"
    "  --show LAYER     of plan and score: draw the load of each GPU in this layer as bars\n"
    "  --json FILE      of all but replay: the plan, the figures, the transfers or the fault as JSON\n"
    "  --transfers-json FILE\n"
    "  --transfers-csv FILE  of plan with --previous: the transfers to the new plan, as\n"
    "                   `eplb transfers` writes them with --json and --csv\n"
    "  --csv FILE       of plan, a row `layer,slot,node,gpu,expert,replica` a slot, with --previous also\n"
    "                   `changed,moved`, 1 where its expert is another one than before, and where that\n"
    "                   is a move; of score, a row of figures a layer; of replay, a row\n"
    "                   `window,first_step,preset,own,next,bound,microseconds` a plan, where window and\n"
    "                   first_step are those that the plan was made at the end of, or kept. --every\n"
    "                   puts age behind them, microseconds are 0 where it was kept; --shares exact adds\n"
    "                   exact_own,exact_next to own,next or, without equal, puts these in their place;\n"
    "                   and exact_balancedness to the figures of score; so does vllm. Where plans start\n"
    "                   from the ones before, moves,changed_share stand before microseconds, moves the\n"
    "                   mean of a layer, both empty for the first plan and 0 where it was kept; of\n"
    "                   transfers, a row\n"
    "                   `layer,round,expert,from_slot,to_slot,from_gpu,to_gpu,kind` a transfer; of\n"
    "                   check, a row of the fault\n"
    "  --svg FILE       of plan and score, a heat map of the load of each GPU in each layer; of replay,\n"
    "                   balancedness on the next window, a line a preset and way to share, over the\n"
    "                   windows; with --every N, over the age of the plan. Where plans start from the\n"
    "                   ones before, and without --every, also what part of the slots they changed\n"
    "\n"
    "One FILE may be -, which is standard output; the table then goes to standard error. Output files\n"
    "appear whole or not at all. Exit status: 0 done; 1 out of memory, or the output could not be\n"
    "written; 2 wrong arguments or wrong input, told in one line; 3 check has found a fault, or score\n"
    "--adrs a broken rule.\n";

static int run_help(void)
{
    fputs(USAGE, stdout);
    fputs(HELP_COMMANDS, stdout);
    fputs(HELP_MOVES, stdout);
    fputs(HELP_CONVERT, stdout);
    fputs(HELP_FILES, stdout);
    fputs(HELP_PROBLEM, stdout);
    fputs(HELP_OUTPUT, stdout);
    return STATUS_OK;
}

/* The command that was meant, if one is near; else NULL. */
static const char *nearest_command(const char *text)
{
    static const char *const COMMANDS[] = {"plan",    "score",   "replay", "transfers", "check",    "convert",
                                           "presets", "formats", "help",   "--help",    "--version"};
    nearest found = {NULL, 0};
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        take_nearest(&found, text, text + strlen(text), COMMANDS[i]);
    return found.name;
}

static bool is_help(const char *text) { return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0; }

static int run_command(const char *command, arguments *a)
{
    if (is_help(command) || strcmp(command, "help") == 0) return run_help();
    for (int i = a->at; i < a->count && strcmp(a->text[i], "--") != 0; i++) {
        if (is_help(a->text[i])) return run_help();
    }
    if (strcmp(command, "plan") == 0) return run_plan(a, COMMAND_PLAN);
    if (strcmp(command, "score") == 0) return run_plan(a, COMMAND_SCORE);
    if (strcmp(command, "replay") == 0) return run_replay(a);
    if (strcmp(command, "transfers") == 0) return run_transfers(a);
    if (strcmp(command, "check") == 0) return run_check(a);
    if (strcmp(command, "convert") == 0) return run_convert(a);
    bool lists = strcmp(command, "presets") == 0 || strcmp(command, "formats") == 0;
    if (a->at < a->count && (lists || strcmp(command, "--version") == 0))
        fail(STATUS_INPUT, "unexpected '%s' after %s; try 'eplb --help'", a->text[a->at], command);
    if (strcmp(command, "presets") == 0) return run_presets();
    if (strcmp(command, "formats") == 0) {
        print_formats(stdout);
        return STATUS_OK;
    }
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
    if (fflush(stdout) != 0 || ferror(stdout)) fail(STATUS_OUTPUT, "standard output: %s", strerror(errno));
    return status;
}
