/* What matrix products bring to the kernel table; the rest stays with dot products and NEON. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "i8mm.h"

const wisp_kernels wisp_kernels_i8mm = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_i8mm),
};
