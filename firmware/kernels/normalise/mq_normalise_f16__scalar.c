/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_normalise.h"

#include "mq_float.h"

void mq_normalise_f16(const mq_f16 *x, const float *gain, const float *bias, mq_f16 *y,
                      const mq_normalise_float_params *p) {
    const uint32_t count = p->channels * p->inner;
    uint32_t group = 0;
    for (uint32_t r = 0; r < p->rows; r++) {
        float mean = 0.0f;
        if (p->centre) {
            for (uint32_t i = 0; i < count; i++) {
                mean += mq_f16_to_f32(x[i]);
            }
            mean /= (float)count;
        }
        float square = 0.0f;
        for (uint32_t i = 0; i < count; i++) {
            const float d = mq_f16_to_f32(x[i]) - mean;
            square += d * d;
        }
        const float power = square / (float)count + p->epsilon;
        const float scale = power > 0.0f ? 1.0f / MQ_SQRT(power) : 0.0f;
        for (uint32_t c = 0; c < p->channels; c++) {
            const float g = scale * gain[group * p->channels + c];
            const float b = bias ? bias[group * p->channels + c] : 0.0f;
            for (uint32_t i = 0; i < p->inner; i++) {
                *y++ = mq_f32_to_f16((mq_f16_to_f32(*x++) - mean) * g + b);
            }
        }
        group = group + 1u < p->groups ? group + 1u : 0u;
    }
}
