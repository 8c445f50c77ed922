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
 *             | weights    24576 |  s8: 64 columns x 384, f32: 32 columns x 192
 *       24576 +------------------+
 *             | columns     1024 |  zero
 *       25600 +------------------+
 *             | row          768 |  all rows of a tile are the same one
 *       26368 +------------------+
 *             | packed      6208 |  8 rows of 384 in 16 bits
 *       32576 +------------------+ */
enum { ROOF_COLUMNS = 24576, ROOF_ROW = 25600, ROOF_PACKED = 26368 };

uint64_t wisp_roof(uint32_t cpu_mask, int32_t dtype, void *memory, uint32_t repeats) {
    const uint32_t mask = cpu_mask & wisp_cpu_flags();
    const bool s8 = dtype == WISP_S8;
    const wisp_gemm_kernel *kernel = s8 ? WISP_FIND_KERNEL(mask, gemm_s8) : WISP_FIND_KERNEL(mask, gemm_f32);
    uint8_t *base = memory;
    const void *rows[WISP_MAX_MR];
    float out[WISP_MAX_MR * 32];
    if ((!s8 && dtype != WISP_F32) || !kernel) return 0;
    memset(base, 0, ROOF_PACKED);
    for (int i = 0; i < WISP_MAX_MR; i++) rows[i] = base + ROOF_ROW;
    wisp_gemm g = {.m = kernel->rows,
                   .n = s8 ? 64 : 32,
                   .k = s8 ? 384 : 192,
                   .taps = 1,
                   .rows = rows,
                   .packed = base + ROOF_PACKED,
                   .weights = base,
                   .columns = base + ROOF_COLUMNS,
                   .out = out,
                   .out_stride = s8 ? 64 : 32};
    if (s8)
        g.lo = -128, g.hi = 127;
    else
        g.min = -INFINITY, g.max = INFINITY;
    for (uint32_t i = 0; i < repeats; i++) {
        if (kernel->pack_rows) kernel->pack_rows(&g, base + ROOF_PACKED);
        kernel->multiply(&g);
    }
    return (uint64_t)g.m * (uint64_t)g.n * (uint64_t)g.k * repeats;
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
