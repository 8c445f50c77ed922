/* Matrix kernels: tiles of up to 8 rows by 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv256.h"

#include "block.h"
#include "../rvv/gemm_tile.h"

static void multiply_tiles_s8(const wisp_gemm *g) {
    choose_rows_s8(g);
}

static void pack_tiles_s8(const wisp_gemm *g, void *packed) {
    pack_rows_s8(g, packed);
}

static void multiply_tiles_f32(const wisp_gemm *g) {
    choose_rows_f32(g);
}

const wisp_gemm_kernel wisp_gemm_s8_rvv256 = {multiply_tiles_s8, pack_tiles_s8, "gemm_s8_rvv256", ROWS, 1};
const wisp_gemm_kernel wisp_gemm_f32_rvv256 = {multiply_tiles_f32, NULL, "gemm_f32_rvv256", ROWS, 0};
