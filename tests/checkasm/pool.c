/* Pooling kernels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkasm.h"

static const int32_t counts[] = {1, 2, 3, 4, 5, 8, 9, 49, 255, 256, 257, 300, 513};
static const int32_t c_sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17,  18,  23, 24,
                                  25, 31, 32, 33, 39, 40, 41, 47, 48, 49, 63, 64, 65, 95, 96, 97, 127, 128, 129};

static const void **new_rows_s8(int32_t count, int32_t c) {
    void *x;
    size_t x_size;
    const void **rows = new_rows((size_t)count, (size_t)c, &x, &x_size);
    random_s8(x, x_size);
    return rows;
}

/* Small integers add exactly in any order; `special` adds NaN, infinities and zeros of both signs. */
static const void **new_rows_f32(int32_t count, int32_t c, bool special) {
    static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e38f, -1e-40f};
    void *x;
    size_t x_size;
    const void **rows = new_rows((size_t)count, (size_t)c * sizeof(float), &x, &x_size);
    float *values_at = x;
    random_small_floats(values_at, x_size / sizeof(float));
    for (size_t i = 0; special && i < x_size / sizeof(float); i++)
        if (random_between(0, 3) == 0) values_at[i] = PICK(values);
    return rows;
}

static void check_max_s8(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, count, counts) {
            begin_case("count=%d c=%d", count, c);
            const int8_t *const *rows = (const int8_t *const *)new_rows_s8(count, c);
            output o = new_output((size_t)c);
            scalar->max_s8(rows, count, c, o.expected);
            tested->max_s8(rows, count, c, o.actual);
            expect_equal_bytes(&o);
        }
    }
}

static void check_sum_s8(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, count, counts) {
            begin_case("count=%d c=%d", count, c);
            const int8_t *const *rows = (const int8_t *const *)new_rows_s8(count, c);
            output o = new_output((size_t)c * sizeof(int32_t));
            scalar->sum_s8(rows, count, c, o.expected);
            tested->sum_s8(rows, count, c, o.actual);
            expect_equal_bytes(&o);
        }
    }
}

static void check_max_f32(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, count, counts) {
            bool special = random_between(0, 1);
            begin_case("count=%d c=%d%s", count, c, special ? " specials" : "");
            const float *const *rows = (const float *const *)new_rows_f32(count, c, special);
            output o = new_output((size_t)c * sizeof(float));
            scalar->max_f32(rows, count, c, o.expected);
            tested->max_f32(rows, count, c, o.actual);
            expect_equal_floats(&o, !special);
        }
    }
}

static void check_sum_f32(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, count, counts) {
            bool special = random_between(0, 1);
            begin_case("count=%d c=%d%s", count, c, special ? " specials" : "");
            const float *const *rows = (const float *const *)new_rows_f32(count, c, special);
            output o = new_output((size_t)c * sizeof(float));
            scalar->sum_f32(rows, count, c, o.expected);
            tested->sum_f32(rows, count, c, o.actual);
            expect_equal_floats(&o, !special);
        }
    }
}

static const struct {
    int32_t count, c;
} shapes[] = {{9, 64}, {4, 24}, {49, 1280}};

typedef struct problem {
    const wisp_kernels *kernels;
    const void **rows;
    int32_t count, c;
    void *out;
} problem;

static void run_max_s8(const void *s) {
    const problem *p = s;
    p->kernels->max_s8((const int8_t *const *)p->rows, p->count, p->c, p->out);
}
static void run_max_f32(const void *s) {
    const problem *p = s;
    p->kernels->max_f32((const float *const *)p->rows, p->count, p->c, p->out);
}
static void run_sum_s8(const void *s) {
    const problem *p = s;
    p->kernels->sum_s8((const int8_t *const *)p->rows, p->count, p->c, p->out);
}
static void run_sum_f32(const void *s) {
    const problem *p = s;
    p->kernels->sum_f32((const float *const *)p->rows, p->count, p->c, p->out);
}

static void bench_pool(const wisp_kernels *tested, size_t offset) {
    bool is_f32 = offset == offsetof(wisp_kernels, max_f32) || offset == offsetof(wisp_kernels, sum_f32);
    bench_fn *run = offset == offsetof(wisp_kernels, max_s8)    ? run_max_s8
                    : offset == offsetof(wisp_kernels, max_f32) ? run_max_f32
                    : offset == offsetof(wisp_kernels, sum_s8)  ? run_sum_s8
                                                                : run_sum_f32;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int32_t count = shapes[s].count, c = shapes[s].c;
        size_t row_size = (size_t)c * (is_f32 ? sizeof(float) : 1);
        char *x = bench_buffer((size_t)count * row_size);
        if (is_f32) random_floats((float *)x, (size_t)(count * c), -1, 1);
        problem p = {tested, bench_buffer((size_t)count * sizeof(void *)), count, c, bench_buffer((size_t)c * 4)};
        for (int32_t t = 0; t < count; t++) p.rows[t] = x + (size_t)t * row_size;
        char shape[64];
        snprintf(shape, sizeof shape, "count%d c%d", count, c);
        bench(shape, (double)count * c, "value", run, &p);
    }
}

const check_slot pool_slots[] = {SLOT(max_s8, check_max_s8, bench_pool),
                                 SLOT(max_f32, check_max_f32, bench_pool),
                                 SLOT(sum_s8, check_sum_s8, bench_pool),
                                 SLOT(sum_f32, check_sum_f32, bench_pool),
                                 {0}};
