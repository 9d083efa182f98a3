/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_softmax.h"

#include "mq_fixed.h"
#include "mq_fixed_functions.h"

void mq_softmax_s16(const int16_t *x, int16_t *y, const mq_softmax_s16_params *p) {
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
            const mq_factor scale = mq_reciprocal(sum);
            const int32_t multiplier = mq_mulhr(scale.multiplier, p->y_multiplier);
            const int32_t shift = mq_clamp(scale.shift + p->y_shift, -31, 31);
            for (uint32_t k = 0; k < p->count; k++) {
                const int32_t below = mq_requantise(largest - x[k * p->inner], p->multiplier, p->shift);
                const int32_t part = mq_requantise(mq_exp2_negative(below), multiplier, shift);
                y[k * p->inner] = mq_sat_s16(part);
            }
            x++;
            y++;
        }
        x += (p->count - 1u) * p->inner;
        y += (p->count - 1u) * p->inner;
    }
}
