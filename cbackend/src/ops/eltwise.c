/* Element-wise operators of one to three inputs with numpy's broadcasting. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

#include <string.h>

#include "../quant.h"

int wisp_refuse_dtype(wisp_call *call, int dtype) {
    return wisp_call_fail_value(call, WISP_UNSUPPORTED, "dtype is not supported here:", dtype);
}

int wisp_refuse_quantized(wisp_call *call, bool same_scale) {
    const wisp_tensor *first = NULL;
    const uint32_t inputs = call->input_count, outputs = call->output_count;
    for (uint32_t i = 0; i < inputs + outputs; i++) {
        const wisp_tensor *t = i < inputs ? wisp_input(call, i) : wisp_output(call, i - inputs);
        if (t == NULL || t->dtype == WISP_BOOL) continue;
        if (t->scale == 0 && (t->dtype == WISP_S32 || t->dtype == WISP_S64)) continue; /* an index or a list of axes */
        if (t->scale != 0 && !same_scale) return wisp_call_fail(call, WISP_UNSUPPORTED, "there is no quantized form of this operator");
        if (first == NULL) first = t;
        if (t->scale != first->scale || (t->scale != 0 && t->zero_point != first->zero_point))
            return wisp_call_fail(call, WISP_UNSUPPORTED, "quantized operands must have the same scale and zero point");
    }
    return WISP_OK;
}

/* node->state[0] is the inner loop itself, not an index into a list of all: a build then links only those in use. */
static void run_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    wisp_eltwise_range(call, begin, end, (wisp_span_fn *)(uintptr_t)wisp_legacy_of(call)->state[0]);
}

static int run(wisp_call *call) {
    wisp_parallel(call, (int64_t)wisp_output(call, 0)->count, ELTWISE_GRAIN, run_range);
    return WISP_OK;
}

/* States the broadcast shape of all inputs with `dtype`, and the span that run uses. */
static int bind(wisp_call *call, int dtype, wisp_span_fn *span) {
    wisp_tensor y = *wisp_input(call, 0);
    for (uint32_t i = 1; i < call->input_count; i++) {
        int32_t dims[WISP_MAX_RANK];
        const int rank = wisp_broadcast(&y, wisp_input(call, i), dims);
        if (rank < 0) return wisp_call_fail(call, WISP_BAD_SHAPE, "the inputs' shapes do not broadcast");
        y.rank = (uint8_t)rank;
        memcpy(y.dims, dims, (size_t)rank * sizeof *dims);
    }
    wisp_legacy_of(call)->state[0] = (int64_t)(uintptr_t)span;
    wisp_legacy_of(call)->run = run;
    return wisp_set_output(call, 0, dtype, y.rank, y.dims);
}

/* Two inputs of one dtype, known to the wide loops. */
static int check_binary(wisp_call *call) {
    const int status = check_operands(call, 2, 2);
    if (status != WISP_OK) return status;
    const int a = wisp_input(call, 0)->dtype, b = wisp_input(call, 1)->dtype;
    if (a != b) return wisp_call_fail(call, WISP_UNSUPPORTED, "the inputs' dtypes differ");
    return wisp_wide_kind(a) == WIDE_NONE ? wisp_refuse_dtype(call, a) : WISP_OK;
}

/* f32 through `span`, other dtypes of `kinds` (a mask of 1 << WIDE_*) through the wide loops. bool has operators of its own. */
static int prepare_arithmetic(wisp_call *call, int kinds, bool same_scale, wisp_span_fn *span) {
    int status = check_binary(call);
    if (status == WISP_OK) status = wisp_refuse_quantized(call, same_scale);
    if (status != WISP_OK) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (dtype == WISP_F32) return WISP_FLOAT ? bind(call, dtype, span) : wisp_refuse_dtype(call, dtype);
    if (dtype == WISP_BOOL || !(kinds >> wisp_wide_kind(dtype) & 1)) return wisp_refuse_dtype(call, dtype);
    return bind(call, dtype, wisp_span_wide);
}

static bool is_s8(int32_t x) {
    return x == clamp_s32(x, -128, 127);
}

enum { INTEGERS = 1 << WIDE_SIGNED | 1 << WIDE_UNSIGNED, NUMBERS = INTEGERS | 1 << WIDE_FLOAT };

static int prepare_quantized(wisp_call *call, wisp_span_fn *span, bool valid) {
    const wisp_tensor *a = wisp_input(call, 0), *b = wisp_input(call, 1);
    if (a->dtype != WISP_S8 || a->scale == 0 || b->scale == 0)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "all operands must be quantized to s8, or none");
    valid = valid && is_s8(a->zero_point) && is_s8(b->zero_point);
    if (!valid) return wisp_call_fail(call, WISP_BAD_FILE, "a requantization parameter is out of range");
    return bind(call, WISP_S8, span);
}

int wisp_prepare_Add(wisp_call *call) {
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    const int status = check_binary(call);
    if (status != WISP_OK) return status;
    if (WISP_FLOAT && wisp_output(call, 0)->scale == 0) return prepare_arithmetic(call, NUMBERS, false, wisp_span_add_f32);
    const bool multipliers = p->multiplier_a == saturate_s16(p->multiplier_a) && p->multiplier_b == saturate_s16(p->multiplier_b);
    return prepare_quantized(call, wisp_span_add_s8, multipliers && p->shift >= 0 && p->shift <= 31 && is_s8(p->lo) && is_s8(p->hi));
}

int wisp_prepare_Mul(wisp_call *call) {
    const wisp_Mul_params *p = WISP_PARAMS(call, Mul);
    const int status = check_binary(call);
    if (status != WISP_OK) return status;
    if (WISP_FLOAT && wisp_output(call, 0)->scale == 0) return prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
    const bool multiplier = p->multiplier >= 0 && p->multiplier <= 32767;
    return prepare_quantized(call, wisp_span_mul_s8, multiplier && p->shift >= -15 && p->shift <= 31 && is_s8(p->lo) && is_s8(p->hi));
}

int wisp_prepare_Sub(wisp_call *call) {
    return prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
}
int wisp_prepare_Div(wisp_call *call) {
    return prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
}
int wisp_prepare_Min(wisp_call *call) {
    return prepare_arithmetic(call, NUMBERS, true, wisp_span_f32);
}
int wisp_prepare_Max(wisp_call *call) {
    return prepare_arithmetic(call, NUMBERS, true, wisp_span_f32);
}

int wisp_prepare_Pow(wisp_call *call) {
    return prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
}

int wisp_prepare_Mod(wisp_call *call) {
    const int status = check_binary(call);
    if (status != WISP_OK) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (wisp_wide_kind(dtype) == WIDE_FLOAT && !WISP_PARAMS(call, Mod)->fmod)
        return wisp_call_fail(call, WISP_UNSUPPORTED, "on floats needs fmod = 1");
    return prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
}

int wisp_prepare_PRelu(wisp_call *call) {
    int status = prepare_arithmetic(call, NUMBERS, false, wisp_span_f32);
    if (status != WISP_OK) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (x->rank != y->rank || memcmp(x->dims, y->dims, x->rank * sizeof *x->dims) != 0)
        return wisp_call_fail(call, WISP_BAD_SHAPE, "the slope does not broadcast to the input");
    return WISP_OK;
}

static int prepare_integer(wisp_call *call) {
    const int status = check_operands(call, 2, 2);
    if (status != WISP_OK) return status;
    if (wisp_input(call, 0)->dtype == WISP_F32) return wisp_refuse_dtype(call, WISP_F32);
    return prepare_arithmetic(call, INTEGERS, false, wisp_span_wide);
}

int wisp_prepare_BitShift(wisp_call *call) {
    return prepare_integer(call);
}
int wisp_prepare_BitwiseAnd(wisp_call *call) {
    return prepare_integer(call);
}
int wisp_prepare_BitwiseOr(wisp_call *call) {
    return prepare_integer(call);
}
int wisp_prepare_BitwiseXor(wisp_call *call) {
    return prepare_integer(call);
}

int wisp_prepare_BitwiseNot(wisp_call *call) {
    const int status = check_operands(call, 1, 1);
    if (status != WISP_OK) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    if (dtype == WISP_BOOL || !(INTEGERS >> wisp_wide_kind(dtype) & 1)) return wisp_refuse_dtype(call, dtype);
    return wisp_prepare_wide_unary(call);
}

static int prepare_compare(wisp_call *call) {
    int status = check_binary(call);
    if (status == WISP_OK) status = wisp_refuse_quantized(call, true);
    if (status != WISP_OK) return status;
    const int dtype = wisp_input(call, 0)->dtype;
    return bind(call, WISP_BOOL, dtype == WISP_F32 ? wisp_span_compare_f32 : wisp_span_wide);
}

int wisp_prepare_Equal(wisp_call *call) {
    return prepare_compare(call);
}
int wisp_prepare_Less(wisp_call *call) {
    return prepare_compare(call);
}
int wisp_prepare_LessOrEqual(wisp_call *call) {
    return prepare_compare(call);
}
int wisp_prepare_Greater(wisp_call *call) {
    return prepare_compare(call);
}
int wisp_prepare_GreaterOrEqual(wisp_call *call) {
    return prepare_compare(call);
}

static int prepare_logic(wisp_call *call, uint32_t inputs) {
    const int status = check_operands(call, inputs, inputs);
    if (status != WISP_OK) return status;
    for (uint32_t i = 0; i < inputs; i++)
        if (wisp_input(call, i)->dtype != WISP_BOOL) return wisp_refuse_dtype(call, wisp_input(call, i)->dtype);
    return bind(call, WISP_BOOL, wisp_span_logic);
}

int wisp_prepare_And(wisp_call *call) {
    return prepare_logic(call, 2);
}
int wisp_prepare_Or(wisp_call *call) {
    return prepare_logic(call, 2);
}
int wisp_prepare_Xor(wisp_call *call) {
    return prepare_logic(call, 2);
}
int wisp_prepare_Not(wisp_call *call) {
    return prepare_logic(call, 1);
}

int wisp_prepare_Where(wisp_call *call) {
    int status = check_operands(call, 3, 3);
    if (status != WISP_OK) return status;
    const int condition = wisp_input(call, 0)->dtype, dtype = wisp_input(call, 1)->dtype;
    if (condition != WISP_BOOL) return wisp_refuse_dtype(call, condition);
    if (wisp_dtype_size(dtype) == 0) return wisp_refuse_dtype(call, dtype);
    if (dtype != wisp_input(call, 2)->dtype) return wisp_call_fail(call, WISP_UNSUPPORTED, "the inputs' dtypes differ");
    status = wisp_refuse_quantized(call, true);
    return status == WISP_OK ? bind(call, dtype, wisp_span_where) : status;
}

int wisp_prepare_wide_unary(wisp_call *call) {
    const int status = wisp_refuse_quantized(call, false);
    if (status != WISP_OK) return status;
    return bind(call, wisp_input(call, 0)->dtype, wisp_span_wide);
}

WISP_LEGACY(Add)
WISP_LEGACY(Mul)
WISP_LEGACY(Sub)
WISP_LEGACY(Div)
WISP_LEGACY(Min)
WISP_LEGACY(Max)
WISP_LEGACY(Pow)
WISP_LEGACY(Mod)
WISP_LEGACY(PRelu)
WISP_LEGACY(BitShift)
WISP_LEGACY(BitwiseAnd)
WISP_LEGACY(BitwiseOr)
WISP_LEGACY(BitwiseXor)
WISP_LEGACY(BitwiseNot)
WISP_LEGACY(Equal)
WISP_LEGACY(Less)
WISP_LEGACY(LessOrEqual)
WISP_LEGACY(Greater)
WISP_LEGACY(GreaterOrEqual)
WISP_LEGACY(And)
WISP_LEGACY(Or)
WISP_LEGACY(Xor)
WISP_LEGACY(Not)
WISP_LEGACY(Where)
WISP_LEGACY(wide_unary)
