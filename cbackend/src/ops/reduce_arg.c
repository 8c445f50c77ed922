/* ArgMax and ArgMin. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

enum { STATE_AXIS };

/* Whether x at a later index replaces `best`. The first NaN stays. */
ALWAYS_INLINE bool better_f32(bool max, bool last, float x, float best) {
    if (x != x || best != best) return x != x && (last || best == best);
    if (x == best) return last;
    return max ? x > best : x < best;
}

ALWAYS_INLINE int64_t arg_f32(bool max, bool last, const float *x, const axis_view *v) {
    int64_t at = 0;
    float best = x[0];
    for (int64_t i = 1; i < v->n; i++) {
        const float candidate = x[i * v->inner];
        if (!better_f32(max, last, candidate, best)) continue;
        best = candidate;
        at = i;
    }
    return at;
}

static int64_t arg_wide(bool max, bool last, int dtype, const uint8_t *x, const axis_view *v) {
    const ptrdiff_t stride = (ptrdiff_t)v->inner * (ptrdiff_t)wisp_dtype_size(dtype);
    const int kind = wisp_wide_kind(dtype);
    const int code = max ? (last ? OP_GreaterOrEqual : OP_Greater) : (last ? OP_LessOrEqual : OP_Less);
    int64_t at = 0;
    wide best, candidate;
    wisp_wide_load(dtype, x, 1, 1, &best);
    for (int64_t i = 1; i < v->n; i++) {
        wisp_wide_load(dtype, x + i * stride, 1, 1, &candidate);
        if (kind == WIDE_FLOAT && candidate.f != candidate.f ? !last && best.f != best.f : !wisp_wide_apply(kind, code, candidate, best).u)
            continue;
        best = candidate;
        at = i;
    }
    return at;
}

static void run_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_ArgMax_params *p = WISP_PARAMS(call, ArgMax);
    const wisp_tensor *x = wisp_input(call, 0);
    const bool max = call->node->code == OP_ArgMax, last = p->select_last_index != 0;
    const axis_view v = view_axis(x, (int)call->node->state[STATE_AXIS]);
    const size_t size = wisp_dtype_size(x->dtype);
    int64_t *y = wisp_output(call, 0)->data;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i / v.inner * v.n * v.inner + i % v.inner;
        const uint8_t *at = (const uint8_t *)x->data + (size_t)offset * size;
        if (x->dtype != WISP_F32)
            y[i] = arg_wide(max, last, x->dtype, at, &v);
        else if (last)
            y[i] = arg_f32(max, true, (const float *)(const void *)at, &v);
        else if (max)
            y[i] = arg_f32(true, false, (const float *)(const void *)at, &v);
        else
            y[i] = arg_f32(false, false, (const float *)(const void *)at, &v);
    }
}

static int run(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, reduce_grain(4 * (int64_t)x->dims[call->node->state[STATE_AXIS]]), run_range);
    return WISP_OK;
}

/* Quantized inputs keep their order, so their stored values serve. */
static int prepare(wisp_call *call) {
    const wisp_ArgMax_params *p = WISP_PARAMS(call, ArgMax);
    const int status = check_operands(call, 1, 1);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (wisp_wide_kind(x->dtype) == WIDE_NONE || x->dtype == WISP_BOOL) return wisp_refuse_dtype(call, x->dtype);
    if (x->scale < 0) return wisp_call_fail(call, WISP_BAD_FILE, "the scale is negative");
    const int axis = wisp_axis(p->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "axis out of range:", p->axis);
    int32_t dims[WISP_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (i != axis)
            dims[rank++] = x->dims[i];
        else if (p->keepdims)
            dims[rank++] = 1;
    }
    if (x->dims[axis] == 0 && wisp_extent(dims, 0, rank) != 0) return wisp_call_fail(call, WISP_BAD_SHAPE, "the axis is empty");
    call->node->state[STATE_AXIS] = axis;
    call->node->run = run;
    return wisp_set_output(call, 0, WISP_S64, rank, dims);
}

int wisp_prepare_ArgMax(wisp_call *call) {
    return prepare(call);
}
int wisp_prepare_ArgMin(wisp_call *call) {
    return prepare(call);
}
