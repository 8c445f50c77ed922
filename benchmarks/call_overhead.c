/* Seconds of one call of a model with one input and one output of f32, both copied: the least of many loops. For call_overhead.py. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wisp.h>

static _Alignas(64) unsigned char file[1 << 20], session[1 << 20], arena[1 << 20];
static unsigned char source[1 << 16], target[1 << 16];

int main(int argc, char **argv) {
    wisp_options options = {.threads = 1, .cpu_mask = wisp_cpu_flags()};
    wisp_error error = {0, "usage: call_overhead MODEL CALLS"};
    wisp_model model;
    wisp_session *s;
    wisp_tensor_info x, y;
    FILE *stream = fopen(argc > 2 ? argv[1] : "", "rb");
    const size_t size = stream ? fread(file, 1, sizeof file, stream) : 0;
    const int calls = argc > 2 ? atoi(argv[2]) : 0;
    if (wisp_open(&model, file, size, &error) || wisp_prepare(&model, &options, session, sizeof session, &s, &error) ||
        wisp_bind(s, arena, sizeof arena, &error) || wisp_session_input_info(s, 0, &x) || wisp_session_output_info(s, 0, &y) ||
        x.size > sizeof source || y.size > sizeof target)
        return fprintf(stderr, "%s\n", error.message), 1;
    uint64_t best = UINT64_MAX;
    for (int turn = 0; turn < 200; turn++) {
        const uint64_t start = wisp_clock();
        for (int i = 0; i < calls; i++) {
            memcpy(wisp_input_data(s, 0), source, x.size);
            if (wisp_run(s, &error)) return fprintf(stderr, "%s\n", error.message), 1;
            memcpy(target, wisp_output_data(s, 0), y.size);
        }
        const uint64_t took = wisp_clock() - start;
        if (took < best) best = took;
    }
    return printf("%.10g\n", (double)best / calls / 1e9) < 0;
}
