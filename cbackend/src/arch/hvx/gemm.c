/* int8 matrix kernel: words of four activations against vectors of 32 outputs on vrmpy. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

/* vrmpy(Vu.ub, Rt.b) multiplies 32 x 4 unsigned bytes by the four signed bytes of one word, which it takes from a scalar register:
 * no splat, two in a packet. The activations are the signed side, so weights become unsigned as they are loaded, by
 * flipping the top bit, and the surplus is taken back from the start value of the accumulators:
 *
 *     sum (w + 128) x  -  128 sum x  =  sum w x          modulo 2^32
 *
 * 128 sum x of a row comes out of the same instruction, with a vector of 128s for weights: in all lanes, where it is needed.
 *
 * Weights of two panels, two groups of four inputs (g, h):   | panel p:  g (64 bytes)  h (64) |   | panel p+1:  g  h |
 * after one vshuff, two vectors of 32 outputs:               | g of p   g of p+1 |   | h of p   h of p+1 |
 *
 * A tile is R rows by V such vectors, 8 x 1, 8 x 2, 4 x 1..4 or 1 x 1..4, so that accumulators and weights fit 32 registers.
 *
 * Packed: 8 pointers to rows, 128 sum x of each, and copies of rows that cannot be read as words where they are (not aligned to 8,
 * k not a multiple of 8, several taps):
 *     [8 rows][taps * k4 bytes, rounded up to 8]        bytes between k and k4 meet zero weights
 */
enum { ROWS = WISP_MAX_MR, GROUP = 4 };

typedef struct packed_rows {
    const int8_t *row[ROWS]; /* aligned to 8; rows beyond m repeat the last */
    int32_t surplus[ROWS];   /* 128 sum x */
} packed_rows;
_Static_assert(sizeof(packed_rows) <= 64, "wisp_packed_size");

typedef struct tile {
    const packed_rows *rows;
    ptrdiff_t groups; /* of four inputs, all taps */
} tile;

/* Copies k bytes; both sides may be unaligned. */
ALWAYS_INLINE void copy_row(int8_t *to, const int8_t *from, int32_t k) {
    int32_t c = 0;
    for (; c + BYTES <= k; c += BYTES) store(to + c, load(from + c));
    if (c < k) store_bytes(to + c, load_bytes(from + c, (size_t)(k - c)), 0, (size_t)(k - c));
}

static void place_rows(const wisp_gemm *g, packed_rows *packed) {
    const int32_t k4 = (int32_t)(((int64_t)g->k + 3) & ~(int64_t)3);
    const ptrdiff_t stride = (g->taps * (ptrdiff_t)k4 + 7) & ~(ptrdiff_t)7;
    for (int r = 0; r < g->m; r++) {
        packed->row[r] = g->rows[r];
        if (g->taps == 1 && g->k % 8 == 0 && (uintptr_t)g->rows[r] % 8 == 0) continue;
        int8_t *to = (int8_t *)packed + 64 + r * stride;
        packed->row[r] = to;
        for (int32_t tap = 0; tap < g->taps; tap++) copy_row(to + (ptrdiff_t)tap * k4, g->rows[(ptrdiff_t)tap * g->m + r], g->k);
    }
    for (int r = g->m; r < ROWS; r++) packed->row[r] = packed->row[g->m - 1];
}

/* Two groups (8 bytes) of a row. */
ALWAYS_INLINE uint64_t load_words(const int8_t *row, ptrdiff_t group) {
    return *(const uint64_t *)(const void *)(row + group * GROUP);
}
ALWAYS_INLINE int32_t load_word(const int8_t *row, ptrdiff_t group) {
    return *(const int32_t *)(const void *)(row + group * GROUP);
}

ALWAYS_INLINE void sum_rows(packed_rows *packed, ptrdiff_t groups, int rows) {
    const vector weights = splat_s8(-128);
    vector sum[ROWS];
    ptrdiff_t i = 0;
    for (int r = 0; r < rows; r++) sum[r] = Q6_V_vzero();
    for (; i + 2 <= groups; i += 2)
        for (int r = 0; r < rows; r++) {
            uint64_t x = load_words(packed->row[r], i);
            sum[r] = Q6_Vw_vrmpyacc_VwVubRb(sum[r], weights, (int32_t)x);
            sum[r] = Q6_Vw_vrmpyacc_VwVubRb(sum[r], weights, (int32_t)(x >> 32));
        }
    for (; i < groups; i++)
        for (int r = 0; r < rows; r++) sum[r] = Q6_Vw_vrmpyacc_VwVubRb(sum[r], weights, load_word(packed->row[r], i));
    for (int r = 0; r < rows; r++) store_bytes(&packed->surplus[r], sum[r], 0, sizeof packed->surplus[r]);
}

static void pack_rows(const wisp_gemm *g, void *memory) {
    packed_rows *packed = memory;
    place_rows(g, packed);
    const ptrdiff_t groups = g->taps * (ptrdiff_t)(((int64_t)g->k + 3) / GROUP);
    if (g->m == 1)
        sum_rows(packed, groups, 1);
    else
        sum_rows(packed, groups, ROWS);
}

/* The low words of the products. */
ALWAYS_INLINE vector multiply_words(vector a, vector b) {
    return Q6_Vw_vmpyieacc_VwVwVuh(Q6_Vw_vmpyieo_VhVh(a, b), a, b);
}

/* Stores R rows of V vectors. Where V < 3, one vector of bytes holds several rows. */
ALWAYS_INLINE void finish_tile(const wisp_gemm *g, vector acc[ROWS][4], const requantizer *q, int32_t first, int8_t *out, int32_t width,
                               int R, int V) {
    const int slots = V == 3 ? 4 : V, together = 4 / slots; /* vectors of a row, rows of a vector of bytes */
    const vector m01 = V == 1 ? lo(interleave(q->multiplier[0], q->multiplier[0], 64)) : q->multiplier[0];
    const vector m23 = V > 2 ? q->multiplier[1] : m01;
    for (int r = 0; r < R; r += together) {
        if (first + r >= g->m) return;
        vector t[4];
        for (int i = 0; i < 4; i++) {
            int row = r + i / slots, v = i % slots;
            if (row >= R) row = R - 1;
            if (v >= V) v = V - 1;
            t[i] = shift_s32(acc[row][v], q, v);
        }
        vector y = requantize_128(t[0], t[1], t[2], t[3], m01, m23, q);
        for (int i = 0; i < together && r + i < R && first + r + i < g->m; i++) {
            int8_t *to = out + (first + r + i) * g->out_stride;
            if (width == BYTES)
                store(to, y);
            else
                store_bytes(to, y, i * 32 * slots, (size_t)width);
        }
    }
}

/* Terms of rows first.. by the `panels` panels of outputs from j on. */
ALWAYS_INLINE void add_terms(const wisp_gemm *g, vector acc[ROWS][4], int32_t j, int32_t first, int32_t panels, int R, int V) {
    for (int v = 0; v < V; v++) {
        const size_t size = panels - 2 * v > 1 ? BYTES : BYTES / 2;
        const vector column = load_bytes(g->column_term + j + 32 * v, size);
        for (int r = 0; r < R; r++) {
            const int32_t row = first + r < g->m ? first + r : g->m - 1;
            acc[r][v] = Q6_Vw_vadd_VwVw(acc[r][v], multiply_words(column, Q6_V_vsplat_R(g->row_term[row])));
        }
    }
}

/* Rows first..first + R - 1 by V vectors of outputs, whose `panels` panels start at w. */
ALWAYS_INLINE void multiply_tile(const wisp_gemm *g, const tile *t, const requantizer *q, const int8_t *w, int32_t panels, int32_t j,
                                 int32_t first, int8_t *out, int32_t width, int R, int V) {
    const vector flip = splat_s8(-128);
    const ptrdiff_t groups = t->groups;
    const int8_t *panel[8];
    vector acc[ROWS][4];
    for (int p = 0; p < 2 * V; p++) panel[p] = w + (p < panels ? p : panels - 1) * groups * 64;
    for (int r = 0; r < R; r++)
        for (int v = 0; v < V; v++) acc[r][v] = Q6_Vw_vsub_VwVw(q->bias[v], Q6_V_vsplat_R(t->rows->surplus[first + r]));
    if (g->row_term) add_terms(g, acc, j, first, panels, R, V);
    ptrdiff_t i = 0;
    for (; i + 2 <= groups; i += 2) {
        vector even[4], odd[4];
        for (int v = 0; v < V; v++) {
            vector_pair both = interleave(load(panel[2 * v] + i * 64), load(panel[2 * v + 1] + i * 64), 64);
            even[v] = Q6_V_vxor_VV(lo(both), flip);
            odd[v] = Q6_V_vxor_VV(hi(both), flip);
        }
        for (int r = 0; r < R; r++) {
            uint64_t x = load_words(t->rows->row[first + r], i);
            for (int v = 0; v < V; v++) {
                acc[r][v] = Q6_Vw_vrmpyacc_VwVubRb(acc[r][v], even[v], (int32_t)x);
                acc[r][v] = Q6_Vw_vrmpyacc_VwVubRb(acc[r][v], odd[v], (int32_t)(x >> 32));
            }
        }
    }
    if (i < groups)
        for (int v = 0; v < V; v++) {
            vector a = load_bytes(panel[2 * v] + i * 64, 64), b = load_bytes(panel[2 * v + 1] + i * 64, 64);
            vector last = Q6_V_vxor_VV(lo(interleave(a, b, 64)), flip);
            for (int r = 0; r < R; r++) acc[r][v] = Q6_Vw_vrmpyacc_VwVubRb(acc[r][v], last, load_word(t->rows->row[first + r], i));
        }
    finish_tile(g, acc, q, first, out, width, R, V);
}

/* All rows of the tile by one block of outputs. */
static void multiply_block(const wisp_gemm *g, const tile *t, int32_t j) {
    const int32_t width = g->n - j < BYTES ? g->n - j : BYTES, panels = (width + WISP_CHANNELS - 1) / WISP_CHANNELS;
    const int8_t *w = (const int8_t *)g->weights + j / WISP_CHANNELS * t->groups * 64;
    int8_t *out = (int8_t *)g->out + j;
    requantizer q;
#define TILE(first, R, V) multiply_tile(g, t, &q, w, panels, j, first, out, width, R, V)
    const int V = (panels + 1) / 2;
    load_requantizer(&q, (const wisp_channels_s8 *)g->columns + j / WISP_CHANNELS, panels, V, (int8_t)g->lo, (int8_t)g->hi,
                     g->any_left_shift);
    if (g->m == 1) {
        switch (V) {
            case 1: TILE(0, 1, 1); break;
            case 2: TILE(0, 1, 2); break;
            case 3: TILE(0, 1, 3); break;
            default: TILE(0, 1, 4); break;
        }
    } else if (V == 1) {
        TILE(0, 8, 1);
    } else if (V == 2) {
        TILE(0, 8, 2);
    } else {
        for (int32_t first = 0; first < g->m; first += 4) {
            if (V == 3)
                TILE(first, 4, 3);
            else
                TILE(first, 4, 4);
        }
    }
#undef TILE
}

static void multiply(const wisp_gemm *g) {
    const wisp_gemm local = *g;
    const tile t = {local.packed, local.taps * (ptrdiff_t)(((int64_t)local.k + 3) / GROUP)};
    for (int32_t j = 0; j < local.n; j += BYTES) multiply_block(&local, &t, j);
}

/* unit 2: copies of rows are rounded up to 8 bytes. */
const wisp_gemm_kernel wisp_gemm_s8_hvx = {multiply, pack_rows, "gemm_s8_hvx", ROWS, 2};
