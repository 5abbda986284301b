// plan.cpp - the same as plan.c.
#include <array>
#include <iostream>
#include <vector>

#include "eplb.h"

int main()
{
    const std::array<float, 12> load = {{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86}};
    std::vector<unsigned char> scratch(EPLB_SCRATCH_BOUND(12, 16, 8));
    std::vector<std::int32_t> phy2log(16);
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    problem.num_layers = 1, problem.num_experts = 12, problem.num_replicas = 16, problem.num_gpus = 8;
    plan.phy2log = phy2log.data();
    const eplb_result r = eplb_rebalance(&problem, nullptr, load.data(), &plan, scratch.data(), scratch.size());
    std::cout << eplb_result_name(r) << ":";
    for (std::int32_t expert : phy2log) std::cout << " " << expert;
    std::cout << "\n";
    return r != EPLB_OK;
}
