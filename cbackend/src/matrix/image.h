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

/* An image of depth in_d is so many of them; without depth, all of its fields are 1, its pads 0. */
typedef struct wisp_window {
    int32_t batch, channels; /* of the input */
    union {
        int32_t in[3];
        struct {
            int32_t in_d, in_h, in_w;
        };
    };
    union {
        int32_t out[3];
        struct {
            int32_t out_d, out_h, out_w;
        };
    };
    union {
        int32_t kernel[3];
        struct {
            int32_t kernel_d, kernel_h, kernel_w;
        };
    };
    union {
        int32_t stride[3];
        struct {
            int32_t stride_d, stride_h, stride_w;
        };
    };
    union {
        int32_t dilation[3];
        struct {
            int32_t dilation_d, dilation_h, dilation_w;
        };
    };
    union {
        int32_t before[3];
        struct {
            int32_t pad_front, pad_top, pad_left;
        };
    };
    int32_t after[3]; /* pads behind */
} wisp_window;

#endif
