/* Pad: constant, reflect, edge, wrap; negative pads cut. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

enum { CONSTANT, REFLECT, EDGE, WRAP };
enum { GRAIN_SIZE = 65536 /* bytes worth a thread */ };

/* node->state */
enum { BEGIN_PAD = 0 /* eight words */, LAST_PADDED = 8, ROW_SIZE = 9 /* bytes of the axes after the last padded one */ };

/* Where position i of the padded axis lies in the input; -1: outside. extent > 0 unless mode is CONSTANT. */
static int64_t source(int64_t i, int64_t begin, int64_t extent, int mode) {
    int64_t at = i - begin;
    if (at >= 0 && at < extent) return at;
    switch (mode) {
        case CONSTANT: return -1;
        case EDGE: return at < 0 ? 0 : extent - 1;
        case WRAP: at %= extent; return at < 0 ? at + extent : at;
        default: break;
    }
    if (extent == 1) return 0;
    int64_t period = 2 * (extent - 1); /* reflections repeat: 0 1 2 1 | 0 1 2 1 */
    at %= period;
    if (at < 0) at += period;
    return at < extent ? at : period - at;
}

/* One run along the last padded axis: x null when outside. */
static void pad_row(const wisp_call *call, uint8_t *y, const uint8_t *x, const uint8_t *value, int64_t element) {
    const int64_t *state = wisp_legacy_of(call)->state;
    int axis = (int)state[LAST_PADDED], mode = WISP_PARAMS(call, Pad)->mode;
    int64_t in = wisp_input(call, 0)->dims[axis], out = wisp_output(call, 0)->dims[axis], size = state[ROW_SIZE], begin = state[axis];
    if (!x) {
        wisp_fill(y, value, out * size / element, element);
        return;
    }
    int64_t from = begin > 0 ? begin : 0, to = begin + in < out ? begin + in : out; /* positions inside the input */
    if (from > out) from = out;
    if (to < from) to = from;
    if (mode == CONSTANT) {
        wisp_fill(y, value, from * size / element, element);
        wisp_fill(y + to * size, value, (out - to) * size / element, element);
    } else {
        for (int64_t i = 0; i < from; i++) memcpy(y + i * size, x + source(i, begin, in, mode) * size, (size_t)size);
        for (int64_t i = to; i < out; i++) memcpy(y + i * size, x + source(i, begin, in, mode) * size, (size_t)size);
    }
    if (to > from) memcpy(y + from * size, x + (from - begin) * size, (size_t)((to - from) * size));
}

static void pad_rows(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    static const uint8_t zero[8] = {0};
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0), *value = wisp_input(call, 2);
    const int64_t *state = wisp_legacy_of(call)->state;
    const uint8_t *pad = value && value->count ? value->data : zero;
    int axis = (int)state[LAST_PADDED], mode = WISP_PARAMS(call, Pad)->mode;
    int64_t x_row = x->dims[axis] * state[ROW_SIZE], y_row = y->dims[axis] * state[ROW_SIZE];
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, at = 0, stride = 1;
        for (int i = axis - 1; i >= 0 && at >= 0; i--) {
            int64_t p = source(rest % y->dims[i], state[i], x->dims[i], mode);
            at = p < 0 ? -1 : at + p * stride;
            rest /= y->dims[i];
            stride *= x->dims[i];
        }
        const uint8_t *from = at < 0 || x_row == 0 ? NULL : (const uint8_t *)x->data + at * x_row;
        pad_row(call, (uint8_t *)y->data + row * y_row, from, pad, (int64_t)wisp_dtype_size(x->dtype));
    }
}

static int run_pad(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    int axis = (int)wisp_legacy_of(call)->state[LAST_PADDED];
    if (y->count == 0) return WISP_OK;
    int64_t row = y->dims[axis] * wisp_legacy_of(call)->state[ROW_SIZE];
    wisp_parallel(call, (int64_t)wisp_extent(y->dims, 0, axis), row >= GRAIN_SIZE ? 1 : GRAIN_SIZE / row, pad_rows);
    return WISP_OK;
}

/* Fills begin pads and output extents; false when they make no sense. */
static bool read_pads(wisp_call *call, int64_t *begin, int64_t *dims) {
    const wisp_tensor *x = wisp_input(call, 0), *pads = wisp_input(call, 1), *axes = wisp_input(call, 3);
    uint64_t count = axes ? axes->count : x->rank;
    bool mask[WISP_MAX_RANK];
    if (pads->count != 2 * count || !wisp_axis_mask(axes, x->rank, mask)) return false;
    for (int i = 0; i < x->rank; i++) begin[i] = 0, dims[i] = x->dims[i];
    for (uint64_t i = 0; i < count; i++) {
        int axis = axes ? wisp_axis(wisp_integer_at(axes, i), x->rank) : (int)i;
        int64_t before = wisp_integer_at(pads, i), after = wisp_integer_at(pads, count + i);
        if (before < INT32_MIN || before > INT32_MAX || after < INT32_MIN || after > INT32_MAX) return false;
        begin[axis] = before;
        dims[axis] += before + after;
        if (dims[axis] < 0) return false;
        if (WISP_PARAMS(call, Pad)->mode != CONSTANT && x->dims[axis] == 0 && dims[axis] > 0) return false;
    }
    return true;
}

int wisp_prepare_Pad(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK], *state = wisp_legacy_of(call)->state;
    int status = wisp_check_operands(call, 2, 4, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *value = wisp_input(call, 2), *axes = wisp_input(call, 3);
    int32_t mode = WISP_PARAMS(call, Pad)->mode;
    size_t size = wisp_movable_size(call, x);
    if (!size) return WISP_UNSUPPORTED;
    if (x->rank == 0) return wisp_call_fail(call, WISP_UNSUPPORTED, "a scalar has no axis to pad");
    if (mode < CONSTANT || mode > WRAP) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such mode:", mode);
    if (value && (value->count > 1 || value->dtype != x->dtype || value->layout != WISP_LAYOUT_PLAIN))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the pad value must be one element of the input's dtype");
    if (!wisp_is_known_vector(wisp_input(call, 1)) || (axes && !wisp_is_known_vector(axes)))
        return wisp_call_fail(call, WISP_UNSUPPORTED, "pads and axes must be integers known at prepare");
    if (!read_pads(call, &state[BEGIN_PAD], dims)) return wisp_call_fail(call, WISP_BAD_SHAPE, "pads do not fit the input");
    int last = 0;
    for (int i = 0; i < x->rank; i++)
        if (state[i] || dims[i] != x->dims[i]) last = i;
    state[LAST_PADDED] = last;
    state[ROW_SIZE] = (int64_t)(wisp_extent(x->dims, last + 1, x->rank) * size);
    wisp_legacy_of(call)->run = run_pad;
    return wisp_set_output_wide(call, 0, x->dtype, x->rank, dims);
}

WISP_LEGACY(Pad)
