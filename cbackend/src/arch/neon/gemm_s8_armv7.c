/* int8 matrix kernel of 32-bit ARM: tiles of 2 rows by 8 outputs, or 1 row by 16, in assembly. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

#ifndef __aarch64__

/* What the requantization of 8 outputs reads. The assembly knows the offsets. */
typedef struct outputs_s8 {
    int32_t bias[16];      /* each followed by a 0: as accumulators start */
    int32_t left[8];       /* -shift */
    int16_t multiplier[8]; /* these 64 bytes are one vldmia */
    int8_t lo[8], hi[8];
} outputs_s8;

/* Half a tile: 8 outputs of a row, 2 groups. Products of two groups share a 16-bit lane, which 2 * 128 * 127 fits; 2 * 128 * 128
 * does not: TWO_WIDE_GROUPS adds each on its own.
 *
 *   q0 q1 weights of the first group, q2 q3 of the second   u v the row's groups, each twice   q6 q7 products
 *   a b c d accumulators {o0 o0' o1 o1'}, o' the second partial sum */
#define TWO_GROUPS(u, v, a, b, c, d)                      \
    "vmull.s8 q6, d0, " #u "\n vmull.s8 q7, d1, " #u "\n" \
    "vmlal.s8 q6, d4, " #v "\n vmlal.s8 q7, d5, " #v "\n" \
    "vpadal.s16 " #a ", q6\n vpadal.s16 " #b ", q7\n"     \
    "vmull.s8 q6, d2, " #u "\n vmull.s8 q7, d3, " #u "\n" \
    "vmlal.s8 q6, d6, " #v "\n vmlal.s8 q7, d7, " #v "\n" \
    "vpadal.s16 " #c ", q6\n vpadal.s16 " #d ", q7\n"
#define GROUP_OF(w0, w1, w2, w3, u, a, b, c, d)                     \
    "vmull.s8 q6, " #w0 ", " #u "\n vmull.s8 q7, " #w1 ", " #u "\n" \
    "vpadal.s16 " #a ", q6\n vpadal.s16 " #b ", q7\n"               \
    "vmull.s8 q6, " #w2 ", " #u "\n vmull.s8 q7, " #w3 ", " #u "\n" \
    "vpadal.s16 " #c ", q6\n vpadal.s16 " #d ", q7\n"
#define ONE_GROUP(u, a, b, c, d) GROUP_OF(d0, d1, d2, d3, u, a, b, c, d)
#define TWO_WIDE_GROUPS(u, v, a, b, c, d) ONE_GROUP(u, a, b, c, d) GROUP_OF(d4, d5, d6, d7, v, a, b, c, d)

/* `loop` runs while 2 groups are left, `last` once if one is. Then requantize_8 and the clamp: q4 q5 and q6 q7 the sums. */
#define TILE(loop, last)                                    \
    "vldmia %[c0]!, {d16-d23}\n vldmia %[c1]!, {d24-d31}\n" \
    "subs %[groups], %[groups], #2\n blt 2f\n"              \
    "1:\n" loop "subs %[groups], %[groups], #2\n bge 1b\n"  \
    "2: cmn %[groups], #1\n bne 3f\n" last "3:\n"           \
    "vldmia %[c0], {d0-d7}\n"                               \
    "vpadd.i32 d8, d16, d17\n vpadd.i32 d9, d18, d19\n"     \
    "vpadd.i32 d10, d20, d21\n vpadd.i32 d11, d22, d23\n"   \
    "vldmia %[c1], {d16-d23}\n"                             \
    "vpadd.i32 d12, d24, d25\n vpadd.i32 d13, d26, d27\n"   \
    "vpadd.i32 d14, d28, d29\n vpadd.i32 d15, d30, d31\n"   \
    "vqshl.s32 q4, q4, q0\n vqshl.s32 q5, q5, q1\n"         \
    "vqshl.s32 q6, q6, q8\n vqshl.s32 q7, q7, q9\n"         \
    "vqmovn.s32 d8, q4\n vqmovn.s32 d9, q5\n"               \
    "vqmovn.s32 d12, q6\n vqmovn.s32 d13, q7\n"             \
    "vqrdmulh.s16 q4, q4, q2\n vqrdmulh.s16 q6, q6, q10\n"  \
    "vqrshrn.s16 d8, q4, #7\n vqrshrn.s16 d12, q6, #7\n"    \
    "vmax.s8 d8, d8, d6\n vmax.s8 d12, d12, d22\n"          \
    "vmin.s8 d8, d8, d7\n vmin.s8 d12, d12, d23\n"          \
    "vst1.8 {d8}, [%[y0]]\n vst1.8 {d12}, [%[y1]]\n"
#define CLOBBERED "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14", "q15", "cc", "memory"

#define LOAD_WEIGHTS(step, next_step) "vld1.8 {d0-d3}, [%[w]]" step "\n vld1.8 {d4-d7}, [%[w]]" next_step "\n"
#define LOAD_LAST_WEIGHTS(step) "vld1.8 {d0-d3}, [%[w]]" step "\n"
#define LOAD_GROUP(x, to) "vld1.32 {" #to "[]}, [%[" #x "]]!\n"
#define LOW(groups, ...) groups(__VA_ARGS__, q8, q9, q10, q11)
#define HIGH(groups, ...) groups(__VA_ARGS__, q12, q13, q14, q15)

/* 2x8: 8 bytes to y0 and y1, the outputs of c0 and c1 for two rows. 32 instructions for 128 multiply-accumulates.
 * 1x16: the same for one row and the 16 outputs of a whole panel, those of c0 and c1. */
#define LOADS_2X8 LOAD_GROUP(x0, d8) LOAD_GROUP(x0, d9) LOAD_WEIGHTS(", %[next]", ", %[next]") LOAD_GROUP(x1, d10) LOAD_GROUP(x1, d11)
#define LOOP_2X8(groups) LOADS_2X8 LOW(groups, d8, d9) HIGH(groups, d10, d11)
#define LAST_2X8 LOAD_GROUP(x0, d8) LOAD_LAST_WEIGHTS("") LOAD_GROUP(x1, d10) LOW(ONE_GROUP, d8) HIGH(ONE_GROUP, d10)
#define LOADS_1X16 LOAD_GROUP(x, d8) LOAD_GROUP(x, d9) LOAD_WEIGHTS(", %[next]", ", %[back]")
#define LOOP_1X16(groups) LOADS_1X16 LOW(groups, d8, d9) LOAD_WEIGHTS(", %[next]", "!") HIGH(groups, d8, d9)
#define LAST_1X16 LOAD_GROUP(x, d8) LOAD_LAST_WEIGHTS("!") LOW(ONE_GROUP, d8) LOAD_LAST_WEIGHTS("") HIGH(ONE_GROUP, d8)

static void multiply_2x8(const outputs_s8 *c0, const outputs_s8 *c1, const int8_t *w, const int8_t *x0, const int8_t *x1, ptrdiff_t groups,
                         int8_t *y0, int8_t *y1) {
    __asm__ volatile(TILE(LOOP_2X8(TWO_GROUPS), LAST_2X8)
                     : [c0] "+r"(c0), [c1] "+r"(c1), [w] "+r"(w), [x0] "+r"(x0), [x1] "+r"(x1), [groups] "+r"(groups)
                     : [y0] "r"(y0), [y1] "r"(y1), [next] "r"(64)
                     : CLOBBERED);
}

static void multiply_wide_2x8(const outputs_s8 *c0, const outputs_s8 *c1, const int8_t *w, const int8_t *x0, const int8_t *x1,
                              ptrdiff_t groups, int8_t *y0, int8_t *y1) {
    __asm__ volatile(TILE(LOOP_2X8(TWO_WIDE_GROUPS), LAST_2X8)
                     : [c0] "+r"(c0), [c1] "+r"(c1), [w] "+r"(w), [x0] "+r"(x0), [x1] "+r"(x1), [groups] "+r"(groups)
                     : [y0] "r"(y0), [y1] "r"(y1), [next] "r"(64)
                     : CLOBBERED);
}

static void multiply_1x16(const outputs_s8 *c0, const outputs_s8 *c1, const int8_t *w, const int8_t *x, ptrdiff_t groups, int8_t *y) {
    __asm__ volatile(TILE(LOOP_1X16(TWO_GROUPS), LAST_1X16)
                     : [c0] "+r"(c0), [c1] "+r"(c1), [w] "+r"(w), [x] "+r"(x), [groups] "+r"(groups)
                     : [y0] "r"(y), [y1] "r"(y + 8), [next] "r"(64), [back] "r"(-32)
                     : CLOBBERED);
}

static void multiply_wide_1x16(const outputs_s8 *c0, const outputs_s8 *c1, const int8_t *w, const int8_t *x, ptrdiff_t groups, int8_t *y) {
    __asm__ volatile(TILE(LOOP_1X16(TWO_WIDE_GROUPS), LAST_1X16)
                     : [c0] "+r"(c0), [c1] "+r"(c1), [w] "+r"(w), [x] "+r"(x), [groups] "+r"(groups)
                     : [y0] "r"(y), [y1] "r"(y + 8), [next] "r"(64), [back] "r"(-32)
                     : CLOBBERED);
}

/* Outputs first.. of `ch`, which are j.. of the product. */
static void describe_outputs(const wisp_gemm *g, const wisp_channels_s8 *ch, int first, outputs_s8 *c) {
    const int32x4_t zero = vdupq_n_s32(0);
    for (int i = 0; i < 8; i += 4) {
        const int32x4x2_t bias = vzipq_s32(vld1q_s32(ch->bias + first + i), zero);
        vst1q_s32(c->bias + 2 * i, bias.val[0]);
        vst1q_s32(c->bias + 2 * i + 4, bias.val[1]);
        vst1q_s32(c->left + i, vnegq_s32(vld1q_s32(ch->shift + first + i)));
    }
    vst1q_s16(c->multiplier, load_multipliers(ch->multiplier + first));
    vst1_s8(c->lo, vdup_n_s8((int8_t)g->lo));
    vst1_s8(c->hi, vdup_n_s8((int8_t)g->hi));
}

/* The same outputs for row r, whose accumulators start with its term. */
static outputs_s8 with_term(const wisp_gemm *g, const outputs_s8 *c, int32_t j, int32_t r) {
    outputs_s8 own = *c;
    for (int32_t i = 0; i < 8; i++) own.bias[2 * i] = add_wrap(own.bias[2 * i], multiply_wrap(row_term(g, r), g->column_term[j + i]));
    return own;
}

static void multiply_row(const wisp_gemm *g, const rows_s8 *t) {
    for (int32_t j = 0; j < g->n; j += WISP_CHANNELS) {
        const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
        const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * t->groups * 64;
        outputs_s8 c[2];
        int8_t part[WISP_CHANNELS];
        describe_outputs(g, ch, 0, c);
        describe_outputs(g, ch, 8, c + 1);
        if (g->row_term) c[0] = with_term(g, c, j, 0), c[1] = with_term(g, c + 1, j + 8, 0);
        (g->full_range ? multiply_wide_1x16 : multiply_1x16)(c, c + 1, w, t->x[0], t->groups, part);
        memcpy(t->y[0] + j, part, g->n - j < WISP_CHANNELS ? (size_t)(g->n - j) : WISP_CHANNELS);
    }
}

/* Rows r and r + 1 by the 8 outputs of c, whose weights are at w. */
static void multiply_two_rows(const wisp_gemm *g, const rows_s8 *t, const outputs_s8 *c, const int8_t *w, int32_t j, int32_t r) {
    const size_t width = g->n - j < 8 ? (size_t)(g->n - j) : 8;
    const outputs_s8 *c0 = c, *c1 = c;
    outputs_s8 own[2];
    int8_t part[2][8], *y0 = width == 8 ? t->y[r] + j : part[0], *y1 = width == 8 ? t->y[r + 1] + j : part[1];
    if (g->row_term) {
        own[0] = with_term(g, c, j, r), own[1] = with_term(g, c, j, r + 1);
        c0 = own, c1 = own + 1;
    }
    (g->full_range ? multiply_wide_2x8 : multiply_2x8)(c0, c1, w, t->x[r], t->x[r + 1], t->groups, y0, y1);
    if (width == 8) return;
    memcpy(t->y[r] + j, part[0], width);
    memcpy(t->y[r + 1] + j, part[1], width);
}

static void multiply(const wisp_gemm *g) {
    rows_s8 t;
    point_rows_s8(g, &t);
    if (g->m == 1) {
        multiply_row(g, &t);
        return;
    }
    for (int32_t j = 0; j < g->n; j += 8) {
        const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * t.groups * 64 + j % WISP_CHANNELS * 4;
        outputs_s8 c;
        describe_outputs(g, (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS, j % WISP_CHANNELS, &c);
        for (int32_t r = 0; r < g->m; r += 2) multiply_two_rows(g, &t, &c, w, j, r);
    }
}

static void pack_rows(const wisp_gemm *g, void *packed) {
    pack_rows_s8(g, packed);
}

const wisp_gemm_kernel wisp_gemm_s8_neon = {multiply, pack_rows, "gemm_s8_neon", WISP_MAX_MR, 1};
#endif
