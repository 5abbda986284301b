/* cortex_m.c - the plan hash as the program of examples/embedded/cortex_m.c. */
#include "board.h"
#include "stdlib.h"

int plan_hash_differs(void);

int main(void) { return plan_hash_differs(); }

void exit(int status)
{
    (void)status;
    __builtin_trap(); /* a fault ends the program with an error */
}

void put_number(uint32_t number) { (void)number; }
