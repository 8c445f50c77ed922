/* Matrix kernels: tiles of up to 8 rows by 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv256.h"

#include "block.h"
#include "../rvv/gemm_tile.h"

void wisp_gemm_s8_rvv256(const wisp_gemm_s8 *g) {
    choose_rows_s8(g);
}

void wisp_gemm_f32_rvv256(const wisp_gemm_f32 *g) {
    choose_rows_f32(g);
}
