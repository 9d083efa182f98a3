/* Sixteen values at a time by gather; x + 128 is x with its sign bit inverted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_table.h"

#include "mq_mve.h"

void mq_table_s8(const int8_t *x, int8_t *y, uint32_t n, const int8_t *table) {
    const uint8_t *bytes = (const uint8_t *)x;
    const uint8x16_t sign = vdupq_n_u8(128);
    for (uint32_t chunks = n >> 4; chunks; chunks--) {
        vstrbq_s8(y, vldrbq_gather_offset_s8(table, veorq_u8(vldrbq_u8(bytes), sign)));
        bytes += 16;
        y += 16;
    }
    if (n & 15u) {
        const mve_pred16_t some = vctp8q(n & 15u);
        const uint8x16_t at = veorq_u8(vldrbq_z_u8(bytes, some), sign);
        vstrbq_p_s8(y, vldrbq_gather_offset_s8(table, at), some);
    }
}
