/* Normalisations over groups of elements: LayerNormalization, RMSNormalization, GroupNormalization, LpNormalization, LRN. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "../op.h"

enum { LANES = 8, GRAIN = 8192 /* elements worth a thread */ };

/* Sums run in eight lanes, element i in lane i mod 8, and then pairwise: the same order on every target, and vectors can hold it. */
static inline float add_lanes(const float *lane) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float sum_of(const float *x, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += x[i + k];
    for (int k = 0; i + k < n; k++) lane[k] += x[i + k];
    return add_lanes(lane);
}

/* Sum of (x - center)^2. */
static float sum_of_squares(const float *x, float center, int64_t n) {
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (x[i + k] - center) * (x[i + k] - center);
    for (int k = 0; i + k < n; k++) lane[k] += (x[i + k] - center) * (x[i + k] - center);
    return add_lanes(lane);
}

static int like_x(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

static int check_f32(wisp_call *call, uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && (t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN))
            return wisp_call_fail_value(call, WISP_UNSUPPORTED, "only f32 is supported here: input", i);
    }
    return WISP_OK;
}

/* Items of `each` elements. */
static void set_work(wisp_call *call, int64_t items, int64_t each) {
    wisp_set_work(call, items, each >= GRAIN ? 1 : each <= 0 ? GRAIN : GRAIN / each, 1);
}

/* ---- LayerNormalization and RMSNormalization: x, scale, bias; rows are the axes from `axis` on */

typedef struct rows_plan {
    int64_t row;
    float epsilon;
    uint8_t scale_step, bias_step; /* 1, or 0 for one value */
} rows_plan;

/* y = (x - mean) * inverse * scale + bias; in blocks through a local array, so that compilers vectorise it. */
static void scale_row(const wisp_call *call, const float *x, float *y, float mean, float inverse) {
    enum { BLOCK = 16 };
    const rows_plan *p = call->plan;
    const float *scale = wisp_input(call, 1)->data, *bias = wisp_input(call, 2) ? wisp_input(call, 2)->data : NULL;
    int64_t i = 0;
    for (; p->scale_step && (!bias || p->bias_step) && i + BLOCK <= p->row; i += BLOCK) {
        float block[BLOCK];
        for (int k = 0; k < BLOCK; k++) block[k] = (x[i + k] - mean) * inverse * scale[i + k];
        for (int k = 0; k < BLOCK && bias; k++) block[k] += bias[i + k];
        memcpy(y + i, block, sizeof block);
    }
    for (; i < p->row; i++) y[i] = (x[i] - mean) * inverse * scale[i * p->scale_step] + (bias ? bias[i * p->bias_step] : 0);
}

/* Mean and inverse of a row without elements are NaN. */
static void normalize_rows(const wisp_call *call, bool is_rms, int64_t begin, int64_t end) {
    const rows_plan *p = call->plan;
    const wisp_tensor *means = wisp_output(call, 1), *inverses = wisp_output(call, 2);
    const int64_t n = p->row;
    for (int64_t r = begin; r < end; r++) {
        const float *from = (const float *)wisp_input(call, 0)->data + r * n;
        const float mean = is_rms ? 0 : sum_of(from, n) / (float)n;
        const float inverse = 1 / sqrtf(sum_of_squares(from, mean, n) / (float)n + p->epsilon);
        if (means) ((float *)means->data)[r] = mean;
        if (inverses) ((float *)inverses->data)[r] = inverse;
        scale_row(call, from, (float *)wisp_output(call, 0)->data + r * n, mean, inverse);
    }
}

static void range_layer(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    normalize_rows(call, false, begin, end);
}
static void range_rms(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    normalize_rows(call, true, begin, end);
}

/* Whether t has one value, or exactly the last axes of x from `axis` on (leading ones may be stated as 1). */
static bool fits_row(const wisp_tensor *t, const wisp_tensor *x, int axis) {
    int lead = x->rank - t->rank;
    if (t->count == 1) return t->rank <= x->rank;
    if (lead < 0 || lead > axis) return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != (i + lead < axis ? 1 : x->dims[i + lead])) return false;
    return true;
}

static int plan_rows(wisp_call *call, int32_t axis_param, float epsilon) {
    int32_t dims[WISP_MAX_RANK];
    int status = check_f32(call, 3);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *scale = wisp_input(call, 1), *bias = wisp_input(call, 2);
    int axis = wisp_axis(axis_param, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", axis_param);
    if (!fits_row(scale, x, axis) || (bias && !fits_row(bias, x, axis)))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "scale and bias must have one value, or the shape of the normalized axes");
    const int64_t row = (int64_t)wisp_extent(x->dims, axis, x->rank);
    *(rows_plan *)call->plan = (rows_plan){row, epsilon, scale->count != 1, bias && bias->count != 1};
    set_work(call, (int64_t)wisp_extent(x->dims, 0, axis), row);
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : 1;
    for (uint32_t i = 1; i < call->output_count; i++)
        if ((status = wisp_set_output(call, i, WISP_F32, x->rank, dims))) return status;
    return like_x(call);
}

static int plan_layer(wisp_call *call) {
    const wisp_LayerNormalization_params *p = WISP_PARAMS(call, LayerNormalization);
    uint32_t outputs = call->output_count;
    int status = wisp_check_operands(call, 2, 3, outputs >= 1 && outputs <= 3 ? outputs : 1);
    if (status) return status;
    if (!wisp_output(call, 0)) return wisp_call_fail(call, WISP_BAD_FILE, "missing output");
    return plan_rows(call, p->axis, p->epsilon);
}

static int plan_rms(wisp_call *call) {
    const wisp_RMSNormalization_params *p = WISP_PARAMS(call, RMSNormalization);
    int status = wisp_check_operands(call, 2, 2, 1);
    return status ? status : plan_rows(call, p->axis, p->epsilon);
}

const wisp_operator wisp_op_LayerNormalization = {.plan = plan_layer, .range = range_layer, .plan_size = sizeof(rows_plan)};
const wisp_operator wisp_op_RMSNormalization = {.plan = plan_rms, .range = range_rms, .plan_size = sizeof(rows_plan)};

/* ---- GroupNormalization: x (n, c, ...), scale[c], bias[c]; InstanceNormalization has a group for each channel */

typedef struct groups_plan {
    int64_t channels, all_channels, plane; /* of a group; of x; elements of a channel */
} groups_plan;

static void range_groups(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const groups_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const float *scale = wisp_input(call, 1)->data, *bias = wisp_input(call, 2)->data;
    const int64_t n = p->channels * p->plane;
    (void)thread;
    for (int64_t g = begin; g < end; g++) {
        const float *from = (const float *)x->data + g * n;
        float *to = (float *)y->data + g * n;
        float mean = sum_of(from, n) / (float)n;
        float inverse = 1 / sqrtf(sum_of_squares(from, mean, n) / (float)n + WISP_PARAMS(call, GroupNormalization)->epsilon);
        for (int64_t k = 0; k < p->channels; k++) {
            int64_t channel = g * p->channels % p->all_channels + k;
            float a = inverse * scale[channel], b = bias[channel];
            for (int64_t i = k * p->plane; i < (k + 1) * p->plane; i++) to[i] = (from[i] - mean) * a + b;
        }
    }
}

static int plan_groups(wisp_call *call) {
    groups_plan *p = call->plan;
    int32_t groups = WISP_PARAMS(call, GroupNormalization)->groups;
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status || (status = check_f32(call, 3))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *scale = wisp_input(call, 1), *bias = wisp_input(call, 2);
    if (x->rank < 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "an axis of channels is needed");
    if (groups == 0) groups = x->dims[1] > 0 ? x->dims[1] : 1;
    if (groups < 0 || x->dims[1] % groups)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "the channels do not divide into groups:", groups);
    if (scale->count != (uint64_t)x->dims[1] || bias->count != (uint64_t)x->dims[1])
        return wisp_call_fail(call, WISP_BAD_SHAPE, "scale and bias must have one value for each channel");
    *p = (groups_plan){x->dims[1] / groups, x->dims[1], (int64_t)wisp_extent(x->dims, 2, x->rank)};
    set_work(call, x->count ? (int64_t)x->dims[0] * groups : 0, p->channels * p->plane);
    return like_x(call);
}

const wisp_operator wisp_op_GroupNormalization = {.plan = plan_groups, .range = range_groups, .plan_size = sizeof(groups_plan)};

/* ---- LpNormalization: x / norm over one axis, p = 1 or 2; 0 where the norm is 0 */

typedef struct vectors_plan {
    int64_t n, step; /* elements of a vector, and how far they are apart */
} vectors_plan;

static void range_vectors(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const vectors_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const bool absolute = WISP_PARAMS(call, LpNormalization)->p == 1;
    const int64_t n = plan->n, step = plan->step;
    (void)thread;
    for (int64_t v = begin; v < end; v++) {
        int64_t at = v / step * n * step + v % step;
        const float *from = (const float *)x->data + at;
        float *to = (float *)y->data + at, sum = 0;
        for (int64_t i = 0; i < n; i++) sum += absolute ? fabsf(from[i * step]) : from[i * step] * from[i * step];
        float norm = absolute ? sum : sqrtf(sum);
        for (int64_t i = 0; i < n; i++) to[i * step] = norm == 0 ? 0 : from[i * step] / norm;
    }
}

static int plan_vectors(wisp_call *call) {
    const wisp_LpNormalization_params *p = WISP_PARAMS(call, LpNormalization);
    vectors_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_f32(call, 1))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const int axis = wisp_axis(p->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", p->axis);
    if (p->p != 1 && p->p != 2) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "p must be 1 or 2, not", p->p);
    *plan = (vectors_plan){x->dims[axis], (int64_t)wisp_extent(x->dims, axis + 1, x->rank)};
    set_work(call, x->count ? (int64_t)x->count / plan->n : 0, plan->n);
    return like_x(call);
}

const wisp_operator wisp_op_LpNormalization = {.plan = plan_vectors, .range = range_vectors, .plan_size = sizeof(vectors_plan)};

/* ---- LRN on (n, c, ...): y = x / (bias + alpha / size * sum of x^2 over `size` channels around)^beta */

typedef struct channels_plan {
    int64_t channels, plane;
} channels_plan;

static void range_channels(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_LRN_params *p = WISP_PARAMS(call, LRN);
    const channels_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t c = plan->channels, plane = plan->plane;
    (void)thread;
    for (int64_t v = begin; v < end; v++) {
        const float *from = (const float *)x->data + v / c * c * plane;
        float *to = (float *)y->data + v * plane;
        int64_t channel = v % c, first = channel - (p->size - 1) / 2, last = channel + p->size / 2;
        first = first < 0 ? 0 : first;
        last = last >= c ? c - 1 : last;
        for (int64_t i = 0; i < plane; i++) {
            float sum = 0;
            for (int64_t k = first; k <= last; k++) sum += from[k * plane + i] * from[k * plane + i];
            to[i] = from[channel * plane + i] / powf(p->bias + p->alpha / (float)p->size * sum, p->beta);
        }
    }
}

static int plan_channels(wisp_call *call) {
    channels_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_f32(call, 1))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->rank < 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "an axis of channels is needed");
    if (WISP_PARAMS(call, LRN)->size < 1) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such size:", WISP_PARAMS(call, LRN)->size);
    *plan = (channels_plan){x->dims[1], (int64_t)wisp_extent(x->dims, 2, x->rank)};
    set_work(call, x->count ? (int64_t)x->dims[0] * x->dims[1] : 0, 8 * plan->plane);
    return like_x(call);
}

const wisp_operator wisp_op_LRN = {.plan = plan_channels, .range = range_channels, .plan_size = sizeof(channels_plan)};
