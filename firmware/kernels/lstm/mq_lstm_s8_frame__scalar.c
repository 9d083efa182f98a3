/* Rows as they are, four at a time; mq_lstm.h and mq_plain_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_plain_rows.h"

#define MQ_X(name) name##_s8
#define MQ_H(name) name##_s8
#define MQ_FRAME const mq_frame *frame,
#define MQ_FRAME_GIVEN frame,
#define MQ_X_SUM(acc, q, p) mq_frame_sum(frame, (acc) + (p)->bias[q], q, (p)->x_multiplier[q], (p)->x_shift[q])
#include "mq_lstm_rows.h"

void mq_lstm_s8_frame(const int8_t *x, const float *x_scale, const int8_t *w, const int8_t *r, const int32_t *x_bias,
                      int8_t *h, int16_t *c, int8_t *y, int8_t *next, const mq_lstm_params *p) {
    const mq_frame frame = mq_frame_of(x_scale[0], x_bias);
    run(x, w, r, h, c, y, next, &frame, p);
}
