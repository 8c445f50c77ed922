/* CumSum and CumProd: running results along one axis. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

enum { STATE_AXIS };

/* Both operators have the parameters of CumSum. Element i of an axis comes from its predecessor's result and, exclusive,
 * the predecessor's value, else its own. */
static void cumulate_f32(const wisp_call *call, const axis_view *v, const float *x, float *y) {
    const wisp_CumSum_params *p = WISP_PARAMS(call, CumSum);
    const bool product = call->code == OP_CumProd;
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

static void cumulate_wide(const wisp_call *call, const axis_view *v, int dtype, const uint8_t *x, uint8_t *y) {
    const wisp_CumSum_params *p = WISP_PARAMS(call, CumSum);
    const bool product = call->code == OP_CumProd;
    const int kind = wisp_wide_kind(dtype), code = product ? OP_Mul : OP_Add;
    const int64_t size = (int64_t)wisp_dtype_size(dtype);
    for (int64_t j = 0; j < v->inner; j++) {
        wide total = {.s = product}, term, sum;
        if (kind == WIDE_FLOAT) total.f = product ? 1 : 0;
        for (int64_t i = 0; i < v->n; i++) {
            const int64_t offset = ((p->reverse ? v->n - 1 - i : i) * v->inner + j) * size;
            wisp_wide_load(dtype, x + offset, 1, 1, &term);
            sum = wisp_wide_apply(kind, code, total, term);
            wisp_wide_store(dtype, p->exclusive ? &total : &sum, 1, y + offset);
            total = sum;
        }
    }
}

static void run_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const axis_view v = view_axis(x, (int)wisp_legacy_of(call)->state[STATE_AXIS]);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i * v.n * v.inner;
        if (x->dtype == WISP_F32)
            cumulate_f32(call, &v, (const float *)x->data + offset, (float *)y->data + offset);
        else
            cumulate_wide(call, &v, x->dtype, (const uint8_t *)x->data + offset * size, (uint8_t *)y->data + offset * size);
    }
}

static int read_axis(wisp_call *call, int status) {
    const int64_t axis = wisp_integer_at(wisp_input(call, 1), 0);
    wisp_legacy_of(call)->state[STATE_AXIS] = wisp_axis(axis, wisp_input(call, 0)->rank);
    return wisp_legacy_of(call)->state[STATE_AXIS] < 0 ? wisp_call_fail_value(call, status, "axis out of range:", axis) : WISP_OK;
}

/* The axis may be computed during the run. */
static int run(wisp_call *call) {
    const int status = read_axis(call, WISP_BAD_INDEX);
    if (status != WISP_OK) return status;
    const axis_view v = view_axis(wisp_input(call, 0), (int)wisp_legacy_of(call)->state[STATE_AXIS]);
    if (wisp_output(call, 0)->count > 0) wisp_parallel(call, v.outer, reduce_grain(v.n * v.inner), run_range);
    return WISP_OK;
}

static int prepare(wisp_call *call) {
    int status = check_operands(call, 2, 2);
    if (status == WISP_OK) status = wisp_refuse_quantized(call, false);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axis = wisp_input(call, 1);
    if (wisp_wide_kind(x->dtype) == WIDE_NONE || x->dtype == WISP_BOOL) return wisp_refuse_dtype(call, x->dtype);
    if (axis->dtype != WISP_S32 && axis->dtype != WISP_S64) return wisp_refuse_dtype(call, axis->dtype);
    if (axis->count != 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes one axis");
    status = wisp_value(axis) == NULL ? WISP_OK : read_axis(call, WISP_BAD_SHAPE);
    if (status != WISP_OK) return status;
    wisp_legacy_of(call)->run = run;
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

int wisp_prepare_CumSum(wisp_call *call) {
    return prepare(call);
}
int wisp_prepare_CumProd(wisp_call *call) {
    return prepare(call);
}

WISP_LEGACY(CumSum)
WISP_LEGACY(CumProd)
