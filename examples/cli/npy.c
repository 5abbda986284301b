/* npy.c - the reader of NumPy's .npy: magic, version, the header's length, a Python dictionary, the data. The
   data are read sample by sample. Where a sample's numbers do not stand together, for the order of the indices
   or of the axes, as many samples as there is room for are read in one pass over the file, in runs of
   numbers of these samples. */
#include "cli.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char NPY_MAGIC[] = "\x93NUMPY";
enum {
    NPY_MAGIC_BYTES = 6,
    NPY_MOST_HEADER = 1 << 16, /* bytes: a dictionary of three keys needs some hundred */
    NPY_ITEMS = 1 << 10,       /* read at once */
    NPY_MOST_ITEM = 8,         /* bytes */
    NPY_WORD = 32
};

typedef struct npy_reader {
    reader base;
    source from;
    quote member;          /* its name in .npz, or "" */
    unsigned char *header; /* the file's bytes before the data */
    size_t at;             /* the byte looked at */
    size_t header_end;     /* also where the data starts */
    bool has_descr, has_order, has_shape;
    char kind; /* f, i or u */
    size_t item_bytes;
    bool big_endian;
    bool fortran; /* the first index varies fastest */
    int num_dims;
    int64_t dim[MAX_AXES];
    axes shape;
    size_t outer, inner; /* runs of each sample, and elements in one of them */
    tally held;
} npy_reader;

static void npy_fail(const npy_reader *r, uint64_t place, const char *format, ...) ENDS_PROGRAM(3, 4);
static void npy_fail(const npy_reader *r, uint64_t place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s: %s%sbyte %llu: ", r->from.name, r->member.text, *r->member.text ? ": " : "",
            (unsigned long long)place);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------------------------- header */

/* Reads the header, and leaves `at` at its text and header_end after it. */
static void npy_read_preamble(npy_reader *r)
{
    unsigned char start[NPY_MAGIC_BYTES + 6] = {0};
    uint64_t size = r->from.size;
    size_t given = source_read(&r->from, start, sizeof start);
    if (memcmp(start, NPY_MAGIC, NPY_MAGIC_BYTES) != 0)
        npy_fail(r, 0, "the file starts like .npy, but not with all of its magic");
    if (given < NPY_MAGIC_BYTES + 4) npy_fail(r, size, "the file ends within the header");
    unsigned major = start[6], minor = start[7];
    if (major < 1 || major > 3 || minor != 0)
        npy_fail(r, 6, "version %u.%u of the format is not 1.0, 2.0 or 3.0", major, minor);
    size_t length_bytes = major == 1 ? 2 : 4, length = 0;
    r->at = NPY_MAGIC_BYTES + 2 + length_bytes;
    if (size < r->at) npy_fail(r, size, "the file ends within the header");
    for (size_t i = length_bytes; i-- > 0;) length = length << 8 | start[NPY_MAGIC_BYTES + 2 + i];
    if (length > size - r->at)
        npy_fail(r, NPY_MAGIC_BYTES + 2, "a header of %zu bytes, but the file ends %llu bytes on", length,
                 (unsigned long long)(size - r->at));
    if (length > NPY_MOST_HEADER)
        npy_fail(r, NPY_MAGIC_BYTES + 2, "a header of %zu bytes is more than an array of numbers has", length);
    r->header_end = r->at + length;
    r->header = (unsigned char *)allocate(r->header_end, 1);
    source_seek(&r->from, 0);
    (void)source_read(&r->from, r->header, r->header_end);
}

/* The next character of the dictionary that is not blank; 0 at its end. */
static char npy_peek(npy_reader *r)
{
    while (r->at < r->header_end && is_space((char)r->header[r->at])) r->at++;
    return r->at < r->header_end ? (char)r->header[r->at] : '\0';
}

static bool npy_accept(npy_reader *r, char c)
{
    if (npy_peek(r) != c || c == '\0') return false;
    r->at++;
    return true;
}

static void npy_expect(npy_reader *r, char c)
{
    if (!npy_accept(r, c)) npy_fail(r, r->at, "the header should have '%c' here", c);
}

/* A quoted word; a longer one than fits fails. */
static void npy_read_word(npy_reader *r, char word[NPY_WORD])
{
    char mark = npy_peek(r);
    size_t n = 0;
    if (mark != '\'' && mark != '"') npy_fail(r, r->at, "the header should have a quoted word here");
    for (r->at++; r->at < r->header_end && (char)r->header[r->at] != mark; r->at++) {
        if (n == NPY_WORD - 1) npy_fail(r, r->at, "a word in the header is too long");
        word[n++] = (char)r->header[r->at];
    }
    word[n] = '\0';
    npy_expect(r, mark);
}

/* A type, as in '<f4', is a byte order, a kind and a number of bytes. */
static void npy_read_descr(npy_reader *r)
{
    const uint16_t one = 1;
    bool big_machine = *(const unsigned char *)&one == 0;
    char word[NPY_WORD] = "";
    char first = npy_peek(r);
    size_t begin = r->at;
    if (first == '[' || first == '(')
        npy_fail(r, begin,
                 "records cannot be read: save one of their fields, as in numpy.save('loads.npy', "
                 "a['load'])");
    npy_read_word(r, word);
    quote shown = quoted(word, word + strlen(word));
    bool sized = strlen(word) == 3 && strchr("1248", word[2]);
    if (word[0] && word[1] == 'b') npy_fail(r, begin, "true and false, type '%s', are no loads", shown.text);
    if (word[0] && word[1] == 'O')
        npy_fail(r, begin,
                 "objects of Python, type '%s', cannot be read: the array should be made of numbers, "
                 "all of its rows of one length",
                 shown.text);
    if (!sized || !strchr("fiu", word[1]) || (word[1] == 'f' && word[2] == '1'))
        npy_fail(r, begin,
                 "numbers of type '%s' cannot be read: only u1, u2, u4, u8, i1, i2, i4, i8, f2, f4 "
                 "and f8; a.astype('f4') makes such",
                 shown.text);
    if (!strchr("<>=", word[0]) && (word[2] != '1' || word[0] != '|'))
        npy_fail(r, begin, "type '%s' gives no byte order: <, > or = should stand before it", shown.text);
    r->big_endian = word[0] == '>' || (word[0] == '=' && big_machine);
    r->kind = word[1];
    r->item_bytes = (size_t)(word[2] - '0');
}

static void npy_read_order(npy_reader *r)
{
    (void)npy_peek(r);
    const unsigned char *text = r->header + r->at;
    size_t room = r->header_end - r->at;
    if (room >= 4 && memcmp(text, "True", 4) == 0) r->fortran = true;
    else if (room < 5 || memcmp(text, "False", 5) != 0) npy_fail(r, r->at, "fortran_order should be True or False");
    r->at += r->fortran ? 4 : 5;
}

static void npy_read_shape(npy_reader *r)
{
    (void)npy_peek(r);
    size_t begin = r->at;
    npy_expect(r, '(');
    while (!npy_accept(r, ')')) {
        (void)npy_peek(r);
        size_t digits = r->at;
        int64_t dim = 0;
        while (r->at < r->header_end && is_digit((char)r->header[r->at])) r->at++;
        const char *text = (const char *)r->header;
        if (!parse_integer(text + digits, text + r->at, &dim) || dim < 1 || dim > INT32_MAX)
            npy_fail(r, digits, "a dimension should be a whole number from 1 to 2147483647");
        if (r->num_dims == MAX_AXES) npy_fail(r, begin, "the shape has more than %d dimensions", MAX_AXES);
        r->dim[r->num_dims++] = dim;
        if (!npy_accept(r, ',')) {
            npy_expect(r, ')');
            break;
        }
    }
    if (r->num_dims == 0) npy_fail(r, begin, "the array is a single number, without a dimension");
}

static void npy_read_dictionary(npy_reader *r)
{
    npy_expect(r, '{');
    while (!npy_accept(r, '}')) {
        char key[NPY_WORD];
        (void)npy_peek(r);
        size_t begin = r->at;
        npy_read_word(r, key);
        npy_expect(r, ':');
        bool *seen = strcmp(key, "descr") == 0           ? &r->has_descr
                     : strcmp(key, "fortran_order") == 0 ? &r->has_order
                     : strcmp(key, "shape") == 0         ? &r->has_shape
                                                         : NULL;
        if (!seen || *seen)
            npy_fail(r, begin, "the header has '%s' %s", quoted(key, key + strlen(key)).text,
                     seen ? "twice" : "as a key, which the format does not");
        *seen = true;
        if (seen == &r->has_descr) npy_read_descr(r);
        else if (seen == &r->has_order) npy_read_order(r);
        else npy_read_shape(r);
        if (!npy_accept(r, ',')) {
            npy_expect(r, '}');
            break;
        }
    }
    if (npy_peek(r) != '\0' || r->at != r->header_end) npy_fail(r, r->at, "the header goes on after its dictionary");
    if (!r->has_descr || !r->has_order || !r->has_shape)
        npy_fail(r, r->at, "the header has no %s", !r->has_descr ? "descr" : !r->has_order ? "fortran_order" : "shape");
}

/* ------------------------------------------------------------------------------------ numbers */

/* Ends the program for an element, by its indices in the array as it was. */
static void npy_fail_element(const npy_reader *r, size_t element, const char *value, const char *wrong)
{
    char text[MAX_AXES * 24] = "";
    int64_t index[MAX_AXES];
    axes_index(&r->shape, element, index);
    for (int d = 0, n = 0; d < r->num_dims; d++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld", d ? ", " : "", (long long)index[d]);
    npy_fail(r, r->header_end + (uint64_t)element * r->item_bytes, "element [%s]%s %s", text, value, wrong);
}

static uint64_t npy_bits(const npy_reader *r, const unsigned char *item)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < r->item_bytes; i++) bits = bits << 8 | item[r->big_endian ? i : r->item_bytes - 1 - i];
    return bits;
}

/* A whole number with a sign of 1, 2, 4 or 8 bytes. */
static int64_t npy_signed(const npy_reader *r, uint64_t bits)
{
    uint64_t sign = (uint64_t)1 << (8 * r->item_bytes - 1) % 64;
    return bits & sign ? -(int64_t)((sign - 1) & ~bits) - 1 : (int64_t)bits;
}

/* Of float16, 1 bit of sign, 5 of exponent, 10 of fraction, which float32 has more of. */
static double npy_half(uint64_t bits)
{
    static const double UNIT = 1.0 / (1 << 24); /* of numbers with the least exponent */
    uint32_t low = (uint32_t)bits, exponent = low >> 10 & 31, fraction = low & 1023;
    uint32_t wide = (exponent == 31 ? 255 : exponent + 127 - 15) << 23 | fraction << 13;
    float single;
    memcpy(&single, &wide, sizeof single);
    double value = exponent ? (double)single : fraction * UNIT;
    return low >> 15 ? -value : value;
}

static double npy_real(const npy_reader *r, uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float single;
    double real;
    memcpy(&single, &low, sizeof single);
    memcpy(&real, &bits, sizeof real);
    return r->item_bytes == 2 ? npy_half(bits) : r->item_bytes == 4 ? (double)single : real;
}

/* A number as a load; returns what is wrong with it, or NULL. */
static const char *npy_load(const npy_reader *r, const unsigned char *item, float *load)
{
    uint64_t bits = npy_bits(r, item);
    if (r->kind != 'f') { /* from an integer to float32 at once, so that it is rounded once */
        *load = r->kind == 'u' ? (float)bits : (float)npy_signed(r, bits);
        return *load < 0 ? "is negative" : NULL;
    }
    double real = npy_real(r, bits);
    if (isnan(real)) return "is not a number";
    if (isinf(real)) return "is infinite";
    if (real < 0) return "is negative";
    if (real > (double)FLT_MAX) return "is beyond the range of float32";
    *load = (float)real;
    return NULL;
}

/* The id of the expert that a token was routed to; -1: none. */
static int64_t npy_id(const npy_reader *r, const unsigned char *item, size_t element, int32_t num_experts)
{
    uint64_t bits = npy_bits(r, item);
    int64_t id = r->kind == 'u' ? (int64_t)(bits < INT64_MAX ? bits : INT64_MAX) : npy_signed(r, bits);
    const char *wrong = id_wrong(id, num_experts);
    char value[32];
    snprintf(value, sizeof value, ", %lld,", (long long)id);
    if (wrong) npy_fail_element(r, element, value, wrong);
    return id;
}

/* ------------------------------------------------------------------------------------ samples */

/* The next items of the file, from an element on; returns how many. */
static size_t npy_items(npy_reader *r, unsigned char *items, size_t wanted)
{
    size_t count = wanted < NPY_ITEMS ? wanted : NPY_ITEMS;
    if (source_read(&r->from, items, count * r->item_bytes) != count * r->item_bytes)
        npy_fail(r, r->from.size, "the file ends within the data"); /* its size has been checked */
    return count;
}

/* Adds a number to the sample it is of. */
static void npy_add(npy_reader *r, const unsigned char *item, size_t element, int32_t sample, size_t place)
{
    if (r->shape.routed) {
        int64_t id = npy_id(r, item, element, r->base.width);
        if (id >= 0) tally_add(&r->held, sample, place + (size_t)id, 1);
        return;
    }
    float load = 0;
    const char *wrong = npy_load(r, item, &load);
    if (wrong) npy_fail_element(r, element, "", wrong);
    tally_add(&r->held, sample, place, (double)load);
}

/* Adds elements that follow each other, all of samples that are held. */
static void npy_add_elements(npy_reader *r, size_t element, size_t count)
{
    unsigned char items[NPY_ITEMS * NPY_MOST_ITEM];
    source_seek(&r->from, r->header_end + (uint64_t)element * r->item_bytes);
    while (count > 0) {
        size_t got = npy_items(r, items, count), done = 0;
        while (done < got) {
            tally_run next = tally_next_run(&r->held, element + done);
            size_t n = next.length < got - done ? next.length : got - done;
            for (size_t i = 0; i < n; i++)
                npy_add(r, items + (done + i) * r->item_bytes, element + done + i,
                        next.sample + (next.along_samples ? (int32_t)i : 0), next.place + i * next.stride);
            done += n;
        }
        element += got;
        count -= got;
    }
}

static void npy_read(reader *base, int32_t sample, float *load)
{
    npy_reader *r = (npy_reader *)base;
    if (tally_begin(&r->held, sample)) {
        size_t samples = (size_t)base->num_samples, count = (size_t)r->held.count;
        for (size_t i = 0; i < r->outer; i++)
            npy_add_elements(r, (i * samples + (size_t)sample) * r->inner, count * r->inner);
    }
    tally_give(&r->held, sample, load);
}

static void npy_close(reader *base)
{
    npy_reader *r = (npy_reader *)base;
    tally_close(&r->held);
    source_close(&r->from);
    free(r->header);
    free(r);
}

/* ------------------------------------------------------------------------------------ opening */

/* Ends the program unless the file has the bytes of the data and no more. */
static void npy_check_size(const npy_reader *r)
{
    size_t bytes;
    uint64_t given = r->from.size - r->header_end;
    if (!multiply_fits(axes_count(&r->shape), r->item_bytes, &bytes) || bytes > SIZE_MAX - r->header_end)
        npy_fail(r, r->header_end, "the shape needs more bytes than can be counted");
    if (given != bytes)
        npy_fail(r, given < bytes ? r->from.size : r->header_end + bytes,
                 "the data should end at byte %zu, but the file %s", r->header_end + bytes,
                 given < bytes ? "ends here" : "goes on");
}

/* Looks through all ids for the largest one. */
static int32_t npy_count_experts(npy_reader *r)
{
    unsigned char items[NPY_ITEMS * NPY_MOST_ITEM];
    int64_t most = -1;
    size_t count = axes_count(&r->shape);
    source_seek(&r->from, r->header_end);
    for (size_t element = 0, got; element < count; element += got) {
        got = npy_items(r, items, count - element);
        for (size_t i = 0; i < got; i++) {
            int64_t id = npy_id(r, items + i * r->item_bytes, element + i, 0);
            most = id > most ? id : most;
        }
        progress_show("looking at id", element, count);
    }
    if (most < 0) npy_fail(r, r->header_end, "no token was routed to an expert: all ids are -1");
    return (int32_t)(most + 1);
}

/* A sample is in `outer` runs of `inner` elements each, by what varies slower than samples, and faster. */
static void npy_set_runs(npy_reader *r)
{
    const axes *a = &r->shape;
    r->outer = 1;
    r->inner = axes_count(a);
    for (int i = 0; a->sample_axis >= 0 && i < a->num_dims; i++) {
        int d = a->fortran ? a->num_dims - 1 - i : i;
        r->inner /= (size_t)a->dim[d];
        if (d == a->sample_axis) break;
        r->outer *= (size_t)a->dim[d];
    }
}

/* A reader that has read the header. */
static npy_reader *npy_begin(source from, const char *member)
{
    npy_reader *r = (npy_reader *)allocate(1, sizeof *r);
    r->from = from;
    r->member = quoted(member, member + strlen(member));
    npy_read_preamble(r);
    npy_read_dictionary(r);
    return r;
}

reader *npy_open_member(source from, const char *member, const reading *how)
{
    npy_reader *r = npy_begin(from, member);
    r->shape = axes_of(from.name, how, r->dim, r->num_dims, r->fortran);
    npy_check_size(r);
    npy_set_runs(r);
    if (r->shape.routed && r->kind == 'f')
        npy_fail(r, 0, "ids of experts should be of an integer type, not of f%zu", r->item_bytes);
    if (r->shape.routed) axes_set_width(&r->shape, how->num_experts ? how->num_experts : npy_count_experts(r));
    r->base.name = from.name;
    r->base.num_samples = r->shape.num_samples;
    r->base.num_layers = r->shape.num_layers;
    r->base.width = r->shape.width;
    r->base.by_slot = r->shape.by_slot;
    r->base.by_ids = r->shape.routed && !how->num_experts;
    r->base.read = npy_read;
    r->base.close = npy_close;
    r->held = tally_open(from.name, &r->shape, how);
    return &r->base;
}

reader *npy_open(source from, const reading *how)
{
    if (how->key)
        fail(STATUS_INPUT, "%s: --key %s, but .npy has one array, without a name", from.name,
             quoted(how->key, how->key + strlen(how->key)).text);
    return npy_open_member(from, "", how);
}

/* Experts of a layer's slots as arrays of loads have its loads: a step is to a plan what a sample is to loads. */
plan_map npy_map(source from)
{
    unsigned char items[NPY_ITEMS * NPY_MOST_ITEM];
    reading how;
    plan_map m;
    npy_reader *r = npy_begin(from, "");
    memset(&how, 0, sizeof how);
    memset(&m, 0, sizeof m);
    if (r->kind == 'f') npy_fail(r, 0, "experts should be of an integer type, not of f%zu", r->item_bytes);
    if (r->num_dims < 1 || r->num_dims > 3)
        npy_fail(r, 0, "%d dimensions: a plan is [layers, slots], [slots], or [steps, layers, slots]", r->num_dims);
    r->shape = axes_of(from.name, &how, r->dim, r->num_dims, r->fortran);
    npy_check_size(r);
    size_t count = axes_count(&r->shape), size = axes_sample_count(&r->shape);
    m.name = from.name;
    m.num_steps = r->shape.num_samples;
    m.num_layers = r->shape.num_layers;
    m.num_replicas = r->shape.width;
    m.phy2log = (int32_t *)allocate(count, sizeof(int32_t));
    for (size_t element = 0, got; element < count; element += got) {
        got = npy_items(r, items, count - element);
        for (size_t i = 0; i < got; i++) {
            int64_t index[MAX_AXES];
            axes_index(&r->shape, element + i, index);
            m.phy2log[(size_t)axes_sample(&r->shape, index) * size + axes_place(&r->shape, index)] =
                (int32_t)npy_id(r, items + i * r->item_bytes, element + i, 0);
        }
    }
    source_close(&r->from);
    free(r->header);
    free(r);
    return m;
}

/* What stands before the data: magic, version 1.0, and a dictionary that ends at a multiple of 64 bytes. */
void npy_write_header(FILE *out, const char *descr, const int64_t *dim, int num_dims)
{
    enum { BLOCK = 64, BEFORE = NPY_MAGIC_BYTES + 4 };
    char text[192 + MAX_AXES * 24];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int d = 0; d < num_dims; d++) n += snprintf(text + n, sizeof text - (size_t)n, "%lld, ", (long long)dim[d]);
    n += snprintf(text + n, sizeof text - (size_t)n, "), }");
    int total = (BEFORE + n + BLOCK) / BLOCK * BLOCK; /* with an end of line */
    fwrite(NPY_MAGIC, 1, NPY_MAGIC_BYTES, out);
    fprintf(out, "%c%c%c%c%s%*s\n", 1, 0, (total - BEFORE) & 255, (total - BEFORE) >> 8, text, total - BEFORE - n - 1,
            "");
}

/* The lowest byte first. */
void npy_write_item(FILE *out, uint32_t bits)
{
    for (int i = 0; i < 4; i++) putc((int)(bits >> 8 * i & 255), out);
}

void npy_write_plan(FILE *out, const plan_map *m)
{
    int64_t dim[3] = {m->num_steps, m->num_layers, m->num_replicas};
    bool steps = m->num_steps > 1;
    npy_write_header(out, "<i4", steps ? dim : dim + 1, steps ? 3 : 2);
    for (size_t i = 0; i < (size_t)m->num_steps * (size_t)m->num_layers * (size_t)m->num_replicas; i++)
        npy_write_item(out, (uint32_t)m->phy2log[i]);
}

bool npy_begins(source *from) { return source_peek(from) == (unsigned char)NPY_MAGIC[0]; }
