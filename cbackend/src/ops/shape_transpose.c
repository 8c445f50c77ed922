/* Operators that only reorder, cut or repeat: each is one strided view of its input. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "shape.h"

enum { PLAN_SIZE = WISP_VIEW_SIZE(WISP_MAX_RANK), TILE_PLAN_SIZE = sizeof(wisp_view) };
_Static_assert(sizeof(wisp_view) <= WISP_MAX_PLAN, "a view of the most axes is a plan");

/* Row-major strides of input and output, in bytes. */
typedef struct strides {
    int64_t x[WISP_MAX_RANK], y[WISP_MAX_RANK];
} strides;

/* States the output. *view is the node's plan, to which axes can be added; null without elements to move. */
static int start(wisp_call *call, int rank, const int64_t *dims, wisp_view **view, strides *s) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const size_t size = wisp_movable_size(call, x);
    *view = NULL;
    if (!size) return WISP_UNSUPPORTED;
    int status = wisp_set_output_wide(call, 0, x->dtype, rank, dims);
    if (status || !y->count) return status;
    *view = call->plan;
    (*view)->size = (int32_t)size;
    wisp_strides(x->dims, x->rank, size, s->x);
    wisp_strides(y->dims, y->rank, size, s->y);
    return WISP_OK;
}

static int finish(wisp_call *call, wisp_view *v) {
    wisp_view_order(v);
    wisp_set_work(call, wisp_view_steps(v), wisp_move_grain(wisp_view_step_size(v)), 1);
    return WISP_OK;
}

static void copy_steps(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    wisp_view_copy(call->plan, wisp_input(call, 0)->data, wisp_output(call, 0)->data, begin, end);
}

/* ---- Transpose */

static int plan_transpose(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    unsigned seen = 0;
    wisp_view *v;
    strides s;
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
    if ((status = start(call, x->rank, dims, &v, &s)) || !v) return status;
    for (int i = 0; i < x->rank; i++) wisp_view_add(v, dims[i], s.x[perm[i]], s.y[i]);
    return finish(call, v);
}

const wisp_operator wisp_op_Transpose = {.plan = plan_transpose, .range = copy_steps, .plan_size = PLAN_SIZE};

/* ---- Slice: starts, ends, axes, steps are inputs */

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
    if (!extent) return c;
    if (start < 0) start = start < -extent ? -1 : start + extent;
    if (end < 0) end = end < -extent ? -1 : end + extent;
    start = clamp_s64(start, 0, up ? extent : extent - 1);
    end = clamp_s64(end, up ? 0 : -1, up ? extent : extent - 1);
    c.start = start;
    if (up && end > start) c.extent = (end - start - 1) / step + 1;
    if (!up && start > end) c.extent = (start - end - 1) / -step + 1;
    return c;
}

/* Fills cuts[rank of x]; false when the operands contradict each other. */
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

static int plan_slice(wisp_call *call) {
    cut cuts[WISP_MAX_RANK];
    int64_t dims[WISP_MAX_RANK];
    wisp_view *v;
    strides s;
    int status = wisp_check_operands(call, 3, 5, 1);
    if (status) return status;
    if ((status = wisp_wait_for(call, 1, 4))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    for (uint32_t i = 1; i < 5; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && !wisp_is_integers(t)) return wisp_call_fail(call, WISP_UNSUPPORTED, "starts, ends, axes and steps must be integers");
        if (t && (t->count != wisp_input(call, 1)->count || t->count > x->rank))
            return wisp_call_fail(call, WISP_BAD_SHAPE, "starts, ends, axes and steps must have one value for each axis cut");
    }
    if (!read_cuts(call, cuts)) return wisp_call_fail(call, WISP_BAD_SHAPE, "axes are out of range or repeat, or a step is 0");
    for (int i = 0; i < x->rank; i++) dims[i] = cuts[i].extent;
    if ((status = start(call, x->rank, dims, &v, &s)) || !v) return status;
    for (int i = 0; i < x->rank; i++) {
        v->x_offset += cuts[i].start * s.x[i];
        if (dims[i] > 1) wisp_view_add(v, dims[i], cuts[i].step * s.x[i], s.y[i]); /* the step over a single one may be any number */
    }
    return finish(call, v);
}

const wisp_operator wisp_op_Slice = {.plan = plan_slice, .range = copy_steps, .plan_size = PLAN_SIZE};

/* ---- Expand and Tile: strides of 0 */

static int plan_expand(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    wisp_view *v;
    strides s;
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *shape = wisp_input(call, 1);
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    if (!wisp_is_integers(shape)) return wisp_call_fail(call, WISP_UNSUPPORTED, "the shape must be integers");
    if (shape->count > WISP_MAX_RANK) return wisp_call_fail(call, WISP_UNSUPPORTED, "more than 8 axes in the new shape");
    int count = (int)shape->count, rank = count > x->rank ? count : x->rank;
    for (int i = 0; i < rank; i++) {
        int ix = i - (rank - x->rank), is = i - (rank - count);
        int64_t a = ix < 0 ? 1 : x->dims[ix], b = is < 0 ? 1 : wisp_integer_at(shape, (uint64_t)is);
        if (a != b && a != 1 && b != 1) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "input does not broadcast to an extent of", b);
        dims[i] = a == 1 ? b : a;
    }
    if ((status = start(call, rank, dims, &v, &s)) || !v) return status;
    for (int i = 0, lead = rank - x->rank; i < rank; i++)
        wisp_view_add(v, dims[i], i < lead || x->dims[i - lead] == 1 ? 0 : s.x[i - lead], s.y[i]);
    return finish(call, v);
}

const wisp_operator wisp_op_Expand = {.plan = plan_expand, .range = copy_steps, .plan_size = PLAN_SIZE};

static int plan_tile(wisp_call *call) {
    int64_t dims[WISP_MAX_RANK];
    wisp_view *v;
    strides s;
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *repeats = wisp_input(call, 1);
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    if (!wisp_is_integers(repeats) || repeats->count != x->rank)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "repeats must be integers, one for each axis");
    for (int i = 0; i < x->rank; i++) {
        int64_t times = wisp_integer_at(repeats, (uint64_t)i);
        if (times < 0 || times > INT32_MAX) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "cannot repeat this often:", times);
        dims[i] = x->dims[i] * times;
    }
    if ((status = start(call, x->rank, dims, &v, &s)) || !v) return status;
    for (int i = 0; i < x->rank; i++) {
        wisp_view_add(v, dims[i] / x->dims[i], 0, s.y[i] * x->dims[i]);
        wisp_view_add(v, x->dims[i], s.x[i], s.y[i]);
    }
    return finish(call, v);
}

const wisp_operator wisp_op_Tile = {.plan = plan_tile, .range = copy_steps, .plan_size = TILE_PLAN_SIZE};
