/* What the example needs of a board: text out, the end of the program. Here through semihosting: a debugger or qemu. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

void print_text(const char *text);
void print_number(int64_t number);
_Noreturn void leave(int status); /* becomes the exit status of qemu */

int main(void); /* its result goes to `leave` */

#endif
