/* Packed rows, eight at a time; mq_half_rows.h has the order of the sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_half_rows.h"

void mq_fully_connected_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                            const mq_fully_connected_float_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        for (uint32_t o = 0; o < p->outputs; o += 8u) {
            const uint32_t count = p->outputs - o < 8u ? p->outputs - o : 8u;
            float sums[8];
            for (uint32_t k = 0; k < count; k++) {
                sums[k] = b ? b[o + k] : 0.0f;
            }
            mq_half_rows(x, p->inputs, mq_half_rows_from(w, 0, o, p->outputs, p->inputs), count, sums);
            for (uint32_t k = 0; k < count; k++) {
                float v = sums[k] < p->low ? p->low : sums[k];
                v = v > p->high ? p->high : v;
                *y++ = mq_f32_to_f16(v);
            }
        }
        x += p->inputs;
    }
}
