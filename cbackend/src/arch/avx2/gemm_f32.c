/* f32 matrix kernel: tiles of 6 rows by a panel of 16 outputs; a single row by 4 panels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* 12 accumulators, 2 weights, 1 broadcast value: 15 registers. They are named, not an array, because gcc 12 keeps
 * arrays in memory. Every element is bias, then one FMA for each product in the order of the contract, in all variants. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH_PANEL(DO) DO(0) DO(1) DO(2) DO(3)

ALWAYS_INLINE void store_panel(float *out, __m256 a, __m256 b, int32_t width, __m256 lo, __m256 hi) {
    a = clamp_ps(a, lo, hi), b = clamp_ps(b, lo, hi);
    if (width >= WISP_CHANNELS) {
        _mm256_storeu_ps(out, a);
        _mm256_storeu_ps(out + 8, b);
    } else {
        _mm256_maskstore_ps(out, first_lanes((size_t)width), a);
        if (width > 8) _mm256_maskstore_ps(out + 8, first_lanes((size_t)width - 8), b);
    }
}

/* Rows beyond m are copies of the last one and land on it. */
ALWAYS_INLINE void multiply_tile(const wisp_gemm *g, int32_t j, int rows) {
    const float *w = (const float *)g->weights + (ptrdiff_t)j * g->taps * g->k;
    __m256 bias_a = _mm256_loadu_ps((const float *)g->columns + j), bias_b = _mm256_loadu_ps((const float *)g->columns + j + 8);
    int32_t last = g->m - 1;
#define DECLARE(r) __m256 a##r = bias_a, b##r = bias_b;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = (const float *const *)g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[r < last ? r : last];
        EACH_ROW(POINT)
#undef POINT
        for (ptrdiff_t c = 0; c < g->k; c++, w += WISP_CHANNELS) {
            __m256 wa = _mm256_loadu_ps(w), wb = _mm256_loadu_ps(w + 8);
#define STEP(r)                                   \
    if (r < rows) {                               \
        __m256 v = _mm256_broadcast_ss(x##r + c); \
        a##r = _mm256_fmadd_ps(v, wa, a##r);      \
        b##r = _mm256_fmadd_ps(v, wb, b##r);      \
    }
            EACH_ROW(STEP)
#undef STEP
        }
    }
    __m256 lo = _mm256_set1_ps(g->min), hi = _mm256_set1_ps(g->max);
#define STORE(r) \
    if (r < rows) store_panel((float *)g->out + (r < last ? r : last) * g->out_stride + j, a##r, b##r, g->n - j, lo, hi);
    EACH_ROW(STORE)
#undef STORE
}

/* One row leaves the FMA's latency uncovered unless several panels advance together. Panels beyond n repeat the first. */
static void multiply_row(const wisp_gemm *g, int32_t j) {
    ptrdiff_t panel_size = (ptrdiff_t)g->taps * g->k * WISP_CHANNELS;
    const float *w0 = (const float *)g->weights + j / WISP_CHANNELS * panel_size;
#define DECLARE(p)                                                            \
    int32_t j##p = j + p * WISP_CHANNELS < g->n ? j + p * WISP_CHANNELS : j;  \
    const float *w##p##_panel = w0 + (j##p - j) / WISP_CHANNELS * panel_size; \
    __m256 a##p = _mm256_loadu_ps((const float *)g->columns + j##p), b##p = _mm256_loadu_ps((const float *)g->columns + j##p + 8);
    EACH_PANEL(DECLARE)
#undef DECLARE
    ptrdiff_t i = 0;
    for (int32_t t = 0; t < g->taps; t++) {
        const float *x = g->rows[t];
        for (ptrdiff_t c = 0; c < g->k; c++, i += WISP_CHANNELS) {
            __m256 v = _mm256_broadcast_ss(x + c);
#define STEP(p)                                                         \
    a##p = _mm256_fmadd_ps(v, _mm256_loadu_ps(w##p##_panel + i), a##p); \
    b##p = _mm256_fmadd_ps(v, _mm256_loadu_ps(w##p##_panel + i + 8), b##p);
            EACH_PANEL(STEP)
#undef STEP
        }
    }
    __m256 lo = _mm256_set1_ps(g->min), hi = _mm256_set1_ps(g->max);
#define STORE(p) store_panel((float *)g->out + j##p, a##p, b##p, g->n - j##p, lo, hi);
    EACH_PANEL(STORE)
#undef STORE
}

static void multiply(const wisp_gemm *g) {
    if (g->m == 1) {
        for (int32_t j = 0; j < g->n; j += 4 * WISP_CHANNELS) multiply_row(g, j);
    } else if (g->m <= 4) {
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile(g, j, 4);
    } else {
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile(g, j, 6);
    }
}

const wisp_gemm_kernel wisp_gemm_f32_avx2 = {multiply, NULL, "gemm_f32_avx2", 6, 0};
