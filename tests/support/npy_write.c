/* npy_write.c - makes .npy files for test_cli.sh: rows of numbers between commas from standard input,
   NumPy's format on standard output.

   npy_write DESCR C|F MAJOR [SAMPLES]

   DESCR is a byte order (< > =) and a type (f4 f8 i4 i8), C or F the order of the indices, MAJOR the
   version of the format. The shape is (rows, columns), or with SAMPLES (samples, rows / samples,
   columns). Numbers go through double, and are not checked: wrong files are wanted too. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBERS = 1 << 20, MAX_LINE = 1 << 20 };

static double number[MAX_NUMBERS]; /* [samples, layers, experts] */
static char   line[MAX_LINE];

/* Fills number[] from standard input; returns the rows and sets the columns of the last one. */
static size_t read_rows(size_t *num_columns)
{
    size_t num_rows = 0, count = 0;
    while (fgets(line, sizeof line, stdin)) {
        size_t before = count;
        for (char *field = strtok(line, ",\n"); field && count < MAX_NUMBERS; field = strtok(NULL, ",\n"))
            number[count++] = strtod(field, NULL);
        *num_columns = count - before;
        num_rows++;
    }
    return num_rows;
}

static void write_bytes(uint64_t bits, int count, int big_endian)
{
    for (int i = 0; i < count; i++)
        putchar((int)(bits >> 8 * (big_endian ? count - 1 - i : i) & 255));
}

static void write_number(double value, const char *descr)
{
    const uint16_t one         = 1;
    int            big_machine = *(const unsigned char *)&one == 0;
    int            count       = descr[2] - '0';
    uint64_t       bits        = 0;
    if (descr[1] == 'i') {
        bits = (uint64_t)(int64_t)value;
    } else if (count == 8) {
        memcpy(&bits, &value, sizeof value);
    } else {
        float    single = (float)value;
        uint32_t low;
        memcpy(&low, &single, sizeof low);
        bits = low;
    }
    write_bytes(bits, count, descr[0] == '>' || (descr[0] == '=' && big_machine));
}

/* Version 1 gives the header's length in 2 bytes, later ones in 4; the data start at a multiple of 64. */
static void write_header(const char *descr, int fortran, int major, const char *shape)
{
    char   text[256];
    int    length_bytes = major == 1 ? 2 : 4;
    size_t used = (size_t)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }",
                                   descr, fortran ? "True" : "False", shape);
    size_t total = (8 + (size_t)length_bytes + used + 1 + 63) / 64 * 64;
    printf("\x93NUMPY%c%c", major, 0);
    write_bytes(total - 8 - (size_t)length_bytes, length_bytes, 0);
    printf("%-*s\n", (int)(total - 8 - (size_t)length_bytes - 1), text);
}

int main(int argc, char **argv)
{
    if (argc < 4 || strlen(argv[1]) != 3) {
        fprintf(stderr, "usage: npy_write DESCR C|F MAJOR [SAMPLES] < rows > file.npy\n");
        return 2;
    }
    int    fortran     = argv[2][0] == 'F';
    size_t num_samples = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;
    size_t num_columns = 0;
    size_t num_rows    = read_rows(&num_columns);
    size_t num_layers  = num_rows / (num_samples ? num_samples : 1);
    char   shape[64];
    if (argc > 4)
        snprintf(shape, sizeof shape, "(%zu, %zu, %zu)", num_samples, num_layers, num_columns);
    else
        snprintf(shape, sizeof shape, "(%zu, %zu)", num_layers, num_columns);
    write_header(argv[1], fortran, atoi(argv[3]), shape);
    for (size_t i = 0; i < num_rows * num_columns; i++) {
        size_t from = i;
        if (fortran) { /* i counts samples fastest, then layers, then experts */
            size_t sample = i % num_samples, layer = i / num_samples % num_layers;
            from = (sample * num_layers + layer) * num_columns + i / num_samples / num_layers;
        }
        write_number(number[from], argv[1]);
    }
    return fflush(stdout) != 0;
}
