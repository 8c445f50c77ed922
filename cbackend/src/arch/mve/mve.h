/* What the Helium kernels share: requantization of 16 channels in the order that widening and narrowing leave them in. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_MVE_H
#define WISP_MVE_H

#include <arm_mve.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_mve;

extern const wisp_gemm_kernel wisp_gemm_s8_mve;
wisp_dwconv_s8_fn wisp_dwconv_s8_mve;
wisp_add_s8_fn wisp_add_s8_mve;
wisp_mul_s8_fn wisp_mul_s8_mve;
wisp_lookup_s8_fn wisp_lookup_s8_mve;
wisp_max_s8_fn wisp_max_s8_mve;
wisp_quantize_s8_fn wisp_quantize_s8_mve;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Narrowing writes the even or the odd lanes of its result, twice from 32 to 8 bits: accumulators therefore hold channels
 *
 *   val[0]  0 4 8 12    val[1]  1 5 9 13    val[2]  2 6 10 14    val[3]  3 7 11 15
 *
 * which is what vld4 loads and what vmovl splits. */
typedef struct channels {
    int32x4_t left[4];   /* minus the shift */
    int16x8_t even, odd; /* multipliers of channels 0 2 4 .., 1 3 5 .. */
} channels;

ALWAYS_INLINE channels load_channels(const wisp_channels_s8 *ch) {
    const int32x4x4_t shift = vld4q_s32(ch->shift), multiplier = vld4q_s32(ch->multiplier);
    channels c;
    for (int i = 0; i < 4; i++) c.left[i] = vnegq_s32(shift.val[i]);
    c.even = vmovntq_s32(vmovnbq_s32(vdupq_n_s16(0), multiplier.val[0]), multiplier.val[2]);
    c.odd = vmovntq_s32(vmovnbq_s32(vdupq_n_s16(0), multiplier.val[1]), multiplier.val[3]);
    return c;
}

/* requantize_s8. vqshl goes left and right, floors, and saturates to 32 bits, which the narrowing then takes to 16, as
 * saturate_s16 before a left shift does. vqrdmulh is the Q15 product, vqrshrn rounds, shifts and saturates to 8 bits. */
ALWAYS_INLINE int8x16_t requantize(int32x4_t a0, int32x4_t a1, int32x4_t a2, int32x4_t a3, const channels *c, int8x16_t lo, int8x16_t hi) {
    int16x8_t even = vqmovnbq_s32(vdupq_n_s16(0), vqshlq_s32(a0, c->left[0]));
    even = vqmovntq_s32(even, vqshlq_s32(a2, c->left[2]));
    int16x8_t odd = vqmovnbq_s32(vdupq_n_s16(0), vqshlq_s32(a1, c->left[1]));
    odd = vqmovntq_s32(odd, vqshlq_s32(a3, c->left[3]));
    int8x16_t y = vqrshrnbq_n_s16(vdupq_n_s8(0), vqrdmulhq_s16(even, c->even), 7);
    y = vqrshrntq_n_s16(y, vqrdmulhq_s16(odd, c->odd), 7);
    return vminq_s8(vmaxq_s8(y, lo), hi);
}

#endif
