/* Doubles as their bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FREESTANDING_BITS_H
#define WISP_FREESTANDING_BITS_H

#include <stdint.h>

enum { FRACTION = 52, BIAS = 1023 };

typedef union double_bits {
    double number;
    uint64_t bits;
} double_bits;

static inline uint64_t bits_from_double(double x) {
    return (double_bits){.number = x}.bits;
}

static inline double double_from_bits(uint64_t bits) {
    return (double_bits){.bits = bits}.number;
}

/* x > 0 and finite: m with bit 52 the highest, and e, so that x = m * 2^e. */
static inline uint64_t take_apart(double x, int *e) {
    const uint64_t bits = bits_from_double(x), m = bits & ((UINT64_C(1) << FRACTION) - 1);
    const int field = (int)(bits >> FRACTION), shift = __builtin_clzll(m | 1) - (63 - FRACTION);
    *e = (field ? field : 1 - shift) - BIAS - FRACTION;
    return field ? m | UINT64_C(1) << FRACTION : m << shift;
}

#endif
