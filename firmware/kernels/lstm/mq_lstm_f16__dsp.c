/* Packed rows of eight units at a time; mq_lstm.h has the mathematics, mq_half_rows.h the order of the sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_half_rows.h"
#include "mq_recurrent.h"

/* The functions of one direction. */
typedef struct {
    mq_activation f;
    mq_activation g;
    mq_activation h;
    const float *parameters;
} functions;

/* What one direction reads besides x and the states; groups of rows are its gates. */
typedef struct {
    const mq_f16 *w;
    const mq_f16 *r;
    const float *b;
    const float *peephole;
    uint32_t group;
} weights;

/* Pre-activations of `count` <= 8 units from j on, of one gate. */
static void gate(const mq_f16 *x, const mq_f16 *h, const weights *m, uint32_t index, uint32_t j, uint32_t count,
                 float *v, const mq_lstm_float_params *p) {
    const uint32_t group = m->group + index;
    for (uint32_t k = 0; k < count; k++) {
        v[k] = m->b ? m->b[group * p->units + j + k] : 0.0f;
    }
    mq_half_rows(x, p->inputs, mq_half_rows_from(m->w, group, j, p->units, p->inputs), count, v);
    mq_half_rows(h, p->units, mq_half_rows_from(m->r, group, j, p->units, p->units), count, v);
}

/* The new states of unit j, from the pre-activations of its gates. */
static void unit(float *v, uint32_t j, const float *peephole, mq_f16 *c, mq_f16 *next, const functions *a,
                 const mq_lstm_float_params *p) {
    const float old = mq_f16_to_f32(c[j]);
    if (peephole) {
        v[0] += peephole[j] * old;
        v[2] += peephole[2u * p->units + j] * old;
    }
    const float i = a->f(mq_limit(v[0], p->clip), a->parameters);
    const float forget = p->input_forget ? 1.0f - i : a->f(mq_limit(v[2], p->clip), a->parameters);
    const float cell = forget * old + i * a->g(mq_limit(v[3], p->clip), a->parameters + 2);
    if (peephole) {
        v[1] += peephole[p->units + j] * cell;
    }
    const float o = a->f(mq_limit(v[1], p->clip), a->parameters);
    c[j] = mq_f32_to_f16(cell);
    next[j] = mq_f32_to_f16(o * a->h(cell, a->parameters + 4));
}

/* One step of one sequence. */
static void step(const mq_f16 *x, const weights *m, const mq_f16 *h, mq_f16 *c, mq_f16 *next, const functions *a,
                 const mq_lstm_float_params *p) {
    for (uint32_t j = 0; j < p->units; j += 8u) {
        const uint32_t count = p->units - j < 8u ? p->units - j : 8u;
        float sums[4][8];
        for (uint32_t index = 0; index < 4u; index++) {
            gate(x, h, m, index, j, count, sums[index], p);
        }
        for (uint32_t k = 0; k < count; k++) {
            float v[4] = {sums[0][k], sums[1][k], sums[2][k], sums[3][k]};
            unit(v, j + k, m->peephole, c, next, a, p);
        }
    }
}

void mq_lstm_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *peephole, mq_f16 *h,
                 mq_f16 *c, mq_f16 *y, mq_f16 *next, const mq_lstm_float_params *p) {
    const functions first = {p->f, p->g, p->h, p->parameters};
    const functions second = {p->f_second, p->g_second, p->h_second, p->parameters + 6};
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        const weights m = {w, r, b, peephole ? peephole + (size_t)d * 3u * p->units : NULL, d * 4u};
        for (uint32_t n = 0; n < p->batch; n++) {
            mq_f16 *state = h + mq_state_at(d, n, p->batch, p->units);
            mq_f16 *cell = c + mq_state_at(d, n, p->batch, p->units);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, &m, state, cell, next, d ? &second : &first, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
