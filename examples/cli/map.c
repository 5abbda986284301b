/* map.c - plans that are read: which expert is in each slot. Such a plan turns counts of slots into counts of
   experts, and is what `plan --map` and `score` score. It is this program's JSON, or bare arrays of experts,
   [layers, slots] or [slots], in JSON or NumPy .npy; -1 is a slot that holds none. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- JSON */

typedef struct map_reader {
    json_scan scan;
    plan_map  map;
    size_t    num_slots, slots_room; /* in map.phy2log, those of all layers */
    size_t    layers_room;
} map_reader;

/* The next part of the plan, which misses nothing. */
static json_event map_next(map_reader *r)
{
    json_event event = json_next(&r->scan);
    if (event == JSON_MISSING)
        text_fail(r->scan.at, "a value is missing here");
    return event;
}

/* Whether the name, string or word read last is this one. */
static bool map_has(const map_reader *r, const char *text)
{
    return strcmp(r->scan.token, text) == 0;
}

/* The value, which is a whole number within these bounds; else what is wrong with it. */
static int64_t map_integer(map_reader *r, json_event event, int64_t lowest, int64_t highest,
                           const char *wrong)
{
    const char *token = r->scan.token, *end = token + r->scan.length;
    int64_t     value = 0;
    if (event != JSON_WORD)
        text_fail(r->scan.at, "%s where a number should be",
                  event == JSON_STRING  ? "a string"
                  : event == JSON_ARRAY ? "an array"
                                        : "an object");
    bool whole = json_has_number(token, end) && parse_integer(token, end, &value);
    if (!whole || value < lowest || value > highest)
        text_fail(r->scan.at, "'%s' %s", quoted(token, end).text, wrong);
    return value;
}

static void map_add_slot(map_reader *r, json_event event)
{
    int64_t     expert = map_integer(r, event, INT64_MIN, INT64_MAX, "is not a whole number");
    const char *wrong  = id_wrong(expert, 0);
    if (wrong)
        text_fail(r->scan.at, "'%s' %s", quoted(r->scan.token, r->scan.token + r->scan.length).text, wrong);
    if (r->num_slots == r->slots_room)
        r->map.phy2log = (int32_t *)grow(r->map.phy2log, &r->slots_room, sizeof(int32_t));
    r->map.phy2log[r->num_slots++] = (int32_t)expert;
}

/* The experts in the slots of a layer, from the first of them on to the end of their array. */
static void map_add_layer(map_reader *r, json_event event)
{
    size_t before = r->num_slots, count;
    for (; event != JSON_ARRAY_END; event = map_next(r))
        map_add_slot(r, event);
    count = r->num_slots - before;
    if (count == 0)
        text_fail(r->scan.at, "a layer without slots");
    if (r->map.num_layers > 0 && count != (size_t)r->map.num_replicas)
        text_fail(r->scan.at, "a layer of %zu slots; those above have %d", count, (int)r->map.num_replicas);
    if (count > INT32_MAX || r->map.num_layers == INT32_MAX)
        text_fail(r->scan.at, "more slots or layers than %d", INT32_MAX);
    r->map.num_replicas = (int32_t)count;
    r->map.num_layers++;
}

/* What is in the outer array: layers, or the slots of one. */
static void map_add_arrays(map_reader *r)
{
    json_event event = map_next(r);
    if (event != JSON_ARRAY) {
        map_add_layer(r, event);
        return;
    }
    for (; event != JSON_ARRAY_END; event = map_next(r)) {
        if (event != JSON_ARRAY)
            text_fail(r->scan.at, "an array should begin here: a plan is [layers, slots] or [slots]");
        if ((event = map_next(r)) == JSON_ARRAY)
            text_fail(r->scan.at, "an array for an expert: a plan is [layers, slots] or [slots]");
        map_add_layer(r, event);
    }
}

/* What is in an object of the list of layers. */
static void map_add_numbered_layer(map_reader *r)
{
    text_place place  = r->scan.at;
    int64_t    number = -1;
    int32_t    before = r->map.num_layers;
    while (map_next(r) == JSON_NAME) {
        bool       is_number = map_has(r, "layer"), is_plan = map_has(r, "phy2log");
        json_event value     = map_next(r);
        if (is_number)
            number = map_integer(r, value, 0, INT64_MAX, "is not a layer");
        else if (is_plan && value == JSON_ARRAY && r->map.num_layers == before)
            map_add_layer(r, map_next(r));
        else
            json_skip(&r->scan, value);
    }
    if (number < 0 || r->map.num_layers == before)
        text_fail(place, "a layer without \"%s\"", number < 0 ? "layer" : "phy2log");
    if (before > 0 && r->map.layer[before - 1] >= number)
        text_fail(place, "layer %lld after layer %lld: layers ascend in a plan", (long long)number,
                  (long long)r->map.layer[before - 1]);
    if ((size_t)before == r->layers_room)
        r->map.layer = (int64_t *)grow(r->map.layer, &r->layers_room, sizeof(int64_t));
    r->map.layer[before] = number;
}

static void map_add_layers(map_reader *r)
{
    for (json_event event = map_next(r); event != JSON_ARRAY_END; event = map_next(r)) {
        if (event != JSON_OBJECT)
            text_fail(r->scan.at, "an object should begin here: a layer with its \"phy2log\"");
        map_add_numbered_layer(r);
    }
}

/* What is in the object of the problem. */
static void map_take_problem(map_reader *r)
{
    while (map_next(r) == JSON_NAME) {
        bool       known = map_has(r, "num_experts");
        json_event value = map_next(r);
        if (known)
            r->map.num_experts = (int32_t)map_integer(r, value, 1, INT32_MAX, "is not a number of experts");
        else
            json_skip(&r->scan, value);
    }
}

enum { MAP_OTHER, MAP_FORMAT, MAP_VERSION, MAP_PROBLEM, MAP_LAYERS, MAP_NUM_NAMES };

/* What is in the object that this program's plans are. */
static void map_add_plan(map_reader *r)
{
    static const char *const NAMES[MAP_NUM_NAMES] = {"", "format", "version", "problem", "layers"};
    text_place               place                = r->scan.at;
    bool                     known                = false;
    while (map_next(r) == JSON_NAME) {
        int name = MAP_NUM_NAMES - 1;
        while (name > MAP_OTHER && !map_has(r, NAMES[name]))
            name--;
        json_event value = map_next(r);
        if (name == MAP_FORMAT && value == JSON_STRING)
            known = map_has(r, "eplb-plan");
        else if (name == MAP_VERSION && known)
            (void)map_integer(r, value, 1, 1, "is no version of the format that can be read: only 1");
        else if (name == MAP_PROBLEM && value == JSON_OBJECT)
            map_take_problem(r);
        else if (name == MAP_LAYERS && known && value == JSON_ARRAY && r->map.num_layers == 0)
            map_add_layers(r);
        else
            json_skip(&r->scan, value);
    }
    if (!known)
        text_fail(place, "an object without \"format\":\"eplb-plan\", which this program's plans have");
    if (r->map.num_layers == 0)
        text_fail(place, "a plan without layers");
}

static plan_map map_json(source *from)
{
    map_reader r;
    memset(&r, 0, sizeof r);
    text_skip_mark(from);
    r.map.name        = from->name;
    r.scan.from       = *from;
    r.scan.line       = 1;
    r.scan.line_place = source_at(from);
    json_begin(&r.scan);
    int first = json_peek(&r.scan);
    if (first != '[' && first != '{')
        text_fail(r.scan.at, "no plan begins here: it is JSON that `plan --json` wrote, or arrays of experts in "
                  "JSON or .npy");
    if (json_next(&r.scan) == JSON_ARRAY)
        map_add_arrays(&r);
    else
        map_add_plan(&r);
    if (json_peek(&r.scan) >= 0)
        text_fail(r.scan.at, "the file goes on after its plan");
    *from = r.scan.from;
    return r.map;
}

/* -------------------------------------------------------------------------------------- files */

plan_map map_of(source from)
{
    plan_map map;
    if (npy_begins(&from))
        return npy_map(from);
    foreign_refuse(&from);
    map = map_json(&from);
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
    if (m == own || s->command == COMMAND_SCORE)
        fail(STATUS_INPUT, "%s: %d slots in a layer, but --replicas is %d", m->name, (int)m->num_replicas,
             (int)s->replicas);
    return NULL;
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

int32_t *map_known_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            int32_t num_experts)
{
    int32_t *phy2log = map_slots_of(m, layer, num_layers, i);
    for (int32_t slot = 0; slot < m->num_replicas; slot++) {
        if (phy2log[slot] >= num_experts)
            fail(STATUS_INPUT, "%s: layer %lld, slot %d: expert %d, but the loads have %d experts", m->name,
                 (long long)layer[i], (int)slot, (int)phy2log[slot], (int)num_experts);
    }
    return phy2log;
}

int32_t first_missing(const eplb_problem *q, const int32_t *phy2log)
{
    bool   *seen = (bool *)allocate((size_t)q->num_experts, sizeof(bool));
    int32_t e    = 0;
    for (int32_t slot = 0; slot < q->num_replicas; slot++) {
        if (phy2log[slot] >= 0 && may_use(q, slot))
            seen[phy2log[slot]] = true;
    }
    while (e < q->num_experts && seen[e])
        e++;
    free(seen);
    return e < q->num_experts ? e : -1;
}

int32_t *map_whole_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            const eplb_problem *q)
{
    int32_t *phy2log = map_known_slots_of(m, layer, num_layers, i, q->num_experts);
    int32_t  missing = first_missing(q, phy2log);
    if (missing >= 0)
        fail(STATUS_INPUT, "%s: layer %lld: no slot%s holds expert %d%s", m->name, (long long)layer[i],
             q->gpu_slots ? " that may be used" : "", (int)missing,
             q->num_experts == m->num_replicas
                 ? "; if the loads are counts of slots, say so with --axes (such as LP)"
                 : "");
    return phy2log;
}
