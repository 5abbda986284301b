/* eplb.c - the one file of the program with the implementation. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
