/* scan.c - what JSON is made of, one part at a time: how arrays and objects stand in each other is checked
   here, what words and numbers mean is not. */
#include "cli.h"

#include <string.h>

enum { JSON_AT_VALUE, JSON_AT_ITEM, JSON_AT_NAME, JSON_AT_MEMBER, JSON_AT_COMMA };
/* A value must come; a value or the end of an empty array; a name; a name or the end of an empty object; a
   comma or the end. */

void json_begin(json_scan *s)
{
    s->depth = 0;
    s->state = JSON_AT_VALUE;
}

void json_go(json_scan *s, uint64_t place, size_t line, uint64_t line_place)
{
    source_seek(&s->from, place);
    s->line = line;
    s->line_place = line_place;
    json_begin(s);
}

int json_peek(json_scan *s)
{
    int c = source_peek(&s->from);
    while (c >= 0 && c <= ' ' && is_space((char)c)) {
        (void)source_get(&s->from);
        if (c == '\n') {
            s->line++;
            s->line_place = source_at(&s->from);
        }
        c = source_peek(&s->from);
    }
    s->place = source_at(&s->from);
    s->at.name = s->from.name;
    s->at.line = s->line;
    s->at.column = (size_t)(s->place - s->line_place) + 1;
    return c;
}

/* Fails at the byte that comes next. */
static void json_fail_here(json_scan *s, const char *what)
{
    text_place here = s->at;
    here.column = (size_t)(source_at(&s->from) - s->line_place) + 1;
    text_fail(here, "%s", what);
}

/* --------------------------------------------------------------------------- words and strings */

static void json_keep(json_scan *s, char c)
{
    if (s->length + 1 < JSON_TOKEN) s->token[s->length++] = c;
}

/* Most bytes are digits, which are told first. */
static bool json_ends_word(int c)
{
    return (c < '0' || c > '9')
           && (c < 0 || c == ',' || c == ']' || c == '[' || c == '{' || c == '}' || (c <= ' ' && is_space((char)c)));
}

static json_event json_word(json_scan *s)
{
    while (!json_ends_word(source_peek(&s->from))) {
        if (s->length + 1 == JSON_TOKEN)
            text_fail(s->at, "'%s' is longer than a number may be, %d characters",
                      quoted(s->token, s->token + s->length).text, JSON_TOKEN - 1);
        json_keep(s, (char)source_get(&s->from));
    }
    s->token[s->length] = '\0';
    return JSON_WORD;
}

static int hexadecimal_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits after \u, as UTF-8. Halves of a pair stay by themselves: no name has such. */
static void json_unicode(json_scan *s)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hexadecimal_digit(source_peek(&s->from));
        if (digit < 0) json_fail_here(s, "four hexadecimal digits should follow \\u");
        code = code * 16 + (unsigned)digit;
        (void)source_get(&s->from);
    }
    if (code >= 0x800) json_keep(s, (char)(0xE0 | code >> 12));
    if (code >= 0x80) json_keep(s, (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3F) : 0xC0 | code >> 6));
    json_keep(s, (char)(code >= 0x80 ? 0x80 | (code & 0x3F) : code ? code : '?')); /* a 0 ends a token */
}

/* After a backslash. */
static void json_escape(json_scan *s)
{
    static const char ESCAPES[] = "\"\\/bfnrt", MEANT[] = "\"\\/\b\f\n\r\t";
    int c = source_get(&s->from);
    const char *known = c > 0 ? strchr(ESCAPES, c) : NULL;
    if (known) json_keep(s, MEANT[known - ESCAPES]);
    else if (c == 'u') json_unicode(s);
    else text_fail(s->at, "the string has a backslash before what needs none");
}

/* Of a string longer than a token the rest is not kept. */
static void json_string(json_scan *s)
{
    (void)source_get(&s->from);
    for (int c = source_get(&s->from); c != '"'; c = source_get(&s->from)) {
        if (c < 0 || c == '\n') text_fail(s->at, "the %s ends within this string", c < 0 ? "file" : "line");
        if (c < ' ') text_fail(s->at, "a control character stands in this string");
        if (c == '\\') json_escape(s);
        else json_keep(s, (char)c);
    }
    s->token[s->length] = '\0';
}

/* -------------------------------------------------------------------------------------- parts */

static json_event json_open_level(json_scan *s, bool object)
{
    if (s->depth == JSON_DEPTH) text_fail(s->at, "more than %d arrays and objects in each other", JSON_DEPTH);
    (void)source_get(&s->from);
    s->object[s->depth++] = object;
    s->state = object ? JSON_AT_MEMBER : JSON_AT_ITEM;
    return object ? JSON_OBJECT : JSON_ARRAY;
}

static json_event json_close_level(json_scan *s)
{
    bool object = s->object[--s->depth];
    (void)source_get(&s->from);
    s->state = JSON_AT_COMMA;
    return object ? JSON_OBJECT_END : JSON_ARRAY_END;
}

static json_event json_value(json_scan *s, int c)
{
    if (c == ',' || c == ']' || c == '}') return JSON_MISSING;
    if (c == '[' || c == '{') return json_open_level(s, c == '{');
    s->state = JSON_AT_COMMA;
    if (c != '"') return json_word(s);
    json_string(s);
    return JSON_STRING;
}

static json_event json_name(json_scan *s, int c)
{
    if (c != '"') text_fail(s->at, "a name between quotes should stand here");
    json_string(s);
    text_place at = s->at;
    if (json_peek(s) != ':') text_fail(s->at, "':' should stand here");
    (void)source_get(&s->from);
    s->at = at;
    s->state = JSON_AT_VALUE;
    return JSON_NAME;
}

json_event json_next(json_scan *s)
{
    if (s->depth == 0 && s->state == JSON_AT_COMMA) return JSON_END;
    int c = json_peek(s);
    bool object = s->depth > 0 && s->object[s->depth - 1];
    bool may_end = s->state == JSON_AT_COMMA || s->state == JSON_AT_ITEM || s->state == JSON_AT_MEMBER;
    s->length = 0;
    if (c < 0) text_fail(s->at, "the file ends within an %s", object ? "object" : "array");
    if (may_end && c == (object ? '}' : ']')) return json_close_level(s);
    if (s->state == JSON_AT_COMMA) {
        if (c != ',') text_fail(s->at, "',' or '%c' should stand here", object ? '}' : ']');
        (void)source_get(&s->from);
        s->state = object ? JSON_AT_NAME : JSON_AT_VALUE;
        c = json_peek(s);
        if (c < 0) text_fail(s->at, "the file ends within an %s", object ? "object" : "array");
    }
    return s->state == JSON_AT_NAME || s->state == JSON_AT_MEMBER ? json_name(s, c) : json_value(s, c);
}

void json_skip(json_scan *s, json_event began)
{
    int outside = s->depth - 1;
    if (began == JSON_MISSING) text_fail(s->at, "a value is missing here");
    if (began != JSON_ARRAY && began != JSON_OBJECT) return;
    while (s->depth > outside) {
        if (json_next(s) == JSON_MISSING) text_fail(s->at, "a value is missing here");
    }
}

bool json_has_number(const char *begin, const char *end)
{
    const char *digits = begin + (*begin == '-' ? 1 : 0);
    const char *point = (const char *)memchr(digits, '.', (size_t)(end - digits));
    return is_digit(digits[0]) && (digits[0] != '0' || !is_digit(digits[1])) && (!point || is_digit(point[1]));
}
