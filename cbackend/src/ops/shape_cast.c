/* Cast between element types: towards zero and saturating from floats, modulo 2^bits between integers. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

/* Rules, the same on every target:
 *   float -> integer   truncated towards zero, saturated to the type's range; NaN gives 0
 *   integer -> integer modulo 2^bits (two's complement)
 *   anything -> bool   x != 0 (NaN is true)
 *   -> f32, f16        one rounding to nearest even; overflow gives infinity
 * Elements pass through a wide type in chunks: double for floats (exact), int64 for integers (u64 by its bits). */
enum { CHUNK = 64, GRAIN = 16384 /* elements worth a thread */ };

typedef union wide {
    double f[CHUNK];
    int64_t i[CHUNK];
} wide;

static bool is_float(int dtype) {
    return dtype == WISP_F32 || dtype == WISP_F64 || dtype == WISP_F16;
}

/* Sign, 5 bits exponent (bias 15), 10 bits fraction. */
static double half_to_double(uint16_t h) {
    uint64_t sign = (uint64_t)(h >> 15) << 63, exponent = h >> 10 & 31, fraction = h & 1023, bits;
    double d;
    if (exponent == 0) { /* subnormal: fraction * 2^-24 */
        d = (double)fraction * (1.0 / 16777216.0);
        return sign ? -d : d;
    }
    bits = exponent == 31 ? sign | 0x7ffull << 52 | fraction << 42 : sign | (exponent + 1008) << 52 | fraction << 42;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint16_t double_to_half(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & 0x8000);
    uint64_t magnitude = bits & 0x7fffffffffffffffull;
    if (magnitude > 0x7ff0000000000000ull) return (uint16_t)(sign | 0x7e00);  /* NaN */
    if (magnitude >= 0x40effe0000000000ull) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    int exponent = (int)(magnitude >> 52) - 1023;
    if (exponent < -25) return sign;
    uint64_t fraction = (magnitude & 0xfffffffffffffull) | 0x10000000000000ull;
    int drop = exponent < -14 ? 42 + (-14 - exponent) : 42; /* bits below the half's last */
    uint64_t kept = fraction >> drop, rest = fraction & ((1ull << drop) - 1), middle = 1ull << (drop - 1);
    kept += rest > middle || (rest == middle && (kept & 1));
    /* kept carries the hidden bit, which adds one to the exponent field of a normal number */
    return (uint16_t)(sign | (exponent < -14 ? kept : kept + ((uint64_t)(exponent + 14) << 10)));
}

#define LOAD(type, member) \
    for (int k = 0; k < n; k++) w->member[k] = ((const type *)x)[i + k]

static void load(wide *w, const void *x, int dtype, int64_t i, int n) {
    switch (dtype) {
        case WISP_F32: LOAD(float, f); break;
        case WISP_F64: LOAD(double, f); break;
        case WISP_F16:
            for (int k = 0; k < n; k++) w->f[k] = half_to_double(((const uint16_t *)x)[i + k]);
            break;
        case WISP_U8: LOAD(uint8_t, i); break;
        case WISP_BOOL:
            for (int k = 0; k < n; k++) w->i[k] = ((const uint8_t *)x)[i + k] != 0;
            break;
        case WISP_S8: LOAD(int8_t, i); break;
        case WISP_U16: LOAD(uint16_t, i); break;
        case WISP_S16: LOAD(int16_t, i); break;
        case WISP_S32: LOAD(int32_t, i); break;
        case WISP_U32: LOAD(uint32_t, i); break;
        default: memcpy(w->i, (const int64_t *)x + i, (size_t)n * 8); break; /* S64, U64 */
    }
}

#undef LOAD

/* What floats saturate to: from lo down it is lo, from `above` on max. Both bounds are exact as doubles. */
typedef struct range {
    double lo, above;
    int64_t max;
} range;

static range range_of(int dtype) {
    switch (dtype) {
        case WISP_U8: return (range){0, 256, UINT8_MAX};
        case WISP_S8: return (range){-128, 128, INT8_MAX};
        case WISP_U16: return (range){0, 65536, UINT16_MAX};
        case WISP_S16: return (range){-32768, 32768, INT16_MAX};
        case WISP_S32: return (range){-2147483648.0, 2147483648.0, INT32_MAX};
        case WISP_U32: return (range){0, 4294967296.0, UINT32_MAX};
        default: return (range){-9223372036854775808.0, 9223372036854775808.0, INT64_MAX};
    }
}

static int64_t float_to_u64(double d) {
    return d >= 18446744073709551616.0 ? -1 : d > 0 ? (int64_t)(uint64_t)d : 0;
}

static void floats_to_integers(wide *w, int dtype, int n) {
    const range r = range_of(dtype);
    for (int k = 0; k < n; k++) {
        double d = w->f[k];
        if (dtype == WISP_BOOL)
            w->i[k] = d != 0;
        else if (dtype == WISP_U64)
            w->i[k] = float_to_u64(d);
        else if (d > r.lo && d < r.above)
            w->i[k] = (int64_t)d;
        else
            w->i[k] = d >= r.above ? r.max : d <= r.lo ? (int64_t)r.lo : 0;
    }
}

/* From int64 (u64 by its bits) straight to the float type: one rounding. Half: beyond 2^53 all overflow. */
static void store_integers_as_floats(const wide *w, bool is_u64, void *y, int dtype, int64_t i, int n) {
    for (int k = 0; k < n; k++) {
        int64_t v = w->i[k];
        uint64_t u = (uint64_t)v;
        double d = is_u64 ? (double)u : (double)v;
        if (dtype == WISP_F32)
            ((float *)y)[i + k] = is_u64 ? (float)u : (float)v;
        else if (dtype == WISP_F64)
            ((double *)y)[i + k] = d;
        else
            ((uint16_t *)y)[i + k] = double_to_half(d);
    }
}

#define STORE(type, value) \
    for (int k = 0; k < n; k++) ((type *)y)[i + k] = (type)(value)

static void store_floats(const wide *w, void *y, int dtype, int64_t i, int n) {
    switch (dtype) {
        case WISP_F32: STORE(float, w->f[k]); break;
        case WISP_F64: STORE(double, w->f[k]); break;
        default: STORE(uint16_t, double_to_half(w->f[k])); break;
    }
}

static void store_integers(const wide *w, void *y, int dtype, int64_t i, int n) {
    switch (dtype) {
        case WISP_BOOL: STORE(uint8_t, w->i[k] != 0); break;
        case WISP_U8:
        case WISP_S8: STORE(uint8_t, (uint64_t)w->i[k]); break;
        case WISP_U16:
        case WISP_S16: STORE(uint16_t, (uint64_t)w->i[k]); break;
        case WISP_U32:
        case WISP_S32: STORE(uint32_t, (uint64_t)w->i[k]); break;
        default: STORE(uint64_t, w->i[k]); break;
    }
}

#undef STORE

static void cast_elements(const wisp_tensor *x, const wisp_tensor *y, int64_t begin, int64_t end) {
    wide w;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int n = (int)(end - i < CHUNK ? end - i : CHUNK);
        load(&w, x->data, x->dtype, i, n);
        if (is_float(x->dtype) && is_float(y->dtype)) {
            store_floats(&w, y->data, y->dtype, i, n);
        } else if (is_float(y->dtype)) {
            store_integers_as_floats(&w, x->dtype == WISP_U64, y->data, y->dtype, i, n);
        } else {
            if (is_float(x->dtype)) floats_to_integers(&w, y->dtype, n);
            store_integers(&w, y->data, y->dtype, i, n);
        }
    }
}

static void range_cast(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int64_t size = (int64_t)wisp_dtype_size(y->dtype);
    (void)thread;
    if (x->dtype != y->dtype)
        cast_elements(x, y, begin, end);
    else if (x->data != y->data) /* else y is x: the session saw to it */
        memcpy((uint8_t *)y->data + begin * size, (const uint8_t *)x->data + begin * size, (size_t)((end - begin) * size));
}

static int plan_cast(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!wisp_movable_size(call, x)) return WISP_UNSUPPORTED;
    if (wisp_dtype_size(y->dtype) == 0) return wisp_call_fail_value(call, WISP_UNSUPPORTED, "cannot cast to dtype", y->dtype);
    wisp_set_work(call, (int64_t)x->count, GRAIN, 1);
    return wisp_set_output(call, 0, y->dtype, x->rank, x->dims); /* the file states the type */
}

const wisp_operator wisp_op_Cast = {.plan = plan_cast, .range = range_cast};
