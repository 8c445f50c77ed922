/* Unary operators, a line for each: f32 through a loop of its own, other dtypes widened. s8 goes through tables: lookup.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"

enum { ACTIVATION_GRAIN = 4096 }; /* elements worth a thread: about 10 us of a library function */

/* A build without f32 does not link what only f32 calls. */
#define IF_FLOAT(function) (WISP_FLOAT ? (function) : NULL)

/* ---- plan */

enum { F32_ONLY, FLOATS, NUMBERS };

static bool accepts(int dtypes, int dtype) {
    const int kind = wisp_wide_kind(dtype);
    if (dtype == WISP_F32) return WISP_FLOAT;
    if (dtype == WISP_BOOL || kind == WIDE_NONE) return false;
    return dtypes == NUMBERS || (dtypes == FLOATS && kind == WIDE_FLOAT);
}

static int check_unary(wisp_call *call, int dtypes) {
    const int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (!accepts(dtypes, dtype)) return wisp_refuse_dtype(call, dtype);
    return dtype == WISP_F32 ? WISP_OK : wisp_refuse_quantized(call, false);
}

static int set_output(wisp_call *call, int dtype, int64_t grain) {
    const wisp_tensor *x = wisp_input(call, 0);
    wisp_set_work(call, (int64_t)x->count, grain, 1);
    return wisp_set_output(call, 0, dtype, x->rank, x->dims);
}

static int plan_f32(wisp_call *call) {
    const int status = check_unary(call, F32_ONLY);
    return status ? status : set_output(call, WISP_F32, ACTIVATION_GRAIN);
}

static int plan_wide(wisp_call *call, int dtypes) {
    const int status = check_unary(call, dtypes), dtype = status ? 0 : wisp_input(call, 0)->dtype;
    return status ? status : set_output(call, dtype, dtype == WISP_F32 ? ACTIVATION_GRAIN : ELTWISE_GRAIN);
}
static int plan_float(wisp_call *call) {
    return plan_wide(call, FLOATS);
}
static int plan_number(wisp_call *call) {
    return plan_wide(call, NUMBERS);
}

/* ---- range */

enum { BLOCK = 16 };

/* y = expression of x, where p are the parameters of Name. Through a local array of fixed size: then compilers vectorise at
 * -O2, and y may be x. */
#define RANGE_F32(range, Name, expression)                                                                    \
    ALWAYS_INLINE void range##_block(const wisp_##Name##_params *p, const float *from, float *to, size_t n) { \
        float block[BLOCK] = {0};                                                                             \
        (void)p;                                                                                              \
        memcpy(block, from, n * sizeof *from);                                                                \
        for (int j = 0; j < BLOCK; j++) {                                                                     \
            const float x = block[j];                                                                         \
            block[j] = (expression);                                                                          \
        }                                                                                                     \
        memcpy(to, block, n * sizeof *to);                                                                    \
    }                                                                                                         \
    static void range(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {                   \
        const wisp_##Name##_params *p = WISP_PARAMS(call, Name);                                              \
        const float *from = wisp_input(call, 0)->data;                                                        \
        float *to = wisp_output(call, 0)->data;                                                               \
        (void)thread;                                                                                         \
        for (; begin + BLOCK <= end; begin += BLOCK) range##_block(p, from + begin, to + begin, BLOCK);       \
        if (begin < end) range##_block(p, from + begin, to + begin, (size_t)(end - begin));                   \
    }

static void range_wide(const wisp_call *call, wisp_wide_fn *fn, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const size_t offset = (size_t)begin * wisp_dtype_size(x->dtype);
    wisp_wide_loop(fn, x->dtype, y->dtype, (const uint8_t *)x->data + offset, 1, NULL, 0, (uint8_t *)y->data + offset,
                   (size_t)(end - begin));
}

/* ---- f32 only. Comparisons are written so that NaN stays NaN */

#define UNARY(Name, expression)               \
    RANGE_F32(range_##Name, Name, expression) \
    const wisp_operator wisp_op_##Name = {.plan = plan_f32, .range = IF_FLOAT(range_##Name)};

/* clang-format off: products in arguments look like pointers to it */
UNARY(Tanh, tanh_f32(x))
UNARY(Erf, erf_f32(x))
UNARY(Sin, sinf(x))
UNARY(Cos, cosf(x))
UNARY(Tan, tanf(x))
UNARY(Asin, asinf(x))
UNARY(Acos, acosf(x))
UNARY(Atan, atanf(x))
UNARY(Sinh, sinhf(x))
UNARY(Cosh, coshf(x))
UNARY(Asinh, asinhf(x))
UNARY(Acosh, acoshf(x))
UNARY(Atanh, atanhf(x))
UNARY(Softplus, softplus_f32(x))
UNARY(LeakyRelu, select_f32(x < 0, x * p->alpha, x))
UNARY(Elu, select_f32(x > 0, p->scale *x, p->alpha *expm1_f32(p->rate *x)))
UNARY(ThresholdedRelu, x <= p->alpha ? 0.0f : x)
UNARY(Swish, x *sigmoid_f32(p->alpha *x))
UNARY(Shrink, x<-p->lambd ? x + p->bias : x> p->lambd ? x - p->bias : x - x)
UNARY(HardSigmoid, clamp_unit_f32(p->alpha *x + p->beta))
UNARY(HardSwish, x *clamp_unit_f32(x * (1.0f / 6) + 0.5f))
UNARY(Mish, mish_f32(x))

RANGE_F32(range_gelu, Gelu, 0.5f * x * (1.0f + erf_f32(x * 0.70710678f)))
/* (1 + tanh(t)) / 2 = sigmoid(2t), 2 * sqrt(2 / pi) = 1.5957691 */
RANGE_F32(range_gelu_tanh, Gelu, x *sigmoid_f32(1.5957691f * (x + 0.044715f * x * x * x)))
/* clang-format on */
static void range_Gelu(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (WISP_PARAMS(call, Gelu)->tanh ? range_gelu_tanh : range_gelu)(call, thread, begin, end);
}
const wisp_operator wisp_op_Gelu = {.plan = plan_f32, .range = IF_FLOAT(range_Gelu)};

/* ---- f32 and f64, or all numbers: values for signed, unsigned and floating elements `a` */

#define UNARY_WIDE(Name, plan_function, expression, signed_value, unsigned_value, float_value)     \
    RANGE_F32(range_f32_##Name, Name, expression)                                                  \
    WIDE(wide_##Name, signed_value, unsigned_value, float_value)                                   \
    static void range_##Name(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) { \
        if (WISP_FLOAT && wisp_input(call, 0)->dtype == WISP_F32)                                  \
            range_f32_##Name(call, thread, begin, end);                                            \
        else                                                                                       \
            range_wide(call, wide_##Name, begin, end);                                             \
    }                                                                                              \
    const wisp_operator wisp_op_##Name = {.plan = plan_function, .range = range_##Name};

#define UNARY_FLOAT(Name, expression, double_value) UNARY_WIDE(Name, plan_float, expression, 0, 0, double_value)

UNARY_FLOAT(Exp, exp_f32(x), exp(a.f))
UNARY_FLOAT(Log, log_f32(x), log(a.f))
UNARY_FLOAT(Sqrt, sqrtf(x), sqrt(a.f))
UNARY_FLOAT(Floor, floor_f32(x), floor(a.f))
UNARY_FLOAT(Ceil, -floor_f32(-x), ceil(a.f))
UNARY_FLOAT(Round, round_f32(x), rint(a.f))
UNARY_FLOAT(Reciprocal, 1.0f / x, 1 / a.f)
UNARY_FLOAT(Sigmoid, sigmoid_f32(x), 1 / (1 + exp(-a.f)))
UNARY_FLOAT(Softsign, x / (1.0f + fabsf(x)), a.f / (1 + fabs(a.f)))
UNARY_WIDE(Neg, plan_number, -x, (int64_t)(0 - a.u), 0 - a.u, -a.f)
UNARY_WIDE(Abs, plan_number, fabsf(x), wide_absolute(kind, a, b).s, a.u, wide_absolute(kind, a, b).f)
UNARY_WIDE(Sign, plan_number, x > 0 ? 1.0f : x < 0 ? -1.0f : x, (a.s > 0) - (a.s < 0), a.u > 0, a.f > 0 ? 1 : a.f < 0 ? -1 : a.f)

/* ---- by kernels */

typedef struct clamp_plan {
    wisp_clamp_f32_fn *clamp; /* null: no f32 */
    float lo, hi;
} clamp_plan;

WIDE(wide_relu, a.s < 0 ? 0 : a.s, a.u, a.f < 0 ? 0 : a.f)

static void range_clamp(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const clamp_plan *p = call->plan;
    (void)thread;
    p->clamp((const float *)wisp_input(call, 0)->data + begin, p->lo, p->hi, (float *)wisp_output(call, 0)->data + begin,
             (size_t)(end - begin));
}

static void range_relu(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    if (((const clamp_plan *)call->plan)->clamp)
        range_clamp(call, thread, begin, end);
    else
        range_wide(call, wide_relu, begin, end);
}

static int plan_clamp(wisp_call *call, int dtypes, float lo, float hi) {
    clamp_plan *p = call->plan;
    const int status = check_unary(call, dtypes);
    if (status) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (WISP_FLOAT && dtype == WISP_F32) *p = (clamp_plan){WISP_KERNEL(call, clamp_f32), lo, hi};
    return set_output(call, dtype, ELTWISE_GRAIN);
}

static int plan_clip(wisp_call *call) {
    return plan_clamp(call, F32_ONLY, WISP_PARAMS(call, Clip)->min, WISP_PARAMS(call, Clip)->max);
}
static int plan_relu(wisp_call *call) {
    return plan_clamp(call, NUMBERS, 0, INFINITY);
}

const wisp_operator wisp_op_Clip = {.plan = plan_clip, .range = range_clamp, .plan_size = sizeof(clamp_plan)};
const wisp_operator wisp_op_Relu = {.plan = plan_relu, .range = range_relu, .plan_size = sizeof(clamp_plan)};

/* ---- to bool */

/* f32 and f64: as double, which keeps classes. */
#define CLASS(Name, expression)                                                                                                  \
    static void range_##Name(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {                               \
        const wisp_##Name##_params *p = WISP_PARAMS(call, Name);                                                                 \
        const wisp_tensor *from = wisp_input(call, 0);                                                                           \
        uint8_t *to = wisp_output(call, 0)->data;                                                                                \
        (void)thread, (void)p;                                                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                                                  \
            const double x = from->dtype == WISP_F32 ? (double)((const float *)from->data)[i] : ((const double *)from->data)[i]; \
            to[i] = (expression);                                                                                                \
        }                                                                                                                        \
    }                                                                                                                            \
    const wisp_operator wisp_op_##Name = {.plan = plan_class, .range = range_##Name};

static int plan_class(wisp_call *call) {
    const int status = check_unary(call, FLOATS);
    return status ? status : set_output(call, WISP_BOOL, ELTWISE_GRAIN);
}

CLASS(IsNaN, x != x)
CLASS(IsInf, (p->detect_negative && x == -(double)INFINITY) || (p->detect_positive && x == (double)INFINITY))
