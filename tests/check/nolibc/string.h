/* string.h - for tests on machines without a libc: see nolibc.c. */
#ifndef NOLIBC_STRING_H
#define NOLIBC_STRING_H
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
#endif
