/* Column by column of b: with b_zero subtracted it is the vector, rows of a are the rows of mq_plain_rows.h.
 * sum (a - a_zero)(b - b_zero) = sum a (b - b_zero) - a_zero sum (b - b_zero).
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_fixed.h"
#include "mq_matmul_columns.h"
#include "mq_matmul_pairs.h"
#include "mq_plain_rows.h"

/* `count` values of a column of y, `step` apart. */
MQ_OUT_OF_LINE void finish(const int32_t *sums, int32_t count, int32_t offset, int8_t *y, int32_t step,
                           const mq_matmul_params *p) {
    const int32_t multiplier = p->multiplier;
    const int32_t shift = p->shift;
    for (const int32_t *end = sums + count; sums != end; y += step) {
        *y = mq_sat_s8(p->y_zero + mq_requantise(*sums++ - offset, multiplier, shift));
    }
}

void mq_matmul_s8(const int8_t *a, const int8_t *b, int8_t *y, int16_t *room, const mq_matmul_shape *s,
                  const mq_matmul_params *p) {
    const mq_vector_s16 column = mq_vector_of_s16(room, (uint32_t)s->depth);
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (int32_t n = 0; n < s->columns; n++) {
            const int32_t offset = p->a_zero * mq_take_column(b + at.b + n, s->columns, p->b_zero, room, s->depth);
            const int8_t *row = a + at.a;
            int8_t *to = y + at.y + n;
            for (int32_t m = 0; m < s->rows; m += 4) {
                int32_t sums[4];
                row = mq_rows_s16(&column, row, (uint32_t)(s->rows - m), sums);
                finish(sums, s->rows - m < 4 ? s->rows - m : 4, offset, to, s->columns, p);
                to += 4 * s->columns;
            }
        }
    }
}
