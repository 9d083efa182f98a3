/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_rescale.h"

#include "mq_float.h"

void mq_rescale_f16(const int16_t *x, const float *x_scale, mq_f16 *y, const mq_rescale_params *p) {
    for (uint32_t n = 0; n < p->batch; n++) {
        for (uint32_t r = 0; r < p->rows; r++) {
            const float factor = p->factor[r] * x_scale[0];
            const float bias = p->bias[r];
            for (uint32_t i = 0; i < p->columns; i++) {
                float real = (float)*x++ * factor + bias;
                real = real < p->low ? p->low : real;
                real = real > p->high ? p->high : real;
                *y++ = mq_f32_to_f16(real);
            }
        }
    }
}
