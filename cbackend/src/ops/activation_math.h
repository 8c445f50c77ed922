/* Unary f32 functions that compilers vectorise: no branches, no library calls, so the same on every target. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_ACTIVATION_MATH_H
#define WISP_ACTIVATION_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "eltwise.h"

ALWAYS_INLINE float float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

ALWAYS_INLINE uint32_t bits_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* c ? a : b of values computed before, as a mask: gcc makes branches of the plain form and then does not vectorise. */
ALWAYS_INLINE float select_f32(int c, float a, float b) {
    const uint32_t mask = 0u - (uint32_t)c;
    return float_from_bits((bits_from_float(a) & mask) | (bits_from_float(b) & ~mask));
}

/* e^x as (p + 1) * s1 * s2 with p = e^r - 1, |r| <= ln(2) / 2, s1 and s2 powers of two. */
typedef struct exp_parts {
    float p, s1, s2;
} exp_parts;

ALWAYS_INLINE exp_parts split_exp(float x) {
    x = select_f32(x < -104.0f, -104.0f, x); /* e^-104 rounds to 0, e^89 to infinity; NaN passes */
    x = select_f32(x > 89.0f, 89.0f, x);
    /* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
    const float shifted = x * 1.44269504f + 12582912.0f;
    const float n = shifted - 12582912.0f;
    const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f; /* ln(2) in two parts, the first exact times n */
    /* Minimax for (e^r - 1 - r) / r^2, relative error 1.4e-8 of e^r - 1. */
    float q = 1.3946527615e-3f;
    q = q * r + 8.3666313440e-3f;
    q = q * r + 4.1666280478e-2f;
    q = q * r + 1.6666541994e-1f;
    q = q * r + 0.5f;
    /* 2^n in two factors, as n = -150 or 128 alone has no exponent. */
    const uint32_t whole = bits_from_float(shifted) - 0x4b400000u, half = (uint32_t)((int32_t)whole >> 1);
    const exp_parts parts = {q * r * r + r, float_from_bits((half + 127) << 23), float_from_bits((whole - half + 127) << 23)};
    return parts;
}

/* Within 1.2 units in the last place. */
ALWAYS_INLINE float exp_f32(float x) {
    const exp_parts e = split_exp(x);
    return (e.p + 1.0f) * e.s1 * e.s2;
}

/* e^x - 1, accurate near 0. x <= 88. */
ALWAYS_INLINE float expm1_f32(float x) {
    const exp_parts e = split_exp(x);
    const float s = e.s1 * e.s2;
    return e.p * s + (s - 1.0f);
}

/* k * ln(2) + log(1 + f) for integers k and 1 + f in sqrt(1/2)..sqrt(2). With s = f / (2 + f), log(1 + f) is
 * 2s + s * R(s^2) = f - (f^2 / 2 - s * (f^2 / 2 + R)), where f is exact and the rest small. */
ALWAYS_INLINE float join_log(float k, float f) {
    const float s = f / (2.0f + f), z = s * s, h = 0.5f * f * f;
    float r = 2.958308756e-1f; /* minimax for R(z) / z, error 1.9e-7 */
    r = r * z + 3.998869658e-1f;
    r = r * z + 6.666668653e-1f;
    return k * 0.693359375f - ((h - (s * (h + z * r) + k * -2.12194440e-4f)) - f);
}

/* Within 1 unit in the last place. */
ALWAYS_INLINE float log_f32(float x) {
    const int tiny = x < 1.17549435e-38f; /* no exponent to read: scale by 2^25 */
    const uint32_t root = 0x3f3504f3u;    /* sqrt(1/2) */
    const uint32_t bits = bits_from_float(select_f32(tiny, x * 33554432.0f, x)) - root + 0x3f800000u;
    const float k = (float)((int32_t)(bits >> 23) - 127 - 25 * tiny);
    const float y = join_log(k, float_from_bits((bits & 0x7fffffu) + root) - 1.0f);
    const float special = select_f32(x == 0, -INFINITY, select_f32(x < 0, NAN, x)); /* infinity and NaN stay */
    return select_f32((x > 0) & (x < INFINITY), y, special);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|). */
ALWAYS_INLINE float softplus_f32(float x) {
    const float e = exp_f32(-fabsf(x)); /* 0..1 */
    const int upper = e > 0.41421356f;  /* 1 + e = 2 * (1 + (e - 1) / 2) */
    return select_f32(x > 0, x, 0.0f) + join_log((float)upper, select_f32(upper, 0.5f * (e - 1.0f), e));
}

/* To the nearest integer, halves to even. Numbers from 2^23 on are integers; adding 2^23 rounds the others. */
ALWAYS_INLINE float round_f32(float x) {
    const float a = fabsf(x), r = (a + 8388608.0f) - 8388608.0f;
    return copysignf(select_f32(a < 8388608.0f, r, a), x);
}

ALWAYS_INLINE float floor_f32(float x) {
    const float r = round_f32(x);
    return copysignf(r - select_f32(r > x, 1.0f, 0.0f), x);
}

ALWAYS_INLINE float sigmoid_f32(float x) {
    return 1.0f / (1.0f + exp_f32(-x));
}

ALWAYS_INLINE float tanh_f32(float x) {
    const float a = fabsf(x), e = expm1_f32(2.0f * select_f32(a > 10.0f, 10.0f, a)); /* tanh(10) rounds to 1 */
    return copysignf(e / (e + 2.0f), x);
}

ALWAYS_INLINE float erf_f32(float x) {
    const float a = fabsf(x), t = select_f32(a > 4.0f, 4.0f, a), u = x * x; /* erf(4) rounds to 1 */
    /* |x| < 1: x * p(x^2), p minimax for erf(x) / x, error 1.2e-9. */
    float p = 7.8891192970e-5f;
    p = p * u - 8.0208410509e-4f;
    p = p * u + 5.1895352080e-3f;
    p = p * u - 2.6854444295e-2f;
    p = p * u + 1.1283600330e-1f;
    p = p * u - 3.7612625957e-1f;
    p = p * u + 1.1283791065f;
    /* Else 1 - e^-q(|x|), q minimax for -log(erfc(t)) on 1..4 weighted by erfc(t), error 1.1e-9. */
    float q = -1.8638008623e-4f;
    q = q * t + 2.9476666823e-3f;
    q = q * t - 2.1838096902e-2f;
    q = q * t + 1.0310681909e-1f;
    q = q * t + 6.3814473152e-1f;
    q = q * t + 1.1270892620f;
    q = q * t + 3.4151258296e-4f;
    const float near = x * p, far = copysignf(1.0f - exp_f32(-q), x);
    return select_f32(a < 1.0f, near, far);
}

/* Between 0 and 1. */
ALWAYS_INLINE float clamp_unit_f32(float x) {
    return select_f32(x < 0, 0.0f, select_f32(x > 1, 1.0f, x));
}

/* x * tanh(log(1 + e)) with e = exp(x) is x * e * (e + 2) / (e * (e + 2) + 2); above 20 it rounds to x. */
ALWAYS_INLINE float mish_f32(float x) {
    const float e = exp_f32(select_f32(x > 20, 20.0f, x)), n = e * (e + 2);
    return x * (n / (n + 2));
}

#endif
