/* Products with constant packed weights: their checks, their plan, their items. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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

/* False where the compiler knows: a build without f32 is without this. */
static bool packs(const wisp_matrix_plan *p) {
    return WISP_FLOAT && p->packs;
}

static int64_t tap_count(const wisp_matrix *m) {
    return m->source == WISP_ROWS_PLAIN ? 1 : window_taps(&m->window);
}

static int check_plain(wisp_call *call, const wisp_matrix_plan *p) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *bias = wisp_input(call, 2);
    const int64_t n = (int64_t)p->groups * p->m.n;
    if (!WISP_FLOAT || x->dtype != WISP_F32 || w->dtype != WISP_F32)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "weights of a run must be f32, as x");
    if (w->rank < 2 || w->dims[0] != n || w->dims[w->rank - 1] != p->m.group_k ||
        (int64_t)wisp_extent(w->dims, 1, w->rank - 1) != tap_count(&p->m))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    if (bias && (bias->dtype != WISP_F32 || bias->layout != WISP_LAYOUT_PLAIN || (int64_t)bias->count != n))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "needs a f32 bias for each output channel");
    return WISP_OK;
}

static int check_packed(wisp_call *call, const wisp_matrix_plan *p) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    const wisp_matrix *m = &p->m;
    if (w->layout != (wisp_is_s8(x) ? WISP_LAYOUT_GEMM_S8 : WISP_LAYOUT_GEMM_F32) || w->kind != WISP_KIND_CONSTANT)
        return wisp_call_fail(call, WISP_BAD_FILE, "weights must be constant and packed for the dtype of x");
    const int64_t taps = tap_count(m);
    const bool by_tap = w->dims[1] == taps && w->dims[2] == m->group_k;
    const bool patch = w->dims[1] == 1 && w->dims[2] == taps * m->group_k;
    if (m->group_k < 1 || !(by_tap || patch) || w->dims[0] != (p->groups == 1 ? m->n : (int64_t)p->groups * p->panels * 16))
        return wisp_call_fail(call, WISP_BAD_SHAPE, "weights do not fit input, kernel or groups");
    return wisp_check_columns(call, p->groups == 1 ? m->n : (int64_t)p->groups * p->panels * 16);
}

/* ---- plan */

static int64_t panel_count(const wisp_matrix_plan *p) {
    return (int64_t)p->groups * p->panels;
}

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
    p->packs = WISP_FLOAT && w->layout == WISP_LAYOUT_PLAIN;
    int status = packs(p) ? check_plain(call, p) : check_packed(call, p);
    if (!status && s8) status = wisp_check_clamp(call, m->lo, m->hi);
    if (status) return status;
    m->kernel = s8 ? WISP_KERNEL(call, gemm_s8) : WISP_KERNEL(call, gemm_f32);
    if (!m->kernel) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    m->taps = packs(p) ? (int32_t)tap_count(m) : w->dims[1], m->k = packs(p) ? m->group_k : w->dims[2];
    if (m->source != WISP_ROWS_PLAIN && m->taps == 1 && m->k > m->group_k) m->source = WISP_ROWS_PATCHES;
    m->x_size = m->y_size = s8 ? 1 : 4;
    m->any_left_shift = s8 && wisp_input(call, 2)->flags & WISP_TENSOR_SHIFTS_LEFT;
    m->full_range = (w->flags & WISP_TENSOR_FULL_RANGE) != 0;
    const int64_t shared = packs(p) ? panel_count(p) * (wisp_panel_size(m) + wisp_column_block_size(m)) : 0;
    wisp_need_scratch(call, (uint64_t)shared, wisp_matrix_set_tiles(m, p->rows, wisp_scratch_limit(call)));
    const int64_t multiplies = is_by_panel(p) ? p->panels : tile_count(p) * p->groups;
    const int64_t items = packs(p) && panel_count(p) > multiplies ? panel_count(p) : multiplies;
    call->node->macs = (uint64_t)p->rows * (uint64_t)p->groups * (uint64_t)m->n * (uint64_t)m->taps * (uint64_t)m->k;
    call->node->kernel = m->kernel->name;
    wisp_set_work(call, p->rows ? items : 0, items ? 1 + MACS_PER_THREAD / ((int64_t)(call->node->macs / (uint64_t)items) + 1) : 1,
                  packs(p) ? 2 : 1);
    return WISP_OK;
}

/* ---- range */

void wisp_pack_tap(const float *from, int64_t stride, int32_t width, int32_t k, float *panel) {
    memset(panel, 0, sizeof(float) * 16 * (size_t)k);
    for (int32_t j = 0; j < width; j++, from += stride)
        for (int64_t i = 0; i < k; i++) panel[16 * i + j] = from[i];
}

void wisp_pack_bias(const wisp_tensor *bias, int64_t column, int32_t width, float *panel) {
    for (int32_t j = 0; j < 16; j++) panel[j] = bias && j < width ? ((const float *)bias->data)[column + j] : 0;
}

/* Panels of all groups. */
static void pack_panels(const wisp_call *call, const wisp_matrix_plan *p, int64_t begin, int64_t end) {
    const wisp_matrix *m = &p->m;
    const int64_t row = (int64_t)m->taps * m->k;
    for (int64_t i = begin; i < end && i < panel_count(p); i++) {
        const int64_t first = i % p->panels * 16, column = i / p->panels * m->n + first;
        const int32_t width = m->n - first < 16 ? (int32_t)(m->n - first) : 16;
        const float *from = (const float *)wisp_input(call, 1)->data + column * row;
        float *panel = (float *)(void *)(call->shared + i * wisp_panel_size(m));
        for (int64_t t = 0; t < m->taps; t++) wisp_pack_tap(from + t * m->k, row, width, m->k, panel + 16 * t * m->k);
        float *columns = (float *)(void *)(call->shared + panel_count(p) * wisp_panel_size(m) + i * wisp_column_block_size(m));
        wisp_pack_bias(wisp_input(call, 2), column, width, columns);
    }
}

static wisp_factors factors_of(const wisp_call *call, const wisp_matrix_plan *p, int64_t group) {
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1), *c = wisp_input(call, 2), *y = wisp_output(call, 0);
    const wisp_matrix *m = &p->m;
    wisp_factors f = {.x_end = (const uint8_t *)x->data + x->size, .outside = m->x_size == 1 ? x->zero_point : 0};
    f.x.data = x->data;
    if (m->source != WISP_ROWS_PLAIN) f.x = image_of(x);
    f.x.data += group * m->group_k * m->x_size;
    const uint8_t *weights = packs(p) ? call->shared : w->data;
    const uint8_t *columns = packs(p) ? call->shared + panel_count(p) * wisp_panel_size(m) : c->data;
    f.weights = weights + group * p->panels * wisp_panel_size(m);
    f.columns = columns + group * p->panels * wisp_column_block_size(m);
    f.y = (uint8_t *)y->data + group * m->n * m->y_size;
    return f;
}

void wisp_range_matrix(const wisp_call *call, const wisp_matrix_plan *p, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_matrix *m = &p->m;
    void *scratch = wisp_scratch(call, thread);
    const int64_t items = is_by_panel(p) ? p->panels : tile_count(p) * p->groups;
    if (packs(p) && call->phase == 0) {
        pack_panels(call, p, begin, end);
        return;
    }
    if (end > items) end = items;
    if (begin >= end) return;
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
