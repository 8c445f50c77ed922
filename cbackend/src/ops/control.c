/* Control flow: If and Loop run a graph of the file, as often as the data says. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../op.h"

/* ---- shared */

static bool same_dims(const wisp_tensor *a, const wisp_tensor *b) {
    return a->rank == b->rank && !memcmp(a->dims, b->dims, sizeof(int32_t) * (size_t)a->rank);
}

static bool known(const wisp_tensor *t) {
    return t->flags & WISP_TENSOR_KNOWN;
}

static bool same_kind(const wisp_tensor *a, const wisp_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank && a->scale == b->scale && a->zero_point == b->zero_point;
}

/* One bool of a condition that is there. */
static int check_condition(wisp_call *call, const wisp_tensor *t) {
    if (t->dtype != WISP_BOOL || t->layout != WISP_LAYOUT_PLAIN || t->count != 1)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the condition must be one bool");
    return WISP_OK;
}

static void copy_value(const wisp_tensor *from, const wisp_tensor *to) {
    if (to && to->size && from->data != to->data) memcpy(to->data, from->data, (size_t)to->size);
}

/* ---- If: begin runs the branch, range copies its results, which have their place by then */

typedef struct if_plan {
    uint32_t taken; /* of the run under way: a graph */
} if_plan;

static int plan_if(wisp_call *call) {
    const wisp_If_params *p = WISP_PARAMS(call, If);
    const uint32_t branches[2] = {p->then_branch, p->else_branch};
    int status = wisp_check_operands(call, 1, 1, call->output_count);
    if (status || (status = check_condition(call, wisp_input(call, 0)))) return status;
    for (int b = 0; b < 2; b++) {
        if (wisp_graph_input_count(call, branches[b]) || wisp_graph_output_count(call, branches[b]) != call->output_count)
            return wisp_call_fail(call, WISP_BAD_FILE, "inputs or outputs of a branch do not fit");
        if ((status = wisp_plan_graph(call, branches[b], false))) return status;
    }
    for (uint32_t i = 0; i < call->output_count; i++) {
        const wisp_tensor *a = wisp_graph_output(call, branches[0], i), *b = wisp_graph_output(call, branches[1], i);
        const wisp_tensor *y = wisp_output(call, i);
        if (!same_kind(a, b) || (y && !same_kind(a, y)))
            return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype, rank or scale of the branches do not fit output", i);
        if (known(a) && known(b) && same_dims(a, b))
            status = wisp_set_output(call, i, a->dtype, a->rank, a->dims);
        else
            wisp_size_later(call);
        if (status) return status;
    }
    wisp_set_work(call, 1, 1, 1);
    return WISP_OK;
}

static int begin_if(wisp_call *call) {
    const wisp_If_params *p = WISP_PARAMS(call, If);
    if_plan *plan = call->plan;
    plan->taken = *(const uint8_t *)wisp_input(call, 0)->data ? p->then_branch : p->else_branch;
    int status = wisp_run_graph(call, plan->taken);
    for (uint32_t i = 0; i < call->output_count && !status; i++) {
        const wisp_tensor *from = wisp_graph_output(call, plan->taken, i), *y = wisp_output(call, i);
        if (y && !known(y)) status = wisp_set_output(call, i, from->dtype, from->rank, from->dims);
    }
    return status;
}

/* Reaches the branch's outputs through the session, as only control operators do. */
static void range_if(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const if_plan *plan = call->plan;
    (void)thread, (void)begin, (void)end;
    for (uint32_t i = 0; i < call->output_count; i++) copy_value(wisp_graph_output(call, plan->taken, i), wisp_output(call, i));
}

const wisp_operator wisp_op_If = {.plan = plan_if, .begin = begin_if, .range = range_if, .plan_size = sizeof(if_plan)};

/* ---- Loop: carried values exchange their memory after each iteration; scan values are copied behind one another */

enum { ITERATION, CONDITION, CARRIED }; /* inputs of the body; its outputs: condition, carried values, scan values */

enum { FIRST_CAPACITY = 16 }; /* iterations there is room for at first, where the trip count does not say */

typedef struct loop_plan {
    uint32_t body, carried, scans;
} loop_plan;

static wisp_tensor *carried_in(const wisp_call *call, const loop_plan *p, uint32_t i) {
    return wisp_graph_input(call, p->body, CARRIED + i);
}
static wisp_tensor *carried_out(const wisp_call *call, const loop_plan *p, uint32_t i) {
    return wisp_graph_output(call, p->body, 1 + i);
}

static bool is_single(const wisp_tensor *t, int dtype) {
    return t->dtype == dtype && t->rank <= 1 && t->layout == WISP_LAYOUT_PLAIN;
}

static int check_loop(wisp_call *call, loop_plan *p) {
    const wisp_tensor *trips = wisp_input(call, 0), *condition = wisp_input(call, 1);
    if (call->input_count < 2) return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong number of inputs:", call->input_count);
    p->body = WISP_PARAMS(call, Loop)->body;
    p->carried = call->input_count - 2u;
    if (call->output_count < p->carried || wisp_graph_input_count(call, p->body) != CARRIED + p->carried ||
        wisp_graph_output_count(call, p->body) != 1u + call->output_count)
        return wisp_call_fail(call, WISP_BAD_FILE, "inputs or outputs of the body do not fit");
    p->scans = call->output_count - p->carried;
    if (trips && (!is_single(trips, WISP_S64) || trips->count != 1))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the trip count must be one s64");
    if (!is_single(wisp_graph_input(call, p->body, ITERATION), WISP_S64) ||
        !is_single(wisp_graph_input(call, p->body, CONDITION), WISP_BOOL) || !is_single(wisp_graph_output(call, p->body, 0), WISP_BOOL))
        return wisp_call_fail(call, WISP_BAD_FILE, "iteration or condition of the body must be one s64, one bool");
    for (uint32_t i = 0; i < call->output_count; i++) {
        const wisp_tensor *out = wisp_graph_output(call, p->body, 1 + i), *y = wisp_output(call, i);
        const bool scan = i >= p->carried;
        if (y && (y->dtype != out->dtype || y->rank != out->rank + scan || y->scale != out->scale || y->zero_point != out->zero_point))
            return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype, rank or scale of the body do not fit output", i);
    }
    return condition ? check_condition(call, condition) : WISP_OK;
}

/* Iteration and condition of the body, by whichever rank they have, then the carried values. *changed: some dims are new. */
static int set_body_inputs(wisp_call *call, const loop_plan *p, bool *changed) {
    int status = WISP_OK;
    *changed = false;
    for (uint32_t i = 0; i < CARRIED + p->carried && !status; i++) {
        wisp_tensor like = *wisp_graph_input(call, p->body, i);
        if (i < CARRIED) {
            like.dims[0] = like.rank ? 1 : 0;
        } else {
            const wisp_tensor *x = wisp_input(call, 2 + i - CARRIED), *out = carried_out(call, p, i - CARRIED);
            if (!x || !same_kind(x, out) || x->layout != WISP_LAYOUT_PLAIN)
                return wisp_call_fail_value(call, WISP_BAD_FILE, "missing, or the body changes its dtype, rank or scale: input",
                                            2 + i - CARRIED);
            like = *x;
        }
        const wisp_tensor *to = wisp_graph_input(call, p->body, i);
        if (!known(to) || !same_dims(to, &like)) *changed = true;
        status = wisp_set_graph_input(call, p->body, i, &like);
    }
    return status;
}

static int plan_loop(wisp_call *call) {
    loop_plan *p = call->plan;
    bool changed;
    int status = check_loop(call, p);
    if (status || (status = set_body_inputs(call, p, &changed)) || (status = wisp_plan_graph(call, p->body, false))) return status;
    if (known(wisp_graph_output(call, p->body, 0)) && wisp_graph_output(call, p->body, 0)->count != 1)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the body's condition must be one bool");
    for (uint32_t i = 0; i < p->carried; i++) {
        const wisp_tensor *in = carried_in(call, p, i), *out = carried_out(call, p, i);
        if (known(out) && same_dims(in, out))
            status = wisp_set_output(call, i, in->dtype, in->rank, in->dims);
        else
            wisp_size_later(call);
        if (status) return status;
    }
    if (p->scans) wisp_size_later(call);
    wisp_set_work(call, 1, 1, 1);
    return WISP_OK;
}

/* Room for `capacity` values of scan s; those of `done` iterations keep their values. */
static int make_room(wisp_call *call, const loop_plan *p, uint32_t s, int64_t capacity, int64_t done) {
    const wisp_tensor *one = wisp_graph_output(call, p->body, 1 + p->carried + s);
    int32_t dims[WISP_MAX_RANK] = {0};
    if (!wisp_output(call, p->carried + s)) return WISP_OK;
    if (one->rank >= WISP_MAX_RANK || capacity > INT32_MAX)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "too many axes or iterations: output", p->carried + s);
    dims[0] = (int32_t)capacity;
    for (int d = 0; d < one->rank; d++) dims[d + 1] = one->dims[d] < 0 ? 0 : one->dims[d]; /* never run: nothing to know */
    return wisp_enlarge_output(call, p->carried + s, dims, (uint64_t)done * (known(one) ? one->size : 0));
}

static int collect_scans(wisp_call *call, const loop_plan *p, int64_t done, int64_t trips, int64_t *capacity) {
    int status = WISP_OK;
    const bool grow = done >= *capacity;
    if (grow) {
        int64_t first = trips < 0 || trips > FIRST_CAPACITY * 64 ? FIRST_CAPACITY : trips;
        *capacity = *capacity ? 2 * *capacity : first;
    }
    for (uint32_t s = 0; s < p->scans && !status; s++) {
        const wisp_tensor *one = wisp_graph_output(call, p->body, 1 + p->carried + s), *y = wisp_output(call, p->carried + s);
        if (!y) continue;
        if (grow && (status = make_room(call, p, s, *capacity, done))) return status;
        if (memcmp(y->dims + 1, one->dims, sizeof(int32_t) * (size_t)one->rank))
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "extents change from one iteration to the next: output", p->carried + s);
        if (one->size) memcpy((uint8_t *)y->data + (uint64_t)done * one->size, one->data, (size_t)one->size);
    }
    return status;
}

/* What the body made becomes what it reads. *changed: with other dims, so that the body must be planned again. */
static void carry(wisp_call *call, const loop_plan *p, bool *changed) {
    *changed = false;
    for (uint32_t i = 0; i < p->carried; i++) {
        wisp_tensor *in = carried_in(call, p, i), *out = carried_out(call, p, i);
        if (!same_dims(in, out)) *changed = true;
        wisp_exchange(call, in, out);
    }
}

static int run_loop(wisp_call *call, const loop_plan *p, int64_t *iterations) {
    const wisp_tensor *trips_in = wisp_input(call, 0), *condition = wisp_input(call, 1);
    const int64_t trips = trips_in ? wisp_integer_at(trips_in, 0) : -1;
    bool go = !condition || *(const uint8_t *)condition->data, changed = false;
    int64_t done = 0, capacity = 0;
    for (; go && (!trips_in || done < trips); done++) {
        int status = changed ? wisp_plan_graph(call, p->body, true) : WISP_OK;
        if (status) return status;
        *(int64_t *)wisp_graph_input(call, p->body, ITERATION)->data = done;
        *(uint8_t *)wisp_graph_input(call, p->body, CONDITION)->data = 1;
        if ((status = wisp_run_graph(call, p->body)) || (status = collect_scans(call, p, done, trips, &capacity))) return status;
        go = *(const uint8_t *)wisp_graph_output(call, p->body, 0)->data != 0;
        carry(call, p, &changed);
    }
    *iterations = done;
    return WISP_OK;
}

static int begin_loop(wisp_call *call) {
    const loop_plan *p = call->plan;
    int64_t iterations = 0;
    bool changed;
    int status = set_body_inputs(call, p, &changed);
    if (status || (status = wisp_plan_graph(call, p->body, changed))) return status;
    for (uint32_t i = 0; i < p->carried; i++) copy_value(wisp_input(call, 2 + i), carried_in(call, p, i));
    if ((status = run_loop(call, p, &iterations))) return status;
    for (uint32_t s = 0; s < p->scans && !status; s++) status = make_room(call, p, s, iterations, iterations);
    for (uint32_t i = 0; i < p->carried && !status; i++) {
        const wisp_tensor *last = carried_in(call, p, i), *y = wisp_output(call, i);
        if (y && !known(y)) status = wisp_set_output(call, i, last->dtype, last->rank, last->dims);
    }
    return status;
}

static void range_loop(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const loop_plan *p = call->plan;
    (void)thread, (void)begin, (void)end;
    for (uint32_t i = 0; i < p->carried; i++) copy_value(carried_in(call, p, i), wisp_output(call, i));
}

const wisp_operator wisp_op_Loop = {.plan = plan_loop, .begin = begin_loop, .range = range_loop, .plan_size = sizeof(loop_plan)};
