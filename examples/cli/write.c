/* write.c - the files that the program writes: plans, scores, transfers and checks as JSON and CSV, replays as CSV,
   and the pictures. All appear whole or not at all. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------------- plans */

static void write_list(FILE *out, const int32_t *value, int32_t count)
{
    for (int32_t i = 0; i < count; i++) fprintf(out, "%s%d", i ? "," : "[", (int)value[i]);
    fprintf(out, "]");
}

/* JSON has no infinity: sums of the very largest loads are null. */
static void write_real(FILE *out, const char *key, float value)
{
    if (isfinite(value)) fprintf(out, ",\"%s\":%.9g", key, (double)value);
    else fprintf(out, ",\"%s\":null", key);
}

/* The slots of each expert by rank. They are gathered in one array, an expert's from list_start on. */
static void write_log2phy(FILE *out, const planning *p, const int32_t *phy2log, const int32_t *phyrank,
                          const int32_t *logcnt)
{
    int32_t start = 0;
    for (int32_t e = 0; e < p->problem.num_experts; e++) {
        p->list_start[e] = start;
        start += logcnt[e];
    }
    for (int32_t i = 0; i < p->problem.num_replicas; i++) {
        if (phy2log[i] >= 0) p->list[p->list_start[phy2log[i]] + phyrank[i]] = i;
    }
    for (int32_t e = 0; e < p->problem.num_experts; e++) {
        fprintf(out, "%s", e ? "," : "[");
        write_list(out, p->list + p->list_start[e], logcnt[e]);
    }
    fprintf(out, "]");
}

/* A member where there are any, which is seldom. */
static void write_split_groups(FILE *out, long long num)
{
    if (num > 0) fprintf(out, ",\"split_groups\":%lld", num);
}

static void write_json_layer(FILE *out, const planning *p, int32_t i)
{
    const eplb_problem *q = &p->problem;
    const layer_result *r = &p->result[i];
    size_t layer = (size_t)(p->first_layer + i);
    const int32_t *phy2log = p->plan.phy2log + layer * (size_t)q->num_replicas;
    const int32_t *phyrank = p->plan.phyrank + layer * (size_t)q->num_replicas;
    const int32_t *logcnt = p->plan.logcnt + layer * (size_t)q->num_experts;
    fprintf(out, "{\"layer\":%lld", (long long)p->layer[i]);
    write_real(out, "balancedness_before", r->before.balancedness);
    write_real(out, "balancedness", r->after.balancedness);
    write_real(out, "max_load", r->after.max_load);
    write_real(out, "mean_load", r->after.mean_load);
    write_real(out, "lower_bound", r->after.lower_bound);
    fprintf(out, ",\"duplicates\":%d", (int)r->after.num_duplicates);
    write_split_groups(out, r->after.num_split_groups);
    if (p->previous)
        fprintf(out, ",\"empty\":%d,\"changed\":%d,\"moves\":%d", (int)r->num_empty, (int)r->changed, (int)r->moves);
    fprintf(out, ",\"phy2log\":");
    write_list(out, phy2log, q->num_replicas);
    fprintf(out, ",\"phyrank\":");
    write_list(out, phyrank, q->num_replicas);
    fprintf(out, ",\"logcnt\":");
    write_list(out, logcnt, q->num_experts);
    fprintf(out, ",\"log2phy\":");
    write_log2phy(out, p, phy2log, phyrank, logcnt);
    fprintf(out, "}");
}

/* A member with a number for each GPU, where there are any. */
static void write_of_gpus(FILE *out, const char *name, const int32_t *number, int32_t gpus)
{
    if (!number) return;
    fprintf(out, ",\"%s\":[", name);
    for (int32_t g = 0; g < gpus; g++) fprintf(out, "%s%d", g ? "," : "", (int)number[g]);
    fprintf(out, "]");
}

static void write_problem(FILE *out, const eplb_problem *q)
{
    fprintf(out, "\"problem\":{\"num_layers\":%d,\"num_experts\":%d,\"num_replicas\":%d,\"num_groups\":%d,",
            (int)q->num_layers, (int)q->num_experts, (int)q->num_replicas, (int)q->num_groups);
    fprintf(out, "\"num_nodes\":%d,\"num_gpus\":%d,\"num_samples\":%d", (int)q->num_nodes, (int)q->num_gpus,
            (int)q->num_samples);
    write_of_gpus(out, "gpu_slots", q->gpu_slots, q->num_gpus);
    write_of_gpus(out, "gpu_node", q->gpu_node, q->num_gpus);
    for (int32_t g = 0; q->gpu_speed && g < q->num_gpus; g++)
        fprintf(out, "%s%.9g%s", g ? "," : ",\"gpu_speed\":[", (double)q->gpu_speed[g], g + 1 < q->num_gpus ? "" : "]");
    if (q->survive) fprintf(out, ",\"survive\":\"%s\"", q->survive == EPLB_SURVIVE_GPU ? "gpu" : "node");
    fprintf(out, "},\n");
}

/* What the plan started from, and what it could move. */
static void write_previous(FILE *out, const planning *p, const settings *s)
{
    fprintf(out, "\"previous\":\"%s\",\"limits\":{", p->previous_name.text);
    for (int i = 0; i < NUM_LIMITS; i++) fprintf(out, "\"%s\":%d,", LIMITS[i].key, (int)s->limits.most[i]);
    fprintf(out, "\"move_cost\":%.9g},\n", (double)s->limits.cost);
}

/* A layer stands on one line, so that plans can be compared with diff. */
static void write_json(FILE *out, const planning *p, const settings *s)
{
    const eplb_problem *q = &p->problem;
    const char *mark = p->options.seed > UINT64_C(1) << 53 ? "\"" : ""; /* JSON numbers are doubles */
    fprintf(out, "{\"format\":\"eplb-plan\",\"version\":1,\"library\":\"%s\",\"plan_version\":%d,\n",
            EPLB_VERSION_STRING, EPLB_PLAN_VERSION);
    write_problem(out, q);
    fprintf(out, "\"options\":{\"preset\":\"%s\",\"policy\":\"%s\",\"max_replicas\":%d,",
            eplb_preset_name(s->preset[0]), policy_used(q, p->options.policy), (int)p->options.max_replicas);
    fprintf(out, "\"effort\":%d,\"half_life\":%.17g,\"seed\":%s%llu%s},\n", (int)p->options.effort, s->half_life, mark,
            (unsigned long long)p->options.seed, mark);
    if (p->previous) write_previous(out, p, s);
    fprintf(out, "\"before\":\"%s\",\n\"layers\":[\n", p->name.text);
    for (int32_t i = 0; i < p->num_layers; i++) {
        write_json_layer(out, p, i);
        fprintf(out, "%s\n", i + 1 < p->num_layers ? "," : "");
    }
    fprintf(out, "]}\n");
}

/* Where experts come over a link, [L, R]; to be freed. */
static bool *mark_moves(const moving *m)
{
    size_t R = (size_t)m->plans.problem.num_replicas;
    bool *moved = (bool *)allocate((size_t)m->plans.problem.num_layers * R, sizeof(bool));
    for (size_t i = 0; i < m->num; i++)
        moved[(size_t)m->transfer[i].layer * R + (size_t)m->transfer[i].to_slot] = is_move(&m->transfer[i]);
    return moved;
}

static void write_csv(FILE *out, const planning *p)
{
    int32_t R = p->problem.num_replicas, slots_per_gpu = R / p->problem.num_gpus;
    int32_t gpus_per_node = p->problem.num_gpus / p->problem.num_nodes;
    const two_plans *plans = &p->moving.plans;
    bool *moved = p->previous ? mark_moves(&p->moving) : NULL;
    fprintf(out, "layer,slot,node,gpu,expert,replica%s\n", p->previous ? ",changed,moved" : "");
    for (int32_t i = 0; i < p->num_layers; i++) {
        for (int32_t slot = 0; slot < R; slot++) {
            size_t at = (size_t)(p->first_layer + i) * (size_t)R + (size_t)slot;
            int32_t gpu = slot / slots_per_gpu;
            fprintf(out, "%lld,%d,%d,%d,%d,%d", (long long)p->layer[i], (int)slot, (int)(gpu / gpus_per_node), (int)gpu,
                    (int)p->plan.phy2log[at], (int)p->plan.phyrank[at]);
            size_t own = (size_t)i * (size_t)R + (size_t)slot;
            if (p->previous) fprintf(out, ",%d,%d", plans->before[own] != plans->after[own], moved[own]);
            fprintf(out, "\n");
        }
    }
    free(moved);
}

/* ------------------------------------------------------------------------------------- scores */

static double shared_balancedness(const planning *p, int way, int32_t first, int32_t end)
{
    plan_totals t = total_of_plan(p, first, end);
    return load_share(t.mean, t.most[way]);
}

/* Under the shares asked for, beside equal ones. */
static void write_shared(FILE *out, const planning *p, int32_t first, int32_t end)
{
    if (p->shares[SHARES_EXACT])
        write_real(out, "exact_balancedness", (float)shared_balancedness(p, SHARES_EXACT, first, end));
    if (p->shares[SHARES_ROWS])
        write_real(out, "vllm_balancedness", (float)shared_balancedness(p, SHARES_ROWS, first, end));
}

/* "engines":{"vllm":{"equal":..,..},..}, those asked for. */
static void write_balances(FILE *out, const planning *p)
{
    const char *before = "\"engines\":{";
    for (int b = 0; b < NUM_BALANCES; b++) {
        if (!p->balances[b]) continue;
        fprintf(out, "%s\"%s\":{\"equal\":%.9g", before, BALANCE_NAMES[b], p->balance[b][SHARES_EQUAL]);
        for (int way = SHARES_EQUAL + 1; way < NUM_SHARES; way++) {
            if (p->shares[way]) write_real(out, SHARE_NAMES[way], (float)p->balance[b][way]);
        }
        fprintf(out, "}");
        before = ",";
    }
    fprintf(out, "%s", *before == ',' ? "},\n" : "");
}

static void write_score_json(FILE *out, const planning *p)
{
    plan_totals all = total_of_plan(p, 0, p->num_layers);
    fprintf(out, "{\"format\":\"eplb-score\",\"version\":1,\"library\":\"%s\",\n", EPLB_VERSION_STRING);
    write_problem(out, &p->problem);
    fprintf(out, "\"options\":{\"policy\":\"%s\",\"max_replicas\":%d},\n", policy_used(&p->problem, p->options.policy),
            (int)p->options.max_replicas);
    write_balances(out, p);
    fprintf(out, "\"plan\":\"%s\",\n\"layers\":[\n", p->name.text);
    for (int32_t i = 0; i < p->num_layers; i++) {
        const eplb_layer_report *r = &p->result[i].after;
        fprintf(out, "{\"layer\":%lld", (long long)p->layer[i]);
        write_real(out, "balancedness", r->balancedness);
        write_shared(out, p, i, i + 1);
        write_real(out, "max_load", r->max_load);
        write_real(out, "mean_load", r->mean_load);
        write_real(out, "lower_bound", r->lower_bound);
        write_split_groups(out, r->num_split_groups);
        fprintf(out, ",\"max_replicas\":%d,\"duplicates\":%d,\"empty\":%d}%s\n", (int)r->max_logcnt,
                (int)r->num_duplicates, (int)p->result[i].num_empty, i + 1 < p->num_layers ? "," : "");
    }
    fprintf(out, "],\n\"total\":{\"layers\":%d", (int)p->num_layers);
    write_real(out, "balancedness", (float)load_share(all.mean, all.after));
    write_shared(out, p, 0, p->num_layers);
    write_real(out, "bound", (float)load_share(all.mean, all.bound));
    write_split_groups(out, all.split_groups);
    fprintf(out, ",\"max_replicas\":%d,\"duplicates\":%lld,\"empty\":%lld}}\n", (int)all.max_replicas, all.duplicates,
            all.empty);
}

static void write_score_csv(FILE *out, const planning *p)
{
    fprintf(out, "layer,balancedness,%s%sbound,max_load,mean_load,lower_bound,max_replicas,duplicates,empty\n",
            p->shares[SHARES_EXACT] ? "exact_balancedness," : "", p->shares[SHARES_ROWS] ? "vllm_balancedness," : "");
    for (int32_t i = 0; i < p->num_layers; i++) {
        const eplb_layer_report *r = &p->result[i].after;
        fprintf(out, "%lld,%.9g,", (long long)p->layer[i], (double)r->balancedness);
        for (int way = SHARES_EQUAL + 1; way < NUM_SHARES; way++) {
            if (p->shares[way]) fprintf(out, "%.9g,", shared_balancedness(p, way, i, i + 1));
        }
        fprintf(out, "%.9g,%.9g,%.9g,%.9g,%d,%d,%d\n", load_share((double)r->mean_load, (double)r->lower_bound),
                (double)r->max_load, (double)r->mean_load, (double)r->lower_bound, (int)r->max_logcnt,
                (int)r->num_duplicates, (int)p->result[i].num_empty);
    }
}

/* ------------------------------------------------------------------------------------ replays */

/* A row a plan: of each series at the end of each window but the last. */
static void write_replay_csv(FILE *out, const replay *r)
{
    fprintf(out, "window,first_step,%spreset,%s%s%sbound,%smicroseconds\n", r->every != 1 ? "age," : "",
            r->shares[SHARES_EQUAL] ? "own,next," : "", r->shares[SHARES_EXACT] ? "exact_own,exact_next," : "",
            r->shares[SHARES_ROWS] ? "vllm_own,vllm_next," : "", r->follows ? "moves,changed_share," : "");
    for (int32_t i = 0; i < r->num_plans; i++) {
        for (int32_t series = 0; series < r->num_series; series++) {
            const trial *t = trial_of(r, i, series);
            fprintf(out, "%d,%lld,", (int)r->plan_window[i], replay_first_step(r, i));
            if (r->every != 1) fprintf(out, "%d,", (int)r->age[i]);
            fprintf(out, "%s,", r->name[series]);
            for (int shares = 0; shares < NUM_SHARES; shares++) {
                if (r->shares[shares])
                    fprintf(out, "%.9g,%.9g,", score_balancedness(t->own[shares]), score_balancedness(t->next[shares]));
            }
            fprintf(out, "%.9g,", replay_next_bound(r, i));
            if (r->follows && isnan(t->changed)) fprintf(out, ",,");
            else if (r->follows) fprintf(out, "%.9g,%.9g,", t->moves, t->changed);
            fprintf(out, "%.1f\n", t->microseconds);
        }
    }
}

/* -------------------------------------------------------------------------------------- moves */

static void write_transfer(FILE *out, const eplb_transfer *t)
{
    fprintf(out, "{\"expert\":%d,\"from_slot\":%d,\"to_slot\":%d,\"kind\":\"%s\",\"round\":%d}", (int)t->expert,
            (int)t->from_slot, (int)t->to_slot, transfer_kind_name(t->kind), (int)t->round);
}

/* A layer stands on one line, as in a plan. */
static void write_moves_json(FILE *out, const moving *m, const settings *s)
{
    size_t next = 0;
    fprintf(out, "{\"format\":\"eplb-transfers\",\"version\":1,\"library\":\"%s\",\n", EPLB_VERSION_STRING);
    write_problem(out, &m->plans.problem);
    fprintf(out, "\"options\":{\"sources\":\"%s\",\"rounds\":\"%s\",\"max_per_round\":%d,\"in_place\":%s},\n",
            SOURCE_NAMES[s->how.sources], ROUND_NAMES[s->how.rounds], (int)s->how.max_per_round,
            s->in_place ? "true" : "false");
    fprintf(out, "\"before\":\"%s\",\"after\":\"%s\",\n\"layers\":[\n", m->plans.before_name.text,
            m->plans.after_name.text);
    for (int32_t i = 0; i < m->plans.problem.num_layers; i++) {
        move_totals t = total_of_moves(m, i);
        fprintf(out, "{\"layer\":%lld,\"rounds\":%d,", (long long)m->plans.layer[i], (int)t.rounds);
        if (s->in_place) fprintf(out, "\"staging\":%d,", (int)t.num_staging);
        fprintf(out, "\"transfers\":[");
        for (size_t first = next; next < m->num && m->transfer[next].layer == i; next++) {
            fprintf(out, "%s", next > first ? "," : "");
            write_transfer(out, &m->transfer[next]);
        }
        fprintf(out, "]}%s\n", i + 1 < m->plans.problem.num_layers ? "," : "");
    }
    fprintf(out, "]}\n");
}

static void write_moves_csv(FILE *out, const moving *m)
{
    fprintf(out, "layer,round,expert,from_slot,to_slot,from_gpu,to_gpu,kind\n");
    for (size_t i = 0; i < m->num; i++) {
        const eplb_transfer *t = &m->transfer[i];
        fprintf(out, "%lld,%d,%d,%d,%d,%d,%d,%s\n", (long long)m->plans.layer[t->layer], (int)t->round, (int)t->expert,
                (int)t->from_slot, (int)t->to_slot,
                t->from_slot < 0 ? -1 : (int)gpu_of_slot(&m->plans.problem, t->from_slot),
                (int)gpu_of_slot(&m->plans.problem, t->to_slot), transfer_kind_name(t->kind));
    }
}

/* What does not apply is null. */
static void write_field(FILE *out, const char *key, long long value)
{
    if (value < 0) fprintf(out, ",\"%s\":null", key);
    else fprintf(out, ",\"%s\":%lld", key, value);
}

static long long fault_layer(const checking *c)
{
    return c->fault.layer < 0 ? -1 : (long long)c->plans.layer[c->fault.layer];
}

static void write_check_json(FILE *out, const checking *c)
{
    const eplb_plan_fault *f = &c->fault;
    fprintf(out, "{\"format\":\"eplb-check\",\"version\":1,\"library\":\"%s\",\n", EPLB_VERSION_STRING);
    write_problem(out, &c->plans.problem);
    fprintf(out, "\"plan\":\"%s\",\"previous\":", c->plans.after_name.text);
    if (c->plans.before) fprintf(out, "\"%s\",\n", c->plans.before_name.text);
    else fprintf(out, "null,\n");
    fprintf(out, "\"reason\":\"%s\"", eplb_fault_name(f->reason));
    write_field(out, "layer", fault_layer(c));
    write_field(out, "slot", f->slot);
    fprintf(out, ",\"expert\":%d", (int)f->expert); /* -1: none, or an id that no expert has */
    write_field(out, "other", f->other);
    write_field(out, "count", f->count);
    write_field(out, "allowed", f->allowed);
    fprintf(out, "}\n");
}

static void write_check_csv(FILE *out, const checking *c)
{
    const eplb_plan_fault *f = &c->fault;
    fprintf(out, "reason,layer,slot,expert,other,count,allowed\n%s,%lld,%d,%d,%d,%d,%d\n", eplb_fault_name(f->reason),
            fault_layer(c), (int)f->slot, (int)f->expert, (int)f->other, (int)f->count, (int)f->allowed);
}

/* ------------------------------------------------------------------------------- output files */

typedef struct output { /* a file that appears whole or not at all */
    const char *path;   /* as given; NULL: not wanted */
    FILE *file;         /* NULL when not open */
    char *target;       /* path with links followed */
    char *temporary;    /* beside target, takes its name in the end; NULL when written in place */
    int error;          /* errno of what failed first, 0 = nothing */
} output;

bool to_stdout(const char *path) { return path && strcmp(path, "-") == 0; }

bool any_to_stdout(const settings *s)
{
    bool any = to_stdout(s->json) || to_stdout(s->csv) || to_stdout(s->svg) || to_stdout(s->transfers_json)
               || to_stdout(s->transfers_csv);
    for (int i = 0; i < s->num_writes; i++) any = any || to_stdout(s->write[i].path);
    return any;
}

static bool output_failed(output *o)
{
    o->error = errno ? errno : EIO;
    return false;
}

/* Opens a file beside the target, which takes its name in the end; the mode is the target's where there is one. */
static int open_beside(output *o, const struct stat *there)
{
    size_t room = strlen(o->target) + 32;
    char *temporary = (char *)malloc(room);
    if (!temporary) return -1;
    snprintf(temporary, room, "%s.%ld.tmp", o->target, (long)getpid());
    int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file < 0) {
        free(temporary);
        return -1;
    }
    o->temporary = temporary; /* ours from here on, to rename or remove */
    if (there) (void)fchmod(file, there->st_mode & 07777);
    return file;
}

/* What is there already and no regular file, such as a pipe or /dev/null, is written in place. */
static bool output_open(output *o)
{
    struct stat about;
    if (!o->path || to_stdout(o->path)) {
        o->file = o->path ? stdout : NULL;
        return true;
    }
    o->target = realpath(o->path, NULL);
    bool exists = o->target && stat(o->target, &about) == 0;
    if (!o->target && !(o->target = strdup(o->path))) return output_failed(o);
    if (exists && access(o->target, W_OK) != 0) return output_failed(o);
    int file = exists && !S_ISREG(about.st_mode) ? open(o->target, O_WRONLY) : open_beside(o, exists ? &about : NULL);
    if (file < 0) return output_failed(o);
    if (!(o->file = fdopen(file, "wb"))) {
        (void)output_failed(o);
        close(file);
        return false;
    }
    return true;
}

static bool output_close(output *o)
{
    if (!o->file || o->file == stdout) /* main flushes standard output */
        return true;
    bool written = fflush(o->file) == 0 && !ferror(o->file);
    if (!written) (void)output_failed(o);
    bool closed = fclose(o->file) == 0;
    o->file = NULL;
    return written && (closed || output_failed(o));
}

static bool output_commit(output *o)
{
    if (o->temporary && rename(o->temporary, o->target) != 0) return output_failed(o);
    free(o->temporary);
    o->temporary = NULL;
    return true;
}

static void output_discard(output *o)
{
    (void)output_close(o);
    if (o->temporary) unlink(o->temporary);
    free(o->temporary);
    free(o->target);
}

static bool outputs_open(output *o, int count)
{
    for (int i = 0; i < count; i++) {
        if (!output_open(&o[i])) return false;
    }
    return true;
}

/* All files are complete beside their targets before the first of them takes its name. Ends the
   program when one could not be opened or written. */
static void outputs_close(output *o, int count, bool ok)
{
    for (int i = 0; i < count && ok; i++) ok = output_close(&o[i]);
    for (int i = 0; i < count && ok; i++) ok = output_commit(&o[i]);
    int wrong = 0;
    while (wrong < count - 1 && !o[wrong].error) wrong++;
    output failed = o[wrong];
    for (int i = 0; i < count; i++) output_discard(&o[i]);
    if (!ok) fail(STATUS_OUTPUT, "%s: %s", failed.path, strerror(failed.error));
}

/* A plan of some layers, as one that was read. */
static plan_map map_of_planning(const planning *p)
{
    plan_map m;
    memset(&m, 0, sizeof m);
    m.name = "the plan";
    m.num_layers = p->num_layers;
    m.num_replicas = p->problem.num_replicas;
    m.num_experts = p->problem.num_experts;
    m.num_gpus = p->problem.num_gpus;
    m.num_steps = 1;
    m.layer = (int64_t *)allocate((size_t)p->num_layers, sizeof *m.layer);
    m.phy2log = (int32_t *)allocate((size_t)p->num_layers * (size_t)m.num_replicas, sizeof *m.phy2log);
    memcpy(m.layer, p->layer, (size_t)p->num_layers * sizeof *m.layer);
    memcpy(m.phy2log, p->plan.phy2log + (size_t)p->first_layer * (size_t)m.num_replicas,
           (size_t)p->num_layers * (size_t)m.num_replicas * sizeof *m.phy2log);
    return m;
}

/* The files of --write, which stand behind `before` others. */
static void outputs_of_writes(output *file, int before, const settings *s)
{
    for (int i = 0; i < s->num_writes; i++) file[before + i] = (output){s->write[i].path, NULL, NULL, NULL, 0};
}

void write_plan(const planning *p, const settings *s)
{
    enum { OWN = 5 };
    output file[OWN + MOST_WRITES] = {{s->json, NULL, NULL, NULL, 0},
                                      {s->csv, NULL, NULL, NULL, 0},
                                      {s->svg, NULL, NULL, NULL, 0},
                                      {s->transfers_json, NULL, NULL, NULL, 0},
                                      {s->transfers_csv, NULL, NULL, NULL, 0}};
    plan_map map = {0};
    if (s->num_writes) map = map_of_planning(p);
    for (int i = 0; i < s->num_writes; i++) check_held_plan(s->write[i].as, &map);
    outputs_of_writes(file, OWN, s);
    bool ok = outputs_open(file, OWN + s->num_writes);
    if (ok && s->json && p->scored) write_score_json(file[0].file, p);
    else if (ok && s->json) write_json(file[0].file, p, s);
    if (ok && s->csv && p->scored) write_score_csv(file[1].file, p);
    else if (ok && s->csv) write_csv(file[1].file, p);
    if (ok && s->svg) draw_heat_map(file[2].file, p, s);
    if (ok && s->transfers_json) write_moves_json(file[3].file, &p->moving, s);
    if (ok && s->transfers_csv) write_moves_csv(file[4].file, &p->moving);
    for (int i = 0; ok && i < s->num_writes; i++) s->write[i].as->write_plan(file[OWN + i].file, &map);
    outputs_close(file, OWN + s->num_writes, ok);
    map_free(&map);
}

void write_map(const plan_map *m, const settings *s)
{
    output file[MOST_WRITES];
    for (int i = 0; i < s->num_writes; i++) check_held_plan(s->write[i].as, m);
    outputs_of_writes(file, 0, s);
    bool ok = outputs_open(file, s->num_writes);
    for (int i = 0; ok && i < s->num_writes; i++) s->write[i].as->write_plan(file[i].file, m);
    outputs_close(file, s->num_writes, ok);
}

void write_feed(feed *from, const settings *s)
{
    output file[MOST_WRITES];
    for (int i = 0; i < s->num_writes; i++) check_held_loads(s->write[i].as, from);
    outputs_of_writes(file, 0, s);
    bool ok = outputs_open(file, s->num_writes);
    for (int i = 0; ok && i < s->num_writes; i++) s->write[i].as->write_loads(file[i].file, from);
    outputs_close(file, s->num_writes, ok);
}

void write_replay(const replay *r, const settings *s)
{
    output file[2] = {{s->csv, NULL, NULL, NULL, 0}, {s->svg, NULL, NULL, NULL, 0}};
    bool ok = outputs_open(file, 2);
    if (ok && s->csv) write_replay_csv(file[0].file, r);
    if (ok && s->svg) draw_chart(file[1].file, r, s);
    outputs_close(file, 2, ok);
}

/* In the words of the task's own results. */
static void write_adrs_json(FILE *out, const adrs_score *a)
{
    fprintf(out, "{\"format\":\"eplb-adrs\",\"version\":1,\"library\":\"%s\",\n", EPLB_VERSION_STRING);
    fprintf(out, "\"plan\":\"%s\",\"workloads\":%d,\"valid\":%s", a->name.text, (int)a->num_workloads,
            *a->wrong ? "false" : "true");
    write_real(out, "balancedness_score_gpu", (float)a->per_gpu);
    write_real(out, "balancedness_score_expert", (float)a->per_slot);
    fprintf(out, *a->wrong ? ",\"error\":\"%s\"}\n" : ",\"error\":null%s}\n", a->wrong);
}

void write_adrs(const adrs_score *a, const settings *s)
{
    output file[1] = {{s->json, NULL, NULL, NULL, 0}};
    bool ok = outputs_open(file, 1);
    if (ok && s->json) write_adrs_json(file[0].file, a);
    outputs_close(file, 1, ok);
}

void write_moves(const moving *m, const settings *s)
{
    output file[2] = {{s->json, NULL, NULL, NULL, 0}, {s->csv, NULL, NULL, NULL, 0}};
    bool ok = outputs_open(file, 2);
    if (ok && s->json) write_moves_json(file[0].file, m, s);
    if (ok && s->csv) write_moves_csv(file[1].file, m);
    outputs_close(file, 2, ok);
}

void write_check(const checking *c, const settings *s)
{
    output file[2] = {{s->json, NULL, NULL, NULL, 0}, {s->csv, NULL, NULL, NULL, 0}};
    bool ok = outputs_open(file, 2);
    if (ok && s->json) write_check_json(file[0].file, c);
    if (ok && s->csv) write_check_csv(file[1].file, c);
    outputs_close(file, 2, ok);
}
