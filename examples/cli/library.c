#define EPLB_IMPLEMENTATION
#include "eplb.h"
