/* Rescaled sum: both products of an element in one smlad. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "dsp.h"

ALWAYS_INLINE int8_t rescale(const wisp_add_s8 *p, uint32_t ab, int32_t multipliers) {
    return (int8_t)clamp_s32(__smlad((int16x2_t)ab, multipliers, p->bias) >> p->shift, p->lo, p->hi);
}

void wisp_add_s8_dsp(const wisp_add_s8 *p, const int8_t *a, int step_a, const int8_t *b, int step_b, int8_t *y, size_t n) {
    const int32_t multipliers = (int32_t)((uint32_t)p->multiplier_a & 0xffff) | (int32_t)((uint32_t)p->multiplier_b << 16);
    const wisp_add_s8 local = *p;
    size_t i = 0;
    if (step_a && step_b)
        for (; i + 4 <= n; i += 4, a += 4, b += 4, y += 4) {
            const uint32_t u = load_word(a), v = load_word(b);
            const uint32_t even_u = (uint32_t)even_bytes(u), odd_u = (uint32_t)odd_bytes(u);
            const uint32_t even_v = (uint32_t)even_bytes(v), odd_v = (uint32_t)odd_bytes(v);
            y[0] = rescale(&local, (even_u & 0xffff) | even_v << 16, multipliers);
            y[1] = rescale(&local, (odd_u & 0xffff) | odd_v << 16, multipliers);
            y[2] = rescale(&local, even_u >> 16 | (even_v & 0xffff0000), multipliers);
            y[3] = rescale(&local, odd_u >> 16 | (odd_v & 0xffff0000), multipliers);
        }
    for (; i < n; i++, a += step_a, b += step_b) *y++ = rescale(&local, ((uint32_t)*a & 0xffff) | (uint32_t)*b << 16, multipliers);
}
