/* cli.h - what the rooms of the program `eplb` share, room by room. What is not here is private to its room.
   Every room includes it first, since it asks for POSIX.

     main.c                 commands, and what --help says
     common.c               progress, errors, memory, names, numbers
     arguments.c            arguments and settings
     source.c               files, of which every byte can be gone to
     text.c                 what the readers of CSV and JSON share
     axes.c                 what the dimensions of an array stand for
     tally.c                samples of an array, while its elements are added to them
     reader.c               which reader a file goes to
     columns.c              what the columns of CSV stand for
     csv.c, json.c, npy.c   a reader each
     scan.c                 what JSON is made of
     npz.c                  arrays of NumPy in a zip file
     foreign.c              files that are known, but not read
     formats.c              the table of formats by name: who reads and writes them, and what they can hold
     map.c                  plans that are in force
     bare.c                 plans as this program's JSON and as arrays, and what the reference gives
     sglang.c, ascend.c     engines and tasks: their plans and traces, a room each
     trtllm.c, vllm.c
     megatron.c, llama.c, adrs.c
     feed.c                 the samples of all files, as loads of experts
     cluster.c              GPUs that are not alike
     problem.c              problem and options, what is odd about them, and what is wrong
     moves.c                from a plan to another, and whether one may be put in force
     plan.c                 planning
     shares.c               what the ways to share an expert's load make of a plan
     score.c                scoring a plan that was made elsewhere
     replay.c               replaying
     print.c                tables, summaries, bars
     draw.c                 pictures: heat map and chart
     loads.c                loads that are written
     write.c                JSON, CSV, output files
     convert.c              from one format to others
     library.c              eplb.h, compiled */
#ifndef CLI_H
#define CLI_H

#define _XOPEN_SOURCE     700 /* POSIX 2008 and realpath */
#define _FILE_OFFSET_BITS 64

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eplb.h"

#if defined(__GNUC__) || defined(__clang__)
#define PRINTS(format_at, args_at)       __attribute__((format(printf, format_at, args_at)))
#define ENDS_PROGRAM(format_at, args_at) __attribute__((noreturn, format(printf, format_at, args_at)))
#else
#define PRINTS(format_at, args_at)
#define ENDS_PROGRAM(format_at, args_at)
#endif

/* ----------------------------------------------------------------------------------- common.c */

enum { STATUS_OK = 0, STATUS_OUTPUT = 1, STATUS_INPUT = 2, STATUS_FAULT = 3 };

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

/* One line on a terminal, redrawn in place, for work that takes long; progress_clear removes it. */
void progress_show(const char *what, size_t done, size_t total);
void progress_clear(void);

/* Ends the program with one line on standard error. */
void fail(int status, const char *format, ...) ENDS_PROGRAM(2, 3);

/* The same when the beginning of the line, the place, is printed. */
void fail_rest(int status, const char *format, va_list args) ENDS_PROGRAM(2, 0);

/* One line on standard error that a person should see; the program goes on. */
void note(const char *format, ...) PRINTS(1, 2);

/* Zeroed memory; both end the program when there is none. grow doubles an array of *room items. */
void *allocate(size_t count, size_t item_bytes);
void *grow(void *block, size_t *room, size_t item_bytes);

/* Whole numbers that fill begin .. end, and a product; false when the value does not fit. */
bool is_digit(char c);
bool parse_digits(const char *begin, const char *end, uint64_t *value);
bool parse_integer(const char *begin, const char *end, int64_t *value);
bool multiply_fits(size_t a, size_t b, size_t *product);

/* The place of a number among count of them that ascend; -1: it is none of them. */
int32_t find_number(const int64_t *number, int32_t count, int64_t wanted);

/* Which numbers there are, for messages: 0-57, or 1, 3, 5-9. */
typedef struct number_list {
    char text[80];
} number_list;
number_list list_numbers(const int64_t *number, int32_t count);

typedef struct nearest { /* of names, the one that a word was meant to be, perhaps; NULL: none is near */
    const char *name;
    size_t away;
} nearest;

/* Takes the name if begin .. end is nearer to it than to the one found. */
void take_nearest(nearest *found, const char *begin, const char *end, const char *name);

/* 0.5 ^ x for x >= 0. */
double half_to_the(double x);

/* -------------------------------------------------------------------------------- arguments.c */

typedef struct arguments { /* what main was given; `at` is the one looked at */
    int count;
    char **text;
    int at;
} arguments;

typedef struct reading {              /* how files are read */
    const char *axes;                 /* a letter for each dimension; NULL: by how many there are */
    const char *key;                  /* of the array in a file of several, or NULL */
    int32_t num_experts;              /* where the file only has ids of them; 0: the largest id + 1 */
    bool has_steps;                   /* whether only some were asked for */
    int64_t first_step, last_step;    /* which */
    const char *map;                  /* path of the plan in force, or NULL */
    const char *dead;                 /* GPUs whose slots hold nothing, whatever a plan says, in words; NULL: none */
    int32_t gpus;                     /* of plans; 0: not known */
    const struct file_format *format; /* of the loads; NULL: as their first bytes say */
    bool unnamed_ids;                 /* rows of CSV without a header are a layer and an expert each */
} reading;

enum { SHARES_EQUAL, SHARES_EXACT, SHARES_ROWS, NUM_SHARES }; /* how an expert's replicas share its load; ROWS: vLLM */
enum { BALANCE_VLLM, BALANCE_SGLANG, NUM_BALANCES };          /* balancedness as engines have it */

enum { NUM_LIMITS = 4 }; /* on moves */

typedef struct move_limits { /* as eplb_options has them */
    int32_t most[NUM_LIMITS];
    float cost;
} move_limits;

typedef struct cluster {                             /* GPUs that are not alike; all NULL where they are */
    const char *slots_list, *speed_list, *node_list; /* as given: numbers, or @FILE */
    int32_t *slots, *node;                           /* [gpus]; slots INT32_MAX: as many as there are on each GPU */
    float *speed;                                    /* [gpus] */
    int32_t survive;                                 /* EPLB_SURVIVE_* */
} cluster;

enum {
    COMMAND_PLAN = 1,
    COMMAND_SCORE = 2,
    COMMAND_REPLAY = 4,
    COMMAND_TRANSFERS = 8,
    COMMAND_CHECK = 16,
    COMMAND_CONVERT = 32
};

enum { MOST_WRITES = 8 };

typedef struct write_request { /* what --write asks for */
    const struct file_format *as;
    const char *path;
} write_request;

typedef struct settings {             /* what a command was asked for */
    const char **inputs;              /* paths, - is standard input; at least one */
    const char *json, *csv, *svg;     /* output paths, NULL = none */
    write_request write[MOST_WRITES]; /* plan and convert, [num_writes] */
    int num_writes;
    const char *previous;                       /* path of the plan in force, or NULL */
    const char *transfers_json, *transfers_csv; /* plan: output paths, NULL = none */
    const char *layers;                         /* the layers asked for, in words; NULL: all */
    int64_t first_layer, last_layer;            /* them, as the file numbers them */
    int64_t show;                               /* layer to draw, -1: none */
    uint64_t seed;
    double half_life; /* in samples; 0 = all count alike */
    reading reading;
    int command; /* COMMAND_* */
    int32_t num_inputs;
    int32_t replicas, gpus, nodes, groups, max_replicas;
    int32_t policy;
    int32_t preset[EPLB_NUM_PRESETS];
    int32_t num_presets;     /* 1 for plan */
    int32_t effort;          /* -1: as the preset has it */
    int32_t plan_for;        /* EPLB_PLAN_FOR_* */
    int32_t window, history; /* replay, in samples; history 0: as long as the window */
    int32_t every;           /* replay: windows that a plan is in force for; 0: to the end */
    cluster cluster;
    move_limits limits;
    eplb_transfer_options how;   /* transfers */
    bool shares[NUM_SHARES];     /* which to score under */
    int32_t rows;                /* tokens of a rank in a step, for SHARES_ROWS */
    bool balances[NUM_BALANCES]; /* score: which to print, too */
    bool adrs;                   /* score: as the ADRS task does */
    bool from_previous;          /* replay: plans start from the ones before, with limits or without */
    bool in_place;
    bool quiet;
} settings;

/* What the command's arguments ask for; ends the program when they are wrong. */
settings parse_arguments(arguments *a, int command);

/* Marks the numbers of a list such as 3 or 0,4-7, of GPUs below count; ends the program where there is one beyond. */
void mark_numbers(const char *option, const char *list, bool *marked, int32_t count);

/* Reads the lists of the cluster, whose GPUs, nodes and slots are known by then. */
void read_cluster(settings *s);
void free_cluster(cluster *c);

/* What a problem with its counts has to know of the cluster; ends the program where slots do not fit, or are too few. */
void take_cluster(const settings *s, eplb_problem *q);

/* How many slots of a GPU may be used, the first ones, and whether this one may. */
int32_t usable_slots(const eplb_problem *q, int32_t gpu);
bool may_use(const eplb_problem *q, int32_t slot);
/* As --shares and --balancedness have them. */
extern const char *const SHARE_NAMES[NUM_SHARES], *const BALANCE_NAMES[NUM_BALANCES];

/* As --sources and --rounds have them. */
extern const char *const SOURCE_NAMES[EPLB_NUM_SOURCES], *const ROUND_NAMES[EPLB_NUM_ROUNDS];

/* The limits on moves. */
extern const struct limit_field {
    const char *option, *words, *key; /* of the command line, of what is printed, and of the file */
    size_t offset;                    /* in eplb_options */
    int least;
} LIMITS[NUM_LIMITS];

/* As --policy has it. */
const char *policy_name(int32_t policy);

/* ----------------------------------------------------------------------------------- source.c */

typedef struct source { /* a file that can be read from any of its bytes on */
    const char *name;   /* for messages */
    FILE *file;
    uint64_t begin, size; /* the part of the file that counts; places are counted from begin */
    uint64_t after;       /* the place after the buffer's bytes */
    char *buffer;
    size_t next, filled; /* bytes in the buffer: the next one, and how many there are */
    size_t ahead;        /* bytes to fill it with: few after going elsewhere, then more and more */
} source;

/* Opens a file; - is standard input. What cannot be gone back in is first copied to a temporary file. Ends
   the program when it cannot be read. */
source source_open(const char *path);

/* A part of an open file as a source, which then owns it. */
source source_of(const char *name, FILE *file, uint64_t begin, uint64_t size);

/* A temporary file, which the system removes; ends the program when there is none. */
FILE *source_temporary(const char *name);

void source_close(source *s);

/* Goes to a place, and gives it. */
void source_seek(source *s, uint64_t place);
uint64_t source_at(const source *s);

/* The next bytes, fewer at the end. */
size_t source_read(source *s, void *to, size_t bytes);

/* Fills the buffer, of which all is used; false at the end. */
bool source_fill(source *s);

/* The next byte, or -1 at the end; peek stays before it. */
static inline int source_peek(source *s)
{
    return s->next < s->filled || source_fill(s) ? (unsigned char)s->buffer[s->next] : -1;
}

static inline int source_get(source *s)
{
    return s->next < s->filled || source_fill(s) ? (unsigned char)s->buffer[s->next++] : -1;
}

/* ------------------------------------------------------------------------------------- text.c */

typedef struct text_place { /* in a file of text, from 1 */
    const char *name;
    size_t line, column;
} text_place;

typedef struct text_field { /* without the blanks around it */
    const char *begin, *end;
} text_field;

/* Ends the program with the place and what is wrong there. */
void text_fail(text_place at, const char *format, ...) ENDS_PROGRAM(2, 3);

/* White space within a line, and with the ends of lines. */
bool is_blank(char c);
bool is_space(char c);

/* Goes past a byte order mark at the beginning of a file. */
void text_skip_mark(source *from);

/* What C and other programs write for numbers that are not finite. */
bool field_is_not_finite(const text_field *field);

/* The load in a field, after which a byte must follow that no number has; ends the program when it is none. */
float text_load(text_place at, const text_field *field);

typedef struct text_lines { /* a file of text, line by line */
    source from;
    uint64_t place;    /* where the line begins */
    size_t line;       /* its number, from 1; 0 before the first */
    char *begin, *end; /* its bytes, without the end of line, and a 0 */
    size_t room;
    const char *next_field; /* NULL when the line has no more */
} text_lines;

/* Goes to the next line, and after a seek to the one with the number given; false at the end. */
bool text_next_line(text_lines *t);
void text_seek_line(text_lines *t, uint64_t place, size_t line);

/* The next field of the line, between commas, without the blanks and the quotes around it; false when there
   is none. */
bool text_next_field(text_lines *t, text_field *field);

/* A place in the line. */
text_place text_here(const text_lines *t, const char *at);

#define QUOTE_BYTES 32
typedef struct quote {
    char text[QUOTE_BYTES + 4];
} quote;

/* Begin .. end for a message, shortened; and a name of a file that can stand in words and pictures. */
quote quoted(const char *begin, const char *end);
quote plain_name(const char *path);

/* ------------------------------------------------------------------------------------- scan.c */

typedef enum json_event {           /* what a value is made of */
                          JSON_END, /* nothing more: the value has ended */
                          JSON_ARRAY,
                          JSON_ARRAY_END,
                          JSON_OBJECT,
                          JSON_OBJECT_END,
                          JSON_NAME, /* of what comes next in an object */
                          JSON_STRING,
                          JSON_WORD,   /* a number, true, false, null, or what is none of them */
                          JSON_MISSING /* a comma, or the end of an array or object, stands where a value should */
} json_event;

enum { JSON_DEPTH = 64, JSON_TOKEN = 1 << 10 }; /* arrays and objects in each other; bytes of a name or word */

typedef struct json_scan { /* a file of JSON, value by value */
    source from;
    size_t line;         /* the one being read, from 1 */
    uint64_t line_place; /* where it begins */
    uint64_t place;      /* where what was read last begins, */
    text_place at;       /* and for messages */
    int depth;           /* arrays and objects that are open */
    bool object[JSON_DEPTH];
    int state;              /* what may come next */
    char token[JSON_TOKEN]; /* the name, word or string, and a 0 */
    size_t length;
} json_scan;

/* From here on, a value may come; json_go does the same at a place seen before. */
void json_begin(json_scan *s);
void json_go(json_scan *s, uint64_t place, size_t line, uint64_t line_place);

/* The next part of the value; ends the program where it is no JSON. */
json_event json_next(json_scan *s);

/* Goes past what an event began: the rest of an array or object. */
void json_skip(json_scan *s, json_event began);

/* The next byte that is no white space, which is not gone past; -1 at the end. Sets `at`. */
int json_peek(json_scan *s);

/* Whether the word is written as JSON writes a number. */
bool json_has_number(const char *begin, const char *end);

/* ------------------------------------------------------------------------------------- axes.c */

enum { MAX_AXES = 8 };

/* What the dimensions of an array stand for. An element is that of a sample, and has a place in it, [layers,
   width]; several may have the same place, and then add up. Letters: T samples, L layers, E experts, G GPUs,
   S slots of a GPU, P slots of all GPUs; K the experts that a token went to, whose numbers are ids, and N
   tokens. */
typedef struct axes {
    int num_dims;
    char letter[MAX_AXES];
    int64_t dim[MAX_AXES];                  /* elements along each dimension */
    size_t stride[MAX_AXES];                /* how much further a place is for the next one along it; 0 for T */
    int sample_axis;                        /* the dimension T, -1: there is one sample */
    int32_t num_samples, num_layers, width; /* width: experts or slots; when routed, 0 */
    bool by_slot;                           /* E is P, or G and S */
    bool routed;                            /* numbers are ids of experts, -1 is none, and each counts one */
    bool fortran;                           /* the first index varies fastest */
    bool in_order;                          /* a sample's elements stand together in the file, samples in order */
} axes;

/* The axes of an array in a file of this name, after --axes or by its number of dimensions; ends the program
   when they do not fit. With routed ids, axes_set_width follows once the number of experts is known. */
axes axes_of(const char *name, const reading *how, const int64_t *dim, int num_dims, bool fortran);
void axes_set_width(axes *a, int32_t num_experts);

/* How many dimensions --axes asks for; 0 without it. Letters are checked. */
int axes_wanted(const reading *how);

/* Elements of the array, and of one sample; axes_of has found that they can be counted. */
size_t axes_count(const axes *a);
size_t axes_sample_count(const axes *a);

/* The indices of an element, counted in the order of the file. */
void axes_index(const axes *a, size_t element, int64_t index[MAX_AXES]);

/* Goes to the next element in the order of the file. */
void axes_next(const axes *a, int64_t index[MAX_AXES]);

/* The sample of an element, and its place in it: layer * width + column. When routed, the place of expert 0. */
int32_t axes_sample(const axes *a, const int64_t index[MAX_AXES]);
size_t axes_place(const axes *a, const int64_t index[MAX_AXES]);

/* ----------------------------------------------------------------------------------- tally.c */

typedef struct tally { /* samples that are being added up, one after the other */
    const char *name;
    axes shape;
    int32_t first, count, room; /* those held now, and how many could be */
    int32_t num_wanted;         /* samples that may be asked for */
    size_t sample_size;         /* num_layers * width */
    double *sum;                /* [room, num_layers, width] */
} tally;

typedef struct tally_run { /* elements that follow each other in the file along one dimension */
    size_t length;
    int32_t sample;
    bool along_samples;   /* each is of the next sample */
    size_t place, stride; /* in a sample: of the first one, and from one to the next */
} tally_run;

/* Room for one sample where they are in order, else for as many as fit in some megabytes. The name is for
   messages. */
tally tally_open(const char *name, const axes *shape, const reading *how);
void tally_close(tally *b);

/* False when the sample is held already; otherwise holds those from it on that there is room for, all 0. */
bool tally_begin(tally *b, int32_t sample);

/* From an element on, the rest of its run. */
tally_run tally_next_run(const tally *b, size_t element);

/* Whether a sample is held. */
static inline bool tally_holds(const tally *b, int32_t sample)
{
    return sample >= b->first && sample - b->first < b->count;
}

/* Adds to a sample that is held. */
static inline void tally_add(tally *b, int32_t sample, size_t place, double load)
{
    b->sum[(size_t)(sample - b->first) * b->sample_size + place] += load;
}

/* A sample that is held; ends the program when a sum is beyond float32. */
void tally_give(const tally *b, int32_t sample, float *load);

/* What is wrong with the id of an expert that a token was routed to, or NULL; 0 experts: any number. */
const char *id_wrong(int64_t id, int32_t num_experts);

/* --------------------------------------------------------------------------------- columns.c */

typedef struct columns { /* of CSV, by its header and --axes; letters are those of --axes */
    int num_ids;
    char id[4];         /* the first columns, which identify a row: T step, L layer, G rank; E and P an id */
    char row;           /* without such: what the rows are, in order; else 0 */
    char column;        /* what the other columns are; C: one of counts of the expert; 0: there are none */
    size_t num_columns; /* the other ones */
    int64_t first;      /* the number in the name of the first of them; -1: they have no names */
} columns;

/* Whether the line is a header; sets what the columns are, and leaves the line at its beginning. Ends the
   program with the name that has no place in a header. */
bool columns_read(columns *c, text_lines *text, const reading *how);

/* The column that has this letter among those that identify, or -1. */
int columns_find(const columns *c, char letter);

/* The letter of a name that identifies, T, L, G or E, or 0. */
char columns_id(const char *begin, const char *end);

/* ----------------------------------------------------------------------------------- reader.c */

typedef struct reader reader;
typedef struct feed feed;

/* One file: its samples, one at a time. Each reader's own struct starts with this one. */
struct reader {
    const char *name;                       /* for messages */
    int32_t num_samples, num_layers, width; /* width: experts, or slots of all GPUs where by_slot */
    bool by_slot;                           /* the numbers are of slots */
    bool by_ids;                            /* width is the largest id + 1, for want of --experts */
    int64_t *step;                          /* [num_samples] as the file numbers them, ascending; NULL: 0, 1, .. */
    int64_t *layer;                         /* [num_layers] as the file numbers them, ascending; NULL: 0, 1, .. */

    /* Gives a sample, [num_layers, width], finite and >= 0; ends the program when it is wrong. Samples are
       asked for in ascending order, some left out. */
    void (*read)(reader *r, int32_t sample, float *load);

    /* Frees the reader and closes its source. */
    void (*close)(reader *r);
};

/* The reader that a file's first bytes, or --format, ask for; and that of CSV, JSON or NumPy, whatever their layout.
   Readers take over the source. Opening looks at all that the shape depends on, and ends the program when it is wrong. */
reader *reader_open(source from, const reading *how);
reader *reader_open_any(source from, const reading *how);
reader *csv_open(source from, const reading *how);
reader *json_open(source from, const reading *how);
reader *npy_open(source from, const reading *how);

/* Whether a sample tells anything: samples without load count for nothing. */
bool holds_load(const float *sample, size_t count);

/* A reader of loads that are in memory, [num_samples, num_layers, width], by what `as` says of them; both
   become the reader's. */
reader *held_open(reader as, float *load);

/* Whether the first bytes are those of a zip file, such as .npz. The first byte of .npy, with which no text starts,
   is looked at by npy_begins. */
bool npz_begins(source *from);

/* The array of .npz that --key names, or the only one; and an array in a file of several, with its name. */
reader *npz_open(source from, const reading *how);
reader *npy_open_member(source from, const char *member, const reading *how);

/* --------------------------------------------------------------------------------- foreign.c */

/* Ends the program, with how to convert it, when the file starts like one that is known but not read. */
void foreign_refuse(source *from);

/* The same for a zip file, by the name of one of its members. */
void foreign_refuse_member(const source *from, const char *member);

/* -------------------------------------------------------------------------------------- map.c */

typedef struct plan_map { /* a plan that is in force, or one for each step */
    const char *name;     /* of its file, for messages */
    int32_t num_layers, num_replicas;
    int32_t num_experts; /* 0: the file does not say */
    int32_t num_gpus;    /* the same */
    int32_t num_steps;   /* plans, of which the last is in force; 1 mostly */
    int64_t *layer;      /* [num_layers] ascending; NULL: the file does not number them */
    int32_t *phy2log;    /* [num_steps, num_layers, num_replicas] the expert of each slot; -1: the slot is empty */
} plan_map;

/* Ends the program when the file is wrong; --dead are then empty. Map_of closes the source. */
plan_map map_read(const char *path, const reading *how);
plan_map map_of(source from);
void map_free(plan_map *m);

/* The experts in the slots of layer[i], where layer [num_layers] are those of the loads; ends the program when
   the plan does not have it. The same in the plan of a step. */
int32_t *map_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i);
int32_t *map_slots_at(const plan_map *m, int32_t step, const int64_t *layer, int32_t num_layers, int32_t i);

/* How many experts there are: as the file says, or the largest id + 1; no less than 1. */
int32_t map_count_experts(const plan_map *m);

/* The same where there must be no other experts than those of the loads, some of which may be missing. */
int32_t *map_known_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            int32_t num_experts);

/* The first expert that no slot holds, or -1. */
int32_t first_missing(const eplb_problem *q, const int32_t *phy2log);

/* The same as map_known_slots_of where none may be missing. */
int32_t *map_whole_slots_of(const plan_map *m, const int64_t *layer, int32_t num_layers, int32_t i,
                            const eplb_problem *q);

typedef struct map_reader { /* a plan in JSON, while it is read */
    json_scan scan;
    plan_map map;
    size_t num_slots, slots_room; /* in map.phy2log, those of all layers */
    size_t layers_room;
} map_reader;

/* At the first value of the file, which it takes over; and at its end, which gives the plan. */
map_reader map_begin(source from);
plan_map map_end(map_reader *r);

/* The next part of the plan, which misses nothing; whether the name, string or word read last is this one. */
json_event map_next(map_reader *r);
bool map_has(const map_reader *r, const char *text);

/* The value, which is a whole number within these bounds; else what is wrong with it. */
int64_t map_integer(map_reader *r, json_event event, int64_t lowest, int64_t highest, const char *wrong);

/* An expert; the experts in the slots of a layer, from the first of them on to the end of their array; and the number
   of the layer added last. */
void map_add_slot(map_reader *r, json_event event);
void map_add_layer(map_reader *r, json_event event);
void map_number_layer(map_reader *r, int64_t number, text_place place);
void map_end_layer(map_reader *r, size_t count); /* of slots, that were added by themselves */

/* The rest of an array that has begun: the slots of a layer, layers, or with most_dims 3 also layers of each step. */
void map_add_arrays(map_reader *r, int most_dims);

/* --------------------------------------------------------------------------------- formats.c */

enum { FORMAT_PLAN = 1, FORMAT_LOADS = 2 };

enum {                   /* what a format can hold beside experts in slots, or loads */
       HOLDS_EMPTY = 1,  /* slots without an expert */
       HOLDS_TWICE = 2,  /* an expert in two slots of a GPU */
       HOLDS_LAYERS = 4, /* the numbers of layers */
       HOLDS_STEPS = 8,  /* a plan for each step, or several samples */
       HOLDS_GPUS = 16,  /* which slots are on one GPU, for which it has to be known */
       HOLDS_PARTS = 32, /* loads that are not whole */
       HOLDS_ROWS = 64   /* a row for each number of a layer, whether the plan has it or not */
};

typedef struct file_format file_format;
struct file_format {
    const char *name;
    int kind, holds;
    const char *key;          /* the name in its outermost object that tells it, or NULL */
    const char *what;         /* for people: its layout, and whose it is */
    bool (*is)(source *from); /* whether a file is of it; NULL: the key tells */
    plan_map (*read_plan)(source from);
    reader *(*open)(source from, const reading *how);
    void (*write_plan)(FILE *out, const plan_map *m);
    void (*write_loads)(FILE *out, feed *from);
};

/* The format of this name and kind, or of any kind; ends the program with what was meant when there is none. */
const file_format *format_named(const char *option, const char *begin, const char *end, int kind);

/* The format of a plan; NULL: of none. And of loads, unless axes or a key say what they are; NULL: by their bytes. */
const file_format *format_of_plan(source *from);
const file_format *format_of_loads(source *from);

/* Ends the program unless the format can hold the plan, or the loads. */
void check_held_plan(const file_format *f, const plan_map *m);
void check_held_loads(const file_format *f, feed *from);

void print_formats(FILE *out);

/* What the table is made of, each in its room. */
bool npy_begins(source *from);
bool bare_begins(source *from);
bool trtllm_begins(source *from);
plan_map npy_map(source from);
plan_map bare_read(source from);
plan_map eplb_read(source from);
plan_map results_read(source from);
plan_map sglang_read(source from);
plan_map ascend_read(source from);
plan_map trtllm_read(source from);
void npy_write_plan(FILE *out, const plan_map *m);
void npy_write_header(FILE *out, const char *descr, const int64_t *dim, int num_dims);
void npy_write_item(FILE *out, uint32_t bits);
void bare_write(FILE *out, const plan_map *m);
void eplb_write(FILE *out, const plan_map *m);
void results_write(FILE *out, const plan_map *m);
void sglang_write(FILE *out, const plan_map *m);
void ascend_write(FILE *out, const plan_map *m);
void trtllm_write(FILE *out, const plan_map *m);
reader *sglang_open(source from, const reading *how);
reader *vllm_open_routed(source from, const reading *how);
reader *megatron_open(source from, const reading *how);
reader *llama_open(source from, const reading *how);
reader *adrs_open(source from, const reading *how);
void loads_write_csv(FILE *out, feed *from);
void loads_write_npy(FILE *out, feed *from);
void sglang_write_counts(FILE *out, feed *from);
void llama_write(FILE *out, feed *from);
void adrs_write(FILE *out, feed *from);

/* Loads as JSON, [[..],[..]]. */
void write_rows(FILE *out, const float *load, int32_t num_rows, int32_t num_columns);

/* ------------------------------------------------------------------------------------- feed.c */

struct feed { /* the samples of all input files, as loads of experts */
    int32_t num_samples, num_layers, num_experts;
    int64_t *step, *layer; /* [num_samples], [num_layers] as the files number them, ascending; not NULL */
    int32_t num_readers;
    reader **reader;
    int32_t *first; /* [num_readers] the sample of each that is sample 0 here */
    int32_t width;  /* of a layer in sum */
    float *one;     /* [num_layers, width] of one reader */
    double *sum;    /* [num_layers, width] of all of them; NULL: one gives what is asked for */
    plan_map map;   /* where the readers are by slot, else empty */
    double *expert; /* [num_experts] of one layer */
};

/* Opens the input files and selects the steps; ends the program when the files do not agree. */
feed feed_open(const settings *s);

/* Says so where one plan has to do for several samples of slots, and where that in force, if any, is the last of several. */
void doubt_map(const feed *f, const plan_map *in_force);

/* Gives a sample, [num_layers, num_experts]; in ascending order, some left out. */
void feed_read(feed *f, int32_t sample, float *load);
void feed_close(feed *f);

typedef struct loads { /* samples in memory */
    int32_t num_samples, num_layers, num_experts;
    float *weight;  /* [T, L, E], finite, >= 0 */
    int64_t *step;  /* [T] as the file numbers them */
    int64_t *layer; /* [L] */
} loads;

/* The plan that --map names, to compare with; NULL: none. That by which slots were counted may have another
   number of them than --replicas asks for, and is then none to compare with. *own is to be freed. */
const plan_map *map_in_force(const settings *s, const feed *from, plan_map *own);

/* All samples. */
loads read_all(feed *f);
void free_loads(loads *table);

/* The rest of a source, and a 0: for readers that hold a file as a whole. */
typedef struct whole_file {
    const char *name;
    char *bytes;
    size_t size;
} whole_file;
whole_file source_whole(source *s);

enum { MIN_DIMS = 2, MAX_DIMS = 3 }; /* of its array: [L, E] or [T, L, E] */

typedef struct text_reader { /* of such a file */
    const whole_file *from;
    const char *line_begin;
    size_t line;  /* 1-based */
    float *value; /* the loads in the order of the file */
    size_t num_values, values_room;
} text_reader;

text_place text_at(const text_reader *r, size_t line, const char *at);
const char *text_begin(const whole_file *from);
void text_add_load(text_reader *r, const text_field *field);
loads text_table(const text_reader *r, size_t num_samples, size_t num_layers, size_t num_experts);
reader *held_table(const char *name, loads table);

/* ---------------------------------------------------------------------------------- problem.c */

/* What a plan is made from, by the settings. */
eplb_problem make_problem(const settings *s, const feed *from);
eplb_options make_options(const settings *s, int32_t preset);

/* Whether moves are limited or have a price; the first option that says so, or NULL. */
const char *limit_named(const settings *s);

/* Takes the limits and the price; ends the program where the options have no effort to keep to them. */
void take_limits(const settings *s, int32_t preset, eplb_options *options);

/* Says so where the shape of the loads is odd, and --axes has not said what they are. */
void doubt_shape(const settings *s, const feed *from);

/* Ends the program unless a plan of so many slots can be scored with these GPUs and loads. */
void check_scored(const settings *s, const feed *from, const plan_map *map);

/* The same for a plan alone, and so many experts. */
void check_slots(const settings *s, const plan_map *map, int32_t num_experts);

/* Ends the program, in the words of the command line, unless the library's result is EPLB_OK. */
void check_result(const eplb_problem *problem, const eplb_options *options, const float *weight, eplb_result result);

/* The name of the policy that EPLB_POLICY_AUTO comes to. */
const char *policy_used(const eplb_problem *problem, int32_t policy);

/* ------------------------------------------------------------------------------------ moves.c */

typedef struct two_plans { /* of the same layers */
    eplb_problem problem;
    const char *before_file, *after_file; /* for people */
    quote before_name, after_name;        /* for files */
    int64_t *layer;                       /* [L] their numbers */
    int32_t *before, *after;              /* [L, R]; before is NULL where check has none */
} two_plans;

typedef struct moving { /* transfers, or steps in place */
    two_plans plans;
    eplb_transfer *transfer; /* [num] */
    size_t num;
    int32_t *num_staging; /* [L] of steps */
} moving;

typedef struct move_totals { /* of one layer, or all */
    int32_t changed;         /* slots with another expert than before, or none */
    int32_t moves;           /* experts that a GPU gets over a link */
    int32_t kind[EPLB_NUM_TRANSFERS], rounds, num_staging;
    int32_t most_sends, most_gets; /* of a GPU, over links */
} move_totals;

/* Of the two plans asked for; or of these, which become its own. */
moving make_moving(const settings *s);
moving moving_between(two_plans plans, const eplb_transfer_options *how, bool in_place);
void free_moving(moving *m);
move_totals total_of_moves(const moving *m, int32_t layer);

/* Whether an expert comes to a GPU that did not hold it, over a link. */
bool is_move(const eplb_transfer *t);

/* As tables and files have a kind. */
const char *transfer_kind_name(int32_t kind);

/* The GPU that a slot of a plan, or a staging slot behind them, is on. */
int32_t gpu_of_slot(const eplb_problem *q, int32_t slot);

typedef struct checking { /* whether a plan may be put in force */
    two_plans plans;
    eplb_plan_fault fault; /* with the number of the layer among them */
} checking;

checking make_checking(const settings *s);
void free_checking(checking *c);

/* ------------------------------------------------------------------------------------- plan.c */

typedef struct layer_result {
    eplb_layer_report before, after; /* the plan in force, or experts in order; the new plan */
    double microseconds;             /* of planning */
    int32_t num_empty;               /* slots without an expert, in a plan that is scored */
    double most[NUM_SHARES];         /* the heaviest GPU's load under other shares than equal ones, where asked for */
    int32_t changed, moves;          /* of a plan that starts from another, as in move_totals */
} layer_result;

typedef struct planning {                     /* a problem, its plan and what there is to say of it */
    bool scored;                              /* the plan was made elsewhere, and there is none before it */
    bool shares[NUM_SHARES];                  /* under which it is scored, equal ones always */
    bool balances[NUM_BALANCES];              /* those asked for, */
    double balance[NUM_BALANCES][NUM_SHARES]; /* under these shares */
    quote name;                               /* of the plan that was made elsewhere: before, or the scored one */
    eplb_problem problem;
    eplb_options options;
    float *sample_weight;            /* [T] in options, or NULL */
    int32_t first_layer, num_layers; /* what was planned, counted from 0 */
    const int64_t *layer;            /* [num_layers] as the file numbers them */
    eplb_plan plan;                  /* whole arrays, filled for these layers */
    int32_t *previous;               /* [L, R] the plan that it starts from, or NULL; */
    quote previous_name;             /* its name, */
    moving moving;                   /* and what has to be sent from it, for these layers */
    layer_result *result;            /* [num_layers] */
    float *gpu_before, *gpu_after;   /* [num_layers, G] */
    int32_t *list_start, *list;      /* [E], [R] for write_log2phy */
    float *weight;                   /* [T, E] of the layer at hand */
    void *scratch;
    size_t scratch_bytes;
} planning;

/* Over layers: sums of loads, of slots and of time. */
typedef struct plan_totals {
    double mean, before, after, bound, microseconds;
    double most[NUM_SHARES]; /* of equal ones, as after */
    int32_t max_replicas;
    long long duplicates, empty, changed, moves, split_groups;
    int32_t num_split; /* layers that have any */
} plan_totals;

/* Plans the layers asked for on all samples, and scores them under the plan in force, if not NULL, and under
   the new one. */
planning make_plan(const settings *s, feed *from, const plan_map *map);
void free_planning(planning *p);
plan_totals total_of_plan(const planning *p, int32_t first, int32_t end); /* over these layers */

/* What plans and scores begin with: all that does not depend on the loads themselves. Previous is NULL where there is
   no plan to start from. */
planning begin_planning(const settings *s, const feed *from, const plan_map *previous);

/* Sets weight to a layer's loads. */
void take_layer(planning *p, const loads *table, int32_t layer);

/* How even this layer is with these experts in its slots, [R]. */
eplb_layer_report evaluate_layer(const planning *p, int32_t *phy2log, float *gpu_load);

/* What a sample counts for that so many samples with load are newer than. */
float weight_of_age(const settings *s, int32_t newer);

/* The plan there is without a planner. */
void plan_in_order(const eplb_problem *q, int32_t *phy2log);

/* A load as a part of a larger one, balancedness for one. */
double load_share(double load, double larger);

/* ----------------------------------------------------------------------------------- shares.c */

typedef struct exact_shares {    /* room to share a layer's tokens in one sample */
    eplb_problem one;            /* of one layer and sample */
    int32_t *count, *slot_count; /* [E], [R] */
    void *scratch;
    size_t scratch_bytes;
} exact_shares;

typedef struct share_ways {
    bool wanted[NUM_SHARES];
    eplb_problem one; /* of one layer and sample */
    exact_shares exact;
    int32_t rows;
    int32_t **hits;           /* [R + 1] of a number of replicas: how many rows each gets; NULL: not yet counted */
    int32_t *replicas, *rank; /* [E] of a layer's experts, and how many of them have been met */
    double *gpu;              /* [G] */
} share_ways;

/* By --shares and --rows, for plans of this problem. */
share_ways make_share_ways(const settings *s, const eplb_problem *problem, const eplb_options *options);
void free_share_ways(share_ways *w);

/* The load of a layer's heaviest GPU in a sample. EXACT: whole tokens are shared as eplb_share does; loads that are none,
   or are too many, are shared as eplb_evaluate_shares does, which brings their sum just under 2^31 by a power of two.
   ROWS: each expert's tokens are spread evenly over a rank's rows, of which vLLM sends each to the replica that its
   number says. */
double share_heaviest(share_ways *w, int way, const int32_t *phy2log, const float *load);

/* The mean of that over the samples with load, `stride` apart. */
double share_layer(share_ways *w, int way, const int32_t *phy2log, const float *load, size_t stride,
                   int32_t num_samples);

/* How many of `rows` rows vLLM sends to each of an expert's replicas, [num_replicas]. */
void count_row_hits(int32_t rows, int32_t num_replicas, int32_t *hits);

/* ------------------------------------------------------------------------------------ score.c */

/* Scores a plan, and makes none. */
planning make_score(const settings *s, feed *from, const plan_map *map);

/* ------------------------------------------------------------------------------------- adrs.c */

typedef struct adrs_score {   /* of a plan, or of plans in time */
    double per_slot, per_gpu; /* balancedness, mean over the workloads; 0 where a rule is broken */
    int32_t num_workloads;    /* that were scored */
    char wrong[160];          /* the rule, and where; "": none */
    quote name;
} adrs_score;

adrs_score make_adrs_score(const settings *s, feed *from, const plan_map *map);

/* ----------------------------------------------------------------------------------- replay.c */

typedef struct score { /* of a plan on a window, summed over layers; mean over the window's samples */
    double mean, most; /* load of a GPU, and of the most loaded one in each sample */
} score;

typedef struct trial {                       /* one plan, when a window has ended */
    score own[NUM_SHARES], next[NUM_SHARES]; /* those asked for */
    double microseconds;                     /* of planning all layers, where the plan was made then, */
    double moves;                            /* what it moved, mean of a layer, */
    double changed;                          /* and the share of slots that it changed; NaN: there was none before it */
} trial;

typedef struct replay {
    feed *from;
    bool in_force;                 /* whether series 0 is a plan that stays in force */
    eplb_problem problem;          /* num_samples differs from call to call */
    int32_t window;                /* samples in each, those without load too */
    int32_t num_windows, num_idle; /* in the trace; those without load, which are left out */
    bool shares[NUM_SHARES];       /* those asked for, */
    int32_t num_shares;            /* and their number */
    int32_t every;                 /* windows with load that a plan is in force for; 0: all */
    int32_t num_plans;             /* of each series: windows with load that have a next one */
    int32_t *plan_window;          /* [num_plans] the window at whose end a plan was made, or kept */
    int32_t *age;                  /* [num_plans] windows with load since it was made */
    bool follows;                  /* plans start from the ones before */
    int32_t history;               /* samples with load that a plan is made from; fewer at first */
    int32_t num_series;
    const char *name[1 + EPLB_NUM_PRESETS];
    eplb_options options[1 + EPLB_NUM_PRESETS]; /* of each series; 0: those that the bound is under */
    eplb_options scoring;                       /* those with a bound that costs little */
    float *sample_weight;                       /* [history] or NULL */
    float *sample;                              /* [history + window, L, E] the last ones with load */
    int32_t num_held, num_own;                  /* of them; those of the window at hand, which are the last */
    int32_t *phy2log;                           /* [num_series, L, R] the last plans */
    int32_t *before;                            /* [L, R] the one that a plan starts from */
    trial *trial;                               /* [num_plans, num_series] */
    double *bound;                              /* [num_plans] of score.most on the next window */
    eplb_layer_report *report;                  /* [L] of score_plan */
    share_ways ways;
    void *scratch;
    size_t scratch_bytes;
} replay;

/* Play_trace reads the trace, and makes and scores all plans of a replay. Series 0 is a plan that stays in
   force, or with NULL the experts in order. */
replay make_replay(const settings *s, feed *from, const plan_map *map);
void play_trace(replay *r);
void free_replay(replay *r);

/* Plan i of a series; and a series' loads summed, the median of its times, and the mean of what its plans moved. */
const trial *trial_of(const replay *r, int32_t i, int32_t series);
trial total_of_series(const replay *r, int32_t series);

/* What pictures show: a line for each series under each of the shares asked for, equal ones first, and a last one
   for the bound; a point for each plan, or where plans are kept, for each age. */
int32_t replay_num_lines(const replay *r);
int32_t line_series(const replay *r, int32_t line);
int32_t line_shares(const replay *r, int32_t line);
bool line_is_first(const replay *r, int32_t line); /* of its series */
int32_t replay_num_points(const replay *r);
double replay_point(const replay *r, int32_t line, int32_t point);
double replay_line_total(const replay *r, int32_t line);

/* The share of slots that a line's plan changed; NaN: there was none before it. */
double replay_changed(const replay *r, int32_t line, int32_t point);

/* Balancedness by a score, and the best that any plan could have: on the window after plan i, and on all. */
double score_balancedness(score s);
double replay_next_bound(const replay *r, int32_t i);
double replay_total_bound(const replay *r);

/* What the file calls the first sample of the window that plan i was made at the end of. */
long long replay_first_step(const replay *r, int32_t i);

/* ------------------------------------------------------------------------------------ print.c */

/* Of a plan or a score: what it was made from, its layers and their total, and the GPUs of one layer. */
void print_summary(FILE *out, const planning *p, const settings *s);
void print_table(FILE *out, const planning *p, bool only_total);
void print_bars(FILE *out, const planning *p, int64_t layer);
void print_balances(FILE *out, const planning *p);
void print_adrs(FILE *out, const adrs_score *a);

/* Of transfers or steps, and of a check. */
void print_moves(FILE *out, const moving *m, const settings *s);
void print_check(FILE *out, const checking *c);

/* Of a replay: what it was made from, its windows, and its series. */
void print_limits(FILE *out, const settings *s); /* ", max moves 8, move cost 0.02" */
void print_replay_summary(FILE *out, const replay *r, const settings *s);
void print_windows(FILE *out, const replay *r);
void print_series(FILE *out, const replay *r);

/* ------------------------------------------------------------------------------------- draw.c */

/* An SVG: the load of each GPU in each layer; balancedness over the windows. */
void draw_heat_map(FILE *out, const planning *p, const settings *s);
void draw_chart(FILE *out, const replay *r, const settings *s);

/* ---------------------------------------------------------------------------------- convert.c */

/* Reads plans or loads, and writes them in the formats asked for. */
void convert(settings *s);

/* ------------------------------------------------------------------------------------ write.c */

/* Whether this path, which may be NULL, is standard output; and whether any output is. */
bool to_stdout(const char *path);
bool any_to_stdout(const settings *s);

/* All files asked for of a plan and its transfers or a score, of a replay, of transfers, or of a check; ends the
   program, leaving none, when one cannot be written. */
void write_plan(const planning *p, const settings *s);
void write_map(const plan_map *m, const settings *s);
void write_feed(feed *from, const settings *s);
void write_replay(const replay *r, const settings *s);
void write_adrs(const adrs_score *a, const settings *s);
void write_moves(const moving *m, const settings *s);
void write_check(const checking *c, const settings *s);

#endif
