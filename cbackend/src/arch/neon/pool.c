/* Pooling kernel: maximum of int8 rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "neon.h"

/* The last vector may overlap the one before: the output is apart from the inputs, so it is computed twice. */
void wisp_max_s8_neon(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    if (c < 16) {
        int8x16_t m = load_bytes(rows[0], (size_t)c);
        for (int32_t t = 1; t < count; t++) m = vmaxq_s8(m, load_bytes(rows[t], (size_t)c));
        store_bytes(out, m, (size_t)c);
        return;
    }
    for (int32_t i = 0; i < c; i += 16) {
        i = i < c - 16 ? i : c - 16;
        int8x16_t m = vld1q_s8(rows[0] + i);
        for (int32_t t = 1; t < count; t++) m = vmaxq_s8(m, vld1q_s8(rows[t] + i));
        vst1q_s8(out + i, m);
    }
}
