/* Depthwise kernels: four pixels by a block of up to 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv256.h"

#include "block.h"
#include "../rvv/conv_tile.h"

void wisp_dwconv_s8_rvv256(const wisp_dwconv_s8 *d) {
    convolve_s8(d);
}

void wisp_dwconv_f32_rvv256(const wisp_dwconv_f32 *d) {
    convolve_f32(d);
}
