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

static int check_f32(wisp_call *call, uint32_t inputs) {
    for (uint32_t i = 0; i < inputs; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && (t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN))
            return wisp_call_fail_value(call, WISP_UNSUPPORTED, "only f32 is supported here: input", i);
    }
    return WISP_OK;
}

static int64_t rows_grain(int64_t row) {
    return row >= GRAIN ? 1 : row <= 0 ? GRAIN : GRAIN / row;
}

/* ---- LayerNormalization and RMSNormalization: x, scale, bias; rows are the axes from `axis` on */

enum { ROW, IS_RMS, SCALE_STEP, BIAS_STEP, EPSILON }; /* node->state; steps: 1, or 0 for one value; epsilon by its bits */

static float get_epsilon(const wisp_call *call) {
    float epsilon;
    memcpy(&epsilon, &wisp_legacy_of(call)->state[EPSILON], sizeof epsilon);
    return epsilon;
}

/* y = (x - mean) * inverse * scale + bias; in blocks through a local array, so that compilers vectorise it. */
static void scale_row(const wisp_call *call, const float *x, float *y, float mean, float inverse) {
    enum { BLOCK = 16 };
    const int64_t *state = wisp_legacy_of(call)->state, n = state[ROW];
    const float *scale = wisp_input(call, 1)->data, *bias = wisp_input(call, 2) ? wisp_input(call, 2)->data : NULL;
    int64_t i = 0;
    for (; state[SCALE_STEP] && (!bias || state[BIAS_STEP]) && i + BLOCK <= n; i += BLOCK) {
        float block[BLOCK];
        for (int k = 0; k < BLOCK; k++) block[k] = (x[i + k] - mean) * inverse * scale[i + k];
        for (int k = 0; k < BLOCK && bias; k++) block[k] += bias[i + k];
        memcpy(y + i, block, sizeof block);
    }
    for (; i < n; i++) y[i] = (x[i] - mean) * inverse * scale[i * state[SCALE_STEP]] + (bias ? bias[i * state[BIAS_STEP]] : 0);
}

static void normalize_rows(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const int64_t *state = wisp_legacy_of(call)->state;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_tensor *means = wisp_output(call, 1), *inverses = wisp_output(call, 2);
    int64_t n = state[ROW];
    for (int64_t r = begin; r < end; r++) {
        const float *from = (const float *)x->data + r * n;
        float *to = (float *)y->data + r * n;
        float mean = state[IS_RMS] ? 0 : sum_of(from, n) / (float)n;
        float inverse = 1 / sqrtf(sum_of_squares(from, mean, n) / (float)n + get_epsilon(call));
        if (means) ((float *)means->data)[r] = mean;
        if (inverses) ((float *)inverses->data)[r] = inverse;
        scale_row(call, from, to, mean, inverse);
    }
}

static int run_rows(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    int64_t row = wisp_legacy_of(call)->state[ROW];
    if (y->count) wisp_parallel(call, (int64_t)y->count / row, rows_grain(row), normalize_rows);
    return WISP_OK;
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

static int prepare_rows(wisp_call *call, int32_t axis_param, float epsilon, bool is_rms) {
    int64_t *state = wisp_legacy_of(call)->state;
    int32_t dims[WISP_MAX_RANK];
    int status = check_f32(call, 3);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *scale = wisp_input(call, 1), *bias = wisp_input(call, 2);
    int axis = wisp_axis(axis_param, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", axis_param);
    if (!fits_row(scale, x, axis) || (bias && !fits_row(bias, x, axis)))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "scale and bias must have one value, or the shape of the normalized axes");
    state[ROW] = (int64_t)wisp_extent(x->dims, axis, x->rank);
    state[IS_RMS] = is_rms;
    state[SCALE_STEP] = scale->count != 1;
    state[BIAS_STEP] = bias && bias->count != 1;
    memcpy(&state[EPSILON], &epsilon, sizeof epsilon);
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : 1;
    wisp_legacy_of(call)->run = run_rows;
    if ((status = wisp_set_output(call, 0, WISP_F32, x->rank, x->dims))) return status;
    for (uint32_t i = 1; i < call->output_count; i++)
        if ((status = wisp_set_output(call, i, WISP_F32, x->rank, dims))) return status;
    return WISP_OK;
}

int wisp_prepare_LayerNormalization(wisp_call *call) {
    const wisp_LayerNormalization_params *p = WISP_PARAMS(call, LayerNormalization);
    uint32_t outputs = call->output_count;
    int status = wisp_check_operands(call, 2, 3, outputs >= 1 && outputs <= 3 ? outputs : 1);
    return status ? status : prepare_rows(call, p->axis, p->epsilon, false);
}

int wisp_prepare_RMSNormalization(wisp_call *call) {
    const wisp_RMSNormalization_params *p = WISP_PARAMS(call, RMSNormalization);
    int status = wisp_check_operands(call, 2, 2, 1);
    return status ? status : prepare_rows(call, p->axis, p->epsilon, true);
}

/* ---- GroupNormalization: x (n, c, ...), scale[c], bias[c]; InstanceNormalization has a group for each channel */

static void normalize_groups(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const float *scale = wisp_input(call, 1)->data, *bias = wisp_input(call, 2)->data;
    int64_t c = x->dims[1], plane = (int64_t)wisp_extent(x->dims, 2, x->rank), channels = wisp_legacy_of(call)->state[0],
            n = channels * plane;
    for (int64_t g = begin; g < end; g++) {
        const float *from = (const float *)x->data + g * n;
        float *to = (float *)y->data + g * n;
        float mean = sum_of(from, n) / (float)n;
        float inverse = 1 / sqrtf(sum_of_squares(from, mean, n) / (float)n + WISP_PARAMS(call, GroupNormalization)->epsilon);
        for (int64_t k = 0; k < channels; k++) {
            int64_t channel = g * channels % c + k;
            float a = inverse * scale[channel], b = bias[channel];
            for (int64_t i = k * plane; i < (k + 1) * plane; i++) to[i] = (from[i] - mean) * a + b;
        }
    }
}

static int run_groups(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->count == 0) return WISP_OK;
    int64_t groups = (int64_t)x->dims[0] * (x->dims[1] / wisp_legacy_of(call)->state[0]);
    wisp_parallel(call, groups, rows_grain((int64_t)x->count / groups), normalize_groups);
    return WISP_OK;
}

int wisp_prepare_GroupNormalization(wisp_call *call) {
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
    wisp_legacy_of(call)->state[0] = x->dims[1] / groups;
    wisp_legacy_of(call)->run = run_groups;
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

/* ---- LpNormalization: x / norm over one axis, p = 1 or 2; 0 where the norm is 0 */

static void normalize_vectors(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_LpNormalization_params *p = WISP_PARAMS(call, LpNormalization);
    int axis = wisp_axis(p->axis, x->rank);
    int64_t n = x->dims[axis], step = (int64_t)wisp_extent(x->dims, axis + 1, x->rank);
    for (int64_t v = begin; v < end; v++) {
        int64_t at = v / step * n * step + v % step;
        const float *from = (const float *)x->data + at;
        float *to = (float *)y->data + at, sum = 0;
        for (int64_t i = 0; i < n; i++) sum += p->p == 1 ? fabsf(from[i * step]) : from[i * step] * from[i * step];
        float norm = p->p == 1 ? sum : sqrtf(sum);
        for (int64_t i = 0; i < n; i++) to[i * step] = norm == 0 ? 0 : from[i * step] / norm;
    }
}

static int run_vectors(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->count == 0) return WISP_OK;
    int64_t n = x->dims[wisp_axis(WISP_PARAMS(call, LpNormalization)->axis, x->rank)];
    wisp_parallel(call, (int64_t)x->count / n, rows_grain(n), normalize_vectors);
    return WISP_OK;
}

int wisp_prepare_LpNormalization(wisp_call *call) {
    const wisp_LpNormalization_params *p = WISP_PARAMS(call, LpNormalization);
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_f32(call, 1))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (wisp_axis(p->axis, x->rank) < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", p->axis);
    if (p->p != 1 && p->p != 2) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "p must be 1 or 2, not", p->p);
    wisp_legacy_of(call)->run = run_vectors;
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

/* ---- LRN on (n, c, ...): y = x / (bias + alpha / size * sum of x^2 over `size` channels around)^beta */

static void normalize_channels(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_LRN_params *p = WISP_PARAMS(call, LRN);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t c = x->dims[1], plane = (int64_t)wisp_extent(x->dims, 2, x->rank);
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

static int run_channels(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->count == 0) return WISP_OK;
    int64_t planes = (int64_t)x->dims[0] * x->dims[1];
    wisp_parallel(call, planes, rows_grain((int64_t)x->count / planes * 8), normalize_channels);
    return WISP_OK;
}

int wisp_prepare_LRN(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_f32(call, 1))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->rank < 2) return wisp_call_fail(call, WISP_BAD_SHAPE, "an axis of channels is needed");
    if (WISP_PARAMS(call, LRN)->size < 1) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such size:", WISP_PARAMS(call, LRN)->size);
    wisp_legacy_of(call)->run = run_channels;
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

WISP_LEGACY(LayerNormalization)
WISP_LEGACY(RMSNormalization)
WISP_LEGACY(GroupNormalization)
WISP_LEGACY(LpNormalization)
WISP_LEGACY(LRN)
