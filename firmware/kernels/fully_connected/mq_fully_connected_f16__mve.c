/* Half-precision arithmetic on packed rows, 32 at a time; mq_mve_half.h has the rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_mve_half.h"

void mq_fully_connected_f16(const mq_f16 *x, const mq_f16 *w, const float *b, mq_f16 *y,
                            const mq_fully_connected_float_params *p) {
    for (uint32_t r = 0; r < p->rows; r++) {
        for (uint32_t o = 0; o < p->outputs; o += MQ_LANES_F16) {
            const uint32_t count = mq_half_count(p->outputs, o);
            float sums[MQ_LANES_F16];
            mq_half_start(b ? b + o : NULL, count, sums);
            mq_half_dots(x, p->inputs, mq_half_lanes(w, 0, o, p->outputs, p->inputs), count, count, sums);
            mq_half_finish(sums, count, p->low, p->high, y);
            y += count;
        }
        x += p->inputs;
    }
}
