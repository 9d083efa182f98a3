/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_float.h"

void mq_fully_connected_s8_frame_f16(const int8_t *x, const float *x_scale, const int8_t *w, mq_f16 *y,
                                     const mq_fully_connected_frame_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const int8_t *row = w;
        for (uint32_t o = 0; o < p->outputs; o++) {
            int32_t acc = 0;
            for (uint32_t i = 0; i < p->inputs; i++) {
                acc += (int32_t)x[i] * row[i];
            }
            float v = (float)acc * (p->scale[o] * x_scale[0]) + p->bias[o];
            v = v < p->low ? p->low : v;
            v = v > p->high ? p->high : v;
            *y++ = mq_f32_to_f16(v);
            row += p->inputs;
        }
        x += p->inputs;
    }
}
