/* Half-precision products of packed rows, 32 units at a time, and gates in f32; mq_lstm.h has the mathematics,
 * mq_mve_half.h the rounding of the products, mq_mve_float.h that of the functions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_lstm.h"

#include <string.h>

#include "mq_mve_half_gates.h"

/* What one direction reads besides x and the states. */
typedef struct {
    mq_half_matrices matrices;
    const float *peephole;
    uint32_t group;
    mq_half_function f;
    mq_half_function g;
    mq_half_function h;
} direction;

/* Adds a peephole. */
static mq_eight_f32 peeped(mq_eight_f32 v, const float *peephole, uint32_t count, mq_eight_f32 cell) {
    return mq_eight_fma(v, count < 8u ? mq_some_parted(peephole, count) : mq_eight_parted(peephole), cell);
}

/* The new states of up to eight units from j on; v: the pre-activations of gates i, o, f, c. */
static void cells(mq_eight_f32 *v, uint32_t j, uint32_t count, const direction *a, mq_f16 *c, mq_f16 *next,
                  const mq_lstm_float_params *p) {
    const mq_eight_f32 old = mq_eight_of_half(c, count);
    const float *peephole = a->peephole ? a->peephole + j : NULL;
    if (peephole) {
        v[0] = peeped(v[0], peephole, count, old);
        v[2] = peeped(v[2], peephole + 2u * p->units, count, old);
    }
    const mq_eight_f32 i = mq_half_apply(mq_half_clipped(v[0], p->clip), &a->f);
    const mq_eight_f32 forget =
        p->input_forget ? mq_eight_rest(i) : mq_half_apply(mq_half_clipped(v[2], p->clip), &a->f);
    const mq_eight_f32 g = mq_half_apply(mq_half_clipped(v[3], p->clip), &a->g);
    const mq_eight_f32 cell = mq_eight_fma(mq_eight_mul(forget, old), i, g);
    if (peephole) {
        v[1] = peeped(v[1], peephole + p->units, count, cell);
    }
    const mq_eight_f32 o = mq_half_apply(mq_half_clipped(v[1], p->clip), &a->f);
    const mve_pred16_t some = vctp16q(count);
    mq_store_some_f16(c, mq_eight_narrowed(cell), some);
    mq_store_some_f16(next, mq_eight_narrowed(mq_eight_mul(o, mq_half_apply(cell, &a->h))), some);
}

/* One step of one sequence. */
static void step(const mq_f16 *x, const direction *a, const mq_f16 *h, mq_f16 *c, mq_f16 *next,
                 const mq_lstm_float_params *p) {
    for (uint32_t j = 0; j < p->units; j += MQ_LANES_F16) {
        const uint32_t count = mq_half_count(p->units, j);
        float sums[4][MQ_LANES_F16];
        for (uint32_t index = 0; index < 4u; index++) {
            mq_half_from_x(&a->matrices, x, a->group + index, j, count, sums[index]);
            mq_half_from_h(&a->matrices, h, a->group + index, j, count, sums[index]);
        }
        for (uint32_t k = 0; k < count; k += 8u) {
            mq_eight_f32 v[4];
            for (uint32_t index = 0; index < 4u; index++) {
                v[index] = mq_eight_at(sums[index] + k);
            }
            cells(v, j + k, count - k < 8u ? count - k : 8u, a, c + j + k, next + j + k, p);
        }
    }
}

void mq_lstm_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, const float *peephole, mq_f16 *h,
                 mq_f16 *c, mq_f16 *y, mq_f16 *next, const mq_lstm_float_params *p) {
    const mq_half_matrices matrices = {w, r, b, p->inputs, p->units};
    const size_t bytes = p->units * sizeof *next;
    for (uint32_t d = 0; d < p->directions; d++) {
        const float *parameters = p->parameters + 6u * d;
        const direction a = {
            matrices,
            peephole ? peephole + (size_t)d * 3u * p->units : NULL,
            d * 4u,
            mq_half_function_of(p->usual, 1, d ? p->f_second : p->f, parameters),
            mq_half_function_of(p->usual, 0, d ? p->g_second : p->g, parameters + 2),
            mq_half_function_of(p->usual, 0, d ? p->h_second : p->h, parameters + 4),
        };
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, &a, state, cell, next, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
