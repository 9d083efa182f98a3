/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_lstm_cell.h"

/* One step of one sequence in direction d. */
static void step(const int16_t *x, const int16_t *w, const int16_t *r, const int16_t *h, int16_t *c, int16_t *next,
                 uint32_t d, const mq_lstm_params *p) {
    for (uint32_t j = 0; j < p->units; j++) {
        int32_t sum[4];
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const uint32_t q = (d * 4u + gate) * p->units + j;
            const int64_t from_x = mq_dot_s16(x, w + (size_t)q * p->inputs, p->inputs, p->wide_bias[q]);
            const int64_t from_h = mq_dot_s16(h, r + (size_t)q * p->units, p->units, 0);
            sum[gate] = mq_requantise64(from_x, p->x_narrow, p->x_multiplier[q], p->x_shift[q]) +
                        mq_requantise64(from_h, p->h_narrow, p->h_multiplier[q], p->h_shift[q]);
        }
        next[j] = mq_q30_to_s16(mq_lstm_cell(sum, mq_lstm_peepholes(d, j, p), &c[j], p));
    }
}

void mq_lstm_s16s16(const int16_t *x, const int16_t *w, const int16_t *r, int16_t *h, int16_t *c, int16_t *y,
                    int16_t *next, const mq_lstm_params *p) {
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int16_t *state = h + mq_state_at(d, n, p->batch, p->units);
            int16_t *cell = c + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, cell, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
