/* follow_oracle.h - what has to hold of a plan that was made from the plan in force, read naively: the moves, who may
   have to send them, what stays where it is, and the least moves of any relabelling of GPUs. A fault is said in words;
   NULL is none. Include after eplb.h, test.h and planning.h. */
#ifndef FOLLOW_ORACLE_H
#define FOLLOW_ORACLE_H

enum { FOLLOW_MOST_GPUS = 64 };

typedef struct follow_layer {
    const eplb_problem *p;
    int32_t N, K;          /* nodes and groups as the policy has them */
    const int32_t *before; /* [R] of the layer, in force */
    const int32_t *after;  /* [R] new */
} follow_layer;

static inline int follow_is_hierarchical(const eplb_problem *p, const eplb_options *o)
{
    int32_t N = p->num_nodes ? p->num_nodes : 1, K = p->num_groups ? p->num_groups : 1;
    return o->policy != EPLB_POLICY_GLOBAL && K % N == 0;
}

static inline follow_layer follow_layer_of(const eplb_problem *p, const eplb_options *o, int32_t layer,
                                           const int32_t *before, const int32_t *after)
{
    int hierarchical = follow_is_hierarchical(p, o);
    ptrdiff_t at = (ptrdiff_t)layer * p->num_replicas;
    follow_layer l = {p, 1, 1, before + at, after + at};
    if (hierarchical && p->num_nodes) l.N = p->num_nodes;
    if (hierarchical && p->num_groups) l.K = p->num_groups;
    return l;
}

static inline int32_t follow_gpu_slots(const eplb_problem *p) { return p->num_replicas / p->num_gpus; }

/* Slots of a GPU that hold an expert. */
static inline int32_t follow_on_gpu(const eplb_problem *p, const int32_t *slots, int32_t gpu, int32_t expert)
{
    int32_t S = follow_gpu_slots(p);
    return plan_copies(slots + (ptrdiff_t)gpu * S, S, expert);
}

static inline int32_t follow_smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* ---------------------------------------------------------------------------- the least of all */

typedef struct follow_costs {
    int64_t at[FOLLOW_MOST_GPUS][FOLLOW_MOST_GPUS]; /* of putting row's to column's place */
    int32_t n;
} follow_costs;

/* Every assignment of rows from `row` on to columns that are not taken. */
static inline int64_t follow_least_by_trying(const follow_costs *c, int32_t row, uint64_t taken)
{
    int64_t least = INT64_MAX;
    if (row == c->n) return 0;
    for (int32_t column = 0; column < c->n; column++) {
        if (taken >> column & 1) continue;
        int64_t cost = c->at[row][column] + follow_least_by_trying(c, row + 1, taken | (uint64_t)1 << column);
        least = cost < least ? cost : least;
    }
    return least;
}

/* One more row is assigned along a shortest path of reduced costs; row_of is of columns, 1-based, 0 is none. */
static inline void follow_assign_row(const follow_costs *c, int32_t row, int64_t *of_row, int64_t *of_column,
                                     int32_t *row_of)
{
    int64_t nearest[FOLLOW_MOST_GPUS + 1];
    int32_t from[FOLLOW_MOST_GPUS + 1], column = 0;
    unsigned char done[FOLLOW_MOST_GPUS + 1] = {0};
    for (int32_t j = 0; j <= c->n; j++) nearest[j] = INT64_MAX;
    row_of[0] = row;
    do {
        int32_t i = row_of[column], next = 0;
        int64_t step = INT64_MAX;
        done[column] = 1;
        for (int32_t j = 1; j <= c->n; j++) {
            if (done[j]) continue;
            int64_t reduced = c->at[i - 1][j - 1] - of_row[i] - of_column[j];
            if (reduced < nearest[j]) {
                nearest[j] = reduced;
                from[j] = column;
            }
            if (nearest[j] < step) {
                step = nearest[j];
                next = j;
            }
        }
        for (int32_t j = 0; j <= c->n; j++) {
            if (done[j]) {
                of_row[row_of[j]] += step;
                of_column[j] -= step;
            } else if (nearest[j] != INT64_MAX) {
                nearest[j] -= step;
            }
        }
        column = next;
    } while (row_of[column] != 0);
    while (column != 0) {
        row_of[column] = row_of[from[column]];
        column = from[column];
    }
}

/* The cheapest assignment of all, by shortest augmenting paths (Kuhn 1955, Munkres 1957). */
static inline int64_t follow_least(const follow_costs *c)
{
    int64_t of_row[FOLLOW_MOST_GPUS + 1] = {0}, of_column[FOLLOW_MOST_GPUS + 1] = {0}, sum = 0;
    int32_t row_of[FOLLOW_MOST_GPUS + 1] = {0};
    for (int32_t row = 1; row <= c->n; row++) follow_assign_row(c, row, of_row, of_column, row_of);
    for (int32_t j = 1; j <= c->n; j++) sum += c->at[row_of[j] - 1][j - 1];
    return sum;
}

/* --------------------------------------------------------------------------------- relabelling */

typedef struct follow_counts {
    int32_t moves, kept; /* kept: slots whose expert stays */
} follow_counts;

/* What it takes for a GPU to hold another's slots: moves first, then fewer slots kept. */
static inline int64_t follow_gpu_cost(const eplb_problem *p, const int32_t *before, int32_t old_gpu,
                                      const int32_t *fresh, int32_t new_gpu)
{
    int32_t S = follow_gpu_slots(p), moves = 0, kept = 0;
    for (int32_t i = new_gpu * S; i < new_gpu * S + S; i++) {
        int32_t expert = fresh[i], had = follow_on_gpu(p, before, old_gpu, expert);
        if (plan_copies(fresh + new_gpu * S, i - new_gpu * S, expert) > 0) continue;
        kept += follow_smaller(had, follow_on_gpu(p, fresh, new_gpu, expert));
        moves += had == 0 && plan_copies(before, p->num_replicas, expert) > 0;
    }
    return (int64_t)moves * (p->num_replicas + 1) - kept;
}

/* The least moves, and with them the most slots kept, when the new plan's GPUs take the places of those in force:
   nodes those of nodes, and GPUs those of GPUs in them. Trying all of them, or by assignment. */
static inline follow_counts follow_least_moves(const follow_layer *l, const int32_t *fresh, int trying)
{
    int32_t R = l->p->num_replicas, gpus = l->p->num_gpus / l->N;
    static follow_costs nodes, within;
    nodes.n = l->N;
    within.n = gpus;
    for (int32_t a = 0; a < l->N; a++) {
        for (int32_t b = 0; b < l->N; b++) {
            for (int32_t i = 0; i < gpus; i++)
                for (int32_t j = 0; j < gpus; j++)
                    within.at[i][j] = follow_gpu_cost(l->p, l->before, b * gpus + j, fresh, a * gpus + i);
            nodes.at[a][b] = trying ? follow_least_by_trying(&within, 0, 0) : follow_least(&within);
        }
    }
    int64_t cost = trying ? follow_least_by_trying(&nodes, 0, 0) : follow_least(&nodes);
    follow_counts counts;
    counts.moves = (int32_t)((cost + R) / (R + 1));
    counts.kept = (int32_t)(counts.moves * (int64_t)(R + 1) - cost);
    return counts;
}

static inline int follow_compare(const int32_t *a, const int32_t *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

/* Rows of so many numbers each, in order. */
static inline void follow_sort_rows(int32_t *rows, int32_t num_rows, int32_t length)
{
    for (int32_t a = 1; a < num_rows; a++)
        for (int32_t b = a; b > 0 && follow_compare(rows + (b - 1) * length, rows + b * length, length) > 0; b--)
            for (int32_t i = 0; i < length; i++) {
                int32_t held = rows[b * length + i];
                rows[b * length + i] = rows[(b - 1) * length + i];
                rows[(b - 1) * length + i] = held;
            }
}

/* The same for any order of nodes, of GPUs in them and of slots on these. */
static inline int32_t *follow_contents(const follow_layer *l, const int32_t *slots)
{
    int32_t R = l->p->num_replicas, G = l->p->num_gpus, S = R / G;
    int32_t *sorted = plan_ints((size_t)R);
    memcpy(sorted, slots, (size_t)R * sizeof *sorted);
    for (int32_t g = 0; g < G; g++) follow_sort_rows(sorted + g * S, S, 1);
    for (int32_t node = 0; node < l->N; node++) follow_sort_rows(sorted + node * (R / l->N), G / l->N, S);
    follow_sort_rows(sorted, l->N, R / l->N);
    return sorted;
}

static inline int follow_same_contents(const follow_layer *l, const int32_t *fresh)
{
    int32_t *a = follow_contents(l, l->after), *b = follow_contents(l, fresh);
    int same = plan_same_ints(a, b, (size_t)l->p->num_replicas);
    free(a);
    free(b);
    return same;
}

/* ------------------------------------------------------------------------------------ what stays */

static inline int32_t follow_count_kept(const follow_layer *l)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < l->p->num_replicas; i++) kept += l->after[i] >= 0 && l->after[i] == l->before[i];
    return kept;
}

/* Of each expert that stays on a GPU, as many slots as can stay where they are. */
static inline const char *follow_kept_fault(const follow_layer *l)
{
    int32_t S = follow_gpu_slots(l->p), kept, most;
    for (int32_t i = 0; i < l->p->num_replicas; i++) {
        int32_t gpu = i / S, expert = l->after[i];
        if (expert < 0) continue;
        kept = 0;
        most = follow_smaller(follow_on_gpu(l->p, l->before, gpu, expert), follow_on_gpu(l->p, l->after, gpu, expert));
        for (int32_t j = gpu * S; j < gpu * S + S; j++) kept += l->after[j] == expert && l->before[j] == expert;
        if (kept != most) return "an expert that stays on a GPU is put in another slot";
    }
    return NULL;
}

/* Whether the slots of a GPU that do not keep their expert have theirs in the order of one of the fresh plan's. */
static inline int follow_in_order(const follow_layer *l, int32_t gpu, const int32_t *fresh_gpu)
{
    int32_t S = follow_gpu_slots(l->p), next = 0;
    for (int32_t i = gpu * S; i < gpu * S + S; i++) {
        if (l->after[i] == l->before[i]) continue;
        while (next < S && fresh_gpu[next] != l->after[i]) next++;
        if (next++ >= S) return 0;
    }
    return 1;
}

static inline const char *follow_order_fault(const follow_layer *l, const int32_t *fresh)
{
    int32_t S = follow_gpu_slots(l->p);
    for (int32_t gpu = 0; gpu < l->p->num_gpus; gpu++) {
        int fine = 0;
        for (int32_t other = 0; other < l->p->num_gpus && !fine; other++) {
            int same = 1;
            for (int32_t i = other * S; i < other * S + S; i++)
                same &= follow_on_gpu(l->p, fresh, other, fresh[i]) == follow_on_gpu(l->p, l->after, gpu, fresh[i]);
            fine = same && follow_in_order(l, gpu, fresh + other * S);
        }
        if (!fine) return "what is new on a GPU is not in the fresh plan's order";
    }
    return NULL;
}

/* ----------------------------------------------------------------------------------------- moves */

/* An expert that a GPU gets in this slot, and in none before it. */
static inline int follow_is_move(const follow_layer *l, int32_t slot)
{
    int32_t S = follow_gpu_slots(l->p), gpu = slot / S, expert = l->after[slot];
    return expert >= 0 && follow_on_gpu(l->p, l->before, gpu, expert) == 0
           && plan_copies(l->after + gpu * S, slot - gpu * S, expert) == 0
           && plan_copies(l->before, l->p->num_replicas, expert) > 0;
}

static inline int32_t follow_count_moves(const follow_layer *l)
{
    int32_t moves = 0;
    for (int32_t slot = 0; slot < l->p->num_replicas; slot++) moves += follow_is_move(l, slot);
    return moves;
}

static inline int32_t follow_node(const eplb_problem *p, int32_t gpu)
{
    return p->gpu_node ? p->gpu_node[gpu] : gpu / (p->num_gpus / (p->num_nodes ? p->num_nodes : 1));
}

/* The GPUs that held an expert, those on a node alone where there are any; their number. */
static inline int32_t follow_senders(const follow_layer *l, int32_t expert, int32_t node, unsigned char *sends)
{
    int32_t all = 0, near = 0;
    for (int32_t g = 0; g < l->p->num_gpus; g++) {
        sends[g] = follow_on_gpu(l->p, l->before, g, expert) > 0;
        all += sends[g];
        near += sends[g] && follow_node(l->p, g) == node;
    }
    for (int32_t g = 0; g < l->p->num_gpus && near > 0; g++) sends[g] = sends[g] && follow_node(l->p, g) == node;
    return near > 0 ? near : all;
}

typedef struct follow_use { /* the most there can be, whoever of its possible senders sends an expert */
    int32_t moves, into[FOLLOW_MOST_GPUS], out_of[FOLLOW_MOST_GPUS], pair[FOLLOW_MOST_GPUS][FOLLOW_MOST_GPUS];
    int32_t into_node[FOLLOW_MOST_GPUS], out_of_node[FOLLOW_MOST_GPUS];
} follow_use;

static inline void follow_use_move(const follow_layer *l, int32_t slot, follow_use *use)
{
    int32_t to = slot / follow_gpu_slots(l->p), node = follow_node(l->p, to), from_node = -1;
    unsigned char sends[FOLLOW_MOST_GPUS];
    follow_senders(l, l->after[slot], node, sends);
    use->moves++;
    use->into[to]++;
    for (int32_t from = 0; from < l->p->num_gpus; from++) {
        if (!sends[from]) continue;
        use->out_of[from]++;
        use->pair[from][to]++;
        if (follow_node(l->p, from) != node && follow_node(l->p, from) != from_node) {
            use->into_node[node] += from_node == -1;
            from_node = follow_node(l->p, from);
            use->out_of_node[from_node]++;
        }
    }
}

static inline void follow_use_all(const follow_layer *l, follow_use *use)
{
    memset(use, 0, sizeof *use);
    for (int32_t slot = 0; slot < l->p->num_replicas; slot++)
        if (follow_is_move(l, slot)) follow_use_move(l, slot, use);
}

/* What was counted, against the limits. */
static inline const char *follow_use_fault(const follow_use *use, const eplb_options *o)
{
    if (o->max_moves != 0 && use->moves > (o->max_moves < 0 ? 0 : o->max_moves)) return "too many moves";
    for (int32_t a = 0; a < FOLLOW_MOST_GPUS; a++) {
        if (o->max_gpu_moves > 0 && use->into[a] > o->max_gpu_moves) return "too many moves into a GPU";
        if (o->max_gpu_moves > 0 && use->out_of[a] > o->max_gpu_moves) return "too many moves out of a GPU";
        if (o->max_node_moves > 0 && use->into_node[a] > o->max_node_moves) return "too many moves into a node";
        if (o->max_node_moves > 0 && use->out_of_node[a] > o->max_node_moves) return "too many moves out of a node";
        for (int32_t b = 0; b < FOLLOW_MOST_GPUS && o->max_pair_moves > 0; b++)
            if (use->pair[a][b] > o->max_pair_moves) return "too many moves from one GPU to another";
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------ plans */

static inline int follow_has_all(const eplb_problem *p, const int32_t *slots)
{
    for (int32_t e = 0; e < p->num_experts; e++)
        if (plan_copies(slots, p->num_replicas, e) == 0) return 0;
    return 1;
}

static inline const char *follow_coverage_fault(const follow_layer *l)
{
    for (int32_t i = 0; i < l->p->num_replicas; i++)
        if (l->after[i] < -1 || l->after[i] >= l->p->num_experts) return "no such expert";
    return follow_has_all(l->p, l->after) ? NULL : "an expert is in no slot";
}

/* The node of a slot, as the policy has them. */
static inline int32_t follow_slot_node(const follow_layer *l, int32_t slot)
{
    return l->N > 1 ? follow_node(l->p, slot / follow_gpu_slots(l->p)) : 0;
}

/* The lowest slot whose expert is in a lower one on another node; -1: there is none. */
static inline int32_t follow_torn_slot(const follow_layer *l, const int32_t *slots)
{
    for (int32_t i = 0; i < l->p->num_replicas; i++)
        for (int32_t j = 0; j < i; j++)
            if (slots[i] >= 0 && slots[j] == slots[i] && follow_slot_node(l, i) != follow_slot_node(l, j)) return i;
    return -1;
}

/* The node of an expert that is on one; -1: it is nowhere. */
static inline int32_t follow_home(const follow_layer *l, const int32_t *slots, int32_t expert)
{
    for (int32_t i = 0; i < l->p->num_replicas; i++)
        if (slots[i] == expert) return follow_slot_node(l, i);
    return -1;
}

/* Whether experts of a group are on several nodes. */
static inline int follow_is_split(const follow_layer *l, const int32_t *slots, int32_t group)
{
    int32_t size = l->p->num_experts / l->K, first = -1, split = 0;
    for (int32_t e = group * size; e < (group + 1) * size; e++) {
        int32_t home = follow_home(l, slots, e);
        split |= home >= 0 && first >= 0 && home != first;
        first = home >= 0 ? home : first;
    }
    return split;
}

/* Whether a node holds all of a group. */
static inline int follow_is_whole(const follow_layer *l, const int32_t *slots, int32_t group)
{
    int32_t size = l->p->num_experts / l->K, whole = !follow_is_split(l, slots, group);
    for (int32_t e = group * size; e < (group + 1) * size; e++) whole &= follow_home(l, slots, e) >= 0;
    return whole;
}

/* Whether no group is split, and nodes have slots for all of those of which they hold any; what nobody holds then fits,
   too. */
static inline int follow_groups_fit(const follow_layer *l, const int32_t *slots)
{
    int32_t size = l->p->num_experts / l->K, fit = 1;
    for (int32_t node = 0; node < l->N; node++) {
        int32_t groups = 0;
        for (int32_t k = 0; k < l->K; k++) {
            int any = 0;
            for (int32_t e = k * size; e < (k + 1) * size; e++) any |= follow_home(l, slots, e) == node;
            groups += any;
            fit &= !follow_is_split(l, slots, k);
        }
        fit &= groups * size <= l->p->num_replicas / l->N;
    }
    return fit;
}

/* Experts are on one node each; no group is split if none need be; one that a node held is on one node; and of a group
   that stays split experts stay where they are, but for those that come to one node, and those that nobody held. */
static inline const char *follow_groups_fault(const follow_layer *l)
{
    int32_t size = l->p->num_experts / l->K, fit = follow_groups_fit(l, l->before);
    if (follow_torn_slot(l, l->after) >= 0) return "an expert is on two nodes";
    for (int32_t k = 0; k < l->K; k++) {
        if (!follow_is_split(l, l->after, k)) continue;
        if (fit || follow_is_whole(l, l->before, k)) return "a group is split without need";
        for (int32_t e = k * size, to = -1; e < (k + 1) * size; e++) {
            int32_t was = follow_home(l, l->before, e), is = follow_home(l, l->after, e);
            if (was < 0 || was == is) continue;
            if (to >= 0 && is != to) return "experts of a group that is split go to several nodes";
            to = is;
        }
    }
    return NULL;
}

/* The plan in force, but that each expert that nobody holds has one slot: an empty one, or of an expert that has more. */
static inline const char *follow_stays_fault(const follow_layer *l)
{
    int32_t R = l->p->num_replicas;
    for (int32_t i = 0; i < R; i++) {
        if (l->after[i] == l->before[i]) continue;
        if (l->after[i] < 0 || plan_copies(l->before, R, l->after[i]) > 0)
            return "a slot changes, and not for an expert that nobody holds";
        if (plan_copies(l->after, R, l->after[i]) != 1) return "an expert that nobody held is there twice";
    }
    return NULL;
}

/* Ranks count an expert's slots in ascending order, and the slots of each expert stand by rank. */
static inline const char *follow_ranks_fault(const eplb_problem *p, const eplb_plan *plan)
{
    for (int32_t layer = 0; layer < p->num_layers; layer++) {
        ptrdiff_t slots = (ptrdiff_t)layer * p->num_replicas, experts = (ptrdiff_t)layer * p->num_experts;
        const int32_t *phy2log = plan->phy2log + slots, *rank = plan->phyrank + slots;
        for (int32_t i = 0; i < p->num_replicas; i++) {
            if (phy2log[i] < 0 ? rank[i] != -1 : rank[i] != plan_copies(phy2log, i, phy2log[i]))
                return "not the rank of its slot";
            if (phy2log[i] >= 0 && plan->log2phy[(experts + phy2log[i]) * plan->log2phy_width + rank[i]] != i)
                return "not the slot of its rank";
        }
        for (int32_t e = 0; e < p->num_experts; e++) {
            int32_t copies = plan_copies(phy2log, p->num_replicas, e);
            if (plan->logcnt[experts + e] != copies) return "not as many replicas as counted";
            for (int32_t i = copies; i < plan->log2phy_width; i++)
                if (plan->log2phy[(experts + e) * plan->log2phy_width + i] != -1) return "log2phy is not padded";
        }
    }
    return NULL;
}

/* A plan for no limits beside the one for no plan in force. */
static inline const char *follow_free_fault(const follow_layer *l, const int32_t *fresh)
{
    int32_t gpus = l->p->num_gpus / l->N;
    follow_counts least = follow_least_moves(l, fresh, 0), tried = least;
    const char *fault;
    if (gpus <= 5 && l->N <= 5) tried = follow_least_moves(l, fresh, 1);
    if (tried.moves != least.moves || tried.kept != least.kept) return "the oracle is at odds with itself";
    if (!follow_same_contents(l, fresh)) return "other contents of GPUs than in the fresh plan";
    if (follow_count_moves(l) != least.moves) return "more moves than are needed";
    if (follow_count_kept(l) != least.kept) return "fewer slots kept than can be";
    fault = follow_kept_fault(l);
    return fault ? fault : follow_order_fault(l, fresh);
}

/* ------------------------------------------------------------------------------------------ score */

static inline float follow_load(const eplb_problem *p, const float *weight, int32_t sample, int32_t layer,
                                int32_t expert)
{
    return weight[((ptrdiff_t)sample * p->num_layers + layer) * p->num_experts + expert];
}

/* What a sample counts for in a layer; all alike, 1, where none holds load. */
static inline double follow_sample_weight(const eplb_problem *p, const eplb_options *o, const float *weight,
                                          int32_t sample, int32_t layer)
{
    int holds = 0;
    for (int32_t e = 0; e < p->num_experts; e++) holds |= follow_load(p, weight, sample, layer, e) > 0.0f;
    return !holds ? 0.0 : o->sample_weight ? (double)o->sample_weight[sample] : 1.0;
}

typedef struct follow_loads {
    double heaviest, mean; /* GPU: means over the samples */
} follow_loads;

static inline void follow_add_sample(const eplb_problem *p, const float *load, const int32_t *slots, double weight,
                                     follow_loads *loads)
{
    int32_t S = follow_gpu_slots(p);
    double heaviest = 0.0, sum = 0.0;
    for (int32_t g = 0; g < p->num_gpus; g++) {
        double on_gpu = 0.0;
        for (int32_t i = g * S; i < g * S + S; i++)
            if (slots[i] >= 0)
                on_gpu += (double)(load ? load[slots[i]] : 1.0f) / plan_copies(slots, p->num_replicas, slots[i]);
        heaviest = on_gpu > heaviest ? on_gpu : heaviest;
        sum += on_gpu;
    }
    loads->heaviest += weight * heaviest;
    loads->mean += weight * sum / p->num_gpus;
}

static inline follow_loads follow_loads_of(const eplb_problem *p, const eplb_options *o, const float *weight,
                                           int32_t layer, const int32_t *slots)
{
    int32_t T = p->num_samples ? p->num_samples : 1;
    follow_loads loads = {0.0, 0.0};
    double all = 0.0;
    for (int32_t t = 0; t < T; t++) {
        double counts = follow_sample_weight(p, o, weight, t, layer);
        if (counts > 0.0)
            follow_add_sample(p, weight + ((ptrdiff_t)t * p->num_layers + layer) * p->num_experts, slots, counts,
                              &loads);
        all += counts;
    }
    if (all > 0.0) {
        loads.heaviest /= all;
        loads.mean /= all;
    } else {
        follow_add_sample(p, NULL, slots, 1.0, &loads);
    }
    return loads;
}

/* The same when shares are exact: as eplb_evaluate_shares has it, of samples that count alike. */
static inline double follow_exact_heaviest(const eplb_problem *p, const float *weight, int32_t layer,
                                           const int32_t *slots)
{
    eplb_problem one = *p;
    size_t bytes = 0;
    float heaviest = 0.0f, balancedness;
    int32_t T = p->num_samples ? p->num_samples : 1, E = p->num_experts;
    float *load = (float *)test_alloc((size_t)T * (size_t)E * sizeof *load);
    int holds = 0, fine;
    one.num_layers = 1;
    for (int32_t i = 0; i < T * E; i++) {
        load[i] = follow_load(p, weight, i / E, layer, i % E);
        holds |= load[i] > 0.0f;
    }
    for (int32_t i = 0; i < T * E && !holds; i++) load[i] = 1.0f;
    fine = eplb_share_scratch_size(&one, &bytes) == EPLB_OK;
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    fine = fine && eplb_evaluate_shares(&one, slots, load, &balancedness, &heaviest, scratch, bytes) == EPLB_OK;
    free(scratch);
    free(load);
    return fine ? (double)heaviest : -1.0;
}

/* Replicas of experts whose group was not whole on a node, and that come to another one: their moves have no price. */
static inline int32_t follow_count_homecomings(const follow_layer *l)
{
    int32_t size = l->p->num_experts / l->K, moves = 0;
    for (int32_t e = 0; e < l->p->num_experts; e++)
        if (!follow_is_whole(l, l->before, e / size) && follow_home(l, l->before, e) != follow_home(l, l->after, e))
            moves += plan_copies(l->before, l->p->num_replicas, e);
    return moves;
}

/* The heaviest GPU, and the price of the moves. */
static inline double follow_score(const eplb_problem *p, const eplb_options *o, const float *weight, int32_t layer,
                                  const int32_t *before, const int32_t *after)
{
    follow_layer l = follow_layer_of(p, o, layer, before, after);
    follow_loads loads = follow_loads_of(p, o, weight, layer, l.after);
    double heaviest = loads.heaviest;
    if (o->shares == EPLB_PLAN_FOR_EXACT) heaviest = follow_exact_heaviest(p, weight, layer, l.after);
    return heaviest + (double)o->move_cost * loads.mean * (follow_count_moves(&l) - follow_count_homecomings(&l));
}

/* By what a plan is not to be worse than staying: where many slots are empty moves may have no price. */
static inline double follow_score_to_keep(const eplb_problem *p, const eplb_options *o, const float *weight,
                                          int32_t layer, const int32_t *previous, const int32_t *phy2log)
{
    eplb_options free_of_price = *o;
    int32_t R = p->num_replicas;
    if (plan_copies(previous + (ptrdiff_t)layer * R, R, -1) > R / 32) free_of_price.move_cost = 0.0f;
    return follow_score(p, &free_of_price, weight, layer, previous, phy2log);
}

#endif
