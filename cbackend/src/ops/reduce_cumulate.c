/* CumSum and CumProd: running results along one axis. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

typedef struct cumulate_plan {
    axis_view axis;
    bool late; /* axis is found by begin: another node computes it during the run */
} cumulate_plan;

/* Both operators have the parameters of CumSum. Element i of an axis comes from its predecessor's result and, exclusive,
 * the predecessor's value, else its own. */
ALWAYS_INLINE void cumulate_f32(const wisp_CumSum_params *p, bool product, const axis_view *v, const float *x, float *y) {
    const int64_t step = p->reverse ? -v->inner : v->inner, first = p->reverse ? (v->n - 1) * v->inner : 0;
    x += first;
    y += first;
    for (int64_t j = 0; j < v->inner; j++) y[j] = !p->exclusive ? x[j] : product ? 1.0f : 0.0f;
    for (int64_t i = 1; i < v->n; i++) {
        const float *term = p->exclusive ? x : x + step, *before = y;
        x += step;
        y += step;
        for (int64_t j = 0; j < v->inner; j++) y[j] = product ? before[j] * term[j] : before[j] + term[j];
    }
}

static void cumulate_wide(const wisp_CumSum_params *p, bool product, const axis_view *v, int dtype, const uint8_t *x, uint8_t *y) {
    const int kind = wisp_wide_kind(dtype);
    const int64_t size = (int64_t)wisp_dtype_size(dtype);
    for (int64_t j = 0; j < v->inner; j++) {
        wide total = {.s = product}, term, sum;
        if (kind == WIDE_FLOAT) total.f = product ? 1 : 0;
        for (int64_t i = 0; i < v->n; i++) {
            const int64_t offset = ((p->reverse ? v->n - 1 - i : i) * v->inner + j) * size;
            wisp_wide_load(dtype, x + offset, 1, 1, &term);
            sum = product ? wide_multiply(kind, total, term) : wide_add(kind, total, term);
            wisp_wide_store(dtype, p->exclusive ? &total : &sum, 1, y + offset);
            total = sum;
        }
    }
}

ALWAYS_INLINE void range_cumulate(const wisp_call *call, bool product, int64_t begin, int64_t end) {
    const wisp_CumSum_params *p = WISP_PARAMS(call, CumSum);
    const axis_view *v = &((const cumulate_plan *)call->plan)->axis;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i * v->n * v->inner;
        if (x->dtype == WISP_F32)
            cumulate_f32(p, product, v, (const float *)x->data + offset, (float *)y->data + offset);
        else
            cumulate_wide(p, product, v, x->dtype, (const uint8_t *)x->data + offset * size, (uint8_t *)y->data + offset * size);
    }
}

/* `status`: of a wrong axis. */
static int set_axis(wisp_call *call, int status) {
    cumulate_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t stated = wisp_integer_at(wisp_input(call, 1), 0);
    const int axis = wisp_axis(stated, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, status, "axis out of range:", stated);
    plan->axis = view_axis(x, axis);
    wisp_set_work(call, x->count ? plan->axis.outer : 0, reduce_grain(plan->axis.n * plan->axis.inner), 1);
    return WISP_OK;
}

static int begin_cumulate(wisp_call *call) {
    return ((const cumulate_plan *)call->plan)->late ? set_axis(call, WISP_BAD_INDEX) : WISP_OK;
}

static int plan_cumulate(wisp_call *call) {
    cumulate_plan *plan = call->plan;
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status || (status = wisp_refuse_quantized(call, false))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axis = wisp_input(call, 1);
    if (wisp_wide_kind(x->dtype) == WIDE_NONE || x->dtype == WISP_BOOL) return wisp_refuse_dtype(call, x->dtype);
    if (axis->dtype != WISP_S32 && axis->dtype != WISP_S64) return wisp_refuse_dtype(call, axis->dtype);
    if (axis->count != 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes one axis");
    plan->late = wisp_value(axis) == NULL;
    if (!plan->late && (status = set_axis(call, WISP_BAD_SHAPE))) return status;
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

#define CUMULATE(Name, product)                                                                    \
    static void range_##Name(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) { \
        (void)thread;                                                                              \
        range_cumulate(call, product, begin, end);                                                 \
    }                                                                                              \
    const wisp_operator wisp_op_##Name = {                                                         \
        .plan = plan_cumulate, .begin = begin_cumulate, .range = range_##Name, .plan_size = sizeof(cumulate_plan)};

CUMULATE(CumSum, false)
CUMULATE(CumProd, true)
