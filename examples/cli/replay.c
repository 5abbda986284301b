/* replay.c - replaying: a trace is cut into windows of as many samples from its start. At the end of each
   but the last a plan is made from the samples known by then, and scored on the samples of that window, its
   own, and of the next. Series 0 is the experts in order, the others are the presets asked for. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* Raises scratch_bytes to what these options need for windows and for plans. */
static void need_scratch(replay *r, const eplb_options *options)
{
    eplb_problem problem = r->problem;
    for (int i = 0; i < 2; i++) {
        size_t bytes;
        problem.num_samples = i == 0 ? r->problem.num_samples : r->history;
        check_result(&problem, options, r->weight, eplb_scratch_size(&problem, options, &bytes));
        r->scratch_bytes = bytes > r->scratch_bytes ? bytes : r->scratch_bytes;
    }
}

replay make_replay(const settings *s, const loads *table)
{
    replay r;
    memset(&r, 0, sizeof r);
    r.weight              = table->weight;
    r.problem             = make_problem(s, table);
    r.problem.num_samples = s->window;
    r.num_plans           = table->num_samples / s->window - 1;
    if (r.num_plans < 1)
        fail(STATUS_INPUT, "--window %d needs %lld samples, to plan on and to score on; the file has %d",
             (int)s->window, 2 * (long long)s->window, (int)table->num_samples);
    int32_t most_known = r.num_plans * s->window;
    r.history          = s->history ? s->history : s->window;
    r.history          = r.history < most_known ? r.history : most_known;
    r.num_series       = 1 + s->num_presets;
    r.name[0]          = "in order";
    r.options[0]       = make_options(s, EPLB_PRESET_DEEPSEEK);
    r.scoring          = r.options[0];
    r.scoring.policy   = EPLB_POLICY_GLOBAL;
    need_scratch(&r, &r.options[0]);
    need_scratch(&r, &r.scoring);
    for (int32_t series = 1; series < r.num_series; series++) {
        r.name[series]    = eplb_preset_name(s->preset[series - 1]);
        r.options[series] = make_options(s, s->preset[series - 1]);
        need_scratch(&r, &r.options[series]);
    }

    /* eplb_scratch_size has found that L * R fits. */
    size_t L = (size_t)table->num_layers, R = (size_t)s->replicas, n = (size_t)r.num_plans;
    r.sample_weight = make_sample_weight(s, r.history);
    r.in_order      = (int32_t *)allocate(L * R, sizeof(int32_t));
    r.phy2log       = (int32_t *)allocate(L * R, sizeof(int32_t));
    r.trial         = (trial *)allocate(n * (size_t)r.num_series, sizeof(trial));
    r.bound         = (double *)allocate(n, sizeof(double));
    r.report        = (eplb_layer_report *)allocate(L, sizeof(eplb_layer_report));
    r.scratch       = allocate(r.scratch_bytes, 1);
    for (size_t layer = 0; layer < L; layer++)
        plan_in_order(r.in_order + layer * R, s->replicas, table->num_experts);
    return r;
}

void free_replay(replay *r)
{
    free(r->sample_weight);
    free(r->in_order);
    free(r->phy2log);
    free(r->trial);
    free(r->bound);
    free(r->report);
    free(r->scratch);
}

static const float *replay_sample(const replay *r, int32_t sample)
{
    return r->weight + (size_t)sample * (size_t)r->problem.num_layers * (size_t)r->problem.num_experts;
}

/* How even a plan is on window i. Also sets *bound, unless NULL, to the least score.most possible under
   these options, which the score itself does not depend on. */
static score score_plan(const replay *r, const eplb_options *options, int32_t i, int32_t *phy2log,
                        double *bound)
{
    const float *weight = replay_sample(r, i * r->problem.num_samples);
    eplb_plan    plan   = {phy2log, NULL, NULL, NULL, 0, NULL};
    score        sum    = {0, 0};
    double       least  = 0;
    check_result(&r->problem, options, weight,
                 eplb_evaluate(&r->problem, options, weight, &plan, r->report, NULL, r->scratch,
                               r->scratch_bytes));
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        sum.mean += (double)r->report[layer].mean_load;
        sum.most += (double)r->report[layer].max_load;
        least += (double)r->report[layer].lower_bound;
    }
    if (bound)
        *bound = least;
    return sum;
}

/* Plans at the end of window i; returns the microseconds that it took. */
static double plan_window(const replay *r, int32_t i, int32_t series)
{
    int32_t      known   = (i + 1) * r->problem.num_samples;
    eplb_problem past    = r->problem;
    eplb_options options = r->options[series];
    eplb_plan    plan    = {r->phy2log, NULL, NULL, NULL, 0, NULL};
    past.num_samples     = known < r->history ? known : r->history;
    const float *weight  = replay_sample(r, known - past.num_samples);
    if (r->sample_weight) /* the last is the newest sample's, however many are known */
        options.sample_weight = r->sample_weight + (r->history - past.num_samples);
    double begun = seconds_now();
    check_result(&past, &options, weight,
                 eplb_rebalance(&past, &options, weight, &plan, r->scratch, r->scratch_bytes));
    return 1e6 * (seconds_now() - begun);
}

void play_trace(replay *r)
{
    for (int32_t i = 0; i < r->num_plans; i++) {
        for (int32_t series = 0; series < r->num_series; series++) {
            trial   *t       = &r->trial[(size_t)i * (size_t)r->num_series + (size_t)series];
            int32_t *phy2log = series > 0 ? r->phy2log : r->in_order;
            if (series > 0)
                t->microseconds = plan_window(r, i, series);
            t->own  = score_plan(r, &r->scoring, i, phy2log, NULL);
            t->next = score_plan(r, &r->scoring, i + 1, phy2log, NULL);
        }
        (void)score_plan(r, &r->options[0], i + 1, r->in_order, &r->bound[i]);
        progress_show("window", (size_t)i + 1, (size_t)r->num_plans);
    }
    progress_clear();
}

const trial *trial_of(const replay *r, int32_t i, int32_t series)
{
    return &r->trial[(size_t)i * (size_t)r->num_series + (size_t)series];
}

/* Loads and bounds are rounded to float32, sums of them may come out above what they cannot exceed. */
static double balancedness_of(double mean, double most)
{
    double part = load_share(mean, most);
    return part > 1 ? 1 : part;
}

double score_balancedness(score s)
{
    return balancedness_of(s.mean, s.most);
}

/* The best balancedness that any plan could have on the next window, were its load constant. */
double replay_next_bound(const replay *r, int32_t i)
{
    return balancedness_of(trial_of(r, i, 0)->next.mean, r->bound[i]);
}

double replay_total_bound(const replay *r)
{
    double mean = 0, bound = 0;
    for (int32_t i = 0; i < r->num_plans; i++) {
        mean += trial_of(r, i, 0)->next.mean;
        bound += r->bound[i];
    }
    return balancedness_of(mean, bound);
}

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* A series' loads summed over its windows, and the median of its times. */
trial total_of_series(const replay *r, int32_t series)
{
    trial   total;
    size_t  n    = (size_t)r->num_plans;
    double *time = (double *)allocate(n, sizeof(double));
    memset(&total, 0, sizeof total);
    for (int32_t i = 0; i < r->num_plans; i++) {
        const trial *t = trial_of(r, i, series);
        total.own.mean += t->own.mean;
        total.own.most += t->own.most;
        total.next.mean += t->next.mean;
        total.next.most += t->next.most;
        time[i] = t->microseconds;
    }
    qsort(time, n, sizeof *time, compare_reals);
    total.microseconds = (time[(n - 1) / 2] + time[n / 2]) / 2;
    free(time);
    return total;
}

/* What the file calls the first sample of the window that plan i was made at the end of. */
long long replay_first_step(const replay *r, const loads *table, int32_t i)
{
    return (long long)table->step[i * r->problem.num_samples];
}
