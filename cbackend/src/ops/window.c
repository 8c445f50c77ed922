/* Windows: their parameters and positions, and the rows of pointers under one row of them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

/* Positions of a window along an axis. ceil_mode: one more where the last one leaves values over and the next still starts on
 * the image or the padding before it. 0: the window is larger than the padded axis. */
static int64_t window_positions(int32_t in, int32_t before, int32_t after, int32_t kernel, int32_t stride, int32_t dilation,
                                bool ceil_mode) {
    const int64_t span = (int64_t)in + before + after - (int64_t)dilation * (kernel - 1) - 1;
    const int64_t out = span < 0 ? 0 : span / stride + 1;
    const bool left_over = span < 0 ? span > -stride : span % stride != 0;
    return ceil_mode && left_over && out * stride < (int64_t)in + before ? out + 1 : out;
}

int wisp_window_read(wisp_call *call, wisp_window *w, bool whole) {
    enum { LIMIT = 1 << 20 }; /* extents of kernels, strides, pads: products stay far below 2^63 */
    const window_params *p = call->params;
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->rank != 4 && x->rank != 5) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 4 (NHWC) or 5 (NDHWC)");
    *w = (wisp_window){.batch = x->dims[0], .channels = x->dims[x->rank - 1]};
    for (int i = 0; i < 3; i++) {
        const bool there = i || x->rank == 5;
        w->in[i] = there ? x->dims[i + x->rank - 4] : 1;
        w->kernel[i] = whole ? w->in[i] : there ? p->kernel[i] : 1;
        w->stride[i] = there && !whole ? p->stride[i] : 1;
        w->dilation[i] = there && !whole ? p->dilation[i] : 1;
        w->before[i] = there && !whole ? p->before[i] : 0, w->after[i] = there && !whole ? p->after[i] : 0;
        if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || (!whole && w->kernel[i] > LIMIT) || w->stride[i] > LIMIT ||
            w->dilation[i] > LIMIT)
            return wisp_call_fail(call, WISP_BAD_FILE, "kernel, stride or dilation out of range");
        if (w->before[i] < 0 || w->after[i] < 0 || w->before[i] > LIMIT || w->after[i] > LIMIT)
            return wisp_call_fail(call, WISP_BAD_FILE, "padding out of range");
    }
    if (p->same < 0 || p->same > 2) return wisp_call_fail(call, WISP_BAD_FILE, "no such padding");
    return WISP_OK;
}

int wisp_window_shape(wisp_call *call, wisp_window *w, bool ceil_mode, bool whole) {
    const int32_t same = ((const window_params *)call->params)->same;
    int status = wisp_window_read(call, w, whole);
    for (int i = 0; i < 3 && !status; i++) {
        if (same && !whole) {
            const int64_t positions = ((int64_t)w->in[i] + w->stride[i] - 1) / w->stride[i];
            const int64_t pads = (positions - 1) * w->stride[i] + (int64_t)w->dilation[i] * (w->kernel[i] - 1) + 1 - w->in[i];
            const int64_t total = pads < 0 ? 0 : pads;
            if (total > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "padding out of range");
            w->before[i] = (int32_t)(same == 2 ? total - total / 2 : total / 2), w->after[i] = (int32_t)total - w->before[i];
        }
        const int64_t out =
            window_positions(w->in[i], w->before[i], w->after[i], w->kernel[i], w->stride[i], w->dilation[i], ceil_mode && !whole);
        if (out < 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "the window is larger than the padded input");
        if (out > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "output too large");
        w->out[i] = (int32_t)out;
    }
    if (!status && ((int64_t)w->kernel_d * w->kernel_h > INT32_MAX || (int64_t)w->kernel_d * w->kernel_h * w->kernel_w > INT32_MAX))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the window is too large");
    return status;
}

int wisp_window_output(wisp_call *call, const wisp_window *w, int32_t channels) {
    const wisp_tensor *x = wisp_input(call, 0);
    const int32_t dims[5] = {w->batch, w->out_d, w->out_h, w->out_w, channels}, flat[4] = {w->batch, w->out_h, w->out_w, channels};
    return wisp_set_output(call, 0, x->dtype, x->rank, x->rank == 5 ? dims : flat);
}

void wisp_window_rows(const wisp_window *w, const wisp_image *x, int size, int64_t line, const void *outside, const void **rows) {
    const int64_t columns = window_columns(w), pixel = (int64_t)w->channels * size;
    const int64_t plane = line / w->out_h, b = plane / w->out_d;
    const int64_t oz = plane % w->out_d * w->stride_d - w->pad_front, oy = line % w->out_h * w->stride_h - w->pad_top;
    for (int32_t k = 0; k < w->kernel_d * w->kernel_h; k++) {
        const int64_t iz = oz + (int64_t)(k / w->kernel_h) * w->dilation_d, iy = oy + (int64_t)(k % w->kernel_h) * w->dilation_h;
        bool inside = iy >= 0 && iy < w->in_h && iz >= 0 && iz < w->in_d;
        const uint8_t *row = inside ? row_at(x, b * w->in_d + iz, iy) : NULL;
        const void **out = rows + k * columns;
        int64_t begin = w->pad_left < columns ? w->pad_left : columns;
        int64_t end = begin + w->in_w < columns ? begin + w->in_w : columns;
        if (!inside) begin = end = columns;
        for (int64_t i = 0; i < begin; i++) out[i] = outside;
        for (int64_t i = begin; i < end; i++) out[i] = row + (i - w->pad_left) * pixel;
        for (int64_t i = end; i < columns; i++) out[i] = outside;
    }
}

void wisp_window_tap_offsets(const wisp_window *w, int32_t *offset) {
    const int64_t columns = window_columns(w);
    for (int32_t k = 0; k < w->kernel_d * w->kernel_h; k++)
        for (int32_t kx = 0; kx < w->kernel_w; kx++) *offset++ = (int32_t)(k * columns + (int64_t)kx * w->dilation_w);
}
