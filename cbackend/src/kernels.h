/* Kernels: every inner loop an instruction set may replace, with its contract, and how one is found. Kernels cannot fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_KERNELS_H
#define WISP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"

/* Common to all kernels:
 * - No read or write outside the ranges named here, not even of one byte. No alignment may be assumed except for
 *   weights and channel blocks (64 bytes) and scratch (64 bytes).
 * - Outputs do not overlap inputs unless said otherwise.
 * - int8 results equal those of the scalar kernel bit for bit. f32 results may differ between instruction sets, but
 *   the result of an element depends on its own inputs only, never on its place in a tile or on m and n.
 * - Accumulation is modulo 2^32 (add_wrap). Weights are in -127..127. */

enum {
    WISP_MAX_MR = 8,   /* rows of a matrix tile, at most */
    WISP_CHANNELS = 16 /* channels of a packed panel */
};

/* out[i][j] = requantize(sum over t, c of rows[t*m+i][c] * weights[j][t][c]), 0 <= i < m, 0 <= j < n. */
typedef struct wisp_gemm_s8 {
    int32_t m;                        /* 1..the descriptor's rows */
    int32_t n;                        /* >= 1; need not be a multiple of 16 */
    int32_t k;                        /* >= 1, values per tap; need not be a multiple of 4 */
    int32_t taps;                     /* >= 1 */
    const int8_t *const *rows;        /* taps x m pointers, each to k values */
    const int8_t *weights;            /* WISP_LAYOUT_GEMM_S8 panels of these n outputs */
    const wisp_channels_s8 *channels; /* blocks of these n outputs */
    int8_t *out;                      /* row i at out + i * out_stride */
    ptrdiff_t out_stride;             /* elements */
    int8_t lo, hi;
    uint8_t left;  /* 0: no shift of any channel is negative */
    void *scratch; /* wisp_gemm_s8_scratch bytes */
} wisp_gemm_s8;
typedef void wisp_gemm_s8_fn(const wisp_gemm_s8 *g);
typedef struct wisp_gemm_s8_kernel {
    wisp_gemm_s8_fn *multiply;
    const char *name; /* for reports */
    uint8_t rows;     /* of a tile that suits the kernel, 1..WISP_MAX_MR */
} wisp_gemm_s8_kernel;

/* Scratch of one gemm_s8 call: a tile of rows widened to 16 bits, k of each tap rounded up to 4. */
static inline uint64_t wisp_gemm_s8_scratch(int32_t k, int32_t taps) {
    return 2ull * WISP_MAX_MR * (uint64_t)taps * (((uint64_t)k + 3) & ~3ull);
}

/* out[i][j] = clamp(bias[j] + sum over t, c of rows[t*m+i][c] * weights[j][t][c]); sums run in order of t, then c. */
typedef struct wisp_gemm_f32 {
    int32_t m, n, k, taps; /* m: 1..the descriptor's rows */
    const float *const *rows;
    const float *weights; /* WISP_LAYOUT_GEMM_F32 */
    const float *bias;    /* n rounded up to 16 values */
    float *out;
    ptrdiff_t out_stride;
    float lo, hi; /* -inf, inf: no clamp. A NaN stays NaN. */
} wisp_gemm_f32;
typedef void wisp_gemm_f32_fn(const wisp_gemm_f32 *g);
typedef struct wisp_gemm_f32_kernel {
    wisp_gemm_f32_fn *multiply;
    const char *name;
    uint8_t rows;
} wisp_gemm_f32_kernel;

/* Depthwise convolution of n output pixels: channel c of pixel i reads tap t at rows[tap_offset[t] + i * row_step][c]. */
typedef struct wisp_dwconv_s8 {
    int32_t n, c, taps; /* all >= 1 */
    const int8_t *const *rows;
    const int32_t *tap_offset;
    int32_t row_step;
    const int8_t *weights; /* WISP_LAYOUT_DW_S8 */
    const wisp_channels_s8 *channels;
    int8_t *out;
    ptrdiff_t out_stride; /* elements between pixels, >= c */
    int8_t lo, hi;
    uint8_t left;
} wisp_dwconv_s8;
typedef void wisp_dwconv_s8_fn(const wisp_dwconv_s8 *d);
typedef struct wisp_dwconv_s8_kernel {
    wisp_dwconv_s8_fn *convolve;
    const char *name;
} wisp_dwconv_s8_kernel;

typedef struct wisp_dwconv_f32 {
    int32_t n, c, taps;
    const float *const *rows;
    const int32_t *tap_offset;
    int32_t row_step;
    const float *weights; /* WISP_LAYOUT_DW_F32 */
    const float *bias;    /* c rounded up to 16 values */
    float *out;
    ptrdiff_t out_stride;
    float lo, hi;
} wisp_dwconv_f32;
typedef void wisp_dwconv_f32_fn(const wisp_dwconv_f32 *d);
typedef struct wisp_dwconv_f32_kernel {
    wisp_dwconv_f32_fn *convolve;
    const char *name;
} wisp_dwconv_f32_kernel;

/* out[c] = max over t of rows[t][c]. count >= 1 rows. f32: a NaN in any row gives NaN. */
typedef void wisp_max_s8_fn(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out);
typedef void wisp_max_f32_fn(const float *const *rows, int32_t count, int32_t c, float *out);
/* out[c] = sum over t of rows[t][c]; exact (count <= 2^23). f32: added in order of t. */
typedef void wisp_sum_s8_fn(const int8_t *const *rows, int32_t count, int32_t c, int32_t *out);
typedef void wisp_sum_f32_fn(const float *const *rows, int32_t count, int32_t c, float *out);

/* y[i] = clamp((a[i] * multiplier_a + b[i] * multiplier_b + bias) >> shift, lo, hi): a rescaled sum. Multipliers are
 * in -32768..32767, shift in 0..31. step_a / step_b: 1, or 0 for a single value used for all i. y may be a or b. */
typedef struct wisp_add_s8 {
    int32_t multiplier_a, multiplier_b, bias, shift;
    int8_t lo, hi;
} wisp_add_s8;
typedef void wisp_add_s8_fn(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n);

/* y[i] = requantize((a[i] - zero_a) * (b[i] - zero_b) + bias, shift, multiplier, lo, hi). As add_s8 otherwise. */
typedef struct wisp_mul_s8 {
    int32_t zero_a, zero_b, bias, shift, multiplier;
    int8_t lo, hi;
} wisp_mul_s8;
typedef void wisp_mul_s8_fn(const wisp_mul_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n);

/* y[i] = table[x[i] + 128]. y may be x. */
typedef void wisp_lookup_s8_fn(const int8_t *table, const int8_t *x, int8_t *y, size_t n);

/* y[i] = clamp(rint(x[i] * inverse_scale) + zero_point, -128, 127); halves to even, NaN gives zero_point. One multiply,
 * one rounding: the same on every target. */
typedef void wisp_quantize_s8_fn(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n);
/* y[i] = (x[i] - zero_point) * scale. */
typedef void wisp_dequantize_s8_fn(const int8_t *x, float scale, int32_t zero_point, float *y, size_t n);

/* y[i] = a[i] op b[i]; steps as in add_s8. y may be a or b. */
typedef void wisp_binary_f32_fn(const float *a, int step_a, const float *b, int step_b, float *y, size_t n);
/* y[i] = clamp(x[i], lo, hi), NaN stays NaN. y may be x. */
typedef void wisp_clamp_f32_fn(const float *x, float lo, float hi, float *y, size_t n);

/* ---- tables */

/* A slot for each line of kernels.def. */
typedef struct wisp_kernels {
#define KERNEL(slot, type) type *slot;
#include "kernels.def"
#undef KERNEL
} wisp_kernels;

enum {
#define KERNEL(slot, type) WISP_SLOT_##slot,
#include "kernels.def"
#undef KERNEL
    WISP_SLOT_COUNT
};

/* Which slots this build has. WISP_KERNELS: a file with a line HAS(slot, 0 or 1) for each; without it, all. */
enum {
#ifdef WISP_KERNELS
#define HAS(slot, value) WISP_HAS_##slot = value,
#include WISP_KERNELS
#undef HAS
#else
#define KERNEL(slot, type) WISP_HAS_##slot = 1,
#include "kernels.def"
#undef KERNEL
#endif
};

/* An instruction set brings `const wisp_kernels wisp_kernels_ISA`: its slots, and null where it has nothing better. This
 * initializes one of them, unless the build does without the slot: then nothing refers to the kernel, which is not linked. */
#define WISP_BRINGS(slot, ...) .slot = WISP_HAS_##slot ? (__VA_ARGS__) : NULL

/* The table of the set with bit `bit`, or null where the build lacks it. */
const wisp_kernels *wisp_kernels_of(uint32_t bit);
bool wisp_is_filled(const wisp_kernels *kernels, int slot);
extern const wisp_kernels wisp_kernels_scalar; /* every slot the build has */

/* Where the newest set in `mask` that fills the slot keeps it; scalar, if none does. All sets in `mask` must be in
 * wisp_cpu_flags(). */
const void *wisp_find_kernel(uint32_t mask, int slot);

/* What that slot holds, of the slot's type: a function or a descriptor; null in a build without it. */
#define WISP_FIND_KERNEL(mask, slot) (*wisp_slot_##slot(wisp_find_kernel(mask, WISP_SLOT_##slot)))
#define KERNEL(slot, type)                                           \
    static inline type *const *wisp_slot_##slot(const void *place) { \
        return place;                                                \
    }
#include "kernels.def"
#undef KERNEL

/* All of it at once, for operators that do not yet ask for their kernels one by one. */
void wisp_kernels_fill(wisp_kernels *kernels, uint32_t mask);

#endif
