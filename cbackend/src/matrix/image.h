/* Images as rows in memory, and the geometry of windows that slide over them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_MATRIX_IMAGE_H
#define WISP_MATRIX_IMAGE_H

#include <stdint.h>

/* NHWC images, one after another. Of each the last `ring` rows are kept: its height, until an operator is run row by row with
 * the one before it. Spatial operators reach rows through row_at only, and items of their ranges are rows of the output, image
 * after image, or can be cut there: any rows can be computed once those they are made of are there. */
typedef struct wisp_image {
    uint8_t *data;
    int64_t row_size; /* bytes */
    int32_t ring;
} wisp_image;

static inline uint8_t *row_at(const wisp_image *v, int64_t image, int64_t row) {
    return v->data + (image * v->ring + (row < v->ring ? row : row % v->ring)) * v->row_size;
}

typedef struct wisp_window {
    int32_t batch, in_h, in_w, channels; /* of the input */
    int32_t out_h, out_w;
    int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left, pad_bottom, pad_right;
} wisp_window;

#endif
