/* score.c - scoring: how even a plan that was made elsewhere is under loads, and how even any could be. */
#include "cli.h"

#include <stdlib.h>

planning make_score(const settings *s, feed *from, const plan_map *map)
{
    settings scored = *s; /* what --replicas may leave open, the plan says */
    scored.replicas = map->num_replicas;
    check_scored(&scored, from, map);
    planning p = begin_planning(&scored, from, NULL);
    int32_t  L = from->num_layers, E = from->num_experts;
    p.scored   = true;
    p.name     = plain_name(map->name);
    for (int32_t i = 0; i < p.num_layers; i++)
        (void)map_whole_slots_of(map, from->layer, L, p.first_layer + i, &p.problem);
    exact_shares exact = {0};
    p.exact            = s->shares[SHARES_EXACT];
    if (p.exact)
        exact = make_exact_shares(&p.problem, &p.options);
    loads table = read_all(from);
    for (int32_t i = 0; i < p.num_layers; i++) {
        layer_result *r       = &p.result[i];
        int32_t      *phy2log = map_slots_of(map, from->layer, L, p.first_layer + i);
        take_layer(&p, &table, p.first_layer + i);
        r->after = evaluate_layer(&p, phy2log, p.gpu_after + (size_t)i * (size_t)s->gpus);
        if (p.exact)
            r->exact = exact_layer(&exact, phy2log, p.weight, (size_t)E, table.num_samples);
        for (int32_t slot = 0; slot < map->num_replicas; slot++)
            r->num_empty += phy2log[slot] < 0;
        progress_show("layer", (size_t)i + 1, (size_t)p.num_layers);
    }
    progress_clear();
    free_exact_shares(&exact);
    free_loads(&table);
    return p;
}
