/* test_transfers.c - from a plan to the next. Transfers one by one against a naive reading of both plans; sources
   against an oracle and the least that any choice gives the busiest GPU; rounds against an oracle, and their least
   number; steps in place done to an array, and the fewest experts set aside in any order. Errors, scratch, layers.

   usage: test_transfers [FIRST COUNT]   random cases by their seeds */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "transfer_cases.h"
#include "transfer_oracle.h"

enum { NUM_CASES = 4000 };

/* ------------------------------------------------------------------ the least sends of the busiest */

typedef struct send_choice { /* of one layer */
    int32_t job_gpu[TRANSFER_MOST_SLOTS], job_expert[TRANSFER_MOST_SLOTS], num_jobs;
    int32_t sender[TRANSFER_MOST_SLOTS]; /* -1: none yet */
    int32_t sends[TRANSFER_MOST_GPUS];
    unsigned char tried[TRANSFER_MOST_GPUS];
} send_choice;

static int may_send(const eplb_problem *p, const int32_t *before, int32_t gpu, int32_t expert, int32_t to)
{
    int32_t S = p->num_replicas / p->num_gpus, near = 0;
    for (int32_t g = 0; g < p->num_gpus; g++)
        near |= transfer_node(p, g) == transfer_node(p, to) && plan_copies(before + g * S, S, expert) > 0;
    return plan_copies(before + gpu * S, S, expert) > 0 && (!near || transfer_node(p, gpu) == transfer_node(p, to));
}

/* Whether a job finds a sender with at most so many sends, where others may give way. */
static int find_sender(const eplb_problem *p, const int32_t *before, send_choice *s, int32_t job, int32_t most)
{
    for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) {
        if (s->tried[gpu] || !may_send(p, before, gpu, s->job_expert[job], s->job_gpu[job])) continue;
        s->tried[gpu] = 1;
        int room = s->sends[gpu] < most;
        for (int32_t j = 0; j < s->num_jobs && !room; j++)
            room = s->sender[j] == gpu && find_sender(p, before, s, j, most); /* which leaves, and counts, it there */
        if (!room) continue;
        if (s->sender[job] >= 0) s->sends[s->sender[job]]--;
        s->sender[job] = gpu;
        s->sends[gpu]++;
        return 1;
    }
    return 0;
}

static int32_t least_sends(const eplb_problem *p, const int32_t *before, const eplb_transfer *t, size_t count)
{
    static send_choice s;
    int32_t most = 0;
    memset(&s, 0, sizeof s);
    for (size_t i = 0; i < count; i++) {
        if (!transfer_is_link(&t[i])) continue;
        s.job_gpu[s.num_jobs] = transfer_gpu(p, t[i].to_slot);
        s.job_expert[s.num_jobs] = t[i].expert;
        s.sender[s.num_jobs++] = -1;
    }
    for (int32_t job = 0; job < s.num_jobs; job++) {
        memset(s.tried, 0, sizeof s.tried);
        while (!find_sender(p, before, &s, job, most)) {
            most++;
            memset(s.tried, 0, sizeof s.tried);
        }
    }
    return most;
}

static int32_t most_sends(const eplb_problem *p, const eplb_transfer *t, size_t count)
{
    int32_t sends[TRANSFER_MOST_GPUS] = {0}, most = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t *n = transfer_is_link(&t[i]) ? &sends[transfer_gpu(p, t[i].from_slot)] : NULL;
        most = n && ++*n > most ? *n : most;
    }
    return most;
}

/* ------------------------------------------------------------------------------ random cases */

static void check_layer(const transfer_case *c, int32_t layer, const eplb_transfer *t, size_t count)
{
    static oracle_moves got, want;
    const int32_t *before = c->before + (ptrdiff_t)layer * c->problem.num_replicas;
    const int32_t *after = c->after + (ptrdiff_t)layer * c->problem.num_replicas;
    const char *fault = transfers_fault(c, layer, t, count);
    CHECK(!fault, TRANSFER_FORMAT ": %s", TRANSFER_ARGS(c, layer), fault);
    fault = rounds_fault(c, t, count);
    CHECK(!fault, TRANSFER_FORMAT ": %s", TRANSFER_ARGS(c, layer), fault);
    oracle_moves_of(&c->problem, t, count, &got);
    if (c->how.sources == EPLB_SOURCES_DEALT) {
        oracle_deal(&c->problem, before, after, &want);
        CHECK(oracle_same_moves(&got, &want, 0), TRANSFER_FORMAT ": not dealt", TRANSFER_ARGS(c, layer));
    } else {
        int32_t most = most_sends(&c->problem, t, count), least = least_sends(&c->problem, before, t, count);
        CHECK(most == least, TRANSFER_FORMAT ": %d sends, not %d", TRANSFER_ARGS(c, layer), most, least);
    }
    if (c->how.rounds == EPLB_ROUNDS_ONE_PEER && c->how.max_per_round == 0) {
        want = got;
        for (int32_t i = 0; i < want.count; i++) want.at[i].round = -1;
        oracle_one_peer(&want);
        CHECK(oracle_same_moves(&got, &want, 1), TRANSFER_FORMAT ": other rounds", TRANSFER_ARGS(c, layer));
    }
}

/* The sources of the steps are those of the transfers, but for what is read from where it was set aside. */
static void check_step_sources(const transfer_case *c, int32_t layer, const eplb_transfer *step, size_t num_steps,
                               const eplb_transfer *t, size_t count)
{
    int32_t R = c->problem.num_replicas;
    size_t found = 0;
    for (size_t i = 0; i < num_steps; i++) {
        for (size_t j = 0; j < count && step[i].to_slot < R; j++) {
            int32_t from = step[i].from_slot;
            if (t[j].to_slot == step[i].to_slot)
                found += t[j].kind == step[i].kind
                         && (from == t[j].from_slot || from == R + transfer_gpu(&c->problem, t[j].from_slot));
        }
    }
    CHECK(found == count, TRANSFER_FORMAT ": %zu steps have the sources of %zu transfers", TRANSFER_ARGS(c, layer),
          found, count);
}

static void check_steps(const transfer_case *c, const transfer_list *transfers)
{
    int32_t *num_staging = plan_ints((size_t)c->problem.num_layers);
    transfer_list steps = steps_with_library(c, num_staging);
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        size_t first = transfer_layer(&steps, l), end = transfer_layer(&steps, l + 1), num_aside;
        size_t t = transfer_layer(transfers, l), count = transfer_layer(transfers, l + 1) - t;
        const char *fault = steps_fault(c, l, steps.at + first, end - first, num_staging[l], &num_aside);
        CHECK(!fault, TRANSFER_FORMAT ": %s", TRANSFER_ARGS(c, l), fault);
        CHECK(end - first == count + num_aside, TRANSFER_FORMAT ": steps", TRANSFER_ARGS(c, l));
        check_step_sources(c, l, steps.at + first, end - first, transfers->at + t, count);
    }
    free(num_staging);
    free(steps.at);
}

/* A layer alone has the transfers it has among others. */
static void check_one_layer(const transfer_case *c, const transfer_list *all)
{
    ptrdiff_t R = c->problem.num_replicas, last = c->problem.num_layers - 1;
    transfer_case one = *c;
    one.problem.num_layers = 1;
    one.before += last * R;
    one.after += last * R;
    transfer_list list = transfer_with_library(&one);
    size_t first = transfer_layer(all, (int32_t)last);
    int same = list.count == all->count - first;
    for (size_t i = 0; same && i < list.count; i++) {
        list.at[i].layer = (int32_t)last;
        same = memcmp(&list.at[i], &all->at[first + i], sizeof *list.at) == 0;
    }
    CHECK(same, TRANSFER_FORMAT ": alone it has other transfers", TRANSFER_ARGS(c, last));
    free(list.at);
}

static void test_random(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        transfer_case c = transfer_case_make(seed, seed % 16 == 0 ? TRANSFER_MOST_GPUS : 12, 8);
        transfer_list list = transfer_with_library(&c);
        for (int32_t l = 0; l < c.problem.num_layers; l++) {
            size_t begin = transfer_layer(&list, l);
            check_layer(&c, l, list.at + begin, transfer_layer(&list, l + 1) - begin);
        }
        check_steps(&c, &list);
        check_one_layer(&c, &list);
        free(list.at);
        transfer_case_free(&c);
    }
}

/* ------------------------------------------------------------------- the fewest set aside, in any order */

enum { FEW_SLOTS = 6 };

typedef struct all_orders { /* of one layer's transfers, one after another */
    eplb_transfer t[FEW_SLOTS];
    int32_t count;
    unsigned char reads_old[FEW_SLOTS];
    int32_t fewest[1 << FEW_SLOTS][1 << FEW_SLOTS]; /* by what is done, and the slots set aside; -1: not known */
} all_orders;

static int32_t find_fewest(all_orders *o, uint32_t done, uint32_t aside)
{
    int32_t *known = &o->fewest[done][aside], best = FEW_SLOTS + 1;
    if (done == (1u << o->count) - 1) return 0;
    if (*known >= 0) return *known;
    *known = best; /* no order comes back here: what is done, or set aside, only grows */
    for (int32_t i = 0; i < o->count; i++) {
        int32_t next, ready = !(done >> i & 1u);
        for (int32_t j = 0; j < o->count; j++) {
            if (j != i && !(done >> j & 1u) && o->reads_old[j] && o->t[j].from_slot == o->t[i].to_slot)
                ready &= (int32_t)(aside >> o->t[i].to_slot & 1u);
            if (!(done >> j & 1u) && !o->reads_old[i] && o->t[i].from_slot == o->t[j].to_slot) ready = 0;
        }
        if (ready && (next = find_fewest(o, done | 1u << i, aside)) < best) best = next;
        if (!(done >> i & 1u) && !(aside >> o->t[i].to_slot & 1u)
            && (next = 1 + find_fewest(o, done, aside | 1u << o->t[i].to_slot)) < best)
            best = next;
    }
    return *known = best;
}

static void test_fewest_aside(uint64_t count)
{
    static all_orders o;
    long with_rings = 0;
    for (uint64_t seed = 1; seed <= count; seed++) {
        transfer_case c = transfer_case_make(seed, 3, 2);
        int32_t num_staging[3];
        size_t num_aside;
        transfer_list list = transfer_with_library(&c), steps = steps_with_library(&c, num_staging);
        for (int32_t l = 0; l < c.problem.num_layers; l++) {
            size_t begin = transfer_layer(&list, l), first = transfer_layer(&steps, l),
                   end = transfer_layer(&steps, l + 1);
            memset(o.fewest, -1, sizeof o.fewest);
            o.count = (int32_t)(transfer_layer(&list, l + 1) - begin);
            for (int32_t i = 0; i < o.count; i++) {
                o.t[i] = list.at[begin + (size_t)i];
                o.reads_old[i] =
                    o.t[i].from_slot >= 0 && c.before[l * c.problem.num_replicas + o.t[i].from_slot] == o.t[i].expert;
            }
            const char *fault = steps_fault(&c, l, steps.at + first, end - first, num_staging[l], &num_aside);
            int32_t fewest = find_fewest(&o, 0, 0);
            CHECK(!fault && (int32_t)num_aside == fewest, TRANSFER_FORMAT ": %d set aside, not %d",
                  TRANSFER_ARGS(&c, l), (int)num_aside, fewest);
            with_rings += fewest > 0;
        }
        free(list.at);
        free(steps.at);
        transfer_case_free(&c);
    }
    CHECK(with_rings > (long)count / 4, "%ld layers with rings", with_rings);
}

/* ---------------------------------------------------------------------------- cases by hand */

typedef struct hand_case {
    const char *what;
    int32_t E, R, N, G, sources, rounds, max_per_round, before[8], after[8];
    int32_t num;
    int32_t transfer[8][5]; /* expert, from_slot, to_slot, kind, round */
} hand_case;

enum {
    SAME_GPU = EPLB_TRANSFER_SAME_GPU,
    SAME_NODE = EPLB_TRANSFER_SAME_NODE,
    OTHER_NODE = EPLB_TRANSFER_OTHER_NODE,
    LOST = EPLB_TRANSFER_LOST,
    EVEN = EPLB_SOURCES_EVEN,
    DEALT = EPLB_SOURCES_DEALT,
    DUPLEX = EPLB_ROUNDS_DUPLEX,
    ONE_PEER = EPLB_ROUNDS_ONE_PEER
};

static const hand_case HAND_CASES[] = {
    {"dealt",
     2,
     5,
     1,
     5,
     DEALT,
     ONE_PEER,
     0,
     {0, 0, 1, 1, 1},
     {0, 0, 0, 0, 0},
     3,
     {{0, 0, 2, SAME_NODE, 0}, {0, 1, 3, SAME_NODE, 0}, {0, 0, 4, SAME_NODE, 1}}},
    {"a ring, one peer",
     4,
     4,
     1,
     4,
     DEALT,
     ONE_PEER,
     0,
     {0, 1, 2, 3},
     {1, 2, 3, 0},
     4,
     {{2, 2, 1, SAME_NODE, 0}, {0, 0, 3, SAME_NODE, 0}, {1, 1, 0, SAME_NODE, 1}, {3, 3, 2, SAME_NODE, 1}}},
    {"a ring, duplex",
     4,
     4,
     2,
     4,
     EVEN,
     DUPLEX,
     0,
     {0, 1, 2, 3},
     {1, 2, 3, 0},
     4,
     {{1, 1, 0, SAME_NODE, 0}, {2, 2, 1, OTHER_NODE, 0}, {3, 3, 2, SAME_NODE, 0}, {0, 0, 3, OTHER_NODE, 0}}},
    {"at most three in a round",
     4,
     4,
     1,
     4,
     EVEN,
     DUPLEX,
     3,
     {0, 1, 2, 3},
     {1, 2, 3, 0},
     4,
     {{1, 1, 0, SAME_NODE, 0}, {2, 2, 1, SAME_NODE, 0}, {3, 3, 2, SAME_NODE, 0}, {0, 0, 3, SAME_NODE, 1}}},
    {"its own node first, then the least busy",
     3,
     8,
     2,
     4,
     EVEN,
     DUPLEX,
     0,
     {0, 1, 2, 2, 0, 1, 2, 2},
     {0, 1, 0, 1, 0, 1, 0, 1},
     4,
     {{0, 0, 2, SAME_NODE, 0}, {0, 4, 6, SAME_NODE, 0}, {1, 1, 3, SAME_NODE, 1}, {1, 5, 7, SAME_NODE, 1}}},
    {"comes once",
     3,
     6,
     1,
     2,
     EVEN,
     DUPLEX,
     0,
     {0, 1, 2, 1, 1, 1},
     {0, 1, 2, 0, 0, 1},
     2,
     {{0, 3, 4, SAME_GPU, -1}, {0, 0, 3, SAME_NODE, 0}}},
    {"a copy from what is kept",
     4,
     6,
     1,
     2,
     EVEN,
     DUPLEX,
     0,
     {0, 1, 0, 2, 3, 2},
     {1, 0, 0, 2, 3, 2},
     2,
     {{1, 1, 0, SAME_GPU, -1}, {0, 2, 1, SAME_GPU, -1}}},
    {"lost, and twice",
     3,
     6,
     1,
     3,
     EVEN,
     DUPLEX,
     0,
     {0, -1, 1, 1, -1, -1},
     {0, 1, 2, 2, -1, 0},
     4,
     {{2, -1, 2, LOST, -1}, {2, 2, 3, SAME_GPU, -1}, {1, 2, 1, SAME_NODE, 0}, {0, 0, 5, SAME_NODE, 0}}},
    {"a flow is one round, or cut",
     4,
     8,
     1,
     2,
     DEALT,
     ONE_PEER,
     3,
     {0, 1, 2, 3, 0, 0, 0, 0},
     {0, 1, 2, 3, 0, 1, 2, 3},
     3,
     {{1, 1, 5, SAME_NODE, 0}, {2, 2, 6, SAME_NODE, 0}, {3, 3, 7, SAME_NODE, 0}}},
    {"cut",
     4,
     8,
     1,
     2,
     DEALT,
     ONE_PEER,
     2,
     {0, 1, 2, 3, 0, 0, 0, 0},
     {0, 1, 2, 3, 0, 1, 2, 3},
     3,
     {{1, 1, 5, SAME_NODE, 0}, {2, 2, 6, SAME_NODE, 0}, {3, 3, 7, SAME_NODE, 1}}},
};

static void test_by_hand(void)
{
    for (size_t i = 0; i < sizeof HAND_CASES / sizeof *HAND_CASES; i++) {
        const hand_case *h = &HAND_CASES[i];
        transfer_case c = transfer_case_alloc(i, 1, h->E, h->R, h->N, h->G);
        memcpy(c.before, h->before, (size_t)h->R * sizeof *c.before);
        memcpy(c.after, h->after, (size_t)h->R * sizeof *c.after);
        c.how.sources = h->sources;
        c.how.rounds = h->rounds;
        c.how.max_per_round = h->max_per_round;
        transfer_list list = transfer_with_library(&c);
        CHECK((int32_t)list.count == h->num, "%s: %zu transfers", h->what, list.count);
        for (int32_t k = 0; k < h->num && (int32_t)list.count == h->num; k++) {
            const eplb_transfer *t = &list.at[k];
            const int32_t *w = h->transfer[k];
            CHECK(t->layer == 0 && t->expert == w[0] && t->from_slot == w[1] && t->to_slot == w[2] && t->kind == w[3]
                      && t->round == w[4],
                  "%s, transfer %d: expert %d from %d to %d, kind %d, round %d", h->what, k, t->expert, t->from_slot,
                  t->to_slot, t->kind, t->round);
        }
        check_layer(&c, 0, list.at, list.count);
        check_steps(&c, &list);
        free(list.at);
        transfer_case_free(&c);
    }
}

/* Slots of one GPU that change places take one staging slot, however many rings they are. */
static void test_rings(void)
{
    static const int32_t BEFORE[] = {0, 1, 2, 3, 4, 5}, AFTER[] = {1, 2, 0, 4, 3, 5};
    transfer_case c = transfer_case_alloc(0, 1, 6, 6, 1, 1);
    int32_t num_staging = -1;
    memcpy(c.before, BEFORE, sizeof BEFORE);
    memcpy(c.after, AFTER, sizeof AFTER);
    transfer_list steps = steps_with_library(&c, &num_staging);
    CHECK(steps.count == 5 + 2 && num_staging == 1, "%zu steps, %d", steps.count, num_staging);
    free(steps.at);
    memcpy(c.after, BEFORE, sizeof BEFORE);
    steps = steps_with_library(&c, &num_staging);
    CHECK(steps.count == 0 && num_staging == 0, "%zu steps, %d", steps.count, num_staging);
    free(steps.at);
    transfer_case_free(&c);
}

/* ----------------------------------------------------------------------------------- errors */

enum { WORLD_TRANSFERS = 40 };

typedef struct world { /* a call that is right, and what it writes to */
    eplb_problem problem;
    int32_t before[32], after[32];
    eplb_transfer_options how;
    eplb_transfer transfer[WORLD_TRANSFERS];
    size_t capacity, num, scratch_bytes;
    int32_t num_staging[2];
    unsigned char scratch[8192];
} world;

static world world_make(void)
{
    world w;
    uint64_t state = 1;
    memset(&w, 0, sizeof w);
    w.problem.num_layers = 2;
    w.problem.num_experts = 9;
    w.problem.num_replicas = 16;
    w.problem.num_gpus = 4;
    w.problem.num_nodes = 2;
    transfer_draw_slots(&state, w.before, 32, 0, 8);
    transfer_draw_slots(&state, w.after, 32, 0, 8);
    memset(w.transfer, 0xee, sizeof w.transfer);
    w.capacity = WORLD_TRANSFERS;
    w.num = 12345;
    w.num_staging[0] = w.num_staging[1] = PLAN_UNWRITTEN;
    w.scratch_bytes = sizeof w.scratch;
    return w;
}

static eplb_result call_transfers(world *w)
{
    return eplb_transfers(&w->problem, w->before, w->after, &w->how, w->transfer, w->capacity, &w->num, w->scratch,
                          w->scratch_bytes);
}

static eplb_result call_in_place(world *w)
{
    return eplb_transfers_in_place(&w->problem, w->before, w->after, &w->how, w->transfer, w->capacity, &w->num,
                                   w->num_staging, w->scratch, w->scratch_bytes);
}

static int nothing_written(const world *w, size_t num)
{
    const unsigned char *byte = (const unsigned char *)w->transfer;
    for (size_t i = 0; i < sizeof w->transfer; i++)
        if (byte[i] != 0xee) return 0;
    return w->num == num && plan_is_unwritten(w->num_staging, 2);
}

static void expect_refusals(const world *bad, eplb_result want, const char *what)
{
    world w = *bad;
    eplb_result got = call_transfers(&w);
    CHECK(got == want && nothing_written(&w, 12345), "%s: %s", what, eplb_result_name(got));
    got = call_in_place(&w);
    CHECK(got == want && nothing_written(&w, 12345), "%s in place: %s", what, eplb_result_name(got));
}

static void test_bad_problems(void)
{
    world w = world_make();
    const struct {
        int32_t *field;
        int32_t value;
        eplb_result want;
    } bad[] = {
        {&w.problem.num_layers, 0, EPLB_ERR_COUNT},
        {&w.problem.num_experts, 0, EPLB_ERR_COUNT},
        {&w.problem.num_replicas, -4, EPLB_ERR_COUNT},
        {&w.problem.num_gpus, 0, EPLB_ERR_COUNT},
        {&w.problem.num_nodes, -1, EPLB_ERR_COUNT},
        {&w.problem.num_experts, 17, EPLB_ERR_TOO_FEW},
        {&w.problem.num_gpus, 3, EPLB_ERR_DIVIDE},
        {&w.problem.num_nodes, 3, EPLB_ERR_DIVIDE},
        {&w.how.sources, -1, EPLB_ERR_OPTION},
        {&w.how.sources, EPLB_NUM_SOURCES, EPLB_ERR_OPTION},
        {&w.how.rounds, -1, EPLB_ERR_OPTION},
        {&w.how.rounds, EPLB_NUM_ROUNDS, EPLB_ERR_OPTION},
        {&w.how.max_per_round, -1, EPLB_ERR_OPTION},
        {&w.before[31], 9, EPLB_ERR_PLAN},
        {&w.before[0], -2, EPLB_ERR_PLAN},
        {&w.after[31], INT32_MAX, EPLB_ERR_PLAN},
        {&w.after[16], INT32_MIN, EPLB_ERR_PLAN},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t right = *bad[i].field;
        char what[32];
        snprintf(what, sizeof what, "bad value %d", (int)i);
        *bad[i].field = bad[i].value;
        expect_refusals(&w, bad[i].want, what);
        *bad[i].field = right;
    }
}

static void test_null_arguments(void)
{
    world w = world_make();
    size_t bytes;
    eplb_problem huge = w.problem;
    CHECK(eplb_transfers_scratch_size(NULL, &bytes) == EPLB_ERR_NULL, "problem");
    CHECK(eplb_transfers_scratch_size(&w.problem, NULL) == EPLB_ERR_NULL, "bytes");
    CHECK(eplb_transfers(NULL, w.before, w.after, &w.how, w.transfer, w.capacity, &w.num, w.scratch, w.scratch_bytes)
              == EPLB_ERR_NULL,
          "problem");
    CHECK(eplb_transfers(&w.problem, NULL, w.after, &w.how, w.transfer, w.capacity, &w.num, w.scratch, w.scratch_bytes)
              == EPLB_ERR_NULL,
          "previous_phy2log");
    CHECK(eplb_transfers(&w.problem, w.before, NULL, &w.how, w.transfer, w.capacity, &w.num, w.scratch, w.scratch_bytes)
              == EPLB_ERR_NULL,
          "phy2log");
    CHECK(
        eplb_transfers(&w.problem, w.before, w.after, &w.how, w.transfer, w.capacity, NULL, w.scratch, w.scratch_bytes)
            == EPLB_ERR_NULL,
        "num_transfers");
    CHECK(eplb_transfers(&w.problem, w.before, w.after, &w.how, w.transfer, w.capacity, &w.num, NULL, w.scratch_bytes)
              == EPLB_ERR_NULL,
          "scratch");
    CHECK(eplb_transfers_in_place(&w.problem, w.before, w.after, &w.how, NULL, 0, &w.num, NULL, NULL, w.scratch_bytes)
              == EPLB_ERR_NULL,
          "scratch, in place");
    CHECK(
        eplb_transfers_in_place(&w.problem, w.before, w.after, &w.how, NULL, 0, NULL, NULL, w.scratch, w.scratch_bytes)
            == EPLB_ERR_NULL,
        "num_steps");
    CHECK(nothing_written(&w, 12345), "something was written");
    huge.num_layers = huge.num_replicas = huge.num_experts = huge.num_gpus = INT32_MAX;
    huge.num_nodes = 1;
    eplb_result got = eplb_transfers_scratch_size(&huge, &bytes);
    CHECK(got == (sizeof(size_t) > 4 ? EPLB_OK : EPLB_ERR_OVERFLOW), "huge: %s", eplb_result_name(got));
}

/* Scratch and array of exactly the size, and of one less. */
static void test_sizes(void)
{
    world w = world_make();
    size_t bytes = 0, num = 0, steps = 0;
    CHECK(eplb_transfers_scratch_size(&w.problem, &bytes) == EPLB_OK && bytes > 0, "scratch size");
    w.scratch_bytes = bytes - 1;
    expect_refusals(&w, EPLB_ERR_SCRATCH_SIZE, "a byte less");
    w.scratch_bytes = bytes;
    CHECK(eplb_transfers(&w.problem, w.before, w.after, NULL, NULL, 0, &num, NULL, 0) == EPLB_OK && num > 1, "counts");
    w.capacity = num - 1;
    CHECK(call_transfers(&w) == EPLB_ERR_CAPACITY && nothing_written(&w, num), "one less");
    CHECK(eplb_transfers_in_place(&w.problem, w.before, w.after, NULL, NULL, 0, &steps, NULL, w.scratch, bytes)
                  == EPLB_OK
              && steps >= num,
          "counts in place");
    w.capacity = steps - 1;
    CHECK(call_in_place(&w) == EPLB_ERR_CAPACITY && nothing_written(&w, steps), "one less in place");
    w.capacity = num;
    CHECK(call_transfers(&w) == EPLB_OK && w.num == num, "exactly");
    w.capacity = steps;
    CHECK(call_in_place(&w) == EPLB_OK && w.num == steps && !plan_is_unwritten(w.num_staging, 2), "exactly in place");
    w.problem.num_layers = 1;
    CHECK(eplb_transfers_scratch_size(&w.problem, &steps) == EPLB_OK && steps == bytes, "layers count for scratch");
}

/* ------------------------------------------------------------------------------ lost experts */

static void test_lost(void)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        transfer_case c = transfer_case_make(seed, 12, seed % 50 == 0 ? 200 : 8);
        uint64_t state = seed;
        int32_t S = c.problem.num_replicas / c.problem.num_gpus, E = c.problem.num_experts;
        uint8_t gone[TRANSFER_MOST_GPUS];
        eplb_lost_expert lost[6000];
        size_t num = 0, want = 0;
        for (int32_t gpu = 0; gpu < c.problem.num_gpus; gpu++)
            gone[gpu] = (uint8_t)(test_range(&state, 0, 3) ? 0 : test_range(&state, 1, 255));
        CHECK(eplb_lost_experts(&c.problem, c.before, gone, lost, 6000, &num) == EPLB_OK, "seed %d", (int)seed);
        for (int32_t l = 0; l < c.problem.num_layers; l++) {
            for (int32_t e = 0; e < E; e++) {
                int32_t held = 0;
                for (int32_t gpu = 0; gpu < c.problem.num_gpus; gpu++)
                    held += gone[gpu] ? 0 : plan_copies(c.before + (l * c.problem.num_gpus + gpu) * S, S, e);
                if (held > 0) continue;
                CHECK(want < num && lost[want].layer == l && lost[want].expert == e, "seed %d, layer %d: expert %d",
                      (int)seed, l, e);
                want++;
            }
        }
        CHECK(num == want, "seed %d: %zu lost, not %zu", (int)seed, num, want);
        size_t again = 0;
        CHECK(eplb_lost_experts(&c.problem, c.before, gone, NULL, 0, &again) == EPLB_OK && again == num, "counted");
        if (num > 0) {
            memset(lost, 0xee, sizeof lost);
            again = 0;
            CHECK(eplb_lost_experts(&c.problem, c.before, gone, lost, num - 1, &again) == EPLB_ERR_CAPACITY
                      && again == num && lost[0].layer != 0,
                  "one less");
        }
        transfer_case_free(&c);
    }
}

static void test_lost_errors(void)
{
    world w = world_make();
    size_t num = 7;
    CHECK(eplb_lost_experts(NULL, w.before, NULL, NULL, 0, &num) == EPLB_ERR_NULL, "problem");
    CHECK(eplb_lost_experts(&w.problem, NULL, NULL, NULL, 0, &num) == EPLB_ERR_NULL, "phy2log");
    CHECK(eplb_lost_experts(&w.problem, w.before, NULL, NULL, 0, NULL) == EPLB_ERR_NULL, "num_lost");
    w.before[31] = 9;
    CHECK(eplb_lost_experts(&w.problem, w.before, NULL, NULL, 0, &num) == EPLB_ERR_PLAN && num == 7, "a bad id");
    w.problem.num_gpus = 3;
    CHECK(eplb_lost_experts(&w.problem, w.before, NULL, NULL, 0, &num) == EPLB_ERR_DIVIDE && num == 7, "a bad problem");
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 2 ? (uint64_t)strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? (uint64_t)strtoull(argv[2], NULL, 10) : NUM_CASES;
    test_by_hand();
    test_rings();
    test_random(first, count);
    test_fewest_aside(count / 2);
    test_bad_problems();
    test_null_arguments();
    test_sizes();
    test_lost();
    test_lost_errors();
    return test_report("test_transfers");
}
