/* Conversion from f32 to int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

/* nearest rounds halves to even; the conversion saturates and takes NaN to 0: the contract in two instructions. */
ALWAYS_INLINE v128_t quantize_4(const float *x, v128_t inverse_scale) {
    return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(wasm_v128_load(x), inverse_scale)));
}

ALWAYS_INLINE v128_t quantize_8(const float *x, v128_t inverse_scale, v128_t zero) {
    return wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4(quantize_4(x, inverse_scale), quantize_4(x + 4, inverse_scale)), zero);
}

void wisp_quantize_s8_simd128(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    const v128_t scale = wasm_f32x4_splat(inverse_scale), zero = wasm_i16x8_splat((int16_t)zero_point);
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        wasm_v128_store(y + i, wasm_i8x16_narrow_i16x8(quantize_8(x + i, scale, zero), quantize_8(x + i + 8, scale, zero)));
    if (i == n) return;
    float tail[16] = {0};
    for (size_t k = i; k < n; k++) tail[k - i] = x[k];
    store_bytes(y + i, wasm_i8x16_narrow_i16x8(quantize_8(tail, scale, zero), quantize_8(tail + 8, scale, zero)), n - i);
}
