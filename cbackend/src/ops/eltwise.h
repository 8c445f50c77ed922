/* What the element-wise families share: one loop over broadcast inputs, and every arithmetic dtype widened to 64 bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_ELTWISE_H
#define WISP_ELTWISE_H

#include "../op.h"

#if defined(__GNUC__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

enum { ELTWISE_GRAIN = 16384 }; /* elements worth a thread: a few microseconds of a cheap operator */

/* ---- elements of 64 bits */

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

/* One element of `kind` from one or two; unary functions ignore b. */
typedef wide wisp_wide_fn(int kind, wide a, wide b);

/* Defines such a function: the result for signed, unsigned and floating elements, each an expression in a and b. */
#define WIDE(name, signed_value, unsigned_value, float_value)        \
    static inline wide name(int kind, wide a, wide b) {              \
        (void)a, (void)b;                                            \
        if (kind == WIDE_FLOAT) return (wide){.f = (float_value)};   \
        if (kind == WIDE_SIGNED) return (wide){.s = (signed_value)}; \
        return (wide){.u = (unsigned_value)};                        \
    }

/* Integers wrap; x / 0 is 0, and division truncates. A NaN wins. */
WIDE(wide_add, (int64_t)(a.u + b.u), a.u + b.u, a.f + b.f)
WIDE(wide_divide, b.s == 0 ? 0 : b.s == -1 ? (int64_t)(0 - a.u) : a.s / b.s, b.u == 0 ? 0 : a.u / b.u, a.f / b.f)
WIDE(wide_minimum, a.s < b.s ? a.s : b.s, a.u < b.u ? a.u : b.u, a.f < b.f || a.f != a.f ? a.f : b.f)
WIDE(wide_maximum, a.s > b.s ? a.s : b.s, a.u > b.u ? a.u : b.u, a.f > b.f || a.f != a.f ? a.f : b.f)
WIDE(wide_absolute, a.s < 0 ? (int64_t)(0 - a.u) : a.s, a.u, a.f < 0 ? -a.f : a.f + 0) /* -0 + 0 is 0 */
static inline wide wide_multiply(int kind, wide a, wide b) {
    return kind == WIDE_FLOAT ? (wide){.f = a.f * b.f} : (wide){.u = a.u * b.u};
}

/* y[i] = fn(a[i], b[i]): n elements of `dtype` to elements of `to`, by blocks. Steps: 1, or 0 for one value used for all i.
 * b null: fn is unary. y may be a or b. */
void wisp_wide_loop(wisp_wide_fn *fn, int dtype, int to, const void *a, int step_a, const void *b, int step_b, void *y, size_t n);

/* ---- one to three inputs that broadcast to the output */

enum { ELTWISE_INPUTS = 3 };

/* One inner loop: n elements of input i at x[i], consecutive (step[i] = 1) or all the same (0). y may be any x[i]. */
typedef void wisp_span_fn(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n);

/* The output's axes, innermost first, without those of extent 1; neighbours along which the same inputs move are one. */
typedef struct eltwise_plan {
    wisp_span_fn *span;
    union { /* what span calls, if anything */
        wisp_binary_f32_fn *binary_f32;
        wisp_add_s8_fn *add_s8;
        wisp_mul_s8_fn *mul_s8;
        wisp_wide_fn *wide;
    } by;
    wisp_clamp_f32_fn *clamp_f32; /* null: no clamp */
    ptrdiff_t extent[WISP_MAX_RANK];
    uint8_t moves[WISP_MAX_RANK];     /* bit i: input i moves along this axis; else it is broadcast */
    uint8_t size[ELTWISE_INPUTS + 1]; /* bytes of an element: of each input, then of the output */
    uint8_t inputs, rank;             /* rank >= 1 */
} eltwise_plan;

/* The rest of plan: the output has `dtype` and the broadcast shape of all inputs, made by `span`. */
int wisp_plan_eltwise(wisp_call *call, int dtype, wisp_span_fn *span);
/* The same where span applies plan->by.wide to one or two inputs of any arithmetic dtype. */
int wisp_plan_wide(wisp_call *call, int dtype, wisp_wide_fn *fn);
void wisp_eltwise_range(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end);

/* The descriptor of an operator whose plan is plan_NAME and ends in one of the two. */
#define ELTWISE(Name) \
    const wisp_operator wisp_op_##Name = {.plan = plan_##Name, .range = wisp_eltwise_range, .plan_size = sizeof(eltwise_plan)};

/* ---- checks */

/* Fails when an operand is quantized; with `same_scale`, only when scales or zero points differ. bool operands do not count. */
int wisp_refuse_quantized(wisp_call *call, bool same_scale);
int wisp_refuse_dtype(wisp_call *call, int dtype);
/* Two inputs of one arithmetic dtype. */
int wisp_check_binary(wisp_call *call);

#endif
