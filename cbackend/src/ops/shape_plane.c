/* Transposition of a plane of small elements, by words that hold several: no vector unit needed, little-endian only. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eltwise.h"
#include "shape.h"

enum { BLOCK_SIZE = 64 /* bytes of a row that a block touches: one cache line */ };

#define LOW_HALF 0xffffffffull

ALWAYS_INLINE uint32_t load_u32(const uint8_t *x) {
    uint32_t w;
    memcpy(&w, x, sizeof w);
    return w;
}

ALWAYS_INLINE uint64_t load_u64(const uint8_t *x) {
    uint64_t w;
    memcpy(&w, x, sizeof w);
    return w;
}

ALWAYS_INLINE void store_u32(uint8_t *y, uint32_t w) {
    memcpy(y, &w, sizeof w);
}

ALWAYS_INLINE void store_u64(uint8_t *y, uint64_t w) {
    memcpy(y, &w, sizeof w);
}

/* ---- any plane: one element at a time for the rest of rows and columns */

ALWAYS_INLINE void move_elements(const wisp_plane *p, int64_t row, int64_t row_end, int64_t column, int64_t column_end, int64_t size) {
    for (int64_t r = row; r < row_end; r++)
        for (int64_t c = column; c < column_end; c++)
            memcpy(p->y + r * p->y_step + c * size, p->x + c * p->x_step + r * size, (size_t)size);
}

/* ---- bytes: blocks of 8 x 8 and 4 x 4 */

/* Exchanges what `mask` selects in b with what lies `bits` higher in a. */
#define EXCHANGE(type, a, b, bits, mask)                    \
    do {                                                    \
        const type swap = (((a) >> (bits)) ^ (b)) & (mask); \
        (a) ^= swap << (bits);                              \
        (b) ^= swap;                                        \
    } while (0)

/* Exchanges of ever smaller halves; byte j of word i goes to byte i of word j. */
ALWAYS_INLINE void transpose_8x8(const wisp_plane *p, int64_t r, int64_t c) {
    const uint8_t *x = p->x + c * p->x_step + r;
    uint8_t *y = p->y + r * p->y_step + c;
    uint64_t w[8];
    for (int i = 0; i < 8; i++) w[i] = load_u64(x + i * p->x_step);
    for (int i = 0; i < 4; i++) EXCHANGE(uint64_t, w[i], w[i + 4], 32, LOW_HALF);
    for (int i = 0; i < 8; i += 4) {
        EXCHANGE(uint64_t, w[i], w[i + 2], 16, 0x0000ffff0000ffffull);
        EXCHANGE(uint64_t, w[i + 1], w[i + 3], 16, 0x0000ffff0000ffffull);
    }
    for (int i = 0; i < 8; i += 2) EXCHANGE(uint64_t, w[i], w[i + 1], 8, 0x00ff00ff00ff00ffull);
    for (int i = 0; i < 8; i++) store_u64(y + i * p->y_step, w[i]);
}

ALWAYS_INLINE void transpose_4x4(const wisp_plane *p, int64_t r, int64_t c) {
    const uint8_t *x = p->x + c * p->x_step + r;
    uint8_t *y = p->y + r * p->y_step + c;
    uint32_t w0 = load_u32(x), w1 = load_u32(x + p->x_step), w2 = load_u32(x + 2 * p->x_step), w3 = load_u32(x + 3 * p->x_step);
    EXCHANGE(uint32_t, w0, w2, 16, 0x0000ffffu);
    EXCHANGE(uint32_t, w1, w3, 16, 0x0000ffffu);
    EXCHANGE(uint32_t, w0, w1, 8, 0x00ff00ffu);
    EXCHANGE(uint32_t, w2, w3, 8, 0x00ff00ffu);
    store_u32(y, w0);
    store_u32(y + p->y_step, w1);
    store_u32(y + 2 * p->y_step, w2);
    store_u32(y + 3 * p->y_step, w3);
}

static void transpose_bytes(const wisp_plane *p) {
    int64_t r = 0;
    for (; r + 8 <= p->rows; r += 8) {
        int64_t c = 0;
        for (; c + 8 <= p->columns; c += 8) transpose_8x8(p, r, c);
        for (; c + 4 <= p->columns; c += 4) {
            transpose_4x4(p, r, c);
            transpose_4x4(p, r + 4, c);
        }
        move_elements(p, r, r + 8, c, p->columns, 1);
    }
    if (r + 4 <= p->rows) {
        int64_t c = 0;
        for (; c + 4 <= p->columns; c += 4) transpose_4x4(p, r, c);
        move_elements(p, r, r + 4, c, p->columns, 1);
        r += 4;
    }
    move_elements(p, r, p->rows, 0, p->columns, 1);
}

/* ---- four bytes: blocks of a cache line, in them pairs of pairs */

ALWAYS_INLINE void transpose_2x2(const wisp_plane *p, int64_t r, int64_t c) {
    const uint8_t *x = p->x + c * p->x_step + r * 4;
    uint8_t *y = p->y + r * p->y_step + c * 4;
    uint64_t a = load_u64(x), b = load_u64(x + p->x_step);
    store_u64(y, (a & LOW_HALF) | b << 32);
    store_u64(y + p->y_step, a >> 32 | (b & ~LOW_HALF));
}

static void transpose_words(const wisp_plane *p) {
    const int64_t block = BLOCK_SIZE / 4, even = p->columns & ~(int64_t)1;
    int64_t r = 0;
    for (; r + 2 <= p->rows; r += block) {
        int64_t row_end = r + block <= p->rows ? r + block : p->rows & ~(int64_t)1;
        for (int64_t c = 0; c < even; c += block) {
            int64_t column_end = c + block <= even ? c + block : even;
            for (int64_t i = r; i < row_end; i += 2)
                for (int64_t j = c; j < column_end; j += 2) transpose_2x2(p, i, j);
        }
    }
    int64_t done = p->rows & ~(int64_t)1;
    move_elements(p, 0, done, even, p->columns, 4);
    move_elements(p, done, p->rows, 0, p->columns, 4);
}

ALWAYS_INLINE void transpose_blocks(const wisp_plane *p, int64_t size) {
    const int64_t block = BLOCK_SIZE / size;
    for (int64_t r = 0; r < p->rows; r += block)
        for (int64_t c = 0; c < p->columns; c += block)
            move_elements(p, r, r + block < p->rows ? r + block : p->rows, c, c + block < p->columns ? c + block : p->columns, size);
}

/* ---- three planes to pixels and back: a b c of four pixels are three words of bytes, of two pixels three double words */

static int64_t join_3_bytes(const wisp_plane *p) {
    int64_t r = 0;
    for (; r + 4 <= p->rows; r += 4) {
        uint32_t a = load_u32(p->x + r), b = load_u32(p->x + p->x_step + r), c = load_u32(p->x + 2 * p->x_step + r);
        uint8_t *y = p->y + 3 * r;
        store_u32(y, (a & 0xff) | (b & 0xff) << 8 | (c & 0xff) << 16 | a >> 8 << 24);
        store_u32(y + 4, (b >> 8 & 0xff) | (c & 0xff00) | (a & 0xff0000) | b >> 16 << 24);
        store_u32(y + 8, (c >> 16 & 0xff) | a >> 24 << 8 | b >> 24 << 16 | c >> 24 << 24);
    }
    return r;
}

static int64_t split_3_bytes(const wisp_plane *p) {
    int64_t c = 0;
    for (; c + 4 <= p->columns; c += 4) {
        const uint8_t *x = p->x + 3 * c;
        uint32_t u = load_u32(x), v = load_u32(x + 4), w = load_u32(x + 8); /* abca bcab cabc, lowest byte first */
        store_u32(p->y + c, (u & 0xff) | u >> 24 << 8 | (v & 0xff0000) | (w >> 8 & 0xff) << 24);
        store_u32(p->y + p->y_step + c, (u >> 8 & 0xff) | (v & 0xff) << 8 | v >> 24 << 16 | (w >> 16 & 0xff) << 24);
        store_u32(p->y + 2 * p->y_step + c, (u >> 16 & 0xff) | (v & 0xff00) | (w & 0xff) << 16 | w >> 24 << 24);
    }
    return c;
}

static int64_t join_3_words(const wisp_plane *p) {
    int64_t r = 0;
    for (; r + 2 <= p->rows; r += 2) {
        uint64_t a = load_u64(p->x + 4 * r), b = load_u64(p->x + p->x_step + 4 * r), c = load_u64(p->x + 2 * p->x_step + 4 * r);
        uint8_t *y = p->y + 12 * r;
        store_u64(y, (a & LOW_HALF) | b << 32);
        store_u64(y + 8, (c & LOW_HALF) | (a & ~LOW_HALF));
        store_u64(y + 16, b >> 32 | (c & ~LOW_HALF));
    }
    return r;
}

static int64_t split_3_words(const wisp_plane *p) {
    int64_t c = 0;
    for (; c + 2 <= p->columns; c += 2) {
        const uint8_t *x = p->x + 12 * c;
        uint64_t u = load_u64(x), v = load_u64(x + 8), w = load_u64(x + 16); /* ab ca bc */
        store_u64(p->y + 4 * c, (u & LOW_HALF) | (v & ~LOW_HALF));
        store_u64(p->y + p->y_step + 4 * c, u >> 32 | w << 32);
        store_u64(p->y + 2 * p->y_step + 4 * c, (v & LOW_HALF) | (w & ~LOW_HALF));
    }
    return c;
}

static bool transpose_pixels(const wisp_plane *p, int64_t size) {
    if (size != 1 && size != 4) return false;
    if (p->columns == 3 && p->y_step == 3 * size) {
        int64_t done = size == 1 ? join_3_bytes(p) : join_3_words(p);
        move_elements(p, done, p->rows, 0, 3, size);
        return true;
    }
    if (p->rows == 3 && p->x_step == 3 * size) {
        int64_t done = size == 1 ? split_3_bytes(p) : split_3_words(p);
        move_elements(p, 0, 3, done, p->columns, size);
        return true;
    }
    return false;
}

void wisp_transpose_plane(const wisp_plane *p, int64_t size) {
    if (transpose_pixels(p, size)) return;
    switch (size) {
        case 1: transpose_bytes(p); break;
        case 2: transpose_blocks(p, 2); break;
        case 4: transpose_words(p); break;
        default: transpose_blocks(p, 8); break;
    }
}
