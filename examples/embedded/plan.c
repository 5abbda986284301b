/* plan.c - a program without a libc: plans two layers of 12 experts and one of 64 in a static arena, and
   prints where the experts go. board.h has the one function that it calls; host.c, linux_x86_64.c and
   cortex_m.c are boards. */
#define EPLB_SCRATCH_ALIGN 8 /* there are no cache lines to keep apart: blocks need not be rounded to 64 */
#define EPLB_IMPLEMENTATION
#include "eplb.h"

#include "board.h"

enum { LAYERS = 2, EXPERTS = 12, REPLICAS = 16, GPUS = 8 };
enum { MORE_EXPERTS = 64, MORE_REPLICAS = 80, MORE_GPUS = 8 };

static const float load[LAYERS * EXPERTS] = {
    90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86, 20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27,
};

static unsigned char arena[EPLB_SCRATCH_BOUND(MORE_EXPERTS, MORE_REPLICAS, MORE_GPUS)];
static int32_t slots[MORE_REPLICAS];
static float more_load[MORE_EXPERTS];
static eplb_layer_report report[LAYERS];

void put_number(uint32_t number)
{
    char digits[11];
    char *at = &digits[10];

    *at = '\0';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    board_put(at);
}

/* A slot's expert, GPU by GPU; then how even the plan is, in parts of a thousand. */
static void put_plan(const eplb_problem *problem, const eplb_plan *plan)
{
    int32_t slots_per_gpu = problem->num_replicas / problem->num_gpus, layer, slot;

    for (layer = 0; layer < problem->num_layers; layer++) {
        board_put("layer ");
        put_number((uint32_t)layer);
        board_put(":");
        for (slot = 0; slot < problem->num_replicas; slot++) {
            board_put(slot % slots_per_gpu == 0 ? " | " : " ");
            put_number((uint32_t)plan->phy2log[layer * problem->num_replicas + slot]);
        }
        board_put(" | balancedness 0.");
        put_number((uint32_t)(report[layer].balancedness * 1000.0f));
        board_put("\n");
    }
}

static int plan_and_put(const eplb_problem *problem, const float *weight)
{
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(problem, NULL, &bytes);

    plan.phy2log = slots;
    if (r == EPLB_OK) r = eplb_rebalance(problem, NULL, weight, &plan, arena, sizeof arena);
    if (r == EPLB_OK) r = eplb_evaluate(problem, NULL, weight, &plan, report, NULL, arena, sizeof arena);
    if (r != EPLB_OK) {
        board_put(eplb_result_name(r));
        board_put("\n");
        return 1;
    }
    put_number((uint32_t)problem->num_experts);
    board_put(" experts, scratch ");
    put_number((uint32_t)bytes);
    board_put(" bytes\n");
    put_plan(problem, &plan);
    return 0;
}

int main(void)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    int i;

    problem.num_layers = LAYERS;
    problem.num_experts = EXPERTS;
    problem.num_replicas = REPLICAS;
    problem.num_groups = 4;
    problem.num_nodes = 2;
    problem.num_gpus = GPUS;
    if (plan_and_put(&problem, load) != 0) return 1;

    for (i = 0; i < MORE_EXPERTS; i++) more_load[i] = (float)(1 + (i * 7919) % 1009); /* any load will do */
    problem.num_layers = 1;
    problem.num_experts = MORE_EXPERTS;
    problem.num_replicas = MORE_REPLICAS;
    problem.num_groups = 1;
    problem.num_nodes = 1;
    problem.num_gpus = MORE_GPUS;
    return plan_and_put(&problem, more_load);
}
