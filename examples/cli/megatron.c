/* megatron.c - Megatron-LM's routing trace, --moe-routing-trace-path (megatron/core/transformer/moe/router_trace.py, 2026):
   a file of JSON lines for each rank, a line for each layer of each step,

     {"step": 0, "stage": "pre_dispatch", "block": "decoder", "layer": 3, "rank": 0, "num_tokens": 2, "topk": 2,
      "top_indices": [[12, 45], [3, 12]]}

   with as many rows as there were tokens, which differ from line to line. Lines of one step and layer add up: in training
   a step has one for each microbatch. Multi-token prediction has its own block, "mtp", whose layers are numbered as if
   they were the decoder's: --key picks the block, the decoder's without it. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct megatron_record {
    int64_t step, layer;
    uint64_t place, line_place;
    size_t line;
} megatron_record;

typedef struct megatron_reader {
    reader base;
    json_scan scan;
    reading how;
    const char *block;                    /* that is read */
    megatron_record *record;              /* by step, then place */
    size_t num_records, room, num_others; /* lines of other blocks */
    size_t *start;                        /* [num_samples + 1] the first record of each sample */
    int64_t most_id;
    double *sum; /* [num_layers, width]; NULL while opening */
} megatron_reader;

typedef struct megatron_line { /* what a line says; -1: it does not */
    int64_t step, layer, num_tokens, topk;
    int64_t rows, columns; /* of top_indices */
    int64_t most_id;       /* in them */
    bool other;            /* it is of another block */
} megatron_line;

static int64_t megatron_number(megatron_reader *r, json_event e, const char *name)
{
    const json_scan *s = &r->scan;
    int64_t value = 0;
    if (e != JSON_WORD || !json_has_number(s->token, s->token + s->length)
        || !parse_integer(s->token, s->token + s->length, &value) || value < 0 || value > INT32_MAX)
        text_fail(s->at, "'%s' is no %s, which is a whole number from 0 on",
                  quoted(s->token, s->token + s->length).text, name);
    return value;
}

/* The experts of a token, whose array has begun; counts them from `at` on, unless NULL. Returns how many. */
static int64_t megatron_token(megatron_reader *r, megatron_line *line, double *at)
{
    json_scan *s = &r->scan;
    int64_t count = 0;
    for (json_event e = json_next(s); e != JSON_ARRAY_END; e = json_next(s), count++) {
        int64_t id = -1;
        const char *begin = s->token, *end = begin + s->length;
        bool whole = e == JSON_WORD && json_has_number(begin, end) && parse_integer(begin, end, &id);
        const char *wrong = whole ? id_wrong(id, r->how.num_experts) : "is no id of an expert";
        if (wrong) text_fail(s->at, "'%s' %s", quoted(begin, end).text, wrong);
        line->most_id = id > line->most_id ? id : line->most_id;
        if (at && id >= 0 && id < r->base.width) at[id] += 1;
    }
    return count;
}

/* The tokens of a line, each with as many experts. */
static void megatron_tokens(megatron_reader *r, megatron_line *line, double *at)
{
    json_scan *s = &r->scan;
    if (json_next(s) != JSON_ARRAY || line->rows >= 0)
        text_fail(s->at, "an array should begin here: the experts of each token, once");
    line->rows = 0;
    for (json_event e = json_next(s); e != JSON_ARRAY_END; e = json_next(s), line->rows++) {
        if (e != JSON_ARRAY) text_fail(s->at, "an array should begin here: the experts of a token");
        text_place place = s->at;
        int64_t count = megatron_token(r, line, at);
        if (line->rows > 0 && count != line->columns)
            text_fail(place, "a token of %lld experts; those above have %lld", (long long)count,
                      (long long)line->columns);
        line->columns = count;
    }
}

/* Takes the line that begins here; counts its tokens from `at` on, unless NULL. */
static megatron_line megatron_read_line(megatron_reader *r, double *at)
{
    json_scan *s = &r->scan;
    megatron_line line = {-1, -1, -1, -1, -1, 0, -1, false};
    if (json_next(s) != JSON_OBJECT) text_fail(s->at, "an object should begin here: a layer of a step");
    while (json_next(s) == JSON_NAME) {
        const char *name = s->token;
        int64_t *where = strcmp(name, "step") == 0         ? &line.step
                         : strcmp(name, "layer") == 0      ? &line.layer
                         : strcmp(name, "num_tokens") == 0 ? &line.num_tokens
                         : strcmp(name, "topk") == 0       ? &line.topk
                                                           : NULL;
        bool block = strcmp(name, "block") == 0, tokens = strcmp(name, "top_indices") == 0;
        if (tokens) {
            megatron_tokens(r, &line, at);
            continue;
        }
        json_event e = json_next(s);
        if (where)
            *where = megatron_number(r, e, where == &line.step ? "step" : where == &line.layer ? "layer" : "count");
        else if (block && e == JSON_STRING) line.other = strcmp(s->token, r->block) != 0;
        else json_skip(s, e);
    }
    return line;
}

/* Ends the program unless a line is whole. */
static void megatron_check_line(text_place at, const megatron_line *l)
{
    const char *missing = l->step < 0 ? "step" : l->layer < 0 ? "layer" : l->rows < 0 ? "top_indices" : NULL;
    if (missing) text_fail(at, "a line without \"%s\"", missing);
    if (l->num_tokens >= 0 && l->num_tokens != l->rows)
        text_fail(at, "num_tokens is %lld, but top_indices has %lld", (long long)l->num_tokens, (long long)l->rows);
    if (l->topk >= 0 && l->rows > 0 && l->topk != l->columns)
        text_fail(at, "topk is %lld, but a token of top_indices has %lld", (long long)l->topk, (long long)l->columns);
}

static void megatron_note_lines(megatron_reader *r)
{
    json_scan *s = &r->scan;
    text_skip_mark(&s->from);
    s->line = 1;
    s->line_place = source_at(&s->from);
    for (int c = json_peek(s); c >= 0; c = json_peek(s)) {
        megatron_record record = {0, 0, s->place, s->line_place, s->line};
        text_place at = s->at;
        json_begin(s);
        megatron_line line = megatron_read_line(r, NULL);
        megatron_check_line(at, &line);
        if (line.other) {
            r->num_others++;
            continue;
        }
        r->most_id = line.most_id > r->most_id ? line.most_id : r->most_id;
        record.step = line.step;
        record.layer = line.layer;
        if (r->num_records == r->room) r->record = (megatron_record *)grow(r->record, &r->room, sizeof *r->record);
        r->record[r->num_records++] = record;
        progress_show("reading byte", (size_t)s->place, (size_t)s->from.size);
    }
    quote block = quoted(r->block, r->block + strlen(r->block));
    if (r->num_records == 0)
        fail(STATUS_INPUT, "%s: no line of block '%s'; --key may name another", r->base.name, block.text);
    if (r->num_others > 0)
        note("%s: %zu lines of other blocks than '%s' left out; with --format megatron, --key picks one", r->base.name,
             r->num_others, block.text);
}

static int megatron_compare(const void *left, const void *right)
{
    const megatron_record *a = (const megatron_record *)left, *b = (const megatron_record *)right;
    if (a->step != b->step) return a->step < b->step ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int megatron_compare_numbers(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

/* The samples, by step, and the layers that any of them has. */
static void megatron_set_shape(megatron_reader *r)
{
    size_t n = r->num_records, steps = 0, layers = 0;
    int64_t *layer = (int64_t *)allocate(n, sizeof *layer);
    qsort(r->record, n, sizeof *r->record, megatron_compare);
    r->start = (size_t *)allocate(n + 1, sizeof *r->start);
    r->base.step = (int64_t *)allocate(n, sizeof *r->base.step);
    for (size_t i = 0; i < n; i++) {
        layer[i] = r->record[i].layer;
        if (i > 0 && r->record[i].step == r->record[i - 1].step) continue;
        r->base.step[steps] = r->record[i].step;
        r->start[steps++] = i;
    }
    r->start[steps] = n;
    qsort(layer, n, sizeof *layer, megatron_compare_numbers);
    for (size_t i = 0; i < n; i++) {
        if (layers == 0 || layer[layers - 1] != layer[i]) layer[layers++] = layer[i];
    }
    if (steps > INT32_MAX || layers > INT32_MAX)
        fail(STATUS_INPUT, "%s: more steps or layers than 2147483647", r->base.name);
    r->base.layer = layer;
    r->base.num_samples = (int32_t)steps;
    r->base.num_layers = (int32_t)layers;
}

static void megatron_read(reader *base, int32_t sample, float *load)
{
    megatron_reader *r = (megatron_reader *)base;
    size_t count = (size_t)base->num_layers * (size_t)base->width;
    memset(r->sum, 0, count * sizeof *r->sum);
    for (size_t i = r->start[sample]; i < r->start[sample + 1]; i++) {
        const megatron_record *record = &r->record[i];
        int32_t layer = find_number(base->layer, base->num_layers, record->layer);
        json_go(&r->scan, record->place, record->line, record->line_place);
        (void)megatron_read_line(r, r->sum + (size_t)layer * (size_t)base->width);
    }
    for (size_t i = 0; i < count; i++) load[i] = (float)r->sum[i];
}

static void megatron_close(reader *base)
{
    megatron_reader *r = (megatron_reader *)base;
    source_close(&r->scan.from);
    free(base->step);
    free(base->layer);
    free(r->record);
    free(r->start);
    free(r->sum);
    free(r);
}

reader *megatron_open(source from, const reading *how)
{
    megatron_reader *r = (megatron_reader *)allocate(1, sizeof *r);
    r->scan.from = from;
    r->how = *how;
    r->block = how->key ? how->key : "decoder";
    r->most_id = -1;
    r->base.name = from.name;
    r->base.read = megatron_read;
    r->base.close = megatron_close;
    megatron_note_lines(r);
    megatron_set_shape(r);
    if (r->most_id < 0 && !how->num_experts)
        fail(STATUS_INPUT, "%s: no token was routed to an expert; --experts should say how many there are", from.name);
    r->base.width = how->num_experts ? how->num_experts : (int32_t)(r->most_id + 1);
    r->base.by_ids = !how->num_experts;
    size_t count;
    if (!multiply_fits((size_t)r->base.num_layers, (size_t)r->base.width, &count)) fail(STATUS_OUTPUT, "out of memory");
    r->sum = (double *)allocate(count, sizeof *r->sum);
    return &r->base;
}
