/* The integer arithmetic every kernel must reproduce bit for bit; derivation in docs/quantization.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_QUANT_H
#define WISP_QUANT_H

#include <stdint.h>

static inline int32_t clamp_s32(int32_t x, int32_t lo, int32_t hi) {
    x = x < lo ? lo : x; /* in this order, so that lo > hi yields hi everywhere */
    return x > hi ? hi : x;
}

static inline int32_t saturate_s16(int32_t x) {
    return clamp_s32(x, -32768, 32767);
}

/* Arithmetic shift right; right shift of a negative value is arithmetic on every compiler we support. */
static inline int32_t shift_right(int32_t x, int32_t n) {
    return x >> n;
}

/* acc: int32 accumulator, bias included (it carries input and output zero points and the rounding of the shift).
 *   t = saturate16(acc * 2^-shift)                  1/128 of an output step, times at most 2
 *   p = (t * multiplier + 2^14) >> 15               rounding Q15 product: vpmulhrsw, vqrdmulh.s16
 *   y = clamp((p + 64) >> 7, lo, hi)                [lo, hi] within [-128, 127]
 * The shift is arithmetic (floor). No intermediate exceeds 32 bits. */
static inline int8_t requantize_s8(int32_t acc, int32_t shift, int32_t multiplier, int32_t lo, int32_t hi) {
    int32_t t = shift >= 0 ? shift_right(acc, shift) : saturate_s16(acc) * (1 << -shift);
    int32_t p = (saturate_s16(t) * multiplier + (1 << 14)) >> 15;
    return (int8_t)clamp_s32((p + 64) >> 7, lo, hi);
}

/* Addition of two int32 accumulators modulo 2^32: the order of a sum never matters and a hostile file cannot overflow. */
static inline int32_t add_wrap(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}
static inline int32_t multiply_wrap(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

#endif
