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

enum { MOST_BLOCKS = 64, MOST_FILES = 8 }; /* a reader holds a handful at a time */

static void   *fuzz_block[MOST_BLOCKS];
static FILE   *fuzz_file[MOST_FILES];
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

/* Where an open file is noted; NULL: a free place. */
static FILE **fuzz_file_place(FILE *file)
{
    int i = 0;
    while (i < MOST_FILES && fuzz_file[i] != file)
        i++;
    if (i == MOST_FILES)
        abort();
    return &fuzz_file[i];
}

static FILE *fuzz_tmpfile(void)
{
    FILE **place = fuzz_file_place(NULL);
    *place       = tmpfile();
    return *place;
}

static int fuzz_fclose(FILE *file)
{
    *fuzz_file_place(file) = NULL;
    return fclose(file);
}

#define exit         fuzz_leave
#define tmpfile      fuzz_tmpfile
#define fclose       fuzz_fclose
#define calloc       fuzz_calloc
#define realloc      fuzz_realloc
#define free         fuzz_free
#undef stderr
#define stderr       fuzz_messages
#include "examples/cli/common.c"
#include "examples/cli/source.c"
#include "examples/cli/text.c"
#include "examples/cli/axes.c"
#include "examples/cli/columns.c"
#include "examples/cli/reader.c"
#include "examples/cli/csv.c"
#include "examples/cli/json.c"
#include "examples/cli/npy.c"
#undef exit
#undef tmpfile
#undef fclose
#undef calloc
#undef realloc
#undef free
#undef stderr
#define stderr stdout

#include "fuzz.h"

static void fuzz_check_reader(reader *r)
{
    FUZZ_HOLDS(r->num_samples > 0 && r->num_layers > 0 && r->width > 0);
    for (int32_t i = 1; r->step && i < r->num_samples; i++)
        FUZZ_HOLDS(r->step[i - 1] < r->step[i]);
    for (int32_t i = 1; r->layer && i < r->num_layers; i++)
        FUZZ_HOLDS(r->layer[i - 1] < r->layer[i]);
}

static void fuzz_check_sample(const float *load, size_t count)
{
    for (size_t i = 0; i < count; i++)
        FUZZ_HOLDS(load[i] >= 0.0f && load[i] <= FLT_MAX);
}

/* One line, of what a terminal can show. */
static void fuzz_check_message(const char *message, size_t size)
{
    FUZZ_HOLDS(size > 1 && message[size - 1] == '\n');
    for (size_t i = 0; i + 1 < size; i++)
        FUZZ_HOLDS(message[i] >= ' ' && message[i] <= '~');
}

static void fuzz_read(FILE *file, size_t size)
{
    reading how;
    memset(&how, 0, sizeof how);
    how.last_step = INT64_MAX;
    reader *r     = reader_open(source_of("loads", file, 0, size), &how);
    fuzz_check_reader(r);
    size_t count = (size_t)r->num_layers * (size_t)r->width;
    float *load  = (float *)allocate(count, sizeof(float));
    for (int32_t sample = 0; sample < r->num_samples; sample++) {
        r->read(r, sample, load);
        fuzz_check_sample(load, count);
    }
    fuzz_free(load);
    r->close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char  *message = NULL;
    size_t message_size = 0;
    int    status;

    memset(fuzz_block, 0, sizeof fuzz_block);
    memset(fuzz_file, 0, sizeof fuzz_file);
    fuzz_file[0] = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : tmpfile();
    fuzz_messages = open_memstream(&message, &message_size);
    FUZZ_HOLDS(fuzz_file[0] && fuzz_messages);

    status = setjmp(fuzz_end);
    if (status == 0)
        fuzz_read(fuzz_file[0], size);
    for (int i = 0; i < MOST_BLOCKS; i++)
        free(fuzz_block[i]);
    for (int i = 0; i < MOST_FILES; i++) {
        if (fuzz_file[i])
            fclose(fuzz_file[i]);
    }
    fclose(fuzz_messages);
    if (status != 0)
        fuzz_check_message(message, message_size);
    free(message);
    return 0;
}
