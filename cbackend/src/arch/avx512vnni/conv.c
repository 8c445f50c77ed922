/* Depthwise kernels: four pixels by 16 channels, which are one register of sums. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx512vnni.h"

#define EACH_PIXEL(DO) DO(0) DO(1) DO(2) DO(3)

enum { PIXELS = 4 };

/* Two taps of 16 channels side by side: {x0 x1} of channel 0, of channel 1, ... widened to 16 bits. */
ALWAYS_INLINE __m512i load_pair(const int8_t *first, const int8_t *second, __mmask16 mask) {
    __m128i x0 = _mm_maskz_loadu_epi8(mask, first), x1 = _mm_maskz_loadu_epi8(mask, second);
    return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(x0, x1), _mm_unpacklo_epi8(x0, x1)));
}

/* Pixels i..i+3 of the block of channels at c; pixels beyond n repeat the last one. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d, int32_t c, int32_t i, int any_left_shift) {
    ptrdiff_t pairs = (ptrdiff_t)(((int64_t)d->taps + 1) / 2);
    const wisp_channels_s8 *ch = d->channels + c / WISP_CHANNELS;
    const int8_t *w = d->weights + c / WISP_CHANNELS * pairs * 32;
    __mmask16 mask = first_16(d->c - c);
    __m512i bias = _mm512_loadu_si512(ch->bias);
#define DECLARE(p)                                                         \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                        \
    const int8_t *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    __m512i acc##p = bias;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t += 2, w += 32) {
        ptrdiff_t first = d->tap_offset[t];
        ptrdiff_t second = d->tap_offset[t + 1 < d->taps ? t + 1 : t]; /* a missing tap has zero weights */
        __m512i pair = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w));
#define STEP(p) acc##p = dot_words(acc##p, load_pair(row##p[first] + c, row##p[second] + c, mask), pair);
        EACH_PIXEL(STEP)
#undef STEP
    }
    __m512i shift = _mm512_loadu_si512(ch->shift), multiplier = _mm512_loadu_si512(ch->multiplier);
    multiplier = _mm512_packs_epi32(multiplier, multiplier);
    __m512i q =
        requantize_64(shift_s32(acc0, shift, any_left_shift), shift_s32(acc1, shift, any_left_shift),
                      shift_s32(acc2, shift, any_left_shift), shift_s32(acc3, shift, any_left_shift), multiplier, multiplier, d->lo, d->hi);
#define STORE(p) _mm_mask_storeu_epi8(d->out + i##p * d->out_stride + c, mask, _mm512_extracti32x4_epi32(q, p));
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_s8_avx512vnni(const wisp_dwconv_s8 *d) {
    for (int32_t c = 0; c < d->c; c += WISP_CHANNELS) {
        if (d->any_left_shift)
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, c, i, 1);
        else
            for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels(d, c, i, 0);
    }
}

static void convolve_pixels_f32(const wisp_dwconv_f32 *d, int32_t c, int32_t i) {
    const float *w = d->weights + (ptrdiff_t)c * d->taps;
    __mmask16 mask = first_16(d->c - c);
    __m512 bias = _mm512_loadu_ps(d->bias + c);
#define DECLARE(p)                                                        \
    int32_t i##p = i + p < d->n ? i + p : d->n - 1;                       \
    const float *const *row##p = d->rows + (ptrdiff_t)i##p * d->row_step; \
    __m512 acc##p = bias;
    EACH_PIXEL(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < d->taps; t++, w += WISP_CHANNELS) {
        ptrdiff_t offset = d->tap_offset[t];
        __m512 wt = _mm512_loadu_ps(w);
#define STEP(p) acc##p = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, row##p[offset] + c), wt, acc##p);
        EACH_PIXEL(STEP)
#undef STEP
    }
    __m512 lo = _mm512_set1_ps(d->lo), hi = _mm512_set1_ps(d->hi);
#define STORE(p) _mm512_mask_storeu_ps(d->out + i##p * d->out_stride + c, mask, clamp_ps(acc##p, lo, hi));
    EACH_PIXEL(STORE)
#undef STORE
}

void wisp_dwconv_f32_avx512vnni(const wisp_dwconv_f32 *d) {
    for (int32_t c = 0; c < d->c; c += WISP_CHANNELS)
        for (int32_t i = 0; i < d->n; i += PIXELS) convolve_pixels_f32(d, c, i);
}
