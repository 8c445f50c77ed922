/* Matrix kernels: tiles of 4 rows by 8 (s8) or 16 (f32) outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

/* Accumulators are named, not an array, because gcc 12 keeps arrays in memory. Rows beyond m are copies of the last one
 * and land on it. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

enum { ROWS = 4, GROUP = 4 };

/* s8. Rows are copied to scratch once, each tap padded with zeros to whole groups: [rows][taps][k4]. */
static void copy_rows(const wisp_gemm_s8 *g, int64_t k4) {
    int8_t *out = (int8_t *)g->scratch;
    for (int32_t r = 0; r < g->m; r++)
        for (int32_t t = 0; t < g->taps; t++, out += k4) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + r];
            int64_t c = 0;
            for (; c <= g->k - 16; c += 16) vst1q_s8(out + c, vld1q_s8(x + c));
            for (; c < g->k; c++) out[c] = x[c];
            for (; c < k4; c++) out[c] = 0;
        }
}

/* One group of a row, four times. */
ALWAYS_INLINE int8x16_t broadcast_group(const int8_t *x) {
    int32_t v;
    memcpy(&v, x, sizeof v);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

/* Products of two groups share a 16-bit lane: 2 * 128 * 127 fits. smull, smlal, then sadalp for every 2 outputs x 8 values;
 * accumulators {o0 o0' o1 o1'}, o' the second partial sum. 16 of them, 4 weights, 2 row groups. */
ALWAYS_INLINE void multiply_tile_s8(const wisp_gemm_s8 *g, int32_t j, ptrdiff_t groups, int rows) {
    const wisp_channels_s8 *ch = g->channels + j / WISP_CHANNELS;
    int first = j % WISP_CHANNELS;
    const int8_t *w = g->weights + j / WISP_CHANNELS * groups * 64 + first * GROUP;
    int32_t last = g->m - 1;
    const int32x4_t zero = vdupq_n_s32(0);
#define DECLARE(r)                                                                            \
    const int8_t *x##r = (const int8_t *)g->scratch + (r < last ? r : last) * groups * GROUP; \
    int32x4_t a##r = zero, b##r = zero, c##r = zero, d##r = zero;
    EACH_ROW(DECLARE)
#undef DECLARE
    ptrdiff_t i = 0;
    for (; i + 2 <= groups; i += 2, w += 128) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 64), w3 = vld1q_s8(w + 80);
#define STEP(r)                                                                                                         \
    if (r < rows) {                                                                                                     \
        int8x16_t u = broadcast_group(x##r + i * GROUP), v = broadcast_group(x##r + (i + 1) * GROUP);                   \
        a##r = vpadalq_s16(a##r, vmlal_s8(vmull_s8(vget_low_s8(w0), vget_low_s8(u)), vget_low_s8(w2), vget_low_s8(v))); \
        b##r = vpadalq_s16(b##r, vmlal_high_s8(vmull_high_s8(w0, u), w2, v));                                           \
        c##r = vpadalq_s16(c##r, vmlal_s8(vmull_s8(vget_low_s8(w1), vget_low_s8(u)), vget_low_s8(w3), vget_low_s8(v))); \
        d##r = vpadalq_s16(d##r, vmlal_high_s8(vmull_high_s8(w1, u), w3, v));                                           \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    if (i < groups) {
        int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
#define STEP(r)                                                              \
    if (r < rows) {                                                          \
        int8x16_t u = broadcast_group(x##r + i * GROUP);                     \
        a##r = vpadalq_s16(a##r, vmull_s8(vget_low_s8(w0), vget_low_s8(u))); \
        b##r = vpadalq_s16(b##r, vmull_high_s8(w0, u));                      \
        c##r = vpadalq_s16(c##r, vmull_s8(vget_low_s8(w1), vget_low_s8(u))); \
        d##r = vpadalq_s16(d##r, vmull_high_s8(w1, u));                      \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    int32x4_t bias0 = vld1q_s32(ch->bias + first), bias1 = vld1q_s32(ch->bias + first + 4);
    int32x4_t left0 = vnegq_s32(vld1q_s32(ch->shift + first)), left1 = vnegq_s32(vld1q_s32(ch->shift + first + 4));
    int16x8_t multiplier = load_multipliers(ch->multiplier + first);
    int8x8_t lo = vdup_n_s8(g->lo), hi = vdup_n_s8(g->hi);
    size_t width = g->n - j < 8 ? (size_t)(g->n - j) : 8;
#define STORE(r)                                                                                                \
    if (r < rows) {                                                                                             \
        int32x4_t s0 = vaddq_s32(vpaddq_s32(a##r, b##r), bias0), s1 = vaddq_s32(vpaddq_s32(c##r, d##r), bias1); \
        int8x8_t q = vmin_s8(vmax_s8(requantize_8(s0, s1, left0, left1, multiplier), lo), hi);                  \
        int8_t *out = g->out + (r < last ? r : last) * g->out_stride + j;                                       \
        if (width == 8)                                                                                         \
            vst1_s8(out, q);                                                                                    \
        else                                                                                                    \
            store_bytes(out, vcombine_s8(q, q), width);                                                         \
    }
    EACH_ROW(STORE)
#undef STORE
}

void wisp_gemm_s8_neon(const wisp_gemm_s8 *g) {
    int64_t k4 = ((int64_t)g->k + 3) & ~(int64_t)3;
    ptrdiff_t groups = (ptrdiff_t)(g->taps * (k4 / GROUP));
    copy_rows(g, k4);
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile_s8(g, j, groups, 1);
    else
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile_s8(g, j, groups, ROWS);
}

/* f32: 16 accumulators, 4 weights, 4 rows. Every element is bias, then one FMA for each product in the order of the contract. */
ALWAYS_INLINE void multiply_tile_f32(const wisp_gemm_f32 *g, int32_t j, int rows) {
    const float *w = g->weights + (ptrdiff_t)j * g->taps * g->k;
    int32_t last = g->m - 1;
#define DECLARE(r)                                                                \
    float32x4_t a##r = vld1q_f32(g->bias + j), b##r = vld1q_f32(g->bias + j + 4); \
    float32x4_t c##r = vld1q_f32(g->bias + j + 8), d##r = vld1q_f32(g->bias + j + 12);
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[r < last ? r : last];
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
#define STORE(r)                                                                    \
    if (r < rows) {                                                                 \
        float *out = g->out + (r < last ? r : last) * g->out_stride + j;            \
        store_floats(out, clamp_f32(a##r, g->lo, g->hi), width);                    \
        store_floats(out + 4, clamp_f32(b##r, g->lo, g->hi), (int64_t)width - 4);   \
        store_floats(out + 8, clamp_f32(c##r, g->lo, g->hi), (int64_t)width - 8);   \
        store_floats(out + 12, clamp_f32(d##r, g->lo, g->hi), (int64_t)width - 12); \
    }
    EACH_ROW(STORE)
#undef STORE
}

void wisp_gemm_f32_neon(const wisp_gemm_f32 *g) {
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32(g, j, 1);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32(g, j, ROWS);
}
