/* The maths functions operators call: f32 computed in double and rounded once, f64. Roots, roundings and remainders are exact. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bits.h"

/* Accuracy, measured by tests/targets/test_freestanding.py: float functions 0.51 units in the last place, as the doubles they
 * are rounded from are within 1e-10 (series are cut where the next term is below that); exp and log of doubles 2 units; pow of
 * doubles 4 units for whole exponents up to 64, else a relative 2e-13. Not tuned for speed: int8 models use tables. */

static const double half_pi = 1.5707963267948966;

/* c[0] + c[1] x + ... */
static double polynomial(const double *c, int count, double x) {
    double y = c[count - 1];
    for (int i = count - 2; i >= 0; i--) y = y * x + c[i];
    return y;
}

/* ---- to whole numbers */

/* From 2^52 on doubles are whole: the addition rounds to even, as the processor is set to. */
double rint(double x) {
    const double whole = 4503599627370496.0, magnitude = __builtin_fabs(x);
    return magnitude < whole ? __builtin_copysign(magnitude + whole - whole, x) : x;
}

double floor(double x) {
    const double nearest = rint(x);
    return nearest > x ? nearest - 1 : nearest;
}

double ceil(double x) {
    return -floor(-x);
}

float floorf(float x) {
    return (float)floor(x);
}

float ceilf(float x) {
    return (float)ceil(x);
}

/* ---- square root */

/* Digit by digit. A root of 54 bits is never exactly half way: its square would have more bits than x. */
double sqrt(double x) {
    if (!(x > 0) || x == INFINITY) return x < 0 ? NAN : x;
    int e;
    uint64_t rest = take_apart(x, &e) << 1, root = 0, twice = 0;
    if (e & 1) rest <<= 1, e--;
    for (uint64_t bit = UINT64_C(1) << 53; bit; bit >>= 1, rest <<= 1) {
        if (rest < twice + bit) continue;
        rest -= twice + bit;
        twice += 2 * bit;
        root += bit;
    }
    return double_from_bits(((root + 1) >> 1) + ((uint64_t)(e / 2 - 26 + BIAS + FRACTION - 1) << FRACTION));
}

float sqrtf(float x) {
    return (float)sqrt(x); /* 53 bits are enough for rounding twice to be harmless */
}

/* clang's name for a square root it would expand itself if it had the means. */
float __hexagon_sqrtf(float x);

float __hexagon_sqrtf(float x) {
    return sqrtf(x);
}

/* ---- exponential and logarithm */

static const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10; /* high: 32 bits */

/* 2^n, -2044 <= n <= 2046, times x; overflows and underflows as it should. */
static double scale_by_power(double x, int64_t n) {
    int64_t half = n >> 1;
    return x * double_from_bits((uint64_t)(1023 + half) << 52) * double_from_bits((uint64_t)(1023 + n - half) << 52);
}

double exp(double x) {
    static const double c[] = {1,         1,          1. / 2,      1. / 6,       1. / 24,       1. / 120,       1. / 720,
                               1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600, 1. / 6227020800};
    if (x != x) return x;
    x = x < -800 ? -800 : x > 800 ? 800 : x; /* beyond both ends of the doubles */
    double n = rint(x * 1.4426950408889634);
    double r = (x - n * ln2_high) - n * ln2_low; /* |r| <= 0.347 */
    return scale_by_power(polynomial(c, 14, r), (int64_t)n);
}

/* log((1 + s) / (1 - s)) = 2 s + 2 s^3 / 3 + ..., |s| <= 0.172. */
static double log_ratio(double s) {
    static const double c[] = {2. / 3, 2. / 5, 2. / 7, 2. / 9, 2. / 11, 2. / 13, 2. / 15, 2. / 17, 2. / 19, 2. / 21};
    return 2 * s + s * (s * s) * polynomial(c, 10, s * s);
}

double log(double x) {
    const uint64_t root = 0x3fe6a09e667f3bcdu; /* sqrt(1/2) */
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    const int tiny = x < 2.2250738585072014e-308; /* no exponent to read: scale by 2^54 */
    uint64_t bits = bits_from_double(tiny ? x * 18014398509481984.0 : x) - root;
    double m = double_from_bits((bits & 0xfffffffffffffu) + root); /* sqrt(1/2)..sqrt(2) */
    double n = (double)(((int64_t)bits >> 52) - 54 * tiny);
    return n * ln2_high + (log_ratio((m - 1) / (m + 1)) + n * ln2_low);
}

static double log1p_wide(double x) {
    return x > -0.29 && x < 0.41 ? log_ratio(x / (2 + x)) : log(1 + x);
}

float logf(float x) {
    return (float)log(x);
}

/* 1: odd, 2: even, 0: not an integer. */
static int parity(double y) {
    if (floor(y) != y) return 0;
    return __builtin_fabs(y) < 9007199254740992.0 && ((int64_t)y & 1) ? 1 : 2;
}

/* By squaring: exact while the powers of an integer are. */
static double power_of_integer(double x, int n) {
    double y = 1;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1) y *= x;
    return y;
}

double pow(double x, double y) {
    if (y == 0 || x == 1) return 1;
    if (x != x || y != y) return NAN;
    if (x == -1 && __builtin_fabs(y) == INFINITY) return 1;
    const int kind = parity(y);
    if (x < 0 && x != -INFINITY && !kind) return NAN;
    double magnitude = __builtin_fabs(x), power;
    if (magnitude == 0 || magnitude == INFINITY)
        power = (magnitude == 0) == (y > 0) ? 0 : INFINITY;
    else if (kind && __builtin_fabs(y) <= 64)
        power = y > 0 ? power_of_integer(magnitude, (int)y) : 1 / power_of_integer(magnitude, (int)-y);
    else
        power = exp(y * log(magnitude));
    return __builtin_signbit(x) && kind == 1 ? -power : power;
}

float powf(float x, float y) {
    return (float)pow(x, y);
}

/* ---- hyperbolic functions */

float sinhf(float x) {
    static const double c[] = {1, 1. / 6, 1. / 120, 1. / 5040, 1. / 362880, 1. / 39916800};
    double w = x;
    if (__builtin_fabs(w) < 1) return (float)(w * polynomial(c, 6, w * w));
    return (float)((exp(w) - exp(-w)) / 2);
}

float coshf(float x) {
    return (float)((exp(x) + exp(-(double)x)) / 2);
}

float asinhf(float x) {
    double a = __builtin_fabsf(x);
    if (a == INFINITY) return x;
    return __builtin_copysignf((float)log1p_wide(a + a * a / (1 + sqrt(a * a + 1))), x);
}

float acoshf(float x) {
    double t = (double)x - 1;
    return x < 1 ? NAN : (float)log1p_wide(t + sqrt(t * (2 + t)));
}

float atanhf(float x) {
    double a = __builtin_fabsf(x);
    return a > 1 ? NAN : __builtin_copysignf((float)(log1p_wide(2 * a / (1 - a)) / 2), x);
}

/* ---- circular functions */

/* x = quadrant * pi/2 + r, |r| <= pi/4; returns r. */
static double reduce(float x, int *quadrant) {
    /* 2/pi in 32-bit words. */
    static const uint32_t two_over_pi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
    double w = x;
    if (__builtin_fabs(w) < 33554432) { /* 2^25 */
        /* pi/2 in two parts; the first has 28 bits, so that its multiples are exact. */
        double n = rint(w * 0.6366197723675814);
        *quadrant = (int)((int64_t)n & 3);
        return (w - n * 0x1.921fb54p+0) - n * 9.920935796805404e-10;
    }
    if (!(__builtin_fabs(w) < INFINITY)) {
        *quadrant = 0;
        return NAN;
    }
    /* |x| = m * 2^e with e >= 2: bits of 2/pi of weight 2^(2-e) and more add multiples of 4 quadrants and are left out. */
    uint32_t bits, words[3];
    memcpy(&bits, &x, sizeof bits);
    uint64_t m = (bits & 0x7fffff) | 0x800000;
    int skip = (int)(bits >> 23 & 255) - 150 - 2, at = skip / 32, shift = skip % 32;
    for (int i = 0; i < 3; i++) words[i] = (uint32_t)(((uint64_t)two_over_pi[at + i] << 32 | two_over_pi[at + i + 1]) << shift >> 32);
    uint64_t turns = (m * words[0] << 32) + m * words[1] + (m * words[2] >> 32); /* of 2^62 each, modulo 4 */
    uint64_t n = (turns + ((uint64_t)1 << 61)) >> 62;
    double r = (double)(int64_t)(turns - (n << 62)) * (half_pi / 4611686018427387904.0);
    *quadrant = (int)(x < 0 ? -n & 3 : n & 3);
    return x < 0 ? -r : r;
}

static double sin_near(double r) {
    static const double c[] = {1, -1. / 6, 1. / 120, -1. / 5040, 1. / 362880, -1. / 39916800};
    return r * polynomial(c, 6, r * r);
}

static double cos_near(double r) {
    static const double c[] = {1, -1. / 2, 1. / 24, -1. / 720, 1. / 40320, -1. / 3628800, 1. / 479001600};
    return polynomial(c, 7, r * r);
}

static double sin_of(double r, int quadrant) {
    double y = quadrant & 1 ? cos_near(r) : sin_near(r);
    return quadrant & 2 ? -y : y;
}

float sinf(float x) {
    int quadrant;
    double r = reduce(x, &quadrant);
    return x == 0 ? x : (float)sin_of(r, quadrant);
}

float cosf(float x) {
    int quadrant;
    double r = reduce(x, &quadrant);
    return (float)sin_of(r, quadrant + 1);
}

float tanf(float x) {
    int quadrant;
    double r = reduce(x, &quadrant);
    return x == 0 ? x : (float)(sin_of(r, quadrant) / sin_of(r, quadrant + 1));
}

/* Halves the angle three times, atan(x) = 2 atan(x / (1 + sqrt(1 + x^2))), then the series at |t| <= 0.199. */
static double atan_wide(double x) {
    static const double c[] = {1, -1. / 3, 1. / 5, -1. / 7, 1. / 9, -1. / 11, 1. / 13};
    if (x != x) return x;                               /* clang 19 makes of the next line an instruction that drops NaN */
    double t = x > 1e30 ? 1e30 : x < -1e30 ? -1e30 : x; /* its square stays finite */
    for (int i = 0; i < 3; i++) t /= 1 + sqrt(1 + t * t);
    return 8 * t * polynomial(c, 7, t * t);
}

float atanf(float x) {
    return (float)atan_wide(x);
}

float asinf(float x) {
    double w = x;
    return (float)atan_wide(w / sqrt((1 - w) * (1 + w)));
}

float acosf(float x) {
    double w = x;
    return w == 1 ? 0 : (float)(2 * atan_wide(sqrt((1 - w) / (1 + w))));
}

/* ---- remainder */

/* Exact: the remainder and all halvings of the divisor are multiples of the smallest bit involved. */
double fmod(double x, double y) {
    double rest = __builtin_fabs(x), divisor = __builtin_fabs(y), step = divisor;
    if (x != x || y != y || rest == INFINITY || divisor == 0) return NAN;
    if (divisor == INFINITY) return x; /* whose half is itself */
    while (step <= rest / 2) step *= 2;
    for (; step >= divisor; step /= 2)
        if (rest >= step) rest -= step;
    return __builtin_copysign(rest, x);
}

float fmodf(float x, float y) {
    return (float)fmod(x, y);
}
