/* Pooling kernels: 128 channels at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hvx.h"

ALWAYS_INLINE void max_block(const int8_t *const *rows, int32_t count, int32_t at, size_t size, int full, int8_t *out) {
    vector best = full ? load(rows[0] + at) : load_bytes(rows[0] + at, size);
    for (int32_t t = 1; t < count; t++) best = Q6_Vb_vmax_VbVb(best, full ? load(rows[t] + at) : load_bytes(rows[t] + at, size));
    if (full)
        store(out + at, best);
    else
        store_bytes(out + at, best, 0, size);
}

void wisp_max_s8_hvx(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    int32_t at = 0;
    for (; at + BYTES <= c; at += BYTES) max_block(rows, count, at, BYTES, 1, out);
    if (at < c) max_block(rows, count, at, (size_t)(c - at), 0, out);
}

/* Sums of up to 256 rows fit 16 bits: 256 * -128 = -32768. */
enum { ROWS_16 = 256 };

ALWAYS_INLINE void sum_block(const int8_t *const *rows, int32_t count, int32_t at, size_t size, int full, int32_t *out) {
    const vector one = splat_s8(1), zero = Q6_V_vzero();
    vector_pair even = Q6_W_vcombine_VV(zero, zero), odd = even; /* words: channels 4i and 4i + 2, 4i + 1 and 4i + 3 */
    for (int32_t t = 0; t < count;) {
        const int32_t stop = count - t < ROWS_16 ? count : t + ROWS_16;
        vector_pair sum = Q6_W_vcombine_VV(zero, zero); /* halfwords: channels 2i, 2i + 1 */
        for (; t < stop; t++) sum = Q6_Wh_vmpyacc_WhVbVb(sum, full ? load(rows[t] + at) : load_bytes(rows[t] + at, size), one);
        even = Q6_Ww_vaddacc_WwVhVh(even, lo(sum), zero);
        odd = Q6_Ww_vaddacc_WwVhVh(odd, hi(sum), zero);
    }
    vector_pair low = interleave(lo(even), lo(odd), 4), high = interleave(hi(even), hi(odd), 4); /* 4i 4i+1, 4i+2 4i+3 */
    vector_pair first = interleave(lo(low), lo(high), 8), second = interleave(hi(low), hi(high), 8);
    const vector words[4] = {lo(first), hi(first), lo(second), hi(second)};
    out += at;
    for (size_t v = 0; v < 4 && v * 32 < size; v++) {
        size_t left = size - v * 32;
        if (left >= 32)
            store(out + v * 32, words[v]);
        else
            store_bytes(out + v * 32, words[v], 0, left * sizeof *out);
    }
}

void wisp_sum_s8_hvx(const int8_t *const *rows, int32_t count, int32_t c, int32_t *out) {
    int32_t at = 0;
    for (; at + BYTES <= c; at += BYTES) sum_block(rows, count, at, BYTES, 1, out);
    if (at < c) sum_block(rows, count, at, (size_t)(c - at), 0, out);
}
