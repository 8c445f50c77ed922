/* Depthwise kernel: 8 channels of a pixel at a time, two taps for each smlad. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

void wisp_dwconv_s8_scalar(const wisp_dwconv_s8 *d);

/* MAX_PAIRS: of taps, 1 KB of stack; more than 7 x 7 is left to the portable kernel. */
enum { WIDTH = 8, MAX_PAIRS = 32 };

/* Weights of 8 channels as pairs of int16 {tap 2p, tap 2p + 1}: [pairs][8]. w: bytes [pairs][16][2], at the first channel. */
static void widen_weights(const int8_t *w, int32_t pairs, uint32_t *out) {
    for (int32_t p = 0; p < pairs; p++, w += 32)
        for (int i = 0; i < WIDTH; i += 2, out += 2) {
            const uint32_t four = load_word(w + 2 * i), even = (uint32_t)even_bytes(four), odd = (uint32_t)odd_bytes(four);
            out[0] = (even & 0xffff) | odd << 16;
            out[1] = even >> 16 | (odd & 0xffff0000);
        }
}

/* {x[i], y[i]} for the four bytes of x and y. */
#define EACH_QUAD(DO) DO(0, 1, 2, 3, 0) DO(4, 5, 6, 7, 4)

/* One pixel: the sums of 8 channels. An odd last tap meets itself and a weight of 0. */
ALWAYS_INLINE void sum_taps(const int8_t *const *rows, const int32_t *offset, int32_t taps, ptrdiff_t c0, int32_t width, const uint32_t *w,
                            int32_t *acc) {
    int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3], a4 = acc[4], a5 = acc[5], a6 = acc[6], a7 = acc[7];
    for (int32_t t = 0; t < taps; t += 2, w += WIDTH) {
        const int8_t *x = rows[offset[t]] + c0, *y = rows[offset[t + (t + 1 < taps)]] + c0;
        int8_t buffer_x[WIDTH] = {0}, buffer_y[WIDTH] = {0};
        if (width < WIDTH) {
            memcpy(buffer_x, x, (size_t)width), memcpy(buffer_y, y, (size_t)width);
            x = buffer_x, y = buffer_y;
        }
#define QUAD(i, j, k, l, at)                                                                               \
    {                                                                                                      \
        const uint32_t u = load_word(x + at), v = load_word(y + at);                                       \
        const uint32_t low = (u & 0xffff) | v << 16, high = u >> 16 | (v & 0xffff0000); /* pkhbt, pkhtb */ \
        a##i = __smlad(even_bytes(low), (int16x2_t)w[i], a##i);                                            \
        a##j = __smlad(odd_bytes(low), (int16x2_t)w[j], a##j);                                             \
        a##k = __smlad(even_bytes(high), (int16x2_t)w[k], a##k);                                           \
        a##l = __smlad(odd_bytes(high), (int16x2_t)w[l], a##l);                                            \
    }
        EACH_QUAD(QUAD)
#undef QUAD
    }
    acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3, acc[4] = a4, acc[5] = a5, acc[6] = a6, acc[7] = a7;
}

ALWAYS_INLINE void run_block(const wisp_dwconv_s8 *d, int32_t c0, int32_t width, const uint32_t *w) {
    const wisp_channels_s8 *ch = d->channels + c0 / WISP_CHANNELS;
    const int32_t first = c0 % WISP_CHANNELS;
    int8_t *out = d->out + c0;
    const int8_t *const *rows = d->rows;
    for (int32_t i = 0; i < d->n; i++, rows += d->row_step, out += d->out_stride) {
        int32_t acc[WIDTH];
        memcpy(acc, ch->bias + first, sizeof acc);
        sum_taps(rows, d->tap_offset, d->taps, c0, width, w, acc);
        for (int32_t j = 0; j < width; j++) {
            const int32_t shift = ch->shift[first + j], multiplier = ch->multiplier[first + j];
            out[j] = d->left ? requantize_s8(acc[j], shift, multiplier, d->lo, d->hi)
                             : (int8_t)requantize_right(acc[j], shift, multiplier, d->lo, d->hi);
        }
    }
}

void wisp_dwconv_s8_dsp(const wisp_dwconv_s8 *d) {
    const int32_t pairs = d->taps / 2 + d->taps % 2;
    uint32_t w[MAX_PAIRS * WIDTH];
    if (pairs > MAX_PAIRS) {
        wisp_dwconv_s8_scalar(d);
        return;
    }
    for (int32_t c0 = 0; c0 < d->c; c0 += WIDTH) {
        const ptrdiff_t block = (ptrdiff_t)(c0 / WISP_CHANNELS) * pairs * 32;
        widen_weights(d->weights + block + 2 * (c0 % WISP_CHANNELS), pairs, w);
        if (d->c - c0 >= WIDTH)
            run_block(d, c0, WIDTH, w);
        else
            run_block(d, c0, d->c - c0, w);
    }
}
