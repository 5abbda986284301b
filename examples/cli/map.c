/* map.c - plans that are read: which expert is in each slot, -1 where none is. Such a plan turns counts of slots into
   counts of experts, and is what `plan --map` and `score` score. Of what formats it may be, formats.c knows; here is
   what their readers share, and what becomes of the plan. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- JSON */

map_reader map_begin(source from)
{
    map_reader r;
    memset(&r, 0, sizeof r);
    text_skip_mark(&from);
    r.map.name = from.name;
    r.map.num_steps = 1;
    r.scan.from = from;
    r.scan.line = 1;
    r.scan.line_place = source_at(&from);
    json_begin(&r.scan);
    return r;
}

plan_map map_end(map_reader *r)
{
    if (json_peek(&r->scan) >= 0) text_fail(r->scan.at, "the file goes on after its plan");
    source_close(&r->scan.from);
    return r->map;
}

json_event map_next(map_reader *r)
{
    json_event event = json_next(&r->scan);
    if (event == JSON_MISSING) text_fail(r->scan.at, "a value is missing here");
    return event;
}

bool map_has(const map_reader *r, const char *text) { return strcmp(r->scan.token, text) == 0; }

int64_t map_integer(map_reader *r, json_event event, int64_t lowest, int64_t highest, const char *wrong)
{
    const char *token = r->scan.token, *end = token + r->scan.length;
    int64_t value = 0;
    if (event != JSON_WORD)
        text_fail(r->scan.at, "%s where a number should be",
                  event == JSON_STRING  ? "a string"
                  : event == JSON_ARRAY ? "an array"
                                        : "an object");
    bool whole = json_has_number(token, end) && parse_integer(token, end, &value);
    if (!whole || value < lowest || value > highest) text_fail(r->scan.at, "'%s' %s", quoted(token, end).text, wrong);
    return value;
}

void map_add_slot(map_reader *r, json_event event)
{
    int64_t expert = map_integer(r, event, INT64_MIN, INT64_MAX, "is not a whole number");
    const char *wrong = id_wrong(expert, 0);
    if (wrong) text_fail(r->scan.at, "'%s' %s", quoted(r->scan.token, r->scan.token + r->scan.length).text, wrong);
    if (r->num_slots == r->slots_room)
        r->map.phy2log = (int32_t *)grow(r->map.phy2log, &r->slots_room, sizeof(int32_t));
    r->map.phy2log[r->num_slots++] = (int32_t)expert;
}

void map_end_layer(map_reader *r, size_t count)
{
    if (count == 0) text_fail(r->scan.at, "a layer without slots");
    if (r->map.num_layers > 0 && count != (size_t)r->map.num_replicas)
        text_fail(r->scan.at, "a layer of %zu slots; those above have %d", count, (int)r->map.num_replicas);
    if (count > INT32_MAX || r->map.num_layers == INT32_MAX)
        text_fail(r->scan.at, "more slots or layers than %d", INT32_MAX);
    r->map.num_replicas = (int32_t)count;
    r->map.num_layers++;
}

void map_add_layer(map_reader *r, json_event event)
{
    size_t before = r->num_slots;
    for (; event != JSON_ARRAY_END; event = map_next(r)) map_add_slot(r, event);
    map_end_layer(r, r->num_slots - before);
}

void map_number_layer(map_reader *r, int64_t number, text_place place)
{
    int32_t before = r->map.num_layers - 1;
    if (before > 0 && r->map.layer[before - 1] >= number)
        text_fail(place, "layer %lld after layer %lld: layers ascend in a plan", (long long)number,
                  (long long)r->map.layer[before - 1]);
    if ((size_t)before == r->layers_room)
        r->map.layer = (int64_t *)grow(r->map.layer, &r->layers_room, sizeof(int64_t));
    r->map.layer[before] = number;
}

static const char *shape_of_plans(int most_dims)
{
    return most_dims == 3 ? "a plan is [layers, slots], [slots], or [steps, layers, slots]"
                          : "a plan is [layers, slots] or [slots]";
}

/* A step has ended that began with layer `first`; each has as many layers. */
static void map_end_step(map_reader *r, int32_t first, int32_t per_step)
{
    int32_t layers = r->map.num_layers - first;
    if (layers == 0) text_fail(r->scan.at, "a step without layers");
    if (first > 0 && layers != per_step)
        text_fail(r->scan.at, "a step of %d layer%s; those above have %d", (int)layers, layers == 1 ? "" : "s",
                  (int)per_step);
}

void map_add_arrays(map_reader *r, int most_dims)
{
    int outside = r->scan.depth - 1, dims = 1;
    int32_t first = 0, per_step = 0; /* layer of the step at hand; layers of each */
    json_event event = map_next(r);
    for (; event == JSON_ARRAY && dims < most_dims; dims++) event = map_next(r);
    if (event == JSON_ARRAY) text_fail(r->scan.at, "an array for an expert: %s", shape_of_plans(most_dims));
    map_add_layer(r, event);
    while (r->scan.depth > outside) {
        event = map_next(r);
        int inside = r->scan.depth - outside;
        if (event != JSON_ARRAY && event != JSON_ARRAY_END)
            text_fail(r->scan.at, "an array should begin here: %s", shape_of_plans(most_dims));
        if (event == JSON_ARRAY && inside == dims) map_add_layer(r, map_next(r));
        if (event == JSON_ARRAY || inside != 1 || dims < 3) continue;
        map_end_step(r, first, per_step);
        per_step = r->map.num_layers - first;
        first = r->map.num_layers;
    }
    if (per_step > 0) { /* of plans in time */
        r->map.num_steps = r->map.num_layers / per_step;
        r->map.num_layers = per_step;
    }
}

/* -------------------------------------------------------------------------------------- files */

plan_map map_of(source from)
{
    const file_format *f = format_of_plan(&from);
    if (!f) {
        map_reader r = map_begin(from);
        (void)json_peek(&r.scan);
        text_fail(r.scan.at, "no plan begins here: it is JSON that `plan --json` wrote, arrays of experts in JSON or "
                             ".npy, or a plan of an engine; `eplb formats` lists them");
    }
    return f->read_plan(from);
}

/* The numbers of a list such as 3 or 0,4-7, each less than count; ends the program when it is none. */
void mark_numbers(const char *option, const char *list, bool *marked, int32_t count)
{
    const char *begin = list, *end;
    do {
        int64_t first = 0, last;
        end = begin + strcspn(begin, ",");
        const char *dash = (const char *)memchr(begin, '-', (size_t)(end - begin));
        bool fine = parse_integer(begin, dash ? dash : end, &first);
        last = first;
        fine = fine && (!dash || parse_integer(dash + 1, end, &last));
        if (!fine || first < 0 || last < first || last >= count)
            fail(STATUS_INPUT, "%s needs numbers of GPUs below %d, such as 3 or 0,4-7, not '%s'", option, (int)count,
                 list);
        for (int64_t i = first; i <= last; i++) marked[i] = true;
        begin = end + 1;
    } while (*end == ',');
}

/* Whether all slots of a GPU hold expert 0, in all layers and steps. */
static bool holds_zeros(const plan_map *m, int32_t slots, int32_t gpu)
{
    for (size_t row = 0; row < (size_t)m->num_steps * (size_t)m->num_layers; row++) {
        const int32_t *slot = m->phy2log + row * (size_t)m->num_replicas + (size_t)gpu * (size_t)slots;
        for (int32_t i = 0; i < slots; i++) {
            if (slot[i] != 0) return false;
        }
    }
    return true;
}

/* One layer, or slot, may well be so. SGLang 0.5.23's elasticity_aware fills a dead rank's slots with expert 0, which none
   of its tokens goes to: who reads such a plan without knowing which ranks are dead takes these slots for replicas. */
static void doubt_zeros(const plan_map *m, int32_t slots, int32_t gpus)
{
    for (int32_t gpu = 0; gpu < gpus && slots > 1 && m->num_layers > 1; gpu++) {
        if (holds_zeros(m, slots, gpu))
            note("%s: all slots of GPU %d hold expert 0, as those of a dead rank do in SGLang's plans: if it is dead, "
                 "say "
                 "so with --dead %d",
                 m->name, (int)gpu, (int)gpu);
    }
}

/* The slots of dead GPUs hold nothing. */
static void take_dead(plan_map *m, const reading *how)
{
    int32_t gpus = m->num_gpus ? m->num_gpus : how->gpus;
    if (how->dead && !gpus) fail(STATUS_INPUT, "--dead needs --gpus; try 'eplb --help'");
    int32_t slots = gpus ? m->num_replicas / gpus : 0;
    if (slots == 0 || m->num_replicas % gpus != 0) /* which others find, who need it */
        return;
    if (!how->dead) {
        doubt_zeros(m, slots, gpus);
        return;
    }
    bool *dead = (bool *)allocate((size_t)gpus, sizeof *dead);
    mark_numbers("--dead", how->dead, dead, gpus);
    for (size_t row = 0; row < (size_t)m->num_steps * (size_t)m->num_layers; row++) {
        for (int32_t slot = 0; slot < m->num_replicas; slot++) {
            if (dead[slot / slots]) m->phy2log[row * (size_t)m->num_replicas + (size_t)slot] = -1;
        }
    }
    free(dead);
}

plan_map map_read(const char *path, const reading *how)
{
    plan_map m = map_of(source_open(path));
    if (m.num_gpus && how->gpus && m.num_gpus != how->gpus)
        fail(STATUS_INPUT, "%s: a plan for %d GPUs, but --gpus is %d", m.name, (int)m.num_gpus, (int)how->gpus);
    take_dead(&m, how);
    return m;
}

void map_free(plan_map *m)
{
    free(m->layer);
    free(m->phy2log);
}

int32_t map_count_experts(const plan_map *m)
{
    int32_t most = 0;
    for (size_t i = 0; i < (size_t)m->num_steps * (size_t)m->num_layers * (size_t)m->num_replicas; i++)
        most = m->phy2log[i] > most ? m->phy2log[i] : most;
    return m->num_experts > most ? m->num_experts : most + 1;
}

const plan_map *map_in_force(const settings *s, const feed *from, plan_map *own)
{
    memset(own, 0, sizeof *own);
    if (!s->reading.map) return NULL;
    const plan_map *m = &from->map;
    if (!m->phy2log) {
        *own = map_read(s->reading.map, &s->reading);
        m = own;
    }
    if (!s->replicas || m->num_replicas == s->replicas) return m;
    if (m == own || s->command == COMMAND_SCORE)
        fail(STATUS_INPUT, "%s: %d slots in a layer, but --replicas is %d", m->name, (int)m->num_replicas,
             (int)s->replicas);
    return NULL;
}

/* -------------------------------------------------------------------------------------- loads */

/* Bare arrays do not number their layers: as many as there are loads of, they are the same in the same
   order. */
int32_t *map_slots_at(const plan_map *m, int32_t step, const int64_t *layer, int32_t num_layers, int32_t i)
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
    return m->phy2log + ((size_t)step * (size_t)m->num_layers + (size_t)row) * (size_t)m->num_replicas;
}

int32_t *map_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i)
{
    return map_slots_at(m, m->num_steps - 1, layer, num_layers, i);
}

int32_t *map_known_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i, int32_t num_experts)
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
    bool *seen = (bool *)allocate((size_t)q->num_experts, sizeof(bool));
    int32_t e = 0;
    for (int32_t slot = 0; slot < q->num_replicas; slot++) {
        if (phy2log[slot] >= 0 && may_use(q, slot)) seen[phy2log[slot]] = true;
    }
    while (e < q->num_experts && seen[e]) e++;
    free(seen);
    return e < q->num_experts ? e : -1;
}

int32_t *map_whole_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            const eplb_problem *q)
{
    int32_t *phy2log = map_known_slots_of(m, layer, num_layers, i, q->num_experts);
    int32_t missing = first_missing(q, phy2log);
    if (missing >= 0)
        fail(STATUS_INPUT, "%s: layer %lld: no slot%s holds expert %d%s", m->name, (long long)layer[i],
             q->gpu_slots ? " that may be used" : "", (int)missing,
             q->num_experts == m->num_replicas ? "; if the loads are counts of slots, say so with --axes (such as LP)"
                                               : "");
    return phy2log;
}
