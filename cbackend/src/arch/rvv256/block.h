/* A panel of 16 channels in registers of 256 bits or more: 32-bit values take two of them. Parameters of the tile templates. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_RVV256_BLOCK_H
#define WISP_RVV256_BLOCK_H

#define ROWS 8 /* 16 registers of sums, 4 of weights, 1 of widened weights */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define VEC_S8 vint8mf2_t
#define VEC_S8X2 vint8mf2x2_t
#define VEC_S8X4 vint8mf2x4_t
#define GET_S8(tuple, i) __riscv_vget_i8mf2(tuple, i)
#define LOAD_S8 __riscv_vle8_v_i8mf2
#define LOAD_S8X2 __riscv_vlseg2e8_v_i8mf2x2
#define LOAD_S8X4 __riscv_vlseg4e8_v_i8mf2x4
#define VEC_S16 vint16m1_t
#define VEC_U16 vuint16m1_t
#define VEC_S32 vint32m2_t
#define LOAD_S32 __riscv_vle32_v_i32m2
#define TO_U16 __riscv_vreinterpret_u16m1
#define TO_U32 __riscv_vreinterpret_u32m2
#define VEC_F32 vfloat32m2_t
#define LOAD_F32 __riscv_vle32_v_f32m2

#endif
