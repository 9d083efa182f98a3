/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_reduce.h"

void mq_reduce_f32(const float *x, float *y, const mq_reduce_params *p, mq_fold fold, mq_function finish) {
    for (uint32_t o = 0; o < p->outer; o++) {
        for (uint32_t i = 0; i < p->inner; i++) {
            float acc = p->start;
            for (uint32_t k = 0; k < p->count; k++) {
                acc = fold(acc, x[k * p->inner]);
            }
            acc *= p->factor;
            *y++ = finish ? finish(acc, NULL) : acc;
            x++;
        }
        x += (p->count - 1u) * p->inner;
    }
}
