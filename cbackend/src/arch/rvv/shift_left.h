/* Template, included once for each register length: the left shifts of requantize_s8. */
/* SPDX-License-Identifier: Apache-2.0 */

/* Lanes with a negative shift are saturated to 16 bits and shifted left; the others stay for the right shift. */
ALWAYS_INLINE VEC_S32 NAME(shift_left)(VEC_S32 acc, VEC_S32 shift, size_t vl) {
    VEC_S32 count = __riscv_vmax(__riscv_vneg(shift, vl), 0, vl);
    VEC_S32 shifted = __riscv_vsll(CLAMP(acc, -32768, 32767, vl), TO_U32(count), vl);
    return __riscv_vmerge(acc, shifted, __riscv_vmslt(shift, 0, vl), vl);
}
