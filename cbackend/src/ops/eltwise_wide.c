/* Element-wise operators on every arithmetic dtype but f32, widened to 64 bits in blocks: one loop instead of one per dtype. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

#include <math.h>

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

static int64_t remainder_s64(int64_t a, int64_t b, bool floor) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return floor && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

/* What gives the same bits for signed and unsigned. Returns false for other operators. */
static bool apply_bits(int code, uint64_t a, uint64_t b, uint64_t *y) {
    switch (code) {
        case OP_Add: *y = a + b; return true;
        case OP_Sub: *y = a - b; return true;
        case OP_Mul: *y = a * b; return true;
        case OP_Neg: *y = 0 - a; return true;
        case OP_Equal: *y = a == b; return true;
        case OP_BitwiseAnd: *y = a & b; return true;
        case OP_BitwiseOr: *y = a | b; return true;
        case OP_BitwiseXor: *y = a ^ b; return true;
        case OP_BitwiseNot: *y = ~a; return true;
        case OP_BitShift | ELTWISE_VARIANT: *y = b < 64 ? a << b : 0; return true;
        default: return false;
    }
}

static int64_t apply_s64(int code, int64_t a, int64_t b) {
    switch (code) {
        case OP_Div: return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
        case OP_Pow: return power_s64(a, b);
        case OP_Mod: return remainder_s64(a, b, true);
        case OP_Mod | ELTWISE_VARIANT: return remainder_s64(a, b, false);
        case OP_Min: return a < b ? a : b;
        case OP_Max: return a > b ? a : b;
        case OP_Less: return a < b;
        case OP_LessOrEqual: return a <= b;
        case OP_Greater: return a > b;
        case OP_GreaterOrEqual: return a >= b;
        case OP_BitShift: return a >> (b >= 0 && b < 64 ? b : 63);
        case OP_PRelu: return a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a;
        case OP_Abs: return a < 0 ? (int64_t)(0 - (uint64_t)a) : a;
        case OP_Sign: return (a > 0) - (a < 0);
        case OP_Relu: return a < 0 ? 0 : a;
        default: return 0;
    }
}

static uint64_t apply_u64(int code, uint64_t a, uint64_t b) {
    switch (code) {
        case OP_Div: return b == 0 ? 0 : a / b;
        case OP_Pow: return power_u64(a, b);
        case OP_Mod:
        case OP_Mod | ELTWISE_VARIANT: return b == 0 ? 0 : a % b;
        case OP_Min: return a < b ? a : b;
        case OP_Max: return a > b ? a : b;
        case OP_Less: return a < b;
        case OP_LessOrEqual: return a <= b;
        case OP_Greater: return a > b;
        case OP_GreaterOrEqual: return a >= b;
        case OP_BitShift: return b < 64 ? a >> b : 0;
        case OP_Sign: return a > 0;
        default: return a; /* PRelu, Abs, Relu */
    }
}

static wide apply_f64(int code, double a, double b) {
    switch (code) {
        case OP_Add: return (wide){.f = a + b};
        case OP_Sub: return (wide){.f = a - b};
        case OP_Mul: return (wide){.f = a * b};
        case OP_Div: return (wide){.f = a / b};
        case OP_Min: return (wide){.f = a < b || a != a ? a : b};
        case OP_Max: return (wide){.f = a > b || a != a ? a : b};
        case OP_Equal: return (wide){.u = a == b};
        case OP_Less: return (wide){.u = a < b};
        case OP_LessOrEqual: return (wide){.u = a <= b};
        case OP_Greater: return (wide){.u = a > b};
        case OP_GreaterOrEqual: return (wide){.u = a >= b};
        case OP_PRelu: return (wide){.f = a < 0 ? a * b : a};
        case OP_Neg: return (wide){.f = -a};
        case OP_Abs: return (wide){.f = a < 0 ? -a : a + 0}; /* -0 + 0 is 0 */
        case OP_Sign: return (wide){.f = a > 0 ? 1 : a < 0 ? -1 : a};
        case OP_Relu: return (wide){.f = a < 0 ? 0 : a};
        case OP_Pow: return (wide){.f = pow(a, b)};
        case OP_Mod | ELTWISE_VARIANT: return (wide){.f = fmod(a, b)};
        case OP_Exp: return (wide){.f = exp(a)};
        case OP_Log: return (wide){.f = log(a)};
        case OP_Sqrt: return (wide){.f = sqrt(a)};
        case OP_Floor: return (wide){.f = floor(a)};
        case OP_Ceil: return (wide){.f = ceil(a)};
        case OP_Round: return (wide){.f = rint(a)};
        case OP_Reciprocal: return (wide){.f = 1 / a};
        default: return (wide){.f = a};
    }
}

wide wisp_wide_apply(int kind, int code, wide a, wide b) {
    wide y;
    if (kind == WIDE_FLOAT) return apply_f64(code, a.f, b.f);
    if (apply_bits(code, a.u, b.u, &y.u)) return y;
    if (kind == WIDE_SIGNED)
        y.s = apply_s64(code, a.s, b.s);
    else
        y.u = apply_u64(code, a.u, b.u);
    return y;
}

static int variant(const wisp_call *call) {
    bool set = (call->code == OP_Mod && WISP_PARAMS(call, Mod)->fmod) || (call->code == OP_BitShift && WISP_PARAMS(call, BitShift)->left);
    return call->code | (set ? ELTWISE_VARIANT : 0);
}

void wisp_span_wide(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    enum { BLOCK = 64 };
    wide a[BLOCK], b[BLOCK] = {{0}};
    const int dtype = wisp_input(call, 0)->dtype, to = wisp_output(call, 0)->dtype;
    const size_t size = wisp_dtype_size(dtype), to_size = wisp_dtype_size(to);
    const int kind = wisp_wide_kind(dtype), code = variant(call);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        wisp_wide_load(dtype, x[0] + (step[0] ? i * size : 0), step[0], m, a);
        if (call->input_count > 1) wisp_wide_load(dtype, x[1] + (step[1] ? i * size : 0), step[1], m, b);
        for (size_t j = 0; j < m; j++) a[j] = wisp_wide_apply(kind, code, a[j], b[j]);
        wisp_wide_store(to, a, m, y + i * to_size);
    }
}
