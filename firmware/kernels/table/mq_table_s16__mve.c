/* Four values at a time by gather.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_table.h"

#include "mq_mve_lookup.h"

void mq_table_s16(const int16_t *x, int16_t *y, uint32_t n, const int16_t *table) {
    for (uint32_t fours = n >> 2; fours; fours--) {
        vstrhq_s32(y, mq_lookup_s32(vldrhq_s32(x), table));
        x += 4;
        y += 4;
    }
    if (n & 3u) {
        const mve_pred16_t some = vctp32q(n & 3u);
        vstrhq_p_s32(y, mq_lookup_s32(vldrhq_z_s32(x, some), table), some);
    }
}
