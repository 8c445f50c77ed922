/* Comparisons, logic, bits and Where, with numpy's broadcasting. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "eltwise.h"

/* ---- comparisons, to bool */

static int plan_compare(wisp_call *call, wisp_span_fn *span_f32, wisp_wide_fn *fn) {
    int status = wisp_check_binary(call);
    if (status || (status = wisp_refuse_quantized(call, true))) return status;
    return wisp_input(call, 0)->dtype == WISP_F32 ? wisp_plan_eltwise(call, WISP_BOOL, span_f32) : wisp_plan_wide(call, WISP_BOOL, fn);
}

#define COMPARE(Name, op)                                                                                            \
    static void span_##Name(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) { \
        const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];                  \
        (void)call;                                                                                                  \
        for (size_t i = 0; i < n; i++) y[i] = a[step[0] ? i : 0] op b[step[1] ? i : 0];                              \
    }                                                                                                                \
    static wide wide_##Name(int kind, wide a, wide b) {                                                              \
        return (wide){.u = kind == WIDE_FLOAT ? a.f op b.f : kind == WIDE_SIGNED ? a.s op b.s : a.u op b.u};         \
    }                                                                                                                \
    static int plan_##Name(wisp_call *call) {                                                                        \
        return plan_compare(call, span_##Name, wide_##Name);                                                         \
    }                                                                                                                \
    ELTWISE(Name)

COMPARE(Equal, ==)
COMPARE(Less, <)
COMPARE(LessOrEqual, <=)
COMPARE(Greater, >)
COMPARE(GreaterOrEqual, >=)

/* ---- bool */

static int plan_logic(wisp_call *call, uint32_t inputs, wisp_span_fn *span) {
    const int status = wisp_check_operands(call, inputs, inputs, 1);
    if (status) return status;
    for (uint32_t i = 0; i < inputs; i++)
        if (wisp_input(call, i)->dtype != WISP_BOOL) return wisp_refuse_dtype(call, wisp_input(call, i)->dtype);
    return wisp_plan_eltwise(call, WISP_BOOL, span);
}

/* An expression in a and b, which are 0 or 1; with one input b is a. */
#define LOGIC(Name, inputs, expression)                                                                              \
    static void span_##Name(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) { \
        const uint8_t *first = x[0], *second = x[(inputs) - 1];                                                      \
        const size_t step_a = step[0] ? 1 : 0, step_b = step[(inputs) - 1] ? 1 : 0;                                  \
        (void)call;                                                                                                  \
        for (size_t i = 0; i < n; i++) {                                                                             \
            const uint8_t a = first[i * step_a] != 0, b = second[i * step_b] != 0;                                   \
            (void)b;                                                                                                 \
            y[i] = (expression);                                                                                     \
        }                                                                                                            \
    }                                                                                                                \
    static int plan_##Name(wisp_call *call) {                                                                        \
        return plan_logic(call, inputs, span_##Name);                                                                \
    }                                                                                                                \
    ELTWISE(Name)

LOGIC(And, 2, a &b)
LOGIC(Or, 2, a | b)
LOGIC(Xor, 2, a ^ b)
LOGIC(Not, 1, !a)

/* ---- bits of integers */

static int plan_bits(wisp_call *call, uint32_t inputs, wisp_wide_fn *fn) {
    int status = inputs == 1 ? wisp_check_operands(call, 1, 1, 1) : wisp_check_binary(call);
    if (status) return status;
    const int dtype = wisp_input(call, 0)->dtype, kind = wisp_wide_kind(dtype);
    if (dtype == WISP_BOOL || (kind != WIDE_SIGNED && kind != WIDE_UNSIGNED)) return wisp_refuse_dtype(call, dtype);
    return (status = wisp_refuse_quantized(call, false)) ? status : wisp_plan_wide(call, dtype, fn);
}

/* An expression in the bits a.u and b.u, the same for signed and unsigned. */
#define BITS(Name, inputs, expression)                      \
    WIDE(wide_##Name, (int64_t)(expression), expression, 0) \
    static int plan_##Name(wisp_call *call) {               \
        return plan_bits(call, inputs, wide_##Name);        \
    }                                                       \
    ELTWISE(Name)

BITS(BitwiseAnd, 2, a.u & b.u)
BITS(BitwiseOr, 2, a.u | b.u)
BITS(BitwiseXor, 2, a.u ^ b.u)
BITS(BitwiseNot, 1, ~a.u)

WIDE(shift_up, (int64_t)(b.u < 64 ? a.u << b.u : 0), b.u < 64 ? a.u << b.u : 0, 0)
WIDE(shift_down, a.s >> (b.s >= 0 && b.s < 64 ? b.s : 63), b.u < 64 ? a.u >> b.u : 0, 0)

static int plan_BitShift(wisp_call *call) {
    return plan_bits(call, 2, WISP_PARAMS(call, BitShift)->left ? shift_up : shift_down);
}
ELTWISE(BitShift)

/* ---- Where: condition, x, y */

/* memcpy of a constant size is one move. */
#define SPAN_WHERE(size)                                                                                                   \
    static void span_where_##size(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) { \
        const uint8_t *condition = x[0], *a = x[1], *b = x[2];                                                             \
        const size_t step_c = step[0] ? 1 : 0, step_a = step[1] ? (size) : 0, step_b = step[2] ? (size) : 0;               \
        (void)call;                                                                                                        \
        for (size_t i = 0; i < n; i++) {                                                                                   \
            const uint8_t *chosen = *condition ? a : b;                                                                    \
            uint8_t element[size];                                                                                         \
            memcpy(element, chosen, size);                                                                                 \
            memcpy(y, element, size);                                                                                      \
            condition += step_c, a += step_a, b += step_b, y += (size);                                                    \
        }                                                                                                                  \
    }
SPAN_WHERE(1)
SPAN_WHERE(2)
SPAN_WHERE(4)
SPAN_WHERE(8)

static int plan_Where(wisp_call *call) {
    int status = wisp_check_operands(call, 3, 3, 1);
    if (status) return status;
    const int condition = wisp_input(call, 0)->dtype, dtype = wisp_input(call, 1)->dtype;
    const size_t size = wisp_dtype_size(dtype);
    if (condition != WISP_BOOL) return wisp_refuse_dtype(call, condition);
    if (size == 0) return wisp_refuse_dtype(call, dtype);
    if (dtype != wisp_input(call, 2)->dtype) return wisp_call_fail(call, WISP_UNSUPPORTED, "the inputs' dtypes differ");
    if ((status = wisp_refuse_quantized(call, true))) return status;
    return wisp_plan_eltwise(call, dtype, size == 1 ? span_where_1 : size == 2 ? span_where_2 : size == 4 ? span_where_4 : span_where_8);
}
ELTWISE(Where)
