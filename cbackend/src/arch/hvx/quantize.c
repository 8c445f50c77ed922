/* f32 to int8 without float vectors: scalar instructions, four values at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

/* The conversion rounds to nearest even, the mode every program starts in, and saturates; so do the addition of the zero point and the
 * two packs. A NaN must be caught: it would convert to -1. */
ALWAYS_INLINE int32_t to_integer(float x, float inverse_scale) {
    float scaled = x * inverse_scale;
    int32_t rounded = Q6_R_convert_sf2w_R(scaled);
    return scaled != scaled ? 0 : rounded;
}

void wisp_quantize_s8_hvx(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    const int64_t zero = Q6_P_combine_RR(zero_point, zero_point);
    for (; n && (uintptr_t)y % 4; n--, x++, y++) {
        int64_t t = Q6_P_vaddw_PP_sat(Q6_P_combine_RR(0, to_integer(*x, inverse_scale)), zero);
        *y = (int8_t)Q6_R_vsathb_P(Q6_P_combine_RR(0, Q6_R_vsatwh_P(t)));
    }
    for (; n >= 4; n -= 4, x += 4, y += 4) {
        int64_t a = Q6_P_combine_RR(to_integer(x[1], inverse_scale), to_integer(x[0], inverse_scale));
        int64_t b = Q6_P_combine_RR(to_integer(x[3], inverse_scale), to_integer(x[2], inverse_scale));
        int32_t low = Q6_R_vsatwh_P(Q6_P_vaddw_PP_sat(a, zero)), high = Q6_R_vsatwh_P(Q6_P_vaddw_PP_sat(b, zero));
        *(int32_t *)(void *)y = Q6_R_vsathb_P(Q6_P_combine_RR(high, low));
    }
    for (; n; n--, x++, y++) {
        int64_t t = Q6_P_vaddw_PP_sat(Q6_P_combine_RR(0, to_integer(*x, inverse_scale)), zero);
        *y = (int8_t)Q6_R_vsathb_P(Q6_P_combine_RR(0, Q6_R_vsatwh_P(t)));
    }
}
