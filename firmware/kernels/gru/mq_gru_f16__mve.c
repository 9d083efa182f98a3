/* Half-precision products of packed rows, 32 units at a time, and gates in f32; mq_gru.h has the mathematics,
 * mq_mve_half.h the rounding of the products, mq_mve_float.h that of the functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_gru.h"

#include <string.h>

#include "mq_mve_half_gates.h"

/* What one direction reads besides x and the state; groups of rows are its gates z, r, n. */
typedef struct {
    mq_half_matrices matrices;
    const float *e;
    uint32_t group;
    mq_half_function f;
    mq_half_function g;
} direction;

/* Gate z (0) or r (1) of `count` <= 32 units from j on. */
static void sigmoid(const mq_f16 *x, const mq_f16 *h, const direction *a, uint32_t gate, uint32_t j, uint32_t count,
                    float *v, const mq_gru_float_params *p) {
    mq_half_from_x(&a->matrices, x, a->group + gate, j, count, v);
    mq_half_from_h(&a->matrices, h, a->group + gate, j, count, v);
    for (uint32_t k = 0; k < count; k += 8u) {
        mq_eight_put(v + k, mq_half_apply(mq_half_clipped(mq_eight_at(v + k), p->clip), &a->f));
    }
}

/* Pre-activations of n with linear_before_reset. */
static void linear_before_reset(const mq_f16 *x, const mq_f16 *h, const direction *a, uint32_t j, uint32_t count,
                                float *v, const mq_gru_float_params *p) {
    float r[MQ_LANES_F16], inner[MQ_LANES_F16];
    mq_half_from_x(&a->matrices, x, a->group + 2u, j, count, v);
    mq_half_start(a->e ? a->e + j : NULL, count, inner);
    mq_half_from_h(&a->matrices, h, a->group + 2u, j, count, inner);
    sigmoid(x, h, a, 1, j, count, r, p);
    for (uint32_t k = 0; k < count; k += 8u) {
        mq_eight_put(v + k, mq_eight_fma(mq_eight_at(v + k), mq_eight_at(r + k), mq_eight_at(inner + k)));
    }
}

/* r h, the vector that R_n reads without linear_before_reset. */
static void reset_state(const mq_f16 *x, const mq_f16 *h, const direction *a, mq_f16 *reset,
                        const mq_gru_float_params *p) {
    for (uint32_t j = 0; j < p->units; j += MQ_LANES_F16) {
        const uint32_t count = mq_half_count(p->units, j);
        float r[MQ_LANES_F16];
        sigmoid(x, h, a, 1, j, count, r, p);
        for (uint32_t k = 0; k < count; k += 8u) {
            const mq_eight_f32 old = mq_eight_of_half(h + j + k, count - k);
            mq_store_some_f16(reset + j + k, mq_eight_narrowed(mq_eight_mul(mq_eight_at(r + k), old)),
                              vctp16q(count - k));
        }
    }
}

/* z h + (1 - z) n of `count` units, n = g(v). */
static void mix(const float *z, const float *v, uint32_t count, const mq_f16 *h, mq_f16 *next, const direction *a,
                const mq_gru_float_params *p) {
    for (uint32_t k = 0; k < count; k += 8u) {
        const mq_eight_f32 gate = mq_eight_at(z + k);
        const mq_eight_f32 n = mq_half_apply(mq_half_clipped(mq_eight_at(v + k), p->clip), &a->g);
        const mq_eight_f32 kept = mq_eight_mul(gate, mq_eight_of_half(h + k, count - k));
        mq_store_some_f16(next + k, mq_eight_narrowed(mq_eight_fma(kept, mq_eight_rest(gate), n)), vctp16q(count - k));
    }
}

/* One step of one sequence. */
static void step(const mq_f16 *x, const mq_f16 *h, mq_f16 *next, const direction *a, const mq_gru_float_params *p) {
    const uint32_t units = p->units;
    mq_f16 *reset = next + units;
    float z[MQ_LANES_F16], v[MQ_LANES_F16];
    if (!p->linear_before_reset) {
        reset_state(x, h, a, reset, p);
    }
    for (uint32_t j = 0; j < units; j += MQ_LANES_F16) {
        const uint32_t count = mq_half_count(units, j);
        if (p->linear_before_reset) {
            linear_before_reset(x, h, a, j, count, v, p);
        } else {
            mq_half_from_x(&a->matrices, x, a->group + 2u, j, count, v);
            mq_half_from_h(&a->matrices, reset, a->group + 2u, j, count, v);
        }
        sigmoid(x, h, a, 0, j, count, z, p);
        mix(z, v, count, h + j, next + j, a, p);
    }
}

void mq_gru_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *e, mq_f16 *h, mq_f16 *y,
                mq_f16 *next, const mq_gru_float_params *p) {
    const mq_half_matrices matrices = {w, r, b, p->inputs, p->units};
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        const float *parameters = p->parameters + 4u * d;
        const direction a = {
            matrices,
            e ? e + d * p->units : NULL,
            d * 3u,
            mq_half_function_of(p->usual, 1, d ? p->f_second : p->f, parameters),
            mq_half_function_of(p->usual, 0, d ? p->g_second : p->g, parameters + 2),
        };
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, state, next, &a, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
