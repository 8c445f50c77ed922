/* Reductions over any set of axes. Each output is made by one thread, in one order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce.h"

#include <math.h>
#include <string.h>

/* ---- the plan */

void wisp_plan_reduction(const wisp_tensor *x, int64_t axes, reduction *r) {
    int64_t extent[WISP_MAX_RANK], stride[WISP_MAX_RANK], next = 1;
    int kind[WISP_MAX_RANK], n = 0; /* innermost first; kind 1: reduced */
    for (int axis = x->rank - 1; axis >= 0; axis--) {
        const int reduced = axes >> axis & 1;
        if (x->dims[axis] == 1) continue;
        if (n > 0 && kind[n - 1] == reduced) {
            extent[n - 1] *= x->dims[axis];
        } else {
            kind[n] = reduced;
            extent[n] = x->dims[axis];
            stride[n++] = next;
        }
        next *= x->dims[axis];
    }
    memset(r, 0, sizeof *r);
    r->outer = r->rows = r->columns = r->run = 1;
    int innermost = 0;
    if (n > 0) *(kind[innermost++] ? &r->run : &r->columns) = extent[0];
    for (int i = n - 1; i >= innermost; i--) {
        if (kind[i]) {
            r->reduced_extent[r->reduced] = extent[i];
            r->reduced_stride[r->reduced++] = stride[i];
            r->rows *= extent[i];
        } else {
            r->kept_extent[r->kept] = extent[i];
            r->kept_stride[r->kept++] = stride[i];
            r->outer *= extent[i];
        }
    }
    r->count = r->rows * r->run;
}

static int64_t offset_of(int rank, const int64_t *extent, const int64_t *stride, int64_t index) {
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0; i--) {
        offset += index % extent[i] * stride[i];
        index /= extent[i];
    }
    return offset;
}

int64_t wisp_outer_offset(const reduction *r, int64_t index) {
    return offset_of(r->kept, r->kept_extent, r->kept_stride, index);
}

int64_t wisp_row_offset(const reduction *r, int64_t index) {
    return offset_of(r->reduced, r->reduced_extent, r->reduced_stride, index);
}

/* ---- run */

static void run_f32_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0);
    float *y = wisp_output(call, 0)->data;
    reduction r;
    (void)thread;
    wisp_plan_reduction(x, wisp_legacy_of(call)->state[0], &r);
    const int64_t blocks = (r.columns + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
    for (int64_t i = begin; i < end; i++) {
        const int64_t outer = i / blocks, column = i % blocks * REDUCE_COLUMNS, left = r.columns - column;
        wisp_reduce_f32(call->kernels, &r, call->code, x->data, outer, column, left < REDUCE_COLUMNS ? left : REDUCE_COLUMNS,
                        y + outer * r.columns + column);
    }
}

static int run_f32(wisp_call *call) {
    reduction r;
    if (wisp_output(call, 0)->count == 0) return WISP_OK;
    wisp_plan_reduction(wisp_input(call, 0), wisp_legacy_of(call)->state[0], &r);
    const int64_t blocks = (r.columns + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
    wisp_parallel(call, r.outer * blocks, reduce_grain(r.count * (r.columns < REDUCE_COLUMNS ? r.columns : REDUCE_COLUMNS)), run_f32_range);
    return WISP_OK;
}

/* The value of an empty reduction. */
static wide identity(int code, int dtype) {
    const int kind = wisp_wide_kind(dtype);
    const size_t bits = 8 * wisp_dtype_size(dtype);
    const uint64_t ones = dtype == WISP_BOOL ? 1 : UINT64_MAX >> (64 - bits);
    const bool lowest = code == OP_ReduceMax;
    if (code != OP_ReduceMax && code != OP_ReduceMin) {
        const int64_t one = code == OP_ReduceProd;
        return kind == WIDE_FLOAT ? (wide){.f = (double)one} : (wide){.s = one};
    }
    if (kind == WIDE_FLOAT) return (wide){.f = lowest ? -(double)INFINITY : (double)INFINITY};
    if (kind == WIDE_UNSIGNED) return (wide){.u = lowest ? 0 : ones};
    return (wide){.s = lowest ? -(int64_t)(ones >> 1) - 1 : (int64_t)(ones >> 1)};
}

/* How an element joins: acc = apply(acc, map(x)). */
static int joining_code(int code) {
    switch (code) {
        case OP_ReduceMax: return OP_Max;
        case OP_ReduceMin: return OP_Min;
        case OP_ReduceProd: return OP_Mul;
        default: return OP_Add;
    }
}

/* What an element contributes. shift: its output's maximum, for ReduceLogSumExp. */
static wide contribution(int code, int kind, wide x, double shift) {
    switch (code) {
        case OP_ReduceL1: return wisp_wide_apply(kind, OP_Abs, x, x);
        case OP_ReduceL2:
        case OP_ReduceSumSquare: return wisp_wide_apply(kind, OP_Mul, x, x);
        case OP_ReduceLogSumExp: return (wide){.f = exp(x.f - shift)};
        default: return x;
    }
}

static wide fold(int code, int dtype, const reduction *r, const uint8_t *x, double shift) {
    enum { BLOCK = 64 };
    wide block[BLOCK], total = identity(code, dtype);
    const int kind = wisp_wide_kind(dtype), join = joining_code(code);
    const int64_t size = (int64_t)wisp_dtype_size(dtype);
    for (int64_t row = 0; row < r->rows; row++) {
        const uint8_t *at = x + wisp_row_offset(r, row) * size;
        for (int64_t i = 0; i < r->run; i += BLOCK) {
            const size_t n = r->run - i < BLOCK ? (size_t)(r->run - i) : BLOCK;
            wisp_wide_load(dtype, at + i * size, 1, n, block);
            for (size_t j = 0; j < n; j++) total = wisp_wide_apply(kind, join, total, contribution(code, kind, block[j], shift));
        }
    }
    return total;
}

static wide reduce_wide(int code, int dtype, const reduction *r, const uint8_t *x) {
    const int kind = wisp_wide_kind(dtype);
    double shift = 0;
    if (code == OP_ReduceLogSumExp) {
        const double max = fold(OP_ReduceMax, dtype, r, x, 0).f;
        shift = fabs(max) < (double)INFINITY ? max : 0; /* else inf - inf */
    }
    const wide total = fold(code, dtype, r, x, shift);
    switch (code) {
        case OP_ReduceMean:
            return wisp_wide_apply(kind, OP_Div, total, kind == WIDE_FLOAT ? (wide){.f = (double)r->count} : (wide){.s = r->count});
        case OP_ReduceL2: return (wide){.f = sqrt(total.f)}; /* this and the next: floats only */
        case OP_ReduceLogSum:
        case OP_ReduceLogSumExp: return (wide){.f = log(total.f) + shift};
        default: return total;
    }
}

static void run_wide_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    reduction r;
    (void)thread;
    wisp_plan_reduction(x, wisp_legacy_of(call)->state[0], &r);
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = wisp_outer_offset(&r, i / r.columns) + i % r.columns;
        const wide result = reduce_wide(call->code, x->dtype, &r, (const uint8_t *)x->data + offset * size);
        wisp_wide_store(x->dtype, &result, 1, (uint8_t *)y->data + i * size);
    }
}

static int run_wide(wisp_call *call) {
    reduction r;
    wisp_plan_reduction(wisp_input(call, 0), wisp_legacy_of(call)->state[0], &r);
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, reduce_grain(4 * r.count), run_wide_range);
    return WISP_OK;
}

/* ---- axes */

/* The bit mask of reduced axes to state[0]. `status`: of a wrong axis. */
static int read_axes(wisp_call *call, int status) {
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    const uint64_t count = axes == NULL ? 0 : axes->count;
    int64_t mask = 0;
    for (uint64_t i = 0; i < count; i++) {
        const int axis = wisp_axis(wisp_integer_at(axes, i), x->rank);
        if (axis < 0 || mask >> axis & 1) return wisp_call_fail_value(call, status, "wrong axis", wisp_integer_at(axes, i));
        mask |= (int64_t)1 << axis;
    }
    if (count == 0 && !WISP_PARAMS(call, ReduceSum)->noop_with_empty_axes) mask = ((int64_t)1 << x->rank) - 1;
    wisp_legacy_of(call)->state[0] = mask;
    return WISP_OK;
}

/* The output's rank and dims for the axes in state[0]. */
static int shape_output(const wisp_call *call, int32_t *dims) {
    const wisp_tensor *x = wisp_input(call, 0);
    int rank = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (!(wisp_legacy_of(call)->state[0] >> axis & 1))
            dims[rank++] = x->dims[axis];
        else if (WISP_PARAMS(call, ReduceSum)->keepdims)
            dims[rank++] = 1;
    }
    return rank;
}

/* Axes that another node computes during the run: they must give the shape the file states. */
static int run_late(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    int32_t dims[WISP_MAX_RANK];
    const int status = read_axes(call, WISP_BAD_INDEX);
    if (status != WISP_OK) return status;
    const int rank = shape_output(call, dims);
    if (rank != y->rank || memcmp(dims, y->dims, (size_t)rank * sizeof *dims) != 0)
        return wisp_call_fail(call, WISP_BAD_INDEX, "the axes do not give the output's shape");
    return wisp_input(call, 0)->dtype == WISP_F32 ? run_f32(call) : run_wide(call);
}

/* ---- prepare */

static int prepare_late(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    int32_t dims[WISP_MAX_RANK];
    for (int i = 0; i < y->rank; i++) {
        if (y->dims[i] < 0) return wisp_call_fail(call, WISP_UNSUPPORTED, "axes unknown before the run need a known output shape");
        dims[i] = y->dims[i];
    }
    wisp_legacy_of(call)->run = run_late;
    return wisp_set_output(call, 0, wisp_input(call, 0)->dtype, y->rank, dims);
}

enum { ANY_DTYPE, NUMBERS, FLOATS };

/* All reductions have the parameters of ReduceSum. */
static int prepare(wisp_call *call, int dtypes, bool order_only) {
    int status = check_operands(call, 1, 2);
    if (status == WISP_OK) status = wisp_refuse_quantized(call, order_only);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    const bool number = wisp_wide_kind(x->dtype) != WIDE_NONE && (x->dtype != WISP_BOOL || dtypes == ANY_DTYPE);
    if (!number || (!WISP_FLOAT && x->dtype == WISP_F32) || (dtypes == FLOATS && wisp_wide_kind(x->dtype) != WIDE_FLOAT))
        return wisp_refuse_dtype(call, x->dtype);
    if (axes != NULL && axes->dtype != WISP_S32 && axes->dtype != WISP_S64) return wisp_refuse_dtype(call, axes->dtype);
    if (axes != NULL && wisp_value(axes) == NULL && axes->count > 0) return prepare_late(call);
    status = read_axes(call, WISP_BAD_SHAPE);
    if (status != WISP_OK) return status;
    int32_t dims[WISP_MAX_RANK];
    const int rank = shape_output(call, dims);
    wisp_legacy_of(call)->run = x->dtype == WISP_F32 ? run_f32 : run_wide;
    return wisp_set_output(call, 0, x->dtype, rank, dims);
}

int wisp_prepare_ReduceSum(wisp_call *call) {
    return prepare(call, NUMBERS, false);
}
int wisp_prepare_ReduceMean(wisp_call *call) {
    return prepare(call, NUMBERS, false);
}
int wisp_prepare_ReduceMax(wisp_call *call) {
    return prepare(call, ANY_DTYPE, true);
}
int wisp_prepare_ReduceMin(wisp_call *call) {
    return prepare(call, ANY_DTYPE, true);
}
int wisp_prepare_ReduceProd(wisp_call *call) {
    return prepare(call, NUMBERS, false);
}
int wisp_prepare_ReduceL1(wisp_call *call) {
    return prepare(call, NUMBERS, false);
}
int wisp_prepare_ReduceSumSquare(wisp_call *call) {
    return prepare(call, NUMBERS, false);
}
int wisp_prepare_ReduceL2(wisp_call *call) {
    return prepare(call, FLOATS, false);
}
int wisp_prepare_ReduceLogSum(wisp_call *call) {
    return prepare(call, FLOATS, false);
}
int wisp_prepare_ReduceLogSumExp(wisp_call *call) {
    return prepare(call, FLOATS, false);
}

WISP_LEGACY(ReduceSum)
WISP_LEGACY(ReduceMean)
WISP_LEGACY(ReduceMax)
WISP_LEGACY(ReduceMin)
WISP_LEGACY(ReduceProd)
WISP_LEGACY(ReduceL1)
WISP_LEGACY(ReduceSumSquare)
WISP_LEGACY(ReduceL2)
WISP_LEGACY(ReduceLogSum)
WISP_LEGACY(ReduceLogSumExp)
