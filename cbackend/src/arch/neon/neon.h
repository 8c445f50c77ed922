/* What the NEON kernels share: partial loads and stores, requantization. Base ARMv8-A, no extensions, or ARMv7-A with VFPv4. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_NEON_H
#define WISP_NEON_H

#include <arm_neon.h>
#include <stdbool.h>
#include <string.h>

#include "../../kernels.h"
#include "../../quant.h"

#ifdef __aarch64__
#include "armv8.h"
#else
#include "armv7.h"
#endif

extern const wisp_kernels wisp_kernels_neon;

extern const wisp_gemm_kernel wisp_gemm_s8_neon, wisp_gemm_f32_neon;
wisp_dwconv_s8_fn wisp_dwconv_s8_neon;
void wisp_dwconv_from_s8_neon(const wisp_dwconv_s8 *d, ptrdiff_t c); /* channels from c on, a multiple of 16 */
wisp_dwconv_f32_fn wisp_dwconv_f32_neon;
wisp_max_s8_fn wisp_max_s8_neon;
wisp_add_s8_fn wisp_add_s8_neon;
wisp_mul_s8_fn wisp_mul_s8_neon;
wisp_quantize_s8_fn wisp_quantize_s8_neon;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Says that these are complete here. Without it both compilers start the next row early and run out of registers. */
#define FINISH(a, b, c, d) __asm__ volatile("" : "+w"(a), "+w"(b), "+w"(c), "+w"(d));

/* Nothing behind it is loaded before it: compilers that load early run out of registers too. */
#define FENCE __asm__ volatile("" ::: "memory");

/* 0..16 bytes, zeros above; nothing else is read or written. */
ALWAYS_INLINE int8x16_t load_bytes(const int8_t *p, size_t size) {
    int8_t buffer[16] = {0};
    memcpy(buffer, p, size);
    return vld1q_s8(buffer);
}
ALWAYS_INLINE void store_bytes(int8_t *p, int8x16_t x, size_t size) {
    int8_t buffer[16];
    vst1q_s8(buffer, x);
    memcpy(p, buffer, size);
}

/* k values, then zeros up to a whole group. The last vector overlaps the one before. */
ALWAYS_INLINE void copy_tap_s8(const int8_t *from, ptrdiff_t k, int8_t *to) {
    ptrdiff_t c = 0;
    for (; c + 16 <= k; c += 16) vst1q_s8(to + c, vld1q_s8(from + c));
    if (c && c < k) vst1q_s8(to + k - 16, vld1q_s8(from + k - 16)), c = k;
    for (; c < k; c++) to[c] = from[c];
    for (; c % 4; c++) to[c] = 0;
}

/* requantize_s8 up to the clamp, eight values. vqshl goes left and right, floors, and saturates to 32 bits, which the
 * narrowing then takes to 16, as saturate_s16 before a left shift does. vqrdmulh is the Q15 product (-32768 * -32768
 * cannot occur: multipliers are >= 0); vqrshrn rounds, shifts and saturates to 8 bits without overflow between. */
ALWAYS_INLINE int8x8_t requantize_8(int32x4_t a, int32x4_t b, int32x4_t left_a, int32x4_t left_b, int16x8_t multiplier) {
    int16x8_t t = vcombine_s16(vqmovn_s32(vqshlq_s32(a, left_a)), vqmovn_s32(vqshlq_s32(b, left_b)));
    return vqrshrn_n_s16(vqrdmulhq_s16(t, multiplier), 7);
}

/* Eight 32-bit multipliers as 16 bits. */
ALWAYS_INLINE int16x8_t load_multipliers(const int32_t *p) {
    return vcombine_s16(vmovn_s32(vld1q_s32(p)), vmovn_s32(vld1q_s32(p + 4)));
}

/* Requantization of 16 channels, ready for use. */
typedef struct requantize_s8x16 {
    int32x4_t left0, left1, left2, left3;
    int16x8_t multiplier0, multiplier1;
    int8x16_t lo, hi;
} requantize_s8x16;

ALWAYS_INLINE requantize_s8x16 load_requantize_16(const wisp_channels_s8 *ch, int8_t lo, int8_t hi) {
    return (requantize_s8x16){.left0 = vnegq_s32(vld1q_s32(ch->shift)),
                              .left1 = vnegq_s32(vld1q_s32(ch->shift + 4)),
                              .left2 = vnegq_s32(vld1q_s32(ch->shift + 8)),
                              .left3 = vnegq_s32(vld1q_s32(ch->shift + 12)),
                              .multiplier0 = load_multipliers(ch->multiplier),
                              .multiplier1 = load_multipliers(ch->multiplier + 8),
                              .lo = vdupq_n_s8(lo),
                              .hi = vdupq_n_s8(hi)};
}

ALWAYS_INLINE int8x16_t requantize_16(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d, const requantize_s8x16 *p) {
    int8x8_t low = requantize_8(a, b, p->left0, p->left1, p->multiplier0);
    int8x16_t q = vcombine_s8(low, requantize_8(c, d, p->left2, p->left3, p->multiplier1));
    return vminq_s8(vmaxq_s8(q, p->lo), p->hi);
}

/* As the scalar clamp, signed zeros and NaN included. */
ALWAYS_INLINE float32x4_t clamp_f32(float32x4_t x, float lo, float hi) {
    float32x4_t vlo = vdupq_n_f32(lo), vhi = vdupq_n_f32(hi);
    x = vbslq_f32(vcltq_f32(x, vlo), vlo, x);
    return vbslq_f32(vcgtq_f32(x, vhi), vhi, x);
}

/* The first 0..4 elements. */
ALWAYS_INLINE float32x4_t load_floats(const float *p, size_t count) {
    float buffer[4] = {0};
    memcpy(buffer, p, count * sizeof *p);
    return vld1q_f32(buffer);
}
ALWAYS_INLINE void store_floats(float *p, float32x4_t x, int64_t count) {
    float buffer[4];
    if (count >= 4) {
        vst1q_f32(p, x);
    } else if (count > 0) {
        vst1q_f32(buffer, x);
        memcpy(p, buffer, (size_t)count * sizeof *p);
    }
}

/* A group of four values, four times. */
ALWAYS_INLINE int8x16_t load_group(const int8_t *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}

/* The rows of a tile as runs of groups, and where their results go; beyond m the last row again. */
typedef struct rows_s8 {
    const int8_t *const *x;
    int8_t *y[WISP_MAX_MR];
    ptrdiff_t groups; /* of all taps */
} rows_s8;

/* What is packed: a pointer to each row, then copies of the rows that are not whole groups of one tap, every tap padded with
 * zeros. */
_Static_assert(WISP_MAX_MR * sizeof(void *) <= 64, "wisp_packed_size");

ALWAYS_INLINE void pack_rows_s8(const wisp_gemm *g, void *packed) {
    const ptrdiff_t k = g->k, k4 = (k + 3) & ~(ptrdiff_t)3;
    const int32_t m = g->m, taps = g->taps;
    const bool copied = taps > 1 || k != k4;
    const void *const *rows = g->rows;
    const void **x = packed;
    int8_t *copy = (int8_t *)packed + 64;
    for (int32_t r = 0; r < m; r++) {
        x[r] = copied ? copy : rows[r];
        for (int32_t t = 0; copied && t < taps; t++, copy += k4) copy_tap_s8(rows[(ptrdiff_t)t * m + r], k, copy);
    }
    for (int32_t r = m; r < WISP_MAX_MR; r++) x[r] = x[m - 1];
}

ALWAYS_INLINE void point_rows_s8(const wisp_gemm *g, rows_s8 *rows) {
    int8_t *y = g->out;
    rows->x = g->packed;
    rows->groups = g->taps * (((ptrdiff_t)g->k + 3) / 4);
    for (int32_t r = 0; r < WISP_MAX_MR; r++) {
        rows->y[r] = y;
        if (r + 1 < g->m) y += g->out_stride;
    }
}

/* The term of row r, the last one beyond m. */
ALWAYS_INLINE int32_t row_term(const wisp_gemm *g, int32_t r) {
    return g->row_term[r < g->m ? r : g->m - 1];
}

/* A depthwise window of 3x3 whose columns lie side by side. */
ALWAYS_INLINE bool is_3x3(const wisp_dwconv_s8 *d) {
    const int32_t *offset = d->tap_offset;
    if (d->taps != 9) return false;
    for (int t = 0; t < 9; t += 3)
        if (offset[t + 1] != offset[t] + 1 || offset[t + 2] != offset[t] + 2) return false;
    return true;
}

#endif
