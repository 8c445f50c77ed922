/* The first row of the kernel table: every slot gets a portable kernel. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

void wisp_kernels_scalar(wisp_kernels *table);

void wisp_kernels_scalar(wisp_kernels *table) {
    *table = (wisp_kernels){
        .gemm_s8 = wisp_gemm_s8_scalar,
        .dwconv_s8 = wisp_dwconv_s8_scalar,
        .max_s8 = wisp_max_s8_scalar,
        .sum_s8 = wisp_sum_s8_scalar,
        .add_s8 = wisp_add_s8_scalar,
        .mul_s8 = wisp_mul_s8_scalar,
        .lookup_s8 = wisp_lookup_s8_scalar,
        .quantize_s8 = wisp_quantize_s8_scalar,
        .dequantize_s8 = wisp_dequantize_s8_scalar,
#if !defined(WISP_FLOAT) || WISP_FLOAT /* without, operators refuse f32 and nobody calls these */
        .gemm_f32 = wisp_gemm_f32_scalar,
        .dwconv_f32 = wisp_dwconv_f32_scalar,
        .max_f32 = wisp_max_f32_scalar,
        .sum_f32 = wisp_sum_f32_scalar,
        .add_f32 = wisp_add_f32_scalar,
        .sub_f32 = wisp_sub_f32_scalar,
        .mul_f32 = wisp_mul_f32_scalar,
        .div_f32 = wisp_div_f32_scalar,
        .minimum_f32 = wisp_minimum_f32_scalar,
        .maximum_f32 = wisp_maximum_f32_scalar,
        .clamp_f32 = wisp_clamp_f32_scalar,
#endif
        .gemm_s8_mr = WISP_MAX_MR,
        .gemm_f32_mr = WISP_MAX_MR,
        .gemm_s8_name = "gemm_s8_scalar",
        .gemm_f32_name = "gemm_f32_scalar",
        .dwconv_s8_name = "dwconv_s8_scalar",
        .dwconv_f32_name = "dwconv_f32_scalar",
        .isa_name = "scalar",
    };
}
