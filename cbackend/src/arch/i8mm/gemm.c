/* Matrix kernel: tiles of 8 rows by 8 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "i8mm.h"

/* Accumulators a, b, c, d of a pair of rows hold two outputs each: {r0o0 r0o1 r1o0 r1o1}. The instruction takes 8 values of two
 * rows and of two outputs, so two groups of the packed weights are zipped; 8 rows share that work. */
#define EACH_PAIR(DO) DO(0, 0, 1) DO(1, 2, 3) DO(2, 4, 5) DO(3, 6, 7)

enum { TILE_ROWS = 8 };

ALWAYS_INLINE int8x16_t zip_low(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip1q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
ALWAYS_INLINE int8x16_t zip_high(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s32(vzip2q_s32(vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b)));
}
ALWAYS_INLINE int32x4_t low_halves(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}
ALWAYS_INLINE int32x4_t high_halves(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

/* Eight values of two rows, the first or last of two vectors. */
ALWAYS_INLINE int8x16_t first_values(int8x16_t x, int8x16_t y) {
    return vreinterpretq_s8_s32(low_halves(vreinterpretq_s32_s8(x), vreinterpretq_s32_s8(y)));
}
ALWAYS_INLINE int8x16_t last_values(int8x16_t x, int8x16_t y) {
    return vreinterpretq_s8_s32(high_halves(vreinterpretq_s32_s8(x), vreinterpretq_s32_s8(y)));
}

ALWAYS_INLINE void multiply_tile(const wisp_gemm *g, const rows_s8 *t, int32_t j, int rows) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    const int first = j % WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * t->groups * 64 + first * 4;
    const int32x4_t bias0 = vld1q_s32(ch->bias + first), bias1 = vld1q_s32(ch->bias + first + 4);
#define DECLARE(p, r, s)                                                         \
    const int8_t *x##r = t->x[r], *x##s = t->x[s];                               \
    int32x4_t a##p = low_halves(bias0, bias0), b##p = high_halves(bias0, bias0); \
    int32x4_t c##p = low_halves(bias1, bias1), d##p = high_halves(bias1, bias1);
    EACH_PAIR(DECLARE)
#undef DECLARE
/* Two groups of 8 outputs: w0, w1 and w2, w3. */
#define STEP(p, r, s)                                                         \
    if (r < rows) {                                                           \
        a##p = vmmlaq_s32(a##p, u##p, wa), b##p = vmmlaq_s32(b##p, u##p, wb); \
        c##p = vmmlaq_s32(c##p, u##p, wc), d##p = vmmlaq_s32(d##p, u##p, wd); \
    }
#define MULTIPLY(w0, w1, w2, w3)                                                                            \
    {                                                                                                       \
        int8x16_t wa = zip_low(w0, w2), wb = zip_high(w0, w2), wc = zip_low(w1, w3), wd = zip_high(w1, w3); \
        EACH_PAIR(STEP)                                                                                     \
    }
    ptrdiff_t i = 0, size = t->groups * 4;
    for (; i + 16 <= size; i += 16, w += 256) {
#define LOAD(p, r, s) int8x16_t y##r = vld1q_s8(x##r + i), y##s = vld1q_s8(x##s + i), u##p = first_values(y##r, y##s);
        EACH_PAIR(LOAD)
#undef LOAD
        MULTIPLY(vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 64), vld1q_s8(w + 80))
        FENCE
#define NEXT(p, r, s) u##p = last_values(y##r, y##s);
        EACH_PAIR(NEXT)
#undef NEXT
        MULTIPLY(vld1q_s8(w + 128), vld1q_s8(w + 144), vld1q_s8(w + 192), vld1q_s8(w + 208))
        FENCE
    }
    if (i + 8 <= size) {
#define LOAD(p, r, s) int8x16_t u##p = vcombine_s8(vld1_s8(x##r + i), vld1_s8(x##s + i));
        EACH_PAIR(LOAD)
#undef LOAD
        MULTIPLY(vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 64), vld1q_s8(w + 80))
        i += 8, w += 128;
    }
    if (i < size) {
        const int8x16_t none = vdupq_n_s8(0);
#define LOAD(p, r, s) int8x16_t u##p = first_values(load_group(x##r + i), load_group(x##s + i));
        EACH_PAIR(LOAD)
#undef LOAD
        MULTIPLY(vld1q_s8(w), vld1q_s8(w + 16), none, none)
    }
#undef MULTIPLY
#undef STEP
    const int32x4_t left0 = vnegq_s32(vld1q_s32(ch->shift + first)), left1 = vnegq_s32(vld1q_s32(ch->shift + first + 4));
    const int16x8_t multiplier = load_multipliers(ch->multiplier + first);
    const int8x16_t lo = vdupq_n_s8((int8_t)g->lo), hi = vdupq_n_s8((int8_t)g->hi);
    int32x4_t term0 = vdupq_n_s32(0), term1 = term0;
    if (g->row_term) term0 = vld1q_s32(g->column_term + j), term1 = vld1q_s32(g->column_term + j + 4);
#define ADD_TERM(p, r, s)                                                                                              \
    if (r < rows) {                                                                                                    \
        const int32_t t0 = row_term(g, r), t1 = row_term(g, s);                                                        \
        const int32x4_t t01 = vcombine_s32(vdup_n_s32(t0), vdup_n_s32(t1));                                            \
        a##p = vmlaq_s32(a##p, low_halves(term0, term0), t01), b##p = vmlaq_s32(b##p, high_halves(term0, term0), t01); \
        c##p = vmlaq_s32(c##p, low_halves(term1, term1), t01), d##p = vmlaq_s32(d##p, high_halves(term1, term1), t01); \
    }
    if (g->row_term) {
        EACH_PAIR(ADD_TERM)
    }
#undef ADD_TERM
#define REQUANTIZE(p, r, s)                                                                                   \
    int8x8_t q##r = requantize_8(low_halves(a##p, b##p), low_halves(c##p, d##p), left0, left1, multiplier);   \
    int8x8_t q##s = requantize_8(high_halves(a##p, b##p), high_halves(c##p, d##p), left0, left1, multiplier); \
    int8x16_t both##p = vminq_s8(vmaxq_s8(vcombine_s8(q##r, q##s), lo), hi);
    EACH_PAIR(REQUANTIZE)
#undef REQUANTIZE
    if (g->n - j >= 8) {
#define STORE(p, r, s) \
    if (r < rows) vst1_s8(t->y[r] + j, vget_low_s8(both##p)), vst1_s8(t->y[s] + j, vget_high_s8(both##p));
        EACH_PAIR(STORE)
#undef STORE
    } else {
#define STORE(p, r, s)                                                               \
    if (r < rows) {                                                                  \
        store_bytes(t->y[r] + j, both##p, (size_t)(g->n - j));                       \
        store_bytes(t->y[s] + j, vextq_s8(both##p, both##p, 8), (size_t)(g->n - j)); \
    }
        EACH_PAIR(STORE)
#undef STORE
    }
}

static void multiply(const wisp_gemm *given) {
    const wisp_gemm own = *given, *const g = &own; /* which no store can change */
    rows_s8 t;
    if (g->m == 1) {
        wisp_gemm_s8_dotprod.multiply(g); /* which packs rows alike */
        return;
    }
    point_rows_s8(g, &t);
    if (g->m <= TILE_ROWS / 2)
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile(g, &t, j, TILE_ROWS / 2);
    else
        for (int32_t j = 0; j < g->n; j += 8) multiply_tile(g, &t, j, TILE_ROWS);
}

static void pack_rows(const wisp_gemm *g, void *packed) {
    pack_rows_s8(g, packed);
}

const wisp_gemm_kernel wisp_gemm_s8_i8mm = {multiply, pack_rows, "gemm_s8_i8mm", TILE_ROWS, 1};
