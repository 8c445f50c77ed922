/* The operator table from ops.def, and what operators call: errors, operand checks, statements of a plan. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

/* ---- the table */

#define OP(code, name, traits, params) extern const wisp_operator wisp_op_##name;
#include "ops.def"
#undef OP

#ifndef WISP_OPERATORS
#define WISP_OPERATORS "ops.def" /* a build with WISP_OPS has its own, shorter list */
#endif

enum { /* as ops.def writes them */
       ELEMENTWISE = WISP_ELEMENTWISE,
       UNARY = WISP_UNARY,
       MOVES = WISP_MOVES,
       VIEW = WISP_VIEW,
       IN_PLACE = WISP_IN_PLACE,
       JOINS = WISP_JOINS,
       DIMS = WISP_DIMS,
       WEIGHTS = 0, /* this and the next: for the converter */
       SCRATCH = 0
};

static const wisp_operator_entry operators[] = {
#define I(name) "i"
#define F(name) "f"
#define V(name) "vv"
#define G(name) "g"
#define NONE ""
#define OP(code, name, traits, params) {code, traits, sizeof(params) - 1, params, #name, &wisp_op_##name},
#include WISP_OPERATORS
#undef OP
#undef NONE
#undef G
#undef V
#undef F
#undef I
};

const wisp_operator_entry *wisp_find_operator(uint16_t code) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (operators[i].code == code) return &operators[i];
    return NULL;
}

wisp_call wisp_make_call(wisp_session *s, uint32_t index, wisp_error *error) {
    wisp_node *node = &s->nodes[index];
    uint8_t *shared = s->arena ? s->arena + s->header->state_size : NULL;
    return (wisp_call){.tensors = s->tensors,
                       .operands = node->operands,
                       .params = node->params,
                       .plan = node->plan,
                       .shared = shared,
                       .scratch = shared ? shared + s->shared_size : NULL,
                       .scratch_size = s->scratch_size,
                       .code = node->code,
                       .input_count = node->input_count,
                       .output_count = node->output_count,
                       .node = node,
                       .session = s,
                       .error = error};
}

/* ---- errors and checks */

int wisp_call_fail(wisp_call *call, int status, const char *message) {
    wisp_error *error = call->error;
    wisp_error_set(error, status, "node", wisp_file_string(&call->session->model, call->node->name));
    wisp_error_text(error, " (");
    wisp_error_text(error, wisp_find_operator(call->code)->name);
    wisp_error_text(error, "): ");
    wisp_error_text(error, message);
    return status;
}

int wisp_call_fail_value(wisp_call *call, int status, const char *message, int64_t value) {
    wisp_call_fail(call, status, message);
    wisp_error_text(call->error, " ");
    wisp_error_number(call->error, value);
    return status;
}

int wisp_check_operands(wisp_call *call, uint32_t min_inputs, uint32_t max_inputs, uint32_t outputs) {
    if (call->input_count < min_inputs || call->input_count > max_inputs)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong number of inputs:", call->input_count);
    if (call->output_count != outputs) return wisp_call_fail_value(call, WISP_BAD_FILE, "wrong number of outputs:", call->output_count);
    for (uint32_t i = 0; i < min_inputs; i++)
        if (!wisp_input(call, i)) return wisp_call_fail_value(call, WISP_BAD_FILE, "missing input", i);
    if (outputs == 1 && !wisp_output(call, 0)) return wisp_call_fail(call, WISP_BAD_FILE, "missing output");
    return WISP_OK;
}

/* ---- statements of a plan */

int wisp_set_output(wisp_call *call, uint32_t i, int dtype, int rank, const int32_t *dims) {
    wisp_tensor *t = wisp_output(call, i);
    if (!t) return WISP_OK;
    if (t->dtype != dtype) return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype in the file does not fit output", i);
    if (t->rank != rank) return wisp_call_fail_value(call, WISP_BAD_FILE, "rank in the file does not fit output", i);
    for (int d = 0; d < rank; d++) {
        if (dims[d] < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "negative extent of output", i);
        if (t->dims[d] >= 0 && t->dims[d] != dims[d])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "inputs do not give the shape the file states for output", i);
        t->dims[d] = dims[d];
    }
    if (wisp_measure(call->session, t)) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "too large: output", i);
    return WISP_OK;
}

const void *wisp_call_kernel(const wisp_call *call, int slot) {
    wisp_session *s = call->session;
    s->slots[slot / 32] |= UINT32_C(1) << slot % 32;
    if (!wisp_is_filled(&wisp_kernels_scalar, slot)) s->lacks_kernel = true;
    return wisp_find_kernel(s->cpu_mask, slot);
}

int wisp_wait_for(wisp_call *call, uint32_t first, uint32_t last) {
    for (uint32_t i = first; i <= last; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && !(t->flags & WISP_TENSOR_VALUED)) return WISP_LATER;
    }
    return WISP_OK;
}

void wisp_size_later(wisp_call *call) {
    call->node->flags |= WISP_NODE_SIZED_IN_RUN;
}

void wisp_set_work(wisp_call *call, int64_t items, int64_t grain, uint32_t phases) {
    call->node->items = items;
    call->node->grain = grain < 1 ? 1 : grain < UINT32_MAX ? (uint32_t)grain : UINT32_MAX;
    call->node->phases = phases;
}

void wisp_need_scratch(wisp_call *call, uint64_t shared, uint64_t each) {
    wisp_session *s = call->session;
    s->plan_shared = shared < WISP_MAX_TOTAL_SIZE ? round_up(shared, WISP_ALIGNMENT) : WISP_MAX_TOTAL_SIZE;
    s->plan_scratch = each < WISP_MAX_TOTAL_SIZE ? round_up(each, WISP_ALIGNMENT) : WISP_MAX_TOTAL_SIZE;
    wisp_could_use_scratch(call, shared, each);
}

void wisp_could_use_scratch(wisp_call *call, uint64_t shared, uint64_t each) {
    wisp_session *s = call->session;
    if (shared > s->could_shared && shared < WISP_MAX_TOTAL_SIZE) s->could_shared = round_up(shared, WISP_ALIGNMENT);
    if (each > s->could_scratch && each < WISP_MAX_TOTAL_SIZE) s->could_scratch = round_up(each, WISP_ALIGNMENT);
}

uint64_t wisp_shared_limit(const wisp_call *call) {
    return call->session->lives ? UINT64_MAX : call->session->header->shared_size;
}

uint64_t wisp_scratch_limit(const wisp_call *call) {
    return call->session->lives ? UINT64_MAX : call->session->header->scratch_size;
}

/* ---- graphs of a node */

static wisp_tensor *graph_operand(const wisp_call *call, const wisp_file_graph *graph, uint32_t i) {
    return &call->tensors[call->session->operands[graph->operands + i]];
}

wisp_tensor *wisp_graph_input(const wisp_call *call, uint32_t g, uint32_t i) {
    const wisp_file_graph *graph = &call->session->graphs[g];
    return i < graph->input_count ? graph_operand(call, graph, i) : NULL;
}

wisp_tensor *wisp_graph_output(const wisp_call *call, uint32_t g, uint32_t i) {
    const wisp_file_graph *graph = &call->session->graphs[g];
    return i < graph->output_count ? graph_operand(call, graph, graph->input_count + i) : NULL;
}

uint32_t wisp_graph_input_count(const wisp_call *call, uint32_t g) {
    return call->session->graphs[g].input_count;
}

uint32_t wisp_graph_output_count(const wisp_call *call, uint32_t g) {
    return call->session->graphs[g].output_count;
}

int wisp_set_graph_input(wisp_call *call, uint32_t g, uint32_t i, const wisp_tensor *like) {
    wisp_tensor *t = wisp_graph_input(call, g, i);
    if (!t || t->dtype != like->dtype || t->rank != like->rank || t->scale != like->scale || t->zero_point != like->zero_point)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "dtype, rank or scale do not fit the body's input", i);
    const int32_t *stated = call->session->file_tensors[t - call->tensors].dims;
    for (int d = 0; d < t->rank; d++)
        if (stated[d] >= 0 && stated[d] != like->dims[d])
            return wisp_call_fail_value(call, WISP_BAD_SHAPE, "shape does not fit the body's input", i);
    if (t->flags & WISP_TENSOR_KNOWN && !memcmp(t->dims, like->dims, sizeof(int32_t) * t->rank)) return WISP_OK;
    wisp_forget_tensor(call->session, (uint32_t)(t - call->tensors));
    wisp_unplace(call->session);
    memcpy(t->dims, like->dims, sizeof(int32_t) * t->rank);
    if (wisp_measure(call->session, t)) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "too large: the body's input", i);
    return WISP_OK;
}

/* ---- helpers */

int64_t wisp_integer_at(const wisp_tensor *t, uint64_t i) {
    if (t->dtype == WISP_S64) return ((const int64_t *)t->data)[i];
    return ((const int32_t *)t->data)[i];
}

int wisp_broadcast(const wisp_tensor *a, const wisp_tensor *b, int32_t *dims) {
    int rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int32_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        if (da != db && da != 1 && db != 1) return -1;
        dims[i] = da == 1 ? db : da;
    }
    return rank;
}
