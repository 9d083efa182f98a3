/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

void mq_fully_connected_f32(const float *x, const float *w, const float *b, float *y,
                            const mq_fully_connected_float_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const float *row = w;
        for (uint32_t o = 0; o < p->outputs; o++) {
            float acc = b ? b[o] : 0.0f;
            for (uint32_t i = 0; i < p->inputs; i++) {
                acc += x[i] * row[i];
            }
            float v = acc < p->low ? p->low : acc;
            v = v > p->high ? p->high : v;
            *y++ = v;
            row += p->inputs;
        }
        x += p->inputs;
    }
}
