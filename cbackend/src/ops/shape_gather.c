/* Gather, GatherElements, GatherND: elements or blocks picked by indices from the data. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { GRAIN_SIZE = 65536 /* bytes worth a thread */ };

static int check_gather(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *indices = wisp_input(call, 1);
    if (!wisp_movable_size(call, wisp_input(call, 0))) return WISP_UNSUPPORTED;
    if ((indices->dtype != WISP_S32 && indices->dtype != WISP_S64) || indices->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "indices cannot have dtype", indices->dtype);
    return WISP_OK;
}

/* ONNX counts negative indices from the end. */
static bool in_range(int64_t index, int64_t extent) {
    return index >= -extent && index < extent;
}

static int check_indices(wisp_call *call, const wisp_tensor *indices, int64_t extent) {
    for (uint64_t i = 0; i < indices->count; i++) {
        int64_t at = wisp_integer_at(indices, i);
        if (!in_range(at, extent)) return wisp_call_fail_value(call, WISP_BAD_INDEX, "index out of range:", at);
    }
    return WISP_OK;
}

static void copy_block(uint8_t *y, const uint8_t *x, int64_t size) {
    switch (size) {
        case 1: *y = *x; break;
        case 4: memcpy(y, x, 4); break;
        case 8: memcpy(y, x, 8); break;
        default: memcpy(y, x, (size_t)size); break;
    }
}

/* ---- Gather: y[o][i][:] = x[o][indices[i]][:] */

enum { BLOCK_SIZE, EXTENT, CHECKED }; /* node->state */

static void gather_blocks(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    const int64_t *state = wisp_legacy_of(call)->state;
    int64_t count = (int64_t)indices->count, size = state[BLOCK_SIZE], extent = state[EXTENT];
    uint8_t *y = wisp_output(call, 0)->data;
    for (int64_t i = begin; i < end; i++) {
        int64_t at = wisp_integer_at(indices, (uint64_t)(i % count));
        if (at < 0) at += extent;
        copy_block(y + i * size, (const uint8_t *)x->data + (i / count * extent + at) * size, size);
    }
}

static int run_gather(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    const int64_t *state = wisp_legacy_of(call)->state;
    if (!state[CHECKED]) {
        int status = check_indices(call, wisp_input(call, 1), state[EXTENT]);
        if (status) return status;
    }
    if (y->count == 0) return WISP_OK;
    wisp_parallel(call, (int64_t)y->size / state[BLOCK_SIZE], GRAIN_SIZE / state[BLOCK_SIZE] + 1, gather_blocks);
    return WISP_OK;
}

int wisp_prepare_Gather(wisp_call *call) {
    int64_t dims[2 * WISP_MAX_RANK], *state = wisp_legacy_of(call)->state;
    int rank = 0, status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    int axis = wisp_axis(WISP_PARAMS(call, Gather)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Gather)->axis);
    for (int i = 0; i < axis; i++) dims[rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims[rank++] = x->dims[i];
    state[BLOCK_SIZE] = (int64_t)(wisp_extent(x->dims, axis + 1, x->rank) * wisp_dtype_size(x->dtype));
    state[EXTENT] = x->dims[axis];
    if (wisp_value(indices)) { /* what can fail, fails here */
        if ((status = check_indices(call, indices, state[EXTENT]))) return status;
        state[CHECKED] = 1;
    }
    wisp_legacy_of(call)->run = run_gather;
    return wisp_set_output_wide(call, 0, x->dtype, rank, dims);
}

/* ---- GatherElements: y[i][j][k] = x[i][indices[i][j][k]][k] along the axis */

static int run_gather_elements(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *out = wisp_output(call, 0);
    int axis = wisp_axis(WISP_PARAMS(call, GatherElements)->axis, x->rank);
    int64_t xs[WISP_MAX_RANK], index[WISP_MAX_RANK] = {0}, size = (int64_t)wisp_dtype_size(x->dtype), base = 0;
    uint8_t *y = out->data;
    if (out->count == 0) return WISP_OK;
    wisp_strides(x->dims, x->rank, (size_t)size, xs);
    for (uint64_t i = 0; i < out->count; i++) {
        int64_t at = wisp_integer_at(indices, i);
        if (!in_range(at, x->dims[axis])) return wisp_call_fail_value(call, WISP_BAD_INDEX, "index out of range:", at);
        if (at < 0) at += x->dims[axis];
        copy_block(y + (int64_t)i * size, (const uint8_t *)x->data + base + at * xs[axis], size);
        for (int k = x->rank - 1; k >= 0; k--) { /* base: of the output position, the axis left out */
            int64_t stride = k == axis ? 0 : xs[k];
            base += stride;
            if (++index[k] < indices->dims[k]) break;
            base -= stride * index[k];
            index[k] = 0;
        }
    }
    return WISP_OK;
}

int wisp_prepare_GatherElements(wisp_call *call) {
    int status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    int axis = wisp_axis(WISP_PARAMS(call, GatherElements)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, GatherElements)->axis);
    if (indices->rank != x->rank) return wisp_call_fail(call, WISP_BAD_SHAPE, "data and indices must have the same rank");
    for (int i = 0; i < x->rank; i++)
        if (i != axis && indices->dims[i] > x->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices are longer than data along axis", i);
    wisp_legacy_of(call)->run = run_gather_elements;
    return wisp_set_output(call, 0, x->dtype, x->rank, indices->dims);
}

/* ---- GatherND: y[b][i][:] = x[b][indices[b][i][0]][indices[b][i][1]]...[:] */

static int run_gather_nd(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *out = wisp_output(call, 0);
    int batch_dims = WISP_PARAMS(call, GatherND)->batch_dims, depth = indices->dims[indices->rank - 1];
    int64_t xs[WISP_MAX_RANK], size = (int64_t)wisp_dtype_size(x->dtype);
    if (out->count == 0) return WISP_OK;
    wisp_strides(x->dims, x->rank, (size_t)size, xs);
    int64_t batches = (int64_t)wisp_extent(x->dims, 0, batch_dims);
    int64_t tuples = (int64_t)wisp_extent(indices->dims, batch_dims, indices->rank - 1);
    int64_t batch_size = (int64_t)wisp_extent(x->dims, batch_dims, x->rank) * size;
    int64_t block = (int64_t)wisp_extent(x->dims, batch_dims + depth, x->rank) * size;
    uint8_t *y = out->data;
    uint64_t next = 0;
    for (int64_t i = 0; i < batches * tuples; i++) {
        const uint8_t *from = (const uint8_t *)x->data + i / tuples * batch_size;
        for (int k = 0; k < depth; k++) {
            int64_t at = wisp_integer_at(indices, next++), extent = x->dims[batch_dims + k];
            if (!in_range(at, extent)) return wisp_call_fail_value(call, WISP_BAD_INDEX, "index out of range:", at);
            from += (at < 0 ? at + extent : at) * xs[batch_dims + k];
        }
        copy_block(y + i * block, from, block);
    }
    return WISP_OK;
}

int wisp_prepare_GatherND(wisp_call *call) {
    int64_t dims[2 * WISP_MAX_RANK];
    int rank = 0, status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    int32_t batch_dims = WISP_PARAMS(call, GatherND)->batch_dims;
    if (indices->rank < 1 || batch_dims < 0 || batch_dims >= indices->rank || batch_dims >= x->rank)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "ranks do not allow batch_dims", batch_dims);
    int32_t depth = indices->dims[indices->rank - 1];
    if (depth < 1 || depth > x->rank - batch_dims)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data has too few axes for tuples of", depth);
    for (int i = 0; i < batch_dims; i++)
        if (x->dims[i] != indices->dims[i]) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data and indices differ along axis", i);
    for (int i = 0; i < indices->rank - 1; i++) dims[rank++] = indices->dims[i];
    for (int i = batch_dims + depth; i < x->rank; i++) dims[rank++] = x->dims[i];
    wisp_legacy_of(call)->run = run_gather_nd;
    return wisp_set_output_wide(call, 0, x->dtype, rank, dims);
}

WISP_LEGACY(Gather)
WISP_LEGACY(GatherElements)
WISP_LEGACY(GatherND)
