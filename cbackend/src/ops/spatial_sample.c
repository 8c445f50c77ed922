/* GridSample and RoiAlign: images on N, (D,) H, W, C read at positions that the data states. f32. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "window.h"

/* ---- GridSample */

enum { NEAREST, LINEAR, CUBIC };
enum { ZEROS, BORDER, REFLECTION };
enum { BETWEEN_EDGES, BETWEEN_CENTRES, PIXELS };
enum { MAX_TAPS = 4 };

typedef struct sample_plan {
    int32_t in[3], out[3], axes; /* D, H, W; of an image without depth 1 */
} sample_plan;

/* The input positions that one coordinate is made of; those outside are left out. */
typedef struct taps {
    int32_t count;
    int32_t index[MAX_TAPS];
    float weight[MAX_TAPS];
} taps;

static float round_to_even(float x) {
    const float low = floorf(x), rest = x - low;
    return rest < 0.5f || (rest == 0.5f && fmodf(low, 2) == 0) ? low : low + 1;
}

/* There and back between the ends, as often as it takes. */
static float reflect(float x, float low, float high) {
    const float length = high - low;
    if (!(length > 0)) return low;
    const float distance = x < low ? low - x : x - low, rest = fmodf(distance, 2 * length);
    return rest < length ? low + rest : high - (rest - length);
}

/* An index by the padding mode; -1: outside. */
static int32_t pad_index(float at, int32_t extent, int32_t padding, float low, float high) {
    if (at >= 0 && at < (float)extent) return (int32_t)at;
    if (padding == ZEROS) return -1;
    const float inside = padding == REFLECTION ? reflect(at, low, high) : at;
    return !(inside > 0) ? 0 : inside < (float)(extent - 1) ? (int32_t)inside : extent - 1;
}

static void cubic_weights(float t, float *weight) {
    const float a = -0.75f;
    for (int i = 0; i < 4; i++) {
        const float d = fabsf(t + 1 - (float)i);
        weight[i] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
}

static taps find_taps(const wisp_GridSample_params *p, float g, int32_t extent) {
    const float n = (float)extent, low = p->align == BETWEEN_EDGES ? -0.5f : 0, high = p->align == BETWEEN_EDGES ? n - 0.5f : n - 1;
    float x = p->align == BETWEEN_EDGES ? ((g + 1) * n - 1) / 2 : p->align == BETWEEN_CENTRES ? (g + 1) / 2 * (n - 1) : g;
    taps t = {0};
    if (p->mode == NEAREST) x = round_to_even(x);
    if (x < low || x > high) {
        if (p->padding == BORDER && p->mode == CUBIC) /* the taps beyond the border count, as in PyTorch and ONNX Runtime */
            x = x < -8 ? -8 : x > n + 8 ? n + 8 : x;
        else if (p->padding == BORDER)
            x = x < 0 ? 0 : n - 1;
        if (p->padding == REFLECTION) x = reflect(x, low, high);
    }
    if (!(x > -16 && x < n + 16)) { /* far outside, or no number */
        if (p->padding == ZEROS) return t;
        x = 0;
    }
    const float base = floorf(x), rest = x - base;
    const int32_t count = p->mode == NEAREST ? 1 : p->mode == LINEAR ? 2 : 4;
    float weight[MAX_TAPS] = {1, 0, 0, 0};
    if (p->mode == LINEAR) weight[0] = 1 - rest, weight[1] = rest;
    if (p->mode == CUBIC) cubic_weights(rest, weight);
    for (int32_t i = 0; i < count; i++) {
        const int32_t index = pad_index(base + (float)(p->mode == CUBIC ? i - 1 : i), extent, p->padding, low, high);
        if (index >= 0) t.index[t.count] = index, t.weight[t.count++] = weight[i];
    }
    return t;
}

static int plan_sample(wisp_call *call) {
    const wisp_GridSample_params *p = WISP_PARAMS(call, GridSample);
    sample_plan *plan = call->plan;
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *grid = wisp_input(call, 1);
    if (!WISP_FLOAT || x->dtype != WISP_F32 || grid->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtypes must be f32");
    if (p->mode < NEAREST || p->mode > CUBIC || p->padding < ZEROS || p->padding > REFLECTION || p->align < BETWEEN_EDGES ||
        p->align > PIXELS)
        return wisp_call_fail(call, WISP_BAD_FILE, "no such mode");
    plan->axes = x->rank - 2;
    if (plan->axes < 1 || plan->axes > 3 || grid->rank != x->rank || grid->dims[0] != x->dims[0] || grid->dims[x->rank - 1] != plan->axes)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "image and grid do not fit");
    int32_t dims[WISP_MAX_RANK];
    memcpy(dims, grid->dims, sizeof dims);
    const int64_t c = dims[x->rank - 1] = x->dims[x->rank - 1];
    if ((status = wisp_set_output(call, 0, WISP_F32, x->rank, dims))) return status;
    for (int i = 0; i < 3; i++) {
        const int axis = i - (3 - plan->axes) + 1;
        plan->in[i] = axis < 1 ? 1 : x->dims[axis], plan->out[i] = axis < 1 ? 1 : dims[axis];
        if (!plan->in[i] && wisp_output(call, 0)->count) return wisp_call_fail(call, WISP_BAD_SHAPE, "an empty image has no pixels");
    }
    const int64_t row = plan->out[2] * c * (p->mode == CUBIC ? 16 : 4);
    if (wisp_output(call, 0)->count) wisp_set_work(call, (int64_t)dims[0] * plan->out[0] * plan->out[1], 1 + 40000 / (1 + row), 1);
    return WISP_OK;
}

static void sample_pixel(const wisp_call *call, const float *image, const float *grid, float *y) {
    const sample_plan *plan = call->plan;
    const int64_t c = wisp_input(call, 0)->dims[plan->axes + 1];
    taps t[3] = {{1, {0}, {1}}, {1, {0}, {1}}, {1, {0}, {1}}};
    for (int i = 0; i < plan->axes; i++) t[2 - i] = find_taps(WISP_PARAMS(call, GridSample), grid[i], plan->in[2 - i]);
    memset(y, 0, sizeof *y * (size_t)c);
    for (int32_t i = 0; i < t[0].count; i++)
        for (int32_t j = 0; j < t[1].count; j++)
            for (int32_t k = 0; k < t[2].count; k++) {
                const float w = t[0].weight[i] * t[1].weight[j] * t[2].weight[k];
                const int64_t row = (int64_t)t[0].index[i] * plan->in[1] + t[1].index[j];
                const float *from = image + (row * plan->in[2] + t[2].index[k]) * c;
                for (int64_t v = 0; v < c; v++) y[v] += w * from[v];
            }
}

/* Items are rows of the output. */
static void range_sample(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const sample_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t c = x->dims[plan->axes + 1], image = (int64_t)(x->count / (uint64_t)x->dims[0]);
    const int64_t rows = (int64_t)plan->out[0] * plan->out[1];
    (void)thread;
    for (int64_t i = begin * plan->out[2]; i < end * plan->out[2]; i++)
        sample_pixel(call, (const float *)x->data + i / plan->out[2] / rows * image,
                     (const float *)wisp_input(call, 1)->data + i * plan->axes, (float *)wisp_output(call, 0)->data + i * c);
}

const wisp_operator wisp_op_GridSample = {.plan = plan_sample, .range = range_sample, .plan_size = sizeof(sample_plan)};

/* ---- RoiAlign: each bin of a region is the mean, or the largest, of samples at even distances */

enum { MAX_SAMPLES = 4096 /* along an axis of a bin */ };

typedef struct region {
    float start[2], bin[2]; /* H, W; in pixels */
    int32_t samples[2];
} region;

static region find_region(const wisp_call *call, int64_t r) {
    const wisp_RoiAlign_params *p = WISP_PARAMS(call, RoiAlign);
    const float *roi = (const float *)wisp_input(call, 1)->data + 4 * r, offset = p->half_pixel ? 0.5f : 0;
    const int32_t bins[2] = {p->output_height, p->output_width};
    region g;
    for (int i = 0; i < 2; i++) {
        const float start = roi[1 - i] * p->spatial_scale - offset, end = roi[3 - i] * p->spatial_scale - offset;
        const float extent = p->half_pixel || end - start > 1 ? end - start : 1, samples = ceilf(extent / (float)bins[i]);
        g.start[i] = start, g.bin[i] = extent / (float)bins[i];
        g.samples[i] = p->sampling_ratio > 0          ? p->sampling_ratio
                       : !(samples > 0)               ? 0
                       : samples > (float)MAX_SAMPLES ? MAX_SAMPLES + 1
                                                      : (int32_t)samples;
    }
    return g;
}

static int plan_roi(wisp_call *call) {
    const wisp_RoiAlign_params *p = WISP_PARAMS(call, RoiAlign);
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *rois = wisp_input(call, 1), *batch = wisp_input(call, 2);
    if (!WISP_FLOAT || x->dtype != WISP_F32 || rois->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtypes must be f32");
    if (batch->dtype != WISP_S64 && batch->dtype != WISP_S32)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "batch indices must be s32 or s64");
    if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != 4 || batch->rank != 1 || batch->dims[0] != rois->dims[0] || !x->dims[1] ||
        !x->dims[2])
        return wisp_call_fail(call, WISP_BAD_SHAPE, "image, regions and batch indices do not fit");
    if (p->output_height < 1 || p->output_width < 1 || p->sampling_ratio < 0 || p->sampling_ratio > MAX_SAMPLES)
        return wisp_call_fail(call, WISP_BAD_FILE, "output extents or sampling_ratio out of range");
    const int32_t dims[4] = {rois->dims[0], p->output_height, p->output_width, x->dims[3]};
    if ((status = wisp_set_output(call, 0, WISP_F32, 4, dims))) return status;
    if (wisp_output(call, 0)->count) wisp_set_work(call, (int64_t)dims[0] * dims[1], 1, 1);
    return WISP_OK;
}

static int begin_roi(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *batch = wisp_input(call, 2);
    for (uint64_t r = 0; r < batch->count; r++) {
        const int64_t image = wisp_integer_at(batch, r);
        const region g = find_region(call, (int64_t)r);
        if (image < 0 || image >= x->dims[0]) return wisp_call_fail_value(call, WISP_BAD_INDEX, "no such image: batch index", image);
        for (int i = 0; i < 2; i++)
            if (g.samples[i] > MAX_SAMPLES || !(fabsf(g.start[i]) < 1e9f && fabsf(g.bin[i]) < 1e9f))
                return wisp_call_fail_value(call, WISP_BAD_INDEX, "too large, or not a number: region", (int64_t)r);
    }
    return WISP_OK;
}

/* Two neighbours along an axis; outside both have no weight. */
static taps find_pair(float at, int32_t extent) {
    taps t = {2, {0, 0}, {0, 0}};
    if (at < -1 || at > (float)extent) return t;
    const float inside = at > 0 ? at : 0;
    t.index[0] = inside < (float)(extent - 1) ? (int32_t)inside : extent - 1;
    t.index[1] = t.index[0] < extent - 1 ? t.index[0] + 1 : t.index[0];
    t.weight[1] = t.index[0] < extent - 1 ? inside - (float)t.index[0] : 0;
    t.weight[0] = 1 - t.weight[1];
    return t;
}

/* Of the largest: the largest product of a pixel and its weight, as ONNX has it. */
static void add_sample(const float *image, int64_t width, int64_t c, const taps *h, const taps *w, bool largest, bool first, float *y) {
    for (int32_t i = 0; i < 2; i++)
        for (int32_t j = 0; j < 2; j++) {
            const float weight = h->weight[i] * w->weight[j];
            const float *from = image + (h->index[i] * width + w->index[j]) * c;
            for (int64_t k = 0; k < c; k++) {
                const float v = weight * from[k];
                if (!largest)
                    y[k] += v;
                else if ((first && !i && !j) || v > y[k])
                    y[k] = v;
            }
        }
}

/* Items are rows of bins. */
static void range_roi(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_RoiAlign_params *p = WISP_PARAMS(call, RoiAlign);
    const wisp_tensor *x = wisp_input(call, 0);
    const int32_t in_h = x->dims[1], in_w = x->dims[2];
    const int64_t c = x->dims[3];
    float *y = (float *)wisp_output(call, 0)->data + begin * p->output_width * c;
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const int64_t r = item / p->output_height, oy = item % p->output_height;
        const region g = find_region(call, r);
        const float *image = (const float *)x->data + wisp_integer_at(wisp_input(call, 2), (uint64_t)r) * in_h * in_w * c;
        const int64_t count = (int64_t)g.samples[0] * g.samples[1];
        for (int32_t ox = 0; ox < p->output_width; ox++, y += c) {
            memset(y, 0, sizeof *y * (size_t)c);
            for (int64_t s = 0; s < count; s++) {
                const float sy = (float)(int32_t)(s / g.samples[1]) + 0.5f, sx = (float)(int32_t)(s % g.samples[1]) + 0.5f;
                const taps h = find_pair(g.start[0] + (float)(int32_t)oy * g.bin[0] + sy * g.bin[0] / (float)g.samples[0], in_h);
                const taps w = find_pair(g.start[1] + (float)ox * g.bin[1] + sx * g.bin[1] / (float)g.samples[1], in_w);
                add_sample(image, in_w, c, &h, &w, p->mode == 1, s == 0, y);
            }
            for (int64_t k = 0; k < c && p->mode == 0 && count > 1; k++) y[k] /= (float)(int32_t)count;
        }
    }
}

const wisp_operator wisp_op_RoiAlign = {.plan = plan_roi, .begin = begin_roi, .range = range_roi};
