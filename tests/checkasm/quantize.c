/* Conversions between f32 and int8: the same bits everywhere, halves and specials included. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>

#include "checkasm.h"

static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 39, 40, 41, 63, 64, 65, 127, 128, 129, 1000};

static void fill(float *x, size_t n, float inverse_scale) {
    static const float values[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3e38f, -3e38f, 1e-42f, 2147483648.0f, -2147483904.0f};
    int style = random_between(0, 2);
    for (size_t i = 0; i < n; i++) {
        x[i] = random_float(-300, 300) / inverse_scale;
        if (style > 0) x[i] = ((float)random_between(-300, 300) + 0.5f) / inverse_scale;
        if (style > 1 && random_between(0, 2) == 0) x[i] = PICK(values);
    }
}

static void check_quantize(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    static const float scales[] = {1.0f, 2.0f, 0.125f, 37.3f, 0.0173f, 1e-30f, 1e30f, 1e-39f, 3e38f}; /* the last two: denormal operands */
    static const int32_t zeros[] = {-128, 127, 0, 1, -7};
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int i = 0; i < 20; i++) {
            float scale = PICK(scales);
            int32_t zero = PICK(zeros);
            begin_case("n=%zu inverse scale %g zero point %d", n, (double)scale, zero);
            float *x = new_buffer(n * sizeof *x);
            fill(x, n, scale);
            output y = new_output(n);
            scalar->quantize_s8(x, scale, zero, y.expected, n);
            tested->quantize_s8(x, scale, zero, y.actual, n);
            expect_equal_bytes(&y);
        }
    }
}

static void check_dequantize(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    static const float scales[] = {1.0f, 0.0231f, 1e-40f, 1e37f, 3.7f};
    static const int32_t zeros[] = {-128, 127, 0, 1, -7};
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int i = 0; i < 10; i++) {
            float scale = PICK(scales);
            int32_t zero = PICK(zeros);
            begin_case("n=%zu scale %g zero point %d", n, (double)scale, zero);
            int8_t *x = new_buffer(n);
            random_s8(x, n);
            output y = new_output(n * sizeof(float));
            scalar->dequantize_s8(x, scale, zero, y.expected, n);
            tested->dequantize_s8(x, scale, zero, y.actual, n);
            expect_equal_floats(&y, true);
        }
    }
}

enum { COUNT = 224 * 224 * 3 };

typedef struct problem {
    const wisp_kernels *kernels;
    float *x;
    int8_t *y;
} problem;

static void run_quantize(const void *s) {
    const problem *p = s;
    p->kernels->quantize_s8(p->x, 100.0f, -3, p->y, COUNT);
}
static void run_dequantize(const void *s) {
    const problem *p = s;
    p->kernels->dequantize_s8(p->y, 0.01f, -3, p->x, COUNT);
}

static void bench_run(const wisp_kernels *tested, bench_fn *run) {
    problem p = {tested, bench_buffer(COUNT * sizeof(float)), bench_buffer(COUNT)};
    random_floats(p.x, COUNT, -1, 1);
    bench("224x224x3", COUNT, "value", run, &p);
}

static void bench_quantize(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_run(tested, run_quantize);
}
static void bench_dequantize(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_run(tested, run_dequantize);
}

const check_slot quantize_slots[] = {
    SLOT(quantize_s8, check_quantize, bench_quantize), SLOT(dequantize_s8, check_dequantize, bench_dequantize), {0}};
