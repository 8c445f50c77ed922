/* Conv on NHWC: the matrix loop for general kernels, rows of pointers for depthwise ones. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

static void read_window(const wisp_call *call, wisp_window *w) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    w->kernel_h = p->kernel_h, w->kernel_w = p->kernel_w, w->stride_h = p->stride_h, w->stride_w = p->stride_w;
    w->dilation_h = p->dilation_h, w->dilation_w = p->dilation_w;
    w->pad_top = p->pad_top, w->pad_left = p->pad_left, w->pad_bottom = p->pad_bottom, w->pad_right = p->pad_right;
}

/* Window of a prepared node: nothing can be wrong any more. */
static void known_window(const wisp_call *call, wisp_window *w) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    read_window(call, w);
    w->batch = x->dims[0], w->in_h = x->dims[1], w->in_w = x->dims[2], w->channels = x->dims[3];
    w->out_h = y->dims[1], w->out_w = y->dims[2];
}

/* ---- general: a product of windows and weights */

static void describe_matrix(const wisp_call *call, const wisp_window *w, int32_t out_channels, wisp_matrix *m) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    m->window = *w;
    m->groups = p->group;
    m->group_k = w->channels / p->group;
    m->n = out_channels / p->group;
    m->panels_n = (m->n + 15) / 16 * 16;
    m->rows = (int64_t)w->batch * w->out_h * w->out_w;
    m->pointwise = w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 && !w->pad_top && !w->pad_left &&
                   !w->pad_bottom && !w->pad_right;
    m->x_stride = w->channels, m->out_stride = out_channels;
    m->min = p->min, m->max = p->max, m->lo = p->lo, m->hi = p->hi;
}

static void run_matrix_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    wisp_window w;
    wisp_matrix m = {0};
    known_window(call, &w);
    describe_matrix(call, &w, wisp_output(call, 0)->dims[3], &m);
    wisp_matrix_complete(call, &m);
    wisp_matrix_range(call, &m, thread, begin, end);
}

static int run_matrix(wisp_call *call) {
    wisp_window w;
    wisp_matrix m = {0};
    known_window(call, &w);
    describe_matrix(call, &w, wisp_output(call, 0)->dims[3], &m);
    wisp_matrix_complete(call, &m);
    wisp_parallel(call, wisp_matrix_items(call, &m), wisp_matrix_grain(call, &m), run_matrix_range);
    return WISP_OK;
}

/* ---- depthwise */

typedef struct pieces {
    const void **rows;
    int32_t *offsets;
    char *outside;
    uint64_t size;
} pieces;

static pieces cut_scratch(const wisp_window *w, char *base, uint64_t unit) {
    pieces p = {0};
    p.rows = take(&base, &p.size, 8ull * (uint64_t)w->kernel_h * (uint64_t)window_columns(w));
    p.offsets = take(&base, &p.size, 4ull * (uint64_t)w->kernel_h * (uint64_t)w->kernel_w);
    p.outside = take(&base, &p.size, (uint64_t)w->channels * unit);
    return p;
}

static void run_depthwise_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_Conv_params *params = WISP_PARAMS(call, Conv);
    const wisp_tensor *x = wisp_input(call, 0), *weights = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const bool s8 = wisp_is_s8(x);
    const int unit = s8 ? 1 : 4;
    wisp_window w;
    known_window(call, &w);
    const wisp_image image = image_of(x);
    pieces p = cut_scratch(&w, wisp_scratch(call, thread), (uint64_t)unit);
    window_tap_offsets(&w, p.offsets);
    memset(p.outside, s8 ? x->zero_point : 0, (size_t)w.channels * (size_t)unit);
    for (int64_t row = begin; row < end; row++) {
        window_rows(&w, &image, unit, row / w.out_h, row % w.out_h, p.outside, p.rows);
        int64_t out = row * w.out_w * w.channels;
        if (s8) {
            wisp_dwconv_s8 d = {.n = w.out_w,
                                .c = w.channels,
                                .taps = w.kernel_h * w.kernel_w,
                                .rows = (const int8_t *const *)p.rows,
                                .tap_offset = p.offsets,
                                .row_step = w.stride_w,
                                .weights = weights->data,
                                .channels = c->data,
                                .out = (int8_t *)y->data + out,
                                .out_stride = w.channels,
                                .lo = (int8_t)params->lo,
                                .hi = (int8_t)params->hi,
                                .any_left_shift = wisp_legacy_of(call)->state[0] != 0};
            call->kernels->dwconv_s8->convolve(&d);
        } else {
            wisp_dwconv_f32 d = {.n = w.out_w,
                                 .c = w.channels,
                                 .taps = w.kernel_h * w.kernel_w,
                                 .rows = (const float *const *)p.rows,
                                 .tap_offset = p.offsets,
                                 .row_step = w.stride_w,
                                 .weights = weights->data,
                                 .bias = c->data,
                                 .out = (float *)y->data + out,
                                 .out_stride = w.channels,
                                 .lo = params->min,
                                 .hi = params->max};
            call->kernels->dwconv_f32->convolve(&d);
        }
    }
}

static int run_depthwise(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    int64_t rows = (int64_t)y->dims[0] * y->dims[1];
    int64_t macs = rows ? (int64_t)(call->node->macs / (uint64_t)rows) : 0;
    wisp_parallel(call, rows, 1 + 40000 / (macs + 1), run_depthwise_range);
    return WISP_OK;
}

static int prepare_depthwise(wisp_call *call, const wisp_window *w) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    const wisp_tensor *x = wisp_input(call, 0), *weights = wisp_input(call, 1);
    const int64_t taps = (int64_t)w->kernel_h * w->kernel_w;
    const bool s8 = wisp_is_s8(x);
    if (!wisp_value(weights) || weights->layout != (s8 ? WISP_LAYOUT_DW_S8 : WISP_LAYOUT_DW_F32) || weights->dims[0] != taps ||
        weights->dims[1] != w->channels || p->group != w->channels)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    if (window_columns(w) * w->kernel_h > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "input too wide");
    bool any_left_shift = false;
    int status = s8 ? wisp_check_channels(call, wisp_input(call, 2), w->channels, &any_left_shift)
                    : wisp_check_bias(call, wisp_input(call, 2), w->channels);
    if (!status && s8) status = wisp_check_clamp(call, p->lo, p->hi);
    if (status) return status;
    wisp_legacy_of(call)->state[0] = any_left_shift;
    call->node->kernel = s8 ? call->kernels->dwconv_s8->name : call->kernels->dwconv_f32->name;
    wisp_need_scratch(call, 0, cut_scratch(w, NULL, s8 ? 1 : 4).size);
    wisp_legacy_of(call)->run = run_depthwise;
    call->node->macs = wisp_output(call, 0)->count * (uint64_t)taps;
    return WISP_OK;
}

int wisp_prepare_Conv(wisp_call *call) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    const wisp_tensor *x = wisp_input(call, 0), *weights = wisp_input(call, 1), *y = wisp_output(call, 0);
    wisp_window w = {0};
    read_window(call, &w);
    if ((status = window_shape(call, &w, x, false))) return status;
    bool depthwise = weights->layout == WISP_LAYOUT_DW_S8 || weights->layout == WISP_LAYOUT_DW_F32;
    int32_t out_channels = depthwise ? w.channels : y->dims[3];
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype of x must be f32 (in a build with WISP_FLOAT) or s8");
    if (p->group < 1 || w.channels % p->group || out_channels < 1 || out_channels % p->group || out_channels > INT32_MAX - 16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "groups do not divide the channels");
    const int32_t dims[4] = {w.batch, w.out_h, w.out_w, out_channels};
    if ((status = wisp_set_output(call, 0, x->dtype, 4, dims))) return status;
    if (depthwise) return prepare_depthwise(call, &w);
    wisp_matrix m = {0};
    describe_matrix(call, &w, out_channels, &m);
    wisp_legacy_of(call)->run = run_matrix;
    return wisp_matrix_prepare(call, &m);
}

WISP_LEGACY(Conv)
