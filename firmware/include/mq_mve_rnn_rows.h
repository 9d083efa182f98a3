/* The RNN layers with s8 weights for Helium: packed rows of up to MQ_UNITS units at a time. mq_rnn.h, mq_mve_rows.h
 * and mq_mve_scale.h have the mathematics. A file defines MQ_X and MQ_H, which end a name by the format of x and of h,
 * and calls `run` from its function.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "mq_rnn.h"
#include "mq_mve_gates.h"

/* One step of one sequence in direction d. */
static void step(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, const MQ_H(mq_value) * h,
                 MQ_H(mq_value) * next, uint32_t d, const mq_rnn_params *p) {
    MQ_X(mq_vector) vx;
    MQ_H(mq_vector) vh;
    int32_t x_sums[MQ_UNITS], h_sums[MQ_UNITS];
    MQ_X(mq_vector_of)(&vx, x, p->inputs);
    MQ_H(mq_vector_of)(&vh, h, p->units);
    for (uint32_t j = 0; j < p->units; j += MQ_UNITS) {
        const uint32_t count = p->units - j < MQ_UNITS ? p->units - j : MQ_UNITS;
        const uint32_t q = d * p->units + j;
        MQ_X(mq_gate_sums)(&vx, w, q, p->bias + q, p->x_multiplier, p->x_shift, count, x_sums);
        MQ_H(mq_gate_sums)(&vh, r, q, NULL, p->h_multiplier, p->h_shift, count, h_sums);
        for (uint32_t k = 0; k < count; k += 4u) {
            const int32x4_t sum = vaddq_s32(vldrwq_s32(x_sums + k), vldrwq_s32(h_sums + k));
            const int32x4_t gate = mq_gate_s32(sum, p->tanh_clip, p->tanh_table);
            MQ_H(mq_put_q15)(next + j + k, gate, vctp32q(count - k));
        }
    }
}

static void run(const MQ_X(mq_value) * x, const int8_t *w, const int8_t *r, MQ_H(mq_value) * h, MQ_H(mq_value) * y,
                MQ_H(mq_value) * next, const mq_rnn_params *p) {
    const size_t bytes = p->units * sizeof *h;
    for (uint32_t d = 0; d < p->directions; d++) {
        for (uint32_t n = 0; n < p->batch; n++) {
            MQ_H(mq_value) *state = h + mq_state_at(d, n, p->batch, p->units);
            const uint32_t length = p->lengths ? (uint32_t)p->lengths[n] : p->steps;
            for (uint32_t k = 0; k < p->steps; k++) {
                const uint32_t t = d || p->reverse ? p->steps - 1u - k : k;
                MQ_H(mq_value) *out = y ? y + mq_step_at(t, d, n, p->directions, p->batch, p->units) : NULL;
                if (t >= length) {
                    if (out) {
                        memset(out, 0, bytes);
                    }
                    continue;
                }
                step(x + ((size_t)t * p->batch + n) * p->inputs, w, r, state, next, d, p);
                memcpy(state, next, bytes);
                if (out) {
                    memcpy(out, next, bytes);
                }
            }
        }
    }
}
