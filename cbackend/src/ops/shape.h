/* Shared by the shape family: strided views, the one copy loop behind every data movement, and checks of shape operands. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_SHAPE_H
#define WISP_OPS_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "../op.h"

enum { WISP_VIEW_RANK = 2 * WISP_MAX_RANK };

/* for all i: y[sum of i[k] * y_stride[k]] = x[sum of i[k] * x_stride[k]], 0 <= i[k] < dims[k], elements of `size` bytes. */
typedef struct wisp_view {
    const uint8_t *x;
    uint8_t *y;
    int64_t size; /* bytes: 1, 2, 4 or 8 */
    int rank;
    int64_t dims[WISP_VIEW_RANK];
    int64_t x_stride[WISP_VIEW_RANK], y_stride[WISP_VIEW_RANK]; /* bytes; of x 0 repeats, negative reverses */
} wisp_view;

/* A view of no axes: one element. */
static inline wisp_view wisp_view_start(const void *x, void *y, size_t size) {
    wisp_view v = {.x = (const uint8_t *)x, .y = (uint8_t *)y, .size = (int64_t)size, .rank = 0};
    return v;
}

/* Adds an axis inside the ones so far; merges it with its neighbour where strides allow. */
void wisp_view_axis(wisp_view *v, int64_t extent, int64_t x_stride, int64_t y_stride);

/* Work is cut along the longest axis: its extent, and the fewest steps worth a thread. */
int64_t wisp_view_steps(const wisp_view *v);
int64_t wisp_view_grain(const wisp_view *v);
/* Copies steps [begin, end). */
void wisp_view_copy(const wisp_view *v, int64_t begin, int64_t end);

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

/* Whether t is a vector (or scalar) of s32 or s64 whose values are known now. */
bool wisp_is_known_vector(const wisp_tensor *t);

/* Fills mask[rank] from a known vector of axes (null: every axis). False if one is out of range or named twice. */
bool wisp_axis_mask(const wisp_tensor *axes, int rank, bool *mask);

/* Bytes of x's element; 0 (after wisp_call_fail) when the dtype cannot be moved. */
size_t wisp_movable_size(wisp_call *call, const wisp_tensor *x);

#endif
