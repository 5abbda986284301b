/* trtllm.c - the configuration of TensorRT-LLM's load balancer, moe_config.load_balancer, as its
   examples/wide_ep/ep_load_balancer/generate_eplb_config.py writes it and MoeLoadBalancerConfig of llmapi/llm_args.py
   takes it (as of 2026-10):

     initial_global_assignments:
       3: [138, 81, 60, ..]
       4: [24, 243, 72, ..]
     layer_updates_per_iter: 0
     num_slots: 288

   which maps the number of a layer to the expert of each of its slots. Of YAML what such files have is read: names and
   numbers before colons, lists between brackets over one line or several, or a line an item after dashes, comments
   after #; and the same within moe_config and load_balancer. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const char TRTLLM_KEY[] = "initial_global_assignments";

typedef struct trtllm_reader {
    text_lines text;
    const char *at;    /* in the line */
    map_reader map;    /* its JSON is not used */
    int64_t num_slots; /* as the file says; -1: it does not */
} trtllm_reader;

static void trtllm_fail(const trtllm_reader *r, const char *wrong)
{
    text_fail(text_here(&r->text, r->at), "%s", wrong);
}

static void trtllm_skip_blanks(trtllm_reader *r)
{
    while (is_blank(*r->at)) r->at++;
}

/* Cuts a comment and the blanks before it off the line. */
static void trtllm_trim(text_lines *t)
{
    for (char *c = t->begin; c < t->end; c++) {
        if (*c == '#' && (c == t->begin || is_blank(c[-1]))) t->end = c;
    }
    while (t->end > t->begin && is_blank(t->end[-1])) t->end--;
    *t->end = '\0';
}

/* Goes to the next line with anything on it, and past its indent; false at the end of the file. */
static bool trtllm_next_line(trtllm_reader *r)
{
    while (text_next_line(&r->text)) {
        trtllm_trim(&r->text);
        r->at = r->text.begin;
        while (*r->at == ' ') r->at++;
        if (r->at < r->text.end && strncmp(r->text.begin, "---", 3) != 0) return true;
    }
    return false;
}

static long trtllm_indent(const trtllm_reader *r) { return (long)(strspn(r->text.begin, " ")); }

/* Whether the line begins with this name and a colon; goes past them and blanks. */
static bool trtllm_accept(trtllm_reader *r, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(r->at, name, n) != 0 || r->at[n] != ':') return false;
    r->at += n + 1;
    trtllm_skip_blanks(r);
    return true;
}

/* A whole number in digits, which ends before `after` or any of these. */
static int64_t trtllm_integer(trtllm_reader *r, const char *ends, const char *what)
{
    size_t n = strcspn(r->at, ends);
    int64_t value = 0;
    while (n > 0 && is_blank(r->at[n - 1])) n--;
    if (!parse_integer(r->at, r->at + n, &value) || value < 0 || value > INT32_MAX)
        text_fail(text_here(&r->text, r->at), "'%s' is %s", quoted(r->at, r->at + n).text, what);
    r->at += n;
    trtllm_skip_blanks(r);
    return value;
}

static void trtllm_add_expert(trtllm_reader *r, const char *ends)
{
    text_place place = text_here(&r->text, r->at);
    int64_t expert = trtllm_integer(r, ends, "no id of an expert");
    const char *wrong = id_wrong(expert, 0);
    if (wrong) text_fail(place, "expert %lld %s", (long long)expert, wrong);
    if (r->map.num_slots == r->map.slots_room)
        r->map.map.phy2log = (int32_t *)grow(r->map.map.phy2log, &r->map.slots_room, sizeof(int32_t));
    r->map.map.phy2log[r->map.num_slots++] = (int32_t)expert;
}

/* A list that has begun with its bracket, to the line after it; whether there is one. */
static bool trtllm_add_flow(trtllm_reader *r)
{
    bool after_expert = false;
    r->at++;
    trtllm_skip_blanks(r);
    while (*r->at != ']') {
        if (r->at == r->text.end) {
            if (!trtllm_next_line(r)) trtllm_fail(r, "the file ends within a list");
            continue;
        }
        if (after_expert && *r->at != ',') trtllm_fail(r, "',' or ']' should stand here");
        if (!after_expert && *r->at == ',') trtllm_fail(r, "an expert is missing here");
        if (after_expert) r->at++;
        else trtllm_add_expert(r, ",] ");
        after_expert = !after_expert;
        trtllm_skip_blanks(r);
    }
    r->at++;
    if (r->at < r->text.end) trtllm_fail(r, "the line goes on after its list");
    return trtllm_next_line(r);
}

/* A list of lines after dashes, which may stand as far to the left as the layer's number. */
static bool trtllm_add_block(trtllm_reader *r, long indent)
{
    bool more = trtllm_next_line(r);
    while (more && trtllm_indent(r) >= indent && *r->at == '-') {
        r->at++;
        trtllm_skip_blanks(r);
        trtllm_add_expert(r, " ");
        if (r->at < r->text.end) trtllm_fail(r, "the line goes on after its number");
        more = trtllm_next_line(r);
    }
    return more;
}

/* The layers, which stand further to the right than the name before them; whether a line follows. */
static bool trtllm_add_layers(trtllm_reader *r)
{
    long outer = trtllm_indent(r), indent;
    if (!trtllm_accept(r, TRTLLM_KEY) || r->at < r->text.end)
        trtllm_fail(r, "layers should follow, a line each, such as 3: [0, 1, 2]");
    bool more = trtllm_next_line(r);
    for (indent = more ? trtllm_indent(r) : 0; more && trtllm_indent(r) > outer;) {
        text_place place = text_here(&r->text, r->at);
        size_t first = r->map.num_slots;
        if (trtllm_indent(r) != indent) trtllm_fail(r, "a layer should stand below the one before it");
        int64_t layer = trtllm_integer(r, ":", "no number of a layer");
        if (*r->at++ != ':') text_fail(place, "a layer should stand here, such as 3: [0, 1, 2]");
        trtllm_skip_blanks(r);
        if (*r->at == '[') more = trtllm_add_flow(r);
        else if (r->at == r->text.end) more = trtllm_add_block(r, indent);
        else trtllm_fail(r, "a list should begin here");
        r->map.scan.at = place;
        map_end_layer(&r->map, r->map.num_slots - first);
        map_number_layer(&r->map, layer, place);
    }
    return more;
}

bool trtllm_begins(source *from)
{
    trtllm_reader r;
    bool found = false;
    memset(&r, 0, sizeof r);
    r.text.from = *from;
    while (!found && trtllm_next_line(&r)) found = trtllm_accept(&r, TRTLLM_KEY);
    free(r.text.begin);
    *from = r.text.from;
    source_seek(from, 0);
    return found;
}

plan_map trtllm_read(source from)
{
    trtllm_reader r;
    memset(&r, 0, sizeof r);
    r.text.from = from;
    r.num_slots = -1;
    r.map.map.name = from.name;
    r.map.map.num_steps = 1;
    text_place place = {from.name, 1, 1};
    for (bool more = trtllm_next_line(&r); more;) {
        if (strncmp(r.at, TRTLLM_KEY, sizeof TRTLLM_KEY - 1) == 0 && r.map.map.num_layers == 0) {
            more = trtllm_add_layers(&r);
            continue;
        }
        if (trtllm_accept(&r, "num_slots")) {
            place = text_here(&r.text, r.at);
            r.num_slots = trtllm_integer(&r, " ", "no number of slots");
        }
        more = trtllm_next_line(&r);
    }
    if (r.map.map.num_layers == 0) text_fail(place, "a plan without layers after %s", TRTLLM_KEY);
    if (r.num_slots >= 0 && r.num_slots != r.map.map.num_replicas)
        text_fail(place, "num_slots is %lld, but layers have %d", (long long)r.num_slots, (int)r.map.map.num_replicas);
    free(r.text.begin);
    source_close(&r.text.from);
    return r.map.map;
}

void trtllm_write(FILE *out, const plan_map *m)
{
    fprintf(out, "%s:\n", TRTLLM_KEY);
    for (int32_t i = 0; i < m->num_layers; i++) {
        const int32_t *phy2log = m->phy2log + (size_t)i * (size_t)m->num_replicas;
        fprintf(out, "  %lld: ", m->layer ? (long long)m->layer[i] : (long long)i);
        for (int32_t slot = 0; slot < m->num_replicas; slot++)
            fprintf(out, "%s%d", slot ? ", " : "[", (int)phy2log[slot]);
        fprintf(out, "]\n");
    }
    fprintf(out, "layer_updates_per_iter: 0\nnum_slots: %d\n", (int)m->num_replicas);
}
