/* linux_x86_64.c - the board is Linux on x86-64 without a libc: two system calls, and a start of its own. The stack is
   painted before main, so that what main used of it can be told afterwards.

   gcc -std=c99 -Os -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -nostdlib -static \
       -I. -o plan examples/embedded/plan.c examples/embedded/memory.c examples/embedded/linux_x86_64.c */
#include <stddef.h>

#include "board.h"

#define PAINT 0xA5A5A5A5u

enum { SYS_WRITE = 1, SYS_EXIT = 60, STANDARD_OUTPUT = 1 };
enum { PAINTED = 1 << 14, MARGIN = 64 }; /* words below the stack pointer; those nearest are in use */

static long system_call(long number, long a, const void *b, size_t c)
{
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

void board_put(const char *text)
{
    size_t length = 0;
    while (text[length]) length++;
    system_call(SYS_WRITE, STANDARD_OUTPUT, text, length);
}

void start(void);
void start(void)
{
    uint32_t *here, *at;
    int status;

    __asm__ volatile("mov %%rsp, %0" : "=r"(here));
    for (at = here - PAINTED; at < here - MARGIN; at++) *(volatile uint32_t *)at = PAINT;
    status = main();
    at = here - PAINTED;
    while (at < here && *(volatile uint32_t *)at == PAINT) at++;
    board_put("stack ");
    put_number((uint32_t)(here - at) * sizeof *at);
    board_put(" bytes\n");
    system_call(SYS_EXIT, status, NULL, 0);
}

/* The stack is aligned to 16 where a program begins, and a function expects that of its caller before the
   call. */
__asm__(".globl _start\n_start:\n    call start\n    hlt\n");
