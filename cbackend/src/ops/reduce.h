/* What the reductions share: the input seen as kept and reduced axes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_REDUCE_H
#define WISP_REDUCE_H

#include "eltwise.h"

/* Neighbouring axes of one kind are merged, axes of extent 1 dropped. When the innermost axis is kept, outputs come in
 * rows of `columns` neighbours reduced alike and run is 1; when it is reduced, columns is 1 and the innermost `run`
 * elements are contiguous. Strides in elements of the input.
 *
 *   for each of `outer` positions of the kept axes, for each of `rows` positions of the reduced axes:
 *       columns x run elements, of which one is 1
 */
typedef struct reduction {
    int kept, reduced;                                    /* axes besides columns and run */
    int64_t extent[WISP_MAX_RANK], stride[WISP_MAX_RANK]; /* of the kept axes, then the reduced; each outermost first */
    int64_t outer, rows, columns, run;
    int64_t count; /* elements that make one output: rows * run */
} reduction;

/* `axes`: bit i is set when axis i of x is reduced. */
void wisp_plan_reduction(const wisp_tensor *x, int64_t axes, reduction *r);

/* The input element where position `index` of `outer` begins; where row `index` of `rows` begins, relative to it. */
int64_t wisp_outer_offset(const reduction *r, int64_t index);
int64_t wisp_row_offset(const reduction *r, int64_t index);

/* A long run is joined from blocks of REDUCE_RUN, each joined by itself: rounding errors of a sum grow with
 * n / REDUCE_RUN + REDUCE_RUN / 8, and blocks can be made by different threads. */
enum { REDUCE_RUN = 1024 };

/* `columns` <= REDUCE_COLUMNS neighbouring outputs, whose first element is x, to y. kernel: max_f32 where the maximum is
 * needed, sum_f32 for plain sums, else null. */
enum { REDUCE_COLUMNS = 256 };
typedef void wisp_reduce_f32_fn(const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y);
wisp_reduce_f32_fn wisp_sum_columns_f32, wisp_max_columns_f32;                 /* by a kernel */
wisp_reduce_f32_fn wisp_min_columns_f32, wisp_product_columns_f32;             /* without */
wisp_reduce_f32_fn wisp_absolute_sum_columns_f32, wisp_square_sum_columns_f32; /* without */
wisp_reduce_f32_fn wisp_log_sum_exp_columns_f32;                               /* max_f32 */

/* outer x n x inner around one axis of a tensor. */
typedef struct axis_view {
    int64_t outer, n, inner;
} axis_view;
static inline axis_view view_axis(const wisp_tensor *x, int axis) {
    const axis_view v = {(int64_t)wisp_extent(x->dims, 0, axis), x->dims[axis], (int64_t)wisp_extent(x->dims, axis + 1, x->rank)};
    return v;
}

/* Items worth a thread when one costs `elements`. */
static inline int64_t reduce_grain(int64_t elements) {
    return elements >= ELTWISE_GRAIN ? 1 : ELTWISE_GRAIN / (elements + 1) + 1;
}

#endif
