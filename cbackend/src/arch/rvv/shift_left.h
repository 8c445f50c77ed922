/* The left shifts of requantize_s8, for the register length of block.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV_SHIFT_LEFT_H
#define WISP_RVV_SHIFT_LEFT_H

/* Lanes with a negative shift are saturated to 16 bits and shifted left; the others stay for the right shift. */
ALWAYS_INLINE VEC_S32 shift_left(VEC_S32 acc, VEC_S32 shift, size_t vl) {
    VEC_S32 count = __riscv_vmax(__riscv_vneg(shift, vl), 0, vl);
    VEC_S32 shifted = __riscv_vsll(CLAMP(acc, -32768, 32767, vl), TO_U32(count), vl);
    return __riscv_vmerge(acc, shifted, __riscv_vmslt(shift, 0, vl), vl);
}

#endif
