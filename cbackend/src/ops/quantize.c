/* QuantizeLinear and DequantizeLinear: one scale and zero point for the tensor. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "../op.h"

enum { BLOCK = 4096 }; /* values of an item; a multiple of 64, so that threads do not share cache lines */

static int64_t begin_of(int64_t item) {
    return item * BLOCK;
}

static size_t length_of(const wisp_tensor *t, int64_t begin, int64_t end) {
    int64_t stop = begin_of(end) < (int64_t)t->count ? begin_of(end) : (int64_t)t->count;
    return (size_t)(stop - begin_of(begin));
}

static int64_t item_count(const wisp_tensor *t) {
    return ((int64_t)t->count + BLOCK - 1) / BLOCK;
}

/* u8 is s8 moved by 128: the top bit turned. */
static void flip_top_bit(uint8_t *to, const uint8_t *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = from[i] ^ 0x80;
}

static void quantize_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const bool u8 = y->dtype == WISP_U8;
    int8_t *out = (int8_t *)y->data + begin_of(begin);
    size_t n = length_of(x, begin, end);
    call->kernels->quantize_s8((const float *)x->data + begin_of(begin), 1.0f / y->scale, y->zero_point - (u8 ? 128 : 0), out, n);
    if (u8) flip_top_bit((uint8_t *)out, (const uint8_t *)out, n);
}

static int run_quantize(wisp_call *call) {
    wisp_parallel(call, item_count(wisp_input(call, 0)), 4, quantize_range);
    return WISP_OK;
}

static void dequantize_range(wisp_call *call, uint32_t thread, int64_t begin, int64_t end) {
    (void)thread;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    const int8_t *from = (const int8_t *)x->data + begin_of(begin);
    float *to = (float *)y->data + begin_of(begin);
    const size_t n = length_of(x, begin, end);
    if (x->dtype == WISP_S8) {
        call->kernels->dequantize_s8(from, x->scale, x->zero_point, to, n);
        return;
    }
    int8_t block[256];
    for (size_t i = 0; i < n; i += sizeof block) {
        size_t some = n - i < sizeof block ? n - i : sizeof block;
        flip_top_bit((uint8_t *)block, (const uint8_t *)from + i, some);
        call->kernels->dequantize_s8(block, x->scale, x->zero_point - 128, to + i, some);
    }
}

static int run_dequantize(wisp_call *call) {
    wisp_parallel(call, item_count(wisp_input(call, 0)), 4, dequantize_range);
    return WISP_OK;
}

static int check_quantized(wisp_call *call, const wisp_tensor *q) {
    if (q->dtype != WISP_S8 && q->dtype != WISP_U8) return wisp_call_fail(call, WISP_UNSUPPORTED, "the quantized dtype must be s8 or u8");
    int32_t low = q->dtype == WISP_S8 ? -128 : 0;
    if (!(q->scale >= 1e-37f) || q->zero_point < low || q->zero_point > low + 255)
        return wisp_call_fail(call, WISP_BAD_FILE, "scale or zero point of the quantized tensor out of range");
    return WISP_OK;
}

int wisp_prepare_QuantizeLinear(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0), *y = wisp_output(call, 0);
    if (!y || x->dtype != WISP_F32) return wisp_call_fail(call, WISP_UNSUPPORTED, "takes f32");
    if ((status = check_quantized(call, y))) return status;
    wisp_legacy_of(call)->run = run_quantize;
    return wisp_set_output(call, 0, y->dtype, x->rank, x->dims);
}

int wisp_prepare_DequantizeLinear(wisp_call *call) {
    int status = wisp_check_operands(call, 1, 1, 1);
    if (status) return status;
    const wisp_tensor *x = wisp_input(call, 0);
    if ((status = check_quantized(call, x))) return status;
    wisp_legacy_of(call)->run = run_dequantize;
    return wisp_set_output(call, 0, WISP_F32, x->rank, x->dims);
}

WISP_LEGACY(QuantizeLinear)
WISP_LEGACY(DequantizeLinear)
