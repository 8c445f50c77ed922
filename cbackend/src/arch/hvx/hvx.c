/* What HVX brings to the kernel table. f32 stays scalar: float vectors exist from v68 on and are emulated nowhere. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

const wisp_kernels wisp_kernels_hvx = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_hvx),    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_hvx, "dwconv_s8_hvx"}),
    WISP_BRINGS(max_s8, wisp_max_s8_hvx),       WISP_BRINGS(sum_s8, wisp_sum_s8_hvx),
    WISP_BRINGS(add_s8, wisp_add_s8_hvx),       WISP_BRINGS(mul_s8, wisp_mul_s8_hvx),
    WISP_BRINGS(lookup_s8, wisp_lookup_s8_hvx), WISP_BRINGS(quantize_s8, wisp_quantize_s8_hvx),
};
