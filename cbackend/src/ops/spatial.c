/* DepthToSpace and SpaceToDepth: blocks of pixels to channels and back, on NHWC. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shape.h"
#include "window.h"

/* `deep` has the blocks in its channels, `flat` is the larger image. Line i of the blocks of deep row r is flat row
 * r * block + i, and begins i * line bytes into the row; pixel by pixel both are the view (w, block_w, c), its x the input. */
typedef struct blocks_plan {
    int64_t line; /* bytes of deep from one line of a block to the next */
    int32_t block;
    wisp_view view; /* of three axes at most */
} blocks_plan;

enum { PLAN_SIZE = offsetof(blocks_plan, view) + WISP_VIEW_SIZE(3) };

static int check_image(wisp_call *call, int32_t blocksize) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if (x->rank != 4) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "an image of 4 axes is needed, not", x->rank);
    if (blocksize < 1 || blocksize > 32767) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such blocksize:", blocksize);
    return WISP_OK;
}

/* States the output, then the view. channels_first: CRD, a channel of the output is contiguous in the depth. */
static int plan_blocks(wisp_call *call, bool to_space, bool channels_first, int32_t block, const int64_t *dims) {
    blocks_plan *plan = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int status = wisp_set_output_wide(call, 0, x->dtype, 4, dims);
    if (status || !y->count) return status;
    const wisp_tensor *deep = to_space ? x : y, *flat = to_space ? y : x;
    const int64_t size = (int64_t)wisp_dtype_size(x->dtype), c = flat->dims[3];
    const int64_t channel = channels_first ? (int64_t)block * block * size : size; /* deep bytes between channels */
    const int64_t column = channels_first ? size : c * size;                       /* and between columns of a block */
    const int64_t extent[3] = {deep->dims[2], block, c};
    const int64_t deep_stride[3] = {deep->dims[3] * size, column, channel};
    const int64_t flat_stride[3] = {block * c * size, c * size, size};
    plan->block = block;
    plan->line = block * column;
    plan->view.size = (int32_t)size;
    for (int i = 0; i < 3; i++)
        wisp_view_add(&plan->view, extent[i], to_space ? deep_stride[i] : flat_stride[i], to_space ? flat_stride[i] : deep_stride[i]);
    wisp_view_order(&plan->view);
    wisp_set_work(call, (int64_t)y->dims[0] * y->dims[1], wisp_move_grain((int64_t)y->size / y->dims[0] / y->dims[1]), 1);
    return WISP_OK;
}

/* ---- items are rows of the output */

static int plan_depth_to_space(wisp_call *call) {
    const wisp_DepthToSpace_params *p = WISP_PARAMS(call, DepthToSpace);
    int status = check_image(call, p->blocksize);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t b = p->blocksize, dims[4] = {x->dims[0], x->dims[1] * b, x->dims[2] * b, x->dims[3] / (b * b)};
    if (x->dims[3] % (b * b)) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "blocks do not divide the channels:", x->dims[3]);
    if (p->mode != 0 && p->mode != 1) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such mode:", p->mode);
    return plan_blocks(call, true, p->mode == 1, p->blocksize, dims);
}

static void range_depth_to_space(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const blocks_plan *plan = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    const wisp_image deep = image_of(wisp_input(call, 0)), flat = image_of(y);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / y->dims[1], row = i % y->dims[1];
        const uint8_t *from = row_at(&deep, image, row / plan->block) + row % plan->block * plan->line;
        wisp_view_copy(&plan->view, from, row_at(&flat, image, row), 0, wisp_view_steps(&plan->view));
    }
}

const wisp_operator wisp_op_DepthToSpace = {.plan = plan_depth_to_space, .range = range_depth_to_space, .plan_size = PLAN_SIZE};

static int plan_space_to_depth(wisp_call *call) {
    const wisp_SpaceToDepth_params *p = WISP_PARAMS(call, SpaceToDepth);
    int status = check_image(call, p->blocksize);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t b = p->blocksize, dims[4] = {x->dims[0], x->dims[1] / b, x->dims[2] / b, x->dims[3] * b * b};
    if (x->dims[1] % b || x->dims[2] % b) return wisp_call_fail(call, WISP_BAD_SHAPE, "blocks do not divide the image");
    return plan_blocks(call, false, false, p->blocksize, dims);
}

static void range_space_to_depth(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const blocks_plan *plan = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    const wisp_image flat = image_of(wisp_input(call, 0)), deep = image_of(y);
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / y->dims[1], row = i % y->dims[1];
        for (int32_t line = 0; line < plan->block; line++)
            wisp_view_copy(&plan->view, row_at(&flat, image, row * plan->block + line), row_at(&deep, image, row) + line * plan->line, 0,
                           wisp_view_steps(&plan->view));
    }
}

const wisp_operator wisp_op_SpaceToDepth = {.plan = plan_space_to_depth, .range = range_space_to_depth, .plan_size = PLAN_SIZE};
