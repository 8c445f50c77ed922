/* What dot products bring to the kernel table; the rest stays NEON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dotprod.h"

void wisp_kernels_dotprod(wisp_kernels *table);

void wisp_kernels_dotprod(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_dotprod;
    table->gemm_s8_mr = 6;
    table->gemm_s8_name = "gemm_s8_dotprod";
    table->dwconv_s8 = wisp_dwconv_s8_dotprod;
    table->dwconv_s8_name = "dwconv_s8_dotprod";
    table->isa_name = "dotprod";
}
