/* transfer_hash.h - one number for transfers, as plan_hash.h has them for plans: everything in it is integers. When it
   changes on purpose, the history of eplb.h says so. Include after transfer_cases.h and plan_hash.h. */
#ifndef TRANSFER_HASH_H
#define TRANSFER_HASH_H

/* The transfers and the steps in place of random cases 1 .. that many, which are of all sources and rounds. */
#define HASH_TRANSFERS \
    {                  \
        100, 400, 1500 \
    }
#define HASH_TRANSFERS_EXPECTED                                                                  \
    {                                                                                            \
        UINT64_C(0x2e01aff4f16ccb2a), UINT64_C(0x6bc9cd3d4c4beb9c), UINT64_C(0x8ef8b5f96b591776) \
    }

static inline uint64_t hash_transfer_list(uint64_t hash, const transfer_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const eplb_transfer *t = &list->at[i];
        int32_t field[6];
        field[0] = t->layer;
        field[1] = t->expert;
        field[2] = t->from_slot;
        field[3] = t->to_slot;
        field[4] = t->kind;
        field[5] = t->round;
        hash = hash_ints(hash, field, 6);
    }
    return hash;
}

static inline uint64_t hash_transfers(uint64_t hash, uint64_t first, uint64_t last)
{
    for (uint64_t seed = first; seed <= last; seed++) {
        transfer_case c = transfer_case_make(seed, seed % 8 == 0 ? TRANSFER_MOST_GPUS : 12, 8);
        int32_t *num_staging = plan_ints((size_t)c.problem.num_layers);
        transfer_list list = transfer_with_library(&c), steps = steps_with_library(&c, num_staging);
        hash = hash_transfer_list(hash, &list);
        hash = hash_transfer_list(hash, &steps);
        hash = hash_ints(hash, num_staging, (size_t)c.problem.num_layers);
        free(num_staging);
        free(list.at);
        free(steps.at);
        transfer_case_free(&c);
    }
    return hash;
}

#endif
