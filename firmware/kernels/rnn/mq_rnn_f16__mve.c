/* Half-precision products of packed rows, 32 units at a time, and the function in f32; mq_rnn.h has the mathematics,
 * mq_mve_half.h the rounding of the products, mq_mve_float.h that of tanh.
 * SPDX-License-Identifier: Apache-2.0 */
#include "mq_rnn.h"

#include <string.h>

#include "mq_mve_half_gates.h"

/* One step of one sequence in direction d. */
static void step(const mq_f16 *x, const mq_half_matrices *m, uint32_t d, const mq_f16 *h, mq_f16 *next,
                 const mq_half_function *f, float clip) {
    for (uint32_t j = 0; j < m->units; j += MQ_LANES_F16) {
        const uint32_t count = mq_half_count(m->units, j);
        float sums[MQ_LANES_F16];
        mq_half_from_x(m, x, d, j, count, sums);
        mq_half_from_h(m, h, d, j, count, sums);
        for (uint32_t k = 0; k < count; k += 8u) {
            const mq_eight_f32 v = mq_half_apply(mq_half_clipped(mq_eight_at(sums + k), clip), f);
            mq_store_some_f16(next + j + k, mq_eight_narrowed(v), vctp16q(count - k));
        }
    }
}

void mq_rnn_f16(const mq_f16 *x, const mq_f16 *w, const mq_f16 *r, const float *b, mq_f16 *h, mq_f16 *y, mq_f16 *next,
                const mq_rnn_float_params *p) {
    const mq_half_matrices matrices = {w, r, b, p->inputs, p->units};
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        const mq_half_function f =
            mq_half_function_of(p->usual, 0, d ? p->f_second : p->f, p->parameters + (size_t)2u * d);
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
                step(x + ((size_t)t * p->batch + n) * p->inputs, &matrices, d, state, next, &f, p->clip);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
