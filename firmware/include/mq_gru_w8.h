/* The body of mq_gru_w8_f16 and _w8_f32, for the floats that mq_w8.h describes.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MQ_GRU_W8_H
#define MQ_GRU_W8_H

#include <string.h>

#include "mq_gru.h"
#include "mq_recurrent.h"
#include "mq_w8.h"

/* The weights and functions of one direction. */
typedef struct {
    const int8_t *w;
    const int8_t *r;
    const float *x_scale;
    const float *h_scale;
    const float *b;
    const float *e;
    mq_activation f;
    mq_activation g;
    const float *parameters;
} direction;

static direction direction_of(uint32_t d, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
                              const float *b, const float *e, const mq_gru_float_params *p) {
    const size_t rows = (size_t)3u * d * p->units;
    direction a = {w,    r,    x_scale + rows, h_scale + rows, b ? b + rows : NULL, e ? e + d * p->units : NULL,
                   p->f, p->g, p->parameters};
    a.w += rows * p->inputs;
    a.r += rows * p->units;
    if (d) {
        a.f = p->f_second;
        a.g = p->g_second;
        a.parameters += 4;
    }
    return a;
}

/* Row q of W x + b, and of R h. */
static float from_x(const mq_real *x, size_t q, const direction *a, const mq_gru_float_params *p) {
    return (a->b ? a->b[q] : 0.0f) + mq_dot_w8(x, a->w + q * p->inputs, p->inputs) * a->x_scale[q];
}

static float from_h(const mq_real *h, size_t q, const direction *a, const mq_gru_float_params *p) {
    return mq_dot_w8(h, a->r + q * p->units, p->units) * a->h_scale[q];
}

/* Gate z (row j) or r (row units + j). */
static float gate(const mq_real *x, const mq_real *h, size_t q, const direction *a, const mq_gru_float_params *p) {
    return a->f(mq_limit(from_x(x, q, a, p) + from_h(h, q, a, p), p->clip), a->parameters);
}

/* One step of one sequence. */
static void step(const mq_real *x, const mq_real *h, mq_real *next, const direction *a, const mq_gru_float_params *p) {
    const size_t units = p->units;
    mq_real *reset = next + units;
    if (!p->linear_before_reset) {
        for (size_t j = 0; j < units; j++) {
            reset[j] = MQ_FROM_F32(gate(x, h, units + j, a, p) * MQ_TO_F32(h[j]));
        }
    }
    for (size_t j = 0; j < units; j++) {
        const size_t q = 2u * units + j;
        const float z = gate(x, h, j, a, p);
        float v = from_x(x, q, a, p);
        if (p->linear_before_reset) {
            v += gate(x, h, units + j, a, p) * ((a->e ? a->e[j] : 0.0f) + from_h(h, q, a, p));
        } else {
            v += from_h(reset, q, a, p);
        }
        const float candidate = a->g(mq_limit(v, p->clip), a->parameters + 2);
        next[j] = MQ_FROM_F32(z * MQ_TO_F32(h[j]) + (1.0f - z) * candidate);
    }
}

void MQ_KERNEL(const mq_real *x, const int8_t *w, const int8_t *r, const float *x_scale, const float *h_scale,
               const float *b, const float *e, mq_real *h, mq_real *y, mq_real *next, const mq_gru_float_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        const direction a = direction_of(d, w, r, x_scale, h_scale, b, e, p);
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
