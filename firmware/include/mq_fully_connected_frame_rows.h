/* The fully connected layers with a scale found for each row of x in each frame, for any way to multiply rows, as
 * mq_fully_connected_rows.h. MQ_STORE makes the stored value of an f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

void MQ_FULLY_CONNECTED(const int8_t *x, const float *x_scale, const int8_t *w, MQ_VALUE *y,
                        const mq_fully_connected_scaled_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const float step = x_scale[r];
        const mq_vector_s8 v = mq_vector_of_s8(x, p->inputs);
        const mq_weights *block = mq_rows_from(w, 0, 0, p->outputs, p->inputs);
        for (uint32_t o = 0; o < p->outputs;) {
            int32_t sums[4];
            block = mq_rows_s8(&v, block, p->outputs - o, sums);
            const uint32_t end = p->outputs - o < 4u ? p->outputs : o + 4u;
            for (const int32_t *sum = sums; o < end; o++) {
                float real = (float)*sum++ * (p->scale[o] * step) + p->bias[o];
                real = real < p->low ? p->low : real;
                real = real > p->high ? p->high : real;
                *y++ = MQ_STORE(real);
            }
        }
        x += p->inputs;
    }
}
