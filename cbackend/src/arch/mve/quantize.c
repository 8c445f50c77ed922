/* Conversion from f32 to int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

void wisp_quantize_s8_scalar(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n);

/* Vector arithmetic takes denormal operands as zero. A product of half a step or more with one needs a scale outside of these. */
ALWAYS_INLINE int needs_denormals(float inverse_scale) {
    return !(inverse_scale >= 0x1p-126f && inverse_scale <= 0x1p125f);
}

/* vcvtn rounds halves to even, saturates, and takes NaN to 0: the contract in one instruction. */
void wisp_quantize_s8_mve(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    if (needs_denormals(inverse_scale)) {
        wisp_quantize_s8_scalar(x, inverse_scale, zero_point, y, n);
        return;
    }
    const int32x4_t zero = vdupq_n_s32(zero_point), lo = vdupq_n_s32(-128), hi = vdupq_n_s32(127);
    for (size_t i = 0; i < n; i += 4) {
        const mve_pred16_t tail = vctp32q((uint32_t)(n - i));
        const int32x4_t q = vqaddq_s32(vcvtnq_s32_f32(vmulq_n_f32(vldrwq_z_f32(x + i, tail), inverse_scale)), zero);
        vstrbq_p_s32(y + i, vminq_s32(vmaxq_s32(q, lo), hi), tail);
    }
}
