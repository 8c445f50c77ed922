/* Prepare, bind and run: shapes and kernels are settled here, then a run is a loop over nodes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

#define UNDEFINED UINT32_MAX /* first_use of a tensor no node has produced yet */
#define UNPLACED UINT64_MAX

enum { WISP_MAX_THREADS = 64 };

#ifndef WISP_VERSION
#define WISP_VERSION "unknown"
#endif

const char *wisp_version(void) {
    return WISP_VERSION;
}

static wisp_call make_call(wisp_session *s, uint32_t node, wisp_error *error) {
    return (wisp_call){s, s->cpu_mask, &s->kernels, &s->nodes[node], s->tensors, error};
}

static const char *tensor_name(const wisp_session *s, uint32_t index) {
    return wisp_file_string(&s->model, wisp_file_tensors(&s->model)[index].name);
}

static const wisp_file_header *header_of(const wisp_session *s) {
    return s->model.header;
}

/* ---- prepare */

static int32_t bind_tensors(wisp_session *s, const wisp_options *options, wisp_error *error) {
    const wisp_file_tensor *files = wisp_file_tensors(&s->model);
    const uint8_t *weights = s->model.sections[WISP_SECTION_WEIGHTS];
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const wisp_file_tensor *f = &files[i];
        wisp_tensor *t = &s->tensors[i];
        memcpy(t->dims, f->dims, sizeof t->dims);
        t->dtype = f->dtype, t->rank = f->rank, t->kind = f->kind, t->layout = f->layout;
        t->scale = f->scale, t->zero_point = f->zero_point;
        t->size = f->size, t->offset = f->offset;
        t->first_use = UNDEFINED;
        if (f->kind != WISP_KIND_CONSTANT) continue;
        t->data = (void *)(uintptr_t)(weights + f->offset);
        t->count = wisp_extent(t->dims, 0, t->rank);
        t->first_use = 0;
    }
    const uint32_t *inputs = s->model.sections[WISP_SECTION_INPUTS];
    for (uint32_t i = 0; i < wisp_input_count(&s->model); i++) {
        wisp_tensor *t = &s->tensors[inputs[i]];
        if (t->first_use != UNDEFINED) return wisp_error_set(error, WISP_BAD_FILE, "listed twice: input", tensor_name(s, inputs[i]));
        for (int d = 0; d < t->rank; d++) {
            if (t->dims[d] >= 0) continue;
            uint32_t symbol = (uint32_t)(-1 - t->dims[d]);
            if (symbol >= options->symbol_count || options->symbols[symbol] < 0) {
                wisp_error_set(error, WISP_BAD_SHAPE, "bind axis", wisp_symbol_name(&s->model, symbol));
                wisp_error_text(error, " of input '");
                wisp_error_text(error, tensor_name(s, inputs[i]));
                wisp_error_text(error, "' to an extent first");
                return WISP_BAD_SHAPE;
            }
            t->dims[d] = options->symbols[symbol];
        }
        t->size = wisp_tensor_bytes(t->dtype, WISP_LAYOUT_PLAIN, t->rank, t->dims);
        if (t->size == UINT64_MAX || (s->total_size += t->size) >= WISP_MAX_TOTAL_SIZE)
            return wisp_error_set(error, WISP_BAD_SHAPE, "too large: input", tensor_name(s, inputs[i]));
        t->count = wisp_extent(t->dims, 0, t->rank);
        t->first_use = 0;
    }
    return WISP_OK;
}

/* Every operand defined before it is used, every tensor defined once. */
static int check_order(wisp_call *call, uint32_t time) {
    const wisp_node *node = call->node;
    for (uint32_t i = 0; i < node->input_count; i++) {
        wisp_tensor *t = wisp_input(call, i);
        if (!t) continue;
        if (t->first_use == UNDEFINED) return wisp_call_fail_value(call, WISP_BAD_FILE, "not computed before it is used: input", i);
        t->last_use = time;
    }
    for (uint32_t i = 0; i < node->output_count; i++) {
        wisp_tensor *t = wisp_output(call, i);
        if (!t) continue;
        if (t->first_use != UNDEFINED) return wisp_call_fail_value(call, WISP_BAD_FILE, "computed twice: output", i);
        t->first_use = t->last_use = time;
    }
    return WISP_OK;
}

/* An operator on shapes and constants: its value is needed to infer later shapes, so it runs now. */
static int run_at_prepare(wisp_call *call) {
    wisp_session *s = call->session;
    if (call->node->scratch_size) return wisp_call_fail(call, WISP_UNSUPPORTED, "this operator cannot run at prepare");
    for (uint32_t i = 0; i < call->node->input_count; i++) {
        const wisp_tensor *t = wisp_input(call, i);
        if (t && !t->data && !(call->node->flags & WISP_NODE_READS_SHAPES))
            return wisp_call_fail_value(call, WISP_BAD_FILE, "runs at prepare but is not known by then: input", i);
    }
    for (uint32_t i = 0; i < call->node->output_count; i++) {
        wisp_tensor *t = wisp_output(call, i);
        if (t) t->data = s->shape_memory + t->offset; /* dims are static: wisp_open checked the bounds */
    }
    return call->node->run(call);
}

static int32_t prepare_nodes(wisp_session *s, wisp_error *error) {
    const wisp_file_operator *ops = s->model.sections[WISP_SECTION_OPERATORS];
    const uint32_t *operands = s->model.sections[WISP_SECTION_OPERANDS], *words = s->model.sections[WISP_SECTION_PARAMETERS];
    for (uint32_t i = 0; i < s->node_count; i++) {
        const wisp_file_operator *op = &ops[i];
        wisp_node *node = &s->nodes[i];
        wisp_call call = make_call(s, i, error);
        node->params = words + op->parameters;
        node->operands = operands + op->operands;
        node->code = op->code, node->input_count = op->input_count, node->output_count = op->output_count;
        node->name = op->name, node->flags = op->flags;
        node->kernel = "portable";
        int status = check_order(&call, i + 1);
        if (!status) status = wisp_operator_prepare(op->code)(&call);
        if (!status && node->scratch_size >= WISP_MAX_TOTAL_SIZE) status = wisp_call_fail(&call, WISP_BAD_SHAPE, "needs too much scratch");
        if (!status && op->flags & WISP_OPERATOR_AT_PREPARE) status = run_at_prepare(&call);
        if (status) return status;
        node->scratch_size = round_up(node->scratch_size, WISP_ALIGNMENT);
        if (node->scratch_size > s->scratch_size) s->scratch_size = node->scratch_size;
    }
    const uint32_t *outputs = s->model.sections[WISP_SECTION_OUTPUTS];
    for (uint32_t i = 0; i < wisp_output_count(&s->model); i++) {
        wisp_tensor *t = &s->tensors[outputs[i]];
        if (t->first_use == UNDEFINED) return wisp_error_set(error, WISP_BAD_FILE, "never computed: output", tensor_name(s, outputs[i]));
        t->last_use = UINT32_MAX;
    }
    return WISP_OK;
}

/* ---- the planner for dynamic shapes: largest first, each at the lowest offset free for its lifetime */

static bool needs_place(const wisp_tensor *t) {
    return t->kind == WISP_KIND_ACTIVATION && t->first_use != UNDEFINED;
}

static uint64_t lowest_free(const wisp_session *s, const wisp_tensor *t) {
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < s->tensor_count; i++) {
            const wisp_tensor *o = &s->tensors[i];
            if (!needs_place(o) || o->offset == UNPLACED || o->last_use < t->first_use || o->first_use > t->last_use) continue;
            if (o->offset < offset + t->size && offset < o->offset + o->size) {
                offset = round_up(o->offset + o->size, WISP_ALIGNMENT);
                moved = true;
            }
        }
    }
    return offset;
}

static void plan_arena(wisp_session *s) {
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (needs_place(&s->tensors[i])) s->tensors[i].offset = UNPLACED;
    for (;;) {
        wisp_tensor *largest = NULL;
        for (uint32_t i = 0; i < s->tensor_count; i++) {
            wisp_tensor *t = &s->tensors[i];
            if (needs_place(t) && t->offset == UNPLACED && (!largest || t->size > largest->size)) largest = t;
        }
        if (!largest) return;
        largest->offset = lowest_free(s, largest);
        uint64_t end = round_up(largest->offset + largest->size, WISP_ALIGNMENT);
        if (end > s->plan_size) s->plan_size = end;
    }
}

int32_t wisp_prepare(const wisp_model *model, const wisp_options *options, void *memory, size_t size, wisp_session **session,
                     wisp_error *error) {
    static const wisp_options defaults = {0};
    int32_t status;
    if (!model || !model->header || !memory || !session)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_prepare: null pointer", NULL);
    if (!options) options = &defaults;
    if ((uintptr_t)memory % WISP_ALIGNMENT)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "session memory must be aligned to 64 bytes", NULL);
    if (options->threads > WISP_MAX_THREADS || (options->symbol_count && !options->symbols))
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "threads must be 1 to 64, and symbols given when counted", NULL);
    uint64_t needed = wisp_session_size(model);
    if (size < needed) {
        wisp_error_set(error, WISP_NO_MEMORY, "session memory is too small, bytes needed: ", NULL);
        wisp_error_number(error, (int64_t)needed);
        return WISP_NO_MEMORY;
    }
    wisp_session *s = memory;
    memset(memory, 0, (size_t)needed);
    s->model = *model;
    s->tensor_count = (uint32_t)wisp_section_entries(model, WISP_SECTION_TENSORS);
    s->node_count = wisp_node_count(model);
    s->tensors = (void *)((uint8_t *)memory + WISP_SESSION_STRUCT);
    s->nodes = (void *)((uint8_t *)s->tensors + round_up(s->tensor_count * sizeof(wisp_tensor), 64));
    s->shape_memory = (uint8_t *)s->nodes + round_up(s->node_count * sizeof(wisp_node), 64);
    s->threads = options->threads ? options->threads : 1;
    s->pool = options->pool;
    s->cpu_mask = options->cpu_mask & wisp_cpu_flags();
    wisp_kernels_fill(&s->kernels, s->cpu_mask);
    if ((status = bind_tensors(s, options, error))) return status;
    if ((status = prepare_nodes(s, error))) return status;
    s->plan_size = header_of(s)->plan_size;
    if (!s->plan_size) plan_arena(s);
    *session = s;
    return WISP_OK;
}

/* ---- bind */

uint64_t wisp_arena_size(const wisp_session *s) {
    return s->plan_size + s->threads * s->scratch_size;
}

int32_t wisp_bind(wisp_session *s, void *arena, size_t size, wisp_error *error) {
    if (!s || (!arena && wisp_arena_size(s))) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_bind: null pointer", NULL);
    if ((uintptr_t)arena % WISP_ALIGNMENT) return wisp_error_set(error, WISP_BAD_ARGUMENT, "the arena must be aligned to 64 bytes", NULL);
    if (size < wisp_arena_size(s)) {
        wisp_error_set(error, WISP_NO_MEMORY, "the arena is too small, bytes needed: ", NULL);
        wisp_error_number(error, (int64_t)wisp_arena_size(s));
        return WISP_NO_MEMORY;
    }
    s->arena = arena;
    for (uint32_t i = 0; i < s->tensor_count; i++)
        if (needs_place(&s->tensors[i])) s->tensors[i].data = s->arena + s->tensors[i].offset;
    return WISP_OK;
}

static wisp_tensor *listed(const wisp_session *s, uint32_t section, uint32_t index) {
    const uint32_t *list = s->model.sections[section];
    return index < wisp_section_entries(&s->model, section) ? &s->tensors[list[index]] : NULL;
}

void *wisp_input_data(wisp_session *s, uint32_t index) {
    wisp_tensor *t = listed(s, WISP_SECTION_INPUTS, index);
    return t && s->arena ? t->data : NULL;
}

const void *wisp_output_data(const wisp_session *s, uint32_t index) {
    const wisp_tensor *t = listed(s, WISP_SECTION_OUTPUTS, index);
    return t && s->arena ? t->data : NULL;
}

static int32_t bound_info(const wisp_session *s, uint32_t section, uint32_t index, int32_t status, wisp_tensor_info *info) {
    const wisp_tensor *t = listed(s, section, index);
    if (status || !t) return WISP_BAD_ARGUMENT;
    memcpy(info->dims, t->dims, sizeof info->dims);
    info->size = t->size;
    return WISP_OK;
}

int32_t wisp_session_input_info(const wisp_session *s, uint32_t index, wisp_tensor_info *info) {
    return bound_info(s, WISP_SECTION_INPUTS, index, wisp_input_info(&s->model, index, info), info);
}

int32_t wisp_session_output_info(const wisp_session *s, uint32_t index, wisp_tensor_info *info) {
    return bound_info(s, WISP_SECTION_OUTPUTS, index, wisp_output_info(&s->model, index, info), info);
}

int32_t wisp_session_node_info(const wisp_session *s, uint32_t index, wisp_node_info *info) {
    if (index >= s->node_count) return WISP_BAD_ARGUMENT;
    const wisp_node *node = &s->nodes[index];
    memset(info, 0, sizeof *info);
    info->name = wisp_file_string(&s->model, node->name);
    info->operator_name = wisp_operator_name(node->code);
    info->kernel = node->kernel;
    info->macs = node->macs;
    for (uint32_t i = 0; i < (uint32_t)node->input_count + node->output_count; i++) {
        if (node->operands[i] == WISP_NO_TENSOR) continue;
        const wisp_tensor *t = &s->tensors[node->operands[i]];
        info->bytes += t->size;
        if (i != node->input_count) continue;
        info->output_dtype = t->dtype;
        info->output_rank = t->rank;
        memcpy(info->output_dims, t->dims, sizeof info->output_dims);
    }
    return WISP_OK;
}

/* ---- run */

static int32_t run_nodes(wisp_session *s, uint64_t (*clock)(void), uint64_t *ticks, wisp_error *error) {
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i].flags & WISP_OPERATOR_AT_PREPARE) continue;
        wisp_call call = make_call(s, i, error);
        uint64_t start = clock ? clock() : 0;
        int status = call.node->run(&call);
        if (clock) ticks[i] += clock() - start;
        if (status) return status;
    }
    return WISP_OK;
}

int32_t wisp_run_timed(wisp_session *s, uint64_t (*clock)(void), uint64_t *ticks, wisp_error *error) {
    if (!s || !s->arena || (clock && !ticks))
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_run: bind an arena to the session first", NULL);
    s->active_threads = wisp_pool_enter(s->pool, s->threads);
    int32_t status = run_nodes(s, clock, ticks, error);
    wisp_pool_leave(s->pool, s->active_threads);
    return status;
}

int32_t wisp_run(wisp_session *s, wisp_error *error) {
    return wisp_run_timed(s, NULL, NULL, error);
}
