/* Element-wise kernels: odd lengths, broadcast operands, results over an operand. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkasm.h"

static const size_t sizes[] = {0,  1,  2,  3,  4,  5,  7,  8,  9,  15, 16, 17, 23, 24,  25,  31,  32,
                               33, 47, 48, 49, 63, 64, 65, 79, 80, 95, 96, 97, 99, 127, 128, 129, 1000};

/* Which operand is a single value, and where the result goes. */
enum { PLAIN, A_FIXED, B_FIXED, OVER_A, OVER_B, MODE_COUNT };
static const char *const mode_names[] = {"", "a fixed", "b fixed", "y is a", "y is b"};

typedef struct operands {
    const void *a, *b;
    int step_a, step_b;
    output y;
} operands;

/* Operands of n elements; fill(x, n) writes them. */
static operands new_operands(int mode, size_t n, size_t element, void (*fill)(void *x, size_t n)) {
    operands v = {.step_a = mode != A_FIXED, .step_b = mode != B_FIXED};
    size_t size_a = (v.step_a ? n : 1) * element, size_b = (v.step_b ? n : 1) * element;
    void *a = new_buffer(size_a), *b = new_buffer(size_b);
    fill(a, size_a / element);
    fill(b, size_b / element);
    v.a = a, v.b = b;
    v.y = mode == OVER_A ? new_output_from(a, size_a) : mode == OVER_B ? new_output_from(b, size_b) : new_output(n * element);
    return v;
}

/* The operands of one of the two calls: over an operand, that operand is the output's own copy. */
static const void *operand_a(const operands *v, int mode, const void *y) {
    return mode == OVER_A ? y : v->a;
}
static const void *operand_b(const operands *v, int mode, const void *y) {
    return mode == OVER_B ? y : v->b;
}

static void fill_s8(void *x, size_t n) {
    random_s8(x, n);
}

static int8_t random_limit(int8_t usual) {
    return random_between(0, 1) ? usual : (int8_t)random_between(-128, 127);
}

static wisp_add_s8 random_add(void) {
    static const int32_t multipliers[] = {-32768, 32767, 0, 1, -1, 16384};
    static const int32_t biases[] = {INT32_MIN, INT32_MAX, 0};
    wisp_add_s8 p = {.lo = random_limit(-128), .hi = random_limit(127)};
    p.shift = random_between(0, 31);
    p.multiplier_a = random_between(0, 2) ? random_between(0, 32767) : PICK(multipliers);
    p.multiplier_b = random_between(0, 2) ? random_between(0, 32767) : PICK(multipliers);
    p.bias = random_between(0, 3) ? random_between(-(1 << 20), 1 << 20) : PICK(biases);
    if (random_between(0, 1)) p.shift = random_between(12, 16);
    return p;
}

static wisp_mul_s8 random_mul(void) {
    static const int32_t multipliers[] = {0, 16384, 32767};
    static const int32_t biases[] = {INT32_MIN, INT32_MAX, 0};
    wisp_mul_s8 p = {.lo = random_limit(-128), .hi = random_limit(127)};
    p.zero_a = random_between(-128, 127), p.zero_b = random_between(-128, 127);
    p.bias = random_between(0, 3) ? random_between(-(1 << 14), 1 << 14) : PICK(biases);
    p.shift = random_between(0, 1) ? random_between(-15, 31) : random_between(-2, 4);
    p.multiplier = random_between(0, 2) ? random_between(16384, 32767) : PICK(multipliers);
    return p;
}

static void check_add(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int mode = 0; mode < 3 * MODE_COUNT; mode++) {
            int m = mode % MODE_COUNT;
            wisp_add_s8 p = random_add();
            begin_case("n=%zu %s, multipliers %d %d bias %d shift %d clamp %d %d", n, mode_names[m], p.multiplier_a, p.multiplier_b, p.bias,
                       p.shift, p.lo, p.hi);
            operands v = new_operands(m, n, 1, fill_s8);
            scalar->add_s8(&p, operand_a(&v, m, v.y.expected), v.step_a, operand_b(&v, m, v.y.expected), v.step_b, v.y.expected, n);
            tested->add_s8(&p, operand_a(&v, m, v.y.actual), v.step_a, operand_b(&v, m, v.y.actual), v.step_b, v.y.actual, n);
            expect_equal_bytes(&v.y);
        }
    }
}

static void check_mul(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int mode = 0; mode < 3 * MODE_COUNT; mode++) {
            int m = mode % MODE_COUNT;
            wisp_mul_s8 p = random_mul();
            begin_case("n=%zu %s, zeros %d %d bias %d shift %d multiplier %d clamp %d %d", n, mode_names[m], p.zero_a, p.zero_b, p.bias,
                       p.shift, p.multiplier, p.lo, p.hi);
            operands v = new_operands(m, n, 1, fill_s8);
            scalar->mul_s8(&p, operand_a(&v, m, v.y.expected), v.step_a, operand_b(&v, m, v.y.expected), v.step_b, v.y.expected, n);
            tested->mul_s8(&p, operand_a(&v, m, v.y.actual), v.step_a, operand_b(&v, m, v.y.actual), v.step_b, v.y.actual, n);
            expect_equal_bytes(&v.y);
        }
    }
}

static void check_lookup(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int in_place = 0; in_place < 4; in_place++) {
            begin_case("n=%zu%s", n, in_place & 1 ? " in place" : "");
            int8_t *table = new_buffer(256), *x = new_buffer(n);
            for (int i = 0; i < 256; i++) table[i] = (int8_t)random_between(-128, 127);
            for (size_t i = 0; i < n; i++) x[i] = (int8_t)random_between(-128, 127);
            output y = in_place & 1 ? new_output_from(x, n) : new_output(n);
            scalar->lookup_s8(table, in_place & 1 ? y.expected : x, y.expected, n);
            tested->lookup_s8(table, in_place & 1 ? y.actual : x, y.actual, n);
            expect_equal_bytes(&y);
        }
    }
}

static void fill_floats(void *x, size_t n) {
    static const float values[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e38f, -1e-40f, 1.0f};
    random_floats(x, n, -100, 100);
    if (random_between(0, 1))
        for (size_t i = 0; i < n; i++)
            if (random_between(0, 2) == 0) ((float *)x)[i] = PICK(values);
}

static wisp_binary_f32_fn *binary_kernel(const wisp_kernels *kernels, size_t offset) {
    wisp_binary_f32_fn *kernel;
    memcpy(&kernel, (const char *)kernels + offset, sizeof kernel);
    return kernel;
}

/* Sum, difference, product and quotient are IEEE operations: the same bits everywhere. Of two zeros, either may be the
 * minimum or maximum. */
static void check_binary(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    bool any_zero = offset == offsetof(wisp_kernels, minimum_f32) || offset == offsetof(wisp_kernels, maximum_f32);
    EACH_OF(size_t, n, sizes) {
        for (int mode = 0; mode < 2 * MODE_COUNT; mode++) {
            int m = mode % MODE_COUNT;
            begin_case("n=%zu %s", n, mode_names[m]);
            operands v = new_operands(m, n, sizeof(float), fill_floats);
            binary_kernel(scalar, offset)(operand_a(&v, m, v.y.expected), v.step_a, operand_b(&v, m, v.y.expected), v.step_b, v.y.expected,
                                          n);
            binary_kernel(tested, offset)(operand_a(&v, m, v.y.actual), v.step_a, operand_b(&v, m, v.y.actual), v.step_b, v.y.actual, n);
            expect_equal_floats(&v.y, !any_zero);
        }
    }
}

static void check_clamp(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    static const float limits[] = {-INFINITY, INFINITY, 0.0f, -0.0f, 6.0f, -50.0f};
    (void)offset;
    EACH_OF(size_t, n, sizes) {
        for (int in_place = 0; in_place < 8; in_place++) {
            float lo = PICK(limits), hi = PICK(limits);
            begin_case("n=%zu lo=%g hi=%g%s", n, (double)lo, (double)hi, in_place & 1 ? " in place" : "");
            float *x = new_buffer(n * sizeof *x);
            fill_floats(x, n);
            output y = in_place & 1 ? new_output_from(x, n * sizeof *x) : new_output(n * sizeof *x);
            scalar->clamp_f32(in_place & 1 ? y.expected : x, lo, hi, y.expected, n);
            tested->clamp_f32(in_place & 1 ? y.actual : x, lo, hi, y.actual, n);
            expect_equal_floats(&y, true);
        }
    }
}

/* 56 x 56 x 24 values, as in MobileNet-v2's first residual sums. */
enum { COUNT = 56 * 56 * 24 };

typedef struct problem {
    const wisp_kernels *kernels;
    size_t offset;
    const void *a, *b;
    void *y;
} problem;

static void run_add(const void *s) {
    const problem *p = s;
    wisp_add_s8 add = {16000, 20000, 1 << 13, 14, -128, 127};
    p->kernels->add_s8(&add, p->a, 1, p->b, 1, p->y, COUNT);
}
static void run_mul(const void *s) {
    const problem *p = s;
    wisp_mul_s8 mul = {3, -5, 1 << 3, 4, 20000, -128, 127};
    p->kernels->mul_s8(&mul, p->a, 1, p->b, 1, p->y, COUNT);
}
static void run_lookup(const void *s) {
    const problem *p = s;
    p->kernels->lookup_s8(p->b, p->a, p->y, COUNT);
}
static void run_binary(const void *s) {
    const problem *p = s;
    binary_kernel(p->kernels, p->offset)(p->a, 1, p->b, 1, p->y, COUNT);
}
static void run_clamp(const void *s) {
    const problem *p = s;
    p->kernels->clamp_f32(p->a, 0, 6, p->y, COUNT);
}

static void bench_run(const wisp_kernels *tested, size_t offset, bench_fn *run) {
    float *a = bench_buffer(COUNT * sizeof *a), *b = bench_buffer(COUNT * sizeof *b);
    random_floats(a, COUNT, 1, 2);
    random_floats(b, COUNT, 1, 2);
    problem p = {tested, offset, a, b, bench_buffer(COUNT * sizeof *a)};
    bench("56x56x24", COUNT, "value", run, &p);
}

static void bench_add(const wisp_kernels *tested, size_t offset) {
    bench_run(tested, offset, run_add);
}
static void bench_mul(const wisp_kernels *tested, size_t offset) {
    bench_run(tested, offset, run_mul);
}
static void bench_lookup(const wisp_kernels *tested, size_t offset) {
    bench_run(tested, offset, run_lookup);
}
static void bench_binary(const wisp_kernels *tested, size_t offset) {
    bench_run(tested, offset, run_binary);
}
static void bench_clamp(const wisp_kernels *tested, size_t offset) {
    bench_run(tested, offset, run_clamp);
}

const check_slot eltwise_slots[] = {SLOT(add_s8, check_add, bench_add),
                                    SLOT(mul_s8, check_mul, bench_mul),
                                    SLOT(lookup_s8, check_lookup, bench_lookup),
                                    SLOT(add_f32, check_binary, bench_binary),
                                    SLOT(sub_f32, check_binary, bench_binary),
                                    SLOT(mul_f32, check_binary, bench_binary),
                                    SLOT(div_f32, check_binary, bench_binary),
                                    SLOT(minimum_f32, check_binary, bench_binary),
                                    SLOT(maximum_f32, check_binary, bench_binary),
                                    SLOT(clamp_f32, check_clamp, bench_clamp),
                                    {0}};
