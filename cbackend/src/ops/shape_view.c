/* The one strided copy loop: rows where both sides run together, planes where they cross. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eltwise.h"
#include "shape.h"

enum {
    FILL_SIZE = 4096,
    SHORT_ROW = 32 /* bytes up to which a loop beats a call of memcpy */
};

/* ---- a view is made */

void wisp_view_add(wisp_view *v, int64_t extent, int64_t x_stride, int64_t y_stride) {
    if (extent == 1) return;
    wisp_view_axis *last = v->rank ? &v->axes[v->rank - 1] : NULL;
    if (last && last->x_stride == x_stride * extent && last->y_stride == y_stride * extent) {
        last->extent *= extent;
        last->x_stride = x_stride, last->y_stride = y_stride;
    } else {
        v->axes[v->rank++] = (wisp_view_axis){extent, x_stride, y_stride};
    }
}

/* Short runs that both sides share become one larger element. */
static void widen_element(wisp_view *v) {
    if (!v->rank) return;
    const wisp_view_axis *inner = &v->axes[v->rank - 1];
    if (inner->x_stride != v->size || inner->y_stride != v->size || inner->extent > 8) return;
    const int64_t size = v->size * inner->extent;
    if (size != 2 && size != 4 && size != 8) return;
    v->size = (int32_t)size;
    v->rank--;
}

/* Puts the axis along which x is dense beside the innermost one, so that planes can be transposed in blocks. The order of
 * loops is free: every axis has its own strides. */
static void pair_dense_axes(wisp_view *v) {
    wisp_view_axis *a = v->axes;
    if (v->rank < 3 || a[v->rank - 1].x_stride == v->size) return;
    for (int i = 0; i < v->rank - 2; i++)
        if (a[i].x_stride == v->size) {
            const wisp_view_axis dense = a[i];
            a[i] = a[v->rank - 2], a[v->rank - 2] = dense;
            return;
        }
}

void wisp_view_order(wisp_view *v) {
    widen_element(v);
    pair_dense_axes(v);
    v->split = 0;
    for (int i = 1; i < v->rank; i++)
        if (v->axes[i].extent > v->axes[v->split].extent) v->split = i;
}

int64_t wisp_view_steps(const wisp_view *v) {
    return v->rank ? v->axes[v->split].extent : 1;
}

int64_t wisp_view_step_size(const wisp_view *v) {
    int64_t size = v->size;
    for (int i = 0; i < v->rank; i++)
        if (i != v->split) size *= v->axes[i].extent;
    return size;
}

/* ---- and copied */

/* One element; size is a constant in every caller that matters. */
ALWAYS_INLINE void copy_element(uint8_t *y, const uint8_t *x, int64_t size) {
    switch (size) {
        case 1: *y = *x; break;
        case 2: memcpy(y, x, 2); break;
        case 4: memcpy(y, x, 4); break;
        default: memcpy(y, x, 8); break;
    }
}

ALWAYS_INLINE void copy_strided(uint8_t *y, int64_t y_stride, const uint8_t *x, int64_t x_stride, int64_t n, int64_t size) {
    for (int64_t i = 0; i < n; i++) copy_element(y + i * y_stride, x + i * x_stride, size);
}

void wisp_fill(uint8_t *y, const uint8_t *value, int64_t count, int64_t size) {
    int64_t total = count * size;
    if (size == 1) {
        memset(y, *value, (size_t)total);
        return;
    }
    if (total > 0) memcpy(y, value, (size_t)size);
    for (int64_t done = size; done < total;) { /* doubling, while it stays in the nearest cache */
        int64_t n = done < FILL_SIZE ? done : FILL_SIZE;
        if (n > total - done) n = total - done;
        memcpy(y + done, y, (size_t)n);
        done += n;
    }
}

static void copy_row(uint8_t *y, int64_t y_stride, const uint8_t *x, int64_t x_stride, int64_t n, int64_t size) {
    if (x_stride == size && y_stride == size && n * size > SHORT_ROW) {
        memcpy(y, x, (size_t)(n * size));
    } else if (x_stride == 0 && y_stride == size && n * size > SHORT_ROW) {
        wisp_fill(y, x, n, size);
    } else {
        switch (size) {
            case 1: copy_strided(y, y_stride, x, x_stride, n, 1); break;
            case 2: copy_strided(y, y_stride, x, x_stride, n, 2); break;
            case 4: copy_strided(y, y_stride, x, x_stride, n, 4); break;
            default: copy_strided(y, y_stride, x, x_stride, n, 8); break;
        }
    }
}

/* The two innermost axes, of `rows` and `columns` steps. */
static void copy_plane(const wisp_view *v, uint8_t *y, const uint8_t *x, int64_t rows, int64_t columns) {
    const wisp_view_axis *outer = &v->axes[v->rank - 2], *inner = &v->axes[v->rank - 1];
    if (inner->y_stride == v->size && outer->x_stride == v->size && inner->x_stride != v->size) {
        wisp_plane p = {y, x, outer->y_stride, inner->x_stride, rows, columns};
        wisp_transpose_plane(&p, v->size);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        copy_row(y + i * outer->y_stride, inner->y_stride, x + i * outer->x_stride, inner->x_stride, columns, v->size);
}

void wisp_view_copy(const wisp_view *v, const void *x_data, void *y_data, int64_t begin, int64_t end) {
    const wisp_view_axis *a = v->axes;
    const uint8_t *x = (const uint8_t *)x_data + v->x_offset;
    uint8_t *y = y_data;
    int64_t count[WISP_VIEW_RANK], index[WISP_VIEW_RANK];
    if (begin >= end) return;
    if (v->rank == 0) {
        copy_element(y, x, v->size);
        return;
    }
    for (int k = 0; k < v->rank; k++) count[k] = a[k].extent, index[k] = 0;
    x += begin * a[v->split].x_stride;
    y += begin * a[v->split].y_stride;
    count[v->split] = end - begin;
    if (v->rank == 1) {
        copy_row(y, a->y_stride, x, a->x_stride, *count, v->size);
        return;
    }
    for (;;) {
        copy_plane(v, y, x, count[v->rank - 2], count[v->rank - 1]);
        int k = v->rank - 3;
        for (; k >= 0; k--) {
            x += a[k].x_stride;
            y += a[k].y_stride;
            if (++index[k] < count[k]) break;
            x -= a[k].x_stride * count[k];
            y -= a[k].y_stride * count[k];
            index[k] = 0;
        }
        if (k < 0) return;
    }
}
