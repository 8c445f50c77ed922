/* What the DSP extension of Cortex-M and ARMv6 brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

const wisp_kernels wisp_kernels_dsp = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_dsp),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_dsp, "dwconv_s8_dsp"}),
    WISP_BRINGS(add_s8, wisp_add_s8_dsp),
};
