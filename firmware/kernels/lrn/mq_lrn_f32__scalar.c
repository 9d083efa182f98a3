/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_lrn.h"

#include "mq_float.h"

/* What channel c of one place becomes; x is the place's first channel. */
static float normalised(const float *x, int32_t c, const mq_lrn_params *p) {
    const int32_t first = c > p->before ? c - p->before : 0;
    const int32_t last = c + p->after < p->channels ? c + p->after : p->channels - 1;
    float sum = 0.0f;
    for (int32_t k = first; k <= last; k++) {
        const float value = x[k * p->inner];
        sum += value * value;
    }
    return x[c * p->inner] * mq_pow(p->bias + p->scale * sum, -p->beta);
}

void mq_lrn_f32(const float *x, float *y, const mq_lrn_params *p) {
    for (int32_t b = 0; b < p->batch; b++) {
        for (int32_t c = 0; c < p->channels; c++) {
            for (int32_t i = 0; i < p->inner; i++) {
                *y++ = normalised(x + i, c, p);
            }
        }
        x += p->channels * p->inner;
    }
}
