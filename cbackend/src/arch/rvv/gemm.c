/* Matrix kernels: tiles of up to 6 rows by 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

#include "block.h"
#include "gemm_tile.h"

void wisp_gemm_s8_rvv(const wisp_gemm_s8 *g) {
    choose_rows_s8(g);
}

void wisp_gemm_f32_rvv(const wisp_gemm_f32 *g) {
    choose_rows_f32(g);
}
