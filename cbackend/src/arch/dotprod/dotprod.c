/* What dot products bring to the kernel table; the rest stays NEON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dotprod.h"

const wisp_kernels wisp_kernels_dotprod = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_dotprod),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_dotprod, "dwconv_s8_dotprod"}),
};
