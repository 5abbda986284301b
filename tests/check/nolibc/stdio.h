/* stdio.h - for tests on machines without a libc: what they print is dropped, what they count is kept. */
#ifndef NOLIBC_STDIO_H
#define NOLIBC_STDIO_H
#define stderr 0
static inline int nolibc_drop(const char *format, ...) { return format != 0; }
#define printf(...)          nolibc_drop(__VA_ARGS__)
#define fprintf(stream, ...) nolibc_drop(__VA_ARGS__)
#endif
