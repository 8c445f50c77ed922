/* Depthwise kernels: four pixels by a block of up to 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

#include "block.h"
#include "conv_tile.h"

void wisp_dwconv_s8_rvv(const wisp_dwconv_s8 *d) {
    convolve_s8(d);
}

void wisp_dwconv_f32_rvv(const wisp_dwconv_f32 *d) {
    convolve_f32(d);
}
