/* Portable element-wise kernels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

/* Products stay within 2^23 and a hostile bias wraps, as in vector registers. */
void wisp_add_s8_scalar(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) {
        int32_t sum = add_wrap(*a * p->multiplier_a + *b * p->multiplier_b, p->bias);
        y[i] = (int8_t)clamp_s32(shift_right(sum, p->shift), p->lo, p->hi);
    }
}

void wisp_mul_s8_scalar(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) {
        int32_t product = add_wrap((*a - p->zero_a) * (*b - p->zero_b), p->bias);
        y[i] = requantize_s8(product, p->shift, p->multiplier, p->lo, p->hi);
    }
}

void wisp_lookup_s8_scalar(const int8_t *table, const int8_t *x, int8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = table[x[i] + 128];
}

void wisp_add_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a + *b;
}

void wisp_sub_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a - *b;
}

void wisp_mul_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a * *b;
}

void wisp_div_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a / *b;
}

/* A NaN on either side gives NaN, as in ONNX's reference (numpy). */
void wisp_minimum_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a < *b || *a != *a ? *a : *b;
}

void wisp_maximum_f32_scalar(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++, a += step_a, b += step_b) y[i] = *a > *b || *a != *a ? *a : *b;
}

void wisp_clamp_f32_scalar(const float *x, float lo, float hi, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = clamp_f32(x[i], lo, hi);
}
