/* Tensors made from little: ConstantOfShape, Range, OneHot, EyeLike, and the triangle Trilu keeps. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "shape.h"

enum { GRAIN = 16384 /* elements worth a thread */ };

/* ---- ConstantOfShape: shape, value (one element; its dtype is the output's) */

static int plan_constant_of_shape(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *shape = wisp_input(call, 0), *value = wisp_input(call, 1);
    if (!wisp_movable_size(call, value)) return WISP_UNSUPPORTED;
    if (value->count != 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "the value must be one element");
    if ((status = wisp_wait_for(call, 0, 0))) return status;
    if (!wisp_is_integers(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers");
    if (shape->count > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the shape");
    for (uint64_t i = 0; i < shape->count; i++) dims[i] = wisp_integer_at(shape, i);
    if ((status = wisp_set_output_wide(call, 0, value->dtype, (int)shape->count, dims))) return status;
    wisp_set_work(call, (int64_t)wisp_output(call, 0)->count, GRAIN, 1);
    return WISP_OK;
}

static void range_constant_of_shape(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(y->dtype);
    (void)thread;
    wisp_fill((uint8_t *)y->data + begin * size, wisp_input(call, 1)->data, end - begin, size);
}

const wisp_operator wisp_op_ConstantOfShape = {.plan = plan_constant_of_shape, .range = range_constant_of_shape};

/* ---- Range: start, limit, delta */

typedef struct range_plan {
    float start_f32, delta_f32;
    uint64_t start, delta; /* modulo 2^64 */
} range_plan;

/* Number of values, or -1 when there is none: delta 0, NaN, or more than an axis may have. */
static int64_t count_range(const wisp_tensor *start, const wisp_tensor *limit, const wisp_tensor *delta) {
    if (start->dtype == WISP_F32) {
        float n = ceilf((*(const float *)limit->data - *(const float *)start->data) / *(const float *)delta->data);
        if (*(const float *)delta->data == 0 || n != n || n >= 2147483648.0f) return -1;
        return n > 0 ? (int64_t)n : 0;
    }
    int64_t from = wisp_integer_at(start, 0), to = wisp_integer_at(limit, 0), step = wisp_integer_at(delta, 0);
    if (step == 0) return -1;
    if (step > 0 ? to <= from : to >= from) return 0;
    uint64_t distance = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t n = (distance - 1) / (step > 0 ? (uint64_t)step : 0 - (uint64_t)step) + 1;
    return n > INT32_MAX ? -1 : (int64_t)n;
}

static int plan_range(wisp_call *call) {
    range_plan *plan = call->plan;
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *start = wisp_input(call, 0), *limit = wisp_input(call, 1), *delta = wisp_input(call, 2);
    if (start->dtype != WISP_F32 && start->dtype != WISP_S32 && start->dtype != WISP_S64)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot count in dtype", start->dtype);
    for (uint32_t i = 0; i < 3; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t->dtype != start->dtype || t->count != 1 || t->layout != WISP_LAYOUT_PLAIN)
            return wisp_call_fail(call, WISP_BAD_SHAPE, "start, limit and delta must be scalars of one dtype");
    }
    if ((status = wisp_wait_for(call, 0, 2))) return status;
    int64_t count = count_range(start, limit, delta);
    if (count < 0) return wisp_call_fail(call, WISP_BAD_SHAPE, "start, limit and delta give no range");
    if (start->dtype == WISP_F32) {
        plan->start_f32 = *(const float *)start->data, plan->delta_f32 = *(const float *)delta->data;
    } else {
        plan->start = (uint64_t)wisp_integer_at(start, 0), plan->delta = (uint64_t)wisp_integer_at(delta, 0);
    }
    wisp_set_work(call, count, GRAIN, 1);
    return wisp_set_output_wide(call, 0, start->dtype, 1, &count);
}

static void range_range(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const range_plan *plan = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t v = plan->start + (uint64_t)i * plan->delta;
        if (y->dtype == WISP_F32)
            ((float *)y->data)[i] = plan->start_f32 + (float)(int32_t)i * plan->delta_f32;
        else if (y->dtype == WISP_S64)
            ((int64_t *)y->data)[i] = (int64_t)v;
        else
            ((int32_t *)y->data)[i] = (int32_t)(uint32_t)v;
    }
}

const wisp_operator wisp_op_Range = {.plan = plan_range, .range = range_range, .plan_size = sizeof(range_plan)};

/* ---- OneHot: indices, depth, values {off, on} */

typedef struct one_hot_plan {
    int64_t depth, inner; /* extents of the new axis, and of those after it together */
} one_hot_plan;

static int64_t index_at(const wisp_tensor *t, uint64_t i) {
    if (t->dtype != WISP_F32) return wisp_integer_at(t, i);
    float v = ((const float *)t->data)[i];
    return v >= -2147483648.0f && v < 2147483648.0f ? (int64_t)v : INT32_MIN;
}

/* Items are the extents before the new axis. */
static void range_one_hot(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const one_hot_plan *plan = call->plan;
    const wisp_tensor *indices = wisp_input(call, 0), *y = wisp_output(call, 0);
    const uint8_t *off = wisp_input(call, 2)->data;
    const int64_t size = (int64_t)wisp_dtype_size(y->dtype), inner = plan->inner, block = plan->depth * inner;
    (void)thread;
    for (int64_t outer = begin; outer < end; outer++) {
        uint8_t *out = (uint8_t *)y->data + outer * block * size;
        wisp_fill(out, off, block, size);
        for (int64_t i = 0; i < inner; i++) {
            int64_t at = index_at(indices, (uint64_t)(outer * inner + i));
            if (at < 0) at += plan->depth;
            if (at >= 0 && at < plan->depth) /* else all are off */
                memcpy(out + (at * inner + i) * size, off + size, (size_t)size);
        }
    }
}

static int plan_one_hot(wisp_call *call) {
    one_hot_plan *plan = call->plan;
    int64_t dims[WISP_MAX_RANK + 1];
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *indices = wisp_input(call, 0), *depth = wisp_input(call, 1), *values = wisp_input(call, 2);
    int rank = indices->rank + 1, axis = wisp_axis(WISP_PARAMS(call, OneHot)->axis, rank);
    if (!wisp_movable_size(call, values)) return WISP_UNSUPPORTED;
    if (values->count != 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "values must be {off, on}");
    if ((indices->dtype != WISP_F32 && indices->dtype != WISP_S32 && indices->dtype != WISP_S64) || indices->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "indices cannot have dtype", indices->dtype);
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    if (!wisp_is_integers(depth) || depth->count != 1) return wisp_call_fail(call, WISP_UNSUPPORTED, "depth must be an integer");
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, OneHot)->axis);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? wisp_integer_at(depth, 0) : indices->dims[i > axis ? i - 1 : i];
    if ((status = wisp_set_output_wide(call, 0, values->dtype, rank, dims))) return status;
    const wisp_tensor *y = wisp_output(call, 0);
    if (!y->count) return WISP_OK;
    plan->depth = y->dims[axis];
    plan->inner = (int64_t)wisp_extent(y->dims, axis + 1, rank);
    wisp_set_work(call, (int64_t)wisp_extent(y->dims, 0, axis),
                  wisp_move_grain(plan->depth * plan->inner * (int64_t)wisp_dtype_size(y->dtype)), 1);
    return WISP_OK;
}

const wisp_operator wisp_op_OneHot = {.plan = plan_one_hot, .range = range_one_hot, .plan_size = sizeof(one_hot_plan)};

/* ---- EyeLike: ones[k diagonal] in the shape of a matrix; second input {0, 1} carries the dtype */

static void range_eye_like(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *y = wisp_output(call, 0);
    const uint8_t *zero = wisp_input(call, 1)->data;
    const int64_t size = (int64_t)wisp_dtype_size(y->dtype), columns = y->dims[1], k = WISP_PARAMS(call, EyeLike)->k;
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        uint8_t *out = (uint8_t *)y->data + row * columns * size;
        wisp_fill(out, zero, columns, size);
        if (row + k >= 0 && row + k < columns) memcpy(out + (row + k) * size, zero + size, (size_t)size);
    }
}

static int plan_eye_like(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *values = wisp_input(call, 1);
    if (!wisp_movable_size(call, values)) return WISP_UNSUPPORTED;
    if (x->rank != 2 || values->count != 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "a matrix and the values {0, 1} are needed");
    wisp_set_work(call, x->dims[0], wisp_move_grain((int64_t)x->dims[1] * (int64_t)wisp_dtype_size(values->dtype)), 1);
    return wisp_set_output(call, 0, values->dtype, 2, x->dims);
}

const wisp_operator wisp_op_EyeLike = {.plan = plan_eye_like, .range = range_eye_like};

/* ---- Trilu: x, k (a scalar, read when it runs; left out: 0) */

/* Items are rows. y may be x. */
static void range_trilu(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *offset = wisp_input(call, 1), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype), rows = x->dims[x->rank - 2], columns = x->dims[x->rank - 1];
    const bool upper = WISP_PARAMS(call, Trilu)->upper != 0;
    int64_t k = offset ? wisp_integer_at(offset, 0) : 0;
    (void)thread;
    if (k > columns) k = columns; /* beyond: the same triangle, and no overflow below */
    if (k < -rows) k = -rows;
    for (int64_t row = begin; row < end; row++) {
        const uint8_t *from = (const uint8_t *)x->data + row * columns * size;
        uint8_t *to = (uint8_t *)y->data + row * columns * size;
        int64_t first = row % rows + k + !upper; /* upper keeps [first, columns), lower [0, first) */
        first = first < 0 ? 0 : first > columns ? columns : first;
        const int64_t kept = upper ? first : 0, kept_end = upper ? columns : first;
        memset(to, 0, (size_t)(kept * size));
        if (to != from) memcpy(to + kept * size, from + kept * size, (size_t)((kept_end - kept) * size));
        memset(to + kept_end * size, 0, (size_t)((columns - kept_end) * size));
    }
}

static int plan_trilu(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *k = wisp_input(call, 1);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if (x->rank < 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "matrices are needed");
    if (k && (k->count != 1 || (k->dtype != WISP_S64 && k->dtype != WISP_S32)))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "k must be an integer scalar");
    const int64_t columns = x->dims[x->rank - 1];
    if (x->count) wisp_set_work(call, (int64_t)x->count / columns, wisp_move_grain(columns * (int64_t)wisp_dtype_size(x->dtype)), 1);
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

const wisp_operator wisp_op_Trilu = {.plan = plan_trilu, .range = range_trilu};
