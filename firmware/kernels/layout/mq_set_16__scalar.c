/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_layout.h"

void mq_set_16(void *y, uint32_t bits, uint32_t n) {
    uint16_t *to = (uint16_t *)y;
    for (uint32_t i = 0; i < n; i++) {
        to[i] = (uint16_t)bits;
    }
}
