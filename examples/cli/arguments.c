/* arguments.c - what the program was asked for: the options of its commands, and what is wrong with them. */
#include "cli.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const POLICY_NAMES[] = {"auto", "hierarchical", "global"};
enum { NUM_POLICIES = sizeof POLICY_NAMES / sizeof *POLICY_NAMES };

const char *const SOURCE_NAMES[EPLB_NUM_SOURCES] = {"even", "dealt"};
const char *const ROUND_NAMES[EPLB_NUM_ROUNDS] = {"duplex", "one-peer"};

const char *const SHARE_NAMES[NUM_SHARES] = {"equal", "exact", "vllm"};
const char *const BALANCE_NAMES[NUM_BALANCES] = {"vllm", "sglang"};

const char *policy_name(int32_t policy) { return POLICY_NAMES[policy]; }

/* ------------------------------------------------------------------------------------- values */

/* If the argument looked at is the option `name`, its value, which may be the next argument;
   else NULL. */
static const char *option_value(arguments *a, const char *name)
{
    const char *text = a->text[a->at];
    size_t n = strlen(name);
    if (strncmp(text, name, n) != 0 || (text[n] != '\0' && text[n] != '=')) return NULL;
    if (text[n] == '=') return text + n + 1;
    if (a->at + 1 >= a->count || strncmp(a->text[a->at + 1], "--", 2) == 0)
        fail(STATUS_INPUT, "%s needs a value; try 'eplb --help'", name);
    return a->text[++a->at];
}

static int32_t parse_count(const char *option, const char *text, int32_t lowest)
{
    int64_t value;
    if (!parse_integer(text, text + strlen(text), &value) || value < lowest || value > INT32_MAX)
        fail(STATUS_INPUT, "%s needs a whole number from %d to %d, not '%s'", option, (int)lowest, (int)INT32_MAX,
             text);
    return (int32_t)value;
}

static uint64_t parse_seed(const char *text)
{
    uint64_t value = 0;
    if (!parse_digits(text, text + strlen(text), &value))
        fail(STATUS_INPUT, "--seed needs a whole number from 0 to %llu, not '%s'", (unsigned long long)UINT64_MAX,
             text);
    return value;
}

/* A or A-B. */
static void parse_layers(const char *text, settings *s)
{
    const char *end = text + strlen(text);
    const char *dash = strchr(text, '-');
    bool right = parse_integer(text, dash ? dash : end, &s->first_layer);
    s->last_layer = s->first_layer;
    if (right && dash) right = parse_integer(dash + 1, end, &s->last_layer);
    if (!right || s->first_layer < 0 || s->last_layer < s->first_layer)
        fail(STATUS_INPUT, "--layers needs a layer or a range such as 3-7, not '%s'", text);
    s->layers = text;
}

static int32_t parse_policy(const char *text)
{
    for (int32_t policy = 0; policy < NUM_POLICIES; policy++) {
        if (strcmp(text, POLICY_NAMES[policy]) == 0) return policy;
    }
    fail(STATUS_INPUT, "--policy is auto, hierarchical or global, not '%s'", text);
}

static int32_t parse_plan_for(const char *text)
{
    if (strcmp(text, "exact") == 0) return EPLB_PLAN_FOR_EXACT;
    if (strcmp(text, "equal") != 0) fail(STATUS_INPUT, "--for is equal or exact, not '%s'", text);
    return EPLB_PLAN_FOR_EQUAL;
}

/* Begin .. end is the name. */
static int32_t parse_preset(const char *begin, const char *end)
{
    size_t n = (size_t)(end - begin);
    nearest found = {NULL, 0};
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        const char *name = eplb_preset_name(preset);
        if (strlen(name) == n && memcmp(begin, name, n) == 0) return preset;
        take_nearest(&found, begin, end, name);
    }
    if (found.name) fail(STATUS_INPUT, "there is no preset '%.*s'; did you mean '%s'?", (int)n, begin, found.name);
    fail(STATUS_INPUT, "there is no preset '%.*s'; try 'eplb presets'", (int)n, begin);
}

/* Names between commas, of which only a replay takes several. */
static void parse_presets(const char *text, settings *s)
{
    const char *begin = text, *end;
    s->num_presets = 0;
    if (s->command != COMMAND_REPLAY && strchr(text, ','))
        fail(STATUS_INPUT, "--preset takes one preset here, not '%s': several are for replay", text);
    do {
        end = begin + strcspn(begin, ",");
        int32_t preset = parse_preset(begin, end);
        for (int32_t i = 0; i < s->num_presets; i++) {
            if (s->preset[i] == preset) fail(STATUS_INPUT, "--preset has '%s' twice", eplb_preset_name(preset));
        }
        s->preset[s->num_presets++] = preset;
        begin = end + 1;
    } while (*end == ',');
}

/* A finite number; false when the text is none. */
static bool parse_decimal(const char *text, double *value)
{
    char *stop;
    bool decimal = text[strspn(text, "0123456789.eE+-")] == '\0';
    *value = strtod(text, &stop);
    return decimal && stop != text && *stop == '\0' && isfinite(*value);
}

static double parse_half_life(const char *text)
{
    double value;
    if (!parse_decimal(text, &value) || !(value > 0))
        fail(STATUS_INPUT, "--half-life needs a number of samples above 0, not '%s'", text);
    return value;
}

static float parse_move_cost(const char *text)
{
    double value;
    if (!parse_decimal(text, &value) || value < 0 || value > (double)FLT_MAX)
        fail(STATUS_INPUT, "--move-cost needs a number of mean GPU loads from 0 on, such as 0.02, not '%s'", text);
    return (float)value;
}

/* A or A-B, either of which may be negative. */
static void parse_steps(const char *text, reading *how)
{
    const char *end = text + strlen(text);
    const char *dash = *text ? strchr(text + 1, '-') : NULL;
    bool right = parse_integer(text, dash ? dash : end, &how->first_step);
    how->last_step = how->first_step;
    if (right && dash) right = parse_integer(dash + 1, end, &how->last_step);
    if (!right || how->last_step < how->first_step)
        fail(STATUS_INPUT, "--steps needs a step or a range such as 100-199, not '%s'", text);
    how->has_steps = true;
}

/* If the argument looked at is an option of how files are read, takes it; else returns false. */
static bool parse_reading_option(arguments *a, reading *how)
{
    const char *value;
    if ((value = option_value(a, "--axes"))) {
        how->axes = value;
        (void)axes_wanted(how);
    } else if ((value = option_value(a, "--key"))) how->key = value;
    else if ((value = option_value(a, "--experts"))) how->num_experts = parse_count("--experts", value, 1);
    else if ((value = option_value(a, "--steps"))) parse_steps(value, how);
    else if ((value = option_value(a, "--map"))) how->map = value;
    else if ((value = option_value(a, "--dead"))) how->dead = value;
    else if ((value = option_value(a, "--format")))
        how->format = format_named("--format", value, value + strlen(value), FORMAT_LOADS);
    else return false;
    return true;
}

/* FORMAT=FILE. */
static void parse_write(const char *text, settings *s)
{
    const char *end = strchr(text, '=');
    if (!end || !end[1])
        fail(STATUS_INPUT,
             "--write needs a format and a file, as in sglang=plan.json, not '%s'; `eplb formats` lists them", text);
    if (s->num_writes == MOST_WRITES) fail(STATUS_INPUT, "--write stands there more than %d times", MOST_WRITES);
    write_request *w = &s->write[s->num_writes++];
    w->as = format_named("--write", text, end, s->command == COMMAND_PLAN ? FORMAT_PLAN : FORMAT_PLAN | FORMAT_LOADS);
    w->path = end + 1;
    if (!w->as->write_plan && !w->as->write_loads)
        fail(STATUS_INPUT, "--write: format '%s' is read only; `eplb formats` lists those that are written",
             w->as->name);
    if (w->as->kind != s->write[0].as->kind)
        fail(STATUS_INPUT, "--write: '%s' is of plans, and '%s' of loads",
             (w->as->kind == FORMAT_PLAN ? w : s->write)->as->name,
             (w->as->kind == FORMAT_PLAN ? s->write : w)->as->name);
}

/* The place of a word among names; ends the program with the names where it is none of them. */
static int32_t parse_name(const char *option, const char *text, const char *const *names, int32_t num_names)
{
    for (int32_t i = 0; i < num_names; i++) {
        if (strcmp(text, names[i]) == 0) return i;
    }
    fail(STATUS_INPUT, "%s is %s or %s, not '%s'", option, names[0], names[1], text);
}

/* Some of these names between commas, each once; what they are is for messages. */
static void parse_names(const char *option, const char *what, const char *text, const char *const *names, int num_names,
                        bool *chosen)
{
    const char *begin = text, *end;
    memset(chosen, 0, (size_t)num_names * sizeof *chosen);
    do {
        nearest found = {NULL, 0};
        int name = 0;
        end = begin + strcspn(begin, ",");
        for (int i = 0; i < num_names; i++) take_nearest(&found, begin, end, names[i]);
        while (
            name < num_names
            && (strlen(names[name]) != (size_t)(end - begin) || memcmp(names[name], begin, (size_t)(end - begin)) != 0))
            name++;
        if (name == num_names && found.name)
            fail(STATUS_INPUT, "there %s '%.*s'; did you mean '%s'?", what, (int)(end - begin), begin, found.name);
        if (name == num_names)
            fail(STATUS_INPUT, "%s is %s, %s%s%s or several between commas, not '%s'", option, names[0], names[1],
                 num_names > 2 ? ", " : "", num_names > 2 ? names[2] : "", text);
        if (chosen[name]) fail(STATUS_INPUT, "%s has '%s' twice", option, names[name]);
        chosen[name] = true;
        begin = end + 1;
    } while (*end == ',');
}

enum { MOST_ROWS = 1 << 20 };

static int32_t parse_rows(const char *text)
{
    int32_t rows = parse_count("--rows", text, 1);
    if (rows > MOST_ROWS)
        fail(STATUS_INPUT, "--rows %d is beyond %d; shares of so many rows are even", (int)rows, MOST_ROWS);
    return rows;
}

/* A number of windows, or never, which is 0. */
static int32_t parse_every(const char *text)
{
    int64_t value;
    if (strcmp(text, "never") == 0) return 0;
    if (!parse_integer(text, text + strlen(text), &value) || value < 1 || value > INT32_MAX)
        fail(STATUS_INPUT, "--every needs a whole number of windows from 1 to %d, or never, not '%s'", (int)INT32_MAX,
             text);
    return (int32_t)value;
}

/* ------------------------------------------------------------------------------------ options */

enum { LOADED = COMMAND_PLAN | COMMAND_SCORE | COMMAND_REPLAY, CHECK = COMMAND_CHECK, MOVES = COMMAND_TRANSFERS };
enum { CONVERT = COMMAND_CONVERT };
enum {
    PLANNING = COMMAND_PLAN | COMMAND_REPLAY,
    ONE_PLAN = COMMAND_PLAN | COMMAND_SCORE,
    SCORING = COMMAND_SCORE | COMMAND_REPLAY,
    ALL_COMMANDS = LOADED | CHECK | MOVES
};

/* clang-format off */
static const struct option {
    const char *name;
    int         commands; /* that have it */
} OPTIONS[] = {
    {"--axes", LOADED | CONVERT},           {"--key", LOADED | CONVERT},                {"--experts", ALL_COMMANDS | CONVERT},
    {"--steps", LOADED | CONVERT},          {"--map", LOADED | CONVERT},                {"--replicas", LOADED},
    {"--gpus", ALL_COMMANDS | CONVERT},     {"--nodes", ALL_COMMANDS},        {"--groups", LOADED | CHECK},
    {"--policy", LOADED | CHECK}, {"--max-replicas", LOADED | CHECK}, {"--preset", PLANNING | CHECK},
    {"--effort", PLANNING | CHECK}, {"--half-life", PLANNING},      {"--seed", PLANNING},
    {"--window", SCORING}, {"--history", COMMAND_REPLAY},    {"--every", COMMAND_REPLAY},
    {"--rows", SCORING}, {"--balancedness", COMMAND_SCORE}, {"--adrs", COMMAND_SCORE},
    {"--shares", SCORING},        {"--for", PLANNING},              {"--layers", ONE_PLAN},
    {"--show", ONE_PLAN},         {"--json", ONE_PLAN | MOVES | CHECK}, {"--csv", ALL_COMMANDS},
    {"--svg", LOADED},            {"--quiet", ALL_COMMANDS},        {"--previous", COMMAND_PLAN | CHECK},
    {"--max-moves", PLANNING | CHECK}, {"--max-gpu-moves", PLANNING | CHECK}, {"--max-pair-moves", PLANNING | CHECK},
    {"--max-node-moves", PLANNING | CHECK}, {"--move-cost", PLANNING | CHECK}, {"--from-previous", COMMAND_REPLAY},
    {"--transfers-json", COMMAND_PLAN}, {"--transfers-csv", COMMAND_PLAN}, {"--sources", MOVES},
    {"--rounds", MOVES},          {"--max-per-round", MOVES},       {"--in-place", MOVES},
    {"--gpu-slots", ALL_COMMANDS}, {"--gpu-speed", ALL_COMMANDS},   {"--gpu-node", ALL_COMMANDS},
    {"--survive", PLANNING | CHECK},
    {"--format", LOADED | CONVERT}, {"--dead", ALL_COMMANDS | CONVERT}, {"--write", COMMAND_PLAN | CONVERT}};
/* clang-format on */
enum { NUM_OPTIONS = sizeof OPTIONS / sizeof *OPTIONS };

static const char *command_name(int command)
{
    static const char *const NAMES[] = {"plan", "score", "replay", "transfers", "check", "convert"};
    int i = 0;
    while (command >> i > 1) i++;
    return NAMES[i];
}

typedef struct command_list { /* plan, score and replay */
    char text[80];
} command_list;

static command_list list_commands(int commands)
{
    command_list list = {""};
    for (int command = 1; command <= commands; command *= 2) {
        size_t n = strlen(list.text);
        if (commands & command)
            snprintf(list.text + n, sizeof list.text - n, "%s%s",
                     n == 0                   ? ""
                     : commands < 2 * command ? " and "
                                              : ", ",
                     command_name(command));
    }
    return list;
}

/* Ends the program unless the command has this option; tells which has, or what was meant. */
static void check_option(const char *text, int command)
{
    const char *end = text + strcspn(text, "=");
    nearest found = {NULL, 0};
    for (int i = 0; i < NUM_OPTIONS; i++) {
        const struct option *o = &OPTIONS[i];
        bool same = strlen(o->name) == (size_t)(end - text) && memcmp(o->name, text, strlen(o->name)) == 0;
        if (same && (o->commands & command)) return;
        if (same)
            fail(STATUS_INPUT, "%s has no option '%s', which is for %s; try 'eplb --help'", command_name(command),
                 o->name, list_commands(o->commands).text);
        if (o->commands & command) take_nearest(&found, text, end, o->name);
    }
    if (found.name) fail(STATUS_INPUT, "unknown option '%s'; did you mean '%s'?", text, found.name);
    fail(STATUS_INPUT, "unknown option '%s'; try 'eplb --help'", text);
}

/* If the argument looked at is an option of the problem or of how it is planned for, takes it; else returns
   false. So do the functions around it for the other options. */
static bool parse_problem_option(arguments *a, settings *s)
{
    const char *value;
    if ((value = option_value(a, "--replicas"))) s->replicas = parse_count("--replicas", value, 1);
    else if ((value = option_value(a, "--gpus"))) s->gpus = parse_count("--gpus", value, 1);
    else if ((value = option_value(a, "--nodes"))) s->nodes = parse_count("--nodes", value, 1);
    else if ((value = option_value(a, "--groups"))) s->groups = parse_count("--groups", value, 1);
    else if ((value = option_value(a, "--max-replicas"))) s->max_replicas = parse_count("--max-replicas", value, 0);
    else if ((value = option_value(a, "--policy"))) s->policy = parse_policy(value);
    else if ((value = option_value(a, "--preset"))) parse_presets(value, s);
    else if ((value = option_value(a, "--effort"))) s->effort = parse_count("--effort", value, 0);
    else if ((value = option_value(a, "--for"))) s->plan_for = parse_plan_for(value);
    else if ((value = option_value(a, "--half-life"))) s->half_life = parse_half_life(value);
    else if ((value = option_value(a, "--seed"))) s->seed = parse_seed(value);
    else if ((value = option_value(a, "--window"))) s->window = parse_count("--window", value, 1);
    else if ((value = option_value(a, "--history"))) s->history = parse_count("--history", value, 1);
    else if ((value = option_value(a, "--every"))) s->every = parse_every(value);
    else return false;
    return true;
}

/* How plans are scored. */
static bool parse_scoring_option(arguments *a, settings *s)
{
    const char *value;
    if ((value = option_value(a, "--shares")))
        parse_names("--shares", "are no shares", value, SHARE_NAMES, NUM_SHARES, s->shares);
    else if ((value = option_value(a, "--rows"))) s->rows = parse_rows(value);
    else if ((value = option_value(a, "--balancedness")))
        parse_names("--balancedness", "is no balancedness", value, BALANCE_NAMES, NUM_BALANCES, s->balances);
    else if (strcmp(a->text[a->at], "--adrs") == 0) s->adrs = true;
    else return false;
    return true;
}

/* Of the plan in force, and of transfers. */
static bool parse_moves_option(arguments *a, settings *s)
{
    const char *value;
    for (int i = 0; i < NUM_LIMITS; i++) {
        if (!(value = option_value(a, LIMITS[i].option))) continue;
        s->limits.most[i] = parse_count(LIMITS[i].option, value, LIMITS[i].least);
        return true;
    }
    if ((value = option_value(a, "--previous"))) s->previous = value;
    else if ((value = option_value(a, "--move-cost"))) s->limits.cost = parse_move_cost(value);
    else if ((value = option_value(a, "--sources")))
        s->how.sources = parse_name("--sources", value, SOURCE_NAMES, EPLB_NUM_SOURCES);
    else if ((value = option_value(a, "--rounds")))
        s->how.rounds = parse_name("--rounds", value, ROUND_NAMES, EPLB_NUM_ROUNDS);
    else if ((value = option_value(a, "--max-per-round")))
        s->how.max_per_round = parse_count("--max-per-round", value, 0);
    else if (strcmp(a->text[a->at], "--from-previous") == 0) s->from_previous = true;
    else if (strcmp(a->text[a->at], "--in-place") == 0) s->in_place = true;
    else return false;
    return true;
}

static const char *const SURVIVE_NAMES[EPLB_NUM_SURVIVES] = {"none", "gpu", "node"};

static bool parse_cluster_option(arguments *a, cluster *c)
{
    const char *value;
    if ((value = option_value(a, "--gpu-slots"))) c->slots_list = value;
    else if ((value = option_value(a, "--gpu-speed"))) c->speed_list = value;
    else if ((value = option_value(a, "--gpu-node"))) c->node_list = value;
    else if ((value = option_value(a, "--survive")))
        c->survive = parse_name("--survive", value, SURVIVE_NAMES, EPLB_NUM_SURVIVES);
    else return false;
    return true;
}

static bool parse_output_option(arguments *a, settings *s)
{
    const char *value;
    if (strcmp(a->text[a->at], "--quiet") == 0) s->quiet = true;
    else if ((value = option_value(a, "--layers"))) parse_layers(value, s);
    else if ((value = option_value(a, "--show"))) s->show = parse_count("--show", value, 0);
    else if ((value = option_value(a, "--json"))) s->json = value;
    else if ((value = option_value(a, "--csv"))) s->csv = value;
    else if ((value = option_value(a, "--svg"))) s->svg = value;
    else if ((value = option_value(a, "--write"))) parse_write(value, s);
    else if ((value = option_value(a, "--transfers-json"))) s->transfers_json = value;
    else if ((value = option_value(a, "--transfers-csv"))) s->transfers_csv = value;
    else return false;
    return true;
}

/* ---------------------------------------------------------------------------------- arguments */

typedef struct named_path { /* an option and its value, or NULL */
    const char *option, *path;
} named_path;

static void refuse_same_output(const settings *s)
{
    named_path output[5 + MOST_WRITES] = {{"--json", s->json},
                                          {"--csv", s->csv},
                                          {"--svg", s->svg},
                                          {"--transfers-json", s->transfers_json},
                                          {"--transfers-csv", s->transfers_csv}};
    size_t n = 5;
    for (int i = 0; i < s->num_writes; i++) output[n++] = (named_path){"--write", s->write[i].path};
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++) {
            if (output[i].path && output[k].path && strcmp(output[i].path, output[k].path) == 0)
                fail(STATUS_INPUT, "%s and %s cannot both be '%s'", output[i].option, output[k].option, output[i].path);
        }
    }
}

static bool is_dash(const char *path) { return path && strcmp(path, "-") == 0; }

/* Of all that is read, only one file can be standard input. */
static void refuse_same_input(const settings *s)
{
    const named_path input[] = {{"--map", s->reading.map}, {"--previous", s->previous}};
    const char *standard = NULL;
    for (int32_t i = 0; i < s->num_inputs; i++) {
        if (is_dash(s->inputs[i]))
            standard = s->command & LOADED ? "the loads" : s->command == COMMAND_CONVERT ? "the file" : "the plan";
    }
    for (size_t i = 0; i < sizeof input / sizeof *input; i++) {
        if (!is_dash(input[i].path)) continue;
        if (standard) fail(STATUS_INPUT, "%s and %s cannot both be '-', standard input", standard, input[i].option);
        standard = input[i].option;
    }
}

static void add_input(settings *s, const char *path)
{
    for (int32_t i = 0; i < s->num_inputs; i++) {
        if (strcmp(s->inputs[i], path) == 0) fail(STATUS_INPUT, "the file '%s' stands there twice", path);
    }
    s->inputs[s->num_inputs++] = path;
}

/* What a command cannot do without. */
static void require_settings(const settings *s)
{
    const char *command = command_name(s->command);
    const char *missing = !s->gpus && s->command != COMMAND_CONVERT         ? "--gpus"
                          : s->command == COMMAND_SCORE && !s->reading.map  ? "--map"
                          : (s->command & PLANNING) && !s->replicas         ? "--replicas"
                          : s->command == COMMAND_REPLAY && !s->window      ? "--window"
                          : s->command == COMMAND_CONVERT && !s->num_writes ? "--write"
                                                                            : NULL;
    if (s->command == COMMAND_TRANSFERS && s->num_inputs != 2)
        fail(STATUS_INPUT, "transfers needs two plans, the one in force and the next; try 'eplb --help'");
    if (s->command == COMMAND_CHECK && s->num_inputs != 1)
        fail(STATUS_INPUT, "check needs one plan, or - for standard input; try 'eplb --help'");
    if (s->command == COMMAND_CONVERT && !s->num_inputs)
        fail(STATUS_INPUT, "convert needs a plan or a file of loads, or - for standard input; try 'eplb --help'");
    if (!s->num_inputs)
        fail(STATUS_INPUT, "%s needs a file of loads, or - for standard input; try 'eplb --help'", command);
    if (missing) fail(STATUS_INPUT, "%s needs %s; try 'eplb --help'", command, missing);
    if (s->shares[SHARES_ROWS] && !s->rows)
        fail(STATUS_INPUT, "--shares vllm needs --rows, how many tokens a rank has in a step; try 'eplb --help'");
    if (s->adrs
        && (s->csv || s->svg || s->layers || s->show >= 0 || s->balances[BALANCE_VLLM] || s->balances[BALANCE_SGLANG]))
        fail(STATUS_INPUT, "score --adrs has two figures, without --csv, --svg, --layers, --show and --balancedness");
    if (s->command == COMMAND_SCORE && s->window && !s->adrs)
        fail(STATUS_INPUT, "score needs --window with --adrs only; try 'eplb --help'");
    const char *moved = limit_named(s)      ? limit_named(s)
                        : s->transfers_json ? "--transfers-json"
                        : s->transfers_csv  ? "--transfers-csv"
                                            : NULL;
    if (s->command != COMMAND_REPLAY && moved && !s->previous)
        fail(STATUS_INPUT, "%s needs --previous, the plan in force; try 'eplb --help'", moved);
}

settings parse_arguments(arguments *a, int command)
{
    settings s;
    bool options_ended = false;
    memset(&s, 0, sizeof s);
    s.command = command;
    s.inputs = (const char **)allocate((size_t)a->count, sizeof *s.inputs);
    s.nodes = 1;
    s.reading.first_step = INT64_MIN;
    s.reading.last_step = INT64_MAX;
    s.groups = 1;
    s.preset[0] = EPLB_PRESET_DEFAULT;
    s.num_presets = 1;
    s.effort = -1;
    s.show = -1;
    s.every = 1;
    s.shares[SHARES_EQUAL] = true;
    for (; a->at < a->count; a->at++) {
        const char *text = a->text[a->at];
        if (options_ended || text[0] != '-' || strcmp(text, "-") == 0) {
            add_input(&s, text);
        } else if (strcmp(text, "--") == 0) {
            options_ended = true;
        } else {
            check_option(text, command);
            if (!parse_reading_option(a, &s.reading) && !parse_problem_option(a, &s) && !parse_scoring_option(a, &s)
                && !parse_moves_option(a, &s) && !parse_cluster_option(a, &s.cluster) && !parse_output_option(a, &s))
                fail(STATUS_INPUT, "'%s' takes no value", text);
        }
    }
    s.reading.gpus = s.gpus;
    require_settings(&s);
    refuse_same_output(&s);
    refuse_same_input(&s);
    read_cluster(&s);
    return s;
}
