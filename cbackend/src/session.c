/* A session's life: prepare, resize, bind. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <string.h>

#include "cpu.h"

/* ---- session memory */

typedef struct parts {
    uint64_t tensors, nodes, plans, lives, shapes, size; /* offsets, and the end */
} parts;

static uint64_t plan_bytes(const wisp_operator_entry *entry) {
    return round_up(entry->op->plan_size, 8);
}

static parts cut_memory(const wisp_model *model) {
    uint64_t tensor_count, node_count;
    wisp_section(model, WISP_SECTION_TENSORS, &tensor_count);
    const wisp_file_operator *list = wisp_section(model, WISP_SECTION_OPERATORS, &node_count);
    parts p = {.tensors = WISP_SESSION_STRUCT};
    p.nodes = round_up(p.tensors + tensor_count * sizeof(wisp_tensor), 64);
    p.plans = round_up(p.nodes + node_count * sizeof(wisp_node), 64);
    p.lives = p.plans;
    for (uint64_t i = 0; i < node_count; i++) p.lives += plan_bytes(wisp_find_operator(list[i].code));
    p.lives = round_up(p.lives, 64);
    p.shapes = p.lives;
    if (!(wisp_header(model)->flags & WISP_FILE_STATIC)) p.shapes += round_up(tensor_count * sizeof(wisp_life), 64);
    p.size = p.shapes + round_up(wisp_header(model)->shape_size, 64);
    return p;
}

uint64_t wisp_session_size(const wisp_model *model) {
    return model && model->words[0] ? cut_memory(model).size : 0;
}

/* ---- prepare: what does not depend on extents */

static const char *tensor_name(const wisp_session *s, uint32_t index) {
    return wisp_file_string(&s->model, s->file_tensors[index].name);
}

static void make_tensors(wisp_session *s) {
    uint64_t count;
    const uint8_t *weights = wisp_section(&s->model, WISP_SECTION_WEIGHTS, &count);
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const wisp_file_tensor *f = &s->file_tensors[i];
        wisp_tensor *t = &s->tensors[i];
        memcpy(t->dims, f->dims, sizeof t->dims);
        t->dtype = f->dtype, t->rank = f->rank, t->kind = f->kind, t->layout = f->layout;
        t->scale = f->scale, t->zero_point = f->zero_point;
        t->offset = f->offset, t->flags = f->flags;
        if (s->lives) s->lives[i] = (wisp_life){.root = i};
        if (!s->lives && f->kind == WISP_KIND_ACTIVATION) t->flags |= WISP_TENSOR_PLACED;
        if (f->kind != WISP_KIND_CONSTANT && f->kind != WISP_KIND_STATE) continue;
        t->size = f->size;
        t->count = wisp_extent(t->dims, 0, t->rank);
        t->flags |= WISP_TENSOR_DEFINED | WISP_TENSOR_VISIBLE | WISP_TENSOR_KNOWN | WISP_TENSOR_APART;
        if (f->kind == WISP_KIND_STATE) continue;
        t->data = (void *)(uintptr_t)(weights + f->offset);
        t->flags |= WISP_TENSOR_VALUED;
    }
}

static void make_nodes(wisp_session *s, uint8_t *plans) {
    uint64_t count;
    const wisp_file_operator *list = wisp_section(&s->model, WISP_SECTION_OPERATORS, &count);
    const uint32_t *words = wisp_section(&s->model, WISP_SECTION_PARAMETERS, &count);
    for (uint32_t i = 0; i < s->node_count; i++) {
        const wisp_file_operator *f = &list[i];
        const wisp_operator_entry *entry = wisp_find_operator(f->code);
        wisp_node *node = &s->nodes[i];
        node->op = entry->op;
        node->params = words + f->parameters;
        node->operands = s->operands + f->operands;
        node->plan = plans;
        node->kernel = "portable";
        node->code = f->code, node->input_count = f->input_count, node->output_count = f->output_count;
        node->name = f->name;
        node->flags = f->flags & WISP_OPERATOR_AT_RESIZE ? WISP_NODE_AT_RESIZE : 0;
        node->traits = entry->traits;
        for (uint32_t w = 0; w < entry->words; w++)
            if (entry->kinds[w] == 'g') node->traits |= WISP_OWNS_GRAPHS;
        plans += plan_bytes(entry);
    }
}

/* ---- order: every operand computed before it is read, in this graph or one that encloses it; every tensor computed once */
static int32_t define_input(wisp_session *s, uint32_t index, bool of_body, wisp_error *error) {
    wisp_tensor *t = &s->tensors[index];
    if (t->flags & WISP_TENSOR_DEFINED) return wisp_error_set(error, WISP_BAD_FILE, "listed twice: input", tensor_name(s, index));
    t->flags |= WISP_TENSOR_DEFINED | WISP_TENSOR_VISIBLE | (of_body ? WISP_TENSOR_APART : 0);
    return WISP_OK;
}

/* An output of a body is computed by a node of the body and is nothing else's memory: it is read when the body is done. */
static int32_t check_output(wisp_session *s, uint32_t g, uint32_t index, wisp_error *error) {
    wisp_tensor *t = &s->tensors[index];
    if (!(t->flags & WISP_TENSOR_VISIBLE)) return wisp_error_set(error, WISP_BAD_FILE, "never computed: output", tensor_name(s, index));
    if (!g) return WISP_OK;
    if (!(t->flags & WISP_TENSOR_OWN) || t->flags & WISP_TENSOR_APART || t->kind != WISP_KIND_ACTIVATION)
        return wisp_error_set(error, WISP_BAD_FILE, "not an output of the body's own, or listed twice", tensor_name(s, index));
    t->flags |= WISP_TENSOR_APART;
    return WISP_OK;
}

static int check_graph(wisp_session *s, uint32_t g, void *state);

static int32_t check_node(wisp_session *s, uint32_t i, wisp_error *error) {
    wisp_call call = wisp_make_call(s, i, error);
    for (uint32_t k = 0; k < call.input_count; k++) {
        const wisp_tensor *t = wisp_input(&call, k);
        if (t && !(t->flags & WISP_TENSOR_VISIBLE))
            return wisp_call_fail_value(&call, WISP_BAD_FILE, "not computed before it is used: input", k);
    }
    int status = wisp_each_graph(s, i, check_graph, error);
    for (uint32_t k = 0; k < call.output_count && !status; k++) {
        wisp_tensor *t = wisp_output(&call, k);
        if (!t) continue;
        if (t->flags & WISP_TENSOR_DEFINED) return wisp_call_fail_value(&call, WISP_BAD_FILE, "computed twice: output", k);
        t->flags |= WISP_TENSOR_DEFINED | WISP_TENSOR_VISIBLE;
    }
    if (!status && call.node->op->check) status = call.node->op->check(&call);
    return status;
}

/* Sets and clears flags of what the nodes of a graph compute. */
static void each_output(wisp_session *s, const wisp_file_graph *graph, uint32_t set, uint32_t clear) {
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        const wisp_node *node = &s->nodes[i];
        for (uint32_t k = 0; k < node->output_count; k++) {
            const uint32_t index = node->operands[node->input_count + k];
            if (index != WISP_NO_TENSOR) s->tensors[index].flags = (s->tensors[index].flags | set) & ~clear;
        }
    }
}

static int check_graph(wisp_session *s, uint32_t g, void *state) {
    wisp_error *error = state;
    const wisp_file_graph *graph = &s->graphs[g];
    const uint32_t *operands = s->operands + graph->operands;
    int32_t status = WISP_OK;
    for (uint32_t i = 0; i < graph->input_count && !status; i++) status = define_input(s, operands[i], g != 0, error);
    for (uint32_t i = 0; i < graph->operator_count && !status; i++) status = check_node(s, graph->first_operator + i, error);
    if (g) each_output(s, graph, WISP_TENSOR_OWN, 0);
    for (uint32_t i = 0; i < graph->output_count && !status; i++) status = check_output(s, g, operands[graph->input_count + i], error);
    if (g) each_output(s, graph, 0, WISP_TENSOR_OWN | WISP_TENSOR_VISIBLE);
    for (uint32_t i = 0; g && i < graph->input_count; i++) s->tensors[operands[i]].flags &= ~(uint32_t)WISP_TENSOR_VISIBLE;
    return status;
}

static int32_t check_next_states(wisp_session *s, wisp_error *error) {
    uint64_t count;
    const wisp_file_state *states = wisp_section(&s->model, WISP_SECTION_STATES, &count);
    for (uint64_t i = 0; i < count; i++) {
        wisp_tensor *next = &s->tensors[states[i].next];
        if (!(next->flags & WISP_TENSOR_VISIBLE))
            return wisp_error_set(error, WISP_BAD_FILE, "never computed: the next value of a state,", tensor_name(s, states[i].next));
        next->flags |= WISP_TENSOR_APART;
    }
    return WISP_OK;
}

static int32_t check_options(const wisp_model *model, const wisp_options *options, const void *memory, size_t size, wisp_error *error) {
    if ((uintptr_t)memory % WISP_ALIGNMENT)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "session memory must be aligned to 64 bytes", NULL);
    if (options->threads > WISP_MAX_THREADS || (options->symbol_count && !options->symbols))
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "threads must be 1 to 64, and symbols given when counted", NULL);
    const uint64_t needed = wisp_session_size(model);
    if (size < needed) return wisp_error_value(error, WISP_NO_MEMORY, "session memory is too small, bytes needed", (int64_t)needed);
    return WISP_OK;
}

int32_t wisp_prepare(const wisp_model *model, const wisp_options *options, void *memory, size_t size, wisp_session **session,
                     wisp_error *error) {
    static const wisp_options defaults = {0};
    int32_t status;
    uint64_t count;
    if (!model || !model->words[0] || !memory || !session)
        return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_prepare: null pointer, or a model that was not opened", NULL);
    if (!options) options = &defaults;
    if ((status = check_options(model, options, memory, size, error))) return status;
    const parts p = cut_memory(model);
    uint8_t *base = memory;
    wisp_session *s = memory;
    memset(memory, 0, (size_t)p.size);
    s->model = *model;
    s->header = wisp_header(model);
    s->file_tensors = wisp_file_tensors(model, &count), s->tensor_count = (uint32_t)count;
    s->graphs = wisp_section(model, WISP_SECTION_GRAPHS, &count), s->graph_count = (uint32_t)count;
    s->operands = wisp_section(model, WISP_SECTION_OPERANDS, &count);
    s->node_count = wisp_node_count(model);
    s->tensors = (void *)(base + p.tensors), s->nodes = (void *)(base + p.nodes);
    s->lives = s->header->flags & WISP_FILE_STATIC ? NULL : (void *)(base + p.lives);
    s->shape_memory = base + p.shapes;
    s->threads = options->threads ? options->threads : 1;
    s->active_threads = 1;
    s->pool = options->pool;
    s->cpu_mask = wisp_allowed_sets(options->cpu_mask);
    make_tensors(s);
    make_nodes(s, base + p.plans);
    if ((status = check_graph(s, 0, error)) || (status = check_next_states(s, error))) return status;
    if (s->lives) wisp_find_lives(s);
    if ((status = wisp_resize(s, options->symbols, options->symbol_count, error))) return status;
    *session = s;
    return WISP_OK;
}

/* ---- resize: what depends on extents */

static int32_t bind_symbols(wisp_session *s, const int32_t *symbols, uint32_t symbol_count, wisp_error *error) {
    const wisp_file_graph *graph = &s->graphs[0];
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const uint32_t index = s->operands[graph->operands + i];
        wisp_tensor *t = &s->tensors[index];
        for (int d = 0; d < t->rank; d++) {
            if (t->dims[d] >= 0) continue;
            const uint32_t symbol = (uint32_t)(-1 - t->dims[d]);
            if (symbol >= symbol_count || symbols[symbol] < 0) {
                wisp_error_set(error, WISP_BAD_SHAPE, "bind axis", wisp_symbol_name(&s->model, symbol));
                wisp_error_text(error, " of input '");
                wisp_error_text(error, tensor_name(s, index));
                wisp_error_text(error, "' to an extent first");
                return WISP_BAD_SHAPE;
            }
            t->dims[d] = symbols[symbol];
        }
        if (wisp_measure(s, t)) return wisp_error_set(error, WISP_BAD_SHAPE, "too large: input", tensor_name(s, index));
    }
    return WISP_OK;
}

static void forget_all(wisp_session *s) {
    s->planned = s->late = false;
    s->total_size = s->plan_size = s->shared_size = s->scratch_size = s->could_shared = s->could_scratch = 0;
    s->first_placed = WISP_NO_TENSOR;
    for (uint32_t i = 0; i < s->tensor_count; i++) {
        const int kind = s->tensors[i].kind;
        if (kind != WISP_KIND_CONSTANT && kind != WISP_KIND_STATE) wisp_forget_tensor(s, i);
    }
    for (uint32_t i = 0; i < s->node_count; i++) s->nodes[i].flags &= WISP_NODE_AT_RESIZE;
}

int32_t wisp_resize(wisp_session *s, const int32_t *symbols, uint32_t symbol_count, wisp_error *error) {
    int32_t status;
    if (!s || (symbol_count && !symbols)) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_resize: null pointer", NULL);
    forget_all(s);
    if ((status = bind_symbols(s, symbols, symbol_count, error)) || (status = wisp_plan_known(s, 0, error)) ||
        (status = wisp_place(s, error)))
        return status;
    if (!s->lives) s->plan_size = s->header->plan_size;
    s->planned = true;
    if (s->arena && wisp_arena_size(s) <= s->room)
        wisp_settle(s);
    else
        s->arena = NULL;
    return WISP_OK;
}

/* ---- bind */

uint64_t wisp_arena_size(const wisp_session *s) {
    return wisp_arena_front(s) + s->plan_size;
}

int32_t wisp_bind(wisp_session *s, void *arena, size_t size, wisp_error *error) {
    if (!s || (!arena && wisp_arena_size(s))) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_bind: null pointer", NULL);
    if (!s->planned) return wisp_error_set(error, WISP_BAD_SHAPE, "wisp_bind: the session has no plan: the last resize failed", NULL);
    if ((uintptr_t)arena % WISP_ALIGNMENT) return wisp_error_set(error, WISP_BAD_ARGUMENT, "the arena must be aligned to 64 bytes", NULL);
    if (size < wisp_arena_size(s))
        return wisp_error_value(error, WISP_NO_MEMORY, "the arena is too small, bytes needed", (int64_t)wisp_arena_size(s));
    if (s->has_state && s->state != arena) memcpy(arena, s->state, (size_t)s->header->state_size);
    s->arena = s->state = arena;
    s->room = size;
    wisp_settle(s);
    return s->has_state ? WISP_OK : wisp_reset(s, error);
}
