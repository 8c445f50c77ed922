/* The outer loop of every product with constant weights: tiles of rows, blocks of panels, groups, threads. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix.h"

#include <string.h>

/* Weights walked for one tile after the other stay in a second-level cache of 512 KB with room for the rows. */
enum { WEIGHT_BLOCK = 256 * 1024 };

/* A thread is worth waking for this many multiply-accumulates: some 10 us of a small core's work. */
enum { MACS_PER_THREAD = 100 * 1000 };

static bool is_s8(const wisp_call *call) {
    return wisp_is_s8(wisp_input(call, 0));
}

static const wisp_gemm_kernel *kernel_of(const wisp_call *call) {
    return is_s8(call) ? WISP_KERNEL(call, gemm_s8) : WISP_KERNEL(call, gemm_f32);
}

static int32_t tile_rows(const wisp_call *call) {
    return kernel_of(call)->rows;
}

static int64_t panel_bytes(const wisp_call *call, const wisp_matrix *m) {
    return is_s8(call) ? 16ll * m->taps * ((m->k + 3) & ~3) : 64ll * m->taps * m->k;
}

/* ---- checks */

int wisp_check_channels(wisp_call *call, const wisp_tensor *t, int64_t n, bool *any_left_shift) {
    *any_left_shift = false;
    if (!t || t->layout != WISP_LAYOUT_CHANNELS || !wisp_value(t) || (int64_t)t->count < n)
        return wisp_call_fail(call, WISP_BAD_FILE, "needs the requantization of every output channel");
    for (int64_t i = 0; i < n; i++) {
        const wisp_channels_s8 *block = (const wisp_channels_s8 *)t->data + i / 16;
        int32_t shift = block->shift[i % 16], multiplier = block->multiplier[i % 16];
        if (shift < -15 || shift > 31 || multiplier < 0 || multiplier > 32767)
            return wisp_call_fail_value(call, WISP_BAD_FILE, "shift or multiplier out of range in channel", i);
        if (shift < 0) *any_left_shift = true;
    }
    /* The rest of the last block is computed too, and thrown away: it must be harmless. */
    for (int64_t i = n; i % 16; i++) {
        const wisp_channels_s8 *block = (const wisp_channels_s8 *)t->data + i / 16;
        if (block->shift[i % 16] || block->multiplier[i % 16])
            return wisp_call_fail_value(call, WISP_BAD_FILE, "not zero: padding channel", i);
    }
    return WISP_OK;
}

int wisp_check_bias(wisp_call *call, const wisp_tensor *t, int64_t n) {
    if (!t || t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN || !wisp_value(t) || (int64_t)t->count < (n + 15) / 16 * 16)
        return wisp_call_fail(call, WISP_BAD_FILE, "needs a constant f32 bias, padded to 16");
    return WISP_OK;
}

int wisp_check_clamp(wisp_call *call, int32_t lo, int32_t hi) {
    if (lo < -128 || lo > hi || hi > 127) return wisp_call_fail(call, WISP_BAD_FILE, "lo and hi are not a range of int8");
    return WISP_OK;
}

static int check_weights(wisp_call *call, const wisp_matrix *m) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    if (!wisp_has_kernels(x)) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype of x must be f32 (in a build with WISP_FLOAT) or s8");
    if (w->layout != (x->dtype == WISP_S8 ? WISP_LAYOUT_GEMM_S8 : WISP_LAYOUT_GEMM_F32) || !wisp_value(w))
        return wisp_call_fail(call, WISP_BAD_FILE, "weights must be constant and packed for the dtype of x");
    int64_t taps = (int64_t)m->window.kernel_h * m->window.kernel_w;
    bool by_tap = w->dims[1] == taps && w->dims[2] == m->group_k;
    bool patch = w->dims[1] == 1 && w->dims[2] == taps * m->group_k;
    if (m->group_k < 1 || !(by_tap || patch) || w->dims[0] != (m->groups == 1 ? m->n : (int64_t)m->groups * m->panels_n))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    return WISP_OK;
}

void wisp_matrix_complete(const wisp_call *call, wisp_matrix *m) {
    const wisp_tensor *w = wisp_input(call, 1);
    m->taps = w->dims[1], m->k = w->dims[2];
    m->patch = m->taps == 1 && m->window.kernel_h * m->window.kernel_w > 1;
}

/* ---- scratch: | packed rows | row pointers | row outside the image | copied patches | */

typedef struct pieces {
    void *packed;
    const void **rows;
    char *outside, *patches;
    uint64_t size;
} pieces;

static pieces cut_scratch(const wisp_call *call, const wisp_matrix *m, char *base) {
    uint64_t unit = is_s8(call) ? 1 : 4, k_bytes = (uint64_t)m->k * unit;
    pieces p = {0};
    p.packed = take(&base, &p.size, is_s8(call) ? wisp_packed_size(WISP_MAX_MR, WISP_MAX_UNIT, m->k, m->taps) : 0);
    p.rows = take(&base, &p.size, 8ull * WISP_MAX_MR * (uint64_t)m->taps);
    p.outside = take(&base, &p.size, m->pointwise ? 0 : (uint64_t)m->group_k * unit);
    p.patches = take(&base, &p.size, m->patch ? WISP_MAX_MR * k_bytes + 16 : 0);
    return p;
}

/* Values of a copied patch: s8 has whole groups of 4, as the packed weights do, where the scratch has room; then kernels need not
 * copy it again. The values behind k meet weights that are 0. */
static int32_t patch_k(const wisp_call *call, const wisp_matrix *m) {
    const int64_t k4 = ((int64_t)m->k + 3) & ~3ll, room = (WISP_MAX_MR * (int64_t)m->k + 16 + 63) & ~63ll;
    return is_s8(call) && tile_rows(call) * k4 + 16 <= room ? (int32_t)k4 : m->k;
}

int wisp_matrix_prepare(wisp_call *call, wisp_matrix *m) {
    int status = check_weights(call, m);
    if (status) return status;
    wisp_matrix_complete(call, m);
    wisp_node *node = call->node;
    if (is_s8(call)) {
        bool any_left_shift;
        status = wisp_check_channels(call, wisp_input(call, 2), m->groups == 1 ? m->n : (int64_t)m->groups * m->panels_n, &any_left_shift);
        if (!status) status = wisp_check_clamp(call, m->lo, m->hi);
        wisp_legacy_of(call)->state[0] = any_left_shift;
    } else {
        status = wisp_check_bias(call, wisp_input(call, 2), m->groups == 1 ? m->n : (int64_t)m->groups * m->panels_n);
    }
    if (status) return status;
    node->kernel = kernel_of(call)->name;
    wisp_need_scratch(call, 0, cut_scratch(call, m, NULL).size);
    node->macs = (uint64_t)m->rows * (uint64_t)m->groups * (uint64_t)m->n * (uint64_t)m->group_k * (uint64_t)m->window.kernel_h *
                 (uint64_t)m->window.kernel_w;
    return WISP_OK;
}

/* ---- rows of a tile */

/* Walks output pixels in order without dividing at every step. */
typedef struct pixel {
    int64_t b, oy, ox;
} pixel;

static pixel pixel_at(const wisp_window *w, int64_t r) {
    int64_t image = (int64_t)w->out_h * w->out_w;
    return (pixel){r / image, r % image / w->out_w, r % w->out_w};
}

static void next_pixel(const wisp_window *w, pixel *p) {
    if (++p->ox < w->out_w) return;
    p->ox = 0;
    if (++p->oy < w->out_h) return;
    p->oy = 0;
    p->b++;
}

static const char *line_of(const wisp_window *w, const char *x, int64_t unit, pixel p, int32_t ky) {
    int64_t iy = p.oy * w->stride_h - w->pad_top + (int64_t)ky * w->dilation_h;
    return iy >= 0 && iy < w->in_h ? x + (p.b * w->in_h + iy) * w->in_w * w->channels * unit : NULL;
}

static void point_rows(const wisp_matrix *m, const char *x, int64_t unit, pixel p, int32_t count, const char *outside, const void **rows) {
    const wisp_window *w = &m->window;
    const int64_t pixel_bytes = w->channels * unit;
    for (int32_t i = 0; i < count; i++, next_pixel(w, &p)) {
        const void **row = rows + i;
        for (int32_t ky = 0; ky < w->kernel_h; ky++) {
            const char *line = line_of(w, x, unit, p, ky);
            int64_t ix = p.ox * w->stride_w - w->pad_left;
            for (int32_t kx = 0; kx < w->kernel_w; kx++, ix += w->dilation_w, row += count)
                *row = line && ix >= 0 && ix < w->in_w ? line + ix * pixel_bytes : outside;
        }
    }
}

/* Copies `size` bytes in steps of 16 where the source has them; may write up to 15 bytes more. */
static inline void copy_ahead(char *to, const char *from, int64_t size, const char *end) {
    if (from + ((size + 15) & ~15ll) > end) {
        memcpy(to, from, (size_t)size);
        return;
    }
    for (int64_t i = 0; i < size; i += 16) memcpy(to + i, from + i, 16);
}

/* A patch that leaves the image, or whose columns do not lie side by side. */
static void copy_pieces(const wisp_matrix *m, const char *x, int64_t unit, pixel p, const char *outside, char *to) {
    const wisp_window *w = &m->window;
    const int64_t pixel_bytes = w->channels * unit, bytes = m->group_k * unit;
    for (int32_t ky = 0; ky < w->kernel_h; ky++) {
        const char *line = line_of(w, x, unit, p, ky);
        int64_t ix = p.ox * w->stride_w - w->pad_left;
        for (int32_t kx = 0; kx < w->kernel_w; kx++, ix += w->dilation_w, to += bytes) {
            bool inside = line && ix >= 0 && ix < w->in_w;
            memcpy(to, inside ? line + ix * pixel_bytes : outside, (size_t)bytes);
        }
    }
}

/* Patches of `stride` bytes each. The window is copied because what is written through char * might be its fields. */
static void copy_patches(const wisp_matrix *m, const char *x, const char *end, int64_t unit, pixel p, int32_t count, const char *outside,
                         char *patches, int64_t stride, const void **rows) {
    const wisp_window w = m->window;
    const int64_t bytes = w.kernel_w * m->group_k * unit, line_bytes = w.in_w * w.channels * unit;
    const bool side_by_side = w.dilation_w == 1 && m->groups == 1;
    for (int32_t i = 0; i < count; i++, next_pixel(&w, &p), patches += stride) {
        const int64_t iy = p.oy * w.stride_h - w.pad_top, ix = p.ox * w.stride_w - w.pad_left;
        rows[i] = patches;
        if (!side_by_side || ix < 0 || ix + w.kernel_w > w.in_w || iy < 0 || iy + (int64_t)w.dilation_h * (w.kernel_h - 1) >= w.in_h) {
            copy_pieces(m, x, unit, p, outside, patches);
            continue;
        }
        const char *from = x + (p.b * w.in_h + iy) * line_bytes + ix * w.channels * unit;
        for (int32_t ky = 0; ky < w.kernel_h; ky++, from += w.dilation_h * line_bytes) copy_ahead(patches + ky * bytes, from, bytes, end);
    }
}

/* ---- the loop */

static void multiply_tile(wisp_call *call, const wisp_matrix *m, const pieces *p, int32_t k, int32_t group, int64_t row, int32_t rows,
                          int32_t n_begin, int32_t n_count) {
    const wisp_tensor *w = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const wisp_gemm_kernel *kernel = kernel_of(call);
    int64_t panel = (int64_t)group * (m->panels_n / 16) + n_begin / 16;
    int64_t out = row * m->out_stride + (int64_t)group * m->n + n_begin;
    wisp_gemm g = {.m = rows,
                   .n = n_count,
                   .k = k,
                   .taps = m->taps,
                   .rows = p->rows,
                   .packed = p->packed,
                   .weights = (const char *)w->data + panel * panel_bytes(call, m),
                   .columns = (const char *)c->data + panel * (is_s8(call) ? (int64_t)sizeof(wisp_channels_s8) : 64),
                   .out = (char *)y->data + out * (is_s8(call) ? 1 : 4),
                   .out_stride = (ptrdiff_t)m->out_stride,
                   .any_left_shift = wisp_legacy_of(call)->state[0] != 0};
    if (is_s8(call))
        g.lo = m->lo, g.hi = m->hi;
    else
        g.min = m->min, g.max = m->max;
    if (kernel->pack_rows) kernel->pack_rows(&g, p->packed);
    kernel->multiply(&g);
}

static void tile(wisp_call *call, const wisp_matrix *m, const pieces *p, int32_t group, int64_t row, int32_t n_begin, int32_t n_count) {
    const wisp_tensor *x = wisp_input(call, 0);
    const int64_t unit = is_s8(call) ? 1 : 4;
    const char *data = (const char *)x->data + (int64_t)group * m->group_k * unit, *end = (const char *)x->data + x->size;
    int32_t rows = tile_rows(call), k = m->k;
    if (rows > m->rows - row) rows = (int32_t)(m->rows - row);
    if (m->pointwise) {
        for (int32_t i = 0; i < rows; i++) p->rows[i] = data + (row + i) * m->x_stride * unit;
    } else if (m->patch) {
        k = patch_k(call, m);
        copy_patches(m, data, end, unit, pixel_at(&m->window, row), rows, p->outside, p->patches, k * unit, p->rows);
    } else {
        point_rows(m, data, unit, pixel_at(&m->window, row), rows, p->outside, p->rows);
    }
    multiply_tile(call, m, p, k, group, row, rows, n_begin, n_count);
}

/* Items are tiles of rows, group after group; or, where all rows fit one tile of one group, panels of 16 columns. */
static int64_t tile_count(const wisp_call *call, const wisp_matrix *m) {
    return (m->rows + tile_rows(call) - 1) / tile_rows(call);
}

static bool by_panel(const wisp_call *call, const wisp_matrix *m) {
    return tile_count(call, m) == 1 && m->groups == 1;
}

int64_t wisp_matrix_items(const wisp_call *call, const wisp_matrix *m) {
    return by_panel(call, m) ? m->panels_n / 16 : tile_count(call, m) * m->groups;
}

int64_t wisp_matrix_grain(const wisp_call *call, const wisp_matrix *m) {
    int64_t items = wisp_matrix_items(call, m);
    int64_t macs = items ? (int64_t)(call->node->macs / (uint64_t)items) : 0;
    return 1 + MACS_PER_THREAD / (macs + 1);
}

void wisp_matrix_range(wisp_call *call, const wisp_matrix *m, uint32_t thread, int64_t begin, int64_t end) {
    const pieces p = cut_scratch(call, m, wisp_scratch(call, thread));
    const wisp_tensor *x = wisp_input(call, 0);
    if (!m->pointwise) memset(p.outside, is_s8(call) ? x->zero_point : 0, (size_t)m->group_k * (is_s8(call) ? 1 : 4));
    if (by_panel(call, m)) {
        int32_t n_begin = (int32_t)begin * 16, n_end = end * 16 < m->n ? (int32_t)end * 16 : m->n;
        tile(call, m, &p, 0, 0, n_begin, n_end - n_begin);
        return;
    }
    const int64_t tiles = tile_count(call, m);
    const int64_t fit = WEIGHT_BLOCK / panel_bytes(call, m);
    const int32_t block = fit < 1 ? 16 : fit > m->panels_n / 16 ? m->panels_n : (int32_t)fit * 16;
    while (begin < end) {
        int64_t group = begin / tiles, group_end = (group + 1) * tiles < end ? (group + 1) * tiles : end;
        for (int32_t n = 0; n < m->n; n += block)
            for (int64_t t = begin; t < group_end; t++)
                tile(call, m, &p, (int32_t)group, t % tiles * tile_rows(call), n, m->n - n < block ? m->n - n : block);
        begin = group_end;
    }
}
