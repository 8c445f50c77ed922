/* The kernels of ARMv8.2-A's dot products, FEAT_DotProd: four products of 8 bits into each 32-bit lane. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_DOTPROD_H
#define WISP_DOTPROD_H

#include "../neon/neon.h"

extern const wisp_kernels wisp_kernels_dotprod;

extern const wisp_gemm_kernel wisp_gemm_s8_dotprod;
wisp_dwconv_s8_fn wisp_dwconv_s8_dotprod;

#endif
