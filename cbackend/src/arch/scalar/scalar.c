/* The first row of the kernel table: every slot gets a portable kernel. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "scalar.h"

const wisp_kernels wisp_kernels_scalar = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_scalar),
    WISP_BRINGS(gemm_f32, &wisp_gemm_f32_scalar),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_scalar, "dwconv_s8_scalar"}),
    WISP_BRINGS(dwconv_f32, &(const wisp_dwconv_f32_kernel){wisp_dwconv_f32_scalar, "dwconv_f32_scalar"}),
    WISP_BRINGS(max_s8, wisp_max_s8_scalar),
    WISP_BRINGS(max_f32, wisp_max_f32_scalar),
    WISP_BRINGS(sum_s8, wisp_sum_s8_scalar),
    WISP_BRINGS(sum_f32, wisp_sum_f32_scalar),
    WISP_BRINGS(add_s8, wisp_add_s8_scalar),
    WISP_BRINGS(mul_s8, wisp_mul_s8_scalar),
    WISP_BRINGS(lookup_s8, wisp_lookup_s8_scalar),
    WISP_BRINGS(quantize_s8, wisp_quantize_s8_scalar),
    WISP_BRINGS(dequantize_s8, wisp_dequantize_s8_scalar),
    WISP_BRINGS(add_f32, wisp_add_f32_scalar),
    WISP_BRINGS(sub_f32, wisp_sub_f32_scalar),
    WISP_BRINGS(mul_f32, wisp_mul_f32_scalar),
    WISP_BRINGS(div_f32, wisp_div_f32_scalar),
    WISP_BRINGS(minimum_f32, wisp_minimum_f32_scalar),
    WISP_BRINGS(maximum_f32, wisp_maximum_f32_scalar),
    WISP_BRINGS(clamp_f32, wisp_clamp_f32_scalar),
};
