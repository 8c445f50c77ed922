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
static int8_t *new_weights_s8(const wisp_gemm_s8 *g, wisp_channels_s8 *channels) {
    int32_t panels = round_up(g->n, 16) / 16, k4 = round_up(g->k, 4);
    size_t size = (size_t)panels * (size_t)g->taps * (size_t)k4 * 16, at = 0;
    int8_t *weights = new_buffer(size);
    random_s8(weights, size);
    for (int32_t p = 0; p < panels; p++)
        for (int32_t t = 0; t < g->taps; t++)
            for (int32_t c = 0; c < k4; c += 4)
                for (int32_t e = 0; e < 64; e++, at++) {
                    int32_t j = e / 4;
                    if (weights[at] == -128) weights[at] = -127;
                    if (c + e % 4 >= g->k || p * 16 + j >= g->n) weights[at] = 0;
                    channels[p].bias_u8[j] = add_wrap(channels[p].bias_u8[j], -128 * weights[at]);
                }
    return weights;
}

static void check_case_s8(const wisp_kernels *scalar, const wisp_kernels *tested, int32_t m, int32_t n, int32_t k, int32_t taps) {
    begin_case("m=%d n=%d k=%d taps=%d", m, n, k, taps);
    wisp_gemm_s8 g = {.m = m, .n = n, .k = k, .taps = taps};
    int32_t panels = round_up(n, 16) / 16;
    wisp_channels_s8 *channels = new_buffer((size_t)panels * sizeof *channels);
    g.left = random_channels(channels, panels, 3000.0 * sqrt((double)k * taps)) || random_between(0, 7) == 0;
    g.channels = channels;
    g.weights = new_weights_s8(&g, channels);
    void *x;
    size_t x_size;
    g.rows = (const int8_t *const *)new_rows((size_t)(m * taps), (size_t)k, &x, &x_size);
    random_s8(x, x_size);
    g.lo = (int8_t)(random_between(0, 1) ? -128 : random_between(-128, 127)); /* lo > hi happens */
    g.hi = (int8_t)(random_between(0, 1) ? 127 : random_between(-128, 127));
    g.scratch = new_buffer(wisp_gemm_s8_scratch(k, taps));
    g.out_stride = n + random_between(0, 5);
    output o = new_output((size_t)((m - 1) * g.out_stride + n));
    g.out = o.expected;
    scalar->gemm_s8->multiply(&g);
    g.out = o.actual;
    tested->gemm_s8->multiply(&g);
    expect_equal_bytes(&o);
}

static void check_s8(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    int32_t mr = tested->gemm_s8->rows;
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

static float *new_weights_f32(const wisp_gemm_f32 *g, int style) {
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
static double *error_bounds(const wisp_gemm_f32 *g, size_t size) {
    double *bound = new_buffer(size * sizeof *bound);
    memset(bound, 0, size * sizeof *bound);
    double terms = 2.0 * ((double)g->k * g->taps + 1);
    for (int32_t i = 0; i < g->m; i++)
        for (int32_t j = 0; j < g->n; j++) {
            double sum = fabs((double)g->bias[j]);
            const float *w = g->weights + (size_t)(j / 16) * (size_t)g->taps * (size_t)g->k * 16 + j % 16;
            for (int32_t t = 0; t < g->taps; t++)
                for (int32_t c = 0; c < g->k; c++, w += 16) sum += fabs((double)g->rows[t * g->m + i][c] * (double)*w);
            bound[i * g->out_stride + j] = 2.0 * terms * ldexp(1.0, -24) * sum;
        }
    return bound;
}

/* The same element computed alone must have the same bits: one row, one panel, fewer outputs of it. */
static void check_independence(const wisp_kernels *tested, const wisp_gemm_f32 *g) {
    int32_t i = random_between(0, g->m - 1), j0 = random_between(0, (g->n - 1) / 16) * 16;
    int32_t width = random_between(1, g->n - j0 < 16 ? g->n - j0 : 16);
    const float **rows = new_buffer((size_t)g->taps * sizeof *rows);
    for (int32_t t = 0; t < g->taps; t++) rows[t] = g->rows[t * g->m + i];
    output o = new_output((size_t)width * sizeof(float));
    wisp_gemm_f32 one = *g;
    one.m = 1, one.n = width, one.rows = rows, one.out = o.actual;
    one.weights += (size_t)j0 * (size_t)g->taps * (size_t)g->k;
    one.bias += j0;
    memcpy(o.expected, g->out + i * g->out_stride + j0, o.size);
    tested->gemm_f32->multiply(&one);
    expect_equal_floats(&o, true);
}

enum { WEIGHT_COUNT = 100000 }; /* at most: the largest sizes together would not fit a buffer */

static void check_case_f32(const wisp_kernels *scalar, const wisp_kernels *tested, int style, int32_t m, int32_t n, int32_t k,
                           int32_t taps) {
    while (taps > 1 && round_up(n, 16) * k * taps > WEIGHT_COUNT) taps--;
    begin_case("m=%d n=%d k=%d taps=%d %s", m, n, k, taps, style == INTEGERS ? "integers" : style == REALS ? "reals" : "specials");
    wisp_gemm_f32 g = {.m = m, .n = n, .k = k, .taps = taps, .lo = -INFINITY, .hi = INFINITY};
    g.weights = new_weights_f32(&g, style);
    size_t bias_count = (size_t)round_up(n, 16);
    float *bias = new_buffer(bias_count * sizeof *bias);
    random_small_floats(bias, bias_count);
    g.bias = bias;
    void *x;
    size_t x_size;
    g.rows = (const float *const *)new_rows((size_t)(m * taps), (size_t)k * sizeof(float), &x, &x_size);
    if (style == REALS)
        random_floats(x, x_size / sizeof(float), -1, 1);
    else
        random_small_floats(x, x_size / sizeof(float));
    if (style == SPECIALS) ((float *)x)[random_between(0, (int32_t)(x_size / sizeof(float)) - 1)] = NAN;
    if (random_between(0, 1)) g.lo = (float)random_between(-200, 100);
    if (random_between(0, 1)) g.hi = (float)random_between(-100, 200);
    g.out_stride = n + random_between(0, 5);
    output o = new_output((size_t)((m - 1) * g.out_stride + n) * sizeof(float));
    g.out = o.expected;
    scalar->gemm_f32->multiply(&g);
    g.out = o.actual;
    tested->gemm_f32->multiply(&g);
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

typedef struct problem_s8 {
    const wisp_kernels *kernels;
    int32_t m;
    const int8_t *x;
    wisp_gemm_s8 g;
} problem_s8;

static void run_s8(const void *state) {
    const problem_s8 *p = state;
    wisp_gemm_s8 g = p->g;
    const int8_t *rows[WISP_MAX_MR * 9];
    g.rows = rows;
    for (int32_t i = 0; i < p->m; i += g.m, g.out += g.m * g.out_stride) {
        g.m = p->m - i < p->kernels->gemm_s8->rows ? p->m - i : p->kernels->gemm_s8->rows;
        for (int32_t t = 0; t < g.taps; t++)
            for (int32_t r = 0; r < g.m; r++) rows[t * g.m + r] = p->x + (ptrdiff_t)(i + r + t) * g.k;
        p->kernels->gemm_s8->multiply(&g);
    }
}

static void bench_s8(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int32_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k, taps = shapes[s].taps, n16 = round_up(n, 16);
        wisp_channels_s8 *channels = bench_buffer((size_t)n16 / 16 * sizeof *channels);
        for (int32_t b = 0; b < n16 / 16; b++)
            for (int j = 0; j < 16; j++) channels[b].shift[j] = 8, channels[b].multiplier[j] = 20000;
        problem_s8 p = {tested, m, bench_buffer((size_t)(m + taps) * (size_t)k), {0}};
        p.g = (wisp_gemm_s8){.n = n, .k = k, .taps = taps, .channels = channels, .out_stride = n, .lo = -128, .hi = 127};
        p.g.weights = bench_buffer((size_t)(n16 * taps * round_up(k, 4)));
        p.g.out = bench_buffer((size_t)m * (size_t)n);
        p.g.scratch = bench_buffer(wisp_gemm_s8_scratch(k, taps));
        char shape[64];
        snprintf(shape, sizeof shape, "m%d k%d n%d taps%d", m, k, n, taps);
        bench(shape, (double)m * k * taps * n, "MAC", run_s8, &p);
    }
}

typedef struct problem_f32 {
    const wisp_kernels *kernels;
    int32_t m;
    const float *x;
    wisp_gemm_f32 g;
} problem_f32;

static void run_f32(const void *state) {
    const problem_f32 *p = state;
    wisp_gemm_f32 g = p->g;
    const float *rows[WISP_MAX_MR * 9];
    g.rows = rows;
    for (int32_t i = 0; i < p->m; i += g.m, g.out += g.m * g.out_stride) {
        g.m = p->m - i < p->kernels->gemm_f32->rows ? p->m - i : p->kernels->gemm_f32->rows;
        for (int32_t t = 0; t < g.taps; t++)
            for (int32_t r = 0; r < g.m; r++) rows[t * g.m + r] = p->x + (ptrdiff_t)(i + r + t) * g.k;
        p->kernels->gemm_f32->multiply(&g);
    }
}

static float *bench_floats(size_t count) {
    float *p = bench_buffer(count * sizeof *p);
    random_floats(p, count, -1, 1);
    return p;
}

static void bench_f32(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int32_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k, taps = shapes[s].taps, n16 = round_up(n, 16);
        problem_f32 p = {tested, m, bench_floats((size_t)(m + taps) * (size_t)k), {0}};
        p.g = (wisp_gemm_f32){.n = n, .k = k, .taps = taps, .out_stride = n, .lo = -INFINITY, .hi = INFINITY};
        p.g.weights = bench_floats((size_t)n16 * (size_t)taps * (size_t)k);
        p.g.bias = bench_floats((size_t)n16);
        p.g.out = bench_floats((size_t)m * (size_t)n);
        char shape[64];
        snprintf(shape, sizeof shape, "m%d k%d n%d taps%d", m, k, n, taps);
        bench(shape, (double)m * k * taps * n, "MAC", run_f32, &p);
    }
}

const check_slot gemm_slots[] = {SLOT(gemm_s8, check_s8, bench_s8), SLOT(gemm_f32, check_f32, bench_f32), {0}};
