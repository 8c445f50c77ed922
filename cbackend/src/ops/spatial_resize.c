/* Resize on NHWC: nearest for any dtype, linear and cubic for f32, linear for s8 in integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "shape.h"
#include "window.h"

/* Both axes are separable. For every output position an axis has `taps` source positions and weights:
 *
 *   x = coordinate(o)              in f32, by the coordinate mode
 *   first = floor(x) + start       taps positions from there, clamped to the image
 *   weight = kernel((position - x) * shrink), normalised where they need not add up to 1
 *
 * kernel: linear 1 - |t|, or the cubic of Keys. shrink: min(scale, 1) with antialias, else 1; start = floor(-r / shrink) + 1,
 * taps = 2 - 2 * start, r = 1 (linear), 2 (cubic): 2 taps and 4. Nearest has one tap of weight 1.
 *
 * s8, linear: weights are whole 1/2048, w1 = floor(frac(x) * 2048 + 0.5), w0 = 2048 - w1, and
 *   y = (w0v * (w0h * a + w1h * b) + w1v * (w0h * c + w1h * d) + 2^21) >> 22
 * which cannot leave -128..127; input and output share scale and zero point. */
enum { NEAREST, LINEAR, CUBIC };
enum { HALF_PIXEL, ASYMMETRIC, ALIGN_CORNERS, PYTORCH_HALF_PIXEL, HALF_PIXEL_SYMMETRIC, TF_CROP_AND_RESIZE };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum { WEIGHT_ONE = 2048, MAX_TAPS = 65536, GRAIN_SIZE = 16384 /* output bytes worth a thread */ };

typedef struct axis {
    int32_t in, out, taps, start;
    float scale, shrink;
    float roi_start, roi_end;
} axis;

typedef struct resize_plan {
    axis rows, columns;
    int64_t pixel; /* bytes */
    bool linear_s8;
} resize_plan;

/* Of all taps of an axis: source positions, and weights: float, or whole 1/2048 for the s8 form. */
typedef struct taps {
    int32_t *index;
    void *weight;
} taps;

/* In shared scratch, written by begin: rows, then columns; all indices before the weights. */
static taps row_taps(const wisp_call *call) {
    const resize_plan *p = call->plan;
    const int64_t rows = (int64_t)p->rows.out * p->rows.taps, columns = (int64_t)p->columns.out * p->columns.taps;
    int32_t *index = (int32_t *)(void *)call->shared;
    return (taps){index, index + rows + columns};
}

static taps column_taps(const wisp_call *call) {
    const resize_plan *p = call->plan;
    const int64_t rows = (int64_t)p->rows.out * p->rows.taps;
    const taps t = row_taps(call);
    return (taps){t.index + rows, (int32_t *)t.weight + rows};
}

/* ---- geometry */

/* Through int32, because a microcontroller may have no conversion from 64 bits; what is larger will be refused. */
static float size_at(const wisp_tensor *sizes, uint64_t i) {
    int64_t size = wisp_integer_at(sizes, i);
    return (float)(int32_t)(size < -1 ? -1 : size > INT32_MAX ? INT32_MAX : size);
}

static float axis_scale(const wisp_call *call, int i) {
    const wisp_tensor *x = wisp_input(call, 0), *scales = wisp_input(call, 1), *sizes = wisp_input(call, 2);
    if (scales) return ((const float *)scales->data)[i];
    float h = size_at(sizes, 0) / (float)x->dims[1], w = size_at(sizes, 1) / (float)x->dims[2];
    switch (WISP_PARAMS(call, Resize)->policy) {
        case NOT_LARGER: return h < w ? h : w;
        case NOT_SMALLER: return h > w ? h : w;
        default: return i == 0 ? h : w;
    }
}

static float output_extent(const wisp_call *call, int i) {
    const wisp_tensor *x = wisp_input(call, 0), *sizes = wisp_input(call, 2);
    float scaled = (float)x->dims[1 + i] * axis_scale(call, i);
    if (!sizes) return floorf(scaled);
    return WISP_PARAMS(call, Resize)->policy == STRETCH ? size_at(sizes, (uint64_t)i) : floorf(scaled + 0.5f);
}

/* i: 0 rows, 1 columns. */
static axis make_axis(const wisp_call *call, int i, int32_t out) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const wisp_tensor *roi = wisp_input(call, 3);
    axis a = {.in = wisp_input(call, 0)->dims[1 + i], .out = out, .taps = 1, .start = 0, .scale = axis_scale(call, i), .shrink = 1};
    a.roi_start = roi ? ((const float *)roi->data)[i] : 0;
    a.roi_end = roi ? ((const float *)roi->data)[2 + i] : 1;
    if (p->mode == NEAREST) return a;
    if (p->antialias && a.scale < 1) a.shrink = a.scale;
    float reach = floorf((p->mode == LINEAR ? -1.0f : -2.0f) / a.shrink);
    a.start = (reach > -MAX_TAPS ? (int32_t)reach : -MAX_TAPS) + 1; /* plan refuses more than MAX_TAPS */
    a.taps = 2 - 2 * a.start;
    return a;
}

static float coordinate(const axis *a, int32_t o, int32_t mode) {
    float x = (float)o, in = (float)a->in, length = a->scale * in; /* the output's length before rounding */
    switch (mode) {
        case ASYMMETRIC: return x / a->scale;
        case ALIGN_CORNERS: return length == 1 || a->out == 1 ? 0 : x * (in - 1) / (length - 1);
        case PYTORCH_HALF_PIXEL: return a->out == 1 ? 0 : (x + 0.5f) / a->scale - 0.5f;
        case HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (float)a->out / length) + (x + 0.5f) / a->scale - 0.5f;
        case TF_CROP_AND_RESIZE:
            if (a->out == 1) return a->roi_start * (in - 1) + (a->roi_end - a->roi_start) * (in - 1) / 2;
            return a->roi_start * (in - 1) + x * (a->roi_end - a->roi_start) * (in - 1) / (length - 1);
        default: return (x + 0.5f) / a->scale - 0.5f;
    }
}

/* A position as an integer, clamped to the image; NaN and infinities of absurd scales included. */
static int32_t to_index(float position, int32_t extent) {
    if (!(position > 0)) return 0;
    return position < (float)(extent - 1) ? (int32_t)position : extent - 1;
}

static float round_nearest(float x, int32_t mode) {
    switch (mode) {
        case ROUND_PREFER_CEIL: return floorf(x + 0.5f);
        case FLOOR: return floorf(x);
        case CEIL: return ceilf(x);
        default: return ceilf(x - 0.5f);
    }
}

static float kernel(float t, int32_t mode, float a) {
    t = fabsf(t);
    if (mode == LINEAR) return t < 1 ? 1 - t : 0;
    if (t <= 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0;
}

/* Fills taps entries for output position o. index[0] is -1 where the position lies outside and is not extrapolated by edges. */
static void fill_taps(const wisp_Resize_params *p, const axis *a, int32_t o, int32_t *index, float *weight) {
    float x = coordinate(a, o, p->coordinate);
    if (p->coordinate == TF_CROP_AND_RESIZE && !(x >= 0 && x <= (float)(a->in - 1))) {
        index[0] = -1;
        return;
    }
    if (p->mode == NEAREST) {
        index[0] = to_index(round_nearest(x, p->nearest), a->in);
        return;
    }
    float base = floorf(x), fraction = x - base, sum = 0;
    for (int32_t t = 0; t < a->taps; t++) {
        float at = base + (float)(a->start + t);
        bool outside = !(at >= 0 && at < (float)a->in);
        index[t] = to_index(at, a->in);
        weight[t] = outside && p->exclude_outside ? 0 : kernel(((float)(a->start + t) - fraction) * a->shrink, p->mode, p->cubic_a);
        sum += weight[t];
    }
    for (int32_t t = 0; t < a->taps && (p->exclude_outside || p->antialias) && sum != 0; t++) weight[t] /= sum;
}

/* ---- begin: the taps of all rows and columns */

static void fill_axis(const wisp_call *call, const axis *a, taps t) {
    const resize_plan *plan = call->plan;
    float *weight = t.weight;
    for (int32_t o = 0; o < a->out; o++) {
        const int64_t at = (int64_t)o * a->taps;
        fill_taps(WISP_PARAMS(call, Resize), a, o, t.index + at, weight + at);
        if (!plan->linear_s8) continue;
        const int32_t second = (int32_t)floorf(weight[at + 1] * WEIGHT_ONE + 0.5f), first = WEIGHT_ONE - second;
        memcpy(weight + at, &first, sizeof first);
        memcpy(weight + at + 1, &second, sizeof second);
    }
}

static int begin_resize(wisp_call *call) {
    const resize_plan *plan = call->plan;
    if (!wisp_output(call, 0)->count) return WISP_OK;
    fill_axis(call, &plan->rows, row_taps(call));
    fill_axis(call, &plan->columns, column_taps(call));
    return WISP_OK;
}

/* ---- one output row */

static void copy_pixels(uint8_t *y, const uint8_t *row, const int32_t *index, int32_t n, int64_t size) {
    switch (size) {
        case 1:
            for (int32_t i = 0; i < n; i++) y[i] = row[index[i]];
            break;
        case 4:
            for (int32_t i = 0; i < n; i++) memcpy(y + (int64_t)i * 4, row + (int64_t)index[i] * 4, 4);
            break;
        case 12:
            for (int32_t i = 0; i < n; i++) memcpy(y + (int64_t)i * 12, row + (int64_t)index[i] * 12, 12);
            break;
        default:
            for (int32_t i = 0; i < n; i++) memcpy(y + i * size, row + index[i] * size, (size_t)size);
            break;
    }
}

static void fill_pixels(const wisp_call *call, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = WISP_PARAMS(call, Resize)->extrapolation;
}

/* As copy_pixels for f32 with positions outside. */
static void copy_or_fill(const wisp_call *call, float *y, const float *row, const int32_t *index, int32_t n, int32_t c) {
    for (int32_t i = 0; i < n; i++) {
        if (index[i] < 0)
            fill_pixels(call, y + (int64_t)i * c, c);
        else
            memcpy(y + (int64_t)i * c, row + (int64_t)index[i] * c, (size_t)c * 4);
    }
}

static inline void blend_2x2(float *y, const float *const *rows, const int32_t *index, const float *row_weight, const float *weight,
                             int64_t c) {
    const float *p = rows[0] + index[0] * c, *q = rows[0] + index[1] * c, *r = rows[1] + index[0] * c, *s = rows[1] + index[1] * c;
    float a = row_weight[0] * weight[0], b = row_weight[0] * weight[1], d = row_weight[1] * weight[0], e = row_weight[1] * weight[1];
    for (int64_t k = 0; k < c; k++) y[k] = (a * p[k] + b * q[k]) + (d * r[k] + e * s[k]);
}

static const float *float_row(const wisp_image *image, int64_t n, int32_t row) {
    return (const float *)(const void *)row_at(image, n, row);
}

/* An output row of image `n`, whose row taps are at `row`. */
static void blend_row(const wisp_call *call, const wisp_image *image, int64_t n, float *y, taps row, taps all) {
    const resize_plan *plan = call->plan;
    const axis *rows = &plan->rows, *columns = &plan->columns;
    const float *row_weight = row.weight;
    const float *two[2] = {float_row(image, n, row.index[0]), float_row(image, n, row.index[rows->taps - 1])};
    const int64_t c = wisp_input(call, 0)->dims[3];
    for (int32_t o = 0; o < columns->out; o++, y += c) {
        const int32_t *index = all.index + (int64_t)o * columns->taps;
        const float *weight = (const float *)all.weight + (int64_t)o * columns->taps;
        if (index[0] < 0) {
            fill_pixels(call, y, c);
            continue;
        }
        if (rows->taps == 2 && columns->taps == 2) {
            blend_2x2(y, two, index, row_weight, weight, c);
            continue;
        }
        for (int64_t k = 0; k < c; k++) y[k] = 0;
        for (int32_t i = 0; i < rows->taps; i++) {
            const float *from = float_row(image, n, row.index[i]);
            for (int32_t j = 0; j < columns->taps; j++) {
                const float w = row_weight[i] * weight[j];
                for (int64_t k = 0; k < c; k++) y[k] += w * from[index[j] * c + k];
            }
        }
    }
}

static void blend_row_s8(const wisp_call *call, const wisp_image *image, int64_t n, int8_t *y, taps row, taps all) {
    const resize_plan *plan = call->plan;
    const int64_t c = wisp_input(call, 0)->dims[3];
    const int8_t *top = (const int8_t *)row_at(image, n, row.index[0]), *bottom = (const int8_t *)row_at(image, n, row.index[1]);
    const int32_t *row_weight = row.weight, *weight = all.weight, *index = all.index;
    for (int32_t o = 0; o < plan->columns.out; o++, y += c, index += 2, weight += 2) {
        const int64_t a = index[0] * c, b = index[1] * c;
        const int32_t w00 = row_weight[0] * weight[0], w01 = row_weight[0] * weight[1];
        const int32_t w10 = row_weight[1] * weight[0], w11 = row_weight[1] * weight[1];
        for (int64_t k = 0; k < c; k++)
            y[k] = (int8_t)((w00 * top[a + k] + w01 * top[b + k] + w10 * bottom[a + k] + w11 * bottom[b + k] + (1 << 21)) >> 22);
    }
}

/* Items are rows of the output. */
static void range_resize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const resize_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_image image = image_of(x), result = image_of(y);
    const taps rows = row_taps(call), columns = column_taps(call);
    const int32_t out_h = plan->rows.out, out_w = plan->columns.out;
    const uint8_t *copied = NULL, *last = NULL; /* the input row that the output row before was made of, and that row */
    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const int64_t n = r / out_h, o = r % out_h * plan->rows.taps;
        const taps row = {rows.index + o, (int32_t *)rows.weight + o};
        uint8_t *out = row_at(&result, n, r % out_h);
        const uint8_t *from = row.index[0] < 0 ? NULL : row_at(&image, n, row.index[0]);
        if (!from)
            fill_pixels(call, (float *)(void *)out, (int64_t)out_w * x->dims[3]);
        else if (plan->linear_s8)
            blend_row_s8(call, &image, n, (int8_t *)out, row, columns);
        else if (p->mode != NEAREST)
            blend_row(call, &image, n, (float *)(void *)out, row, columns);
        else if (from == copied)
            memcpy(out, last, (size_t)result.row_size);
        else if (p->coordinate == TF_CROP_AND_RESIZE)
            copy_or_fill(call, (float *)(void *)out, (const float *)(const void *)from, columns.index, out_w, x->dims[3]);
        else
            copy_pixels(out, from, columns.index, out_w, plan->pixel);
        copied = from, last = out;
    }
}

/* ---- plan */

static int check_known(wisp_call *call, uint32_t i, bool is_float, uint64_t count) {
    const wisp_tensor *t = wisp_input(call, i);
    if (!t) return WISP_OK;
    bool fits = is_float ? t->dtype == WISP_F32 : t->dtype == WISP_S64 || t->dtype == WISP_S32;
    if (!fits || t->count != count || t->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong dtype or length: input", i);
    if (!wisp_value(t)) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "must be known when it is planned: input", i);
    return WISP_OK;
}

static int check_resize(wisp_call *call) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    size_t size = wisp_dtype_size(x->dtype);
    if (x->rank != 4 || x->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "an image of 4 axes is needed, not", x->rank);
    if (p->mode < NEAREST || p->mode > CUBIC || p->coordinate < HALF_PIXEL || p->coordinate > TF_CROP_AND_RESIZE ||
        p->nearest < ROUND_PREFER_FLOOR || p->nearest > CEIL || p->policy < STRETCH || p->policy > NOT_SMALLER)
        return wisp_call_fail(call, WISP_BAD_FILE, "no such mode");
    bool blends = p->mode != NEAREST, crops = p->coordinate == TF_CROP_AND_RESIZE;
    bool linear_s8 = x->dtype == WISP_S8 && p->mode == LINEAR && !p->antialias && !p->exclude_outside && !crops;
    if (size == 0 || ((blends || crops) && x->dtype != WISP_F32 && !linear_s8))
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "this mode does not work on dtype", x->dtype);
    if (x->scale != y->scale || x->zero_point != y->zero_point)
        return wisp_call_fail(call, WISP_BAD_FILE, "input and output must share scale and zero point");
    int status = check_known(call, 1, true, 2);
    if (!status) status = check_known(call, 2, false, 2);
    if (!status) status = check_known(call, 3, true, 4);
    if (!status && !wisp_input(call, 1) == !wisp_input(call, 2))
        return wisp_call_fail(call, WISP_BAD_FILE, "either scales or sizes are needed");
    return status;
}

static int plan_resize(wisp_call *call) {
    resize_plan *plan = call->plan;
    int32_t dims[4];
    int status = wisp_check_operands(call, 1, 4, 1);
    if (status || (status = check_resize(call))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    axis *axes[2] = {&plan->rows, &plan->columns};
    memcpy(dims, x->dims, sizeof dims);
    for (int i = 0; i < 2; i++) {
        float scale = axis_scale(call, i), extent = output_extent(call, i);
        if (!(extent >= 0 && extent < 16777216.0f)) return wisp_call_fail(call, WISP_BAD_SHAPE, "scales or sizes are out of range");
        dims[1 + i] = (int32_t)extent;
        if (dims[1 + i] == 0) continue; /* an empty output needs no taps, and its scale may be 0 */
        if (x->dims[1 + i] == 0 || !(scale > 0) || !(scale * (float)x->dims[1 + i] < 3.4e38f))
            return wisp_call_fail(call, WISP_BAD_SHAPE, "scales or sizes are out of range");
        *axes[i] = make_axis(call, i, dims[1 + i]);
        if (axes[i]->taps > MAX_TAPS) return wisp_call_fail(call, WISP_UNSUPPORTED, "shrinks too much at once");
    }
    if ((status = wisp_set_output(call, 0, x->dtype, 4, dims)) || !y->count) return status;
    plan->pixel = x->dims[3] * (int64_t)wisp_dtype_size(x->dtype);
    plan->linear_s8 = x->dtype == WISP_S8 && WISP_PARAMS(call, Resize)->mode == LINEAR;
    const int64_t row = dims[2] * plan->pixel;
    wisp_need_scratch(call, 8 * ((uint64_t)dims[1] * (uint64_t)plan->rows.taps + (uint64_t)dims[2] * (uint64_t)plan->columns.taps), 0);
    wisp_set_work(call, (int64_t)dims[0] * dims[1], row >= GRAIN_SIZE ? 1 : GRAIN_SIZE / row, 1);
    return WISP_OK;
}

const wisp_operator wisp_op_Resize = {.plan = plan_resize, .begin = begin_resize, .range = range_resize, .plan_size = sizeof(resize_plan)};
