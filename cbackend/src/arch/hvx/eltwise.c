/* Element-wise kernels: 128 values at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

/* vsxt and vmpyh deal even and odd elements into the two vectors of a pair; the saturating packs at the end bring them
 * back in turn, so no value ever has to be moved. */

/* A whole vector, a shorter one, or one value for all lanes. */
ALWAYS_INLINE vector operand(const int8_t *x, int step, size_t i, size_t size, vector fixed) {
    if (!step) return fixed;
    return size == BYTES ? load(x + i) : load_bytes(x + i, size);
}

ALWAYS_INLINE void store_result(int8_t *y, vector x, size_t size) {
    if (size == BYTES)
        store(y, x);
    else
        store_bytes(y, x, 0, size);
}

ALWAYS_INLINE vector clamp(vector x, vector lowest, vector highest) {
    return Q6_Vb_vmin_VbVb(Q6_Vb_vmax_VbVb(x, lowest), highest);
}

/* 64 values: (a * ma + b * mb + bias) >> shift, saturated to 16 bits. Multipliers twice in their words. */
ALWAYS_INLINE vector add_half(vector a, vector b, int32_t ma, int32_t mb, vector_pair bias, int32_t shift) {
    vector_pair sum = Q6_Ww_vmpyacc_WwVhRh(Q6_Ww_vmpyacc_WwVhRh(bias, a, ma), b, mb);
    return Q6_Vh_vsat_VwVw(Q6_Vw_vasr_VwR(hi(sum), shift), Q6_Vw_vasr_VwR(lo(sum), shift));
}

static int32_t twice(int32_t x) {
    return (int32_t)(((uint32_t)x & 0xffff) * 0x10001u);
}

void wisp_add_s8_hvx(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (!n) return;
    const int32_t ma = twice(p->multiplier_a), mb = twice(p->multiplier_b), shift = p->shift;
    const vector word = Q6_V_vsplat_R(p->bias), lowest = splat_s8(p->lo), highest = splat_s8(p->hi);
    const vector fixed_a = splat_s8(*a), fixed_b = splat_s8(*b);
    const vector_pair bias = Q6_W_vcombine_VV(word, word);
    for (size_t i = 0; i < n; i += BYTES) {
        const size_t size = n - i < BYTES ? n - i : BYTES;
        vector_pair u = Q6_Wh_vsxt_Vb(operand(a, step_a, i, size, fixed_a)), v = Q6_Wh_vsxt_Vb(operand(b, step_b, i, size, fixed_b));
        vector even = add_half(lo(u), lo(v), ma, mb, bias, shift), odd = add_half(hi(u), hi(v), ma, mb, bias, shift);
        store_result(y + i, clamp(Q6_Vb_vasr_VhVhR_sat(odd, even, 0), lowest, highest), size);
    }
}

typedef struct product {
    vector zero_a, zero_b, right, up, multiplier, lowest, highest;
    vector_pair bias;
} product;

/* 64 values of 9 bits: a * b + bias, shifted, saturated to 16 bits. */
ALWAYS_INLINE vector multiply_half(vector a, vector b, const product *p, int any_left_shift) {
    vector_pair t = Q6_Ww_vmpyacc_WwVhVh(p->bias, Q6_Vh_vsub_VhVh(a, p->zero_a), Q6_Vh_vsub_VhVh(b, p->zero_b));
    vector even = Q6_Vw_vasr_VwVw(lo(t), p->right), odd = Q6_Vw_vasr_VwVw(hi(t), p->right);
    return any_left_shift ? Q6_Vh_vsat_VwVw(shift_left(odd, p->up), shift_left(even, p->up)) : Q6_Vh_vsat_VwVw(odd, even);
}

ALWAYS_INLINE void multiply(const product *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n,
                            int any_left_shift) {
    const vector fixed_a = splat_s8(*a), fixed_b = splat_s8(*b);
    for (size_t i = 0; i < n; i += BYTES) {
        const size_t size = n - i < BYTES ? n - i : BYTES;
        vector_pair u = Q6_Wh_vsxt_Vb(operand(a, step_a, i, size, fixed_a)), v = Q6_Wh_vsxt_Vb(operand(b, step_b, i, size, fixed_b));
        vector even = multiply_half(lo(u), lo(v), p, any_left_shift), odd = multiply_half(hi(u), hi(v), p, any_left_shift);
        store_result(y + i, scale_s16(even, odd, p->multiplier, p->multiplier, p->lowest, p->highest), size);
    }
}

void wisp_mul_s8_hvx(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (!n) return;
    const vector bias = Q6_V_vsplat_R(p->bias);
    const product fixed = {
        .zero_a = Q6_V_vsplat_R(twice(p->zero_a)),
        .zero_b = Q6_V_vsplat_R(twice(p->zero_b)),
        .right = Q6_V_vsplat_R(p->shift > 0 ? p->shift : 0),
        .up = Q6_V_vsplat_R(p->shift < 0 ? -p->shift : 0),
        .multiplier = Q6_V_vsplat_R(twice(p->multiplier)),
        .lowest = splat_s8(p->lo),
        .highest = splat_s8(p->hi),
        .bias = Q6_W_vcombine_VV(bias, bias),
    };
    if (p->shift < 0)
        multiply(&fixed, a, step_a, b, step_b, y, n, 1);
    else
        multiply(&fixed, a, step_a, b, step_b, y, n, 0);
}

/* vlut32 with number m looks up indices 32 m..32 m + 31 and gives 0 for others. It reads a vector as 64 halfwords {T[i], T[i + 64]},
 * so one vector serves four numbers; shuffling a half table by bytes makes it. */
void wisp_lookup_s8_hvx(const int8_t *table, const int8_t *x, int8_t *y, size_t n) {
    const vector flip = splat_s8(-128);
    const vector low = Q6_Vb_vshuff_Vb(load(table)), high = Q6_Vb_vshuff_Vb(load(table + BYTES));
    for (size_t i = 0; i < n; i += BYTES) {
        const size_t size = n - i < BYTES ? n - i : BYTES;
        const vector index = Q6_V_vxor_VV(operand(x, 1, i, size, flip), flip);
        vector r = Q6_Vb_vlut32_VbVbI(index, low, 0);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, low, 1);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, low, 2);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, low, 3);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, high, 4);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, high, 5);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, high, 6);
        r = Q6_Vb_vlut32or_VbVbVbI(r, index, high, 7);
        store_result(y + i, r, size);
    }
}
