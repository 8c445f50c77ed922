/* What the WebAssembly kernels share: partial loads and stores, requantization. Fixed-width SIMD, nothing relaxed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SIMD128_H
#define WISP_SIMD128_H

#include <string.h>
#include <wasm_simd128.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_simd128;

extern const wisp_gemm_kernel wisp_gemm_s8_simd128, wisp_gemm_f32_simd128;
wisp_dwconv_s8_fn wisp_dwconv_s8_simd128;
wisp_dwconv_f32_fn wisp_dwconv_f32_simd128;
wisp_add_s8_fn wisp_add_s8_simd128;
wisp_mul_s8_fn wisp_mul_s8_simd128;
wisp_quantize_s8_fn wisp_quantize_s8_simd128;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* 0..16 bytes, zeros above; nothing else is read or written. */
ALWAYS_INLINE v128_t load_bytes(const int8_t *p, size_t size) {
    int8_t buffer[16] = {0};
    for (size_t i = 0; i < size; i++) buffer[i] = p[i];
    return wasm_v128_load(buffer);
}
ALWAYS_INLINE void store_bytes(int8_t *p, v128_t x, size_t size) {
    int8_t buffer[16];
    wasm_v128_store(buffer, x);
    for (size_t i = 0; i < size; i++) p[i] = buffer[i];
}

/* Four shifts of requantize_s8. There is no shift by lanes, so a right shift by n >= 1 is a multiplication:
 *   floor(acc / 2^n) = high word of (acc + 2^31) * 2^(32 - n), minus 2^(31 - n)
 * where acc + 2^31 is acc as unsigned with its top bit flipped, and the product fits 64 bits.
 * Lanes with n <= 0 saturate to 16 bits and multiply by 2^-n instead. */
typedef struct lane_shifts {
    v128_t factor, offset; /* n >= 1: 2^(32 - n), 2^(31 - n) */
    v128_t left, is_left;  /* n <= 0: 2^-n; all ones */
    int any_left;
} lane_shifts;

ALWAYS_INLINE lane_shifts prepare_shifts(const int32_t *shift) {
    v128_t n = wasm_v128_load(shift);
    lane_shifts s;
    s.is_left = wasm_i32x4_lt(n, wasm_i32x4_const_splat(1));
    s.any_left = wasm_v128_any_true(s.is_left);
    /* In lanes with n <= 0 these counts are taken modulo 32, which is harmless. */
    s.offset =
        wasm_u32x4_make(1u << (31 - shift[0] & 31), 1u << (31 - shift[1] & 31), 1u << (31 - shift[2] & 31), 1u << (31 - shift[3] & 31));
    s.factor = wasm_i32x4_shl(s.offset, 1);
    s.left =
        s.any_left ? wasm_u32x4_make(1u << (-shift[0] & 31), 1u << (-shift[1] & 31), 1u << (-shift[2] & 31), 1u << (-shift[3] & 31)) : n;
    return s;
}

ALWAYS_INLINE v128_t shift_lanes(v128_t acc, const lane_shifts *s) {
    v128_t flipped = wasm_v128_xor(acc, wasm_i32x4_const_splat(INT32_MIN));
    v128_t low = wasm_u64x2_extmul_low_u32x4(flipped, s->factor), high = wasm_u64x2_extmul_high_u32x4(flipped, s->factor);
    v128_t t = wasm_i32x4_sub(wasm_i32x4_shuffle(low, high, 1, 3, 5, 7), s->offset);
    if (!s->any_left) return t;
    v128_t bounded = wasm_i32x4_max(wasm_i32x4_min(acc, wasm_i32x4_const_splat(32767)), wasm_i32x4_const_splat(-32768));
    return wasm_v128_bitselect(wasm_i32x4_mul(bounded, s->left), t, s->is_left);
}

/* The Q15 product and the rounding shift of requantize_s8, without the last saturation. t + 64 saturates where the clamp
 * does not care, docs/quantization.md section 3. */
ALWAYS_INLINE v128_t scale_s16(v128_t t, v128_t multiplier) {
    v128_t p = wasm_i16x8_q15mulr_sat(t, multiplier);
    return wasm_i16x8_shr(wasm_i16x8_add_sat(p, wasm_i16x8_const_splat(64)), 7);
}

ALWAYS_INLINE v128_t clamp_s8(v128_t x, int8_t lo, int8_t hi) {
    return wasm_i8x16_min(wasm_i8x16_max(x, wasm_i8x16_splat(lo)), wasm_i8x16_splat(hi));
}

/* As the scalar clamp, signed zeros and NaN included: pmax(a, b) is a < b ? b : a, pmin(a, b) is b < a ? b : a. */
ALWAYS_INLINE v128_t clamp_f32(v128_t x, float lo, float hi) {
    return wasm_f32x4_pmin(wasm_f32x4_pmax(x, wasm_f32x4_splat(lo)), wasm_f32x4_splat(hi));
}

/* The first 0..4 elements. */
ALWAYS_INLINE v128_t load_floats(const float *p, ptrdiff_t count) {
    if (count >= 4) return wasm_v128_load(p);
    float buffer[4] = {0};
    for (ptrdiff_t i = 0; i < count; i++) buffer[i] = p[i];
    return wasm_v128_load(buffer);
}
ALWAYS_INLINE void store_floats(float *p, v128_t x, ptrdiff_t count) {
    if (count >= 4) {
        wasm_v128_store(p, x);
        return;
    }
    float buffer[4];
    wasm_v128_store(buffer, x);
    for (ptrdiff_t i = 0; i < count; i++) p[i] = buffer[i];
}

#endif
