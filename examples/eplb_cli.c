/* eplb_cli.c - the program `eplb`: plans expert placement for loads in a file.

   eplb plan LOADS --replicas R --gpus G [...]                  see eplb --help
   eplb replay TRACE --replicas R --gpus G --window W [...]

   Loads come as CSV, JSON or NumPy .npy, from a file or standard input. The whole file is read and
   checked before anything is planned, and everything is planned before anything is written: a
   wrong file or option is answered by one line on standard error and leaves no output behind.

   CONTENTS
     Progress, errors, numbers, arguments, source, text, CSV, JSON, NPY, planning, replaying, printing,
     bars, pictures, heat map, chart, writing, commands

   Exit status: 0 done; 1 out of memory, or the output could not be written; 2 wrong arguments or
   wrong input. */
#define _XOPEN_SOURCE 700 /* POSIX 2008 and realpath */

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

#if defined(__GNUC__) || defined(__clang__)
#define ENDS_PROGRAM(format_at, args_at) __attribute__((noreturn, format(printf, format_at, args_at)))
#define PRINTS(format_at, args_at)       __attribute__((format(printf, format_at, args_at)))
#else
#define ENDS_PROGRAM(format_at, args_at)
#define PRINTS(format_at, args_at)
#endif

enum { STATUS_OK = 0, STATUS_OUTPUT = 1, STATUS_INPUT = 2 };

/* ----------------------------------------------------------------------------------- progress */

#define PROGRESS_DELAY  1.0 /* seconds before the line first shows */
#define PROGRESS_PERIOD 0.1 /* seconds from one drawing of it to the next */
#define PROGRESS_WIDTH  60  /* columns cleared when it goes */

static double progress_due;      /* when the line is drawn next; 0 before the first call */
static bool   progress_on_screen;

static double now(void) /* seconds */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One line on a terminal, redrawn in place, for work that takes longer than PROGRESS_DELAY. */
static void progress_show(const char *what, size_t done, size_t total)
{
    double time = now();
    if (progress_due <= 0)
        progress_due = time + PROGRESS_DELAY;
    if (time < progress_due || !isatty(fileno(stderr)))
        return;
    fprintf(stderr, "\r%s %zu of %zu", what, done, total);
    fflush(stderr);
    progress_due       = time + PROGRESS_PERIOD;
    progress_on_screen = true;
}

static void progress_clear(void)
{
    if (progress_on_screen)
        fprintf(stderr, "\r%*s\r", PROGRESS_WIDTH, "");
    progress_on_screen = false;
}

/* ------------------------------------------------------------------------------------- errors */

/* The end of every wrong run: the rest of the line whose beginning, the place, is printed. */
static void fail_rest(int status, const char *format, va_list args) ENDS_PROGRAM(2, 0);
static void fail_rest(int status, const char *format, va_list args)
{
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(status);
}

static void fail(int status, const char *format, ...) ENDS_PROGRAM(2, 3);
static void fail(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "eplb: ");
    fail_rest(status, format, args);
    va_end(args);
}

static void *allocate(size_t count, size_t item_bytes)
{
    void *block = calloc(count ? count : 1, item_bytes);
    if (!block)
        fail(STATUS_OUTPUT, "out of memory");
    return block;
}

/* Doubles a growing array; *room counts its items. */
static void *grow(void *block, size_t *room, size_t item_bytes)
{
    size_t wider = *room < 64 ? 64 : *room * 2;
    if (wider < *room || wider > SIZE_MAX / item_bytes)
        fail(STATUS_OUTPUT, "out of memory");
    block = realloc(block, wider * item_bytes);
    if (!block)
        fail(STATUS_OUTPUT, "out of memory");
    *room = wider;
    return block;
}

/* ------------------------------------------------------------------------------------ numbers */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Decimal digits that fill begin .. end; false when they do not or the value leaves uint64. */
static bool parse_digits(const char *begin, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    if (begin == end)
        return false;
    for (; begin < end; begin++) {
        if (!is_digit(*begin))
            return false;
        uint64_t digit = (uint64_t)(*begin - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

/* The same with an optional sign, within -(2^63 - 1) .. 2^63 - 1. */
static bool parse_integer(const char *begin, const char *end, int64_t *value)
{
    uint64_t magnitude;
    bool     negative = begin < end && *begin == '-';
    if (begin < end && (*begin == '-' || *begin == '+'))
        begin++;
    if (!parse_digits(begin, end, &magnitude) || magnitude > INT64_MAX)
        return false;
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static bool multiply_fits(size_t a, size_t b, size_t *product)
{
    if (b && a > SIZE_MAX / b)
        return false;
    *product = a * b;
    return true;
}

/* 0.5 ^ x for x >= 0, without libm: whole halvings, and the series of exp for what is left of x. */
static double half_to_the(double x)
{
    static const double LN_2 = 0.69314718055994531;
    double              halvings = 1, term = 1, series = 1;
    if (x > 1100) /* under the smallest double */
        return 0;
    int whole = (int)x;
    for (int n = 0; n < whole; n++)
        halvings *= 0.5;
    x -= whole;
    for (int n = 1; n <= 20; n++) { /* the next term is under 1e-22 */
        term *= -x * LN_2 / n;
        series += term;
    }
    return halvings * series;
}

/* ---------------------------------------------------------------------------------- arguments */

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

static const char *const POLICY_NAMES[] = {"auto", "hierarchical", "global"};
enum { NUM_POLICIES = sizeof POLICY_NAMES / sizeof *POLICY_NAMES };

/* If the argument looked at is the option `name`, its value, which may be the next argument;
   else NULL. */
static const char *option_value(arguments *a, const char *name)
{
    const char *text = a->text[a->at];
    size_t      n    = strlen(name);
    if (strncmp(text, name, n) != 0 || (text[n] != '\0' && text[n] != '='))
        return NULL;
    if (text[n] == '=')
        return text + n + 1;
    if (a->at + 1 >= a->count || strncmp(a->text[a->at + 1], "--", 2) == 0)
        fail(STATUS_INPUT, "%s needs a value; try 'eplb --help'", name);
    return a->text[++a->at];
}

static int32_t parse_count(const char *option, const char *text, int32_t lowest)
{
    int64_t value;
    if (!parse_integer(text, text + strlen(text), &value) || value < lowest || value > INT32_MAX)
        fail(STATUS_INPUT, "%s needs a whole number from %d to %d, not '%s'", option, (int)lowest,
             (int)INT32_MAX, text);
    return (int32_t)value;
}

static uint64_t parse_seed(const char *text)
{
    uint64_t value = 0;
    if (!parse_digits(text, text + strlen(text), &value))
        fail(STATUS_INPUT, "--seed needs a whole number from 0 to %llu, not '%s'",
             (unsigned long long)UINT64_MAX, text);
    return value;
}

/* A or A-B. */
static void parse_layers(const char *text, int32_t *first, int32_t *last)
{
    const char *end   = text + strlen(text);
    const char *dash  = strchr(text, '-');
    int64_t     a = -1, b = -1;
    bool        right = parse_integer(text, dash ? dash : end, &a);
    if (right && dash)
        right = parse_integer(dash + 1, end, &b);
    else
        b = a;
    if (!right || a < 0 || b < a || b >= INT32_MAX)
        fail(STATUS_INPUT, "--layers needs a layer or a range such as 3-7, not '%s'", text);
    *first = (int32_t)a;
    *last  = (int32_t)b;
}

static int32_t parse_policy(const char *text)
{
    for (int32_t policy = 0; policy < NUM_POLICIES; policy++) {
        if (strcmp(text, POLICY_NAMES[policy]) == 0)
            return policy;
    }
    fail(STATUS_INPUT, "--policy is auto, hierarchical or global, not '%s'", text);
}

/* Begin .. end is the name. */
static int32_t parse_preset(const char *begin, const char *end)
{
    size_t n = (size_t)(end - begin);
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        const char *name = eplb_preset_name(preset);
        if (strlen(name) == n && memcmp(begin, name, n) == 0)
            return preset;
    }
    fail(STATUS_INPUT, "there is no preset '%.*s'; try 'eplb presets'", (int)n, begin);
}

/* Names between commas. */
static void parse_presets(const char *text, settings *s)
{
    const char *begin = text, *end;
    s->num_presets    = 0;
    do {
        end            = begin + strcspn(begin, ",");
        int32_t preset = parse_preset(begin, end);
        for (int32_t i = 0; i < s->num_presets; i++) {
            if (s->preset[i] == preset)
                fail(STATUS_INPUT, "--preset has '%s' twice", eplb_preset_name(preset));
        }
        s->preset[s->num_presets++] = preset;
        begin                       = end + 1;
    } while (*end == ',');
}

static double parse_half_life(const char *text)
{
    char  *stop;
    bool   decimal = text[strspn(text, "0123456789.eE+-")] == '\0';
    double value   = strtod(text, &stop);
    if (!decimal || stop == text || *stop != '\0' || !(value > 0) || !isfinite(value))
        fail(STATUS_INPUT, "--half-life needs a number of samples above 0, not '%s'", text);
    return value;
}

/* If the argument looked at is an option that plan and replay share, takes it; else returns false.
   So do the two functions after it for the options that one of them has. */
static bool parse_shared_option(arguments *a, settings *s)
{
    const char *value;
    if (strcmp(a->text[a->at], "--quiet") == 0)
        s->quiet = true;
    else if ((value = option_value(a, "--replicas")))
        s->replicas = parse_count("--replicas", value, 1);
    else if ((value = option_value(a, "--gpus")))
        s->gpus = parse_count("--gpus", value, 1);
    else if ((value = option_value(a, "--nodes")))
        s->nodes = parse_count("--nodes", value, 1);
    else if ((value = option_value(a, "--groups")))
        s->groups = parse_count("--groups", value, 1);
    else if ((value = option_value(a, "--max-replicas")))
        s->max_replicas = parse_count("--max-replicas", value, 0);
    else if ((value = option_value(a, "--policy")))
        s->policy = parse_policy(value);
    else if ((value = option_value(a, "--effort")))
        s->effort = parse_count("--effort", value, 0);
    else if ((value = option_value(a, "--half-life")))
        s->half_life = parse_half_life(value);
    else if ((value = option_value(a, "--seed")))
        s->seed = parse_seed(value);
    else if ((value = option_value(a, "--csv")))
        s->csv = value;
    else if ((value = option_value(a, "--svg")))
        s->svg = value;
    else
        return false;
    return true;
}

static bool parse_plan_option(arguments *a, settings *s)
{
    const char *value;
    if ((value = option_value(a, "--preset")))
        s->preset[0] = parse_preset(value, value + strlen(value));
    else if ((value = option_value(a, "--layers")))
        parse_layers(value, &s->first_layer, &s->last_layer);
    else if ((value = option_value(a, "--show")))
        s->show = parse_count("--show", value, 0);
    else if ((value = option_value(a, "--json")))
        s->json = value;
    else
        return false;
    return true;
}

static bool parse_replay_option(arguments *a, settings *s)
{
    const char *value;
    if ((value = option_value(a, "--preset")))
        parse_presets(value, s);
    else if ((value = option_value(a, "--window")))
        s->window = parse_count("--window", value, 1);
    else if ((value = option_value(a, "--history")))
        s->history = parse_count("--history", value, 1);
    else
        return false;
    return true;
}

static void refuse_same(const char *option, const char *path, const char *other, const char *other_path)
{
    if (path && other_path && strcmp(path, other_path) == 0)
        fail(STATUS_INPUT, "%s and %s cannot both be '%s'", option, other, path);
}

static settings parse_arguments(arguments *a, const char *command,
                                bool (*parse_own_option)(arguments *, settings *))
{
    settings s;
    bool     options_ended = false;
    memset(&s, 0, sizeof s);
    s.nodes       = 1;
    s.groups      = 1;
    s.preset[0]   = EPLB_PRESET_DEFAULT;
    s.num_presets = 1;
    s.effort      = -1;
    s.last_layer  = -1;
    s.show        = -1;
    for (; a->at < a->count; a->at++) {
        const char *text = a->text[a->at];
        if (options_ended || text[0] != '-' || strcmp(text, "-") == 0) {
            if (s.input)
                fail(STATUS_INPUT, "one file of loads at a time: '%s' or '%s'", s.input, text);
            s.input = text;
        } else if (strcmp(text, "--") == 0) {
            options_ended = true;
        } else if (!parse_shared_option(a, &s) && !parse_own_option(a, &s)) {
            fail(STATUS_INPUT, "unknown option '%s'; try 'eplb --help'", text);
        }
    }
    if (!s.input)
        fail(STATUS_INPUT, "%s needs a file of loads, or - for standard input; try 'eplb --help'", command);
    if (!s.replicas || !s.gpus)
        fail(STATUS_INPUT, "%s needs %s; try 'eplb --help'", command, s.replicas ? "--gpus" : "--replicas");
    if (parse_own_option == parse_replay_option && !s.window)
        fail(STATUS_INPUT, "%s needs --window; try 'eplb --help'", command);
    refuse_same("--json", s.json, "--csv", s.csv);
    refuse_same("--json", s.json, "--svg", s.svg);
    refuse_same("--csv", s.csv, "--svg", s.svg);
    return s;
}

/* ------------------------------------------------------------------------------------- source */

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

static source read_source(const char *path)
{
    bool   from_stdin = strcmp(path, "-") == 0;
    source s          = {from_stdin ? "<stdin>" : path, NULL, 0};
    size_t room       = 0;
    FILE  *file       = from_stdin ? stdin : fopen(path, "rb");
    if (!file)
        fail(STATUS_INPUT, "%s: %s", s.name, strerror(errno));
    do {
        if (room - s.size < 2) /* room for a byte and the 0 at least */
            s.bytes = (char *)grow(s.bytes, &room, 1);
        s.size += fread(s.bytes + s.size, 1, room - s.size - 1, file);
        if (ferror(file))
            fail(STATUS_INPUT, "%s: %s", s.name, strerror(errno));
    } while (!feof(file));
    s.bytes[s.size] = '\0';
    if (!from_stdin)
        fclose(file);
    return s;
}

/* Begin .. end for a message: at most QUOTE_BYTES of it, nothing unprintable. */
#define QUOTE_BYTES 32
typedef struct quote {
    char text[QUOTE_BYTES + 4];
} quote;

static quote quoted(const char *begin, const char *end)
{
    quote  q;
    size_t n = (size_t)(end - begin), kept = n < QUOTE_BYTES ? n : QUOTE_BYTES;
    for (size_t i = 0; i < kept; i++)
        q.text[i] = begin[i] >= ' ' && begin[i] <= '~' ? begin[i] : '?';
    memcpy(q.text + kept, n > kept ? "..." : "", n > kept ? 4 : 1);
    return q;
}

/* --------------------------------------------------------------------------------------- text */

/* What the readers of CSV and JSON share: where they are in the file, and its numbers. */

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

static void text_fail(const text_reader *r, size_t line, const char *at, const char *format, ...)
    ENDS_PROGRAM(4, 5);
static void text_fail(const text_reader *r, size_t line, const char *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s:%zu:%zu: ", r->from->name, line, at ? (size_t)(at - r->line_begin) + 1 : 1);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\n';
}

/* Where the text begins: after a byte order mark, which columns do not count. */
static const char *text_begin(const source *from)
{
    static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";
    bool              marked = from->size >= 3 && memcmp(from->bytes, BYTE_ORDER_MARK, 3) == 0;
    return from->bytes + (marked ? 3 : 0);
}

/* What C and other programs write for numbers that are not finite. */
static bool field_is_not_finite(const text_field *field)
{
    const char *begin = field->begin;
    if (begin < field->end && (*begin == '-' || *begin == '+'))
        begin++;
    size_t n = (size_t)(field->end - begin);
    return (n == 3 && strncasecmp(begin, "nan", 3) == 0) || (n == 3 && strncasecmp(begin, "inf", 3) == 0) ||
           (n == 8 && strncasecmp(begin, "infinity", 8) == 0);
}

/* strtof knows more than decimal numbers, so what it is given is looked at first. It stops at the
   comma, the bracket, the blank or the 0 after the field; the program leaves the locale at "C". */
static float text_load(const text_reader *r, const text_field *field)
{
    bool decimal = field->begin < field->end;
    for (const char *c = field->begin; c < field->end; c++)
        decimal = decimal && (is_digit(*c) || *c == '+' || *c == '-' || *c == '.' || *c == 'e' || *c == 'E');
    char       *stop  = NULL;
    float       load  = decimal ? strtof(field->begin, &stop) : 0;
    const char *wrong = NULL;
    if (field->begin == field->end)
        text_fail(r, r->line, field->begin, "a load is missing here");
    else if (field_is_not_finite(field))
        wrong = "is not a finite load";
    else if (stop != field->end)
        wrong = "is not a number";
    else if (load < 0)
        wrong = "is a negative load";
    else if (isinf(load))
        wrong = "is beyond the range of float32";
    if (wrong)
        text_fail(r, r->line, field->begin, "'%s' %s", quoted(field->begin, field->end).text, wrong);
    return load;
}

static void text_add_load(text_reader *r, const text_field *field)
{
    if (r->num_values == r->values_room)
        r->value = (float *)grow(r->value, &r->values_room, sizeof *r->value);
    r->value[r->num_values++] = text_load(r, field);
}

/* A table of this shape, still without its loads. */
static loads text_table(const text_reader *r, size_t num_samples, size_t num_layers, size_t num_experts)
{
    if (num_experts > INT32_MAX || num_layers > INT32_MAX || num_samples > INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", r->from->name);
    loads table = {(int32_t)num_samples, (int32_t)num_layers, (int32_t)num_experts, NULL, NULL};
    return table;
}

/* ---------------------------------------------------------------------------------------- CSV */

/* Lines of numbers between commas. Blank lines and lines that start with # are skipped. A first
   row `step,layer,...` makes the file a trace, whose rows are (step, layer, loads) in any order;
   otherwise the rows are the layers in order, and a first row of names is skipped. */

typedef struct csv_row {
    int64_t step;
    int32_t layer;
    size_t  line;
    size_t  index; /* in the order of the file */
} csv_row;

typedef struct csv_reader {
    text_reader text;
    const char *next_line;   /* where the line after this one starts */
    const char *line_end;
    const char *next_field;  /* NULL when the line has no more */
    bool        is_trace;
    size_t      num_experts; /* loads in a row; 0 until known */
    csv_row    *row;
    size_t      num_rows, rows_room;
} csv_reader;

/* Goes to the next line that is neither blank nor a comment; false at the end of the file. */
static bool csv_read_line(csv_reader *r)
{
    const char *file_end = r->text.from->bytes + r->text.from->size;
    while (r->next_line < file_end) {
        const char *newline = (const char *)memchr(r->next_line, '\n', (size_t)(file_end - r->next_line));
        r->text.line_begin  = r->next_line;
        r->line_end         = newline ? newline : file_end;
        r->next_line        = newline ? newline + 1 : file_end;
        r->text.line++;
        while (r->line_end > r->text.line_begin && is_blank(r->line_end[-1]))
            r->line_end--;
        r->next_field = r->text.line_begin;
        while (r->next_field < r->line_end && is_blank(*r->next_field))
            r->next_field++;
        if (r->next_field < r->line_end && *r->next_field != '#')
            return true;
    }
    return false;
}

static bool csv_read_field(csv_reader *r, text_field *field)
{
    if (!r->next_field)
        return false;
    const char *comma = (const char *)memchr(r->next_field, ',', (size_t)(r->line_end - r->next_field));
    field->begin      = r->next_field;
    field->end        = comma ? comma : r->line_end;
    r->next_field     = comma ? comma + 1 : NULL;
    while (field->begin < field->end && is_blank(*field->begin))
        field->begin++;
    while (field->begin < field->end && is_blank(field->end[-1]))
        field->end--;
    return true;
}

static bool field_is(const text_field *field, const char *word)
{
    size_t n = (size_t)(field->end - field->begin);
    return n == strlen(word) && memcmp(field->begin, word, n) == 0;
}

static bool field_is_name(const text_field *field)
{
    char c = field->begin < field->end ? *field->begin : '0';
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '"') &&
           !field_is_not_finite(field);
}

/* Looks at the first row: step,layer,... makes a trace, other names are skipped, and numbers are
   left for csv_read_row. Returns whether it was a row of names. */
static bool csv_read_header(csv_reader *r)
{
    text_field  field;
    size_t      num_fields = 0;
    bool        all_names  = true, has_step = false;
    const char *has_layer  = NULL, *begin = r->next_field;
    while (csv_read_field(r, &field)) {
        has_step  = has_step || (num_fields == 0 && field_is(&field, "step"));
        has_layer = field_is(&field, "layer") ? field.begin : has_layer;
        all_names = all_names && field_is_name(&field);
        r->is_trace = r->is_trace || (num_fields == 1 && has_step && has_layer);
        num_fields++;
    }
    if (r->is_trace && num_fields == 2)
        text_fail(&r->text, r->text.line, r->line_end, "no experts after step,layer");
    if (!r->is_trace && all_names && (has_step || has_layer)) /* ids must not be taken for loads */
        text_fail(&r->text, r->text.line, begin, "a header with step or layer must start with step,layer");
    r->num_experts = r->is_trace ? num_fields - 2 : all_names ? num_fields : 0;
    r->next_field  = begin;
    return r->is_trace || all_names;
}

static int64_t csv_integer(csv_reader *r, const char *what, int64_t lowest, int64_t highest)
{
    text_field field;
    int64_t    value = 0;
    if (!csv_read_field(r, &field))
        text_fail(&r->text, r->text.line, r->line_end, "the row has no %s", what);
    if (!parse_integer(field.begin, field.end, &value) || value < lowest || value > highest)
        text_fail(&r->text, r->text.line, field.begin, "'%s' is not a %s",
                  quoted(field.begin, field.end).text, what);
    return value;
}

static void csv_read_row(csv_reader *r)
{
    csv_row    row = {0, 0, r->text.line, r->num_rows};
    text_field field;
    size_t     num_loads = 0;
    if (r->is_trace) {
        row.step  = csv_integer(r, "step", -INT64_MAX, INT64_MAX);
        row.layer = (int32_t)csv_integer(r, "layer", 0, INT32_MAX - 1);
    }
    while (csv_read_field(r, &field)) {
        if (r->num_experts && num_loads == r->num_experts)
            text_fail(&r->text, r->text.line, field.begin, "more than the %zu loads of the rows above",
                      r->num_experts);
        text_add_load(&r->text, &field);
        num_loads++;
    }
    if (r->num_experts && num_loads < r->num_experts)
        text_fail(&r->text, r->text.line, r->line_end, "only %zu loads; the rows above have %zu", num_loads,
                  r->num_experts);
    r->num_experts = num_loads;
    if (r->num_rows == r->rows_room)
        r->row = (csv_row *)grow(r->row, &r->rows_room, sizeof *r->row);
    r->row[r->num_rows++] = row;
}

/* By step, then layer, then line. */
static int compare_rows(const void *left, const void *right)
{
    const csv_row *a = (const csv_row *)left, *b = (const csv_row *)right;
    if (a->step != b->step)
        return a->step < b->step ? -1 : 1;
    if (a->layer != b->layer)
        return a->layer < b->layer ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* Orders the rows of a trace and returns its number of layers. Every step has every layer once:
   up to any row, the ordered rows are complete steps and the layers from 0 on of one more. */
static size_t csv_order_trace(csv_reader *r)
{
    size_t num_layers = 1;
    for (size_t i = 0; i < r->num_rows; i++) {
        if (num_layers <= (size_t)r->row[i].layer)
            num_layers = (size_t)r->row[i].layer + 1;
    }
    qsort(r->row, r->num_rows, sizeof *r->row, compare_rows);
    for (size_t i = 0; i <= r->num_rows; i++) {
        const csv_row *row  = i < r->num_rows ? &r->row[i] : NULL;
        const csv_row *last = i > 0 ? &r->row[i - 1] : NULL;
        size_t         due  = i % num_layers; /* the layer that must come here */
        if (row && last && row->step == last->step && row->layer == last->layer)
            text_fail(&r->text, row->line, NULL, "step %lld, layer %d is in line %zu already",
                      (long long)row->step, (int)row->layer, last->line);
        if (due > 0 && (!row || row->step != last->step))
            text_fail(&r->text, last->line, NULL, "step %lld has no row for layer %zu", (long long)last->step,
                      due);
        if (row && (size_t)row->layer != due)
            text_fail(&r->text, row->line, NULL, "step %lld has no row for layer %zu", (long long)row->step,
                      due);
    }
    return num_layers;
}

static loads read_csv(const source *from)
{
    csv_reader r;
    memset(&r, 0, sizeof r);
    r.text.from       = from;
    r.text.line_begin = r.next_line = text_begin(from);
    if (csv_read_line(&r) && !csv_read_header(&r))
        csv_read_row(&r);
    while (csv_read_line(&r)) {
        csv_read_row(&r);
        progress_show("reading byte", (size_t)(r.next_line - from->bytes), from->size);
    }
    if (r.num_rows == 0)
        text_fail(&r.text, r.text.line ? r.text.line : 1, NULL, "no row of loads");
    size_t num_layers  = r.is_trace ? csv_order_trace(&r) : r.num_rows;
    size_t num_samples = r.num_rows / num_layers;
    loads  table       = text_table(&r.text, num_samples, num_layers, r.num_experts);
    table.weight       = (float *)allocate(r.text.num_values, sizeof(float));
    for (size_t i = 0; i < r.num_rows; i++)
        memcpy(table.weight + i * r.num_experts, r.text.value + r.row[i].index * r.num_experts,
               r.num_experts * sizeof(float));
    if (r.is_trace) {
        table.step = (int64_t *)allocate(num_samples, sizeof(int64_t));
        for (size_t t = 0; t < num_samples; t++)
            table.step[t] = r.row[t * num_layers].step;
    }
    free(r.text.value);
    free(r.row);
    return table;
}

/* --------------------------------------------------------------------------------------- JSON */

/* Arrays of numbers, [L, E] or [T, L, E], and white space. How deep the first load lies tells which,
   and the first array of each depth to end tells how many items each of them has. */

typedef struct json_reader {
    text_reader text;
    const char *at;                  /* the byte looked at */
    size_t      depth;               /* arrays that are open */
    size_t      num_dims;            /* arrays around each load; 0 before the first */
    size_t      count[1 + MAX_DIMS]; /* items so far in the open array of each depth */
    size_t      want[1 + MAX_DIMS];  /* items of each array of a depth; 0 before the first has ended */
} json_reader;

/* The next character that is not white space; 0 at the end of the file, where a 0 follows the bytes. */
static char json_peek(json_reader *r)
{
    for (; is_space(*r->at); r->at++) {
        if (*r->at == '\n') {
            r->text.line++;
            r->text.line_begin = r->at + 1;
        }
    }
    return *r->at;
}

static bool json_at_end(const json_reader *r)
{
    return r->at == r->text.from->bytes + r->text.from->size;
}

/* What the items of arrays of this depth are, for messages; a load has been read. */
static const char *json_items(const json_reader *r, size_t depth)
{
    return depth == r->num_dims ? "loads" : depth + 1 == r->num_dims ? "rows" : "samples";
}

/* Ends the program unless an item that fits where it stands begins here, and counts it. */
static void json_begin_item(json_reader *r)
{
    char        c          = json_peek(r);
    bool        may_load   = r->depth >= (r->num_dims ? r->num_dims : MIN_DIMS);
    bool        may_nest   = r->depth < (r->num_dims ? r->num_dims : MAX_DIMS);
    size_t      want       = r->want[r->depth];
    const char *not_a_load = c == '{'                ? "an object"
                             : c == '"'              ? "a string"
                             : c == '[' && !may_nest ? "an array"
                                                     : NULL;
    if (json_at_end(r))
        text_fail(&r->text, r->text.line, r->at, "the file ends within an array");
    if (!may_load && c != '[')
        text_fail(&r->text, r->text.line, r->at,
                  "an array should begin here: loads are [L, E] or [T, L, E]");
    if (c == ',' || c == ']')
        text_fail(&r->text, r->text.line, r->at, "a load is missing here");
    if (not_a_load)
        text_fail(&r->text, r->text.line, r->at, "%s where a load should be: loads are [L, E] or [T, L, E]",
                  not_a_load);
    if (want && r->count[r->depth] == want)
        text_fail(&r->text, r->text.line, r->at, "more than the %zu %s of the %s above", want,
                  json_items(r, r->depth), json_items(r, r->depth - 1));
    r->count[r->depth]++;
}

/* Of the numbers that text_load takes, JSON has none with a plus before them, with a zero before other
   digits, or with no digit on a side of the point. */
static bool json_has_number(const text_field *field)
{
    const char *digits = field->begin + (*field->begin == '-' ? 1 : 0);
    const char *point  = (const char *)memchr(digits, '.', (size_t)(field->end - digits));
    return is_digit(digits[0]) && (digits[0] != '0' || !is_digit(digits[1])) &&
           (!point || is_digit(point[1]));
}

static bool json_ends_load(char c)
{
    return is_space(c) || c == ',' || c == '[' || c == ']' || c == '{' || c == '}';
}

static void json_read_load(json_reader *r)
{
    text_field  field    = {r->at, r->at};
    const char *file_end = r->text.from->bytes + r->text.from->size;
    while (field.end < file_end && !json_ends_load(*field.end))
        field.end++;
    text_add_load(&r->text, &field);
    if (!json_has_number(&field))
        text_fail(&r->text, r->text.line, field.begin, "'%s' is not a number in JSON",
                  quoted(field.begin, field.end).text);
    r->num_dims = r->depth;
    r->at       = field.end;
}

/* After a load: ends the arrays that end here, and goes past the comma before the next item. */
static void json_end_item(json_reader *r)
{
    for (; r->depth > 0 && json_peek(r) == ']'; r->at++) {
        size_t count = r->count[r->depth], want = r->want[r->depth];
        if (count < want)
            text_fail(&r->text, r->text.line, r->at, "only %zu %s; the %s above have %zu", count,
                      json_items(r, r->depth), json_items(r, r->depth - 1), want);
        r->want[r->depth--] = count;
        progress_show("reading byte", (size_t)(r->at - r->text.from->bytes), r->text.from->size);
    }
    if (r->depth == 0)
        return;
    if (json_at_end(r))
        text_fail(&r->text, r->text.line, r->at, "the file ends within an array");
    if (*r->at != ',')
        text_fail(&r->text, r->text.line, r->at, "',' or ']' should stand here");
    r->at++;
}

static loads read_json(const source *from)
{
    json_reader r;
    memset(&r, 0, sizeof r);
    r.text.from       = from;
    r.text.line       = 1;
    r.text.line_begin = r.at = text_begin(from);
    do {
        json_begin_item(&r);
        if (*r.at == '[') {
            r.count[++r.depth] = 0;
            r.at++;
        } else {
            json_read_load(&r);
            json_end_item(&r);
        }
    } while (r.depth > 0);
    (void)json_peek(&r);
    if (!json_at_end(&r))
        text_fail(&r.text, r.text.line, r.at, "the file goes on after its array");

    size_t num_samples = r.num_dims == MAX_DIMS ? r.want[1] : 1;
    loads  table       = text_table(&r.text, num_samples, r.want[r.num_dims - 1], r.want[r.num_dims]);
    table.weight       = r.text.value;
    return table;
}

/* ---------------------------------------------------------------------------------------- NPY */

/* NumPy's format: magic, version, the header's length, a Python dictionary, the data. */

static const char NPY_MAGIC[] = "\x93NUMPY";
enum { NPY_MAGIC_BYTES = 6 };

typedef struct npy_reader {
    const source *from;
    size_t        at;         /* the byte looked at */
    size_t        header_end; /* also where the data starts */
    bool          has_descr, has_order, has_shape;
    char          kind;       /* f or i */
    size_t        item_bytes; /* 4 or 8 */
    bool          big_endian;
    bool          fortran;    /* the first index varies fastest */
    size_t        num_dims;
    int64_t       dim[MAX_DIMS];
} npy_reader;

static void npy_fail(const npy_reader *r, size_t offset, const char *format, ...) ENDS_PROGRAM(3, 4);
static void npy_fail(const npy_reader *r, size_t offset, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s: byte %zu: ", r->from->name, offset);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

static unsigned npy_byte(const npy_reader *r, size_t offset)
{
    return (unsigned char)r->from->bytes[offset];
}

/* Leaves `at` at the header's text and header_end after it. */
static void npy_read_preamble(npy_reader *r)
{
    if (strncmp(r->from->bytes, NPY_MAGIC, NPY_MAGIC_BYTES) != 0) /* no further than the 0 after the bytes */
        npy_fail(r, 0, "the file starts like .npy, but not with all of its magic");
    if (r->from->size < NPY_MAGIC_BYTES + 4)
        npy_fail(r, r->from->size, "the file ends within the header");
    unsigned major = npy_byte(r, 6), minor = npy_byte(r, 7);
    if (major < 1 || major > 3 || minor != 0)
        npy_fail(r, 6, "version %u.%u of the format is not 1.0, 2.0 or 3.0", major, minor);
    size_t length_bytes = major == 1 ? 2 : 4, length = 0;
    r->at               = NPY_MAGIC_BYTES + 2 + length_bytes;
    if (r->from->size < r->at)
        npy_fail(r, r->from->size, "the file ends within the header");
    for (size_t i = length_bytes; i-- > 0;)
        length = length << 8 | npy_byte(r, NPY_MAGIC_BYTES + 2 + i);
    if (length > r->from->size - r->at)
        npy_fail(r, NPY_MAGIC_BYTES + 2, "a header of %zu bytes, but the file ends %zu bytes on", length,
                 r->from->size - r->at);
    r->header_end = r->at + length;
}

/* The next character of the dictionary that is not blank; 0 at its end. */
static char npy_peek(npy_reader *r)
{
    while (r->at < r->header_end && is_space(r->from->bytes[r->at]))
        r->at++;
    return r->at < r->header_end ? r->from->bytes[r->at] : '\0';
}

static bool npy_accept(npy_reader *r, char c)
{
    if (npy_peek(r) != c || c == '\0')
        return false;
    r->at++;
    return true;
}

static void npy_expect(npy_reader *r, char c)
{
    if (!npy_accept(r, c))
        npy_fail(r, r->at, "the header should have '%c' here", c);
}

/* A quoted word of at most 15 characters. */
static void npy_read_word(npy_reader *r, char word[16])
{
    char   mark = npy_peek(r);
    size_t n    = 0;
    if (mark != '\'' && mark != '"')
        npy_fail(r, r->at, "the header should have a quoted word here");
    for (r->at++; r->at < r->header_end && r->from->bytes[r->at] != mark; r->at++) {
        if (n == 15)
            npy_fail(r, r->at, "a word in the header is too long");
        word[n++] = r->from->bytes[r->at];
    }
    word[n] = '\0';
    npy_expect(r, mark);
}

static void npy_read_descr(npy_reader *r)
{
    const uint16_t one         = 1;
    bool           big_machine = *(const unsigned char *)&one == 0;
    char           word[16] = "";
    (void)npy_peek(r);
    size_t begin = r->at;
    npy_read_word(r, word);
    quote shown = quoted(word, word + strlen(word));
    if (strlen(word) != 3 || (word[1] != 'f' && word[1] != 'i') || (word[2] != '4' && word[2] != '8'))
        npy_fail(r, begin, "numbers of type '%s' cannot be read: only f4, f8, i4 and i8", shown.text);
    if (word[0] != '<' && word[0] != '>' && word[0] != '=')
        npy_fail(r, begin, "type '%s' gives no byte order: <, > or = should stand before it", shown.text);
    r->big_endian = word[0] == '>' || (word[0] == '=' && big_machine);
    r->kind       = word[1];
    r->item_bytes = (size_t)(word[2] - '0');
}

static void npy_read_order(npy_reader *r)
{
    (void)npy_peek(r);
    const char *text = r->from->bytes + r->at;
    size_t      room = r->header_end - r->at;
    if (room >= 4 && memcmp(text, "True", 4) == 0)
        r->fortran = true;
    else if (room < 5 || memcmp(text, "False", 5) != 0)
        npy_fail(r, r->at, "fortran_order should be True or False");
    r->at += r->fortran ? 4 : 5;
}

static void npy_read_shape(npy_reader *r)
{
    (void)npy_peek(r);
    size_t begin = r->at;
    npy_expect(r, '(');
    while (!npy_accept(r, ')')) {
        (void)npy_peek(r);
        size_t digits = r->at;
        while (r->at < r->header_end && is_digit(r->from->bytes[r->at]))
            r->at++;
        int64_t dim = 0;
        if (!parse_integer(r->from->bytes + digits, r->from->bytes + r->at, &dim) || dim < 1 ||
            dim > INT32_MAX)
            npy_fail(r, digits, "a dimension should be a whole number from 1 to 2147483647");
        if (r->num_dims == MAX_DIMS)
            npy_fail(r, begin, "the shape should be [L, E] or [T, L, E], not of more dimensions");
        r->dim[r->num_dims++] = dim;
        if (!npy_accept(r, ',')) {
            npy_expect(r, ')');
            break;
        }
    }
    if (r->num_dims < MIN_DIMS)
        npy_fail(r, begin, "the shape should be [L, E] or [T, L, E], not of %zu dimensions", r->num_dims);
}

static void npy_read_dictionary(npy_reader *r)
{
    npy_expect(r, '{');
    while (!npy_accept(r, '}')) {
        char key[16];
        (void)npy_peek(r);
        size_t begin = r->at;
        npy_read_word(r, key);
        npy_expect(r, ':');
        bool *seen = strcmp(key, "descr") == 0           ? &r->has_descr
                     : strcmp(key, "fortran_order") == 0 ? &r->has_order
                     : strcmp(key, "shape") == 0         ? &r->has_shape
                                                         : NULL;
        if (!seen || *seen)
            npy_fail(r, begin, "the header has '%s' %s", quoted(key, key + strlen(key)).text,
                     seen ? "twice" : "as a key, which the format does not");
        *seen = true;
        if (seen == &r->has_descr)
            npy_read_descr(r);
        else if (seen == &r->has_order)
            npy_read_order(r);
        else
            npy_read_shape(r);
        if (!npy_accept(r, ',')) {
            npy_expect(r, '}');
            break;
        }
    }
    if (npy_peek(r) != '\0' || r->at != r->header_end)
        npy_fail(r, r->at, "the header goes on after its dictionary");
    if (!r->has_descr || !r->has_order || !r->has_shape)
        npy_fail(r, r->at, "the header has no %s",
                 !r->has_descr ? "descr" : !r->has_order ? "fortran_order" : "shape");
}

/* The number at an offset as a load; returns what is wrong with it, or NULL. */
static const char *npy_load(const npy_reader *r, size_t offset, float *load)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < r->item_bytes; i++)
        bits = bits << 8 | npy_byte(r, offset + (r->big_endian ? i : r->item_bytes - 1 - i));
    uint32_t low = (uint32_t)bits;
    if (r->kind == 'i') {
        int64_t whole;
        int32_t narrow;
        memcpy(&whole, &bits, sizeof whole);
        memcpy(&narrow, &low, sizeof narrow);
        whole = r->item_bytes == 4 ? narrow : whole;
        *load = (float)whole;
        return whole < 0 ? "is negative" : NULL;
    }
    float  single;
    double real;
    memcpy(&single, &low, sizeof single);
    memcpy(&real, &bits, sizeof real);
    real = r->item_bytes == 4 ? (double)single : real;
    if (isnan(real))
        return "is not a number";
    if (isinf(real))
        return "is infinite";
    if (real < 0)
        return "is negative";
    if (real > (double)FLT_MAX)
        return "is beyond the range of float32";
    *load = (float)real;
    return NULL;
}

/* The data in the order of the file; each number goes to its place in [T, L, E]. */
static loads npy_read_data(const npy_reader *r)
{
    bool   has_samples = r->num_dims == 3;
    size_t num_samples = has_samples ? (size_t)r->dim[0] : 1;
    size_t num_layers  = (size_t)r->dim[has_samples ? 1 : 0];
    size_t num_experts = (size_t)r->dim[has_samples ? 2 : 1];
    size_t count, bytes, given = r->from->size - r->header_end;
    if (!multiply_fits(num_samples, num_layers, &count) || !multiply_fits(count, num_experts, &count) ||
        !multiply_fits(count, r->item_bytes, &bytes))
        npy_fail(r, r->header_end, "the shape needs more bytes than can be counted");
    if (given != bytes)
        npy_fail(r, given < bytes ? r->from->size : r->header_end + bytes,
                 "the data should end at byte %zu, but the file %s", r->header_end + bytes,
                 given < bytes ? "ends here" : "goes on");

    loads table  = {(int32_t)num_samples, (int32_t)num_layers, (int32_t)num_experts, NULL, NULL};
    table.weight = (float *)allocate(count, sizeof(float));
    for (size_t i = 0; i < count; i++) {
        size_t sample = r->fortran ? i % num_samples : i / num_experts / num_layers;
        size_t layer  = r->fortran ? i / num_samples % num_layers : i / num_experts % num_layers;
        size_t expert = r->fortran ? i / num_samples / num_layers : i % num_experts;
        float *load   = &table.weight[(sample * num_layers + layer) * num_experts + expert];
        size_t offset = r->header_end + i * r->item_bytes;
        const char *wrong = npy_load(r, offset, load);
        if (wrong)
            free(table.weight);
        if (wrong && has_samples)
            npy_fail(r, offset, "element [%zu, %zu, %zu] %s", sample, layer, expert, wrong);
        if (wrong)
            npy_fail(r, offset, "element [%zu, %zu] %s", layer, expert, wrong);
        if (expert == 0)
            progress_show("reading number", i, count);
    }
    return table;
}

static loads read_npy(const source *from)
{
    npy_reader r;
    memset(&r, 0, sizeof r);
    r.from = from;
    npy_read_preamble(&r);
    npy_read_dictionary(&r);
    return npy_read_data(&r);
}

/* The format is told by the first byte, so that a file may come from standard input and under any name:
   no text starts with that of .npy, and no CSV with a bracket after white space. */
static loads parse_loads(const source *from)
{
    const char *first = text_begin(from);
    while (is_space(*first))
        first++;
    if (from->size > 0 && from->bytes[0] == NPY_MAGIC[0])
        return read_npy(from);
    return *first == '[' || *first == '{' ? read_json(from) : read_csv(from);
}

static loads read_loads(const char *path)
{
    source from  = read_source(path);
    loads  table = parse_loads(&from);
    free(from.bytes);
    return table;
}

static void free_loads(loads *table)
{
    free(table->weight);
    free(table->step);
}

/* ----------------------------------------------------------------------------------- planning */

/* A load as a part of a larger one: 1 when there is no load, NaN when sums have left float32. */
static double share(double load, double larger)
{
    if (!isfinite(load) || !isfinite(larger))
        return (double)NAN;
    return larger > 0 ? load / larger : 1;
}

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

/* Ends the program with what is wrong with the problem, in the words of the command line. */
static void fail_problem(const eplb_problem *q, const eplb_options *options, const float *weight,
                         eplb_result result)
{
    eplb_diagnosis why;
    int32_t        slot = 0;
    eplb_plan      plan = {&slot, NULL, NULL, NULL, 0, NULL}; /* never written: the scratch is too small */
    (void)eplb_diagnose(q, options, weight, &plan, &slot, 0, &why);
    const char *field  = why.result == result ? why.field : "";
    bool        divide = result == EPLB_ERR_DIVIDE;
    if (divide && strcmp(field, "problem.num_replicas") == 0)
        fail(STATUS_INPUT, "--replicas %d is not a multiple of --gpus %d", (int)q->num_replicas,
             (int)q->num_gpus);
    if (divide && strcmp(field, "problem.num_nodes") == 0)
        fail(STATUS_INPUT, "--gpus %d is not a multiple of --nodes %d", (int)q->num_gpus, (int)q->num_nodes);
    if (divide && strcmp(field, "problem.num_groups") == 0 && q->num_groups % q->num_nodes != 0)
        fail(STATUS_INPUT, "--groups %d is not a multiple of --nodes %d", (int)q->num_groups,
             (int)q->num_nodes);
    if (divide && strcmp(field, "problem.num_groups") == 0)
        fail(STATUS_INPUT, "--groups %d does not divide the %d experts of a layer", (int)q->num_groups,
             (int)q->num_experts);
    if (result == EPLB_ERR_TOO_FEW)
        fail(STATUS_INPUT, "--replicas %d is less than the %d experts of a layer", (int)q->num_replicas,
             (int)q->num_experts);
    if (result == EPLB_ERR_MAX_REPLICAS)
        fail(STATUS_INPUT, "--max-replicas %d leaves some of the %d slots empty with %d experts",
             (int)options->max_replicas, (int)q->num_replicas, (int)q->num_experts);
    fail(STATUS_INPUT, "%s%s%s", field, *field ? ": " : "", eplb_result_name(result));
}

static void check(const eplb_problem *problem, const eplb_options *options, const float *weight,
                  eplb_result result)
{
    if (result != EPLB_OK)
        fail_problem(problem, options, weight, result);
}

static eplb_problem make_problem(const settings *s, const loads *table)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers   = table->num_layers;
    problem.num_experts  = table->num_experts;
    problem.num_replicas = s->replicas;
    problem.num_groups   = s->groups;
    problem.num_nodes    = s->nodes;
    problem.num_gpus     = s->gpus;
    problem.num_samples  = table->num_samples;
    return problem;
}

static eplb_options make_options(const settings *s, int32_t preset)
{
    eplb_options options = EPLB_ZERO_INIT;
    (void)eplb_options_preset(preset, &options); /* arguments name only presets that there are */
    options.policy       = s->policy;
    options.max_replicas = s->max_replicas;
    options.seed         = s->seed;
    options.effort       = s->effort < 0 ? options.effort : s->effort;
    return options;
}

/* What each sample counts for, the newest, which is the last, 1; NULL when all count alike. */
static float *make_sample_weight(const settings *s, int32_t num_samples)
{
    if (s->half_life <= 0)
        return NULL;
    float *weight = (float *)allocate((size_t)num_samples, sizeof(float));
    for (int32_t t = 0; t < num_samples; t++)
        weight[t] = (float)half_to_the((num_samples - 1 - t) / s->half_life);
    return weight;
}

/* What there is without a planner: slot i holds expert i, the spare slots the first experts again. */
static void plan_in_order(int32_t *phy2log, int32_t num_replicas, int32_t num_experts)
{
    for (int32_t slot = 0; slot < num_replicas; slot++)
        phy2log[slot] = slot % num_experts;
}

/* How even one layer is under a plan of this layer alone, phy2log [R]; weight is [T, E]. */
static eplb_layer_report evaluate_layer(const planning *p, const float *weight, int32_t *phy2log,
                                        float *gpu_load, void *scratch)
{
    eplb_problem      one  = p->problem;
    eplb_plan         plan = {phy2log, NULL, NULL, NULL, 0, NULL};
    eplb_layer_report report;
    one.num_layers = 1;
    check(&one, &p->options, weight,
          eplb_evaluate(&one, &p->options, weight, &plan, &report, gpu_load, scratch, p->scratch_bytes));
    return report;
}

static planning make_plan(const settings *s, const loads *table)
{
    planning p;
    memset(&p, 0, sizeof p);
    p.problem               = make_problem(s, table);
    p.options               = make_options(s, s->preset[0]);
    p.sample_weight         = make_sample_weight(s, table->num_samples);
    p.options.sample_weight = p.sample_weight;
    p.first_layer           = s->first_layer;
    p.num_layers            = (s->last_layer < 0 ? table->num_layers : s->last_layer + 1) - s->first_layer;
    if (s->last_layer >= table->num_layers)
        fail(STATUS_INPUT, "--layers %d-%d, but the last layer is %d", (int)s->first_layer,
             (int)s->last_layer, (int)table->num_layers - 1);
    if (s->show >= 0 && (s->show < p.first_layer || s->show >= p.first_layer + p.num_layers))
        fail(STATUS_INPUT, "--show %d, but the layers planned are %d-%d", (int)s->show, (int)p.first_layer,
             (int)(p.first_layer + p.num_layers - 1));
    check(&p.problem, &p.options, table->weight,
          eplb_scratch_size(&p.problem, &p.options, &p.scratch_bytes));

    /* eplb_scratch_size has found that L * R and T * L * E fit. */
    size_t L = (size_t)table->num_layers, E = (size_t)table->num_experts, R = (size_t)s->replicas;
    size_t G = (size_t)s->gpus, T = (size_t)table->num_samples, n = (size_t)p.num_layers;
    void    *scratch  = allocate(p.scratch_bytes, 1);
    int32_t *in_order = (int32_t *)allocate(R, sizeof(int32_t));
    float   *weight   = (float *)allocate(T * E, sizeof(float)); /* one layer's, [T, E] */
    p.plan.phy2log    = (int32_t *)allocate(L * R, sizeof(int32_t));
    p.plan.phyrank    = (int32_t *)allocate(L * R, sizeof(int32_t));
    p.plan.logcnt     = (int32_t *)allocate(L * E, sizeof(int32_t));
    p.result          = (layer_result *)allocate(n, sizeof(layer_result));
    p.gpu_before      = (float *)allocate(n * G, sizeof(float));
    p.gpu_after       = (float *)allocate(n * G, sizeof(float));
    p.list_start      = (int32_t *)allocate(E, sizeof(int32_t));
    p.list            = (int32_t *)allocate(R, sizeof(int32_t));
    plan_in_order(in_order, s->replicas, table->num_experts);

    for (size_t i = 0; i < n; i++) {
        size_t layer = (size_t)p.first_layer + i;
        double begun = now();
        check(&p.problem, &p.options, table->weight,
              eplb_rebalance_layers(&p.problem, &p.options, table->weight, &p.plan, scratch,
                                    p.scratch_bytes, (int32_t)layer, 1));
        p.result[i].microseconds = 1e6 * (now() - begun);
        for (size_t t = 0; t < T; t++)
            memcpy(weight + t * E, table->weight + (t * L + layer) * E, E * sizeof(float));
        p.result[i].before = evaluate_layer(&p, weight, in_order, p.gpu_before + i * G, scratch);
        p.result[i].after =
            evaluate_layer(&p, weight, p.plan.phy2log + layer * R, p.gpu_after + i * G, scratch);
        progress_show("layer", i + 1, n);
    }
    progress_clear();
    free(scratch);
    free(in_order);
    free(weight);
    return p;
}

static void free_planning(planning *p)
{
    free(p->sample_weight);
    free(p->plan.phy2log);
    free(p->plan.phyrank);
    free(p->plan.logcnt);
    free(p->result);
    free(p->gpu_before);
    free(p->gpu_after);
    free(p->list_start);
    free(p->list);
}

/* The policy that EPLB_POLICY_AUTO comes to. */
static const char *policy_used(const eplb_problem *problem, int32_t policy)
{
    if (policy == EPLB_POLICY_AUTO)
        policy = problem->num_groups % problem->num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL
                                                               : EPLB_POLICY_GLOBAL;
    return POLICY_NAMES[policy];
}

/* ---------------------------------------------------------------------------------- replaying */

/* A trace is cut into windows of as many samples from its start. At the end of each but the last a
   plan is made from the samples known by then, and scored on the samples of that window, its own,
   and of the next. Series 0 is the experts in order, the others are the presets asked for. */

#define IN_ORDER "in order"

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

/* Raises scratch_bytes to what these options need for windows and for plans. */
static void need_scratch(replay *r, const eplb_options *options)
{
    eplb_problem problem = r->problem;
    for (int i = 0; i < 2; i++) {
        size_t bytes;
        problem.num_samples = i == 0 ? r->problem.num_samples : r->history;
        check(&problem, options, r->weight, eplb_scratch_size(&problem, options, &bytes));
        r->scratch_bytes = bytes > r->scratch_bytes ? bytes : r->scratch_bytes;
    }
}

static replay make_replay(const settings *s, const loads *table)
{
    replay r;
    memset(&r, 0, sizeof r);
    r.weight              = table->weight;
    r.problem             = make_problem(s, table);
    r.problem.num_samples = s->window;
    r.num_plans           = table->num_samples / s->window - 1;
    if (r.num_plans < 1)
        fail(STATUS_INPUT, "--window %d needs %lld samples, to plan on and to score on; the file has %d",
             (int)s->window, 2 * (long long)s->window, (int)table->num_samples);
    int32_t most_known = r.num_plans * s->window;
    r.history          = s->history ? s->history : s->window;
    r.history          = r.history < most_known ? r.history : most_known;
    r.num_series       = 1 + s->num_presets;
    r.name[0]          = IN_ORDER;
    r.options[0]       = make_options(s, EPLB_PRESET_DEEPSEEK);
    r.scoring          = r.options[0];
    r.scoring.policy   = EPLB_POLICY_GLOBAL;
    need_scratch(&r, &r.options[0]);
    need_scratch(&r, &r.scoring);
    for (int32_t series = 1; series < r.num_series; series++) {
        r.name[series]    = eplb_preset_name(s->preset[series - 1]);
        r.options[series] = make_options(s, s->preset[series - 1]);
        need_scratch(&r, &r.options[series]);
    }

    /* eplb_scratch_size has found that L * R fits. */
    size_t L = (size_t)table->num_layers, R = (size_t)s->replicas, n = (size_t)r.num_plans;
    r.sample_weight = make_sample_weight(s, r.history);
    r.in_order      = (int32_t *)allocate(L * R, sizeof(int32_t));
    r.phy2log       = (int32_t *)allocate(L * R, sizeof(int32_t));
    r.trial         = (trial *)allocate(n * (size_t)r.num_series, sizeof(trial));
    r.bound         = (double *)allocate(n, sizeof(double));
    r.report        = (eplb_layer_report *)allocate(L, sizeof(eplb_layer_report));
    r.scratch       = allocate(r.scratch_bytes, 1);
    for (size_t layer = 0; layer < L; layer++)
        plan_in_order(r.in_order + layer * R, s->replicas, table->num_experts);
    return r;
}

static void free_replay(replay *r)
{
    free(r->sample_weight);
    free(r->in_order);
    free(r->phy2log);
    free(r->trial);
    free(r->bound);
    free(r->report);
    free(r->scratch);
}

static const float *replay_sample(const replay *r, int32_t sample)
{
    return r->weight + (size_t)sample * (size_t)r->problem.num_layers * (size_t)r->problem.num_experts;
}

/* How even a plan is on window i. Also sets *bound, unless NULL, to the least score.most possible under
   these options, which the score itself does not depend on. */
static score score_plan(const replay *r, const eplb_options *options, int32_t i, int32_t *phy2log,
                        double *bound)
{
    const float *weight = replay_sample(r, i * r->problem.num_samples);
    eplb_plan    plan   = {phy2log, NULL, NULL, NULL, 0, NULL};
    score        sum    = {0, 0};
    double       least  = 0;
    check(&r->problem, options, weight,
          eplb_evaluate(&r->problem, options, weight, &plan, r->report, NULL, r->scratch, r->scratch_bytes));
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        sum.mean += (double)r->report[layer].mean_load;
        sum.most += (double)r->report[layer].max_load;
        least += (double)r->report[layer].lower_bound;
    }
    if (bound)
        *bound = least;
    return sum;
}

/* Plans at the end of window i; returns the microseconds that it took. */
static double plan_window(const replay *r, int32_t i, int32_t series)
{
    int32_t      known   = (i + 1) * r->problem.num_samples;
    eplb_problem past    = r->problem;
    eplb_options options = r->options[series];
    eplb_plan    plan    = {r->phy2log, NULL, NULL, NULL, 0, NULL};
    past.num_samples     = known < r->history ? known : r->history;
    const float *weight  = replay_sample(r, known - past.num_samples);
    if (r->sample_weight) /* the last is the newest sample's, however many are known */
        options.sample_weight = r->sample_weight + (r->history - past.num_samples);
    double begun = now();
    check(&past, &options, weight,
          eplb_rebalance(&past, &options, weight, &plan, r->scratch, r->scratch_bytes));
    return 1e6 * (now() - begun);
}

static void play(replay *r)
{
    for (int32_t i = 0; i < r->num_plans; i++) {
        for (int32_t series = 0; series < r->num_series; series++) {
            trial   *t       = &r->trial[(size_t)i * (size_t)r->num_series + (size_t)series];
            int32_t *phy2log = series > 0 ? r->phy2log : r->in_order;
            if (series > 0)
                t->microseconds = plan_window(r, i, series);
            t->own  = score_plan(r, &r->scoring, i, phy2log, NULL);
            t->next = score_plan(r, &r->scoring, i + 1, phy2log, NULL);
        }
        (void)score_plan(r, &r->options[0], i + 1, r->in_order, &r->bound[i]);
        progress_show("window", (size_t)i + 1, (size_t)r->num_plans);
    }
    progress_clear();
}

static const trial *trial_of(const replay *r, int32_t i, int32_t series)
{
    return &r->trial[(size_t)i * (size_t)r->num_series + (size_t)series];
}

/* Loads and bounds are rounded to float32, sums of them may come out above what they cannot exceed. */
static double balancedness_of(double mean, double most)
{
    double part = share(mean, most);
    return part > 1 ? 1 : part;
}

static double balancedness(score s)
{
    return balancedness_of(s.mean, s.most);
}

/* The best balancedness that any plan could have on the next window, were its load constant. */
static double next_bound(const replay *r, int32_t i)
{
    return balancedness_of(trial_of(r, i, 0)->next.mean, r->bound[i]);
}

static double total_bound(const replay *r)
{
    double mean = 0, bound = 0;
    for (int32_t i = 0; i < r->num_plans; i++) {
        mean += trial_of(r, i, 0)->next.mean;
        bound += r->bound[i];
    }
    return balancedness_of(mean, bound);
}

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* A series' loads summed over its windows, and the median of its times. */
static trial total_of_series(const replay *r, int32_t series)
{
    trial   total;
    size_t  n    = (size_t)r->num_plans;
    double *time = (double *)allocate(n, sizeof(double));
    memset(&total, 0, sizeof total);
    for (int32_t i = 0; i < r->num_plans; i++) {
        const trial *t = trial_of(r, i, series);
        total.own.mean += t->own.mean;
        total.own.most += t->own.most;
        total.next.mean += t->next.mean;
        total.next.most += t->next.most;
        time[i] = t->microseconds;
    }
    qsort(time, n, sizeof *time, compare_reals);
    total.microseconds = (time[(n - 1) / 2] + time[n / 2]) / 2;
    free(time);
    return total;
}

/* What the file calls the first sample of the window that plan i was made at the end of. */
static long long first_step(const replay *r, const loads *table, int32_t i)
{
    int32_t sample = i * r->problem.num_samples;
    return table->step ? (long long)table->step[sample] : (long long)sample;
}

/* ----------------------------------------------------------------------------------- printing */

/* Over the layers planned: sums of loads, of slots and of time. */
typedef struct plan_totals {
    double    mean, before, after, bound, microseconds;
    int32_t   max_replicas;
    long long duplicates;
} plan_totals;

static plan_totals total_of_plan(const planning *p)
{
    plan_totals total;
    memset(&total, 0, sizeof total);
    for (int32_t i = 0; i < p->num_layers; i++) {
        const layer_result *r = &p->result[i];
        total.mean += (double)r->after.mean_load;
        total.before += (double)r->before.max_load;
        total.after += (double)r->after.max_load;
        total.bound += (double)r->after.lower_bound;
        total.microseconds += r->microseconds;
        total.duplicates += r->after.num_duplicates;
        if (total.max_replicas < r->after.max_logcnt)
            total.max_replicas = r->after.max_logcnt;
    }
    return total;
}

/* One row a layer and one for all, in which each load is the sum over the layers. */
static void print_table(FILE *out, const planning *p, bool only_total)
{
    static const char ROW[] = "%6s  %7.4f  %7.4f  %7.4f  %7.2f  %12d  %5lld  %9.1f\n";
    plan_totals       total = total_of_plan(p);
    fprintf(out, "%6s  %7s  %7s  %7s  %7s  %12s  %5s  %9s\n", "layer", "before", "after", "bound", "gap %",
            "max replicas", "twice", "time us");
    for (int32_t i = 0; i < p->num_layers && !only_total; i++) {
        const layer_result      *r = &p->result[i];
        const eplb_layer_report *q = &r->after;
        char                     label[16];
        double                   gap = 1 / share((double)q->lower_bound, (double)q->max_load) - 1;
        snprintf(label, sizeof label, "%d", (int)(p->first_layer + i));
        fprintf(out, ROW, label, (double)r->before.balancedness, (double)q->balancedness,
                share((double)q->mean_load, (double)q->lower_bound), 100 * gap, (int)q->max_logcnt,
                (long long)q->num_duplicates, r->microseconds);
    }
    fprintf(out, ROW, "total", share(total.mean, total.before), share(total.mean, total.after),
            share(total.mean, total.bound), 100 * (1 / share(total.bound, total.after) - 1),
            (int)total.max_replicas, total.duplicates, total.microseconds);
}

static void print_problem(FILE *out, const eplb_problem *q, int32_t num_samples)
{
    fprintf(out, "%d layers x %d experts -> %d replicas on %d GPUs, %d each", (int)q->num_layers,
            (int)q->num_experts, (int)q->num_replicas, (int)q->num_gpus,
            (int)(q->num_replicas / q->num_gpus));
    fprintf(out, "; nodes %d, groups %d, samples %d\n", (int)q->num_nodes, (int)q->num_groups,
            (int)num_samples);
}

static void print_half_life(FILE *out, const settings *s)
{
    if (s->half_life > 0)
        fprintf(out, ", half-life %g", s->half_life);
}

static void print_summary(FILE *out, const planning *p, const settings *s)
{
    print_problem(out, &p->problem, p->problem.num_samples);
    fprintf(out, "preset %s, effort %d, %s policy", eplb_preset_name(s->preset[0]), (int)p->options.effort,
            policy_used(&p->problem, p->options.policy));
    print_half_life(out, s);
    fprintf(out, ", seed %llu, %zu bytes of scratch\n\n", (unsigned long long)p->options.seed,
            p->scratch_bytes);
}

#define REPLAY_COLUMN 8 /* of a series at least; a longer name is its own width */

/* Balancedness on the next window, a row a plan and a column a series. */
static void print_windows(FILE *out, const replay *r)
{
    fprintf(out, "balancedness on the next window\n%6s", "window");
    for (int32_t series = 0; series < r->num_series; series++)
        fprintf(out, "  %*s", REPLAY_COLUMN, r->name[series]);
    fprintf(out, "  %6s\n", "bound");
    for (int32_t i = 0; i < r->num_plans; i++) {
        fprintf(out, "%6d", (int)i);
        for (int32_t series = 0; series < r->num_series; series++) {
            int length = (int)strlen(r->name[series]);
            fprintf(out, "  %*.4f", length > REPLAY_COLUMN ? length : REPLAY_COLUMN,
                    balancedness(trial_of(r, i, series)->next));
        }
        fprintf(out, "  %6.4f\n", next_bound(r, i));
    }
    fprintf(out, "\n");
}

static void print_series(FILE *out, const replay *r)
{
    double bound = total_bound(r);
    fprintf(out, "%-13s %8s  %8s  %8s  %11s\n", "all windows", "own", "next", "bound", "time us");
    for (int32_t series = 0; series < r->num_series; series++) {
        trial total = total_of_series(r, series);
        fprintf(out, "%-13s %8.4f  %8.4f  %8.4f  ", r->name[series], balancedness(total.own),
                balancedness(total.next), bound);
        if (series > 0)
            fprintf(out, "%11.1f\n", total.microseconds);
        else
            fprintf(out, "%11s\n", "-");
    }
}

static void print_replay_summary(FILE *out, const replay *r, const settings *s, int32_t num_samples)
{
    int32_t window = r->problem.num_samples, left = num_samples - (r->num_plans + 1) * window;
    print_problem(out, &r->problem, num_samples);
    fprintf(out, "%d windows of %d samples", (int)r->num_plans + 1, (int)window);
    if (left > 0)
        fprintf(out, ", the last %d samples not used", (int)left);
    fprintf(out, "; plans of the last %d samples", (int)r->history);
    print_half_life(out, s);
    fprintf(out, "\n");
    if (s->effort >= 0)
        fprintf(out, "effort %d, ", (int)s->effort);
    fprintf(out, "%s policy, seed %llu\n\n", policy_used(&r->problem, s->policy),
            (unsigned long long)s->seed);
}

/* --------------------------------------------------------------------------------------- bars */

#define BAR_CELLS    36 /* two bars, their numbers and the GPU's come to less than 100 columns */
#define BAR_MAX_ROWS 64 /* with more GPUs a row stands for several */

/* Whether block characters can be shown: the first of these that is set counts, as in setlocale. */
static bool locale_is_utf8(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *value = getenv(NAMES[i]);
        if (value && *value) {
            const char *dot = strchr(value, '.');
            return dot && (strncasecmp(dot, ".utf-8", 6) == 0 || strncasecmp(dot, ".utf8", 5) == 0);
        }
    }
    return false;
}

/* A bar of eighths / 8 cells in a field of BAR_CELLS, with the mean's mark at cell `mark`. */
static void print_bar(FILE *out, int eighths, int mark, bool utf8, bool fill_field)
{
    static const char *const BLOCKS[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    if (!utf8)
        eighths = (eighths + 4) / 8 * 8; /* whole cells */
    int used = (eighths + 7) / 8 > mark ? (eighths + 7) / 8 : mark + 1;
    for (int i = 0; i < (fill_field ? BAR_CELLS : used); i++) {
        int part = eighths - 8 * i;
        part     = part < 0 ? 0 : part > 8 ? 8 : part;
        if (i == mark)
            fputs(utf8 ? "│" : "|", out);
        else
            fputs(utf8 || part == 0 ? BLOCKS[part] : "#", out);
    }
}

static float largest(const float *load, int32_t begin, int32_t end)
{
    float most = load[begin];
    for (int32_t g = begin + 1; g < end; g++)
        most = load[g] > most ? load[g] : most;
    return most;
}

/* The load of each GPU in one layer, before and after. With more than BAR_MAX_ROWS GPUs a row shows
   the most loaded of as many neighbours as it takes. */
static void print_bars(FILE *out, const planning *p, int32_t layer)
{
    int32_t             G     = p->problem.num_gpus;
    int32_t             each  = (G - 1) / BAR_MAX_ROWS + 1; /* GPUs in a row */
    int                 width = each > 1 ? 11 : 5;          /* of the column of GPUs */
    size_t              i     = (size_t)(layer - p->first_layer);
    const layer_result *r     = &p->result[i];
    const float        *load[2] = {p->gpu_before + i * (size_t)G, p->gpu_after + i * (size_t)G};
    double              mean    = (double)r->after.mean_load;
    float               most[2] = {largest(load[0], 0, G), largest(load[1], 0, G)};
    double              full    = (double)(most[0] > most[1] ? most[0] : most[1]);
    double              cells   = full > 0 ? BAR_CELLS / full : 0; /* of a unit of load */
    bool                utf8    = locale_is_utf8();
    if (!isfinite(full)) {
        fprintf(out, "\nlayer %d: its sums of loads leave float32 and cannot be drawn\n", (int)layer);
        return;
    }
    int mark = (int)(mean * cells) < BAR_CELLS ? (int)(mean * cells) : BAR_CELLS - 1;
    fprintf(out, "\nlayer %d, load of each GPU%s; 1.00 is the mean, at the %s\n", (int)layer,
            each > 1 ? ", the largest in each row" : "", utf8 ? "│" : "|");
    fprintf(out, "%*s  before, balancedness %-*.4f  after, balancedness %.4f\n", width, "GPU", BAR_CELLS - 13,
            (double)r->before.balancedness, (double)r->after.balancedness);
    for (int32_t begin = 0, end; begin < G; begin = end) {
        char label[32];
        int  n = snprintf(label, sizeof label, "%d", (int)begin);
        end    = G - begin < each ? G : begin + each;
        if (end - begin > 1)
            snprintf(label + n, sizeof label - (size_t)n, "-%d", (int)end - 1);
        fprintf(out, "%*s", width, label);
        for (int side = 0; side < 2; side++) {
            double here = (double)largest(load[side], begin, end);
            fprintf(out, "  %5.2f ", mean > 0 ? here / mean : 0);
            print_bar(out, (int)(here * cells * 8 + 0.5), mark, utf8, side == 0);
        }
        fprintf(out, "\n");
    }
}

/* ----------------------------------------------------------------------------------- pictures */

/* SVG that stands alone: a white ground of its own, no script, and no font or file from elsewhere.
   Lengths are in pixels from the upper left corner. */

#define PICTURE_WIDTH 1000
#define INK           "#222222"
#define FAINT         "#dddddd"
#define TEXT_SIZE     13
#define TEXT_DROP     4.5 /* of the line that text stands on under the middle of its digits */
#define DIGIT_WIDTH   8 /* no less than that of a digit of TEXT_SIZE in any usual font */

typedef struct box {
    double x, y, width, height;
} box;

static const char *const START = "start", *const MIDDLE = "middle", *const END = "end"; /* of text, at x */

static void svg_text(FILE *out, double x, double y, const char *anchor, const char *format, ...)
    PRINTS(5, 6);
static void svg_text(FILE *out, double x, double y, const char *anchor, const char *format, ...)
{
    va_list args;
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fprintf(out, "</text>\n");
}

static void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *stroke)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, stroke);
}

static void svg_box(FILE *out, box b, const char *style)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" %s/>\n", b.x, b.y, b.width,
            b.height, style);
}

static void svg_begin(FILE *out, int height, const char *title)
{
    fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\"",
            PICTURE_WIDTH, height, PICTURE_WIDTH, height);
    fprintf(out, " font-family=\"sans-serif\" font-size=\"%d\" fill=\"%s\">\n<title>%s</title>\n", TEXT_SIZE,
            INK, title);
    svg_box(out, (box){0, 0, PICTURE_WIDTH, height}, "fill=\"#ffffff\"");
    fprintf(out, "<g font-size=\"20\" font-weight=\"bold\">\n");
    svg_text(out, PICTURE_WIDTH / 2.0, 32, MIDDLE, "%s", title);
    fprintf(out, "</g>\n");
}

static void svg_end(FILE *out)
{
    fprintf(out, "</svg>\n");
}

/* Upright text beside an axis. */
static void svg_side_text(FILE *out, double x, double y, const char *text)
{
    fprintf(out, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", x,
            y, text);
}

/* "58 layers x 256 experts, 288 replicas on 32 GPUs" */
static void print_shape(FILE *out, const eplb_problem *q, int32_t num_layers)
{
    fprintf(out, "%d layer%s × %d experts, %d replicas on %d GPUs", (int)num_layers,
            num_layers == 1 ? "" : "s", (int)q->num_experts, (int)q->num_replicas, (int)q->num_gpus);
}

/* The smallest of 1, 2, 5, 10, 20, .. that goes at most `most` times into the span. */
static int64_t tick_step(int64_t span, int64_t most)
{
    int64_t step = 1;
    for (int i = 0; span / step > most; i++)
        step = i % 3 == 1 ? step / 2 * 5 : step * 2;
    return step;
}

/* ----------------------------------------------------------------------------------- heat map */

/* The load of each GPU in each layer, before and after, as a part of the layer's mean. */

#define HEAT_FULL      2.0 /* times the mean: the last colour, which also stands for more */
#define HEAT_LEVELS    80  /* colours above that of no load; the one half-way is the mean's */
#define HEAT_MAX_CELLS 400 /* in a row or column; beyond, neighbours share one, which shows their largest */
#define HEAT_WIDTH     410.0
#define HEAT_HEIGHT    640.0 /* at most */
#define HEAT_ROW       26.0  /* a layer's height at most */
#define HEAT_GRID      6.0   /* cells of this size on are set apart by lines */
#define HEAT_TOP       100.0
#define LEGEND_WIDTH   320.0

typedef struct heat_map {
    int32_t num_layers, num_gpus;
    int32_t layers_each, gpus_each; /* in a cell */
    int32_t rows, columns;
    double  cell_width, cell_height;
    unsigned char *level;           /* [rows, columns] of the panel being drawn, 0 .. HEAT_LEVELS */
} heat_map;

static heat_map make_heat_map(const planning *p)
{
    heat_map m;
    m.num_layers  = p->num_layers;
    m.num_gpus    = p->problem.num_gpus;
    m.layers_each = (m.num_layers - 1) / HEAT_MAX_CELLS + 1;
    m.gpus_each   = (m.num_gpus - 1) / HEAT_MAX_CELLS + 1;
    m.rows        = (m.num_layers - 1) / m.layers_each + 1;
    m.columns     = (m.num_gpus - 1) / m.gpus_each + 1;
    m.cell_width  = HEAT_WIDTH / m.columns;
    m.cell_height = m.rows * HEAT_ROW < HEAT_HEIGHT ? HEAT_ROW : HEAT_HEIGHT / m.rows;
    m.level       = (unsigned char *)allocate((size_t)m.rows * (size_t)m.columns, 1);
    return m;
}

static void set_levels(const heat_map *m, const planning *p, const float *load)
{
    memset(m->level, 0, (size_t)m->rows * (size_t)m->columns);
    for (int32_t layer = 0; layer < m->num_layers; layer++) {
        unsigned char *row  = m->level + (size_t)(layer / m->layers_each) * (size_t)m->columns;
        double         mean = (double)p->result[layer].after.mean_load;
        for (int32_t g = 0; g < m->num_gpus; g++) {
            double here  = share((double)load[(size_t)layer * (size_t)m->num_gpus + (size_t)g], mean);
            int    level = here < HEAT_FULL ? (int)(here / HEAT_FULL * HEAT_LEVELS + 0.5) : HEAT_LEVELS;
            if (level > row[g / m->gpus_each])
                row[g / m->gpus_each] = (unsigned char)level;
        }
    }
}

/* Blue, grey, red: between five colours those of a level are mixed. */
static void print_heat_colour(FILE *out, int level)
{
    static const int COLOUR[5][3] = {
        {33, 102, 172}, {132, 182, 215}, {242, 242, 242}, {239, 138, 98}, {165, 15, 32}};
    int span = HEAT_LEVELS / 4, at = level < HEAT_LEVELS ? level / span : 3, part = level - at * span;
    fprintf(out, "#");
    for (int i = 0; i < 3; i++)
        fprintf(out, "%02x", (COLOUR[at][i] * (span - part) + COLOUR[at + 1][i] * part) / span);
}

/* A path for each level, of the runs of cells that have it; a unit is a cell. */
static void draw_cells(FILE *out, const heat_map *m, box b)
{
    fprintf(out, "<g transform=\"translate(%.1f %.1f) scale(%.6f %.6f)\" shape-rendering=\"crispEdges\">\n",
            b.x, b.y, m->cell_width, m->cell_height);
    for (int level = 0; level <= HEAT_LEVELS; level++) {
        bool begun = false;
        for (int32_t row = 0; row < m->rows; row++) {
            const unsigned char *at = m->level + (size_t)row * (size_t)m->columns;
            for (int32_t begin = 0, end; begin < m->columns; begin = end) {
                for (end = begin + 1; end < m->columns && at[end] == at[begin];)
                    end++;
                int run = (int)(end - begin);
                if (at[begin] != level)
                    continue;
                if (!begun) {
                    fprintf(out, "<path fill=\"");
                    print_heat_colour(out, level);
                    fprintf(out, "\" d=\"");
                }
                begun = true;
                fprintf(out, "M%d %dh%dv1h-%dz", (int)begin, (int)row, run, run);
            }
        }
        if (begun)
            fprintf(out, "\"/>\n");
    }
    fprintf(out, "</g>\n");
}

static void draw_grid(FILE *out, const heat_map *m, const planning *p, box b)
{
    static const char WHITE[] = "stroke=\"#ffffff\"", DARK[] = "stroke=\"#555555\"";
    int32_t           gpus_per_node = m->num_gpus / p->problem.num_nodes;
    for (int32_t row = 1; row < m->rows && m->cell_height >= HEAT_GRID; row++)
        svg_line(out, b.x, b.y + row * m->cell_height, b.x + b.width, b.y + row * m->cell_height, WHITE);
    for (int32_t column = 1; column < m->columns && m->gpus_each == 1; column++) {
        double x    = b.x + column * m->cell_width;
        bool   node = gpus_per_node > 1 && column % gpus_per_node == 0;
        if (node || m->cell_width >= HEAT_GRID)
            svg_line(out, x, b.y, x, b.y + b.height, node ? DARK : WHITE);
    }
    svg_box(out, b, "fill=\"none\" stroke=\"#555555\"");
}

static void draw_heat_axes(FILE *out, const heat_map *m, const planning *p, box b)
{
    int64_t step = tick_step(m->num_gpus - 1, 8);
    for (int64_t g = 0; g < m->num_gpus; g += step)
        svg_text(out, b.x + ((double)(g / m->gpus_each) + 0.5) * m->cell_width, b.y + b.height + 18, MIDDLE,
                 "%d", (int)g);
    svg_text(out, b.x + b.width / 2, b.y + b.height + 38, MIDDLE, "GPU%s%s",
             m->gpus_each > 1 ? ", the most loaded of neighbours" : "",
             p->problem.num_nodes > 1 && p->problem.num_nodes < m->num_gpus && m->gpus_each == 1
                 ? "; lines between nodes"
                 : "");
    int64_t first = p->first_layer;
    step          = tick_step(m->num_layers - 1, (int64_t)(b.height / (TEXT_SIZE + 5)));
    for (int64_t layer = (first + step - 1) / step * step; layer < first + m->num_layers; layer += step) {
        double row = (double)((layer - first) / m->layers_each) + 0.5;
        svg_text(out, b.x - 6, b.y + row * m->cell_height + TEXT_DROP, END, "%d", (int)layer);
    }
    svg_side_text(out, b.x - 46, b.y + b.height / 2, "layer");
}

static void draw_heat_legend(FILE *out, double y)
{
    static const char *const LABELS[] = {"0", "0.5", "1", "1.5", "≥ 2"};
    double x = (PICTURE_WIDTH - LEGEND_WIDTH) / 2, width = LEGEND_WIDTH / (HEAT_LEVELS + 1);
    fprintf(out, "<g transform=\"translate(%.1f %.1f) scale(%.6f 14)\" shape-rendering=\"crispEdges\">\n",
            x, y, width);
    for (int level = 0; level <= HEAT_LEVELS; level++) {
        fprintf(out, "<path fill=\"");
        print_heat_colour(out, level);
        fprintf(out, "\" d=\"M%d 0h1v1h-1z\"/>\n", level);
    }
    fprintf(out, "</g>\n");
    svg_box(out, (box){x, y, LEGEND_WIDTH, 14}, "fill=\"none\" stroke=\"#555555\"");
    for (int i = 0; i < 5; i++)
        svg_text(out, x + (HEAT_LEVELS / 4 * i + 0.5) * width, y + 30, MIDDLE, "%s", LABELS[i]);
    svg_text(out, PICTURE_WIDTH / 2.0, y + 50, MIDDLE, "load of a GPU / mean of its layer");
}

static void write_heat_map(FILE *out, const planning *p, const settings *s)
{
    heat_map    m     = make_heat_map(p);
    plan_totals total = total_of_plan(p);
    box         b     = {75, HEAT_TOP, HEAT_WIDTH, m.rows * m.cell_height};
    svg_begin(out, (int)(b.y + b.height) + 130, "Load of each GPU in each layer");
    fprintf(out, "<text x=\"%d\" y=\"56\" text-anchor=\"middle\">", PICTURE_WIDTH / 2);
    print_shape(out, &p->problem, p->num_layers);
    fprintf(out, "; preset %s, effort %d, %s policy</text>\n", eplb_preset_name(s->preset[0]),
            (int)p->options.effort, policy_used(&p->problem, p->options.policy));
    for (int side = 0; side < 2; side++) {
        fprintf(out, "<g font-size=\"15\" font-weight=\"bold\">\n");
        svg_text(out, b.x + b.width / 2, b.y - 12, MIDDLE, "%s: balancedness %.4f",
                 side == 0 ? "before, experts in order" : "after",
                 share(total.mean, side == 0 ? total.before : total.after));
        fprintf(out, "</g>\n");
        set_levels(&m, p, side == 0 ? p->gpu_before : p->gpu_after);
        draw_cells(out, &m, b);
        draw_grid(out, &m, p, b);
        draw_heat_axes(out, &m, p, b);
        b.x += HEAT_WIDTH + 80;
    }
    draw_heat_legend(out, b.y + b.height + 60);
    svg_end(out);
    free(m.level);
}

/* -------------------------------------------------------------------------------------- chart */

/* Balancedness on the next window, a line a series, over the windows: the presets on a scale of their
   own, which tells them apart, and below with the experts in order and the bound. */

#define CHART_LEFT   75.0
#define CHART_WIDTH  690.0
#define CHART_TOP    102.0 /* of the upper plot */
#define CHART_UPPER  300.0 /* heights of the plots */
#define CHART_LOWER  220.0
#define CHART_GAP    74.0
#define CHART_MARGIN 12.0  /* from the sides to the first and last point */
#define CHART_MARKED 50    /* points at most that are marked */
#define CHART_LEGEND 24.0  /* a line's height */
#define CHART_UNIT   10000 /* scales are chosen in parts of 1 / CHART_UNIT */
#define CHART_LEAST  100   /* such parts that a scale spans at least */

static const char *const SERIES_COLOURS[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00",
                                             "#56b4e9", "#8c4a2f", "#6a3d9a", "#7a8500", "#d62839",
                                             "#00606b", "#f06bd0"};
enum { NUM_COLOURS = sizeof SERIES_COLOURS / sizeof *SERIES_COLOURS };

typedef struct chart { /* one of the two plots */
    const replay *replay;
    box           plot;
    int32_t       first, last;     /* series shown */
    int64_t       low, high, step; /* of the scale, in parts of 1 / CHART_UNIT */
} chart;

/* Of the window after plan i; the series after the last is the bound. */
static double chart_value(const replay *r, int32_t series, int32_t i)
{
    return series < r->num_series ? balancedness(trial_of(r, i, series)->next) : next_bound(r, i);
}

static chart make_chart(const replay *r, box plot, int32_t first, int32_t last)
{
    chart  c   = {r, plot, first, last, 0, 0, 0};
    double low = 1, high = 0;
    for (int32_t series = first; series <= last; series++) {
        for (int32_t i = 0; i < r->num_plans; i++) {
            double value = chart_value(r, series, i);
            low          = value < low ? value : low;
            high         = value > high ? value : high;
        }
    }
    c.low  = (int64_t)(low * CHART_UNIT);
    c.high = (int64_t)(high * CHART_UNIT) + 1;
    c.high = c.high < CHART_UNIT ? c.high : CHART_UNIT;
    c.low  = c.low < c.high - CHART_LEAST ? c.low : c.high - CHART_LEAST;
    c.low  = c.low > 0 ? c.low : 0;
    c.step = tick_step(c.high - c.low, (int64_t)plot.height / 45);
    c.low  = c.low / c.step * c.step;
    c.high = (c.high + c.step - 1) / c.step * c.step;
    return c;
}

static double chart_x(const chart *c, int32_t i)
{
    double part = c->replay->num_plans > 1 ? (double)i / (c->replay->num_plans - 1) : 0.5;
    return c->plot.x + CHART_MARGIN + part * (c->plot.width - 2 * CHART_MARGIN);
}

static double chart_y(const chart *c, double value)
{
    double part = (value * CHART_UNIT - (double)c->low) / (double)(c->high - c->low);
    return c->plot.y + (1 - part) * c->plot.height;
}

static void draw_chart_axes(FILE *out, const chart *c, const loads *table)
{
    const replay *r        = c->replay;
    double        bottom   = c->plot.y + c->plot.height;
    int           decimals = 1, widest = 0;
    for (int64_t step = c->step; step % (CHART_UNIT / 10) != 0; step *= 10)
        decimals++;
    for (int64_t at = c->low; at <= c->high; at += c->step) {
        double value = (double)at / CHART_UNIT, y = chart_y(c, value);
        svg_line(out, c->plot.x, y, c->plot.x + c->plot.width, y, "stroke=\"" FAINT "\"");
        svg_text(out, c->plot.x - 8, y + TEXT_DROP, END, "%.*f", decimals, value);
    }
    for (int32_t i = 0; i < r->num_plans; i++) {
        int width = snprintf(NULL, 0, "%lld", first_step(r, table, i));
        widest    = width > widest ? width : widest;
    }
    int64_t step = tick_step(r->num_plans - 1, (int64_t)c->plot.width / (widest * DIGIT_WIDTH + 30));
    for (int64_t i = 0; i < r->num_plans; i += step) {
        double x = chart_x(c, (int32_t)i);
        svg_line(out, x, bottom, x, bottom + 5, "stroke=\"" INK "\"");
        svg_text(out, x, bottom + 20, MIDDLE, "%lld", first_step(r, table, (int32_t)i));
    }
    svg_line(out, c->plot.x, bottom, c->plot.x + c->plot.width, bottom, "stroke=\"" INK "\"");
    svg_side_text(out, c->plot.x - 58, c->plot.y + c->plot.height / 2, "balancedness");
}

/* How a series is drawn: the presets in colour, what they lie between dashed. */
static void print_stroke(FILE *out, const replay *r, int32_t series)
{
    fprintf(out, "fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" ");
    if (series == 0 || series == r->num_series)
        fprintf(out, "stroke=\"%s\" stroke-dasharray=\"%s\"", series == 0 ? "#888888" : "#222222",
                series == 0 ? "7 5" : "2 4");
    else
        fprintf(out, "stroke=\"%s\"", SERIES_COLOURS[(series - 1) % NUM_COLOURS]);
}

static void draw_series(FILE *out, const chart *c, int32_t series)
{
    const replay *r = c->replay;
    fprintf(out, "<g ");
    print_stroke(out, r, series);
    fprintf(out, ">\n<polyline points=\"");
    for (int32_t i = 0; i < r->num_plans; i++)
        fprintf(out, "%s%.1f,%.1f", i ? " " : "", chart_x(c, i), chart_y(c, chart_value(r, series, i)));
    fprintf(out, "\"/>\n");
    for (int32_t i = 0; i < r->num_plans && r->num_plans <= CHART_MARKED; i++)
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" stroke-dasharray=\"none\"/>\n", chart_x(c, i),
                chart_y(c, chart_value(r, series, i)));
    fprintf(out, "</g>\n");
}

/* The bound, the presets, the experts in order: from the top as they lie in the plot, as a rule. */
static void draw_chart_legend(FILE *out, const replay *r)
{
    double x = CHART_LEFT + CHART_WIDTH + 22, y = CHART_TOP + 8;
    svg_text(out, PICTURE_WIDTH - 14, y, END, "all windows");
    for (int32_t i = 0; i <= r->num_series; i++) {
        int32_t series = i > 0 && i < r->num_series ? i : r->num_series - i;
        bool    bound  = series == r->num_series;
        y += CHART_LEGEND;
        fprintf(out, "<path d=\"M%.1f %.1fh30\" ", x, y - TEXT_DROP);
        print_stroke(out, r, series);
        fprintf(out, "/>\n");
        svg_text(out, x + 38, y, START, "%s", bound ? "bound" : r->name[series]);
        svg_text(out, PICTURE_WIDTH - 14, y, END, "%.4f",
                 bound ? total_bound(r) : balancedness(total_of_series(r, series).next));
    }
}

static void write_chart(FILE *out, const replay *r, const settings *s, const loads *table)
{
    box   upper    = {CHART_LEFT, CHART_TOP, CHART_WIDTH, CHART_UPPER};
    box   lower    = {CHART_LEFT, CHART_TOP + CHART_UPPER + CHART_GAP, CHART_WIDTH, CHART_LOWER};
    chart plots[2] = {make_chart(r, upper, 1, r->num_series - 1), make_chart(r, lower, 0, r->num_series)};
    int   bottom   = (int)(lower.y + lower.height);
    svg_begin(out, bottom + 60, "Balancedness of plans on the next window");
    fprintf(out, "<text x=\"%d\" y=\"56\" text-anchor=\"middle\">", PICTURE_WIDTH / 2);
    print_shape(out, &r->problem, r->problem.num_layers);
    fprintf(out, "; windows of %d sample%s, plans of the last %d", (int)r->problem.num_samples,
            r->problem.num_samples == 1 ? "" : "s", (int)r->history);
    if (s->half_life > 0)
        fprintf(out, ", half-life %g", s->half_life);
    fprintf(out, "</text>\n");
    for (int i = 0; i < 2; i++) {
        fprintf(out, "<g font-size=\"15\" font-weight=\"bold\">\n");
        svg_text(out, CHART_LEFT, plots[i].plot.y - 16, START, "%s",
                 i == 0 ? "Presets" : "Beside the bound and the experts in order");
        fprintf(out, "</g>\n");
        draw_chart_axes(out, &plots[i], table);
        for (int32_t series = plots[i].last; series >= plots[i].first; series--)
            draw_series(out, &plots[i], series); /* of equal lines the first preset's shows */
    }
    svg_text(out, CHART_LEFT + CHART_WIDTH / 2, bottom + 42, MIDDLE,
             "first step of the window after which the plan was made");
    draw_chart_legend(out, r);
    svg_end(out);
}

/* ------------------------------------------------------------------------------------ writing */

static void write_list(FILE *out, const int32_t *value, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        fprintf(out, "%s%d", i ? "," : "[", (int)value[i]);
    fprintf(out, "]");
}

/* JSON has no infinity: sums of the very largest loads are null. */
static void write_real(FILE *out, const char *key, float value)
{
    if (isfinite(value))
        fprintf(out, ",\"%s\":%.9g", key, (double)value);
    else
        fprintf(out, ",\"%s\":null", key);
}

/* The slots of each expert by rank. They are gathered in one array, an expert's from list_start on. */
static void write_log2phy(FILE *out, const planning *p, const int32_t *phy2log, const int32_t *phyrank,
                          const int32_t *logcnt)
{
    int32_t start = 0;
    for (int32_t e = 0; e < p->problem.num_experts; e++) {
        p->list_start[e] = start;
        start += logcnt[e];
    }
    for (int32_t i = 0; i < p->problem.num_replicas; i++)
        p->list[p->list_start[phy2log[i]] + phyrank[i]] = i;
    for (int32_t e = 0; e < p->problem.num_experts; e++) {
        fprintf(out, "%s", e ? "," : "[");
        write_list(out, p->list + p->list_start[e], logcnt[e]);
    }
    fprintf(out, "]");
}

static void write_json_layer(FILE *out, const planning *p, int32_t i)
{
    const eplb_problem *q       = &p->problem;
    const layer_result *r       = &p->result[i];
    size_t              layer   = (size_t)(p->first_layer + i);
    const int32_t      *phy2log = p->plan.phy2log + layer * (size_t)q->num_replicas;
    const int32_t      *phyrank = p->plan.phyrank + layer * (size_t)q->num_replicas;
    const int32_t      *logcnt  = p->plan.logcnt + layer * (size_t)q->num_experts;
    fprintf(out, "{\"layer\":%zu", layer);
    write_real(out, "balancedness_before", r->before.balancedness);
    write_real(out, "balancedness", r->after.balancedness);
    write_real(out, "max_load", r->after.max_load);
    write_real(out, "mean_load", r->after.mean_load);
    write_real(out, "lower_bound", r->after.lower_bound);
    fprintf(out, ",\"duplicates\":%d", (int)r->after.num_duplicates);
    fprintf(out, ",\"phy2log\":");
    write_list(out, phy2log, q->num_replicas);
    fprintf(out, ",\"phyrank\":");
    write_list(out, phyrank, q->num_replicas);
    fprintf(out, ",\"logcnt\":");
    write_list(out, logcnt, q->num_experts);
    fprintf(out, ",\"log2phy\":");
    write_log2phy(out, p, phy2log, phyrank, logcnt);
    fprintf(out, "}");
}

/* A layer stands on one line, so that plans can be compared with diff. */
static void write_json(FILE *out, const planning *p, const settings *s)
{
    const eplb_problem *q    = &p->problem;
    const char         *mark = p->options.seed > UINT64_C(1) << 53 ? "\"" : ""; /* JSON numbers are doubles */
    fprintf(out, "{\"format\":\"eplb-plan\",\"version\":1,\"library\":\"%s\",\"plan_version\":%d,\n",
            EPLB_VERSION_STRING, EPLB_PLAN_VERSION);
    fprintf(out, "\"problem\":{\"num_layers\":%d,\"num_experts\":%d,\"num_replicas\":%d,\"num_groups\":%d,",
            (int)q->num_layers, (int)q->num_experts, (int)q->num_replicas, (int)q->num_groups);
    fprintf(out, "\"num_nodes\":%d,\"num_gpus\":%d,\"num_samples\":%d},\n", (int)q->num_nodes,
            (int)q->num_gpus, (int)q->num_samples);
    fprintf(out, "\"options\":{\"preset\":\"%s\",\"policy\":\"%s\",\"max_replicas\":%d,",
            eplb_preset_name(s->preset[0]), policy_used(q, p->options.policy), (int)p->options.max_replicas);
    fprintf(out, "\"effort\":%d,\"half_life\":%.17g,\"seed\":%s%llu%s},\n", (int)p->options.effort,
            s->half_life, mark, (unsigned long long)p->options.seed, mark);
    fprintf(out, "\"layers\":[\n");
    for (int32_t i = 0; i < p->num_layers; i++) {
        write_json_layer(out, p, i);
        fprintf(out, "%s\n", i + 1 < p->num_layers ? "," : "");
    }
    fprintf(out, "]}\n");
}

static void write_csv(FILE *out, const planning *p)
{
    int32_t R = p->problem.num_replicas, slots_per_gpu = R / p->problem.num_gpus;
    int32_t gpus_per_node = p->problem.num_gpus / p->problem.num_nodes;
    fprintf(out, "layer,slot,node,gpu,expert,replica\n");
    for (int32_t layer = p->first_layer; layer < p->first_layer + p->num_layers; layer++) {
        for (int32_t slot = 0; slot < R; slot++) {
            size_t  at  = (size_t)layer * (size_t)R + (size_t)slot;
            int32_t gpu = slot / slots_per_gpu;
            fprintf(out, "%d,%d,%d,%d,%d,%d\n", (int)layer, (int)slot, (int)(gpu / gpus_per_node), (int)gpu,
                    (int)p->plan.phy2log[at], (int)p->plan.phyrank[at]);
        }
    }
}

/* A row a plan: of each series at the end of each window but the last. */
static void write_replay_csv(FILE *out, const replay *r, const loads *table)
{
    fprintf(out, "window,first_step,preset,own,next,bound,microseconds\n");
    for (int32_t i = 0; i < r->num_plans; i++) {
        for (int32_t series = 0; series < r->num_series; series++) {
            const trial *t = trial_of(r, i, series);
            fprintf(out, "%d,%lld,%s,%.9g,%.9g,%.9g,%.1f\n", (int)i, first_step(r, table, i), r->name[series],
                    balancedness(t->own), balancedness(t->next), next_bound(r, i), t->microseconds);
        }
    }
}

typedef struct output { /* a file that appears whole or not at all */
    const char *path;      /* as given; NULL: not wanted */
    FILE       *file;      /* NULL when not open */
    char       *target;    /* path with links followed */
    char       *temporary; /* beside target, takes its name in the end; NULL when written in place */
    int         error;     /* errno of what failed first, 0 = nothing */
} output;

static bool to_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static bool output_failed(output *o)
{
    o->error = errno ? errno : EIO;
    return false;
}

/* What is there already and no regular file, such as a pipe or /dev/null, is written in place. */
static bool output_open(output *o)
{
    struct stat about;
    if (!o->path || to_stdout(o->path)) {
        o->file = o->path ? stdout : NULL;
        return true;
    }
    o->target   = realpath(o->path, NULL);
    bool exists = o->target && stat(o->target, &about) == 0;
    if (!o->target && !(o->target = strdup(o->path)))
        return output_failed(o);
    if (exists && !S_ISREG(about.st_mode)) {
        o->file = fopen(o->target, "wb");
        return o->file ? true : output_failed(o);
    }
    if (exists && access(o->target, W_OK) != 0)
        return output_failed(o);
    size_t room      = strlen(o->target) + 32;
    char  *temporary = (char *)malloc(room);
    if (!temporary)
        return output_failed(o);
    snprintf(temporary, room, "%s.%ld.tmp", o->target, (long)getpid());
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file < 0) {
        free(temporary);
        return output_failed(o);
    }
    o->temporary = temporary; /* ours from here on, to rename or remove */
    if (exists)
        (void)fchmod(file, about.st_mode & 07777);
    o->file = fdopen(file, "wb");
    return o->file ? true : output_failed(o);
}

static bool output_close(output *o)
{
    if (!o->file || o->file == stdout) /* main flushes standard output */
        return true;
    bool written = fflush(o->file) == 0 && !ferror(o->file);
    if (!written)
        (void)output_failed(o);
    bool closed = fclose(o->file) == 0;
    o->file     = NULL;
    return written && (closed || output_failed(o));
}

static bool output_commit(output *o)
{
    if (o->temporary && rename(o->temporary, o->target) != 0)
        return output_failed(o);
    free(o->temporary);
    o->temporary = NULL;
    return true;
}

static void output_discard(output *o)
{
    (void)output_close(o);
    if (o->temporary)
        unlink(o->temporary);
    free(o->temporary);
    free(o->target);
}

static bool outputs_open(output *o, int count)
{
    for (int i = 0; i < count; i++) {
        if (!output_open(&o[i]))
            return false;
    }
    return true;
}

/* All files are complete beside their targets before the first of them takes its name. Ends the
   program when one could not be opened or written. */
static void outputs_close(output *o, int count, bool ok)
{
    for (int i = 0; i < count && ok; i++)
        ok = output_close(&o[i]);
    for (int i = 0; i < count && ok; i++)
        ok = output_commit(&o[i]);
    int wrong = 0;
    while (wrong < count - 1 && !o[wrong].error)
        wrong++;
    output failed = o[wrong];
    for (int i = 0; i < count; i++)
        output_discard(&o[i]);
    if (!ok)
        fail(STATUS_OUTPUT, "%s: %s", failed.path, strerror(failed.error));
}

static void write_plan(const planning *p, const settings *s)
{
    output file[3] = {
        {s->json, NULL, NULL, NULL, 0}, {s->csv, NULL, NULL, NULL, 0}, {s->svg, NULL, NULL, NULL, 0}};
    bool ok = outputs_open(file, 3);
    if (ok && s->json)
        write_json(file[0].file, p, s);
    if (ok && s->csv)
        write_csv(file[1].file, p);
    if (ok && s->svg)
        write_heat_map(file[2].file, p, s);
    outputs_close(file, 3, ok);
}

static void write_replay(const replay *r, const settings *s, const loads *table)
{
    output file[2] = {{s->csv, NULL, NULL, NULL, 0}, {s->svg, NULL, NULL, NULL, 0}};
    bool   ok      = outputs_open(file, 2);
    if (ok && s->csv)
        write_replay_csv(file[0].file, r, table);
    if (ok && s->svg)
        write_chart(file[1].file, r, s, table);
    outputs_close(file, 2, ok);
}

/* ----------------------------------------------------------------------------------- commands */

/* Where tables go: a plan or picture on standard output stands alone. */
static FILE *table_output(const settings *s)
{
    return to_stdout(s->json) || to_stdout(s->csv) || to_stdout(s->svg) ? stderr : stdout;
}

static int run_plan(arguments *a)
{
    settings s     = parse_arguments(a, "plan", parse_plan_option);
    loads    table = read_loads(s.input);
    planning p     = make_plan(&s, &table);
    FILE    *out   = table_output(&s);
    write_plan(&p, &s);
    if (!s.quiet)
        print_summary(out, &p, &s);
    print_table(out, &p, s.quiet);
    if (s.show >= 0)
        print_bars(out, &p, s.show);
    free_planning(&p);
    free_loads(&table);
    return STATUS_OK;
}

static int run_replay(arguments *a)
{
    settings s     = parse_arguments(a, "replay", parse_replay_option);
    loads    table = read_loads(s.input);
    replay   r     = make_replay(&s, &table);
    FILE    *out   = table_output(&s);
    play(&r);
    write_replay(&r, &s, &table);
    if (!s.quiet) {
        print_replay_summary(out, &r, &s, table.num_samples);
        print_windows(out, &r);
    }
    print_series(out, &r);
    free_replay(&r);
    free_loads(&table);
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
        return run_plan(a);
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
