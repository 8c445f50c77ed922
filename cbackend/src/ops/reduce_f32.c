/* f32 reductions: rows of neighbouring outputs through the kernels, contiguous runs through eight partial results. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"
#include "reduce.h"

enum {
    LANES = 8,
    RUN_BLOCK = 1024, /* a long sum is a sum of sums: rounding errors grow with n / RUN_BLOCK + RUN_BLOCK / LANES */
    RUN_COLUMNS = 32,
    ROW_BLOCK = 64
};

static float identity(int code) {
    return code == OP_ReduceMax ? -INFINITY : code == OP_ReduceMin ? INFINITY : code == OP_ReduceProd ? 1.0f : 0.0f;
}

/* Joins two partial results; NaN wins. */
ALWAYS_INLINE float join(int code, float a, float b) {
    switch (code) {
        case OP_ReduceMax: return select_f32((b > a) | (b != b), b, a);
        case OP_ReduceMin: return select_f32((b < a) | (b != b), b, a);
        case OP_ReduceProd: return a * b;
        default: return a + b;
    }
}

/* What an element contributes. shift: its output's maximum, for ReduceLogSumExp. */
ALWAYS_INLINE float map(int code, float x, float shift) {
    switch (code) {
        case OP_ReduceL1: return fabsf(x);
        case OP_ReduceL2:
        case OP_ReduceSumSquare: return x * x;
        case OP_ReduceLogSumExp: return exp_f32(x - shift);
        default: return x;
    }
}

/* ---- innermost axis reduced */

ALWAYS_INLINE float reduce_block(int code, const float *x, size_t n, float shift) {
    const size_t tail = n % LANES, whole = n - tail;
    float lane[LANES];
    for (int j = 0; j < LANES; j++) lane[j] = identity(code);
    for (size_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = join(code, lane[j], map(code, x[i + (size_t)j], shift));
    for (size_t j = 0; j < tail; j++) lane[j] = join(code, lane[j], map(code, x[whole + j], shift));
    for (int j = 1; j < LANES; j++) lane[0] = join(code, lane[0], lane[j]);
    return lane[0];
}

/* The run as rows of RUN_COLUMNS elements, which a kernel joins at once. */
static float reduce_block_by_kernel(const wisp_kernels *kernels, int code, const float *x, size_t n) {
    const float *rows[RUN_BLOCK / RUN_COLUMNS];
    float column[RUN_COLUMNS];
    const size_t count = n / RUN_COLUMNS, used = count * RUN_COLUMNS;
    float total =
        code == OP_ReduceMax ? reduce_block(OP_ReduceMax, x + used, n - used, 0) : reduce_block(OP_ReduceSum, x + used, n - used, 0);
    if (count == 0) return total;
    for (size_t i = 0; i < count; i++) rows[i] = x + i * RUN_COLUMNS;
    (code == OP_ReduceMax ? kernels->max_f32 : kernels->sum_f32)(rows, (int32_t)count, RUN_COLUMNS, column);
    return code == OP_ReduceMax ? join(OP_ReduceMax, total, reduce_block(OP_ReduceMax, column, RUN_COLUMNS, 0))
                                : join(OP_ReduceSum, total, reduce_block(OP_ReduceSum, column, RUN_COLUMNS, 0));
}

static float reduce_rows_by_kernel(const wisp_kernels *kernels, int code, const reduction *r, const float *x) {
    float total = identity(code);
    for (int64_t row = 0; row < r->rows; row++) {
        const float *at = x + wisp_row_offset(r, row);
        for (int64_t i = 0; i < r->run; i += RUN_BLOCK) {
            const int64_t left = r->run - i;
            total = join(code, total, reduce_block_by_kernel(kernels, code, at + i, (size_t)(left < RUN_BLOCK ? left : RUN_BLOCK)));
        }
    }
    return total;
}

ALWAYS_INLINE float reduce_rows(int code, const reduction *r, const float *x, float shift) {
    float total = identity(code);
    for (int64_t row = 0; row < r->rows; row++) {
        const float *at = x + wisp_row_offset(r, row);
        for (int64_t i = 0; i < r->run; i += RUN_BLOCK) {
            const int64_t left = r->run - i;
            total = join(code, total, reduce_block(code, at + i, (size_t)(left < RUN_BLOCK ? left : RUN_BLOCK), shift));
        }
    }
    return total;
}

static float reduce_runs(const wisp_kernels *kernels, int code, const reduction *r, const float *x, float shift) {
    switch (code) {
        case OP_ReduceMin: return reduce_rows(OP_ReduceMin, r, x, 0);
        case OP_ReduceProd: return reduce_rows(OP_ReduceProd, r, x, 0);
        case OP_ReduceL1: return reduce_rows(OP_ReduceL1, r, x, 0);
        case OP_ReduceL2:
        case OP_ReduceSumSquare: return reduce_rows(OP_ReduceSumSquare, r, x, 0);
        case OP_ReduceLogSumExp: return reduce_rows(OP_ReduceLogSumExp, r, x, shift);
        default: return reduce_rows_by_kernel(kernels, code, r, x); /* sums and the maximum */
    }
}

/* ---- innermost axis kept: rows of `columns` elements */

/* Sums and maxima have kernels that take many rows at once; their results are joined block by block. */
static void reduce_by_kernel(const wisp_kernels *kernels, int code, const reduction *r, const float *x, int64_t columns, float *y) {
    const float *rows[ROW_BLOCK];
    float partial[REDUCE_COLUMNS];
    for (int64_t row = 0; row < r->rows; row += ROW_BLOCK) {
        const int32_t n = r->rows - row < ROW_BLOCK ? (int32_t)(r->rows - row) : ROW_BLOCK;
        for (int32_t i = 0; i < n; i++) rows[i] = x + wisp_row_offset(r, row + i);
        (code == OP_ReduceMax ? kernels->max_f32 : kernels->sum_f32)(rows, n, (int32_t)columns, partial);
        for (int64_t j = 0; j < columns; j++) y[j] = join(code, y[j], partial[j]);
    }
}

ALWAYS_INLINE void reduce_by_row(int code, const reduction *r, const float *x, int64_t columns, const float *shift, float *y) {
    for (int64_t row = 0; row < r->rows; row++) {
        const float *at = x + wisp_row_offset(r, row);
        for (int64_t j = 0; j < columns; j++) y[j] = join(code, y[j], map(code, at[j], shift[j]));
    }
}

static void reduce_columns(const wisp_kernels *kernels, int code, const reduction *r, const float *x, int64_t columns, const float *shift,
                           float *y) {
    switch (code) {
        case OP_ReduceMin: reduce_by_row(OP_ReduceMin, r, x, columns, y, y); return;
        case OP_ReduceProd: reduce_by_row(OP_ReduceProd, r, x, columns, y, y); return;
        case OP_ReduceL1: reduce_by_row(OP_ReduceL1, r, x, columns, y, y); return;
        case OP_ReduceL2:
        case OP_ReduceSumSquare: reduce_by_row(OP_ReduceSumSquare, r, x, columns, y, y); return;
        case OP_ReduceLogSumExp: reduce_by_row(OP_ReduceLogSumExp, r, x, columns, shift, y); return;
        default: reduce_by_kernel(kernels, code, r, x, columns, y);
    }
}

/* ---- both */

static void reduce_any(const wisp_kernels *kernels, int code, const reduction *r, const float *x, int64_t columns, const float *shift,
                       float *y) {
    for (int64_t j = 0; j < columns; j++) y[j] = identity(code);
    if (r->columns == 1)
        y[0] = join(code, y[0], reduce_runs(kernels, code, r, x, shift[0]));
    else
        reduce_columns(kernels, code, r, x, columns, shift, y);
}

static float finish(int code, float y, float count, float shift) {
    switch (code) {
        case OP_ReduceMean: return y / count;
        case OP_ReduceL2: return sqrtf(y);
        case OP_ReduceLogSum: return log_f32(y);
        case OP_ReduceLogSumExp: return log_f32(y) + shift;
        default: return y;
    }
}

void wisp_reduce_f32(const wisp_kernels *kernels, const reduction *r, int code, const float *x, int64_t outer, int64_t column,
                     int64_t columns, float *y) {
    float shift[REDUCE_COLUMNS] = {0};
    x += wisp_outer_offset(r, outer) + column;
    if (code == OP_ReduceLogSumExp) {
        reduce_any(kernels, OP_ReduceMax, r, x, columns, shift, shift);
        for (int64_t j = 0; j < columns; j++) shift[j] = fabsf(shift[j]) < INFINITY ? shift[j] : 0; /* else inf - inf */
    }
    reduce_any(kernels, code, r, x, columns, shift, y);
    for (int64_t j = 0; j < columns; j++) y[j] = finish(code, y[j], (float)r->count, shift[j]);
}
