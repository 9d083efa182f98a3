/* Packed rows of eight units at a time; mq_rnn.h has the mathematics, mq_half_rows.h the order of the sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_half_rows.h"
#include "mq_recurrent.h"

/* One step of one sequence in direction d. */
static void step(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const mq_f16 *h, mq_f16 *next,
                 uint32_t d, const mq_rnn_float_params *p) {
    const mq_activation f = d ? p->f_second : p->f;
    const float *parameters = p->parameters + (size_t)2u * d;
    for (uint32_t j = 0; j < p->units; j += 8u) {
        const uint32_t count = p->units - j < 8u ? p->units - j : 8u;
        float v[8];
        for (uint32_t k = 0; k < count; k++) {
            v[k] = b ? b[d * p->units + j + k] : 0.0f;
        }
        mq_half_rows(x, p->inputs, mq_half_rows_from(w, d, j, p->units, p->inputs), count, v);
        mq_half_rows(h, p->units, mq_half_rows_from(r, d, j, p->units, p->units), count, v);
        for (uint32_t k = 0; k < count; k++) {
            next[j + k] = mq_f32_to_f16(f(mq_limit(v[k], p->clip), parameters));
        }
    }
}

void mq_rnn_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, mq_f16 *h, mq_f16 *y, mq_f16 *next,
                const mq_rnn_float_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            mq_f16 *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                mq_f16 *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, b, state, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
