/* Rows of products of dtypes without kernels: f64, and integers, which wrap. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

#define PRODUCT_ROW(name, type)                                                                              \
    static void product_##name(const void *a_row, const void *b_matrix, int64_t k, int64_t n, void *y_row) { \
        const type *a = a_row, *b = b_matrix;                                                                \
        type *y = y_row;                                                                                     \
        memset(y, 0, (size_t)n * sizeof *y);                                                                 \
        for (int64_t i = 0; i < k; i++, b += n)                                                              \
            for (int64_t j = 0; j < n; j++) y[j] += a[i] * b[j];                                             \
    }

PRODUCT_ROW(32, uint32_t)
PRODUCT_ROW(64, uint64_t)
PRODUCT_ROW(f64, double)

wisp_product_row_fn *wisp_product_row(int dtype) {
    switch (dtype) {
        case WISP_S32:
        case WISP_U32: return product_32;
        case WISP_S64:
        case WISP_U64: return product_64;
        case WISP_F64: return product_f64;
        default: return NULL;
    }
}
