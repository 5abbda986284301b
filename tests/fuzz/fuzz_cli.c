/* fuzz_cli.c - the readers of the command line program: any bytes either give samples of loads that
   are finite and not negative, or end with one line that says what is wrong and where. An input that starts
   with #! has options in its first line, which the readers do not see: `#!AXES EXPERTS KEY FORMAT`, a dash for one
   that is not given; `#!map` is a plan that is read, and with a format, as in `#!map - - trtllm`, written and read
   again: what one reader takes and a writer can hold is the same plan then.

   The rooms that read are included, with their exit and their memory replaced: a run that would end the
   program jumps back here, where what it had allocated is freed. */
#include "examples/cli/cli.h"

#include <float.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

enum { MOST_BLOCKS = 64, MOST_FILES = 8 }; /* a reader holds a handful at a time */

static void *fuzz_block[MOST_BLOCKS];
static FILE *fuzz_file[MOST_FILES];
static FILE *fuzz_messages; /* where the program says what is wrong */
static jmp_buf fuzz_end;

static void fuzz_leave(int status) __attribute__((noreturn));
static void fuzz_leave(int status) { longjmp(fuzz_end, status); }

/* Where a block is noted; NULL: a free place. */
static void **fuzz_place(void *block)
{
    int i = 0;
    while (i < MOST_BLOCKS && fuzz_block[i] != block) i++;
    if (i == MOST_BLOCKS) abort();
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
    if (moved) *place = moved;
    return moved;
}

static void fuzz_free(void *block)
{
    if (block) *fuzz_place(block) = NULL;
    free(block);
}

/* Where an open file is noted; NULL: a free place. */
static FILE **fuzz_file_place(FILE *file)
{
    int i = 0;
    while (i < MOST_FILES && fuzz_file[i] != file) i++;
    if (i == MOST_FILES) abort();
    return &fuzz_file[i];
}

static FILE *fuzz_tmpfile(void)
{
    FILE **place = fuzz_file_place(NULL);
    *place = tmpfile();
    return *place;
}

static int fuzz_fclose(FILE *file)
{
    *fuzz_file_place(file) = NULL;
    return fclose(file);
}

#define exit    fuzz_leave
#define tmpfile fuzz_tmpfile
#define fclose  fuzz_fclose
#define calloc  fuzz_calloc
#define realloc fuzz_realloc
#define free    fuzz_free
#undef stderr
#define stderr fuzz_messages
#include "examples/cli/common.c"
#include "examples/cli/source.c"
#include "examples/cli/text.c"
#include "examples/cli/axes.c"
#include "examples/cli/columns.c"
#include "examples/cli/reader.c"
#include "examples/cli/csv.c"
#include "examples/cli/tally.c"
#include "examples/cli/scan.c"
#include "examples/cli/json.c"
#include "examples/cli/npy.c"
#include "examples/cli/npz.c"
#include "examples/cli/foreign.c"
#include "examples/cli/cluster.c"
#include "examples/cli/map.c"
#include "examples/cli/feed.c"
#include "examples/cli/formats.c"
#include "examples/cli/bare.c"
#include "examples/cli/sglang.c"
#include "examples/cli/ascend.c"
#include "examples/cli/trtllm.c"
#include "examples/cli/vllm.c"
#include "examples/cli/megatron.c"
#include "examples/cli/llama.c"
#include "examples/cli/adrs.c"
#include "examples/cli/loads.c"
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
    for (int32_t i = 1; r->step && i < r->num_samples; i++) FUZZ_HOLDS(r->step[i - 1] < r->step[i]);
    for (int32_t i = 1; r->layer && i < r->num_layers; i++) FUZZ_HOLDS(r->layer[i - 1] < r->layer[i]);
}

static void fuzz_check_sample(const float *load, size_t count)
{
    for (size_t i = 0; i < count; i++) FUZZ_HOLDS(load[i] >= 0.0f && load[i] <= FLT_MAX);
}

/* One line, of what a terminal can show, perhaps after notes. */
static void fuzz_check_message(const char *message, size_t size)
{
    static const char NOTE[] = "eplb: note: ";
    FUZZ_HOLDS(size > 1 && message[size - 1] == '\n');
    for (const char *end; size > sizeof NOTE && memcmp(message, NOTE, sizeof NOTE - 1) == 0; message = end) {
        end = (const char *)memchr(message, '\n', size) + 1;
        size -= (size_t)(end - message);
    }
    FUZZ_HOLDS(size > 1);
    for (size_t i = 0; i + 1 < size; i++) FUZZ_HOLDS(message[i] >= ' ' && message[i] <= '~');
}

typedef struct fuzz_words {
    char axes[16], experts[4], key[16], format[16];
} fuzz_words;

/* The options of an input; *skip becomes the bytes before the file. */
static reading fuzz_reading(const char *data, size_t size, fuzz_words *o, size_t *skip)
{
    char line[40] = "";
    reading how;
    memset(&how, 0, sizeof how);
    memset(o, 0, sizeof *o);
    how.last_step = INT64_MAX;
    bool any = size >= 2 && data[0] == '#' && data[1] == '!';
    const char *end = any ? (const char *)memchr(data, '\n', size) : NULL;
    *skip = end && (size_t)(end - data) < sizeof line ? (size_t)(end - data) + 1 : 0;
    if (*skip == 0) return how;
    memcpy(line, data + 2, *skip - 3);
    int words = sscanf(line, "%15s %3s %15s %15s", o->axes, o->experts, o->key, o->format);
    how.axes = words >= 1 && strcmp(o->axes, "-") != 0 ? o->axes : NULL;
    how.num_experts = words >= 2 ? (int32_t)strtoul(o->experts, NULL, 10) : 0;
    how.key = words >= 3 && strcmp(o->key, "-") != 0 ? o->key : NULL;
    bool map = how.axes && strcmp(how.axes, "map") == 0;
    if (words >= 4)
        how.format = format_named("#!", o->format, o->format + strlen(o->format), map ? FORMAT_PLAN : FORMAT_LOADS);
    return how;
}

/* Writes a plan, and reads it again. SGLang's has more layers where the plan's numbers have gaps. */
static void fuzz_write(const file_format *as, plan_map *map)
{
    if (!map->num_gpus) map->num_gpus = map->num_replicas % 2 == 0 ? 2 : 1;
    check_held_plan(as, map);
    FILE *file = fuzz_tmpfile();
    FUZZ_HOLDS(file != NULL);
    as->write_plan(file, map);
    FUZZ_HOLDS(fflush(file) == 0);
    plan_map again = map_of(source_of("written", file, 0, (uint64_t)ftell(file)));
    FUZZ_HOLDS(again.num_replicas == map->num_replicas && again.num_steps == map->num_steps);
    for (int32_t i = 0; i < map->num_layers; i++) {
        int64_t row = strcmp(as->name, "sglang") == 0 && map->layer ? map->layer[i] : i;
        size_t R = (size_t)map->num_replicas;
        FUZZ_HOLDS(memcmp(again.phy2log + (size_t)row * R, map->phy2log + (size_t)i * R, R * sizeof(int32_t)) == 0);
    }
    FUZZ_HOLDS(!(as->holds & HOLDS_LAYERS) || !again.layer || !map->layer
               || memcmp(again.layer, map->layer, (size_t)map->num_layers * sizeof *map->layer) == 0);
    fuzz_free(again.layer);
    fuzz_free(again.phy2log);
}

/* A plan, where the axes are `map`. */
static void fuzz_map(source from, const file_format *as)
{
    plan_map map = map_of(from);
    size_t count = (size_t)map.num_steps * (size_t)map.num_layers * (size_t)map.num_replicas;
    FUZZ_HOLDS(map.num_steps > 0 && map.num_layers > 0 && map.num_replicas > 0 && map.num_experts >= 0);
    for (size_t i = 0; i < count; i++) FUZZ_HOLDS(map.phy2log[i] >= -1 && map.phy2log[i] < INT32_MAX);
    for (int32_t i = 0; map.layer && i < map.num_layers; i++)
        FUZZ_HOLDS(map.layer[i] >= 0 && (i == 0 || map.layer[i - 1] < map.layer[i]));
    if (as) fuzz_write(as, &map);
    fuzz_free(map.layer);
    fuzz_free(map.phy2log);
}

enum { MOST_READ = 1 << 22 }; /* loads of an input, so that none takes long */

static void fuzz_read(FILE *file, const uint8_t *data, size_t size)
{
    fuzz_words options;
    size_t skip;
    reading how = fuzz_reading((const char *)data, size, &options, &skip);
    source from = source_of("loads", file, skip, size - skip);
    if (how.axes && strcmp(how.axes, "map") == 0) {
        fuzz_map(from, how.format);
        return;
    }
    (void)axes_wanted(&how); /* as the arguments do */
    reader *r = reader_open(from, &how);
    fuzz_check_reader(r);
    size_t count = (size_t)r->num_layers * (size_t)r->width;
    float *load = (float *)allocate(count, sizeof(float));
    for (int32_t sample = 0; sample < r->num_samples && (size_t)sample * count < MOST_READ; sample++) {
        r->read(r, sample, load);
        fuzz_check_sample(load, count);
    }
    fuzz_free(load);
    r->close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *message = NULL;
    size_t message_size = 0;
    int status;

    memset(fuzz_block, 0, sizeof fuzz_block);
    memset(fuzz_file, 0, sizeof fuzz_file);
    fuzz_file[0] = size ? fmemopen((void *)(uintptr_t)data, size, "rb") : tmpfile();
    fuzz_messages = open_memstream(&message, &message_size);
    FUZZ_HOLDS(fuzz_file[0] && fuzz_messages);

    status = setjmp(fuzz_end);
    if (status == 0) fuzz_read(fuzz_file[0], data, size);
    for (int i = 0; i < MOST_BLOCKS; i++) free(fuzz_block[i]);
    for (int i = 0; i < MOST_FILES; i++) {
        if (fuzz_file[i]) fclose(fuzz_file[i]);
    }
    fclose(fuzz_messages);
    if (status != 0) fuzz_check_message(message, message_size);
    free(message);
    return 0;
}
