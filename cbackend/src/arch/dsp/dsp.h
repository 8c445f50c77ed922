/* What the kernels of the DSP extension share: packing and requantization. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_DSP_H
#define WISP_DSP_H

/* For Armv7E-M and Armv8-M Mainline (Cortex-M4, M7, M33) and for ARMv6 (ARM1176), which calls it SIMD32. ARM state asks for more than
 * Thumb: the registers of ldrd are an even one and the next. */

#include <arm_acle.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_dsp;

extern const wisp_gemm_kernel wisp_gemm_s8_dsp;
wisp_dwconv_s8_fn wisp_dwconv_s8_dsp;
wisp_add_s8_fn wisp_add_s8_dsp;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Four bytes at any address, in one ldr. */
ALWAYS_INLINE uint32_t load_word(const int8_t *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}
ALWAYS_INLINE void store_word(int8_t *p, uint32_t x) {
    memcpy(p, &x, sizeof x);
}

/* {byte 0, byte 2} and {byte 1, byte 3} of x as pairs of int16. */
ALWAYS_INLINE int16x2_t even_bytes(uint32_t x) {
    return __sxtb16((int8x4_t)x);
}
ALWAYS_INLINE int16x2_t odd_bytes(uint32_t x) {
    return __sxtb16((int8x4_t)__ror(x, 8));
}

/* t * multiplier + sum, of the low halves: __smlabb, which newer compilers refuse for ARMv6. */
ALWAYS_INLINE int32_t multiply_low(int32_t t, int32_t multiplier, int32_t sum) {
    int32_t result;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(result) : "r"(t), "r"(multiplier), "r"(sum));
    return result;
}

/* requantize_s8 for shift >= 0 up to the clamp, saturated to int8. Its two roundings are one:
 * floor((floor(a / 2^15) + 64) / 2^7) = floor((a + 2^21) / 2^22). */
ALWAYS_INLINE uint32_t requantize(int32_t acc, int32_t shift, int32_t multiplier) {
    const int32_t t = __ssat(acc >> shift, 16);
    return (uint32_t)__ssat(multiply_low(t, multiplier, (1 << 21) + (1 << 14)) >> 22, 8);
}

/* What a negative shift does first; 0 is then left to do. Rare. */
ALWAYS_INLINE int32_t shift_left(int32_t acc, int32_t shift) {
    return shift < 0 ? __ssat(acc, 16) * (1 << -shift) : acc;
}

/* Four int8 of a word. */
ALWAYS_INLINE uint32_t pack(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return (a & 0xff) | (b & 0xff) << 8 | (c & 0xff) << 16 | d << 24;
}
ALWAYS_INLINE uint32_t repeat(int8_t x) {
    return (uint8_t)x * 0x01010101u;
}

/* Four clamps at once: ssub8 notes where the difference is not negative, sel chooses by that. */
ALWAYS_INLINE uint32_t clamp_bytes(uint32_t x, uint32_t lo, uint32_t hi) {
    __ssub8((int8x4_t)x, (int8x4_t)lo);
    x = (uint32_t)__sel((uint8x4_t)x, (uint8x4_t)lo);
    __ssub8((int8x4_t)hi, (int8x4_t)x);
    return (uint32_t)__sel((uint8x4_t)x, (uint8x4_t)hi);
}

#endif
