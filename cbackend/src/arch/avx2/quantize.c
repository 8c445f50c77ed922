/* Conversions between f32 and int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* Eight values, zero point not yet added. A NaN becomes 0; the clamp (see the scalar kernel) comes before the conversion,
 * which rounds halves to even and has no answer for what does not fit. */
ALWAYS_INLINE __m256i quantize_8(__m256 x, __m256 inverse_scale) {
    __m256 v = _mm256_mul_ps(x, inverse_scale);
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    return _mm256_cvtps_epi32(clamp_ps(v, _mm256_set1_ps(-1024.0f), _mm256_set1_ps(1024.0f)));
}

void wisp_quantize_s8_avx2(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    __m256 scale = _mm256_set1_ps(inverse_scale);
    __m256i zero = _mm256_set1_epi16((int16_t)zero_point);
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i a = quantize_8(_mm256_loadu_ps(x + i), scale), b = quantize_8(_mm256_loadu_ps(x + i + 8), scale);
        __m256i c = quantize_8(_mm256_loadu_ps(x + i + 16), scale), d = quantize_8(_mm256_loadu_ps(x + i + 24), scale);
        __m256i ab = _mm256_add_epi16(_mm256_packs_epi32(a, b), zero), cd = _mm256_add_epi16(_mm256_packs_epi32(c, d), zero);
        store_256(y + i, _mm256_permutevar8x32_epi32(_mm256_packs_epi16(ab, cd), order));
    }
    for (; i < n; i += 8) {
        size_t count = n - i < 8 ? n - i : 8;
        __m256i a = quantize_8(_mm256_maskload_ps(x + i, first_lanes(count)), scale);
        a = _mm256_add_epi16(_mm256_packs_epi32(a, a), zero);
        a = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, a), order);
        store_bytes(y + i, _mm256_castsi256_si128(a), count);
    }
}

ALWAYS_INLINE __m256 dequantize_8(__m128i x, __m256i zero, __m256 scale) {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_cvtepi8_epi32(x), zero)), scale);
}

void wisp_dequantize_s8_avx2(const int8_t *x, float scale, int32_t zero_point, float *y, size_t n) {
    __m256 vscale = _mm256_set1_ps(scale);
    __m256i zero = _mm256_set1_epi32(zero_point);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, dequantize_8(_mm_loadl_epi64((const __m128i *)(x + i)), zero, vscale));
    if (i < n) _mm256_maskstore_ps(y + i, first_lanes(n - i), dequantize_8(load_bytes(x + i, n - i), zero, vscale));
}
