/* What WebAssembly SIMD brings to the kernel table. The compiler vectorises the other scalar kernels by itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

const wisp_kernels wisp_kernels_simd128 = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_simd128),
    WISP_BRINGS(gemm_f32, &wisp_gemm_f32_simd128),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_simd128, "dwconv_s8_simd128"}),
    WISP_BRINGS(dwconv_f32, &(const wisp_dwconv_f32_kernel){wisp_dwconv_f32_simd128, "dwconv_f32_simd128"}),
    WISP_BRINGS(add_s8, wisp_add_s8_simd128),
    WISP_BRINGS(mul_s8, wisp_mul_s8_simd128),
    WISP_BRINGS(quantize_s8, wisp_quantize_s8_simd128),
};
