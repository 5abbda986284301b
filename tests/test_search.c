/* test_search.c - the search, for one sample and for many, beside a naive one that makes the same decisions.

   usage: test_search [first seed [count]] */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "search_oracle.h"

static void check_problem(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = seed;
    int32_t layer = -1, node = -1;
    r.options.effort = test_range(&state, 1, 12);
    r.options.allow_duplicates = test_range(&state, 0, 3) == 0;
    CHECK(search_same(&r.problem, &r.options, r.weight, &layer, &node), "seed %llu, layer %d, node %d: another plan",
          (unsigned long long)seed, (int)layer, (int)node);
    random_problem_free(&r);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 800;
    for (uint64_t seed = first; seed < first + count; seed++) check_problem(seed);
    return test_report("test_search");
}
