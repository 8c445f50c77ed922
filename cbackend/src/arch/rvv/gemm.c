/* Matrix kernels: tiles of up to 6 or 8 rows by 16 outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

enum { GROUP = 4, FEW_ROWS = 4 };

/* Copies the rows to scratch as [taps][k4/4][rows][4], the last values of a tap padded with zeros. Rows beyond m are
 * copies of the last one; their results land on it. */
ALWAYS_INLINE void interleave_rows(const wisp_gemm_s8 *g, int rows) {
    const ptrdiff_t step = GROUP * rows, whole = g->k / GROUP, rest = g->k % GROUP;
    int8_t *first = (int8_t *)g->scratch;
    for (int32_t t = 0; t < g->taps; t++, first += (whole + (rest != 0)) * step)
        for (int32_t r = 0; r < rows; r++) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + (r < g->m ? r : g->m - 1)];
            int8_t *out = first + GROUP * r;
            for (size_t left = (size_t)whole, vl; left > 0; left -= vl, x += GROUP * vl, out += (ptrdiff_t)vl * step) {
                vl = __riscv_vsetvl_e32m4(left);
                vint32m4_t v = __riscv_vreinterpret_i32m4(__riscv_vle8_v_i8m4(x, GROUP * vl));
                __riscv_vsse32((int32_t *)(void *)out, step, v, vl);
            }
            if (rest)
                for (ptrdiff_t i = 0; i < GROUP; i++) out[i] = i < rest ? x[i] : 0;
        }
}

#include "block128.h"
#include "shift_left.h"
#include "gemm_tile.h"

void wisp_gemm_s8_rvv(const wisp_gemm_s8 *g) {
    if (g->m == 1)
        multiply_s8_128(g, 1);
    else if (g->m <= FEW_ROWS)
        multiply_s8_128(g, FEW_ROWS);
    else
        multiply_s8_128(g, ROWS);
}

void wisp_gemm_f32_rvv(const wisp_gemm_f32 *g) {
    if (g->m <= FEW_ROWS)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32_128(g, j, FEW_ROWS);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32_128(g, j, ROWS);
}

#include "block256.h"
#include "shift_left.h"
#include "gemm_tile.h"

void wisp_gemm_wide_s8_rvv(const wisp_gemm_s8 *g) {
    if (g->m == 1)
        multiply_s8_256(g, 1);
    else if (g->m <= FEW_ROWS)
        multiply_s8_256(g, FEW_ROWS);
    else
        multiply_s8_256(g, ROWS);
}

void wisp_gemm_wide_f32_rvv(const wisp_gemm_f32 *g) {
    if (g->m <= FEW_ROWS)
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32_256(g, j, FEW_ROWS);
    else
        for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) multiply_tile_f32_256(g, j, ROWS);
}
