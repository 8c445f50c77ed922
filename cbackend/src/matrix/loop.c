/* The loop: a block of row tiles packed once, in it blocks of columns, in them tiles. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

enum {
    /* Weights walked for one tile after the other stay in a second-level cache of 512 KB with room for the rows. */
    WEIGHT_BLOCK = 256 * 1024,
    /* Packed rows that may be kept for the next block of weights beside it. */
    PACKED_BLOCK = 64 * 1024
};

int64_t wisp_panel_size(const wisp_matrix *m) {
    return m->x_size == 1 ? 16ll * m->taps * ((m->k + 3) & ~3) : 64ll * m->taps * m->k;
}

int64_t wisp_column_block_size(const wisp_matrix *m) {
    return m->x_size == 1 ? (int64_t)sizeof(wisp_channels_s8) : 64;
}

/* ---- scratch: | values outside | tile: packed, pointers, patches | tile | ... */

static uint64_t round_up_64(uint64_t size) {
    return (size + 63) & ~63ull;
}

static uint64_t outside_size(const wisp_matrix *m) {
    return m->source == WISP_ROWS_PLAIN ? 0 : round_up_64((uint64_t)m->group_k * m->x_size);
}

static uint64_t packed_size(const wisp_matrix *m, int32_t rows, int32_t unit) {
    return round_up_64(wisp_packed_size(rows, unit, m->k, m->taps));
}

static uint64_t pointers_size(const wisp_matrix *m, int32_t rows) {
    return round_up_64(sizeof(void *) * (uint64_t)rows * (uint64_t)m->taps);
}

/* copy_ahead needs 15 bytes behind the last patch. */
static uint64_t patches_size(const wisp_matrix *m, int32_t rows) {
    if (m->source != WISP_ROWS_PATCHES) return 0;
    return round_up_64((uint64_t)rows * (uint64_t)wisp_patch_values(m) * m->x_size + 16);
}

static uint64_t tile_size(const wisp_matrix *m) {
    const int32_t rows = m->kernel->rows;
    return packed_size(m, rows, m->kernel->unit) + pointers_size(m, rows) + patches_size(m, rows);
}

uint64_t wisp_matrix_least_scratch(const wisp_matrix *m) {
    const int32_t unit = m->x_size == 1 ? WISP_MAX_UNIT : 0;
    return outside_size(m) + packed_size(m, WISP_MAX_MR, unit) + pointers_size(m, WISP_MAX_MR) + patches_size(m, WISP_MAX_MR);
}

static int32_t column_block(const wisp_matrix *m) {
    const int64_t fit = WEIGHT_BLOCK / wisp_panel_size(m), panels = ((int64_t)m->n + 15) / 16;
    return fit < 1 ? 16 : fit >= panels ? m->n : (int32_t)fit * 16;
}

uint64_t wisp_matrix_set_tiles(wisp_matrix *m, int64_t rows, uint64_t limit) {
    const uint64_t least = wisp_matrix_least_scratch(m), each = tile_size(m), fixed = outside_size(m);
    const uint64_t room = limit == UINT64_MAX ? least : limit < PACKED_BLOCK ? limit : PACKED_BLOCK;
    const int64_t all = (rows + m->kernel->rows - 1) / m->kernel->rows;
    int64_t tiles = room > fixed ? (int64_t)((room - fixed) / each) : 1;
    if (tiles > all) tiles = all;
    m->tiles = column_block(m) < m->n && tiles > 1 ? (int32_t)tiles : 1;
    const uint64_t used = fixed + (uint64_t)m->tiles * each;
    return used > least ? used : least;
}

/* ---- the loop */

typedef struct tile {
    void *packed;
    const void **rows;
    uint8_t *patches;
} tile;

static tile tile_at(const wisp_matrix *m, uint8_t *scratch, int32_t i) {
    uint8_t *base = scratch + outside_size(m) + (uint64_t)i * tile_size(m);
    tile t = {.packed = base};
    base += packed_size(m, m->kernel->rows, m->kernel->unit);
    t.rows = (const void **)(void *)base;
    t.patches = base + pointers_size(m, m->kernel->rows);
    return t;
}

/* What all tiles of a product have in common. */
static wisp_gemm describe(const wisp_matrix *m) {
    wisp_gemm g = {.k = m->source == WISP_ROWS_PATCHES ? wisp_patch_values(m) : m->k,
                   .taps = m->taps,
                   .out_stride = (ptrdiff_t)m->y_stride,
                   .any_left_shift = m->any_left_shift,
                   .full_range = m->full_range};
    if (m->y_size == 1)
        g.lo = m->lo, g.hi = m->hi;
    else
        g.min = m->min, g.max = m->max;
    return g;
}

static void pack_tile(const wisp_matrix *m, const wisp_factors *f, wisp_gemm *g, const tile *t, const void *outside, int64_t row) {
    wisp_matrix_rows(m, f, row, g->m, outside, t->patches, t->rows);
    g->rows = t->rows;
    if (m->kernel->pack_rows) m->kernel->pack_rows(g, t->packed);
}

static void multiply_tile(const wisp_matrix *m, const wisp_factors *f, wisp_gemm *g, const tile *t, int64_t row, int32_t column,
                          int32_t column_end) {
    const int64_t panel = column / 16;
    g->n = column_end - column;
    g->rows = t->rows;
    g->packed = t->packed;
    g->weights = (const uint8_t *)f->weights + panel * wisp_panel_size(m);
    g->columns = (const uint8_t *)f->columns + panel * wisp_column_block_size(m);
    if (f->row_term) g->row_term = f->row_term + row, g->column_term = f->column_term + column;
    g->out = (uint8_t *)f->y + (row * m->y_stride + column) * m->y_size;
    m->kernel->multiply(g);
}

/* At most m->tiles tiles of rows. */
static void multiply_block(const wisp_matrix *m, const wisp_factors *f, uint8_t *scratch, int64_t row, int64_t row_end, int32_t column,
                           int32_t column_end) {
    const int32_t rows = m->kernel->rows, block = column_block(m);
    wisp_gemm g = describe(m);
    for (int64_t r = row; r < row_end; r += rows) {
        const tile t = tile_at(m, scratch, (int32_t)((r - row) / rows));
        g.m = row_end - r < rows ? (int32_t)(row_end - r) : rows;
        pack_tile(m, f, &g, &t, scratch, r);
    }
    for (int32_t n = column; n < column_end; n += block) {
        const int32_t end = column_end - n < block ? column_end : n + block;
        for (int64_t r = row; r < row_end; r += rows) {
            const tile t = tile_at(m, scratch, (int32_t)((r - row) / rows));
            g.m = row_end - r < rows ? (int32_t)(row_end - r) : rows;
            multiply_tile(m, f, &g, &t, r, n, end);
        }
    }
}

static void multiply_rows(const wisp_matrix *m, const wisp_factors *f, uint8_t *scratch, int64_t row, int64_t row_end, int32_t column,
                          int32_t column_end) {
    const int64_t step = (int64_t)m->tiles * m->kernel->rows;
    for (; row < row_end; row += step) multiply_block(m, f, scratch, row, row_end - row < step ? row_end : row + step, column, column_end);
}

/* Where not all rows can be kept packed, reading the weights once is worth packing rows again for each block of them. */
void wisp_matrix_multiply(const wisp_matrix *m, const wisp_factors *f, void *scratch, int64_t row, int64_t row_end, int32_t column,
                          int32_t column_end) {
    const bool keeps_all = row_end - row <= (int64_t)m->tiles * m->kernel->rows;
    const int32_t block = keeps_all ? column_end - column : column_block(m);
    if (m->source != WISP_ROWS_PLAIN) memset(scratch, f->outside, (size_t)m->group_k * m->x_size);
    for (int32_t n = column; n < column_end; n += block)
        multiply_rows(m, f, scratch, row, row_end, n, column_end - n < block ? column_end : n + block);
}
