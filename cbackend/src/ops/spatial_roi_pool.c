/* MaxRoiPool: the largest value of each bin of a region, on NHWC. f32. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "window.h"

/* Pixels of a bin along an axis. */
typedef struct span {
    int32_t begin, end;
} span;

static int32_t round_away(float x) {
    return x < 0 ? -(int32_t)floorf(0.5f - x) : (int32_t)floorf(x + 0.5f);
}

static int32_t clamp_to(int32_t x, int32_t extent) {
    return x < 0 ? 0 : x < extent ? x : extent;
}

/* Bin `bin` of `bins` between two ends in pixels, both included; cut to the image. */
static span find_span(float first, float last, int32_t bin, int32_t bins, int32_t extent) {
    const int32_t start = round_away(first), length = round_away(last) - start + 1;
    const float size = (float)(length > 1 ? length : 1) / (float)bins;
    const int32_t begin = (int32_t)floorf((float)bin * size), end = (int32_t)ceilf((float)(bin + 1) * size);
    return (span){clamp_to(start + begin, extent), clamp_to(start + end, extent)};
}

static int plan_roi_pool(wisp_call *call) {
    const wisp_MaxRoiPool_params *p = WISP_PARAMS(call, MaxRoiPool);
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *rois = wisp_input(call, 1);
    if (!WISP_FLOAT || x->dtype != WISP_F32 || rois->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtypes must be f32");
    if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != 5) return wisp_call_fail(call, WISP_BAD_SHAPE, "image and regions do not fit");
    if (p->output_height < 1 || p->output_width < 1 || p->output_height > 1 << 20 || p->output_width > 1 << 20)
        return wisp_call_fail(call, WISP_BAD_FILE, "output extents out of range");
    const int32_t dims[4] = {rois->dims[0], p->output_height, p->output_width, x->dims[3]};
    if ((status = wisp_set_output(call, 0, WISP_F32, 4, dims))) return status;
    if (wisp_output(call, 0)->count) wisp_set_work(call, (int64_t)dims[0] * dims[1], 1, 1);
    return WISP_OK;
}

static int begin_roi_pool(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *rois = wisp_input(call, 1);
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        const float *roi = (const float *)rois->data + 5 * r;
        if (!(roi[0] >= 0 && roi[0] < (float)x->dims[0])) return wisp_call_fail_value(call, WISP_BAD_INDEX, "no such image: region", r);
        for (int i = 1; i < 5; i++)
            if (!(fabsf(roi[i] * WISP_PARAMS(call, MaxRoiPool)->spatial_scale) < 5e8f))
                return wisp_call_fail_value(call, WISP_BAD_INDEX, "too large, or not a number: region", r);
    }
    return WISP_OK;
}

/* Items are rows of bins. An empty bin is 0. */
static void range_roi_pool(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_MaxRoiPool_params *p = WISP_PARAMS(call, MaxRoiPool);
    const wisp_tensor *x = wisp_input(call, 0);
    const wisp_image image = image_of(x);
    const int64_t c = x->dims[3];
    float *y = (float *)wisp_output(call, 0)->data + begin * p->output_width * c;
    (void)thread;
    for (int64_t item = begin; item < end; item++) {
        const float *roi = (const float *)wisp_input(call, 1)->data + item / p->output_height * 5, scale = p->spatial_scale;
        const span h = find_span(roi[2] * scale, roi[4] * scale, (int32_t)(item % p->output_height), p->output_height, x->dims[1]);
        for (int32_t ox = 0; ox < p->output_width; ox++, y += c) {
            const span w = find_span(roi[1] * scale, roi[3] * scale, ox, p->output_width, x->dims[2]);
            const bool some = h.begin < h.end && w.begin < w.end;
            for (int64_t k = 0; k < c; k++) y[k] = some ? -__builtin_inff() : 0;
            for (int32_t iy = h.begin; iy < h.end; iy++) {
                const float *from = (const float *)(const void *)row_at(&image, (int32_t)roi[0], iy) + w.begin * c;
                for (int32_t ix = w.begin; ix < w.end; ix++, from += c)
                    for (int64_t k = 0; k < c; k++)
                        if (from[k] > y[k]) y[k] = from[k];
            }
        }
    }
}

const wisp_operator wisp_op_MaxRoiPool = {.plan = plan_roi_pool, .begin = begin_roi_pool, .range = range_roi_pool};
