/* Operators that only give a tensor another shape, and those that read one: Reshape, Squeeze, Shape, Size and their like. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shape.h"

#include <string.h>

/* ---- shared by the family */

void wisp_strides(const int32_t *dims, int rank, size_t size, int64_t *strides) {
    uint64_t stride = size;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = (int64_t)stride;
        stride *= (uint64_t)dims[i];
    }
}

int wisp_set_output_wide(wisp_call *call, uint32_t i, int dtype, int rank, const int64_t *dims) {
    int32_t narrow[WISP_MAX_RANK];
    if (rank > WISP_MAX_RANK) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "more than 8 axes in output", i);
    for (int d = 0; d < rank; d++) {
        if (dims[d] < 0 || dims[d] > INT32_MAX)
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "output cannot have an extent of", dims[d]);
        narrow[d] = (int32_t)dims[d];
    }
    return wisp_set_output(call, i, dtype, rank, narrow);
}

bool wisp_is_integers(const wisp_tensor *t) {
    return t->rank <= 1 && t->layout == WISP_LAYOUT_PLAIN && (t->dtype == WISP_S32 || t->dtype == WISP_S64);
}

bool wisp_axis_mask(const wisp_tensor *axes, int rank, bool *mask) {
    for (int i = 0; i < rank; i++) mask[i] = !axes;
    for (uint64_t i = 0; axes && i < axes->count; i++) {
        int axis = wisp_axis(wisp_integer_at(axes, i), rank);
        if (axis < 0 || mask[axis]) return false;
        mask[axis] = true;
    }
    return true;
}

size_t wisp_movable_size(wisp_call *call, const wisp_tensor *x) {
    size_t size = wisp_dtype_size(x->dtype);
    if (size == 0 || size > 8 || x->layout != WISP_LAYOUT_PLAIN) {
        wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot move elements of dtype", x->dtype);
        return 0;
    }
    return size;
}

int wisp_check_index_dtype(wisp_call *call, const wisp_tensor *t) {
    if ((t->dtype == WISP_S32 || t->dtype == WISP_S64) && t->layout == WISP_LAYOUT_PLAIN) return WISP_OK;
    return wisp_call_fail_value(call, WISP_UNSUPPORTED, "indices cannot have dtype", t->dtype);
}

int wisp_check_indices(wisp_call *call, const wisp_tensor *indices, const int32_t *extents, int depth) {
    for (uint64_t i = 0, k = 0; i < indices->count; i++, k = k + 1 < (uint64_t)depth ? k + 1 : 0) {
        const int64_t at = wisp_integer_at(indices, i), extent = extents[k];
        if (at < -extent || at >= extent) return wisp_call_fail_value(call, WISP_BAD_INDEX, "index out of range:", at);
    }
    return WISP_OK;
}

/* ---- same elements, another shape: the session lets output and input share memory where it can, else they are copied */

static void copy_all(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    (void)thread, (void)begin, (void)end;
    if (x->data != y->data) memcpy(y->data, x->data, (size_t)y->size);
}

static int plan_copy(wisp_call *call, int rank, const int64_t *dims) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    int status = wisp_set_output_wide(call, 0, x->dtype, rank, dims);
    if (status) return status;
    if (x->count != y->count) return wisp_call_fail(call, WISP_BAD_SHAPE, "the new shape has another number of elements");
    wisp_set_work(call, y->size > 0, 1, 1);
    return WISP_OK;
}

/* Fills the extent given as -1. Other extents are >= 0. */
static bool fill_inferred(const wisp_tensor *x, int rank, int64_t *dims) {
    uint64_t known = 1;
    int inferred = -1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < -1 || dims[i] > INT32_MAX) return false;
        if (dims[i] == -1) {
            if (inferred >= 0) return false;
            inferred = i;
        } else if (x->count) {
            known *= (uint64_t)dims[i];
            if (known > x->count) return false;
        } else if (!dims[i]) {
            known = 0;
        }
    }
    if (inferred < 0) return true; /* whether the counts agree is checked with the output */
    if (known == 0 || x->count % known) return false;
    dims[inferred] = (int64_t)(x->count / known);
    return true;
}

static int plan_reshape(wisp_call *call) {
    const wisp_Reshape_params *p = WISP_PARAMS(call, Reshape);
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status) return status;
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *shape = wisp_input(call, 1);
    if (shape && !wisp_is_integers(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers");
    const uint64_t rank = shape ? shape->count : p->shape.count;
    if (rank > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the new shape");
    for (int i = 0; i < (int)rank; i++) {
        dims[i] = shape ? wisp_integer_at(shape, (uint64_t)i) : wisp_ints_of(call, p->shape)[i];
        if (dims[i] != 0 || p->allowzero) continue;
        if (i >= x->rank) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "the new shape copies an axis the input lacks:", i);
        dims[i] = x->dims[i];
    }
    if (!fill_inferred(x, (int)rank, dims)) return wisp_call_fail(call, WISP_BAD_SHAPE, "the new shape does not fit the input");
    return plan_copy(call, (int)rank, dims);
}

const wisp_operator wisp_op_Reshape = {.plan = plan_reshape, .range = copy_all};

static int plan_identity(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    return plan_copy(call, x->rank, dims);
}

const wisp_operator wisp_op_Identity = {.plan = plan_identity, .range = copy_all};

static int plan_bitcast(wisp_call *call) {
    const int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const size_t size = wisp_movable_size(call, x);
    if (!size) return WISP_UNSUPPORTED;
    if (size != wisp_dtype_size(y->dtype)) return wisp_call_fail(call, WISP_BAD_FILE, "the dtypes have different sizes");
    wisp_set_work(call, x->size > 0, 1, 1);
    return wisp_set_output(call, 0, y->dtype, x->rank, x->dims); /* the file states the type */
}

const wisp_operator wisp_op_BitCast = {.plan = plan_bitcast, .range = copy_all};

static int check_axes(wisp_call *call, const wisp_tensor *axes, int rank, bool *mask) {
    int status = wisp_wait_for(call, 1, 1);
    if (status) return status;
    if (axes && !wisp_is_integers(axes)) return wisp_call_fail(call, WISP_UNSUPPORTED, "axes must be integers");
    if (!wisp_axis_mask(axes, rank, mask)) return wisp_call_fail(call, WISP_BAD_SHAPE, "axes are out of range or repeat");
    return WISP_OK;
}

static int plan_squeeze(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    bool mask[WISP_MAX_RANK];
    int rank = 0, status = wisp_check_operands(call, 1, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    if ((status = check_axes(call, axes, x->rank, mask))) return status;
    for (int i = 0; i < x->rank; i++) {
        if (mask[i] && x->dims[i] == 1) continue;
        if (mask[i] && axes) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "cannot squeeze an axis of extent", x->dims[i]);
        dims[rank++] = x->dims[i];
    }
    return plan_copy(call, rank, dims);
}

const wisp_operator wisp_op_Squeeze = {.plan = plan_squeeze, .range = copy_all};

static int plan_unsqueeze(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    bool mask[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    if (axes->count > WISP_MAX_RANK || x->rank + axes->count > WISP_MAX_RANK)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the output");
    int rank = x->rank + (int)axes->count;
    if ((status = check_axes(call, axes, rank, mask))) return status;
    for (int i = 0, from = 0; i < rank; i++) dims[i] = mask[i] ? 1 : x->dims[from++];
    return plan_copy(call, rank, dims);
}

const wisp_operator wisp_op_Unsqueeze = {.plan = plan_unsqueeze, .range = copy_all};

static int plan_flatten(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    int64_t axis = WISP_PARAMS(call, Flatten)->axis, dims[2] = {1, 1};
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis > x->rank) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", axis);
    for (int i = 0; i < x->rank; i++) {
        int64_t *d = &dims[i >= axis];
        *d *= x->dims[i];
        if (*d > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "the flattened axes are too long");
    }
    return plan_copy(call, 2, dims);
}

const wisp_operator wisp_op_Flatten = {.plan = plan_flatten, .range = copy_all};

/* ---- shapes as values */

typedef struct shape_plan {
    int32_t first; /* axis */
} shape_plan;

static int64_t clamp_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

static int plan_shape(wisp_call *call) {
    shape_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const int rank = wisp_input(call, 0)->rank;
    const int64_t start = clamp_axis(WISP_PARAMS(call, Shape)->start, rank), end = clamp_axis(WISP_PARAMS(call, Shape)->end, rank);
    const int32_t count = end > start ? (int32_t)(end - start) : 0;
    plan->first = (int32_t)start;
    wisp_set_work(call, count > 0, 1, 1);
    return wisp_set_output(call, 0, WISP_S64, 1, &count);
}

static void range_shape(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const shape_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t *out = y->data;
    (void)thread, (void)begin, (void)end;
    for (uint64_t i = 0; i < y->count; i++) out[i] = x->dims[plan->first + (int64_t)i];
}

const wisp_operator wisp_op_Shape = {.plan = plan_shape, .range = range_shape, .plan_size = sizeof(shape_plan)};

static int plan_size(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    wisp_set_work(call, 1, 1, 1);
    return wisp_set_output(call, 0, WISP_S64, 0, wisp_input(call, 0)->dims);
}

static void range_size(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread, (void)begin, (void)end;
    *(int64_t *)wisp_output(call, 0)->data = (int64_t)wisp_input(call, 0)->count;
}

const wisp_operator wisp_op_Size = {.plan = plan_size, .range = range_size};
