/* f32 reductions: rows of neighbouring outputs through the kernels, contiguous runs through eight partial results. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"
#include "reduce.h"

enum { LANES = 8, RUN_COLUMNS = 32, ROW_BLOCK = 64 };

/* What an element contributes and how contributions are joined; a constant in every call, so that each has loops of its own. */
enum { SUM, ABSOLUTES, SQUARES, EXPONENTIALS, PRODUCT, MAXIMUM, MINIMUM };

ALWAYS_INLINE float identity(int rule) {
    return rule == MAXIMUM ? -INFINITY : rule == MINIMUM ? INFINITY : rule == PRODUCT ? 1.0f : 0.0f;
}

/* Joins two partial results; NaN wins. */
ALWAYS_INLINE float join(int rule, float a, float b) {
    switch (rule) {
        case MAXIMUM: return select_f32((b > a) | (b != b), b, a);
        case MINIMUM: return select_f32((b < a) | (b != b), b, a);
        case PRODUCT: return a * b;
        default: return a + b;
    }
}

/* shift: the output's maximum, for EXPONENTIALS. */
ALWAYS_INLINE float map(int rule, float x, float shift) {
    switch (rule) {
        case ABSOLUTES: return fabsf(x);
        case SQUARES: return x * x;
        case EXPONENTIALS: return exp_f32(x - shift);
        default: return x;
    }
}

/* ---- innermost axis reduced */

ALWAYS_INLINE float reduce_block(int rule, const float *x, size_t n, float shift) {
    const size_t tail = n % LANES, whole = n - tail;
    float lane[LANES];
    for (int j = 0; j < LANES; j++) lane[j] = identity(rule);
    for (size_t i = 0; i < whole; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] = join(rule, lane[j], map(rule, x[i + (size_t)j], shift));
    for (size_t j = 0; j < tail; j++) lane[j] = join(rule, lane[j], map(rule, x[whole + j], shift));
    for (int j = 1; j < LANES; j++) lane[0] = join(rule, lane[0], lane[j]);
    return lane[0];
}

/* The run as rows of RUN_COLUMNS elements, which a kernel joins at once. */
ALWAYS_INLINE float reduce_block_by_kernel(int rule, wisp_sum_f32_fn *kernel, const float *x, size_t n) {
    const float *rows[REDUCE_RUN / RUN_COLUMNS];
    float column[RUN_COLUMNS];
    const size_t count = n / RUN_COLUMNS, used = count * RUN_COLUMNS;
    const float total = reduce_block(rule, x + used, n - used, 0);
    if (count == 0) return total;
    for (size_t i = 0; i < count; i++) rows[i] = x + i * RUN_COLUMNS;
    kernel(rows, (int32_t)count, RUN_COLUMNS, column);
    return join(rule, total, reduce_block(rule, column, RUN_COLUMNS, 0));
}

/* kernel null: without one. */
ALWAYS_INLINE float reduce_runs(int rule, const reduction *r, wisp_sum_f32_fn *kernel, const float *x, float shift) {
    float total = identity(rule);
    for (int64_t row = 0; row < r->rows; row++) {
        const float *at = x + wisp_row_offset(r, row);
        for (int64_t i = 0; i < r->run; i += REDUCE_RUN) {
            const size_t n = (size_t)(r->run - i < REDUCE_RUN ? r->run - i : REDUCE_RUN);
            total = join(rule, total, kernel ? reduce_block_by_kernel(rule, kernel, at + i, n) : reduce_block(rule, at + i, n, shift));
        }
    }
    return total;
}

/* ---- innermost axis kept: rows of `columns` elements */

/* Sums and maxima have kernels that take many rows at once; their results are joined block by block. */
ALWAYS_INLINE void reduce_columns_by_kernel(int rule, const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns,
                                            float *y) {
    const float *rows[ROW_BLOCK];
    float partial[REDUCE_COLUMNS];
    for (int64_t row = 0; row < r->rows; row += ROW_BLOCK) {
        const int32_t n = r->rows - row < ROW_BLOCK ? (int32_t)(r->rows - row) : ROW_BLOCK;
        for (int32_t i = 0; i < n; i++) rows[i] = x + wisp_row_offset(r, row + i);
        kernel(rows, n, (int32_t)columns, partial);
        for (int64_t j = 0; j < columns; j++) y[j] = join(rule, y[j], partial[j]);
    }
}

ALWAYS_INLINE void reduce_columns(int rule, const reduction *r, const float *x, int64_t columns, const float *shift, float *y) {
    for (int64_t row = 0; row < r->rows; row++) {
        const float *at = x + wisp_row_offset(r, row);
        for (int64_t j = 0; j < columns; j++) y[j] = join(rule, y[j], map(rule, at[j], shift[j]));
    }
}

/* ---- both */

ALWAYS_INLINE void reduce_by_kernel(int rule, const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y) {
    for (int64_t j = 0; j < columns; j++) y[j] = identity(rule);
    if (r->columns == 1)
        y[0] = join(rule, y[0], reduce_runs(rule, r, kernel, x, 0));
    else
        reduce_columns_by_kernel(rule, r, kernel, x, columns, y);
}

/* shift: of each output, read for EXPONENTIALS only. */
ALWAYS_INLINE void reduce(int rule, const reduction *r, const float *x, int64_t columns, const float *shift, float *y) {
    for (int64_t j = 0; j < columns; j++) y[j] = identity(rule);
    if (r->columns == 1)
        y[0] = join(rule, y[0], reduce_runs(rule, r, NULL, x, shift[0]));
    else
        reduce_columns(rule, r, x, columns, shift, y);
}

void wisp_sum_columns_f32(const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y) {
    reduce_by_kernel(SUM, r, kernel, x, columns, y);
}

void wisp_max_columns_f32(const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y) {
    reduce_by_kernel(MAXIMUM, r, kernel, x, columns, y);
}

#define WITHOUT_KERNEL(name, rule)                                                                      \
    void name(const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y) { \
        (void)kernel;                                                                                   \
        reduce(rule, r, x, columns, y, y);                                                              \
    }
WITHOUT_KERNEL(wisp_min_columns_f32, MINIMUM)
WITHOUT_KERNEL(wisp_product_columns_f32, PRODUCT)
WITHOUT_KERNEL(wisp_absolute_sum_columns_f32, ABSOLUTES)
WITHOUT_KERNEL(wisp_square_sum_columns_f32, SQUARES)

void wisp_log_sum_exp_columns_f32(const reduction *r, wisp_sum_f32_fn *kernel, const float *x, int64_t columns, float *y) {
    float shift[REDUCE_COLUMNS];
    wisp_max_columns_f32(r, kernel, x, columns, shift);
    for (int64_t j = 0; j < columns; j++) shift[j] = fabsf(shift[j]) < INFINITY ? shift[j] : 0; /* else inf - inf */
    reduce(EXPONENTIALS, r, x, columns, shift, y);
    for (int64_t j = 0; j < columns; j++) y[j] = log_f32(y[j]) + shift[j];
}
