/* Packed rows, four at a time; mq_lstm.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rows.h"

#define MQ_X(name) name##_s16
#define MQ_H(name) name##_s16
#include "mq_lstm_rows.h"

void mq_lstm_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *c, int16_t *y, int16_t *next,
                 const mq_lstm_params *p) {
    run(x, w, r, h, c, y, next, p);
}
