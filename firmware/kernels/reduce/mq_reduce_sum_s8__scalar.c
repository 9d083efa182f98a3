/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

#include "mq_fixed.h"

void mq_reduce_sum_s8(const int8_t *x, int8_t *y, const mq_reduce_sum_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            int32_t acc = p->bias;
            for (uint32_t k = 0; k < p->count; k++) {
                acc += x[k * p->inner];
            }
            *y++ = mq_sat_s8(p->y_zero + mq_requantise(acc, p->multiplier, p->shift));
            x++;
        }
        x += (p->count - 1u) * p->inner;
    }
}
