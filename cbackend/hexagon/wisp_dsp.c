/* The application's side of wisp_remote.idl, over the stub made by qaic. Not run on a device yet, see README.md. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "wisp_dsp.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "remote.h"
#include "rpcmem.h"
#include "wisp_remote.h"

enum { ALIGNMENT = 128, MESSAGE_SIZE = sizeof((wisp_error *)0)->message };

struct wisp_dsp_model {
    remote_handle64 handle;
    unsigned char *inputs, *outputs; /* shared memory: tensors one after the other, each on ALIGNMENT bytes */
    size_t input_size, output_size;
    uint32_t input_count, count; /* inputs; inputs and outputs */
    int sizes[];                 /* bytes of each input, then of each output */
};

static size_t round_up(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static int32_t fail(wisp_error *error, int32_t status, const char *text) {
    if (!error) return status;
    error->status = status;
    memcpy(error->message, text, strlen(text) + 1);
    return status;
}

/* What a call returned, and what Wisp said on the other side. */
static int32_t answer(wisp_error *error, int call, int status, const unsigned char *message) {
    if (call) return fail(error, WISP_UNSUPPORTED, "the call to the DSP failed: no session, no permission, or the DSP restarted");
    if (status && error) {
        error->status = status;
        memcpy(error->message, message, MESSAGE_SIZE);
        error->message[MESSAGE_SIZE - 1] = 0;
    }
    return status;
}

/* Bytes of tensors begin..end - 1 in a buffer. */
static size_t buffer_size(const wisp_dsp_model *m, uint32_t begin, uint32_t end) {
    size_t size = 0;
    for (uint32_t i = begin; i < end; i++) size += round_up((size_t)m->sizes[i]);
    return size;
}

/* Never empty: a model may have tensors without elements. */
static unsigned char *new_shared(size_t size) {
    return size > INT_MAX ? NULL : rpcmem_alloc(RPCMEM_HEAP_ID_SYSTEM, RPCMEM_DEFAULT_FLAGS, size ? (int)size : ALIGNMENT);
}

static int open_session(remote_handle64 *handle) {
    struct remote_rpc_control_unsigned_module module = {CDSP_DOMAIN_ID, 1};
    int status = remote_session_control(DSPRPC_CONTROL_UNSIGNED_MODULE, &module, sizeof module); /* no signature needed then */
    return status ? status : wisp_remote_open(wisp_remote_URI CDSP_DOMAIN, handle);
}

static int32_t load(wisp_dsp_model *m, const void *file, size_t size, const int32_t *symbols, uint32_t symbol_count, wisp_error *error) {
    unsigned char message[MESSAGE_SIZE] = {0};
    int status = WISP_OK;
    unsigned char *shared = new_shared(size);
    if (!shared) return fail(error, WISP_NO_MEMORY, "no memory that the DSP could read the file from");
    memcpy(shared, file, size);
    int call = wisp_remote_load(m->handle, shared, (int)size, (const int *)symbols, (int)symbol_count, m->sizes, (int)m->count, &status,
                                message, MESSAGE_SIZE);
    rpcmem_free(shared);
    if (call || status) return answer(error, call, status, message);
    m->input_size = buffer_size(m, 0, m->input_count), m->output_size = buffer_size(m, m->input_count, m->count);
    m->inputs = new_shared(m->input_size), m->outputs = new_shared(m->output_size);
    if (!m->inputs || !m->outputs) return fail(error, WISP_NO_MEMORY, "no memory to share with the DSP");
    memset(m->inputs, 0, m->input_size);
    return WISP_OK;
}

int32_t wisp_dsp_open(wisp_dsp_model **model, const void *file, size_t size, const int32_t *symbols, uint32_t symbol_count,
                      wisp_error *error) {
    wisp_model local; /* checked here too: a bad file is refused before anything is sent */
    int32_t status = wisp_open(&local, file, size, error);
    *model = NULL;
    if (status) return status;
    const uint32_t count = wisp_input_count(&local) + wisp_output_count(&local);
    wisp_dsp_model *m = calloc(1, sizeof *m + count * sizeof m->sizes[0]);
    if (!m) return fail(error, WISP_NO_MEMORY, "no memory for the model");
    m->input_count = wisp_input_count(&local), m->count = count;
    if (open_session(&m->handle)) {
        free(m);
        return fail(error, WISP_UNSUPPORTED, "no session on the compute DSP: is libwisp_remote_skel.so on its path?");
    }
    status = load(m, file, size, symbols, symbol_count, error);
    if (status) {
        wisp_dsp_close(m);
        return status;
    }
    *model = m;
    return WISP_OK;
}

void *wisp_dsp_input(wisp_dsp_model *m, uint32_t index, size_t *size) {
    if (index >= m->input_count) return NULL;
    if (size) *size = (size_t)m->sizes[index];
    return m->inputs + buffer_size(m, 0, index);
}

const void *wisp_dsp_output(const wisp_dsp_model *m, uint32_t index, size_t *size) {
    if (index >= m->count - m->input_count) return NULL;
    if (size) *size = (size_t)m->sizes[m->input_count + index];
    return m->outputs + buffer_size(m, m->input_count, m->input_count + index);
}

int32_t wisp_dsp_run(wisp_dsp_model *m, wisp_error *error) {
    unsigned char message[MESSAGE_SIZE] = {0};
    int status = WISP_OK;
    int call = wisp_remote_run(m->handle, m->inputs, (int)m->input_size, m->outputs, (int)m->output_size, &status, message, MESSAGE_SIZE);
    return answer(error, call, status, message);
}

void wisp_dsp_close(wisp_dsp_model *m) {
    if (!m) return;
    wisp_remote_close(m->handle);
    rpcmem_free(m->inputs);
    rpcmem_free(m->outputs);
    free(m);
}
