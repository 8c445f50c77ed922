/* MaxPool and AveragePool on NHWC and NDHWC, global ones included. */
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

_Static_assert(offsetof(wisp_MaxPool_params, same) == offsetof(window_params, same) &&
                   offsetof(wisp_AveragePool_params, same) == offsetof(window_params, same),
               "the words of a window come first");

static uint64_t tap_count(const wisp_window *w) {
    return (uint64_t)window_taps(w);
}

static pieces cut_scratch(const wisp_window *w, char *base, bool sums) {
    pieces p = {0};
    p.rows = take(&base, &p.size, sizeof(void *) * (uint64_t)window_pointers(w));
    p.inside = take(&base, &p.size, sizeof(void *) * tap_count(w));
    p.sums = take(&base, &p.size, sums ? sizeof(int32_t) * (uint64_t)w->channels : 0);
    return p;
}

/* Pointers to the values of window ox that lie inside the image. */
static int32_t gather_window(const wisp_window *w, const pieces *p, const int32_t *offsets, int64_t ox) {
    int32_t count = 0, taps = window_taps(w);
    for (int32_t t = 0; t < taps; t++) {
        const void *row = p->rows[offsets[t] + ox * w->stride_w];
        if (row) p->inside[count++] = row;
    }
    return count;
}

/* What both have in common. `whole`: the window is the whole image. */
static int plan_pool(wisp_call *call, bool ceil_mode, bool whole, bool sums) {
    pool_plan *plan = call->plan;
    wisp_window *w = &plan->window;
    int status = wisp_window_shape(call, w, ceil_mode, whole);
    if (status) return status;
    /* so that pointer tables stay addressable by int32 */
    if (tap_count(w) > INT32_MAX / 8 || window_pointers(w) > INT32_MAX)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "window or input too wide");
    if ((status = wisp_window_output(call, w, w->channels))) return status;
    const int64_t row = (int64_t)w->out_w * w->channels, worth = 40000; /* sums that are worth a thread */
    wisp_need_scratch(call, sizeof(int32_t) * tap_count(w), cut_scratch(w, NULL, sums).size);
    wisp_set_work(call, w->channels ? window_lines(w) : 0, row < worth ? 1 + worth / (1 + row * (int64_t)tap_count(w)) : 1, 1);
    return WISP_OK;
}

static int check_dtype(wisp_call *call) {
    if (!wisp_has_kernels(wisp_input(call, 0)))
        return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32 (in a build with WISP_FLOAT) or s8");
    return WISP_OK;
}

static int begin_pool(wisp_call *call) {
    const pool_plan *plan = call->plan;
    wisp_window_tap_offsets(&plan->window, (int32_t *)(void *)call->shared);
    return WISP_OK;
}

/* ---- MaxPool */

static int plan_max(wisp_call *call) {
    const wisp_MaxPool_params *p = WISP_PARAMS(call, MaxPool);
    const wisp_tensor *x = wisp_input(call, 0), *indices = wisp_output(call, 1);
    pool_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 1, call->output_count == 2 ? 2 : 1);
    if (status || (x->dtype != WISP_U8 && (status = check_dtype(call)))) return status;
    if (!wisp_output(call, 0)) return wisp_call_fail(call, WISP_BAD_FILE, "missing output");
    if (x->dtype == WISP_F32 && !indices) plan->max_f32 = WISP_KERNEL(call, max_f32);
    if (x->dtype == WISP_S8 && !indices) plan->max_s8 = WISP_KERNEL(call, max_s8);
    if ((status = plan_pool(call, p->ceil_mode != 0, false, false)) || !indices) return status;
    return wisp_set_output(call, 1, WISP_S64, x->rank, wisp_output(call, 0)->dims);
}

static void max_of_nothing(const wisp_tensor *y, int64_t at, int32_t count) {
    if (y->dtype != WISP_F32)
        memset((int8_t *)y->data + at, y->dtype == WISP_S8 ? -128 : 0, (size_t)count);
    else
        for (int32_t c = 0; c < count; c++) ((float *)y->data)[at + c] = -__builtin_inff();
}

/* Which of the values at rows[..][c] is the largest, the first of equal ones. A NaN is larger than all. */
static inline int32_t largest(int dtype, const void *const *rows, int32_t count, int64_t c) {
    int32_t best = 0;
    for (int32_t t = 1; t < count; t++) {
        bool larger;
        if (dtype == WISP_F32) {
            const float v = ((const float *)rows[t])[c], most = ((const float *)rows[best])[c];
            larger = v > most || (v != v && most == most);
        } else if (dtype == WISP_S8) {
            larger = ((const int8_t *)rows[t])[c] > ((const int8_t *)rows[best])[c];
        } else {
            larger = ((const uint8_t *)rows[t])[c] > ((const uint8_t *)rows[best])[c];
        }
        if (larger) best = t;
    }
    return best;
}

/* Where in N, C, (D,) H, W a value of x lies. */
static int64_t index_of(const wisp_call *call, const wisp_window *w, const void *pixel, int64_t c) {
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t size = (int64_t)w->channels * (int64_t)wisp_dtype_size(x->dtype), plane = (int64_t)w->in_h * w->in_w;
    const int64_t at = ((const uint8_t *)pixel - (const uint8_t *)x->data) / size, b = at / (plane * w->in_d);
    int64_t inside = at % (plane * w->in_d);
    if (WISP_PARAMS(call, MaxPool)->column_major)
        inside = inside / plane + w->in_d * (inside % plane / w->in_w + w->in_h * (inside % w->in_w));
    return (b * w->channels + c) * plane * w->in_d + inside;
}

/* Without a kernel: u8, or with indices, which are -1 where the window meets the padding only. */
static void max_plain(const wisp_call *call, const pieces *p, int32_t count, int64_t out) {
    const pool_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0), *indices = wisp_output(call, 1);
    const size_t size = wisp_dtype_size(x->dtype);
    for (int64_t c = 0; c < plan->window.channels; c++) {
        const int32_t best = count ? largest(x->dtype, p->inside, count, c) : 0;
        if (count) memcpy((uint8_t *)y->data + (size_t)(out + c) * size, (const uint8_t *)p->inside[best] + (size_t)c * size, size);
        if (indices) ((int64_t *)indices->data)[out + c] = count ? index_of(call, &plan->window, p->inside[best], c) : -1;
    }
}

static void range_max(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const pool_plan *plan = call->plan;
    const wisp_window *w = &plan->window;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_image image = image_of(x);
    const pieces p = cut_scratch(w, wisp_scratch(call, thread), false);
    const int32_t *offsets = (const int32_t *)(const void *)call->shared;
    for (int64_t row = begin; row < end; row++) {
        wisp_window_rows(w, &image, (int)wisp_dtype_size(x->dtype), row, NULL, p.rows);
        for (int64_t ox = 0; ox < w->out_w; ox++) {
            const int64_t out = (row * w->out_w + ox) * w->channels;
            const int32_t count = gather_window(w, &p, offsets, ox);
            if (!count) max_of_nothing(y, out, w->channels);
            if (!plan->max_s8 && !plan->max_f32)
                max_plain(call, &p, count, out);
            else if (count && plan->max_s8)
                plan->max_s8((const int8_t *const *)p.inside, count, w->channels, (int8_t *)y->data + out);
            else if (count)
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
    const bool s8 = wisp_is_s8(wisp_input(call, 0));
    if (p->count < 0 || p->count > (s8 ? 1 : 2)) return wisp_call_fail(call, WISP_BAD_FILE, "no such way to count");
    if (s8)
        plan->sum_s8 = WISP_KERNEL(call, sum_s8);
    else
        plan->sum_f32 = WISP_KERNEL(call, sum_f32);
    if ((status = plan_pool(call, p->ceil_mode != 0, p->global != 0, s8))) return status;
    return s8 ? plan_table(call, &plan->window) : WISP_OK;
}

/* Taps of a window at position o of an axis that count: those on the image, or on image and padding. */
static int32_t counted(const wisp_window *w, int axis, int64_t o, bool pads) {
    const int64_t start = o * w->stride[axis] - w->before[axis], step = w->dilation[axis];
    const int64_t lo = pads ? -w->before[axis] : 0, hi = (int64_t)w->in[axis] + (pads ? w->after[axis] : 0);
    const int64_t first = start < lo ? (lo - start + step - 1) / step : 0, end = start < hi ? (hi - start + step - 1) / step : 0;
    const int64_t last = end < w->kernel[axis] ? end : w->kernel[axis];
    return last > first ? (int32_t)(last - first) : 0;
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
    for (int32_t c = 0; c < channels && count > 1; c++) out[c] /= (float)count;
}

static void range_average(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const pool_plan *plan = call->plan;
    const wisp_window *w = &plan->window;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const bool s8 = wisp_is_s8(x);
    const int32_t count = WISP_PARAMS(call, AveragePool)->count;
    const wisp_image image = image_of(x);
    const pieces p = cut_scratch(w, wisp_scratch(call, thread), s8);
    const int32_t *offsets = (const int32_t *)(const void *)call->shared;
    for (int64_t row = begin; row < end; row++) {
        wisp_window_rows(w, &image, s8 ? 1 : 4, row, NULL, p.rows);
        const int32_t rows = counted(w, 0, row / w->out_h % w->out_d, count) * counted(w, 1, row % w->out_h, count);
        for (int64_t ox = 0; ox < w->out_w; ox++) {
            const int32_t taps = count == 2 ? 1 : rows * counted(w, 2, ox, count);
            const int64_t out = (row * w->out_w + ox) * w->channels;
            const int32_t inside = gather_window(w, &p, offsets, ox);
            if (s8)
                average_s8(call, &p, inside, taps, (int8_t *)y->data + out);
            else
                average_f32(call, &p, inside, taps, (float *)y->data + out);
        }
    }
}

const wisp_operator wisp_op_AveragePool = {
    .check = check_average, .plan = plan_average, .begin = begin_pool, .range = range_average, .plan_size = sizeof(pool_plan)};
