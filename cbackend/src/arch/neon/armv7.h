/* 32-bit ARM: the size of its tiles, and the intrinsics of ARMv8-A that the kernels use and ARMv7-A has no instruction for. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_NEON_ARMV7_H
#define WISP_NEON_ARMV7_H

#include <arm_neon.h>

/* There are 16 vector registers. PIXELS: of an int8 depthwise tile. */
enum { PIXELS = 2 };

/* Denormal operands and results are taken as zero. (And a NaN result is always the default one.) */
enum { FLUSHES_DENORMALS = 1 };

/* See armv8.h. Adding 1.5 * 2^23, where floats are whole numbers, rounds; vmin and vmax keep a NaN, vcvt takes it to 0. */
static inline int32x4_t round_floats(float32x4_t x) {
    const float32x4_t magic = vdupq_n_f32(12582912.0f), limit = vdupq_n_f32(65536.0f);
    x = vminq_f32(vmaxq_f32(x, vnegq_f32(limit)), limit);
    return vcvtq_s32_f32(vsubq_f32(vaddq_f32(x, magic), magic));
}

static inline int16x8_t vmull_high_s8(int8x16_t a, int8x16_t b) {
    return vmull_s8(vget_high_s8(a), vget_high_s8(b));
}

static inline int16x8_t vmlal_high_s8(int16x8_t sum, int8x16_t a, int8x16_t b) {
    return vmlal_s8(sum, vget_high_s8(a), vget_high_s8(b));
}

static inline int32x4_t vaddw_high_s16(int32x4_t sum, int16x8_t a) {
    return vaddw_s16(sum, vget_high_s16(a));
}

static inline int8x16_t vqtbl1q_s8(int8x16_t table, uint8x16_t indices) {
    const int8x8x2_t halves = {{vget_low_s8(table), vget_high_s8(table)}};
    const int8x16_t at = vreinterpretq_s8_u8(indices);
    return vcombine_s8(vtbl2_s8(halves, vget_low_s8(at)), vtbl2_s8(halves, vget_high_s8(at)));
}

#endif
