/* Maximum over rows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "mve.h"

void wisp_max_s8_mve(const int8_t *const *rows, int32_t count, int32_t c, int8_t *out) {
    for (int32_t i = 0; i < c; i += 16) {
        const mve_pred16_t tail = vctp8q((uint32_t)(c - i));
        int8x16_t y = vldrbq_z_s8(rows[0] + i, tail);
        for (int32_t t = 1; t < count; t++) y = vmaxq_s8(y, vldrbq_z_s8(rows[t] + i, tail));
        vstrbq_p_s8(out + i, y, tail);
    }
}
