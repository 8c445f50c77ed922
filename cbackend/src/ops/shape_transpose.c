/* Operators that only reorder, cut or repeat: each is one strided view of its input. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shape.h"

/* Each operator states how to see its input as the output's elements in order. Output and input are not empty. */
typedef wisp_view make_view_fn(const wisp_call *call);

/* node->state[0] is that function itself, not an index into a list of all: a build then links only those in use. */
static wisp_view make_view(const wisp_call *call) {
    return ((make_view_fn *)(uintptr_t)wisp_legacy_of(call)->state[0])(call);
}

static void copy_steps(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    wisp_view v = make_view(call);
    wisp_view_copy(&v, begin, end);
}

static int run_view(wisp_call *call) {
    if (wisp_output(call, 0)->count == 0) return WISP_OK;
    wisp_view v = make_view(call);
    wisp_parallel(call, wisp_view_steps(&v), wisp_view_grain(&v), copy_steps);
    return WISP_OK;
}

static int bind(wisp_call *call, int rank, const int64_t *dims, make_view_fn *make) {
    const wisp_tensor *x = wisp_input(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    wisp_legacy_of(call)->run = run_view;
    wisp_legacy_of(call)->state[0] = (int64_t)(uintptr_t)make;
    return wisp_set_output_wide(call, 0, x->dtype, rank, dims);
}

/* ---- Transpose */

static wisp_view view_transpose(const wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int32_t *perm = wisp_ints_of(call, WISP_PARAMS(call, Transpose)->perm);
    int64_t xs[WISP_MAX_RANK], ys[WISP_MAX_RANK];
    size_t size = wisp_dtype_size(x->dtype);
    wisp_view v = wisp_view_start(x->data, y->data, size);
    wisp_strides(x->dims, x->rank, size, xs);
    wisp_strides(y->dims, y->rank, size, ys);
    for (int i = 0; i < y->rank; i++) wisp_view_axis(&v, y->dims[i], xs[perm[i]], ys[i]);
    return v;
}

int wisp_prepare_Transpose(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    unsigned seen = 0;
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    const wisp_ints axes = WISP_PARAMS(call, Transpose)->perm;
    const int32_t *perm = wisp_ints_of(call, axes);
    if (axes.count != x->rank) return wisp_call_fail(call, WISP_BAD_FILE, "perm is not a permutation");
    for (int i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank || seen & 1u << perm[i])
            return wisp_call_fail(call, WISP_BAD_FILE, "perm is not a permutation");
        seen |= 1u << perm[i];
        dims[i] = x->dims[perm[i]];
    }
    return bind(call, x->rank, dims, view_transpose);
}

/* ---- Slice: starts, ends, axes, steps are inputs known at prepare */

typedef struct cut {
    int64_t start, step, extent;
} cut;

static int64_t clamp_s64(int64_t v, int64_t lo, int64_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

/* ONNX's rule: negative positions count from the end, then both are clamped to where the step can go. */
static cut cut_axis(int64_t extent, int64_t start, int64_t end, int64_t step) {
    int64_t up = step > 0;
    cut c = {0, step, 0};
    if (start < 0) start = start < -extent ? -1 : start + extent;
    if (end < 0) end = end < -extent ? -1 : end + extent;
    start = clamp_s64(start, 0, up ? extent : extent - 1);
    end = clamp_s64(end, up ? 0 : -1, up ? extent : extent - 1);
    c.start = start;
    if (up && end > start) c.extent = (end - start - 1) / step + 1;
    if (!up && start > end) c.extent = (start - end - 1) / -step + 1;
    return c;
}

/* Fills cuts[rank of x]. Operands were checked, or this is the check: false when they contradict each other. */
static bool read_cuts(const wisp_call *call, cut *cuts) {
    const wisp_tensor *x = wisp_input(call, 0), *starts = wisp_input(call, 1), *ends = wisp_input(call, 2);
    const wisp_tensor *axes = wisp_input(call, 3), *steps = wisp_input(call, 4);
    unsigned seen = 0;
    for (int i = 0; i < x->rank; i++) cuts[i] = (cut){0, 1, x->dims[i]};
    for (uint64_t i = 0; i < starts->count; i++) {
        int axis = wisp_axis(axes ? wisp_integer_at(axes, i) : (int64_t)i, x->rank);
        int64_t step = steps ? wisp_integer_at(steps, i) : 1;
        if (axis < 0 || step == 0 || step == INT64_MIN || seen & 1u << axis) return false;
        seen |= 1u << axis;
        cuts[axis] = cut_axis(x->dims[axis], wisp_integer_at(starts, i), wisp_integer_at(ends, i), step);
    }
    return true;
}

static wisp_view view_slice(const wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t xs[WISP_MAX_RANK], ys[WISP_MAX_RANK];
    cut cuts[WISP_MAX_RANK];
    size_t size = wisp_dtype_size(x->dtype);
    wisp_view v = wisp_view_start(x->data, y->data, size);
    wisp_strides(x->dims, x->rank, size, xs);
    wisp_strides(y->dims, y->rank, size, ys);
    read_cuts(call, cuts);
    for (int i = 0; i < x->rank; i++) {
        v.x += cuts[i].start * xs[i];
        if (y->dims[i] > 1) wisp_view_axis(&v, y->dims[i], cuts[i].step * xs[i], ys[i]);
    }
    return v;
}

int wisp_prepare_Slice(wisp_call *call) {
    cut cuts[WISP_MAX_RANK];
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 3, 5, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    for (uint32_t i = 1; i < 5; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && !wisp_is_known_vector(t))
            return wisp_call_fail(call, WISP_UNSUPPORTED, "starts, ends, axes and steps must be integers known at prepare");
        if (t && (t->count != wisp_input(call, 1)->count || t->count > x->rank))
            return wisp_call_fail(call, WISP_BAD_SHAPE, "starts, ends, axes and steps must have one value for each axis cut");
    }
    if (!read_cuts(call, cuts)) return wisp_call_fail(call, WISP_BAD_SHAPE, "axes are out of range or repeat, or a step is 0");
    for (int i = 0; i < x->rank; i++) dims[i] = cuts[i].extent;
    return bind(call, x->rank, dims, view_slice);
}

/* ---- Expand and Tile: strides of 0 */

static wisp_view view_expand(const wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t xs[WISP_MAX_RANK], ys[WISP_MAX_RANK];
    int lead = y->rank - x->rank;
    size_t size = wisp_dtype_size(x->dtype);
    wisp_view v = wisp_view_start(x->data, y->data, size);
    wisp_strides(x->dims, x->rank, size, xs);
    wisp_strides(y->dims, y->rank, size, ys);
    for (int i = 0; i < y->rank; i++) wisp_view_axis(&v, y->dims[i], i < lead || x->dims[i - lead] == 1 ? 0 : xs[i - lead], ys[i]);
    return v;
}

int wisp_prepare_Expand(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *shape = wisp_input(call, 1);
    if (!wisp_is_known_vector(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers known at prepare");
    if (shape->count > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the new shape");
    int count = (int)shape->count, rank = count > x->rank ? count : x->rank;
    for (int i = 0; i < rank; i++) {
        int ix = i - (rank - x->rank), is = i - (rank - count);
        int64_t a = ix < 0 ? 1 : x->dims[ix], b = is < 0 ? 1 : wisp_integer_at(shape, (uint64_t)is);
        if (a != b && a != 1 && b != 1) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "input does not broadcast to an extent of", b);
        dims[i] = a == 1 ? b : a;
    }
    return bind(call, rank, dims, view_expand);
}

static wisp_view view_tile(const wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t xs[WISP_MAX_RANK], ys[WISP_MAX_RANK];
    size_t size = wisp_dtype_size(x->dtype);
    wisp_view v = wisp_view_start(x->data, y->data, size);
    wisp_strides(x->dims, x->rank, size, xs);
    wisp_strides(y->dims, y->rank, size, ys);
    for (int i = 0; i < y->rank; i++) {
        wisp_view_axis(&v, y->dims[i] / x->dims[i], 0, ys[i] * x->dims[i]);
        wisp_view_axis(&v, x->dims[i], xs[i], ys[i]);
    }
    return v;
}

int wisp_prepare_Tile(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *repeats = wisp_input(call, 1);
    if (!wisp_is_known_vector(repeats) || repeats->count != x->rank)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "repeats must be integers known at prepare, one for each axis");
    for (int i = 0; i < x->rank; i++) {
        int64_t times = wisp_integer_at(repeats, (uint64_t)i);
        if (times < 0 || times > INT32_MAX) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "cannot repeat this often:", times);
        dims[i] = x->dims[i] * times;
    }
    return bind(call, x->rank, dims, view_tile);
}

WISP_LEGACY(Transpose)
WISP_LEGACY(Slice)
WISP_LEGACY(Expand)
WISP_LEGACY(Tile)
