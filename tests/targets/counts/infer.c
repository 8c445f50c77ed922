/* One inference between the marks of icount.c, after one that warms up. usage: infer FILE */
/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wisp.h>

enum { BEGIN = 0x51000000, END = 0x51000001 };

static void *room(uint64_t size) {
    void *p = aligned_alloc(WISP_ALIGNMENT, (size_t)(size + WISP_ALIGNMENT) / WISP_ALIGNMENT * WISP_ALIGNMENT);
    if (!p) abort();
    return p;
}

/* Values of both signs: a zero would not cost less, but a kernel that skipped them would. */
static void fill(const wisp_tensor_info *info, void *data) {
    uint32_t seed = 1;
    for (uint64_t i = 0; i < info->size / (info->dtype == WISP_F32 ? 4 : 1); i++) {
        seed = seed * 1664525u + 1013904223u;
        if (info->dtype == WISP_F32)
            ((float *)data)[i] = (float)(int32_t)seed * 0x1p-30f;
        else
            ((uint8_t *)data)[i] = (uint8_t)(seed >> 24);
    }
}

static int infer(const void *file, size_t size) {
    const wisp_options options = {.threads = 1, .cpu_mask = wisp_cpu_flags()};
    wisp_model model;
    wisp_session *session;
    wisp_error error;
    wisp_tensor_info info;
    if (wisp_open(&model, file, size, &error)) return fprintf(stderr, "infer: %s\n", error.message), 1;
    const uint64_t session_size = wisp_session_size(&model);
    if (wisp_prepare(&model, &options, room(session_size), (size_t)session_size, &session, &error))
        return fprintf(stderr, "infer: %s\n", error.message), 1;
    const uint64_t arena_size = wisp_arena_size(session);
    if (wisp_bind(session, room(arena_size), (size_t)arena_size, &error)) return fprintf(stderr, "infer: %s\n", error.message), 1;
    for (uint32_t i = 0; i < wisp_input_count(&model); i++)
        if (!wisp_session_input_info(session, i, &info)) fill(&info, wisp_input_data(session, i));
    if (wisp_run(session, &error)) return fprintf(stderr, "infer: %s\n", error.message), 1;
    (void)getpgid(BEGIN);
    wisp_run(session, &error);
    (void)getpgid(END);
    return 0;
}

int main(int argc, char **argv) {
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!f || fseek(f, 0, SEEK_END)) return fprintf(stderr, "usage: infer FILE\n"), 2;
    const size_t size = (size_t)ftell(f);
    void *file = room(size);
    rewind(f);
    if (fread(file, 1, size, f) != size) return fprintf(stderr, "infer: cannot read %s\n", argv[1]), 1;
    return infer(file, size);
}
