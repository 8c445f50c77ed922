/* What the kernels of the DSP extension share: packing and requantization. Armv7E-M and Armv8-M Mainline (M4, M7, M33). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_DSP_H
#define WISP_DSP_H

#include <arm_acle.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

wisp_gemm_s8_fn wisp_gemm_s8_dsp;
wisp_dwconv_s8_fn wisp_dwconv_s8_dsp;
wisp_add_s8_fn wisp_add_s8_dsp;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Four bytes at any address, in one ldr. */
ALWAYS_INLINE uint32_t load_word(const int8_t *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* {byte 0, byte 2} and {byte 1, byte 3} of x as pairs of int16. */
ALWAYS_INLINE int16x2_t even_bytes(uint32_t x) {
    return __sxtb16((int8x4_t)x);
}
ALWAYS_INLINE int16x2_t odd_bytes(uint32_t x) {
    return __sxtb16((int8x4_t)__ror(x, 8));
}

/* requantize_s8 for shift >= 0. Its two roundings are one: floor((floor(a / 2^15) + 64) / 2^7) = floor((a + 2^21) / 2^22). */
ALWAYS_INLINE int32_t requantize_right(int32_t acc, int32_t shift, int32_t multiplier, int32_t lo, int32_t hi) {
    int32_t t = __ssat(acc >> shift, 16);
    return clamp_s32(__smlabb(t, multiplier, (1 << 21) + (1 << 14)) >> 22, lo, hi);
}

#endif
