/* MaxPool and AveragePool on NHWC, global ones included. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../quant.h"
#include "matrix.h"

typedef struct pieces {
    const void **rows;   /* pointers of one output row */
    const void **inside; /* of one window, padding left out */
    int32_t *offsets;
    int32_t *sums; /* s8 averages */
    uint64_t size;
} pieces;

static pieces cut_scratch(const wisp_window *w, char *base, bool sums) {
    pieces p = {0};
    uint64_t taps = (uint64_t)w->kernel_h * (uint64_t)w->kernel_w;
    p.rows = take(&base, &p.size, 8ull * (uint64_t)w->kernel_h * (uint64_t)window_columns(w));
    p.inside = take(&base, &p.size, 8 * taps);
    p.offsets = take(&base, &p.size, 4 * taps);
    p.sums = take(&base, &p.size, sums ? 4ull * (uint64_t)w->channels : 0);
    return p;
}

/* Pointers to the values of window ox that lie inside the image. */
static int32_t gather_window(const wisp_window *w, const pieces *p, int64_t ox) {
    int32_t count = 0, taps = w->kernel_h * w->kernel_w;
    for (int32_t t = 0; t < taps; t++) {
        const void *row = p->rows[p->offsets[t] + ox * w->stride_w];
        if (row) p->inside[count++] = row;
    }
    return count;
}

static int64_t row_grain(const wisp_window *w) {
    return 1 + 40000 / (1 + (int64_t)w->out_w * w->channels * w->kernel_h * w->kernel_w);
}

/* Bounds on products, so that pointer tables stay addressable by int32. */
static int check_taps(wisp_call *call, const wisp_window *w) {
    if (w->out_w < 1 || w->out_h < 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "the window is larger than the padded input");
    if ((int64_t)w->kernel_h * w->kernel_w > INT32_MAX / 8 || window_columns(w) * w->kernel_h > INT32_MAX)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "window or input too wide");
    return WISP_OK;
}

/* ---- MaxPool */

static wisp_window max_window(const wisp_call *call) {
    const wisp_MaxPool_params *p = WISP_PARAMS(call, MaxPool);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    return (wisp_window){.batch = x->dims[0],
                         .in_h = x->dims[1],
                         .in_w = x->dims[2],
                         .channels = x->dims[3],
                         .out_h = y->dims[1],
                         .out_w = y->dims[2],
                         .kernel_h = p->kernel_h,
                         .kernel_w = p->kernel_w,
                         .stride_h = p->stride_h,
                         .stride_w = p->stride_w,
                         .dilation_h = p->dilation_h,
                         .dilation_w = p->dilation_w,
                         .pad_top = p->pad_top,
                         .pad_left = p->pad_left,
                         .pad_bottom = p->pad_bottom,
                         .pad_right = p->pad_right};
}

static void run_max_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_window w = max_window(call);
    const bool s8 = wisp_is_s8(x);
    const pieces p = cut_scratch(&w, wisp_scratch(call, thread), false);
    window_tap_offsets(&w, p.offsets);
    for (int64_t row = begin; row < end; row++) {
        window_rows(&w, x->data, s8 ? 1 : 4, row / w.out_h, row % w.out_h, NULL, p.rows);
        for (int64_t ox = 0; ox < w.out_w; ox++) {
            int64_t out = (row * w.out_w + ox) * w.channels;
            int32_t count = gather_window(&w, &p, ox);
            if (s8 && count)
                call->kernels->max_s8((const int8_t *const *)p.inside, count, w.channels, (int8_t *)y->data + out);
            else if (count)
                call->kernels->max_f32((const float *const *)p.inside, count, w.channels, (float *)y->data + out);
            else if (s8)
                memset((int8_t *)y->data + out, -128, (size_t)w.channels);
            else
                for (int32_t c = 0; c < w.channels; c++) ((float *)y->data)[out + c] = -__builtin_inff();
        }
    }
}

static int run_max(wisp_call *call) {
    const wisp_window w = max_window(call);
    if (w.channels) wisp_parallel(call, (int64_t)w.batch * w.out_h, row_grain(&w), run_max_range);
    return WISP_OK;
}

int wisp_prepare_MaxPool(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32 (in a build with WISP_FLOAT) or s8");
    wisp_window w = max_window(call);
    if ((status = window_shape(call, &w, x, y, true)) || (status = check_taps(call, &w))) return status;
    const int32_t dims[4] = {w.batch, w.out_h, w.out_w, w.channels};
    if ((status = wisp_set_output(call, 0, x->dtype, 4, dims))) return status;
    wisp_need_scratch(call, 0, cut_scratch(&w, NULL, false).size);
    wisp_legacy_of(call)->run = run_max;
    return WISP_OK;
}

/* ---- AveragePool */

static wisp_window average_window(const wisp_call *call) {
    const wisp_AveragePool_params *p = WISP_PARAMS(call, AveragePool);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    wisp_window w = {.batch = x->dims[0],
                     .in_h = x->dims[1],
                     .in_w = x->dims[2],
                     .channels = x->dims[3],
                     .out_h = y->dims[1],
                     .out_w = y->dims[2],
                     .dilation_h = 1,
                     .dilation_w = 1};
    if (p->global) {
        w.kernel_h = w.in_h, w.kernel_w = w.in_w, w.stride_h = w.stride_w = w.out_h = w.out_w = 1;
        return w;
    }
    w.kernel_h = p->kernel_h, w.kernel_w = p->kernel_w, w.stride_h = p->stride_h, w.stride_w = p->stride_w;
    w.pad_top = p->pad_top, w.pad_left = p->pad_left, w.pad_bottom = p->pad_bottom, w.pad_right = p->pad_right;
    return w;
}

/* Values of a window along one axis that count: those on the image, or on image and padding. */
static int32_t counted(int64_t start, int32_t kernel, int32_t extent, int32_t before, int32_t after) {
    int64_t lo = start > -before ? start : -before, hi = start + kernel;
    if (hi > (int64_t)extent + after) hi = (int64_t)extent + after;
    return hi > lo ? (int32_t)(hi - lo) : 0;
}

static void average_s8(const wisp_call *call, const pieces *p, int32_t inside, int32_t count, int32_t channels, int8_t *out) {
    const wisp_AveragePool_params *params = WISP_PARAMS(call, AveragePool);
    const wisp_tensor *x = wisp_input(call, 0), *table = wisp_input(call, 1);
    const int32_t *row = (const int32_t *)table->data + (table->dims[0] == 1 || !count ? 0 : 3 * (int64_t)(count - 1));
    int32_t padding = (int32_t)((uint32_t)x->zero_point * (uint32_t)(count - inside));
    memset(p->sums, 0, 4 * (size_t)channels);
    if (inside) call->kernels->sum_s8((const int8_t *const *)p->inside, inside, channels, p->sums);
    for (int32_t c = 0; c < channels; c++)
        out[c] = requantize_s8(add_wrap((int32_t)((uint32_t)add_wrap(p->sums[c], padding) << 8), row[0]), row[1], row[2], params->lo,
                               params->hi);
}

static void average_f32(const wisp_call *call, const pieces *p, int32_t inside, int32_t count, int32_t channels, float *out) {
    memset(out, 0, 4 * (size_t)channels);
    if (!inside) return;
    call->kernels->sum_f32((const float *const *)p->inside, inside, channels, out);
    for (int32_t c = 0; c < channels; c++) out[c] /= (float)count;
}

static void run_average_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_AveragePool_params *params = WISP_PARAMS(call, AveragePool);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_window w = average_window(call);
    const bool s8 = wisp_is_s8(x), pad = params->count_include_pad != 0;
    const pieces p = cut_scratch(&w, wisp_scratch(call, thread), s8);
    window_tap_offsets(&w, p.offsets);
    for (int64_t row = begin; row < end; row++) {
        int64_t oy = row % w.out_h;
        window_rows(&w, x->data, s8 ? 1 : 4, row / w.out_h, oy, NULL, p.rows);
        int32_t high = counted(oy * w.stride_h - w.pad_top, w.kernel_h, w.in_h, pad ? w.pad_top : 0, pad ? w.pad_bottom : 0);
        for (int64_t ox = 0; ox < w.out_w; ox++) {
            int32_t wide = counted(ox * w.stride_w - w.pad_left, w.kernel_w, w.in_w, pad ? w.pad_left : 0, pad ? w.pad_right : 0);
            int64_t out = (row * w.out_w + ox) * w.channels;
            int32_t inside = gather_window(&w, &p, ox);
            if (s8)
                average_s8(call, &p, inside, high * wide, w.channels, (int8_t *)y->data + out);
            else
                average_f32(call, &p, inside, high * wide, w.channels, (float *)y->data + out);
        }
    }
}

static int run_average(wisp_call *call) {
    const wisp_window w = average_window(call);
    if (w.channels) wisp_parallel(call, (int64_t)w.batch * w.out_h, row_grain(&w), run_average_range);
    return WISP_OK;
}

static int check_table(wisp_call *call, const wisp_window *w) {
    const wisp_AveragePool_params *p = WISP_PARAMS(call, AveragePool);
    const wisp_tensor *t = wisp_input(call, 1);
    if (!t || !wisp_value(t) || t->dtype != WISP_S32 || t->layout != WISP_LAYOUT_PLAIN || t->rank != 2 || t->dims[1] != 3 ||
        (t->dims[0] != 1 && t->dims[0] != w->kernel_h * w->kernel_w))
        return wisp_call_fail(call, WISP_BAD_FILE, "needs a table of bias, shift, multiplier for each window size");
    for (int32_t i = 0; i < t->dims[0]; i++) {
        const int32_t *row = (const int32_t *)t->data + 3 * (int64_t)i;
        if (row[1] < -15 || row[1] > 31 || row[2] < 0 || row[2] > 32767)
            return wisp_call_fail_value(call, WISP_BAD_FILE, "shift or multiplier out of range in row", i);
    }
    return wisp_check_clamp(call, p->lo, p->hi);
}

int wisp_prepare_AveragePool(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32 (in a build with WISP_FLOAT) or s8");
    if (!y || x->rank != 4) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 4 (NHWC)");
    wisp_window w = average_window(call);
    if ((status = window_shape(call, &w, x, y, true)) || (status = check_taps(call, &w))) return status;
    if (x->dtype == WISP_S8 && (status = check_table(call, &w))) return status;
    const int32_t dims[4] = {w.batch, w.out_h, w.out_w, w.channels};
    if ((status = wisp_set_output(call, 0, x->dtype, 4, dims))) return status;
    wisp_need_scratch(call, 0, cut_scratch(&w, NULL, x->dtype == WISP_S8).size);
    wisp_legacy_of(call)->run = run_average;
    return WISP_OK;
}

WISP_LEGACY(MaxPool)
WISP_LEGACY(AveragePool)
