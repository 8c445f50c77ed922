/* Concat and Split: the same copy of side by side pieces, in two directions. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { GRAIN_SIZE = 65536 /* bytes worth a thread */ };

/* node->state */
enum { AXIS, OUTER, INNER_SIZE /* bytes of the axes after it */ };

static void set_state(wisp_call *call, const wisp_tensor *t, int axis, size_t size) {
    int64_t *state = wisp_legacy_of(call)->state;
    state[AXIS] = axis;
    state[OUTER] = (int64_t)wisp_extent(t->dims, 0, axis);
    state[INNER_SIZE] = (int64_t)(wisp_extent(t->dims, axis + 1, t->rank) * size);
}

/* `count` rows of `size` bytes. Buffers that coincide were planned so, and need no copy. */
static void copy_rows(uint8_t *y, int64_t y_step, const uint8_t *x, int64_t x_step, int64_t size, int64_t count) {
    if (y == x) return;
    if (size == 4)
        for (int64_t i = 0; i < count; i++) memcpy(y + i * y_step, x + i * x_step, 4);
    else
        for (int64_t i = 0; i < count; i++) memcpy(y + i * y_step, x + i * x_step, (size_t)size);
}

static void copy_pieces(const wisp_call *call, const wisp_tensor *whole, bool joins, int64_t begin, int64_t end) {
    const int64_t *state = wisp_legacy_of(call)->state;
    int64_t whole_step = whole->dims[state[AXIS]] * state[INNER_SIZE];
    uint8_t *at = (uint8_t *)whole->data + begin * whole_step;
    uint32_t count = joins ? call->input_count : call->output_count;
    for (uint32_t i = 0; i < count; i++) {
        const wisp_tensor *part = joins ? wisp_input(call, i) : wisp_output(call, i);
        int64_t step = part->dims[state[AXIS]] * state[INNER_SIZE];
        uint8_t *piece = (uint8_t *)part->data + begin * step;
        if (joins && step) copy_rows(at, whole_step, piece, step, step, end - begin);
        if (!joins && step) copy_rows(piece, step, at, whole_step, step, end - begin);
        at += step;
    }
}

static int64_t grain(const wisp_call *call, const wisp_tensor *whole) {
    int64_t row = whole->dims[wisp_legacy_of(call)->state[AXIS]] * wisp_legacy_of(call)->state[INNER_SIZE];
    return row >= GRAIN_SIZE ? 1 : GRAIN_SIZE / row;
}

static void join_rows(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    copy_pieces(call, wisp_output(call, 0), true, begin, end);
}

static int run_concat(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    if (y->count) wisp_parallel(call, wisp_legacy_of(call)->state[OUTER], grain(call, y), join_rows);
    return WISP_OK;
}

static bool fits_beside(const wisp_tensor *a, const wisp_tensor *b, int axis) {
    if (a->rank != b->rank || a->dtype != b->dtype || a->layout != b->layout) return false;
    for (int i = 0; i < a->rank; i++)
        if (i != axis && a->dims[i] != b->dims[i]) return false;
    return true;
}

int wisp_prepare_Concat(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    uint32_t count = call->input_count;
    int status = wisp_check_operands(call, 1, 255, 1);
    if (status) return status;
    const wisp_tensor *first = wisp_input(call, 0);
    size_t size = wisp_movable_size(call, first);
    int axis = wisp_axis(WISP_PARAMS(call, Concat)->axis, first->rank);
    if (!size) return WISP_UNSUPPORTED;
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Concat)->axis);
    for (int i = 0; i < first->rank; i++) dims[i] = first->dims[i];
    for (uint32_t i = 1; i < count; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (!t) return wisp_call_fail_value(call, WISP_BAD_FILE, "missing input", i);
        if (!fits_beside(first, t, axis))
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "shape or dtype does not fit the first input: input", i);
        dims[axis] += t->dims[axis];
    }
    set_state(call, first, axis, size);
    wisp_legacy_of(call)->run = run_concat;
    return wisp_set_output_wide(call, 0, first->dtype, first->rank, dims);
}

static void split_rows(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    copy_pieces(call, wisp_input(call, 0), false, begin, end);
}

static int run_split(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->count) wisp_parallel(call, wisp_legacy_of(call)->state[OUTER], grain(call, x), split_rows);
    return WISP_OK;
}

/* Even pieces, the last one shorter when the extent does not divide. */
static int64_t even_piece(int64_t extent, uint32_t count, uint32_t i) {
    int64_t piece = (extent + count - 1) / count, left = extent - piece * i;
    return left < 0 ? 0 : left < piece ? left : piece;
}

int wisp_prepare_Split(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK], sum = 0;
    uint32_t count = call->output_count;
    int status = wisp_check_operands(call, 1, 2, count);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *sizes = wisp_input(call, 1);
    size_t size = wisp_movable_size(call, x);
    int axis = wisp_axis(WISP_PARAMS(call, Split)->axis, x->rank);
    if (!size) return WISP_UNSUPPORTED;
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Split)->axis);
    if (sizes && !wisp_is_known_vector(sizes))
        return wisp_call_fail(call, WISP_UNSUPPORTED, "split sizes must be integers known at prepare");
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
    set_state(call, x, axis, size);
    wisp_legacy_of(call)->run = run_split;
    return WISP_OK;
}

WISP_LEGACY(Concat)
WISP_LEGACY(Split)
