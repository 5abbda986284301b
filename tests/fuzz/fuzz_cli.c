/* fuzz_cli.c - the readers of the command line program: any bytes either give a table of loads that
   are finite and not negative, or end with one line that says what is wrong and where.

   The rooms that read are included, with their exit and their memory replaced: a run that would end the
   program jumps back here, where what it had allocated is freed. */
#include "examples/cli/cli.h"

#include <float.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { MOST_BLOCKS = 64 }; /* a reader holds a handful at a time */

static void   *fuzz_block[MOST_BLOCKS];
static FILE   *fuzz_messages; /* where the program says what is wrong */
static jmp_buf fuzz_end;

static void fuzz_leave(int status) __attribute__((noreturn));
static void fuzz_leave(int status)
{
    longjmp(fuzz_end, status);
}

/* Where a block is noted; NULL: a free place. */
static void **fuzz_place(void *block)
{
    int i = 0;
    while (i < MOST_BLOCKS && fuzz_block[i] != block)
        i++;
    if (i == MOST_BLOCKS)
        abort();
    return &fuzz_block[i];
}

static void *fuzz_calloc(size_t count, size_t size)
{
    void **place = fuzz_place(NULL);
    *place = calloc(count, size);
    return *place;
}

static void *fuzz_realloc(void *block, size_t size)
{
    void **place = fuzz_place(block), *moved = realloc(block, size);
    if (moved)
        *place = moved;
    return moved;
}

static void fuzz_free(void *block)
{
    if (block)
        *fuzz_place(block) = NULL;
    free(block);
}

#define exit         fuzz_leave
#define calloc       fuzz_calloc
#define realloc      fuzz_realloc
#define free         fuzz_free
#undef stderr
#define stderr       fuzz_messages
#include "examples/cli/common.c"
#include "examples/cli/source.c"
#include "examples/cli/text.c"
#include "examples/cli/csv.c"
#include "examples/cli/json.c"
#include "examples/cli/npy.c"
#undef exit
#undef calloc
#undef realloc
#undef free
#undef stderr
#define stderr stdout

#include "fuzz.h"

static void fuzz_check_table(const loads *table)
{
    size_t count = (size_t)table->num_samples * (size_t)table->num_layers * (size_t)table->num_experts;
    FUZZ_HOLDS(table->num_samples > 0 && table->num_layers > 0 && table->num_experts > 0);
    for (size_t i = 0; i < count; i++)
        FUZZ_HOLDS(table->weight[i] >= 0.0f && table->weight[i] <= FLT_MAX);
    for (int32_t i = 1; table->step && i < table->num_samples; i++)
        FUZZ_HOLDS(table->step[i - 1] < table->step[i]);
}

/* One line, of what a terminal can show. */
static void fuzz_check_message(const char *message, size_t size)
{
    FUZZ_HOLDS(size > 1 && message[size - 1] == '\n');
    for (size_t i = 0; i + 1 < size; i++)
        FUZZ_HOLDS(message[i] >= ' ' && message[i] <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    source from = {"loads", NULL, size};
    char  *message = NULL;
    size_t message_size = 0;
    int    status;

    memset(fuzz_block, 0, sizeof fuzz_block);
    from.bytes = (char *)test_alloc(size + 1);
    memcpy(from.bytes, data, size);
    from.bytes[size] = '\0';
    fuzz_messages = open_memstream(&message, &message_size);
    FUZZ_HOLDS(fuzz_messages != NULL);

    status = setjmp(fuzz_end);
    if (status == 0) {
        loads table = parse_loads(&from);
        fuzz_check_table(&table);
    }
    for (int i = 0; i < MOST_BLOCKS; i++)
        free(fuzz_block[i]);
    fclose(fuzz_messages);
    if (status != 0)
        fuzz_check_message(message, message_size);
    free(message);
    free(from.bytes);
    return 0;
}
