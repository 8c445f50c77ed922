/* Shared by the shape family: strided views, the one copy loop behind every data movement, and checks of shape operands. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_SHAPE_H
#define WISP_OPS_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "../op.h"

enum { WISP_VIEW_RANK = 2 * WISP_MAX_RANK };

typedef struct wisp_view_axis {
    int64_t extent, x_stride, y_stride; /* strides in bytes; of x 0 repeats, negative reverses */
} wisp_view_axis;

/* for all i: y[sum of i[k] * y_stride[k]] = x[x_offset + sum of i[k] * x_stride[k]], 0 <= i[k] < extent[k], elements of
 * `size` bytes. The last field, so that a plan of few axes keeps only those: WISP_VIEW_SIZE. */
typedef struct wisp_view {
    int64_t x_offset; /* bytes */
    int32_t size;     /* bytes: 1, 2, 4 or 8 */
    int32_t rank;
    int32_t split; /* work is cut along this axis, the longest */
    wisp_view_axis axes[WISP_VIEW_RANK];
} wisp_view;

/* Bytes of a view of at most `rank` axes. */
#define WISP_VIEW_SIZE(rank) (offsetof(wisp_view, axes) + (rank) * sizeof(wisp_view_axis))

/* A view is all zero but for `size` and x_offset; axes are added from the outermost to the innermost, and merge where strides
 * allow; then it is ordered for the copy. No extent is 0. */
void wisp_view_add(wisp_view *v, int64_t extent, int64_t x_stride, int64_t y_stride);
void wisp_view_order(wisp_view *v);

/* Steps of the split axis, and bytes of each. */
int64_t wisp_view_steps(const wisp_view *v);
int64_t wisp_view_step_size(const wisp_view *v);
/* Copies steps [begin, end). */
void wisp_view_copy(const wisp_view *v, const void *x, void *y, int64_t begin, int64_t end);

/* y[r * y_step + c * size] = x[c * x_step + r * size]: rows run together in x, columns in y. Steps in bytes. */
typedef struct wisp_plane {
    uint8_t *y;
    const uint8_t *x;
    int64_t y_step, x_step, rows, columns;
} wisp_plane;
void wisp_transpose_plane(const wisp_plane *p, int64_t size);

/* y[0..count) = value, elements of `size` bytes. */
void wisp_fill(uint8_t *y, const uint8_t *value, int64_t count, int64_t size);

/* Row-major strides of dims in bytes. Computed modulo 2^64: only meaningful when no extent is 0. */
void wisp_strides(const int32_t *dims, int rank, size_t size, int64_t *strides);

/* wisp_set_output with extents that may be out of range. */
int wisp_set_output_wide(wisp_call *call, uint32_t i, int dtype, int rank, const int64_t *dims);

/* Whether t, a value that plan waited for, is a vector (or scalar) of s32 or s64. */
bool wisp_is_integers(const wisp_tensor *t);

/* Fills mask[rank] from a known vector of axes (null: every axis). False if one is out of range or named twice. */
bool wisp_axis_mask(const wisp_tensor *axes, int rank, bool *mask);

/* Bytes of x's element; 0 (after wisp_call_fail) when the dtype cannot be moved. */
size_t wisp_movable_size(wisp_call *call, const wisp_tensor *x);

/* Fails unless t can be indices: s32 or s64. */
int wisp_check_index_dtype(wisp_call *call, const wisp_tensor *t);
/* In plan (where they are known) or begin: fails unless element i of the indices is in -n..n-1, n = extents[i % depth]. */
int wisp_check_indices(wisp_call *call, const wisp_tensor *indices, const int32_t *extents, int depth);
/* Element i of indices that were checked; ONNX counts negative ones from the end. */
static inline int64_t wisp_index_at(const wisp_tensor *indices, uint64_t i, int64_t extent) {
    const int64_t at = wisp_integer_at(indices, i);
    return at < 0 ? at + extent : at;
}

/* Items of `size` bytes that are worth a thread. */
static inline int64_t wisp_move_grain(int64_t size) {
    enum { GRAIN_SIZE = 65536 };
    return size <= 0 ? GRAIN_SIZE : size >= GRAIN_SIZE ? 1 : GRAIN_SIZE / size;
}

#endif
