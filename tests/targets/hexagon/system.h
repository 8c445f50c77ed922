/* System calls of Linux for Hexagon. Only programs that run under qemu-hexagon use them; the runtime itself makes none. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HEXAGON_SYSTEM_H
#define WISP_HEXAGON_SYSTEM_H

enum {
    SYSTEM_OPENAT = 56,
    SYSTEM_CLOSE = 57,
    SYSTEM_READ = 63,
    SYSTEM_WRITE = 64,
    SYSTEM_EXIT_GROUP = 94,
    SYSTEM_CLOCK_GETTIME = 113,
    SYSTEM_RT_SIGACTION = 134,
    SYSTEM_GETPGID = 155,
    SYSTEM_MMAP = 222, /* the offset in pages */
    SYSTEM_MPROTECT = 226
};

/* Number in r6, arguments from r0 on, result in r0 (negative: -errno). */
static inline long system_call6(long number, long a, long b, long c, long d, long e, long f) {
    register long r6 __asm__("r6") = number;
    register long r0 __asm__("r0") = a;
    register long r1 __asm__("r1") = b;
    register long r2 __asm__("r2") = c;
    register long r3 __asm__("r3") = d;
    register long r4 __asm__("r4") = e;
    register long r5 __asm__("r5") = f;
    __asm__ volatile("trap0(#1)" : "+r"(r0) : "r"(r6), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
    return r0;
}

static inline long system_call(long number, long a, long b, long c) {
    return system_call6(number, a, b, c, 0, 0, 0);
}

#endif
