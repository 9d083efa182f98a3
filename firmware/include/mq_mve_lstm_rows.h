/* The LSTM layers with s8 weights for Helium: packed rows of up to MQ_UNITS units at a time. mq_lstm.h, mq_mve_rows.h
 * and mq_mve_scale.h have the mathematics. A file defines MQ_X and MQ_H, which end a name by the format of x and of h,
 * and calls `run` from its function.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_lstm.h"
#include "mq_mve_lstm_cell.h"

/* One step of one sequence in direction d. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const MQ_H(mq_value) * h, int16_t *c,
                 MQ_H(mq_value) * next, uint32_t d, const mq_lstm_params *p) {
    MQ_X(mq_vector) vx;
    MQ_H(mq_vector) vh;
    mq_lstm_sums sums;
    MQ_X(mq_vector_of)(&vx, x, p->inputs);
    MQ_H(mq_vector_of)(&vh, h, p->units);
    for (uint32_t j = 0; j < p->units; j += MQ_UNITS) {
        const uint32_t count = p->units - j < MQ_UNITS ? p->units - j : MQ_UNITS;
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const uint32_t q = (d * 4u + gate) * p->units + j;
            MQ_X(mq_gate_sums)(&vx, w, q, p->bias + q, p->x_multiplier, p->x_shift, count, sums.x[gate]);
            MQ_H(mq_gate_sums)(&vh, r, q, NULL, p->h_multiplier, p->h_shift, count, sums.h[gate]);
        }
        const int16_t *peephole = p->peephole ? p->peephole + (size_t)d * 3u * p->units + j : NULL;
        mq_lstm_cells(&sums, peephole, c + j, count, p);
        MQ_H(mq_lstm_hidden)(sums.x[0], count, next + j);
    }
}

static void run(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, MQ_H(mq_value) * h, int16_t *c,
                MQ_H(mq_value) * y, MQ_H(mq_value) * next, const mq_lstm_params *p) {
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            MQ_H(mq_value) *state = h + mq_state_at(d, n, p->batch, p->units);
            int16_t *cell = c + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, cell, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
