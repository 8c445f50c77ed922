/* Quantize and Dequantize: scales and zero points are operands, for the tensor, along an axis or by blocks; all narrow dtypes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "narrow.h"

enum { CHUNK = 64, GRAIN = 16384 /* elements worth a thread */ };

/* The tensor is outer x extent x inner. Where a scale serves all of it, inner is its count. */
typedef struct scales_plan {
    int64_t inner, extent;
    int64_t block, blocks; /* block 0: a scale for each index of the axis */
} scales_plan;

/* ---- which scale */

/* Elements from i on have the scales at, at + step, ...; returns how many. */
static int64_t find_scales(const scales_plan *p, int64_t i, int64_t *at, int *step) {
    const int64_t inner = i % p->inner, row = i / p->inner, a = row % p->extent;
    if (!p->block) {
        *at = a, *step = p->inner == 1;
        return *step ? p->extent - a : p->inner - inner;
    }
    const int64_t rest = p->block - a % p->block;
    *at = (row / p->extent * p->blocks + a / p->block) * p->inner + inner, *step = p->inner != 1;
    return *step ? p->inner - inner : rest < p->extent - a ? rest : p->extent - a;
}

/* n elements of any dtype as double: exactly, up to 32 bits. */
static void load_numbers(int dtype, const void *x, size_t n, double *out) {
    const int kind = wisp_element_kind(dtype);
    wide w[CHUNK];
    wisp_load_elements(dtype, x, n, w);
    for (size_t i = 0; i < n; i++) out[i] = kind == WIDE_FLOAT ? w[i].f : kind == WIDE_SIGNED ? (double)w[i].s : (double)w[i].u;
}

/* The scales and zero points of at most CHUNK elements from i on. Returns how many these are. */
static size_t load_scales(const wisp_call *call, int64_t i, int64_t end, float *scale, double *zero) {
    const wisp_tensor *scales = wisp_input(call, 1), *zeros = wisp_input(call, 2);
    int64_t at, n = end - i < CHUNK ? end - i : CHUNK;
    int step;
    const int64_t run = find_scales(call->plan, i, &at, &step);
    if (run < n) n = run;
    const size_t count = (size_t)n, some = step ? count : 1;
    if (zeros) load_numbers(zeros->dtype, (const uint8_t *)zeros->data + (size_t)at * wisp_dtype_size(zeros->dtype), some, zero);
    for (size_t k = 0; k < CHUNK; k++) { /* the rest with what does no harm */
        const size_t from = step && k < count ? k : 0;
        scale[k] = ((const float *)scales->data)[(size_t)at + from];
        zero[k] = zeros ? zero[from] : 0;
    }
    return count;
}

/* ---- checks */

static int plan_scales(wisp_call *call, const wisp_tensor *quantized, int32_t axis, int32_t block) {
    const wisp_tensor *x = wisp_input(call, 0), *scales = wisp_input(call, 1), *zeros = wisp_input(call, 2);
    scales_plan *p = call->plan;
    if (scales->dtype != WISP_F32 || (zeros && zeros->dtype != quantized->dtype))
        return wisp_call_fail(call, WISP_UNSUPPORTED, "scales must be f32, zero points have the quantized dtype");
    if (zeros && zeros->count != scales->count) return wisp_call_fail(call, WISP_BAD_SHAPE, "scales and zero points differ in number");
    if (scales->count == 1) {
        *p = (scales_plan){.inner = x->count ? (int64_t)x->count : 1, .extent = 1};
        return WISP_OK;
    }
    const int at = wisp_axis(axis, x->rank);
    if (at < 0) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "the input has no axis", axis);
    if (block < 0) return wisp_call_fail_value(call, WISP_BAD_FILE, "the block is", block);
    const int64_t extent = x->dims[at], blocks = block ? (extent + block - 1) / block : 0;
    bool fits = scales->rank == (block ? x->rank : 1);
    for (int i = 0; fits && i < scales->rank; i++) fits = scales->dims[i] == (!block ? extent : i == at ? blocks : x->dims[i]);
    if (!fits) return wisp_call_fail_value(call, WISP_BAD_SHAPE, "the scales do not fit the input along axis", at);
    *p = (scales_plan){(int64_t)wisp_extent(x->dims, at + 1, x->rank), extent, block, blocks};
    return WISP_OK;
}

/* Integers of at most `bits` bits, floats of 8 bits or less. */
static int check_quantized(wisp_call *call, int dtype, int bits) {
    const bool number = wisp_element_kind(dtype) == WIDE_FLOAT ? wisp_is_narrow_float(dtype) && wisp_dtype_size(dtype) == 1
                                                               : dtype != WISP_BOOL && wisp_integer_bits(dtype) <= bits;
    return number ? WISP_OK : wisp_call_fail_value(call, WISP_UNSUPPORTED, "quantized elements cannot have dtype", dtype);
}

static int set_output(wisp_call *call, int dtype) {
    const wisp_tensor *x = wisp_input(call, 0);
    wisp_set_work(call, (int64_t)x->count, GRAIN, 1);
    return wisp_set_output(call, 0, dtype, x->rank, x->dims);
}

/* ---- Quantize */

/* To integers of at most 16 bits: all sums are exact in f32. */
static void round_integers(int dtype, const float *x, const double *zero, void *y, size_t n) {
    const float magic = 12582912; /* 1.5 * 2^23: adding it rounds to an integer, to even, what is within 2^22 */
    const int bits = wisp_integer_bits(dtype);
    const float lo = wisp_element_kind(dtype) == WIDE_SIGNED ? -(float)(1 << (bits - 1)) : 0, hi = lo + (float)((1 << bits) - 1);
    const int32_t mask = (1 << bits) - 1;
    int32_t q[CHUNK];
    for (int k = 0; k < CHUNK; k++) {
        float r = x[k] > -2e5f ? x[k] : -2e5f; /* NaN as well */
        r = r < 2e5f ? r : 2e5f;
        r = (r + magic) - magic + (float)zero[k];
        r = r > lo ? r : lo;
        q[k] = (int32_t)(r < hi ? r : hi);
    }
    for (size_t k = 0; k < n; k++) {
        if (x[k] != x[k]) q[k] = (int32_t)zero[k];
        if (bits == 16)
            ((uint16_t *)y)[k] = (uint16_t)q[k];
        else
            ((uint8_t *)y)[k] = (uint8_t)(q[k] & mask);
    }
}

static void round_to(int precision, float *x) {
    uint16_t half[CHUNK];
    if (precision == WISP_F16) {
        wisp_f32_to_f16(x, CHUNK, half);
        wisp_f16_to_f32(half, CHUNK, x);
    } else if (precision == WISP_BF16) {
        wisp_f32_to_bf16(x, CHUNK, half);
        wisp_bf16_to_f32(half, CHUNK, x);
    }
}

static void range_quantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_Quantize_params *p = WISP_PARAMS(call, Quantize);
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const wisp_narrowing how = {.unsaturated = p->unsaturated != 0};
    const size_t size = wisp_dtype_size(y->dtype);
    size_t n;
    (void)thread;
    for (int64_t i = begin; i < end; i += (int64_t)n) {
        float scale[CHUNK], q[CHUNK] = {0};
        double zero[CHUNK];
        uint8_t *to = (uint8_t *)y->data + (size_t)i * size;
        n = load_scales(call, i, end, scale, zero);
        for (size_t k = 0; k < n; k++) q[k] = ((const float *)x->data)[i + (int64_t)k];
        for (int k = 0; k < CHUNK; k++) q[k] /= scale[k];
        round_to(p->precision, q);
        if (wisp_element_kind(y->dtype) != WIDE_FLOAT)
            round_integers(y->dtype, q, zero, to, n);
        else
            for (size_t k = 0; k < n; k++) to[k] = (uint8_t)wisp_narrow(y->dtype, (double)q[k] + zero[k], how);
    }
}

static int plan_quantize(wisp_call *call) {
    const wisp_Quantize_params *p = WISP_PARAMS(call, Quantize);
    int status = wisp_check_operands(call, 2, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!WISP_FLOAT || x->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "takes f32");
    if (p->precision != WISP_F32 && p->precision != WISP_F16 && p->precision != WISP_BF16)
        return wisp_call_fail_value(call, WISP_BAD_FILE, "cannot divide in dtype", p->precision);
    if ((status = check_quantized(call, y->dtype, 16)) || (status = plan_scales(call, y, p->axis, p->block))) return status;
    return set_output(call, y->dtype);
}

const wisp_operator wisp_op_Quantize = {.plan = plan_quantize, .range = range_quantize, .plan_size = sizeof(scales_plan)};

/* ---- Dequantize */

static void range_dequantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const size_t size = wisp_dtype_size(x->dtype);
    size_t n;
    (void)thread;
    for (int64_t i = begin; i < end; i += (int64_t)n) {
        float scale[CHUNK], *to = (float *)y->data + i;
        double zero[CHUNK], q[CHUNK];
        n = load_scales(call, i, end, scale, zero);
        load_numbers(x->dtype, (const uint8_t *)x->data + (size_t)i * size, n, q);
        for (size_t k = 0; k < n; k++) to[k] = (float)(q[k] - zero[k]) * scale[k];
    }
}

static int plan_dequantize(wisp_call *call) {
    const wisp_Dequantize_params *p = WISP_PARAMS(call, Dequantize);
    int status = wisp_check_operands(call, 2, 3, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if (!WISP_FLOAT) return wisp_call_fail(call, WISP_UNSUPPORTED, "gives f32, which this build lacks");
    if ((status = check_quantized(call, x->dtype, 32)) || (status = plan_scales(call, x, p->axis, p->block))) return status;
    return set_output(call, WISP_F32);
}

const wisp_operator wisp_op_Dequantize = {.plan = plan_dequantize, .range = range_dequantize, .plan_size = sizeof(scales_plan)};
