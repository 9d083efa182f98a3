/* The body of mq_lstm_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_LSTM_W8_H
#define MQ_LSTM_W8_H

#include <string.h>

#include "mq_lstm.h"
#include "mq_recurrent.h"
#include "mq_w8.h"

/* The weights and functions of one direction. */
typedef struct {
    const int8_t *w;
    const int8_t *r;
    const float *x_scale;
    const float *h_scale;
    const float *b;
    const float *peephole;
    mq_activation f;
    mq_activation g;
    mq_activation h;
    const float *parameters;
} direction;

static direction direction_of(uint32_t d, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                              const float *b, const float *peephole, const mq_lstm_float_params *p) {
    const size_t rows = (size_t)4u * d * p->units;
    direction a = {w, r, x_scale + rows, h_scale + rows, b ? b + rows : NULL, NULL, p->f, p->g, p->h, p->parameters};
    a.w += rows * p->inputs;
    a.r += rows * p->units;
    if (peephole) {
        a.peephole = peephole + (size_t)3u * d * p->units;
    }
    if (d) {
        a.f = p->f_second;
        a.g = p->g_second;
        a.h = p->h_second;
        a.parameters += 6;
    }
    return a;
}

/* Row q of W x + R h + b. */
static float sum_of(const mq_real *x, const mq_real *h, size_t q, const direction *a, const mq_lstm_float_params *p) {
    const float from_x = mq_dot_w8(x, a->w + q * p->inputs, p->inputs) * a->x_scale[q];
    const float from_h = mq_dot_w8(h, a->r + q * p->units, p->units) * a->h_scale[q];
    return (a->b ? a->b[q] : 0.0f) + from_x + from_h;
}

/* One step of one sequence. */
static void step(const mq_real *x, const mq_real *h, mq_real *c, mq_real *next, const direction *a,
                 const mq_lstm_float_params *p) {
    const size_t units = p->units;
    for (size_t j = 0; j < units; j++) {
        float v[4];
        for (size_t gate = 0; gate < 4u; gate++) {
            v[gate] = sum_of(x, h, gate * units + j, a, p);
        }
        const float old = MQ_TO_F32(c[j]);
        if (a->peephole) {
            v[0] += a->peephole[j] * old;
            v[2] += a->peephole[2u * units + j] * old;
        }
        const float i = a->f(mq_limit(v[0], p->clip), a->parameters);
        const float forget = p->input_forget ? 1.0f - i : a->f(mq_limit(v[2], p->clip), a->parameters);
        const float cell = forget * old + i * a->g(mq_limit(v[3], p->clip), a->parameters + 2);
        if (a->peephole) {
            v[1] += a->peephole[units + j] * cell;
        }
        const float o = a->f(mq_limit(v[1], p->clip), a->parameters);
        c[j] = MQ_FROM_F32(cell);
        next[j] = MQ_FROM_F32(o * a->h(cell, a->parameters + 4));
    }
}

void MQ_KERNEL(const mq_real *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
               const float *b, const float *peephole, mq_real *h, mq_real *c, mq_real *y, mq_real *next,
               const mq_lstm_float_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        const direction a = direction_of(d, w, r, x_scale, h_scale, b, peephole, p);
        for (uint32_t n = 0; n < p->batch; n++) {
            const size_t at = mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                mq_real *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t < length) {
                    step(x + ((size_t)t * p->batch + n) * p->inputs, h + at, c + at, next, &a, p);
                    memcpy(h + at, next, bytes);
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
