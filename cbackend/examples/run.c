/* Runs a model on raw bytes. usage: run MODEL.wisp THREADS INSTRUCTION_SET|all < INPUTS > OUTPUTS
 * Inputs and outputs follow each other in the model's order, each as the bytes of its tensor. Beside cbackend, after README's build:
 * cc -O2 -I cbackend/include cbackend/examples/run.c build/c/libwisp.a -lm -pthread -o run */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <wisp.h>

static int fail(const char *message) {
    fprintf(stderr, "run: %s\n", message);
    return 1;
}

/* All instruction sets up to the named one; 0, which means all, for other names. */
static uint32_t cpu_mask(const char *name) {
    for (uint32_t bit = 0; wisp_cpu_name(bit); bit++)
        if (!strcmp(name, wisp_cpu_name(bit))) return (UINT32_C(2) << bit) - 1;
    return 0;
}

static int run(const wisp_model *model, const wisp_options *options) {
    wisp_session *session;
    wisp_error error;
    wisp_tensor_info info;
    size_t size = (size_t)wisp_session_size(model);
    void *memory = aligned_alloc(WISP_ALIGNMENT, size);
    if (!memory || wisp_prepare(model, options, memory, size, &session, &error)) return fail(memory ? error.message : "no memory");
    size = ((size_t)wisp_arena_size(session) + WISP_ALIGNMENT - 1) / WISP_ALIGNMENT * WISP_ALIGNMENT;
    void *arena = aligned_alloc(WISP_ALIGNMENT, size ? size : WISP_ALIGNMENT);
    if (!arena || wisp_bind(session, arena, size, &error)) return fail(arena ? error.message : "no memory");
    for (uint32_t i = 0; i < wisp_input_count(model); i++)
        if (wisp_session_input_info(session, i, &info) || fread(wisp_input_data(session, i), 1, info.size, stdin) != info.size)
            return fail("the inputs are too short");
    if (wisp_run(session, &error)) return fail(error.message);
    for (uint32_t i = 0; i < wisp_output_count(model); i++)
        if (wisp_session_output_info(session, i, &info) || fwrite(wisp_output_data(session, i), 1, info.size, stdout) != info.size)
            return fail("the outputs cannot be written");
    free(arena);
    free(memory);
    return 0;
}

int main(int argc, char **argv) {
    if (argc != 4) return fail("usage: run MODEL.wisp THREADS INSTRUCTION_SET|all < INPUTS > OUTPUTS"), 2;
    wisp_options options = {.threads = (uint32_t)atoi(argv[2]), .cpu_mask = cpu_mask(argv[3])};
    if (!options.cpu_mask && strcmp(argv[3], "all")) return fail("unknown instruction set; known: all, scalar and what wisp ops prints");
    wisp_model model;
    wisp_error error = {0, "the model cannot be mapped"};
    struct stat status;
    int file = open(argv[1], O_RDONLY);
    if (file < 0 || fstat(file, &status) || !status.st_size) return fail("the model cannot be read");
    const void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED || wisp_open(&model, data, (size_t)status.st_size, &error)) return fail(error.message);
    if (options.threads > 1) {
        options.pool = aligned_alloc(WISP_ALIGNMENT, (size_t)wisp_pool_size(options.threads));
        if (!options.pool || wisp_pool_start(options.pool, options.threads)) return fail("no threads");
    }
    int result = run(&model, &options);
    if (options.pool) wisp_pool_stop(options.pool);
    free(options.pool);
    return result;
}
