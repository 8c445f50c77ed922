/* What Helium (the M-profile vector extension) brings to the kernel table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

const wisp_kernels wisp_kernels_mve = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_mve),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_mve, "dwconv_s8_mve"}),
    WISP_BRINGS(max_s8, wisp_max_s8_mve),
    WISP_BRINGS(add_s8, wisp_add_s8_mve),
    WISP_BRINGS(mul_s8, wisp_mul_s8_mve),
    WISP_BRINGS(lookup_s8, wisp_lookup_s8_mve),
    WISP_BRINGS(quantize_s8, wisp_quantize_s8_mve),
};
