/* Element-wise kernels. The tail goes through a buffer, because y may be an operand and must not be read again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

enum { BLOCK = 32 };

/* 16 sums as s16: a and b side by side, so that one vpmaddwd scales and adds them. */
ALWAYS_INLINE __m256i add_16(__m128i a, __m128i b, __m256i multipliers, __m256i bias, __m128i shift) {
    __m256i wide_a = widen_s8(a), wide_b = widen_s8(b);
    __m256i lo = _mm256_madd_epi16(_mm256_unpacklo_epi16(wide_a, wide_b), multipliers);
    __m256i hi = _mm256_madd_epi16(_mm256_unpackhi_epi16(wide_a, wide_b), multipliers);
    lo = _mm256_sra_epi32(_mm256_add_epi32(lo, bias), shift);
    hi = _mm256_sra_epi32(_mm256_add_epi32(hi, bias), shift);
    return _mm256_packs_epi32(lo, hi);
}

/* 32 operands, 16 in each: widening is cheapest straight from memory. */
typedef struct operand {
    __m128i first, second;
} operand;

ALWAYS_INLINE operand load_operand(const int8_t *p) {
    return (operand){load_128(p), load_128(p + 16)};
}

/* Two vectors of 16 as s8, in order. */
ALWAYS_INLINE __m256i pack_s8(__m256i a, __m256i b, int8_t lo, int8_t hi) {
    __m256i q = clamp_s8(_mm256_packs_epi16(a, b), _mm256_set1_epi8(lo), _mm256_set1_epi8(hi));
    return _mm256_permute4x64_epi64(q, 0xd8);
}

ALWAYS_INLINE __m256i add_32(const wisp_add_s8 *p, operand a, operand b) {
    __m256i multipliers = _mm256_set1_epi32((int32_t)((uint32_t)p->multiplier_b << 16 | (uint16_t)p->multiplier_a));
    __m256i bias = _mm256_set1_epi32(p->bias);
    __m128i shift = _mm_cvtsi32_si128(p->shift);
    __m256i first = add_16(a.first, b.first, multipliers, bias, shift);
    __m256i second = add_16(a.second, b.second, multipliers, bias, shift);
    return pack_s8(first, second, p->lo, p->hi);
}

/* Runs `body` over n elements, 32 at a time; step 0 broadcasts the one value, read before the first write. */
#define FOR_BLOCKS(body)                                                                                        \
    operand fixed_a = {_mm_set1_epi8(*a), _mm_set1_epi8(*a)}, fixed_b = {_mm_set1_epi8(*b), _mm_set1_epi8(*b)}; \
    size_t i = 0;                                                                                               \
    for (; i + BLOCK <= n; i += BLOCK) {                                                                        \
        operand va = step_a ? load_operand(a + i) : fixed_a, vb = step_b ? load_operand(b + i) : fixed_b;       \
        store_256(y + i, body(p, va, vb));                                                                      \
    }                                                                                                           \
    if (i < n) {                                                                                                \
        int8_t tail_a[BLOCK] = {0}, tail_b[BLOCK] = {0}, tail_y[BLOCK];                                         \
        if (step_a) memcpy(tail_a, a + i, n - i);                                                               \
        if (step_b) memcpy(tail_b, b + i, n - i);                                                               \
        operand va = step_a ? load_operand(tail_a) : fixed_a, vb = step_b ? load_operand(tail_b) : fixed_b;     \
        store_256(tail_y, body(p, va, vb));                                                                     \
        memcpy(y + i, tail_y, n - i);                                                                           \
    }

ALWAYS_INLINE void add_steps(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const wisp_add_s8 local = *p; /* stores through y cannot change it, so its vectors stay in registers */
    p = &local;
    FOR_BLOCKS(add_32)
}

void wisp_add_s8_avx2(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (n == 0) return;
    if (step_a && step_b)
        add_steps(p, a, 1, b, 1, y, n);
    else
        add_steps(p, a, step_a, b, step_b, y, n);
}

/* 16 products as s16, before the clamp: the 32-bit product is put together from its halves. */
ALWAYS_INLINE __m256i mul_16(const wisp_mul_s8 *p, __m128i a, __m128i b) {
    int any_left_shift = p->shift < 0;
    __m256i wide_a = _mm256_sub_epi16(widen_s8(a), _mm256_set1_epi16((int16_t)p->zero_a));
    __m256i wide_b = _mm256_sub_epi16(widen_s8(b), _mm256_set1_epi16((int16_t)p->zero_b));
    __m256i low = _mm256_mullo_epi16(wide_a, wide_b), high = _mm256_mulhi_epi16(wide_a, wide_b);
    __m256i bias = _mm256_set1_epi32(p->bias), shift = _mm256_set1_epi32(p->shift);
    __m256i first = shift_s32(_mm256_add_epi32(_mm256_unpacklo_epi16(low, high), bias), shift, any_left_shift);
    __m256i second = shift_s32(_mm256_add_epi32(_mm256_unpackhi_epi16(low, high), bias), shift, any_left_shift);
    return scale_s16(_mm256_packs_epi32(first, second), _mm256_set1_epi16((int16_t)p->multiplier));
}

ALWAYS_INLINE __m256i mul_32(const wisp_mul_s8 *p, operand a, operand b) {
    __m256i first = mul_16(p, a.first, b.first);
    __m256i second = mul_16(p, a.second, b.second);
    return pack_s8(first, second, p->lo, p->hi);
}

ALWAYS_INLINE void mul_steps(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const wisp_mul_s8 local = *p; /* as above */
    p = &local;
    FOR_BLOCKS(mul_32)
}

void wisp_mul_s8_avx2(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    if (n == 0) return;
    if (step_a && step_b)
        mul_steps(p, a, 1, b, 1, y, n);
    else
        mul_steps(p, a, step_a, b, step_b, y, n);
}

/* 16 tables of 16 bytes through vpshufb. It gives 0 for a negative index and ignores bits 4..6 of others, so with
 * table h holding entry ^ previous table's entry, and the index 16 lower each time, the exclusive or of all lookups ends
 * with the entry wanted: later tables no longer count once the index is negative. One such chain serves x >= 0
 * (tables 8..15) and one x < 0 (tables 0..7), the other chain giving 0. */
typedef struct lookup_tables {
    __m256i delta[16];
} lookup_tables;

static void prepare_tables(lookup_tables *l, const int8_t *table) {
    __m256i previous = _mm256_setzero_si256();
    for (int h = 0; h < 16; h++) {
        __m256i entries = _mm256_broadcastsi128_si256(load_128(table + 16 * h));
        l->delta[h] = h == 8 ? entries : _mm256_xor_si256(entries, previous);
        previous = entries;
    }
}

ALWAYS_INLINE __m256i lookup_32(const lookup_tables *l, __m256i x) {
    __m256i high = x, low = _mm256_xor_si256(x, _mm256_set1_epi8(-128)), step = _mm256_set1_epi8(16);
    __m256i a = _mm256_shuffle_epi8(l->delta[0], low), b = _mm256_shuffle_epi8(l->delta[8], high);
    for (int h = 1; h < 8; h++) {
        low = _mm256_subs_epi8(low, step), high = _mm256_subs_epi8(high, step);
        a = _mm256_xor_si256(a, _mm256_shuffle_epi8(l->delta[h], low));
        b = _mm256_xor_si256(b, _mm256_shuffle_epi8(l->delta[8 + h], high));
    }
    return _mm256_xor_si256(a, b);
}

void wisp_lookup_s8_avx2(const int8_t *table, const int8_t *x, int8_t *y, size_t n) {
    size_t i = 0;
    if (n >= 2 * BLOCK) { /* fewer do not pay for the tables */
        lookup_tables l;
        prepare_tables(&l, table);
        for (; i + BLOCK <= n; i += BLOCK) store_256(y + i, lookup_32(&l, load_256(x + i)));
    }
    for (; i < n; i++) y[i] = table[x[i] + 128];
}
