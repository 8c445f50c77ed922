/* Depthwise kernel for windows of 3x3 that move by one or two pixels; NEON has the others. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dotprod.h"

/* 16 channels of four values each, channel by channel. */
typedef struct column {
    int8x16_t c0, c4, c8, c12;
} column;

ALWAYS_INLINE column interleave(int8x16_t a, int8x16_t b, int8x16_t c, int8x16_t d) {
    int16x8_t ab0 = vreinterpretq_s16_s8(vzip1q_s8(a, b)), ab8 = vreinterpretq_s16_s8(vzip2q_s8(a, b));
    int16x8_t cd0 = vreinterpretq_s16_s8(vzip1q_s8(c, d)), cd8 = vreinterpretq_s16_s8(vzip2q_s8(c, d));
    return (column){.c0 = vreinterpretq_s8_s16(vzip1q_s16(ab0, cd0)),
                    .c4 = vreinterpretq_s8_s16(vzip2q_s16(ab0, cd0)),
                    .c8 = vreinterpretq_s8_s16(vzip1q_s16(ab8, cd8)),
                    .c12 = vreinterpretq_s8_s16(vzip2q_s16(ab8, cd8))};
}

typedef struct sums {
    int32x4_t c0, c4, c8, c12;
} sums;

ALWAYS_INLINE sums add_column(sums s, column x, column w) {
    return (sums){.c0 = vdotq_s32(s.c0, x.c0, w.c0),
                  .c4 = vdotq_s32(s.c4, x.c4, w.c4),
                  .c8 = vdotq_s32(s.c8, x.c8, w.c8),
                  .c12 = vdotq_s32(s.c12, x.c12, w.c12)};
}

/* A column of the image is put into order once and counts for all the pixels, three or two, whose windows it is in. Its fourth
 * value meets a weight of 0. */
ALWAYS_INLINE void convolve_3x3(const wisp_dwconv_s8 *d, ptrdiff_t c, int32_t step) {
    const wisp_channels_s8 *ch = d->channels + c / WISP_CHANNELS;
    const int8_t *w = d->weights + c * 10;
    const requantize_s8x16 p = load_requantize_16(ch, d->lo, d->hi);
    const int8x16x2_t w01 = vld2q_s8(w), w23 = vld2q_s8(w + 32), w45 = vld2q_s8(w + 64), w67 = vld2q_s8(w + 96), w8 = vld2q_s8(w + 128);
    const column left = interleave(w01.val[0], w23.val[1], w67.val[0], vdupq_n_s8(0));
    const column centre = interleave(w01.val[1], w45.val[0], w67.val[1], vdupq_n_s8(0));
    const column right = interleave(w23.val[0], w45.val[1], w8.val[0], vdupq_n_s8(0));
    const sums bias = {vld1q_s32(ch->bias), vld1q_s32(ch->bias + 4), vld1q_s32(ch->bias + 8), vld1q_s32(ch->bias + 12)};
    const int8_t *const *top = d->rows + d->tap_offset[0], *const *middle = d->rows + d->tap_offset[3];
    const int8_t *const *bottom = d->rows + d->tap_offset[6];
    const ptrdiff_t stride = d->out_stride;
    int8_t *out = d->out + c;
    ptrdiff_t i = 0, n = d->n;
#define LOAD(i) interleave(vld1q_s8(top[i] + c), vld1q_s8(middle[i] + c), vld1q_s8(bottom[i] + c), vld1q_s8(bottom[i] + c))
#define STEP(done, next, begun)                                                \
    {                                                                          \
        column x = LOAD(i + 2);                                                \
        done = add_column(done, x, right);                                     \
        next = add_column(next, x, centre);                                    \
        begun = add_column(bias, x, left);                                     \
        vst1q_s8(out, requantize_16(done.c0, done.c4, done.c8, done.c12, &p)); \
        out += stride;                                                         \
        if (++i == n) return;                                                  \
    }
    column x = LOAD(0);
    if (step == 2) {
        for (; i < n; i++, out += stride) {
            sums s = add_column(bias, x, left);
            x = LOAD(2 * i + 1);
            s = add_column(s, x, centre);
            x = LOAD(2 * i + 2);
            s = add_column(s, x, right);
            vst1q_s8(out, requantize_16(s.c0, s.c4, s.c8, s.c12, &p));
        }
        return;
    }
    sums s0 = add_column(bias, x, left), s1, s2;
    x = LOAD(1);
    s0 = add_column(s0, x, centre), s1 = add_column(bias, x, left);
    for (;;) {
        STEP(s0, s1, s2)
        STEP(s1, s2, s0)
        STEP(s2, s0, s1)
    }
#undef STEP
#undef LOAD
}

void wisp_dwconv_s8_dotprod(const wisp_dwconv_s8 *d) {
    ptrdiff_t c = 0;
    if (is_3x3(d) && d->row_step == 1)
        for (; c + WISP_CHANNELS <= d->c; c += WISP_CHANNELS) convolve_3x3(d, c, 1);
    else if (is_3x3(d) && d->row_step == 2)
        for (; c + WISP_CHANNELS <= d->c; c += WISP_CHANNELS) convolve_3x3(d, c, 2);
    if (c < d->c) wisp_dwconv_from_s8_neon(d, c);
}
