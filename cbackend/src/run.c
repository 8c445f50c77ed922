/* A run: graphs as ranges of nodes, nodes as phases of ranges, then the states. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

static void run_ranges(const wisp_call *call) {
    wisp_session *s = call->session;
    const wisp_node *node = call->node;
    int64_t threads = s->active_threads, most = node->items / node->grain;
    if (threads > most) threads = most;
    if (threads > 1)
        wisp_pool_run(s->pool, call, (uint32_t)threads, node->items, node->grain, node->op->range);
    else if (node->items > 0)
        node->op->range(call, 0, 0, node->items);
}

int wisp_run_node(wisp_call *call) {
    wisp_session *s = call->session;
    wisp_node *node = call->node;
    const uint32_t alias = node->flags >> WISP_NODE_ALIAS_SHIFT;
    int status;
    if (!(node->flags & WISP_NODE_PLANNED)) return wisp_call_fail(call, WISP_BAD_SHAPE, "the extents of its inputs were never found out");
    if (alias) wisp_output(call, 0)->data = wisp_input(call, alias - 1)->data;
    if (node->op->begin && (status = node->op->begin(call))) return status;
    if (node->flags & WISP_NODE_SIZED_IN_RUN && (status = wisp_place(s, call->error))) return status;
    for (call->phase = 0; call->phase < node->phases; call->phase++) run_ranges(call);
    return WISP_OK;
}

/* What the last run of g, or the last iteration, found out holds for its data only. */
static int forget_late(wisp_session *s, uint32_t g, void *unused) {
    const wisp_file_graph *graph = &s->graphs[g];
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        wisp_node *node = &s->nodes[i];
        wisp_each_graph(s, i, forget_late, unused);
        if (!(node->flags & (WISP_NODE_LATE | WISP_NODE_SIZED_IN_RUN))) continue;
        for (uint32_t k = 0; k < node->output_count; k++) {
            const uint32_t index = node->operands[node->input_count + k];
            const bool sized = index != WISP_NO_TENSOR && !(s->tensors[index].flags & WISP_TENSOR_STATED);
            if (index != WISP_NO_TENSOR && (node->flags & WISP_NODE_LATE || sized)) wisp_forget_tensor(s, index);
        }
        if (node->flags & WISP_NODE_LATE) node->flags &= WISP_NODE_AT_RESIZE;
    }
    return WISP_OK;
}

int wisp_run_nodes(wisp_session *s, uint32_t g, wisp_error *error) {
    const wisp_file_graph *graph = &s->graphs[g];
    int status;
    if (s->late) {
        forget_late(s, g, NULL);
        wisp_unplace(s);
        if ((status = wisp_plan_known(s, g, error))) return status;
    }
    for (uint32_t i = graph->first_operator; i < graph->first_operator + graph->operator_count; i++) {
        if (s->nodes[i].flags & WISP_NODE_AT_RESIZE) continue;
        if (!(s->nodes[i].flags & WISP_NODE_PLANNED) && (status = wisp_plan_waiting(s, g, i, error))) return status;
        wisp_call call = wisp_make_call(s, i, error);
        const uint64_t start = s->clock ? s->clock() : 0;
        status = wisp_run_node(&call);
        if (s->clock) s->ticks[i] += s->clock() - start;
        if (!status && s->nodes[i].flags & WISP_NODE_SIZED_IN_RUN) status = wisp_plan_known(s, g, error);
        if (status) return status;
    }
    return WISP_OK;
}

int wisp_run_graph(wisp_call *call, uint32_t g) {
    return wisp_run_nodes(call->session, g, call->error);
}

/* ---- states */

static uint8_t *state_data(const wisp_session *s, const wisp_file_state *state) {
    return s->arena + s->tensors[state->tensor].offset;
}

int32_t wisp_reset(wisp_session *s, wisp_error *error) {
    uint64_t count;
    if (!s || !s->arena) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_reset: bind an arena to the session first", NULL);
    const wisp_file_state *states = wisp_section(&s->model, WISP_SECTION_STATES, &count);
    for (uint64_t i = 0; i < count; i++) {
        const size_t size = (size_t)s->tensors[states[i].tensor].size;
        if (states[i].initial == WISP_NO_TENSOR)
            memset(state_data(s, &states[i]), 0, size);
        else
            memcpy(state_data(s, &states[i]), s->tensors[states[i].initial].data, size);
    }
    s->has_state = true;
    return WISP_OK;
}

static void commit_states(wisp_session *s) {
    uint64_t count;
    const wisp_file_state *states = wisp_section(&s->model, WISP_SECTION_STATES, &count);
    for (uint64_t i = 0; i < count; i++)
        memcpy(state_data(s, &states[i]), s->tensors[states[i].next].data, (size_t)s->tensors[states[i].tensor].size);
}

/* ---- run */

int32_t wisp_run_timed(wisp_session *s, uint64_t (*clock)(void), uint64_t *ticks, wisp_error *error) {
    if (!s || (clock && !ticks)) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_run: null pointer", NULL);
    if (!s->planned) return wisp_error_set(error, WISP_BAD_SHAPE, "wisp_run: the session has no plan: the last resize failed", NULL);
    if (!s->arena) return wisp_error_set(error, WISP_BAD_ARGUMENT, "wisp_run: bind an arena to the session first", NULL);
    s->clock = clock, s->ticks = ticks;
    s->running = true;
    s->active_threads = wisp_pool_enter(s->pool, s->threads);
    int32_t status = wisp_run_nodes(s, 0, error);
    wisp_pool_leave(s->pool, s->active_threads);
    s->active_threads = 1;
    s->running = false;
    if (!status) commit_states(s);
    return status;
}

int32_t wisp_run(wisp_session *s, wisp_error *error) {
    return wisp_run_timed(s, NULL, NULL, error);
}
