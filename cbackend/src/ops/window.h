/* Images as rows in memory, and sliding windows over them as rows of pointers: what spatial operators share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_OPS_WINDOW_H
#define WISP_OPS_WINDOW_H

#include "../matrix/image.h"
#include "../op.h"

/* Of N, (D,) H, W, C. */
static inline wisp_image image_of(const wisp_tensor *t) {
    const int h = t->rank - 3;
    return (wisp_image){t->data, (int64_t)t->dims[h + 1] * t->dims[h + 2] * (int64_t)wisp_dtype_size(t->dtype), t->dims[h]};
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

/* The words that every operator with a window has first: D, H, W. Of an image without depth those of D are 0. */
typedef struct window_params {
    int32_t kernel[3], stride[3], dilation[3], before[3], after[3];
    int32_t same; /* 1: as many positions as the input has strides, what pads are odd behind; 2: before */
} window_params;

/* Room and extents of the input; refuses other ranks and numbers that are nonsense. `whole`: the window is the whole image. */
static inline int window_read(wisp_call *call, wisp_window *w, bool whole) {
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

/* Fills the window but for `channels` of the output. Refuses windows larger than the image. */
static inline int window_shape(wisp_call *call, wisp_window *w, bool ceil_mode, bool whole) {
    const int32_t same = ((const window_params *)call->params)->same;
    int status = window_read(call, w, whole);
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

/* States output 0: x's dtype and rank, the window's positions, `channels`. */
static inline int window_output(wisp_call *call, const wisp_window *w, int32_t channels) {
    const wisp_tensor *x = wisp_input(call, 0);
    const int32_t dims[5] = {w->batch, w->out_d, w->out_h, w->out_w, channels}, flat[4] = {w->batch, w->out_h, w->out_w, channels};
    return wisp_set_output(call, 0, x->dtype, x->rank, x->rank == 5 ? dims : flat);
}

static inline int32_t window_taps(const wisp_window *w) {
    return w->kernel_d * w->kernel_h * w->kernel_w;
}

/* Rows of outputs, over all images. */
static inline int64_t window_lines(const wisp_window *w) {
    return (int64_t)w->batch * w->out_d * w->out_h;
}

/* Columns of pointers that one output row needs: input columns from -pad_left on. */
static inline int64_t window_columns(const wisp_window *w) {
    return (int64_t)(w->out_w - 1) * w->stride_w + (int64_t)(w->kernel_w - 1) * w->dilation_w + 1;
}

/* Pointers of one output row; more than INT32_MAX cannot be addressed by tap offsets. */
static inline int64_t window_pointers(const wisp_window *w) {
    return window_columns(w) * w->kernel_d * w->kernel_h;
}

/* For output row `line`, counted over all images: rows[k * columns + i] points at input pixel i - pad_left of the row under row k of
 * the window (counted over its depth), or is `outside`. `size`: bytes of a value. Tap t of output column ox is
 * rows[(t / kernel_w) * columns + (t % kernel_w) * dilation_w + ox * stride_w]. */
static inline void window_rows(const wisp_window *w, const wisp_image *x, int size, int64_t line, const void *outside, const void **rows) {
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

static inline void window_tap_offsets(const wisp_window *w, int32_t *offset) {
    const int64_t columns = window_columns(w);
    for (int32_t k = 0; k < w->kernel_d * w->kernel_h; k++)
        for (int32_t kx = 0; kx < w->kernel_w; kx++) *offset++ = (int32_t)(k * columns + (int64_t)kx * w->dilation_w);
}

/* Pieces cut from scratch, each on 64 bytes. Sizes must be the same in plan (base null) and in the run. */
static inline void *take(char **base, uint64_t *used, uint64_t size) {
    void *piece = *base ? *base + *used : NULL;
    *used += (size + 63) & ~63ull;
    return piece;
}

#endif
