/* What AVX-512 with VNNI brings to the kernel table; the other slots stay those of AVX2. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx512vnni.h"

void wisp_kernels_avx512vnni(wisp_kernels *table);

void wisp_kernels_avx512vnni(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_avx512vnni;
    table->gemm_s8_mr = 6;
    table->gemm_s8_name = "gemm_s8_avx512vnni";
    table->gemm_f32 = wisp_gemm_f32_avx512vnni;
    table->gemm_f32_mr = 6;
    table->gemm_f32_name = "gemm_f32_avx512vnni";
    table->dwconv_s8 = wisp_dwconv_s8_avx512vnni;
    table->dwconv_s8_name = "dwconv_s8_avx512vnni";
    table->dwconv_f32 = wisp_dwconv_f32_avx512vnni;
    table->dwconv_f32_name = "dwconv_f32_avx512vnni";
    table->isa_name = "avx512vnni";
}
