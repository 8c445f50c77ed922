/* All of the C library that Wisp needs, and the compiler's own calls, for toolchains that come without them (clang alone). */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* A word that may lie anywhere and alias anything: ldr and str of these processors take any address. */
typedef uint32_t word __attribute__((may_alias, aligned(1)));

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    uint8_t *t = to;
    const uint8_t *f = from;
    for (; size >= 4; size -= 4, t += 4, f += 4) *(word *)t = *(const word *)f;
    while (size--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    uint8_t *t = to;
    const uint8_t *f = from;
    if (t <= f) return memcpy(to, from, size); /* forward, a word at a time: never reads what it wrote */
    while (size--) t[size] = f[size];
    return to;
}

void *memset(void *to, int value, size_t size) {
    uint8_t *t = to;
    const uint32_t four = (uint8_t)value * 0x01010101u;
    for (; size >= 4; size -= 4, t += 4) *(word *)t = four;
    while (size--) *t++ = (uint8_t)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i]) return x[i] - y[i];
    return 0;
}

/* The instruction for these came after the Cortex-M4. From 2^23 on every float is whole. */
float floorf(float x);
float ceilf(float x);

float floorf(float x) {
    if (!(__builtin_fabsf(x) < 0x1p23f)) return x;
    const float whole = (float)(int32_t)x;
    return __builtin_copysignf(whole > x ? whole - 1 : whole, x);
}

float ceilf(float x) {
    return -floorf(-x);
}

/* The compiler's own calls (Run-time ABI for the Arm Architecture, 4.3.4): bytes, words, double words. */
#define COPY(name, copy)                                 \
    void name(void *to, const void *from, size_t size);  \
    void name(void *to, const void *from, size_t size) { \
        copy(to, from, size);                            \
    }
COPY(__aeabi_memcpy, memcpy)
COPY(__aeabi_memcpy4, memcpy)
COPY(__aeabi_memcpy8, memcpy)
COPY(__aeabi_memmove, memmove)
COPY(__aeabi_memmove4, memmove)
COPY(__aeabi_memmove8, memmove)

#define SET(name)                                 \
    void name(void *to, size_t size, int value);  \
    void name(void *to, size_t size, int value) { \
        memset(to, value, size);                  \
    }
SET(__aeabi_memset)
SET(__aeabi_memset4)
SET(__aeabi_memset8)

#define CLEAR(name)                    \
    void name(void *to, size_t size);  \
    void name(void *to, size_t size) { \
        memset(to, 0, size);           \
    }
CLEAR(__aeabi_memclr)
CLEAR(__aeabi_memclr4)
CLEAR(__aeabi_memclr8)

/* 64-bit division (same document, 4.2): quotient in r0 and r1, remainder in r2 and r3. Schoolbook, one bit a step; a
 * quotient and divisor of 32 bits take the instruction. */
uint64_t divide_u64(uint64_t n, uint64_t d, uint64_t *remainder);
int64_t divide_s64(int64_t n, int64_t d, int64_t *remainder);

__attribute__((used)) uint64_t divide_u64(uint64_t n, uint64_t d, uint64_t *remainder) {
    uint64_t q = 0, r = 0;
    if (!(n >> 32) && !(d >> 32) && d) {
        *remainder = (uint32_t)n % (uint32_t)d;
        return (uint32_t)n / (uint32_t)d;
    }
    for (int i = 63; i >= 0; i--) {
        r = r << 1 | (n >> i & 1);
        if (r < d) continue;
        r -= d;
        q |= (uint64_t)1 << i;
    }
    *remainder = r;
    return q;
}

__attribute__((used)) int64_t divide_s64(int64_t n, int64_t d, int64_t *remainder) {
    uint64_t r, q = divide_u64(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, d < 0 ? 0 - (uint64_t)d : (uint64_t)d, &r);
    *remainder = n < 0 ? (int64_t)(0 - r) : (int64_t)r;
    return (n < 0) != (d < 0) ? (int64_t)(0 - q) : (int64_t)q;
}

#define DIVISION(name, divide)                     \
    __attribute__((naked, used)) void name(void);  \
    __attribute__((naked, used)) void name(void) { \
        __asm__("push {r4, lr}\n"                  \
                "sub sp, sp, #16\n"                \
                "add r4, sp, #8\n"                 \
                "str r4, [sp]\n"                   \
                "bl " #divide "\n"                 \
                "ldrd r2, r3, [sp, #8]\n"          \
                "add sp, sp, #16\n"                \
                "pop {r4, pc}\n");                 \
    }
DIVISION(__aeabi_uldivmod, divide_u64)
DIVISION(__aeabi_ldivmod, divide_s64)
