/* Rescaled sums and products, tables. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

/* Up to four values, or one for all of them. */
ALWAYS_INLINE int32x4_t load_values(const int8_t *x, int step, mve_pred16_t p) {
    return step ? vldrbq_z_s32(x, p) : vdupq_n_s32(*x);
}

void wisp_add_s8_mve(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const int32x4_t bias = vdupq_n_s32(p->bias), lo = vdupq_n_s32(p->lo), hi = vdupq_n_s32(p->hi);
    const int8_t a0 = n ? *a : 0, b0 = n ? *b : 0; /* y may be a or b */
    for (size_t i = 0; i < n; i += 4) {
        const mve_pred16_t tail = vctp32q((uint32_t)(n - i));
        int32x4_t sum = vmlaq_n_s32(bias, load_values(step_a ? a + i : &a0, step_a, tail), p->multiplier_a);
        sum = vmlaq_n_s32(sum, load_values(step_b ? b + i : &b0, step_b, tail), p->multiplier_b);
        vstrbq_p_s32(y + i, vminq_s32(vmaxq_s32(vshlq_r_s32(sum, -p->shift), lo), hi), tail);
    }
}

void wisp_mul_s8_mve(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const int32x4_t limit = vdupq_n_s32(32767), lo = vdupq_n_s32(p->lo), hi = vdupq_n_s32(p->hi);
    const int8_t a0 = n ? *a : 0, b0 = n ? *b : 0;
    for (size_t i = 0; i < n; i += 4) {
        const mve_pred16_t tail = vctp32q((uint32_t)(n - i));
        int32x4_t x = vsubq_n_s32(load_values(step_a ? a + i : &a0, step_a, tail), p->zero_a);
        x = vmulq_s32(x, vsubq_n_s32(load_values(step_b ? b + i : &b0, step_b, tail), p->zero_b));
        x = vqshlq_r_s32(vaddq_n_s32(x, p->bias), -p->shift);
        x = vminq_s32(vmaxq_s32(x, vmvnq_s32(limit)), limit);
        x = vrshrq_n_s32(vrshrq_n_s32(vmulq_n_s32(x, p->multiplier), 15), 7);
        vstrbq_p_s32(y + i, vminq_s32(vmaxq_s32(x, lo), hi), tail);
    }
}

void wisp_lookup_s8_mve(const int8_t *table, const int8_t *x, int8_t *y, size_t n) {
    const uint8x16_t top = vdupq_n_u8(0x80);
    for (size_t i = 0; i < n; i += 16) {
        const mve_pred16_t tail = vctp8q((uint32_t)(n - i));
        const uint8x16_t at = veorq_u8(vreinterpretq_u8_s8(vldrbq_z_s8(x + i, tail)), top);
        vstrbq_p_s8(y + i, vldrbq_gather_offset_z_s8(table, at, tail), tail);
    }
}
