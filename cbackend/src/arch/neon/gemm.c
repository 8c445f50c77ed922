/* Matrix kernels of 64-bit ARM: tiles of 4 rows by 8 (s8) or 16 (f32) outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

#ifdef __aarch64__ /* 32-bit ARM: gemm_s8_armv7.c, gemm_f32_armv7.c */

/* Accumulators are named, not an array, because gcc 12 keeps arrays in memory. Rows beyond m are copies of the last one
 * and land on it. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

enum { ROWS = 4, GROUP = 4 };

/* s8: 4 rows by 8 outputs. Products of two groups share a 16-bit lane, which 2 * 128 * 127 fits; `wide`: 2 * 128 * 128 does not, so
 * each is added on its own. smull, smlal, then sadalp for every 2 outputs x 8 values; accumulators {o0 o0' o1 o1'}, o' the second partial
 * sum. 16 of them, 8 weights, 4 groups of a row. */
#define PAIR(r, u, v, w0, w1, w2, w3)                                                      \
    {                                                                                      \
        int16x8_t p = vmull_s8(vget_low_s8(w0), vget_low_s8(u)), q = vmull_high_s8(w0, u); \
        int16x8_t s = vmull_s8(vget_low_s8(w1), vget_low_s8(u)), t = vmull_high_s8(w1, u); \
        if (wide) {                                                                        \
            a##r = vpadalq_s16(a##r, p), b##r = vpadalq_s16(b##r, q);                      \
            c##r = vpadalq_s16(c##r, s), d##r = vpadalq_s16(d##r, t);                      \
            p = vmull_s8(vget_low_s8(w2), vget_low_s8(v)), q = vmull_high_s8(w2, v);       \
            s = vmull_s8(vget_low_s8(w3), vget_low_s8(v)), t = vmull_high_s8(w3, v);       \
        } else {                                                                           \
            p = vmlal_s8(p, vget_low_s8(w2), vget_low_s8(v)), q = vmlal_high_s8(q, w2, v); \
            s = vmlal_s8(s, vget_low_s8(w3), vget_low_s8(v)), t = vmlal_high_s8(t, w3, v); \
        }                                                                                  \
        a##r = vpadalq_s16(a##r, p), b##r = vpadalq_s16(b##r, q);                          \
        c##r = vpadalq_s16(c##r, s), d##r = vpadalq_s16(d##r, t);                          \
        FINISH(a##r, b##r, c##r, d##r)                                                     \
    }

ALWAYS_INLINE void multiply_tile_s8(const wisp_gemm *g, const rows_s8 *t, int32_t top, int32_t j, int rows, int wide) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    int first = j % WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * t->groups * 64 + first * GROUP;
    int32x4_t zero = vdupq_n_s32(0), bias0 = vld1q_s32(ch->bias + first), bias1 = vld1q_s32(ch->bias + first + 4);
    int32x4_t bias_a = vzip1q_s32(bias0, zero), bias_b = vzip2q_s32(bias0, zero);
    int32x4_t bias_c = vzip1q_s32(bias1, zero), bias_d = vzip2q_s32(bias1, zero);
#define DECLARE(r)                      \
    const int8_t *x##r = t->x[top + r]; \
    int32x4_t a##r = bias_a, b##r = bias_b, c##r = bias_c, d##r = bias_d;
    EACH_ROW(DECLARE)
#undef DECLARE
    ptrdiff_t rest = t->groups;
    for (; rest >= 4; rest -= 4, w += 256) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 64), w3 = vld1q_s8(w + 80);
        int8x16_t w4 = vld1q_s8(w + 128), w5 = vld1q_s8(w + 144), w6 = vld1q_s8(w + 192), w7 = vld1q_s8(w + 208);
#define STEP(r)                                      \
    if (r < rows) {                                  \
        int8x16x4_t u = load_groups_4(x##r);         \
        x##r += 16;                                  \
        PAIR(r, u.val[0], u.val[1], w0, w1, w2, w3); \
        PAIR(r, u.val[2], u.val[3], w4, w5, w6, w7); \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    if (rest >= 2) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 64), w3 = vld1q_s8(w + 80);
#define STEP(r)                                                          \
    if (r < rows) {                                                      \
        PAIR(r, load_group(x##r), load_group(x##r + 4), w0, w1, w2, w3); \
        x##r += 8;                                                       \
    }
        EACH_ROW(STEP)
#undef STEP
        w += 128, rest -= 2;
    }
    if (rest) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
#define STEP(r)                                                              \
    if (r < rows) {                                                          \
        int8x16_t u = load_group(x##r);                                      \
        a##r = vpadalq_s16(a##r, vmull_s8(vget_low_s8(w0), vget_low_s8(u))); \
        b##r = vpadalq_s16(b##r, vmull_high_s8(w0, u));                      \
        c##r = vpadalq_s16(c##r, vmull_s8(vget_low_s8(w1), vget_low_s8(u))); \
        d##r = vpadalq_s16(d##r, vmull_high_s8(w1, u));                      \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    int32x4_t left0 = vnegq_s32(vld1q_s32(ch->shift + first)), left1 = vnegq_s32(vld1q_s32(ch->shift + first + 4));
    int16x8_t multiplier = load_multipliers(ch->multiplier + first);
    int8x8_t lo = vdup_n_s8((int8_t)g->lo), hi = vdup_n_s8((int8_t)g->hi);
#define ADD_PARTS(r) a##r = vpaddq_s32(a##r, b##r), c##r = vpaddq_s32(c##r, d##r);
    EACH_ROW(ADD_PARTS)
#undef ADD_PARTS
    if (g->row_term) {
        const int32x4_t term0 = vld1q_s32(g->column_term + j), term1 = vld1q_s32(g->column_term + j + 4);
#define ADD_TERM(r)                                        \
    a##r = vmlaq_n_s32(a##r, term0, row_term(g, top + r)); \
    c##r = vmlaq_n_s32(c##r, term1, row_term(g, top + r));
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
#define REQUANTIZE(r)                                                   \
    int8x8_t q##r = requantize_8(a##r, c##r, left0, left1, multiplier); \
    q##r = vmin_s8(vmax_s8(q##r, lo), hi);
    EACH_ROW(REQUANTIZE)
#undef REQUANTIZE
    if (g->n - j >= 8) {
#define STORE(r) \
    if (r < rows) vst1_s8(t->y[top + r] + j, q##r);
        EACH_ROW(STORE)
#undef STORE
    } else {
#define STORE(r) \
    if (r < rows) store_bytes(t->y[top + r] + j, vcombine_s8(q##r, q##r), (size_t)(g->n - j));
        EACH_ROW(STORE)
#undef STORE
    }
}

ALWAYS_INLINE void multiply_rows_s8(const wisp_gemm *g, int wide) {
    rows_s8 t;
    point_rows_s8(g, &t);
    if (g->m == 1) {
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile_s8(g, &t, 0, j, 1, wide);
        return;
    }
    for (int32_t j = 0; j < g->n; j += 8)
        for (int32_t top = 0; top < g->m; top += ROWS) multiply_tile_s8(g, &t, top, j, ROWS, wide);
}

static void multiply_s8(const wisp_gemm *g) {
    const wisp_gemm own = *g; /* which no store can change */
    if (own.full_range)
        multiply_rows_s8(&own, 1);
    else
        multiply_rows_s8(&own, 0);
}

static void pack_s8(const wisp_gemm *g, void *packed) {
    pack_rows_s8(g, packed);
}

const wisp_gemm_kernel wisp_gemm_s8_neon = {multiply_s8, pack_s8, "gemm_s8_neon", WISP_MAX_MR, 1};

/* f32: 16 accumulators, 4 weights, 4 rows. Every element is bias, then one FMA for each product in the order of the contract. */
ALWAYS_INLINE void multiply_tile_f32(const wisp_gemm *g, int32_t j, int32_t row, int rows) {
    const float *w = (const float *)g->weights + (ptrdiff_t)j * g->taps * g->k;
    int32_t last = g->m - 1 - row;
#define DECLARE(r)                                                                                                    \
    float32x4_t a##r = vld1q_f32((const float *)g->columns + j), b##r = vld1q_f32((const float *)g->columns + j + 4); \
    float32x4_t c##r = vld1q_f32((const float *)g->columns + j + 8), d##r = vld1q_f32((const float *)g->columns + j + 12);
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = (const float *const *)g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[row + (r < last ? r : last)];
        EACH_ROW(POINT)
#undef POINT
#define STEP(r)                                                                                     \
    if (r < rows) {                                                                                 \
        a##r = vfmaq_laneq_f32(a##r, w0, v##r, lane), b##r = vfmaq_laneq_f32(b##r, w1, v##r, lane); \
        c##r = vfmaq_laneq_f32(c##r, w2, v##r, lane), d##r = vfmaq_laneq_f32(d##r, w3, v##r, lane); \
    }
#define STEP_LANE(l)                                                                                         \
    {                                                                                                        \
        enum { lane = l };                                                                                   \
        float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4), w2 = vld1q_f32(w + 8), w3 = vld1q_f32(w + 12); \
        EACH_ROW(STEP)                                                                                       \
        w += WISP_CHANNELS;                                                                                  \
    }
        ptrdiff_t i = 0;
        for (; i + 4 <= g->k; i += 4) {
#define LOAD(r) float32x4_t v##r = vld1q_f32(x##r + i);
            EACH_ROW(LOAD)
#undef LOAD
            STEP_LANE(0) STEP_LANE(1) STEP_LANE(2) STEP_LANE(3)
        }
        for (; i < g->k; i++) {
#define LOAD(r) float32x4_t v##r = vdupq_n_f32(x##r[i]);
            EACH_ROW(LOAD)
#undef LOAD
            STEP_LANE(0)
        }
#undef STEP_LANE
#undef STEP
    }
    int32_t width = g->n - j;
#define STORE(r)                                                                          \
    if (r < rows) {                                                                       \
        float *out = (float *)g->out + (row + (r < last ? r : last)) * g->out_stride + j; \
        store_floats(out, clamp_f32(a##r, g->min, g->max), width);                        \
        store_floats(out + 4, clamp_f32(b##r, g->min, g->max), (int64_t)width - 4);       \
        store_floats(out + 8, clamp_f32(c##r, g->min, g->max), (int64_t)width - 8);       \
        store_floats(out + 12, clamp_f32(d##r, g->min, g->max), (int64_t)width - 12);     \
    }
    EACH_ROW(STORE)
#undef STORE
}

static void multiply_f32(const wisp_gemm *g) {
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32(g, j, 0, 1);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS)
            for (int32_t row = 0; row < g->m; row += ROWS) multiply_tile_f32(g, j, row, ROWS);
}

const wisp_gemm_kernel wisp_gemm_f32_neon = {multiply_f32, NULL, "gemm_f32_neon", ROWS, 0};
#endif
