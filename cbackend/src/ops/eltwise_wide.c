/* Element-wise operators on every arithmetic dtype but f32, widened to 64 bits in blocks: one loop instead of one per dtype. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

int wisp_wide_kind(int dtype) {
    switch (dtype) {
        case WISP_S8:
        case WISP_S16:
        case WISP_S32:
        case WISP_S64: return WIDE_SIGNED;
        case WISP_BOOL:
        case WISP_U8:
        case WISP_U16:
        case WISP_U32:
        case WISP_U64: return WIDE_UNSIGNED;
        case WISP_F32:
        case WISP_F64: return WIDE_FLOAT;
        default: return WIDE_NONE;
    }
}

#define LOAD(type, field)                                                                 \
    for (size_t i = 0; i < n; i++) out[i].field = ((const type *)x)[(ptrdiff_t)i * step]; \
    break

void wisp_wide_load(int dtype, const void *x, ptrdiff_t step, size_t n, wide *out) {
    switch (dtype) {
        case WISP_S8: LOAD(int8_t, s);
        case WISP_S16: LOAD(int16_t, s);
        case WISP_S32: LOAD(int32_t, s);
        case WISP_S64: LOAD(int64_t, s);
        case WISP_BOOL:
        case WISP_U8: LOAD(uint8_t, u);
        case WISP_U16: LOAD(uint16_t, u);
        case WISP_U32: LOAD(uint32_t, u);
        case WISP_U64: LOAD(uint64_t, u);
        case WISP_F32: LOAD(float, f);
        case WISP_F64: LOAD(double, f);
    }
}

#define STORE(type, field)                                            \
    for (size_t i = 0; i < n; i++) ((type *)y)[i] = (type)x[i].field; \
    break

void wisp_wide_store(int dtype, const wide *x, size_t n, void *y) {
    switch (dtype) { /* integers: signed and unsigned of one width have the same bits */
        case WISP_S8:
        case WISP_BOOL:
        case WISP_U8: STORE(uint8_t, u);
        case WISP_S16:
        case WISP_U16: STORE(uint16_t, u);
        case WISP_S32:
        case WISP_U32: STORE(uint32_t, u);
        case WISP_S64:
        case WISP_U64: STORE(uint64_t, u);
        case WISP_F32: STORE(float, f);
        case WISP_F64: STORE(double, f);
    }
}

void wisp_wide_loop(wisp_wide_fn *fn, int dtype, int to, const void *a, int step_a, const void *b, int step_b, void *y, size_t n) {
    enum { BLOCK = 64 };
    wide first[BLOCK], second[BLOCK] = {{0}};
    const size_t size = wisp_dtype_size(dtype), to_size = wisp_dtype_size(to);
    const int kind = wisp_wide_kind(dtype);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        wisp_wide_load(dtype, (const uint8_t *)a + (step_a ? i * size : 0), step_a, m, first);
        if (b) wisp_wide_load(dtype, (const uint8_t *)b + (step_b ? i * size : 0), step_b, m, second);
        for (size_t j = 0; j < m; j++) first[j] = fn(kind, first[j], second[j]);
        wisp_wide_store(to, first, m, (uint8_t *)y + i * to_size);
    }
}

static void span_wide(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const eltwise_plan *p = call->plan;
    const bool binary = p->inputs > 1;
    wisp_wide_loop(p->by.wide, wisp_input(call, 0)->dtype, wisp_output(call, 0)->dtype, x[0], step[0], binary ? x[1] : NULL,
                   binary ? step[1] : 0, y, n);
}

int wisp_plan_wide(wisp_call *call, int dtype, wisp_wide_fn *fn) {
    ((eltwise_plan *)call->plan)->by.wide = fn;
    return wisp_plan_eltwise(call, dtype, span_wide);
}
