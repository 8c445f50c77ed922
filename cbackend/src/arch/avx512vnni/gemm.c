/* Matrix kernels: tiles of 6 rows by up to 4 panels of 16 outputs, a panel a register. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx512vnni.h"

/* 24 accumulators, 4 weights, 1 broadcast group of a row: 29 registers. They are named, not an array, because gcc 12
 * keeps arrays in memory. Variants differ in which rows and panels of EACH_ROW are compiled in. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

enum { ROWS = 6, PANELS = 4, GROUP = 4 };

/* s8. vpdpbusd multiplies unsigned by signed bytes: rows are packed with the sign bit flipped (x + 128), which
 * wisp_channels_s8.bias_u8 makes up for. Packed: [rows][taps][k4] bytes; what pads k meets zero weights. */
static void pack_rows_s8(const wisp_gemm *g, void *packed) {
    const __m512i flip = _mm512_set1_epi8(-128);
    const int64_t k4 = ((int64_t)g->k + 3) & ~(int64_t)3;
    uint8_t *out = packed;
    for (int32_t r = 0; r < g->m; r++)
        for (int32_t t = 0; t < g->taps; t++, out += k4) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + r];
            for (int64_t c = 0; c < g->k; c += 64) {
                __m512i v = _mm512_maskz_loadu_epi8(first_64(g->k - c), x + c);
                _mm512_mask_storeu_epi8(out + c, first_64(k4 - c), _mm512_xor_si512(v, flip));
            }
        }
}

ALWAYS_INLINE __m512i broadcast_group(const uint8_t *x) {
    int32_t v;
    __builtin_memcpy(&v, x, sizeof v);
    return _mm512_set1_epi32(v);
}

/* Outputs j.. of `rows` rows; `panels` is 1, 2 or 4, the last may reach beyond n. Rows beyond m are copies of the last one. */
ALWAYS_INLINE void multiply_tile_s8(const wisp_gemm *g, int32_t j, ptrdiff_t groups, int rows, int panels, int any_left_shift) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * groups * 64;
    ptrdiff_t panel_size = groups * 64;
    int32_t last = g->m - 1;
    __m512i bias0 = _mm512_loadu_si512(ch[0].bias_u8), bias1 = bias0, bias2 = bias0, bias3 = bias0;
    if (panels > 1) bias1 = _mm512_loadu_si512(ch[1].bias_u8);
    if (panels > 2) bias2 = _mm512_loadu_si512(ch[2].bias_u8), bias3 = _mm512_loadu_si512(ch[3].bias_u8);
#define DECLARE(r)                                                                             \
    const uint8_t *x##r = (const uint8_t *)g->packed + (r < last ? r : last) * groups * GROUP; \
    __m512i a##r = bias0, b##r = bias1, c##r = bias2, d##r = bias3;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (ptrdiff_t i = 0; i < groups; i++, w += 64) {
        __m512i wa = _mm512_load_si512(w), wb = wa, wc = wa, wd = wa;
        if (panels > 1) wb = _mm512_load_si512(w + panel_size);
        if (panels > 2) wc = _mm512_load_si512(w + 2 * panel_size), wd = _mm512_load_si512(w + 3 * panel_size);
#define STEP(r)                                        \
    if (r < rows) {                                    \
        __m512i v = broadcast_group(x##r + i * GROUP); \
        a##r = dot_bytes(a##r, v, wa);                 \
        if (panels > 1) b##r = dot_bytes(b##r, v, wb); \
        if (panels > 2) c##r = dot_bytes(c##r, v, wc); \
        if (panels > 2) d##r = dot_bytes(d##r, v, wd); \
    }
        EACH_ROW(STEP)
#undef STEP
    }
    if (g->row_term) {
        const int32_t *term = g->column_term + j;
        __m512i ta = _mm512_loadu_si512(term), tb = ta, tc = ta, td = ta;
        if (panels > 1) tb = _mm512_loadu_si512(term + 16);
        if (panels > 2) tc = _mm512_loadu_si512(term + 32), td = _mm512_loadu_si512(term + 48);
#define ADD_TERM(r)                                                               \
    if (r < rows) {                                                               \
        __m512i v = _mm512_set1_epi32(g->row_term[r < last ? r : last]);          \
        a##r = _mm512_add_epi32(a##r, _mm512_mullo_epi32(v, ta));                 \
        if (panels > 1) b##r = _mm512_add_epi32(b##r, _mm512_mullo_epi32(v, tb)); \
        if (panels > 2) c##r = _mm512_add_epi32(c##r, _mm512_mullo_epi32(v, tc)); \
        if (panels > 2) d##r = _mm512_add_epi32(d##r, _mm512_mullo_epi32(v, td)); \
    }
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
    int second = panels > 1 ? 1 : 0, third = panels > 2 ? 2 : 0, fourth = panels > 2 ? 3 : 0;
    __m512i sa = _mm512_loadu_si512(ch->shift), sb = _mm512_loadu_si512(ch[second].shift);
    __m512i sc = _mm512_loadu_si512(ch[third].shift), sd = _mm512_loadu_si512(ch[fourth].shift);
    __m512i m01 = _mm512_packs_epi32(_mm512_loadu_si512(ch->multiplier), _mm512_loadu_si512(ch[second].multiplier));
    __m512i m23 = _mm512_packs_epi32(_mm512_loadu_si512(ch[third].multiplier), _mm512_loadu_si512(ch[fourth].multiplier));
    int32_t width = g->n - j < panels * WISP_CHANNELS ? g->n - j : panels * WISP_CHANNELS;
#define STORE(r)                                                                                                                         \
    if (r < rows) {                                                                                                                      \
        __m512i q =                                                                                                                      \
            requantize_64(shift_s32(a##r, sa, any_left_shift), shift_s32(b##r, sb, any_left_shift), shift_s32(c##r, sc, any_left_shift), \
                          shift_s32(d##r, sd, any_left_shift), m01, m23, (int8_t)g->lo, (int8_t)g->hi);                                  \
        _mm512_mask_storeu_epi8((int8_t *)g->out + (r < last ? r : last) * g->out_stride + j, first_64(width), q);                       \
    }
    EACH_ROW(STORE)
#undef STORE
}

/* 4 panels at a time while they last, then 2, then 1. */
ALWAYS_INLINE void multiply_rows_s8(const wisp_gemm *g, ptrdiff_t groups, int rows, int any_left_shift) {
    int32_t j = 0;
    for (; g->n - j > 2 * WISP_CHANNELS + WISP_CHANNELS; j += 4 * WISP_CHANNELS) {
        multiply_tile_s8(g, j, groups, rows, 4, any_left_shift);
        if (g->n - j <= 4 * WISP_CHANNELS) return;
    }
    if (g->n - j > WISP_CHANNELS) {
        multiply_tile_s8(g, j, groups, rows, 2, any_left_shift);
        j += 2 * WISP_CHANNELS;
    }
    if (g->n > j) multiply_tile_s8(g, j, groups, rows, 1, any_left_shift);
}

static void multiply_s8(const wisp_gemm *g) {
    int64_t k4 = ((int64_t)g->k + 3) & ~(int64_t)3;
    ptrdiff_t groups = (ptrdiff_t)(g->taps * (k4 / GROUP));
    if (g->any_left_shift)
        multiply_rows_s8(g, groups, ROWS, 1);
    else if (g->m == 1)
        multiply_rows_s8(g, groups, 1, 0);
    else
        multiply_rows_s8(g, groups, ROWS, 0);
}

const wisp_gemm_kernel wisp_gemm_s8_avx512vnni = {multiply_s8, pack_rows_s8, "gemm_s8_avx512vnni", ROWS, 1};

/* f32: every element is bias, then one FMA for each product in the order of the contract, in all variants. */
ALWAYS_INLINE void multiply_tile_f32(const wisp_gemm *g, int32_t j, int rows, int panels) {
    ptrdiff_t panel_size = (ptrdiff_t)g->taps * g->k * WISP_CHANNELS;
    const float *w = (const float *)g->weights + j / WISP_CHANNELS * panel_size;
    int32_t last = g->m - 1;
    __m512 bias0 = _mm512_loadu_ps((const float *)g->columns + j), bias1 = bias0, bias2 = bias0, bias3 = bias0;
    if (panels > 1) bias1 = _mm512_loadu_ps((const float *)g->columns + j + 16);
    if (panels > 2)
        bias2 = _mm512_loadu_ps((const float *)g->columns + j + 32), bias3 = _mm512_loadu_ps((const float *)g->columns + j + 48);
#define DECLARE(r) __m512 a##r = bias0, b##r = bias1, c##r = bias2, d##r = bias3;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (int32_t t = 0; t < g->taps; t++) {
        const float *const *x = (const float *const *)g->rows + (ptrdiff_t)t * g->m;
#define POINT(r) const float *x##r = x[r < last ? r : last];
        EACH_ROW(POINT)
#undef POINT
        for (ptrdiff_t i = 0; i < g->k; i++, w += WISP_CHANNELS) {
            __m512 wa = _mm512_loadu_ps(w), wb = wa, wc = wa, wd = wa;
            if (panels > 1) wb = _mm512_loadu_ps(w + panel_size);
            if (panels > 2) wc = _mm512_loadu_ps(w + 2 * panel_size), wd = _mm512_loadu_ps(w + 3 * panel_size);
#define STEP(r)                                              \
    if (r < rows) {                                          \
        __m512 v = _mm512_set1_ps(x##r[i]);                  \
        a##r = _mm512_fmadd_ps(v, wa, a##r);                 \
        if (panels > 1) b##r = _mm512_fmadd_ps(v, wb, b##r); \
        if (panels > 2) c##r = _mm512_fmadd_ps(v, wc, c##r); \
        if (panels > 2) d##r = _mm512_fmadd_ps(v, wd, d##r); \
    }
            EACH_ROW(STEP)
#undef STEP
        }
    }
    __m512 lo = _mm512_set1_ps(g->min), hi = _mm512_set1_ps(g->max);
    int32_t width = g->n - j;
#define STORE(r)                                                                                       \
    if (r < rows) {                                                                                    \
        float *out = (float *)g->out + (r < last ? r : last) * g->out_stride + j;                      \
        _mm512_mask_storeu_ps(out, first_16(width), clamp_ps(a##r, lo, hi));                           \
        if (panels > 1) _mm512_mask_storeu_ps(out + 16, first_16(width - 16), clamp_ps(b##r, lo, hi)); \
        if (panels > 2) _mm512_mask_storeu_ps(out + 32, first_16(width - 32), clamp_ps(c##r, lo, hi)); \
        if (panels > 2) _mm512_mask_storeu_ps(out + 48, first_16(width - 48), clamp_ps(d##r, lo, hi)); \
    }
    EACH_ROW(STORE)
#undef STORE
}

ALWAYS_INLINE void multiply_rows_f32(const wisp_gemm *g, int rows) {
    int32_t j = 0;
    for (; g->n - j > 3 * WISP_CHANNELS; j += 4 * WISP_CHANNELS) {
        multiply_tile_f32(g, j, rows, 4);
        if (g->n - j <= 4 * WISP_CHANNELS) return;
    }
    if (g->n - j > WISP_CHANNELS) {
        multiply_tile_f32(g, j, rows, 2);
        j += 2 * WISP_CHANNELS;
    }
    if (g->n > j) multiply_tile_f32(g, j, rows, 1);
}

static void multiply_f32(const wisp_gemm *g) {
    if (g->m == 1)
        multiply_rows_f32(g, 1);
    else
        multiply_rows_f32(g, ROWS);
}

const wisp_gemm_kernel wisp_gemm_f32_avx512vnni = {multiply_f32, NULL, "gemm_f32_avx512vnni", ROWS, 0};
