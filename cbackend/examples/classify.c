/* Prints the best class of one input. usage: classify MODEL.wisp INPUT (raw bytes of the input tensor) */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <wisp.h>

int main(int argc, char **argv) {
    wisp_options options = {.threads = 1, .cpu_mask = wisp_cpu_flags()};
    wisp_error error = {0};
    wisp_model model;
    wisp_session *s;
    wisp_tensor_info in, out;
    struct stat info;
    int file = argc == 3 ? open(argv[1], O_RDONLY) : -1;
    FILE *input = argc == 3 ? fopen(argv[2], "rb") : NULL;
    if (file < 0 || !input || fstat(file, &info)) return fprintf(stderr, "usage: classify MODEL.wisp INPUT\n"), 2;
    const void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED || wisp_open(&model, data, (size_t)info.st_size, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    size_t size = wisp_session_size(&model);
    if (wisp_prepare(&model, &options, aligned_alloc(64, size), size, &s, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    size = wisp_arena_size(s);
    if (wisp_bind(s, aligned_alloc(64, size), size, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    wisp_session_input_info(s, 0, &in);
    wisp_session_output_info(s, 0, &out);
    if (fread(wisp_input_data(s, 0), 1, in.size, input) != in.size) return fprintf(stderr, "input is too short\n"), 1;
    if (wisp_run(s, &error)) return fprintf(stderr, "%s\n", error.message), 1;
    const float *y = wisp_output_data(s, 0);
    int best = 0;
    for (int i = 1; i < (int)(out.size / sizeof(float)); i++) best = y[i] > y[best] ? i : best;
    printf("class %d, score %.4f\n", best, y[best]);
    return 0;
}
