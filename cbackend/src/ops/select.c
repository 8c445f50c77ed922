/* TopK, NonZero, Unique and NonMaxSuppression: elements and rows picked, and put in order, by their values. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "select.h"

/* ---- order */

/* Of one float's bits, whose sign is bit `sign`: an integer in the order of the values. -0 is 0, NaN comes last. */
static int64_t float_key(uint64_t bits, int sign, uint64_t infinity) {
    const uint64_t magnitude = bits & (((uint64_t)1 << sign) - 1);
    if (magnitude > infinity) return INT64_MAX;
    return bits >> sign ? -(int64_t)magnitude : (int64_t)magnitude;
}

/* An integer for element i of x: a < b exactly if key(a) < key(b). */
static int64_t key_of(int dtype, const void *x, int64_t i) {
    switch (dtype) {
        case WISP_F16: return float_key(((const uint16_t *)x)[i], 15, 0x7c00);
        case WISP_F32: return float_key(((const uint32_t *)x)[i], 31, 0x7f800000);
        case WISP_F64: return float_key(((const uint64_t *)x)[i], 63, (uint64_t)0x7ff << 52);
        case WISP_S8: return ((const int8_t *)x)[i];
        case WISP_S16: return ((const int16_t *)x)[i];
        case WISP_S32: return ((const int32_t *)x)[i];
        case WISP_S64: return ((const int64_t *)x)[i];
        case WISP_U16: return ((const uint16_t *)x)[i];
        case WISP_U32: return ((const uint32_t *)x)[i];
        case WISP_U64: return (int64_t)(((const uint64_t *)x)[i] ^ (uint64_t)1 << 63);
        default: return ((const uint8_t *)x)[i]; /* u8, bool */
    }
}

static bool has_key(const wisp_tensor *t) {
    return t->layout == WISP_LAYOUT_PLAIN && wisp_dtype_size(t->dtype) && t->scale >= 0;
}

/* Lets `at`'s entry sink in the heap index[0..n), whose root comes last. */
static void sink(const wisp_order *o, int32_t *index, int64_t n, int64_t at) {
    const int32_t entry = index[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && o->before(o, index[child], index[child + 1])) child++;
        if (!o->before(o, entry, index[child])) break;
        index[at] = index[child];
    }
    index[at] = entry;
}

static void make_heap(const wisp_order *o, int32_t *index, int64_t n) {
    for (int64_t i = n / 2 - 1; i >= 0; i--) sink(o, index, n, i);
}

static void sort_heap(const wisp_order *o, int32_t *index, int64_t n) {
    for (int64_t last = n - 1; last > 0; last--) {
        const int32_t root = index[0];
        index[0] = index[last];
        index[last] = root;
        sink(o, index, last, 0);
    }
}

/* By one value each; of equal ones the lower index comes first. */
bool wisp_value_before(const wisp_order *o, int32_t a, int32_t b) {
    const int64_t ka = key_of(o->dtype, o->x, a * o->stride), kb = key_of(o->dtype, o->x, b * o->stride);
    if (ka == kb) return a < b;
    return o->descending ? ka > kb : ka < kb;
}

void wisp_sort(const wisp_order *o, int32_t *index, int64_t n) {
    make_heap(o, index, n);
    sort_heap(o, index, n);
}

/* ---- TopK: rows are all but the axis; a heap of the best so far for each */

typedef struct topk_plan {
    int64_t k, n, inner; /* inner: elements behind the axis */
} topk_plan;

static int plan_topk(wisp_call *call) {
    const wisp_TopK_params *p = WISP_PARAMS(call, TopK);
    topk_plan *plan = call->plan;
    int64_t dims[WISP_MAX_RANK];
    int status = wisp_check_operands(call, 2, 2, 2);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *k = wisp_input(call, 1);
    if (!has_key(x) || x->dtype == WISP_BOOL)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot order elements of dtype", x->dtype);
    const int axis = wisp_axis(p->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "axis out of range:", p->axis);
    if ((status = wisp_wait_for(call, 1, 1))) return status;
    if (!wisp_is_integers(k) || k->count != 1) return wisp_call_fail(call, WISP_BAD_SHAPE, "k must be one integer");
    *plan = (topk_plan){wisp_integer_at(k, 0), x->dims[axis], (int64_t)wisp_extent(x->dims, axis + 1, x->rank)};
    if (plan->k < 0 || plan->k > plan->n)
        return wisp_call_fail_value(call, WISP_BAD_SHAPE, "the axis has fewer elements than k =", plan->k);
    for (int i = 0; i < x->rank; i++) dims[i] = i == axis ? plan->k : x->dims[i];
    for (uint32_t i = 0; i < 2; i++)
        if ((status = wisp_set_output_wide(call, i, i ? WISP_S64 : x->dtype, x->rank, dims))) return status;
    const uint64_t rows = wisp_extent(x->dims, 0, axis) * (uint64_t)plan->inner;
    wisp_need_scratch(call, 0, (uint64_t)plan->k * sizeof(int32_t));
    wisp_set_work(call, plan->k ? (int64_t)rows : 0, wisp_move_grain(8 * plan->n), 1);
    return WISP_OK;
}

static void topk_row(const wisp_call *call, int64_t row, int32_t *best) {
    const topk_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *values = wisp_output(call, 0), *indices = wisp_output(call, 1);
    const size_t size = wisp_dtype_size(x->dtype);
    const int64_t from = row / p->inner * p->n * p->inner + row % p->inner, to = row / p->inner * p->k * p->inner + row % p->inner;
    const uint8_t *data = (const uint8_t *)x->data + (uint64_t)from * size;
    const wisp_order o = {
        .before = wisp_value_before, .x = data, .stride = p->inner, .dtype = x->dtype, .descending = WISP_PARAMS(call, TopK)->largest != 0};
    for (int64_t i = 0; i < p->k; i++) best[i] = (int32_t)i;
    make_heap(&o, best, p->k);
    int64_t worst = key_of(o.dtype, data, best[0] * p->inner);
    for (int64_t i = p->k; i < p->n; i++) {
        const int64_t key = key_of(o.dtype, data, i * p->inner);
        if (o.descending ? key <= worst : key >= worst) continue;
        best[0] = (int32_t)i;
        sink(&o, best, p->k, 0);
        worst = key_of(o.dtype, data, best[0] * p->inner);
    }
    sort_heap(&o, best, p->k);
    for (int64_t i = 0; i < p->k; i++) {
        const int64_t at = to + i * p->inner;
        if (values) memcpy((uint8_t *)values->data + (uint64_t)at * size, data + (uint64_t)(best[i] * p->inner) * size, size);
        if (indices) ((int64_t *)indices->data)[at] = best[i];
    }
}

static void range_topk(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) topk_row(call, row, wisp_scratch(call, thread));
}

const wisp_operator wisp_op_TopK = {.plan = plan_topk, .range = range_topk, .plan_size = sizeof(topk_plan)};

/* ---- NonZero: row d of the output is index d of every element that is not 0 */

static int plan_nonzero(wisp_call *call) {
    const int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    if (!has_key(wisp_input(call, 0))) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "elements of dtype", wisp_input(call, 0)->dtype);
    wisp_size_later(call);
    wisp_set_work(call, 1, 1, 1);
    return WISP_OK;
}

static int begin_nonzero(wisp_call *call) {
    const wisp_tensor *x = wisp_input(call, 0);
    int64_t dims[2] = {x->rank ? x->rank : 1, 0};
    for (uint64_t i = 0; i < x->count; i++) dims[1] += key_of(x->dtype, x->data, (int64_t)i) != key_of(x->dtype, (const uint64_t[1]){0}, 0);
    return wisp_set_output_wide(call, 0, WISP_S64, 2, dims);
}

static void range_nonzero(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int64_t *to = y->data;
    const int64_t zero = key_of(x->dtype, (const uint64_t[1]){0}, 0);
    (void)thread, (void)begin, (void)end;
    for (int64_t i = 0; i < (int64_t)x->count; i++) {
        if (key_of(x->dtype, x->data, i) == zero) continue;
        int64_t rest = i;
        for (int d = x->rank - 1; d >= 0; d--, rest /= x->dims[d + 1]) to[(int64_t)d * y->dims[1]] = rest % x->dims[d];
        if (!x->rank) *to = 0;
        to++;
    }
}

const wisp_operator wisp_op_NonZero = {.plan = plan_nonzero, .begin = begin_nonzero, .range = range_nonzero};

/* ---- Unique: all in begin, as the number of rows that differ decides the outputs' extents */

typedef struct unique_plan {
    int64_t rows, outer, inner; /* a row: `outer` pieces of `inner` elements */
    int32_t axis;               /* -1: of the flattened input */
    int64_t groups;             /* of the run at hand */
} unique_plan;

/* Tables of `rows` numbers each in shared scratch. */
typedef struct unique_tables {
    int32_t *sorted; /* rows in order */
    int32_t *group;  /* of each row */
    int32_t *first;  /* row of each group */
    int32_t *groups; /* in the order of the output */
    int32_t *counts; /* of each group */
} unique_tables;
enum { UNIQUE_TABLES = 5 };

static unique_tables tables_of(const wisp_call *call) {
    const unique_plan *p = call->plan;
    int32_t *at = (int32_t *)call->shared;
    return (unique_tables){at, at + p->rows, at + 2 * p->rows, at + 3 * p->rows, at + 4 * p->rows};
}

static int compare_rows(const wisp_order *o, int32_t a, int32_t b) {
    for (int64_t i = 0; i < o->outer; i++)
        for (int64_t j = 0; j < o->inner; j++) {
            const int64_t ka = key_of(o->dtype, o->x, (i * o->n + a) * o->inner + j);
            const int64_t kb = key_of(o->dtype, o->x, (i * o->n + b) * o->inner + j);
            if (ka != kb) return ka < kb ? -1 : 1;
        }
    return 0;
}

static bool row_before(const wisp_order *o, int32_t a, int32_t b) {
    const int c = compare_rows(o, a, b);
    return c ? c < 0 : a < b;
}

/* o->x: the first row of each group. */
static bool group_before(const wisp_order *o, int32_t a, int32_t b) {
    return ((const int32_t *)o->x)[a] < ((const int32_t *)o->x)[b];
}

static int plan_unique(wisp_call *call) {
    const wisp_Unique_params *p = WISP_PARAMS(call, Unique);
    unique_plan *plan = call->plan;
    const int status = wisp_check_operands(call, 1, 1, 4);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!has_key(x)) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot order elements of dtype", x->dtype);
    *plan = (unique_plan){.rows = (int64_t)x->count, .outer = 1, .inner = 1, .axis = -1};
    if (p->has_axis) {
        const int axis = wisp_axis(p->axis, x->rank);
        if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "axis out of range:", p->axis);
        *plan = (unique_plan){.rows = x->dims[axis],
                              .outer = (int64_t)wisp_extent(x->dims, 0, axis),
                              .inner = (int64_t)wisp_extent(x->dims, axis + 1, x->rank),
                              .axis = axis};
    }
    if (plan->rows > INT32_MAX) return wisp_call_fail(call, WISP_UNSUPPORTED, "too many elements");
    wisp_need_scratch(call, UNIQUE_TABLES * sizeof(int32_t) * (uint64_t)plan->rows, 0);
    wisp_size_later(call);
    wisp_set_work(call, 1, 1, 1);
    return WISP_OK;
}

static int begin_unique(wisp_call *call) {
    unique_plan *p = call->plan;
    const unique_tables t = tables_of(call);
    const wisp_tensor *x = wisp_input(call, 0);
    const wisp_order o = {.before = row_before, .x = x->data, .n = p->rows, .outer = p->outer, .inner = p->inner, .dtype = x->dtype};
    for (int64_t i = 0; i < p->rows; i++) t.sorted[i] = (int32_t)i;
    wisp_sort(&o, t.sorted, p->rows);
    p->groups = 0;
    for (int64_t i = 0; i < p->rows; i++) {
        const int32_t row = t.sorted[i];
        if (!i || compare_rows(&o, t.sorted[i - 1], row)) {
            t.first[p->groups] = row;
            t.groups[p->groups] = (int32_t)p->groups;
            t.counts[p->groups++] = 0;
        }
        t.group[row] = (int32_t)p->groups - 1;
        t.counts[p->groups - 1]++;
    }
    if (!WISP_PARAMS(call, Unique)->sorted) {
        const wisp_order firsts = {.before = group_before, .x = t.first};
        wisp_sort(&firsts, t.groups, p->groups);
    }
    int64_t dims[WISP_MAX_RANK] = {p->groups};
    int status, rank = p->axis < 0 ? 1 : x->rank;
    for (int i = 0; i < rank && p->axis >= 0; i++) dims[i] = i == p->axis ? p->groups : x->dims[i];
    if ((status = wisp_set_output_wide(call, 0, x->dtype, rank, dims))) return status;
    for (uint32_t i = 1; i < 4; i++)
        if ((status = wisp_set_output_wide(call, i, WISP_S64, 1, i == 2 ? &p->rows : &p->groups))) return status;
    return WISP_OK;
}

static void range_unique(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const unique_plan *p = call->plan;
    const unique_tables t = tables_of(call);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0), *firsts = wisp_output(call, 1);
    const wisp_tensor *inverse = wisp_output(call, 2), *counts = wisp_output(call, 3);
    const int64_t size = p->inner * (int64_t)wisp_dtype_size(x->dtype);
    (void)thread, (void)begin, (void)end;
    for (int64_t i = 0; i < p->groups; i++) {
        const int32_t group = t.groups[i], row = t.first[group];
        if (firsts) ((int64_t *)firsts->data)[i] = row;
        if (counts) ((int64_t *)counts->data)[i] = t.counts[group];
        for (int64_t o = 0; y && o < p->outer; o++)
            memcpy((uint8_t *)y->data + (o * p->groups + i) * size, (const uint8_t *)x->data + (o * p->rows + row) * size, (size_t)size);
    }
    if (!inverse) return;
    int32_t *place = t.sorted; /* of each group: what was sorted is read no more */
    for (int64_t i = 0; i < p->groups; i++) place[t.groups[i]] = (int32_t)i;
    for (int64_t row = 0; row < p->rows; row++) ((int64_t *)inverse->data)[row] = place[t.group[row]];
}

const wisp_operator wisp_op_Unique = {.plan = plan_unique, .begin = begin_unique, .range = range_unique, .plan_size = sizeof(unique_plan)};
