/* npy.c - the reader of NumPy's .npy: magic, version, the header's length, a Python dictionary, the data. */
#include "cli.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char NPY_MAGIC[] = "\x93NUMPY";
enum { NPY_MAGIC_BYTES = 6 };

typedef struct npy_reader {
    const whole_file *from;
    size_t        at;         /* the byte looked at */
    size_t        header_end; /* also where the data starts */
    bool          has_descr, has_order, has_shape;
    char          kind;       /* f or i */
    size_t        item_bytes; /* 4 or 8 */
    bool          big_endian;
    bool          fortran;    /* the first index varies fastest */
    size_t        num_dims;
    int64_t       dim[MAX_DIMS];
} npy_reader;

static void npy_fail(const npy_reader *r, size_t offset, const char *format, ...) ENDS_PROGRAM(3, 4);
static void npy_fail(const npy_reader *r, size_t offset, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "%s: byte %zu: ", r->from->name, offset);
    fail_rest(STATUS_INPUT, format, args);
    va_end(args);
}

static unsigned npy_byte(const npy_reader *r, size_t offset)
{
    return (unsigned char)r->from->bytes[offset];
}

/* Leaves `at` at the header's text and header_end after it. */
static void npy_read_preamble(npy_reader *r)
{
    if (strncmp(r->from->bytes, NPY_MAGIC, NPY_MAGIC_BYTES) != 0) /* no further than the 0 after the bytes */
        npy_fail(r, 0, "the file starts like .npy, but not with all of its magic");
    if (r->from->size < NPY_MAGIC_BYTES + 4)
        npy_fail(r, r->from->size, "the file ends within the header");
    unsigned major = npy_byte(r, 6), minor = npy_byte(r, 7);
    if (major < 1 || major > 3 || minor != 0)
        npy_fail(r, 6, "version %u.%u of the format is not 1.0, 2.0 or 3.0", major, minor);
    size_t length_bytes = major == 1 ? 2 : 4, length = 0;
    r->at               = NPY_MAGIC_BYTES + 2 + length_bytes;
    if (r->from->size < r->at)
        npy_fail(r, r->from->size, "the file ends within the header");
    for (size_t i = length_bytes; i-- > 0;)
        length = length << 8 | npy_byte(r, NPY_MAGIC_BYTES + 2 + i);
    if (length > r->from->size - r->at)
        npy_fail(r, NPY_MAGIC_BYTES + 2, "a header of %zu bytes, but the file ends %zu bytes on", length,
                 r->from->size - r->at);
    r->header_end = r->at + length;
}

/* The next character of the dictionary that is not blank; 0 at its end. */
static char npy_peek(npy_reader *r)
{
    while (r->at < r->header_end && is_space(r->from->bytes[r->at]))
        r->at++;
    return r->at < r->header_end ? r->from->bytes[r->at] : '\0';
}

static bool npy_accept(npy_reader *r, char c)
{
    if (npy_peek(r) != c || c == '\0')
        return false;
    r->at++;
    return true;
}

static void npy_expect(npy_reader *r, char c)
{
    if (!npy_accept(r, c))
        npy_fail(r, r->at, "the header should have '%c' here", c);
}

/* A quoted word of at most 15 characters. */
static void npy_read_word(npy_reader *r, char word[16])
{
    char   mark = npy_peek(r);
    size_t n    = 0;
    if (mark != '\'' && mark != '"')
        npy_fail(r, r->at, "the header should have a quoted word here");
    for (r->at++; r->at < r->header_end && r->from->bytes[r->at] != mark; r->at++) {
        if (n == 15)
            npy_fail(r, r->at, "a word in the header is too long");
        word[n++] = r->from->bytes[r->at];
    }
    word[n] = '\0';
    npy_expect(r, mark);
}

static void npy_read_descr(npy_reader *r)
{
    const uint16_t one         = 1;
    bool           big_machine = *(const unsigned char *)&one == 0;
    char           word[16] = "";
    (void)npy_peek(r);
    size_t begin = r->at;
    npy_read_word(r, word);
    quote shown = quoted(word, word + strlen(word));
    if (strlen(word) != 3 || (word[1] != 'f' && word[1] != 'i') || (word[2] != '4' && word[2] != '8'))
        npy_fail(r, begin, "numbers of type '%s' cannot be read: only f4, f8, i4 and i8", shown.text);
    if (word[0] != '<' && word[0] != '>' && word[0] != '=')
        npy_fail(r, begin, "type '%s' gives no byte order: <, > or = should stand before it", shown.text);
    r->big_endian = word[0] == '>' || (word[0] == '=' && big_machine);
    r->kind       = word[1];
    r->item_bytes = (size_t)(word[2] - '0');
}

static void npy_read_order(npy_reader *r)
{
    (void)npy_peek(r);
    const char *text = r->from->bytes + r->at;
    size_t      room = r->header_end - r->at;
    if (room >= 4 && memcmp(text, "True", 4) == 0)
        r->fortran = true;
    else if (room < 5 || memcmp(text, "False", 5) != 0)
        npy_fail(r, r->at, "fortran_order should be True or False");
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
        while (r->at < r->header_end && is_digit(r->from->bytes[r->at]))
            r->at++;
        int64_t dim = 0;
        if (!parse_integer(r->from->bytes + digits, r->from->bytes + r->at, &dim) || dim < 1 ||
            dim > INT32_MAX)
            npy_fail(r, digits, "a dimension should be a whole number from 1 to 2147483647");
        if (r->num_dims == MAX_DIMS)
            npy_fail(r, begin, "the shape should be [L, E] or [T, L, E], not of more dimensions");
        r->dim[r->num_dims++] = dim;
        if (!npy_accept(r, ',')) {
            npy_expect(r, ')');
            break;
        }
    }
    if (r->num_dims < MIN_DIMS)
        npy_fail(r, begin, "the shape should be [L, E] or [T, L, E], not of %zu dimensions", r->num_dims);
}

static void npy_read_dictionary(npy_reader *r)
{
    npy_expect(r, '{');
    while (!npy_accept(r, '}')) {
        char key[16];
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
        if (seen == &r->has_descr)
            npy_read_descr(r);
        else if (seen == &r->has_order)
            npy_read_order(r);
        else
            npy_read_shape(r);
        if (!npy_accept(r, ',')) {
            npy_expect(r, '}');
            break;
        }
    }
    if (npy_peek(r) != '\0' || r->at != r->header_end)
        npy_fail(r, r->at, "the header goes on after its dictionary");
    if (!r->has_descr || !r->has_order || !r->has_shape)
        npy_fail(r, r->at, "the header has no %s",
                 !r->has_descr ? "descr" : !r->has_order ? "fortran_order" : "shape");
}

/* The number at an offset as a load; returns what is wrong with it, or NULL. */
static const char *npy_load(const npy_reader *r, size_t offset, float *load)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < r->item_bytes; i++)
        bits = bits << 8 | npy_byte(r, offset + (r->big_endian ? i : r->item_bytes - 1 - i));
    uint32_t low = (uint32_t)bits;
    if (r->kind == 'i') {
        int64_t whole;
        int32_t narrow;
        memcpy(&whole, &bits, sizeof whole);
        memcpy(&narrow, &low, sizeof narrow);
        whole = r->item_bytes == 4 ? narrow : whole;
        *load = (float)whole;
        return whole < 0 ? "is negative" : NULL;
    }
    float  single;
    double real;
    memcpy(&single, &low, sizeof single);
    memcpy(&real, &bits, sizeof real);
    real = r->item_bytes == 4 ? (double)single : real;
    if (isnan(real))
        return "is not a number";
    if (isinf(real))
        return "is infinite";
    if (real < 0)
        return "is negative";
    if (real > (double)FLT_MAX)
        return "is beyond the range of float32";
    *load = (float)real;
    return NULL;
}

/* The data in the order of the file; each number goes to its place in [T, L, E]. */
static loads npy_read_data(const npy_reader *r)
{
    bool   has_samples = r->num_dims == 3;
    size_t num_samples = has_samples ? (size_t)r->dim[0] : 1;
    size_t num_layers  = (size_t)r->dim[has_samples ? 1 : 0];
    size_t num_experts = (size_t)r->dim[has_samples ? 2 : 1];
    size_t count, bytes, given = r->from->size - r->header_end;
    if (!multiply_fits(num_samples, num_layers, &count) || !multiply_fits(count, num_experts, &count) ||
        !multiply_fits(count, r->item_bytes, &bytes))
        npy_fail(r, r->header_end, "the shape needs more bytes than can be counted");
    if (given != bytes)
        npy_fail(r, given < bytes ? r->from->size : r->header_end + bytes,
                 "the data should end at byte %zu, but the file %s", r->header_end + bytes,
                 given < bytes ? "ends here" : "goes on");

    loads table  = {(int32_t)num_samples, (int32_t)num_layers, (int32_t)num_experts, NULL, NULL, NULL};
    table.weight = (float *)allocate(count, sizeof(float));
    for (size_t i = 0; i < count; i++) {
        size_t sample = r->fortran ? i % num_samples : i / num_experts / num_layers;
        size_t layer  = r->fortran ? i / num_samples % num_layers : i / num_experts % num_layers;
        size_t expert = r->fortran ? i / num_samples / num_layers : i % num_experts;
        float *load   = &table.weight[(sample * num_layers + layer) * num_experts + expert];
        size_t offset = r->header_end + i * r->item_bytes;
        const char *wrong = npy_load(r, offset, load);
        if (wrong)
            free(table.weight);
        if (wrong && has_samples)
            npy_fail(r, offset, "element [%zu, %zu, %zu] %s", sample, layer, expert, wrong);
        if (wrong)
            npy_fail(r, offset, "element [%zu, %zu] %s", layer, expert, wrong);
        if (expert == 0)
            progress_show("reading number", i, count);
    }
    return table;
}

bool npy_begins(source *from)
{
    return source_peek(from) == (unsigned char)NPY_MAGIC[0];
}

static loads read_npy(const whole_file *from)
{
    npy_reader r;
    memset(&r, 0, sizeof r);
    r.from = from;
    npy_read_preamble(&r);
    npy_read_dictionary(&r);
    return npy_read_data(&r);
}

reader *npy_open(source from, const reading *how)
{
    whole_file all = source_whole(&from);
    source_close(&from);
    (void)how;
    loads table = read_npy(&all);
    free(all.bytes);
    return held_table(all.name, table);
}
