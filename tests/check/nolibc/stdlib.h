/* stdlib.h - for tests on machines without a libc: see nolibc.c. */
#ifndef NOLIBC_STDLIB_H
#define NOLIBC_STDLIB_H
#include <stddef.h>
void *malloc(size_t bytes);
void free(void *block);
void exit(int status);
#endif
