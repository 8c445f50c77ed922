/* The one outer loop of the element-wise operators: broadcasting over any ranks, cut into contiguous inner spans. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

enum { MAX_INPUTS = 3 };

/* The output's axes, innermost first, with those merged that all inputs walk in one stride. Strides in bytes; 0: broadcast. */
typedef struct walk {
    int inputs, rank; /* rank >= 1 */
    int64_t extent[WISP_MAX_RANK];
    int64_t stride[MAX_INPUTS][WISP_MAX_RANK];
} walk;

static void add_axis(walk *w, int64_t extent, const int64_t *stride) {
    bool merge = w->rank > 0;
    for (int i = 0; i < w->inputs && merge; i++) merge = stride[i] == w->stride[i][w->rank - 1] * w->extent[w->rank - 1];
    if (merge) {
        w->extent[w->rank - 1] *= extent;
        return;
    }
    for (int i = 0; i < w->inputs; i++) w->stride[i][w->rank] = stride[i];
    w->extent[w->rank++] = extent;
}

static void plan_walk(const wisp_call *call, walk *w) {
    const wisp_tensor *y = wisp_output(call, 0);
    int64_t next[MAX_INPUTS], stride[MAX_INPUTS]; /* next: stride of the coming axis if it is not broadcast */
    w->inputs = call->input_count;
    w->rank = 0;
    for (int i = 0; i < w->inputs; i++) next[i] = (int64_t)wisp_dtype_size(wisp_input(call, (uint32_t)i)->dtype);
    for (int axis = 1; axis <= y->rank; axis++) {
        if (y->dims[y->rank - axis] == 1) continue;
        for (int i = 0; i < w->inputs; i++) {
            const wisp_tensor *x = wisp_input(call, (uint32_t)i);
            const int32_t extent = axis <= x->rank ? x->dims[x->rank - axis] : 1;
            stride[i] = extent == 1 ? 0 : next[i];
            next[i] *= extent;
        }
        add_axis(w, y->dims[y->rank - axis], stride);
    }
    if (w->rank == 0) { /* a single element */
        for (int i = 0; i < w->inputs; i++) stride[i] = 0;
        add_axis(w, 1, stride);
    }
}

void wisp_eltwise_range(wisp_call *call, int64_t begin, int64_t end, wisp_span_fn *span) {
    walk w;
    const uint8_t *x[MAX_INPUTS], *at[MAX_INPUTS];
    int64_t position[WISP_MAX_RANK];
    int step[MAX_INPUTS];
    if (begin >= end) return;
    plan_walk(call, &w);
    const int64_t size = (int64_t)wisp_dtype_size(wisp_output(call, 0)->dtype);
    uint8_t *y = (uint8_t *)wisp_output(call, 0)->data + begin * size;
    for (int i = 0; i < w.inputs; i++) {
        x[i] = wisp_input(call, (uint32_t)i)->data;
        step[i] = w.stride[i][0] != 0;
    }
    int64_t rest = begin;
    for (int axis = 0; axis < w.rank; axis++) {
        position[axis] = rest % w.extent[axis];
        rest /= w.extent[axis];
        for (int i = 0; i < w.inputs; i++) x[i] += position[axis] * w.stride[i][axis];
    }
    for (int64_t column = position[0]; begin < end; column = 0) {
        const int64_t left = w.extent[0] - column, n = left < end - begin ? left : end - begin;
        for (int i = 0; i < w.inputs; i++) at[i] = x[i];
        span(call, at, step, y, (size_t)n);
        begin += n;
        y += n * size;
        for (int i = 0; i < w.inputs; i++) x[i] -= column * w.stride[i][0]; /* back to the start of the row */
        for (int axis = 1; axis < w.rank; axis++) {
            const int64_t back = ++position[axis] < w.extent[axis] ? 0 : w.extent[axis];
            for (int i = 0; i < w.inputs; i++) x[i] += (1 - back) * w.stride[i][axis];
            if (back == 0) break;
            position[axis] = 0;
        }
    }
}
