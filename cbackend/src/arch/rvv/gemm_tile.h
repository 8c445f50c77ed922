/* Matrix tiles for both register lengths: ROWS rows by a panel of 16 outputs. block.h says how long. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV_GEMM_TILE_H
#define WISP_RVV_GEMM_TILE_H

#include "rvv.h"
#include "shift_left.h"

enum { GROUP = 4, FEW_ROWS = 4 };

/* Packs the rows as [taps][k4/4][rows][4], the last values of a tap padded with zeros. Rows beyond m are
 * copies of the last one; their results land on it. */
ALWAYS_INLINE void interleave_rows(const wisp_gemm *g, int8_t *first, int rows) {
    const ptrdiff_t step = GROUP * rows, whole = g->k / GROUP, rest = g->k % GROUP;
    for (int32_t t = 0; t < g->taps; t++, first += (whole + (rest != 0)) * step)
        for (int32_t r = 0; r < rows; r++) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + (r < g->m ? r : g->m - 1)];
            int8_t *out = first + GROUP * r;
            for (size_t left = (size_t)whole, vl; left > 0; left -= vl, x += GROUP * vl, out += (ptrdiff_t)vl * step) {
                vl = __riscv_vsetvl_e32m4(left);
                vint32m4_t v = __riscv_vreinterpret_i32m4(__riscv_vle8_v_i8m4(x, GROUP * vl));
                __riscv_vsse32((int32_t *)(void *)out, step, v, vl);
            }
            if (rest)
                for (ptrdiff_t i = 0; i < GROUP; i++) out[i] = i < rest ? x[i] : 0;
        }
}

/* s8. Per value of a row: its 16 weights as 16 bits, then one widening multiply-add for each row, whose own value comes
 * from a scalar register. The rows are packed as [groups][rows][4], so one pointer with constant offsets serves all. */
ALWAYS_INLINE void multiply_tile_s8(const wisp_gemm *g, int32_t j, ptrdiff_t groups, int rows) {
    const size_t vl = WISP_CHANNELS;
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + (ptrdiff_t)j * groups * GROUP, *x = (const int8_t *)g->packed;
#define DECLARE(r) VEC_S32 a##r = LOAD_S32(ch->bias, vl);
    EACH_ROW(DECLARE)
#undef DECLARE
    for (ptrdiff_t i = 0; i < groups; i++, w += GROUP * WISP_CHANNELS, x += GROUP * rows) {
        VEC_S8X4 group = LOAD_S8X4(w, vl); /* one value of all 16 outputs in each register */
#define STEP(r) \
    if (r < rows) a##r = __riscv_vwmacc(a##r, (int16_t)x[GROUP * r + value], wide, vl);
#define STEP_VALUE(v)                                               \
    {                                                               \
        enum { value = v };                                         \
        VEC_S16 wide = __riscv_vsext_vf2(GET_S8(group, value), vl); \
        EACH_ROW(STEP)                                              \
    }
        STEP_VALUE(0) STEP_VALUE(1) STEP_VALUE(2) STEP_VALUE(3)
#undef STEP_VALUE
#undef STEP
    }
    const int32_t last = g->m - 1;
    if (g->row_term) {
        VEC_S32 term = LOAD_S32(g->column_term + j, vl);
#define ADD_TERM(r) \
    if (r < rows) a##r = __riscv_vmacc(a##r, g->row_term[r < last ? r : last], term, vl);
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
    VEC_S32 shift = LOAD_S32(ch->shift, vl);
    if (g->any_left_shift) {
#define SHIFT(r) \
    if (r < rows) a##r = shift_left(a##r, shift, vl);
        EACH_ROW(SHIFT)
#undef SHIFT
        shift = __riscv_vmax(shift, 0, vl);
    }
    VEC_U16 narrow_shift = TO_U16(__riscv_vncvt_x(shift, vl));
    VEC_S16 multiplier = __riscv_vncvt_x(LOAD_S32(ch->multiplier, vl), vl);
#define TO_S16(r) VEC_S16 t##r = SHIFT_TO_S16(a##r, narrow_shift, vl);
    EACH_ROW(TO_S16)
#undef TO_S16
    size_t width = g->n - j < WISP_CHANNELS ? (size_t)(g->n - j) : WISP_CHANNELS;
#define STORE(r)                                                                                              \
    if (r < rows) {                                                                                           \
        VEC_S8 q = CLAMP(ROUND_TO_S8(SCALE_S16(t##r, multiplier, vl), vl), (int8_t)g->lo, (int8_t)g->hi, vl); \
        __riscv_vse8((int8_t *)g->out + (r < last ? r : last) * g->out_stride + j, q, width);                 \
    }
    EACH_ROW(STORE)
#undef STORE
}

ALWAYS_INLINE void multiply_s8(const wisp_gemm *g, int rows) {
    ptrdiff_t groups = (ptrdiff_t)g->taps * (ptrdiff_t)(((int64_t)g->k + 3) / GROUP);
    for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_s8(g, j, groups, rows);
}

/* f32: bias, then one fused multiply-add for each product in the order of the contract. */
ALWAYS_INLINE void multiply_tile_f32(const wisp_gemm *g, int32_t j, int rows) {
    const size_t vl = WISP_CHANNELS;
    const float *w = (const float *)g->weights + (ptrdiff_t)j * g->taps * g->k;
    int32_t last = g->m - 1;
#define DECLARE(r) VEC_F32 a##r = LOAD_F32((const float *)g->columns + j, vl);
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = (const float *const *)g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[r < last ? r : last];
        EACH_ROW(POINT)
#undef POINT
        for (ptrdiff_t c = 0; c < g->k; c++, w += WISP_CHANNELS) {
            VEC_F32 wide = LOAD_F32(w, vl);
#define STEP(r) \
    if (r < rows) a##r = __riscv_vfmacc(a##r, x##r[c], wide, vl);
            EACH_ROW(STEP)
#undef STEP
        }
    }
    size_t width = g->n - j < WISP_CHANNELS ? (size_t)(g->n - j) : WISP_CHANNELS;
#define STORE(r)                                                                                 \
    if (r < rows) {                                                                              \
        a##r = CLAMP_AT_LEAST(a##r, g->min, width);                                              \
        a##r = CLAMP_AT_MOST(a##r, g->max, width);                                               \
        __riscv_vse32((float *)g->out + (r < last ? r : last) * g->out_stride + j, a##r, width); \
    }
    EACH_ROW(STORE)
#undef STORE
}

ALWAYS_INLINE void choose_rows_s8(const wisp_gemm *g) {
    if (g->m == 1)
        multiply_s8(g, 1);
    else if (g->m <= FEW_ROWS)
        multiply_s8(g, FEW_ROWS);
    else
        multiply_s8(g, ROWS);
}

ALWAYS_INLINE void pack_rows_s8(const wisp_gemm *g, void *packed) {
    if (g->m == 1)
        interleave_rows(g, packed, 1);
    else if (g->m <= FEW_ROWS)
        interleave_rows(g, packed, FEW_ROWS);
    else
        interleave_rows(g, packed, ROWS);
}

ALWAYS_INLINE void choose_rows_f32(const wisp_gemm *g) {
    if (g->m <= FEW_ROWS)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32(g, j, FEW_ROWS);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32(g, j, ROWS);
}

#endif
