/* test_search.c - the search for many samples beside a naive one that makes the same decisions: it measures every load
   anew before each of them, looks at all pairs of GPUs and of slots, and works everything out exactly.

   usage: test_search [first seed [count]] */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

#include <stdlib.h>
#include <string.h>

typedef struct naive {
    int32_t        G, S, T, slots, experts, cap, apart;
    const int32_t *expert; /* [experts] */
    const int32_t *grains; /* [E, T] */
    int32_t       *slot;   /* [slots] */
    int32_t       *count;  /* [E] */
    char          *settled; /* [G, G] */
    int64_t        enough;
} naive;

static int64_t share(const naive *n, int32_t e, int32_t t, int32_t more)
{
    return n->grains[(size_t)e * (size_t)n->T + (size_t)t] / (n->count[e] + more);
}

static int64_t load(const naive *n, int32_t gpu, int32_t t)
{
    int64_t sum = 0;
    for (int32_t i = gpu * n->S; i < (gpu + 1) * n->S; i++)
        sum += share(n, n->slot[i], t, 0);
    return sum;
}

static int32_t copies(const naive *n, int32_t gpu, int32_t e)
{
    int32_t found = 0;
    for (int32_t i = gpu * n->S; i < (gpu + 1) * n->S; i++)
        found += n->slot[i] == e;
    return found;
}

static int64_t objective(const naive *n)
{
    int64_t sum = 0;
    for (int32_t gpu = 0; gpu < n->G; gpu++)
        for (int32_t t = 0; t < n->T; t++)
            sum += load(n, gpu, t) * load(n, gpu, t);
    return sum;
}

/* ------------------------------------------------------------------------------------------ swaps */

static float between(const naive *n, int32_t a, int32_t b)
{
    int64_t sum = 0;
    for (int32_t t = 0; t < n->T; t++)
        sum += (load(n, a, t) - load(n, b, t)) * (load(n, a, t) - load(n, b, t));
    volatile float rounded = (float)sum;
    return rounded;
}

/* Of the pairs that are not settled that farthest apart, the first on ties. */
static float farthest(const naive *n, int32_t *a, int32_t *b)
{
    float most = -1.0f;
    for (int32_t i = 0; i < n->G; i++)
        for (int32_t j = i + 1; j < n->G; j++) {
            float distance = n->settled[i * n->G + j] ? 0.0f : between(n, i, j);
            if (distance <= most) continue;
            most = distance;
            *a   = i;
            *b   = j;
        }
    return most;
}

static int may_come(const naive *n, int32_t i, int32_t from)
{
    return !n->apart || copies(n, i / n->S, n->slot[from]) == 0 || copies(n, from / n->S, n->slot[from]) > 1;
}

/* What the swap takes off the objective, halved. */
static int64_t swap_gain(const naive *n, int32_t i, int32_t j)
{
    int64_t gain = 0;
    for (int32_t t = 0; t < n->T; t++) {
        int64_t d = share(n, n->slot[i], t, 0) - share(n, n->slot[j], t, 0);
        gain += d * (load(n, i / n->S, t) - load(n, j / n->S, t) - d);
    }
    return gain;
}

static void open_pairs(naive *n, int32_t gpu)
{
    for (int32_t other = 0; other < n->G; other++)
        n->settled[gpu * n->G + other] = n->settled[other * n->G + gpu] = 0;
}

static int swap_pair(naive *n, int32_t a, int32_t b)
{
    int64_t most = n->enough;
    int32_t best_i = -1, best_j = -1;
    for (int32_t i = a * n->S; i < (a + 1) * n->S; i++)
        for (int32_t j = b * n->S; j < (b + 1) * n->S; j++) {
            int64_t gain = swap_gain(n, i, j);
            if (gain <= most || !may_come(n, i, j) || !may_come(n, j, i)) continue;
            most   = gain;
            best_i = i;
            best_j = j;
        }
    if (best_i < 0) {
        n->settled[a * n->G + b] = 1;
        return 0;
    }
    int32_t e = n->slot[best_i];
    n->slot[best_i] = n->slot[best_j];
    n->slot[best_j] = e;
    open_pairs(n, a);
    open_pairs(n, b);
    return 1;
}

static void swap_all(naive *n)
{
    int32_t a = 0, b = 0;
    for (int32_t swaps = 0; swaps < 2 * n->slots;) {
        if (n->G < 2 || farthest(n, &a, &b) <= 4.0f * (float)n->enough) return;
        swaps += swap_pair(n, a, b);
    }
}

/* --------------------------------------------------------------------------------------- replaces */

static int64_t square_fall(int64_t before, int64_t after) { return before * before - after * after; }

/* What e in slot i's place takes off the objective, were no GPU touched twice. */
static int64_t rough_fall(const naive *n, int32_t i, int32_t e)
{
    int64_t fall = 0;
    int32_t u = n->slot[i];
    for (int32_t t = 0; t < n->T; t++) {
        int64_t here = load(n, i / n->S, t), left = here - share(n, u, t, 0);
        for (int32_t k = 0; k < n->slots; k++) {
            int64_t there = load(n, k / n->S, t);
            if (n->slot[k] == e) fall += square_fall(there, there - share(n, e, t, 0) + share(n, e, t, 1));
            if (n->slot[k] == u && k != i)
                fall += square_fall(there, there - share(n, u, t, 0) + share(n, u, t, -1));
        }
        fall += square_fall(here, left) + square_fall(left, left + share(n, e, t, 1));
    }
    return fall;
}

static void put(naive *n, int32_t i, int32_t e)
{
    n->count[n->slot[i]]--;
    n->count[e]++;
    n->slot[i] = e;
}

static int64_t exact_fall(naive *n, int32_t i, int32_t e)
{
    int32_t u = n->slot[i];
    int64_t before = objective(n), after;
    put(n, i, e);
    after = objective(n);
    put(n, i, u);
    return before - after;
}

static int may_take_away(const naive *n, int32_t i)
{
    int32_t u = n->slot[i];
    return n->count[u] > 1 && (!n->apart || n->count[u] <= n->G || copies(n, i / n->S, u) > 1);
}

static int may_replace(const naive *n, int32_t i, int32_t e)
{
    return e != n->slot[i] && (n->cap == 0 || n->count[e] < n->cap)
           && (!n->apart || copies(n, i / n->S, e) == 0 || n->count[e] >= n->G);
}

static int replace_best(naive *n)
{
    int64_t best = 2 * n->enough;
    int32_t best_i = -1, best_e = -1;
    for (int32_t i = 0; i < n->slots; i++) {
        int64_t most = best;
        int32_t receiver = -1;
        if (!may_take_away(n, i)) continue;
        for (int32_t k = 0; k < n->experts; k++) {
            int32_t e = n->expert[k];
            if (!may_replace(n, i, e) || rough_fall(n, i, e) <= most) continue;
            most     = rough_fall(n, i, e);
            receiver = e;
        }
        if (receiver < 0 || exact_fall(n, i, receiver) <= best) continue;
        best   = exact_fall(n, i, receiver);
        best_i = i;
        best_e = receiver;
    }
    if (best_i < 0) return 0;
    int32_t u = n->slot[best_i];
    put(n, best_i, best_e);
    for (int32_t gpu = 0; gpu < n->G; gpu++)
        if (copies(n, gpu, u) > 0 || copies(n, gpu, best_e) > 0 || gpu == best_i / n->S) open_pairs(n, gpu);
    return 1;
}

static void naive_search(naive *n)
{
    memset(n->settled, 0, (size_t)n->G * (size_t)n->G);
    for (int32_t moves = 0; moves < n->slots; moves++) {
        swap_all(n);
        if (!replace_best(n)) return;
    }
}

/* --------------------------------------------------------------------------------- side by side */

/* The same node, from the same plan. */
static void check_node(eplb_p_search *s, uint64_t seed, int32_t layer, int32_t node)
{
    size_t   slots = (size_t)s->num_slots, experts = (size_t)s->words * 32;
    naive    n = EPLB_ZERO_INIT;
    int32_t *slot = (int32_t *)malloc(slots * sizeof(int32_t)), *count = (int32_t *)malloc(experts * sizeof(int32_t));
    n.G       = s->num_gpus;
    n.S       = s->gpu_slots;
    n.T       = s->num_samples;
    n.slots   = s->num_slots;
    n.experts = s->num_experts;
    n.cap     = s->max_replicas;
    n.apart   = s->apart;
    n.expert  = s->expert;
    n.grains  = s->grains;
    n.enough  = s->enough;
    n.slot    = slot;
    n.count   = count;
    n.settled = (char *)malloc((size_t)n.G * (size_t)n.G);

    eplb_p_measure_node(s);
    if (s->apart) eplb_p_part_duplicates(s);
    memcpy(slot, s->slot, slots * sizeof(int32_t));
    for (int32_t i = 0; i < s->num_experts; i++)
        count[s->expert[i]] = s->count[s->expert[i]];
    s->steps = INT64_MAX;
    eplb_p_lower_squares(s);
    naive_search(&n);
    CHECK(memcmp(slot, s->slot, slots * sizeof(int32_t)) == 0,
          "seed %llu, layer %d, node %d: another plan", (unsigned long long)seed, (int)layer, (int)node);
    free(n.settled);
    free(slot);
    free(count);
}

static void check_problem(uint64_t seed)
{
    random_problem  r = random_problem_make(seed);
    eplb_plan       plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    eplb_p_planner  planner;
    eplb_p_search   s;
    size_t          bytes = 0;
    uint64_t        state = seed;
    r.options.effort = 1;
    r.problem.num_samples = r.problem.num_samples > 1 ? r.problem.num_samples : 1;
    r.options.allow_duplicates = test_range(&state, 0, 3) == 0;
    CHECK(eplb_scratch_size(&r.problem, &r.options, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    void       *scratch = malloc(bytes);
    eplb_p_call call = eplb_p_call_of(&r.problem, &r.options, r.weight, &plan, scratch, bytes);
    CHECK(eplb_p_prepare(&call, &planner, &s) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    for (int32_t layer = 0; layer < r.problem.num_layers; layer++) {
        eplb_p_layer *l = &planner.layer;
        eplb_p_weigh_layer(l, r.weight, layer);
        if (l->num_counting == 1) continue;
        eplb_p_place_groups(&planner);
        for (int32_t k = 0; k < call.shape.num_nodes; k++)
            eplb_p_place_experts(&planner, k);
        eplb_p_enter_phase(&planner.shared, planner.search_bytes);
        for (int32_t k = 0; k < call.shape.num_nodes; k++) {
            eplb_p_open_node(&s, l, k);
            s.apart = call.shape.apart && !r.options.allow_duplicates;
            check_node(&s, seed, layer, k);
        }
        eplb_p_leave_phases(&planner.shared);
    }
    free(scratch);
    plan_free(&plan);
    random_problem_free(&r);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 3000;
    for (uint64_t seed = first; seed < first + count; seed++)
        check_problem(seed);
    return test_report("test_search");
}
