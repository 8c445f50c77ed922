/* Integer and double division, which Hexagon lacks: what clang calls where no compiler library is linked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "bits.h"

/* Restoring division, from the first bit the quotient can have. Division by zero gives all ones, as on Arm's coprocessors. */
static inline uint64_t divide(uint64_t a, uint64_t b, uint64_t *remainder) {
    uint64_t quotient = b ? 0 : ~UINT64_C(0);
    if (b && a >= b) {
        int shift = __builtin_clzll(b) - __builtin_clzll(a);
        for (b <<= shift; shift >= 0; shift--, b >>= 1) {
            quotient <<= 1;
            if (a >= b) a -= b, quotient |= 1;
        }
    }
    *remainder = a;
    return quotient;
}

static inline uint64_t magnitude(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

/* The remainder has the sign of the dividend. */
#define DIVISION(type, unsigned_type, suffix)                                \
    unsigned_type __hexagon_udiv##suffix(unsigned_type a, unsigned_type b);  \
    unsigned_type __hexagon_udiv##suffix(unsigned_type a, unsigned_type b) { \
        uint64_t rest;                                                       \
        return (unsigned_type)divide(a, b, &rest);                           \
    }                                                                        \
    unsigned_type __hexagon_umod##suffix(unsigned_type a, unsigned_type b);  \
    unsigned_type __hexagon_umod##suffix(unsigned_type a, unsigned_type b) { \
        uint64_t rest;                                                       \
        divide(a, b, &rest);                                                 \
        return (unsigned_type)rest;                                          \
    }                                                                        \
    type __hexagon_div##suffix(type a, type b);                              \
    type __hexagon_div##suffix(type a, type b) {                             \
        uint64_t rest, quotient = divide(magnitude(a), magnitude(b), &rest); \
        return (type)((a ^ b) < 0 ? 0 - quotient : quotient);                \
    }                                                                        \
    type __hexagon_mod##suffix(type a, type b);                              \
    type __hexagon_mod##suffix(type a, type b) {                             \
        uint64_t rest;                                                       \
        divide(magnitude(a), magnitude(b), &rest);                           \
        return (type)(a < 0 ? 0 - rest : rest);                              \
    }
DIVISION(int32_t, uint32_t, si3)
DIVISION(int64_t, uint64_t, di3)

/* q * 2^e for q of 55 or 56 bits, whose lowest also stands for what follows: rounds to nearest, ties to even. */
static double round_once(uint64_t q, int e) {
    const int length = 64 - __builtin_clzll(q), subnormal = 1 - BIAS - FRACTION - e;
    const int shift = length - 53 > subnormal ? length - 53 : subnormal; /* bits that a double has no room for */
    if (shift > 57) return 0;
    if (e + length > BIAS + 1) return INFINITY;
    uint64_t kept = q >> shift;
    const uint64_t rest = q - (kept << shift), half = UINT64_C(1) << (shift - 1);
    kept += rest > half || (rest == half && kept & 1);
    /* The leading bit adds one to the exponent, if there is one; a carry another. */
    return double_from_bits(kept + ((uint64_t)(e + shift + BIAS + FRACTION - 1) << FRACTION));
}

double __hexagon_divdf3(double a, double b);

double __hexagon_divdf3(double a, double b) {
    const double x = __builtin_fabs(a), y = __builtin_fabs(b);
    const double sign = !__builtin_signbit(a) == !__builtin_signbit(b) ? 1 : -1;
    if (x != x || y != y || (x == y && (x == 0 || x == INFINITY))) return NAN;
    if (x == INFINITY || y == 0) return sign * INFINITY;
    if (x == 0 || y == INFINITY) return sign * 0;
    int ea, eb;
    uint64_t rest = take_apart(x, &ea), quotient = 0;
    const uint64_t divisor = take_apart(y, &eb);
    for (int i = 0; i < 56; i++, rest <<= 1) {
        quotient <<= 1;
        if (rest >= divisor) rest -= divisor, quotient |= 1;
    }
    return sign * round_once(quotient | (rest != 0), ea - eb - 55);
}
