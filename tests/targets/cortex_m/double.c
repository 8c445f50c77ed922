/* Arithmetic of double for processors with single precision only (M4): what checkasm's bounds need. Truncates; no subnormals. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#define SOFT __attribute__((pcs("aapcs"))) /* these calls pass doubles in core registers */
enum { BIAS = 1023, SPECIAL = 2047 };

/* value = (-1)^negative * fraction * 2^(exponent - 52); fraction 0, or 2^52..2^53 - 1. Special: exponent SPECIAL. */
typedef struct number {
    int negative, exponent;
    uint64_t fraction;
} number;

static number unpack(uint64_t bits) {
    const int field = (int)(bits >> 52) & SPECIAL;
    number n = {(int)(bits >> 63), field - BIAS, (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52};
    if (!field) n.fraction = 0;
    if (field == SPECIAL) n.exponent = SPECIAL, n.fraction &= ((uint64_t)1 << 52) - 1; /* 0: infinity, else NaN */
    return n;
}

static uint64_t pack(number n) {
    const uint64_t sign = (uint64_t)n.negative << 63, one = (uint64_t)1 << 52;
    if (n.exponent == SPECIAL) return sign | (uint64_t)SPECIAL << 52 | (n.fraction & (one - 1));
    if (!n.fraction) return sign;
    for (; n.fraction >= 2 * one; n.fraction >>= 1) n.exponent++;
    for (; n.fraction < one; n.fraction <<= 1) n.exponent--;
    if (n.exponent > BIAS) return sign | (uint64_t)SPECIAL << 52;
    return n.exponent <= -BIAS ? sign : sign | (uint64_t)(n.exponent + BIAS) << 52 | (n.fraction & (one - 1));
}

static const number nan = {0, SPECIAL, 1};

static int is_nan(number n) {
    return n.exponent == SPECIAL && n.fraction;
}

static uint64_t add(number a, number b) {
    if (is_nan(a) || is_nan(b)) return pack(nan);
    if (a.exponent == SPECIAL || b.exponent == SPECIAL)
        return pack(a.exponent != SPECIAL ? b : b.exponent == SPECIAL && a.negative != b.negative ? nan : a);
    if (!a.fraction || !b.fraction) return pack(a.fraction ? a : b);
    if (a.exponent < b.exponent || (a.exponent == b.exponent && a.fraction < b.fraction)) {
        const number swap = a;
        a = b, b = swap;
    }
    const int distance = a.exponent - b.exponent;
    a.fraction <<= 8, b.fraction = distance > 60 ? 0 : b.fraction << 8 >> distance; /* eight more bits for what is shifted out */
    a.exponent -= 8;
    a.fraction = a.negative == b.negative ? a.fraction + b.fraction : a.fraction - b.fraction;
    return pack(a);
}

static uint64_t multiply(number a, number b) {
    number y = {a.negative != b.negative, a.exponent + b.exponent, 0};
    if (is_nan(a) || is_nan(b)) return pack(nan);
    if (a.exponent == SPECIAL || b.exponent == SPECIAL) {
        if ((a.exponent != SPECIAL && !a.fraction) || (b.exponent != SPECIAL && !b.fraction)) return pack(nan);
        return pack((number){y.negative, SPECIAL, 0});
    }
    const uint64_t ah = a.fraction >> 32, al = (uint32_t)a.fraction, bh = b.fraction >> 32, bl = (uint32_t)b.fraction;
    y.fraction = (ah * bh << 12) + ((ah * bl + al * bh + (al * bl >> 32)) >> 20); /* product / 2^52 */
    return pack(y);
}

static uint64_t divide(number a, number b) {
    number y = {a.negative != b.negative, a.exponent - b.exponent, 0};
    if (is_nan(a) || is_nan(b)) return pack(nan);
    if (a.exponent == SPECIAL || b.exponent == SPECIAL)
        return a.exponent == b.exponent ? pack(nan) : a.exponent == SPECIAL ? pack((number){y.negative, SPECIAL, 0}) : pack(y);
    if (!b.fraction) return a.fraction ? pack((number){y.negative, SPECIAL, 0}) : pack(nan);
    uint64_t rest = a.fraction;
    for (int i = 52; i >= 0; i--, rest <<= 1)
        if (rest >= b.fraction) rest -= b.fraction, y.fraction |= (uint64_t)1 << i;
    return pack(y);
}

/* -1, 0, 1; 2: unordered. */
static int compare(number a, number b) {
    if (is_nan(a) || is_nan(b)) return 2;
    const int zero_a = a.exponent != SPECIAL && !a.fraction, zero_b = b.exponent != SPECIAL && !b.fraction;
    if (zero_a || zero_b) return zero_a && zero_b ? 0 : zero_a ? (b.negative ? 1 : -1) : a.negative ? -1 : 1;
    if (a.negative != b.negative) return a.negative ? -1 : 1;
    const int larger =
        a.exponent != b.exponent ? (a.exponent > b.exponent ? 1 : -1) : (a.fraction > b.fraction) - (a.fraction < b.fraction);
    return a.negative ? -larger : larger;
}

static number from_u64(uint64_t x, int negative) {
    return (number){negative, 52, x};
}

/* ---- the calls of the Run-time ABI for the Arm Architecture, 4.1. Bits stand for doubles: the same registers. */

#define BINARY(name, expression)                \
    uint64_t name(uint64_t x, uint64_t y) SOFT; \
    uint64_t name(uint64_t x, uint64_t y) {     \
        number a = unpack(x), b = unpack(y);    \
        return expression;                      \
    }
BINARY(__aeabi_dadd, add(a, b))
BINARY(__aeabi_dsub, (b.negative ^= 1, add(a, b)))
BINARY(__aeabi_dmul, multiply(a, b))
BINARY(__aeabi_ddiv, divide(a, b))

#define COMPARISON(name, expression)                 \
    int name(uint64_t x, uint64_t y) SOFT;           \
    int name(uint64_t x, uint64_t y) {               \
        const int c = compare(unpack(x), unpack(y)); \
        return expression;                           \
    }
COMPARISON(__aeabi_dcmpeq, c == 0)
COMPARISON(__aeabi_dcmplt, c == -1)
COMPARISON(__aeabi_dcmple, c == -1 || c == 0)
COMPARISON(__aeabi_dcmpge, c == 1 || c == 0)
COMPARISON(__aeabi_dcmpgt, c == 1)
COMPARISON(__aeabi_dcmpun, c == 2)

#define CONVERSION(name, type, expression) \
    uint64_t name(type x) SOFT;            \
    uint64_t name(type x) {                \
        return pack(expression);           \
    }
CONVERSION(__aeabi_i2d, int32_t, from_u64(x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x < 0))
CONVERSION(__aeabi_ui2d, uint32_t, from_u64(x, 0))
CONVERSION(__aeabi_l2d, int64_t, from_u64(x < 0 ? 0 - (uint64_t)x : (uint64_t)x, x < 0))
CONVERSION(__aeabi_ul2d, uint64_t, from_u64(x, 0))

static uint64_t whole(number n) {
    if (n.exponent < 0 || n.exponent > 63) return 0;
    return n.exponent > 52 ? n.fraction << (n.exponent - 52) : n.fraction >> (52 - n.exponent);
}

int32_t __aeabi_d2iz(uint64_t x) SOFT;
uint32_t __aeabi_d2uiz(uint64_t x) SOFT;
uint64_t __aeabi_d2ulz(uint64_t x) SOFT;
int32_t __aeabi_d2iz(uint64_t x) {
    const uint32_t magnitude = (uint32_t)whole(unpack(x));
    return (int32_t)(x >> 63 ? 0 - magnitude : magnitude);
}
uint32_t __aeabi_d2uiz(uint64_t x) {
    return (uint32_t)whole(unpack(x));
}
uint64_t __aeabi_d2ulz(uint64_t x) {
    return whole(unpack(x));
}

uint64_t __aeabi_f2d(uint32_t x) SOFT;
uint32_t __aeabi_d2f(uint64_t x) SOFT;
uint32_t __aeabi_ul2f(uint64_t x) SOFT;
uint64_t __aeabi_f2d(uint32_t x) {
    const int field = (int)(x >> 23) & 255;
    const uint64_t fraction = (uint64_t)(x & 0x7fffff) << 29;
    if (!field) return pack((number){(int)(x >> 31), -126, fraction}); /* subnormal floats are normal doubles */
    return (uint64_t)(x >> 31) << 63 | (uint64_t)(field == 255 ? SPECIAL : field - 127 + BIAS) << 52 | fraction;
}
uint32_t __aeabi_d2f(uint64_t x) {
    const number n = unpack(x);
    const uint32_t sign = (uint32_t)n.negative << 31;
    if (n.exponent == SPECIAL) return sign | 0x7f800000 | (n.fraction ? 1u << 22 : 0);
    if (n.exponent > 127) return sign | 0x7f800000;
    if (n.exponent < -126 || !n.fraction) return sign;
    return sign | (((uint32_t)(n.exponent + 127) << 23) + ((uint32_t)(n.fraction >> 29) & 0x7fffff) + ((n.fraction >> 28 & 1) ? 1 : 0));
}
uint32_t __aeabi_ul2f(uint64_t x) {
    return __aeabi_d2f(pack(from_u64(x, 0)));
}
