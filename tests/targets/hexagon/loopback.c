/* Both sides of the remote-call front in one process, without a transport: loopback FILE. Outputs must equal a local run. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "HAP_power.h"
#include "qurt_hvx.h"
#include "remote.h"
#include "rpcmem.h"
#include "wisp_dsp.h"

/* ---- what the SDK's libraries would do */

static int allocated, powered, locked, calls;

void *rpcmem_alloc(int heap, uint32_t flags, int size) {
    (void)heap, (void)flags;
    allocated++;
    return aligned_alloc(4096, ((size_t)size + 4095) / 4096 * 4096);
}

void rpcmem_free(void *p) {
    if (p) allocated--;
    free(p);
}

int remote_session_control(uint32_t request, void *data, uint32_t size) {
    const struct remote_rpc_control_unsigned_module *module = data;
    return request != DSPRPC_CONTROL_UNSIGNED_MODULE || size != sizeof *module || module->domain != CDSP_DOMAIN_ID || module->enable != 1;
}

int HAP_power_set(void *context, HAP_power_request_t *request) {
    powered += request->hvx.power_up ? 1 : -1;
    return !context || request->type != HAP_power_set_HVX;
}

int qurt_hvx_lock(qurt_hvx_mode_t mode) {
    calls++;
    return mode != QURT_HVX_MODE_128B || locked++ || !powered;
}

int qurt_hvx_unlock(void) {
    return --locked;
}

/* ---- the comparison */

static void *aligned(size_t size) {
    void *p = aligned_alloc(64, (size + 64) / 64 * 64);
    if (!p) exit(2);
    return p;
}

static void *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) exit(2);
    *size = (size_t)ftell(f);
    void *data = aligned(*size);
    rewind(f);
    if (fread(data, 1, *size, f) != *size) exit(2);
    fclose(f);
    return data;
}

static int complain(const char *what, const wisp_error *error) {
    fprintf(stderr, "loopback: %s: %s\n", what, error->message);
    return 1;
}

static void fill(const wisp_tensor_info *info, void *data, uint32_t seed) {
    for (uint64_t i = 0; i < info->size / (info->dtype == WISP_F32 ? 4 : 1); i++) {
        seed = seed * 1664525u + 1013904223u;
        int k = (int)(seed >> 24) - 128;
        if (info->dtype == WISP_F32)
            ((float *)data)[i] = (float)k / 64;
        else
            ((int8_t *)data)[i] = (int8_t)k;
    }
}

int main(int argc, char **argv) {
    static const int32_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    wisp_error error = {0};
    wisp_model model;
    wisp_session *session;
    wisp_dsp_model *remote;
    size_t size, remote_size;
    if (argc != 2) return 2;
    uint8_t *file = read_file(argv[1], &size);
    if (wisp_open(&model, file, size, &error)) return complain("open", &error);
    const uint32_t symbols = wisp_symbol_count(&model);
    const wisp_options options = {.symbols = ones, .symbol_count = symbols};
    void *memory = aligned((size_t)wisp_session_size(&model));
    if (wisp_prepare(&model, &options, memory, (size_t)wisp_session_size(&model), &session, &error)) return complain("prepare", &error);
    void *arena = aligned((size_t)wisp_arena_size(session));
    if (wisp_bind(session, arena, (size_t)wisp_arena_size(session), &error)) return complain("bind", &error);
    if (wisp_dsp_open(&remote, file, size, ones, symbols, &error)) return complain("remote open", &error);
    for (int repeat = 0; repeat < 2; repeat++) {
        wisp_tensor_info info;
        for (uint32_t i = 0; i < wisp_input_count(&model); i++) {
            wisp_session_input_info(session, i, &info);
            void *shared = wisp_dsp_input(remote, i, &remote_size);
            if (remote_size != info.size) return complain("size of an input", &error);
            fill(&info, wisp_input_data(session, i), i + (uint32_t)repeat);
            memcpy(shared, wisp_input_data(session, i), remote_size);
        }
        if (wisp_run(session, &error)) return complain("run", &error);
        if (wisp_dsp_run(remote, &error)) return complain("remote run", &error);
        for (uint32_t i = 0; i < wisp_output_count(&model); i++) {
            wisp_session_output_info(session, i, &info);
            const void *shared = wisp_dsp_output(remote, i, &remote_size);
            if (remote_size != info.size || memcmp(shared, wisp_output_data(session, i), remote_size))
                return complain("outputs differ", &error);
        }
    }
    if (wisp_dsp_input(remote, wisp_input_count(&model), NULL) || wisp_dsp_output(remote, 1000, NULL)) return complain("range", &error);
    wisp_dsp_close(remote);
    if (symbols && wisp_dsp_open(&remote, file, size, NULL, 0, &error) != WISP_BAD_SHAPE) return complain("unbound axes", &error);
    if (wisp_dsp_open(&remote, file, size - 4, ones, symbols, &error) != WISP_BAD_FILE) return complain("a truncated file", &error);
    if (allocated || powered || locked || calls != 2) return complain("something was left behind", &error);
    free(file), free(memory), free(arena);
    printf("equal, 2 runs in %d calls\n", calls);
    return 0;
}
