/* transfer_oracle.h - DEALT and ONE_PEER, written down naively: experts in ascending order; GPUs that lack one receive
   and GPUs that held it send, both ascending. With q, m = divmod(receivers, senders) sender i serves receivers
   iq .. iq+q-1, and if i < m also number q * senders + i. All that goes from one GPU to another is a flow; flows in
   order of first appearance go to the first round in which neither GPU occurs. Include after transfer_cases.h. */
#ifndef TRANSFER_ORACLE_H
#define TRANSFER_ORACLE_H

typedef struct oracle_move {
    int32_t expert, from, to, round; /* GPUs */
} oracle_move;

typedef struct oracle_moves {
    oracle_move at[TRANSFER_MOST_SLOTS];
    int32_t count;
} oracle_moves;

static inline int32_t oracle_gpus_with(const eplb_problem *p, const int32_t *slots, int32_t expert,
                                       const int32_t *without, int32_t *gpu)
{
    int32_t S = p->num_replicas / p->num_gpus, count = 0;
    for (int32_t g = 0; g < p->num_gpus; g++)
        if (plan_copies(slots + g * S, S, expert) > 0 && (!without || plan_copies(without + g * S, S, expert) == 0))
            gpu[count++] = g;
    return count;
}

static inline void oracle_add_move(oracle_moves *moves, int32_t expert, int32_t from, int32_t to)
{
    oracle_move *m = &moves->at[moves->count++];
    m->expert = expert;
    m->from = from;
    m->to = to;
    m->round = -1;
}

static inline void oracle_deal(const eplb_problem *p, const int32_t *before, const int32_t *after, oracle_moves *moves)
{
    int32_t sender[TRANSFER_MOST_GPUS], receiver[TRANSFER_MOST_GPUS];
    moves->count = 0;
    for (int32_t e = 0; e < p->num_experts; e++) {
        int32_t senders = oracle_gpus_with(p, before, e, NULL, sender);
        int32_t receivers = oracle_gpus_with(p, after, e, before, receiver);
        if (senders == 0) continue;
        int32_t q = receivers / senders, m = receivers % senders;
        for (int32_t i = 0; i < senders; i++) {
            for (int32_t j = i * q; j < i * q + q; j++) oracle_add_move(moves, e, sender[i], receiver[j]);
            if (i < m) oracle_add_move(moves, e, sender[i], receiver[q * senders + i]);
        }
    }
}

/* Moves stand in the order of the walk. */
static inline void oracle_one_peer(oracle_moves *moves)
{
    for (int32_t i = 0; i < moves->count; i++) {
        oracle_move *m = &moves->at[i];
        int32_t round = 0, free = 0;
        if (m->round >= 0) continue;
        while (!free) {
            free = 1;
            for (int32_t j = 0; j < moves->count; j++) {
                const oracle_move *o = &moves->at[j];
                if (o->round == round && (o->from == m->from || o->to == m->from || o->from == m->to || o->to == m->to))
                    free = 0;
            }
            round += !free;
        }
        for (int32_t j = i; j < moves->count; j++)
            if (moves->at[j].from == m->from && moves->at[j].to == m->to) moves->at[j].round = round;
    }
}

static inline int oracle_walk_order(const void *a, const void *b)
{
    const oracle_move *x = (const oracle_move *)a, *y = (const oracle_move *)b;
    if (x->expert != y->expert) return x->expert < y->expert ? -1 : 1;
    if (x->from != y->from) return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

/* The moves among a layer's transfers, in the order of the walk. */
static inline void oracle_moves_of(const eplb_problem *p, const eplb_transfer *t, size_t count, oracle_moves *moves)
{
    moves->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!transfer_is_link(&t[i])) continue;
        oracle_add_move(moves, t[i].expert, transfer_gpu(p, t[i].from_slot), transfer_gpu(p, t[i].to_slot));
        moves->at[moves->count - 1].round = t[i].round;
    }
    qsort(moves->at, (size_t)moves->count, sizeof *moves->at, oracle_walk_order);
}

static inline int oracle_same_moves(const oracle_moves *a, const oracle_moves *b, int with_rounds)
{
    for (int32_t i = 0; i < a->count && a->count == b->count; i++) {
        const oracle_move *x = &a->at[i], *y = &b->at[i];
        if (x->expert != y->expert || x->from != y->from || x->to != y->to || (with_rounds && x->round != y->round))
            return 0;
    }
    return a->count == b->count;
}

#endif
