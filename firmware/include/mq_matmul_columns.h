/* What products of s8 matrices share that take b column by column: with b_zero subtracted, a column is the vector, and
 * rows of a are the rows of mq_plain_rows.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_MATMUL_COLUMNS_H
#define MQ_MATMUL_COLUMNS_H

#include "mq_base.h"

/* Copies a column whose values are `step` apart. Returns its sum. */
static int32_t mq_take_column(const int8_t *b, int32_t step, int32_t zero, int16_t *column, int32_t depth) {
    int32_t sum = 0;
    for (const int16_t *end = column + depth; column != end; b += step) {
        const int32_t value = *b - zero;
        *column++ = (int16_t)value;
        sum += value;
    }
    return sum;
}

#endif
