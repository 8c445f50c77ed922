/* Arithmetic on two inputs with numpy's broadcasting. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

#include <math.h>
#include <string.h>

#include "../quant.h"

/* ---- f32 by kernels, other dtypes widened */

static void span_kernel_f32(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const eltwise_plan *p = call->plan;
    p->by.binary_f32((const float *)(const void *)x[0], step[0], (const float *)(const void *)x[1], step[1], (float *)(void *)y, n);
}

/* f32 through `span`, which calls `kernel`; other dtypes through `fn`. bool has operators of its own. */
static int plan_arithmetic(wisp_call *call, bool same_scale, wisp_span_fn *span, wisp_binary_f32_fn *kernel, wisp_wide_fn *fn) {
    int status = wisp_check_binary(call);
    if (status || (status = wisp_refuse_quantized(call, same_scale))) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (dtype == WISP_BOOL || (!WISP_FLOAT && dtype == WISP_F32)) return wisp_refuse_dtype(call, dtype);
    if (dtype != WISP_F32) return wisp_plan_wide(call, dtype, fn);
    ((eltwise_plan *)call->plan)->by.binary_f32 = kernel;
    return wisp_plan_eltwise(call, dtype, span);
}

/* An operator with an f32 kernel and a function for elements of 64 bits. same_scale: on quantized values as well. */
#define BINARY(Name, slot, fn, same_scale)                                                      \
    static int plan_##Name(wisp_call *call) {                                                   \
        return plan_arithmetic(call, same_scale, span_kernel_f32, WISP_KERNEL(call, slot), fn); \
    }                                                                                           \
    ELTWISE(Name)

WIDE(wide_subtract, (int64_t)(a.u - b.u), a.u - b.u, a.f - b.f)

BINARY(Sub, sub_f32, wide_subtract, false)
BINARY(Div, div_f32, wide_divide, false)
BINARY(Min, minimum_f32, wide_minimum, true)
BINARY(Max, maximum_f32, wide_maximum, true)

/* ---- f32 by an expression in a and b */

#define SPAN_F32(name, expression)                                                                             \
    static void name(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *to, size_t n) { \
        const float *first = (const float *)(const void *)x[0], *second = (const float *)(const void *)x[1];   \
        float *y = (float *)(void *)to;                                                                        \
        (void)call;                                                                                            \
        for (size_t i = 0; i < n; i++) {                                                                       \
            const float a = first[step[0] ? i : 0], b = second[step[1] ? i : 0];                               \
            y[i] = (expression);                                                                               \
        }                                                                                                      \
    }

/* a^b modulo 2^64, b >= 0. */
static uint64_t power_u64(uint64_t a, uint64_t b) {
    uint64_t y = 1;
    for (; b != 0; b >>= 1, a *= a) y *= b & 1 ? a : 1;
    return y;
}

static int64_t power_s64(int64_t a, int64_t b) {
    if (b >= 0) return (int64_t)power_u64((uint64_t)a, (uint64_t)b);
    if (a == -1) return b & 1 ? -1 : 1;
    return a == 1; /* 1/a^-b, truncated; 1/0 counts as 0 */
}

SPAN_F32(span_power, powf(a, b))
WIDE(wide_power, power_s64(a.s, b.s), power_u64(a.u, b.u), pow(a.f, b.f))

/* Squares are common. */
static void span_pow(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const eltwise_plan *p = call->plan;
    const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];
    if (step[1] == 0 && *b == 2)
        p->by.binary_f32(a, step[0], a, step[0], (float *)(void *)y, n);
    else
        span_power(call, x, step, y, n);
}

static int plan_Pow(wisp_call *call) {
    return plan_arithmetic(call, false, span_pow, WISP_KERNEL(call, mul_f32), wide_power);
}
ELTWISE(Pow)

static int64_t remainder_s64(int64_t a, int64_t b, bool floor) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return floor && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

SPAN_F32(span_remainder, fmodf(a, b))
WIDE(wide_remainder, remainder_s64(a.s, b.s, false), b.u == 0 ? 0 : a.u % b.u, fmod(a.f, b.f))
WIDE(wide_modulo, remainder_s64(a.s, b.s, true), b.u == 0 ? 0 : a.u % b.u, 0)

static int plan_Mod(wisp_call *call) {
    const int status = wisp_check_binary(call);
    const bool fmod = WISP_PARAMS(call, Mod)->fmod != 0;
    if (status) return status;
    if (wisp_wide_kind(wisp_input(call, 0)->dtype) == WIDE_FLOAT && !fmod)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "on floats needs fmod = 1");
    return plan_arithmetic(call, false, span_remainder, NULL, fmod ? wide_remainder : wide_modulo);
}
ELTWISE(Mod)

/* Two loops, so that the compiler vectorises both. x is never broadcast. */
static void span_prelu(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *to, size_t n) {
    const float *a = (const float *)(const void *)x[0], *slope = (const float *)(const void *)x[1];
    float *y = (float *)(void *)to;
    (void)call;
    if (step[1])
        for (size_t i = 0; i < n; i++) y[i] = a[i] < 0 ? a[i] * slope[i] : a[i];
    else
        for (size_t i = 0; i < n; i++) y[i] = a[i] < 0 ? a[i] * slope[0] : a[i];
}

WIDE(wide_prelu, a.s < 0 ? (int64_t)(a.u * b.u) : a.s, a.u, a.f < 0 ? a.f * b.f : a.f)

static int plan_PRelu(wisp_call *call) {
    const int status = plan_arithmetic(call, false, span_prelu, NULL, wide_prelu);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (x->rank != y->rank || memcmp(x->dims, y->dims, x->rank * sizeof *x->dims) != 0)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the slope does not broadcast to the input");
    return WISP_OK;
}
ELTWISE(PRelu)

/* ---- with a quantized form */

static bool is_s8(int32_t x) {
    return x == clamp_s32(x, -128, 127);
}

/* valid: the operator's own parameters are in range. */
static int plan_quantized(wisp_call *call, wisp_span_fn *span, bool valid) {
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1);
    if (a->dtype != WISP_S8 || a->scale == 0 || b->scale == 0)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "all operands must be quantized to s8, or none");
    valid = valid && is_s8(a->zero_point) && is_s8(b->zero_point);
    if (!valid) return wisp_call_fail(call, WISP_BAD_FILE, "a requantization parameter is out of range");
    return wisp_plan_eltwise(call, WISP_S8, span);
}

/* In blocks, so that the clamp finds the sum in the first cache. */
static void span_add_f32(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *to, size_t n) {
    enum { BLOCK = 2048 };
    const eltwise_plan *plan = call->plan;
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];
    float *y = (float *)(void *)to;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        plan->by.binary_f32(step[0] ? a + i : a, step[0], step[1] ? b + i : b, step[1], y + i, m);
        plan->clamp_f32(y + i, p->min, p->max, y + i, m);
    }
}

static void span_add_s8(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const eltwise_plan *plan = call->plan;
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    const wisp_add_s8 add = {p->multiplier_a, p->multiplier_b, p->bias, p->shift, (int8_t)p->lo, (int8_t)p->hi};
    plan->by.add_s8(&add, (const int8_t *)x[0], step[0], (const int8_t *)x[1], step[1], (int8_t *)y, n);
}

static int plan_Add(wisp_call *call) {
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    eltwise_plan *plan = call->plan;
    const int status = wisp_check_binary(call);
    if (status) return status;
    if (WISP_FLOAT && wisp_output(call, 0)->scale == 0) {
        const bool clamp = p->min > -INFINITY || p->max < INFINITY;
        if (clamp) plan->clamp_f32 = WISP_KERNEL(call, clamp_f32);
        return plan_arithmetic(call, false, clamp ? span_add_f32 : span_kernel_f32, WISP_KERNEL(call, add_f32), wide_add);
    }
    const bool multipliers = p->multiplier_a == saturate_s16(p->multiplier_a) && p->multiplier_b == saturate_s16(p->multiplier_b);
    plan->by.add_s8 = WISP_KERNEL(call, add_s8);
    return plan_quantized(call, span_add_s8, multipliers && p->shift >= 0 && p->shift <= 31 && is_s8(p->lo) && is_s8(p->hi));
}
ELTWISE(Add)

static void span_mul_s8(const wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const eltwise_plan *plan = call->plan;
    const wisp_Mul_params *p = WISP_PARAMS(call, Mul);
    const wisp_mul_s8 mul = {
        wisp_input(call, 0)->zero_point, wisp_input(call, 1)->zero_point, p->bias, p->shift, p->multiplier, (int8_t)p->lo, (int8_t)p->hi};
    plan->by.mul_s8(&mul, (const int8_t *)x[0], step[0], (const int8_t *)x[1], step[1], (int8_t *)y, n);
}

static int plan_Mul(wisp_call *call) {
    const wisp_Mul_params *p = WISP_PARAMS(call, Mul);
    const int status = wisp_check_binary(call);
    if (status) return status;
    if (WISP_FLOAT && wisp_output(call, 0)->scale == 0)
        return plan_arithmetic(call, false, span_kernel_f32, WISP_KERNEL(call, mul_f32), wide_multiply);
    const bool multiplier = p->multiplier >= 0 && p->multiplier <= 32767;
    ((eltwise_plan *)call->plan)->by.mul_s8 = WISP_KERNEL(call, mul_s8);
    return plan_quantized(call, span_mul_s8, multiplier && p->shift >= -15 && p->shift <= 31 && is_s8(p->lo) && is_s8(p->hi));
}
ELTWISE(Mul)
