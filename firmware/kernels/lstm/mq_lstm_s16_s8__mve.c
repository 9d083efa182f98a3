/* Packed rows of up to MQ_UNITS units at a time; mq_lstm.h, mq_mve_rows.h and mq_mve_scale.h have the mathematics.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_mve_lstm_cell.h"

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int8_t *h, int16_t *c, int8_t *next,
                 uint32_t d, const mq_lstm_params *p) {
    mq_vector_s16 vx;
    mq_vector_s8 vh;
    mq_lstm_sums sums;
    mq_vector_of_s16(&vx, x, p->inputs);
    mq_vector_of_s8(&vh, h, p->units);
    for (uint32_t j = 0; j < p->units; j += MQ_UNITS) {
        const uint32_t count = p->units - j < MQ_UNITS ? p->units - j : MQ_UNITS;
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const uint32_t q = (d * 4u + gate) * p->units + j;
            mq_gate_sums_s16(&vx, w, q, p->bias + q, p->x_multiplier, p->x_shift, count, sums.x[gate]);
            mq_gate_sums_s8(&vh, r, q, NULL, p->h_multiplier, p->h_shift, count, sums.h[gate]);
        }
        mq_lstm_cells(&sums, c + j, count, p);
        mq_lstm_hidden_s8(sums.x[0], count, next + j);
    }
}

void mq_lstm_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int8_t *h, int16_t *c, int8_t *y, int8_t *next,
                    const mq_lstm_params *p) {
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int8_t *state = h + mq_state_at(d, n, p->batch, p->units);
            int16_t *cell = c + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                int8_t *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, cell, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
