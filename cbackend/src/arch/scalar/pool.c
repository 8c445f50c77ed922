/* Portable pooling kernels: maximum and sum over rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scalar.h"

void wisp_max_s8_scalar(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    memcpy(out, rows[0], (size_t)c);
    for (int32_t t = 1; t < count; t++) {
        const int8_t *x = rows[t];
        for (int32_t i = 0; i < c; i++) out[i] = x[i] > out[i] ? x[i] : out[i];
    }
}

void wisp_max_f32_scalar(const float *const *rows, int32_t count, int32_t c, float *out) {
    memcpy(out, rows[0], (size_t)c * sizeof *out);
    for (int32_t t = 1; t < count; t++) {
        const float *x = rows[t];
        for (int32_t i = 0; i < c; i++) out[i] = x[i] > out[i] || x[i] != x[i] ? x[i] : out[i];
    }
}

void wisp_sum_s8_scalar(const int8_t *const *rows, int32_t count, int32_t c, int32_t *out) {
    memset(out, 0, (size_t)c * sizeof *out);
    for (int32_t t = 0; t < count; t++) {
        const int8_t *x = rows[t];
        for (int32_t i = 0; i < c; i++) out[i] += x[i];
    }
}

void wisp_sum_f32_scalar(const float *const *rows, int32_t count, int32_t c, float *out) {
    memcpy(out, rows[0], (size_t)c * sizeof *out);
    for (int32_t t = 1; t < count; t++) {
        const float *x = rows[t];
        for (int32_t i = 0; i < c; i++) out[i] += x[i];
    }
}
