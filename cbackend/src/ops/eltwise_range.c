/* The one outer loop of the element-wise operators: broadcasting over any ranks, cut into contiguous inner spans. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eltwise.h"

/* ---- checks */

int wisp_refuse_dtype(wisp_call *call, int dtype) {
    return wisp_call_fail_value(call, WISP_UNSUPPORTED, "dtype is not supported here:", dtype);
}

int wisp_refuse_quantized(wisp_call *call, bool same_scale) {
    const wisp_tensor *first = NULL;
    const uint32_t inputs = call->input_count, outputs = call->output_count;
    for (uint32_t i = 0; i < inputs + outputs; i++) {
        const wisp_tensor *t = i < inputs ? wisp_input(call, i) : wisp_output(call, i - inputs);
        if (t == NULL || t->dtype == WISP_BOOL) continue;
        if (t->scale == 0 && (t->dtype == WISP_S32 || t->dtype == WISP_S64)) continue; /* an index or a list of axes */
        if (t->scale != 0 && !same_scale) return wisp_call_fail(call, WISP_UNSUPPORTED, "there is no quantized form of this operator");
        if (first == NULL) first = t;
        if (t->scale != first->scale || (t->scale != 0 && t->zero_point != first->zero_point))
            return wisp_call_fail(call, WISP_UNSUPPORTED, "quantized operands must have the same scale and zero point");
    }
    return WISP_OK;
}

int wisp_check_binary(wisp_call *call) {
    const int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const int a = wisp_input(call, 0)->dtype, b = wisp_input(call, 1)->dtype;
    if (a != b) return wisp_call_fail(call, WISP_UNSUPPORTED, "the inputs' dtypes differ");
    return wisp_wide_kind(a) == WIDE_NONE ? wisp_refuse_dtype(call, a) : WISP_OK;
}

/* ---- plan */

static void plan_walk(const wisp_call *call, const wisp_tensor *y, eltwise_plan *p) {
    p->inputs = (uint8_t)call->input_count;
    p->rank = 0;
    for (uint32_t i = 0; i < p->inputs; i++) p->size[i] = (uint8_t)wisp_dtype_size(wisp_input(call, i)->dtype);
    for (int axis = 1; axis <= y->rank; axis++) {
        const int32_t extent = y->dims[y->rank - axis];
        uint8_t moves = 0;
        for (uint32_t i = 0; i < p->inputs; i++) {
            const wisp_tensor *x = wisp_input(call, i);
            if (axis <= x->rank && x->dims[x->rank - axis] != 1) moves |= (uint8_t)(1u << i);
        }
        if (extent == 1) continue;
        if (p->rank && p->moves[p->rank - 1] == moves) {
            p->extent[p->rank - 1] *= extent;
        } else {
            p->moves[p->rank] = moves;
            p->extent[p->rank++] = extent;
        }
    }
    if (!p->rank) p->extent[p->rank++] = 1;
}

int wisp_plan_eltwise(wisp_call *call, int dtype, wisp_span_fn *span) {
    eltwise_plan *p = call->plan;
    wisp_tensor y = *wisp_input(call, 0);
    for (uint32_t i = 1; i < call->input_count; i++) {
        int32_t dims[WISP_MAX_RANK];
        const int rank = wisp_broadcast(&y, wisp_input(call, i), dims);
        if (rank < 0) return wisp_call_fail(call, WISP_BAD_SHAPE, "the inputs' shapes do not broadcast");
        y.rank = (uint8_t)rank;
        memcpy(y.dims, dims, (size_t)rank * sizeof *dims);
    }
    const int status = wisp_set_output(call, 0, dtype, y.rank, y.dims);
    if (status) return status;
    plan_walk(call, &y, p);
    p->span = span;
    p->size[p->inputs] = (uint8_t)wisp_dtype_size(dtype);
    wisp_set_work(call, (int64_t)wisp_output(call, 0)->count, ELTWISE_GRAIN, 1);
    return WISP_OK;
}

/* ---- range */

/* Where the inputs are, and how far a step along each axis takes them, in bytes. */
typedef struct walk {
    const uint8_t *x[ELTWISE_INPUTS];
    ptrdiff_t position[WISP_MAX_RANK];
    ptrdiff_t stride[WISP_MAX_RANK][ELTWISE_INPUTS];
} walk;

static void start_walk(const wisp_call *call, const eltwise_plan *p, int64_t at, walk *w) {
    ptrdiff_t stride[ELTWISE_INPUTS];
    for (uint32_t i = 0; i < p->inputs; i++) {
        w->x[i] = wisp_input(call, i)->data;
        stride[i] = p->size[i];
    }
    for (int axis = 0; axis < p->rank; axis++) {
        w->position[axis] = (ptrdiff_t)(at % p->extent[axis]);
        at /= p->extent[axis];
        for (int i = 0; i < p->inputs; i++) {
            const bool moves = p->moves[axis] >> i & 1;
            w->stride[axis][i] = moves ? stride[i] : 0;
            if (moves) stride[i] *= p->extent[axis];
            w->x[i] += w->position[axis] * w->stride[axis][i];
        }
    }
}

/* To the start of the next row. */
static void next_row(const eltwise_plan *p, ptrdiff_t column, walk *w) {
    for (int i = 0; i < p->inputs; i++) w->x[i] -= column * w->stride[0][i];
    for (int axis = 1; axis < p->rank; axis++) {
        const ptrdiff_t back = ++w->position[axis] < p->extent[axis] ? 0 : p->extent[axis];
        for (int i = 0; i < p->inputs; i++) w->x[i] += (1 - back) * w->stride[axis][i];
        if (!back) return;
        w->position[axis] = 0;
    }
}

void wisp_eltwise_range(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const eltwise_plan *p = call->plan;
    const size_t size = p->size[p->inputs];
    uint8_t *y = (uint8_t *)wisp_output(call, 0)->data + (size_t)begin * size;
    int step[ELTWISE_INPUTS];
    walk w;
    (void)thread;
    start_walk(call, p, begin, &w);
    for (int i = 0; i < p->inputs; i++) step[i] = p->moves[0] >> i & 1;
    for (ptrdiff_t column = w.position[0]; begin < end; column = 0) {
        const int64_t rest = p->extent[0] - column, n = rest < end - begin ? rest : end - begin;
        p->span(call, w.x, step, y, (size_t)n);
        begin += n;
        y += (size_t)n * size;
        next_row(p, column, &w);
    }
}
