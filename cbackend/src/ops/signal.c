/* DFT of any length: one pass for each prime factor, in f64. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "shape.h"

typedef struct complex {
    double re, im;
} complex;

typedef struct dft_plan {
    int64_t length, kept;   /* of the transform; of its result, if it is one-sided */
    int64_t size;           /* values of the input along the axis that are used */
    int64_t inner;          /* numbers behind the axis */
    int64_t x_step, y_step; /* numbers along the axis */
    int32_t x_parts, y_parts;
    bool inverse, onesided;
} dft_plan;

/* Sine and cosine of 0 .. pi / 4, to the last bits of f64: that much of their series. */
static complex small_turn(double a) {
    enum { TERMS = 9 };
    complex r = {1, a};
    double power = a;
    for (int i = 2; i < 2 * TERMS; i++) {
        power *= a / i;
        const double term = i & 2 ? -power : power;
        if (i & 1)
            r.im += term;
        else
            r.re += term;
    }
    return r;
}

/* e^(2 pi i k / n), 0 <= k < n: exact at the eighths, as the argument is reduced in integers. */
static complex turn(int64_t k, int64_t n) {
    static const double PI = 3.141592653589793;
    const int64_t eighth = 8 * k / n, rest = 8 * k - eighth * n; /* 8 k / n = eighth + rest / n */
    const bool odd = eighth & 1;
    complex c = small_turn(PI / 4 * (double)(odd ? n - rest : rest) / (double)n);
    if (((eighth + 1) >> 1) & 1) c = (complex){c.im, c.re};
    if (eighth >= 2 && eighth < 6) c.re = -c.re;
    if (eighth >= 4) c.im = -c.im;
    return c;
}

static complex times(complex a, complex b) {
    return (complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

static int64_t least_factor(int64_t n) {
    for (int64_t p = 2; p * p <= n; p++)
        if (n % p == 0) return p;
    return n;
}

/* Of n values in a, in order; scratch b. Returns which of the two holds the result. `roots`: of unity, all n.
 * A pass cuts n = p * m: y[s(p q + k) + r] = root(q k s) * sum over j of x[s(q + m j) + r] * root(j k n / p), then m is left. */
static complex *transform(const complex *roots, complex *a, complex *b, int64_t total) {
    for (int64_t n = total, s = 1; n > 1;) {
        const int64_t p = least_factor(n), m = n / p;
        for (int64_t q = 0; q < m; q++)
            for (int64_t k = 0; k < p; k++) {
                const complex twiddle = roots[q * k * s % total];
                for (int64_t r = 0; r < s; r++) {
                    complex sum = {0, 0};
                    for (int64_t j = 0; j < p; j++) {
                        const complex v = times(a[s * (q + m * j) + r], roots[j * k % p * (total / p)]);
                        sum.re += v.re, sum.im += v.im;
                    }
                    b[s * (p * q + k) + r] = times(sum, twiddle);
                }
            }
        complex *t = a;
        a = b, b = t;
        n = m, s *= p;
    }
    return a;
}

/* One integer that plan waited for; `otherwise` where it is left out. */
static bool read_one(const wisp_tensor *t, int64_t *value) {
    if (!t) return true;
    if (!wisp_is_integers(t) || t->count != 1) return false;
    *value = wisp_integer_at(t, 0);
    return true;
}

static int plan_dft(wisp_call *call) {
    enum { LONGEST = 1 << 28 };
    const wisp_DFT_params *p = WISP_PARAMS(call, DFT);
    dft_plan *plan = call->plan;
    int status = wisp_check_operands(call, 1, 3, 1);
    if (status || (status = wisp_wait_for(call, 1, 2))) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!WISP_FLOAT || (x->dtype != WISP_F32 && x->dtype != WISP_F64) || x->layout != WISP_LAYOUT_PLAIN)
        return wisp_call_fail_value(call, WISP_UNSUPPORTED, "elements of dtype", x->dtype);
    int64_t at = p->axis, dims[WISP_MAX_RANK];
    if (!read_one(wisp_input(call, 2), &at)) return wisp_call_fail(call, WISP_BAD_SHAPE, "the axis must be one integer");
    const int axis = wisp_axis(at, x->rank);
    if (axis < 0 || axis == x->rank - 1) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "no axis of numbers:", at);
    const bool real_result = p->inverse && p->onesided;
    const int32_t parts = x->dims[x->rank - 1];
    int64_t length = real_result ? 2 * ((int64_t)x->dims[axis] - 1) : x->dims[axis];
    if (!read_one(wisp_input(call, 1), &length)) return wisp_call_fail(call, WISP_BAD_SHAPE, "the length must be one integer");
    if (parts < 1 || parts > 2) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "numbers have 1 or 2 parts, not", parts);
    if (length < 1 || length > LONGEST) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "no transform has the length", length);
    const int64_t kept = p->onesided && !p->inverse ? length / 2 + 1 : length, most = real_result ? length / 2 + 1 : length;
    for (int i = 0; i < x->rank; i++) dims[i] = i == axis ? kept : i == x->rank - 1 ? 1 + !real_result : x->dims[i];
    if ((status = wisp_set_output_wide(call, 0, x->dtype, x->rank, dims))) return status;
    *plan = (dft_plan){.length = length,
                       .kept = kept,
                       .size = x->dims[axis] < most ? x->dims[axis] : most,
                       .x_parts = parts,
                       .y_parts = (int32_t)dims[x->rank - 1],
                       .inner = (int64_t)wisp_extent(x->dims, axis + 1, x->rank - 1),
                       .x_step = x->dims[axis],
                       .y_step = kept,
                       .inverse = p->inverse != 0,
                       .onesided = real_result};
    wisp_need_scratch(call, (uint64_t)length * sizeof(complex), 2 * (uint64_t)length * sizeof(complex));
    wisp_set_work(call, (int64_t)wisp_extent(x->dims, 0, axis) * plan->inner, wisp_move_grain(32 * length), 1);
    return WISP_OK;
}

static int begin_dft(wisp_call *call) {
    const dft_plan *p = call->plan;
    complex *roots = (complex *)(void *)call->shared;
    for (int64_t k = 0; k < p->length; k++) {
        roots[k] = turn(k, p->length);
        if (!p->inverse) roots[k].im = -roots[k].im;
    }
    return WISP_OK;
}

static double value_at(const wisp_tensor *x, int64_t i) {
    return x->dtype == WISP_F64 ? ((const double *)x->data)[i] : (double)((const float *)x->data)[i];
}

static void store_at(const wisp_tensor *y, int64_t i, double value) {
    if (y->dtype == WISP_F64)
        ((double *)y->data)[i] = value;
    else
        ((float *)y->data)[i] = (float)value;
}

static void range_dft(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const dft_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const double factor = p->inverse ? 1 / (double)p->length : 1;
    complex *a = wisp_scratch(call, thread), *b = a + p->length;
    for (int64_t i = begin; i < end; i++) {
        const int64_t outer = i / p->inner, inner = i % p->inner;
        memset(a, 0, (size_t)p->length * sizeof *a);
        for (int64_t k = 0; k < p->size; k++) {
            const int64_t at = ((outer * p->x_step + k) * p->inner + inner) * p->x_parts;
            a[k] = (complex){value_at(x, at), p->x_parts > 1 ? value_at(x, at + 1) : 0};
            if (p->onesided && k && k < p->length - k) a[p->length - k] = (complex){a[k].re, -a[k].im};
        }
        const complex *r = transform((const complex *)(const void *)call->shared, a, b, p->length);
        for (int64_t k = 0; k < p->kept; k++) {
            const int64_t at = ((outer * p->y_step + k) * p->inner + inner) * p->y_parts;
            store_at(y, at, r[k].re * factor);
            if (p->y_parts > 1) store_at(y, at + 1, r[k].im * factor);
        }
    }
}

const wisp_operator wisp_op_DFT = {.plan = plan_dft, .begin = begin_dft, .range = range_dft, .plan_size = sizeof(dft_plan)};
