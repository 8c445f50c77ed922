/* What the vector extension of RISC-V brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

void wisp_kernels_rvv(wisp_kernels *table);

void wisp_kernels_rvv(wisp_kernels *table) {
    /* 16 channels of 32 bits take four registers of 128 bits, but only two of 256: room for more rows, and no work on
     * empty halves. */
    const int wide = __riscv_vlenb() >= 32;
    table->gemm_s8 = wide ? wisp_gemm_wide_s8_rvv : wisp_gemm_s8_rvv;
    table->gemm_s8_mr = wide ? 8 : 6;
    table->gemm_s8_name = "gemm_s8_rvv";
    table->gemm_f32 = wide ? wisp_gemm_wide_f32_rvv : wisp_gemm_f32_rvv;
    table->gemm_f32_mr = wide ? 8 : 6;
    table->gemm_f32_name = "gemm_f32_rvv";
    table->dwconv_s8 = wide ? wisp_dwconv_wide_s8_rvv : wisp_dwconv_s8_rvv;
    table->dwconv_s8_name = "dwconv_s8_rvv";
    table->dwconv_f32 = wide ? wisp_dwconv_wide_f32_rvv : wisp_dwconv_f32_rvv;
    table->dwconv_f32_name = "dwconv_f32_rvv";
    table->max_s8 = wisp_max_s8_rvv;
    table->max_f32 = wisp_max_f32_rvv;
    table->sum_s8 = wisp_sum_s8_rvv;
    table->sum_f32 = wisp_sum_f32_rvv;
    table->add_s8 = wisp_add_s8_rvv;
    table->mul_s8 = wisp_mul_s8_rvv;
    table->lookup_s8 = wisp_lookup_s8_rvv;
    table->quantize_s8 = wisp_quantize_s8_rvv;
    table->dequantize_s8 = wisp_dequantize_s8_rvv;
    table->add_f32 = wisp_add_f32_rvv;
    table->sub_f32 = wisp_sub_f32_rvv;
    table->mul_f32 = wisp_mul_f32_rvv;
    table->div_f32 = wisp_div_f32_rvv;
    table->minimum_f32 = wisp_minimum_f32_rvv;
    table->maximum_f32 = wisp_maximum_f32_rvv;
    table->clamp_f32 = wisp_clamp_f32_rvv;
    table->isa_name = "rvv";
}
