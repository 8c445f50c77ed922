/* MatMul of two computed tensors: the second is packed into panels as constant weights are, then the matrix loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "../quant.h"
#include "matrix.h"

/* Phase 0 packs the matrices of b, and for s8 sums the rows of a; phase 1 multiplies. Shared scratch:
 *
 *   panels of b | columns of each panel | s8: 1 for each column | s8: a byte for each panel, whether it has a -128 | s8: terms of rows
 *
 * s8: (a - za)(b - zb) summed over k is  sum ab  -  za sum b  +  k za zb  (a matter of the column: into its bias)
 *                                               -  zb sum a              (a matter of the row: its term, times 1) */
enum { PANEL = 16, ROW_BLOCK = 64, MACS_PER_THREAD = 100 * 1000 };

typedef struct matmul_plan {
    wisp_matrix m;
    wisp_product_row_fn *product_row; /* of a dtype without kernels; then nothing is packed, items are rows */
    int64_t rows, panels;             /* of one product */
    int64_t batches, own_a, own_b;    /* products; matrices of a and of b */
    int64_t pack_items, row_blocks;   /* items of phase 0: panels of b, then blocks of rows of a */
    int64_t multiply_items;
    int32_t rank; /* of the batch */
    int32_t dims[WISP_MAX_RANK];
} matmul_plan;

typedef struct pieces {
    uint8_t *panels, *columns;
    int32_t *ones;
    uint8_t *full_range;
    int32_t *row_terms;
    uint64_t size;
} pieces;

static pieces cut_shared(const matmul_plan *p, void *memory) {
    char *base = memory;
    const uint64_t count = (uint64_t)(p->own_b * p->panels), s8 = p->m.x_size == 1;
    pieces s = {0};
    s.panels = take(&base, &s.size, count * (uint64_t)wisp_panel_size(&p->m));
    s.columns = take(&base, &s.size, count * (uint64_t)wisp_column_block_size(&p->m));
    s.ones = take(&base, &s.size, s8 * (uint64_t)p->panels * PANEL * sizeof(int32_t));
    s.full_range = take(&base, &s.size, s8 * count);
    s.row_terms = take(&base, &s.size, s8 * (uint64_t)(p->own_a * p->rows) * sizeof(int32_t));
    return s;
}

/* ---- plan */

static int describe(const wisp_tensor *a, const wisp_tensor *b, matmul_plan *p) {
    wisp_tensor batch_a = *a, batch_b = *b;
    batch_a.rank = a->rank < 2 ? 0 : (uint8_t)(a->rank - 2);
    batch_b.rank = b->rank < 2 ? 0 : (uint8_t)(b->rank - 2);
    p->rows = a->rank < 2 ? 1 : a->dims[a->rank - 2];
    p->m.k = a->dims[a->rank - 1];
    p->m.n = b->rank < 2 ? 1 : b->dims[b->rank - 1];
    p->panels = ((int64_t)p->m.n + 15) / 16;
    p->own_a = (int64_t)wisp_extent(a->dims, 0, batch_a.rank), p->own_b = (int64_t)wisp_extent(b->dims, 0, batch_b.rank);
    p->rank = wisp_broadcast(&batch_a, &batch_b, p->dims);
    if (p->rank >= 0) p->batches = (int64_t)wisp_extent(p->dims, 0, p->rank);
    return p->rank >= 0 && p->m.k == b->dims[b->rank < 2 ? 0 : b->rank - 2];
}

static int check_operands(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 3, 1);
    if (status) return status;
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1), *c = wisp_input(call, 2);
    if (!(wisp_has_kernels(a) || wisp_product_row(a->dtype)) || b->dtype != a->dtype)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "both must be s8, or of one dtype of f32, f64 and integers of 32 or 64 bits");
    if (a->layout != WISP_LAYOUT_PLAIN || b->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_FILE, "operands must be plain");
    if (a->dtype == WISP_S8 ? !c || c->layout != WISP_LAYOUT_CHANNELS || c->kind != WISP_KIND_CONSTANT || c->count != 1 : c != NULL)
        return wisp_call_fail(call, WISP_BAD_FILE, "s8 needs one requantization for all of the output, others none");
    return WISP_OK;
}

static bool is_by_panel(const matmul_plan *p) {
    return p->rows <= p->m.kernel->rows;
}

static int64_t tile_count(const matmul_plan *p) {
    return (p->rows + p->m.kernel->rows - 1) / p->m.kernel->rows;
}

static void plan_items(wisp_call *call, matmul_plan *p) {
    const bool s8 = p->m.x_size == 1;
    p->pack_items = p->own_b * p->panels;
    p->row_blocks = s8 && wisp_input(call, 1)->zero_point ? p->own_a * ((p->rows + ROW_BLOCK - 1) / ROW_BLOCK) : 0;
    p->multiply_items = p->batches * (is_by_panel(p) ? p->panels : tile_count(p));
    const int64_t items = p->pack_items + p->row_blocks > p->multiply_items ? p->pack_items + p->row_blocks : p->multiply_items;
    const int64_t macs = items ? (int64_t)(call->node->macs / (uint64_t)items) : 0;
    wisp_set_work(call, call->node->macs ? items : 0, 1 + MACS_PER_THREAD / (macs + 1), 2);
}

static int plan_matmul(wisp_call *call) {
    matmul_plan *p = call->plan;
    wisp_matrix *m = &p->m;
    int status = check_operands(call);
    if (status) return status;
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1);
    const bool s8 = a->dtype == WISP_S8;
    if (a->rank < 1 || b->rank < 1 || !describe(a, b, p)) return wisp_call_fail(call, WISP_BAD_SHAPE, "shapes do not fit");
    int32_t dims[WISP_MAX_RANK], rank = p->rank;
    memcpy(dims, p->dims, sizeof dims);
    if (a->rank > 1) dims[rank++] = (int32_t)p->rows;
    if (b->rank > 1) dims[rank++] = m->n;
    if ((status = wisp_set_output(call, 0, a->dtype, rank, dims))) return status;
    call->node->macs = wisp_output(call, 0)->count * (uint64_t)m->k;
    if ((p->product_row = wisp_product_row(a->dtype))) {
        wisp_set_work(call, wisp_output(call, 0)->count ? p->batches * p->rows : 0, 1 + MACS_PER_THREAD / (1 + (int64_t)m->k * m->n), 1);
        return WISP_OK;
    }
    m->kernel = s8 ? WISP_KERNEL(call, gemm_s8) : WISP_KERNEL(call, gemm_f32);
    if (!m->kernel) return wisp_call_fail(call, WISP_UNSUPPORTED, "needs a kernel that this build leaves out");
    m->taps = 1, m->group_k = m->k;
    m->x_size = m->y_size = s8 ? 1 : 4;
    m->source = WISP_ROWS_PLAIN;
    m->x_stride = (int64_t)m->k * m->x_size;
    m->y_stride = m->n;
    if (s8)
        m->lo = -128, m->hi = 127;
    else
        m->min = -__builtin_inff(), m->max = __builtin_inff();
    m->any_left_shift = s8 && wisp_input(call, 2)->flags & WISP_TENSOR_SHIFTS_LEFT;
    call->node->kernel = m->kernel->name;
    if (!call->node->macs) return WISP_OK; /* begin does it */
    const uint64_t shared = cut_shared(p, NULL).size;
    wisp_need_scratch(call, shared, wisp_matrix_set_tiles(m, p->rows, wisp_scratch_limit(call)));
    plan_items(call, p);
    return WISP_OK;
}

/* Sums of nothing. */
static int begin_matmul(wisp_call *call) {
    const matmul_plan *p = call->plan;
    const wisp_tensor *y = wisp_output(call, 0);
    if (p->product_row || p->m.k || !y->size) return WISP_OK;
    int value = 0;
    if (p->m.x_size == 1) {
        const wisp_channels_s8 *c = wisp_input(call, 2)->data;
        value = requantize_s8(c->bias[0], c->shift[0], c->multiplier[0], -128, 127);
    }
    memset(y->data, value, (size_t)y->size);
    return WISP_OK;
}

/* ---- phase 0 */

static void pack_panel_f32(const matmul_plan *p, const float *from, int32_t width, float *panel, float *bias) {
    for (int64_t k = 0; k < p->m.k; k++, from += p->m.n, panel += PANEL) {
        for (int32_t j = 0; j < width; j++) panel[j] = from[j];
        for (int32_t j = width; j < PANEL; j++) panel[j] = 0;
    }
    memset(bias, 0, PANEL * sizeof *bias);
}

/* Returns whether a value is -128. */
static bool pack_panel_s8(const wisp_call *call, const matmul_plan *p, const int8_t *from, int32_t width, int8_t *panel,
                          wisp_channels_s8 *columns) {
    const wisp_channels_s8 *c = wisp_input(call, 2)->data;
    const int32_t za = wisp_input(call, 0)->zero_point, zb = wisp_input(call, 1)->zero_point;
    int32_t sums[PANEL] = {0};
    int8_t lowest = 0;
    memset(panel, 0, (size_t)wisp_panel_size(&p->m));
    for (int32_t k = 0; k < p->m.k; k++, from += p->m.n) {
        int8_t *to = panel + (ptrdiff_t)(k / 4) * 64 + k % 4;
        for (int32_t j = 0; j < width; j++) {
            to[4 * j] = from[j];
            sums[j] = add_wrap(sums[j], from[j]);
            lowest = from[j] < lowest ? from[j] : lowest;
        }
    }
    for (int32_t j = 0; j < PANEL; j++) {
        const int32_t terms = multiply_wrap(za, add_wrap(multiply_wrap(p->m.k, zb), multiply_wrap(-1, sums[j])));
        columns->bias[j] = add_wrap(c->bias[0], terms);
        columns->bias_u8[j] = add_wrap(columns->bias[j], multiply_wrap(-128, sums[j]));
        columns->shift[j] = c->shift[0], columns->multiplier[j] = c->multiplier[0];
    }
    return lowest == -128;
}

static void pack_panel(const wisp_call *call, const matmul_plan *p, const pieces *s, int64_t item) {
    const wisp_matrix *m = &p->m;
    const int64_t column = item % p->panels * PANEL;
    const int32_t width = m->n - column < PANEL ? (int32_t)(m->n - column) : PANEL;
    const uint8_t *from = (const uint8_t *)wisp_input(call, 1)->data + (item / p->panels * m->k * m->n + column) * m->x_size;
    void *panel = s->panels + item * wisp_panel_size(m), *columns = s->columns + item * wisp_column_block_size(m);
    if (m->x_size == 1)
        s->full_range[item] = pack_panel_s8(call, p, (const int8_t *)from, width, panel, columns);
    else
        pack_panel_f32(p, (const float *)(const void *)from, width, panel, columns);
}

static void sum_row_block(const wisp_call *call, const matmul_plan *p, const pieces *s, int64_t block) {
    const int64_t blocks = (p->rows + ROW_BLOCK - 1) / ROW_BLOCK, first = block % blocks * ROW_BLOCK;
    const int64_t end = first + ROW_BLOCK < p->rows ? first + ROW_BLOCK : p->rows;
    const int32_t zb = wisp_input(call, 1)->zero_point;
    for (int64_t row = block / blocks * p->rows + first, last = row + end - first; row < last; row++) {
        const int8_t *x = (const int8_t *)wisp_input(call, 0)->data + row * p->m.k;
        int32_t sum = 0;
        for (int32_t k = 0; k < p->m.k; k++) sum = add_wrap(sum, x[k]);
        s->row_terms[row] = multiply_wrap(-zb, sum);
    }
}

static void prepare_range(const wisp_call *call, const matmul_plan *p, const pieces *s, int64_t begin, int64_t end) {
    if (begin == 0 && p->m.x_size == 1)
        for (int64_t j = 0; j < p->panels * PANEL; j++) s->ones[j] = 1;
    for (int64_t item = begin; item < end && item < p->pack_items + p->row_blocks; item++) {
        if (item < p->pack_items)
            pack_panel(call, p, s, item);
        else
            sum_row_block(call, p, s, item - p->pack_items);
    }
}

/* ---- phase 1 */

/* Which matrix of t belongs to batch index i of the broadcast batch. */
static int64_t matrix_of(const wisp_tensor *t, const matmul_plan *p, int64_t i) {
    int own = t->rank < 2 ? 0 : t->rank - 2;
    int64_t index = 0, step = 1;
    for (int d = p->rank - 1; d >= 0; d--) {
        int64_t at = i % p->dims[d];
        i /= p->dims[d];
        int j = d - (p->rank - own);
        if (j < 0) continue;
        if (t->dims[j] != 1) index += at * step;
        step *= t->dims[j];
    }
    return index;
}

/* Rows and columns of product `batch`. */
static void multiply(const wisp_call *call, const matmul_plan *p, const pieces *s, uint32_t thread, int64_t batch, int64_t row,
                     int64_t row_end, int32_t column, int32_t column_end) {
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1), *y = wisp_output(call, 0);
    const int64_t matrix_a = matrix_of(a, p, batch), first = matrix_of(b, p, batch) * p->panels;
    wisp_matrix m = p->m;
    wisp_factors f = {.x_end = (const uint8_t *)a->data + a->size,
                      .weights = s->panels + first * wisp_panel_size(&m),
                      .columns = s->columns + first * wisp_column_block_size(&m),
                      .y = (uint8_t *)y->data + batch * p->rows * m.n * m.y_size};
    f.x.data = (uint8_t *)a->data + matrix_a * p->rows * m.x_stride;
    if (p->row_blocks) f.row_term = s->row_terms + matrix_a * p->rows, f.column_term = s->ones;
    for (int64_t i = 0; m.x_size == 1 && i < p->panels; i++) m.full_range |= s->full_range[first + i];
    wisp_matrix_multiply(&m, &f, wisp_scratch(call, thread), row, row_end, column, column_end);
}

static void multiply_range(const wisp_call *call, const matmul_plan *p, const pieces *s, uint32_t thread, int64_t begin, int64_t end) {
    const bool by_panel = is_by_panel(p);
    const int64_t each = by_panel ? p->panels : tile_count(p), rows = p->m.kernel->rows;
    if (end > p->multiply_items) end = p->multiply_items;
    while (begin < end) {
        const int64_t batch = begin / each, stop = (batch + 1) * each < end ? (batch + 1) * each : end;
        const int64_t first = begin % each, last = first + stop - begin;
        if (by_panel)
            multiply(call, p, s, thread, batch, 0, p->rows, (int32_t)first * PANEL, last < each ? (int32_t)last * PANEL : p->m.n);
        else
            multiply(call, p, s, thread, batch, first * rows, last < each ? last * rows : p->rows, 0, p->m.n);
        begin = stop;
    }
}

static void product_range(const wisp_call *call, const matmul_plan *p, int64_t begin, int64_t end) {
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(y->dtype), k = p->m.k, n = p->m.n;
    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / p->rows, row = matrix_of(a, p, batch) * p->rows + i % p->rows;
        p->product_row((const uint8_t *)a->data + row * k * size, (const uint8_t *)b->data + matrix_of(b, p, batch) * k * n * size, k, n,
                       (uint8_t *)y->data + i * n * size);
    }
}

static void range_matmul(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const matmul_plan *p = call->plan;
    if (p->product_row) {
        product_range(call, p, begin, end);
        return;
    }
    const pieces s = cut_shared(p, call->shared);
    if (call->phase == 0)
        prepare_range(call, p, &s, begin, end);
    else
        multiply_range(call, p, &s, thread, begin, end);
}

const wisp_operator wisp_op_MatMul = {
    .check = wisp_check_channels, .plan = plan_matmul, .begin = begin_matmul, .range = range_matmul, .plan_size = sizeof(matmul_plan)};
