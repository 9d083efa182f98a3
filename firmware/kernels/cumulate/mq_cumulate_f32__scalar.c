/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_cumulate.h"

void mq_cumulate_f32(const float *x, float *y, const mq_cumulate_params *p) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            float total = p->product ? 1.0f : 0.0f;
            for (uint32_t n = 0; n < p->count; n++) {
                const uint32_t place = p->reverse ? p->count - 1 - n : n;
                const uint32_t at = (o * p->count + place) * p->inner + i;
                const float before = total;
                const float value = x[at];
                total = p->product ? total * value : total + value;
                y[at] = p->exclusive ? before : total;
            }
        }
    }
}
