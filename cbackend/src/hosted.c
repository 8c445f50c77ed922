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
    const uint32_t mask = cpu_mask & wisp_cpu_flags();
    uint64_t macs = 0;
    memset(base, 0, ROOF_SCRATCH);
    if (dtype == WISP_S8) {
        const wisp_gemm_s8_kernel *kernel = WISP_FIND_KERNEL(mask, gemm_s8);
        const int8_t *rows[WISP_MAX_MR];
        int8_t out[WISP_MAX_MR * 64];
        for (int i = 0; i < WISP_MAX_MR; i++) rows[i] = (const int8_t *)base + ROOF_ROWS;
        const wisp_gemm_s8 g = {.m = kernel->rows,
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
        for (uint32_t i = 0; i < repeats; i++) kernel->multiply(&g);
        macs = (uint64_t)g.m * 64 * 384 * repeats;
    } else if (dtype == WISP_F32) {
        const wisp_gemm_f32_kernel *kernel = WISP_FIND_KERNEL(mask, gemm_f32);
        const float *rows[WISP_MAX_MR];
        float out[WISP_MAX_MR * 32];
        for (int i = 0; i < WISP_MAX_MR; i++) rows[i] = (const void *)(base + ROOF_ROWS);
        const wisp_gemm_f32 g = {.m = kernel->rows,
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
        for (uint32_t i = 0; i < repeats; i++) kernel->multiply(&g);
        macs = (uint64_t)g.m * 32 * 192 * repeats;
    }
    return macs;
}

const char *wisp_slot_name(uint32_t slot) {
    static const char *const names[] = {
#define KERNEL(slot, type) #slot,
#include "kernels.def"
#undef KERNEL
    };
    return slot < WISP_SLOT_COUNT ? names[slot] : NULL;
}

int32_t wisp_has_kernel(uint32_t bit, uint32_t slot) {
    const wisp_kernels *kernels = wisp_kernels_of(bit);
    if (!kernels || slot >= WISP_SLOT_COUNT || !(wisp_cpu_flags() >> bit & 1)) return 0;
    return wisp_is_filled(kernels, (int)slot);
}
