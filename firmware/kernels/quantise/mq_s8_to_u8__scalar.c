/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_quantise.h"

void mq_s8_to_u8(const int8_t *x, uint8_t *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        y[i] = (uint8_t)(x[i] + 128);
    }
}
