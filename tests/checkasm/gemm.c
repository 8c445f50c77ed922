/* Matrix kernels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "quant.h"

static const int32_t n_sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 80, 81, 127, 128, 129};
static const int32_t k_sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  11, 12, 13, 15, 16, 17,  18,  19,  20,
                                  21, 23, 24, 25, 31, 32, 33, 35, 47, 48, 49, 63, 64, 65, 100, 127, 128, 129};
static const int32_t tap_counts[] = {1, 1, 1, 2, 3, 4, 9};

static int32_t round_up(int32_t n, int32_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* Random weights in GEMM_S8 layout, and bias_u8 to match. Values beyond n and k are 0. */
static int8_t *new_weights_s8(const wisp_gemm *g, wisp_channels_s8 *channels) {
    int32_t panels = round_up(g->n, 16) / 16, k4 = round_up(g->k, 4);
    size_t size = (size_t)panels * (size_t)g->taps * (size_t)k4 * 16, at = 0;
    int8_t *weights = new_buffer(size);
    random_s8(weights, size);
    for (int32_t p = 0; p < panels; p++)
        for (int32_t t = 0; t < g->taps; t++)
            for (int32_t c = 0; c < k4; c += 4)
                for (int32_t e = 0; e < 64; e++, at++) {
                    int32_t j = e / 4;
                    if (weights[at] == -128 && !g->full_range) weights[at] = -127;
                    if (c + e % 4 >= g->k || p * 16 + j >= g->n) weights[at] = 0;
                    channels[p].bias_u8[j] = add_wrap(channels[p].bias_u8[j], multiply_wrap(-128, weights[at]));
                }
    return weights;
}

/* Some as zero points make them, some that wrap around. */
static int32_t *new_terms(int32_t count) {
    int32_t *terms = new_buffer((size_t)count * sizeof *terms), limit = random_between(0, 3) ? 4000 : INT32_MAX;
    for (int32_t i = 0; i < count; i++) terms[i] = random_between(-limit, limit);
    return terms;
}

/* The rows are packed once, as the loop does it, then two parts of the columns multiplied. */
static void multiply(const wisp_gemm_kernel *kernel, wisp_gemm g, void *out, size_t element, size_t column_size) {
    const int32_t n = g.n, first = n > 16 ? random_between(0, (n - 1) / 16) * 16 : 0;
    void *packed = new_buffer((size_t)wisp_packed_size(kernel->rows, kernel->unit, g.k, g.taps));
    g.packed = packed;
    if (kernel->pack_rows) kernel->pack_rows(&g, packed);
    g.out = out;
    if (first) {
        g.n = first;
        kernel->multiply(&g);
        g.n = n - first;
        g.weights = (const char *)g.weights + (size_t)first * (size_t)g.taps * (element == 1 ? (size_t)round_up(g.k, 4) : 4 * (size_t)g.k);
        g.columns = (const char *)g.columns + (size_t)(first / 16) * column_size;
        if (g.column_term) g.column_term += first;
        g.out = (char *)out + (size_t)first * element;
    }
    kernel->multiply(&g);
}

static void multiply_s8(const wisp_gemm_kernel *kernel, const wisp_gemm *g, void *out) {
    multiply(kernel, *g, out, 1, sizeof(wisp_channels_s8));
}

static void multiply_f32(const wisp_gemm_kernel *kernel, const wisp_gemm *g, void *out) {
    multiply(kernel, *g, out, sizeof(float), 16 * sizeof(float));
}

static void check_case_s8(const wisp_kernels *scalar, const wisp_kernels *tested, int32_t m, int32_t n, int32_t k, int32_t taps) {
    wisp_gemm g = {.m = m, .n = n, .k = k, .taps = taps, .full_range = random_between(0, 2) == 0};
    const bool terms = random_between(0, 2) == 0;
    begin_case("m=%d n=%d k=%d taps=%d%s%s", m, n, k, taps, g.full_range ? " full range" : "", terms ? " terms" : "");
    int32_t panels = round_up(n, 16) / 16;
    wisp_channels_s8 *channels = new_buffer((size_t)panels * sizeof *channels);
    g.any_left_shift = random_channels(channels, panels, 3000.0 * sqrt((double)k * taps)) || random_between(0, 7) == 0;
    g.columns = channels;
    g.weights = new_weights_s8(&g, channels);
    if (terms) g.row_term = new_terms(m), g.column_term = new_terms(panels * 16);
    void *x;
    size_t x_size;
    g.rows = new_rows((size_t)(m * taps), (size_t)k, &x, &x_size);
    random_s8(x, x_size);
    g.lo = (int8_t)(random_between(0, 1) ? -128 : random_between(-128, 127)); /* lo > hi happens */
    g.hi = (int8_t)(random_between(0, 1) ? 127 : random_between(-128, 127));
    g.out_stride = n + random_between(0, 5);
    output o = new_output((size_t)((m - 1) * g.out_stride + n));
    multiply_s8(scalar->gemm_s8, &g, o.expected);
    multiply_s8(tested->gemm_s8, &g, o.actual);
    expect_equal_bytes(&o);
}

static void check_s8(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    int32_t mr = tested->gemm_s8->rows;
    expect(mr >= 1 && mr <= WISP_MAX_MR && tested->gemm_s8->unit <= WISP_MAX_UNIT &&
               (tested->gemm_s8->unit > 0) == (tested->gemm_s8->pack_rows != NULL),
           "rows or unit of the descriptor are out of range");
    EACH_OF(int32_t, n, n_sizes) {
        for (int32_t m = 1; m <= mr; m++) check_case_s8(scalar, tested, m, n, PICK(k_sizes), PICK(tap_counts));
    }
    EACH_OF(int32_t, k, k_sizes) {
        for (int32_t m = 1; m <= mr; m++) check_case_s8(scalar, tested, m, PICK(n_sizes), k, PICK(tap_counts));
    }
    EACH_OF(int32_t, taps, tap_counts) {
        for (int32_t m = 1; m <= mr; m++) check_case_s8(scalar, tested, m, PICK(n_sizes), PICK(k_sizes), taps);
    }
    for (int i = 0; i < 300; i++) check_case_s8(scalar, tested, random_between(1, mr), PICK(n_sizes), PICK(k_sizes), PICK(tap_counts));
}

enum { INTEGERS, REALS, SPECIALS };

static float *new_weights_f32(const wisp_gemm *g, int style) {
    int32_t panels = round_up(g->n, 16) / 16;
    size_t size = (size_t)panels * (size_t)g->taps * (size_t)g->k * 16;
    float *weights = new_buffer(size * sizeof *weights);
    if (style == REALS)
        random_floats(weights, size, -1, 1);
    else
        random_small_floats(weights, size);
    for (size_t i = 0, per_panel = size / (size_t)panels; i < size; i++)
        if ((int32_t)(i / per_panel) * 16 + (int32_t)(i % 16) >= g->n) weights[i] = 0;
    return weights;
}

/* Two ways to add the terms v of a sum of N products differ by at most 2 N u sum |v| (to first order; u = 2^-24 is the
 * rounding error of one operation, an FMA rounds once where the scalar kernel rounds twice: 2 N instead of N operations). */
static double *error_bounds(const wisp_gemm *g, size_t size) {
    double *bound = new_buffer(size * sizeof *bound);
    memset(bound, 0, size * sizeof *bound);
    double terms = 2.0 * ((double)g->k * g->taps + 1);
    for (int32_t i = 0; i < g->m; i++)
        for (int32_t j = 0; j < g->n; j++) {
            double sum = fabs((double)((const float *)g->columns)[j]);
            const float *w = (const float *)g->weights + (size_t)(j / 16) * (size_t)g->taps * (size_t)g->k * 16 + j % 16;
            for (int32_t t = 0; t < g->taps; t++)
                for (int32_t c = 0; c < g->k; c++, w += 16) sum += fabs((double)((const float *)g->rows[t * g->m + i])[c] * (double)*w);
            bound[i * g->out_stride + j] = 2.0 * terms * ldexp(1.0, -24) * sum;
        }
    return bound;
}

/* The same element computed alone must have the same bits: one row, one panel, fewer outputs of it. */
static void check_independence(const wisp_kernels *tested, const wisp_gemm *g) {
    int32_t i = random_between(0, g->m - 1), j0 = random_between(0, (g->n - 1) / 16) * 16;
    int32_t width = random_between(1, g->n - j0 < 16 ? g->n - j0 : 16);
    const void **rows = new_buffer((size_t)g->taps * sizeof *rows);
    for (int32_t t = 0; t < g->taps; t++) rows[t] = g->rows[t * g->m + i];
    output o = new_output((size_t)width * sizeof(float));
    wisp_gemm one = *g;
    one.m = 1, one.n = width, one.rows = rows;
    one.weights = (const float *)one.weights + (size_t)j0 * (size_t)g->taps * (size_t)g->k;
    one.columns = (const float *)one.columns + j0;
    memcpy(o.expected, (const float *)g->out + i * g->out_stride + j0, o.size);
    multiply_f32(tested->gemm_f32, &one, o.actual);
    expect_equal_floats(&o, true);
}

enum { WEIGHT_COUNT = 100000 }; /* at most: the largest sizes together would not fit a buffer */

static void check_case_f32(const wisp_kernels *scalar, const wisp_kernels *tested, int style, int32_t m, int32_t n, int32_t k,
                           int32_t taps) {
    while (taps > 1 && round_up(n, 16) * k * taps > WEIGHT_COUNT) taps--;
    begin_case("m=%d n=%d k=%d taps=%d %s", m, n, k, taps, style == INTEGERS ? "integers" : style == REALS ? "reals" : "specials");
    wisp_gemm g = {.m = m, .n = n, .k = k, .taps = taps, .min = -INFINITY, .max = INFINITY};
    g.weights = new_weights_f32(&g, style);
    size_t bias_count = (size_t)round_up(n, 16);
    float *bias = new_buffer(bias_count * sizeof *bias);
    random_small_floats(bias, bias_count);
    g.columns = bias;
    void *x;
    size_t x_size;
    g.rows = new_rows((size_t)(m * taps), (size_t)k * sizeof(float), &x, &x_size);
    if (style == REALS)
        random_floats(x, x_size / sizeof(float), -1, 1);
    else
        random_small_floats(x, x_size / sizeof(float));
    if (style == SPECIALS) ((float *)x)[random_between(0, (int32_t)(x_size / sizeof(float)) - 1)] = NAN;
    if (random_between(0, 1)) g.min = (float)random_between(-200, 100);
    if (random_between(0, 1)) g.max = (float)random_between(-100, 200);
    g.out_stride = n + random_between(0, 5);
    output o = new_output((size_t)((m - 1) * g.out_stride + n) * sizeof(float));
    multiply_f32(scalar->gemm_f32, &g, o.expected);
    multiply_f32(tested->gemm_f32, &g, o.actual);
    g.out = o.actual;
    if (style == REALS)
        expect_close_floats(&o, error_bounds(&g, o.size / sizeof(float)));
    else
        expect_equal_floats(&o, true);
    check_independence(tested, &g);
}

static void check_f32(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    int32_t mr = tested->gemm_f32->rows;
    EACH_OF(int32_t, n, n_sizes) {
        for (int32_t m = 1; m <= mr; m++) check_case_f32(scalar, tested, INTEGERS, m, n, PICK(k_sizes), PICK(tap_counts));
    }
    EACH_OF(int32_t, k, k_sizes) {
        for (int32_t m = 1; m <= mr; m++) check_case_f32(scalar, tested, REALS, m, PICK(n_sizes), k, PICK(tap_counts));
    }
    for (int i = 0; i < 100; i++)
        check_case_f32(scalar, tested, i % 3, random_between(1, mr), PICK(n_sizes), PICK(k_sizes), PICK(tap_counts));
}

/* Rows, outputs and values of MobileNet-v2 and nsnet2 layers; the loop over tiles is the operator's. */
static const struct {
    int32_t m, k, n, taps;
} shapes[] = {{784, 32, 192, 1}, {3136, 64, 64, 1}, {196, 512, 512, 1}, {3136, 144, 24, 1}, {784, 192, 32, 1},
              {196, 384, 64, 1}, {196, 576, 96, 1}, {49, 960, 160, 1},  {49, 160, 960, 1},  {3136, 24, 144, 1},
              {12544, 3, 32, 9}, {784, 32, 32, 9},  {1, 400, 1200, 1}};

typedef struct problem {
    const wisp_gemm_kernel *kernel;
    int32_t m;
    size_t element; /* bytes */
    const char *x;
    void *packed;
    wisp_gemm g;
} problem;

static void run(const void *state) {
    const problem *p = state;
    wisp_gemm g = p->g;
    const void *rows[WISP_MAX_MR * 9];
    g.rows = rows, g.packed = p->packed;
    for (int32_t i = 0; i < p->m; i += g.m, g.out = (char *)g.out + (size_t)(g.m * g.out_stride) * p->element) {
        g.m = p->m - i < p->kernel->rows ? p->m - i : p->kernel->rows;
        for (int32_t t = 0; t < g.taps; t++)
            for (int32_t r = 0; r < g.m; r++) rows[t * g.m + r] = p->x + (size_t)(i + r + t) * (size_t)g.k * p->element;
        if (p->kernel->pack_rows) p->kernel->pack_rows(&g, p->packed);
        p->kernel->multiply(&g);
    }
}

static float *bench_floats(size_t count) {
    float *p = bench_buffer(count * sizeof *p);
    random_floats(p, count, -1, 1);
    return p;
}

static void bench_shapes(const wisp_gemm_kernel *kernel, bool s8) {
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int32_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k, taps = shapes[s].taps, n16 = round_up(n, 16);
        size_t values = (size_t)(m + taps) * (size_t)k, weights = (size_t)n16 * (size_t)taps * (size_t)round_up(k, 4);
        problem p = {.kernel = kernel, .m = m, .element = s8 ? 1 : sizeof(float)};
        p.g = (wisp_gemm){.n = n, .k = k, .taps = taps, .out_stride = n};
        if (s8) {
            wisp_channels_s8 *channels = bench_buffer((size_t)n16 / 16 * sizeof *channels);
            for (int32_t b = 0; b < n16 / 16; b++)
                for (int j = 0; j < 16; j++) channels[b].shift[j] = 8, channels[b].multiplier[j] = 20000;
            p.x = bench_buffer(values), p.g.weights = bench_buffer(weights), p.g.columns = channels;
            p.g.lo = -128, p.g.hi = 127;
        } else {
            p.x = (const char *)bench_floats(values), p.g.weights = bench_floats(weights), p.g.columns = bench_floats((size_t)n16);
            p.g.min = -INFINITY, p.g.max = INFINITY;
        }
        p.g.out = bench_buffer((size_t)m * (size_t)n * p.element);
        p.packed = bench_buffer(64 + (size_t)wisp_packed_size(kernel->rows, kernel->unit, k, taps));
        char shape[64];
        snprintf(shape, sizeof shape, "m%d k%d n%d taps%d", m, k, n, taps);
        bench(shape, (double)m * k * taps * n, "MAC", run, &p);
    }
}

static void bench_s8(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_shapes(tested->gemm_s8, true);
}

static void bench_f32(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_shapes(tested->gemm_f32, false);
}

const check_slot gemm_slots[] = {SLOT(gemm_s8, check_s8, bench_s8), SLOT(gemm_f32, check_f32, bench_f32), {0}};
