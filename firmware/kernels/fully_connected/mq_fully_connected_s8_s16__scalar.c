/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_fixed.h"

void mq_fully_connected_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, const mq_fully_connected_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const int8_t *row = w;
        for (uint32_t o = 0; o < p->outputs; o++) {
            int32_t acc = p->bias[o];
            for (uint32_t i = 0; i < p->inputs; i++) {
                acc += (int32_t)x[i] * row[i];
            }
            const int32_t v = p->y_zero + mq_requantise(acc, p->multiplier[o], p->shift[o]);
            *y++ = (int16_t)mq_clamp(v, p->low, p->high);
            row += p->inputs;
        }
        x += p->inputs;
    }
}
