/* Portable matrix kernels: one row by one panel of 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scalar.h"

/* acc[j] += sum of x[c] * w[j][c]; w is one tap of a panel: [k4/4][16][4]. */
static void accumulate_s8(int32_t *acc, const int8_t *x, const int8_t *w, int32_t k) {
    for (int32_t c = 0; c < k; c += 4, w += 64) {
        int8_t x4[4] = {0, 0, 0, 0};
        memcpy(x4, x + c, k - c < 4 ? (size_t)(k - c) : 4);
        for (int j = 0; j < WISP_CHANNELS; j++) {
            const int8_t *w4 = w + 4 * j;
            acc[j] = add_wrap(acc[j], x4[0] * w4[0] + x4[1] * w4[1] + x4[2] * w4[2] + x4[3] * w4[3]);
        }
    }
}

static void multiply_s8(const wisp_gemm *g) {
    ptrdiff_t tap_size = (ptrdiff_t)((g->k + (int64_t)3) / 4) * 64;
    for (int32_t j0 = 0; j0 < g->n; j0 += WISP_CHANNELS) {
        const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j0 / WISP_CHANNELS;
        const int8_t *panel = (const int8_t *)g->weights + j0 / WISP_CHANNELS * (g->taps * tap_size);
        int32_t width = g->n - j0 < WISP_CHANNELS ? g->n - j0 : WISP_CHANNELS;
        for (int32_t i = 0; i < g->m; i++) {
            int32_t acc[WISP_CHANNELS];
            memcpy(acc, ch->bias, sizeof acc);
            for (int32_t t = 0; t < g->taps; t++) accumulate_s8(acc, g->rows[(ptrdiff_t)t * g->m + i], panel + t * tap_size, g->k);
            for (int32_t j = 0; g->row_term && j < width; j++)
                acc[j] = add_wrap(acc[j], multiply_wrap(g->row_term[i], g->column_term[j0 + j]));
            int8_t *out = (int8_t *)g->out + i * g->out_stride + j0;
            for (int32_t j = 0; j < width; j++) out[j] = requantize_s8(acc[j], ch->shift[j], ch->multiplier[j], g->lo, g->hi);
        }
    }
}

const wisp_gemm_kernel wisp_gemm_s8_scalar = {multiply_s8, NULL, "gemm_s8_scalar", WISP_MAX_MR, 0};

static void multiply_f32(const wisp_gemm *g) {
    ptrdiff_t tap_size = (ptrdiff_t)g->k * WISP_CHANNELS;
    for (int32_t j0 = 0; j0 < g->n; j0 += WISP_CHANNELS) {
        const float *panel = (const float *)g->weights + j0 / WISP_CHANNELS * (g->taps * tap_size);
        int32_t width = g->n - j0 < WISP_CHANNELS ? g->n - j0 : WISP_CHANNELS;
        for (int32_t i = 0; i < g->m; i++) {
            float acc[WISP_CHANNELS];
            memcpy(acc, (const float *)g->columns + j0, sizeof acc);
            const float *w = panel;
            for (int32_t t = 0; t < g->taps; t++) {
                const float *x = g->rows[(ptrdiff_t)t * g->m + i];
                for (int32_t c = 0; c < g->k; c++, w += WISP_CHANNELS)
                    for (int j = 0; j < WISP_CHANNELS; j++) acc[j] += x[c] * w[j];
            }
            float *out = (float *)g->out + i * g->out_stride + j0;
            for (int32_t j = 0; j < width; j++) out[j] = clamp_f32(acc[j], g->min, g->max);
        }
    }
}

const wisp_gemm_kernel wisp_gemm_f32_scalar = {multiply_f32, NULL, "gemm_f32_scalar", WISP_MAX_MR, 0};
