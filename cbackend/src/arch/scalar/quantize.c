/* Portable conversions between f32 and int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

/* Clamping first to +-1024 changes nothing (|zero point| <= 128) and keeps the conversion to int defined. Adding 1.5 * 2^23, where
 * floats are whole numbers, rounds halves to even without a call of rintf. */
void wisp_quantize_s8_scalar(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float scaled = x[i] * inverse_scale;
        float rounded = clamp_f32(scaled, -1024.0f, 1024.0f) + 12582912.0f - 12582912.0f;
        y[i] = (int8_t)clamp_s32((scaled != scaled ? 0 : (int32_t)rounded) + zero_point, -128, 127);
    }
}

void wisp_dequantize_s8_scalar(const int8_t *x, float scale, int32_t zero_point, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = (float)(x[i] - zero_point) * scale;
}
