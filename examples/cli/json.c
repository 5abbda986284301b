/* json.c - the reader of JSON: arrays of numbers in each other, by --axes or by how many there are, in objects
   by --key or where they are the only ones. A file has one such value; or several, one after the other or
   objects in an array, which are called records here: each is a sample, unless it says of which step, layer
   or rank it is. Opening goes through the file once for its shape; numbers are read when their sample is
   asked for. Where samples do not stand one after the other, as many as there is room for are read in one
   pass over the file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { JSON_KEY = 256, JSON_MOST_DIMS = MAX_AXES - 1, JSON_MOST_KEYS = 6 };

enum { JSON_STEP, JSON_LAYER, JSON_RANK, JSON_NUM_IDS };
static const char JSON_ID_LETTER[JSON_NUM_IDS + 1] = "TLG";
static const char *const JSON_ID_NAME[JSON_NUM_IDS] = {"step", "layer", "rank"};

typedef struct json_record {
    uint64_t place, line_place;
    size_t line;
    int64_t id[JSON_NUM_IDS];
} json_record;

typedef enum json_kind { JSON_RECORD, JSON_DIMENSION, JSON_PICKED, JSON_MEMBERS } json_kind;

typedef struct json_level { /* an array or object that is open */
    json_kind kind;
    size_t path;  /* what is left of the key, for what is in it */
    int dims;     /* dimensions up to here, with it */
    size_t count; /* items so far */
    size_t pick;  /* the item that the key asks for */
    bool found;   /* the member that it asks for */
} json_level;

typedef struct json_keys { /* where arrays of numbers are */
    int count;             /* one more than there is room for: there are more */
    char key[JSON_MOST_KEYS][JSON_KEY];
} json_keys;

typedef struct json_reader {
    reader base;
    json_scan scan;
    reading how;
    const char *key;         /* "" where there is no object */
    char only_key[JSON_KEY]; /* found in the first record, for want of --key */
    bool in_list;            /* records are the items of an array */
    json_level level[JSON_DEPTH + 1];
    size_t path;                                   /* what is left of the key, after the name read last */
    int num_dims;                                  /* arrays around each number; 0 before the first */
    size_t want[JSON_MOST_DIMS + 1];               /* items of each array of a depth; 0 before the first has ended */
    int64_t id[JSON_NUM_IDS];                      /* of the record being read, */
    bool has_id[JSON_NUM_IDS];                     /* and which it has */
    bool by_id[JSON_NUM_IDS];                      /* which all records have */
    json_record *record;                           /* in the order of the file, later by their ids if they have some */
    size_t num_records, records_room, record_size; /* numbers in each */
    size_t num_ranks, per_step;                    /* records of a step and layer, and of a step; 0: in their order */
    bool routed;
    int64_t most_id;
    axes shape;  /* of all records in their order, else of one */
    size_t next; /* the number that is read next, counted over all records */
    tally held;
} json_reader;

/* --------------------------------------------------------------------------------------- keys */

/* Whether what is left of the key starts with the number of an item; *after is what follows it. */
static bool json_key_index(const char *left, size_t *index, const char **after)
{
    const char *end = left + strcspn(left, ".");
    uint64_t value = 0;
    *after = *end ? end + 1 : end;
    bool is_index = parse_digits(left, end, &value) && value < SIZE_MAX;
    *index = (size_t)value;
    return is_index;
}

static void json_add_key(json_keys *keys, const char *key)
{
    for (int i = 0; i < keys->count && i < JSON_MOST_KEYS; i++) {
        if (strcmp(keys->key[i], key) == 0) return;
    }
    if (keys->count < JSON_MOST_KEYS) snprintf(keys->key[keys->count], JSON_KEY, "%s", key);
    if (keys->count <= JSON_MOST_KEYS) keys->count++;
}

static bool json_word_is_number(const json_scan *s)
{
    text_field word = {s->token, s->token + s->length};
    return is_digit(*s->token) || *s->token == '-' || field_is_not_finite(&word);
}

/* Goes through a record for arrays of numbers, which are told by the names on the way to them. */
static void json_find_keys(json_scan *s, json_keys *keys)
{
    char key[JSON_KEY] = "";
    size_t length[JSON_DEPTH + 1] = {0}, now = 0; /* of the key of each level, and of what comes next */
    json_event e;
    keys->count = 0;
    while ((e = json_next(s)) != JSON_END) {
        if (e == JSON_NAME) {
            now = length[s->depth];
            if (s->length + 2 > JSON_KEY - now)
                text_fail(s->at, "names of more than %d characters in each other", JSON_KEY - 2);
            now += (size_t)snprintf(key + now, JSON_KEY - now, "%s%s", now ? "." : "", s->token);
        } else if (e == JSON_ARRAY || e == JSON_OBJECT) {
            bool in_object = s->depth > 1 && s->object[s->depth - 2];
            length[s->depth] = in_object ? now : length[s->depth - 1];
        } else if (e == JSON_MISSING) {
            json_skip(s, e);
        } else if (e == JSON_WORD && !s->object[s->depth - 1] && json_word_is_number(s)) {
            key[length[s->depth]] = '\0';
            json_add_key(keys, key);
            json_skip(s, JSON_ARRAY); /* the rest of the array */
        }
    }
}

/* The keys for a message. */
static void json_list_keys(const json_keys *keys, char *text, size_t bytes)
{
    size_t used = 0;
    for (int i = 0; i < keys->count && i < JSON_MOST_KEYS; i++) {
        const char *key = keys->key[i];
        used += (size_t)snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", quoted(key, key + strlen(key)).text);
    }
    if (keys->count > JSON_MOST_KEYS) snprintf(text + used, bytes - used, ", ...");
}

/* Sets the key for want of --key: there must be one array of numbers. At the first record. */
static void json_find_only_key(json_reader *r)
{
    json_scan *s = &r->scan;
    json_keys keys;
    char list[JSON_MOST_KEYS * (QUOTE_BYTES + 8)] = "";
    json_event e;
    text_place begin = s->at;
    json_record at = r->record[0];
    r->key = "";
    while ((e = json_next(s)) == JSON_ARRAY) continue;
    if (e != JSON_OBJECT) return;
    json_go(s, at.place, at.line, at.line_place);
    json_find_keys(s, &keys);
    json_list_keys(&keys, list, sizeof list);
    if (keys.count == 0)
        text_fail(begin, "no array of numbers in this object; rows of single numbers can be read as CSV");
    if (keys.count > 1) text_fail(begin, "several arrays of numbers: --key should name one of %s", list);
    memcpy(r->only_key, keys.key[0], JSON_KEY);
    r->key = r->only_key;
}

/* Ends the program since an object has not what the key asks for. */
static void json_fail_key(json_reader *r, const char *left)
{
    text_place at = r->scan.at;
    json_record begin = r->record[r->num_records - 1];
    json_keys keys;
    char list[JSON_MOST_KEYS * (QUOTE_BYTES + 8)] = "";
    quote name = quoted(left, left + strcspn(left, "."));
    if (r->key == r->only_key) text_fail(at, "this object has no '%s', as that before it has", name.text);
    json_go(&r->scan, begin.place, begin.line, begin.line_place);
    json_find_keys(&r->scan, &keys);
    json_list_keys(&keys, list, sizeof list);
    text_fail(at, "--key: there is no '%s' here; %s%s", name.text,
              keys.count ? "arrays of numbers are " : "there is no array of numbers either", list);
}

/* ------------------------------------------------------------------------------------ numbers */

/* What the items of arrays of this dimension are, for messages; a number has been read. */
static const char *json_items(const json_reader *r, int dims)
{
    return dims == r->num_dims       ? (r->routed ? "ids" : "loads")
           : dims + 1 == r->num_dims ? "rows"
           : dims + 2 == r->num_dims ? "samples"
                                     : "arrays";
}

static void json_fail_missing(const json_reader *r, const json_level *in)
{
    if (in->kind == JSON_DIMENSION && in->dims < r->num_dims)
        text_fail(r->scan.at, "an array should begin here, as before");
    text_fail(r->scan.at, "a %s is missing here", in->kind == JSON_DIMENSION ? "load" : "value");
}

/* Ends the program unless a value that fits where it stands has begun. */
static void json_check_value(const json_reader *r, json_event e, const json_level *in, const char *left)
{
    text_place at = r->scan.at;
    bool more = r->num_dims ? in->dims < r->num_dims : in->dims < JSON_MOST_DIMS;
    if (e == JSON_OBJECT && !*left)
        text_fail(at, "an object where a load should be%s", r->how.key ? "; --key may go on into it" : "");
    if (e == JSON_OBJECT || (e == JSON_ARRAY && more)) return;
    if (e == JSON_ARRAY && !r->num_dims)
        text_fail(at, "more than %d arrays in each other, which are an axis each", JSON_MOST_DIMS);
    if (e == JSON_ARRAY) text_fail(at, "an array where a load should be");
    if (*left)
        text_fail(at, "--key: there is no '%s' here, where no object is", quoted(left, left + strcspn(left, ".")).text);
    if (e == JSON_STRING) text_fail(at, "a string where a load should be");
    if (in->dims < (r->num_dims ? r->num_dims : 1))
        text_fail(at, "an array should begin here%s", r->num_dims ? ", as before" : "");
}

/* Counts an item of an array. */
static void json_count_item(const json_reader *r, json_level *in)
{
    if (in->kind != JSON_DIMENSION) return;
    size_t want = r->want[in->dims];
    if (want && in->count == want)
        text_fail(r->scan.at, "more than the %zu %s of the %s above", want, json_items(r, in->dims),
                  json_items(r, in->dims - 1));
    in->count++;
}

/* A value has begun: true when it is a number that is looked for; otherwise it is gone into, or past. */
static bool json_take_value(json_reader *r, json_event e)
{
    bool opens = e == JSON_ARRAY || e == JSON_OBJECT;
    json_level *in = &r->level[r->scan.depth - (opens ? 1 : 0)], *level = &r->level[r->scan.depth];
    if (in->kind == JSON_PICKED && in->count++ != in->pick) {
        json_skip(&r->scan, e);
        return false;
    }
    size_t path = in->kind == JSON_MEMBERS ? r->path : in->path, pick = 0;
    const char *left = r->key + path, *after = left;
    json_level next = {e == JSON_OBJECT ? JSON_MEMBERS : JSON_DIMENSION, path, in->dims, 0, 0, false};
    if (e == JSON_ARRAY && r->how.key && json_key_index(left, &pick, &after)) {
        next.kind = JSON_PICKED;
        next.path = (size_t)(after - r->key);
        next.pick = pick;
    } else {
        json_check_value(r, e, in, left);
        next.dims += e == JSON_ARRAY;
    }
    json_count_item(r, in);
    if (opens) *level = next;
    else r->num_dims = in->dims;
    return !opens;
}

/* Ends the program unless a number in an inner object is that of its place in the array around it. */
static void json_check_inner_id(const json_reader *r, int64_t value)
{
    const json_scan *s = &r->scan;
    const json_level *around = &r->level[s->depth - 1];
    if (around->kind != JSON_DIMENSION || value < 0 || (uint64_t)value != around->count - 1)
        text_fail(s->at,
                  "%s does not number this object in its array, and only outermost ones may be in any "
                  "order",
                  quoted(s->token, s->token + s->length).text);
}

/* The number of a step, layer, rank or expert. */
static void json_take_id(json_reader *r, char letter, json_event e)
{
    const json_scan *s = &r->scan;
    const char *known = strchr(JSON_ID_LETTER, letter);
    int id = known ? (int)(known - JSON_ID_LETTER) : -1;
    const char *name = known ? JSON_ID_NAME[id] : "expert";
    int64_t value = 0;
    if (e != JSON_WORD || !parse_integer(s->token, s->token + s->length, &value))
        text_fail(s->at, "'%s' is not a %s", quoted(s->token, s->token + s->length).text, name);
    if (s->depth > 1) {
        json_check_inner_id(r, value);
        return;
    }
    if (id < 0) text_fail(s->at, "the number of an expert beside an array is not read; CSV may have one in each row");
    if (r->has_id[id]) text_fail(s->at, "the number of a %s stands there twice", name);
    r->has_id[id] = true;
    r->id[id] = value;
}

/* A name in an object: the one that the key asks for, that of an id, or another one. */
static void json_take_name(json_reader *r)
{
    json_scan *s = &r->scan;
    json_level *level = &r->level[s->depth];
    const char *left = r->key + level->path;
    size_t n = s->length;
    if (n > 0 && strlen(left) >= n && memcmp(left, s->token, n) == 0 && (left[n] == '\0' || left[n] == '.')) {
        if (level->found) text_fail(s->at, "the name '%s' stands there twice", quoted(left, left + n).text);
        level->found = true;
        r->path = level->path + n + (left[n] ? 1 : 0);
        return;
    }
    char letter = columns_id(s->token, s->token + n);
    json_event e = json_next(s);
    if (letter && (e == JSON_WORD || e == JSON_STRING)) json_take_id(r, letter, e);
    else json_skip(s, e);
}

static void json_end_level(json_reader *r)
{
    const json_level *level = &r->level[r->scan.depth + 1];
    size_t want = level->kind == JSON_DIMENSION ? r->want[level->dims] : 0;
    if (level->kind == JSON_MEMBERS && !level->found) json_fail_key(r, r->key + level->path);
    if (level->kind == JSON_PICKED && level->count <= level->pick)
        text_fail(r->scan.at, "--key: there is no item %zu here, but %zu of them", level->pick, level->count);
    if (level->kind != JSON_DIMENSION) return;
    if (level->count == 0) json_fail_missing(r, level);
    if (level->count < want)
        text_fail(r->scan.at, "only %zu %s; the %s above have %zu", level->count, json_items(r, level->dims),
                  json_items(r, level->dims - 1), want);
    r->want[level->dims] = level->count;
}

/* Goes to the next number of the record that is looked for; false at its end. */
static bool json_next_number(json_reader *r)
{
    json_event e;
    while ((e = json_next(&r->scan)) != JSON_END) {
        if (e == JSON_MISSING) json_fail_missing(r, &r->level[r->scan.depth]);
        else if (e == JSON_NAME) json_take_name(r);
        else if (e == JSON_ARRAY_END || e == JSON_OBJECT_END) json_end_level(r);
        else if (json_take_value(r, e)) return true;
    }
    return false;
}

/* The number at hand as a load. */
static float json_load(const json_reader *r)
{
    text_field field = {r->scan.token, r->scan.token + r->scan.length};
    float load = text_load(r->scan.at, &field);
    if (!json_has_number(field.begin, field.end))
        text_fail(r->scan.at, "'%s' is not a number in JSON", quoted(field.begin, field.end).text);
    return load;
}

/* The number at hand as the id of an expert that a token was routed to; -1: none. */
static int64_t json_id(const json_reader *r, int32_t num_experts)
{
    const char *begin = r->scan.token, *end = begin + r->scan.length;
    int64_t id = 0;
    const char *wrong = !json_has_number(begin, end) || !parse_integer(begin, end, &id) ? "is no id of an expert"
                                                                                        : id_wrong(id, num_experts);
    if (wrong) text_fail(r->scan.at, "'%s' %s", quoted(begin, end).text, wrong);
    return id;
}

/* ------------------------------------------------------------------------------------ records */

static void json_begin_record(json_reader *r, const json_record *at)
{
    json_go(&r->scan, at->place, at->line, at->line_place);
    memset(r->has_id, 0, sizeof r->has_id);
    memset(&r->level[0], 0, sizeof r->level[0]);
}

/* Takes the record that begins here: where it stands, what ids it has, and the shape of its array. */
static void json_add_record(json_reader *r)
{
    json_scan *s = &r->scan;
    json_record at = {s->place, s->line_place, s->line, {0, 0, 0}};
    size_t i = r->num_records, size = 0;
    text_place here = s->at;
    if (i == r->records_room) r->record = (json_record *)grow(r->record, &r->records_room, sizeof *r->record);
    r->record[r->num_records++] = at;
    json_begin(s);
    if (!r->key) json_find_only_key(r);
    json_begin_record(r, &at);
    while (json_next_number(r)) {
        int64_t id = r->routed ? json_id(r, r->how.num_experts) : -1;
        r->most_id = id > r->most_id ? id : r->most_id;
        size++;
        if (size % 4096 == 0) progress_show("reading byte", (size_t)s->place, (size_t)s->from.size);
    }
    for (int k = 0; k < JSON_NUM_IDS; k++) {
        r->record[i].id[k] = r->has_id[k] ? r->id[k] : 0;
        if (i > 0 && r->has_id[k] != r->by_id[k])
            text_fail(here, "this object has %s %s, unlike those before", r->by_id[k] ? "no" : "a", JSON_ID_NAME[k]);
        r->by_id[k] = r->has_id[k];
    }
    if (size == 0) text_fail(here, "no load in this value");
    r->record_size = size;
}

/* Whether there is another record; goes to it. */
static bool json_next_record(json_reader *r)
{
    json_scan *s = &r->scan;
    int c = json_peek(s);
    if (r->in_list && c < 0) text_fail(s->at, "the file ends within an array");
    if (r->in_list && c != ',' && c != ']') text_fail(s->at, "',' or ']' should stand here");
    if (r->in_list) {
        (void)source_get(&s->from);
        r->in_list = c == ',';
        c = json_peek(s);
        if (r->in_list && c != '{') text_fail(s->at, "an object should begin here, as before");
        if (!r->in_list && c >= 0) text_fail(s->at, "the file goes on after its array");
        return r->in_list;
    }
    if (c >= 0 && c != '[' && c != '{') text_fail(s->at, "the file goes on after its array");
    return c >= 0;
}

/* At the beginning of the file: whether it is an array of objects, which is then gone into. */
static bool json_begin_list(json_reader *r)
{
    json_scan *s = &r->scan;
    size_t index;
    const char *after;
    if (r->how.key && json_key_index(r->how.key, &index, &after)) return false;
    int c = json_peek(s);
    json_record begin = {s->place, s->line_place, s->line, {0, 0, 0}};
    if (c == '[') {
        (void)source_get(&s->from);
        if (json_peek(s) == '{') return true;
    }
    json_go(s, begin.place, begin.line, begin.line_place);
    (void)json_peek(s);
    return false;
}

static void json_read_records(json_reader *r)
{
    text_skip_mark(&r->scan.from);
    r->scan.line_place = source_at(&r->scan.from);
    r->scan.line = 1;
    r->in_list = json_begin_list(r);
    do json_add_record(r);
    while (json_next_record(r));
}

/* -------------------------------------------------------------------------------- ids of records */

static int json_compare_records(const void *left, const void *right)
{
    const json_record *a = (const json_record *)left, *b = (const json_record *)right;
    for (int k = 0; k < JSON_NUM_IDS; k++) {
        if (a->id[k] != b->id[k]) return a->id[k] < b->id[k] ? -1 : 1;
    }
    return a->place < b->place ? -1 : a->place > b->place;
}

/* How many records from the first on have its step, and its layer too when `layer`. */
static size_t json_count_alike(const json_reader *r, bool layer)
{
    const json_record *first = &r->record[0];
    size_t count = 1;
    while (count < r->num_records && first[count].id[JSON_STEP] == first->id[JSON_STEP]
           && (!layer || first[count].id[JSON_LAYER] == first->id[JSON_LAYER]))
        count++;
    return count;
}

static text_place json_place_of(const json_reader *r, const json_record *record)
{
    text_place at = {r->base.name, record->line, (size_t)(record->place - record->line_place) + 1};
    return at;
}

/* The ids of a record, for messages. */
static quote json_ids_of(const json_reader *r, const json_record *record)
{
    quote q = {""};
    size_t used = 0;
    for (int k = 0; k < JSON_NUM_IDS; k++) {
        if (r->by_id[k] && used < sizeof q.text)
            used += (size_t)snprintf(q.text + used, sizeof q.text - used, "%s%s %lld", used ? ", " : "",
                                     JSON_ID_NAME[k], (long long)record->id[k]);
    }
    return q;
}

/* Ends the program unless the records, in order of their ids, have each layer and rank in each step. */
static void json_check_ids(const json_reader *r)
{
    size_t per_step = r->per_step;
    bool alike = r->num_records % per_step == 0 && per_step % r->num_ranks == 0;
    for (size_t i = 1; i < r->num_records; i++) {
        const json_record *a = &r->record[i];
        if (memcmp(a->id, a[-1].id, sizeof a->id) == 0)
            text_fail(json_place_of(r, a), "%s is in line %zu already", json_ids_of(r, a).text, a[-1].line);
    }
    for (size_t i = 0; alike && i < r->num_records; i++) {
        const int64_t *id = r->record[i].id;
        alike = id[JSON_STEP] == r->record[i - i % per_step].id[JSON_STEP]
                && id[JSON_LAYER] == r->record[i % per_step - i % r->num_ranks].id[JSON_LAYER]
                && id[JSON_RANK] == r->record[i % r->num_ranks].id[JSON_RANK];
    }
    if (!alike)
        fail(STATUS_INPUT, "%s: the objects are not those of the same layers and ranks in each step", r->base.name);
}

/* Puts records in order of their ids. */
static void json_sort_records(json_reader *r)
{
    qsort(r->record, r->num_records, sizeof *r->record, json_compare_records);
    r->num_ranks = json_count_alike(r, true);
    r->per_step = json_count_alike(r, false);
    json_check_ids(r);
    size_t layers = r->per_step / r->num_ranks, steps = r->num_records / r->per_step;
    if (steps > INT32_MAX || layers > INT32_MAX)
        fail(STATUS_INPUT, "%s: more steps or layers than 2147483647", r->base.name);
    r->base.num_samples = (int32_t)steps;
    r->base.num_layers = (int32_t)layers;
}

/* The steps and layers that the ids of sorted records say. */
static void json_set_numbers(json_reader *r)
{
    size_t steps = (size_t)r->base.num_samples, layers = (size_t)r->base.num_layers;
    if (r->by_id[JSON_STEP]) r->base.step = (int64_t *)allocate(steps, sizeof *r->base.step);
    for (size_t t = 0; r->base.step && t < steps; t++) r->base.step[t] = r->record[t * r->per_step].id[JSON_STEP];
    if (r->by_id[JSON_LAYER]) r->base.layer = (int64_t *)allocate(layers, sizeof *r->base.layer);
    for (size_t l = 0; r->base.layer && l < layers; l++) r->base.layer[l] = r->record[l * r->num_ranks].id[JSON_LAYER];
}

/* -------------------------------------------------------------------------------------- shape */

typedef struct json_letters { /* of the axes, as --axes has them */
    char text[MAX_AXES + 2];
} json_letters;

static bool letters_have(const json_letters *l, char letter) { return strchr(l->text, letter) != NULL; }

static void letters_begin_with(json_letters *l, char letter)
{
    memmove(l->text + 1, l->text, strlen(l->text) + 1);
    l->text[0] = letter;
}

/* Those of a record's array, or one more for the records themselves; "" when --axes has to say. */
static json_letters json_letters_of(const json_reader *r)
{
    static const char *const BY_NUMBER[] = {"", "E", "LE", "TLE"};
    json_letters l = {""};
    if (r->how.axes) snprintf(l.text, sizeof l.text, "%s", r->how.axes);
    else if (r->num_dims <= 3) snprintf(l.text, sizeof l.text, "%s", BY_NUMBER[r->num_dims]);
    char *samples = strchr(l.text, 'T');
    if (samples && letters_have(&l, 'K') && !letters_have(&l, 'N')) *samples = 'N'; /* tokens */
    return l;
}

static axes json_axes(const json_reader *r, const json_letters *letters, const int64_t *dim, int num_dims)
{
    reading how = r->how;
    how.axes = *letters->text ? letters->text : NULL;
    return axes_of(r->base.name, &how, dim, num_dims, false);
}

/* Of records that have ids: an array of a layer or of a sample each. */
static void json_set_shape_by_ids(json_reader *r, const int64_t *dim)
{
    json_letters l = json_letters_of(r);
    for (int k = 0; k < JSON_NUM_IDS && r->how.axes; k++) { /* letters of the records themselves */
        if (r->by_id[k] && (int)strlen(l.text) > r->num_dims && l.text[0] == JSON_ID_LETTER[k])
            memmove(l.text, l.text + 1, strlen(l.text));
    }
    if (letters_have(&l, 'T') || (letters_have(&l, 'L') && r->by_id[JSON_LAYER]))
        fail(STATUS_INPUT,
             "%s: an array of %d dimensions beside the number of a %s: --axes should say what they "
             "are, without T%s",
             r->base.name, r->num_dims, JSON_ID_NAME[r->by_id[JSON_LAYER]], r->by_id[JSON_LAYER] ? " and L" : "");
    json_sort_records(r);
    r->shape = json_axes(r, &l, dim, r->num_dims);
    r->shape.num_samples = r->base.num_samples;
    if (r->by_id[JSON_LAYER]) r->shape.num_layers = r->base.num_layers;
    json_set_numbers(r);
}

/* Of records in their order, of which several are one more dimension, or the first one goes on in them. */
static void json_set_shape_in_order(json_reader *r, const int64_t *record_dim)
{
    json_letters l = json_letters_of(r);
    int dims = r->num_dims;
    int64_t dim[MAX_AXES], records = (int64_t)r->num_records;
    dim[0] = records;
    memcpy(dim + 1, record_dim, (size_t)dims * sizeof *dim);
    if (records == 1) {
        r->shape = json_axes(r, &l, record_dim, dims);
        return;
    }
    bool said = (int)strlen(l.text) > dims;
    if (!said && r->by_id[JSON_RANK] && letters_have(&l, 'G'))
        fail(STATUS_INPUT, "%s: an axis of GPUs beside the number of a rank", r->base.name);
    if (!said && r->by_id[JSON_RANK] && *l.text) {
        json_sort_records(r);
        r->num_ranks = 0;
        letters_begin_with(&l, 'G');
    } else if (!said && l.text[0] == 'T') {
        dim[1] *= records;
        r->shape = json_axes(r, &l, dim + 1, dims);
        return;
    } else if (!said && letters_have(&l, 'T')) {
        fail(STATUS_INPUT, "%s: of several arrays, T can only be the first axis, not as in --axes %s", r->base.name,
             r->how.axes);
    } else if (!said && *l.text) {
        letters_begin_with(&l, 'T');
    }
    r->shape = json_axes(r, &l, dim, dims + 1);
}

static void json_set_shape(json_reader *r)
{
    int64_t dim[JSON_MOST_DIMS];
    json_letters l = json_letters_of(r);
    for (int d = 0; d < r->num_dims; d++) dim[d] = (int64_t)r->want[d + 1];
    if (r->num_records == 1) { /* the number of one beside all of them says nothing */
        r->by_id[JSON_STEP] = r->by_id[JSON_STEP] && !letters_have(&l, 'T');
        r->by_id[JSON_LAYER] = r->by_id[JSON_LAYER] && !letters_have(&l, 'L');
    }
    if (r->by_id[JSON_STEP] || r->by_id[JSON_LAYER]) json_set_shape_by_ids(r, dim);
    else json_set_shape_in_order(r, dim);
    if (r->routed && r->most_id < 0 && !r->how.num_experts)
        fail(STATUS_INPUT, "%s: no token was routed to an expert: all ids are -1", r->base.name);
    if (r->routed) axes_set_width(&r->shape, r->how.num_experts ? r->how.num_experts : (int32_t)(r->most_id + 1));
}

/* ------------------------------------------------------------------------------------ samples */

/* Adds the number at hand to a sample. */
static void json_add_number(json_reader *r, int32_t sample, size_t place)
{
    if (!r->routed) {
        tally_add(&r->held, sample, place, (double)json_load(r));
        return;
    }
    int64_t id = json_id(r, r->base.width);
    if (id >= 0) tally_add(&r->held, sample, place + (size_t)id, 1);
}

/* Goes to the next number of all records. */
static void json_next_of_all(json_reader *r)
{
    if (r->next % r->record_size == 0) json_begin_record(r, &r->record[r->next / r->record_size]);
    if (!json_next_number(r)) fail(STATUS_INPUT, "%s: the file has changed while it was read", r->base.name);
    r->next++;
}

/* Goes through the numbers first .. end, and adds those of samples that are held. */
static void json_add_numbers(json_reader *r, size_t first, size_t end)
{
    size_t record = first / r->record_size;
    tally_run now = {0, 0, false, 0, 0};
    if (r->next > first || r->next / r->record_size != record) r->next = record * r->record_size;
    while (r->next < first) json_next_of_all(r);
    while (r->next < end) {
        if (now.length == 0) now = tally_next_run(&r->held, r->next);
        json_next_of_all(r);
        if (tally_holds(&r->held, now.sample)) json_add_number(r, now.sample, now.place);
        now.length--;
        now.place += now.stride;
        now.sample += now.along_samples;
    }
}

static void json_read_in_order(reader *base, int32_t sample, float *load)
{
    json_reader *r = (json_reader *)base;
    size_t size = axes_sample_count(&r->shape);
    size_t first = r->shape.in_order ? (size_t)sample * size : 0;
    if (tally_begin(&r->held, sample))
        json_add_numbers(r, first, r->shape.in_order ? first + size : axes_count(&r->shape));
    tally_give(&r->held, sample, load);
}

/* The sample is made of records, a layer each or all layers, of each rank. */
static void json_read_by_ids(reader *base, int32_t sample, float *load)
{
    json_reader *r = (json_reader *)base;
    bool begun = tally_begin(&r->held, sample);
    for (size_t i = 0; begun && i < r->per_step; i++) {
        size_t layer = r->by_id[JSON_LAYER] ? i / r->num_ranks : 0;
        tally_run now = {0, 0, false, 0, 0};
        json_begin_record(r, &r->record[(size_t)sample * r->per_step + i]);
        for (size_t n = 0; n < r->record_size; n++) {
            if (now.length == 0) now = tally_next_run(&r->held, n);
            if (!json_next_number(r)) fail(STATUS_INPUT, "%s: the file has changed while it was read", base->name);
            json_add_number(r, sample, layer * (size_t)base->width + now.place);
            now.length--;
            now.place += now.stride;
        }
    }
    tally_give(&r->held, sample, load);
}

static void json_close(reader *base)
{
    json_reader *r = (json_reader *)base;
    tally_close(&r->held);
    source_close(&r->scan.from);
    free(base->step);
    free(base->layer);
    free(r->record);
    free(r);
}

reader *json_open(source from, const reading *how)
{
    json_reader *r = (json_reader *)allocate(1, sizeof *r);
    r->scan.from = from;
    r->how = *how;
    r->key = how->key;
    r->routed = how->axes && strchr(how->axes, 'K');
    r->most_id = -1;
    r->base.name = from.name;
    json_read_records(r);
    json_set_shape(r);
    r->base.num_samples = r->shape.num_samples;
    r->base.num_layers = r->shape.num_layers;
    r->base.width = r->shape.width;
    r->base.by_slot = r->shape.by_slot;
    r->base.by_ids = r->routed && !how->num_experts;
    r->base.read = r->num_ranks ? json_read_by_ids : json_read_in_order;
    r->base.close = json_close;
    r->held = tally_open(from.name, &r->shape, how);
    return &r->base;
}
