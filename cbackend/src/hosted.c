/* What only a hosted build offers: a clock, and the loop that measures a machine's peak. */
/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <string.h>
#if defined(WISP_HAVE_THREADS) && defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif defined(WISP_HAVE_THREADS)
#include <time.h>
#endif

#include "kernels.h"
#include "wisp.h"

#if defined(WISP_HAVE_THREADS) && defined(_WIN32)
uint64_t wisp_clock(void) {
    LARGE_INTEGER frequency, now;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    uint64_t f = (uint64_t)frequency.QuadPart, n = (uint64_t)now.QuadPart;
    return n / f * 1000000000u + n % f * 1000000000u / f; /* in two parts: the product of the whole overflows */
}
#elif defined(WISP_HAVE_THREADS)
uint64_t wisp_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
#else
uint64_t wisp_clock(void) {
    return 0;
}
#endif

/*  memory:  0 +------------------+
 *             | weights    24576 |  s8: 64 outputs x 384, f32: 32 outputs x 192
 *       24576 +------------------+
 *             | channels    1024 |  or bias; zero
 *       25600 +------------------+
 *             | rows         768 |  all rows of a tile are the same one
 *       26368 +------------------+
 *             | scratch     6144 |  8 rows of 384 in 16 bits
 *       32512 +------------------+ */
enum { ROOF_CHANNELS = 24576, ROOF_ROWS = 25600, ROOF_SCRATCH = 26368 };

uint64_t wisp_roof(uint32_t cpu_mask, int32_t dtype, void *memory, uint32_t repeats) {
    uint8_t *base = memory;
    wisp_kernels kernels;
    uint64_t macs = 0;
    memset(base, 0, ROOF_SCRATCH);
    wisp_kernels_init(&kernels, cpu_mask);
    if (dtype == WISP_S8) {
        const int8_t *rows[WISP_MAX_MR];
        int8_t out[WISP_MAX_MR * 64];
        for (int i = 0; i < WISP_MAX_MR; i++) rows[i] = (const int8_t *)base + ROOF_ROWS;
        const wisp_gemm_s8 g = {.m = kernels.gemm_s8_mr,
                                .n = 64,
                                .k = 384,
                                .taps = 1,
                                .rows = rows,
                                .weights = (const int8_t *)base,
                                .channels = (const void *)(base + ROOF_CHANNELS),
                                .out = out,
                                .out_stride = 64,
                                .lo = -128,
                                .hi = 127,
                                .scratch = base + ROOF_SCRATCH};
        for (uint32_t i = 0; i < repeats; i++) kernels.gemm_s8(&g);
        macs = (uint64_t)g.m * 64 * 384 * repeats;
    } else if (dtype == WISP_F32) {
        const float *rows[WISP_MAX_MR];
        float out[WISP_MAX_MR * 32];
        for (int i = 0; i < WISP_MAX_MR; i++) rows[i] = (const void *)(base + ROOF_ROWS);
        const wisp_gemm_f32 g = {.m = kernels.gemm_f32_mr,
                                 .n = 32,
                                 .k = 192,
                                 .taps = 1,
                                 .rows = rows,
                                 .weights = (const void *)base,
                                 .bias = (const void *)(base + ROOF_CHANNELS),
                                 .out = out,
                                 .out_stride = 32,
                                 .lo = -INFINITY,
                                 .hi = INFINITY};
        for (uint32_t i = 0; i < repeats; i++) kernels.gemm_f32(&g);
        macs = (uint64_t)g.m * 32 * 192 * repeats;
    }
    return macs;
}

uint64_t wisp_kernel_slots(uint32_t bit) {
    enum { SLOTS = offsetof(wisp_kernels, gemm_s8_mr) / sizeof(wisp_gemm_s8_fn *) };
    _Static_assert(SLOTS <= 64, "one bit for each slot");
    wisp_kernels without, with;
    uint64_t slots = 0;
    wisp_kernels_init(&without, 0);
    wisp_kernels_init(&with, UINT32_C(1) << bit);
    for (int i = 0; i < SLOTS; i++)
        if (memcmp((char *)&without + i * sizeof(wisp_gemm_s8_fn *), (char *)&with + i * sizeof(wisp_gemm_s8_fn *),
                   sizeof(wisp_gemm_s8_fn *)))
            slots |= UINT64_C(1) << i;
    return slots;
}
