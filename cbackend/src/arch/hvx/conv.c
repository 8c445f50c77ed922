/* Depthwise kernel: one pixel by a block of up to 128 channels, four taps at a time on vrmpy. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

void wisp_dwconv_s8_scalar(const wisp_dwconv_s8 *d);

/* Four taps x0..x3 of 128 channels are interleaved to four vectors of 32 channels x 4 taps, one vrmpy each:
 *
 *     x0 x1 -> c0t0 c0t1 c1t0 c1t1 ...     \  halfwords of both: c0t0 c0t1 c0t2 c0t3  c1t0 ...   channels 0..31, 32..63
 *     x2 x3 -> c0t2 c0t3 c1t2 c1t3 ...     /                     and from the upper vectors      64..95, 96..127
 *
 * Weights are brought into that order once for each block and kept on the stack: they serve all n pixels. Places of a group that
 * have no tap have zero weights; data of another tap stands there.
 *
 * Where pixels overlap in a 3x3 window (the taps of a line one row_step apart), a group is a column of the window: 3 taps. One
 * column is interleaved for each pixel and used three times, as right, middle and left. */
enum { MAX_TAPS = 64, MAX_GROUPS = MAX_TAPS / 4, NO_TAP = -1 };

typedef struct block {
    vector weights[MAX_GROUPS][4];
    requantizer q;
    int32_t c0, width; /* channels */
    int32_t groups;
    int8_t order[MAX_TAPS]; /* tap of each place */
} block;

/* One tap of 64 channels in the low bytes of halfwords. */
typedef struct panels {
    const int8_t *at[4];
    ptrdiff_t size;
} panels;

/* 32 bytes, two taps of a panel's channels, may be the end of the weights: read no further than that. */
ALWAYS_INLINE vector load_tap_weights(const panels *p, int tap) {
    if (tap == NO_TAP) return Q6_V_vzero();
    const ptrdiff_t at = tap / 2 * 32;
    vector a = load_bytes(p->at[0] + at, 32), b = load_bytes(p->at[1] + at, 32);
    vector c = load_bytes(p->at[2] + at, 32), d = load_bytes(p->at[3] + at, 32);
    vector ab = lo(interleave(a, b, 32)), cd = lo(interleave(c, d, 32)), both = lo(interleave(ab, cd, 64));
    return tap % 2 ? Q6_Vuh_vlsr_VuhR(both, 8) : Q6_V_vand_VV(both, Q6_V_vsplat_R(0x00ff00ff));
}

ALWAYS_INLINE vector two_taps(const panels *p, int first, int second) {
    return Q6_V_vor_VV(load_tap_weights(p, first), Q6_Vh_vasl_VhR(load_tap_weights(p, second), 8));
}

static void load_block(block *b, const wisp_dwconv_s8 *d, int32_t c0) {
    const ptrdiff_t panel_size = (ptrdiff_t)((d->taps + (int64_t)1) / 2) * 32;
    b->c0 = c0;
    b->width = d->c - c0 < BYTES ? d->c - c0 : BYTES;
    const int32_t count = (b->width + WISP_CHANNELS - 1) / WISP_CHANNELS;
    const int8_t *first = d->weights + c0 / WISP_CHANNELS * panel_size;
    for (int half = 0; half < 2 && half * 4 < count; half++) {
        panels p = {.size = panel_size};
        for (int i = 0; i < 4; i++) p.at[i] = first + (half * 4 + i < count ? half * 4 + i : count - 1) * panel_size;
        for (int32_t g = 0; g < b->groups; g++) {
            const int8_t *t = b->order + 4 * g;
            vector_pair w = interleave(two_taps(&p, t[0], t[1]), two_taps(&p, t[2], t[3]), 2);
            b->weights[g][2 * half] = lo(w);
            b->weights[g][2 * half + 1] = hi(w);
        }
    }
    load_requantizer(&b->q, d->channels + c0 / WISP_CHANNELS, count, (count + 1) / 2, d->lo, d->hi, d->any_left_shift);
}

/* How channels are read and how many vectors of 32 there are. */
typedef struct shape {
    int V, full;
} shape;

ALWAYS_INLINE vector load_channels(const int8_t *row, const block *b, shape s) {
    return s.full ? load(row + b->c0) : load_bytes(row + b->c0, (size_t)b->width);
}

/* Four taps of a pixel, interleaved. */
typedef struct group {
    vector v[4];
} group;

ALWAYS_INLINE group gather(vector x0, vector x1, vector x2, vector x3, shape s) {
    vector_pair a = interleave(x0, x1, 1), b = interleave(x2, x3, 1);
    vector_pair first = interleave(lo(a), lo(b), 2), second = first;
    if (s.V > 2) second = interleave(hi(a), hi(b), 2);
    return (group){{lo(first), hi(first), lo(second), hi(second)}};
}

ALWAYS_INLINE void add_group(vector acc[4], const group *x, const vector w[4], shape s) {
    for (int v = 0; v < s.V; v++) acc[v] = Q6_Vw_vrmpyacc_VwVbVb(acc[v], x->v[v], w[v]);
}

ALWAYS_INLINE void finish_pixel(int8_t *out, vector acc[4], const block *b, shape s) {
    const requantizer *q = &b->q;
    vector t[4];
    for (int v = 0; v < 4; v++) t[v] = v < s.V ? shift_s32(acc[v], q, v) : t[0];
    vector y = requantize_128(t[0], t[1], t[2], t[3], q->multiplier[0], q->multiplier[1], q);
    if (s.full)
        store(out, y);
    else
        store_bytes(out, y, 0, (size_t)b->width);
}

ALWAYS_INLINE void convolve_any(const wisp_dwconv_s8 *d, const block *b, shape s) {
    const int8_t *const *row = d->rows;
    int8_t *out = d->out + b->c0;
    for (int32_t i = 0; i < d->n; i++, row += d->row_step, out += d->out_stride) {
        vector acc[4];
        for (int v = 0; v < 4; v++) acc[v] = b->q.bias[v];
        for (int32_t g = 0; g < b->groups; g++) {
            vector x[4];
            for (int j = 0; j < 4; j++) {
                int tap = b->order[4 * g + j];
                x[j] = load_channels(row[d->tap_offset[tap == NO_TAP ? 0 : tap]], b, s);
            }
            group data = gather(x[0], x[1], x[2], x[3], s);
            add_group(acc, &data, b->weights[g], s);
        }
        finish_pixel(out, acc, b, s);
    }
}

/* 3x3, columns in order. The pointers of its nine rows stay in registers. */
ALWAYS_INLINE void convolve_nine(const wisp_dwconv_s8 *d, const block *b, shape s) {
    const int8_t *const *row[9];
    int8_t *out = d->out + b->c0;
    for (int t = 0; t < 9; t++) row[t] = d->rows + d->tap_offset[t];
    ptrdiff_t at = 0;
    for (int32_t i = 0; i < d->n; i++, at += d->row_step, out += d->out_stride) {
        vector acc[4];
        for (int v = 0; v < 4; v++) acc[v] = b->q.bias[v];
        for (int x = 0; x < 3; x++) {
            vector top = load_channels(row[x][at], b, s), middle = load_channels(row[3 + x][at], b, s);
            vector bottom = load_channels(row[6 + x][at], b, s);
            group data = gather(top, middle, bottom, bottom, s);
            add_group(acc, &data, b->weights[x], s);
        }
        finish_pixel(out, acc, b, s);
    }
}

typedef struct columns {
    const int8_t *const *top, *const *middle, *const *bottom;
    ptrdiff_t step;
} columns;

ALWAYS_INLINE group next_column(columns *c, const block *b, shape s) {
    vector bottom = load_channels(*c->bottom, b, s);
    group data = gather(load_channels(*c->top, b, s), load_channels(*c->middle, b, s), bottom, bottom, s);
    c->top += c->step, c->middle += c->step, c->bottom += c->step;
    return data;
}

ALWAYS_INLINE void convolve_columns(const wisp_dwconv_s8 *d, const block *b, const group *left, const group *middle, const group *right,
                                    int8_t *out, shape s) {
    vector acc[4];
    for (int v = 0; v < 4; v++) acc[v] = b->q.bias[v];
    (void)d;
    add_group(acc, left, b->weights[0], s);
    add_group(acc, middle, b->weights[1], s);
    add_group(acc, right, b->weights[2], s);
    finish_pixel(out, acc, b, s);
}

/* 3x3 with overlapping columns; the loop is written three times so that no column has to move. */
ALWAYS_INLINE void convolve_sliding(const wisp_dwconv_s8 *d, const block *b, shape s) {
    columns c = {d->rows + d->tap_offset[0], d->rows + d->tap_offset[3], d->rows + d->tap_offset[6], d->row_step};
    int8_t *out = d->out + b->c0;
    group x = next_column(&c, b, s), y = next_column(&c, b, s), z;
    for (int32_t left = d->n;;) {
        z = next_column(&c, b, s);
        convolve_columns(d, b, &x, &y, &z, out, s);
        out += d->out_stride;
        if (!--left) return;
        x = next_column(&c, b, s);
        convolve_columns(d, b, &y, &z, &x, out, s);
        out += d->out_stride;
        if (!--left) return;
        y = next_column(&c, b, s);
        convolve_columns(d, b, &z, &x, &y, out, s);
        out += d->out_stride;
        if (!--left) return;
    }
}

enum { ANY, NINE, SLIDING };

static int choose_order(block *b, const wisp_dwconv_s8 *d) {
    static const int8_t by_column[12] = {0, 3, 6, NO_TAP, 1, 4, 7, NO_TAP, 2, 5, 8, NO_TAP};
    b->groups = (d->taps + 3) / 4;
    if (d->taps != 9) {
        for (int32_t t = 0; t < b->groups * 4; t++) b->order[t] = t < d->taps ? (int8_t)t : NO_TAP;
        return ANY;
    }
    memcpy(b->order, by_column, sizeof by_column);
    const int32_t *o = d->tap_offset;
    for (int t = 0; t < 9; t++)
        if (t % 3 && o[t] != o[t - 1] + d->row_step) return NINE;
    return SLIDING;
}

ALWAYS_INLINE void convolve(const wisp_dwconv_s8 *d, const block *b, int kind, shape s) {
    if (kind == SLIDING)
        convolve_sliding(d, b, s);
    else if (kind == NINE)
        convolve_nine(d, b, s);
    else
        convolve_any(d, b, s);
}

void wisp_dwconv_s8_hvx(const wisp_dwconv_s8 *d) {
    block b;
    if (d->taps > MAX_TAPS) { /* their weights would have to be reordered for every pixel */
        wisp_dwconv_s8_scalar(d);
        return;
    }
    const int kind = choose_order(&b, d);
    for (int32_t c0 = 0; c0 < d->c; c0 += BYTES) {
        /* The last block of whole panels starts early and computes some channels twice: full vectors cost less than parts. */
        if (d->c - c0 < BYTES && d->c > BYTES && d->c % WISP_CHANNELS == 0) c0 = d->c - BYTES;
        load_block(&b, d, c0);
        if (b.width == BYTES)
            convolve(d, &b, kind, (shape){4, 1});
        else if (b.width > 64)
            convolve(d, &b, kind, (shape){4, 0});
        else if (b.width > 32)
            convolve(d, &b, kind, (shape){2, 0});
        else
            convolve(d, &b, kind, (shape){1, 0});
    }
}
