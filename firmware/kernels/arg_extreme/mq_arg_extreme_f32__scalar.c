/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_arg_extreme.h"

void mq_arg_extreme_f32(const float *x, int64_t *y, const mq_arg_extreme_params *p) {
    const float sign = (float)p->sign;
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            const float *at = x + o * p->count * p->inner + i;
            float best = sign * *at;
            uint32_t place = 0;
            for (uint32_t n = 1; n < p->count; n++) {
                at += p->inner;
                const float value = sign * *at;
                if (value > best || (p->last && value >= best)) {
                    best = value;
                    place = n;
                }
            }
            *y++ = (int64_t)place;
        }
    }
}
