/* Packed rows of four units at a time; mq_rnn.h and mq_rows.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_recurrent.h"
#include "mq_rows.h"

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int16_t *h, int16_t *next, uint32_t d,
                 const mq_rnn_params *p) {
    const mq_vector_s16 vx = mq_vector_of_s16(x, p->inputs);
    const mq_vector_s16 vh = mq_vector_of_s16(h, p->units);
    const mq_word *from_w = mq_rows_from((const mq_word *)w, d, 0, p->units, p->inputs);
    const mq_word *from_r = mq_rows_from((const mq_word *)r, d, 0, p->units, p->units);
    for (uint32_t j = 0; j < p->units; j += 4u) {
        const uint32_t count = p->units - j < 4u ? p->units - j : 4u;
        uint32_t q = d * p->units + j;
        int32_t x_acc[4], h_acc[4];
        from_w = mq_rows_s16(&vx, from_w, count, x_acc);
        from_r = mq_rows_s16(&vh, from_r, count, h_acc);
        for (uint32_t k = 0; k < count; k++, q++) {
            const int32_t x_sum = mq_requantise(x_acc[k] + p->bias[q], p->x_multiplier[q], p->x_shift[q]);
            const int32_t h_sum = mq_requantise(h_acc[k], p->h_multiplier[q], p->h_shift[q]);
            const int32_t gate = mq_gate(x_sum + h_sum, p->tanh_clip, p->tanh_table);
            next[j + k] = (int16_t)gate;
        }
    }
}

void mq_rnn_s16(const int16_t *x, const int8_t *w, const int8_t *r, int16_t *h, int16_t *y, int16_t *next,
                const mq_rnn_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                int16_t *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
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
