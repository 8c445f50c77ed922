/* The contiguous inner loops of the element-wise operators: f32, quantized s8, and Where on any dtype. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "eltwise.h"

#include <math.h>
#include <string.h>

ALWAYS_INLINE float apply_f32(int code, float a, float b) {
    switch (code) {
        case OP_Pow: return powf(a, b);
        case OP_Mod: return fmodf(a, b);
        default: return a < 0 ? a * b : a; /* PRelu */
    }
}

ALWAYS_INLINE void loop_f32(int code, const float *a, int step_a, const float *b, int step_b, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = apply_f32(code, a[step_a ? i : 0], b[step_b ? i : 0]);
}

void wisp_span_f32(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *to, size_t n) {
    const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];
    float *y = (float *)(void *)to;
    const wisp_kernels *k = call->kernels;
    switch (call->code) {
        case OP_Sub: k->sub_f32(a, step[0], b, step[1], y, n); return;
        case OP_Mul: k->mul_f32(a, step[0], b, step[1], y, n); return;
        case OP_Div: k->div_f32(a, step[0], b, step[1], y, n); return;
        case OP_Min: k->minimum_f32(a, step[0], b, step[1], y, n); return;
        case OP_Max: k->maximum_f32(a, step[0], b, step[1], y, n); return;
        case OP_Mod: loop_f32(OP_Mod, a, step[0], b, step[1], y, n); return;
        case OP_Pow:
            if (step[1] == 0 && *b == 2)
                k->mul_f32(a, step[0], a, step[0], y, n);
            else
                loop_f32(OP_Pow, a, step[0], b, step[1], y, n);
            return;
        default: /* PRelu; two loops, so that the compiler vectorises both */
            if (step[1])
                loop_f32(OP_PRelu, a, 1, b, 1, y, n);
            else
                loop_f32(OP_PRelu, a, 1, b, 0, y, n);
    }
}

/* In blocks, so that the clamp finds the sum in the first cache. */
void wisp_span_add_f32(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *to, size_t n) {
    enum { BLOCK = 2048 };
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];
    float *y = (float *)(void *)to;
    const bool clamp = p->min > -INFINITY || p->max < INFINITY;
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        call->kernels->add_f32(step[0] ? a + i : a, step[0], step[1] ? b + i : b, step[1], y + i, m);
        if (clamp) call->kernels->clamp_f32(y + i, p->min, p->max, y + i, m);
    }
}

ALWAYS_INLINE uint8_t compare(int code, float a, float b) {
    switch (code) {
        case OP_Equal: return a == b;
        case OP_Less: return a < b;
        case OP_LessOrEqual: return a <= b;
        case OP_Greater: return a > b;
        default: return a >= b;
    }
}

ALWAYS_INLINE void loop_compare(int code, const float *a, int step_a, const float *b, int step_b, uint8_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = compare(code, a[step_a ? i : 0], b[step_b ? i : 0]);
}

void wisp_span_compare_f32(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const float *a = (const float *)(const void *)x[0], *b = (const float *)(const void *)x[1];
    switch (call->code) {
        case OP_Equal: loop_compare(OP_Equal, a, step[0], b, step[1], y, n); return;
        case OP_Less: loop_compare(OP_Less, a, step[0], b, step[1], y, n); return;
        case OP_LessOrEqual: loop_compare(OP_LessOrEqual, a, step[0], b, step[1], y, n); return;
        case OP_Greater: loop_compare(OP_Greater, a, step[0], b, step[1], y, n); return;
        default: loop_compare(OP_GreaterOrEqual, a, step[0], b, step[1], y, n);
    }
}

void wisp_span_add_s8(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const wisp_Add_params *p = WISP_PARAMS(call, Add);
    const wisp_add_s8 add = {p->multiplier_a, p->multiplier_b, p->bias, p->shift, (int8_t)p->lo, (int8_t)p->hi};
    call->kernels->add_s8(&add, (const int8_t *)x[0], step[0], (const int8_t *)x[1], step[1], (int8_t *)y, n);
}

void wisp_span_mul_s8(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const wisp_Mul_params *p = WISP_PARAMS(call, Mul);
    const wisp_mul_s8 mul = {
        wisp_input(call, 0)->zero_point, wisp_input(call, 1)->zero_point, p->bias, p->shift, p->multiplier, (int8_t)p->lo, (int8_t)p->hi};
    call->kernels->mul_s8(&mul, (const int8_t *)x[0], step[0], (const int8_t *)x[1], step[1], (int8_t *)y, n);
}

/* memcpy of a constant size is one move. */
ALWAYS_INLINE void loop_where(size_t size, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const uint8_t *condition = x[0], *a = x[1], *b = x[2];
    const size_t step_c = step[0] ? 1 : 0, step_a = step[1] ? size : 0, step_b = step[2] ? size : 0;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *chosen = *condition ? a : b;
        uint8_t element[8];
        memcpy(element, chosen, size);
        memcpy(y, element, size);
        condition += step_c;
        a += step_a;
        b += step_b;
        y += size;
    }
}

void wisp_span_where(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    switch (wisp_dtype_size(wisp_output(call, 0)->dtype)) {
        case 1: loop_where(1, x, step, y, n); return;
        case 2: loop_where(2, x, step, y, n); return;
        case 4: loop_where(4, x, step, y, n); return;
        default: loop_where(8, x, step, y, n);
    }
}

void wisp_span_logic(wisp_call *call, const uint8_t *const *x, const int *step, uint8_t *y, size_t n) {
    const int code = call->code;
    const uint8_t *a = x[0], *b = x[call->input_count - 1];
    const size_t step_a = step[0] ? 1 : 0, step_b = step[call->input_count - 1] ? 1 : 0;
    if (code == OP_And)
        for (size_t i = 0; i < n; i++) y[i] = (a[i * step_a] != 0) & (b[i * step_b] != 0);
    else if (code == OP_Or)
        for (size_t i = 0; i < n; i++) y[i] = (a[i * step_a] != 0) | (b[i * step_b] != 0);
    else if (code == OP_Xor)
        for (size_t i = 0; i < n; i++) y[i] = (a[i * step_a] != 0) ^ (b[i * step_b] != 0);
    else
        for (size_t i = 0; i < n; i++) y[i] = a[i * step_a] == 0;
}
