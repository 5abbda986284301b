/* columns.c - what the columns of CSV stand for, by the names in its header and by --axes. A header's names
   are columns that identify a row - step, layer, expert, rank - and after them those of loads: all of one
   stem and a running number, or, where the expert is named, one of counts or none. A first row of the whole
   numbers 0, 1, .. is a header, too. Everything else is refused, with the name. */
#include "cli.h"

#include <string.h>

enum { MOST_WORD = 32 };

typedef struct csv_word { /* a name in lower case, without what may separate its parts */
    char text[MOST_WORD];
} csv_word;

static csv_word word_of(const char *begin, const char *end)
{
    csv_word w;
    size_t n = 0;
    for (const char *c = begin; c < end && n + 1 < MOST_WORD; c++) {
        if (*c != '_' && *c != '-' && *c != '.' && *c != ' ')
            w.text[n++] = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    w.text[n] = '\0';
    return w;
}

/* Whether a word is this one, by itself or as that of an id. */
static bool word_is_id(const csv_word *w, const char *name)
{
    size_t n = strlen(name);
    const char *rest = w->text + n;
    return strncmp(w->text, name, n) == 0
           && (strcmp(rest, "") == 0 || strcmp(rest, "id") == 0 || strcmp(rest, "idx") == 0
               || strcmp(rest, "index") == 0);
}

/* The letter of a column that identifies, or 0. */
static char id_letter(const csv_word *w)
{
    return word_is_id(w, "step")     ? 'T'
           : word_is_id(w, "layer")  ? 'L'
           : word_is_id(w, "rank")   ? 'G'
           : word_is_id(w, "expert") ? 'E'
                                     : '\0';
}

char columns_id(const char *begin, const char *end)
{
    csv_word w = word_of(begin, end);
    return id_letter(&w);
}

static bool word_is_of_counts(const csv_word *w)
{
    static const char *const NAMES[] = {"count", "counts", "load", "loads", "tokens", "numtokens", "weight", "value"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(w->text, NAMES[i]) == 0) return true;
    }
    return false;
}

/* What data frames and what reads them call a column of row numbers. */
static bool word_is_of_index(const csv_word *w)
{
    return w->text[0] == '\0' || strncmp(w->text, "unnamed", 7) == 0 || strcmp(w->text, "index") == 0;
}

typedef struct other_names { /* what columns are called elsewhere */
    const char *hint;
    const char *name[12];
} other_names;

/* How a column with another name might be meant; at the end of a message. */
static const char *name_hint(const text_field *field, const csv_word *w)
{
    static const other_names OTHERS[] = {
        {"; if it is one of steps, call it step",
         {"iteration", "iter", "time", "timestamp", "sample", "batch", "window"}},
        {"; if it is one of ranks, call it rank", {"gpu", "device", "eprank", "worker", "process", "node"}},
        {"; if it is one of layers, call it layer", {"block", "moelayer"}},
        {"; if it is one of experts, call it expert", {"logicalexpert"}},
        {"; if it is one of counts, call it count",
         {"n", "num", "frequency", "freq", "hits", "sum", "total", "activations", "expertcount", "tokencount"}},
        {"; slots are told by --axes, and called expert", {"slot", "physicalslot", "physicalexpert"}}};
    size_t length = (size_t)(field->end - field->begin);
    if (word_is_of_index(w)) return "; a data frame should be written without its index";
    if (memchr(field->begin, ';', length) || memchr(field->begin, '\t', length))
        return "; columns should stand between commas";
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        for (size_t k = 0; OTHERS[i].name[k]; k++) {
            if (word_is_id(w, OTHERS[i].name[k])) return OTHERS[i].hint;
        }
    }
    return "";
}

/* ------------------------------------------------------------------------------ running names */

typedef struct running { /* a name and the last number in it */
    text_field before, after;
    int64_t number;
} running;

static bool running_of(const text_field *field, running *name)
{
    const char *end = field->end;
    while (end > field->begin && !is_digit(end[-1])) end--;
    const char *begin = end;
    while (begin > field->begin && is_digit(begin[-1])) begin--;
    name->number = 0;
    name->before.begin = field->begin;
    name->before.end = begin;
    name->after.begin = end;
    name->after.end = field->end;
    return begin < end && parse_integer(begin, end, &name->number);
}

static bool same_text(const text_field *a, const text_field *b)
{
    size_t n = (size_t)(a->end - a->begin);
    return n == (size_t)(b->end - b->begin) && (n == 0 || memcmp(a->begin, b->begin, n) == 0);
}

/* Whether columns of this stem are of something else than experts, so that --axes has to say of what. */
static bool stem_is_of_others(const running *name)
{
    static const char *const OTHERS[] = {"step", "layer", "rank",  "gpu",  "device", "node",
                                         "slot", "phy",   "token", "topk", "iter",   "sample"};
    csv_word w = word_of(name->before.begin, name->before.end);
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        if (strncmp(w.text, OTHERS[i], strlen(OTHERS[i])) == 0) return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------- header */

static bool field_is_name(const text_field *field)
{
    unsigned char c = field->begin < field->end ? (unsigned char)*field->begin : '0';
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80) && !field_is_not_finite(field);
}

/* Names begin with one, or with none at all where a data frame has its index; numbers run from 0, unless ids
   of experts may do so, too. */
static bool line_is_header(text_lines *text, const reading *how)
{
    text_field field;
    uint64_t number = 0;
    size_t i = 0;
    bool unnamed = false, named = false, from_0 = true, rest_from_0 = true;
    for (; text_next_field(text, &field); i++) {
        bool whole = parse_digits(field.begin, field.end, &number);
        named = named || (field_is_name(&field) && (i == 0 || unnamed));
        unnamed = unnamed || (i == 0 && field.begin == field.end);
        from_0 = from_0 && whole && number == i;
        rest_from_0 = rest_from_0 && (i == 0 || (whole && number == i - 1));
    }
    text->next_field = text->begin;
    from_0 = from_0 && !how->unnamed_ids && !(how->axes && strchr(how->axes, 'K'));
    return named || from_0 || (unnamed && i > 1 && rest_from_0 && !how->unnamed_ids);
}

int columns_find(const columns *c, char letter)
{
    const char *found = c->num_ids ? (const char *)memchr(c->id, letter, (size_t)c->num_ids) : NULL;
    return found ? (int)(found - c->id) : -1;
}

static void add_id(columns *c, const text_lines *text, const text_field *field, char letter)
{
    quote shown = quoted(field->begin, field->end);
    if (columns_find(c, letter) >= 0)
        text_fail(text_here(text, field->begin), "'%s' is the second column of that kind", shown.text);
    if (c->num_columns > 0)
        text_fail(text_here(text, field->begin), "'%s' should stand before the columns of loads", shown.text);
    c->id[c->num_ids++] = letter;
}

static void add_counts(columns *c, const text_lines *text, const text_field *field)
{
    quote shown = quoted(field->begin, field->end);
    if (columns_find(c, 'E') < 0)
        text_fail(text_here(text, field->begin), "'%s' is of counts, so a column expert should stand before it",
                  shown.text);
    if (c->num_columns > 0) text_fail(text_here(text, field->begin), "'%s' is the second column of counts", shown.text);
    c->column = 'C';
    c->num_columns = 1;
}

static void add_loads(columns *c, const text_lines *text, const text_field *field, const running *name,
                      const running *first)
{
    quote shown = quoted(field->begin, field->end);
    quote before = quoted(first->before.begin, first->before.end);
    quote after = quoted(first->after.begin, first->after.end);
    int64_t due = first->number + (int64_t)c->num_columns;
    if (columns_find(c, 'E') >= 0)
        text_fail(text_here(text, field->begin),
                  "'%s' after a column expert, where there should be one called count or none", shown.text);
    if (!same_text(&name->before, &first->before) || !same_text(&name->after, &first->after) || name->number != due)
        text_fail(text_here(text, field->begin),
                  "column '%s' where '%s%lld%s' should follow: columns of loads run by one", shown.text, before.text,
                  (long long)due, after.text);
    c->column = 'E';
    c->first = first->number;
    c->num_columns++;
}

static void refuse_name(const columns *c, const text_lines *text, const text_field *field, const csv_word *w)
{
    quote shown = quoted(field->begin, field->end);
    if (columns_find(c, 'E') >= 0)
        text_fail(text_here(text, field->begin),
                  "column '%s' is none of step, layer, expert, rank, and not called count%s", shown.text,
                  name_hint(field, w));
    text_fail(text_here(text, field->begin),
              "column '%s' is none of step, layer, expert, rank, and not of loads, such as e0%s", shown.text,
              name_hint(field, w));
}

static void read_header(columns *c, text_lines *text, const reading *how)
{
    text_field field;
    running first = {{text->end, text->end}, {text->end, text->end}, 0};
    while (text_next_field(text, &field)) {
        csv_word w = word_of(field.begin, field.end);
        char letter = id_letter(&w);
        running name;
        if (letter) {
            add_id(c, text, &field, letter);
        } else if (word_is_of_counts(&w)) {
            add_counts(c, text, &field);
        } else {
            if (word_is_of_index(&w) || !running_of(&field, &name)) refuse_name(c, text, &field, &w);
            if (c->num_columns == 0) first = name;
            if (!how->axes && stem_is_of_others(&name))
                text_fail(text_here(text, field.begin),
                          "column '%s' is not of an expert: --axes should say what the columns are",
                          quoted(field.begin, field.end).text);
            add_loads(c, text, &field, &name, &first);
        }
    }
    if (c->num_columns == 0 && columns_find(c, 'E') < 0)
        text_fail(text_here(text, text->end), "no experts after %s", quoted(text->begin, text->end).text);
    text->next_field = text->begin;
}

/* --------------------------------------------------------------------------------------- axes */

/* The letters of the rows' ids must be there, and one for the other columns. */
static void fit_ids(columns *c, const text_lines *text, const reading *how)
{
    char ids[8], column = '\0';
    int met = 0;
    bool fit = true;
    memcpy(ids, c->id, sizeof c->id);
    for (const char *letter = how->axes; *letter; letter++) {
        int id = columns_find(c, *letter == 'P' || *letter == 'S' ? 'E' : *letter);
        if (id >= 0) {
            met++;
            ids[id] = *letter;
        } else if (c->column == 'E' && !column && strchr("EPSK", *letter)) {
            column = *letter;
        } else if (*letter != 'N' && !(*letter == 'T' && strchr(how->axes, 'K'))) {
            fit = false;
        }
    }
    if (!fit || met < c->num_ids || (c->column == 'E' && !column))
        fail(STATUS_INPUT, "%s: --axes %s does not have a letter for each of the columns that identify: %.*s",
             text->from.name, how->axes, c->num_ids, c->id);
    memcpy(c->id, ids, sizeof c->id);
    c->column = column ? column : c->column;
}

/* Rows and columns are two dimensions, of which one may be missing where it has one element. */
static void fit_rows(columns *c, const text_lines *text, const reading *how)
{
    size_t n = strlen(how->axes);
    if (n > 2)
        fail(STATUS_INPUT, "%s: rows and columns are 2 dimensions, but --axes %s has %d letters", text->from.name,
             how->axes, (int)n);
    c->row = n == 2 ? how->axes[0] : c->num_columns == 1 ? how->axes[0] : 'L';
    c->column = n == 2 ? how->axes[1] : c->num_columns == 1 ? 'L' : how->axes[0];
    if (c->column == 'T' && c->row != 'K')
        fail(STATUS_INPUT, "%s: --axes %s, but samples of CSV are rows", text->from.name, how->axes);
    if (c->row == 'K' || c->column == 'K') { /* T are tokens */
        c->row = c->row == 'T' ? 'N' : c->row;
        c->column = c->column == 'T' ? 'N' : c->column;
    }
}

static size_t count_fields(text_lines *text)
{
    text_field field;
    size_t n = 0;
    while (text_next_field(text, &field)) n++;
    text->next_field = text->begin;
    return n;
}

/* A layer and an expert, in each row. */
static void take_unnamed_ids(columns *c)
{
    c->num_ids = 2;
    c->id[0] = 'L';
    c->id[1] = 'E';
}

bool columns_read(columns *c, text_lines *text, const reading *how)
{
    bool header = line_is_header(text, how);
    memset(c, 0, sizeof *c);
    c->first = -1;
    if (header) read_header(c, text, how);
    else if (how->unnamed_ids) take_unnamed_ids(c);
    else c->num_columns = count_fields(text);
    if (c->num_ids == 0) {
        c->row = 'L';
        c->column = 'E';
    }
    if (how->axes && axes_wanted(how) > 0 && c->num_ids > 0) fit_ids(c, text, how);
    else if (how->axes) fit_rows(c, text, how);
    return header;
}
