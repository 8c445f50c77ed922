/* The one strided copy loop: rows where both sides run together, planes where they cross. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eltwise.h"
#include "shape.h"

enum {
    GRAIN_SIZE = 65536, /* bytes worth a thread */
    FILL_SIZE = 4096,
    SHORT_ROW = 32 /* bytes up to which a loop beats a call of memcpy */
};

void wisp_view_axis(wisp_view *v, int64_t extent, int64_t x_stride, int64_t y_stride) {
    if (extent == 1) return;
    int last = v->rank - 1;
    if (last >= 0 && v->x_stride[last] == x_stride * extent && v->y_stride[last] == y_stride * extent) {
        v->dims[last] *= extent;
    } else {
        v->dims[++last] = extent;
        v->rank++;
    }
    v->x_stride[last] = x_stride;
    v->y_stride[last] = y_stride;
}

static int longest_axis(const wisp_view *v) {
    int longest = 0;
    for (int i = 1; i < v->rank; i++)
        if (v->dims[i] > v->dims[longest]) longest = i;
    return longest;
}

int64_t wisp_view_steps(const wisp_view *v) {
    for (int i = 0; i < v->rank; i++)
        if (v->dims[i] == 0) return 0;
    return v->rank == 0 ? 1 : v->dims[longest_axis(v)];
}

int64_t wisp_view_grain(const wisp_view *v) {
    int64_t bytes = v->size;
    if (wisp_view_steps(v) == 0) return 1;
    int longest = longest_axis(v);
    for (int i = 0; i < v->rank; i++)
        if (i != longest) bytes *= v->dims[i];
    return bytes >= GRAIN_SIZE || bytes == 0 ? 1 : GRAIN_SIZE / bytes;
}

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

static void copy_plane(const wisp_view *v, uint8_t *y, const uint8_t *x) {
    int a = v->rank - 2, b = v->rank - 1; /* outer, inner */
    if (v->y_stride[b] == v->size && v->x_stride[a] == v->size && v->x_stride[b] != v->size) {
        wisp_plane p = {y, x, v->y_stride[a], v->x_stride[b], v->dims[a], v->dims[b]};
        wisp_transpose_plane(&p, v->size);
        return;
    }
    for (int64_t i = 0; i < v->dims[a]; i++)
        copy_row(y + i * v->y_stride[a], v->y_stride[b], x + i * v->x_stride[a], v->x_stride[b], v->dims[b], v->size);
}

/* Moves axis `from` to `to` <= rank - 1; the order of loops is free, every axis has its own strides. */
static void swap_axes(wisp_view *v, int from, int to) {
    int64_t d = v->dims[from], x = v->x_stride[from], y = v->y_stride[from];
    v->dims[from] = v->dims[to];
    v->x_stride[from] = v->x_stride[to];
    v->y_stride[from] = v->y_stride[to];
    v->dims[to] = d;
    v->x_stride[to] = x;
    v->y_stride[to] = y;
}

/* Short runs that both sides share become one larger element. */
static void widen_element(wisp_view *v) {
    int b = v->rank - 1;
    int64_t size = v->size;
    if (b < 0 || v->x_stride[b] != size || v->y_stride[b] != size || v->dims[b] > 8) return;
    size *= v->dims[b];
    if (size != 2 && size != 4 && size != 8) return;
    v->size = size;
    v->rank--;
}

/* Puts the axis along which x is dense beside the innermost one, so that planes can be transposed in blocks. */
static void order_axes(wisp_view *v) {
    if (v->rank < 3 || v->x_stride[v->rank - 1] == v->size) return;
    for (int i = 0; i < v->rank - 2; i++)
        if (v->x_stride[i] == v->size) {
            swap_axes(v, i, v->rank - 2);
            return;
        }
}

void wisp_view_copy(const wisp_view *view, int64_t begin, int64_t end) {
    wisp_view v = *view;
    if (wisp_view_steps(view) == 0 || begin >= end) return;
    if (v.rank > 0) {
        int split = longest_axis(&v);
        v.x += begin * v.x_stride[split];
        v.y += begin * v.y_stride[split];
        v.dims[split] = end - begin;
    }
    widen_element(&v);
    order_axes(&v);
    if (v.rank == 0) {
        copy_element(v.y, v.x, v.size);
        return;
    }
    if (v.rank == 1) {
        copy_row(v.y, v.y_stride[0], v.x, v.x_stride[0], v.dims[0], v.size);
        return;
    }
    int64_t index[WISP_VIEW_RANK] = {0};
    for (;;) {
        copy_plane(&v, v.y, v.x);
        int k = v.rank - 3;
        for (; k >= 0; k--) {
            v.x += v.x_stride[k];
            v.y += v.y_stride[k];
            if (++index[k] < v.dims[k]) break;
            v.x -= v.x_stride[k] * v.dims[k];
            v.y -= v.y_stride[k] * v.dims[k];
            index[k] = 0;
        }
        if (k < 0) return;
    }
}
