/* Rows as they are, four at a time; mq_gru.h and mq_plain_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#define MQ_FRAME const mq_frame *frame,
#define MQ_FRAME_GIVEN frame,
#define MQ_X_SUM(acc, q, p) mq_frame_sum(frame, (acc) + (p)->bias[q], q, (p)->x_multiplier[q], (p)->x_shift[q])
#include "mq_gru_rows.h"

void mq_gru_s8_frame(const int8_t *x, const float *x_scale, const int8_t *w, const int8_t *r, const int32_t *x_bias,
                     int16_t *h, int8_t *y, int16_t *next, int8_t *copies, const mq_gru_params *p) {
    const mq_frame frame = mq_frame_of(x_scale[0], x_bias);
    run(x, w, r, h, y, next, copies, copies + p->units, &frame, p);
}
