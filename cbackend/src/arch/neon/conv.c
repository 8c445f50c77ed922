/* Depthwise kernels: four pixels (s8 on 32-bit ARM: two) by 16 (s8) or 4 (f32) channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

#define EACH_PIXEL(DO) DO(0) DO(1) DO(2) DO(3)

enum { PIXELS_F32 = 4 };

/* How a block of channels may be read without leaving its row. */
enum {
    BLOCK_FULL,  /* 16 channels */
    BLOCK_ENDS,  /* fewer, but the row has at least 16: load its last 16 and shift */
    BLOCK_SHORT, /* the row has fewer than 16 */
};

typedef struct block {
    const wisp_channels_s8 *channels;
    const int8_t *weights;
    ptrdiff_t c0;
    size_t width;
    uint8x16_t shuffle; /* BLOCK_ENDS */
} block;

ALWAYS_INLINE int8x16_t load_channels(const int8_t *row, const block *b, int kind) {
    if (kind == BLOCK_FULL) return vld1q_s8(row + b->c0);
    if (kind == BLOCK_SHORT) return load_bytes(row + b->c0, b->width);
    return vqtbl1q_s8(vld1q_s8(row + b->c0 + (ptrdiff_t)b->width - 16), b->shuffle);
}

/* Two products fit 16 bits (2 * 128 * 127), so a pair of taps costs one widening addition; `wide`: not 2 * 128 * 128. Four accumulators for
 * each pixel, a, b, c, d, hold four channels each. Pixels beyond n repeat the last one. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d_, const block *block_, int32_t i, int kind, int wide) {
    const wisp_channels_s8 *ch = block_->channels;
    const int8_t *w = block_->weights;
#define DECLARE(p)                                                           \
    int32_t i##p = i + p < d_->n ? i + p : d_->n - 1;                        \
    const int8_t *const *row##p = d_->rows + (ptrdiff_t)i##p * d_->row_step; \
    int32x4_t a##p = vld1q_s32(ch->bias), b##p = vld1q_s32(ch->bias + 4);    \
    int32x4_t c##p = vld1q_s32(ch->bias + 8), d##p = vld1q_s32(ch->bias + 12);
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d_->taps; t += 2, w += 32) {
        ptrdiff_t first = d_->tap_offset[t];
        ptrdiff_t second = d_->tap_offset[t + 1 < d_->taps ? t + 1 : t]; /* a missing tap has zero weights */
        int8x16x2_t pair = vld2q_s8(w);
        int8x16_t w0 = pair.val[0], w1 = pair.val[1];
#define STEP(p)                                                                                                      \
    if (p < PIXELS) {                                                                                                \
        int8x16_t x0 = load_channels(row##p[first], block_, kind), x1 = load_channels(row##p[second], block_, kind); \
        int16x8_t low = vmull_s8(vget_low_s8(x0), vget_low_s8(w0)), high = vmull_high_s8(x0, w0);                    \
        if (wide) {                                                                                                  \
            a##p = vaddw_s16(a##p, vget_low_s16(low)), b##p = vaddw_high_s16(b##p, low);                             \
            c##p = vaddw_s16(c##p, vget_low_s16(high)), d##p = vaddw_high_s16(d##p, high);                           \
            low = vmull_s8(vget_low_s8(x1), vget_low_s8(w1)), high = vmull_high_s8(x1, w1);                          \
        } else {                                                                                                     \
            low = vmlal_s8(low, vget_low_s8(x1), vget_low_s8(w1)), high = vmlal_high_s8(high, x1, w1);               \
        }                                                                                                            \
        a##p = vaddw_s16(a##p, vget_low_s16(low)), b##p = vaddw_high_s16(b##p, low);                                 \
        c##p = vaddw_s16(c##p, vget_low_s16(high)), d##p = vaddw_high_s16(d##p, high);                               \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
    int32x4_t left0 = vnegq_s32(vld1q_s32(ch->shift)), left1 = vnegq_s32(vld1q_s32(ch->shift + 4));
    int32x4_t left2 = vnegq_s32(vld1q_s32(ch->shift + 8)), left3 = vnegq_s32(vld1q_s32(ch->shift + 12));
    int16x8_t m0 = load_multipliers(ch->multiplier), m1 = load_multipliers(ch->multiplier + 8);
    int8x16_t lo = vdupq_n_s8(d_->lo), hi = vdupq_n_s8(d_->hi);
#define STORE(p)                                                                                                           \
    if (p < PIXELS) {                                                                                                      \
        int8x16_t q = vcombine_s8(requantize_8(a##p, b##p, left0, left1, m0), requantize_8(c##p, d##p, left2, left3, m1)); \
        q = vminq_s8(vmaxq_s8(q, lo), hi);                                                                                 \
        int8_t *out = d_->out + i##p * d_->out_stride + block_->c0;                                                        \
        if (kind == BLOCK_FULL)                                                                                            \
            vst1q_s8(out, q);                                                                                              \
        else                                                                                                               \
            store_bytes(out, q, block_->width);                                                                            \
    }
    EACH_PIXEL(STORE)
#undef STORE
}

ALWAYS_INLINE void convolve_block(const wisp_dwconv_s8 *d, const block *b, int kind) {
    if (d->full_range)
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, b, i, kind, 1);
    else
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, b, i, kind, 0);
}

/* 16 channels of a window of 3x3 whose columns lie side by side: the weights stay in registers from pixel to pixel. */
static void convolve_3x3(const wisp_dwconv_s8 *d, const block *b) {
    const wisp_channels_s8 *ch = b->channels;
    const requantize_s8x16 p = load_requantize_16(ch, d->lo, d->hi);
    const int8x16x2_t w01 = vld2q_s8(b->weights), w23 = vld2q_s8(b->weights + 32), w45 = vld2q_s8(b->weights + 64);
    const int8x16x2_t w67 = vld2q_s8(b->weights + 96), w8 = vld2q_s8(b->weights + 128);
    const int8_t *const *top = d->rows + d->tap_offset[0], *const *middle = d->rows + d->tap_offset[3];
    const int8_t *const *bottom = d->rows + d->tap_offset[6];
    const ptrdiff_t c0 = b->c0, step = d->row_step, stride = d->out_stride;
    int8_t *out = d->out + c0;
    for (int32_t left = d->n; left; left--) {
        int32x4_t s0 = vld1q_s32(ch->bias), s1 = vld1q_s32(ch->bias + 4), s2 = vld1q_s32(ch->bias + 8), s3 = vld1q_s32(ch->bias + 12);
#define ADD_TAPS(first, second, pair)                                                                                \
    {                                                                                                                \
        int8x16_t x0 = vld1q_s8((first) + c0), x1 = vld1q_s8((second) + c0);                                         \
        int16x8_t low = vmull_s8(vget_low_s8(x0), vget_low_s8(pair.val[0])), high = vmull_high_s8(x0, pair.val[0]);  \
        low = vmlal_s8(low, vget_low_s8(x1), vget_low_s8(pair.val[1])), high = vmlal_high_s8(high, x1, pair.val[1]); \
        s0 = vaddw_s16(s0, vget_low_s16(low)), s1 = vaddw_high_s16(s1, low);                                         \
        s2 = vaddw_s16(s2, vget_low_s16(high)), s3 = vaddw_high_s16(s3, high);                                       \
    }
        ADD_TAPS(top[0], top[1], w01)
        ADD_TAPS(top[2], middle[0], w23)
        FENCE
        ADD_TAPS(middle[1], middle[2], w45)
        ADD_TAPS(bottom[0], bottom[1], w67)
        FENCE
#undef ADD_TAPS
        int8x16_t x = vld1q_s8(bottom[2] + c0);
        int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(w8.val[0])), high = vmull_high_s8(x, w8.val[0]);
        s0 = vaddw_s16(s0, vget_low_s16(low)), s1 = vaddw_high_s16(s1, low);
        s2 = vaddw_s16(s2, vget_low_s16(high)), s3 = vaddw_high_s16(s3, high);
        vst1q_s8(out, requantize_16(s0, s1, s2, s3, &p));
        top += step, middle += step, bottom += step, out += stride;
    }
}

void wisp_dwconv_from_s8_neon(const wisp_dwconv_s8 *d, ptrdiff_t c) {
    static const uint8_t indices[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ptrdiff_t block_size = ((ptrdiff_t)d->taps + 1) / 2 * 32;
    block b = {.channels = d->channels + c / 16, .weights = d->weights + c / 16 * block_size, .c0 = c, .width = 16};
    bool by_window = is_3x3(d) && !d->full_range;
    for (; b.c0 + 16 <= d->c; b.c0 += 16, b.channels++, b.weights += block_size) {
        if (by_window)
            convolve_3x3(d, &b);
        else
            convolve_block(d, &b, BLOCK_FULL);
    }
    if (b.c0 == d->c) return;
    b.width = (size_t)(d->c - b.c0);
    b.shuffle = vaddq_u8(vld1q_u8(indices), vdupq_n_u8((uint8_t)(16 - b.width))); /* above 15 gives zero */
    if (d->c >= 16)
        convolve_block(d, &b, BLOCK_ENDS);
    else
        convolve_block(d, &b, BLOCK_SHORT);
}

void wisp_dwconv_s8_neon(const wisp_dwconv_s8 *d) {
    wisp_dwconv_from_s8_neon(d, 0);
}

ALWAYS_INLINE void convolve_pixels_f32(const wisp_dwconv_f32 *d, ptrdiff_t c, int32_t i, int full) {
    const float *w = d->weights + c / WISP_CHANNELS * d->taps * WISP_CHANNELS + c % WISP_CHANNELS;
    float32x4_t bias = vld1q_f32(d->bias + c);
    size_t width = full ? 4 : (size_t)(d->c - c);
#define DECLARE(p)                                                        \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                       \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    float32x4_t acc##p = bias;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        float32x4_t wt = vld1q_f32(w);
#define STEP(p) acc##p = vfmaq_f32(acc##p, full ? vld1q_f32(row##p[offset] + c) : load_floats(row##p[offset] + c, width), wt);
        EACH_PIXEL(STEP)
#undef STEP
    }
#define STORE(p) store_floats(d->out + i##p * d->out_stride + c, clamp_f32(acc##p, d->lo, d->hi), (int64_t)width);
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_f32_neon(const wisp_dwconv_f32 *d) {
    for (int32_t c = 0; c < d->c; c += 4) {
        if (d->c - c >= 4)
            for (int32_t i = 0; i < d->n; i += PIXELS_F32) convolve_pixels_f32(d, c, i, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS_F32) convolve_pixels_f32(d, c, i, 0);
    }
}
