/* Declarations of the float functions that some operators call, for compilers without a C library. An image whose operators
 * need none of them links without a maths library. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FREESTANDING_MATH_H
#define WISP_FREESTANDING_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

float fabsf(float x), floorf(float x), ceilf(float x), rintf(float x), sqrtf(float x), copysignf(float x, float y), fmodf(float x, float y);
float expf(float x), logf(float x), log1pf(float x), powf(float x, float y), erff(float x);
float sinf(float x), cosf(float x), tanf(float x), asinf(float x), acosf(float x), atanf(float x);
float sinhf(float x), coshf(float x), tanhf(float x), asinhf(float x), acoshf(float x), atanhf(float x);
double fabs(double x), floor(double x), ceil(double x), rint(double x), sqrt(double x), copysign(double x, double y),
    fmod(double x, double y);
double exp(double x), log(double x), log1p(double x), pow(double x, double y), erf(double x), tanh(double x), round(double x);
double log2(double x), ldexp(double x, int e);

#endif
