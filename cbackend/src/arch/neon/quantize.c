/* Conversion from f32 to int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

void wisp_quantize_s8_scalar(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n);

ALWAYS_INLINE int8x8_t quantize_8(const float *x, float inverse_scale, int16x8_t zero) {
    int32x4_t a = round_floats(vmulq_n_f32(vld1q_f32(x), inverse_scale));
    int32x4_t b = round_floats(vmulq_n_f32(vld1q_f32(x + 4), inverse_scale));
    return vqmovn_s16(vqaddq_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)), zero));
}

/* A product of half a step or more with a denormal operand needs a scale outside of these. */
ALWAYS_INLINE int needs_denormals(float inverse_scale) {
    return FLUSHES_DENORMALS && !(inverse_scale >= 0x1p-126f && inverse_scale <= 0x1p125f);
}

void wisp_quantize_s8_neon(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    if (needs_denormals(inverse_scale)) {
        wisp_quantize_s8_scalar(x, inverse_scale, zero_point, y, n);
        return;
    }
    int16x8_t zero = vdupq_n_s16((int16_t)zero_point);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) vst1_s8(y + i, quantize_8(x + i, inverse_scale, zero));
    if (i == n) return;
    float tail[8] = {0};
    memcpy(tail, x + i, (n - i) * sizeof *x);
    int8x8_t q = quantize_8(tail, inverse_scale, zero);
    store_bytes(y + i, vcombine_s8(q, q), n - i);
}
