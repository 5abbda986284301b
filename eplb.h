/* eplb.h - expert-parallelism load balancer, version 0.2.0

   Plans where the experts of a mixture-of-experts model live on GPUs: how many replicas each
   expert gets, and which GPU each replica is put on, so that the most loaded GPU carries as
   little as possible. One file, no dependency, no allocation, no state. MIT licence, at the end.

   HOW TO USE
     In exactly one C or C++ file:      #define EPLB_IMPLEMENTATION
                                        #include "eplb.h"
     Everywhere else:                   #include "eplb.h"

   CONTENTS
     Quick start, macros, guarantees, conventions, algorithm
     Interface:       version, linkage, results, problem, options, plan, rebalance, the steps by
                      themselves, samples, evaluate, transfers, shares
     Implementation:  six storeys, which it opens by naming: the ground, the call, one layer, of a plan,
                      the interface, the window
     History, licence

   QUICK START
     eplb_problem problem = EPLB_ZERO_INIT;
     problem.num_layers   = 2;   problem.num_experts = 12;   problem.num_replicas = 16;
     problem.num_groups   = 4;   problem.num_nodes   = 2;    problem.num_gpus     = 8;

     static unsigned char scratch[EPLB_SCRATCH_BOUND(12, 16, 8)];
     int32_t   phy2log[2 * 16];
     eplb_plan plan = EPLB_ZERO_INIT;
     plan.phy2log = phy2log;
     eplb_result r = eplb_rebalance(&problem, NULL, load, &plan, scratch, sizeof scratch);

   MACROS
     EPLB_IMPLEMENTATION    compile the functions here; in one file of a program
     EPLB_STATIC            the functions are static: a private copy, which is what a library that
                            vendors this file wants; with EPLB_IMPLEMENTATION (a file that needs
                            the types alone defines neither)
     EPLB_API               linkage of the functions, `extern` unless set; wherever included
     EPLB_ASSERT(x)         checks of this file's own invariants, never of the caller's input;
                            nothing unless set; with EPLB_IMPLEMENTATION
     EPLB_SCRATCH_ALIGN     alignment of the blocks within scratch: 64, or a smaller power of two
                            not under 8; the same wherever included
     EPLB_NO_SIMD           no vector instructions: the same plans, a little later; with
                            EPLB_IMPLEMENTATION
     EPLB_ALLOW_FAST_MATH   compile under -ffast-math all the same: bad loads are still refused,
                            but plans may differ from other builds; with EPLB_IMPLEMENTATION

   GUARANTEES
     Memory        Nothing is allocated. Scratch is the caller's, its size depends on the shape of
                   one layer (and its samples, where those are planned for) and not on the number of
                   layers, its address may be anything, and its contents mean nothing before and
                   after a call. Stack use is small and bounded; nothing recurses.
     Threads       There is no global state. Every function is reentrant; calls that share no
                   memory they write may run at once.
     Layers        Each layer is planned by itself: any partition of the layers over calls of
                   eplb_rebalance_layers, with a scratch for each thread, gives the same plan.
     Determinism   A plan depends on the arguments alone: the same integers on every compiler,
                   processor and optimisation level (EPLB_PLAN_VERSION rises when that changes).
                   All orders are total, all sums run in index order, and every float32 operation
                   is rounded by itself. -ffast-math is refused at compile time; the single flags
                   it is made of cannot be seen from here and must not be given.
     Errors        All arguments and loads are checked before anything is written, so an error
                   leaves every output as it was. The one exception is a log2phy_width that proves
                   too narrow for a layer: layers before it are complete, it and later ones are
                   untouched. Nothing is printed, aborted or asserted on bad input.

   CONVENTIONS
     L layers, E logical experts, R replicas (slots) in a layer over all GPUs, G GPUs, N nodes,
     K expert groups, T samples, S = R / G slots per GPU. Arrays are dense and row-major: "[L, E]"
     means element (l, e) is at index l * E + e. Indices start at 0. Ids are int32_t, loads are
     float32 in any unit. Slots g*S .. g*S+S-1 are GPU g's, GPUs n*G/N .. are node n's, unless
     problem.gpu_node says otherwise.
     A zeroed struct holds the documented defaults. Pointers are borrowed for the call only, but for
     the memory of a window.

   ALGORITHM
     One layer's load flows through these steps.
     1. Groups to nodes (hierarchical policy): the groups are packed onto nodes by their load.
     2. Replicate: within a node each spare slot goes to the expert with the largest load per
        replica (D'Hondt's method, which minimises the largest load of a replica).
     3. Pack: the slots are packed onto the node's GPUs, S on each. The heaviest goes first, to the
        lightest GPU that still has room (longest processing time first, LPT, Graham 1969).
     4. Refine: swaps of two slots on different GPUs lower the imbalance further.
     5. Select: with several candidates, each packed in an order perturbed a little, the best stays.
     6. Improve: a local search over replica counts and placement at once, for one sample of load or
        for many.
     Later, once the tokens of a step are counted, eplb_share says which replica serves how many of them.
     Steps 1 to 3 are those of deepseek-ai/EPLB (MIT), and preset DEEPSEEK gives its plans in every
     number; README.md names the sources of the other presets. */

#ifndef EPLB_H
#define EPLB_H

#include <stddef.h>
#include <stdint.h>

/* clang-format off */

/* ------------------------------------------------------------------------------------ version */

#define EPLB_VERSION_MAJOR  0
#define EPLB_VERSION_MINOR  2
#define EPLB_VERSION_PATCH  0
#define EPLB_VERSION_NUMBER (EPLB_VERSION_MAJOR * 10000 + EPLB_VERSION_MINOR * 100 + EPLB_VERSION_PATCH)
#define EPLB_VERSION_STRING "0.2.0"
#define EPLB_PLAN_VERSION   4 /* rises when any plan changes for the same arguments */

/* ------------------------------------------------------------------------------------ linkage */

#ifndef EPLB_API
#ifdef EPLB_STATIC
#define EPLB_API static inline /* inline: none of them need be used */
#else
#define EPLB_API extern
#endif
#endif

#ifndef EPLB_SCRATCH_ALIGN
#define EPLB_SCRATCH_ALIGN 64
#endif
#if EPLB_SCRATCH_ALIGN < 8 || (EPLB_SCRATCH_ALIGN & (EPLB_SCRATCH_ALIGN - 1)) != 0
#error "EPLB_SCRATCH_ALIGN must be a power of two, 8 at least"
#endif

#ifdef __cplusplus
#define EPLB_ZERO_INIT {}
extern "C" {
#else
#define EPLB_ZERO_INIT {0}
#endif

/* ------------------------------------------------------------------------------------ results */

typedef int32_t eplb_result; /* EPLB_OK or one of the errors; the numbers never change */

enum {
    EPLB_OK               = 0,
    EPLB_ERR_NULL         = -1,  /* a required pointer is NULL */
    EPLB_ERR_OPTION       = -2,  /* an option has an unknown value or one out of its range */
    EPLB_ERR_COUNT        = -10, /* a count is below 1, or negative where 0 is allowed */
    EPLB_ERR_LAYER_RANGE  = -11, /* first_layer and num_layers leave the problem */
    EPLB_ERR_DIVIDE       = -12, /* a count does not divide another that it must divide */
    EPLB_ERR_TOO_FEW      = -13, /* fewer replicas than experts */
    EPLB_ERR_MAX_REPLICAS = -14, /* options.max_replicas for every expert leaves slots empty */
    EPLB_ERR_OVERFLOW     = -15, /* the size of an array does not fit size_t, or a sum int32_t */
    EPLB_ERR_SCRATCH_SIZE = -20, /* scratch, or the memory of a window, is too small */
    EPLB_ERR_WIDTH        = -21, /* plan.log2phy_width is narrower than some expert's replicas */
    EPLB_ERR_CAPACITY     = -22, /* a list is longer than the array for it */
    EPLB_ERR_NAN          = -30, /* a load is not a number */
    EPLB_ERR_INFINITE     = -31, /* a load is infinite */
    EPLB_ERR_NEGATIVE     = -32, /* a load or a count is negative (-0 counts as 0) */
    EPLB_ERR_PLAN         = -33, /* phy2log names no such expert, or leaves an expert out */
    EPLB_ERR_SHARES       = -34, /* the shares of an expert's slots do not sum to its tokens */
    EPLB_ERR_CUDA         = -40, /* eplb_cuda.h: a launch failed, which may be for an earlier fault */
    EPLB_ERR_DEVICE_SHAPE = -41  /* eplb_cuda.h: a shape beyond what its kernels are made for */
};

/* eplb_result_name - the name of a result, such as "EPLB_ERR_SCRATCH_SIZE".
   returns a constant string, never NULL; "unknown eplb_result" for a number that is none */
EPLB_API const char *eplb_result_name(eplb_result r);

/* ------------------------------------------------------------------------------------ problem */

enum { /* eplb_problem.survive: what may be lost without an expert of two replicas or more being lost with it */
    EPLB_SURVIVE_NONE = 0, /* nothing need be */
    EPLB_SURVIVE_GPU  = 1, /* any one GPU */
    EPLB_SURVIVE_NODE = 2, /* any one node; not under the hierarchical policy, whose groups are each on one node */
    EPLB_NUM_SURVIVES
};

typedef struct eplb_problem {
    int32_t num_layers;   /* L, required */
    int32_t num_experts;  /* E, logical experts in a layer, required */
    int32_t num_replicas; /* R, slots in a layer over all GPUs, required; a multiple of num_gpus, >= E */
    int32_t num_groups;   /* K, groups of consecutive experts; 0 means 1; divides E when hierarchical */
    int32_t num_nodes;    /* N, 0 means 1; divides num_gpus, unless gpu_node is given */
    int32_t num_gpus;     /* G, required */
    int32_t num_samples;  /* T, rows of load in time; 0 means 1 */

    /* A cluster as it is. Slots that may not be used hold nothing, whatever a plan has in them. All NULL, or alike for
       all GPUs, is what a cluster of equal GPUs and nodes is. */
    const int32_t *gpu_slots; /* [G] slots of each GPU that may be used, 0 .. S, its first ones; 0 is a dead GPU. NULL: S */
    const float   *gpu_speed; /* [G] > 0: a GPU's load counts divided by it; NULL: all alike */
    const int32_t *gpu_node;  /* [G] node of each GPU, 0 .. N - 1, ascending; NULL: G / N on each */
    const uint8_t *locked;    /* [L, R] not 0 for slots that keep what options.previous_phy2log has in them; NULL: none */
    int32_t        survive;   /* EPLB_SURVIVE_*: an expert with two replicas or more has them where the loss of any one
                                 GPU, or node, leaves one; and as many experts as fit have two */
} eplb_problem;

/* ------------------------------------------------------------------------------------ options */

enum { /* eplb_options.policy */
    EPLB_POLICY_AUTO         = 0, /* hierarchical when num_nodes divides num_groups, and the loss of a node need not
                                     be survived; else global */
    EPLB_POLICY_HIERARCHICAL = 1, /* the experts of a group stay on one node; num_nodes divides num_groups, where nodes
                                     are alike. Where they are not, groups go where they fit; what fits nowhere whole
                                     is split: as few groups as possible, each over as few nodes as possible */
    EPLB_POLICY_GLOBAL       = 2, /* as with one group and one node */
    EPLB_NUM_POLICIES
};

enum { /* eplb_options.replication */
    EPLB_REPLICATE_DHONDT = 0, /* each spare slot to the largest load / count */
    EPLB_REPLICATE_HYBRID = 1, /* the last tenth of them to the largest load / (2 count - 1) instead
                                  (Sainte-Lague), then fixup_steps steps of repair */
    EPLB_NUM_REPLICATIONS
};

enum { /* eplb_packing.init */
    EPLB_INIT_LPT    = 0, /* heaviest item first, to the lightest pack with room, lower index on ties */
    EPLB_INIT_ZIGZAG = 1, /* heaviest item first, to packs 0, 1, .., m-1, m-1, .., 0, 0, 1, .. */
    EPLB_NUM_INITS
};

/* eplb_packing.refine. A swap moves item u of a heavier pack and item v of a lighter one into each
   other's pack. With d = w_u - w_v and D the difference of the packs' loads it helps when
   0 < d < D, by the gain min(d, D - d): the larger the gain, the nearer d is to D / 2, where the
   two packs become equal. Ties go to the first u, then the first v, in the order in which the
   candidate packed the items. "Tiny" is a millionth of the mean pack load. */
enum {
    EPLB_REFINE_NONE       = 0,
    EPLB_REFINE_MAX_MIN    = 1, /* best swap of the heaviest and the lightest pack, until they differ by
                                   less than tiny */
    EPLB_REFINE_PAIR_SCAN  = 2, /* best swap of the first pair of packs, heaviest against lightest first,
                                   that differ by tiny or more and have one */
    EPLB_REFINE_MAX_TO_ANY = 3, /* best swap of the heaviest pack with any other, while its gain is more
                                   than tiny */
    EPLB_REFINE_L2         = 4, /* the swap of any two packs that lowers the sum of squared pack loads
                                   most, by 2 d (D - d), while that is more than tiny squared */
    EPLB_NUM_REFINEMENTS
};

/* eplb_packing.noise: the order of candidate c > 0 is by a key made of the load w, the scale s and u,
   uniform in [0, 1) */
enum {
    EPLB_NOISE_CENTRED = 0, /* w (1 - s/2 + s u) */
    EPLB_NOISE_RAMP    = 1, /* w + u w s_c, where s_c rises from 0 at candidate 0 to s at the last */
    EPLB_NUM_NOISES
};

enum { /* eplb_packing.select: which candidate stays, the first on ties */
    EPLB_SELECT_MAX_LOAD = 0, /* the smallest maximum pack load */
    EPLB_SELECT_SPREAD   = 1, /* the smallest maximum less minimum */
    EPLB_SELECT_VARIANCE = 2, /* the smallest variance of pack loads */
    EPLB_NUM_SELECTIONS
};

typedef struct eplb_packing { /* how one balanced packing is done; all zero: plain LPT */
    int32_t init;             /* EPLB_INIT_* */
    int32_t refine;           /* EPLB_REFINE_* */
    int32_t max_swaps;        /* upper bound on swaps per candidate; 0 allows none */
    int32_t heavy_packs;      /* PAIR_SCAN: heaviest packs tried, 0 = all */
    int32_t num_candidates;   /* starts, 0 means 1; candidate 0 is never perturbed */
    int32_t noise;            /* EPLB_NOISE_* */
    float   noise_scale;      /* s, from 0 to 2 */
    int32_t select;           /* EPLB_SELECT_* */
} eplb_packing;

enum { /* eplb_options.shares: how the replicas of an expert will share its load */
    EPLB_PLAN_FOR_EQUAL = 0, /* evenly */
    EPLB_PLAN_FOR_EXACT = 1, /* as eplb_share does, anew in each step */
    EPLB_NUM_PLAN_FORS
};

enum { /* eplb_options.engine: whose own planner the plan is to equal, in every number */
    EPLB_ENGINE_NONE = 0, /* nobody's: the options say how to plan */
    EPLB_ENGINE_VLLM = 1, /* vLLM 0.33's default policy: D'Hondt and LPT by loads and sums in double precision, and its
                             way of keeping slots. Anything but DHONDT, LPT without swaps or further candidates, and
                             no effort, thus no limits and no price, is refused. Several samples are planned for as
                             their mean. A cluster as it is, which vLLM has no plan for, is planned for as by NONE */
    EPLB_NUM_ENGINES
};

typedef struct eplb_options { /* all zero: the reference, preset DEEPSEEK */
    int32_t      policy;        /* EPLB_POLICY_* */
    int32_t      replication;   /* EPLB_REPLICATE_* */
    int32_t      fixup_steps;   /* HYBRID: steps that move one replica from a donor to the expert with the
                                   largest load per replica, each only if it lowers that load; 0 = none */
    int32_t      max_replicas;  /* cap on the replicas of one expert, 0 = none */
    eplb_packing group_packing; /* groups to nodes that are alike; for others eplb_rebalance says how they go */
    eplb_packing gpu_packing;   /* slots to the GPUs of a node */
    uint64_t     seed;          /* of the candidates' noise and of the improvement's kicks */
    int32_t      effort;        /* how hard each node's plan is improved, replica counts and placement
                                   jointly: 0 leaves it as packed, 1 is one local search; with one sample
                                   each further one is a kick that disturbs the plan and another search
                                   (several in small nodes), while something is left to gain. In a node of at
                                   most 16 slots whose GPUs are alike all plans are tried before any kick, which
                                   nearly always ends with the best there is */
    int32_t      allow_duplicates; /* improve: 0 = an expert is never twice on a GPU while another GPU of
                                   its node is free of it (and, where GPUs have unlike numbers of slots, holds
                                   something that is not on the first); 1 = it may be where that is better still, as it
                                   may wherever a GPU has more slots than its node has experts */
    const float *sample_weight; /* [T] what each sample counts for beside the largest of these numbers among
                                   the samples that hold load in the layer (for nothing below 2^-30 of it);
                                   >= 0 and not all 0; NULL = all alike */
    int32_t      shares;        /* EPLB_PLAN_FOR_*. EXACT counts where there is effort, of any amount: the plan
                                   starts with more experts of few replicas, and one local search is for the
                                   heaviest GPU that exact shares leave in each sample; its weighted sum over
                                   the samples is no more than before the search. It takes more scratch */

    /* From the plan in force. A move is an expert that a GPU gets and did not hold in any slot, wherever it comes
       from; one that nobody holds any more has to be loaded, and counts for nothing. The limits hold whichever of
       its holders sends an expert, those on the GPU's node before others; they and the price are for options with
       effort, and count where there is a plan in force. */
    const int32_t *previous_phy2log; /* [L, R] the plan in force, -1 is an empty slot; NULL: none. It may be
                                        plan.phy2log itself */
    int32_t      max_moves;      /* moves in a layer; 0 = no limit, -1 = none may be */
    int32_t      max_gpu_moves;  /* into one GPU in a layer, and out of one; 0 = no limit */
    int32_t      max_pair_moves; /* from one GPU to one other in a layer; 0 = no limit */
    int32_t      max_node_moves; /* into one node from others in a layer, and out of it to others; 0 = no limit */
    float        move_cost;      /* moves must lower the heaviest GPU's load by this each, in mean GPU loads, >= 0; not
                                    while more than one slot in 32 is empty in the plan in force, and a GPU that has some
                                    takes an eighth less than the mean, or less: one that joins, or is back */

    int32_t      engine;         /* EPLB_ENGINE_* */
} eplb_options;

enum { /* presets; README.md has their sources, tests/bench/README.md their costs and gains */
    EPLB_PRESET_DEFAULT      = 0,  /* groups by LPT and 50 swaps L2, slots by LPT and effort 33: a plan that is
                                      hard to beat, at moderate cost */
    EPLB_PRESET_DEEPSEEK     = 1,  /* LPT alone: the reference, in every number */
    EPLB_PRESET_ZIGZAG       = 2,  /* zigzag, 20 swaps MAX_MIN */
    EPLB_PRESET_SWAP_MAX_MIN = 3,  /* LPT, 20 swaps MAX_MIN */
    EPLB_PRESET_HILL_CLIMB   = 4,  /* LPT, 100 swaps PAIR_SCAN over all packs */
    EPLB_PRESET_SWAP_MAX_ANY = 5,  /* LPT, 50 swaps MAX_TO_ANY */
    EPLB_PRESET_MULTI_START  = 6,  /* LPT, 30 swaps PAIR_SCAN(3), 2 candidates, smallest spread */
    EPLB_PRESET_RESTARTS     = 7,  /* LPT, 100 swaps PAIR_SCAN(1), 5 candidates, smallest variance */
    EPLB_PRESET_ENSEMBLE     = 8,  /* LPT, 20 swaps MAX_MIN, 64 candidates, smallest maximum */
    EPLB_PRESET_HYBRID       = 9,  /* hybrid replication, 1 fix-up, LPT, 1 or 2 swaps (groups, GPUs) */
    EPLB_PRESET_L2           = 10, /* LPT, 50 swaps L2 */
    EPLB_PRESET_BEST         = 11, /* the same with effort 257: DEFAULT's plan where that has reached the bound,
                                      and elsewhere what more time can still find */
    EPLB_PRESET_VLLM         = 12, /* LPT alone, as vLLM 0.33's default policy does it: its plans in every number, the
                                      slots that it keeps included, wherever loads do not tie. In which order its
                                      sort puts equally heavy groups of experts, or replicas of two experts, vLLM
                                      leaves open; here the lower index is first */
    EPLB_NUM_PRESETS         = 13
};

/* eplb_options_preset - fill in the options of a preset, to use as they are or to change.
   in      preset   EPLB_PRESET_*
   out     options  every field is set; seed is 0
   returns EPLB_OK, EPLB_ERR_NULL, EPLB_ERR_OPTION (no such preset) */
EPLB_API eplb_result eplb_options_preset(int32_t preset, eplb_options *options);

/* eplb_preset_name - the name of a preset in lower case, such as "swap_max_min".
   returns a constant string; NULL when there is no such preset */
EPLB_API const char *eplb_preset_name(int32_t preset);

/* --------------------------------------------------------------------------------------- plan */

typedef struct eplb_plan { /* the caller's memory; any pointer but phy2log may be NULL */
    int32_t *phy2log;       /* [L, R]  expert of each slot; slots of GPU g are g*S .. g*S+S-1 */
    int32_t *phyrank;       /* [L, R]  which replica of its expert a slot holds, 0-based */
    int32_t *logcnt;        /* [L, E]  replicas of each expert, >= 1 */
    int32_t *log2phy;       /* [L, E, log2phy_width]  slots of each expert by rank, padded with -1 */
    int32_t  log2phy_width; /* R - E + 1, or options.max_replicas, always suffices */
    int32_t *layer_status;  /* [L]  EPLB_OK for each layer that is complete; on a GPU also what is wrong
                               with a layer's loads or width: see eplb_cuda.h */
} eplb_plan;

/* ---------------------------------------------------------------------------------- rebalance */

/* With effort, more samples than this are planned for as so many, once equal neighbours count as one: neighbours that
   count for little are merged to their weighted mean, and their weights add. */
#define EPLB_MOST_SAMPLES 64

/* EPLB_SCRATCH_BOUND, EPLB_SCRATCH_BOUND_SAMPLES - bytes of scratch that suffice for eplb_rebalance and
   eplb_evaluate with any options but EPLB_PLAN_FOR_EXACT and a plan in force, of a cluster whose GPUs are alike, as a
   constant expression of E, R, G and, with several samples, T: for static arrays. eplb_scratch_size is exact. */
#define EPLB_SCRATCH_BOUND(num_experts, num_replicas, num_gpus)                                    \
    EPLB_SCRATCH_BOUND_SAMPLES(num_experts, num_replicas, num_gpus, 1)
#define EPLB_SCRATCH_BOUND_SAMPLES(num_experts, num_replicas, num_gpus, num_samples)               \
    ((size_t)36 * (size_t)(num_experts) +                                                          \
     (size_t)76 * (size_t)(num_replicas) + (size_t)64 * (size_t)(num_gpus) +                       \
     ((size_t)(num_experts) / 4 + 2 * (size_t)(num_gpus) + 12) * (size_t)(num_gpus) +              \
     ((size_t)12 * (size_t)(num_experts) + (size_t)4 * (size_t)(num_gpus) + 4) *                   \
         (size_t)((num_samples) < EPLB_MOST_SAMPLES ? (num_samples) : EPLB_MOST_SAMPLES) +         \
     (size_t)48 * EPLB_SCRATCH_ALIGN)

/* eplb_scratch_size - bytes of scratch for eplb_rebalance, eplb_rebalance_layers and eplb_evaluate.
   in      problem, options  as there; options NULL = EPLB_PRESET_DEFAULT
   out     bytes             at least 1; the same for any num_layers
   returns EPLB_OK or what is wrong with problem or options */
EPLB_API eplb_result eplb_scratch_size(const eplb_problem *problem, const eplb_options *options,
                                       size_t *bytes);

/* eplb_rebalance - plan all layers.
   in      options  NULL = EPLB_PRESET_DEFAULT
           weight   [T, L, E] float32, row-major: load of each expert, finite, >= 0, in any unit.
                    With T > 1 and options.effort the plan is for samples like these, each weighted
                    by options.sample_weight (more than EPLB_MOST_SAMPLES that count are merged to so
                    many, in the order given); without effort it is for their weighted mean. In each
                    layer, samples that hold no load there count for nothing: with or without them the
                    plan is the same. With effort, samples that are equal in a layer and follow one another
                    there count as one, their weights added. A layer whose load is all zero is planned as if its load were
                    even. A layer whose largest load is not within 2^-40 .. 2^41 is first scaled by a
                    power of two.
   out     plan     see eplb_plan; within a GPU slots stand heaviest first, then by lower index. From a plan in
                    force: its slots that keep their expert stay, the GPU's others stand so. Without limits and
                    price the GPUs hold what they would without it, each where the fewest experts are new and then
                    the most slots stay (with EPLB_ENGINE_VLLM GPUs stay where they are, and of copies on one the
                    first stays, as vLLM does it). With them the search begins with the plan in force, and no plan has a
                    higher sum of heaviest GPU and price than staying has, but for experts that are lost, which
                    are placed all the same; slots may stay empty, -1 (phyrank -1), and groups stay on their
                    nodes unless the plan made without the one in force is within the limits and better, or a node is
                    back, or joins: while a quarter of its slots is empty, and it takes an eighth less than the mean,
                    whole groups come to it as far as the limits allow. Plan after plan it fills up. A group that is split
                    in the plan in force, as it was where it fitted nowhere whole, is made whole expert by expert
                    where it fits again, as far as the limits allow and no GPU takes longer than the slowest did; these
                    moves have no price.
                    On a cluster as it is (see eplb_problem): slots that may not be used are -1. What counts as a
                    GPU's load is what it takes: its load by its speed. LPT gives the next item to the GPU whose
                    load / speed would be least after it, of equals the lowest; where all speeds are alike to the
                    lightest, as the reference does. Refinements swap by what the slower of two GPUs takes less by
                    (L2: by the sum of load squared / speed). Only GPUs that are alike take each other's slots over.
                    Under the hierarchical policy each expert is on one node: groups go to nodes that are not alike
                    by LPT of load by speed, then change nodes while these become more even; the experts of a group
                    that fits nowhere whole go to as few nodes as can be, each to one. Slots stay empty rather than
                    break max_replicas or problem.survive, which is kept as far as locked slots and limits allow
   scratch bytes from eplb_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK; EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE, _TOO_FEW, _MAX_REPLICAS, _OVERFLOW,
           _SCRATCH_SIZE, _NAN, _INFINITE, _NEGATIVE, _PLAN (a slot of the plan in force names no such expert,
           or with limits or price, an expert is on two nodes under the hierarchical policy; of locked slots an
           expert has more than max_replicas, or is on two nodes under the hierarchical policy, or they leave too few
           others for the experts that have none) with nothing written; _WIDTH with the layers before the one in
           question complete. eplb_diagnose says more.
   ties    always to the lower index: of experts, slots, packs, candidates
   cost    a layer takes O(E log E + R log R) per candidate without refinement (where a node's GPUs are not alike
           O(R G), and a swap O(R^2)); a swap takes O(G)
           and a search over pairs of slots, S * S for each pair of GPUs that it looks at. Effort looks
           at 2^20 + 64 E R pairs (of slots, of GPUs, of a slot and an expert; in a node) and what the
           move at hand takes, at most, each in O(T), whatever the loads, of which 2^16 at most are for trying
           all plans of a node of few slots; tests/bench/README.md has measured times. Slots
           are kept in O(R + G R) and, for each GPU that is not where it is valued most, O(G (G + R / G)) at
           most; under the hierarchical policy for each two nodes. With limits or price the layer is planned
           twice, and the second search is on all nodes at once
   threads reentrant; split the layers with eplb_rebalance_layers
   source  deepseek-ai/EPLB; Philox4x32-10: Salmon et al. 2011; Kuhn 1955; Minoux 1978 */
EPLB_API eplb_result eplb_rebalance(const eplb_problem *problem, const eplb_options *options,
                                    const float *weight, const eplb_plan *plan, void *scratch,
                                    size_t scratch_bytes);

/* eplb_rebalance_layers - plan num_layers layers from first_layer on; the arrays are those of the
   whole problem, and only these layers' loads are read and only their part of the plan is written.
   returns as eplb_rebalance, and EPLB_ERR_LAYER_RANGE; num_layers 0 does nothing */
EPLB_API eplb_result eplb_rebalance_layers(const eplb_problem *problem, const eplb_options *options,
                                           const float *weight, const eplb_plan *plan, void *scratch,
                                           size_t scratch_bytes, int32_t first_layer,
                                           int32_t num_layers);

typedef struct eplb_diagnosis {
    eplb_result result;       /* what eplb_rebalance returns for the same arguments */
    const char *field;        /* the argument at fault, such as "problem.num_replicas"; "" when none */
    int32_t     layer;        /* layer, sample and expert of the load at fault, or layer and slot of the plan in force;
                                 -1 where it does not apply */
    int32_t     sample;
    int32_t     item;
    int32_t     width_needed; /* EPLB_ERR_WIDTH: what the layer at fault needs; else 0 */
    size_t      bytes_needed; /* scratch that suffices, once problem and options are right; else 0 */
} eplb_diagnosis;

/* eplb_diagnose - why eplb_rebalance gave an error, given the same arguments.
   out     diagnosis  every field is set; plan is not written, scratch is
   returns what eplb_rebalance returns; EPLB_ERR_NULL also when diagnosis is NULL
   cost    the checks; when only log2phy_width can be wrong, that of planning again */
EPLB_API eplb_result eplb_diagnose(const eplb_problem *problem, const eplb_options *options,
                                   const float *weight, const eplb_plan *plan, void *scratch,
                                   size_t scratch_bytes, eplb_diagnosis *diagnosis);

/* -------------------------------------------------------------------------- the steps by themselves */

/* eplb_packing_scratch_size - bytes of scratch for eplb_balanced_packing.
   returns EPLB_OK, EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE (num_packs, num_items), _OVERFLOW */
EPLB_API eplb_result eplb_packing_scratch_size(int32_t num_items, int32_t num_packs,
                                               const eplb_packing *how, size_t *bytes);

/* eplb_balanced_packing - pack n items into m packs, n / m in each, with even loads.
   in      weight        [X, n] float32, finite, >= 0; X rows, each packed by itself; an all-zero
                         row is packed as if even
           how           NULL = the gpu_packing of EPLB_PRESET_DEFAULT
           seed          of the candidates' noise, drawn as eplb_rebalance does for GPUs, row for layer
   out     pack_index    [X, n] pack of each item; item i is in pack i when n == m
           rank_in_pack  [X, n] or NULL: place within the pack, heaviest first, then lower index
   scratch bytes from eplb_packing_scratch_size; any address
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE,
           _OVERFLOW, _SCRATCH_SIZE, _NAN, _INFINITE, _NEGATIVE
   ties, cost, threads, source  as eplb_rebalance */
EPLB_API eplb_result eplb_balanced_packing(const float *weight, int32_t num_rows, int32_t num_items,
                                           int32_t num_packs, const eplb_packing *how, uint64_t seed,
                                           int32_t *pack_index, int32_t *rank_in_pack, void *scratch,
                                           size_t scratch_bytes);

/* eplb_replicate_scratch_size - bytes of scratch for eplb_replicate_experts.
   returns EPLB_OK, EPLB_ERR_NULL, _COUNT, _TOO_FEW, _OVERFLOW */
EPLB_API eplb_result eplb_replicate_scratch_size(int32_t num_log, int32_t num_phy, size_t *bytes);

/* eplb_replicate_experts - give each expert a slot and the spare slots to the most loaded.
   in      weight       [X, num_log] float32, finite, >= 0; X rows, each by itself; an all-zero row
                        counts as even
           replication  EPLB_REPLICATE_*; fixup_steps as in eplb_options
   out     phy2log      [X, num_phy] expert of each slot; slots 0 .. num_log-1 hold experts in order
           rank         [X, num_phy] or NULL: which replica of its expert a slot holds
           logcnt       [X, num_log] or NULL: replicas of each expert, >= 1
   scratch bytes from eplb_replicate_scratch_size; any address
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION, _COUNT, _TOO_FEW,
           _OVERFLOW, _SCRATCH_SIZE, _NAN, _INFINITE, _NEGATIVE
   ties    to the lower expert
   cost    O(num_log + (num_phy - num_log) log num_log), and O(num_log) for each fix-up step
   source  deepseek-ai/EPLB replicate_experts; D'Hondt 1878; Sainte-Lague 1910 */
EPLB_API eplb_result eplb_replicate_experts(const float *weight, int32_t num_rows, int32_t num_log,
                                            int32_t num_phy, int32_t replication, int32_t fixup_steps,
                                            int32_t *phy2log, int32_t *rank, int32_t *logcnt,
                                            void *scratch, size_t scratch_bytes);

/* ------------------------------------------------------------------------------------ samples */

typedef struct eplb_window { /* the last samples of load: a ring in the caller's memory */
    int32_t num_layers;      /* L */
    int32_t num_experts;     /* E */
    int32_t capacity;        /* most samples held */
    int32_t num_samples;     /* samples held: T of the view; set it and next to 0 to start afresh */
    int32_t next;            /* row that the next push fills */
    float   decay;           /* what a sample counts for beside the one after it, in (0, 1] */
    float  *weight;          /* [capacity, L, E] the samples, in the order of the ring */
    float  *sample_weight;   /* [capacity] what each counts for: 1 for the newest, decay for the one
                                before, decay * decay before that, .. */
} eplb_window;

/* eplb_window_size - bytes of memory for a window: one float32 for each load, and a little more.
   out     bytes  at least 1
   returns EPLB_OK, EPLB_ERR_NULL, _COUNT, _OVERFLOW */
EPLB_API eplb_result eplb_window_size(int32_t num_layers, int32_t num_experts, int32_t capacity,
                                      size_t *bytes);

/* eplb_window_init - an empty window.
   in      decay   in (0, 1], 0 means 1; a sample's weight halves over h samples when it is
                   2^(-1/h): 0.9786 for 32
   out     window  every field is set; its pointers go into memory
   memory  bytes from eplb_window_size; any address; the window's for as long as it is in use,
           during which it must stay where it is
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION (decay), _COUNT,
           _OVERFLOW, _SCRATCH_SIZE
   cost    O(1); memory is not cleared
   threads reentrant; one window is for one thread at a time, except that any number may view it */
EPLB_API eplb_result eplb_window_init(eplb_window *window, int32_t num_layers, int32_t num_experts,
                                      int32_t capacity, float decay, void *memory, size_t bytes);

/* eplb_window_push - add a sample, in place of the oldest when the window is full.
   in      load    [L, E] float32, finite, >= 0, in any unit; not within the window's memory
   inout   window  what older samples count for is multiplied by decay, once; a sample all of zeros tells
                   nothing, and leaves the window as it is
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _COUNT and _OPTION (a window
           that was not made by eplb_window_init), _NAN, _INFINITE, _NEGATIVE
   cost    O(L E + capacity)
   threads as eplb_window_init */
EPLB_API eplb_result eplb_window_push(eplb_window *window, const float *load);

/* eplb_window_push_counts - the same for whole tokens.
   in      count   [L, E], >= 0; those above 2^24 are rounded to the nearest float32
   returns as eplb_window_push */
EPLB_API eplb_result eplb_window_push_counts(eplb_window *window, const int32_t *count);

/* eplb_window_view - what eplb_rebalance needs to plan for the samples of a window.
   out     problem  num_layers, num_experts and num_samples are set; the other fields stay
           options  sample_weight is set, the other fields stay; NULL when not wanted: the samples
                    then all count alike
           weight   the [T, L, E] for eplb_rebalance, in the order of the ring: not that of time once
                    the window has been full, which nothing but the rounding of sums depends on
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _COUNT (also when the window is
           empty, as no sample with load has been pushed), _OPTION
   cost    O(1): nothing is copied, so the next push changes what the view shows
   threads as eplb_window_init */
EPLB_API eplb_result eplb_window_view(const eplb_window *window, eplb_problem *problem,
                                      eplb_options *options, const float **weight);

/* eplb_logical_counts - tokens of each expert, from those that each slot served.
   in      problem     only num_layers, num_experts and num_replicas are read
           plan        only phy2log is read: the plan that was in force; an expert may be in no slot, and
                       a slot may be empty, -1
           slot_count  [L, R] tokens of each slot, >= 0; 0 for slots that carried padding; those of an
                       empty slot are no expert's
   out     count       [L, E] sum over the slots of each expert; does not overlap the inputs
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _COUNT, _TOO_FEW, _PLAN (a slot
           names no such expert), _NEGATIVE, _OVERFLOW (also when a sum does not fit int32_t)
   cost    O(L (E + R)); O(E R) for a layer whose slots served 2^31 tokens or more
   threads reentrant */
EPLB_API eplb_result eplb_logical_counts(const eplb_problem *problem, const eplb_plan *plan,
                                         const int32_t *slot_count, int32_t *count);

/* ----------------------------------------------------------------------------------- evaluate */

typedef struct eplb_layer_report { /* loads in the caller's unit, FLT_MAX at most; samples are those that
                                      hold load in the layer. Where GPUs that have slots differ in speed, the first four
                                      are of times, loads by the caller's speeds; else no load is divided */
    float   max_load;             /* of a GPU; mean over the samples of each sample's maximum */
    float   mean_load;            /* all load by all GPUs that have slots, or by their speeds; mean over the samples;
                                     rounded down, as lower_bound is */
    float   balancedness;         /* mean_load / max_load, in (0, 1]; 1 when there is no load */
    float   lower_bound;          /* no plan of this problem and policy has a smaller max_load; >= mean_load */
    float   replica_balancedness; /* mean / maximum load of slots that hold an expert, of the mean over samples */
    int32_t max_logcnt;           /* most replicas of one expert */
    int32_t num_duplicates;       /* slots whose expert is in an earlier slot of the same GPU too */
    int32_t num_split_groups;     /* hierarchical policy: groups whose experts are on several nodes */
} eplb_layer_report;

/* eplb_evaluate - how even a plan spreads a load, and how even any plan could.
   An expert's load is shared evenly by its replicas.
   in      problem   what slots beyond gpu_slots hold is not there, whatever it is, so that the plan in force can be
                     evaluated just after a GPU has died; gpu_speed divides each GPU's load; gpu_node says what a
                     node is. lower_bound heeds all three, and survive where it leaves none of the experts a third
                     replica; what is locked it heeds only so far as groups need be split for it
           options   policy and max_replicas count, for lower_bound, and previous_phy2log where slots are locked;
                     NULL = EPLB_PRESET_DEFAULT
           weight    [T, L, E], as for eplb_rebalance
           plan      only phy2log is read; the plan may come from anywhere and need not keep to the
                     policy, which only lower_bound is about; -1 is an empty slot
   out     report    [L]; where not all groups fit nodes, lower_bound is that of plans that split as few as
                     possible, and one alone over two nodes if two have the slots for it. A plan that splits more, as
                     one from the plan in force may still, can be below it
           gpu_load  [L, G] or NULL: load of each GPU, not divided by speed, mean over the samples; 0 of a dead one
   scratch bytes from eplb_scratch_size for the same problem and options; any address
   returns EPLB_OK, or an error with nothing written: those of eplb_rebalance but _WIDTH, and
           EPLB_ERR_PLAN (a slot that may be used names no such expert, or an expert is in none of these)
   cost    O(T (E + R) + R log R) for a layer; under the hierarchical policy the bound tries at most
           some 700 splits of groups over nodes, mostly for O(E) each, O(R log R) at most; where a group must be split,
           for as much for each pair of nodes that may share it; and O(G^2), at most, once where GPUs are not alike
   threads reentrant */
EPLB_API eplb_result eplb_evaluate(const eplb_problem *problem, const eplb_options *options,
                                   const float *weight, const eplb_plan *plan,
                                   eplb_layer_report *report, float *gpu_load, void *scratch,
                                   size_t scratch_bytes);

/* ---------------------------------------------------------------------------------- transfers

   From the plan in force to a new one. A move is an expert that a GPU gets and did not hold in any slot: its
   weights come over a link, once for each GPU. */

enum { /* eplb_transfer.kind */
    EPLB_TRANSFER_SAME_GPU   = 0, /* the GPU has the expert in another slot: a copy within it */
    EPLB_TRANSFER_SAME_NODE  = 1, /* over a link, from a GPU of its node */
    EPLB_TRANSFER_OTHER_NODE = 2, /* over a link, from another node; no GPU of its own held the expert */
    EPLB_TRANSFER_LOST       = 3, /* nobody holds the expert: it has to be loaded from elsewhere */
    EPLB_NUM_TRANSFERS
};

typedef struct eplb_transfer {
    int32_t layer, expert;
    int32_t from_slot; /* in the plan in force, or with SAME_GPU, where the GPU did not hold the expert in it, in the
                          new plan: the slot that gets it; -1 when LOST */
    int32_t to_slot;   /* in the new plan */
    int32_t kind;      /* EPLB_TRANSFER_* */
    int32_t round;     /* from 0 in each layer; transfers of a round may run at once; -1 for SAME_GPU and LOST */
} eplb_transfer;

enum { /* eplb_transfer_options.sources: which of its holders sends an expert */
    EPLB_SOURCES_EVEN  = 0, /* one on the receiver's node where there is one; by that rule no choice has a smaller
                               largest number of transfers that one GPU sends */
    EPLB_SOURCES_DEALT = 1, /* as vLLM does: its receivers in order are dealt to its holders in order, as many in a row
                               to each as all can have, the rest one each */
    EPLB_NUM_SOURCES
};

enum { /* eplb_transfer_options.rounds */
    EPLB_ROUNDS_DUPLEX   = 0, /* in a round a GPU sends one expert and receives one; as few rounds as can be */
    EPLB_ROUNDS_ONE_PEER = 1, /* as vLLM does: in a round a GPU talks with one other, and one of the two sends. All
                                 that one GPU sends another is a flow; flows in the order of their lowest expert,
                                 sender, receiver go to the first round in which neither GPU occurs */
    EPLB_NUM_ROUNDS
};

typedef struct eplb_transfer_options { /* all zero: EVEN, DUPLEX, no limit */
    int32_t sources;       /* EPLB_SOURCES_* */
    int32_t rounds;        /* EPLB_ROUNDS_* */
    int32_t max_per_round; /* transfers in a round, 0 = no limit; flows that are larger are cut */
} eplb_transfer_options;

/* eplb_transfers_scratch_size - bytes of scratch for eplb_transfers, eplb_transfers_in_place and eplb_check_plan: at
   most 4 each for 4 E + 13 R + 10 G + N numbers, R / 4 for each GPU, and what aligns them.
   in      problem  of these functions only num_layers, num_experts, num_replicas, num_gpus and num_nodes are read
                    (of eplb_check_plan, all)
   out     bytes    at least 1; the same for any num_layers
   returns EPLB_OK, EPLB_ERR_NULL, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW (an array does not fit size_t) */
EPLB_API eplb_result eplb_transfers_scratch_size(const eplb_problem *problem, size_t *bytes);

/* eplb_transfers - what has to be sent where, and when, for a new plan to be in force.
   in      previous_phy2log  [L, R] the plan in force, from anywhere; -1 is an empty slot
           phy2log           [L, R] the new plan; slots that are empty in it, or that keep their expert, need nothing
           how               NULL = zeroed
   out     transfer       one for each other slot: layers in order, in a layer by round, those of round -1 first, then
                          by to_slot. An expert that a GPU gets in several slots comes to the lowest, the others copy
                          from there. Of a GPU's slots with an expert that one is the source which keeps it, else
                          the lowest. NULL: they are only counted, and scratch may be NULL
           num_transfers  their number
   scratch bytes from eplb_transfers_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW,
           _SCRATCH_SIZE, _PLAN (a slot of either plan names no such expert), _CAPACITY, which sets num_transfers
   rounds  DUPLEX: max(most sends, most receives of a GPU, ceil(moves / max_per_round)), which none can be below
   ties    by index: of experts, then senders, then receivers
   cost    of a layer with M moves: O(E + R + M) and, for each move, the moves of the GPUs on one alternating path;
           O(R (E + R)) at most, and O(R G) more for sources of which there is a choice
   threads reentrant; each layer is solved by itself
   source  Koenig 1916; Harvey, Ladner, Lovasz, Tamir 2003; McDiarmid 1972 and de Werra 1971; vLLM 0.33 */
EPLB_API eplb_result eplb_transfers(const eplb_problem *problem, const int32_t *previous_phy2log,
                                    const int32_t *phy2log, const eplb_transfer_options *how, eplb_transfer *transfer,
                                    size_t capacity, size_t *num_transfers, void *scratch, size_t scratch_bytes);

/* eplb_transfers_in_place - the same where each expert goes straight to its slot, with no buffer for a layer: steps
   in which no slot is overwritten before all that is read from it has been read.
   Where slots take over from each other in a ring, one of them has to be set aside. Its GPU then needs a staging slot,
   which stands in steps as slot R + g of GPU g: a SAME_GPU step copies there, and a later step takes it from there.
   No order stages fewer experts, one for each ring, and no GPU ever needs two staging slots at once; without rings
   there is no staging.
   in      previous_phy2log, phy2log, how  as there; sources are those of eplb_transfers
   out     step         a step for each transfer, and one for each ring: layers in order, in a layer by round. Every
                        step has one. In a round, first the SAME_GPU and LOST steps are to be done, in the order in
                        which they stand, then the others at once: a LOST step is when the slot may be loaded. NULL:
                        they are only counted
           num_steps    their number
           num_staging  [L] or NULL: GPUs of the layer that need a staging slot
   rounds  as many as a list schedule takes, longest chain first: no fewer than eplb_transfers has, and often more,
           as a slot that takes over from another waits until that one has been read
   scratch, returns, threads  as eplb_transfers
   cost    O(R (E + R)) for a layer, twice when there are steps to be written */
EPLB_API eplb_result eplb_transfers_in_place(const eplb_problem *problem, const int32_t *previous_phy2log,
                                             const int32_t *phy2log, const eplb_transfer_options *how,
                                             eplb_transfer *step, size_t capacity, size_t *num_steps,
                                             int32_t *num_staging, void *scratch, size_t scratch_bytes);

enum { /* eplb_plan_fault.reason */
    EPLB_FAULT_NONE           = 0,
    EPLB_FAULT_PREVIOUS_ID    = 1,  /* a slot of the plan in force names no such expert */
    EPLB_FAULT_ID             = 2,  /* a slot names no such expert */
    EPLB_FAULT_MISSING        = 3,  /* no slot holds an expert */
    EPLB_FAULT_MAX_REPLICAS   = 4,  /* more replicas of an expert than options.max_replicas */
    EPLB_FAULT_TWICE          = 5,  /* an expert is twice on a GPU while another GPU of its node is free of it, and holds
                                       something that it could change places with, though options has effort without
                                       allow_duplicates, GPUs no more slots than their node has experts, and the loss of
                                       a node need not be survived */
    EPLB_FAULT_GROUP          = 6,  /* hierarchical policy: experts of a group are on two nodes, of more groups than do not
                                       fit whole, or with limits or price are not whole in the plan in force, or as
                                       locked slots demand; or an expert is */
    EPLB_FAULT_NOT_KEPT       = 7,  /* an expert stays on a GPU, but is put in another slot of it */
    EPLB_FAULT_MOVES          = 8,  /* more moves than max_moves */
    EPLB_FAULT_GPU_MOVES_IN   = 9,  /* more moves into a GPU than max_gpu_moves, */
    EPLB_FAULT_GPU_MOVES_OUT  = 10, /* or out of one */
    EPLB_FAULT_PAIR_MOVES     = 11, /* more moves from one GPU to another than max_pair_moves */
    EPLB_FAULT_NODE_MOVES_IN  = 12, /* more moves into a node than max_node_moves, */
    EPLB_FAULT_NODE_MOVES_OUT = 13, /* or out of one */
    EPLB_FAULT_UNUSABLE       = 14, /* an expert in a slot that may not be used, which for all above is as good as empty */
    EPLB_FAULT_LOCKED         = 15, /* a locked slot does not hold what it does in the plan in force */
    EPLB_FAULT_DIES           = 16, /* problem.survive: all replicas of an expert, of two or more, would be lost at once */
    EPLB_FAULT_SINGLE         = 17, /* problem.survive: an expert has one replica, though another, by the hierarchical
                                       policy one of its node, has three or more */
    EPLB_NUM_FAULTS
};

typedef struct eplb_plan_fault {
    int32_t reason;  /* EPLB_FAULT_*; the fields below are -1 where they do not apply */
    int32_t layer;
    int32_t slot;    /* with moves: the lowest that is one too many */
    int32_t expert;  /* in that slot, or missing */
    int32_t other;   /* TWICE, GROUP: a lower slot that it is at odds with; NOT_KEPT: the slot it was in; DIES: the
                        GPU, or node; SINGLE: an expert that has more; LOCKED: what it held */
    int32_t count;   /* MAX_REPLICAS, moves, DIES, SINGLE: how many there are; SINGLE: of the other expert */
    int32_t allowed; /* and may be */
} eplb_plan_fault;

/* eplb_fault_name - the name of a reason in lower case, such as "not_kept".
   returns a constant string; NULL when there is no such reason */
EPLB_API const char *eplb_fault_name(int32_t reason);

/* eplb_check_plan - whether a plan may be put in force.
   in      options  policy, max_replicas, effort, allow_duplicates, the plan in force and the limits count; moves are
                    those of eplb_transfers with the sources EVEN; NULL = EPLB_PRESET_DEFAULT
           phy2log  [L, R] the plan, from anywhere; -1 is an empty slot
   out     fault    every field is set: the first reason, in the order of their numbers, of the first layer that has
                    one, and of that reason the lowest slot (MISSING: expert); EPLB_FAULT_NONE and -1 when there is none
   scratch bytes from eplb_transfers_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK when the plan has no fault; EPLB_ERR_PLAN when it has one; or, with nothing written, what is wrong
           with the call: EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE, _TOO_FEW, _MAX_REPLICAS, _OVERFLOW, _SCRATCH_SIZE
   cost    O(E + R) for a layer, O(R G) for duplicates, and with limits that of the sources of eplb_transfers
   threads reentrant */
EPLB_API eplb_result eplb_check_plan(const eplb_problem *problem, const eplb_options *options, const int32_t *phy2log,
                                     eplb_plan_fault *fault, void *scratch, size_t scratch_bytes);

typedef struct eplb_switch_options { /* all zero: equal shares, any gain, no scores, no limit */
    int32_t      shares;         /* EPLB_PLAN_FOR_*: how replicas share an expert's load */
    float        threshold;      /* the least relative gain that pays; one above 0 is needed in any case */
    float        hysteresis;     /* with in_force_score: by how much more than this a plan must have fallen below it */
    const float *in_force_score; /* [L] balancedness of each layer's plan when it was put in force; NULL = none */
    int64_t      max_moves;      /* of all layers together; 0 = no limit, -1 = none */
} eplb_switch_options;

typedef struct eplb_switch { /* of one layer, from the plan in force to a new one */
    int32_t layer;
    int32_t moves;         /* as in eplb_transfers: what nobody holds any more comes from elsewhere, and is none */
    int32_t lost;          /* experts that nobody holds any more */
    int32_t pays;          /* 1: it does, 0: it does not */
    float   before, after; /* load of the heaviest GPU, as max_load of a report; before is FLT_MAX where experts are lost */
    float   balancedness;  /* with the new plan: in_force_score of the layer once that is put in force */
    float   gain_per_move; /* (before - after) / mean load of a GPU / moves; where experts are lost, or there is a gain
                              without moves, FLT_MAX; without either not divided by moves */
} eplb_switch;

/* eplb_weigh_switch_scratch_size - bytes of scratch for eplb_weigh_switch: 4 each for 10 E + 16 R + 20 G numbers, and
   what aligns them.
   in      problem  as for eplb_weigh_switch
   out     bytes    at least 1; the same for any num_layers and num_samples
   returns EPLB_OK, EPLB_ERR_NULL, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW (an array does not fit size_t) */
EPLB_API eplb_result eplb_weigh_switch_scratch_size(const eplb_problem *problem, size_t *bytes);

/* eplb_weigh_switch - which layers of a new plan to put in force, and in which order, for what they gain.
   A layer pays when 1 - after / before is above 0 and no less than the threshold; and, where there are scores, the
   plan in force has fallen by more than the hysteresis below its score; and the moves of the paying layers before it
   leave room for its own under max_moves. One that has lost experts always pays, since their tokens cannot be served
   otherwise; its moves count all the same.
   in      problem           num_layers, num_experts, num_replicas, num_gpus, num_nodes and num_samples are read
           weight            [T, L, E], as for eplb_rebalance
           previous_phy2log  [L, R] the plan in force, from anywhere; -1 is an empty slot
           phy2log           [L, R] the new plan, in which every expert is in a slot; -1 is an empty slot
           how               NULL = zeroed
   out     layers            [L] by gain_per_move, largest first: so those that have lost experts, or gain without
                             moves, then the others
   scratch bytes from eplb_weigh_switch_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION (also a threshold, hysteresis or score that
           is not a number, infinite or negative), _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW, _SCRATCH_SIZE, _NAN, _INFINITE,
           _NEGATIVE, _PLAN
   ties    to the lower layer. Gains are worked out from balancednesses, that is, in any unit
   cost    for a layer two evaluations of the plan, with equal shares O(T (E + R)) each, and O(E + R) for moves; and
           O(L log L)
   threads reentrant */
EPLB_API eplb_result eplb_weigh_switch(const eplb_problem *problem, const float *weight, const int32_t *previous_phy2log,
                                       const int32_t *phy2log, const eplb_switch_options *how, eplb_switch *layers,
                                       void *scratch, size_t scratch_bytes);

typedef struct eplb_lost_expert {
    int32_t layer, expert;
} eplb_lost_expert;

/* eplb_lost_experts - the experts that nobody holds any more once some GPUs are gone.
   in      problem   only num_layers, num_experts, num_replicas, num_gpus and num_nodes are read
           phy2log   [L, R] the plan in force, from anywhere; -1 is an empty slot
           gpu_lost  [G] not 0 for GPUs that are gone; NULL: none is
   out     lost      by layer, then by expert; NULL: they are only counted
           num_lost  their number
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW, _PLAN (a
           slot, of whatever GPU, names no such expert), _CAPACITY, which sets num_lost
   cost    O(E + R) for a layer and each 1024 experts in it
   threads reentrant */
EPLB_API eplb_result eplb_lost_experts(const eplb_problem *problem, const int32_t *phy2log, const uint8_t *gpu_lost,
                                       eplb_lost_expert *lost, size_t capacity, size_t *num_lost);

/* ------------------------------------------------------------------------------------- shares */

enum { /* how an expert's replicas share its tokens; with gpu_speed loads are times, of tokens by speed */
    EPLB_SHARE_LEAST_MAX = 0, /* no shares give the heaviest GPU fewer tokens */
    EPLB_SHARE_FAIR      = 1, /* among those the loads, sorted heaviest first, are lexicographically least; where
                                 speeds are alike their squares sum to the least too */
    EPLB_NUM_SHARES
};

/* eplb_share_scratch_size - bytes of scratch for eplb_share, eplb_share_proof and eplb_share_sources: 4 each for
   3 E + 9 R + 11 G numbers, and what aligns them; G more where speeds differ.
   in      problem  of these functions only num_layers, num_experts, num_replicas, num_gpus, num_nodes, gpu_slots,
                    gpu_speed and gpu_node are read
   out     bytes    at least 1; the same for any num_layers
   returns EPLB_OK, EPLB_ERR_NULL, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW (an array does not fit size_t), and what is
           wrong with a speed: _NAN, _INFINITE, _NEGATIVE */
EPLB_API eplb_result eplb_share_scratch_size(const eplb_problem *problem, size_t *bytes);

/* eplb_share - how many of this step's tokens each replica serves, chosen exactly.
   in      problem     gpu_slots: slots that may not be used serve nothing, whatever phy2log has in them, so that the
                       plan in force does right after a GPU has died, as long as its experts are elsewhere too.
                       gpu_speed: in ratios that are exact while the fastest is less than 128 times as fast as the
                       slowest; beyond that speeds lose what is under 2^-30 of the fastest, which is the least that
                       one counts
           phy2log     [L, R] the plan in force, from anywhere; an expert may be several times on a GPU, which
                       counts as once there; a slot may be empty, -1, and an expert without tokens in no slot
           count       [L, E] tokens of each expert, >= 0; at most 2^31 - 1 in a layer
           how         EPLB_SHARE_*
   out     slot_count  [L, R] tokens of each slot, whole; an expert's slots sum to its count, and its slots on one
                       GPU differ by at most one, the lower ones having more
           most        [L] or NULL: tokens of the heaviest GPU; where speeds differ, of the one that takes longest,
                       the first of several
   scratch bytes from eplb_share_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _OPTION, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW
           (also when a layer has more tokens than int32_t counts), _SCRATCH_SIZE, _NEGATIVE, _NAN and _INFINITE (of
           speeds), _PLAN (a slot names no such expert, or an expert with tokens is in no slot that may be used)
   ties    the search goes by index, of experts and of GPUs; whoever solves it gets the same shares. Of GPUs that are
           done at the same time the slower ones are the first to do without a token
   cost    O(E + R) for a layer, and for each bound a few searches over the slots of experts on several GPUs; there
           are two or three bounds to the least maximum, and fewer than 2 G to fair loads
   threads reentrant; each layer is solved by itself
   source  Dinic 1970; Dinkelbach 1967; Fujishige 1980 */
EPLB_API eplb_result eplb_share(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count,
                                int32_t how, int32_t *slot_count, int32_t *most, void *scratch,
                                size_t scratch_bytes);

/* eplb_share_proof - why no shares give the heaviest GPU fewer tokens than eplb_share does: a set of GPUs, and the
   tokens of experts that live on GPUs of the set alone. However they are shared, some GPU of the set has their
   mean, rounded up, and that is what the heaviest GPU of eplb_share has. Where speeds differ: by any time sooner than
   its, all of the set together are done with fewer whole tokens than these.
   in      phy2log, count  as for eplb_share
   out     proving         [L, G] 1 for the GPUs of the set, of which there is one at least, 0 for others
           num_proving     [L] or NULL: their number
           tokens          [L] or NULL: of the experts that live nowhere else
   scratch, returns, ties, cost, threads  as eplb_share */
EPLB_API eplb_result eplb_share_proof(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count,
                                      uint8_t *proving, int32_t *num_proving, int32_t *tokens, void *scratch,
                                      size_t scratch_bytes);

/* eplb_share_sources - where the tokens that wait on each GPU go, once shares are chosen. For each expert as many as
   its shares allow stay on their GPU, and of the others as many as they allow on their node; what is dealt within a
   node, or between nodes, is dealt in order, lower GPUs to lower slots.
   in      problem       gpu_slots as for eplb_share; tokens may wait on GPUs without slots. gpu_node: nodes of any
                         size; NULL: GPUs n*G/N .. are node n's
           phy2log       [L, R] as for eplb_share
           source_count  [L, G, E] tokens for each expert that wait on each GPU, >= 0
           slot_count    [L, R] shares, from anywhere: >= 0, and an expert's slots sum to what waits for it
   out     quota         [L, G, R] tokens from each GPU to each slot: those to a slot sum to its slot_count, those
                         from a GPU to an expert's slots to its source_count
   scratch bytes from eplb_share_scratch_size; any address; overlaps neither input nor output
   returns as eplb_share, but for _OPTION; and EPLB_ERR_SHARES (also when a slot that may not be used has a share)
   cost    O(G (E + R)) for a layer
   threads reentrant */
EPLB_API eplb_result eplb_share_sources(const eplb_problem *problem, const int32_t *phy2log,
                                        const int32_t *source_count, const int32_t *slot_count, int32_t *quota,
                                        void *scratch, size_t scratch_bytes);

/* eplb_evaluate_shares - how even a plan spreads a load when the replicas' shares are chosen exactly, for each sample
   anew: what eplb_evaluate reports of equal shares. A mean of loads is one sample.
   Loads are shared in whole tokens: those of a sample in a layer are multiplied by the power of two that brings
   their sum just under 2^31, and cut off. So loads in any unit do, and whole tokens are shared more finely than
   eplb_share does, which leaves the heaviest GPU up to a token more.
   in      problem      num_samples counts here too; gpu_slots and gpu_speed as for eplb_share
           phy2log      [L, R] as in the plan of eplb_evaluate: every expert is in a slot that may be used; a slot may
                        be empty, -1
           weight       [T, L, E], as for eplb_rebalance
   out     balancedness [L] mean / maximum load of a GPU, as in the report: means over the samples that hold load in
                        the layer, and their ratio; 1 where none does. GPUs without slots do not count. Where the
                        others' speeds differ a GPU's load is divided by its speed, and the mean is all load by all
                        speeds
           max_load     [L] or NULL: of a GPU, so divided; mean over these samples of each one's maximum
   scratch bytes from eplb_share_scratch_size; any address; overlaps neither input nor output
   returns EPLB_OK, or an error with nothing written: EPLB_ERR_NULL, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW,
           _SCRATCH_SIZE, _NAN, _INFINITE, _NEGATIVE, _PLAN
   cost    T times that of eplb_share, for least maxima
   threads reentrant; each layer by itself */
EPLB_API eplb_result eplb_evaluate_shares(const eplb_problem *problem, const int32_t *phy2log, const float *weight,
                                          float *balancedness, float *max_load, void *scratch, size_t scratch_bytes);

/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif /* EPLB_H */

/* ==================================================================================================
   IMPLEMENTATION

   Six storeys, in the order in which data flows: what is called stands above what calls it, so that a
   reader never has to go back up. Private names start with eplb_p_.

     A. The ground       numerics, arena, random numbers, sorting, pairs
     B. The call         results, options, checks, shape
     C. One layer        loads, replicate, pack (initial, refine, select), groups to nodes, slots to GPUs,
                         as vLLM plans, improve (state, swap, replace, heaviest GPU, search), finish, a layer
     D. Of a plan        bounds, evaluate, transfers (sources, rounds, in place), check of a plan, lost experts,
                         shares, what a switch gains, the plan in force (kept slots, few moves)
     E. The interface    calls, the steps by themselves, a plan that is there, transfers,
                         what a switch gains, shares
     F. The window */

#if defined(EPLB_IMPLEMENTATION) && !defined(EPLB_P_IMPLEMENTED)
#define EPLB_P_IMPLEMENTED

#if defined(__FAST_MATH__) && !defined(EPLB_ALLOW_FAST_MATH)
#error "eplb.h: -ffast-math changes plans; compile without it, or define EPLB_ALLOW_FAST_MATH"
#endif

#include <float.h>

#if FLT_RADIX != 2 || FLT_MANT_DIG != 24 || DBL_MANT_DIG != 53
#error "eplb.h: float and double must be IEEE 754's of 32 and 64 bits, or plans and reports would differ"
#endif

#ifndef EPLB_ASSERT
#define EPLB_ASSERT(x) ((void)0)
#endif

/* Vectors of four that are part of the target. Not in freestanding builds: the compilers' own headers for them
   may include libc's. */
#if !defined(EPLB_NO_SIMD) && !defined(__CUDACC__) && __STDC_HOSTED__
#if defined(__SSE2__)
#define EPLB_P_SSE2
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define EPLB_P_NEON
#include <arm_neon.h>
#endif
#endif

#define EPLB_P_VECTOR 4 /* floats in a vector; rows are filled up to whole ones in every build */

#ifdef __cplusplus
extern "C" {
#endif

/* =================================================================================================
   A. THE GROUND

   in     nothing of ours: numbers, arrays, memory
   out    what CPU and GPU both decide by: one operation rounded once, orders that are total, bids, gains
   writes eplb_p_arena, the scratch being carved
   calls  only what stands above, as every storey does */

/* Does not compile unless it is so: a list has been extended where all that goes through it has to follow. */
#define EPLB_P_HOLDS(name, fact) typedef char eplb_p_holds_##name[(fact) ? 1 : -1]

/* ----------------------------------------------------------------------------------- numerics

   Everything that decides where an expert goes is computed by the functions of this section, on
   the CPU and on the GPU alike. */

/* Linkage of private functions. nvcc makes them for the GPU too, where what is not inlined is called: all calls of a
   layer's planning inlined would be more than it can compile. What a caller mostly does without stands APART: it shall
   not be in its frame, as stacks are small. */
#if defined(__CUDACC__)
#define EPLB_P          static __host__ __device__ __noinline__
#define EPLB_P_HD       static __host__ __device__ __forceinline__
#define EPLB_P_HD_LARGE EPLB_P_HD /* what such a function is given by address stays in registers */
#else
#define EPLB_P          static
#define EPLB_P_HD       static inline
#define EPLB_P_HD_LARGE static /* more inlining than compilers choose by themselves made them slower */
#endif
#if defined(__GNUC__) && !defined(__CUDACC__)
#define EPLB_P_APART EPLB_P __attribute__((noinline))
#else
#define EPLB_P_APART EPLB_P
#endif

/* One float32 operation, rounded once. A compiler may keep a sum wider than float32 (x87) or fuse a
   product into the sum behind it (every processor with FMA, and no pragma stops gcc); a pass
   through a volatile is the portable way to forbid both. */
#if defined(__CUDA_ARCH__)
EPLB_P_HD float eplb_p_add(float a, float b) { return __fadd_rn(a, b); }
EPLB_P_HD float eplb_p_sub(float a, float b) { return __fsub_rn(a, b); }
EPLB_P_HD float eplb_p_mul(float a, float b) { return __fmul_rn(a, b); }
EPLB_P_HD float eplb_p_div(float a, float b) { return __fdiv_rn(a, b); }
EPLB_P_HD float eplb_p_float_of(int64_t x) { return __ll2float_rn(x); }
EPLB_P_HD double eplb_p_times(double a, double b) { return __dmul_rn(a, b); } /* reports are sums of doubles */
#else
EPLB_P_HD float eplb_p_rounded(float x)
{
    volatile float once = x;
    return once;
}
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__FMA__) && !defined(__FMA4__)
EPLB_P_HD float eplb_p_mul(float a, float b) { return a * b; } /* there is nothing to fuse with */
EPLB_P_HD double eplb_p_times(double a, double b) { return a * b; }
#else
EPLB_P_HD float eplb_p_mul(float a, float b) { return eplb_p_rounded(a * b); }
EPLB_P_HD double eplb_p_times(double a, double b)
{
    volatile double once = a * b;
    return once;
}
#endif
#if FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16
EPLB_P_HD float eplb_p_add(float a, float b) { return a + b; }
EPLB_P_HD float eplb_p_sub(float a, float b) { return a - b; }
EPLB_P_HD float eplb_p_div(float a, float b) { return a / b; }
EPLB_P_HD float eplb_p_float_of(int64_t x) { return (float)x; }
#else
EPLB_P_HD float eplb_p_add(float a, float b) { return eplb_p_rounded(a + b); }
EPLB_P_HD float eplb_p_sub(float a, float b) { return eplb_p_rounded(a - b); }
EPLB_P_HD float eplb_p_div(float a, float b) { return eplb_p_rounded(a / b); }
EPLB_P_HD float eplb_p_float_of(int64_t x) { return eplb_p_rounded((float)x); }
#endif
#endif

/* The bits of a float in memory, by copy: the one way that is defined in C and C++. Tests on them
   hold under -ffast-math too, where `x != x` is folded away. */
EPLB_P_HD uint32_t eplb_p_bits_at(const float *x)
{
    uint32_t bits = 0;
#if defined(__CUDA_ARCH__)
    bits = __float_as_uint(*x);
#elif defined(__GNUC__)
    __builtin_memcpy(&bits, x, sizeof bits);
#else
    size_t i;
    for (i = 0; i < sizeof bits; i++) ((unsigned char *)&bits)[i] = ((const unsigned char *)x)[i];
#endif
    return bits;
}

EPLB_P_HD uint32_t eplb_p_bits(float x) { return eplb_p_bits_at(&x); }

EPLB_P_HD float eplb_p_from_bits(uint32_t bits)
{
    float x = 0.0f;
#if defined(__CUDA_ARCH__)
    x = __uint_as_float(bits);
#elif defined(__GNUC__)
    __builtin_memcpy(&x, &bits, sizeof x);
#else
    size_t i;
    for (i = 0; i < sizeof x; i++) ((unsigned char *)&x)[i] = ((const unsigned char *)&bits)[i];
#endif
    return x;
}

#define EPLB_P_SIGN     0x80000000u /* the bits of -0; set in every negative number */
#define EPLB_P_INFINITY 0x7F800000u

/* A total order in one integer: value first, then index. The bits of non-negative floats are
   ordered as the floats are, so the smallest key is the heaviest (or lightest) item, and among
   equals the one with the lowest index. */
EPLB_P_HD uint64_t eplb_p_heavy_first(float value, int32_t index)
{
    return ((uint64_t)~eplb_p_bits(value) << 32) | (uint32_t)index;
}

EPLB_P_HD uint64_t eplb_p_light_first(float value, int32_t index)
{
    return ((uint64_t)eplb_p_bits(value) << 32) | (uint32_t)index;
}

/* The value of the latter. */
EPLB_P_HD float eplb_p_value_of_light(uint64_t key) { return eplb_p_from_bits((uint32_t)(key >> 32)); }

/* The same of two indices. */
EPLB_P_HD uint64_t eplb_p_key_of_two(int32_t first, int32_t second)
{
    return ((uint64_t)(uint32_t)first << 32) | (uint32_t)second;
}

EPLB_P_HD int32_t eplb_p_index(uint64_t key) { return (int32_t)(key & UINT32_MAX); }
EPLB_P_HD uint64_t eplb_p_smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

#define EPLB_P_LAST UINT64_MAX /* a key behind every other */
#define EPLB_P_NONE (-1)       /* no item, no GPU, no node, no slot: nobody */

EPLB_P_HD int32_t eplb_p_index_or_none(uint64_t key) { return key == EPLB_P_LAST ? EPLB_P_NONE : eplb_p_index(key); }

/* The same order where values have 64 bits and no key has room for both: what is worth most of all that is looked at by
   rising index, and among equals the first. */
typedef struct eplb_p_incumbent {
    int64_t worth;
    int32_t index; /* EPLB_P_NONE: nothing was worth more than that */
} eplb_p_incumbent;

EPLB_P_HD eplb_p_incumbent eplb_p_worth_more_than(int64_t worth)
{
    eplb_p_incumbent nothing = EPLB_ZERO_INIT;
    nothing.worth = worth;
    nothing.index = EPLB_P_NONE;
    return nothing;
}

EPLB_P_HD int eplb_p_beats(int64_t worth, int64_t best) { return worth > best; }

/* Returns whether it is the best by now. */
EPLB_P_HD int eplb_p_challenge(eplb_p_incumbent *best, int64_t worth, int32_t index)
{
    if (!eplb_p_beats(worth, best->worth)) return 0;
    best->worth = worth;
    best->index = index;
    return 1;
}

#define EPLB_P_NO_ITEM FLT_MAX /* the load of what fills up a row: too heavy to be swapped for anything */

/* What an expert bids for its next replica: load / count (D'Hondt), which is also the load of each
   of its replicas, or load / (2 count - 1) (Sainte-Lague). */
enum { EPLB_P_DHONDT, EPLB_P_SAINTE_LAGUE };

EPLB_P_HD float eplb_p_bid(float load, int32_t count, int method)
{
    uint32_t divisor = method == EPLB_P_DHONDT ? (uint32_t)count : 2u * (uint32_t)count - 1u;
    return divisor == 1 ? load : eplb_p_div(load, (float)divisor); /* most experts have one replica */
}

/* The gain of a swap that moves d from a pack to one that is D lighter; positive when it helps.
   min(d, D - d) is exact: where it is D - d, D <= 2 d, and the difference of such floats is one. */
EPLB_P_HD float eplb_p_swap_gain(float d, float D)
{
    float rest = eplb_p_sub(D, d);
    return d < rest ? d : rest;
}

/* Half of what such a swap takes off the sum of squared pack loads. */
EPLB_P_HD float eplb_p_swap_fall(float d, float D) { return eplb_p_mul(d, eplb_p_sub(D, d)); }

/* No such fall exceeds D^2 / 4, give or take its rounding. */
EPLB_P_HD float eplb_p_largest_fall(float D) { return D * D * 0.2500005f; }

/* Whether such a fall is worth a swap. */
EPLB_P_HD int eplb_p_fall_counts(float fall, float tiny) { return eplb_p_add(fall, fall) > eplb_p_mul(tiny, tiny); }

/* What an expert's other replicas come to carry more when one of `count` is taken away. */
EPLB_P_HD float eplb_p_rise(float load, int32_t count)
{
    return eplb_p_sub(eplb_p_bid(load, count - 1, EPLB_P_DHONDT), eplb_p_bid(load, count, EPLB_P_DHONDT));
}

/* The share of the mean pack load below which a difference of packs counts as none. The published
   programs use 1e-6 of whatever unit the loads come in. */
#define EPLB_P_TINY 1e-6f

/* Double precision, where a plan is to equal one that others make in it. A number is here the bits of a double that is
   0 or a normal one above, as loads, what is left of them for a replica and sums of these are; so bits are ordered as
   numbers are. All is worked out in integers, as processors that compute in wider registers round twice. */
#define EPLB_P_WIDE_INFINITY ((uint64_t)0x7FF << 52)
#define EPLB_P_WIDE_HIDDEN   ((uint64_t)1 << 52) /* the bit of a mantissa that is not stored */

/* The nearest number to x, of which bit 62 is the highest one and bit 0 stands for all that was left out below it too;
   the even one on ties. exponent: as it is stored for bit 62. */
EPLB_P uint64_t eplb_p_round_wide(uint64_t x, uint32_t exponent)
{
    uint64_t kept = x >> 10, rest = x & 1023;
    kept += rest > 512 || (rest == 512 && (kept & 1) != 0);
    return ((uint64_t)(exponent - 1) << 52) + kept; /* whose hidden bit is the 1; two of them, if all were ones */
}

/* load / count */
EPLB_P uint64_t eplb_p_wide_bid(float load, int32_t count)
{
    uint32_t bits = eplb_p_bits(load), exponent = (bits >> 23) + 1023 - 127;
    uint64_t divisor = (uint64_t)count, dividend = bits & 0x7FFFFF, high, low;

    if (bits == 0) return 0;
    if (bits >> 23) dividend |= 0x800000;
    else exponent++; /* a denormal float's is that of the least normal one */
    for (; dividend < 0x800000; exponent--) dividend *= 2;
    dividend <<= 39;
    high = dividend / divisor;
    dividend = dividend % divisor << 32;
    low = dividend / divisor;
    for (; high >> 62 == 0; exponent--) {
        high = high << 1 | low >> 31;
        low = low << 1 & UINT32_MAX;
    }
    return eplb_p_round_wide(high | (low != 0 || dividend % divisor != 0), exponent);
}

EPLB_P uint64_t eplb_p_wide_sum(uint64_t a, uint64_t b)
{
    uint64_t more = a > b ? a : b, less = a > b ? b : a, sum, lost;
    uint32_t exponent = (uint32_t)(more >> 52), shift = exponent - (uint32_t)(less >> 52);

    if (less == 0) return more;
    less = (less & (EPLB_P_WIDE_HIDDEN - 1)) | EPLB_P_WIDE_HIDDEN;
    sum = (more & (EPLB_P_WIDE_HIDDEN - 1)) | EPLB_P_WIDE_HIDDEN;
    less <<= 9;
    sum <<= 9;
    if (shift > 62) shift = 62; /* nothing but the lowest bit is left of it, as with more */
    lost = less & (((uint64_t)1 << shift) - 1);
    sum += less >> shift | (lost != 0);
    if (sum >> 62 == 0) return eplb_p_round_wide(sum << 1, exponent);
    return eplb_p_round_wide(sum, exponent + 1);
}

/* The few operations on vectors that are used. All are exact or rounded as those on single floats. */
#if defined(EPLB_P_SSE2)
typedef __m128 eplb_p_vector;
static inline eplb_p_vector eplb_p_vector_of(float x) { return _mm_set1_ps(x); }
static inline eplb_p_vector eplb_p_vector_at(const float *from) { return _mm_loadu_ps(from); }
static inline void eplb_p_vector_to(float *to, eplb_p_vector a) { _mm_storeu_ps(to, a); }
static inline eplb_p_vector eplb_p_vector_set(float a, float b, float c, float d) { return _mm_setr_ps(a, b, c, d); }
static inline eplb_p_vector eplb_p_vector_sub(eplb_p_vector a, eplb_p_vector b) { return _mm_sub_ps(a, b); }
static inline eplb_p_vector eplb_p_vector_mul(eplb_p_vector a, eplb_p_vector b) { return _mm_mul_ps(a, b); }
static inline eplb_p_vector eplb_p_vector_div(eplb_p_vector a, eplb_p_vector b) { return _mm_div_ps(a, b); }
static inline eplb_p_vector eplb_p_vector_min(eplb_p_vector a, eplb_p_vector b) { return _mm_min_ps(a, b); }
static inline eplb_p_vector eplb_p_vector_max(eplb_p_vector a, eplb_p_vector b) { return _mm_max_ps(a, b); }
static inline eplb_p_vector eplb_p_vector_add(eplb_p_vector a, eplb_p_vector b) { return _mm_add_ps(a, b); }
static inline float eplb_p_vector_sum(eplb_p_vector a)
{
    a = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(a, _mm_shuffle_ps(a, a, 1)));
}
static inline int eplb_p_vector_any_at_least(eplb_p_vector a, eplb_p_vector b)
{
    return _mm_movemask_ps(_mm_cmpge_ps(a, b)) != 0;
}
static inline eplb_p_vector eplb_p_vector_or_doubtful(eplb_p_vector doubtful, eplb_p_vector a)
{
    __m128i infinite = _mm_cmpgt_epi32(_mm_castps_si128(a), _mm_set1_epi32((int32_t)EPLB_P_INFINITY - 1));
    return _mm_or_ps(doubtful, _mm_or_ps(a, _mm_castsi128_ps(infinite))); /* its sign is what counts */
}
static inline int eplb_p_vector_any(eplb_p_vector doubtful) { return _mm_movemask_ps(doubtful) != 0; }
static inline eplb_p_vector eplb_p_vector_abs(eplb_p_vector a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
static inline float eplb_p_vector_smallest(eplb_p_vector a)
{
    a = _mm_min_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_min_ss(a, _mm_shuffle_ps(a, a, 1)));
}
static inline float eplb_p_vector_largest(eplb_p_vector a)
{
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
}

typedef __m128i eplb_p_ints; /* the bits of loads, and counts */
static inline eplb_p_ints eplb_p_ints_of(int32_t x) { return _mm_set1_epi32(x); }
static inline eplb_p_ints eplb_p_ints_at(const int32_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}
static inline eplb_p_ints eplb_p_ints_bits(const float *from) { return _mm_castps_si128(_mm_loadu_ps(from)); }
static inline void eplb_p_ints_to(int32_t *to, eplb_p_ints a) { _mm_storeu_si128((__m128i *)(void *)to, a); }
static inline eplb_p_ints eplb_p_ints_sub(eplb_p_ints a, eplb_p_ints b) { return _mm_sub_epi32(a, b); }
static inline eplb_p_vector eplb_p_vector_of_ints(eplb_p_ints a) { return _mm_cvtepi32_ps(a); }
static inline eplb_p_vector eplb_p_vector_of_bits(eplb_p_ints a) { return _mm_castsi128_ps(a); }
typedef __m128i eplb_p_squares; /* two sums of 64 bits */
static inline eplb_p_squares eplb_p_no_squares(void) { return _mm_setzero_si128(); }
static inline eplb_p_squares eplb_p_add_squares(eplb_p_squares sums, eplb_p_ints a)
{
    __m128i sign = _mm_srai_epi32(a, 31), odd;
    a = _mm_sub_epi32(_mm_xor_si128(a, sign), sign);
    odd = _mm_srli_epi64(a, 32);
    return _mm_add_epi64(sums, _mm_add_epi64(_mm_mul_epu32(a, a), _mm_mul_epu32(odd, odd)));
}
static inline int64_t eplb_p_squares_sum(eplb_p_squares sums)
{
    int64_t each[2];
    _mm_storeu_si128((__m128i *)(void *)each, sums);
    return each[0] + each[1];
}
static inline eplb_p_ints eplb_p_ints_add(eplb_p_ints a, eplb_p_ints b) { return _mm_add_epi32(a, b); }
static inline eplb_p_ints eplb_p_ints_turned(eplb_p_ints a) { return _mm_shuffle_epi32(a, 0x39); }
static inline eplb_p_ints eplb_p_ints_digits(eplb_p_ints a, int32_t shift, int32_t digit)
{
    __m128i high, low = _mm_srl_epi32(a, _mm_cvtsi32_si128(shift));
    high = _mm_slli_epi32(_mm_srl_epi32(low, _mm_cvtsi32_si128(digit)), 16);
    return _mm_or_si128(high, _mm_and_si128(low, _mm_set1_epi32((1 << digit) - 1)));
}
static inline eplb_p_ints eplb_p_ints_above(eplb_p_ints a, eplb_p_ints b) { return _mm_cmpgt_epi32(a, b); } /* -1 */
static inline eplb_p_ints eplb_p_vector_above(eplb_p_vector a, eplb_p_vector b)
{
    return _mm_castps_si128(_mm_cmpgt_ps(a, b));
}
static inline eplb_p_ints eplb_p_ints_chosen(eplb_p_ints first, eplb_p_ints a, eplb_p_ints b)
{
    return _mm_or_si128(_mm_and_si128(first, a), _mm_andnot_si128(first, b));
}
static inline void eplb_p_philox_in_vector(uint64_t key, const uint32_t counter[4], uint32_t out[4]) /* as below */
{
    __m128i x, product, keys, steps, factors;
    int round;
    x = _mm_setr_epi32((int32_t)counter[0], (int32_t)counter[1], (int32_t)counter[2], (int32_t)counter[3]);
    keys = _mm_setr_epi32((int32_t)(uint32_t)key, 0, (int32_t)(uint32_t)(key >> 32), 0);
    steps = _mm_setr_epi32((int32_t)0x9E3779B9u, 0, (int32_t)0xBB67AE85u, 0);
    factors = _mm_setr_epi32((int32_t)0xD2511F53u, 0, (int32_t)0xCD9E8D57u, 0);
    for (round = 0; round < 10; round++) {
        product = _mm_mul_epu32(x, factors); /* halves of a, low one first, and of b */
        x = _mm_xor_si128(_mm_shuffle_epi32(product, 0x1B), _mm_xor_si128(_mm_srli_epi64(x, 32), keys));
        keys = _mm_add_epi32(keys, steps);
    }
    _mm_storeu_si128((__m128i *)(void *)out, x);
}
#elif defined(EPLB_P_NEON)
typedef float32x4_t eplb_p_vector;
static inline eplb_p_vector eplb_p_vector_of(float x) { return vdupq_n_f32(x); }
static inline eplb_p_vector eplb_p_vector_at(const float *from) { return vld1q_f32(from); }
static inline void eplb_p_vector_to(float *to, eplb_p_vector a) { vst1q_f32(to, a); }
static inline eplb_p_vector eplb_p_vector_set(float a, float b, float c, float d)
{
    return vsetq_lane_f32(d, vsetq_lane_f32(c, vsetq_lane_f32(b, vdupq_n_f32(a), 1), 2), 3);
}
static inline eplb_p_vector eplb_p_vector_sub(eplb_p_vector a, eplb_p_vector b) { return vsubq_f32(a, b); }
static inline eplb_p_vector eplb_p_vector_mul(eplb_p_vector a, eplb_p_vector b) { return vmulq_f32(a, b); }
static inline eplb_p_vector eplb_p_vector_div(eplb_p_vector a, eplb_p_vector b) { return vdivq_f32(a, b); }
static inline eplb_p_vector eplb_p_vector_min(eplb_p_vector a, eplb_p_vector b) { return vminq_f32(a, b); }
static inline eplb_p_vector eplb_p_vector_max(eplb_p_vector a, eplb_p_vector b) { return vmaxq_f32(a, b); }
static inline eplb_p_vector eplb_p_vector_add(eplb_p_vector a, eplb_p_vector b) { return vaddq_f32(a, b); }
static inline float eplb_p_vector_sum(eplb_p_vector a) { return vaddvq_f32(a); }
static inline int eplb_p_vector_any_at_least(eplb_p_vector a, eplb_p_vector b)
{
    return vmaxvq_u32(vcgeq_f32(a, b)) != 0;
}
static inline eplb_p_vector eplb_p_vector_or_doubtful(eplb_p_vector doubtful, eplb_p_vector a)
{
    uint32x4_t is_doubtful = vcgeq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(EPLB_P_INFINITY));
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(doubtful), is_doubtful));
}
static inline int eplb_p_vector_any(eplb_p_vector doubtful) { return vmaxvq_u32(vreinterpretq_u32_f32(doubtful)) != 0; }
static inline eplb_p_vector eplb_p_vector_abs(eplb_p_vector a) { return vabsq_f32(a); }
static inline float eplb_p_vector_smallest(eplb_p_vector a) { return vminvq_f32(a); }
static inline float eplb_p_vector_largest(eplb_p_vector a) { return vmaxvq_f32(a); }

typedef int32x4_t eplb_p_ints; /* the bits of loads, and counts */
static inline eplb_p_ints eplb_p_ints_of(int32_t x) { return vdupq_n_s32(x); }
static inline eplb_p_ints eplb_p_ints_at(const int32_t *from) { return vld1q_s32(from); }
static inline eplb_p_ints eplb_p_ints_bits(const float *from) { return vreinterpretq_s32_f32(vld1q_f32(from)); }
static inline void eplb_p_ints_to(int32_t *to, eplb_p_ints a) { vst1q_s32(to, a); }
static inline eplb_p_ints eplb_p_ints_sub(eplb_p_ints a, eplb_p_ints b) { return vsubq_s32(a, b); }
static inline eplb_p_vector eplb_p_vector_of_ints(eplb_p_ints a) { return vcvtq_f32_s32(a); }
static inline eplb_p_vector eplb_p_vector_of_bits(eplb_p_ints a) { return vreinterpretq_f32_s32(a); }
typedef uint64x2_t eplb_p_squares; /* two sums of 64 bits */
static inline eplb_p_squares eplb_p_no_squares(void) { return vdupq_n_u64(0); }
static inline eplb_p_squares eplb_p_add_squares(eplb_p_squares sums, eplb_p_ints a)
{
    uint32x4_t size = vreinterpretq_u32_s32(vabsq_s32(a));
    return vmlal_high_u32(vmlal_u32(sums, vget_low_u32(size), vget_low_u32(size)), size, size);
}
static inline int64_t eplb_p_squares_sum(eplb_p_squares sums) { return (int64_t)vaddvq_u64(sums); }
static inline eplb_p_ints eplb_p_ints_add(eplb_p_ints a, eplb_p_ints b) { return vaddq_s32(a, b); }
static inline eplb_p_ints eplb_p_ints_turned(eplb_p_ints a) { return vextq_s32(a, a, 1); }
static inline eplb_p_ints eplb_p_ints_digits(eplb_p_ints a, int32_t shift, int32_t digit)
{
    int32x4_t high, low = vshlq_s32(a, vdupq_n_s32(-shift)); /* no sign is set */
    high = vshlq_n_s32(vshlq_s32(low, vdupq_n_s32(-digit)), 16);
    return vorrq_s32(high, vandq_s32(low, vdupq_n_s32((1 << digit) - 1)));
}
static inline eplb_p_ints eplb_p_ints_above(eplb_p_ints a, eplb_p_ints b)
{
    return vreinterpretq_s32_u32(vcgtq_s32(a, b)); /* -1 where it holds */
}
static inline eplb_p_ints eplb_p_vector_above(eplb_p_vector a, eplb_p_vector b)
{
    return vreinterpretq_s32_u32(vcgtq_f32(a, b));
}
static inline eplb_p_ints eplb_p_ints_chosen(eplb_p_ints first, eplb_p_ints a, eplb_p_ints b)
{
    return vbslq_s32(vreinterpretq_u32_s32(first), a, b);
}
#endif

/* Where the largest of n >= 0 numbers is, the first on ties. In vectors each lane knows the first of its own, and the last
   vector takes up again what is no whole one by itself. */
EPLB_P int32_t eplb_p_first_largest(const float *x, int32_t n)
{
    float largest;
    int32_t at = 0, i;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    static const int32_t lane[EPLB_P_VECTOR] = {0, 1, 2, 3};
    int32_t first[EPLB_P_VECTOR];
    eplb_p_vector most, here;
    eplb_p_ints where = eplb_p_ints_at(lane), is_more;

    if (n >= EPLB_P_VECTOR) {
        most = eplb_p_vector_at(x);
        for (i = EPLB_P_VECTOR; i < n; i += EPLB_P_VECTOR) {
            int32_t from = i < n - EPLB_P_VECTOR ? i : n - EPLB_P_VECTOR;
            here = eplb_p_vector_at(x + from);
            is_more = eplb_p_vector_above(here, most);
            most = eplb_p_vector_max(most, here);
            where = eplb_p_ints_chosen(is_more, eplb_p_ints_add(eplb_p_ints_of(from), eplb_p_ints_at(lane)), where);
        }
        is_more = eplb_p_vector_above(eplb_p_vector_of(eplb_p_vector_largest(most)), most);
        eplb_p_ints_to(first, eplb_p_ints_chosen(is_more, eplb_p_ints_of(n), where));
        at = first[0] < first[1] ? first[0] : first[1];
        i = first[2] < first[3] ? first[2] : first[3];
        return at < i ? at : i;
    }
#endif
    largest = n > 0 ? x[0] : 0.0f; /* to read it again each time would have to be waited for */
    for (i = 1; i < n; i++) {
        at = x[i] > largest ? i : at;
        largest = x[i] > largest ? x[i] : largest;
    }
    return at;
}

/* Copies between arrays that do not overlap, which a compiler that cannot see this would do one by one. */
EPLB_P void eplb_p_copy_bytes(void *to, const void *from, size_t bytes)
{
#if defined(__GNUC__)
    __builtin_memcpy(to, from, bytes);
#else
    size_t i;
    for (i = 0; i < bytes; i++) ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
#endif
}

EPLB_P void eplb_p_copy_ids(int32_t *to, const int32_t *from, int32_t n)
{
    eplb_p_copy_bytes(to, from, (size_t)n * sizeof *to);
}

/* to [n] = first, first + step, first + 2 step, .. */
EPLB_P void eplb_p_fill_ids(int32_t *to, int32_t first, int32_t step, int32_t n)
{
    int32_t i = 0;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    int32_t start[EPLB_P_VECTOR];
    eplb_p_ints ids, steps = eplb_p_ints_of(EPLB_P_VECTOR * step);
    for (i = 0; i < EPLB_P_VECTOR; i++) start[i] = first + i * step;
    ids = eplb_p_ints_at(start);
    for (i = 0; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR) {
        eplb_p_ints_to(to + i, ids);
        ids = eplb_p_ints_add(ids, steps);
    }
#endif
    for (; i < n; i++) to[i] = first + i * step;
}

EPLB_P_HD int eplb_p_within(int32_t x, int32_t first, int32_t last) { return first <= x && x <= last; }

/* Whether x is one of so many enumerators, which count from 0. */
EPLB_P_HD int eplb_p_is_one_of(int32_t x, int32_t count) { return 0 <= x && x < count; }

/* Where element (row, column) of a dense array of this width is. */
EPLB_P_HD size_t eplb_p_at(int32_t row, int32_t width, int32_t column)
{
    return (size_t)row * (size_t)width + (size_t)column;
}

/* -------------------------------------------------------------------------------------- arena

   Scratch is carved by one function per job, which runs twice: with no memory it measures, with
   memory it assigns. So the size asked for and the size used cannot differ. */

typedef struct eplb_p_arena {
    unsigned char *base; /* NULL: measure only */
    size_t used;         /* bytes carved so far, a multiple of EPLB_SCRATCH_ALIGN */
    size_t peak;         /* the most there ever were, over rewinds */
    int overflowed;
} eplb_p_arena;

#define EPLB_P_SLACK ((size_t)EPLB_SCRATCH_ALIGN - 1) /* what aligning any address may cost */

EPLB_P_HD_LARGE eplb_p_arena eplb_p_arena_at(void *scratch)
{
    eplb_p_arena a = EPLB_ZERO_INIT;
    if (scratch) {
        uintptr_t at = (uintptr_t)scratch;
        a.base = (unsigned char *)scratch + (((at + EPLB_P_SLACK) & ~(uintptr_t)EPLB_P_SLACK) - at);
    }
    return a;
}

/* A block of count elements of the given size. Once something overflowed, all sizes are void. */
EPLB_P_HD_LARGE void *eplb_p_take(eplb_p_arena *a, int32_t count, size_t size)
{
    size_t room = SIZE_MAX - 2 * EPLB_P_SLACK - a->used, start = a->used;

    if (a->overflowed || (size_t)count > room / size) {
        a->overflowed = 1;
        return NULL;
    }
    a->used += ((size_t)count * size + EPLB_P_SLACK) & ~EPLB_P_SLACK;
    if (a->used > a->peak) a->peak = a->used;
    return a->base ? (void *)(a->base + start) : NULL;
}

#define EPLB_P_TAKE(arena, type, count)            ((type *)eplb_p_take(arena, count, sizeof(type)))
#define EPLB_P_TAKE_ROWS(arena, type, rows, width) /* [rows, width] */ \
    ((type *)eplb_p_take(arena, rows, sizeof(type) * (size_t)(width)))

/* Blocks taken since the mark are done with: what follows may lie over them. */
EPLB_P void eplb_p_rewind(eplb_p_arena *a, size_t mark) { a->used = mark; }

/* Memory that phases take one after the other. While one is in force, what others have beyond it is poisoned
   under the address sanitizer; what it finds there counts as never written under the memory sanitizer. */
typedef struct eplb_p_overlay {
    unsigned char *at; /* NULL: measured only */
    size_t start;      /* in the arena */
    size_t bytes;      /* of the largest phase */
} eplb_p_overlay;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EPLB_P_ASAN
#elif __has_feature(memory_sanitizer)
void __msan_poison(const volatile void *at, size_t bytes);
#define EPLB_P_FORGET(at, bytes) __msan_poison(at, bytes)
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EPLB_P_ASAN
#endif
#if defined(EPLB_P_ASAN)
void __asan_poison_memory_region(const volatile void *at, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *at, size_t bytes);
#define EPLB_P_POISON(at, bytes)   __asan_poison_memory_region(at, bytes)
#define EPLB_P_UNPOISON(at, bytes) __asan_unpoison_memory_region(at, bytes)
#else
#define EPLB_P_POISON(at, bytes)   ((void)0)
#define EPLB_P_UNPOISON(at, bytes) ((void)0)
#endif
#if !defined(EPLB_P_FORGET)
#define EPLB_P_FORGET(at, bytes) ((void)0)
#endif

EPLB_P eplb_p_overlay eplb_p_open_overlay(const eplb_p_arena *a)
{
    eplb_p_overlay o = EPLB_ZERO_INIT;
    if (a->base) o.at = a->base + a->used;
    o.start = a->used;
    return o;
}

/* What was taken since the overlay was opened is one phase's, of so many bytes; the next one's lies over it. */
EPLB_P size_t eplb_p_end_phase(eplb_p_arena *a, eplb_p_overlay *o)
{
    size_t bytes = a->used - o->start;
    if (bytes > o->bytes) o->bytes = bytes;
    a->used = o->start;
    return bytes;
}

EPLB_P void eplb_p_close_overlay(eplb_p_arena *a, const eplb_p_overlay *o) { a->used = o->start + o->bytes; }

EPLB_P void eplb_p_enter_phase(const eplb_p_overlay *o, size_t bytes)
{
    EPLB_ASSERT(o->at && bytes <= o->bytes);
    EPLB_P_UNPOISON(o->at, bytes);
    EPLB_P_POISON(o->at + bytes, o->bytes - bytes);
    EPLB_P_FORGET(o->at, bytes);
    (void)o, (void)bytes;
}

EPLB_P void eplb_p_leave_phases(const eplb_p_overlay *o)
{
    EPLB_P_UNPOISON(o->at, o->bytes);
    (void)o;
}

EPLB_P size_t eplb_p_arena_bytes(const eplb_p_arena *a) { return a->peak + EPLB_P_SLACK + 1; }

/* Whether an array [a, b, c] of 4-byte elements fits size_t. */
EPLB_P int eplb_p_array_fits(int32_t a, int32_t b, int32_t c)
{
    size_t most = SIZE_MAX / 4;
    if (a > 0) most /= (size_t)a;
    if (b > 0) most /= (size_t)b;
    return (size_t)c <= most;
}

/* ----------------------------------------------------------------------------- random numbers */

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011): four random words from a key and a counter, with
   no state in between, so any item's number can be had by any thread. */
EPLB_P_HD void eplb_p_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
#if defined(EPLB_P_SSE2)
    eplb_p_philox_in_vector(key, counter, out);
#else
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    int round;

    for (round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt 3 - 1, as in the paper */
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
#endif
}

/* What random words are for: no two of these share any. */
enum { EPLB_P_DRAW_GROUPS, EPLB_P_DRAW_GPUS, EPLB_P_DRAW_KICKS };

/* Words 4 * quad .. 4 * quad + 3 of candidate (or kick) c of a row: a layer, or a node of a layer. */
EPLB_P_HD void eplb_p_draw(uint64_t seed, int stage, uint32_t row, int32_t c, uint32_t quad, uint32_t word[4])
{
    uint32_t counter[4];
    counter[0] = quad;
    counter[1] = (uint32_t)c;
    counter[2] = row;
    counter[3] = (uint32_t)stage;
    eplb_p_philox(seed, counter, word);
}

/* How much noise candidate c > 0 is given. */
EPLB_P_HD float eplb_p_noise_of(const eplb_packing *how, int32_t c)
{
    if (how->noise == EPLB_NOISE_CENTRED) return how->noise_scale;
    return eplb_p_div(eplb_p_mul(how->noise_scale, (float)c), (float)(how->num_candidates - 1));
}

/* The load by which it orders an item, from a random word of its own. */
EPLB_P_HD float eplb_p_perturbed(float load, uint32_t word, int32_t noise, float scale)
{
    float u = (float)(int32_t)(word >> 8) * (1.0f / 16777216.0f), base; /* exact: 24 bits */

    if (noise != EPLB_NOISE_CENTRED) return eplb_p_add(load, eplb_p_mul(eplb_p_mul(u, load), scale));
    base = eplb_p_sub(1.0f, eplb_p_mul(scale, 0.5f));
    return eplb_p_mul(load, eplb_p_add(base, eplb_p_mul(scale, u)));
}

/* ------------------------------------------------------------------------------------ sorting

   Keys are unique, for they hold an index, so any correct sort gives the same order. */

/* Merge two runs of ascending keys. Which run the next key comes from is a coin toss, so it is worked
   out without a branch, which would be mispredicted every other time. */
EPLB_P void eplb_p_merge(const uint64_t *left, size_t num_left, const uint64_t *right, size_t num_right, uint64_t *to)
{
    const uint64_t *left_end = left + num_left, *right_end = right + num_right;

    while (left < left_end && right < right_end) {
        uint64_t l = *left, r = *right;
        size_t from_left = l < r;
        *to++ = from_left ? l : r;
        left += from_left;
        right += 1 - from_left;
    }
    while (left < left_end) *to++ = *left++;
    while (right < right_end) *to++ = *right++;
}

/* Sort n keys, smallest first, by merging runs that double in length; spare is of the same size. */
EPLB_P void eplb_p_sort(uint64_t *key, uint64_t *spare, int32_t n)
{
    size_t count = (size_t)n, run, start, i;
    uint64_t *from = key, *to = spare, *swap;

    for (run = 1; run < count; run *= 2) {
        for (start = 0; start < count; start += 2 * run) {
            size_t middle = start + run < count ? start + run : count;
            size_t end = middle + run < count ? middle + run : count;
            eplb_p_merge(from + start, middle - start, from + middle, end - middle, to + start);
        }
        swap = from;
        from = to;
        to = swap;
    }
    if (from != key)
        for (i = 0; i < count; i++) key[i] = from[i];
}

enum {
    EPLB_P_DIGITS_FROM = 24, /* fewer items are cheaper to merge */
    EPLB_P_DIGIT_BITS = 8    /* of the widest digit */
};

/* The narrowest digit whose two passes leave few of n items out of place. */
EPLB_P int32_t eplb_p_digit_bits(int32_t n) { return n < 128 ? 5 : n < 512 ? 7 : EPLB_P_DIGIT_BITS; }

/* Move each key down to where it belongs, if that takes few steps. Returns whether it did. */
EPLB_P int eplb_p_insert_few(uint64_t *key, int32_t n)
{
    uint64_t *end = key + n, *at, *to;
    int64_t steps = 8 * (int64_t)n;

    for (at = key + 1; at < end; at++) {
        uint64_t moving = *at;
        if (at[-1] < moving) continue;
        for (to = at; to > key && to[-1] > moving; to--) *to = to[-1];
        *to = moving;
        steps -= at - to;
        if (steps < 0) return 0;
    }
    return 1;
}

/* The bits of the lightest and of the heaviest of n loads, signs apart. Vectors of floats may take the
   smallest of them for zero, where a program has set the processor to. */
EPLB_P void eplb_p_load_range(const float *load, int32_t n, uint32_t *lightest, uint32_t *heaviest)
{
    uint32_t low = UINT32_MAX, high = 0, bits;
    int32_t i = 0;

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    if (n >= EPLB_P_VECTOR) {
        eplb_p_vector least = eplb_p_vector_abs(eplb_p_vector_at(load)), most = least, more;
        for (; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR) {
            more = eplb_p_vector_abs(eplb_p_vector_at(load + i));
            least = eplb_p_vector_min(least, more);
            most = eplb_p_vector_max(most, more);
        }
        low = eplb_p_bits(eplb_p_vector_smallest(least));
        high = eplb_p_bits(eplb_p_vector_largest(most));
    }
#endif
    for (; i < n; i++) {
        bits = eplb_p_bits_at(&load[i]) & ~EPLB_P_SIGN;
        low = bits < low ? bits : low;
        high = bits > high ? bits : high;
    }
    *lightest = low;
    *heaviest = high;
}

/* digits [n] = the two highest digits of how far each load's bits are below the heaviest's, the high one in the upper
   half. Were the range too narrow, digits would repeat. */
EPLB_P void eplb_p_find_digits(const float *load, uint32_t *digits, int32_t n, int32_t digit)
{
    int32_t shift, i = 0;
    uint32_t bottom, top, below, mask = ((uint32_t)1 << digit) - 1;

    eplb_p_load_range(load, n, &bottom, &top);
    shift = (int32_t)(eplb_p_bits((float)(top - bottom)) >> 23) - 126 - 2 * digit; /* bits that are too many */
    if (shift < 0) shift = 0;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    for (; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR) {
        eplb_p_ints four = eplb_p_ints_sub(eplb_p_ints_of((int32_t)top), eplb_p_ints_bits(load + i));
        eplb_p_ints_to((int32_t *)(void *)(digits + i), eplb_p_ints_digits(four, shift, digit));
    }
#endif
    for (; i < n; i++) {
        below = (top - eplb_p_bits_at(&load[i])) >> shift;
        digits[i] = (below & mask) | below >> digit << 16;
    }
}

/* Sort by two digits, in two stable passes that count, place and move, so that among equals the order of the indices
   stays. */
EPLB_P void eplb_p_sort_by_digits(const float *load, uint64_t *key, uint64_t *spare, int32_t n)
{
    uint32_t start[1 << EPLB_P_DIGIT_BITS]; /* of items with this low digit; upper half: with this high one */
    uint32_t *digits = (uint32_t *)(void *)spare, *by_low = digits + n, next = 0, num;
    int32_t digit = eplb_p_digit_bits(n), num_values = 1 << digit, i, item;

    eplb_p_find_digits(load, digits, n, digit);
    for (i = 0; i < num_values; i++) start[i] = 0;
    for (i = 0; i < n; i++) {
        start[digits[i] & UINT16_MAX]++;
        start[digits[i] >> 16] += (uint32_t)1 << 16;
    }
    for (i = 0; i < num_values; i++) {
        num = start[i];
        start[i] = next;
        next += num;
    }
    for (i = 0; i < n; i++) by_low[start[digits[i] & UINT16_MAX]++ & UINT16_MAX] = (uint32_t)i;
    for (i = 0; i < n; i++) {
        item = (int32_t)by_low[i];
        key[start[digits[item] >> 16] >> 16] = eplb_p_heavy_first(load[item], item);
        start[digits[item] >> 16] += (uint32_t)1 << 16;
    }
}

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
#define EPLB_P_MOST_RANKED 64 /* more are sorted sooner by digits; a whole number of vectors */

/* Within a block a number stands before those that have come round from its start, so that it comes before them where
   they are equal: they are compared with what is 1 more. */
static const int32_t eplb_p_come_round[2 * EPLB_P_VECTOR] = {0, 0, 0, 0, 1, 1, 1, 1};

/* How many of these four come before each, turned into -1. */
static inline eplb_p_ints eplb_p_before_in_block(eplb_p_ints own)
{
    const int32_t *more = eplb_p_come_round;
    eplb_p_ints second = eplb_p_ints_turned(own), third = eplb_p_ints_turned(second);
    eplb_p_ints before = eplb_p_ints_above(eplb_p_ints_add(own, eplb_p_ints_at(more + 1)), second);
    before = eplb_p_ints_add(before, eplb_p_ints_above(eplb_p_ints_add(own, eplb_p_ints_at(more + 2)), third));
    own = eplb_p_ints_add(own, eplb_p_ints_at(more + 3));
    return eplb_p_ints_add(before, eplb_p_ints_above(own, eplb_p_ints_turned(third)));
}

/* rank [n] = how many of n numbers, in whole vectors, come before each, by their bits, then by index. Two blocks are
   compared by turning the later one, so that each of its numbers meets each of the other once: the one comes before the
   other. */
static void eplb_p_rank(const float *x, int32_t *rank, int32_t n)
{
    int32_t at, i;

    for (at = 0; at < n; at += EPLB_P_VECTOR) {
        eplb_p_ints own = eplb_p_ints_bits(x + at), second = eplb_p_ints_turned(own);
        eplb_p_ints third = eplb_p_ints_turned(second), fourth = eplb_p_ints_turned(third);
        eplb_p_ints sum = eplb_p_ints_of(0), sum2 = sum, sum3 = sum, sum4 = sum;
        for (i = 0; i < at; i += EPLB_P_VECTOR) {
            eplb_p_ints other = eplb_p_ints_bits(x + i), larger = eplb_p_ints_above(other, own);
            eplb_p_ints larger2 = eplb_p_ints_above(other, second), larger3 = eplb_p_ints_above(other, third);
            eplb_p_ints larger4 = eplb_p_ints_above(other, fourth), before = eplb_p_ints_at(rank + i);
            sum = eplb_p_ints_add(sum, larger);
            sum2 = eplb_p_ints_add(sum2, larger2);
            sum3 = eplb_p_ints_add(sum3, larger3);
            sum4 = eplb_p_ints_add(sum4, larger4);
            larger = eplb_p_ints_add(eplb_p_ints_add(larger, larger2), eplb_p_ints_add(larger3, larger4));
            eplb_p_ints_to(rank + i, eplb_p_ints_sub(before, larger));
        }
        sum3 = eplb_p_ints_add(sum3, eplb_p_ints_turned(sum2));
        sum4 = eplb_p_ints_add(sum4, eplb_p_ints_turned(sum3));
        sum = eplb_p_ints_add(sum, eplb_p_ints_turned(sum4)); /* -1 for each larger one of those before the block */
        sum = eplb_p_ints_sub(sum, eplb_p_before_in_block(own));
        eplb_p_ints_to(rank + at, eplb_p_ints_add(sum, eplb_p_ints_of(at)));
    }
}

/* Sort few items by their ranks: the heavier, the nearer to infinity. What fills up the last vector comes last. */
static void eplb_p_sort_by_ranks(const float *load, uint64_t *key, int32_t n)
{
    float below[EPLB_P_MOST_RANKED]; /* by its bits */
    int32_t rank[EPLB_P_MOST_RANKED], last = (n - 1) / EPLB_P_VECTOR * EPLB_P_VECTOR, i;
    eplb_p_ints top = eplb_p_ints_of((int32_t)EPLB_P_INFINITY);

    for (i = 0; i < last; i += EPLB_P_VECTOR)
        eplb_p_vector_to(below + i, eplb_p_vector_of_bits(eplb_p_ints_sub(top, eplb_p_ints_bits(load + i))));
    eplb_p_vector_to(below + last, eplb_p_vector_of_bits(eplb_p_ints_of((int32_t)EPLB_P_INFINITY + 1)));
    for (; i < n; i++) below[i] = eplb_p_from_bits(EPLB_P_INFINITY - eplb_p_bits_at(&load[i]));
    eplb_p_rank(below, rank, last + EPLB_P_VECTOR);
    for (i = 0; i < n; i++) key[rank[i]] = eplb_p_heavy_first(load[i], i);
}
#endif

/* key [n] = the items in descending order of their loads; spare is of the same size. Two digits leave few
   items out of place, unless most loads are nearly, but not quite, the same. */
EPLB_P void eplb_p_sort_loads(const float *load, uint64_t *key, uint64_t *spare, int32_t n)
{
    int32_t i;

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    if (n <= EPLB_P_MOST_RANKED) {
        eplb_p_sort_by_ranks(load, key, n);
        return;
    }
#endif
    if (n >= EPLB_P_DIGITS_FROM && n <= (int32_t)UINT16_MAX) /* what a counter holds */
        eplb_p_sort_by_digits(load, key, spare, n);
    else
        for (i = 0; i < n; i++) key[i] = eplb_p_heavy_first(load[i], i);
    if (!eplb_p_insert_few(key, n)) eplb_p_sort(key, spare, n);
}

/* A tournament of n keys, the smallest wins: leaves at tree [n, 2n), and each node i < n the smaller of
   nodes 2i and 2i + 1, down to the winner in node 1. Unlike in a heap, what is read and written does
   not depend on the keys, so nothing is mispredicted and the path's other players are there in time. */
EPLB_P void eplb_p_tournament_start(uint64_t *tree, int32_t n)
{
    size_t i;
    for (i = (size_t)n; i-- > 1;) tree[i] = tree[2 * i] < tree[2 * i + 1] ? tree[2 * i] : tree[2 * i + 1];
}

/* A leaf gets another key; returns the new winner. */
EPLB_P uint64_t eplb_p_tournament_replay(uint64_t *tree, int32_t n, int32_t leaf, uint64_t key)
{
    size_t i = (size_t)n + (size_t)leaf;

    tree[i] = key;
    for (; i > 1; i /= 2) {
        uint64_t other = tree[i ^ 1];
        key = other < key ? other : key;
        tree[i / 2] = key;
    }
    return key;
}

/* The same of keys that leave no room for an index, so that a node says who has won: the lower one on ties. */
typedef struct eplb_p_contest {
    uint64_t *key;   /* [n] */
    int32_t *winner; /* [2 n] winner[1] of all */
    int32_t n;
} eplb_p_contest;

EPLB_P eplb_p_contest eplb_p_carve_contest(eplb_p_arena *a, int32_t n)
{
    eplb_p_contest c;
    c.key = EPLB_P_TAKE(a, uint64_t, n);
    c.winner = EPLB_P_TAKE_ROWS(a, int32_t, n, 2);
    c.n = n;
    return c;
}

EPLB_P void eplb_p_play(eplb_p_contest *c, size_t i)
{
    int32_t a = c->winner[2 * i], b = c->winner[2 * i + 1];
    uint64_t a_key = c->key[a], b_key = c->key[b];
    int b_wins = (b_key < a_key) | ((b_key == a_key) & (b < a)); /* a coin toss: without a branch */
    c->winner[i] = a ^ ((a ^ b) & -b_wins);
}

/* Among the first n. */
EPLB_P void eplb_p_start_contest(eplb_p_contest *c, int32_t n)
{
    size_t i;

    c->n = n;
    eplb_p_fill_ids(c->winner + n, 0, 1, n);
    for (i = (size_t)n; i-- > 1;) eplb_p_play(c, i);
}

/* The winner gets another key. */
EPLB_P void eplb_p_replay(eplb_p_contest *c, uint64_t key)
{
    size_t i = ((size_t)c->n + (size_t)c->winner[1]) / 2;

    c->key[c->winner[1]] = key;
    for (; i > 0; i /= 2) eplb_p_play(c, i);
}

/* --------------------------------------------------------------------------------------- bits

   Sets of n experts, as rows of a bit for each. */

EPLB_P size_t eplb_p_bit_words(int32_t n) { return ((size_t)n + 31) / 32; }

EPLB_P uint32_t eplb_p_bit_of(int32_t e) { return (uint32_t)1 << ((uint32_t)e % 32); }

EPLB_P int eplb_p_has_bit(const uint32_t *row, int32_t e) { return (row[(uint32_t)e / 32] & eplb_p_bit_of(e)) != 0; }

/* --------------------------------------------------------------------------------------- team

   What goes through many things, each by itself, the lanes of a warp can do together, and in eplb_cuda.cu they do; what
   depends on what was done before is lane 0's. Elsewhere the team is one thread, and these functions are nothing. What
   is by the team all its lanes call, and come to the same. What one lane wrote, others read after a wait. */

#if !defined(EPLB_P_TEAM)
enum { EPLB_P_TEAM = 1, EPLB_P_PARTS = 1 }; /* lanes, and of how many parts a team of several is */
EPLB_P_HD int32_t eplb_p_team_lane(void) { return 0; }
EPLB_P_HD void eplb_p_team_wait(void) {}
EPLB_P_HD int32_t eplb_p_team_first(int32_t x) { return x; } /* that of lane 0 */
EPLB_P_HD int32_t eplb_p_team_sum(int32_t x) { return x; }
EPLB_P_HD int64_t eplb_p_team_sum64(int64_t x) { return x; }
EPLB_P_HD int32_t eplb_p_team_most(int32_t x) { return x; }
EPLB_P_HD int64_t eplb_p_team_most64(int64_t x) { return x; }
EPLB_P_HD double eplb_p_team_most_double(double x) { return x; }     /* of numbers that are not negative */
EPLB_P_HD void eplb_p_team_add(int64_t *to, int64_t x) { *to += x; } /* several lanes may, to the same */
EPLB_P_HD int32_t eplb_p_team_count(int32_t *to, int32_t x)          /* likewise; returns what was there */
{
    int32_t before = *to;
    *to += x;
    return before;
}

/* In how many lanes before this one it is true; num: in how many of all. */
EPLB_P_HD int32_t eplb_p_team_rank(int is_true, int32_t *num)
{
    *num = is_true;
    return 0;
}

/* How many lanes before this one have the same; is_last: whether none behind it has. */
EPLB_P_HD int32_t eplb_p_team_equal(int32_t x, int *is_last)
{
    (void)x;
    *is_last = 1;
    return 0;
}

/* The first lane in which it is true; EPLB_P_TEAM where it is in none. */
EPLB_P_HD int32_t eplb_p_team_lead(int is_true) { return !is_true; }

EPLB_P_HD int eplb_p_team_any(int is_true) { return is_true; } /* whether it is in a lane of this one's part */

/* The lane that has the least, of equals that which comes first; and what a lane has. */
EPLB_P_HD int32_t eplb_p_team_least(int64_t x, int32_t order)
{
    (void)x;
    (void)order;
    return 0;
}

/* The order, not negative, of the lane that has the most, of equals that which comes first. */
EPLB_P_HD int32_t eplb_p_team_first_most(int32_t x, int32_t order)
{
    (void)x;
    return order;
}

EPLB_P_HD int32_t eplb_p_team_from(int32_t x, int32_t lane)
{
    (void)lane;
    return x;
}

EPLB_P_HD int64_t eplb_p_team_from64(int64_t x, int32_t lane)
{
    (void)lane;
    return x;
}

EPLB_P_HD int32_t eplb_p_team_each(int32_t n) /* lanes for each of n things, 1 at least */
{
    (void)n;
    return 1;
}

EPLB_P_HD void *eplb_p_team_room(void *own) { return own; } /* for what lanes share, that one thread has for its own */
EPLB_P_HD void eplb_p_team_sort(uint64_t *key, uint64_t *spare, int32_t n) { eplb_p_sort(key, spare, n); }
EPLB_P_HD void eplb_p_team_copy(int32_t *to, const int32_t *from, int32_t n) { eplb_p_copy_ids(to, from, n); }
EPLB_P_HD void eplb_p_team_copy_loads(float *to, const float *from, int32_t n)
{
    eplb_p_copy_bytes(to, from, (size_t)n * sizeof *to);
}
EPLB_P_HD void eplb_p_team_fill(int32_t *to, int32_t first, int32_t step, int32_t n)
{
    eplb_p_fill_ids(to, first, step, n);
}
#endif

typedef struct eplb_p_run { /* things first .. end - 1 of many that stand in order */
    int32_t first, end;
    int32_t each; /* as many as every worker takes at most */
} eplb_p_run;

/* Those of one of some workers, who share n in their order. */
EPLB_P_HD eplb_p_run eplb_p_run_of(int32_t n, int32_t workers, int32_t worker)
{
    int32_t each = n / workers + (n % workers > 0);
    int64_t first = (int64_t)each * worker;
    eplb_p_run run;

    run.each = each;
    run.first = first < n ? (int32_t)first : n;
    run.end = each < n - run.first ? run.first + each : n;
    return run;
}

EPLB_P_HD eplb_p_run eplb_p_run_of_lane(int32_t n) { return eplb_p_run_of(n, EPLB_P_TEAM, eplb_p_team_lane()); }

/* What the lanes before this one have, together. */
EPLB_P_HD int64_t eplb_p_team_sum_before(int64_t x)
{
    int32_t lane = eplb_p_team_lane(), step;
    int64_t sum = x, more;

    for (step = 1; step < EPLB_P_TEAM; step *= 2) {
        more = eplb_p_team_from64(sum, lane < step ? lane : lane - step);
        if (lane >= step) sum += more;
    }
    return sum - x;
}

/* The smallest key of all lanes. */
EPLB_P_HD uint64_t eplb_p_team_smallest(uint64_t key)
{
    const uint64_t sign = (uint64_t)1 << 63; /* signed numbers are in the order of unsigned ones but for it */
    return ~((uint64_t)eplb_p_team_most64((int64_t)(~key ^ sign)) ^ sign);
}

/* =================================================================================================
   B. THE CALL

   in     the caller's problem and options
   out    what a call is: the shape, with its defaults filled in, as the policy sees it
   writes eplb_p_shape, read by all below; eplb_p_resolve writes it for plans, the interface's other functions the part
          that they know
   calls  no later storey; nothing here reads a load but to see whether it is one */

/* ------------------------------------------------------------------------------------ results */

#define EPLB_P_NAME(result) \
    case result: return #result;

EPLB_API const char *eplb_result_name(eplb_result r)
{
    switch (r) { /* literals, as a table of pointers would need relocating */
        EPLB_P_NAME(EPLB_OK)
        EPLB_P_NAME(EPLB_ERR_NULL)
        EPLB_P_NAME(EPLB_ERR_OPTION)
        EPLB_P_NAME(EPLB_ERR_COUNT)
        EPLB_P_NAME(EPLB_ERR_LAYER_RANGE)
        EPLB_P_NAME(EPLB_ERR_DIVIDE)
        EPLB_P_NAME(EPLB_ERR_TOO_FEW)
        EPLB_P_NAME(EPLB_ERR_MAX_REPLICAS)
        EPLB_P_NAME(EPLB_ERR_OVERFLOW)
        EPLB_P_NAME(EPLB_ERR_SCRATCH_SIZE)
        EPLB_P_NAME(EPLB_ERR_WIDTH)
        EPLB_P_NAME(EPLB_ERR_CAPACITY)
        EPLB_P_NAME(EPLB_ERR_NAN)
        EPLB_P_NAME(EPLB_ERR_INFINITE)
        EPLB_P_NAME(EPLB_ERR_NEGATIVE)
        EPLB_P_NAME(EPLB_ERR_PLAN)
        EPLB_P_NAME(EPLB_ERR_SHARES)
        EPLB_P_NAME(EPLB_ERR_CUDA)
        EPLB_P_NAME(EPLB_ERR_DEVICE_SHAPE)
    default: return "unknown eplb_result";
    }
}

/* A check of a plan's call fails: the diagnosis, where the caller wants one, learns which argument was at fault. */
EPLB_P eplb_result eplb_p_fail(eplb_diagnosis *why, eplb_result result, const char *field)
{
    if (why) {
        why->result = result;
        why->field = field;
    }
    return result;
}

/* ------------------------------------------------------------------------------------ options */

/* The presets, a row each, in the order of their numbers: their names; how items are packed first; the refinement and
   the swaps of groups, then of slots; heaviest packs tried, candidates, their noise and its scale, selection; effort;
   replication and fix-up steps; the engine. All but refinements and swaps is the same for groups and for slots. */
/* clang-format off */
#define EPLB_P_PRESETS(row) \
    row(DEFAULT,      "default",      LPT,    L2,          50, NONE,         0, 0,  1, CENTRED, 0.0f,  MAX_LOAD,  33, DHONDT,  0, NONE) \
    row(DEEPSEEK,     "deepseek",     LPT,    NONE,         0, NONE,         0, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(ZIGZAG,       "zigzag",       ZIGZAG, MAX_MIN,     20, MAX_MIN,     20, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(SWAP_MAX_MIN, "swap_max_min", LPT,    MAX_MIN,     20, MAX_MIN,     20, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(HILL_CLIMB,   "hill_climb",   LPT,    PAIR_SCAN,  100, PAIR_SCAN,  100, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(SWAP_MAX_ANY, "swap_max_any", LPT,    MAX_TO_ANY,  50, MAX_TO_ANY,  50, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(MULTI_START,  "multi_start",  LPT,    PAIR_SCAN,   30, PAIR_SCAN,   30, 3,  2, CENTRED, 0.15f, SPREAD,     0, DHONDT,  0, NONE) \
    row(RESTARTS,     "restarts",     LPT,    PAIR_SCAN,  100, PAIR_SCAN,  100, 1,  5, CENTRED, 0.1f,  VARIANCE,   0, DHONDT,  0, NONE) \
    row(ENSEMBLE,     "ensemble",     LPT,    MAX_MIN,     20, MAX_MIN,     20, 0, 64, RAMP,    0.2f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(HYBRID,       "hybrid",       LPT,    MAX_MIN,      1, MAX_MIN,      2, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, HYBRID,  1, NONE) \
    row(L2,           "l2",           LPT,    L2,          50, L2,          50, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, NONE) \
    row(BEST,         "best",         LPT,    L2,          50, NONE,         0, 0,  1, CENTRED, 0.0f,  MAX_LOAD, 257, DHONDT,  0, NONE) \
    row(VLLM,         "vllm",         LPT,    NONE,         0, NONE,         0, 0,  1, CENTRED, 0.0f,  MAX_LOAD,   0, DHONDT,  0, VLLM)

#define EPLB_P_PRESET_ROW(number, name, init, group_refine, group_swaps, refine, swaps, heavy, candidates,  \
                          noise, scale, select, effort, replication, fixup, engine)                        \
    {{EPLB_INIT_##init, EPLB_REFINE_##refine, swaps, heavy, candidates, EPLB_NOISE_##noise, scale,          \
      EPLB_SELECT_##select},                                                                                \
     EPLB_REFINE_##group_refine, group_swaps, effort, EPLB_REPLICATE_##replication, fixup, EPLB_ENGINE_##engine},
/* clang-format on */

typedef struct eplb_p_preset {
    eplb_packing packing; /* of slots onto GPUs */
    int32_t group_refine, group_swaps, effort, replication, fixup_steps, engine;
} eplb_p_preset;

#define EPLB_P_PRESET_NAME(number, name, ...) \
    case EPLB_PRESET_##number:                \
        return name;
#define EPLB_P_PRESET_PLACE(number, ...)    EPLB_P_PLACE_OF_##number,
#define EPLB_P_PRESET_IN_PLACE(number, ...) &&(int)EPLB_P_PLACE_OF_##number == (int)EPLB_PRESET_##number

static const eplb_p_preset eplb_p_presets[EPLB_NUM_PRESETS] = {EPLB_P_PRESETS(EPLB_P_PRESET_ROW)};

enum { EPLB_P_PRESETS(EPLB_P_PRESET_PLACE) EPLB_P_NUM_PLACES };
EPLB_P_HOLDS(presets, (int)EPLB_P_NUM_PLACES == (int)EPLB_NUM_PRESETS EPLB_P_PRESETS(EPLB_P_PRESET_IN_PLACE));

EPLB_API const char *eplb_preset_name(int32_t preset)
{
    switch (preset) {
        EPLB_P_PRESETS(EPLB_P_PRESET_NAME)
    default: return NULL;
    }
}

EPLB_API eplb_result eplb_options_preset(int32_t preset, eplb_options *options)
{
    eplb_options o = EPLB_ZERO_INIT;
    const eplb_p_preset *row;

    if (!options) return EPLB_ERR_NULL;
    if (!eplb_p_is_one_of(preset, EPLB_NUM_PRESETS)) return EPLB_ERR_OPTION;
    row = &eplb_p_presets[preset];
    o.gpu_packing = row->packing;
    o.group_packing = row->packing;
    o.group_packing.refine = row->group_refine;
    o.group_packing.max_swaps = row->group_swaps;
    o.replication = row->replication;
    o.fixup_steps = row->fixup_steps;
    o.effort = row->effort;
    o.engine = row->engine;
    *options = o;
    return EPLB_OK;
}

/* The name of a field of one of the two packings; two literals, so that no table of pointers needs
   relocating. */
#define EPLB_P_PACKING_FIELD(stage, name) \
    ((stage) == EPLB_P_DRAW_GROUPS ? "options.group_packing." name : "options.gpu_packing." name)

EPLB_P eplb_result eplb_p_check_packing(const eplb_packing *how, int stage, eplb_diagnosis *why)
{
    uint32_t noise_scale = eplb_p_bits_at(&how->noise_scale);
    const char *field = NULL;

    /* The bits of 0 .. 2 are those up to 2's; NaN, infinity and all negative numbers lie above. */
    if (noise_scale > eplb_p_bits(2.0f) && noise_scale != EPLB_P_SIGN)
        field = EPLB_P_PACKING_FIELD(stage, "noise_scale");
    if (!eplb_p_is_one_of(how->select, EPLB_NUM_SELECTIONS)) field = EPLB_P_PACKING_FIELD(stage, "select");
    if (!eplb_p_is_one_of(how->noise, EPLB_NUM_NOISES)) field = EPLB_P_PACKING_FIELD(stage, "noise");
    if (how->num_candidates < 0) field = EPLB_P_PACKING_FIELD(stage, "num_candidates");
    if (how->heavy_packs < 0) field = EPLB_P_PACKING_FIELD(stage, "heavy_packs");
    if (how->max_swaps < 0) field = EPLB_P_PACKING_FIELD(stage, "max_swaps");
    if (!eplb_p_is_one_of(how->refine, EPLB_NUM_REFINEMENTS)) field = EPLB_P_PACKING_FIELD(stage, "refine");
    if (!eplb_p_is_one_of(how->init, EPLB_NUM_INITS)) field = EPLB_P_PACKING_FIELD(stage, "init");
    return field ? eplb_p_fail(why, EPLB_ERR_OPTION, field) : EPLB_OK;
}

EPLB_P_HD eplb_result eplb_p_check_load(const float *load)
{
    uint32_t bits = eplb_p_bits_at(load);

    if ((bits & ~EPLB_P_SIGN) > EPLB_P_INFINITY) return EPLB_ERR_NAN;
    if ((bits & ~EPLB_P_SIGN) == EPLB_P_INFINITY) return EPLB_ERR_INFINITE;
    if (bits > EPLB_P_SIGN) return EPLB_ERR_NEGATIVE;
    return EPLB_OK;
}

/* Limits on moves, a row each: its number, the options' field, the least that this may be, and the fault of a plan
   with more moves. */
/* clang-format off */
#define EPLB_P_LIMITS(row)                                     \
    row(ALL,      max_moves,      -1, EPLB_FAULT_MOVES)         \
    row(GPU_IN,   max_gpu_moves,   0, EPLB_FAULT_GPU_MOVES_IN)  \
    row(GPU_OUT,  max_gpu_moves,   0, EPLB_FAULT_GPU_MOVES_OUT) \
    row(PAIR,     max_pair_moves,  0, EPLB_FAULT_PAIR_MOVES)    \
    row(NODE_IN,  max_node_moves,  0, EPLB_FAULT_NODE_MOVES_IN) \
    row(NODE_OUT, max_node_moves,  0, EPLB_FAULT_NODE_MOVES_OUT)
/* clang-format on */

#define EPLB_P_LIMIT_NUMBER(limit, field, least, fault) EPLB_P_LIMIT_##limit,
#define EPLB_P_LIMIT_FIELD(limit, field, least, fault)  o->field,
#define EPLB_P_LIMIT_CHECK(limit, field, least, fault) \
    if (o->field < (least)) return "options." #field;

enum { EPLB_P_LIMITS(EPLB_P_LIMIT_NUMBER) EPLB_P_NUM_LIMITS };

/* What options say: 0 any number of moves, -1 none. */
EPLB_P int32_t eplb_p_limit_of(const eplb_options *o, int32_t limit)
{
    const int32_t limits[] = {EPLB_P_LIMITS(EPLB_P_LIMIT_FIELD)};

    return limits[limit];
}

EPLB_P int32_t eplb_p_most_moves(const eplb_options *o, int32_t limit)
{
    int32_t most = eplb_p_limit_of(o, limit);

    return most > 0 ? most : 0;
}

EPLB_P_HOLDS(limits, EPLB_P_NUM_LIMITS == EPLB_P_LIMIT_NODE_OUT + 1);

/* What a limit counts a move under: a GPU, a node, or nothing. Pairs are counted for each receiver apart. Of an expert's
   senders, who come in the order of their slots, those under the same stand together. */
EPLB_P int32_t eplb_p_counted_under(int32_t limit, int32_t sender, int32_t receiver, int32_t sender_node,
                                    int32_t receiver_node)
{
    switch (limit) {
    case EPLB_P_LIMIT_ALL: return 0;
    case EPLB_P_LIMIT_GPU_IN: return receiver;
    case EPLB_P_LIMIT_GPU_OUT:
    case EPLB_P_LIMIT_PAIR: return sender;
    case EPLB_P_LIMIT_NODE_IN: return sender_node != receiver_node ? receiver_node : EPLB_P_NONE;
    default: return sender_node != receiver_node ? sender_node : EPLB_P_NONE;
    }
}

EPLB_P int eplb_p_has_limits(const eplb_options *o)
{
    int32_t limit, any = 0;

    for (limit = 0; limit < EPLB_P_NUM_LIMITS; limit++) any |= eplb_p_limit_of(o, limit);
    return any != 0;
}

/* Whether moves are few or have a price: there is nobody to weigh them without effort. */
EPLB_P int eplb_p_minds_moves(const eplb_options *o)
{
    return eplb_p_has_limits(o) || (eplb_p_bits_at(&o->move_cost) & ~EPLB_P_SIGN) != 0;
}

/* The field about moves that cannot be as it is; NULL: none. */
EPLB_P const char *eplb_p_find_bad_moves(const eplb_options *o)
{
    EPLB_P_LIMITS(EPLB_P_LIMIT_CHECK)
    if (eplb_p_check_load(&o->move_cost) != EPLB_OK) return "options.move_cost";
    return eplb_p_minds_moves(o) && o->effort == 0 ? "options.effort" : NULL;
}

EPLB_P eplb_result eplb_p_check_moves(const eplb_options *o, eplb_diagnosis *why)
{
    const char *field = eplb_p_find_bad_moves(o);

    return field ? eplb_p_fail(why, EPLB_ERR_OPTION, field) : EPLB_OK;
}

/* Whether nothing is done after one LPT by the true loads, so that items are ranked as they come and pack
   loads are not asked for. */
EPLB_P int eplb_p_is_plain_lpt(const eplb_packing *how)
{
    return how->init == EPLB_INIT_LPT && how->refine == EPLB_REFINE_NONE && how->num_candidates <= 1;
}

/* An engine plans in its own way, and in no other. */
EPLB_P eplb_result eplb_p_check_engine(const eplb_options *o, eplb_diagnosis *why)
{
    const char *field = NULL;

    if (o->engine == EPLB_ENGINE_NONE) return EPLB_OK;
    if (!eplb_p_is_plain_lpt(&o->gpu_packing)) field = "options.gpu_packing";
    if (!eplb_p_is_plain_lpt(&o->group_packing)) field = "options.group_packing";
    if (o->replication != EPLB_REPLICATE_DHONDT) field = "options.replication";
    if (o->effort > 0) field = "options.effort";
    if (!eplb_p_is_one_of(o->engine, EPLB_NUM_ENGINES)) field = "options.engine";
    return field ? eplb_p_fail(why, EPLB_ERR_OPTION, field) : EPLB_OK;
}

EPLB_P eplb_result eplb_p_check_options(const eplb_options *o, eplb_diagnosis *why)
{
    eplb_result r;

    if (!eplb_p_is_one_of(o->policy, EPLB_NUM_POLICIES)) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.policy");
    if (!eplb_p_is_one_of(o->replication, EPLB_NUM_REPLICATIONS))
        return eplb_p_fail(why, EPLB_ERR_OPTION, "options.replication");
    if (o->fixup_steps < 0) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.fixup_steps");
    if (o->max_replicas < 0) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.max_replicas");
    if (o->effort < 0) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.effort");
    if (!eplb_p_within(o->allow_duplicates, 0, 1)) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.allow_duplicates");
    if (!eplb_p_is_one_of(o->shares, EPLB_NUM_PLAN_FORS)) return eplb_p_fail(why, EPLB_ERR_OPTION, "options.shares");
    r = eplb_p_check_moves(o, why);
    if (r == EPLB_OK) r = eplb_p_check_packing(&o->group_packing, EPLB_P_DRAW_GROUPS, why);
    if (r == EPLB_OK) r = eplb_p_check_packing(&o->gpu_packing, EPLB_P_DRAW_GPUS, why);
    return r != EPLB_OK ? r : eplb_p_check_engine(o, why);
}

/* -------------------------------------------------------------------------------------- checks */

/* Whether a row is beyond doubt: no sign, no NaN, no infinity. All of it is looked at, without a branch. By the team, as
   what follows. */
EPLB_P int eplb_p_plainly_loads(const float *load, int32_t n)
{
    int any = 0;
    int32_t i = 0;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_vector doubtful = eplb_p_vector_of(0.0f);
    for (; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR)
        doubtful = eplb_p_vector_or_doubtful(doubtful, eplb_p_vector_at(load + i));
    any = eplb_p_vector_any(doubtful);
#endif
    for (i += eplb_p_team_lane(); i < n; i += EPLB_P_TEAM) any |= eplb_p_bits_at(&load[i]) >= EPLB_P_INFINITY;
    return !eplb_p_team_most(any);
}

/* Rows first .. first+count-1 of each sample of weight [T, rows, n]. */
EPLB_P eplb_result eplb_p_check_loads(const float *weight, int32_t num_samples, int32_t num_rows, int32_t n,
                                      int32_t first, int32_t count, eplb_diagnosis *why)
{
    int32_t t, row, i;

    for (t = 0; t < num_samples; t++) {
        for (row = first; row < first + count; row++) {
            const float *load = weight + ((size_t)t * (size_t)num_rows + (size_t)row) * (size_t)n;
            if (eplb_p_plainly_loads(load, n)) continue;
            for (i = 0; i < n; i++) {
                eplb_result r = eplb_p_check_load(&load[i]);
                if (r == EPLB_OK) continue;
                if (why) {
                    why->sample = t;
                    why->layer = row;
                    why->item = i;
                }
                return eplb_p_fail(why, r, "weight");
            }
        }
    }
    return EPLB_OK;
}

EPLB_P eplb_result eplb_p_tell_bytes(const eplb_p_arena *measured, size_t *bytes)
{
    if (measured->overflowed) return EPLB_ERR_OVERFLOW;
    *bytes = eplb_p_arena_bytes(measured);
    return EPLB_OK;
}

EPLB_P eplb_result eplb_p_check_scratch(const eplb_p_arena *measured, const void *scratch, size_t bytes,
                                        eplb_diagnosis *why)
{
    if (measured->overflowed) return eplb_p_fail(why, EPLB_ERR_OVERFLOW, "problem");
    if (why) why->bytes_needed = eplb_p_arena_bytes(measured);
    if (!scratch) return eplb_p_fail(why, EPLB_ERR_NULL, "scratch");
    if (bytes < eplb_p_arena_bytes(measured)) return eplb_p_fail(why, EPLB_ERR_SCRATCH_SIZE, "scratch_bytes");
    return EPLB_OK;
}

/* --------------------------------------------------------------------------------------- shape */

enum { EPLB_P_EMPTY = -1 }; /* what stands in a slot that holds no expert */

/* Which slots each GPU has, as the caller numbers them, or a layer, or a search: one GPU's after the other's, so that a
   GPU's end where the next one's begin. Whose a slot is, and where a GPU's are, the questions below alone know. */
typedef struct eplb_p_gpus {
    int32_t room;                /* slots of each, or of the largest */
    const int32_t *first_slot;   /* [G + 1] where they do not all have as many; else NULL */
    const int32_t *gpu_of;       /* [slots] whose a slot is; NULL likewise */
    const int32_t *usable_slots; /* [G] slots that may be used, the first ones; NULL: all may */
} eplb_p_gpus;

EPLB_P_HD int32_t eplb_p_begin_of(const eplb_p_gpus *gpus, int32_t gpu)
{
    return gpus->first_slot ? gpus->first_slot[gpu] : gpu * gpus->room;
}

/* Behind the last that may be used: what is in the others is not there. */
EPLB_P_HD int32_t eplb_p_end_of(const eplb_p_gpus *gpus, int32_t gpu)
{
    return gpus->usable_slots ? eplb_p_begin_of(gpus, gpu) + gpus->usable_slots[gpu] : eplb_p_begin_of(gpus, gpu + 1);
}

EPLB_P_HD int32_t eplb_p_num_on(const eplb_p_gpus *gpus, int32_t gpu)
{
    return eplb_p_end_of(gpus, gpu) - eplb_p_begin_of(gpus, gpu);
}

EPLB_P_HD int32_t eplb_p_gpu_with(const eplb_p_gpus *gpus, int32_t slot)
{
    return gpus->gpu_of ? gpus->gpu_of[slot] : slot / gpus->room;
}

typedef struct eplb_p_shape {
    int32_t num_layers, num_experts, num_replicas, num_groups, num_nodes, num_gpus, num_samples;
    int32_t link_nodes; /* nodes, whatever the policy */
    eplb_p_gpus gpus;   /* as the caller numbers their slots */
    int32_t group_size, node_groups, node_experts, node_slots, node_gpus;
    int32_t apart;     /* a plan can do without an expert twice on a GPU while another GPU is free of it */
    int32_t exact;     /* improve is for exact shares */
    int32_t start_cap; /* cap on replicas before improve: where experts are apart, the GPUs of a node */
    int32_t follows;   /* moves from the plan in force are limited, or have a price */
    int32_t as_vllm;   /* as vLLM plans; not on a cluster as it is, for which it has no plan */
    eplb_options options;

    /* A cluster as it is; NULL where all GPUs are alike, or no slot is locked. */
    const float *speed;     /* [G] */
    const int32_t *node_of; /* [G] whatever the policy */
    const uint8_t *locked;  /* [L, R] */
    int32_t survive;
    int32_t num_usable; /* slots, over all GPUs */
    int32_t num_living; /* GPUs that have any */
    int32_t odd;        /* whether any of these is not as for equal GPUs: then sizes of a node above are those
                           of the largest that there could be */
} eplb_p_shape;

/* A GPU's node, whatever the policy. */
EPLB_P int32_t eplb_p_node_of(const eplb_p_shape *s, int32_t gpu)
{
    return s->node_of ? s->node_of[gpu] : gpu / (s->num_gpus / s->link_nodes);
}

/* What a GPU's load is divided by. */
EPLB_P double eplb_p_speed_of(const eplb_p_shape *s, int32_t gpu) { return s->speed ? (double)s->speed[gpu] : 1.0; }

/* options.sample_weight, if there is one: loads as others, and not all zero. */
EPLB_P eplb_result eplb_p_check_sample_weight(const eplb_p_shape *shape, eplb_diagnosis *why)
{
    const float *weight = shape->options.sample_weight;
    int32_t t, counting = 0;

    if (!weight) return EPLB_OK;
    for (t = 0; t < shape->num_samples; t++) {
        if (eplb_p_check_load(&weight[t]) != EPLB_OK) {
            if (why) why->sample = t;
            return eplb_p_fail(why, EPLB_ERR_OPTION, "options.sample_weight");
        }
        counting += weight[t] > 0.0f;
    }
    return counting ? EPLB_OK : eplb_p_fail(why, EPLB_ERR_OPTION, "options.sample_weight");
}

EPLB_P eplb_result eplb_p_fail_at(eplb_diagnosis *why, eplb_result result, const char *field, int32_t item)
{
    if (why) why->item = item;
    return eplb_p_fail(why, result, field);
}

/* gpus, num_usable, num_living. */
EPLB_P eplb_result eplb_p_resolve_gpus(const eplb_problem *p, eplb_p_shape *s, eplb_diagnosis *why)
{
    int32_t gpu, sum = 0, living = 0;

    if (s->num_replicas % s->num_gpus != 0) return eplb_p_fail(why, EPLB_ERR_DIVIDE, "problem.num_replicas");
    s->gpus.room = s->num_replicas / s->num_gpus;
    s->gpus.first_slot = s->gpus.gpu_of = s->gpus.usable_slots = NULL;
    s->num_usable = s->num_replicas;
    s->num_living = s->num_gpus;
    if (!p->gpu_slots) return EPLB_OK;
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (!eplb_p_within(p->gpu_slots[gpu], 0, s->gpus.room))
            return eplb_p_fail_at(why, EPLB_ERR_COUNT, "problem.gpu_slots", gpu);
        sum += p->gpu_slots[gpu];
        living += p->gpu_slots[gpu] > 0;
    }
    if (sum < s->num_experts) return eplb_p_fail(why, EPLB_ERR_TOO_FEW, "problem.gpu_slots");
    if (sum == s->num_replicas) return EPLB_OK;
    s->gpus.usable_slots = p->gpu_slots;
    s->num_usable = sum;
    s->num_living = living;
    return EPLB_OK;
}

/* speed: NULL where all GPUs that have slots are as fast. */
EPLB_P eplb_result eplb_p_resolve_speed(const eplb_problem *p, eplb_p_shape *s, eplb_diagnosis *why)
{
    float slowest = FLT_MAX, fastest = 0.0f;
    int32_t gpu;

    s->speed = NULL;
    if (!p->gpu_speed) return EPLB_OK;
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        float speed = p->gpu_speed[gpu];
        eplb_result r = eplb_p_check_load(&p->gpu_speed[gpu]);
        if (r == EPLB_OK && eplb_p_bits_at(&p->gpu_speed[gpu]) << 1 >> 24 == 0) r = EPLB_ERR_COUNT; /* 0, or denormal */
        if (r != EPLB_OK) return eplb_p_fail_at(why, r, "problem.gpu_speed", gpu);
        if (eplb_p_num_on(&s->gpus, gpu) == 0) continue;
        if (speed < slowest) slowest = speed;
        if (speed > fastest) fastest = speed;
    }
    if (slowest < fastest) s->speed = p->gpu_speed;
    return EPLB_OK;
}

/* node_of: NULL where all nodes have as many GPUs. */
EPLB_P eplb_result eplb_p_resolve_nodes(const eplb_problem *p, eplb_p_shape *s, eplb_diagnosis *why)
{
    int32_t gpu, last = 0, alike = s->num_gpus % s->num_nodes == 0;

    s->node_of = NULL;
    if (!p->gpu_node) return alike ? EPLB_OK : eplb_p_fail(why, EPLB_ERR_DIVIDE, "problem.num_nodes");
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (!eplb_p_within(p->gpu_node[gpu], last, s->num_nodes - 1))
            return eplb_p_fail_at(why, EPLB_ERR_COUNT, "problem.gpu_node", gpu);
        last = p->gpu_node[gpu];
        if (alike && last != gpu / (s->num_gpus / s->num_nodes)) alike = 0;
    }
    if (!alike) s->node_of = p->gpu_node;
    return EPLB_OK;
}

/* The cluster as it is, as far as GPUs are not alike. */
EPLB_P eplb_result eplb_p_resolve_cluster(const eplb_problem *p, eplb_p_shape *s, eplb_diagnosis *why)
{
    eplb_result r = eplb_p_resolve_gpus(p, s, why);

    s->locked = p->locked;
    s->survive = p->survive;
    if (r == EPLB_OK && !eplb_p_is_one_of(p->survive, EPLB_NUM_SURVIVES))
        r = eplb_p_fail(why, EPLB_ERR_OPTION, "problem.survive");
    if (r == EPLB_OK) r = eplb_p_resolve_nodes(p, s, why);
    if (r == EPLB_OK) r = eplb_p_resolve_speed(p, s, why);
    s->odd = r == EPLB_OK && (s->gpus.usable_slots || s->speed || s->node_of || s->locked || s->survive);
    return r;
}

/* The counts as the caller gave them, defaults filled in. */
EPLB_P eplb_result eplb_p_resolve_counts(const eplb_problem *p, eplb_p_shape *s, eplb_diagnosis *why)
{
    if (p->num_layers < 1) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_layers");
    if (p->num_experts < 1) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_experts");
    if (p->num_replicas < 1) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_replicas");
    if (p->num_groups < 0) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_groups");
    if (p->num_nodes < 0) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_nodes");
    if (p->num_gpus < 1) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_gpus");
    if (p->num_samples < 0) return eplb_p_fail(why, EPLB_ERR_COUNT, "problem.num_samples");
    s->num_layers = p->num_layers;
    s->num_experts = p->num_experts;
    s->num_replicas = p->num_replicas;
    s->num_groups = p->num_groups ? p->num_groups : 1;
    s->num_nodes = p->num_nodes ? p->num_nodes : 1;
    s->num_gpus = p->num_gpus;
    s->num_samples = p->num_samples ? p->num_samples : 1;
    if (s->num_replicas < s->num_experts) return eplb_p_fail(why, EPLB_ERR_TOO_FEW, "problem.num_replicas");
    s->link_nodes = s->num_nodes;
    return eplb_p_resolve_cluster(p, s, why);
}

/* Whether AUTO is the global policy. The loss of a node cannot be survived where groups are on one node each. */
EPLB_P int eplb_p_is_global(const eplb_p_shape *s)
{
    if (s->options.policy != EPLB_POLICY_AUTO) return s->options.policy == EPLB_POLICY_GLOBAL;
    return s->num_groups % s->num_nodes != 0 || s->survive == EPLB_SURVIVE_NODE;
}

/* What follows from them and from the policy: the global one has one group and one node. */
EPLB_P eplb_result eplb_p_resolve_policy(eplb_p_shape *s, eplb_diagnosis *why)
{
    EPLB_ASSERT(s->num_nodes > 0);
    if (eplb_p_is_global(s)) {
        s->num_groups = 1;
        s->num_nodes = 1;
    }
    if (s->survive == EPLB_SURVIVE_NODE && s->num_nodes > 1)
        return eplb_p_fail(why, EPLB_ERR_OPTION, "problem.survive");
    if ((s->num_groups % s->num_nodes != 0 && !s->gpus.usable_slots && !s->node_of)
        || s->num_experts % s->num_groups != 0)
        return eplb_p_fail(why, EPLB_ERR_DIVIDE, "problem.num_groups");
    s->group_size = s->num_experts / s->num_groups;
    s->node_groups = s->odd ? s->num_groups : s->num_groups / s->num_nodes;
    s->node_experts = s->odd ? s->num_experts : s->num_experts / s->num_nodes;
    s->node_gpus = s->odd ? s->num_living : s->num_gpus / s->num_nodes;
    s->node_slots = s->node_gpus * s->gpus.room;
    return EPLB_OK;
}

EPLB_P int32_t eplb_p_tighter_cap(int32_t cap, int32_t other) { return cap == 0 || cap > other ? other : cap; }

/* With more slots on a GPU than its node has experts, some are twice on every GPU. */
EPLB_P eplb_result eplb_p_resolve_caps(eplb_p_shape *s, eplb_diagnosis *why)
{
    int32_t cap = s->options.max_replicas;

    if (cap > 0 && (int64_t)cap * s->node_experts < (s->odd ? s->num_usable : s->node_slots))
        return eplb_p_fail(why, EPLB_ERR_MAX_REPLICAS, "options.max_replicas");
    s->exact = s->options.effort > 0 && s->options.shares == EPLB_PLAN_FOR_EXACT;
    s->apart = s->options.effort > 0 && s->gpus.room <= s->node_experts && !(s->exact && s->options.allow_duplicates);
    s->start_cap = s->apart ? eplb_p_tighter_cap(cap, s->node_gpus) : cap;
    s->follows = s->options.previous_phy2log && eplb_p_minds_moves(&s->options);
    s->as_vllm = s->options.engine == EPLB_ENGINE_VLLM && !s->odd;
    return EPLB_OK;
}

static eplb_result eplb_p_resolve(const eplb_problem *problem, const eplb_options *options, eplb_p_shape *s,
                                  eplb_diagnosis *why)
{
    eplb_result r;

    if (!problem) return eplb_p_fail(why, EPLB_ERR_NULL, "problem");
    eplb_options_preset(EPLB_PRESET_DEFAULT, &s->options);
    if (options) s->options = *options;
    r = eplb_p_check_options(&s->options, why);
    if (r == EPLB_OK) r = eplb_p_resolve_counts(problem, s, why);
    if (r == EPLB_OK) r = eplb_p_resolve_policy(s, why);
    if (r == EPLB_OK) r = eplb_p_resolve_caps(s, why);
    if (r == EPLB_OK && s->locked && !s->options.previous_phy2log)
        r = eplb_p_fail(why, EPLB_ERR_NULL, "options.previous_phy2log");
    if (r != EPLB_OK) return r;
    if (!eplb_p_array_fits(s->num_samples, s->num_layers, s->num_experts)
        || !eplb_p_array_fits(s->num_layers, s->num_replicas, 1))
        return eplb_p_fail(why, EPLB_ERR_OVERFLOW, "problem");
    return eplb_p_check_sample_weight(s, why);
}

/* =================================================================================================
   C. ONE LAYER

   in     the loads of a layer, by its shape
   out    its plan: how many replicas each expert has, and which slot each of them is in
   writes eplb_p_layer, each array by the stage it stands under; eplb_p_replicas, eplb_p_packer and
          eplb_p_search, by the stages of these names
   calls  the ground; what asks how good a plan is stands in the next storey, and is not asked */

/* -------------------------------------------------------------------------------------- loads */

/* The power of two by which loads are scaled before anything is computed from them, given the
   bits of the largest: 1 in any usual unit, so that results equal the reference's in every bit;
   otherwise one that brings the largest near 1, so that no sum, square or product can overflow or
   vanish. */
EPLB_P_HD float eplb_p_scale(uint32_t largest)
{
    int32_t exponent = (int32_t)(largest >> 23) - 127;

    if (eplb_p_within(exponent, -40, 40)) return 1.0f;
    if (exponent > 120) exponent = 120;
    if (exponent < -120) exponent = -120;
    return eplb_p_from_bits((uint32_t)(127 - exponent) << 23);
}

typedef struct eplb_p_samples { /* the loads of one layer */
    const float *load;          /* [n] of the first sample; later ones lie stride elements on */
    size_t stride;
    int32_t num;
    const float *weight; /* [num] what each sample counts for; NULL: all alike */
    float heaviest;      /* the largest of these weights of a sample that holds load */
} eplb_p_samples;

/* One row of loads by itself. */
EPLB_P eplb_p_samples eplb_p_one_sample(const float *load)
{
    eplb_p_samples s = EPLB_ZERO_INIT;
    s.load = load;
    s.num = 1;
    return s;
}

#define EPLB_P_FAINT (1.0f / 1073741824.0f) /* 2^-30: what counts for less beside the heaviest does not count */

/* What sample t counts for, beside the heaviest. A heavier one holds no load, so it may be what it is. */
EPLB_P_HD float eplb_p_sample_share(const eplb_p_samples *s, int32_t t)
{
    float share = s->weight && s->weight[t] < s->heaviest ? eplb_p_div(s->weight[t], s->heaviest) : 1.0f;
    return share < EPLB_P_FAINT ? 0.0f : share;
}

/* Whether any of a sample's n loads is more than none. */
EPLB_P int eplb_p_holds_load(const eplb_p_samples *s, int32_t t, int32_t n)
{
    const float *load = s->load + (size_t)t * s->stride;
    int32_t i;
    for (i = 0; i < n; i++)
        if ((eplb_p_bits_at(&load[i]) & ~EPLB_P_SIGN) != 0) return 1;
    return 0;
}

/* Whether there would be another plan without a sample. */
EPLB_P int eplb_p_counts(const eplb_p_samples *s, int32_t t, int32_t n)
{
    return eplb_p_sample_share(s, t) > 0.0f && eplb_p_holds_load(s, t, n);
}

/* A load without its sign, since -0 would sort behind everything. */
EPLB_P_HD float eplb_p_unsigned(const float *load) { return eplb_p_from_bits(eplb_p_bits_at(load) & ~EPLB_P_SIGN); }

EPLB_P_HD float eplb_p_sample_load(const eplb_p_samples *s, int32_t t, int32_t i)
{
    return eplb_p_unsigned(&s->load[(size_t)t * s->stride + (size_t)i]);
}

/* to [n] = from [n], without signs, times factor. By the team, as all that weighs samples. */
EPLB_P void eplb_p_scale_loads(float *to, const float *from, float factor, int32_t n)
{
    int32_t i = 0;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_vector factors = eplb_p_vector_of(factor);
    for (; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR)
        eplb_p_vector_to(to + i, eplb_p_vector_mul(eplb_p_vector_abs(eplb_p_vector_at(from + i)), factors));
#endif
    for (i += eplb_p_team_lane(); i < n; i += EPLB_P_TEAM) to[i] = eplb_p_mul(eplb_p_unsigned(&from[i]), factor);
    eplb_p_team_wait();
}

/* The bits of the largest of n loads. */
EPLB_P uint32_t eplb_p_largest_load(const float *load, int32_t n)
{
    eplb_p_run own = eplb_p_run_of_lane(n);
    uint32_t lightest, heaviest;

    eplb_p_load_range(load + own.first, own.end - own.first, &lightest, &heaviest);
    return (uint32_t)eplb_p_team_most((int32_t)heaviest);
}

/* to [n] += from [n], without signs, times factor. */
EPLB_P void eplb_p_add_scaled_loads(float *to, const float *from, float factor, int32_t n)
{
    int32_t i = 0;
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_vector factors = eplb_p_vector_of(factor);
    for (; i <= n - EPLB_P_VECTOR; i += EPLB_P_VECTOR) {
        volatile eplb_p_vector once = eplb_p_vector_mul(eplb_p_vector_abs(eplb_p_vector_at(from + i)), factors);
        eplb_p_vector_to(to + i, eplb_p_vector_add(eplb_p_vector_at(to + i), once)); /* not fused */
    }
#endif
    for (i += eplb_p_team_lane(); i < n; i += EPLB_P_TEAM)
        to[i] = eplb_p_add(to[i], eplb_p_mul(eplb_p_unsigned(&from[i]), factor));
}

/* The scale of the samples that count; 0 when they hold no load. */
EPLB_P float eplb_p_samples_scale(const eplb_p_samples *s, int32_t n)
{
    uint32_t largest = 0;
    int32_t t;

    for (t = 0; t < s->num; t++) {
        uint32_t heaviest;
        if (!(eplb_p_sample_share(s, t) > 0.0f)) continue;
        heaviest = eplb_p_largest_load(s->load + (size_t)t * s->stride, n);
        if (heaviest > largest) largest = heaviest;
    }
    return largest ? eplb_p_scale(largest) : 0.0f;
}

/* load [n] = the weighted mean over the samples that count, scaled; all ones when there is no load at
   all. Returns the scale, or 0 when there is no load. */
EPLB_P float eplb_p_mean_load(const eplb_p_samples *s, int32_t n, float *load)
{
    float scale = eplb_p_samples_scale(s, n), count = 0.0f;
    int32_t lane = eplb_p_team_lane(), t, i, counted = 0;

    for (i = lane; i < n && !(scale > 0.0f); i += EPLB_P_TEAM) load[i] = 1.0f;
    if (!(scale > 0.0f)) return 0.0f;
    for (t = 0; t < s->num; t++) {
        float share = eplb_p_sample_share(s, t), factor = eplb_p_mul(share, scale);
        const float *more = s->load + (size_t)t * s->stride;
        if (!eplb_p_counts(s, t, n)) continue;
        if (counted++ == 0) eplb_p_scale_loads(load, more, factor, n);
        else eplb_p_add_scaled_loads(load, more, factor, n);
        count = eplb_p_add(count, share);
    }
    for (i = lane; i < n && counted > 1; i += EPLB_P_TEAM) load[i] = eplb_p_div(load[i], count);
    return scale;
}

/* Row `layer` of sample 0; later samples lie eplb_p_sample_stride elements on. */
EPLB_P const float *eplb_p_layer_weight(const eplb_p_shape *shape, const float *weight, int32_t layer)
{
    return weight + (size_t)layer * (size_t)shape->num_experts;
}

EPLB_P size_t eplb_p_sample_stride(const eplb_p_shape *shape)
{
    return (size_t)shape->num_layers * (size_t)shape->num_experts;
}

/* weight: NULL where there is no sample, so that a layer is planned as if its load were even. */
EPLB_P eplb_p_samples eplb_p_layer_samples(const eplb_p_shape *shape, const float *weight, int32_t layer)
{
    eplb_p_samples samples = EPLB_ZERO_INIT;
    int32_t t;

    if (!weight) return samples;
    samples.load = eplb_p_layer_weight(shape, weight, layer);
    samples.stride = eplb_p_sample_stride(shape);
    samples.num = shape->num_samples;
    samples.weight = shape->options.sample_weight;
    samples.heaviest = 0.0f;
    if (!samples.weight) return samples;
    for (t = 0; t < samples.num; t++)
        if (samples.weight[t] > samples.heaviest && eplb_p_holds_load(&samples, t, shape->num_experts))
            samples.heaviest = samples.weight[t];
    return samples;
}

/* loads: the cluster

   Where slots are, once those that may not be used are left out: the GPUs that have any, their slots one after the
   other, by node. All that plans a layer numbers them so. Where all GPUs are alike that is how the caller numbers
   them, and nothing need be stored. */

#define EPLB_P_PACE_BITS 13 /* of the slowest GPU's pace */

typedef struct eplb_p_cluster {
    int32_t num_gpus, num_slots;
    eplb_p_gpus gpus;    /* their slots */
    int32_t *gpu;        /* [num_gpus] as the caller numbers it; NULL, as all that follows, where all are alike */
    int32_t *first_slot; /* [num_gpus + 1] of gpus */
    int32_t *gpu_of;     /* [num_slots] likewise */
    int32_t *first_gpu;  /* [N + 1] of each node, by the policy */
    int32_t *node;       /* [num_gpus] by the policy */
    int32_t *link_node;  /* [num_gpus] whatever the policy */
    float *speed;        /* [num_gpus] NULL: all are as fast */
    int32_t *pace;       /* [num_gpus] its inverse, in whole numbers; likewise */
} eplb_p_cluster;

EPLB_P eplb_p_cluster eplb_p_carve_cluster(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_cluster c = EPLB_ZERO_INIT;

    c.num_gpus = shape->num_living;
    c.num_slots = shape->num_usable;
    c.gpus = shape->gpus;
    if (!shape->odd) return c;
    c.gpu = EPLB_P_TAKE(a, int32_t, c.num_gpus);
    c.first_slot = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)c.num_gpus + 1);
    c.gpu_of = EPLB_P_TAKE(a, int32_t, c.num_slots);
    c.gpus.first_slot = c.first_slot;
    c.gpus.gpu_of = c.gpu_of;
    c.gpus.usable_slots = NULL;
    c.first_gpu = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)shape->num_nodes + 1);
    c.node = EPLB_P_TAKE(a, int32_t, c.num_gpus);
    c.link_node = EPLB_P_TAKE(a, int32_t, c.num_gpus);
    c.speed = shape->speed ? EPLB_P_TAKE(a, float, c.num_gpus) : NULL;
    c.pace = shape->speed ? EPLB_P_TAKE(a, int32_t, c.num_gpus) : NULL;
    return c;
}

/* speed, pace: the slowest takes 2^EPLB_P_PACE_BITS for a grain, and no GPU less than 1. */
EPLB_P void eplb_p_time_gpus(eplb_p_cluster *c, const float *speed)
{
    float slowest = FLT_MAX, most = (float)((int32_t)1 << EPLB_P_PACE_BITS);
    int32_t i;

    for (i = 0; i < c->num_gpus; i++) {
        c->speed[i] = speed[c->gpu[i]];
        if (c->speed[i] < slowest) slowest = c->speed[i];
    }
    for (i = 0; i < c->num_gpus; i++) {
        float pace = eplb_p_mul(eplb_p_div(slowest, c->speed[i]), most); /* at most that */
        pace = eplb_p_add(pace, 0.5f);
        c->pace[i] = pace > 1.5f ? (int32_t)pace : 1;
    }
}

/* All of it, by the shape. */
EPLB_P void eplb_p_number_cluster(eplb_p_cluster *c, const eplb_p_shape *shape)
{
    int32_t gpu, node, n = 0, slot = 0, last = 0, slots;

    if (!shape->odd) return;
    EPLB_ASSERT(c->gpu != NULL && c->first_slot != NULL && c->first_gpu != NULL && c->link_node != NULL);
    EPLB_ASSERT(c->gpu_of != NULL && c->node != NULL);
    c->first_gpu[0] = 0;
    for (gpu = 0; gpu < shape->num_gpus; gpu++) {
        slots = eplb_p_num_on(&shape->gpus, gpu);
        if (slots == 0) continue;
        node = shape->num_nodes > 1 ? eplb_p_node_of(shape, gpu) : 0;
        while (last < node) c->first_gpu[++last] = n;
        c->gpu[n] = gpu;
        c->node[n] = node;
        c->link_node[n] = eplb_p_node_of(shape, gpu);
        c->first_slot[n] = slot;
        eplb_p_fill_ids(c->gpu_of + slot, n, 0, slots);
        slot += slots;
        n++;
    }
    while (last < shape->num_nodes) c->first_gpu[++last] = n;
    c->first_slot[n] = slot;
    if (c->speed) eplb_p_time_gpus(c, shape->speed);
}

/* loads: grains */

/* The arrays of the layer in hand, by the stage that writes them. "mlog" is the order of experts by node,
   group in the node, place in the group. */
typedef struct eplb_p_layer {
    const eplb_p_shape *shape;
    int32_t index;

    /* loads */
    int32_t num_counting; /* samples that count, or what they are merged to; 1 at least */
    float *load;          /* [E] mean over the samples */
    float *size;          /* [E] what replicas and slots are shared out by; load, where not improved */
    int32_t *grains;      /* [E, num_counting] the samples in the integers of improve, when there is effort */
    int32_t *factor;      /* [num_counting] by what each was multiplied, in EPLB_P_WHOLE; for
                             exact shares, and where moves are few */

    /* groups to nodes */
    int32_t *mlog2log; /* [E] */
    float *mlog_load;  /* [E] size in that order */

    /* slots to GPUs, and improve */
    int32_t *phy2log;      /* [R] */
    int32_t *phyrank;      /* [R] */
    int32_t *logcnt;       /* [E] */
    int32_t most_replicas; /* the largest of them */
    int32_t *start;        /* [R] phy2log before the search; for exact shares */

    /* where GPUs are not alike */
    eplb_p_cluster cluster;
    int32_t *first_expert; /* [N + 1] of each node in mlog2log */
    int32_t *used;         /* [G] slots of each GPU that hold something: more would be replicas that may not be */
    int32_t *old_slot;     /* [R] the plan in force, as slots are numbered here */
    uint8_t *locked;       /* [R] whether a slot keeps what it has; NULL: none does */
    int32_t *num_locked;   /* [G] slots of a GPU that keep an expert */
    int32_t *num_shut;     /* [G] and that stay empty */
} eplb_p_layer;

/* How many samples the search is given of so many: beyond that neighbours are merged. */
EPLB_P int32_t eplb_p_kept_samples(int32_t num_samples)
{
    return num_samples < EPLB_MOST_SAMPLES ? num_samples : EPLB_MOST_SAMPLES;
}

EPLB_P eplb_p_layer eplb_p_carve_layer(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_layer l = EPLB_ZERO_INIT;
    int improved = shape->options.effort > 0;
    int32_t kept = eplb_p_kept_samples(shape->num_samples), nobody = shape->follows; /* is an expert more */

    l.shape = shape;
    l.load = EPLB_P_TAKE(a, float, shape->num_experts);
    l.size = improved && shape->num_samples > 1 ? EPLB_P_TAKE(a, float, shape->num_experts) : l.load;
    l.grains = improved ? EPLB_P_TAKE_ROWS(a, int32_t, shape->num_experts + nobody, kept) : NULL;
    l.mlog2log = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    l.mlog_load = EPLB_P_TAKE(a, float, shape->num_experts);
    l.phy2log = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    l.phyrank = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    l.logcnt = EPLB_P_TAKE(a, int32_t, shape->num_experts + nobody);
    l.factor = shape->exact || shape->follows ? EPLB_P_TAKE(a, int32_t, kept) : NULL;
    l.start = shape->exact ? EPLB_P_TAKE(a, int32_t, shape->num_replicas) : NULL;
    l.cluster = eplb_p_carve_cluster(a, shape);
    if (!shape->odd) return l;
    l.first_expert = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)shape->num_nodes + 1);
    l.used = EPLB_P_TAKE(a, int32_t, l.cluster.num_gpus);
    l.old_slot = shape->options.previous_phy2log ? EPLB_P_TAKE(a, int32_t, l.cluster.num_slots) : NULL;
    if (!shape->locked) return l;
    l.locked = EPLB_P_TAKE(a, uint8_t, l.cluster.num_slots);
    l.num_locked = EPLB_P_TAKE(a, int32_t, l.cluster.num_gpus);
    l.num_shut = EPLB_P_TAKE(a, int32_t, l.cluster.num_gpus);
    return l;
}

/* What a node has: which of the experts in mlog2log, and which GPUs and slots. */
typedef struct eplb_p_node_part {
    int32_t num_experts, first_expert;
    int32_t num_gpus, first_gpu;
    int32_t num_slots, first_slot;
    int32_t gpu_slots; /* of each GPU; 0: not all have as many, or use all that they have, or some are locked */
} eplb_p_node_part;

EPLB_P eplb_p_node_part eplb_p_node_part_of(const eplb_p_layer *l, int32_t node)
{
    const eplb_p_shape *shape = l->shape;
    eplb_p_node_part part;
    int32_t gpu;

    part.num_experts = shape->node_experts;
    part.num_gpus = shape->node_gpus;
    part.num_slots = shape->node_slots;
    part.gpu_slots = shape->gpus.room;
    part.first_expert = node * shape->node_experts;
    part.first_gpu = node * shape->node_gpus;
    part.first_slot = node * shape->node_slots;
    if (!shape->odd) return part;
    part.first_expert = l->first_expert[node];
    part.num_experts = l->first_expert[node + 1] - part.first_expert;
    part.first_gpu = l->cluster.first_gpu[node];
    part.num_gpus = l->cluster.first_gpu[node + 1] - part.first_gpu;
    part.first_slot = eplb_p_begin_of(&l->cluster.gpus, part.first_gpu);
    part.num_slots = 0;
    part.gpu_slots = part.num_gpus > 0 ? l->used[part.first_gpu] : 0;
    for (gpu = part.first_gpu; gpu < part.first_gpu + part.num_gpus; gpu++) {
        part.num_slots += l->used[gpu];
        if (l->used[gpu] != part.gpu_slots || l->used[gpu] != eplb_p_num_on(&l->cluster.gpus, gpu)) part.gpu_slots = 0;
        if (l->locked && l->num_locked[gpu] > 0) part.gpu_slots = 0;
    }
    return part;
}

/* The node that a slot is on, by the policy. */
EPLB_P int32_t eplb_p_node_at_slot(const eplb_p_layer *l, int32_t slot)
{
    int32_t gpu = eplb_p_gpu_with(&l->cluster.gpus, slot);
    return l->shape->odd ? l->cluster.node[gpu] : gpu / l->shape->node_gpus;
}

/* The first GPU of a node, or behind its last at node + 1. */
EPLB_P int32_t eplb_p_first_gpu_of(const eplb_p_layer *l, int32_t node)
{
    return l->shape->odd ? l->cluster.first_gpu[node] : node * l->shape->node_gpus;
}

/* A layer of the plan in force, as slots are numbered here: what it has in those that may not be used is not there. */
EPLB_P const int32_t *eplb_p_number_old_slots(eplb_p_layer *l, const int32_t *old_slot)
{
    const eplb_p_cluster *c = &l->cluster;
    int32_t i;

    if (!l->shape->odd) return old_slot;
    for (i = 0; i < c->num_gpus; i++)
        eplb_p_copy_ids(l->old_slot + eplb_p_begin_of(&c->gpus, i),
                        old_slot + eplb_p_begin_of(&l->shape->gpus, c->gpu[i]), eplb_p_num_on(&c->gpus, i));
    return l->old_slot;
}

/* Which slots of a layer keep what the plan in force has in them, and that plan. */
EPLB_P void eplb_p_number_locked(eplb_p_layer *l, int32_t index)
{
    const eplb_p_cluster *c = &l->cluster;
    size_t first = eplb_p_at(index, l->shape->num_replicas, 0);
    int32_t gpu, slot, begin, end;

    if (!l->locked) return;
    (void)eplb_p_number_old_slots(l, l->shape->options.previous_phy2log + first);
    for (gpu = 0; gpu < c->num_gpus; gpu++) {
        const uint8_t *locked = l->shape->locked + first + eplb_p_begin_of(&l->shape->gpus, c->gpu[gpu]);
        begin = eplb_p_begin_of(&c->gpus, gpu);
        end = eplb_p_end_of(&c->gpus, gpu);
        l->num_locked[gpu] = l->num_shut[gpu] = 0;
        for (slot = begin; slot < end; slot++) {
            l->locked[slot] = locked[slot - begin] != 0;
            if (!l->locked[slot]) continue;
            if (l->old_slot[slot] == EPLB_P_EMPTY) l->num_shut[gpu]++;
            else l->num_locked[gpu]++;
        }
    }
}

/* Whether a slot keeps an expert. */
EPLB_P int eplb_p_keeps_expert(const eplb_p_layer *l, int32_t slot)
{
    return l->locked && l->locked[slot] && l->old_slot[slot] != EPLB_P_EMPTY;
}

/* Where a slot of a part stands in the layer: the rank-th of one of the part's GPUs. */
EPLB_P int32_t eplb_p_slot_at(const eplb_p_layer *l, const eplb_p_node_part *part, int32_t gpu, int32_t rank)
{
    return eplb_p_begin_of(&l->cluster.gpus, part->first_gpu + gpu) + rank;
}

/* The largest integer whose square is not above x. */
EPLB_P uint64_t eplb_p_root(uint64_t x)
{
    uint64_t root = 0, bit;
    for (bit = (uint64_t)1 << 31; bit != 0; bit >>= 1)
        if ((root + bit) * (root + bit) <= x) root += bit;
    return root;
}

/* Bits of the load of a whole layer in grains, such that sums over T samples fit 31 bits, and those of squares 63
   bits with some to spare. */
EPLB_P int32_t eplb_p_grain_bits(int32_t num_samples, int32_t paced)
{
    int32_t bits = 0;
    while ((num_samples - 1) >> bits != 0) bits++;
    return paced ? 23 - (bits + 1) / 2 : 30 - bits; /* times a pace, squares fit too */
}

#define EPLB_P_WHOLE 32768.0f /* 2^15, the root of 2^30 */

/* What counts for a share of the heaviest counts so in squares: its loads times the root of that. */
EPLB_P float eplb_p_square_factor(float share)
{
    uint64_t root = eplb_p_root((uint64_t)(share * (EPLB_P_WHOLE * EPLB_P_WHOLE)));
    return (float)root * (1.0f / EPLB_P_WHOLE);
}

/* Whether two samples hold the same n loads. */
EPLB_P int eplb_p_equal_samples(const eplb_p_samples *s, int32_t t, int32_t u, int32_t n)
{
    int32_t i = 0;
    while (i < n && eplb_p_bits(eplb_p_sample_load(s, t, i)) == eplb_p_bits(eplb_p_sample_load(s, u, i))) i++;
    return i == n;
}

/* The next sample that counts, from *t on, and those after it that are equal to it: they count as one. Returns for how
   much, 0 where there is none; *first is the one, and *t is past them all. */
EPLB_P float eplb_p_next_sample(const eplb_p_samples *s, int32_t n, int32_t *t, int32_t *first)
{
    float weight = 0.0f;

    for (; *t < s->num; ++*t) {
        if (!eplb_p_counts(s, *t, n)) continue;
        if (!(weight > 0.0f)) *first = *t;
        else if (!eplb_p_equal_samples(s, *first, *t, n)) break;
        weight = eplb_p_add(weight, eplb_p_sample_share(s, *t));
    }
    return weight;
}

/* Into how many the samples that count are merged, where neighbours are as long as they count for no more
   than `most` together. heaviest: what one of these counts for at most. */
EPLB_P int32_t eplb_p_num_merged(const eplb_p_samples *samples, int32_t num_experts, float most, float *heaviest)
{
    float weight = 0.0f, share;
    int32_t merged = 0, t = 0, first = 0;

    *heaviest = 0.0f;
    while ((share = eplb_p_next_sample(samples, num_experts, &t, &first)) > 0.0f) {
        float more = eplb_p_add(weight, share);
        if (merged == 0 || more > most) {
            merged++;
            more = share;
        }
        weight = more;
        if (weight > *heaviest) *heaviest = weight;
    }
    return merged;
}

#define EPLB_P_MERGING_BITS 16 /* of a mantissa's 23 that make no difference here */

/* The least, but for a part in 128, that neighbours may count for together so that few enough are left: those that count
   for least are merged, and what counts for most stays by itself. Bisection over the bits of floats, which are ordered. */
EPLB_P float eplb_p_merging(const eplb_p_samples *samples, int32_t num_experts)
{
    uint32_t low = 0, high = (eplb_p_bits((float)samples->num) >> EPLB_P_MERGING_BITS) + 1;
    float most = 0.0f, heaviest;

    if (eplb_p_num_merged(samples, num_experts, most, &heaviest) <= EPLB_MOST_SAMPLES) return most;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        most = eplb_p_from_bits(middle << EPLB_P_MERGING_BITS);
        if (eplb_p_num_merged(samples, num_experts, most, &heaviest) <= EPLB_MOST_SAMPLES) high = middle;
        else low = middle;
    }
    return eplb_p_from_bits(high << EPLB_P_MERGING_BITS);
}

/* The next samples that count, from *t on, merged to one: size [E] = the weighted mean of their loads, scaled.
   Returns what they count for together. */
EPLB_P float eplb_p_merge_samples(eplb_p_layer *l, const eplb_p_samples *samples, float scale, float most, int32_t *t)
{
    int32_t num_experts = l->shape->num_experts, merged = 0, next = *t, first = 0, e;
    float weight = 0.0f, share;

    while ((share = eplb_p_next_sample(samples, num_experts, &next, &first)) > 0.0f) {
        const float *load = samples->load + (size_t)first * samples->stride;
        float more = eplb_p_add(weight, share), factor = eplb_p_mul(share, scale);
        if (merged > 0 && more > most) break;
        if (merged == 0) eplb_p_scale_loads(l->size, load, scale, num_experts);
        if (merged == 1) eplb_p_scale_loads(l->size, l->size, weight, num_experts);
        if (merged > 0) eplb_p_add_scaled_loads(l->size, load, factor, num_experts);
        weight = more;
        merged++;
        *t = next;
    }
    for (e = eplb_p_team_lane(); e < num_experts && merged > 1; e += EPLB_P_TEAM)
        l->size[e] = eplb_p_div(l->size[e], weight);
    eplb_p_team_wait();
    return weight;
}

/* The grain of a layer: the power of two by which the samples' loads, of which none has a sum above
   the largest, are multiplied. */
EPLB_P float eplb_p_grain(float largest, int32_t num_counting, int32_t paced)
{
    float limit = (float)((uint32_t)1 << eplb_p_grain_bits(num_counting, paced)), grain = 1.0f;

    while (eplb_p_mul(largest, grain) > limit) grain = eplb_p_mul(grain, 0.5f);
    while (eplb_p_mul(eplb_p_mul(largest, grain), 2.0f) <= limit) grain = eplb_p_mul(grain, 2.0f);
    return grain;
}

/* One sample, all ones: a layer without load is planned as if its load were even. */
EPLB_P void eplb_p_weigh_evenly(eplb_p_layer *l)
{
    float grain = eplb_p_grain((float)l->shape->num_experts, 1, l->cluster.pace != NULL);
    int32_t lane = eplb_p_team_lane(), e;

    if (lane == 0) l->num_counting = 1;
    if (l->factor) l->factor[0] = (int32_t)EPLB_P_WHOLE;
    for (e = lane; e < l->shape->num_experts; e += EPLB_P_TEAM) {
        l->size[e] = 1.0f;
        l->grains[e] = (int32_t)grain;
    }
}

/* num_counting, grains of the layer: the loads of the samples that count, or of what they are merged to, times
   a power of two. The first time round the largest sum of loads is found, by which the grain is chosen, then the
   grains. Size serves for the sample at hand, and is that of the last. */
EPLB_P void eplb_p_weigh_grains(eplb_p_layer *l, const eplb_p_samples *samples, float scale)
{
    int32_t num_experts = l->shape->num_experts, pass, k, t, e, n;
    float largest = 0.0f, grain = 1.0f, most = eplb_p_merging(samples, num_experts), heaviest;

    n = eplb_p_num_merged(samples, num_experts, most, &heaviest);
    if (n == 0 || !(scale > 0.0f)) {
        eplb_p_weigh_evenly(l);
        return;
    }
    if (eplb_p_team_lane() == 0) l->num_counting = n;
    for (pass = 0; pass < 2; pass++) {
        if (pass == 1) grain = eplb_p_grain(largest, n, l->cluster.pace != NULL);
        for (k = 0, t = 0; k < n; k++) {
            float weight = eplb_p_merge_samples(l, samples, scale, most, &t), sum = 0.0f;
            float factor = eplb_p_square_factor(eplb_p_div(weight, heaviest));
            if (l->factor) l->factor[k] = (int32_t)(factor * EPLB_P_WHOLE);
            for (e = 0; e < num_experts && pass == 0; e++) sum = eplb_p_add(sum, eplb_p_mul(l->size[e], factor));
            for (e = eplb_p_team_lane(); e < num_experts && pass == 1; e += EPLB_P_TEAM) {
                float load = eplb_p_mul(l->size[e], factor);
                load *= grain; /* a power of two: exact */
                l->grains[eplb_p_at(e, n, k)] = (int32_t)load;
            }
            if (sum > largest) largest = sum;
            eplb_p_team_wait();
        }
    }
}

/* size [E] = the length of each expert's load vector, which is its load where there is one sample:
   replicas and slots are first shared out by it, so that an expert of unsteady load counts for more
   than a steady one of the same mean. One sample is what size has by now, and it alone is the mean: that of
   several equal ones is off by its rounding. */
EPLB_P void eplb_p_size_experts(eplb_p_layer *l)
{
    int32_t e, t;

    for (e = eplb_p_team_lane(); e < l->shape->num_experts; e += EPLB_P_TEAM) {
        const int32_t *grains = l->grains + (size_t)e * (size_t)l->num_counting;
        uint64_t squares = 0;
        if (l->num_counting == 1) {
            l->load[e] = l->size[e];
            continue;
        }
        for (t = 0; t < l->num_counting; t++) squares += (uint64_t)((int64_t)grains[t] * grains[t]);
        squares = eplb_p_root(squares);
        l->size[e] = (float)squares;
    }
}

/* Weight -> the loads of layer `index`. By the team. */
EPLB_P void eplb_p_weigh_layer(eplb_p_layer *l, const float *weight, int32_t index)
{
    eplb_p_samples samples = eplb_p_layer_samples(l->shape, weight, index);
    float scale = eplb_p_mean_load(&samples, l->shape->num_experts, l->load);

    if (eplb_p_team_lane() == 0) {
        l->index = index;
        l->most_replicas = 1;
    }
    eplb_p_team_wait();
    if (l->shape->options.effort == 0) return;
    eplb_p_weigh_grains(l, &samples, scale);
    eplb_p_team_wait();
    if (l->size != l->load) eplb_p_size_experts(l);
    eplb_p_team_wait();
}

/* ---------------------------------------------------------------------------------- replicate */

/* The replicas of num_log experts on num_phy slots. Slot e < num_log holds expert e's first replica;
   the others are spare. */
typedef struct eplb_p_replicas {
    int32_t num_log, num_spare;

    /* The experts; the caller's to set. */
    const float *load;    /* [num_log] */
    const int32_t *least; /* [num_log] replicas that an expert has in any case, above 1 too; NULL: 1 */
    int32_t first_twice;  /* so many of the spare slots go to experts that have one replica only */

    int32_t *count;   /* [num_log] replicas of each expert */
    int32_t *expert;  /* [num_spare] expert of each spare slot */
    int32_t *rank;    /* [num_spare] which replica of its expert */
    float *next;      /* [num_log] what each bids after its next slot */
    uint64_t *bids;   /* [2, num_log] tournament of their bids for the next slot, highest first */
    size_t bids_from; /* where in scratch they lie */
} eplb_p_replicas;

EPLB_P eplb_p_replicas eplb_p_carve_replicas(eplb_p_arena *a, int32_t num_log, int32_t num_phy)
{
    eplb_p_replicas r = EPLB_ZERO_INIT;
    r.num_log = num_log;
    r.num_spare = num_phy - num_log;
    r.count = EPLB_P_TAKE(a, int32_t, num_log);
    r.expert = EPLB_P_TAKE(a, int32_t, num_phy); /* next lies behind it, so that fewer */
    r.rank = EPLB_P_TAKE(a, int32_t, num_phy);   /* experts never need more scratch */
    r.next = a->base ? (float *)(void *)(r.expert + r.num_spare) : NULL;
    r.bids_from = a->used;
    r.bids = EPLB_P_TAKE_ROWS(a, uint64_t, num_log, 2);
    return r;
}

EPLB_P_HD int eplb_p_at_cap(int32_t count, int32_t max_replicas) { return max_replicas > 0 && count >= max_replicas; }

/* An expert's key in the tournament for the next slot: behind all others once it is at its cap. */
EPLB_P uint64_t eplb_p_bid_key(const eplb_p_replicas *r, int32_t e, int method, int32_t max_replicas)
{
    if (eplb_p_at_cap(r->count[e], max_replicas)) return EPLB_P_LAST;
    return eplb_p_heavy_first(eplb_p_bid(r->load[e], r->count[e], method), e);
}

/* What all bid to begin with. By D'Hondt one that has one replica bids its load, and half of it next. */
EPLB_P void eplb_p_open_bids(const eplb_p_replicas *r, int32_t given, int method, int32_t max_replicas)
{
    uint64_t *key = r->bids + r->num_log;
    int32_t lane = eplb_p_team_lane(), e;

    if (given == 0 && !r->least && method == EPLB_P_DHONDT) {
        for (e = lane; e < r->num_log; e += EPLB_P_TEAM) key[e] = eplb_p_heavy_first(r->load[e], e);
        eplb_p_scale_loads(r->next, r->load, 0.5f, r->num_log);
    } else {
        for (e = lane; e < r->num_log; e += EPLB_P_TEAM) {
            key[e] = eplb_p_bid_key(r, e, method, max_replicas);
            r->next[e] = eplb_p_bid(r->load[e], r->count[e] + 1, method);
        }
    }
    eplb_p_team_wait();
    if (lane == 0) eplb_p_tournament_start(r->bids, r->num_log);
}

/* Spare slots first .. last-1 go, one after the other, to the expert with the highest bid. Its next bid is there
   already, so that nothing waits for the division. */
EPLB_P void eplb_p_give_slots(eplb_p_replicas *replicas, int32_t first, int32_t last, int method, int32_t max_replicas)
{
    eplb_p_replicas r = *replicas; /* a copy's pointers stay in registers */
    uint64_t highest, key;
    int32_t slot, e;

    if (first == last) return;
    eplb_p_open_bids(&r, first, method, max_replicas);
    slot = eplb_p_team_lane() == 0 ? first : last; /* one slot after the other */
    for (highest = slot < last ? r.bids[1] : EPLB_P_LAST; slot < last; slot++) {
        EPLB_ASSERT(highest != EPLB_P_LAST); /* max_replicas was checked to leave room for every slot */
        e = eplb_p_index(highest);
        key = eplb_p_heavy_first(r.next[e], e);
        r.expert[slot] = e;
        r.rank[slot] = r.count[e]++;
        if (eplb_p_at_cap(r.count[e], max_replicas)) key = EPLB_P_LAST;
        highest = eplb_p_tournament_replay(r.bids, r.num_log, e, key);
        r.next[e] = eplb_p_bid(r.load[e], r.count[e] + 1, method);
    }
    eplb_p_team_wait();
}

/* The expert with the heaviest replicas, were there `extra` more replicas of expert `changed`. */
EPLB_P uint64_t eplb_p_heaviest_replica(const eplb_p_replicas *r, int32_t changed, int32_t extra)
{
    uint64_t heaviest = EPLB_P_LAST;
    int32_t e;

    for (e = 0; e < r->num_log; e++) {
        float each = eplb_p_bid(r->load[e], r->count[e] + (e == changed ? extra : 0), EPLB_P_DHONDT);
        heaviest = eplb_p_smaller(heaviest, eplb_p_heavy_first(each, e));
    }
    return heaviest;
}

/* Whether an expert keeps as many replicas as it has to have when one goes. */
EPLB_P int eplb_p_may_donate(const eplb_p_replicas *r, int32_t e)
{
    int32_t least = r->least ? r->least[e] : 1;
    return r->count[e] > (r->first_twice > 0 && least < 2 ? 2 : least);
}

/* One replica from the donor whose own replicas grow least by it to the expert with the heaviest
   ones, if that makes the heaviest replica lighter. Returns whether it did. */
EPLB_P int eplb_p_fixup(eplb_p_replicas *r, int32_t max_replicas)
{
    uint64_t before = eplb_p_heaviest_replica(r, 0, 0), after, least = EPLB_P_LAST;
    int32_t receiver = eplb_p_index(before), donor, e, slot;

    if (eplb_p_at_cap(r->count[receiver], max_replicas)) return 0;
    for (e = 0; e < r->num_log; e++)
        if (e != receiver && eplb_p_may_donate(r, e))
            least = eplb_p_smaller(least, eplb_p_light_first(eplb_p_rise(r->load[e], r->count[e]), e));
    donor = eplb_p_index_or_none(least);
    if (donor < 0) return 0;
    r->count[donor]--;
    after = eplb_p_heaviest_replica(r, receiver, 1);
    if (after >> 32 <= before >> 32) { /* no lighter: heavier ones have smaller keys */
        r->count[donor]++;
        return 0;
    }
    for (slot = 0; r->expert[slot] != donor || r->rank[slot] != r->count[donor]; slot++) {}
    r->expert[slot] = receiver;
    r->rank[slot] = r->count[receiver]++;
    return 1;
}

/* How many of the spare slots are given by Sainte-Lague, after the others. */
EPLB_P int32_t eplb_p_last_tenth(int32_t spare, int32_t replication)
{
    return replication == EPLB_REPLICATE_HYBRID ? spare / 10 + (spare % 10 != 0) : 0;
}

/* By the team. */
EPLB_P void eplb_p_replicate(eplb_p_replicas *r, int32_t replication, int32_t fixup_steps, int32_t max_replicas)
{
    int32_t spare = r->num_spare, tenth = eplb_p_last_tenth(spare, replication), lane = eplb_p_team_lane(), step;

    if (r->least) eplb_p_team_copy(r->count, r->least, r->num_log);
    else eplb_p_team_fill(r->count, 1, 0, r->num_log);
    eplb_p_team_wait();
    eplb_p_give_slots(r, 0, r->first_twice, EPLB_P_DHONDT, 2);
    if (spare - tenth < r->first_twice) tenth = spare - r->first_twice;
    eplb_p_give_slots(r, r->first_twice, spare - tenth, EPLB_P_DHONDT, max_replicas);
    if (replication != EPLB_REPLICATE_HYBRID) return;
    eplb_p_give_slots(r, spare - tenth, spare, EPLB_P_SAINTE_LAGUE, max_replicas);
    for (step = 0; lane == 0 && step < fixup_steps && eplb_p_fixup(r, max_replicas); step++) {}
    eplb_p_team_wait();
}

/* spare: the sum of the i lightest, but for that of all, which is load[0] then. By the team. */
EPLB_P void eplb_p_sum_lightest(uint64_t *load, uint64_t *spare, int32_t n)
{
    eplb_p_run own = eplb_p_run_of_lane(n);
    int64_t sum = 0;
    int32_t i;

    if (EPLB_P_TEAM > 1) eplb_p_team_sort(load, spare, n);
    else if (!eplb_p_insert_few(load, n)) eplb_p_sort(load, spare, n);
    for (i = own.first; i < own.end; i++) sum += (int64_t)load[i];
    sum = eplb_p_team_sum_before(sum);
    for (i = own.first; i < own.end; i++) {
        spare[i] = (uint64_t)sum;
        sum += (int64_t)load[i];
    }
    sum = eplb_p_team_from64(sum, EPLB_P_TEAM - 1);
    if (eplb_p_team_lane() == 0) load[0] = (uint64_t)sum;
    eplb_p_team_wait();
}

/* The least that the heaviest GPU can carry when replicas of these loads fill all slots, which are taken up.
   Proof: of the k G + q heaviest, some q GPUs hold (k + 1) q: those that hold most. Did they hold fewer, one of
   them would hold no more than k, and nor would any GPU besides, which makes k G + q - 1 at most. So those q
   carry at least the (k + 1) q lightest of the ones looked at and, as they have q S slots, so many more of the
   lightest of all; and one of them carries the mean of that, or more. By the team. */
EPLB_P uint64_t eplb_p_least_peak(uint64_t *load, uint64_t *spare, int32_t num_slots, int32_t num_gpus)
{
    int32_t room = num_slots / num_gpus, k, q;
    uint64_t least = 0;

    eplb_p_sum_lightest(load, spare, num_slots);
    for (q = 1 + eplb_p_team_lane(); q <= num_gpus; q += EPLB_P_TEAM) {
        uint64_t most = 0;
        for (k = 0; k < room; k++) {
            int32_t above = k * (num_gpus - q), others = q * (room - k - 1);
            uint64_t heavy = (above ? spare[num_slots - above] : load[0]) - spare[num_slots - k * num_gpus - q];
            if (heavy + spare[others] > most) most = heavy + spare[others];
        }
        if (most / (uint64_t)q > least) least = most / (uint64_t)q;
    }
    return (uint64_t)eplb_p_team_most64((int64_t)least);
}

/* GPUs that replicas may be on, and what any plan has to reckon with there. */
typedef struct eplb_p_place {
    int32_t num_gpus, num_slots;
    double speed;   /* of all together; 1 each where all are alike */
    double fastest; /* speed of one */
    int32_t *rooms; /* [num_gpus + 1] slots of the i roomiest together; NULL: all GPUs are alike */
    double *speeds; /* [num_gpus + 1] speed of the i fastest together */
    int32_t *tight; /* [num_gpus + 1] slots of the i with the fewest for their speed together */
    double *loose;  /* [num_gpus + 1] speed of the others together */
} eplb_p_place;

/* The same for n replicas, as many as there are slots or fewer, on GPUs that are not alike: the least that the slowest
   can take. Proof: let M be what the GPUs have room for if each holds no more than k, and let q of them, or more, have
   room for more than k. Of the M + q heaviest, some q GPUs hold (k + 1) q: those that hold most. Did they hold fewer,
   one of them would hold no more than k, and nor would any GPU besides; so those besides would hold M - k q at most, as
   for each of the q with room for only r < k there is one besides with room for k, that holds no more than r; and all
   together M + q - 1. What the others have no room for, those q hold too; and they are no faster than the q fastest. */
EPLB_P double eplb_p_least_time(uint64_t *load, uint64_t *spare, int32_t n, const eplb_p_place *at)
{
    int32_t k, q, level = 0, roomy = at->num_gpus; /* M; and how many GPUs have room for more than k */
    double least = 0.0;

    eplb_p_sum_lightest(load, spare, n);
    for (k = 0; level < n; k++) {
        while (at->rooms[roomy] - at->rooms[roomy - 1] <= k) roomy--;
        for (q = 1 + eplb_p_team_lane(); q <= roomy && level + q <= n; q += EPLB_P_TEAM) {
            int32_t first = n - level - q, end = first + (k + 1) * q;
            int32_t others = n - at->rooms[at->num_gpus - q] - (k + 1) * q;
            uint64_t heavy = (end < n ? spare[end] : load[0]) - spare[first];
            double time = (double)(heavy + (others > 0 ? spare[others] : 0)) / at->speeds[q];
            if (time > least) least = time;
        }
        level += roomy;
    }
    return eplb_p_team_most_double(least);
}

/* --------------------------------------------------------------------------------------- pack

   n items onto m packs, n / m on each. A candidate puts the items into an order; from then on an item is known by its
   position in that order, so "first in sorted order" is "at the lower position". Then, in three rooms:

   initial  each item goes to a pack, in that order
   refine   two items of different packs change places, one swap after the other
   select   of several candidates the best is kept

   in       weight and true_order of the items, how they are packed
   out      pack_index and rank_in_pack
   writes   eplb_p_packs: initial and eplb_p_do_swap, which put items on packs, and what readies it for either;
            eplb_p_frontier: what opens it, next_* and note_*

   Six items in two packs, as LPT has put them; rows of loads have whole vectors, filled up with * that is too heavy
   to be swapped:

       position     0  1  2  3  4  5     pack        0            1
       weight       9  8  6  5  3  1     held        0  3  4      1  2  5
       pack_of      0  1  1  0  0  1     held_load   9  5  3  *   8  6  1  *
                                         load        17           15             by_load  0 1

   Pack 0 is heavier by D = 2. What an item u of it and an item v of pack 1 differ by, d, moves from the one to the
   other: between 0 and D that helps, and most at D / 2. 9 - 8 = 1 is the only such d, so its gain, min(d, D - d), is
   the largest, 1; and the sum of squares falls by twice d (D - d): from 17^2 + 15^2 = 514 to 16^2 + 16^2 = 512. Places
   0 and 0 change packs, the rows stay in order, and both loads are summed afresh:

       pack_of      1  0  1  0  0  1     held        1  3  4      0  2  5
                                         held_load   8  5  3  *   9  6  1  *
                                         load        16           16             by_load  0 1

   Which swap is next the rules say, each in its own words: of which packs, by what worth. A swap's key is its worth,
   its u, its v, and the first by key is done. The frontier spares looking again at what has not changed: it has a
   stamp for each pack, what each promises, and all items in a line by their loads, where those that may go for u
   stand right behind it. */

/* Items on packs. */
typedef struct eplb_p_packs {
    int32_t n, m, room; /* items, packs, items in each pack */
    int32_t stride;     /* loads in the row of a pack: whole vectors */

    const float *weight;   /* [n] true loads of the items */
    const uint64_t *order; /* [n] items by their perturbed load */
    int32_t *pack_of;      /* [n] pack of each item */
    int32_t *rank;         /* [n] how many items its pack had before it, as LPT came by it */
    int32_t *fill;         /* [m] how many items there are so far, or where the next one goes */
    float *load;           /* [m] sum of their true loads in that order */
    float tiny;            /* a difference of loads below it counts as none */

    /* For swaps. */
    int32_t *held;     /* [m, room] positions in each pack, ascending */
    float *held_load;  /* [m, stride] their true loads, and up to the next row what is too heavy to swap */
    uint64_t *by_load; /* [m] packs, heaviest first */
} eplb_p_packs;

/* Of two packs, the one that goes before their others. */
typedef struct eplb_p_swap {
    int32_t heavy, light; /* packs */
    float gain;           /* 0: none helps */
    float worth;          /* its gain or its fall, whichever swaps are chosen by */
} eplb_p_swap;

/* What is known of swaps that are not done yet. It saves time: without it the same swaps are found. */
typedef struct eplb_p_frontier {
    /* Of each pack's pairs with lighter ones; NULL where no pack is looked at again. A stamp is 2 s where the pack was
       looked at with all of them after s - 1 swaps, and 2 s + 1 where the next swap changed it. So a pair is settled
       where the heavier one's stamp is even and the lighter one's is no larger. */
    uint32_t *stamp;      /* [m] */
    uint32_t now;         /* 2 s */
    uint64_t last[2];     /* packs that the last swap changed, heaviest first */
    eplb_p_swap *promise; /* [m] the best swap of each; where its gain is 0 there is none, or it is not known, and its
                             worth is a bound; for L2 */

    const uint64_t *line;  /* [n] items by their true load */
    int32_t *place;        /* [n] where each of them stands there */
    float *line_load;      /* [n + EPLB_P_VECTOR] these loads, and of some lighter than any; NULL where few
                              pairs are searched, or packs are small */
    float *line_pack_load; /* [n + EPLB_P_VECTOR] loads of the packs that hold them */
} eplb_p_frontier;

typedef struct eplb_p_packer {
    const eplb_packing *how;

    /* What is packed, and where to; the caller's to set. */
    const float *weight;   /* [n] */
    uint32_t row;          /* tells its noise from that of every other packing of the stage */
    int32_t *pack_index;   /* [n] pack of each item, in the best candidate so far */
    int32_t *rank_in_pack; /* [n] */

    /* Of the packing as a whole. */
    uint64_t *true_order; /* [n] items by their load, heaviest first */
    uint64_t *spare;      /* [n] for sorting, and for LPT */
    uint64_t best;        /* its score, and which candidate it is */

    /* Of the candidate at hand. */
    uint64_t *own_order; /* [n] items by their perturbed load; NULL where there is one candidate */
    float *perturbed;    /* [n] */
    int32_t *own_packs;  /* [n] pack of each item */
    eplb_p_packs packs;
    eplb_p_frontier frontier;
} eplb_p_packer;

#define EPLB_P_LINE_ROOM (2 * EPLB_P_VECTOR) /* smaller packs are searched as fast without a line */

/* Whether a pack may be looked at again that had no swap. */
EPLB_P int eplb_p_looks_again(const eplb_packing *how)
{
    return how->refine == EPLB_REFINE_L2 || (how->refine == EPLB_REFINE_PAIR_SCAN && how->heavy_packs != 1);
}

/* What swaps work on: the packs' rows and their order, and what is known of swaps. */
EPLB_P void eplb_p_carve_refinement(eplb_p_arena *a, const eplb_packing *how, eplb_p_packs *p, eplb_p_frontier *f)
{
    if (how->refine == EPLB_REFINE_NONE) return;
    p->held_load = EPLB_P_TAKE_ROWS(a, float, p->m, p->stride);
    p->by_load = EPLB_P_TAKE(a, uint64_t, p->m);
    if (how->refine == EPLB_REFINE_L2) f->promise = EPLB_P_TAKE(a, eplb_p_swap, p->m);
    if (!eplb_p_looks_again(how)) return;
    f->stamp = EPLB_P_TAKE(a, uint32_t, p->m);
    if (how->heavy_packs == 0) { /* all pairs are searched */
        f->line_load = EPLB_P_TAKE_ROWS(a, float, 1, (size_t)p->n + EPLB_P_VECTOR);
        f->line_pack_load = EPLB_P_TAKE_ROWS(a, float, 1, (size_t)p->n + EPLB_P_VECTOR);
        if (p->room < EPLB_P_LINE_ROOM) f->line_load = NULL; /* taken, lest more packs need less scratch */
    }
}

EPLB_P eplb_p_packer eplb_p_carve_packer(eplb_p_arena *a, int32_t n, int32_t m, const eplb_packing *how)
{
    eplb_p_packer packer = EPLB_ZERO_INIT;
    eplb_p_packs *p = &packer.packs;
    eplb_p_overlay over;

    packer.how = how;
    p->n = n;
    p->m = m;
    p->room = n / m;
    p->stride = (p->room - 1) / EPLB_P_VECTOR * EPLB_P_VECTOR + EPLB_P_VECTOR;
    packer.true_order = EPLB_P_TAKE(a, uint64_t, n);
    packer.spare = EPLB_P_TAKE(a, uint64_t, n);
    p->held = (int32_t *)(void *)packer.spare; /* keys are sorted, and packs compete, before items are held */
    p->fill = EPLB_P_TAKE(a, int32_t, m);
    p->load = EPLB_P_TAKE(a, float, m);
    if (how->num_candidates > 1) {
        packer.own_order = EPLB_P_TAKE(a, uint64_t, n);
        over = eplb_p_open_overlay(a); /* an order is made before items are packed by it */
        packer.perturbed = EPLB_P_TAKE(a, float, n);
        (void)eplb_p_end_phase(a, &over);
        packer.own_packs = EPLB_P_TAKE(a, int32_t, n);
    }
    eplb_p_carve_refinement(a, how, p, &packer.frontier);
    return packer;
}

/* pack: initial */

/* eplb_p_sort_loads by the team. */
EPLB_P void eplb_p_order_loads(const float *load, uint64_t *key, uint64_t *spare, int32_t n)
{
    int32_t i;

    if (EPLB_P_TEAM > 1) {
        for (i = eplb_p_team_lane(); i < n; i += EPLB_P_TEAM) key[i] = eplb_p_heavy_first(load[i], i);
        eplb_p_team_wait();
        eplb_p_team_sort(key, spare, n);
    } else {
        eplb_p_sort_loads(load, key, spare, n);
    }
}

EPLB_P void eplb_p_order_items(eplb_p_packer *p)
{
    if (p->packs.room > 1) eplb_p_order_loads(p->weight, p->true_order, p->spare, p->packs.n);
}

/* The order of candidate c > 0. Item i draws word i of the packing. */
EPLB_P void eplb_p_perturb_order(eplb_p_packer *p, uint64_t seed, int stage, int32_t c)
{
    float scale = eplb_p_noise_of(p->how, c);
    uint32_t word[4];
    int32_t n = p->packs.n, noise = p->how->noise, first, i;

    EPLB_ASSERT(p->perturbed != NULL && p->own_order != NULL);
    for (first = 0; first < n; first += 4) {
        eplb_p_draw(seed, stage, p->row, c, (uint32_t)first / 4, word);
        for (i = first; i < first + 4 && i < n; i++)
            p->perturbed[i] = eplb_p_perturbed(p->weight[i], word[i - first], noise, scale);
    }
    eplb_p_sort_loads(p->perturbed, p->own_order, p->spare, n);
    p->packs.order = p->own_order;
}

EPLB_P int32_t eplb_p_item_at(const eplb_p_packs *p, int32_t position) { return eplb_p_index(p->order[position]); }

/* pack: initial, LPT in rounds

   Each item in turn goes to the lightest pack that has room: a chain of steps, each of which waits for the one
   before. But with the packs in order, a_0 <= a_1 <= .., of equals the one with the lower index first, and the
   next items w_0 >= w_1 >= .., pack j takes item j as long as a_j < a_i + w_i for all i < j: the packs before it
   have had their items and are heavier by now, those behind it were no lighter all along. Let x be the least of
   all a_i + w_i. Packs lighter than x stand first in the order, and all of them take their items in one round.
   The pack that x comes from is among them if its item weighs anything, so that none behind them would be next:
   a round that ends early costs time, not the plan. Once packs are about as even as items weigh, as they soon
   are, all are served. Where few are, single steps go on. */

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
#define EPLB_P_SORTED_ROOM 4 /* of packs, from which on there is room to sort them in n keys */

/* Ranks of more packs than are ranked. What is lighter is further below infinity; key holds 2 m, turned m. */
static void eplb_p_rank_by_sorting(const float *load, int32_t m, int32_t *rank, float *turned, uint64_t *key)
{
    int32_t i;
    for (i = 0; i < m; i++) turned[i] = eplb_p_from_bits(EPLB_P_INFINITY - eplb_p_bits_at(&load[i]));
    eplb_p_sort_loads(turned, key, key + m, m);
    for (i = 0; i < m; i++) rank[eplb_p_index(key[i])] = i;
}

/* The item at a position is given to a pack. If that is not served, this is written again once another is.
   Returns the item's load. */
static inline float eplb_p_deal(eplb_p_packs *p, int32_t position, int32_t pack)
{
    int32_t item = eplb_p_item_at(p, position);
    p->pack_of[item] = pack;
    p->rank[item] = p->fill[pack];
    return p->weight[item];
}

/* Each pack is given the item of its rank, as if all were served: with [m] = its load with that. Returns the
   least of these; heaviest = the largest load of a pack without. */
static inline float eplb_p_deal_round(eplb_p_packs *p, int32_t position, const float *load, const int32_t *rank,
                                      float *with, float *heaviest)
{
    eplb_p_vector least = eplb_p_vector_of(FLT_MAX), most = eplb_p_vector_of(0.0f);
    int32_t pack;

    for (pack = 0; pack < p->m; pack += EPLB_P_VECTOR) {
        eplb_p_vector own = eplb_p_vector_at(load + pack), sum;
        sum = eplb_p_vector_add(own, eplb_p_vector_set(eplb_p_deal(p, position + rank[pack], pack),
                                                       eplb_p_deal(p, position + rank[pack + 1], pack + 1),
                                                       eplb_p_deal(p, position + rank[pack + 2], pack + 2),
                                                       eplb_p_deal(p, position + rank[pack + 3], pack + 3)));
        least = eplb_p_vector_min(least, sum);
        most = eplb_p_vector_max(most, own);
        eplb_p_vector_to(with + pack, sum);
    }
    *heaviest = eplb_p_vector_largest(most);
    return eplb_p_vector_smallest(least);
}

/* Packs lighter than x keep what they were given; full ones stand last from then on. Returns how many. */
static int32_t eplb_p_serve(eplb_p_packs *p, float x, float *load, const float *with)
{
    int32_t pack, served = 0;

    for (pack = 0; pack < p->m; pack++) {
        if (!(load[pack] < x)) continue;
        served++;
        p->load[pack] = with[pack];
        load[pack] = ++p->fill[pack] < p->room ? with[pack] : eplb_p_from_bits(EPLB_P_INFINITY);
    }
    return served;
}

/* Rounds from a position on, while they serve most packs. Returns the position reached. */
static int32_t eplb_p_lpt_rounds(const eplb_p_packs *packs, uint64_t *spare, int32_t position)
{
    eplb_p_packs p = *packs; /* a copy's pointers stay in registers */
    float *load = (float *)(void *)spare, *with = load + p.m, *swap, heaviest, x;
    int32_t *rank = (int32_t *)(void *)(with + p.m), served = p.m, most_filled = 1, pack;

    if (p.m % EPLB_P_VECTOR != 0 || (p.m > EPLB_P_MOST_RANKED && p.room < EPLB_P_SORTED_ROOM)) return position;
    eplb_p_copy_bytes(load, p.load, (size_t)p.m * sizeof *load);
    for (; served > p.m / 2 && position + p.m <= p.n; position += served) {
        if (p.m <= EPLB_P_MOST_RANKED) eplb_p_rank(load, rank, p.m);
        else eplb_p_rank_by_sorting(load, p.m, rank, with, spare + 2 * (size_t)p.m);
        x = eplb_p_deal_round(&p, position, load, rank, with, &heaviest);
        most_filled++;
        if (heaviest < x && most_filled < p.room) {
            for (pack = 0; pack < p.m; pack += EPLB_P_VECTOR)
                eplb_p_ints_to(p.fill + pack, eplb_p_ints_add(eplb_p_ints_at(p.fill + pack), eplb_p_ints_of(1)));
            swap = load;
            load = with;
            with = swap;
            served = p.m;
        } else {
            served = eplb_p_serve(&p, x, load, with);
        }
    }
    for (pack = 0; pack < p.m; pack++)
        if (p.fill[pack] < p.room) p.load[pack] = load[pack];
    return position;
}
#else
EPLB_P int32_t eplb_p_lpt_rounds(const eplb_p_packs *packs, uint64_t *spare, int32_t position)
{
    return (void)packs, (void)spare, position;
}
#endif

/* An item goes to a pack, whose load becomes this. Returns the key by which it competes from then on: behind
   all others once it is full. */
EPLB_P inline uint64_t eplb_p_put(eplb_p_packs *p, int32_t item, int32_t pack, float load)
{
    p->pack_of[item] = pack;
    p->load[pack] = load;
    p->rank[item] = p->fill[pack];
    return ++p->fill[pack] < p->room ? eplb_p_light_first(load, pack) : EPLB_P_LAST;
}

/* The first round: while items weigh something they go to one empty pack after the other. Returns how many. */
EPLB_P int32_t eplb_p_lpt_first_round(eplb_p_packs *p)
{
    int32_t pack;

    for (pack = 0; pack < p->m; pack++) {
        int32_t item = eplb_p_item_at(p, pack);
        if (!(p->weight[item] > 0.0f)) break;
        eplb_p_put(p, item, pack, p->weight[item]);
    }
    return pack;
}

/* The items from a position on, one by one: the packs compete in a tournament of 2 m keys in spare, as n is
   2 m or more. */
EPLB_P void eplb_p_lpt_steps(const eplb_p_packs *packs, uint64_t *spare, int32_t position)
{
    eplb_p_packs p = *packs;
    uint64_t *key = spare + p.m, lightest;
    int32_t pack;

    EPLB_ASSERT(p.weight != NULL);
    for (pack = 0; pack < p.m; pack++)
        key[pack] = p.fill[pack] < p.room ? eplb_p_light_first(p.load[pack], pack) : EPLB_P_LAST;
    eplb_p_tournament_start(spare, p.m);
    for (lightest = spare[1]; position < p.n; position++) {
        int32_t item = eplb_p_item_at(&p, position);
        float load = eplb_p_add(eplb_p_value_of_light(lightest), p.weight[item]);
        pack = eplb_p_index(lightest);
        lightest = eplb_p_tournament_replay(spare, p.m, pack, eplb_p_put(&p, item, pack, load));
    }
}

EPLB_P void eplb_p_pack_lpt(eplb_p_packs *p, uint64_t *spare)
{
    int32_t packed = eplb_p_lpt_first_round(p);
    if (packed == p->m) packed = eplb_p_lpt_rounds(p, spare, packed);
    if (packed < p->n) eplb_p_lpt_steps(p, spare, packed);
}

/* The pack of an item by its position: each turn runs through all packs, every other one backward. */
EPLB_P_HD int32_t eplb_p_zigzag(int32_t position, int32_t m)
{
    int32_t turn = position / m, step = position % m;
    return turn % 2 == 0 ? step : m - 1 - step;
}

EPLB_P void eplb_p_pack_zigzag(eplb_p_packs *p)
{
    int32_t position;
    for (position = 0; position < p->n; position++) {
        int32_t pack = eplb_p_zigzag(position, p->m), item = eplb_p_item_at(p, position);
        p->pack_of[item] = pack;
        p->load[pack] = eplb_p_add(p->load[pack], p->weight[item]);
    }
}

EPLB_P_HD float eplb_p_mean_pack_load(const float *pack_load, int32_t m)
{
    float sum = 0.0f;
    int32_t pack;
    for (pack = 0; pack < m; pack++) sum = eplb_p_add(sum, pack_load[pack]);
    return eplb_p_div(sum, (float)m);
}

/* The difference of pack loads below which a candidate's packs count as even. */
EPLB_P_HD float eplb_p_tiny(const float *pack_load, int32_t m)
{
    return eplb_p_mul(EPLB_P_TINY, eplb_p_mean_pack_load(pack_load, m));
}

EPLB_P void eplb_p_pack_initially(eplb_p_packer *packer)
{
    eplb_p_packs *p = &packer->packs;
    int32_t pack;

    for (pack = 0; pack < p->m; pack++) {
        p->fill[pack] = 0;
        p->load[pack] = 0.0f;
    }
    if (packer->how->init == EPLB_INIT_LPT) eplb_p_pack_lpt(p, packer->spare);
    else eplb_p_pack_zigzag(p);
    if (!eplb_p_is_plain_lpt(packer->how)) p->tiny = eplb_p_tiny(p->load, p->m);
}

/* pack: refine */

#define EPLB_P_ANY_WORTH FLT_MAX /* nothing is worth more, as no sum of loads exceeds it */

EPLB_P eplb_p_swap eplb_p_no_swap(void)
{
    eplb_p_swap none = EPLB_ZERO_INIT;
    return none;
}

EPLB_P float eplb_p_difference(const eplb_p_packs *p, int32_t heavy, int32_t light)
{
    return eplb_p_sub(p->load[heavy], p->load[light]);
}

EPLB_P const float *eplb_p_loads_of(const eplb_p_packs *p, int32_t pack)
{
    return p->held_load + (size_t)pack * (size_t)p->stride;
}

/* eplb_p_pack_gain: the largest gain of a swap of two packs whose loads differ by D; 0 when none helps.
   eplb_p_find_gain: the place in a row of the first item whose swap with an item u gains so much; or how many there are.
   Differences, minima and maxima are rounded alike or exact, so all ways to find a gain give the same. */
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
static inline eplb_p_vector eplb_p_more_gain(eplb_p_vector most, eplb_p_vector u, eplb_p_vector v, eplb_p_vector D)
{
    eplb_p_vector d = eplb_p_vector_sub(u, v);
    return eplb_p_vector_max(most, eplb_p_vector_min(d, eplb_p_vector_sub(D, d)));
}

/* Each u meets whole vectors of v, and those v that are left over whole vectors of u. Within a caller it would want for
   registers. */
EPLB_P_APART float eplb_p_pack_gain(const eplb_p_packs *p, int32_t heavy, int32_t light, float D)
{
    const float *u_load = eplb_p_loads_of(p, heavy), *v_load = eplb_p_loads_of(p, light);
    eplb_p_vector most = eplb_p_vector_of(0.0f), most2 = most, Ds = eplb_p_vector_of(D);
    int32_t room = p->room, whole = room / EPLB_P_VECTOR * EPLB_P_VECTOR, u, v;

    for (u = 0; u < room; u += 2) { /* behind an odd last one stands one that is too heavy */
        eplb_p_vector us = eplb_p_vector_of(u_load[u]), us2 = eplb_p_vector_of(u_load[u + 1]);
        for (v = 0; v < whole; v += EPLB_P_VECTOR) {
            eplb_p_vector vs = eplb_p_vector_at(v_load + v);
            most = eplb_p_more_gain(most, us, vs, Ds);
            most2 = eplb_p_more_gain(most2, us2, vs, Ds);
        }
    }
    for (v = whole; v < room; v++)
        for (u = 0; u < room; u += EPLB_P_VECTOR)
            most2 = eplb_p_more_gain(most2, eplb_p_vector_at(u_load + u), eplb_p_vector_of(v_load[v]), Ds);
    return eplb_p_vector_largest(eplb_p_vector_max(most, most2));
}

static inline int32_t eplb_p_find_gain(const eplb_p_packs *p, float u, const float *v_load, float D, float gain)
{
    eplb_p_vector most = eplb_p_vector_of(0.0f), us = eplb_p_vector_of(u), Ds = eplb_p_vector_of(D);
    int32_t v;

    for (v = 0; v < p->stride; v += EPLB_P_VECTOR) most = eplb_p_more_gain(most, us, eplb_p_vector_at(v_load + v), Ds);
    if (!eplb_p_vector_any_at_least(most, eplb_p_vector_of(gain))) return p->room;
    for (v = 0; v < p->room && eplb_p_swap_gain(eplb_p_sub(u, v_load[v]), D) < gain;) v++;
    return v;
}
#else
EPLB_P float eplb_p_pack_gain(const eplb_p_packs *p, int32_t heavy, int32_t light, float D)
{
    const float *u_load = eplb_p_loads_of(p, heavy), *v_load = eplb_p_loads_of(p, light);
    float largest = 0.0f;
    int32_t u, v;

    for (u = 0; u < p->room; u++) {
        for (v = 0; v < p->room; v++) {
            float gain = eplb_p_swap_gain(eplb_p_sub(u_load[u], v_load[v]), D);
            largest = gain > largest ? gain : largest;
        }
    }
    return largest;
}

EPLB_P int32_t eplb_p_find_gain(const eplb_p_packs *p, float u, const float *v_load, float D, float gain)
{
    int32_t v = 0;
    while (v < p->room && eplb_p_swap_gain(eplb_p_sub(u, v_load[v]), D) < gain) v++;
    return v;
}
#endif

/* The pack at a place of the order by load, heaviest first. */
EPLB_P int32_t eplb_p_by_load(const eplb_p_packs *p, int32_t place) { return eplb_p_index(p->by_load[place]); }

/* What the order by load goes by. */
EPLB_P uint64_t eplb_p_load_key(const eplb_p_packs *p, int32_t pack) { return eplb_p_heavy_first(p->load[pack], pack); }

EPLB_P int32_t eplb_p_position(const eplb_p_packs *p, int32_t pack, int32_t place)
{
    return p->held[eplb_p_at(pack, p->room, place)];
}

typedef struct eplb_p_places {
    int32_t u, v; /* in the lists of the heavy and the light pack; what stands there changes packs */
} eplb_p_places;

/* Where the largest gain of two packs is: at the first u, and for it the first v. There is one, but under -ffast-math,
   where a gain may not be found again. */
EPLB_P eplb_p_places eplb_p_find_places(const eplb_p_packs *p, const eplb_p_swap *swap)
{
    const float *u_load = eplb_p_loads_of(p, swap->heavy), *v_load = eplb_p_loads_of(p, swap->light);
    float D = eplb_p_difference(p, swap->heavy, swap->light);
    eplb_p_places at = {0, 0};
    int32_t u, v;

    for (u = 0; u < p->room; u++) {
        v = eplb_p_find_gain(p, u_load[u], v_load, D, swap->gain);
        if (v == p->room) continue;
        at.u = u;
        at.v = v;
        break;
    }
    return at;
}

/* A swap's u and v, by position. */
EPLB_P uint64_t eplb_p_swap_items(const eplb_p_packs *p, const eplb_p_swap *swap)
{
    eplb_p_places at = eplb_p_find_places(p, swap);
    return eplb_p_key_of_two(eplb_p_position(p, swap->heavy, at.u), eplb_p_position(p, swap->light, at.v));
}

/* A swap's key is what it is worth, then these: whether it goes before the best one so far. Where of that one only a bound
   of its worth is known, as its gain is 0, one that is worth as much does not. */
EPLB_P int eplb_p_goes_before(const eplb_p_packs *p, const eplb_p_swap *swap, const eplb_p_swap *best)
{
    if (swap->worth > best->worth || swap->worth < best->worth || !(best->gain > 0.0f))
        return swap->worth > best->worth;
    return eplb_p_swap_items(p, swap) < eplb_p_swap_items(p, best);
}

/* What swaps are chosen by: the first pair of packs that has one, or the most that one is worth. */
enum { EPLB_P_BY_PAIR, EPLB_P_BY_GAIN, EPLB_P_BY_FALL };

/* Whether two packs whose loads differ by D may have a swap that goes before the best one so far. If not, nor may two
   that differ by less. */
EPLB_P inline int eplb_p_may_go_before(const eplb_p_packs *p, float D, int by, const eplb_p_swap *best)
{
    switch (by) {
    case EPLB_P_BY_PAIR: return !(best->gain > 0.0f) && !(D < p->tiny);
    case EPLB_P_BY_GAIN: return D > 0.0f && !(D * 0.5f < best->worth); /* no gain exceeds D / 2 */
    default: return D > 0.0f && !(eplb_p_largest_fall(D) < best->worth);
    }
}

/* Two packs' best swap becomes the best one so far if it goes before that. The swap of two packs with the largest gain
   is also the one with the largest fall, d (D - d) = D^2/4 - (d - D/2)^2, which is the same for d as for D - d. */
EPLB_P inline void eplb_p_consider(const eplb_p_packs *p, int32_t heavy, int32_t light, int by, eplb_p_swap *best)
{
    float D = eplb_p_difference(p, heavy, light), gain = eplb_p_pack_gain(p, heavy, light, D);
    float worth = by == EPLB_P_BY_FALL ? eplb_p_swap_fall(gain, D) : gain;
    eplb_p_swap swap;

    if (!(gain > 0.0f) || worth < best->worth) return; /* as nearly always */
    swap.heavy = heavy;
    swap.light = light;
    swap.gain = gain;
    swap.worth = worth;
    if (eplb_p_goes_before(p, &swap, best)) *best = swap;
}

/* pack: refine, what is settled */

/* The stamp up to which lighter packs are settled with this one; 0: none is. */
EPLB_P inline uint32_t eplb_p_settled_up_to(const eplb_p_frontier *f, int32_t heavy)
{
    return f->stamp && f->stamp[heavy] % 2 == 0 ? f->stamp[heavy] : 0;
}

/* A pack was looked at with all lighter ones. */
EPLB_P void eplb_p_note_look(eplb_p_frontier *f, int32_t heavy)
{
    if (f->stamp) f->stamp[heavy] = f->now;
}

/* Nothing is known of a pack's swaps any more, but that none is worth more than this. */
EPLB_P void eplb_p_forget(eplb_p_frontier *f, int32_t pack, float bound)
{
    if (f->stamp) f->stamp[pack] = f->now + 1;
    if (!f->promise) return;
    f->promise[pack].gain = 0.0f;
    f->promise[pack].worth = bound;
}

/* The i-th heaviest pack with those lighter ones with which it is not settled, lightest first, which soon brings what
   the best is worth near to what it will be. */
EPLB_P inline void eplb_p_consider_lighter(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t i, int by,
                                           eplb_p_swap *best)
{
    int32_t heavy = eplb_p_by_load(p, i), first = i + 1, j = p->m;
    uint32_t settled = eplb_p_settled_up_to(f, heavy);
    const uint64_t *packs = p->by_load;

    if (settled && settled == f->now - 2) { /* with all but those that the last swap changed */
        packs = f->last;
        first = 0;
        j = 2;
    }
    while (j-- > first) {
        int32_t light = eplb_p_index(packs[j]);
        if (!eplb_p_may_go_before(p, eplb_p_difference(p, heavy, light), by, best)) break; /* nor those before j */
        if (!settled || f->stamp[light] > settled) eplb_p_consider(p, heavy, light, by, best);
    }
}

/* pack: refine, the line

   With all items in a line by their true loads, what may go for an item u of some pack stands right behind
   u: it is lighter than u, by less than the pack is heavier than the lightest. Once packs are nearly even,
   these are few, whoever holds them, so that what a pack can swap with all lighter ones at once is found
   in about the time that it takes to search two packs for a swap. */

#define EPLB_P_FEW_OFFERS EPLB_P_VECTOR
#define EPLB_P_LEAST      eplb_p_from_bits(1) /* the smallest that helps */

/* A swap of an item u with one behind it in the line. */
typedef struct eplb_p_offer {
    int32_t place; /* of u in the list of its pack */
    int32_t at;    /* of the other in the line */
} eplb_p_offer;

/* By how much a pack is heavier than the lightest. */
EPLB_P float eplb_p_above_lightest(const eplb_p_packs *p, int32_t pack)
{
    return eplb_p_difference(p, pack, eplb_p_by_load(p, p->m - 1));
}

/* Where in the line the item stands that has this position in the candidate's order. */
EPLB_P int32_t eplb_p_line_place(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t position)
{
    return p->order == f->line ? position : f->place[eplb_p_item_at(p, position)];
}

/* The pack of the item that stands there. */
EPLB_P int32_t eplb_p_line_pack(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t at)
{
    return p->pack_of[eplb_p_index(f->line[at])];
}

/* Whether there is a line, and few in it may go for an item of this pack: for the one in the middle of
   its list, that is. */
EPLB_P int eplb_p_has_few_offers(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t pack)
{
    int32_t at, last;

    if (!f->line_load) return 0;
    at = eplb_p_line_place(p, f, eplb_p_position(p, pack, p->room / 2));
    last = at + EPLB_P_FEW_OFFERS;
    return last >= p->n || !(eplb_p_sub(f->line_load[at], f->line_load[last]) < eplb_p_above_lightest(p, pack));
}

/* Whether the item at a place of the line is worth enough for u, whose pack has this load. */
EPLB_P inline int eplb_p_is_worth(const eplb_p_frontier *f, float u, float load, int32_t at, int by, float enough)
{
    float d = eplb_p_sub(u, f->line_load[at]), D = eplb_p_sub(load, f->line_pack_load[at]);
    return (by == EPLB_P_BY_FALL ? eplb_p_swap_fall(d, D) : eplb_p_swap_gain(d, D)) >= enough;
}

/* Whether one of the EPLB_P_VECTOR items from there on is. */
EPLB_P inline int eplb_p_any_is_worth(const eplb_p_frontier *f, float u, float load, int32_t at, int by, float enough)
{
#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_vector d = eplb_p_vector_sub(eplb_p_vector_of(u), eplb_p_vector_at(f->line_load + at));
    eplb_p_vector D = eplb_p_vector_sub(eplb_p_vector_of(load), eplb_p_vector_at(f->line_pack_load + at));
    eplb_p_vector rest = eplb_p_vector_sub(D, d);
    eplb_p_vector worth = by == EPLB_P_BY_FALL ? eplb_p_vector_mul(d, rest) : eplb_p_vector_min(d, rest);
    return eplb_p_vector_any_at_least(worth, eplb_p_vector_of(enough));
#else
    int32_t i;
    int any = 0;
    for (i = at; i < at + EPLB_P_VECTOR; i++) any |= eplb_p_is_worth(f, u, load, i, by, enough);
    return any;
#endif
}

/* The next offer to this pack, after the one given, that is worth enough. Returns whether there is one.
   The first EPLB_P_VECTOR items behind u are looked at before it is asked whether any may go for u, as a
   branch on that would be mispredicted every other time. */
EPLB_P inline int eplb_p_next_offer(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t pack, int by, float enough,
                                    eplb_p_offer *offer)
{
    float load = p->load[pack], above = eplb_p_above_lightest(p, pack);

    for (; offer->place < p->room; offer->place++, offer->at = 0) {
        int32_t u_at = eplb_p_line_place(p, f, eplb_p_position(p, pack, offer->place));
        int32_t at = (offer->at > u_at ? offer->at : u_at) + 1;
        float u = f->line_load[u_at];
        do {
            if (eplb_p_any_is_worth(f, u, load, at, by, enough))
                for (offer->at = at; offer->at < at + EPLB_P_VECTOR; offer->at++)
                    if (eplb_p_is_worth(f, u, load, offer->at, by, enough)) return 1;
            at += EPLB_P_VECTOR;
        } while (at < p->n && eplb_p_sub(u, f->line_load[at]) < above);
    }
    return 0;
}

/* Whether it is plain that a pack has no swap with any. */
EPLB_P int eplb_p_has_no_offer(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t pack)
{
    eplb_p_offer offer = EPLB_ZERO_INIT; /* before all */
    return eplb_p_has_few_offers(p, f, pack) && !eplb_p_next_offer(p, f, pack, EPLB_P_BY_GAIN, EPLB_P_LEAST, &offer);
}

/* What the line offers to a pack. */
EPLB_P void eplb_p_consider_offers(const eplb_p_packs *p, const eplb_p_frontier *f, int32_t heavy, eplb_p_swap *best)
{
    eplb_p_offer offer = EPLB_ZERO_INIT; /* before all */
    while (eplb_p_next_offer(p, f, heavy, EPLB_P_BY_FALL, best->worth > 0.0f ? best->worth : EPLB_P_LEAST, &offer))
        eplb_p_consider(p, heavy, eplb_p_line_pack(p, f, offer.at), EPLB_P_BY_FALL, best);
}

/* pack: refine, the swap to do */

/* The lightest pack: of several, the one with the lowest index, which stands first among them. */
EPLB_P int32_t eplb_p_lightest(const eplb_p_packs *p)
{
    int32_t j = p->m - 1;
    while (j > 0 && !(p->load[eplb_p_by_load(p, j - 1)] > p->load[eplb_p_by_load(p, j)])) j--;
    return eplb_p_by_load(p, j);
}

EPLB_P eplb_p_swap eplb_p_next_max_min(const eplb_p_packs *p)
{
    int32_t heavy = eplb_p_by_load(p, 0), light = eplb_p_lightest(p);
    eplb_p_swap best = eplb_p_no_swap();

    if (!(eplb_p_difference(p, heavy, light) < p->tiny)) eplb_p_consider(p, heavy, light, EPLB_P_BY_PAIR, &best);
    return best;
}

EPLB_P eplb_p_swap eplb_p_next_pair_scan(const eplb_p_packs *p, int32_t heavy_packs, eplb_p_frontier *f)
{
    int32_t tried = heavy_packs > 0 && heavy_packs < p->m ? heavy_packs : p->m, i;
    eplb_p_swap best = eplb_p_no_swap();

    for (i = 0; i < tried; i++) {
        int32_t heavy = eplb_p_by_load(p, i);
        if (eplb_p_above_lightest(p, heavy) < p->tiny) break; /* and so are the packs behind i */
        if (!eplb_p_has_no_offer(p, f, heavy)) eplb_p_consider_lighter(p, f, i, EPLB_P_BY_PAIR, &best);
        if (best.gain > 0.0f) break;
        eplb_p_note_look(f, heavy);
    }
    return best;
}

EPLB_P eplb_p_swap eplb_p_next_max_to_any(const eplb_p_packs *p, const eplb_p_frontier *f)
{
    eplb_p_swap best = eplb_p_no_swap();
    eplb_p_consider_lighter(p, f, 0, EPLB_P_BY_GAIN, &best);
    return best.gain > p->tiny ? best : eplb_p_no_swap();
}

/* What is known of the i-th heaviest pack is brought up to date, as far as it takes to say whether it has a swap that
   is worth this much: from 0 on, if it may have one and none is known. */
EPLB_P void eplb_p_look_at(const eplb_p_packs *p, eplb_p_frontier *f, int32_t i, float enough)
{
    int32_t heavy = eplb_p_by_load(p, i);
    eplb_p_swap *own = &f->promise[heavy];

    if (own->gain > 0.0f && f->stamp[own->light] > f->stamp[heavy]) own->gain = 0.0f; /* its worth is still a bound */
    if (!(own->gain > 0.0f) && own->worth > 0.0f && !(own->worth < enough)) eplb_p_forget(f, heavy, 0.0f);
    eplb_p_consider_lighter(p, f, i, EPLB_P_BY_FALL, own);
    eplb_p_note_look(f, heavy);
}

EPLB_P eplb_p_swap eplb_p_next_l2(const eplb_p_packs *p, eplb_p_frontier *f)
{
    eplb_p_swap best = eplb_p_no_swap();
    int32_t i;

    EPLB_ASSERT(f->promise); /* taken for L2 */
    for (i = 0; i < p->m; i++) {
        int32_t heavy = eplb_p_by_load(p, i);
        const eplb_p_swap *own = &f->promise[heavy];
        if (!eplb_p_may_go_before(p, eplb_p_above_lightest(p, heavy), EPLB_P_BY_FALL, &best)) break; /* nor behind i */
        if (eplb_p_has_few_offers(p, f, heavy)) {
            eplb_p_consider_offers(p, f, heavy, &best);
        } else {
            eplb_p_look_at(p, f, i, best.worth);
            if (own->gain > 0.0f && eplb_p_goes_before(p, own, &best)) best = *own;
        }
    }
    return eplb_p_fall_counts(best.worth, p->tiny) ? best : eplb_p_no_swap();
}

EPLB_P_HOLDS(swaps, EPLB_NUM_REFINEMENTS == EPLB_REFINE_L2 + 1);

EPLB_P eplb_p_swap eplb_p_next_swap(const eplb_p_packs *p, const eplb_packing *how, eplb_p_frontier *f)
{
    switch (how->refine) {
    case EPLB_REFINE_MAX_MIN: return eplb_p_next_max_min(p);
    case EPLB_REFINE_PAIR_SCAN: return eplb_p_next_pair_scan(p, how->heavy_packs, f);
    case EPLB_REFINE_MAX_TO_ANY: return eplb_p_next_max_to_any(p, f);
    case EPLB_REFINE_L2: return eplb_p_next_l2(p, f);
    default: return eplb_p_no_swap();
    }
}

/* pack: refine, the packs change */

/* Lists of what each pack holds, and the packs in order. */
EPLB_P void eplb_p_hold_items(eplb_p_packs *p, uint64_t *spare)
{
    int32_t beyond = p->stride - p->room, pack, position, i; /* a row of loads is longer by this */

    eplb_p_sort_loads(p->load, p->by_load, spare, p->m);
    for (pack = 0; pack < p->m; pack++) {
        p->fill[pack] = pack * p->room;
        for (i = p->room; i < p->stride; i++) p->held_load[eplb_p_at(pack, p->stride, i)] = EPLB_P_NO_ITEM;
    }
    for (position = 0; position < p->n; position++) {
        int32_t item = eplb_p_item_at(p, position), own = p->pack_of[item], at = p->fill[own]++;
        p->held[at] = position;
        p->held_load[eplb_p_at(own, beyond, at)] = p->weight[item];
    }
}

/* A pack's item at a place gives way to one at another position: the list stays ascending, and the
   pack's load is summed afresh. */
EPLB_P void eplb_p_exchange(eplb_p_packs *p, int32_t pack, int32_t place, int32_t position, float load)
{
    int32_t *held = p->held + eplb_p_at(pack, p->room, 0), i;
    float *held_load = p->held_load + eplb_p_at(pack, p->stride, 0), sum = 0.0f;

    for (; place > 0 && held[place - 1] > position; place--) {
        held[place] = held[place - 1];
        held_load[place] = held_load[place - 1];
    }
    for (; place + 1 < p->room && held[place + 1] < position; place++) {
        held[place] = held[place + 1];
        held_load[place] = held_load[place + 1];
    }
    held[place] = position;
    held_load[place] = load;
    for (i = 0; i < p->room; i++) sum = eplb_p_add(sum, held_load[i]);
    p->load[pack] = sum;
}

/* A key in by_load changes: move it to where it belongs. It is sought from both ends, as it mostly stands near one. */
EPLB_P void eplb_p_reorder(eplb_p_packs *p, uint64_t from, uint64_t to)
{
    uint64_t *first = p->by_load, *last = first + p->m - 1, *at = first, *back = last;

    for (; *at != from && *back != from; back--) at++;
    if (*at != from) at = back;
    for (; at > first && at[-1] > to; at--) at[0] = at[-1];
    for (; at < last && at[1] < to; at++) at[0] = at[1];
    *at = to;
}

/* The item at a place of a pack's list goes, and one at another position comes. */
EPLB_P void eplb_p_take_in(eplb_p_packs *p, int32_t pack, int32_t place, int32_t position, float load)
{
    uint64_t key = eplb_p_load_key(p, pack);

    eplb_p_exchange(p, pack, place, position, load);
    eplb_p_reorder(p, key, eplb_p_load_key(p, pack));
    p->pack_of[eplb_p_item_at(p, position)] = pack;
}

EPLB_P void eplb_p_do_swap(eplb_p_packs *p, const eplb_p_swap *swap)
{
    eplb_p_places at = eplb_p_find_places(p, swap);
    int32_t u_position = eplb_p_position(p, swap->heavy, at.u), v_position = eplb_p_position(p, swap->light, at.v);
    float u_load = eplb_p_loads_of(p, swap->heavy)[at.u], v_load = eplb_p_loads_of(p, swap->light)[at.v];

    eplb_p_take_in(p, swap->heavy, at.u, v_position, v_load);
    eplb_p_take_in(p, swap->light, at.v, u_position, u_load);
}

/* Nothing is known yet. */
EPLB_P void eplb_p_open_frontier(const eplb_p_packs *p, eplb_p_frontier *f)
{
    int32_t pack, at;

    f->now = 2; /* no stamp is 0 */
    for (pack = 0; pack < p->m; pack++) eplb_p_forget(f, pack, EPLB_P_ANY_WORTH);
    if (!f->line_load) return;
    for (at = 0; at < p->n; at++) {
        int32_t item = eplb_p_index(f->line[at]);
        f->line_load[at] = p->weight[item];
        f->line_pack_load[at] = p->load[p->pack_of[item]];
        f->place[item] = at;
    }
    for (; at < p->n + EPLB_P_VECTOR; at++) {
        f->line_load[at] = -EPLB_P_NO_ITEM;
        f->line_pack_load[at] = 0.0f;
    }
}

/* A pack has changed. */
EPLB_P void eplb_p_reopen_pack(const eplb_p_packs *p, eplb_p_frontier *f, int32_t pack)
{
    int32_t i;

    eplb_p_forget(f, pack, EPLB_P_ANY_WORTH);
    if (!f->line_load) return;
    for (i = 0; i < p->room; i++)
        f->line_pack_load[eplb_p_line_place(p, f, eplb_p_position(p, pack, i))] = p->load[pack];
}

EPLB_P void eplb_p_note_swap(const eplb_p_packs *p, eplb_p_frontier *f, const eplb_p_swap *swap)
{
    uint64_t a = eplb_p_load_key(p, swap->heavy), b = eplb_p_load_key(p, swap->light);

    if (!f->stamp) return;
    eplb_p_reopen_pack(p, f, swap->heavy);
    eplb_p_reopen_pack(p, f, swap->light);
    f->last[0] = a < b ? a : b;
    f->last[1] = a < b ? b : a;
    f->now += 2;
}

/* Swaps until none helps. Each lowers the sum of squared pack loads, so none comes back. */
EPLB_P void eplb_p_refine(eplb_p_packer *packer)
{
    const eplb_packing *how = packer->how;
    eplb_p_packs *p = &packer->packs;
    eplb_p_frontier *f = &packer->frontier;
    int32_t swaps;

    if (how->refine == EPLB_REFINE_NONE) return;
    eplb_p_hold_items(p, packer->spare);
    eplb_p_open_frontier(p, f);
    for (swaps = 0; swaps < how->max_swaps; swaps++) {
        eplb_p_swap swap = eplb_p_next_swap(p, how, f);
        if (!(swap.gain > 0.0f)) break;
        eplb_p_do_swap(p, &swap);
        eplb_p_note_swap(p, f, &swap);
    }
}

/* pack: select */

/* How good a candidate is: the smaller, the better. Also whether it is so even that no other need
   be tried. */
EPLB_P_HD float eplb_p_candidate_score(const float *pack_load, int32_t m, int32_t select, float tiny, int *is_even)
{
    float largest = pack_load[0], smallest = pack_load[0], mean, sum = 0.0f;
    int32_t pack;

    for (pack = 1; pack < m; pack++) {
        largest = pack_load[pack] > largest ? pack_load[pack] : largest;
        smallest = pack_load[pack] < smallest ? pack_load[pack] : smallest;
    }
    *is_even = eplb_p_sub(largest, smallest) < tiny;
    switch (select) {
    case EPLB_SELECT_SPREAD: return eplb_p_sub(largest, smallest);
    case EPLB_SELECT_VARIANCE: /* times the number of packs, the same for all candidates */
        mean = eplb_p_mean_pack_load(pack_load, m);
        for (pack = 0; pack < m; pack++) {
            float off = eplb_p_sub(pack_load[pack], mean);
            sum = eplb_p_add(sum, eplb_p_mul(off, off));
        }
        return sum;
    default: return largest;
    }
}

/* Keep the candidate if it is the best by now, by what its packs take. Returns whether to stop here. */
EPLB_P int eplb_p_select(eplb_p_packer *packer, const float *load, int32_t c)
{
    const eplb_p_packs *p = &packer->packs;
    int is_even;
    float score = eplb_p_candidate_score(load, p->m, packer->how->select, p->tiny, &is_even);
    uint64_t key = eplb_p_light_first(score, c), best = c == 0 ? EPLB_P_LAST : packer->best;

    packer->best = eplb_p_smaller(key, best);
    if (packer->best == key) eplb_p_copy_ids(packer->pack_index, p->pack_of, p->n);
    return is_even;
}

/* Ranks in the best candidate's packs follow the true loads, whatever its order and its swaps were. */
EPLB_P void eplb_p_rank_items(eplb_p_packer *p)
{
    int32_t *fill = p->packs.fill, pack, position;

    for (pack = 0; pack < p->packs.m; pack++) fill[pack] = 0;
    for (position = 0; position < p->packs.n; position++) {
        int32_t item = eplb_p_index(p->true_order[position]);
        p->rank_in_pack[item] = fill[p->pack_index[item]]++;
    }
}

/* As many packs as items: item i goes to pack i. */
EPLB_P void eplb_p_pack_singly(eplb_p_packer *p)
{
    eplb_p_fill_ids(p->pack_index, 0, 1, p->packs.n);
    eplb_p_fill_ids(p->rank_in_pack, 0, 0, p->packs.n);
}

/* The packs are those of candidate 0; a single one packs where the caller wants it. */
EPLB_P void eplb_p_start_packing(eplb_p_packer *packer)
{
    eplb_p_packs *p = &packer->packs;

    p->weight = packer->weight;
    p->order = packer->true_order;
    p->pack_of = packer->own_packs ? packer->own_packs : packer->pack_index;
    p->rank = packer->rank_in_pack;
    packer->frontier.line = packer->true_order;
    packer->frontier.place = p->held + p->n; /* spare has room for both */
}

/* By true_order, which is there already. */
EPLB_P void eplb_p_pack(eplb_p_packer *p, uint64_t seed, int stage)
{
    int32_t candidates = p->how->num_candidates, c;

    if (p->packs.room == 1) {
        eplb_p_pack_singly(p);
        return;
    }
    eplb_p_start_packing(p);
    for (c = 0; c == 0 || c < candidates; c++) {
        if (c > 0) eplb_p_perturb_order(p, seed, stage, c);
        eplb_p_pack_initially(p);
        eplb_p_refine(p);
        if (candidates > 1 && eplb_p_select(p, p->packs.load, c)) break;
    }
    if (!eplb_p_is_plain_lpt(p->how)) eplb_p_rank_items(p);
}

#if !defined(EPLB_P_TEAM_PACKS)
EPLB_P_HD int eplb_p_team_packs(eplb_p_packer *p) { return (void)p, 0; } /* whether it has packed them together */
#endif

/* ------------------------------------------------------------------------ pack: unlike packs

   Packs of unlike room, or speed, or with something on them from the start. What a pack takes is its load divided by
   its speed; the heaviest is the one that takes longest, and a swap gains what the longer of the two takes less by. The
   rules are those for packs that are alike, by plain scans: who has such packs waits a little longer. */

typedef struct eplb_p_unlike {
    eplb_p_packer packer; /* n need not be a multiple of m, and room, held, rank are not used */
    const int32_t *room;  /* [m] items that each pack has room for: all together for n, or more */
    const float *speed;   /* [m] NULL: all 1 */
    float *fixed;         /* [m] load that is there already */
    float *time;          /* [m] what each pack takes */
    int32_t *first;       /* [m + 1] of its items in held */
    int32_t *held;        /* [n] positions, by pack, ascending */
} eplb_p_unlike;

/* Of the packer's packs by_load is by what they take. */
EPLB_P eplb_p_unlike eplb_p_carve_unlike(eplb_p_arena *a, int32_t n, int32_t m, const eplb_packing *how)
{
    eplb_p_unlike u = EPLB_ZERO_INIT;
    eplb_p_packer *packer = &u.packer;
    eplb_p_packs *p = &packer->packs;

    packer->how = how;
    packer->true_order = EPLB_P_TAKE(a, uint64_t, n);
    packer->spare = EPLB_P_TAKE(a, uint64_t, n > m ? n : m);
    packer->own_order = EPLB_P_TAKE(a, uint64_t, n);
    packer->perturbed = EPLB_P_TAKE(a, float, n);
    p->n = n;
    p->m = m;
    p->pack_of = EPLB_P_TAKE(a, int32_t, n);
    p->fill = EPLB_P_TAKE(a, int32_t, m);
    p->load = EPLB_P_TAKE(a, float, m);
    p->by_load = EPLB_P_TAKE(a, uint64_t, m);
    u.fixed = EPLB_P_TAKE(a, float, m);
    u.time = EPLB_P_TAKE(a, float, m);
    u.first = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)m + 1);
    u.held = EPLB_P_TAKE(a, int32_t, n);
    return u;
}

EPLB_P float eplb_p_time_with(const eplb_p_unlike *u, int32_t pack, float load)
{
    return u->speed ? eplb_p_div(load, u->speed[pack]) : load;
}

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
/* As below, by negated times: the first of the largest; if that is full, the first of the largest that are not. Packs
   are not in order yet, so that there is room for their times. */
static int32_t eplb_p_quickest_of_vectors(const eplb_p_unlike *u, float load)
{
    const eplb_p_packs *p = &u->packer.packs;
    float *time = (float *)(void *)p->by_load;
    int32_t m = p->m, i, best;

    for (i = 0; i < m; i += EPLB_P_VECTOR) {
        int32_t at = i < m - EPLB_P_VECTOR ? i : m - EPLB_P_VECTOR;
        eplb_p_vector with = eplb_p_vector_add(eplb_p_vector_at(p->load + at), eplb_p_vector_of(load));
        with = eplb_p_vector_sub(eplb_p_vector_of(0.0f), with);
        eplb_p_vector_to(time + at, eplb_p_vector_div(with, eplb_p_vector_at(u->speed + at)));
    }
    best = eplb_p_first_largest(time, m);
    if (p->fill[best] < u->room[best]) return best;
    for (i = 0; i < m; i++)
        if (p->fill[i] >= u->room[i]) time[i] = -FLT_MAX;
    return eplb_p_first_largest(time, m);
}
#endif

/* The pack with room that would take the least with this load more; where speeds are alike the lightest, as by LPT.
   What takes no less without it need not be looked at. By the team. */
EPLB_P int32_t eplb_p_quickest(const eplb_p_unlike *u, float load)
{
    const float *pack_load = u->packer.packs.load, *time = u->time; /* copies stay in registers */
    const int32_t *fill = u->packer.packs.fill, *room = u->room;
    int32_t m = u->packer.packs.m, pack;
    uint64_t best = EPLB_P_LAST;

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    if (u->speed && m >= EPLB_P_VECTOR) return eplb_p_quickest_of_vectors(u, load);
#endif
    for (pack = eplb_p_team_lane(); pack < m; pack += EPLB_P_TEAM) {
        uint64_t key = eplb_p_light_first(time[pack], pack);
        if (key > best || fill[pack] >= room[pack]) continue;
        if (u->speed) key = eplb_p_light_first(eplb_p_time_with(u, pack, eplb_p_add(pack_load[pack], load)), pack);
        best = eplb_p_smaller(best, key);
    }
    return eplb_p_index_or_none(eplb_p_team_smallest(best));
}

/* The pack of the next item by zigzag: turns run through all packs, every other one backward; what is full is left out. */
EPLB_P int32_t eplb_p_next_in_zigzag(const eplb_p_unlike *u, int32_t *turn)
{
    int32_t pack;

    do {
        pack = eplb_p_zigzag((*turn)++, u->packer.packs.m);
    } while (u->packer.packs.fill[pack] >= u->room[pack]);
    return pack;
}

/* By the team. */
EPLB_P void eplb_p_pack_unlike_initially(eplb_p_unlike *u)
{
    eplb_p_packs *p = &u->packer.packs;
    int32_t lane = eplb_p_team_lane(), pack, position, turn = 0;

    for (pack = lane; pack < p->m; pack += EPLB_P_TEAM) {
        p->fill[pack] = 0;
        p->load[pack] = u->fixed[pack];
        u->time[pack] = eplb_p_time_with(u, pack, u->fixed[pack]);
    }
    for (position = 0; position < p->n; position++) {
        int32_t item = eplb_p_item_at(p, position);
        eplb_p_team_wait();
        pack = u->packer.how->init == EPLB_INIT_LPT ? eplb_p_quickest(u, p->weight[item])
                                                    : eplb_p_next_in_zigzag(u, &turn);
        eplb_p_team_wait(); /* all have read */
        if (lane != 0) continue;
        p->pack_of[item] = pack;
        p->load[pack] = eplb_p_add(p->load[pack], p->weight[item]);
        u->time[pack] = eplb_p_time_with(u, pack, p->load[pack]);
        p->fill[pack]++;
    }
    if (lane == 0) p->tiny = eplb_p_tiny(u->time, p->m);
    eplb_p_team_wait();
}

/* first, held of the candidate. */
EPLB_P void eplb_p_hold_unlike(eplb_p_unlike *u)
{
    eplb_p_packs *p = &u->packer.packs;
    int32_t pack, position;

    u->first[0] = 0;
    for (pack = 0; pack < p->m; pack++) u->first[pack + 1] = u->first[pack] + p->fill[pack];
    for (pack = 0; pack < p->m; pack++) p->fill[pack] = 0;
    for (position = 0; position < p->n; position++) {
        pack = p->pack_of[eplb_p_item_at(p, position)];
        u->held[u->first[pack] + p->fill[pack]++] = position;
    }
}

/* What a pack takes, its items summed afresh in their order. */
EPLB_P void eplb_p_time_afresh(eplb_p_unlike *u, int32_t pack)
{
    eplb_p_packs *p = &u->packer.packs;
    float sum = u->fixed[pack];
    int32_t i;

    for (i = u->first[pack]; i < u->first[pack + 1]; i++)
        sum = eplb_p_add(sum, p->weight[eplb_p_item_at(p, u->held[i])]);
    p->load[pack] = sum;
    u->time[pack] = eplb_p_time_with(u, pack, sum);
}

typedef struct eplb_p_unlike_swap {
    int32_t heavy, light, u, v; /* packs, and places in held */
    uint64_t items;             /* and the positions of what is there */
    float worth; /* what it gains, or for L2 what the sum of squares over speeds falls by, halved; 0: none */
} eplb_p_unlike_swap;

/* What a swap that moves d from a pack to one that takes less is worth. */
EPLB_P float eplb_p_unlike_worth(const eplb_p_unlike *u, int32_t heavy, int32_t light, float d)
{
    const float *load = u->packer.packs.load;
    float heavy_after, light_after, mean;

    if (!(d > 0.0f)) return 0.0f;
    heavy_after = eplb_p_time_with(u, heavy, eplb_p_sub(load[heavy], d));
    light_after = eplb_p_time_with(u, light, eplb_p_add(load[light], d));
    if (u->packer.how->refine == EPLB_REFINE_L2) { /* d times the mean of the differences of times before and after */
        mean = eplb_p_add(eplb_p_sub(u->time[heavy], u->time[light]), eplb_p_sub(heavy_after, light_after));
        return eplb_p_mul(d, eplb_p_mul(mean, 0.5f));
    }
    return eplb_p_sub(u->time[heavy], heavy_after > light_after ? heavy_after : light_after);
}

/* The best swap of two packs, if it goes before the best so far: by what it is worth, then by its items. */
EPLB_P void eplb_p_consider_unlike(const eplb_p_unlike *u, int32_t heavy, int32_t light, eplb_p_unlike_swap *best)
{
    const eplb_p_packs *p = &u->packer.packs;
    int32_t i, j;

    for (i = u->first[heavy]; i < u->first[heavy + 1]; i++) {
        float load = p->weight[eplb_p_item_at(p, u->held[i])];
        for (j = u->first[light]; j < u->first[light + 1]; j++) {
            uint64_t items = eplb_p_key_of_two(u->held[i], u->held[j]);
            float worth =
                eplb_p_unlike_worth(u, heavy, light, eplb_p_sub(load, p->weight[eplb_p_item_at(p, u->held[j])]));
            if (!(worth > 0.0f) || worth < best->worth) continue;
            if (!(worth > best->worth) && items >= best->items) continue;
            best->heavy = heavy;
            best->light = light;
            best->u = i;
            best->v = j;
            best->items = items;
            best->worth = worth;
        }
    }
}

/* The refinements' rules, as for packs that are alike, over packs in order of what they take: the slowest is the first,
   and is tried against the quickest first. */

/* The best swap of the packs at two places of the order, if it is better than the best so far. */
EPLB_P void eplb_p_consider_places(const eplb_p_unlike *u, int32_t i, int32_t j, eplb_p_unlike_swap *best)
{
    const eplb_p_packs *p = &u->packer.packs;

    eplb_p_consider_unlike(u, eplb_p_by_load(p, i), eplb_p_by_load(p, j), best);
}

EPLB_P float eplb_p_time_apart(const eplb_p_unlike *u, int32_t i, int32_t j)
{
    const eplb_p_packs *p = &u->packer.packs;

    return eplb_p_sub(u->time[eplb_p_by_load(p, i)], u->time[eplb_p_by_load(p, j)]);
}

/* Of equally quick packs the first. */
EPLB_P void eplb_p_next_unlike_max_min(const eplb_p_unlike *u, eplb_p_unlike_swap *best)
{
    int32_t quickest = u->packer.packs.m - 1;

    while (quickest > 1 && !(eplb_p_time_apart(u, quickest - 1, quickest) > 0.0f)) quickest--;
    if (quickest < 1 || eplb_p_time_apart(u, 0, quickest) < u->packer.packs.tiny) return;
    eplb_p_consider_places(u, 0, quickest, best);
}

EPLB_P void eplb_p_next_unlike_pair_scan(const eplb_p_unlike *u, eplb_p_unlike_swap *best)
{
    int32_t m = u->packer.packs.m, heavy_packs = u->packer.how->heavy_packs, i, j;
    int32_t tried = heavy_packs > 0 && heavy_packs < m ? heavy_packs : m;

    for (i = 0; i < tried; i++) {
        for (j = m - 1; j > i && !(eplb_p_time_apart(u, i, j) < u->packer.packs.tiny); j--) {
            eplb_p_consider_places(u, i, j, best);
            if (best->worth > 0.0f) return;
        }
    }
}

EPLB_P void eplb_p_next_unlike_max_to_any(const eplb_p_unlike *u, eplb_p_unlike_swap *best)
{
    int32_t j;

    for (j = u->packer.packs.m - 1; j > 0; j--) eplb_p_consider_places(u, 0, j, best);
    if (!(best->worth > u->packer.packs.tiny)) best->worth = 0.0f;
}

EPLB_P void eplb_p_next_unlike_l2(const eplb_p_unlike *u, eplb_p_unlike_swap *best)
{
    int32_t m = u->packer.packs.m, i, j;

    for (i = 0; i < m; i++)
        for (j = m - 1; j > i; j--) eplb_p_consider_places(u, i, j, best);
    if (!eplb_p_fall_counts(best->worth, u->packer.packs.tiny)) best->worth = 0.0f;
}

EPLB_P_HOLDS(unlike_swaps, EPLB_NUM_REFINEMENTS == EPLB_REFINE_L2 + 1);

EPLB_P eplb_p_unlike_swap eplb_p_next_unlike(eplb_p_unlike *u)
{
    eplb_p_unlike_swap best = EPLB_ZERO_INIT;

    eplb_p_sort_loads(u->time, u->packer.packs.by_load, u->packer.spare, u->packer.packs.m);
    switch (u->packer.how->refine) {
    case EPLB_REFINE_MAX_MIN: eplb_p_next_unlike_max_min(u, &best); break;
    case EPLB_REFINE_PAIR_SCAN: eplb_p_next_unlike_pair_scan(u, &best); break;
    case EPLB_REFINE_MAX_TO_ANY: eplb_p_next_unlike_max_to_any(u, &best); break;
    case EPLB_REFINE_L2: eplb_p_next_unlike_l2(u, &best); break;
    default: break;
    }
    return best;
}

/* A pack's item at a place of held gives way to one at another position; the list stays ascending. */
EPLB_P void eplb_p_exchange_unlike(eplb_p_unlike *u, int32_t pack, int32_t place, int32_t position)
{
    int32_t *held = u->held;

    for (; place > u->first[pack] && held[place - 1] > position; place--) held[place] = held[place - 1];
    for (; place + 1 < u->first[pack + 1] && held[place + 1] < position; place++) held[place] = held[place + 1];
    held[place] = position;
    u->packer.packs.pack_of[eplb_p_item_at(&u->packer.packs, position)] = pack;
    eplb_p_time_afresh(u, pack);
}

EPLB_P void eplb_p_refine_unlike(eplb_p_unlike *u)
{
    const eplb_packing *how = u->packer.how;
    int32_t swaps;

    if (how->refine == EPLB_REFINE_NONE) return;
    eplb_p_hold_unlike(u);
    for (swaps = 0; swaps < how->max_swaps; swaps++) {
        eplb_p_unlike_swap best = eplb_p_next_unlike(u);
        int32_t u_position, v_position;
        if (!(best.worth > 0.0f)) return;
        u_position = u->held[best.u];
        v_position = u->held[best.v];
        eplb_p_exchange_unlike(u, best.heavy, best.u, v_position);
        eplb_p_exchange_unlike(u, best.light, best.v, u_position);
    }
}

/* pack_index of the best candidate; true_order is there, and what is fixed on each pack. By the team; a candidate's
   order, and what refines it, is lane 0's. */
EPLB_P void eplb_p_pack_unlike(eplb_p_unlike *u, uint64_t seed, int stage)
{
    eplb_p_packer *packer = &u->packer;
    int32_t candidates = packer->how->num_candidates, lane = eplb_p_team_lane(), c;
    int done = 0;

    if (lane == 0) {
        packer->packs.weight = packer->weight;
        packer->packs.order = packer->true_order;
    }
    for (c = 0; (c == 0 || c < candidates) && !done; c++) {
        if (c > 0 && lane == 0) eplb_p_perturb_order(packer, seed, stage, c);
        eplb_p_team_wait();
        eplb_p_pack_unlike_initially(u);
        if (lane == 0) {
            eplb_p_refine_unlike(u);
            done = eplb_p_select(packer, u->time, c);
        }
        done = eplb_p_team_first(done) != 0;
    }
}

/* -------------------------------------------------------------- groups to nodes, slots to GPUs */

typedef struct eplb_p_groups { /* the groups of one layer on their way to nodes */
    float *load;               /* [K] */
    int32_t *node;             /* [K] */
    int32_t *rank;             /* [K] place of a group among those of its node */
    eplb_p_packer packer;
} eplb_p_groups;

EPLB_P eplb_p_groups eplb_p_carve_groups(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_groups g;
    g.load = EPLB_P_TAKE(a, float, shape->num_groups);
    g.node = EPLB_P_TAKE(a, int32_t, shape->num_groups);
    g.rank = EPLB_P_TAKE(a, int32_t, shape->num_groups);
    g.packer = eplb_p_carve_packer(a, shape->num_groups, shape->num_nodes, &shape->options.group_packing);
    g.packer.weight = g.load;
    g.packer.pack_index = g.node;
    g.packer.rank_in_pack = g.rank;
    return g;
}

/* Layer's load -> load of its groups. Where each node gets one group, nobody asks how heavy it is. */
EPLB_P void eplb_p_weigh_groups(const eplb_p_layer *l, eplb_p_groups *g)
{
    int32_t group_size = l->shape->group_size, group, i;

    if (l->shape->node_groups == 1) return;
    for (group = eplb_p_team_lane(); group < l->shape->num_groups; group += EPLB_P_TEAM) {
        float sum = 0.0f;
        for (i = 0; i < group_size; i++) sum = eplb_p_add(sum, l->load[group * group_size + i]);
        g->load[group] = sum;
    }
}

/* A group's place among those of all nodes -> mlog2log, mlog_load of its experts. */
EPLB_P void eplb_p_order_group(eplb_p_layer *l, int32_t group, int32_t place)
{
    int32_t group_size = l->shape->group_size, first = group * group_size;

    eplb_p_team_fill(l->mlog2log + eplb_p_at(place, group_size, 0), first, 1, group_size);
    eplb_p_team_copy_loads(l->mlog_load + eplb_p_at(place, group_size, 0), l->size + first, group_size);
}

/* node, rank of the groups -> mlog2log, mlog_load. */
EPLB_P void eplb_p_order_experts(const eplb_p_groups *g, eplb_p_layer *l)
{
    int32_t group;

    for (group = 0; group < l->shape->num_groups; group++)
        eplb_p_order_group(l, group, g->node[group] * l->shape->node_groups + g->rank[group]);
    eplb_p_team_wait();
}

/* groups to nodes that are not alike

   A node fits as many groups as it has slots for whole ones. They go there by LPT, heaviest first to the node that would
   take least, load by speed; then groups change nodes, or change places, while that makes the nodes more even. Where
   not all groups fit, those that are left over are split: a group's experts go to as few nodes with slots left as they
   need, each expert to one, by LPT; then experts change nodes, or change places, likewise. All this from several
   beginnings, of which the one that ends best is taken.

   A node takes no less than its load by its speed, nor than the heaviest replica on it. Experts that are too heavy for
   one GPU bid for the slots that a node has to spare, with what each replica would still hold, as D'Hondt has it: of
   all bids on a node as many are met as there are slots, the heaviest first, and the next is the heaviest replica. */

#define EPLB_P_EVEN_ENOUGH 1.00048828125f /* 1 + 2^-11: the search within nodes does not do much better */

typedef struct eplb_p_homes {
    const eplb_p_layer *layer;
    int64_t *load;      /* [K] of each group, in whole numbers */
    int64_t *heaviest;  /* [E] load of a group's i + 1 heaviest experts */
    int32_t *node;      /* [K] node of each group; N: it is to be split */
    int32_t *best_node; /* [K] and best_split: the same of the most even way that was tried; then where groups were when
                           some were split last */
    int64_t *ahead;     /* [K + 1] load of the first i groups that are tried in all ways */
    int32_t last_split; /* the group that was the last to be put there */
    int32_t best_split;
    int32_t num_keys;
    uint64_t *key, *spare; /* [max(E, most_bids)] for sorting */
    int64_t *node_load;    /* [N + 1] */
    float *node_speed;     /* [N] */
    float *slowness;       /* [N] what a node takes for a load of 1 */
    float *fastest;        /* [N] speed of the fastest GPU */
    float *limit;          /* [N] load with which a node would not be slower than in a way that is worth while */
    float slack;           /* by what all of these loads are more than there is */
    int32_t in_halves;     /* whether one group is split, and two nodes have room for it */
    float unit;            /* of load: what it is multiplied by */
    int32_t *node_slots;   /* [N] */
    int32_t *left;         /* [N] experts that can still have their home there */
    int32_t *rooms;        /* [N] and whole groups, while all ways are tried */
    int32_t *fill;         /* [N + 1] groups that are there, or are to be split */
    int32_t *room;         /* [N] experts of a group to be split that may go there */
    int32_t *chosen;       /* [N] whether experts of a group to be split go there */
    int32_t *home;         /* [E] node of each expert that is locked, or of a group that was split; -1: its group's */
    int32_t *bound; /* [K] node that a group has to be on, as experts of it are locked there; -1: none; N: several */
    float enough;   /* what is as even as can be, if that is known; else 0 */
    int32_t most_bids, num_bids;
    float *bid;      /* [most_bids] bids that are more than a GPU should hold, heaviest first */
    int32_t *bidder; /* [most_bids] whose */
    int32_t *bids;   /* [E] how many each expert has made */
    int32_t *met;    /* [E] slots that are kept for each bidder on the nodes that were chosen */
    int32_t *kept;   /* [N] and on each of these nodes */
} eplb_p_homes;

EPLB_P eplb_p_homes eplb_p_carve_homes(eplb_p_arena *a, const eplb_p_layer *l)
{
    eplb_p_homes h = EPLB_ZERO_INIT;
    int32_t K = l->shape->num_groups, N = l->shape->num_nodes, E = l->shape->num_experts;
    int32_t bids = l->shape->num_living + l->shape->num_living / 7, keys = E > bids ? E : bids;

    h.layer = l;
    h.most_bids = bids;
    h.load = EPLB_P_TAKE(a, int64_t, K);
    h.heaviest = EPLB_P_TAKE(a, int64_t, E);
    h.node = EPLB_P_TAKE(a, int32_t, K);
    h.best_node = EPLB_P_TAKE(a, int32_t, K);
    h.ahead = EPLB_P_TAKE_ROWS(a, int64_t, 1, (size_t)K + 1);
    h.key = EPLB_P_TAKE(a, uint64_t, keys);
    h.spare = EPLB_P_TAKE(a, uint64_t, keys);
    h.node_load = EPLB_P_TAKE_ROWS(a, int64_t, 1, (size_t)N + 1);
    h.node_speed = EPLB_P_TAKE(a, float, N);
    h.slowness = EPLB_P_TAKE(a, float, N);
    h.fastest = EPLB_P_TAKE(a, float, N);
    h.limit = EPLB_P_TAKE(a, float, N);
    h.node_slots = EPLB_P_TAKE(a, int32_t, N);
    h.left = EPLB_P_TAKE(a, int32_t, N);
    h.rooms = EPLB_P_TAKE(a, int32_t, N);
    h.fill = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)N + 1);
    h.room = EPLB_P_TAKE(a, int32_t, N);
    h.chosen = EPLB_P_TAKE(a, int32_t, N);
    h.home = EPLB_P_TAKE(a, int32_t, E);
    h.bound = EPLB_P_TAKE(a, int32_t, K);
    h.bid = EPLB_P_TAKE(a, float, bids);
    h.bidder = EPLB_P_TAKE(a, int32_t, bids);
    h.bids = EPLB_P_TAKE(a, int32_t, E);
    h.met = EPLB_P_TAKE(a, int32_t, E);
    h.kept = EPLB_P_TAKE(a, int32_t, N);
    return h;
}

/* homes: what is known of loads and nodes */

/* Loads in whole numbers, so that sums of them are exact: the largest comes to 2^30 or a little less. */
EPLB_P int64_t eplb_p_whole_load(const eplb_p_homes *h, int32_t e)
{
    float whole = eplb_p_mul(h->layer->load[e], h->unit);
    return (int64_t)whole;
}

/* unit, load, heaviest. */
EPLB_P void eplb_p_rank_homes(eplb_p_homes *h)
{
    const eplb_p_layer *l = h->layer;
    int32_t size = l->shape->group_size, *ranked = h->node, group, i; /* node is not in use yet */
    float most, unit = 1.0f;                                          /* loads are above 2^-41 */

    EPLB_ASSERT(h->load != NULL);
    eplb_p_sort_loads(l->load, h->key, h->spare, l->shape->num_experts);
    most = l->load[eplb_p_index(h->key[0])];
    while (eplb_p_mul(most, unit) < 536870912.0f) unit = eplb_p_mul(unit, 2.0f); /* 2^29 */
    while (eplb_p_mul(most, unit) > 1073741824.0f) unit = eplb_p_mul(unit, 0.5f);
    h->unit = unit;
    for (group = 0; group < l->shape->num_groups; group++) {
        h->load[group] = 0;
        ranked[group] = 0;
    }
    for (i = 0; i < l->shape->num_experts; i++) {
        int32_t e = eplb_p_index(h->key[i]);
        group = e / size;
        h->load[group] += eplb_p_whole_load(h, e);
        h->heaviest[eplb_p_at(group, size, ranked[group]++)] = h->load[group];
    }
}

/* node_slots, node_speed, slowness, fastest. */
EPLB_P void eplb_p_weigh_nodes(eplb_p_homes *h)
{
    const eplb_p_cluster *c = &h->layer->cluster;
    int32_t node, gpu;

    EPLB_ASSERT(h->node_slots != NULL && h->node_speed != NULL);
    for (node = 0; node < h->layer->shape->num_nodes; node++) {
        h->node_slots[node] = 0;
        h->node_speed[node] = h->fastest[node] = 0.0f;
        for (gpu = c->first_gpu[node]; gpu < c->first_gpu[node + 1]; gpu++) {
            float speed = c->speed ? c->speed[gpu] : 1.0f;
            h->node_slots[node] += eplb_p_num_on(&c->gpus, gpu);
            h->node_speed[node] = eplb_p_add(h->node_speed[node], speed);
            if (speed > h->fastest[node]) h->fastest[node] = speed;
        }
        h->slowness[node] = h->node_slots[node] > 0 ? eplb_p_div(1.0f, h->node_speed[node]) : 0.0f;
    }
}

/* The load that the fastest GPU has where all take the same, less an eighth: it holds other experts too. */
EPLB_P float eplb_p_fastest_share(const eplb_p_homes *h)
{
    int32_t node, group;
    float speeds = 0.0f, fastest = 0.0f;
    int64_t load = 0;

    for (node = 0; node < h->layer->shape->num_nodes; node++) {
        speeds = eplb_p_add(speeds, h->node_speed[node]);
        if (h->fastest[node] > fastest) fastest = h->fastest[node];
    }
    for (group = 0; group < h->layer->shape->num_groups; group++) load += h->load[group];
    return eplb_p_mul(eplb_p_div(eplb_p_float_of(load), speeds), eplb_p_mul(fastest, 0.875f));
}

/* bid, bidder, bids. They are no more than 8/7 of the GPUs, as all load is so many shares at most. */
EPLB_P void eplb_p_list_bids(eplb_p_homes *h)
{
    const eplb_p_shape *shape = h->layer->shape;
    float share = eplb_p_fastest_share(h), bid;
    int32_t e, i, k, n = 0;

    for (e = 0; e < shape->num_experts; e++) {
        float load = eplb_p_float_of(eplb_p_whole_load(h, e));
        h->bids[e] = 0;
        bid = load;
        for (k = 2; bid > share && n < h->most_bids; k++) {
            h->key[n++] = eplb_p_heavy_first(bid, e);
            bid = eplb_p_div(load, (float)k);
        }
    }
    eplb_p_sort(h->key, h->spare, n);
    h->num_bids = n;
    for (i = 0; i < n; i++) {
        h->bidder[i] = e = eplb_p_index(h->key[i]);
        h->bid[i] = eplb_p_div(eplb_p_float_of(eplb_p_whole_load(h, e)), (float)++h->bids[e]);
    }
}

EPLB_P int32_t eplb_p_bidder_node(const eplb_p_homes *h, int32_t e)
{
    return h->home[e] >= 0 ? h->home[e] : h->node[e / h->layer->shape->group_size];
}

/* homes: what nodes take */

/* What a node takes for so much load. */
EPLB_P float eplb_p_home_time(const eplb_p_homes *h, int32_t node, int64_t load)
{
    return eplb_p_mul(eplb_p_float_of(load), h->slowness[node]);
}

/* What a node, or two, take for the heaviest replica there, where so many slots are to spare; also of another group than
   those that are there, or -1 for none. `known`, where that is no more, as were all bids there. */
EPLB_P float eplb_p_replica_time(const eplb_p_homes *h, int32_t a, int32_t b, int32_t group, int32_t spare, float known)
{
    int32_t size = h->layer->shape->group_size, i;
    float fastest = h->fastest[a] > h->fastest[b] ? h->fastest[a] : h->fastest[b], time;

    if (h->num_bids <= spare || !(eplb_p_div(h->bid[spare], fastest) > known)) return known;
    for (i = 0; i < h->num_bids; i++) {
        int32_t e = h->bidder[i], node = eplb_p_bidder_node(h, e);
        if (node != a && node != b && e / size != group) continue;
        if (spare-- > 0) continue;
        time = eplb_p_div(h->bid[i], fastest);
        return time > known ? time : known;
    }
    return known;
}

/* What the slower of two nodes takes at least with a group split between them, its heaviest expert on the first: what is
   left for the one when the other gets as many of the heaviest as it has room for. */
EPLB_P float eplb_p_time_of_top(const eplb_p_homes *h, int32_t a, int32_t b, int32_t group)
{
    int32_t size = h->layer->shape->group_size, on_b = h->left[b] < size ? h->left[b] : size - 1;
    const int64_t *heaviest = h->heaviest + eplb_p_at(group, size, 0);
    int64_t load = h->load[group];
    float a_time, b_time;

    a_time = eplb_p_home_time(h, a, h->node_load[a] + load - (heaviest[on_b] - heaviest[0]));
    b_time = eplb_p_home_time(h, b, h->node_load[b] + load - heaviest[(h->left[a] < size ? h->left[a] : size) - 1]);
    return a_time > b_time ? a_time : b_time;
}

/* The same wherever that expert is: no less than both together take, nor than a replica does; or what is known of it, if
   that is more than `most` already. */
EPLB_P float eplb_p_time_of_halves(const eplb_p_homes *h, int32_t a, int32_t b, int32_t group, float most)
{
    float both = eplb_p_div(eplb_p_float_of(h->node_load[a] + h->node_load[b] + h->load[group]),
                            eplb_p_add(h->node_speed[a], h->node_speed[b]));
    float top, other;

    if (both > most) return both;
    top = eplb_p_time_of_top(h, a, b, group);
    other = eplb_p_time_of_top(h, b, a, group);
    if (other < top) top = other;
    if (top > both) both = top;
    return eplb_p_replica_time(h, a, b, group, h->left[a] + h->left[b] - h->layer->shape->group_size, both);
}

/* The two nodes with room enough for a group that take least with it split between them, the first on ties; -1 where no
   two have. Returns what they take; or where no two have, what all with any room take together with all that is to be
   split. What is more than `most` need not be known. */
EPLB_P float eplb_p_best_pair(const eplb_p_homes *h, int32_t group, float most, int32_t *first, int32_t *second)
{
    int32_t N = h->layer->shape->num_nodes, size = h->layer->shape->group_size, a, b;
    float least = FLT_MAX, speeds = 0.0f, time;
    int64_t load = h->node_load[N];
    eplb_p_incumbent best = eplb_p_worth_more_than(-(int64_t)eplb_p_bits(FLT_MAX));

    *first = *second = -1;
    for (a = 0; a < N; a++) {
        for (b = a + 1; b < N; b++) {
            if (h->left[a] < 1 || h->left[b] < 1 || h->left[a] + h->left[b] < size) continue;
            time = eplb_p_time_of_halves(h, a, b, group, least < most ? least : most);
            if (!eplb_p_challenge(&best, -(int64_t)eplb_p_bits(time), a)) continue;
            least = time;
            *first = a;
            *second = b;
        }
    }
    if (*first >= 0) return least;
    for (a = 0; a < N; a++) {
        if (h->left[a] < 1) continue;
        load += h->node_load[a];
        speeds = eplb_p_add(speeds, h->node_speed[a]);
    }
    return eplb_p_div(eplb_p_float_of(load), speeds);
}

typedef struct eplb_p_evenness { /* the less, the better: what the slowest takes, then the sum of load by time */
    float slowest, sum;
    int32_t first, second; /* the slowest node, or the two of a group that is to be split; N where there are more */
} eplb_p_evenness;

/* How even the nodes are, those that a group to be split goes to taken together; or that the slowest takes more than
   `most`. */
EPLB_P eplb_p_evenness eplb_p_weigh_evenness(const eplb_p_homes *h, float most)
{
    int32_t N = h->layer->shape->num_nodes, node;
    eplb_p_evenness e = {0.0f, 0.0f, 0, 0};

    if (h->node_load[N] > 0) e.slowest = eplb_p_best_pair(h, h->last_split, most, &e.first, &e.second);
    if (e.first < 0) e.first = e.second = N;
    for (node = 0; node < N && !(e.slowest > most); node++) {
        float time = eplb_p_home_time(h, node, h->node_load[node]);
        if (h->node_slots[node] == 0) continue;
        e.sum = eplb_p_add(e.sum, eplb_p_mul(eplb_p_float_of(h->node_load[node]), time));
        time = eplb_p_replica_time(h, node, node, -1, h->left[node], time > e.slowest ? time : e.slowest);
        if (!(time > e.slowest)) continue;
        e.slowest = time;
        e.first = e.second = node;
    }
    return e;
}

EPLB_P int eplb_p_is_more_even(const eplb_p_evenness *a, const eplb_p_evenness *b)
{
    if (a->slowest < b->slowest) return 1;
    return !(b->slowest < a->slowest) && a->sum < b->sum;
}

/* homes: whole groups */

/* home, bound of what is locked; left: a slot that is not locked for any expert, and those that are locked there. */
EPLB_P void eplb_p_bind_homes(eplb_p_homes *h)
{
    const eplb_p_layer *l = h->layer;
    int32_t slot, e, *bound, node;

    EPLB_ASSERT(h->home != NULL && h->bound != NULL && h->left != NULL);
    eplb_p_fill_ids(h->home, EPLB_P_EMPTY, 0, l->shape->num_experts);
    eplb_p_fill_ids(h->bound, EPLB_P_EMPTY, 0, l->shape->num_groups);
    eplb_p_fill_ids(h->met, 0, 0, l->shape->num_experts); /* no group is split yet */
    eplb_p_copy_ids(h->left, h->node_slots, l->shape->num_nodes);
    for (slot = 0; slot < l->cluster.num_slots && l->locked; slot++) {
        if (!l->locked[slot]) continue;
        node = l->cluster.node[eplb_p_gpu_with(&l->cluster.gpus, slot)];
        e = l->old_slot[slot];
        h->left[node]--;
        if (e == EPLB_P_EMPTY || h->home[e] == node) continue;
        h->home[e] = node;
        h->left[node]++;
        bound = &h->bound[e / l->shape->group_size];
        *bound = *bound == EPLB_P_EMPTY || *bound == node ? node : l->shape->num_nodes;
    }
}

/* A group to a node, or to be split; or away from there where sign is -1. */
EPLB_P void eplb_p_put_home(eplb_p_homes *h, int32_t group, int32_t node, int32_t sign)
{
    h->node[group] = node;
    h->node_load[node] += sign * h->load[group];
    h->fill[node] += sign;
    if (node < h->layer->shape->num_nodes) h->left[node] -= sign * h->layer->shape->group_size;
    else if (sign > 0) h->last_split = group;
}

/* Whether a whole group has room on a node, and may be there. */
EPLB_P int eplb_p_fits_home(const eplb_p_homes *h, int32_t group, int32_t node)
{
    return h->left[node] >= h->layer->shape->group_size && (h->bound[group] < 0 || h->bound[group] == node);
}

/* The node that takes least with a group; N where it has no room on any. */
EPLB_P int32_t eplb_p_best_home(const eplb_p_homes *h, int32_t group)
{
    int32_t N = h->layer->shape->num_nodes, node;
    uint64_t best = EPLB_P_LAST;

    for (node = 0; node < N; node++) {
        float time = eplb_p_home_time(h, node, h->node_load[node] + h->load[group]);
        if (eplb_p_fits_home(h, group, node)) best = eplb_p_smaller(best, eplb_p_light_first(time, node));
    }
    return best == EPLB_P_LAST ? N : eplb_p_index(best);
}

/* All groups go, in order of their loads, but `last` after the others; first those that are bound to a node. Those that
   find no room are to be split. */
EPLB_P void eplb_p_place_homes(eplb_p_homes *h, int32_t last)
{
    int32_t K = h->layer->shape->num_groups, N = h->layer->shape->num_nodes, i, node, turn;

    for (node = 0; node <= N; node++) {
        h->node_load[node] = 0;
        h->fill[node] = 0;
    }
    for (i = 0; i < K; i++) h->key[i] = eplb_p_heavy_first(eplb_p_float_of(h->load[i]), i);
    eplb_p_sort(h->key, h->spare, K);
    for (turn = 0; turn < 3; turn++) /* bound, others, the last */
        for (i = 0; i < K; i++) {
            int32_t group = eplb_p_index(h->key[i]);
            if ((h->bound[group] >= 0 ? 0 : group == last ? 2 : 1) == turn)
                eplb_p_put_home(h, group, eplb_p_best_home(h, group), 1);
        }
}

/* A group goes to another place; back with it by the same. */
EPLB_P void eplb_p_move_home(eplb_p_homes *h, int32_t group, int32_t node)
{
    eplb_p_put_home(h, group, h->node[group], -1);
    eplb_p_put_home(h, group, node, 1);
}

/* A group and another change places; or where other is K or more, it goes to node other - K. */
EPLB_P void eplb_p_change_homes(eplb_p_homes *h, int32_t group, int32_t other)
{
    int32_t node = h->node[group], K = h->layer->shape->num_groups;

    eplb_p_move_home(h, group, other < K ? h->node[other] : other - K);
    if (other < K) eplb_p_move_home(h, other, node);
}

/* Whether that may be, and neither node then takes more than the slowest does by now, as no more even ones do. */
EPLB_P int eplb_p_may_change_homes(const eplb_p_homes *h, int32_t group, int32_t other, float slowest)
{
    int32_t K = h->layer->shape->num_groups, N = h->layer->shape->num_nodes, from = h->node[group];
    int32_t to = other < K ? h->node[other] : other - K;
    int64_t d = h->load[group] - (other < K ? h->load[other] : 0);

    if (from == to || (other < K && h->bound[other] >= 0)) return 0;
    if (other >= K && (from == N || !eplb_p_fits_home(h, group, to))) return 0;
    return (to == N || !(eplb_p_home_time(h, to, h->node_load[to] + d) > slowest))
           && (from == N || !(eplb_p_home_time(h, from, h->node_load[from] - d) > slowest));
}

/* The first change that makes the nodes more even is done, one after the other in turn, until none does. It is one of a
   group that is to be split, or on a node that is the slowest. */
EPLB_P eplb_p_evenness eplb_p_even_homes(eplb_p_homes *h)
{
    int32_t K = h->layer->shape->num_groups, N = h->layer->shape->num_nodes, a, b, idle = 0, turn = 0;
    eplb_p_evenness best = eplb_p_weigh_evenness(h, FLT_MAX), now;

    for (a = 0; idle < K && turn < 8 * K; a = a + 1 < K ? a + 1 : 0, turn++) {
        idle++;
        if (h->bound[a] >= 0) continue;
        for (b = 0; b < K + N; b++) {
            int32_t was = h->node[a], split = h->last_split;
            if (was != best.first && was != best.second && was != N && best.first != N) break;
            if (!eplb_p_may_change_homes(h, a, b, best.slowest)) continue;
            eplb_p_change_homes(h, a, b);
            now = eplb_p_weigh_evenness(h, best.slowest);
            if (eplb_p_is_more_even(&now, &best)) {
                best = now;
                idle = 0;
            } else {
                eplb_p_change_homes(h, a, b < K ? b : K + was);
                h->last_split = split;
            }
        }
    }
    return best;
}

/* homes: whole groups, in all ways

   Few groups go to few nodes in so few ways that all of them can be tried, one group after the other, heaviest first, but
   for those that are known not to be much better than the most even one by now. In some a node takes too long, if only
   with the lightest groups that it may yet get. In others nodes take too little, even with the heaviest: what all could
   hold until a better way's slowest node is done is not much more than there is, and only the two that a split group goes
   to are filled up with it. */

#define EPLB_P_MOST_WAYS 1024 /* groups that are put somewhere, in all */

/* The most even way by now, and what its slowest node takes -> best_node, best_split, limit, slack. */
EPLB_P void eplb_p_note_way(eplb_p_homes *h, float slowest)
{
    int32_t K = h->layer->shape->num_groups, i;
    float time = eplb_p_div(slowest, EPLB_P_EVEN_ENOUGH), limits = 0.0f;
    int64_t load = 0;

    for (i = 0; i < K; i++) load += h->load[i];
    for (i = 0; i < h->layer->shape->num_nodes; i++) {
        h->limit[i] = eplb_p_mul(time, h->node_speed[i]);
        limits = eplb_p_add(limits, h->limit[i]);
    }
    h->slack = h->in_halves ? eplb_p_sub(limits, eplb_p_float_of(load)) : FLT_MAX;
    h->best_split = h->last_split;
    eplb_p_copy_ids(h->best_node, h->node, K);
}

/* Whether a node is empty, and no different from an empty one before it. */
EPLB_P int eplb_p_has_twin(const eplb_p_homes *h, int32_t node)
{
    int32_t other;

    for (other = h->fill[node] == 0 ? node - 1 : -1; other >= 0; other--)
        if (h->fill[other] == 0 && h->left[other] == h->left[node]
            && eplb_p_bits(h->node_speed[other]) == eplb_p_bits(h->node_speed[node])
            && eplb_p_bits(h->fastest[other]) == eplb_p_bits(h->fastest[node]))
            return 1;
    return 0;
}

/* The next place to try for a group, after the one where it was; N: it is to be split; N + 1: there is none. Nodes get all
   groups that they have room for, of so many in all, as others are split. */
EPLB_P int32_t eplb_p_next_way(const eplb_p_homes *h, int32_t group, int32_t num_tried, int32_t num_split)
{
    int32_t N = h->layer->shape->num_nodes, node = h->node[group];
    int64_t load;

    while (++node < N) {
        if (h->rooms[node] == 0) continue;
        load = h->node_load[node] + h->load[group];
        load += h->ahead[num_tried] - h->ahead[num_tried - (h->rooms[node] - 1)];
        if (!(eplb_p_float_of(load) > h->limit[node]) && !eplb_p_has_twin(h, node)) return node;
    }
    return node == N && h->fill[N] < num_split ? N : N + 1;
}

/* Whether all nodes but two would be left with too little, though they got the heaviest groups from `next` on. */
EPLB_P int eplb_p_leaves_too_much(const eplb_p_homes *h, int32_t next)
{
    float most = 0.0f, second = 0.0f, sum = 0.0f, room, lesser;
    int32_t node;

    for (node = 0; node < h->layer->shape->num_nodes; node++) {
        int64_t load = h->node_load[node] + h->ahead[next + h->rooms[node]] - h->ahead[next];
        room = eplb_p_sub(h->limit[node], eplb_p_float_of(load));
        if (!(room > 0.0f)) continue;
        lesser = room > most ? most : room;
        if (room > most) most = room;
        sum = eplb_p_add(sum, lesser > second ? second : lesser);
        if (lesser > second) second = lesser;
    }
    return sum > h->slack;
}

EPLB_P void eplb_p_put_way(eplb_p_homes *h, int32_t group, int32_t node, int32_t sign)
{
    eplb_p_put_home(h, group, node, sign);
    if (node < h->layer->shape->num_nodes) h->rooms[node] -= sign;
}

/* The groups that are not bound are taken away -> key, ahead, heaviest first; rooms. Returns how many there are. */
EPLB_P int32_t eplb_p_clear_ways(eplb_p_homes *h)
{
    int32_t i, group, n = 0;

    h->ahead[0] = 0;
    for (i = 0; i < h->layer->shape->num_groups; i++) {
        group = eplb_p_index(h->key[i]);
        if (h->bound[group] >= 0) continue;
        eplb_p_put_home(h, group, h->node[group], -1);
        h->node[group] = EPLB_P_EMPTY;
        h->ahead[n + 1] = h->ahead[n] + h->load[group];
        h->key[n++] = h->key[i];
    }
    for (i = 0; i < h->layer->shape->num_nodes; i++) h->rooms[i] = h->left[i] / h->layer->shape->group_size;
    return n;
}

/* The groups that were taken away go where they are in the most even way. */
EPLB_P void eplb_p_restore_way(eplb_p_homes *h, int32_t n)
{
    int32_t i, group;

    for (i = 0; i < n; i++) {
        group = eplb_p_index(h->key[i]);
        if (h->node[group] >= 0) eplb_p_put_home(h, group, h->node[group], -1);
    }
    for (i = 0; i < n; i++) {
        group = eplb_p_index(h->key[i]);
        eplb_p_put_home(h, group, h->best_node[group], 1);
    }
    h->last_split = h->best_split;
}

/* From groups on nodes, and to be split, so even, to the most even way. Returns whether no much better one is left out. */
EPLB_P int eplb_p_try_all_ways(eplb_p_homes *h, eplb_p_evenness *best)
{
    int32_t N = h->layer->shape->num_nodes, num_split = h->fill[N], n, most, steps = 0, at = 0, first, second;

    (void)eplb_p_best_pair(h, h->last_split, FLT_MAX, &first, &second);
    h->in_halves = num_split == 1 && first >= 0;
    eplb_p_note_way(h, best->slowest);
    n = eplb_p_clear_ways(h);
    most = h->fill[N] < num_split ? EPLB_P_MOST_WAYS : 0; /* if only bound ones are split, rooms may stay empty */
    while (at >= 0 && steps < most) {
        int32_t group = eplb_p_index(h->key[at]), node;
        if (h->node[group] >= 0) eplb_p_put_way(h, group, h->node[group], -1);
        node = eplb_p_next_way(h, group, n, num_split);
        if (node > N) {
            h->node[group] = EPLB_P_EMPTY;
            at--;
            continue;
        }
        eplb_p_put_way(h, group, node, 1);
        steps++;
        if (eplb_p_leaves_too_much(h, at + 1)) continue;
        if (at + 1 < n) {
            at++;
        } else {
            eplb_p_evenness now = eplb_p_weigh_evenness(h, best->slowest);
            if (!eplb_p_is_more_even(&now, best)) continue;
            *best = now;
            eplb_p_note_way(h, now.slowest);
        }
    }
    eplb_p_restore_way(h, n);
    return steps < most;
}

/* homes: groups that are split */

/* The nodes that so many experts of a group to be split go to: of two that have room enough left the pair that takes
   least with it; or else those with the most room left, the first on ties, as few as suffice. */
EPLB_P void eplb_p_choose_halves(eplb_p_homes *h, int32_t group, int32_t need)
{
    int32_t N = h->layer->shape->num_nodes, first, second, node;

    for (node = 0; node < N; node++) h->chosen[node] = 0;
    if (need == 0) return;
    (void)eplb_p_best_pair(h, group, FLT_MAX, &first, &second);
    if (first >= 0) {
        h->chosen[first] = h->chosen[second] = 1;
        return;
    }
    while (need > 0) {
        eplb_p_incumbent best = eplb_p_worth_more_than(0);
        for (node = 0; node < N; node++)
            if (!h->chosen[node]) eplb_p_challenge(&best, h->left[node], node);
        EPLB_ASSERT(best.index >= 0); /* there is a slot for every expert */
        h->chosen[best.index] = 1;
        need -= h->left[best.index];
    }
}

/* met, kept: of the bids on the nodes that were chosen, and of the group's own, as many are met as there are slots to
   spare. Returns how many of these are left over. */
EPLB_P int32_t eplb_p_meet_bids(eplb_p_homes *h, int32_t group)
{
    int32_t N = h->layer->shape->num_nodes, size = h->layer->shape->group_size, spare = -h->num_keys, node, i;

    eplb_p_fill_ids(h->met, 0, 0, h->layer->shape->num_experts);
    eplb_p_fill_ids(h->kept, 0, 0, N);
    for (node = 0; node < N; node++) spare += h->chosen[node] ? h->left[node] : 0;
    for (i = 0; i < h->num_bids && spare > 0; i++) {
        int32_t e = h->bidder[i], whole = e / size != group || h->home[e] >= 0;
        node = eplb_p_bidder_node(h, e);
        if (whole && (node == N || !h->chosen[node])) continue;
        if (whole) h->kept[node]++;
        h->met[e]++;
        spare--;
    }
    return spare;
}

/* room: how many of a split group's experts each of its nodes gets at most, or slots that are kept for them. What slots
   are left over, for more replicas, are shared between these nodes by the slots that they have. */
EPLB_P void eplb_p_share_out_room(eplb_p_homes *h, int32_t spare)
{
    int32_t N = h->layer->shape->num_nodes, node, kept;
    int64_t slots = 0;

    for (node = 0; node < N; node++) slots += h->chosen[node] ? h->node_slots[node] : 0;
    for (node = 0; node < N; node++) {
        h->room[node] = h->chosen[node] ? h->left[node] : 0;
        if (!h->chosen[node]) continue;
        kept = h->kept[node] + (int32_t)((int64_t)spare * h->node_slots[node] / slots);
        if (kept > h->room[node] - 1) kept = h->room[node] - 1; /* each gets one at least */
        if (kept > 0) h->room[node] -= kept;
    }
}

/* An expert of a split group to a node, or away from there where sign is -1. */
EPLB_P void eplb_p_put_half(eplb_p_homes *h, int32_t e, int32_t node, int32_t sign)
{
    h->home[e] = sign > 0 ? node : EPLB_P_EMPTY;
    h->node_load[node] += sign * eplb_p_whole_load(h, e);
    h->kept[node] += sign * h->met[e];
    h->left[node] -= sign;
}

/* The node with so much room that would take least with so much load more, but for one; -1 where there is none. */
EPLB_P int32_t eplb_p_best_half(const eplb_p_homes *h, int64_t load, int32_t room, int32_t but)
{
    uint64_t best = EPLB_P_LAST;
    int32_t node;

    for (node = 0; node < h->layer->shape->num_nodes; node++)
        if (h->room[node] >= room && node != but)
            best = eplb_p_smaller(best, eplb_p_light_first(eplb_p_home_time(h, node, h->node_load[node] + load), node));
    return eplb_p_index_or_none(best);
}

/* The experts in key go, in order, to the node that would take least with them, but number `turned` to the next best. */
EPLB_P void eplb_p_place_halves(eplb_p_homes *h, int32_t turned)
{
    int32_t i, e, node, next, room;

    for (i = 0; i < h->num_keys; i++) {
        int64_t load = eplb_p_whole_load(h, e = eplb_p_index(h->key[i]));
        room = 1 + h->met[e];
        node = eplb_p_best_half(h, load, room, -1);
        next = i == turned && node >= 0 ? eplb_p_best_half(h, load, room, node) : -1;
        if (next >= 0) node = next;
        if (node < 0) node = eplb_p_best_half(h, load, room = 1, -1);
        EPLB_ASSERT(node >= 0); /* rooms were made for all */
        eplb_p_put_half(h, e, node, 1);
        h->room[node] -= room;
    }
}

typedef struct eplb_p_half_move { /* an expert of a split group goes to another node */
    eplb_p_incumbent expert;      /* by the bits of what the slower of the two nodes takes less */
    int32_t node;
    int32_t other; /* one that comes back for it; -1: none */
} eplb_p_half_move;

EPLB_P void eplb_p_consider_half(const eplb_p_homes *h, int32_t e, int32_t node, int32_t other, eplb_p_half_move *best)
{
    int64_t d = eplb_p_whole_load(h, e) - (other < 0 ? 0 : eplb_p_whole_load(h, other));
    int32_t from = h->home[e];
    float before = eplb_p_home_time(h, from, h->node_load[from]), after, time;

    after = eplb_p_home_time(h, node, h->node_load[node] + d);
    time = eplb_p_home_time(h, from, h->node_load[from] - d);
    if (time > after) after = time;
    if (d <= 0 || !(after < before)) return;
    if (!eplb_p_challenge(&best->expert, eplb_p_bits(eplb_p_sub(before, after)), e)) return;
    best->node = node;
    best->other = other;
}

/* The slowest of the nodes that were chosen, the first on ties. */
EPLB_P int32_t eplb_p_slowest_half(const eplb_p_homes *h)
{
    uint64_t slowest = EPLB_P_LAST;
    int32_t node;

    for (node = 0; node < h->layer->shape->num_nodes; node++) {
        float time = eplb_p_home_time(h, node, h->node_load[node]);
        if (h->chosen[node]) slowest = eplb_p_smaller(slowest, eplb_p_heavy_first(time, node));
    }
    return eplb_p_index_or_none(slowest);
}

/* Moves between two nodes. Two experts change places where what they differ by is next to the load that would make the
   nodes equal: for each of the slower node's, heaviest first, they stand on either side of a place that only goes on.
   Or one goes alone, where slots are left over besides those that are kept. */
EPLB_P void eplb_p_consider_halves(const eplb_p_homes *h, int32_t from, int32_t to, eplb_p_half_move *best)
{
    float apart = eplb_p_sub(eplb_p_home_time(h, from, h->node_load[from]), eplb_p_home_time(h, to, h->node_load[to]));
    float load = eplb_p_div(apart, eplb_p_add(h->slowness[from], h->slowness[to]));
    int64_t d = (int64_t)load;
    int32_t i, j = 0, above = -1, e, other;

    for (i = 0; i < h->num_keys; i++) {
        e = eplb_p_index(h->key[i]);
        if (h->home[e] != from) continue;
        if (h->left[to] > h->kept[to] + h->met[e]) eplb_p_consider_half(h, e, to, -1, best);
        if (h->met[e] > 0) continue; /* which only go alone */
        for (; j < h->num_keys; j++) {
            other = eplb_p_index(h->key[j]);
            if (h->home[other] != to || h->met[other] > 0) continue;
            if (eplb_p_whole_load(h, e) - eplb_p_whole_load(h, other) > d) break;
            above = other;
        }
        if (above >= 0) eplb_p_consider_half(h, e, to, above, best);
        if (j < h->num_keys) eplb_p_consider_half(h, e, to, eplb_p_index(h->key[j]), best);
    }
}

/* The move off the slowest node that gains most, the first on ties. */
EPLB_P eplb_p_half_move eplb_p_find_half(const eplb_p_homes *h)
{
    eplb_p_half_move best = EPLB_ZERO_INIT;
    int32_t node, slowest = eplb_p_slowest_half(h);

    best.expert = eplb_p_worth_more_than(0);
    for (node = 0; node < h->layer->shape->num_nodes; node++)
        if (h->chosen[node] && node != slowest) eplb_p_consider_halves(h, slowest, node, &best);
    return best;
}

EPLB_P void eplb_p_do_half(eplb_p_homes *h, const eplb_p_half_move *move)
{
    int32_t e = move->expert.index, from = h->home[e];

    eplb_p_put_half(h, e, from, -1);
    eplb_p_put_half(h, e, move->node, 1);
    if (move->other < 0) return;
    eplb_p_put_half(h, move->other, move->node, -1);
    eplb_p_put_half(h, move->other, from, 1);
}

/* Moves of halves that help. Returns what the slowest node takes then. */
EPLB_P float eplb_p_even_halves(eplb_p_homes *h)
{
    int32_t moves, slowest;

    for (moves = 0; moves < 4 * h->num_keys; moves++) {
        eplb_p_half_move move = eplb_p_find_half(h);
        if (move.expert.index < 0) break;
        eplb_p_do_half(h, &move);
    }
    slowest = eplb_p_slowest_half(h);
    return eplb_p_home_time(h, slowest, h->node_load[slowest]);
}

/* key: the experts of a group to be split that are not locked, heaviest first. Those that are take their room. */
EPLB_P void eplb_p_list_halves(eplb_p_homes *h, int32_t group)
{
    int32_t size = h->layer->shape->group_size, e, n = 0;

    for (e = group * size; e < (group + 1) * size; e++) {
        if (h->home[e] >= 0) eplb_p_put_half(h, e, h->home[e], 1);
        else h->key[n++] = eplb_p_heavy_first(h->layer->load[e], e);
    }
    eplb_p_sort(h->key, h->spare, n);
    h->num_keys = n;
}

#define EPLB_P_HALF_STARTS 8

/* A group is split; from several beginnings, in each of which another of the heaviest experts goes to the next best node;
   the best that is found, the first on ties, or the first that is no slower than `enough`. */
EPLB_P void eplb_p_split_group(eplb_p_homes *h, int32_t group, float enough)
{
    int32_t spare, i, start;
    uint64_t best = EPLB_P_LAST;

    eplb_p_list_halves(h, group);
    eplb_p_choose_halves(h, group, h->num_keys);
    spare = eplb_p_meet_bids(h, group);
    for (start = -1; start <= EPLB_P_HALF_STARTS && h->num_keys > 0; start++) {
        float time;
        eplb_p_share_out_room(h, spare);
        eplb_p_place_halves(h, start < EPLB_P_HALF_STARTS ? start : eplb_p_index(best) - 1);
        time = eplb_p_even_halves(h);
        if (start == EPLB_P_HALF_STARTS || !(time > enough)) return;
        best = eplb_p_smaller(best, eplb_p_light_first(time, 1 + start)); /* the first is -1 */
        for (i = 0; i < h->num_keys; i++) {
            int32_t e = eplb_p_index(h->key[i]);
            eplb_p_put_half(h, e, h->home[e], -1);
        }
    }
}

/* All groups that are to be split are. Returns what the slowest node takes then. */
EPLB_P float eplb_p_split_groups(eplb_p_homes *h, float enough)
{
    int32_t N = h->layer->shape->num_nodes, group;

    h->node_load[N] = 0;
    for (group = 0; group < h->layer->shape->num_groups; group++)
        if (h->node[group] == N) eplb_p_split_group(h, group, enough);
    return eplb_p_weigh_evenness(h, FLT_MAX).slowest;
}

/* homes: several beginnings */

/* Whether groups are as they were when some were split last. */
EPLB_P int eplb_p_is_split_way(const eplb_p_homes *h)
{
    int32_t group = 0;

    while (group < h->layer->shape->num_groups && h->node[group] == h->best_node[group]) group++;
    return group == h->layer->shape->num_groups;
}

/* node of every group, home of experts of those that are split, where `last` is placed after the others; or, -1, in all
   ways, if they are few. What the slowest node takes; or FLT_MAX, and none is split, where that is known not to be less
   than `least`. */
EPLB_P float eplb_p_try_homes(eplb_p_homes *h, int32_t last, float least)
{
    int32_t N = h->layer->shape->num_nodes, all;
    eplb_p_evenness e;
    float enough;

    eplb_p_bind_homes(h);
    eplb_p_place_homes(h, last);
    e = eplb_p_even_homes(h);
    if (h->fill[N] == 0) return e.slowest;
    all = last < 0 && eplb_p_try_all_ways(h, &e);
    enough = eplb_p_mul(e.slowest, EPLB_P_EVEN_ENOUGH);
    if (last < 0) h->enough = all ? enough : 0.0f;
    if (!(e.slowest < least) || (least < FLT_MAX && eplb_p_is_split_way(h))) return FLT_MAX;
    eplb_p_copy_ids(h->best_node, h->node, h->layer->shape->num_groups);
    return eplb_p_split_groups(h, enough);
}

#define EPLB_P_HOME_STARTS 32

/* The best of several beginnings, in each of which another group comes last, as far as they are needed; the first on ties.
   Where nothing is split a beginning is as good as another. */
EPLB_P void eplb_p_search_homes(eplb_p_homes *h)
{
    int32_t K = h->layer->shape->num_groups, starts = K < EPLB_P_HOME_STARTS ? K : EPLB_P_HOME_STARTS, tried = 0;
    float time = eplb_p_try_homes(h, -1, FLT_MAX);
    uint64_t best = eplb_p_light_first(time, 0);

    if (h->fill[h->layer->shape->num_nodes] == 0) return;
    while (tried < starts && eplb_p_value_of_light(best) > h->enough) {
        time = eplb_p_try_homes(h, tried++, eplb_p_value_of_light(best));
        best = eplb_p_smaller(best, eplb_p_light_first(time, tried));
    }
    if (eplb_p_index(best) < tried) (void)eplb_p_try_homes(h, eplb_p_index(best) - 1, FLT_MAX);
}

/* home of every expert. */
EPLB_P void eplb_p_find_expert_homes(eplb_p_homes *h)
{
    const eplb_p_shape *shape = h->layer->shape;
    int32_t e;

    eplb_p_rank_homes(h);
    eplb_p_weigh_nodes(h);
    eplb_p_list_bids(h);
    eplb_p_search_homes(h);
    for (e = 0; e < shape->num_experts; e++)
        if (h->home[e] < 0) h->home[e] = h->node[e / shape->group_size];
}

/* home -> first_expert, mlog2log, mlog_load: by node, then by index. */
EPLB_P void eplb_p_order_homes(const int32_t *home, eplb_p_layer *l)
{
    int32_t *first = l->first_expert, N = l->shape->num_nodes, node, e, n = 0;

    eplb_p_fill_ids(first, 0, 0, N + 1);
    for (e = 0; e < l->shape->num_experts; e++) first[home[e]]++;
    for (node = 0; node <= N; node++) {
        n += first[node];
        first[node] = n; /* where its experts end */
    }
    for (e = l->shape->num_experts - 1; e >= 0; e--) {
        n = --first[home[e]];
        l->mlog2log[n] = e;
        l->mlog_load[n] = l->size[e];
    }
}

/* Slots that are used on GPUs first .. end - 1, no more than that: fewer on those that use the most. */
EPLB_P void eplb_p_limit_gpus(eplb_p_layer *l, int32_t first, int32_t end, int64_t limit)
{
    int32_t gpu;
    int64_t slots = 0;

    for (gpu = first; gpu < end; gpu++) slots += l->used[gpu];
    for (; slots > limit; slots--) {
        eplb_p_incumbent most = eplb_p_worth_more_than(-1);
        for (gpu = end - 1; gpu >= first; gpu--) /* the last on ties */
            if (!l->locked || l->used[gpu] > l->num_locked[gpu]) eplb_p_challenge(&most, l->used[gpu], gpu);
        if (most.index < 0) return; /* all that is left is locked */
        l->used[most.index]--;
    }
}

/* used: all slots of a node, but for what would be more replicas than its experts may have. To survive a loss no GPU, or
   no node, uses more slots than there are experts. Proof that those with several replicas can then have them on two, as
   many as there are slots for: let the largest use B slots, all others O, of E experts. There are B + O - E slots for
   second replicas, O at most, so that each such expert can have one of the others' slots. */
EPLB_P void eplb_p_limit_used(eplb_p_layer *l, int32_t node)
{
    const eplb_p_cluster *c = &l->cluster;
    int32_t first = c->first_gpu[node], end = c->first_gpu[node + 1], gpu, next, survive = l->shape->survive;
    int32_t experts = l->first_expert[node + 1] - l->first_expert[node], cap = l->shape->options.max_replicas;
    int64_t limit, locked;

    for (gpu = first; gpu < end; gpu++)
        l->used[gpu] = eplb_p_num_on(&c->gpus, gpu) - (l->locked ? l->num_shut[gpu] : 0);
    for (gpu = first; gpu < end && survive != EPLB_SURVIVE_NONE && !l->locked; gpu = next) {
        for (next = gpu + 1; survive == EPLB_SURVIVE_NODE && next < end && c->link_node[next] == c->link_node[gpu];)
            next++;
        eplb_p_limit_gpus(l, gpu, next, experts);
    }
    if (experts == 0) eplb_p_limit_gpus(l, first, end, 0);
    for (gpu = first, limit = (int64_t)cap * experts, locked = experts; l->locked && gpu < end; gpu++)
        locked += l->num_locked[gpu];
    if (cap > 0) eplb_p_limit_gpus(l, first, end, l->locked && locked > limit ? locked : limit);
}

typedef struct eplb_p_node {  /* the experts of one node on their way to its GPUs */
    eplb_p_replicas replicas; /* by the experts' place in mlog */
    float *slot_load;         /* [node_slots] */
    int32_t *slot_gpu;        /* [node_slots] GPU of the node that a slot is packed on */
    int32_t *slot_rank;       /* [node_slots] and its place there */
    eplb_p_packer packer;
} eplb_p_node;

EPLB_P eplb_p_node eplb_p_carve_node(eplb_p_arena *a, const eplb_p_node_part *part, const eplb_packing *how)
{
    eplb_p_node n;
    n.replicas = eplb_p_carve_replicas(a, part->num_experts, part->num_slots);
    eplb_p_rewind(a, n.replicas.bids_from); /* they are done with once the slots are given */
    n.slot_load = EPLB_P_TAKE(a, float, part->num_slots);
    n.slot_gpu = EPLB_P_TAKE(a, int32_t, part->num_slots);
    n.slot_rank = EPLB_P_TAKE(a, int32_t, part->num_slots);
    n.packer = eplb_p_carve_packer(a, part->num_slots, part->num_gpus, how);
    n.packer.weight = n.slot_load;
    n.packer.pack_index = n.slot_gpu;
    n.packer.rank_in_pack = n.slot_rank;
    return n;
}

/* replicas -> logcnt, slot_load of a node. Slot i holds expert i, who shares its load with the spare slots
   that it was given. */
EPLB_P void eplb_p_share_load(eplb_p_node *n, eplb_p_layer *l, const eplb_p_node_part *part)
{
    const int32_t *mlog2log = l->mlog2log + part->first_expert;
    const eplb_p_replicas *r = &n->replicas;
    int32_t i, together = l->shape->odd ? 1 : l->shape->group_size; /* experts that stand side by side in both orders */
    int32_t lane = eplb_p_team_lane(), most = 1;

    for (i = 0; i < r->num_log; i += together) eplb_p_team_copy(l->logcnt + mlog2log[i], r->count + i, together);
    eplb_p_team_copy_loads(n->slot_load, r->load, r->num_log);
    eplb_p_team_wait();
    for (i = lane; i < r->num_spare; i += EPLB_P_TEAM) {
        int32_t e = r->expert[i];
        n->slot_load[r->num_log + i] = eplb_p_bid(r->load[e], r->count[e], EPLB_P_DHONDT);
        if (r->rank[i] == 1) n->slot_load[e] = n->slot_load[r->num_log + i];
        if (r->count[e] > most) most = r->count[e];
    }
    most = eplb_p_team_most(most);
    if (lane == 0 && most > l->most_replicas) l->most_replicas = most;
    eplb_p_team_wait();
}

/* slot_gpu, slot_rank -> a node's part of the layer's plan. What does not change is read once, as no compiler can
   know that it does not. */
EPLB_P void eplb_p_place_slots(const eplb_p_node *n, eplb_p_layer *l, const eplb_p_node_part *part)
{
    const int32_t *mlog2log = l->mlog2log + part->first_expert;
    const int32_t *gpu = n->slot_gpu, *rank = n->slot_rank;
    int32_t *phy2log = l->phy2log + part->first_slot;
    int32_t *phyrank = l->phyrank + part->first_slot;
    int32_t room = part->gpu_slots, num_log = n->replicas.num_log, num_spare = n->replicas.num_spare, i;

    for (i = eplb_p_team_lane(); i < num_log; i += EPLB_P_TEAM) {
        int32_t slot = gpu[i] * room + rank[i];
        phy2log[slot] = mlog2log[i];
        phyrank[slot] = 0;
    }
    gpu += num_log;
    rank += num_log;
    for (i = eplb_p_team_lane(); i < num_spare; i += EPLB_P_TEAM) {
        int32_t slot = gpu[i] * room + rank[i];
        phy2log[slot] = mlog2log[n->replicas.expert[i]];
        phyrank[slot] = n->replicas.rank[i];
    }
    eplb_p_team_wait();
}

/* slots to GPUs that are not alike */

typedef struct eplb_p_mixed { /* the experts of one node on their way there */
    eplb_p_replicas replicas;
    int32_t *least;       /* [num_experts] replicas that an expert has in any case: those that are locked, or one */
    int32_t *place;       /* [E] of an expert among the node's */
    int32_t *item_expert; /* [num_slots] of each replica that is not locked, first ones by expert, then spare ones */
    float *slot_load;     /* [num_slots] */
    int32_t *slot_gpu;    /* [num_slots] */
    int32_t *room;        /* [num_gpus] */
    int32_t *fill;        /* [num_gpus] slots of a GPU that hold something by now */
    eplb_p_unlike unlike;
} eplb_p_mixed;

EPLB_P eplb_p_mixed eplb_p_carve_mixed(eplb_p_arena *a, const eplb_p_layer *l, const eplb_p_node_part *part)
{
    eplb_p_mixed m;

    m.replicas = eplb_p_carve_replicas(a, part->num_experts, part->num_slots);
    m.least = EPLB_P_TAKE(a, int32_t, part->num_experts);
    m.place = EPLB_P_TAKE(a, int32_t, l->shape->num_experts);
    m.item_expert = EPLB_P_TAKE(a, int32_t, part->num_slots);
    m.slot_load = EPLB_P_TAKE(a, float, part->num_slots);
    m.slot_gpu = EPLB_P_TAKE(a, int32_t, part->num_slots);
    m.room = EPLB_P_TAKE(a, int32_t, part->num_gpus);
    m.fill = EPLB_P_TAKE(a, int32_t, part->num_gpus);
    m.unlike = eplb_p_carve_unlike(a, part->num_slots, part->num_gpus, &l->shape->options.gpu_packing);
    m.unlike.room = m.room;
    m.unlike.speed = l->cluster.speed ? l->cluster.speed + part->first_gpu : NULL;
    m.unlike.packer.weight = m.slot_load;
    m.unlike.packer.pack_index = m.slot_gpu;
    return m;
}

/* least, place; how many slots are then spare. */
EPLB_P void eplb_p_count_locked(eplb_p_mixed *m, const eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t first = part->first_slot, end = eplb_p_begin_of(&l->cluster.gpus, part->first_gpu + part->num_gpus), i,
            spare;

    EPLB_ASSERT(m->least != NULL && m->place != NULL);
    for (i = 0; i < part->num_experts; i++) {
        m->least[i] = 0;
        m->place[l->mlog2log[part->first_expert + i]] = i;
    }
    for (i = first; i < end; i++)
        if (eplb_p_keeps_expert(l, i)) m->least[m->place[l->old_slot[i]]]++;
    for (i = 0, spare = part->num_slots; i < part->num_experts; i++) {
        if (m->least[i] == 0) m->least[i] = 1;
        spare -= m->least[i];
    }
    m->replicas.least = m->least;
    m->replicas.num_spare = spare;
}

/* replicas -> logcnt; item_expert, slot_load of what is not locked; fixed, room of the GPUs: what is locked on each, and
   the slots that are not. */
EPLB_P void eplb_p_list_mixed(eplb_p_mixed *m, eplb_p_layer *l, const eplb_p_node_part *part)
{
    const eplb_p_replicas *r = &m->replicas;
    const int32_t *mlog2log = l->mlog2log + part->first_expert;
    int32_t i, e, gpu, n = 0, *locked = m->least;

    EPLB_ASSERT(m->room != NULL && m->unlike.fixed != NULL && m->slot_load != NULL);
    for (i = 0; i < r->num_log; i++) {
        l->logcnt[mlog2log[i]] = r->count[i];
        if (r->count[i] > l->most_replicas) l->most_replicas = r->count[i];
        locked[i] = 0;
    }
    for (gpu = 0; gpu < part->num_gpus; gpu++) {
        m->room[gpu] = l->used[part->first_gpu + gpu] - (l->locked ? l->num_locked[part->first_gpu + gpu] : 0);
        m->fill[gpu] = 0;
        m->unlike.fixed[gpu] = 0.0f;
        for (i = eplb_p_slot_at(l, part, gpu, 0); i < eplb_p_slot_at(l, part, gpu + 1, 0); i++) {
            if (!eplb_p_keeps_expert(l, i)) continue;
            e = m->place[l->old_slot[i]];
            locked[e]++;
            m->unlike.fixed[gpu] = eplb_p_add(m->unlike.fixed[gpu], eplb_p_bid(r->load[e], r->count[e], EPLB_P_DHONDT));
            l->phy2log[eplb_p_slot_at(l, part, gpu, m->fill[gpu]++)] = l->old_slot[i];
        }
    }
    for (i = 0; i < r->num_log; i++)
        if (locked[i] == 0) m->item_expert[n++] = i;
    for (i = 0; i < r->num_spare; i++) m->item_expert[n++] = r->expert[i];
    for (i = 0; i < n; i++) {
        e = m->item_expert[i];
        m->slot_load[i] = eplb_p_bid(r->load[e], r->count[e], EPLB_P_DHONDT);
    }
    m->unlike.packer.packs.n = n;
}

/* slot_gpu -> the node's part of the plan: on each GPU what is locked, then the others heaviest first. */
EPLB_P void eplb_p_place_mixed(eplb_p_mixed *m, eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t position;

    for (position = 0; position < m->unlike.packer.packs.n; position++) {
        int32_t i = eplb_p_index(m->unlike.packer.true_order[position]), gpu = m->slot_gpu[i];
        l->phy2log[eplb_p_slot_at(l, part, gpu, m->fill[gpu]++)] = l->mlog2log[part->first_expert + m->item_expert[i]];
    }
}

/* slots to GPUs: to survive a loss

   Packing does not ask whether an expert's replicas are all on one GPU, or node. Those that are change places with
   others, until each that has two or more is on two. */

/* What is lost together: a GPU, or a node. */
EPLB_P int32_t eplb_p_domain_of(const eplb_p_layer *l, int32_t slot)
{
    int32_t gpu = eplb_p_gpu_with(&l->cluster.gpus, slot);
    return l->shape->survive == EPLB_SURVIVE_NODE ? l->cluster.link_node[gpu] : gpu;
}

/* inside [E] = replicas of each expert that are in a domain, among slots first .. end - 1. */
EPLB_P void eplb_p_count_inside(const eplb_p_layer *l, int32_t first, int32_t end, int32_t domain, int32_t *inside)
{
    int32_t i;

    for (i = 0; i < l->shape->num_experts; i++) inside[i] = 0;
    for (i = first; i < end; i++)
        if (l->phy2log[i] != EPLB_P_EMPTY && eplb_p_domain_of(l, i) == domain) inside[l->phy2log[i]]++;
}

/* What is locked on a GPU stands in its first slots by now. */
EPLB_P int eplb_p_is_placed_lock(const eplb_p_layer *l, int32_t slot)
{
    int32_t gpu = eplb_p_gpu_with(&l->cluster.gpus, slot);
    return l->locked && slot - eplb_p_begin_of(&l->cluster.gpus, gpu) < l->num_locked[gpu];
}

/* The slot that slot i's expert, which is in one domain only, may best change places with: one of another domain whose
   expert is not then in one only, and whose load is the nearest, the first on ties; -1 where there is none. */
EPLB_P int32_t eplb_p_find_way_out(const eplb_p_layer *l, int32_t i, int32_t first, int32_t end, const int32_t *inside)
{
    int32_t domain = eplb_p_domain_of(l, i), j;
    float own = eplb_p_bid(l->load[l->phy2log[i]], l->logcnt[l->phy2log[i]], EPLB_P_DHONDT), off;
    uint64_t best = EPLB_P_LAST;

    for (j = first; j < end; j++) {
        int32_t x = l->phy2log[j];
        if (x == EPLB_P_EMPTY || x == l->phy2log[i] || eplb_p_domain_of(l, j) == domain) continue;
        if (eplb_p_is_placed_lock(l, j)) continue;
        if (l->logcnt[x] > 1 && inside[x] + 1 == l->logcnt[x]) continue;
        off = eplb_p_sub(own, eplb_p_bid(l->load[x], l->logcnt[x], EPLB_P_DHONDT));
        best = eplb_p_smaller(best, eplb_p_light_first(off < 0.0f ? -off : off, j));
    }
    return eplb_p_index_or_none(best);
}

EPLB_P void eplb_p_let_survive(eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t first = part->first_slot, end = eplb_p_begin_of(&l->cluster.gpus, part->first_gpu + part->num_gpus),
            domain = -1, i, j, e;
    int32_t *inside = l->phyrank; /* replicas are numbered later */

    for (i = first; i < end; i++) {
        e = l->phy2log[i];
        if (eplb_p_domain_of(l, i) != domain) {
            domain = eplb_p_domain_of(l, i);
            eplb_p_count_inside(l, first, end, domain, inside);
        }
        if (e == EPLB_P_EMPTY || l->logcnt[e] < 2 || inside[e] < l->logcnt[e] || eplb_p_is_placed_lock(l, i)) continue;
        j = eplb_p_find_way_out(l, i, first, end, inside);
        if (j < 0) continue;
        inside[e]--;
        inside[l->phy2log[j]]++;
        l->phy2log[i] = l->phy2log[j];
        l->phy2log[j] = e;
    }
}

/* ------------------------------------------------------------------------------- as vLLM plans

   What the default policy of vLLM 0.33.0 does (vllm/distributed/eplb/policy/default.py). Its steps are the reference's,
   its numbers are NumPy's: groups are weighed in float32, in NumPy's order of adding up; an expert's load by its
   replicas, and the sums that nodes and GPUs come to, are in double precision. It takes the first of equals where it
   looks for the most or the least; but its sort of groups, and of replicas, leaves open in which order equals come,
   which is up to NumPy's version and the processor. Here the lower index is first, as by a stable sort. */

typedef struct eplb_p_vllm {
    eplb_p_contest items; /* groups; or of a node experts, then their replicas: heaviest first */
    eplb_p_contest packs; /* nodes, or GPUs: lightest first; a full one last */
    int32_t *fill;        /* [packs] how many items there are so far */
    int32_t *count;       /* [experts of a node] replicas */
    int32_t *item;        /* [slots of a node] expert of each replica */
} eplb_p_vllm;

EPLB_P eplb_p_vllm eplb_p_carve_vllm(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_vllm v;
    int32_t packs = shape->num_nodes > shape->node_gpus ? shape->num_nodes : shape->node_gpus;

    v.items = eplb_p_carve_contest(a, shape->num_groups > shape->node_slots ? shape->num_groups : shape->node_slots);
    v.packs = eplb_p_carve_contest(a, packs);
    v.fill = EPLB_P_TAKE(a, int32_t, packs);
    v.count = EPLB_P_TAKE(a, int32_t, shape->node_experts);
    v.item = EPLB_P_TAKE(a, int32_t, shape->node_slots);
    return v;
}

#define EPLB_P_BLOCK 128 /* numbers that are added up in eight sums */

EPLB_P float eplb_p_block_sum(const float *x, int32_t n)
{
    float sum[8], rest = 0.0f;
    int32_t i, j, even = n - n % 8;

    for (j = 0; j < 8 && even > 0; j++) sum[j] = x[j];
    for (i = 8; i < even; i += 8)
        for (j = 0; j < 8; j++) sum[j] = eplb_p_add(sum[j], x[i + j]);
    if (even > 0)
        rest = eplb_p_add(eplb_p_add(eplb_p_add(sum[0], sum[1]), eplb_p_add(sum[2], sum[3])),
                          eplb_p_add(eplb_p_add(sum[4], sum[5]), eplb_p_add(sum[6], sum[7])));
    for (i = even; i < n; i++) rest = eplb_p_add(rest, x[i]);
    return rest;
}

/* Halves of whole eights, each by itself, down to blocks. */
EPLB_P float eplb_p_pairwise_sum(const float *x, int32_t n)
{
    float left[32] = {0.0f}, sum;
    int32_t right[32],
        depth = 0; /* of halves that are being summed: the left one's sum, and numbers of the right one, 0
                      once it is its turn */

    for (;;) {
        for (; n > EPLB_P_BLOCK; depth++) {
            right[depth] = n - n / 2 + n / 2 % 8;
            n -= right[depth];
        }
        sum = eplb_p_block_sum(x, n);
        x += n;
        for (; depth > 0 && right[depth - 1] == 0; depth--) sum = eplb_p_add(left[depth - 1], sum);
        if (depth == 0) return sum;
        left[depth - 1] = sum;
        n = right[depth - 1];
        right[depth - 1] = 0;
    }
}

/* The key of an item, and back: the heaviest has the least, and none is that of one that is out. */
EPLB_P uint64_t eplb_p_vllm_key(uint64_t load) { return EPLB_P_WIDE_INFINITY - load; }

/* eplb_p_start_contest by the team, once the keys are there: at each turn the nodes above those that have been played. */
EPLB_P void eplb_p_start_contest_by_team(eplb_p_contest *c, int32_t n)
{
    int32_t played, i;

    eplb_p_team_wait();
    if (EPLB_P_TEAM == 1) eplb_p_start_contest(c, n);
    if (EPLB_P_TEAM > 1 && eplb_p_team_lane() == 0) c->n = n;
    if (EPLB_P_TEAM > 1) eplb_p_team_fill(c->winner + n, 0, 1, n);
    for (played = EPLB_P_TEAM > 1 ? n : 1; played > 1; played = (played + 1) / 2) {
        eplb_p_team_wait();
        for (i = (played + 1) / 2 + eplb_p_team_lane(); i < played; i += EPLB_P_TEAM) eplb_p_play(c, (size_t)i);
    }
    eplb_p_team_wait();
}

/* By the team, as all that follows but what is said to be lane 0's. */
EPLB_P void eplb_p_empty_packs(eplb_p_vllm *v, int32_t num_packs)
{
    int32_t pack;

    for (pack = eplb_p_team_lane(); pack < num_packs; pack += EPLB_P_TEAM) {
        v->packs.key[pack] = 0;
        v->fill[pack] = 0;
    }
    eplb_p_start_contest_by_team(&v->packs, num_packs);
}

/* The place of the next item, with room for so many in each pack. Lane 0's. */
EPLB_P int32_t eplb_p_take_place(eplb_p_vllm *v, int32_t room, uint64_t load)
{
    int32_t pack = v->packs.winner[1], place = pack * room + v->fill[pack]++;

    eplb_p_replay(&v->packs, v->fill[pack] < room ? eplb_p_wide_sum(v->packs.key[pack], load) : EPLB_P_LAST);
    return place;
}

/* Layer's load -> mlog2log, mlog_load. */
EPLB_P void eplb_p_vllm_groups(eplb_p_vllm *v, eplb_p_layer *l)
{
    const eplb_p_shape *shape = l->shape;
    int32_t size = shape->group_size, lane = eplb_p_team_lane(), group = 0, place = 0, i;

    EPLB_ASSERT(v->items.key != NULL);
    for (group = 0; group < shape->num_groups && shape->node_groups == 1; group++) eplb_p_order_group(l, group, group);
    if (shape->node_groups == 1) return;
    for (group = lane; group < shape->num_groups; group += EPLB_P_TEAM)
        v->items.key[group] =
            eplb_p_vllm_key(eplb_p_wide_bid(eplb_p_pairwise_sum(l->load + eplb_p_at(group, size, 0), size), 1));
    eplb_p_start_contest_by_team(&v->items, shape->num_groups);
    eplb_p_empty_packs(v, shape->num_nodes);
    for (i = 0; i < shape->num_groups; i++) {
        if (lane == 0) {
            group = v->items.winner[1];
            place = eplb_p_take_place(v, shape->node_groups, eplb_p_vllm_key(v->items.key[group]));
            eplb_p_replay(&v->items, EPLB_P_LAST);
        }
        eplb_p_order_group(l, eplb_p_team_first(group), eplb_p_team_first(place));
    }
}

/* count, item of a node: its experts in order, then those that get the spare slots. */
EPLB_P void eplb_p_vllm_replicate(eplb_p_vllm *v, const eplb_p_layer *l, const eplb_p_node_part *part)
{
    const float *load = l->mlog_load + part->first_expert;
    int32_t cap = l->shape->options.max_replicas, lane = eplb_p_team_lane(), i, e;

    for (e = lane; e < part->num_experts; e += EPLB_P_TEAM) {
        v->count[e] = 1;
        v->item[e] = e;
        v->items.key[e] = eplb_p_vllm_key(eplb_p_wide_bid(load[e], 1)); /* with a cap of 1 no slot is spare */
    }
    eplb_p_start_contest_by_team(&v->items, part->num_experts);
    for (i = part->num_experts; i < part->num_slots && lane == 0; i++) {
        e = v->items.winner[1];
        v->item[i] = e;
        v->count[e]++;
        eplb_p_replay(&v->items, eplb_p_at_cap(v->count[e], cap)
                                     ? EPLB_P_LAST
                                     : eplb_p_vllm_key(eplb_p_wide_bid(load[e], v->count[e])));
    }
    eplb_p_team_wait();
}

/* phy2log of a node: replicas to GPUs, heaviest first. Where each GPU has one, they stay as they come. */
EPLB_P void eplb_p_vllm_pack(eplb_p_vllm *v, const eplb_p_layer *l, const eplb_p_node_part *part)
{
    const float *load = l->mlog_load + part->first_expert;
    int32_t *slot = l->phy2log + part->first_slot, n = part->num_slots, room = part->gpu_slots, i, next, place;
    int32_t lane = eplb_p_team_lane();

    for (i = lane; i < part->num_experts; i += EPLB_P_TEAM)
        v->items.key[i] = eplb_p_vllm_key(eplb_p_wide_bid(load[i], v->count[i]));
    eplb_p_team_wait();
    for (i = part->num_experts + lane; i < n; i += EPLB_P_TEAM) v->items.key[i] = v->items.key[v->item[i]];
    eplb_p_start_contest_by_team(&v->items, n);
    eplb_p_empty_packs(v, part->num_gpus);
    for (i = 0; i < n && lane == 0; i++) {
        next = v->items.winner[1];
        place = eplb_p_take_place(v, room, eplb_p_vllm_key(v->items.key[next]));
        slot[room > 1 ? place : next] = l->mlog2log[part->first_expert + v->item[next]];
        eplb_p_replay(&v->items, EPLB_P_LAST);
    }
    eplb_p_team_wait();
}

/* phy2log of the layer. */
EPLB_P void eplb_p_plan_as_vllm(eplb_p_vllm *v, eplb_p_layer *l)
{
    int32_t node;

    eplb_p_vllm_groups(v, l);
    eplb_p_team_wait();
    for (node = 0; node < l->shape->num_nodes; node++) {
        eplb_p_node_part part = eplb_p_node_part_of(l, node);
        eplb_p_vllm_replicate(v, l, &part);
        eplb_p_vllm_pack(v, l, &part);
    }
}

/* ------------------------------------------------------------------------------------ improve

   A local search over replica counts and placement at once, in one node at a time. Two moves: swap, two slots
   on different GPUs change places; replace, the expert of a slot gives way to another, which takes a replica
   from the one and gives it to the other. (What the options call a move, an expert that comes to a GPU, is what such a
   move may bring about; eplb_p_moves counts those.)

   With one sample the objective is the heaviest GPU. A swap that leaves both its GPUs lighter than that is
   found in a line of all replicas by their loads; where there is none, a double is, two swaps of the same two GPUs at
   once; where there is none either, a replace. When all are exhausted a kick disturbs the plan, and what follows stays
   if the heaviest GPU has become lighter, or is taken back. Where slots are few all plans are tried instead, but for
   those that cannot be better. It ends as soon as the heaviest GPU is as light as the bound proves that it can be, but
   for 1 / EPLB_P_CLOSE, or where slots are few, for rounding.

   With many samples the objective is the sum over samples and GPUs of load squared, which carries the mean,
   the variance and the covariance of the loads: swaps of the two GPUs that differ most first, and replaces
   where swaps are exhausted, until neither lowers it.

   Loads are counted in grains, integers fine enough to tell any two plans apart that matter. Sums and
   products of grains are exact, so nothing here depends on the order of a sum or on rounding. The loads of T
   samples are vectors of T numbers: [E, T] of the experts, [node_gpus, T] of GPUs. */

typedef struct eplb_p_move {
    int32_t slot, other; /* slots that change places; other -1: an expert comes to slot */
    int32_t expert;      /* in place of the one that is there */
} eplb_p_move;

/* A limit on moves. */
typedef struct eplb_p_limit {
    int32_t kind, most; /* EPLB_P_LIMIT_*; how many may be under each */
    int32_t *count;     /* [num_counts], of pairs [G, num_counts]: moves by what they are counted under */
} eplb_p_limit;

/* What has moved since the plan in force, in the whole layer, against what is allowed and what it costs. Who sends an
   expert is chosen later, so all who may are counted as if they did: the limits hold whoever is chosen. */
typedef struct eplb_p_moves {
    const eplb_options *allowed;
    int32_t num_gpus, link_gpus;     /* on a node, whatever the policy */
    const int32_t *link_node, *node; /* [G] of each GPU, whatever the policy, and by it; NULL: nodes are alike */
    const int32_t *first_gpu;        /* [N + 1] of a node by the policy; likewise */
    int32_t words;                   /* in a row of bits */
    uint32_t *free_of;    /* [G, words] a bit for each expert that costs the GPU nothing: it held it, or nobody did */
    int32_t *holder;      /* [E] a slot of the first GPU that held the expert; next_holder leads to one on the next */
    int32_t *next_holder; /* [R] */
    int32_t *home;        /* [E] the node on which an expert stays, by the policy */
    int32_t num;          /* moves */
    int32_t num_counts;   /* of a limit, of pairs for each receiver: G, or N if that is more */
    int32_t num_limits;
    int32_t counts_apart; /* some limit is on GPUs or nodes */
    eplb_p_limit limit[EPLB_P_NUM_LIMITS];
    int64_t over;         /* by how much all counts exceed what is allowed */
    int64_t squares_cost; /* of a move, in what the sum of squares falls by */
    int64_t peak_cost;    /* and in what the peak of one sample does */
} eplb_p_moves;

/* Where one replica goes, in a plan that is tried. */
typedef struct eplb_p_choice {
    int32_t rank;       /* of its expert by load: 0 is the heaviest */
    int32_t count, nth; /* replicas of that expert in the plan, and which of them this is */
    int32_t share;      /* load of each */
    int32_t gpu;
} eplb_p_choice;

/* A plan that is tried: a row for each slot, as there are no more experts or GPUs. */
typedef struct eplb_p_trial {
    eplb_p_choice choice; /* where replica i goes */
    int32_t expert;       /* whose rank is i */
    int32_t load, used;   /* of GPU i: of the replicas that have come, and their slots */
} eplb_p_trial;

typedef struct eplb_p_search {
    /* The node, or the whole layer where moves are few. */
    int32_t num_gpus, num_slots, num_experts, num_samples;
    int32_t node_gpus;     /* GPUs that an expert may be on */
    eplb_p_gpus gpus;      /* their slots, all of which may be used */
    const int32_t *pace;   /* [num_gpus] how long a GPU takes for a grain of load; NULL: 1 */
    const uint8_t *pinned; /* [num_slots] not 0 for slots that keep what they have; NULL: none does */
    const int32_t *domain; /* [num_gpus] what is lost together, where an expert with two replicas is to survive a loss;
                              NULL: nothing need */
    int32_t usual_pace, least_pace; /* their mean, and the least */
    int32_t max_replicas;           /* 0: no cap */
    int32_t apart;                  /* no expert comes to be twice on a GPU while another is free of it */
    const int32_t *expert;          /* [num_experts] the node's experts */
    const int32_t *grains;          /* [E, T] load of each expert */

    /* Its plan. */
    int32_t *slot;       /* [num_slots] expert in each slot; part of the layer's phy2log */
    int32_t *count;      /* [E] replicas of each expert; the layer's logcnt */
    int32_t *share;      /* [E, T] load of one replica: grains / count */
    int32_t *more;       /* [E, T] load of one replica, were there one more */
    int32_t *gpu_load;   /* [num_gpus, T] */
    int32_t *gpu_total;  /* [num_gpus] its sum over the samples */
    uint32_t *holds;     /* [num_gpus, words] a bit for each expert: whether the GPU holds it */
    uint32_t *twice;     /* [num_gpus, words] and whether it does so in more than one slot */
    int32_t words;       /* in a row of E bits */
    int64_t steps;       /* left of EPLB_P_MOST_STEPS; lane 0's */
    int32_t is_unsure;   /* a team may have gone another way than one thread, whose plan it is to be */
    eplb_p_moves *moves; /* what has moved since the plan in force; NULL: nobody minds */
    int32_t nobody;      /* what an empty slot holds: an expert without load; -1: there are none */

    /* One sample: the bar to reach, and the way back. */
    int64_t close;     /* a heaviest GPU of no more than this is close enough to the bound */
    eplb_p_move *done; /* [slots] moves since the best plan so far, by which they are taken back */
    int32_t num_done;

    /* Lowering the peak: the replicas in a line, the heaviest first. */
    int32_t lined_up;    /* whether these hold, rather than those below, which take the same memory */
    int32_t *line;       /* [slots] load of the replica at each place */
    int32_t *line_slot;  /* [slots] the slot that it is in */
    int32_t *line_gpu;   /* [slots] and its GPU */
    int32_t *place;      /* [slots] where in the line the replica of a slot stands */
    eplb_p_trial *trial; /* [slots] where the line was, while all plans are tried; NULL: slots are not few */

    /* Lowering the squares: pairs of GPUs. */
    int64_t enough;      /* half of what the objective must fall by for a move to count; near the plan in force, what it
                            must fall by for each expert that is moved */
    int32_t *total;      /* [E] of share: its sum over the samples */
    int32_t *difference; /* [EPLB_P_PARTS, T] of two GPUs' loads */
    int64_t *relief;     /* [E] what one more replica of an expert takes off the GPUs that hold one, less what
                            it would put on a GPU without load */
    int32_t *arriving;   /* [E] its load, summed over the samples */
    int64_t *burden;     /* [E] what one less puts on them, were the GPU that loses it among them */
    float *between;      /* of each pair of GPUs: a bound on four times what a swap gains, halved: the square of how far
                            apart their loads are; 0 once the pair is settled, that is, was found to have no swap left
                            and has not changed since; near the plan in force what its best swap gains, once known,
                            though a move elsewhere may leave room for a better one */
    int32_t *far;        /* [num_gpus] the later GPU that is farthest apart from this one, the first on ties */
    float *promise;      /* [num_gpus] and how far: the most that is between this one and a later one */

    /* Where GPUs are not alike: slot, gpus, pace, start of a part. */
    int32_t *odd_slot, *odd_first_slot, *odd_gpu, *odd_pace, *odd_start, *odd_domain;
    uint8_t *odd_pinned;

    int32_t *aside;        /* [slots] a plan that is not in hand; NULL unless there are two */
    uint64_t *key, *spare; /* [slots] for sorting: the line before the search, slots of a GPU after it */

    /* Exact shares: the search itself is for them, and gpu_load is what they make of the plan. */
    int32_t exact;
    int32_t *start;      /* [slots] the plan before it */
    int32_t *tokens;     /* [slots, T] that each slot serves */
    int32_t *home;       /* [E] a slot of each expert */
    int32_t *next;       /* [slots] the next slot of the same expert, the first after the last */
    int32_t *reached;    /* [num_gpus] GPUs whose load a move changes, in the order in which it spreads */
    int32_t *is_reached; /* [num_gpus] */
    int32_t *was_load;   /* [num_gpus, T] of those, before it */
    int32_t *was_tokens; /* [slots, T] and of their slots */
    int32_t *stirred;    /* [E] experts with several replicas that one of those holds */
    int32_t *is_stirred; /* [E] */
    int32_t num_reached, num_stirred;

    eplb_p_overlay shared; /* what lowers the peak, keys included, what lowers the squares, and exact shares */
    size_t peak_bytes, squares_bytes, exact_bytes;
} eplb_p_search;

EPLB_P void eplb_p_carve_exact(eplb_p_arena *a, eplb_p_search *s, int32_t num_experts)
{
    s->exact = 1;
    s->tokens = EPLB_P_TAKE_ROWS(a, int32_t, s->num_slots, s->num_samples);
    s->home = EPLB_P_TAKE(a, int32_t, num_experts);
    s->next = EPLB_P_TAKE(a, int32_t, s->num_slots);
    s->reached = EPLB_P_TAKE(a, int32_t, s->num_gpus);
    s->is_reached = EPLB_P_TAKE(a, int32_t, s->num_gpus);
    s->was_load = EPLB_P_TAKE_ROWS(a, int32_t, s->num_gpus, s->num_samples);
    s->was_tokens = EPLB_P_TAKE_ROWS(a, int32_t, s->num_slots, s->num_samples);
    s->stirred = EPLB_P_TAKE(a, int32_t, num_experts);
    s->is_stirred = EPLB_P_TAKE(a, int32_t, num_experts);
}

EPLB_P void eplb_p_carve_odd(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_search *s)
{
    s->odd_slot = EPLB_P_TAKE(a, int32_t, s->num_slots);
    s->odd_first_slot = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)s->num_gpus + 1);
    s->odd_gpu = EPLB_P_TAKE(a, int32_t, s->num_slots);
    s->odd_pace = shape->speed ? EPLB_P_TAKE(a, int32_t, s->num_gpus) : NULL;
    s->odd_start = shape->exact ? EPLB_P_TAKE(a, int32_t, s->num_slots) : NULL;
    s->odd_pinned = shape->locked ? EPLB_P_TAKE(a, uint8_t, s->num_slots) : NULL;
    s->odd_domain = shape->survive != EPLB_SURVIVE_NONE ? EPLB_P_TAKE(a, int32_t, s->num_gpus) : NULL;
}

#define EPLB_P_FEW_SLOTS 16 /* of a node whose GPUs are alike, so that all plans are tried */

/* What lowers the peak, what lowers the squares and what is for exact shares are never in use at once. */
EPLB_P void eplb_p_carve_search(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_search *s)
{
    eplb_p_search none = EPLB_ZERO_INIT;
    eplb_p_overlay keys; /* from which line_slot is made first, and the rest of the line from that; or trials */

    *s = none;
    s->num_gpus = shape->node_gpus;
    s->node_gpus = shape->node_gpus;
    s->usual_pace = s->least_pace = 1;
    s->nobody = -1;
    s->num_slots = shape->node_slots;
    s->gpus = shape->gpus;
    s->num_experts = shape->node_experts;
    s->num_samples = eplb_p_kept_samples(shape->num_samples);
    s->words = (int32_t)eplb_p_bit_words(shape->num_experts);
    s->share = EPLB_P_TAKE_ROWS(a, int32_t, shape->num_experts, s->num_samples);
    s->more = EPLB_P_TAKE_ROWS(a, int32_t, shape->num_experts, s->num_samples);
    s->gpu_load = EPLB_P_TAKE_ROWS(a, int32_t, s->num_gpus, s->num_samples);
    s->gpu_total = EPLB_P_TAKE(a, int32_t, s->num_gpus);
    s->holds = EPLB_P_TAKE_ROWS(a, uint32_t, s->num_gpus, s->words);
    s->twice = EPLB_P_TAKE_ROWS(a, uint32_t, s->num_gpus, s->words);
    s->difference = EPLB_P_TAKE_ROWS(a, int32_t, EPLB_P_PARTS, s->num_samples);
    s->done = EPLB_P_TAKE(a, eplb_p_move, shape->node_slots);
    s->aside = shape->apart && shape->options.allow_duplicates ? EPLB_P_TAKE(a, int32_t, shape->node_slots) : NULL;
    if (shape->odd) eplb_p_carve_odd(a, shape, s);

    s->shared = eplb_p_open_overlay(a);
    s->line_slot = EPLB_P_TAKE(a, int32_t, shape->node_slots);
    keys = eplb_p_open_overlay(a);
    s->line = EPLB_P_TAKE(a, int32_t, shape->node_slots);
    s->line_gpu = EPLB_P_TAKE(a, int32_t, shape->node_slots);
    s->place = EPLB_P_TAKE(a, int32_t, shape->node_slots);
    (void)eplb_p_end_phase(a, &keys);
    s->key = EPLB_P_TAKE(a, uint64_t, shape->node_slots);
    s->spare = EPLB_P_TAKE(a, uint64_t, shape->node_slots);
    (void)eplb_p_end_phase(a, &keys);
    if (!shape->odd && shape->node_slots <= EPLB_P_FEW_SLOTS)
        s->trial = EPLB_P_TAKE(a, eplb_p_trial, shape->node_slots);
    (void)eplb_p_end_phase(a, &keys);
    eplb_p_close_overlay(a, &keys);
    s->peak_bytes = eplb_p_end_phase(a, &s->shared);

    s->total = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    s->relief = EPLB_P_TAKE(a, int64_t, shape->num_experts);
    s->arriving = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    s->burden = EPLB_P_TAKE(a, int64_t, shape->num_experts);
    s->between = EPLB_P_TAKE_ROWS(a, float, s->num_gpus, s->num_gpus / 2 + 1); /* of which G (G - 1) / 2 are used */
    s->far = EPLB_P_TAKE(a, int32_t, s->num_gpus);
    s->promise = EPLB_P_TAKE(a, float, s->num_gpus);
    s->squares_bytes = eplb_p_end_phase(a, &s->shared);

    if (shape->exact) eplb_p_carve_exact(a, s, shape->num_experts);
    s->exact_bytes = eplb_p_end_phase(a, &s->shared);
    eplb_p_close_overlay(a, &s->shared);
}

/* What a search looks at in one node, at most: pairs of slots, of GPUs, of a slot and an expert. So its time
   is bounded by the shape, whatever the loads; on loads as they come it ends far earlier. */
#define EPLB_P_MOST_STEPS(num_experts, num_slots) \
    (((int64_t)1 << 20) + 64 * (int64_t)(num_experts) * (int64_t)(num_slots))

#ifndef EPLB_P_ON_STEPS
#define EPLB_P_ON_STEPS(count) ((void)0) /* the tests count them */
#endif

EPLB_P void eplb_p_take_steps(eplb_p_search *s, int32_t rows, int32_t columns)
{
    int64_t steps = (int64_t)rows * columns;
    s->steps -= steps;
    EPLB_P_ON_STEPS(steps);
}

/* What the lanes of a team have taken. They do not know at once what another has found, and so take no fewer than one
   thread would: a plan for which they suffice is the same. */
EPLB_P_HD void eplb_p_take_steps_by_team(eplb_p_search *s, int64_t steps)
{
    steps = eplb_p_team_sum64(steps);
    if (eplb_p_team_lane() == 0) s->steps -= steps;
    EPLB_P_ON_STEPS(steps);
}

/* By the team. One thread is never in doubt. */
EPLB_P_HD void eplb_p_doubt(eplb_p_search *s, int32_t is_unsure)
{
    if (EPLB_P_TEAM == 1) return;
    is_unsure = eplb_p_team_most(is_unsure);
    if (is_unsure && eplb_p_team_lane() == 0) s->is_unsure = 1;
}

/* The lane whose incumbent is the best. */
EPLB_P_HD int32_t eplb_p_team_best(const eplb_p_incumbent *best)
{
    return eplb_p_team_least(-best->worth, best->index);
}

/* All lanes come to have that incumbent; they began with the same. */
EPLB_P_HD void eplb_p_team_share_best(eplb_p_incumbent *best)
{
    int64_t most = eplb_p_team_most64(best->worth);

    best->index = ~eplb_p_team_most(best->worth == most ? ~best->index : INT32_MIN);
    best->worth = most;
}

/* A move that one lane has found. */
EPLB_P_HD void eplb_p_team_share_move(eplb_p_move *move, int32_t lane)
{
    move->slot = eplb_p_team_from(move->slot, lane);
    move->other = eplb_p_team_from(move->other, lane);
    move->expert = eplb_p_team_from(move->expert, lane);
}

/* improve: state */

/* Which slots a GPU has, how many, and whose one is. */
EPLB_P_HD int32_t eplb_p_first_slot(const eplb_p_search *s, int32_t gpu) { return eplb_p_begin_of(&s->gpus, gpu); }

EPLB_P_HD int32_t eplb_p_end_slot(const eplb_p_search *s, int32_t gpu) { return eplb_p_first_slot(s, gpu + 1); }

EPLB_P_HD int32_t eplb_p_num_slots(const eplb_p_search *s, int32_t gpu)
{
    return eplb_p_end_slot(s, gpu) - eplb_p_first_slot(s, gpu);
}

EPLB_P_HD int32_t eplb_p_gpu_of(const eplb_p_search *s, int32_t slot) { return eplb_p_gpu_with(&s->gpus, slot); }

/* How long a GPU takes: its load, by its speed, in whole numbers. Where speeds differ grains are coarser, so that a
   layer's load at the slowest pace fits, squared too. */
EPLB_P_HD int32_t eplb_p_pace_of(const eplb_p_search *s, int32_t gpu) { return s->pace ? s->pace[gpu] : 1; }

EPLB_P int64_t eplb_p_time(const eplb_p_search *s, int32_t gpu, int32_t load)
{
    return (int64_t)load * eplb_p_pace_of(s, gpu);
}

EPLB_P int64_t eplb_p_time_of(const eplb_p_search *s, int32_t gpu) { return eplb_p_time(s, gpu, s->gpu_load[gpu]); }

/* The most load with which a GPU takes less time than this, which is above 0. */
EPLB_P int32_t eplb_p_load_before(const eplb_p_search *s, int32_t gpu, int64_t time)
{
    return (int32_t)((time - 1) / eplb_p_pace_of(s, gpu));
}

EPLB_P void eplb_p_set_pace(eplb_p_search *s, const int32_t *pace)
{
    int64_t sum = 0;
    int32_t gpu;

    s->pace = pace;
    s->least_pace = s->usual_pace = 1;
    if (!pace) return;
    EPLB_ASSERT(s->num_gpus > 0); /* a part of a layer has some */
    s->least_pace = pace[0];
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        sum += pace[gpu];
        if (pace[gpu] < s->least_pace) s->least_pace = pace[gpu];
    }
    s->usual_pace = (int32_t)(sum / s->num_gpus);
}

/* The time that all take where so much load is spread by speed. */
EPLB_P int64_t eplb_p_even_time(const eplb_p_search *s, int64_t load)
{
    int64_t speeds = 0;
    int32_t gpu;

    if (!s->pace) return load / s->num_gpus;
    for (gpu = 0; gpu < s->num_gpus; gpu++) speeds += ((int64_t)1 << 34) / s->pace[gpu];
    EPLB_ASSERT(speeds > 0); /* there is a GPU */
    return load * ((int64_t)1 << 34) / speeds;
}

/* How much more one GPU has to do than another, as load of GPUs between the two in pace: twice what would have to go
   from the one to the other for both to take the same time. */
EPLB_P int32_t eplb_p_apart(const eplb_p_search *s, int32_t a, int32_t a_load, int32_t b, int32_t b_load)
{
    int64_t more;

    if (!s->pace) return a_load - b_load;
    more = 2 * (eplb_p_time(s, a, a_load) - eplb_p_time(s, b, b_load));
    return (int32_t)(more / (s->pace[a] + s->pace[b]));
}

/* What a square of load of such GPUs counts for. */
EPLB_P int32_t eplb_p_pair_pace(const eplb_p_search *s, int32_t a, int32_t b)
{
    return s->pace ? (s->pace[a] + s->pace[b]) / 2 : 1;
}

EPLB_P_HD int32_t *eplb_p_share_of(const eplb_p_search *s, int32_t e)
{
    return s->share + (size_t)e * (size_t)s->num_samples;
}

EPLB_P_HD int32_t *eplb_p_more_of(const eplb_p_search *s, int32_t e)
{
    return s->more + (size_t)e * (size_t)s->num_samples;
}

EPLB_P_HD const int32_t *eplb_p_grains_of(const eplb_p_search *s, int32_t e)
{
    return s->grains + (size_t)e * (size_t)s->num_samples;
}

EPLB_P_HD int32_t *eplb_p_load_of(const eplb_p_search *s, int32_t gpu)
{
    return s->gpu_load + (size_t)gpu * (size_t)s->num_samples;
}

EPLB_P int64_t eplb_p_squares_of(const int32_t *a, int32_t n)
{
    int64_t sum = 0;
    int32_t t;
    for (t = 0; t < n; t++) sum += (int64_t)a[t] * a[t];
    return sum;
}

EPLB_P int32_t eplb_p_total(const int32_t *a, int32_t n)
{
    int32_t sum = 0, t;
    for (t = 0; t < n; t++) sum += a[t];
    return sum;
}

EPLB_P void eplb_p_add_to(int32_t *sum, const int32_t *a, int32_t n)
{
    int32_t t;
    for (t = 0; t < n; t++) sum[t] += a[t];
}

EPLB_P void eplb_p_share_out(eplb_p_search *s, int32_t e)
{
    int32_t *share = eplb_p_share_of(s, e), *more = eplb_p_more_of(s, e), t;
    for (t = 0; t < s->num_samples; t++) {
        share[t] = eplb_p_grains_of(s, e)[t] / s->count[e];
        more[t] = eplb_p_grains_of(s, e)[t] / (s->count[e] + 1);
    }
    if (!s->lined_up) s->total[e] = eplb_p_total(share, s->num_samples);
}

EPLB_P int eplb_p_holds(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    return eplb_p_has_bit(s->holds + (size_t)gpu * (size_t)s->words, e);
}

EPLB_P int eplb_p_holds_twice(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    return eplb_p_has_bit(s->twice + (size_t)gpu * (size_t)s->words, e);
}

/* holds, twice of a GPU whose slots have changed. */
EPLB_P void eplb_p_list_holdings(eplb_p_search *s, int32_t gpu)
{
    uint32_t *holds = s->holds + (size_t)gpu * (size_t)s->words;
    uint32_t *twice = s->twice + (size_t)gpu * (size_t)s->words;
    int32_t i;

    for (i = 0; i < s->words; i++) holds[i] = twice[i] = 0;
    for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++) {
        uint32_t word = (uint32_t)s->slot[i] / 32, bit = eplb_p_bit_of(s->slot[i]);
        twice[word] |= holds[word] & bit;
        holds[word] |= bit;
    }
}

/* gpu_load, holds, twice of a GPU whose slots, or whose experts' replicas, have changed. */
EPLB_P void eplb_p_weigh_gpu(eplb_p_search *s, int32_t gpu)
{
    int32_t *load = eplb_p_load_of(s, gpu), i, t;

    eplb_p_list_holdings(s, gpu);
    for (t = 0; t < s->num_samples; t++) load[t] = 0;
    for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++)
        eplb_p_add_to(load, eplb_p_share_of(s, s->slot[i]), s->num_samples);
    s->gpu_total[gpu] = eplb_p_total(load, s->num_samples);
}

/* The same of a GPU on which u has given way to v in one slot, and nothing else has changed. */
EPLB_P void eplb_p_give_way(eplb_p_search *s, int32_t gpu, int32_t u, int32_t v)
{
    const int32_t *less = eplb_p_share_of(s, u), *more = eplb_p_share_of(s, v);
    uint32_t *holds = s->holds + (size_t)gpu * (size_t)s->words;
    int32_t *load = eplb_p_load_of(s, gpu), n = s->num_samples, t;

    if (eplb_p_holds_twice(s, gpu, u) || eplb_p_holds(s, gpu, v)) {
        eplb_p_weigh_gpu(s, gpu);
        return;
    }
    holds[(uint32_t)u / 32] &= ~eplb_p_bit_of(u);
    holds[(uint32_t)v / 32] |= eplb_p_bit_of(v);
    for (t = 0; t < n; t++) load[t] += more[t] - less[t];
    s->gpu_total[gpu] = eplb_p_total(load, n);
}

/* The experts, and nobody, where slots are empty. */
EPLB_P int32_t eplb_p_num_held(const eplb_p_search *s) { return s->num_experts + (s->nobody >= 0); }

/* All of the plan's part anew, and the totals by which squares are lowered. By the team. */
EPLB_P void eplb_p_measure_node(eplb_p_search *s)
{
    int32_t lane = eplb_p_team_lane(), i;

    if (lane == 0) {
        eplb_p_enter_phase(&s->shared, s->squares_bytes);
        s->lined_up = 0;
    }
    eplb_p_team_wait();
    for (i = lane; i < eplb_p_num_held(s); i += EPLB_P_TEAM) eplb_p_share_out(s, s->expert[i]);
    eplb_p_team_wait();
    for (i = lane; i < s->num_gpus; i += EPLB_P_TEAM) eplb_p_weigh_gpu(s, i);
    eplb_p_team_wait();
}

EPLB_P int32_t eplb_p_copies(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    int32_t copies = 0, i;
    if (!eplb_p_holds_twice(s, gpu, e)) return eplb_p_holds(s, gpu, e);
    for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++) copies += s->slot[i] == e;
    return copies;
}

/* One sample: the GPU that takes longest, the first on ties, and the least time that one takes. By the team. */
EPLB_P int32_t eplb_p_heaviest_gpu(const eplb_p_search *s, int64_t *lightest)
{
    const int32_t *pace = s->pace, *load = s->gpu_load;
    eplb_p_incumbent heaviest = eplb_p_worth_more_than(-1);
    int64_t least = INT64_MAX, time;
    int32_t gpu, n = s->num_gpus;

    for (gpu = eplb_p_team_lane(); gpu < n; gpu += EPLB_P_TEAM) {
        time = pace ? (int64_t)load[gpu] * pace[gpu] : load[gpu];
        if (time < least) least = time;
        eplb_p_challenge(&heaviest, time, gpu);
    }
    *lightest = -eplb_p_team_most64(-least);
    eplb_p_team_share_best(&heaviest);
    return heaviest.index;
}

/* improve: moves from the plan in force */

EPLB_P int32_t eplb_p_node_at(const eplb_p_moves *m, int32_t gpu)
{
    return m->link_node ? m->link_node[gpu] : gpu / m->link_gpus;
}

/* Moves by what a limit counts them under, into this GPU. */
EPLB_P int32_t *eplb_p_counts_of(const eplb_p_moves *m, const eplb_p_limit *limit, int32_t gpu)
{
    return limit->count + (limit->kind == EPLB_P_LIMIT_PAIR ? eplb_p_at(gpu, m->num_counts, 0) : 0);
}

/* Of those who held the expert the first, from this one on, that is on a node; EPLB_P_NONE: on any. */
EPLB_P int32_t eplb_p_next_sender(const eplb_p_search *s, int32_t holder, int32_t node)
{
    const eplb_p_moves *m = s->moves;

    while (node != EPLB_P_NONE && holder >= 0 && eplb_p_node_at(m, eplb_p_gpu_of(s, holder)) != node)
        holder = m->next_holder[holder];
    return holder;
}

/* Where those are who may send an expert to a GPU: on its node, or if nobody there held it, on any. */
EPLB_P int32_t eplb_p_senders_node(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    int32_t node = eplb_p_node_at(s->moves, gpu);
    return eplb_p_next_sender(s, s->moves->holder[e], node) >= 0 ? node : EPLB_P_NONE;
}

/* What a limit counts a move under, for one of those who may send. They come by node, so that what stands for several
   stands in a row, and is counted once. */
EPLB_P int32_t eplb_p_under_of(const eplb_p_search *s, const eplb_p_limit *limit, int32_t holder, int32_t receiver)
{
    int32_t sender = eplb_p_gpu_of(s, holder);
    return eplb_p_counted_under(limit->kind, sender, receiver, eplb_p_node_at(s->moves, sender),
                                eplb_p_node_at(s->moves, receiver));
}

/* An expert comes to a GPU that did not have it, or it does not after all: each limit counts it once under each GPU or
   node, whoever of it may send. Returns by how much all counts then exceed what is allowed more than before. Lanes may
   count at once. */
EPLB_P int64_t eplb_p_count_move(const eplb_p_search *s, int32_t gpu, int32_t e, int32_t by)
{
    const eplb_p_moves *m = s->moves;
    int32_t node = m->num_limits > 0 ? eplb_p_senders_node(s, gpu, e) : EPLB_P_NONE, i, holder, last, under, before;
    int64_t over = 0;

    for (i = 0; i < m->num_limits; i++) {
        const eplb_p_limit *limit = &m->limit[i];
        last = EPLB_P_NONE;
        for (holder = eplb_p_next_sender(s, m->holder[e], node); holder >= 0;
             holder = eplb_p_next_sender(s, m->next_holder[holder], node)) {
            under = eplb_p_under_of(s, limit, holder, gpu);
            if (under == last) continue;
            last = under;
            before = eplb_p_team_count(eplb_p_counts_of(m, limit, gpu) + under, by);
            if (by > 0 ? before >= limit->most : before > limit->most) over += by;
        }
    }
    return over;
}

EPLB_P int eplb_p_is_free(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    return eplb_p_has_bit(s->moves->free_of + eplb_p_at(gpu, s->words, 0), e);
}

/* Whether an expert leaves a GPU, with slot i, that did not have it; whether one comes that did not have it. */
EPLB_P int eplb_p_undoes_move(const eplb_p_search *s, int32_t gpu, int32_t i)
{
    return !eplb_p_is_free(s, gpu, s->slot[i]) && !eplb_p_holds_twice(s, gpu, s->slot[i]);
}

EPLB_P int eplb_p_makes_move(const eplb_p_search *s, int32_t gpu, int32_t e)
{
    return !eplb_p_is_free(s, gpu, e) && !eplb_p_holds(s, gpu, e);
}

typedef struct eplb_p_change {
    int32_t gpu, expert;
    int32_t by; /* 1: the expert comes to the GPU, which did not have it; -1: it does not after all */
} eplb_p_change;

typedef struct eplb_p_changes { /* of one move, four at most */
    eplb_p_change of[4];
    int32_t num, come, go; /* and how many by 1, and by -1 */
} eplb_p_changes;

EPLB_P void eplb_p_list_change(eplb_p_changes *all, int32_t gpu, int32_t e, int32_t by)
{
    eplb_p_change *next = &all->of[all->num];

    next->gpu = gpu;
    next->expert = e;
    next->by = by;
    all->num += by != 0;
    all->come += by > 0;
    all->go += by < 0;
}

/* What changes when slot i holds e, and slot j, if there is one, what i holds; the slots are still as they are. */
EPLB_P eplb_p_changes eplb_p_changes_of(const eplb_p_search *s, int32_t i, int32_t e, int32_t j)
{
    int32_t gpu = eplb_p_gpu_of(s, i), other = j >= 0 ? eplb_p_gpu_of(s, j) : gpu;
    eplb_p_changes all = EPLB_ZERO_INIT;

    eplb_p_list_change(&all, gpu, s->slot[i], -eplb_p_undoes_move(s, gpu, i));
    eplb_p_list_change(&all, gpu, e, eplb_p_makes_move(s, gpu, e));
    if (j < 0) return all;
    eplb_p_list_change(&all, other, s->slot[j], -eplb_p_undoes_move(s, other, j));
    eplb_p_list_change(&all, other, s->slot[i], eplb_p_makes_move(s, other, s->slot[i]));
    return all;
}

/* A move is to be done, or was not after all; the slots are as they are without it. */
EPLB_P void eplb_p_count_changes(eplb_p_search *s, const eplb_p_move *move, int32_t by)
{
    int32_t i = move->slot, j = move->other, k;
    eplb_p_changes all = eplb_p_changes_of(s, i, j >= 0 ? s->slot[j] : move->expert, j);

    s->moves->num += by * (all.come - all.go);
    for (k = 0; k < all.num; k++)
        s->moves->over += eplb_p_count_move(s, all.of[k].gpu, all.of[k].expert, by * all.of[k].by);
}

/* Whether a limit counts a change under this, for this receiver. */
EPLB_P int eplb_p_is_counted(const eplb_p_search *s, const eplb_p_limit *limit, const eplb_p_change *change,
                             int32_t receiver, int32_t under)
{
    int32_t node = eplb_p_senders_node(s, change->gpu, change->expert);
    int32_t holder = eplb_p_next_sender(s, s->moves->holder[change->expert], node);

    if (limit->kind == EPLB_P_LIMIT_PAIR && change->gpu != receiver) return 0;
    while (holder >= 0 && eplb_p_under_of(s, limit, holder, change->gpu) != under)
        holder = eplb_p_next_sender(s, s->moves->next_holder[holder], node);
    return holder >= 0;
}

/* Whether a limit still holds wherever it counts one of the changes, by which an expert comes, once all are made. */
EPLB_P int eplb_p_fits_limit(const eplb_p_search *s, const eplb_p_limit *limit, const eplb_p_changes *all,
                             const eplb_p_change *change)
{
    const eplb_p_moves *m = s->moves;
    int32_t node = eplb_p_senders_node(s, change->gpu, change->expert), holder, under, count, k;

    for (holder = eplb_p_next_sender(s, m->holder[change->expert], node); holder >= 0;
         holder = eplb_p_next_sender(s, m->next_holder[holder], node)) {
        under = eplb_p_under_of(s, limit, holder, change->gpu);
        if (under == EPLB_P_NONE) continue;
        count = eplb_p_counts_of(m, limit, change->gpu)[under];
        if (count + all->come <= limit->most) continue;
        if (count + 1 - all->go > limit->most) return 0;
        for (k = 0; k < all->num; k++)
            if (eplb_p_is_counted(s, limit, &all->of[k], change->gpu, under)) count += all->of[k].by;
        if (count > limit->most) return 0;
    }
    return 1;
}

/* Whether all limits on GPUs and nodes hold, as they do now, if slot i holds e, and slot j, if there is one, what i
   holds. */
EPLB_P int eplb_p_fits_limits(const eplb_p_search *s, int32_t i, int32_t e, int32_t j)
{
    const eplb_p_moves *m = s->moves;
    eplb_p_changes all = eplb_p_changes_of(s, i, e, j);
    int32_t k, limit;

    EPLB_ASSERT(m->over == 0);
    for (k = 0; k < all.num; k++)
        for (limit = 0; limit < m->num_limits && all.of[k].by > 0; limit++)
            if (m->limit[limit].kind != EPLB_P_LIMIT_ALL && !eplb_p_fits_limit(s, &m->limit[limit], &all, &all.of[k]))
                return 0;
    return 1;
}

#define EPLB_P_FORBIDDEN INT32_MAX

/* By how many moves the plan would then be farther from the one in force; EPLB_P_FORBIDDEN: an expert would leave its
   node, or a limit would not hold. Of moves that do not lower the objective by themselves nobody asks whether they give
   back the price of others. */
EPLB_P int32_t eplb_p_moves_by(const eplb_p_search *s, int32_t i, int32_t e, int32_t j)
{
    const eplb_p_moves *m = s->moves;
    const eplb_options *o = m->allowed;
    int32_t gpu = eplb_p_gpu_of(s, i), other = j >= 0 ? eplb_p_gpu_of(s, j) : gpu, by;
    int32_t node = m->node ? m->node[gpu] : gpu / s->node_gpus;
    int32_t other_node = m->node ? m->node[other] : other / s->node_gpus;

    if ((e != s->nobody && m->home[e] != node) || other_node != node) return EPLB_P_FORBIDDEN;
    by = eplb_p_makes_move(s, gpu, e) - eplb_p_undoes_move(s, gpu, i);
    if (j >= 0) by += eplb_p_makes_move(s, other, s->slot[i]) - eplb_p_undoes_move(s, other, j);
    if (by > 0 && o->max_moves != 0 && m->num + by > o->max_moves) return EPLB_P_FORBIDDEN;
    if (m->counts_apart && !eplb_p_fits_limits(s, i, e, j)) return EPLB_P_FORBIDDEN;
    return by;
}

EPLB_P int32_t eplb_p_swap_moves(const eplb_p_search *s, int32_t i, int32_t j)
{
    return s->moves ? eplb_p_moves_by(s, i, s->slot[j], j) : 0;
}

EPLB_P int32_t eplb_p_replace_moves(const eplb_p_search *s, int32_t i, int32_t e)
{
    return s->moves ? eplb_p_moves_by(s, i, e, -1) : 0;
}

/* improve: what a move may do

   What forbids one stands here, but for the plan in force, its limits and homes, which stand before. A swap brings an expert to either
   slot. A replace takes a replica of the one away, and multiplies the other, which it puts into the slot. Where experts
   are apart, one is twice on a GPU only if it is on every GPU that it may be on. An empty slot may be anywhere, and
   filled. */

/* How many GPUs an expert may be on. */
EPLB_P int32_t eplb_p_gpus_for(const eplb_p_search *s, int32_t e)
{
    const eplb_p_moves *m = s->moves;

    if (!m || !m->first_gpu || e == s->nobody) return s->node_gpus;
    return m->first_gpu[m->home[e] + 1] - m->first_gpu[m->home[e]];
}

EPLB_P int eplb_p_is_pinned(const eplb_p_search *s, int32_t i) { return s->pinned && s->pinned[i]; }

/* Whether an expert survives a loss, or has one replica, once it has come to a GPU, and one of its slots on another has
   gone; -1: none has, or it has not. */
EPLB_P int eplb_p_survives(const eplb_p_search *s, int32_t e, int32_t come, int32_t gone)
{
    int32_t first = come >= 0 ? s->domain[come] : -1, gpu;

    if (e == s->nobody || s->count[e] + (come >= 0) - (gone >= 0) < 2) return 1;
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (!eplb_p_holds(s, gpu, e) || (gpu == gone && !eplb_p_holds_twice(s, gpu, e))) continue;
        if (first < 0) first = s->domain[gpu];
        if (s->domain[gpu] != first) return 1;
    }
    return 0;
}

/* The same of a replace: and no expert is left with one replica so that another may have three. */
EPLB_P int eplb_p_survive_replace(const eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t u = s->slot[i], gpu = eplb_p_gpu_of(s, i);

    if (u != s->nobody && s->count[u] == 2 && s->count[e] != 1) return 0;
    return eplb_p_survives(s, e, gpu, -1) && eplb_p_survives(s, u, -1, gpu);
}

EPLB_P int eplb_p_may_put(const eplb_p_search *s, int32_t i, int32_t e)
{
    return !s->apart || !eplb_p_holds(s, eplb_p_gpu_of(s, i), e) || s->count[e] >= eplb_p_gpus_for(s, e);
}

/* Whether the expert of slot `from` may come to slot i in a swap. It may be on every GPU already, and then leaves
   only one that has it twice. */
EPLB_P int eplb_p_may_come(const eplb_p_search *s, int32_t i, int32_t from)
{
    int32_t e = s->slot[from];

    if (eplb_p_is_pinned(s, from)) return 0;
    if (s->domain && !eplb_p_survives(s, e, eplb_p_gpu_of(s, i), eplb_p_gpu_of(s, from))) return 0;
    return !s->apart || !eplb_p_holds(s, eplb_p_gpu_of(s, i), e) || eplb_p_holds_twice(s, eplb_p_gpu_of(s, from), e)
           || e == s->nobody;
}

/* An expert with more replicas than there are GPUs is on every one of them, and must stay there. */
EPLB_P int eplb_p_may_take_away(const eplb_p_search *s, int32_t i)
{
    int32_t u = s->slot[i];
    if (eplb_p_is_pinned(s, i)) return 0;
    return s->count[u] > 1
           && (!s->apart || s->count[u] <= eplb_p_gpus_for(s, u) || u == s->nobody
               || eplb_p_holds_twice(s, eplb_p_gpu_of(s, i), u));
}

EPLB_P int eplb_p_may_multiply(const eplb_p_search *s, int32_t e)
{
    return !eplb_p_at_cap(s->count[e], s->max_replicas);
}

EPLB_P int eplb_p_may_swap(const eplb_p_search *s, int32_t i, int32_t j)
{
    return eplb_p_gpu_of(s, i) != eplb_p_gpu_of(s, j) && eplb_p_may_come(s, i, j) && eplb_p_may_come(s, j, i)
           && eplb_p_swap_moves(s, i, j) != EPLB_P_FORBIDDEN;
}

/* Whether e may come to slot i, whose expert may be taken away. */
EPLB_P int eplb_p_may_replace(const eplb_p_search *s, int32_t i, int32_t e)
{
    if (s->domain && !eplb_p_survive_replace(s, i, e)) return 0;
    return e != s->slot[i] && eplb_p_may_multiply(s, e) && eplb_p_may_put(s, i, e)
           && eplb_p_replace_moves(s, i, e) != EPLB_P_FORBIDDEN;
}

/* improve: moves, by the team */

/* One sample: the replicas of two slots have changed places. */
EPLB_P void eplb_p_swap_places(eplb_p_search *s, int32_t i, int32_t j)
{
    int32_t at_i = s->place[i], at_j = s->place[j];
    s->place[i] = at_j;
    s->place[j] = at_i;
    s->line_slot[at_i] = j;
    s->line_slot[at_j] = i;
    s->line_gpu[at_i] = eplb_p_gpu_of(s, j);
    s->line_gpu[at_j] = eplb_p_gpu_of(s, i);
}

/* The experts of two slots change places. */
EPLB_P void eplb_p_swap_slots(eplb_p_search *s, int32_t i, int32_t j)
{
    int32_t u = s->slot[i], v = s->slot[j], lane = eplb_p_team_lane(), k;

    eplb_p_team_wait();
    if (lane == 0) {
        s->slot[i] = v;
        s->slot[j] = u;
        if (s->lined_up) eplb_p_swap_places(s, i, j);
    }
    eplb_p_team_wait();
    for (k = lane; k < 2; k += EPLB_P_TEAM) eplb_p_give_way(s, eplb_p_gpu_of(s, k ? j : i), k ? v : u, k ? u : v);
    eplb_p_team_wait();
}

/* How many replicas from a place on, before it or behind it, belong on the other side of one of this load. */
EPLB_P int32_t eplb_p_run_in_line(const eplb_p_search *s, int32_t at, int32_t step, int32_t load)
{
    int32_t run = 0, lead, k;

    for (;; run += lead) {
        k = at + step * (1 + run + eplb_p_team_lane());
        lead = eplb_p_team_lead(!eplb_p_within(k, 0, s->num_slots - 1)
                                || (step < 0 ? s->line[k] >= load : s->line[k] <= load));
        if (lead < EPLB_P_TEAM) return run + lead;
    }
}

/* One sample: the load of a slot's replica has changed; it moves to where in the line it belongs, and those between move
   up, as many at once as there are lanes. */
EPLB_P void eplb_p_move_in_line(eplb_p_search *s, int32_t slot)
{
    int32_t at = s->place[slot], load = *eplb_p_share_of(s, s->slot[slot]), lane = eplb_p_team_lane();
    int32_t step = at > 0 && s->line[at - 1] < load ? -1 : 1, run = eplb_p_run_in_line(s, at, step, load), k;

    for (k = lane; k - lane < run; k += EPLB_P_TEAM) {
        int32_t to = at + step * k, from = k < run ? to + step : at;
        int32_t from_load = s->line[from], from_slot = s->line_slot[from], from_gpu = s->line_gpu[from];
        eplb_p_team_wait();
        if (k >= run) continue;
        s->line[to] = from_load;
        s->line_slot[to] = from_slot;
        s->line_gpu[to] = from_gpu;
        s->place[from_slot] = to;
    }
    eplb_p_team_wait();
    if (lane == 0) {
        at += step * run;
        s->line[at] = load;
        s->line_slot[at] = slot;
        s->line_gpu[at] = eplb_p_gpu_of(s, slot);
        s->place[slot] = at;
    }
    eplb_p_team_wait();
}

/* The same of all replicas of two experts on a GPU. */
EPLB_P void eplb_p_move_replicas(eplb_p_search *s, int32_t gpu, int32_t u, int32_t e)
{
    int32_t i;
    for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++)
        if (s->slot[i] == u || s->slot[i] == e) eplb_p_move_in_line(s, i);
}

/* Slot i holds e in place of its expert. */
EPLB_P void eplb_p_replace_expert(eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t u = s->slot[i], here = eplb_p_gpu_of(s, i), lane = eplb_p_team_lane(), gpu, last, lead;

    eplb_p_team_wait();
    if (lane == 0) {
        s->slot[i] = e;
        s->count[u]--;
        s->count[e]++;
        eplb_p_share_out(s, u);
        eplb_p_share_out(s, e);
    }
    eplb_p_team_wait();
    for (gpu = lane; gpu - lane < s->num_gpus; gpu += EPLB_P_TEAM) {
        int changes = gpu < s->num_gpus && (eplb_p_holds(s, gpu, u) || eplb_p_holds(s, gpu, e) || gpu == here);
        if (changes) eplb_p_weigh_gpu(s, gpu);
        eplb_p_team_wait();
        for (last = -1; s->lined_up && (lead = eplb_p_team_lead(changes && lane > last)) < EPLB_P_TEAM; last = lead)
            eplb_p_move_replicas(s, gpu - lane + lead, u, e);
    }
}

/* Whether there are steps left: as lane 0 has it. */
EPLB_P_HD int eplb_p_has_steps(const eplb_p_search *s)
{
    return eplb_p_team_first(eplb_p_team_lane() == 0 && s->steps > 0) != 0;
}

/* Whether one more move can be done, and taken back; with many samples none ever is. */
EPLB_P int eplb_p_may_go_on(const eplb_p_search *s)
{
    int is_lead = eplb_p_team_lane() == 0;
    return eplb_p_team_first(is_lead && s->steps > 0 && (s->num_samples > 1 || s->num_done < s->num_slots)) != 0;
}

EPLB_P void eplb_p_do_move(eplb_p_search *s, const eplb_p_move *move)
{
    if (s->num_samples == 1 && eplb_p_team_lane() == 0) {
        eplb_p_move *back = &s->done[s->num_done++];
        EPLB_ASSERT(s->num_done <= s->num_slots);
        *back = *move;
        back->expert = s->slot[move->slot];
    }
    if (s->moves) {
        eplb_p_team_wait(); /* all have asked whether it may be done */
        if (eplb_p_team_lane() == 0) eplb_p_count_changes(s, move, 1);
    }
    if (move->other >= 0) eplb_p_swap_slots(s, move->slot, move->other);
    else eplb_p_replace_expert(s, move->slot, move->expert);
}

/* The best plan so far is there again. Where moves count nobody goes back. */
EPLB_P void eplb_p_take_back(eplb_p_search *s)
{
    int32_t n;

    for (n = eplb_p_team_first(eplb_p_team_lane() == 0 ? s->num_done : 0); n > 0; n--) {
        eplb_p_move back = s->done[n - 1];
        if (back.other >= 0) eplb_p_swap_slots(s, back.slot, back.other);
        else eplb_p_replace_expert(s, back.slot, back.expert);
    }
}

EPLB_P int32_t eplb_p_less_share(const eplb_p_search *s, int32_t e, int32_t t)
{
    return eplb_p_grains_of(s, e)[t] / (s->count[e] - 1);
}

/* Load of a GPU in sample t once slot i holds e in place of u. */
EPLB_P int32_t eplb_p_load_after(const eplb_p_search *s, int32_t gpu, int32_t t, int32_t i, int32_t e, int32_t u_copies,
                                 int32_t e_copies)
{
    int32_t u = s->slot[i], here = gpu == eplb_p_gpu_of(s, i);
    /* What goes is taken away first, so that the sum stays within what a layer's grains fit. */
    return eplb_p_load_of(s, gpu)[t] - u_copies * eplb_p_share_of(s, u)[t] - e_copies * eplb_p_share_of(s, e)[t]
           + (u_copies - here) * eplb_p_less_share(s, u, t) + (e_copies + here) * eplb_p_more_of(s, e)[t];
}

/* improve: duplicates */

/* By what a swap of u on a heavier GPU with v on a lighter one lowers the objective, halved: the sum
   over samples of d (D - d), d = u - v, as in pack: refine. */
EPLB_P int64_t eplb_p_swap_squares(const int32_t *u, const int32_t *v, const int32_t *difference, int32_t n)
{
    int64_t sum = 0;
    int32_t t;
    for (t = 0; t < n; t++) {
        int32_t d = u[t] - v[t];
        sum += (int64_t)d * (difference[t] - d);
    }
    return sum;
}

/* difference [T] = load of a less load of b; of some lanes each writes its samples. */
EPLB_P_HD void eplb_p_take_difference_by_lanes(const eplb_p_search *s, int32_t a, int32_t b, int32_t *difference,
                                               int32_t lane, int32_t lanes)
{
    const int32_t *a_load = eplb_p_load_of(s, a), *b_load = eplb_p_load_of(s, b);
    int32_t n = s->num_samples, t;

    if (s->pace)
        for (t = lane; t < n; t += lanes) difference[t] = eplb_p_apart(s, a, a_load[t], b, b_load[t]);
    else
        for (t = lane; t < n; t += lanes) difference[t] = a_load[t] - b_load[t];
}

/* By one thread. Returns the sum of it. */
EPLB_P int32_t eplb_p_take_difference(eplb_p_search *s, int32_t a, int32_t b)
{
    eplb_p_take_difference_by_lanes(s, a, b, s->difference, 0, 1);
    return s->pace ? eplb_p_total(s->difference, s->num_samples) : s->gpu_total[a] - s->gpu_total[b];
}

/* Of the slots on GPUs free of slot i's expert, the one that may best change places with it; -1 when
   there is none. What stands there must not be on slot i's GPU already, unless it is twice on its own. */
EPLB_P int32_t eplb_p_find_part(eplb_p_search *s, int32_t i)
{
    int32_t gpu = eplb_p_gpu_of(s, i), best_j = -1, other, j;
    int64_t best = 0;

    for (other = 0; other < s->num_gpus; other++) {
        if (eplb_p_holds(s, other, s->slot[i])) continue;
        eplb_p_take_steps(s, 1, eplb_p_num_slots(s, other));
        (void)eplb_p_take_difference(s, gpu, other);
        for (j = eplb_p_first_slot(s, other); j < eplb_p_end_slot(s, other); j++) {
            int32_t x = s->slot[j];
            int64_t gain;
            if (eplb_p_holds(s, gpu, x) && !eplb_p_holds_twice(s, other, x)) continue;
            if (eplb_p_is_pinned(s, j) || (s->domain && !eplb_p_survives(s, x, gpu, other))) continue;
            gain = eplb_p_swap_squares(eplb_p_share_of(s, s->slot[i]), eplb_p_share_of(s, x), s->difference,
                                       s->num_samples);
            gain *= eplb_p_pair_pace(s, gpu, other);
            if (best_j >= 0 && gain <= best) continue;
            best = gain;
            best_j = j;
        }
    }
    return best_j;
}

/* From a slot on, the first whose GPU holds its expert twice, and which may change; num_slots: none. By the team. */
EPLB_P int32_t eplb_p_next_twice(const eplb_p_search *s, int32_t from)
{
    int32_t lane = eplb_p_team_lane(), lead, i;

    for (i = from + lane; i - lane < s->num_slots; i += EPLB_P_TEAM) {
        lead = eplb_p_team_lead(i < s->num_slots && eplb_p_holds_twice(s, eplb_p_gpu_of(s, i), s->slot[i])
                                && !eplb_p_is_pinned(s, i));
        if (lead < EPLB_P_TEAM) return i - lane + lead;
    }
    return s->num_slots;
}

/* By the team: no expert twice on a GPU while another GPU is free of it. Proof, where GPUs are alike and all may change:
   such a GPU holds either an expert that the first one lacks, or one of the first one's twice; so there is a partner, and
   changing places with it takes one from the number of duplicates, which ends the rounds. Elsewhere what has no partner
   stays. */
EPLB_P void eplb_p_part_duplicates(eplb_p_search *s)
{
    int32_t i, j, parted;

    do {
        parted = 0;
        for (i = -1; (i = eplb_p_next_twice(s, i + 1)) < s->num_slots;) {
            j = eplb_p_team_lane() == 0 ? eplb_p_find_part(s, i) : -1;
            j = eplb_p_team_first(j);
            if (j < 0) continue;
            eplb_p_swap_slots(s, i, j);
            parted = 1;
        }
    } while (parted);
}

/* improve: lowering the squares */

/* The frontier: pairs of GPUs that may have a swap left, by how far apart their loads are. No swap of theirs
   gains more than a quarter of that squared, at their pace, which is what makes both take the same time. */

EPLB_P_HD float *eplb_p_pair_at(const eplb_p_search *s, int32_t a, int32_t b) /* a < b */
{
    size_t before = (size_t)a * (size_t)(2 * s->num_gpus - a - 1) / 2; /* pairs in the rows of earlier GPUs */
    return s->between + before + (size_t)(b - a - 1);
}

/* far, promise of GPU a, with which the later GPU at this place makes the pair farthest apart. */
EPLB_P_HD void eplb_p_note_far(eplb_p_search *s, int32_t a, int32_t at)
{
    s->far[a] = a + 1 + at;
    s->promise[a] = a + 1 < s->num_gpus ? eplb_p_pair_at(s, a, a + 1)[at] : 0.0f;
}

EPLB_P void eplb_p_find_far(eplb_p_search *s, int32_t a)
{
    eplb_p_note_far(s, a, eplb_p_first_largest(eplb_p_pair_at(s, a, a + 1), s->num_gpus - a - 1));
}

/* Where the largest of numbers that are not negative stands, the first on ties. By the team. */
EPLB_P int32_t eplb_p_first_largest_by_team(const float *x, int32_t n)
{
    int32_t most = -1, at = 0, i; /* by their bits */

    if (EPLB_P_TEAM > 1) {
        for (i = eplb_p_team_lane(); i < n; i += EPLB_P_TEAM) {
            int32_t bits = (int32_t)eplb_p_bits_at(&x[i]);
            if (bits > most) at = i;
            if (bits > most) most = bits;
        }
        return eplb_p_team_first_most(most, at);
    }
    return eplb_p_first_largest(x, n);
}

EPLB_P void eplb_p_find_far_by_team(eplb_p_search *s, int32_t a)
{
    int32_t at = eplb_p_first_largest_by_team(eplb_p_pair_at(s, a, a + 1), s->num_gpus - a - 1);

    if (eplb_p_team_lane() == 0) {
        eplb_p_note_far(s, a, at);
        eplb_p_take_steps(s, 1, s->num_gpus);
    }
    eplb_p_team_wait();
}

/* The square of how far apart two loads are. */
EPLB_P int64_t eplb_p_squares_apart(const int32_t *a, const int32_t *b, int32_t n)
{
    int64_t squares = 0;
    int32_t t = 0;

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_squares sums = eplb_p_no_squares();
    for (; t + EPLB_P_VECTOR <= n; t += EPLB_P_VECTOR)
        sums = eplb_p_add_squares(sums, eplb_p_ints_sub(eplb_p_ints_at(a + t), eplb_p_ints_at(b + t)));
    squares = eplb_p_squares_sum(sums);
#endif
    for (; t < n; t++) squares += (int64_t)(a[t] - b[t]) * (a[t] - b[t]);
    return squares;
}

/* The same where GPUs differ in pace. */
EPLB_P int64_t eplb_p_paced_squares(const eplb_p_search *s, int32_t a, int32_t b)
{
    const int32_t *a_load = eplb_p_load_of(s, a), *b_load = eplb_p_load_of(s, b);
    int64_t squares = 0, apart;
    int32_t t;

    for (t = 0; t < s->num_samples; t++) {
        apart = eplb_p_apart(s, a, a_load[t], b, b_load[t]);
        squares += apart * apart;
    }
    return squares;
}

EPLB_P float eplb_p_measure_pair(const eplb_p_search *s, int32_t a, int32_t b)
{
    int64_t squares = s->pace ? eplb_p_paced_squares(s, a, b)
                              : eplb_p_squares_apart(eplb_p_load_of(s, a), eplb_p_load_of(s, b), s->num_samples);
    float apart = eplb_p_float_of(squares);

    if (s->pace) apart = eplb_p_mul(apart, eplb_p_float_of(eplb_p_pair_pace(s, a, b)));
    return *eplb_p_pair_at(s, a, b) = apart;
}

/* The load of a GPU has changed: every pair with it is open again. By the team, as what follows. */
EPLB_P void eplb_p_reopen(eplb_p_search *s, int32_t gpu)
{
    int32_t other;

    for (other = eplb_p_team_lane(); other < s->num_gpus; other += EPLB_P_TEAM) {
        int32_t is_later = other > gpu;
        float now;
        if (other == gpu) continue;
        now = eplb_p_measure_pair(s, is_later ? gpu : other, is_later ? other : gpu);
        if (is_later) continue;
        if (s->far[other] == gpu) {
            eplb_p_find_far(s, other);
        } else if (eplb_p_heavy_first(now, gpu) < eplb_p_heavy_first(s->promise[other], s->far[other])) {
            s->promise[other] = now;
            s->far[other] = gpu;
        }
    }
    eplb_p_team_wait();
    eplb_p_find_far_by_team(s, gpu);
}

/* Two GPUs have no swap left. The lane that looks at their pair next settles it. */
EPLB_P void eplb_p_settle(eplb_p_search *s, int32_t a, int32_t b)
{
    if (eplb_p_team_lane() == (b - a - 1) % EPLB_P_TEAM) *eplb_p_pair_at(s, a, b) = 0.0f;
    eplb_p_find_far_by_team(s, a);
}

EPLB_P void eplb_p_open_all(eplb_p_search *s)
{
    int32_t lane = eplb_p_team_lane(), a, b;

    if (lane == 0) eplb_p_take_steps(s, s->num_gpus, s->num_gpus);
    for (a = 0; a < s->num_gpus; a++)
        for (b = a + 1 + lane; b < s->num_gpus; b += EPLB_P_TEAM) (void)eplb_p_measure_pair(s, a, b);
    eplb_p_team_wait();
    for (a = lane; a < s->num_gpus; a += EPLB_P_TEAM) eplb_p_find_far(s, a);
    eplb_p_team_wait();
}

/* What is told roughly is off by less than one part in 2^16, however a compiler rounds and orders its sum: each of
   at most EPLB_MOST_SAMPLES terms by a few parts in 2^24, and so is their sum. This is four times as much. */
#define EPLB_P_ROUGHLY (1.0f + 1.0f / 16384.0f)

/* The square of D - 2 d, d = u - v, in one sample, and over all, roughly. */
EPLB_P_HD float eplb_p_rough_square(int32_t difference, int32_t u, int32_t v)
{
    float off = (float)(difference - (u - v) - (u - v));
    return eplb_p_mul(off, off);
}

EPLB_P float eplb_p_rough_squares(const int32_t *difference, const int32_t *u, const int32_t *v, int32_t n)
{
    float sum = 0.0f;
    int32_t t = 0;

#if defined(EPLB_P_SSE2) || defined(EPLB_P_NEON)
    eplb_p_vector sums = eplb_p_vector_of(0.0f);
    for (; t + EPLB_P_VECTOR <= n; t += EPLB_P_VECTOR) {
        eplb_p_ints d = eplb_p_ints_sub(eplb_p_ints_at(u + t), eplb_p_ints_at(v + t));
        eplb_p_ints rest = eplb_p_ints_sub(eplb_p_ints_sub(eplb_p_ints_at(difference + t), d), d);
        eplb_p_vector off = eplb_p_vector_of_ints(rest);
        sums = eplb_p_vector_add(sums, eplb_p_vector_mul(off, off));
    }
    sum = eplb_p_vector_sum(sums);
#endif
    for (; t < n; t++) sum = eplb_p_add(sum, eplb_p_rough_square(difference[t], u[t], v[t]));
    return sum;
}

/* The totals of vectors of n numbers are off by no more than this, if the sum of squares is no more than so much: the
   root of n times it (Cauchy and Schwarz). One of Heron's steps, which ends above, from a guess by half the exponent. */
EPLB_P int32_t eplb_p_total_within(float squares, int32_t n)
{
    float x = eplb_p_mul((float)n, squares), root;

    if (!(x > 0.0f)) return 0;
    root = eplb_p_from_bits((eplb_p_bits(x) >> 1) + 0x1FC00000u);
    root = eplb_p_mul(0.5f, eplb_p_add(root, eplb_p_div(x, root)));
    return root < 2147483648.0f ? (int32_t)root : INT32_MAX;
}

#define EPLB_P_SWAPS_AT_ONCE 16

typedef struct eplb_p_even_swaps { /* some of the swaps of two GPUs */
    int32_t num, slot[EPLB_P_SWAPS_AT_ONCE], other[EPLB_P_SWAPS_AT_ONCE];
} eplb_p_even_swaps;

/* The best swap of two GPUs so far. */
typedef struct eplb_p_pair_swap {
    int32_t a, b;
    int32_t first, other, slots, others; /* the first slot of each, and how many it has */
    int32_t pace;
    float squares;         /* of how far apart they are, and a little more */
    float limit;           /* of D - 2 d, for a swap to be better */
    eplb_p_incumbent best; /* its gain, halved, and which of the swaps it is: by slots of a, then of b */
    int32_t gives_back;    /* whether one was worth more than what it lowers, as it undoes moves that have a price */
} eplb_p_pair_swap;

EPLB_P_HD void eplb_p_limit_swap(eplb_p_pair_swap *p)
{
    p->limit = eplb_p_sub(p->squares, eplb_p_mul(4.0f, (float)p->best.worth));
}

/* Two GPUs, whose loads are so far apart, squared, before any swap whose gain, halved, is more than `most`. */
EPLB_P_HD_LARGE eplb_p_pair_swap eplb_p_open_pair(const eplb_p_search *s, int32_t a, int32_t b, float squares,
                                                  int64_t most)
{
    eplb_p_pair_swap p;

    p.a = a;
    p.b = b;
    p.first = eplb_p_first_slot(s, a);
    p.other = eplb_p_first_slot(s, b);
    p.slots = eplb_p_num_slots(s, a);
    p.others = eplb_p_num_slots(s, b);
    p.pace = 1;
    p.squares = squares;
    p.best = eplb_p_worth_more_than(most);
    p.gives_back = 0;
    if (s->pace) {
        p.pace = eplb_p_pair_pace(s, a, b);
        p.squares /= (float)p.pace;
        p.best.worth /= p.pace;
    }
    p.squares *= EPLB_P_ROUGHLY;
    eplb_p_limit_swap(&p);
    return p;
}

/* Swaps from the next one on whose D - 2 d, in total, is within so much of 0; next is then the one after them. Which
   these are nobody can foretell, so that a branch on it would be mispredicted. Returns whether there are any. */
EPLB_P int eplb_p_find_even_swaps(const eplb_p_search *s, const eplb_p_pair_swap *p, int32_t difference, int32_t within,
                                  eplb_p_move *next, eplb_p_even_swaps *some)
{
    uint32_t most = 2 * (uint32_t)within, least = (uint32_t)difference + (uint32_t)within, off;
    int32_t i = next->slot, j = next->other, last = p->first + p->slots, end = p->other + p->others, num = 0;

    for (; i < last; i++) {
        off = least - 2 * (uint32_t)s->total[s->slot[i]];
        for (; j < end && num < EPLB_P_SWAPS_AT_ONCE; j++) {
            some->slot[num] = i;
            some->other[num] = j;
            num += off + 2 * (uint32_t)s->total[s->slot[j]] <= most;
        }
        if (num == EPLB_P_SWAPS_AT_ONCE) break;
        j = p->other;
    }
    next->slot = i;
    next->other = j;
    some->num = num;
    return num > 0;
}

/* Whether that of slots i and j is the best by now, exactly. */
EPLB_P_APART int eplb_p_try_swap(eplb_p_search *s, eplb_p_pair_swap *p, const int32_t *difference, int32_t i, int32_t j)
{
    const int32_t *u = eplb_p_share_of(s, s->slot[i]), *v = eplb_p_share_of(s, s->slot[j]);
    int64_t gain = eplb_p_swap_squares(u, v, difference, s->num_samples);

    if (!eplb_p_beats(gain, p->best.worth) || !eplb_p_may_swap(s, i, j)) return 0;
    if (s->moves) {
        int64_t price = s->moves->squares_cost / p->pace * eplb_p_swap_moves(s, i, j) / 2;
        p->gives_back |= price < 0;
        gain -= price;
    }
    if (!eplb_p_challenge(&p->best, gain, (i - p->first) * p->others + j - p->other)) return 0;
    eplb_p_limit_swap(p);
    return 1;
}

/* By one thread, to which a swap is told roughly by its total first. */
EPLB_P_APART void eplb_p_try_swaps(eplb_p_search *s, eplb_p_pair_swap *p)
{
    const int32_t *difference = s->difference;
    float limit = p->limit;
    int32_t total = eplb_p_take_difference(s, p->a, p->b), n = s->num_samples, within, k;
    eplb_p_move next = EPLB_ZERO_INIT;
    eplb_p_even_swaps some = EPLB_ZERO_INIT;

    next.slot = p->first;
    next.other = p->other;
    within = eplb_p_total_within(limit, n);
    while (eplb_p_find_even_swaps(s, p, total, within, &next, &some)) {
        for (k = 0; k < some.num; k++) {
            int32_t i = some.slot[k], j = some.other[k];
            const int32_t *u = eplb_p_share_of(s, s->slot[i]), *v = eplb_p_share_of(s, s->slot[j]);
            if (eplb_p_rough_squares(difference, u, v, n) > limit || !eplb_p_try_swap(s, p, difference, i, j)) continue;
            limit = p->limit;
            within = eplb_p_total_within(limit, n);
        }
    }
}

/* How many swaps, and samples of each, a lane looks at at once, so that it waits for memory as for one. */
#define EPLB_P_SWAPS_BY_LANE   4
#define EPLB_P_SAMPLES_BY_LANE 4

/* Some lanes share the swaps of two GPUs. Which of the lane's from the k-th on may be better than the best so far,
   roughly: a bit for each. */
EPLB_P_HD_LARGE uint32_t eplb_p_find_near_swaps(const eplb_p_search *s, const eplb_p_pair_swap *p,
                                                const int32_t *difference, int32_t k, int32_t lanes)
{
    const int32_t *u[EPLB_P_SWAPS_BY_LANE], *v[EPLB_P_SWAPS_BY_LANE];
    float sum[EPLB_P_SWAPS_BY_LANE];
    int32_t n = s->num_samples, num = p->slots * p->others, c, t, r;
    uint32_t bits = 0;

    for (c = 0; c < EPLB_P_SWAPS_BY_LANE; c++) {
        int32_t at = k + c * lanes < num ? k + c * lanes : k;
        u[c] = eplb_p_share_of(s, s->slot[p->first + at / p->others]);
        v[c] = eplb_p_share_of(s, s->slot[p->other + at % p->others]);
        sum[c] = 0.0f;
    }
    for (t = 0; t + EPLB_P_SAMPLES_BY_LANE <= n; t += EPLB_P_SAMPLES_BY_LANE)
        for (c = 0; c < EPLB_P_SWAPS_BY_LANE; c++)
            for (r = t; r < t + EPLB_P_SAMPLES_BY_LANE; r++)
                sum[c] = eplb_p_add(sum[c], eplb_p_rough_square(difference[r], u[c][r], v[c][r]));
    for (; t < n; t++)
        for (c = 0; c < EPLB_P_SWAPS_BY_LANE; c++)
            sum[c] = eplb_p_add(sum[c], eplb_p_rough_square(difference[t], u[c][t], v[c][t]));
    for (c = 0; c < EPLB_P_SWAPS_BY_LANE; c++) bits |= (uint32_t)((k + c * lanes < num) & (sum[c] <= p->limit)) << c;
    return bits;
}

EPLB_P_HD_LARGE void eplb_p_try_swaps_by_team(eplb_p_search *s, eplb_p_pair_swap *p)
{
    int32_t lane = eplb_p_team_lane(), k, c;

    eplb_p_take_difference_by_lanes(s, p->a, p->b, s->difference, lane, EPLB_P_TEAM);
    eplb_p_team_wait();
    for (k = lane; k < p->slots * p->others; k += EPLB_P_SWAPS_BY_LANE * EPLB_P_TEAM) {
        uint32_t bits = eplb_p_find_near_swaps(s, p, s->difference, k, EPLB_P_TEAM);
        for (c = k; bits != 0; bits /= 2) {
            if (bits % 2 != 0)
                (void)eplb_p_try_swap(s, p, s->difference, p->first + c / p->others, p->other + c % p->others);
            c += EPLB_P_TEAM;
        }
    }
    eplb_p_team_share_best(&p->best);
}

/* The same by lane 0 alone, in the order of one thread: that passes by what lowers less than the best so far, though it
   may give back more, so that the order decides. */
EPLB_P_APART void eplb_p_try_swaps_in_order(eplb_p_search *s, eplb_p_pair_swap *p, int64_t most)
{
    int32_t num = eplb_p_team_lane() == 0 ? p->slots * p->others : 0, k;

    p->best = eplb_p_worth_more_than(most);
    for (k = 0; k < num; k++)
        (void)eplb_p_try_swap(s, p, s->difference, p->first + k / p->others, p->other + k % p->others);
    p->best.index = eplb_p_team_first(p->best.index);
    p->best.worth = eplb_p_team_from64(p->best.worth, 0);
}

/* Of the swaps of two GPUs, whose loads are so far apart, squared, the best whose gain, halved, is more than `most`, the
   first on ties; returns that gain, or `most` when there is none. It must bring D - 2 d closer to 0 than D is. Only what
   may be the best as far as that is told roughly is worked out exactly. By the team. */
EPLB_P int64_t eplb_p_find_pair_swap(eplb_p_search *s, int32_t a, int32_t b, float squares, int64_t most,
                                     eplb_p_move *best)
{
    eplb_p_pair_swap p = eplb_p_open_pair(s, a, b, squares, most);

    if (eplb_p_team_lane() == 0) eplb_p_take_steps(s, p.slots, p.others);
    if (EPLB_P_TEAM > 1) eplb_p_try_swaps_by_team(s, &p);
    else eplb_p_try_swaps(s, &p);
    if (EPLB_P_TEAM > 1 && eplb_p_team_most(p.gives_back)) eplb_p_try_swaps_in_order(s, &p, most);
    if (p.best.index == EPLB_P_NONE) return most;
    best->slot = p.first + p.best.index / p.others;
    best->other = p.other + p.best.index % p.others;
    best->expert = -1;
    return p.best.worth * p.pace > most ? p.best.worth * p.pace : most;
}

/* Each part of the team has rows of pairs of its own, and settles the one farthest apart in them, if its loads tell that
   it has no swap. One thread settles none but the farthest of all, and this one in its turn, unless the pair changes
   before, and then is open again anyway: so both make the same moves. A team has no price on moves, which could make
   more of a swap than its loads do. */
EPLB_P void eplb_p_settle_by_parts(eplb_p_search *s)
{
    int32_t lanes = EPLB_P_TEAM / EPLB_P_PARTS, lane = eplb_p_team_lane() % lanes, part = eplb_p_team_lane() / lanes;
    int32_t *difference = s->difference + eplb_p_at(part, s->num_samples, 0), a = part, num = 0, k;
    eplb_p_pair_swap p = EPLB_ZERO_INIT;
    int is_near = 0;

    for (k = part; k < s->num_gpus; k += EPLB_P_PARTS)
        if (s->promise[k] > s->promise[a]) a = k;
    if (part < s->num_gpus && s->promise[a] > 4.0f * (float)s->enough) {
        p = eplb_p_open_pair(s, a, s->far[a], s->promise[a], s->enough);
        num = p.slots * p.others;
        eplb_p_take_difference_by_lanes(s, p.a, p.b, difference, lane, lanes);
    }
    eplb_p_team_wait();
    for (k = lane; k < num && !is_near; k += EPLB_P_SWAPS_BY_LANE * lanes)
        is_near = eplb_p_find_near_swaps(s, &p, difference, k, lanes) != 0;
    is_near = eplb_p_team_any(is_near);
    if (lane == 0 && num > 0 && !is_near) {
        *eplb_p_pair_at(s, p.a, p.b) = 0.0f;
        eplb_p_find_far(s, p.a);
    }
    eplb_p_take_steps_by_team(s, lane == 0 && num > 0 ? num + s->num_gpus : 0);
    eplb_p_team_wait();
}

/* Do the best swap of two GPUs, if one helps. */
EPLB_P int eplb_p_swap_pair(eplb_p_search *s, int32_t a, int32_t b)
{
    eplb_p_move best = EPLB_ZERO_INIT;

    if (eplb_p_find_pair_swap(s, a, b, *eplb_p_pair_at(s, a, b), s->enough, &best) <= s->enough) return 0;
    eplb_p_do_move(s, &best);
    return 1;
}

/* Swaps, the two GPUs that are farthest apart first, until no two have one left. */
EPLB_P void eplb_p_swap_all(eplb_p_search *s)
{
    int64_t most = 2 * (int64_t)s->num_slots, swaps = 0;

    while (swaps < most && eplb_p_may_go_on(s)) {
        int32_t a = eplb_p_first_largest_by_team(s->promise, s->num_gpus), b = s->far[a];
        if (s->promise[a] <= 4.0f * (float)s->enough) return; /* no swap of theirs gains more than D^2 / 4 */
        if (eplb_p_swap_pair(s, a, b)) {
            eplb_p_reopen(s, a);
            eplb_p_reopen(s, b);
            swaps++;
        } else {
            eplb_p_settle(s, a, b);
            if (EPLB_P_TEAM > 1) eplb_p_settle_by_parts(s);
        }
    }
}

/* From the plan in force: the loads to come stray from those planned for, each expert's by itself, and what an expert's
   does adds to the expected sum of squares: the fewer its replicas are, the more. Plans made afresh, whose replicas
   go to the largest loads, keep that low by themselves. A load strays by half of what it is, or its square by a
   quarter. */
#define EPLB_P_STRAYING 4

EPLB_P int64_t eplb_p_risk(const eplb_p_search *s, int32_t e, int32_t count)
{
    const int32_t *grains = eplb_p_grains_of(s, e);
    int64_t sum = 0;
    int32_t t;

    for (t = 0; s->moves && t < s->num_samples; t++) sum += (int64_t)grains[t] * (grains[t] / count) / EPLB_P_STRAYING;
    return sum * s->usual_pace;
}

/* By what the objective falls when slot i holds e in place of its expert u, exactly. By the team. */
EPLB_P int64_t eplb_p_replace_squares(const eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t u = s->slot[i], gpu, t;
    int64_t fall = 0;

    for (gpu = eplb_p_team_lane(); gpu < s->num_gpus; gpu += EPLB_P_TEAM) {
        int32_t u_copies = eplb_p_copies(s, gpu, u), e_copies = eplb_p_copies(s, gpu, e);
        int64_t lower = 0;
        if (u_copies == 0 && e_copies == 0) continue;
        for (t = 0; t < s->num_samples; t++) {
            int64_t before = eplb_p_load_of(s, gpu)[t];
            int64_t after = eplb_p_load_after(s, gpu, t, i, e, u_copies, e_copies);
            lower += before * before - after * after;
        }
        fall += lower * eplb_p_pace_of(s, gpu);
    }
    return eplb_p_team_sum64(fall) + eplb_p_risk(s, u, s->count[u]) - eplb_p_risk(s, u, s->count[u] - 1)
           + eplb_p_risk(s, e, s->count[e]) - eplb_p_risk(s, e, s->count[e] + 1);
}

/* The load of one replica of e in sample t, were there one less; e has more than one. */
EPLB_P int64_t eplb_p_growth(const eplb_p_search *s, int32_t e, int32_t t)
{
    return (int64_t)eplb_p_less_share(s, e, t) - eplb_p_share_of(s, e)[t];
}

/* By what the square of a load grows with it. */
EPLB_P int64_t eplb_p_square_growth(int64_t load, int64_t more) { return more * (2 * load + more); }

/* relief, burden of each of the node's experts. */
EPLB_P void eplb_p_find_relief(eplb_p_search *s)
{
    int32_t lane = eplb_p_team_lane(), i, t;

    for (i = lane; i < eplb_p_num_held(s); i += EPLB_P_TEAM) {
        int32_t e = s->expert[i];
        const int32_t *more = eplb_p_more_of(s, e);
        s->relief[e] = eplb_p_risk(s, e, s->count[e]) - eplb_p_risk(s, e, s->count[e] + 1);
        s->burden[e] = s->count[e] == 1 ? 0 : eplb_p_risk(s, e, s->count[e] - 1) - eplb_p_risk(s, e, s->count[e]);
        s->relief[e] -= eplb_p_squares_of(more, s->num_samples) * s->least_pace;
        s->arriving[e] = eplb_p_total(more, s->num_samples);
    }
    eplb_p_team_wait();
    for (i = lane; i < s->num_slots; i += EPLB_P_TEAM) {
        int32_t e = s->slot[i], gpu = eplb_p_gpu_of(s, i), pace = eplb_p_pace_of(s, gpu);
        const int32_t *load = eplb_p_load_of(s, gpu);
        int64_t lower = 0, grown = 0;
        for (t = 0; t < s->num_samples; t++) {
            int64_t less = eplb_p_share_of(s, e)[t] - eplb_p_more_of(s, e)[t];
            lower -= eplb_p_square_growth(load[t], -less);
        }
        eplb_p_team_add(&s->relief[e], lower * pace);
        if (s->count[e] == 1) continue;
        for (t = 0; t < s->num_samples; t++) grown += eplb_p_square_growth(load[t], eplb_p_growth(s, e, t));
        eplb_p_team_add(&s->burden[e], grown * pace);
    }
    eplb_p_team_wait();
}

/* What taking the replica in slot i away costs: it lightens its GPU and weighs on the expert's others. By the team. */
EPLB_P int64_t eplb_p_removal_cost(const eplb_p_search *s, int32_t i)
{
    int32_t u = s->slot[i], gpu = eplb_p_gpu_of(s, i), t;
    const int32_t *load = eplb_p_load_of(s, gpu);
    int64_t cost = 0;

    for (t = eplb_p_team_lane(); t < s->num_samples; t += EPLB_P_TEAM) {
        cost -= eplb_p_square_growth(load[t], eplb_p_growth(s, u, t));
        cost += eplb_p_square_growth(load[t], -(int64_t)eplb_p_share_of(s, u)[t]);
    }
    return s->burden[u] + eplb_p_team_sum64(cost) * eplb_p_pace_of(s, gpu);
}

/* What a new replica of e costs in the place of the one in slot i, beyond what it would on a GPU without load, of the
   fastest. */
EPLB_P int64_t eplb_p_arrival_cost(const eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t gpu = eplb_p_gpu_of(s, i), n = s->num_samples, t, pace = eplb_p_pace_of(s, gpu);
    const int32_t *load = eplb_p_load_of(s, gpu), *u = eplb_p_share_of(s, s->slot[i]);
    const int32_t *more = eplb_p_more_of(s, e);
    int64_t cost = 0;

    for (t = 0; t < n; t++) cost += (int64_t)more[t] * (load[t] - u[t]);
    cost *= 2 * (int64_t)pace;
    return pace > s->least_pace ? cost + eplb_p_squares_of(more, n) * (pace - s->least_pace) : cost;
}

/* The least load, over the samples, of slot i's GPU without it; as time. By the team. */
EPLB_P int64_t eplb_p_least_left(const eplb_p_search *s, int32_t i)
{
    int32_t gpu = eplb_p_gpu_of(s, i), least = INT32_MAX, t;
    const int32_t *load = eplb_p_load_of(s, gpu), *u = eplb_p_share_of(s, s->slot[i]);

    for (t = eplb_p_team_lane(); t < s->num_samples; t += EPLB_P_TEAM)
        if (load[t] - u[t] < least) least = load[t] - u[t];
    return eplb_p_time(s, gpu, -eplb_p_team_most(-least));
}

/* The replace of slot i that gains most, if that is more than `most`, as if donor and receiver shared no GPU. By the
   team. */
EPLB_P eplb_p_incumbent eplb_p_find_receiver(eplb_p_search *s, int32_t i, int64_t most)
{
    int64_t removal = eplb_p_removal_cost(s, i), left = eplb_p_least_left(s, i), gain;
    eplb_p_incumbent best = eplb_p_worth_more_than(most);
    int32_t k;

    for (k = eplb_p_team_lane(); k < s->num_experts; k += EPLB_P_TEAM) {
        int32_t e = s->expert[k];
        if (!eplb_p_beats(s->relief[e] - removal - 2 * left * s->arriving[e], most)) continue;
        gain = s->relief[e] - removal - eplb_p_arrival_cost(s, i, e);
        if (!eplb_p_beats(gain, most) || !eplb_p_may_replace(s, i, e)) continue;
        eplb_p_challenge(&best, gain, k);
        most = gain;
    }
    eplb_p_team_share_best(&best);
    return best;
}

/* From a slot on, the first whose expert may be taken away; num_slots: none. By the team. */
EPLB_P int32_t eplb_p_next_to_give(const eplb_p_search *s, int32_t from)
{
    int32_t lane = eplb_p_team_lane(), lead, i;

    for (i = from + lane; i - lane < s->num_slots; i += EPLB_P_TEAM) {
        lead = eplb_p_team_lead(i < s->num_slots && eplb_p_may_take_away(s, i));
        if (lead < EPLB_P_TEAM) return i - lane + lead;
    }
    return s->num_slots;
}

/* The best replace that gains more than `most`; returns its gain, or `most` when there is none. For each slot that can
   give its replica away the receiver is chosen as if donor and receiver shared no GPU; those choices then compete by
   what they are. By the team. */
EPLB_P int64_t eplb_p_find_best_replace(eplb_p_search *s, int64_t most, eplb_p_move *best)
{
    int32_t is_lead = eplb_p_team_lane() == 0, i = -1, e;

    eplb_p_find_relief(s);
    while ((i = eplb_p_next_to_give(s, i + 1)) < s->num_slots && eplb_p_has_steps(s)) {
        eplb_p_incumbent receiver = eplb_p_find_receiver(s, i, most);
        int64_t gain;
        if (is_lead) eplb_p_take_steps(s, 1, s->num_experts);
        if (receiver.index == EPLB_P_NONE) continue;
        e = s->expert[receiver.index];
        if (is_lead)
            eplb_p_take_steps(s, s->count[s->slot[i]] + s->count[e] + 1,
                              s->num_gpus + eplb_p_num_slots(s, eplb_p_gpu_of(s, i)));
        gain = eplb_p_replace_squares(s, i, e);
        if (s->moves) gain -= s->moves->squares_cost * eplb_p_replace_moves(s, i, e);
        if (!eplb_p_beats(gain, most)) continue;
        most = gain;
        best->slot = i;
        best->other = -1;
        best->expert = e;
    }
    return most;
}

/* A move is done, and all GPUs whose loads it changes are open again. */
EPLB_P void eplb_p_do_and_reopen(eplb_p_search *s, const eplb_p_move *move)
{
    int32_t donor = s->slot[move->slot], gpu;

    eplb_p_team_wait(); /* all have read it */
    eplb_p_do_move(s, move);
    if (move->other >= 0) {
        eplb_p_reopen(s, eplb_p_gpu_of(s, move->slot));
        eplb_p_reopen(s, eplb_p_gpu_of(s, move->other));
        return;
    }
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        if (eplb_p_holds(s, gpu, donor) || eplb_p_holds(s, gpu, move->expert)) eplb_p_reopen(s, gpu);
}

/* Do the best replace, if one helps. */
EPLB_P int eplb_p_replace_best(eplb_p_search *s)
{
    eplb_p_move best = EPLB_ZERO_INIT;

    if (eplb_p_find_best_replace(s, 2 * s->enough, &best) <= 2 * s->enough) return 0;
    eplb_p_do_and_reopen(s, &best);
    return 1;
}

/* Swaps and replaces until no swap, and no replace that is seen, lowers the objective. */
EPLB_P void eplb_p_lower_squares(eplb_p_search *s)
{
    int32_t most = s->num_slots, moves;

    eplb_p_open_all(s);
    for (moves = 0; moves < most && eplb_p_may_go_on(s); moves++) {
        eplb_p_swap_all(s);
        if (!eplb_p_may_go_on(s) || !eplb_p_replace_best(s)) return;
    }
}

/* improve: lowering the peak

   The line, for 2 GPUs of 3 slots with loads 9 + 4 + 1 = 14 and 6 + 3 + 1 = 10:

     place      0   1   2   3   4   5
     line       9   6   4   3   1   1
     line_gpu   0   1   0   1   0   1

   GPU 0 is the heaviest. What may go for its replica at place p stands behind p, is lighter by d, and leaves
   the GPUs at 14 - d and 10 + d: for 9 that is 6 (11 and 13), for 4 it is 3 (13 and 11) or 1 (11 and 13). To stay
   below the best found so far, of peak b, d must be more than 14 - b and less than b - 10, the lightest GPU: a
   stretch of the line, whose begin is found by bisection, and which becomes the narrower the better b is. */

/* The replicas of the node's slots in order of their loads, equal ones by slot. By the team. */
EPLB_P void eplb_p_line_up_slots(eplb_p_search *s)
{
    int32_t n = s->num_slots, lane = eplb_p_team_lane(), at;

    if (lane == 0) eplb_p_enter_phase(&s->shared, s->peak_bytes);
    eplb_p_team_wait();
    for (at = lane; at < n; at += EPLB_P_TEAM) s->key[at] = eplb_p_key_of_two(~*eplb_p_share_of(s, s->slot[at]), at);
    eplb_p_team_wait();
    eplb_p_team_sort(s->key, s->spare, n);
    for (at = lane; at < n; at += EPLB_P_TEAM) s->line_slot[at] = eplb_p_index(s->key[at]);
    eplb_p_team_wait();
    for (at = lane; at < n; at += EPLB_P_TEAM) {
        int32_t slot = s->line_slot[at];
        s->line[at] = *eplb_p_share_of(s, s->slot[slot]);
        s->line_gpu[at] = eplb_p_gpu_of(s, slot);
        s->place[slot] = at;
    }
    if (lane == 0) s->lined_up = 1;
    eplb_p_team_wait();
}

/* The first place in the line whose replica is lighter than this. */
EPLB_P int32_t eplb_p_first_lighter(const eplb_p_search *s, int32_t load)
{
    int32_t first = 0, left = s->num_slots, half;

    for (; left > 1; left -= half) { /* as often whatever is found, which cannot be foretold */
        half = left / 2;
        first += s->line[first + half - 1] < load ? 0 : half;
    }
    return first + (s->line[first] >= load);
}

/* By how much the load of a GPU may grow, at most, so that it takes less time than the peak, given the least that one
   takes. */
EPLB_P int64_t eplb_p_most_room(const eplb_p_search *s, int64_t peak, int64_t lightest)
{
    return s->pace ? (peak - 1 - lightest) / s->least_pace : peak - 1 - lightest;
}

/* The first place from this one on, by so many at a time, that is out of reach of a replica of the heaviest GPU whatever
   has been found: so far may look who asks. */
EPLB_P int32_t eplb_p_end_of_reach(const eplb_p_search *s, int32_t heavy, int64_t lightest, int32_t u, int32_t at,
                                   int32_t each)
{
    int64_t room = eplb_p_most_room(s, eplb_p_time_of(s, heavy), lightest);
    while (at < s->num_slots && u - s->line[at] <= room) at += each;
    return at;
}

/* What is found that lowers the peak. */
typedef struct eplb_p_look {
    int64_t peak; /* of the GPUs that it touches, after it; where there is none, the heaviest's time */
    eplb_p_move move;
    int32_t is_unsure; /* the order in which one thread looks may decide */
} eplb_p_look;

/* What the lanes have found together: the best, as each has noted its own. */
EPLB_P_HD void eplb_p_team_share_look(eplb_p_look *look, const eplb_p_incumbent *found)
{
    int32_t lead = eplb_p_team_best(found);

    eplb_p_team_share_move(&look->move, lead);
    look->peak = eplb_p_team_from64(look->peak, lead);
    look->is_unsure = eplb_p_team_most(look->is_unsure);
}

/* Of the swaps of the heaviest GPU, of those that may be if it asks, the one that leaves the heavier of its two GPUs
   lightest, the first on ties by place in the list of the heaviest, then in the line. By the team, some lanes for each
   slot, or by lane 0 for all; they pass by what is as heavy, instead of looking for its end. */
EPLB_P eplb_p_look eplb_p_look_for_swap(eplb_p_search *s, int32_t heavy, int64_t lightest, int asks, int32_t lanes)
{
    const int32_t *pace = s->pace, *line = s->line, *gpu_load = s->gpu_load; /* copies stay in registers */
    int32_t load = gpu_load[heavy], n = s->num_slots, i, at, slots = eplb_p_num_slots(s, heavy);
    int32_t each = lanes > 1 ? eplb_p_team_each(slots) : 1, lane = eplb_p_team_lane(), end = eplb_p_end_slot(s, heavy);
    int32_t part = lane < lanes ? lane / slots : each;
    int64_t peak = eplb_p_time_of(s, heavy), after, other_after, steps = 0;
    eplb_p_incumbent found = eplb_p_worth_more_than(-peak); /* by its place in the list, and the other's in the line */
    eplb_p_look look = EPLB_ZERO_INIT;

    for (i = end - slots + lane % slots; i < end && part < each; i += lanes) {
        int64_t room = eplb_p_most_room(s, peak, lightest);
        int32_t u = line[s->place[i]], least = load - eplb_p_load_before(s, heavy, peak);
        int32_t first = EPLB_P_TEAM > 1 ? s->place[i] + 1 : eplb_p_first_lighter(s, u - least + 1);
        for (at = first + part; at < n && u - line[at] <= room; at += each) {
            int32_t d = u - line[at], other = s->line_gpu[at];
            after = load - d;
            other_after = (int64_t)gpu_load[other] + d; /* the heaviest itself may stand there */
            if (pace) {
                after *= pace[heavy];
                other_after *= pace[other];
            }
            if (other_after > after) after = other_after;
            if (!eplb_p_beats(-after, found.worth)) continue;
            if ((asks || EPLB_P_TEAM == 1) && !eplb_p_may_swap(s, i, s->line_slot[at])) continue;
            if (s->moves) {
                int64_t price = s->moves->peak_cost * eplb_p_swap_moves(s, i, s->line_slot[at]);
                look.is_unsure |= price < 0;
                after += price;
            }
            if (!eplb_p_challenge(&found, -after, (i - end + slots) * n + at)) continue;
            peak = after;
            look.move.slot = i;
            look.move.other = s->line_slot[at];
        }
        if (EPLB_P_TEAM > 1 && !asks) at = eplb_p_end_of_reach(s, heavy, lightest, u, at, each);
        steps += at - first + 1;
    }
    eplb_p_take_steps_by_team(s, steps);
    look.peak = peak;
    eplb_p_team_share_look(&look, &found);
    return look;
}

/* A team asks whether a swap may be when it has the best, which mostly may: asking takes longer than all else. But where
   moves count it asks as one thread does, of each. */
EPLB_P eplb_p_look eplb_p_find_swap(eplb_p_search *s, int32_t heavy, int64_t lightest)
{
    eplb_p_look look;

    if (EPLB_P_TEAM > 1 && !s->moves) {
        look = eplb_p_look_for_swap(s, heavy, lightest, 0, EPLB_P_TEAM);
        if (look.peak >= eplb_p_time_of(s, heavy) || eplb_p_may_swap(s, look.move.slot, look.move.other)) return look;
    }
    look = eplb_p_look_for_swap(s, heavy, lightest, 1, EPLB_P_TEAM);
    return EPLB_P_TEAM > 1 && look.is_unsure ? eplb_p_look_for_swap(s, heavy, lightest, 1, 1) : look;
}

EPLB_P int64_t eplb_p_time_after(const eplb_p_search *s, int32_t gpu, int32_t i, int32_t e)
{
    int32_t u_copies = eplb_p_copies(s, gpu, s->slot[i]), e_copies = eplb_p_copies(s, gpu, e);
    return eplb_p_time(s, gpu, eplb_p_load_after(s, gpu, 0, i, e, u_copies, e_copies));
}

/* The longest time among the GPUs that a replace touches: those that hold the expert of slot i, and
   those that hold e. Given up as soon as it reaches the limit, which it does soonest on the GPU that is
   heaviest now. */
EPLB_P int64_t eplb_p_peak_after_replace(const eplb_p_search *s, int32_t i, int32_t e, int32_t heavy, int64_t limit)
{
    int64_t peak = eplb_p_time_after(s, heavy, i, e), time;
    int32_t u = s->slot[i], gpu;

    for (gpu = 0; gpu < s->num_gpus && peak < limit; gpu++) {
        if (!eplb_p_holds(s, gpu, u) && !eplb_p_holds(s, gpu, e)) continue;
        time = eplb_p_time_after(s, gpu, i, e);
        if (time > peak) peak = time;
    }
    return peak;
}

/* The replace that leaves the heaviest GPU, and all that it touches, lightest: one that takes a replica from
   it, or gives one to an expert that is on it. By the team, each lane among the donors that are its own, or by lane 0 for
   all. A lane passes by what is no better than its own best; of what it finds so, one thread may have passed by some. */
EPLB_P eplb_p_look eplb_p_look_for_replace(eplb_p_search *s, int32_t heavy, int64_t lightest, int32_t lanes)
{
    int64_t peak = eplb_p_time_of(s, heavy), steps = 0;
    int32_t i, k, lane = eplb_p_team_lane();
    eplb_p_incumbent found = eplb_p_worth_more_than(-peak); /* by its slot */
    eplb_p_look look = EPLB_ZERO_INIT;

    look.move.other = -1;
    for (i = lane < lanes ? lane : s->num_slots; i < s->num_slots; i += lanes) {
        int32_t u = s->slot[i], gpu, on_heavy, candidates, left;
        int64_t grown;
        if (s->count[u] == 1) continue; /* as most */
        /* The donor's other replicas grow, and even on the lightest GPU must stay below the best. */
        grown = lightest + eplb_p_growth(s, u, 0) * s->least_pace;
        if (grown >= peak || !eplb_p_may_take_away(s, i)) continue;
        gpu = eplb_p_gpu_of(s, i);
        on_heavy = gpu == heavy;
        candidates = on_heavy ? s->num_experts : eplb_p_num_slots(s, heavy);
        left = s->gpu_load[gpu] - *eplb_p_share_of(s, u);
        steps += candidates;
        for (k = 0; k < candidates; k++) {
            int32_t e = on_heavy ? s->expert[k] : s->slot[eplb_p_first_slot(s, heavy) + k];
            int64_t here = eplb_p_time(s, gpu, left + *eplb_p_more_of(s, e)), after;
            if (here >= peak || !eplb_p_may_replace(s, i, e)) continue;
            steps += s->num_gpus;
            after = eplb_p_peak_after_replace(s, i, e, heavy, peak);
            if (s->moves) {
                int64_t price = s->moves->peak_cost * eplb_p_replace_moves(s, i, e);
                look.is_unsure |= price < 0;
                after += price;
            }
            if (!eplb_p_challenge(&found, -after, i)) continue;
            look.is_unsure |= after < here || after < grown;
            peak = after;
            look.move.slot = i;
            look.move.expert = e;
        }
    }
    eplb_p_take_steps_by_team(s, steps);
    look.peak = peak;
    eplb_p_team_share_look(&look, &found);
    return look;
}

EPLB_P eplb_p_look eplb_p_find_replace(eplb_p_search *s, int32_t heavy, int64_t lightest)
{
    eplb_p_look look = eplb_p_look_for_replace(s, heavy, lightest, EPLB_P_TEAM);
    return EPLB_P_TEAM > 1 && look.is_unsure ? eplb_p_look_for_replace(s, heavy, lightest, 1) : look;
}

/* improve: lowering the peak, doubles

   The heaviest GPU gives two replicas for two of another one. With S slots each has S (S - 1) / 2 pairs to give, where a
   swap has S replicas: so many more ways lead farther down than swaps do. The first double that takes enough will do: to
   look for the best takes longer than to do another. */

#define EPLB_P_FEW_IN_ROW 16 /* slots of a GPU, for inserting of which few steps do; with more it has swaps enough */
#define EPLB_P_TAKEN      4 /* a double takes a quarter, or more, of what is left between the heaviest GPU and the bar */

/* A GPU's replicas in the order of the line, by their places in it; and their loads. */
typedef struct eplb_p_gpu_row {
    int32_t num, load[EPLB_P_FEW_IN_ROW];
    uint64_t place[EPLB_P_FEW_IN_ROW];
} eplb_p_gpu_row;

EPLB_P void eplb_p_line_up_gpu(const eplb_p_search *s, int32_t gpu, eplb_p_gpu_row *row)
{
    int32_t i;

    row->num = 0;
    for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++)
        row->place[row->num++] = (uint64_t)s->place[i];
    (void)eplb_p_insert_few(row->place, row->num);
    for (i = 0; i < row->num; i++) row->load[i] = s->line[row->place[i]];
}

/* Whether the experts of slots i and j, and those of k and l, may change places: i and k are on one GPU. */
EPLB_P int eplb_p_may_swap_two(eplb_p_search *s, int32_t i, int32_t j, int32_t k, int32_t l)
{
    if (s->slot[i] == s->slot[k] || s->slot[j] == s->slot[l]) return 0;
    return eplb_p_may_swap(s, i, j) && eplb_p_may_swap(s, k, l);
}

/* The first double by which two of the row's replicas change places with those of slots j and l and are heavier, by
   `least` and up to `room` more. For each replica of the row only the lightest after it is looked at with which it is
   heavy enough. Returns whether there is one. */
EPLB_P int eplb_p_find_double_with(eplb_p_search *s, const eplb_p_gpu_row *row, int32_t j, int32_t l, int32_t least,
                                   int32_t room, eplb_p_move two[2])
{
    int32_t low = least + s->line[s->place[j]] + s->line[s->place[l]], x = 0, y = row->num - 1;
    uint32_t off, below;

    for (; x < y; x += 1 - (int32_t)below, y -= (int32_t)below) { /* a branch on it would be mispredicted */
        off = (uint32_t)(row->load[x] + row->load[y] - low);
        below = off >> 31;
        if (off > (uint32_t)room) continue;
        two[0].slot = s->line_slot[row->place[x]];
        two[0].other = j;
        two[1].slot = s->line_slot[row->place[y]];
        two[1].other = l;
        if (eplb_p_may_swap_two(s, two[0].slot, j, two[1].slot, l)) return 1;
    }
    return 0;
}

/* The first double with another GPU, by its two slots. Both GPUs are to take less time than the limit. */
EPLB_P int eplb_p_find_double(eplb_p_search *s, const eplb_p_gpu_row *row, int32_t other, int32_t least, int64_t limit,
                              eplb_p_move two[2], int64_t *steps)
{
    int32_t room = eplb_p_load_before(s, other, limit) - s->gpu_load[other] - least;
    int32_t end = room < 0 ? 0 : eplb_p_end_slot(s, other), j, l;

    for (j = eplb_p_first_slot(s, other); j < end; j++) {
        *steps += (int64_t)(end - j) * row->num;
        for (l = j + 1; l < end; l++)
            if (eplb_p_find_double_with(s, row, j, l, least, room, two)) return 1;
    }
    return 0;
}

/* Do the first double of the heaviest GPU that takes enough: by the other GPU, then by its two slots. Where moves count
   there is none: what two swaps may do together is not asked. By the team, each lane with a GPU of its own. */
EPLB_P int eplb_p_do_double(eplb_p_search *s, int32_t heavy)
{
    int32_t load = s->gpu_load[heavy], over = load - eplb_p_load_before(s, heavy, s->close + 1);
    int32_t least = 1 + over / EPLB_P_TAKEN, lane = eplb_p_team_lane(), other, k, lead;
    int64_t limit = eplb_p_time(s, heavy, load - least) + 1;
    eplb_p_gpu_row row;

    if (s->moves || eplb_p_num_slots(s, heavy) > EPLB_P_FEW_IN_ROW || s->num_done + 1 >= s->num_slots) return 0;
    eplb_p_line_up_gpu(s, heavy, &row);
    for (other = lane; other - lane < s->num_gpus && eplb_p_has_steps(s); other += EPLB_P_TEAM) {
        eplb_p_move two[2] = {EPLB_ZERO_INIT, EPLB_ZERO_INIT};
        int64_t steps = 0;
        int found = other < s->num_gpus && eplb_p_find_double(s, &row, other, least, limit, two, &steps);
        eplb_p_take_steps_by_team(s, steps);
        lead = eplb_p_team_lead(found);
        for (k = 0; k < 2 && lead < EPLB_P_TEAM; k++) {
            eplb_p_team_share_move(&two[k], lead);
            eplb_p_do_move(s, &two[k]);
        }
        if (lead < EPLB_P_TEAM) return 1;
    }
    return 0;
}

/* Do a move that makes the heaviest GPU lighter, if there is one. By the team. */
EPLB_P int eplb_p_lower_peak(eplb_p_search *s)
{
    int64_t lightest, peak;
    int32_t heavy = eplb_p_heaviest_gpu(s, &lightest);
    eplb_p_look look;

    peak = eplb_p_time_of(s, heavy);
    if (eplb_p_team_lane() == 0) eplb_p_take_steps(s, 1, s->num_gpus);
    if (peak <= s->close) return 0;
    look = eplb_p_find_swap(s, heavy, lightest);
    if (look.peak >= peak) {
        if (eplb_p_do_double(s, heavy)) return 1;
        look = eplb_p_find_replace(s, heavy, lightest);
        if (look.peak >= peak) return 0;
    }
    eplb_p_do_move(s, &look.move);
    return 1;
}

/* Moves until none makes the heaviest GPU lighter, or no more of them could be taken back. By the team. */
EPLB_P void eplb_p_lower_peaks(eplb_p_search *s)
{
    while (eplb_p_may_go_on(s) && eplb_p_lower_peak(s)) {}
}

/* From a slot on, the next one of its GPU whose expert has a replica to give; -1 when none has. */
EPLB_P int32_t eplb_p_next_donor(const eplb_p_search *s, int32_t i)
{
    int32_t gpu = eplb_p_gpu_of(s, i), first = eplb_p_first_slot(s, gpu), slots = eplb_p_num_slots(s, gpu), k;
    for (k = 0; k < slots; k++) {
        int32_t donor = first + (i - first + k) % slots;
        if (eplb_p_may_take_away(s, donor)) return donor;
    }
    return -1;
}

#define EPLB_P_SMALL 64 /* slots of a node in which a kick costs little */
#define EPLB_P_NEAR  16 /* places in the line: replicas so near weigh nearly the same */

/* A replica near in the line to that of slot i, on whichever side there is room. */
EPLB_P int32_t eplb_p_near(const eplb_p_search *s, int32_t i, uint32_t word)
{
    int32_t away = 1 + (int32_t)(word % EPLB_P_NEAR), at = s->place[i] + away;
    if (at >= s->num_slots) at = s->place[i] - away;
    return s->line_slot[at > 0 ? at : 0];
}

/* One to three random moves, the first on the heaviest GPU. Swaps are of replicas near in load, which disturb the plan
   no more than it takes to leave its valley. Every other kick is of replaces, where there are replicas to give: they
   take it out of dead ends such as two heavy experts with one replica too many. */
EPLB_P void eplb_p_kick(eplb_p_search *s, uint64_t seed, uint32_t row, int32_t kick)
{
    int64_t lightest;
    uint32_t slots = (uint32_t)s->num_slots, num_moves = 1 + (uint32_t)kick / 2 % 3, i, word[4];
    int32_t heavy = eplb_p_heaviest_gpu(s, &lightest), donor;
    eplb_p_move move = EPLB_ZERO_INIT;

    for (i = 0; i < num_moves && eplb_p_may_go_on(s); i++) {
        eplb_p_draw(seed, EPLB_P_DRAW_KICKS, row, kick, i, word);
        move.slot = (int32_t)(word[0] % slots);
        if (i == 0) move.slot = eplb_p_first_slot(s, heavy) + (int32_t)(word[0] % (uint32_t)eplb_p_num_slots(s, heavy));
        donor = kick % 2 == 1 ? eplb_p_next_donor(s, move.slot) : -1;
        if (donor >= 0) {
            move.slot = donor;
            move.other = -1;
            move.expert = s->slot[word[1] % slots];
            if (!eplb_p_may_replace(s, donor, move.expert)) continue;
        } else {
            move.other = eplb_p_near(s, move.slot, word[1]);
            if (!eplb_p_may_swap(s, move.slot, move.other)) continue;
        }
        eplb_p_do_move(s, &move);
    }
}

/* improve: few slots

   Branch and bound: where slots are few all plans are tried, replica by replica, the experts by their loads, the
   heaviest first, each with one replica first and then with more. What cannot end below the incumbent is not gone
   into; nor what is a plan that is tried anyway but for the names of its GPUs or replicas: replicas of an expert go
   to GPUs in ascending order, and of GPUs that are alike so far to the first. */

/* GPUs looked at, at most, whatever the effort: more of it may not lead to other kicks, and a worse plan. */
#define EPLB_P_MOST_TRIES 65536

/* The experts by rank, and nothing on any GPU. Returns the load of the experts, but for what dividing it may lose. */
EPLB_P int64_t eplb_p_clear_trial(eplb_p_search *s)
{
    int64_t sum = -(int64_t)s->num_slots;
    int32_t i, at;

    eplb_p_enter_phase(&s->shared, s->peak_bytes);
    for (i = 0; i < s->num_experts; i++) {
        int32_t e = s->expert[i];
        sum += s->grains[e];
        for (at = i; at > 0 && s->grains[s->trial[at - 1].expert] < s->grains[e]; at--)
            s->trial[at].expert = s->trial[at - 1].expert;
        s->trial[at].expert = e;
    }
    for (i = 0; i < s->num_gpus; i++) s->trial[i].load = s->trial[i].used = 0;
    return sum;
}

/* Choice i is for the first of so many replicas of its expert, before any GPU. */
EPLB_P void eplb_p_start_choice(eplb_p_search *s, int32_t i, int32_t count)
{
    eplb_p_choice *at = &s->trial[i].choice;

    at->count = count;
    at->nth = 0;
    at->share = s->grains[s->trial[at->rank].expert] / count;
    at->gpu = -1;
}

/* Choice i is for the replica after that of the one before: of the same expert, whose replicas go to GPUs in ascending
   order, or of the next. The last expert has a replica in each slot that is left. */
EPLB_P void eplb_p_open_choice(eplb_p_search *s, int32_t i)
{
    eplb_p_choice *at = &s->trial[i].choice;

    at->rank = 0;
    if (i > 0) {
        *at = s->trial[i - 1].choice;
        at->nth++;
        if (at->nth < at->count) {
            at->gpu -= !s->apart || at->count > s->num_gpus; /* it may be on the same GPU again */
            return;
        }
        at->rank++;
    }
    eplb_p_start_choice(s, i, at->rank + 1 < s->num_experts ? 1 : s->num_slots - i);
}

/* Whether choice i's replica may go to its GPU, and leaves that below the limit. */
EPLB_P int eplb_p_may_try(const eplb_p_search *s, int32_t i, int64_t limit)
{
    const eplb_p_choice *at = &s->trial[i].choice;
    int32_t gpu = at->gpu, before = at->nth > 0 ? s->trial[i - 1].choice.gpu : -1, other;

    if (s->trial[gpu].used == eplb_p_num_slots(s, gpu) || s->trial[gpu].load + at->share >= limit) return 0;
    if (s->apart && at->count > s->num_gpus) /* it must be on every GPU */
        return gpu <= before + 1 && s->num_gpus - gpu <= at->count - at->nth;
    for (other = before + 1; other < gpu; other++)
        if (s->trial[other].load == s->trial[gpu].load && s->trial[other].used == s->trial[gpu].used) return 0;
    return 1;
}

/* The next GPU for choice i's replica, of an expert's first one with more replicas when there is none; 0 at the end. */
EPLB_P int eplb_p_next_choice(eplb_p_search *s, int32_t i, int64_t limit)
{
    eplb_p_choice *at = &s->trial[i].choice;
    int32_t behind = s->num_experts - at->rank - 1; /* experts that still need a slot */

    while (!eplb_p_at_cap(at->count - 1, s->max_replicas)) {
        for (at->gpu++; at->gpu < s->num_gpus; at->gpu++) {
            eplb_p_take_steps(s, 1, 1);
            if (eplb_p_may_try(s, i, limit)) return 1;
        }
        if (at->nth > 0 || at->count + behind >= s->num_slots - i) return 0;
        eplb_p_start_choice(s, i, at->count + 1);
    }
    return 0;
}

/* Choice i's replica comes to its GPU, by 1, or leaves it, by -1. */
EPLB_P void eplb_p_put_choice(eplb_p_search *s, int32_t i, int32_t by)
{
    const eplb_p_choice *at = &s->trial[i].choice;
    s->trial[at->gpu].load += by * at->share;
    s->trial[at->gpu].used += by;
}

/* The most that a replica after choice i can weigh. */
EPLB_P int64_t eplb_p_most_after(const eplb_p_search *s, int32_t i)
{
    const eplb_p_choice *at = &s->trial[i].choice;
    int64_t share = at->nth + 1 < at->count ? at->share : 0;
    int64_t next = at->rank + 1 < s->num_experts ? s->grains[s->trial[at->rank + 1].expert] : 0;
    return share > next ? share : next;
}

/* Whether all load can be below the limit, once the replicas up to choice i are where they are: a GPU gets no more than
   its slots that are left can bring. */
EPLB_P int eplb_p_load_fits(const eplb_p_search *s, int32_t i, int64_t load, int64_t limit)
{
    int64_t most = eplb_p_most_after(s, i), fits;
    int32_t gpu;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        fits = s->trial[gpu].load + (eplb_p_num_slots(s, gpu) - s->trial[gpu].used) * most;
        load -= fits < limit ? fits : limit - 1;
    }
    return load <= 0;
}

/* The plan that is tried is the incumbent; only slot and count are right after it. Returns its peak. */
EPLB_P int64_t eplb_p_keep_trial(eplb_p_search *s)
{
    int32_t peak = 0, slot = 0, gpu, i;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (s->trial[gpu].load > peak) peak = s->trial[gpu].load;
        for (i = 0; i < s->num_slots; i++) {
            const eplb_p_choice *at = &s->trial[i].choice;
            if (at->gpu != gpu) continue;
            s->slot[slot] = s->trial[at->rank].expert;
            s->count[s->slot[slot++]] = at->count;
        }
    }
    return peak;
}

/* From an incumbent of this peak on. Whether all plans were tried, or the bar was reached. */
EPLB_P_APART int eplb_p_try_all(eplb_p_search *s, int64_t *best)
{
    int64_t load = eplb_p_clear_trial(s), left = s->steps > EPLB_P_MOST_TRIES ? s->steps - EPLB_P_MOST_TRIES : 0;
    int32_t i = -1, deeper = 1;

    while (*best > s->close) {
        if (deeper) eplb_p_open_choice(s, ++i);
        if (s->steps <= left) return 0;
        deeper = eplb_p_next_choice(s, i, *best);
        if (deeper) {
            eplb_p_put_choice(s, i, 1);
            deeper = i + 1 < s->num_slots && eplb_p_load_fits(s, i, load, *best);
            if (deeper) continue;
            if (i + 1 == s->num_slots) *best = eplb_p_keep_trial(s);
        } else if (--i < 0) {
            return 1;
        }
        eplb_p_put_choice(s, i, -1);
    }
    return 1;
}

/* improve: one sample */

EPLB_P int64_t eplb_p_peak(const eplb_p_search *s)
{
    int64_t lightest;
    return eplb_p_time_of(s, eplb_p_heaviest_gpu(s, &lightest));
}

/* What was done since the best plan stays if it has become better, and is taken back else. Returns the peak of
   the best plan. By the team. */
EPLB_P int64_t eplb_p_keep_better(eplb_p_search *s, int64_t best)
{
    int64_t peak = eplb_p_peak(s);

    if (peak >= best) eplb_p_take_back(s);
    if (eplb_p_team_lane() == 0) s->num_done = 0;
    eplb_p_team_wait();
    return peak < best ? peak : best;
}

/* Kicks of this much effort: the smaller the node, the less one costs, and the more of them there are. */
EPLB_P int32_t eplb_p_num_kicks(const eplb_p_search *s, int32_t effort)
{
    int32_t each = EPLB_P_SMALL / s->num_slots;
    return each < 2 ? effort - 1 : effort - 1 <= INT32_MAX / each ? (effort - 1) * each : INT32_MAX;
}

/* Kick 0 is none: it is the first local search. By the team. */
EPLB_P void eplb_p_improve_one_sample(eplb_p_search *s, int32_t effort, uint64_t seed, uint32_t row)
{
    int64_t best = eplb_p_peak(s);
    int32_t kicks = eplb_p_num_kicks(s, effort), kick, lane = eplb_p_team_lane();

    if (lane == 0) s->num_done = 0;
    eplb_p_team_wait();
    for (kick = 0; kick - 1 < kicks && eplb_p_has_steps(s) && best > s->close; kick++) {
        if (kick > 0) eplb_p_kick(s, seed, row, kick);
        eplb_p_lower_peaks(s);
        best = eplb_p_keep_better(s, best);
        if (kick > 0 || kicks == 0 || !s->trial || best <= s->close) continue;
        if (lane == 0 && eplb_p_try_all(s, &best)) kicks = 0;
        kicks = eplb_p_team_first(kicks);
        best = eplb_p_team_from64(best, 0);
        eplb_p_measure_node(s);
        eplb_p_line_up_slots(s);
    }
}

/* improve: exact shares

   What exact shares make of a plan is told by fair loads, those of the least squares: each expert with several
   replicas pours its tokens from slot to slot, until no pour changes anything. The objective is the sum of their
   squares over samples and GPUs, which falls with every pour, so that loads that are not quite fair yet tell no
   plan better than it is. A move stirs a few experts of the GPUs it touches, then those of the GPUs that these reach.

   Exact shares fit most plans to the samples so well that little is left to tell plans apart; the loads to come
   are what the plan is for, and they stray. So the samples stray twice as far from their mean as they do. */

#define EPLB_P_FAIR_ROUNDS 10 /* of pouring by all experts, before the first move */
#define EPLB_P_MOVE_ROUNDS 3  /* by those that a move stirs, and then by all, lest the next is credited with it */
#define EPLB_P_TRIES       3  /* of a slot's moves are worked out: those that promise most */
#define EPLB_P_SPREAD      8  /* GPUs over which what comes to one of them is taken to spread, in a promise */

EPLB_P int32_t *eplb_p_tokens_of(const eplb_p_search *s, int32_t slot)
{
    return s->tokens + eplb_p_at(slot, s->num_samples, 0);
}

/* The slot whose next one this is. */
EPLB_P int32_t eplb_p_slot_before(const eplb_p_search *s, int32_t slot)
{
    int32_t before = slot;
    while (s->next[before] != slot) before = s->next[before];
    return before;
}

EPLB_P void eplb_p_leave_ring(eplb_p_search *s, int32_t slot)
{
    int32_t before = eplb_p_slot_before(s, slot);
    s->next[before] = s->next[slot];
    s->home[s->slot[slot]] = before;
    s->next[slot] = slot;
}

/* Slot holds e, whose replicas `after` is one of. */
EPLB_P void eplb_p_join_ring(eplb_p_search *s, int32_t slot, int32_t e, int32_t after)
{
    s->slot[slot] = e;
    s->next[slot] = s->next[after];
    s->next[after] = slot;
}

EPLB_P void eplb_p_link_slots(eplb_p_search *s)
{
    int32_t i;

    for (i = 0; i < eplb_p_num_held(s); i++) s->home[s->expert[i]] = -1;
    for (i = 0; i < s->num_slots; i++) {
        int32_t e = s->slot[i];
        s->next[i] = i;
        if (s->home[e] >= 0) eplb_p_join_ring(s, i, e, s->home[e]);
        s->home[e] = i;
    }
}

/* difference [T] = load of each sample. Returns the sum of their squares in 2^30. */
EPLB_P uint64_t eplb_p_weigh_samples(eplb_p_search *s)
{
    uint64_t squares;
    int32_t i, t;

    for (t = 0; t < s->num_samples; t++) s->difference[t] = 0;
    for (i = 0; i < s->num_experts; i++)
        eplb_p_add_to(s->difference, eplb_p_grains_of(s, s->expert[i]), s->num_samples);
    squares = (uint64_t)eplb_p_squares_of(s->difference, s->num_samples);
    return squares >> 30;
}

/* The tokens of e, all in its home: of its grains g in a sample of which its part is p, by least squares over the samples,
   g - p / 2, or 0. That is half of p + 2 (g - p), which strays from p twice as far as g does. */
EPLB_P void eplb_p_stray(eplb_p_search *s, int32_t e, uint64_t squares)
{
    const int32_t *grains = eplb_p_grains_of(s, e), *sample = s->difference;
    int32_t *tokens = eplb_p_tokens_of(s, s->home[e]), t;
    uint64_t part = 0;

    for (t = 0; t < s->num_samples; t++) part += (uint64_t)((int64_t)grains[t] * sample[t]);
    part = squares > 0 ? part / squares : 0; /* in 2^-30 */
    for (t = 0; t < s->num_samples; t++) {
        int32_t half = (int32_t)(part * (uint64_t)sample[t] >> 31);
        tokens[t] = grains[t] > half ? grains[t] - half : 0;
    }
}

/* Tokens of an expert's slots on two GPUs, as even as they can make their loads. */
EPLB_P void eplb_p_pour_slots(eplb_p_search *s, int32_t i, int32_t j)
{
    int32_t *a = eplb_p_tokens_of(s, i), *b = eplb_p_tokens_of(s, j), t;
    int32_t a_gpu = eplb_p_gpu_of(s, i), b_gpu = eplb_p_gpu_of(s, j);
    int32_t *a_load = eplb_p_load_of(s, a_gpu), *b_load = eplb_p_load_of(s, b_gpu);

    if (a_gpu == b_gpu) return;
    for (t = 0; t < s->num_samples; t++) {
        int32_t more = eplb_p_apart(s, b_gpu, b_load[t], a_gpu, a_load[t]) / 2;
        if (more > b[t]) more = b[t];
        if (more < -a[t]) more = -a[t];
        a[t] += more;
        b[t] -= more;
        a_load[t] += more;
        b_load[t] -= more;
    }
}

EPLB_P void eplb_p_pour_expert(eplb_p_search *s, int32_t e)
{
    int32_t slot = s->home[e];

    eplb_p_take_steps(s, 1, s->count[e]);
    do {
        eplb_p_pour_slots(s, slot, s->next[slot]);
        slot = s->next[slot];
    } while (slot != s->home[e] && s->count[e] > 2);
}

EPLB_P void eplb_p_pour_all(eplb_p_search *s, int32_t rounds)
{
    int32_t i;
    for (; rounds > 0; rounds--)
        for (i = 0; i < s->num_experts; i++)
            if (s->count[s->expert[i]] > 1) eplb_p_pour_expert(s, s->expert[i]);
}

/* All that is in use for exact shares, of the plan that is in the slots. */
EPLB_P void eplb_p_open_exact(eplb_p_search *s)
{
    uint64_t squares;
    int32_t i, t;

    eplb_p_enter_phase(&s->shared, s->exact_bytes);
    eplb_p_link_slots(s);
    for (i = 0; i < s->num_slots; i++)
        for (t = 0; t < s->num_samples; t++) eplb_p_tokens_of(s, i)[t] = 0;
    squares = eplb_p_weigh_samples(s);
    for (i = 0; i < s->num_experts; i++) {
        eplb_p_stray(s, s->expert[i], squares);
        s->is_stirred[s->expert[i]] = 0; /* nobody is ever stirred */
    }
    for (i = 0; i < s->num_gpus; i++) {
        s->is_reached[i] = 0;
        for (t = 0; t < s->num_samples; t++) eplb_p_load_of(s, i)[t] = 0;
    }
    for (i = 0; i < s->num_slots; i++)
        eplb_p_add_to(eplb_p_load_of(s, eplb_p_gpu_of(s, i)), eplb_p_tokens_of(s, i), s->num_samples);
    s->num_reached = s->num_stirred = 0;
    eplb_p_pour_all(s, EPLB_P_FAIR_ROUNDS);
}

/* improve: exact shares, a move */

/* The load of a GPU and the tokens of its slots may change now, and can be had back. */
EPLB_P void eplb_p_touch_gpu(eplb_p_search *s, int32_t gpu)
{
    size_t at = eplb_p_at(gpu, s->num_samples, 0), first = eplb_p_at(eplb_p_first_slot(s, gpu), s->num_samples, 0);

    if (s->is_reached[gpu]) return;
    s->is_reached[gpu] = 1;
    s->reached[s->num_reached++] = gpu;
    eplb_p_copy_ids(s->was_load + at, s->gpu_load + at, s->num_samples);
    eplb_p_copy_ids(s->was_tokens + first, s->tokens + first, eplb_p_num_slots(s, gpu) * s->num_samples);
    eplb_p_take_steps(s, 1, eplb_p_num_slots(s, gpu));
}

/* Experts with several replicas on these of the GPUs reached, and all GPUs of theirs. */
EPLB_P void eplb_p_stir(eplb_p_search *s, int32_t first, int32_t end)
{
    int32_t from = s->num_stirred, at, i;

    for (at = first; at < end; at++) {
        int32_t gpu = s->reached[at];
        for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++) {
            int32_t e = s->slot[i];
            if (e == s->nobody || s->count[e] == 1 || s->is_stirred[e]) continue;
            s->is_stirred[e] = 1;
            s->stirred[s->num_stirred++] = e;
        }
    }
    for (at = from; at < s->num_stirred; at++) {
        int32_t slot = s->home[s->stirred[at]];
        do {
            eplb_p_touch_gpu(s, eplb_p_gpu_of(s, slot));
            slot = s->next[slot];
        } while (slot != s->home[s->stirred[at]]);
    }
}

/* What a move has changed spreads. Returns by what the objective falls. */
EPLB_P int64_t eplb_p_settle_loads(eplb_p_search *s)
{
    int32_t first = 0, round, at, t;
    int64_t fall = 0;

    for (round = 0; round < EPLB_P_MOVE_ROUNDS; round++) {
        int32_t end = s->num_reached;
        eplb_p_stir(s, first, end);
        first = end;
        for (at = 0; at < s->num_stirred; at++) eplb_p_pour_expert(s, s->stirred[at]);
    }
    for (at = 0; at < s->num_reached; at++) {
        size_t row = eplb_p_at(s->reached[at], s->num_samples, 0);
        int64_t lower = 0;
        for (t = 0; t < s->num_samples; t++) {
            int64_t was = s->was_load[row + (size_t)t], now = s->gpu_load[row + (size_t)t];
            lower += (was - now) * (was + now);
        }
        fall += lower * eplb_p_pace_of(s, s->reached[at]);
    }
    return fall;
}

/* Loads and tokens are what they were before the move. */
EPLB_P void eplb_p_unsettle_loads(eplb_p_search *s)
{
    int32_t at;

    for (at = 0; at < s->num_reached; at++) {
        int32_t gpu = s->reached[at], slots = eplb_p_num_slots(s, gpu);
        size_t row = eplb_p_at(gpu, s->num_samples, 0);
        size_t first = eplb_p_at(eplb_p_first_slot(s, gpu), s->num_samples, 0);
        eplb_p_copy_ids(s->gpu_load + row, s->was_load + row, s->num_samples);
        eplb_p_copy_ids(s->tokens + first, s->was_tokens + first, slots * s->num_samples);
    }
}

EPLB_P void eplb_p_end_move(eplb_p_search *s)
{
    int32_t at;
    for (at = 0; at < s->num_reached; at++) s->is_reached[s->reached[at]] = 0;
    for (at = 0; at < s->num_stirred; at++) s->is_stirred[s->stirred[at]] = 0;
    s->num_reached = s->num_stirred = 0;
}

/* Two slots' experts and tokens change places. */
EPLB_P void eplb_p_trade_slots(eplb_p_search *s, int32_t i, int32_t j)
{
    int32_t *a = eplb_p_tokens_of(s, i), *b = eplb_p_tokens_of(s, j), u = s->slot[i], v = s->slot[j], t;
    int32_t *a_load = eplb_p_load_of(s, eplb_p_gpu_of(s, i)), *b_load = eplb_p_load_of(s, eplb_p_gpu_of(s, j));
    int32_t before_i = eplb_p_slot_before(s, i), before_j = eplb_p_slot_before(s, j);

    eplb_p_leave_ring(s, i);
    eplb_p_leave_ring(s, j);
    s->slot[i] = v;
    s->slot[j] = u;
    if (before_i != i) eplb_p_join_ring(s, j, u, before_i);
    if (before_j != j) eplb_p_join_ring(s, i, v, before_j);
    s->home[u] = j;
    s->home[v] = i;
    for (t = 0; t < s->num_samples; t++) {
        int32_t more = b[t] - a[t];
        a[t] += more;
        b[t] -= more;
        a_load[t] += more;
        b_load[t] -= more;
    }
}

/* Slot i holds e; the next slot of the expert that it held serves its tokens. */
EPLB_P void eplb_p_give_slot(eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t u = s->slot[i], heir = s->next[i], t;
    int32_t *a = eplb_p_tokens_of(s, i), *b = eplb_p_tokens_of(s, heir);
    int32_t *a_load = eplb_p_load_of(s, eplb_p_gpu_of(s, i)), *b_load = eplb_p_load_of(s, eplb_p_gpu_of(s, heir));

    eplb_p_leave_ring(s, i);
    eplb_p_join_ring(s, i, e, s->home[e]);
    s->count[u]--;
    s->count[e]++;
    for (t = 0; t < s->num_samples; t++) {
        a_load[t] -= a[t];
        b_load[t] += a[t];
        b[t] += a[t];
        a[t] = 0;
    }
}

/* Slot i holds u again, whose replica `before` is. */
EPLB_P void eplb_p_take_slot_back(eplb_p_search *s, int32_t i, int32_t u, int32_t before)
{
    int32_t e = s->slot[i];
    eplb_p_leave_ring(s, i);
    eplb_p_join_ring(s, i, u, before);
    s->count[e]--;
    s->count[u]++;
}

/* Do a move if it lowers the objective by more than so much for each expert that it moves, beyond its price. */
EPLB_P int eplb_p_try_move(eplb_p_search *s, const eplb_p_move *move, int64_t least)
{
    int32_t i = move->slot, u = s->slot[i], is_swap = move->other >= 0, other = is_swap ? move->other : s->next[i];
    int32_t before = eplb_p_slot_before(s, i), better;
    int32_t moves = is_swap ? eplb_p_swap_moves(s, i, other) : eplb_p_replace_moves(s, i, move->expert);

    if (moves > 1) least *= moves;
    if (s->moves) least += s->moves->squares_cost / 4 * moves; /* tokens are halves, their squares quarters */
    if (s->moves) eplb_p_count_changes(s, move, 1);
    eplb_p_touch_gpu(s, eplb_p_gpu_of(s, i));
    eplb_p_touch_gpu(s, eplb_p_gpu_of(s, other));
    if (is_swap) eplb_p_trade_slots(s, i, other);
    else eplb_p_give_slot(s, i, move->expert);
    better = eplb_p_settle_loads(s) > least;
    if (better) {
        eplb_p_list_holdings(s, eplb_p_gpu_of(s, i));
        if (is_swap) eplb_p_list_holdings(s, eplb_p_gpu_of(s, other));
    } else {
        if (is_swap) eplb_p_trade_slots(s, i, other);
        else eplb_p_take_slot_back(s, i, u, before);
        eplb_p_unsettle_loads(s);
        if (s->moves) eplb_p_count_changes(s, move, -1);
    }
    eplb_p_end_move(s);
    if (better) eplb_p_pour_all(s, EPLB_P_MOVE_ROUNDS);
    return better != 0;
}

/* improve: exact shares, search */

/* The moves of a slot that promise most, the first on ties. */
typedef struct eplb_p_tries {
    eplb_p_move move[EPLB_P_TRIES];
    int64_t promise[EPLB_P_TRIES];
    int32_t num;
} eplb_p_tries;

EPLB_P void eplb_p_offer_move(eplb_p_tries *tries, int64_t promise, int32_t slot, int32_t other, int32_t expert)
{
    int32_t at = tries->num < EPLB_P_TRIES ? tries->num++ : EPLB_P_TRIES - 1;

    if (tries->num == EPLB_P_TRIES && at == EPLB_P_TRIES - 1 && !eplb_p_beats(promise, tries->promise[at])) return;
    for (; at > 0 && eplb_p_beats(promise, tries->promise[at - 1]); at--) {
        tries->promise[at] = tries->promise[at - 1];
        tries->move[at] = tries->move[at - 1];
    }
    tries->promise[at] = promise;
    tries->move[at].slot = slot;
    tries->move[at].other = other;
    tries->move[at].expert = expert;
}

/* By what the objective may fall when two slots change places, halved: as if what comes to a GPU spread over so
   many, but only the first of them were lighter for what goes. */
EPLB_P int64_t eplb_p_swap_promise(const eplb_p_search *s, int32_t i, int32_t j)
{
    const int32_t *u = eplb_p_tokens_of(s, i), *v = eplb_p_tokens_of(s, j);
    int32_t a = eplb_p_gpu_of(s, i), b = eplb_p_gpu_of(s, j), n = s->num_samples, t;
    const int32_t *load = eplb_p_load_of(s, a), *other = eplb_p_load_of(s, b);
    int64_t sum = 0;

    for (t = 0; t < n; t++) {
        int32_t d = u[t] - v[t];
        sum += (int64_t)d * (eplb_p_apart(s, a, load[t], b, other[t]) - d / EPLB_P_SPREAD);
    }
    return sum * eplb_p_pair_pace(s, a, b);
}

/* By what it may when slot i's tokens go to the next slot of its expert, where they stay as if nothing were shared
   there, and tokens of e come from its home. */
EPLB_P int64_t eplb_p_replace_promise(const eplb_p_search *s, int32_t i, int32_t e)
{
    int32_t heir = eplb_p_gpu_of(s, s->next[i]), home = eplb_p_gpu_of(s, s->home[e]), n = s->num_samples, t;
    int32_t here = eplb_p_gpu_of(s, i);
    const int32_t *load = eplb_p_load_of(s, here), *tokens = eplb_p_tokens_of(s, i);
    const int32_t *heir_load = eplb_p_load_of(s, heir), *home_load = eplb_p_load_of(s, home);
    const int32_t *arriving = eplb_p_tokens_of(s, s->home[e]);
    int64_t sum = 0;

    for (t = 0; t < n; t++) {
        int32_t y = tokens[t], gap = eplb_p_apart(s, home, home_load[t], here, load[t] - y), p;
        sum += (int64_t)y * (eplb_p_apart(s, here, load[t], heir, heir_load[t]) - y);
        if (home == heir) gap += y;
        p = gap / 2 < arriving[t] ? gap / 2 : arriving[t];
        if (p > 0) sum += (int64_t)p * (gap - p);
    }
    return sum * s->usual_pace;
}

EPLB_P eplb_p_tries eplb_p_find_tries(eplb_p_search *s, int32_t i, int64_t least)
{
    eplb_p_tries tries = EPLB_ZERO_INIT;
    int32_t j, k;
    int64_t promise;

    eplb_p_take_steps(s, 1, s->num_slots);
    for (j = 0; j < s->num_slots; j++) {
        if (s->slot[i] == s->slot[j] || !eplb_p_may_swap(s, i, j)) continue;
        promise = eplb_p_swap_promise(s, i, j);
        if (promise > least) eplb_p_offer_move(&tries, promise, i, j, -1);
    }
    if (!eplb_p_may_take_away(s, i)) return tries;
    eplb_p_take_steps(s, 1, s->num_experts);
    for (k = 0; k < s->num_experts; k++) {
        if (!eplb_p_may_replace(s, i, s->expert[k])) continue;
        promise = eplb_p_replace_promise(s, i, s->expert[k]);
        if (promise > least) eplb_p_offer_move(&tries, promise, i, -1, s->expert[k]);
    }
    return tries;
}

EPLB_P int32_t eplb_p_most_count(const eplb_p_search *s)
{
    int32_t most = 0, i;
    for (i = 0; i < s->num_experts; i++)
        if (s->count[s->expert[i]] > most) most = s->count[s->expert[i]];
    return most;
}

/* Whether a move of this slot lowers the objective by more than so much, and has been done. */
EPLB_P int eplb_p_move_slot(eplb_p_search *s, int32_t slot, int64_t least)
{
    eplb_p_tries tries = eplb_p_find_tries(s, slot, least / 2);
    int32_t k;

    for (k = 0; k < tries.num; k++)
        if (eplb_p_try_move(s, &tries.move[k], least)) return 1;
    return 0;
}

/* What the objective of exact shares must fall by for each expert that a move moves: a quarter of what counts by equal
   shares, as they leave less to be gained; and of tokens that are halves the squares are quarters. */
EPLB_P int64_t eplb_p_exact_enough(const eplb_p_search *s) { return s->enough / 16; }

/* Moves of one slot after the other, until none of any slot is found that lowers the objective. What lowers the
   squares of equal shares is a good start, if it gives no expert more replicas than some have to begin with. */
EPLB_P void eplb_p_improve_exact(eplb_p_search *s)
{
    int32_t max_replicas = s->max_replicas, slot = 0, idle = 0;

    eplb_p_copy_ids(s->start, s->slot, s->num_slots);
    s->num_done = 0;
    s->max_replicas = eplb_p_most_count(s);
    eplb_p_lower_squares(s);
    s->max_replicas = max_replicas;
    eplb_p_open_exact(s);
    while (idle < s->num_slots && s->steps > 0) {
        idle = eplb_p_move_slot(s, slot, eplb_p_exact_enough(s)) ? 0 : idle + 1;
        slot = slot + 1 < s->num_slots ? slot + 1 : 0;
    }
}

/* improve: node and layer */

/* What the search lowers. */
EPLB_P int64_t eplb_p_objective(const eplb_p_search *s)
{
    int64_t sum = 0;
    int32_t gpu;

    if (s->num_samples == 1) return eplb_p_peak(s);
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        sum += eplb_p_squares_of(eplb_p_load_of(s, gpu), s->num_samples) * eplb_p_pace_of(s, gpu);
    return sum;
}

/* From the plan in the node's slots to one that is never worse, but for duplicates that have to go. Many samples
   get no kicks: those lower the objective, but not the loads to come. By the team. */
EPLB_P void eplb_p_search_node(eplb_p_search *s, const eplb_options *o, uint32_t row)
{
    eplb_p_measure_node(s);
    if (s->num_samples == 1 && !s->exact) eplb_p_line_up_slots(s);
    if (s->apart) eplb_p_part_duplicates(s);
    if (eplb_p_team_lane() == 0) s->steps = EPLB_P_MOST_STEPS(s->num_experts, s->num_slots);
    if (s->exact) eplb_p_improve_exact(s);
    else if (s->num_samples == 1) eplb_p_improve_one_sample(s, o->effort, o->seed, row);
    else eplb_p_lower_squares(s);
    if (s->apart && s->gpus.first_slot) eplb_p_part_duplicates(s); /* what had no partner may have found one */
    eplb_p_doubt(s, !eplb_p_has_steps(s));
}

/* The plan in the slots and the one put aside change places; only slot and count are right after it. */
EPLB_P void eplb_p_exchange_plans(eplb_p_search *s)
{
    int32_t i;

    for (i = 0; i < s->num_experts; i++) s->count[s->expert[i]] = 0;
    for (i = 0; i < s->num_slots; i++) {
        int32_t e = s->aside[i];
        s->aside[i] = s->slot[i];
        s->slot[i] = e;
        s->count[e]++;
    }
}

/* Whether no GPU has more slots than there are experts. */
EPLB_P int eplb_p_can_be_apart(const eplb_p_search *s)
{
    int32_t gpu;
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        if (eplb_p_num_slots(s, gpu) > s->num_experts) return 0;
    return 1;
}

/* Where duplicates are allowed, the better of two plans, so that nobody pays for leave to have them: that without
   on ties. By the team. */
EPLB_P void eplb_p_improve_node(eplb_p_search *s, const eplb_p_shape *shape, uint32_t row)
{
    int32_t lane = eplb_p_team_lane();
    int64_t loose = INT64_MAX;

    if (s->aside) {
        if (lane == 0) {
            s->apart = 0;
            eplb_p_copy_ids(s->aside, s->slot, s->num_slots);
        }
        eplb_p_team_wait();
        eplb_p_search_node(s, &shape->options, row);
        loose = eplb_p_objective(s);
        eplb_p_team_wait();
        if (lane == 0) eplb_p_exchange_plans(s);
    }
    if (lane == 0) s->apart = shape->apart && (!shape->odd || eplb_p_can_be_apart(s));
    eplb_p_team_wait();
    eplb_p_search_node(s, &shape->options, row);
    if (s->aside && eplb_p_objective(s) > loose && lane == 0) eplb_p_exchange_plans(s);
}

/* One part in 4096 is close enough: the heaviest GPU may be that much above the bound. Where all plans can be tried, a
   grain for each division is. */
#define EPLB_P_CLOSE 4096

/* With one sample: what the heaviest GPU of a node cannot be lighter than if that is above `least`, by the counts
   that it has before the search; see bounds. */
EPLB_P int64_t eplb_p_counts_target(const eplb_p_layer *l, eplb_p_search *s, const eplb_p_node_part *part,
                                    int64_t least)
{
    const int32_t *expert = l->mlog2log + part->first_expert;
    eplb_p_run own = eplb_p_run_of_lane(part->num_experts);
    int64_t fewer = INT64_MAX, peak;
    int32_t lane = eplb_p_team_lane(), num = 0, i, r, at;

    for (i = lane; i < part->num_experts; i += EPLB_P_TEAM) {
        int32_t count = l->logcnt[expert[i]];
        if (count > 1 && l->grains[expert[i]] / (count - 1) < fewer) fewer = l->grains[expert[i]] / (count - 1);
    }
    fewer = -eplb_p_team_most64(-fewer);
    if (fewer <= least) return least;
    EPLB_ASSERT(s->key && s->spare); /* the search was carved, as there is effort */
    if (lane == 0) eplb_p_enter_phase(&s->shared, s->peak_bytes);
    eplb_p_team_wait();
    for (i = own.first; i < own.end; i++) num += l->logcnt[expert[i]];
    at = (int32_t)eplb_p_team_sum_before(num);
    for (i = own.first; i < own.end; i++) {
        int32_t count = l->logcnt[expert[i]];
        for (r = 0; r < count; r++) s->key[at++] = (uint64_t)(l->grains[expert[i]] / count);
    }
    eplb_p_team_wait();
    peak = (int64_t)eplb_p_least_peak(s->key, s->spare, eplb_p_team_most(at), part->num_gpus);
    return peak < fewer ? peak : fewer;
}

/* The mean of a node's GPUs, and the heaviest of its replicas on the fastest. */
EPLB_P int64_t eplb_p_part_target(const eplb_p_layer *l, eplb_p_search *s, const eplb_p_node_part *part)
{
    const int32_t *expert = l->mlog2log + part->first_expert;
    int64_t target, sum = 0, most;
    int32_t i, heaviest = 0;

    for (i = eplb_p_team_lane(); i < part->num_experts; i += EPLB_P_TEAM) {
        int32_t share = l->grains[expert[i]] / l->logcnt[expert[i]];
        sum += l->grains[expert[i]];
        if (share > heaviest) heaviest = share;
    }
    sum = eplb_p_team_sum64(sum);
    most = eplb_p_team_most(heaviest);
    if (eplb_p_team_lane() == 0) {
        s->num_gpus = part->num_gpus;
        eplb_p_set_pace(s, l->cluster.pace ? l->cluster.pace + part->first_gpu : NULL);
    }
    eplb_p_team_wait();
    target = eplb_p_even_time(s, sum);
    most *= s->least_pace;
    return most > target && l->shape->options.replication == EPLB_REPLICATE_DHONDT ? most : target;
}

/* With one sample: what no plan takes less time than, in grains at a pace: a node's mean, or the heaviest replica in
   D'Hondt's counts, which the plan to be improved has, or what these can be packed to. By the team, as what it asks. */
EPLB_P int64_t eplb_p_layer_target(const eplb_p_layer *l, eplb_p_search *s)
{
    int64_t target = 0, other;
    int32_t i;

    for (i = 0; i < l->shape->num_nodes; i++) {
        eplb_p_node_part part = eplb_p_node_part_of(l, i);
        if (part.num_experts == 0) continue;
        other = eplb_p_part_target(l, s, &part);
        if (other > target) target = other;
    }
    for (i = 0; i < l->shape->num_nodes; i++) {
        eplb_p_node_part part = eplb_p_node_part_of(l, i);
        if (part.gpu_slots == 0 || l->cluster.pace) continue; /* what can be packed is known where GPUs are alike */
        other = eplb_p_counts_target(l, s, &part, target);
        if (other > target) target = other;
    }
    return target;
}

/* The sum over the samples of the mean load of the search's GPUs, squared, at their usual pace. */
EPLB_P int64_t eplb_p_mean_squares(const eplb_p_layer *l, const eplb_p_search *s)
{
    int64_t squares = 0;
    int32_t t, i;

    EPLB_ASSERT(s->num_gpus > 0);
    for (t = 0; t < l->num_counting; t++) {
        int64_t sum = 0;
        for (i = eplb_p_team_lane(); i < s->num_experts; i += EPLB_P_TEAM)
            sum += l->grains[eplb_p_at(s->expert[i], l->num_counting, t)];
        sum = eplb_p_team_sum64(sum);
        squares += (sum / s->num_gpus) * (sum / s->num_gpus);
    }
    return squares * s->usual_pace;
}

/* A fall in the objective that counts: with one sample 2^-30 of the mean GPU load squared, with several, whose noise
   is far larger, 2^-14. */
EPLB_P int64_t eplb_p_enough(const eplb_p_layer *l, int64_t mean_squares)
{
    return mean_squares >> (l->num_counting == 1 ? 30 : 14);
}

/* Where GPUs are not alike: the search numbers the slots that are used. */
EPLB_P void eplb_p_open_odd_node(eplb_p_search *s, const eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t gpu, i, n = 0;

    EPLB_ASSERT(s->odd_slot != NULL && s->odd_first_slot != NULL && s->odd_gpu != NULL); /* taken, as they are odd */
    s->num_experts = part->num_experts;
    s->num_gpus = 0;
    for (gpu = 0; gpu < part->num_gpus; gpu++) {
        int32_t used = l->used[part->first_gpu + gpu];
        if (used == 0) continue;
        s->odd_first_slot[s->num_gpus] = n;
        if (s->odd_pace) s->odd_pace[s->num_gpus] = l->cluster.pace[part->first_gpu + gpu];
        if (s->odd_domain) s->odd_domain[s->num_gpus] = eplb_p_domain_of(l, eplb_p_slot_at(l, part, gpu, 0));
        for (i = 0; i < used; i++, n++) {
            s->odd_gpu[n] = s->num_gpus;
            s->odd_slot[n] = l->phy2log[eplb_p_slot_at(l, part, gpu, i)];
            if (s->odd_pinned) s->odd_pinned[n] = i < l->num_locked[part->first_gpu + gpu];
        }
        s->num_gpus++;
    }
    s->odd_first_slot[s->num_gpus] = n;
    s->num_slots = n;
    s->node_gpus = s->num_gpus;
    s->slot = s->odd_slot;
    s->start = s->odd_start;
    s->gpus.first_slot = s->odd_first_slot;
    s->gpus.gpu_of = s->odd_gpu;
    s->gpus.usable_slots = NULL;
    s->pinned = s->odd_pinned;
    s->domain = s->odd_domain;
    eplb_p_set_pace(s, s->odd_pace);
}

/* What the search has made of them. */
EPLB_P void eplb_p_close_odd_node(const eplb_p_search *s, eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t gpu, i, n = 0;

    for (gpu = 0; gpu < part->num_gpus; gpu++)
        for (i = 0; i < l->used[part->first_gpu + gpu]; i++, n++) {
            int32_t at = eplb_p_slot_at(l, part, gpu, i);
            l->phy2log[at] = s->slot[n];
            if (s->exact) l->start[at] = s->odd_start[n];
        }
}

/* The search's view of a node of the layer. By the team. */
EPLB_P void eplb_p_open_node(eplb_p_search *s, eplb_p_layer *l, const eplb_p_node_part *part)
{
    int64_t enough;

    if (eplb_p_team_lane() == 0) {
        s->num_samples = l->num_counting;
        s->grains = l->grains;
        s->count = l->logcnt;
        s->max_replicas = l->shape->options.max_replicas;
        s->expert = l->mlog2log + part->first_expert;
        s->slot = l->phy2log + part->first_slot;
        s->start = s->exact ? l->start + part->first_slot : NULL;
        if (l->shape->odd) eplb_p_open_odd_node(s, l, part);
    }
    eplb_p_team_wait();
    enough = eplb_p_enough(l, eplb_p_mean_squares(l, s));
    if (eplb_p_team_lane() == 0) s->enough = enough;
    eplb_p_team_wait();
}

/* By the team. */
EPLB_P void eplb_p_improve_layer(eplb_p_layer *l, eplb_p_search *s)
{
    int64_t target = l->num_counting == 1 ? eplb_p_layer_target(l, s) : 0;
    int32_t lane = eplb_p_team_lane(), node;

    if (lane == 0) s->close = target + (s->trial ? s->num_slots : target / EPLB_P_CLOSE);
    for (node = 0; node < l->shape->num_nodes; node++) {
        eplb_p_node_part part = eplb_p_node_part_of(l, node);
        uint32_t row = (uint32_t)l->index * (uint32_t)l->shape->num_nodes + (uint32_t)node;
        if (part.num_experts == 0) continue;
        eplb_p_open_node(s, l, &part);
        eplb_p_improve_node(s, l->shape, row);
        if (l->shape->odd && lane == 0) eplb_p_close_odd_node(s, l, &part);
        eplb_p_team_wait();
    }
}

/* -------------------------------------------------------------------------------------- finish */

/* Slots within each GPU heaviest first, then by expert; those that hold something are the first ones. By the team, as
   many GPUs at once as keys of a node have room for. */
EPLB_P void eplb_p_order_gpus(eplb_p_layer *l, eplb_p_search *s)
{
    int32_t room = l->shape->gpus.room, lane = eplb_p_team_lane(), gpu, first, i, e;
    int32_t at_once = EPLB_P_TEAM < l->shape->node_gpus ? EPLB_P_TEAM : l->shape->node_gpus;
    uint64_t *key = s->key + (lane < at_once ? lane * room : 0), *spare = s->spare + (key - s->key);

    EPLB_ASSERT(s->key && s->spare); /* the search was carved, as there is effort */
    if (lane == 0) eplb_p_enter_phase(&s->shared, s->peak_bytes);
    eplb_p_team_wait();
    for (gpu = lane; gpu < l->cluster.num_gpus && lane < at_once; gpu += at_once) {
        first = eplb_p_begin_of(&l->cluster.gpus, gpu);
        if (l->shape->odd) room = l->used[gpu];
        for (i = 0; i < room; i++) {
            e = l->phy2log[first + i];
            key[i] = eplb_p_heavy_first(eplb_p_bid(l->load[e], l->logcnt[e], EPLB_P_DHONDT), e);
        }
        eplb_p_sort(key, spare, room);
        for (i = 0; i < room; i++) l->phy2log[first + i] = eplb_p_index(key[i]);
    }
    eplb_p_team_wait();
}

/* Ranks by slot, once slots stand elsewhere than they were packed. By the team. */
EPLB_P void eplb_p_number_replicas(eplb_p_layer *l)
{
    int32_t lane = eplb_p_team_lane(), n = l->cluster.num_slots, most = 1, i, e, rank;

    for (e = lane; e < l->shape->num_experts; e += EPLB_P_TEAM) l->logcnt[e] = 0;
    eplb_p_team_wait();
    for (i = lane; i - lane < n; i += EPLB_P_TEAM) {
        int is_last;
        e = i < n ? l->phy2log[i] : EPLB_P_EMPTY;
        rank = eplb_p_team_equal(e, &is_last);
        if (i < n) l->phyrank[i] = e == EPLB_P_EMPTY ? EPLB_P_EMPTY : l->logcnt[e] + rank;
        eplb_p_team_wait(); /* all have read the count */
        rank = e == EPLB_P_EMPTY ? 0 : l->phyrank[i] + 1;
        if (is_last && rank > 0) l->logcnt[e] = rank;
        if (rank > most) most = rank;
        eplb_p_team_wait();
    }
    most = eplb_p_team_most(most);
    if (lane == 0) l->most_replicas = most;
    eplb_p_team_wait();
}

/* Whether log2phy is wide enough for the layer in hand. */
EPLB_P eplb_result eplb_p_check_width(const eplb_p_layer *l, const eplb_plan *plan, eplb_diagnosis *why)
{
    if (!plan->log2phy || plan->log2phy_width >= l->most_replicas) return EPLB_OK;
    if (why) {
        why->layer = l->index;
        why->width_needed = l->most_replicas;
    }
    return eplb_p_fail(why, EPLB_ERR_WIDTH, "plan.log2phy_width");
}

/* What is numbered by the layer's slots, in the caller's: of each GPU the first ones; nothing in those that may not be
   used. */
EPLB_P void eplb_p_store_slots(const eplb_p_layer *l, int32_t *to, const int32_t *from)
{
    const eplb_p_cluster *c = &l->cluster;
    int32_t i;

    if (!l->shape->odd) {
        eplb_p_team_copy(to, from, l->shape->num_replicas);
        return;
    }
    eplb_p_team_fill(to, EPLB_P_EMPTY, 0, l->shape->num_replicas);
    eplb_p_team_wait();
    for (i = eplb_p_team_lane(); i < c->num_gpus; i += EPLB_P_TEAM)
        eplb_p_copy_ids(to + eplb_p_begin_of(&l->shape->gpus, c->gpu[i]), from + eplb_p_begin_of(&c->gpus, i),
                        eplb_p_num_on(&c->gpus, i));
}

/* log2phy [E, width] = the slots that hold something, as the caller numbers them, as far as they fit: by their rank, which
   is -1 where they hold nothing. */
EPLB_P void eplb_p_list_slots(const eplb_p_layer *l, int32_t *log2phy, size_t width)
{
    int32_t gpu, i, slot = 0, end = l->shape->num_replicas, above = 0; /* by so much the caller's number is */

    for (gpu = 0; gpu < (l->shape->odd ? l->cluster.num_gpus : 1); gpu++) {
        if (l->shape->odd) {
            end = eplb_p_end_of(&l->cluster.gpus, gpu);
            above = eplb_p_begin_of(&l->shape->gpus, l->cluster.gpu[gpu]) - slot;
        }
        for (i = slot + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) {
            size_t rank = (size_t)l->phyrank[i];
            if (rank < width) log2phy[(size_t)l->phy2log[i] * width + rank] = i + above;
        }
        slot = end;
    }
}

/* The layer in hand -> the caller's plan. By the team. */
EPLB_P void eplb_p_store_layer(const eplb_p_layer *l, const eplb_plan *plan)
{
    size_t experts = (size_t)l->shape->num_experts, slots = (size_t)l->shape->num_replicas;
    size_t first_expert = (size_t)l->index * experts, first_slot = (size_t)l->index * slots, i;

    eplb_p_store_slots(l, plan->phy2log + first_slot, l->phy2log);
    if (plan->phyrank) eplb_p_store_slots(l, plan->phyrank + first_slot, l->phyrank);
    if (plan->logcnt) eplb_p_team_copy(plan->logcnt + first_expert, l->logcnt, l->shape->num_experts);
    if (plan->log2phy) {
        size_t width = (size_t)plan->log2phy_width;
        int32_t *log2phy = plan->log2phy + first_expert * width;
        for (i = (size_t)eplb_p_team_lane(); i < experts * width; i += (size_t)EPLB_P_TEAM) log2phy[i] = -1;
        eplb_p_team_wait();
        eplb_p_list_slots(l, log2phy, width);
    }
    if (plan->layer_status && eplb_p_team_lane() == 0) plan->layer_status[l->index] = EPLB_OK;
}

/* ------------------------------------------------------------------------------------- a layer */

typedef struct eplb_p_planner { /* one layer in hand, and the stages that it goes through */
    eplb_p_layer layer;
    eplb_p_groups groups;
    eplb_p_node node;

    eplb_p_arena room;     /* where the phases begin: those of a plan in force are carved when it is their turn */
    eplb_p_overlay shared; /* groups, node, the search, its judge, what keeps slots, what follows: in this order */
    size_t groups_bytes, node_bytes, search_bytes, judge_bytes, keep_bytes, follow_bytes;
} eplb_p_planner;

/* Where nodes are not alike: each expert to a node, and how many slots that node then uses. By lane 0. */
EPLB_P_APART void eplb_p_place_homes_of_layer(eplb_p_planner *p)
{
    eplb_p_arena a = p->room;
    eplb_p_homes h = eplb_p_carve_homes(&a, &p->layer);
    int32_t e, node;

    eplb_p_enter_phase(&p->shared, p->groups_bytes);
    EPLB_ASSERT(h.home != NULL);
    for (e = 0; e < p->layer.shape->num_experts && p->layer.shape->num_nodes == 1; e++) h.home[e] = 0;
    if (p->layer.shape->num_nodes > 1) eplb_p_find_expert_homes(&h);
    eplb_p_order_homes(h.home, &p->layer);
    for (node = 0; node < p->layer.shape->num_nodes; node++) eplb_p_limit_used(&p->layer, node);
    eplb_p_fill_ids(p->layer.phy2log, EPLB_P_EMPTY, 0, p->layer.cluster.num_slots);
    if (p->layer.start) eplb_p_fill_ids(p->layer.start, EPLB_P_EMPTY, 0, p->layer.cluster.num_slots);
}

/* By the team. */
EPLB_P void eplb_p_place_groups(eplb_p_planner *p)
{
    int32_t lane = eplb_p_team_lane();

    if (p->layer.shape->odd) {
        if (lane == 0) eplb_p_place_homes_of_layer(p);
        eplb_p_team_wait();
        return;
    }
    if (lane == 0) eplb_p_enter_phase(&p->shared, p->groups_bytes);
    eplb_p_weigh_groups(&p->layer, &p->groups);
    if (lane == 0) p->groups.packer.row = (uint32_t)p->layer.index;
    eplb_p_team_wait();
    eplb_p_order_items(&p->groups.packer);
    if (lane == 0) eplb_p_pack(&p->groups.packer, p->layer.shape->options.seed, EPLB_P_DRAW_GROUPS);
    eplb_p_team_wait();
    eplb_p_order_experts(&p->groups, &p->layer);
}

/* The cap on replicas before the search in a node where GPUs are not alike: where experts are to be apart, the GPUs that
   have slots, but no less than it takes to fill those. */
EPLB_P int32_t eplb_p_odd_cap(const eplb_p_layer *l, const eplb_p_node_part *part)
{
    int32_t cap = l->shape->options.max_replicas, gpus = 0, gpu, least = (part->num_slots - 1) / part->num_experts + 1;

    for (gpu = 0; gpu < part->num_gpus; gpu++) gpus += l->used[part->first_gpu + gpu] > 0;
    if (gpus < least) gpus = least;
    return l->shape->apart ? eplb_p_tighter_cap(cap, gpus) : cap;
}

/* The cap on replicas before the search, by the loads of a node's experts. Exact shares make more of two experts with
   two replicas than of one with three, as each ties two more GPUs together: so none has more than one beyond what
   all can have, unless its load is that of more GPUs. */
EPLB_P int32_t eplb_p_cap_start(const eplb_p_layer *l, const eplb_p_node_part *part)
{
    const eplb_p_shape *shape = l->shape;
    const float *load = l->mlog_load + part->first_expert;
    int32_t cap = part->num_slots / part->num_experts + 1, start_cap = shape->start_cap, e;
    float heaviest = 0.0f, sum = 0.0f, mean;

    if (shape->odd) start_cap = eplb_p_odd_cap(l, part);
    if (!shape->exact) return start_cap;
    for (e = 0; e < part->num_experts; e++) {
        sum = eplb_p_add(sum, load[e]);
        if (load[e] > heaviest) heaviest = load[e];
    }
    mean = eplb_p_div(sum, (float)part->num_gpus);
    while (cap <= part->num_gpus && eplb_p_mul((float)(cap - 1), mean) < heaviest) cap++;
    return eplb_p_tighter_cap(start_cap, cap);
}

/* To survive a loss, experts have two replicas before any has three. */
EPLB_P int32_t eplb_p_first_twice(const eplb_p_layer *l, const eplb_p_replicas *r)
{
    int32_t i, single = 0;

    if (l->shape->survive == EPLB_SURVIVE_NONE || l->shape->options.max_replicas == 1) return 0;
    for (i = 0; i < r->num_log; i++) single += !r->least || r->least[i] == 1;
    return single < r->num_spare ? single : r->num_spare;
}

/* Replicas to slots, slots to the GPUs of a node, which are alike. By the team. */
EPLB_P void eplb_p_place_alike(eplb_p_planner *p, eplb_p_node *node, const eplb_p_node_part *part, uint32_t row)
{
    const eplb_options *o = &p->layer.shape->options;
    int32_t lane = eplb_p_team_lane();

    if (lane == 0) {
        node->packer.row = row;
        node->replicas.load = p->layer.mlog_load + part->first_expert;
        node->replicas.first_twice = eplb_p_first_twice(&p->layer, &node->replicas);
    }
    eplb_p_team_wait();
    eplb_p_replicate(&node->replicas, o->replication, o->fixup_steps, eplb_p_cap_start(&p->layer, part));
    eplb_p_share_load(node, &p->layer, part);
    eplb_p_order_items(&node->packer);
    if (!eplb_p_team_packs(&node->packer) && lane == 0) eplb_p_pack(&node->packer, o->seed, EPLB_P_DRAW_GPUS);
    eplb_p_team_wait();
    eplb_p_place_slots(node, &p->layer, part);
}

/* The same where they are not. By the team. */
EPLB_P_APART void eplb_p_place_unlike(eplb_p_planner *p, const eplb_p_node_part *part, uint32_t row)
{
    const eplb_options *o = &p->layer.shape->options;
    eplb_p_arena a = p->room;
    eplb_p_mixed own, *m = (eplb_p_mixed *)eplb_p_team_room(&own);
    int32_t lane = eplb_p_team_lane();

    if (lane == 0) {
        *m = eplb_p_carve_mixed(&a, &p->layer, part);
        m->unlike.packer.row = row;
        m->replicas.load = p->layer.mlog_load + part->first_expert;
        eplb_p_count_locked(m, &p->layer, part);
        m->replicas.first_twice = eplb_p_first_twice(&p->layer, &m->replicas);
    }
    eplb_p_team_wait();
    eplb_p_replicate(&m->replicas, o->replication, o->fixup_steps, eplb_p_cap_start(&p->layer, part));
    if (lane == 0) eplb_p_list_mixed(m, &p->layer, part);
    eplb_p_team_wait();
    eplb_p_order_loads(m->slot_load, m->unlike.packer.true_order, m->unlike.packer.spare, m->unlike.packer.packs.n);
    eplb_p_pack_unlike(&m->unlike, o->seed, EPLB_P_DRAW_GPUS);
    if (lane == 0) eplb_p_place_mixed(m, &p->layer, part);
    eplb_p_team_wait();
}

/* The experts of node k. Where nodes are not alike, what places them is carved for each. */
EPLB_P void eplb_p_place_experts(eplb_p_planner *p, int32_t k)
{
    eplb_p_node_part part = eplb_p_node_part_of(&p->layer, k);
    uint32_t row = (uint32_t)p->layer.index * (uint32_t)p->layer.shape->num_nodes + (uint32_t)k;
    eplb_p_arena a = p->room;
    int32_t lane = eplb_p_team_lane();

    if (lane == 0) eplb_p_enter_phase(&p->shared, p->node_bytes);
    if (part.num_experts == 0) return;
    if (p->layer.shape->odd && (part.gpu_slots == 0 || p->layer.cluster.speed)) {
        eplb_p_place_unlike(p, &part, row);
    } else {
        if (p->layer.shape->odd && lane == 0)
            p->node = eplb_p_carve_node(&a, &part, &p->layer.shape->options.gpu_packing);
        eplb_p_place_alike(p, &p->node, &part, row);
    }
    if (p->layer.shape->survive != EPLB_SURVIVE_NONE && lane == 0) eplb_p_let_survive(&p->layer, &part);
    eplb_p_team_wait();
}

/* Groups and experts. */
EPLB_P_APART void eplb_p_place_as_vllm(eplb_p_planner *p)
{
    eplb_p_arena a = p->room;
    eplb_p_vllm own, *v = (eplb_p_vllm *)eplb_p_team_room(&own);

    if (eplb_p_team_lane() == 0) {
        *v = eplb_p_carve_vllm(&a, p->layer.shape);
        eplb_p_enter_phase(&p->shared, p->node_bytes);
    }
    eplb_p_team_wait();
    eplb_p_plan_as_vllm(v, &p->layer);
    if (eplb_p_team_lane() == 0) eplb_p_leave_phases(&p->shared);
}

/* Layer `index` from loads to its plan. */
EPLB_P void eplb_p_plan_layer(eplb_p_planner *p, eplb_p_search *search, const float *weight, int32_t index)
{
    const eplb_p_shape *shape = p->layer.shape;
    int32_t k;

    EPLB_ASSERT(shape != NULL); /* the planner has been carved */
    eplb_p_weigh_layer(&p->layer, weight, index);
    if (eplb_p_team_lane() == 0) eplb_p_number_locked(&p->layer, index);
    eplb_p_team_wait();
    if (shape->as_vllm) {
        eplb_p_place_as_vllm(p);
        return;
    }
    eplb_p_place_groups(p);
    for (k = 0; k < shape->num_nodes; k++) eplb_p_place_experts(p, k);
    if (shape->options.effort > 0) {
        if (eplb_p_team_lane() == 0) eplb_p_enter_phase(&p->shared, p->search_bytes);
        eplb_p_team_wait();
        eplb_p_improve_layer(&p->layer, search);
        eplb_p_order_gpus(&p->layer, search);
    }
    if (eplb_p_team_lane() == 0) eplb_p_leave_phases(&p->shared);
}

/* =================================================================================================
   D. OF A PLAN

   in     a plan, wherever it comes from, and loads
   out    what no plan can beat, and how even this one is
   writes eplb_p_bounder, eplb_p_evaluator, eplb_p_mover, eplb_p_rounds, eplb_p_stager, eplb_p_sharer, eplb_p_dealer,
          eplb_p_judge, eplb_p_weigher, eplb_p_keeper, eplb_p_follower
   calls  the ground; of the storey of a layer only its loads, D'Hondt's counts, least_peak; to take a plan back,
          finish; and to follow the plan in force, the search */

/* ------------------------------------------------------------------------------------- bounds

   What no plan can beat, from five facts about any plan, duplicates and empty slots or not:
   - the most loaded GPU carries at least the mean;
   - it carries at least any one replica, and D'Hondt's counts make the heaviest replica as light
     as any counts can;
   - slots are limited: a plan with D'Hondt's counts has these very replicas to fill all slots with, and any
     other plan has a replica as heavy as an expert of D'Hondt's with one replica less;
   - under the hierarchical policy all three hold for each node with the groups it was given, so the
     bound is that of the best split of groups over nodes, found by trying all of them;
   - where those are too many: some node holds the heaviest group, and at least the lightest others.

   Where GPUs are not alike, loads are divided by speeds: the mean is all load by all speeds, the heaviest replica is on
   the fastest GPU at best, and what GPUs hold at least is by the slots of each. Where not all groups fit whole, a split
   names those that are split too; nodes have the load of their whole groups, and the nodes that hold what is split
   have that and their whole groups between them. */

#define EPLB_P_SPLIT_STEPS 16384         /* groups placed before the search for the best split gives up */
#define EPLB_P_SPLIT_FEW   512           /* and the fewest, after the first descent */
#define EPLB_P_SPLIT_LEAF  24            /* what a complete split counts for */
#define EPLB_P_SPLIT_TOP   4             /* the groups of which all are to be tried */
#define EPLB_P_SPLIT_NODES 128           /* the most of which all pairs are to be tried for a group that is split */
#define EPLB_P_SPLIT_NEAR  (1.0 / 16384) /* where nodes are not alike: what the best split need not be told apart by */

typedef struct eplb_p_bounder {
    const eplb_p_shape *shape;
    const float *load;        /* [E] of the layer in hand, in its unit */
    eplb_p_replicas replicas; /* [E], [R]: of all experts, or of those of one node */
    uint64_t *share;          /* [R] load of each replica, in parts */
    uint64_t *spare;          /* [R] */
    double part;              /* what loads are multiplied by to make parts: a power of two */
    uint64_t *order;          /* [E] all experts, heaviest first */
    int32_t *rank_of;         /* [E] the group of each in that order */
    uint64_t *node_order;     /* [node_experts] one node's experts, heaviest first */
    float *node_load;         /* [node_experts] and their loads */
    double *group_sum;        /* [K] heaviest first; groups are known by this rank */
    double *node_sum;         /* [N] load of the groups put on each node so far */
    double *node_bound;       /* [N] what its heaviest GPU cannot be lighter than; < 0 = not yet known */
    int32_t *node_fill;       /* [N] number of its groups */
    int32_t *node_of;         /* [K] where each group is; -1 = not yet tried */
    eplb_p_place alike[2];    /* where GPUs are alike: a node, and the cluster */

    /* where they are not */
    int32_t num_homes;      /* where a group may be: N, or where some must be split N + 1, the last being to be so */
    int32_t num_split;      /* groups that are split */
    int32_t pair_steps;     /* what it counts for to look at all pairs of nodes, in groups placed */
    eplb_p_place *place;    /* [N + 2] each node, the cluster, and two nodes; NULL: they are */
    int32_t *rooms, *tight; /* theirs */
    double *speeds, *loose;
    double *lightest; /* [K + 1] load of the i lightest groups together */
    int32_t *room;    /* [N + 1] groups that a home holds at most, */
    int32_t *fewest;  /* [N + 1] and at least */
    int32_t *left;    /* [N] where groups are split: slots that no whole group needs, */
    int32_t *needed;  /* [N] and those of them that what is split needs, wherever else it goes */
    int32_t *taken;   /* [N] locked slots that hold nothing, or an expert that is in another of the node, too */
    int32_t *twin;    /* [N] the node before that is the same but for its number; -1 = none is */
} eplb_p_bounder;

EPLB_P void eplb_p_carve_places(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_bounder *b)
{
    size_t N = (size_t)shape->num_nodes, most = 3 * (size_t)shape->num_living + N + 2;

    b->place = EPLB_P_TAKE_ROWS(a, eplb_p_place, 1, N + 2);
    b->rooms = EPLB_P_TAKE_ROWS(a, int32_t, 1, most);
    b->speeds = EPLB_P_TAKE_ROWS(a, double, 1, most);
    b->tight = EPLB_P_TAKE_ROWS(a, int32_t, 1, most);
    b->loose = EPLB_P_TAKE_ROWS(a, double, 1, most);
    b->lightest = EPLB_P_TAKE_ROWS(a, double, 1, (size_t)shape->num_groups + 1);
    b->room = EPLB_P_TAKE_ROWS(a, int32_t, 1, N + 1);
    b->fewest = EPLB_P_TAKE_ROWS(a, int32_t, 1, N + 1);
    b->left = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
    b->needed = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
    b->taken = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
    b->twin = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
}

EPLB_P eplb_p_bounder eplb_p_carve_bounder(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_bounder b = EPLB_ZERO_INIT;
    size_t homes = (size_t)shape->num_nodes + (shape->odd ? 1 : 0);
    b.shape = shape;
    b.replicas = eplb_p_carve_replicas(a, shape->num_experts, shape->num_replicas);
    b.share = EPLB_P_TAKE(a, uint64_t, shape->num_replicas);
    b.spare = EPLB_P_TAKE(a, uint64_t, shape->num_replicas);
    b.part = 1.0;
    b.order = EPLB_P_TAKE(a, uint64_t, shape->num_experts);
    b.rank_of = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    b.node_order = EPLB_P_TAKE(a, uint64_t, shape->node_experts);
    b.node_load = EPLB_P_TAKE(a, float, shape->node_experts);
    b.group_sum = EPLB_P_TAKE(a, double, shape->num_groups);
    b.node_sum = EPLB_P_TAKE_ROWS(a, double, 1, homes);
    b.node_bound = EPLB_P_TAKE_ROWS(a, double, 1, homes);
    b.node_fill = EPLB_P_TAKE_ROWS(a, int32_t, 1, homes);
    b.node_of = EPLB_P_TAKE(a, int32_t, shape->num_groups);
    if (shape->odd) eplb_p_carve_places(a, shape, &b);
    return b;
}

EPLB_P eplb_p_place eplb_p_alike_place(int32_t num_gpus, int32_t num_slots)
{
    eplb_p_place p = EPLB_ZERO_INIT;
    p.num_gpus = num_gpus;
    p.num_slots = num_slots;
    p.speed = num_gpus;
    p.fastest = 1.0;
    return p;
}

/* One GPU more. Until all are there, what is summed is that of each, from 1 on, in order. */
EPLB_P void eplb_p_add_gpu(eplb_p_place *p, int32_t slots, double speed)
{
    int32_t i;

    p->num_slots += slots;
    p->speed += speed;
    if (speed > p->fastest) p->fastest = speed;
    for (i = ++p->num_gpus; i > 1 && p->rooms[i - 1] < slots; i--) p->rooms[i] = p->rooms[i - 1];
    p->rooms[i] = slots;
    for (i = p->num_gpus; i > 1 && p->speeds[i - 1] < speed; i--) p->speeds[i] = p->speeds[i - 1];
    p->speeds[i] = speed;
    for (i = p->num_gpus; i > 1 && p->loose[i - 1] / p->tight[i - 1] < speed / slots; i--) {
        p->tight[i] = p->tight[i - 1];
        p->loose[i] = p->loose[i - 1];
    }
    p->tight[i] = slots;
    p->loose[i] = speed;
}

EPLB_P void eplb_p_sum_place(eplb_p_place *p)
{
    int32_t i;

    p->rooms[0] = p->tight[0] = 0;
    p->speeds[0] = 0.0;
    for (i = 1; i <= p->num_gpus; i++) {
        p->rooms[i] += p->rooms[i - 1];
        p->tight[i] += p->tight[i - 1];
        p->speeds[i] += p->speeds[i - 1];
    }
    for (i = 0; i < p->num_gpus; i++) p->loose[i] = p->loose[i + 1];
    p->loose[p->num_gpus] = 0.0;
    for (i = p->num_gpus; i > 0; i--) p->loose[i - 1] += p->loose[i];
}

/* One node by the policy, or two; num_nodes: all. Its arrays are there. */
EPLB_P void eplb_p_fill_place(eplb_p_place *p, const eplb_p_shape *shape, int32_t first, int32_t second)
{
    int32_t gpu, all = first == shape->num_nodes || shape->num_nodes == 1;

    p->num_gpus = p->num_slots = 0;
    p->speed = p->fastest = 0.0;
    for (gpu = 0; gpu < shape->num_gpus; gpu++) {
        int32_t node = eplb_p_node_of(shape, gpu), slots = eplb_p_num_on(&shape->gpus, gpu);
        if (slots == 0 || !(all || node == first || node == second)) continue;
        eplb_p_add_gpu(p, slots, eplb_p_speed_of(shape, gpu));
    }
    eplb_p_sum_place(p);
}

EPLB_P int eplb_p_are_twins(const eplb_p_place *p, const eplb_p_place *q)
{
    int32_t i;

    if (p->num_gpus != q->num_gpus) return 0;
    for (i = 0; i < p->num_gpus; i++) {
        if (p->tight[i + 1] != q->tight[i + 1]) return 0;
        if (p->loose[i] < q->loose[i] || p->loose[i] > q->loose[i]) return 0;
    }
    return 1;
}

/* The room of homes: as many groups as have slots for all their experts, and those that then are left over. */
EPLB_P void eplb_p_list_rooms(eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    int32_t N = shape->num_nodes, K = shape->num_groups, size = shape->group_size, node, slack = -shape->num_experts;
    int64_t rooms = 0;

    for (node = 0; node < N; node++) {
        b->room[node] = b->place[node].num_slots / size;
        b->left[node] = b->place[node].num_slots - b->room[node] * size;
        rooms += b->room[node];
        slack += b->place[node].num_slots;
    }
    b->num_split = rooms < K ? K - (int32_t)rooms : 0;
    b->num_homes = N + (b->num_split > 0);
    b->room[N] = b->fewest[N] = b->num_split;
    b->pair_steps = N > EPLB_P_SPLIT_NODES ? 0 : N * N / 128;
    for (node = 0; node < N; node++) {
        int64_t few = K - (rooms - b->room[node]); /* were all others full */
        b->fewest[node] = b->num_split > 0 ? b->room[node] : few > 0 ? (int32_t)few : 0;
        b->needed[node] = b->num_split > 0 && b->left[node] > slack ? b->left[node] - slack : 0;
    }
}

/* All that is so for all layers. */
EPLB_P void eplb_p_list_places(eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    int32_t node, N = shape->num_nodes, at = 0;

    b->alike[0] = eplb_p_alike_place(shape->node_gpus, shape->node_slots);
    b->alike[1] = eplb_p_alike_place(shape->num_gpus, shape->num_replicas);
    if (!b->place) return;
    for (node = 0; node <= N + 1; node++) {
        eplb_p_place *p = &b->place[node];
        p->rooms = b->rooms + at;
        p->tight = b->tight + at;
        p->speeds = b->speeds + at;
        p->loose = b->loose + at;
        if (node > N) break; /* not known yet */
        eplb_p_fill_place(p, shape, node, node);
        at += p->num_gpus + 1;
    }
    for (node = 0; node < N; node++) {
        int32_t twin = node - 1;
        while (twin >= 0 && !eplb_p_are_twins(&b->place[twin], &b->place[node])) twin--;
        b->twin[node] = twin;
    }
    eplb_p_list_rooms(b);
}

EPLB_P const eplb_p_place *eplb_p_node_place(const eplb_p_bounder *b, int32_t node)
{
    return b->place ? &b->place[node] : &b->alike[0];
}

EPLB_P const eplb_p_place *eplb_p_whole_place(const eplb_p_bounder *b)
{
    return b->place ? &b->place[b->shape->num_nodes] : &b->alike[1];
}

/* The most usable slots of what may be lost at once: a GPU of a place, or a node. */
EPLB_P int32_t eplb_p_most_at_once(const eplb_p_shape *shape, const eplb_p_place *at)
{
    int32_t gpu, node = -1, slots = 0, most = 0;

    if (shape->survive == EPLB_SURVIVE_GPU) return at->rooms[1];
    for (gpu = 0; gpu < shape->num_gpus; gpu++) {
        if (eplb_p_node_of(shape, gpu) != node) slots = 0;
        node = eplb_p_node_of(shape, gpu);
        slots += eplb_p_num_on(&shape->gpus, gpu);
        if (slots > most) most = slots;
    }
    return most;
}

/* Replicas of an expert at most, where so many are on a place. Those to survive a loss are two of as many experts as
   have slots for two, so that none is a third before all have a second, unless a GPU, or node, has more slots than
   there are experts to be on it, or slots are locked. */
EPLB_P int32_t eplb_p_cap_on(const eplb_p_shape *shape, const eplb_p_place *at, int32_t num_log)
{
    int32_t cap = shape->options.max_replicas;

    if (!shape->survive || shape->locked || at->num_slots > 2 * num_log) return cap;
    return eplb_p_most_at_once(shape, at) <= num_log ? eplb_p_tighter_cap(cap, 2) : cap;
}

/* The parts are so small that to round down to them is nothing beside what rounding to float32 may do, and so
   large that sums of them fit; the largest sum is the total, of loads that are no larger than 2^41. */
EPLB_P double eplb_p_bounder_part(double total)
{
    double part = 1.0;

    while (eplb_p_times(total, part) > 4503599627370496.0) part = eplb_p_times(part, 0.5); /* 2^52 */
    while (eplb_p_times(total, part) > 0.0 && eplb_p_times(total, part) < 2251799813685248.0)
        part = eplb_p_times(part, 2.0);
    return part;
}

/* Experts that a bound is of, on a place: so many replicas of them. */
typedef struct eplb_p_listed {
    const float *load;     /* [num_log] */
    const uint64_t *order; /* [num_log] heaviest first */
    int32_t num_log, num_phy, max_replicas;
} eplb_p_listed;

/* share [num_phy] of D'Hondt's replicas, whose experts are known by their places in order. */
EPLB_P void eplb_p_list_shares(eplb_p_bounder *b, const uint64_t *order)
{
    const eplb_p_replicas *r = &b->replicas;
    eplb_p_run own = eplb_p_run_of_lane(r->num_log);
    int32_t i, k, num = 0, at;

    for (k = own.first; k < own.end; k++) num += r->count[eplb_p_index(order[r->num_log - 1 - k])];
    at = (int32_t)eplb_p_team_sum_before(num);
    for (k = own.first; k < own.end; k++) { /* most have one replica: these are in order */
        int32_t e = eplb_p_index(order[r->num_log - 1 - k]);
        double parts = eplb_p_times((double)eplb_p_bid(r->load[e], r->count[e], EPLB_P_DHONDT), b->part);
        uint64_t share = (uint64_t)parts;
        for (i = 0; i < r->count[e]; i++) b->share[at++] = share;
    }
    eplb_p_team_wait();
}

/* What the heaviest GPU cannot be lighter than with D'Hondt's replicas, which fill all slots that there are for them. */
EPLB_P double eplb_p_dhondt_peak(eplb_p_bounder *b, const uint64_t *order, const eplb_p_place *place)
{
    int32_t at = b->replicas.num_log + b->replicas.num_spare;
    double peak;

    eplb_p_list_shares(b, order);
    if (place->rooms) {
        peak = eplb_p_least_time(b->share, b->spare, at, place);
    } else {
        uint64_t least = eplb_p_least_peak(b->share, b->spare, at, place->num_gpus);
        peak = (double)least;
    }
    return peak / b->part;
}

/* The lightest that the heaviest GPU can be with these experts on so many slots, as far as that is above `least`.
   Proof: let c be D'Hondt's counts. They take all slots, or all that the cap lets them, so other counts give some
   expert fewer, and leave it a replica of load / (c - 1) or more; let f be the least of these. So a plan has a replica
   of f or more, or it has counts c, and with them the replicas of least_peak. Let x be the heaviest of these. If its
   expert is at its cap, no plan has it lighter. If not, bids only fall, so each that got a slot, f among them, is at
   least x, and any plan has a replica of x or more. */
EPLB_P double eplb_p_replicas_bound(eplb_p_bounder *b, const eplb_p_listed *l, const eplb_p_place *place, double least)
{
    eplb_p_replicas *r = &b->replicas;
    double fewer = DBL_MAX, bound = 0.0, peak;
    int32_t i, count = 2;

    eplb_p_team_wait(); /* all have read what there was */
    if (eplb_p_team_lane() == 0) {
        r->num_log = l->num_log;
        r->num_spare = l->num_phy - l->num_log;
        r->load = l->load;
    }
    eplb_p_team_wait();
    eplb_p_replicate(r, EPLB_REPLICATE_DHONDT, 0, l->max_replicas);
    for (i = 0; i < l->num_log && count > 1; i++) { /* counts only fall; of one replica a lighter one is no matter */
        int32_t e = eplb_p_index(l->order[i]);
        double each = (double)eplb_p_bid(l->load[e], r->count[e], EPLB_P_DHONDT);
        count = r->count[e];
        if (each > bound) bound = each;
        each = count > 1 ? (double)eplb_p_bid(l->load[e], count - 1, EPLB_P_DHONDT) : DBL_MAX;
        if (each < fewer) fewer = each;
    }
    bound /= place->fastest;
    fewer /= place->fastest;
    if (fewer > bound && fewer > least) {
        peak = eplb_p_dhondt_peak(b, l->order, place);
        if (peak > fewer) peak = fewer;
        if (peak > bound) bound = peak;
    }
    return bound;
}

/* What GPUs that are not alike take at least when those with the fewest slots for their speed hold the heaviest experts
   in them, as they are: none can hold more in a slot. The others hold the rest. */
EPLB_P double eplb_p_crowded_time(const eplb_p_place *place, const eplb_p_listed *l)
{
    double rest = 0.0, most = 0.0;
    int32_t q, i = l->num_log;

    for (q = place->num_gpus - 1; q >= 0; q--) {
        while (i > place->tight[q]) rest += (double)l->load[eplb_p_index(l->order[--i])];
        if (rest / place->loose[q] > most) most = rest / place->loose[q];
    }
    return most;
}

/* Both, where GPUs are not alike. */
EPLB_P double eplb_p_place_bound(eplb_p_bounder *b, const eplb_p_listed *l, const eplb_p_place *place, double least)
{
    double crowded = place->rooms ? eplb_p_crowded_time(place, l) : 0.0, bound;

    if (crowded > least) least = crowded;
    bound = eplb_p_replicas_bound(b, l, place, least);
    return bound > crowded ? bound : crowded;
}

/* Of the experts in order the next, whose load this is: it is listed as the n-th of a node. */
EPLB_P void eplb_p_list_expert(eplb_p_bounder *b, int32_t n, float load)
{
    b->node_load[n] = load;
    b->node_order[n] = eplb_p_heavy_first(load, n);
}

/* So many of them, on so many slots. */
EPLB_P eplb_p_listed eplb_p_list_node(const eplb_p_bounder *b, int32_t num_log, int32_t slots, int32_t max_replicas)
{
    int64_t limit = (int64_t)b->shape->options.max_replicas * num_log;
    eplb_p_listed l;

    l.load = b->node_load;
    l.order = b->node_order;
    l.num_log = num_log;
    l.num_phy = limit > 0 && limit < slots ? (int32_t)limit : slots;
    l.max_replicas = max_replicas;
    return l;
}

/* Where a node has no slot to spare: the GPU with its heaviest expert has no less than its lightest ones besides. */
EPLB_P double eplb_p_company_bound(const eplb_p_bounder *b, int32_t node)
{
    const eplb_p_place *p = eplb_p_node_place(b, node);
    int32_t i = 0, others = (p->rooms ? p->num_slots - p->rooms[p->num_gpus - 1] : p->num_slots / p->num_gpus) - 1;
    double sum;

    while (b->node_of[b->rank_of[i]] != node) i++;
    sum = (double)b->load[eplb_p_index(b->order[i])];
    for (i = b->shape->num_experts; others > 0;)
        if (b->node_of[b->rank_of[--i]] == node) {
            sum += (double)b->load[eplb_p_index(b->order[i])];
            others--;
        }
    return sum / p->fastest;
}

/* The same within a node, for the groups that are on it, or the mean of their loads; or anything that is no more than
   that and no less than `enough`. */
EPLB_P double eplb_p_node_bound(eplb_p_bounder *b, int32_t node, double least, double enough)
{
    const eplb_p_shape *shape = b->shape;
    const eplb_p_place *place = eplb_p_node_place(b, node);
    double mean, bound;
    eplb_p_listed listed;
    const int32_t *rank_of = b->rank_of, *node_of = b->node_of; /* copies stay in registers */
    int32_t i, n = 0, experts = b->place ? b->node_fill[node] * shape->group_size : shape->node_experts;
    int32_t slots = place->num_slots - (b->place ? b->needed[node] : 0); /* for whole groups */

    if (experts == 0) return 0.0;
    mean = b->node_sum[node] / place->speed;
    if (place->num_slots == experts) { /* which is quick to know, and mostly is enough */
        bound = eplb_p_company_bound(b, node);
        if (bound >= enough) return bound;
    }
    eplb_p_team_wait(); /* all are done with what was listed */
    for (i = eplb_p_team_lane(); n < experts; i += EPLB_P_TEAM) {
        int is_here = i < shape->num_experts && node_of[rank_of[i]] == node;
        int32_t num, before = eplb_p_team_rank(is_here, &num);
        if (is_here) eplb_p_list_expert(b, n + before, b->load[eplb_p_index(b->order[i])]);
        n += num;
    }
    eplb_p_team_wait();
    listed = eplb_p_list_node(b, n, slots, eplb_p_cap_on(shape, place, n));
    bound = eplb_p_place_bound(b, &listed, place, mean > least ? mean : least);
    return bound > mean ? bound : mean;
}

/* Whether the search is to give up after so many steps, when `top` is the heaviest group that it has come back to. A
   group further up takes at least about as many steps again, so that the search would not end in time. */
EPLB_P int eplb_p_is_hopeless(int32_t steps, int32_t top)
{
    int32_t excess = top - EPLB_P_SPLIT_TOP, most = EPLB_P_SPLIT_STEPS;

    for (; excess > 0 && most > EPLB_P_SPLIT_FEW; excess--) most /= 2;
    return steps > most;
}

/* The node after the group's present one that is worth trying: with room, light enough to stay
   below the best split, and not the second empty one (nodes are alike). num_nodes when none is. */
EPLB_P int32_t eplb_p_next_node(const eplb_p_bounder *b, int32_t group, double best)
{
    const eplb_p_shape *shape = b->shape;
    int32_t node = b->node_of[group] + 1;

    for (; node < shape->num_nodes; node++) {
        if (node > 0 && b->node_fill[node - 1] == 0) return shape->num_nodes;
        if (b->node_fill[node] == shape->node_groups) continue;
        if ((b->node_sum[node] + b->group_sum[group]) / shape->node_gpus < best) return node;
    }
    return node;
}

/* What all lanes look at lane 0 changes, once all have looked. */

EPLB_P void eplb_p_put_group(eplb_p_bounder *b, int32_t group, int32_t node)
{
    eplb_p_team_wait();
    if (eplb_p_team_lane() == 0) {
        b->node_of[group] = node;
        b->node_sum[node] += b->group_sum[group];
        b->node_fill[node]++;
        b->node_bound[node] = -1.0;
    }
    eplb_p_team_wait();
}

EPLB_P void eplb_p_take_group_back(eplb_p_bounder *b, int32_t group)
{
    eplb_p_team_wait();
    if (eplb_p_team_lane() == 0) {
        b->node_sum[b->node_of[group]] -= b->group_sum[group];
        b->node_fill[b->node_of[group]]--;
    }
    eplb_p_team_wait();
}

/* No home of a group has been tried. */
EPLB_P void eplb_p_open_group(eplb_p_bounder *b, int32_t group)
{
    eplb_p_team_wait();
    if (eplb_p_team_lane() == 0) b->node_of[group] = -1;
    eplb_p_team_wait();
}

EPLB_P void eplb_p_empty_nodes(eplb_p_bounder *b)
{
    int32_t node;

    eplb_p_team_wait();
    for (node = eplb_p_team_lane(); node < b->shape->num_nodes; node += EPLB_P_TEAM) {
        b->node_sum[node] = 0.0;
        b->node_fill[node] = 0;
    }
    eplb_p_team_wait();
}

/* The node that the bound of a complete split is that of, or the first found to be no better than `best`. What is
   not above `least` need not be known. */
EPLB_P int32_t eplb_p_worst_node(eplb_p_bounder *b, double least, double best)
{
    double most = -1.0;
    int32_t node, worst = 0;

    for (node = 0; node < b->shape->num_nodes && most < best; node++) {
        double bound = b->node_bound[node];
        if (bound < 0.0) {
            bound = eplb_p_node_bound(b, node, least, best);
            eplb_p_team_wait(); /* all have read that it is not known */
            if (eplb_p_team_lane() == 0) b->node_bound[node] = bound;
            eplb_p_team_wait();
        }
        if (bound > most) {
            most = bound;
            worst = node;
        }
    }
    return worst;
}

/* The bound of a split to begin with: groups go to the nodes in turn, to and fro, heaviest first. */
EPLB_P double eplb_p_first_split(eplb_p_bounder *b, double least)
{
    const eplb_p_shape *shape = b->shape;
    int32_t group, n = shape->num_nodes;

    eplb_p_empty_nodes(b);
    for (group = 0; group < shape->num_groups; group++)
        eplb_p_put_group(b, group, group / n % 2 ? n - 1 - group % n : group % n);
    return b->node_bound[eplb_p_worst_node(b, least, DBL_MAX)];
}

/* The bound of the best split of groups over nodes, by depth-first search over all of them, or less, if that is no
   more than `least`; 0 when there are too many. No node's sum is below its part of the bound, so a split is given
   up as soon as one of them reaches the best so far; and when a complete split is no better, so is none with the
   same groups on its worst node. */
EPLB_P double eplb_p_split_bound(eplb_p_bounder *b, double least)
{
    const eplb_p_shape *shape = b->shape;
    double best = eplb_p_first_split(b, least);
    int32_t group, node, last = shape->num_groups - 1, top = last, steps = -last;

    eplb_p_empty_nodes(b);
    eplb_p_open_group(b, 0);
    for (group = 0; group >= 0 && best > least;) {
        if (b->node_of[group] >= 0) { /* all that follows from here was tried */
            eplb_p_take_group_back(b, group);
            if (group < top) top = group;
        }
        node = eplb_p_next_node(b, group, best);
        if (node == shape->num_nodes) {
            group--;
            continue;
        }
        if (eplb_p_is_hopeless(++steps, top)) return 0.0;
        eplb_p_put_group(b, group, node);
        if (group < last) {
            eplb_p_open_group(b, ++group);
            continue;
        }
        node = eplb_p_worst_node(b, least, best);
        if (b->node_bound[node] < best) best = b->node_bound[node];
        steps += EPLB_P_SPLIT_LEAF;
        for (; b->node_of[group] != node; group--) eplb_p_take_group_back(b, group);
    }
    return best;
}

/* The load of the node with the heaviest group is at least that and its lightest company, which sums rounded to
   float32 tell, so that others may be lighter by that. */
EPLB_P double eplb_p_heaviest_group_bound(const eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    double heaviest = b->group_sum[0], lightest = b->group_sum[shape->num_groups - 1];
    return (heaviest + eplb_p_times(shape->node_groups - 1, lightest)) / shape->node_gpus;
}

EPLB_P double eplb_p_group_load(const float *load, int32_t group_size, int32_t group)
{
    double sum = 0.0;
    int32_t i;
    for (i = 0; i < group_size; i++) sum += (double)load[group * group_size + i];
    return sum;
}

/* order, rank_of, group_sum of the layer; node_of is not in use yet, and holds each group's rank. */
EPLB_P void eplb_p_rank_groups(eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    int32_t lane = eplb_p_team_lane(), group, rank, i;

    eplb_p_order_loads(b->load, b->order, b->spare, shape->num_experts);
    for (group = lane; group < shape->num_groups; group += EPLB_P_TEAM)
        b->share[group] = eplb_p_heavy_first((float)eplb_p_group_load(b->load, shape->group_size, group), group);
    eplb_p_team_wait();
    eplb_p_team_sort(b->share, b->spare, shape->num_groups);
    for (rank = lane; rank < shape->num_groups; rank += EPLB_P_TEAM) {
        group = eplb_p_index(b->share[rank]);
        b->group_sum[rank] = eplb_p_group_load(b->load, shape->group_size, group);
        b->node_of[group] = rank;
    }
    eplb_p_team_wait();
    if (b->place && lane == 0) b->lightest[0] = 0.0;
    for (i = 0; b->place && lane == 0 && i < shape->num_groups; i++)
        b->lightest[i + 1] = b->lightest[i] + b->group_sum[shape->num_groups - 1 - i];
    for (i = lane; i < shape->num_experts; i += EPLB_P_TEAM)
        b->rank_of[i] = b->node_of[eplb_p_index(b->order[i]) / shape->group_size];
    eplb_p_team_wait();
}

/* bounds: nodes that are not alike

   A group's home is a node, or one more number where it is to be split. */

/* Groups that a home must yet be given. */
EPLB_P int32_t eplb_p_missing(const eplb_p_bounder *b, int32_t home)
{
    int32_t missing = b->fewest[home] - b->node_fill[home];
    return missing > 0 ? missing : 0;
}

/* The home after the group's present one that is worth trying: with room, not the second empty one of those that are
   alike, and light enough to stay below the best split with the groups that it must yet be given. num_homes when none
   is. */
EPLB_P int32_t eplb_p_next_home(const eplb_p_bounder *b, int32_t group, double best)
{
    int32_t home = b->node_of[group] + 1, missing;
    double load;

    for (; home < b->num_homes; home++) {
        if (b->node_fill[home] == b->room[home]) continue;
        if (home == b->shape->num_nodes) return home; /* to be split */
        if (b->twin[home] >= 0 && b->node_fill[b->twin[home]] == 0) continue;
        missing = eplb_p_missing(b, home);
        load = b->node_sum[home] + b->group_sum[group] + (missing > 1 ? b->lightest[missing - 1] : 0.0);
        if (load / b->place[home].speed < best) return home;
    }
    return home;
}

/* Whether a group that is split may have its experts on two such nodes, alone; as far as pairs of nodes are few. */
EPLB_P int eplb_p_can_halve(const eplb_p_bounder *b, int32_t first, int32_t second)
{
    const eplb_p_shape *shape = b->shape;
    if (shape->num_nodes > EPLB_P_SPLIT_NODES || b->left[first] == 0 || b->left[second] == 0) return 0;
    return b->left[first] + b->left[second] >= shape->group_size;
}

/* What nodes take, at least, that have what is split and whole groups between them. */
EPLB_P double eplb_p_shared_time(const eplb_p_bounder *b, int32_t first, int32_t second)
{
    int32_t N = b->shape->num_nodes,
            missing = eplb_p_missing(b, first) + eplb_p_missing(b, second) + eplb_p_missing(b, N);
    double load = b->node_sum[first] + b->node_sum[second] + b->node_sum[N] + b->lightest[missing];
    return load / (b->place[first].speed + b->place[second].speed);
}

/* The same for all nodes with slots left: where several groups are split, or one over more than two nodes. */
EPLB_P double eplb_p_scattered_time(const eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    int32_t node, missing = eplb_p_missing(b, shape->num_nodes);
    double load = b->node_sum[shape->num_nodes], speed = 0.0;

    for (node = 0; node < shape->num_nodes; node++) {
        if (b->left[node] == 0) continue;
        load += b->node_sum[node];
        speed += b->place[node].speed;
        missing += eplb_p_missing(b, node);
    }
    return (load + b->lightest[missing]) / speed;
}

/* Load of the lightest experts, so many, of the group that is split. */
EPLB_P double eplb_p_lightest_split(const eplb_p_bounder *b, int32_t num)
{
    const eplb_p_shape *shape = b->shape;
    double sum = 0.0;
    int32_t i;

    for (i = shape->num_experts; num > 0;) {
        if (b->node_of[b->rank_of[--i]] != shape->num_nodes) continue;
        sum += (double)b->load[eplb_p_index(b->order[i])];
        num--;
    }
    return sum;
}

/* A node's experts of whole groups, or with another node's and what is split those of both, on so many slots. */
EPLB_P double eplb_p_listed_bound(eplb_p_bounder *b, int32_t first, int32_t second, int32_t slots,
                                  const eplb_p_place *place, double least)
{
    const eplb_p_shape *shape = b->shape;
    int32_t i, n = 0;
    eplb_p_listed listed;

    eplb_p_team_wait(); /* all are done with what was listed */
    for (i = eplb_p_team_lane(); i - eplb_p_team_lane() < shape->num_experts; i += EPLB_P_TEAM) {
        int32_t node = i < shape->num_experts ? b->node_of[b->rank_of[i]] : -1, num, before;
        int is_listed = node == first || (node >= 0 && first != second && (node == second || node == shape->num_nodes));
        before = eplb_p_team_rank(is_listed, &num);
        if (is_listed) eplb_p_list_expert(b, n + before, b->load[eplb_p_index(b->order[i])]);
        n += num;
    }
    eplb_p_team_wait();
    if (n == 0) return 0.0;
    listed = eplb_p_list_node(b, n, slots, shape->options.max_replicas);
    return eplb_p_place_bound(b, &listed, place, least);
}

/* One of two nodes that have a group between them, when it has so many of its experts: the lightest, at least, and slots
   for no more. */
EPLB_P double eplb_p_half_bound(eplb_p_bounder *b, int32_t node, int32_t here, double enough)
{
    const eplb_p_place *place = &b->place[node];
    double mean = (b->node_sum[node] + eplb_p_lightest_split(b, here)) / place->speed, bound;

    if (mean >= enough) return mean;
    bound = eplb_p_listed_bound(b, node, node, place->num_slots - here, place, mean);
    return bound > mean ? bound : mean;
}

/* Both, when each has as many as suits them best. */
EPLB_P double eplb_p_parted_bound(eplb_p_bounder *b, int32_t first, int32_t second, double enough)
{
    int32_t size = b->shape->group_size, there;
    double least = enough, bound, other;

    for (there = size - b->left[first]; there <= b->left[second]; there++) {
        bound = eplb_p_half_bound(b, first, size - there, least);
        if (bound >= least) continue;
        other = eplb_p_half_bound(b, second, there, least);
        if (other > bound) bound = other;
        if (bound < least) least = bound;
    }
    return least;
}

/* Two nodes with all their groups, and one that they have between them; or anything that is no more than what they take
   and no less than `enough`. */
EPLB_P double eplb_p_halves_bound(eplb_p_bounder *b, int32_t first, int32_t second, double enough)
{
    const eplb_p_shape *shape = b->shape;
    eplb_p_place *both = &b->place[shape->num_nodes + 1];
    double bound = eplb_p_shared_time(b, first, second), other;

    if (bound >= enough) return bound;
    eplb_p_team_wait();
    if (eplb_p_team_lane() == 0) eplb_p_fill_place(both, shape, first, second);
    eplb_p_team_wait();
    other = eplb_p_listed_bound(b, first, second, both->num_slots, both, bound);
    if (other > bound) bound = other;
    if (bound >= enough) return bound;
    other = eplb_p_parted_bound(b, first, second, enough);
    return other > bound ? other : bound;
}

/* What the nodes that have what is split take, at least, in the best case, of all complete splits that this one leads
   to. */
EPLB_P double eplb_p_split_time(const eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    double least = DBL_MAX, time;
    int32_t first, second;

    for (first = 0; b->num_split == 1 && first < shape->num_nodes; first++) {
        for (second = first + 1; second < shape->num_nodes; second++) {
            if (!eplb_p_can_halve(b, first, second)) continue;
            time = eplb_p_shared_time(b, first, second);
            if (time < least) least = time;
        }
    }
    return least < DBL_MAX ? least : eplb_p_scattered_time(b);
}

/* The same of a complete split, where one group is on two nodes; or anything that is no less than `enough`. */
EPLB_P double eplb_p_best_halves_bound(eplb_p_bounder *b, double enough)
{
    const eplb_p_shape *shape = b->shape;
    double least = enough, bound;
    int32_t first, second, any = 0;

    for (first = 0; b->num_split == 1 && first < shape->num_nodes; first++) {
        for (second = first + 1; second < shape->num_nodes; second++) {
            if (!eplb_p_can_halve(b, first, second)) continue;
            any = 1;
            bound = eplb_p_halves_bound(b, first, second, least);
            if (bound < least) least = bound;
        }
    }
    return any ? least : eplb_p_scattered_time(b);
}

/* The bound of a complete split, if that is below `best`, and a node that it is that of; or the last group's. */
EPLB_P double eplb_p_complete_bound(eplb_p_bounder *b, double least, double best, int32_t *worst)
{
    double bound, shared;

    *worst = eplb_p_worst_node(b, least, best);
    bound = b->node_bound[*worst];
    if (b->num_split == 0 || bound >= best) return bound;
    shared = eplb_p_best_halves_bound(b, best);
    if (shared <= bound) return bound;
    *worst = b->node_of[b->shape->num_groups - 1];
    return shared;
}

/* Where a group goes to begin with where nodes are not alike: to the node that takes least with it; what finds no room
   is to be split. */
EPLB_P int32_t eplb_p_first_home(const eplb_p_bounder *b, int32_t group)
{
    const eplb_p_shape *shape = b->shape;
    int32_t node, best = shape->num_nodes;
    double least = DBL_MAX;

    for (node = 0; node < shape->num_nodes; node++) {
        double time;
        if (b->node_fill[node] == b->room[node]) continue;
        time = (b->node_sum[node] + b->group_sum[group]) / b->place[node].speed;
        if (time >= least) continue;
        least = time;
        best = node;
    }
    return best;
}

EPLB_P void eplb_p_leave_home(eplb_p_bounder *b, int32_t group)
{
    eplb_p_team_wait();
    if (eplb_p_team_lane() == 0) b->node_bound[b->node_of[group]] = -1.0; /* it need not be full again */
    eplb_p_take_group_back(b, group);
}

/* The bound of a split to begin with. */
EPLB_P double eplb_p_first_homes(eplb_p_bounder *b, double least)
{
    int32_t group, home, worst;

    for (home = eplb_p_team_lane(); home < b->num_homes; home += EPLB_P_TEAM) {
        b->node_sum[home] = 0.0;
        b->node_fill[home] = 0;
        b->node_bound[home] = -1.0;
    }
    eplb_p_team_wait();
    for (group = 0; group < b->shape->num_groups; group++) eplb_p_put_group(b, group, eplb_p_first_home(b, group));
    return eplb_p_complete_bound(b, least, DBL_MAX, &worst);
}

/* eplb_p_split_bound where nodes are not alike. */
EPLB_P double eplb_p_homes_bound(eplb_p_bounder *b, double least)
{
    double best = eplb_p_first_homes(b, least), bound;
    int32_t group, home, last = b->shape->num_groups - 1, top = last, steps = -last;

    least = eplb_p_times(least, 1.0 + EPLB_P_SPLIT_NEAR);
    for (group = last; group >= 0; group--) eplb_p_leave_home(b, group);
    eplb_p_open_group(b, 0);
    for (group = 0; group >= 0 && best > least;) {
        if (b->node_of[group] >= 0) { /* all that follows from here was tried */
            eplb_p_leave_home(b, group);
            if (group < top) top = group;
        }
        home = eplb_p_next_home(b, group, best);
        if (home == b->num_homes) {
            group--;
            continue;
        }
        steps += 1 + b->pair_steps;
        if (eplb_p_is_hopeless(steps, top)) return 0.0;
        eplb_p_put_group(b, group, home);
        if (b->num_split > 0 && eplb_p_split_time(b) >= best) continue;
        if (group < last) {
            eplb_p_open_group(b, ++group);
            continue;
        }
        bound = eplb_p_complete_bound(b, least, best, &home);
        if (bound < best) best = bound;
        steps += EPLB_P_SPLIT_LEAF;
        for (; b->node_of[group] != home; group--) eplb_p_leave_home(b, group);
    }
    return best > least ? best : 0.0;
}

/* eplb_p_heaviest_group_bound where nodes are not alike; there it may be split, but of one more group than are one is
   whole. */
EPLB_P double eplb_p_whole_group_bound(const eplb_p_bounder *b)
{
    const eplb_p_shape *shape = b->shape;
    double heavy, least = DBL_MAX;
    int32_t node;

    if (b->num_split == shape->num_groups) return 0.0;
    heavy = b->group_sum[b->num_split];
    for (node = 0; node < shape->num_nodes; node++) {
        double load = heavy + b->lightest[b->fewest[node] > 0 ? b->fewest[node] - 1 : 0];
        if (b->room[node] > 0 && load / b->place[node].speed < least) least = load / b->place[node].speed;
    }
    return least;
}

/* home, node_of, node_fill, taken by the experts in locked slots. Returns whether no group is on two nodes. By lane 0. */
EPLB_P int eplb_p_take_locked_homes(eplb_p_bounder *b, int32_t layer, int32_t *home)
{
    const eplb_p_shape *shape = b->shape;
    const int32_t *previous = shape->options.previous_phy2log + eplb_p_at(layer, shape->num_replicas, 0);
    const uint8_t *locked = shape->locked + eplb_p_at(layer, shape->num_replicas, 0);
    int32_t slot, e, group, node;

    for (slot = 0; slot < shape->num_replicas; slot++) {
        if (!locked[slot] || slot >= eplb_p_end_of(&shape->gpus, eplb_p_gpu_with(&shape->gpus, slot))) continue;
        e = previous[slot];
        node = eplb_p_node_of(shape, eplb_p_gpu_with(&shape->gpus, slot));
        if (!eplb_p_within(e, 0, shape->num_experts - 1) || home[e] == node) {
            b->taken[node]++;
            continue;
        }
        group = e / shape->group_size;
        if (home[e] >= 0 || (b->node_of[group] >= 0 && b->node_of[group] != node)) return 0;
        b->node_fill[node] += b->node_of[group] < 0;
        home[e] = b->node_of[group] = node;
    }
    return 1;
}

/* The same, by the team, where nothing is known of them yet. */
EPLB_P int eplb_p_find_locked_homes(eplb_p_bounder *b, int32_t layer)
{
    const eplb_p_shape *shape = b->shape;
    int32_t *home = b->replicas.count; /* which are not in use yet */

    eplb_p_empty_nodes(b);
    eplb_p_team_fill(home, -1, 0, shape->num_experts);
    eplb_p_team_fill(b->node_of, -1, 0, shape->num_groups);
    eplb_p_team_fill(b->taken, 0, 0, shape->num_nodes);
    eplb_p_team_wait();
    return eplb_p_team_first(eplb_p_team_lane() == 0 && eplb_p_take_locked_homes(b, layer, home)) != 0;
}

/* Whether locked slots leave plans with as few split groups, over as few nodes, as without them; as far as that is
   plain to see. Where they do not, what the policy asks for is another thing. */
EPLB_P int eplb_p_locks_suit_groups(eplb_p_bounder *b, int32_t layer)
{
    const eplb_p_shape *shape = b->shape;
    int32_t N = shape->num_nodes, size = shape->group_size, node, other, room, halves = 0, halved = 0;
    int64_t rooms = 0;

    if (!eplb_p_find_locked_homes(b, layer)) return 0;
    for (node = 0; node < N; node++) {
        room = (b->place[node].num_slots - b->taken[node]) / size;
        rooms += room;
        if (b->node_fill[node] > room) return 0;
    }
    if (rooms < shape->num_groups - b->num_split) return 0;
    for (node = 0; node < N && b->num_split == 1; node++) {
        for (other = node + 1; other < N; other++) {
            if (!eplb_p_can_halve(b, node, other)) continue;
            halves = 1;
            if (b->taken[node] < b->left[node] && b->taken[other] < b->left[other]
                && b->left[node] + b->left[other] - b->taken[node] - b->taken[other] >= size)
                halved = 1;
        }
    }
    return halved || !halves;
}

/* Less what rounding may have added: loads are rounded to float32 once, replicas divided in it once
   more, or groups told apart, and all else is in double precision. */
EPLB_P double eplb_p_less_rounding(double bound) { return eplb_p_times(bound, 1.0 - 4 * (double)FLT_EPSILON); }

/* The lower bound of the layer whose mean load this is, in its unit by that of speeds. */
EPLB_P double eplb_p_lower_bound(eplb_p_bounder *b, const float *load, int32_t layer)
{
    const eplb_p_shape *shape = b->shape;
    const eplb_p_place *all = eplb_p_whole_place(b);
    double total = 0.0, bound, other;
    int32_t lane = eplb_p_team_lane(), group, cap = shape->options.max_replicas;
    eplb_p_listed listed;

    if (lane == 0) b->load = load;
    eplb_p_team_wait();
    eplb_p_rank_groups(b);
    for (group = 0; group < shape->num_groups; group++) total += b->group_sum[group];
    bound = total / all->speed;
    if (lane == 0) b->part = eplb_p_bounder_part(total);
    eplb_p_team_wait();
    if (shape->num_nodes == 1) cap = eplb_p_cap_on(shape, all, shape->num_experts);
    listed.load = load;
    listed.order = b->order;
    listed.num_log = shape->num_experts;
    listed.num_phy = all->num_slots;
    listed.max_replicas = cap;
    other = eplb_p_place_bound(b, &listed, all, bound);
    if (other > bound) bound = other;
    if (shape->num_nodes > 1 && shape->locked && !eplb_p_locks_suit_groups(b, layer))
        return eplb_p_less_rounding(bound);
    other = b->place ? eplb_p_whole_group_bound(b) : eplb_p_heaviest_group_bound(b);
    if (other > bound) bound = other;
    if (shape->num_nodes > 1) {
        other = b->place ? eplb_p_homes_bound(b, bound) : eplb_p_split_bound(b, bound);
        if (other > bound) bound = other;
    }
    return eplb_p_less_rounding(bound);
}

/* ----------------------------------------------------------------------------------- evaluate */

typedef struct eplb_p_evaluator {
    const eplb_p_shape *shape;
    float *load;     /* [E] mean over the samples that hold load, scaled */
    int32_t *count;  /* [E] replicas of each expert in the plan */
    int32_t held;    /* slots that hold an expert */
    double *share;   /* [E] load of each replica in one sample */
    double *gpu_sum; /* [G] load of each GPU, over the samples */
    double speed;    /* of all GPUs with slots together; where all are as fast, how many there are */
    eplb_p_bounder bounder;
} eplb_p_evaluator;

EPLB_P double eplb_p_speed_of_all(const eplb_p_shape *shape)
{
    double speed = 0.0;
    int32_t gpu;

    if (!shape->speed) return shape->num_living;
    for (gpu = 0; gpu < shape->num_gpus; gpu++)
        if (eplb_p_num_on(&shape->gpus, gpu) > 0) speed += eplb_p_speed_of(shape, gpu);
    return speed;
}

/* One that sums loads, and reports nothing. */
EPLB_P eplb_p_evaluator eplb_p_carve_sums(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_evaluator v = EPLB_ZERO_INIT;
    v.shape = shape;
    v.count = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    v.share = EPLB_P_TAKE(a, double, shape->num_experts);
    v.gpu_sum = EPLB_P_TAKE(a, double, shape->num_gpus);
    v.speed = eplb_p_speed_of_all(shape);
    return v;
}

EPLB_P eplb_p_evaluator eplb_p_carve_evaluator(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_evaluator v = eplb_p_carve_sums(a, shape);
    v.load = EPLB_P_TAKE(a, float, shape->num_experts);
    v.bounder = eplb_p_carve_bounder(a, shape);
    return v;
}

EPLB_P const int32_t *eplb_p_layer_slots(const eplb_p_shape *shape, const eplb_plan *plan, int32_t layer)
{
    return plan->phy2log + (size_t)layer * (size_t)shape->num_replicas;
}

/* count, held of one layer's plan; fails where it is none. By the team, as what follows. */
EPLB_P eplb_result eplb_p_count_replicas(eplb_p_evaluator *v, const int32_t *phy2log)
{
    const eplb_p_shape *shape = v->shape;
    int32_t *count = v->count, num_experts = shape->num_experts, gpu, slot; /* stay in registers */
    int32_t held = 0, seen = 0, bad = 0;

    eplb_p_team_fill(count, 0, 0, num_experts);
    eplb_p_team_wait();
    for (gpu = eplb_p_team_lane(); gpu < shape->num_gpus; gpu += EPLB_P_TEAM) {
        int32_t end = eplb_p_end_of(&shape->gpus, gpu);
        for (slot = eplb_p_begin_of(&shape->gpus, gpu); slot < end; slot++) {
            int32_t e = phy2log[slot];
            if (eplb_p_within(e, 0, num_experts - 1)) {
                seen += eplb_p_team_count(&count[e], 1) == 0;
                held++;
            } else if (e != EPLB_P_EMPTY) {
                bad = 1;
            }
        }
    }
    held = eplb_p_team_sum(held);
    if (eplb_p_team_lane() == 0) v->held = held;
    eplb_p_team_wait();
    return eplb_p_team_sum(seen) == num_experts && !eplb_p_team_most(bad) ? EPLB_OK : EPLB_ERR_PLAN;
}

/* load [E] = the mean over the samples that hold load, all alike, scaled; rounded once, however many there
   are. Returns the scale, or 0 when there is no load. Share is not in use yet, and holds the sums. */
EPLB_P double eplb_p_evaluated_load(eplb_p_evaluator *v, const eplb_p_samples *samples, int32_t *num_loaded)
{
    double scale = (double)eplb_p_samples_scale(samples, v->shape->num_experts);
    int32_t lane = eplb_p_team_lane(), t, e;

    *num_loaded = 0;
    for (e = lane; e < v->shape->num_experts; e += EPLB_P_TEAM) v->share[e] = 0.0;
    for (t = 0; t < samples->num; t++) {
        if (!eplb_p_holds_load(samples, t, v->shape->num_experts)) continue;
        for (e = lane; e < v->shape->num_experts; e += EPLB_P_TEAM)
            v->share[e] += (double)eplb_p_sample_load(samples, t, e);
        ++*num_loaded;
    }
    for (e = lane; e < v->shape->num_experts; e += EPLB_P_TEAM)
        v->load[e] = *num_loaded ? (float)eplb_p_times(v->share[e] / *num_loaded, scale) : 0.0f;
    eplb_p_team_wait();
    return scale;
}

/* Of an expert's replicas; most have one. */
EPLB_P double eplb_p_load_of_each(float load, int32_t count)
{
    return count == 1 ? (double)load : (double)load / count;
}

/* Load of each GPU under one sample of one layer's loads: added to gpu_sum; what all carry and the
   maximum, by speed, are added to the report's running totals. */
EPLB_P void eplb_p_add_sample(eplb_p_evaluator *v, const float *weight, const int32_t *phy2log, double *total,
                              double *sum_of_maxima)
{
    const eplb_p_shape *shape = v->shape;
    double most = 0.0;
    int32_t lane = eplb_p_team_lane(), e, gpu, slot;

    for (e = lane; e < shape->num_experts; e += EPLB_P_TEAM) v->share[e] = eplb_p_load_of_each(weight[e], v->count[e]);
    for (e = 0; e < shape->num_experts; e++) *total += (double)weight[e];
    eplb_p_team_wait();
    for (gpu = lane; gpu < shape->num_gpus; gpu += EPLB_P_TEAM) {
        int32_t end = eplb_p_end_of(&shape->gpus, gpu);
        double sum = 0.0;
        for (slot = eplb_p_begin_of(&shape->gpus, gpu); slot < end; slot++)
            if (phy2log[slot] != EPLB_P_EMPTY) sum += v->share[phy2log[slot]];
        v->gpu_sum[gpu] += sum;
        if (shape->speed) sum /= (double)shape->speed[gpu];
        if (sum > most) most = sum;
    }
    eplb_p_team_wait(); /* all have read the shares */
    *sum_of_maxima += eplb_p_team_most_double(most);
}

/* Mean and heaviest load of a GPU, by speed, in one layer whose replicas are counted, and gpu_sum, which is not: means
   over the samples that hold load; most is no less than mean. */
EPLB_P void eplb_p_evaluate_equally(eplb_p_evaluator *v, const eplb_p_samples *samples, const int32_t *phy2log,
                                    double *mean, double *most)
{
    int32_t num_loaded = 0, t, gpu;

    *mean = *most = 0.0;
    for (gpu = eplb_p_team_lane(); gpu < v->shape->num_gpus; gpu += EPLB_P_TEAM) v->gpu_sum[gpu] = 0.0;
    for (t = 0; t < samples->num; t++) {
        if (!eplb_p_holds_load(samples, t, v->shape->num_experts)) continue;
        eplb_p_add_sample(v, samples->load + (size_t)t * samples->stride, phy2log, mean, most);
        num_loaded++;
    }
    if (num_loaded == 0) return;
    *mean = *mean / num_loaded / v->speed;
    *most = *most / num_loaded;
    if (*most < *mean) *most = *mean; /* by rounding: the mean is the loads' alone, whatever the plan */
    for (gpu = eplb_p_team_lane(); gpu < v->shape->num_gpus; gpu += EPLB_P_TEAM) v->gpu_sum[gpu] /= num_loaded;
}

enum { EPLB_P_ABROAD = -2 }; /* of an expert's home: it is on several nodes */

/* Slots whose expert is in an earlier one of the GPU too. */
EPLB_P int32_t eplb_p_count_duplicates(const eplb_p_shape *shape, const int32_t *phy2log)
{
    int32_t duplicates = 0, num_gpus = shape->num_gpus, gpu, slot, i; /* copies stay in registers */

    for (gpu = eplb_p_team_lane(); gpu < num_gpus; gpu += EPLB_P_TEAM) {
        int32_t first = eplb_p_begin_of(&shape->gpus, gpu), end = eplb_p_end_of(&shape->gpus, gpu);
        for (slot = first; slot < end; slot++) {
            int32_t e = phy2log[slot];
            if (e == EPLB_P_EMPTY) continue;
            for (i = first; phy2log[i] != e; i++) {}
            duplicates += i < slot;
        }
    }
    return eplb_p_team_sum(duplicates);
}

/* home [E]: the node of each expert, one that it is on at first, and then, where another of its GPUs is not there, none. */
EPLB_P void eplb_p_note_nodes(const eplb_p_shape *shape, const int32_t *phy2log, int32_t *home)
{
    int32_t link_gpus = shape->node_of ? 0 : shape->num_gpus / shape->link_nodes, gpu, slot, compares;

    for (compares = 0; compares < 2; compares++) {
        for (gpu = eplb_p_team_lane(); gpu < shape->num_gpus; gpu += EPLB_P_TEAM) {
            int32_t end = eplb_p_end_of(&shape->gpus, gpu);
            int32_t node = shape->node_of ? shape->node_of[gpu] : gpu / link_gpus;
            for (slot = eplb_p_begin_of(&shape->gpus, gpu); slot < end; slot++) {
                int32_t e = phy2log[slot];
                if (e == EPLB_P_EMPTY || (compares && home[e] == node)) continue;
                home[e] = compares ? EPLB_P_ABROAD : node;
            }
        }
        eplb_p_team_wait();
    }
}

EPLB_P int32_t eplb_p_count_split_groups(const eplb_p_shape *shape, const int32_t *phy2log, int32_t *home)
{
    int32_t split = 0, size = shape->group_size, group, e;

    if (shape->num_nodes == 1) return 0;
    eplb_p_note_nodes(shape, phy2log, home);
    for (group = eplb_p_team_lane(); group < shape->num_groups; group += EPLB_P_TEAM) {
        int32_t first = home[eplb_p_at(group, size, 0)], several = first == EPLB_P_ABROAD;
        for (e = group * size; e < (group + 1) * size; e++) several |= home[e] ^ first;
        split += several != 0;
    }
    split = eplb_p_team_sum(split);
    eplb_p_team_wait();
    return split;
}

/* Mean over maximum; 1 where there is no load, and never above. */
EPLB_P float eplb_p_balancedness(double mean, double most) { return mean < most ? (float)(mean / most) : 1.0f; }

/* A load for a report; the sum of loads near FLT_MAX may lie beyond it. */
EPLB_P float eplb_p_reported(double load) { return load < (double)FLT_MAX ? (float)load : FLT_MAX; }

/* The same, rounded down: what no load is below, it is no more than. */
EPLB_P float eplb_p_reported_bound(double load)
{
    float nearest = eplb_p_reported(load);
    return (double)nearest > load ? eplb_p_from_bits(eplb_p_bits(nearest) - 1) : nearest;
}

EPLB_P void eplb_p_report_layer(eplb_p_evaluator *v, const float *weight, int32_t layer, const int32_t *phy2log,
                                eplb_layer_report *report)
{
    eplb_p_samples samples = eplb_p_layer_samples(v->shape, weight, layer);
    double mean, most, bound, scale, heaviest_replica = 0.0;
    int32_t max_logcnt = 0, e, num_loaded;

    samples.weight = NULL; /* all alike */
    scale = eplb_p_evaluated_load(v, &samples, &num_loaded);
    eplb_p_evaluate_equally(v, &samples, phy2log, &mean, &most);

    for (e = eplb_p_team_lane(); e < v->shape->num_experts; e += EPLB_P_TEAM) {
        double each = eplb_p_load_of_each(v->load[e], v->count[e]);
        if (each > heaviest_replica) heaviest_replica = each;
        if (v->count[e] > max_logcnt) max_logcnt = v->count[e];
    }
    heaviest_replica = eplb_p_team_most_double(heaviest_replica);
    report->max_logcnt = eplb_p_team_most(max_logcnt);
    report->num_duplicates = eplb_p_count_duplicates(v->shape, phy2log);
    report->num_split_groups =
        eplb_p_count_split_groups(v->shape, phy2log, v->bounder.rank_of); /* which is not in use yet */
    report->max_load = 0.0f;
    report->mean_load = 0.0f;
    report->balancedness = 1.0f;
    report->lower_bound = 0.0f;
    report->replica_balancedness = 1.0f;
    if (num_loaded == 0) return;

    bound = eplb_p_lower_bound(&v->bounder, v->load, layer) / scale; /* exact: a power of two */
    report->max_load = eplb_p_reported(most);
    report->mean_load = eplb_p_reported_bound(mean);
    report->balancedness = eplb_p_balancedness(mean, most);
    report->lower_bound = eplb_p_reported_bound(bound > mean ? bound : mean);
    report->replica_balancedness = eplb_p_balancedness(mean / ((double)v->held / v->speed), heaviest_replica / scale);
}

/* Whether the slots of a layer hold experts, or nothing, and served no fewer than 0 tokens each, nor more of
   one expert than int32_t can count. Where all slots together served no more than that, no expert needs a
   sum of its own. */
EPLB_P eplb_result eplb_p_check_slot_counts(const int32_t *phy2log, const int32_t *slot_count, int32_t num_slots,
                                            int32_t num_experts)
{
    int64_t sum = 0;
    int32_t e, slot;

    for (slot = 0; slot < num_slots; slot++) {
        if (!eplb_p_within(phy2log[slot], EPLB_P_EMPTY, num_experts - 1)) return EPLB_ERR_PLAN;
        if (slot_count[slot] < 0) return EPLB_ERR_NEGATIVE;
        sum += slot_count[slot];
    }
    if (sum <= INT32_MAX) return EPLB_OK;
    for (e = 0; e < num_experts; e++) {
        sum = 0;
        for (slot = 0; slot < num_slots; slot++)
            if (phy2log[slot] == e) sum += slot_count[slot];
        if (sum > INT32_MAX) return EPLB_ERR_OVERFLOW;
    }
    return EPLB_OK;
}

/* ---------------------------------------------------------------------------------- transfers

   Which of a plan's slots have to be filled, and from where. A slot stands for the transfer that fills it: from
   [slot] is where its expert comes from; EPLB_P_NONE: nobody holds it. */

#define EPLB_P_STAYS (-2) /* in from: the slot is empty, or keeps its expert */

typedef struct eplb_p_mover {
    const eplb_p_shape *shape; /* of it only what a cluster is */
    int32_t num_experts, num_slots, num_gpus;
    const int32_t *old_expert, *new_expert; /* [R] the plans of the layer at hand */
    int32_t *gpu_of;                        /* [R] GPU of a slot */
    int32_t *node_of;                       /* [G] node of a GPU */
    int32_t *seen_on;                       /* [E] while a plan is checked: the GPU last found to have the expert */
    int32_t *seen_in;                       /* [E] and in which slot */
    int32_t *holder;      /* [E] a slot on the first GPU that held the expert; next_holder leads to one on the next */
    int32_t *next_holder; /* [R] */
    int32_t *wanted;      /* [E] the slot of the first GPU that is to get the expert; likewise */
    int32_t *next_wanted; /* [R] */
    int32_t *from;        /* [R] a slot of the plan in force, or of the new one: see eplb_transfer */
    int32_t *sender;      /* [R] the GPU that a slot is filled from over a link; EPLB_P_NONE where it is not */
    int32_t num_changed, num_moves;
    int32_t *changed;        /* [R] slots that do not stay, in order */
    int32_t *sends, *gets;   /* [G] moves out of a GPU, and into it */
    int32_t *movable;        /* [G] of its sends the first that another GPU could do; next_movable leads on */
    int32_t *next_movable;   /* [R] the memory of round, which nothing has while sources are chosen */
    int32_t *reached, *over; /* [G] the send by which a chain comes to a GPU, and the slot it would take over with */
    int32_t num_counts;      /* max(G, N) */
    int32_t *queue;          /* [num_counts] GPUs in turn; where a plan is checked, what is counted by GPU or node */
    int32_t *round;          /* [R] */
} eplb_p_mover;

EPLB_P eplb_p_mover eplb_p_carve_mover(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_mover m = EPLB_ZERO_INIT;
    int32_t E = shape->num_experts, R = shape->num_replicas, G = shape->num_gpus;

    m.shape = shape;
    m.num_experts = E;
    m.num_slots = R;
    m.num_gpus = G;
    m.gpu_of = EPLB_P_TAKE(a, int32_t, R);
    m.node_of = EPLB_P_TAKE(a, int32_t, G);
    m.seen_on = EPLB_P_TAKE(a, int32_t, E);
    m.seen_in = EPLB_P_TAKE(a, int32_t, E);
    m.holder = EPLB_P_TAKE(a, int32_t, E);
    m.next_holder = EPLB_P_TAKE(a, int32_t, R);
    m.wanted = EPLB_P_TAKE(a, int32_t, E);
    m.next_wanted = EPLB_P_TAKE(a, int32_t, R);
    m.from = EPLB_P_TAKE(a, int32_t, R);
    m.sender = EPLB_P_TAKE(a, int32_t, R);
    m.sends = EPLB_P_TAKE(a, int32_t, G);
    m.gets = EPLB_P_TAKE(a, int32_t, G);
    m.movable = EPLB_P_TAKE(a, int32_t, G);
    m.reached = EPLB_P_TAKE(a, int32_t, G);
    m.over = EPLB_P_TAKE(a, int32_t, G);
    m.num_counts = G > shape->link_nodes ? G : shape->link_nodes;
    m.queue = EPLB_P_TAKE(a, int32_t, m.num_counts);
    m.round = EPLB_P_TAKE(a, int32_t, R);
    m.changed = EPLB_P_TAKE(a, int32_t, R);
    m.next_movable = m.round;
    return m;
}

EPLB_P void eplb_p_number_gpus(eplb_p_mover *m)
{
    int32_t gpu, slot = 0;

    for (gpu = 0; gpu < m->num_gpus; gpu++) {
        m->node_of[gpu] = eplb_p_node_of(m->shape, gpu);
        while (slot < eplb_p_begin_of(&m->shape->gpus, gpu + 1)) m->gpu_of[slot++] = gpu;
    }
}

EPLB_P int eplb_p_keeps(const eplb_p_mover *m, int32_t slot) { return m->old_expert[slot] == m->new_expert[slot]; }

EPLB_P int eplb_p_is_move(const eplb_p_mover *m, int32_t slot) { return m->sender[slot] != EPLB_P_NONE; }

EPLB_P int eplb_p_crosses_nodes(const eplb_p_mover *m, int32_t slot)
{
    return m->node_of[m->sender[slot]] != m->node_of[m->gpu_of[slot]];
}

/* Whether a slot is one of the GPU's in hand: it has those below `end`, and lists begin with none of a GPU before it. */
EPLB_P int eplb_p_is_here(int32_t slot, int32_t end) { return (uint32_t)slot < (uint32_t)end; }

/* One slot for each expert that a GPU held: one that keeps it, or else the first. What a slot has that may not be used
   is not there. */
EPLB_P void eplb_p_find_held(eplb_p_mover *m, int32_t gpu)
{
    int32_t slot = eplb_p_begin_of(&m->shape->gpus, gpu), end = eplb_p_end_of(&m->shape->gpus, gpu),
            *holder = m->holder, *next = m->next_holder, e, h;

    for (; slot < end; slot++) {
        e = m->old_expert[slot];
        if (e == EPLB_P_EMPTY) continue;
        h = holder[e];
        if (eplb_p_is_here(h, end)) {
            if (!eplb_p_keeps(m, slot) || eplb_p_keeps(m, h)) continue;
            h = next[h];
        }
        next[slot] = h;
        holder[e] = slot;
    }
}

/* What a GPU's slots are to be filled from: within the GPU, or from nobody yet. */
EPLB_P void eplb_p_find_wanted(eplb_p_mover *m, int32_t gpu)
{
    int32_t slot = eplb_p_begin_of(&m->shape->gpus, gpu), last = eplb_p_begin_of(&m->shape->gpus, gpu + 1),
            end = eplb_p_end_of(&m->shape->gpus, gpu), e, from;

    for (; slot < end; slot++) {
        e = m->new_expert[slot];
        from = EPLB_P_STAYS;
        if (e != EPLB_P_EMPTY && !eplb_p_keeps(m, slot)) {
            from = m->holder[e];
            if (!eplb_p_is_here(from, end)) from = m->wanted[e];
            if (!eplb_p_is_here(from, end)) {
                from = EPLB_P_NONE;
                m->next_wanted[slot] = m->wanted[e];
                m->wanted[e] = slot;
            }
        }
        m->from[slot] = from;
    }
    for (; slot < last; slot++) m->from[slot] = EPLB_P_STAYS;
}

/* ---------------------------------------------------------------------------- transfers: sources */

/* The first `receivers % senders` holders serve one receiver more, from the end of the list. */
EPLB_P void eplb_p_deal_sources(eplb_p_mover *m, int32_t e)
{
    int32_t senders = 1, receivers = 0, each, i, slot, to = m->wanted[e], extra;

    for (slot = m->next_holder[m->holder[e]]; slot != EPLB_P_NONE; slot = m->next_holder[slot]) senders++;
    for (slot = m->wanted[e]; slot != EPLB_P_NONE; slot = m->next_wanted[slot]) receivers++;
    each = receivers / senders;
    for (slot = m->holder[e]; slot != EPLB_P_NONE; slot = m->next_holder[slot]) {
        for (i = 0; i < each; i++) {
            m->from[to] = slot;
            to = m->next_wanted[to];
        }
    }
    for (slot = m->holder[e], extra = to; extra != EPLB_P_NONE; extra = m->next_wanted[extra]) {
        m->from[extra] = slot;
        slot = m->next_holder[slot];
    }
}

/* The first holder, from this one on, that may serve a slot: one on its node, where there is one. */
EPLB_P int32_t eplb_p_next_source(const eplb_p_mover *m, int32_t slot, int32_t holder, int nearby)
{
    int32_t node = m->node_of[m->gpu_of[slot]];

    while (nearby && holder != EPLB_P_NONE && m->node_of[m->gpu_of[holder]] != node) holder = m->next_holder[holder];
    return holder;
}

EPLB_P int eplb_p_has_nearby(const eplb_p_mover *m, int32_t slot)
{
    return eplb_p_next_source(m, slot, m->holder[m->new_expert[slot]], 1) != EPLB_P_NONE;
}

EPLB_P void eplb_p_take_send(eplb_p_mover *m, int32_t slot, int32_t holder)
{
    int32_t gpu = m->gpu_of[holder];

    m->from[slot] = holder;
    m->next_movable[slot] = m->movable[gpu];
    m->movable[gpu] = slot;
}

EPLB_P void eplb_p_drop_send(eplb_p_mover *m, int32_t slot)
{
    int32_t *at = &m->movable[m->gpu_of[m->from[slot]]];

    while (*at != slot) at = &m->next_movable[*at];
    *at = m->next_movable[slot];
}

/* The holder that has the fewest sends so far; whether there was a choice is remembered. */
EPLB_P void eplb_p_pick_source(eplb_p_mover *m, int32_t slot)
{
    int nearby = eplb_p_has_nearby(m, slot);
    int32_t first = eplb_p_next_source(m, slot, m->holder[m->new_expert[slot]], nearby), h;
    eplb_p_incumbent best = eplb_p_worth_more_than(INT64_MIN);

    for (h = first; h != EPLB_P_NONE; h = eplb_p_next_source(m, slot, m->next_holder[h], nearby))
        eplb_p_challenge(&best, -(int64_t)m->sends[m->gpu_of[h]], h);
    m->sends[m->gpu_of[best.index]]++;
    if (eplb_p_next_source(m, slot, m->next_holder[first], nearby) == EPLB_P_NONE) m->from[slot] = best.index;
    else eplb_p_take_send(m, slot, best.index);
}

/* Where a chain of sends that begins at the busiest GPU, each taken over by the next GPU, comes to one that is two
   or more below it; EPLB_P_NONE where none does. */
EPLB_P int32_t eplb_p_find_less_busy(eplb_p_mover *m, int32_t busiest)
{
    int32_t first = 0, num = 0, slot, h, gpu;

    eplb_p_fill_ids(m->reached, EPLB_P_NONE, 0, m->num_gpus);
    m->reached[busiest] = EPLB_P_STAYS;
    m->queue[num++] = busiest;
    while (first < num) {
        for (slot = m->movable[m->queue[first++]]; slot != EPLB_P_NONE; slot = m->next_movable[slot]) {
            int nearby = eplb_p_has_nearby(m, slot);
            h = eplb_p_next_source(m, slot, m->holder[m->new_expert[slot]], nearby);
            for (; h != EPLB_P_NONE; h = eplb_p_next_source(m, slot, m->next_holder[h], nearby)) {
                gpu = m->gpu_of[h];
                if (m->reached[gpu] != EPLB_P_NONE) continue;
                m->reached[gpu] = slot;
                m->over[gpu] = h;
                if (m->sends[gpu] < m->sends[busiest] - 1) return gpu;
                m->queue[num++] = gpu;
            }
        }
    }
    return EPLB_P_NONE;
}

EPLB_P int32_t eplb_p_most_of(const int32_t *count, int32_t n)
{
    eplb_p_incumbent most = eplb_p_worth_more_than(-1);
    int32_t i;
    for (i = 0; i < n; i++) eplb_p_challenge(&most, count[i], i);
    return most.index;
}

/* Sends go along chains from the busiest GPU until it has none to give away. Then no sources give the busiest GPU
   fewer: all that the GPUs of its chains send can be sent by them alone, and as none of them is two below it, their
   mean is above its sends less one. */
EPLB_P void eplb_p_even_sends(eplb_p_mover *m)
{
    for (;;) {
        int32_t busiest = eplb_p_most_of(m->sends, m->num_gpus), gpu = eplb_p_find_less_busy(m, busiest);
        if (gpu == EPLB_P_NONE) return;
        m->sends[busiest]--;
        m->sends[gpu]++;
        while (gpu != busiest) {
            int32_t slot = m->reached[gpu], sender = m->gpu_of[m->from[slot]];
            eplb_p_drop_send(m, slot);
            eplb_p_take_send(m, slot, m->over[gpu]);
            gpu = sender;
        }
    }
}

/* All that want an expert which only one GPU held get it from there. */
EPLB_P void eplb_p_serve_all(eplb_p_mover *m, int32_t holder, int32_t wanted)
{
    int32_t *from = m->from, num = 0, slot;

    for (slot = wanted; slot != EPLB_P_NONE; slot = m->next_wanted[slot], num++) from[slot] = holder;
    m->sends[m->gpu_of[holder]] += num;
}

EPLB_P void eplb_p_choose_sources(eplb_p_mover *m, int32_t sources)
{
    int32_t e, slot, num_experts = m->num_experts;

    eplb_p_fill_ids(m->sends, 0, 0, m->num_gpus);
    eplb_p_fill_ids(m->movable, EPLB_P_NONE, 0, m->num_gpus);
    for (e = 0; e < num_experts; e++) {
        if ((m->holder[e] | m->wanted[e]) < 0) continue; /* EPLB_P_NONE */
        if (m->next_holder[m->holder[e]] == EPLB_P_NONE) eplb_p_serve_all(m, m->holder[e], m->wanted[e]);
        else if (sources == EPLB_SOURCES_DEALT) eplb_p_deal_sources(m, e);
        else
            for (slot = m->wanted[e]; slot != EPLB_P_NONE; slot = m->next_wanted[slot]) eplb_p_pick_source(m, slot);
    }
    if (sources == EPLB_SOURCES_EVEN) eplb_p_even_sends(m);
}

EPLB_P void eplb_p_list_changed(eplb_p_mover *m)
{
    int32_t *changed = m->changed, *sender = m->sender, *round = m->round, num_slots = m->num_slots, num = 0, slot;

    for (slot = 0; slot < num_slots; slot++) {
        sender[slot] = round[slot] = EPLB_P_NONE;
        changed[num] = slot;
        num += m->from[slot] != EPLB_P_STAYS;
    }
    m->num_changed = num;
}

/* sender, sends, gets = what goes over links; nothing has a round yet. */
EPLB_P void eplb_p_count_moves(eplb_p_mover *m)
{
    const int32_t *gpu_of = m->gpu_of, *at = m->changed, *end;
    int32_t *sends = m->sends, *gets = m->gets, sender, num_moves = 0;

    eplb_p_list_changed(m);
    eplb_p_fill_ids(sends, 0, 0, m->num_gpus);
    eplb_p_fill_ids(gets, 0, 0, m->num_gpus);
    for (end = at + m->num_changed; at < end; at++) {
        if (m->from[*at] == EPLB_P_NONE) continue;
        sender = gpu_of[m->from[*at]];
        if (sender == gpu_of[*at]) continue;
        m->sender[*at] = sender;
        sends[sender]++;
        gets[gpu_of[*at]]++;
        num_moves++;
    }
    m->num_moves = num_moves;
}

/* What one layer's slots are filled from. */
EPLB_P void eplb_p_source_layer(eplb_p_mover *m, const int32_t *previous_phy2log, const int32_t *phy2log,
                                int32_t sources)
{
    int32_t gpu;

    m->old_expert = previous_phy2log;
    m->new_expert = phy2log;
    eplb_p_fill_ids(m->holder, EPLB_P_NONE, 0, m->num_experts);
    eplb_p_fill_ids(m->wanted, EPLB_P_NONE, 0, m->num_experts);
    for (gpu = m->num_gpus - 1; gpu >= 0; gpu--) { /* so that lists, which grow at the front, ascend */
        eplb_p_find_held(m, gpu);
        eplb_p_find_wanted(m, gpu);
    }
    eplb_p_choose_sources(m, sources);
    eplb_p_count_moves(m);
}

/* ----------------------------------------------------------------------------- transfers: rounds

   DUPLEX: GPUs as senders and GPUs as receivers are the two sides of a bipartite graph, moves its edges, rounds
   their colours: no two at a GPU's side are the same. With as many colours as the most edges at a side there are
   enough (Koenig 1916). Proof: an edge is added between a sender, where colour a is free as not all of its edges
   are there yet, and a receiver, where b is. Where a is not free at the receiver, edges of a and b alternate on a
   path from there. It comes to senders by a, so not to this one, which has no a. Exchange both along it: a is free
   at the receiver too, and stays so at the sender.
   At most so many in a round: while a round has more, some other has fewer, as there are rounds enough for all. The
   edges of the two are paths and rings that alternate, and on one path, at least, the fuller round is one ahead:
   exchange them along it (McDiarmid 1972, de Werra 1971). */

enum { EPLB_P_SENDS, EPLB_P_GETS, EPLB_P_ROLES };

typedef struct eplb_p_rounds {
    eplb_p_mover *m;
    int32_t num, words; /* rounds, and words of a set of them */
    uint32_t *busy;     /* [roles, G, words] sets of rounds; what is done in one role, or in any under SENDS */
    int32_t *last_sent; /* [G] the last of a GPU's sends that has a round; sent leads to the others */
    int32_t *sent;      /* [R] for flows instead: moves by expert, then sender, then receiver */
    int32_t *fill;      /* [R + 1] moves in a round; when they are stored, transfers before it */
} eplb_p_rounds;

EPLB_P int32_t eplb_p_round_words(int32_t num) { return num / 32 + 1; }

EPLB_P eplb_p_rounds eplb_p_carve_rounds(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_rounds r = EPLB_ZERO_INIT;
    int32_t R = shape->num_replicas, G = shape->num_gpus;

    r.busy = EPLB_P_TAKE_ROWS(a, uint32_t, G, EPLB_P_ROLES * (size_t)eplb_p_round_words(R));
    r.last_sent = EPLB_P_TAKE(a, int32_t, G);
    r.sent = EPLB_P_TAKE(a, int32_t, R);
    r.fill = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)R + 1);
    return r;
}

EPLB_P void eplb_p_begin_rounds(eplb_p_rounds *r, int32_t num)
{
    size_t i, words;

    r->num = num;
    r->words = eplb_p_round_words(num);
    words = EPLB_P_ROLES * (size_t)r->m->num_gpus * (size_t)r->words;
    for (i = 0; i < words; i++) r->busy[i] = 0;
    eplb_p_fill_ids(r->fill, 0, 0, num + 1);
}

EPLB_P uint32_t *eplb_p_busy_of(const eplb_p_rounds *r, int role, int32_t gpu)
{
    return r->busy + eplb_p_at(role * r->m->num_gpus + gpu, r->words, 0);
}

EPLB_P int eplb_p_is_busy(const uint32_t *busy, int32_t round) { return (busy[round / 32] >> (round % 32) & 1u) != 0; }

EPLB_P void eplb_p_toggle(uint32_t *busy, int32_t round)
{
    EPLB_ASSERT(round >= 0);
    busy[round / 32] ^= (uint32_t)1 << (round % 32);
}

EPLB_P int32_t eplb_p_lowest_bit(uint32_t word)
{
#if defined(__GNUC__) && !defined(__CUDACC__) && __SIZEOF_INT__ >= 4
    return __builtin_ctz(word);
#else
    int32_t n = 0, half;
    for (half = 16; half > 0; half /= 2) {
        if (word & (((uint32_t)1 << half) - 1)) continue;
        word >>= half;
        n += half;
    }
    return n;
#endif
}

/* The first round that is free in both sets. */
EPLB_P int32_t eplb_p_free_round(const eplb_p_rounds *r, const uint32_t *a, const uint32_t *b)
{
    uint32_t open;
    int32_t i;

    for (i = 0; i < r->words; i++) {
        open = ~(a[i] | b[i]);
        if (open) return 32 * i + eplb_p_lowest_bit(open);
    }
    return 32 * r->words;
}

/* The move of a GPU, in one of its roles, in a round; EPLB_P_NONE where it has none. */
EPLB_P int32_t eplb_p_move_in(const eplb_p_rounds *r, int role, int32_t gpu, int32_t round)
{
    const eplb_p_mover *m = r->m;
    int32_t slot;

    if (!eplb_p_is_busy(eplb_p_busy_of(r, role, gpu), round)) return EPLB_P_NONE;
    if (role == EPLB_P_GETS) {
        for (slot = eplb_p_begin_of(&m->shape->gpus, gpu); m->round[slot] != round; slot++) {}
        return slot;
    }
    for (slot = r->last_sent[gpu]; m->round[slot] != round; slot = r->sent[slot]) {}
    return slot;
}

EPLB_P int32_t eplb_p_other_end(const eplb_p_mover *m, int32_t slot, int role)
{
    return role == EPLB_P_SENDS ? m->gpu_of[slot] : m->sender[slot];
}

/* Exchanges two rounds along the path that begins at a GPU with a move in the first of them. */
EPLB_P void eplb_p_exchange_rounds(eplb_p_rounds *r, int role, int32_t gpu, int32_t first, int32_t second)
{
    int32_t slot = eplb_p_move_in(r, role, gpu, first), next, a = first, b = second, swap;

    eplb_p_toggle(eplb_p_busy_of(r, role, gpu), a);
    eplb_p_toggle(eplb_p_busy_of(r, role, gpu), b);
    while (slot != EPLB_P_NONE) {
        gpu = eplb_p_other_end(r->m, slot, role);
        role = EPLB_P_SENDS + EPLB_P_GETS - role;
        next = eplb_p_move_in(r, role, gpu, b); /* before there are two */
        r->m->round[slot] = b;
        slot = next;
        swap = a;
        a = b;
        b = swap;
    }
    eplb_p_toggle(eplb_p_busy_of(r, role, gpu), a);
    eplb_p_toggle(eplb_p_busy_of(r, role, gpu), b);
}

EPLB_P void eplb_p_add_move(eplb_p_rounds *r, int32_t slot)
{
    eplb_p_mover *m = r->m;
    int32_t sender = m->sender[slot], receiver = m->gpu_of[slot];
    uint32_t *sends = eplb_p_busy_of(r, EPLB_P_SENDS, sender), *gets = eplb_p_busy_of(r, EPLB_P_GETS, receiver);
    int32_t round = eplb_p_free_round(r, sends, gets);

    if (round >= r->num) {
        round = eplb_p_free_round(r, sends, sends);
        eplb_p_exchange_rounds(r, EPLB_P_GETS, receiver, round, eplb_p_free_round(r, gets, gets));
    }
    m->round[slot] = round;
    r->sent[slot] = r->last_sent[sender];
    r->last_sent[sender] = slot;
    eplb_p_toggle(sends, round);
    eplb_p_toggle(gets, round);
}

/* Whether a path of moves in two rounds in turn, from a sender that has one in the first but none in the second,
   ends with one in the first. */
EPLB_P int eplb_p_has_one_more(const eplb_p_rounds *r, int32_t sender, int32_t first, int32_t second)
{
    int32_t slot, gpu = sender, length = 0, a = first, b = second, swap;
    int role = EPLB_P_SENDS;

    while ((slot = eplb_p_move_in(r, role, gpu, a)) != EPLB_P_NONE) {
        gpu = eplb_p_other_end(r->m, slot, role);
        role = EPLB_P_SENDS + EPLB_P_GETS - role;
        swap = a;
        a = b;
        b = swap;
        length++;
    }
    return length % 2 == 1;
}

/* One move less in a full round, and one more in another. */
EPLB_P void eplb_p_lessen(eplb_p_rounds *r, int32_t full, int32_t other)
{
    int32_t gpu;

    for (gpu = 0; gpu < r->m->num_gpus; gpu++) {
        const uint32_t *busy = eplb_p_busy_of(r, EPLB_P_SENDS, gpu);
        if (!eplb_p_is_busy(busy, full) || eplb_p_is_busy(busy, other)) continue;
        if (eplb_p_has_one_more(r, gpu, full, other)) break;
    }
    EPLB_ASSERT(gpu < r->m->num_gpus);
    eplb_p_exchange_rounds(r, EPLB_P_SENDS, gpu, full, other);
    r->fill[full]--;
    r->fill[other]++;
}

EPLB_P void eplb_p_limit_rounds(eplb_p_rounds *r, int32_t max_per_round)
{
    int32_t i, full, other = 0;

    for (i = 0; i < r->m->num_slots; i++)
        if (eplb_p_is_move(r->m, i)) r->fill[r->m->round[i]]++;
    for (full = 0; full < r->num; full++) {
        while (r->fill[full] > max_per_round) {
            while (r->fill[other] >= max_per_round) other++;
            eplb_p_lessen(r, full, other);
        }
    }
}

EPLB_P void eplb_p_duplex_rounds(eplb_p_rounds *r, int32_t max_per_round)
{
    eplb_p_mover *m = r->m;
    int32_t sends = m->sends[eplb_p_most_of(m->sends, m->num_gpus)];
    int32_t gets = m->gets[eplb_p_most_of(m->gets, m->num_gpus)], num = sends > gets ? sends : gets, i;

    if (max_per_round > 0 && m->num_moves > 0 && (m->num_moves - 1) / max_per_round >= num)
        num = (m->num_moves - 1) / max_per_round + 1;
    eplb_p_begin_rounds(r, num);
    eplb_p_fill_ids(r->last_sent, EPLB_P_NONE, 0, m->num_gpus);
    for (i = 0; i < m->num_changed; i++)
        if (eplb_p_is_move(m, m->changed[i])) eplb_p_add_move(r, m->changed[i]);
    if (max_per_round > 0) eplb_p_limit_rounds(r, max_per_round);
}

/* All that the sender of this move sends its receiver goes to the first round in which neither occurs; what is too
   much for one, to the next such rounds. */
EPLB_P void eplb_p_add_flow(eplb_p_rounds *r, int32_t move, int32_t max_per_round)
{
    eplb_p_mover *m = r->m;
    int32_t sender = m->sender[move], receiver = m->gpu_of[move], round = EPLB_P_NONE, i;
    uint32_t *a = eplb_p_busy_of(r, EPLB_P_SENDS, sender), *b = eplb_p_busy_of(r, EPLB_P_SENDS, receiver);

    for (i = eplb_p_begin_of(&m->shape->gpus, receiver); i < eplb_p_begin_of(&m->shape->gpus, receiver + 1); i++) {
        if (m->sender[i] != sender) continue;
        if (round == EPLB_P_NONE || r->fill[round] == max_per_round) {
            if (round == EPLB_P_NONE) round = eplb_p_free_round(r, a, b);
            while (eplb_p_is_busy(a, round) || eplb_p_is_busy(b, round)
                   || (max_per_round > 0 && r->fill[round] == max_per_round))
                round++;
            eplb_p_toggle(a, round);
            eplb_p_toggle(b, round);
        }
        m->round[i] = round;
        r->fill[round]++;
    }
}

/* sent = all moves in the order in which their flows are looked at. */
EPLB_P void eplb_p_list_moves(eplb_p_rounds *r)
{
    const eplb_p_mover *m = r->m;
    int32_t e, slot, h, n = 0;

    for (e = 0; e < m->num_experts; e++)
        for (h = m->wanted[e] == EPLB_P_NONE ? EPLB_P_NONE : m->holder[e]; h != EPLB_P_NONE; h = m->next_holder[h])
            for (slot = m->wanted[e]; slot != EPLB_P_NONE; slot = m->next_wanted[slot])
                if (m->from[slot] == h) r->sent[n++] = slot;
}

EPLB_P void eplb_p_one_peer_rounds(eplb_p_rounds *r, int32_t max_per_round)
{
    int32_t i;

    eplb_p_begin_rounds(r, r->m->num_moves);
    eplb_p_list_moves(r);
    for (i = 0; i < r->m->num_moves; i++)
        if (r->m->round[r->sent[i]] == EPLB_P_NONE) eplb_p_add_flow(r, r->sent[i], max_per_round);
}

EPLB_P void eplb_p_schedule(eplb_p_rounds *r, const eplb_transfer_options *how)
{
    if (how->rounds == EPLB_ROUNDS_ONE_PEER) eplb_p_one_peer_rounds(r, how->max_per_round);
    else eplb_p_duplex_rounds(r, how->max_per_round);
}

EPLB_P inline int32_t eplb_p_kind_of(const eplb_p_mover *m, int32_t slot)
{
    if (m->from[slot] == EPLB_P_NONE) return EPLB_TRANSFER_LOST;
    if (!eplb_p_is_move(m, slot)) return EPLB_TRANSFER_SAME_GPU;
    return eplb_p_crosses_nodes(m, slot) ? EPLB_TRANSFER_OTHER_NODE : EPLB_TRANSFER_SAME_NODE;
}

EPLB_P inline void eplb_p_set_transfer(eplb_transfer *t, const eplb_p_mover *m, int32_t layer, int32_t slot,
                                       int32_t round)
{
    t->kind = eplb_p_kind_of(m, slot);
    t->expert = m->new_expert[slot];
    t->from_slot = m->from[slot];
    t->layer = layer;
    t->to_slot = slot;
    t->round = round;
}

/* One layer's transfers, by round, those without one first, then by slot. Returns the next place. */
EPLB_P eplb_transfer *eplb_p_store_transfers(eplb_p_rounds *r, int32_t layer, eplb_transfer *transfer)
{
    const eplb_p_mover *m = r->m;
    int32_t *fill = r->fill, i, slot, round, n = 0, next, num_changed = m->num_changed;

    eplb_p_fill_ids(fill, 0, 0, r->num + 1);
    for (i = 0; i < num_changed; i++) fill[m->round[m->changed[i]] + 1]++;
    for (round = 0; round <= r->num; round++) {
        next = n + fill[round];
        fill[round] = n;
        n = next;
    }
    for (i = 0; i < num_changed; i++) {
        slot = m->changed[i];
        round = m->round[slot];
        eplb_p_set_transfer(&transfer[fill[round + 1]++], m, layer, slot, round);
    }
    return transfer + n;
}

EPLB_P size_t eplb_p_count_changed(const int32_t *previous_phy2log, const int32_t *phy2log, size_t num_slots)
{
    size_t i, n = 0;
    for (i = 0; i < num_slots; i++) n += phy2log[i] != EPLB_P_EMPTY && phy2log[i] != previous_phy2log[i];
    return n;
}

/* The same over all layers, of the slots that may be used. */
EPLB_P size_t eplb_p_count_transfers(const eplb_p_shape *shape, const int32_t *previous_phy2log, const int32_t *phy2log)
{
    size_t slots = eplb_p_at(shape->num_layers, shape->num_replicas, 0), first, n = 0;
    int32_t gpu, layer;

    if (!shape->gpus.usable_slots) return eplb_p_count_changed(previous_phy2log, phy2log, slots);
    for (layer = 0; layer < shape->num_layers; layer++) {
        for (gpu = 0; gpu < shape->num_gpus; gpu++) {
            first = eplb_p_at(layer, shape->num_replicas, eplb_p_begin_of(&shape->gpus, gpu));
            n += eplb_p_count_changed(previous_phy2log + first, phy2log + first,
                                      (size_t)eplb_p_num_on(&shape->gpus, gpu));
        }
    }
    return n;
}

/* --------------------------------------------------------------------------- transfers: in place

   A slot that is filled from what another held before has to be read first if it is read at all. As each slot is
   filled from one other, slots hang together in trees, which are done from the leaves on, and around rings. In a ring
   each slot waits for the one that is filled from it. Whichever were overwritten first, what it held would be gone
   before it was read, so one at least is to be set aside, and with one the ring is a tree. Rings that would be set
   aside on the same GPU take turns. */

typedef struct eplb_p_stager {
    eplb_p_mover *m;
    int32_t layer;
    int32_t *readers; /* [R] slots still to be filled from what this one held before */
    int32_t *aside;   /* [R] whether what a slot is filled from was set aside */
    int32_t *height;  /* [R] slots of the chain that wait for each other from this one on */
    int32_t *order;   /* [R] slots to be filled, the longest chains first */
    int32_t *place;   /* [R + 1] */
    int32_t *ring;    /* [R] a slot of each ring that nothing is set aside of */
    int32_t num_rings, num_left;
    int32_t *staged;     /* [G] slot that waits for what the GPU has set aside */
    int32_t *to, *by;    /* [G] the GPU that one sends to in this round, and gets from */
    eplb_transfer *step; /* NULL: steps are counted */
    size_t num_steps;
} eplb_p_stager;

EPLB_P eplb_p_stager eplb_p_carve_stager(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_stager s = EPLB_ZERO_INIT;
    int32_t R = shape->num_replicas, G = shape->num_gpus;

    s.readers = EPLB_P_TAKE(a, int32_t, R);
    s.aside = EPLB_P_TAKE(a, int32_t, R);
    s.height = EPLB_P_TAKE(a, int32_t, R);
    s.order = EPLB_P_TAKE(a, int32_t, R);
    s.place = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)R + 1);
    s.ring = EPLB_P_TAKE(a, int32_t, R);
    s.staged = EPLB_P_TAKE(a, int32_t, G);
    s.to = EPLB_P_TAKE(a, int32_t, G);
    s.by = EPLB_P_TAKE(a, int32_t, G);
    return s;
}

EPLB_P int eplb_p_is_filled(const eplb_p_mover *m, int32_t slot) { return m->from[slot] != EPLB_P_STAYS; }

/* Whether a slot is filled from what another held before; where its GPU gets an expert twice, from what comes. */
EPLB_P int eplb_p_reads_old(const eplb_p_mover *m, int32_t slot)
{
    return m->from[slot] >= 0 && m->old_expert[m->from[slot]] == m->new_expert[slot];
}

/* The slot that waits for this one, EPLB_P_NONE where none does. */
EPLB_P int32_t eplb_p_waiting(const eplb_p_mover *m, int32_t slot)
{
    return eplb_p_reads_old(m, slot) && eplb_p_is_filled(m, m->from[slot]) ? m->from[slot] : EPLB_P_NONE;
}

/* The slots of a ring have its length for a height. */
EPLB_P void eplb_p_add_ring(eplb_p_stager *s, int32_t first)
{
    int32_t slot = first, length = 0;

    s->ring[s->num_rings++] = first;
    do {
        length++;
    } while ((slot = s->m->from[slot]) != first);
    do {
        s->height[slot] = length;
    } while ((slot = s->m->from[slot]) != first);
}

/* Height -1 - slot: the walk from that slot came here. */
EPLB_P void eplb_p_measure_chains(eplb_p_stager *s)
{
    int32_t slot, at, base;

    s->num_rings = 0;
    eplb_p_fill_ids(s->height, 0, 0, s->m->num_slots);
    for (slot = 0; slot < s->m->num_slots; slot++) {
        if (!eplb_p_is_filled(s->m, slot)) continue;
        for (at = slot; at != EPLB_P_NONE && s->height[at] == 0; at = eplb_p_waiting(s->m, at))
            s->height[at] = -1 - slot;
        if (at != EPLB_P_NONE && s->height[at] == -1 - slot) eplb_p_add_ring(s, at);
        base = at == EPLB_P_NONE ? 0 : s->height[at];
        for (at = slot; at != EPLB_P_NONE && s->height[at] < 0; at = eplb_p_waiting(s->m, at)) base++;
        for (at = slot; at != EPLB_P_NONE && s->height[at] < 0; at = eplb_p_waiting(s->m, at)) s->height[at] = base--;
    }
}

EPLB_P void eplb_p_order_chains(eplb_p_stager *s)
{
    int32_t R = s->m->num_slots, slot, height, n = 0, next;

    eplb_p_fill_ids(s->place, 0, 0, R + 1);
    for (slot = 0; slot < R; slot++)
        if (eplb_p_is_filled(s->m, slot)) s->place[s->height[slot]]++;
    for (height = R; height > 0; height--) {
        next = n + s->place[height];
        s->place[height] = n;
        n = next;
    }
    for (slot = 0; slot < R; slot++)
        if (eplb_p_is_filled(s->m, slot)) s->order[s->place[s->height[slot]]++] = slot;
    s->num_left = n;
}

EPLB_P void eplb_p_begin_steps(eplb_p_stager *s, int32_t layer)
{
    const eplb_p_mover *m = s->m;
    int32_t slot;

    s->layer = layer;
    eplb_p_fill_ids(s->readers, 0, 0, m->num_slots);
    eplb_p_fill_ids(s->aside, 0, 0, m->num_slots);
    eplb_p_fill_ids(s->staged, EPLB_P_NONE, 0, m->num_gpus);
    eplb_p_fill_ids(m->reached, 0, 0, m->num_gpus); /* whether a GPU has set anything aside */
    eplb_p_fill_ids(m->round, EPLB_P_NONE, 0, m->num_slots);
    for (slot = 0; slot < m->num_slots; slot++)
        if (eplb_p_reads_old(m, slot)) s->readers[m->from[slot]]++;
    eplb_p_measure_chains(s);
    eplb_p_order_chains(s);
}

EPLB_P void eplb_p_add_step(eplb_p_stager *s, eplb_transfer step)
{
    if (s->step) s->step[s->num_steps] = step;
    s->num_steps++;
}

/* Sets aside what the first slot of a ring held whose GPU has nothing set aside. Returns whether there is one. */
EPLB_P int eplb_p_set_aside(eplb_p_stager *s, int32_t ring, int32_t round)
{
    eplb_p_mover *m = s->m;
    int32_t reader = ring, slot, gpu;
    eplb_transfer step;

    do {
        slot = m->from[reader];
        gpu = m->gpu_of[slot];
        if (s->staged[gpu] == EPLB_P_NONE) break;
        reader = slot;
    } while (reader != ring);
    if (s->staged[gpu] != EPLB_P_NONE) return 0;

    eplb_p_set_transfer(&step, m, s->layer, reader, round);
    step.kind = EPLB_TRANSFER_SAME_GPU;
    step.to_slot = m->num_slots + gpu;
    eplb_p_add_step(s, step);
    s->staged[gpu] = reader;
    s->aside[reader] = 1;
    s->readers[slot]--;
    m->reached[gpu] = 1;
    return 1;
}

EPLB_P void eplb_p_fill_slot(eplb_p_stager *s, int32_t slot, int32_t round)
{
    eplb_p_mover *m = s->m;
    eplb_transfer step;

    eplb_p_set_transfer(&step, m, s->layer, slot, round);
    if (s->aside[slot]) {
        step.from_slot = m->num_slots + m->gpu_of[m->from[slot]];
        s->staged[m->gpu_of[m->from[slot]]] = EPLB_P_NONE;
    } else if (eplb_p_reads_old(m, slot)) {
        s->readers[m->from[slot]]--;
    }
    m->round[slot] = round;
    s->num_left--;
    eplb_p_add_step(s, step);
}

EPLB_P int eplb_p_may_fill(const eplb_p_stager *s, int32_t slot)
{
    const eplb_p_mover *m = s->m;

    if (!eplb_p_is_filled(m, slot) || m->round[slot] != EPLB_P_NONE || s->readers[slot] > 0) return 0;
    return m->from[slot] == EPLB_P_NONE || eplb_p_reads_old(m, slot) || m->round[m->from[slot]] != EPLB_P_NONE;
}

/* What can be done in a round without a link, and what that makes possible. */
EPLB_P void eplb_p_step_within(eplb_p_stager *s, int32_t round)
{
    int32_t i, kept, slot, any = 1;

    while (any) {
        any = 0;
        for (i = kept = 0; i < s->num_rings; i++) {
            if (eplb_p_set_aside(s, s->ring[i], round)) any = 1;
            else s->ring[kept++] = s->ring[i];
        }
        s->num_rings = kept;
        for (slot = 0; slot < s->m->num_slots; slot++) {
            if (!eplb_p_may_fill(s, slot) || eplb_p_is_move(s->m, slot)) continue;
            eplb_p_fill_slot(s, slot, round);
            any = 1;
        }
    }
}

EPLB_P int eplb_p_may_send(const eplb_p_stager *s, int32_t sender, int32_t receiver, int32_t rounds)
{
    if (rounds == EPLB_ROUNDS_ONE_PEER && s->to[sender] == receiver) return 1;
    if (s->to[sender] != EPLB_P_NONE || s->by[receiver] != EPLB_P_NONE) return 0;
    return rounds == EPLB_ROUNDS_DUPLEX || (s->by[sender] == EPLB_P_NONE && s->to[receiver] == EPLB_P_NONE);
}

/* What goes over links in a round is chosen before any of it is done. */
EPLB_P void eplb_p_step_over(eplb_p_stager *s, int32_t round, const eplb_transfer_options *how)
{
    eplb_p_mover *m = s->m;
    int32_t i, n = 0, num_filled = s->place[1], slot;

    eplb_p_fill_ids(s->to, EPLB_P_NONE, 0, m->num_gpus);
    eplb_p_fill_ids(s->by, EPLB_P_NONE, 0, m->num_gpus);
    for (i = 0; i < num_filled && (how->max_per_round == 0 || n < how->max_per_round); i++) {
        slot = s->order[i];
        if (!eplb_p_may_fill(s, slot) || !eplb_p_is_move(m, slot)) continue;
        if (!eplb_p_may_send(s, m->sender[slot], m->gpu_of[slot], how->rounds)) continue;
        s->to[m->sender[slot]] = m->gpu_of[slot];
        s->by[m->gpu_of[slot]] = m->sender[slot];
        m->round[slot] = round;
        n++;
    }
    for (slot = 0; slot < m->num_slots && n > 0; slot++) {
        if (!eplb_p_is_filled(m, slot) || !eplb_p_is_move(m, slot) || m->round[slot] != round) continue;
        eplb_p_fill_slot(s, slot, round);
        n--;
    }
}

/* One layer's steps. Returns how many GPUs set something aside. */
EPLB_P int32_t eplb_p_step_layer(eplb_p_stager *s, int32_t layer, const eplb_transfer_options *how)
{
    int32_t round, gpu, num_staging = 0;

    eplb_p_begin_steps(s, layer);
    for (round = 0; s->num_left > 0; round++) {
        eplb_p_step_within(s, round);
        if (s->num_left > 0) eplb_p_step_over(s, round, how);
    }
    for (gpu = 0; gpu < s->m->num_gpus; gpu++) num_staging += s->m->reached[gpu];
    return num_staging;
}

/* ---------------------------------------------------------------------------- check of a plan */

/* The reasons, a row each: number and name. */
/* clang-format off */
#define EPLB_P_FAULTS(row)                  \
    row(NONE,           "none")             \
    row(PREVIOUS_ID,    "previous_id")      \
    row(ID,             "id")               \
    row(MISSING,        "missing")          \
    row(MAX_REPLICAS,   "max_replicas")     \
    row(TWICE,          "twice")            \
    row(GROUP,          "group")            \
    row(NOT_KEPT,       "not_kept")         \
    row(MOVES,          "moves")            \
    row(GPU_MOVES_IN,   "gpu_moves_in")     \
    row(GPU_MOVES_OUT,  "gpu_moves_out")    \
    row(PAIR_MOVES,     "pair_moves")       \
    row(NODE_MOVES_IN,  "node_moves_in")    \
    row(NODE_MOVES_OUT, "node_moves_out")   \
    row(UNUSABLE,       "unusable")         \
    row(LOCKED,         "locked")           \
    row(DIES,           "dies")             \
    row(SINGLE,         "single")
/* clang-format on */

#define EPLB_P_FAULT_NAME(number, name) \
    case EPLB_FAULT_##number: return name;

EPLB_API const char *eplb_fault_name(int32_t reason)
{
    switch (reason) {
        EPLB_P_FAULTS(EPLB_P_FAULT_NAME)
    default: return NULL;
    }
}

EPLB_P eplb_plan_fault eplb_p_fault(int32_t reason, int32_t slot, int32_t expert, int32_t other)
{
    eplb_plan_fault f;

    f.reason = reason;
    f.layer = -1;
    f.slot = slot;
    f.expert = expert;
    f.other = other;
    f.count = -1;
    f.allowed = -1;
    return f;
}

EPLB_P eplb_plan_fault eplb_p_no_fault(void) { return eplb_p_fault(EPLB_FAULT_NONE, -1, -1, -1); }

EPLB_P eplb_plan_fault eplb_p_find_bad_id(const int32_t *phy2log, int32_t num_slots, int32_t num_experts,
                                          int32_t reason)
{
    int32_t slot;

    for (slot = 0; slot < num_slots; slot++)
        if (!eplb_p_within(phy2log[slot], EPLB_P_EMPTY, num_experts - 1))
            return eplb_p_fault(reason, slot, phy2log[slot], -1);
    return eplb_p_no_fault();
}

/* The first slot that is a replica too many. */
EPLB_P eplb_plan_fault eplb_p_find_too_many(const eplb_p_mover *m, int32_t max_replicas)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t *count = m->seen_in, slot, e;

    eplb_p_fill_ids(count, 0, 0, m->num_experts);
    for (slot = 0; slot < m->num_slots; slot++) {
        e = m->new_expert[slot];
        if (e == EPLB_P_EMPTY || ++count[e] <= max_replicas || f.reason != EPLB_FAULT_NONE) continue;
        f = eplb_p_fault(EPLB_FAULT_MAX_REPLICAS, slot, e, -1);
        f.allowed = max_replicas;
    }
    if (f.reason != EPLB_FAULT_NONE) f.count = count[f.expert];
    return f;
}

EPLB_P eplb_plan_fault eplb_p_find_missing(const eplb_p_mover *m)
{
    int32_t *held = m->seen_in, e, slot;

    eplb_p_fill_ids(held, 0, 0, m->num_experts);
    for (slot = 0; slot < m->num_slots; slot++)
        if (m->new_expert[slot] != EPLB_P_EMPTY) held[m->new_expert[slot]] = 1;
    for (e = 0; e < m->num_experts; e++)
        if (!held[e]) return eplb_p_fault(EPLB_FAULT_MISSING, -1, e, -1);
    return eplb_p_no_fault();
}

/* In how many of a GPU's slots an expert is to be. */
EPLB_P int32_t eplb_p_copies_on(const eplb_p_mover *m, int32_t gpu, int32_t e)
{
    int32_t slot, copies = 0;

    for (slot = eplb_p_begin_of(&m->shape->gpus, gpu); slot < eplb_p_begin_of(&m->shape->gpus, gpu + 1); slot++)
        copies += m->new_expert[slot] == e;
    return copies;
}

/* Whether a slot's expert, which is twice on its GPU, may change places with what is on another GPU of these slots that
   is free of it: with nothing, or with an expert that is not on the first GPU, or else twice on its own. */
EPLB_P int eplb_p_can_part(const eplb_p_mover *m, int32_t slot, int32_t first, int32_t end)
{
    const int32_t *held = m->new_expert;
    int32_t own = m->gpu_of[slot], gpu, i;

    for (gpu = m->gpu_of[first]; gpu < m->num_gpus && eplb_p_begin_of(&m->shape->gpus, gpu) < end; gpu++) {
        if (eplb_p_copies_on(m, gpu, held[slot]) > 0) continue;
        for (i = eplb_p_begin_of(&m->shape->gpus, gpu); i < eplb_p_end_of(&m->shape->gpus, gpu); i++) {
            if (held[i] == EPLB_P_EMPTY || eplb_p_copies_on(m, own, held[i]) == 0) return 1;
            if (eplb_p_copies_on(m, gpu, held[i]) > 1) return 1;
        }
    }
    return 0;
}

/* An expert that a GPU of these slots, a node's, holds twice, and another of its `num` GPUs not at all. */
EPLB_P eplb_plan_fault eplb_p_find_twice(const eplb_p_mover *m, int32_t first, int32_t end, int32_t num)
{
    int32_t *gpus = m->wanted, slot, e;

    for (slot = first; slot < end; slot++)
        if (m->new_expert[slot] != EPLB_P_EMPTY) gpus[m->new_expert[slot]] = 0;
    for (slot = first; slot < end; slot++) {
        e = m->new_expert[slot];
        if (e == EPLB_P_EMPTY || (gpus[e] > 0 && m->seen_on[e] == m->gpu_of[slot])) continue;
        m->seen_on[e] = m->gpu_of[slot];
        gpus[e]++;
    }
    for (slot = first; slot < end; slot++) {
        e = m->new_expert[slot];
        if (e == EPLB_P_EMPTY || gpus[e] == num) continue;
        if (gpus[e] < 0 && m->gpu_of[m->seen_in[e]] == m->gpu_of[slot] && eplb_p_can_part(m, slot, first, end))
            return eplb_p_fault(EPLB_FAULT_TWICE, slot, e, m->seen_in[e]);
        gpus[e] = -1; /* its last slot is known from here on */
        m->seen_in[e] = slot;
    }
    return eplb_p_no_fault();
}

EPLB_P int32_t eplb_p_policy_node(const eplb_p_mover *m, int32_t gpu)
{
    return m->shape->num_nodes > 1 ? m->node_of[gpu] : 0;
}

/* The same of all nodes where they are not alike: on those on which no GPU has more slots than there are experts. */
EPLB_P eplb_plan_fault eplb_p_find_twice_on_any(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t gpu, end, num, most, experts, first, last, slot, *seen = m->wanted;

    for (gpu = 0; gpu < m->num_gpus && f.reason == EPLB_FAULT_NONE; gpu = end) {
        for (end = gpu, num = most = 0; end < m->num_gpus && eplb_p_policy_node(m, end) == eplb_p_policy_node(m, gpu);
             end++) {
            int32_t slots = eplb_p_num_on(&shape->gpus, end);
            num += slots > 0;
            most = slots > most ? slots : most;
        }
        eplb_p_fill_ids(seen, 0, 0, m->num_experts);
        first = eplb_p_begin_of(&shape->gpus, gpu);
        last = eplb_p_begin_of(&shape->gpus, end);
        for (slot = first, experts = 0; slot < last; slot++) {
            if (m->new_expert[slot] == EPLB_P_EMPTY || seen[m->new_expert[slot]]) continue;
            seen[m->new_expert[slot]] = 1;
            experts++;
        }
        if (most <= experts) f = eplb_p_find_twice(m, first, last, num);
    }
    return f;
}

EPLB_P eplb_plan_fault eplb_p_find_any_twice(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t first;

    if (!shape->apart || shape->options.allow_duplicates || shape->survive == EPLB_SURVIVE_NODE) return f;
    if (shape->odd) return eplb_p_find_twice_on_any(m, shape);
    for (first = 0; first < m->num_slots && f.reason == EPLB_FAULT_NONE; first += shape->node_slots)
        f = eplb_p_find_twice(m, first, first + shape->node_slots, shape->node_gpus);
    return f;
}

/* Groups that the plan in force does not have whole on a node. */
EPLB_P int32_t eplb_p_count_broken(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    int32_t *home = m->seen_on, broken = 0, slot, e, end, here, wrong;

    eplb_p_fill_ids(home, EPLB_P_NONE, 0, m->num_experts);
    for (slot = 0; slot < m->num_slots; slot++) {
        e = m->old_expert[slot];
        here = m->node_of[m->gpu_of[slot]];
        if (e != EPLB_P_EMPTY && home[e] != here) home[e] = home[e] == EPLB_P_NONE ? here : EPLB_P_ABROAD;
    }
    for (e = 0; e < m->num_experts; e = end) {
        int32_t first = home[e];
        for (end = e + shape->group_size, wrong = 0; e < end; e++) wrong |= home[e] < 0 || home[e] != first;
        broken += wrong;
    }
    return broken;
}

/* How many groups may be split: those that do not fit whole; or where moves are few as many as are; what is locked may
   split any. */
EPLB_P int32_t eplb_p_count_excused(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    int32_t excused = shape->num_groups, broken = shape->follows ? eplb_p_count_broken(m, shape) : 0, node, gpu, slots;

    if (shape->locked) return excused;
    for (node = 0; node < shape->num_nodes; node++) {
        for (gpu = 0, slots = 0; gpu < m->num_gpus; gpu++)
            if (m->node_of[gpu] == node) slots += eplb_p_num_on(&shape->gpus, gpu);
        excused -= slots / shape->group_size;
    }
    return excused > broken ? excused : broken;
}

/* A group on two nodes that has no excuse, or an expert. */
EPLB_P eplb_plan_fault eplb_p_find_split_group(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    int32_t *first = m->seen_on, *first_of_group = m->holder, *split = m->seen_in, excused, slot, e, g, here;

    if (shape->num_nodes == 1) return eplb_p_no_fault();
    excused = eplb_p_count_excused(m, shape);
    eplb_p_fill_ids(first, EPLB_P_NONE, 0, m->num_experts);
    eplb_p_fill_ids(first_of_group, EPLB_P_NONE, 0, shape->num_groups);
    eplb_p_fill_ids(split, 0, 0, shape->num_groups);
    for (slot = 0; slot < m->num_slots; slot++) {
        e = m->new_expert[slot];
        here = m->node_of[m->gpu_of[slot]];
        if (e == EPLB_P_EMPTY) continue;
        g = e / shape->group_size;
        if (first[e] == EPLB_P_NONE) first[e] = slot;
        if (first_of_group[g] == EPLB_P_NONE) first_of_group[g] = slot;
        if (m->node_of[m->gpu_of[first_of_group[g]]] != here && !split[g]++ && --excused < 0)
            return eplb_p_fault(EPLB_FAULT_GROUP, slot, e, first_of_group[g]);
        if (m->node_of[m->gpu_of[first[e]]] != here) return eplb_p_fault(EPLB_FAULT_GROUP, slot, e, first[e]);
    }
    return eplb_p_no_fault();
}

/* An expert in another slot of its GPU than the one that has lost it. */
EPLB_P eplb_plan_fault eplb_p_find_not_kept(const eplb_p_mover *m)
{
    int32_t gpu, slot, end = 0, e;

    eplb_p_fill_ids(m->seen_on, EPLB_P_NONE, 0, m->num_experts);
    for (gpu = 0; gpu < m->num_gpus; gpu++) {
        int32_t first = end;
        end = eplb_p_begin_of(&m->shape->gpus, gpu + 1);
        for (slot = first; slot < end; slot++) {
            e = m->old_expert[slot];
            if (e == EPLB_P_EMPTY || eplb_p_keeps(m, slot) || m->seen_on[e] == gpu) continue;
            m->seen_on[e] = gpu;
            m->seen_in[e] = slot;
        }
        for (slot = first; slot < end; slot++) {
            e = m->new_expert[slot];
            if (e == EPLB_P_EMPTY || eplb_p_keeps(m, slot) || m->seen_on[e] != gpu) continue;
            return eplb_p_fault(EPLB_FAULT_NOT_KEPT, slot, e, m->seen_in[e]);
        }
    }
    return eplb_p_no_fault();
}

#define EPLB_P_LIMIT_FAULT(limit, field, least, fault) fault,

/* Of a plan that is over a limit. */
EPLB_P int32_t eplb_p_fault_of(int32_t limit)
{
    const int32_t faults[] = {EPLB_P_LIMITS(EPLB_P_LIMIT_FAULT)};

    return faults[limit];
}

/* What the move into a slot, if one is, is counted under. */
EPLB_P int32_t eplb_p_slot_counted_under(const eplb_p_mover *m, int32_t limit, int32_t slot)
{
    int32_t sender, receiver = m->gpu_of[slot];

    if (!eplb_p_is_move(m, slot)) return EPLB_P_NONE;
    sender = m->sender[slot];
    return eplb_p_counted_under(limit, sender, receiver, m->node_of[sender], m->node_of[receiver]);
}

EPLB_P eplb_plan_fault eplb_p_find_over_limit(const eplb_p_mover *m, int32_t limit, int32_t most)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t *count = m->queue, slot, under, over = EPLB_P_NONE;

    eplb_p_fill_ids(count, 0, 0, m->num_counts);
    for (slot = 0; slot < m->num_slots; slot++) {
        if (limit == EPLB_P_LIMIT_PAIR && slot == eplb_p_begin_of(&m->shape->gpus, m->gpu_of[slot])) {
            if (over != EPLB_P_NONE) break;
            eplb_p_fill_ids(count, 0, 0, m->num_counts);
        }
        under = eplb_p_slot_counted_under(m, limit, slot);
        if (under == EPLB_P_NONE || ++count[under] <= most || over != EPLB_P_NONE) continue;
        f = eplb_p_fault(eplb_p_fault_of(limit), slot, m->new_expert[slot], -1);
        over = under;
    }
    if (over == EPLB_P_NONE) return f;
    f.count = count[over];
    f.allowed = most;
    return f;
}

EPLB_P eplb_plan_fault eplb_p_find_many_moves(eplb_p_mover *m, const eplb_options *o)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t limit;

    if (!eplb_p_has_limits(o)) return f;
    eplb_p_source_layer(m, m->old_expert, m->new_expert, EPLB_SOURCES_EVEN);
    for (limit = 0; limit < EPLB_P_NUM_LIMITS && f.reason == EPLB_FAULT_NONE; limit++)
        if (eplb_p_limit_of(o, limit) != 0) f = eplb_p_find_over_limit(m, limit, eplb_p_most_moves(o, limit));
    return f;
}

/* A layer's slots without those that may not be used. */
EPLB_P const int32_t *eplb_p_without_unusable(const eplb_p_mover *m, const int32_t *phy2log, int32_t *masked)
{
    int32_t gpu, slot = 0;

    if (!phy2log || !m->shape->gpus.usable_slots) return phy2log;
    for (gpu = 0; gpu < m->num_gpus; gpu++)
        for (; slot < eplb_p_begin_of(&m->shape->gpus, gpu + 1); slot++)
            masked[slot] = slot < eplb_p_end_of(&m->shape->gpus, gpu) ? phy2log[slot] : EPLB_P_EMPTY;
    return masked;
}

EPLB_P eplb_plan_fault eplb_p_find_unusable(const eplb_p_mover *m, const int32_t *phy2log)
{
    int32_t slot;

    for (slot = 0; slot < m->num_slots; slot++)
        if (m->new_expert[slot] != phy2log[slot]) return eplb_p_fault(EPLB_FAULT_UNUSABLE, slot, phy2log[slot], -1);
    return eplb_p_no_fault();
}

/* Locked: not 0 for the layer's slots that keep what they have. */
EPLB_P eplb_plan_fault eplb_p_find_unlocked(const eplb_p_mover *m, const uint8_t *locked)
{
    int32_t slot;

    for (slot = 0; slot < m->num_slots; slot++)
        if (locked[slot] && !eplb_p_keeps(m, slot))
            return eplb_p_fault(EPLB_FAULT_LOCKED, slot, m->new_expert[slot], m->old_expert[slot]);
    return eplb_p_no_fault();
}

/* problem.survive: the first slot of an expert whose replicas are all lost at once, or that has one where another has
   three. */
EPLB_P eplb_plan_fault eplb_p_find_mortal(const eplb_p_mover *m, const eplb_p_shape *shape)
{
    eplb_plan_fault f = eplb_p_no_fault();
    int32_t *count = m->wanted, *domain = m->seen_on, *first = m->seen_in, *most = m->queue, slot, e, here, pass;

    eplb_p_fill_ids(count, 0, 0, m->num_experts);
    eplb_p_fill_ids(most, EPLB_P_NONE, 0,
                    shape->num_nodes); /* of each node's experts, the one with the most replicas */
    for (slot = 0; slot < m->num_slots; slot++) {
        e = m->new_expert[slot];
        if (e == EPLB_P_EMPTY) continue;
        here = shape->survive == EPLB_SURVIVE_NODE ? m->node_of[m->gpu_of[slot]] : m->gpu_of[slot];
        if (count[e]++ == 0) {
            domain[e] = here;
            first[e] = slot;
        } else if (domain[e] != here) {
            domain[e] = EPLB_P_NONE;
        }
        here = eplb_p_policy_node(m, m->gpu_of[slot]);
        if (most[here] == EPLB_P_NONE || count[e] > count[most[here]]) most[here] = e;
    }
    for (pass = 0; pass < 2 && f.reason == EPLB_FAULT_NONE; pass++) /* the lowest slot of either */
        for (e = 0; e < m->num_experts; e++) {
            int32_t other = most[eplb_p_policy_node(m, m->gpu_of[first[e]])];
            int dies = count[e] > 1 && domain[e] != EPLB_P_NONE, single = count[e] == 1 && count[other] > 2;
            if (!(pass == 0 ? dies : single) || (f.reason != EPLB_FAULT_NONE && first[e] > f.slot)) continue;
            f = pass == 0 ? eplb_p_fault(EPLB_FAULT_DIES, first[e], e, domain[e])
                          : eplb_p_fault(EPLB_FAULT_SINGLE, first[e], e, other);
            f.count = count[pass == 0 ? e : other];
        }
    return f;
}

/* The first fault of one layer's plan; masked is memory for two. */
EPLB_P eplb_plan_fault eplb_p_check_layer_plan(eplb_p_mover *m, const eplb_p_shape *shape,
                                               const int32_t *previous_phy2log, const int32_t *phy2log,
                                               const uint8_t *locked, int32_t *masked)
{
    eplb_plan_fault f = eplb_p_no_fault();

    m->old_expert = eplb_p_without_unusable(m, previous_phy2log, masked);
    m->new_expert = eplb_p_without_unusable(m, phy2log, masked + m->num_slots);
    if (previous_phy2log)
        f = eplb_p_find_bad_id(previous_phy2log, m->num_slots, m->num_experts, EPLB_FAULT_PREVIOUS_ID);
    if (f.reason == EPLB_FAULT_NONE) f = eplb_p_find_bad_id(phy2log, m->num_slots, m->num_experts, EPLB_FAULT_ID);
    if (f.reason == EPLB_FAULT_NONE) f = eplb_p_find_missing(m);
    if (f.reason == EPLB_FAULT_NONE && shape->options.max_replicas > 0)
        f = eplb_p_find_too_many(m, shape->options.max_replicas);
    if (f.reason == EPLB_FAULT_NONE) f = eplb_p_find_any_twice(m, shape);
    if (f.reason == EPLB_FAULT_NONE) f = eplb_p_find_split_group(m, shape);
    if (f.reason == EPLB_FAULT_NONE && previous_phy2log && !locked) f = eplb_p_find_not_kept(m);
    if (f.reason == EPLB_FAULT_NONE && previous_phy2log) f = eplb_p_find_many_moves(m, &shape->options);
    if (f.reason == EPLB_FAULT_NONE) f = eplb_p_find_unusable(m, phy2log);
    if (f.reason == EPLB_FAULT_NONE && locked) f = eplb_p_find_unlocked(m, locked);
    if (f.reason == EPLB_FAULT_NONE && shape->survive != EPLB_SURVIVE_NONE) f = eplb_p_find_mortal(m, shape);
    return f;
}

/* ------------------------------------------------------------------------------- lost experts */

#define EPLB_P_SEEN_AT_ONCE 1024

/* Experts of a layer, so many from first on, that no slot of a GPU that is left holds. Returns the number of those
   lost before and here; they are stored where lost is not NULL. */
EPLB_P size_t eplb_p_find_lost(const eplb_p_shape *s, const int32_t *phy2log, const uint8_t *gpu_lost, int32_t layer,
                               int32_t first, eplb_lost_expert *lost, size_t num_lost)
{
    uint32_t seen[EPLB_P_SEEN_AT_ONCE / 32] = {0};
    int32_t slot, i, gpu;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (gpu_lost && gpu_lost[gpu]) continue;
        for (slot = eplb_p_begin_of(&s->gpus, gpu); slot < eplb_p_end_of(&s->gpus, gpu); slot++) {
            i = phy2log[slot] - first;
            if (eplb_p_within(i, 0, EPLB_P_SEEN_AT_ONCE - 1)) seen[i / 32] |= (uint32_t)1 << (i % 32);
        }
    }
    for (i = 0; i < EPLB_P_SEEN_AT_ONCE && i < s->num_experts - first; i++) {
        if (seen[i / 32] >> (i % 32) & 1u) continue;
        if (lost) {
            lost[num_lost].layer = layer;
            lost[num_lost].expert = first + i;
        }
        num_lost++;
    }
    return num_lost;
}

/* ------------------------------------------------------------------------------------- shares

   Who of an expert's replicas serves how many tokens. An expert on one GPU leaves nothing to choose. One on
   several is spread, and each of its GPUs is a link of it, which serves some of its tokens: tokens move from
   link to link, and so from GPU to GPU along chains of spread experts.

   Fill: each spread expert pours its tokens over its GPUs, lightest first, up to a common level.
   Level: no GPU is to be above a limit. What is above it flows along shortest chains, many at once (blocking
          flows, Dinic 1970), to GPUs below it. Where something stays above, the GPUs that chains from there
          reach are a cut: all their tokens belong to experts that live nowhere else, so their mean is a bound.
   LEAST_MAX: level at a bound, then at that of the cut, until nothing is above it (discrete Newton method,
          Dinkelbach 1967).
   FAIR:  level at the mean, rounded up; a cut and what is left of it are levelled each by itself, until loads
          differ by one token at most (decomposition, Fujishige 1980). What is left of a cut is no heavier than
          the limit and the cut no lighter, so that no token would move from one into the other.

   Where speeds differ, a number of tokens that all may have becomes a time by which all are to be done: by speed.
   Sums are those of tokens of one layer, which fit int32_t. */

typedef struct eplb_p_sharer {
    int32_t num_experts, num_slots, num_gpus;
    eplb_p_gpus gpus;
    const float *gpu_speed; /* [G] NULL: all are as fast */
    int32_t num_living;     /* GPUs that have slots */
    int32_t *speed;         /* [G] theirs, in whole numbers, and 0 for others; NULL: all are as fast */

    /* What lives where, from eplb_p_link_layer. */
    int32_t *num_homes;           /* [E] GPUs that an expert lives on */
    int32_t *home;                /* [E] the last of them that was met */
    int32_t *next_link;           /* [E] of a spread expert; EPLB_P_NO_LINK for others */
    int32_t *slot_link;           /* [R] likewise; slots of an expert on one GPU have one link */
    int32_t *link_gpu;            /* [R] links of a spread expert stand together, by GPU */
    int32_t *link_spread;         /* [R] which of the spread experts */
    int32_t *tokens;              /* [R] that each link serves */
    int32_t *first_link;          /* [R] of each spread expert, and behind the last */
    int32_t *gpu_link;            /* [R] links of GPU g are gpu_first[g] .. gpu_end[g] - 1 of these */
    int32_t *gpu_first, *gpu_end; /* [G] */
    int32_t num_spread;
    int32_t *doubled_gpu; /* [G] GPUs on which some expert has several slots */
    int32_t num_doubled;

    int32_t *load;       /* [G] tokens of each GPU */
    int32_t least_most;  /* what the heaviest GPU has at least: the mean, and what lives on one GPU only */
    int32_t full_home;   /* the GPU that it is for, -1 where it is the mean */
    int32_t num_proving; /* from eplb_p_share_least_max */

    /* The region being levelled: members first .. end - 1, by index, whose level is EPLB_P_UNSEEN between
       searches; other GPUs are EPLB_P_OUTSIDE. */
    int32_t *member;     /* [G] */
    int32_t *region_end; /* [G] of the region, and of those that wait behind it */

    /* One search: steps from the GPUs above the limit. */
    int32_t *level;          /* [G] */
    int32_t *spread_level;   /* [R] that of the GPU it was reached from */
    int32_t *reached;        /* [G] in the order of the search */
    int32_t *reached_spread; /* [R] */
    int32_t num_reached, num_reached_spread, num_sources;
    int32_t *gpu_at, *spread_at;    /* [G], [R] the link that a chain tries next */
    int32_t *chain_from, *chain_to; /* [G] links that a chain leaves a GPU by, and enters the next by */
} eplb_p_sharer;

enum { EPLB_P_NO_LINK = -1 };
enum { EPLB_P_UNSEEN = -1, EPLB_P_OUTSIDE = -2 };

/* A spread expert has two links or more, and no slot more than one: [R] has room for what follows the last. */
EPLB_P_HD_LARGE eplb_p_sharer eplb_p_carve_sharer(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_sharer s = EPLB_ZERO_INIT;
    s.num_experts = shape->num_experts;
    s.num_gpus = shape->num_gpus;
    s.num_slots = shape->num_replicas;
    s.num_living = shape->num_gpus;
    s.gpus = shape->gpus;
    s.gpu_speed = shape->speed;
    s.num_homes = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    s.home = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    s.next_link = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    s.slot_link = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.link_gpu = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.link_spread = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.tokens = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.first_link = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.gpu_link = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.gpu_first = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.gpu_end = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.doubled_gpu = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.load = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.member = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.region_end = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.level = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.spread_level = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.reached = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.reached_spread = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.gpu_at = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.spread_at = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    s.chain_from = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.chain_to = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    s.speed = shape->speed ? EPLB_P_TAKE(a, int32_t, shape->num_gpus) : NULL;
    return s;
}

/* Slots that may be used stand together in so many runs: the GPUs', or all GPUs'. */
EPLB_P int32_t eplb_p_num_runs(const eplb_p_sharer *s) { return s->gpus.usable_slots ? s->num_gpus : 1; }

EPLB_P int32_t eplb_p_run_end(const eplb_p_sharer *s, int32_t run)
{
    return eplb_p_end_of(&s->gpus, s->gpus.usable_slots ? run : s->num_gpus - 1);
}

EPLB_P_HD_LARGE int32_t eplb_p_mean_up(int32_t sum, int32_t n) { return sum / n + (sum % n > 0); }

/* What part i of n gets of tokens that are shared out evenly: the first ones get one more. */
EPLB_P_HD_LARGE int32_t eplb_p_even_share(int32_t tokens, int32_t n, int32_t i)
{
    return tokens / n + (i < tokens % n);
}

/* Whether all slots of a layer that may be used hold an expert that there is, or nothing. */
EPLB_P int eplb_p_names_experts(const eplb_p_sharer *s, const int32_t *phy2log)
{
    int32_t run, slot, all = 1;

    for (run = 0; run < eplb_p_num_runs(s); run++) {
        int32_t end = eplb_p_run_end(s, run);
        for (slot = eplb_p_begin_of(&s->gpus, run); slot < end; slot++)
            all &= eplb_p_within(phy2log[slot], EPLB_P_EMPTY, s->num_experts - 1);
    }
    return all != 0;
}

/* held [E] = whether an expert is in a slot that may be used. */
EPLB_P void eplb_p_mark_held(const eplb_p_sharer *s, const int32_t *phy2log, int32_t *held)
{
    int32_t e, run, slot;

    for (e = 0; e < s->num_experts; e++) held[e] = 0;
    for (run = 0; run < eplb_p_num_runs(s); run++) {
        int32_t end = eplb_p_run_end(s, run);
        for (slot = eplb_p_begin_of(&s->gpus, run); slot < end; slot++)
            if (phy2log[slot] != EPLB_P_EMPTY) held[phy2log[slot]] = 1;
    }
}

/* One layer's plan and counts: ids that are there, a slot for each expert that has tokens, and sums that fit. */
EPLB_P eplb_result eplb_p_check_layer_counts(eplb_p_sharer *s, const int32_t *phy2log, const int32_t *count)
{
    int32_t *held = s->num_homes, e, any = 0, homeless = 0;
    int64_t sum = 0;

    if (!eplb_p_names_experts(s, phy2log)) return EPLB_ERR_PLAN;
    eplb_p_mark_held(s, phy2log, held);
    for (e = 0; e < s->num_experts; e++) {
        any |= count[e];
        homeless |= count[e] > 0 && !held[e];
        sum += count[e];
    }
    if (any < 0) return EPLB_ERR_NEGATIVE;
    if (homeless) return EPLB_ERR_PLAN;
    return sum <= INT32_MAX ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

/* num_homes, and home: of an expert on one GPU, that GPU. */
EPLB_P void eplb_p_find_homes(eplb_p_sharer *s, const int32_t *phy2log)
{
    int32_t *num_homes = s->num_homes, *home = s->home; /* copies stay in registers */
    int32_t num_gpus = s->num_gpus, e, gpu;

    s->num_doubled = 0;
    for (e = 0; e < s->num_experts; e++) {
        num_homes[e] = 0;
        home[e] = -1;
    }
    for (gpu = 0; gpu < num_gpus; gpu++) {
        const int32_t *slot = phy2log + eplb_p_begin_of(&s->gpus, gpu), *end = phy2log + eplb_p_end_of(&s->gpus, gpu);
        int32_t doubled = 0, again;
        for (; slot < end; slot++) {
            if (*slot == EPLB_P_EMPTY) continue;
            again = home[*slot] == gpu;
            doubled |= again;
            num_homes[*slot] += 1 - again;
            home[*slot] = gpu;
        }
        if (doubled) s->doubled_gpu[s->num_doubled++] = gpu;
    }
}

/* What the heaviest GPU has at least, by what lives on one GPU only. */
EPLB_P void eplb_p_bound_most(eplb_p_sharer *s, int32_t sum)
{
    int32_t gpu;

    s->least_most = eplb_p_mean_up(sum, s->num_living);
    s->full_home = -1;
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (s->load[gpu] <= s->least_most) continue;
        s->least_most = s->load[gpu];
        s->full_home = gpu;
    }
}

/* shares: times

   Where speeds differ, a GPU's time is its tokens by its speed. A moment is when a GPU of such a speed is done with so
   many tokens. Of several at the same time the slowest GPU's is the latest: with a token less it would be done sooner
   than the others with one less, so that it is the one to do without. GPUs of one speed have no order. */

typedef struct eplb_p_moment {
    int64_t tokens; /* under 2^31, as speeds are: products fit */
    int64_t speed;
} eplb_p_moment;

EPLB_P eplb_p_moment eplb_p_moment_of(const eplb_p_sharer *s, int32_t gpu, int32_t tokens)
{
    eplb_p_moment m;
    m.tokens = tokens;
    m.speed = s->speed[gpu];
    return m;
}

EPLB_P int eplb_p_is_before(eplb_p_moment a, eplb_p_moment b)
{
    int64_t a_time = a.tokens * b.speed, b_time = b.tokens * a.speed;
    return a_time < b_time || (a_time == b_time && a.speed > b.speed);
}

/* The digits of a load, as a number, and what power of two they are multiples of. */
EPLB_P uint64_t eplb_p_load_digits(uint32_t bits) { return bits >> 23 ? (bits & 0x7FFFFFu) | 0x800000u : bits; }
EPLB_P int32_t eplb_p_load_power(uint32_t bits) { return bits >> 23 ? (int32_t)(bits >> 23) : 1; }

enum { EPLB_P_SPEED_BITS = 31 };

/* The power of two by which speeds are divided to be whole numbers: the greatest that divides them all. Where the
   fastest would have too many bits then, as it may from 128 times the slowest on, it has as many as there may be. */
EPLB_P int32_t eplb_p_speed_power(const eplb_p_sharer *s)
{
    int32_t gpu, power, least = INT32_MAX, most = 0;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        uint32_t bits = eplb_p_bits_at(&s->gpu_speed[gpu]);
        if (eplb_p_end_of(&s->gpus, gpu) == eplb_p_begin_of(&s->gpus, gpu)) continue;
        power = eplb_p_load_power(bits);
        if (power > most) most = power;
        while ((eplb_p_load_digits(bits) >> (power - eplb_p_load_power(bits))) % 2 == 0) power++;
        if (power < least) least = power;
    }
    most -= EPLB_P_SPEED_BITS - 24;
    return least > most ? least : most;
}

/* speed; what comes to less than 1 counts as 1. */
EPLB_P void eplb_p_scale_speeds(eplb_p_sharer *s)
{
    int32_t gpu, power;

    power = eplb_p_speed_power(s);
    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        uint32_t bits = eplb_p_bits_at(&s->gpu_speed[gpu]);
        int32_t up = eplb_p_load_power(bits) - power;
        s->speed[gpu] = 0;
        if (eplb_p_end_of(&s->gpus, gpu) == eplb_p_begin_of(&s->gpus, gpu)) continue;
        if (up > -24)
            s->speed[gpu] = (int32_t)(up < 0 ? eplb_p_load_digits(bits) >> -up : eplb_p_load_digits(bits) << up);
        if (s->speed[gpu] == 0) s->speed[gpu] = 1;
    }
}

/* num_living, speed: what solving begins with, each time after scratch has been of other use. */
EPLB_P void eplb_p_ready_gpus(eplb_p_sharer *s)
{
    int32_t gpu;

    if (s->gpus.usable_slots) s->num_living = 0;
    for (gpu = 0; gpu < s->num_gpus && s->gpus.usable_slots; gpu++) s->num_living += eplb_p_num_on(&s->gpus, gpu) > 0;
    if (s->gpu_speed) eplb_p_scale_speeds(s);
}

/* The latest moment by what lives on one GPU only, whose are then full_home and least_most. */
EPLB_P void eplb_p_bound_longest(eplb_p_sharer *s)
{
    int32_t gpu, last = -1;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        if (s->speed[gpu] == 0) continue;
        if (last < 0
            || eplb_p_is_before(eplb_p_moment_of(s, last, s->load[last]), eplb_p_moment_of(s, gpu, s->load[gpu])))
            last = gpu;
    }
    EPLB_ASSERT(last >= 0); /* some GPU has slots */
    s->full_home = last;
    s->least_most = s->load[last];
}

/* Load of what lives on one GPU only. Links for the rest, with equal shares, as a plan was made for. */
EPLB_P void eplb_p_spread_experts(eplb_p_sharer *s, const int32_t *count)
{
    int32_t e, gpu, i, link = 0, spread = 0, sum = 0;

    for (gpu = 0; gpu < s->num_gpus; gpu++) s->load[gpu] = 0;
    for (e = 0; e < s->num_experts; e++) {
        s->next_link[e] = EPLB_P_NO_LINK;
        if (count[e] == 0) continue;
        sum += count[e];
        if (s->num_homes[e] == 1) {
            s->load[s->home[e]] += count[e];
            continue;
        }
        s->home[e] = -1;
        s->next_link[e] = link;
        s->spread_level[spread] = EPLB_P_UNSEEN;
        s->first_link[spread] = link;
        for (i = 0; i < s->num_homes[e]; i++, link++) {
            s->link_spread[link] = spread;
            s->tokens[link] = eplb_p_even_share(count[e], s->num_homes[e], i);
        }
        spread++;
    }
    if (spread > 0) s->first_link[spread] = link;
    s->num_spread = spread;
    if (s->speed) eplb_p_bound_longest(s);
    else eplb_p_bound_most(s, sum);
}

/* link_gpu, slot_link, the links of each GPU, and their load. */
EPLB_P void eplb_p_link_gpus(eplb_p_sharer *s, const int32_t *phy2log)
{
    const eplb_p_gpus gpus = s->gpus;
    int32_t e, gpu, slot, end, n = 0;

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        s->gpu_first[gpu] = n;
        for (slot = eplb_p_begin_of(&gpus, gpu), end = eplb_p_end_of(&gpus, gpu); slot < end; slot++) {
            e = phy2log[slot];
            s->slot_link[slot] = EPLB_P_NO_LINK;
            if (e == EPLB_P_EMPTY || s->next_link[e] == EPLB_P_NO_LINK) continue;
            if (s->home[e] != gpu) {
                s->home[e] = gpu;
                s->link_gpu[s->next_link[e]] = gpu;
                s->load[gpu] += s->tokens[s->next_link[e]];
                s->gpu_link[n++] = s->next_link[e]++;
            }
            s->slot_link[slot] = s->next_link[e] - 1;
        }
        s->gpu_end[gpu] = n;
    }
}

/* One spread expert's tokens, where the others' are: up to a level that leaves no GPU below it, one token more
   on the first GPUs for what the level does not divide. */
EPLB_P_HD_LARGE void eplb_p_pour(eplb_p_sharer *s, int32_t spread, int32_t count)
{
    int32_t first = s->first_link[spread], end = s->first_link[spread + 1];
    int32_t level = INT32_MAX, rest = 0, num = 0, before, i;

    do { /* GPUs above the level take nothing; without them it is lower */
        int32_t sum = count;
        before = num;
        num = 0;
        for (i = first; i < end; i++) {
            if (s->load[s->link_gpu[i]] > level) continue;
            sum += s->load[s->link_gpu[i]];
            num++;
        }
        if (num == before) break;
        level = sum / num;
        rest = sum % num;
    } while (num > 1);
    for (i = first; i < end; i++) {
        int32_t *load = &s->load[s->link_gpu[i]], above = *load > level;
        s->tokens[i] = above ? 0 : level - *load + (rest > 0);
        rest -= !above && rest > 0;
        *load += s->tokens[i];
    }
}

/* The same for an expert on two GPUs, which most are. */
EPLB_P_HD_LARGE void eplb_p_pour_two(eplb_p_sharer *s, int32_t spread)
{
    int32_t *tokens = s->tokens + s->first_link[spread], count = tokens[0] + tokens[1];
    const int32_t *gpu = s->link_gpu + s->first_link[spread];
    int32_t *load = &s->load[gpu[0]], *other = &s->load[gpu[1]];
    int32_t less = *other - tokens[1] + count - (*load - tokens[0]), part = less > 0 ? less / 2 + less % 2 : 0;

    if (part > count) part = count;
    *load += part - tokens[0];
    *other += count - part - tokens[1];
    tokens[0] = part;
    tokens[1] = count - part;
}

EPLB_P_HD_LARGE int32_t eplb_p_take_up(eplb_p_sharer *s, int32_t spread)
{
    int32_t count = 0, i;

    for (i = s->first_link[spread]; i < s->first_link[spread + 1]; i++) {
        count += s->tokens[i];
        s->load[s->link_gpu[i]] -= s->tokens[i];
        s->tokens[i] = 0;
    }
    return count;
}

EPLB_P_HD_LARGE void eplb_p_pour_anew(eplb_p_sharer *s, int32_t spread)
{
    if (s->first_link[spread + 1] - s->first_link[spread] == 2) eplb_p_pour_two(s, spread);
    else eplb_p_pour(s, spread, eplb_p_take_up(s, spread));
}

/* The same up to a common time, where speeds differ: sum / speeds. */
EPLB_P void eplb_p_pour_by_speed(eplb_p_sharer *s, int32_t spread)
{
    int32_t first = s->first_link[spread], end = s->first_link[spread + 1], rest = 0, num = 0, before, i;
    int64_t sum = INT32_MAX, speeds = 1;

    for (i = first; i < end; i++) {
        rest += s->tokens[i];
        s->load[s->link_gpu[i]] -= s->tokens[i];
    }
    do { /* as in eplb_p_pour */
        int64_t all = rest, all_speeds = 0;
        before = num;
        num = 0;
        for (i = first; i < end; i++) {
            int32_t gpu = s->link_gpu[i];
            if (s->load[gpu] > sum * s->speed[gpu] / speeds) continue;
            all += s->load[gpu];
            all_speeds += s->speed[gpu];
            num++;
        }
        if (num == before) break;
        sum = all;
        speeds = all_speeds;
    } while (num > 1);
    for (i = first; i < end; i++) {
        int32_t gpu = s->link_gpu[i];
        int64_t level = sum * s->speed[gpu] / speeds;
        s->tokens[i] = (int32_t)level - s->load[gpu];
        if (s->tokens[i] > 0) rest -= s->tokens[i];
    }
    for (i = first; i < end; i++) {
        int32_t above = s->tokens[i] < 0;
        s->tokens[i] = above ? 0 : s->tokens[i] + (rest > 0);
        rest -= !above && rest > 0;
        s->load[s->link_gpu[i]] += s->tokens[i];
    }
}

/* How often each spread expert pours anew where the others' tokens are by then: as often as it saves more searches
   than it costs, by measurement. Any number is right. */
EPLB_P_HD_LARGE int32_t eplb_p_num_sweeps(int32_t how) { return how == EPLB_SHARE_FAIR ? 8 : 3; }

EPLB_P void eplb_p_fill(eplb_p_sharer *s, int32_t num_sweeps)
{
    int32_t sweep, spread;

    for (sweep = 0; sweep < num_sweeps && !s->speed; sweep++)
        for (spread = 0; spread < s->num_spread; spread++) eplb_p_pour_anew(s, spread);
    for (sweep = 0; sweep < num_sweeps && s->speed; sweep++)
        for (spread = 0; spread < s->num_spread; spread++) eplb_p_pour_by_speed(s, spread);
}

/* -------------------------------------------------------------------------- shares: levelling

   What goes through a region member by member the team does together; a search and its chains are one lane's, since
   their order decides. */

/* at: how many were reached before it. */
EPLB_P_HD_LARGE void eplb_p_reach_gpu(eplb_p_sharer *s, int32_t at, int32_t gpu, int32_t level)
{
    s->level[gpu] = level;
    s->gpu_at[gpu] = s->gpu_first[gpu];
    s->reached[at] = gpu;
}

/* All GPUs of a spread expert of which a GPU of this level serves tokens. Returns whether one has room. */
EPLB_P_HD_LARGE int eplb_p_reach_spread(eplb_p_sharer *s, int32_t spread, int32_t level, int32_t limit)
{
    int32_t i, found = 0;

    s->spread_level[spread] = level;
    s->spread_at[spread] = s->first_link[spread];
    s->reached_spread[s->num_reached_spread++] = spread;
    for (i = s->first_link[spread]; i < s->first_link[spread + 1]; i++) {
        int32_t gpu = s->link_gpu[i];
        if (s->level[gpu] != EPLB_P_UNSEEN) continue;
        eplb_p_reach_gpu(s, s->num_reached++, gpu, level + 1);
        found |= s->load[gpu] < limit;
    }
    return found != 0;
}

/* The GPUs above the limit, by index. */
EPLB_P_HD_LARGE void eplb_p_reach_sources(eplb_p_sharer *s, int32_t first, int32_t end, int32_t limit)
{
    int32_t n = 0, lane = eplb_p_team_lane(), num, i;

    for (i = first + lane; i - lane < end; i += EPLB_P_TEAM) {
        int is_source = i < end && s->load[s->member[i]] > limit;
        int32_t at = n + eplb_p_team_rank(is_source, &num);
        if (is_source) eplb_p_reach_gpu(s, at, s->member[i], 0);
        n += num;
    }
    s->num_sources = s->num_reached = n;
    s->num_reached_spread = 0;
    eplb_p_team_wait();
}

/* Steps from there, up to the first that reach a GPU below the limit. Returns whether any does. */
EPLB_P_HD_LARGE int eplb_p_search_steps(eplb_p_sharer *s, int32_t limit)
{
    int32_t at, i, last_level = INT32_MAX;

    for (at = 0; at < s->num_reached; at++) {
        int32_t gpu = s->reached[at], level = s->level[gpu];
        if (level >= last_level) break;
        for (i = s->gpu_first[gpu]; i < s->gpu_end[gpu]; i++) {
            int32_t link = s->gpu_link[i], spread = s->link_spread[link];
            if (s->tokens[link] == 0 || s->spread_level[spread] != EPLB_P_UNSEEN) continue;
            if (eplb_p_reach_spread(s, spread, level, limit)) last_level = level + 1;
        }
    }
    return last_level != INT32_MAX;
}

EPLB_P_HD_LARGE int eplb_p_search_room(eplb_p_sharer *s, int32_t first, int32_t end, int32_t limit)
{
    int found = 0;

    eplb_p_reach_sources(s, first, end, limit);
    if (eplb_p_team_lane() == 0) found = eplb_p_search_steps(s, limit);
    s->num_reached = eplb_p_team_first(s->num_reached);
    s->num_reached_spread = eplb_p_team_first(s->num_reached_spread);
    eplb_p_team_wait();
    return eplb_p_team_first(found) != 0;
}

EPLB_P_HD_LARGE void eplb_p_forget_search(eplb_p_sharer *s)
{
    int32_t i;

    for (i = eplb_p_team_lane(); i < s->num_reached; i += EPLB_P_TEAM) s->level[s->reached[i]] = EPLB_P_UNSEEN;
    for (i = eplb_p_team_lane(); i < s->num_reached_spread; i += EPLB_P_TEAM)
        s->spread_level[s->reached_spread[i]] = EPLB_P_UNSEEN;
    eplb_p_team_wait();
}

/* The next step of a chain: links by which it leaves this GPU and enters one a level further. What was found
   to lead nowhere is behind gpu_at and spread_at. */
EPLB_P_HD_LARGE int eplb_p_find_step(eplb_p_sharer *s, int32_t gpu, int32_t *from, int32_t *to)
{
    for (; s->gpu_at[gpu] < s->gpu_end[gpu]; s->gpu_at[gpu]++) {
        int32_t link = s->gpu_link[s->gpu_at[gpu]], spread = s->link_spread[link];
        if (s->tokens[link] == 0 || s->spread_level[spread] != s->level[gpu]) continue;
        for (; s->spread_at[spread] < s->first_link[spread + 1]; s->spread_at[spread]++) {
            if (s->level[s->link_gpu[s->spread_at[spread]]] != s->level[gpu] + 1) continue;
            *from = link;
            *to = s->spread_at[spread];
            return 1;
        }
    }
    return 0;
}

/* Tokens move along a chain of so many steps: as many as are above the limit at its start, have room at its end,
   and are there to move on each step. */
EPLB_P_HD_LARGE void eplb_p_push(eplb_p_sharer *s, int32_t source, int32_t num_steps, int32_t limit)
{
    int32_t sink = s->link_gpu[s->chain_to[num_steps - 1]], i;
    int32_t most = s->load[source] - limit;

    if (limit - s->load[sink] < most) most = limit - s->load[sink];
    for (i = 0; i < num_steps; i++)
        if (s->tokens[s->chain_from[i]] < most) most = s->tokens[s->chain_from[i]];
    for (i = 0; i < num_steps; i++) {
        s->tokens[s->chain_from[i]] -= most;
        s->tokens[s->chain_to[i]] += most;
    }
    s->load[source] -= most;
    s->load[sink] += most;
}

/* A chain from the source to a GPU with room, by steps that each lead a level further. Returns their number, 0 when
   there is none. A step to a GPU that leads nowhere is taken back, and not tried again. */
EPLB_P_HD_LARGE int32_t eplb_p_find_chain(eplb_p_sharer *s, int32_t source, int32_t limit)
{
    int32_t gpu = source, n = 0;

    while (s->load[gpu] >= limit) {
        if (eplb_p_find_step(s, gpu, &s->chain_from[n], &s->chain_to[n])) {
            gpu = s->link_gpu[s->chain_to[n++]];
            continue;
        }
        if (n == 0) return 0;
        n--;
        s->spread_at[s->link_spread[s->chain_to[n]]]++;
        gpu = s->link_gpu[s->chain_from[n]];
    }
    return n;
}

/* Levels the region at a limit. Returns 0 when no GPU is above it any more; else the size of the cut, which is what
   was reached, and still counts as reached. */
EPLB_P_HD_LARGE int32_t eplb_p_level_region(eplb_p_sharer *s, int32_t first, int32_t end, int32_t limit)
{
    while (eplb_p_search_room(s, first, end, limit)) {
        int32_t i, n;
        for (i = 0; i < s->num_sources && eplb_p_team_lane() == 0; i++)
            while (s->load[s->reached[i]] > limit && (n = eplb_p_find_chain(s, s->reached[i], limit)) > 0)
                eplb_p_push(s, s->reached[i], n, limit);
        eplb_p_team_wait();
        eplb_p_forget_search(s);
    }
    return s->num_reached;
}

/* Members first .. end - 1 are the ones that may be reached; or no longer. */
EPLB_P_HD_LARGE void eplb_p_open_region(eplb_p_sharer *s, int32_t first, int32_t end)
{
    int32_t i;

    for (i = first + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) s->level[s->member[i]] = EPLB_P_UNSEEN;
    eplb_p_team_wait();
}

EPLB_P_HD_LARGE void eplb_p_close_region(eplb_p_sharer *s, int32_t first, int32_t end)
{
    int32_t i;

    for (i = first + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) s->level[s->member[i]] = EPLB_P_OUTSIDE;
    eplb_p_team_wait();
}

/* What was reached stands before what was not, both by index as before. Returns how many were. */
EPLB_P_HD_LARGE int32_t eplb_p_split_region(eplb_p_sharer *s, int32_t first, int32_t end)
{
    int32_t cut = first, num_rest = 0, lane = eplb_p_team_lane(), num, i;

    for (i = first + lane; i - lane < end; i += EPLB_P_TEAM) {
        int32_t gpu = i < end ? s->member[i] : 0, rest, at;
        int is_rest = i < end && s->level[gpu] == EPLB_P_UNSEEN, is_cut = i < end && !is_rest;
        rest = num_rest + eplb_p_team_rank(is_rest, &num);
        num_rest += num;
        at = cut + eplb_p_team_rank(is_cut, &num); /* no further than what all have read */
        cut += num;
        eplb_p_team_wait();
        if (is_rest) s->chain_from[rest] = gpu;
        if (is_cut) s->member[at] = gpu;
    }
    eplb_p_team_wait();
    for (i = lane; i < num_rest; i += EPLB_P_TEAM) s->member[cut + i] = s->chain_from[i];
    eplb_p_forget_search(s);
    return cut - first;
}

/* --------------------------------------------------------------------- shares: least and fair */

/* Tokens of members first .. end - 1. */
EPLB_P_HD_LARGE int32_t eplb_p_region_sum(const eplb_p_sharer *s, int32_t first, int32_t end)
{
    int32_t sum = 0, i;
    for (i = first + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) sum += s->load[s->member[i]];
    return eplb_p_team_sum(sum);
}

/* The GPUs with links; the others' loads are what they are. Returns their number. */
EPLB_P_HD_LARGE int32_t eplb_p_gather_members(eplb_p_sharer *s)
{
    int32_t n = 0, lane = eplb_p_team_lane(), num, gpu;

    for (gpu = lane; gpu - lane < s->num_gpus; gpu += EPLB_P_TEAM) {
        int is_member = gpu < s->num_gpus && s->gpu_first[gpu] < s->gpu_end[gpu];
        int32_t at = n + eplb_p_team_rank(is_member, &num);
        if (gpu < s->num_gpus) s->level[gpu] = EPLB_P_OUTSIDE;
        if (is_member) s->member[at] = gpu;
        n += num;
    }
    eplb_p_team_wait();
    return n;
}

/* What proves that the heaviest GPU cannot have fewer tokens are the members that are left, num_proving of them; or,
   where it is 0, what least_most is for. */
EPLB_P_HD_LARGE void eplb_p_share_least_max(eplb_p_sharer *s)
{
    int32_t end = eplb_p_gather_members(s), limit = s->least_most, mean = 0, cut;

    s->num_proving = 0;
    if (end > 0) mean = eplb_p_mean_up(eplb_p_region_sum(s, 0, end), end);
    if (mean > limit) {
        limit = mean;
        s->num_proving = end;
    }
    eplb_p_open_region(s, 0, end);
    while (eplb_p_level_region(s, 0, end, limit) > 0) {
        cut = eplb_p_split_region(s, 0, end);
        EPLB_ASSERT(cut > 0); /* the GPUs above the limit are in it */
        eplb_p_close_region(s, cut, end);
        s->num_proving = end = cut;
        limit = eplb_p_mean_up(eplb_p_region_sum(s, 0, end), end);
    }
}

/* Whether all of a region have as many tokens as the others, give or take one. */
EPLB_P_HD_LARGE int eplb_p_is_level(const eplb_p_sharer *s, int32_t first, int32_t end)
{
    int32_t least = INT32_MAX, most = 0, i;

    for (i = first + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) {
        int32_t load = s->load[s->member[i]];
        if (load < least) least = load;
        if (load > most) most = load;
    }
    return eplb_p_team_most(most) + eplb_p_team_most(-least) <= 1;
}

/* A region that is not level yet is levelled at its mean. Where that does not divide, some GPUs have one more than
   it, rounded down, and those that their chains reach have no fewer: nothing is left to do for them either.
   Returns how many of its members, the first ones, are done with; a cut, which is not, is a region before it. */
EPLB_P_HD_LARGE int32_t eplb_p_level_mean(eplb_p_sharer *s, int32_t first, int32_t end, int32_t *cut)
{
    int32_t n = end - first, sum = eplb_p_region_sum(s, first, end), mean = eplb_p_mean_up(sum, n), done = n;

    *cut = 0;
    eplb_p_open_region(s, first, end);
    if (eplb_p_level_region(s, first, end, mean) > 0) {
        *cut = eplb_p_split_region(s, first, end);
        done = 0;
    } else if (sum % n > 0) {
        eplb_p_level_region(s, first, end, mean - 1);
        done = eplb_p_split_region(s, first, end);
    }
    eplb_p_close_region(s, first, end);
    return done;
}

EPLB_P_HD_LARGE void eplb_p_share_fairly(eplb_p_sharer *s)
{
    int32_t first = 0, depth = 1, end = eplb_p_gather_members(s), cut;

    if (eplb_p_team_lane() == 0) s->region_end[0] = end;
    while (depth > 0) {
        eplb_p_team_wait();
        end = s->region_end[depth - 1];
        if (eplb_p_is_level(s, first, end)) { /* as one without members is */
            first = end;
            depth--;
            continue;
        }
        first += eplb_p_level_mean(s, first, end, &cut);
        if (cut == 0) continue;
        if (eplb_p_team_lane() == 0) s->region_end[depth] = first + cut;
        depth++;
    }
}

/* ---------------------------------------------------------------------------- shares: by speed

   Where speeds differ, what all GPUs may have is a moment instead of a number of tokens: each GPU what it is done with
   by then. Levelling looks only at how far GPUs are above a limit or below it, so it is given loads less what each may
   have, and the limit 0. A cut gives the least moment by which its GPUs are done with as many tokens as are theirs. */

/* Tokens that a GPU is done with by a moment, or just before. */
EPLB_P int32_t eplb_p_done_by(const eplb_p_sharer *s, int32_t gpu, eplb_p_moment m, int just_before)
{
    int64_t speed = s->speed[gpu], product = m.tokens * speed, tokens = product / m.speed;

    if (tokens > INT32_MAX) return INT32_MAX;
    if (tokens > 0 && tokens * m.speed == product && (just_before ? speed <= m.speed : speed < m.speed)) tokens--;
    return (int32_t)tokens;
}

/* Which of two GPUs is done first with a token more than gpu_at says. */
EPLB_P int eplb_p_is_next(const eplb_p_sharer *s, int32_t a, int32_t b)
{
    return eplb_p_is_before(eplb_p_moment_of(s, a, s->gpu_at[a] + 1), eplb_p_moment_of(s, b, s->gpu_at[b] + 1));
}

/* In a heap of n GPUs, in reached, whose top is the next. */
EPLB_P void eplb_p_sink_next(eplb_p_sharer *s, int32_t at, int32_t n)
{
    int32_t *heap = s->reached, sinking = heap[at];

    while (at < n / 2) { /* it has children */
        int32_t child = 2 * at + 1;
        if (n - child > 1 && eplb_p_is_next(s, heap[child + 1], heap[child])) child++;
        if (!eplb_p_is_next(s, heap[child], sinking)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = sinking;
}

/* The first moment by which members first .. end - 1 are done with as many tokens as they have together. All are done
   with all but one at a time that they share, give or take what is less than a token each; from there on they go one
   by one. */
EPLB_P eplb_p_moment eplb_p_least_moment(eplb_p_sharer *s, int32_t first, int32_t end)
{
    eplb_p_moment at = {0, 1};
    int64_t left = eplb_p_region_sum(s, first, end), all_but_one = left - 1, speeds = 0;
    int32_t n = end - first, i;

    if (left == 0) return at;
    for (i = first; i < end; i++) speeds += s->speed[s->member[i]];
    for (i = 0; i < n; i++) {
        int32_t gpu = s->reached[i] = s->member[first + i];
        s->gpu_at[gpu] = (int32_t)(all_but_one * s->speed[gpu] / speeds);
        left -= s->gpu_at[gpu];
    }
    for (i = n / 2; i-- > 0;) eplb_p_sink_next(s, i, n);
    while (--left > 0) {
        s->gpu_at[s->reached[0]]++;
        eplb_p_sink_next(s, 0, n);
    }
    return eplb_p_moment_of(s, s->reached[0], s->gpu_at[s->reached[0]] + 1);
}

/* eplb_p_level_region, so that all are done by a moment, or just before. */
EPLB_P int32_t eplb_p_level_by(eplb_p_sharer *s, int32_t first, int32_t end, eplb_p_moment m, int just_before)
{
    int32_t num_reached, i;

    for (i = first; i < end; i++) s->load[s->member[i]] -= eplb_p_done_by(s, s->member[i], m, just_before);
    num_reached = eplb_p_level_region(s, first, end, 0);
    for (i = first; i < end; i++) s->load[s->member[i]] += eplb_p_done_by(s, s->member[i], m, just_before);
    return num_reached;
}

/* As eplb_p_share_least_max. */
EPLB_P void eplb_p_share_least_longest(eplb_p_sharer *s)
{
    int32_t end = eplb_p_gather_members(s), cut;
    eplb_p_moment limit = eplb_p_moment_of(s, s->full_home, s->least_most), even = eplb_p_least_moment(s, 0, end);

    s->num_proving = 0;
    if (eplb_p_is_before(limit, even)) {
        limit = even;
        s->num_proving = end;
    }
    eplb_p_open_region(s, 0, end);
    while (eplb_p_level_by(s, 0, end, limit, 0) > 0) {
        cut = eplb_p_split_region(s, 0, end);
        EPLB_ASSERT(cut > 0); /* the GPUs that are not done are in it */
        eplb_p_close_region(s, cut, end);
        s->num_proving = end = cut;
        limit = eplb_p_least_moment(s, 0, end);
    }
}

/* Whether no GPU of a region would be done with a token more before another one is with what it has. */
EPLB_P int eplb_p_is_timely(const eplb_p_sharer *s, int32_t first, int32_t end)
{
    eplb_p_moment latest = {0, 1}, next = {INT32_MAX, 1}, m;
    int32_t i;

    for (i = first; i < end; i++) {
        int32_t gpu = s->member[i];
        m = eplb_p_moment_of(s, gpu, s->load[gpu]);
        if (m.tokens > 0 && eplb_p_is_before(latest, m)) latest = m;
        m.tokens++;
        if (eplb_p_is_before(m, next)) next = m;
    }
    return !eplb_p_is_before(next, latest);
}

EPLB_P int eplb_p_are_full(const eplb_p_sharer *s, int32_t first, int32_t end, eplb_p_moment m)
{
    int32_t i;
    for (i = first; i < end; i++)
        if (s->load[s->member[i]] < eplb_p_done_by(s, s->member[i], m, 0)) return 0;
    return 1;
}

/* As eplb_p_level_mean. Only GPUs of one speed have a token at that very moment, and it is all the same which of them
   do. */
EPLB_P int32_t eplb_p_level_moment(eplb_p_sharer *s, int32_t first, int32_t end, int32_t *cut)
{
    eplb_p_moment m = eplb_p_least_moment(s, first, end);
    int32_t done = end - first;

    *cut = 0;
    eplb_p_open_region(s, first, end);
    if (eplb_p_level_by(s, first, end, m, 0) > 0) {
        *cut = eplb_p_split_region(s, first, end);
        done = 0;
    } else if (!eplb_p_are_full(s, first, end, m)) {
        eplb_p_level_by(s, first, end, m, 1);
        done = eplb_p_split_region(s, first, end);
    }
    eplb_p_close_region(s, first, end);
    return done;
}

/* As eplb_p_share_fairly. */
EPLB_P void eplb_p_share_timely(eplb_p_sharer *s)
{
    int32_t first = 0, depth = 1, cut;

    s->region_end[0] = eplb_p_gather_members(s);
    while (depth > 0) {
        int32_t end = s->region_end[depth - 1];
        if (eplb_p_is_timely(s, first, end)) {
            first = end;
            depth--;
            continue;
        }
        first += eplb_p_level_moment(s, first, end, &cut);
        if (cut > 0) s->region_end[depth++] = first + cut;
    }
}

/* The GPU that takes longest, by its tokens and its speed; the first of several. */
EPLB_P int32_t eplb_p_last_gpu(const eplb_p_sharer *s)
{
    int32_t gpu, last = s->full_home; /* which is one that has slots */

    for (gpu = 0; gpu < s->num_gpus; gpu++) {
        int64_t time, longest;
        if (s->speed[gpu] == 0) continue;
        time = (int64_t)s->load[gpu] * s->speed[last];
        longest = (int64_t)s->load[last] * s->speed[gpu];
        if (time > longest || (time == longest && gpu < last)) last = gpu;
    }
    return last;
}

/* ----------------------------------------------------------------------------- shares: a layer */

/* All that is to be known of one layer, with tokens where they are a good start. */
EPLB_P void eplb_p_link_layer(eplb_p_sharer *s, const int32_t *phy2log, const int32_t *count, int32_t how)
{
    eplb_p_find_homes(s, phy2log);
    eplb_p_spread_experts(s, count);
    eplb_p_link_gpus(s, phy2log);
    eplb_p_fill(s, eplb_p_num_sweeps(how));
}

EPLB_P void eplb_p_solve_shares(eplb_p_sharer *s, int32_t how)
{
    int fair = how == EPLB_SHARE_FAIR;

    if (s->speed && fair) eplb_p_share_timely(s);
    else if (s->speed) eplb_p_share_least_longest(s);
    else if (fair) eplb_p_share_fairly(s);
    else eplb_p_share_least_max(s);
}

EPLB_P_HD_LARGE int32_t eplb_p_most_tokens(const eplb_p_sharer *s)
{
    int32_t most = 0, gpu;
    for (gpu = eplb_p_team_lane(); gpu < s->num_gpus; gpu += EPLB_P_TEAM)
        if (s->load[gpu] > most) most = s->load[gpu];
    return eplb_p_team_most(most);
}

EPLB_P int32_t eplb_p_tokens_of_last(const eplb_p_sharer *s)
{
    return s->speed ? s->load[eplb_p_last_gpu(s)] : eplb_p_most_tokens(s);
}

/* Members are the GPUs that have slots. Returns their number. */
EPLB_P int32_t eplb_p_gather_living(eplb_p_sharer *s)
{
    int32_t gpu, n = 0;
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        if (eplb_p_begin_of(&s->gpus, gpu) < eplb_p_end_of(&s->gpus, gpu)) s->member[n++] = gpu;
    return n;
}

/* proving [G] and tokens: a set of GPUs that are not done with theirs any sooner. Returns their number. */
EPLB_P int32_t eplb_p_prove(eplb_p_sharer *s, uint8_t *proving, int32_t *tokens)
{
    int32_t gpu, i;

    eplb_p_solve_shares(s, EPLB_SHARE_LEAST_MAX);
    for (gpu = 0; gpu < s->num_gpus; gpu++) proving[gpu] = 0;
    if (s->num_proving == 0 && s->full_home < 0) { /* the mean of all */
        s->num_proving = eplb_p_gather_living(s);
    } else if (s->num_proving == 0) {
        s->num_proving = 1;
        s->member[0] = s->full_home;
    }
    for (i = 0; i < s->num_proving; i++) proving[s->member[i]] = 1;
    *tokens = eplb_p_region_sum(s, 0, s->num_proving);
    return s->num_proving;
}

/* Slots of an expert on one GPU share what stands in each of them evenly. home and num_homes are not in use any
   more, and count those slots. */
EPLB_P void eplb_p_part_doubles(eplb_p_sharer *s, int32_t gpu, const int32_t *held, int32_t *served)
{
    int32_t first = eplb_p_begin_of(&s->gpus, gpu), end = eplb_p_end_of(&s->gpus, gpu), i;

    for (i = first; i < end; i++)
        if (held[i] != EPLB_P_EMPTY) s->num_homes[held[i]] = s->home[held[i]] = 0;
    for (i = first; i < end; i++)
        if (held[i] != EPLB_P_EMPTY) s->num_homes[held[i]]++;
    for (i = first; i < end; i++)
        if (held[i] != EPLB_P_EMPTY)
            served[i] = eplb_p_even_share(served[i], s->num_homes[held[i]], s->home[held[i]]++);
}

EPLB_P void eplb_p_store_shares(eplb_p_sharer *s, const int32_t *phy2log, const int32_t *count, int32_t *slot_count)
{
    int32_t run, slot, i;

    for (run = 0, slot = 0; run < eplb_p_num_runs(s); run++) {
        int32_t first = eplb_p_begin_of(&s->gpus, run), end = eplb_p_run_end(s, run);
        for (; slot < first; slot++) slot_count[slot] = 0;
        for (; slot < end; slot++) {
            if (s->slot_link[slot] != EPLB_P_NO_LINK) slot_count[slot] = s->tokens[s->slot_link[slot]];
            else slot_count[slot] = phy2log[slot] == EPLB_P_EMPTY ? 0 : count[phy2log[slot]];
        }
    }
    for (; slot < s->num_slots; slot++) slot_count[slot] = 0;
    for (i = 0; i < s->num_doubled; i++) eplb_p_part_doubles(s, s->doubled_gpu[i], phy2log, slot_count);
}

/* --------------------------------------------------------------------------- shares: evaluate */

typedef struct eplb_p_token_scale {
    int32_t power; /* of the heaviest load */
    int32_t up;    /* places that bring its digits to 2^30 or more, and under 2^31 */
} eplb_p_token_scale;

/* A load as a whole number, beside the heaviest, which is 2^30 or more; what is less than 1 is cut off. */
EPLB_P uint64_t eplb_p_scaled_digits(eplb_p_token_scale scale, const float *load)
{
    uint32_t bits = eplb_p_bits_at(load) & ~EPLB_P_SIGN;
    int32_t down = scale.power - eplb_p_load_power(bits);
    return down < 64 ? eplb_p_load_digits(bits) << scale.up >> down : 0;
}

/* count [E] = loads as whole tokens, whose sum is returned: just under 2^31, or 0 where there is no load. */
EPLB_P int32_t eplb_p_count_tokens(const float *load, int32_t n, int32_t *count)
{
    eplb_p_token_scale scale;
    uint32_t lightest, heaviest;
    uint64_t sum = 0;
    int32_t down = 0, tokens = 0, e;

    eplb_p_load_range(load, n, &lightest, &heaviest);
    if (heaviest == 0) return 0;
    scale.power = eplb_p_load_power(heaviest);
    for (scale.up = 0; eplb_p_load_digits(heaviest) << scale.up < (uint64_t)1 << 30;) scale.up++;
    for (e = 0; e < n; e++) sum += eplb_p_scaled_digits(scale, &load[e]);
    while (sum >> down > INT32_MAX) down++;
    for (e = 0; e < n; e++) {
        count[e] = (int32_t)(eplb_p_scaled_digits(scale, &load[e]) >> down);
        tokens += count[e];
    }
    return tokens;
}

/* Whether every expert is in a slot, and nobody else. */
EPLB_P int eplb_p_is_whole_plan(eplb_p_sharer *s, const int32_t *phy2log)
{
    int32_t e;

    if (!eplb_p_names_experts(s, phy2log)) return 0;
    eplb_p_find_homes(s, phy2log);
    for (e = 0; e < s->num_experts; e++)
        if (s->num_homes[e] == 0) return 0;
    return 1;
}

/* A sum of loads by that of speeds, which where all are as fast count 1 each: no GPU takes less than the mean. */
EPLB_P double eplb_p_mean_time(const eplb_p_sharer *s, double sum)
{
    double speeds = 0.0;
    int32_t gpu;

    if (!s->speed) return sum / s->num_living;
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        if (s->speed[gpu] > 0) speeds += (double)s->gpu_speed[gpu];
    return sum / speeds;
}

/* A sum of loads, of so many tokens, is shared out: what the last GPU has of it, by its speed. */
EPLB_P double eplb_p_time_of_last(const eplb_p_sharer *s, double sum, int32_t tokens)
{
    double last = eplb_p_tokens_of_last(s), time = sum * (last / tokens);
    return s->speed ? time / (double)s->gpu_speed[eplb_p_last_gpu(s)] : time;
}

/* Mean and heaviest load of a GPU in one layer, by its speed; means over the samples that hold load; most is no less
   than mean. Where the search will note the spread experts it has reached, their tokens are counted before it. */
EPLB_P void eplb_p_evaluate_exactly(eplb_p_sharer *s, const eplb_p_samples *samples, const int32_t *phy2log,
                                    double *mean, double *most)
{
    int32_t *count = s->reached_spread, num_loaded = 0, t, e;

    *mean = *most = 0.0;
    eplb_p_ready_gpus(s);
    for (t = 0; t < samples->num; t++) {
        const float *load = samples->load + (size_t)t * samples->stride;
        int32_t tokens = eplb_p_count_tokens(load, s->num_experts, count);
        double sum = 0.0;
        volatile double served; /* lest the product be fused with the sum, as verdicts on switches follow from it */
        if (tokens == 0) continue;
        for (e = 0; e < s->num_experts; e++) sum += (double)load[e];
        eplb_p_link_layer(s, phy2log, count, EPLB_SHARE_LEAST_MAX);
        eplb_p_solve_shares(s, EPLB_SHARE_LEAST_MAX);
        *mean += eplb_p_mean_time(s, sum);
        served = eplb_p_time_of_last(s, sum, tokens);
        *most += served;
        num_loaded++;
    }
    if (num_loaded == 0) return;
    *mean /= num_loaded;
    *most /= num_loaded;
    if (*most < *mean) *most = *mean; /* by rounding */
}

/* --------------------------------------------------------------------------- shares: planning

   A plan for exact shares is held against the one that its search began with, by what they make of the samples. */

typedef struct eplb_p_judge {
    eplb_p_sharer sharer;
    int32_t *count; /* [E] one sample's grains */
    int32_t *plan;  /* [R] as the caller numbers slots; where GPUs are not alike */
} eplb_p_judge;

EPLB_P eplb_p_judge eplb_p_carve_judge(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_judge j = EPLB_ZERO_INIT;
    j.sharer = eplb_p_carve_sharer(a, shape);
    j.count = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    j.plan = shape->odd ? EPLB_P_TAKE(a, int32_t, shape->num_replicas) : NULL;
    return j;
}

/* How long the last GPU takes: in tokens, or, where speeds differ, in 2^-EPLB_P_PACE_BITS of what the
   slowest takes for a token. */
EPLB_P int64_t eplb_p_longest(const eplb_p_sharer *s)
{
    int64_t product, speed, slowest = INT32_MAX;
    int32_t last, gpu;

    if (!s->speed) return eplb_p_most_tokens(s);
    for (gpu = 0; gpu < s->num_gpus; gpu++)
        if (s->speed[gpu] > 0 && s->speed[gpu] < slowest) slowest = s->speed[gpu];
    last = eplb_p_last_gpu(s);
    speed = s->speed[last];
    product = s->load[last] * slowest;
    return (product / speed << EPLB_P_PACE_BITS) + (product % speed << EPLB_P_PACE_BITS) / speed;
}

/* The heaviest GPU of each sample, where shares are exact, summed by what the samples count for: grains have been
   multiplied by the root of that, and are once more. */
EPLB_P int64_t eplb_p_exact_score(eplb_p_judge *j, const eplb_p_layer *l, const int32_t *phy2log)
{
    int64_t score = 0;
    int32_t t, e;

    EPLB_ASSERT(j->count != NULL); /* the judge has been carved */
    if (j->plan) eplb_p_store_slots(l, j->plan, phy2log);
    eplb_p_ready_gpus(&j->sharer);
    for (t = 0; t < l->num_counting; t++) {
        for (e = 0; e < l->shape->num_experts; e++) j->count[e] = l->grains[eplb_p_at(e, l->num_counting, t)];
        eplb_p_link_layer(&j->sharer, j->plan ? j->plan : phy2log, j->count, EPLB_SHARE_LEAST_MAX);
        eplb_p_solve_shares(&j->sharer, EPLB_SHARE_LEAST_MAX);
        score += eplb_p_longest(&j->sharer) * l->factor[t];
    }
    return score;
}

/* Where the search has made the layer's plan worse on the samples, it is taken back. */
EPLB_P void eplb_p_judge_layer(eplb_p_planner *p, eplb_p_search *search, eplb_p_judge *judge)
{
    eplb_p_layer *l = &p->layer;
    int32_t i, kept;

    eplb_p_enter_phase(&p->shared, p->judge_bytes);
    kept = eplb_p_exact_score(judge, l, l->phy2log) <= eplb_p_exact_score(judge, l, l->start);
    eplb_p_leave_phases(&p->shared);
    if (kept) return;
    eplb_p_copy_ids(l->phy2log, l->start, l->cluster.num_slots);
    for (i = 0; i < l->shape->num_experts; i++) l->logcnt[i] = 0;
    for (i = 0; i < l->cluster.num_slots; i++)
        if (l->phy2log[i] != EPLB_P_EMPTY) l->logcnt[l->phy2log[i]]++;
    eplb_p_enter_phase(&p->shared, p->search_bytes);
    eplb_p_order_gpus(l, search);
    eplb_p_leave_phases(&p->shared);
}

/* ---------------------------------------------------------------------------- shares: sources */

typedef struct eplb_p_dealer { /* of one layer */
    int32_t num_experts, num_slots, num_gpus, node_gpus;
    eplb_p_gpus gpus;
    int32_t *first_slot;  /* [E] of each expert in expert_slot */
    int32_t *num_copies;  /* [E] slots of each expert; while checking, how many more tokens wait than are shared out */
    int32_t *expert_slot; /* [R] slots by expert, then by index */
    int32_t *room;        /* [R] tokens that a slot has yet to get */
    int32_t *waiting;     /* [G] tokens of one expert that have yet to be sent */
    const int32_t *node_of; /* [G] as in eplb_p_shape */
} eplb_p_dealer;

EPLB_P_HD_LARGE eplb_p_dealer eplb_p_carve_dealer(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_dealer d = EPLB_ZERO_INIT;
    d.num_experts = shape->num_experts;
    d.num_slots = shape->num_replicas;
    d.num_gpus = shape->num_gpus;
    d.node_gpus = shape->num_gpus / shape->num_nodes;
    d.gpus = shape->gpus;
    d.node_of = shape->node_of;
    d.first_slot = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    d.num_copies = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    d.expert_slot = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    d.room = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    d.waiting = EPLB_P_TAKE(a, int32_t, shape->num_gpus);
    return d;
}

/* One layer's shares are of its plan, and each expert's sum to what waits for it. */
EPLB_P eplb_result eplb_p_check_layer_sources(eplb_p_dealer *d, const int32_t *phy2log, const int32_t *source_count,
                                              const int32_t *slot_count)
{
    int64_t waiting = 0, shared = 0;
    int32_t *more = d->num_copies, *held = d->first_slot, e, gpu, slot;

    for (e = 0; e < d->num_experts; e++) more[e] = held[e] = 0;
    for (gpu = 0; gpu < d->num_gpus; gpu++) {
        for (e = 0; e < d->num_experts; e++) {
            int32_t tokens = source_count[eplb_p_at(gpu, d->num_experts, e)];
            if (tokens < 0) return EPLB_ERR_NEGATIVE;
            waiting += tokens;
            if (waiting > INT32_MAX) return EPLB_ERR_OVERFLOW;
            more[e] += tokens;
        }
    }
    for (slot = 0, gpu = 0; slot < d->num_slots; slot++) {
        gpu += slot == eplb_p_begin_of(&d->gpus, gpu + 1);
        e = slot < eplb_p_end_of(&d->gpus, gpu) ? phy2log[slot] : EPLB_P_EMPTY;
        if (!eplb_p_within(e, EPLB_P_EMPTY, d->num_experts - 1)) return EPLB_ERR_PLAN;
        if (slot_count[slot] < 0) return EPLB_ERR_NEGATIVE;
        shared += slot_count[slot];
        if (shared > waiting) return EPLB_ERR_SHARES; /* as when an empty slot has a share, and all experts theirs */
        if (e == EPLB_P_EMPTY) continue;
        more[e] -= slot_count[slot];
        held[e] = 1;
    }
    for (e = 0; e < d->num_experts; e++) {
        if (more[e] > 0 && !held[e]) return EPLB_ERR_PLAN;
        if (more[e] != 0) return EPLB_ERR_SHARES;
    }
    return EPLB_OK;
}

EPLB_P void eplb_p_sort_slots(eplb_p_dealer *d, const int32_t *phy2log)
{
    int32_t e, gpu, slot, end, n = 0;

    for (e = 0; e < d->num_experts; e++) d->num_copies[e] = 0;
    for (gpu = 0; gpu < d->num_gpus; gpu++) {
        end = eplb_p_end_of(&d->gpus, gpu);
        for (slot = eplb_p_begin_of(&d->gpus, gpu); slot < end; slot++)
            if (phy2log[slot] != EPLB_P_EMPTY) d->num_copies[phy2log[slot]]++;
    }
    for (e = 0; e < d->num_experts; e++) {
        d->first_slot[e] = n;
        n += d->num_copies[e];
        d->num_copies[e] = 0;
    }
    for (gpu = 0; gpu < d->num_gpus; gpu++) {
        end = eplb_p_end_of(&d->gpus, gpu);
        for (slot = eplb_p_begin_of(&d->gpus, gpu); slot < end; slot++) {
            e = phy2log[slot];
            if (e != EPLB_P_EMPTY) d->expert_slot[d->first_slot[e] + d->num_copies[e]++] = slot;
        }
    }
}

/* What waits on these GPUs goes to these slots, both by index, until there is no more or no more room. */
EPLB_P_HD_LARGE void eplb_p_deal_tokens(eplb_p_dealer *d, int32_t gpu, int32_t end_gpu, const int32_t *slot,
                                        int32_t num, int32_t *quota)
{
    int32_t i = 0;

    while (i < num && gpu < end_gpu) {
        int32_t room = d->room[slot[i]], waiting = d->waiting[gpu], sent = waiting < room ? waiting : room;
        d->room[slot[i]] -= sent;
        d->waiting[gpu] -= sent;
        if (sent > 0) quota[eplb_p_at(gpu, d->num_slots, slot[i])] = sent; /* once: it leaves no room, or no tokens */
        if (sent == room) i++; /* both, when they are equal: neither has any more to give */
        if (sent == waiting) gpu++;
    }
}

/* One expert's tokens, as far as they stay among as many GPUs: a GPU alone, a node, or all. */
EPLB_P_HD_LARGE void eplb_p_deal_within(eplb_p_dealer *d, int32_t e, int32_t width, int32_t *quota)
{
    const int32_t *slot = d->expert_slot + d->first_slot[e];
    int32_t i, next;

    for (i = 0; i < d->num_copies[e]; i = next) {
        int32_t place = eplb_p_gpu_with(&d->gpus, slot[i]) / width,
                end = eplb_p_begin_of(&d->gpus, (place + 1) * width);
        for (next = i + 1; next < d->num_copies[e] && slot[next] < end; next++) {}
        eplb_p_deal_tokens(d, place * width, (place + 1) * width, slot + i, next - i, quota);
    }
}

EPLB_P_HD_LARGE void eplb_p_deal_expert(eplb_p_dealer *d, int32_t e, int32_t *quota)
{
    eplb_p_deal_within(d, e, 1, quota);
    eplb_p_deal_within(d, e, d->node_gpus, quota);
    eplb_p_deal_within(d, e, d->num_gpus, quota);
}

/* The same within nodes of any size. */
EPLB_P void eplb_p_deal_on_nodes(eplb_p_dealer *d, int32_t e, int32_t *quota)
{
    const int32_t *slot = d->expert_slot + d->first_slot[e], *node_of = d->node_of;
    int32_t i, next;

    for (i = 0; i < d->num_copies[e]; i = next) {
        int32_t gpu = eplb_p_gpu_with(&d->gpus, slot[i]), end = gpu, node = node_of[gpu];
        while (gpu > 0 && node_of[gpu - 1] == node) gpu--;
        while (end < d->num_gpus && node_of[end] == node) end++;
        for (next = i + 1; next < d->num_copies[e] && slot[next] < eplb_p_begin_of(&d->gpus, end); next++) {}
        eplb_p_deal_tokens(d, gpu, end, slot + i, next - i, quota);
    }
}

EPLB_P void eplb_p_deal_expert_oddly(eplb_p_dealer *d, int32_t e, int32_t *quota)
{
    eplb_p_deal_within(d, e, 1, quota);
    eplb_p_deal_on_nodes(d, e, quota);
    eplb_p_deal_within(d, e, d->num_gpus, quota);
}

EPLB_P void eplb_p_deal_layer(eplb_p_dealer *d, const int32_t *phy2log, const int32_t *source_count,
                              const int32_t *slot_count, int32_t *quota)
{
    int32_t e, gpu, slot;

    eplb_p_sort_slots(d, phy2log);
    eplb_p_copy_ids(d->room, slot_count, d->num_slots);
    for (gpu = 0; gpu < d->num_gpus; gpu++)
        for (slot = 0; slot < d->num_slots; slot++) quota[eplb_p_at(gpu, d->num_slots, slot)] = 0;
    for (e = 0; e < d->num_experts; e++) {
        if (d->num_copies[e] == 0) continue;
        for (gpu = 0; gpu < d->num_gpus; gpu++) d->waiting[gpu] = source_count[eplb_p_at(gpu, d->num_experts, e)];
        if (d->node_of) eplb_p_deal_expert_oddly(d, e, quota);
        else eplb_p_deal_expert(d, e, quota);
    }
}

/* ------------------------------------------------------------------------- what a switch gains

   A layer's plan in force and its new one, each by what it makes of the same loads. The mean load of a GPU is the same
   under both, so their balancednesses tell what the heaviest GPU's load falls by, in any unit. */

typedef struct eplb_p_weigher {
    const eplb_switch_options *how;
    eplb_p_mover mover;
    eplb_p_evaluator equal;
    eplb_p_sharer exact;
} eplb_p_weigher;

EPLB_P eplb_p_weigher eplb_p_carve_weigher(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_weigher w = EPLB_ZERO_INIT;
    w.mover = eplb_p_carve_mover(a, shape);
    w.equal = eplb_p_carve_sums(a, shape);
    w.exact = eplb_p_carve_sharer(a, shape);
    return w;
}

/* Load of the heaviest GPU under a plan in which every expert is in a slot. */
EPLB_P float eplb_p_heaviest_load(eplb_p_weigher *w, const eplb_p_samples *samples, const int32_t *phy2log,
                                  float *balancedness)
{
    double mean, most;

    if (w->how->shares == EPLB_PLAN_FOR_EXACT) {
        eplb_p_evaluate_exactly(&w->exact, samples, phy2log, &mean, &most);
    } else {
        eplb_p_count_replicas(&w->equal, phy2log);
        eplb_p_evaluate_equally(&w->equal, samples, phy2log, &mean, &most);
    }
    *balancedness = eplb_p_balancedness(mean, most);
    return eplb_p_reported(most);
}

EPLB_P int32_t eplb_p_count_unheld(const eplb_p_mover *m)
{
    int32_t e, num = 0;
    for (e = 0; e < m->num_experts; e++) num += m->holder[e] == EPLB_P_NONE;
    return num;
}

/* 1 - after / before, of the heaviest GPU's loads. */
EPLB_P float eplb_p_relative_gain(float balancedness_before, float balancedness_after)
{
    return eplb_p_div(eplb_p_sub(balancedness_after, balancedness_before), balancedness_after);
}

/* (before - after) / mean / moves: before / mean is what balancedness is the inverse of. */
EPLB_P float eplb_p_gain_per_move(float gain, float balancedness_before, int32_t moves)
{
    if (moves == 0 && gain > 0.0f) return FLT_MAX;
    gain = eplb_p_div(gain, balancedness_before);
    return moves > 0 ? eplb_p_div(gain, eplb_p_float_of(moves)) : gain;
}

/* Whether a layer's plan in force has fallen far enough since it was put in force. */
EPLB_P int eplb_p_has_fallen(const eplb_switch_options *how, int32_t layer, float balancedness)
{
    return !how->in_force_score || eplb_p_sub(how->in_force_score[layer], balancedness) > how->hysteresis;
}

/* All of a layer's switch, but for what all layers may move together. */
EPLB_P void eplb_p_weigh_layer_switch(eplb_p_weigher *w, const eplb_p_samples *samples, const int32_t *previous_phy2log,
                                      const int32_t *phy2log, int32_t layer, eplb_switch *s)
{
    float balancedness, gain;

    eplb_p_source_layer(&w->mover, previous_phy2log, phy2log, EPLB_SOURCES_DEALT); /* any: moves are the same */
    s->layer = layer;
    s->moves = w->mover.num_moves;
    s->lost = eplb_p_count_unheld(&w->mover);
    s->after = eplb_p_heaviest_load(w, samples, phy2log, &s->balancedness);
    s->before = FLT_MAX;
    s->gain_per_move = FLT_MAX;
    s->pays = 1;
    if (s->lost > 0) return;
    s->before = eplb_p_heaviest_load(w, samples, previous_phy2log, &balancedness);
    gain = eplb_p_relative_gain(balancedness, s->balancedness);
    s->gain_per_move = eplb_p_gain_per_move(gain, balancedness, s->moves);
    s->pays = gain > 0.0f && gain >= w->how->threshold && eplb_p_has_fallen(w->how, layer, balancedness);
}

EPLB_P int eplb_p_gains_more(const eplb_switch *a, const eplb_switch *b)
{
    if (a->gain_per_move > b->gain_per_move) return 1;
    return !(b->gain_per_move > a->gain_per_move) && a->layer < b->layer;
}

/* In a heap whose top goes last: what stands at `at` sinks below all that go behind it. */
EPLB_P void eplb_p_sink_switch(eplb_switch *s, int32_t at, int32_t n)
{
    eplb_switch sinking = s[at];

    while (at < n / 2) { /* it has children */
        int32_t child = 2 * at + 1;
        if (n - child > 1 && eplb_p_gains_more(&s[child], &s[child + 1])) child++;
        if (!eplb_p_gains_more(&sinking, &s[child])) break;
        s[at] = s[child];
        at = child;
    }
    s[at] = sinking;
}

/* By heap, as scratch has no room for all layers. */
EPLB_P void eplb_p_order_switches(eplb_switch *s, int32_t n)
{
    eplb_switch last;
    int32_t i;

    for (i = n / 2; i-- > 0;) eplb_p_sink_switch(s, i, n);
    for (i = n - 1; i > 0; i--) {
        last = s[0];
        s[0] = s[i];
        s[i] = last;
        eplb_p_sink_switch(s, 0, i);
    }
}

/* Of the layers that pay, in order, those that find no room for their moves do not. */
EPLB_P void eplb_p_limit_switches(eplb_switch *s, int32_t n, int64_t max_moves)
{
    int64_t moves = 0, most = max_moves == 0 ? INT64_MAX : max_moves < 0 ? 0 : max_moves;
    int32_t i;

    for (i = 0; i < n; i++) {
        if (s[i].lost == 0 && s[i].moves > most - moves) s[i].pays = 0;
        if (s[i].pays) moves += s[i].moves;
    }
}

/* ------------------------------------------------------------------- the plan in force: kept slots

   GPUs are alike, so a plan may give any GPU's slots to any other, within what the hierarchy allows. They go where
   as few experts as possible are new, and as many slots as possible stay as they are: an assignment of the new
   plan's GPUs (rows) to those of the plan in force (columns) of the most value in all. Its dual gives each row and
   column a price, none below 0; the sum of the two is nowhere below the value of the pair, and equal to it where the
   two are assigned, and what is not assigned has no price, so no assignment is worth more (Kuhn 1955). */

typedef struct eplb_p_values { /* of a row: all columns of which it has any */
    const int32_t *column;
    const int64_t *value;
    int32_t num;
} eplb_p_values;

typedef struct eplb_p_held { /* an expert by a GPU of the plan in force */
    int32_t gpu, copies;     /* in how many slots */
    int32_t next;            /* the same expert, on another GPU; -1: there is no other */
} eplb_p_held;

typedef struct eplb_p_keeper {
    const eplb_p_shape *shape;
    const eplb_p_layer *layer;
    const int32_t *old_slot; /* [R] the plan in force of the layer in hand */
    const int32_t *new_slot; /* [R] the plan that is to be in force */
    int32_t *holder;         /* [-1, E) in held, the last GPU to hold an expert; -1: none does, as with an empty slot */
    eplb_p_held *held;       /* [R] */
    int32_t *seen;           /* [-1, E) slots of an expert met so far on a GPU of the new plan; else 0 */
    int32_t *arranged;       /* [R] the new plan, its GPUs where they are to be */
    int32_t *vacant;         /* [R / G + 1] slots of the GPU that is arranged whose expert does not stay */

    /* Values of the new plan's GPUs with those of the plan in force, one GPU's after the other's. Of a GPU whose values
       find no room they are worked out behind the others each time. */
    int32_t *first_value; /* [G] EPLB_P_NONE: found no room, or not worked out yet */
    int32_t *num_values;  /* [G] */
    int32_t *column;      /* [most_values + G] */
    int64_t *value;       /* [most_values + G] */
    int32_t *place;       /* [G] the last of a column among the values */
    int32_t num_stored;

    /* The assignment in hand, of n rows to n columns: GPUs of a node of each plan, or nodes. */
    int32_t n, first_row, first_column, among_nodes;
    int64_t *row_price, *column_price; /* [n] */
    int32_t *row_of;                   /* [n] the row assigned to a column; -1: none is */
    int32_t *assigned;                 /* [n] rows that have a column */
    int32_t *reached;  /* [n] assigned columns that a way leads to: first those to which none is shorter */
    int64_t *distance; /* [n] its length, the sum of what prices are above values */
    int32_t *through;  /* [n] the column before this one on it; -1: none is */
    int32_t num_reached;
    int64_t shortest;    /* of the ways that end: at a free column, or where a row may go without one */
    int32_t end;         /* the last column of it whose row moves; -1: none does */
    int64_t *node_value; /* [N, N] */
    int32_t *node;       /* [N] 0, 1, .. */
    int32_t *node_row;   /* [N] the new plan's node that goes to a node */
} eplb_p_keeper;

#define EPLB_P_UNREACHED INT64_MAX

/* Most plans have a value or two for each slot. */
EPLB_P size_t eplb_p_most_values(const eplb_p_shape *shape) { return 2 * (size_t)shape->num_replicas; }

/* [-1, E): of experts, and of an empty slot's. */
EPLB_P int32_t *eplb_p_take_from_empty(eplb_p_arena *a, int32_t num_experts)
{
    int32_t *of = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)num_experts + 1);
    return of ? of + 1 : NULL;
}

EPLB_P eplb_p_keeper eplb_p_carve_keeper(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_keeper k = EPLB_ZERO_INIT;
    int32_t E = shape->num_experts, R = shape->num_replicas, G = shape->num_gpus, N = shape->num_nodes;
    int32_t n = shape->node_gpus > N ? shape->node_gpus : N;
    size_t most = eplb_p_most_values(shape) + (size_t)G;

    k.shape = shape;
    k.holder = eplb_p_take_from_empty(a, E);
    k.held = EPLB_P_TAKE(a, eplb_p_held, R);
    k.seen = eplb_p_take_from_empty(a, E);
    k.arranged = EPLB_P_TAKE(a, int32_t, R);
    k.vacant = EPLB_P_TAKE_ROWS(a, int32_t, 1, (size_t)shape->gpus.room + 1);
    k.first_value = EPLB_P_TAKE(a, int32_t, G);
    k.num_values = EPLB_P_TAKE(a, int32_t, G);
    k.column = EPLB_P_TAKE_ROWS(a, int32_t, 1, most);
    k.value = EPLB_P_TAKE_ROWS(a, int64_t, 1, most);
    k.place = EPLB_P_TAKE(a, int32_t, G);
    k.row_price = EPLB_P_TAKE(a, int64_t, n);
    k.column_price = EPLB_P_TAKE(a, int64_t, n);
    k.row_of = EPLB_P_TAKE(a, int32_t, n);
    k.assigned = EPLB_P_TAKE(a, int32_t, n);
    k.reached = EPLB_P_TAKE(a, int32_t, n);
    k.distance = EPLB_P_TAKE(a, int64_t, n);
    k.through = EPLB_P_TAKE(a, int32_t, n);
    k.node_value = EPLB_P_TAKE_ROWS(a, int64_t, N, N);
    k.node = EPLB_P_TAKE(a, int32_t, N);
    k.node_row = EPLB_P_TAKE(a, int32_t, N);
    return k;
}

EPLB_P void eplb_p_list_held(eplb_p_keeper *k)
{
    int32_t *holder = k->holder, gpu, e, slot = 0, end = 0, num = 0;
    eplb_p_held *held = k->held;

    for (gpu = 0; gpu < k->shape->num_living; gpu++) {
        for (end = eplb_p_begin_of(&k->layer->cluster.gpus, gpu + 1); slot < end; slot++) {
            e = k->old_slot[slot];
            if (e == EPLB_P_EMPTY) continue;
            if (holder[e] >= 0 && held[holder[e]].gpu == gpu) {
                held[holder[e]].copies++;
                continue;
            }
            held[num].gpu = gpu;
            held[num].copies = 1;
            held[num].next = holder[e];
            holder[e] = num++;
        }
    }
}

/* column, value from place `first` on; returns the end of them. An expert that is not new to a GPU outweighs any number
   of slots that stay as they are. */
EPLB_P int32_t eplb_p_work_out_values(eplb_p_keeper *k, const int32_t *slot, const int32_t *end, int32_t first)
{
    const int32_t *at;
    int32_t num = first, h, copy, *place, *seen = k->seen;
    int64_t kept = 1, found = (int64_t)k->shape->num_replicas + 1;
    const eplb_p_held *held;

    for (at = slot; at < end; at++) {
        copy = seen[*at]++;
        for (h = k->holder[*at]; h >= 0; h = held->next) {
            held = k->held + h;
            if (copy >= held->copies) continue;
            place = k->place + held->gpu;
            if (*place < first) {
                *place = num;
                k->column[num] = held->gpu;
                k->value[num++] = 0;
            }
            k->value[*place] += copy == 0 ? found : kept;
        }
    }
    for (at = slot; at < end; at++) seen[*at] = 0;
    return num;
}

#define EPLB_P_FEW_BITS 32 /* slots of a GPU, of which a lane that has no memory to count in keeps a bit each */

/* Of a GPU with few slots the same, by a lane alone, where it has room for so many. Returns the end, or -1. */
EPLB_P int32_t eplb_p_work_out_few(const eplb_p_keeper *k, const int32_t *slot, int32_t num_slots, int32_t first,
                                   int32_t most)
{
    int32_t num = first, i, j, h, copy, at;
    int64_t kept = 1, found = (int64_t)k->shape->num_replicas + 1;

    for (i = 0; i < num_slots; i++) {
        for (j = 0, copy = 0; j < i; j++) copy += slot[j] == slot[i];
        for (h = k->holder[slot[i]]; h >= 0; h = k->held[h].next) {
            if (copy >= k->held[h].copies) continue;
            for (at = first; at < num && k->column[at] != k->held[h].gpu;) at++;
            if (at == first + most) return -1;
            if (at == num) k->value[num++] = 0;
            k->column[at] = k->held[h].gpu;
            k->value[at] += copy == 0 ? found : kept;
        }
    }
    return num;
}

/* By a team, before they are asked for: each lane those of its GPUs, which have as much room for them each. */
EPLB_P void eplb_p_value_gpus_by_team(eplb_p_keeper *k)
{
    const eplb_p_gpus *gpus = &k->layer->cluster.gpus;
    int32_t room = k->shape->gpus.room, gpu, begin, slots, end;

    for (gpu = eplb_p_team_lane(); gpu < k->shape->num_living && room <= EPLB_P_FEW_BITS; gpu += EPLB_P_TEAM) {
        begin = eplb_p_begin_of(gpus, gpu);
        slots = eplb_p_num_on(gpus, gpu);
        end = eplb_p_work_out_few(k, k->new_slot + begin, slots, 2 * begin, 2 * slots);
        if (end < 0) continue;
        k->first_value[gpu] = 2 * begin;
        k->num_values[gpu] = end - 2 * begin;
    }
    if (eplb_p_team_lane() == 0 && room <= EPLB_P_FEW_BITS) k->num_stored = (int32_t)eplb_p_most_values(k->shape);
    eplb_p_team_wait();
}

EPLB_P eplb_p_values eplb_p_value_gpu(eplb_p_keeper *k, int32_t gpu)
{
    int32_t first = k->num_stored, i;
    int32_t end = eplb_p_work_out_values(k, k->new_slot + eplb_p_begin_of(&k->layer->cluster.gpus, gpu),
                                         k->new_slot + eplb_p_begin_of(&k->layer->cluster.gpus, gpu + 1), first);
    eplb_p_values values;

    values.column = k->column + first;
    values.value = k->value + first;
    values.num = end - first;
    if ((size_t)end <= eplb_p_most_values(k->shape)) {
        k->first_value[gpu] = first;
        k->num_values[gpu] = values.num;
        k->num_stored = end;
    } else {
        for (i = first; i < end; i++) k->place[k->column[i]] = EPLB_P_NONE;
    }
    return values;
}

EPLB_P eplb_p_values eplb_p_values_of(eplb_p_keeper *k, int32_t row)
{
    eplb_p_values values;
    int32_t gpu = k->first_row + row;

    if (!k->among_nodes && k->first_value[gpu] < 0) return eplb_p_value_gpu(k, gpu);
    values.column = k->among_nodes ? k->node : k->column + k->first_value[gpu];
    values.value = k->among_nodes ? k->node_value + eplb_p_at(row, k->n, 0) : k->value + k->first_value[gpu];
    values.num = k->among_nodes ? k->n : k->num_values[gpu];
    return values;
}

EPLB_P int eplb_p_has_locks(const eplb_p_layer *l, int32_t gpu) { return l->num_locked[gpu] + l->num_shut[gpu] > 0; }

/* Whether a GPU of the plan, or all of a node's, may go where another is: they have as many slots, are as fast, are lost
   with the same node where that counts, and nothing is locked on them. */
EPLB_P int eplb_p_are_alike(const eplb_p_keeper *k, int32_t gpu, int32_t other)
{
    const eplb_p_cluster *c = &k->layer->cluster;

    if (!k->shape->odd || gpu == other) return 1;
    if (k->shape->survive == EPLB_SURVIVE_NODE && c->link_node[gpu] != c->link_node[other]) return 0;
    if (k->layer->locked && (eplb_p_has_locks(k->layer, gpu) || eplb_p_has_locks(k->layer, other))) return 0;
    return eplb_p_num_on(&c->gpus, gpu) == eplb_p_num_on(&c->gpus, other)
           && (!c->pace || c->pace[gpu] == c->pace[other]);
}

EPLB_P int eplb_p_are_alike_nodes(const eplb_p_keeper *k, int32_t node, int32_t other)
{
    int32_t first = eplb_p_first_gpu_of(k->layer, node), other_first = eplb_p_first_gpu_of(k->layer, other);
    int32_t n = eplb_p_first_gpu_of(k->layer, node + 1) - first, gpu;

    if (eplb_p_first_gpu_of(k->layer, other + 1) - other_first != n) return 0;
    for (gpu = 0; gpu < n; gpu++)
        if (!eplb_p_are_alike(k, first + gpu, other_first + gpu)) return 0;
    return 1;
}

/* The same of a row and a column. */
EPLB_P int eplb_p_may_seat(const eplb_p_keeper *k, int32_t row, int32_t column)
{
    if (!k->shape->odd) return 1;
    if (k->among_nodes) return eplb_p_are_alike_nodes(k, row, column);
    return eplb_p_are_alike(k, k->first_row + row, k->first_column + column);
}

/* A row takes the column of most value to it, a free one if one of those is, the first of them on ties. */
EPLB_P void eplb_p_seat_row(eplb_p_keeper *k, int32_t row)
{
    eplb_p_values values = eplb_p_values_of(k, row);
    int32_t first_column = k->first_column, n = k->n, *row_of = k->row_of, i, j;
    eplb_p_incumbent best = eplb_p_worth_more_than(1); /* twice the value, and 1 if it is free */

    for (i = 0; i < values.num; i++) {
        j = values.column[i] - first_column;
        if (!eplb_p_within(j, 0, n - 1) || !eplb_p_may_seat(k, row, j)) continue;
        eplb_p_challenge(&best, 2 * values.value[i] + (row_of[j] < 0), j);
    }
    k->row_price[row] = best.worth / 2;
    k->assigned[row] = best.index >= 0 && best.worth % 2 != 0;
    if (k->assigned[row]) row_of[best.index] = row;
}

/* Ways go on from a row, the one of column `at`, or the first: no farther, if the row may go without a column, or to all
   columns of which it has value. Those that are longer than one that ends need not be followed. */
EPLB_P void eplb_p_reach_columns(eplb_p_keeper *k, int32_t row, int32_t at, int64_t far)
{
    eplb_p_values values = eplb_p_values_of(k, row);
    int64_t distance, *known = k->distance;
    int32_t first_column = k->first_column, n = k->n, i, j;

    far += k->row_price[row];
    if (far < k->shortest) {
        k->shortest = far;
        k->end = at;
    }
    for (i = 0; i < values.num; i++) {
        j = values.column[i] - first_column;
        if (!eplb_p_within(j, 0, n - 1) || !eplb_p_may_seat(k, row, j)) continue;
        distance = far + k->column_price[j] - values.value[i];
        if (distance >= k->shortest || distance >= known[j]) continue;
        k->through[j] = at;
        if (k->row_of[j] < 0) {
            k->shortest = distance;
            k->end = j;
            continue;
        }
        if (known[j] == EPLB_P_UNREACHED) k->reached[k->num_reached++] = j;
        known[j] = distance;
    }
}

/* The nearest of the columns reached from place `num_settled` on, the first on ties, goes to that place. */
EPLB_P int32_t eplb_p_settle_column(eplb_p_keeper *k, int32_t num_settled)
{
    eplb_p_incumbent nearest = eplb_p_worth_more_than(INT64_MIN);
    int32_t i, j;

    for (i = num_settled; i < k->num_reached; i++) eplb_p_challenge(&nearest, -k->distance[k->reached[i]], i);
    EPLB_ASSERT(nearest.index >= num_settled); /* there is one */
    j = k->reached[nearest.index];
    k->reached[nearest.index] = k->reached[num_settled];
    k->reached[num_settled] = j;
    return j;
}

/* Row `row` gets a column, at the beginning of the shortest way (Dijkstra 1959) on which each column's row moves on to
   the next. The prices of all that is nearer than its end change so that it costs nothing. */
EPLB_P void eplb_p_assign_row(eplb_p_keeper *k, int32_t row)
{
    int32_t num_settled = 0, at = EPLB_P_NONE, i, j;

    k->num_reached = 0;
    k->shortest = EPLB_P_UNREACHED;
    eplb_p_reach_columns(k, row, at, 0);
    while (num_settled < k->num_reached) {
        at = eplb_p_settle_column(k, num_settled);
        if (k->distance[at] >= k->shortest) break;
        num_settled++;
        eplb_p_reach_columns(k, k->row_of[at], at, k->distance[at]);
    }
    k->row_price[row] -= k->shortest;
    for (i = 0; i < k->num_reached; i++) {
        j = k->reached[i];
        if (i < num_settled) {
            k->column_price[j] += k->shortest - k->distance[j];
            k->row_price[k->row_of[j]] -= k->shortest - k->distance[j];
        }
        k->distance[j] = EPLB_P_UNREACHED;
    }
    for (j = k->end; j >= 0; j = k->through[j]) k->row_of[j] = k->through[j] < 0 ? row : k->row_of[k->through[j]];
}

/* row_of [n] of the assignment of most value, which is returned: the sum of the prices. Rows without price may go
   without a column. */
EPLB_P int64_t eplb_p_assign(eplb_p_keeper *k)
{
    int64_t value = 0;
    int32_t row, j;

    for (j = 0; j < k->n; j++) {
        k->column_price[j] = 0;
        k->row_of[j] = EPLB_P_NONE;
        k->distance[j] = EPLB_P_UNREACHED;
    }
    for (row = 0; row < k->n; row++) eplb_p_seat_row(k, row);
    for (row = 0; row < k->n; row++)
        if (!k->assigned[row] && k->row_price[row] > 0) eplb_p_assign_row(k, row);
    for (j = 0; j < k->n; j++) value += k->row_price[j] + k->column_price[j];
    return value;
}

EPLB_P int64_t eplb_p_assign_gpus(eplb_p_keeper *k, int32_t from, int32_t to)
{
    k->first_row = eplb_p_first_gpu_of(k->layer, from);
    k->first_column = eplb_p_first_gpu_of(k->layer, to);
    k->n = eplb_p_first_gpu_of(k->layer, from + 1) - k->first_row;
    k->among_nodes = 0;
    return eplb_p_assign(k);
}

/* Rows that have no column get those that are free, in order. */
EPLB_P void eplb_p_seat_all(eplb_p_keeper *k)
{
    int32_t row, j;

    for (j = 0; j < k->n; j++) k->assigned[j] = 0;
    for (j = 0; j < k->n; j++)
        if (k->row_of[j] >= 0) k->assigned[k->row_of[j]] = 1;
    for (j = 0, row = 0; j < k->n; j++) {
        if (k->row_of[j] >= 0) continue;
        if (k->shape->odd) row = 0;
        while (k->assigned[row] || !eplb_p_may_seat(k, row, j)) row++;
        k->row_of[j] = row;
        k->assigned[row] = 1;
    }
}

/* node_row: groups stay together on their way to another node. */
EPLB_P void eplb_p_assign_nodes(eplb_p_keeper *k)
{
    int32_t N = k->shape->num_nodes, from, to;

    for (from = 0; from < N; from++) {
        k->node[from] = from;
        for (to = 0; to < N; to++)
            k->node_value[eplb_p_at(from, N, to)] =
                !k->shape->odd || eplb_p_are_alike_nodes(k, from, to) ? eplb_p_assign_gpus(k, from, to) : 0;
    }
    k->n = N;
    k->first_column = 0;
    k->among_nodes = 1;
    (void)eplb_p_assign(k);
    eplb_p_seat_all(k);
    eplb_p_copy_ids(k->node_row, k->row_of, N);
}

/* The slots of the new plan's GPU go to a GPU of the plan in force: those that keep their expert first, the others in
   order to what is left. */
EPLB_P void eplb_p_arrange_gpu(eplb_p_keeper *k, int32_t from, int32_t to)
{
    int32_t first = eplb_p_begin_of(&k->layer->cluster.gpus, to),
            room = eplb_p_begin_of(&k->layer->cluster.gpus, to + 1) - first, num = 0, i, e, stays;
    const int32_t *old_slot = k->old_slot + first,
                  *new_slot = k->new_slot + eplb_p_begin_of(&k->layer->cluster.gpus, from);
    int32_t *arranged = k->arranged + first, *seen = k->seen, *vacant = k->vacant;
    const uint8_t *locked = k->layer->locked ? k->layer->locked + first : NULL;

    for (i = 0; i < room; i++) seen[new_slot[i]]++;
    seen[EPLB_P_EMPTY] = 0;
    for (i = 0; i < room && locked; i++)
        if (locked[i] && old_slot[i] != EPLB_P_EMPTY) seen[old_slot[i]]--; /* that copy is spoken for */
    for (i = 0; i < room; i++) {
        e = old_slot[i];
        if (locked && locked[i]) {
            arranged[i] = e;
            continue;
        }
        stays = seen[e] > 0;
        seen[e] -= stays;
        arranged[i] = stays ? e : EPLB_P_EMPTY;
        vacant[num] = i;
        num += 1 - stays;
    }
    for (i = 0; i < room; i++) {
        e = new_slot[i];
        if (e == EPLB_P_EMPTY || seen[e] == 0) continue;
        seen[e]--;
        arranged[*vacant++] = e;
    }
}

/* As vLLM keeps them: GPUs stay where they are. On each, slot by slot, the first copy of what the slot holds that is not
   taken yet stays in it; what is not taken goes to the other slots, both in order. Among copies those that are left are
   the last, so they are put in place from the end. */
EPLB_P void eplb_p_arrange_as_vllm(eplb_p_keeper *k, int32_t gpu)
{
    int32_t room = eplb_p_num_on(&k->shape->gpus, gpu), first = eplb_p_begin_of(&k->shape->gpus, gpu), num = 0, i, e,
            stays;
    const int32_t *old_slot = k->old_slot + first, *new_slot = k->new_slot + first;
    int32_t *arranged = k->arranged + first, *seen = k->seen;

    for (i = 0; i < room; i++) seen[new_slot[i]]++;
    for (i = 0; i < room; i++) {
        e = old_slot[i];
        stays = seen[e] > 0;
        seen[e] -= stays;
        arranged[i] = e;
        k->vacant[num] = i;
        num += 1 - stays;
    }
    for (i = room - 1; i >= 0; i--) {
        e = new_slot[i];
        if (seen[e] == 0) continue;
        seen[e]--;
        arranged[k->vacant[--num]] = e;
    }
}

/* Either where slots are few and none is locked: of copies that stay the last ones are taken, or as vLLM does, the first. */
EPLB_P void eplb_p_arrange_few(const eplb_p_keeper *k, int32_t from, int32_t to)
{
    const eplb_p_gpus *gpus = &k->layer->cluster.gpus;
    int32_t first = eplb_p_begin_of(gpus, to), room = eplb_p_num_on(gpus, to), i, j, at = 0;
    const int32_t *old_slot = k->old_slot + first, *new_slot = k->new_slot + eplb_p_begin_of(gpus, from);
    int32_t *arranged = k->arranged + first, begin = k->shape->as_vllm ? 0 : room - 1;
    int32_t step = begin > 0 ? -1 : 1;
    uint32_t left = 0;

    for (j = 0; j < room; j++) left |= (uint32_t)(new_slot[j] != EPLB_P_EMPTY) << j;
    for (i = 0; i < room; i++) {
        for (j = begin; eplb_p_within(j, 0, room - 1) && (new_slot[j] != old_slot[i] || (left >> j & 1) == 0);)
            j += step;
        arranged[i] = eplb_p_within(j, 0, room - 1) ? old_slot[i] : EPLB_P_EMPTY;
        if (eplb_p_within(j, 0, room - 1)) left &= ~((uint32_t)1 << j);
    }
    for (j = 0; j < room; j++) {
        if ((left >> j & 1) == 0) continue;
        while (arranged[at] != EPLB_P_EMPTY) at++;
        arranged[at] = new_slot[j];
    }
}

/* GPUs of the new plan, from the first one on, in the order of the rows, or as they are, go to those of the plan in force,
   from `to` on. By the team, as all that follows but what is said to be lane 0's. */
EPLB_P void eplb_p_arrange_gpus(eplb_p_keeper *k, const int32_t *row_of, int32_t from, int32_t to, int32_t num)
{
    int32_t lane = eplb_p_team_lane(), j;
    int is_few = EPLB_P_TEAM > 1 && k->shape->gpus.room <= EPLB_P_FEW_BITS && !k->layer->locked;

    eplb_p_team_wait();
    for (j = lane; j < num && is_few; j += EPLB_P_TEAM) eplb_p_arrange_few(k, from + (row_of ? row_of[j] : j), to + j);
    for (j = 0; j < num && !is_few && lane == 0; j++) {
        if (k->shape->as_vllm) eplb_p_arrange_as_vllm(k, to + j);
        else eplb_p_arrange_gpu(k, from + (row_of ? row_of[j] : j), to + j);
    }
    eplb_p_team_wait();
}

/* The plans of a layer. */
EPLB_P void eplb_p_open_keeper(eplb_p_keeper *k, const eplb_p_layer *l, const int32_t *old_slot)
{
    if (eplb_p_team_lane() == 0) {
        k->layer = l;
        k->old_slot = old_slot;
        k->new_slot = l->phy2log;
    }
    eplb_p_team_wait();
    EPLB_ASSERT(k->holder != NULL && k->node_row != NULL); /* the keeper has been carved */
    eplb_p_team_fill(k->seen - 1, 0, 0, k->shape->num_experts + 1);
    eplb_p_team_wait();
}

/* What is arranged is the layer's plan. */
EPLB_P void eplb_p_take_arranged(const eplb_p_keeper *k, eplb_p_layer *l)
{
    eplb_p_team_copy(l->phy2log, k->arranged, k->shape->num_usable);
    eplb_p_team_wait();
}

/* phy2log of the layer, its GPUs where they bring the fewest new experts. */
EPLB_P void eplb_p_keep_slots(eplb_p_keeper *k, eplb_p_layer *l, const int32_t *old_slot)
{
    int32_t is_lead = eplb_p_team_lane() == 0, to;

    eplb_p_open_keeper(k, l, old_slot);
    eplb_p_team_fill(k->holder - 1, EPLB_P_NONE, 0, k->shape->num_experts + 1);
    eplb_p_team_fill(k->first_value, EPLB_P_NONE, 0, k->shape->num_living);
    eplb_p_team_fill(k->place, EPLB_P_NONE, 0, k->shape->num_living);
    eplb_p_team_wait();
    if (is_lead) {
        eplb_p_list_held(k);
        k->num_stored = 0;
    }
    eplb_p_team_wait();
    if (EPLB_P_TEAM > 1) eplb_p_value_gpus_by_team(k);
    if (is_lead) {
        k->node_row[0] = 0;
        if (k->shape->num_nodes > 1) eplb_p_assign_nodes(k);
    }
    for (to = 0; to < k->shape->num_nodes; to++) {
        if (is_lead) {
            (void)eplb_p_assign_gpus(k, k->node_row[to], to);
            eplb_p_seat_all(k);
        }
        eplb_p_team_wait();
        eplb_p_arrange_gpus(k, k->row_of, k->first_row, k->first_column, k->n);
    }
    eplb_p_take_arranged(k, l);
}

/* -------------------------------------------------------------------- the plan in force: few moves

   Where moves are few, or have a price, the search begins with the plan in force, on the whole layer at once, and
   takes the move that gains most for each expert moved. On the way it remembers the plan of the least score: the
   heaviest GPU, by the mean over the samples, and the price of the moves; or while many slots are filled, the last. */

typedef struct eplb_p_follower {
    const eplb_p_shape *shape;
    const eplb_p_layer *layer;
    eplb_p_moves moves;
    eplb_p_search search; /* of all nodes as if they were one */
    eplb_p_judge judge;   /* where shares are exact */
    int32_t *expert;      /* [E + 1] all, and nobody */
    int32_t *slot;        /* [R] the plan at hand */
    int32_t *plan;        /* [R] the same, with empty slots as the caller has them */
    int32_t *best;        /* [R] the one remembered; also the way back while a group is brought to a node */
    int64_t best_score;
    int64_t score_cost;    /* of a move */
    int64_t mean_squares;  /* sum over the samples of the mean load, squared */
    int64_t least_score;   /* of any plan, but for its moves: the mean load is its heaviest GPU's */
    int64_t most_score;    /* that of the plan to begin with */
    int32_t refills;       /* many slots are empty in the plan in force */
    int64_t *node_time;    /* [N] what the GPUs of a node take, on average */
    int32_t *node_room;    /* [N] experts that can still have their home on a node */
    int32_t *node_experts; /* [N] those whose home it is */
    int32_t *domain;       /* [G] of the search; where GPUs are not alike */
    int32_t *group_node;   /* [K] node of a group; -1: nobody holds any of its experts, or it is not to move any more */
} eplb_p_follower;

EPLB_P eplb_p_moves eplb_p_carve_moves(eplb_p_arena *a, const eplb_p_shape *shape)
{
    eplb_p_moves m = EPLB_ZERO_INIT;
    int32_t G = shape->num_living, N = shape->link_nodes, kind;

    m.allowed = &shape->options;
    m.num_gpus = G;
    m.link_gpus = shape->num_gpus / N;
    m.words = (int32_t)eplb_p_bit_words(shape->num_experts + 1);
    m.free_of = EPLB_P_TAKE_ROWS(a, uint32_t, G, m.words);
    m.holder = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    m.next_holder = EPLB_P_TAKE(a, int32_t, shape->num_usable);
    m.home = EPLB_P_TAKE(a, int32_t, shape->num_experts);
    m.num_counts = G > N ? G : N;
    for (kind = 0; kind < EPLB_P_NUM_LIMITS; kind++) {
        eplb_p_limit *limit = &m.limit[m.num_limits];
        if (eplb_p_limit_of(m.allowed, kind) == 0) continue;
        limit->kind = kind;
        limit->most = eplb_p_most_moves(m.allowed, kind);
        limit->count = EPLB_P_TAKE_ROWS(a, int32_t, kind == EPLB_P_LIMIT_PAIR ? G : 1, m.num_counts);
        m.num_limits++;
        m.counts_apart |= kind != EPLB_P_LIMIT_ALL;
    }
    return m;
}

/* A shape of one node, in which an empty slot holds one expert more. */
EPLB_P eplb_p_shape eplb_p_flat_shape(const eplb_p_shape *shape)
{
    eplb_p_shape flat = *shape;

    flat.num_experts = shape->num_experts + 1;
    flat.node_experts = shape->num_experts;
    flat.node_slots = shape->num_usable;
    flat.node_gpus = shape->num_living;
    flat.num_nodes = 1;
    flat.apart = 0; /* no plan is put aside */
    flat.odd = 0;   /* whose a slot is is asked of the cluster */
    return flat;
}

EPLB_P void eplb_p_carve_follower(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_follower *f)
{
    eplb_p_shape flat = eplb_p_flat_shape(shape);

    f->shape = shape;
    f->moves = eplb_p_carve_moves(a, shape);
    eplb_p_carve_search(a, &flat, &f->search);
    f->expert = EPLB_P_TAKE(a, int32_t, flat.num_experts);
    f->slot = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    f->plan = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    f->best = EPLB_P_TAKE(a, int32_t, shape->num_replicas);
    f->node_time = EPLB_P_TAKE(a, int64_t, shape->num_nodes);
    f->node_room = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
    f->node_experts = EPLB_P_TAKE(a, int32_t, shape->num_nodes);
    f->group_node = EPLB_P_TAKE(a, int32_t, shape->num_groups);
    f->domain = shape->odd ? EPLB_P_TAKE(a, int32_t, shape->num_living) : NULL;
    if (shape->exact) f->judge = eplb_p_carve_judge(a, shape);
    f->search.nobody = shape->num_experts;
    f->search.node_gpus = shape->node_gpus;
}

/* few moves: what there is to begin with */

/* holder, next_holder of the plan in force: of a GPU's slots with an expert the first. */
EPLB_P void eplb_p_list_holders(eplb_p_follower *f, const int32_t *old_slot)
{
    eplb_p_moves *m = &f->moves;
    int32_t slot;

    eplb_p_fill_ids(m->holder, EPLB_P_NONE, 0, f->shape->num_experts);
    for (slot = f->shape->num_usable - 1; slot >= 0; slot--) {
        int32_t *first, here;
        if (old_slot[slot] == EPLB_P_EMPTY) continue;
        first = &m->holder[old_slot[slot]];
        here = *first >= 0
               && eplb_p_gpu_with(&f->layer->cluster.gpus, *first) == eplb_p_gpu_with(&f->layer->cluster.gpus, slot);
        m->next_holder[slot] = here ? m->next_holder[*first] : *first;
        *first = slot;
    }
}

/* From an expert on, the first that nobody held; the number of experts where there is none. By the team. */
EPLB_P int32_t eplb_p_next_lost(const eplb_p_follower *f, int32_t from)
{
    int32_t E = f->shape->num_experts, lane = eplb_p_team_lane(), e, lead;

    for (e = from + lane; e - lane < E; e += EPLB_P_TEAM) {
        lead = eplb_p_team_lead(e < E && f->moves.holder[e] < 0);
        if (lead < EPLB_P_TEAM) return e - lane + lead;
    }
    return E;
}

/* free_of, holder of the plan in force. */
EPLB_P void eplb_p_list_had(eplb_p_follower *f, const int32_t *old_slot)
{
    eplb_p_moves *m = &f->moves;
    int32_t E = f->shape->num_experts, lane = eplb_p_team_lane(), gpu, slot, e, word;

    EPLB_ASSERT(m->free_of != NULL && m->holder != NULL && m->next_holder != NULL); /* moves have been carved */
    if (lane == 0) eplb_p_list_holders(f, old_slot);
    eplb_p_team_wait();
    for (gpu = lane; gpu < m->num_gpus; gpu += EPLB_P_TEAM) {
        uint32_t *free_of = m->free_of + eplb_p_at(gpu, m->words, 0);
        for (word = 0; word < m->words; word++) free_of[word] = 0;
        for (slot = eplb_p_begin_of(&f->layer->cluster.gpus, gpu);
             slot < eplb_p_begin_of(&f->layer->cluster.gpus, gpu + 1); slot++) {
            e = old_slot[slot] == EPLB_P_EMPTY ? E : old_slot[slot];
            free_of[(uint32_t)e / 32] |= eplb_p_bit_of(e);
        }
        free_of[(uint32_t)E / 32] |= eplb_p_bit_of(E);
    }
    for (e = -1; (e = eplb_p_next_lost(f, e + 1)) < E;)
        for (gpu = lane; gpu < m->num_gpus; gpu += EPLB_P_TEAM)
            m->free_of[eplb_p_at(gpu, m->words, e / 32)] |= eplb_p_bit_of(e);
    eplb_p_team_wait();
}

/* The home of an expert is known. */
EPLB_P void eplb_p_note_home(eplb_p_follower *f, int32_t e, int32_t node)
{
    int32_t *group_node = &f->group_node[e / f->shape->group_size];

    f->moves.home[e] = node;
    f->node_room[node]--;
    f->node_experts[node]++;
    if (*group_node < 0) *group_node = node;
}

/* home of experts that are locked; what is locked once more takes room, too. */
EPLB_P void eplb_p_note_locked_homes(eplb_p_follower *f, const int32_t *old_slot)
{
    int32_t *home = f->moves.home, slot, e;

    for (slot = 0; slot < f->shape->num_usable; slot++) {
        e = old_slot[slot];
        if (!f->layer->locked[slot]) continue;
        if (e != EPLB_P_EMPTY && home[e] < 0) home[e] = eplb_p_node_at_slot(f->layer, slot);
        else f->node_room[eplb_p_node_at_slot(f->layer, slot)]--;
    }
    for (e = 0; e < f->shape->num_experts; e++)
        if (home[e] >= 0) eplb_p_note_home(f, e, home[e]);
}

/* Where there is the most room for an expert that nobody holds, the first on ties. */
EPLB_P int32_t eplb_p_roomiest_node(const eplb_p_follower *f)
{
    eplb_p_incumbent best = eplb_p_worth_more_than(INT64_MIN);
    int32_t node;

    for (node = 0; node < f->shape->num_nodes; node++) eplb_p_challenge(&best, f->node_room[node], node);
    return best.index;
}

/* Where the experts are in the plan in force, each on one node, though a group may be on several; or the first slot whose
   expert is on another node already; -1 when there is none. Those that nobody holds go where their group is, if there is
   a slot left for them there, or else where there are the most; last those of groups of which nobody holds any. */
EPLB_P int32_t eplb_p_find_homes_in_force(eplb_p_follower *f, const int32_t *old_slot)
{
    const eplb_p_shape *shape = f->shape;
    int32_t *home = f->moves.home, slot, e, node, lost;

    EPLB_ASSERT(home != NULL && f->group_node != NULL && f->node_room != NULL && f->node_experts != NULL);
    if (shape->num_nodes == 1) { /* there is nothing else to ask of it */
        eplb_p_fill_ids(home, 0, 0, shape->num_experts);
        f->node_experts[0] = shape->num_experts;
        return -1;
    }
    eplb_p_fill_ids(home, EPLB_P_NONE, 0, shape->num_experts);
    eplb_p_fill_ids(f->group_node, EPLB_P_NONE, 0, shape->num_groups);
    eplb_p_fill_ids(f->node_experts, 0, 0, shape->num_nodes);
    for (node = 0; node < shape->num_nodes; node++)
        f->node_room[node] = eplb_p_begin_of(&f->layer->cluster.gpus, eplb_p_first_gpu_of(f->layer, node + 1))
                             - eplb_p_begin_of(&f->layer->cluster.gpus, eplb_p_first_gpu_of(f->layer, node));
    if (f->layer->locked) eplb_p_note_locked_homes(f, old_slot);
    for (slot = 0; slot < shape->num_usable; slot++) {
        e = old_slot[slot];
        node = eplb_p_node_at_slot(f->layer, slot);
        if (e == EPLB_P_EMPTY || home[e] == node) continue;
        if (home[e] >= 0) return slot;
        eplb_p_note_home(f, e, node);
    }
    for (lost = 0; lost < 2; lost++) {
        for (e = 0; e < shape->num_experts; e++) {
            node = f->group_node[e / shape->group_size];
            if (home[e] >= 0 || (node < 0 && !lost)) continue;
            if (node < 0 || f->node_room[node] <= 0) node = eplb_p_roomiest_node(f);
            eplb_p_note_home(f, e, node);
        }
    }
    return -1;
}

/* A slot for an expert that is lost: the first empty one on its node, or else the first of those whose expert has
   the most replicas. */
EPLB_P int32_t eplb_p_find_room(const eplb_p_follower *f, int32_t e)
{
    int32_t node = f->moves.home[e],
            first = eplb_p_begin_of(&f->layer->cluster.gpus, eplb_p_first_gpu_of(f->layer, node)), i;
    eplb_p_incumbent best = eplb_p_worth_more_than(0);

    for (i = first; i < eplb_p_begin_of(&f->layer->cluster.gpus, eplb_p_first_gpu_of(f->layer, node + 1)); i++) {
        if (eplb_p_is_pinned(&f->search, i)) continue;
        if (f->slot[i] == f->search.nobody) return i;
        eplb_p_challenge(&best, f->search.count[f->slot[i]], i);
    }
    EPLB_ASSERT(best.index >= 0); /* there is room for all experts */
    return best.index;
}

/* Whether what is in a slot has moved there, and is in no slot of the GPU before it. */
EPLB_P int eplb_p_has_come(const eplb_p_search *s, int32_t slot)
{
    int32_t gpu = eplb_p_gpu_of(s, slot), e = s->slot[slot], first = slot;

    if (eplb_p_is_free(s, gpu, e)) return 0;
    if (eplb_p_holds_twice(s, gpu, e)) first = eplb_p_first_slot(s, gpu);
    while (s->slot[first] != e) first++;
    return first == slot;
}

/* What has moved, by what is in the slots. By the team. */
EPLB_P void eplb_p_count_moves_made(eplb_p_follower *f)
{
    eplb_p_search *s = &f->search;
    eplb_p_moves *m = &f->moves;
    int32_t lane = eplb_p_team_lane(), num = 0, gpu, i;
    int64_t over = 0;

    for (i = 0; i < m->num_limits; i++)
        for (gpu = 0; gpu < (m->limit[i].kind == EPLB_P_LIMIT_PAIR ? m->num_gpus : 1); gpu++)
            eplb_p_team_fill(eplb_p_counts_of(m, &m->limit[i], gpu), 0, 0, m->num_counts);
    eplb_p_team_wait();
    for (i = lane; i < s->num_slots; i += EPLB_P_TEAM) {
        if (!eplb_p_has_come(s, i)) continue;
        num++;
        over += eplb_p_count_move(s, eplb_p_gpu_of(s, i), s->slot[i], 1);
    }
    num = eplb_p_team_sum(num);
    over = eplb_p_team_sum64(over);
    if (lane == 0) {
        m->num = num;
        m->over = over;
    }
    eplb_p_team_wait();
}

/* count of what is in the slots. By the team. */
EPLB_P void eplb_p_count_held(eplb_p_follower *f)
{
    eplb_p_search *s = &f->search;
    int32_t lane = eplb_p_team_lane(), i;

    EPLB_ASSERT(s->count != NULL && f->slot != NULL);
    eplb_p_team_fill(s->count, 0, 0, eplb_p_num_held(s));
    eplb_p_team_wait();
    for (i = lane; i < s->num_slots; i += EPLB_P_TEAM) (void)eplb_p_team_count(&s->count[f->slot[i]], 1);
    eplb_p_team_wait();
}

/* What is in the slots is counted and weighed. By the team, as all that follows but what is said to be lane 0's. */
EPLB_P void eplb_p_weigh_plan(eplb_p_follower *f)
{
    eplb_p_search *s = &f->search;

    eplb_p_count_held(f);
    if (eplb_p_team_lane() == 0) s->count[s->nobody]++; /* so that the last empty slot can be filled as any other */
    eplb_p_team_wait();
    eplb_p_measure_node(s);
    eplb_p_count_moves_made(f);
}

EPLB_P int64_t eplb_p_at_most(float x, int64_t most) { return x < eplb_p_float_of(most) ? (int64_t)x : most; }

/* What a move costs, in what is compared. Two GPUs that are above and below the mean by that price lower the heavier
   one by it when they become alike, and the sum of squares by twice its square. */
EPLB_P void eplb_p_price_moves(eplb_p_follower *f, const eplb_p_layer *l)
{
    float cost = f->shape->options.move_cost;
    int64_t mean = 0, squares = eplb_p_mean_squares(l, &f->search), sum;
    int32_t lane = eplb_p_team_lane(), t, e;

    for (t = 0; t < l->num_counting; t++) {
        for (sum = 0, e = lane; e < f->search.num_experts; e += EPLB_P_TEAM)
            sum += l->grains[eplb_p_at(e, l->num_counting, t)];
        mean += eplb_p_even_time(&f->search, eplb_p_team_sum64(sum)) * l->factor[t];
    }
    if (lane > 0) return;
    f->mean_squares = squares;
    f->least_score = mean;
    f->score_cost = eplb_p_at_most(eplb_p_mul(eplb_p_float_of(mean), cost), INT64_MAX / 4 / f->search.num_slots);
    f->moves.squares_cost = eplb_p_at_most(
        eplb_p_mul(eplb_p_mul(eplb_p_mul(cost, cost), 2.0f), eplb_p_float_of(f->mean_squares)), INT64_MAX / 16);
    f->moves.peak_cost = f->score_cost / (int64_t)EPLB_P_WHOLE;
    f->search.enough = eplb_p_enough(l, f->mean_squares);
}

/* Where GPUs are not alike, the search and its moves ask the cluster. */
EPLB_P void eplb_p_follow_cluster(eplb_p_follower *f, const eplb_p_cluster *c)
{
    int32_t gpu;

    f->search.gpus = c->gpus;
    f->moves.link_node = c->link_node;
    f->moves.node = c->node;
    f->moves.first_gpu = c->first_gpu;
    f->search.pinned = f->layer->locked;
    f->search.domain = NULL;
    eplb_p_set_pace(&f->search, c->pace);
    if (f->shape->survive == EPLB_SURVIVE_NONE) return;
    for (gpu = 0; gpu < c->num_gpus; gpu++) f->domain[gpu] = eplb_p_domain_of(f->layer, eplb_p_begin_of(&c->gpus, gpu));
    f->search.domain = f->domain;
}

/* Whether no GPU has more slots than its node has experts. */
EPLB_P int eplb_p_homes_can_be_apart(const eplb_p_follower *f)
{
    const eplb_p_cluster *c = &f->layer->cluster;
    int32_t gpu;

    for (gpu = 0; gpu < c->num_gpus; gpu++)
        if (eplb_p_num_on(&c->gpus, gpu) > f->node_experts[c->node[gpu]] && f->node_experts[c->node[gpu]] > 0) return 0;
    return 1;
}

/* The search's view of the whole layer. */
EPLB_P void eplb_p_open_follower(eplb_p_follower *f, eplb_p_layer *l, const int32_t *old_slot)
{
    eplb_p_search *s = &f->search;
    int32_t is_lead = eplb_p_team_lane() == 0, i;

    EPLB_ASSERT(f->expert != NULL && f->slot != NULL && f->best != NULL && l->factor != NULL); /* all has been carved */
    if (is_lead) {
        f->layer = l;
        s->num_samples = l->num_counting;
        s->grains = l->grains;
        s->count = l->logcnt;
        s->max_replicas = f->shape->options.max_replicas;
        s->apart = f->shape->apart && !f->shape->options.allow_duplicates;
        s->expert = f->expert;
        s->slot = f->slot;
        s->moves = &f->moves;
        s->num_done = 0;
        s->close = 0;
        s->steps = EPLB_P_MOST_STEPS(s->num_experts, s->num_slots);
        f->refills = 0;
        for (i = 0; i < l->num_counting; i++) l->grains[eplb_p_at(s->nobody, l->num_counting, i)] = 0;
        if (f->shape->odd) eplb_p_follow_cluster(f, &l->cluster);
    }
    eplb_p_team_fill(f->expert, 0, 1, s->num_experts + 1);
    eplb_p_team_wait();
    eplb_p_list_had(f, old_slot);
    if (is_lead) {
        (void)eplb_p_find_homes_in_force(f, old_slot);
        if (f->shape->odd) s->apart = s->apart && eplb_p_homes_can_be_apart(f);
    }
    eplb_p_price_moves(f, l);
    eplb_p_team_wait();
}

EPLB_P void eplb_p_take_plan(eplb_p_follower *f, const int32_t *phy2log)
{
    int32_t i;
    for (i = eplb_p_team_lane(); i < f->search.num_slots; i += EPLB_P_TEAM)
        f->slot[i] = phy2log[i] == EPLB_P_EMPTY ? f->search.nobody : phy2log[i];
    eplb_p_team_wait();
}

/* The plan in force, but that lost experts are somewhere. */
EPLB_P void eplb_p_take_plan_in_force(eplb_p_follower *f, const int32_t *old_slot)
{
    int32_t i, e, *count = f->search.count;

    eplb_p_take_plan(f, old_slot);
    eplb_p_count_held(f);
    for (e = -1; (e = eplb_p_next_lost(f, e + 1)) < f->search.num_experts;) {
        if (eplb_p_team_lane() > 0) continue;
        i = eplb_p_find_room(f, e);
        count[f->slot[i]]--;
        count[e]++;
        f->slot[i] = e;
    }
    eplb_p_team_wait();
}

/* What a GPU takes, summed over the samples by what these count for. */
EPLB_P int64_t eplb_p_gpu_score(const eplb_p_follower *f, int32_t gpu)
{
    const eplb_p_search *s = &f->search;
    int64_t sum = 0;
    int32_t t;

    for (t = 0; t < s->num_samples; t++) sum += eplb_p_time(s, gpu, eplb_p_load_of(s, gpu)[t]) * f->layer->factor[t];
    return sum;
}

#define EPLB_P_FEW_EMPTY 32 /* one in so many slots */
#define EPLB_P_LITTLE    8  /* what is an eighth less than the mean */

/* How many slots are empty, of those from first on. */
EPLB_P int32_t eplb_p_num_empty(const eplb_p_search *s, int32_t first, int32_t end)
{
    int32_t empty = 0, i;

    for (i = first + eplb_p_team_lane(); i < end; i += EPLB_P_TEAM) empty += s->slot[i] == s->nobody;
    return eplb_p_team_sum(empty);
}

/* Many slots are empty, and a GPU that has some takes little: it has come back, or joins, or has given something to one
   that did. What can be gained there is worth more than moves. They have no price then, and the search goes on as long as
   the heaviest GPU is no heavier than it was: there are many that are as heavy, and the heaviest one becomes lighter when
   the last of them has given something away. */
EPLB_P void eplb_p_find_refills(eplb_p_follower *f)
{
    const eplb_p_search *s = &f->search;
    int64_t little = f->least_score - f->least_score / EPLB_P_LITTLE;
    int32_t refills = 0, gpu;

    if (eplb_p_num_empty(s, 0, s->num_slots) <= s->num_slots / EPLB_P_FEW_EMPTY) return;
    eplb_p_weigh_plan(f);
    for (gpu = 0; gpu < s->num_gpus && !refills; gpu++)
        refills = eplb_p_num_empty(s, eplb_p_first_slot(s, gpu), eplb_p_end_slot(s, gpu)) > 0
                  && eplb_p_gpu_score(f, gpu) < little;
    eplb_p_team_wait(); /* all have read what moves cost */
    if (refills && eplb_p_team_lane() == 0) {
        f->refills = 1;
        f->score_cost = 0;
        f->moves.squares_cost = 0;
        f->moves.peak_cost = 0;
    }
    eplb_p_team_wait();
}

/* few moves: the search */

/* The heaviest GPU of each sample, summed by what the samples count for; shares are equal. */
EPLB_P int64_t eplb_p_equal_score(const eplb_p_search *s, const int32_t *factor)
{
    int64_t score = 0;
    int32_t t, gpu;

    for (t = 0; t < s->num_samples; t++) {
        int64_t most = 0;
        for (gpu = eplb_p_team_lane(); gpu < s->num_gpus; gpu += EPLB_P_TEAM) {
            int64_t time = eplb_p_time(s, gpu, eplb_p_load_of(s, gpu)[t]);
            if (time > most) most = time;
        }
        score += eplb_p_team_most64(most) * factor[t];
    }
    return score;
}

EPLB_P void eplb_p_show_plan(const eplb_p_follower *f, const int32_t *slot, int32_t *phy2log)
{
    int32_t i;
    for (i = eplb_p_team_lane(); i < f->search.num_slots; i += EPLB_P_TEAM)
        phy2log[i] = slot[i] == f->search.nobody ? EPLB_P_EMPTY : slot[i];
    eplb_p_team_wait();
}

EPLB_P int64_t eplb_p_follow_score(eplb_p_follower *f, const eplb_p_layer *l)
{
    int64_t price = f->score_cost * f->moves.num;

    if (!f->shape->exact) return eplb_p_equal_score(&f->search, l->factor) + price;
    eplb_p_show_plan(f, f->slot, f->plan);
    return eplb_p_exact_score(&f->judge, l, f->plan) + price;
}

/* The plan at hand is remembered if it is within the limits and the best so far; where many slots are to be filled, if it
   is no worse than the one to begin with. */
EPLB_P void eplb_p_remember(eplb_p_follower *f, const eplb_p_layer *l)
{
    int64_t score = eplb_p_follow_score(f, l);

    if (f->moves.over > 0 || (f->refills ? score > f->most_score : score >= f->best_score)) return;
    eplb_p_team_wait(); /* all have read the score to beat */
    if (eplb_p_team_lane() == 0) f->best_score = score;
    eplb_p_team_copy(f->best, f->slot, f->search.num_slots);
    eplb_p_team_wait();
}

EPLB_P void eplb_p_recall(eplb_p_follower *f)
{
    eplb_p_team_copy(f->slot, f->best, f->search.num_slots);
    eplb_p_team_wait();
    eplb_p_weigh_plan(f);
}

/* The swap that lowers the sum of squares most for each expert moved, beyond its price; as two are moved, its gain
   halved is what counts. Returns that, or enough when there is none. A pair of GPUs stands in the frontier by what its
   best swap gains, four times, once that is known, and until then by what bounds it: those that stand below the best
   found so far need not be looked at (Minoux 1978). */
EPLB_P int64_t eplb_p_find_steepest_swap(eplb_p_search *s, eplb_p_move *best)
{
    int64_t most = s->enough, gain;
    int32_t is_lead = eplb_p_team_lane() == 0;

    for (;;) {
        int32_t a = eplb_p_first_largest_by_team(s->promise, s->num_gpus), b = s->far[a];
        eplb_p_move move = EPLB_ZERO_INIT;
        if (s->promise[a] <= 4.0f * eplb_p_float_of(most)) return most;
        if (is_lead) (void)eplb_p_measure_pair(s, a, b);
        eplb_p_team_wait();
        gain = eplb_p_find_pair_swap(s, a, b, *eplb_p_pair_at(s, a, b), s->enough, &move);
        eplb_p_team_wait(); /* all have read how far apart they are */
        if (is_lead) *eplb_p_pair_at(s, a, b) = gain > s->enough ? 4.0f * eplb_p_float_of(gain) : 0.0f;
        eplb_p_team_wait();
        eplb_p_find_far_by_team(s, a);
        if (!eplb_p_beats(gain, most)) continue;
        most = gain;
        *best = move;
    }
}

/* There is no way back but to the best. */
EPLB_P void eplb_p_forget_way_back(eplb_p_search *s)
{
    if (eplb_p_team_lane() == 0) s->num_done = 0;
}

/* Do the swap or replace that lowers the sum of squares most for each expert moved. */
EPLB_P int eplb_p_move_steepest(eplb_p_search *s)
{
    eplb_p_move best = {-1, -1, -1};
    int64_t most = eplb_p_find_steepest_swap(s, &best);

    most = eplb_p_find_best_replace(s, most, &best);
    if (most <= s->enough) return 0;
    eplb_p_do_and_reopen(s, &best);
    eplb_p_forget_way_back(s);
    return 1;
}

/* Whether a plan with as many moves as the one at hand can be better than the best, were it even. */
EPLB_P int eplb_p_may_still_pay(const eplb_p_follower *f)
{
    return f->least_score + f->score_cost * f->moves.num < f->best_score;
}

/* Exact shares: moves of one slot after the other, first those that lower the objective much, then the others. */
EPLB_P void eplb_p_search_nearby_exact(eplb_p_follower *f, const eplb_p_layer *l)
{
    eplb_p_search *s = &f->search;
    int64_t enough = eplb_p_exact_enough(s), least = f->mean_squares / 4;
    int32_t slot;

    eplb_p_open_exact(s);
    for (; least > enough; least /= 4)
        for (slot = 0; slot < s->num_slots && s->steps > 0 && eplb_p_may_still_pay(f); slot++)
            if (eplb_p_move_slot(s, slot, least)) eplb_p_remember(f, l);
}

/* From the plan at hand to the best one found within what is allowed. */
EPLB_P void eplb_p_search_nearby(eplb_p_follower *f, const eplb_p_layer *l)
{
    eplb_p_search *s = &f->search;

    if (f->shape->exact) {
        eplb_p_search_nearby_exact(f, l);
        return;
    }
    eplb_p_open_all(s);
    while (eplb_p_has_steps(s) && eplb_p_may_still_pay(f) && eplb_p_move_steepest(s)) eplb_p_remember(f, l);
    if (s->num_samples > 1) return;
    eplb_p_recall(f);
    eplb_p_line_up_slots(s);
    eplb_p_lower_peaks(s);
    eplb_p_remember(f, l);
}

/* A second replica for an expert that has one: in an empty slot, or in place of the third of another. */
EPLB_P void eplb_p_replicate_single(eplb_p_search *s, int32_t e)
{
    eplb_p_move move = {-1, -1, -1};
    int32_t i;

    for (i = 0; i < s->num_slots; i++) {
        int32_t u = s->slot[i];
        if ((u != s->nobody && s->count[u] < 3) || !eplb_p_may_take_away(s, i) || !eplb_p_may_replace(s, i, e))
            continue;
        move.slot = i;
        move.expert = e;
        eplb_p_do_move(s, &move);
        return;
    }
}

/* An expert all of whose replicas would be lost together: one of them changes places with that of another. */
EPLB_P void eplb_p_free_confined(eplb_p_search *s, int32_t e)
{
    eplb_p_move move = {-1, -1, -1};
    int32_t i, j;

    for (i = 0; i < s->num_slots; i++) {
        if (s->slot[i] != e) continue;
        for (j = 0; j < s->num_slots; j++) {
            if (s->slot[j] == e || !eplb_p_may_swap(s, i, j)) continue;
            move.slot = i;
            move.other = j;
            eplb_p_do_move(s, &move);
            return;
        }
    }
}

/* The plan in force, after a loss: as far as the limits allow, experts survive another one. */
EPLB_P void eplb_p_restore_survival(eplb_p_search *s)
{
    int32_t e;

    for (e = 0; e < s->num_experts; e++) {
        if (s->count[e] == 1) eplb_p_replicate_single(s, e);
        else if (!eplb_p_survives(s, e, -1, -1)) eplb_p_free_confined(s, e);
        eplb_p_forget_way_back(s);
    }
}

/* few moves: nodes that hold little

   Groups stay on their nodes, so that one that has come back empty, or joins, would stay empty. While a node takes little
   it gets one group after the other, each from the node that makes both most even, with all its replicas; as far as the
   limits allow, and as no GPU then takes longer than the slowest did. */

/* node_time, or as long as can be where a node has no GPU. */
EPLB_P void eplb_p_time_nodes(const eplb_p_follower *f)
{
    int32_t node, first, end, gpu;

    eplb_p_team_wait(); /* all have read it as it was */
    for (node = eplb_p_team_lane(); node < f->shape->num_nodes; node += EPLB_P_TEAM) {
        first = eplb_p_first_gpu_of(f->layer, node);
        end = eplb_p_first_gpu_of(f->layer, node + 1);
        f->node_time[node] = first == end ? INT64_MAX : 0;
        for (gpu = first; gpu < end; gpu++) f->node_time[node] += eplb_p_gpu_score(f, gpu) / (end - first);
    }
    eplb_p_team_wait();
}

/* What a group adds to that. */
EPLB_P int64_t eplb_p_group_time(const eplb_p_follower *f, int32_t group, int32_t node)
{
    const eplb_p_search *s = &f->search;
    int32_t gpus = eplb_p_first_gpu_of(f->layer, node + 1) - eplb_p_first_gpu_of(f->layer, node), size, e, t;
    int64_t sum = 0;

    size = f->shape->group_size;
    for (e = group * size; e < (group + 1) * size; e++)
        for (t = 0; t < s->num_samples; t++)
            sum += (int64_t)eplb_p_grains_of(s, e)[t] * s->usual_pace / gpus * f->layer->factor[t];
    return sum;
}

/* Whether all of a group is on the node where its first expert is. */
EPLB_P int eplb_p_is_whole(const eplb_p_follower *f, int32_t group)
{
    const int32_t *home = f->moves.home + eplb_p_at(group, f->shape->group_size, 0);
    int32_t i;

    for (i = 0; i < f->shape->group_size; i++)
        if (home[i] != f->group_node[group]) return 0;
    return 1;
}

/* By how much less something is off when x comes to it, or goes. */
EPLB_P int64_t eplb_p_less_off(int64_t off, int64_t x) { return x < off ? x : off - (x - off); }

/* The group that is to come to a node: that by which it and the node that the group leaves come nearest to the mean, the
   first on ties; -1: none. Those that were tried are no more. */
EPLB_P int32_t eplb_p_find_newcomer(const eplb_p_follower *f, int32_t node)
{
    int64_t lacks = f->least_score - f->node_time[node], gain, here, time;
    eplb_p_incumbent best = eplb_p_worth_more_than(0);
    int32_t group;

    for (group = 0; group < f->shape->num_groups; group++) {
        int32_t from = f->group_node[group];
        if (from == node || from < 0 || !eplb_p_is_whole(f, group)) continue;
        time = eplb_p_group_time(f, group, node);
        gain = eplb_p_less_off(f->node_time[from] - f->least_score, time);
        here = eplb_p_less_off(lacks, time);
        eplb_p_challenge(&best, here < gain ? here : gain, group);
    }
    return best.index;
}

/* An empty slot for an expert: the last one of the GPU of the node that takes least, of those that do not hold it, the
   first on ties; -1: there is none. */
EPLB_P int32_t eplb_p_find_empty_slot(const eplb_p_follower *f, int32_t e, int32_t node)
{
    const eplb_p_search *s = &f->search;
    eplb_p_incumbent best = eplb_p_worth_more_than(INT64_MIN);
    int32_t gpu, i;

    for (gpu = eplb_p_first_gpu_of(f->layer, node); gpu < eplb_p_first_gpu_of(f->layer, node + 1); gpu++) {
        int32_t empty = -1;
        for (i = eplb_p_first_slot(s, gpu); i < eplb_p_end_slot(s, gpu); i++)
            if (s->slot[i] == s->nobody && !eplb_p_is_pinned(s, i)) empty = i;
        if (empty >= 0 && !eplb_p_holds(s, gpu, e)) eplb_p_challenge(&best, -eplb_p_gpu_score(f, gpu), empty);
    }
    return best.index;
}

/* The same; or where none is empty, one in place of another replica: the first of those whose expert has the most. */
EPLB_P int32_t eplb_p_find_berth(const eplb_p_follower *f, int32_t e, int32_t node)
{
    const eplb_p_search *s = &f->search;
    int32_t i = eplb_p_find_empty_slot(f, e, node), least = 1 + (s->domain != NULL);

    if (i >= 0) return i;
    i = eplb_p_find_room(f, e);
    return s->count[f->slot[i]] > least && !eplb_p_holds(s, eplb_p_gpu_of(s, i), e) ? i : -1;
}

EPLB_P void eplb_p_move_homes(eplb_p_follower *f, int32_t first, int32_t end, int32_t node)
{
    eplb_p_team_wait(); /* all have read where they were */
    eplb_p_team_fill(f->moves.home + first, node, 0, end - first);
    eplb_p_team_wait();
}

/* Experts first .. end - 1 leave their slots on the node where they are for others on `node`: a whole group for empty ones,
   else for berths. Returns whether that could be. */
EPLB_P int eplb_p_bring_experts(eplb_p_follower *f, int32_t first, int32_t end, int32_t from, int32_t node)
{
    eplb_p_search *s = &f->search;
    int32_t last = eplb_p_first_slot(s, eplb_p_first_gpu_of(f->layer, from + 1)), i, e, to;
    int whole = end - first == f->shape->group_size;
    eplb_p_move come = {-1, -1, -1}, go = {-1, -1, -1};

    eplb_p_move_homes(f, first, end, node);
    go.expert = s->nobody;
    for (i = eplb_p_first_slot(s, eplb_p_first_gpu_of(f->layer, from)); i < last; i++) {
        e = f->slot[i];
        if (!eplb_p_within(e, first, end - 1)) continue;
        to = whole ? eplb_p_find_empty_slot(f, e, node) : eplb_p_find_berth(f, e, node);
        if (to < 0 || eplb_p_is_pinned(s, i)) return 0;
        come.slot = to;
        come.expert = e;
        go.slot = i;
        eplb_p_do_move(s, &come);
        eplb_p_do_move(s, &go);
        eplb_p_forget_way_back(s);
    }
    return 1;
}

/* The same as far as the limits allow, and no GPU takes longer than the slowest did to begin with. Returns whether they
   came. */
EPLB_P int eplb_p_bring(eplb_p_follower *f, int32_t first, int32_t end, int32_t node)
{
    int32_t from = f->moves.home[first];

    eplb_p_team_copy(f->best, f->slot, f->search.num_slots);
    if (eplb_p_bring_experts(f, first, end, from, node)) {
        eplb_p_weigh_plan(f);
        if (f->moves.over == 0 && eplb_p_follow_score(f, f->layer) <= f->most_score) return 1;
    }
    eplb_p_move_homes(f, first, end, from);
    eplb_p_recall(f);
    return 0;
}

/* node_time; and the node that takes least, if that is little and a quarter of its slots is empty, or else -1. */
EPLB_P int32_t eplb_p_find_little(const eplb_p_follower *f)
{
    const eplb_p_search *s = &f->search;
    eplb_p_incumbent best = eplb_p_worth_more_than(f->least_score / EPLB_P_LITTLE - f->least_score);
    int32_t node, first, end;

    eplb_p_time_nodes(f);
    for (node = 0; node < f->shape->num_nodes; node++) eplb_p_challenge(&best, -f->node_time[node], node);
    if (best.index < 0) return -1;
    first = eplb_p_first_slot(s, eplb_p_first_gpu_of(f->layer, best.index));
    end = eplb_p_first_slot(s, eplb_p_first_gpu_of(f->layer, best.index + 1));
    return eplb_p_num_empty(s, first, end) > (end - first) / 4 ? best.index : -1;
}

/* The plan in force, and groups that come to nodes that hold little. A group is tried once: group_node is -1 then. */
EPLB_P void eplb_p_fill_nodes(eplb_p_follower *f)
{
    int32_t size = f->shape->group_size, is_lead = eplb_p_team_lane() == 0, node, group;
    int64_t score = eplb_p_follow_score(f, f->layer);

    if (is_lead) f->most_score = score;
    for (node = eplb_p_find_little(f); node >= 0; node = eplb_p_find_little(f)) {
        group = eplb_p_find_newcomer(f, node);
        if (group < 0) return;
        eplb_p_team_wait(); /* all have read whose group it is */
        if (is_lead) f->group_node[group] = EPLB_P_NONE;
        (void)eplb_p_bring(f, group * size, (group + 1) * size, node);
    }
}

/* few moves: groups that are split

   As they had to be while nodes had too few slots. Where one has enough again an expert after the other comes to those of
   its group, whatever the price of moves is, as far as the limits allow, and as no GPU then takes longer than the slowest
   did. */

/* Where a group is to be whole: of the nodes that have room for all of it the one with most of its experts, the first on
   ties, and how many it has; -1: there is none. */
EPLB_P eplb_p_incumbent eplb_p_find_hearth(const eplb_p_follower *f, int32_t group)
{
    int32_t size = f->shape->group_size, node, here, i;
    const int32_t *home = f->moves.home + eplb_p_at(group, size, 0);
    eplb_p_incumbent best = eplb_p_worth_more_than(-1);

    for (node = 0; node < f->shape->num_nodes; node++) {
        for (i = eplb_p_team_lane(), here = 0; i < size; i += EPLB_P_TEAM) here += home[i] == node;
        here = eplb_p_team_sum(here);
        if (f->node_room[node] + here >= size) eplb_p_challenge(&best, here, node);
    }
    return best;
}

/* An expert that is away comes to its group, if it can. */
EPLB_P void eplb_p_join_group(eplb_p_follower *f, int32_t e, int32_t node)
{
    int32_t from = f->moves.home[e], is_lead = eplb_p_team_lane() == 0;
    int64_t score = f->most_score < 0 ? eplb_p_follow_score(f, f->layer) : f->most_score;

    eplb_p_team_wait(); /* all have read it */
    if (is_lead) f->most_score = score;
    if (!eplb_p_bring(f, e, e + 1, node)) return;
    if (is_lead) {
        f->node_room[from]++;
        f->node_room[node]--;
    }
    eplb_p_team_wait();
}

/* The plan in force, and experts that come to their groups. */
EPLB_P void eplb_p_join_groups(eplb_p_follower *f)
{
    int64_t cost = f->score_cost;
    int32_t size = f->shape->group_size, is_lead = eplb_p_team_lane() == 0, group, e;

    eplb_p_team_wait(); /* all have read what a move costs */
    if (is_lead) {
        f->score_cost = 0;
        f->most_score = -1; /* asked for where an expert is away: there is none in most plans */
    }
    eplb_p_team_wait();
    for (group = 0; group < f->shape->num_groups; group++) {
        eplb_p_incumbent best = eplb_p_find_hearth(f, group);
        if (best.index < 0) continue;
        if (is_lead) f->group_node[group] = best.index;
        for (e = group * size; e < (group + 1) * size && best.worth < size; e++)
            if (f->moves.home[e] != best.index) eplb_p_join_group(f, e, best.index);
    }
    if (is_lead) f->score_cost = cost;
    eplb_p_team_wait();
}

/* phy2log of the layer: a plan near the one in force, or the one that is there, made without it, if that is within
   what is allowed and better. */
EPLB_P void eplb_p_follow_layer(eplb_p_follower *f, eplb_p_layer *l, const int32_t *old_slot)
{
    int32_t is_lead = eplb_p_team_lane() == 0;
    int64_t fresh_score;

    eplb_p_open_follower(f, l, old_slot);
    eplb_p_take_plan_in_force(f, old_slot);
    eplb_p_find_refills(f);
    eplb_p_take_plan(f, l->phy2log);
    eplb_p_weigh_plan(f);
    fresh_score = f->moves.over > 0 ? INT64_MAX : eplb_p_follow_score(f, l);

    eplb_p_take_plan_in_force(f, old_slot);
    eplb_p_weigh_plan(f);
    if (f->shape->num_nodes > 1 && f->shape->options.max_moves >= 0) {
        eplb_p_join_groups(f);
        if (f->refills) eplb_p_fill_nodes(f);
    }
    if (f->search.domain && f->shape->options.max_moves >= 0) eplb_p_restore_survival(&f->search);
    if (is_lead) f->best_score = f->most_score = INT64_MAX;
    eplb_p_team_wait();
    eplb_p_remember(f, l);
    if (is_lead) f->most_score = f->best_score;
    eplb_p_team_wait();
    if (f->shape->options.max_moves < 0) fresh_score = INT64_MAX;
    else eplb_p_search_nearby(f, l);
    eplb_p_doubt(&f->search, !eplb_p_has_steps(&f->search));
    if (fresh_score < f->best_score) return;
    eplb_p_show_plan(f, f->best, l->phy2log);
}

/* ---------------------------------------------------------------------------- the plan in force */

/* By lane 0: others wait before they look. */
EPLB_P void eplb_p_enter_keeper(eplb_p_planner *p, eplb_p_keeper *k)
{
    eplb_p_arena a = p->room;

    if (eplb_p_team_lane() > 0) return;
    *k = eplb_p_carve_keeper(&a, p->layer.shape);
    eplb_p_enter_phase(&p->shared, p->keep_bytes);
}

/* The layer's plan goes where the fewest experts are new. By the team, as what follows. */
EPLB_P void eplb_p_keep_plan(eplb_p_planner *p, const int32_t *old_slot)
{
    eplb_p_keeper own, *k = (eplb_p_keeper *)eplb_p_team_room(&own);

    eplb_p_enter_keeper(p, k);
    eplb_p_keep_slots(k, &p->layer, old_slot);
}

/* Where moves are few: a plan nearby. */
EPLB_P void eplb_p_follow_plan(eplb_p_planner *p, eplb_p_search *search, const int32_t *old_slot)
{
    eplb_p_arena a = p->room;
    eplb_p_follower own, *f = (eplb_p_follower *)eplb_p_team_room(&own);

    if (eplb_p_team_lane() == 0) {
        eplb_p_carve_follower(&a, p->layer.shape, f);
        eplb_p_enter_phase(&p->shared, p->follow_bytes);
    }
    eplb_p_team_wait();
    eplb_p_follow_layer(f, &p->layer, old_slot);
    eplb_p_doubt(search, f->search.is_unsure);
}

/* Slots that keep their expert stay in their places, once it is known what each GPU is to hold, as it is from the first by
   vLLM's plan. */
EPLB_P void eplb_p_keep_places(eplb_p_planner *p, const int32_t *old_slot)
{
    eplb_p_keeper own, *k = (eplb_p_keeper *)eplb_p_team_room(&own);

    eplb_p_enter_keeper(p, k);
    eplb_p_open_keeper(k, &p->layer, old_slot);
    eplb_p_arrange_gpus(k, NULL, 0, 0, p->layer.shape->num_living);
    eplb_p_take_arranged(k, &p->layer);
}

/* The layer's plan, made without the one in force, becomes one that follows it. */
EPLB_P void eplb_p_heed_plan_in_force(eplb_p_planner *p, eplb_p_search *search)
{
    const eplb_p_shape *shape = p->layer.shape;
    const int32_t *old_slot = shape->options.previous_phy2log;

    if (!old_slot) return;
    old_slot += eplb_p_at(p->layer.index, shape->num_replicas, 0);
    if (shape->odd) {
        if (eplb_p_team_lane() == 0) (void)eplb_p_number_old_slots(&p->layer, old_slot);
        old_slot = p->layer.old_slot;
        eplb_p_team_wait();
    }
    if (!shape->as_vllm) eplb_p_keep_plan(p, old_slot);
    if (shape->follows) eplb_p_follow_plan(p, search, old_slot);
    if (shape->follows || shape->as_vllm) eplb_p_keep_places(p, old_slot);
    if (eplb_p_team_lane() == 0) eplb_p_leave_phases(&p->shared);
}

/* =================================================================================================
   E. THE INTERFACE

   in     the caller's arguments
   out    the caller's arrays, once everything has been found right
   writes eplb_p_call
   calls  all storeys above: the bodies are thin, and in the order in which the functions are declared */

/* --------------------------------------------------------------------------------------- calls */

/* The arguments that travel together, and what is made of them. */
typedef struct eplb_p_call {
    const eplb_problem *problem;
    const eplb_options *options;
    const float *weight;
    const eplb_plan *plan;
    void *scratch;
    size_t scratch_bytes;
    int32_t first_layer, num_layers;
    eplb_diagnosis *why; /* NULL: nobody asks */
    eplb_p_shape shape;
} eplb_p_call;

EPLB_P eplb_p_call eplb_p_call_of(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                  const eplb_plan *plan, void *scratch, size_t scratch_bytes)
{
    eplb_p_call c = EPLB_ZERO_INIT;
    c.problem = problem;
    c.options = options;
    c.weight = weight;
    c.plan = plan;
    c.scratch = scratch;
    c.scratch_bytes = scratch_bytes;
    c.num_layers = problem ? problem->num_layers : 0;
    return c;
}

/* A planner, and a search; what stands in the same column takes the same memory, one after the other:

     layer | groups
           | node
           | search   where there is effort
           | judge    where it is for exact shares
           | keeper   where there is a plan in force
           | follower where moves are few */
typedef struct eplb_p_planning {
    eplb_p_planner planner;
    eplb_p_search search;
    eplb_p_judge judge;
} eplb_p_planning;

/* The phases of a plan in force are measured. */
EPLB_P void eplb_p_carve_in_force(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_planner *p)
{
    eplb_p_follower f;

    (void)eplb_p_carve_keeper(a, shape);
    p->keep_bytes = eplb_p_end_phase(a, &p->shared);
    if (!shape->follows) return;
    eplb_p_carve_follower(a, shape, &f);
    p->follow_bytes = eplb_p_end_phase(a, &p->shared);
}

/* Homes are measured, in a frame of its own as they are seldom needed. */
EPLB_P_APART void eplb_p_measure_homes(eplb_p_arena *a, const eplb_p_layer *l) { (void)eplb_p_carve_homes(a, l); }

/* What places groups, and the experts of a node: of the only one that there is, where all are alike, or measured for the
   largest. */
EPLB_P void eplb_p_carve_placing(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_planner *p)
{
    eplb_p_node_part part = EPLB_ZERO_INIT;
    size_t bytes;

    if (shape->odd) eplb_p_measure_homes(a, &p->layer);
    else p->groups = eplb_p_carve_groups(a, shape);
    p->groups_bytes = eplb_p_end_phase(a, &p->shared);
    part.num_experts = shape->node_experts;
    part.num_gpus = shape->node_gpus;
    part.num_slots = shape->node_slots;
    p->node = eplb_p_carve_node(a, &part, &shape->options.gpu_packing);
    p->node_bytes = eplb_p_end_phase(a, &p->shared);
    if (!shape->odd) return;
    (void)eplb_p_carve_mixed(a, &p->layer, &part);
    bytes = eplb_p_end_phase(a, &p->shared);
    if (bytes > p->node_bytes) p->node_bytes = bytes;
}

EPLB_P void eplb_p_carve_planning(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_planning *all)
{
    eplb_p_planner *p = &all->planner;

    p->layer = eplb_p_carve_layer(a, shape);
    p->shared = eplb_p_open_overlay(a);
    p->room = *a;
    if (shape->as_vllm) {
        (void)eplb_p_carve_vllm(a, shape);
        p->node_bytes = eplb_p_end_phase(a, &p->shared);
    } else {
        eplb_p_carve_placing(a, shape, p);
    }
    p->search_bytes = p->judge_bytes = 0;
    if (shape->options.effort > 0) {
        eplb_p_carve_search(a, shape, &all->search);
        p->search_bytes = eplb_p_end_phase(a, &p->shared);
    }
    if (shape->exact) {
        all->judge = eplb_p_carve_judge(a, shape);
        p->judge_bytes = eplb_p_end_phase(a, &p->shared);
    }
    p->keep_bytes = p->follow_bytes = 0;
    if (shape->options.previous_phy2log) eplb_p_carve_in_force(a, shape, p);
    eplb_p_close_overlay(a, &p->shared);
}

/* Scratch that suffices for planning and for evaluating alike. */
EPLB_P eplb_p_arena eplb_p_measure(const eplb_p_shape *shape, eplb_p_planning *all)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    eplb_p_carve_planning(&a, shape, all);
    eplb_p_rewind(&a, 0);
    eplb_p_carve_evaluator(&a, shape);
    return a;
}

/* Everything that can be wrong with a call, but for its layers and for a log2phy_width that is too narrow. */
static eplb_result eplb_p_check_call(eplb_p_call *c, eplb_p_planning *all)
{
    eplb_p_arena measured;
    eplb_result r = eplb_p_resolve(c->problem, c->options, &c->shape, c->why);

    if (r != EPLB_OK) return r;
    measured = eplb_p_measure(&c->shape, all);
    r = eplb_p_check_scratch(&measured, c->scratch, c->scratch_bytes, c->why);
    if (r != EPLB_OK) return r;
    if (!c->weight) return eplb_p_fail(c->why, EPLB_ERR_NULL, "weight");
    if (!c->plan) return eplb_p_fail(c->why, EPLB_ERR_NULL, "plan");
    if (!c->plan->phy2log) return eplb_p_fail(c->why, EPLB_ERR_NULL, "plan.phy2log");
    return EPLB_OK;
}

/* A slot as the caller numbers it; -1: it is none. */
EPLB_P int32_t eplb_p_callers_slot(const eplb_p_layer *l, int32_t slot)
{
    int32_t gpu;

    if (!l->shape->odd || slot < 0) return slot;
    if (slot == l->cluster.num_slots) return -1;
    gpu = eplb_p_gpu_with(&l->cluster.gpus, slot);
    return eplb_p_begin_of(&l->shape->gpus, l->cluster.gpu[gpu]) + slot - eplb_p_begin_of(&l->cluster.gpus, gpu);
}

/* The first slot at fault in a layer of the plan in force: it names no such expert, or where moves are few, does not
   keep to the policy; -1 when there is none. */
EPLB_P int32_t eplb_p_find_fault_in_force(eplb_p_planner *p, const int32_t *old_slot, int32_t layer)
{
    const eplb_p_shape *shape = p->layer.shape;
    eplb_p_arena a = p->room;
    eplb_p_follower f;
    int32_t slot;

    slot = eplb_p_find_bad_id(old_slot, shape->num_replicas, shape->num_experts, EPLB_FAULT_PREVIOUS_ID).slot;
    if (slot >= 0 || !shape->follows) return slot;
    eplb_p_carve_follower(&a, shape, &f);
    eplb_p_enter_phase(&p->shared, p->follow_bytes);
    f.layer = &p->layer;
    eplb_p_number_locked(&p->layer, layer);
    slot = eplb_p_find_homes_in_force(&f, eplb_p_number_old_slots(&p->layer, old_slot));
    eplb_p_leave_phases(&p->shared);
    return eplb_p_callers_slot(&p->layer, slot);
}

/* The same of what is locked: more replicas than an expert may have, or, by the policy, on two nodes; num_usable where
   too few slots are not locked for the experts that have none. */
EPLB_P int32_t eplb_p_find_locked_fault(eplb_p_layer *l)
{
    int32_t *count = l->logcnt, *node = l->mlog2log, cap = l->shape->options.max_replicas, slot, e, here, room = 0;

    for (e = 0; e < l->shape->num_experts; e++) count[e] = 0;
    for (slot = 0; slot < l->cluster.num_slots; slot++) {
        room += !l->locked[slot];
        if (!eplb_p_keeps_expert(l, slot)) continue;
        e = l->old_slot[slot];
        here = l->cluster.node[eplb_p_gpu_with(&l->cluster.gpus, slot)];
        if (count[e]++ == 0) node[e] = here;
        if (node[e] != here || (cap > 0 && count[e] > cap)) return slot;
    }
    for (e = 0; e < l->shape->num_experts; e++) room -= count[e] == 0;
    return room < 0 ? l->cluster.num_slots : -1;
}

EPLB_P eplb_result eplb_p_check_locked(const eplb_p_call *c, eplb_p_layer *l)
{
    int32_t layer, slot;

    if (!l->locked) return EPLB_OK;
    for (layer = c->first_layer; layer < c->first_layer + c->num_layers; layer++) {
        eplb_p_number_locked(l, layer);
        slot = eplb_p_find_locked_fault(l);
        if (slot < 0) continue;
        if (c->why) c->why->layer = layer;
        return eplb_p_fail_at(c->why, EPLB_ERR_PLAN, "problem.locked", eplb_p_callers_slot(l, slot));
    }
    return EPLB_OK;
}

EPLB_P eplb_result eplb_p_check_plan_in_force(const eplb_p_call *c, eplb_p_planner *p)
{
    const eplb_p_shape *s = &c->shape;
    int32_t layer, slot;

    if (!s->options.previous_phy2log) return EPLB_OK;
    for (layer = c->first_layer; layer < c->first_layer + c->num_layers; layer++) {
        slot = eplb_p_find_fault_in_force(p, s->options.previous_phy2log + eplb_p_at(layer, s->num_replicas, 0), layer);
        if (slot < 0) continue;
        if (c->why) {
            c->why->layer = layer;
            c->why->item = slot;
        }
        return eplb_p_fail(c->why, EPLB_ERR_PLAN, "options.previous_phy2log");
    }
    return eplb_p_check_locked(c, &p->layer);
}

/* All that can be wrong with a call is looked for; when nothing is, its scratch is laid out. */
static eplb_result eplb_p_prepare(eplb_p_call *c, eplb_p_planning *all)
{
    const eplb_p_shape *s = &c->shape;
    eplb_p_arena a;
    eplb_result r = eplb_p_check_call(c, all);

    if (r != EPLB_OK) return r;
    if (c->plan->log2phy && c->plan->log2phy_width > 0
        && !eplb_p_array_fits(s->num_layers, s->num_experts, c->plan->log2phy_width))
        return eplb_p_fail(c->why, EPLB_ERR_OVERFLOW, "plan.log2phy_width");
    if (c->first_layer < 0 || c->num_layers < 0 || c->first_layer > s->num_layers - c->num_layers)
        return eplb_p_fail(c->why, EPLB_ERR_LAYER_RANGE, "first_layer, num_layers");
    r = eplb_p_check_loads(c->weight, s->num_samples, s->num_layers, s->num_experts, c->first_layer, c->num_layers,
                           c->why);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(c->scratch);
    eplb_p_carve_planning(&a, s, all);
    eplb_p_number_cluster(&all->planner.layer.cluster, s);
    return eplb_p_check_plan_in_force(c, &all->planner);
}

/* Layer `index` from loads to its plan. */
EPLB_P void eplb_p_plan_in_hand(eplb_p_planning *all, const float *weight, int32_t index)
{
    eplb_p_layer *l = &all->planner.layer;

    eplb_p_plan_layer(&all->planner, &all->search, weight, index);
    if (l->shape->exact) eplb_p_judge_layer(&all->planner, &all->search, &all->judge);
    eplb_p_heed_plan_in_force(&all->planner, &all->search);
    if (l->shape->options.effort > 0 || l->shape->options.previous_phy2log || l->shape->odd || l->shape->as_vllm)
        eplb_p_number_replicas(l);
}

EPLB_API eplb_result eplb_scratch_size(const eplb_problem *problem, const eplb_options *options, size_t *bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_planning all;
    eplb_p_arena a;
    eplb_result r = eplb_p_resolve(problem, options, &shape, NULL);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    a = eplb_p_measure(&shape, &all);
    return eplb_p_tell_bytes(&a, bytes);
}

EPLB_API eplb_result eplb_rebalance_layers(const eplb_problem *problem, const eplb_options *options,
                                           const float *weight, const eplb_plan *plan, void *scratch,
                                           size_t scratch_bytes, int32_t first_layer, int32_t num_layers)
{
    eplb_p_call call = eplb_p_call_of(problem, options, weight, plan, scratch, scratch_bytes);
    eplb_p_planning all = EPLB_ZERO_INIT;
    int32_t layer;
    eplb_result r;

    call.first_layer = first_layer;
    call.num_layers = num_layers;
    r = eplb_p_prepare(&call, &all);
    if (r != EPLB_OK) return r;
    for (layer = first_layer; r == EPLB_OK && layer < first_layer + num_layers; layer++) {
        eplb_p_plan_in_hand(&all, weight, layer);
        r = eplb_p_check_width(&all.planner.layer, plan, NULL);
        if (r == EPLB_OK) eplb_p_store_layer(&all.planner.layer, plan);
    }
    return r;
}

EPLB_API eplb_result eplb_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                    const eplb_plan *plan, void *scratch, size_t scratch_bytes)
{
    return eplb_rebalance_layers(problem, options, weight, plan, scratch, scratch_bytes, 0,
                                 problem ? problem->num_layers : 0);
}

EPLB_API eplb_result eplb_diagnose(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                   const eplb_plan *plan, void *scratch, size_t scratch_bytes,
                                   eplb_diagnosis *diagnosis)
{
    eplb_p_call call = eplb_p_call_of(problem, options, weight, plan, scratch, scratch_bytes);
    eplb_p_planning all = EPLB_ZERO_INIT;
    int32_t layer;
    eplb_result r;

    if (!diagnosis) return EPLB_ERR_NULL;
    diagnosis->result = EPLB_OK;
    diagnosis->field = "";
    diagnosis->layer = -1;
    diagnosis->sample = -1;
    diagnosis->item = -1;
    diagnosis->width_needed = 0;
    diagnosis->bytes_needed = 0;

    call.why = diagnosis;
    r = eplb_p_prepare(&call, &all);
    if (r != EPLB_OK || !plan->log2phy) return r;
    for (layer = 0; r == EPLB_OK && layer < call.shape.num_layers; layer++) {
        eplb_p_plan_in_hand(&all, weight, layer);
        r = eplb_p_check_width(&all.planner.layer, plan, diagnosis);
    }
    return r;
}

/* --------------------------------------------------------------------- the steps by themselves */

/* The packing that a caller's `how` stands for, and whether it can be done. */
static eplb_result eplb_p_resolve_packing(int32_t num_items, int32_t num_packs, const eplb_packing *how,
                                          eplb_packing *resolved)
{
    eplb_options o = EPLB_ZERO_INIT;

    if (num_items < 1 || num_packs < 1) return EPLB_ERR_COUNT;
    if (num_items % num_packs != 0) return EPLB_ERR_DIVIDE;
    eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
    *resolved = how ? *how : o.gpu_packing;
    return eplb_p_check_packing(resolved, EPLB_P_DRAW_GPUS, NULL);
}

EPLB_API eplb_result eplb_packing_scratch_size(int32_t num_items, int32_t num_packs, const eplb_packing *how,
                                               size_t *bytes)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_packing resolved = EPLB_ZERO_INIT;
    eplb_result r;

    if (!bytes) return EPLB_ERR_NULL;
    r = eplb_p_resolve_packing(num_items, num_packs, how, &resolved);
    if (r != EPLB_OK) return r;
    eplb_p_carve_packer(&a, num_items, num_packs, &resolved);
    EPLB_P_TAKE(&a, float, num_items);
    EPLB_P_TAKE(&a, int32_t, num_items);
    return eplb_p_tell_bytes(&a, bytes);
}

EPLB_API eplb_result eplb_balanced_packing(const float *weight, int32_t num_rows, int32_t num_items, int32_t num_packs,
                                           const eplb_packing *how, uint64_t seed, int32_t *pack_index,
                                           int32_t *rank_in_pack, void *scratch, size_t scratch_bytes)
{
    eplb_p_arena a;
    eplb_p_packer packer;
    eplb_packing resolved = EPLB_ZERO_INIT;
    float *load;
    int32_t *rank_unwanted, row;
    size_t needed;
    eplb_result r;

    if (!weight || !pack_index || !scratch) return EPLB_ERR_NULL;
    if (num_rows < 1) return EPLB_ERR_COUNT;
    r = eplb_packing_scratch_size(num_items, num_packs, how, &needed);
    if (r != EPLB_OK) return r;
    eplb_p_resolve_packing(num_items, num_packs, how, &resolved);
    if (!eplb_p_array_fits(num_rows, num_items, 1)) return EPLB_ERR_OVERFLOW;
    if (scratch_bytes < needed) return EPLB_ERR_SCRATCH_SIZE;
    r = eplb_p_check_loads(weight, 1, num_rows, num_items, 0, num_rows, NULL);
    if (r != EPLB_OK) return r;

    a = eplb_p_arena_at(scratch);
    packer = eplb_p_carve_packer(&a, num_items, num_packs, &resolved);
    load = EPLB_P_TAKE(&a, float, num_items);
    rank_unwanted = EPLB_P_TAKE(&a, int32_t, num_items);
    for (row = 0; row < num_rows; row++) {
        size_t at = (size_t)row * (size_t)num_items;
        eplb_p_samples sample = eplb_p_one_sample(weight + at);
        eplb_p_mean_load(&sample, num_items, load);
        packer.weight = load;
        packer.row = (uint32_t)row;
        packer.pack_index = pack_index + at;
        packer.rank_in_pack = rank_in_pack ? rank_in_pack + at : rank_unwanted;
        eplb_p_order_items(&packer);
        eplb_p_pack(&packer, seed, EPLB_P_DRAW_GPUS);
    }
    return EPLB_OK;
}

EPLB_API eplb_result eplb_replicate_scratch_size(int32_t num_log, int32_t num_phy, size_t *bytes)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    if (!bytes) return EPLB_ERR_NULL;
    if (num_log < 1 || num_phy < 1) return EPLB_ERR_COUNT;
    if (num_phy < num_log) return EPLB_ERR_TOO_FEW;
    eplb_p_carve_replicas(&a, num_log, num_phy);
    EPLB_P_TAKE(&a, float, num_log);
    return eplb_p_tell_bytes(&a, bytes);
}

EPLB_API eplb_result eplb_replicate_experts(const float *weight, int32_t num_rows, int32_t num_log, int32_t num_phy,
                                            int32_t replication, int32_t fixup_steps, int32_t *phy2log, int32_t *rank,
                                            int32_t *logcnt, void *scratch, size_t scratch_bytes)
{
    eplb_p_arena a;
    eplb_p_replicas replicas;
    float *load;
    size_t needed;
    int32_t row, i;
    eplb_p_samples sample;
    eplb_result r;

    if (!weight || !phy2log || !scratch) return EPLB_ERR_NULL;
    if (num_rows < 1) return EPLB_ERR_COUNT;
    r = eplb_replicate_scratch_size(num_log, num_phy, &needed);
    if (r != EPLB_OK) return r;
    if (!eplb_p_is_one_of(replication, EPLB_NUM_REPLICATIONS) || fixup_steps < 0) return EPLB_ERR_OPTION;
    if (!eplb_p_array_fits(num_rows, num_phy, 1)) return EPLB_ERR_OVERFLOW;
    if (scratch_bytes < needed) return EPLB_ERR_SCRATCH_SIZE;
    r = eplb_p_check_loads(weight, 1, num_rows, num_log, 0, num_rows, NULL);
    if (r != EPLB_OK) return r;

    a = eplb_p_arena_at(scratch);
    replicas = eplb_p_carve_replicas(&a, num_log, num_phy);
    load = EPLB_P_TAKE(&a, float, num_log);
    replicas.load = load;
    for (row = 0; row < num_rows; row++) {
        size_t phy = (size_t)row * (size_t)num_phy, log = (size_t)row * (size_t)num_log;
        sample = eplb_p_one_sample(weight + log);
        eplb_p_mean_load(&sample, num_log, load);
        eplb_p_replicate(&replicas, replication, fixup_steps, 0);
        for (i = 0; i < num_phy; i++) {
            int32_t spare = i - num_log;
            phy2log[phy + (size_t)i] = spare < 0 ? i : replicas.expert[spare];
            if (rank) rank[phy + (size_t)i] = spare < 0 ? 0 : replicas.rank[spare];
        }
        if (logcnt) eplb_p_copy_ids(logcnt + log, replicas.count, num_log);
    }
    return EPLB_OK;
}

/* ------------------------------------------------------------------------ a plan that is there */

EPLB_API eplb_result eplb_logical_counts(const eplb_problem *problem, const eplb_plan *plan, const int32_t *slot_count,
                                         int32_t *count)
{
    size_t layers, experts, slots, layer, i;

    if (!problem || !plan || !plan->phy2log || !slot_count || !count) return EPLB_ERR_NULL;
    if (problem->num_layers < 1 || problem->num_experts < 1 || problem->num_replicas < 1) return EPLB_ERR_COUNT;
    if (problem->num_replicas < problem->num_experts) return EPLB_ERR_TOO_FEW;
    if (!eplb_p_array_fits(problem->num_layers, problem->num_replicas, 1)) return EPLB_ERR_OVERFLOW;

    layers = (size_t)problem->num_layers;
    experts = (size_t)problem->num_experts;
    slots = (size_t)problem->num_replicas;
    for (layer = 0; layer < layers; layer++) {
        eplb_result r = eplb_p_check_slot_counts(plan->phy2log + layer * slots, slot_count + layer * slots,
                                                 problem->num_replicas, problem->num_experts);
        if (r != EPLB_OK) return r;
    }

    for (layer = 0; layer < layers; layer++) {
        const int32_t *phy2log = plan->phy2log + layer * slots, *served = slot_count + layer * slots;
        int32_t *sum = count + layer * experts;
        for (i = 0; i < experts; i++) sum[i] = 0;
        for (i = 0; i < slots; i++)
            if (phy2log[i] != EPLB_P_EMPTY) sum[phy2log[i]] += served[i];
    }
    return EPLB_OK;
}

EPLB_API eplb_result eplb_evaluate(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                   const eplb_plan *plan, eplb_layer_report *report, float *gpu_load, void *scratch,
                                   size_t scratch_bytes)
{
    eplb_p_call call = eplb_p_call_of(problem, options, weight, plan, scratch, scratch_bytes);
    const eplb_p_shape *s = &call.shape;
    eplb_p_evaluator v;
    eplb_p_arena a;
    eplb_p_planning all;
    int32_t layer, gpu;
    eplb_result r = eplb_p_check_call(&call, &all);

    if (r != EPLB_OK) return r;
    if (!report) return EPLB_ERR_NULL;
    r = eplb_p_check_loads(weight, s->num_samples, s->num_layers, s->num_experts, 0, s->num_layers, NULL);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    v = eplb_p_carve_evaluator(&a, s);
    eplb_p_list_places(&v.bounder);
    for (layer = 0; layer < s->num_layers; layer++) {
        r = eplb_p_count_replicas(&v, eplb_p_layer_slots(s, plan, layer));
        if (r != EPLB_OK) return r;
    }

    for (layer = 0; layer < s->num_layers; layer++) {
        const int32_t *phy2log = eplb_p_layer_slots(s, plan, layer);
        eplb_p_count_replicas(&v, phy2log);
        eplb_p_report_layer(&v, weight, layer, phy2log, &report[layer]);
        if (!gpu_load) continue;
        for (gpu = 0; gpu < s->num_gpus; gpu++)
            gpu_load[eplb_p_at(layer, s->num_gpus, gpu)] = eplb_p_reported(v.gpu_sum[gpu]);
    }
    return EPLB_OK;
}

/* ---------------------------------------------------------------------------------- transfers */

/* The mover, and behind it what gives its moves rounds or steps. */
EPLB_P eplb_p_mover eplb_p_carve_moving(eplb_p_arena *a, const eplb_p_shape *shape, eplb_p_rounds *rounds,
                                        eplb_p_stager *stager)
{
    eplb_p_mover m = eplb_p_carve_mover(a, shape);
    size_t mark = a->used;

    *rounds = eplb_p_carve_rounds(a, shape);
    eplb_p_rewind(a, mark);
    *stager = eplb_p_carve_stager(a, shape);
    return m;
}

EPLB_P eplb_result eplb_p_resolve_slots(const eplb_problem *problem, eplb_p_shape *shape)
{
    eplb_result r;

    if (!problem) return EPLB_ERR_NULL;
    r = eplb_p_resolve_counts(problem, shape, NULL);
    if (r != EPLB_OK) return r;
    return eplb_p_array_fits(shape->num_layers, shape->num_replicas, 1) ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

EPLB_P eplb_p_arena eplb_p_measure_moving(const eplb_p_shape *shape)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_p_rounds rounds;
    eplb_p_stager stager;

    eplb_p_carve_moving(&a, shape, &rounds, &stager);
    return a;
}

EPLB_API eplb_result eplb_transfers_scratch_size(const eplb_problem *problem, size_t *bytes)
{
    eplb_p_shape shape;
    eplb_p_arena measured;
    eplb_result r = eplb_p_resolve_slots(problem, &shape);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    measured = eplb_p_measure_moving(&shape);
    return eplb_p_tell_bytes(&measured, bytes);
}

EPLB_P eplb_result eplb_p_check_moving_scratch(const eplb_p_shape *shape, const void *scratch, size_t scratch_bytes)
{
    eplb_p_arena measured = eplb_p_measure_moving(shape);
    return eplb_p_check_scratch(&measured, scratch, scratch_bytes, NULL);
}

EPLB_P eplb_result eplb_p_check_transfer_options(const eplb_transfer_options *how)
{
    if (!eplb_p_is_one_of(how->sources, EPLB_NUM_SOURCES)) return EPLB_ERR_OPTION;
    if (!eplb_p_is_one_of(how->rounds, EPLB_NUM_ROUNDS)) return EPLB_ERR_OPTION;
    return how->max_per_round < 0 ? EPLB_ERR_OPTION : EPLB_OK;
}

EPLB_P eplb_result eplb_p_check_ids(const int32_t *phy2log, size_t num_slots, int32_t num_experts)
{
    uint32_t id, most = 0;
    size_t i;

    for (i = 0; i < num_slots; i++) {
        id = (uint32_t)phy2log[i] + 1u; /* EPLB_P_EMPTY comes to 0 */
        most = id > most ? id : most;
    }
    return most > (uint32_t)num_experts ? EPLB_ERR_PLAN : EPLB_OK;
}

/* What can be wrong with a call for transfers or steps, but for its scratch and capacity. */
EPLB_P eplb_result eplb_p_check_moving(const eplb_problem *problem, const int32_t *previous_phy2log,
                                       const int32_t *phy2log, const eplb_transfer_options *how, eplb_p_shape *shape)
{
    size_t slots;
    eplb_result r = eplb_p_resolve_slots(problem, shape);

    if (r == EPLB_OK && (!previous_phy2log || !phy2log)) r = EPLB_ERR_NULL;
    if (r == EPLB_OK) r = eplb_p_check_transfer_options(how);
    if (r != EPLB_OK) return r;
    slots = eplb_p_at(shape->num_layers, shape->num_replicas, 0);
    r = eplb_p_check_ids(previous_phy2log, slots, shape->num_experts);
    return r != EPLB_OK ? r : eplb_p_check_ids(phy2log, slots, shape->num_experts);
}

EPLB_P eplb_transfer_options eplb_p_transfer_options_of(const eplb_transfer_options *how)
{
    eplb_transfer_options zeroed = EPLB_ZERO_INIT;
    return how ? *how : zeroed;
}

EPLB_API eplb_result eplb_transfers(const eplb_problem *problem, const int32_t *previous_phy2log,
                                    const int32_t *phy2log, const eplb_transfer_options *how, eplb_transfer *transfer,
                                    size_t capacity, size_t *num_transfers, void *scratch, size_t scratch_bytes)
{
    eplb_transfer_options options = eplb_p_transfer_options_of(how);
    eplb_p_shape shape;
    eplb_p_arena a;
    eplb_p_mover m;
    eplb_p_rounds rounds;
    eplb_p_stager stager;
    const eplb_transfer *first = transfer;
    size_t slots;
    int32_t layer;
    eplb_result r = eplb_p_check_moving(problem, previous_phy2log, phy2log, &options, &shape);

    if (r == EPLB_OK && !num_transfers) r = EPLB_ERR_NULL;
    if (r == EPLB_OK && transfer) r = eplb_p_check_moving_scratch(&shape, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    slots = eplb_p_at(shape.num_layers, shape.num_replicas, 0);
    if (!transfer || capacity < slots) {
        *num_transfers = eplb_p_count_transfers(&shape, previous_phy2log, phy2log);
        if (!transfer) return EPLB_OK;
        if (*num_transfers > capacity) return EPLB_ERR_CAPACITY;
    }

    a = eplb_p_arena_at(scratch);
    m = eplb_p_carve_moving(&a, &shape, &rounds, &stager);
    rounds.m = &m;
    eplb_p_number_gpus(&m);
    for (layer = 0; layer < shape.num_layers; layer++) {
        slots = eplb_p_at(layer, shape.num_replicas, 0);
        eplb_p_source_layer(&m, previous_phy2log + slots, phy2log + slots, options.sources);
        eplb_p_schedule(&rounds, &options);
        transfer = eplb_p_store_transfers(&rounds, layer, transfer);
    }
    *num_transfers = (size_t)(transfer - first);
    return EPLB_OK;
}

/* The steps of all layers, counted, or stored as well. */
EPLB_P size_t eplb_p_step_layers(eplb_p_stager *s, const eplb_p_shape *shape, const int32_t *previous_phy2log,
                                 const int32_t *phy2log, const eplb_transfer_options *how, eplb_transfer *step,
                                 int32_t *num_staging)
{
    int32_t layer, staging;

    s->step = step;
    s->num_steps = 0;
    for (layer = 0; layer < shape->num_layers; layer++) {
        size_t slots = eplb_p_at(layer, shape->num_replicas, 0);
        eplb_p_source_layer(s->m, previous_phy2log + slots, phy2log + slots, how->sources);
        staging = eplb_p_step_layer(s, layer, how);
        if (num_staging) num_staging[layer] = staging;
    }
    return s->num_steps;
}

EPLB_API eplb_result eplb_transfers_in_place(const eplb_problem *problem, const int32_t *previous_phy2log,
                                             const int32_t *phy2log, const eplb_transfer_options *how,
                                             eplb_transfer *step, size_t capacity, size_t *num_steps,
                                             int32_t *num_staging, void *scratch, size_t scratch_bytes)
{
    eplb_transfer_options options = eplb_p_transfer_options_of(how);
    eplb_p_shape shape;
    eplb_p_arena a;
    eplb_p_mover m;
    eplb_p_rounds rounds;
    eplb_p_stager stager;
    size_t num;
    eplb_result r = eplb_p_check_moving(problem, previous_phy2log, phy2log, &options, &shape);

    if (r == EPLB_OK && !num_steps) r = EPLB_ERR_NULL;
    if (r == EPLB_OK) r = eplb_p_check_moving_scratch(&shape, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    m = eplb_p_carve_moving(&a, &shape, &rounds, &stager);
    stager.m = &m;
    eplb_p_number_gpus(&m);
    num = eplb_p_step_layers(&stager, &shape, previous_phy2log, phy2log, &options, NULL, NULL);
    *num_steps = num;
    if (step && num > capacity) return EPLB_ERR_CAPACITY;
    if (step || num_staging)
        eplb_p_step_layers(&stager, &shape, previous_phy2log, phy2log, &options, step, num_staging);
    return EPLB_OK;
}

EPLB_API eplb_result eplb_check_plan(const eplb_problem *problem, const eplb_options *options, const int32_t *phy2log,
                                     eplb_plan_fault *fault, void *scratch, size_t scratch_bytes)
{
    eplb_plan_fault f = eplb_p_no_fault();
    eplb_p_shape shape;
    eplb_p_arena a;
    eplb_p_mover m;
    int32_t layer, *masked;
    eplb_result r = eplb_p_resolve(problem, options, &shape, NULL);

    if (r != EPLB_OK) return r;
    if (!phy2log || !fault) return EPLB_ERR_NULL;
    r = eplb_p_check_moving_scratch(&shape, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    m = eplb_p_carve_mover(&a, &shape);
    masked = EPLB_P_TAKE_ROWS(&a, int32_t, 2, shape.num_replicas); /* less than what gives moves rounds or steps */
    eplb_p_number_gpus(&m);
    for (layer = 0; layer < shape.num_layers && f.reason == EPLB_FAULT_NONE; layer++) {
        size_t slots = eplb_p_at(layer, shape.num_replicas, 0);
        const int32_t *previous = shape.options.previous_phy2log;
        f = eplb_p_check_layer_plan(&m, &shape, previous ? previous + slots : NULL, phy2log + slots,
                                    shape.locked ? shape.locked + slots : NULL, masked);
        if (f.reason != EPLB_FAULT_NONE) f.layer = layer;
    }
    *fault = f;
    return f.reason == EPLB_FAULT_NONE ? EPLB_OK : EPLB_ERR_PLAN;
}

/* ------------------------------------------------------------------------- what a switch gains */

EPLB_P eplb_result eplb_p_resolve_switch(const eplb_problem *problem, eplb_p_shape *shape)
{
    eplb_result r = eplb_p_resolve_slots(problem, shape);

    if (r != EPLB_OK) return r;
    return eplb_p_array_fits(shape->num_samples, shape->num_layers, shape->num_experts) ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

EPLB_P eplb_p_arena eplb_p_measure_weigher(const eplb_p_shape *shape)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    eplb_p_carve_weigher(&a, shape);
    return a;
}

EPLB_API eplb_result eplb_weigh_switch_scratch_size(const eplb_problem *problem, size_t *bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_arena measured;
    eplb_result r = eplb_p_resolve_switch(problem, &shape);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    measured = eplb_p_measure_weigher(&shape);
    return eplb_p_tell_bytes(&measured, bytes);
}

EPLB_P eplb_result eplb_p_check_switch_options(const eplb_switch_options *how, int32_t num_layers)
{
    int32_t layer;

    if (!eplb_p_is_one_of(how->shares, EPLB_NUM_PLAN_FORS) || how->max_moves < -1) return EPLB_ERR_OPTION;
    if (eplb_p_check_load(&how->threshold) != EPLB_OK || eplb_p_check_load(&how->hysteresis) != EPLB_OK)
        return EPLB_ERR_OPTION;
    for (layer = 0; how->in_force_score && layer < num_layers; layer++)
        if (eplb_p_check_load(&how->in_force_score[layer]) != EPLB_OK) return EPLB_ERR_OPTION;
    return EPLB_OK;
}

/* What can be wrong with loads and plans. */
EPLB_P eplb_result eplb_p_check_weighed(eplb_p_weigher *w, const eplb_p_shape *shape, const float *weight,
                                        const int32_t *previous_phy2log, const int32_t *phy2log)
{
    int32_t layer;
    eplb_result r = eplb_p_check_loads(weight, shape->num_samples, shape->num_layers, shape->num_experts, 0,
                                       shape->num_layers, NULL);

    if (r == EPLB_OK)
        r = eplb_p_check_ids(previous_phy2log, eplb_p_at(shape->num_layers, shape->num_replicas, 0),
                             shape->num_experts);
    for (layer = 0; layer < shape->num_layers && r == EPLB_OK; layer++)
        r = eplb_p_count_replicas(&w->equal, phy2log + eplb_p_at(layer, shape->num_replicas, 0));
    return r;
}

EPLB_API eplb_result eplb_weigh_switch(const eplb_problem *problem, const float *weight,
                                       const int32_t *previous_phy2log, const int32_t *phy2log,
                                       const eplb_switch_options *how, eplb_switch *layers, void *scratch,
                                       size_t scratch_bytes)
{
    eplb_switch_options zeroed = EPLB_ZERO_INIT;
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_arena a;
    eplb_p_weigher w;
    int32_t layer;
    eplb_result r = eplb_p_resolve_switch(problem, &shape);

    if (r != EPLB_OK) return r;
    if (!weight || !previous_phy2log || !phy2log || !layers) return EPLB_ERR_NULL;
    if (!how) how = &zeroed;
    r = eplb_p_check_switch_options(how, shape.num_layers);
    if (r != EPLB_OK) return r;
    a = eplb_p_measure_weigher(&shape);
    r = eplb_p_check_scratch(&a, scratch, scratch_bytes, NULL);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    w = eplb_p_carve_weigher(&a, &shape);
    w.how = how;
    r = eplb_p_check_weighed(&w, &shape, weight, previous_phy2log, phy2log);
    if (r != EPLB_OK) return r;
    eplb_p_number_gpus(&w.mover);
    for (layer = 0; layer < shape.num_layers; layer++) {
        eplb_p_samples samples = eplb_p_layer_samples(&shape, weight, layer);
        size_t slots = eplb_p_at(layer, shape.num_replicas, 0);
        eplb_p_weigh_layer_switch(&w, &samples, previous_phy2log + slots, phy2log + slots, layer, layers + layer);
    }
    eplb_p_order_switches(layers, shape.num_layers);
    eplb_p_limit_switches(layers, shape.num_layers, how->max_moves);
    return EPLB_OK;
}

EPLB_P size_t eplb_p_lost_in_layers(const eplb_p_shape *shape, const int32_t *phy2log, const uint8_t *gpu_lost,
                                    eplb_lost_expert *lost)
{
    size_t num = 0;
    int32_t layer, first;

    for (layer = 0; layer < shape->num_layers; layer++) {
        const int32_t *slots = phy2log + eplb_p_at(layer, shape->num_replicas, 0);
        for (first = 0; shape->num_experts - first > 0; first += EPLB_P_SEEN_AT_ONCE) {
            num = eplb_p_find_lost(shape, slots, gpu_lost, layer, first, lost, num);
            if (shape->num_experts - first <= EPLB_P_SEEN_AT_ONCE) break; /* first may be as large as it can be */
        }
    }
    return num;
}

EPLB_API eplb_result eplb_lost_experts(const eplb_problem *problem, const int32_t *phy2log, const uint8_t *gpu_lost,
                                       eplb_lost_expert *lost, size_t capacity, size_t *num_lost)
{
    eplb_p_shape shape;
    size_t num;
    eplb_result r = eplb_p_resolve_slots(problem, &shape);

    if (r != EPLB_OK) return r;
    if (!phy2log || !num_lost) return EPLB_ERR_NULL;
    r = eplb_p_check_ids(phy2log, eplb_p_at(shape.num_layers, shape.num_replicas, 0), shape.num_experts);
    if (r != EPLB_OK) return r;
    num = eplb_p_lost_in_layers(&shape, phy2log, gpu_lost, NULL);
    *num_lost = num;
    if (!lost) return EPLB_OK;
    if (num > capacity) return EPLB_ERR_CAPACITY;
    eplb_p_lost_in_layers(&shape, phy2log, gpu_lost, lost);
    return EPLB_OK;
}

/* ------------------------------------------------------------------------------------- shares */

/* What of a problem is read for shares, counts as they are and the cluster. */
EPLB_P eplb_result eplb_p_resolve_sharing(const eplb_problem *p, eplb_p_shape *s)
{
    eplb_result r;

    if (!p) return EPLB_ERR_NULL;
    if (p->num_layers < 1 || p->num_experts < 1 || p->num_replicas < 1 || p->num_gpus < 1 || p->num_nodes < 0)
        return EPLB_ERR_COUNT;
    if (p->num_replicas < p->num_experts) return EPLB_ERR_TOO_FEW;
    s->num_layers = p->num_layers;
    s->num_experts = p->num_experts;
    s->num_replicas = p->num_replicas;
    s->num_nodes = p->num_nodes ? p->num_nodes : 1;
    s->num_gpus = p->num_gpus;
    r = eplb_p_resolve_gpus(p, s, NULL);
    if (r == EPLB_OK) r = eplb_p_resolve_nodes(p, s, NULL);
    if (r == EPLB_OK) r = eplb_p_resolve_speed(p, s, NULL);
    if (r != EPLB_OK) return r;
    return eplb_p_array_fits(p->num_layers, p->num_gpus, p->num_replicas) ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

EPLB_P eplb_p_arena eplb_p_measure_sharing(const eplb_p_shape *shape)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    eplb_p_carve_sharer(&a, shape);
    eplb_p_rewind(&a, 0);
    eplb_p_carve_dealer(&a, shape);
    return a;
}

EPLB_API eplb_result eplb_share_scratch_size(const eplb_problem *problem, size_t *bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_arena measured;
    eplb_result r = eplb_p_resolve_sharing(problem, &shape);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    measured = eplb_p_measure_sharing(&shape);
    return eplb_p_tell_bytes(&measured, bytes);
}

EPLB_P eplb_result eplb_p_check_share_scratch(const eplb_problem *problem, eplb_p_shape *shape, const void *scratch,
                                              size_t bytes)
{
    eplb_p_arena measured;
    eplb_result r = eplb_p_resolve_sharing(problem, shape);

    if (r != EPLB_OK) return r;
    measured = eplb_p_measure_sharing(shape);
    return eplb_p_check_scratch(&measured, scratch, bytes, NULL);
}

/* All layers are found right, and a sharer for them is laid out. */
EPLB_P eplb_result eplb_p_open_sharer(eplb_p_sharer *s, const eplb_problem *problem, const int32_t *phy2log,
                                      const int32_t *count, void *scratch, size_t scratch_bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_arena a;
    int32_t layer;
    eplb_result r = eplb_p_check_share_scratch(problem, &shape, scratch, scratch_bytes);

    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    *s = eplb_p_carve_sharer(&a, &shape);
    if (!s->num_homes) return EPLB_ERR_NULL; /* it is not, but analysers do not see that scratch was measured */
    eplb_p_ready_gpus(s);
    for (layer = 0; layer < problem->num_layers && r == EPLB_OK; layer++)
        r = eplb_p_check_layer_counts(s, phy2log + eplb_p_at(layer, problem->num_replicas, 0),
                                      count + eplb_p_at(layer, problem->num_experts, 0));
    return r;
}

EPLB_API eplb_result eplb_share(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count, int32_t how,
                                int32_t *slot_count, int32_t *most, void *scratch, size_t scratch_bytes)
{
    eplb_p_sharer s;
    int32_t layer;
    eplb_result r;

    if (!problem || !phy2log || !count || !slot_count) return EPLB_ERR_NULL;
    if (!eplb_p_is_one_of(how, EPLB_NUM_SHARES)) return EPLB_ERR_OPTION;
    r = eplb_p_open_sharer(&s, problem, phy2log, count, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    for (layer = 0; layer < problem->num_layers; layer++) {
        size_t slots = eplb_p_at(layer, problem->num_replicas, 0), experts = eplb_p_at(layer, problem->num_experts, 0);
        eplb_p_link_layer(&s, phy2log + slots, count + experts, how);
        eplb_p_solve_shares(&s, how);
        eplb_p_store_shares(&s, phy2log + slots, count + experts, slot_count + slots);
        if (most) most[layer] = eplb_p_tokens_of_last(&s);
    }
    return EPLB_OK;
}

EPLB_API eplb_result eplb_share_proof(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count,
                                      uint8_t *proving, int32_t *num_proving, int32_t *tokens, void *scratch,
                                      size_t scratch_bytes)
{
    eplb_p_sharer s;
    int32_t layer, num, sum;
    eplb_result r;

    if (!problem || !phy2log || !count || !proving) return EPLB_ERR_NULL;
    r = eplb_p_open_sharer(&s, problem, phy2log, count, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    for (layer = 0; layer < problem->num_layers; layer++) {
        eplb_p_link_layer(&s, phy2log + eplb_p_at(layer, problem->num_replicas, 0),
                          count + eplb_p_at(layer, problem->num_experts, 0), EPLB_SHARE_LEAST_MAX);
        num = eplb_p_prove(&s, proving + eplb_p_at(layer, problem->num_gpus, 0), &sum);
        if (num_proving) num_proving[layer] = num;
        if (tokens) tokens[layer] = sum;
    }
    return EPLB_OK;
}

EPLB_API eplb_result eplb_share_sources(const eplb_problem *problem, const int32_t *phy2log,
                                        const int32_t *source_count, const int32_t *slot_count, int32_t *quota,
                                        void *scratch, size_t scratch_bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_dealer d;
    eplb_p_arena a;
    size_t slots, sources, quotas;
    int32_t layer;
    eplb_result r;

    if (!problem || !phy2log || !source_count || !slot_count || !quota) return EPLB_ERR_NULL;
    r = eplb_p_check_share_scratch(problem, &shape, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    d = eplb_p_carve_dealer(&a, &shape);
    slots = (size_t)problem->num_replicas;
    sources = eplb_p_at(problem->num_gpus, problem->num_experts, 0);
    quotas = eplb_p_at(problem->num_gpus, problem->num_replicas, 0);
    for (layer = 0; layer < problem->num_layers && r == EPLB_OK; layer++)
        r = eplb_p_check_layer_sources(&d, phy2log + (size_t)layer * slots, source_count + (size_t)layer * sources,
                                       slot_count + (size_t)layer * slots);
    if (r != EPLB_OK) return r;
    for (layer = 0; layer < problem->num_layers; layer++)
        eplb_p_deal_layer(&d, phy2log + (size_t)layer * slots, source_count + (size_t)layer * sources,
                          slot_count + (size_t)layer * slots, quota + (size_t)layer * quotas);
    return EPLB_OK;
}

EPLB_P eplb_result eplb_p_check_evaluated(eplb_p_sharer *s, const eplb_problem *p, const int32_t *phy2log,
                                          const float *weight)
{
    int32_t num_samples = p->num_samples ? p->num_samples : 1, layer;
    eplb_result r = eplb_p_check_loads(weight, num_samples, p->num_layers, p->num_experts, 0, p->num_layers, NULL);

    for (layer = 0; layer < p->num_layers && r == EPLB_OK; layer++)
        if (!eplb_p_is_whole_plan(s, phy2log + eplb_p_at(layer, p->num_replicas, 0))) r = EPLB_ERR_PLAN;
    return r;
}

EPLB_API eplb_result eplb_evaluate_shares(const eplb_problem *problem, const int32_t *phy2log, const float *weight,
                                          float *balancedness, float *max_load, void *scratch, size_t scratch_bytes)
{
    eplb_p_samples samples = EPLB_ZERO_INIT;
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_sharer s;
    eplb_p_arena a;
    double mean, most;
    int32_t layer;
    eplb_result r;

    if (!problem || !phy2log || !weight || !balancedness) return EPLB_ERR_NULL;
    if (problem->num_samples < 0) return EPLB_ERR_COUNT;
    r = eplb_p_check_share_scratch(problem, &shape, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    samples.num = problem->num_samples ? problem->num_samples : 1;
    samples.stride = eplb_p_at(problem->num_layers, problem->num_experts, 0);
    if (!eplb_p_array_fits(samples.num, problem->num_layers, problem->num_experts)) return EPLB_ERR_OVERFLOW;
    a = eplb_p_arena_at(scratch);
    s = eplb_p_carve_sharer(&a, &shape);
    r = eplb_p_check_evaluated(&s, problem, phy2log, weight);
    if (r != EPLB_OK) return r;
    for (layer = 0; layer < problem->num_layers; layer++) {
        samples.load = weight + eplb_p_at(layer, problem->num_experts, 0);
        eplb_p_evaluate_exactly(&s, &samples, phy2log + eplb_p_at(layer, problem->num_replicas, 0), &mean, &most);
        balancedness[layer] = eplb_p_balancedness(mean, most);
        if (max_load) max_load[layer] = eplb_p_reported(most);
    }
    return EPLB_OK;
}

/* =================================================================================================
   F. THE WINDOW

   in     samples of load as they come
   out    the last of them, as eplb_rebalance takes them
   writes eplb_window, which is the caller's
   calls  the ground, and the check of loads */

/* The layout of a window's memory. A row of all layers was checked to fit size_t. */
EPLB_P eplb_window eplb_p_carve_window(eplb_p_arena *a, int32_t num_layers, int32_t num_experts, int32_t capacity)
{
    eplb_window w = EPLB_ZERO_INIT;
    size_t row_bytes = (size_t)num_layers * (size_t)num_experts * sizeof(float);

    w.num_layers = num_layers;
    w.num_experts = num_experts;
    w.capacity = capacity;
    w.weight = (float *)eplb_p_take(a, capacity, row_bytes);
    w.sample_weight = EPLB_P_TAKE(a, float, capacity);
    return w;
}

EPLB_API eplb_result eplb_window_size(int32_t num_layers, int32_t num_experts, int32_t capacity, size_t *bytes)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    if (!bytes) return EPLB_ERR_NULL;
    if (num_layers < 1 || num_experts < 1 || capacity < 1) return EPLB_ERR_COUNT;
    if (!eplb_p_array_fits(num_layers, num_experts, capacity)) return EPLB_ERR_OVERFLOW;
    eplb_p_carve_window(&a, num_layers, num_experts, capacity);
    return eplb_p_tell_bytes(&a, bytes);
}

/* Whether a decay is in (0, 1], by its bits: NaN and all negative numbers lie above 1's. */
EPLB_P int eplb_p_is_decay(const float *decay)
{
    uint32_t bits = eplb_p_bits_at(decay);
    return bits > 0 && bits <= eplb_p_bits(1.0f);
}

EPLB_API eplb_result eplb_window_init(eplb_window *window, int32_t num_layers, int32_t num_experts, int32_t capacity,
                                      float decay, void *memory, size_t bytes)
{
    eplb_p_arena a;
    size_t needed;
    eplb_result r;

    if (!window || !memory) return EPLB_ERR_NULL;
    if ((eplb_p_bits_at(&decay) & ~EPLB_P_SIGN) == 0) decay = 1.0f;
    if (!eplb_p_is_decay(&decay)) return EPLB_ERR_OPTION;
    r = eplb_window_size(num_layers, num_experts, capacity, &needed);
    if (r != EPLB_OK) return r;
    if (bytes < needed) return EPLB_ERR_SCRATCH_SIZE;

    a = eplb_p_arena_at(memory);
    *window = eplb_p_carve_window(&a, num_layers, num_experts, capacity);
    window->decay = decay;
    return EPLB_OK;
}

/* Whether a window is as eplb_window_init and the pushes leave it: until it is full, its samples are
   in the first rows. */
EPLB_P eplb_result eplb_p_check_window(const eplb_window *w)
{
    if (!w || !w->weight || !w->sample_weight) return EPLB_ERR_NULL;
    if (w->num_layers < 1 || w->num_experts < 1 || w->capacity < 1) return EPLB_ERR_COUNT;
    if (!eplb_p_within(w->num_samples, 0, w->capacity) || !eplb_p_within(w->next, 0, w->capacity - 1))
        return EPLB_ERR_COUNT;
    if (w->num_samples < w->capacity && w->next != w->num_samples) return EPLB_ERR_COUNT;
    return eplb_p_is_decay(&w->decay) ? EPLB_OK : EPLB_ERR_OPTION;
}

/* Loads in a sample. */
EPLB_P size_t eplb_p_row_size(const eplb_window *w) { return (size_t)w->num_layers * (size_t)w->num_experts; }

/* The row that the next sample goes to. */
EPLB_P float *eplb_p_next_row(const eplb_window *w) { return w->weight + (size_t)w->next * eplb_p_row_size(w); }

/* That row has been filled: its sample is the newest, and all others are a step older. */
EPLB_P void eplb_p_add_row(eplb_window *w)
{
    int32_t t;

    for (t = 0; t < w->num_samples; t++) w->sample_weight[t] = eplb_p_mul(w->sample_weight[t], w->decay);
    w->sample_weight[w->next] = 1.0f;
    if (w->num_samples < w->capacity) w->num_samples++;
    w->next = w->next + 1 < w->capacity ? w->next + 1 : 0;
}

EPLB_API eplb_result eplb_window_push(eplb_window *window, const float *load)
{
    float *row;
    size_t i, n, loaded = 0;
    eplb_result r = eplb_p_check_window(window);

    if (r != EPLB_OK) return r;
    if (!load) return EPLB_ERR_NULL;
    r = eplb_p_check_loads(load, 1, window->num_layers, window->num_experts, 0, window->num_layers, NULL);
    if (r != EPLB_OK) return r;

    n = eplb_p_row_size(window);
    while (loaded < n && (eplb_p_bits_at(&load[loaded]) & ~EPLB_P_SIGN) == 0) loaded++;
    if (loaded == n) return EPLB_OK; /* it would only push out one that tells something */
    row = eplb_p_next_row(window);
    for (i = 0; i < n; i++) row[i] = load[i];
    eplb_p_add_row(window);
    return EPLB_OK;
}

EPLB_API eplb_result eplb_window_push_counts(eplb_window *window, const int32_t *count)
{
    float *row;
    size_t i, n;
    int32_t any = 0;
    eplb_result r = eplb_p_check_window(window);

    if (r != EPLB_OK) return r;
    if (!count) return EPLB_ERR_NULL;
    n = eplb_p_row_size(window);
    for (i = 0; i < n; i++) {
        if (count[i] < 0) return EPLB_ERR_NEGATIVE;
        any |= count[i];
    }
    if (!any) return EPLB_OK;
    row = eplb_p_next_row(window);
    for (i = 0; i < n; i++) row[i] = (float)count[i];
    eplb_p_add_row(window);
    return EPLB_OK;
}

EPLB_API eplb_result eplb_window_view(const eplb_window *window, eplb_problem *problem, eplb_options *options,
                                      const float **weight)
{
    eplb_result r = eplb_p_check_window(window);

    if (r != EPLB_OK) return r;
    if (!problem || !weight) return EPLB_ERR_NULL;
    if (window->num_samples == 0) return EPLB_ERR_COUNT;
    problem->num_layers = window->num_layers;
    problem->num_experts = window->num_experts;
    problem->num_samples = window->num_samples;
    if (options) options->sample_weight = window->sample_weight;
    *weight = window->weight;
    return EPLB_OK;
}

#undef EPLB_P_SSE2
#undef EPLB_P_NEON
#undef EPLB_P_VECTOR
#undef EPLB_P_LAST
#undef EPLB_P_NO_ITEM
#undef EPLB_P_MOST_RANKED
#undef EPLB_P_SORTED_ROOM
#undef EPLB_P_BLOCK
#undef EPLB_P_LINE_ROOM
#undef EPLB_P_FEW_OFFERS
#undef EPLB_P_APART
#undef EPLB_P_ANY_WORTH
#undef EPLB_P_LEAST
#undef EPLB_P_TINY
#undef EPLB_P_WIDE_INFINITY
#undef EPLB_P_WIDE_HIDDEN
#undef EPLB_P_PACKING_FIELD
#undef EPLB_P_NAME
#undef EPLB_P_HOLDS
#undef EPLB_P_PRESETS
#undef EPLB_P_PRESET_ROW
#undef EPLB_P_PRESET_PLACE
#undef EPLB_P_PRESET_IN_PLACE
#undef EPLB_P_PRESET_NAME
#undef EPLB_P_SLACK
#undef EPLB_P_ASAN
#undef EPLB_P_POISON
#undef EPLB_P_UNPOISON
#undef EPLB_P_FORGET
#undef EPLB_P_TAKE
#undef EPLB_P_TAKE_ROWS
#undef EPLB_P_SIGN
#undef EPLB_P_INFINITY
#undef EPLB_P_SPLIT_STEPS
#undef EPLB_P_SPLIT_LEAF
#undef EPLB_P_CLOSE
#undef EPLB_P_NEAR
#undef EPLB_P_ROUGHLY
#undef EPLB_P_WHOLE
#undef EPLB_P_FAIR_ROUNDS
#undef EPLB_P_MOVE_ROUNDS
#undef EPLB_P_TRIES
#undef EPLB_P_SPREAD
#undef EPLB_P_SMALL
#undef EPLB_P_FEW_IN_ROW
#undef EPLB_P_TAKEN
#undef EPLB_P_FEW_SLOTS
#undef EPLB_P_MERGING_BITS
#undef EPLB_P_MOST_TRIES
#undef EPLB_P_MOST_STEPS
#undef EPLB_P_ON_STEPS
#undef EPLB_P_FAINT
#undef EPLB_P_NONE
#undef EPLB_P_FORBIDDEN
#undef EPLB_P_SPLIT_FEW
#undef EPLB_P_SPLIT_NEAR
#undef EPLB_P_SPLIT_NODES
#undef EPLB_P_EVEN_ENOUGH
#undef EPLB_P_HALF_STARTS
#undef EPLB_P_MOST_WAYS
#undef EPLB_P_FEW_BITS
#undef EPLB_P_FEW_EMPTY
#undef EPLB_P_LITTLE
#undef EPLB_P_HOME_STARTS
#undef EPLB_P_PACE_BITS
#undef EPLB_P_SPLIT_TOP
#undef EPLB_P_STRAYING
#undef EPLB_P_UNREACHED
#undef EPLB_P_STAYS
#undef EPLB_P_FAULTS
#undef EPLB_P_LIMITS
#undef EPLB_P_LIMIT_NUMBER
#undef EPLB_P_LIMIT_FIELD
#undef EPLB_P_LIMIT_CHECK
#undef EPLB_P_LIMIT_FAULT
#undef EPLB_P_SWAPS_AT_ONCE
#undef EPLB_P_SWAPS_BY_LANE
#undef EPLB_P_SAMPLES_BY_LANE
#undef EPLB_P_FAULT_NAME
#undef EPLB_P_SEEN_AT_ONCE

#ifdef __cplusplus
}
#endif

#endif /* EPLB_IMPLEMENTATION */

/* HISTORY
   Before 1.0 a minor version may ask something of its users; a patch version does not. The numbers of results and
   presets never change.

   0.2.0  Plans (plan version 4): those with effort, DEFAULT's and BEST's, are others, and most are made sooner; the ten
            published presets' are what they were. With effort groups go to nodes by L2, the search is bounded by the
            shape, samples without load count for nothing, equal ones in a row count as one, more than
            EPLB_MOST_SAMPLES are merged, and where a GPU has more slots than its node has experts an expert may be twice
            on it. In nodes of few slots all plans are tried.
          Added: exact shares of a step's tokens: eplb_share, eplb_share_proof, eplb_share_sources,
            eplb_evaluate_shares; on the GPU eplb_cuda_share, eplb_cuda_share_sources; plans made for them:
            options.shares. From a plan to the next: options.previous_phy2log, its limits on moves and their price;
            eplb_transfers, eplb_transfers_in_place, eplb_check_plan, eplb_lost_experts, eplb_weigh_switch. Counts of
            what the enums name, EPLB_NUM_*. Results EPLB_ERR_CAPACITY and EPLB_ERR_SHARES. Clusters as they are:
            problem.gpu_slots, gpu_speed, gpu_node, locked, survive; report.num_split_groups. Preset VLLM and
            options.engine. On the GPU all that options say, and eplb_cuda_evaluate.
          Changed: in a report mean_load is rounded down, lower_bound is tighter on many shapes and never below it, and
            both are of the samples that hold load; a plan that is read may have empty slots, -1. A window is left
            as it is by a sample without load.
          Removed: EPLB_SIDES and EPLB_NO_DISPATCH; nothing is planned side by side or asked about the processor.
          To upgrade: compile all files that include this one anew, since eplb_problem, eplb_options and
            eplb_layer_report are longer; and zero what is not filled by eplb_options_preset, problems above all.
            Define neither removed macro: they do nothing. Plans that were stored stay good; those with effort are not
            made again by this version, so compare hashes under one EPLB_PLAN_VERSION. EPLB_SCRATCH_BOUND grows with the
            new header by itself; with a plan in force or EPLB_PLAN_FOR_EXACT ask eplb_scratch_size. Who sets limits or a
            price meets -1 in plans.
   0.1.0  The pipeline, on the CPU and (eplb_cuda.h) on the GPU: both policies, ten published presets,
          reports with a proved lower bound;
          improve: joint search over counts and placement, for one sample and for many; windows.

   LICENCE
   MIT License

   Copyright (c) 2026 the eplb authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
   NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
