/* memory.c - the functions that compilers call by themselves; where there is no libc a program brings
   its own. To be compiled with -fno-builtin -fno-tree-loop-distribute-patterns (gcc), lest the loop of
   memset become a call of memset. */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void *memcpy(void *to, const void *from, size_t bytes)
{
    size_t i;
    for (i = 0; i < bytes; i++) ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    size_t i;
    for (i = 0; i < bytes; i++) ((unsigned char *)to)[i] = (unsigned char)value;
    return to;
}
