/* Element-wise kernels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

/* Operands of step 0 are read before the first write, as y may be one of them. */
ALWAYS_INLINE vint16m4_t load_wide(const int8_t *p, int step, int8_t fixed, size_t i, size_t vl) {
    return step ? __riscv_vsext_vf2(__riscv_vle8_v_i8m2(p + i, vl), vl) : __riscv_vmv_v_x_i16m4(fixed, vl);
}

void wisp_add_s8_rvv(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (n == 0) return;
    const wisp_add_s8 local = *p; /* stores through y cannot change it */
    const int8_t fixed_a = *a, fixed_b = *b;
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m2(n - i);
        vint32m8_t sum = __riscv_vwmul(load_wide(a, step_a, fixed_a, i, vl), (int16_t)local.multiplier_a, vl);
        sum = __riscv_vwmacc(sum, (int16_t)local.multiplier_b, load_wide(b, step_b, fixed_b, i, vl), vl);
        sum = __riscv_vadd(sum, local.bias, vl);
        vint16m4_t t = SHIFT_TO_S16(sum, (size_t)local.shift, vl);
        vint8m2_t q = __riscv_vnclip(t, 0, __RISCV_VXRM_RDN, vl);
        __riscv_vse8(y + i, CLAMP(q, local.lo, local.hi, vl), vl);
    }
}

void wisp_mul_s8_rvv(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (n == 0) return;
    const wisp_mul_s8 local = *p; /* as above */
    const int8_t fixed_a = *a, fixed_b = *b;
    const size_t right = local.shift > 0 ? (size_t)local.shift : 0, left = local.shift < 0 ? (size_t)-local.shift : 0;
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m2(n - i);
        vint16m4_t wide_a = __riscv_vsub(load_wide(a, step_a, fixed_a, i, vl), (int16_t)local.zero_a, vl);
        vint16m4_t wide_b = __riscv_vsub(load_wide(b, step_b, fixed_b, i, vl), (int16_t)local.zero_b, vl);
        vint32m8_t product = __riscv_vadd(__riscv_vwmul(wide_a, wide_b, vl), local.bias, vl);
        if (left) product = __riscv_vsll(CLAMP(product, -32768, 32767, vl), left, vl);
        vint16m4_t t = SCALE_S16(SHIFT_TO_S16(product, right, vl), (int16_t)local.multiplier, vl);
        __riscv_vse8(y + i, CLAMP(ROUND_TO_S8(t, vl), local.lo, local.hi, vl), vl);
    }
}

/* An indexed load works with any register length; vrgather would need 256 bytes in eight registers. */
void wisp_lookup_s8_rvv(const int8_t *table, const int8_t *x, int8_t *y, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m8(n - i);
        vuint8m8_t index = __riscv_vxor(__riscv_vreinterpret_u8m8(__riscv_vle8_v_i8m8(x + i, vl)), 128, vl);
        __riscv_vse8(y + i, __riscv_vluxei8(table, index, vl), vl);
    }
}

ALWAYS_INLINE vfloat32m8_t load_operand(const float *p, int step, float fixed, size_t i, size_t vl) {
    return step ? __riscv_vle32_v_f32m8(p + i, vl) : __riscv_vfmv_v_f_f32m8(fixed, vl);
}

#define FOR_BLOCKS(expression)                                     \
    if (n == 0) return;                                            \
    const float fixed_a = *a, fixed_b = *b;                        \
    for (size_t i = 0, vl; i < n; i += vl) {                       \
        vl = __riscv_vsetvl_e32m8(n - i);                          \
        vfloat32m8_t va = load_operand(a, step_a, fixed_a, i, vl); \
        vfloat32m8_t vb = load_operand(b, step_b, fixed_b, i, vl); \
        __riscv_vse32(y + i, expression, vl);                      \
    }

void wisp_add_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    FOR_BLOCKS(__riscv_vfadd(va, vb, vl))
}

void wisp_sub_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    FOR_BLOCKS(__riscv_vfsub(va, vb, vl))
}

void wisp_mul_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    FOR_BLOCKS(__riscv_vfmul(va, vb, vl))
}

void wisp_div_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n){FOR_BLOCKS(__riscv_vfdiv(va, vb, vl))}

/* b, or a where `take` says so or a is NaN: a NaN of b already stays, comparing false. */
ALWAYS_INLINE vfloat32m8_t choose(vfloat32m8_t a, vfloat32m8_t b, vbool4_t take, size_t vl) {
    return __riscv_vmerge(b, a, __riscv_vmor(take, __riscv_vmfne(a, a, vl), vl), vl);
}

void wisp_minimum_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    FOR_BLOCKS(choose(va, vb, __riscv_vmflt(va, vb, vl), vl))
}

void wisp_maximum_f32_rvv(const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    FOR_BLOCKS(choose(va, vb, __riscv_vmfgt(va, vb, vl), vl))
}

void wisp_clamp_f32_rvv(const float *x, float lo, float hi, float *y, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e32m8(n - i);
        vfloat32m8_t v = __riscv_vle32_v_f32m8(x + i, vl);
        v = CLAMP_AT_LEAST(v, lo, vl);
        __riscv_vse32(y + i, CLAMP_AT_MOST(v, hi, vl), vl);
    }
}
