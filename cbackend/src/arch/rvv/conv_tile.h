/* Depthwise tiles for both register lengths: four pixels by a block of up to 16 channels. block.h says how long. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV_CONV_TILE_H
#define WISP_RVV_CONV_TILE_H

#include "rvv.h"
#include "shift_left.h"

#define EACH_PIXEL(DO) DO(0) DO(1) DO(2) DO(3)

enum { PIXELS = 4 };

/* Two products fit 16 bits (2 * 128 * 127), so a pair of taps costs one widening addition; `wide`: not 2 * 128 * 128. Pixels beyond n
 * repeat the last one. */
ALWAYS_INLINE void convolve_pixels_s8(const wisp_dwconv_s8 *d, const wisp_channels_s8 *ch, const int8_t *w, ptrdiff_t c0, int32_t i,
                                      size_t vl, int wide) {
#define DECLARE(p)                                                         \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                        \
    const int8_t *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    VEC_S32 a##p = LOAD_S32(ch->bias, vl);
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t += 2, w += 2 * WISP_CHANNELS) {
        ptrdiff_t first = d->tap_offset[t];
        ptrdiff_t second = d->tap_offset[t + 1 < d->taps ? t + 1 : t]; /* a missing tap has zero weights */
        VEC_S8X2 pair = LOAD_S8X2(w, vl);
#define STEP(p)                                                                               \
    {                                                                                         \
        VEC_S16 sum = __riscv_vwmul(LOAD_S8(row##p[first] + c0, vl), GET_S8(pair, 0), vl);    \
        if (wide) {                                                                           \
            a##p = __riscv_vwadd_wv(a##p, sum, vl);                                           \
            sum = __riscv_vwmul(LOAD_S8(row##p[second] + c0, vl), GET_S8(pair, 1), vl);       \
        } else {                                                                              \
            sum = __riscv_vwmacc(sum, LOAD_S8(row##p[second] + c0, vl), GET_S8(pair, 1), vl); \
        }                                                                                     \
        a##p = __riscv_vwadd_wv(a##p, sum, vl);                                               \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
    VEC_S32 shift = LOAD_S32(ch->shift, vl);
    if (d->any_left_shift) {
#define SHIFT(p) a##p = shift_left(a##p, shift, vl);
        EACH_PIXEL(SHIFT)
#undef SHIFT
        shift = __riscv_vmax(shift, 0, vl);
    }
    VEC_U16 narrow_shift = TO_U16(__riscv_vncvt_x(shift, vl));
    VEC_S16 multiplier = __riscv_vncvt_x(LOAD_S32(ch->multiplier, vl), vl);
#define TO_S16(p) VEC_S16 t##p = SHIFT_TO_S16(a##p, narrow_shift, vl);
    EACH_PIXEL(TO_S16)
#undef TO_S16
#define STORE(p)                                                                              \
    {                                                                                         \
        VEC_S8 q = CLAMP(ROUND_TO_S8(SCALE_S16(t##p, multiplier, vl), vl), d->lo, d->hi, vl); \
        __riscv_vse8(d->out + i##p * d->out_stride + c0, q, vl);                              \
    }
    EACH_PIXEL(STORE)
#undef STORE
}

ALWAYS_INLINE void convolve_s8(const wisp_dwconv_s8 *d) {
    const ptrdiff_t block_size = (ptrdiff_t)(((int64_t)d->taps + 1) / 2) * 2 * WISP_CHANNELS;
    const wisp_channels_s8 *ch = d->channels;
    const int8_t *w = d->weights;
    for (ptrdiff_t c0 = 0; c0 < d->c; c0 += WISP_CHANNELS, ch++, w += block_size) {
        size_t vl = d->c - c0 < WISP_CHANNELS ? (size_t)(d->c - c0) : WISP_CHANNELS;
        if (d->full_range)
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_s8(d, ch, w, c0, i, vl, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_s8(d, ch, w, c0, i, vl, 0);
    }
}

ALWAYS_INLINE void convolve_pixels_f32(const wisp_dwconv_f32 *d, ptrdiff_t c0, int32_t i, size_t vl) {
    const float *w = d->weights + c0 * d->taps;
#define DECLARE(p)                                                        \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                       \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    VEC_F32 a##p = LOAD_F32(d->bias + c0, vl);
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        VEC_F32 wide = LOAD_F32(w, vl);
#define STEP(p) a##p = __riscv_vfmacc(a##p, LOAD_F32(row##p[offset] + c0, vl), wide, vl);
        EACH_PIXEL(STEP)
#undef STEP
    }
#define STORE(p)                            \
    a##p = CLAMP_AT_LEAST(a##p, d->lo, vl); \
    a##p = CLAMP_AT_MOST(a##p, d->hi, vl);  \
    __riscv_vse32(d->out + i##p * d->out_stride + c0, a##p, vl);
    EACH_PIXEL(STORE)
#undef STORE
}

ALWAYS_INLINE void convolve_f32(const wisp_dwconv_f32 *d) {
    for (ptrdiff_t c0 = 0; c0 < d->c; c0 += WISP_CHANNELS) {
        size_t vl = d->c - c0 < WISP_CHANNELS ? (size_t)(d->c - c0) : WISP_CHANNELS;
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c0, i, vl);
    }
}

#endif
