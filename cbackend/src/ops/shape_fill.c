/* Tensors made from little: ConstantOfShape, Range, OneHot, EyeLike, and the triangle Trilu keeps. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "shape.h"

/* ---- ConstantOfShape: shape, value (one element; its dtype is the output's) */

static int run_constant_of_shape(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0), *value = wisp_input(call, 1);
    wisp_fill(y->data, value->data, (int64_t)y->count, (int64_t)wisp_dtype_size(y->dtype));
    return WISP_OK;
}

int wisp_prepare_ConstantOfShape(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *shape = wisp_input(call, 0), *value = wisp_input(call, 1);
    if (!wisp_movable_size(call, value)) return WISP_UNSUPPORTED;
    if (value->count != 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "the value must be one element");
    if (!wisp_is_known_vector(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers known at prepare");
    if (shape->count > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the shape");
    for (uint64_t i = 0; i < shape->count; i++) dims[i] = wisp_integer_at(shape, i);
    wisp_legacy_of(call)->run = run_constant_of_shape;
    return wisp_set_output_wide(call, 0, value->dtype, (int)shape->count, dims);
}

/* ---- Range: start, limit, delta known at prepare */

static int run_range(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0), *start = wisp_input(call, 0), *delta = wisp_input(call, 2);
    for (uint64_t i = 0; i < y->count; i++) {
        if (y->dtype == WISP_F32) {
            ((float *)y->data)[i] = *(const float *)start->data + (float)i * *(const float *)delta->data;
        } else {
            uint64_t v = (uint64_t)wisp_integer_at(start, 0) + i * (uint64_t)wisp_integer_at(delta, 0);
            if (y->dtype == WISP_S64)
                ((int64_t *)y->data)[i] = (int64_t)v;
            else
                ((int32_t *)y->data)[i] = (int32_t)(uint32_t)v;
        }
    }
    return WISP_OK;
}

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

int wisp_prepare_Range(wisp_call *call) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *start = wisp_input(call, 0), *limit = wisp_input(call, 1), *delta = wisp_input(call, 2);
    if (start->dtype != WISP_F32 && start->dtype != WISP_S32 && start->dtype != WISP_S64)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot count in dtype", start->dtype);
    for (uint32_t i = 0; i < 3; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t->dtype != start->dtype || t->count != 1 || t->layout != WISP_LAYOUT_PLAIN)
            return wisp_call_fail(call, WISP_BAD_SHAPE, "start, limit and delta must be scalars of one dtype");
        if (!wisp_value(t)) return wisp_call_fail(call, WISP_UNSUPPORTED, "start, limit and delta must be known at prepare");
    }
    int64_t count = count_range(start, limit, delta);
    if (count < 0) return wisp_call_fail(call, WISP_BAD_SHAPE, "start, limit and delta give no range");
    wisp_legacy_of(call)->run = run_range;
    return wisp_set_output_wide(call, 0, start->dtype, 1, &count);
}

/* ---- OneHot: indices, depth (known at prepare), values {off, on} */

static int64_t index_at(const wisp_tensor *t, uint64_t i) {
    if (t->dtype != WISP_F32) return wisp_integer_at(t, i);
    float v = ((const float *)t->data)[i];
    return v >= -2147483648.0f && v < 2147483648.0f ? (int64_t)v : INT32_MIN;
}

static int run_one_hot(wisp_call *call) {
    const wisp_tensor *indices = wisp_input(call, 0), *values = wisp_input(call, 2), *y = wisp_output(call, 0);
    size_t size = wisp_dtype_size(y->dtype);
    int axis = (int)wisp_legacy_of(call)->state[0];
    int64_t inner = (int64_t)wisp_extent(y->dims, axis + 1, y->rank), depth = y->dims[axis];
    uint8_t *out = y->data;
    if (y->count == 0) return WISP_OK;
    wisp_fill(out, values->data, (int64_t)y->count, (int64_t)size);
    for (uint64_t i = 0; i < indices->count; i++) {
        int64_t at = index_at(indices, i), outer = (int64_t)i / inner;
        if (at < 0) at += depth;
        if (at < 0 || at >= depth) continue; /* out of range: all off */
        memcpy(out + ((outer * depth + at) * inner + (int64_t)i % inner) * (int64_t)size, (const uint8_t *)values->data + size, size);
    }
    return WISP_OK;
}

int wisp_prepare_OneHot(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK + 1];
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *indices = wisp_input(call, 0), *depth = wisp_input(call, 1), *values = wisp_input(call, 2);
    int rank = indices->rank + 1, axis = wisp_axis(WISP_PARAMS(call, OneHot)->axis, rank);
    if (!wisp_movable_size(call, values)) return WISP_UNSUPPORTED;
    if (values->count != 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "values must be {off, on}");
    if ((indices->dtype != WISP_F32 && indices->dtype != WISP_S32 && indices->dtype != WISP_S64) || indices->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "indices cannot have dtype", indices->dtype);
    if (!wisp_is_known_vector(depth) || depth->count != 1)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "depth must be an integer known at prepare");
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, OneHot)->axis);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? wisp_integer_at(depth, 0) : indices->dims[i > axis ? i - 1 : i];
    wisp_legacy_of(call)->state[0] = axis;
    wisp_legacy_of(call)->run = run_one_hot;
    return wisp_set_output_wide(call, 0, values->dtype, rank, dims);
}

/* ---- EyeLike: ones[k diagonal] in the shape of a matrix; second input {0, 1} carries the dtype */

static int run_eye_like(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0), *values = wisp_input(call, 1);
    size_t size = wisp_dtype_size(y->dtype);
    int64_t rows = y->dims[0], columns = y->dims[1], k = WISP_PARAMS(call, EyeLike)->k;
    wisp_fill(y->data, values->data, (int64_t)y->count, (int64_t)size);
    for (int64_t i = 0; i < rows; i++)
        if (i + k >= 0 && i + k < columns)
            memcpy((uint8_t *)y->data + (i * columns + i + k) * (int64_t)size, (const uint8_t *)values->data + size, size);
    return WISP_OK;
}

int wisp_prepare_EyeLike(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *values = wisp_input(call, 1);
    if (!wisp_movable_size(call, values)) return WISP_UNSUPPORTED;
    if (x->rank != 2 || values->count != 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "a matrix and the values {0, 1} are needed");
    wisp_legacy_of(call)->run = run_eye_like;
    return wisp_set_output(call, 0, values->dtype, 2, x->dims);
}

/* ---- Trilu: x, k (a scalar, read when it runs; left out: 0) */

static int run_trilu(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *offset = wisp_input(call, 1), *y = wisp_output(call, 0);
    int64_t size = (int64_t)wisp_dtype_size(x->dtype), rows = x->dims[x->rank - 2], columns = x->dims[x->rank - 1];
    int64_t k = offset ? wisp_integer_at(offset, 0) : 0;
    if (y->count == 0) return WISP_OK;
    if (k > columns) k = columns; /* beyond: the same triangle, and no overflow below */
    if (k < -rows) k = -rows;
    for (int64_t row = 0; row < (int64_t)y->count / columns; row++) {
        const uint8_t *from = (const uint8_t *)x->data + row * columns * size;
        uint8_t *to = (uint8_t *)y->data + row * columns * size;
        int upper = WISP_PARAMS(call, Trilu)->upper != 0;
        int64_t first = row % rows + k + !upper; /* upper keeps [first, columns), lower [0, first) */
        first = first < 0 ? 0 : first > columns ? columns : first;
        int64_t begin = upper ? first : 0, end = upper ? columns : first;
        memset(to, 0, (size_t)(begin * size));
        if (to != from) memcpy(to + begin * size, from + begin * size, (size_t)((end - begin) * size));
        memset(to + end * size, 0, (size_t)((columns - end) * size));
    }
    return WISP_OK;
}

int wisp_prepare_Trilu(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *k = wisp_input(call, 1);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if (x->rank < 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "matrices are needed");
    if (k && (k->count != 1 || (k->dtype != WISP_S64 && k->dtype != WISP_S32)))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "k must be an integer scalar");
    wisp_legacy_of(call)->run = run_trilu;
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

WISP_LEGACY(ConstantOfShape)
WISP_LEGACY(Range)
WISP_LEGACY(OneHot)
WISP_LEGACY(EyeLike)
WISP_LEGACY(Trilu)
