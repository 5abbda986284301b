/* common.c - what every room needs: a line of progress on a terminal, the end of a wrong run, memory, and
   numbers. */
#include "cli.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ----------------------------------------------------------------------------------- progress */

#define PROGRESS_DELAY  1.0 /* seconds before the line first shows */
#define PROGRESS_PERIOD 0.1 /* seconds from one drawing of it to the next */
#define PROGRESS_WIDTH  60  /* columns cleared when it goes */

static double progress_due; /* when the line is drawn next; 0 before the first call */
static bool progress_on_screen;

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* One line on a terminal, redrawn in place, for work that takes longer than PROGRESS_DELAY. */
void progress_show(const char *what, size_t done, size_t total)
{
    double time = seconds_now();
    if (progress_due <= 0) progress_due = time + PROGRESS_DELAY;
    if (time < progress_due || !isatty(fileno(stderr))) return;
    fprintf(stderr, "\r%s %zu of %zu", what, done, total);
    fflush(stderr);
    progress_due = time + PROGRESS_PERIOD;
    progress_on_screen = true;
}

void progress_clear(void)
{
    if (progress_on_screen) fprintf(stderr, "\r%*s\r", PROGRESS_WIDTH, "");
    progress_on_screen = false;
}

/* ------------------------------------------------------------------------------------- errors */

/* The end of every wrong run: the rest of the line whose beginning, the place, is printed. */
void fail_rest(int status, const char *format, va_list args)
{
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(status);
}

void fail(int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "eplb: ");
    fail_rest(status, format, args);
    va_end(args);
}

void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fprintf(stderr, "eplb: note: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
}

/* ------------------------------------------------------------------------------------- memory */

void *allocate(size_t count, size_t item_bytes)
{
    void *block = calloc(count ? count : 1, item_bytes);
    if (!block) fail(STATUS_OUTPUT, "out of memory");
    return block;
}

/* Doubles a growing array; *room counts its items. */
void *grow(void *block, size_t *room, size_t item_bytes)
{
    size_t wider = *room < 64 ? 64 : *room * 2;
    if (wider < *room || wider > SIZE_MAX / item_bytes) fail(STATUS_OUTPUT, "out of memory");
    block = realloc(block, wider * item_bytes);
    if (!block) fail(STATUS_OUTPUT, "out of memory");
    *room = wider;
    return block;
}

/* -------------------------------------------------------------------------------------- names */

enum { NAME_BYTES = 24 }; /* longer words are near no name */

/* Letters to put in, take out or exchange until begin .. end is the name. */
static size_t distance_to(const char *begin, const char *end, const char *name)
{
    size_t n = (size_t)(end - begin), row[NAME_BYTES + 1];
    for (size_t i = 0; i <= n; i++) row[i] = i;
    for (size_t k = 0; name[k]; k++) {
        size_t corner = row[0]; /* of the row before */
        row[0] = k + 1;
        for (size_t i = 0; i < n; i++) {
            size_t change = corner + (begin[i] != name[k]);
            size_t one = (row[i] < row[i + 1] ? row[i] : row[i + 1]) + 1;
            corner = row[i + 1];
            row[i + 1] = change < one ? change : one;
        }
    }
    return row[n];
}

void take_nearest(nearest *found, const char *begin, const char *end, const char *name)
{
    size_t n = (size_t)(end - begin), most = n > 4 ? 2 : 1;
    if (n > NAME_BYTES) return;
    size_t away = distance_to(begin, end, name);
    if (away <= most && (!found->name || away < found->away)) {
        found->name = name;
        found->away = away;
    }
}

/* ------------------------------------------------------------------------------------ numbers */

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Decimal digits that fill begin .. end; false when they do not or the value leaves uint64. */
bool parse_digits(const char *begin, const char *end, uint64_t *value)
{
    uint64_t sum = 0;
    if (begin == end) return false;
    for (; begin < end; begin++) {
        if (!is_digit(*begin)) return false;
        uint64_t digit = (uint64_t)(*begin - '0');
        if (sum > (UINT64_MAX - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

/* The same with an optional sign, within -(2^63 - 1) .. 2^63 - 1. */
bool parse_integer(const char *begin, const char *end, int64_t *value)
{
    uint64_t magnitude;
    bool negative = begin < end && *begin == '-';
    if (begin < end && (*begin == '-' || *begin == '+')) begin++;
    if (!parse_digits(begin, end, &magnitude) || magnitude > INT64_MAX) return false;
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

bool multiply_fits(size_t a, size_t b, size_t *product)
{
    if (b && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}

int32_t find_number(const int64_t *number, int32_t count, int64_t wanted)
{
    int32_t low = 0, high = count - 1;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (number[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low == high && number[low] == wanted ? low : -1;
}

/* Runs of numbers that follow each other; when the room is used, dots stand for the rest. */
number_list list_numbers(const int64_t *number, int32_t count)
{
    enum { RUN_BYTES = 48 }; /* of two numbers, and what stands around them */
    number_list list;
    size_t n = 0;
    list.text[0] = '\0';
    for (int32_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && number[end] - 1 == number[end - 1];) end++;
        if (n + RUN_BYTES > sizeof list.text) {
            snprintf(list.text + n, sizeof list.text - n, ", ..");
            break;
        }
        n += (size_t)snprintf(list.text + n, RUN_BYTES, "%s%lld", begin ? ", " : "", (long long)number[begin]);
        if (end - begin > 1)
            n += (size_t)snprintf(list.text + n, sizeof list.text - n, "-%lld", (long long)number[end - 1]);
    }
    return list;
}

/* 0.5 ^ x for x >= 0, without libm: whole halvings, and the series of exp for what is left of x. */
double half_to_the(double x)
{
    static const double LN_2 = 0.69314718055994531;
    double halvings = 1, term = 1, series = 1;
    if (x > 1100) /* under the smallest double */
        return 0;
    int whole = (int)x;
    for (int n = 0; n < whole; n++) halvings *= 0.5;
    x -= whole;
    for (int n = 1; n <= 20; n++) { /* the next term is under 1e-22 */
        term *= -x * LN_2 / n;
        series += term;
    }
    return halvings * series;
}
