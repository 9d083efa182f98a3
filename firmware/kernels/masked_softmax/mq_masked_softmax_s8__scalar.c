/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_masked_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

void mq_masked_softmax_s8(const int8_t *x, const uint8_t *keep, int8_t *y, const mq_masked_softmax_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const uint8_t *kept = keep + (r % p->period) * p->count;
        int32_t largest = INT8_MIN;
        uint32_t found = 0;
        for (uint32_t k = 0; k < p->count; k++) {
            if (kept[k]) {
                largest = x[k] > largest ? x[k] : largest;
                found++;
            }
        }
        int64_t sum = found == 0u ? 1 : 0;
        for (uint32_t k = 0; k < p->count; k++) {
            if (kept[k]) {
                sum += mq_exp2_negative(mq_requantise(largest - x[k], p->multiplier, p->shift));
            }
        }
        const mq_factor scale = mq_reciprocal(sum);
        const int32_t multiplier = mq_mulhr(scale.multiplier, p->y_multiplier);
        const int32_t shift = mq_clamp(scale.shift + p->y_shift, -31, 31);
        const int32_t rest = found == 0u ? p->empty : p->y_zero;
        for (uint32_t k = 0; k < p->count; k++) {
            int32_t value = rest;
            if (kept[k]) {
                const int32_t below = mq_requantise(largest - x[k], p->multiplier, p->shift);
                value = p->y_zero + mq_requantise(mq_exp2_negative(below), multiplier, shift);
            }
            y[k] = mq_sat_s8(value);
        }
        x += p->count;
        y += p->count;
    }
}
