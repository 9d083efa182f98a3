/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_masked_softmax.h"

#include "mq_float.h"

void mq_masked_softmax_f16(const mq_f16 *x, const uint8_t *keep, mq_f16 *y, const mq_masked_softmax_float_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const uint8_t *kept = keep + (r % p->period) * p->count;
        float largest = 0.0f;
        uint32_t found = 0;
        for (uint32_t k = 0; k < p->count; k++) {
            if (kept[k]) {
                const float v = mq_f16_to_f32(x[k]);
                largest = found == 0u || v > largest ? v : largest;
                found++;
            }
        }
        float sum = 0.0f;
        for (uint32_t k = 0; k < p->count; k++) {
            const float e = kept[k] ? mq_exp(mq_f16_to_f32(x[k]) - largest) : 0.0f;
            y[k] = mq_f32_to_f16(e);
            sum += e;
        }
        const float scale = found == 0u ? 0.0f : 1.0f / sum;
        for (uint32_t k = 0; k < p->count; k++) {
            y[k] = mq_f32_to_f16(found == 0u ? p->empty : mq_f16_to_f32(y[k]) * scale);
        }
        x += p->count;
        y += p->count;
    }
}
