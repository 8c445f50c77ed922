/* Integer and double division, which the processor lacks: what clang calls where no compiler library is linked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b);
uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b);
int32_t __hexagon_divsi3(int32_t a, int32_t b);
int32_t __hexagon_modsi3(int32_t a, int32_t b);
uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b);
uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b);
int64_t __hexagon_divdi3(int64_t a, int64_t b);
int64_t __hexagon_moddi3(int64_t a, int64_t b);
double __hexagon_divdf3(double a, double b);

/* Restoring division, from the first bit the quotient can have. Division by zero gives all ones, as on Arm's coprocessors. */
#define DIVIDE(type, count_leading_zeros)                            \
    type quotient = 0;                                               \
    if (!b) {                                                        \
        *remainder = a;                                              \
        return ~(type)0;                                             \
    }                                                                \
    if (a >= b) {                                                    \
        int shift = count_leading_zeros(b) - count_leading_zeros(a); \
        for (b <<= shift; shift >= 0; shift--, b >>= 1) {            \
            quotient <<= 1;                                          \
            if (a >= b) a -= b, quotient |= 1;                       \
        }                                                            \
    }                                                                \
    *remainder = a;                                                  \
    return quotient

static inline uint32_t divide_32(uint32_t a, uint32_t b, uint32_t *remainder) {
    DIVIDE(uint32_t, __builtin_clz);
}

static inline uint64_t divide_64(uint64_t a, uint64_t b, uint64_t *remainder) {
    DIVIDE(uint64_t, __builtin_clzll);
}

static uint32_t magnitude_32(int32_t x) {
    return x < 0 ? 0 - (uint32_t)x : (uint32_t)x;
}
static uint64_t magnitude_64(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

uint32_t __hexagon_udivsi3(uint32_t a, uint32_t b) {
    uint32_t remainder;
    return divide_32(a, b, &remainder);
}

uint32_t __hexagon_umodsi3(uint32_t a, uint32_t b) {
    uint32_t remainder;
    divide_32(a, b, &remainder);
    return remainder;
}

int32_t __hexagon_divsi3(int32_t a, int32_t b) {
    uint32_t q = __hexagon_udivsi3(magnitude_32(a), magnitude_32(b));
    return (int32_t)((a ^ b) < 0 ? 0 - q : q);
}

int32_t __hexagon_modsi3(int32_t a, int32_t b) {
    uint32_t r = __hexagon_umodsi3(magnitude_32(a), magnitude_32(b));
    return (int32_t)(a < 0 ? 0 - r : r);
}

uint64_t __hexagon_udivdi3(uint64_t a, uint64_t b) {
    uint64_t remainder;
    return divide_64(a, b, &remainder);
}

uint64_t __hexagon_umoddi3(uint64_t a, uint64_t b) {
    uint64_t remainder;
    divide_64(a, b, &remainder);
    return remainder;
}

int64_t __hexagon_divdi3(int64_t a, int64_t b) {
    uint64_t q = __hexagon_udivdi3(magnitude_64(a), magnitude_64(b));
    return (int64_t)((a ^ b) < 0 ? 0 - q : q);
}

int64_t __hexagon_moddi3(int64_t a, int64_t b) {
    uint64_t r = __hexagon_umoddi3(magnitude_64(a), magnitude_64(b));
    return (int64_t)(a < 0 ? 0 - r : r);
}

/* ---- double division: 55 bits of quotient by restoring division, the lowest also standing for the remainder, then one rounding */

enum { FRACTION = 52, BIAS = 1023, SPECIAL = 0x7ff };

typedef struct number {
    uint64_t significand; /* bit 52 set, unless zero */
    int32_t exponent;     /* of a normal number, biased; below 1 for subnormal ones */
} number;

static number take_apart(uint64_t bits) {
    number n = {bits & ((UINT64_C(1) << FRACTION) - 1), (int32_t)(bits >> FRACTION & SPECIAL)};
    if (n.exponent) {
        n.significand |= UINT64_C(1) << FRACTION;
    } else if (n.significand) {
        int shift = __builtin_clzll(n.significand) - (63 - FRACTION);
        n.significand <<= shift;
        n.exponent = 1 - shift;
    }
    return n;
}

/* q: 55 significant bits, for exponent `exponent`. Rounds to nearest, ties to even; overflows to infinity. */
static uint64_t put_together(uint64_t q, int32_t exponent) {
    if (exponent >= SPECIAL) return (uint64_t)SPECIAL << FRACTION;
    int shift = 2;
    if (exponent < 1) { /* subnormal */
        shift += 1 - exponent;
        if (shift > 56) return 0;
        exponent = 1;
    }
    uint64_t kept = q >> shift, rest = q & ((UINT64_C(1) << shift) - 1), half = UINT64_C(1) << (shift - 1);
    kept += rest > half || (rest == half && kept & 1);
    return kept + ((uint64_t)(exponent - 1) << FRACTION); /* the leading bit adds one to the exponent, a carry another */
}

double __hexagon_divdf3(double a, double b) {
    union {
        double f;
        uint64_t bits;
    } x = {a}, y = {b}, z;
    const uint64_t magnitude = ~UINT64_C(0) >> 1, infinity = (uint64_t)SPECIAL << FRACTION, nan = infinity | infinity >> 1;
    const uint64_t sign = (x.bits ^ y.bits) & ~magnitude;
    x.bits &= magnitude, y.bits &= magnitude;
    if (x.bits > infinity || y.bits > infinity || (x.bits == y.bits && (!x.bits || x.bits == infinity)))
        z.bits = nan;
    else if (x.bits == infinity || !y.bits)
        z.bits = sign | infinity;
    else if (!x.bits || y.bits == infinity)
        z.bits = sign;
    else {
        number n = take_apart(x.bits), d = take_apart(y.bits);
        int32_t exponent = n.exponent - d.exponent + BIAS;
        if (n.significand < d.significand) n.significand <<= 1, exponent--;
        uint64_t q = 0;
        for (int i = 0; i < FRACTION + 3; i++) {
            q <<= 1;
            if (n.significand >= d.significand) n.significand -= d.significand, q |= 1;
            n.significand <<= 1;
        }
        z.bits = sign | put_together(q | (n.significand != 0), exponent);
    }
    return z.f;
}
