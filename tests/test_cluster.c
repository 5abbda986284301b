/* test_cluster.c - plans for clusters as they are: GPUs that are dead, have fewer slots, or are slower, nodes of any
   size. What holds of every plan, LPT by a naive program, and clusters of equal GPUs, which are planned as ever.

   usage: test_cluster [FIRST COUNT]   random problems by their seeds */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "cluster_cases.h"
#include "follow_oracle.h"

enum { NUM_PROBLEMS = 1200, GUARD = 16 };

/* ------------------------------------------------------------------------------------- cases */

/* Whether the plan begins with the one in force, so that slots may be empty and groups be where they were. */
static int follows(const cluster_case *c)
{
    const eplb_options *o = &c->o;
    return o->previous_phy2log
           && ((o->max_moves | o->max_gpu_moves | o->max_pair_moves | o->max_node_moves) != 0 || o->move_cost > 0.0f);
}

/* -------------------------------------------------------------------------------- any plan */

static int is_hierarchical(const cluster_case *c)
{
    return c->p.num_nodes > 1 && c->o.policy != EPLB_POLICY_GLOBAL && /* nodes divide groups in all cases */
           c->p.survive != EPLB_SURVIVE_NODE;
}

/* How many groups have to be split, and over how many nodes each at least. */
static void check_groups(const cluster_case *c, const int32_t *phy2log, uint64_t seed)
{
    int32_t K = c->p.num_groups, gs = c->p.num_experts / K, S = c->p.num_replicas / c->p.num_gpus;
    int32_t slots[MOST_NODES] = {0}, fit = 0, split = 0, home[MOST_EXPERTS];
    for (int32_t g = 0; g < c->p.num_gpus; g++) slots[node_of(c, g)] += usable(c, g);
    for (int32_t n = 0; n < c->p.num_nodes; n++) fit += slots[n] / gs;
    for (int32_t e = 0; e < c->p.num_experts; e++) home[e] = -1;
    for (int32_t i = 0; i < c->p.num_replicas; i++) {
        int32_t e = phy2log[i], n = node_of(c, i / S);
        if (e < 0) continue;
        CHECK(home[e] < 0 || home[e] == n, "seed %llu: expert %d on nodes %d and %d", (unsigned long long)seed, (int)e,
              (int)home[e], (int)n);
        home[e] = n;
    }
    for (int32_t k = 0; k < K; k++) {
        int32_t different = 0;
        for (int32_t i = 1; i < gs; i++) different |= home[k * gs + i] != home[k * gs];
        split += different;
    }
    CHECK(follows(c) || c->p.locked || split <= (fit < K ? K - fit : 0), "seed %llu: %d groups split, %d of %d fit",
          (unsigned long long)seed, (int)split, (int)fit, (int)K);
}

/* The loss of any GPU, or node, leaves a replica of every expert that has two; and none has three before all have two,
   as far as there are slots. */
static void check_survival(const cluster_case *c, const int32_t *phy2log, const int32_t *count, uint64_t seed)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus, E = c->p.num_experts, most = 0, least = 99, twice = 0, room = -E;
    int32_t domains = c->p.survive == EPLB_SURVIVE_NODE ? c->p.num_nodes : c->p.num_gpus;
    for (int32_t d = 0; d < domains; d++) {
        int32_t left[MOST_EXPERTS] = {0}, slots = 0;
        for (int32_t i = 0; i < c->p.num_replicas; i++) {
            int32_t here = c->p.survive == EPLB_SURVIVE_NODE ? node_of(c, i / S) : i / S;
            slots += here == d && i % S < usable(c, i / S);
            if (phy2log[i] >= 0 && here != d) left[phy2log[i]]++;
        }
        room += slots < E ? slots : E;
        for (int32_t e = 0; e < E; e++)
            CHECK(count[e] < 2 || left[e] > 0, "seed %llu: expert %d dies with %d", (unsigned long long)seed, (int)e,
                  (int)d);
    }
    for (int32_t e = 0; e < E; e++) {
        most = count[e] > most ? count[e] : most;
        least = count[e] < least ? count[e] : least;
        twice += count[e] > 1;
    }
    if (is_hierarchical(c)) return; /* so for each node, and that is not asked here */
    CHECK(least > 1 || most < 3, "seed %llu: %d replicas of one expert, %d of another", (unsigned long long)seed,
          (int)most, (int)least);
    if (c->o.max_replicas != 1)
        CHECK(twice == E || twice == room, "seed %llu: %d of %d experts twice, with room for %d",
              (unsigned long long)seed, (int)twice, (int)E, (int)room);
}

static void check_plan(const cluster_case *c, uint64_t seed)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus, E = c->p.num_experts, R = c->p.num_replicas,
            W = c->plan.log2phy_width;
    for (int32_t l = 0; l < c->p.num_layers; l++) {
        const int32_t *phy2log = c->phy2log + l * R, *phyrank = c->phyrank + l * R;
        int32_t count[MOST_EXPERTS] = {0}, empty = 0;
        for (int32_t i = 0; i < R; i++) {
            int32_t e = phy2log[i];
            if (i % S >= usable(c, i / S)) {
                CHECK(e == -1 && phyrank[i] == -1, "seed %llu: slot %d is used", (unsigned long long)seed, (int)i);
                continue;
            }
            CHECK(e >= -1 && e < E, "seed %llu: slot %d holds %d", (unsigned long long)seed, (int)i, (int)e);
            if (e < 0) {
                empty++;
                continue;
            }
            CHECK(c->log2phy[(l * E + e) * W + phyrank[i]] == i, "seed %llu: log2phy of slot %d",
                  (unsigned long long)seed, (int)i);
            count[e]++;
        }
        for (int32_t e = 0; e < E; e++) {
            CHECK(count[e] >= 1 && count[e] == c->logcnt[l * E + e], "seed %llu: expert %d has %d replicas",
                  (unsigned long long)seed, (int)e, (int)count[e]);
            CHECK(c->o.max_replicas == 0 || follows(c) || count[e] <= c->o.max_replicas, "seed %llu: too many",
                  (unsigned long long)seed);
        }
        if (c->p.survive && !follows(c) && !c->p.locked) check_survival(c, phy2log, count, seed);
        if (!is_hierarchical(c) && c->o.max_replicas == 0 && !follows(c) && !c->p.locked && !c->p.survive)
            CHECK(empty == 0, "seed %llu: %d slots stay empty", (unsigned long long)seed, (int)empty);
        if (is_hierarchical(c)) check_groups(c, phy2log, seed);
    }
}

/* ------------------------------------------------------------------------- the plan in force */

/* What the slowest GPU takes, the mean of the samples that hold load; 0 where an expert is nowhere. */
static double slowest(const cluster_case *c, int32_t layer, const int32_t *slots)
{
    int32_t E = c->p.num_experts, G = c->p.num_gpus, S = c->p.num_replicas / G, count[MOST_EXPERTS] = {0}, num = 0;
    double sum = 0;
    for (int32_t i = 0; i < c->p.num_replicas; i++)
        if (slots[i] >= 0) count[slots[i]]++;
    for (int32_t e = 0; e < E; e++)
        if (count[e] == 0) return 0;
    for (int32_t t = 0; t < c->p.num_samples; t++) {
        const float *load = c->load + ((size_t)t * (size_t)c->p.num_layers + (size_t)layer) * (size_t)E;
        double most = 0, all = 0;
        for (int32_t e = 0; e < E; e++) all += load[e];
        for (int32_t g = 0; g < G; g++) {
            double time = 0;
            for (int32_t i = g * S; i < (g + 1) * S; i++)
                if (slots[i] >= 0) time += (double)load[slots[i]] / count[slots[i]] / (double)speed_of(c, g);
            most = time > most ? time : most;
        }
        num += all > 0;
        sum += most;
    }
    return num > 0 ? sum / num : 0;
}

/* Limits hold whoever sends; experts that stay on a GPU stay in their slots; without loss nothing gets worse. */
static void check_following(const cluster_case *c, uint64_t seed)
{
    int32_t R = c->p.num_replicas, S = R / c->p.num_gpus;
    follow_use use;
    for (int32_t l = 0; l < c->p.num_layers; l++) {
        follow_layer f = follow_layer_of(&c->p, &c->o, l, c->there, c->phy2log);
        const char *fault;
        const uint8_t *locked = c->p.locked ? c->locked + l * R : NULL;
        double stay = slowest(c, l, f.before), now = slowest(c, l, f.after);
        follow_use_all(&f, &use);
        fault = follow_use_fault(&use, &c->o);
        CHECK(!fault, "seed %llu: %s", (unsigned long long)seed, fault);
        for (int32_t i = 0; i < R; i++) {
            int32_t e = f.before[i], here = i - i % S;
            CHECK(!locked || !locked[i] || f.after[i] == e, "seed %llu: slot %d is locked, held %d, holds %d",
                  (unsigned long long)seed, (int)i, (int)e, (int)f.after[i]);
            if (e < 0 || f.after[i] == e || plan_copies(f.after + here, S, e) < plan_copies(f.before + here, S, e))
                continue;
            CHECK(locked != NULL, "seed %llu: expert %d stays, but not in slot %d", (unsigned long long)seed, (int)e,
                  (int)i);
        }
        if (follows(c) && stay > 0 && !c->p.survive && c->o.shares == EPLB_PLAN_FOR_EQUAL)
            CHECK(now <= stay * (c->p.gpu_speed ? 1.0005 : 1.00001), "seed %llu: %g, and was %g",
                  (unsigned long long)seed, now, stay);
    }
}

/* ------------------------------------------------------------------------------- by a naive program */

/* Preset DEEPSEEK on a flat cluster: D'Hondt over the slots there are, then the heaviest replica first to the GPU with
   room whose load / speed would be least after it; where speeds are alike, to the lightest. */
static void check_naive_lpt(uint64_t seed)
{
    static cluster_case c;
    if (!draw_case(&c, seed)) return;
    int32_t E = c.p.num_experts, G = c.p.num_gpus, S = c.p.num_replicas / G, n = all_usable(&c), alike = 1, single = 1;
    int32_t count[MOST_EXPERTS], expert[MOST_GPUS * MOST_SLOTS], taken[MOST_GPUS * MOST_SLOTS] = {0},
                                                                                   fill[MOST_GPUS] = {0};
    float gpu_load[MOST_GPUS] = {0}, load[MOST_EXPERTS];
    size_t bytes = 0;
    c.p.survive = EPLB_SURVIVE_NONE;
    c.p.locked = NULL;
    c.p.num_layers = c.p.num_samples = 1;
    eplb_options_preset(EPLB_PRESET_DEEPSEEK, &c.o);
    c.o.policy = EPLB_POLICY_GLOBAL;
    for (int32_t e = 0; e < E; e++) {
        uint64_t state = seed + (uint64_t)e;
        load[e] = 1.0f + (float)test_range(&state, 0, 99);
        count[e] = 1;
        expert[e] = e;
    }
    for (int32_t i = E; i < n; i++) {
        int32_t best = 0;
        for (int32_t e = 1; e < E; e++)
            if (load[e] / (float)count[e] > load[best] / (float)count[best]) best = e;
        expert[i] = best;
        count[best]++;
    }
    for (int32_t g = 0, first = -1; g < G; g++) {
        if (usable(&c, g) == 0) continue;
        alike &= first < 0 || !(speed_of(&c, g) < speed_of(&c, first) || speed_of(&c, g) > speed_of(&c, first));
        first = g;
    }
    single = alike; /* as many GPUs as slots: each gets one in order */
    CHECK(eplb_scratch_size(&c.p, &c.o, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    CHECK(eplb_rebalance(&c.p, &c.o, load, &c.plan, scratch, bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    free(scratch);
    for (int32_t g = 0; g < G; g++) single &= usable(&c, g) <= 1;
    for (int32_t g = 0, k = 0; g < G && single; g++)
        if (usable(&c, g) == 1)
            CHECK(c.phy2log[g * S] == expert[k++], "seed %llu: GPU %d", (unsigned long long)seed, (int)g);
    for (int32_t k = 0; k < n && !single; k++) {
        int32_t heaviest = -1, best = -1;
        float w, least = 0;
        for (int32_t i = 0; i < n; i++)
            if (!taken[i]
                && (heaviest < 0
                    || load[expert[i]] / (float)count[expert[i]]
                           > load[expert[heaviest]] / (float)count[expert[heaviest]]))
                heaviest = i;
        w = load[expert[heaviest]] / (float)count[expert[heaviest]];
        taken[heaviest] = 1;
        for (int32_t g = 0; g < G; g++) {
            float time = alike ? gpu_load[g] : (gpu_load[g] + w) / speed_of(&c, g);
            if (fill[g] >= usable(&c, g) || (best >= 0 && !(time < least))) continue;
            least = time;
            best = g;
        }
        gpu_load[best] += w;
        CHECK(c.phy2log[best * S + fill[best]] == expert[heaviest], "seed %llu: slot %d of GPU %d holds %d, not %d",
              (unsigned long long)seed, (int)fill[best], (int)best, (int)c.phy2log[best * S + fill[best]],
              (int)expert[heaviest]);
        fill[best]++;
    }
}

/* A cluster whose numbers are all alike is planned as one without them, in every number and in as little scratch. */
static void check_alike(uint64_t seed)
{
    static cluster_case c;
    static int32_t plain[MOST_LAYERS * MOST_GPUS * MOST_SLOTS];
    size_t bytes = 0, same = 0;
    if (!draw_case(&c, seed) || c.p.num_gpus % c.p.num_nodes != 0) return;
    c.p.gpu_slots = c.p.gpu_node = NULL;
    c.p.gpu_speed = NULL;
    c.p.locked = NULL;
    c.p.survive = EPLB_SURVIVE_NONE;
    c.o.max_replicas = c.o.max_moves = c.o.max_gpu_moves = c.o.max_pair_moves = c.o.max_node_moves = 0;
    c.o.move_cost = 0.0f; /* the plan in force may not be one for these nodes */
    CHECK(eplb_scratch_size(&c.p, &c.o, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    CHECK(eplb_rebalance(&c.p, &c.o, c.load, &c.plan, scratch, bytes) == EPLB_OK, "seed %llu",
          (unsigned long long)seed);
    memcpy(plain, c.phy2log, sizeof plain);
    for (int32_t g = 0; g < c.p.num_gpus; g++) {
        c.slots[g] = c.p.num_replicas / c.p.num_gpus;
        c.speed[g] = 0.7f;
        c.node[g] = g / (c.p.num_gpus / (c.p.num_nodes ? c.p.num_nodes : 1));
    }
    c.p.gpu_slots = c.slots;
    c.p.gpu_speed = c.speed;
    c.p.gpu_node = c.node;
    CHECK(eplb_scratch_size(&c.p, &c.o, &same) == EPLB_OK && same == bytes, "seed %llu", (unsigned long long)seed);
    CHECK(eplb_rebalance(&c.p, &c.o, c.load, &c.plan, scratch, bytes) == EPLB_OK, "seed %llu",
          (unsigned long long)seed);
    free(scratch);
    for (int32_t i = 0; i < c.p.num_layers * c.p.num_replicas; i++)
        CHECK(c.phy2log[i] == plain[i], "seed %llu: slot %d", (unsigned long long)seed, (int)i);
}

/* Any partition of the layers gives the same plan. */
static void check_partition(uint64_t seed)
{
    static cluster_case c, one;
    size_t bytes = 0;
    if (!draw_case(&c, seed) || c.p.num_layers < 2) return;
    one = c;
    one.plan.phy2log = one.phy2log;
    one.plan.phyrank = NULL;
    one.plan.logcnt = one.plan.log2phy = NULL;
    CHECK(eplb_scratch_size(&c.p, &c.o, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    eplb_result r = eplb_rebalance(&c.p, &c.o, c.load, &c.plan, scratch, bytes);
    for (int32_t l = c.p.num_layers - 1; l >= 0 && r == EPLB_OK; l--)
        CHECK(eplb_rebalance_layers(&c.p, &c.o, c.load, &one.plan, scratch, bytes, l, 1) == EPLB_OK, "seed %llu",
              (unsigned long long)seed);
    free(scratch);
    CHECK(r != EPLB_OK
              || memcmp(c.phy2log, one.phy2log, sizeof(int32_t) * (size_t)(c.p.num_layers * c.p.num_replicas)) == 0,
          "seed %llu", (unsigned long long)seed);
}

/* ------------------------------------------------------------------------------------------ all */

/* ------------------------------------------------------------------------------------- checks */

/* What the planner makes passes the check; what is changed in it does not, for the reason that it should. */
static long seen[EPLB_NUM_FAULTS];

static eplb_plan_fault check_of(const cluster_case *c, uint64_t seed)
{
    eplb_plan_fault fault;
    size_t bytes = 0;
    CHECK(eplb_transfers_scratch_size(&c->p, &bytes) == EPLB_OK, "seed %llu", (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    eplb_result r = eplb_check_plan(&c->p, &c->o, c->phy2log, &fault, scratch, bytes);
    free(scratch);
    CHECK(r == (fault.reason ? EPLB_ERR_PLAN : EPLB_OK), "seed %llu: %s", (unsigned long long)seed,
          eplb_result_name(r));
    seen[fault.reason]++;
    return fault;
}

static void check_checks(cluster_case *c, uint64_t seed)
{
    eplb_plan_fault f = check_of(c, seed);
    int32_t R = c->p.num_replicas, S = R / c->p.num_gpus, n = c->p.num_layers * R;
    if (!follows(c) && !c->p.locked)
        CHECK(f.reason == EPLB_FAULT_NONE, "seed %llu: %s, slot %d, expert %d, other %d", (unsigned long long)seed,
              eplb_fault_name(f.reason), (int)f.slot, (int)f.expert, (int)f.other);
    if (f.reason != EPLB_FAULT_NONE) return;
    for (int32_t i = n - 1; i >= 0; i--) { /* an expert where none may be: the first layer's first such slot is told */
        if (i % S < usable(c, i % R / S)) continue;
        c->phy2log[i] = i % c->p.num_experts;
        f = check_of(c, seed);
        CHECK(f.reason == EPLB_FAULT_UNUSABLE && f.layer == i / R && f.slot == i % R && f.expert == c->phy2log[i],
              "seed %llu: %s in slot %d", (unsigned long long)seed, eplb_fault_name(f.reason), (int)f.slot);
        c->phy2log[i] = -1;
    }
    for (int32_t i = 0; i < n && c->p.locked && c->o.max_moves >= 0; i++) { /* two slots of a GPU change places */
        int32_t e = c->phy2log[i], j = i % S > 0 ? i - 1 : i;
        if (!c->locked[i] || i % S >= usable(c, i % R / S) || c->phy2log[j] == e) continue;
        c->phy2log[i] = c->phy2log[j];
        c->phy2log[j] = e;
        f = check_of(c, seed);
        CHECK(f.reason == EPLB_FAULT_LOCKED && f.layer == i / R && f.slot <= i % R, "seed %llu: %s in slot %d",
              (unsigned long long)seed, eplb_fault_name(f.reason), (int)f.slot);
        c->phy2log[j] = c->phy2log[i];
        c->phy2log[i] = e;
    }
}

/* Of a flat plan that survives: an expert with both its replicas on one GPU, and one with one replica that had two. */
static void check_mortal(cluster_case *c, uint64_t seed)
{
    int32_t R = c->p.num_replicas, S = R / c->p.num_gpus, i, j;
    if (c->p.survive != EPLB_SURVIVE_GPU || c->o.previous_phy2log || check_of(c, seed).reason || is_hierarchical(c)
        || c->o.effort > 0)
        return;
    for (i = 0; i < R;
         i++) { /* the partner of a pair comes to slot i's GPU, in place of an expert with a third replica */
        int32_t e = c->phy2log[i];
        if (e < 0 || c->logcnt[e] != 2) continue;
        for (j = i - i % S; j < i - i % S + S; j++) {
            int32_t x = c->phy2log[j], partner = 0;
            while (c->phy2log[partner] != e || partner / S == i / S)
                if (++partner == R) break;
            if (partner == R || x < 0 || x == e || c->logcnt[x] > 1) continue;
            c->phy2log[j] = e;
            c->phy2log[partner] = x;
            eplb_plan_fault f = check_of(c, seed);
            CHECK(f.reason == EPLB_FAULT_DIES && f.expert == e && f.other == i / S && f.count == 2, "seed %llu: %s",
                  (unsigned long long)seed, eplb_fault_name(f.reason));
            c->phy2log[partner] = e;
            c->phy2log[j] = x;
            return;
        }
    }
}

static long too_much_locked;

static void run_case(cluster_case *c, uint64_t seed)
{
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(&c->p, &c->o, &bytes);
    CHECK(r == EPLB_OK, "seed %llu: %s", (unsigned long long)seed, eplb_result_name(r));
    if (r != EPLB_OK) return;
    unsigned char *scratch = (unsigned char *)test_alloc(bytes + GUARD + 1) + 1;
    memset(scratch + bytes, 0x5A, GUARD);
    test_forget(scratch, bytes);
    r = eplb_rebalance(&c->p, &c->o, c->load, &c->plan, scratch, bytes);
    too_much_locked += r == EPLB_ERR_PLAN && c->p.locked;
    CHECK(r == EPLB_OK || (r == EPLB_ERR_PLAN && c->p.locked), "seed %llu: %s", (unsigned long long)seed,
          eplb_result_name(r));
    for (int i = 0; i < GUARD; i++)
        CHECK(scratch[bytes + (size_t)i] == 0x5A, "seed %llu: beyond scratch", (unsigned long long)seed);
    free(scratch - 1);
    if (r != EPLB_OK) return;
    check_plan(c, seed);
    if (c->o.previous_phy2log) check_following(c, seed);
    check_mortal(c, seed);
    check_checks(c, seed);
}

/* The same plan, and the same fault of another, with nodes 0 .. 3 and with those numbers among a thousand. */
static void check_far_nodes(int32_t survive, int32_t max_node_moves)
{
    static const int32_t near_by[4] = {0, 1, 2, 3}, far_off[4] = {0, 333, 500, 999};
    static const int32_t before[8] = {3, 3, 2, 2, 1, 1, 0, 0}, after[8] = {0, 0, 1, 1, 2, 2, 3, 3};
    static const float load[4] = {1, 2, 3, 4};
    eplb_problem p = EPLB_ZERO_INIT;
    eplb_options o;
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_plan_fault fault[2];
    int32_t planned[2][8];
    p.num_layers = 1;
    p.num_experts = 4;
    p.num_replicas = 8;
    p.num_gpus = 4;
    p.num_groups = 4;
    p.survive = survive;
    eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
    o.policy = EPLB_POLICY_GLOBAL; /* groups are no multiple of a thousand */
    o.previous_phy2log = before;
    o.max_node_moves = max_node_moves;
    for (int i = 0; i < 2; i++) {
        size_t bytes = 0, check_bytes = 0;
        p.num_nodes = i ? 1000 : 4;
        p.gpu_node = i ? far_off : near_by;
        plan.phy2log = planned[i];
        CHECK(eplb_scratch_size(&p, &o, &bytes) == EPLB_OK && eplb_transfers_scratch_size(&p, &check_bytes) == EPLB_OK,
              "far");
        void *scratch = test_alloc(bytes), *check = test_alloc(check_bytes);
        CHECK(eplb_rebalance(&p, &o, load, &plan, scratch, bytes) == EPLB_OK, "far nodes");
        (void)eplb_check_plan(&p, &o, after, &fault[i], check, check_bytes);
        free(scratch);
        free(check);
    }
    CHECK(memcmp(planned[0], planned[1], sizeof planned[0]) == 0, "survive %d: far nodes are planned otherwise",
          (int)survive);
    CHECK(fault[0].reason == fault[1].reason && fault[0].slot == fault[1].slot && fault[0].count == fault[1].count,
          "survive %d: %s is %s on far nodes", (int)survive, eplb_fault_name(fault[0].reason),
          eplb_fault_name(fault[1].reason));
}

/* -------------------------------------------------------------------------- a node that comes back */

enum { BACK_NODES = 4, BACK_GPUS = 16, BACK_EXPERTS = 64, BACK_SLOTS = 96 }; /* slots and experts, at most */

static int32_t back_plan(const eplb_problem *p, const eplb_options *o, const float *load, int32_t *phy2log,
                         float *max_load)
{
    eplb_layer_report report;
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    plan.phy2log = phy2log;
    CHECK(eplb_scratch_size(p, o, &bytes) == EPLB_OK, "a node comes back");
    void *scratch = test_alloc(bytes);
    CHECK(eplb_rebalance(p, o, load, &plan, scratch, bytes) == EPLB_OK, "a node comes back");
    CHECK(eplb_evaluate(p, o, load, &plan, &report, NULL, scratch, bytes) == EPLB_OK, "a node comes back");
    free(scratch);
    *max_load = report.max_load;
    return report.num_split_groups;
}

static int32_t back_held(const eplb_problem *p, const int32_t *phy2log, int32_t node)
{
    int32_t each = p->num_replicas / BACK_NODES;
    return each - plan_copies(phy2log + node * each, each, -1);
}

/* The plan of a cluster without a node, and then plans with it, each from the one before under limits: no limit is broken
   and no group split, no plan is worse than the one before, and in the end the node does its part. Returns by how much
   balancedness rose. */
static double back_check(uint64_t seed, int32_t policy)
{
    uint64_t state = seed;
    eplb_problem p = EPLB_ZERO_INIT;
    eplb_options o;
    int32_t tight = seed % 3 == 0, S = tight ? 4 : 6, slots[BACK_GPUS], plans[2][BACK_SLOTS],
            node = test_range(&state, 0, BACK_NODES - 1), held = 0, steps = 24;
    float load[BACK_EXPERTS], before, first, now = 0;
    for (int32_t e = 0; e < BACK_EXPERTS; e++) {
        load[e] = 0.25f + random_load(&state, LOAD_LOGNORMAL);
        if (test_range(&state, 0, 9) == 0) load[e] *= 8.0f; /* as much as a GPU has otherwise */
    }
    for (int32_t g = 0; g < BACK_GPUS; g++) slots[g] = g / (BACK_GPUS / BACK_NODES) == node ? 0 : S;
    p.num_layers = 1;
    p.num_experts = tight ? 48 : BACK_EXPERTS;
    p.num_replicas = tight ? 64 : BACK_SLOTS; /* three nodes have as many slots as there are experts, if tight */
    p.num_groups = p.num_experts / 4;
    p.num_nodes = BACK_NODES;
    p.num_gpus = BACK_GPUS;
    p.gpu_slots = slots;
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &o) == EPLB_OK, "options");
    o.policy = policy;
    (void)back_plan(&p, &o, load, plans[0], &before);
    first = before;
    for (int32_t g = 0; g < BACK_GPUS; g++) slots[g] = S;
    o.max_moves = test_range(&state, 8, 16);
    o.max_gpu_moves = test_range(&state, 0, 1) ? 0 : test_range(&state, 3, 6);
    o.max_node_moves = test_range(&state, 0, 1) ? 0 : test_range(&state, 8, 12);
    o.move_cost = test_range(&state, 0, 1) ? 0.0f : 0.001f;
    for (int32_t step = 0; step < steps; step++) {
        const int32_t *old = plans[step % 2];
        int32_t *new_plan = plans[(step + 1) % 2];
        o.previous_phy2log = old;
        CHECK(back_plan(&p, &o, load, new_plan, &now) == 0, "seed %llu, step %d: a group is split",
              (unsigned long long)seed, (int)step);
        follow_layer f = follow_layer_of(&p, &o, 0, old, new_plan);
        follow_use use;
        follow_use_all(&f, &use);
        const char *fault = follow_use_fault(&use, &o);
        CHECK(!fault, "seed %llu, step %d: %s", (unsigned long long)seed, (int)step, fault);
        CHECK(now <= before * 1.00001f, "seed %llu, step %d: %g, and was %g", (unsigned long long)seed, (int)step,
              (double)now, (double)before);
        if (step == 0)
            CHECK(back_held(&p, new_plan, node) > 0, "seed %llu: nothing comes to node %d", (unsigned long long)seed,
                  (int)node);
        before = now;
        held = back_held(&p, new_plan, node);
    }
    CHECK(held >= p.num_replicas / BACK_NODES / 4, "seed %llu: node %d holds %d", (unsigned long long)seed, (int)node,
          (int)held);
    return (double)first / (double)now;
}

static void check_back(uint64_t seeds)
{
    double rise[2] = {0, 0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        rise[0] += back_check(seed, EPLB_POLICY_HIERARCHICAL);
        rise[1] += back_check(seed, EPLB_POLICY_GLOBAL);
    }
    printf("a node comes back: balancedness rises by %.3f with groups, by %.3f without\n", rise[0] / (double)seeds,
           rise[1] / (double)seeds);
    CHECK(rise[0] > 1.15 * (double)seeds && rise[1] > 1.2 * (double)seeds, "too little");
}

/* ------------------------------------------------------------------------------ days of a cluster */

enum { DAY_PLANS = 8, DAYS = 5 };

typedef struct days_case {
    uint64_t seed, state;
    eplb_problem p;
    eplb_options o; /* limits, and a price */
    int32_t slots[BACK_GPUS], plans[2][BACK_SLOTS], there[BACK_SLOTS];
    float load[BACK_EXPERTS];
} days_case;

static long days_split, days_joined; /* days of a whole cluster that begin with split groups; and that end with none */

/* Nodes of which one cannot hold its groups once a GPU of it is gone. */
static void days_draw(days_case *d, uint64_t seed)
{
    memset(d, 0, sizeof *d);
    d->seed = d->state = seed;
    d->p.num_layers = 1;
    d->p.num_experts = BACK_EXPERTS;
    d->p.num_replicas = test_range(&d->state, 5, 6) * BACK_GPUS;
    d->p.num_groups = test_range(&d->state, 1, 2) * BACK_NODES;
    d->p.num_nodes = BACK_NODES;
    d->p.num_gpus = BACK_GPUS;
    for (int32_t e = 0; e < BACK_EXPERTS; e++) d->load[e] = 0.25f + random_load(&d->state, LOAD_LOGNORMAL);
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &d->o) == EPLB_OK, "options");
    d->o.policy = EPLB_POLICY_HIERARCHICAL;
    d->o.max_moves = test_range(&d->state, 0, 2) ? test_range(&d->state, 1, 12) : 0;
    d->o.max_gpu_moves = test_range(&d->state, 0, 2) ? 0 : test_range(&d->state, 1, 3);
    d->o.max_pair_moves = test_range(&d->state, 0, 3) ? 0 : test_range(&d->state, 1, 2);
    d->o.max_node_moves = test_range(&d->state, 0, 2) ? 0 : test_range(&d->state, 1, 6);
    d->o.move_cost = 0.01f;
}

/* Every other day all is whole, and else some GPUs are gone, or half of their slots, as long as there is room for all
   experts. Returns whether all is. */
static int days_begin(days_case *d, int32_t day)
{
    int32_t S = d->p.num_replicas / BACK_GPUS, left = d->p.num_replicas;
    for (int32_t g = 0; g < BACK_GPUS; g++) d->slots[g] = S;
    d->p.gpu_slots = d->slots;
    for (int32_t times = day % 2 ? 0 : test_range(&d->state, 1, 4); times > 0; times--) {
        int32_t g = test_range(&d->state, 0, BACK_GPUS - 1), stay = test_range(&d->state, 0, 3) ? 0 : S / 2;
        if (left - d->slots[g] + stay < BACK_EXPERTS) continue;
        left += stay - d->slots[g];
        d->slots[g] = stay;
    }
    return day % 2;
}

static void days_check(days_case *d, int32_t plan, const int32_t *old, const int32_t *now)
{
    int32_t S = d->p.num_replicas / BACK_GPUS;
    follow_use use;
    eplb_plan_fault f;
    size_t bytes = 0;
    for (int32_t i = 0; i < d->p.num_replicas; i++) d->there[i] = i % S < d->slots[i / S] ? old[i] : -1;
    follow_layer l = follow_layer_of(&d->p, &d->o, 0, d->there, now);
    follow_use_all(&l, &use);
    const char *fault = follow_coverage_fault(&l);
    if (!fault) fault = follow_use_fault(&use, &d->o);
    if (!fault) fault = follow_kept_fault(&l);
    if (!fault && follow_torn_slot(&l, now) >= 0) fault = "an expert is on two nodes";
    CHECK(!fault, "seed %llu, plan %d: %s", (unsigned long long)d->seed, (int)plan, fault);
    eplb_options check = d->o;
    check.allow_duplicates = 1; /* nodes may come to have fewer experts than GPUs have slots */
    CHECK(eplb_transfers_scratch_size(&d->p, &bytes) == EPLB_OK, "scratch");
    void *scratch = test_alloc(bytes);
    CHECK(eplb_check_plan(&d->p, &check, now, &f, scratch, bytes) == EPLB_OK, "seed %llu, plan %d: %s, slot %d",
          (unsigned long long)d->seed, (int)plan, eplb_fault_name(f.reason), (int)f.slot);
    free(scratch);
}

/* A plan from the one before, under limits: it is never refused, and its check finds nothing. While all is whole groups
   come together: none is split that was not, and in the end, with no limits, none is at all. */
static void days_run(days_case *d)
{
    int32_t plan = 0, split, was = 0, begun = 0;
    float max_load;
    days_begin(d, 1);
    (void)back_plan(&d->p, &d->o, d->load, d->plans[0], &max_load);
    for (int32_t day = 0; day < DAYS; day++) {
        int whole = days_begin(d, day);
        for (int32_t i = 0; i < DAY_PLANS; i++, plan++) {
            d->o.previous_phy2log = d->plans[plan % 2];
            split = back_plan(&d->p, &d->o, d->load, d->plans[(plan + 1) % 2], &max_load);
            days_check(d, plan, d->plans[plan % 2], d->plans[(plan + 1) % 2]);
            CHECK(!whole || split <= was, "seed %llu, plan %d: %d groups are split, and %d were",
                  (unsigned long long)d->seed, (int)plan, (int)split, (int)was);
            if (i == 0) begun = was;
            was = split;
        }
        days_split += whole && begun > 0;
        days_joined += whole && begun > 0 && was == 0;
    }
    days_begin(d, 1);
    d->o.previous_phy2log = d->plans[plan % 2];
    d->o.max_moves = d->o.max_gpu_moves = d->o.max_pair_moves = d->o.max_node_moves = 0;
    d->o.move_cost = 0.0f;
    CHECK(back_plan(&d->p, &d->o, d->load, d->plans[(plan + 1) % 2], &max_load) == 0,
          "seed %llu: groups are split without need", (unsigned long long)d->seed);
}

static void check_days(uint64_t seeds)
{
    static days_case d;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        days_draw(&d, seed);
        days_run(&d);
    }
    printf("days that begin with groups that need not be split: %ld, and %ld of them end with none\n", days_split,
           days_joined);
    CHECK(days_joined > days_split / 2 && days_split > (long)seeds / 2, "too few come together");
}

int main(int argc, char **argv)
{
    static cluster_case c;
    uint64_t first = argc > 2 ? strtoull(argv[1], NULL, 0) : 1,
             count = argc > 2 ? strtoull(argv[2], NULL, 0) : NUM_PROBLEMS;
    long drawn = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        if (!draw_case(&c, seed)) continue;
        drawn++;
        run_case(&c, seed);
        if (seed % 3 == 0) check_naive_lpt(seed);
        if (seed % 3 == 1) check_alike(seed);
        if (seed % 3 == 2) check_partition(seed);
    }
    for (int32_t survive = 0; survive <= EPLB_SURVIVE_NODE; survive++)
        for (int32_t most = 0; most < 3; most++) check_far_nodes(survive, most);
    check_back(count < 800 ? 20 : count / 40); /* what is held of days is held of some */
    check_days(count < 800 ? 20 : count / 40);
    printf("%ld clusters, in %ld more is locked than can be\n", drawn, too_much_locked);
    for (int32_t reason = EPLB_FAULT_UNUSABLE; reason <= EPLB_FAULT_DIES; reason++)
        CHECK(argc > 2 || seen[reason] > 8, "%s: only %ld cases", eplb_fault_name(reason), seen[reason]);
    CHECK(argc > 2 || too_much_locked < drawn / 10, "too many are refused");
    return test_report("test_cluster");
}
