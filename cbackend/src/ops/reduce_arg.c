/* ArgMax and ArgMin. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

enum { STATE_AXIS };

/* Where the extreme, found before, lies among the n elements at x, x + stride, ... */
static int64_t search_f32(const float *x, int64_t n, int64_t stride, float extreme, bool last) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = last ? n - 1 - i : i;
        const float v = x[at * stride];
        if (v == extreme || v != v) return at;
    }
    return 0;
}

/* Extremes come through the reductions' kernels, a block of neighbouring outputs at once. */
static void run_f32_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0);
    const axis_view v = view_axis(x, (int)wisp_legacy_of(call)->state[STATE_AXIS]);
    const bool last = WISP_PARAMS(call, ArgMax)->select_last_index != 0;
    const int code = call->code == OP_ArgMax ? OP_ReduceMax : OP_ReduceMin;
    float extreme[REDUCE_COLUMNS];
    reduction r;
    (void)thread;
    wisp_plan_reduction(x, (int64_t)1 << wisp_legacy_of(call)->state[STATE_AXIS], &r);
    for (int64_t i = begin, n; i < end; i += n) {
        const int64_t column = i % r.columns, left = r.columns - column;
        n = left < end - i ? left : end - i;
        if (n > REDUCE_COLUMNS) n = REDUCE_COLUMNS;
        wisp_reduce_f32(call->kernels, &r, code, x->data, i / r.columns, column, n, extreme);
        for (int64_t j = 0; j < n; j++) {
            const int64_t offset = (i + j) / v.inner * v.n * v.inner + (i + j) % v.inner;
            ((int64_t *)wisp_output(call, 0)->data)[i + j] = search_f32((const float *)x->data + offset, v.n, v.inner, extreme[j], last);
        }
    }
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

static void run_wide_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0);
    const bool max = call->code == OP_ArgMax, last = WISP_PARAMS(call, ArgMax)->select_last_index != 0;
    const axis_view v = view_axis(x, (int)wisp_legacy_of(call)->state[STATE_AXIS]);
    const size_t size = wisp_dtype_size(x->dtype);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i / v.inner * v.n * v.inner + i % v.inner;
        ((int64_t *)wisp_output(call, 0)->data)[i] = arg_wide(max, last, x->dtype, (const uint8_t *)x->data + (size_t)offset * size, &v);
    }
}

static int run(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, reduce_grain(4 * (int64_t)x->dims[wisp_legacy_of(call)->state[STATE_AXIS]]),
                  x->dtype == WISP_F32 ? run_f32_range : run_wide_range);
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
    wisp_legacy_of(call)->state[STATE_AXIS] = axis;
    wisp_legacy_of(call)->run = run;
    return wisp_set_output(call, 0, WISP_S64, rank, dims);
}

int wisp_prepare_ArgMax(wisp_call *call) {
    return prepare(call);
}
int wisp_prepare_ArgMin(wisp_call *call) {
    return prepare(call);
}

WISP_LEGACY(ArgMax)
WISP_LEGACY(ArgMin)
