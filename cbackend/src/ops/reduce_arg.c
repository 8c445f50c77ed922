/* ArgMax and ArgMin. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

typedef struct arg_plan {
    reduction r;
    axis_view axis;
    wisp_reduce_f32_fn *extreme; /* f32: finds the values, which are then looked for */
    wisp_sum_f32_fn *kernel;     /* that it calls */
    bool max, last;              /* last: of equal ones */
} arg_plan;

/* Where the extreme, found before, lies among the n elements at x, x + stride, ... */
static int64_t search_f32(const float *x, int64_t n, int64_t stride, float extreme, bool last) {
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = last ? n - 1 - i : i;
        const float v = x[at * stride];
        if (v == extreme || v != v) return at;
    }
    return 0;
}

static int64_t offset_of(const axis_view *v, int64_t i) {
    return i / v->inner * v->n * v->inner + i % v->inner;
}

/* A block of neighbouring outputs at once. */
static void range_f32(const arg_plan *p, const float *x, int64_t begin, int64_t end, int64_t *y) {
    float extreme[REDUCE_COLUMNS];
    for (int64_t i = begin, n; i < end; i += n) {
        const int64_t column = i % p->r.columns, rest = p->r.columns - column;
        n = rest < end - i ? rest : end - i;
        if (n > REDUCE_COLUMNS) n = REDUCE_COLUMNS;
        p->extreme(&p->r, p->kernel, x + wisp_outer_offset(&p->r, i / p->r.columns) + column, n, extreme);
        for (int64_t j = 0; j < n; j++)
            y[i + j] = search_f32(x + offset_of(&p->axis, i + j), p->axis.n, p->axis.inner, extreme[j], p->last);
    }
}

static int compare(int kind, wide a, wide b) {
    if (kind == WIDE_FLOAT) return (a.f > b.f) - (a.f < b.f);
    return kind == WIDE_SIGNED ? (a.s > b.s) - (a.s < b.s) : (a.u > b.u) - (a.u < b.u);
}

/* Whether `candidate` takes the place of `best`, which stands before it. */
static bool beats(const arg_plan *p, int kind, wide candidate, wide best) {
    if (kind == WIDE_FLOAT && best.f != best.f) return p->last && candidate.f != candidate.f;
    if (kind == WIDE_FLOAT && candidate.f != candidate.f) return true;
    const int order = p->max ? compare(kind, candidate, best) : compare(kind, best, candidate);
    return order > 0 || (p->last && order == 0);
}

static int64_t arg_wide(const arg_plan *p, int dtype, const uint8_t *x) {
    const ptrdiff_t stride = (ptrdiff_t)p->axis.inner * (ptrdiff_t)wisp_dtype_size(dtype);
    const int kind = wisp_wide_kind(dtype);
    int64_t at = 0;
    wide best, candidate;
    wisp_wide_load(dtype, x, 1, 1, &best);
    for (int64_t i = 1; i < p->axis.n; i++) {
        wisp_wide_load(dtype, x + i * stride, 1, 1, &candidate);
        if (!beats(p, kind, candidate, best)) continue;
        best = candidate;
        at = i;
    }
    return at;
}

static void range_arg(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const arg_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0);
    int64_t *y = wisp_output(call, 0)->data;
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    (void)thread;
    if (WISP_FLOAT && x->dtype == WISP_F32)
        range_f32(p, x->data, begin, end, y);
    else
        for (int64_t i = begin; i < end; i++) y[i] = arg_wide(p, x->dtype, (const uint8_t *)x->data + offset_of(&p->axis, i) * size);
}

/* Quantized inputs keep their order, so their stored values serve. Both operators have the parameters of ArgMax. */
static int plan_arg(wisp_call *call, bool max, wisp_reduce_f32_fn *extreme, wisp_sum_f32_fn *kernel) {
    const wisp_ArgMax_params *p = WISP_PARAMS(call, ArgMax);
    arg_plan *plan = call->plan;
    const int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
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
    const int64_t count = (int64_t)wisp_extent(dims, 0, rank);
    if (x->dims[axis] == 0 && count) return wisp_call_fail(call, WISP_BAD_SHAPE, "the axis is empty");
    *plan = (arg_plan){.axis = view_axis(x, axis), .extreme = extreme, .kernel = kernel, .max = max, .last = p->select_last_index != 0};
    wisp_plan_reduction(x, (int64_t)1 << axis, &plan->r);
    wisp_set_work(call, count, reduce_grain(4 * (int64_t)x->dims[axis]), 1);
    return wisp_set_output(call, 0, WISP_S64, rank, dims);
}

static int plan_max(wisp_call *call) {
    return plan_arg(call, true, wisp_max_columns_f32, WISP_KERNEL(call, max_f32));
}
static int plan_min(wisp_call *call) {
    return plan_arg(call, false, wisp_min_columns_f32, NULL);
}

const wisp_operator wisp_op_ArgMax = {.plan = plan_max, .range = range_arg, .plan_size = sizeof(arg_plan)};
const wisp_operator wisp_op_ArgMin = {.plan = plan_min, .range = range_arg, .plan_size = sizeof(arg_plan)};
