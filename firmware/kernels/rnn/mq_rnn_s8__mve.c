/* Packed rows for Helium; mq_rnn.h and mq_mve_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#include "mq_mve_rnn_rows.h"

void mq_rnn_s8(const int8_t *x, const int8_t *w, const int8_t *r, int8_t *h, int8_t *y, int8_t *next,
               const mq_rnn_params *p) {
    run(x, w, r, h, y, next, p);
}
