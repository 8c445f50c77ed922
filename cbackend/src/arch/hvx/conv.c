/* Depthwise kernel: one pixel by a block of up to 128 channels, four taps at a time on vrmpy. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

/* Four taps x0..x3 of 128 channels are interleaved to four vectors of 32 channels x 4 taps, one vrmpy each:
 *
 *     x0 x1 -> c0t0 c0t1 c1t0 c1t1 ...     \  halfwords of both: c0t0 c0t1 c0t2 c0t3  c1t0 ...   channels 0..31, 32..63
 *     x2 x3 -> c0t2 c0t3 c1t2 c1t3 ...     /                     and from the upper vectors      64..95, 96..127
 *
 * Weights are brought into that order once for each block and kept on the stack: they serve all n pixels. Taps that do not
 * exist have zero weights; the last one stands in for their data. */
enum { MAX_TAPS = 64, MAX_GROUPS = MAX_TAPS / 4 };

typedef struct block {
    vector weights[MAX_GROUPS][4];
    requantizer q;
    int32_t c0, width, groups;
} block;

/* Pairs of taps of one panel from byte `at` on: up to four, zeros after the last. */
ALWAYS_INLINE vector load_pairs(const int8_t *panel, ptrdiff_t panel_size, ptrdiff_t at) {
    ptrdiff_t size = panel_size - at < BYTES ? panel_size - at : BYTES;
    return Q6_V_vand_QV(Q6_Q_vsetq2_R((int32_t)size), load_bytes(panel + at, (size_t)size));
}

static void load_block(block *b, const wisp_dwconv_s8 *d, int32_t c0) {
    const ptrdiff_t panel_size = (ptrdiff_t)((d->taps + (int64_t)1) / 2) * 32;
    b->c0 = c0;
    b->width = d->c - c0 < BYTES ? d->c - c0 : BYTES;
    b->groups = (d->taps + 3) / 4;
    const int32_t panels = (b->width + WISP_CHANNELS - 1) / WISP_CHANNELS;
    const int8_t *first = d->weights + c0 / WISP_CHANNELS * panel_size;
    for (int v = 0; v < 4; v++) {
        const int8_t *even = first + (2 * v < panels ? 2 * v : panels - 1) * panel_size;
        const int8_t *odd = first + (2 * v + 1 < panels ? 2 * v + 1 : panels - 1) * panel_size;
        for (int32_t g = 0; g < b->groups; g += 2) {
            /* 32-byte pairs P0..P3 of both panels -> P0 P0' P1 P1', P2 P2' P3 P3' -> by halfword, the first half with the second */
            vector_pair p = interleave(load_pairs(even, panel_size, g * 64), load_pairs(odd, panel_size, g * 64), 32);
            b->weights[g][v] = Q6_Vh_vshuff_Vh(lo(p));
            if (g + 1 < b->groups) b->weights[g + 1][v] = Q6_Vh_vshuff_Vh(hi(p));
        }
    }
    load_requantizer(&b->q, d->channels + c0 / WISP_CHANNELS, panels, d->lo, d->hi, d->left);
}

ALWAYS_INLINE vector load_tap(const int8_t *const *row, ptrdiff_t offset, const block *b, int full) {
    const int8_t *x = row[offset] + b->c0;
    return full ? load(x) : load_bytes(x, (size_t)b->width);
}

/* acc += four taps by their weights; V: vectors of 32 channels that exist. */
ALWAYS_INLINE void add_group(vector acc[4], vector x0, vector x1, vector x2, vector x3, const vector w[4], int V) {
    vector_pair a = interleave(x0, x1, 1), b = interleave(x2, x3, 1);
    vector_pair first = interleave(lo(a), lo(b), 2);
    acc[0] = Q6_Vw_vrmpyacc_VwVbVb(acc[0], lo(first), w[0]);
    if (V > 1) acc[1] = Q6_Vw_vrmpyacc_VwVbVb(acc[1], hi(first), w[1]);
    if (V > 2) {
        vector_pair second = interleave(hi(a), hi(b), 2);
        acc[2] = Q6_Vw_vrmpyacc_VwVbVb(acc[2], lo(second), w[2]);
        acc[3] = Q6_Vw_vrmpyacc_VwVbVb(acc[3], hi(second), w[3]);
    }
}

/* taps: 9, or 0 for any number. */
ALWAYS_INLINE void convolve_pixels(const wisp_dwconv_s8 *d, const block *b, int taps, int V, int full, int left) {
    const requantizer *q = &b->q;
    const int8_t *const *row = d->rows;
    int8_t *out = d->out + b->c0;
    for (int32_t i = 0; i < d->n; i++, row += d->row_step, out += d->out_stride) {
        vector acc[4];
        for (int v = 0; v < 4; v++) acc[v] = q->bias[v];
        if (taps == 9) {
            vector x[9];
            for (int t = 0; t < 9; t++) x[t] = load_tap(row, d->tap_offset[t], b, full);
            add_group(acc, x[0], x[1], x[2], x[3], b->weights[0], V);
            add_group(acc, x[4], x[5], x[6], x[7], b->weights[1], V);
            add_group(acc, x[8], x[8], x[8], x[8], b->weights[2], V);
        } else {
            const int32_t last = d->taps - 1;
            for (int32_t g = 0, t = 0; g < b->groups; g++, t += 4) {
                vector x0 = load_tap(row, d->tap_offset[t], b, full);
                vector x1 = load_tap(row, d->tap_offset[t + 1 < last ? t + 1 : last], b, full);
                vector x2 = load_tap(row, d->tap_offset[t + 2 < last ? t + 2 : last], b, full);
                vector x3 = load_tap(row, d->tap_offset[t + 3 < last ? t + 3 : last], b, full);
                add_group(acc, x0, x1, x2, x3, b->weights[g], V);
            }
        }
        for (int v = 0; v < 4; v++) acc[v] = v < V ? shift_s32(acc[v], q->shift[v], left) : acc[0];
        vector y = requantize_128(acc[0], acc[1], acc[2], acc[3], q->multiplier[0], q->multiplier[1], q);
        if (full)
            store(out, y);
        else
            store_bytes(out, y, 0, (size_t)b->width);
    }
}

ALWAYS_INLINE void convolve_block(const wisp_dwconv_s8 *d, const block *b, int taps, int left) {
    if (b->width == BYTES)
        convolve_pixels(d, b, taps, 4, 1, left);
    else if (b->width > 64)
        convolve_pixels(d, b, taps, 4, 0, left);
    else if (b->width > 32)
        convolve_pixels(d, b, taps, 2, 0, left);
    else
        convolve_pixels(d, b, taps, 1, 0, left);
}

/* More taps than the stack holds: their weights would have to be reordered for every pixel. */
static void convolve_many_taps(const wisp_dwconv_s8 *d) {
    wisp_kernels scalar;
    wisp_kernels_init(&scalar, 0);
    scalar.dwconv_s8(d);
}

void wisp_dwconv_s8_hvx(const wisp_dwconv_s8 *d) {
    block b;
    if (d->taps > MAX_TAPS) {
        convolve_many_taps(d);
        return;
    }
    for (int32_t c0 = 0; c0 < d->c; c0 += BYTES) {
        load_block(&b, d, c0);
        if (d->left)
            convolve_block(d, &b, 0, 1);
        else if (d->taps == 9)
            convolve_block(d, &b, 9, 0);
        else
            convolve_block(d, &b, 0, 0);
    }
}
