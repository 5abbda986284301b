/* text.c - what the readers of CSV and JSON share: where they are in the file, and its numbers. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void text_fail(text_place at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s:%zu:%zu: ", at.name, at.line, at.column);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

text_place text_at(const text_reader *r, size_t line, const char *at)
{
    text_place place = {r->from->name, line, at ? (size_t)(at - r->line_begin) + 1 : 1};
    return place;
}

/* Begin .. end for a message: at most QUOTE_BYTES of it, nothing unprintable. */
quote quoted(const char *begin, const char *end)
{
    quote q = {""};
    size_t n = (size_t)(end - begin), kept = n < QUOTE_BYTES ? n : QUOTE_BYTES;
    for (size_t i = 0; i < kept; i++) q.text[i] = begin[i] >= ' ' && begin[i] <= '~' ? begin[i] : '?';
    memcpy(q.text + kept, n > kept ? "..." : "", n > kept ? 4 : 1);
    return q;
}

/* The last part of a path, in letters that stand for themselves in text, JSON and SVG. */
quote plain_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strcmp(name, "<stdin>") == 0) name = "standard input";
    quote q = quoted(name, name + strlen(name));
    for (char *c = q.text; *c; c++) {
        if (strchr("<>&\"\\", *c)) *c = '?';
    }
    return q;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool is_space(char c) { return is_blank(c) || c == '\n'; }

/* Where the text begins: after a byte order mark, which columns do not count. */
const char *text_begin(const whole_file *from)
{
    static const char BYTE_ORDER_MARK[] = "\xEF\xBB\xBF";
    bool marked = from->size >= 3 && memcmp(from->bytes, BYTE_ORDER_MARK, 3) == 0;
    return from->bytes + (marked ? 3 : 0);
}

void text_skip_mark(source *from)
{
    char mark[3];
    if (source_read(from, mark, sizeof mark) != sizeof mark || memcmp(mark, "\xEF\xBB\xBF", sizeof mark) != 0)
        source_seek(from, 0);
}

/* ------------------------------------------------------------------------------------- lines */

bool text_next_line(text_lines *t)
{
    size_t length = 0;
    bool ended = false;
    t->place = source_at(&t->from);
    if (source_peek(&t->from) < 0) return false;
    while (!ended && source_peek(&t->from) >= 0) {
        const char *begin = t->from.buffer + t->from.next;
        size_t here = t->from.filled - t->from.next;
        const char *newline = (const char *)memchr(begin, '\n', here);
        size_t part = newline ? (size_t)(newline - begin) : here;
        while (t->room - length <= part) /* for the part and a 0 */
            t->begin = (char *)grow(t->begin, &t->room, 1);
        memcpy(t->begin + length, begin, part);
        length += part;
        ended = newline != NULL;
        t->from.next += part + (ended ? 1 : 0);
    }
    t->begin[length] = '\0';
    t->end = t->begin + length;
    t->next_field = t->begin;
    t->line++;
    return true;
}

void text_seek_line(text_lines *t, uint64_t place, size_t line)
{
    source_seek(&t->from, place);
    t->line = line - 1;
}

text_place text_here(const text_lines *t, const char *at)
{
    text_place place = {t->from.name, t->line, (size_t)(at - t->begin) + 1};
    return place;
}

static void field_trim(text_field *field)
{
    while (field->begin < field->end && is_blank(*field->begin)) field->begin++;
    while (field->begin < field->end && is_blank(field->end[-1])) field->end--;
}

bool text_next_field(text_lines *t, text_field *field)
{
    if (!t->next_field) return false;
    const char *comma = (const char *)memchr(t->next_field, ',', (size_t)(t->end - t->next_field));
    field->begin = t->next_field;
    field->end = comma ? comma : t->end;
    t->next_field = comma ? comma + 1 : NULL;
    field_trim(field);
    if (field->end - field->begin >= 2 && *field->begin == '"' && field->end[-1] == '"') {
        field->begin++;
        field->end--;
        field_trim(field);
    }
    return true;
}

/* ------------------------------------------------------------------------------------ numbers */

/* What C and other programs write for numbers that are not finite. */
bool field_is_not_finite(const text_field *field)
{
    const char *begin = field->begin;
    if (begin < field->end && (*begin == '-' || *begin == '+')) begin++;
    size_t n = (size_t)(field->end - begin);
    return (n == 3 && strncasecmp(begin, "nan", 3) == 0) || (n == 3 && strncasecmp(begin, "inf", 3) == 0)
           || (n == 8 && strncasecmp(begin, "infinity", 8) == 0);
}

/* A whole number that float32 has exactly, the usual case; false when it is none. */
static bool field_is_count(const text_field *field, float *load)
{
    size_t n = (size_t)(field->end - field->begin);
    uint32_t value = 0;
    for (const char *c = field->begin; c < field->end && n <= 7; c++) {
        if (!is_digit(*c)) return false;
        value = value * 10 + (uint32_t)(*c - '0');
    }
    *load = (float)value;
    return n > 0 && n <= 7;
}

/* strtof knows more than decimal numbers, so what it is given is looked at first. It stops at the
   comma, the bracket, the blank or the 0 after the field; the program leaves the locale at "C". */
float text_load(text_place at, const text_field *field)
{
    float count;
    if (field_is_count(field, &count)) return count;
    bool decimal = field->begin < field->end;
    for (const char *c = field->begin; c < field->end; c++)
        decimal = decimal && (is_digit(*c) || *c == '+' || *c == '-' || *c == '.' || *c == 'e' || *c == 'E');
    char *stop = NULL;
    float load = decimal ? strtof(field->begin, &stop) : 0;
    const char *wrong = NULL;
    if (field->begin == field->end) text_fail(at, "a load is missing here");
    else if (field_is_not_finite(field)) wrong = "is not a finite load";
    else if (stop != field->end) wrong = "is not a number";
    else if (load < 0) wrong = "is a negative load";
    else if (isinf(load)) wrong = "is beyond the range of float32";
    if (wrong) text_fail(at, "'%s' %s", quoted(field->begin, field->end).text, wrong);
    return load;
}

void text_add_load(text_reader *r, const text_field *field)
{
    if (r->num_values == r->values_room) r->value = (float *)grow(r->value, &r->values_room, sizeof *r->value);
    r->value[r->num_values++] = text_load(text_at(r, r->line, field->begin), field);
}

/* A table of this shape, still without its loads. */
loads text_table(const text_reader *r, size_t num_samples, size_t num_layers, size_t num_experts)
{
    if (num_experts > INT32_MAX || num_layers > INT32_MAX || num_samples > INT32_MAX)
        fail(STATUS_INPUT, "%s: more rows or columns than 2147483647", r->from->name);
    loads table = {(int32_t)num_samples, (int32_t)num_layers, (int32_t)num_experts, NULL, NULL, NULL};
    return table;
}
