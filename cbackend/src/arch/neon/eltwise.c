/* Element-wise int8 kernels. The tail goes through a buffer, because y may be an operand and must not be read again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

enum { BLOCK = 8 };

ALWAYS_INLINE int8x8_t clamp_s8(int8x8_t x, int8_t lo, int8_t hi) {
    return vmin_s8(vmax_s8(x, vdup_n_s8(lo)), vdup_n_s8(hi));
}

ALWAYS_INLINE int8x8_t add_8(const wisp_add_s8 *p, int8x8_t a, int8x8_t b) {
    int16x8_t wide_a = vmovl_s8(a), wide_b = vmovl_s8(b);
    int16_t ma = (int16_t)p->multiplier_a, mb = (int16_t)p->multiplier_b;
    int32x4_t bias = vdupq_n_s32(p->bias), left = vdupq_n_s32(-p->shift);
    int32x4_t s0 = vmlal_n_s16(vmlal_n_s16(bias, vget_low_s16(wide_a), ma), vget_low_s16(wide_b), mb);
    int32x4_t s1 = vmlal_n_s16(vmlal_n_s16(bias, vget_high_s16(wide_a), ma), vget_high_s16(wide_b), mb);
    s0 = vshlq_s32(s0, left), s1 = vshlq_s32(s1, left);
    return clamp_s8(vqmovn_s16(vcombine_s16(vqmovn_s32(s0), vqmovn_s32(s1))), p->lo, p->hi);
}

ALWAYS_INLINE int8x8_t mul_8(const wisp_mul_s8 *p, int8x8_t a, int8x8_t b) {
    int16x8_t wide_a = vsubl_s8(a, vdup_n_s8((int8_t)p->zero_a)), wide_b = vsubl_s8(b, vdup_n_s8((int8_t)p->zero_b));
    int32x4_t bias = vdupq_n_s32(p->bias), left = vdupq_n_s32(-p->shift);
    int32x4_t s0 = vmlal_s16(bias, vget_low_s16(wide_a), vget_low_s16(wide_b));
    int32x4_t s1 = vmlal_s16(bias, vget_high_s16(wide_a), vget_high_s16(wide_b));
    return clamp_s8(requantize_8(s0, s1, left, left, vdupq_n_s16((int16_t)p->multiplier)), p->lo, p->hi);
}

/* Runs `body` over n elements, 8 at a time; step 0 broadcasts the one value, read before the first write. The parameters are
 * copied because y might be them. */
#define FOR_BLOCKS(parameters, body)                                                             \
    if (n == 0) return;                                                                          \
    const parameters own = *p;                                                                   \
    int8x8_t fixed_a = vdup_n_s8(*a), fixed_b = vdup_n_s8(*b);                                   \
    size_t i = 0;                                                                                \
    for (; i + BLOCK <= n; i += BLOCK) {                                                         \
        int8x8_t va = step_a ? vld1_s8(a + i) : fixed_a, vb = step_b ? vld1_s8(b + i) : fixed_b; \
        vst1_s8(y + i, body(&own, va, vb));                                                      \
    }                                                                                            \
    if (i < n) {                                                                                 \
        int8x8_t va = step_a ? vget_low_s8(load_bytes(a + i, n - i)) : fixed_a;                  \
        int8x8_t vb = step_b ? vget_low_s8(load_bytes(b + i, n - i)) : fixed_b;                  \
        int8x8_t q = body(&own, va, vb);                                                         \
        store_bytes(y + i, vcombine_s8(q, q), n - i);                                            \
    }

void wisp_add_s8_neon(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    FOR_BLOCKS(wisp_add_s8, add_8)
}

void wisp_mul_s8_neon(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    FOR_BLOCKS(wisp_mul_s8, mul_8)
}
