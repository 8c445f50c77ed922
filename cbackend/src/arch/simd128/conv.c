/* Depthwise kernels: two pixels by 16 (s8) or 8 (f32) channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

#define EACH_PIXEL(DO) DO(0) DO(1)

enum { PIXELS = 2 };

/* How a block of channels may be read without leaving its row. */
enum {
    BLOCK_FULL,  /* 16 channels */
    BLOCK_ENDS,  /* fewer, but the row has at least 16: load its last 16 and move them down */
    BLOCK_SHORT, /* the row has fewer than 16 */
};

typedef struct block {
    const wisp_channels_s8 *channels;
    const int8_t *weights;
    ptrdiff_t c0;
    size_t width;
    v128_t shuffle; /* BLOCK_ENDS */
    lane_shifts shifts[4];
    v128_t multiplier[2];
} block;

static void prepare_block(block *b) {
    for (int i = 0; i < 4; i++) b->shifts[i] = prepare_shifts(b->channels->shift + 4 * i);
    for (int i = 0; i < 2; i++) {
        const int32_t *m = b->channels->multiplier + 8 * i;
        b->multiplier[i] = wasm_i16x8_narrow_i32x4(wasm_v128_load(m), wasm_v128_load(m + 4));
    }
}

ALWAYS_INLINE v128_t load_channels(const int8_t *row, const block *b, int kind) {
    if (kind == BLOCK_FULL) return wasm_v128_load(row + b->c0);
    if (kind == BLOCK_SHORT) return load_bytes(row + b->c0, b->width);
    return wasm_i8x16_swizzle(wasm_v128_load(row + b->c0 + (ptrdiff_t)b->width - 16), b->shuffle);
}

ALWAYS_INLINE v128_t finish_channels(v128_t a, v128_t b, const block *block_, int half) {
    v128_t t = wasm_i16x8_narrow_i32x4(shift_lanes(a, &block_->shifts[2 * half]), shift_lanes(b, &block_->shifts[2 * half + 1]));
    return scale_s16(t, block_->multiplier[half]);
}

/* Two taps side by side, so that one dot product multiplies and adds both. a, b, c, d hold four channels each. Pixels
 * beyond n repeat the last one. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d_, const block *block_, int32_t i, int kind) {
    const int32_t *bias = block_->channels->bias;
    const int8_t *w = block_->weights;
#define DECLARE(p)                                                           \
    int32_t i##p = i + p < d_->n ? i + p : d_->n - 1;                        \
    const int8_t *const *row##p = d_->rows + (ptrdiff_t)i##p * d_->row_step; \
    v128_t a##p = wasm_v128_load(bias), b##p = wasm_v128_load(bias + 4);     \
    v128_t c##p = wasm_v128_load(bias + 8), d##p = wasm_v128_load(bias + 12);
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d_->taps; t += 2, w += 32) {
        ptrdiff_t first = d_->tap_offset[t];
        ptrdiff_t second = d_->tap_offset[t + 1 < d_->taps ? t + 1 : t]; /* a missing tap has zero weights */
        v128_t w0 = wasm_i16x8_load8x8(w), w1 = wasm_i16x8_load8x8(w + 8);
        v128_t w2 = wasm_i16x8_load8x8(w + 16), w3 = wasm_i16x8_load8x8(w + 24);
#define STEP(p)                                                                                                   \
    {                                                                                                             \
        v128_t x0 = load_channels(row##p[first], block_, kind), x1 = load_channels(row##p[second], block_, kind); \
        v128_t low = wasm_i8x16_shuffle(x0, x1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);          \
        v128_t high = wasm_i8x16_shuffle(x0, x1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);   \
        a##p = wasm_i32x4_add(a##p, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(low), w0));                  \
        b##p = wasm_i32x4_add(b##p, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(low), w1));                 \
        c##p = wasm_i32x4_add(c##p, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(high), w2));                 \
        d##p = wasm_i32x4_add(d##p, wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(high), w3));                \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
#define STORE(p)                                                                                                            \
    {                                                                                                                       \
        v128_t q = wasm_i8x16_narrow_i16x8(finish_channels(a##p, b##p, block_, 0), finish_channels(c##p, d##p, block_, 1)); \
        int8_t *out = d_->out + i##p * d_->out_stride + block_->c0;                                                         \
        q = clamp_s8(q, d_->lo, d_->hi);                                                                                    \
        if (kind == BLOCK_FULL)                                                                                             \
            wasm_v128_store(out, q);                                                                                        \
        else                                                                                                                \
            store_bytes(out, q, block_->width);                                                                             \
    }
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_s8_simd128(const wisp_dwconv_s8 *d) {
    const ptrdiff_t block_size = (ptrdiff_t)(((int64_t)d->taps + 1) / 2) * 32;
    block b = {.channels = d->channels, .weights = d->weights, .width = 16};
    for (; b.c0 + 16 <= d->c; b.c0 += 16, b.channels++, b.weights += block_size) {
        prepare_block(&b);
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, &b, i, BLOCK_FULL);
    }
    if (b.c0 == d->c) return;
    prepare_block(&b);
    b.width = (size_t)(d->c - b.c0);
    v128_t indices = wasm_i8x16_const(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    b.shuffle = wasm_i8x16_add(indices, wasm_i8x16_splat((int8_t)(16 - b.width))); /* above 15 gives zero */
    if (d->c >= 16)
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, &b, i, BLOCK_ENDS);
    else
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, &b, i, BLOCK_SHORT);
}

ALWAYS_INLINE void convolve_pixels_f32(const wisp_dwconv_f32 *d, ptrdiff_t c, int32_t i, int full) {
    const float *w = d->weights + c / WISP_CHANNELS * d->taps * WISP_CHANNELS + c % WISP_CHANNELS;
    const ptrdiff_t width = full ? 8 : d->c - c;
#define DECLARE(p)                                                        \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                       \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    v128_t a##p = wasm_v128_load(d->bias + c), b##p = wasm_v128_load(d->bias + c + 4);
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);
#define STEP(p)                                                                                          \
    {                                                                                                    \
        const float *x = row##p[offset] + c;                                                             \
        a##p = wasm_f32x4_add(a##p, wasm_f32x4_mul(load_floats(x, width), w0));                          \
        b##p = wasm_f32x4_add(b##p, wasm_f32x4_mul(width > 4 ? load_floats(x + 4, width - 4) : w1, w1)); \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
#define STORE(p)                                                         \
    {                                                                    \
        float *out = d->out + i##p * d->out_stride + c;                  \
        store_floats(out, clamp_f32(a##p, d->lo, d->hi), width);         \
        store_floats(out + 4, clamp_f32(b##p, d->lo, d->hi), width - 4); \
    }
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_f32_simd128(const wisp_dwconv_f32 *d) {
    for (ptrdiff_t c = 0; c < d->c; c += 8) {
        if (d->c - c >= 8)
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, 0);
    }
}
