/* linkage_static.c - a private copy in a C file. */
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "linkage.h"

void plan_by_static_copy(int32_t phy2log[32]) { linkage_plan(phy2log); }
