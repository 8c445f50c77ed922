/* What NEON brings to the kernel table. The compiler vectorises the other scalar kernels by itself: NEON is part of
 * the base architecture. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

const wisp_kernels wisp_kernels_neon = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_neon),
    WISP_BRINGS(gemm_f32, &wisp_gemm_f32_neon),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_neon, "dwconv_s8_neon"}),
    WISP_BRINGS(dwconv_f32, &(const wisp_dwconv_f32_kernel){wisp_dwconv_f32_neon, "dwconv_f32_neon"}),
    WISP_BRINGS(max_s8, wisp_max_s8_neon),
    WISP_BRINGS(add_s8, wisp_add_s8_neon),
    WISP_BRINGS(mul_s8, wisp_mul_s8_neon),
    WISP_BRINGS(quantize_s8, wisp_quantize_s8_neon),
};
