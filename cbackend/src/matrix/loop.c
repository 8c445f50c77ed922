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

uint64_t wisp_matrix_least_scratch(const wisp_matrix *m) {
    const int32_t unit = m->x_size == 1 ? WISP_MAX_UNIT : 0;
    return outside_size(m) + packed_size(m, WISP_MAX_MR, unit) + pointers_size(m, WISP_MAX_MR) + patches_size(m, WISP_MAX_MR);
}

static int32_t column_block(const wisp_matrix *m) {
    const int64_t fit = WEIGHT_BLOCK / wisp_panel_size(m), panels = ((int64_t)m->n + 15) / 16;
    return fit < 1 ? 16 : fit >= panels ? m->n : (int32_t)fit * 16;
}

uint64_t wisp_matrix_set_tiles(wisp_matrix *m, int64_t rows, uint64_t limit) {
    const uint64_t least = wisp_matrix_least_scratch(m), first = outside_size(m);
    const uint64_t room = limit == UINT64_MAX ? least : limit < PACKED_BLOCK ? limit : PACKED_BLOCK;
    const int64_t all = (rows + m->kernel->rows - 1) / m->kernel->rows;
    m->tile_at = (uint32_t)first;
    m->pointers_at = packed_size(m, m->kernel->rows, m->kernel->unit);
    m->patches_at = m->pointers_at + pointers_size(m, m->kernel->rows);
    m->tile_size = m->patches_at + patches_size(m, m->kernel->rows);
    m->column_block = column_block(m);
    m->tiles = 1;
    if (m->column_block < m->n && room > first) {
        const int64_t fit = (int64_t)((room - first) / m->tile_size), tiles = fit < all ? fit : all;
        if (tiles > 1) m->tiles = (int32_t)tiles;
    }
    const uint64_t used = first + (uint64_t)m->tiles * m->tile_size;
    return used > least ? used : least;
}

/* ---- the loop */

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

static void set_columns(const wisp_matrix *m, const wisp_factors *f, wisp_gemm *g, int32_t column, int32_t end) {
    g->n = end - column;
    g->weights = (const uint8_t *)f->weights + column / 16 * wisp_panel_size(m);
    g->columns = (const uint8_t *)f->columns + column / 16 * wisp_column_block_size(m);
    if (f->row_term) g->column_term = f->column_term + column;
}

static int64_t line_offset(const wisp_lines *l, int64_t line) {
    return line % l->lines * l->line_stride + line / l->lines % l->planes * l->plane_stride + line / l->lines / l->planes * l->image_stride;
}

/* A tile ends with its line. */
static inline void set_rows(const wisp_matrix *m, const wisp_factors *f, wisp_gemm *g, uint8_t *tile, int64_t row, int64_t end,
                            int32_t column) {
    int64_t at = row * m->y_stride;
    if (m->lines.line) {
        const int64_t line = row / m->lines.line, x = row % m->lines.line;
        at = line_offset(&m->lines, line) + x * m->y_stride;
        if (end - row > m->lines.line - x) end = row + m->lines.line - x;
    }
    g->m = end - row < m->kernel->rows ? (int32_t)(end - row) : m->kernel->rows;
    g->rows = (const void *const *)(void *)(tile + m->pointers_at);
    g->packed = tile;
    g->out = (uint8_t *)f->y + (at + column) * m->y_size;
    if (f->row_term) g->row_term = f->row_term + row;
}

static inline void pack_tile(const wisp_matrix *m, const wisp_factors *f, const wisp_gemm *g, uint8_t *tile, const void *outside,
                             int64_t row) {
    wisp_matrix_rows(m, f, row, g->m, outside, tile + m->patches_at, (const void **)(void *)(tile + m->pointers_at));
    if (m->kernel->pack_rows) m->kernel->pack_rows(g, tile);
}

/* Tile by tile: for all columns if their weights fit a block, else once more for each block, which is read from memory once. */
static void multiply_tiles(const wisp_matrix *m, const wisp_factors *f, uint8_t *scratch, int64_t row, int64_t row_end, int32_t column,
                           int32_t column_end) {
    wisp_gemm g = describe(m);
    uint8_t *const tile = scratch + m->tile_at;
    for (int32_t n = column; n < column_end; n += m->column_block) {
        set_columns(m, f, &g, n, column_end - n < m->column_block ? column_end : n + m->column_block);
        for (int64_t r = row; r < row_end; r += g.m) {
            set_rows(m, f, &g, tile, r, row_end, n);
            pack_tile(m, f, &g, tile, scratch, r);
            m->kernel->multiply(&g);
        }
    }
}

/* At most m->tiles tiles, packed once for all blocks of columns. */
static void multiply_block(const wisp_matrix *m, const wisp_factors *f, uint8_t *scratch, int64_t row, int64_t row_end, int32_t column,
                           int32_t column_end) {
    wisp_gemm g = describe(m);
    uint8_t *tile = scratch + m->tile_at;
    for (int64_t r = row; r < row_end; r += g.m, tile += m->tile_size) {
        set_rows(m, f, &g, tile, r, row_end, column);
        pack_tile(m, f, &g, tile, scratch, r);
    }
    for (int32_t n = column; n < column_end; n += m->column_block) {
        set_columns(m, f, &g, n, column_end - n < m->column_block ? column_end : n + m->column_block);
        tile = scratch + m->tile_at;
        for (int64_t r = row; r < row_end; r += g.m, tile += m->tile_size) {
            set_rows(m, f, &g, tile, r, row_end, n);
            m->kernel->multiply(&g);
        }
    }
}

/* Where not all rows can be kept packed, packing them again for each block of columns costs less than reading weights again. */
void wisp_matrix_multiply(const wisp_matrix *m, const wisp_factors *f, void *scratch, int64_t row, int64_t row_end, int32_t column,
                          int32_t column_end) {
    if (m->source != WISP_ROWS_PLAIN) memset(scratch, f->outside, (size_t)m->group_k * m->x_size);
    if (m->tiles > 1 && !m->lines.line && row_end - row <= (int64_t)m->tiles * m->kernel->rows)
        multiply_block(m, f, scratch, row, row_end, column, column_end);
    else
        multiply_tiles(m, f, scratch, row, row_end, column, column_end);
}
