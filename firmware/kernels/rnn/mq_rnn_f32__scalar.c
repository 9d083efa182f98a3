/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_recurrent.h"

/* One step of one sequence; w, r and b are those of the direction. */
static void step(const float *x, const float *w, const float *r, const float *b, const float *h, float *next,
                 mq_activation f, const float *parameters, const mq_rnn_float_params *p) {
    for (size_t j = 0; j < p->units; j++) {
        const float from_x = mq_dot_f32(x, w + j * p->inputs, p->inputs, b ? b[j] : 0.0f);
        const float v = mq_dot_f32(h, r + j * p->units, p->units, from_x);
        next[j] = f(mq_limit(v, p->clip), parameters);
    }
}

void mq_rnn_f32(const float *x, const float *w, const float *r, const float *b, float *h, float *y, float *next,
                const mq_rnn_float_params *p) {
    const size_t units = p->units;
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            float *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                float *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w + d * units * p->inputs, r + d * units * units,
                     b ? b + d * units : NULL, state, next, d ? p->f_second : p->f, p->parameters + (size_t)2u * d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
