/* What maths.c of this folder brings, and what compilers make instructions of. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WISP_FREESTANDING_MATH_H
#define WISP_FREESTANDING_MATH_H

#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

float fabsf(float x), copysignf(float x, float y);
double fabs(double x), copysign(double x, double y);

float floorf(float x), ceilf(float x), sqrtf(float x), fmodf(float x, float y), logf(float x), powf(float x, float y);
float sinf(float x), cosf(float x), tanf(float x), asinf(float x), acosf(float x), atanf(float x);
float sinhf(float x), coshf(float x), asinhf(float x), acoshf(float x), atanhf(float x);
double floor(double x), ceil(double x), rint(double x), sqrt(double x), fmod(double x, double y);
double exp(double x), log(double x), pow(double x, double y);

double log2(double x), ldexp(double x, int e); /* test programs have their own */

#endif
