/* Depthwise kernels: four pixels by a block of 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* s8: the channels of two taps are widened as they are loaded, interleaved, and multiplied by vpmaddwd with the pair's
 * weights. Per pair and pixel, 16 channels: 2 vpmovsxbw, 2 unpack, 2 vpmaddwd, 2 vpaddd. (Interleaving bytes first costs as
 * many instructions, but vpmovsxbw from a register is two operations on Zen 3: 14.0 cycles for four pixels, not 9.9.)
 * In vectors of 8 sums, lo is channels 0-3, 8-11 and hi is 4-7, 12-15, so that packing restores the order.
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

/* 16 values of a channel field, or widened weights, as the two vectors lo and hi. */
typedef struct halves {
    __m256i lo, hi;
} halves;

ALWAYS_INLINE halves split(__m256i first, __m256i second) {
    return (halves){_mm256_permute2x128_si256(first, second, 0x20), _mm256_permute2x128_si256(first, second, 0x31)};
}

ALWAYS_INLINE halves load_field(const int32_t *field) {
    return split(load_256(field), load_256(field + 8));
}

/* Shift and scale 16 channels, in order. */
ALWAYS_INLINE __m256i requantize_block(__m256i lo, __m256i hi, halves shift, __m256i multiplier, int any_left_shift) {
    return scale_s16(_mm256_packs_epi32(shift_s32(lo, shift.lo, any_left_shift), shift_s32(hi, shift.hi, any_left_shift)), multiplier);
}

/* Two pixels of 16 channels, clamped, in the two halves. */
ALWAYS_INLINE __m256i pack_pixels(__m256i a, __m256i b, int8_t lo, int8_t hi) {
    __m256i q = clamp_s8(_mm256_packs_epi16(a, b), _mm256_set1_epi8(lo), _mm256_set1_epi8(hi));
    return _mm256_permute4x64_epi64(q, 0xd8);
}

ALWAYS_INLINE void store_channels(int8_t *out, __m128i x, size_t width, int kind) {
    if (kind == BLOCK_FULL)
        store_128(out, x);
    else
        store_bytes(out, x, width);
}

/* Pixels i..i+3 of one block. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d, const block *b, int32_t i, int kind, int any_left_shift) {
    const wisp_channels_s8 *ch = b->channels;
    const int8_t *w = b->weights;
    halves bias = load_field(ch->bias);
#define DECLARE(p)                                                         \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                        \
    const int8_t *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    __m256i lo##p = bias.lo, hi##p = bias.hi;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t += 2, w += 32) {
        ptrdiff_t first = d->tap_offset[t];
        ptrdiff_t second = d->tap_offset[t + 1 < d->taps ? t + 1 : t]; /* a missing tap has zero weights */
        halves pair = split(_mm256_cvtepi8_epi16(load_128(w)), _mm256_cvtepi8_epi16(load_128(w + 16)));
#define STEP(p)                                                                                     \
    {                                                                                               \
        __m256i x0 = widen_s8(load_channels(row##p[first], b, kind));                               \
        __m256i x1 = widen_s8(load_channels(row##p[second], b, kind));                              \
        lo##p = _mm256_add_epi32(lo##p, _mm256_madd_epi16(_mm256_unpacklo_epi16(x0, x1), pair.lo)); \
        hi##p = _mm256_add_epi32(hi##p, _mm256_madd_epi16(_mm256_unpackhi_epi16(x0, x1), pair.hi)); \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
    halves shift = load_field(ch->shift), m = load_field(ch->multiplier);
    __m256i multiplier = _mm256_packs_epi32(m.lo, m.hi);
#define SCALE(p) __m256i t##p = requantize_block(lo##p, hi##p, shift, multiplier, any_left_shift);
    EACH_PIXEL(SCALE)
#undef SCALE
    __m256i q01 = pack_pixels(t0, t1, d->lo, d->hi), q23 = pack_pixels(t2, t3, d->lo, d->hi);
    int8_t *out = d->out + b->c0;
    store_channels(out + i0 * d->out_stride, _mm256_castsi256_si128(q01), b->width, kind);
    store_channels(out + i1 * d->out_stride, _mm256_extracti128_si256(q01, 1), b->width, kind);
    store_channels(out + i2 * d->out_stride, _mm256_castsi256_si128(q23), b->width, kind);
    store_channels(out + i3 * d->out_stride, _mm256_extracti128_si256(q23, 1), b->width, kind);
}

ALWAYS_INLINE void convolve_block(const wisp_dwconv_s8 *d, const block *b, int kind) {
    if (d->any_left_shift)
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

/* f32: a block of 16 channels, as vectors a and b, by four pixels; masked loads and stores where channels end. */
typedef struct lanes {
    __m256i a, b;
} lanes;

ALWAYS_INLINE __m256 load_lanes(const float *x, __m256i mask, int full) {
    return full ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, mask);
}

ALWAYS_INLINE void store_lanes(float *out, __m256 a, __m256 b, const lanes *mask, int full) {
    if (full) {
        _mm256_storeu_ps(out, a);
        _mm256_storeu_ps(out + 8, b);
    } else {
        _mm256_maskstore_ps(out, mask->a, a);
        _mm256_maskstore_ps(out + 8, mask->b, b);
    }
}

ALWAYS_INLINE void convolve_pixels_f32(const wisp_dwconv_f32 *d, ptrdiff_t c, int32_t i, const lanes *mask, int full) {
    const float *w = d->weights + c * d->taps;
    __m256 bias_a = _mm256_loadu_ps(d->bias + c), bias_b = _mm256_loadu_ps(d->bias + c + 8);
#define DECLARE(p)                                                        \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                       \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    __m256 a##p = bias_a, b##p = bias_b;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        __m256 wa = _mm256_loadu_ps(w), wb = _mm256_loadu_ps(w + 8);
#define STEP(p)                                                             \
    {                                                                       \
        const float *x = row##p[offset] + c;                                \
        a##p = _mm256_fmadd_ps(load_lanes(x, mask->a, full), wa, a##p);     \
        b##p = _mm256_fmadd_ps(load_lanes(x + 8, mask->b, full), wb, b##p); \
    }
        EACH_PIXEL(STEP)
#undef STEP
    }
    __m256 lo = _mm256_set1_ps(d->lo), hi = _mm256_set1_ps(d->hi);
    float *out = d->out + c;
#define STORE(p) store_lanes(out + i##p * d->out_stride, clamp_ps(a##p, lo, hi), clamp_ps(b##p, lo, hi), mask, full);
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_f32_avx2(const wisp_dwconv_f32 *d) {
    for (int32_t c = 0; c < d->c; c += WISP_CHANNELS) {
        int32_t width = d->c - c;
        lanes mask = {first_lanes(width < 8 ? (size_t)width : 8), first_lanes(width < 8 ? 0 : width < 16 ? (size_t)width - 8 : 8)};
        if (width >= WISP_CHANNELS)
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, &mask, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i, &mask, 0);
    }
}
