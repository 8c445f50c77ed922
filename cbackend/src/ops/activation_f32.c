/* The unary f32 operators: what each computes, and its loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "activation_math.h"

/* p: the operator's parameter words. Comparisons are written so that NaN stays NaN. */
ALWAYS_INLINE float apply(int code, float x, const float *p) {
    switch (code) {
        case OP_Sigmoid: return sigmoid_f32(x);
        case OP_Tanh: return tanh_f32(x);
        case OP_Exp: return exp_f32(x);
        case OP_Log: return log_f32(x);
        case OP_Sqrt: return sqrtf(x);
        case OP_Neg: return -x;
        case OP_Abs: return fabsf(x);
        case OP_Erf: return erf_f32(x);
        case OP_Floor: return floor_f32(x);
        case OP_Ceil: return -floor_f32(-x);
        case OP_Round: return round_f32(x);
        case OP_Reciprocal: return 1.0f / x;
        case OP_Sin: return sinf(x);
        case OP_Cos: return cosf(x);
        case OP_Tan: return tanf(x);
        case OP_Asin: return asinf(x);
        case OP_Acos: return acosf(x);
        case OP_Atan: return atanf(x);
        case OP_Sinh: return sinhf(x);
        case OP_Cosh: return coshf(x);
        case OP_Asinh: return asinhf(x);
        case OP_Acosh: return acoshf(x);
        case OP_Atanh: return atanhf(x);
        case OP_Sign: return x > 0 ? 1.0f : x < 0 ? -1.0f : x;
        case OP_Softplus: return softplus_f32(x);
        case OP_Softsign: return x / (1.0f + fabsf(x));
        case OP_LeakyRelu: return select_f32(x < 0, x * p[0], x);
        case OP_Elu: return select_f32(x > 0, p[1] * x, p[0] * expm1_f32(p[2] * x));
        case OP_ThresholdedRelu: return x <= p[0] ? 0.0f : x;
        case OP_Swish: return x * sigmoid_f32(p[0] * x);
        case OP_Shrink: return x < -p[1] ? x + p[0] : x > p[1] ? x - p[0] : x - x;
        case OP_HardSigmoid:
        case OP_HardSwish: {
            const float t = code == OP_HardSwish ? x * (1.0f / 6) + 0.5f : p[0] * x + p[1];
            const float clamped = select_f32(t < 0, 0.0f, select_f32(t > 1, 1.0f, t));
            return code == OP_HardSwish ? x * clamped : clamped;
        }
        case OP_Mish: { /* tanh(log(1 + e)) with e = exp(x) is e * (e + 2) / (e * (e + 2) + 2); above 20 it rounds to 1 */
            const float e = exp_f32(select_f32(x > 20, 20.0f, x)), n = e * (e + 2);
            return x * (n / (n + 2));
        }
        case OP_Gelu: return 0.5f * x * (1.0f + erf_f32(x * 0.70710678f));
        default: /* GELU_TANH; (1 + tanh(t)) / 2 = sigmoid(2t), 2 * sqrt(2 / pi) = 1.5957691 */
            return x * sigmoid_f32(1.5957691f * (x + 0.044715f * x * x * x));
    }
}

enum { BLOCK = 16 };

/* Through a local array of fixed size: then compilers vectorise at -O2, and y may be x. */
ALWAYS_INLINE void apply_block(int code, const float *p, const float *x, float *y, size_t n) {
    float block[BLOCK] = {0};
    memcpy(block, x, n * sizeof *x);
    for (int j = 0; j < BLOCK; j++) block[j] = apply(code, block[j], p);
    memcpy(y, block, n * sizeof *y);
}

ALWAYS_INLINE void loop(int code, const float *p, const float *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) apply_block(code, p, x + i, y + i, BLOCK);
    if (i < n) apply_block(code, p, x + i, y + i, n - i);
}

/* One copy of the loop for each operator worth vectorising; the others spend their time in the library. */
void wisp_activation_f32(int code, const float *p, const float *x, float *y, size_t n) {
    switch (code) {
        case OP_Sigmoid: loop(OP_Sigmoid, p, x, y, n); return;
        case OP_Tanh: loop(OP_Tanh, p, x, y, n); return;
        case OP_Exp: loop(OP_Exp, p, x, y, n); return;
        case OP_Log: loop(OP_Log, p, x, y, n); return;
        case OP_Floor: loop(OP_Floor, p, x, y, n); return;
        case OP_Ceil: loop(OP_Ceil, p, x, y, n); return;
        case OP_Round: loop(OP_Round, p, x, y, n); return;
        case OP_Softplus: loop(OP_Softplus, p, x, y, n); return;
        case OP_Sqrt: loop(OP_Sqrt, p, x, y, n); return;
        case OP_Neg: loop(OP_Neg, p, x, y, n); return;
        case OP_Abs: loop(OP_Abs, p, x, y, n); return;
        case OP_Erf: loop(OP_Erf, p, x, y, n); return;
        case OP_Reciprocal: loop(OP_Reciprocal, p, x, y, n); return;
        case OP_Softsign: loop(OP_Softsign, p, x, y, n); return;
        case OP_LeakyRelu: loop(OP_LeakyRelu, p, x, y, n); return;
        case OP_Elu: loop(OP_Elu, p, x, y, n); return;
        case OP_Swish: loop(OP_Swish, p, x, y, n); return;
        case OP_HardSigmoid: loop(OP_HardSigmoid, p, x, y, n); return;
        case OP_HardSwish: loop(OP_HardSwish, p, x, y, n); return;
        case OP_Mish: loop(OP_Mish, p, x, y, n); return;
        case OP_Gelu: loop(OP_Gelu, p, x, y, n); return;
        case GELU_TANH: loop(GELU_TANH, p, x, y, n); return;
        default: loop(code, p, x, y, n);
    }
}
