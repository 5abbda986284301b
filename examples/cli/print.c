/* print.c - what the program prints of a plan, a score or a replay: tables, summaries, and bars. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ------------------------------------------------------------------------------------- tables */

/* Balancedness of a row, the parts of a table that plans and scores share, and those of one of them. */
static void print_row(FILE *out, const planning *p, const char *label, double before, double after,
                      const plan_totals *t)
{
    double bound = load_share(t->mean, t->bound), gap = 100 * (1 / load_share(t->bound, t->after) - 1);
    if (p->scored) {
        fprintf(out, "%6s  %12.4f", label, after);
        for (int way = SHARES_EQUAL + 1; way < NUM_SHARES; way++) {
            if (p->shares[way]) fprintf(out, "  %7.4f", load_share(t->mean, t->most[way]));
        }
        fprintf(out, "  %7.4f  %7.2f  %12d  %5lld  %5lld\n", bound, gap, (int)t->max_replicas, t->duplicates, t->empty);
        return;
    }
    fprintf(out, "%6s  %7.4f  %7.4f  %7.4f  %7.2f  %12d  %5lld", label, before, after, bound, gap, (int)t->max_replicas,
            t->duplicates);
    if (p->previous) fprintf(out, "  %5lld  %7lld  %5lld", t->empty, t->changed, t->moves);
    fprintf(out, "  %9.1f\n", t->microseconds);
}

/* Where nodes cannot hold whole groups; nothing where they do. */
static void print_split_groups(FILE *out, const plan_totals *all)
{
    if (all->split_groups == 0) return;
    fprintf(out, "%lld group%s with experts on several nodes, in %d layer%s\n", all->split_groups,
            all->split_groups == 1 ? "" : "s", (int)all->num_split, all->num_split == 1 ? "" : "s");
}

/* One row a layer and one for all, in which each load is the sum over the layers. */
void print_table(FILE *out, const planning *p, bool only_total)
{
    plan_totals all = total_of_plan(p, 0, p->num_layers);
    bool exact = p->shares[SHARES_EXACT], rows = p->shares[SHARES_ROWS];
    if (p->scored && !only_total)
        fprintf(out, "balancedness of %s%s%s, and its bound for any plan\n", p->name.text,
                exact  ? ", with equal shares and with exact ones"
                : rows ? ", with equal shares"
                       : "",
                rows ? " and with vLLM's by rows" : "");
    else if (!only_total) fprintf(out, "balancedness before (%s), after, and its bound for any plan\n", p->name.text);
    if (p->scored)
        fprintf(out, "%6s  %12s%s%s  %7s  %7s  %12s  %5s  %5s\n", "layer", "balancedness", exact ? "    exact" : "",
                rows ? "     vllm" : "", "bound", "gap %", "max replicas", "twice", "empty");
    else
        fprintf(out, "%6s  %7s  %7s  %7s  %7s  %12s  %5s%s  %9s\n", "layer", "before", "after", "bound", "gap %",
                "max replicas", "twice", p->previous ? "  empty  changed  moves" : "", "time us");
    for (int32_t i = 0; i < p->num_layers && !only_total; i++) {
        const layer_result *r = &p->result[i];
        plan_totals one = total_of_plan(p, i, i + 1);
        char label[24];
        snprintf(label, sizeof label, "%lld", (long long)p->layer[i]);
        print_row(out, p, label, (double)r->before.balancedness, (double)r->after.balancedness, &one);
    }
    print_row(out, p, "total", load_share(all.mean, all.before), load_share(all.mean, all.after), &all);
    print_split_groups(out, &all);
}

/* A row for each of those asked for, a column a way to share. */
void print_balances(FILE *out, const planning *p)
{
    bool any = false;
    for (int b = 0; b < NUM_BALANCES; b++) any = any || p->balances[b];
    if (!any) return;
    fprintf(out, "\n%-20s", "as engines have it");
    for (int way = 0; way < NUM_SHARES; way++) {
        if (p->shares[way]) fprintf(out, "  %7s", SHARE_NAMES[way]);
    }
    for (int b = 0; b < NUM_BALANCES; b++) {
        if (!p->balances[b]) continue;
        fprintf(out, "\n%-20s", BALANCE_NAMES[b]);
        for (int way = 0; way < NUM_SHARES; way++) {
            if (p->shares[way]) fprintf(out, "  %7.4f", p->balance[b][way]);
        }
    }
    fprintf(out, "\n");
}

void print_adrs(FILE *out, const adrs_score *a)
{
    fprintf(out, "%s, %d workload%s\nper slot  per GPU\n%8.6f  %7.6f\n", a->name.text, (int)a->num_workloads,
            a->num_workloads == 1 ? "" : "s", a->per_slot, a->per_gpu);
    if (*a->wrong) fprintf(out, "not valid: %s\n", a->wrong);
}

static void print_problem(FILE *out, const eplb_problem *q, int32_t num_samples)
{
    fprintf(out, "%d layers x %d experts -> %d replicas on %d GPUs, %d each", (int)q->num_layers, (int)q->num_experts,
            (int)q->num_replicas, (int)q->num_gpus, (int)(q->num_replicas / q->num_gpus));
    fprintf(out, "; nodes %d, groups %d, samples %d\n", (int)q->num_nodes, (int)q->num_groups, (int)num_samples);
    int32_t living = 0, slots = 0;
    for (int32_t g = 0; q->gpu_slots && g < q->num_gpus; g++) {
        living += q->gpu_slots[g] > 0;
        slots += q->gpu_slots[g];
    }
    if (q->gpu_slots) fprintf(out, "%d of the GPUs have slots that may be used, %d in all\n", (int)living, (int)slots);
}

static void print_half_life(FILE *out, const settings *s)
{
    if (s->half_life > 0) fprintf(out, ", half-life %g", s->half_life);
}

void print_limits(FILE *out, const settings *s)
{
    const move_limits *l = &s->limits;
    for (int i = 0; i < NUM_LIMITS; i++)
        if (l->most[i]) fprintf(out, ", %s %d", LIMITS[i].words, l->most[i] < 0 ? 0 : (int)l->most[i]);
    if (l->cost > 0) fprintf(out, ", move cost %g", (double)l->cost);
}

void print_summary(FILE *out, const planning *p, const settings *s)
{
    print_problem(out, &p->problem, p->problem.num_samples);
    if (p->scored) {
        fprintf(out, "%s policy\n\n", policy_used(&p->problem, p->options.policy));
        return;
    }
    fprintf(out, "preset %s, effort %d, %s policy", eplb_preset_name(s->preset[0]), (int)p->options.effort,
            policy_used(&p->problem, p->options.policy));
    print_half_life(out, s);
    fprintf(out, ", seed %llu, %zu bytes of scratch\n", (unsigned long long)p->options.seed, p->scratch_bytes);
    if (p->previous) {
        fprintf(out, "from %s", p->previous_name.text);
        print_limits(out, s);
        fprintf(out, "\n");
    }
    fprintf(out, "\n");
}

#define REPLAY_COLUMN 8 /* of a line at least; a longer name is its own width */

typedef struct line_name {
    char text[32];
} line_name;

static line_name name_of_line(const replay *r, int32_t line)
{
    line_name n;
    int32_t way = line_shares(r, line);
    snprintf(n.text, sizeof n.text, "%s%s%s", r->name[line_series(r, line)], way == SHARES_EQUAL ? "" : " ",
             way == SHARES_EQUAL ? "" : SHARE_NAMES[way]);
    return n;
}

/* Balancedness on the next window, a row a plan and a column a line. */
void print_windows(FILE *out, const replay *r)
{
    fprintf(out, "balancedness on the next window\n%6s", "window");
    if (r->every != 1) fprintf(out, "  %5s", "age");
    for (int32_t line = 0; line < replay_num_lines(r); line++)
        fprintf(out, "  %*s", REPLAY_COLUMN, name_of_line(r, line).text);
    fprintf(out, "  %6s\n", "bound");
    for (int32_t i = 0; i < r->num_plans; i++) {
        fprintf(out, "%6d", (int)r->plan_window[i]);
        if (r->every != 1) fprintf(out, "  %5d", (int)r->age[i]);
        for (int32_t line = 0; line < replay_num_lines(r); line++) {
            int length = (int)strlen(name_of_line(r, line).text);
            fprintf(out, "  %*.4f", length > REPLAY_COLUMN ? length : REPLAY_COLUMN,
                    score_balancedness(trial_of(r, i, line_series(r, line))->next[line_shares(r, line)]));
        }
        fprintf(out, "  %6.4f\n", replay_next_bound(r, i));
    }
    fprintf(out, "\n");
}

void print_series(FILE *out, const replay *r)
{
    static const char *const HEADS[NUM_SHARES] = {"     own      next  ", " exact own  exact next  ",
                                                  "  vllm own   vllm next  "};
    static const int WIDTHS[NUM_SHARES] = {8, 10, 10};
    double bound = replay_total_bound(r);
    fprintf(out, "%-13s ", "all windows");
    for (int shares = 0; shares < NUM_SHARES; shares++) fputs(r->shares[shares] ? HEADS[shares] : "", out);
    fprintf(out, "%8s%s  %11s\n", "bound", r->follows ? "     moves  changed %" : "", "time us");
    for (int32_t series = 0; series < r->num_series; series++) {
        trial total = total_of_series(r, series);
        fprintf(out, "%-13s ", r->name[series]);
        for (int shares = 0; shares < NUM_SHARES; shares++) {
            if (r->shares[shares])
                fprintf(out, "%*.4f  %*.4f  ", WIDTHS[shares], score_balancedness(total.own[shares]), WIDTHS[shares],
                        score_balancedness(total.next[shares]));
        }
        fprintf(out, "%8.4f  ", bound);
        if (r->follows && series > 0 && !isnan(total.changed))
            fprintf(out, "%8.2f  %9.2f  ", total.moves, 100 * total.changed);
        else if (r->follows) fprintf(out, "%8s  %9s  ", "-", "-");
        if (series > 0) fprintf(out, "%11.1f\n", total.microseconds);
        else fprintf(out, "%11s\n", "-");
    }
}

void print_replay_summary(FILE *out, const replay *r, const settings *s)
{
    int32_t left = r->from->num_samples % r->window;
    print_problem(out, &r->problem, r->from->num_samples);
    fprintf(out, "%d windows of %d samples", (int)r->num_windows, (int)r->window);
    if (r->num_idle > 0) fprintf(out, ", %d without load left out", (int)r->num_idle);
    if (left > 0) fprintf(out, ", the last %d samples not used", (int)left);
    if (r->every > 1) fprintf(out, "; every %d windows a plan of the last %d samples", (int)r->every, (int)r->history);
    else if (r->every == 0) fprintf(out, "; one plan, of the first %d samples", (int)r->window);
    else fprintf(out, "; plans of the last %d samples", (int)r->history);
    print_half_life(out, s);
    fprintf(out, "\n");
    if (r->follows) {
        fprintf(out, "each plan from the one before");
        print_limits(out, s);
        fprintf(out, "\n");
    }
    if (s->effort >= 0) fprintf(out, "effort %d, ", (int)s->effort);
    fprintf(out, "%s policy, seed %llu\n\n", policy_used(&r->problem, s->policy), (unsigned long long)s->seed);
}

/* --------------------------------------------------------------------------------------- bars */

#define BAR_CELLS    36 /* two bars, their numbers and the GPU's come to less than 100 columns */
#define BAR_MAX_ROWS 64 /* with more GPUs a row stands for several */

/* Whether block characters can be shown: the first of these that is set counts, as in setlocale. */
static bool locale_is_utf8(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *value = getenv(NAMES[i]);
        if (value && *value) {
            const char *dot = strchr(value, '.');
            return dot && (strncasecmp(dot, ".utf-8", 6) == 0 || strncasecmp(dot, ".utf8", 5) == 0);
        }
    }
    return false;
}

/* A bar of eighths / 8 cells in a field of BAR_CELLS, with the mean's mark at cell `mark`. */
static void print_bar(FILE *out, int eighths, int mark, bool utf8, bool fill_field)
{
    static const char *const BLOCKS[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
    if (!utf8) eighths = (eighths + 4) / 8 * 8; /* whole cells */
    int used = (eighths + 7) / 8 > mark ? (eighths + 7) / 8 : mark + 1;
    for (int i = 0; i < (fill_field ? BAR_CELLS : used); i++) {
        int part = eighths - 8 * i;
        part = part < 0 ? 0 : part > 8 ? 8 : part;
        if (i == mark) fputs(utf8 ? "│" : "|", out);
        else fputs(utf8 || part == 0 ? BLOCKS[part] : "#", out);
    }
}

static float largest(const float *load, int32_t begin, int32_t end)
{
    float most = load[begin];
    for (int32_t g = begin + 1; g < end; g++) most = load[g] > most ? load[g] : most;
    return most;
}

/* The load of each GPU in one layer, before and after, or of a plan that is scored. With more than
   BAR_MAX_ROWS GPUs a row shows the most loaded of as many neighbours as it takes. */
void print_bars(FILE *out, const planning *p, int64_t layer)
{
    int32_t G = p->problem.num_gpus;
    int32_t each = (G - 1) / BAR_MAX_ROWS + 1; /* GPUs in a row */
    int width = each > 1 ? 11 : 5;             /* of the column of GPUs */
    size_t i = (size_t)find_number(p->layer, p->num_layers, layer);
    const layer_result *r = &p->result[i];
    const float *load[2] = {p->gpu_before + i * (size_t)G, p->gpu_after + i * (size_t)G};
    double mean = (double)r->after.mean_load;
    float most[2] = {largest(load[0], 0, G), largest(load[1], 0, G)};
    double full = (double)(most[0] > most[1] ? most[0] : most[1]);
    double cells = full > 0 ? BAR_CELLS / full : 0; /* of a unit of load */
    bool utf8 = locale_is_utf8();
    if (!isfinite(full)) {
        fprintf(out, "\nlayer %lld: its sums of loads leave float32 and cannot be drawn\n", (long long)layer);
        return;
    }
    int mark = (int)(mean * cells) < BAR_CELLS ? (int)(mean * cells) : BAR_CELLS - 1;
    fprintf(out, "\nlayer %lld, load of each GPU%s; 1.00 is the mean, at the %s\n", (long long)layer,
            each > 1 ? ", the largest in each row" : "", utf8 ? "│" : "|");
    fprintf(out, "%*s", width, "GPU");
    if (!p->scored) fprintf(out, "  before, balancedness %-*.4f", BAR_CELLS - 13, (double)r->before.balancedness);
    fprintf(out, "  %sbalancedness %.4f\n", p->scored ? "" : "after, ", (double)r->after.balancedness);
    for (int32_t begin = 0, end; begin < G; begin = end) {
        char label[32];
        int n = snprintf(label, sizeof label, "%d", (int)begin);
        end = G - begin < each ? G : begin + each;
        if (end - begin > 1) snprintf(label + n, sizeof label - (size_t)n, "-%d", (int)end - 1);
        fprintf(out, "%*s", width, label);
        for (int side = p->scored; side < 2; side++) {
            double here = (double)largest(load[side], begin, end);
            fprintf(out, "  %5.2f ", mean > 0 ? here / mean : 0);
            print_bar(out, (int)(here * cells * 8 + 0.5), mark, utf8, side == 0);
        }
        fprintf(out, "\n");
    }
}

/* -------------------------------------------------------------------------------------- moves */

static void print_move_row(FILE *out, const char *label, const move_totals *t, bool in_place)
{
    fprintf(out, "%6s  %8d  %9d  %10d  %4d  %6d  %10d  %9d", label, (int)t->kind[EPLB_TRANSFER_SAME_GPU],
            (int)t->kind[EPLB_TRANSFER_SAME_NODE], (int)t->kind[EPLB_TRANSFER_OTHER_NODE],
            (int)t->kind[EPLB_TRANSFER_LOST], (int)t->rounds, (int)t->most_sends, (int)t->most_gets);
    if (in_place) fprintf(out, "  %7d", (int)t->num_staging);
    fprintf(out, "\n");
}

/* In total, rounds add up, and the busiest GPU is that of any layer. */
void print_moves(FILE *out, const moving *m, const settings *s)
{
    move_totals all;
    memset(&all, 0, sizeof all);
    if (!s->quiet)
        fprintf(out, "%s from %s to %s: sources %s, rounds %s\n", s->in_place ? "steps in place" : "transfers",
                m->plans.before_file, m->plans.after_file, SOURCE_NAMES[s->how.sources], ROUND_NAMES[s->how.rounds]);
    fprintf(out, "%6s  %8s  %9s  %10s  %4s  %6s  %10s  %9s%s\n", "layer", "same GPU", "same node", "other node", "lost",
            "rounds", "most sends", "most gets", s->in_place ? "  staging" : "");
    for (int32_t i = 0; i < m->plans.problem.num_layers; i++) {
        move_totals one = total_of_moves(m, i);
        char label[24];
        snprintf(label, sizeof label, "%lld", (long long)m->plans.layer[i]);
        for (int kind = 0; kind < EPLB_NUM_TRANSFERS; kind++) all.kind[kind] += one.kind[kind];
        all.rounds += one.rounds;
        all.num_staging = one.num_staging > all.num_staging ? one.num_staging : all.num_staging;
        all.most_sends = one.most_sends > all.most_sends ? one.most_sends : all.most_sends;
        all.most_gets = one.most_gets > all.most_gets ? one.most_gets : all.most_gets;
        if (!s->quiet) print_move_row(out, label, &one, s->in_place);
    }
    print_move_row(out, "total", &all, s->in_place);
}

/* What is wrong, in words. */
static void print_fault(FILE *out, const eplb_plan_fault *f)
{
    int expert = (int)f->expert, other = (int)f->other, count = (int)f->count, allowed = (int)f->allowed;
    switch (f->reason) {
    case EPLB_FAULT_PREVIOUS_ID: fprintf(out, "in the plan in force there is no expert %d", expert); break;
    case EPLB_FAULT_ID: fprintf(out, "there is no expert %d", expert); break;
    case EPLB_FAULT_MISSING: fprintf(out, "no slot holds expert %d", expert); break;
    case EPLB_FAULT_MAX_REPLICAS:
        fprintf(out, "expert %d has %d replicas, and may have %d", expert, count, allowed);
        break;
    case EPLB_FAULT_TWICE:
        fprintf(out, "expert %d is in slot %d of the GPU, too, while another GPU of its node has none", expert, other);
        break;
    case EPLB_FAULT_GROUP:
        fprintf(out, "expert %d is on another node than its group, which slot %d has an expert of", expert, other);
        break;
    case EPLB_FAULT_NOT_KEPT: fprintf(out, "expert %d stays on its GPU, where it was in slot %d", expert, other); break;
    case EPLB_FAULT_MOVES: fprintf(out, "%d moves, and %d may be", count, allowed); break;
    case EPLB_FAULT_GPU_MOVES_IN: fprintf(out, "%d moves into this GPU, and %d may be", count, allowed); break;
    case EPLB_FAULT_GPU_MOVES_OUT:
        fprintf(out, "%d moves out of the GPU it comes from, and %d may be", count, allowed);
        break;
    case EPLB_FAULT_PAIR_MOVES: fprintf(out, "%d moves from one GPU to this one, and %d may be", count, allowed); break;
    case EPLB_FAULT_NODE_MOVES_IN: fprintf(out, "%d moves into this node, and %d may be", count, allowed); break;
    case EPLB_FAULT_NODE_MOVES_OUT:
        fprintf(out, "%d moves out of the node it comes from, and %d may be", count, allowed);
        break;
    default: fprintf(out, "%s", eplb_fault_name(f->reason)); break;
    }
}

void print_check(FILE *out, const checking *c)
{
    const eplb_plan_fault *f = &c->fault;
    if (f->reason == EPLB_FAULT_NONE) {
        fprintf(out, "%s may be put in force\n", c->plans.after_file);
        return;
    }
    fprintf(out, "%s, layer %lld", c->plans.after_file, (long long)c->plans.layer[f->layer]);
    if (f->slot >= 0) fprintf(out, ", slot %d", (int)f->slot);
    fprintf(out, ": ");
    print_fault(out, f);
    fprintf(out, " (%s)\n", eplb_fault_name(f->reason));
}
