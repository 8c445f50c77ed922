/* Pooling kernels: maximum and sum over rows, a vector of channels at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* The last vector of a row may overlap the one before: outputs are apart from inputs, so it is computed twice. */
ALWAYS_INLINE int32_t next_block(int32_t i, int32_t c, int32_t size) {
    return i + size > c && i < c ? c - size : i;
}

static void max_32(const int8_t *const *rows, int32_t count, ptrdiff_t i, int8_t *out) {
    __m256i m = load_256(rows[0] + i);
    for (int32_t t = 1; t < count; t++) m = _mm256_max_epi8(m, load_256(rows[t] + i));
    store_256(out + i, m);
}

static void max_16(const int8_t *const *rows, int32_t count, ptrdiff_t i, int8_t *out) {
    __m128i m = load_128(rows[0] + i);
    for (int32_t t = 1; t < count; t++) m = _mm_max_epi8(m, load_128(rows[t] + i));
    store_128(out + i, m);
}

void wisp_max_s8_avx2(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    if (c >= 32) {
        for (int32_t i = 0; i < c; i = next_block(i + 32, c, 32)) max_32(rows, count, i, out);
    } else if (c >= 16) {
        max_16(rows, count, 0, out);
        max_16(rows, count, c - 16, out);
    } else {
        size_t size = (size_t)c;
        __m128i m = load_bytes(rows[0], size);
        for (int32_t t = 1; t < count; t++) m = _mm_max_epi8(m, load_bytes(rows[t], size));
        store_bytes(out, m, size);
    }
}

/* vmaxps gives its second operand when the two are unordered or equal: m stays; a NaN in x is put in by hand. */
ALWAYS_INLINE __m256 max_ps(__m256 m, __m256 x) {
    return _mm256_blendv_ps(_mm256_max_ps(x, m), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

void wisp_max_f32_avx2(const float *const *rows, int32_t count, int32_t c, float *out) {
    int32_t i = 0;
    for (; i <= c - 8; i += 8) {
        __m256 m = _mm256_loadu_ps(rows[0] + i);
        for (int32_t t = 1; t < count; t++) m = max_ps(m, _mm256_loadu_ps(rows[t] + i));
        _mm256_storeu_ps(out + i, m);
    }
    if (i == c) return;
    __m256i mask = first_lanes((size_t)(c - i));
    __m256 m = _mm256_maskload_ps(rows[0] + i, mask);
    for (int32_t t = 1; t < count; t++) m = max_ps(m, _mm256_maskload_ps(rows[t] + i, mask));
    _mm256_maskstore_ps(out + i, mask, m);
}

/* 16 channels at row offset i (`size` of them, at i, when fewer are left): sums of up to 256 rows fit 16 bits. */
ALWAYS_INLINE void sum_16(const int8_t *const *rows, int32_t count, ptrdiff_t i, size_t size, int32_t *out) {
    __m256i lo = _mm256_setzero_si256(), hi = lo;
    for (int32_t t = 0; t < count;) {
        int32_t end = count - t > 256 ? t + 256 : count;
        __m256i sum = _mm256_setzero_si256();
        for (; t < end; t++) {
            __m128i x = size == 16 ? load_128(rows[t] + i) : load_bytes(rows[t] + i, size);
            sum = _mm256_add_epi16(sum, _mm256_cvtepi8_epi16(x));
        }
        lo = _mm256_add_epi32(lo, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sum)));
        hi = _mm256_add_epi32(hi, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sum, 1)));
    }
    if (size == 16) {
        store_256(out + i, lo);
        store_256(out + i + 8, hi);
    } else {
        _mm256_maskstore_epi32(out + i, first_lanes(size), lo);
        if (size > 8) _mm256_maskstore_epi32(out + i + 8, first_lanes(size - 8), hi);
    }
}

void wisp_sum_s8_avx2(const int8_t *const *rows, int32_t count, int32_t c, int32_t *out) {
    if (c < 16) {
        sum_16(rows, count, 0, (size_t)c, out);
    } else {
        for (int32_t i = 0; i < c; i = next_block(i + 16, c, 16)) sum_16(rows, count, i, 16, out);
    }
}

void wisp_sum_f32_avx2(const float *const *rows, int32_t count, int32_t c, float *out) {
    int32_t i = 0;
    for (; i <= c - 8; i += 8) {
        __m256 sum = _mm256_loadu_ps(rows[0] + i);
        for (int32_t t = 1; t < count; t++) sum = _mm256_add_ps(sum, _mm256_loadu_ps(rows[t] + i));
        _mm256_storeu_ps(out + i, sum);
    }
    if (i == c) return;
    __m256i mask = first_lanes((size_t)(c - i));
    __m256 sum = _mm256_maskload_ps(rows[0] + i, mask);
    for (int32_t t = 1; t < count; t++) sum = _mm256_add_ps(sum, _mm256_maskload_ps(rows[t] + i, mask));
    _mm256_maskstore_ps(out + i, mask, sum);
}
