/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

void mq_reduce_max_s8(const int8_t *x, int8_t *y, uint32_t outer, uint32_t count, uint32_t inner) {
    for (uint32_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < inner; i++) {
            int8_t found = x[0];
            for (uint32_t k = 1; k < count; k++) {
                const int8_t v = x[k * inner];
                found = v > found ? v : found;
            }
            *y++ = found;
            x++;
        }
        x += (count - 1u) * inner;
    }
}
