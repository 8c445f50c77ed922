/* 64-bit ARM: the size of its tiles, and what 32-bit ARM (armv7.h) does with other instructions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_NEON_ARMV8_H
#define WISP_NEON_ARMV8_H

#include <arm_neon.h>

/* There are 32 vector registers. PIXELS: of an int8 depthwise tile. */
enum { PIXELS = 4 };

enum { FLUSHES_DENORMALS = 0 };

/* Nearest whole numbers, halves to even. What lies beyond the range of int16 stays beyond it; NaN gives 0. */
static inline int32x4_t round_floats(float32x4_t x) {
    return vcvtnq_s32_f32(x);
}

/* Four groups, each four times. The instruction asks for no alignment. */
static inline int8x16x4_t load_groups_4(const int8_t *p) {
    int32x4x4_t v = vld4q_dup_s32((const int32_t *)(const void *)p);
    return (int8x16x4_t){
        {vreinterpretq_s8_s32(v.val[0]), vreinterpretq_s8_s32(v.val[1]), vreinterpretq_s8_s32(v.val[2]), vreinterpretq_s8_s32(v.val[3])}};
}

#endif
