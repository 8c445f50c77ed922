/* What wisp.js calls: one model for each instance of the module, all of it in the module's memory. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "wisp.h"

#define EXPORT(name) __attribute__((export_name(#name))) name

/* wisp.js reads these structs as words. */
_Static_assert(sizeof(wisp_tensor_info) == 64 && offsetof(wisp_tensor_info, dtype) == 4 && offsetof(wisp_tensor_info, rank) == 8 &&
                   offsetof(wisp_tensor_info, dims) == 12 && offsetof(wisp_tensor_info, size) == 48 &&
                   offsetof(wisp_tensor_info, scale) == 56 && offsetof(wisp_tensor_info, zero_point) == 60,
               "wisp.js: readInfo");
_Static_assert(offsetof(wisp_node_info, operator_name) == 4 && offsetof(wisp_node_info, kernel) == 8, "wisp.js: kernels");

extern unsigned char __heap_base; /* where the linker ends the module's own data */

static struct {
    wisp_model model;
    wisp_session *session;
    wisp_error error;
    wisp_tensor_info info;
    wisp_node_info node;
    uint32_t top;  /* of the memory in use; 0 at first */
    uint32_t mark; /* the top after open: a new session starts there */
} state;

/* Returns the address of `size` bytes, aligned to WISP_ALIGNMENT, or 0 when the engine refuses more memory. */
static uint32_t take(uint64_t size) {
    enum { PAGE = 65536 };
    if (state.top == 0) state.top = (uint32_t)(uintptr_t)&__heap_base;
    const uint64_t begin = ((uint64_t)state.top + WISP_ALIGNMENT - 1) & ~(uint64_t)(WISP_ALIGNMENT - 1), end = begin + size;
    const uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (size > UINT32_MAX || end > UINT32_MAX) return 0;
    if (end > have && __builtin_wasm_memory_grow(0, (size_t)((end - have + PAGE - 1) / PAGE)) == SIZE_MAX) return 0;
    state.top = (uint32_t)end;
    return (uint32_t)begin;
}

static int32_t lack_memory(void) {
    state.error.status = WISP_NO_MEMORY;
    memcpy(state.error.message, "the engine refuses more memory", 31);
    return WISP_NO_MEMORY;
}

/* Memory for the bytes of the file, or for the extents of symbolic axes. */
uint32_t EXPORT(wisp_js_take)(uint32_t size) {
    return take(size);
}

int32_t EXPORT(wisp_js_open)(const void *file, uint32_t size) {
    int32_t status = wisp_open(&state.model, file, size, &state.error);
    state.mark = state.top;
    return status;
}

/* Gives back the memory of the session before; to be called before the extents are taken. */
void EXPORT(wisp_js_reset)(void) {
    state.top = state.mark;
    state.session = NULL;
}

int32_t EXPORT(wisp_js_prepare)(const int32_t *symbols, uint32_t cpu_mask) {
    const wisp_options options = {symbols, wisp_symbol_count(&state.model), 1, cpu_mask, 0, NULL};
    const uint64_t size = wisp_session_size(&state.model);
    const uint32_t memory = take(size);
    if (!memory) return lack_memory();
    int32_t status = wisp_prepare(&state.model, &options, (void *)(uintptr_t)memory, (size_t)size, &state.session, &state.error);
    if (status) return status;
    const uint64_t arena_size = wisp_arena_size(state.session);
    const uint32_t arena = take(arena_size);
    if (!arena) return lack_memory();
    return wisp_bind(state.session, (void *)(uintptr_t)arena, (size_t)arena_size, &state.error);
}

int32_t EXPORT(wisp_js_run)(void) {
    return wisp_run(state.session, &state.error);
}

const char *EXPORT(wisp_js_message)(void) {
    return state.error.message[0] ? state.error.message : wisp_status_name(state.error.status);
}

uint32_t EXPORT(wisp_js_input_count)(void) {
    return wisp_input_count(&state.model);
}

uint32_t EXPORT(wisp_js_output_count)(void) {
    return wisp_output_count(&state.model);
}

uint32_t EXPORT(wisp_js_symbol_count)(void) {
    return wisp_symbol_count(&state.model);
}

const char *EXPORT(wisp_js_symbol_name)(uint32_t index) {
    return wisp_symbol_name(&state.model, index);
}

/* As the model knows it, then as the session does. */
const wisp_tensor_info *EXPORT(wisp_js_input_info)(uint32_t index) {
    return wisp_input_info(&state.model, index, &state.info) ? NULL : &state.info;
}

const wisp_tensor_info *EXPORT(wisp_js_output_info)(uint32_t index) {
    return wisp_output_info(&state.model, index, &state.info) ? NULL : &state.info;
}

const wisp_tensor_info *EXPORT(wisp_js_bound_input_info)(uint32_t index) {
    return wisp_session_input_info(state.session, index, &state.info) ? NULL : &state.info;
}

const wisp_tensor_info *EXPORT(wisp_js_bound_output_info)(uint32_t index) {
    return wisp_session_output_info(state.session, index, &state.info) ? NULL : &state.info;
}

void *EXPORT(wisp_js_input_data)(uint32_t index) {
    return wisp_input_data(state.session, index);
}

const void *EXPORT(wisp_js_output_data)(uint32_t index) {
    return wisp_output_data(state.session, index);
}

const char *EXPORT(wisp_js_metadata)(void) {
    uint64_t size;
    return wisp_metadata(&state.model, &size);
}

uint32_t EXPORT(wisp_js_metadata_size)(void) {
    uint64_t size = 0;
    wisp_metadata(&state.model, &size);
    return (uint32_t)size;
}

/* Of a prepared model: name, operator and kernel of a node; null past the last one. */
const wisp_node_info *EXPORT(wisp_js_node_info)(uint32_t index) {
    return wisp_session_node_info(state.session, index, &state.node) ? NULL : &state.node;
}

uint32_t EXPORT(wisp_js_cpu_flags)(void) {
    return wisp_cpu_flags();
}

const char *EXPORT(wisp_js_cpu_name)(uint32_t bit) {
    return wisp_cpu_name(bit);
}

const char *EXPORT(wisp_js_version)(void) {
    return wisp_version();
}
