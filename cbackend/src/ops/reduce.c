/* Reductions over any set of axes. Each output is made by one thread, in one order. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"
#include "reduce.h"

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
    for (int i = n - 1; i >= innermost; i--)
        if (!kind[i]) {
            r->extent[r->kept] = extent[i];
            r->stride[r->kept++] = stride[i];
            r->outer *= extent[i];
        }
    for (int i = n - 1; i >= innermost; i--)
        if (kind[i]) {
            r->extent[r->kept + r->reduced] = extent[i];
            r->stride[r->kept + r->reduced++] = stride[i];
            r->rows *= extent[i];
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
    return offset_of(r->kept, r->extent, r->stride, index);
}

int64_t wisp_row_offset(const reduction *r, int64_t index) {
    return offset_of(r->reduced, r->extent + r->kept, r->stride + r->kept, index);
}

/* ---- what one operator computes */

typedef struct reducer {
    uint8_t dtypes;
    bool order_only; /* quantized values serve as they are */
    bool shifted;    /* elements count from their output's maximum, which is added to the result */
    wisp_reduce_f32_fn *f32;
    float (*finish_f32)(float y, float count); /* null: the result as it is */
    wide (*identity)(int dtype);               /* the value of an empty reduction */
    wisp_wide_fn *join;                        /* total = join(total, map(x, shift)) */
    wisp_wide_fn *map;                         /* null: x */
    wisp_wide_fn *finish;                      /* of total and count; null: the total */
} reducer;

enum { ANY_DTYPE, NUMBERS, FLOATS };

typedef struct reduce_plan {
    reduction r;
    int64_t pieces; /* f32: blocks of REDUCE_RUN that make one output, each an item; 0: items are outputs */
    const reducer *how;
    wisp_sum_f32_fn *kernel; /* f32 */
    bool late;               /* r is found by begin: another node computes the axes during the run */
} reduce_plan;

/* ---- range */

static void range_f32(const reduce_plan *p, const float *x, int64_t begin, int64_t end, float *y) {
    const reduction *r = &p->r;
    const int64_t blocks = (r->columns + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
    for (int64_t i = begin; i < end; i++) {
        const int64_t outer = i / blocks, column = i % blocks * REDUCE_COLUMNS, rest = r->columns - column;
        const int64_t columns = rest < REDUCE_COLUMNS ? rest : REDUCE_COLUMNS;
        float *to = y + outer * r->columns + column;
        p->how->f32(r, p->kernel, x + wisp_outer_offset(r, outer) + column, columns, to);
        for (int64_t j = 0; p->how->finish_f32 && j < columns; j++) to[j] = p->how->finish_f32(to[j], (float)r->count);
    }
}

/* Few long results: blocks of each in the first phase, joined in the second, in the order of one thread. */
static void make_pieces(const reduce_plan *p, const float *x, int64_t begin, int64_t end, float *pieces) {
    const reduction *r = &p->r;
    const int64_t blocks = (r->run + REDUCE_RUN - 1) / REDUCE_RUN;
    for (int64_t i = begin; i < end; i++) {
        const int64_t row = i % p->pieces / blocks, at = i % p->pieces % blocks * REDUCE_RUN;
        const int64_t n = r->run - at < REDUCE_RUN ? r->run - at : REDUCE_RUN;
        const reduction block = {.outer = 1, .rows = 1, .columns = 1, .run = n, .count = n};
        p->how->f32(&block, p->kernel, x + wisp_outer_offset(r, i / p->pieces) + wisp_row_offset(r, row) + at, 1, &pieces[i]);
    }
}

/* The item of an output's first piece makes the output. */
static void join_pieces(const reduce_plan *p, const float *pieces, int64_t begin, int64_t end, float *y) {
    for (int64_t i = begin; i < end; i++) {
        float total = (float)p->how->identity(WISP_F32).f;
        if (i % p->pieces) continue;
        for (int64_t k = i; k < i + p->pieces; k++) /* one step in double precision, rounded, is the step in single */
            total = (float)p->how->join(WIDE_FLOAT, (wide){.f = (double)pieces[k]}, (wide){.f = (double)total}).f;
        y[i / p->pieces] = p->how->finish_f32 ? p->how->finish_f32(total, (float)p->r.count) : total;
    }
}

static wide fold(const reducer *how, int dtype, const reduction *r, const uint8_t *x, wide shift) {
    enum { BLOCK = 64 };
    wide block[BLOCK], total = how->identity(dtype);
    const int kind = wisp_wide_kind(dtype);
    const int64_t size = (int64_t)wisp_dtype_size(dtype);
    for (int64_t row = 0; row < r->rows; row++) {
        const uint8_t *at = x + wisp_row_offset(r, row) * size;
        for (int64_t i = 0; i < r->run; i += BLOCK) {
            const size_t n = r->run - i < BLOCK ? (size_t)(r->run - i) : BLOCK;
            wisp_wide_load(dtype, at + i * size, 1, n, block);
            for (size_t j = 0; j < n; j++) total = how->join(kind, total, how->map ? how->map(kind, block[j], shift) : block[j]);
        }
    }
    return total;
}

static double shift_of(int dtype, const reduction *r, const uint8_t *x);

static wide reduce_wide(const reducer *how, int dtype, const reduction *r, const uint8_t *x) {
    const int kind = wisp_wide_kind(dtype);
    const wide shift = {.f = how->shifted ? shift_of(dtype, r, x) : 0};
    wide total = fold(how, dtype, r, x, shift);
    if (how->finish) total = how->finish(kind, total, kind == WIDE_FLOAT ? (wide){.f = (double)r->count} : (wide){.s = r->count});
    if (how->shifted) total.f += shift.f;
    return total;
}

static void range_reduce(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const reduce_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype);
    (void)thread;
    if (WISP_FLOAT && x->dtype == WISP_F32) {
        float *pieces = (float *)(void *)call->shared;
        if (!p->pieces)
            range_f32(p, x->data, begin, end, y->data);
        else if (call->phase == 0)
            make_pieces(p, x->data, begin, end, pieces);
        else
            join_pieces(p, pieces, begin, end, y->data);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t offset = wisp_outer_offset(&p->r, i / p->r.columns) + i % p->r.columns;
        const wide result = reduce_wide(p->how, x->dtype, &p->r, (const uint8_t *)x->data + offset * size);
        wisp_wide_store(x->dtype, &result, 1, (uint8_t *)y->data + i * size);
    }
}

/* ---- axes. All reductions have the parameters of ReduceSum */

/* The bit mask of reduced axes. `status`: of a wrong axis. */
static int read_axes(wisp_call *call, int status, int64_t *mask) {
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    const uint64_t count = axes == NULL ? 0 : axes->count;
    *mask = 0;
    for (uint64_t i = 0; i < count; i++) {
        const int axis = wisp_axis(wisp_integer_at(axes, i), x->rank);
        if (axis < 0 || *mask >> axis & 1) return wisp_call_fail_value(call, status, "wrong axis", wisp_integer_at(axes, i));
        *mask |= (int64_t)1 << axis;
    }
    if (count == 0 && !WISP_PARAMS(call, ReduceSum)->noop_with_empty_axes) *mask = ((int64_t)1 << x->rank) - 1;
    return WISP_OK;
}

static int shape_output(const wisp_call *call, int64_t mask, int32_t *dims) {
    const wisp_tensor *x = wisp_input(call, 0);
    int rank = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (!(mask >> axis & 1))
            dims[rank++] = x->dims[axis];
        else if (WISP_PARAMS(call, ReduceSum)->keepdims)
            dims[rank++] = 1;
    }
    return rank;
}

/* f32: whether outputs are so few and long that their blocks are the items; then all is stated. */
static bool cut_pieces(wisp_call *call) {
    enum { FEW = 8, LONG = 4 * ELTWISE_GRAIN };
    reduce_plan *p = call->plan;
    const reduction *r = &p->r;
    if (p->late || p->how->shifted || r->outer > FEW || r->run < REDUCE_RUN || r->count < LONG) return false;
    const int64_t pieces = (r->run + REDUCE_RUN - 1) / REDUCE_RUN * r->rows;
    const uint64_t shared = (uint64_t)(r->outer * pieces) * sizeof(float);
    wisp_could_use_scratch(call, shared, 0);
    if (shared > wisp_shared_limit(call)) return false;
    p->pieces = pieces;
    wisp_need_scratch(call, shared, 0);
    wisp_set_work(call, r->outer * pieces, ELTWISE_GRAIN / REDUCE_RUN, 2);
    return true;
}

static void set_reduction(wisp_call *call, int64_t mask) {
    reduce_plan *p = call->plan;
    reduction *r = &p->r;
    wisp_plan_reduction(wisp_input(call, 0), mask, r);
    if (wisp_input(call, 0)->dtype == WISP_F32) {
        if (cut_pieces(call)) return;
        const int64_t blocks = (r->columns + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
        wisp_set_work(call, r->outer * blocks, reduce_grain(r->count * (r->columns < REDUCE_COLUMNS ? r->columns : REDUCE_COLUMNS)), 1);
    } else {
        wisp_set_work(call, r->outer * r->columns, reduce_grain(4 * r->count), 1);
    }
}

/* An output whose extents the file states keeps them: then the axes must fit. */
static int begin_reduce(wisp_call *call) {
    const reduce_plan *p = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    int32_t dims[WISP_MAX_RANK];
    int64_t mask;
    if (!p->late) return WISP_OK;
    int status = read_axes(call, WISP_BAD_INDEX, &mask);
    if (status) return status;
    const int rank = shape_output(call, mask, dims);
    if (rank != y->rank) return wisp_call_fail(call, WISP_BAD_INDEX, "the axes do not give the output's rank");
    if (!(y->flags & WISP_TENSOR_KNOWN))
        status = wisp_set_output(call, 0, y->dtype, rank, dims);
    else if (memcmp(dims, y->dims, (size_t)rank * sizeof *dims) != 0)
        status = wisp_call_fail(call, WISP_BAD_INDEX, "the axes do not give the output's shape");
    if (!status) set_reduction(call, mask);
    return status;
}

static int plan_late(wisp_call *call) {
    reduce_plan *p = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    const int dtype = wisp_input(call, 0)->dtype;
    int32_t dims[WISP_MAX_RANK];
    bool stated = true;
    p->late = true;
    for (int i = 0; i < y->rank; i++) stated = (dims[i] = y->dims[i]) >= 0 && stated;
    if (stated) return wisp_set_output(call, 0, dtype, y->rank, dims);
    if (y->dtype != dtype) return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype in the file does not fit output", 0);
    wisp_size_later(call);
    return WISP_OK;
}

/* ---- plan */

static int plan_reduce(wisp_call *call, const reducer *how, wisp_sum_f32_fn *kernel) {
    reduce_plan *p = call->plan;
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status || (status = wisp_refuse_quantized(call, how->order_only))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *axes = wisp_input(call, 1);
    const bool number = wisp_wide_kind(x->dtype) != WIDE_NONE && (x->dtype != WISP_BOOL || how->dtypes == ANY_DTYPE);
    if (!number || (!WISP_FLOAT && x->dtype == WISP_F32) || (how->dtypes == FLOATS && wisp_wide_kind(x->dtype) != WIDE_FLOAT))
        return wisp_refuse_dtype(call, x->dtype);
    if (axes != NULL && axes->dtype != WISP_S32 && axes->dtype != WISP_S64) return wisp_refuse_dtype(call, axes->dtype);
    p->how = how;
    p->kernel = kernel;
    if (axes != NULL && wisp_value(axes) == NULL && axes->count > 0) return plan_late(call);
    int32_t dims[WISP_MAX_RANK];
    int64_t mask;
    if ((status = read_axes(call, WISP_BAD_SHAPE, &mask))) return status;
    const int rank = shape_output(call, mask, dims);
    if ((status = wisp_set_output(call, 0, x->dtype, rank, dims))) return status;
    set_reduction(call, mask);
    return WISP_OK;
}

/* ---- the operators */

static wide zero(int dtype) {
    (void)dtype;
    return (wide){.u = 0}; /* 0.0 has the same bits */
}

static wide one(int dtype) {
    return wisp_wide_kind(dtype) == WIDE_FLOAT ? (wide){.f = 1} : (wide){.u = 1};
}

/* All bits an unsigned element of dtype can have. */
static uint64_t ones(int dtype) {
    return dtype == WISP_BOOL ? 1 : UINT64_MAX >> (64 - 8 * wisp_dtype_size(dtype));
}

static wide lowest(int dtype) {
    const int kind = wisp_wide_kind(dtype);
    if (kind == WIDE_FLOAT) return (wide){.f = -(double)INFINITY};
    return kind == WIDE_UNSIGNED ? (wide){.u = 0} : (wide){.s = -(int64_t)(ones(dtype) >> 1) - 1};
}

static wide highest(int dtype) {
    const int kind = wisp_wide_kind(dtype);
    if (kind == WIDE_FLOAT) return (wide){.f = (double)INFINITY};
    return kind == WIDE_UNSIGNED ? (wide){.u = ones(dtype)} : (wide){.s = (int64_t)(ones(dtype) >> 1)};
}

static wide square(int kind, wide a, wide b) {
    (void)b;
    return wide_multiply(kind, a, a);
}

/* Of floats. */
static wide exponential(int kind, wide a, wide shift) {
    (void)kind;
    return (wide){.f = exp(a.f - shift.f)};
}
static wide root(int kind, wide a, wide b) {
    (void)kind, (void)b;
    return (wide){.f = sqrt(a.f)};
}
static wide logarithm(int kind, wide a, wide b) {
    (void)kind, (void)b;
    return (wide){.f = log(a.f)};
}

static float mean_f32(float y, float count) {
    return y / count;
}
static float root_f32(float y, float count) {
    (void)count;
    return sqrtf(y);
}
static float logarithm_f32(float y, float count) {
    (void)count;
    return log_f32(y);
}

/* A reducer, and the f32 kernel it needs or NULL. */
#define REDUCTION(Name, kernel, ...)                       \
    static const reducer reducer_##Name = {__VA_ARGS__};   \
    static int plan_##Name(wisp_call *call) {              \
        return plan_reduce(call, &reducer_##Name, kernel); \
    }                                                      \
    const wisp_operator wisp_op_##Name = {                 \
        .plan = plan_##Name, .begin = begin_reduce, .range = range_reduce, .plan_size = sizeof(reduce_plan)};

REDUCTION(ReduceSum, WISP_KERNEL(call, sum_f32), NUMBERS, .f32 = wisp_sum_columns_f32, .identity = zero, .join = wide_add)
REDUCTION(ReduceMean, WISP_KERNEL(call, sum_f32), NUMBERS, .f32 = wisp_sum_columns_f32, .finish_f32 = mean_f32, .identity = zero,
          .join = wide_add, .finish = wide_divide)
REDUCTION(ReduceMax, WISP_KERNEL(call, max_f32), ANY_DTYPE, .order_only = true, .f32 = wisp_max_columns_f32, .identity = lowest,
          .join = wide_maximum)
REDUCTION(ReduceMin, NULL, ANY_DTYPE, .order_only = true, .f32 = wisp_min_columns_f32, .identity = highest, .join = wide_minimum)
REDUCTION(ReduceProd, NULL, NUMBERS, .f32 = wisp_product_columns_f32, .identity = one, .join = wide_multiply)
REDUCTION(ReduceL1, NULL, NUMBERS, .f32 = wisp_absolute_sum_columns_f32, .identity = zero, .join = wide_add, .map = wide_absolute)
REDUCTION(ReduceSumSquare, NULL, NUMBERS, .f32 = wisp_square_sum_columns_f32, .identity = zero, .join = wide_add, .map = square)
REDUCTION(ReduceL2, NULL, FLOATS, .f32 = wisp_square_sum_columns_f32, .finish_f32 = root_f32, .identity = zero, .join = wide_add,
          .map = square, .finish = root)
REDUCTION(ReduceLogSum, WISP_KERNEL(call, sum_f32), FLOATS, .f32 = wisp_sum_columns_f32, .finish_f32 = logarithm_f32, .identity = zero,
          .join = wide_add, .finish = logarithm)
REDUCTION(ReduceLogSumExp, WISP_KERNEL(call, max_f32), FLOATS, .shifted = true, .f32 = wisp_log_sum_exp_columns_f32, .identity = zero,
          .join = wide_add, .map = exponential, .finish = logarithm)

/* The maximum, where it is finite: inf - inf would be NaN. */
static double shift_of(int dtype, const reduction *r, const uint8_t *x) {
    const double max = fold(&reducer_ReduceMax, dtype, r, x, zero(dtype)).f;
    return fabs(max) < (double)INFINITY ? max : 0;
}
