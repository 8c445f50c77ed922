/* Products with constant packed weights: their checks, their plan, their items. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix.h"

/* A thread is worth waking for this many multiply-accumulates: some 10 us of a small core's work. */
enum { MACS_PER_THREAD = 100 * 1000 };

/* ---- checks */

static int check_channel(wisp_call *call, const wisp_tensor *t, int64_t i, bool *any_left_shift) {
    const wisp_channels_s8 *block = (const wisp_channels_s8 *)t->data + i / 16;
    const int32_t shift = block->shift[i % 16], multiplier = block->multiplier[i % 16];
    if (shift < -15 || shift > 31 || multiplier < 0 || multiplier > 32767)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "shift or multiplier out of range in channel", i);
    /* The rest of the last block is computed too, and thrown away: it must be harmless. */
    if (i >= (int64_t)t->count && (shift || multiplier)) return wisp_call_fail_value(call, WISP_BAD_FILE, "not zero: padding channel", i);
    if (shift < 0) *any_left_shift = true;
    return WISP_OK;
}

int wisp_check_channels(wisp_call *call) {
    wisp_tensor *t = wisp_input(call, 2);
    bool any_left_shift = false;
    int status;
    if (!t || t->layout != WISP_LAYOUT_CHANNELS || !wisp_value(t)) return WISP_OK; /* which plan looks at */
    for (int64_t i = 0; i < ((int64_t)t->count + 15) / 16 * 16; i++)
        if ((status = check_channel(call, t, i, &any_left_shift))) return status;
    if (any_left_shift) t->flags |= WISP_TENSOR_SHIFTS_LEFT;
    return WISP_OK;
}

int wisp_check_columns(wisp_call *call, int64_t n) {
    const wisp_tensor *t = wisp_input(call, 2);
    if (wisp_is_s8(wisp_input(call, 0))) {
        if (!t || t->layout != WISP_LAYOUT_CHANNELS || t->kind != WISP_KIND_CONSTANT || (int64_t)t->count < n)
            return wisp_call_fail(call, WISP_BAD_FILE, "needs the requantization of every output channel");
    } else {
        if (!t || t->dtype != WISP_F32 || t->layout != WISP_LAYOUT_PLAIN || t->kind != WISP_KIND_CONSTANT ||
            (int64_t)t->count < (n + 15) / 16 * 16)
            return wisp_call_fail(call, WISP_BAD_FILE, "needs a constant f32 bias, padded to 16");
    }
    return WISP_OK;
}

int wisp_check_clamp(wisp_call *call, int32_t lo, int32_t hi) {
    if (lo < -128 || lo > hi || hi > 127) return wisp_call_fail(call, WISP_BAD_FILE, "lo and hi are not a range of int8");
    return WISP_OK;
}

static int check_weights(wisp_call *call, const wisp_matrix_plan *p) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    const wisp_matrix *m = &p->m;
    if (w->layout != (wisp_is_s8(x) ? WISP_LAYOUT_GEMM_S8 : WISP_LAYOUT_GEMM_F32) || w->kind != WISP_KIND_CONSTANT)
        return wisp_call_fail(call, WISP_BAD_FILE, "weights must be constant and packed for the dtype of x");
    const int64_t taps = m->source == WISP_ROWS_PLAIN ? 1 : (int64_t)m->window.kernel_h * m->window.kernel_w;
    const bool by_tap = w->dims[1] == taps && w->dims[2] == m->group_k;
    const bool patch = w->dims[1] == 1 && w->dims[2] == taps * m->group_k;
    if (m->group_k < 1 || !(by_tap || patch) || w->dims[0] != (p->groups == 1 ? m->n : (int64_t)p->groups * p->panels * 16))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    return WISP_OK;
}

/* ---- plan */

static int64_t tile_count(const wisp_matrix_plan *p) {
    return (p->rows + p->m.kernel->rows - 1) / p->m.kernel->rows;
}

static bool is_by_panel(const wisp_matrix_plan *p) {
    return p->groups == 1 && tile_count(p) == 1;
}

int wisp_plan_matrix(wisp_call *call, wisp_matrix_plan *p) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    wisp_matrix *m = &p->m;
    const bool s8 = wisp_is_s8(x);
    p->panels = (m->n + 15) / 16;
    int status = check_weights(call, p);
    if (!status) status = wisp_check_columns(call, p->groups == 1 ? m->n : (int64_t)p->groups * p->panels * 16);
    if (!status && s8) status = wisp_check_clamp(call, m->lo, m->hi);
    if (status) return status;
    m->kernel = s8 ? WISP_KERNEL(call, gemm_s8) : WISP_KERNEL(call, gemm_f32);
    if (!m->kernel) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    m->taps = w->dims[1], m->k = w->dims[2];
    if (m->source != WISP_ROWS_PLAIN && m->taps == 1 && m->k > m->group_k) m->source = WISP_ROWS_PATCHES;
    m->x_size = m->y_size = s8 ? 1 : 4;
    m->any_left_shift = s8 && wisp_input(call, 2)->flags & WISP_TENSOR_SHIFTS_LEFT;
    m->full_range = (w->flags & WISP_TENSOR_FULL_RANGE) != 0;
    wisp_need_scratch(call, 0, wisp_matrix_set_tiles(m, p->rows, wisp_scratch_limit(call)));
    const int64_t items = is_by_panel(p) ? p->panels : tile_count(p) * p->groups;
    call->node->macs = (uint64_t)p->rows * (uint64_t)p->groups * (uint64_t)m->n * (uint64_t)m->taps * (uint64_t)m->k;
    call->node->kernel = m->kernel->name;
    wisp_set_work(call, p->rows ? items : 0, items ? 1 + MACS_PER_THREAD / ((int64_t)(call->node->macs / (uint64_t)items) + 1) : 1, 1);
    return WISP_OK;
}

/* ---- range */

static wisp_factors factors_of(const wisp_call *call, const wisp_matrix_plan *p, int64_t group) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const wisp_matrix *m = &p->m;
    wisp_factors f = {.x_end = (const uint8_t *)x->data + x->size, .outside = m->x_size == 1 ? x->zero_point : 0};
    f.x.data = x->data;
    if (m->source != WISP_ROWS_PLAIN) f.x = image_of(x);
    f.x.data += group * m->group_k * m->x_size;
    f.weights = (const uint8_t *)w->data + group * p->panels * wisp_panel_size(m);
    f.columns = (const uint8_t *)c->data + group * p->panels * wisp_column_block_size(m);
    f.y = (uint8_t *)y->data + group * m->n * m->y_size;
    return f;
}

void wisp_range_matrix(const wisp_call *call, const wisp_matrix_plan *p, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_matrix *m = &p->m;
    void *scratch = wisp_scratch(call, thread);
    if (is_by_panel(p)) {
        const wisp_factors f = factors_of(call, p, 0);
        wisp_matrix_multiply(m, &f, scratch, 0, p->rows, (int32_t)begin * 16, end * 16 < m->n ? (int32_t)end * 16 : m->n);
        return;
    }
    const int64_t tiles = tile_count(p), rows = m->kernel->rows;
    while (begin < end) {
        const int64_t group = begin / tiles, group_end = (group + 1) * tiles < end ? (group + 1) * tiles : end;
        const int64_t row = begin % tiles * rows, row_end = row + (group_end - begin) * rows;
        const wisp_factors f = factors_of(call, p, group);
        wisp_matrix_multiply(m, &f, scratch, row, row_end < p->rows ? row_end : p->rows, 0, m->n);
        begin = group_end;
    }
}
