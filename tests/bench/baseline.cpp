/* baseline.cpp - see baseline.h. Written as one would without a library at hand: a heap for the
   replicas, std::sort and a heap for each packing, a few vectors per layer. */
#include "baseline.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <new>
#include <queue>
#include <utility>
#include <vector>

namespace
{

typedef std::pair<double, int> scored; /* load, index */
typedef std::priority_queue<scored, std::vector<scored>, std::greater<scored>> lightest_first;

bool heavier(const scored &a, const scored &b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }

/* Each pack's items, heaviest item first to the lightest pack that has room. */
std::vector<std::vector<int>> pack(const std::vector<double> &load, int num_packs)
{
    std::size_t room = load.size() / static_cast<std::size_t>(num_packs);
    std::vector<scored> items;
    items.reserve(load.size());
    for (std::size_t i = 0; i < load.size(); i++) items.push_back(scored(load[i], static_cast<int>(i)));
    std::sort(items.begin(), items.end(), heavier);

    lightest_first open;
    for (int p = 0; p < num_packs; p++) open.push(scored(0.0, p));
    std::vector<std::vector<int>> packs(static_cast<std::size_t>(num_packs));
    for (std::size_t p = 0; p < packs.size(); p++) packs[p].reserve(room);
    for (std::size_t i = 0; i < items.size(); i++) {
        scored best = open.top();
        open.pop();
        std::vector<int> &members = packs[static_cast<std::size_t>(best.second)];
        members.push_back(items[i].second);
        if (members.size() < room) open.push(scored(best.first + items[i].first, best.second));
    }
    return packs;
}

/* Replicas of each item: one, and each spare slot to the largest load per replica. */
std::vector<int> replicate(const std::vector<double> &load, int num_slots)
{
    std::vector<int> count(load.size(), 1);
    std::priority_queue<scored> largest;
    for (std::size_t i = 0; i < load.size(); i++) largest.push(scored(load[i], static_cast<int>(i)));
    for (int s = static_cast<int>(load.size()); s < num_slots; s++) {
        std::size_t i = static_cast<std::size_t>(largest.top().second);
        largest.pop();
        count[i]++;
        largest.push(scored(load[i] / count[i], static_cast<int>(i)));
    }
    return count;
}

/* Plans the given experts onto one node; expert of each of its slots, GPU by GPU. */
std::vector<int> plan_node(const std::vector<int> &experts, const float *weight, int num_slots, int num_gpus)
{
    std::vector<double> load;
    for (std::size_t i = 0; i < experts.size(); i++) load.push_back(weight[experts[i]]);
    std::vector<int> count = replicate(load, num_slots);

    std::vector<int> owner;
    std::vector<double> share;
    for (std::size_t i = 0; i < experts.size(); i++) {
        for (int c = 0; c < count[i]; c++) {
            owner.push_back(experts[i]);
            share.push_back(load[i] / count[i]);
        }
    }
    std::vector<std::vector<int>> gpus = pack(share, num_gpus);
    std::vector<int> slots;
    for (std::size_t g = 0; g < gpus.size(); g++) {
        for (std::size_t s = 0; s < gpus[g].size(); s++) slots.push_back(owner[static_cast<std::size_t>(gpus[g][s])]);
    }
    return slots;
}

void plan_layer(const baseline_shape &shape, const float *weight, int32_t *phy2log)
{
    int group_size = shape.num_experts / shape.num_groups;
    std::vector<double> group_load;
    for (int g = 0; g < shape.num_groups; g++) {
        double sum = 0.0;
        for (int e = g * group_size; e < (g + 1) * group_size; e++) sum += weight[e];
        group_load.push_back(sum);
    }
    std::vector<std::vector<int>> nodes = pack(group_load, shape.num_nodes);
    for (std::size_t n = 0; n < nodes.size(); n++) {
        std::vector<int> experts;
        for (std::size_t g = 0; g < nodes[n].size(); g++) {
            for (int e = 0; e < group_size; e++) experts.push_back(nodes[n][g] * group_size + e);
        }
        std::vector<int> slots =
            plan_node(experts, weight, shape.num_replicas / shape.num_nodes, shape.num_gpus / shape.num_nodes);
        phy2log = std::copy(slots.begin(), slots.end(), phy2log);
    }
}

/* Ranks, counts and the inverse map of one layer from its phy2log. */
void invert(const baseline_shape &shape, const int32_t *phy2log, int32_t *phyrank, int32_t *logcnt, int32_t *log2phy,
            std::ptrdiff_t width)
{
    std::fill(logcnt, logcnt + shape.num_experts, 0);
    std::fill(log2phy, log2phy + shape.num_experts * width, -1);
    for (int32_t s = 0; s < shape.num_replicas; s++) {
        int32_t e = phy2log[s];
        phyrank[s] = logcnt[e]++;
        log2phy[e * width + phyrank[s]] = s;
    }
}

} // namespace

const char baseline_compiler[] = COMPILER " " BENCH_FLAGS;

int baseline_plan(const baseline_shape *shape, const float *weight, const baseline_arrays *plan)
{
    std::ptrdiff_t experts = shape->num_experts, replicas = shape->num_replicas;
    std::ptrdiff_t width = plan->log2phy_width;
    try {
        for (std::ptrdiff_t l = 0; l < shape->num_layers; l++) {
            plan_layer(*shape, weight + l * experts, plan->phy2log + l * replicas);
            invert(*shape, plan->phy2log + l * replicas, plan->phyrank + l * replicas, plan->logcnt + l * experts,
                   plan->log2phy + l * experts * width, width);
        }
    } catch (const std::bad_alloc &) {
        return -1;
    }
    return 0;
}
