/* Lookup: a constant table says what each byte becomes. One table, or one for each index of an axis. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

enum { ENTRIES = 256 };

typedef struct lookup_plan {
    wisp_lookup_s8_fn *lookup;
    int64_t tables, inner; /* `inner` bytes in turn are looked up in one table */
} lookup_plan;

/* Every step-th of n bytes. */
static void look_up_bytes(const uint8_t *table, int64_t step, const uint8_t *x, uint8_t *y, int64_t n) {
    for (int64_t i = 0; i < n; i += step) y[i] = table[x[i] ^ 0x80];
}

static void look_up_floats(const float *table, int64_t step, const uint8_t *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += step) y[i] = table[x[i] ^ 0x80];
}

static void look_up(const wisp_call *call, int64_t table, int64_t step, int64_t begin, int64_t end) {
    const wisp_tensor *values = wisp_input(call, 1), *y = wisp_output(call, 0);
    const uint8_t *x = (const uint8_t *)wisp_input(call, 0)->data + begin;
    wisp_lookup_s8_fn *lookup = ((const lookup_plan *)call->plan)->lookup;
    if (WISP_FLOAT && y->dtype == WISP_F32)
        look_up_floats((const float *)values->data + table * ENTRIES, step, x, (float *)y->data + begin, end - begin);
    else if (step > 1)
        look_up_bytes((const uint8_t *)values->data + table * ENTRIES, step, x, (uint8_t *)y->data + begin, end - begin);
    else
        lookup((const int8_t *)values->data + table * ENTRIES, (const int8_t *)x, (int8_t *)y->data + begin, (size_t)(end - begin));
}

static void range_lookup(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const lookup_plan *p = call->plan;
    (void)thread;
    if (p->inner == 1 && p->tables > 1) {
        for (int64_t i = 0; i < p->tables && begin + i < end; i++) look_up(call, (begin + i) % p->tables, p->tables, begin + i, end);
        return;
    }
    for (int64_t stop; begin < end; begin = stop) {
        stop = (begin / p->inner + 1) * p->inner;
        if (stop > end) stop = end;
        look_up(call, begin / p->inner % p->tables, 1, begin, stop);
    }
}

static bool is_byte(int dtype) {
    return dtype == WISP_S8 || dtype == WISP_U8;
}

static int plan_lookup(wisp_call *call) {
    lookup_plan *p = call->plan;
    const int status = wisp_check_operands(call, 2, 2, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *table = wisp_input(call, 1);
    const bool one = table->rank == 1;
    if (!is_byte(x->dtype)) return wisp_refuse_dtype(call, x->dtype);
    if (!is_byte(table->dtype) && !(WISP_FLOAT && table->dtype == WISP_F32)) return wisp_refuse_dtype(call, table->dtype);
    if (table->kind != WISP_KIND_CONSTANT || table->rank < 1 || table->rank > 2 || table->dims[table->rank - 1] != ENTRIES)
        return wisp_call_fail(call, WISP_BAD_FILE, "the table must be a constant with rows of 256 values");
    const int axis = one ? 0 : wisp_axis(WISP_PARAMS(call, Lookup)->axis, x->rank);
    if (axis < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such axis:", WISP_PARAMS(call, Lookup)->axis);
    if (!one && table->dims[0] != x->dims[axis])
        return wisp_call_fail_value(call, WISP_BAD_FILE, "rows of the table, which are not the extent of the axis:", table->dims[0]);
    *p = (lookup_plan){.tables = one ? 1 : table->dims[0], .inner = (int64_t)wisp_extent(x->dims, one ? 0 : axis + 1, x->rank)};
    if (is_byte(table->dtype) && (one || p->inner > 1)) p->lookup = WISP_KERNEL(call, lookup_s8);
    wisp_set_work(call, (int64_t)x->count, ELTWISE_GRAIN, 1);
    return wisp_set_output(call, 0, table->dtype, x->rank, x->dims);
}

const wisp_operator wisp_op_Lookup = {.plan = plan_lookup, .range = range_lookup, .plan_size = sizeof(lookup_plan)};
