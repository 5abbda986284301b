/* cortex_m.c - the board is a Cortex-M processor: vectors, start, and text through semihosting, by which
   an emulator or a debugger prints for the program. The stack is painted before main, so that what main
   and all that it called took of it can be seen afterwards.

   arm-none-eabi-gcc -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16 -std=c99 -Os -ffreestanding \
       -fno-builtin -fno-tree-loop-distribute-patterns -nostdlib -I. -T examples/embedded/cortex_m.ld \
       -o plan.elf examples/embedded/plan.c examples/embedded/memory.c examples/embedded/cortex_m.c -lgcc
   qemu-system-arm -M mps2-an386 -semihosting -nographic -kernel plan.elf */
#include "board.h"

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };
#define EXIT_DONE   0x20026u /* an application came to its end */
#define EXIT_FAILED 0x20024u /* it could not */
#define PAINT       0xE91BE91Bu
#define MARGIN      16 /* words under the stack pointer that the painting loop itself may use */

/* Of the linker script. */
extern uint32_t data_begin[], data_end[], data_image[], bss_begin[], bss_end[], stack_bottom[], stack_top[];

static void semihosting(uint32_t call, const void *argument)
{
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void board_put(const char *text) { semihosting(SYS_WRITE0, text); }

static void put_stack_used(void)
{
    const uint32_t *at = stack_bottom;
    while (at < stack_top && *at == PAINT) at++;
    board_put("stack ");
    put_number((uint32_t)(stack_top - at) * sizeof *at);
    board_put(" bytes\n");
}

void reset(void);
void reset(void)
{
    uint32_t *to, *here = (uint32_t *)__builtin_frame_address(0);
    const uint32_t *from = data_image;
    int failed;

#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to the floating-point unit */
    __asm__ volatile("dsb\n isb");
#endif
    for (to = data_begin; to < data_end; to++) *to = *from++;
    for (to = bss_begin; to < bss_end; to++) *to = 0;
    for (to = stack_bottom; to < here - MARGIN; to++) *to = PAINT;
    failed = main();
    put_stack_used();
    semihosting(SYS_EXIT, (const void *)(uintptr_t)(failed ? EXIT_FAILED : EXIT_DONE));
    for (;;) continue;
}

static void fault(void)
{
    board_put("fault\n");
    semihosting(SYS_EXIT, (const void *)(uintptr_t)EXIT_FAILED);
    for (;;) continue;
}

/* The first stack pointer, the start, and the faults. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,           (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
