// cplusplus.cpp - the header from C++11: vectors for the arrays, an exception for an error.
#include <cstdint>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#define EPLB_IMPLEMENTATION
#define EPLB_STATIC // a private copy, as a library that vendors the header would have
#include "eplb.h"

static void check(eplb_result r)
{
    if (r != EPLB_OK) throw std::runtime_error(eplb_result_name(r));
}

struct Plan {
    std::vector<std::int32_t> phy2log, logcnt;
    std::vector<eplb_layer_report> report;
};

static Plan rebalance(const eplb_problem &problem, const eplb_options &options, const std::vector<float> &load)
{
    std::size_t layers = static_cast<std::size_t>(problem.num_layers), bytes = 0;
    Plan p;
    check(eplb_scratch_size(&problem, &options, &bytes));
    std::vector<unsigned char> scratch(bytes);
    p.phy2log.resize(layers * static_cast<std::size_t>(problem.num_replicas));
    p.logcnt.resize(layers * static_cast<std::size_t>(problem.num_experts));
    p.report.resize(layers);

    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = p.phy2log.data();
    plan.logcnt = p.logcnt.data();
    check(eplb_rebalance(&problem, &options, load.data(), &plan, scratch.data(), bytes));
    check(eplb_evaluate(&problem, &options, load.data(), &plan, p.report.data(), nullptr, scratch.data(), bytes));
    return p;
}

int main()
{
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers = 1;
    problem.num_experts = 8;
    problem.num_replicas = 16;
    problem.num_gpus = 8;
    const std::vector<float> load = {600, 560, 120, 120, 20, 10, 10, 10};

    try {
        for (std::int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
            eplb_options options = EPLB_ZERO_INIT;
            check(eplb_options_preset(preset, &options));
            const Plan plan = rebalance(problem, options, load);
            std::cout << eplb_preset_name(preset) << ": largest GPU load " << plan.report[0].max_load
                      << ", expert 0 has " << plan.logcnt[0] << " replicas\n";
        }
        problem.num_replicas = 15; // not a multiple of the 8 GPUs
        rebalance(problem, eplb_options(), load);
    } catch (const std::runtime_error &error) {
        std::cout << "15 replicas on 8 GPUs: " << error.what() << "\n";
        return std::string(error.what()) == "EPLB_ERR_DIVIDE" ? 0 : 1;
    }
    return 1;
}
