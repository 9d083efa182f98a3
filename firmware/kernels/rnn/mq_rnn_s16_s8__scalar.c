/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_recurrent.h"

/* What x adds to the sum of row q. */
static int32_t from_x(const int16_t *x, const int8_t *w, size_t q, const mq_rnn_params *p) {
    return mq_requantise(mq_dot_s16_s8(x, w + q * p->inputs, p->inputs, p->bias[q]), p->x_multiplier[q], p->x_shift[q]);
}

/* What h adds to it. */
static int32_t from_h(const int8_t *h, const int8_t *r, size_t q, int32_t bias, const mq_rnn_params *p) {
    return mq_requantise(mq_dot_s8(h, r + q * p->units, p->units, bias), p->h_multiplier[q], p->h_shift[q]);
}

/* One step of one sequence; `first` is the first row of the direction. */
static void step(const int16_t *x, const int8_t *w, const int8_t *r, const int8_t *h, int8_t *next, size_t first,
                 const mq_rnn_params *p) {
    for (size_t j = 0; j < p->units; j++) {
        const int32_t sum = from_x(x, w, first + j, p) + from_h(h, r, first + j, 0, p);
        const int32_t gate = mq_gate(sum, p->tanh_clip, p->tanh_table);
        next[j] = mq_q30_to_s8(32768 * gate);
    }
}

void mq_rnn_s16_s8(const int16_t *x, const int8_t *w, const int8_t *r, int8_t *h, int8_t *y, int8_t *next,
                   const mq_rnn_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            int8_t *state = h + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, (size_t)d * p->units, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
