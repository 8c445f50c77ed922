/* Softmax and LogSoftmax along one axis: f32, and int8 in integers only. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "activation_math.h"

/* f32: y = exp(x - max) / sum of exp(x - max); sums in eight lanes (contiguous axis) or in order (strided).
 *
 * s8: the second input is table[256] of s32, table[d] = round(exp(-scale * d) * 2^23), so that table[0] = 2^23 and all
 * values are in 0..2^23 (checked). With m = max(x) and e[i] = table[m - x[i]],
 *
 *   sum = e[0] + ... + e[n-1]                    64 bits, exact
 *   y[i] = min((512 * e[i] + sum) / (2 * sum), 255) - 128     integer division; that is floor(256 * e / sum + 1/2)
 *
 * with output scale 1/256 and zero point -128. sum >= 2^23 > 0 because one x equals m. */
enum { LANES = 8, BLOCK = 64 /* columns of a strided axis done together */, GRAIN = 4096, TABLE_ONE = 1 << 23 };

typedef struct softmax_plan {
    int64_t n, inner; /* extent of the axis; elements from one along it to the next */
    int64_t blocks;   /* f32: of columns; a row is one */
} softmax_plan;

static float max_of(const float *x, int64_t n) {
    float lane[LANES];
    for (int k = 0; k < LANES; k++) lane[k] = x[0];
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    for (int k = 1; k < LANES; k++) lane[0] = lane[k] > lane[0] ? lane[k] : lane[0];
    return lane[0];
}

/* e = exp(x - max) of count <= BLOCK values; up to the next multiple of 16, what lies behind becomes exp(-inf) = 0. */
static void exp_block(const float *x, const float *max, float *e, int count) {
    for (int k = 0; k < count; k++) e[k] = x[k] - max[k];
    int whole = (count + 15) / 16 * 16;
    for (int k = count; k < whole; k++) e[k] = -INFINITY;
    for (int k = 0; k < whole; k += 16) { /* through a local array: then compilers vectorise at -O2 */
        float block[16];
        memcpy(block, e + k, sizeof block);
        for (int j = 0; j < 16; j++) block[j] = exp_f32(block[j]);
        memcpy(e + k, block, sizeof block);
    }
}

/* y = exp(x - max); returns the sum. y null: the sum only. */
static float exp_row(const float *x, float *y, float max, int64_t n) {
    float lane[LANES] = {0}, e[BLOCK], maxima[BLOCK];
    for (int k = 0; k < BLOCK; k++) maxima[k] = max;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int count = (int)(n - i < BLOCK ? n - i : BLOCK);
        exp_block(x + i, maxima, e, count);
        for (int j = 0; j < count; j += LANES)
            for (int k = 0; k < LANES; k++) lane[k] += e[j + k];
        if (y) memcpy(y + i, e, (size_t)count * sizeof *e);
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* is_log is a constant: Softmax alone links no logarithm. */
ALWAYS_INLINE void softmax_row(const float *x, float *y, int64_t n, bool is_log) {
    float max = max_of(x, n), sum = exp_row(x, is_log ? NULL : y, max, n);
    if (is_log) {
        float log_sum = logf(sum);
        for (int64_t i = 0; i < n; i++) y[i] = x[i] - max - log_sum;
    } else {
        float inverse = 1 / sum;
        for (int64_t i = 0; i < n; i++) y[i] *= inverse;
    }
}

/* `count` <= BLOCK neighbouring columns, elements of one column `step` apart. */
ALWAYS_INLINE void softmax_columns(const float *x, float *y, int64_t n, int64_t step, int count, bool is_log) {
    float max[BLOCK], sum[BLOCK] = {0}, e[BLOCK];
    memcpy(max, x, (size_t)count * sizeof *max);
    for (int64_t i = 1; i < n; i++)
        for (int k = 0; k < count; k++) max[k] = x[i * step + k] > max[k] ? x[i * step + k] : max[k];
    for (int64_t i = 0; i < n; i++) {
        exp_block(x + i * step, max, e, count);
        for (int k = 0; k < count; k++) sum[k] += e[k];
        if (!is_log) memcpy(y + i * step, e, (size_t)count * sizeof *e);
    }
    for (int k = 0; k < count; k++) sum[k] = is_log ? logf(sum[k]) : 1 / sum[k];
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < count; k++) y[i * step + k] = is_log ? x[i * step + k] - max[k] - sum[k] : y[i * step + k] * sum[k];
}

/* Items are rows when the axis is the innermost, else blocks of columns. */
ALWAYS_INLINE void softmax_items(const wisp_call *call, bool is_log, int64_t begin, int64_t end) {
    const softmax_plan *p = call->plan;
    const float *x = wisp_input(call, 0)->data;
    float *y = wisp_output(call, 0)->data;
    for (int64_t i = begin; i < end; i++) {
        int64_t column = i % p->blocks * BLOCK, at = i / p->blocks * p->n * p->inner + column;
        int count = (int)(p->inner - column < BLOCK ? p->inner - column : BLOCK);
        if (p->inner == 1)
            softmax_row(x + at, y + at, p->n, is_log);
        else
            softmax_columns(x + at, y + at, p->n, p->inner, count, is_log);
    }
}

static void softmax_items_s8(const wisp_call *call, int64_t begin, int64_t end) {
    const softmax_plan *p = call->plan;
    const int32_t *table = wisp_input(call, 1)->data;
    const int64_t n = p->n, inner = p->inner;
    for (int64_t v = begin; v < end; v++) {
        int64_t at = v / inner * n * inner + v % inner;
        const int8_t *x = (const int8_t *)wisp_input(call, 0)->data + at;
        int8_t *y = (int8_t *)wisp_output(call, 0)->data + at;
        int max = x[0];
        uint64_t sum = 0;
        for (int64_t i = 1; i < n; i++) max = x[i * inner] > max ? x[i * inner] : max;
        for (int64_t i = 0; i < n; i++) sum += (uint32_t)table[max - x[i * inner]];
        for (int64_t i = 0; i < n; i++) {
            uint64_t top = 512 * (uint64_t)(uint32_t)table[max - x[i * inner]] + sum;
            int q = top < 2 * sum ? 0 : (int)(top / (2 * sum)); /* most values of a long axis are 0: no division */
            y[i * inner] = (int8_t)((q > 255 ? 255 : q) - 128);
        }
    }
}

static void range_softmax(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    if (wisp_is_s8(wisp_input(call, 0)))
        softmax_items_s8(call, begin, end);
    else
        softmax_items(call, false, begin, end);
}

static void range_log_softmax(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    softmax_items(call, true, begin, end);
}

/* The table of int8. */
static int check_softmax(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 2, 1);
    if (status || wisp_input(call, 0)->dtype != WISP_S8) return status;
    const wisp_tensor *table = wisp_input(call, 1), *y = wisp_output(call, 0);
    if (!table || table->kind != WISP_KIND_CONSTANT || table->dtype != WISP_S32 || table->count != 256 ||
        table->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_FILE, "int8 needs a constant table of 256 s32 values");
    for (uint64_t i = 0; i < 256; i++) {
        int64_t v = wisp_integer_at(table, i);
        if (v < 0 || v > TABLE_ONE || (i == 0 && v != TABLE_ONE))
            return wisp_call_fail(call, WISP_BAD_FILE, "table values are out of range");
    }
    if (y->scale != 1.0f / 256 || y->zero_point != -128)
        return wisp_call_fail(call, WISP_BAD_FILE, "the int8 output has scale 1/256 and zero point -128");
    return WISP_OK;
}

static int plan_any(wisp_call *call, int32_t axis_param, bool has_s8) {
    softmax_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0);
    const int axis = wisp_axis(axis_param, x->rank);
    const bool is_s8 = x->dtype == WISP_S8;
    if (is_s8 ? !has_s8 : !WISP_FLOAT || x->dtype != WISP_F32 || wisp_input(call, 1))
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "is not supported here: dtype", x->dtype);
    if (x->layout != WISP_LAYOUT_PLAIN) return wisp_call_fail(call, WISP_BAD_FILE, "packed input");
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", axis_param);
    *p = (softmax_plan){.n = x->dims[axis], .inner = (int64_t)wisp_extent(x->dims, axis + 1, x->rank)};
    p->blocks = (p->inner + BLOCK - 1) / BLOCK;
    if (x->count) {
        const int64_t outer = (int64_t)x->count / p->n / p->inner, items = is_s8 ? p->inner : p->blocks;
        const int64_t work = p->n * p->inner / items; /* elements of an item */
        wisp_set_work(call, outer * items, work >= GRAIN ? 1 : GRAIN / work, 1);
    }
    return wisp_set_output(call, 0, x->dtype, x->rank, x->dims);
}

static int plan_softmax(wisp_call *call) {
    return plan_any(call, WISP_PARAMS(call, Softmax)->axis, true);
}

static int plan_log_softmax(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    return status ? status : plan_any(call, WISP_PARAMS(call, LogSoftmax)->axis, false);
}

const wisp_operator wisp_op_Softmax = {
    .check = check_softmax, .plan = plan_softmax, .range = range_softmax, .plan_size = sizeof(softmax_plan)};
const wisp_operator wisp_op_LogSoftmax = {.plan = plan_log_softmax, .range = range_log_softmax, .plan_size = sizeof(softmax_plan)};
