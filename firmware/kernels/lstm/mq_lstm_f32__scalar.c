/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_recurrent.h"

/* The functions of one direction. */
typedef struct {
    mq_activation f;
    mq_activation g;
    mq_activation h;
    const float *parameters;
} functions;

/* One step of one sequence; w, r, b and peephole are those of the direction. */
static void step(const float *x, const float *w, const float *r, const float *b, const float *peephole, const float *h,
                 float *c, float *next, const functions *a, const mq_lstm_float_params *p) {
    const uint32_t units = p->units;
    for (uint32_t j = 0; j < units; j++) {
        float v[4];
        for (uint32_t gate = 0; gate < 4u; gate++) {
            const size_t q = (size_t)gate * units + j;
            const float from_x = mq_dot_f32(x, w + q * p->inputs, p->inputs, b ? b[q] : 0.0f);
            v[gate] = mq_dot_f32(h, r + q * units, units, from_x);
        }
        const float old = c[j];
        if (peephole) {
            v[0] += peephole[j] * old;
            v[2] += peephole[2u * units + j] * old;
        }
        const float i = a->f(mq_limit(v[0], p->clip), a->parameters);
        const float forget = p->input_forget ? 1.0f - i : a->f(mq_limit(v[2], p->clip), a->parameters);
        const float cell = forget * old + i * a->g(mq_limit(v[3], p->clip), a->parameters + 2);
        if (peephole) {
            v[1] += peephole[units + j] * cell;
        }
        const float o = a->f(mq_limit(v[1], p->clip), a->parameters);
        c[j] = cell;
        next[j] = o * a->h(cell, a->parameters + 4);
    }
}

void mq_lstm_f32(const float *x, const float *w, const float *r, const float *b, const float *peephole, float *h,
                 float *c, float *y, float *next, const mq_lstm_float_params *p) {
    const functions first = {p->f, p->g, p->h, p->parameters};
    const functions second = {p->f_second, p->g_second, p->h_second, p->parameters + 6};
    const size_t rows = (size_t)4u * p->units;
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            float *state = h + mq_state_at(d, n, p->batch, p->units);
            float *cell = c + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, w + d * rows * p->inputs, r + d * rows * p->units,
                     b ? b + d * rows : NULL, peephole ? peephole + (size_t)d * 3u * p->units : NULL, state, cell, next,
                     d ? &second : &first, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
