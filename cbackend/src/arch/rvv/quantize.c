/* Conversions between f32 and int8. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

/* The conversion saturates, but takes NaN to the largest integer: put 0 there before. */
void wisp_quantize_s8_rvv(const float *x, float inverse_scale, int32_t zero_point, int8_t *y, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m2(n - i);
        vfloat32m8_t scaled = __riscv_vfmul(__riscv_vle32_v_f32m8(x + i, vl), inverse_scale, vl);
        scaled = __riscv_vfmerge(scaled, 0.0f, __riscv_vmfne(scaled, scaled, vl), vl);
        vint16m4_t rounded = __riscv_vfncvt_x(scaled, __RISCV_FRM_RNE, vl);
        rounded = __riscv_vsadd(rounded, (int16_t)zero_point, vl);
        __riscv_vse8(y + i, __riscv_vnclip(rounded, 0, __RISCV_VXRM_RDN, vl), vl);
    }
}

void wisp_dequantize_s8_rvv(const int8_t *x, float scale, int32_t zero_point, float *y, size_t n) {
    for (size_t i = 0, vl; i < n; i += vl) {
        vl = __riscv_vsetvl_e8m2(n - i);
        vint16m4_t difference = __riscv_vsext_vf2(__riscv_vle8_v_i8m2(x + i, vl), vl);
        difference = __riscv_vsub(difference, (int16_t)zero_point, vl);
        __riscv_vse32(y + i, __riscv_vfmul(__riscv_vfwcvt_f(difference, vl), scale, vl), vl);
    }
}
