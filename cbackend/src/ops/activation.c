/* Unary operators: f32 through one loop for each, integers through the wide loops, s8 through the converter's tables. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"

enum { ACTIVATION_GRAIN = 4096 }; /* elements worth a thread: about 10 us of a library function */

static void run_f32_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const float *x = wisp_input(call, 0)->data;
    float *y = wisp_output(call, 0)->data;
    (void)thread;
    wisp_activation_f32((int)wisp_legacy_of(call)->state[0], call->params, x + begin, y + begin, (size_t)(end - begin));
}

static int run_f32(wisp_call *call) {
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, ACTIVATION_GRAIN, run_f32_range);
    return WISP_OK;
}

static void run_clamp_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    static const wisp_Clip_params relu = {0, INFINITY};
    const wisp_Clip_params *p = call->code == OP_Clip ? WISP_PARAMS(call, Clip) : &relu;
    (void)thread;
    call->kernels->clamp_f32((const float *)wisp_input(call, 0)->data + begin, p->min, p->max, (float *)wisp_output(call, 0)->data + begin,
                             (size_t)(end - begin));
}

static int run_clamp(wisp_call *call) {
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, ELTWISE_GRAIN, run_clamp_range);
    return WISP_OK;
}

static void run_lookup_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    call->kernels->lookup_s8(wisp_input(call, 1)->data, (const int8_t *)wisp_input(call, 0)->data + begin,
                             (int8_t *)wisp_output(call, 0)->data + begin, (size_t)(end - begin));
}

static int run_lookup(wisp_call *call) {
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, ELTWISE_GRAIN, run_lookup_range);
    return WISP_OK;
}

static void run_class_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const float *x = wisp_input(call, 0)->data;
    uint8_t *y = wisp_output(call, 0)->data;
    const bool is_nan = call->code == OP_IsNaN;
    const wisp_IsInf_params *p = WISP_PARAMS(call, IsInf);
    const float lo = !is_nan && p->detect_negative ? -INFINITY : NAN, hi = !is_nan && p->detect_positive ? INFINITY : NAN;
    (void)thread;
    for (int64_t i = begin; i < end; i++) y[i] = is_nan ? x[i] != x[i] : x[i] == lo || x[i] == hi;
}

static int run_class(wisp_call *call) {
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, ELTWISE_GRAIN, run_class_range);
    return WISP_OK;
}

static int bind_f32(wisp_call *call, int dtype, wisp_run_fn *run) {
    int status = check_operands(call, 1, 1);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (x->dtype != WISP_F32 || !WISP_FLOAT) return wisp_refuse_dtype(call, x->dtype);
    wisp_legacy_of(call)->run = run;
    return wisp_set_output(call, 0, dtype, x->rank, x->dims);
}

static int prepare_f32(wisp_call *call) {
    wisp_legacy_of(call)->state[0] = call->code;
    return bind_f32(call, WISP_F32, run_f32);
}

/* Operators that ONNX defines on integers as well. */
static int prepare_any(wisp_call *call, wisp_run_fn *run) {
    const int status = check_operands(call, 1, 1);
    if (status != WISP_OK) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (dtype == WISP_BOOL) return wisp_refuse_dtype(call, dtype);
    if (dtype != WISP_F32 && wisp_wide_kind(dtype) != WIDE_NONE) return wisp_prepare_wide_unary(call);
    wisp_legacy_of(call)->state[0] = call->code;
    return bind_f32(call, WISP_F32, run);
}

/* Operators on f32 and f64. */
static int prepare_double(wisp_call *call) {
    const int status = check_operands(call, 1, 1);
    if (status != WISP_OK) return status;
    return wisp_input(call, 0)->dtype == WISP_F64 ? wisp_prepare_wide_unary(call) : prepare_f32(call);
}

int wisp_prepare_Lookup(wisp_call *call) {
    const int status = check_operands(call, 2, 2);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0), *table = wisp_input(call, 1);
    if (x->dtype != WISP_S8) return wisp_refuse_dtype(call, x->dtype);
    if (table->dtype != WISP_S8 || table->count != 256 || table->kind != WISP_KIND_CONSTANT)
        return wisp_call_fail(call, WISP_BAD_FILE, "the table must be 256 constant s8 values");
    wisp_legacy_of(call)->run = run_lookup;
    return wisp_set_output(call, 0, WISP_S8, x->rank, x->dims);
}

int wisp_prepare_Clip(wisp_call *call) {
    return bind_f32(call, WISP_F32, run_clamp);
}
int wisp_prepare_Relu(wisp_call *call) {
    return prepare_any(call, run_clamp);
}
int wisp_prepare_Neg(wisp_call *call) {
    return prepare_any(call, run_f32);
}
int wisp_prepare_Abs(wisp_call *call) {
    return prepare_any(call, run_f32);
}
int wisp_prepare_Sign(wisp_call *call) {
    return prepare_any(call, run_f32);
}
int wisp_prepare_IsNaN(wisp_call *call) {
    return bind_f32(call, WISP_BOOL, run_class);
}
int wisp_prepare_IsInf(wisp_call *call) {
    return bind_f32(call, WISP_BOOL, run_class);
}

int wisp_prepare_Gelu(wisp_call *call) {
    wisp_legacy_of(call)->state[0] = WISP_PARAMS(call, Gelu)->tanh ? GELU_TANH : OP_Gelu;
    return bind_f32(call, WISP_F32, run_f32);
}

int wisp_prepare_Sigmoid(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Tanh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Exp(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Log(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Sqrt(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Erf(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Floor(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Ceil(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Round(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Reciprocal(wisp_call *call) {
    return prepare_double(call);
}
int wisp_prepare_Sin(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Cos(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Tan(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Asin(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Acos(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Atan(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Sinh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Cosh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Asinh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Acosh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Atanh(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Softplus(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Softsign(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_HardSigmoid(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_HardSwish(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_LeakyRelu(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Elu(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_ThresholdedRelu(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Mish(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Swish(wisp_call *call) {
    return prepare_f32(call);
}
int wisp_prepare_Shrink(wisp_call *call) {
    return prepare_f32(call);
}

WISP_LEGACY(Lookup)
WISP_LEGACY(Clip)
WISP_LEGACY(Relu)
WISP_LEGACY(Neg)
WISP_LEGACY(Abs)
WISP_LEGACY(Sign)
WISP_LEGACY(IsNaN)
WISP_LEGACY(IsInf)
WISP_LEGACY(Gelu)
WISP_LEGACY(Sigmoid)
WISP_LEGACY(Tanh)
WISP_LEGACY(Exp)
WISP_LEGACY(Log)
WISP_LEGACY(Sqrt)
WISP_LEGACY(Erf)
WISP_LEGACY(Floor)
WISP_LEGACY(Ceil)
WISP_LEGACY(Round)
WISP_LEGACY(Reciprocal)
WISP_LEGACY(Sin)
WISP_LEGACY(Cos)
WISP_LEGACY(Tan)
WISP_LEGACY(Asin)
WISP_LEGACY(Acos)
WISP_LEGACY(Atan)
WISP_LEGACY(Sinh)
WISP_LEGACY(Cosh)
WISP_LEGACY(Asinh)
WISP_LEGACY(Acosh)
WISP_LEGACY(Atanh)
WISP_LEGACY(Softplus)
WISP_LEGACY(Softsign)
WISP_LEGACY(HardSigmoid)
WISP_LEGACY(HardSwish)
WISP_LEGACY(LeakyRelu)
WISP_LEGACY(Elu)
WISP_LEGACY(ThresholdedRelu)
WISP_LEGACY(Mish)
WISP_LEGACY(Swish)
WISP_LEGACY(Shrink)
