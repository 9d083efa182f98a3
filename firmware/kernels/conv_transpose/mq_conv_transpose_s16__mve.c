/* Four outputs of a row, a stride apart; mq_mve_transpose_rows.h has how.
 * SPDX-License-Identifier: Apache-2.0 */
#define MQ_X(name) name##_s16
#define MQ_Y(name) name##_s16
#include "mq_mve_transpose_rows.h"

void mq_conv_transpose_s16(const int16_t *x, const int8_t *w, int16_t *y, const mq_conv_transpose_shape *s,
                           const mq_conv_transpose_params *p) {
    run(x, w, y, s, p);
}
