/* What the AVX-512 kernels share: masks, requantization of vectors. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_AVX512VNNI_H
#define WISP_AVX512VNNI_H

#include <immintrin.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_avx512vnni;

extern const wisp_gemm_kernel wisp_gemm_s8_avx512vnni, wisp_gemm_f32_avx512vnni;
wisp_dwconv_s8_fn wisp_dwconv_s8_avx512vnni;
wisp_dwconv_f32_fn wisp_dwconv_f32_avx512vnni;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Ones for the first n elements, at most 64 or 16. Masked loads and stores touch no other byte. */
ALWAYS_INLINE __mmask64 first_64(int64_t n) {
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}
ALWAYS_INLINE __mmask16 first_16(int64_t n) {
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* acc + products of x and w, four (bytes, x unsigned) or two (words) to a lane. Written as assembly because gcc 12
 * copies the accumulators of its intrinsics around and spills them: 105 instructions in the matrix kernel's inner loop,
 * 19 of them on the stack, instead of 40 and none. */
ALWAYS_INLINE __m512i dot_bytes(__m512i acc, __m512i x, __m512i w) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
    return acc;
}
ALWAYS_INLINE __m512i dot_words(__m512i acc, __m512i x, __m512i w) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(x), "v"(w));
    return acc;
}

/* max(x, lo) then min(.., hi). A NaN in x stays: both instructions return their second operand then. */
ALWAYS_INLINE __m512 clamp_ps(__m512 x, __m512 lo, __m512 hi) {
    return _mm512_min_ps(hi, _mm512_max_ps(lo, x));
}

/* First step of requantize_s8, saturation left to the pack that follows. `any_left_shift`: some shifts may be negative. */
ALWAYS_INLINE __m512i shift_s32(__m512i acc, __m512i shift, int any_left_shift) {
    if (!any_left_shift) return _mm512_srav_epi32(acc, shift);
    __m512i zero = _mm512_setzero_si512();
    __m512i t = _mm512_srav_epi32(acc, _mm512_max_epi32(shift, zero));
    t = _mm512_min_epi32(_mm512_max_epi32(t, _mm512_set1_epi32(-32768)), _mm512_set1_epi32(32767));
    return _mm512_sllv_epi32(t, _mm512_max_epi32(_mm512_sub_epi32(zero, shift), zero));
}

/* The other steps up to the clamp: (t * multiplier + 2^14) >> 15, then (p + 64) >> 7. The saturating addition changes
 * only results above 254. */
ALWAYS_INLINE __m512i scale_s16(__m512i t, __m512i multiplier) {
    __m512i p = _mm512_mulhrs_epi16(t, multiplier);
    return _mm512_srai_epi16(_mm512_adds_epi16(p, _mm512_set1_epi16(64)), 7);
}

/* Four vectors of 16 shifted sums to 64 bytes in order; m01, m23: multipliers packed like the sums. */
ALWAYS_INLINE __m512i requantize_64(__m512i s0, __m512i s1, __m512i s2, __m512i s3, __m512i m01, __m512i m23, int8_t lo, int8_t hi) {
    __m512i a = scale_s16(_mm512_packs_epi32(s0, s1), m01), b = scale_s16(_mm512_packs_epi32(s2, s3), m23);
    __m512i q = _mm512_packs_epi16(a, b); /* 4 bytes of each vector in every lane */
    q = _mm512_min_epi8(_mm512_max_epi8(q, _mm512_set1_epi8(lo)), _mm512_set1_epi8(hi));
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), q);
}

#endif
