/* Matrix kernel: 4 rows by 2 outputs in twelve of the fourteen registers, 26 instructions for 32 multiply-accumulates. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

/* Packed: the rows widened to 16 bits, in the order the tile reads them. For each group of 4 values of k:
 *
 *   rows = 4:  | e0 e1 e2 e3 | o0 o1 o2 o3 |    rows = 1:  | e o |
 *
 * e: {value 0, value 2} of a row, o: {value 1, value 3}, as sxtb16 leaves the weights. Beyond k: 0. */
ALWAYS_INLINE void widen_row(const wisp_gemm *g, int32_t row, uint32_t *out, int rows) {
    for (int32_t t = 0; t < g->taps; t++) {
        const int8_t *x = g->rows[(ptrdiff_t)t * g->m + row];
        int32_t c = 0;
        for (; c + 8 <= g->k; c += 8, out += 4 * rows) {
            const uint32_t four = load_word(x + c), next = load_word(x + c + 4);
            out[0] = (uint32_t)even_bytes(four), out[rows] = (uint32_t)odd_bytes(four);
            out[2 * rows] = (uint32_t)even_bytes(next), out[3 * rows] = (uint32_t)odd_bytes(next);
        }
        if (c + 4 <= g->k) {
            const uint32_t four = load_word(x + c);
            out[0] = (uint32_t)even_bytes(four), out[rows] = (uint32_t)odd_bytes(four);
            c += 4, out += 2 * rows;
        }
        if (c == g->k) continue;
        uint32_t rest = 0;
        memcpy(&rest, x + c, (size_t)(g->k - c));
        out[0] = (uint32_t)even_bytes(rest), out[rows] = (uint32_t)odd_bytes(rest);
        out += 2 * rows;
    }
}

/* acc[row][output] += x * w over `groups` >= 1 groups, for 4 rows and the 2 outputs whose weights are at w, w + 4, w + 64,
 * w + 68, ... Written out because all of r0-r12 and lr are in use:
 *
 *   r0 weights   r1 rows   r2 r3 weights of the two outputs   r4 r5 a pair of rows   r6-r12, lr accumulators */
__attribute__((naked, noinline)) static void multiply_4x2(const int8_t *w __attribute__((unused)),
                                                          const uint32_t *x __attribute__((unused)), int32_t groups __attribute__((unused)),
                                                          int32_t *acc __attribute__((unused))) {
#define HALF(rotation, at)                              \
    "ldrd r2, r3, [r0, #" #at "]\n"                     \
    "sxtb16 r2, r2" rotation "\n"                       \
    "sxtb16 r3, r3" rotation "\n"                       \
    "ldrd r4, r5, [r1], #8\n"                           \
    "smlad r6, r2, r4, r6\n smlad r7, r3, r4, r7\n"     \
    "smlad r8, r2, r5, r8\n smlad r9, r3, r5, r9\n"     \
    "ldrd r4, r5, [r1], #8\n"                           \
    "smlad r10, r2, r4, r10\n smlad r11, r3, r4, r11\n" \
    "smlad r12, r2, r5, r12\n smlad lr, r3, r5, lr\n"
#define GROUP(at) HALF("", at) HALF(", ror #8", at)
    __asm__("push {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n"
            "ldmia r3, {r6-r12, lr}\n"
            "b 2f\n"
            "1:\n"
            "str r2, [sp]\n" GROUP(0) GROUP(64) GROUP(128)
                GROUP(192) "add r0, r0, #256\n"
                           "2:\n"
                           "ldr r2, [sp]\n"
                           "subs r2, r2, #4\n"
                           "bge 1b\n"
                           "adds r2, r2, #4\n"
                           "beq 4f\n"
                           "3:\n"
                           "str r2, [sp]\n" GROUP(0) "ldr r2, [sp]\n"
                                                     "add r0, r0, #64\n"
                                                     "subs r2, r2, #1\n"
                                                     "bne 3b\n"
                                                     "4:\n"
                                                     "ldr r3, [sp, #4]\n"
                                                     "stmia r3, {r6-r12, lr}\n"
                                                     "pop {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}\n");
#undef GROUP
#undef HALF
}

/* The same for 1 row and 8 outputs: r4 r5 the row, r2 r3 one output, r6-r12 and lr accumulators. */
__attribute__((naked, noinline)) static void multiply_1x8(const int8_t *w __attribute__((unused)),
                                                          const uint32_t *x __attribute__((unused)), int32_t groups __attribute__((unused)),
                                                          int32_t *acc __attribute__((unused))) {
#define OUTPUT(acc, at)                \
    "ldr r3, [r0, #" #at "]\n"         \
    "sxtb16 r2, r3\n"                  \
    "sxtb16 r3, r3, ror #8\n"          \
    "smlad " acc ", r2, r4, " acc "\n" \
    "smlad " acc ", r3, r5, " acc "\n"
    __asm__("push {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n"
            "ldmia r3, {r6-r12, lr}\n"
            "1:\n"
            "str r2, [sp]\n"
            "ldrd r4, r5, [r1], #8\n" OUTPUT("r6", 0) OUTPUT("r7", 4) OUTPUT("r8", 8) OUTPUT("r9", 12) OUTPUT("r10", 16) OUTPUT("r11", 20)
                OUTPUT("r12", 24) OUTPUT("lr", 28) "ldr r2, [sp]\n"
                                                   "add r0, r0, #64\n"
                                                   "subs r2, r2, #1\n"
                                                   "bne 1b\n"
                                                   "ldr r3, [sp, #4]\n"
                                                   "stmia r3, {r6-r12, lr}\n"
                                                   "pop {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}\n");
#undef OUTPUT
}

/* What the outputs of a panel have in common. */
typedef struct panel {
    const wisp_channels_s8 *channels;
    ptrdiff_t stride;
    int32_t rows;
    uint32_t lo, hi;
} panel;

/* acc[2 * row] to output i of the panel: a column of 4 rows, those beyond m left out. */
static void store_column(const panel *p, int32_t i, int8_t *out, int32_t *acc) {
    const ptrdiff_t stride = p->stride;
    const int32_t multiplier = p->channels->multiplier[i];
    int32_t shift = p->channels->shift[i];
    if (shift < 0) {
        for (int r = 0; r < 8; r += 2) acc[r] = shift_left(acc[r], shift);
        shift = 0;
    }
    uint32_t four = pack(requantize(acc[0], shift, multiplier), requantize(acc[2], shift, multiplier),
                         requantize(acc[4], shift, multiplier), requantize(acc[6], shift, multiplier));
    four = clamp_bytes(four, p->lo, p->hi);
    if (p->rows == 4) { /* nearly always */
        out[0] = (int8_t)four, out[stride] = (int8_t)(four >> 8);
        out += 2 * stride;
        out[0] = (int8_t)(four >> 16), out[stride] = (int8_t)(four >> 24);
        return;
    }
    for (int32_t r = 0; r < p->rows; r++, out += stride, four >>= 8) *out = (int8_t)four;
}

static int32_t term(const wisp_gemm *g, int32_t row, int32_t j) {
    return multiply_wrap(g->row_term[row < g->m ? row : g->m - 1], g->column_term[j]);
}

static void multiply_rows(const wisp_gemm *g, int32_t groups) {
    panel p = {g->columns, g->out_stride, g->m, repeat((int8_t)g->lo), repeat((int8_t)g->hi)};
    const int8_t *w = g->weights;
    int8_t *out = g->out;
    for (int32_t left = g->n; left > 0; left -= WISP_CHANNELS, p.channels++, w += (ptrdiff_t)groups * 64, out += WISP_CHANNELS)
        for (int32_t i = 0; i < WISP_CHANNELS && i < left; i += 2) {
            const int32_t even = p.channels->bias[i], odd = p.channels->bias[i + 1];
            int32_t acc[8] = {even, odd, even, odd, even, odd, even, odd};
            for (int32_t a = 0; g->row_term && a < 8; a++) acc[a] = add_wrap(acc[a], term(g, a / 2, g->n - left + i + a % 2));
            multiply_4x2(w + 4 * i, g->packed, groups, acc);
            store_column(&p, i, out + i, acc);
            if (i + 1 < left) store_column(&p, i + 1, out + i + 1, acc + 1);
        }
}

static void multiply_row(const wisp_gemm *g, int32_t groups) {
    const ptrdiff_t panel = (ptrdiff_t)groups * 64;
    int8_t *out = g->out;
    for (int32_t j = 0; j < g->n; j += 8) {
        const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
        const int32_t first = j % WISP_CHANNELS;
        int32_t acc[8];
        memcpy(acc, ch->bias + first, sizeof acc);
        for (int32_t i = 0; g->row_term && i < 8; i++) acc[i] = add_wrap(acc[i], term(g, 0, j + i));
        multiply_1x8((const int8_t *)g->weights + j / WISP_CHANNELS * panel + 4 * first, g->packed, groups, acc);
        for (int32_t i = 0; i < 8 && j + i < g->n; i++) {
            const int32_t shift = ch->shift[first + i];
            const uint32_t y = requantize(shift_left(acc[i], shift), shift < 0 ? 0 : shift, ch->multiplier[first + i]);
            out[j + i] = (int8_t)clamp_s32((int32_t)y, g->lo, g->hi);
        }
    }
}

static void multiply(const wisp_gemm *g) {
    const int32_t groups = g->taps * ((g->k + 3) / 4);
    if (g->m == 1)
        multiply_row(g, groups);
    else
        multiply_rows(g, groups);
}

static void pack_rows(const wisp_gemm *g, void *packed) {
    uint32_t *x = packed;
    if (g->m == 1)
        widen_row(g, 0, x, 1);
    else
        for (int32_t r = 0; r < 4; r++) widen_row(g, r < g->m ? r : g->m - 1, x + r, 4);
}

const wisp_gemm_kernel wisp_gemm_s8_dsp = {multiply, pack_rows, "gemm_s8_dsp", 4, 2};
