/* Entry of a freestanding program under Linux for Hexagon (qemu-hexagon): calls main, leaves by a system call. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "system.h"

int main(int argc, char **argv);

__attribute__((used, noreturn)) void wisp_start(long *stack);

/* The kernel leaves argc, then argv, where the stack pointer is; vectors on the stack want it aligned. */
__asm__(".globl _start\n"
        ".type _start, @function\n"
        "_start:\n"
        "  { r0 = r29; r30 = #0 }\n"
        "  { r29 = and(r29, #-128) }\n"
        "  call wisp_start\n");

void wisp_start(long *stack) {
    const int status = main((int)stack[0], (char **)(stack + 1));
    system_call(SYSTEM_EXIT_GROUP, status, 0, 0);
    __builtin_unreachable();
}
