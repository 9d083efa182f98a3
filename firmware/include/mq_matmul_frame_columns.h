/* Products of s8 matrices whose scales were found for each frame, for any float they are stored as: MQ_STORE makes the
 * stored value of an f32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_matmul_columns.h"
#include "mq_matmul_pairs.h"
#include "mq_plain_rows.h"

void MQ_MATMUL(const int8_t *a, const float *a_scale, const int8_t *b, const float *b_scale, MQ_VALUE *y, int16_t *room,
               const mq_matmul_shape *s, int32_t a_zero) {
    const mq_vector_s16 column = mq_vector_of_s16(room, (uint32_t)s->depth);
    const int32_t pairs = mq_matmul_pairs(s);
    for (int32_t pair = 0; pair < pairs; pair++) {
        const mq_matmul_pair at = mq_matmul_pair_at(s, pair);
        for (int32_t n = 0; n < s->columns; n++) {
            const int32_t offset = a_zero * mq_take_column(b + at.b + n, s->columns, 0, room, s->depth);
            const float *scale = a_scale + at.a / s->depth;
            const int8_t *row = a + at.a;
            MQ_VALUE *to = y + at.y + n;
            for (int32_t m = 0; m < s->rows;) {
                int32_t sums[4];
                row = mq_rows_s16(&column, row, (uint32_t)(s->rows - m), sums);
                const int32_t end = s->rows - m < 4 ? s->rows : m + 4;
                for (const int32_t *sum = sums; m < end; m++) {
                    *to = MQ_STORE((float)(*sum++ - offset) * (*scale++ * b_scale[0]));
                    to += s->columns;
                }
            }
        }
    }
}
