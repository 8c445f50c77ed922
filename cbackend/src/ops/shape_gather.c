/* Gather, GatherElements, GatherND: elements or blocks picked by indices from the data. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

/* Indices known while shapes are planned are checked there, others at the begin of each run. */
static int check_gather(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    if (!wisp_movable_size(call, wisp_input(call, 0))) return WISP_UNSUPPORTED;
    return wisp_check_index_dtype(call, wisp_input(call, 1));
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

typedef struct gather_plan {
    int64_t block_size; /* bytes of the axes behind the gathered one */
    int32_t extent;     /* of the gathered one */
    bool checked;
} gather_plan;

static int plan_gather(wisp_call *call) {
    gather_plan *plan = call->plan;
    int64_t dims[2 * WISP_MAX_RANK];
    int rank = 0, status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *y = wisp_output(call, 0);
    const int axis = wisp_axis(WISP_PARAMS(call, Gather)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Gather)->axis);
    for (int i = 0; i < axis; i++) dims[rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims[rank++] = x->dims[i];
    plan->block_size = (int64_t)(wisp_extent(x->dims, axis + 1, x->rank) * wisp_dtype_size(x->dtype));
    plan->extent = x->dims[axis];
    plan->checked = wisp_value(indices);
    if (plan->checked && (status = wisp_check_indices(call, indices, &plan->extent, 1))) return status;
    if ((status = wisp_set_output_wide(call, 0, x->dtype, rank, dims))) return status;
    if (y->count) wisp_set_work(call, (int64_t)y->size / plan->block_size, wisp_move_grain(plan->block_size), 1);
    return WISP_OK;
}

static int begin_gather(wisp_call *call) {
    const gather_plan *plan = call->plan;
    return plan->checked ? WISP_OK : wisp_check_indices(call, wisp_input(call, 1), &plan->extent, 1);
}

/* Items are blocks. */
static void range_gather(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const gather_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    const int64_t count = (int64_t)indices->count, size = plan->block_size;
    uint8_t *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = wisp_index_at(indices, (uint64_t)(i % count), plan->extent);
        copy_block(y + i * size, (const uint8_t *)x->data + (i / count * plan->extent + at) * size, size);
    }
}

const wisp_operator wisp_op_Gather = {.plan = plan_gather, .begin = begin_gather, .range = range_gather, .plan_size = sizeof(gather_plan)};

/* ---- GatherElements: y[i][j][k] = x[i][indices[i][j][k]][k] along the axis */

typedef struct elements_plan {
    int64_t x_stride[WISP_MAX_RANK]; /* bytes */
    int32_t axis;
    bool checked;
} elements_plan;

static int plan_gather_elements(wisp_call *call) {
    elements_plan *plan = call->plan;
    int status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    plan->axis = wisp_axis(WISP_PARAMS(call, GatherElements)->axis, x->rank);
    if (plan->axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, GatherElements)->axis);
    if (indices->rank != x->rank) return wisp_call_fail(call, WISP_BAD_SHAPE, "data and indices must have the same rank");
    for (int i = 0; i < x->rank; i++)
        if (i != plan->axis && indices->dims[i] > x->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices are longer than data along axis", i);
    plan->checked = wisp_value(indices);
    if (plan->checked && (status = wisp_check_indices(call, indices, &x->dims[plan->axis], 1))) return status;
    wisp_strides(x->dims, x->rank, wisp_dtype_size(x->dtype), plan->x_stride);
    enum { GRAIN = 8192 };
    wisp_set_work(call, (int64_t)indices->count, GRAIN, 1);
    return wisp_set_output(call, 0, x->dtype, x->rank, indices->dims);
}

static int begin_gather_elements(wisp_call *call) {
    const elements_plan *plan = call->plan;
    return plan->checked ? WISP_OK : wisp_check_indices(call, wisp_input(call, 1), &wisp_input(call, 0)->dims[plan->axis], 1);
}

/* Items are elements. */
static void range_gather_elements(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const elements_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype), extent = x->dims[plan->axis], axis_stride = plan->x_stride[plan->axis];
    int64_t index[WISP_MAX_RANK], base = 0, rest = begin; /* base: of the position in y, the axis left out */
    uint8_t *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int k = x->rank - 1; k >= 0; k--) {
        index[k] = rest % indices->dims[k];
        rest /= indices->dims[k];
        if (k != plan->axis) base += index[k] * plan->x_stride[k];
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = wisp_index_at(indices, (uint64_t)i, extent);
        copy_block(y + i * size, (const uint8_t *)x->data + base + at * axis_stride, size);
        for (int k = x->rank - 1; k >= 0; k--) {
            const int64_t stride = k == plan->axis ? 0 : plan->x_stride[k];
            base += stride;
            if (++index[k] < indices->dims[k]) break;
            base -= stride * index[k];
            index[k] = 0;
        }
    }
}

const wisp_operator wisp_op_GatherElements = {
    .plan = plan_gather_elements, .begin = begin_gather_elements, .range = range_gather_elements, .plan_size = sizeof(elements_plan)};

/* ---- GatherND: y[b][i][:] = x[b][indices[b][i][0]][indices[b][i][1]]...[:] */

typedef struct nd_plan {
    int64_t x_stride[WISP_MAX_RANK]; /* bytes; of the axes that tuples index */
    int64_t tuples, batch_size, block_size;
    int32_t depth, first; /* a tuple indexes the axes first .. first + depth - 1 */
    bool checked;
} nd_plan;

static int check_nd(wisp_call *call, nd_plan *plan) {
    int status = check_gather(call);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    const int32_t batch_dims = WISP_PARAMS(call, GatherND)->batch_dims;
    if (indices->rank < 1 || batch_dims < 0 || batch_dims >= indices->rank || batch_dims >= x->rank)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "ranks do not allow batch_dims", batch_dims);
    const int32_t depth = indices->dims[indices->rank - 1];
    if (depth < 1 || depth > x->rank - batch_dims)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data has too few axes for tuples of", depth);
    for (int i = 0; i < batch_dims; i++)
        if (x->dims[i] != indices->dims[i]) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data and indices differ along axis", i);
    plan->depth = depth, plan->first = batch_dims;
    return WISP_OK;
}

static int plan_gather_nd(wisp_call *call) {
    nd_plan *plan = call->plan;
    int64_t dims[2 * WISP_MAX_RANK], strides[WISP_MAX_RANK];
    int rank = 0, status = check_nd(call, plan);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *y = wisp_output(call, 0);
    const int first = plan->first, behind = first + plan->depth;
    for (int i = 0; i < indices->rank - 1; i++) dims[rank++] = indices->dims[i];
    for (int i = behind; i < x->rank; i++) dims[rank++] = x->dims[i];
    plan->checked = wisp_value(indices);
    if (plan->checked && (status = wisp_check_indices(call, indices, x->dims + first, plan->depth))) return status;
    if ((status = wisp_set_output_wide(call, 0, x->dtype, rank, dims)) || !y->count) return status;
    const size_t size = wisp_dtype_size(x->dtype);
    wisp_strides(x->dims, x->rank, size, strides);
    memcpy(plan->x_stride, strides + first, sizeof(int64_t) * (size_t)plan->depth);
    plan->tuples = (int64_t)wisp_extent(indices->dims, first, indices->rank - 1);
    plan->batch_size = (int64_t)(wisp_extent(x->dims, first, x->rank) * size);
    plan->block_size = (int64_t)(wisp_extent(x->dims, behind, x->rank) * size);
    wisp_set_work(call, (int64_t)y->size / plan->block_size, wisp_move_grain(plan->block_size), 1);
    return WISP_OK;
}

static int begin_gather_nd(wisp_call *call) {
    const nd_plan *plan = call->plan;
    return plan->checked ? WISP_OK : wisp_check_indices(call, wisp_input(call, 1), wisp_input(call, 0)->dims + plan->first, plan->depth);
}

/* Items are tuples, of all batches. */
static void range_gather_nd(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const nd_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1);
    uint8_t *y = wisp_output(call, 0)->data;
    uint64_t next = (uint64_t)begin * (uint64_t)plan->depth;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const uint8_t *from = (const uint8_t *)x->data + i / plan->tuples * plan->batch_size;
        for (int k = 0; k < plan->depth; k++) from += wisp_index_at(indices, next++, x->dims[plan->first + k]) * plan->x_stride[k];
        copy_block(y + i * plan->block_size, from, plan->block_size);
    }
}

const wisp_operator wisp_op_GatherND = {
    .plan = plan_gather_nd, .begin = begin_gather_nd, .range = range_gather_nd, .plan_size = sizeof(nd_plan)};
