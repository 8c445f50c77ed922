/* Kernels: every inner loop an instruction set may replace, with its contract, and how one is found. Kernels cannot fail. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_KERNELS_H
#define WISP_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format.h"

/* Common to all kernels:
 * - No write outside the ranges named here, not even of one byte, and no read, with one exception: HVX reads the aligned lines of
 *   128 bytes that hold part of a range, which never leaves the range's pages. No alignment may be assumed except for weights
 *   and channel blocks (64 bytes) and packed rows (64 bytes).
 * - Outputs do not overlap inputs unless said otherwise.
 * - int8 results equal those of the scalar kernel bit for bit. f32 results may differ between instruction sets, but
 *   the result of an element depends on its own inputs only, never on its place in a tile or on m and n.
 * - Accumulation is modulo 2^32 (add_wrap). Where a call does not say full_range, s8 weights are in -127..127: two products then
 *   fit 16 bits, 2 * 128 * 127 < 2^15. With a weight of -128 all the same, results are other numbers, nothing worse. */

enum {
    WISP_MAX_MR = 8,   /* rows of a matrix tile, at most */
    WISP_MAX_UNIT = 2, /* bytes of a packed value, at most */
    WISP_CHANNELS = 16 /* channels of a packed panel */
};

/* A matrix product: m rows by n columns, found by (dtype of x, layout of the weights, dtype of y).
 *
 *   acc[i][j] = sum over t, c of rows[t * m + i][c] * weights[j][t][c]  +  row_term[i] * column_term[j]
 *
 * x s8, GEMM_S8, y s8:   columns are wisp_channels_s8 blocks; out[i][j] = requantize(acc + bias[j]), clamped to lo..hi
 * x f32, GEMM_F32, y f32: columns are a bias, n rounded up to 16 values; out[i][j] = clamp(bias[j] + acc, min, max), summed in
 *                         order of t, then c; no terms. -inf, inf: no clamp. A NaN stays NaN. */
typedef struct wisp_gemm {
    int32_t m;                             /* 1..the descriptor's rows */
    int32_t n;                             /* >= 1; need not be a multiple of 16 */
    int32_t k;                             /* >= 1, values per tap; need not be a multiple of 4 */
    int32_t taps;                          /* >= 1 */
    const void *const *rows;               /* taps x m pointers, each to k values */
    const void *packed;                    /* what the descriptor's pack_rows made of them; unused where it has none */
    const void *weights;                   /* panels of these n columns */
    const void *columns;                   /* see above */
    const int32_t *row_term, *column_term; /* both null, or m values, and n rounded up to 16 */
    void *out;                             /* row i at out + i * out_stride */
    ptrdiff_t out_stride;                  /* elements */
    union {
        struct {
            int32_t lo, hi; /* within -128..127 */
        };
        struct {
            float min, max;
        };
    };
    uint8_t any_left_shift; /* 0: no shift of any column is negative */
    uint8_t full_range;     /* 0: no weight is -128 */
} wisp_gemm;
typedef void wisp_gemm_fn(const wisp_gemm *g);
/* Brings the rows of g (m, k, taps and rows are read) into the form that `multiply` of the same descriptor reads as g->packed.
 * It may keep pointers to them. `packed`: wisp_packed_size bytes, aligned to 64. */
typedef void wisp_pack_fn(const wisp_gemm *g, void *packed);

typedef struct wisp_gemm_kernel {
    wisp_gemm_fn *multiply;
    wisp_pack_fn *pack_rows; /* null: multiply reads the rows where they are */
    const char *name;        /* for reports */
    uint8_t rows;            /* of a tile that suits it, 1..WISP_MAX_MR */
    uint8_t unit;            /* bytes that pack_rows makes of a value, 0..WISP_MAX_UNIT */
} wisp_gemm_kernel;

/* Bytes that `rows` rows take when packed: 64 for the kernel's own use, and the values, k of each tap rounded up to 4. */
static inline uint64_t wisp_packed_size(int32_t rows, int32_t unit, int32_t k, int32_t taps) {
    return unit ? 64 + (uint64_t)rows * (uint64_t)unit * (uint64_t)taps * (((uint64_t)k + 3) & ~3ull) : 0;
}

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
    uint8_t any_left_shift, full_range; /* as in wisp_gemm */
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

#endif
