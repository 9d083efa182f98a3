/* Packed rows, four at a time; mq_rows.h has the mathematics. SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_fixed.h"
#include "mq_rows.h"

void mq_fully_connected_s8_s16(const int8_t *x, const int8_t *w, int16_t *y, const mq_fully_connected_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const mq_word *block = (const mq_word *)w;
        const int32_t offset = mq_offset_s8(x, p->inputs);
        for (uint32_t o = 0; o < p->outputs;) {
            int32_t sums[4];
            block = mq_rows_s8(x, block, p->inputs, p->outputs - o, offset, sums);
            for (uint32_t k = 0; k < 4u && o < p->outputs; k++, o++) {
                const int32_t acc = p->bias[o] + sums[k];
                const int32_t v = p->y_zero + mq_requantise(acc, p->multiplier[o], p->shift[o]);
                *y++ = (int16_t)mq_clamp(v, p->low, p->high);
            }
        }
        x += p->inputs;
    }
}
