/* Runs the int8 matrix kernel on 64 x 64 x 256, REPEATS times, for an instruction counter; and prints a sum of the outputs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "kernels.h"
#include "wisp.h"

enum { M = 64, N = 64, K = 256 };

static int8_t x[M * K], y[M * N];
static _Alignas(64) int8_t weights[N * K];
static _Alignas(64) wisp_channels_s8 channels[N / WISP_CHANNELS];
static _Alignas(64) uint8_t scratch[64 + WISP_MAX_UNIT * WISP_MAX_MR * K];

static uint32_t seed = 1;
static int32_t random_byte(void) {
    seed = seed * 1664525u + 1013904223u;
    return (int32_t)(seed >> 24) - 128;
}

static void multiply(const wisp_gemm_kernel *kernel) {
    const void *rows[WISP_MAX_MR];
    for (int32_t i = 0; i < M; i += kernel->rows) {
        const int32_t m = M - i < kernel->rows ? M - i : kernel->rows;
        for (int32_t r = 0; r < m; r++) rows[r] = x + (i + r) * K;
        const wisp_gemm g = {.m = m,
                             .n = N,
                             .k = K,
                             .taps = 1,
                             .rows = rows,
                             .weights = weights,
                             .columns = channels,
                             .out = y + i * N,
                             .out_stride = N,
                             .lo = -128,
                             .hi = 127,
                             .packed = scratch};
        if (kernel->pack_rows) kernel->pack_rows(&g, scratch);
        kernel->multiply(&g);
    }
}

int main(void) {
    const wisp_gemm_kernel *kernel = WISP_FIND_KERNEL(wisp_cpu_flags(), gemm_s8);
    for (int i = 0; i < M * K; i++) x[i] = (int8_t)random_byte();
    for (int i = 0; i < N * K; i++) weights[i] = (int8_t)(random_byte() | 1);
    for (int i = 0; i < N; i++) channels[i / 16].shift[i % 16] = 4, channels[i / 16].multiplier[i % 16] = 20000;
    for (int i = 0; i < REPEATS; i++) multiply(kernel);
    int32_t sum = 0;
    for (int i = 0; i < M * N; i++) sum = sum * 31 + y[i];
    printf("%s %ld\n", kernel->name, (long)sum);
    return 0;
}
