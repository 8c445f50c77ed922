/* y = rows x panels: the one loop around every matrix kernel, and where rows come from. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_MATRIX_H
#define WISP_MATRIX_H

#include <stdbool.h>

#include "../kernels.h"
#include "image.h"

/* Where the rows of a product lie. */
enum {
    WISP_ROWS_PLAIN,  /* row r begins r * x_stride bytes behind the first */
    WISP_ROWS_TAPS,   /* row r is the window of output pixel r: a pointer for each tap */
    WISP_ROWS_PATCHES /* the same, its values copied together: the weights have one tap */
};

/* Where y is no matrix: its rows lie in lines, these in planes, these in images. Strides in elements. line = 0: it is one. */
typedef struct wisp_lines {
    int32_t line, lines, planes;
    int64_t line_stride, plane_stride, image_stride;
} wisp_lines;

/* One product, as a plan keeps it: everything but the data. */
typedef struct wisp_matrix {
    const wisp_gemm_kernel *kernel;
    wisp_window window; /* of TAPS and PATCHES */
    int64_t x_stride;   /* of PLAIN */
    int64_t y_stride;   /* elements between rows of y, of a line */
    wisp_lines lines;
    int32_t k, taps;                             /* as the weights are packed */
    int32_t n;                                   /* columns */
    int32_t group_k;                             /* values that a tap of a window has: channels of a group */
    int32_t tiles;                               /* of rows that are packed together; set, as what follows, by
                                                  * wisp_matrix_set_tiles */
    int32_t column_block;                        /* columns whose weights stay in a cache */
    uint32_t tile_at;                            /* bytes: of the first tile in scratch */
    uint64_t pointers_at, patches_at, tile_size; /* bytes: in a tile */
    uint8_t source;                              /* WISP_ROWS_* */
    uint8_t x_size, y_size;                      /* bytes of a value */
    uint8_t any_left_shift, full_range;          /* as in wisp_gemm */
    union {
        struct {
            int32_t lo, hi;
        };
        struct {
            float min, max;
        };
    };
} wisp_matrix;

/* The data of one product. Pointers are to its first row, column and value. */
typedef struct wisp_factors {
    wisp_image x;         /* PLAIN: data alone counts */
    const uint8_t *x_end; /* nothing of x lies here or behind */
    int outside;          /* byte that fills values outside the image */
    const void *weights, *columns;
    const int32_t *row_term, *column_term; /* both null, or as in wisp_gemm, one for each row and column */
    void *y;
} wisp_factors;

/* Bytes of one panel of 16 columns of weights, and of their columns in `columns`. */
int64_t wisp_panel_size(const wisp_matrix *m);
int64_t wisp_column_block_size(const wisp_matrix *m);

/* Scratch of wisp_matrix_multiply. The least, with one tile of rows at a time, is the same for every kernel. */
uint64_t wisp_matrix_least_scratch(const wisp_matrix *m);
/* Sets how many tiles of the `rows` rows there are at most are packed together where `limit` bytes of scratch, not less than the
 * least, may be used; returns what is used then. UINT64_MAX, no limit: the least, so that arenas do not depend on the processor. */
uint64_t wisp_matrix_set_tiles(wisp_matrix *m, int64_t rows, uint64_t limit);

/* Computes rows [row, row_end) by columns [column, column_end) of y; `column` is a multiple of 16. Windows are of pixels counted over
 * all images. `scratch`: aligned to 64. */
void wisp_matrix_multiply(const wisp_matrix *m, const wisp_factors *f, void *scratch, int64_t row, int64_t row_end, int32_t column,
                          int32_t column_end);

/* ---- rows.c, for the loop only */

/* Points at, or copies to `patches` (of wisp_patch_values values each), `count` rows from `row` on. `outside`: a tap's values
 * outside the image. */
void wisp_matrix_rows(const wisp_matrix *m, const wisp_factors *f, int64_t row, int32_t count, const void *outside, uint8_t *patches,
                      const void **rows);

/* Values of a copied patch: s8 has whole groups of 4, as the packed weights do; then kernels need not copy it again. What lies
 * behind k meets weights that are 0. */
static inline int32_t wisp_patch_values(const wisp_matrix *m) {
    return m->x_size == 1 ? (m->k + 3) & ~3 : m->k;
}

#endif
