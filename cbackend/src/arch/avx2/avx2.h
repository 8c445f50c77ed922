/* What the AVX2 kernels share: partial loads and stores, requantization of vectors. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_AVX2_H
#define WISP_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_avx2;

extern const wisp_gemm_kernel wisp_gemm_s8_avx2, wisp_gemm_f32_avx2;
wisp_dwconv_s8_fn wisp_dwconv_s8_avx2;
wisp_dwconv_f32_fn wisp_dwconv_f32_avx2;
wisp_max_s8_fn wisp_max_s8_avx2;
wisp_max_f32_fn wisp_max_f32_avx2;
wisp_sum_s8_fn wisp_sum_s8_avx2;
wisp_sum_f32_fn wisp_sum_f32_avx2;
wisp_add_s8_fn wisp_add_s8_avx2;
wisp_mul_s8_fn wisp_mul_s8_avx2;
wisp_lookup_s8_fn wisp_lookup_s8_avx2;
wisp_quantize_s8_fn wisp_quantize_s8_avx2;
wisp_dequantize_s8_fn wisp_dequantize_s8_avx2;
wisp_binary_f32_fn wisp_add_f32_avx2, wisp_sub_f32_avx2, wisp_mul_f32_avx2, wisp_div_f32_avx2;
wisp_binary_f32_fn wisp_minimum_f32_avx2, wisp_maximum_f32_avx2;
wisp_clamp_f32_fn wisp_clamp_f32_avx2;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE __m128i load_128(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
ALWAYS_INLINE __m256i load_256(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
ALWAYS_INLINE void store_128(void *p, __m128i x) {
    _mm_storeu_si128((__m128i *)p, x);
}
ALWAYS_INLINE void store_256(void *p, __m256i x) {
    _mm256_storeu_si256((__m256i *)p, x);
}

/* 16 values widened to 16 bits. The empty assembly hides where they come from: clang would move shuffles of the result before
 * the widening, which from a register costs two operations, from memory one (Zen 3, clang 19: dwconv_s8 4.3 MAC/cycle, not 6.7). */
ALWAYS_INLINE __m256i widen_s8(__m128i x) {
    __m256i wide = _mm256_cvtepi8_epi16(x);
    __asm__("" : "+x"(wide));
    return wide;
}

/* 1..16 bytes, zeros above; nothing else is read. Two overlapping loads cover each power of two. */
ALWAYS_INLINE __m128i load_bytes(const void *p, size_t size) {
    const char *s = (const char *)p;
    uint64_t low = 0, high = 0;
    if (size >= 8) {
        memcpy(&low, s, 8);
        memcpy(&high, s + size - 8, 8);
        high = size == 8 ? 0 : high >> (8 * (16 - size));
    } else if (size >= 4) {
        uint32_t a, b;
        memcpy(&a, s, 4);
        memcpy(&b, s + size - 4, 4);
        low = a | (uint64_t)b << (8 * (size - 4));
    } else {
        low = (uint8_t)s[0];
        if (size >= 2) low |= (uint64_t)(uint8_t)s[1] << 8;
        if (size >= 3) low |= (uint64_t)(uint8_t)s[2] << 16;
    }
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

/* The low 1..16 bytes of x; nothing else is written. */
ALWAYS_INLINE void store_bytes(void *p, __m128i x, size_t size) {
    char *d = (char *)p;
    uint64_t low = (uint64_t)_mm_cvtsi128_si64(x);
    if (size >= 8) {
        memcpy(d, &low, 8);
        d += 8, size -= 8;
        low = (uint64_t)_mm_extract_epi64(x, 1);
    }
    if (size >= 4) {
        memcpy(d, &low, 4);
        d += 4, size -= 4;
        low >>= 32;
    }
    if (size >= 2) {
        memcpy(d, &low, 2);
        d += 2, size -= 2;
        low >>= 16;
    }
    if (size) *d = (char)low;
}

/* Ones in the first n of 8 lanes, 0 <= n <= 8: for maskload and maskstore, which touch no other byte. */
ALWAYS_INLINE __m256i first_lanes(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* max(x, lo) then min(.., hi). A NaN in x stays: both instructions return their second operand then. */
ALWAYS_INLINE __m256 clamp_ps(__m256 x, __m256 lo, __m256 hi) {
    return _mm256_min_ps(hi, _mm256_max_ps(lo, x));
}

ALWAYS_INLINE __m256i clamp_to_s16(__m256i x) {
    return _mm256_min_epi32(_mm256_max_epi32(x, _mm256_set1_epi32(-32768)), _mm256_set1_epi32(32767));
}

/* First step of requantize_s8, saturation left to the pack that follows. `any_left_shift`: some shifts may be negative. */
ALWAYS_INLINE __m256i shift_s32(__m256i acc, __m256i shift, int any_left_shift) {
    if (!any_left_shift) return _mm256_srav_epi32(acc, shift);
    __m256i zero = _mm256_setzero_si256();
    __m256i t = clamp_to_s16(_mm256_srav_epi32(acc, _mm256_max_epi32(shift, zero)));
    return _mm256_sllv_epi32(t, _mm256_max_epi32(_mm256_sub_epi32(zero, shift), zero));
}

/* The other steps up to the clamp: (t * multiplier + 2^14) >> 15, then (p + 64) >> 7. The saturating addition changes
 * only results above 254. */
ALWAYS_INLINE __m256i scale_s16(__m256i t, __m256i multiplier) {
    __m256i p = _mm256_mulhrs_epi16(t, multiplier);
    return _mm256_srai_epi16(_mm256_adds_epi16(p, _mm256_set1_epi16(64)), 7);
}

ALWAYS_INLINE __m256i clamp_s8(__m256i x, __m256i lo, __m256i hi) {
    return _mm256_min_epi8(_mm256_max_epi8(x, lo), hi);
}

#endif
