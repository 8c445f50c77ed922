/* Gemm with constant weights (through the matrix loop) and MatMul of two computed f32 tensors. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "matrix.h"

/* ---- Gemm */

static void describe_gemm(const wisp_call *call, wisp_matrix *m) {
    const wisp_Gemm_params *p = WISP_PARAMS(call, Gemm);
    const wisp_tensor *x = wisp_input(call, 0);
    const int32_t k = x->dims[x->rank - 1];
    m->window = (wisp_window){.kernel_h = 1, .kernel_w = 1};
    m->pointwise = true;
    m->groups = 1;
    m->group_k = k;
    m->n = wisp_input(call, 1)->dims[0];
    m->panels_n = (m->n + 15) / 16 * 16;
    m->rows = (int64_t)wisp_extent(x->dims, 0, x->rank - 1);
    m->x_stride = k, m->out_stride = m->n;
    m->min = p->min, m->max = p->max, m->lo = p->lo, m->hi = p->hi;
    wisp_matrix_complete(call, m);
}

static void run_gemm_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    wisp_matrix m = {0};
    describe_gemm(call, &m);
    wisp_matrix_range(call, &m, thread, begin, end);
}

static int run_gemm(wisp_call *call) {
    wisp_matrix m = {0};
    describe_gemm(call, &m);
    wisp_parallel(call, wisp_matrix_items(call, &m), wisp_matrix_grain(call, &m), run_gemm_range);
    return WISP_OK;
}

int wisp_prepare_Gemm(wisp_call *call) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *w = wisp_input(call, 1);
    if (x->rank < 1 || w->rank != 3 || w->dims[0] < 1 || w->dims[0] > INT32_MAX - 16)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "takes a tensor of rank 1 or more and packed weights");
    int32_t dims[WISP_MAX_RANK];
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = w->dims[0];
    if ((status = wisp_set_output(call, 0, x->dtype, x->rank, dims))) return status;
    wisp_matrix m = {0};
    describe_gemm(call, &m);
    wisp_legacy_of(call)->run = run_gemm;
    return wisp_matrix_prepare(call, &m);
}

/* ---- MatMul: an item is 16 columns of one product. They are packed into scratch, then all rows pass. */

typedef struct product {
    int32_t m, k, n;
    int64_t panels; /* of 16 columns */
    int32_t rank;   /* of the batch */
    int32_t dims[WISP_MAX_RANK];
} product;

static int describe_product(const wisp_tensor *a, const wisp_tensor *b, product *p) {
    wisp_tensor batch_a = *a, batch_b = *b;
    batch_a.rank = a->rank < 2 ? 0 : (uint8_t)(a->rank - 2);
    batch_b.rank = b->rank < 2 ? 0 : (uint8_t)(b->rank - 2);
    p->m = a->rank < 2 ? 1 : a->dims[a->rank - 2];
    p->k = a->dims[a->rank - 1];
    p->n = b->rank < 2 ? 1 : b->dims[b->rank - 1];
    p->panels = ((int64_t)p->n + 15) / 16;
    p->rank = wisp_broadcast(&batch_a, &batch_b, p->dims);
    return p->rank >= 0 && p->k == b->dims[b->rank < 2 ? 0 : b->rank - 2];
}

/* Which matrix of t belongs to batch index i of the broadcast batch. */
static int64_t matrix_of(const wisp_tensor *t, const product *p, int64_t i) {
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

static void run_matmul_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    static const float no_bias[16] = {0};
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1), *y = wisp_output(call, 0);
    product p;
    describe_product(a, b, &p);
    float *panel = wisp_scratch(call, thread);
    for (int64_t item = begin; item < end; item++) {
        const int64_t batch = item / p.panels, column = item % p.panels * 16;
        const int32_t n = p.n - column < 16 ? (int32_t)(p.n - column) : 16;
        const float *from = (const float *)b->data + matrix_of(b, &p, batch) * p.k * p.n + column;
        const float *x = (const float *)a->data + matrix_of(a, &p, batch) * p.m * p.k;
        float *to = (float *)y->data + batch * p.m * p.n + column;
        for (int64_t k = 0; k < p.k; k++) {
            for (int32_t j = 0; j < n; j++) panel[k * 16 + j] = from[k * p.n + j];
            for (int32_t j = n; j < 16; j++) panel[k * 16 + j] = 0;
        }
        const wisp_gemm_kernel *kernel = WISP_KERNEL(call, gemm_f32);
        const int32_t mr = kernel->rows;
        for (int32_t r = 0; r < p.m; r += mr) {
            const void *rows[WISP_MAX_MR];
            int32_t count = p.m - r < mr ? p.m - r : mr;
            for (int32_t i = 0; i < count; i++) rows[i] = x + (int64_t)(r + i) * p.k;
            wisp_gemm g = {.m = count,
                           .n = n,
                           .k = p.k,
                           .taps = 1,
                           .rows = rows,
                           .weights = panel,
                           .columns = no_bias,
                           .out = to + (int64_t)r * p.n,
                           .out_stride = p.n,
                           .min = -__builtin_inff(),
                           .max = __builtin_inff()};
            kernel->multiply(&g);
        }
    }
}

static int run_matmul(wisp_call *call) {
    const wisp_tensor *y = wisp_output(call, 0);
    product p;
    describe_product(wisp_input(call, 0), wisp_input(call, 1), &p);
    if (!y->count) return WISP_OK;
    if (!p.k) {
        memset(y->data, 0, y->size);
        return WISP_OK;
    }
    wisp_parallel(call, (int64_t)wisp_extent(p.dims, 0, p.rank) * p.panels, 1 + 100000 / ((int64_t)p.m * p.k * 16), run_matmul_range);
    return WISP_OK;
}

int wisp_prepare_MatMul(wisp_call *call) {
    int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1);
    product p;
    if (a->dtype != WISP_F32 || b->dtype != WISP_F32 || !WISP_FLOAT) return wisp_call_fail(call, WISP_UNSUPPORTED, "dtype must be f32");
    if (a->layout != WISP_LAYOUT_PLAIN || b->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail(call, WISP_BAD_FILE, "operands must be plain");
    if (a->rank < 1 || b->rank < 1 || !describe_product(a, b, &p)) return wisp_call_fail(call, WISP_BAD_SHAPE, "shapes do not fit");
    if (a->rank > 1) p.dims[p.rank++] = p.m;
    if (b->rank > 1) p.dims[p.rank++] = p.n;
    if ((status = wisp_set_output(call, 0, WISP_F32, p.rank, p.dims))) return status;
    wisp_legacy_of(call)->run = run_matmul;
    call->node->kernel = WISP_KERNEL(call, gemm_f32)->name;
    wisp_need_scratch(call, 0, 64ull * (uint64_t)p.k);
    call->node->macs = wisp_output(call, 0)->count * (uint64_t)p.k;
    return WISP_OK;
}

WISP_LEGACY(Gemm)
WISP_LEGACY(MatMul)
