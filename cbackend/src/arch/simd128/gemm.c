/* Matrix kernels: tiles of 4 rows by 4 (s8) or 8 (f32) outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

/* Engines on x86-64 have 15 registers: 8 accumulators, 2 weights, a row and a product. Accumulators are named, so that
 * none goes to memory. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

enum { ROWS = 4, GROUP = 4, OUTPUTS = 4 };

/* s8. Rows are widened to 16 bits once: [taps][k4/4][rows][4 x s16], the last values of a tap zero. Rows beyond m are
 * copies of the last one; their results land on it. */
ALWAYS_INLINE void widen_rows(const wisp_gemm *g, int16_t *first, int rows) {
    const ptrdiff_t step = GROUP * rows;
    for (int32_t t = 0; t < g->taps; t++, first += (g->k + (ptrdiff_t)3) / GROUP * step)
        for (int32_t r = 0; r < rows; r++) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + (r < g->m ? r : g->m - 1)];
            int16_t *out = first + GROUP * r;
            ptrdiff_t c = 0;
            for (; c + 2 * GROUP <= g->k; c += 2 * GROUP, out += 2 * step) {
                v128_t wide = wasm_i16x8_load8x8(x + c);
                wasm_v128_store64_lane(out, wide, 0);
                wasm_v128_store64_lane(out + step, wide, 1);
            }
            for (; c < g->k; c += GROUP, out += step)
                for (ptrdiff_t i = 0; i < GROUP; i++) out[i] = c + i < g->k ? x[c + i] : 0;
        }
}

/* Accumulators {o0 o0' o1 o1'} and {o2 o2' o3 o3'}, o' the second partial sum. */
ALWAYS_INLINE v128_t join_sums(v128_t a, v128_t b) {
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}

ALWAYS_INLINE void multiply_tile_s8(const wisp_gemm *g, int32_t j, ptrdiff_t groups, int rows) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    const int at = j % WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + (j / WISP_CHANNELS * groups * WISP_CHANNELS + at) * GROUP;
    const int16_t *x = (const int16_t *)g->packed;
#define DECLARE(r) v128_t a##r = wasm_i32x4_const_splat(0), b##r = a##r;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (ptrdiff_t i = 0; i < groups; i++, w += GROUP * WISP_CHANNELS, x += GROUP * rows) {
        v128_t w0 = wasm_i16x8_load8x8(w), w1 = wasm_i16x8_load8x8(w + 8);
#define STEP(r)                                                   \
    if (r < rows) {                                               \
        v128_t v = wasm_v128_load64_splat(x + GROUP * r);         \
        a##r = wasm_i32x4_add(a##r, wasm_i32x4_dot_i16x8(v, w0)); \
        b##r = wasm_i32x4_add(b##r, wasm_i32x4_dot_i16x8(v, w1)); \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    const lane_shifts shifts = prepare_shifts(ch->shift + at);
    v128_t bias = wasm_v128_load(ch->bias + at), multiplier = wasm_v128_load(ch->multiplier + at);
    multiplier = wasm_i16x8_narrow_i32x4(multiplier, multiplier);
    v128_t sum0 = bias, sum1 = bias, sum2 = bias, sum3 = bias;
    if (g->row_term) {
        const v128_t term = wasm_v128_load(g->column_term + j);
#define ADD_TERM(r) sum##r = wasm_i32x4_add(bias, wasm_i32x4_mul(wasm_i32x4_splat(g->row_term[r < g->m ? r : g->m - 1]), term));
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
#define FINISH(r) v128_t t##r = shift_lanes(wasm_i32x4_add(join_sums(a##r, b##r), sum##r), &shifts);
    EACH_ROW(FINISH)
#undef FINISH
    v128_t first = scale_s16(wasm_i16x8_narrow_i32x4(t0, t1), multiplier);
    v128_t second = scale_s16(wasm_i16x8_narrow_i32x4(t2, t3), multiplier);
    v128_t q = clamp_s8(wasm_i8x16_narrow_i16x8(first, second), (int8_t)g->lo, (int8_t)g->hi);
    const int32_t last = g->m - 1, width = g->n - j;
#define STORE(r)                                                                    \
    if (r < rows) {                                                                 \
        int8_t *out = (int8_t *)g->out + (r < last ? r : last) * g->out_stride + j; \
        if (width >= OUTPUTS) {                                                     \
            wasm_v128_store32_lane(out, q, r);                                      \
        } else {                                                                    \
            out[0] = wasm_i8x16_extract_lane(q, OUTPUTS * r);                       \
            if (width > 1) out[1] = wasm_i8x16_extract_lane(q, OUTPUTS * r + 1);    \
            if (width > 2) out[2] = wasm_i8x16_extract_lane(q, OUTPUTS * r + 2);    \
        }                                                                           \
    }
    EACH_ROW(STORE)
#undef STORE
}

static void pack_rows_s8(const wisp_gemm *g, void *packed) {
    if (g->m == 1)
        widen_rows(g, packed, 1);
    else
        widen_rows(g, packed, ROWS);
}

static void multiply_s8(const wisp_gemm *g) {
    const ptrdiff_t groups = (ptrdiff_t)g->taps * (ptrdiff_t)(((int64_t)g->k + 3) / GROUP);
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += OUTPUTS) multiply_tile_s8(g, j, groups, 1);
    else
        for (int32_t j = 0; j < g->n; j += OUTPUTS) multiply_tile_s8(g, j, groups, ROWS);
}

const wisp_gemm_kernel wisp_gemm_s8_simd128 = {multiply_s8, pack_rows_s8, "gemm_s8_simd128", ROWS, 2};

/* f32: there is no fused multiply-add, so every element is rounded as by the scalar kernel. */
ALWAYS_INLINE void multiply_tile_f32(const wisp_gemm *g, int32_t j, int rows) {
    const float *w = (const float *)g->weights + (ptrdiff_t)(j / WISP_CHANNELS) * WISP_CHANNELS * g->taps * g->k + j % WISP_CHANNELS;
    const int32_t last = g->m - 1;
#define DECLARE(r) v128_t a##r = wasm_v128_load((const float *)g->columns + j), b##r = wasm_v128_load((const float *)g->columns + j + 4);
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = (const float *const *)g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[r < last ? r : last];
        EACH_ROW(POINT)
#undef POINT
        for (int32_t c = 0; c < g->k; c++, w += WISP_CHANNELS) {
            v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);
#define STEP(r)                                             \
    if (r < rows) {                                         \
        v128_t v = wasm_v128_load32_splat(x##r + c);        \
        a##r = wasm_f32x4_add(a##r, wasm_f32x4_mul(v, w0)); \
        b##r = wasm_f32x4_add(b##r, wasm_f32x4_mul(v, w1)); \
    }
            EACH_ROW(STEP)
#undef STEP
        }
    }
    const ptrdiff_t width = g->n - j;
#define STORE(r)                                                                  \
    if (r < rows) {                                                               \
        float *out = (float *)g->out + (r < last ? r : last) * g->out_stride + j; \
        store_floats(out, clamp_f32(a##r, g->min, g->max), width);                \
        store_floats(out + 4, clamp_f32(b##r, g->min, g->max), width - 4);        \
    }
    EACH_ROW(STORE)
#undef STORE
}

static void multiply_f32(const wisp_gemm *g) {
    if (g->m == 1)
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile_f32(g, j, 1);
    else
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile_f32(g, j, ROWS);
}

const wisp_gemm_kernel wisp_gemm_f32_simd128 = {multiply_f32, NULL, "gemm_f32_simd128", ROWS, 0};
