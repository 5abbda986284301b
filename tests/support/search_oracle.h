/* search_oracle.h - a naive search, for one sample and for many, that makes the decisions of the library's: it measures
   every load anew before each of them, looks at all pairs of GPUs and of slots, and works everything out exactly. Of
   the library it takes the loads in grains, the plan to begin with and its line, and the random words. Include after
   eplb.h with its implementation, test.h and planning.h. */
#ifndef SEARCH_ORACLE_H
#define SEARCH_ORACLE_H

#include <stdlib.h>
#include <string.h>

enum { SEARCH_FEW_SLOTS = 16, SEARCH_TRIES = 65536 };

typedef struct naive_move { /* slots that change places; other -1: an expert comes to slot */
    int32_t slot, other, expert;
} naive_move;

typedef struct naive {
    int32_t G, S, T, slots, experts, cap, apart;
    const int32_t *expert; /* [experts] */
    const int32_t *grains; /* [E, T] */
    int32_t *slot;         /* [slots] */
    int32_t *count;        /* [E] */
    char *settled;         /* [G, G] */
    int64_t enough;
    naive_move *done; /* [slots] one sample: moves since the best plan */
    int32_t num_done;
    int32_t *line;      /* [slots] one sample: slots by the loads of their replicas, heaviest first; NULL: not in use */
    int64_t *line_load; /* [slots] */
    int64_t close;
    int few;       /* whether slots are few enough to try all plans */
    int64_t tries; /* left of these */
    int cut;       /* whether there were too few */
} naive;

static int64_t share(const naive *n, int32_t e, int32_t t, int32_t more)
{
    return n->grains[(size_t)e * (size_t)n->T + (size_t)t] / (n->count[e] + more);
}

static int64_t load(const naive *n, int32_t gpu, int32_t t)
{
    int64_t sum = 0;
    for (int32_t i = gpu * n->S; i < (gpu + 1) * n->S; i++) sum += share(n, n->slot[i], t, 0);
    return sum;
}

static int32_t copies(const naive *n, int32_t gpu, int32_t e)
{
    int32_t found = 0;
    for (int32_t i = gpu * n->S; i < (gpu + 1) * n->S; i++) found += n->slot[i] == e;
    return found;
}

static int64_t objective(const naive *n)
{
    int64_t sum = 0;
    for (int32_t gpu = 0; gpu < n->G; gpu++)
        for (int32_t t = 0; t < n->T; t++) sum += load(n, gpu, t) * load(n, gpu, t);
    return sum;
}

/* ------------------------------------------------------------------------------------------ swaps */

static float between(const naive *n, int32_t a, int32_t b)
{
    int64_t sum = 0;
    for (int32_t t = 0; t < n->T; t++) sum += (load(n, a, t) - load(n, b, t)) * (load(n, a, t) - load(n, b, t));
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
            *a = i;
            *b = j;
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
    for (int32_t other = 0; other < n->G; other++) n->settled[gpu * n->G + other] = n->settled[other * n->G + gpu] = 0;
}

/* ------------------------------------------------------------------------------------------ moves */

static int32_t place_of(const naive *n, int32_t slot)
{
    int32_t at = 0;
    while (n->line[at] != slot) at++;
    return at;
}

/* A replica's load has changed: it walks up the line, or down, past those that are strictly lighter, or heavier. */
static void walk(naive *n, int32_t slot)
{
    int32_t at = place_of(n, slot), step = 0;
    int64_t now = share(n, n->slot[slot], 0, 0);
    for (;; at += step) {
        if (at > 0 && n->line_load[at - 1] < now) step = -1;
        else if (at + 1 < n->slots && n->line_load[at + 1] > now) step = 1;
        else break;
        n->line[at] = n->line[at + step];
        n->line_load[at] = n->line_load[at + step];
    }
    n->line[at] = slot;
    n->line_load[at] = now;
}

static void swap_slots(naive *n, int32_t i, int32_t j)
{
    int32_t e = n->slot[i];
    n->slot[i] = n->slot[j];
    n->slot[j] = e;
    if (!n->line) return;
    int32_t at = place_of(n, i), to = place_of(n, j);
    n->line[at] = j;
    n->line[to] = i;
}

static void put(naive *n, int32_t i, int32_t e)
{
    n->count[n->slot[i]]--;
    n->count[e]++;
    n->slot[i] = e;
}

static void replace(naive *n, int32_t i, int32_t e)
{
    int32_t u = n->slot[i];
    put(n, i, e);
    for (int32_t j = 0; n->line && j < n->slots; j++)
        if (n->slot[j] == u || n->slot[j] == e) walk(n, j);
}

static int may_go_on(const naive *n) { return n->T > 1 || n->num_done < n->slots; }

static void do_move(naive *n, naive_move move)
{
    if (n->T == 1) {
        n->done[n->num_done] = move;
        n->done[n->num_done++].expert = n->slot[move.slot];
    }
    if (move.other >= 0) swap_slots(n, move.slot, move.other);
    else replace(n, move.slot, move.expert);
}

static void take_back(naive *n)
{
    while (n->num_done > 0) {
        naive_move back = n->done[--n->num_done];
        if (back.other >= 0) swap_slots(n, back.slot, back.other);
        else replace(n, back.slot, back.expert);
    }
}

static int may_swap(const naive *n, int32_t i, int32_t j)
{
    return i / n->S != j / n->S && may_come(n, i, j) && may_come(n, j, i);
}

/* ---------------------------------------------------------------------------------- lower squares */

static int swap_pair(naive *n, int32_t a, int32_t b)
{
    int64_t most = n->enough;
    int32_t best_i = -1, best_j = -1;
    for (int32_t i = a * n->S; i < (a + 1) * n->S; i++)
        for (int32_t j = b * n->S; j < (b + 1) * n->S; j++) {
            int64_t gain = swap_gain(n, i, j);
            if (gain <= most || !may_swap(n, i, j)) continue;
            most = gain;
            best_i = i;
            best_j = j;
        }
    if (best_i < 0) {
        n->settled[a * n->G + b] = 1;
        return 0;
    }
    do_move(n, (naive_move){best_i, best_j, 0});
    open_pairs(n, a);
    open_pairs(n, b);
    return 1;
}

static void swap_all(naive *n)
{
    int32_t a = 0, b = 0;
    for (int32_t swaps = 0; swaps < 2 * n->slots && may_go_on(n);) {
        if (n->G < 2 || farthest(n, &a, &b) <= 4.0f * (float)n->enough) return;
        swaps += swap_pair(n, a, b);
    }
}

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
            if (n->slot[k] == u && k != i) fall += square_fall(there, there - share(n, u, t, 0) + share(n, u, t, -1));
        }
        fall += square_fall(here, left) + square_fall(left, left + share(n, e, t, 1));
    }
    return fall;
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
            most = rough_fall(n, i, e);
            receiver = e;
        }
        if (receiver < 0 || exact_fall(n, i, receiver) <= best) continue;
        best = exact_fall(n, i, receiver);
        best_i = i;
        best_e = receiver;
    }
    if (best_i < 0) return 0;
    int32_t u = n->slot[best_i];
    do_move(n, (naive_move){best_i, -1, best_e});
    for (int32_t gpu = 0; gpu < n->G; gpu++)
        if (copies(n, gpu, u) > 0 || copies(n, gpu, best_e) > 0 || gpu == best_i / n->S) open_pairs(n, gpu);
    return 1;
}

static void lower_squares(naive *n)
{
    memset(n->settled, 0, (size_t)n->G * (size_t)n->G);
    for (int32_t moves = 0; moves < n->slots && may_go_on(n); moves++) {
        swap_all(n);
        if (!may_go_on(n) || !replace_best(n)) return;
    }
}

/* ------------------------------------------------------------------------------------- lower peaks */

static int32_t heaviest_gpu(const naive *n)
{
    int32_t at = 0;
    for (int32_t gpu = 1; gpu < n->G; gpu++)
        if (load(n, gpu, 0) > load(n, at, 0)) at = gpu;
    return at;
}

static int64_t lightest_load(const naive *n)
{
    int64_t least = load(n, 0, 0);
    for (int32_t gpu = 1; gpu < n->G; gpu++) least = load(n, gpu, 0) < least ? load(n, gpu, 0) : least;
    return least;
}

static void line_up(naive *n, int32_t *line)
{
    n->line = line;
    for (int32_t at = 0; at < n->slots; at++) {
        int32_t to = at;
        int64_t now = share(n, n->slot[at], 0, 0);
        for (; to > 0 && n->line_load[to - 1] < now; to--) {
            n->line[to] = n->line[to - 1];
            n->line_load[to] = n->line_load[to - 1];
        }
        n->line[to] = at;
        n->line_load[to] = now;
    }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* The swap that leaves the heavier of its GPUs lightest, and the load of that. */
static int64_t find_swap(const naive *n, int32_t heavy, naive_move *best)
{
    int64_t peak = load(n, heavy, 0);
    for (int32_t i = heavy * n->S; i < (heavy + 1) * n->S; i++)
        for (int32_t at = 0; at < n->slots; at++) {
            int32_t j = n->line[at];
            int64_t d = share(n, n->slot[i], 0, 0) - share(n, n->slot[j], 0, 0);
            int64_t after = larger(load(n, heavy, 0) - d, load(n, j / n->S, 0) + d);
            if (j / n->S == heavy || after >= peak || !may_swap(n, i, j)) continue;
            peak = after;
            best->slot = i;
            best->other = j;
        }
    return peak;
}

/* The heaviest of the GPUs that a replace touches, and of the one that is heaviest before it. */
static int64_t peak_after(naive *n, int32_t i, int32_t e, int32_t heavy)
{
    int32_t u = n->slot[i];
    int64_t peak = 0;
    for (int32_t gpu = 0; gpu < n->G; gpu++) {
        int touched = gpu == heavy || copies(n, gpu, u) > 0 || copies(n, gpu, e) > 0;
        put(n, i, e);
        if (touched) peak = larger(peak, load(n, gpu, 0));
        put(n, i, u);
    }
    return peak;
}

/* Of the replaces that take a replica from the heaviest GPU, or give one to an expert that is on it: but for those
   that can be seen at once to leave slot i's GPU, or one with another replica of its expert, no lighter. */
static int64_t find_replace(naive *n, int32_t heavy, naive_move *best)
{
    int64_t peak = load(n, heavy, 0);
    for (int32_t i = 0; i < n->slots; i++) {
        int32_t u = n->slot[i], on_heavy = i / n->S == heavy;
        if (!may_take_away(n, i)) continue;
        if (lightest_load(n) + share(n, u, 0, -1) - share(n, u, 0, 0) >= peak) continue;
        for (int32_t k = 0; k < (on_heavy ? n->experts : n->S); k++) {
            int32_t e = on_heavy ? n->expert[k] : n->slot[heavy * n->S + k];
            int64_t left = load(n, i / n->S, 0) - share(n, u, 0, 0);
            if (!may_replace(n, i, e) || left + share(n, e, 0, 1) >= peak) continue;
            int64_t after = peak_after(n, i, e, heavy);
            if (after >= peak) continue;
            peak = after;
            *best = (naive_move){i, -1, e};
        }
    }
    return peak;
}

/* Of the slots of a GPU behind one of them in the line the last one that weighs so much; -1: none does. */
static int32_t last_behind(const naive *n, int32_t gpu, int32_t i, int64_t least)
{
    int32_t last = -1;
    for (int32_t at = place_of(n, i) + 1; at < n->slots; at++)
        if (n->line[at] / n->S == gpu && share(n, n->slot[n->line[at]], 0, 0) >= least) last = n->line[at];
    return last;
}

/* Two slots of the heaviest GPU, of which the second is the last one in the line with which enough goes, and two of
   another one: the first by GPU, by its slots, by the line, by which both become lighter by a quarter of what the
   heaviest is above the bar. */
static int do_double(naive *n, int32_t heavy)
{
    int64_t least = 1 + (load(n, heavy, 0) - n->close) / 4, most = load(n, heavy, 0) - least;
    if (n->S > 16 || n->num_done + 1 >= n->slots) return 0;
    for (int32_t j = 0; j < n->slots; j++)
        for (int32_t l = j + 1; l < n->slots && l / n->S == j / n->S; l++)
            for (int32_t at = 0; at < n->slots; at++) {
                int32_t i = n->line[at], *slot = n->slot, k;
                int64_t come = share(n, slot[j], 0, 0) + share(n, slot[l], 0, 0);
                if (i / n->S != heavy || j / n->S == heavy) continue;
                k = last_behind(n, heavy, i, least + come - share(n, slot[i], 0, 0));
                if (k < 0 || slot[i] == slot[k] || slot[j] == slot[l]) continue;
                if (load(n, j / n->S, 0) - come + share(n, slot[i], 0, 0) + share(n, slot[k], 0, 0) > most) continue;
                if (!may_swap(n, i, j) || !may_swap(n, k, l)) continue;
                do_move(n, (naive_move){i, j, 0});
                do_move(n, (naive_move){k, l, 0});
                return 1;
            }
    return 0;
}

/* Do a move, or two, that make the heaviest GPU lighter. */
static int lower_peak(naive *n)
{
    int32_t heavy = heaviest_gpu(n);
    int64_t peak = load(n, heavy, 0);
    naive_move best = {0, 0, 0};
    if (peak <= n->close) return 0;
    if (find_swap(n, heavy, &best) >= peak) {
        if (do_double(n, heavy)) return 1;
        if (find_replace(n, heavy, &best) >= peak) return 0;
    }
    do_move(n, best);
    return 1;
}

static void lower_peaks(naive *n)
{
    while (may_go_on(n) && lower_peak(n)) {}
}

/* From a slot on, around its GPU, the first whose expert has a replica to give. */
static int32_t next_donor(const naive *n, int32_t i)
{
    for (int32_t k = 0; k < n->S; k++) {
        int32_t donor = i / n->S * n->S + (i % n->S + k) % n->S;
        if (may_take_away(n, donor)) return donor;
    }
    return -1;
}

static int32_t near(const naive *n, int32_t i, uint32_t word)
{
    int32_t away = 1 + (int32_t)(word % 16), at = place_of(n, i);
    return n->line[at + away < n->slots ? at + away : at > away ? at - away : 0];
}

static void kick_once(naive *n, uint64_t seed, uint32_t row, int32_t kick)
{
    int32_t heavy = heaviest_gpu(n), donor;
    for (uint32_t i = 0; i < 1 + (uint32_t)kick / 2 % 3 && may_go_on(n); i++) {
        uint32_t word[4];
        naive_move move = {0, -1, 0};
        eplb_p_draw(seed, EPLB_P_DRAW_KICKS, row, kick, i, word);
        move.slot = (int32_t)(word[0] % (uint32_t)n->slots);
        if (i == 0) move.slot = heavy * n->S + (int32_t)(word[0] % (uint32_t)n->S);
        donor = kick % 2 == 1 ? next_donor(n, move.slot) : -1;
        if (donor >= 0) {
            move.slot = donor;
            move.expert = n->slot[word[1] % (uint32_t)n->slots];
            if (may_replace(n, donor, move.expert)) do_move(n, move);
        } else {
            move.other = near(n, move.slot, word[1]);
            if (may_swap(n, move.slot, move.other)) do_move(n, move);
        }
    }
}

static int64_t keep_better(naive *n, int64_t best)
{
    int64_t peak = load(n, heaviest_gpu(n), 0);
    if (peak >= best) take_back(n);
    n->num_done = 0;
    return peak < best ? peak : best;
}

/* ------------------------------------------------------------------------------------- few slots */

/* Replicas of the experts by their loads, as far as they have a GPU. */
typedef struct naive_trial {
    int32_t num;
    int32_t expert[SEARCH_FEW_SLOTS], count[SEARCH_FEW_SLOTS], gpu[SEARCH_FEW_SLOTS];
} naive_trial;

static int64_t trial_load(const naive *n, const naive_trial *trial, int32_t gpu)
{
    int64_t sum = 0;
    for (int32_t i = 0; i < trial->num; i++)
        if (trial->gpu[i] == gpu) sum += n->grains[trial->expert[i]] / trial->count[i];
    return sum;
}

static int32_t trial_used(const naive_trial *trial, int32_t gpu)
{
    int32_t used = 0;
    for (int32_t i = 0; i < trial->num; i++) used += trial->gpu[i] == gpu;
    return used;
}

static int64_t trial_peak(const naive *n, const naive_trial *trial)
{
    int64_t peak = 0;
    for (int32_t gpu = 0; gpu < n->G; gpu++) peak = larger(peak, trial_load(n, trial, gpu));
    return peak;
}

/* Whether the GPU is the first of those that are alike, but for what they hold of e. */
static int is_first_alike(const naive *n, const naive_trial *trial, int32_t e, int32_t gpu)
{
    int32_t from = 0;
    for (int32_t i = 0; i < trial->num; i++)
        if (trial->expert[i] == e) from = trial->gpu[i] + 1;
    for (; from < gpu; from++)
        if (trial_load(n, trial, from) == trial_load(n, trial, gpu)
            && trial_used(trial, from) == trial_used(trial, gpu))
            return 0;
    return 1;
}

/* Whether replica nth of count may go to a GPU, if the one before went to that one. */
static int may_try(const naive *n, const naive_trial *trial, int32_t e, int32_t count, int32_t nth, int32_t gpu,
                   int32_t before)
{
    if (trial_used(trial, gpu) == n->S) return 0;
    if (n->apart && count > n->G) return gpu - before <= 1 && count - nth >= n->G - gpu; /* each GPU needs one */
    return is_first_alike(n, trial, e, gpu);
}

/* Whether all load fits below the incumbent, but for what division may lose, where each slot that is left holds no more
   than so much. */
static int rest_fits(const naive *n, const naive_trial *trial, int64_t most, int64_t peak)
{
    int64_t all = 0, room = 0;
    for (int32_t k = 0; k < n->experts; k++) all += n->grains[n->expert[k]];
    for (int32_t gpu = 0; gpu < n->G; gpu++) {
        int64_t fits = trial_load(n, trial, gpu) + (n->S - trial_used(trial, gpu)) * most;
        room += fits < peak ? fits : peak - 1;
    }
    return all - n->slots <= room;
}

static void keep_trial(naive *n, const naive_trial *trial)
{
    int32_t slot = 0;
    for (int32_t gpu = 0; gpu < n->G; gpu++)
        for (int32_t i = 0; i < trial->num; i++)
            if (trial->gpu[i] == gpu) n->slot[slot++] = trial->expert[i];
    for (int32_t i = 0; i < trial->num; i++) n->count[trial->expert[i]] = trial->count[i];
}

static int is_over(naive *n, int64_t peak)
{
    if (n->tries <= 0 && peak > n->close) n->cut = 1;
    return n->cut || peak <= n->close;
}

static void try_expert(naive *n, naive_trial *trial, const int32_t *rank, int64_t *peak);

/* Replica nth of count of the next expert on each GPU in turn, and all ways to go on. */
static void try_replica(naive *n, naive_trial *trial, const int32_t *rank, int32_t count, int32_t nth, int64_t *peak)
{
    int32_t e = *rank, i = trial->num, before = nth > 0 ? trial->gpu[i - 1] : -1;
    int64_t share = n->grains[e] / count,
            most = larger(nth + 1 < count ? share : 0, rank[1] < 0 ? 0 : n->grains[rank[1]]);
    if (nth > 0 && is_over(n, *peak)) return;
    for (int32_t gpu = nth == 0 ? 0 : n->apart && count <= n->G ? before + 1 : before; gpu < n->G; gpu++) {
        n->tries--;
        if (!may_try(n, trial, e, count, nth, gpu, before)) continue;
        if (trial_load(n, trial, gpu) + share >= *peak) continue;
        trial->num = i + 1;
        trial->expert[i] = e;
        trial->count[i] = count;
        trial->gpu[i] = gpu;
        if (i + 1 == n->slots) {
            keep_trial(n, trial);
            *peak = trial_peak(n, trial);
        } else if (rest_fits(n, trial, most, *peak)) {
            if (nth + 1 < count) try_replica(n, trial, rank, count, nth + 1, peak);
            else try_expert(n, trial, rank + 1, peak);
        }
        trial->num = i;
        if (is_over(n, *peak)) return;
    }
}

/* The next expert with each number of replicas in turn; the last one, behind which there is -1, fills what is left. */
static void try_expert(naive *n, naive_trial *trial, const int32_t *rank, int64_t *peak)
{
    int32_t most = n->slots - trial->num, least = rank[1] < 0 ? most : 1;
    for (int32_t k = 1; rank[k] >= 0; k++) most--;
    if (n->cap > 0 && most > n->cap) most = n->cap;
    if (is_over(n, *peak)) return;
    for (int32_t count = least; count <= most && !n->cut && *peak > n->close; count++)
        try_replica(n, trial, rank, count, 0, peak);
}

/* The experts by load, the first in the list on ties; then -1. */
static void rank_experts(const naive *n, int32_t *rank)
{
    for (int32_t at = 0; at < n->experts; at++) {
        int32_t next = -1;
        for (int32_t k = 0; k < n->experts; k++) {
            int taken = 0;
            for (int32_t i = 0; i < at; i++) taken |= rank[i] == n->expert[k];
            if (!taken && (next < 0 || n->grains[n->expert[k]] > n->grains[next])) next = n->expert[k];
        }
        rank[at] = next;
    }
    rank[n->experts] = -1;
}

/* Whether all plans were tried, or the bar was reached. */
static int try_all(naive *n, int64_t *peak)
{
    naive_trial trial = EPLB_ZERO_INIT;
    int32_t rank[SEARCH_FEW_SLOTS + 1];
    rank_experts(n, rank);
    n->tries = SEARCH_TRIES;
    n->cut = 0;
    try_expert(n, &trial, rank, peak);
    return !n->cut;
}

/* ------------------------------------------------------------------------------------- one sample */

static void lower_peak_by_kicks(naive *n, int32_t *line, int32_t effort, uint64_t seed, uint32_t row)
{
    int32_t kicks = (effort - 1) * (n->slots < 64 ? 64 / n->slots : 1);
    int64_t best = load(n, heaviest_gpu(n), 0);
    n->line_load = (int64_t *)malloc((size_t)n->slots * sizeof *n->line_load);
    n->done = (naive_move *)malloc((size_t)n->slots * sizeof *n->done);
    n->line = line;
    for (int32_t at = 0; at < n->slots; at++) n->line_load[at] = share(n, n->slot[line[at]], 0, 0);
    lower_peaks(n);
    best = keep_better(n, best);
    if (n->few && effort > 1 && best > n->close) {
        if (try_all(n, &best)) kicks = 0;
        line_up(n, line);
    }
    for (int32_t kick = 1; kick <= kicks && best > n->close; kick++) {
        kick_once(n, seed, row, kick);
        lower_peaks(n);
        best = keep_better(n, best);
    }
    free(n->done);
    free(n->line_load);
}

/* --------------------------------------------------------------------------------- side by side */

/* Whether the search makes of a node what the naive one does, from the same plan. */
static int search_same_node(eplb_p_search *s, const eplb_options *o, int32_t layer, int32_t node)
{
    int same;
    uint32_t row = (uint32_t)layer * 100 + (uint32_t)node;
    size_t slots = (size_t)s->num_slots, experts = (size_t)s->words * 32;
    naive n = EPLB_ZERO_INIT;
    int32_t *slot = (int32_t *)malloc(slots * sizeof(int32_t)), *count = (int32_t *)malloc(experts * sizeof(int32_t));
    int32_t *line = (int32_t *)malloc(slots * sizeof(int32_t));
    n.G = s->num_gpus;
    n.S = s->gpus.room;
    n.T = s->num_samples;
    n.slots = s->num_slots;
    n.experts = s->num_experts;
    n.cap = s->max_replicas;
    n.apart = s->apart;
    n.expert = s->expert;
    n.grains = s->grains;
    n.enough = s->enough;
    n.close = s->close;
    n.few = s->trial != NULL;
    n.slot = slot;
    n.count = count;
    n.settled = (char *)malloc((size_t)n.G * (size_t)n.G);

    eplb_p_measure_node(s);
    if (n.T == 1) eplb_p_line_up_slots(s);
    if (s->apart) eplb_p_part_duplicates(s);
    memcpy(slot, s->slot, slots * sizeof(int32_t));
    if (n.T == 1) memcpy(line, s->line_slot, slots * sizeof(int32_t));
    for (int32_t i = 0; i < s->num_experts; i++) count[s->expert[i]] = s->count[s->expert[i]];
    s->steps = INT64_MAX;
    if (n.T > 1) {
        eplb_p_lower_squares(s);
        lower_squares(&n);
    } else {
        eplb_p_improve_one_sample(s, o->effort, o->seed, row);
        lower_peak_by_kicks(&n, line, o->effort, o->seed, row);
    }
    same = memcmp(slot, s->slot, slots * sizeof(int32_t)) == 0;
    free(n.settled);
    free(slot);
    free(count);
    free(line);
    return same;
}

/* Whether that is so in all nodes of all layers; else which is the first where it is not. Options have effort; nodes and
   GPUs are alike, and there is no plan in force. */
static int search_same(const eplb_problem *p, const eplb_options *o, const float *weight, int32_t *bad_layer,
                       int32_t *bad_node)
{
    eplb_plan plan = plan_alloc(p, plan_full_width(p));
    eplb_p_planning all;
    eplb_p_planner *planner = &all.planner;
    eplb_p_search *s = &all.search;
    size_t bytes = 0;
    int same = eplb_scratch_size(p, o, &bytes) == EPLB_OK;
    void *scratch = malloc(bytes);
    eplb_p_call call = eplb_p_call_of(p, o, weight, &plan, scratch, bytes);

    same = same && eplb_p_prepare(&call, &all) == EPLB_OK;
    for (int32_t layer = 0; same && layer < p->num_layers; layer++) {
        eplb_p_layer *l = &planner->layer;
        eplb_p_weigh_layer(l, weight, layer);
        eplb_p_place_groups(planner);
        for (int32_t k = 0; k < call.shape.num_nodes; k++) eplb_p_place_experts(planner, k);
        eplb_p_enter_phase(&planner->shared, planner->search_bytes);
        s->close = l->num_counting == 1 ? eplb_p_layer_target(l, s) : 0;
        for (int32_t k = 0; same && k < call.shape.num_nodes; k++) {
            eplb_p_node_part part = eplb_p_node_part_of(l, k);
            eplb_p_open_node(s, l, &part);
            s->apart = call.shape.apart && !o->allow_duplicates;
            same = search_same_node(s, o, layer, k);
            *bad_layer = layer;
            *bad_node = k;
        }
        eplb_p_leave_phases(&planner->shared);
    }
    free(scratch);
    plan_free(&plan);
    return same;
}

#endif
