/* linkage_extern.c - the one extern implementation; the header comes first without it, then with it. */
#include "eplb.h"
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "eplb.h"
