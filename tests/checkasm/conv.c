/* Depthwise kernels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "quant.h"

static const int32_t n_sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13};
static const int32_t c_sizes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,  16,  17,  18,  19,  20,  23,  24,  25,
                                  31, 32, 33, 40, 41, 47, 48, 49, 63, 64, 65, 72, 96, 97, 112, 127, 128, 129, 144, 160, 255, 256, 272};
static const int32_t tap_counts[] = {1, 2, 3, 4, 5, 8, 9, 9, 9, 10, 25, 26, 49};

/* rows[tap_offset[t] + i * row_step] as an operator would lay them out for a square window, or offsets shuffled. */
typedef struct window {
    size_t count;
    int32_t *tap_offset;
    int32_t row_step;
} window;

static window new_window(int32_t n, int32_t taps) {
    window w = {.row_step = random_between(1, 3)};
    int32_t side = 1, dilation = random_between(1, 3) == 3 ? 2 : 1;
    w.tap_offset = new_buffer((size_t)taps * sizeof *w.tap_offset);
    while (side * side < taps) side++;
    if (side * side == taps && random_between(0, 2)) {
        int32_t columns = (n - 1) * w.row_step + (side - 1) * dilation + 1;
        for (int32_t t = 0; t < taps; t++) w.tap_offset[t] = t / side * columns + t % side * dilation;
        w.count = (size_t)(side * columns);
        return w;
    }
    for (int32_t t = 0; t < taps; t++) w.tap_offset[t] = t;
    for (int32_t t = taps - 1; t > 0; t--) {
        int32_t other = random_between(0, t), offset = w.tap_offset[t];
        w.tap_offset[t] = w.tap_offset[other], w.tap_offset[other] = offset;
    }
    w.count = (size_t)((n - 1) * w.row_step + taps);
    return w;
}

/* DW_S8 layout; taps and channels that do not exist are 0. */
static int8_t *new_weights_s8(int32_t taps, int32_t c, bool full_range) {
    size_t pairs = (size_t)(taps + 1) / 2, size = (size_t)(c + 15) / 16 * pairs * 32;
    int8_t *weights = new_buffer((size + 63) / 64 * 64);
    random_s8(weights, size);
    for (size_t i = 0; i < size; i++) {
        size_t tap = i / 32 % pairs * 2 + i % 2, channel = i / (32 * pairs) * 16 + i % 32 / 2;
        if (weights[i] == -128 && !full_range) weights[i] = -127;
        if (tap >= (size_t)taps || channel >= (size_t)c) weights[i] = 0;
    }
    return weights;
}

static void check_case_s8(const wisp_kernels *scalar, const wisp_kernels *tested, int32_t n, int32_t c, int32_t taps) {
    wisp_dwconv_s8 d = {.n = n, .c = c, .taps = taps, .full_range = random_between(0, 2) == 0};
    begin_case("n=%d c=%d taps=%d%s", n, c, taps, d.full_range ? " full range" : "");
    int32_t blocks = (c + 15) / 16;
    window w = new_window(n, taps);
    d.tap_offset = w.tap_offset, d.row_step = w.row_step;
    wisp_channels_s8 *channels = new_buffer((size_t)blocks * sizeof *channels);
    d.any_left_shift = random_channels(channels, blocks, 3000.0 * sqrt((double)taps)) || random_between(0, 7) == 0;
    d.channels = channels;
    d.weights = new_weights_s8(taps, c, d.full_range);
    void *x;
    size_t x_size;
    d.rows = (const int8_t *const *)new_rows(w.count, (size_t)c, &x, &x_size);
    random_s8(x, x_size);
    d.lo = (int8_t)(random_between(0, 1) ? -128 : random_between(-128, 127));
    d.hi = (int8_t)(random_between(0, 1) ? 127 : random_between(-128, 127));
    d.out_stride = c + random_between(0, 5);
    output o = new_output((size_t)((n - 1) * d.out_stride + c));
    d.out = o.expected;
    scalar->dwconv_s8->convolve(&d);
    d.out = o.actual;
    tested->dwconv_s8->convolve(&d);
    expect_equal_bytes(&o);
}

static void check_s8(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, n, n_sizes) check_case_s8(scalar, tested, n, c, PICK(tap_counts));
    }
    EACH_OF(int32_t, taps, tap_counts) {
        for (int i = 0; i < 20; i++) check_case_s8(scalar, tested, PICK(n_sizes), PICK(c_sizes), taps);
    }
}

enum { INTEGERS, REALS, SPECIALS };

/* As in gemm.c: 2 N operations of error u each, on both sides. */
static double *error_bounds(const wisp_dwconv_f32 *d, size_t size) {
    double *bound = new_buffer(size * sizeof *bound);
    memset(bound, 0, size * sizeof *bound);
    for (int32_t i = 0; i < d->n; i++)
        for (int32_t c = 0; c < d->c; c++) {
            double sum = fabs((double)d->bias[c]);
            for (int32_t t = 0; t < d->taps; t++) {
                float w = d->weights[(c / 16 * d->taps + t) * 16 + c % 16];
                sum += fabs((double)d->rows[d->tap_offset[t] + i * d->row_step][c] * (double)w);
            }
            bound[i * d->out_stride + c] = 4.0 * (d->taps + 1) * ldexp(1.0, -24) * sum;
        }
    return bound;
}

/* One pixel alone has the bits it had among others. */
static void check_independence(const wisp_kernels *tested, const wisp_dwconv_f32 *d) {
    int32_t i = random_between(0, d->n - 1);
    wisp_dwconv_f32 one = *d;
    output o = new_output((size_t)d->c * sizeof(float));
    one.n = 1, one.rows += i * d->row_step, one.out = o.actual;
    memcpy(o.expected, d->out + i * d->out_stride, o.size);
    tested->dwconv_f32->convolve(&one);
    expect_equal_floats(&o, true);
}

static void check_case_f32(const wisp_kernels *scalar, const wisp_kernels *tested, int style, int32_t n, int32_t c, int32_t taps) {
    begin_case("n=%d c=%d taps=%d %s", n, c, taps, style == INTEGERS ? "integers" : style == REALS ? "reals" : "specials");
    wisp_dwconv_f32 d = {.n = n, .c = c, .taps = taps, .lo = -INFINITY, .hi = INFINITY};
    window w = new_window(n, taps);
    d.tap_offset = w.tap_offset, d.row_step = w.row_step;
    size_t c16 = (size_t)(c + 15) / 16 * 16, weight_count = c16 * (size_t)taps;
    float *weights = new_buffer(weight_count * sizeof *weights), *bias = new_buffer(c16 * sizeof *bias);
    random_small_floats(bias, c16);
    void *x;
    size_t x_size;
    d.rows = (const float *const *)new_rows(w.count, (size_t)c * sizeof(float), &x, &x_size);
    if (style == REALS) {
        random_floats(weights, weight_count, -1, 1);
        random_floats(x, x_size / sizeof(float), -1, 1);
    } else {
        random_small_floats(weights, weight_count);
        random_small_floats(x, x_size / sizeof(float));
    }
    if (style == SPECIALS) ((float *)x)[random_between(0, (int32_t)(x_size / sizeof(float)) - 1)] = NAN;
    d.weights = weights, d.bias = bias;
    if (random_between(0, 1)) d.lo = (float)random_between(-200, 100);
    if (random_between(0, 1)) d.hi = (float)random_between(-100, 200);
    d.out_stride = c + random_between(0, 5);
    output o = new_output((size_t)((n - 1) * d.out_stride + c) * sizeof(float));
    d.out = o.expected;
    scalar->dwconv_f32->convolve(&d);
    d.out = o.actual;
    tested->dwconv_f32->convolve(&d);
    if (style == REALS)
        expect_close_floats(&o, error_bounds(&d, o.size / sizeof(float)));
    else
        expect_equal_floats(&o, true);
    check_independence(tested, &d);
}

static void check_f32(const wisp_kernels *scalar, const wisp_kernels *tested, size_t offset) {
    (void)offset;
    EACH_OF(int32_t, c, c_sizes) {
        EACH_OF(int32_t, n, n_sizes) check_case_f32(scalar, tested, random_between(INTEGERS, SPECIALS), n, c, PICK(tap_counts));
    }
}

/* Square images with a 3x3 or 5x5 window and a border of one row of pointers, one call for each row of output. */
static const struct {
    int32_t size, c, kernel, stride;
} shapes[] = {{112, 32, 3, 1}, {56, 144, 3, 1}, {56, 144, 3, 2}, {28, 192, 3, 1},
              {14, 384, 3, 1}, {7, 960, 3, 1},  {28, 120, 5, 1}, {14, 24, 3, 1}};

typedef struct problem {
    const wisp_kernels *kernels;
    int32_t height;
    ptrdiff_t row_pointers; /* between rows of output */
    wisp_dwconv_s8 s8;
    wisp_dwconv_f32 f32;
} problem;

static void run_s8(const void *state) {
    const problem *p = state;
    wisp_dwconv_s8 d = p->s8;
    for (int32_t y = 0; y < p->height; y++, d.rows += p->row_pointers, d.out += d.n * d.out_stride) p->kernels->dwconv_s8->convolve(&d);
}

static void run_f32(const void *state) {
    const problem *p = state;
    wisp_dwconv_f32 d = p->f32;
    for (int32_t y = 0; y < p->height; y++, d.rows += p->row_pointers, d.out += d.n * d.out_stride) p->kernels->dwconv_f32->convolve(&d);
}

static void bench_all(const wisp_kernels *tested, bool is_s8) {
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int32_t size = shapes[s].size, c = shapes[s].c, kernel = shapes[s].kernel, stride = shapes[s].stride;
        int32_t taps = kernel * kernel, width = size + kernel - 1, out_size = (size - 1) / stride + 1;
        size_t element = is_s8 ? 1 : sizeof(float), c16 = (size_t)(c + 15) / 16 * 16;
        char *x = bench_buffer((size_t)(width * width * c) * element);
        if (!is_s8) random_floats((float *)x, (size_t)(width * width * c), -1, 1);
        const void **rows = bench_buffer((size_t)(width * width) * sizeof *rows);
        for (int32_t i = 0; i < width * width; i++) rows[i] = x + (size_t)(i * c) * element;
        int32_t *tap_offset = bench_buffer((size_t)taps * sizeof *tap_offset);
        for (int32_t t = 0; t < taps; t++) tap_offset[t] = t / kernel * width + t % kernel;
        problem p = {.kernels = tested, .height = out_size, .row_pointers = (ptrdiff_t)width * stride};
        wisp_channels_s8 *channels = bench_buffer(c16 / 16 * sizeof *channels);
        for (size_t b = 0; b < c16 / 16; b++)
            for (int j = 0; j < 16; j++) channels[b].shift[j] = 5, channels[b].multiplier[j] = 20000;
        p.s8 = (wisp_dwconv_s8){.n = out_size,
                                .c = c,
                                .taps = taps,
                                .rows = (const int8_t *const *)rows,
                                .tap_offset = tap_offset,
                                .row_step = stride,
                                .weights = bench_buffer(c16 * (size_t)(taps + 1)),
                                .channels = channels,
                                .out = bench_buffer((size_t)(out_size * out_size * c)),
                                .out_stride = c,
                                .lo = -128,
                                .hi = 127};
        float *weights = bench_buffer(c16 * (size_t)taps * sizeof(float)), *bias = bench_buffer(c16 * sizeof(float));
        random_floats(weights, c16 * (size_t)taps, -1, 1);
        random_floats(bias, c16, -1, 1);
        p.f32 = (wisp_dwconv_f32){out_size,
                                  c,
                                  taps,
                                  (const float *const *)rows,
                                  tap_offset,
                                  stride,
                                  weights,
                                  bias,
                                  bench_buffer((size_t)(out_size * out_size * c) * sizeof(float)),
                                  c,
                                  -INFINITY,
                                  INFINITY};
        char shape[64];
        snprintf(shape, sizeof shape, "%dx%d c%d %dx%d/%d", size, size, c, kernel, kernel, stride);
        bench(shape, (double)out_size * out_size * c * taps, "MAC", is_s8 ? run_s8 : run_f32, &p);
    }
}

static void bench_s8(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_all(tested, true);
}

static void bench_f32(const wisp_kernels *tested, size_t offset) {
    (void)offset;
    bench_all(tested, false);
}

const check_slot conv_slots[] = {SLOT(dwconv_s8, check_s8, bench_s8), SLOT(dwconv_f32, check_f32, bench_f32), {0}};
