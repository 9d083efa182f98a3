/* Packed rows, four at a time; mq_rows.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_float.h"
#include "mq_rows.h"

void mq_fully_connected_s8_frame_f16(const int8_t *x, const float *x_scale, const int8_t *w, mq_f16 *y,
                                     const mq_fully_connected_frame_params *p) {
    const float step = x_scale[0];
    for (uint32_t r = 0; r < p->rows; r++) {
        const mq_vector_s8 v = mq_vector_of_s8(x, p->inputs);
        const mq_word *block = (const mq_word *)w;
        for (uint32_t o = 0; o < p->outputs;) {
            int32_t sums[4];
            block = mq_rows_s8(&v, block, p->outputs - o, sums);
            const uint32_t end = p->outputs - o < 4u ? p->outputs : o + 4u;
            for (const int32_t *sum = sums; o < end; o++) {
                float real = (float)*sum++ * (p->scale[o] * step) + p->bias[o];
                real = real < p->low ? p->low : real;
                real = real > p->high ? p->high : real;
                *y++ = mq_f32_to_f16(real);
            }
        }
        x += p->inputs;
    }
}
