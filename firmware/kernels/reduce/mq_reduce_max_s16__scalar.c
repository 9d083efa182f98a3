/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

void mq_reduce_max_s16(const int16_t *x, int16_t *y, uint32_t outer, uint32_t count, uint32_t inner) {
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            int16_t found = x[0];
            for (uint32_t k = 1; k < count; k++) {
                const int16_t v = x[k * inner];
                found = v > found ? v : found;
            }
            *y++ = found;
            x++;
        }
        x += (count - 1u) * inner;
    }
}
