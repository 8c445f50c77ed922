/* The RISC-V kernels for registers of 256 bits or more. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV256_H
#define WISP_RVV256_H

#include "../rvv/rvv.h"

extern const wisp_kernels wisp_kernels_rvv256;

extern const wisp_gemm_kernel wisp_gemm_s8_rvv256, wisp_gemm_f32_rvv256;
wisp_dwconv_s8_fn wisp_dwconv_s8_rvv256;
wisp_dwconv_f32_fn wisp_dwconv_f32_rvv256;

#endif
