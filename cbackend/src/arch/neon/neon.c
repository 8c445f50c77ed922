/* What NEON brings to the kernel table. The compiler vectorises the other scalar kernels by itself: NEON is part of
 * the base architecture. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

void wisp_kernels_neon(wisp_kernels *table);

void wisp_kernels_neon(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_neon;
    table->gemm_s8_mr = WISP_MAX_MR;
    table->gemm_s8_name = "gemm_s8_neon";
    table->gemm_f32 = wisp_gemm_f32_neon;
    table->gemm_f32_mr = 4;
    table->gemm_f32_name = "gemm_f32_neon";
    table->dwconv_s8 = wisp_dwconv_s8_neon;
    table->dwconv_s8_name = "dwconv_s8_neon";
    table->dwconv_f32 = wisp_dwconv_f32_neon;
    table->dwconv_f32_name = "dwconv_f32_neon";
    table->max_s8 = wisp_max_s8_neon;
    table->add_s8 = wisp_add_s8_neon;
    table->mul_s8 = wisp_mul_s8_neon;
    table->quantize_s8 = wisp_quantize_s8_neon;
    table->isa_name = "neon";
}
