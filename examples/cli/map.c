/* map.c - plans that are in force, from files. */
#include "cli.h"

#include <stdlib.h>

plan_map map_read(const char *path)
{
    fail(STATUS_INPUT, "%s: --map cannot be read yet", path);
}

void map_free(plan_map *m)
{
    free(m->layer);
    free(m->phy2log);
}
