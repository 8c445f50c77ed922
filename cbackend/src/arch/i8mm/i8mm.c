/* What matrix products bring to the kernel table; the rest stays with dot products and NEON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "i8mm.h"

void wisp_kernels_i8mm(wisp_kernels *table);

void wisp_kernels_i8mm(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_i8mm;
    table->gemm_s8_mr = 8;
    table->gemm_s8_name = "gemm_s8_i8mm";
    table->isa_name = "i8mm";
}
