/* convert.c - plans and loads from the format they are in to those that are asked for. What a format cannot hold is
   refused before anything is written. */
#include "cli.h"

static void convert_plan(const settings *s)
{
    if (s->num_inputs != 1) fail(STATUS_INPUT, "convert takes one plan, not %d files", (int)s->num_inputs);
    plan_map map = map_read(s->inputs[0], &s->reading);
    if (!map.num_gpus) map.num_gpus = s->gpus;
    if (s->reading.num_experts) {
        if (map_count_experts(&map) > s->reading.num_experts)
            fail(STATUS_INPUT, "%s has %d experts, but --experts is %d", map.name, (int)map_count_experts(&map),
                 (int)s->reading.num_experts);
        map.num_experts = s->reading.num_experts;
    }
    write_map(&map, s);
    map_free(&map);
}

void convert(settings *s)
{
    if (s->write[0].as->kind == FORMAT_PLAN) {
        convert_plan(s);
        return;
    }
    feed from = feed_open(s);
    doubt_map(&from, NULL);
    write_feed(&from, s);
    feed_close(&from);
}
