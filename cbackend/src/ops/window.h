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

/* The words that every operator with a window has first: D, H, W. Of an image without depth those of D are 0. */
typedef struct window_params {
    int32_t kernel[3], stride[3], dilation[3], before[3], after[3];
    int32_t same; /* 1: as many positions as the input has strides, what pads are odd behind; 2: before */
} window_params;

/* Room and extents of the input; refuses other ranks and numbers that are nonsense. `whole`: the window is the whole image. */
int wisp_window_read(wisp_call *call, wisp_window *w, bool whole);

/* Fills the window but for `channels` of the output. Refuses windows larger than the image. */
int wisp_window_shape(wisp_call *call, wisp_window *w, bool ceil_mode, bool whole);

/* States output 0: x's dtype and rank, the window's positions, `channels`. */
int wisp_window_output(wisp_call *call, const wisp_window *w, int32_t channels);

/* For output row `line`, counted over all images: rows[k * columns + i] points at input pixel i - pad_left of the row under row k of
 * the window (counted over its depth), or is `outside`. `size`: bytes of a value. Tap t of output column ox is
 * rows[(t / kernel_w) * columns + (t % kernel_w) * dilation_w + ox * stride_w]. */
void wisp_window_rows(const wisp_window *w, const wisp_image *x, int size, int64_t line, const void *outside, const void **rows);

void wisp_window_tap_offsets(const wisp_window *w, int32_t *offset);

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

/* Pieces cut from scratch, each on 64 bytes. Sizes must be the same in plan (base null) and in the run. */
static inline void *take(char **base, uint64_t *used, uint64_t size) {
    void *piece = *base ? *base + *used : NULL;
    *used += (size + 63) & ~63ull;
    return piece;
}

#endif
