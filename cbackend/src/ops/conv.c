/* Conv on NHWC and NDHWC: the matrix loop for general kernels, rows of pointers for depthwise ones. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

/* A window as wide as it may be makes a table of pointers, which int32 counts. */
typedef struct depthwise_plan {
    wisp_window window;
    const wisp_dwconv_s8_kernel *s8; /* one of them */
    const wisp_dwconv_f32_kernel *f32;
    uint8_t any_left_shift, full_range;
} depthwise_plan;

typedef struct conv_plan {
    bool is_depthwise;
    union {
        depthwise_plan depthwise;
        wisp_matrix_plan matrix;
    };
} conv_plan;

_Static_assert(offsetof(wisp_Conv_params, same) == offsetof(window_params, same), "the words of a window come first");

/* ---- general: a product of windows and weights */

static int plan_matrix(wisp_call *call, const wisp_window *w, int32_t channels, wisp_matrix_plan *plan) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    wisp_matrix *m = &plan->m;
    bool pointwise = window_taps(w) == 1;
    for (int i = 0; i < 3; i++) pointwise &= w->stride[i] == 1 && !w->before[i] && !w->after[i];
    plan->rows = window_lines(w) * w->out_w;
    plan->groups = p->group;
    m->source = pointwise ? WISP_ROWS_PLAIN : WISP_ROWS_TAPS;
    m->window = *w;
    m->x_stride = (int64_t)w->channels * (wisp_is_s8(wisp_input(call, 0)) ? 1 : 4);
    m->y_stride = channels;
    m->group_k = w->channels / p->group;
    m->n = channels / p->group;
    if (wisp_is_s8(wisp_input(call, 0)))
        m->lo = p->lo, m->hi = p->hi;
    else
        m->min = p->min, m->max = p->max;
    return wisp_plan_matrix(call, plan);
}

/* ---- depthwise. Shared scratch: offsets of the taps, then a pixel of values outside the image. */

static uint64_t offsets_size(const wisp_window *w) {
    return (sizeof(int32_t) * (uint64_t)window_taps(w) + 63) & ~63ull;
}

static uint64_t pointers_size(const wisp_window *w) {
    return sizeof(void *) * (uint64_t)window_pointers(w);
}

static int plan_depthwise(wisp_call *call, const wisp_window *w, depthwise_plan *plan) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    const wisp_tensor *x = wisp_input(call, 0), *weights = wisp_input(call, 1);
    const int64_t taps = window_taps(w), rows = window_lines(w);
    const bool s8 = wisp_is_s8(x);
    if (weights->kind != WISP_KIND_CONSTANT || weights->layout != (s8 ? WISP_LAYOUT_DW_S8 : WISP_LAYOUT_DW_F32) ||
        weights->dims[0] != taps || weights->dims[1] != w->channels || p->group != w->channels)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    if (window_pointers(w) > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "input too wide");
    int status = wisp_check_columns(call, w->channels);
    if (!status && s8) status = wisp_check_clamp(call, p->lo, p->hi);
    if (status) return status;
    plan->window = *w;
    if (s8)
        plan->s8 = WISP_KERNEL(call, dwconv_s8);
    else
        plan->f32 = WISP_KERNEL(call, dwconv_f32);
    if (!plan->s8 && !plan->f32) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    plan->any_left_shift = s8 && wisp_input(call, 2)->flags & WISP_TENSOR_SHIFTS_LEFT;
    plan->full_range = (weights->flags & WISP_TENSOR_FULL_RANGE) != 0;
    call->node->kernel = s8 ? plan->s8->name : plan->f32->name;
    call->node->macs = wisp_output(call, 0)->count * (uint64_t)taps;
    wisp_need_scratch(call, offsets_size(w) + (uint64_t)w->channels * (s8 ? 1 : 4), pointers_size(w));
    wisp_set_work(call, rows, rows ? 1 + 40000 / ((int64_t)(call->node->macs / (uint64_t)rows) + 1) : 1, 1);
    return WISP_OK;
}

static void begin_depthwise(const wisp_call *call, const wisp_window *w) {
    const wisp_tensor *x = wisp_input(call, 0);
    const bool s8 = wisp_is_s8(x);
    wisp_window_tap_offsets(w, (int32_t *)(void *)call->shared);
    memset(call->shared + offsets_size(w), s8 ? x->zero_point : 0, (size_t)w->channels * (s8 ? 1 : 4));
}

/* Row `row` of all images, whose pointers are at `rows`. */
static void convolve_row(const wisp_call *call, const depthwise_plan *plan, const void **rows, int64_t row) {
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    const wisp_tensor *weights = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const wisp_window *w = &plan->window;
    const int64_t out = row * w->out_w * w->channels;
    const int32_t *offsets = (const int32_t *)(const void *)call->shared;
    if (plan->s8) {
        const wisp_dwconv_s8 d = {.n = w->out_w,
                                  .c = w->channels,
                                  .taps = window_taps(w),
                                  .rows = (const int8_t *const *)rows,
                                  .tap_offset = offsets,
                                  .row_step = w->stride_w,
                                  .weights = weights->data,
                                  .channels = c->data,
                                  .out = (int8_t *)y->data + out,
                                  .out_stride = w->channels,
                                  .lo = (int8_t)p->lo,
                                  .hi = (int8_t)p->hi,
                                  .any_left_shift = plan->any_left_shift,
                                  .full_range = plan->full_range};
        plan->s8->convolve(&d);
    } else {
        const wisp_dwconv_f32 d = {.n = w->out_w,
                                   .c = w->channels,
                                   .taps = window_taps(w),
                                   .rows = (const float *const *)rows,
                                   .tap_offset = offsets,
                                   .row_step = w->stride_w,
                                   .weights = weights->data,
                                   .bias = c->data,
                                   .out = (float *)y->data + out,
                                   .out_stride = w->channels,
                                   .lo = p->min,
                                   .hi = p->max};
        plan->f32->convolve(&d);
    }
}

/* Rows [y0, y1) of the output, counted over all images. */
static void depthwise_rows(const wisp_call *call, const depthwise_plan *plan, uint32_t thread, int64_t y0, int64_t y1) {
    const wisp_tensor *x = wisp_input(call, 0);
    const wisp_window *w = &plan->window;
    const wisp_image image = image_of(x);
    const void **rows = wisp_scratch(call, thread), *outside = call->shared + offsets_size(w);
    for (int64_t row = y0; row < y1; row++) {
        wisp_window_rows(w, &image, plan->s8 ? 1 : 4, row, outside, rows);
        convolve_row(call, plan, rows, row);
    }
}

/* ---- operator */

static int plan_conv(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 3, 1);
    if (status) return status;
    const wisp_Conv_params *p = WISP_PARAMS(call, Conv);
    const wisp_tensor *x = wisp_input(call, 0), *weights = wisp_input(call, 1), *y = wisp_output(call, 0);
    conv_plan *plan = call->plan;
    wisp_window w;
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype of x must be f32 (in a build with WISP_FLOAT) or s8");
    if ((status = wisp_window_shape(call, &w, false, false))) return status;
    plan->is_depthwise = weights->layout == WISP_LAYOUT_DW_S8 || weights->layout == WISP_LAYOUT_DW_F32;
    const bool is_plain = weights->layout == WISP_LAYOUT_PLAIN;
    if (y->rank != x->rank || weights->rank < 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "ranks of x, weights and y do not fit");
    const int32_t channels = plan->is_depthwise ? w.channels : is_plain ? weights->dims[0] : y->dims[y->rank - 1];
    if (p->group < 1 || w.channels % p->group || channels < 1 || channels % p->group || channels > INT32_MAX - 16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "groups do not divide the channels");
    if ((status = wisp_window_output(call, &w, channels))) return status;
    return plan->is_depthwise ? plan_depthwise(call, &w, &plan->depthwise) : plan_matrix(call, &w, channels, &plan->matrix);
}

static int begin_conv(wisp_call *call) {
    const conv_plan *plan = call->plan;
    if (plan->is_depthwise) begin_depthwise(call, &plan->depthwise.window);
    return WISP_OK;
}

static void range_conv(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const conv_plan *plan = call->plan;
    if (plan->is_depthwise)
        depthwise_rows(call, &plan->depthwise, thread, begin, end);
    else
        wisp_range_matrix(call, &plan->matrix, thread, begin, end);
}

const wisp_operator wisp_op_Conv = {
    .check = wisp_check_channels, .plan = plan_conv, .begin = begin_conv, .range = range_conv, .plan_size = sizeof(conv_plan)};
