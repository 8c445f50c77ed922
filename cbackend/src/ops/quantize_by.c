/* Quantize and Dequantize: scales and zero points are operands, for the tensor, along an axis or by blocks; all narrow dtypes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

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

/* n <= CHUNK elements of any dtype as f32; integers of up to 24 bits exactly. */
static void load_numbers(int dtype, const void *x, size_t n, float *out) {
    const int kind = wisp_element_kind(dtype);
    wide w[CHUNK];
    if (dtype == WISP_U8) {
        for (size_t i = 0; i < n; i++) out[i] = ((const uint8_t *)x)[i];
    } else if (dtype == WISP_S8) {
        for (size_t i = 0; i < n; i++) out[i] = ((const int8_t *)x)[i];
    } else {
        wisp_load_elements(dtype, x, n, w);
        for (size_t i = 0; i < n; i++) out[i] = kind == WIDE_FLOAT ? (float)w[i].f : kind == WIDE_SIGNED ? (float)w[i].s : (float)w[i].u;
    }
}

/* The scales and zero points of CHUNK elements, of which `some` differ and stand at `at`; the last is that of all others. */
typedef struct scales {
    float scale[CHUNK], zero[CHUNK];
} scales;

static void load_scales(const wisp_call *call, int64_t at, size_t some, scales *s) {
    const wisp_tensor *scale = wisp_input(call, 1), *zero = wisp_input(call, 2);
    memcpy(s->scale, (const float *)scale->data + at, some * sizeof(float));
    if (zero)
        load_numbers(zero->dtype, (const uint8_t *)zero->data + (size_t)at * wisp_dtype_size(zero->dtype), some, s->zero);
    else
        memset(s->zero, 0, some * sizeof(float));
    for (size_t k = some; k < CHUNK; k++) s->scale[k] = s->scale[some - 1], s->zero[k] = s->zero[some - 1];
}

/* n <= CHUNK elements from i on. */
typedef void chunk_fn(const wisp_call *call, int64_t i, size_t n, const scales *s);

ALWAYS_INLINE void for_chunks(const wisp_call *call, int64_t begin, int64_t end, chunk_fn *chunk) {
    scales s;
    for (int64_t i = begin, at; i < end;) {
        int step;
        const int64_t run = find_scales(call->plan, i, &at, &step), stop = run < end - i ? i + run : end;
        if (!step) load_scales(call, at, 1, &s);
        for (; i < stop; i += CHUNK) {
            const size_t n = stop - i < CHUNK ? (size_t)(stop - i) : CHUNK;
            if (step) load_scales(call, at, n, &s), at += CHUNK;
            chunk(call, i, n, &s);
        }
        i = stop;
    }
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

/* To integers of at most 16 bits: all sums are exact in f32. Loops of fixed length, which compilers vectorise at -O2. */
static void round_integers(int dtype, const float *x, const float *zero, void *y, size_t n) {
    const float magic = 12582912; /* 1.5 * 2^23: adding it rounds to an integer, to even, what is within 2^22 */
    const int bits = wisp_integer_bits(dtype);
    const float lo = wisp_element_kind(dtype) == WIDE_SIGNED ? -(float)(1 << (bits - 1)) : 0, hi = lo + (float)((1 << bits) - 1);
    int32_t q[CHUNK];
    uint16_t words[CHUNK];
    uint8_t bytes[CHUNK];
    for (int k = 0; k < CHUNK; k++) {
        float r = x[k] == x[k] ? x[k] : 0;
        r = r > -2e5f ? r : -2e5f;
        r = r < 2e5f ? r : 2e5f;
        r = (r + magic) - magic + zero[k];
        r = r > lo ? r : lo;
        q[k] = (int32_t)(r < hi ? r : hi);
    }
    if (bits == 16) {
        for (int k = 0; k < CHUNK; k++) words[k] = (uint16_t)q[k];
        memcpy(y, words, n * 2);
    } else {
        const int32_t mask = (1 << bits) - 1;
        for (int k = 0; k < CHUNK; k++) bytes[k] = (uint8_t)(q[k] & mask);
        memcpy(y, bytes, n);
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

static void quantize_chunk(const wisp_call *call, int64_t i, size_t n, const scales *s) {
    const wisp_Quantize_params *p = WISP_PARAMS(call, Quantize);
    const wisp_tensor *y = wisp_output(call, 0);
    uint8_t *to = (uint8_t *)y->data + (size_t)i * wisp_dtype_size(y->dtype);
    float q[CHUNK] = {0};
    memcpy(q, (const float *)wisp_input(call, 0)->data + i, n * sizeof *q);
    for (int k = 0; k < CHUNK; k++) q[k] /= s->scale[k];
    round_to(p->precision, q);
    if (wisp_element_kind(y->dtype) != WIDE_FLOAT)
        round_integers(y->dtype, q, s->zero, to, n);
    else
        for (size_t k = 0; k < n; k++)
            to[k] = (uint8_t)wisp_narrow(y->dtype, (double)q[k] + (double)s->zero[k], (wisp_narrowing){.unsaturated = p->unsaturated != 0});
}

static void range_quantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    for_chunks(call, begin, end, quantize_chunk);
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

static void dequantize_chunk(const wisp_call *call, int64_t i, size_t n, const scales *s) {
    const wisp_tensor *x = wisp_input(call, 0);
    float q[CHUNK] = {0};
    load_numbers(x->dtype, (const uint8_t *)x->data + (size_t)i * wisp_dtype_size(x->dtype), n, q);
    for (int k = 0; k < CHUNK; k++) q[k] = (q[k] - s->zero[k]) * s->scale[k];
    memcpy((float *)wisp_output(call, 0)->data + i, q, n * sizeof *q);
}

static void range_dequantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    for_chunks(call, begin, end, dequantize_chunk);
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
