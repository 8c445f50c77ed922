/* Depthwise kernel: 16 channels of a pixel; the products of two taps share a 16-bit lane. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

/* |product| <= 128 * 127, so two of them fit 16 bits; `wide`: not two of 128 * 128. vmullb takes even channels, vmullt odd ones; vmovlb and
 * vmovlt split those again. vld2 parts the weights of the two taps: [pairs][16][2]. */
ALWAYS_INLINE int32x4x4_t add_products(int32x4x4_t a, int16x8_t even, int16x8_t odd) {
    a.val[0] = vaddq_s32(a.val[0], vmovlbq_s16(even));
    a.val[2] = vaddq_s32(a.val[2], vmovltq_s16(even));
    a.val[1] = vaddq_s32(a.val[1], vmovlbq_s16(odd));
    a.val[3] = vaddq_s32(a.val[3], vmovltq_s16(odd));
    return a;
}

ALWAYS_INLINE int8x16_t sum_taps(const wisp_dwconv_s8 *d, const int8_t *const *rows, int32_t c0, const int8_t *w,
                                 const wisp_channels_s8 *ch, const channels *c, mve_pred16_t p, int wide) {
    int32x4x4_t a = vld4q_s32(ch->bias);
    const int32_t *offset = d->tap_offset;
    for (int32_t t = 0; t < d->taps; t += 2, w += 32, offset += 2) {
        const int8x16x2_t pair = vld2q_s8(w);
        const int8x16_t x = vldrbq_z_s8(rows[offset[0]] + c0, p);
        int16x8_t even = vmullbq_int_s8(x, pair.val[0]), odd = vmulltq_int_s8(x, pair.val[0]);
        if (t + 1 < d->taps) {
            const int8x16_t y = vldrbq_z_s8(rows[offset[1]] + c0, p);
            const int16x8_t next_even = vmullbq_int_s8(y, pair.val[1]), next_odd = vmulltq_int_s8(y, pair.val[1]);
            if (wide)
                a = add_products(a, next_even, next_odd);
            else
                even = vaddq_s16(even, next_even), odd = vaddq_s16(odd, next_odd);
        }
        a = add_products(a, even, odd);
    }
    return requantize(a.val[0], a.val[1], a.val[2], a.val[3], c, vdupq_n_s8(d->lo), vdupq_n_s8(d->hi));
}

ALWAYS_INLINE void convolve(const wisp_dwconv_s8 *d, int wide) {
    const ptrdiff_t block = (ptrdiff_t)(d->taps / 2 + d->taps % 2) * 32;
    const int8_t *w = d->weights;
    for (int32_t c0 = 0; c0 < d->c; c0 += WISP_CHANNELS, w += block) {
        const wisp_channels_s8 *ch = d->channels + c0 / WISP_CHANNELS;
        const channels c = load_channels(ch);
        const mve_pred16_t p = vctp8q((uint32_t)(d->c - c0));
        const int8_t *const *rows = d->rows;
        int8_t *out = d->out + c0;
        for (int32_t i = 0; i < d->n; i++, rows += d->row_step, out += d->out_stride)
            vstrbq_p_s8(out, sum_taps(d, rows, c0, w, ch, &c, p, wide), p);
    }
}

void wisp_dwconv_s8_mve(const wisp_dwconv_s8 *d) {
    if (d->full_range)
        convolve(d, 1);
    else
        convolve(d, 0);
}
