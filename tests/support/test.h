/* test.h - checks and counting for the tests. A test program calls CHECK for each thing it holds,
   and returns test_report("name") from main: it prints "name: N passed, N failed" and gives the
   exit status. Only the first failures are printed, each with what CHECK was told to say. */
#ifndef TEST_H
#define TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end of a problem whose GPUs are all alike. */
#define ALIKE NULL, NULL, NULL, NULL, 0

static long test_passed, test_failed;

#define CHECK(holds, ...)                                          \
    do {                                                           \
        if (holds) {                                               \
            test_passed++;                                         \
        } else {                                                   \
            if (test_failed++ < 20) {                              \
                printf("%s:%d: %s: ", __FILE__, __LINE__, #holds); \
                printf(__VA_ARGS__);                               \
                printf("\n");                                      \
            }                                                      \
        }                                                          \
    } while (0)

static inline int test_report(const char *name)
{
    printf("%s: %ld passed, %ld failed\n", name, test_passed, test_failed);
    return test_failed != 0 || test_passed == 0;
}

/* Memory for a test; the tests are short-lived, so running out ends them. */
static inline void *test_alloc(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(99);
    }
    return p;
}

/* Bytes that count as not written from now on: what a call finds in its scratch it must not read. Only
   the memory sanitizer sees a difference. */
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define test_forget(bytes, count) __msan_poison(bytes, count)
#endif
#endif
#ifndef test_forget
#define test_forget(bytes, count) ((void)(bytes), (void)(count))
#endif

/* splitmix64 (Steele, Lea, Flood 2014): the tests' own numbers, the same everywhere. */
static inline uint64_t test_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in lo .. hi, both included: there may be more numbers than an int32_t has room for. */
static inline int32_t test_range(uint64_t *state, int32_t lo, int32_t hi)
{
    return (int32_t)(lo + (int64_t)(test_next(state) % (uint64_t)((int64_t)hi - lo + 1)));
}

#endif
