/* Packed rows, four at a time; mq_mve_rows.h and mq_mve_scale.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_mve_rows.h"
#include "mq_mve_scale.h"

void mq_fully_connected_s8(const int8_t *x, const int8_t *w, int8_t *y, const mq_fully_connected_params *p) {
    const mq_fully_connected_params q = *p; /* a copy, which y cannot overlap */
    const mq_limits limits = mq_limits_of(q.y_zero, q.low, q.high);
    for (uint32_t r = 0; r < q.rows; r++) {
        mq_vector_s8 v;
        int32_t sums[MQ_SUMS];
        const int8_t *row = w;
        mq_vector_of_s8(&v, x, q.inputs);
        for (uint32_t o = 0; o < q.outputs; o += MQ_SUMS) {
            const uint32_t count = q.outputs - o < MQ_SUMS ? q.outputs - o : MQ_SUMS;
            row = mq_rows_s8(&v, row, q.bias + o, count, sums);
            mq_scale_rows_s8(sums, q.multiplier + o, q.shift + o, count, &limits, y);
            y += count;
        }
        x += q.inputs;
    }
}
