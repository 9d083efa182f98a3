/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

void mq_u8_to_s8(const uint8_t *x, int8_t *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = (int8_t)(x[i] - 128);
    }
}
