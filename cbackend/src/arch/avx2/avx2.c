/* What AVX2 brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx2.h"

void wisp_kernels_avx2(wisp_kernels *table);

void wisp_kernels_avx2(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_avx2;
    table->gemm_s8_mr = 6;
    table->gemm_s8_name = "gemm_s8_avx2";
    table->gemm_f32 = wisp_gemm_f32_avx2;
    table->gemm_f32_mr = 6;
    table->gemm_f32_name = "gemm_f32_avx2";
    table->dwconv_s8 = wisp_dwconv_s8_avx2;
    table->dwconv_s8_name = "dwconv_s8_avx2";
    table->dwconv_f32 = wisp_dwconv_f32_avx2;
    table->dwconv_f32_name = "dwconv_f32_avx2";
    table->max_s8 = wisp_max_s8_avx2;
    table->max_f32 = wisp_max_f32_avx2;
    table->sum_s8 = wisp_sum_s8_avx2;
    table->sum_f32 = wisp_sum_f32_avx2;
    table->add_s8 = wisp_add_s8_avx2;
    table->mul_s8 = wisp_mul_s8_avx2;
    table->lookup_s8 = wisp_lookup_s8_avx2;
    table->quantize_s8 = wisp_quantize_s8_avx2;
    table->dequantize_s8 = wisp_dequantize_s8_avx2;
    table->add_f32 = wisp_add_f32_avx2;
    table->sub_f32 = wisp_sub_f32_avx2;
    table->mul_f32 = wisp_mul_f32_avx2;
    table->div_f32 = wisp_div_f32_avx2;
    table->minimum_f32 = wisp_minimum_f32_avx2;
    table->maximum_f32 = wisp_maximum_f32_avx2;
    table->clamp_f32 = wisp_clamp_f32_avx2;
    table->isa_name = "avx2";
}
