/* Products with constant packed weights as operators: what Conv (not depthwise) and Gemm share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_MATRIX_H
#define WISP_OPS_MATRIX_H

#include "../matrix/matrix.h"
#include "window.h"

/* Operands: x, weights, channels or bias. Rows are output pixels, columns the output channels of one group. Items are tiles of
 * rows, group after group; or, where all rows fit one tile of one group, panels of 16 columns. f32 weights may be plain (n, taps, k),
 * computed by the run: a first phase packs them into shared scratch, panels of weights, then of the bias. */
typedef struct wisp_matrix_plan {
    wisp_matrix m;
    int64_t rows;
    int32_t groups, panels; /* panels of a group */
    bool packs;
} wisp_matrix_plan;

/* In plan: checks operands 1 and 2 against `p`, of which rows, groups and of m the window, group_k, n and y_stride are set, and for
 * PLAIN rows x_stride. Completes it; states work and scratch. */
int wisp_plan_matrix(wisp_call *call, wisp_matrix_plan *p);
void wisp_range_matrix(const wisp_call *call, const wisp_matrix_plan *p, uint32_t thread, int64_t begin, int64_t end);

/* y[n] = a[k] * b[k][n], in a dtype without kernels; null for one that has none of these either. */
typedef void wisp_product_row_fn(const void *a_row, const void *b_matrix, int64_t k, int64_t n, void *y_row);
wisp_product_row_fn *wisp_product_row(int dtype);
/* A panel of one tap: k rows of 16 values, from `width` columns that lie `stride` apart. */
void wisp_pack_tap(const float *from, int64_t stride, int32_t width, int32_t k, float *panel);
/* The bias of one panel; `bias` may be null. */
void wisp_pack_bias(const wisp_tensor *bias, int64_t column, int32_t width, float *panel);

/* In check: the contents of operand 2, where it holds channels. Marks it where a shift is negative. */
int wisp_check_channels(wisp_call *call);
/* In plan: operand 2 has n channels, or a plain f32 bias of n rounded up to 16 values, as x says. */
int wisp_check_columns(wisp_call *call, int64_t n);
/* Checks the clamp of an s8 operator. */
int wisp_check_clamp(wisp_call *call, int32_t lo, int32_t hi);

#endif
