/* cluster.c - GPUs that are not alike: which of their slots may be used, how fast they are, and on which node each is, as
   lists on the command line or in files. */
#include "cli.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LIST_BYTES = 1 << 24 };

/* The text of a list: the value itself, or with @ before it that of a file. To be freed. */
static char *list_text(const char *option, const char *value)
{
    size_t n = strlen(value);
    char *text;
    if (*value != '@') {
        text = (char *)allocate(n + 1, 1);
        memcpy(text, value, n + 1);
        return text;
    }
    FILE *file = fopen(value + 1, "rb");
    if (!file) fail(STATUS_INPUT, "%s: cannot open '%s': %s", option, value + 1, strerror(errno));
    text = (char *)allocate(MOST_LIST_BYTES + 1, 1);
    n = fread(text, 1, MOST_LIST_BYTES, file);
    if (ferror(file)) fail(STATUS_INPUT, "%s: cannot read '%s': %s", option, value + 1, strerror(errno));
    if (n == MOST_LIST_BYTES || memchr(text, '\0', n))
        fail(STATUS_INPUT, "%s: '%s' is no list of numbers", option, value + 1);
    text[n] = '\0';
    fclose(file);
    return text;
}

static const char BETWEEN[] = ", \t\r\n";

/* The next word of a list; NULL at its end. It is ended in place. */
static char *next_word(char **at)
{
    char *begin = *at + strspn(*at, BETWEEN), *end = begin + strcspn(begin, BETWEEN);
    if (begin == end) return NULL;
    *at = *end ? end + 1 : end;
    *end = '\0';
    return begin;
}

static void check_count(const char *option, int32_t count, int32_t gpus)
{
    if (count != gpus)
        fail(STATUS_INPUT, "%s: %d number%s for %d GPUs; it needs one for each", option, (int)count,
             count == 1 ? "" : "s", (int)gpus);
}

/* Whole numbers from 0 to most, one for each GPU. */
static int32_t *parse_counts(const char *option, const char *value, int32_t gpus, int32_t most)
{
    char *text = list_text(option, value), *at = text, *word;
    int32_t *list = (int32_t *)allocate((size_t)gpus, sizeof *list), n = 0;
    while ((word = next_word(&at))) {
        int64_t number;
        if (!parse_integer(word, word + strlen(word), &number) || number < 0 || number > most)
            fail(STATUS_INPUT, "%s: GPU %d needs a whole number from 0 to %d, not '%s'", option, (int)n, (int)most,
                 word);
        if (n < gpus) list[n] = (int32_t)number;
        n++;
    }
    check_count(option, n, gpus);
    free(text);
    return list;
}

static float *parse_speeds(const char *value, int32_t gpus)
{
    char *text = list_text("--gpu-speed", value), *at = text, *word, *stop;
    float *list = (float *)allocate((size_t)gpus, sizeof *list);
    int32_t n = 0;
    while ((word = next_word(&at))) {
        double speed = strtod(word, &stop);
        if (word[strspn(word, "0123456789.eE+-")] || *stop || stop == word || !(speed >= (double)FLT_MIN)
            || speed > (double)FLT_MAX)
            fail(STATUS_INPUT, "--gpu-speed: GPU %d needs a number above 0, such as 0.8, not '%s'", (int)n, word);
        if (n < gpus) list[n] = (float)speed;
        n++;
    }
    check_count("--gpu-speed", n, gpus);
    free(text);
    return list;
}

static int32_t *parse_nodes(const settings *s, const char *value)
{
    int32_t *list = parse_counts("--gpu-node", value, s->gpus, s->nodes - 1);
    for (int32_t g = 1; g < s->gpus; g++) {
        if (list[g] < list[g - 1])
            fail(STATUS_INPUT, "--gpu-node: GPU %d is on node %d, but GPU %d on node %d; nodes have GPUs in order",
                 (int)g, (int)list[g], (int)g - 1, (int)list[g - 1]);
    }
    return list;
}

/* GPUs that are dead have no slots; the others as many as there are on each. */
static void bury(settings *s)
{
    bool *dead = (bool *)allocate((size_t)s->gpus, sizeof *dead);
    mark_numbers("--dead", s->reading.dead, dead, s->gpus);
    if (!s->cluster.slots) {
        s->cluster.slots = (int32_t *)allocate((size_t)s->gpus, sizeof(int32_t));
        for (int32_t g = 0; g < s->gpus; g++) s->cluster.slots[g] = INT32_MAX;
    }
    for (int32_t g = 0; g < s->gpus; g++) {
        if (dead[g]) s->cluster.slots[g] = 0;
    }
    free(dead);
}

void read_cluster(settings *s)
{
    if (s->cluster.slots_list)
        s->cluster.slots = parse_counts("--gpu-slots", s->cluster.slots_list, s->gpus, INT32_MAX);
    if (s->cluster.speed_list) s->cluster.speed = parse_speeds(s->cluster.speed_list, s->gpus);
    if (s->cluster.node_list) s->cluster.node = parse_nodes(s, s->cluster.node_list);
    if (s->reading.dead && s->gpus) bury(s);
}

void free_cluster(cluster *c)
{
    free(c->slots);
    free(c->speed);
    free(c->node);
}

/* Ends the program unless there is a slot for each expert; says how many would do, on the GPUs that have any. */
static void check_room(const eplb_problem *q)
{
    int64_t sum = 0, living = 0;
    for (int32_t g = 0; g < q->num_gpus; g++) {
        sum += q->gpu_slots[g];
        living += q->gpu_slots[g] > 0;
    }
    if (sum >= q->num_experts) return;
    if (living == 0) fail(STATUS_INPUT, "none of the %d GPUs has a slot that may be used", (int)q->num_gpus);
    int64_t each = (q->num_experts + living - 1) / living;
    fail(STATUS_INPUT,
         "%lld slots may be used, fewer than the %d experts of a layer; %lld on each of %lld GPUs would do, "
         "which is --replicas %lld",
         (long long)sum, (int)q->num_experts, (long long)each, (long long)living, (long long)(each * q->num_gpus));
}

void take_cluster(const settings *s, eplb_problem *q)
{
    const cluster *c = &s->cluster;
    q->gpu_speed = c->speed;
    q->gpu_node = c->node;
    q->survive = c->survive;
    if (!c->slots || q->num_replicas % q->num_gpus != 0) /* which the library refuses */
        return;
    int32_t each = q->num_replicas / q->num_gpus;
    for (int32_t g = 0; g < q->num_gpus; g++) {
        if (c->slots[g] == INT32_MAX) c->slots[g] = each;
        if (c->slots[g] > each)
            fail(STATUS_INPUT, "--gpu-slots: GPU %d has %d, but %d replicas on %d GPUs are %d on each", (int)g,
                 (int)c->slots[g], (int)q->num_replicas, (int)q->num_gpus, (int)each);
    }
    q->gpu_slots = c->slots;
    check_room(q);
}

int32_t usable_slots(const eplb_problem *q, int32_t gpu)
{
    return q->gpu_slots ? q->gpu_slots[gpu] : q->num_replicas / q->num_gpus;
}

bool may_use(const eplb_problem *q, int32_t slot)
{
    int32_t each = q->num_replicas / q->num_gpus;
    return slot % each < usable_slots(q, slot / each);
}
