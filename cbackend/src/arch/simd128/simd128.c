/* What WebAssembly SIMD brings to the kernel table. The compiler vectorises the other scalar kernels by itself. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "simd128.h"

void wisp_kernels_simd128(wisp_kernels *table);

void wisp_kernels_simd128(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_simd128;
    table->gemm_s8_mr = 4;
    table->gemm_s8_name = "gemm_s8_simd128";
    table->gemm_f32 = wisp_gemm_f32_simd128;
    table->gemm_f32_mr = 4;
    table->gemm_f32_name = "gemm_f32_simd128";
    table->dwconv_s8 = wisp_dwconv_s8_simd128;
    table->dwconv_s8_name = "dwconv_s8_simd128";
    table->dwconv_f32 = wisp_dwconv_f32_simd128;
    table->dwconv_f32_name = "dwconv_f32_simd128";
    table->add_s8 = wisp_add_s8_simd128;
    table->mul_s8 = wisp_mul_s8_simd128;
    table->quantize_s8 = wisp_quantize_s8_simd128;
    table->isa_name = "simd128";
}
