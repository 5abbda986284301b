/* adrs.c - the task on EPLB of the ADRS case studies for evolutionary program search (OpenEvolve, SkyDiscover and others;
   their evaluator.py, as benchmarks/ADRS/eplb of SkyDiscover has it in 2026): its loads, and its judge. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- loads */

/* {"load_history": [{"logical_expert_load": [L, E], ..}, ..]}, a sample an object. */
reader *adrs_open(source from, const reading *how)
{
    reading own = *how;
    if (!how->key) own.key = "load_history.logical_expert_load";
    return json_open(from, &own);
}

void adrs_write(FILE *out, feed *from)
{
    float *load = (float *)allocate((size_t)from->num_layers, (size_t)from->num_experts * sizeof *load);
    fprintf(out, "{\"load_history\":[\n");
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        fprintf(out, "{\"logical_expert_load\":");
        write_rows(out, load, from->num_layers, from->num_experts);
        fprintf(out, "}%s\n", t + 1 < from->num_samples ? "," : "");
    }
    fprintf(out, "]}\n");
    free(load);
}

/* --------------------------------------------------------------------------------------- judge */

/* Of a workload, each expert's load is dealt out evenly over its replicas; then mean / largest of a slot, and of a GPU, all
   layers summed before they are divided. A plan is valid when
     - it has as many slots in a layer as were asked for,
     - the replicas of all experts fill them,
     - and every expert with load has one.
   Otherwise both scores are 0. There, a candidate returns phy2log, log2phy and logcnt, of which the last two are scored and
   may tell of slots that the first does not have; here phy2log is scored, and a file that has the other two as well is
   refused unless they say the same. The evaluator adds up in float32, this in double: they agree to about 1e-6. */

typedef struct adrs_judge {
    const plan_map *map;
    const feed *from;
    adrs_score score;
    double *load;                     /* [L, E] of a workload */
    int32_t *replicas;                /* [E] of a layer */
    double mean, slot_most, gpu_most; /* sums over layers: mean of a slot */
} adrs_judge;

/* Notes the first rule that is broken. */
static void adrs_break(adrs_judge *j, int32_t layer, const char *format, ...) PRINTS(3, 4);
static void adrs_break(adrs_judge *j, int32_t layer, const char *format, ...)
{
    char *wrong = j->score.wrong;
    size_t room = sizeof j->score.wrong;
    va_list args;
    if (*wrong) return;
    va_start(args, format);
    int n = snprintf(wrong, room, "layer %lld: ", (long long)j->from->layer[layer]);
    vsnprintf(wrong + n, room - (size_t)n, format, args);
    va_end(args);
}

/* Counts replicas, and finds what rule a layer breaks. */
static void adrs_check_layer(adrs_judge *j, int32_t layer, const int32_t *phy2log)
{
    int32_t E = j->from->num_experts, R = j->map->num_replicas, filled = 0;
    const double *load = j->load + (size_t)layer * (size_t)E;
    memset(j->replicas, 0, (size_t)E * sizeof *j->replicas);
    for (int32_t slot = 0; slot < R; slot++) {
        if (phy2log[slot] >= E)
            adrs_break(j, layer, "slot %d has expert %d, but the loads have %d experts", (int)slot, (int)phy2log[slot],
                       (int)E);
        else if (phy2log[slot] >= 0) j->replicas[phy2log[slot]]++;
        filled += phy2log[slot] >= 0;
    }
    if (filled < R) adrs_break(j, layer, "%d replicas of all experts, not %d", (int)filled, (int)R);
    for (int32_t e = 0; e < E; e++) {
        if (load[e] > 0 && j->replicas[e] == 0) adrs_break(j, layer, "expert %d has load, but no replica", (int)e);
    }
}

/* Adds a layer that breaks no rule. */
static void adrs_add_layer(adrs_judge *j, int32_t layer, const int32_t *phy2log, int32_t num_gpus)
{
    int32_t R = j->map->num_replicas, slots = R / num_gpus;
    const double *load = j->load + (size_t)layer * (size_t)j->from->num_experts;
    double sum = 0, slot_most = 0, gpu_most = 0;
    for (int32_t gpu = 0; gpu < num_gpus; gpu++) {
        double here = 0;
        for (int32_t slot = gpu * slots; slot < (gpu + 1) * slots; slot++) {
            double part = load[phy2log[slot]] / j->replicas[phy2log[slot]];
            here += part;
            slot_most = part > slot_most ? part : slot_most;
        }
        sum += here;
        gpu_most = here > gpu_most ? here : gpu_most;
    }
    j->mean += sum / R;
    j->slot_most += slot_most;
    j->gpu_most += gpu_most;
}

/* Samples first .. end as one workload, under the plan of a step. */
static void adrs_judge_workload(adrs_judge *j, feed *from, int32_t first, int32_t end, int32_t step, int32_t num_gpus)
{
    size_t count = (size_t)from->num_layers * (size_t)from->num_experts;
    float *load = (float *)allocate(count, sizeof *load);
    memset(j->load, 0, count * sizeof *j->load);
    for (int32_t t = first; t < end; t++) {
        feed_read(from, t, load);
        for (size_t i = 0; i < count; i++) j->load[i] += (double)load[i];
    }
    free(load);
    j->mean = j->slot_most = j->gpu_most = 0;
    for (int32_t i = 0; i < from->num_layers; i++) {
        const int32_t *phy2log = map_slots_at(j->map, step, from->layer, from->num_layers, i);
        adrs_check_layer(j, i, phy2log);
        if (!*j->score.wrong) adrs_add_layer(j, i, phy2log, num_gpus);
    }
    double slots_of_gpu = (double)(j->map->num_replicas / num_gpus);
    if (j->mean > 0) { /* else both are 0 there, too */
        j->score.per_slot += j->mean / j->slot_most;
        j->score.per_gpu += j->mean * slots_of_gpu / j->gpu_most;
    }
    j->score.num_workloads++;
}

/* Plan i of several is scored on workload i + 1; one plan, on each. */
static void adrs_judge_all(adrs_judge *j, feed *from, const settings *s)
{
    int32_t T = from->num_samples, window = s->window ? s->window : T, steps = j->map->num_steps;
    int32_t workloads = (T - 1) / window + 1, first = steps > 1 ? 1 : 0;
    if (steps > 1 && steps != workloads - 1)
        fail(STATUS_INPUT,
             "%s: plans of %d steps, but --window %d makes %d workloads of the %d samples: there should be a plan "
             "for each but the last",
             j->map->name, (int)steps, (int)window, (int)workloads, (int)T);
    for (int32_t i = first; i < workloads && !*j->score.wrong; i++) {
        int32_t begin = i * window, end = T - begin < window ? T : begin + window;
        adrs_judge_workload(j, from, begin, end, steps > 1 ? i - 1 : 0, s->gpus);
    }
}

adrs_score make_adrs_score(const settings *s, feed *from, const plan_map *map)
{
    adrs_judge j;
    memset(&j, 0, sizeof j);
    j.map = map;
    j.from = from;
    j.score.name = plain_name(map->name);
    if (map->num_replicas % s->gpus != 0)
        fail(STATUS_INPUT, "%s: %d slots in a layer are not a multiple of --gpus %d", map->name, (int)map->num_replicas,
             (int)s->gpus);
    j.load = (double *)allocate((size_t)from->num_layers, (size_t)from->num_experts * sizeof *j.load);
    j.replicas = (int32_t *)allocate((size_t)from->num_experts, sizeof *j.replicas);
    if (s->replicas && s->replicas != map->num_replicas)
        snprintf(j.score.wrong, sizeof j.score.wrong, "%d slots in a layer, not %d", (int)map->num_replicas,
                 (int)s->replicas);
    adrs_judge_all(&j, from, s);
    bool valid = !*j.score.wrong;
    j.score.per_slot = valid ? j.score.per_slot / j.score.num_workloads : 0;
    j.score.per_gpu = valid ? j.score.per_gpu / j.score.num_workloads : 0;
    free(j.load);
    free(j.replicas);
    return j.score;
}
