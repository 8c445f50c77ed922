/* Depthwise kernels: four pixels by a block of 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* s8: the bytes of two taps are interleaved, widened and multiplied by vpmaddwd with the pair's weights, which are
 * widened once for four pixels. Per pair and pixel, 16 channels: 2 unpack, 2 widen, 2 vpmaddwd, 2 add.
 * Accumulators are named, not an array, because gcc 12 keeps arrays in memory. Pixels beyond n repeat the last one. */
#define EACH_PIXEL(DO) DO(0) DO(1) DO(2) DO(3)

enum { PIXELS = 4 };

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
    __m128i shuffle; /* BLOCK_ENDS */
} block;

ALWAYS_INLINE __m128i load_channels(const int8_t *row, const block *b, int kind) {
    if (kind == BLOCK_FULL) return load_128(row + b->c0);
    if (kind == BLOCK_SHORT) return load_bytes(row + b->c0, b->width);
    return _mm_shuffle_epi8(load_128(row + b->c0 + (ptrdiff_t)b->width - 16), b->shuffle);
}

/* Shift and scale 16 channels: s16 in the order 0-3, 8-11 | 4-7, 12-15. */
ALWAYS_INLINE __m256i requantize_block(__m256i lo, __m256i hi, const wisp_channels_s8 *ch, int left) {
    __m256i t = _mm256_packs_epi32(shift_s32(lo, load_256(ch->shift), left), shift_s32(hi, load_256(ch->shift + 8), left));
    return scale_s16(t, _mm256_packs_epi32(load_256(ch->multiplier), load_256(ch->multiplier + 8)));
}

ALWAYS_INLINE void store_channels(int8_t *out, __m128i x, size_t width, int kind) {
    if (kind == BLOCK_FULL)
        store_128(out, x);
    else
        store_bytes(out, x, width);
}

/* Pixels i..i+3 of one block. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d, const block *b, int32_t i, int kind, int left) {
    const wisp_channels_s8 *ch = b->channels;
    const int8_t *w = b->weights;
    __m256i bias_lo = load_256(ch->bias), bias_hi = load_256(ch->bias + 8);
#define DECLARE(p)                                            \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;           \
    const int8_t *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    __m256i lo##p = bias_lo, hi##p = bias_hi;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t += 2, w += 32) {
        ptrdiff_t first = d->tap_offset[t];
        ptrdiff_t second = d->tap_offset[t + 1 < d->taps ? t + 1 : t]; /* a missing tap has zero weights */
        __m256i w_lo = _mm256_cvtepi8_epi16(load_128(w)), w_hi = _mm256_cvtepi8_epi16(load_128(w + 16));
#define STEP(p)                                                                                                     \
    {                                                                                                               \
        __m128i x0 = load_channels(row##p[first], b, kind), x1 = load_channels(row##p[second], b, kind);            \
        lo##p = _mm256_add_epi32(lo##p, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x0, x1)), w_lo)); \
        hi##p = _mm256_add_epi32(hi##p, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_unpackhi_epi8(x0, x1)), w_hi)); \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
    __m256i q01 = _mm256_packs_epi16(requantize_block(lo0, hi0, ch, left), requantize_block(lo1, hi1, ch, left));
    __m256i q23 = _mm256_packs_epi16(requantize_block(lo2, hi2, ch, left), requantize_block(lo3, hi3, ch, left));
    __m256i lo = _mm256_set1_epi8(d->lo), hi = _mm256_set1_epi8(d->hi);
    q01 = clamp_s8(q01, lo, hi), q23 = clamp_s8(q23, lo, hi);
    __m128i even01 = _mm256_castsi256_si128(q01), odd01 = _mm256_extracti128_si256(q01, 1);
    __m128i even23 = _mm256_castsi256_si128(q23), odd23 = _mm256_extracti128_si256(q23, 1);
    int8_t *out = d->out + b->c0;
    store_channels(out + i0 * d->out_stride, _mm_unpacklo_epi32(even01, odd01), b->width, kind);
    store_channels(out + i1 * d->out_stride, _mm_unpackhi_epi32(even01, odd01), b->width, kind);
    store_channels(out + i2 * d->out_stride, _mm_unpacklo_epi32(even23, odd23), b->width, kind);
    store_channels(out + i3 * d->out_stride, _mm_unpackhi_epi32(even23, odd23), b->width, kind);
}

ALWAYS_INLINE void convolve_block(const wisp_dwconv_s8 *d, const block *b, int kind) {
    if (d->left)
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, b, i, kind, 1);
    else
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, b, i, kind, 0);
}

void wisp_dwconv_s8_avx2(const wisp_dwconv_s8 *d) {
    ptrdiff_t block_size = (ptrdiff_t)(((int64_t)d->taps + 1) / 2) * 32;
    block b = {.channels = d->channels, .weights = d->weights, .width = 16};
    for (; b.c0 + 16 <= d->c; b.c0 += 16, b.channels++, b.weights += block_size) convolve_block(d, &b, BLOCK_FULL);
    if (b.c0 == d->c) return;
    b.width = (size_t)(d->c - b.c0);
    /* Byte j of the block is byte j + 16 - width of the row's last 16; indices above 127 give zero. */
    __m128i index = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    b.shuffle = _mm_adds_epu8(index, _mm_set1_epi8((char)(16 - b.width)));
    b.shuffle = _mm_or_si128(b.shuffle, _mm_cmpgt_epi8(b.shuffle, _mm_set1_epi8(15)));
    if (d->c >= 16)
        convolve_block(d, &b, BLOCK_ENDS);
    else
        convolve_block(d, &b, BLOCK_SHORT);
}

/* f32: 8 channels by four pixels; masked loads at the end of the channels. */
ALWAYS_INLINE __m256 load_lanes(const float *x, __m256i mask, int full) {
    return full ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

ALWAYS_INLINE void convolve_pixels_f32(const wisp_dwconv_f32 *d, ptrdiff_t c, int32_t i, __m256i mask, int full) {
    const float *w = d->weights + c / WISP_CHANNELS * d->taps * WISP_CHANNELS + c % WISP_CHANNELS;
    __m256 bias = _mm256_loadu_ps(d->bias + c);
#define DECLARE(p)                                                                \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                               \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step;         \
    __m256 acc##p = bias;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        __m256 wt = _mm256_loadu_ps(w);
#define STEP(p) acc##p = _mm256_fmadd_ps(load_lanes(row##p[offset] + c, mask, full), wt, acc##p);
        EACH_PIXEL(STEP)
#undef STEP
    }
    __m256 lo = _mm256_set1_ps(d->lo), hi = _mm256_set1_ps(d->hi);
    float *out = d->out + c;
#define STORE(p)                                                                            \
    if (full)                                                                               \
        _mm256_storeu_ps(out + i##p * d->out_stride, clamp_ps(acc##p, lo, hi));             \
    else                                                                                    \
        _mm256_maskstore_ps(out + i##p * d->out_stride, mask, clamp_ps(acc##p, lo, hi));
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_f32_avx2(const wisp_dwconv_f32 *d) {
    for (int32_t c = 0; c < d->c; c += 8) {
        __m256i mask = first_lanes((size_t)(d->c - c));
        if (d->c - c >= 8)
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, mask, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, mask, 0);
    }
}
