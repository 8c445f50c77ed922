/* QuantizeLinear and DequantizeLinear: one scale and zero point for the tensor. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "../op.h"

enum { BLOCK = 4096 /* values of an item; a multiple of 64, so that threads do not share cache lines */, GRAIN = 4 };

/* u8 is s8 moved by 128: the top bit turned. */
static void flip_top_bit(uint8_t *to, const uint8_t *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = from[i] ^ 0x80;
}

static size_t length_of(const wisp_tensor *t, int64_t begin, int64_t end) {
    const int64_t stop = end * BLOCK < (int64_t)t->count ? end * BLOCK : (int64_t)t->count;
    return (size_t)(stop - begin * BLOCK);
}

static int check_quantized(wisp_call *call, const wisp_tensor *q) {
    if (q->dtype != WISP_S8 && q->dtype != WISP_U8) return wisp_call_fail(call, WISP_UNSUPPORTED, "the quantized dtype must be s8 or u8");
    int32_t low = q->dtype == WISP_S8 ? -128 : 0;
    if (!(q->scale >= 1e-37f) || q->zero_point < low || q->zero_point > low + 255)
        return wisp_call_fail(call, WISP_BAD_FILE, "scale or zero point of the quantized tensor out of range");
    return WISP_OK;
}

static int set_output(wisp_call *call, int dtype) {
    const wisp_tensor *x = wisp_input(call, 0);
    wisp_set_work(call, ((int64_t)x->count + BLOCK - 1) / BLOCK, GRAIN, 1);
    return wisp_set_output(call, 0, dtype, x->rank, x->dims);
}

typedef struct quantize_plan {
    wisp_quantize_s8_fn *quantize;
    float inverse_scale;
    int32_t zero_point; /* as s8 */
} quantize_plan;

static void range_quantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const quantize_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    int8_t *out = (int8_t *)y->data + begin * BLOCK;
    const size_t n = length_of(x, begin, end);
    (void)thread;
    p->quantize((const float *)x->data + begin * BLOCK, p->inverse_scale, p->zero_point, out, n);
    if (y->dtype == WISP_U8) flip_top_bit((uint8_t *)out, (const uint8_t *)out, n);
}

static int plan_quantize(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *y = wisp_output(call, 0);
    if (wisp_input(call, 0)->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "takes f32");
    if ((status = check_quantized(call, y))) return status;
    *(quantize_plan *)call->plan =
        (quantize_plan){WISP_KERNEL(call, quantize_s8), 1.0f / y->scale, y->zero_point - (y->dtype == WISP_U8 ? 128 : 0)};
    return set_output(call, y->dtype);
}

const wisp_operator wisp_op_QuantizeLinear = {.plan = plan_quantize, .range = range_quantize, .plan_size = sizeof(quantize_plan)};

typedef struct dequantize_plan {
    wisp_dequantize_s8_fn *dequantize;
} dequantize_plan;

static void range_dequantize(const wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    const dequantize_plan *p = call->plan;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int8_t *from = (const int8_t *)x->data + begin * BLOCK;
    float *to = (float *)y->data + begin * BLOCK;
    const size_t n = length_of(x, begin, end);
    (void)thread;
    if (x->dtype == WISP_S8) {
        p->dequantize(from, x->scale, x->zero_point, to, n);
        return;
    }
    int8_t block[256];
    for (size_t i = 0; i < n; i += sizeof block) {
        size_t some = n - i < sizeof block ? n - i : sizeof block;
        flip_top_bit((uint8_t *)block, (const uint8_t *)from + i, some);
        p->dequantize(block, x->scale, x->zero_point - 128, to + i, some);
    }
}

static int plan_dequantize(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status || (status = check_quantized(call, wisp_input(call, 0)))) return status;
    ((dequantize_plan *)call->plan)->dequantize = WISP_KERNEL(call, dequantize_s8);
    return set_output(call, WISP_F32);
}

const wisp_operator wisp_op_DequantizeLinear = {.plan = plan_dequantize, .range = range_dequantize, .plan_size = sizeof(dequantize_plan)};
