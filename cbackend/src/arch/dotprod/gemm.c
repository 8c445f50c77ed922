/* Matrix kernel: tiles of 6 rows by 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dotprod.h"

/* Accumulators a, b, c, d of a row hold four outputs each: 24 registers, 6 of rows, 2 of weights. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

enum { TILE_ROWS = 6, PANEL_GROUP = 4 * WISP_CHANNELS };

ALWAYS_INLINE void multiply_tile(const wisp_gemm *g, const rows_s8 *t, int32_t j, int rows) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + j * t->groups * 4;
#define DECLARE(r)                                                        \
    const int8_t *x##r = t->x[r];                                         \
    int32x4_t a##r = vld1q_s32(ch->bias), b##r = vld1q_s32(ch->bias + 4); \
    int32x4_t c##r = vld1q_s32(ch->bias + 8), d##r = vld1q_s32(ch->bias + 12);
    EACH_ROW(DECLARE)
#undef DECLARE
#define LOAD(r) int8x16_t u##r = vld1q_s8(x##r + i);
#define STEP_A(r) \
    if (r < rows) a##r = vdotq_laneq_s32(a##r, w0, u##r, lane);
#define STEP_B(r) \
    if (r < rows) b##r = vdotq_laneq_s32(b##r, w1, u##r, lane);
#define STEP_C(r) \
    if (r < rows) c##r = vdotq_laneq_s32(c##r, w2, u##r, lane);
#define STEP_D(r) \
    if (r < rows) d##r = vdotq_laneq_s32(d##r, w3, u##r, lane);
#define STEP_LANE(l)                                            \
    {                                                           \
        enum { lane = l };                                      \
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);      \
        EACH_ROW(STEP_A)                                        \
        EACH_ROW(STEP_B)                                        \
        FENCE                                                   \
        int8x16_t w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48); \
        EACH_ROW(STEP_C)                                        \
        EACH_ROW(STEP_D)                                        \
        w += PANEL_GROUP;                                       \
        FENCE                                                   \
    }
    ptrdiff_t i = 0, size = t->groups * 4;
    for (; i + 16 <= size; i += 16) {
        EACH_ROW(LOAD)
        STEP_LANE(0) STEP_LANE(1) STEP_LANE(2) STEP_LANE(3)
    }
#undef LOAD
#define LOAD(r) int8x16_t u##r = vcombine_s8(vld1_s8(x##r + i), vdup_n_s8(0));
    if (i + 8 <= size) {
        EACH_ROW(LOAD)
        STEP_LANE(0) STEP_LANE(1) i += 8;
    }
#undef LOAD
#define LOAD(r) int8x16_t u##r = load_group(x##r + i);
    if (i < size) {
        EACH_ROW(LOAD)
        STEP_LANE(0)
    }
    if (g->row_term) {
        const int32_t *term = g->column_term + j;
        const int32x4_t ta = vld1q_s32(term), tb = vld1q_s32(term + 4), tc = vld1q_s32(term + 8), td = vld1q_s32(term + 12);
#define ADD_TERM(r)                                                                                 \
    if (r < rows) {                                                                                 \
        a##r = vmlaq_n_s32(a##r, ta, row_term(g, r)), b##r = vmlaq_n_s32(b##r, tb, row_term(g, r)); \
        c##r = vmlaq_n_s32(c##r, tc, row_term(g, r)), d##r = vmlaq_n_s32(d##r, td, row_term(g, r)); \
    }
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
    const requantize_s8x16 p = load_requantize_16(ch, (int8_t)g->lo, (int8_t)g->hi);
#define STORE(r)                                                 \
    if (r < rows) {                                              \
        int8x16_t q = requantize_16(a##r, b##r, c##r, d##r, &p); \
        if (full)                                                \
            vst1q_s8(t->y[r] + j, q);                            \
        else                                                     \
            store_bytes(t->y[r] + j, q, (size_t)(g->n - j));     \
    }
    if (g->n - j >= WISP_CHANNELS) {
        enum { full = 1 };
        EACH_ROW(STORE)
    } else {
        enum { full = 0 };
        EACH_ROW(STORE)
    }
}

static void multiply(const wisp_gemm *g) {
    rows_s8 t;
    point_rows_s8(g, &t);
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile(g, &t, j, 1);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile(g, &t, j, TILE_ROWS);
}

static void pack_rows(const wisp_gemm *g, void *packed) {
    pack_rows_s8(g, packed);
}

const wisp_gemm_kernel wisp_gemm_s8_dotprod = {multiply, pack_rows, "gemm_s8_dotprod", TILE_ROWS, 1};
