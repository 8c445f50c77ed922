/* What the NEON kernels share: partial loads and stores, requantization. Base ARMv8-A, no extensions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_NEON_H
#define WISP_NEON_H

#include <arm_neon.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

wisp_gemm_s8_fn wisp_gemm_s8_neon;
wisp_gemm_f32_fn wisp_gemm_f32_neon;
wisp_dwconv_s8_fn wisp_dwconv_s8_neon;
wisp_dwconv_f32_fn wisp_dwconv_f32_neon;
wisp_max_s8_fn wisp_max_s8_neon;
wisp_add_s8_fn wisp_add_s8_neon;
wisp_mul_s8_fn wisp_mul_s8_neon;
wisp_quantize_s8_fn wisp_quantize_s8_neon;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* 0..16 bytes, zeros above; nothing else is read or written. */
ALWAYS_INLINE int8x16_t load_bytes(const int8_t *p, size_t size) {
    int8_t buffer[16] = {0};
    memcpy(buffer, p, size);
    return vld1q_s8(buffer);
}
ALWAYS_INLINE void store_bytes(int8_t *p, int8x16_t x, size_t size) {
    int8_t buffer[16];
    vst1q_s8(buffer, x);
    memcpy(p, buffer, size);
}

/* requantize_s8 up to the clamp, eight values. vqshl goes left and right, floors, and saturates to 32 bits, which the
 * narrowing then takes to 16, as saturate_s16 before a left shift does. vqrdmulh is the Q15 product (-32768 * -32768
 * cannot occur: multipliers are >= 0); vqrshrn rounds, shifts and saturates to 8 bits without overflow between. */
ALWAYS_INLINE int8x8_t requantize_8(int32x4_t a, int32x4_t b, int32x4_t left_a, int32x4_t left_b, int16x8_t multiplier) {
    int16x8_t t = vcombine_s16(vqmovn_s32(vqshlq_s32(a, left_a)), vqmovn_s32(vqshlq_s32(b, left_b)));
    return vqrshrn_n_s16(vqrdmulhq_s16(t, multiplier), 7);
}

/* Eight 32-bit multipliers as 16 bits. */
ALWAYS_INLINE int16x8_t load_multipliers(const int32_t *p) {
    return vcombine_s16(vmovn_s32(vld1q_s32(p)), vmovn_s32(vld1q_s32(p + 4)));
}

/* As the scalar clamp, signed zeros and NaN included. */
ALWAYS_INLINE float32x4_t clamp_f32(float32x4_t x, float lo, float hi) {
    float32x4_t vlo = vdupq_n_f32(lo), vhi = vdupq_n_f32(hi);
    x = vbslq_f32(vcltq_f32(x, vlo), vlo, x);
    return vbslq_f32(vcgtq_f32(x, vhi), vhi, x);
}

/* The first 0..4 elements. */
ALWAYS_INLINE float32x4_t load_floats(const float *p, size_t count) {
    float buffer[4] = {0};
    memcpy(buffer, p, count * sizeof *p);
    return vld1q_f32(buffer);
}
ALWAYS_INLINE void store_floats(float *p, float32x4_t x, int64_t count) {
    float buffer[4];
    if (count >= 4) {
        vst1q_f32(p, x);
    } else if (count > 0) {
        vst1q_f32(buffer, x);
        memcpy(p, buffer, (size_t)count * sizeof *p);
    }
}

#endif
