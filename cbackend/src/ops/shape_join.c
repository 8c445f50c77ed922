/* Concat and Split: the same copy of side by side pieces, in two directions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

/* The whole and its parts are rows of bytes: one for each position before the axis, which are the items. */
typedef struct join_plan {
    int64_t row_size;   /* bytes of a row of the whole */
    int64_t inner_size; /* bytes of the axes behind the joined one */
    int32_t axis;
} join_plan;

static void plan_rows(wisp_call *call, const wisp_tensor *whole, int axis, size_t size) {
    join_plan *plan = call->plan;
    plan->axis = axis;
    plan->inner_size = (int64_t)(wisp_extent(whole->dims, axis + 1, whole->rank) * size);
    plan->row_size = whole->dims[axis] * plan->inner_size;
    if (whole->count) wisp_set_work(call, (int64_t)wisp_extent(whole->dims, 0, axis), wisp_move_grain(plan->row_size), 1);
}

/* `count` rows of `size` bytes. A part that the file's plan laid into the whole is there already. */
static void copy_rows(uint8_t *y, int64_t y_step, const uint8_t *x, int64_t x_step, int64_t size, int64_t count) {
    if (y == x) return;
    if (size == 4)
        for (int64_t i = 0; i < count; i++) memcpy(y + i * y_step, x + i * x_step, 4);
    else
        for (int64_t i = 0; i < count; i++) memcpy(y + i * y_step, x + i * x_step, (size_t)size);
}

/* ---- Concat */

static bool fits_beside(const wisp_tensor *a, const wisp_tensor *b, int axis) {
    if (a->rank != b->rank || a->dtype != b->dtype || a->layout != b->layout) return false;
    for (int i = 0; i < a->rank; i++)
        if (i != axis && a->dims[i] != b->dims[i]) return false;
    return true;
}

static int plan_concat(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 1, UINT16_MAX, 1);
    if (status) return status;
    const wisp_tensor *first = wisp_input(call, 0);
    const size_t size = wisp_movable_size(call, first);
    const int axis = wisp_axis(WISP_PARAMS(call, Concat)->axis, first->rank);
    if (!size) return WISP_UNSUPPORTED;
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Concat)->axis);
    for (int i = 0; i < first->rank; i++) dims[i] = first->dims[i];
    for (uint32_t i = 1; i < call->input_count; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (!t) return wisp_call_fail_value(call, WISP_BAD_FILE, "missing input", i);
        if (!fits_beside(first, t, axis))
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "shape or dtype does not fit the first input: input", i);
        dims[axis] += t->dims[axis];
    }
    if ((status = wisp_set_output_wide(call, 0, first->dtype, first->rank, dims))) return status;
    plan_rows(call, wisp_output(call, 0), axis, size);
    return WISP_OK;
}

static void range_concat(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const join_plan *plan = call->plan;
    uint8_t *to = (uint8_t *)wisp_output(call, 0)->data + begin * plan->row_size;
    (void)thread;
    for (uint32_t i = 0; i < call->input_count; i++) {
        const wisp_tensor *part = wisp_input(call, i);
        const int64_t size = part->dims[plan->axis] * plan->inner_size;
        if (size) copy_rows(to, plan->row_size, (const uint8_t *)part->data + begin * size, size, size, end - begin);
        to += size;
    }
}

const wisp_operator wisp_op_Concat = {.plan = plan_concat, .range = range_concat, .plan_size = sizeof(join_plan)};

/* ---- Split */

/* Even pieces, the last one shorter when the extent does not divide. */
static int64_t even_piece(int64_t extent, uint32_t count, uint32_t i) {
    int64_t piece = (extent + count - 1) / count, left = extent - piece * i;
    return left < 0 ? 0 : left < piece ? left : piece;
}

static int plan_split(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK], sum = 0;
    const uint32_t count = call->output_count;
    int status = wisp_check_operands(call, 1, 2, count);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *sizes = wisp_input(call, 1);
    const size_t size = wisp_movable_size(call, x);
    const int axis = wisp_axis(WISP_PARAMS(call, Split)->axis, x->rank);
    if (!size) return WISP_UNSUPPORTED;
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Split)->axis);
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    if (sizes && !wisp_is_integers(sizes)) return wisp_call_fail(call, WISP_UNSUPPORTED, "split sizes must be integers");
    if (count == 0 || (sizes && sizes->count != count))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "as many split sizes as outputs are needed");
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[i];
    for (uint32_t i = 0; i < count; i++) {
        dims[axis] = sizes ? wisp_integer_at(sizes, i) : even_piece(x->dims[axis], count, i);
        if (dims[axis] < 0 || dims[axis] > x->dims[axis] - sum)
            return wisp_call_fail(call, WISP_BAD_SHAPE, "split sizes do not add up to the axis");
        sum += dims[axis];
        if (!wisp_output(call, i)) return wisp_call_fail_value(call, WISP_BAD_FILE, "missing output", i);
        if ((status = wisp_set_output_wide(call, i, x->dtype, x->rank, dims))) return status;
    }
    if (sum != x->dims[axis]) return wisp_call_fail(call, WISP_BAD_SHAPE, "split sizes do not add up to the axis");
    plan_rows(call, x, axis, size);
    return WISP_OK;
}

static void range_split(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const join_plan *plan = call->plan;
    const uint8_t *from = (const uint8_t *)wisp_input(call, 0)->data + begin * plan->row_size;
    (void)thread;
    for (uint32_t i = 0; i < call->output_count; i++) {
        const wisp_tensor *part = wisp_output(call, i);
        const int64_t size = part->dims[plan->axis] * plan->inner_size;
        if (size) copy_rows((uint8_t *)part->data + begin * size, size, from, plan->row_size, size, end - begin);
        from += size;
    }
}

const wisp_operator wisp_op_Split = {.plan = plan_split, .range = range_split, .plan_size = sizeof(join_plan)};
