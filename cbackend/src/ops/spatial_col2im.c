/* Col2Im: blocks of an image, added up where they belong. f32. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { MAX_AXES = WISP_MAX_RANK - 2 };

/* x is (N, C * block, blocks), y is (N, C, image). Items are planes: N * C. */
typedef struct col2im_plan {
    int64_t plane;       /* elements */
    int64_t taps, lines; /* of a block; blocks of all axes but the last */
    int32_t axes;
    int32_t image[MAX_AXES], block[MAX_AXES], blocks[MAX_AXES];
    int32_t stride[MAX_AXES], dilation[MAX_AXES], before[MAX_AXES];
} col2im_plan;

static int read_axes(wisp_call *call, col2im_plan *p) {
    enum { LIMIT = 1 << 20 };
    const wisp_Col2Im_params *params = WISP_PARAMS(call, Col2Im);
    const wisp_tensor *image = wisp_input(call, 1), *block = wisp_input(call, 2);
    const int32_t *strides = wisp_ints_of(call, params->strides), *dilations = wisp_ints_of(call, params->dilations);
    const int32_t *pads = wisp_ints_of(call, params->pads);
    const uint32_t n = (uint32_t)image->count;
    if (!wisp_is_integers(image) || !wisp_is_integers(block) || n < 1 || n > MAX_AXES || block->count != n)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "image and block must have one to six extents");
    if (params->strides.count != n || params->dilations.count != n || params->pads.count != 2 * n)
        return wisp_call_fail(call, WISP_BAD_FILE, "needs a stride, a dilation and two pads for each axis");
    p->axes = (int32_t)n;
    p->taps = p->lines = 1;
    for (uint32_t i = 0; i < n; i++) {
        const int64_t extent = wisp_integer_at(image, i), tap = wisp_integer_at(block, i), before = pads[i], after = pads[n + i];
        if (extent < 0 || extent > INT32_MAX || tap < 1 || tap > LIMIT || strides[i] < 1 || strides[i] > LIMIT || dilations[i] < 1 ||
            dilations[i] > LIMIT || before < 0 || before > LIMIT || after < 0 || after > LIMIT)
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "out of range: image, block, stride, dilation or pad of axis", i);
        const int64_t span = extent + before + after - dilations[i] * (tap - 1) - 1, count = span < 0 ? 0 : span / strides[i] + 1;
        if (count > INT32_MAX || (p->taps *= tap) > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "image or block too large");
        p->image[i] = (int32_t)extent, p->block[i] = (int32_t)tap, p->blocks[i] = (int32_t)count;
        p->stride[i] = strides[i], p->dilation[i] = dilations[i], p->before[i] = (int32_t)before;
        if (i + 1 < n && (p->lines *= count) > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "image or block too large");
    }
    return WISP_OK;
}

static int plan_col2im(wisp_call *call) {
    col2im_plan *p = call->plan;
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status || (status = wisp_wait_for(call, 1, 2)) || (status = read_axes(call, p))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!WISP_FLOAT || x->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32");
    if (x->rank != 3 || x->dims[1] % p->taps || x->dims[2] != p->lines * p->blocks[p->axes - 1])
        return wisp_call_fail(call, WISP_BAD_SHAPE, "blocks do not fit the image");
    dims[0] = x->dims[0], dims[1] = x->dims[1] / p->taps;
    for (int i = 0; i < p->axes; i++) dims[2 + i] = p->image[i];
    if ((status = wisp_set_output_wide(call, 0, WISP_F32, 2 + p->axes, dims)) || !wisp_output(call, 0)->count) return status;
    p->plane = (int64_t)wisp_output(call, 0)->count / (dims[0] * dims[1]);
    wisp_set_work(call, dims[0] * dims[1], wisp_move_grain(4 * (p->plane + p->taps * x->dims[2])), 1);
    return WISP_OK;
}

/* Where tap `t` of the blocks of a line begins in the plane, the last axis left out; -1: outside. */
static int64_t line_start(const col2im_plan *p, int64_t tap, int64_t line) {
    int64_t at = 0, stride = p->image[p->axes - 1];
    tap /= p->block[p->axes - 1];
    for (int i = p->axes - 2; i >= 0; i--) {
        const int64_t position = line % p->blocks[i] * p->stride[i] - p->before[i] + tap % p->block[i] * p->dilation[i];
        if (position < 0 || position >= p->image[i]) return -1;
        at += position * stride, stride *= p->image[i];
        line /= p->blocks[i], tap /= p->block[i];
    }
    return at;
}

static void range_col2im(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const col2im_plan *p = call->plan;
    const int last = p->axes - 1;
    (void)thread;
    for (int64_t plane = begin; plane < end; plane++) {
        const float *from = (const float *)wisp_input(call, 0)->data + plane * p->taps * p->lines * p->blocks[last];
        float *y = (float *)wisp_output(call, 0)->data + plane * p->plane;
        memset(y, 0, sizeof *y * (size_t)p->plane);
        for (int64_t tap = 0; tap < p->taps; tap++)
            for (int64_t line = 0; line < p->lines; line++, from += p->blocks[last]) {
                const int64_t start = line_start(p, tap, line);
                int64_t at = tap % p->block[last] * p->dilation[last] - p->before[last];
                for (int32_t i = 0; i < p->blocks[last] && start >= 0; i++, at += p->stride[last])
                    if (at >= 0 && at < p->image[last]) y[start + at] += from[i];
            }
    }
}

const wisp_operator wisp_op_Col2Im = {.plan = plan_col2im, .range = range_col2im, .plan_size = sizeof(col2im_plan)};
