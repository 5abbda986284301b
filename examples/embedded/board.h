/* board.h - what the program needs of the machine it runs on, and what it has for that machine. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_put(const char *text); /* the board's */
void put_number(uint32_t number); /* the program's */
int main(void);

#endif
