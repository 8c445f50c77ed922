/* The kernels of ARMv8.6-A's int8 matrix products, FEAT_I8MM: 2 rows by 2 outputs by 8 values in one instruction. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_I8MM_H
#define WISP_I8MM_H

#include "../dotprod/dotprod.h"

extern const wisp_kernels wisp_kernels_i8mm;

extern const wisp_gemm_kernel wisp_gemm_s8_i8mm;

#endif
