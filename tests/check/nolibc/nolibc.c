/* nolibc.c - the few functions of a libc that the plan hash needs on machines that have none, besides those
   of examples/embedded/memory.c. */
#include <stdint.h>

#include "stdlib.h"
#include "string.h"

/* Blocks come one after the other from an arena that starts anew once all have been freed: a problem's
   blocks are, before the next problem. */
enum { ARENA_BYTES = 2 << 20, BLOCK_ALIGN = 16 };
static union {
    unsigned char bytes[ARENA_BYTES];
    uint64_t aligned;
} arena;
static size_t arena_used, arena_blocks;

void *malloc(size_t bytes)
{
    size_t at = arena_used;
    if (bytes > ARENA_BYTES - BLOCK_ALIGN - at) return NULL;
    arena_used = (at + bytes + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    arena_blocks++;
    return arena.bytes + at;
}

void free(void *block)
{
    if (block && --arena_blocks == 0) arena_used = 0;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < bytes; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}
