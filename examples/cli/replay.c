/* replay.c - replaying: a trace is cut into windows of as many samples from its start. At the end of each
   but the last a plan is made from the samples known by then, and scored on the samples of that window, its
   own, and of the next; or only every so often, and else the last one is kept and scored again. Series 0 is the plan
   in force or the experts in order, which stay, the others are the presets asked for.

   Samples without load count for nothing: they are in no history, and a window of nothing else is left out,
   as if the trace went on without it. The trace is read as it is played: samples stay in memory for as long
   as a plan or a score needs them. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t replay_sample_size(const replay *r)
{
    return (size_t)r->problem.num_layers * (size_t)r->problem.num_experts;
}

static float *replay_sample(const replay *r, int32_t held) { return r->sample + (size_t)held * replay_sample_size(r); }

static int32_t *replay_plan(const replay *r, int32_t series)
{
    size_t size = (size_t)r->problem.num_layers * (size_t)r->problem.num_replicas;
    return r->phy2log + (size_t)series * size;
}

/* Raises scratch_bytes to what these options need for windows and for plans; fewer samples need no more. */
static void need_scratch(replay *r, const eplb_options *options)
{
    size_t bytes;
    r->problem.num_samples = r->window > r->history ? r->window : r->history;
    check_result(&r->problem, options, NULL, eplb_scratch_size(&r->problem, options, &bytes));
    r->scratch_bytes = bytes > r->scratch_bytes ? bytes : r->scratch_bytes;
}

/* The same for a plan that starts from another. */
static void need_scratch_from(replay *r, eplb_options options)
{
    options.previous_phy2log = r->before;
    need_scratch(r, &options);
}

/* What each series is called, and planned or bounded by. */
static void take_series(replay *r, const settings *s)
{
    r->name[0] = r->in_force ? "map" : "in order";
    r->options[0] = make_options(s, EPLB_PRESET_DEEPSEEK);
    r->scoring = r->options[0];
    r->scoring.policy = EPLB_POLICY_GLOBAL;
    need_scratch(r, &r->options[0]);
    need_scratch(r, &r->scoring);
    for (int32_t series = 1; series < r->num_series; series++) {
        r->name[series] = eplb_preset_name(s->preset[series - 1]);
        r->options[series] = make_options(s, s->preset[series - 1]);
        take_limits(s, s->preset[series - 1], &r->options[series]);
        need_scratch(r, &r->options[series]);
    }
}

replay make_replay(const settings *s, feed *from, const plan_map *map)
{
    replay r;
    memset(&r, 0, sizeof r);
    r.from = from;
    r.problem = make_problem(s, from);
    r.window = s->window;
    r.num_windows = from->num_samples / s->window;
    if (r.num_windows < 2 && from->num_samples < 2)
        fail(STATUS_INPUT, "replay needs samples in time, to plan on and to score on; the file has one");
    if (r.num_windows < 2)
        fail(STATUS_INPUT,
             "--window %d needs %lld samples, to plan on and to score on; the file has %d, so "
             "that %d is the most",
             (int)s->window, 2 * (long long)s->window, (int)from->num_samples, (int)from->num_samples / 2);
    int32_t most_known = (r.num_windows - 1) * s->window;
    r.history = s->history ? s->history : s->window;
    r.history = r.history < most_known ? r.history : most_known;
    r.num_series = 1 + s->num_presets;
    r.follows = s->from_previous || limit_named(s);
    r.every = s->every;
    for (int shares = 0; shares < NUM_SHARES; shares++) {
        r.shares[shares] = s->shares[shares];
        r.num_shares += s->shares[shares];
    }
    r.in_force = map != NULL;
    take_series(&r, s);

    /* eplb_scratch_size has found that L * R fits, and L * E times the history or the window. */
    size_t L = (size_t)from->num_layers, R = (size_t)s->replicas, n = (size_t)r.num_windows - 1;
    size_t held = (size_t)r.history + (size_t)r.window;
    size_t bytes = replay_sample_size(&r) * sizeof(float);
    r.sample = (float *)allocate(held, bytes);
    r.phy2log = (int32_t *)allocate((size_t)r.num_series, L * R * sizeof(int32_t));
    r.before = (int32_t *)allocate(L, R * sizeof(int32_t));
    for (int32_t series = 1; series < r.num_series && r.follows; series++) need_scratch_from(&r, r.options[series]);
    r.trial = (trial *)allocate(n, (size_t)r.num_series * sizeof(trial));
    r.plan_window = (int32_t *)allocate(n, sizeof(int32_t));
    r.age = (int32_t *)allocate(n, sizeof(int32_t));
    r.bound = (double *)allocate(n, sizeof(double));
    r.report = (eplb_layer_report *)allocate(L, sizeof(eplb_layer_report));
    r.scratch = allocate(r.scratch_bytes, 1);
    r.ways = make_share_ways(s, &r.problem, &r.scoring);
    for (size_t layer = 0; layer < L && !map; layer++) plan_in_order(&r.problem, replay_plan(&r, 0) + layer * R);
    for (size_t layer = 0; layer < L && map; layer++)
        memcpy(replay_plan(&r, 0) + layer * R,
               map_whole_slots_of(map, from->layer, from->num_layers, (int32_t)layer, &r.problem), R * sizeof(int32_t));
    if (s->half_life > 0) {
        r.sample_weight = (float *)allocate((size_t)r.history, sizeof(float));
        for (int32_t t = 0; t < r.history; t++) r.sample_weight[t] = weight_of_age(s, r.history - 1 - t);
    }
    return r;
}

void free_replay(replay *r)
{
    free(r->sample_weight);
    free(r->sample);
    free(r->phy2log);
    free(r->before);
    free(r->trial);
    free(r->plan_window);
    free(r->age);
    free(r->bound);
    free(r->report);
    free(r->scratch);
    free_share_ways(&r->ways);
}

/* Reads window i to behind the last samples that a plan may need. Sets num_own to its samples with load, and
   returns whether there are any. */
static bool read_window(replay *r, int32_t i)
{
    size_t count = replay_sample_size(r);
    int32_t kept = r->num_held < r->history ? r->num_held : r->history;
    memmove(r->sample, replay_sample(r, r->num_held - kept), (size_t)kept * count * sizeof(float));
    r->num_held = kept;
    for (int32_t t = 0; t < r->window; t++) {
        feed_read(r->from, i * r->window + t, replay_sample(r, r->num_held));
        r->num_held += holds_load(replay_sample(r, r->num_held), count);
    }
    r->num_own = r->num_held - kept;
    return r->num_own > 0;
}

/* The load of the heaviest GPUs under other shares than equal ones, on the window at hand; no less than the mean. */
static double shared_most(replay *r, int way, int32_t series)
{
    const float *load = replay_sample(r, r->num_held - r->num_own);
    double sum = 0;
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        const int32_t *phy2log = replay_plan(r, series) + (size_t)layer * (size_t)r->problem.num_replicas;
        double mean = (double)r->report[layer].mean_load;
        double most = share_layer(&r->ways, way, phy2log, load + (size_t)layer * (size_t)r->problem.num_experts,
                                  replay_sample_size(r), r->num_own);
        sum += most < mean ? mean : most;
    }
    return sum;
}

/* How even a plan is on the window at hand. Also sets *bound, unless NULL, to the least score.most possible
   under these options, which the score itself does not depend on. */
static score score_plan(const replay *r, const eplb_options *options, int32_t series, double *bound)
{
    eplb_problem problem = r->problem;
    const float *weight = replay_sample(r, r->num_held - r->num_own);
    eplb_plan plan = {replay_plan(r, series), NULL, NULL, NULL, 0, NULL};
    score sum = {0, 0};
    double least = 0;
    problem.num_samples = r->num_own;
    check_result(&problem, options, weight,
                 eplb_evaluate(&problem, options, weight, &plan, r->report, NULL, r->scratch, r->scratch_bytes));
    for (int32_t layer = 0; layer < problem.num_layers; layer++) {
        sum.mean += (double)r->report[layer].mean_load;
        sum.most += (double)r->report[layer].max_load;
        least += (double)r->report[layer].lower_bound;
    }
    if (bound) *bound = least;
    return sum;
}

static int32_t *copy_plan(const int32_t *phy2log, size_t slots)
{
    int32_t *copy = (int32_t *)allocate(slots, sizeof *copy);
    memcpy(copy, phy2log, slots * sizeof *copy);
    return copy;
}

/* Sets moves and changed of a plan by the one before. */
static void count_moves(const replay *r, int32_t series, trial *t)
{
    eplb_problem q = r->problem;
    size_t slots = (size_t)q.num_layers * (size_t)q.num_replicas;
    two_plans plans;
    eplb_transfer_options any = EPLB_ZERO_INIT; /* as many moves whatever sends them */
    memset(&plans, 0, sizeof plans);
    q.num_samples = 1;
    plans.problem = q;
    plans.before = copy_plan(r->before, slots);
    plans.after = copy_plan(replay_plan(r, series), slots);
    moving m = moving_between(plans, &any, false);
    int64_t moves = 0, changed = 0;
    for (size_t i = 0; i < m.num; i++) moves += is_move(&m.transfer[i]);
    for (size_t i = 0; i < slots; i++) changed += plans.before[i] != plans.after[i];
    t->moves = (double)moves / q.num_layers;
    t->changed = (double)changed / (double)slots;
    free_moving(&m);
}

/* Plans from what is known by now; returns the microseconds that it took. */
static double plan_window(const replay *r, int32_t series, const int32_t *previous)
{
    eplb_problem past = r->problem;
    eplb_options options = r->options[series];
    eplb_plan plan = {replay_plan(r, series), NULL, NULL, NULL, 0, NULL};
    options.previous_phy2log = previous;
    past.num_samples = r->num_held < r->history ? r->num_held : r->history;
    const float *weight = replay_sample(r, r->num_held - past.num_samples);
    if (r->sample_weight) /* the last is the newest sample's, however many are known */
        options.sample_weight = r->sample_weight + (r->history - past.num_samples);
    double begun = seconds_now();
    check_result(&past, &options, weight, eplb_rebalance(&past, &options, weight, &plan, r->scratch, r->scratch_bytes));
    return 1e6 * (seconds_now() - begun);
}

/* The same under each of the shares asked for. */
static void score_shares(replay *r, int32_t series, score *scores)
{
    scores[SHARES_EQUAL] = score_plan(r, &r->scoring, series, NULL);
    for (int way = SHARES_EQUAL + 1; way < NUM_SHARES; way++) {
        scores[way] = scores[SHARES_EQUAL]; /* the mean is the loads' alone */
        if (r->shares[way]) scores[way].most = shared_most(r, way, series);
    }
}

static trial *trial_at(const replay *r, int32_t i, int32_t series)
{
    return &r->trial[(size_t)i * (size_t)r->num_series + (size_t)series];
}

/* The plans made before, on the window at hand. */
static void score_next(replay *r, int32_t i)
{
    for (int32_t series = 0; series < r->num_series; series++) score_shares(r, series, trial_at(r, i, series)->next);
    (void)score_plan(r, &r->options[0], 0, &r->bound[i]);
}

/* Plan i of a series, which starts from the one before if there is one and that is asked for. */
static void make_trial(replay *r, int32_t i, int32_t series)
{
    trial *t = trial_at(r, i, series);
    bool follows = r->follows && i > 0;
    if (follows)
        memcpy(r->before, replay_plan(r, series),
               (size_t)r->problem.num_layers * (size_t)r->problem.num_replicas * sizeof(int32_t));
    t->microseconds = plan_window(r, series, follows ? r->before : NULL);
    if (follows) count_moves(r, series, t);
    else t->changed = (double)NAN;
}

static void make_plans(replay *r, int32_t i, int32_t window)
{
    r->plan_window[i] = window;
    r->age[i] = r->every > 0 ? i % r->every : i;
    for (int32_t series = 0; series < r->num_series; series++) {
        if (series > 0 && r->age[i] == 0) make_trial(r, i, series);
        score_shares(r, series, trial_at(r, i, series)->own);
    }
}

/* Plans that no window with load comes after do not count. */
void play_trace(replay *r)
{
    int32_t made = 0;
    for (int32_t i = 0; i < r->num_windows; i++) {
        if (!read_window(r, i)) {
            r->num_idle++;
            continue;
        }
        if (made > 0) score_next(r, made - 1);
        r->num_plans = made;
        if (i < r->num_windows - 1) make_plans(r, made++, i);
        progress_show("window", (size_t)i + 1, (size_t)r->num_windows);
    }
    progress_clear();
    if (r->num_plans < 1)
        fail(STATUS_INPUT, "of the %d windows %s holds load, but one is needed to plan on and one to score on",
             (int)r->num_windows, r->num_idle < r->num_windows ? "only one" : "none");
}

const trial *trial_of(const replay *r, int32_t i, int32_t series) { return trial_at(r, i, series); }

/* No more than 1: of each layer the mean is no more than the largest load or the bound, and so of sums. */
double score_balancedness(score s) { return load_share(s.mean, s.most); }

/* The best balancedness that any plan could have on the next window, were its load constant. */
double replay_next_bound(const replay *r, int32_t i)
{
    return load_share(trial_of(r, i, 0)->next[SHARES_EQUAL].mean, r->bound[i]);
}

double replay_total_bound(const replay *r)
{
    double mean = 0, bound = 0;
    for (int32_t i = 0; i < r->num_plans; i++) {
        mean += trial_of(r, i, 0)->next[SHARES_EQUAL].mean;
        bound += r->bound[i];
    }
    return load_share(mean, bound);
}

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void add_score(score *to, const score *more)
{
    for (int shares = 0; shares < NUM_SHARES; shares++) {
        to[shares].mean += more[shares].mean;
        to[shares].most += more[shares].most;
    }
}

/* A series' loads summed over its windows, the median of its times, and the mean of what its plans moved. */
trial total_of_series(const replay *r, int32_t series)
{
    trial total;
    size_t n = 0; /* plans made */
    double *time = (double *)allocate((size_t)r->num_plans, sizeof(double));
    memset(&total, 0, sizeof total);
    for (int32_t i = 0; i < r->num_plans; i++) {
        const trial *t = trial_of(r, i, series);
        add_score(total.own, t->own);
        add_score(total.next, t->next);
        if (r->age[i] == 0) time[n++] = t->microseconds;
        if (r->age[i] == 0 && i > 0) {
            total.moves += t->moves;
            total.changed += t->changed;
        }
    }
    total.moves /= (double)n - 1; /* the first starts from none */
    total.changed /= (double)n - 1;
    qsort(time, n, sizeof *time, compare_reals);
    total.microseconds = (time[(n - 1) / 2] + time[n / 2]) / 2;
    free(time);
    return total;
}

/* ------------------------------------------------------------------------------ lines and points */

int32_t replay_num_lines(const replay *r) { return r->num_series * r->num_shares; }

int32_t line_series(const replay *r, int32_t line) { return line / r->num_shares; }

int32_t line_shares(const replay *r, int32_t line)
{
    int32_t left = line % r->num_shares, way = 0;
    while (!r->shares[way] || left-- > 0) way++;
    return way;
}

bool line_is_first(const replay *r, int32_t line) { return line % r->num_shares == 0; }

int32_t replay_num_points(const replay *r)
{
    return r->every > 0 && r->every != 1 && r->every < r->num_plans ? r->every : r->num_plans;
}

double replay_point(const replay *r, int32_t line, int32_t point)
{
    bool bound = line == replay_num_lines(r);
    score sum = {0, 0};
    for (int32_t i = 0; i < r->num_plans; i++) {
        const score *next = trial_of(r, i, bound ? 0 : line_series(r, line))->next;
        if (r->every == 1 ? i != point : r->age[i] != point) continue;
        sum.mean += next[SHARES_EQUAL].mean;
        sum.most += bound ? r->bound[i] : next[line_shares(r, line)].most;
    }
    return score_balancedness(sum);
}

double replay_line_total(const replay *r, int32_t line)
{
    if (line == replay_num_lines(r)) return replay_total_bound(r);
    return score_balancedness(total_of_series(r, line_series(r, line)).next[line_shares(r, line)]);
}

double replay_changed(const replay *r, int32_t line, int32_t point)
{
    return trial_of(r, point, line_series(r, line))->changed;
}

/* What the file calls the first sample of the window that plan i was made at the end of. */
long long replay_first_step(const replay *r, int32_t i)
{
    int32_t sample = r->plan_window[i] * r->window;
    return (long long)r->from->step[sample];
}
