/* npy_write.c - makes .npy files for the tests of the command line program: numbers between commas and ends of
   lines from standard input, NumPy's format on standard output.

   npy_write DESCR C|F MAJOR [SAMPLES | AxBx..]

   DESCR is a byte order (< > = |) and a type (f2 f4 f8 i1 .. i8 u1 .. u8), C or F the order of the indices,
   MAJOR the version of the format. The shape is (rows, columns), or with SAMPLES (samples, rows / samples,
   columns), or (A, B, ..), for which the numbers begin again where they are too few. They go through double,
   and are not checked: wrong files are wanted too. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBERS = 1 << 20, MAX_LINE = 1 << 20, MAX_DIMS = 10 };

static double number[MAX_NUMBERS]; /* the last index varies fastest */
static char line[MAX_LINE];

/* Fills number[] from standard input; returns how many there are, and sets rows and columns of the last one. */
static size_t read_rows(size_t *num_rows, size_t *num_columns)
{
    size_t count = 0;
    while (fgets(line, sizeof line, stdin)) {
        size_t before = count;
        for (char *field = strtok(line, ",\n"); field && count < MAX_NUMBERS; field = strtok(NULL, ",\n"))
            number[count++] = strtod(field, NULL);
        *num_columns = count - before;
        ++*num_rows;
    }
    return count;
}

static void write_bytes(uint64_t bits, int count, int big_endian)
{
    for (int i = 0; i < count; i++) putchar((int)(bits >> 8 * (big_endian ? count - 1 - i : i) & 255));
}

/* Half precision, of a number that it has: it is not rounded, but cut off. */
static uint64_t half_of(double value)
{
    float single = (float)value;
    uint32_t bits, exponent;
    memcpy(&bits, &single, sizeof bits);
    exponent = bits >> 23 & 255;
    if (exponent == 255) return (bits >> 16 & 0x8000) | 0x7C00 | (bits & 0x7FFFFF ? 1 : 0);
    if (exponent < 113) /* below 2^-14: a multiple of 2^-24 */
        return (bits >> 16 & 0x8000) | (uint64_t)(value < 0 ? -value * (1 << 24) : value * (1 << 24));
    return (bits >> 16 & 0x8000) | (exponent - 112) << 10 | (bits >> 13 & 0x3FF);
}

static void write_number(double value, const char *descr)
{
    const uint16_t one = 1;
    int big_machine = *(const unsigned char *)&one == 0;
    int count = descr[2] - '0';
    uint64_t bits = 0;
    if (descr[1] == 'u') {
        bits = (uint64_t)value;
    } else if (descr[1] == 'i') {
        bits = (uint64_t)(int64_t)value;
    } else if (count == 8) {
        memcpy(&bits, &value, sizeof value);
    } else if (count == 2) {
        bits = half_of(value);
    } else {
        float single = (float)value;
        uint32_t low;
        memcpy(&low, &single, sizeof low);
        bits = low;
    }
    write_bytes(bits, count, descr[0] == '>' || (descr[0] == '=' && big_machine));
}

/* Version 1 gives the header's length in 2 bytes, later ones in 4; the data start at a multiple of 64. */
static void write_header(const char *descr, int fortran, int major, const char *shape)
{
    char text[512];
    int length_bytes = major == 1 ? 2 : 4;
    size_t used = (size_t)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }", descr,
                                   fortran ? "True" : "False", shape);
    size_t total = (8 + (size_t)length_bytes + used + 1 + 63) / 64 * 64;
    printf("\x93NUMPY%c%c", major, 0);
    write_bytes(total - 8 - (size_t)length_bytes, length_bytes, 0);
    printf("%-*s\n", (int)(total - 8 - (size_t)length_bytes - 1), text);
}

/* The shape as a tuple; returns how many numbers it has. */
static size_t write_shape(char *text, size_t bytes, const size_t *dim, int num_dims)
{
    size_t count = 1, used = (size_t)snprintf(text, bytes, "(");
    for (int d = 0; d < num_dims; d++) {
        count *= dim[d];
        used += (size_t)snprintf(text + used, bytes - used, "%s%zu", d ? ", " : "", dim[d]);
    }
    snprintf(text + used, bytes - used, num_dims == 1 ? ",)" : ")");
    return count;
}

/* Where element i in the order of the file, whose first index varies fastest, is in number[]. */
static size_t from_fortran(size_t i, const size_t *dim, int num_dims)
{
    size_t from = 0, stride = 1;
    for (int d = 1; d < num_dims; d++) stride *= dim[d];
    for (int d = 0; d < num_dims; d++) {
        from += i % dim[d] * stride;
        i /= dim[d];
        stride /= d + 1 < num_dims ? dim[d + 1] : 1;
    }
    return from;
}

int main(int argc, char **argv)
{
    if (argc < 4 || strlen(argv[1]) != 3) {
        fprintf(stderr, "usage: npy_write DESCR C|F MAJOR [SAMPLES | AxBx..] < rows > file.npy\n");
        return 2;
    }
    size_t dim[MAX_DIMS], num_rows = 0, num_columns = 0;
    int fortran = argv[2][0] == 'F', num_dims = 0;
    size_t given = read_rows(&num_rows, &num_columns);
    char *text = argc > 4 ? argv[4] : NULL;
    while (text && *text && num_dims < MAX_DIMS) {
        dim[num_dims++] = strtoul(text, &text, 10);
        text += *text == 'x';
    }
    if (num_dims < 2 && !(argc > 4 && strchr(argv[4], 'x'))) {
        size_t samples = num_dims ? dim[0] : 1;
        num_dims = argc > 4 ? 3 : 2;
        dim[0] = samples;
        dim[num_dims - 2] = num_rows / (samples ? samples : 1);
        dim[num_dims - 1] = num_columns;
    }
    char shape[256];
    size_t count = write_shape(shape, sizeof shape, dim, num_dims);
    write_header(argv[1], fortran, atoi(argv[3]), shape);
    for (size_t i = 0; i < count; i++)
        write_number(number[(fortran ? from_fortran(i, dim, num_dims) : i) % given], argv[1]);
    return fflush(stdout) != 0;
}
