/* Elements of all dtypes to 64 bits and back; floats of 16 bits and less with one rounding, whatever their format. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "narrow.h"

#include <string.h>

/* sign | exponent | fraction, from the top bit down. */
typedef struct narrow_format {
    uint8_t dtype;
    uint8_t fraction;         /* bits */
    uint8_t bias;             /* of the exponent */
    bool saturates;           /* unless told not to */
    uint16_t sign;            /* its bit; where that is NaN there is one zero and no infinity */
    uint16_t max, above, nan; /* the largest number, what comes of numbers above it, and NaN: bits without the sign */
} narrow_format;

static const narrow_format formats[] = {
    {WISP_F16, 10, 15, false, 0x8000, 0x7bff, 0x7c00, 0x7e00},
    {WISP_BF16, 7, 127, false, 0x8000, 0x7f7f, 0x7f80, 0x7fc0},
    {WISP_F8E4M3FN, 3, 7, true, 0x80, 0x7e, 0x7f, 0x7f},
    {WISP_F8E4M3FNUZ, 3, 8, true, 0x80, 0x7f, 0x80, 0x80},
    {WISP_F8E5M2, 2, 15, true, 0x80, 0x7b, 0x7c, 0x7e},
    {WISP_F8E5M2FNUZ, 2, 16, true, 0x80, 0x7f, 0x80, 0x80},
    {WISP_F4E2M1, 1, 1, true, 0x8, 0x7, 0x7, 0},
};

static const narrow_format *find_format(int dtype) {
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].dtype == dtype) return &formats[i];
    return NULL; /* float8e8m0 */
}

bool wisp_is_narrow_float(int dtype) {
    return dtype == WISP_F8E8M0 || find_format(dtype);
}

/* ---- double as bits: 11 bits of exponent, 52 of fraction */

enum { FRACTION = 52, BIAS = 1023 };
#define INFINITE ((uint64_t)0x7ff << FRACTION)

static double from_bits(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t magnitude_of(double x, bool *negative) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *negative = bits >> 63;
    return bits & ~((uint64_t)1 << 63);
}

static double power_of_two(int exponent) {
    return from_bits((uint64_t)(exponent + BIAS) << FRACTION);
}

/* ---- to double */

/* f: null for float8e8m0. */
static double widen(const narrow_format *f, uint32_t bits) {
    if (!f) return (bits & 0xff) == 0xff ? from_bits(INFINITE | 1) : power_of_two((int)(bits & 0xff) - 127);
    const uint32_t magnitude = bits & (f->sign - 1u), exponent = magnitude >> f->fraction;
    const uint64_t fraction = magnitude & ((1u << f->fraction) - 1u);
    double d;
    if (magnitude > f->max || (f->nan == f->sign && bits == f->sign))
        d = from_bits(INFINITE | (magnitude != f->above || f->above == f->nan));
    else if (exponent == 0)
        d = (double)fraction * power_of_two(1 - f->bias - f->fraction);
    else
        d = from_bits((uint64_t)((int)exponent - f->bias + BIAS) << FRACTION | fraction << (FRACTION - f->fraction));
    return bits & f->sign ? -d : d;
}

/* ---- from double */

static uint32_t narrow_to_power(double x, wisp_narrowing how) {
    bool negative;
    const uint64_t magnitude = magnitude_of(x, &negative), fraction = magnitude & (((uint64_t)1 << FRACTION) - 1);
    if (magnitude > INFINITE) return 0xff;
    int code = (int)(magnitude >> FRACTION) - BIAS + 127;
    code += how.e8m0 == WISP_E8M0_NEAREST ? (int)(fraction >> (FRACTION - 1)) : how.e8m0 == WISP_E8M0_UP && fraction;
    if (code >= 0 && code < 0xff && magnitude) return (uint32_t)code;
    return how.unsaturated ? 0xff : code < 0 ? 0 : 0xfe;
}

static uint32_t narrow(const narrow_format *f, double x, wisp_narrowing how) {
    if (!f) return narrow_to_power(x, how);
    bool negative;
    const uint64_t magnitude = magnitude_of(x, &negative);
    const uint32_t sign = negative ? f->sign : 0;
    if (magnitude > INFINITE) return f->nan ? f->nan | sign : 0;
    const int exponent = (int)(magnitude >> FRACTION) - BIAS, least = 1 - f->bias; /* of the smallest number with a hidden bit */
    uint64_t code = 0;
    if (exponent >= least - f->fraction - 1) { /* else below half of the smallest number */
        const uint64_t kept = (magnitude & (((uint64_t)1 << FRACTION) - 1)) | (uint64_t)1 << FRACTION;
        const int drop = FRACTION - f->fraction + (exponent < least ? least - exponent : 0);
        const uint64_t rest = kept & (((uint64_t)1 << drop) - 1), half = (uint64_t)1 << (drop - 1);
        code = kept >> drop; /* with the hidden bit, which adds one to the exponent */
        code += rest > half || (rest == half && code & 1);
        if (exponent > least) code += (uint64_t)(exponent - least) << f->fraction;
    }
    if (code > f->max) code = f->saturates && !how.unsaturated ? f->max : f->above;
    return code == 0 && f->nan == f->sign ? 0 : (uint32_t)code | sign;
}

uint32_t wisp_narrow(int dtype, double x, wisp_narrowing how) {
    return narrow(find_format(dtype), x, how);
}

/* ---- f32, many at once: selections instead of branches, so that compilers vectorise them; no subnormal f32 is computed
 * with, which some processors take for 0 */

static float float_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* By bits: compilers would make a branch of ?: here. */
static uint32_t choose(int condition, uint32_t yes, uint32_t no) {
    const uint32_t mask = 0 - (uint32_t)(condition != 0);
    return (yes & mask) | (no & ~mask);
}

ALWAYS_INLINE float f16_to_f32(uint16_t x) {
    const uint32_t sign = (uint32_t)(x & 0x8000) << 16, magnitude = (uint32_t)(x & 0x7fff) << 13;
    const uint32_t normal = magnitude + ((127u - 15) << 23), large = normal + ((128u - 16) << 23);
    /* a subnormal: 2^-14 * (1 + fraction) - 2^-14 */
    const uint32_t small = bits_of(float_of(normal + (1u << 23)) - float_of((127u - 14) << 23));
    return float_of(sign | choose(magnitude >= 31u << 23, large, choose(magnitude < 1u << 23, small, normal)));
}

ALWAYS_INLINE uint16_t f32_to_f16(float x) {
    const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    const uint32_t normal = (magnitude - ((127u - 15) << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13;
    /* below 2^-14: 2^-1 + x is rounded to multiples of 2^-24, which are f16's */
    const uint32_t small = bits_of(float_of(choose(magnitude < 113u << 23, magnitude, 0)) + 0.5f) - bits_of(0.5f);
    const uint32_t large = choose(magnitude > 0x7f800000, 0x7e00, 0x7c00);
    return (uint16_t)(sign | choose(magnitude >= 143u << 23, large, choose(magnitude < 113u << 23, small, normal)));
}

ALWAYS_INLINE float bf16_to_f32(uint16_t x) {
    return float_of((uint32_t)x << 16);
}

ALWAYS_INLINE uint16_t f32_to_bf16(float x) {
    const uint32_t bits = bits_of(x), rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (uint16_t)(choose((bits & 0x7fffffff) > 0x7f800000, bits | 0x400000, rounded) >> 16);
}

/* In blocks of fixed size: then compilers vectorise at -O2. */
#define CONVERT(name, from, to, one)                                     \
    void name(const from *x, size_t n, to *y) {                          \
        enum { BLOCK = 64 };                                             \
        size_t i = 0;                                                    \
        for (; i + BLOCK <= n; i += BLOCK)                               \
            for (size_t k = 0; k < BLOCK; k++) y[i + k] = one(x[i + k]); \
        for (; i < n; i++) y[i] = one(x[i]);                             \
    }

CONVERT(wisp_f16_to_f32, uint16_t, float, f16_to_f32)
CONVERT(wisp_f32_to_f16, float, uint16_t, f32_to_f16)
CONVERT(wisp_bf16_to_f32, uint16_t, float, bf16_to_f32)
CONVERT(wisp_f32_to_bf16, float, uint16_t, f32_to_bf16)

/* ---- elements of any dtype */

int wisp_element_kind(int dtype) {
    if (dtype == WISP_S4 || dtype == WISP_S2) return WIDE_SIGNED;
    if (dtype == WISP_U4 || dtype == WISP_U2) return WIDE_UNSIGNED;
    const int kind = wisp_wide_kind(dtype);
    return kind == WIDE_NONE ? WIDE_FLOAT : kind;
}

int wisp_integer_bits(int dtype) {
    if (dtype == WISP_S4 || dtype == WISP_U4) return 4;
    if (dtype == WISP_S2 || dtype == WISP_U2) return 2;
    return dtype == WISP_BOOL ? 1 : 8 * (int)wisp_dtype_size(dtype);
}

#define LOAD(type, field, expression)               \
    for (size_t i = 0; i < n; i++) {                \
        const uint32_t bits = ((const type *)x)[i]; \
        out[i].field = (expression);                \
    }                                               \
    break

void wisp_load_elements(int dtype, const void *x, size_t n, wide *out) {
    const narrow_format *f = find_format(dtype);
    switch (dtype) {
        case WISP_S4: LOAD(uint8_t, s, (int)((bits & 15) ^ 8) - 8);
        case WISP_S2: LOAD(uint8_t, s, (int)((bits & 3) ^ 2) - 2);
        case WISP_U4: LOAD(uint8_t, u, bits & 15);
        case WISP_U2: LOAD(uint8_t, u, bits & 3);
        case WISP_BOOL: LOAD(uint8_t, u, bits != 0);
        case WISP_F4E2M1: LOAD(uint8_t, f, widen(f, bits & 15));
        case WISP_F16:
        case WISP_BF16: LOAD(uint16_t, f, widen(f, bits));
        default:
            if (!f && dtype != WISP_F8E8M0) {
                wisp_wide_load(dtype, x, 1, n, out);
                break;
            }
            LOAD(uint8_t, f, widen(f, bits));
    }
}

#define STORE(type, expression)                                         \
    for (size_t i = 0; i < n; i++) ((type *)y)[i] = (type)(expression); \
    break

void wisp_store_elements(int dtype, const wide *x, size_t n, void *y, wisp_narrowing how) {
    const narrow_format *f = find_format(dtype);
    switch (dtype) {
        case WISP_S4:
        case WISP_U4: STORE(uint8_t, x[i].u & 15);
        case WISP_S2:
        case WISP_U2: STORE(uint8_t, x[i].u & 3);
        case WISP_F16:
        case WISP_BF16: STORE(uint16_t, narrow(f, x[i].f, how));
        default:
            if (!f && dtype != WISP_F8E8M0) {
                wisp_wide_store(dtype, x, n, y);
                break;
            }
            STORE(uint8_t, narrow(f, x[i].f, how));
    }
}
