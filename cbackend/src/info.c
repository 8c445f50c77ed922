/* What a caller may ask: of a model, of a session and its nodes, of the library. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "session.h"

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *wisp_version(void) {
    return VERSION(WISP_VERSION_MAJOR, WISP_VERSION_MINOR, WISP_VERSION_PATCH);
}

static uint32_t section_count(const wisp_model *model, uint32_t id) {
    uint64_t count;
    wisp_section(model, id, &count);
    return (uint32_t)count;
}

static const wisp_file_graph *main_graph(const wisp_model *model) {
    uint64_t count;
    return wisp_section(model, WISP_SECTION_GRAPHS, &count);
}

uint32_t wisp_input_count(const wisp_model *model) {
    return main_graph(model)->input_count;
}

uint32_t wisp_output_count(const wisp_model *model) {
    return main_graph(model)->output_count;
}

uint32_t wisp_symbol_count(const wisp_model *model) {
    return section_count(model, WISP_SECTION_SYMBOLS);
}

uint32_t wisp_node_count(const wisp_model *model) {
    return section_count(model, WISP_SECTION_OPERATORS);
}

const char *wisp_symbol_name(const wisp_model *model, uint32_t index) {
    uint64_t count;
    const uint32_t *names = wisp_section(model, WISP_SECTION_SYMBOLS, &count);
    return index < count ? wisp_file_string(model, names[index]) : NULL;
}

const char *wisp_metadata(const wisp_model *model, uint64_t *size) {
    return wisp_section(model, WISP_SECTION_METADATA, size);
}

/* The tensor that is input `i`, or output `i`, of the model; WISP_NO_TENSOR past the last. */
static uint32_t listed(const wisp_model *model, bool output, uint32_t i) {
    const wisp_file_graph *graph = main_graph(model);
    uint64_t count;
    const uint32_t *operands = wisp_section(model, WISP_SECTION_OPERANDS, &count);
    if (i >= (output ? graph->output_count : graph->input_count)) return WISP_NO_TENSOR;
    return operands[graph->operands + (output ? graph->input_count : 0) + i];
}

static int32_t describe(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    uint64_t count;
    if (index == WISP_NO_TENSOR) return WISP_BAD_ARGUMENT;
    const wisp_file_tensor *t = &wisp_file_tensors(model, &count)[index];
    info->name = wisp_file_string(model, t->name);
    info->dtype = t->dtype;
    info->rank = t->rank;
    memcpy(info->dims, t->dims, sizeof info->dims);
    info->size = t->size;
    info->scale = t->scale;
    info->zero_point = t->zero_point;
    return WISP_OK;
}

int32_t wisp_input_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    return describe(model, listed(model, false, index), info);
}

int32_t wisp_output_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    return describe(model, listed(model, true, index), info);
}

uint32_t wisp_state_count(const wisp_model *model) {
    return section_count(model, WISP_SECTION_STATES);
}

int32_t wisp_state_info(const wisp_model *model, uint32_t index, wisp_tensor_info *info) {
    uint64_t count;
    const wisp_file_state *states = wisp_section(model, WISP_SECTION_STATES, &count);
    return describe(model, index < count ? states[index].tensor : WISP_NO_TENSOR, info);
}

/* ---- of a session */

void *wisp_input_data(wisp_session *s, uint32_t index) {
    const uint32_t t = listed(&s->model, false, index);
    return t != WISP_NO_TENSOR && s->arena ? s->tensors[t].data : NULL;
}

const void *wisp_output_data(const wisp_session *s, uint32_t index) {
    const uint32_t t = listed(&s->model, true, index);
    return t != WISP_NO_TENSOR && s->arena ? s->tensors[t].data : NULL;
}

static int32_t bound_info(const wisp_session *s, uint32_t index, wisp_tensor_info *info) {
    const int32_t status = describe(&s->model, index, info);
    if (status) return status;
    const wisp_tensor *t = &s->tensors[index];
    memcpy(info->dims, t->dims, sizeof info->dims);
    info->size = t->flags & WISP_TENSOR_KNOWN ? t->size : 0;
    return WISP_OK;
}

int32_t wisp_session_input_info(const wisp_session *s, uint32_t index, wisp_tensor_info *info) {
    return bound_info(s, listed(&s->model, false, index), info);
}

int32_t wisp_session_output_info(const wisp_session *s, uint32_t index, wisp_tensor_info *info) {
    return bound_info(s, listed(&s->model, true, index), info);
}

int32_t wisp_session_node_info(const wisp_session *s, uint32_t index, wisp_node_info *info) {
    if (index >= s->node_count) return WISP_BAD_ARGUMENT;
    const wisp_node *node = &s->nodes[index];
    memset(info, 0, sizeof *info);
    info->name = wisp_file_string(&s->model, node->name);
    info->operator_name = wisp_find_operator(node->code)->name;
    info->kernel = node->kernel;
    info->macs = node->macs;
    for (uint32_t i = 0; i < (uint32_t)node->input_count + node->output_count; i++) {
        if (node->operands[i] == WISP_NO_TENSOR) continue;
        const wisp_tensor *t = &s->tensors[node->operands[i]];
        if (t->flags & WISP_TENSOR_KNOWN) info->bytes += t->size;
        if (i != node->input_count) continue;
        info->output_dtype = t->dtype;
        info->output_rank = t->rank;
        memcpy(info->output_dims, t->dims, sizeof info->output_dims);
    }
    return WISP_OK;
}

int32_t wisp_session_is_fixed(const wisp_session *s) {
    if (s->late) return 0;
    for (uint32_t i = 0; s->lives && i < s->node_count; i++) /* what a body carries may change its extents */
        if (!(s->nodes[i].flags & WISP_NODE_PLANNED) || s->nodes[i].traits & WISP_OWNS_GRAPHS) return 0;
    return 1;
}

int32_t wisp_scratch_needs(const wisp_session *s, wisp_scratch_info *info) {
    *info = (wisp_scratch_info){s->shared_size, s->scratch_size, s->could_shared, s->could_scratch};
    return WISP_OK;
}

int32_t wisp_session_uses(const wisp_session *s, uint32_t slot) {
    return slot < WISP_SLOT_COUNT && s->slots[slot / 32] >> slot % 32 & 1;
}
