/* What AVX-512 with VNNI brings to the kernel table; the other slots stay those of AVX2. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "avx512vnni.h"

const wisp_kernels wisp_kernels_avx512vnni = {
    WISP_BRINGS(gemm_s8, &wisp_gemm_s8_avx512vnni),
    WISP_BRINGS(gemm_f32, &wisp_gemm_f32_avx512vnni),
    WISP_BRINGS(dwconv_s8, &(const wisp_dwconv_s8_kernel){wisp_dwconv_s8_avx512vnni, "dwconv_s8_avx512vnni"}),
    WISP_BRINGS(dwconv_f32, &(const wisp_dwconv_f32_kernel){wisp_dwconv_f32_avx512vnni, "dwconv_f32_avx512vnni"}),
};
