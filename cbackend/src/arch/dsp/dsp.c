/* What the DSP extension of Cortex-M and ARMv6 brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

void wisp_kernels_dsp(wisp_kernels *table);

void wisp_kernels_dsp(wisp_kernels *table) {
    table->gemm_s8 = wisp_gemm_s8_dsp;
    table->gemm_s8_mr = 4;
    table->gemm_s8_name = "gemm_s8_dsp";
    table->dwconv_s8 = wisp_dwconv_s8_dsp;
    table->dwconv_s8_name = "dwconv_s8_dsp";
    table->add_s8 = wisp_add_s8_dsp;
    table->isa_name = "dsp";
}
