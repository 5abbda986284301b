/* exact.h - the plan that no plan beats, for layers small enough to look at all of them: what the tests
   hold bounds and searches against. Whole loads; shares are exact, in parts of EXACT_UNIT. */
#ifndef EXACT_H
#define EXACT_H

enum {
    EXACT_EXPERTS = 12, /* of a layer, at most */
    EXACT_SLOTS = 16,
    EXACT_GPUS = 8,
    EXACT_UNIT = 720720 /* divided by all counts up to EXACT_SLOTS */
};

enum {                   /* what a plan may do */
       EXACT_APART,      /* fill all slots; an expert is twice on a GPU only where all GPUs of its node hold it */
       EXACT_DUPLICATES, /* fill all slots, as it likes */
       EXACT_EMPTY       /* anything: slots may hold nothing too */
};

typedef struct exact_problem {
    int experts, slots, gpus, groups, nodes; /* one group and one node: the global policy */
    int max_replicas;                        /* 0: no cap */
    int rule;                                /* EXACT_* */
    const int32_t *load;                     /* [experts] >= 0 */
} exact_problem;

/* One node: first the counts, expert by expert, then the GPU of each replica. What is the same but for the
   names of GPUs or replicas is looked at once, and nothing that cannot end below the best so far. */
typedef struct exact_node {
    int experts, slots, gpus, cap, rule;
    int64_t load[EXACT_EXPERTS]; /* in parts; heaviest first */
    int64_t total;
    int count[EXACT_EXPERTS];
    int spare; /* slots not yet given */
    int64_t gpu_load[EXACT_GPUS];
    int used[EXACT_GPUS]; /* slots of a GPU */
    int held[EXACT_GPUS]; /* replicas there of the expert that is being placed */
    int64_t best;
} exact_node;

/* Whether the replicas of the expert that has just been placed break the rule. */
static inline int exact_breaks_rule(const exact_node *s, int count)
{
    if (s->rule != EXACT_APART) return 0;
    for (int g = 0; g < s->gpus; g++)
        if (count <= s->gpus ? s->held[g] > 1 : s->held[g] == 0) return 1;
    return 0;
}

/* Whether full GPUs leave so much unused that the others must reach the best. */
static inline int exact_wastes(const exact_node *s)
{
    int64_t slack = (s->best - 1) * s->gpus - s->total;
    for (int g = 0; g < s->gpus; g++)
        if (s->used[g] == s->slots / s->gpus) slack -= s->best - 1 - s->gpu_load[g];
    return slack < 0;
}

static inline void exact_place(exact_node *s, int e, int replica, int first)
{
    if (exact_wastes(s)) return;
    if (replica == s->count[e]) {
        int held[EXACT_GPUS];
        if (exact_breaks_rule(s, s->count[e])) return;
        memcpy(held, s->held, sizeof held);
        memset(s->held, 0, sizeof s->held);
        if (e + 1 < s->experts) {
            exact_place(s, e + 1, 0, 0);
        } else {
            s->best = 0;
            for (int g = 0; g < s->gpus; g++) s->best = s->gpu_load[g] > s->best ? s->gpu_load[g] : s->best;
        }
        memcpy(s->held, held, sizeof held);
        return;
    }
    int64_t share = s->load[e] / s->count[e];
    for (int g = first, empty_seen = 0; g < s->gpus && !empty_seen; g++) {
        if (s->used[g] == s->slots / s->gpus || s->gpu_load[g] + share >= s->best) continue;
        empty_seen = s->used[g] == 0; /* empty GPUs are alike */
        s->gpu_load[g] += share;
        s->used[g]++;
        s->held[g]++;
        exact_place(s, e, replica + 1, g); /* so are replicas: theirs rise */
        s->held[g]--;
        s->used[g]--;
        s->gpu_load[g] -= share;
    }
}

static inline void exact_count(exact_node *s, int e)
{
    int spare = s->spare, most = s->cap - 1 < spare ? s->cap - 1 : spare;
    if (e == s->experts) {
        if (spare == 0 || s->rule == EXACT_EMPTY) exact_place(s, 0, 0, 0);
        return;
    }
    for (int extra = 0; extra <= most; extra++) {
        s->count[e] = 1 + extra;
        s->spare = spare - extra;
        if (s->load[e] / s->count[e] < s->best) exact_count(s, e + 1);
    }
    s->spare = spare;
}

/* The least that the heaviest GPU of a node with these experts can carry, if that is below a limit. */
static inline int64_t exact_of_node(const exact_problem *p, const int *on_node, int64_t limit)
{
    exact_node s;
    memset(&s, 0, sizeof s);
    for (int e = 0; e < p->experts; e++) {
        int64_t load = (int64_t)p->load[e] * EXACT_UNIT;
        int at = s.experts;
        if (!on_node[e]) continue;
        for (; at > 0 && s.load[at - 1] < load; at--) s.load[at] = s.load[at - 1];
        s.load[at] = load;
        s.total += load;
        s.experts++;
    }
    s.slots = p->slots / p->nodes;
    s.gpus = p->gpus / p->nodes;
    s.cap = p->max_replicas ? p->max_replicas : s.slots;
    s.rule = p->rule;
    s.spare = s.slots - s.experts;
    s.best = limit;
    exact_count(&s, 0);
    return s.best;
}

/* The least maximum, in parts, over all splits of the groups over the nodes, if that is below a limit: the nodes
   from `node` on get the groups that have none yet. */
static inline int64_t exact_split(const exact_problem *p, int node, const int *node_of, int64_t limit)
{
    int each = p->groups / p->nodes, size = p->experts / p->groups, first = 0;
    if (node == p->nodes) return 0;
    while (node_of[first] >= 0) first++;
    for (int set = 0; set < 1 << p->groups; set++) { /* with the first group that is free: nodes are alike */
        int of[EXACT_EXPERTS], on_node[EXACT_EXPERTS], members = 0, fits = set >> first & 1;
        int64_t here, rest;
        for (int k = 0; k < p->groups; k++) {
            int member = set >> k & 1;
            of[k] = member ? node : node_of[k];
            fits = fits && (!member || node_of[k] < 0);
            members += member;
            for (int e = k * size; e < (k + 1) * size; e++) on_node[e] = member;
        }
        if (!fits || members != each) continue;
        here = exact_of_node(p, on_node, limit);
        if (here >= limit) continue;
        rest = exact_split(p, node + 1, of, limit);
        limit = rest >= limit ? limit : here > rest ? here : rest;
    }
    return limit;
}

/* The least that the heaviest GPU of any plan carries, in parts of EXACT_UNIT; INT64_MAX / EXACT_GPUS where
   there is no plan. */
static inline int64_t exact_optimum(const exact_problem *p)
{
    int none[EXACT_EXPERTS];
    for (int k = 0; k < EXACT_EXPERTS; k++) none[k] = -1;
    return exact_split(p, 0, none, INT64_MAX / EXACT_GPUS);
}

#endif
