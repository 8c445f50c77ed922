/* Images as rows in memory, and sliding windows over them as rows of pointers: what spatial operators share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_WINDOW_H
#define WISP_OPS_WINDOW_H

#include "../matrix/image.h"
#include "../op.h"

static inline wisp_image image_of(const wisp_tensor *t) {
    return (wisp_image){t->data, (int64_t)t->dims[2] * t->dims[3] * (int64_t)wisp_dtype_size(t->dtype), t->dims[1]};
}

/* Positions of a window along an axis. ceil_mode: one more where the last one leaves values over and the next still starts on
 * the image or the padding before it. 0: the window is larger than the padded axis. */
static inline int64_t window_positions(int32_t in, int32_t before, int32_t after, int32_t kernel, int32_t stride, int32_t dilation,
                                       bool ceil_mode) {
    const int64_t span = (int64_t)in + before + after - (int64_t)dilation * (kernel - 1) - 1;
    const int64_t out = span < 0 ? 0 : span / stride + 1;
    const bool left_over = span < 0 ? span > -stride : span % stride != 0;
    return ceil_mode && left_over && out * stride < (int64_t)in + before ? out + 1 : out;
}

/* Fills batch, in_*, channels and out_* from x; the other fields are set. Refuses nonsense and windows larger than the image. */
static inline int window_shape(wisp_call *call, wisp_window *w, const wisp_tensor *x, bool ceil_mode) {
    enum { LIMIT = 1 << 20 }; /* extents of kernels, strides, pads: products stay far below 2^63 */
    const int32_t at_least_one[] = {w->kernel_h, w->kernel_w, w->stride_h, w->stride_w, w->dilation_h, w->dilation_w};
    const int32_t pads[] = {w->pad_top, w->pad_left, w->pad_bottom, w->pad_right};
    if (x->rank != 4) return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 4 (NHWC)");
    for (int i = 0; i < 6; i++)
        if (at_least_one[i] < 1 || at_least_one[i] > LIMIT)
            return wisp_call_fail(call, WISP_BAD_FILE, "kernel, stride or dilation out of range");
    for (int i = 0; i < 4; i++)
        if (pads[i] < 0 || pads[i] > LIMIT) return wisp_call_fail(call, WISP_BAD_FILE, "padding out of range");
    w->batch = x->dims[0], w->in_h = x->dims[1], w->in_w = x->dims[2], w->channels = x->dims[3];
    const int64_t out_h = window_positions(w->in_h, w->pad_top, w->pad_bottom, w->kernel_h, w->stride_h, w->dilation_h, ceil_mode);
    const int64_t out_w = window_positions(w->in_w, w->pad_left, w->pad_right, w->kernel_w, w->stride_w, w->dilation_w, ceil_mode);
    if (out_h < 1 || out_w < 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "the window is larger than the padded input");
    if (out_h > INT32_MAX || out_w > INT32_MAX) return wisp_call_fail(call, WISP_BAD_SHAPE, "output too large");
    w->out_h = (int32_t)out_h, w->out_w = (int32_t)out_w;
    return WISP_OK;
}

/* Columns of pointers that one output row needs: input columns from -pad_left on. */
static inline int64_t window_columns(const wisp_window *w) {
    return (int64_t)(w->out_w - 1) * w->stride_w + (int64_t)(w->kernel_w - 1) * w->dilation_w + 1;
}

/* rows[ky * columns + i] points at input pixel (oy * stride_h - pad_top + ky * dilation_h, i - pad_left) of image `b`,
 * or is `outside`. `size`: bytes of a value. Tap t of output column ox is rows[(t / kernel_w) * columns +
 * (t % kernel_w) * dilation_w + ox * stride_w]. */
static inline void window_rows(const wisp_window *w, const wisp_image *x, int size, int64_t b, int64_t oy, const void *outside,
                               const void **rows) {
    const int64_t columns = window_columns(w), pixel = (int64_t)w->channels * size;
    for (int32_t ky = 0; ky < w->kernel_h; ky++) {
        int64_t iy = oy * w->stride_h - w->pad_top + (int64_t)ky * w->dilation_h;
        bool inside = iy >= 0 && iy < w->in_h;
        const uint8_t *line = inside ? row_at(x, b, iy) : NULL;
        const void **out = rows + ky * columns;
        int64_t begin = w->pad_left < columns ? w->pad_left : columns;
        int64_t end = begin + w->in_w < columns ? begin + w->in_w : columns;
        if (!inside) begin = end = columns;
        for (int64_t i = 0; i < begin; i++) out[i] = outside;
        for (int64_t i = begin; i < end; i++) out[i] = line + (i - w->pad_left) * pixel;
        for (int64_t i = end; i < columns; i++) out[i] = outside;
    }
}

static inline void window_tap_offsets(const wisp_window *w, int32_t *offset) {
    const int64_t columns = window_columns(w);
    for (int32_t ky = 0; ky < w->kernel_h; ky++)
        for (int32_t kx = 0; kx < w->kernel_w; kx++) *offset++ = (int32_t)(ky * columns + (int64_t)kx * w->dilation_w);
}

/* Pieces cut from scratch, each on 64 bytes. Sizes must be the same in plan (base null) and in the run. */
static inline void *take(char **base, uint64_t *used, uint64_t size) {
    void *piece = *base ? *base + *used : NULL;
    *used += (size + 63) & ~63ull;
    return piece;
}

#endif
