/* Prints a fingerprint of each function of cbackend/freestanding over random arguments: IEEE arithmetic gives every processor the same. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define DIVISION(type, unsigned_type, suffix)                                                                                         \
    unsigned_type __hexagon_udiv##suffix(unsigned_type a, unsigned_type b), __hexagon_umod##suffix(unsigned_type a, unsigned_type b); \
    type __hexagon_div##suffix(type a, type b), __hexagon_mod##suffix(type a, type b);
DIVISION(int32_t, uint32_t, si3)
DIVISION(int64_t, uint64_t, di3)
double __hexagon_divdf3(double a, double b);

typedef union value {
    uint64_t bits;
    double f64;
    float f32;
    int64_t s64;
    int32_t s32;
} value;

static uint64_t seed, hash;

static uint64_t random_bits(void) { /* splitmix64 */
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Of any magnitude, or of the usual ones, or special. */
static double random_double(void) {
    static const double specials[] = {0.0, -0.0, 1, -1, 0.5, -2.5, 3, INFINITY, -INFINITY, NAN, 4.9e-324, 2.3e-308, 1.7e308, 710, -745};
    const uint64_t kind = random_bits() % 8;
    if (kind == 0) return specials[random_bits() % (sizeof specials / sizeof specials[0])];
    if (kind == 1) return (value){.bits = random_bits()}.f64;
    if (kind == 2) return (double)(int64_t)(random_bits() % 33) - 16;
    return (double)(int64_t)random_bits() * (kind < 6 ? 0x1p-63 : 0x1p-58);
}

static float random_float(void) {
    return random_bits() & 1 ? (float)random_double() : (value){.bits = random_bits() >> 32}.f32;
}

/* Divisors of every length, never 0. */
static value random_integer(void) {
    const uint64_t bits = random_bits(), kind = random_bits(), magnitude = bits >> kind % 64;
    return (value){.bits = (kind >> 63 ? magnitude : 0 - magnitude) | 1};
}

static void add(value v) {
    for (int i = 0; i < 64; i += 8) hash = (hash ^ (v.bits >> i & 255)) * 0x100000001b3u; /* FNV-1a */
}

static void add_double(double y) {
    add(y == y ? (value){.f64 = y} : (value){.bits = 0}); /* every NaN is the same */
}

static void begin(void) {
    seed = 1, hash = 0xcbf29ce484222325u;
}

static void end(const char *name) {
    printf("%s %llu\n", name, (unsigned long long)hash);
}

#define EACH(f, statement)                     \
    begin();                                   \
    for (int i = 0; i < 20000; i++) statement; \
    end(#f)
#define FLOAT_1(f) EACH(f, add_double((double)f(random_float())))
#define FLOAT_2(f)                                \
    EACH(f, {                                     \
        float a = random_float();                 \
        add_double((double)f(a, random_float())); \
    })
#define DOUBLE_1(f) EACH(f, add_double(f(random_double())))
#define DOUBLE_2(f)                        \
    EACH(f, {                              \
        double a = random_double();        \
        add_double(f(a, random_double())); \
    })
#define INTEGER(f, field)                                                 \
    EACH(f, {                                                             \
        value a = random_integer();                                       \
        add((value){.s64 = (int64_t)f(a.field, random_integer().field)}); \
    })

int main(void) {
    FLOAT_1(floorf);
    FLOAT_1(ceilf);
    FLOAT_1(sqrtf);
    FLOAT_1(logf);
    FLOAT_1(sinf);
    FLOAT_1(cosf);
    FLOAT_1(tanf);
    FLOAT_1(asinf);
    FLOAT_1(acosf);
    FLOAT_1(atanf);
    FLOAT_1(sinhf);
    FLOAT_1(coshf);
    FLOAT_1(asinhf);
    FLOAT_1(acoshf);
    FLOAT_1(atanhf);
    FLOAT_2(powf);
    FLOAT_2(fmodf);
    DOUBLE_1(rint);
    DOUBLE_1(floor);
    DOUBLE_1(ceil);
    DOUBLE_1(sqrt);
    DOUBLE_1(exp);
    DOUBLE_1(log);
    DOUBLE_2(pow);
    DOUBLE_2(fmod);
    DOUBLE_2(__hexagon_divdf3);
    INTEGER(__hexagon_udivsi3, s32);
    INTEGER(__hexagon_umodsi3, s32);
    INTEGER(__hexagon_divsi3, s32);
    INTEGER(__hexagon_modsi3, s32);
    INTEGER(__hexagon_udivdi3, s64);
    INTEGER(__hexagon_umoddi3, s64);
    INTEGER(__hexagon_divdi3, s64);
    INTEGER(__hexagon_moddi3, s64);
    return 0;
}
