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
    if ((status = wisp_check_index_dtype(call, indices))) return status;
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

/* Phases: the data is copied, all threads done with it before the first update. Where updates may meet at one element, one
 * thread applies both, in their order: the result is that of one thread, whatever the reduction. */
enum { COPY, UPDATE, PHASES };

static void set_work(wisp_call *call, int64_t items, int64_t grain) {
    if (wisp_input(call, 0)->size) wisp_set_work(call, items, grain, PHASES);
}

/* The share of items [begin, end) in the copy. */
static void copy_share(const wisp_call *call, int64_t items, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t total = (int64_t)y->size, share = (total + items - 1) / items;
    const int64_t from = begin * share, to = end * share < total ? end * share : total;
    if (from < to) memcpy((uint8_t *)y->data + from, (const uint8_t *)x->data + from, (size_t)(to - from));
}

/* ---- ScatterElements: y[i][indices[i][j][k]][k] = updates[i][j][k] along the axis */

typedef struct elements_plan {
    int64_t x_stride[WISP_MAX_RANK]; /* bytes */
    int64_t items;
    int32_t axis;
    int32_t split; /* another axis, whose extents are the items: updates of two of them never meet. -1: there is none */
    bool checked;
} elements_plan;

static int plan_scatter_elements(wisp_call *call) {
    elements_plan *plan = call->plan;
    int status = check_scatter(call, WISP_PARAMS(call, ScatterElements)->reduction);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    const int axis = wisp_axis(WISP_PARAMS(call, ScatterElements)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, ScatterElements)->axis);
    if (indices->rank != x->rank || updates->rank != x->rank)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "data, indices and updates must have the same rank");
    plan->axis = axis, plan->split = -1;
    for (int i = 0; i < x->rank; i++) {
        if (indices->dims[i] != updates->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices and updates differ along axis", i);
        if (i != axis && indices->dims[i] > x->dims[i])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "indices are longer than data along axis", i);
        if (i != axis && (plan->split < 0 || indices->dims[i] > indices->dims[plan->split])) plan->split = i;
    }
    plan->checked = wisp_value(indices);
    if (plan->checked && (status = wisp_check_indices(call, indices, &x->dims[axis], 1))) return status;
    wisp_strides(x->dims, x->rank, wisp_dtype_size(x->dtype), plan->x_stride);
    enum { GRAIN = 8192 }; /* updates worth a thread */
    plan->items = indices->count && plan->split >= 0 ? indices->dims[plan->split] : 1;
    set_work(call, plan->items, 1 + GRAIN * plan->items / (int64_t)(indices->count + 1));
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

static int begin_scatter_elements(wisp_call *call) {
    const elements_plan *plan = call->plan;
    return plan->checked ? WISP_OK : wisp_check_indices(call, wisp_input(call, 1), &wisp_input(call, 0)->dims[plan->axis], 1);
}

/* Every update whose position along `split` is in [begin, end), in row-major order. */
static void update_elements(const wisp_call *call, int64_t begin, int64_t end) {
    const elements_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype), extent = x->dims[plan->axis];
    const int32_t reduction = WISP_PARAMS(call, ScatterElements)->reduction;
    int64_t first[WISP_MAX_RANK] = {0}, last[WISP_MAX_RANK], index[WISP_MAX_RANK], step[WISP_MAX_RANK], i = 0, base = 0;
    uint8_t *y = wisp_output(call, 0)->data;
    wisp_strides(indices->dims, x->rank, 1, step);
    for (int k = 0; k < x->rank; k++) last[k] = indices->dims[k];
    if (plan->split >= 0) first[plan->split] = begin, last[plan->split] = end;
    for (int k = 0; k < x->rank; k++) {
        index[k] = first[k];
        i += index[k] * step[k];
        if (k != plan->axis) base += index[k] * plan->x_stride[k];
    }
    for (;;) {
        const int64_t at = wisp_index_at(indices, (uint64_t)i, extent);
        apply(y + base + at * plan->x_stride[plan->axis], (const uint8_t *)updates->data + i * size, 1, x->dtype, reduction);
        int k = x->rank - 1;
        for (; k >= 0; k--) { /* base: of the position of the index, the axis left out */
            const int64_t stride = k == plan->axis ? 0 : plan->x_stride[k];
            i += step[k], base += stride;
            if (++index[k] < last[k]) break;
            i -= step[k] * (last[k] - first[k]), base -= stride * (last[k] - first[k]);
            index[k] = first[k];
        }
        if (k < 0) return;
    }
}

static void range_scatter_elements(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const elements_plan *plan = call->plan;
    (void)thread;
    if (call->phase == COPY)
        copy_share(call, plan->items, begin, end);
    else if (wisp_input(call, 1)->count)
        update_elements(call, begin, end);
}

const wisp_operator wisp_op_ScatterElements = {
    .plan = plan_scatter_elements, .begin = begin_scatter_elements, .range = range_scatter_elements, .plan_size = sizeof(elements_plan)};

/* ---- ScatterND: y[indices[i][0]][indices[i][1]]...[:] = updates[i][:] */

typedef struct nd_plan {
    int64_t x_stride[WISP_MAX_RANK]; /* bytes */
    int64_t tuples, block;           /* block: elements of an update, which are the items */
    int32_t depth;
    bool checked;
} nd_plan;

static int plan_scatter_nd(wisp_call *call) {
    nd_plan *plan = call->plan;
    int status = check_scatter(call, WISP_PARAMS(call, ScatterND)->reduction);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    const int32_t depth = indices->rank < 1 ? -1 : indices->dims[indices->rank - 1];
    if (depth < 0 || depth > x->rank) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "data has too few axes for tuples of", depth);
    const int lead = indices->rank - 1;
    if (updates->rank != lead + x->rank - depth) return wisp_call_fail(call, WISP_BAD_SHAPE, "updates have the wrong rank");
    for (int i = 0; i < updates->rank; i++)
        if (updates->dims[i] != (i < lead ? indices->dims[i] : x->dims[depth + i - lead]))
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "updates do not fit data and indices along axis", i);
    plan->checked = wisp_value(indices);
    if (plan->checked && (status = wisp_check_indices(call, indices, x->dims, depth))) return status;
    wisp_strides(x->dims, x->rank, wisp_dtype_size(x->dtype), plan->x_stride);
    plan->depth = depth;
    plan->tuples = (int64_t)wisp_extent(indices->dims, 0, lead);
    plan->block = (int64_t)wisp_extent(x->dims, depth, x->rank);
    enum { GRAIN = 8192 }; /* elements worth a thread */
    set_work(call, plan->block, 1 + GRAIN / (plan->tuples + 1));
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

static int begin_scatter_nd(wisp_call *call) {
    const nd_plan *plan = call->plan;
    return plan->checked ? WISP_OK : wisp_check_indices(call, wisp_input(call, 1), wisp_input(call, 0)->dims, plan->depth);
}

static void range_scatter_nd(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const nd_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_input(call, 1), *updates = wisp_input(call, 2);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    uint64_t next = 0;
    (void)thread;
    if (call->phase == COPY) {
        copy_share(call, plan->block, begin, end);
        return;
    }
    for (int64_t i = 0; i < plan->tuples; i++) {
        uint8_t *to = (uint8_t *)wisp_output(call, 0)->data + begin * size;
        for (int k = 0; k < plan->depth; k++) to += wisp_index_at(indices, next++, x->dims[k]) * plan->x_stride[k];
        apply(to, (const uint8_t *)updates->data + (i * plan->block + begin) * size, end - begin, x->dtype,
              WISP_PARAMS(call, ScatterND)->reduction);
    }
}

const wisp_operator wisp_op_ScatterND = {
    .plan = plan_scatter_nd, .begin = begin_scatter_nd, .range = range_scatter_nd, .plan_size = sizeof(nd_plan)};
