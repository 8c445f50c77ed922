/* Row sources: where the rows of a tile lie, or are copied together. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

/* Walks output pixels in order without dividing at every step. */
typedef struct pixel {
    int64_t b, oz, oy, ox;
} pixel;

static pixel pixel_at(const wisp_window *w, int64_t r) {
    const int64_t plane = (int64_t)w->out_h * w->out_w, planes = r / plane;
    return (pixel){planes / w->out_d, planes % w->out_d, r % plane / w->out_w, r % w->out_w};
}

static void next_pixel(const wisp_window *w, pixel *p) {
    if (++p->ox < w->out_w) return;
    p->ox = 0;
    if (++p->oy < w->out_h) return;
    p->oy = 0;
    if (++p->oz < w->out_d) return;
    p->oz = 0;
    p->b++;
}

/* The row of the image under row k of the window, counted over its depth; null outside. */
static const uint8_t *line_of(const wisp_window *w, const wisp_image *x, pixel p, int32_t k) {
    const int32_t kz = w->kernel_d > 1 ? k / w->kernel_h : 0, ky = k - kz * w->kernel_h;
    const int64_t iz = p.oz * w->stride_d - w->pad_front + (int64_t)kz * w->dilation_d;
    const int64_t iy = p.oy * w->stride_h - w->pad_top + (int64_t)ky * w->dilation_h;
    return iy >= 0 && iy < w->in_h && iz >= 0 && iz < w->in_d ? row_at(x, p.b * w->in_d + iz, iy) : NULL;
}

static inline void point_plain(const uint8_t *x, int64_t stride, int32_t count, const void **rows) {
    for (int32_t i = 0; i < count; i++, x += stride) rows[i] = x;
}

static void point_rows(const wisp_matrix *m, const wisp_image *x, pixel p, int32_t count, const void *outside, const void **rows) {
    const wisp_window *w = &m->window;
    const int64_t pixel_size = (int64_t)w->channels * m->x_size;
    for (int32_t i = 0; i < count; i++, next_pixel(w, &p)) {
        const void **row = rows + i;
        for (int32_t k = 0; k < w->kernel_d * w->kernel_h; k++) {
            const uint8_t *line = line_of(w, x, p, k);
            int64_t ix = p.ox * w->stride_w - w->pad_left;
            for (int32_t kx = 0; kx < w->kernel_w; kx++, ix += w->dilation_w, row += count)
                *row = line && ix >= 0 && ix < w->in_w ? line + ix * pixel_size : outside;
        }
    }
}

/* Copies `size` bytes in steps of 16 where the source has them; may write up to 15 bytes more. */
static inline void copy_ahead(uint8_t *to, const uint8_t *from, int64_t size, const uint8_t *end) {
    if (from + ((size + 15) & ~15ll) > end) {
        memcpy(to, from, (size_t)size);
        return;
    }
    for (int64_t i = 0; i < size; i += 16) memcpy(to + i, from + i, 16);
}

/* A patch that leaves the image, or whose columns do not lie side by side. */
static void copy_pieces(const wisp_matrix *m, const wisp_image *x, pixel p, const void *outside, uint8_t *to) {
    const wisp_window *w = &m->window;
    const int64_t pixel_size = (int64_t)w->channels * m->x_size, size = (int64_t)m->group_k * m->x_size;
    for (int32_t k = 0; k < w->kernel_d * w->kernel_h; k++) {
        const uint8_t *line = line_of(w, x, p, k);
        int64_t ix = p.ox * w->stride_w - w->pad_left;
        for (int32_t kx = 0; kx < w->kernel_w; kx++, ix += w->dilation_w, to += size) {
            bool inside = line && ix >= 0 && ix < w->in_w;
            memcpy(to, inside ? line + ix * pixel_size : outside, (size_t)size);
        }
    }
}

/* The window is copied because what is written through uint8_t * might be its fields. */
static void copy_patches(const wisp_matrix *m, const wisp_factors *f, pixel p, int32_t count, const void *outside, uint8_t *patches,
                         const void **rows) {
    const wisp_window w = m->window;
    const wisp_image x = f->x;
    const uint8_t *const end = f->x_end;
    const int64_t stride = (int64_t)wisp_patch_values(m) * m->x_size;
    const int64_t size = (int64_t)w.kernel_w * m->group_k * m->x_size, pixel_size = (int64_t)w.channels * m->x_size;
    const bool side_by_side =
        w.dilation_w == 1 && m->group_k == w.channels && w.in_d == 1 && w.out_d == 1 && w.kernel_d == 1 && !w.pad_front;
    for (int32_t i = 0; i < count; i++, next_pixel(&w, &p), patches += stride) {
        const int64_t iy = p.oy * w.stride_h - w.pad_top, ix = p.ox * w.stride_w - w.pad_left;
        rows[i] = patches;
        if (!side_by_side || ix < 0 || ix + w.kernel_w > w.in_w || iy < 0 || iy + (int64_t)w.dilation_h * (w.kernel_h - 1) >= w.in_h) {
            copy_pieces(m, &x, p, outside, patches);
            continue;
        }
        for (int32_t ky = 0; ky < w.kernel_h; ky++)
            copy_ahead(patches + ky * size, row_at(&x, p.b, iy + (int64_t)ky * w.dilation_h) + ix * pixel_size, size, end);
    }
}

void wisp_matrix_rows(const wisp_matrix *m, const wisp_factors *f, int64_t row, int32_t count, const void *outside, uint8_t *patches,
                      const void **rows) {
    switch (m->source) {
        case WISP_ROWS_PLAIN: point_plain(f->x.data + row * m->x_stride, m->x_stride, count, rows); break;
        case WISP_ROWS_TAPS: point_rows(m, &f->x, pixel_at(&m->window, row), count, outside, rows); break;
        default: copy_patches(m, f, pixel_at(&m->window, row), count, outside, patches, rows); break;
    }
}
