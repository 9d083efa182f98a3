/* Packed rows for Helium; mq_gru.h and mq_mve_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#include "mq_mve_gru_rows.h"

void mq_gru_s8(const int8_t *x, const int8_t *w, const int8_t *r, int16_t *h, int8_t *y, int16_t *next, int8_t *copies,
               const mq_gru_params *p) {
    run(x, w, r, h, y, next, copies, copies + p->units, p);
}
