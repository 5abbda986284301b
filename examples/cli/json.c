/* json.c - the reader of JSON: arrays of numbers, [L, E] or [T, L, E], and white space. How deep the first
   load lies tells which, and the first array of each depth to end tells how many items each of them has. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

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
        text_fail(text_at(&r->text, r->text.line, r->at), "the file ends within an array");
    if (!may_load && c != '[')
        text_fail(text_at(&r->text, r->text.line, r->at),
                  "an array should begin here: loads are [L, E] or [T, L, E]");
    if (c == ',' || c == ']')
        text_fail(text_at(&r->text, r->text.line, r->at), "a load is missing here");
    if (not_a_load)
        text_fail(text_at(&r->text, r->text.line, r->at), "%s where a load should be: loads are [L, E] or [T, L, E]",
                  not_a_load);
    if (want && r->count[r->depth] == want)
        text_fail(text_at(&r->text, r->text.line, r->at), "more than the %zu %s of the %s above", want,
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
        text_fail(text_at(&r->text, r->text.line, field.begin), "'%s' is not a number in JSON",
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
            text_fail(text_at(&r->text, r->text.line, r->at), "only %zu %s; the %s above have %zu", count,
                      json_items(r, r->depth), json_items(r, r->depth - 1), want);
        r->want[r->depth--] = count;
        progress_show("reading byte", (size_t)(r->at - r->text.from->bytes), r->text.from->size);
    }
    if (r->depth == 0)
        return;
    if (json_at_end(r))
        text_fail(text_at(&r->text, r->text.line, r->at), "the file ends within an array");
    if (*r->at != ',')
        text_fail(text_at(&r->text, r->text.line, r->at), "',' or ']' should stand here");
    r->at++;
}

static loads read_json(const whole_file *from)
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
        text_fail(text_at(&r.text, r.text.line, r.at), "the file goes on after its array");

    size_t num_samples = r.num_dims == MAX_DIMS ? r.want[1] : 1;
    loads  table       = text_table(&r.text, num_samples, r.want[r.num_dims - 1], r.want[r.num_dims]);
    table.weight       = r.text.value;
    return table;
}

reader *json_open(source from, const reading *how)
{
    whole_file all = source_whole(&from);
    source_close(&from);
    (void)how;
    loads table = read_json(&all);
    free(all.bytes);
    return held_table(all.name, table);
}
