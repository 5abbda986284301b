// test_linkage.cpp - a C++ program that calls the extern C functions, holding also static copies in C
// and in C++ (the namespace below): all three give the plan of the design's example.
#include "linkage.h"
#include "test.h"

namespace private_copy
{
void plan_by_cpp_copy(int32_t phy2log[32]);
}

static const int32_t expected[32] = {5, 6,  5, 7, 8, 4,  3, 4, 10, 9, 10, 2, 0, 1, 11, 1,
                                     7, 10, 6, 8, 6, 11, 8, 9, 2,  4, 5,  1, 5, 0, 3,  1};

static void holds(const char *which, void (*plan)(int32_t *))
{
    int32_t phy2log[32];
    plan(phy2log);
    for (int i = 0; i < 32; i++)
        CHECK(phy2log[i] == expected[i], "%s: slot %d holds %d, not %d", which, i, static_cast<int>(phy2log[i]),
              static_cast<int>(expected[i]));
}

int main()
{
    holds("extern", linkage_plan);
    holds("static copy in C", plan_by_static_copy);
    holds("static copy in C++", private_copy::plan_by_cpp_copy);
    return test_report("test_linkage");
}
