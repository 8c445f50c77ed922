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

#include "cpu.h"
#include "kernels.h"
#include "matrix/matrix.h"
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
 *             | scratch     6400 |  of the matrix loop: one tile
 *       32768 +------------------+ */
enum { ROOF_COLUMNS = 24576, ROOF_ROW = 25600, ROOF_SCRATCH = 26368 };

uint64_t wisp_roof(uint32_t cpu_mask, int32_t dtype, void *memory, uint32_t repeats) {
    const uint32_t mask = wisp_allowed_sets(cpu_mask);
    const bool s8 = dtype == WISP_S8;
    uint8_t *base = memory;
    float out[WISP_MAX_MR * 32];
    wisp_matrix m = {.kernel = s8 ? WISP_FIND_KERNEL(mask, gemm_s8) : WISP_FIND_KERNEL(mask, gemm_f32),
                     .source = WISP_ROWS_PLAIN,
                     .x_stride = 0,
                     .y_stride = s8 ? 64 : 32,
                     .k = s8 ? 384 : 192,
                     .taps = 1,
                     .n = s8 ? 64 : 32,
                     .x_size = s8 ? 1 : 4,
                     .y_size = s8 ? 1 : 4};
    const wisp_factors f = {.x = {.data = base + ROOF_ROW}, .weights = base, .columns = base + ROOF_COLUMNS, .y = out};
    if ((!s8 && dtype != WISP_F32) || !m.kernel) return 0;
    if (s8)
        m.lo = -128, m.hi = 127;
    else
        m.min = -INFINITY, m.max = INFINITY;
    memset(base, 0, ROOF_SCRATCH);
    wisp_matrix_set_tiles(&m, m.kernel->rows, UINT64_MAX);
    for (uint32_t i = 0; i < repeats; i++) wisp_matrix_multiply(&m, &f, base + ROOF_SCRATCH, 0, m.kernel->rows, 0, m.n);
    return (uint64_t)m.kernel->rows * (uint64_t)m.n * (uint64_t)m.k * repeats;
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
