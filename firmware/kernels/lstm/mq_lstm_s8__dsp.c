/* Packed rows, four at a time; mq_lstm.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rows.h"

#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#include "mq_lstm_rows.h"

void mq_lstm_s8(const int8_t *x, const int8_t *w, const int8_t *r, int8_t *h, int16_t *c, int8_t *y, int8_t *next,
                const mq_lstm_params *p) {
    run(x, w, r, h, c, y, next, p);
}
