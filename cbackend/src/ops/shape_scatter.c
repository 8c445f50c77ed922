/* ScatterElements and ScatterND: a copy of the data, overwritten or accumulated into at given places, in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { NONE, ADD, MUL, MAX, MIN }; /* reduction */

static int check_scatter(wisp_call *call, int32_t reduction) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if ((indices->dtype != WISP_S32 && indices->dtype != WISP_S64) || indices->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "indices cannot have dtype", indices->dtype);
    if (updates->dtype != x->dtype || updates->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "updates must have the dtype of data");
    if (reduction < NONE || reduction > MIN) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such reduction:", reduction);
    if (reduction != NONE && x->dtype != WISP_F32 && x->dtype != WISP_S32 && x->dtype != WISP_S64)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot accumulate elements of dtype", x->dtype);
    return WISP_OK;
}

static float reduce_f32(float a, float b, int32_t reduction) {
    switch (reduction) {
        case ADD: return a + b;
        case MUL: return a * b;
        case MAX: return b > a || b != b ? b : a;
        default: return b < a || b != b ? b : a;
    }
}

static int64_t reduce_s64(int64_t a, int64_t b, int32_t reduction) {
    switch (reduction) {
        case ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
        case MUL: return (int64_t)((uint64_t)a * (uint64_t)b);
        case MAX: return b > a ? b : a;
        default: return b < a ? b : a;
    }
}

/* Applies `count` elements; y and updates may lie at any address a tensor's element can have. */
static void apply(uint8_t *y, const uint8_t *updates, int64_t count, int dtype, int32_t reduction) {
    if (reduction == NONE) {
        memcpy(y, updates, (size_t)count * wisp_dtype_size(dtype));
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        if (dtype == WISP_F32) {
            ((float *)(void *)y)[i] = reduce_f32(((float *)(void *)y)[i], ((const float *)(const void *)updates)[i], reduction);
        } else if (dtype == WISP_S64) {
            ((int64_t *)(void *)y)[i] = reduce_s64(((int64_t *)(void *)y)[i], ((const int64_t *)(const void *)updates)[i], reduction);
        } else { /* modulo 2^32 */
            int64_t r = reduce_s64(((int32_t *)(void *)y)[i], ((const int32_t *)(const void *)updates)[i], reduction);
            ((int32_t *)(void *)y)[i] = (int32_t)(uint32_t)(uint64_t)r;
        }
    }
}

static void copy_data(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (x->data != y->data) memcpy(y->data, x->data, (size_t)y->size);
}

static int check_index(wisp_call *call, int64_t *index, int64_t extent) {
    if (*index < -extent || *index >= extent) return wisp_call_fail_value(call, WISP_BAD_INDEX, "index out of range:", *index);
    if (*index < 0) *index += extent;
    return WISP_OK;
}

static int run_scatter_elements(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    int axis = wisp_axis(WISP_PARAMS(call, ScatterElements)->axis, x->rank);
    int64_t xs[WISP_MAX_RANK], index[WISP_MAX_RANK] = {0}, size = (int64_t)wisp_dtype_size(x->dtype), base = 0;
    uint8_t *y = wisp_output(call, 0)->data;
    copy_data(call);
    wisp_strides(x->dims, x->rank, (size_t)size, xs);
    for (uint64_t i = 0; i < indices->count; i++) {
        int64_t at = wisp_integer_at(indices, i);
        if (check_index(call, &at, x->dims[axis])) return WISP_BAD_INDEX;
        apply(y + base + at * xs[axis], (const uint8_t *)updates->data + (int64_t)i * size, 1, x->dtype,
              WISP_PARAMS(call, ScatterElements)->reduction);
        for (int k = x->rank - 1; k >= 0; k--) { /* base: of the index position, the axis left out */
            int64_t stride = k == axis ? 0 : xs[k];
            base += stride;
            if (++index[k] < indices->dims[k]) break;
            base -= stride * index[k];
            index[k] = 0;
        }
    }
    return WISP_OK;
}

int wisp_prepare_ScatterElements(wisp_call *call) {
    int status = check_scatter(call, WISP_PARAMS(call, ScatterElements)->reduction);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    int axis = wisp_axis(WISP_PARAMS(call, ScatterElements)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, ScatterElements)->axis);
    if (indices->rank != x->rank || updates->rank != x->rank)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "data, indices and updates must have the same rank");
    for (int i = 0; i < x->rank; i++) {
        if (indices->dims[i] != updates->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices and updates differ along axis", i);
        if (i != axis && indices->dims[i] > x->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices are longer than data along axis", i);
    }
    wisp_legacy_of(call)->run = run_scatter_elements;
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

static int run_scatter_nd(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    int depth = indices->dims[indices->rank - 1];
    int64_t xs[WISP_MAX_RANK], size = (int64_t)wisp_dtype_size(x->dtype);
    uint8_t *y = wisp_output(call, 0)->data;
    copy_data(call);
    if (updates->count == 0) return WISP_OK;
    wisp_strides(x->dims, x->rank, (size_t)size, xs);
    int64_t block = (int64_t)wisp_extent(x->dims, depth, x->rank), tuples = (int64_t)wisp_extent(indices->dims, 0, indices->rank - 1);
    uint64_t next = 0;
    for (int64_t i = 0; i < tuples; i++) {
        uint8_t *to = y;
        for (int k = 0; k < depth; k++) {
            int64_t at = wisp_integer_at(indices, next++);
            if (check_index(call, &at, x->dims[k])) return WISP_BAD_INDEX;
            to += at * xs[k];
        }
        apply(to, (const uint8_t *)updates->data + i * block * size, block, x->dtype, WISP_PARAMS(call, ScatterND)->reduction);
    }
    return WISP_OK;
}

int wisp_prepare_ScatterND(wisp_call *call) {
    int status = check_scatter(call, WISP_PARAMS(call, ScatterND)->reduction);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    int32_t depth = indices->rank < 1 ? -1 : indices->dims[indices->rank - 1];
    if (depth < 0 || depth > x->rank) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data has too few axes for tuples of", depth);
    if (updates->rank != indices->rank - 1 + x->rank - depth) return wisp_call_fail(call, WISP_BAD_SHAPE, "updates have the wrong rank");
    for (int i = 0; i < updates->rank; i++) {
        int lead = indices->rank - 1;
        if (updates->dims[i] != (i < lead ? indices->dims[i] : x->dims[depth + i - lead]))
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "updates do not fit data and indices along axis", i);
    }
    wisp_legacy_of(call)->run = run_scatter_nd;
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

WISP_LEGACY(ScatterElements)
WISP_LEGACY(ScatterND)
