/* What the RISC-V kernels share. RVV 1.0 of any register length from 128 bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV_H
#define WISP_RVV_H

#include <riscv_vector.h>

#include "../../kernels.h"
#include "../../quant.h"

extern const wisp_kernels wisp_kernels_rvv;

extern const wisp_gemm_kernel wisp_gemm_s8_rvv, wisp_gemm_f32_rvv;
wisp_dwconv_s8_fn wisp_dwconv_s8_rvv;
wisp_dwconv_f32_fn wisp_dwconv_f32_rvv;
wisp_max_s8_fn wisp_max_s8_rvv;
wisp_max_f32_fn wisp_max_f32_rvv;
wisp_sum_s8_fn wisp_sum_s8_rvv;
wisp_sum_f32_fn wisp_sum_f32_rvv;
wisp_add_s8_fn wisp_add_s8_rvv;
wisp_mul_s8_fn wisp_mul_s8_rvv;
wisp_lookup_s8_fn wisp_lookup_s8_rvv;
wisp_quantize_s8_fn wisp_quantize_s8_rvv;
wisp_dequantize_s8_fn wisp_dequantize_s8_rvv;
wisp_binary_f32_fn wisp_add_f32_rvv, wisp_sub_f32_rvv, wisp_mul_f32_rvv, wisp_div_f32_rvv;
wisp_binary_f32_fn wisp_minimum_f32_rvv, wisp_maximum_f32_rvv;
wisp_clamp_f32_fn wisp_clamp_f32_rvv;

/* Variants of a loop are one such function with constant arguments. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* requantize_s8 for vectors of any group size:
 *   t = vnclip(acc, shift), rounding down: floor, then saturate to 16 bits
 *   p = vsmul(t, multiplier), rounding to nearest up: the Q15 product
 *   y = vnclip(p, 7), rounding to nearest up, saturates to 8 bits without overflow between; then the clamp
 * The rounding mode is a register, so callers run all of a step before the next one. Only 5 bits of a shift count: a
 * negative one is first turned into 0 by shift_left. */
#define SHIFT_TO_S16(acc, shift, vl) __riscv_vnclip(acc, shift, __RISCV_VXRM_RDN, vl)
#define SCALE_S16(t, multiplier, vl) __riscv_vsmul(t, multiplier, __RISCV_VXRM_RNU, vl)
#define ROUND_TO_S8(p, vl) __riscv_vnclip(p, 7, __RISCV_VXRM_RNU, vl)
#define CLAMP(x, lo, hi, vl) __riscv_vmin(__riscv_vmax(x, lo, vl), hi, vl)

/* As the scalar clamp, signed zeros and NaN included. */
#define CLAMP_AT_LEAST(x, lo, vl) __riscv_vfmerge(x, lo, __riscv_vmflt(x, lo, vl), vl)
#define CLAMP_AT_MOST(x, hi, vl) __riscv_vfmerge(x, hi, __riscv_vmfgt(x, hi, vl), vl)

#endif
