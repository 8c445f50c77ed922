/* Resize of any axes: nearest for any dtype, linear and cubic for f32, linear for s8 in integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "shape.h"

/* Axes are separable. For every output position an axis that changes has `taps` source positions and weights:
 *
 *   x = coordinate(o)              in f32, by the coordinate mode
 *   first = floor(x) + start       taps positions from there, clamped to the image
 *   weight = kernel((position - x) * shrink), normalised where they need not add up to 1
 *
 * kernel: linear 1 - |t|, or the cubic of Keys. shrink: min(scale, 1) with antialias, else 1; start = floor(-r / shrink) + 1,
 * taps = 2 - 2 * start, r = 1 (linear), 2 (cubic): 2 taps and 4. Nearest has one tap of weight 1.
 *
 * s8, linear, at most two axes: weights are whole 1/2048, w1 = floor(frac(x) * 2048 + 0.5), w0 = 2048 - w1, and
 *   y = (w0v * (w0h * a + w1h * b) + w1v * (w0h * c + w1h * d) + 2^21) >> 22
 * which cannot leave -128..127; input and output share scale and zero point. One axis: w0v = 2048, w1v = 0. */
enum { NEAREST, LINEAR, CUBIC };
enum { HALF_PIXEL, ASYMMETRIC, ALIGN_CORNERS, PYTORCH_HALF_PIXEL, HALF_PIXEL_SYMMETRIC, TF_CROP_AND_RESIZE, ALIGN_WHOLE };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum { WEIGHT_ONE = 2048, MAX_TAPS = 65536, MAX_LINES = 1 << 24, GRAIN_SIZE = 16384 /* output bytes worth a thread */ };

typedef struct axis {
    int32_t in, out, taps, start; /* taps 0: the axis stays as it is */
    float scale, shrink;
    float roi_start, roi_end;
} axis;

/* An output line runs along the last axis that changes; a pixel is what lies behind it. A line is made of `lines` lines of the input:
 * one for each choice of taps of the axes before. Items are output lines. */
typedef struct resize_plan {
    axis axes[WISP_MAX_RANK]; /* up to and including `last` */
    int64_t pixel;            /* bytes */
    int64_t taps;             /* entries of all tables */
    int32_t last, lines;
    bool linear_s8;
} resize_plan;

/* Of all taps of an axis: source positions, and weights: float, or whole 1/2048 for the s8 form. */
typedef struct taps {
    int32_t *index;
    void *weight;
} taps;

/* Entry `at` of shared scratch, written by begin: the tables of the axes in turn, all indices before the weights. */
static taps taps_at(const wisp_call *call, int64_t at) {
    const resize_plan *p = call->plan;
    int32_t *index = (int32_t *)(void *)call->shared;
    return (taps){index + at, index + p->taps + at};
}

/* ---- geometry */

/* Through int32, because a microcontroller may have no conversion from 64 bits; what is larger will be refused. */
static float size_at(const wisp_tensor *sizes, uint64_t i) {
    int64_t size = wisp_integer_at(sizes, i);
    return (float)(int32_t)(size < -1 ? -1 : size > INT32_MAX ? INT32_MAX : size);
}

/* The axis of x that entry k of scales, sizes and roi is about. */
static int axis_of(const wisp_call *call, uint32_t k) {
    const wisp_ints axes = WISP_PARAMS(call, Resize)->axes;
    return axes.count ? wisp_axis(wisp_ints_of(call, axes)[k], wisp_input(call, 0)->rank) : (int)k;
}

static uint32_t entry_count(const wisp_call *call) {
    const wisp_ints axes = WISP_PARAMS(call, Resize)->axes;
    return axes.count ? axes.count : wisp_input(call, 0)->rank;
}

static float axis_scale(const wisp_call *call, uint32_t k) {
    const wisp_tensor *x = wisp_input(call, 0), *scales = wisp_input(call, 1), *sizes = wisp_input(call, 2);
    const int32_t policy = WISP_PARAMS(call, Resize)->policy;
    if (scales) return ((const float *)scales->data)[k];
    float scale = size_at(sizes, k) / (float)x->dims[axis_of(call, k)];
    for (uint32_t i = 0; i < entry_count(call) && policy != STRETCH; i++) {
        const float other = size_at(sizes, i) / (float)x->dims[axis_of(call, i)];
        scale = (policy == NOT_LARGER ? other < scale : other > scale) ? other : scale;
    }
    return scale;
}

static float output_extent(const wisp_call *call, uint32_t k) {
    const wisp_tensor *x = wisp_input(call, 0), *sizes = wisp_input(call, 2);
    float scaled = (float)x->dims[axis_of(call, k)] * axis_scale(call, k);
    if (!sizes) return floorf(scaled);
    return WISP_PARAMS(call, Resize)->policy == STRETCH ? size_at(sizes, k) : floorf(scaled + 0.5f);
}

static axis make_axis(const wisp_call *call, uint32_t k, int32_t out) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const wisp_tensor *roi = wisp_input(call, 3);
    axis a = {.in = wisp_input(call, 0)->dims[axis_of(call, k)], .out = out, .taps = 1, .scale = axis_scale(call, k), .shrink = 1};
    a.roi_start = roi ? ((const float *)roi->data)[k] : 0;
    a.roi_end = roi ? ((const float *)roi->data)[entry_count(call) + k] : 1;
    if (a.scale == 1 && a.out == a.in && p->coordinate != TF_CROP_AND_RESIZE) a.taps = 0;
    if (p->mode == NEAREST || !a.taps) return a;
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
        case ALIGN_WHOLE: return a->out == 1 ? 0 : x * (in - 1) / (float)(a->out - 1);
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

/* ---- begin: the taps of all axes */

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
    int64_t at = 0;
    for (int i = 0; i <= plan->last && plan->taps; at += (int64_t)plan->axes[i].out * plan->axes[i].taps, i++)
        if (plan->axes[i].taps) fill_axis(call, &plan->axes[i], taps_at(call, at));
    return WISP_OK;
}

/* ---- one output line */

/* What an output line is made of: each axis before the last that changes adds its tap's position times its stride, and multiplies by
 * its weight. */
typedef struct sources {
    const uint8_t *base; /* of the axes that stay; null: outside */
    int32_t count;       /* of axes; the innermost comes first */
    int32_t taps[WISP_MAX_RANK];
    int64_t stride[WISP_MAX_RANK]; /* bytes */
    taps at[WISP_MAX_RANK];
    taps columns;
} sources;

static void find_sources(const wisp_call *call, int64_t line, sources *s) {
    const resize_plan *plan = call->plan;
    const axis *last = &plan->axes[plan->last];
    int64_t stride = last->in * plan->pixel, table = plan->taps - (int64_t)last->out * last->taps, offset = 0;
    bool outside = false;
    s->count = 0;
    s->columns = taps_at(call, table);
    for (int i = plan->last - 1; i >= 0; i--) {
        const axis *a = &plan->axes[i];
        const int64_t o = line % a->out;
        line /= a->out;
        if (a->taps) {
            const taps t = taps_at(call, (table -= (int64_t)a->out * a->taps) + o * a->taps);
            outside |= t.index[0] < 0;
            s->taps[s->count] = a->taps, s->stride[s->count] = stride, s->at[s->count++] = t;
        } else {
            offset += o * stride;
        }
        stride *= a->in;
    }
    s->base = outside ? NULL : (const uint8_t *)wisp_input(call, 0)->data + offset;
}

/* Line n of plan->lines, the taps of the innermost axis fastest. *weight: the product of its weights, where there are any. */
static const uint8_t *source_line(const sources *s, int32_t n, float *weight) {
    const uint8_t *line = s->base;
    float product = 1;
    for (int32_t i = 0; i < s->count; n /= s->taps[i], i++) {
        const int32_t t = n % s->taps[i];
        line += s->at[i].index[t] * s->stride[i];
        if (weight) product *= ((const float *)s->at[i].weight)[t];
    }
    if (weight) *weight = product;
    return line;
}

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
static void copy_or_fill(const wisp_call *call, float *y, const float *row, const int32_t *index, int32_t n, int64_t c) {
    for (int32_t i = 0; i < n; i++) {
        if (index[i] < 0)
            fill_pixels(call, y + i * c, c);
        else
            memcpy(y + i * c, row + index[i] * c, (size_t)c * 4);
    }
}

static const float *float_line(const sources *s, int32_t n, float *weight) {
    return (const float *)(const void *)source_line(s, n, weight);
}

static inline void blend_2x2(float *y, const float *const *rows, const int32_t *index, const float *row_weight, const float *weight,
                             int64_t c) {
    const float *p = rows[0] + index[0] * c, *q = rows[0] + index[1] * c, *r = rows[1] + index[0] * c, *s = rows[1] + index[1] * c;
    float a = row_weight[0] * weight[0], b = row_weight[0] * weight[1], d = row_weight[1] * weight[0], e = row_weight[1] * weight[1];
    for (int64_t k = 0; k < c; k++) y[k] = (a * p[k] + b * q[k]) + (d * r[k] + e * s[k]);
}

/* Two lines of two taps: an image made larger. */
static void blend_two(const wisp_call *call, const sources *s, float *y) {
    const resize_plan *plan = call->plan;
    const int64_t c = plan->pixel / 4;
    float row_weight[2];
    const float *const rows[2] = {float_line(s, 0, &row_weight[0]), float_line(s, 1, &row_weight[1])};
    const float *weight = s->columns.weight;
    for (int64_t o = 0; o < plan->axes[plan->last].out; o++, y += c) {
        if (s->columns.index[2 * o] < 0)
            fill_pixels(call, y, c);
        else
            blend_2x2(y, rows, s->columns.index + 2 * o, row_weight, weight + 2 * o, c);
    }
}

static void blend_all(const wisp_call *call, const sources *s, float *y) {
    const resize_plan *plan = call->plan;
    const axis *columns = &plan->axes[plan->last];
    const int64_t c = plan->pixel / 4;
    memset(y, 0, (size_t)(columns->out * plan->pixel));
    for (int32_t n = 0; n < plan->lines; n++) {
        float line_weight;
        const float *from = float_line(s, n, &line_weight), *weight = s->columns.weight;
        const int32_t *index = s->columns.index;
        for (int64_t o = 0; o < columns->out; o++, index += columns->taps, weight += columns->taps) {
            if (index[0] < 0) fill_pixels(call, y + o * c, c);
            for (int32_t j = 0; j < columns->taps && index[0] >= 0; j++) {
                const float w = line_weight * weight[j];
                for (int64_t k = 0; k < c; k++) y[o * c + k] += w * from[index[j] * c + k];
            }
        }
    }
}

static void blend_s8(const wisp_call *call, const sources *s, int8_t *y) {
    static const int32_t whole[2] = {WEIGHT_ONE, 0};
    const resize_plan *plan = call->plan;
    const int64_t c = plan->pixel;
    const int8_t *top = (const int8_t *)source_line(s, 0, NULL), *bottom = (const int8_t *)source_line(s, s->count, NULL);
    const int32_t *row_weight = s->count ? s->at[0].weight : whole, *weight = s->columns.weight, *index = s->columns.index;
    for (int32_t o = 0; o < plan->axes[plan->last].out; o++, y += c, index += 2, weight += 2) {
        const int64_t a = index[0] * c, b = index[1] * c;
        const int32_t w00 = row_weight[0] * weight[0], w01 = row_weight[0] * weight[1];
        const int32_t w10 = row_weight[1] * weight[0], w11 = row_weight[1] * weight[1];
        for (int64_t k = 0; k < c; k++)
            y[k] = (int8_t)((w00 * top[a + k] + w01 * top[b + k] + w10 * bottom[a + k] + w11 * bottom[b + k] + (1 << 21)) >> 22);
    }
}

static void range_resize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const resize_plan *plan = call->plan;
    const int32_t n = plan->axes[plan->last].out;
    const int64_t size = n * plan->pixel;
    const uint8_t *copied = NULL; /* the input line that the output line before was made of */
    uint8_t *out = (uint8_t *)wisp_output(call, 0)->data + begin * size;
    sources s;
    (void)thread;
    for (int64_t line = begin; line < end; line++, out += size) {
        float *const floats = (float *)(void *)out;
        find_sources(call, line, &s);
        const uint8_t *from = s.base && p->mode == NEAREST ? source_line(&s, 0, NULL) : NULL;
        if (!plan->taps)
            memcpy(out, from ? from : s.base, (size_t)size);
        else if (!s.base)
            fill_pixels(call, floats, size / 4);
        else if (plan->linear_s8)
            blend_s8(call, &s, (int8_t *)out);
        else if (p->mode != NEAREST && plan->lines == 2 && plan->axes[plan->last].taps == 2)
            blend_two(call, &s, floats);
        else if (p->mode != NEAREST)
            blend_all(call, &s, floats);
        else if (from == copied)
            memcpy(out, out - size, (size_t)size);
        else if (p->coordinate == TF_CROP_AND_RESIZE)
            copy_or_fill(call, floats, (const float *)(const void *)from, s.columns.index, n, plan->pixel / 4);
        else
            copy_pixels(out, from, s.columns.index, n, plan->pixel);
        copied = from;
    }
}

/* ---- plan */

static int check_entries(wisp_call *call, uint32_t i, bool floats, uint64_t count) {
    const wisp_tensor *t = wisp_input(call, i);
    if (!t) return WISP_OK;
    bool fits = floats ? t->dtype == WISP_F32 : t->dtype == WISP_S32 || t->dtype == WISP_S64;
    if (!fits || t->count != count || t->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong dtype or length: input", i);
    return WISP_OK;
}

static int check_operands(wisp_call *call) {
    const uint32_t count = entry_count(call);
    unsigned seen = 0;
    for (uint32_t k = 0; k < count; k++) {
        const int i = axis_of(call, k);
        if (i < 0 || seen >> i & 1) return wisp_call_fail(call, WISP_BAD_FILE, "axes are out of range or repeat");
        seen |= 1u << i;
    }
    int status = check_entries(call, 1, true, count);
    if (!status) status = check_entries(call, 2, false, count);
    if (!status) status = check_entries(call, 3, true, 2 * (uint64_t)count);
    if (!status && !wisp_input(call, 1) == !wisp_input(call, 2))
        return wisp_call_fail(call, WISP_BAD_FILE, "either scales or sizes are needed");
    return status;
}

static int check_modes(wisp_call *call) {
    const wisp_Resize_params *p = WISP_PARAMS(call, Resize);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    size_t size = wisp_dtype_size(x->dtype);
    if (p->mode < NEAREST || p->mode > CUBIC || p->coordinate < HALF_PIXEL || p->coordinate > ALIGN_WHOLE ||
        p->nearest < ROUND_PREFER_FLOOR || p->nearest > CEIL || p->policy < STRETCH || p->policy > NOT_SMALLER)
        return wisp_call_fail(call, WISP_BAD_FILE, "no such mode");
    bool blends = p->mode != NEAREST, crops = p->coordinate == TF_CROP_AND_RESIZE;
    bool linear_s8 = x->dtype == WISP_S8 && p->mode == LINEAR && !p->antialias && !p->exclude_outside && !crops;
    if (size == 0 || x->layout != WISP_LAYOUT_PLAIN || ((blends || crops) && x->dtype != WISP_F32 && !linear_s8))
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "this mode does not work on dtype", x->dtype);
    if (x->scale != y->scale || x->zero_point != y->zero_point)
        return wisp_call_fail(call, WISP_BAD_FILE, "input and output must share scale and zero point");
    return WISP_OK;
}

/* The axes, and the extents they give. */
static int plan_axes(wisp_call *call, int32_t *dims) {
    resize_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0);
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i], plan->axes[i] = (axis){.in = dims[i], .out = dims[i]};
    for (uint32_t k = 0; k < entry_count(call); k++) {
        const int i = axis_of(call, k);
        const float scale = axis_scale(call, k), extent = output_extent(call, k);
        if (!(extent >= 0 && extent < 16777216.0f)) return wisp_call_fail(call, WISP_BAD_SHAPE, "scales or sizes are out of range");
        dims[i] = (int32_t)extent;
        if (dims[i] == 0) continue; /* an empty output needs no taps, and its scale may be 0 */
        if (x->dims[i] == 0 || !(scale > 0) || !(scale * (float)x->dims[i] < 3.4e38f))
            return wisp_call_fail(call, WISP_BAD_SHAPE, "scales or sizes are out of range");
        plan->axes[i] = make_axis(call, k, dims[i]);
        if (plan->axes[i].taps > MAX_TAPS) return wisp_call_fail(call, WISP_UNSUPPORTED, "shrinks too much at once");
    }
    return WISP_OK;
}

static int plan_resize(wisp_call *call) {
    resize_plan *plan = call->plan;
    int32_t dims[WISP_MAX_RANK], changing = 0;
    int64_t lines = 1;
    int status = wisp_check_operands(call, 1, 4, 1);
    if (status || (status = wisp_wait_for(call, 1, 3)) || (status = check_modes(call)) || (status = check_operands(call))) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if ((status = plan_axes(call, dims)) || (status = wisp_set_output(call, 0, x->dtype, x->rank, dims)) || !y->count) return status;
    for (int i = 0; i < x->rank; i++) {
        if (!plan->axes[i].taps) continue;
        plan->taps += (int64_t)plan->axes[i].out * plan->axes[i].taps;
        if (changing++) lines *= plan->axes[plan->last].taps;
        if (lines > MAX_LINES) return wisp_call_fail(call, WISP_UNSUPPORTED, "shrinks too much at once");
        plan->last = i;
    }
    if (!x->rank) plan->axes[0] = (axis){.in = 1, .out = 1};
    plan->lines = (int32_t)lines;
    plan->linear_s8 = x->dtype == WISP_S8 && WISP_PARAMS(call, Resize)->mode == LINEAR;
    if (plan->linear_s8 && changing > 2) return wisp_call_fail(call, WISP_UNSUPPORTED, "in s8 at most two axes may change");
    plan->pixel = (int64_t)(wisp_extent(dims, plan->last + 1, x->rank) * wisp_dtype_size(x->dtype));
    const int64_t line = plan->axes[plan->last].out * plan->pixel;
    wisp_need_scratch(call, 8 * (uint64_t)plan->taps, 0);
    wisp_set_work(call, (int64_t)y->size / line, line >= GRAIN_SIZE ? 1 : GRAIN_SIZE / line, 1);
    return WISP_OK;
}

const wisp_operator wisp_op_Resize = {.plan = plan_resize, .begin = begin_resize, .range = range_resize, .plan_size = sizeof(resize_plan)};
