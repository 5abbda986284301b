/* csv.c - the reader of CSV: lines of numbers between commas. Blank lines and lines that start with # are
   skipped. A first row `step,layer,...` makes the file a trace, whose rows are (step, layer, loads) in any
   order; otherwise the rows are the layers in order, and a first row of names is skipped. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

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
        text_fail(text_at(&r->text, r->text.line, r->line_end), "no experts after step,layer");
    if (!r->is_trace && all_names && (has_step || has_layer)) /* ids must not be taken for loads */
        text_fail(text_at(&r->text, r->text.line, begin), "a header with step or layer must start with step,layer");
    r->num_experts = r->is_trace ? num_fields - 2 : all_names ? num_fields : 0;
    r->next_field  = begin;
    return r->is_trace || all_names;
}

static int64_t csv_integer(csv_reader *r, const char *what, int64_t lowest, int64_t highest)
{
    text_field field;
    int64_t    value = 0;
    if (!csv_read_field(r, &field))
        text_fail(text_at(&r->text, r->text.line, r->line_end), "the row has no %s", what);
    if (!parse_integer(field.begin, field.end, &value) || value < lowest || value > highest)
        text_fail(text_at(&r->text, r->text.line, field.begin), "'%s' is not a %s",
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
            text_fail(text_at(&r->text, r->text.line, field.begin), "more than the %zu loads of the rows above",
                      r->num_experts);
        text_add_load(&r->text, &field);
        num_loads++;
    }
    if (r->num_experts && num_loads < r->num_experts)
        text_fail(text_at(&r->text, r->text.line, r->line_end), "only %zu loads; the rows above have %zu", num_loads,
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
            text_fail(text_at(&r->text, row->line, NULL), "step %lld, layer %d is in line %zu already",
                      (long long)row->step, (int)row->layer, last->line);
        if (due > 0 && (!row || row->step != last->step))
            text_fail(text_at(&r->text, last->line, NULL), "step %lld has no row for layer %zu", (long long)last->step,
                      due);
        if (row && (size_t)row->layer != due)
            text_fail(text_at(&r->text, row->line, NULL), "step %lld has no row for layer %zu", (long long)row->step,
                      due);
    }
    return num_layers;
}

static loads read_csv(const whole_file *from)
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
        text_fail(text_at(&r.text, r.text.line ? r.text.line : 1, NULL), "no row of loads");
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

reader *csv_open(source from, const reading *how)
{
    whole_file all = source_whole(&from);
    source_close(&from);
    (void)how;
    loads table = read_csv(&all);
    free(all.bytes);
    return held_table(all.name, table);
}
