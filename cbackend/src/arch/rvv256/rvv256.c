/* What longer registers bring: 16 channels of 32 bits take two of 256 bits, not four of 128: room for more rows, no work on empty
 * halves. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv256.h"

const wisp_kernels wisp_kernels_rvv256 = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_rvv256),
    WISP_BRINGS(gemm_f32, &wisp_gemm_f32_rvv256),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_rvv256, "dwconv_s8_rvv256"}),
    WISP_BRINGS(dwconv_f32, &(const wisp_dwconv_f32_kernel){wisp_dwconv_f32_rvv256, "dwconv_f32_rvv256"}),
};
