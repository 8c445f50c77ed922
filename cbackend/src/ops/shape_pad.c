/* Pad: constant, reflect, edge, wrap; negative pads cut. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { CONSTANT, REFLECT, EDGE, WRAP };

typedef struct pad_plan {
    int64_t row_size;              /* bytes of the axes behind the last padded one */
    int32_t before[WISP_MAX_RANK]; /* pads in front of each axis; negative ones cut */
    int32_t axis;                  /* the last padded one */
    int32_t mode;
} pad_plan;

/* Where position i of the padded axis lies in the input; -1: outside. extent > 0 unless mode is CONSTANT. */
static int64_t source(int64_t i, int64_t begin, int64_t extent, int mode) {
    int64_t at = i - begin;
    if (at >= 0 && at < extent) return at;
    switch (mode) {
        case CONSTANT: return -1;
        case EDGE: return at < 0 ? 0 : extent - 1;
        case WRAP: at %= extent; return at < 0 ? at + extent : at;
        default: break;
    }
    if (extent == 1) return 0;
    int64_t period = 2 * (extent - 1); /* reflections repeat: 0 1 2 1 | 0 1 2 1 */
    at %= period;
    if (at < 0) at += period;
    return at < extent ? at : period - at;
}

/* One run along the last padded axis: `out` positions made of `in`; x null when outside. */
static void pad_row(const pad_plan *plan, uint8_t *y, int64_t out, const uint8_t *x, int64_t in, const uint8_t *value, int64_t element) {
    const int64_t size = plan->row_size, before = plan->before[plan->axis];
    if (!x) {
        wisp_fill(y, value, out * size / element, element);
        return;
    }
    int64_t from = before > 0 ? before : 0, to = before + in < out ? before + in : out; /* positions inside the input */
    if (from > out) from = out;
    if (to < from) to = from;
    if (plan->mode == CONSTANT) {
        wisp_fill(y, value, from * size / element, element);
        wisp_fill(y + to * size, value, (out - to) * size / element, element);
    } else {
        for (int64_t i = 0; i < from; i++) memcpy(y + i * size, x + source(i, before, in, plan->mode) * size, (size_t)size);
        for (int64_t i = to; i < out; i++) memcpy(y + i * size, x + source(i, before, in, plan->mode) * size, (size_t)size);
    }
    if (to > from) memcpy(y + from * size, x + (from - before) * size, (size_t)((to - from) * size));
}

static void range_pad(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    static const uint8_t zero[8] = {0};
    const pad_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0), *value = wisp_input(call, 2);
    const uint8_t *pad = value && value->count ? value->data : zero;
    const int axis = plan->axis;
    const int64_t in = x->dims[axis], out = y->dims[axis], element = (int64_t)wisp_dtype_size(x->dtype);
    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, at = 0, stride = 1;
        for (int i = axis - 1; i >= 0 && at >= 0; i--) {
            const int64_t p = source(rest % y->dims[i], plan->before[i], x->dims[i], plan->mode);
            at = p < 0 ? -1 : at + p * stride;
            rest /= y->dims[i];
            stride *= x->dims[i];
        }
        const uint8_t *from = at < 0 || in == 0 ? NULL : (const uint8_t *)x->data + at * in * plan->row_size;
        pad_row(plan, (uint8_t *)y->data + row * out * plan->row_size, out, from, in, pad, element);
    }
}

/* Fills pads and output extents; false when they make no sense. */
static bool read_pads(wisp_call *call, pad_plan *plan, int64_t *dims) {
    const wisp_tensor *x = wisp_input(call, 0), *pads = wisp_input(call, 1), *axes = wisp_input(call, 3);
    uint64_t count = axes ? axes->count : x->rank;
    bool mask[WISP_MAX_RANK];
    if (pads->count != 2 * count || !wisp_axis_mask(axes, x->rank, mask)) return false;
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    for (uint64_t i = 0; i < count; i++) {
        int axis = axes ? wisp_axis(wisp_integer_at(axes, i), x->rank) : (int)i;
        int64_t before = wisp_integer_at(pads, i), after = wisp_integer_at(pads, count + i);
        if (before < INT32_MIN || before > INT32_MAX || after < INT32_MIN || after > INT32_MAX) return false;
        plan->before[axis] = (int32_t)before;
        dims[axis] += before + after;
        if (dims[axis] < 0) return false;
        if (plan->mode != CONSTANT && x->dims[axis] == 0 && dims[axis] > 0) return false;
    }
    return true;
}

static int plan_pad(wisp_call *call) {
    pad_plan *plan = call->plan;
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 4, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *value = wisp_input(call, 2), *axes = wisp_input(call, 3), *y = wisp_output(call, 0);
    int32_t mode = WISP_PARAMS(call, Pad)->mode;
    size_t size = wisp_movable_size(call, x);
    if (!size) return WISP_UNSUPPORTED;
    if (x->rank == 0) return wisp_call_fail(call, WISP_UNSUPPORTED, "a scalar has no axis to pad");
    if (mode < CONSTANT || mode > WRAP) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such mode:", mode);
    if (value && (value->count > 1 || value->dtype != x->dtype || value->layout != WISP_LAYOUT_PLAIN))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the pad value must be one element of the input's dtype");
    if ((status = wisp_wait_for(call, 1, 1)) || (status = wisp_wait_for(call, 3, 3))) return status;
    if (!wisp_is_integers(wisp_input(call, 1)) || (axes && !wisp_is_integers(axes)))
        return wisp_call_fail(call, WISP_UNSUPPORTED, "pads and axes must be integers");
    plan->mode = mode;
    if (!read_pads(call, plan, dims)) return wisp_call_fail(call, WISP_BAD_SHAPE, "pads do not fit the input");
    for (int i = 0; i < x->rank; i++)
        if (plan->before[i] || dims[i] != x->dims[i]) plan->axis = i;
    plan->row_size = (int64_t)(wisp_extent(x->dims, plan->axis + 1, x->rank) * size);
    if ((status = wisp_set_output_wide(call, 0, x->dtype, x->rank, dims)) || !y->count) return status;
    wisp_set_work(call, (int64_t)wisp_extent(y->dims, 0, plan->axis), wisp_move_grain(y->dims[plan->axis] * plan->row_size), 1);
    return WISP_OK;
}

const wisp_operator wisp_op_Pad = {.plan = plan_pad, .range = range_pad, .plan_size = sizeof(pad_plan)};
