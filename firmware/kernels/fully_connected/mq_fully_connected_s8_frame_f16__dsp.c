/* Packed rows, four at a time; mq_rows.h has the mathematics. SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_float.h"
#include "mq_rows.h"

void mq_fully_connected_s8_frame_f16(const int8_t *x, const float *x_scale, const int8_t *w, mq_f16 *y,
                                     const mq_fully_connected_frame_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        const mq_word *block = (const mq_word *)w;
        const int32_t offset = mq_offset_s8(x, p->inputs);
        for (uint32_t o = 0; o < p->outputs;) {
            int32_t sums[4];
            block = mq_rows_s8(x, block, p->inputs, p->outputs - o, offset, sums);
            for (uint32_t k = 0; k < 4u && o < p->outputs; k++, o++) {
                float v = (float)sums[k] * (p->scale[o] * x_scale[0]) + p->bias[o];
                v = v < p->low ? p->low : v;
                v = v > p->high ? p->high : v;
                *y++ = mq_f32_to_f16(v);
            }
        }
        x += p->inputs;
    }
}
