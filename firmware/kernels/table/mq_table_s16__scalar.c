/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_table.h"

#include "mq_fixed.h"

void mq_table_s16(const int16_t *x, int16_t *y, uint32_t n, const int16_t *table) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = mq_lookup(x[i], table);
    }
}
