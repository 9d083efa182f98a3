/* The LSTM layers with s8 weights, for any way to multiply rows; mq_lstm.h has the mathematics.
 *
 * A file includes mq_rows.h or mq_plain_rows.h, defines MQ_X and MQ_H, which end a name by the format of x and h, and
 * calls `run` from its function.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_lstm.h"
#include "mq_lstm_cell.h"

/* What turns an accumulator of x into a sum; a file for inputs with the scale of the frame defines it beforehand, and
 * what carries that scale: MQ_FRAME, a parameter, and MQ_FRAME_GIVEN, what is passed for it. */
#ifndef MQ_FRAME
#define MQ_FRAME
#define MQ_FRAME_GIVEN
#define MQ_X_SUM(acc, q, p) mq_requantise((acc) + (p)->bias[q], (p)->x_multiplier[q], (p)->x_shift[q])
#endif

/* What x adds to the sums of `count` <= 4 units, which begin at row q. */
static void from_x(const MQ_X(mq_vector) * v, const mq_weights *w, uint32_t q, uint32_t count, int32_t *sums,
                   MQ_FRAME const mq_lstm_params *p) {
    int32_t acc[4];
    MQ_X(mq_rows)(v, w, count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] = MQ_X_SUM(acc[k], q, p);
    }
}

/* What h adds to them. */
static void from_h(const MQ_H(mq_vector) * v, const mq_weights *r, uint32_t q, uint32_t count, int32_t *sums,
                   const mq_lstm_params *p) {
    int32_t acc[4];
    MQ_H(mq_rows)(v, r, count, acc);
    for (uint32_t k = 0; k < count; k++, q++) {
        sums[k] += mq_requantise(acc[k], p->h_multiplier[q], p->h_shift[q]);
    }
}

/* One step of one sequence in direction d, four units at a time. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const MQ_H(mq_value) * h, int16_t *c,
                 MQ_H(mq_value) * next, uint32_t d, MQ_FRAME const mq_lstm_params *p) {
    const MQ_X(mq_vector) vx = MQ_X(mq_vector_of)(x, p->inputs);
    const MQ_H(mq_vector) vh = MQ_H(mq_vector_of)(h, p->units);
    for (uint32_t j = 0; j < p->units; j += 4u) {
        const uint32_t count = p->units - j < 4u ? p->units - j : 4u;
        int32_t sums[4][4];
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const uint32_t group = d * 4u + gate;
            const uint32_t q = group * p->units + j;
            from_x(&vx, mq_rows_from(w, group, j, p->units, p->inputs), q, count, sums[gate], MQ_FRAME_GIVEN p);
            from_h(&vh, mq_rows_from(r, group, j, p->units, p->units), q, count, sums[gate], p);
        }
        for (uint32_t k = 0; k < count; k++) {
            const int32_t sum[4] = {sums[0][k], sums[1][k], sums[2][k], sums[3][k]};
            const int16_t *peephole = mq_lstm_peepholes(d, j + k, p);
            next[j + k] = MQ_H(mq_q30_to)(mq_lstm_cell(sum, peephole, &c[j + k], p));
        }
    }
}

/* All steps of all sequences. */
static void run(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, MQ_H(mq_value) * h, int16_t *c,
                MQ_H(mq_value) * y, MQ_H(mq_value) * next, MQ_FRAME const mq_lstm_params *p) {
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, cell, next, d, MQ_FRAME_GIVEN p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
