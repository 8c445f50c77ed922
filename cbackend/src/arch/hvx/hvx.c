/* What HVX brings to the kernel table. f32 stays scalar: float vectors exist from v68 on and are emulated nowhere. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

void wisp_kernels_hvx(wisp_kernels *table);

void wisp_kernels_hvx(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_hvx;
    table->gemm_s8_mr = 8;
    table->gemm_s8_name = "gemm_s8_hvx";
    table->dwconv_s8 = wisp_dwconv_s8_hvx;
    table->dwconv_s8_name = "dwconv_s8_hvx";
    table->max_s8 = wisp_max_s8_hvx;
    table->sum_s8 = wisp_sum_s8_hvx;
    table->add_s8 = wisp_add_s8_hvx;
    table->mul_s8 = wisp_mul_s8_hvx;
    table->lookup_s8 = wisp_lookup_s8_hvx;
    table->quantize_s8 = wisp_quantize_s8_hvx;
    table->isa_name = "hvx";
}
