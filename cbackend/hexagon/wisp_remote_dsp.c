/* The DSP side of wisp_remote.idl: what the skeleton made by qaic calls. Not run on a device yet, see README.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "AEEStdErr.h"
#include "HAP_power.h"
#include "qurt_hvx.h"
#include "wisp.h"
#include "wisp_remote.h"

/* Buffers of a session start on whole vectors; so does each tensor in the buffers of a call. */
enum { ALIGNMENT = 128 };

typedef struct remote_model {
    void *file, *memory, *arena;
    wisp_model model;
    wisp_session *session; /* null until a file is loaded */
} remote_model;

static remote_model *model_of(remote_handle64 handle) {
    return (remote_model *)(uintptr_t)handle;
}

static size_t round_up(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static void *new_memory(uint64_t size) {
    return size < UINT32_MAX / 2 ? aligned_alloc(ALIGNMENT, size ? round_up((size_t)size) : ALIGNMENT) : NULL;
}

static void drop_model(remote_model *r) {
    free(r->file);
    free(r->memory);
    free(r->arena);
    memset(r, 0, sizeof *r);
}

/* Asks for the vector unit's power for this process; `r` names the client. */
static int set_vector_power(remote_model *r, int on) {
    HAP_power_request_t request;
    memset(&request, 0, sizeof request);
    request.type = HAP_power_set_HVX;
    request.hvx.power_up = on != 0;
    return HAP_power_set(r, &request);
}

static void report(const wisp_error *error, int32_t status, int *to, unsigned char *message, int room) {
    size_t length = status ? strlen(error->message) : 0;
    *to = status;
    if (room < 1) return;
    if (length > (size_t)room - 1) length = (size_t)room - 1;
    memcpy(message, error->message, length);
    message[length] = 0;
}

static int32_t fail(wisp_error *error, int32_t status, const char *text) {
    error->status = status;
    memcpy(error->message, text, strlen(text) + 1);
    return status;
}

int wisp_remote_open(const char *uri, remote_handle64 *handle) {
    (void)uri;
    remote_model *r = calloc(1, sizeof *r);
    if (!r) return AEE_ENOMEMORY;
    int status = set_vector_power(r, 1);
    if (status) {
        free(r);
        return status;
    }
    *handle = (remote_handle64)(uintptr_t)r;
    return AEE_SUCCESS;
}

int wisp_remote_close(remote_handle64 handle) {
    remote_model *r = model_of(handle);
    if (!r) return AEE_EBADPARM;
    set_vector_power(r, 0);
    drop_model(r);
    free(r);
    return AEE_SUCCESS;
}

static int32_t load_file(remote_model *r, const void *file, size_t size, const wisp_options *options, wisp_error *error) {
    int32_t status;
    r->file = new_memory(size);
    if (!r->file) return fail(error, WISP_NO_MEMORY, "the DSP has no memory for the file");
    memcpy(r->file, file, size);
    if ((status = wisp_open(&r->model, r->file, size, error))) return status;
    const uint64_t session_size = wisp_session_size(&r->model);
    r->memory = new_memory(session_size);
    if (!r->memory) return fail(error, WISP_NO_MEMORY, "the DSP has no memory for the session");
    if ((status = wisp_prepare(&r->model, options, r->memory, (size_t)session_size, &r->session, error))) return status;
    const uint64_t arena_size = wisp_arena_size(r->session);
    r->arena = new_memory(arena_size);
    if (!r->arena) return fail(error, WISP_NO_MEMORY, "the DSP has no memory for the arena");
    return wisp_bind(r->session, r->arena, (size_t)arena_size, error);
}

/* Bytes of tensor i, counting inputs first. */
static size_t tensor_size(const remote_model *r, uint32_t i) {
    const uint32_t inputs = wisp_input_count(&r->model);
    wisp_tensor_info info;
    if (i < inputs)
        wisp_session_input_info(r->session, i, &info);
    else
        wisp_session_output_info(r->session, i - inputs, &info);
    return (size_t)info.size;
}

AEEResult wisp_remote_load(remote_handle64 handle, const unsigned char *file, int file_size, const int *symbols, int symbol_count,
                           int *sizes, int size_count, int *status, unsigned char *message, int message_size) {
    remote_model *r = model_of(handle);
    if (!r || !status || file_size < 0 || symbol_count < 0 || size_count < 0) return AEE_EBADPARM;
    wisp_error error = {0};
    const wisp_options options = {.symbols = symbols, .symbol_count = (uint32_t)symbol_count};
    if (r->session) {
        report(&error, fail(&error, WISP_BAD_ARGUMENT, "this handle has loaded a file already"), status, message, message_size);
        return AEE_SUCCESS;
    }
    int32_t result = load_file(r, file, (size_t)file_size, &options, &error);
    if (!result && (uint32_t)size_count != wisp_input_count(&r->model) + wisp_output_count(&r->model))
        result = fail(&error, WISP_BAD_ARGUMENT, "sizes must have one element for each input and output");
    for (int i = 0; !result && i < size_count; i++) sizes[i] = (int)tensor_size(r, (uint32_t)i);
    if (result) drop_model(r);
    report(&error, result, status, message, message_size);
    return AEE_SUCCESS;
}

/* Bytes of a buffer that holds tensors begin..end - 1. */
static size_t buffer_size(const remote_model *r, uint32_t begin, uint32_t end) {
    size_t size = 0;
    for (uint32_t i = begin; i < end; i++) size += round_up(tensor_size(r, i));
    return size;
}

static int32_t run_model(remote_model *r, const unsigned char *inputs, size_t input_size, unsigned char *outputs, size_t output_size,
                         wisp_error *error) {
    if (!r->session) return fail(error, WISP_BAD_ARGUMENT, "load a file first");
    const uint32_t input_count = wisp_input_count(&r->model), count = input_count + wisp_output_count(&r->model);
    if (input_size != buffer_size(r, 0, input_count) || output_size != buffer_size(r, input_count, count))
        return fail(error, WISP_BAD_ARGUMENT, "a buffer has the wrong size");
    for (uint32_t i = 0; i < input_count; i++) {
        memcpy(wisp_input_data(r->session, i), inputs, tensor_size(r, i));
        inputs += round_up(tensor_size(r, i));
    }
    int32_t status = wisp_run(r->session, error);
    if (status) return status;
    for (uint32_t i = input_count; i < count; i++) {
        memcpy(outputs, wisp_output_data(r->session, i - input_count), tensor_size(r, i));
        outputs += round_up(tensor_size(r, i));
    }
    return WISP_OK;
}

AEEResult wisp_remote_run(remote_handle64 handle, const unsigned char *inputs, int input_size, unsigned char *outputs, int output_size,
                          int *status, unsigned char *message, int message_size) {
    remote_model *r = model_of(handle);
    if (!r || !status || input_size < 0 || output_size < 0) return AEE_EBADPARM;
    wisp_error error = {0};
    int locked = qurt_hvx_lock(QURT_HVX_MODE_128B); /* the calling thread owns the vector registers until unlock */
    if (locked) return locked;
    int32_t result = run_model(r, inputs, (size_t)input_size, outputs, (size_t)output_size, &error);
    qurt_hvx_unlock();
    report(&error, result, status, message, message_size);
    return AEE_SUCCESS;
}
