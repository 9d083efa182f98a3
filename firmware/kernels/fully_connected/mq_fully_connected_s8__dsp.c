/* Packed rows, four at a time; mq_rows.h has the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fully_connected.h"

#include "mq_fixed.h"
#include "mq_rows.h"

void mq_fully_connected_s8(const int8_t *x, const int8_t *w, int8_t *y, const mq_fully_connected_params *p) {
    const mq_fully_connected_params q = *p; /* a copy, which y cannot overlap */
    for (uint32_t r = 0; r < q.rows; r++) {
        const mq_vector_s8 v = mq_vector_of_s8(x, q.inputs);
        const mq_word *block = (const mq_word *)w;
        for (uint32_t o = 0; o < q.outputs;) {
            int32_t sums[4];
            block = mq_rows_s8(&v, block, q.outputs - o, sums);
            const uint32_t end = q.outputs - o < 4u ? q.outputs : o + 4u;
            for (const int32_t *sum = sums; o < end; o++) {
                const int32_t value = mq_requantise(q.bias[o] + *sum++, q.multiplier[o], q.shift[o]);
                *y++ = (int8_t)mq_clamp(q.y_zero + value, q.low, q.high);
            }
        }
        x += q.inputs;
    }
}
