/* int8 matrix kernel: rows widened to 16 bits once, then tiles of 6 rows by 8 outputs on vpmaddwd. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

/* vpmaddwd: 16 products a cycle and port, each with one vpaddd; Zen 3 issues two of each: 32 MAC/cycle.
 *
 * Packed, R rows of a tile:   [taps * k4/4 groups][R][4 x s16]    one vpbroadcastq feeds a row
 * Half a panel, one group:    8 outputs x 4 s8 = 32 bytes         two vpmovsxbw
 * Accumulators of row r:      lo##r  {o0 o0' o1 o1' | o2 o2' o3 o3'}, hi##r the same for o4..o7
 *
 * o' is the second partial sum of an output. 12 accumulators, 2 weights, 1 row and 1 product: 16 registers. They are
 * named, not an array, because gcc 12 keeps arrays in memory. Variants of R differ only in which of the rows of
 * EACH_ROW are compiled in. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

enum { ROWS = 6, GROUP = 4 };

/* Stores the first `count` of 4 groups of two rows (x: 16 values each) side by side, `step` values apart. */
ALWAYS_INLINE void store_pairs(int16_t *out, ptrdiff_t step, __m128i x0, __m128i x1, int count) {
    __m256i a = widen_s8(x0), b = widen_s8(x1);
    __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b); /* groups 0 2, 1 3 */
    store_128(out, _mm256_castsi256_si128(even));
    if (count > 1) store_128(out + step, _mm256_castsi256_si128(odd));
    if (count > 2) store_128(out + 2 * step, _mm256_extracti128_si256(even, 1));
    if (count > 3) store_128(out + 3 * step, _mm256_extracti128_si256(odd, 1));
}

/* The same for one row. */
ALWAYS_INLINE void store_single(int16_t *out, ptrdiff_t step, __m128i x, int count) {
    __m256i a = _mm256_cvtepi8_epi16(x);
    int16_t wide[16];
    store_256(wide, a);
    for (int g = 0; g < count; g++) memcpy(out + g * step, wide + g * GROUP, GROUP * sizeof *out);
}

/* k <= 4: one group. */
ALWAYS_INLINE int32_t load_group(const int8_t *x, int32_t k) {
    uint32_t v;
    uint16_t low;
    if (k == 4) {
        memcpy(&v, x, 4);
    } else if (k == 1) {
        v = (uint8_t)x[0];
    } else {
        memcpy(&low, x, 2);
        v = k == 2 ? low : low | (uint32_t)(uint8_t)x[2] << 16;
    }
    return (int32_t)v;
}

ALWAYS_INLINE void widen_pair(int16_t *out, const int8_t *x0, const int8_t *x1, int32_t k, int rows) {
    ptrdiff_t step = (ptrdiff_t)rows * GROUP;
    if (k <= GROUP) {
        __m128i x = _mm_insert_epi32(_mm_cvtsi32_si128(load_group(x0, k)), load_group(x1, k), 1);
        store_128(out, _mm_cvtepi8_epi16(x));
        return;
    }
    int32_t c = 0;
    for (; c <= k - 16; c += 16, out += 4 * step) store_pairs(out, step, load_128(x0 + c), load_128(x1 + c), 4);
    if (c < k) {
        size_t rest = (size_t)(k - c);
        store_pairs(out, step, load_bytes(x0 + c, rest), load_bytes(x1 + c, rest), (int)(rest + 3) / GROUP);
    }
}

static void widen_single(int16_t *out, const int8_t *x, int32_t k) {
    int32_t c = 0;
    for (; c <= k - 16; c += 16) store_256(out + c, _mm256_cvtepi8_epi16(load_128(x + c)));
    if (c < k) store_single(out + c, GROUP, load_bytes(x + c, (size_t)(k - c)), (k - c + 3) / GROUP);
}

/* Rows beyond m repeat the last one. */
ALWAYS_INLINE void widen_rows(const wisp_gemm *g, int16_t *out, int rows) {
    ptrdiff_t k4 = (ptrdiff_t)((g->k + (int64_t)3) & ~(int64_t)3);
    for (int32_t t = 0; t < g->taps; t++, out += rows * k4) {
        const int8_t *const *x = (const int8_t *const *)g->rows + (ptrdiff_t)t * g->m;
        if (rows == 1) widen_single(out, x[0], g->k);
        for (int r = 0; r + 1 < rows; r += 2) {
            int last = g->m - 1;
            widen_pair(out + r * GROUP, x[r < last ? r : last], x[r + 1 < last ? r + 1 : last], g->k, rows);
        }
    }
}

/* The channel fields of half a panel as the epilogue wants them: outputs in the order 0 1 4 5 | 2 3 6 7. */
typedef struct half_panel {
    __m256i bias_lo, bias_hi; /* {b0 0 b1 0 | b2 0 b3 0} and the same for outputs 4..7 */
    __m256i shift;            /* s32 */
    __m256i multiplier;       /* s16, twice */
    __m256i lo, hi;           /* s8 */
} half_panel;

ALWAYS_INLINE half_panel load_half_panel(const wisp_gemm *g, const wisp_channels_s8 *ch, int first) {
    __m256i multiplier = _mm256_permute4x64_epi64(load_256(ch->multiplier + first), 0xd8);
    return (half_panel){
        .bias_lo = _mm256_cvtepu32_epi64(load_128(ch->bias + first)),
        .bias_hi = _mm256_cvtepu32_epi64(load_128(ch->bias + first + 4)),
        .shift = _mm256_permute4x64_epi64(load_256(ch->shift + first), 0xd8),
        .multiplier = _mm256_packs_epi32(multiplier, multiplier),
        .lo = _mm256_set1_epi8((char)g->lo),
        .hi = _mm256_set1_epi8((char)g->hi),
    };
}

/* Adds the two partial sums of each output: {o0 o1 o4 o5 | o2 o3 o6 o7}. */
ALWAYS_INLINE __m256i reduce(__m256i lo, __m256i hi) {
    __m256 a = _mm256_castsi256_ps(lo), b = _mm256_castsi256_ps(hi);
    __m256 even = _mm256_shuffle_ps(a, b, 0x88), odd = _mm256_shuffle_ps(a, b, 0xdd);
    return _mm256_add_epi32(_mm256_castps_si256(even), _mm256_castps_si256(odd));
}

/* Of row r, by the columns whose terms are in the order of `reduce`. */
ALWAYS_INLINE __m256i add_term(const wisp_gemm *g, int r, __m256i sum, __m256i column_term) {
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(column_term, _mm256_set1_epi32(g->row_term[r < g->m ? r : g->m - 1])));
}

ALWAYS_INLINE __m256i requantize_pair(__m256i a, __m256i b, const half_panel *h, int any_left_shift) {
    __m256i t = _mm256_packs_epi32(shift_s32(a, h->shift, any_left_shift), shift_s32(b, h->shift, any_left_shift));
    return scale_s16(t, h->multiplier);
}

/* Stores the first `width` of 8 outputs to row r, if the tile has it; rows beyond m are copies of the last and land on it. */
ALWAYS_INLINE void store_row(const wisp_gemm *g, int8_t *out, int r, __m128i x, int rows, int width) {
    if (r >= rows) return;
    out += (r < g->m ? r : g->m - 1) * g->out_stride;
    if (width == 8)
        _mm_storel_epi64((__m128i *)out, x);
    else
        store_bytes(out, x, (size_t)width);
}

/* q: four rows, each {o0 o1 o4 o5 | o2 o3 o6 o7} as bytes. */
ALWAYS_INLINE void store_four_rows(const wisp_gemm *g, int8_t *out, int r, __m256i q, int rows, int width) {
    __m128i even = _mm256_castsi256_si128(q), odd = _mm256_extracti128_si256(q, 1);
    __m128i first = _mm_unpacklo_epi16(even, odd), second = _mm_unpackhi_epi16(even, odd);
    store_row(g, out, r, first, rows, width);
    store_row(g, out, r + 1, _mm_unpackhi_epi64(first, first), rows, width);
    store_row(g, out, r + 2, second, rows, width);
    store_row(g, out, r + 3, _mm_unpackhi_epi64(second, second), rows, width);
}

/* One tile: `rows` rows by the half panel whose weights start at w; `any_left_shift`: some shifts are negative.
 * column_term: null without terms. */
ALWAYS_INLINE void multiply_tile(const wisp_gemm *g, const int8_t *w, ptrdiff_t groups, const half_panel *h, const int32_t *column_term,
                                 int8_t *out, int width, int rows, int any_left_shift) {
    const int16_t *x = (const int16_t *)g->packed;
#define DECLARE(r) __m256i lo##r = h->bias_lo, hi##r = h->bias_hi;
    EACH_ROW(DECLARE)
#undef DECLARE
    for (ptrdiff_t i = 0; i < groups; i++, x += rows * GROUP, w += 64) {
        __m256i w_lo = _mm256_cvtepi8_epi16(load_128(w)), w_hi = _mm256_cvtepi8_epi16(load_128(w + 16));
#define STEP(r)                                                                                 \
    if (r < rows) {                                                                             \
        __m256i v = _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(x + r * GROUP))); \
        lo##r = _mm256_add_epi32(lo##r, _mm256_madd_epi16(v, w_lo));                            \
        hi##r = _mm256_add_epi32(hi##r, _mm256_madd_epi16(v, w_hi));                            \
    }
        EACH_ROW(STEP)
#undef STEP
    }
#define REDUCE(r) lo##r = reduce(lo##r, hi##r);
    EACH_ROW(REDUCE)
#undef REDUCE
    if (column_term) {
        const __m256i term = _mm256_permute4x64_epi64(load_256(column_term), 0xd8);
#define ADD_TERM(r) lo##r = add_term(g, r, lo##r, term);
        EACH_ROW(ADD_TERM)
#undef ADD_TERM
    }
    __m256i q01 = requantize_pair(lo0, lo1, h, any_left_shift), q23 = requantize_pair(lo2, lo3, h, any_left_shift);
    store_four_rows(g, out, 0, clamp_s8(_mm256_packs_epi16(q01, q23), h->lo, h->hi), rows, width);
    if (rows > 4) {
        __m256i q45 = requantize_pair(lo4, lo5, h, any_left_shift);
        store_four_rows(g, out, 4, clamp_s8(_mm256_packs_epi16(q45, q45), h->lo, h->hi), rows, width);
    }
}

ALWAYS_INLINE void multiply_rows(const wisp_gemm *g, int rows, int any_left_shift) {
    ptrdiff_t groups = (ptrdiff_t)(g->taps * (((int64_t)g->k + 3) / GROUP));
    for (int32_t j = 0; j < g->n; j += 8) {
        int32_t panel = j / WISP_CHANNELS;
        int first = j % WISP_CHANNELS;
        half_panel h = load_half_panel(g, (const wisp_channels_s8 *)g->columns + panel, first);
        const int8_t *w = (const int8_t *)g->weights + panel * groups * 64 + first * GROUP;
        const int32_t *term = g->row_term ? g->column_term + j : NULL;
        int8_t *out = (int8_t *)g->out + j;
        if (g->n - j >= 8)
            multiply_tile(g, w, groups, &h, term, out, 8, rows, any_left_shift);
        else
            multiply_tile(g, w, groups, &h, term, out, g->n - j, rows, any_left_shift);
    }
}

ALWAYS_INLINE void choose_rows(const wisp_gemm *g, int any_left_shift) {
    if (g->m > 4)
        multiply_rows(g, ROWS, any_left_shift);
    else if (g->m > 2)
        multiply_rows(g, 4, any_left_shift);
    else if (g->m > 1)
        multiply_rows(g, 2, any_left_shift);
    else
        multiply_rows(g, 1, any_left_shift);
}

static void multiply(const wisp_gemm *g) {
    const wisp_gemm local = *g; /* stores of int8 cannot change it, so what derives from it stays in registers */
    if (local.any_left_shift)
        choose_rows(&local, 1);
    else
        choose_rows(&local, 0);
}

static void pack_rows(const wisp_gemm *g, void *packed) {
    if (g->m > 4)
        widen_rows(g, packed, ROWS);
    else if (g->m > 2)
        widen_rows(g, packed, 4);
    else if (g->m > 1)
        widen_rows(g, packed, 2);
    else
        widen_rows(g, packed, 1);
}

const wisp_gemm_kernel wisp_gemm_s8_avx2 = {multiply, pack_rows, "gemm_s8_avx2", ROWS, 2};
