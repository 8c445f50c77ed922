/* Depthwise kernel: 4 channels of a pixel at a time, two taps in each smlad. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

void wisp_dwconv_s8_scalar(const wisp_dwconv_s8 *d);

/* MAX_TAPS: they take 768 bytes of stack; larger windows and fewer than 4 channels are left to the portable kernel. */
enum { WIDTH = 4, MAX_TAPS = 50 };

/* All that the pixels of one channel quad have in common. sum_taps knows the offsets of the first five fields. */
typedef struct quad {
    const int32_t *offset, *offset_end; /* of pairs of taps; an odd last one is doubled, its second weight is 0 */
    const uint32_t *weights;            /* [pairs][4] of int16 {tap 2p, tap 2p + 1} */
    ptrdiff_t c0;                       /* first channel */
    int32_t bias[WIDTH], right[WIDTH], left[WIDTH], multiplier[WIDTH]; /* right - left = shift; one of them is 0 */
} quad;

/* acc[i] = bias[i] + sum over t of rows[offset[t]][c0 + i] * weights. 19 instructions for 8 multiply-accumulates:
 *
 *   r1 rows   r6 r7 offsets and their end   r8 weights   r9 c0   r10-r12, lr accumulators   the others: data of one pair
 *
 * pkhbt and pkhtb put the same two channels of both taps in a word, sxtb16 makes pairs of them. */
__attribute__((naked, noinline)) static void
sum_taps(const quad *q __attribute__((unused)), const int8_t *const *rows __attribute__((unused)), int32_t *acc __attribute__((unused))) {
    __asm__("push {r2, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n"
            "ldmia r0!, {r6, r7, r8, r9}\n"
            "ldmia r0, {r10, r11, r12, lr}\n"
            "1:\n"
            "ldrd r2, r3, [r6], #8\n"
            "ldr r2, [r1, r2, lsl #2]\n"
            "ldr r3, [r1, r3, lsl #2]\n"
            "ldr r2, [r2, r9]\n"
            "ldr r3, [r3, r9]\n"
            "ldrd r4, r5, [r8], #16\n"
            "pkhbt r0, r2, r3, lsl #16\n"
            "pkhtb r3, r3, r2, asr #16\n"
            "sxtb16 r2, r0\n"
            "sxtb16 r0, r0, ror #8\n"
            "smlad r10, r2, r4, r10\n"
            "smlad r11, r0, r5, r11\n"
            "ldrd r4, r5, [r8, #-8]\n"
            "sxtb16 r2, r3\n"
            "sxtb16 r3, r3, ror #8\n"
            "smlad r12, r2, r4, r12\n"
            "smlad lr, r3, r5, lr\n"
            "cmp r6, r7\n"
            "bne 1b\n"
            "pop {r2}\n"
            "stmia r2, {r10, r11, r12, lr}\n"
            "pop {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

/* Channels c0.. c0 + 3, which may lie in two blocks. */
static void describe_quad(const wisp_dwconv_s8 *d, int32_t c0, int32_t pairs, quad *q, uint32_t *weights) {
    q->c0 = c0;
    for (int32_t i = 0; i < WIDTH; i++) {
        const int32_t c = (c0 + i) % WISP_CHANNELS;
        const wisp_channels_s8 *ch = d->channels + (c0 + i) / WISP_CHANNELS;
        const int8_t *w = d->weights + (ptrdiff_t)((c0 + i) / WISP_CHANNELS) * pairs * 32 + 2 * c;
        const int32_t shift = ch->shift[c];
        q->bias[i] = ch->bias[c], q->multiplier[i] = ch->multiplier[c];
        q->right[i] = shift > 0 ? shift : 0, q->left[i] = shift < 0 ? -shift : 0;
        for (int32_t p = 0; p < pairs; p++, w += 32) weights[p * WIDTH + i] = ((uint32_t)w[0] & 0xffff) | (uint32_t)w[1] << 16;
    }
}

/* Both shifts without a test: negative ones are common among the channels of depthwise layers. */
ALWAYS_INLINE uint32_t finish(const quad *q, int i, const int32_t *acc) {
    return requantize(__ssat(acc[i] >> q->right[i], 16) * (1 << q->left[i]), 0, q->multiplier[i]);
}

void wisp_dwconv_s8_dsp(const wisp_dwconv_s8 *d) {
    const int32_t pairs = d->taps / 2 + d->taps % 2;
    const uint32_t lo = repeat(d->lo), hi = repeat(d->hi);
    _Alignas(8) int32_t offset[MAX_TAPS];
    _Alignas(8) uint32_t weights[MAX_TAPS / 2 * WIDTH]; /* for ldrd */
    quad q = {.offset = offset, .offset_end = offset + 2 * pairs, .weights = weights};
    if (d->taps > MAX_TAPS || d->c < WIDTH) {
        wisp_dwconv_s8_scalar(d);
        return;
    }
    memcpy(offset, d->tap_offset, (size_t)d->taps * sizeof *offset);
    offset[2 * pairs - 1] = d->tap_offset[d->taps - 1];
    for (int32_t c = 0; c < d->c; c += WIDTH) {
        describe_quad(d, c + WIDTH <= d->c ? c : d->c - WIDTH, pairs, &q, weights); /* the last one may repeat some channels */
        const int8_t *const *rows = d->rows;
        int8_t *out = d->out + q.c0;
        for (int32_t i = 0; i < d->n; i++, rows += d->row_step, out += d->out_stride) {
            int32_t acc[WIDTH];
            sum_taps(&q, rows, acc);
            store_word(out, clamp_bytes(pack(finish(&q, 0, acc), finish(&q, 1, acc), finish(&q, 2, acc), finish(&q, 3, acc)), lo, hi));
        }
    }
}
