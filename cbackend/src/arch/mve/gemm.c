/* Matrix kernel: 4 rows by 2 outputs, a gathering load for 16 weights of one output, vmladava for 16 products. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

/* A panel is [groups][16 outputs][4 values]: one output's words lie 64 bytes apart. A gathering load of four of them meets 16
 * consecutive values of a row. Rows are packed with taps joined and padded to whole groups: [rows][groups * 4]. */
static void pack_rows(const wisp_gemm *g, void *packed) {
    int8_t *to = packed;
    const int32_t k4 = (g->k + 3) & ~3;
    for (int32_t r = 0; r < g->m; r++, to += (ptrdiff_t)g->taps * k4)
        for (int32_t t = 0; t < g->taps; t++) {
            const int8_t *x = g->rows[(ptrdiff_t)t * g->m + r];
            for (int32_t c = 0; c < g->k; c += 16) /* lanes beyond k are read as 0 and written up to k4 */
                vstrbq_p_s8(to + t * k4 + c, vldrbq_z_s8(x + c, vctp8q((uint32_t)(g->k - c))), vctp8q((uint32_t)(k4 - c)));
        }
}

/* sums[r * 16], sums[r * 16 + 1] += rows x weights of two outputs, over `groups` >= 1 groups. Lanes past the last group are
 * predicated away. The accumulators of vmladava are the even registers, all eight of them:
 *
 *   r0 r2 rows 0 and 1   r4 r6   r8 r10   r12 lr     outputs side by side
 *   r1 r3 r5 r7 rows   r9 turns left   r11 sums
 *   q0-q3 16 values of the rows   q4 q5 weights   q6 addresses of the weights of the first output, less 256 */
typedef struct job {
    const int8_t *rows[4];
    uint32_t groups;
    int32_t *sums;
    const int8_t *weights;
} job;

__attribute__((naked, noinline)) static void multiply_4x2(const job *j __attribute__((unused)),
                                                          uint32x4_t offsets __attribute__((unused))) {
#define LOAD(row, q, then) "vldrb" then ".u8 " q ", [" row "], #16\n"
#define PRODUCTS(q, a, b, then) "vmladava" then ".s8 " a ", " q ", q4\n vmladava" then ".s8 " b ", " q ", q5\n"
    __asm__("push {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n"
            "vpush {d8-d13}\n"
            "ldr r1, [r0, #24]\n"
            "sub r1, r1, #256\n"
            "vadd.i32 q6, q0, r1\n"
            "ldr r11, [r0, #20]\n"
            "ldr r9, [r0, #16]\n"
            "ldr r1, [r0]\n ldr r3, [r0, #4]\n ldr r5, [r0, #8]\n ldr r7, [r0, #12]\n"
            "ldrd r0, r2, [r11]\n"
            "ldrd r4, r6, [r11, #64]\n"
            "ldrd r8, r10, [r11, #128]\n"
            "ldrd r12, lr, [r11, #192]\n"
            "subs r9, r9, #4\n"
            "blo 2f\n"
            "1:\n"
            "vldrw.u32 q4, [q6, #256]!\n" LOAD("r1", "q0", "") "vldrw.u32 q5, [q6, #4]\n" PRODUCTS("q0", "r0", "r2", "") LOAD(
                "r3", "q1", "") PRODUCTS("q1", "r4", "r6", "") LOAD("r5", "q2", "") PRODUCTS("q2", "r8", "r10", "") LOAD("r7", "q3", "")
                PRODUCTS("q3", "r12", "lr", "") "subs r9, r9, #4\n"
                                                "bhs 1b\n"
                                                "2:\n"
                                                "adds r9, r9, #4\n"
                                                "beq 3f\n"
                                                "vctp.32 r9\n"
                                                "vpstttt\n"
                                                "vldrwt.u32 q4, [q6, #256]!\n" LOAD("r1", "q0", "t") "vldrwt.u32 q5, [q6, #4]\n" LOAD(
                                                    "r3", "q1", "t") "vpstttt\n" PRODUCTS("q0", "r0", "r2", "t")
                                                    PRODUCTS("q1", "r4", "r6", "t") "vpstttt\n" LOAD("r5", "q2", "t") LOAD("r7", "q3", "t")
                                                        PRODUCTS("q2", "r8", "r10", "t") "vpstt\n" PRODUCTS(
                                                            "q3", "r12", "lr", "t") "3:\n"
                                                                                    "strd r0, r2, [r11]\n"
                                                                                    "strd r4, r6, [r11, #64]\n"
                                                                                    "strd r8, r10, [r11, #128]\n"
                                                                                    "strd r12, lr, [r11, #192]\n"
                                                                                    "vpop {d8-d13}\n"
                                                                                    "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
#undef PRODUCTS
#undef LOAD
}

/* One row by four outputs. */
static void multiply_1x4(const int8_t *x, const int8_t *w, uint32_t groups, uint32x4_t offsets, int32_t *sums) {
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
    for (uint32_t i = 0; i < groups; i += 4, x += 16, w += 256) {
        const mve_pred16_t p = vctp32q(groups - i);
        const int8x16_t v = vldrbq_z_s8(x, p);
#define OUTPUT(acc, at) \
    acc = vmladavaq_p_s8(acc, v, vreinterpretq_s8_s32(vldrwq_gather_offset_z_s32((const int32_t *)(const void *)(w + at), offsets, p)), p);
        OUTPUT(a, 0) OUTPUT(b, 4) OUTPUT(c, 8) OUTPUT(d, 12)
#undef OUTPUT
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

static void store_panel(const wisp_gemm *g, int32_t j, const int32_t *sums) {
    const channels c = load_channels((const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS);
    const int8x16_t lo = vdupq_n_s8((int8_t)g->lo), hi = vdupq_n_s8((int8_t)g->hi);
    const mve_pred16_t p = vctp8q((uint32_t)(g->n - j));
    int8_t *out = (int8_t *)g->out + j;
    for (int32_t r = 0; r < g->m; r++, out += g->out_stride, sums += WISP_CHANNELS) {
        const int32x4x4_t a = vld4q_s32(sums);
        vstrbq_p_s8(out, requantize(a.val[0], a.val[1], a.val[2], a.val[3], &c, lo, hi), p);
    }
}

/* What the sums of row r start with. */
static void start_row(const wisp_gemm *g, int32_t j, int32_t r, int32_t *sums) {
    const wisp_channels_s8 *ch = (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS;
    memcpy(sums, ch->bias, sizeof ch->bias);
    if (!g->row_term) return;
    const int32_t term = g->row_term[r < g->m ? r : g->m - 1];
    for (int32_t i = 0; i < WISP_CHANNELS; i++) sums[i] = add_wrap(sums[i], multiply_wrap(term, g->column_term[j + i]));
}

static void multiply(const wisp_gemm *g) {
    const uint32_t groups = (uint32_t)g->taps * (((uint32_t)g->k + 3) / 4);
    const ptrdiff_t row_size = (ptrdiff_t)groups * 4;
    const int8_t *x = g->packed, *w = g->weights;
    const uint32x4_t offsets = vidupq_n_u32(0, 1) * 64;
    int32_t sums[4 * WISP_CHANNELS];
    job job = {.groups = groups, .sums = sums};
    for (int32_t r = 0; r < 4; r++) job.rows[r] = x + (r < g->m ? r : g->m - 1) * row_size;
    for (int32_t j = 0; j < g->n; j += WISP_CHANNELS, w += (ptrdiff_t)groups * 64) {
        const int32_t width = g->n - j < WISP_CHANNELS ? g->n - j : WISP_CHANNELS;
        for (int32_t r = 0; r < g->m || r == 0 || (g->m > 1 && r < 4); r++) start_row(g, j, r, sums + r * WISP_CHANNELS);
        if (g->m == 1)
            for (int32_t i = 0; i < width; i += 4) multiply_1x4(x, w + 4 * i, groups, offsets, sums + i);
        else
            for (int32_t i = 0; i < width; i += 2) {
                job.weights = w + 4 * i;
                job.sums = sums + i;
                multiply_4x2(&job, offsets);
            }
        store_panel(g, j, sums);
    }
}

const wisp_gemm_kernel wisp_gemm_s8_mve = {multiply, pack_rows, "gemm_s8_mve", 4, 1};
