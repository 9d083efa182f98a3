/* Half-precision products of a row of a with 32 columns of b; mq_mve_half.h has the rounding.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul_pairs.h"
#include "mq_mve_half.h"

void mq_matmul_f16(const mq_f16 *a, const mq_f16 *b, mq_f16 *y, const mq_matmul_shape *s) {
    const int32_t pairs = mq_matmul_pairs(s);
    const uint32_t rows = (uint32_t)s->rows;
    const uint32_t depth = (uint32_t)s->depth;
    const uint32_t columns = (uint32_t)s->columns;
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (uint32_t j = 0; j < columns; j += MQ_LANES_F16) {
            const uint32_t count = mq_half_count(columns, j);
            for (uint32_t m = 0; m < rows; m++) {
                float sums[MQ_LANES_F16];
                mq_half_start_same(0.0f, count, sums);
                mq_half_dots(a + at.a + m * depth, depth, b + at.b + j, columns, count, sums);
                mq_half_finish(sums, count, -MQ_INFINITY, MQ_INFINITY, y + at.y + m * columns + j);
            }
        }
    }
}
