/* formats.c - the table of formats: a row each, with who reads it, who writes it, what it can hold, and how a file of it
   is told. A format that is added here is read and written by all commands, and listed by `eplb formats`. Of loads only
   those are here that have a layout of their own: CSV, JSON and NumPy of any axes go to the readers of reader.c. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum {
    FORMAT_LOOK = 1 << 12,  /* bytes that are looked through for the names of loads */
    FORMAT_LAYERS = 1 << 12 /* more than any model has */
};

/* clang-format off */
static const file_format FORMATS[] = {
    {"eplb", FORMAT_PLAN, HOLDS_EMPTY | HOLDS_TWICE | HOLDS_LAYERS, "format",
     "this program's JSON; that of `plan --json` has figures, too", NULL, eplb_read, NULL, eplb_write, NULL},
    {"array", FORMAT_PLAN, HOLDS_EMPTY | HOLDS_TWICE | HOLDS_STEPS, NULL,
     "JSON: [layers, slots], [slots], or [steps, layers, slots]", bare_begins, bare_read, NULL, bare_write, NULL},
    {"npy", FORMAT_PLAN, HOLDS_EMPTY | HOLDS_TWICE | HOLDS_STEPS, NULL, "the same arrays from NumPy", npy_begins, npy_map,
     NULL, npy_write_plan, NULL},
    {"results", FORMAT_PLAN, HOLDS_EMPTY | HOLDS_TWICE, "phy2log",
     "JSON: phy2log, log2phy and logcnt as rebalance_experts returns them", NULL, results_read, NULL, results_write, NULL},
    {"sglang", FORMAT_PLAN, HOLDS_TWICE | HOLDS_LAYERS | HOLDS_ROWS, "physical_to_logical_map",
     "JSON for SGLang's --init-expert-location", NULL, sglang_read, NULL, sglang_write, NULL},
    {"ascend", FORMAT_PLAN, HOLDS_GPUS, "layer_list", "JSON for vllm-ascend's expert_map_path", NULL, ascend_read, NULL,
     ascend_write, NULL},
    {"trtllm", FORMAT_PLAN, HOLDS_TWICE | HOLDS_LAYERS, NULL, "YAML for TensorRT-LLM's moe_config.load_balancer",
     trtllm_begins, trtllm_read, NULL, trtllm_write, NULL},
    {"loads-csv", FORMAT_LOADS, HOLDS_STEPS | HOLDS_LAYERS | HOLDS_PARTS, NULL, "CSV with a header step,layer,e0,e1,..", NULL,
     NULL, csv_open, NULL, loads_write_csv},
    {"loads-npy", FORMAT_LOADS, HOLDS_STEPS | HOLDS_PARTS, NULL, "NumPy: [samples, layers, experts] of f4", NULL, NULL,
     npy_open, NULL, loads_write_npy},
    {"sglang-counts", FORMAT_LOADS, HOLDS_STEPS | HOLDS_PARTS, "logical_count",
     "JSON or NumPy: SGLang's recorder, rows of zeros left out", NULL, NULL, sglang_open, NULL,
     sglang_write_counts},
    {"vllm-routed", FORMAT_LOADS, 0, NULL, "NumPy: vLLM's routed_experts, [tokens, layers, K] of ids", NULL, NULL,
     vllm_open_routed, NULL, NULL},
    {"megatron", FORMAT_LOADS, 0, "top_indices", "JSON lines: Megatron-LM's routing trace; --key picks a block",
     NULL, NULL, megatron_open, NULL, NULL},
    {"llama", FORMAT_LOADS, HOLDS_LAYERS, NULL, "CSV: a row layer,expert an event, llama.cpp's moe-trace", NULL, NULL,
     llama_open, NULL, llama_write},
    {"adrs", FORMAT_LOADS, HOLDS_STEPS | HOLDS_PARTS, "load_history",
     "JSON: load_history of the ADRS task", NULL, NULL, adrs_open, NULL, adrs_write},
};
/* clang-format on */
enum { NUM_FORMATS = sizeof FORMATS / sizeof *FORMATS };

const file_format *format_named(const char *option, const char *begin, const char *end, int kind)
{
    nearest found = {NULL, 0};
    for (int i = 0; i < NUM_FORMATS; i++) {
        const file_format *f = &FORMATS[i];
        if (!(f->kind & kind)) continue;
        if (strlen(f->name) == (size_t)(end - begin) && memcmp(f->name, begin, strlen(f->name)) == 0) return f;
        take_nearest(&found, begin, end, f->name);
    }
    if (found.name)
        fail(STATUS_INPUT, "%s: there is no format '%s'; did you mean '%s'?", option, quoted(begin, end).text,
             found.name);
    fail(STATUS_INPUT, "%s: there is no format '%s'; try 'eplb formats'", option, quoted(begin, end).text);
}

/* ------------------------------------------------------------------------------ telling a file */

/* The format of this kind with a key that has just been read; NULL: there is none. */
static const file_format *format_with_key(const json_scan *s, int kind)
{
    for (int i = 0; i < NUM_FORMATS; i++) {
        if ((FORMATS[i].kind & kind) && FORMATS[i].key && strcmp(FORMATS[i].key, s->token) == 0) return &FORMATS[i];
    }
    return NULL;
}

/* The format that the names of the first object tell, those in its first bytes; NULL: none. An object may be the first of
   a list. */
static const file_format *format_by_key(source *from, int kind, uint64_t bytes)
{
    json_scan s;
    const file_format *found = NULL;
    memset(&s, 0, sizeof s);
    text_skip_mark(from);
    s.from = *from;
    s.line = 1;
    s.line_place = source_at(from);
    json_begin(&s);
    int list = json_peek(&s) == '[' ? 1 : 0;
    if (list) (void)json_next(&s);
    if (json_peek(&s) == '{' && json_next(&s) == JSON_OBJECT) {
        for (json_event e = json_next(&s); !found && s.depth > list && s.place < bytes; e = json_next(&s)) {
            if (e == JSON_MISSING) break; /* which its reader says better */
            if (e == JSON_NAME && s.depth == list + 1) found = format_with_key(&s, kind);
        }
    }
    *from = s.from;
    source_seek(from, 0);
    return found;
}

/* The first byte that is no white space. */
static int format_first_byte(source *from)
{
    text_skip_mark(from);
    int first = source_peek(from);
    while (first >= 0 && is_space((char)first)) {
        (void)source_get(from);
        first = source_peek(from);
    }
    source_seek(from, 0);
    return first;
}

const file_format *format_of_plan(source *from)
{
    if (!npy_begins(from)) foreign_refuse(from);
    if (format_first_byte(from) == '{') {
        const file_format *f = format_by_key(from, FORMAT_PLAN, UINT64_MAX);
        return f ? f : &FORMATS[0]; /* which says what is missing */
    }
    for (int i = 0; i < NUM_FORMATS; i++) {
        if (FORMATS[i].kind == FORMAT_PLAN && FORMATS[i].is && FORMATS[i].is(from)) return &FORMATS[i];
    }
    return NULL;
}

const file_format *format_of_loads(source *from)
{
    int first = format_first_byte(from);
    return first == '{' || first == '[' ? format_by_key(from, FORMAT_LOADS, FORMAT_LOOK) : NULL;
}

/* ------------------------------------------------------------------------- what a format holds */

/* The first slot whose expert is in an earlier one of its GPU, or -1. */
static int64_t find_twice(const plan_map *m)
{
    int32_t slots = m->num_gpus ? m->num_replicas / m->num_gpus : 0;
    for (size_t i = 0; slots > 0 && i < (size_t)m->num_layers * (size_t)m->num_replicas; i++) {
        size_t first = i - i % (size_t)slots;
        for (size_t k = first; k < i; k++) {
            if (m->phy2log[k] == m->phy2log[i]) return (int64_t)i;
        }
    }
    return -1;
}

static int64_t find_empty(const plan_map *m)
{
    for (size_t i = 0; i < (size_t)m->num_layers * (size_t)m->num_replicas; i++) {
        if (m->phy2log[i] < 0) return (int64_t)i;
    }
    return -1;
}

static void refuse_slot(const file_format *f, const plan_map *m, int64_t at, const char *what)
{
    int64_t layer = at / m->num_replicas;
    fail(STATUS_INPUT, "%s: layer %lld, slot %d %s, which format %s cannot hold", m->name,
         m->layer ? (long long)m->layer[layer] : (long long)layer, (int)(at % m->num_replicas), what, f->name);
}

void check_held_plan(const file_format *f, const plan_map *m)
{
    if (m->num_steps > 1 && !(f->holds & HOLDS_STEPS))
        fail(STATUS_INPUT, "%s: %d plans, one after the other, of which format %s can hold one", m->name,
             (int)m->num_steps, f->name);
    if (!(f->holds & HOLDS_EMPTY) && find_empty(m) >= 0) refuse_slot(f, m, find_empty(m), "is empty");
    if ((f->holds & HOLDS_GPUS) && !m->num_gpus)
        fail(STATUS_INPUT, "format %s has a list for each GPU: it needs --gpus; try 'eplb --help'", f->name);
    if (m->num_gpus && m->num_replicas % m->num_gpus != 0)
        fail(STATUS_INPUT, "%s: %d slots in a layer are not a multiple of %d GPUs", m->name, (int)m->num_replicas,
             (int)m->num_gpus);
    if (!(f->holds & HOLDS_TWICE) && find_twice(m) >= 0)
        refuse_slot(f, m, find_twice(m), "holds an expert that an earlier slot of its GPU has, too");
    if ((f->holds & HOLDS_ROWS) && m->layer && m->layer[m->num_layers - 1] >= FORMAT_LAYERS)
        fail(STATUS_INPUT, "%s: format %s has a row for each layer up to the last, which is %lld", m->name, f->name,
             (long long)m->layer[m->num_layers - 1]);
    if (!(f->holds & HOLDS_LAYERS) && m->layer && m->layer[m->num_layers - 1] != m->num_layers - 1)
        note("format %s does not number layers: %s become rows 0-%d", f->name,
             list_numbers(m->layer, m->num_layers).text, (int)m->num_layers - 1);
}

/* Reads all samples, so that what is wrong with one is found before anything is written. */
static bool loads_are_whole(feed *from)
{
    size_t count = (size_t)from->num_layers * (size_t)from->num_experts;
    float *load = (float *)allocate(count, sizeof *load);
    bool whole = true;
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        for (size_t i = 0; i < count; i++)
            whole = whole && load[i] <= (float)(1 << 24) && load[i] >= (float)(int32_t)load[i]
                    && load[i] <= (float)(int32_t)load[i];
    }
    free(load);
    return whole;
}

void check_held_loads(const file_format *f, feed *from)
{
    if (!loads_are_whole(from) && !(f->holds & HOLDS_PARTS))
        fail(STATUS_INPUT, "format %s counts events: it cannot hold loads that are not whole, or above 2^24", f->name);
    if (from->num_samples > 1 && !(f->holds & HOLDS_STEPS))
        fail(STATUS_INPUT, "%d samples, of which format %s can hold one; --steps picks one", (int)from->num_samples,
             f->name);
    if (!(f->holds & HOLDS_LAYERS) && from->layer[from->num_layers - 1] != from->num_layers - 1)
        note("format %s does not number layers: %s become rows 0-%d", f->name,
             list_numbers(from->layer, from->num_layers).text, (int)from->num_layers - 1);
}

void print_formats(FILE *out)
{
    fprintf(out, "%-16s %-6s %-6s %s\n", "format", "of", "", "what it is");
    for (int i = 0; i < NUM_FORMATS; i++) {
        const file_format *f = &FORMATS[i];
        bool reads = f->read_plan || f->open, writes = f->write_plan || f->write_loads;
        fprintf(out, "%-16s %-6s %-6s %s\n", f->name, f->kind == FORMAT_PLAN ? "plans" : "loads",
                reads && writes ? "in,out"
                : reads         ? "in"
                                : "out",
                f->what);
    }
    fprintf(out, "in: a file of it is told by what stands in it, loads by --format, too. out: --write NAME=FILE, of\n"
                 "plan and convert. Loads are also CSV, JSON and NumPy of any axes: see `eplb --help`.\n");
}
