/* The body of mq_fully_connected_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_FULLY_CONNECTED_W8_H
#define MQ_FULLY_CONNECTED_W8_H

#include "mq_fully_connected.h"
#include "mq_w8.h"

void MQ_KERNEL(const mq_real *x, const int8_t *w, mq_real *y, const mq_fully_connected_scaled_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const int8_t *row = w;
        for (uint32_t o = 0; o < p->outputs; o++) {
            const float sum = mq_dot_w8(x, row, p->inputs) * p->scale[o] + p->bias[o];
            const float raised = sum < p->low ? p->low : sum;
            const float value = raised > p->high ? p->high : raised;
            *y++ = MQ_FROM_F32(value);
            row += p->inputs;
        }
        x += p->inputs;
    }
}

#endif
