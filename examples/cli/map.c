/* map.c - plans that are read: which expert is in each slot. Such a plan turns counts of slots into counts of
   experts, and is what `plan --map` and `score` score. It is this program's JSON, or bare arrays of experts,
   [layers, slots] or [slots], in JSON or NumPy .npy; -1 is a slot that holds none. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- JSON */

typedef struct map_reader {
    const char *at;       /* the byte looked at; a 0 follows the last one */
    const char *line_begin;
    size_t      line;     /* 1-based */
    plan_map    map;
    size_t      num_slots, slots_room; /* in map.phy2log, those of all layers */
    size_t      layers_room;
} map_reader;

static text_place map_place(const map_reader *r, const char *at)
{
    text_place place = {r->map.name, r->line, (size_t)(at - r->line_begin) + 1};
    return place;
}

/* The next character that is not white space; 0 at the end of the file. */
static char map_peek(map_reader *r)
{
    for (; is_space(*r->at); r->at++) {
        if (*r->at == '\n') {
            r->line++;
            r->line_begin = r->at + 1;
        }
    }
    return *r->at;
}

static bool map_accept(map_reader *r, char c)
{
    if (map_peek(r) != c)
        return false;
    r->at++;
    return true;
}

static void map_expect(map_reader *r, char c)
{
    if (!map_accept(r, c))
        text_fail(map_place(r, r->at), *r->at ? "'%c' should stand here" : "the file ends where '%c' should stand",
                  c);
}

/* After an item: goes past the comma before the next one, or past the bracket after the last. */
static bool map_goes_on(map_reader *r, char bracket)
{
    if (map_accept(r, ','))
        return true;
    map_expect(r, bracket);
    return false;
}

/* A string without its quotation marks; what is escaped stays so, as in no word that is looked for. */
static text_field map_string(map_reader *r)
{
    text_field word;
    map_expect(r, '"');
    for (word.begin = r->at; *r->at != '"'; r->at++) {
        if (*r->at == '\\' && r->at[1])
            r->at++;
        if (*r->at == '\0' || *r->at == '\n')
            text_fail(map_place(r, r->at), "a string that does not end in its line");
    }
    word.end = r->at++;
    return word;
}

/* What stands there up to the next white space or mark. */
static text_field map_word(map_reader *r)
{
    text_field word;
    (void)map_peek(r);
    for (word.begin = r->at; *r->at && !is_space(*r->at) && !strchr(",:[]{}\"", *r->at);)
        r->at++;
    word.end = r->at;
    if (word.end == word.begin)
        text_fail(map_place(r, r->at), *r->at ? "a value should stand here" : "the file ends within a value");
    return word;
}

static bool word_is(text_field word, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(word.end - word.begin) == n && memcmp(word.begin, text, n) == 0;
}

/* Goes past a value of any kind. */
static void map_skip(map_reader *r)
{
    size_t depth = 0; /* of brackets that are open */
    do {
        char c = map_peek(r);
        if (c == '"') {
            (void)map_string(r);
        } else if (c == '[' || c == '{') {
            depth++;
            r->at++;
        } else if (depth > 0 && (c == ']' || c == '}')) {
            depth--;
            r->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            r->at++;
        } else {
            (void)map_word(r);
        }
    } while (depth > 0);
}

static int64_t map_integer(map_reader *r, const char *wrong, int64_t lowest, int64_t highest)
{
    text_field word  = map_word(r);
    int64_t    value = 0;
    if (!parse_integer(word.begin, word.end, &value) || value < lowest || value > highest)
        text_fail(map_place(r, word.begin), "'%s' %s", quoted(word.begin, word.end).text, wrong);
    return value;
}

static void map_add_layer(map_reader *r, size_t num_slots)
{
    if (r->map.num_layers > 0 && num_slots != (size_t)r->map.num_replicas)
        text_fail(map_place(r, r->at), "a layer of %zu slots; those above have %d", num_slots,
                  (int)r->map.num_replicas);
    if (num_slots > INT32_MAX || r->map.num_layers == INT32_MAX)
        text_fail(map_place(r, r->at), "more slots or layers than %d", INT32_MAX);
    r->map.num_replicas = (int32_t)num_slots;
    r->map.num_layers++;
}

/* The experts in one layer's slots, after the bracket before them. */
static void map_slots(map_reader *r)
{
    size_t before = r->num_slots;
    do {
        int64_t expert = map_integer(r, "is neither an expert nor -1, a slot without one", -1,
                                     INT32_MAX - 1);
        if (r->num_slots == r->slots_room)
            r->map.phy2log = (int32_t *)grow(r->map.phy2log, &r->slots_room, sizeof(int32_t));
        r->map.phy2log[r->num_slots++] = (int32_t)expert;
    } while (map_goes_on(r, ']'));
    map_add_layer(r, r->num_slots - before);
}

/* [[..], ..] or [..], after the first bracket. */
static void map_arrays(map_reader *r)
{
    if (map_peek(r) != '[') {
        map_slots(r);
        return;
    }
    do {
        map_expect(r, '[');
        if (map_peek(r) == '[')
            text_fail(map_place(r, r->at), "an array for an expert: a plan is [layers, slots] or [slots]");
        map_slots(r);
    } while (map_goes_on(r, ']'));
}

/* The name of the next value of an object, after the brace or the comma before it. */
static text_field map_name(map_reader *r)
{
    text_field name = map_string(r);
    map_expect(r, ':');
    return name;
}

/* {"layer":..,"phy2log":[..],..}, after the brace. Layers ascend. */
static void map_layer(map_reader *r)
{
    const char *begin  = r->at - 1;
    text_place  place  = map_place(r, begin);
    int64_t     number = -1;
    int32_t     before = r->map.num_layers;
    do {
        text_field name = map_name(r);
        if (word_is(name, "layer"))
            number = map_integer(r, "is not a layer", 0, INT64_MAX);
        else if (word_is(name, "phy2log") && r->map.num_layers == before) {
            map_expect(r, '[');
            map_slots(r);
        } else
            map_skip(r);
    } while (map_goes_on(r, '}'));
    if (number < 0 || r->map.num_layers == before)
        text_fail(place, "a layer without \"%s\"", number < 0 ? "layer" : "phy2log");
    if (before > 0 && r->map.layer[before - 1] >= number)
        text_fail(place, "layer %lld after layer %lld: layers ascend in a plan", (long long)number,
                  (long long)r->map.layer[before - 1]);
    if ((size_t)before == r->layers_room)
        r->map.layer = (int64_t *)grow(r->map.layer, &r->layers_room, sizeof(int64_t));
    r->map.layer[before] = number;
}

/* {..,"num_experts":..,..}, after the brace. */
static void map_problem(map_reader *r)
{
    do {
        if (word_is(map_name(r), "num_experts"))
            r->map.num_experts = (int32_t)map_integer(r, "is not a number of experts", 1, INT32_MAX);
        else
            map_skip(r);
    } while (map_goes_on(r, '}'));
}

/* This program's JSON, after the first brace. */
static void map_plan(map_reader *r)
{
    text_place place = map_place(r, r->at - 1);
    bool       known = false;
    if (map_peek(r) == '}')
        text_fail(place, "an object without \"format\":\"eplb-plan\", which this program's plans have");
    do {
        text_field name = map_name(r);
        if (word_is(name, "format"))
            known = map_peek(r) == '"' && word_is(map_string(r), "eplb-plan");
        else if (word_is(name, "version"))
            (void)map_integer(r, "is no version of the format that can be read: only 1", 1, 1);
        else if (word_is(name, "problem") && map_accept(r, '{'))
            map_problem(r);
        else if (known && word_is(name, "layers") && map_accept(r, '[')) {
            do {
                map_expect(r, '{');
                map_layer(r);
            } while (map_goes_on(r, ']'));
        } else
            map_skip(r);
    } while (map_goes_on(r, '}'));
    if (!known)
        text_fail(place, "an object without \"format\":\"eplb-plan\", which this program's plans have");
    if (r->map.num_layers == 0)
        text_fail(place, "a plan without layers");
}

static plan_map map_json(source *from)
{
    map_reader r;
    size_t     size  = from->size < SIZE_MAX ? (size_t)from->size : SIZE_MAX - 1;
    char      *bytes = (char *)allocate(size + 1, 1);
    text_skip_mark(from);
    size        = source_read(from, bytes, size);
    bytes[size] = '\0';
    memset(&r, 0, sizeof r);
    r.map.name = from->name;
    r.line     = 1;
    r.at = r.line_begin = bytes;
    if (map_accept(&r, '{'))
        map_plan(&r);
    else if (map_accept(&r, '['))
        map_arrays(&r);
    else
        text_fail(map_place(&r, r.at),
                  "no plan begins here: it is JSON that `plan --json` wrote, or arrays of experts in JSON or .npy");
    if (map_peek(&r) || r.at != bytes + size)
        text_fail(map_place(&r, r.at), "the file goes on after its plan");
    free(bytes);
    return r.map;
}

const plan_map *map_in_force(const settings *s, const feed *from, plan_map *own)
{
    memset(own, 0, sizeof *own);
    if (!s->reading.map)
        return NULL;
    const plan_map *m = &from->map;
    if (!m->phy2log) {
        *own = map_read(s->reading.map);
        m    = own;
    }
    if (!s->replicas || m->num_replicas == s->replicas)
        return m;
    if (m == own)
        fail(STATUS_INPUT, "%s: %d slots in a layer, but --replicas is %d", m->name, (int)m->num_replicas,
             (int)s->replicas);
    return NULL;
}

plan_map map_of(source from)
{
    plan_map map = map_json(&from);
    source_close(&from);
    return map;
}

plan_map map_read(const char *path)
{
    return map_of(source_open(path));
}

void map_free(plan_map *m)
{
    free(m->layer);
    free(m->phy2log);
}

/* -------------------------------------------------------------------------------------- loads */

/* Bare arrays do not number their layers: as many as there are loads of, they are the same in the same
   order. */
int32_t *map_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i)
{
    int64_t row = m->layer                      ? find_number(m->layer, m->num_layers, layer[i])
                  : m->num_layers == num_layers ? i
                                                : layer[i];
    if (m->layer && row < 0)
        fail(STATUS_INPUT, "%s: no plan of layer %lld; the layers are %s", m->name, (long long)layer[i],
             list_numbers(m->layer, m->num_layers).text);
    if (row >= m->num_layers)
        fail(STATUS_INPUT, "%s: plans of %d layer%s, but the loads are of %d", m->name, (int)m->num_layers,
             m->num_layers == 1 ? "" : "s", (int)num_layers);
    return m->phy2log + (size_t)row * (size_t)m->num_replicas;
}

int32_t *map_whole_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            int32_t num_experts)
{
    int32_t  *phy2log = map_slots_of(m, layer, num_layers, i), e = 0;
    long long number  = (long long)layer[i];
    bool     *seen    = (bool *)allocate((size_t)num_experts, sizeof(bool));
    for (int32_t slot = 0; slot < m->num_replicas; slot++) {
        if (phy2log[slot] >= num_experts)
            fail(STATUS_INPUT, "%s: layer %lld, slot %d: expert %d, but the loads have %d experts", m->name,
                 number, (int)slot, (int)phy2log[slot], (int)num_experts);
        if (phy2log[slot] >= 0)
            seen[phy2log[slot]] = true;
    }
    while (e < num_experts && seen[e])
        e++;
    if (e < num_experts)
        fail(STATUS_INPUT, "%s: layer %lld: no slot holds expert %d%s", m->name, number, (int)e,
             num_experts == m->num_replicas
                 ? "; if the loads are counts of slots, say so with --axes (such as LP)"
                 : "");
    free(seen);
    return phy2log;
}
