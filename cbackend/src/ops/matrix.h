/* Matrix products with constant packed weights: the one outer loop behind Conv (not depthwise) and Gemm. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_MATRIX_H
#define WISP_OPS_MATRIX_H

#include "window.h"

/* One product: rows are output pixels, columns are output channels of one group. */
typedef struct wisp_matrix {
    wisp_window window;
    bool pointwise; /* row r is x + r * k: no window */
    bool patch;     /* weights have one tap of kernel_h * kernel_w * k values: rows are copied together first */
    int32_t groups;
    int32_t k, taps;     /* as the weights are packed */
    int32_t group_k;     /* input channels of a group */
    int32_t n, panels_n; /* output channels of a group; rounded up to 16 */
    int64_t rows;        /* output pixels */
    int64_t x_stride, out_stride;
    float min, max;
    int32_t lo, hi;
} wisp_matrix;

/* Checks operands 1 (weights) and 2 (channels or bias) against m (window, pointwise, groups, n, min..hi, x_stride,
 * out_stride are set), completes m, and chooses kernel and scratch. Leaves node->run to the caller. */
int wisp_matrix_prepare(wisp_call *call, wisp_matrix *m);

/* What a run does: `describe` m as prepare did, complete it, hand ranges of items to the kernel. */
void wisp_matrix_complete(const wisp_call *call, wisp_matrix *m);
int64_t wisp_matrix_items(const wisp_call *call, const wisp_matrix *m);
int64_t wisp_matrix_grain(const wisp_call *call, const wisp_matrix *m); /* fewest items worth a thread */
void wisp_matrix_range(wisp_call *call, const wisp_matrix *m, uint32_t thread, int64_t begin, int64_t end);

/* Checks a CHANNELS tensor of at least n channels: shifts and multipliers in range. *any_left_shift: some shift is negative. */
int wisp_check_channels(wisp_call *call, const wisp_tensor *t, int64_t n, bool *any_left_shift);
/* Checks a plain f32 bias of n rounded up to 16 values. */
int wisp_check_bias(wisp_call *call, const wisp_tensor *t, int64_t n);
/* Checks the clamp of an s8 operator. */
int wisp_check_clamp(wisp_call *call, int32_t lo, int32_t hi);

#endif
