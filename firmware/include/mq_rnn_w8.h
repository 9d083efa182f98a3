/* The body of mq_rnn_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_RNN_W8_H
#define MQ_RNN_W8_H

#include <string.h>

#include "mq_recurrent.h"
#include "mq_rnn.h"
#include "mq_w8.h"

/* The weights and the function of one direction. */
typedef struct {
    const int8_t *w;
    const int8_t *r;
    const float *x_scale;
    const float *h_scale;
    const float *b;
    mq_activation f;
    const float *parameters;
} direction;

static direction direction_of(uint32_t d, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                              const float *b, const mq_rnn_float_params *p) {
    const size_t rows = (size_t)d * p->units;
    const direction a = {
        w + rows * p->inputs,   r + rows * p->units,           x_scale + rows, h_scale + rows, b ? b + rows : NULL,
        d ? p->f_second : p->f, p->parameters + (size_t)2u * d};
    return a;
}

/* One step of one sequence. */
static void step(const mq_real *x, const mq_real *h, mq_real *next, const direction *a, const mq_rnn_float_params *p) {
    for (size_t j = 0; j < p->units; j++) {
        const float from_x = mq_dot_w8(x, a->w + j * p->inputs, p->inputs) * a->x_scale[j];
        const float from_h = mq_dot_w8(h, a->r + j * p->units, p->units) * a->h_scale[j];
        const float sum = (a->b ? a->b[j] : 0.0f) + from_x + from_h;
        next[j] = MQ_FROM_F32(a->f(mq_limit(sum, p->clip), a->parameters));
    }
}

void MQ_KERNEL(const mq_real *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
               const float *b, mq_real *h, mq_real *y, mq_real *next, const mq_rnn_float_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        const direction a = direction_of(d, w, r, x_scale, h_scale, b, p);
        for (uint32_t n = 0; n < p->batch; n++) {
            mq_real *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                mq_real *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t < length) {
                    step(x + ((size_t)t * p->batch + n) * p->inputs, state, next, &a, p);
                    memcpy(state, next, bytes);
                }
                if (out && t < length) {
                    memcpy(out, next, bytes);
                } else if (out) {
                    memset(out, 0, bytes);
                }
            }
        }
    }
}

#endif
