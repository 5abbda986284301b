/* bare.c - plans that are of no engine: this program's own JSON, bare arrays of experts in JSON, which are [layers,
   slots], [slots] or [steps, layers, slots], and the three arrays that the reference's rebalance_experts gives. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static void write_row(FILE *out, const int32_t *value, int32_t count)
{
    for (int32_t i = 0; i < count; i++) fprintf(out, "%s%d", i ? "," : "[", (int)value[i]);
    fprintf(out, "]");
}

/* -------------------------------------------------------------------------------------- arrays */

bool bare_begins(source *from)
{
    text_skip_mark(from);
    while (source_peek(from) >= 0 && is_space((char)source_peek(from))) (void)source_get(from);
    bool array = source_peek(from) == '[';
    source_seek(from, 0);
    return array;
}

plan_map bare_read(source from)
{
    map_reader r = map_begin(from);
    (void)map_next(&r);
    map_add_arrays(&r, 3);
    return map_end(&r);
}

/* A layer stands on one line. */
void bare_write(FILE *out, const plan_map *m)
{
    bool steps = m->num_steps > 1;
    fprintf(out, steps ? "[[" : "[");
    for (int32_t row = 0; row < m->num_steps * m->num_layers; row++) {
        bool begins = row > 0 && row % m->num_layers == 0;
        fprintf(out, "%s", row == 0 ? "" : begins ? "],\n[" : ",\n");
        write_row(out, m->phy2log + (size_t)row * (size_t)m->num_replicas, m->num_replicas);
    }
    fprintf(out, steps ? "]]\n" : "]\n");
}

/* ------------------------------------------------------------------------- this program's JSON */

/* What is in an object of the list of layers. */
static void eplb_add_layer(map_reader *r)
{
    text_place place = r->scan.at;
    int64_t number = -1;
    int32_t before = r->map.num_layers;
    while (map_next(r) == JSON_NAME) {
        bool is_number = map_has(r, "layer"), is_plan = map_has(r, "phy2log");
        json_event value = map_next(r);
        if (is_number) number = map_integer(r, value, 0, INT64_MAX, "is not a layer");
        else if (is_plan && value == JSON_ARRAY && r->map.num_layers == before) map_add_layer(r, map_next(r));
        else json_skip(&r->scan, value);
    }
    if (number < 0 || r->map.num_layers == before)
        text_fail(place, "a layer without \"%s\"", number < 0 ? "layer" : "phy2log");
    map_number_layer(r, number, place);
}

static void eplb_add_layers(map_reader *r)
{
    for (json_event event = map_next(r); event != JSON_ARRAY_END; event = map_next(r)) {
        if (event != JSON_OBJECT) text_fail(r->scan.at, "an object should begin here: a layer with its \"phy2log\"");
        eplb_add_layer(r);
    }
}

/* What is in the object of the problem. */
static void eplb_take_problem(map_reader *r)
{
    while (map_next(r) == JSON_NAME) {
        bool known = map_has(r, "num_experts");
        json_event value = map_next(r);
        if (known) r->map.num_experts = (int32_t)map_integer(r, value, 1, INT32_MAX, "is not a number of experts");
        else json_skip(&r->scan, value);
    }
}

enum { EPLB_OTHER, EPLB_FORMAT, EPLB_VERSION, EPLB_PROBLEM, EPLB_LAYERS, EPLB_NUM_NAMES };

/* What is in the object that this program's plans are. */
static void eplb_add_plan(map_reader *r)
{
    static const char *const NAMES[EPLB_NUM_NAMES] = {"", "format", "version", "problem", "layers"};
    text_place place = r->scan.at;
    bool known = false;
    while (map_next(r) == JSON_NAME) {
        int name = EPLB_NUM_NAMES - 1;
        while (name > EPLB_OTHER && !map_has(r, NAMES[name])) name--;
        json_event value = map_next(r);
        if (name == EPLB_FORMAT && value == JSON_STRING) known = map_has(r, "eplb-plan");
        else if (name == EPLB_VERSION && known)
            (void)map_integer(r, value, 1, 1, "is no version of the format that can be read: only 1");
        else if (name == EPLB_PROBLEM && value == JSON_OBJECT) eplb_take_problem(r);
        else if (name == EPLB_LAYERS && known && value == JSON_ARRAY && r->map.num_layers == 0) eplb_add_layers(r);
        else json_skip(&r->scan, value);
    }
    if (!known)
        text_fail(place,
                  "an object without \"format\":\"eplb-plan\", which this program's plans have, and none of those "
                  "that `eplb formats` lists");
    if (r->map.num_layers == 0) text_fail(place, "a plan without layers");
}

plan_map eplb_read(source from)
{
    map_reader r = map_begin(from);
    (void)map_next(&r);
    eplb_add_plan(&r);
    return map_end(&r);
}

/* No more than a plan itself: how good it is, `plan --json` writes. */
void eplb_write(FILE *out, const plan_map *m)
{
    fprintf(out, "{\"format\":\"eplb-plan\",\"version\":1,\"library\":\"%s\",\n", EPLB_VERSION_STRING);
    fprintf(out, "\"problem\":{\"num_layers\":%d,\"num_experts\":%d,\"num_replicas\":%d},\n\"layers\":[\n",
            (int)m->num_layers, (int)map_count_experts(m), (int)m->num_replicas);
    for (int32_t i = 0; i < m->num_layers; i++) {
        fprintf(out, "{\"layer\":%lld,\"phy2log\":", m->layer ? (long long)m->layer[i] : (long long)i);
        write_row(out, m->phy2log + (size_t)i * (size_t)m->num_replicas, m->num_replicas);
        fprintf(out, "}%s\n", i + 1 < m->num_layers ? "," : "");
    }
    fprintf(out, "]}\n");
}

/* --------------------------------------------------------------------- the reference's results */

typedef struct result_entry { /* of log2phy and logcnt, whose place in the file is kept for messages */
    int32_t layer, expert;
    int64_t value;
    text_place at;
} result_entry;

typedef struct result_list {
    result_entry *entry;
    size_t count, room;
    int32_t num_layers, num_experts; /* 0: the file does not have it */
} result_list;

/* The numbers of [layers, experts] or [layers, experts, X], which have begun. */
static void results_add(map_reader *r, result_list *list)
{
    int outside = r->scan.depth - 1;
    int32_t layer = 0, expert = 0;
    while (r->scan.depth > outside) {
        json_event event = map_next(r);
        int depth = r->scan.depth - outside; /* 2 within a layer */
        if (event == JSON_ARRAY && depth <= 3) continue;
        expert += event == JSON_ARRAY_END && depth == 2; /* of its slots */
        if (event == JSON_ARRAY_END && depth == 1) {
            list->num_experts = expert > list->num_experts ? expert : list->num_experts;
            list->num_layers = ++layer;
            expert = 0;
        }
        if (event == JSON_ARRAY_END) continue;
        if (depth < 2) text_fail(r->scan.at, "an array should begin here: the experts of a layer");
        int64_t value = map_integer(r, event, -1, INT32_MAX, "is no whole number from -1 on");
        if (list->count == list->room)
            list->entry = (result_entry *)grow(list->entry, &list->room, sizeof *list->entry);
        list->entry[list->count++] = (result_entry){layer, expert, value, r->scan.at};
        expert += depth == 2;
    }
}

/* How many slots hold an expert, by phy2log. */
static int32_t results_count(const plan_map *m, int32_t layer, int32_t expert)
{
    int32_t count = 0;
    for (int32_t slot = 0; layer < m->num_layers && slot < m->num_replicas; slot++)
        count += m->phy2log[(size_t)layer * (size_t)m->num_replicas + (size_t)slot] == expert;
    return count;
}

/* Each slot that holds an expert is named by it, once. */
static void results_check_slots(const plan_map *m, const result_list *log2phy)
{
    size_t slots = (size_t)m->num_layers * (size_t)m->num_replicas, named = 0, held = 0;
    bool *seen = (bool *)allocate(slots, sizeof *seen);
    for (size_t i = 0; i < log2phy->count; i++) {
        const result_entry *e = &log2phy->entry[i];
        if (e->value < 0) continue;
        size_t at = (size_t)e->layer * (size_t)m->num_replicas + (size_t)e->value;
        if (e->layer >= m->num_layers || e->value >= m->num_replicas || m->phy2log[at] != e->expert)
            text_fail(e->at, "log2phy gives expert %d of layer %d slot %lld, where phy2log does not have it",
                      (int)e->expert, (int)e->layer, (long long)e->value);
        if (seen[at])
            text_fail(e->at, "log2phy gives expert %d of layer %d slot %lld twice", (int)e->expert, (int)e->layer,
                      (long long)e->value);
        seen[at] = true;
        named++;
    }
    for (size_t i = 0; i < slots; i++) held += m->phy2log[i] >= 0;
    if (named != held)
        fail(STATUS_INPUT, "%s: log2phy has %zu slots, but phy2log has %zu with an expert", m->name, named, held);
    free(seen);
}

static void results_check_counts(const plan_map *m, const result_list *logcnt)
{
    for (size_t i = 0; i < logcnt->count; i++) {
        const result_entry *e = &logcnt->entry[i];
        int32_t count = results_count(m, e->layer, e->expert);
        if (e->value != count)
            text_fail(e->at, "logcnt has %lld replicas of expert %d of layer %d, but phy2log has %d",
                      (long long)e->value, (int)e->expert, (int)e->layer, (int)count);
    }
    if (logcnt->num_layers && logcnt->num_layers != m->num_layers)
        fail(STATUS_INPUT, "%s: logcnt has %d layers, but phy2log has %d", m->name, (int)logcnt->num_layers,
             (int)m->num_layers);
}

/* {"phy2log": [L, R], "log2phy": [L, E, X], "logcnt": [L, E]}, of which the first is enough: what deepseek-ai/EPLB's
   rebalance_experts returns (eplb.py of 2025-03), by .tolist() and json. All three must tell the same plan. */
plan_map results_read(source from)
{
    map_reader r = map_begin(from);
    result_list log2phy, logcnt;
    memset(&log2phy, 0, sizeof log2phy);
    memset(&logcnt, 0, sizeof logcnt);
    (void)map_next(&r);
    text_place place = r.scan.at;
    while (map_next(&r) == JSON_NAME) {
        bool slots = map_has(&r, "phy2log"), experts = map_has(&r, "log2phy"), counts = map_has(&r, "logcnt");
        json_event value = map_next(&r);
        result_list *list = experts ? &log2phy : &logcnt;
        if ((slots || experts || counts)
            && (value != JSON_ARRAY || (slots ? r.map.num_layers > 0 : list->num_layers > 0)))
            text_fail(r.scan.at, "an array should begin here, and each name stand there once");
        if (slots) map_add_arrays(&r, 2);
        else if (experts || counts) results_add(&r, list);
        else json_skip(&r.scan, value);
    }
    if (r.map.num_layers == 0) text_fail(place, "a plan without \"phy2log\"");
    r.map.num_experts = log2phy.num_experts > logcnt.num_experts ? log2phy.num_experts : logcnt.num_experts;
    results_check_counts(&r.map, &logcnt);
    if (log2phy.num_layers > 0) results_check_slots(&r.map, &log2phy);
    free(log2phy.entry);
    free(logcnt.entry);
    return map_end(&r);
}

static void results_write_slots(FILE *out, const plan_map *m, int32_t layer, int32_t expert, int32_t width)
{
    const int32_t *phy2log = m->phy2log + (size_t)layer * (size_t)m->num_replicas;
    int32_t rank = 0;
    for (int32_t slot = 0; slot < m->num_replicas; slot++) {
        if (phy2log[slot] == expert) fprintf(out, "%s%d", rank++ ? "," : "[", (int)slot);
    }
    for (; rank < width; rank++) fprintf(out, "%s-1", rank ? "," : "[");
    fprintf(out, "]");
}

void results_write(FILE *out, const plan_map *m)
{
    int32_t E = map_count_experts(m), width = 1;
    for (int32_t i = 0; i < m->num_layers; i++) {
        for (int32_t e = 0; e < E; e++) {
            int32_t count = results_count(m, i, e);
            width = count > width ? count : width;
        }
    }
    fprintf(out, "{\"phy2log\":");
    bare_write(out, m);
    fprintf(out, ",\"logcnt\":[");
    for (int32_t i = 0; i < m->num_layers; i++) {
        for (int32_t e = 0; e < E; e++) fprintf(out, "%s%d", e ? "," : i ? "],\n[" : "[", (int)results_count(m, i, e));
    }
    fprintf(out, "]],\n\"log2phy\":[");
    for (int32_t i = 0; i < m->num_layers; i++) {
        for (int32_t e = 0; e < E; e++) {
            fprintf(out, "%s", e ? "," : i ? "],\n[" : "[");
            results_write_slots(out, m, i, e, width);
        }
    }
    fprintf(out, "]]}\n");
}
