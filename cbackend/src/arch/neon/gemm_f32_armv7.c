/* f32 matrix kernel of 32-bit ARM: tiles of 2 rows by 16 outputs, in assembly. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

#ifndef __aarch64__

typedef struct sums_f32 {
    float row0[WISP_CHANNELS], row1[WISP_CHANNELS];
} sums_f32;

/* One value of a row (q4) by 16 weights (q0-q3), and the same with another row (q5): 12 instructions for 32 multiply-accumulates. */
#define FIRST_ROW                                           \
    "vld1.32 {d0-d3}, [%[w]]!\n vld1.32 {d4-d7}, [%[w]]!\n" \
    "vld1.32 {d8[], d9[]}, [%[x0]]!\n"                      \
    "vfma.f32 q8, q0, q4\n vfma.f32 q9, q1, q4\n"           \
    "vfma.f32 q10, q2, q4\n vfma.f32 q11, q3, q4\n"
#define BOTH_ROWS                                                                                  \
    "vld1.32 {d10[], d11[]}, [%[x1]]!\n" FIRST_ROW "vfma.f32 q12, q0, q5\n vfma.f32 q13, q1, q5\n" \
    "vfma.f32 q14, q2, q5\n vfma.f32 q15, q3, q5\n"
/* k >= 1 times. */
#define ADD_TAP(load, body, store)                                   \
    load "subs %[k], %[k], #4\n blt 2f\n"                            \
         "1:\n" body body body body "subs %[k], %[k], #4\n bge 1b\n" \
         "2: adds %[k], %[k], #4\n beq 4f\n"                         \
         "3:\n" body "subs %[k], %[k], #1\n bne 3b\n"                \
         "4:\n" store
#define CLOBBERED "q0", "q1", "q2", "q3", "q4", "q8", "q9", "q10", "q11", "cc", "memory"

/* Adds one tap, k >= 1 values, to the sums: one FMA for each product in the order of the contract. */
static void add_tap_2x16(const float *w, const float *x0, const float *x1, ptrdiff_t k, sums_f32 *sums) {
    __asm__ volatile(ADD_TAP("vldmia %[row0], {d16-d23}\n vldmia %[row1], {d24-d31}\n", BOTH_ROWS,
                             "vstmia %[row0], {d16-d23}\n vstmia %[row1], {d24-d31}\n")
                     : [w] "+r"(w), [x0] "+r"(x0), [x1] "+r"(x1), [k] "+r"(k)
                     : [row0] "r"(sums->row0), [row1] "r"(sums->row1)
                     : CLOBBERED, "q5", "q12", "q13", "q14", "q15");
}

static void add_tap_1x16(const float *w, const float *x0, ptrdiff_t k, sums_f32 *sums) {
    __asm__ volatile(ADD_TAP("vldmia %[row0], {d16-d23}\n", FIRST_ROW, "vstmia %[row0], {d16-d23}\n")
                     : [w] "+r"(w), [x0] "+r"(x0), [k] "+r"(k)
                     : [row0] "r"(sums->row0)
                     : CLOBBERED);
}

ALWAYS_INLINE void store_row(const wisp_gemm *g, const float *sums, float *out, int32_t width) {
    for (int32_t i = 0; i < width; i += 4) store_floats(out + i, clamp_f32(vld1q_f32(sums + i), g->min, g->max), width - i);
}

/* Rows r and r + 1, the last row alone where m is odd. */
static void multiply_rows(const wisp_gemm *g, int32_t j, const float *panel, int32_t r) {
    const ptrdiff_t tap_size = (ptrdiff_t)g->k * WISP_CHANNELS;
    const int32_t width = g->n - j < WISP_CHANNELS ? g->n - j : WISP_CHANNELS;
    const float *const *x = (const float *const *)g->rows + r;
    float *out = (float *)g->out + r * g->out_stride + j;
    sums_f32 sums;
    memcpy(sums.row0, (const float *)g->columns + j, sizeof sums.row0);
    if (r + 1 == g->m) {
        for (int32_t t = 0; t < g->taps; t++, x += g->m, panel += tap_size) add_tap_1x16(panel, x[0], g->k, &sums);
        store_row(g, sums.row0, out, width);
        return;
    }
    memcpy(sums.row1, (const float *)g->columns + j, sizeof sums.row1);
    for (int32_t t = 0; t < g->taps; t++, x += g->m, panel += tap_size) add_tap_2x16(panel, x[0], x[1], g->k, &sums);
    store_row(g, sums.row0, out, width);
    store_row(g, sums.row1, out + g->out_stride, width);
}

static void multiply(const wisp_gemm *g) {
    for (int32_t j = 0; j < g->n; j += WISP_CHANNELS)
        for (int32_t r = 0; r < g->m; r += 2) multiply_rows(g, j, (const float *)g->weights + (ptrdiff_t)j * g->taps * g->k, r);
}

const wisp_gemm_kernel wisp_gemm_f32_neon = {multiply, NULL, "gemm_f32_neon", 4, 0};
#endif
