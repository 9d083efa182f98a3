/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_float.h"

void mq_fully_connected_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                            const mq_fully_connected_float_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const mq_f16 *row = w;
        for (uint32_t o = 0; o < p->outputs; o++) {
            float acc = b ? b[o] : 0.0f;
            for (uint32_t i = 0; i < p->inputs; i++) {
                acc += mq_f16_to_f32(x[i]) * mq_f16_to_f32(row[i]);
            }
            float v = acc < p->low ? p->low : acc;
            v = v > p->high ? p->high : v;
            *y++ = mq_f32_to_f16(v);
            row += p->inputs;
        }
        x += p->inputs;
    }
}
