/* Cast between element types: towards zero and saturating from floats, modulo 2^bits between integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "narrow.h"
#include "shape.h"

/* Rules, the same on every target:
 *   float -> integer   truncated towards zero, saturated to the type's range, or for 4 and 2 bits to that of s64, and then modulo
 *                      2^bits; NaN gives 0
 *   integer -> integer modulo 2^bits (two's complement)
 *   anything -> bool   x != 0 (NaN is true)
 *   -> floats          one rounding, see narrow.h
 * Elements pass through 64 bits in chunks: double for floats, which is exact, and int64 or uint64. */
enum { CHUNK = 64, GRAIN = 16384 /* elements worth a thread */ };

/* ---- between kinds */

/* From lo down numbers become min, from `above` on max. Both bounds are exact as doubles. */
static void saturate(wide *w, size_t n, int dtype) {
    const int bits = wisp_integer_bits(dtype), is_signed = wisp_element_kind(dtype) == WIDE_SIGNED;
    const uint64_t max = UINT64_MAX >> (64 - bits + is_signed), min = is_signed ? ~max : 0;
    const double above = 2 * (double)(max / 2 + 1), lo = is_signed ? -above : 0;
    for (size_t i = 0; i < n; i++) {
        const double d = w[i].f;
        if (d > lo && d < above)
            w[i].u = is_signed ? (uint64_t)(int64_t)d : (uint64_t)d;
        else
            w[i].u = d >= above ? max : d <= lo ? min : 0;
    }
}

/* Doubles that round to any shorter float as the integers do: what does not fit into 53 bits is put into the last one. */
static void keep_last_bits(wide *w, size_t n, bool is_signed) {
    for (size_t i = 0; i < n; i++) {
        const bool negative = is_signed && w[i].s < 0;
        const uint64_t magnitude = negative ? 0 - w[i].u : w[i].u;
        if (magnitude >> 53) {
            const uint64_t kept = (magnitude & ~(uint64_t)2047) | (magnitude & 2047 ? 2048 : 0);
            w[i].u = negative ? 0 - kept : kept;
        }
    }
}

static void convert(wide *w, size_t n, int from, int to) {
    const int kind = wisp_element_kind(from);
    const bool to_float = wisp_element_kind(to) == WIDE_FLOAT;
    if (to == WISP_BOOL) {
        for (size_t i = 0; i < n; i++) w[i].u = kind == WIDE_FLOAT ? w[i].f != 0 : w[i].u != 0;
    } else if (kind == WIDE_FLOAT && !to_float) {
        saturate(w, n, wisp_integer_bits(to) < 8 ? WISP_S64 : to);
    } else if (kind != WIDE_FLOAT && to_float) {
        if (to != WISP_F64 && wisp_integer_bits(from) == 64) keep_last_bits(w, n, kind == WIDE_SIGNED);
        for (size_t i = 0; i < n; i++) w[i].f = kind == WIDE_SIGNED ? (double)w[i].s : (double)w[i].u;
    }
}

/* ---- Cast */

static void cast_elements(const wisp_call *call, const uint8_t *x, uint8_t *y, size_t n) {
    const int from = wisp_input(call, 0)->dtype, to = wisp_output(call, 0)->dtype;
    const wisp_Cast_params *p = WISP_PARAMS(call, Cast);
    const size_t size = wisp_dtype_size(from), to_size = wisp_dtype_size(to);
    wide w[CHUNK];
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t m = n - i < CHUNK ? n - i : CHUNK;
        wisp_load_elements(from, x + i * size, m, w);
        convert(w, m, from, to);
        wisp_store_elements(to, w, m, y + i * to_size, (wisp_narrowing){p->unsaturated != 0, p->e8m0});
    }
}

static void range_cast(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const uint8_t *from = (const uint8_t *)x->data + (size_t)begin * wisp_dtype_size(x->dtype);
    uint8_t *to = (uint8_t *)y->data + (size_t)begin * wisp_dtype_size(y->dtype);
    const size_t n = (size_t)(end - begin);
    (void)thread;
    if (x->dtype == y->dtype) {
        if (from != to) memcpy(to, from, n * wisp_dtype_size(y->dtype)); /* else y is x: the session saw to it */
    } else if (x->dtype == WISP_F16 && y->dtype == WISP_F32) {
        wisp_f16_to_f32((const uint16_t *)(const void *)from, n, (float *)(void *)to);
    } else if (x->dtype == WISP_F32 && y->dtype == WISP_F16) {
        wisp_f32_to_f16((const float *)(const void *)from, n, (uint16_t *)(void *)to);
    } else if (x->dtype == WISP_BF16 && y->dtype == WISP_F32) {
        wisp_bf16_to_f32((const uint16_t *)(const void *)from, n, (float *)(void *)to);
    } else if (x->dtype == WISP_F32 && y->dtype == WISP_BF16) {
        wisp_f32_to_bf16((const float *)(const void *)from, n, (uint16_t *)(void *)to);
    } else {
        cast_elements(call, from, to, n);
    }
}

static int plan_cast(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    const int32_t e8m0 = WISP_PARAMS(call, Cast)->e8m0;
    if (e8m0 < WISP_E8M0_UP || e8m0 > WISP_E8M0_NEAREST) return wisp_call_fail_value(call, WISP_BAD_FILE, "no such rounding:", e8m0);
    wisp_set_work(call, (int64_t)x->count, GRAIN, 1);
    return wisp_set_output(call, 0, y->dtype, x->rank, x->dims); /* the file states the type */
}

const wisp_operator wisp_op_Cast = {.plan = plan_cast, .range = range_cast};
