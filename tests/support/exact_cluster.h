/* exact_cluster.h - the plan that no plan beats on a small cluster as it is: every home of every expert that the policy
   allows, and every number of replicas on every GPU. Whole loads; what GPUs take is exact, in parts. */
#ifndef EXACT_CLUSTER_H
#define EXACT_CLUSTER_H

#include "eplb.h"

#include <string.h>

enum {
    CLUSTER_EXPERTS = 8, /* at most */
    CLUSTER_GPUS = 4,
    CLUSTER_ROOM = 4, /* slots of a GPU */
    CLUSTER_NODES = 3,
    CLUSTER_UNIT = 720720, /* divided by all counts up to 16 */
    CLUSTER_SPEEDS = 40    /* divided by all speeds */
};

#define CLUSTER_NEVER (INT64_MAX / 2)

typedef struct cluster_problem {
    int experts, groups, gpus, nodes;          /* groups and nodes by the policy: one of each where it is global */
    int room[CLUSTER_GPUS];                    /* slots that may be used; those that are locked and empty may not */
    int speed[CLUSTER_GPUS];                   /* whole; all 1 where they are alike */
    int node[CLUSTER_GPUS];                    /* by the policy */
    int lost_with[CLUSTER_GPUS];               /* what is lost at once with a GPU, by a number: itself, or its node */
    int survive;                               /* whether what can have two replicas that are not lost at once has to */
    int max_replicas;                          /* 0: no cap */
    int locked[CLUSTER_EXPERTS][CLUSTER_GPUS]; /* replicas that have to be there */
    int32_t load[CLUSTER_EXPERTS];
} cluster_problem;

/* Some experts on one node. */
typedef struct cluster_node {
    int known;
    int64_t best;                            /* in parts; CLUSTER_NEVER: they cannot be there */
    int held[CLUSTER_EXPERTS][CLUSTER_GPUS]; /* replicas, in the best plan */
} cluster_node;

typedef struct cluster_search {
    const cluster_problem *p;
    int node, n, expert[CLUSTER_EXPERTS]; /* those on it, heaviest first */
    int doubles;                          /* that have to have two replicas */
    int spare;                            /* slots that are left on it, but for one of each expert that is not placed */
    int left[CLUSTER_GPUS], held[CLUSTER_EXPERTS][CLUSTER_GPUS];
    int64_t time[CLUSTER_GPUS];
    cluster_node *out;
} cluster_search;

/* Whether two replicas may be on two GPUs, to survive. */
static inline int cluster_apart(const cluster_problem *p, int a, int b) { return p->lost_with[a] != p->lost_with[b]; }

/* The most of the experts from `i` on that can have two replicas, with one of each; -1 if not even that. What is known of
   so many slots left on each GPU is kept: -2 where nothing is. */
static inline int cluster_most_doubles(cluster_search *s, int i, int (*known)[625])
{
    int key = 0, best = -1;
    if (i == s->n) return 0;
    for (int g = 0; g < CLUSTER_GPUS; g++) key = key * 5 + (g < s->p->gpus ? s->left[g] : 0);
    if (known[i][key] > -2) return known[i][key];
    for (int a = 0; a < s->p->gpus; a++) {
        if (s->p->node[a] != s->node || s->left[a] == 0) continue;
        s->left[a]--;
        int rest = cluster_most_doubles(s, i + 1, known);
        best = rest > best ? rest : best;
        for (int b = a + 1; b < s->p->gpus && s->p->max_replicas != 1; b++) {
            if (s->p->node[b] != s->node || s->left[b] == 0 || !cluster_apart(s->p, a, b)) continue;
            s->left[b]--;
            rest = cluster_most_doubles(s, i + 1, known);
            best = rest >= 0 && rest + 1 > best ? rest + 1 : best;
            s->left[b]++;
        }
        s->left[a]++;
    }
    return known[i][key] = best;
}

static inline void cluster_place(cluster_search *s, int i, int doubles);

/* Whether so many replicas of an expert as are held may be. */
static inline int cluster_may(const cluster_search *s, int e, int count)
{
    const cluster_problem *p = s->p;
    if (count < 1 || (p->max_replicas && count > p->max_replicas)) return 0;
    for (int g = 0; g < p->gpus; g++)
        if (s->held[e][g] < p->locked[e][g]) return 0;
    if (!p->survive || count < 2) return 1;
    for (int a = 0; a < p->gpus; a++)
        for (int b = a + 1; b < p->gpus; b++)
            if (s->held[e][a] && s->held[e][b] && cluster_apart(p, a, b)) return 1;
    return 0;
}

/* The replicas of the i-th expert on GPU g and those after it, when there are `count` on those before. No more are tried
   than leave a slot for each expert to come. */
static inline void cluster_spread(cluster_search *s, int i, int g, int count, int doubles)
{
    const cluster_problem *p = s->p;
    int e = s->expert[i];
    if (g < p->gpus) {
        int most = p->node[g] == s->node ? s->left[g] : 0;
        int64_t least = (int64_t)p->load[e] * CLUSTER_UNIT / (s->spare + 1) * (CLUSTER_SPEEDS / p->speed[g]);
        for (int h = 0; h <= most && count + h <= s->spare + 1; h++) {
            if (h > 0 && s->time[g] + h * least >= s->out->best) break; /* however many there are in all */
            s->held[e][g] = h;
            s->left[g] -= h;
            cluster_spread(s, i, g + 1, count + h, doubles);
            s->left[g] += h;
        }
        s->held[e][g] = 0;
        return;
    }
    if (!cluster_may(s, e, count)) return;
    int64_t was[CLUSTER_GPUS], share = (int64_t)p->load[e] * CLUSTER_UNIT / count;
    int ends = 0;
    memcpy(was, s->time, sizeof was);
    for (g = 0; g < p->gpus; g++) {
        s->time[g] += s->held[e][g] * share * (CLUSTER_SPEEDS / p->speed[g]);
        ends |= s->time[g] >= s->out->best;
    }
    s->spare -= count - 1;
    if (!ends) cluster_place(s, i + 1, doubles + (count > 1));
    s->spare += count - 1;
    memcpy(s->time, was, sizeof was);
}

/* Whether what the experts from `i` on have is more than GPUs can take that have slots left, below the best. */
static inline int cluster_is_full(const cluster_search *s, int i)
{
    int64_t load = 0;
    for (; i < s->n; i++) load += (int64_t)s->p->load[s->expert[i]] * CLUSTER_UNIT;
    for (int g = 0; g < s->p->gpus; g++)
        if (s->p->node[g] == s->node && s->left[g] > 0)
            load -= (s->out->best - s->time[g]) / (CLUSTER_SPEEDS / s->p->speed[g]);
    return load > 0;
}

static inline void cluster_place(cluster_search *s, int i, int doubles)
{
    if (doubles + s->n - i < s->doubles || cluster_is_full(s, i)) return;
    if (i < s->n) {
        cluster_spread(s, i, 0, 0, doubles);
        return;
    }
    s->out->best = 0;
    for (int g = 0; g < s->p->gpus; g++) s->out->best = s->time[g] > s->out->best ? s->time[g] : s->out->best;
    memcpy(s->out->held, s->held, sizeof s->held);
}

/* How many have to have two. */
static inline int cluster_doubles(cluster_search *s)
{
    int known[CLUSTER_EXPERTS][625];
    if (!s->p->survive) return 0;
    for (int i = 0; i < CLUSTER_EXPERTS; i++)
        for (int k = 0; k < 625; k++) known[i][k] = -2;
    return cluster_most_doubles(s, 0, known);
}

/* Plans that are hardly worse than even loads are looked for first, then ever worse ones, until there is one: what is
   known to be too much ends most of the search. */
static inline void cluster_search_plans(cluster_search *s)
{
    int64_t all = 0, speed = 0, even, limit;
    for (int i = 0; i < s->n; i++) all += (int64_t)s->p->load[s->expert[i]] * CLUSTER_UNIT * CLUSTER_SPEEDS;
    for (int g = 0; g < s->p->gpus; g++) speed += s->p->node[g] == s->node && s->left[g] > 0 ? s->p->speed[g] : 0;
    even = speed ? all / speed : all;
    for (int64_t surplus = even / 16 + 1;; surplus *= 2) {
        limit = even + surplus <= all ? even + surplus : CLUSTER_NEVER;
        s->out->best = limit;
        cluster_place(s, 0, 0);
        if (s->out->best < limit || limit == CLUSTER_NEVER) return;
    }
}

/* The best plan of a set of experts on a node. */
static inline void cluster_solve_node(const cluster_problem *p, int node, int set, cluster_node *out)
{
    cluster_search s;
    memset(&s, 0, sizeof s);
    s.p = p;
    s.node = node;
    s.out = out;
    for (int e = 0; e < p->experts; e++) {
        int at = s.n;
        if (!(set >> e & 1)) continue;
        for (; at > 0 && p->load[s.expert[at - 1]] < p->load[e]; at--) s.expert[at] = s.expert[at - 1];
        s.expert[at] = e;
        s.n++;
    }
    memcpy(s.left, p->room, sizeof s.left);
    s.spare = -s.n;
    for (int g = 0; g < p->gpus; g++) s.spare += p->node[g] == node ? p->room[g] : 0;
    s.doubles = cluster_doubles(&s);
    out->known = 1;
    out->best = CLUSTER_NEVER;
    if (s.doubles >= 0 && s.spare >= 0) cluster_search_plans(&s);
}

/* How many groups homes split, and over how many nodes they have these, all together. */
static inline void cluster_count_split(const cluster_problem *p, const int *home, int *split, int *nodes)
{
    int size = p->experts / p->groups;
    *split = *nodes = 0;
    for (int k = 0; k < p->groups; k++) {
        int set = 0, num = 0;
        for (int e = k * size; e < (k + 1) * size; e++) set |= 1 << home[e];
        for (int node = 0; node < p->nodes; node++) num += set >> node & 1;
        *split += num > 1;
        *nodes += num > 1 ? num : 0;
    }
}

typedef struct cluster_optimum {
    int64_t best; /* in parts of CLUSTER_UNIT * CLUSTER_SPEEDS; CLUSTER_NEVER: there is no plan */
    int split;    /* groups that have to be */
    int held[CLUSTER_EXPERTS][CLUSTER_GPUS];
} cluster_optimum;

/* As few groups are split as can be; and one over as few nodes as can be. */
static inline cluster_optimum cluster_solve(const cluster_problem *p)
{
    static cluster_node at[CLUSTER_NODES][1 << CLUSTER_EXPERTS];
    cluster_optimum o;
    int homes = 1, least_nodes = 1000;
    memset(at, 0, sizeof at);
    memset(&o, 0, sizeof o);
    o.best = CLUSTER_NEVER;
    o.split = 1000;
    for (int e = 0; e < p->experts; e++) homes *= p->nodes;
    for (int code = 0; code < homes; code++) {
        int home[CLUSTER_EXPERTS], set[CLUSTER_NODES] = {0}, split, nodes;
        int64_t most = 0;
        for (int e = 0, rest = code; e < p->experts; e++, rest /= p->nodes) {
            home[e] = rest % p->nodes;
            set[home[e]] |= 1 << e;
        }
        cluster_count_split(p, home, &split, &nodes);
        if (split > 1) nodes = 0; /* anywhere */
        if (split > o.split || (split == o.split && nodes > least_nodes)) continue;
        for (int k = 0; k < p->nodes; k++) {
            if (!at[k][set[k]].known) cluster_solve_node(p, k, set[k], &at[k][set[k]]);
            most = at[k][set[k]].best > most ? at[k][set[k]].best : most;
        }
        if (most == CLUSTER_NEVER || (split == o.split && nodes == least_nodes && most >= o.best)) continue;
        o.best = most;
        o.split = split;
        least_nodes = nodes;
        for (int e = 0; e < p->experts; e++) memcpy(o.held[e], at[home[e]][set[home[e]]].held[e], sizeof o.held[e]);
    }
    return o;
}

#endif
