/* The portable kernels: literal transcriptions of the contracts in kernels.h, the reference for every other set. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_SCALAR_H
#define WISP_SCALAR_H

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_gemm_kernel wisp_gemm_s8_scalar, wisp_gemm_f32_scalar;
wisp_dwconv_s8_fn wisp_dwconv_s8_scalar;
wisp_dwconv_f32_fn wisp_dwconv_f32_scalar;
wisp_max_s8_fn wisp_max_s8_scalar;
wisp_max_f32_fn wisp_max_f32_scalar;
wisp_sum_s8_fn wisp_sum_s8_scalar;
wisp_sum_f32_fn wisp_sum_f32_scalar;
wisp_add_s8_fn wisp_add_s8_scalar;
wisp_mul_s8_fn wisp_mul_s8_scalar;
wisp_lookup_s8_fn wisp_lookup_s8_scalar;
wisp_quantize_s8_fn wisp_quantize_s8_scalar;
wisp_dequantize_s8_fn wisp_dequantize_s8_scalar;
wisp_binary_f32_fn wisp_add_f32_scalar, wisp_sub_f32_scalar, wisp_mul_f32_scalar, wisp_div_f32_scalar;
wisp_binary_f32_fn wisp_minimum_f32_scalar, wisp_maximum_f32_scalar;
wisp_clamp_f32_fn wisp_clamp_f32_scalar;

/* A NaN compares false and stays; lo > hi yields hi. */
static inline float clamp_f32(float x, float lo, float hi) {
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

#endif
