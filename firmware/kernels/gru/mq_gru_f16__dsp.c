/* Packed rows of eight units at a time; mq_gru.h has the mathematics, mq_half_rows.h the order of the sums.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_gru.h"

#include <string.h>

#include "mq_half_rows.h"
#include "mq_recurrent.h"

/* The weights and functions of one direction; groups of rows are its gates z, r, n. */
typedef struct {
    const mq_f16 *w;
    const mq_f16 *r;
    const float *b;
    const float *e;
    uint32_t group;
    mq_activation f;
    mq_activation g;
    const float *parameters;
} direction;

/* b + W x for `count` <= 8 units from j on, of one gate. */
static void from_x(const mq_f16 *x, const direction *a, uint32_t gate, uint32_t j, uint32_t count, float *v,
                   const mq_gru_float_params *p) {
    const uint32_t group = a->group + gate;
    for (uint32_t k = 0; k < count; k++) {
        v[k] = a->b ? a->b[group * p->units + j + k] : 0.0f;
    }
    mq_half_rows(x, p->inputs, mq_half_rows_from(a->w, group, j, p->units, p->inputs), count, v);
}

/* Adds R h. */
static void from_h(const mq_f16 *h, const direction *a, uint32_t gate, uint32_t j, uint32_t count, float *v,
                   const mq_gru_float_params *p) {
    mq_half_rows(h, p->units, mq_half_rows_from(a->r, a->group + gate, j, p->units, p->units), count, v);
}

/* Gate z (0) or r (1). */
static void sigmoid(const mq_f16 *x, const mq_f16 *h, const direction *a, uint32_t gate, uint32_t j, uint32_t count,
                    float *v, const mq_gru_float_params *p) {
    from_x(x, a, gate, j, count, v, p);
    from_h(h, a, gate, j, count, v, p);
    for (uint32_t k = 0; k < count; k++) {
        v[k] = a->f(mq_limit(v[k], p->clip), a->parameters);
    }
}

/* Pre-activations of n with linear_before_reset. */
static void linear_before_reset(const mq_f16 *x, const mq_f16 *h, const direction *a, uint32_t j, uint32_t count,
                                float *v, const mq_gru_float_params *p) {
    float r[8], inner[8];
    from_x(x, a, 2, j, count, v, p);
    for (uint32_t k = 0; k < count; k++) {
        inner[k] = a->e ? a->e[j + k] : 0.0f;
    }
    from_h(h, a, 2, j, count, inner, p);
    sigmoid(x, h, a, 1, j, count, r, p);
    for (uint32_t k = 0; k < count; k++) {
        v[k] += r[k] * inner[k];
    }
}

/* One step of one sequence. */
static void step(const mq_f16 *x, const mq_f16 *h, mq_f16 *next, const direction *a, const mq_gru_float_params *p) {
    const uint32_t units = p->units;
    mq_f16 *reset = next + units;
    float z[8], v[8];
    if (!p->linear_before_reset) {
        for (uint32_t j = 0; j < units; j += 8u) {
            const uint32_t count = units - j < 8u ? units - j : 8u;
            sigmoid(x, h, a, 1, j, count, v, p);
            for (uint32_t k = 0; k < count; k++) {
                reset[j + k] = mq_f32_to_f16(v[k] * mq_f16_to_f32(h[j + k]));
            }
        }
    }
    for (uint32_t j = 0; j < units; j += 8u) {
        const uint32_t count = units - j < 8u ? units - j : 8u;
        if (p->linear_before_reset) {
            linear_before_reset(x, h, a, j, count, v, p);
        } else {
            from_x(x, a, 2, j, count, v, p);
            from_h(reset, a, 2, j, count, v, p);
        }
        sigmoid(x, h, a, 0, j, count, z, p);
        for (uint32_t k = 0; k < count; k++) {
            const float candidate = a->g(mq_limit(v[k], p->clip), a->parameters + 2);
            next[j + k] = mq_f32_to_f16(z[k] * mq_f16_to_f32(h[j + k]) + (1.0f - z[k]) * candidate);
        }
    }
}

void mq_gru_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *e, mq_f16 *h, mq_f16 *y,
                mq_f16 *next, const mq_gru_float_params *p) {
    const direction both[2] = {
        {w, r, b, e, 0, p->f, p->g, p->parameters},
        {w, r, b, e ? e + p->units : NULL, 3, p->f_second, p->g_second, p->parameters + 4},
    };
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, state, next, &both[d], p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
