/* Depthwise kernels: four pixels by a block of up to 16 channels. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rvv.h"

#define EACH_PIXEL(DO) DO(0) DO(1) DO(2) DO(3)

enum { PIXELS = 4 };

#include "block128.h"
#include "shift_left.h"
#include "conv_tile.h"

void wisp_dwconv_s8_rvv(const wisp_dwconv_s8 *d) {
    convolve_s8_128(d);
}

void wisp_dwconv_f32_rvv(const wisp_dwconv_f32 *d) {
    convolve_f32_128(d);
}

#include "block256.h"
#include "shift_left.h"
#include "conv_tile.h"

void wisp_dwconv_wide_s8_rvv(const wisp_dwconv_s8 *d) {
    convolve_s8_256(d);
}

void wisp_dwconv_wide_f32_rvv(const wisp_dwconv_f32 *d) {
    convolve_f32_256(d);
}
