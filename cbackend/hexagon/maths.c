/* The float functions some operators call, where no C library is linked. Exact where C says exact, else good to two units. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

/* The transcendental functions are evaluated in double: series with errors below 1e-13, rounded to float once. They are not
 * tuned for speed; int8 models use tables, and a device has its vendor's library. */

static uint32_t bits_of(float x) {
    union {
        float f;
        uint32_t u;
    } v = {x};
    return v.u;
}

static float float_of(uint32_t bits) {
    union {
        uint32_t u;
        float f;
    } v = {bits};
    return v.f;
}

/* ---- exact functions */

enum { FRACTION = 23 };
#define SIGN 0x80000000u

float fabsf(float x) {
    return float_of(bits_of(x) & ~SIGN);
}

float copysignf(float x, float y) {
    return float_of((bits_of(x) & ~SIGN) | (bits_of(y) & SIGN));
}

static bool is_integral(float x) { /* or infinite, or NaN */
    return !(fabsf(x) < 8388608.0f);
}

float floorf(float x) {
    if (is_integral(x)) return x;
    float t = (float)(int32_t)x;
    return copysignf(t > x ? t - 1.0f : t, x);
}

float ceilf(float x) {
    if (is_integral(x)) return x;
    float t = (float)(int32_t)x;
    return copysignf(t < x ? t + 1.0f : t, x);
}

/* Above 2^23 floats are integers: the addition rounds to even, as the processor is set to. */
float rintf(float x) {
    if (is_integral(x)) return x;
    volatile float sum = fabsf(x) + 8388608.0f;
    return copysignf(sum - 8388608.0f, x);
}

/* Significand with its leading bit at 23, and exponent, so that |x| = significand * 2^exponent. x is finite and not zero. */
static uint32_t split(float x, int *exponent) {
    uint32_t bits = bits_of(x) & ~SIGN;
    int e = (int)(bits >> FRACTION);
    uint32_t m = bits & ((1u << FRACTION) - 1);
    if (e) {
        m |= 1u << FRACTION;
    } else {
        int shift = __builtin_clz(m) - (31 - FRACTION);
        m <<= shift;
        e = 1 - shift;
    }
    *exponent = e - 150;
    return m;
}

/* Digit by digit: 25 bits of the root of a 50-bit square; the last one rounds. */
float sqrtf(float x) {
    if (x != x || x == 0 || x == INFINITY) return x;
    if (x < 0) return NAN;
    int e;
    uint64_t m = split(x, &e);
    m <<= e & 1 ? 25 : 26;
    e -= e & 1 ? 25 : 26;
    uint32_t root = 0;
    for (int bit = 24; bit >= 0; bit--) {
        uint32_t trial = root | 1u << bit;
        if ((uint64_t)trial * trial <= m) root = trial;
    }
    root = (root + 1) >> 1; /* a root of 25 bits is never exactly half way: its square would have 50 and end in 1 */
    return float_of(root + ((uint32_t)(e / 2 + 1 + 149) << FRACTION));
}

/* clang's name for a square root it would expand itself if it had the means. */
float __hexagon_sqrtf(float x);

float __hexagon_sqrtf(float x) {
    return sqrtf(x);
}

float fmodf(float x, float y) {
    if (x != x || y != y || fabsf(x) == INFINITY || y == 0) return NAN;
    if (x == 0 || fabsf(x) < fabsf(y)) return x;
    int ex, ey;
    uint32_t a = split(x, &ex), b = split(y, &ey);
    for (; ex > ey; ex--) {
        if (a >= b) a -= b;
        a <<= 1;
    }
    if (a >= b) a -= b;
    if (!a) return copysignf(0.0f, x);
    int shift = __builtin_clz(a) - (31 - FRACTION);
    a <<= shift;
    ex += 150 - shift;
    uint32_t bits = ex >= 1 ? a + ((uint32_t)(ex - 1) << FRACTION) : a >> (1 - ex);
    return copysignf(float_of(bits), x);
}

/* ---- exponential and logarithm */

/* c[0] + c[1] z + c[2] z^2 + ... */
static double sum_series(double z, const double *c, int count) {
    double sum = c[count - 1];
    for (int i = count - 2; i >= 0; i--) sum = sum * z + c[i];
    return sum;
}

float expf(float x) {
    return (float)exp((double)x);
}

float logf(float x) {
    return (float)log((double)x);
}

float powf(float x, float y) {
    return (float)pow((double)x, (double)y);
}

float sinhf(float x) {
    static const double terms[] = {1.0, 1.0 / 6, 1.0 / 120, 1.0 / 5040, 1.0 / 362880};
    const double v = (double)x;
    if (x != x || x == 0) return x;
    if (fabsf(x) < 0.3f) return (float)(v * sum_series(v * v, terms, 5));
    const double e = exp(v);
    return (float)((e - 1 / e) * 0.5);
}

float coshf(float x) {
    if (x != x) return x;
    const double e = exp((double)x);
    return (float)((e + 1 / e) * 0.5);
}

/* ---- their inverses */

float asinhf(float x) {
    static const double terms[] = {1.0, -1.0 / 6, 3.0 / 40, -15.0 / 336};
    const double v = fabs((double)x);
    if (x != x || x == 0 || fabsf(x) == INFINITY) return x;
    double r = v < 0.02 ? v * sum_series(v * v, terms, 4) : v > 1e10 ? log(v + v) : log(v + sqrt(v * v + 1));
    return copysignf((float)r, x);
}

float acoshf(float x) {
    const double v = (double)x;
    if (!(x >= 1)) return NAN;
    return (float)(v > 1e10 ? log(v + v) : log(v + sqrt((v - 1) * (v + 1))));
}

float atanhf(float x) {
    static const double terms[] = {1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7};
    const double v = fabs((double)x);
    if (!(v <= 1)) return NAN;
    double r = v < 0.02 ? v * sum_series(v * v, terms, 4) : 0.5 * log((1 + v) / (1 - v));
    return copysignf((float)r, x);
}

/* ---- circular functions */

/* |x| < 2^25: pi / 2 in three parts of 28, 28 and 53 bits; products with n are exact for the first two. */
static double reduce_small(double x, int *quadrant) {
    int n = (int)(x * 0.6366197723675814 + (x < 0 ? -0.5 : 0.5));
    *quadrant = n & 3;
    return ((x - n * 1.570796325802803) - n * 9.920935739593517e-10) - n * 5.721188726109832e-18;
}

/* x = m * 2^e with e >= 2. Of 2 / pi the bits before place e - 1 give multiples of 4 quadrants; the next 96 are enough. */
static double reduce_large(float x, int *quadrant) {
    static const uint32_t two_over_pi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
    int e;
    const uint32_t m = split(x, &e);
    const int word = (e - 2) / 32, shift = (e - 2) % 32;
    uint32_t w[3];
    for (int i = 0; i < 3; i++) w[i] = (uint32_t)(((uint64_t)two_over_pi[word + i] << 32 | two_over_pi[word + i + 1]) >> (32 - shift));
    uint64_t low = (uint64_t)m * w[2], middle = (uint64_t)m * w[1] + (low >> 32);
    uint64_t product = ((uint64_t)(m * w[0]) << 32) + middle; /* in 2^-62 quadrants */
    int n = (int)(product >> 62);
    int64_t fraction = (int64_t)(product << 2); /* as signed: nearest quadrant */
    if (fraction < 0) n++;
    double r = (double)fraction * 0x1p-64 * 1.5707963267948966;
    *quadrant = (x < 0 ? -n : n) & 3;
    return x < 0 ? -r : r;
}

static double reduce(float x, int *quadrant) {
    return fabsf(x) < 33554432.0f ? reduce_small((double)x, quadrant) : reduce_large(x, quadrant);
}

static double sine(double r) {
    static const double terms[] = {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800.0};
    return r * sum_series(r * r, terms, 7);
}

static double cosine(double r) {
    static const double terms[] = {1.0, -1.0 / 2, 1.0 / 24, -1.0 / 720, 1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600.0};
    return sum_series(r * r, terms, 7);
}

float sinf(float x) {
    int quadrant;
    if (x == 0) return x;
    if (!(fabsf(x) < INFINITY)) return NAN;
    const double r = reduce(x, &quadrant), s = quadrant & 1 ? cosine(r) : sine(r);
    return (float)(quadrant & 2 ? -s : s);
}

float cosf(float x) {
    int quadrant;
    if (!(fabsf(x) < INFINITY)) return NAN;
    const double r = reduce(x, &quadrant), c = quadrant & 1 ? sine(r) : cosine(r);
    return (float)(quadrant == 1 || quadrant == 2 ? -c : c);
}

float tanf(float x) {
    int quadrant;
    if (x == 0) return x;
    if (!(fabsf(x) < INFINITY)) return NAN;
    const double r = reduce(x, &quadrant);
    return (float)(quadrant & 1 ? -cosine(r) / sine(r) : sine(r) / cosine(r));
}

/* v >= 0. Above tan(pi / 8) the argument is turned by an eighth of a circle: at most 0.415 remains. */
static double arc_tangent(double v) {
    const double pi = 3.141592653589793;
    const bool inverse = v > 1;
    if (inverse) v = 1 / v;
    const bool turned = v > 0.41421356237309503;
    if (turned) v = (v - 1) / (v + 1);
    double z = v * v, sum = 0;
    for (int k = 16; k >= 0; k--) sum = (k & 1 ? -1.0 : 1.0) / (2 * k + 1) + z * sum;
    double r = v * sum + (turned ? pi / 4 : 0);
    return inverse ? pi / 2 - r : r;
}

float atanf(float x) {
    return x != x || x == 0 ? x : copysignf((float)arc_tangent((double)fabsf(x)), x);
}

static double arc_sine(double v) { /* 0..1 */
    return arc_tangent(v / sqrt((1 - v) * (1 + v)));
}

float asinf(float x) {
    if (!(fabsf(x) <= 1)) return NAN;
    return x == 0 ? x : copysignf((float)arc_sine((double)fabsf(x)), x);
}

float acosf(float x) {
    if (!(fabsf(x) <= 1)) return NAN;
    const double v = arc_sine((double)fabsf(x));
    return (float)(1.5707963267948966 - (x < 0 ? -v : v));
}
