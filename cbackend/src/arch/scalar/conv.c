/* Portable depthwise kernels: one pixel by one block of up to 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "scalar.h"

void wisp_dwconv_s8_scalar(const wisp_dwconv_s8 *d) {
    ptrdiff_t block_size = (ptrdiff_t)((d->taps + (int64_t)1) / 2) * 32;
    for (int32_t c0 = 0; c0 < d->c; c0 += WISP_CHANNELS) {
        const wisp_channels_s8 *ch = d->channels + c0 / WISP_CHANNELS;
        const int8_t *block = d->weights + c0 / WISP_CHANNELS * block_size;
        int32_t width = d->c - c0 < WISP_CHANNELS ? d->c - c0 : WISP_CHANNELS;
        for (int32_t i = 0; i < d->n; i++) {
            int32_t acc[WISP_CHANNELS];
            memcpy(acc, ch->bias, sizeof acc);
            for (int32_t t = 0; t < d->taps; t++) {
                const int8_t *x = d->rows[d->tap_offset[t] + (ptrdiff_t)i * d->row_step] + c0;
                const int8_t *w = block + (ptrdiff_t)(t / 2) * 32 + t % 2;
                for (int32_t j = 0; j < width; j++) acc[j] = add_wrap(acc[j], x[j] * w[2 * j]);
            }
            int8_t *out = d->out + i * d->out_stride + c0;
            for (int32_t j = 0; j < width; j++) out[j] = requantize_s8(acc[j], ch->shift[j], ch->multiplier[j], d->lo, d->hi);
        }
    }
}

void wisp_dwconv_f32_scalar(const wisp_dwconv_f32 *d) {
    for (int32_t c0 = 0; c0 < d->c; c0 += WISP_CHANNELS) {
        const float *block = d->weights + (ptrdiff_t)c0 * d->taps;
        int32_t width = d->c - c0 < WISP_CHANNELS ? d->c - c0 : WISP_CHANNELS;
        for (int32_t i = 0; i < d->n; i++) {
            float acc[WISP_CHANNELS];
            memcpy(acc, d->bias + c0, sizeof acc);
            for (int32_t t = 0; t < d->taps; t++) {
                const float *x = d->rows[d->tap_offset[t] + (ptrdiff_t)i * d->row_step] + c0;
                const float *w = block + (ptrdiff_t)t * WISP_CHANNELS;
                for (int32_t j = 0; j < width; j++) acc[j] += x[j] * w[j];
            }
            float *out = d->out + i * d->out_stride + c0;
            for (int32_t j = 0; j < width; j++) out[j] = clamp_f32(acc[j], d->lo, d->hi);
        }
    }
}
