/* csv.c - the reader of CSV: lines of fields between commas. Blank lines and lines that start with # are
   skipped. What the columns stand for is known by columns.c. Rows may come in any order: opening notes where
   the lines of each step are, and a sample is read from there. */
#include "cli.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_EXPERTS = 65536 }; /* of which ids tell; --experts may say that there are more */

typedef struct csv_run { /* rows of one step that follow each other */
    int64_t step;
    uint64_t place; /* of the first */
    size_t line;    /* of the first */
    size_t rows;
} csv_run;

typedef struct csv_row { /* what identifies a row; 0 where the file does not say */
    int64_t step;
    int32_t layer, rank, expert;
    size_t line;
} csv_row;

typedef struct number_set {
    int64_t *number; /* the first of them ascending */
    size_t count, ascending, room;
} number_set;

typedef struct csv_reader {
    reader base;
    reading own; /* which how is */
    const reading *how;
    text_lines text;
    columns columns;
    size_t num_rows;
    number_set layers, ranks;
    int32_t num_ids; /* the largest id of an expert + 1 */
    csv_run *run;    /* by step, then place */
    size_t num_runs, runs_room;
    size_t *start; /* [num_samples + 1] the first run of each sample */
    csv_row *seen; /* rows of the sample looked at, where none may be there twice */
    size_t num_seen, seen_room;
    double *sum; /* [num_layers, width] */
} csv_reader;

/* -------------------------------------------------------------------------------- number sets */

static int compare_numbers(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static void set_sort(number_set *s)
{
    size_t kept = 0;
    qsort(s->number, s->count, sizeof *s->number, compare_numbers);
    for (size_t i = 0; i < s->count; i++) {
        if (kept == 0 || s->number[kept - 1] != s->number[i]) s->number[kept++] = s->number[i];
    }
    s->count = s->ascending = kept;
}

/* Where a number is among those that ascend, or would be. */
static size_t set_find(const number_set *s, int64_t number)
{
    size_t low = 0, high = s->ascending;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->number[middle] < number) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Numbers mostly come ascending or again; others wait at the end until they are worth sorting. */
static void set_add(number_set *s, int64_t number)
{
    size_t at = set_find(s, number);
    if (at < s->ascending && s->number[at] == number) return;
    if (s->count == s->room) s->number = (int64_t *)grow(s->number, &s->room, sizeof *s->number);
    s->ascending += at == s->count;
    s->number[s->count++] = number;
    if (s->count - s->ascending > s->ascending + 64) set_sort(s);
}

/* --------------------------------------------------------------------------------------- rows */

/* Goes to the next line that is neither blank nor a comment; false at the end of the file. */
static bool csv_next_row(csv_reader *r)
{
    while (text_next_line(&r->text)) {
        const char *first = r->text.begin;
        while (r->text.end > first && is_blank(r->text.end[-1])) r->text.end--;
        while (first < r->text.end && is_blank(*first)) first++;
        r->text.next_field = first;
        if (first < r->text.end && *first != '#') return true;
    }
    return false;
}

static const char *id_name(char letter)
{
    return letter == 'T'   ? "step"
           : letter == 'L' ? "layer"
           : letter == 'G' ? "rank"
           : letter == 'E' ? "expert"
                           : "slot";
}

static int64_t csv_integer(const csv_reader *r, const text_field *field, char letter)
{
    int64_t value = 0;
    int64_t lowest = letter == 'T' ? -INT64_MAX : 0, highest = letter == 'T' ? INT64_MAX : INT32_MAX - 1;
    if (!parse_integer(field->begin, field->end, &value) || value < lowest || value > highest)
        text_fail(text_here(&r->text, field->begin), "'%s' is not %s %s", quoted(field->begin, field->end).text,
                  letter == 'E' ? "an" : "a", id_name(letter));
    return value;
}

/* An id of an expert or a slot; opening has found how many there are. */
static int32_t csv_expert(csv_reader *r, const text_field *field, char letter)
{
    int32_t value = (int32_t)csv_integer(r, field, letter);
    int32_t most = letter == 'E' && r->how->num_experts ? r->how->num_experts : MOST_EXPERTS;
    if (value >= most && letter == 'E')
        text_fail(text_here(&r->text, field->begin), "expert %d%s", (int)value,
                  r->how->num_experts ? ", but --experts says that there are fewer"
                                      : ": without --experts there are no more than 65536 of a layer");
    if (value >= most)
        text_fail(text_here(&r->text, field->begin), "slot %d: a layer has no more than 65536", (int)value);
    r->num_ids = value < r->num_ids ? r->num_ids : value + 1;
    return value;
}

/* Takes the fields that identify a row, or what its place among the rows says. */
static csv_row csv_begin_row(csv_reader *r, size_t index)
{
    csv_row row = {0, 0, 0, 0, r->text.line};
    text_field field;
    for (int i = 0; i < r->columns.num_ids; i++) {
        char letter = r->columns.id[i];
        if (!text_next_field(&r->text, &field))
            text_fail(text_here(&r->text, r->text.end), "the row has no %s", id_name(letter));
        if (letter == 'T') row.step = csv_integer(r, &field, letter);
        else if (letter == 'L') row.layer = (int32_t)csv_integer(r, &field, letter);
        else if (letter == 'G') row.rank = (int32_t)csv_integer(r, &field, letter);
        else row.expert = csv_expert(r, &field, letter);
    }
    if (r->columns.row && index >= INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", r->base.name);
    switch (r->columns.row) {
    case 'T': row.step = (int64_t)index; break;
    case 'L': row.layer = (int32_t)index; break;
    case 'G': row.rank = (int32_t)index; break;
    case 'E':
    case 'P':
    case 'S': row.expert = (int32_t)index; break;
    default: break;
    }
    return row;
}

/* ------------------------------------------------------------------------------------ opening */

/* Ends the program unless the row has as many fields as there are columns. */
static void csv_check_fields(csv_reader *r)
{
    text_field field = {r->text.end, r->text.end};
    const char *at = r->text.next_field;
    size_t n = at ? 1 : 0, want = r->columns.num_columns;
    while (at && (at = (const char *)memchr(at, ',', (size_t)(r->text.end - at)))) {
        n++;
        at++;
    }
    if (n < want && r->columns.column == 'C') text_fail(text_here(&r->text, r->text.end), "the row has no count");
    if (n < want) text_fail(text_here(&r->text, r->text.end), "only %zu loads; the rows above have %zu", n, want);
    if (n == want) return;
    for (size_t i = 0; i <= want; i++) (void)text_next_field(&r->text, &field);
    if (r->columns.column == 'C' || want == 0)
        text_fail(text_here(&r->text, field.begin), "more than the %zu columns of the header",
                  want + (size_t)r->columns.num_ids);
    text_fail(text_here(&r->text, field.begin), "more than the %zu loads of the rows above", want);
}

static bool csv_is_routed(const csv_reader *r) { return r->columns.row == 'K' || r->columns.column == 'K'; }

/* The id in a field of routed experts; -1: none. */
static int32_t csv_routed(csv_reader *r, const text_field *field)
{
    int64_t none;
    bool is_none = parse_integer(field->begin, field->end, &none) && none == -1;
    return is_none ? -1 : csv_expert(r, field, 'E');
}

/* Notes where a row is and what identifies it. */
static void csv_note_row(csv_reader *r)
{
    csv_row row = csv_begin_row(r, r->num_rows);
    csv_run *last = r->num_runs ? &r->run[r->num_runs - 1] : NULL;
    text_field field;
    csv_check_fields(r);
    while (csv_is_routed(r) && text_next_field(&r->text, &field)) (void)csv_routed(r, &field);
    set_add(&r->layers, row.layer);
    set_add(&r->ranks, row.rank);
    if (!last || last->step != row.step) {
        if (r->num_runs == r->runs_room) r->run = (csv_run *)grow(r->run, &r->runs_room, sizeof *r->run);
        last = &r->run[r->num_runs++];
        *last = (csv_run){row.step, r->text.place, row.line, 0};
    }
    last->rows++;
    r->num_rows++;
}

static int compare_runs(const void *left, const void *right)
{
    const csv_run *a = (const csv_run *)left, *b = (const csv_run *)right;
    if (a->step != b->step) return a->step < b->step ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

/* Orders the runs by step, and counts the samples. */
static void csv_order_runs(csv_reader *r)
{
    bool ascending = true;
    size_t samples = 0;
    for (size_t i = 1; i < r->num_runs; i++) ascending = ascending && r->run[i - 1].step < r->run[i].step;
    if (!ascending) qsort(r->run, r->num_runs, sizeof *r->run, compare_runs);
    r->start = (size_t *)allocate(r->num_runs + 1, sizeof *r->start);
    r->base.step = (int64_t *)allocate(r->num_runs, sizeof *r->base.step);
    for (size_t i = 0; i < r->num_runs; i++) {
        if (i > 0 && r->run[i].step == r->run[i - 1].step) continue;
        r->base.step[samples] = r->run[i].step;
        r->start[samples++] = i;
    }
    r->start[samples] = r->num_runs;
    if (samples > INT32_MAX || r->layers.count > INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", r->base.name);
    r->base.num_samples = (int32_t)samples;
}

static bool csv_has(const csv_reader *r, char letter)
{
    return r->columns.row == letter || r->columns.column == letter || columns_find(&r->columns, letter) >= 0;
}

/* Slots of a GPU where ranks count their own. */
static size_t csv_slots(const csv_reader *r)
{
    return r->columns.column == 'S' ? r->columns.num_columns : r->columns.row == 'S' ? r->num_rows : (size_t)r->num_ids;
}

/* All but the samples of the shape. */
static void csv_set_shape(csv_reader *r)
{
    const columns *c = &r->columns;
    size_t ranks = c->column == 'G' ? c->num_columns : r->ranks.count;
    size_t width = c->column == 'E' || c->column == 'P' ? c->num_columns
                   : c->row == 'E' || c->row == 'P'     ? r->num_rows
                                                        : (size_t)r->num_ids;
    if (csv_has(r, 'S') && !multiply_fits(csv_slots(r), ranks, &width)) width = SIZE_MAX;
    r->base.by_slot = csv_has(r, 'S') || csv_has(r, 'P');
    r->base.by_ids = csv_is_routed(r) || columns_find(c, 'E') >= 0 || columns_find(c, 'P') >= 0;
    if (r->base.by_ids && !r->base.by_slot && r->how->num_experts) {
        r->base.by_ids = false;
        width = (size_t)r->how->num_experts;
    }
    size_t layers = c->column == 'L' ? c->num_columns : r->layers.count;
    if (r->how->axes && strlen(r->how->axes) == 1 && layers > 1)
        fail(STATUS_INPUT, "%s: %zu rows, but --axes %s is a single one", r->base.name, r->num_rows, r->how->axes);
    if (width > INT32_MAX || layers > INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", r->base.name);
    if (width == 0) fail(STATUS_INPUT, "%s: no id of an expert; --experts should say how many there are", r->base.name);
    r->base.width = (int32_t)width;
    r->base.num_layers = (int32_t)layers;
    if (c->column != 'L' && columns_find(c, 'L') < 0) return;
    r->base.layer = (int64_t *)allocate(layers, sizeof *r->base.layer);
    for (size_t i = 0; i < layers; i++)
        r->base.layer[i] = c->column != 'L' ? r->layers.number[i] : (c->first > 0 ? c->first : 0) + (int64_t)i;
}

/* ------------------------------------------------------------------- rows that are there twice */

/* Whether a row may stand for another one of a sample. */
static bool csv_rows_differ(const csv_reader *r)
{
    return r->columns.num_ids > 0 && r->columns.num_columns > 0 && r->columns.column != 'K';
}

/* Whether every layer and rank needs its row in each sample. */
static bool csv_rows_complete(const csv_reader *r) { return csv_rows_differ(r) && r->columns.column != 'C'; }

static int compare_rows(const void *left, const void *right)
{
    const csv_row *a = (const csv_row *)left, *b = (const csv_row *)right;
    if (a->layer != b->layer) return a->layer < b->layer ? -1 : 1;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->expert != b->expert) return a->expert < b->expert ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

typedef struct row_name { /* what identifies a row, in words */
    char text[128];
} row_name;

/* By those of the letters that the file has. */
static row_name name_row(const csv_reader *r, const csv_row *row, const char *letters)
{
    row_name name;
    size_t n = 0;
    name.text[0] = '\0';
    for (const char *letter = letters; *letter; letter++) {
        long long value = *letter == 'T'   ? (long long)row->step
                          : *letter == 'L' ? (long long)row->layer
                          : *letter == 'G' ? (long long)row->rank
                                           : (long long)row->expert;
        if (columns_find(&r->columns, *letter) >= 0)
            n += (size_t)snprintf(name.text + n, sizeof name.text - n, "%s%s %lld", n ? ", " : "", id_name(*letter),
                                  value);
    }
    return name;
}

static void refuse_twice(const csv_reader *r, const csv_row *row, const csv_row *other)
{
    text_place place = {r->base.name, row->line, 1};
    text_fail(place, "%s is in line %zu already", name_row(r, row, "TLGEPS").text, other->line);
}

/* The place is the last row of the step. */
static void refuse_missing(const csv_reader *r, size_t index, size_t last_line)
{
    csv_row due = r->seen[0];
    text_place place = {r->base.name, last_line, 1};
    due.layer = (int32_t)r->layers.number[index / r->ranks.count];
    due.rank = (int32_t)r->ranks.number[index % r->ranks.count];
    row_name step = name_row(r, &due, "T");
    text_fail(place, "%s has no row for %s", *step.text ? step.text : "the file", name_row(r, &due, "LG").text);
}

/* Ends the program when a row of the sample is there twice, or one is missing. */
static void csv_check_seen(csv_reader *r)
{
    bool ascending = true;
    size_t last_line = 0;
    for (size_t i = 0; i < r->num_seen; i++) {
        ascending = ascending && (i == 0 || compare_rows(&r->seen[i - 1], &r->seen[i]) < 0);
        last_line = r->seen[i].line > last_line ? r->seen[i].line : last_line;
    }
    if (!ascending) qsort(r->seen, r->num_seen, sizeof *r->seen, compare_rows);
    for (size_t i = 1; i < r->num_seen; i++) {
        csv_row *a = &r->seen[i - 1], *b = &r->seen[i];
        if (a->layer == b->layer && a->rank == b->rank && a->expert == b->expert) refuse_twice(r, b, a);
    }
    if (!csv_rows_complete(r)) return;
    for (size_t i = 0; i < r->layers.count * r->ranks.count; i++) {
        const csv_row *row = i < r->num_seen ? &r->seen[i] : NULL;
        if (!row || row->layer != r->layers.number[i / r->ranks.count]
            || row->rank != r->ranks.number[i % r->ranks.count])
            refuse_missing(r, i, last_line);
    }
}

static void csv_see(csv_reader *r, const csv_row *row)
{
    if (r->num_seen == r->seen_room) r->seen = (csv_row *)grow(r->seen, &r->seen_room, sizeof *r->seen);
    r->seen[r->num_seen++] = *row;
}

/* ------------------------------------------------------------------------------------ reading */

/* The place of a load in its sample; a file that was written to since it was opened has none. */
static double *csv_sum(csv_reader *r, size_t layer, size_t column)
{
    if (layer >= (size_t)r->base.num_layers || column >= (size_t)r->base.width)
        text_fail(text_here(&r->text, r->text.begin), "the file has changed while it was read");
    return &r->sum[layer * (size_t)r->base.width + column];
}

/* Adds the loads of a row to those of its sample. */
static void csv_add_row(csv_reader *r, const csv_row *row)
{
    const columns *c = &r->columns;
    size_t slots = csv_has(r, 'S') ? csv_slots(r) : 0;
    size_t layer = set_find(&r->layers, row->layer), rank = set_find(&r->ranks, row->rank);
    bool apart = c->column == 'E' || c->column == 'P' || c->column == 'S';
    text_field field;
    if (c->num_columns == 0) *csv_sum(r, layer, rank * slots + (size_t)row->expert) += 1;
    for (size_t i = 0; c->num_columns > 0 && text_next_field(&r->text, &field); i++) {
        size_t first = (c->column == 'G' ? i : rank) * slots; /* column of slot 0 */
        size_t where = c->column == 'L' ? i : layer;
        if (csv_is_routed(r)) {
            int32_t id = csv_routed(r, &field);
            if (id >= 0) *csv_sum(r, where, (size_t)id) += 1;
        } else {
            *csv_sum(r, where, first + (apart ? i : (size_t)row->expert)) +=
                (double)text_load(text_here(&r->text, field.begin), &field);
        }
    }
}

/* Goes through the rows of a sample, and adds their loads unless they are only to be checked. */
static void csv_read_rows(csv_reader *r, int32_t sample, bool add)
{
    r->num_seen = 0;
    for (size_t i = r->start[sample]; i < r->start[sample + 1]; i++) {
        text_seek_line(&r->text, r->run[i].place, r->run[i].line);
        for (size_t k = 0; k < r->run[i].rows && csv_next_row(r); k++) {
            csv_row row = csv_begin_row(r, r->columns.row == 'T' ? (size_t)r->run[i].step : k);
            if (csv_rows_differ(r)) csv_see(r, &row);
            if (add) csv_add_row(r, &row);
        }
        progress_show("reading byte", (size_t)source_at(&r->text.from), (size_t)r->text.from.size);
    }
    csv_check_seen(r);
}

static void csv_read(reader *base, int32_t sample, float *load)
{
    csv_reader *r = (csv_reader *)base;
    size_t width = (size_t)base->width, count = (size_t)base->num_layers * width;
    memset(r->sum, 0, count * sizeof *r->sum);
    csv_read_rows(r, sample, true);
    for (size_t i = 0; i < count; i++) {
        if (r->sum[i] > (double)FLT_MAX)
            fail(STATUS_INPUT, "%s: the sum for layer %lld, expert %zu is beyond the range of float32", base->name,
                 base->layer ? (long long)base->layer[i / width] : (long long)(i / width), i % width);
        load[i] = (float)r->sum[i];
    }
}

static void csv_close(reader *base)
{
    csv_reader *r = (csv_reader *)base;
    source_close(&r->text.from);
    free(r->text.begin);
    free(r->base.step);
    free(r->base.layer);
    free(r->layers.number);
    free(r->ranks.number);
    free(r->run);
    free(r->start);
    free(r->seen);
    free(r->sum);
    free(r);
}

/* Steps of another number of rows than the layers and ranks ask for cannot be right; those that only look
   right are found when they are read. */
static void csv_check_steps(csv_reader *r)
{
    for (int32_t sample = 0; csv_rows_complete(r) && sample < r->base.num_samples; sample++) {
        size_t rows = 0;
        for (size_t i = r->start[sample]; i < r->start[sample + 1]; i++) rows += r->run[i].rows;
        if (rows != r->layers.count * r->ranks.count) csv_read_rows(r, sample, false);
    }
}

reader *csv_open(source from, const reading *how)
{
    csv_reader *r = (csv_reader *)allocate(1, sizeof *r);
    r->own = *how;
    r->how = &r->own;
    r->text.from = from;
    r->base.name = from.name;
    r->base.read = csv_read;
    r->base.close = csv_close;
    if (how->key)
        fail(STATUS_INPUT, "%s: --key %s, but CSV has no arrays with names", from.name,
             quoted(how->key, how->key + strlen(how->key)).text);
    text_skip_mark(&r->text.from);
    bool any = csv_next_row(r);
    bool header = any && columns_read(&r->columns, &r->text, r->how);
    if (any && !header) csv_note_row(r);
    while (csv_next_row(r)) {
        csv_note_row(r);
        progress_show("reading byte", (size_t)source_at(&r->text.from), (size_t)r->text.from.size);
    }
    if (r->num_rows == 0) {
        text_place place = {from.name, r->text.line ? r->text.line : 1, 1};
        text_fail(place, "no row of loads");
    }
    set_sort(&r->layers);
    set_sort(&r->ranks);
    csv_order_runs(r);
    csv_set_shape(r);
    csv_check_steps(r);
    size_t count;
    if (!multiply_fits((size_t)r->base.num_layers, (size_t)r->base.width, &count)) fail(STATUS_OUTPUT, "out of memory");
    r->sum = (double *)allocate(count, sizeof *r->sum);
    return &r->base;
}
