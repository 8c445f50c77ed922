/* What the HVX kernels share: loads and stores of any length, requantization of vectors. 128-byte vectors, v66 and later. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_HVX_H
#define WISP_HVX_H

#include <hexagon_types.h>

#include <hexagon_protos.h>
#include <hvx_hexagon_protos.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_hvx;

extern const wisp_gemm_kernel wisp_gemm_s8_hvx;
wisp_dwconv_s8_fn wisp_dwconv_s8_hvx;
wisp_max_s8_fn wisp_max_s8_hvx;
wisp_sum_s8_fn wisp_sum_s8_hvx;
wisp_add_s8_fn wisp_add_s8_hvx;
wisp_mul_s8_fn wisp_mul_s8_hvx;
wisp_lookup_s8_fn wisp_lookup_s8_hvx;
wisp_quantize_s8_fn wisp_quantize_s8_hvx;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { BYTES = 128 }; /* of a vector */

typedef HVX_Vector vector __attribute__((may_alias));
typedef HVX_Vector loose_vector __attribute__((may_alias, aligned(1))); /* compiles to vmemu */
typedef HVX_VectorPair vector_pair;

ALWAYS_INLINE vector load(const void *p) {
    return *(const loose_vector *)p;
}
ALWAYS_INLINE void store(void *p, vector x) {
    *(loose_vector *)p = x;
}

/* The first 1..128 bytes at p, anything above. HVX has masked stores but no masked loads: this reads the one or two aligned
 * lines of 128 bytes that hold the range, and no line that holds none of it, so it cannot touch another page. */
ALWAYS_INLINE vector load_bytes(const void *p, size_t size) {
    const uintptr_t address = (uintptr_t)p, line = ~(uintptr_t)(BYTES - 1);
    vector first = *(const vector *)(address & line), last = *(const vector *)((address + size - 1) & line);
    return Q6_V_valign_VVR(last, first, (int32_t)address);
}

/* Bytes offset..offset + size - 1 of x, 1 <= size <= 128, to p; offset + size may wrap around. Nothing else is written. */
ALWAYS_INLINE void store_bytes(void *p, vector x, int32_t offset, size_t size) {
    const int32_t start = (int32_t)((uintptr_t)p & (BYTES - 1)), end = start + (int32_t)size;
    vector *line = (vector *)((uintptr_t)p - (uintptr_t)start);
    x = Q6_V_vror_VR(x, offset - start);
    Q6_vmem_QRIV(Q6_Q_and_QQn(Q6_Q_vsetq2_R(end < BYTES ? end : BYTES), Q6_Q_vsetq_R(start)), line, x);
    if (end > BYTES) Q6_vmem_QRIV(Q6_Q_vsetq_R(end - BYTES), line + 1, x);
}

/* The pair in which unit by unit of `size` bytes (a power of two) come from a and b in turn: size 1 gives
 * a0 b0 a1 b1 ..., size 64 gives the first halves of a and b, then the second halves. */
ALWAYS_INLINE vector_pair interleave(vector a, vector b, int size) {
    return Q6_W_vshuff_VVR(b, a, -size);
}
ALWAYS_INLINE vector lo(vector_pair p) {
    return Q6_V_lo_W(p);
}
ALWAYS_INLINE vector hi(vector_pair p) {
    return Q6_V_hi_W(p);
}

ALWAYS_INLINE vector splat_s8(int32_t x) {
    return Q6_V_vsplat_R((int32_t)((uint32_t)(uint8_t)x * 0x01010101u));
}

/* The other steps for two vectors of 64 values that left the shift: Q15 product, rounding shift by 7, clamp. Even bytes of the
 * result are from a, odd ones from b. vmpyh:rnd:sat is (t * m + 2^14) >> 15 for every t, m >= 0: doubling cannot saturate. */
ALWAYS_INLINE vector scale_s16(vector a, vector b, vector multiplier_a, vector multiplier_b, vector lowest, vector highest) {
    vector p = Q6_Vh_vmpy_VhVh_s1_rnd_sat(a, multiplier_a), q = Q6_Vh_vmpy_VhVh_s1_rnd_sat(b, multiplier_b);
    return Q6_Vb_vmin_VbVb(Q6_Vb_vmax_VbVb(Q6_Vb_vasr_VhVhR_rnd_sat(q, p, 7), lowest), highest);
}

/* Channel fields of 128 outputs (8 panels), as requantization wants them: shifts in words, multipliers in halfwords. */
typedef struct requantizer {
    vector bias[4], right[4], up[4], multiplier[2]; /* shift = right - up, one of them 0; up only if any_left_shift */
    vector lowest, highest;
    int any_left_shift; /* some shifts may be negative */
} requantizer;

/* The first `panels` blocks (1..8) at `channels`, to V vectors; an odd one stands in for its missing neighbour. */
ALWAYS_INLINE void load_requantizer(requantizer *q, const wisp_channels_s8 *channels, int32_t panels, int V, int8_t lowest, int8_t highest,
                                    int any_left_shift) {
    const vector zero = Q6_V_vzero();
    vector multiplier[4];
    for (int v = 0; v < 4; v++) {
        multiplier[v] = zero;
        if (v >= V) continue;
        const wisp_channels_s8 *a = channels + 2 * v, *b = 2 * v + 1 < panels ? a + 1 : a;
        q->bias[v] = lo(interleave(load(a->bias), load(b->bias), 64));
        vector_pair fields = interleave(load(a->shift), load(b->shift), 64);
        q->right[v] = lo(fields);
        if (any_left_shift) {
            q->right[v] = Q6_Vw_vmax_VwVw(lo(fields), zero);
            q->up[v] = Q6_Vw_vsub_VwVw(q->right[v], lo(fields));
        }
        multiplier[v] = hi(fields);
    }
    q->multiplier[0] = Q6_Vh_vpacke_VwVw(multiplier[1], multiplier[0]);
    q->multiplier[1] = Q6_Vh_vpacke_VwVw(multiplier[3], multiplier[2]);
    q->lowest = splat_s8(lowest);
    q->highest = splat_s8(highest);
    q->any_left_shift = any_left_shift;
}

/* A left shift of what was saturated to 16 bits, as in quant.h; a second saturation is left to the pack that follows. */
ALWAYS_INLINE vector shift_left(vector t, vector up) {
    t = Q6_Vw_vmin_VwVw(Q6_Vw_vmax_VwVw(t, Q6_V_vsplat_R(-32768)), Q6_V_vsplat_R(32767));
    return Q6_Vw_vasl_VwVw(t, up);
}

/* First step of requantize_s8 for the channels of vector v. */
ALWAYS_INLINE vector shift_s32(vector acc, const requantizer *q, int v) {
    vector t = Q6_Vw_vasr_VwVw(acc, q->right[v]);
    return q->any_left_shift ? shift_left(t, q->up[v]) : t;
}

/* 4 x 32 accumulators to 128 bytes in order. m01 and m23: multipliers of a, b and of c, d. */
ALWAYS_INLINE vector requantize_128(vector a, vector b, vector c, vector d, vector m01, vector m23, const requantizer *q) {
    vector ab = Q6_Vh_vpack_VwVw_sat(b, a), cd = Q6_Vh_vpack_VwVw_sat(d, c);
    return Q6_Vb_vdeal_Vb(scale_s16(ab, cd, m01, m23, q->lowest, q->highest));
}

#endif
