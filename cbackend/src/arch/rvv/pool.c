/* Pooling kernels: maximum and sum over rows, a vector of channels at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

void wisp_max_s8_rvv(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    for (size_t i = 0, vl; i < (size_t)c; i += vl) {
        vl = __riscv_vsetvl_e8m8((size_t)c - i);
        vint8m8_t m = __riscv_vle8_v_i8m8(rows[0] + i, vl);
        for (int32_t t = 1; t < count; t++) m = __riscv_vmax(m, __riscv_vle8_v_i8m8(rows[t] + i, vl), vl);
        __riscv_vse8(out + i, m, vl);
    }
}

/* As the scalar kernel: x where it is larger or NaN, else what was there; vfmax would lose NaN. */
void wisp_max_f32_rvv(const float *const *rows, int32_t count, int32_t c, float *out) {
    for (size_t i = 0, vl; i < (size_t)c; i += vl) {
        vl = __riscv_vsetvl_e32m8((size_t)c - i);
        vfloat32m8_t m = __riscv_vle32_v_f32m8(rows[0] + i, vl);
        for (int32_t t = 1; t < count; t++) {
            vfloat32m8_t x = __riscv_vle32_v_f32m8(rows[t] + i, vl);
            vbool4_t take = __riscv_vmor(__riscv_vmfgt(x, m, vl), __riscv_vmfne(x, x, vl), vl);
            m = __riscv_vmerge(m, x, take, vl);
        }
        __riscv_vse32(out + i, m, vl);
    }
}

void wisp_sum_s8_rvv(const int8_t *const *rows, int32_t count, int32_t c, int32_t *out) {
    for (size_t i = 0, vl; i < (size_t)c; i += vl) {
        vl = __riscv_vsetvl_e8m2((size_t)c - i);
        vint32m8_t sum = __riscv_vmv_v_x_i32m8(0, vl);
        for (int32_t t = 0; t < count; t++) sum = __riscv_vwadd_wv(sum, __riscv_vsext_vf2(__riscv_vle8_v_i8m2(rows[t] + i, vl), vl), vl);
        __riscv_vse32(out + i, sum, vl);
    }
}

void wisp_sum_f32_rvv(const float *const *rows, int32_t count, int32_t c, float *out) {
    for (size_t i = 0, vl; i < (size_t)c; i += vl) {
        vl = __riscv_vsetvl_e32m8((size_t)c - i);
        vfloat32m8_t sum = __riscv_vle32_v_f32m8(rows[0] + i, vl);
        for (int32_t t = 1; t < count; t++) sum = __riscv_vfadd(sum, __riscv_vle32_v_f32m8(rows[t] + i, vl), vl);
        __riscv_vse32(out + i, sum, vl);
    }
}
