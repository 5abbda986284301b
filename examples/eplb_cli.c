/* eplb_cli.c - the program `eplb`: plans expert placement for loads in a file.

   eplb plan LOADS --replicas R --gpus G [...]    see eplb --help

   Loads come as CSV or NumPy .npy, from a file or standard input. The whole file is read and
   checked before anything is planned, and everything is planned before anything is written: a
   wrong file or option is answered by one line on standard error and leaves no output behind.

   CONTENTS
     Progress, errors, numbers, arguments, source, CSV, NPY, planning, printing, bars, writing,
     commands

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
#else
#define ENDS_PROGRAM(format_at, args_at)
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

/* Decimal digits that fill begin .. end; false when they do not or the value leaves uint64. */
static bool parse_digits(const char *begin, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    if (begin == end)
        return false;
    for (; begin < end; begin++) {
        if (*begin < '0' || *begin > '9')
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

/* ---------------------------------------------------------------------------------- arguments */

typedef struct arguments { /* what main was given; `at` is the one looked at */
    int    count;
    char **text;
    int    at;
} arguments;

typedef struct settings { /* what eplb plan was asked for */
    const char *input;
    const char *json, *csv;              /* output paths, NULL = none */
    int32_t     replicas, gpus, nodes, groups, max_replicas;
    int32_t     policy, preset;
    uint64_t    seed;
    int32_t     first_layer, last_layer; /* last -1: all */
    int32_t     show;                    /* layer to draw, -1: none */
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

static int32_t parse_preset(const char *text)
{
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        if (strcmp(text, eplb_preset_name(preset)) == 0)
            return preset;
    }
    fail(STATUS_INPUT, "there is no preset '%s'; try 'eplb presets'", text);
}

static settings parse_plan_arguments(arguments *a)
{
    settings    s             = {NULL, NULL, NULL, 0, 0, 1, 1, 0, 0, 0, 0, 0, -1, -1, false};
    bool        options_ended = false;
    const char *value;
    for (; a->at < a->count; a->at++) {
        const char *text = a->text[a->at];
        if (options_ended || text[0] != '-' || strcmp(text, "-") == 0) {
            if (s.input)
                fail(STATUS_INPUT, "one file of loads at a time: '%s' or '%s'", s.input, text);
            s.input = text;
        } else if (strcmp(text, "--") == 0) {
            options_ended = true;
        } else if (strcmp(text, "--quiet") == 0) {
            s.quiet = true;
        } else if ((value = option_value(a, "--replicas"))) {
            s.replicas = parse_count("--replicas", value, 1);
        } else if ((value = option_value(a, "--gpus"))) {
            s.gpus = parse_count("--gpus", value, 1);
        } else if ((value = option_value(a, "--nodes"))) {
            s.nodes = parse_count("--nodes", value, 1);
        } else if ((value = option_value(a, "--groups"))) {
            s.groups = parse_count("--groups", value, 1);
        } else if ((value = option_value(a, "--max-replicas"))) {
            s.max_replicas = parse_count("--max-replicas", value, 0);
        } else if ((value = option_value(a, "--policy"))) {
            s.policy = parse_policy(value);
        } else if ((value = option_value(a, "--preset"))) {
            s.preset = parse_preset(value);
        } else if ((value = option_value(a, "--seed"))) {
            s.seed = parse_seed(value);
        } else if ((value = option_value(a, "--layers"))) {
            parse_layers(value, &s.first_layer, &s.last_layer);
        } else if ((value = option_value(a, "--show"))) {
            s.show = parse_count("--show", value, 0);
        } else if ((value = option_value(a, "--json"))) {
            s.json = value;
        } else if ((value = option_value(a, "--csv"))) {
            s.csv = value;
        } else {
            fail(STATUS_INPUT, "unknown option '%s'; try 'eplb --help'", text);
        }
    }
    if (!s.input)
        fail(STATUS_INPUT, "plan needs a file of loads, or - for standard input; try 'eplb --help'");
    if (!s.replicas || !s.gpus)
        fail(STATUS_INPUT, "plan needs %s; try 'eplb --help'", s.replicas ? "--gpus" : "--replicas");
    if (s.json && s.csv && strcmp(s.json, s.csv) == 0)
        fail(STATUS_INPUT, "--json and --csv cannot both be '%s'", s.json);
    return s;
}

/* ------------------------------------------------------------------------------------- source */

typedef struct source { /* a file read as a whole */
    const char *name;   /* for messages */
    char       *bytes;  /* size of them and a 0, so that number parsing stops */
    size_t      size;
} source;

typedef struct loads {
    int32_t num_samples, num_layers, num_experts;
    float  *weight; /* [T, L, E], finite, >= 0 */
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
    const source *from;
    const char   *next_line;            /* where the line after this one starts */
    const char   *line_begin, *line_end;
    const char   *next_field;           /* NULL when the line has no more */
    size_t        line;                 /* 1-based */
    bool          is_trace;
    size_t        num_experts;          /* loads in a row; 0 until known */
    csv_row      *row;
    size_t        num_rows, rows_room;
    float        *value;                /* [rows, E] */
    size_t        num_values, values_room;
} csv_reader;

typedef struct csv_field { /* without the blanks around it */
    const char *begin, *end;
} csv_field;

static void csv_fail(const csv_reader *r, size_t line, const char *at, const char *format, ...)
    ENDS_PROGRAM(4, 5);
static void csv_fail(const csv_reader *r, size_t line, const char *at, const char *format, ...)
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

/* Goes to the next line that is neither blank nor a comment; false at the end of the file. */
static bool csv_read_line(csv_reader *r)
{
    const char *file_end = r->from->bytes + r->from->size;
    while (r->next_line < file_end) {
        const char *newline = (const char *)memchr(r->next_line, '\n', (size_t)(file_end - r->next_line));
        r->line_begin       = r->next_line;
        r->line_end         = newline ? newline : file_end;
        r->next_line        = newline ? newline + 1 : file_end;
        r->line++;
        while (r->line_end > r->line_begin && is_blank(r->line_end[-1]))
            r->line_end--;
        r->next_field = r->line_begin;
        while (r->next_field < r->line_end && is_blank(*r->next_field))
            r->next_field++;
        if (r->next_field < r->line_end && *r->next_field != '#')
            return true;
    }
    return false;
}

static bool csv_read_field(csv_reader *r, csv_field *field)
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

static bool field_is(const csv_field *field, const char *word)
{
    size_t n = (size_t)(field->end - field->begin);
    return n == strlen(word) && memcmp(field->begin, word, n) == 0;
}

/* What C and other programs write for numbers that are not finite. */
static bool field_is_not_finite(const csv_field *field)
{
    const char *begin = field->begin;
    if (begin < field->end && (*begin == '-' || *begin == '+'))
        begin++;
    size_t n = (size_t)(field->end - begin);
    return (n == 3 && strncasecmp(begin, "nan", 3) == 0) || (n == 3 && strncasecmp(begin, "inf", 3) == 0) ||
           (n == 8 && strncasecmp(begin, "infinity", 8) == 0);
}

static bool field_is_name(const csv_field *field)
{
    char c = field->begin < field->end ? *field->begin : '0';
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '"') &&
           !field_is_not_finite(field);
}

/* strtof knows more than decimal numbers, so what it is given is looked at first. It stops at the
   comma, the blank or the 0 after the field; the program leaves the locale at "C". */
static float csv_load(const csv_reader *r, const csv_field *field)
{
    bool decimal = field->begin < field->end;
    for (const char *c = field->begin; c < field->end; c++)
        decimal = decimal && ((*c >= '0' && *c <= '9') || *c == '+' || *c == '-' || *c == '.' || *c == 'e' ||
                              *c == 'E');
    char       *stop  = NULL;
    float       load  = decimal ? strtof(field->begin, &stop) : 0;
    const char *wrong = NULL;
    if (field->begin == field->end)
        csv_fail(r, r->line, field->begin, "a load is missing here");
    else if (field_is_not_finite(field))
        wrong = "is not a finite load";
    else if (stop != field->end)
        wrong = "is not a number";
    else if (load < 0)
        wrong = "is a negative load";
    else if (isinf(load))
        wrong = "is beyond the range of float32";
    if (wrong)
        csv_fail(r, r->line, field->begin, "'%s' %s", quoted(field->begin, field->end).text, wrong);
    return load;
}

/* Looks at the first row: step,layer,... makes a trace, other names are skipped, and numbers are
   left for csv_read_row. Returns whether it was a row of names. */
static bool csv_read_header(csv_reader *r)
{
    csv_field   field;
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
        csv_fail(r, r->line, r->line_end, "no experts after step,layer");
    if (!r->is_trace && all_names && (has_step || has_layer)) /* ids must not be taken for loads */
        csv_fail(r, r->line, begin, "a header with step or layer must start with step,layer");
    r->num_experts = r->is_trace ? num_fields - 2 : all_names ? num_fields : 0;
    r->next_field  = begin;
    return r->is_trace || all_names;
}

static int64_t csv_integer(csv_reader *r, const char *what, int64_t lowest, int64_t highest)
{
    csv_field field;
    int64_t   value = 0;
    if (!csv_read_field(r, &field))
        csv_fail(r, r->line, r->line_end, "the row has no %s", what);
    if (!parse_integer(field.begin, field.end, &value) || value < lowest || value > highest)
        csv_fail(r, r->line, field.begin, "'%s' is not a %s", quoted(field.begin, field.end).text, what);
    return value;
}

static void csv_read_row(csv_reader *r)
{
    csv_row   row = {0, 0, r->line, r->num_rows};
    csv_field field;
    size_t    num_loads = 0;
    if (r->is_trace) {
        row.step  = csv_integer(r, "step", -INT64_MAX, INT64_MAX);
        row.layer = (int32_t)csv_integer(r, "layer", 0, INT32_MAX - 1);
    }
    while (csv_read_field(r, &field)) {
        if (r->num_experts && num_loads == r->num_experts)
            csv_fail(r, r->line, field.begin, "more than the %zu loads of the rows above", r->num_experts);
        if (r->num_values == r->values_room)
            r->value = (float *)grow(r->value, &r->values_room, sizeof *r->value);
        r->value[r->num_values++] = csv_load(r, &field);
        num_loads++;
    }
    if (r->num_experts && num_loads < r->num_experts)
        csv_fail(r, r->line, r->line_end, "only %zu loads; the rows above have %zu", num_loads,
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
    size_t num_layers = 0;
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
            csv_fail(r, row->line, NULL, "step %lld, layer %d is in line %zu already", (long long)row->step,
                     (int)row->layer, last->line);
        if (due > 0 && (!row || row->step != last->step))
            csv_fail(r, last->line, NULL, "step %lld has no row for layer %zu", (long long)last->step, due);
        if (row && (size_t)row->layer != due)
            csv_fail(r, row->line, NULL, "step %lld has no row for layer %zu", (long long)row->step, due);
    }
    return num_layers;
}

static loads read_csv(const source *from)
{
    static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";
    csv_reader        r;
    memset(&r, 0, sizeof r);
    r.from      = from;
    r.next_line = from->bytes;
    if (from->size >= 3 && memcmp(from->bytes, BYTE_ORDER_MARK, 3) == 0)
        r.next_line += 3;
    r.line_begin = r.next_line;
    if (csv_read_line(&r) && !csv_read_header(&r))
        csv_read_row(&r);
    while (csv_read_line(&r)) {
        csv_read_row(&r);
        progress_show("reading byte", (size_t)(r.next_line - from->bytes), from->size);
    }
    if (r.num_rows == 0)
        csv_fail(&r, r.line ? r.line : 1, NULL, "no row of loads");
    size_t num_layers = r.is_trace ? csv_order_trace(&r) : r.num_rows;
    if (r.num_experts > INT32_MAX || num_layers > INT32_MAX || r.num_rows / num_layers > INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", from->name);

    loads table = {(int32_t)(r.num_rows / num_layers), (int32_t)num_layers, (int32_t)r.num_experts, NULL};
    table.weight = (float *)allocate(r.num_values, sizeof(float));
    for (size_t i = 0; i < r.num_rows; i++)
        memcpy(table.weight + i * r.num_experts, r.value + r.row[i].index * r.num_experts,
               r.num_experts * sizeof(float));
    free(r.value);
    free(r.row);
    return table;
}

/* ---------------------------------------------------------------------------------------- NPY */

/* NumPy's format: magic, version, the header's length, a Python dictionary, the data. */

static const char NPY_MAGIC[] = "\x93NUMPY";
enum { NPY_MAGIC_BYTES = 6, NPY_MAX_DIMS = 3 };

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
    int64_t       dim[NPY_MAX_DIMS];
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
    while (r->at < r->header_end && (is_blank(r->from->bytes[r->at]) || r->from->bytes[r->at] == '\n'))
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
    char           word[16];
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
        while (r->at < r->header_end && r->from->bytes[r->at] >= '0' && r->from->bytes[r->at] <= '9')
            r->at++;
        int64_t dim = 0;
        if (!parse_integer(r->from->bytes + digits, r->from->bytes + r->at, &dim) || dim < 1 ||
            dim > INT32_MAX)
            npy_fail(r, digits, "a dimension should be a whole number from 1 to 2147483647");
        if (r->num_dims == NPY_MAX_DIMS)
            npy_fail(r, begin, "the shape should be [L, E] or [T, L, E], not of more dimensions");
        r->dim[r->num_dims++] = dim;
        if (!npy_accept(r, ',')) {
            npy_expect(r, ')');
            break;
        }
    }
    if (r->num_dims < 2)
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

    loads table  = {(int32_t)num_samples, (int32_t)num_layers, (int32_t)num_experts, NULL};
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

/* An .npy file is known by its first byte, which no text starts with, so it may come from standard
   input and under any name. */
static loads read_loads(const char *path)
{
    source from   = read_source(path);
    bool   is_npy = from.size > 0 && from.bytes[0] == NPY_MAGIC[0];
    loads  table  = is_npy ? read_npy(&from) : read_csv(&from);
    free(from.bytes);
    return table;
}

/* ----------------------------------------------------------------------------------- planning */

typedef struct layer_result {
    eplb_layer_report before, after; /* experts in order; the plan */
    double            microseconds;  /* of planning */
} layer_result;

typedef struct planning { /* a problem, its plan and what there is to say of it */
    eplb_problem  problem;
    eplb_options  options;
    int32_t       first_layer, num_layers; /* what was planned */
    eplb_plan     plan;                    /* whole arrays, filled for these layers */
    layer_result *result;                  /* [num_layers] */
    float        *gpu_before, *gpu_after;  /* [num_layers, G] */
    int32_t      *list_start, *list;       /* [E], [R] for write_log2phy */
    size_t        scratch_bytes;
} planning;

/* Ends the program with what is wrong with the problem, in the words of the command line. */
static void fail_problem(const planning *p, const loads *table, eplb_result result)
{
    const eplb_problem *q = &p->problem;
    eplb_diagnosis      why;
    int32_t             slot = 0;
    eplb_plan           plan = {&slot, NULL, NULL, NULL, 0}; /* never written: the scratch is too small */
    (void)eplb_diagnose(q, &p->options, table->weight, &plan, &slot, 0, &why);
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
             (int)p->options.max_replicas, (int)q->num_replicas, (int)q->num_experts);
    fail(STATUS_INPUT, "%s%s%s", field, *field ? ": " : "", eplb_result_name(result));
}

static void check(const planning *p, const loads *table, eplb_result result)
{
    if (result != EPLB_OK)
        fail_problem(p, table, result);
}

/* What there is without a planner: slot i holds expert i, the spare slots the first experts again. */
static void plan_in_order(int32_t *phy2log, int32_t num_replicas, int32_t num_experts)
{
    for (int32_t slot = 0; slot < num_replicas; slot++)
        phy2log[slot] = slot % num_experts;
}

/* How even one layer is under a plan of this layer alone, phy2log [R]; weight is [T, E]. */
static eplb_layer_report evaluate_layer(const planning *p, const loads *table, const float *weight,
                                        int32_t *phy2log, float *gpu_load, void *scratch)
{
    eplb_problem      one  = p->problem;
    eplb_plan         plan = {phy2log, NULL, NULL, NULL, 0};
    eplb_layer_report report;
    one.num_layers = 1;
    check(p, table, eplb_evaluate(&one, &p->options, weight, &plan, &report, gpu_load, scratch,
                                  p->scratch_bytes));
    return report;
}

static planning make_plan(const settings *s, const loads *table)
{
    planning p;
    memset(&p, 0, sizeof p);
    p.problem.num_layers   = table->num_layers;
    p.problem.num_experts  = table->num_experts;
    p.problem.num_replicas = s->replicas;
    p.problem.num_groups   = s->groups;
    p.problem.num_nodes    = s->nodes;
    p.problem.num_gpus     = s->gpus;
    p.problem.num_samples  = table->num_samples;
    check(&p, table, eplb_options_preset(s->preset, &p.options));
    p.options.policy       = s->policy;
    p.options.max_replicas = s->max_replicas;
    p.options.seed         = s->seed;
    p.first_layer          = s->first_layer;
    p.num_layers           = (s->last_layer < 0 ? table->num_layers : s->last_layer + 1) - s->first_layer;
    if (s->last_layer >= table->num_layers)
        fail(STATUS_INPUT, "--layers %d-%d, but the last layer is %d", (int)s->first_layer,
             (int)s->last_layer, (int)table->num_layers - 1);
    if (s->show >= 0 && (s->show < p.first_layer || s->show >= p.first_layer + p.num_layers))
        fail(STATUS_INPUT, "--show %d, but the layers planned are %d-%d", (int)s->show, (int)p.first_layer,
             (int)(p.first_layer + p.num_layers - 1));
    check(&p, table, eplb_scratch_size(&p.problem, &p.options, &p.scratch_bytes));

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
        check(&p, table, eplb_rebalance_layers(&p.problem, &p.options, table->weight, &p.plan, scratch,
                                               p.scratch_bytes, (int32_t)layer, 1));
        p.result[i].microseconds = 1e6 * (now() - begun);
        for (size_t t = 0; t < T; t++)
            memcpy(weight + t * E, table->weight + (t * L + layer) * E, E * sizeof(float));
        p.result[i].before = evaluate_layer(&p, table, weight, in_order, p.gpu_before + i * G, scratch);
        p.result[i].after  = evaluate_layer(&p, table, weight, p.plan.phy2log + layer * R,
                                            p.gpu_after + i * G, scratch);
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
static const char *policy_used(const planning *p)
{
    int32_t policy = p->options.policy;
    if (policy == EPLB_POLICY_AUTO)
        policy = p->problem.num_groups % p->problem.num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL
                                                                   : EPLB_POLICY_GLOBAL;
    return POLICY_NAMES[policy];
}

/* ----------------------------------------------------------------------------------- printing */

/* A load as a part of a larger one: 1 when there is no load, NaN when sums have left float32. */
static double share(double load, double larger)
{
    if (!isfinite(load) || !isfinite(larger))
        return (double)NAN;
    return larger > 0 ? load / larger : 1;
}

/* One row a layer and one for all, in which each load is the sum over the layers. */
static void print_table(FILE *out, const planning *p, bool only_total)
{
    static const char ROW[] = "%6s  %7.4f  %7.4f  %7.4f  %7.2f  %12d  %9.1f\n";
    double            mean = 0, before = 0, after = 0, bound = 0, microseconds = 0;
    int32_t           max_replicas = 0;
    fprintf(out, "%6s  %7s  %7s  %7s  %7s  %12s  %9s\n", "layer", "before", "after", "bound", "gap %",
            "max replicas", "time us");
    for (int32_t i = 0; i < p->num_layers; i++) {
        const layer_result      *r = &p->result[i];
        const eplb_layer_report *q = &r->after;
        char                     label[16];
        double                   gap = 1 / share((double)q->lower_bound, (double)q->max_load) - 1;
        snprintf(label, sizeof label, "%d", (int)(p->first_layer + i));
        if (!only_total)
            fprintf(out, ROW, label, (double)r->before.balancedness, (double)q->balancedness,
                    share((double)q->mean_load, (double)q->lower_bound), 100 * gap, (int)q->max_logcnt,
                    r->microseconds);
        mean += (double)q->mean_load;
        before += (double)r->before.max_load;
        after += (double)q->max_load;
        bound += (double)q->lower_bound;
        microseconds += r->microseconds;
        if (max_replicas < q->max_logcnt)
            max_replicas = q->max_logcnt;
    }
    fprintf(out, ROW, "total", share(mean, before), share(mean, after), share(mean, bound),
            100 * (1 / share(bound, after) - 1), (int)max_replicas, microseconds);
}

static void print_summary(FILE *out, const planning *p, const settings *s)
{
    const eplb_problem *q = &p->problem;
    fprintf(out, "%d layers x %d experts -> %d replicas on %d GPUs, %d each", (int)q->num_layers,
            (int)q->num_experts, (int)q->num_replicas, (int)q->num_gpus,
            (int)(q->num_replicas / q->num_gpus));
    fprintf(out, "; nodes %d, groups %d, samples %d\n", (int)q->num_nodes, (int)q->num_groups,
            (int)q->num_samples);
    fprintf(out, "preset %s, %s policy, seed %llu, %zu bytes of scratch\n\n", eplb_preset_name(s->preset),
            policy_used(p), (unsigned long long)p->options.seed, p->scratch_bytes);
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
    fprintf(out, "\"options\":{\"preset\":\"%s\",\"policy\":\"%s\",\"max_replicas\":%d,\"seed\":%s%llu%s},\n",
            eplb_preset_name(s->preset), policy_used(p), (int)p->options.max_replicas, mark,
            (unsigned long long)p->options.seed, mark);
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

/* Both files are complete beside their targets before the first of them takes its name. */
static void write_plan(const planning *p, const settings *s)
{
    output json = {s->json, NULL, NULL, NULL, 0}, csv = {s->csv, NULL, NULL, NULL, 0};
    bool   ok = output_open(&json) && output_open(&csv);
    if (ok && json.file)
        write_json(json.file, p, s);
    if (ok && csv.file)
        write_csv(csv.file, p);
    ok = ok && output_close(&json) && output_close(&csv) && output_commit(&json) && output_commit(&csv);
    output failed = json.error ? json : csv;
    output_discard(&json);
    output_discard(&csv);
    if (!ok)
        fail(STATUS_OUTPUT, "%s: %s", failed.path, strerror(failed.error));
}

/* ----------------------------------------------------------------------------------- commands */

static int run_plan(arguments *a)
{
    settings s     = parse_plan_arguments(a);
    loads    table = read_loads(s.input);
    planning p     = make_plan(&s, &table);
    write_plan(&p, &s);
    FILE *out = to_stdout(s.json) || to_stdout(s.csv) ? stderr : stdout; /* a plan there stands alone */
    if (!s.quiet)
        print_summary(out, &p, &s);
    print_table(out, &p, s.quiet);
    if (s.show >= 0)
        print_bars(out, &p, s.show);
    free_planning(&p);
    free(table.weight);
    return STATUS_OK;
}

/* A name for one of the library's numbers; "?" for one that is newer than the list of names. */
#define NAME_OF(names, value) name_of(names, (int32_t)(sizeof(names) / sizeof *(names)), value)
static const char *name_of(const char *const *names, int32_t num_names, int32_t value)
{
    return value >= 0 && value < num_names ? names[value] : "?";
}

#define PRESET_ROW "%-13s %-8s %-15s %-6s %-11s %-13s %-10s %s%s\n"

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
    char noise[48] = "-", fixup[32] = "";
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
    if (options->fixup_steps > 0)
        snprintf(fixup, sizeof fixup, ", fix-up %d", (int)options->fixup_steps);
    printf(PRESET_ROW, name, NAME_OF(INITS, gpu->init), refine, swaps, candidates, noise,
           several ? NAME_OF(SELECTIONS, gpu->select) : "-", NAME_OF(REPLICATIONS, options->replication),
           fixup);
}

static int run_presets(void)
{
    printf(PRESET_ROW, "preset", "initial", "refinement", "swaps", "candidates", "noise", "selection",
           "replication", "");
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        if (eplb_options_preset(preset, &options) == EPLB_OK)
            print_preset(eplb_preset_name(preset), &options);
    }
    printf("Two numbers of swaps: groups to nodes, replicas to GPUs.\n");
    return STATUS_OK;
}

static const char USAGE[] = "usage: eplb plan LOADS --replicas R --gpus G [options]\n"
                            "       eplb presets | --help | --version\n";

static int run_help(void)
{
    fputs(USAGE, stdout);
    fputs("\n"
          "Plans on which GPUs the experts of a mixture-of-experts model and their replicas live, so that\n"
          "the most loaded GPU carries as little as possible. Prints for each layer, and in total:\n"
          "  before, after  balancedness (mean / largest load of a GPU) with the experts in order, the\n"
          "                 spare slots given to the first of them, and with the plan\n"
          "  bound          no plan has a better balancedness than this\n"
          "  gap %          the largest load of a GPU above the least possible\n"
          "  max replicas   the most replicas that an expert has\n"
          "  time us        what planning took, in microseconds\n"
          "\n"
          "LOADS is a file, or - for standard input:\n"
          "  CSV            rows are layers, columns experts; or rows `step,layer,e0,e1,...` under such\n"
          "                 a header, in any order. Blank lines and lines that start with # are skipped.\n"
          "  NumPy .npy     [layers, experts] or [samples, layers, experts] of f4, f8, i4 or i8\n"
          "\n",
          stdout);
    fputs("  --replicas R     slots in a layer over all GPUs: a multiple of G, no less than the experts\n"
          "  --gpus G         GPUs\n"
          "  --nodes N        nodes, of G / N GPUs each (1)\n"
          "  --groups K       groups of experts that the router picks together (1)\n"
          "  --preset NAME    how to plan; `eplb presets` lists them (default)\n"
          "  --policy P       hierarchical: a group stays on one node; global: it need not; auto: the\n"
          "                   first when N divides K (auto)\n"
          "  --max-replicas N no expert has more replicas than this; 0 is no limit (0)\n"
          "  --seed S         of the noise that some presets use (0)\n"
          "  --layers A-B     only these layers, or only A\n"
          "  --json FILE      write the plan as JSON; - is standard output, the table then goes to\n"
          "                   standard error\n"
          "  --csv FILE       write the plan as CSV, a row `layer,slot,node,gpu,expert,replica` a slot\n"
          "  --show LAYER     draw the load of each GPU in this layer, before and after\n"
          "  --quiet          only the total\n"
          "\n"
          "Exit status: 0 done; 1 out of memory, or the output could not be written; 2 wrong arguments\n"
          "or wrong input, told in one line. Output files appear whole or not at all.\n",
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
