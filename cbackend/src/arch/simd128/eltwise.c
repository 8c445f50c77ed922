/* Element-wise int8 kernels. The tail goes through a buffer, because y may be an operand and must not be read again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

enum { BLOCK = 16 };

/* a and b side by side, so that one dot product scales and adds them. `shuffle` keeps the order of 8 elements. */
ALWAYS_INLINE v128_t add_8(const wisp_add_s8 *p, v128_t mixed, v128_t multipliers) {
    v128_t bias = wasm_i32x4_splat(p->bias);
    v128_t low = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(mixed), multipliers);
    v128_t high = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(mixed), multipliers);
    low = wasm_i32x4_shr(wasm_i32x4_add(low, bias), (uint32_t)p->shift);
    high = wasm_i32x4_shr(wasm_i32x4_add(high, bias), (uint32_t)p->shift);
    return wasm_i16x8_narrow_i32x4(low, high);
}

ALWAYS_INLINE v128_t add_16(const wisp_add_s8 *p, v128_t a, v128_t b) {
    v128_t multipliers = wasm_i32x4_splat((int32_t)((uint32_t)p->multiplier_b << 16 | (uint16_t)p->multiplier_a));
    v128_t low = wasm_i8x16_shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v128_t high = wasm_i8x16_shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    v128_t q = wasm_i8x16_narrow_i16x8(add_8(p, low, multipliers), add_8(p, high, multipliers));
    return clamp_s8(q, p->lo, p->hi);
}

/* One shift for all lanes: to the right, or to the left after saturation. */
ALWAYS_INLINE v128_t mul_4(const wisp_mul_s8 *p, v128_t product) {
    product = wasm_i32x4_add(product, wasm_i32x4_splat(p->bias));
    if (p->shift >= 0) return wasm_i32x4_shr(product, (uint32_t)p->shift);
    product = wasm_i32x4_max(wasm_i32x4_min(product, wasm_i32x4_const_splat(32767)), wasm_i32x4_const_splat(-32768));
    return wasm_i32x4_shl(product, (uint32_t)-p->shift);
}

ALWAYS_INLINE v128_t mul_8(const wisp_mul_s8 *p, v128_t a, v128_t b) {
    a = wasm_i16x8_sub(a, wasm_i16x8_splat((int16_t)p->zero_a)), b = wasm_i16x8_sub(b, wasm_i16x8_splat((int16_t)p->zero_b));
    v128_t low = mul_4(p, wasm_i32x4_extmul_low_i16x8(a, b)), high = mul_4(p, wasm_i32x4_extmul_high_i16x8(a, b));
    return scale_s16(wasm_i16x8_narrow_i32x4(low, high), wasm_i16x8_splat((int16_t)p->multiplier));
}

ALWAYS_INLINE v128_t mul_16(const wisp_mul_s8 *p, v128_t a, v128_t b) {
    v128_t low = mul_8(p, wasm_i16x8_extend_low_i8x16(a), wasm_i16x8_extend_low_i8x16(b));
    v128_t high = mul_8(p, wasm_i16x8_extend_high_i8x16(a), wasm_i16x8_extend_high_i8x16(b));
    return clamp_s8(wasm_i8x16_narrow_i16x8(low, high), p->lo, p->hi);
}

/* Runs `body` over n elements, 16 at a time; step 0 broadcasts the one value, read before the first write. The copy of
 * the parameters stays in registers: stores through y cannot change it. */
#define FOR_BLOCKS(body)                                                                                           \
    if (n == 0) return;                                                                                            \
    const v128_t fixed_a = wasm_i8x16_splat(*a), fixed_b = wasm_i8x16_splat(*b);                                   \
    size_t i = 0;                                                                                                  \
    for (; i + BLOCK <= n; i += BLOCK) {                                                                           \
        v128_t va = step_a ? wasm_v128_load(a + i) : fixed_a, vb = step_b ? wasm_v128_load(b + i) : fixed_b;       \
        wasm_v128_store(y + i, body(&local, va, vb));                                                              \
    }                                                                                                              \
    if (i < n) {                                                                                                   \
        v128_t va = step_a ? load_bytes(a + i, n - i) : fixed_a, vb = step_b ? load_bytes(b + i, n - i) : fixed_b; \
        store_bytes(y + i, body(&local, va, vb), n - i);                                                           \
    }

void wisp_add_s8_simd128(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const wisp_add_s8 local = *p;
    FOR_BLOCKS(add_16)
}

void wisp_mul_s8_simd128(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const wisp_mul_s8 local = *p;
    FOR_BLOCKS(mul_16)
}
