/* The double functions some operators call, where no C library is linked: floor to fmod exact, exp, log and pow good to 1e-13. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static uint64_t bits_of(double x) {
    union {
        double f;
        uint64_t u;
    } v = {x};
    return v.u;
}

static double double_of(uint64_t bits) {
    union {
        uint64_t u;
        double f;
    } v = {bits};
    return v.f;
}

#define SIGN (UINT64_C(1) << 63)
enum { FRACTION = 52, BIAS = 1023 };

double fabs(double x) {
    return double_of(bits_of(x) & ~SIGN);
}

double copysign(double x, double y) {
    return double_of((bits_of(x) & ~SIGN) | (bits_of(y) & SIGN));
}

static bool is_integral(double x) { /* or infinite, or NaN */
    return !(fabs(x) < 4503599627370496.0);
}

double floor(double x) {
    if (is_integral(x)) return x;
    double t = (double)(int64_t)x;
    return copysign(t > x ? t - 1.0 : t, x);
}

double ceil(double x) {
    if (is_integral(x)) return x;
    double t = (double)(int64_t)x;
    return copysign(t < x ? t + 1.0 : t, x);
}

/* Above 2^52 doubles are integers: the addition rounds to even, as the processor is set to. */
double rint(double x) {
    if (is_integral(x)) return x;
    volatile double sum = fabs(x) + 4503599627370496.0;
    return copysign(sum - 4503599627370496.0, x);
}

/* Newton on a root of 24 bits, of the number scaled to 1/2..2; the last correction uses the remainder, not the quotient. */
double sqrt(double x) {
    if (x != x || x == 0 || x == (double)INFINITY) return x;
    if (x < 0) return (double)NAN;
    int half = 0;
    for (; x < 1e-30; half -= 64) x *= 0x1p128;
    for (; x > 1e30; half += 64) x *= 0x1p-128;
    double r = (double)sqrtf((float)x);
    r = 0.5 * (r + x / r);
    r = 0.5 * (r + x / r);
    return ldexp(r, half);
}

double ldexp(double x, int e) {
    for (; e > 1000; e -= 1000) x *= 0x1p1000;
    for (; e < -1000; e += 1000) x *= 0x1p-1000;
    return x * double_of((uint64_t)(e + BIAS) << FRACTION);
}

/* Of a number above 0, counting on where subnormal numbers have their leading bit. */
static int exponent_of(double x) {
    const uint64_t bits = bits_of(x);
    return bits >> FRACTION ? (int)(bits >> FRACTION) : 12 - __builtin_clzll(bits);
}

/* Subtracts y scaled by powers of two, each time the largest that fits: step <= rest < 2 step, so the difference is exact. */
double fmod(double x, double y) {
    const double divisor = fabs(y);
    double rest = fabs(x);
    if (x != x || y != y || rest == (double)INFINITY || y == 0) return (double)NAN;
    while (rest >= divisor) {
        double step = ldexp(divisor, exponent_of(rest) - exponent_of(divisor));
        if (step > rest) step *= 0.5;
        rest -= step;
    }
    return copysign(rest, x);
}

/* c[0] + c[1] z + c[2] z^2 + ... */
static double sum_series(double z, const double *c, int count) {
    double sum = c[count - 1];
    for (int i = count - 2; i >= 0; i--) sum = sum * z + c[i];
    return sum;
}

/* x = n ln 2 + r, |r| <= 0.347: the series ends where r^k / k! falls below 2^-53. */
double exp(double x) {
    static const double terms[] = {
        1.0,        1.0,         1.0 / 2,      1.0 / 6,       1.0 / 24,       1.0 / 120,       1.0 / 720,
        1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
    if (x != x) return x;
    x = x > 800 ? 800 : x < -800 ? -800 : x; /* beyond the range already */
    const int n = (int)(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
    const double r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10; /* the first product is exact */
    return ldexp(sum_series(r, terms, 14), n);
}

/* x = m 2^e, m in [sqrt(1/2), sqrt(2)): ln m = 2 artanh z, z = (m - 1) / (m + 1), |z| <= 0.172. */
double log(double x) {
    static const double terms[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    if (x != x || x == (double)INFINITY) return x;
    if (x <= 0) return x == 0 ? -(double)INFINITY : (double)NAN;
    int e = 0;
    if (x < 0x1p-1022) x *= 0x1p54, e = -54;
    e += (int)(bits_of(x) >> FRACTION) - BIAS;
    double m = double_of((bits_of(x) & ((UINT64_C(1) << FRACTION) - 1)) | (uint64_t)BIAS << FRACTION);
    if (m > 1.4142135623730951) m *= 0.5, e++;
    const double z = (m - 1) / (m + 1);
    return e * 0.6931471803691238 + (e * 1.9082149292705877e-10 + z * sum_series(z * z, terms, 11));
}

double pow(double x, double y) {
    if (y == 0 || x == 1) return 1;
    if (x != x || y != y) return (double)NAN;
    const double magnitude = fabs(x), infinity = (double)INFINITY;
    const bool integral = rint(y) == y, odd = integral && fabs(y) < 0x1p53 && ((int64_t)y & 1);
    const bool negative = bits_of(x) >> 63;
    if (fabs(y) == infinity) return magnitude == 1 ? 1.0 : (magnitude > 1) == (y > 0) ? infinity : 0.0;
    double r;
    if (x == 0 || magnitude == infinity)
        r = (x == 0) == (y > 0) ? 0.0 : infinity;
    else if (negative && !integral)
        return (double)NAN;
    else
        r = exp(y * log(magnitude));
    return odd && negative ? -r : r;
}
