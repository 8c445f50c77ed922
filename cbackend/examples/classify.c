/* Prints the best class. usage: classify MODEL.wisp < INPUT, the bytes of the input tensor. Beside cbackend, after README's build:
 * cc -O2 -I cbackend/include cbackend/examples/classify.c build/c/libwisp.a -lm -pthread -o classify */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <wisp.h>

static _Alignas(64) unsigned char file[16 << 20], session[1 << 20], arena[16 << 20]; /* wisp inspect prints what is needed */

int main(int argc, char **argv) {
    wisp_error error = {0, "no input"};
    wisp_model model;
    wisp_session *s;
    wisp_tensor_info x, y;
    FILE *stream = fopen(argc > 1 ? argv[1] : "", "rb");
    size_t size = stream ? fread(file, 1, sizeof file, stream) : 0;
    if (wisp_open(&model, file, size, &error) || wisp_prepare(&model, NULL, session, sizeof session, &s, &error) ||
        wisp_bind(s, arena, sizeof arena, &error) || wisp_session_input_info(s, 0, &x) || wisp_session_output_info(s, 0, &y) ||
        fread(wisp_input_data(s, 0), 1, x.size, stdin) != x.size || wisp_run(s, &error))
        return fprintf(stderr, "classify: %s\n", error.message), 1;
    const float *score = wisp_output_data(s, 0);
    int best = 0;
    for (int i = 1; i < (int)(y.size / sizeof *score); i++) best = score[i] > score[best] ? i : best;
    return printf("class %d, score %.4f\n", best, score[best]) < 0;
}
