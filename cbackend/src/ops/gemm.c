/* Gemm: a product with constant weights. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

static int plan_gemm(wisp_call *call) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_Gemm_params *p = WISP_PARAMS(call, Gemm);
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    wisp_matrix_plan *plan = call->plan;
    wisp_matrix *m = &plan->m;
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype of x must be f32 (in a build with WISP_FLOAT) or s8");
    if (x->rank < 1 || w->rank != 3 || w->dims[0] < 1 || w->dims[0] > INT32_MAX - 16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 1 or more and packed weights");
    int32_t dims[WISP_MAX_RANK];
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = w->dims[0];
    if ((status = wisp_set_output(call, 0, x->dtype, x->rank, dims))) return status;
    plan->groups = 1;
    plan->rows = (int64_t)wisp_extent(x->dims, 0, x->rank - 1);
    m->source = WISP_ROWS_PLAIN;
    m->group_k = x->dims[x->rank - 1];
    m->n = w->dims[0];
    m->x_stride = (int64_t)m->group_k * (wisp_is_s8(x) ? 1 : 4);
    m->y_stride = m->n;
    if (wisp_is_s8(x))
        m->lo = p->lo, m->hi = p->hi;
    else
        m->min = p->min, m->max = p->max;
    return wisp_plan_matrix(call, plan);
}

static void range_gemm(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    wisp_range_matrix(call, call->plan, thread, begin, end);
}

const wisp_operator wisp_op_Gemm = {
    .check = wisp_check_channels, .plan = plan_gemm, .range = range_gemm, .plan_size = sizeof(wisp_matrix_plan)};
