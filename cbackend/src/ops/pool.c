/* MaxPool and AveragePool on NHWC, global ones included. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../quant.h"
#include "matrix.h"

/* Offsets of the taps lie in shared scratch; what a row of outputs needs, in its thread's. Items are rows of outputs. */
typedef struct pool_plan {
    wisp_window window;
    wisp_max_s8_fn *max_s8; /* the one kernel that the node uses is set */
    wisp_max_f32_fn *max_f32;
    wisp_sum_s8_fn *sum_s8;
    wisp_sum_f32_fn *sum_f32;
} pool_plan;

typedef struct pieces {
    const void **rows;   /* pointers of one output row */
    const void **inside; /* of one window, padding left out */
    int32_t *sums;       /* s8 averages */
    uint64_t size;
} pieces;

static uint64_t tap_count(const wisp_window *w) {
    return (uint64_t)w->kernel_h * (uint64_t)w->kernel_w;
}

static pieces cut_scratch(const wisp_window *w, char *base, bool sums) {
    pieces p = {0};
    p.rows = take(&base, &p.size, sizeof(void *) * (uint64_t)w->kernel_h * (uint64_t)window_columns(w));
    p.inside = take(&base, &p.size, sizeof(void *) * tap_count(w));
    p.sums = take(&base, &p.size, sums ? sizeof(int32_t) * (uint64_t)w->channels : 0);
    return p;
}

/* Pointers to the values of window ox that lie inside the image. */
static int32_t gather_window(const wisp_window *w, const pieces *p, const int32_t *offsets, int64_t ox) {
    int32_t count = 0, taps = w->kernel_h * w->kernel_w;
    for (int32_t t = 0; t < taps; t++) {
        const void *row = p->rows[offsets[t] + ox * w->stride_w];
        if (row) p->inside[count++] = row;
    }
    return count;
}

/* What both have in common, once the window's parameters are known. */
static int plan_pool(wisp_call *call, bool ceil_mode, bool sums) {
    pool_plan *plan = call->plan;
    wisp_window *w = &plan->window;
    const wisp_tensor *x = wisp_input(call, 0);
    int status = window_shape(call, w, x, ceil_mode);
    if (status) return status;
    /* so that pointer tables stay addressable by int32 */
    if (tap_count(w) > INT32_MAX / 8 || window_columns(w) * w->kernel_h > INT32_MAX)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "window or input too wide");
    const int32_t dims[4] = {w->batch, w->out_h, w->out_w, w->channels};
    if ((status = wisp_set_output(call, 0, x->dtype, 4, dims))) return status;
    const int64_t row = (int64_t)w->out_w * w->channels, worth = 40000; /* sums that are worth a thread */
    wisp_need_scratch(call, sizeof(int32_t) * tap_count(w), cut_scratch(w, NULL, sums).size);
    wisp_set_work(call, w->channels ? (int64_t)w->batch * w->out_h : 0, row < worth ? 1 + worth / (1 + row * (int64_t)tap_count(w)) : 1, 1);
    return WISP_OK;
}

static int check_dtype(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32 (in a build with WISP_FLOAT) or s8");
    if (x->rank != 4) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 4 (NHWC)");
    return WISP_OK;
}

static int begin_pool(wisp_call *call) {
    const pool_plan *plan = call->plan;
    window_tap_offsets(&plan->window, (int32_t *)(void *)call->shared);
    return WISP_OK;
}

/* ---- MaxPool */

static int plan_max(wisp_call *call) {
    const wisp_MaxPool_params *p = WISP_PARAMS(call, MaxPool);
    pool_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_dtype(call))) return status;
    plan->window = (wisp_window){.kernel_h = p->kernel_h,
                                 .kernel_w = p->kernel_w,
                                 .stride_h = p->stride_h,
                                 .stride_w = p->stride_w,
                                 .dilation_h = p->dilation_h,
                                 .dilation_w = p->dilation_w,
                                 .pad_top = p->pad_top,
                                 .pad_left = p->pad_left,
                                 .pad_bottom = p->pad_bottom,
                                 .pad_right = p->pad_right};
    if (wisp_is_s8(wisp_input(call, 0)))
        plan->max_s8 = WISP_KERNEL(call, max_s8);
    else
        plan->max_f32 = WISP_KERNEL(call, max_f32);
    return plan_pool(call, p->ceil_mode != 0, false);
}

static void max_of_nothing(const wisp_tensor *y, int64_t at, int32_t count) {
    if (wisp_is_s8(y))
        memset((int8_t *)y->data + at, -128, (size_t)count);
    else
        for (int32_t c = 0; c < count; c++) ((float *)y->data)[at + c] = -__builtin_inff();
}

static void range_max(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const pool_plan *plan = call->plan;
    const wisp_window *w = &plan->window;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const bool s8 = wisp_is_s8(x);
    const wisp_image image = image_of(x);
    const pieces p = cut_scratch(w, wisp_scratch(call, thread), false);
    const int32_t *offsets = (const int32_t *)(const void *)call->shared;
    for (int64_t row = begin; row < end; row++) {
        window_rows(w, &image, s8 ? 1 : 4, row / w->out_h, row % w->out_h, NULL, p.rows);
        for (int64_t ox = 0; ox < w->out_w; ox++) {
            const int64_t out = (row * w->out_w + ox) * w->channels;
            const int32_t count = gather_window(w, &p, offsets, ox);
            if (!count)
                max_of_nothing(y, out, w->channels);
            else if (s8)
                plan->max_s8((const int8_t *const *)p.inside, count, w->channels, (int8_t *)y->data + out);
            else
                plan->max_f32((const float *const *)p.inside, count, w->channels, (float *)y->data + out);
        }
    }
}

const wisp_operator wisp_op_MaxPool = {.plan = plan_max, .begin = begin_pool, .range = range_max, .plan_size = sizeof(pool_plan)};

/* ---- AveragePool */

/* The rows {bias, shift, multiplier} of s8; how many are needed is a matter of shapes. */
static int check_average(wisp_call *call) {
    const wisp_tensor *t = wisp_input(call, 1);
    if (!wisp_value(t) || t->dtype != WISP_S32 || t->layout != WISP_LAYOUT_PLAIN || t->rank != 2 || t->dims[1] != 3) return WISP_OK;
    for (int32_t i = 0; i < t->dims[0]; i++) {
        const int32_t *row = (const int32_t *)t->data + 3 * (int64_t)i;
        if (row[1] < -15 || row[1] > 31 || row[2] < 0 || row[2] > 32767)
            return wisp_call_fail_value(call, WISP_BAD_FILE, "shift or multiplier out of range in row", i);
    }
    return WISP_OK;
}

static int plan_table(wisp_call *call, const wisp_window *w) {
    const wisp_AveragePool_params *p = WISP_PARAMS(call, AveragePool);
    const wisp_tensor *t = wisp_input(call, 1);
    if (!t || t->kind != WISP_KIND_CONSTANT || t->dtype != WISP_S32 || t->layout != WISP_LAYOUT_PLAIN || t->rank != 2 || t->dims[1] != 3 ||
        (t->dims[0] != 1 && (uint64_t)t->dims[0] != tap_count(w)))
        return wisp_call_fail(call, WISP_BAD_FILE, "needs a table of bias, shift, multiplier for each window size");
    return wisp_check_clamp(call, p->lo, p->hi);
}

static int plan_average(wisp_call *call) {
    const wisp_AveragePool_params *p = WISP_PARAMS(call, AveragePool);
    pool_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status || (status = check_dtype(call))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const bool s8 = wisp_is_s8(x);
    wisp_window *w = &plan->window;
    if (p->global)
        *w = (wisp_window){.kernel_h = x->dims[1], .kernel_w = x->dims[2], .stride_h = 1, .stride_w = 1};
    else
        *w = (wisp_window){.kernel_h = p->kernel_h,
                           .kernel_w = p->kernel_w,
                           .stride_h = p->stride_h,
                           .stride_w = p->stride_w,
                           .pad_top = p->pad_top,
                           .pad_left = p->pad_left,
                           .pad_bottom = p->pad_bottom,
                           .pad_right = p->pad_right};
    w->dilation_h = w->dilation_w = 1;
    if (s8)
        plan->sum_s8 = WISP_KERNEL(call, sum_s8);
    else
        plan->sum_f32 = WISP_KERNEL(call, sum_f32);
    if ((status = plan_pool(call, p->ceil_mode && !p->global, s8))) return status;
    return s8 ? plan_table(call, w) : WISP_OK;
}

/* Values of a window along one axis that count: those on the image, or on image and padding. */
static int32_t counted(int64_t start, int32_t kernel, int32_t extent, int32_t before, int32_t after) {
    int64_t lo = start > -before ? start : -before, hi = start + kernel;
    if (hi > (int64_t)extent + after) hi = (int64_t)extent + after;
    return hi > lo ? (int32_t)(hi - lo) : 0;
}

static void average_s8(const wisp_call *call, const pieces *p, int32_t inside, int32_t count, int8_t *out) {
    const wisp_AveragePool_params *params = WISP_PARAMS(call, AveragePool);
    const pool_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *table = wisp_input(call, 1);
    const int32_t *row = (const int32_t *)table->data + (table->dims[0] == 1 || !count ? 0 : 3 * (int64_t)(count - 1));
    const int32_t padding = (int32_t)((uint32_t)x->zero_point * (uint32_t)(count - inside)), channels = plan->window.channels;
    memset(p->sums, 0, 4 * (size_t)channels);
    if (inside) plan->sum_s8((const int8_t *const *)p->inside, inside, channels, p->sums);
    for (int32_t c = 0; c < channels; c++)
        out[c] = requantize_s8(add_wrap((int32_t)((uint32_t)add_wrap(p->sums[c], padding) << 8), row[0]), row[1], row[2], params->lo,
                               params->hi);
}

static void average_f32(const wisp_call *call, const pieces *p, int32_t inside, int32_t count, float *out) {
    const pool_plan *plan = call->plan;
    const int32_t channels = plan->window.channels;
    memset(out, 0, 4 * (size_t)channels);
    if (!inside) return;
    plan->sum_f32((const float *const *)p->inside, inside, channels, out);
    for (int32_t c = 0; c < channels; c++) out[c] /= (float)count;
}

static void range_average(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const pool_plan *plan = call->plan;
    const wisp_window *w = &plan->window;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const bool s8 = wisp_is_s8(x), pad = WISP_PARAMS(call, AveragePool)->count_include_pad != 0;
    const wisp_image image = image_of(x);
    const pieces p = cut_scratch(w, wisp_scratch(call, thread), s8);
    const int32_t *offsets = (const int32_t *)(const void *)call->shared;
    for (int64_t row = begin; row < end; row++) {
        const int64_t oy = row % w->out_h;
        window_rows(w, &image, s8 ? 1 : 4, row / w->out_h, oy, NULL, p.rows);
        const int32_t rows = counted(oy * w->stride_h - w->pad_top, w->kernel_h, w->in_h, pad ? w->pad_top : 0, pad ? w->pad_bottom : 0);
        for (int64_t ox = 0; ox < w->out_w; ox++) {
            const int32_t columns =
                counted(ox * w->stride_w - w->pad_left, w->kernel_w, w->in_w, pad ? w->pad_left : 0, pad ? w->pad_right : 0);
            const int64_t out = (row * w->out_w + ox) * w->channels;
            const int32_t inside = gather_window(w, &p, offsets, ox);
            if (s8)
                average_s8(call, &p, inside, rows * columns, (int8_t *)y->data + out);
            else
                average_f32(call, &p, inside, rows * columns, (float *)y->data + out);
        }
    }
}

const wisp_operator wisp_op_AveragePool = {
    .check = check_average, .plan = plan_average, .begin = begin_pool, .range = range_average, .plan_size = sizeof(pool_plan)};
