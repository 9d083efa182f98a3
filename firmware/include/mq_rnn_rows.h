/* The RNN layers with s8 weights, for any way to multiply rows; mq_rnn.h has the mathematics.
 *
 * A file includes mq_rows.h or mq_plain_rows.h and defines MQ_RNN, the function's name, and MQ_X and MQ_H, which end a
 * name by the format of x and h.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_recurrent.h"
#include "mq_rnn.h"

/* One step of one sequence in direction d, four units at a time. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const MQ_H(mq_value) * h,
                 MQ_H(mq_value) * next, uint32_t d, const mq_rnn_params *p) {
    const MQ_X(mq_vector) vx = MQ_X(mq_vector_of)(x, p->inputs);
    const MQ_H(mq_vector) vh = MQ_H(mq_vector_of)(h, p->units);
    const mq_weights *from_w = mq_rows_from(w, d, 0, p->units, p->inputs);
    const mq_weights *from_r = mq_rows_from(r, d, 0, p->units, p->units);
    for (uint32_t j = 0; j < p->units; j += 4u) {
        const uint32_t count = p->units - j < 4u ? p->units - j : 4u;
        uint32_t q = d * p->units + j;
        int32_t x_acc[4], h_acc[4];
        from_w = MQ_X(mq_rows)(&vx, from_w, count, x_acc);
        from_r = MQ_H(mq_rows)(&vh, from_r, count, h_acc);
        for (uint32_t k = 0; k < count; k++, q++) {
            const int32_t x_sum = mq_requantise(x_acc[k] + p->bias[q], p->x_multiplier[q], p->x_shift[q]);
            const int32_t h_sum = mq_requantise(h_acc[k], p->h_multiplier[q], p->h_shift[q]);
            const int32_t gate = mq_gate(x_sum + h_sum, p->tanh_clip, p->tanh_table);
            next[j + k] = MQ_H(mq_q30_to)(32768 * gate);
        }
    }
}

void MQ_RNN(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, MQ_H(mq_value) * h, MQ_H(mq_value) * y,
            MQ_H(mq_value) * next, const mq_rnn_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            MQ_H(mq_value) *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                MQ_H(mq_value) *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
