/* DepthToSpace and SpaceToDepth: blocks of pixels to channels and back, on NHWC, as strided views. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shape.h"

enum { TO_SPACE, CHANNELS_FIRST /* CRD: a channel of the output is contiguous in the depth */ }; /* node->state */

/* Sees the image as (n, h, block_h, w, block_w, c). `deep` has the blocks in its channels, `flat` is the larger image. */
static wisp_view make_view(const wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t *state = wisp_legacy_of(call)->state;
    const wisp_tensor *deep = state[TO_SPACE] ? x : y, *flat = state[TO_SPACE] ? y : x;
    int64_t size = (int64_t)wisp_dtype_size(x->dtype), c = flat->dims[3], pixel = deep->dims[3] * size;
    int64_t n = deep->dims[0], h = deep->dims[1], w = deep->dims[2], block = flat->dims[1] / h, row = flat->dims[2] * c * size;
    int64_t channel = state[CHANNELS_FIRST] ? block * block * size : size; /* step of one channel, of one block column */
    int64_t column = state[CHANNELS_FIRST] ? size : c * size;
    const int64_t extents[6] = {n, h, block, w, block, c};
    const int64_t deep_stride[6] = {h * w * pixel, w * pixel, block * column, pixel, column, channel};
    const int64_t flat_stride[6] = {h * block * row, block * row, row, block * c * size, c * size, size};
    wisp_view v = wisp_view_start(x->data, y->data, (size_t)size);
    for (int i = 0; i < 6; i++)
        wisp_view_axis(&v, extents[i], state[TO_SPACE] ? deep_stride[i] : flat_stride[i],
                       state[TO_SPACE] ? flat_stride[i] : deep_stride[i]);
    return v;
}

static void copy_steps(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    wisp_view v = make_view(call);
    wisp_view_copy(&v, begin, end);
}

static int run_blocks(wisp_call *call) {
    if (wisp_output(call, 0)->count == 0) return WISP_OK;
    wisp_view v = make_view(call);
    wisp_parallel(call, wisp_view_steps(&v), wisp_view_grain(&v), copy_steps);
    return WISP_OK;
}

static int check_image(wisp_call *call, int32_t blocksize) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if (x->rank != 4) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "an image of 4 axes is needed, not", x->rank);
    if (blocksize < 1 || blocksize > 32767) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such blocksize:", blocksize);
    return WISP_OK;
}

int wisp_prepare_DepthToSpace(wisp_call *call) {
    const wisp_DepthToSpace_params *p = WISP_PARAMS(call, DepthToSpace);
    int status = check_image(call, p->blocksize);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    int64_t b = p->blocksize, dims[4] = {x->dims[0], x->dims[1] * b, x->dims[2] * b, x->dims[3] / (b * b)};
    if (x->dims[3] % (b * b)) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "blocks do not divide the channels:", x->dims[3]);
    if (p->mode != 0 && p->mode != 1) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such mode:", p->mode);
    wisp_legacy_of(call)->state[TO_SPACE] = 1;
    wisp_legacy_of(call)->state[CHANNELS_FIRST] = p->mode;
    wisp_legacy_of(call)->run = run_blocks;
    return wisp_set_output_wide(call, 0, x->dtype, 4, dims);
}

int wisp_prepare_SpaceToDepth(wisp_call *call) {
    const wisp_SpaceToDepth_params *p = WISP_PARAMS(call, SpaceToDepth);
    int status = check_image(call, p->blocksize);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    int64_t b = p->blocksize, dims[4] = {x->dims[0], x->dims[1] / b, x->dims[2] / b, x->dims[3] * b * b};
    if (x->dims[1] % b || x->dims[2] % b) return wisp_call_fail(call, WISP_BAD_SHAPE, "blocks do not divide the image");
    wisp_legacy_of(call)->run = run_blocks;
    return wisp_set_output_wide(call, 0, x->dtype, 4, dims);
}

WISP_LEGACY(DepthToSpace)
WISP_LEGACY(SpaceToDepth)
