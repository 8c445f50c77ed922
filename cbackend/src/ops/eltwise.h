/* What the element-wise families share: a broadcasting driver, and every arithmetic dtype widened to 64 bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_ELTWISE_H
#define WISP_ELTWISE_H

#include "../op.h"

#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

enum { /* operator codes by name */
#define OP(code, name, traits, params) OP_##name = code,
#include "../ops.def"
#undef OP
};

enum { ELTWISE_GRAIN = 16384 }; /* elements worth a thread: a few microseconds of a cheap operator */

/* One inner loop: n elements of input i at x[i], consecutive (step[i] = 1) or all the same (0). y may be any x[i]. */
typedef void wisp_span_fn(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n);

wisp_span_fn wisp_span_f32, wisp_span_add_f32, wisp_span_compare_f32, wisp_span_add_s8, wisp_span_mul_s8, wisp_span_where;
wisp_span_fn wisp_span_logic; /* bool */
wisp_span_fn wisp_span_wide;  /* any dtype of wisp_wide_kind, one or two inputs */

/* Calls span for the elements [begin, end) of the output, counted row-major, of a node of 1..3 inputs that broadcast to it. */
void wisp_eltwise_range(wisp_call *call, int64_t begin, int64_t end, wisp_span_fn *span);

/* An element of any arithmetic dtype. */
typedef union wide {
    int64_t s;  /* s8 s16 s32 s64 */
    uint64_t u; /* bool u8 u16 u32 u64 */
    double f;   /* f32 f64 */
} wide;

enum { WIDE_NONE, WIDE_SIGNED, WIDE_UNSIGNED, WIDE_FLOAT };

/* Which field of `wide` holds elements of this dtype; WIDE_NONE: not an arithmetic dtype. */
int wisp_wide_kind(int dtype);
/* Elements x[0], x[step], ... of an array of `dtype`. */
void wisp_wide_load(int dtype, const void *x, ptrdiff_t step, size_t n, wide *out);
/* Integers are cut to the width of `dtype`. y and x do not overlap. */
void wisp_wide_store(int dtype, const wide *x, size_t n, void *y);
/* The operator `code` (with ELTWISE_VARIANT where its parameter says so) on elements of `kind`; unary ones ignore b. */
wide wisp_wide_apply(int kind, int code, wide a, wide b);

enum { ELTWISE_VARIANT = 256 }; /* Mod: fmod = 1. BitShift: left = 1. */

/* As wisp_check_operands, for operators with one output, which must be present. */
static inline int check_operands(wisp_call *call, uint32_t min_inputs, uint32_t max_inputs) {
    const int status = wisp_check_operands(call, min_inputs, max_inputs, 1);
    if (status == WISP_OK && wisp_output(call, 0) == NULL) return wisp_call_fail(call, WISP_BAD_FILE, "the output is missing");
    return status;
}

/* Fails when an operand is quantized; with `same_scale`, only when scales or zero points differ. bool operands do not count. */
int wisp_refuse_quantized(wisp_call *call, bool same_scale);
int wisp_refuse_dtype(wisp_call *call, int dtype);

/* The rest of prepare of a unary operator on any dtype wisp_wide_apply handles: sets output and run. */
int wisp_prepare_wide_unary(wisp_call *call);

#endif
