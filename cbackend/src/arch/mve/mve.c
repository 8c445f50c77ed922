/* What Helium (the M-profile vector extension) brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

void wisp_kernels_mve(wisp_kernels *table);

void wisp_kernels_mve(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_mve;
    table->gemm_s8_mr = 4;
    table->gemm_s8_name = "gemm_s8_mve";
    table->dwconv_s8 = wisp_dwconv_s8_mve;
    table->dwconv_s8_name = "dwconv_s8_mve";
    table->add_s8 = wisp_add_s8_mve;
    table->mul_s8 = wisp_mul_s8_mve;
    table->lookup_s8 = wisp_lookup_s8_mve;
    table->max_s8 = wisp_max_s8_mve;
    table->quantize_s8 = wisp_quantize_s8_mve;
    table->isa_name = "mve";
}
