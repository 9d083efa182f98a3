/* The fully connected layers with s8 weights, for any way to multiply rows; mq_fully_connected.h has the mathematics.
 *
 * A file includes mq_rows.h or mq_plain_rows.h and defines MQ_FULLY_CONNECTED, the function's name, and MQ_X and MQ_Y,
 * which end a name by the format of x and y.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fixed.h"
#include "mq_fully_connected.h"

static inline MQ_Y(mq_value) finish(int32_t acc, uint32_t o, const mq_fully_connected_params *p) {
    const int32_t value = mq_requantise(p->bias[o] + acc, p->multiplier[o], p->shift[o]);
    return (MQ_Y(mq_value))mq_clamp(p->y_zero + value, p->low, p->high);
}

void MQ_FULLY_CONNECTED(const MQ_X(mq_value) * x, const int8_t *w, MQ_Y(mq_value) * y,
                        const mq_fully_connected_params *p) {
    const mq_fully_connected_params q = *p; /* a copy, which y cannot overlap */
    for (uint32_t r = 0; r < q.rows; r++) {
        const mq_weights *block = mq_rows_from(w, 0, 0, q.outputs, q.inputs);
        if (q.outputs == 1u) {
            *y++ = finish(MQ_X(mq_row_alone)(x, block, q.inputs), 0, &q);
        } else {
            const MQ_X(mq_vector) v = MQ_X(mq_vector_of)(x, q.inputs);
            for (uint32_t o = 0; o < q.outputs;) {
                int32_t sums[4];
                block = MQ_X(mq_rows)(&v, block, q.outputs - o, sums);
                const uint32_t end = q.outputs - o < 4u ? q.outputs : o + 4u;
                for (const int32_t *sum = sums; o < end; o++) {
                    *y++ = finish(*sum++, o, &q);
                }
            }
        }
        x += q.inputs;
    }
}
