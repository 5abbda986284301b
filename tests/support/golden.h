/* golden.h - reads tests/golden/plans.txt: plans that the published programs give. Include after eplb.h,
   test.h and planning.h. */
#ifndef GOLDEN_H
#define GOLDEN_H

static const uint64_t golden_seed = 20261120; /* of multi_start and ensemble, as the file says */

typedef struct golden_case {
    char name[64];
    eplb_problem problem;
    float *weight; /* [L, E] */
} golden_case;

static inline int32_t golden_preset(const char *name)
{
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++)
        if (strcmp(eplb_preset_name(preset), name) == 0) return preset;
    return -1;
}

/* The next word of the file that is not in a comment; 0 at its end. */
static inline int golden_word(FILE *file, char word[64])
{
    while (fscanf(file, "%63s", word) == 1) {
        if (word[0] != '#') return 1;
        while (!feof(file) && fgetc(file) != '\n') continue;
    }
    return 0;
}

static inline void golden_ints(FILE *file, const char *label, int32_t *to, size_t count)
{
    char word[64] = "";
    CHECK(fscanf(file, "%63s", word) == 1 && strcmp(word, label) == 0, "%s, found %s", label, word);
    for (size_t i = 0; i < count; i++) {
        int number = PLAN_UNWRITTEN;
        if (fscanf(file, "%d", &number) != 1) break;
        to[i] = number;
    }
}

/* Reads what follows "case NAME" up to the last weight. */
static inline golden_case golden_read_case(FILE *file)
{
    golden_case c = {"", EPLB_ZERO_INIT, NULL};
    int n[6] = {0};
    CHECK(fscanf(file, "%63s %d %d %d %d %d %d", c.name, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]) == 7, "case %s",
          c.name);
    c.problem.num_layers = n[0];
    c.problem.num_experts = n[1];
    c.problem.num_replicas = n[2];
    c.problem.num_groups = n[3];
    c.problem.num_nodes = n[4];
    c.problem.num_gpus = n[5];
    size_t experts = (size_t)n[1];
    int32_t *row = plan_ints(experts);
    c.weight = (float *)test_alloc(plan_experts(&c.problem) * sizeof(float));
    for (size_t layer = 0; layer < (size_t)n[0]; layer++) {
        golden_ints(file, "weight", row, experts);
        for (size_t e = 0; e < experts; e++) c.weight[layer * experts + e] = (float)row[e];
    }
    free(row);
    return c;
}

/* Reads what follows "plan NAME". */
static inline eplb_plan golden_read_plan(FILE *file, const eplb_problem *problem)
{
    int width = 0;
    CHECK(fscanf(file, "%d", &width) == 1, "width");
    eplb_plan plan = plan_alloc(problem, width);
    size_t R = (size_t)problem->num_replicas, E = (size_t)problem->num_experts, W = (size_t)width;
    for (size_t layer = 0; layer < (size_t)problem->num_layers; layer++) {
        golden_ints(file, "phy2log", plan.phy2log + layer * R, R);
        golden_ints(file, "logcnt", plan.logcnt + layer * E, E);
        golden_ints(file, "log2phy", plan.log2phy + layer * E * W, E * W);
    }
    return plan;
}

#endif
