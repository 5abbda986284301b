// linkage_static.cpp - a private copy in a C++ file.
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "linkage.h"

namespace private_copy
{
void plan_by_cpp_copy(int32_t phy2log[32]);
void plan_by_cpp_copy(int32_t phy2log[32]) { linkage_plan(phy2log); }
} // namespace private_copy
