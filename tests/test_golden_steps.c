/* test_golden_steps.c - holds the library to tests/golden/steps.txt: plans that follow the load, what has to be sent for
   them, shares of a step's tokens and their quotas. tests/golden/README.md has the format, for other languages.

   usage: test_golden_steps [steps.txt]    or    test_golden_steps --write steps.txt */
#include <stdarg.h>

#include "eplb.h"
#include "test.h"

enum { MOST = 48, MOST_GPUS = 8, MOST_SHAPES = 8, MOST_TEXT = 1 << 18 };

typedef struct shape {
    const char *name;
    int32_t E, R, K, N, G, max_moves;
    int32_t slots[MOST_GPUS]; /* slots[0] 0: all of them */
    float speed[MOST_GPUS];   /* speed[0] 0: all alike */
} shape;

static const shape shapes[MOST_SHAPES] = {
    {"tiny", 4, 6, 1, 1, 2, -1, {0}, {0}},
    {"small", 8, 12, 1, 1, 4, 3, {0}, {0}},
    {"nodes", 8, 12, 4, 2, 4, 2, {0}, {0}},
    {"twelve", 12, 16, 1, 2, 8, 5, {0}, {0}},
    {"groups", 32, 40, 4, 2, 8, 6, {0}, {0}},
    {"full", 24, 24, 1, 1, 6, 8, {0}, {0}},
    {"dead", 16, 32, 1, 2, 8, 9, {4, 4, 4, 0, 4, 4, 4, 4}, {0}},
    {"unlike", 16, 24, 1, 1, 6, 7, {4, 4, 3, 4, 2, 4}, {1, 1, 0.5f, 2, 1, 1}},
};

typedef struct text {
    char *at;
    size_t used;
} text;

static void say(text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(t->at + t->used, MOST_TEXT - t->used, format, arguments);
    va_end(arguments);
    CHECK(n >= 0 && (size_t)n < MOST_TEXT - t->used, "the text is longer than it may be");
    t->used += n > 0 ? (size_t)n : 0;
}

static void say_row(text *t, const char *name, const int32_t *value, int32_t n)
{
    say(t, "%s", name);
    for (int32_t i = 0; i < n; i++) say(t, " %d", (int)value[i]);
    say(t, "\n");
}

static void say_transfers(text *t, const char *name, const eplb_transfer *x, size_t n)
{
    say(t, "%s %d\n", name, (int)n);
    for (size_t i = 0; i < n; i++)
        say(t, "%d %d %d %d %d\n", (int)x[i].expert, (int)x[i].from_slot, (int)x[i].to_slot, (int)x[i].kind,
            (int)x[i].round);
}

/* Loads of which a few are heavy, in whole numbers; -> [E] also as float. */
static void draw(uint64_t *state, int32_t n, int32_t *whole, float *load)
{
    for (int32_t i = 0; i < n; i++) {
        whole[i] = test_range(state, 1, 40);
        if (test_range(state, 0, 5) == 0) whole[i] *= test_range(state, 2, 6);
        load[i] = (float)whole[i];
    }
}

typedef struct plans {
    int32_t before[MOST], after[MOST];
} plans;

static void say_plans(text *t, const shape *s, eplb_problem *p, uint64_t *state, plans *plan)
{
    int32_t whole[MOST];
    float load[MOST];
    eplb_options o;
    eplb_plan out = EPLB_ZERO_INIT;
    size_t bytes = 0;
    draw(state, s->E, whole, load);
    say_row(t, "weight", whole, s->E);
    eplb_options_preset(EPLB_PRESET_DEEPSEEK, &o);
    CHECK(eplb_scratch_size(p, &o, &bytes) == EPLB_OK, "%s", s->name);
    void *scratch = test_alloc(bytes);
    out.phy2log = plan->before;
    CHECK(eplb_rebalance(p, &o, load, &out, scratch, bytes) == EPLB_OK, "%s", s->name);
    free(scratch);
    say_row(t, "plan", plan->before, s->R);
    p->gpu_slots = s->slots[0] ? s->slots : NULL;
    p->gpu_speed = s->speed[0] > 0.0f ? s->speed : NULL;
    draw(state, s->E, whole, load);
    say_row(t, "weight", whole, s->E);
    eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
    o.previous_phy2log = plan->before;
    o.max_moves = s->max_moves;
    CHECK(eplb_scratch_size(p, &o, &bytes) == EPLB_OK, "%s", s->name);
    scratch = test_alloc(bytes);
    out.phy2log = plan->after;
    CHECK(eplb_rebalance(p, &o, load, &out, scratch, bytes) == EPLB_OK, "%s", s->name);
    free(scratch);
    say_row(t, "follow", plan->after, s->R);
}

static void say_moves(text *t, const shape *s, const eplb_problem *p, const plans *plan)
{
    eplb_transfer x[2 * MOST];
    eplb_transfer_options how = EPLB_ZERO_INIT;
    size_t n = 0, bytes = 0;
    int32_t staging = 0;
    CHECK(eplb_transfers_scratch_size(p, &bytes) == EPLB_OK, "%s", s->name);
    void *scratch = test_alloc(bytes);
    CHECK(eplb_transfers(p, plan->before, plan->after, &how, x, 2 * MOST, &n, scratch, bytes) == EPLB_OK, "%s",
          s->name);
    say_transfers(t, "duplex", x, n);
    CHECK(eplb_transfers_in_place(p, plan->before, plan->after, &how, x, 2 * MOST, &n, &staging, scratch, bytes)
              == EPLB_OK,
          "%s", s->name);
    say_transfers(t, "in_place", x, n);
    how.sources = EPLB_SOURCES_DEALT;
    how.rounds = EPLB_ROUNDS_ONE_PEER;
    CHECK(eplb_transfers(p, plan->before, plan->after, &how, x, 2 * MOST, &n, scratch, bytes) == EPLB_OK, "%s",
          s->name);
    say_transfers(t, "one_peer", x, n);
    free(scratch);
}

static void say_shares(text *t, const shape *s, const eplb_problem *p, uint64_t *state, const plans *plan)
{
    int32_t waits[MOST_GPUS * MOST], count[MOST] = {0}, share[MOST], most = 0, quota[MOST_GPUS * MOST];
    size_t bytes = 0;
    for (int32_t i = 0; i < s->G * s->E; i++) {
        waits[i] = test_range(state, 0, 3) ? test_range(state, 0, 9) : 0;
        count[i % s->E] += waits[i];
    }
    CHECK(eplb_share_scratch_size(p, &bytes) == EPLB_OK, "%s", s->name);
    void *scratch = test_alloc(bytes);
    say_row(t, "count", count, s->E);
    CHECK(eplb_share(p, plan->after, count, EPLB_SHARE_LEAST_MAX, share, &most, scratch, bytes) == EPLB_OK, "%s",
          s->name);
    say_row(t, "least_max", share, s->R);
    say_row(t, "most", &most, 1);
    CHECK(eplb_share(p, plan->after, count, EPLB_SHARE_FAIR, share, &most, scratch, bytes) == EPLB_OK, "%s", s->name);
    say_row(t, "fair", share, s->R);
    CHECK(eplb_share_sources(p, plan->after, waits, share, quota, scratch, bytes) == EPLB_OK, "%s", s->name);
    for (int32_t g = 0; g < s->G; g++) say_row(t, "waits", waits + g * s->E, s->E);
    for (int32_t g = 0; g < s->G; g++) say_row(t, "quota", quota + g * s->R, s->R);
    free(scratch);
}

static void say_case(text *t, const shape *s, uint64_t seed)
{
    eplb_problem p = EPLB_ZERO_INIT;
    plans plan;
    uint64_t state = seed;
    p.num_layers = 1;
    p.num_experts = s->E;
    p.num_replicas = s->R;
    p.num_groups = s->K;
    p.num_nodes = s->N;
    p.num_gpus = s->G;
    say(t, "case %s %d %d %d %d %d\n", s->name, (int)s->E, (int)s->R, (int)s->K, (int)s->N, (int)s->G);
    if (s->slots[0]) say_row(t, "gpu_slots", s->slots, s->G);
    for (int32_t g = 0; g < s->G && s->speed[0] > 0.0f; g++)
        say(t, "%s%g%s", g ? " " : "gpu_speed ", (double)s->speed[g], g + 1 < s->G ? "" : "\n");
    say_row(t, "max_moves", &s->max_moves, 1);
    say_plans(t, s, &p, &state, &plan);
    say_moves(t, s, &p, &plan);
    say_shares(t, s, &p, &state, &plan);
}

/* Line by line, so that the first that differs is named. */
static void compare(const char *path, const char *here)
{
    static char there[MOST_TEXT];
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(there, 1, sizeof there - 1, file) : 0;
    CHECK(file != NULL, "%s cannot be read", path);
    if (!file) return;
    fclose(file);
    there[n] = 0;
    const char *a = here, *b = there;
    for (int line = 1; *a || *b; line++) {
        size_t a_length = strcspn(a, "\n"), b_length = strcspn(b, "\n");
        CHECK(a_length == b_length && memcmp(a, b, a_length) == 0, "%s:%d is otherwise", path, line);
        a += a_length + (a[a_length] == '\n');
        b += b_length + (b[b_length] == '\n');
    }
}

int main(int argc, char **argv)
{
    static char room[MOST_TEXT];
    text t = {room, 0};
    int writes = argc > 2 && strcmp(argv[1], "--write") == 0;
    say(&t, "# eplb golden steps, 1\n");
    for (int32_t i = 0; i < 2 * MOST_SHAPES; i++) say_case(&t, &shapes[i / 2], (uint64_t)i + 1);
    if (writes) {
        FILE *file = fopen(argv[2], "wb");
        CHECK(file && fwrite(room, 1, t.used, file) == t.used && fclose(file) == 0, "%s cannot be written", argv[2]);
    } else {
        compare(argc > 1 ? argv[1] : "tests/golden/steps.txt", room);
    }
    return test_report("test_golden_steps");
}
