/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_gru.h"

#include <string.h>

#include "mq_recurrent.h"

/* The weights and functions of one direction. */
typedef struct {
    const float *w;
    const float *r;
    const float *b;
    const float *e;
    mq_activation f;
    mq_activation g;
    const float *parameters;
} direction;

/* Gate z (row j) or r (row units + j). */
static float gate(const float *x, const float *h, size_t q, const direction *a, const mq_gru_float_params *p) {
    const float from_x = mq_dot_f32(x, a->w + q * p->inputs, p->inputs, a->b ? a->b[q] : 0.0f);
    return a->f(mq_limit(mq_dot_f32(h, a->r + q * p->units, p->units, from_x), p->clip), a->parameters);
}

/* One step of one sequence. */
static void step(const float *x, const float *h, float *next, const direction *a, const mq_gru_float_params *p) {
    const size_t units = p->units;
    float *reset = next + units;
    if (!p->linear_before_reset) {
        for (size_t j = 0; j < units; j++) {
            reset[j] = gate(x, h, units + j, a, p) * h[j];
        }
    }
    for (size_t j = 0; j < units; j++) {
        const size_t q = 2u * units + j;
        const float z = gate(x, h, j, a, p);
        float v = mq_dot_f32(x, a->w + q * p->inputs, p->inputs, a->b ? a->b[q] : 0.0f);
        if (p->linear_before_reset) {
            const float from_h = mq_dot_f32(h, a->r + q * units, p->units, a->e ? a->e[j] : 0.0f);
            v += gate(x, h, units + j, a, p) * from_h;
        } else {
            v = mq_dot_f32(reset, a->r + q * units, p->units, v);
        }
        const float candidate = a->g(mq_limit(v, p->clip), a->parameters + 2);
        next[j] = z * h[j] + (1.0f - z) * candidate;
    }
}

void mq_gru_f32(const float *x, const float *w, const float *r, const float *b, const float *e, float *h, float *y,
                float *next, const mq_gru_float_params *p) {
    const size_t rows = (size_t)3u * p->units;
    const direction both[2] = {
        {w, r, b, e, p->f, p->g, p->parameters},
        {w + rows * p->inputs, r + rows * p->units, b ? b + rows : NULL, e ? e + p->units : NULL, p->f_second,
         p->g_second, p->parameters + 4},
    };
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, state, next, &both[d], p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
