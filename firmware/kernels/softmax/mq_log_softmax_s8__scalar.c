/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

void mq_log_softmax_s8(const int8_t *x, int8_t *y, const mq_log_softmax_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            int32_t largest = x[0];
            for (uint32_t k = 1; k < p->count; k++) {
                const int32_t v = x[k * p->inner];
                largest = v > largest ? v : largest;
            }
            int64_t sum = 0;
            for (uint32_t k = 0; k < p->count; k++) {
                const int32_t below = mq_requantise(largest - x[k * p->inner], p->multiplier, p->shift);
                sum += mq_exp2_negative(below);
            }
            const int32_t log = mq_log2(sum) - (30 << 24); /* the sum is in Q30 */
            const int32_t offset = mq_requantise(log, p->log_multiplier, p->log_shift);
            for (uint32_t k = 0; k < p->count; k++) {
                const int32_t below = mq_requantise(largest - x[k * p->inner], p->x_multiplier, p->x_shift);
                y[k * p->inner] = mq_sat_s8(p->y_zero - mq_rshr(below + offset, p->fraction));
            }
            x++;
            y++;
        }
        x += (p->count - 1u) * p->inner;
        y += (p->count - 1u) * p->inner;
    }
}
